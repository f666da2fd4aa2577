"""Conditions as proofs read them: `all` and `any` of literals, with every `not` inside the literals.

A literal is about one key. A key stands for a value, and a literal says which values pass (`Narrow`), or which text (`Tested`).
A condition of which nothing is known but whether it holds is a key of its own, whose value is 1 or 0. A positive literal also says
that its value is not missing, and a negative one, as the language has it, lets a missing value pass.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import comb

from segmentry.rules import nodes as n
from segmentry.rules.proof_events import number_of
from segmentry.rules.proof_sets import EVERY, Cut, Values, both, either, from_to, spans
from segmentry.rules.proof_texts import TextFact, fact_of
from segmentry.rules.proof_values import among, beyond, is_understood, literals_hold, passing, possible
from segmentry.rules.times import MONTHS, SECONDS
from segmentry.rules.types import Kind, Type, exact

MOST_CHOICES = 40
"""An `at_least` of more ways to hold is taken as a whole."""
MOST_FOLLOWED = 20
"""References to segments that are followed, one inside the other."""

SIZE = exact(10)
"""What `how_many` and `length` give."""
SAMPLE_DIGITS = 16
DAY_SECONDS = 86_400
FARTHEST_SECONDS = 1_000 * 365 * DAY_SECONDS
FARTHEST_MONTHS = 12_000
"""Longer times may reach the end of the calendar, where they are all alike."""
MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
LESS, SAME, MORE = -1, 0, 1
ORDERS = {
    "=": from_to(SAME, SAME),
    "<": from_to(LESS, LESS),
    "<=": from_to(LESS, SAME),
    ">": from_to(MORE, MORE),
    ">=": from_to(SAME, MORE),
}
"""How two values may stand to each other, by the operator between them: one of three ways, if neither is missing."""
YES = from_to(1, 1)
BIT = from_to(0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Narrow:
    """The key's value is set and among `values`; negated: it is not. `needs` are keys that are set where the literal holds."""

    key: int
    values: Values
    positive: bool = True
    needs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """The key's text is set and passes a test; negated: it does not."""

    key: int
    fact: TextFact
    positive: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class All:
    """All of the items; of none, everybody."""

    items: tuple[Formula, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Any:
    """Any of the items; of none, nobody."""

    items: tuple[Formula, ...] = ()


Literal = Narrow | Tested
Formula = Literal | All | Any
TRUE, FALSE = All(), Any()


@dataclass
class Reader:
    """Reads conditions; equal values have one key. `members` has what `member` stands for, as far as that is known, in no circle."""

    members: Mapping[str, n.Condition] = field(default_factory=dict)
    things: list[Hashable] = field(default_factory=list)
    """Of every key what it stands for: a value, or a tuple that says what else."""
    bases: list[tuple[bool, Values]] = field(default_factory=list)
    """Of every key whether it may be missing, and the values it may have."""
    aggregates: dict[int, n.Aggregate] = field(default_factory=dict)
    """The keys that stand for aggregates of events."""
    quantified: dict[int, n.HowMany] = field(default_factory=dict)
    """The keys that stand for how many elements of a list pass a condition, and what they count."""
    lists: dict[int, int] = field(default_factory=dict)
    """Of every such key the one of the list."""
    counts: dict[int, int] = field(default_factory=dict)
    """Of every such key the one of how many of its events there are."""
    sides: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Of a key that is set wherever some values are (how they stand to each other, on which day one is): those values' keys."""
    _keys: dict[Hashable, int] = field(default_factory=dict)
    _read: dict[tuple[int, bool], tuple[n.Condition, Formula]] = field(default_factory=dict)
    _followed: int = 0

    def key(self, thing: Hashable, base: tuple[bool, Values]) -> int:
        found = self._keys.get(thing)
        if found is None:
            found = self._keys[thing] = len(self.things)
            self.things.append(thing)
            self.bases.append(base)
        return found

    def value(self, value: n.Value) -> int:
        """The key of a value."""
        found = self._keys.get(value)
        if found is None:
            found = self.key(value, possible(value))
            if isinstance(value, n.Aggregate):
                self.aggregates[found] = value
                number = number_of(value.events)
                self.counts[found] = found if value == number else self.value(number)
            counted = elements_of(value)
            if counted is not None:
                self.quantified[found] = counted
                self.lists[found] = self.value(counted.value)
        return found

    def read(self, node: n.Condition, *, positive: bool = True) -> Formula:
        """A condition, or what it leaves out."""
        known = self._read.get((id(node), positive))
        if known is not None:
            return known[1]
        made = self._made(node, positive)
        self._read[id(node), positive] = (node, made)
        return made

    def _made(self, node: n.Condition, positive: bool) -> Formula:
        if not is_understood(node):
            return self._opaque(node, positive)
        match node:
            case n.Always():
                return TRUE if node.value is positive else FALSE
            case n.Not():
                return self.read(node.item, positive=not positive)
            case n.And() | n.Or():
                items = [self.read(item, positive=positive) for item in node.items]
                return joined(items, conjunction=isinstance(node, n.And) is positive)
            case n.AtLeast():
                return self._at_least(node, positive)
            case n.Member():
                return self._member(node, positive)
        return self._leaf(node, positive)

    def _leaf(self, node: n.Condition, positive: bool) -> Formula:
        match node:
            case n.Compare():
                return self._compare(node, positive)
            case n.In():
                return self._in(node, positive)
            case n.IsSet():
                return self._narrow(node.value, EVERY, positive)
            case n.Truth() if not isinstance(node.value, n.Constant):
                return self._narrow(node.value, YES, positive)
            case n.TextTest():
                return self._text_test(node, positive)
            case n.HasElements() if len(node.options) > 1:
                parts = [self.read(n.HasElements(node.value, (option,)), positive=positive) for option in node.options]
                return joined(parts, conjunction=node.need_all is positive)
            case n.HasElements(options=(n.Constant() as option,), value=of) if (element := compared_alike(of)) is not None:
                has = n.HowMany(SIZE, of, n.Compare("=", n.Element(element), option))
                return Narrow(self.value(has), from_to(1), positive)
            case n.HasElements():
                return self._opaque(n.HasElements(node.value, node.options), positive, (node.value, *node.options))
            case n.InWindow():
                return self._in_window(node, positive)
            case n.Did():
                return self._narrow(number_of(node.events), from_to(1), positive)
            case n.Sample() if node.threshold is None:
                return TRUE if positive else FALSE
            case n.Sample(threshold=str() as digits):
                key = self.key(("sample", node.salt), (False, from_to(0)))
                return Narrow(key, Values(True, ((int(digits, SAMPLE_DIGITS), 0),)), positive)
        return self._opaque(node, positive)

    # ------------------------------------------------------------ literals

    def _opaque(self, node: n.Condition, positive: bool, needs: Iterable[n.Value] = ()) -> Formula:
        """A condition of which only this is known: whether it holds, and values that it does not hold without."""
        key = self.key(("holds", node), (False, BIT))
        return Narrow(key, YES, positive, tuple(self.value(value) for value in needs if not isinstance(value, n.Constant)))

    def _narrow(self, value: n.Value, values: Values, positive: bool) -> Formula:
        if isinstance(value, (n.Constant, n.AsOf, n.Day)):  # what is written, or read off the clock, is never missing
            return TRUE if positive else FALSE
        return Narrow(self.value(value), values, positive)

    def _compare(self, node: n.Compare, positive: bool) -> Formula:
        op, left, right = node.op, node.left, node.right
        if isinstance(left, n.Constant):
            if isinstance(right, n.Constant):
                holds = literals_hold(op, left, right)
                return self._opaque(node, positive) if holds is None else TRUE if holds is positive else FALSE
            op, left, right = MIRRORED[op], right, left
        elif isinstance(left, (n.AsOf, n.Day)):
            op, left, right = MIRRORED[op], right, left
        if isinstance(right, n.Constant) and not isinstance(left, (n.AsOf, n.Day)):
            values = passing(op, left, right)
            if values is not None:
                return Narrow(self.value(left), values, positive)
            if left.type.kind is Kind.TIMESTAMP and right.type.kind is Kind.DATE:
                return self._whole_day(op, left, right, positive)
        if (clocked := age_of(left, right)) is not None:
            family, age = clocked
            return self._aged(left, family, beyond(MIRRORED[op], *age), positive)
        if left == right:
            return self._narrow(left, EVERY, positive) if SAME_PASSES[op] else TRUE if not positive else FALSE
        return self._order(op, left, right, positive)

    def _whole_day(self, op: str, left: n.Value, day: n.Constant, positive: bool) -> Formula:
        """An instant beside a whole day, wherever its zone is: beginnings of days rise, so days stand for instants."""
        assert not isinstance(day.value, (str, bool))
        ordinal = day.value.toordinal()  # type: ignore[union-attr]
        instant = self.value(left)
        key = self.key(("day", instant), (True, EVERY))
        self.sides[key] = (instant,)
        return Narrow(key, beyond(op, (ordinal, 0), (ordinal + 1, 0)), positive, (instant,))

    def _in_window(self, node: n.InWindow, positive: bool) -> Formula:
        """`in the last`, `in the next`: how long ago a value is."""
        lengths = length_of(node.value, node.duration)
        if lengths is None or not is_understood(node):
            return self._opaque(node, positive, (node.value,))
        family, length = lengths
        whole = family == "days"  # of days, today is one of the last and of the next
        if node.ahead:
            ages = Values(False, ((1 - length if whole else -length, 0), (1, 0) if whole else (0, 0)))
        else:
            ages = Values(False, ((0, 0), (length, 0)))
        return self._aged(node.value, family, ages, positive)

    def _aged(self, value: n.Value, family: str, ages: Values, positive: bool) -> Formula:
        """How long ago a value is, before the clock is known: of lengths of one family it is known which is longer."""
        side = self.value(value)
        key = self.key((family, side), (True, EVERY))
        self.sides[key] = (side,)
        return Narrow(key, ages, positive, (side,))

    def _order(self, op: str, left: n.Value, right: n.Value, positive: bool) -> Formula:
        """Two values beside each other: before, equal, or after, if neither is missing."""
        ones, others = self.value(left), self.value(right)
        if ones > others:
            op, ones, others = MIRRORED[op], others, ones
        key = self.key(("order", ones, others), (True, from_to(LESS, MORE)))
        if left.type == right.type or (left.type.is_exact and right.type.is_exact):
            self.sides[key] = (ones, others)  # others become something else first, which might be missing
        return Narrow(key, ORDERS[op], positive, (ones, others))

    def _in(self, node: n.In, positive: bool) -> Formula:
        if isinstance(node.value, (n.Constant, n.AsOf, n.Day)):
            parts = [self._compare(n.Compare("=", node.value, option), positive) for option in node.options]
            return joined(parts, conjunction=not positive)
        values, others = among(node.value, node.options)
        parts = [self._compare(n.Compare("=", node.value, option), positive) for option in others]
        if len(others) < len(node.options):
            parts.append(Narrow(self.value(node.value), values, positive))
        return joined(parts, conjunction=not positive)

    def _text_test(self, node: n.TextTest, positive: bool) -> Formula:
        pattern = node.pattern.value if isinstance(node.pattern, n.Constant) else None
        if not isinstance(pattern, str) or isinstance(node.value, n.Constant):
            return self._opaque(node, positive, (node.value, node.pattern))
        if node.op == "like" and not set(pattern) & {"%", "_"}:
            return Narrow(self.value(node.value), spans([((pattern, 0), (pattern, 1))]), positive)
        fact = fact_of(node.op, pattern)
        if fact is None:
            return self._opaque(node, positive, (node.value,))
        return Tested(self.value(node.value), fact, positive)

    # ------------------------------------------------------------ combinations

    def _at_least(self, node: n.AtLeast, positive: bool) -> Formula:
        """So many of them; what it leaves out is that enough of them don't hold."""
        wanted = node.count if positive else len(node.items) - node.count + 1
        if wanted < 1:
            return TRUE
        if wanted > len(node.items):
            return FALSE
        if comb(len(node.items), wanted) > MOST_CHOICES:
            return self._opaque(node, positive)
        items = [self.read(item, positive=positive) for item in node.items]
        if wanted == 1 or wanted == len(items):
            return joined(items, conjunction=wanted > 1 or len(items) == 1)
        return Any(tuple(All(chosen) for chosen in combinations(items, wanted)))

    def _member(self, node: n.Member, positive: bool) -> Formula:
        """The reference itself and, as far as it is known, the other segment's rule."""
        itself = self._opaque(node, positive)
        rule = self.members.get(node.segment)
        if rule is None or self._followed >= MOST_FOLLOWED:
            return itself
        self._followed += 1
        try:
            return All((itself, self.read(rule, positive=positive)))
        finally:
            self._followed -= 1


def elements_of(value: n.Value) -> n.HowMany | None:
    """How many elements of a list pass a condition, if that is what a value is: of a length, all."""
    if isinstance(value, n.HowMany) and is_understood(value):
        return value
    if isinstance(value, n.Call) and value.function == "length" and value.args[0].type.kind is Kind.LIST and is_understood(value):
        return n.HowMany(SIZE, value.args[0], n.Always(value=True))
    return None


def compared_alike(of: n.Value) -> Type | None:
    """The type of a list's elements where `contains` is that one of them equals the literal."""
    element = of.type.element
    return element if element is not None and element.kind in (Kind.TEXT, Kind.NUMBER) else None


def length_of(value: n.Value, duration: n.Duration) -> tuple[str, int] | None:
    """A length of time beside a value that is an instant or a day, in the unit of its family; None where lengths can't be told apart."""
    days = value.type.kind is Kind.DATE
    if duration.unit in MONTHS:
        number = duration.amount * MONTHS[duration.unit]
        return ("months", number) if number <= FARTHEST_MONTHS and not days else None
    number = duration.amount * SECONDS[duration.unit]
    if number > FARTHEST_SECONDS:
        return None
    return ("days", number // DAY_SECONDS) if days else ("seconds", number)


def age_of(left: n.Value, right: n.Value) -> tuple[str, tuple[Cut, Cut]] | None:
    """How long before the run's instant, or day, the right side is; the cuts around that age among those of the left side."""
    if isinstance(right, n.AsOf) and left.type.kind is Kind.TIMESTAMP and is_understood(right):
        shift = right.shift
        found = ("seconds", 0) if shift is None else length_of(left, shift)
        if found is None:
            return None
        age = -right.sign * found[1]
        return found[0], ((age, 0), (age, 1))
    if isinstance(right, n.Day) and left.type.kind is Kind.DATE and right.unit is n.Unit.DAY and is_understood(right):
        age = 0
        for sign, duration in right.shifts:
            found = length_of(left, duration)
            if found is None:
                return None
            age -= sign * found[1]
        return "days", ((age, 0), (age + 1, 0))
    return None


SAME_PASSES = {"=": True, "<": False, "<=": True, ">": False, ">=": True}


def joined(items: Sequence[Formula], *, conjunction: bool) -> Formula:
    """`all` or `any` of formulas, flat; literals of one kind about one value become one."""
    kind: type[All | Any] = All if conjunction else Any
    flat: list[Formula] = []
    for item in items:
        flat.extend(item.items if isinstance(item, kind) else (item,))
    if any(isinstance(item, All if kind is Any else Any) and not item.items for item in flat):
        return TRUE if kind is Any else FALSE
    merged: dict[object, Formula] = {}
    for number, item in enumerate(flat):
        if not isinstance(item, Narrow):
            merged[number, None] = item
            continue
        same = merged.get((item.key, item.positive, item.needs))
        if isinstance(same, Narrow):
            meet = both if conjunction is item.positive else either
            item = Narrow(item.key, meet(same.values, item.values), item.positive, item.needs)  # noqa: PLW2901
        merged[item.key, item.positive, item.needs] = item
    found = tuple(merged.values())
    return found[0] if len(found) == 1 else kind(found)
