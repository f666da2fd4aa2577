"""How a workspace stands, in Prometheus's text format: for the node exporter's textfile collector, or whatever reads such files.

Names follow Prometheus's conventions: base units, times as seconds since 1970. Every sample says whose it is, so that files of
several workspaces and environments may lie in one folder. A family whose value is not known is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from segmentry import __version__
from segmentry.engine.alarms import KINDS, alarms
from segmentry.engine.attempts import keeper, last_attempt
from segmentry.engine.guards import HoldKind
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.scheduling import schedule_of
from segmentry.engine.standing import next_due
from segmentry.engine.state import State, counting
from segmentry.engine.state.sync_standing import standings

HELP = {
    "info": "What this workspace is run by; always 1.",
    "scheduler_up": "Whether `segmentry schedule` is at work.",
    "last_attempt_timestamp_seconds": "When the schedule last made a run, or tried to.",
    "last_attempt_duration_seconds": "How long that took.",
    "last_attempt_exit_code": "What it ended with: 0 done, 4 held, 75 skipped, anything else failed.",
    "last_success_timestamp_seconds": "When the accepted run began.",
    "last_success_as_of_timestamp_seconds": "The instant that the accepted run is of.",
    "next_run_timestamp_seconds": "When the next run is due.",
    "stale_from_timestamp_seconds": "From when the segments are stale, if no run is accepted before.",
    "contacts": "Contacts in the accepted run.",
    "segment_members": "Members of a segment in the accepted run.",
    "segment_entered": "Contacts who entered a segment in the accepted run.",
    "segment_exited": "Contacts who left a segment in the accepted run.",
    "enrollments": "Enrollments of a sequence by their present outcome.",
    "deliveries_unsent": "Deliveries to a destination that are pending or under way.",
    "deliveries_due": "Deliveries to a destination that are unsent and due.",
    "deliveries_failed": "Deliveries to a destination that were rejected, or whose fate is unknown.",
    "sync_contacts": "Contacts of a segment that is kept in step with a target of a destination, by how they stand there.",
    "holds_open": "Holds by guards that wait for a person, by what they are on.",
    "alarms": "Things that need a person, by kind.",
}
"""Every family, in the order of the file. All are gauges: each is how things stand now, and may fall again."""

Samples = list[tuple[Mapping[str, str], float]]


def metrics(workspace: LoadedWorkspace, state: State, now: datetime) -> str:
    """The file's whole text."""
    whose = {"workspace": workspace.name, "environment": workspace.environment}
    families = {**_runs(workspace, state, now), **_accepted(state), **_counted(state, now)}
    found = alarms(workspace, state, now)
    families["alarms"] = [({"kind": kind}, sum(alarm.kind == kind for alarm in found)) for kind in KINDS]
    lines = []
    for name, text in HELP.items():
        samples = families.get(name, [])
        if samples:
            lines += [f"# HELP segmentry_{name} {text}", f"# TYPE segmentry_{name} gauge"]
            lines += [f"segmentry_{name}{_labels({**whose, **labels})} {_number(value)}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _runs(workspace: LoadedWorkspace, state: State, now: datetime) -> dict[str, Samples]:
    found: dict[str, Samples] = {
        "info": [({"version": __version__}, 1)],
        "scheduler_up": [({}, keeper(state, now) is not None)],
    }
    attempt, accepted, schedule = last_attempt(state), state.accepted(), schedule_of(workspace.config)
    if attempt is not None:
        found["last_attempt_timestamp_seconds"] = [({}, attempt.began.timestamp())]
        found["last_attempt_duration_seconds"] = [({}, attempt.seconds)]
        found["last_attempt_exit_code"] = [({}, attempt.code)]
    if schedule is not None:
        found["next_run_timestamp_seconds"] = [({}, next_due(schedule, state, now).timestamp())]
    if schedule is not None and accepted is not None:
        found["stale_from_timestamp_seconds"] = [({}, schedule.stale_from(accepted.started).timestamp())]
    return found


def _accepted(state: State) -> dict[str, Samples]:
    record = state.accepted()
    if record is None:
        return {}
    figures = sorted(record.segments.items())
    return {
        "last_success_timestamp_seconds": [({}, record.started.timestamp())],
        "last_success_as_of_timestamp_seconds": [({}, record.as_of.timestamp())],
        "contacts": [({}, record.report["contacts"]["rows"])],
        "segment_members": [({"segment": name}, one.size) for name, one in figures],
        "segment_entered": [({"segment": name}, one.entered) for name, one in figures],
        "segment_exited": [({"segment": name}, one.exited) for name, one in figures],
    }


def _counted(state: State, now: datetime) -> dict[str, Samples]:
    with state.catalog.reading() as connection:
        outcomes, failed = counting.by_outcome(connection), counting.failed(connection)
        pending, held = counting.pending(connection, now), counting.held(connection)
        syncs = standings(connection)
    return {
        "enrollments": [({"sequence": sequence, "outcome": outcome}, count) for (sequence, outcome), count in outcomes.items()],
        "deliveries_unsent": [({"destination": name}, unsent) for name, (unsent, _) in pending.items()],
        "deliveries_due": [({"destination": name}, due) for name, (_, due) in pending.items()],
        "deliveries_failed": [({"destination": name, "outcome": outcome}, count) for (name, outcome), count in failed.items()],
        "sync_contacts": [
            ({"segment": segment, "destination": destination, "target": target, "state": name}, count)
            for sync in syncs
            for segment, destination, target in [sync.record.key]
            for name, count in sync.counts.items()
        ],
        "holds_open": [({"kind": str(kind)}, held.get(str(kind), 0)) for kind in HoldKind],
    }


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
