"""How far segments overlap in a run: sizes of sets, of what two of them share, and how alike they are. From the run's bitmaps alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from itertools import combinations
from operator import and_, or_

import polars as pl

from segmentry.engine.render import second, table_html
from segmentry.engine.set_expressions import set_expression
from segmentry.engine.state import State
from segmentry.errors import RuleError
from segmentry.rules import nodes as n
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.nodes import Condition

SETS = {"set": pl.String, "size": pl.Int64, "share": pl.Float64}
"""Columns of the sets: as it was asked for, how many are in it, and which part of all contacts that is."""

PAIRS = {
    "first": pl.String,
    "second": pl.String,
    "both": pl.Int64,
    "either": pl.Int64,
    "jaccard": pl.Float64,
    "of_first": pl.Float64,
    "of_second": pl.Float64,
}
"""Columns of the pairs: how many are in both and in either, `both / either`, and which part of each set is in the other.

A part of an empty set is missing, and so is the likeness of two empty ones.
"""

PAIR_ROWS = 50
"""Pairs that a table shows, the most alike first; the frame and JSON have all."""


@dataclass(frozen=True)
class Overlap:
    """Sets of contacts in one run (`run`, `as_of` aware UTC, `total` contacts) and every pair of them.

    `sets` has the columns of `SETS` in the order asked, `pairs` those of `PAIRS`, the most alike first.
    """

    run: int
    as_of: datetime
    total: int
    sets: pl.DataFrame
    pairs: pl.DataFrame

    def headline(self) -> str:
        """What it is of, in a line."""
        return f"run {self.run}: {self.total:,} contacts at {second(self.as_of)}"

    def tables(self) -> list[tuple[pl.DataFrame, Sequence[str]]]:
        """The tables for people, each with the columns that are counts."""
        shown = [_in_percent(self.sets, ("share",)), _in_percent(self.pairs.head(PAIR_ROWS), ("of_first", "of_second"))]
        return [(table, ("size", "both", "either")) for table in shown if table.height]

    @property
    def unshown(self) -> int:
        """How many pairs the table leaves out."""
        return max(0, self.pairs.height - PAIR_ROWS)

    def to_json(self) -> dict[str, object]:
        """Everything as plain values."""
        return {
            "run": self.run,
            "as_of": self.as_of,
            "total": self.total,
            "sets": self.sets.to_dicts(),
            "pairs": self.pairs.to_dicts(),
        }

    def __str__(self) -> str:
        with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, fmt_str_lengths=80, tbl_rows=-1):
            return "\n".join([self.headline(), *(str(table) for table, _ in self.tables())])

    __repr__ = __str__

    def to_html(self) -> str:
        """The headline and tables, with no style sheet and no script."""
        tables = "".join(table_html(table, rows=table.height, grouped=counts) for table, counts in self.tables())
        return f"<p><b>{self.headline()}</b></p>{tables}" + (f"<p>{self.unshown:,} more pairs</p>" if self.unshown else "")

    def _repr_html_(self) -> str:
        return self.to_html()


def _in_percent(frame: pl.DataFrame, shares: Iterable[str]) -> pl.DataFrame:
    told = [pl.Series(name, [None if one is None else f"{one:.1%}" for one in frame[name]], pl.String) for name in shares]
    if "jaccard" in frame.columns:
        told.append(pl.Series("jaccard", [None if one is None else f"{one:.3f}" for one in frame["jaccard"]], pl.String))
    return frame.with_columns(told)


def overlap(state: State, expressions: Sequence[str], run: int | None) -> Overlap:
    """Sets of a run's segments (None: of the accepted run) and their pairs; without any expressions, all its segments.

    Raises RuleError with every problem of every expression, and NotFound.
    """
    record = state.run(run)
    names = frozenset(record.segments)
    asked: dict[str, Condition] = {}
    problems: list[Diagnostic] = []
    for text in expressions or sorted(names):
        try:
            asked.setdefault(" ".join(text.split()), set_expression(text, names))
        except RuleError as error:
            problems += error.diagnostics
    if problems:
        raise RuleError(problems)
    needed = sorted({node.segment for condition in asked.values() for node in n.walk(condition) if isinstance(node, n.Member)})
    order = state.order(record.id)
    here = order.present & order.keys.is_not_null()
    columns = {column.name: column for column in state.columns(needed, record.id)} if needed else {}
    sets = {text: _members(condition, columns, here) for text, condition in asked.items()}
    total = int(here.sum())
    sizes = {text: int(members.sum()) for text, members in sets.items()}
    return Overlap(
        record.id,
        record.as_of,
        total,
        pl.DataFrame([(text, size, _part(size, total)) for text, size in sizes.items()], schema=SETS, orient="row"),
        _pairs(sets, sizes),
    )


def _pairs(sets: Mapping[str, pl.Series], sizes: Mapping[str, int]) -> pl.DataFrame:
    rows = []
    for first, second_ in combinations(sets, 2):
        both = int((sets[first] & sets[second_]).sum())
        either = sizes[first] + sizes[second_] - both
        rows.append((first, second_, both, either, _part(both, either), _part(both, sizes[first]), _part(both, sizes[second_])))
    return pl.DataFrame(rows, schema=PAIRS, orient="row").sort("jaccard", descending=True, nulls_last=True, maintain_order=True)


def _part(number: int, of: int) -> float | None:
    return number / of if of else None


def _members(condition: Condition, columns: Mapping[str, pl.Series], here: pl.Series) -> pl.Series:
    """A set as a bitmap; nobody who is gone is in any."""
    match condition:
        case n.Member(segment=segment):
            return columns[segment] & here
        case n.And(items=items):
            return reduce(and_, (_members(item, columns, here) for item in items))
        case n.Or(items=items):
            return reduce(or_, (_members(item, columns, here) for item in items))
        case n.Not(item=item):
            return here & ~_members(item, columns, here)
        case n.AtLeast(count=count, items=items):
            total = reduce(lambda one, other: one + other, (_members(item, columns, here).cast(pl.UInt16()) for item in items))
            return total >= count
        case n.Always(value=value):
            return here if value else here & ~here
    raise TypeError(condition)
