"""What the state knows of a schedule: who keeps it now, and what became of the last run that it made or could not make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from segmentry.engine.consequences import FAILURE
from segmentry.engine.state import State
from segmentry.engine.state.lease import Lease, hold, holder
from segmentry.errors import LeaseHeld

SCHEDULE = "schedule"
"""The purpose of the lease that whoever keeps the schedule holds, and the fact that has its last attempt."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run that was made, or was to be made, by a schedule.

    `status`: `accepted` or `held` as the run's own; `failed`; `skipped`, another run being under way; `stopped` with the
    schedule. `run` is its number where it was committed, `code` what the command line would have ended with.
    """

    began: datetime
    ended: datetime
    trigger: str
    status: str
    code: int
    run: int | None = None
    error: str | None = None
    failing_since: datetime | None = None
    """When the first began of those that failed with no accepted run since; None where that is no failure, or the last was none."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return round((self.ended - self.began).total_seconds(), 3)

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(self).items()}


@contextmanager
def keeping(state: State) -> Iterator[Lease]:
    """The schedule of this state, for as long as the block lasts: one process keeps it at a time. Raises LeaseHeld."""
    with ExitStack() as stack:
        try:
            lease = stack.enter_context(hold(state.catalog, state.workspace, state.environment, purpose=SCHEDULE, clock=state.clock))
        except LeaseHeld as error:
            raise LeaseHeld(f"another `segmentry schedule` is at work here: {keeper(state, state.clock()) or error}") from None
        yield lease


def keeper(state: State, now: datetime) -> str | None:
    """Who keeps the schedule now, in words; None if nobody does."""
    return holder(state.catalog, state.workspace, state.environment, now, purpose=SCHEDULE)


def note(state: State, lease: Lease, attempt: Attempt) -> None:
    """Notes the last attempt. That it failed is noted too where the run itself could not: its files are broken, or it crashed.

    Raises LeaseLost where somebody else keeps the schedule by now.
    """
    attempt = replace(attempt, failing_since=_failing_since(state, attempt))
    state.note(lease, SCHEDULE, attempt.to_json())
    known = state.fact(FAILURE)
    if attempt.status == "failed" and (known is None or datetime.fromisoformat(known["at"]) < attempt.began.replace(microsecond=0)):
        failure = {"at": attempt.began.isoformat(timespec="seconds"), "message": attempt.error or f"it ended with {attempt.code}"}
        state.note(lease, FAILURE, failure)


def _failing_since(state: State, attempt: Attempt) -> datetime | None:
    """When this failure began: runs that fail hour by hour are one thing, of which somebody is told once and then daily."""
    former, accepted = last_attempt(state), state.accepted()
    since = None if former is None else former.failing_since
    if since is not None and accepted is not None and accepted.started > since:
        since = None
    if attempt.status == "failed":
        return since or attempt.began
    return since if attempt.run is None else None


def last_attempt(state: State) -> Attempt | None:
    """The last attempt of a schedule; of who runs things by hand, or from cron, none is known."""
    known = state.fact(SCHEDULE)
    if known is None:
        return None
    times = {name: datetime.fromisoformat(known[name]) for name in ("began", "ended", "failing_since") if known.get(name)}
    return Attempt(**{**known, **times})


def last_began(state: State) -> datetime | None:
    """When the accepted run began, whoever made it, or a schedule's last attempt if that is later; None before the first."""
    attempt, accepted = last_attempt(state), state.accepted()
    if accepted is None or accepted.decision is not None or (attempt is not None and attempt.run == accepted.id):
        return None if attempt is None else attempt.began
    return accepted.started if attempt is None else max(attempt.began, accepted.started)
