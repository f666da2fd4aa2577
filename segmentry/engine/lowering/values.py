"""Typed nodes to expressions over the columns of one query: contacts, or the rows of one event table.

An expression may be needed twice (by two leaves, or within one). It then becomes a column of an earlier stage: the query
is a row of nested selects, `stages[0]` innermost, and a `Sql`'s level tells which stage's columns it may read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

from sqlglot import exp

from segmentry.engine.lowering import sql
from segmentry.engine.lowering.calendar import Calendar
from segmentry.engine.lowering.canon import Canon
from segmentry.engine.lowering.elements import how_many
from segmentry.engine.lowering.numbers import COMPARISONS, HELD_BY_A_DOUBLE, Numbers, constant
from segmentry.engine.lowering.operations import Operations
from segmentry.engine.lowering.shapes import Sql, held_as, is_integer, made_of, missing, verdict
from segmentry.engine.lowering.stored import read_part
from segmentry.rules import nodes
from segmentry.rules.arithmetic import result_type
from segmentry.rules.letters import simple_lower
from segmentry.rules.nodes import Scope
from segmentry.rules.types import BOOLEAN, DATE, TEXT, TIMESTAMP, Kind, Type

DEEPEST = 24
"""Trees deeper than this are cut into stages; engines and SQL writers recurse."""

Resolve = Callable[[nodes.Aggregate], Sql]
ResolveRanked = Callable[[nodes.Ranked], Sql]


class Lowering:
    """Lowers the values and conditions of one query. `fields` are its columns; `stages` fill up on the way."""

    def __init__(
        self,
        ops: Operations,
        canon: Canon,
        fields: Mapping[tuple[Scope, str], Sql],
        calendar: Calendar,
        *,
        key_text: Sql | None = None,
        aggregate: Resolve | None = None,
        ranked: ResolveRanked | None = None,
        carried: Mapping[nodes.Value, Sql] | None = None,
        prefix: str = "v",
        element: Sql | None = None,
    ) -> None:
        self.ops = ops
        self.canon = canon
        self.stages: list[dict[str, sql.Expr]] = []
        self.numbers = (ops.numbers or Numbers)(ops, self.named)
        self._fields = fields
        self._calendar = calendar
        self._key_text = key_text
        self._aggregate = aggregate
        self._ranked = ranked
        self._carried = carried or {}
        self.prefix = prefix
        self._element = element
        self._done: dict[int, Sql] = {}
        self._lowered: dict[int, Sql] = {}
        self._salted: dict[str, Sql] = {}
        self._count = 0

    # ---------------------------------------------------------------- stages

    def named(self, value: Sql) -> Sql:
        """The value as something that may stand twice: a literal or a column."""
        if isinstance(value.expr, exp.Column) or value.constant is not None:
            return replace(value, expr=value.expr.copy())
        while len(self.stages) <= value.level:
            self.stages.append({})
        self._count += 1
        name = sql.internal(f"{self.prefix}{self._count}")
        self.stages[value.level][name] = value.expr
        return Sql(sql.column(name), value.type, value.held, value.level + 1, 1, value.finite, span=value.span)

    def _shallow(self, value: Sql) -> Sql:
        """The value, as a column if its tree has grown deep."""
        return self.named(value) if value.depth > DEEPEST else value

    def of_elements(self, element: Sql) -> Lowering:
        """A lowering of conditions on a list's elements, over the same columns; its stages are of elements, not of rows."""
        return Lowering(
            self.ops, self.canon, self._fields, self._calendar, carried=self._carried, prefix=f"{self.prefix}_e", element=element
        )

    def element(self) -> Sql:
        """The element that conditions are about."""
        assert self._element is not None
        return replace(self._element, expr=self._element.expr.copy())

    # ---------------------------------------------------------------- values

    def value(self, node: nodes.Value) -> Sql:
        """The node's value, NULL where it is missing. No recursion: a chain of sums may be thousands long."""
        pending: list[tuple[nodes.Value, bool]] = [(node, False)]
        while pending:
            current, entered = pending.pop()
            number = self.canon.number(current)
            if number in self._done:
                continue
            args = current.args if isinstance(current, nodes.Call) else ()
            if args and not entered:
                pending.append((current, True))
                pending.extend((arg, False) for arg in args)
                continue
            made = self._value(current, [self._again(arg) for arg in args])
            # the elements of a list are read once for each condition: there a stage costs more than a repeated `lower`
            lower = isinstance(current, nodes.Call) and current.function == "lower" and self._element is None
            shared = isinstance(current, (nodes.Call, nodes.HowMany)) and (self.canon.uses[number] > 1 or lower)
            self._done[number] = self.named(made) if shared else self._shallow(made)
        return self._again(node)

    def _again(self, node: nodes.Value) -> Sql:
        made = self._done[self.canon.number(node)]
        return replace(made, expr=made.expr.copy())

    def _value(self, node: nodes.Value, args: list[Sql]) -> Sql:
        match node:
            case nodes.Field() | nodes.Former() | nodes.Part() if node in self._carried:
                return self._carried[node]
            case nodes.Field():
                return self._as_typed(self._fields.get((node.scope, node.name)), node.type)
            case nodes.Constant():
                return self.constant(node)
            case nodes.Aggregate() if self._aggregate is not None:
                return self._aggregate(node)
            case nodes.Ranked() if self._ranked is not None:
                return self._ranked(node)
            case nodes.Call():
                return self._call(node, args)
            case nodes.Part(of=of, name=name):
                return self.part(self.value(of), name, node.type)
            case nodes.Element():
                return self.element()
            case nodes.HowMany():
                return how_many(self, node)
        raise TypeError(f"a grounded tree has no {type(node).__name__} here")

    def part(self, of: Sql, name: str, type: Type) -> Sql:
        """A field of a struct."""
        return self._as_typed(read_part(self.ops, replace(of, expr=of.expr.copy()), name), type)

    def _as_typed(self, found: Sql | None, type: Type) -> Sql:
        """What one table has, as of the type that it has in all of them; missing where this one has nothing of the kind."""
        if found is None:
            return missing(self.ops, type)
        if found.type == type:
            return found
        if found.type.kind is Kind.NUMBER and type.kind is Kind.NUMBER:
            return self.numbers.converted(found, type)
        return found if found.type.kind is type.kind else missing(self.ops, type)

    def constant(self, node: nodes.Constant) -> Sql:
        """A literal."""
        value = node.value
        if isinstance(value, bool):
            return Sql(sql.boolean(value), BOOLEAN, "BOOLEAN", constant=value)
        if isinstance(value, Decimal):
            return constant(value)
        if isinstance(value, str):
            return Sql(sql.text(value), TEXT, "VARCHAR", constant=value)
        if isinstance(value, datetime):
            return Sql(instant(self.ops, value), TIMESTAMP, "TIMESTAMP", constant=value)
        if isinstance(value, date):
            return Sql(self.ops("cast", sql.text(value.isoformat()), "DATE"), DATE, "DATE", constant=value)
        raise TypeError(f"a grounded tree has no {type(value).__name__} here")

    def _call(self, node: nodes.Call, args: list[Sql]) -> Sql:
        function, numbers = node.function, self.numbers
        if function in ("+", "-", "*", "/", "%"):
            made = args[0]
            for number, arg in enumerate(args[1:], 2):
                # each step of a chain has its own type: a product of integers is exact, also before a float
                step = node.type if number == len(args) else result_type(function, made.type, arg.type) or node.type
                made = numbers.arithmetic(function, self._shallow(made), arg, step)
            return made
        if function == "negate":
            return numbers.negated(args[0], node.type)
        if function in ("abs", "round", "floor", "ceil"):
            return numbers.rounded(function, args[0], node.type)
        if function == "number":
            written = self.named(args[0])
            return replace(written.made(self.ops("float of text", written.expr), node.type, "DOUBLE"), finite=False)
        if function == "coalesce":
            return self._coalesce(args, node.type)
        if function == "distance_km":
            return self._distance(args)
        if function == "length" and args[0].type.kind is Kind.LIST:
            return args[0].made(self.ops("list length", args[0].expr), node.type, "BIGINT")
        if function in ("lower", "trim", "length", "email_domain"):
            return args[0].made(self.ops(function, args[0].expr), node.type, held_as(node.type))
        return self._calendar.call(self, function, args, node.type)

    def _coalesce(self, args: Sequence[Sql], type: Type) -> Sql:
        settled = [self.numbers.settled(arg) for arg in args]
        if type.is_float:
            settled = [self.numbers.to_float(arg, type.width) for arg in settled]
        elif type.is_exact:
            settled = self._on_one_scale(settled, type)
        return made_of(settled, sql.call("coalesce", *(arg.expr for arg in settled)), type, settled[0].held)

    def _on_one_scale(self, args: list[Sql], type: Type) -> list[Sql]:
        if all(is_integer(arg) for arg in args):
            return [self.numbers.cast(arg, "HUGEINT" if type.precision > 18 else "BIGINT") for arg in args]
        held = f"DECIMAL({type.precision},{type.scale})"
        return [self.numbers.cast(arg, held, attempt=type.precision >= 38) for arg in args]

    def _distance(self, args: Sequence[Sql]) -> Sql:
        degrees = [self.named(self.numbers.settled(self.numbers.to_float(arg, 64))) for arg in args]
        made = self.ops("distance_km", *(arg.expr for arg in degrees))
        return replace(made_of(degrees, made, degrees[0].type, "DOUBLE"), finite=False)

    # ---------------------------------------------------------------- conditions

    def truth(self, node: nodes.Condition) -> Sql:
        """The condition as true or false, never NULL."""
        found = self.condition(node)
        return replace(found, expr=sql.call("coalesce", found.expr, sql.boolean(False)))

    def condition(self, node: nodes.Condition) -> Sql:
        """The condition as a boolean in which NULL says false."""
        number = self.canon.number(node)
        if number not in self._lowered:
            made = self._condition(node)
            self._lowered[number] = self._shallow(made)
        made = self._lowered[number]
        return replace(made, expr=made.expr.copy())

    def _condition(self, node: nodes.Condition) -> Sql:
        match node:
            case nodes.Always(value=value):
                return Sql(sql.boolean(value), BOOLEAN, "BOOLEAN")
            case nodes.And(items=items):
                parts = [self.condition(item) for item in items]
                return verdict(parts, sql.all_of(part.expr for part in parts))
            case nodes.Or(items=items):
                parts = [self.condition(item) for item in items]
                return verdict(parts, sql.any_of(part.expr for part in parts))
            case nodes.Not(item=item):
                inner = self.truth(item)
                return inner.made(sql.negation(inner.expr))
            case nodes.AtLeast(count=count, items=items):
                parts = [self.condition(item) for item in items]
                ones = [sql.when(part.expr, sql.integer(1), sql.integer(0)) for part in parts]
                return verdict(parts, sql.infix(exp.GTE, sql.total(ones), sql.integer(count)))
            case nodes.Truth(value=value):
                return self.value(value)
            case nodes.IsSet(value=value):
                found = self.numbers.settled(self.value(value))
                return found.made(sql.is_set(found.expr), BOOLEAN, "BOOLEAN")
            case nodes.Compare():
                return self._compare(node.op, self.value(node.left), self.value(node.right))
            case nodes.In():
                return self._in(node)
            case nodes.TextTest():
                return self._text_test(node)
            case nodes.HasElements():
                return self._has_elements(node)
            case nodes.Sample():
                return self._sample(node)
        raise TypeError(f"{type(node).__name__} is no condition of one row")

    def _compare(self, op: str, left: Sql, right: Sql) -> Sql:
        if left.type.kind is Kind.NUMBER:
            return self.numbers.compared(op, left, right)
        return verdict((left, right), sql.infix(COMPARISONS[op], left.expr, right.expr))

    def _in(self, node: nodes.In) -> Sql:
        value = self.value(node.value)
        options = [self.value(option) for option in node.options]
        if value.type.kind is not Kind.NUMBER and all(option.constant is not None for option in options):
            return verdict((value, *options), exp.In(this=sql.paren(value.expr), expressions=[option.expr for option in options]))
        value = self.named(self.numbers.settled(value))
        parts = [self._compare("=", replace(value, expr=value.expr.copy()), option) for option in options]
        return verdict(parts, sql.any_of(part.expr for part in parts))

    def _text_test(self, node: nodes.TextTest) -> Sql:
        value, pattern = self.value(_folded(node, node.value)), self.value(_folded(node, node.pattern))
        if isinstance(pattern.constant, str) and node.op in _FOLDED:
            pattern = replace(pattern, expr=sql.text(simple_lower(pattern.constant)))
        operation = "like" if node.op == "ilike" else node.op
        tested = self.ops(operation, value.expr, pattern.expr)
        if node.op == "matches" and pattern.constant is None:
            tested = self.ops("attempt", tested)  # a pattern from the data may be no pattern
        return verdict((value, pattern), tested)

    def _has_elements(self, node: nodes.HasElements) -> Sql:
        value = self.named(self.value(node.value))
        element = value.type.element or TEXT
        parts = [self._has_element(value, element, self.value(option)) for option in node.options]
        join = sql.all_of if node.need_all else sql.any_of
        return verdict((value, *parts), join(part.expr for part in parts))

    def _has_element(self, value: Sql, element: Type, option: Sql) -> Sql:
        if element.kind is not Kind.NUMBER:
            return self._contains(value, option)
        option = self.numbers.settled(option)
        if element.is_float or option.type.is_float:
            width = max(element.width, option.type.width)
            return self._contains(self._float_elements(value, width), self.numbers.to_float(option, width))
        held = value.held.removesuffix("[]")
        if isinstance(option.constant, Decimal):
            probe = Sql(sql.null(), element, held)
            if isinstance(self.numbers.compared("=", probe, option).expr, exp.Boolean):
                return Sql(sql.boolean(False), BOOLEAN, "BOOLEAN")  # between two of the elements' values, or beyond them all
            return self._contains(value, self.numbers.cast(option, held))
        option = self.named(option)
        moved = self.named(self.numbers.cast(option, held, attempt=True))
        same = self.numbers.compared("=", replace(moved, expr=moved.expr.copy()), replace(option, expr=option.expr.copy()))
        found = self._contains(value, moved)
        return verdict((found, same), sql.all_of([found.expr, same.expr]))

    def _contains(self, value: Sql, option: Sql) -> Sql:
        return verdict((value, option), self.ops("list contains", value.expr.copy(), option.expr))

    def _float_elements(self, value: Sql, width: int) -> Sql:
        """The list with its numbers as the nearest floats of that width."""
        element = value.type.element or TEXT
        held = f"{'FLOAT' if width == 32 else 'DOUBLE'}[]"
        if value.held == held:
            return value
        through_text = element.is_exact and (element.precision > HELD_BY_A_DOUBLE and value.held not in ("BIGINT[]", "UBIGINT[]"))
        source = self.ops("cast", value.expr.copy(), "VARCHAR[]") if through_text else value.expr.copy()
        return value.made(self.ops("cast", source, held), held=held)

    def _sample(self, node: nodes.Sample) -> Sql:
        if node.threshold is None:
            return Sql(sql.boolean(True), BOOLEAN, "BOOLEAN")
        if node.salt not in self._salted:
            assert self._key_text is not None
            salted = self.ops("md5", self.ops("joined", sql.text(node.salt + ":"), self._key_text.expr.copy()))
            self._salted[node.salt] = self.named(self._key_text.made(self.ops("first characters", salted, 15)))
        digits = self._salted[node.salt]
        return digits.made(sql.infix(exp.LT, digits.expr.copy(), sql.text(node.threshold)), BOOLEAN, "BOOLEAN")


_FOLDED = frozenset({"contains", "starts with", "ends with", "ilike"})
"""Tests that ignore case."""


def _folded(node: nodes.TextTest, value: nodes.Value) -> nodes.Value:
    """The side of a test that ignores case, in lower case; a node of its own, so that all tests of a field share it."""
    if node.op not in _FOLDED or isinstance(value, nodes.Constant):
        return value
    return nodes.Call(type=TEXT, function="lower", args=(value,))


def instant(ops: Operations, value: datetime) -> sql.Expr:
    """An instant as a literal: UTC, without a zone."""
    naive = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return ops("cast", sql.text(naive.isoformat(sep=" ", timespec="microseconds")), "TIMESTAMP")
