"""What the state tells: runs, segments, members, differences, histories. Nothing here waits for a run or writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from segmentry.engine.activation import delivers
from segmentry.engine.alarms import alarms
from segmentry.engine.diff import ENTERED, EXITED
from segmentry.engine.exporting import exports_of
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.moment import nearest_hint
from segmentry.engine.rows import rows, rows_of, unchanged
from segmentry.engine.snapshot import ContactSource
from segmentry.engine.sources import snapshot_from_json
from segmentry.engine.split_past import members_in
from segmentry.engine.standing import standing
from segmentry.engine.state import RunRecord, State, counting
from segmentry.engine.state.exported import exported_run, exports
from segmentry.engine.state.holds import holds as held
from segmentry.engine.state.holds import pauses
from segmentry.engine.state.sync_standing import standings
from segmentry.engine.state.synced import SyncRecord
from segmentry.errors import NotFound
from segmentry.rules.diagnostics import Severity

INSTANT = pl.Datetime("us", "UTC")
RUNS = pl.Schema(
    {
        "run": pl.Int64(),
        "status": pl.String(),
        "as_of": INSTANT,
        "started": INSTANT,
        "contacts": pl.Int64(),
        "segments": pl.Int64(),
        "entered": pl.Int64(),
        "exited": pl.Int64(),
    }
)
HISTORY = pl.Schema({"run": pl.Int64(), "as_of": INSTANT, "size": pl.Int64(), "entered": pl.Int64(), "exited": pl.Int64()})
SEGMENTS = pl.Schema(
    {"segment": pl.String(), "label": pl.String(), "size": pl.Int64(), "entered": pl.Int64(), "exited": pl.Int64(), "run": pl.Int64()}
)


def runs(state: State) -> pl.DataFrame:
    """Every run, the newest first."""
    return pl.DataFrame(
        [
            (
                record.id,
                str(record.status),
                record.as_of,
                record.started,
                record.report["contacts"]["rows"],
                len(record.segments),
                sum(figures.entered for figures in record.segments.values()),
                sum(figures.exited for figures in record.segments.values()),
            )
            for record in reversed(state.runs())
        ],
        schema=RUNS,
        orient="row",
    )


def history(state: State, segment: str) -> pl.DataFrame:
    """A segment's figures in every accepted run, oldest first. Raises NotFound."""
    known = state.segments()
    if segment not in known:
        raise NotFound(f"no run has computed a segment `{segment}`" + nearest_hint(segment, known))
    found = [(record, record.segments[segment]) for record in state.runs() if record.accepted and segment in record.segments]
    return pl.DataFrame(
        [(record.id, record.as_of, figures.size, figures.entered, figures.exited) for record, figures in found],
        schema=HISTORY,
        orient="row",
    )


def segments(loaded: LoadedWorkspace, record: RunRecord | None) -> pl.DataFrame:
    """Every segment that has a file, with its figures in the accepted run; missing where it has not been computed yet."""
    figures = record.segments if record is not None else {}
    found = []
    for name in sorted(loaded.names):
        label = loaded.segments[name].label if name in loaded.segments else None
        one = figures.get(name)
        numbers = (None, None, None, None) if one is None or record is None else (one.size, one.entered, one.exited, record.id)
        found.append((name, label, *numbers))
    return pl.DataFrame(found, schema=SEGMENTS, orient="row")


HOLDS = pl.Schema(
    {
        "run": pl.Int64(),
        "kind": pl.String(),
        "name": pl.String(),
        "status": pl.String(),
        "since": INSTANT,
        "ended": INSTANT,
        "reasons": pl.List(pl.String()),
    }
)


def holds(state: State, *, ended: bool = False) -> pl.DataFrame:
    """What guards hold, the newest last; with `ended` also what they held."""
    with state.catalog.reading() as connection:
        found = held(connection, status=None if ended else "open")
    rows = [(hold.run, hold.kind, hold.name, hold.status, hold.since, hold.ended, hold.reasons) for hold in found]
    return pl.DataFrame(rows, schema=HOLDS, orient="row")


# ---------------------------------------------------------------- members


@dataclass(frozen=True)
class Members:
    """The contacts of a segment, and what to know of them (None: nothing, they are as the run saw them)."""

    rows: pl.LazyFrame
    notice: str | None


def members(
    state: State, segment: str, run: int | None, newest: Callable[[], ContactSource], groups: Sequence[str] | None = None
) -> Members:
    """The rows of a run's members, or of those in some groups: from the run's own files while they are unchanged, else from the newest.

    Every member is there, in the second case with missing columns if it is gone. Raises NotFound.
    """
    record = state.run(run)
    if segment not in record.segments:
        raise NotFound(f"run {record.id} has no segment `{segment}`" + nearest_hint(segment, record.segments))
    keys = state.members(segment, record.id) if groups is None else members_in(state, segment, record.id, groups)
    source = snapshot_from_json(record.snapshot).contacts
    if unchanged(source.relation.files):
        return Members(rows_of(source.relation, source.key, keys), None)
    source = newest()
    found = rows(source.relation)
    wanted = pl.LazyFrame({source.key: keys.cast(found.collect_schema()[source.key])})
    columns = found.collect_schema().names()
    joined = wanted.join(found, on=source.key, how="left", maintain_order="left").select(columns)
    return Members(joined, f"the files of run {record.id} are gone or changed; columns are those of the snapshot as it is now")


# ---------------------------------------------------------------- differences


def held_changes(state: State, run: int | None, segment: str | None) -> pl.DataFrame:
    """The changes that guards hold, or held, of a run (None: the newest that anything is held of): what `approve` would accept.

    Raises NotFound where nothing is held.
    """
    with state.catalog.reading() as connection:
        found = [hold for hold in held(connection, status=None if run is not None else "open", run=run) if hold.kind != "sequence"]
    if not found:
        raise NotFound("no guard holds any changes" if run is None else f"run {state.run(run).id} holds no changes")
    newest = max(hold.run for hold in found)
    files = {hold.changes_file for hold in found if hold.run == newest and hold.changes_file is not None}
    whole = any(hold.kind == "source" for hold in found if hold.run == newest)
    changes = state.stored_changes(newest) if whole else pl.concat([state.file(number) for number in sorted(files)])
    return changes if segment is None else changes.filter(pl.col("segment") == segment)


def diff(state: State, former: int | None, latter: int | None, segment: str | None) -> pl.DataFrame:
    """The changes of one run (None: the accepted one), or between the memberships of two. Raises NotFound."""
    if latter is None or former is None:
        record = state.run(former)
        _require(record, segment)
        return state.changes(record.id, segment)
    before, after = state.run(former), state.run(latter)
    names = [segment] if segment else sorted(before.segments.keys() | after.segments.keys())
    if segment and segment not in before.segments:
        _require(after, segment)
    schema = state.changes(after.id).schema
    empty = pl.Series("contact", [], schema["contact"])
    moved = []
    for name in names:
        was = state.members(name, before.id) if name in before.segments else empty
        is_now = state.members(name, after.id) if name in after.segments else empty
        moved += [_moved(name, is_now, was, ENTERED, schema["contact"]), _moved(name, was, is_now, EXITED, schema["contact"])]
    changes = pl.concat(moved).sort("segment", "contact") if moved else pl.DataFrame(schema={**schema}).drop("cause", "via")
    return changes.join(_causes(state, before, after, schema), on=["segment", "contact", "change"], how="left", maintain_order="left")


def _moved(segment: str, these: pl.Series, others: pl.Series, change: str, key: pl.DataType) -> pl.DataFrame:
    """Those who are among `these` and not among `others`."""
    found = pl.DataFrame({"contact": these.cast(key)}).join(pl.DataFrame({"contact": others.cast(key)}), on="contact", how="anti")
    return found.select(pl.lit(segment).alias("segment"), "contact", pl.lit(change).alias("change"))


def _causes(state: State, before: RunRecord, after: RunRecord, schema: pl.Schema) -> pl.DataFrame:
    """Cause and via of each contact's last change in the accepted runs after `before` and up to `after`."""
    between = [record.id for record in state.runs() if record.accepted and before.id < record.id <= after.id]
    changes = [state.changes(number).cast({"contact": schema["contact"]}) for number in between]
    if not changes:
        return pl.DataFrame(schema=schema)
    return pl.concat(changes).unique(["segment", "contact"], keep="last", maintain_order=True)


def _require(record: RunRecord, segment: str | None) -> None:
    if segment is not None and segment not in record.segments:
        raise NotFound(f"run {record.id} has no segment `{segment}`" + nearest_hint(segment, record.segments))


# ---------------------------------------------------------------- status


def status(loaded: LoadedWorkspace, state: State | None, now: datetime) -> dict[str, object]:
    """How the workspace stands, as plain values; sizes in bytes, ages in seconds."""
    known: dict[str, object] = {
        "workspace": loaded.name,
        "environment": loaded.environment,
        "folder": str(loaded.root.absolute()),
        "segments": len(loaded.names),
        "problems": sum(problem.severity is Severity.ERROR for problem in loaded.diagnostics),
        "state": str(loaded.state) if state is not None else None,
    }
    if state is None:
        return known
    record = state.accepted()
    found = alarms(loaded, state, now)
    known["running"] = state.holder()
    known["state_bytes"] = sum(path.stat().st_size for path in Path(loaded.state).rglob("*") if path.is_file())
    known["runs"] = len(state.runs())
    if record is not None:
        known |= {
            "accepted_run": record.id,
            "as_of": record.as_of,
            "age_seconds": round((now - record.as_of).total_seconds()),
            "contacts": record.report["contacts"]["rows"],
        }
    with state.catalog.reading() as connection:
        known["delivers"] = delivers(loaded)
        known["unsent"] = counting.unsent(connection)
        known["paused"] = sorted(pauses(connection))
        known["syncs"] = [sync.to_json() for sync in standings(connection)]
        known["exports"] = [_exported(loaded, one, record) for _, one in sorted(exports(connection).items())]
    known |= standing(loaded, state, now)
    known["alarms"] = [alarm.to_json() for alarm in found]
    return known


def _exported(loaded: LoadedWorkspace, export: SyncRecord, accepted: RunRecord | None) -> dict[str, object]:
    """How an export stands: `run` is the newest of which everything was written, `behind` whether there is a newer one."""
    run = exported_run(export)
    goes_on = (export.segment, export.destination) in exports_of(loaded)
    behind = goes_on and accepted is not None and run < accepted.id
    return {"segment": export.segment, "destination": export.destination, "goes_on": goes_on, "run": run or None, "behind": behind}
