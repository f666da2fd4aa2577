"""How a workspace's schedule stands: who keeps it, what its last run was, when the next is due. For `status` and for metrics."""

from __future__ import annotations

from datetime import datetime

from segmentry.engine.attempts import keeper, last_attempt, last_began
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.scheduling import Schedule, schedule_of
from segmentry.engine.state import State


def next_due(schedule: Schedule, state: State, now: datetime) -> datetime:
    """When the next run is due, whether or not anybody keeps the schedule; in the past where one was missed."""
    return schedule.due(last_began(state), now)


def standing(workspace: LoadedWorkspace, state: State, now: datetime) -> dict[str, object]:
    """The schedule as plain values. `scheduler`: who keeps it, None where nobody does; `next_run` may be in the past then."""
    schedule, attempt, accepted = schedule_of(workspace.config), last_attempt(state), state.accepted()
    found: dict[str, object] = {}
    if schedule is not None:
        found |= {"schedule": schedule.words, "scheduler": keeper(state, now)}
    if attempt is not None and (accepted is None or attempt.ended >= accepted.started):
        found |= {"last_run": attempt.began, "last_run_was": _was(attempt.run, attempt.status, attempt.error)}
    elif accepted is not None:
        found |= {"last_run": accepted.started, "last_run_was": _was(accepted.id, str(accepted.status), None)}
    if schedule is not None:
        found["next_run"] = next_due(schedule, state, now)
    return found


def _was(run: int | None, status: str, error: str | None) -> str:
    """`run 12, accepted`, or why there was none."""
    what = status if run is None else f"run {run}, {status}"
    return f"{what}: {error}" if error and run is None else what
