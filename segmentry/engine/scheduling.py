"""When the next run is due: a function of the schedule, of what was done before, of the files, and of the time. Nothing here waits."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from segmentry.engine.config import WorkspaceConfig, parse_length
from segmentry.engine.cron import Cron
from segmentry.engine.guards import GAP_INTERVALS
from segmentry.rules.zones import LAST_INSTANT

SETTLES = timedelta(seconds=10)
"""Files that have not changed for so long are not being written any more."""

PAUSE = timedelta(minutes=1)
"""A run on change begins no sooner after the end of another; nor before as much time has passed as that one took."""

MISSED = 2
"""Without an accepted run at so many of the schedule's times, the segments are stale."""


class Trigger(StrEnum):
    """Why a run is made."""

    START = "start"
    """It was asked for when the schedule was started."""
    TIME = "time"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When runs are to be made: exactly one of `every` and `cron`."""

    every: timedelta | None = None
    cron: Cron | None = None
    on_change: bool = False
    words: str = ""
    """The same for people."""

    def after(self, instant: datetime) -> datetime:
        """The first time (UTC) after an instant: for `every`, that long after it."""
        if self.cron is not None:
            return self.cron.after(instant)
        try:
            return instant.astimezone(UTC) + (self.every or timedelta.max)
        except OverflowError:
            return LAST_INSTANT

    def interval(self, instant: datetime) -> timedelta:
        """How long it is from one of its times to the next, after an instant; for `cron` the mean of those that a `gap` may be long."""
        last = instant
        for _ in range(GAP_INTERVALS):
            last = self.after(last)
        return (last - instant) / GAP_INTERVALS

    def due(self, last: datetime | None, now: datetime) -> datetime:
        """When the next run is due, if the last one began at `last`; in the past where one was missed.

        However many were missed, one run makes up for all. A last run that is still to come, by a clock that was wrong, is taken
        for one that began now.
        """
        return now if last is None else self.after(min(last, now))

    def stale_from(self, last: datetime) -> datetime:
        """When segments are stale, if the last accepted run began at `last`."""
        instant = last
        for _ in range(MISSED):
            instant = self.after(instant)
        return instant


def schedule_of(config: WorkspaceConfig) -> Schedule | None:
    """What a workspace says of when; None where it says neither `every` nor `cron`."""
    said = config.schedule
    beside = ", and when files change" if said.on_change else ""
    if said.cron is not None:
        cron = Cron(said.cron, config.timezone)
        return Schedule(cron=cron, on_change=said.on_change, words=f"at {said.cron} ({config.timezone}){beside}")
    if said.every is not None:
        return Schedule(every=parse_length(said.every), on_change=said.on_change, words=f"every {said.every}{beside}")
    return None


@dataclass(frozen=True, slots=True)
class Sighting:
    """How files looked when they were last looked at, and since when they look so. `files` is None where some are not there yet."""

    files: Hashable
    since: datetime


def seen(former: Sighting | None, files: Hashable, now: datetime) -> Sighting:
    """The sighting that follows from a new look."""
    return former if former is not None and former.files == files and former.since <= now else Sighting(files, now)


@dataclass(frozen=True, slots=True)
class Done:
    """What the last run leaves for the next: when it began and ended, and the files as they were when it began."""

    began: datetime
    ended: datetime
    files: Hashable = None


def change_due(sighting: Sighting | None, done: Done | None, now: datetime) -> datetime | None:
    """When a run for changed files may begin; None where they are those of the last run, or not all there.

    A run that failed on these files is not repeated on them: other ones, or the time, bring the next.
    """
    if sighting is None or sighting.files is None or (done is not None and sighting.files == done.files):
        return None
    settled = sighting.since + SETTLES
    if done is None or done.ended > now:
        return settled
    return max(settled, done.ended + max(PAUSE, done.ended - done.began))


def next_run(
    schedule: Schedule, last: datetime | None, sighting: Sighting | None, done: Done | None, now: datetime
) -> tuple[datetime, Trigger]:
    """When the next run is due, as far as is known now, and why. `last`: when the last one began, by whoever made it."""
    due = schedule.due(last, now)
    changed = change_due(sighting, done, now) if schedule.on_change else None
    return (changed, Trigger.CHANGE) if changed is not None and changed < due else (due, Trigger.TIME)
