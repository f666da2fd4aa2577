"""Contacts put in order: the places that `top`, `bottom` and `ntile` are read from. A place is exact and the same on every engine.

A plan has levels: the populations of level 1 are ordered by values that need no other population, those of level 2 by what
level 1 gave, and so on. Each is ordered over all positions at once, whatever chunks conditions are computed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import polars as pl
from sqlglot import exp

from segmentry.engine.lowering import sql
from segmentry.rules.nodes import Condition, Foremost, Node, Population, Ranked, Standing, Value, children, walk

BY = "by"
PER = "per"
KEY = "key"
PLACE = "place"
SIZE = "size"


@dataclass(frozen=True)
class Ranking:
    """One population of a plan. `by` and `per` are columns of its level's query, `among` a step of the algebra; None: all."""

    by: str
    per: str | None
    among: int | None
    falling: bool
    foremost: Mapping[str, Foremost]
    """The conditions that are read from its places, by their leaf columns."""
    standings: Mapping[str, Ranked]
    """The values that are read from them, by their columns in the level's table."""


@dataclass(frozen=True)
class Level:
    """The populations of one level. `query` gives the conditions `leaves`, which `among` of them are made of, and `values`.

    `values` are the columns that the rankings are ordered and grouped by.

    `table` is the temporary table with their `standings`, one row a position.
    """

    number: int
    query: exp.Select
    leaves: tuple[str, ...]
    values: Mapping[str, Value]
    rankings: tuple[Ranking, ...]

    @property
    def table(self) -> str:
        return standings_table(self.number)


def standings_table(level: int) -> str:
    """The temporary table with the standings of one level."""
    return sql.internal(f"standings{level}")


def populations_in(node: Node) -> Iterator[Population]:
    """The populations below a node, those inside others too."""
    return (found for found in walk(node) if isinstance(found, Population))


def outermost(node: Node) -> Iterator[Population]:
    """The populations below a node that are in no other."""
    pending = [node]
    while pending:
        current = pending.pop()
        if isinstance(current, Population):
            yield current
        else:
            pending.extend(children(current))


def has_population(condition: Condition) -> bool:
    """Whether an answer about one contact depends on others."""
    return any(True for _ in populations_in(condition))


# ---------------------------------------------------------------- putting in order


def places(keys: pl.Series, candidates: pl.Series, by: pl.Series, per: pl.Series | None, *, falling: bool) -> pl.DataFrame:
    """Of each position its `place` (from 1) and the `size` of the order it is in, both null for who is in none.

    `candidates` is who may be in one: present, and in `among`.
    """
    frame = pl.DataFrame([keys.alias(KEY), _plain(by).alias(BY), *([] if per is None else [_plain(per).alias(PER)])])
    frame = frame.with_row_index("position").filter(candidates).drop_nulls([BY] if per is None else [BY, PER])
    frame = frame.sort([BY, KEY], descending=[falling, False])
    first, size = pl.int_range(1, pl.len() + 1, dtype=pl.Int64), pl.len().cast(pl.Int64)
    if per is not None:
        first, size = first.over(PER), size.over(PER)
    found = frame.with_columns(first.alias(PLACE), size.alias(SIZE))
    nothing = pl.repeat(None, len(keys), dtype=pl.Int64(), eager=True)
    return pl.DataFrame([nothing.scatter(found["position"], found[name]).alias(name) for name in (PLACE, SIZE)])


def _plain(value: pl.Series) -> pl.Series:
    """The value with one zero: -0.0 equals 0.0, and must not stand before it or in another group."""
    return value.set(value == 0.0, 0.0) if value.dtype.is_float() else value


def is_foremost(found: pl.DataFrame, wanted: Foremost) -> pl.Series:
    """Who is among the first `count`, or the first `share` of their order, rounded up."""
    if wanted.count is not None:
        return (found[PLACE] <= wanted.count).fill_null(value=False)
    assert wanted.share is not None
    sizes = found[SIZE].unique().drop_nulls()
    limits = pl.DataFrame({SIZE: sizes, "most": [rounded_up(size, wanted.share) for size in sizes]}, schema_overrides={"most": pl.Int64()})
    most = found.select(SIZE).join(limits, on=SIZE, how="left", maintain_order="left")["most"]
    return (found[PLACE] <= most).fill_null(value=False)


def rounded_up(size: int, share: Fraction) -> int:
    """That share of so many contacts; a part of one is one."""
    return -(-size * share.numerator // share.denominator)


def standing(found: pl.DataFrame, wanted: Ranked) -> pl.Series:
    """A value that is read from places."""
    if wanted.standing is not Standing.PART:
        return found[str(wanted.standing)]
    index, parts = pl.col(PLACE) - 1, wanted.parts
    # the first `larger` parts have one contact more than the others, which have `smaller` each
    smaller, larger = pl.col(SIZE) // parts, pl.col(SIZE) % parts
    in_larger = larger * (smaller + 1)
    part = pl.when(index < in_larger).then(index // (smaller + 1)).otherwise(larger + (index - in_larger) // smaller)
    return found.select(part + 1).to_series()
