"""A workspace's folder in one environment: its files, its state and its sources, for whoever asks or tells it anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from segmentry.engine.instants import instant
from segmentry.engine.loading import LoadedWorkspace, load
from segmentry.engine.moment import Among, Moment, Remembering
from segmentry.errors import ClockError, NotFound

if TYPE_CHECKING:
    from segmentry.engine.snapshot import ContactSource, Snapshot
    from segmentry.engine.state import State

When = datetime | str | None
"""An aware datetime, a naive one (UTC), ISO text, or None for now."""


class WorkspaceFolder:
    """Where a workspace is, and what is there now. Files are read anew by every method."""

    def __init__(self, root: Path, env: str = "default") -> None:
        self.root = root
        self.env = env

    def load(self) -> LoadedWorkspace:
        """The workspace's files as they are now."""
        return load(self.root, self.env)

    def moment(self, as_of: When = None) -> Moment:
        """The workspace's files and sources at one instant, for questions."""
        return Moment.at(self.load(), clock_now() if as_of is None else instant_of(as_of), remembered)

    @contextmanager
    def _state(self, loaded: LoadedWorkspace | None = None) -> Iterator[State]:
        from segmentry.engine.state import State

        loaded = loaded or self.load()
        state = State.open(loaded.state, loaded.config.id, self.env)
        try:
            yield state
        finally:
            state.close()

    def _newest_contacts(self) -> ContactSource:
        return self.moment().contacts


@contextmanager
def remembered(loaded: LoadedWorkspace, snapshot: Snapshot, among: Among) -> Iterator[Remembering]:
    """What the accepted runs say, for rules that ask. The state is opened by questions that have such rules only."""
    from segmentry.engine.remembering import past_of

    with past_of(loaded, snapshot, among) as past:
        yield past


def clock_now() -> datetime:
    """The wall clock, UTC."""
    return datetime.now(UTC)


def seconds_of(wait: timedelta | None) -> float:
    """How long to wait, in seconds."""
    return wait.total_seconds() if wait else 0.0


def instant_of(given: datetime | str) -> datetime:
    """An instant as people write it. Raises ClockError for what is none."""
    try:
        return instant(given)
    except ValueError:
        raise ClockError(f"`{given}` is no instant; write it as 2026-01-31T09:00:00Z") from None


def run_number(given: int | str | None) -> int | None:
    """A run's number as people write it. Raises NotFound for what is none."""
    if given is None:
        return given
    if str(given).isascii() and str(given).isdigit() and int(given) < 2**63:
        return int(given)
    raise NotFound(f"there is no run `{given}`: runs have numbers, which `segmentry runs` lists")
