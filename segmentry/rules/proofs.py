"""Proofs without data: that no contact can ever fulfil some conditions together.

Everything else is that question: a rule always holds if nobody is left out by it, A is inside B if nobody is in A and not in B,
two exclude each other if nobody is in both. An answer is only ever "certainly" or "not known": the effort is bounded, and a condition
that is not understood is taken for one that may or may not hold.

A proof is about the conditions as they stand. Before grounding that is true whenever a run is made; after it, for its instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from segmentry.errors import RuleError
from segmentry.rules import nodes as n
from segmentry.rules.proof_events import NEED_EVENTS, at_most, is_empty, is_inside, set_with
from segmentry.rules.proof_literals import All, Any, Formula, Literal, Narrow, Reader, Tested
from segmentry.rules.proof_sets import EVERY, Values, both, from_to
from segmentry.rules.proof_texts import TextFact, contradict
from segmentry.rules.proof_values import is_understood
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.references import in_order

STEPS = 2_000
"""Literals that one proof looks at before it gives up."""
FILTER_STEPS = 200
"""Those of a proof about the filters of two choices of events."""
DEEPEST = 40
"""Choices that one proof makes, one within the other."""
MOST_AGGREGATES = 24
"""Aggregates of events that are weighed against each other."""

Inside = Callable[[n.Events, n.Events], bool]
Domain = tuple[bool, Values]
"""Whether a value may be missing, and the values that it may have."""


class _GaveUp(Exception):  # noqa: N818  (no error: it is not known)
    """The effort that was allowed is spent."""


@dataclass
class _State:
    """What must hold in one branch of a proof."""

    domains: dict[int, Domain] = field(default_factory=dict)
    asked: dict[int, tuple[TextFact, ...]] = field(default_factory=dict)
    denied: dict[int, tuple[TextFact, ...]] = field(default_factory=dict)

    def copy(self) -> _State:
        return _State(dict(self.domains), dict(self.asked), dict(self.denied))


class Prover:
    """Proves conditions of one grounding, or of none; what it has read it keeps.

    `members` are the conditions that `member` refers to, by their segments' names; references beyond them are left open.
    """

    def __init__(self, members: Mapping[str, n.Condition] | None = None) -> None:
        self.reader = Reader(_in_no_circle(members or {}))
        self.steps = 0
        self.spent = 0
        """The steps of all proofs so far."""
        self._known: dict[tuple[str, int, int], bool] = {}

    # ------------------------------------------------------------ questions

    def never(self, *conditions: n.Condition, besides: Iterable[n.Condition] = (), steps: int = STEPS) -> bool:
        """Whether certainly nobody fulfils all `conditions` and none of `besides`."""
        with deep_recursion():
            wanted = [self.reader.read(condition) for condition in conditions]
            wanted += [self.reader.read(condition, positive=False) for condition in besides]
            if len(wanted) == 1 and isinstance(wanted[0], Narrow) and wanted[0].key not in self.reader.aggregates:
                may_miss, values = self._narrowed(_State(), wanted[0])
                return not may_miss and values.is_empty
            before, self.steps = self.steps, steps
            try:
                return self._refuted(_State(), wanted, 0)
            except _GaveUp:
                return False
            finally:
                used = steps - max(self.steps, 0)
                self.steps = before - used
                self.spent += used

    def always(self, condition: n.Condition) -> bool:
        """Whether a condition certainly holds for everybody."""
        return self.never(besides=(condition,))

    def implies(self, one: n.Condition, other: n.Condition) -> bool:
        """Whether whoever fulfils the one certainly fulfils the other."""
        return self.never(one, besides=(other,))

    # ------------------------------------------------------------ branches

    def _refuted(self, state: _State, wanted: Iterable[Formula], depth: int) -> bool:
        """Whether nothing fulfils what is wanted beside what the state has. Changes the state."""
        choices: list[Any] = []
        pending = list(wanted)
        while pending:
            formula = pending.pop()
            if isinstance(formula, All):
                self._step(len(formula.items))
                pending.extend(formula.items)
            elif isinstance(formula, Any):
                choices.append(formula)
            elif self._contradicts(state, formula):
                return True
            if not pending:
                settled = self._settled(state, choices)
                if settled is None:
                    return True
                choices, pending = settled
        if self._closed(state):
            return True
        if not choices:
            return False
        if depth >= DEEPEST:
            raise _GaveUp
        choice = min(choices, key=lambda one: len(one.items))
        rest = [one for one in choices if one is not choice]
        return all(self._refuted(state.copy(), [item, *rest], depth + 1) for item in choice.items)

    def _settled(self, state: _State, choices: list[Any]) -> tuple[list[Any], list[Formula]] | None:
        """Choices without the literals that can't hold any more: those still open, and what follows. None if one can't be made."""
        left: list[Any] = []
        follows: list[Formula] = []
        for choice in choices:
            items = [item for item in choice.items if not self._is_out(state, item)]
            if not items:
                return None
            if len(items) == 1:
                follows.append(items[0])
            elif not any(self._is_in(state, item) for item in items):
                left.append(choice if len(items) == len(choice.items) else Any(tuple(items)))
        return left, follows

    def _is_out(self, state: _State, item: Formula) -> bool:
        self._step()
        if not isinstance(item, Narrow):
            return isinstance(item, Any) and not item.items
        may_miss, values = self._narrowed(state, item)
        return not may_miss and values.is_empty

    def _is_in(self, state: _State, item: Formula) -> bool:
        """Whether a literal holds already, for every value that is left."""
        if not isinstance(item, Narrow):
            return isinstance(item, All) and not item.items
        may_miss, values = state.domains.get(item.key) or self.reader.bases[item.key]
        if item.positive:
            return not may_miss and both(values, item.values.complement()).is_empty
        return both(values, item.values).is_empty

    def _step(self, number: int = 1) -> None:
        self.steps -= number
        if self.steps < 0:
            raise _GaveUp

    # ------------------------------------------------------------ literals

    def _narrowed(self, state: _State, literal: Narrow) -> Domain:
        may_miss, values = state.domains.get(literal.key) or self.reader.bases[literal.key]
        if literal.positive:
            return False, both(values, literal.values)
        return may_miss, both(values, literal.values.complement())

    def _contradicts(self, state: _State, literal: Literal) -> bool:
        """Add a literal to a state: whether nothing is left."""
        self._step()
        key = literal.key
        if isinstance(literal, Tested):
            facts = state.asked if literal.positive else state.denied
            facts[key] = (*facts.get(key, ()), literal.fact)
            if literal.positive and self._add(state, key, EVERY):
                return True
        else:
            if literal.positive and any(self._add(state, need, EVERY) for need in literal.needs):
                return True
            found = state.domains[key] = self._narrowed(state, literal)
            self._step(len(found[1].cuts) // 64)
            if not found[0] and found[1].is_empty:
                return True
        return self._no_text_left(state, key)

    def _add(self, state: _State, key: int, values: Values) -> bool:
        """Let a value be set and among `values`: whether none is left."""
        found = state.domains[key] = self._narrowed(state, Narrow(key, values))
        return found[1].is_empty

    def _no_text_left(self, state: _State, key: int) -> bool:
        may_miss, values = state.domains.get(key) or self.reader.bases[key]
        asked, denied = state.asked.get(key, ()), state.denied.get(key, ())
        if may_miss or not (asked or denied):  # a text that is missing passes whatever is denied
            return False
        texts = values.points()
        self._step(len(asked) + len(denied) + len(texts or ()))
        return contradict(asked, denied, texts)

    # ------------------------------------------------------------ what keys say of each other

    def _closed(self, state: _State) -> bool:
        """Whether the values can't be so beside each other, though each by itself could."""
        sides = [key for key in state.domains if key in self.reader.sides]
        if any(self._paired(state, key) for key in sides):
            return True
        if self._elements_closed(state):
            return True
        found = {key for key in state.domains if key in self.reader.aggregates}
        if not found:
            return False
        for key in sorted(found):
            self._step()
            if self._counted(state, key):
                return True
        found |= {count for key in found if (count := self.reader.counts[key]) in state.domains}
        if any(self.reader.counts[key] == key and not state.domains[key][1].has((0, 0)) and self._is_empty(key) for key in found):
            return True
        if not 1 < len(found) <= MOST_AGGREGATES:
            return False
        return any(self._beside(state, one, other) for one in sorted(found) for other in sorted(found) if one != other)

    def _paired(self, state: _State, key: int) -> bool:
        """Of two values that are both set, one of the three orders holds; and an instant that is set has its day."""
        if not state.domains[key][0] or any((state.domains.get(side) or self.reader.bases[side])[0] for side in self.reader.sides[key]):
            return False
        return self._add(state, key, EVERY)

    def _counted(self, state: _State, key: int) -> bool:
        """What an aggregate says of how many events there are."""
        may_miss, values = state.domains[key]
        function, count = self.reader.aggregates[key].function, self.reader.counts[key]
        some = (function in NEED_EVENTS and not may_miss) or (function == "sum" and not values.has((0, 0)))
        if some and self._add(state, count, from_to(1)):
            return True
        without = function in ("first", "last") and values.is_empty
        return without and self._add(state, count, from_to(0, 0))

    def _elements_closed(self, state: _State) -> bool:
        """Whether so many elements can't pass so many conditions: a list is missing for all of them or for none."""
        found = sorted(key for key in state.domains if key in self.reader.quantified)
        lists = self.reader.lists
        known = {lists[key] for key in found if not state.domains[key][0]}
        known |= {key for key in set(lists.values()) & state.domains.keys() if not state.domains[key][0]}
        for key in found:
            self._step()
            if lists[key] in known and (self._add(state, key, EVERY) or self._add(state, lists[key], EVERY)):
                return True
            if lists[key] in known and self._passed_by_none(key) and self._add(state, key, from_to(0, 0)):
                return True
        counted = [key for key in found if not state.domains[key][0]]
        if len(counted) > MOST_AGGREGATES:
            return False
        return any(self._fewer(state, one, other) for one in counted for other in counted if one != other and lists[one] == lists[other])

    def _fewer(self, state: _State, one: int, other: int) -> bool:
        """Whether more elements are left to pass the one condition than the other, though whatever passes the one passes the other."""
        self._step()
        values, others = state.domains[one][1], state.domains[other][1]
        if values.starts or others.ends or not values.cuts or not others.cuts or values.cuts[0] < others.cuts[-1]:
            return False
        asked = ("element", one, other)
        if asked not in self._known:
            self._known[asked] = self._filter_holds(self.reader.quantified[one].where, self.reader.quantified[other].where)
        return self._known[asked]

    def _passed_by_none(self, key: int) -> bool:
        asked = ("no element", key, key)
        if asked not in self._known:
            self._known[asked] = self._filter_holds(self.reader.quantified[key].where, n.Always(value=False))
        return self._known[asked]

    def _beside(self, state: _State, one: int, other: int) -> bool:
        """Whether two aggregates can't have what is left to them."""
        self._step()
        (missing, values), (other_missing, others) = state.domains[one], state.domains[other]
        if missing:
            return False
        if other_missing and self._related(one, other, set_with):
            other_missing = False
            if self._add(state, other, EVERY):
                return True
        if other_missing or values.starts or others.ends or not values.cuts or not others.cuts:
            return False
        return self._related(one, other, at_most) and values.cuts[0] >= others.cuts[-1]

    def _related(self, one: int, other: int, how: Callable[[n.Aggregate, n.Aggregate, Inside], bool]) -> bool:
        """What two aggregates' events say of each other, once found and kept."""
        asked = (how.__name__, one, other)
        if asked not in self._known:
            self._known[asked] = how(self.reader.aggregates[one], self.reader.aggregates[other], self._is_inside)
        return self._known[asked]

    def _is_inside(self, fewer: n.Events, more: n.Events) -> bool:
        return is_inside(fewer, more, self._filter_holds)

    def _filter_holds(self, one: n.Condition | None, other: n.Condition | None) -> bool:
        if other is None:
            return True
        return self.never(*([] if one is None else [one]), besides=(other,), steps=min(self.steps, FILTER_STEPS))

    def _is_empty(self, count: int) -> bool:
        """Whether certainly no event is chosen."""
        asked = ("empty", count, count)
        if asked not in self._known:
            events = self.reader.aggregates[count].events
            filtered = is_understood(events) and events.where is not None
            self._known[asked] = is_empty(events) or (filtered and self._filter_holds(events.where, n.Always(value=False)))
        return self._known[asked]


def _in_no_circle(members: Mapping[str, n.Condition]) -> Mapping[str, n.Condition]:
    """References can be followed if they end; where they don't, none is."""
    try:
        in_order(members)
    except RuleError:
        return {}
    return members


def conjuncts(condition: n.Condition) -> Sequence[n.Condition]:
    """What a condition asks for all of, as far as it is said so."""
    found: list[n.Condition] = []
    pending = [condition]
    while pending:
        node = pending.pop()
        if isinstance(node, n.And):
            pending.extend(reversed(node.items))
        else:
            found.append(node)
    return found
