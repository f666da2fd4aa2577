"""Checking, fifth layer: operators that compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segmentry.rules import nodes as n
from segmentry.rules import syntax as s
from segmentry.rules.arithmetic import OPERATORS
from segmentry.rules.check_events import are_reversed
from segmentry.rules.check_names import in_quotes
from segmentry.rules.check_sequences import Sequences
from segmentry.rules.check_values import CONDITIONS, TIME_KINDS, a_kind, hull
from segmentry.rules.diagnostics import Place
from segmentry.rules.functions import FUNCTIONS
from segmentry.rules.operators import PERIODS
from segmentry.rules.types import TEXT, TIMESTAMP, Kind, Type

COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
TEXT_TESTS = frozenset({"contains", "starts with", "ends with", "matches", "like", "ilike"})
WINDOWS = {"in the last": False, "in the next": True}
"""Operators with a length of time on the right, and whether they look ahead."""

ORDERED = frozenset({Kind.NUMBER, Kind.DATE, Kind.TIMESTAMP, Kind.TEXT})


@dataclass
class Comparisons(Sequences):
    """Checks operators. Every method answers None when it has reported why there is no condition."""

    def comparison(self, node: s.Infix) -> n.Condition | None:
        """`=`, `!=`, `<` and so on."""
        for side, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(other, s.Boolean) and is_condition(side):
                return self._compared_condition(node, side, other)
            if is_missing(other):
                return self._compared_missing(node, side, other)
        sides = self._sides(node.left, node.right)
        if sides is None or not self._comparable(*sides, node.left, node.place):
            return None
        left, right = sides
        if node.op in ("=", "!="):
            equal = equals(left, right, node.place)
            return equal if node.op == "=" else n.Not(equal, place=node.place)
        if left.type.kind not in ORDERED:
            name = self.written(node.left, "x")
            return self.error("R301", f"`{node.op}` is not for {a_kind(left.type)}", node.place, f"write {name}, or not {name}")
        return n.Compare(node.op, left, right, place=node.place)

    def is_in(self, node: s.In) -> n.Condition | None:
        """`x in (a, b)`."""
        if not node.items:
            self.value(node.value)
            return self.error("R408", "`in ()` has nothing to be in", node.place, "name at least one value")
        before = len(self.errors)
        for item in filter(is_missing, node.items):
            hint = f"leave it out, and add `or {self.written(node.value, 'x')} is not set`"
            self.error("R403", "nothing is equal to a missing value", item.place, hint)
        items = [item for item in node.items if not is_missing(item)]
        if isinstance(node.value, s.Text):
            return self._literal_in(node, items)
        value = self.value(node.value)
        options = [self._operand(item, None if value is None else value.type) for item in items]
        if value is None:
            return None
        if value.type.kind is Kind.LIST:
            self._comparable(value, value, node.value, node.place)
            return None
        fine = [option for option in options if option is not None]
        same = [self._comparable(value, option, node.value, option.place) for option in fine]
        return n.In(value, tuple(fine), place=node.place) if all(same) and len(self.errors) == before else None

    def _literal_in(self, node: s.In, items: Sequence[s.Syntax]) -> n.Condition | None:
        """`'UK' in (location, country)`: the literal is read beside each."""
        before = len(self.errors)
        sides = [self._sides(node.value, item) for item in items]
        fine = [pair for pair in sides if pair is not None and self._comparable(*pair, node.value, pair[1].place)]
        if len(self.errors) > before or len(fine) < len(node.items):
            return None
        equal = tuple(equals(left, right, node.place) for left, right in fine)
        return equal[0] if len(equal) == 1 else n.Or(equal, place=node.place)

    def between(self, node: s.Between) -> n.Condition | None:
        """`x between a and b`, both ends in."""
        value = self.value(node.value)
        low, high = (self._operand(bound, None if value is None else value.type) for bound in (node.low, node.high))
        if value is None or low is None or high is None:
            return None
        if value.type.kind not in (Kind.NUMBER, *TIME_KINDS):
            name = self.written(node.value, "x")
            hint = f"write {name} at least ... and {name} at most ..." if value.type == TEXT else None
            return self.error("R301", f"`between` is for numbers, dates and timestamps, not {a_kind(value.type)}", node.place, hint)
        same = [self._comparable(value, bound, node.value, bound.place) for bound in (low, high)]
        if not all(same):
            return None
        if are_reversed(low, high):
            return self.error("R404", "the lower bound of `between` is above the upper one", hull(low.place, high.place), "swap them")
        ends = n.Compare(">=", value, low, place=node.place), n.Compare("<=", value, high, place=node.place)
        return n.And(ends, place=node.place)

    def text_test(self, node: s.Infix) -> n.Condition | None:
        """`contains`, `starts with`, `ends with`, `matches`, `like`, `ilike`."""
        value = self.value(node.left)
        if value is not None and value.type.kind not in (Kind.TEXT, Kind.LIST):
            subject = "text and lists" if node.op == "contains" else "text"
            written = self.written(node.left, "this")
            return self.error("R301", f"`{node.op}` is for {subject}, and `{written}` is {a_kind(value.type)}", node.place)
        if is_missing(node.right):
            name = self.written(node.left, "x")
            return self.error("R403", f"`{node.op}` needs a text that is not empty", node.right.place, f"write {name} is set")
        pattern = self._operand(node.right, None if value is None else value.type)
        if value is None or pattern is None:
            return None
        if value.type.kind is Kind.LIST:
            return self._list_test(node, value, pattern)
        if pattern.type != TEXT:
            hint = f"write {in_quotes(node.right.text)}" if isinstance(node.right, s.Number) else None
            return self.error("R300", f"`{node.op}` needs text, not {a_kind(pattern.type)}", node.right.place, hint)
        if node.op == "matches" and not self._is_pattern(node.right):
            return None
        return n.TextTest(node.op, value, pattern, place=node.place)

    def _list_test(self, node: s.Infix, value: n.Value, pattern: n.Value) -> n.Condition | None:
        name = self.written(node.left, "list")
        if node.op != "contains":
            message = f"`{node.op}` is for text, and `{name}` is {a_kind(value.type)}"
            return self.error("R301", message, node.place, f"write {name} contains ...")
        if not self.is_element(value, pattern, node.right):
            return None
        return n.HasElements(value, (pattern,), place=node.place)

    def is_element(self, value: n.Value, option: n.Value, written: s.Syntax) -> bool:
        """Whether something can be an element of a list; reported if not."""
        element = value.type.element
        if element is None or option.type.kind is element.kind:
            return True
        hint = None
        if element.kind is Kind.STRUCT:
            hint = f"ask for a field of the elements: any(list, element.{element.fields[0][0]} = ...)"
        elif isinstance(written, s.Number):
            hint = f"write {in_quotes(written.text)}"
        elif isinstance(written, s.Text):
            hint = "write a number without quotes"
        self.error("R300", f"{a_kind(option.type)} can't be in {a_kind(value.type)}", written.place, hint)
        return False

    def _is_pattern(self, node: s.Syntax) -> bool:
        """Whether this is a regular expression that RE2 takes; reported if not."""
        if not isinstance(node, s.Text):
            self.error("R509", "a regular expression is written as a text literal", node.place)
            return False
        problem = self.schema.regex_error(node.value)
        if problem is None:
            return True
        self.error("R406", f"RE2 refuses this pattern: {problem}", node.place)
        return False

    def in_window(self, node: s.Infix) -> n.Condition | None:
        """`x in the last '30 days'`."""
        value = self.value(node.left, TIMESTAMP)
        of_date = value is not None and value.type.kind is Kind.DATE
        duration = self.duration(node.right, self._length_meant(node), of_date=of_date)
        if value is None or duration is None:
            return None
        if value.type.kind not in TIME_KINDS:
            written = self.written(node.left, "this")
            return self.error("R301", f"`{node.op}` is for dates and timestamps, and `{written}` is {a_kind(value.type)}", node.place)
        return n.InWindow(value, duration, WINDOWS[node.op], place=node.place)

    def _length_meant(self, node: s.Infix) -> str:
        """What to write for a length of time; `in the last month` may mean the calendar's."""
        unit = node.right.parts[0].lower() if isinstance(node.right, s.Name) else ""
        period = f"{'next' if WINDOWS[node.op] else 'last'} {unit}"
        return f"x {node.op} '1 {unit}', or for the calendar's: x in {period}" if period in PERIODS else f"x {node.op} '30 days'"

    def during(self, node: s.Infix) -> n.Condition | None:
        """`x in this month`, `x is yesterday`, `x during 'last quarter'`."""
        value = self.value(node.left, TIMESTAMP)
        period = self.period(node.right, "x during 'last month'")
        if value is None or period is None:
            return None
        if value.type.kind not in TIME_KINDS:
            written = self.written(node.left, "this")
            message = f"a calendar period is for dates and timestamps, and `{written}` is {a_kind(value.type)}"
            return self.error("R301", message, node.place)
        return n.During(value, period, place=node.place)

    # ------------------------------------------------------------ the sides

    def _sides(self, left: s.Syntax, right: s.Syntax) -> tuple[n.Value, n.Value] | None:
        """Two sides of an operator; a text literal is read by the type of the other side."""
        if isinstance(left, s.Text):
            second = self.value(right)
            first = None if second is None else self.value(left, second.type)
        else:
            first = self.value(left)
            second = self._operand(right, None if first is None else first.type)
        return None if first is None or second is None else (first, second)

    def _operand(self, node: s.Syntax, beside: Type | None) -> n.Value | None:
        if isinstance(node, s.Name):
            return self.field(node, text_meant=beside == TEXT)
        # beside something that is wrong itself, a text can't be judged
        return None if isinstance(node, s.Text) and beside is None else self.value(node, beside)

    def _comparable(self, left: n.Value, right: n.Value, subject: s.Syntax, place: Place) -> bool:
        """Whether two values compare; reported if not."""
        kinds = (left.type.kind, right.type.kind)
        if Kind.LIST in kinds:
            name = self.written(subject, "list")
            self.error("R301", "a list is not compared as a whole", place, f"write {name} contains ..., or contains_any({name}, ...)")
            return False
        if kinds[0] is kinds[1] or all(kind in TIME_KINDS for kind in kinds):
            return True
        self.error("R300", f"{a_kind(left.type)} and {a_kind(right.type)} don't compare", place, conversion(left, right))
        return False

    # ------------------------------------------------------------ comparisons that say nothing

    def _compared_condition(self, node: s.Infix, side: s.Syntax, truth: s.Boolean) -> n.Condition | None:
        """`did(x) = false`."""
        before = len(self.errors)
        self.condition(side)
        if len(self.errors) > before:
            return None
        written = self.written(side, "the condition")
        negated = f"not {written}" if isinstance(side, s.Call) else f"not ({written})"
        rewrite = f"write {written}" if truth.value is (node.op == "=") else f"write {negated}"
        return self.error("R304", "a condition is true or false already", node.place, rewrite if node.op in ("=", "!=") else None)

    def _compared_missing(self, node: s.Infix, side: s.Syntax, missing: s.Syntax) -> n.Condition | None:
        """`x = null`, `x = ''`."""
        if not is_missing(side):
            self.value(side)
        what = "null" if isinstance(missing, s.Null) else "the empty text, which counts as missing"
        verb = "is set" if node.op == "!=" else "is not set"
        return self.error("R403", f"nothing compares with {what}", node.place, f"write {self.written(side, 'x')} {verb}")


def equals(left: n.Value, right: n.Value, place: Place) -> n.Condition:
    """`left = right`; a boolean that equals true is a condition by itself."""
    if isinstance(right, n.Constant) and right.value is True:
        return n.Always(bool(left.value), place=place) if isinstance(left, n.Constant) else n.Truth(left, place=place)
    return n.Compare("=", left, right, place=place)


def is_missing(node: s.Syntax) -> bool:
    """Whether this is null or the empty text."""
    return isinstance(node, s.Null) or (isinstance(node, s.Text) and node.value == "")


def is_condition(node: s.Syntax) -> bool:
    """Whether this is certainly a condition and no value, by its form."""
    if isinstance(node, s.Call):
        function = FUNCTIONS.get(node.name)
        return function is not None and function.is_condition
    return isinstance(node, CONDITIONS) or (isinstance(node, s.Infix) and node.op not in OPERATORS)


def conversion(left: n.Value, right: n.Value) -> str | None:
    """What makes two values comparable."""
    return _conversion(left, right) or _conversion(right, left)


def _conversion(value: n.Value, other: n.Value) -> str | None:
    """What to do with the first of them."""
    name = value.name if isinstance(value, n.Field) else "x"
    if isinstance(value, n.Constant) and isinstance(value.value, str):
        if other.type.kind not in (Kind.NUMBER, Kind.BOOLEAN):
            return None
        literal = value.value if is_plain(value.value, other.type.kind) else a_kind(other.type)
        return f"write {literal} without quotes"
    if value.type == TEXT and other.type.kind is Kind.NUMBER:
        literal = f", or {in_quotes(str(other.value))} for text" if isinstance(other, n.Constant) else ""
        return f"write number({name}) to compare numbers{literal}"
    if value.type.kind is Kind.BOOLEAN and not (isinstance(other, n.Constant) and isinstance(other.value, str)):
        return f"a boolean is a condition by itself: write {name}, or not {name}"
    if value.type.kind in TIME_KINDS and other.type.kind is Kind.NUMBER:
        return "write a date in quotes, as in '2026-01-31', or ago('30 days')"
    return None


def is_plain(text: str, kind: Kind) -> bool:
    """Whether a quoted text would be a literal of that kind without its quotes."""
    if kind is Kind.BOOLEAN:
        return text.lower() in ("true", "false")
    return text.isascii() and text.removeprefix("-").replace(".", "", 1).isdigit()
