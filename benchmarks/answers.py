"""What peers answered, as bits: a column a segment, a row a contact. Two peers' answers are compared bit by bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from benchmarks.peers.contract import Answer

MEMBERS, CHANGED = "members", "changed"


def write_answers(folder: Path, step: str, answers: Iterator[Answer]) -> None:
    """Write the bits of one step into `folder`; nothing where there is no answer."""
    found: dict[str, dict[str, pl.Series]] = {MEMBERS: {}, CHANGED: {}}
    for answer in answers:
        found[MEMBERS][answer.segment] = answer.members
        if answer.changed is not None:
            found[CHANGED][answer.segment] = answer.changed
    for what, columns in found.items():
        if columns:
            size = max((int(one.max() or 0) + 1 for one in columns.values() if len(one)), default=0)  # type: ignore[call-overload]
            frame = pl.DataFrame([_bits(column, size).alias(name) for name, column in columns.items()])
            frame.write_parquet(_file(folder, step, what), compression="zstd", compression_level=1)


def compare(folder: Path, name: str, step: str, other: str, other_step: str) -> None:
    """Stop with the first difference between two peers' members, and changes where both have them."""
    for what in (MEMBERS, CHANGED):
        one, two = _file(folder / name, step, what), _file(folder / other, other_step, what)
        if what == CHANGED and not (one.exists() and two.exists()):
            continue  # the first time everybody is new, or nobody is: a matter of words
        columns = pq.read_schema(one).names
        if columns != pq.read_schema(two).names:
            raise SystemExit(f"{what} ({step}): {name} and {other} have other segments")
        for column in columns:
            ours, theirs = (pl.read_parquet(path, columns=[column])[column] for path in (one, two))
            size = max(len(ours), len(theirs))
            differ = (_padded(ours, size) ^ _padded(theirs, size)).arg_true()
            if len(differ):
                raise SystemExit(
                    f"{what} of {column} differ ({step}): {name} has {ours.sum()}, {other} {theirs.sum()}, "
                    f"{len(differ)} contacts are not alike, for example {differ.head(5).to_list()}"
                )


def _file(folder: Path, step: str, what: str) -> Path:
    return folder / f"answers-{what}-{step}.parquet"


def _bits(numbers: pl.Series, size: int) -> pl.Series:
    """A bit for each contact; a contact that is named twice is an error."""
    bits = pl.repeat(False, size, dtype=pl.Boolean(), eager=True).scatter(numbers, True)
    if int(bits.sum()) != len(numbers):
        raise SystemExit("a contact is twice in one answer")
    return bits


def _padded(bits: pl.Series, size: int) -> pl.Series:
    return pl.concat([bits, pl.repeat(False, size - len(bits), dtype=pl.Boolean(), eager=True)]) if len(bits) < size else bits
