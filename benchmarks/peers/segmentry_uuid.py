"""Segmentry with UUIDs as text for keys, beside itself with integers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from benchmarks.data import FIRST, build_uuids, snapshot
from benchmarks.peers import segmentry
from benchmarks.peers.contract import Answer

if TYPE_CHECKING:
    from benchmarks.conditions import Segment

STEPS = ("first", "full")


def prepare(folder: Path, segments: list[Segment], step: str) -> None:
    if step == "first":
        build_uuids(folder)
    segmentry.lay_out(folder, "segmentry_uuid", "data-uuid", segments, step)


def recompute(folder: Path, segments: list[Segment], step: str) -> None:
    segmentry.run(folder / "segmentry_uuid", segments, step)


def answers(folder: Path, segments: list[Segment], step: str) -> Iterator[Answer]:
    keys = pl.read_parquet(snapshot(folder, FIRST, "data-uuid"), columns=["contact_id"])
    numbers = keys.rename({"contact_id": "key"}).with_row_index("number")
    return segmentry.found(folder / "segmentry_uuid", segments, step, numbers)
