"""Segmentry itself: a workspace of the same segments. `full` is a run in full, `next` and `clock` what a run does by itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from benchmarks.data import event_files, snapshot
from benchmarks.peers.contract import MEMORY, THREADS, Answer
from benchmarks.peers.contract import STEPS as ALL_STEPS
from segmentry import Run, Workspace
from segmentry.engine import preview, scatter  # noqa: F401 - imports are not measured, of no peer
from segmentry.engine import run as _run  # noqa: F401 - as above
from segmentry.engine.loading import load
from segmentry.engine.state import State

if TYPE_CHECKING:
    from benchmarks.conditions import Segment

STEPS = ("first", "full", "next", "clock", "preview")

WORKSPACE = f"""\
version: 1
id: 0a6f9a52-3c1e-4a57-8f0e-5b1d1a6f2026
name: benchmark
state: .segmentry
engine: {{memory: {MEMORY}, threads: {THREADS}}}
contacts:
  path: contacts/{{date}}.parquet
  key: contact_id
events:
  - {{path: events/*.parquet, contact: contact_id, at: happened_at, name: event}}
"""

_last: list[Run] = []


def prepare(folder: Path, segments: list[Segment], step: str) -> None:
    lay_out(folder, "segmentry", "data", segments, step)


def lay_out(folder: Path, name: str, kind: str, segments: list[Segment], step: str) -> None:
    """The workspace with the files that are there by then. The state after `first` is kept, so that `full` and `next` both follow it."""
    root, kept = folder / name, folder / name / "state-after-first"
    if step == "first":
        for place in ("segments", "contacts", "events"):
            (root / place).mkdir(parents=True)
        (root / "segmentry.yml").write_text(WORKSPACE, encoding="utf-8")
        for segment in segments:
            (root / "segments" / f"{segment.name}.yml").write_text(f"where: >\n  {segment.rule}\n", encoding="utf-8")
    elif step == "full":
        shutil.copytree(root / ".segmentry", kept)
    elif step == "next":
        shutil.rmtree(root / ".segmentry")
        kept.rename(root / ".segmentry")
    as_of = ALL_STEPS[step].as_of
    for file in (snapshot(folder, as_of, kind), *event_files(folder, as_of, kind)):
        link = root / file.relative_to(folder / kind)
        if not link.exists():
            os.link(file, link)


def recompute(folder: Path, segments: list[Segment], step: str) -> None:
    run(folder / "segmentry", segments, step)


def run(root: Path, segments: list[Segment], step: str) -> None:
    workspace = Workspace.open(root)
    as_of = ALL_STEPS[step].as_of
    if step == "preview":
        found = workspace.preview(segments[0].rule, as_of, sample=20)
        print(found.count)
    else:
        _last[:] = [workspace.recompute(as_of=as_of, full=step == "full", first_run=step == "first")]


def answers(folder: Path, segments: list[Segment], step: str) -> Iterator[Answer]:
    return found(folder / "segmentry", segments, step, None)


def found(root: Path, segments: list[Segment], step: str, numbers: pl.DataFrame | None) -> Iterator[Answer]:
    """What the last run answered; `numbers` has the `number` of each key, None where the key is the number."""
    workspace = load(root)
    with closing(State.open(workspace.state, workspace.config.id, workspace.environment)) as state:
        run = _last[0].id
        keys, bits = state.order(run).keys, state.columns([segment.name for segment in segments], run)
    changes = None if step == "first" else _last[0].changes

    def numbered(keys: pl.Series) -> pl.Series:
        if numbers is None:
            return keys
        return pl.DataFrame({"key": keys}).join(numbers, on="key", how="left", maintain_order="left")["number"]

    for segment in segments:
        members = keys.filter(bits[segment.name])
        changed = None if changes is None else numbered(changes.filter(segment=segment.name)["contact"])
        yield Answer(segment.name, numbered(members), changed)
