"""The limit: every column that some segment refers to decoded once, every event grouped by contact once, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from benchmarks.conditions import Attribute
from benchmarks.data import event_files, snapshot
from benchmarks.peers.contract import MEMORY, THREADS, Answer
from benchmarks.peers.contract import STEPS as ALL_STEPS

if TYPE_CHECKING:
    from benchmarks.conditions import Segment

STEPS = ("full",)


def prepare(folder: Path, segments: list[Segment], step: str) -> None:
    (folder / "limit").mkdir(exist_ok=True)


def recompute(folder: Path, segments: list[Segment], step: str) -> None:
    as_of = ALL_STEPS[step].as_of
    conditions = {condition for segment in segments for condition in segment.conditions}
    contacts = {"contact_id", *(one.field for one in conditions if isinstance(one, Attribute))}
    behaviours = [one for one in conditions if not isinstance(one, Attribute)]
    events = {"event", "happened_at", *(one.where[0] for one in behaviours if one.where)}
    events |= {"amount" for one in behaviours if one.measure in ("sum", "avg")}
    with duckdb.connect() as db:
        db.execute(f"set threads = {THREADS}; set memory_limit = '{MEMORY}'; set timezone = 'UTC'")
        # or columns without a missing value would be counted from the files' statistics, not decoded
        db.execute("set disabled_optimizers = 'statistics_propagation'")
        counted = ", ".join(f"count({column})" for column in sorted(contacts))
        db.execute(f"create temp table decoded as select {counted} from '{snapshot(folder, as_of)}'")
        files = [str(file) for file in event_files(folder, as_of)]
        counted = ", ".join(f"count({column})" for column in sorted(events))
        db.execute(f"create temp table grouped as select contact_id, {counted} from read_parquet({files}) group by contact_id")


def answers(folder: Path, segments: list[Segment], step: str) -> Iterator[Answer]:
    return iter(())
