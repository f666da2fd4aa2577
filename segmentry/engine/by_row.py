"""Conditions on contacts alone, asked of the snapshot's rows while their keys are read: no table of contacts is made for them.

Texts of few values are compared as a file's dictionaries have them, a value once, where in a table each row has its own; and
what no condition on events reads is nowhere held but as bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
from sqlglot import exp

from segmentry.engine.footers import rows_of
from segmentry.engine.membership import Alignment
from segmentry.engine.snapshot import Format, Relation

FEWEST_BY_ROW = 250_000
"""Below this it makes no difference: of 100,000 contacts a first run took 7.8 s of processor time either way."""

SHARE_OF_MEMORY = 0.125
"""The conditions' bits may take this much of the memory that a run may use."""


@dataclass(frozen=True)
class ByRow:
    """A plan in two: `query` gives the rows' `$key` and `leaves`, and a digest of the columns `digested`, in the order of the rows.

    `rest` gives the other leaves by position, of contacts with `columns`; `alone` the same from arrays of events, without the contacts.
    None where there are none, or where they can't be had so.
    """

    leaves: tuple[str, ...]
    query: exp.Select
    digested: tuple[str, ...]
    read: tuple[str, ...]
    columns: tuple[str, ...]
    rest: Callable[[], exp.Select] | None
    alone: Callable[[], exp.Select] | None


def pays(relation: Relation, leaves: int, memory: int) -> bool:
    """Whether conditions are better asked of the rows; `leaves` is how many there are at most."""
    rows = rows_of(relation)
    if relation.format is not Format.PARQUET or not relation.files or rows < FEWEST_BY_ROW:
        return False
    return rows * leaves / 8 <= memory * SHARE_OF_MEMORY


def by_position(rows: pl.DataFrame, alignment: Alignment) -> dict[str, pl.Series]:
    """Conditions by row, by position: nobody who is gone fulfils one."""
    if alignment.position_of_row is None:
        return {column.name: column for column in rows.get_columns()}
    order = row_of_position(alignment.position_of_row, alignment.size)
    return {column.name: column.gather(order).fill_null(value=False) for column in rows.get_columns()}


def row_of_position(position_of_row: pl.Series, size: int) -> pl.Series:
    """Of each position the number of its row (UInt32), missing where the contact is gone."""
    numbers = pl.int_range(len(position_of_row), dtype=pl.UInt32, eager=True)
    return pl.repeat(None, size, dtype=pl.UInt32(), eager=True).scatter(position_of_row, numbers)
