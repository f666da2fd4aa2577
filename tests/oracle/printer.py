"""Writes a rule of the oracle as rule text, in one plain spelling or in random ones, and, where it can, as a builder mapping."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

from tests.oracle import language as lang

OR, AND, NOT, PREDICATE, SUM, PRODUCT, SIGN, ATOM = range(8)
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED = {"true", "false", "null", "not"}
SHORT = {"day": "d", "hour": "h", "week": "w"}

# Operator words by meaning; symbols first.
SPELLINGS = {
    "=": ("=", "equals"),
    "!=": ("!=", "<>", "does not equal"),
    "<": ("<", "less than"),
    "<=": ("<=", "at most"),
    ">": (">", "greater than"),
    ">=": (">=", "at least"),
}
TIMES = {"<": (*SPELLINGS["<"], "before"), ">": (*SPELLINGS[">"], "after")}


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class Printer:
    """One spelling of rules; with `draw`, every choice that means the same is drawn."""

    def __init__(self, draw: random.Random | None = None) -> None:
        self.draw = draw
        self.of_elements = False
        """Whether we are in the conditions on a list's elements, where `element` is no field."""

    def chance(self, share: float) -> bool:
        return self.draw is not None and self.draw.random() < share

    def pick(self, choices: tuple[str, ...] | list[str]) -> str:
        return self.draw.choice(choices) if self.draw else choices[0]

    def gap(self) -> str:
        if self.draw is None or self.draw.random() < 0.93:
            return " "
        return self.draw.choice(["  ", "\n", "\t", " /* and or not ' */ ", " -- it's nothing )\n"])

    def words(self, text: str) -> str:
        """Keywords and operator words, in any case and with any space between."""
        parts = text.split(" ")
        if self.draw:
            parts = [self.draw.choice([p, p, p, p.upper(), p.capitalize()]) for p in parts]
        return self.gap().join(parts)

    def name(self, name: str, *, exact: bool = False) -> str:
        plain = WORD.fullmatch(name) and name.lower() not in RESERVED and not (self.of_elements and name.lower() == "element")
        if plain and not self.chance(0.1):
            return name if exact or not self.chance(0.15) else self.pick([name.upper(), name.lower(), name.capitalize()])
        return '"' + name.replace('"', '""') + '"'

    def function(self, name: str, arguments: list[str]) -> str:
        name = self.pick([name, name, name, name.upper(), name.capitalize()])
        comma = ", " if not self.chance(0.1) else self.pick([",", " , ", ",\n"])
        return f"{name}({comma.join(arguments)})"

    def duration(self, duration: lang.Duration) -> str:
        if duration.unit in SHORT and self.chance(0.3):
            return quoted(f"{duration.amount}{SHORT[duration.unit]}")
        return quoted(f"{duration.amount} {duration.unit}{'' if duration.amount == 1 else 's'}")

    def wrap(self, text: str, strength: int, needed: int) -> str:
        if strength < needed or self.chance(0.05):
            return f"({text})"
        return text

    # --- values

    def value(self, node: lang.Value, needed: int = SUM) -> str:
        text, strength = self.bare_value(node)
        return self.wrap(text, strength, needed)

    def bare_value(self, node: lang.Value) -> tuple[str, int]:
        match node:
            case lang.Field(name, _, outer):
                return ("contact." if outer else "") + self.name(name), ATOM
            case lang.Former(_, called, name):
                return f"{self.name(called, exact=True)}.{self.name(name)}", ATOM
            case lang.ActivePeriods(event, filters, unit, of, at_least):
                more = [("period", quoted(unit)), ("of", str(of)), *([("at_least", str(at_least))] if at_least > 1 else [])]
                return self.function("active_periods", self.event_arguments(event, None, filters, lang.Window(), more)), ATOM
            case lang.Element():
                return self.words("element"), ATOM
            case lang.Part(of, name):
                return f"{self.bare_value(of)[0]}.{self.name(name)}", ATOM
            case lang.HowMany(of, conditions):
                return self.function("how_many", self.list_arguments(of, conditions)), ATOM
            case lang.Number(digits):
                return digits, ATOM
            case lang.Text(text):
                return quoted(text), ATOM
            case lang.Flag(flag):
                return self.words("true" if flag else "false"), ATOM
            case lang.Day(day):
                return quoted(day.isoformat()), ATOM
            case lang.Instant(text):
                return quoted(text), ATOM
            case lang.Now():
                return self.function("now", []), ATOM
            case lang.Ago(duration, ahead):
                return self.function("ahead" if ahead else "ago", [self.duration(duration)]), ATOM
            case lang.Today(unit, sign, duration):
                base = self.function("start_of", [quoted(unit)]) if unit else self.function("today", [])
                return (f"{base} {sign} {self.duration(duration)}", SUM) if duration else (base, ATOM)
            case lang.Negative(inner):
                return "-" + self.value(inner, ATOM), SIGN
            case lang.Arithmetic(operator, left, right):
                strength = SUM if operator in "+-" else PRODUCT
                before, after = self.value(left, strength), self.value(right, strength + 1)
                space = "" if self.chance(0.1) and not after.startswith("-") and operator not in "-/" else " "
                return f"{before}{space}{operator}{space}{after}", strength
            case lang.Call(name, arguments):
                return self.function(name, [self.value(a) for a in arguments]), ATOM
            case lang.Aggregate(function, event, prop, filters, window):
                return self.function(function, self.event_arguments(event, prop, filters, window, inward=node.inward)), ATOM
            case lang.Ntile(parts, order):
                return self.function("ntile", self.order_arguments(str(parts), order)), ATOM
        raise TypeError(node)

    def order_arguments(self, number: str, order: lang.Order) -> list[str]:
        named = [("by", self.value(order.by))]
        if order.among is not None:
            named.append(("among", self.condition(order.among)))
        if order.per is not None:
            named.append(("per", self.value(order.per)))
        if self.draw:
            self.draw.shuffle(named)
        first = quoted(number) if number.endswith("%") else number
        return [first, *(self.pick([n, n, n.upper()]) + self.pick([" => ", " => ", "=>"]) + v for n, v in named)]

    def step(self, step: lang.Step) -> str:
        more = [("as", quoted(step.called))] if step.called else []
        if step.within:
            more.append(("within", self.duration(step.within)))
        did = self.function("did", self.event_arguments(step.event, None, step.filters, step.window, more))
        return f"{self.words('not')}{self.gap()}{did}" if step.negated else did

    def sequence(self, node: lang.Sequence) -> str:
        named = [("within", self.duration(node.within))] if node.within else []
        return self.function("sequence", [*map(self.step, node.steps), *self.keywords(named + self.bounds(node.window))])

    def event_arguments(
        self,
        event: lang.Event,
        prop: str | None,
        filters: tuple[lang.Condition, ...],
        window: lang.Window,
        more: Sequence[tuple[str, str]] = (),
        inward: str | None = None,
    ) -> list[str]:
        if event is None:
            first = "any_event"
        elif isinstance(event, lang.Prefix):
            first = quoted(event.text + "*")
        elif prop is None and not event.endswith("*") and self.chance(0.2):
            first = quoted(event)
        else:
            first = self.name(event, exact=True)
        if prop is not None:
            first += "." + self.name(prop) + ("" if inward is None else "." + self.name(inward))
        return [first, *(self.condition(f) for f in filters), *self.keywords([*more, *self.bounds(window)])]

    def bounds(self, window: lang.Window) -> list[tuple[str, str]]:
        named = []
        if window.last:
            named.append(("last", self.duration(window.last)))
        if window.since:
            named.append(("since", self.value(window.since)))
        if window.until:
            named.append(("until", self.value(window.until)))
        if window.during:
            named.append(("during", quoted(self.pick([window.during, window.during.upper()]))))
        return named

    def keywords(self, named: list[tuple[str, str]]) -> list[str]:
        if self.draw:
            self.draw.shuffle(named)
        return [self.pick([n, n, n.upper()]) + self.pick([" => ", " => ", "=>"]) + v for n, v in named]

    def list_arguments(self, of: lang.Value, conditions: tuple[lang.Condition, ...]) -> list[str]:
        first, saved = self.value(of), self.of_elements
        self.of_elements = True
        try:
            return [first, *(self.condition(c) for c in conditions)]
        finally:
            self.of_elements = saved

    # --- conditions

    def condition(self, node: lang.Condition, needed: int = OR) -> str:
        text, strength = self.bare_condition(node)
        return self.wrap(text, strength, needed)

    def bare_condition(self, node: lang.Condition) -> tuple[str, int]:
        match node:
            case lang.All(conditions):
                return (self.gap() + self.words("and") + self.gap()).join(self.condition(c, NOT) for c in conditions), AND
            case lang.Any_(conditions):
                return (self.gap() + self.words("or") + self.gap()).join(self.condition(c, AND) for c in conditions), OR
            case lang.Not(inner):
                if self.chance(0.2):
                    return f"{self.words('not')}({self.condition(inner)})", NOT
                return f"{self.words('not')}{self.gap()}{self.condition(inner, NOT)}", NOT
            case lang.AtLeast(number, conditions):
                return self.function("at_least", [str(number), *(self.condition(c) for c in conditions)]), ATOM
            case lang.Constant(flag):
                return self.words("true" if flag else "false"), ATOM
            case lang.IsTrue(inner):
                return self.value(inner, ATOM), ATOM
            case lang.Did(event, filters, window):
                return self.function("did", self.event_arguments(event, None, filters, window)), ATOM
            case lang.Sequence():
                return self.sequence(node), ATOM
            case lang.Each(quantifier, of, conditions):
                return self.function(quantifier, self.list_arguments(of, conditions)), ATOM
            case lang.Member(segment):
                return self.function("member", [quoted(segment)]), ATOM
            case lang.Sample(percent, salt):
                return self.function("sample", [quoted(percent + "%"), f"salt => {quoted(salt)}"]), ATOM
            case lang.Foremost(number, order):
                return self.function("top" if order.falling else "bottom", self.order_arguments(number, order)), ATOM
            case lang.ListHas(x, items, every):
                return self.function("contains_all" if every else "contains_any", [self.value(v) for v in (x, *items)]), ATOM
            case lang.Has("ends", x, part, negated) if self.chance(0.4):
                text = self.function("ends_with", [self.value(x), self.value(part)])
                return (f"{self.words('not')} {text}", NOT) if negated else (text, ATOM)
            case lang.Within(x, duration, ahead, negated) if self.chance(0.4):
                text = self.function("in_next" if ahead else "in_last", [self.value(x), self.duration(duration)])
                return (f"{self.words('not')} {text}", NOT) if negated else (text, ATOM)
            case lang.InPeriod(x, period, negated) if self.chance(0.2):
                text = self.function("during", [self.value(x), quoted(period)])
                return (f"{self.words('not')} {text}", NOT) if negated else (text, ATOM)
        return self.predicate(node), PREDICATE

    def infix(self, left: lang.Value, operator: str, right: str) -> str:
        return f"{self.value(left)}{self.gap()}{operator}{self.gap()}{right}"

    def negatable(self, symbol: str, word: str, negated_word: str, negated: bool) -> str:
        """The operator's symbol or words; a negated one has words only."""
        return self.words(negated_word if negated else self.pick([symbol, word]))

    def predicate(self, node: lang.Condition) -> str:
        match node:
            case lang.Compare(operator, left, right):
                times = left.type.kind in ("timestamp", "date")
                spelling = self.pick((TIMES if times else SPELLINGS).get(operator, SPELLINGS[operator]))
                after = self.value(right)
                if not spelling[0].isalpha():
                    if self.chance(0.1) and not after.startswith(("-", "@")):
                        return f"{self.value(left)}{spelling}{after}"
                    return self.infix(left, spelling, after)
                return self.infix(left, self.words(spelling), after)
            case lang.Between(x, low, high, negated):
                bounds = f"{self.value(low)}{self.gap()}{self.words('and')}{self.gap()}{self.value(high)}"
                return self.infix(x, self.words("not between" if negated else "between"), bounds)
            case lang.In(x, items, negated):
                return self.infix(x, self.words("not in" if negated else "in"), f"({', '.join(self.value(i) for i in items)})")
            case lang.Has("contains", x, part, negated):
                return self.infix(x, self.negatable("@>", "contains", "does not contain", negated), self.value(part, ATOM))
            case lang.Has("starts", x, part, False):
                return self.infix(x, self.negatable("^@", "starts with", "", False), self.value(part, ATOM))
            case lang.Has("ends", x, part, False):
                return self.infix(x, self.words("ends with"), self.value(part, ATOM))
            case lang.Has(operator, x, part, True):
                return f"not {self.condition(lang.Has(operator, x, part), PREDICATE)}"
            case lang.Matches(x, pattern, negated):
                return self.infix(x, self.negatable("~", "matches", "does not match", negated), quoted(pattern))
            case lang.Like(x, pattern, ignore_case, negated):
                word = "ilike" if ignore_case else "like"
                return self.infix(x, self.words(f"not {word}" if negated else word), quoted(pattern))
            case lang.IsSet(x, negated):
                words = ["is not set", "is null"] if negated else ["is set", "is not null"]
                return f"{self.value(x)}{self.gap()}{self.words(self.pick(words))}"
            case lang.Within(x, duration, ahead, negated):
                words = ("not " if negated else "") + ("in the next" if ahead else "in the last")
                return self.infix(x, self.words(words), self.duration(duration))
            case lang.InPeriod(x, period, negated):
                if self.chance(0.3):
                    return self.infix(x, self.words("not during" if negated else "during"), quoted(self.pick([period, period.upper()])))
                word = ("is not" if negated else "is") if len(period.split()) == 1 else ("not in" if negated else "in")
                word = ("not during" if negated else "during") if self.chance(0.2) else word
                return f"{self.value(x)}{self.gap()}{self.words(f'{word} {period}')}"
        raise TypeError(node)


def text_of(node: lang.Condition, draw: random.Random | None = None) -> str:
    return Printer(draw).condition(node)


# --- builder form

BUILDER_WORDS = {
    "=": "equals",
    "!=": "does not equal",
    "<": "less than",
    "<=": "at most",
    ">": "greater than",
    ">=": "at least",
}


class NoBuilder(Exception):  # noqa: N818  (it is no error: the form has no words for this)
    """The builder form has no words for it; a `rule:` leaf has."""


def builder_of(node: lang.Condition, draw: random.Random) -> dict[str, Any]:
    """The rule as a builder mapping; parts the form has no words for are text leaves."""
    match node:
        case lang.All(conditions):
            found: dict[str, Any] = {"rules": [builder_of(c, draw) for c in conditions]}
            return found if draw.random() < 0.5 else {"match": "all"} | found
        case lang.Any_(conditions):
            return {"match": "any", "rules": [builder_of(c, draw) for c in conditions]}
        case lang.Not(lang.Any_(conditions)):
            return {"match": "none", "rules": [builder_of(c, draw) for c in conditions]}
        case lang.Not(lang.Member(segment)):
            return {"segment": segment, "member": False}
        case lang.Not(lang.Did(event, filters, window)):
            return leaf(lambda: {"event": event_name(event), "did": False} | event_parts(filters, window, draw), node)
        case lang.Sequence(steps, within, window):
            return leaf(lambda: sequence_mapping(steps, within, window, draw), node)
        case lang.Not(inner):
            return {"match": "none", "rules": [builder_of(inner, draw)]}
        case lang.Member(segment):
            return {"segment": segment} if draw.random() < 0.5 else {"segment": segment, "member": True}
        case lang.Did(event, filters, window):
            return leaf(lambda: {"event": event_name(event)} | event_parts(filters, window, draw), node)
    return leaf(lambda: predicate_mapping(node, draw), node)


def leaf(make: Any, node: lang.Condition) -> dict[str, Any]:
    try:
        return dict(make())
    except NoBuilder:
        return {"rule": text_of(node)}


def path_of(x: lang.Value) -> str | list[str]:
    """A field as the form names it: by its whole name, or by the way to it."""
    match x:
        case lang.Field(name, _, False):
            return name
        case lang.Field(name, _, True) if name != "contact":
            return ["contact", name]
        case lang.Element():
            return "element"
        case lang.Part(of, name):
            before = path_of(of)
            return [*([before] if isinstance(before, str) else before), name]
    raise NoBuilder


def list_mapping(of: lang.Value, conditions: tuple[lang.Condition, ...], draw: random.Random) -> dict[str, Any]:
    """A list and what its elements are asked; a column named `element` can't be told from the element there."""
    if any(isinstance(n, lang.Field) and n.name == "element" for n in lang.walk(conditions)):
        raise NoBuilder
    return {"list": path_of(of), "where": {"match": "all", "rules": [builder_of(c, draw) for c in conditions]}}


def predicate_mapping(node: lang.Condition, draw: random.Random) -> dict[str, Any]:
    match node:
        case lang.Each(quantifier, of, conditions):
            return list_mapping(of, conditions, draw) | {"has": quantifier}
        case lang.Compare(operator, left, right):
            words = BUILDER_WORDS[operator]
            if left.type.kind in ("timestamp", "date") and draw.random() < 0.5:
                words = {"<": "before", ">": "after"}.get(operator, words)
            return subject(left, words, plain(right), draw)
        case lang.Between(x, low, high, negated):
            return subject(x, "not between" if negated else "between", [plain(low), plain(high)], draw)
        case lang.In(x, items, negated):
            return subject(x, "not in" if negated else "in", [plain(i) for i in items], draw)
        case lang.Has(operator, x, part, negated):
            word = {"contains": "contains", "starts": "starts with", "ends": "ends with"}[operator]
            if negated:
                if operator != "contains":
                    raise NoBuilder
                word = "does not contain"
            return subject(x, word, plain(part), draw)
        case lang.Matches(x, pattern, negated):
            return subject(x, "does not match" if negated else "matches", pattern, draw)
        case lang.IsSet(x, negated):
            return subject(x, "is not set" if negated else "is set", None, draw)
        case lang.Within(x, duration, ahead, negated):
            return subject(x, ("not " if negated else "") + ("in the next" if ahead else "in the last"), span(duration), draw)
        case lang.Foremost(number, order):
            how_many = number if number.endswith("%") else int(number)
            return {"top" if order.falling else "bottom": how_many} | order_parts(order, draw)
        case lang.InPeriod(x, period, negated):
            return subject(x, "not during" if negated else "during", period, draw)
    raise NoBuilder


def span(duration: lang.Duration) -> str:
    return f"{duration.amount} {duration.unit}{'' if duration.amount == 1 else 's'}"


def subject(x: lang.Value, operator: str, value: Any, draw: random.Random) -> dict[str, Any]:
    compared = {"operator": operator} if value is None else {"operator": operator, "value": value}
    match x:
        case lang.Field(name, _, False):
            return {"field": name} | compared
        case lang.Ntile(parts, order):
            return {"ntile": parts} | order_parts(order, draw) | compared
        case lang.ActivePeriods(event, filters, unit, of, at_least):
            periods = {"period": unit, "of": of} | ({"at_least": at_least} if at_least > 1 else {})
            found = {"event": event_name(event), "measure": "active_periods"} | event_parts(filters, lang.Window(), draw)
            return found | periods | compared
        case lang.Element() | lang.Part():
            return {"field": path_of(x)} | compared
        case lang.HowMany(of, conditions):
            return list_mapping(of, conditions, draw) | {"count": compared}
        case lang.Aggregate(function, event, prop, filters, window):
            found = {"event": event_name(event)} | event_parts(filters, window, draw)
            if prop is not None:
                found["property"] = prop if x.inward is None else [prop, x.inward]
            if function == "count" and draw.random() < 0.5:
                return found | {"count": compared}
            return found | {"measure": function} | compared
    raise NoBuilder


def order_parts(order: lang.Order, draw: random.Random) -> dict[str, Any]:
    match order.by:
        case lang.Field(name, _, False):
            by: Any = name
        case lang.Aggregate(function, event, prop, filters, window):
            by = {"event": event_name(event), "measure": function} | event_parts(filters, window, draw)
            by |= {} if prop is None else {"property": prop if order.by.inward is None else [prop, order.by.inward]}
        case _:
            raise NoBuilder
    among = {} if order.among is None else {"among": builder_of(order.among, draw)}
    match order.per:
        case None:
            return {"by": by} | among
        case lang.Field(name, _, False):
            return {"by": by, "per": name} | among
    raise NoBuilder


def event_name(event: lang.Event) -> Any:
    return {"prefix": event.text} if isinstance(event, lang.Prefix) else event or "any_event"


def sequence_mapping(
    steps: tuple[lang.Step, ...], within: lang.Duration | None, window: lang.Window, draw: random.Random
) -> dict[str, Any]:
    made = []
    for step in steps:
        found = {"event": event_name(step.event)} | event_parts(step.filters, step.window, draw)
        found |= {"did": False} if step.negated else {}
        found |= {"within": span(step.within)} if step.within else {}
        made.append(found | ({"as": step.called} if step.called else {}))
    return {"sequence": made} | ({"within": span(within)} if within else {}) | event_parts((), window, draw)


def event_parts(filters: tuple[lang.Condition, ...], window: lang.Window, draw: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if filters:
        found["where"] = {"match": "all", "rules": [builder_of(f, draw) for f in filters]}
    if window.last:
        found["last"] = span(window.last)
    if window.during:
        found["during"] = window.during
    for bound, at in (("since", window.since), ("until", window.until)):
        if at is not None:
            found[bound] = plain(at)
    return found


def plain(value: lang.Value) -> Any:
    """A literal as JSON has it."""
    match value:
        case lang.Number(digits):
            digits = digits.replace("_", "")
            if "." not in digits:
                return int(digits)
            if repr(float(digits)) == digits:
                return float(digits)
        case lang.Text(text) | lang.Instant(text):
            return text
        case lang.Flag(flag):
            return flag
        case lang.Day(day):
            return day.isoformat()
        case lang.Field(name, _, False):
            return {"field": name}
        case lang.Former(_, called, name):
            return {"step": called, "field": name}
        case lang.Part(lang.Former(_, called, column), name):
            return {"step": called, "field": [column, name]}
        case lang.Element() | lang.Part():
            return {"field": path_of(value)}
    raise NoBuilder
