"""Adding events up in arrays, one number a contact: NumPy's scatter over positions.

NumPy, because neither DuckDB nor Polars adds to a place of an array: they group, and a group's aggregates stand beside each
other. Everything is exact: counts and sums are integers, and a sum that could leave 64 bits is noticed.

Columns come to NumPy by way of Polars, and go to Arrow as buffers: `pyarrow.array` and `to_numpy` would first import all of pandas, where
that is installed, which takes longer than many a scatter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from segmentry.engine.dense import Target
from segmentry.engine.gathered import POSITION
from segmentry.engine.lowering.shapes import decimal_of

NO_MINIMUM, NO_MAXIMUM = 2**63 - 1, -(2**63)
FITS = 2.0**62
"""Sums whose values' sizes add up to less than this fit into 64 bits, whatever their order."""

SIGNED = (pl.Int8, pl.Int16, pl.Int32, pl.Int64)

Array = NDArray[np.int64] | NDArray[np.int32] | NDArray[np.uint8]
Key = tuple[str, str, str | None]


class Scatter:
    """The arrays of some targets over `size` positions. `unknown` counts the rows without a position."""

    def __init__(self, targets: Sequence[Target], size: int) -> None:
        self.targets, self.size = targets, size
        self.unknown = 0
        self._masks: dict[tuple[str, int], NDArray[np.uint8]] = {}
        self._arrays: dict[Key, Array] = {}
        self._sizes: dict[Key, float] = {}
        for target in targets:
            if target.operation == "bits":
                self._masks.setdefault((target.column, target.bit // 8), np.zeros(size, np.uint8))
            else:
                self._arrays.setdefault(_key(target), _empty(target.operation, size))

    @property
    def fits(self) -> bool:
        """Whether no sum can have left 64 bits."""
        return all(size < FITS for size in self._sizes.values())

    def add(self, rows: pl.DataFrame, positions: NDArray[np.int32]) -> None:
        """Rows with the columns that the targets name, and the position of each; -1 is nobody's."""
        known = positions >= 0
        if not known.all():
            self.unknown += len(known) - int(known.sum())
            rows, positions = rows.filter(pl.Series(known)), positions[known]
        chosen: dict[str, tuple[NDArray[np.intp], NDArray[np.int32]]] = {}
        for name in dict.fromkeys(target.rows for target in self.targets):
            chosen_rows = _true(rows[name])
            chosen[name] = chosen_rows, positions[chosen_rows]
        done: set[Key] = set()
        for target in self.targets:
            which, at = chosen[target.rows]
            if target.operation == "bits":
                self._masks[target.column, target.bit // 8][at] |= np.uint8(1 << target.bit % 8)
            elif _key(target) not in done:
                done.add(_key(target))
                self._add(target, at, None if target.value is None else rows[target.value].fill_null(0).to_numpy()[which])

    def _add(self, target: Target, at: NDArray[np.int32], values: NDArray[np.int64] | None) -> None:
        array = self._arrays[_key(target)]
        if values is None:
            np.add.at(array, at, np.int32(1))
        elif target.operation == "sum":
            self._sizes[_key(target)] = self._sizes.get(_key(target), 0.0) + float(np.abs(values).sum(dtype=np.float64))
            np.add.at(array, at, values)
        else:
            (np.minimum if target.operation == "min" else np.maximum).at(array, at, values)

    def table(self, first: int, end: int) -> pa.Table:
        """The positions from `first` to before `end`, with the targets' columns as the engine holds them."""
        columns: dict[str, pa.Array] = {POSITION: _array(pa.int64(), np.arange(first, end, dtype=np.int64))}
        for name in dict.fromkeys(target.column for target in self.targets if target.operation == "bits"):
            mask = np.zeros(end - first, np.int64)
            for (column, byte), bits in self._masks.items():
                if column == name:
                    mask |= bits[first:end].astype(np.int64) << (8 * byte)
            columns[name] = _array(pa.int64(), mask)
        for target in self.targets:
            if target.operation != "bits":
                columns[target.column] = _held(target, self._arrays[_key(target)][first:end])
        return pa.table(columns)


class Places:
    """The positions of integer keys, by an array over all numbers from the smallest key to the largest.

    A look into it costs a tenth of what a hash join costs. `of` gives None where there are too few keys in too wide a range.
    """

    def __init__(self, keys: NDArray[np.int64], positions: NDArray[np.int32]) -> None:
        self._first = keys.min().view(np.uint64)
        self._beyond = int(keys.max()) - int(keys.min()) + 1
        self._places = np.full(self._beyond + 1, -1, np.int32)  # the last place is nobody's
        self._places[keys - keys.min()] = positions

    @classmethod
    def of(cls, keys: pl.Series, present: pl.Series, memory: int) -> Places | None:
        """Of contacts by position, as far as they are present; `memory` is how many bytes the array may have."""
        if keys.dtype not in SIGNED:
            return None
        here = present.arg_true()
        known = keys.gather(here)
        low, high = known.min(), known.max()
        if not isinstance(low, int) or not isinstance(high, int) or known.null_count() or 4 * (high - low + 1) > memory:
            return None
        return cls(known.cast(pl.Int64).to_numpy(), here.cast(pl.Int32).to_numpy())

    def find(self, keys: pl.Series) -> NDArray[np.int32]:
        """The position of each key; -1 of one that nobody has, and of none."""
        # as numbers without a sign, whatever is below the first key is far above the last
        places = np.minimum(keys.fill_null(0).to_numpy().view(np.uint64) - self._first, np.uint64(self._beyond))
        if keys.null_count():
            places[keys.is_null().to_numpy()] = self._beyond
        found: NDArray[np.int32] = self._places[places]
        return found


class RowSums:
    """The numbers of rows added up over `size` positions, modulo 2^64, and how many rows each position has."""

    def __init__(self, size: int) -> None:
        self._sums = np.zeros(size, np.uint64)
        self._rows = np.zeros(size, np.uint32)

    def add(self, positions: NDArray[np.int32], numbers: NDArray[np.int64]) -> None:
        """A row at each of these positions, with its number, which is not negative; -1 is nobody's."""
        known = positions >= 0
        if not known.all():
            positions, numbers = positions[known], numbers[known]
        np.add.at(self._sums, positions, numbers.view(np.uint64))
        np.add.at(self._rows, positions, np.uint32(1))

    def frame(self) -> pl.DataFrame:
        """`position` UInt32, `digest` UInt64, `rows` UInt32 of the positions that have rows, sorted by position."""
        positions = np.flatnonzero(self._rows)
        return pl.DataFrame({"position": positions.astype(np.uint32), "digest": self._sums[positions], "rows": self._rows[positions]})


def _true(column: pl.Series) -> NDArray[np.intp]:
    """Where a column is true. Its bits as they are, because `arg_true` is a query each time: six times as long for 100,000 rows."""
    array = column.to_arrow()
    there, bits = array.buffers()
    true = np.frombuffer(bits, np.uint8)
    if there is not None:
        true = true & np.frombuffer(there, np.uint8)
    return np.flatnonzero(np.unpackbits(true, count=array.offset + len(array), bitorder="little")[array.offset :])


def _key(target: Target) -> Key:
    return target.operation, target.rows, target.value


def _empty(operation: str, size: int) -> Array:
    if operation == "count":
        return np.zeros(size, np.int32)
    if operation == "sum":
        return np.zeros(size, np.int64)
    return np.full(size, NO_MINIMUM if operation == "min" else NO_MAXIMUM, np.int64)


def _held(target: Target, values: Array) -> pa.Array:
    if target.operation in ("min", "max"):
        there = values != (NO_MINIMUM if target.operation == "min" else NO_MAXIMUM)
        return _array(pa.timestamp("us"), values, there)
    decimal = decimal_of(target.held)
    if target.operation == "sum":
        # a decimal of 128 bits is two words, the lower first; the upper one repeats the sign
        words = np.stack([values.astype(np.int64), values.astype(np.int64) >> 63], axis=1)
        return _array(pa.decimal128(*(decimal or (38, 0))), words)
    return _array(pa.int64(), values.astype(np.int64))


def _array(kind: pa.DataType, values: Array, there: NDArray[np.bool_] | None = None) -> pa.Array:
    """An Arrow array of these bits; missing where it is not `there`."""
    set_ = None if there is None else pa.py_buffer(np.packbits(there, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [set_, pa.py_buffer(np.ascontiguousarray(values))])
