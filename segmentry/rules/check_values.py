"""Checking, second layer: values, that is literals, fields, arithmetic and scalar functions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation

from segmentry.rules import nodes as n
from segmentry.rules import syntax as s
from segmentry.rules.arithmetic import MOST_CHANGES, OPERATORS, result_type, unified
from segmentry.rules.check_names import Names, in_quotes
from segmentry.rules.diagnostics import Place
from segmentry.rules.functions import FUNCTIONS, INSTEAD, Function, Group
from segmentry.rules.suggest import nearest
from segmentry.rules.times import (
    DURATION_HELP,
    WITHIN_A_DAY,
    LiteralError,
    is_duration,
    is_moment,
    parse_duration,
    parse_moment,
    parse_period,
)
from segmentry.rules.types import BOOLEAN, DATE, MAX_DIGITS, TEXT, TIMESTAMP, Kind, Type, exact

COMBINE = "a condition has nothing to compare; use and, or, not"
PERIOD_OR_DAY = "a day is compared with =, several with between"
TIME_KINDS = (Kind.DATE, Kind.TIMESTAMP)
STARTS = {unit.value: unit for unit in (n.Unit.WEEK, n.Unit.MONTH, n.Unit.QUARTER, n.Unit.YEAR)}
CONDITIONS = (s.And, s.Or, s.Not, s.Between, s.In, s.IsSet)


@dataclass
class Values(Names):
    """Checks what stands for a value. Every method answers None when it has reported why there is none."""

    @abstractmethod
    def condition(self, node: s.Syntax) -> n.Condition | None:
        """The condition that a piece of syntax is."""

    @abstractmethod
    def ranked(self, call: s.Call) -> n.Value | None:
        """The value of `ntile`."""

    @abstractmethod
    def aggregate(self, call: s.Call, function: Function) -> n.Value | None:
        """The value of an event function."""

    @abstractmethod
    def how_many(self, call: s.Call) -> n.Value | None:
        """How many elements of a list some conditions hold for."""

    def value(self, node: s.Syntax, beside: Type | None = None) -> n.Value | None:
        """The value that a piece of syntax is; a text literal beside a date or timestamp is read as one."""
        match node:
            case s.Name():
                return self.field(node)
            case s.Text():
                return self.text(node, beside)
            case s.Number():
                return self.number(node)
            case s.Boolean():
                return n.Constant(BOOLEAN, node.value, place=node.place)
            case s.Null():
                return self.error("R403", "nothing is equal to null", node.place, "write `is not set`")
            case s.Call():
                return self.call(node)
            case s.Negative():
                return self.negative(node)
            case s.Infix() if node.op in OPERATORS:
                return self.arithmetic(node)
        return self._no_value(node)

    def _no_value(self, node: s.Syntax) -> n.Value | None:
        """A condition stands where a value is needed; its own problems are told too."""
        if isinstance(node, (s.Infix, *CONDITIONS)):
            before = len(self.errors)
            self.condition(node)
            if len(self.errors) == before:
                self.error("R302", f"`{self.written(node, 'this')}` is a condition, not a value", node.place, COMBINE)
            return None
        return self.error("R302", "a value is needed here", node.place)

    # ------------------------------------------------------------ literals

    def text(self, node: s.Text, beside: Type | None = None) -> n.Constant | None:
        """A text literal, or the day, instant that it says beside a date or timestamp."""
        if beside is not None and beside.kind in TIME_KINDS:
            return self.moment(node)
        if node.value == "":
            return self.error("R403", "the empty text counts as missing, so nothing is equal to it", node.place, "write `is not set`")
        return n.Constant(TEXT, node.value, place=node.place)

    def moment(self, node: s.Text) -> n.Constant | None:
        """A text literal as a day or an instant."""
        if node.value == "":
            return self.error("R403", "the empty text counts as missing, so nothing is equal to it", node.place, "write `is not set`")
        try:
            moment = parse_moment(node.value)
        except LiteralError as problem:
            hint = f"write ago({in_quotes(node.value)}) or ahead({in_quotes(node.value)})" if is_duration(node.value) else problem.hint
            return self.error("R400", problem.message, node.place, hint)
        if isinstance(moment, datetime):
            return n.Constant(TIMESTAMP, moment, place=node.place)
        return n.Constant(DATE, moment, place=node.place)

    def duration(self, node: s.Syntax, example: str, *, of_date: bool = False) -> n.Duration | None:
        """A length of time, which must be written as a text literal; of whole days where it moves a date."""
        if not isinstance(node, s.Text):
            hint = f"write {in_quotes(node.text + ' days')}" if isinstance(node, s.Number) else f"as in {example}"
            return self.error("R509", "a length of time is written as a text literal", node.place, hint)
        try:
            duration = parse_duration(node.value)
        except LiteralError as problem:
            return self.error("R401", problem.message, node.place, DURATION_HELP if is_moment(node.value) else problem.hint)
        if of_date and duration.unit in WITHIN_A_DAY:
            return self.error("R402", f"a date has no {duration.unit}s", node.place, "write days, weeks, months or years")
        return duration

    def period(self, node: s.Syntax, example: str) -> n.Period | None:
        """A calendar period, which must be written as a text literal."""
        if not isinstance(node, s.Text):
            return self.error("R509", "a calendar period is written as a text literal", node.place, f"as in {example}")
        try:
            return parse_period(node.value)
        except LiteralError as problem:
            hint = f"write in the last {in_quotes(node.value)}" if is_duration(node.value) else problem.hint
            return self.error("R410", problem.message, node.place, PERIOD_OR_DAY if is_moment(node.value) else hint)

    def number(self, node: s.Number, *, negative: bool = False, place: Place | None = None) -> n.Constant | None:
        """A number literal with exactly its digits."""
        place = place or node.place
        try:
            value = Decimal(node.text)
        except InvalidOperation:
            return self.error("R405", "this is no number of at most 38 digits", place)
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        scale = max(-exponent, 0)
        whole = max(len(digits) + exponent, 0) if value else 1
        if whole + scale > MAX_DIGITS:
            return self.error("R405", "a number has at most 38 digits", place)
        # copy_negate and int() don't round; the operators of Decimal would, to 28 digits
        value = Decimal(int(value)) if exponent > 0 else value
        return n.Constant(exact(max(whole + scale, 1), scale), value.copy_negate() if negative and value else value, place=place)

    def negative(self, node: s.Negative) -> n.Value | None:
        if isinstance(node.value, s.Number):
            return self.number(node.value, negative=True, place=node.place)
        value = self.value(node.value)
        if value is None or not self._is_number(node.value, value):
            return None
        return n.Call(value.type, "negate", (value,), place=node.place)

    # ------------------------------------------------------------ arithmetic

    def arithmetic(self, node: s.Infix) -> n.Value | None:
        """A chain of arithmetic, in one loop however long it is: runs of one operator become one node."""
        chain: list[tuple[s.Infix, s.Syntax]] = []
        first: s.Syntax = node
        while isinstance(first, s.Infix) and first.op in OPERATORS:
            chain.append((first, first.right))
            first = first.left
        chain.reverse()
        if self._is_hyphenated(first, chain):
            return None
        left = self.value(first)
        if left is not None and left.type.kind in TIME_KINDS:
            return self._moved(left, first, chain)
        operands = [left] + [self.value(right) for _, right in chain]
        written = [first] + [right for _, right in chain]
        numbers = [value for value, was in zip(operands, written, strict=True) if value is not None and self._is_number(was, value)]
        return self._folded(numbers, [infix for infix, _ in chain]) if len(numbers) == len(operands) else None

    def _folded(self, numbers: Sequence[n.Value], chain: Sequence[s.Infix]) -> n.Value | None:
        whole = numbers[0]
        run: list[n.Value] = [whole]
        changes = 0
        for index, (infix, right) in enumerate(zip(chain, numbers[1:], strict=True)):
            result = result_type(infix.op, whole.type, right.type)
            if result is None:
                return self.error("R306", "this product has more than 38 digits after the point", infix.place, "round one of its factors")
            if index and infix.op != chain[index - 1].op:
                run = [whole]
                changes += 1
            run.append(right)
            last = index + 1 == len(chain) or chain[index + 1].op != infix.op
            # inside a run only the type is needed; its node is made once, at the run's end
            whole = n.Call(result, infix.op, tuple(run) if last else (right,), place=infix.place)
        if changes > MOST_CHANGES:
            message = f"this arithmetic changes its operator more than {MOST_CHANGES} times"
            return self.error("R309", message, chain[-1].place, "use fewer terms")
        return whole

    def _is_number(self, node: s.Syntax, value: n.Value) -> bool:
        """Whether a value is a number; reported if not."""
        if value.type.kind is Kind.NUMBER:
            return True
        hint = None
        if isinstance(node, s.Text):
            hint = "write a number without quotes"
        elif value.type.kind is Kind.TEXT:
            hint = f"write number({self.written(node)})"
        self.error("R305", self._no_number(node, value), node.place, hint)
        return False

    def _no_number(self, node: s.Syntax, value: n.Value) -> str:
        return f"`{self.written(node, 'this')}` is {a_kind(value.type)}, and arithmetic needs numbers"

    def _moved(self, day: n.Value, first: s.Syntax, chain: Sequence[tuple[s.Infix, s.Syntax]]) -> n.Value | None:
        """`today() - '5 days'`: a day of the run, moved."""
        if not isinstance(day, n.Day):
            return self.error("R305", self._no_number(first, day), chain[0][0].place, self._moved_clock(day, first, chain[0]))
        shifts: list[tuple[int, n.Duration]] = []
        for infix, right in chain:
            if infix.op not in "+-":
                hint = "move it with + or -, as in today() - '5 days'"
                return self.error("R305", f"a day can't be used with `{infix.op}`", infix.place, hint)
            duration = self.duration(right, "today() - '5 days'", of_date=True)
            if duration is not None:
                shifts.append((1 if infix.op == "+" else -1, duration))
        if len(shifts) < len(chain):
            return None
        return n.Day(unit=day.unit, shifts=day.shifts + tuple(shifts), place=chain[-1][0].place)

    def _moved_clock(self, day: n.Value, first: s.Syntax, step: tuple[s.Infix, s.Syntax]) -> str | None:
        """What to write instead of moving an instant, or a field."""
        infix, right = step
        if not isinstance(right, s.Text) or infix.op not in "+-":
            return None
        length = in_quotes(right.value)
        if isinstance(day, n.AsOf):
            return f"write ago({length})" if infix.op == "-" else f"write ahead({length})"
        clock = f"ago({length})" if infix.op == "+" else f"ahead({length})"
        return f"move the other side: compare {self.written(first, 'it')} with {clock}"

    def _is_hyphenated(self, first: s.Syntax, chain: Sequence[tuple[s.Infix, s.Syntax]]) -> bool:
        """Whether `a-b` was written for a field of that name; reported if so."""
        names: list[s.Name] = []
        for node, op in [(first, "-"), *((right, infix.op) for infix, right in chain[:5])]:
            if not isinstance(node, s.Name) or op != "-":
                break
            names.append(node)
        for length in range(len(names), 1, -1):
            column = self.hyphenated(names[:length])
            if column is not None:
                place = hull(names[0].place, names[length - 1].place)
                hint = f'write "{column}", or put spaces around - to subtract'
                self.error("R205", f"`{column}` has a hyphen, so it needs quotes", place, hint)
                return True
        return False

    # ------------------------------------------------------------ functions

    def known(self, call: s.Call) -> Function | None:
        """The function of a call, if this version has it."""
        function = FUNCTIONS.get(call.name)
        if function is None:
            instead = INSTEAD.get(call.name)
            similar = nearest(call.name, FUNCTIONS)
            hint = f"write {instead}" if instead else f"did you mean `{similar}`?" if similar else None
            return self.error("R500", f"there is no function `{call.name}`", call.place, hint)
        if not function.available:
            return self.error("R501", f"`{call.name}` is not in this version", call.place)
        return function

    def call(self, call: s.Call) -> n.Value | None:
        function = self.known(call)
        if function is None:
            return None
        if function.is_condition:
            return self._no_value_call(call)
        if function.group is Group.EVENT:
            return self.aggregate(call, function)
        if not self.only_keywords(call, function):
            return None
        if function.group is Group.POPULATION:
            return self.ranked(call)
        special = SPECIAL.get(call.name)
        return self._plain(call, function) if special is None else special(self, call)

    def _no_value_call(self, call: s.Call) -> n.Value | None:
        before = len(self.errors)
        self.condition(call)
        if len(self.errors) == before:
            hint = "did you mean count(...)?" if call.name == "did" else COMBINE
            self.error("R302", f"`{call.name}(...)` is a condition, not a value", call.place, hint)
        return None

    def only_keywords(self, call: s.Call, function: Function) -> bool:
        """Whether a call has only the keyword arguments its function knows, each once; reported if not."""
        fine = True
        seen: set[str] = set()
        for named in call.named:
            if named.name not in function.keywords:
                similar = nearest(named.name, function.keywords)
                hint = f"did you mean `{similar} =>`?" if similar else f"it is {function.signature}"
                self.error("R503", f"`{call.name}` has no keyword `{named.name}`", named.place, hint)
                fine = False
            elif named.name in seen:
                self.error("R503", f"`{named.name} =>` is given twice", named.place)
                fine = False
            seen.add(named.name)
        return fine

    def has_arguments(self, call: s.Call, least: int, most: int | None) -> bool:
        """Whether a call has that many arguments; reported if not."""
        count = len(call.args)
        if count >= least and (most is None or count <= most):
            return True
        wanted = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
        plural = "argument" if wanted == "1" else "arguments"
        self.error("R502", f"`{call.name}` takes {wanted} {plural}, not {count}", call.place, f"it is {FUNCTIONS[call.name].signature}")
        return False

    def _plain(self, call: s.Call, function: Function) -> n.Value | None:
        """A function whose arguments are values of fixed kinds."""
        if not self.has_arguments(call, len(function.takes), len(function.takes)) or function.gives is None:
            return None
        args = [self._argument(call, node, kinds) for node, kinds in zip(call.args, function.takes, strict=True)]
        fine = [arg for arg in args if arg is not None]
        return n.Call(function.gives(fine[0].type), call.name, tuple(fine), place=call.place) if len(fine) == len(args) else None

    def _argument(self, call: s.Call, node: s.Syntax, kinds: tuple[Kind, ...]) -> n.Value | None:
        value = self.value(node, TIMESTAMP if Kind.TIMESTAMP in kinds else None)
        if value is None or value.type.kind in kinds:
            return value
        wanted = " or ".join(a_kind(Type(kind)) for kind in kinds)
        hint = None
        if Kind.NUMBER in kinds and isinstance(value, n.Field) and value.type == TEXT:
            hint = f"write number({self.written(node)})"
        if call.name == "number" and value.type.kind is Kind.NUMBER:
            hint = "it is a number already"
        if call.name == "hour" and value.type.kind is Kind.DATE:
            hint = "a date has no hours"
        message = f"`{call.name}` needs {wanted}, and `{self.written(node, 'this')}` is {a_kind(value.type)}"
        return self.error("R504", message, node.place, hint)

    def clock(self, call: s.Call) -> n.Value | None:
        """`now()`, `ago(d)`, `ahead(d)`, `today()`, `start_of(unit)`."""
        if call.name in ("now", "today"):
            if not self.has_arguments(call, 0, 0):
                return None
            return n.AsOf(place=call.place) if call.name == "now" else n.Day(place=call.place)
        if not self.has_arguments(call, 1, 1):
            return None
        if call.name == "start_of":
            return self._start_of(call)
        duration = self.duration(call.args[0], FUNCTIONS[call.name].signature)
        sign = -1 if call.name == "ago" else 1
        return None if duration is None else n.AsOf(shift=duration, sign=sign, place=call.place)

    def _start_of(self, call: s.Call) -> n.Value | None:
        node = call.args[0]
        unit = STARTS.get(node.value.lower()) if isinstance(node, s.Text) else None
        if unit is None:
            message = "`start_of` knows 'week', 'month', 'quarter' and 'year'"
            return self.error("R409", message, node.place, "for the day itself write today()")
        return n.Day(unit=unit, place=call.place)

    def day(self, call: s.Call) -> n.Value | None:
        """`date(x)`, which leaves a date as it is."""
        value = self._plain(call, FUNCTIONS["date"])
        return value.args[0] if isinstance(value, n.Call) and value.args[0].type == DATE else value

    def next_anniversary(self, call: s.Call) -> n.Value | None:
        """`next_anniversary(x)`, of an instant's day."""
        value = self._plain(call, FUNCTIONS["next_anniversary"])
        if not isinstance(value, n.Call) or value.args[0].type == DATE:
            return value
        day = n.Call(DATE, "date", value.args, place=value.args[0].place)
        return n.Call(DATE, "next_anniversary", (day,), place=call.place)

    def coalesce(self, call: s.Call) -> n.Value | None:
        """`coalesce(a, b, ...)`: one type for all; dates among instants become their first instants."""
        if not self.has_arguments(call, 2, None):
            return None
        known = [None if isinstance(node, s.Text) else self.value(node) for node in call.args]
        if any(value is None and not isinstance(node, s.Text) for node, value in zip(call.args, known, strict=True)):
            return None
        types = [value.type for value in known if value is not None]
        beside = next((known_type for known_type in types if known_type.kind in TIME_KINDS), None)
        values = [self.text(node, beside) if isinstance(node, s.Text) else value for node, value in zip(call.args, known, strict=True)]
        fine = [value for value in values if value is not None]
        if len(fine) < len(values):
            return None
        if beside is not None and any(value.type == TIMESTAMP for value in fine):
            fine = [first_instant(value) for value in fine]
        return self._one_type(call, fine)

    def _one_type(self, call: s.Call, values: Sequence[n.Value]) -> n.Value | None:
        common = values[0].type
        for node, value in zip(call.args, values, strict=True):
            both = unified(common, value.type)
            if both is None:
                hint = "number(x) makes a text a number" if {common.kind, value.type.kind} == {Kind.TEXT, Kind.NUMBER} else None
                message = f"`coalesce` needs values of one type, not {a_kind(common)} and {a_kind(value.type)}"
                return self.error("R307", message, node.place, hint)
            common = both
        return n.Call(common, "coalesce", tuple(values), place=call.place)


SPECIAL: dict[str, Callable[[Values, s.Call], n.Value | None]] = {
    "now": Values.clock,
    "ago": Values.clock,
    "ahead": Values.clock,
    "today": Values.clock,
    "start_of": Values.clock,
    "date": Values.day,
    "next_anniversary": Values.next_anniversary,
    "coalesce": Values.coalesce,
    "how_many": lambda checker, call: checker.how_many(call),
}
"""Scalar functions that are more than a name with typed arguments."""


def first_instant(value: n.Value) -> n.Value:
    """A date as its first instant; an instant as it is."""
    return n.Call(TIMESTAMP, "instant", (value,), place=value.place) if value.type == DATE else value


PLURAL = {Kind.NUMBER: "numbers", Kind.STRUCT: "structs"}


def a_kind(of: Type) -> str:
    """`a number`, `text`, `a list of text`: a type in a sentence."""
    if of.kind is Kind.LIST and of.element is not None:
        return f"a list of {PLURAL.get(of.element.kind, of.element)}"
    return str(of) if of.kind is Kind.TEXT else f"a {of.kind}"


def hull(first: Place, last: Place) -> Place:
    """From the beginning of one place to the end of another."""
    return Place(min(first.start, last.start), max(first.end, last.end), first.path)
