"""Checking, third layer: functions about the elements of a list."""

from __future__ import annotations

from dataclasses import dataclass

from segmentry.rules import nodes as n
from segmentry.rules import syntax as s
from segmentry.rules.arithmetic import OPERATORS
from segmentry.rules.check_names import T
from segmentry.rules.check_values import CONDITIONS, Values, a_kind
from segmentry.rules.types import Kind, exact

SIZE = exact(10)
"""What `how_many` gives, as `length` does."""


@dataclass
class Lists(Values):
    """Checks functions of lists; the conditions on their elements are checked by a layer above."""

    def how_many(self, call: s.Call) -> n.Value | None:
        """`how_many(list, cond, ...)`."""
        asked = self._elements(call)
        return None if asked is None else n.HowMany(SIZE, *asked, place=call.place)

    def quantified(self, call: s.Call) -> n.Condition | None:
        """`any`, `all`, `none`: how many elements there must be, of those that the conditions hold for or not."""
        asked = self._elements(call)
        if asked is None:
            return None
        of, where = asked
        counted = n.HowMany(SIZE, of, n.Not(where, place=where.place) if call.name == "all" else where, place=call.place)
        wanted = self.number(s.Number("1" if call.name == "any" else "0", place=call.place))
        assert wanted is not None
        return n.Compare(">=" if call.name == "any" else "=", counted, wanted, place=call.place)

    def _elements(self, call: s.Call) -> tuple[n.Value, n.Condition] | None:
        """The list, and what its elements are asked."""
        if not self.has_arguments(call, 2, None):
            return None
        first = call.args[0]
        if isinstance(first, CONDITIONS) or (isinstance(first, s.Infix) and first.op not in OPERATORS):
            return self._no_list(call)
        of = self.value(first)
        if of is None:
            return None
        if of.type.kind is not Kind.LIST:
            message = f"`{call.name}` needs a list, and `{self.written(first, 'this')}` is {a_kind(of.type)}"
            return self.error("R504", message, first.place, ALONE.get(call.name))
        if self.levels >= DEEPEST:
            hint = "each level doubles what an engine has to do; ask in another way"
            return self.error("R511", f"conditions on elements go no deeper than {DEEPEST} levels", call.place, hint)
        with self.each(of.type.element):
            asked = [self.condition(node) for node in call.args[1:]]
        conditions = tuple(condition for condition in asked if condition is not None)
        if len(conditions) < len(asked):
            return None
        return of, conditions[0] if len(conditions) == 1 else n.And(conditions, place=call.place)

    def _no_list(self, call: s.Call) -> T | None:
        """`any(a = 1, b = 2)`: conditions are joined by words."""
        written = [self.written(node) for node in call.args]
        hint = {
            "any": f"write {' or '.join(written)}",
            "all": f"write {' and '.join(written)}",
            "none": f"write not ({' or '.join(written)})",
        }.get(call.name, f"write at_least(2, {', '.join(written)})")
        return self.error("R504", f"`{call.name}` begins with a list, not with a condition", call.args[0].place, hint)


DEEPEST = 4
"""Levels of conditions on elements within each other: DuckDB's time for lambdas doubles with each (18 took 44 s for two contacts)."""

ALONE = {"any": "conditions of a contact are joined by `or`", "all": "conditions of a contact are joined by `and`"}
"""What may have been meant where no list stands."""
