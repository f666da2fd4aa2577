"""Positions and bitmaps: who is in, as Polars booleans in the contacts' lasting order.

A contact has a position that it keeps from run to run; a membership is one Boolean per position, cut into chunks of
`CHUNK_ROWS`, so bitmaps of two runs line up and their difference is an exclusive or.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

CHUNK_ROWS = 1 << 20
"""Contacts per chunk: 128 KiB a bitmap; small enough to bound memory, large enough that a chunk's overhead is nothing."""


@dataclass(frozen=True)
class Alignment:
    """How a snapshot's rows stand in the lasting order.

    `keys`: every position's contact key (gone contacts included), in order. `position_of_row`: UInt32, one per snapshot
    row, in the snapshot's row order; None where row i is position i for all. `present`: Boolean per position.
    """

    keys: pl.Series
    present: pl.Series
    position_of_row: pl.Series | None = None

    @property
    def size(self) -> int:
        """The number of positions."""
        return len(self.keys)

    def keys_of_rows(self) -> pl.Series | None:
        """The keys in the snapshot's row order; None where that is not known by it, as it may be an order of which no row was read."""
        return None if self.position_of_row is None else self.keys.gather(self.position_of_row)

    def held_once(self, read: pl.Series | None) -> pl.Series | None:
        """The snapshot's keys as they were read, without a copy of what the order has: of UUIDs as text it would be 52 bytes a contact.

        None where nobody has read them, or `keys_of_rows` has them.
        """
        if self.position_of_row is not None or read is None:
            return None
        return self.keys.alias(read.name) if read.equals(self.keys) else read


@dataclass(frozen=True)
class Memberships:
    """Boolean columns, one per segment, in chunks of `CHUNK_ROWS` positions (the last is shorter); never null, false for gone contacts."""

    chunks: tuple[pl.DataFrame, ...]

    @property
    def names(self) -> list[str]:
        return self.chunks[0].columns if self.chunks else []

    def column(self, name: str) -> pl.Series:
        """One segment's bitmap over all positions."""
        return pl.concat([chunk[name] for chunk in self.chunks]) if self.chunks else pl.Series(name, [], pl.Boolean)

    def counts(self) -> dict[str, int]:
        """How many members each segment has."""
        return {name: sum(int(chunk[name].sum()) for chunk in self.chunks) for name in self.names}


def chunk_bounds(size: int) -> Iterator[tuple[int, int]]:
    """The (first, past-last) positions of each chunk of `size` positions."""
    for start in range(0, size, CHUNK_ROWS):
        yield start, min(start + CHUNK_ROWS, size)
