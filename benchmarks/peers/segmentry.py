"""Segmentry itself: a workspace of the same segments, recomputed in full."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from benchmarks.peers.contract import MEMORY, THREADS
from segmentry import Run, Workspace

if TYPE_CHECKING:
    from benchmarks.segments import Segment

WORKSPACE = f"""\
version: 1
id: 0a6f9a52-3c1e-4a57-8f0e-5b1d1a6f2026
name: benchmark
state: .segmentry
engine: {{memory: {MEMORY}, threads: {THREADS}}}
contacts:
  path: ../data/contacts/{{date}}.parquet
  key: contact_id
events:
  - {{path: ../data/events/*.parquet, contact: contact_id, at: happened_at, name: event}}
"""

_last: list[Run] = []


def prepare(folder: Path, segments: list[Segment]) -> None:
    root = folder / "segmentry"
    (root / "segments").mkdir(parents=True)
    (root / "segmentry.yml").write_text(WORKSPACE, encoding="utf-8")
    for segment in segments:
        (root / "segments" / f"{segment.name}.yml").write_text(f"where: >\n  {segment.rule}\n", encoding="utf-8")


def recompute(folder: Path, segments: list[Segment], as_of: datetime) -> None:
    workspace = Workspace.open(folder / "segmentry")
    first = not (folder / "segmentry" / ".segmentry").exists()
    _last[:] = [workspace.recompute(as_of=as_of, full=True, first_run=first)]


def answers(folder: Path, segments: list[Segment]) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    workspace = Workspace.open(folder / "segmentry")
    members = [
        workspace.members(segment.name).select(pl.lit(segment.name).alias("segment"), pl.col("contact_id").alias("contact"))
        for segment in segments
    ]
    return pl.concat(members), _last[0].changes.lazy().select("segment", "contact", "change")
