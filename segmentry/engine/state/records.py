"""What the catalog tells of runs, orders of contacts and memberships, as plain frozen values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

ChunkFiles = tuple[tuple[int, tuple[str, ...]], ...]
"""Of one chunk: which columns are read from which file (by id)."""

HELD_COLUMN = "held:"
"""Columns of a run that are no segments: `held:` and a segment's name, what was computed while a guard holds the segment."""

SUPPRESS_COLUMN = "suppress:"
"""The column of a run that is true for whoever is never sent anything; `held:suppress:` is what was computed while a guard holds it."""

CONSENT_COLUMN = "consent:"
"""Columns of a run that are no segments: `consent:` and a destination's name, true for whom its `consent` rule holds."""

LIST_COLUMN = "list:"
"""Columns of a run that are no segments: `list:` and a static list's path, true for the contacts whose key is in it."""


class Status(StrEnum):
    """What became of a committed run."""

    ACCEPTED = "accepted"
    HISTORICAL = "historical"
    """Its `as_of` is not after that of the run accepted before it: stored and shown, never accepted."""
    HELD = "held"
    """A guard holds the whole of it: stored and shown, accepted only by approval."""


@dataclass(frozen=True, slots=True)
class ContactsRecord:
    """A lasting order of contacts. Two orders of one `lineage` are prefixes of each other."""

    id: int
    lineage: int
    key: str
    kind: str
    """`integer`, `text` or `uuid`."""
    size: int
    gone: int
    key_files: tuple[int, ...]
    present_file: int


@dataclass(frozen=True, slots=True)
class SegmentFigures:
    """One segment in one run. `first`: it was never computed before, so its members are its entries."""

    size: int
    entered: int
    exited: int
    first: bool


@dataclass(frozen=True)
class RunRecord:
    """One committed run. `complete`: retention has not removed its memberships; `erased`: how many contacts were forgotten since."""

    id: int
    status: Status
    as_of: datetime
    started: datetime
    committed: datetime
    contacts: int
    members: tuple[ChunkFiles, ...]
    complete: bool
    changes_file: int
    digests_file: int | None
    report: Mapping[str, Any]
    erased: int
    segments: Mapping[str, SegmentFigures]
    skipped_file: int | None
    decision: Mapping[str, Any] | None
    """Where the run was no computation: `what` was decided (`approve`, `baseline`), on which `run`, and the `names` it was about."""
    detail: Callable[[str], Any] = field(repr=False, compare=False)
    """Reads one of the large parts, `snapshot` or `definitions`, when somebody asks for it."""

    @cached_property
    def snapshot(self) -> Mapping[str, Any]:
        """What it read, as `pinned.snapshot_from_json` takes it."""
        found: Mapping[str, Any] = self.detail("snapshot")
        return found

    @cached_property
    def definitions(self) -> Mapping[str, Any]:
        """What it computed: `definitions`, `reads`, `versions`."""
        found: Mapping[str, Any] = self.detail("definitions")
        return found

    @property
    def accepted(self) -> bool:
        return self.status is Status.ACCEPTED

    @property
    def counts(self) -> dict[str, int]:
        """How many members each segment has."""
        return {name: figures.size for name, figures in self.segments.items()}


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """A segment that was ever accepted. `retired_run`: the first accepted run without it, None while it lives."""

    name: str
    accepted_run: int
    first_run: int
    retired_run: int | None
    decided: int | None = None
    """The run by which somebody last approved it or took it as a baseline."""


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """What a guard holds, or held. `status`: `open`, `ended`, `superseded`, `approved` or `discarded`. `detail`: reasons and figures."""

    id: int
    run: int
    kind: str
    name: str
    status: str
    since: datetime
    opened: datetime
    ended: datetime | None
    ended_run: int | None
    detail: Mapping[str, Any]
    changes_file: int | None

    @property
    def reasons(self) -> list[str]:
        """Why, in words."""
        found: list[str] = self.detail.get("reasons", [])
        return found


@dataclass(frozen=True, slots=True)
class EventFileRecord:
    """Whose events an event file held: rows with `part` in bulk file `file`."""

    source: str
    path: str
    size: int
    modified: int
    digest: str
    columns: tuple[str, ...]
    engine: str
    file: int
    part: int
