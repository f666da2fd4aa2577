"""What of a run has to be computed at all: a segment is carried over, or computed for the contacts that something may have changed, or
for all.

The clock moves the edges of windows. Which contacts that concerns is found by a few queries (`affected`); for these alone the
very plan of a full run is evaluated, and what it answers is put into the bitmaps of the accepted run. Where there is any
doubt, all contacts are computed: of one segment, or of all. The answer is that of a full run, bit for bit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import polars as pl

from segmentry.engine.consequences import beside
from segmentry.engine.former import HELD_COLUMN, FormerRun
from segmentry.engine.passing import PLACES, STILL, Passed, passed
from segmentry.engine.populations import has_population
from segmentry.engine.prepared import Prepared
from segmentry.engine.report import versions
from segmentry.engine.state.records import LIST_COLUMN
from segmentry.rules.nodes import Condition, Listed
from segmentry.rules.references import in_order, references

MOST_AFFECTED = 0.3
"""Where more than this share of the contacts is affected, all of them are computed: that takes no longer."""

FEW_CONTACTS = 100_000
"""So few contacts are not counted: either way is quick."""


class Way(StrEnum):
    """For whom a segment is computed."""

    CARRIED = "nobody"
    AFFECTED = "affected"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Part:
    """How one column of a run comes about; `why` says it where all contacts are computed."""

    way: Way
    why: str | None = None


@dataclass(frozen=True)
class Division:
    """How each column of a run comes about, and whom the affected ones concern."""

    parts: Mapping[str, Part]
    passed: Passed

    def names(self, way: Way) -> list[str]:
        """The columns that come about so."""
        return sorted(name for name, part in self.parts.items() if part.way is way)

    def told(self, segments: Collection[str]) -> dict[str, Any]:
        """How these come about, as plain values."""
        chosen = {name: self.parts[name] for name in sorted(segments)}
        return {name: {"computed": str(part.way), **({} if part.why is None else {"why": part.why})} for name, part in chosen.items()}


def why_full(prepared: Prepared, former: FormerRun | None, *, asked: bool, historical: bool) -> str | None:
    """Why a run computes everything for everybody; None where it can go by the accepted run."""
    if former is None:
        return "no run is accepted yet"
    if historical:
        return "it is historical"
    if asked:
        return "it was asked for"
    record = former.record
    if not record.complete:
        return "the accepted run's memberships are not kept any more"
    if record.erased:
        return "contacts were forgotten since the accepted run"
    if record.decision is not None or not _all_its_own(former):
        return "a guard has held a segment, or somebody has decided about one, in the accepted run"
    if record.definitions.get("versions") != versions():
        return "the version of Segmentry, of its engine or of the timezones is another"
    if former.snapshot != prepared.snapshot:
        return "the sources are not as they were"
    then, now = former.definitions, prepared.rules.definitions
    if (then.elsewhere, then.segments) != (now.elsewhere, now.segments):
        return "segments, sources, the timezone or the week are defined otherwise"
    if then.lists != now.lists:
        return "a static list is another"
    if (then.suppress, then.consents) != (now.suppress, now.consents):
        return "`suppress` or `consent` is another rule"
    if not columns_of(prepared, former).keys() <= former.columns:
        return "the accepted run has not all of the segments"
    return None


def _all_its_own(former: FormerRun) -> bool:
    """Whether every membership of the accepted run is what that run computed."""
    runs = {record.accepted_run for record in former.segments.values() if record.retired_run is None}
    return runs <= {former.record.id} and not any(column.startswith(HELD_COLUMN) for column in former.columns)


def columns_of(prepared: Prepared, former: FormerRun) -> dict[str, Condition]:
    """Everything that a run keeps a column of: segments, lists, and what is computed beside them."""
    lists: dict[str, Condition] = {LIST_COLUMN + path: Listed(path) for path in prepared.lists}
    return {**prepared.rules.whole(), **lists, **beside(prepared, former)}


def divide(prepared: Prepared, former: FormerRun) -> Division:
    """How each column of a run comes about that differs from the accepted one in nothing but its instant."""
    then, now = (columns_of(at, former) for at in (prepared.at(former.record.as_of), prepared))
    parts: dict[str, Part] = {}
    placed: set[str] = set()
    concerned = STILL
    for name in in_order(now):
        condition, named = now[name], references(now[name]) & now.keys()
        found = passed(then[name], condition)
        if has_population(condition) or named & placed:
            placed.add(name)
        part = parts[name] = _part(found, {other: parts[other] for other in sorted(named)}, in_places=name in placed)
        if part.way is Way.AFFECTED:
            concerned |= found
    return Division(parts, concerned)


def _part(found: Passed, named: Mapping[str, Part], *, in_places: bool) -> Part:
    """How a segment comes about that itself moves as `found`, and refers to `named`; `in_places`: others decide about it too."""
    if found.opaque is not None:
        return Part(Way.ALL, found.opaque)
    for other, part in named.items():
        if part.way is Way.ALL:
            return Part(Way.ALL, f"it refers to `{other}`, which is computed for all contacts")
    if found.still and all(part.way is Way.CARRIED for part in named.values()):
        return Part(Way.CARRIED)
    return Part(Way.ALL, PLACES) if in_places else Part(Way.AFFECTED)


def too_many(affected: pl.Series, contacts: int) -> bool:
    """Whether so many contacts are affected that all of them are computed as quickly."""
    return contacts >= FEW_CONTACTS and len(affected) > MOST_AFFECTED * contacts
