"""Adding events up in arrays, one number a contact: NumPy's scatter over positions.

NumPy, because neither DuckDB nor Polars adds to a place of an array: they group, and a group's aggregates stand beside each
other. Everything is exact: counts and sums are integers, and a sum that could leave 64 bits is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from segmentry.engine.dense import Target
from segmentry.engine.gathered import POSITION
from segmentry.engine.lowering.shapes import decimal_of

NO_MINIMUM, NO_MAXIMUM = 2**63 - 1, -(2**63)
FITS = 2.0**62
"""Sums whose values' sizes add up to less than this fit into 64 bits, whatever their order."""

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

    def add(self, batch: pa.RecordBatch) -> None:
        """Rows: `$position`, and the columns that the targets name."""
        nobody = batch.column(POSITION).null_count
        if nobody:
            self.unknown += nobody
            batch = batch.filter(pc.is_valid(batch.column(POSITION)))
        positions = batch.column(POSITION).to_numpy()
        chosen: dict[str, tuple[NDArray[np.intp], NDArray[np.int64]]] = {}
        for name in dict.fromkeys(target.rows for target in self.targets):
            rows = np.flatnonzero(batch.column(name).fill_null(False).to_numpy(zero_copy_only=False))
            chosen[name] = rows, positions[rows]
        done: set[Key] = set()
        for target in self.targets:
            rows, at = chosen[target.rows]
            if target.operation == "bits":
                self._masks[target.column, target.bit // 8][at] |= np.uint8(1 << target.bit % 8)
            elif _key(target) not in done:
                done.add(_key(target))
                self._add(target, at, None if target.value is None else batch.column(target.value).fill_null(0).to_numpy()[rows])

    def _add(self, target: Target, at: NDArray[np.int64], values: NDArray[np.int64] | None) -> None:
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
        columns: dict[str, pa.Array] = {POSITION: pa.array(np.arange(first, end, dtype=np.int64))}
        for name in dict.fromkeys(target.column for target in self.targets if target.operation == "bits"):
            mask = np.zeros(end - first, np.int64)
            for (column, byte), bits in self._masks.items():
                if column == name:
                    mask |= bits[first:end].astype(np.int64) << (8 * byte)
            columns[name] = pa.array(mask)
        for target in self.targets:
            if target.operation != "bits":
                columns[target.column] = _held(target, self._arrays[_key(target)][first:end])
        return pa.table(columns)


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
        nothing = values == (NO_MINIMUM if target.operation == "min" else NO_MAXIMUM)
        return pa.array(values, mask=nothing).cast(pa.timestamp("us"))
    decimal = decimal_of(target.held)
    if target.operation == "sum":
        # a decimal of 128 bits is two words, the lower first; the upper one repeats the sign
        words = np.stack([values.astype(np.int64), values.astype(np.int64) >> 63], axis=1)
        kind = pa.decimal128(*(decimal or (38, 0)))
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(words))])
    return pa.array(values.astype(np.int64))
