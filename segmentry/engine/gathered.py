"""Event rows that are kept for each contact, for functions that must see them beside each other: sequences, calendar periods.

A scan groups a table once; what such a function needs of it becomes one more aggregate there, a list of small records:
the row's instant, which of the function's choices of events it is (a bit each), and the values that steps compare. From
the lists of all tables a query makes the function's answer, one row a contact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from segmentry.engine.lowering import sql
from segmentry.engine.lowering.operations import Operations
from segmentry.rules import nodes
from segmentry.rules.nodes import ActivePeriods, Condition, Events, Field, Former, Part, Scope, Value, way

AT = sql.internal("t")
CHOICES = sql.internal("m")
RECORD = sql.internal("record")
BUCKET = sql.internal("bucket")
FOUND = sql.internal("found")
POSITION = sql.internal("position")

Gathering = nodes.Sequence | ActivePeriods
"""The functions that need rows beside each other."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a function keeps of event rows: a bit for each choice, and the values that it compares with other rows'."""

    choices: tuple[Events, ...]
    values: tuple[Value, ...] = ()

    def carried(self, value: Value) -> str:
        """The column that has a value."""
        return value_column(self.values.index(value))


def value_column(number: int) -> str:
    """The column of one carried value."""
    return sql.internal(f"v{number}")


def gathered(node: Gathering) -> Gathered:
    """What a grounded function needs of the rows."""
    if isinstance(node, ActivePeriods):
        return Gathered((node.events,))
    choices, values = [], dict[Value, None]()
    for step in node.steps:
        alone, beside = separated(step.events.where)
        choices.append(replace(step.events, where=alone))
        for condition in beside:
            values |= dict.fromkeys(map(property_of, of_rows(condition)))
    return Gathered(tuple(choices), tuple(values))


def of_rows(node: nodes.Node) -> Iterator[Value]:
    """What a condition asks of rows: fields, its own or a former step's, and what is within them, by the whole way to it."""
    if isinstance(node, (Field, Former, Part)) and isinstance(way(node)[0], (Field, Former)):
        yield node
        return
    for below in nodes.children(node):
        yield from of_rows(below)


def property_of(value: Value) -> Value:
    """What a former step's event is asked for, as a value of its own row; any other value is that already."""
    match value:
        case Former(type=type, name=name):
            return Field(type, Scope.EVENT, name)
        case Part(of=of):
            return replace(value, of=property_of(of))
    return value


def separated(where: Condition | None) -> tuple[Condition | None, tuple[Condition, ...]]:
    """A step's conditions: those of its own row, and those that ask former steps."""
    parts = where.items if isinstance(where, nodes.And) else () if where is None else (where,)
    beside = tuple(part for part in parts if asks_former(part))
    alone = tuple(part for part in parts if not asks_former(part))
    return nodes.And(alone) if len(alone) > 1 else alone[0] if alone else None, beside


def asks_former(node: nodes.Node) -> bool:
    """Whether a condition asks a former step."""
    return any(isinstance(below, Former) for below in nodes.walk(node))


# ---------------------------------------------------------------- rows


@dataclass(frozen=True, slots=True)
class Lists:
    """Where a function's rows are: each table of grouped events, and the column with its lists."""

    tables: tuple[tuple[str, str], ...]
    values: int = 0

    def rows(self, ops: Operations) -> exp.Query:
        """All rows of known contacts: position, instant, choices, values."""
        columns = [AT, CHOICES, *map(value_column, range(self.values))]
        parts: list[exp.Query] = []
        for table, column in self.tables:
            known = sql.all_of([sql.is_set(sql.column(POSITION)), sql.is_set(sql.column(column))])
            each = sql.select({POSITION: sql.column(POSITION), RECORD: ops("each", sql.column(column))}, sql.table(table), known)
            record = {name: exp.Dot(this=sql.column(RECORD), expression=sql.identifier(name)) for name in columns}
            parts.append(sql.select({POSITION: sql.column(POSITION), **record}, sql.subquery(each, "r")))
        together = parts[0]
        for part in parts[1:]:
            together = exp.Union(this=together, expression=part, distinct=False)
        return together


def has(*choices: int) -> sql.Expr:
    """Whether a row is one of these choices."""
    bits = exp.BitwiseAnd(this=sql.column(CHOICES), expression=sql.integer(sum(1 << choice for choice in choices)))
    return exp.NEQ(this=sql.paren(bits), expression=sql.integer(0))


def grouped(query: exp.Select, by: Sequence[str]) -> exp.Select:
    """A query's rows in groups."""
    query.set("group", exp.Group(expressions=[sql.column(name) for name in by]))
    return query


def distinct_rows(query: exp.Select) -> exp.Select:
    """A query's rows, each once."""
    query.set("distinct", exp.Distinct())
    return query


# ---------------------------------------------------------------- calendar periods


def active_periods(node: ActivePeriods, rows: exp.Query, ops: Operations, literals: Sequence[sql.Expr]) -> exp.Select:
    """The contacts with such periods, and how many. `literals` are the periods' first instants."""
    bucket = _bucket(list(enumerate(literals)))
    buckets = sql.select({POSITION: sql.column(POSITION), BUCKET: bucket}, sql.subquery(rows, "r"))
    active = grouped(sql.select({POSITION: sql.column(POSITION)}, sql.subquery(buckets, "b")), [POSITION, BUCKET])
    if node.at_least > 1:
        enough = exp.GTE(this=ops("count", exp.Star()), expression=sql.integer(node.at_least))
        active.set("having", exp.Having(this=enough))
    counted = {POSITION: sql.column(POSITION), FOUND: ops("count", exp.Star())}
    return grouped(sql.select(counted, sql.subquery(active, "a")), [POSITION])


def _bucket(starts: list[tuple[int, sql.Expr]]) -> sql.Expr:
    """The number of the last start at or before the row's instant, in a balanced tree."""
    if len(starts) == 1:
        return sql.integer(starts[0][0])
    middle = len(starts) // 2
    before = exp.LT(this=sql.column(AT), expression=starts[middle][1].copy())
    return sql.when(before, _bucket(starts[:middle]), _bucket(starts[middle:]))
