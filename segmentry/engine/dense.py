"""Aggregates that can be kept as a plain array each, one number a contact, in place of a table of groups.

A table of groups holds all aggregates of a contact beside each other, so that every event touches a place of its own in a
table many times as large as the processor's cache. An array has one aggregate of all contacts; only the events that count
for it touch it. What can be kept so is planned here; `scatter` does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from segmentry.engine.aggregates import Part
from segmentry.engine.gathered import POSITION
from segmentry.engine.lowering import sql
from segmentry.engine.lowering.operations import Operations
from segmentry.engine.lowering.shapes import Sql, digits_of
from segmentry.rules.nodes import Aggregate

MOST_DIGITS = 15
"""Values of so many digits are summed as 64-bit integers; whether their sums fit is watched while they are added up."""

FEWEST_ROWS = 1_000_000
"""Below this a table of groups is as fast."""

FEWEST_CONTACTS = 250_000
"""Below this a table of all groups stays in the processor's cache: of 98,760 contacts with 29 million events within reach a run took
2.5 seconds with it and 3.9 with arrays, of 300,000 with 20 million they took the same, of 3,000,000 arrays were quicker by a fifth."""

ROWS_PER_CONTACT = 0.5
"""Arrays have a place for every contact, so they pay where a good part of the contacts has events."""

SHARE_OF_MEMORY = 0.25
"""The arrays may take this much of the memory that a run may use."""

BYTES = {"bits": 1, "count": 4, "sum": 8, "min": 8, "max": 8}
"""What a number of each operation takes."""


@dataclass(frozen=True, slots=True)
class Target:
    """A column of the events' table and what it is made of: `operation` (of `BYTES`) over the rows where the column `rows` is true.

    `value` is the column that is summed (an integer, `places` decimal places left out) or compared (microseconds since 1970);
    `bit` the place in a mask. `held` is the engine's type of the result.
    """

    column: str
    operation: str
    rows: str
    value: str | None
    held: str
    places: int = 0
    bit: int = 0


@dataclass(frozen=True)
class Dense:
    """The rows of one event table with what the targets read: `$key`, a Boolean for each choice of rows, integers."""

    rows: exp.Select
    targets: tuple[Target, ...]

    def bytes_per_contact(self) -> int:
        """What the arrays take; equal targets share one."""
        arrays = {(target.operation, target.rows, target.value) for target in self.targets if target.operation != "bits"}
        masks = {(target.column, target.bit // 8) for target in self.targets if target.operation == "bits"}
        return sum(BYTES[operation] for operation, _, _ in arrays) + len(masks)

    def pays(self, rows: int, contacts: int, memory: int) -> bool:
        """Whether so many rows of so many contacts are better kept in arrays."""
        return contacts >= FEWEST_CONTACTS and arrays_pay(rows, contacts, self.bytes_per_contact(), memory)


def arrays_pay(rows: int, contacts: int, bytes_per_contact: int, memory: int) -> bool:
    """Whether so many rows are better added up in arrays of so many bytes a contact."""
    return rows >= max(FEWEST_ROWS, contacts * ROWS_PER_CONTACT) and bytes_per_contact * contacts <= memory * SHARE_OF_MEMORY


class DenseColumns:
    """Collects the targets of one event table; `None` comes out if one of its aggregates can't be kept so."""

    def __init__(self, ops: Operations, key: str, table: int, at: Sql) -> None:
        self.ops, self.key, self.table, self.at = ops, key, table, at
        self._fit = True
        self._names: dict[sql.Expr, str] = {}
        self._targets: list[Target] = []

    def bit(self, column: str, bit: int, rows: sql.Expr) -> None:
        """A did-condition's place in a mask."""
        self._targets.append(Target(column, "bits", self._named(rows), None, "BIGINT", bit=bit))

    def part(self, node: Aggregate, role: str, column: str, part: Part, rows: sql.Expr, value: Sql | None) -> None:
        """A part of an event function."""
        if node.function == "count":
            self._targets.append(Target(column, "count", self._named(rows), None, part.held))
        elif node.function in ("first", "last"):
            operation = "min" if node.function == "first" else "max"
            micros = self._named(self.ops("micros of", self.at.expr.copy()))
            self._targets.append(Target(column, operation, self._named(rows), micros, part.held))
        elif node.function in ("sum", "avg") and value is not None and _is_summed(value):
            counted = self._named(sql.all_of([rows.copy(), sql.is_set(value.expr.copy())]))
            if role == "count":
                self._targets.append(Target(column, "count", counted, None, part.held))
                return
            places = digits_of(value)[1]
            whole = self._named(self.ops("cast", sql.infix(exp.Mul, value.expr.copy(), sql.integer(10**places)), "BIGINT"))
            self._targets.append(Target(column, "sum", counted, whole, part.held, places))
        else:
            self.refuse()

    def refuse(self) -> None:
        """Something is asked of the table that no array holds."""
        self._fit = False

    def over(self, grouped: exp.Select) -> Dense | None:
        """The rows that `grouped` groups, as they are."""
        if not self._fit or not self._targets:
            return None
        rows = grouped.copy()
        columns = [sql.named(value.copy(), name) for value, name in self._names.items()]
        rows.set("expressions", [sql.column(self.key), *columns])
        rows.set("group", None)
        return Dense(rows, tuple(self._targets))

    def _named(self, value: sql.Expr) -> str:
        return self._names.setdefault(value, sql.internal(f"{self.table}.dense{len(self._names)}"))


def dense_table(source: int) -> str:
    """The name of the arrays of one event table, as far as a chunk of contacts goes."""
    return sql.internal(f"dense{source}")


def arrays_held(source: int, targets: Sequence[Target]) -> exp.Select:
    """The arrays with their columns held as the plan says."""
    columns: dict[str, sql.Expr] = {POSITION: sql.column(POSITION)}
    for target in targets:
        value: sql.Expr = sql.column(target.column)
        columns[target.column] = sql.cast(value, target.held) if target.held == "HUGEINT" else value
    return sql.select(columns, sql.table(dense_table(source)))


def _is_summed(value: Sql) -> bool:
    return value.type.is_exact and sum(digits_of(value)) <= MOST_DIGITS
