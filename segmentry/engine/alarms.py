"""What needs a person: held, failed, stale, rejected, unknown, unconfirmed. Looked up when somebody asks how things stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from segmentry.engine.activation import delivers
from segmentry.engine.attempts import keeper, last_attempt
from segmentry.engine.consequences import FAILURE
from segmentry.engine.guards import HoldKind, spoken
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.render import second
from segmentry.engine.scheduling import schedule_of
from segmentry.engine.state import State, noticed, synced
from segmentry.engine.state.holds import holds
from segmentry.engine.state.records import HoldRecord
from segmentry.engine.state.synced import UNCONFIRMED, SyncRecord
from segmentry.engine.sync_plans import syncs_of
from segmentry.engine.sync_words import confirm_command, sync_name

KINDS = ("held", "failed", "stale", "rejected", "unknown", "unconfirmed")
"""What can be alarming, as `notify:` and `--fail-on` call it."""

REJECTED_SHARE = 0.05
"""More rejections than this, of what was answered within `LOOKS_BACK`, are alarming."""

LOOKS_BACK = timedelta(hours=24)

OVERDUE = timedelta(hours=24)
"""How long something may be tried again and again, by answers that are no refusals, before somebody hears of it."""


@dataclass(frozen=True)
class Alarm:
    """One thing that needs a person. `key` is the same as long as it is the same thing; `since` is when it began."""

    kind: str
    key: str
    since: datetime
    text: str

    def to_json(self) -> dict[str, object]:
        """The same as plain values."""
        return {"kind": self.kind, "since": self.since, "text": self.text}


def alarms(loaded: LoadedWorkspace, state: State, now: datetime) -> list[Alarm]:
    """Everything that needs a person now, in the order of `KINDS`."""
    with state.catalog.reading() as connection:
        held = holds(connection)
        unknown = noticed.unknown(connection)
        answered = noticed.answered(connection, now - LOOKS_BACK)
        stopped = noticed.stopped(connection)
        overdue = noticed.overdue(connection, now - OVERDUE)
        syncs = synced.syncs(connection)
    found = [*map(_held, held), *_failed(state), *map(_stopped, stopped), *_overdue(overdue, stopped), *_stale(loaded, state, now)]
    for destination, answers in sorted(answered.items()):
        if answers.since is not None and answers.refused > REJECTED_SHARE * (answers.taken + answers.refused):
            found.append(Alarm("rejected", f"rejected:{destination}", answers.since, _rejects(destination, answers)))
    for destination, (count, since) in sorted(unknown.items()):
        text = f"{count:,} deliveries to `{destination}` may or may not have arrived: `segmentry deliveries retry | drop | mark-sent`"
        found.append(Alarm("unknown", f"unknown:{destination}", since, text))
    return [*found, *_unconfirmed(loaded, syncs)]


def _held(hold: HoldRecord) -> Alarm:
    what = {HoldKind.SOURCE: "the whole run", HoldKind.SUPPRESS: "all delivery"}.get(HoldKind(hold.kind), f"{hold.kind} `{hold.name}`")
    text = f"run {hold.run} holds {what}: {'; '.join(hold.reasons)}. `segmentry approve {hold.run}` or `discard {hold.run}`"
    return Alarm("held", f"held:{hold.kind}:{hold.name}", hold.since, text)


def _failed(state: State) -> Sequence[Alarm]:
    failure = state.fact(FAILURE)
    if failure is None:
        return []
    at, attempt = datetime.fromisoformat(failure["at"]), last_attempt(state)
    since = at if attempt is None or attempt.failing_since is None else min(at, attempt.failing_since)
    return [Alarm("failed", "failed", since, f"the last run failed: {failure['message']}")]


def _stopped(stop: noticed.Stop) -> Alarm:
    text = f"`{stop.destination}` stopped, and {stop.unsent:,} wait to be sent: {stop.reason}"
    return Alarm("failed", f"failed:{stop.destination}", stop.since, text)


def _overdue(overdue: Mapping[str, noticed.Overdue], stopped: Sequence[noticed.Stop]) -> Sequence[Alarm]:
    """Destinations that do not do what they are asked, and do not refuse it either; but for those that are known to have stopped."""
    found = []
    for name, late in overdue.items():
        if name not in {stop.destination for stop in stopped}:
            text = f"`{name}` has not done {late.count:,} that it was asked for more than {OVERDUE // timedelta(hours=1)} hours ago"
            found.append(Alarm("failed", f"failed:{name}", late.since, f"{text}: {late.reason or 'nothing is known of why'}"))
    return found


def _rejects(destination: str, answers: noticed.Answers) -> str:
    share = f"{answers.refused:,} of {answers.taken + answers.refused:,} within 24 hours"
    enrollments = ["`segmentry deliveries --outcome rejected`"] if answers.enrollments else []
    changes = ["`segmentry sync list`"] if answers.changes else []
    return (
        f"`{destination}` rejects: {share}; {' and '.join(enrollments + changes)} say{'s' if len(enrollments + changes) == 1 else ''} why"
    )


def _unconfirmed(loaded: LoadedWorkspace, syncs: Sequence[SyncRecord]) -> Sequence[Alarm]:
    """Syncs of the files that wait for a word on those who are in, where anything is sent at all."""
    said = {sync.key for sync in syncs_of(loaded)} if delivers(loaded) else set()
    found = []
    for sync in syncs:
        if sync.status == UNCONFIRMED and sync.key in said:
            waits = f"{sync.figures.get('members', 0):,} who are in wait for a word whether they are sent"
            text = f"{sync_name(*sync.key)}: {waits}; `{confirm_command(*sync.key)}`"
            found.append(Alarm("unconfirmed", f"unconfirmed:{':'.join(sync.key)}", datetime.fromisoformat(sync.since), text))
    return found


def _stale(loaded: LoadedWorkspace, state: State, now: datetime) -> Sequence[Alarm]:
    schedule, record = schedule_of(loaded.config), state.accepted()
    if schedule is None or record is None:
        return []
    limit = schedule.stale_from(record.started)
    if now <= limit:
        return []
    nobody = "" if keeper(state, now) is not None else ", and no `segmentry schedule` is at work"
    text = f"no run for {spoken(now - record.started)}: the accepted one began at {second(record.started)}"
    return [Alarm("stale", "stale", limit, f"{text}; the schedule says {schedule.words}{nobody}")]
