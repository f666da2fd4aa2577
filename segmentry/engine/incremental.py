"""What of a run has to be computed at all: a segment is carried over, or computed for the contacts that something may have changed, or
for all.

The clock moves the edges of windows; which contacts that concerns is found by a few queries (`affected`). Where sources have
other files, digests say whose row or events are not as they were (`keeping`). For these contacts alone the very plan of a
full run is evaluated, and what it answers is put into the bitmaps of the accepted run. Where there is any doubt, all
contacts are computed: of one segment, or of all. The answer is that of a full run, bit for bit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import polars as pl

from segmentry.engine.consequences import beside
from segmentry.engine.definitions import going_before, reaching
from segmentry.engine.digests import ENGINE, Reads, reads_of, same_files
from segmentry.engine.former import HELD_COLUMN, FormerRun
from segmentry.engine.otherwise import needed_by
from segmentry.engine.passing import PLACES, STILL, Passed, passed
from segmentry.engine.plan import make_plan
from segmentry.engine.populations import has_population
from segmentry.engine.prepared import Prepared
from segmentry.engine.report import versions
from segmentry.engine.snapshot import EventSource, Snapshot
from segmentry.engine.state.records import CONSENT_COLUMN, LIST_COLUMN, SUPPRESS_COLUMN
from segmentry.rules.nodes import Condition, Events, Listed, walk
from segmentry.rules.references import in_order, references

MOST_AFFECTED = 0.3
"""Where more than this share of the contacts is affected, all of them are computed: that takes no longer."""

FEW_CONTACTS = 100_000
"""So few contacts are not counted: either way is quick."""


UNDIGESTED = "it reads a column that no segment's rule has read"


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
    """How each column of a run comes about. Whom the affected ones concern is who was `passed` by the clock, and who was `changed`."""

    parts: Mapping[str, Part]
    passed: Passed
    changed: Changed

    def names(self, way: Way) -> list[str]:
        """The columns that come about so."""
        return sorted(name for name, part in self.parts.items() if part.way is way)

    def told(self, segments: Collection[str]) -> dict[str, Any]:
        """How these come about, as plain values."""
        chosen = {name: self.parts[name] for name in sorted(segments)}
        return {name: {"computed": str(part.way), **({} if part.why is None else {"why": part.why})} for name, part in chosen.items()}


@dataclass(frozen=True)
class Changed:
    """What has other files than in the accepted run: the contacts, these event tables."""

    contacts: bool = False
    events: tuple[EventSource, ...] = ()

    @classmethod
    def since(cls, then: Snapshot, now: Snapshot) -> Changed:
        """Between two snapshots that have the same tables and columns."""
        events = tuple(source for before, source in zip(then.events, now.events, strict=True) if before != source)
        return cls(not same_files(then.contacts, now.contacts), events)

    def __bool__(self) -> bool:
        return self.contacts or bool(self.events)

    def may_concern(self, condition: Condition) -> bool:
        """Whether a condition asks anything of what has changed."""
        asked = [events for events in walk(condition) if isinstance(events, Events)]
        return self.contacts or any(source.carries(events) for source in self.events for events in asked)


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
    if record.definitions.get("versions") != versions() or former.reads.engine != ENGINE:
        return "the version of Segmentry, of its engine or of the timezones is another"
    if former.definitions.elsewhere != prepared.rules.definitions.elsewhere:
        return "sources, the timezone or the week are defined otherwise"
    if _shape(former.snapshot) != _shape(prepared.snapshot):
        return "the sources have other columns"
    return None


def _shape(snapshot: Snapshot) -> Snapshot:
    """A snapshot without its files."""
    contacts, events = snapshot.contacts, snapshot.events
    return Snapshot(
        replace(contacts, relation=replace(contacts.relation, files=())),
        tuple(replace(source, relation=replace(source.relation, files=())) for source in events),
    )


def _all_its_own(former: FormerRun) -> bool:
    """Whether every membership of the accepted run is what that run computed."""
    runs = {record.accepted_run for record in former.segments.values() if record.retired_run is None}
    return runs <= {former.record.id} and not any(column.startswith(HELD_COLUMN) for column in former.columns)


def columns_of(prepared: Prepared, former: FormerRun) -> dict[str, Condition]:
    """Everything that a run keeps a column of: segments, lists, and what is computed beside them."""
    lists: dict[str, Condition] = {LIST_COLUMN + path: Listed(path) for path in prepared.lists}
    return {**prepared.rules.whole(), **lists, **beside(prepared, former)}


def divide(prepared: Prepared, former: FormerRun, reads: Reads) -> Division:
    """How each column of a run comes about that has its own instant, rules and lists, and the sources' files as they are now.

    `reads` has the columns that the segments' rules read.
    """
    then, now = (columns_of(at, former) for at in (prepared.at(former.record.as_of), prepared))
    changed = Changed.since(former.snapshot, prepared.snapshot)
    anew = _anew(now, prepared, former)
    if changed:
        touched = {name: condition for name, condition in now.items() if changed.may_concern(condition)}
        anew |= dict.fromkeys(_undigested(touched, now, reaching(anew, now), prepared, reads, former.reads), UNDIGESTED)
    parts: dict[str, Part] = {}
    placed: set[str] = set()
    concerned = STILL
    for name in in_order(now):
        condition, named = now[name], references(now[name]) & now.keys()
        if has_population(condition) or named & placed:
            placed.add(name)
        if name in anew:
            parts[name] = Part(Way.ALL, anew[name])
            continue
        found = passed(then[name], condition)
        others, still = {other: parts[other] for other in sorted(named)}, found.still and not changed.may_concern(condition)
        part = parts[name] = _part(found, others, still=still, in_places=name in placed)
        if part.way is Way.AFFECTED:
            concerned |= found
    return Division(parts, concerned, changed)


def _anew(conditions: Mapping[str, Condition], prepared: Prepared, former: FormerRun) -> dict[str, str]:
    """The columns that mean something else than in the accepted run, or that it has not got, with the reason."""
    then, now = former.definitions, prepared.rules.definitions
    lists = {path for path in prepared.lists if then.lists.get(path) != now.lists.get(path)}
    first_then, first_now = (going_before({name: one.priority for name, one in at.segments.items()}) for at in (then, now))
    defined: dict[str, tuple[object, object]] = {
        **{
            name: ((then.segments.get(name), first_then.get(name)), (now.segments[name], first_now.get(name)))
            for name in prepared.rules.conditions
        },
        **{CONSENT_COLUMN + name: (then.consents.get(name), now.consents.get(name)) for name in prepared.consents},
        SUPPRESS_COLUMN: (then.suppress, now.suppress),
    }
    found = {}
    for name, condition in conditions.items():
        before, after = defined.get(name, (None, None))
        if name not in former.columns:
            found[name] = "the accepted run has not had it"
        elif before != after:
            found[name] = "its rule is another"
        elif any(node.list in lists for node in walk(condition) if isinstance(node, Listed)):
            found[name] = "a static list that it names is another"
    return found


def _part(found: Passed, named: Mapping[str, Part], *, still: bool, in_places: bool) -> Part:
    """How a segment comes about that itself moves as `found`, and refers to `named`; `in_places`: others decide about it too."""
    if found.opaque is not None:
        return Part(Way.ALL, found.opaque)
    for other, part in named.items():
        if part.way is Way.ALL:
            return Part(Way.ALL, f"it refers to `{other}`, which is computed for all contacts")
    if still and all(part.way is Way.CARRIED for part in named.values()):
        return Part(Way.CARRIED)
    return Part(Way.ALL, PLACES) if in_places else Part(Way.AFFECTED)


def _undigested(
    asked: Collection[str], conditions: Mapping[str, Condition], others: Collection[str], prepared: Prepared, reads: Reads, digested: Reads
) -> list[str]:
    """Those of the conditions asked about, without the `others`, that read a column of which the accepted run has no digests.

    `reads` is what all segments' rules read.
    """

    def read(names: Collection[str]) -> Reads:
        plan = make_plan({name: conditions[name] for name in needed_by(names, conditions)}, prepared.snapshot, prepared.clock)
        return reads_of(prepared.snapshot, plan.columns_read())

    rules = [name for name in prepared.rules.conditions if name not in others]
    if (read(rules) if others else reads) <= digested:  # one plan for all of them, as nearly always they are
        asked = [name for name in asked if name not in prepared.rules.conditions]
    return [name for name in asked if name not in others and not read([name]) <= digested]


def too_many(affected: pl.Series, contacts: int) -> bool:
    """Whether so many contacts are affected that all of them are computed as quickly."""
    return contacts >= FEW_CONTACTS and len(affected) > MOST_AFFECTED * contacts
