"""Checking: from what was written to what it means, or every problem with it at once.

The work is one walk over the syntax tree by one class in seven layers: names (`check_names`), values (`check_values`),
lists (`check_lists`), event functions (`check_events`, `check_sequences`), comparisons (`check_comparisons`), populations
(`check_populations`), and here conditions. Recursion is only as deep as brackets, `not` and calls nest (at most 100
levels, a few frames each); chains are loops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from segmentry.errors import RuleError
from segmentry.rules import nodes as n
from segmentry.rules import syntax as s
from segmentry.rules.absence import young_absences
from segmentry.rules.certainties import certainties
from segmentry.rules.check_comparisons import COMPARISONS, TEXT_TESTS, WINDOWS
from segmentry.rules.check_names import in_quotes
from segmentry.rules.check_populations import Populations
from segmentry.rules.check_values import a_kind
from segmentry.rules.diagnostics import Diagnostic, Place
from segmentry.rules.functions import FUNCTIONS
from segmentry.rules.operators import FUNCTIONS as OPERATORS
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.said import said_in
from segmentry.rules.schema import Schema
from segmentry.rules.suggest import nearest
from segmentry.rules.types import Kind

SAMPLE_DIGITS = 15
"""How many hex digits of a key's digest `sample` looks at."""


def check(syntax: s.Syntax, schema: Schema, *, source: str | None = None, proofs: bool = True) -> tuple[n.Condition, list[Diagnostic]]:
    """What a rule means for that data, and warnings. RuleError with every problem at once, in the order of their places.

    `source` is the rule's text where it has one, so that diagnostics can show its line. Without `proofs` it is not asked what
    is certain of the rule: for whoever has no use for warnings.
    """
    checker = Conditions(schema, source)
    with deep_recursion():
        condition = checker.condition(syntax)
        if condition is None or checker.errors:
            raise RuleError(sorted(checker.errors, key=_in_order))
        certain = certainties(condition, said_in(syntax), source) if proofs else []
        return condition, sorted(checker.warnings + young_absences(condition, schema, source) + certain, key=_in_order)


def _in_order(problem: Diagnostic) -> tuple[tuple[str, ...], int, int]:
    place = problem.place or Place()
    return tuple(str(step).zfill(8) for step in place.path), place.start, place.end


@dataclass
class Conditions(Populations):
    """Checks what stands for a condition. Every method answers None when it has reported why there is none."""

    def condition(self, node: s.Syntax) -> n.Condition | None:
        match node:
            case s.And() | s.Or():
                items = self._all(self._items(node.items))
                if items is None:
                    return None
                return n.And(items, place=node.place) if isinstance(node, s.And) else n.Or(items, place=node.place)
            case s.Not():
                item = self.condition(node.item)
                return None if item is None else n.Not(item, place=node.place)
            case s.Infix() if node.op in COMPARISONS:
                return self.comparison(node)
            case s.Infix() if node.op in TEXT_TESTS:
                return self.text_test(node)
            case s.Infix() if node.op in WINDOWS:
                return self.in_window(node)
            case s.Infix(op="during"):
                return self.during(node)
            case s.In():
                return self.is_in(node)
            case s.Between():
                return self.between(node)
            case s.IsSet():
                value = self.value(node.value)
                return None if value is None else n.IsSet(value, place=node.place)
            case s.Boolean():
                return n.Always(node.value, place=node.place)
            case s.Call(name=name) if name in FUNCTIONS and FUNCTIONS[name].is_condition:
                return self._call(node)
        return self._truth(node)

    def _items(self, items: Sequence[s.Syntax]) -> list[n.Condition | None]:
        """The conditions of a chain. A literal among them (`x = 'a' or 'b'`) belongs to the comparison before it."""
        checked: list[n.Condition | None] = []
        compared: s.Infix | None = None
        for item in items:
            if isinstance(item, s.Infix) and item.op == "=":
                compared = item
            if compared is not None and isinstance(item, (s.Text, s.Number)):
                left, first = self.written(compared.left, "x"), self.written(compared.right)
                hint = f"write {left} in ({first}, {self.written(item)})"
                checked.append(self.error("R303", f"{self.written(item)} alone is no condition", item.place, hint))
            else:
                checked.append(self.condition(item))
        return checked

    def _all(self, checked: Sequence[n.Condition | None]) -> tuple[n.Condition, ...] | None:
        fine = tuple(item for item in checked if item is not None)
        return fine if len(fine) == len(checked) else None

    def _truth(self, node: s.Syntax) -> n.Condition | None:
        """A boolean field as a condition; any other value needs an operator."""
        value = self.value(node)
        if value is None:
            return None
        if value.type.kind is Kind.BOOLEAN:
            return n.Truth(value, place=node.place)
        written = self.written(node, "x")
        hint = f"write {written} is set, or compare it"
        if isinstance(value, n.Constant):
            hint = "a condition compares a field with something"
        elif value.type.kind is Kind.NUMBER:
            hint = f"compare it, as in {written} >= 1"
        elif value.type.kind is Kind.LIST:
            hint = f"write {written} is set, or {written} contains ..."
        return self.error("R303", f"`{self.written(node, 'this')}` is {a_kind(value.type)}, not a condition", node.place, hint)

    # ------------------------------------------------------------ functions that are conditions

    def _call(self, call: s.Call) -> n.Condition | None:
        function = self.known(call)
        if function is None:
            return None
        if call.name == "did":
            chosen = self.events(call, function)
            return None if chosen is None else n.Did(chosen[0], place=call.place)
        if call.name == "sequence":
            return self.sequence(call, function)
        return CALLS[call.name](self, call) if self.only_keywords(call, function) else None

    def infix(self, call: s.Call) -> n.Condition | None:
        """`ends_with(x, 'y')`, `in_last(x, '30 days')`: operators written as functions."""
        if not self.has_arguments(call, 2, 2):
            return None
        infix = s.Infix(OPERATORS[call.name], call.args[0], call.args[1], place=call.place)
        return self.condition(infix)

    def contains(self, call: s.Call) -> n.Condition | None:
        """`contains_any(list, ...)`, `contains_all(list, ...)`."""
        if not self.has_arguments(call, 2, None):
            return None
        before = len(self.errors)
        value = self.value(call.args[0])
        options = [self.value(node) for node in call.args[1:]]
        if value is None:
            return None
        if value.type.kind is not Kind.LIST:
            hint = f"write {self.written(call.args[0])} in (...)"
            message = f"`{call.name}` needs a list, and `{self.written(call.args[0], 'this')}` is {a_kind(value.type)}"
            return self.error("R504", message, call.args[0].place, hint)
        pairs = zip(options, call.args[1:], strict=True)
        fine = [option for option, node in pairs if option is not None and self.is_element(value, option, node)]
        if len(self.errors) > before:
            return None
        return n.HasElements(value, tuple(fine), need_all=call.name == "contains_all", place=call.place)

    def at_least(self, call: s.Call) -> n.Condition | None:
        """`at_least(2, cond, cond, cond)`."""
        if not self.has_arguments(call, 2, None):
            return None
        items = self._all([self.condition(node) for node in call.args[1:]])
        first, most = call.args[0], len(call.args) - 1
        if not isinstance(first, s.Number) or not first.text.isdigit():
            return self.error("R509", "`at_least` begins with a whole number", first.place, "as in at_least(2, cond, cond, cond)")
        digits = first.text.lstrip("0")
        if not digits or len(digits) > len(str(most)) or int(digits) > most:
            message = f"of {most} conditions, {first.text} can't be asked for"
            return self.error("R409", message, first.place, f"write a number from 1 to {most}")
        return None if items is None else n.AtLeast(int(digits), items, place=call.place)

    def member(self, call: s.Call) -> n.Condition | None:
        """`member('vip')`, `member('vip', for => '90 days')`."""
        segment = self._segment(call)
        if not call.named:
            return None if segment is None else n.Member(segment, place=call.place)
        duration = self.duration(call.named[0].value, "for => '90 days'")
        if not self._has_history(call) or segment is None or duration is None:
            return None
        return n.Stayed(segment, duration, place=call.place)

    def moved(self, call: s.Call) -> n.Condition | None:
        """`entered('vip', last => '7 days')`, `exited(...)`."""
        segment, bounds = self._segment(call), self.bounds(call)
        if not self._has_history(call) or segment is None or bounds is None:
            return None
        return n.Moved(segment, call.name, bounds.last, bounds.since, bounds.until, bounds.during, place=call.place)

    def _has_history(self, call: s.Call) -> bool:
        """Whether there are runs that can be asked; reported if not."""
        if self.schema.history:
            return True
        asked = f"{call.name}(..., for => ...)" if call.name == "member" else call.name
        hint = "it needs a workspace, whose accepted runs are kept; member('name') asks about now"
        self.error("R602", f"`{asked}` asks what was, and here no runs are kept", call.place, hint)
        return False

    def _segment(self, call: s.Call) -> str | None:
        """The segment that a call names, if there is one of that name."""
        if not self.of_contacts(call) or not self.has_arguments(call, 1, 1):
            return None
        node = call.args[0]
        if not isinstance(node, s.Text):
            name = node.parts[-1] if isinstance(node, s.Name) else "vip"
            return self.error("R509", "a segment's name is written as a text literal", node.place, f"write {call.name}({in_quotes(name)})")
        if node.value not in self.schema.segments:
            similar = nearest(node.value, self.schema.segments)
            return self.error("R600", f"there is no segment `{node.value}`", node.place, f"did you mean `{similar}`?" if similar else None)
        return node.value

    def sample(self, call: s.Call) -> n.Condition | None:
        """`sample('10%', salt => 'exp-7')`: the threshold is the exact share of 16^15, rounded up."""
        if not self.of_contacts(call) or not self.has_arguments(call, 1, 1):
            return None
        share = self.share(call.args[0])
        salt = next((named.value for named in call.named), None)
        if salt is None:
            hint = f"it is {FUNCTIONS['sample'].signature}; another salt gives other contacts"
            return self.error("R503", "`sample` needs a salt", call.place, hint)
        if not isinstance(salt, s.Text) or not salt.value:
            return self.error("R509", "a salt is written as a text literal", salt.place, "as in salt => 'exp-7'")
        if share is None:
            return None
        threshold = ceil(share * 16**SAMPLE_DIGITS)
        digits = None if threshold >= 16**SAMPLE_DIGITS else f"{threshold:0{SAMPLE_DIGITS}x}"
        return n.Sample(salt.value, digits, place=call.place)


CALLS: dict[str, Callable[[Conditions, s.Call], n.Condition | None]] = {
    **dict.fromkeys(OPERATORS, Conditions.infix),
    "contains_any": Conditions.contains,
    "contains_all": Conditions.contains,
    **dict.fromkeys(("any", "all", "none"), Conditions.quantified),
    "at_least": Conditions.at_least,
    "member": Conditions.member,
    "entered": Conditions.moved,
    "exited": Conditions.moved,
    "sample": Conditions.sample,
    "top": Conditions.foremost,
    "bottom": Conditions.foremost,
}
"""Functions that are conditions; `did` is one of the event functions."""
