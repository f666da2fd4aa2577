"""Sets of contacts by segments' names: `vip and not uk`. The rule language with nothing in it but segments."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from segmentry.errors import RuleError
from segmentry.rules import nodes as n
from segmentry.rules import syntax as s
from segmentry.rules.diagnostics import Diagnostic, Place
from segmentry.rules.parse import parse_text
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.suggest import did_you_mean


def set_expression(text: str, names: Collection[str]) -> n.Condition:
    """What such an expression means: `member`, `and`, `or`, `not`, `at_least`, `true`. RuleError with every problem at once.

    A segment's name stands for itself, or in `member('name')`; one that is a word of the language, such as `not`, alone or in
    double quotes.
    """
    if text.strip() in names:
        return n.Member(text.strip())
    reader = _Reader(text, names)
    with deep_recursion():
        found = reader.condition(parse_text(text))
    if found is None or reader.problems:
        raise RuleError(reader.problems)
    return found


@dataclass
class _Reader:
    text: str
    names: Collection[str]
    problems: list[Diagnostic] = field(default_factory=list)

    def condition(self, node: s.Syntax) -> n.Condition | None:
        """The set; None where it is reported why there is none."""
        match node:
            case s.Name(parts=parts):
                return self.segment(".".join(parts), node.place)
            case s.Call(name="member", args=(s.Text(value=name),), named=()):
                return self.segment(name, node.args[0].place)
            case s.Boolean(value=value):
                return n.Always(value)
            case s.Not(item=item):
                inner = self.condition(item)
                return None if inner is None else n.Not(inner)
            case s.And(items=items) | s.Or(items=items):
                found = self.several(items)
                kind = n.And if isinstance(node, s.And) else n.Or
                return None if found is None else kind(found)
            case s.Call(name="at_least", args=(s.Number(text=count), _, *_), named=()) if count.isdigit():
                return self.at_least(int(count), node)
        return self.refuse(node)

    def several(self, items: tuple[s.Syntax, ...]) -> tuple[n.Condition, ...] | None:
        found = [self.condition(item) for item in items]
        return None if None in found else tuple(one for one in found if one is not None)

    def at_least(self, count: int, node: s.Call) -> n.Condition | None:
        found = self.several(node.args[1:])
        if found is None:
            return None
        if 1 <= count <= len(found):
            return n.AtLeast(count, found)
        return self.problem("R502", f"of {len(found)} sets nobody can be in {count}", node.args[0].place, f"write 1 to {len(found)}")

    def segment(self, name: str, place: Place) -> n.Condition | None:
        if name in self.names:
            return n.Member(name)
        return self.problem("R600", f"the run has no segment `{name}`", place, did_you_mean(name, sorted(self.names)))

    def refuse(self, node: s.Syntax) -> n.Condition | None:
        return self.problem(
            "R603", "a set is made of segments alone", node.place, "write names of segments, `and`, `or`, `not` and brackets"
        )

    def problem(self, code: str, message: str, place: Place, hint: str | None) -> n.Condition | None:
        end = max(place.end, min(place.start + 1, len(self.text)))
        self.problems.append(Diagnostic(code, message, place=replace(place, end=end), help=hint, rule=self.text))
        return None
