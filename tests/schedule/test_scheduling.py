"""When the next run is due, told by invented clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentry.engine.cron import Cron
from segmentry.engine.scheduling import PAUSE, SETTLES, Done, Schedule, Sighting, Trigger, change_due, next_run, seen
from segmentry.rules.zones import LAST_INSTANT

HOURLY = Schedule(every=timedelta(hours=1))
FIVE_PAST = Schedule(cron=Cron("5 * * * *", "Europe/London"))
ON_CHANGE = Schedule(every=timedelta(hours=1), on_change=True)
SECOND = timedelta(seconds=1)
OLD, NEW, NEWER = (("a", 1, 1),), (("a", 1, 2),), (("a", 1, 3),)


def clock(text: str) -> datetime:
    """A time of 1 March 2026, UTC."""
    return datetime.fromisoformat(f"2026-03-01T{text}").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "last", "days"),
    [
        (Schedule(every=timedelta(days=2)), "2026-03-06T06:00", 2),
        (Schedule(cron=Cron("0 6 * * MON", "UTC")), "2026-03-02T06:00", 7),
        (Schedule(cron=Cron("0 6 * * 1-5", "UTC")), "2026-03-06T06:00", 5 / 3),  # Friday: to Wednesday three runs may be missing
    ],
)
def test_how_long_it_is_from_one_time_to_the_next(schedule: Schedule, last: str, days: float) -> None:
    assert schedule.interval(datetime.fromisoformat(last).replace(tzinfo=UTC)) == timedelta(days=days)


@pytest.mark.parametrize(
    ("schedule", "last", "now", "due"),
    [
        (HOURLY, None, "12:20", "12:20"),
        (HOURLY, "12:00", "12:20", "13:00"),
        (HOURLY, "12:00", "13:00", "13:00"),
        (HOURLY, "03:00", "12:20", "04:00"),  # asleep since three: due once, and long ago
        (HOURLY, "15:00", "12:20", "13:20"),  # a clock that was wrong
        (FIVE_PAST, None, "12:20", "12:20"),
        (FIVE_PAST, "12:05", "12:20", "13:05"),
        (FIVE_PAST, "12:03", "12:04", "12:05"),
        (FIVE_PAST, "03:05", "12:20", "04:05"),
        (FIVE_PAST, "15:00", "12:20", "13:05"),
    ],
)
def test_a_run_is_due_at_the_next_time_after_the_last(schedule: Schedule, last: str | None, now: str, due: str) -> None:
    assert schedule.due(None if last is None else clock(last), clock(now)) == clock(due)


def test_twice_without_a_run_is_stale() -> None:
    assert HOURLY.stale_from(clock("12:00")) == clock("14:00")
    assert FIVE_PAST.stale_from(clock("12:05")) == clock("14:05")
    weekdays = Schedule(cron=Cron("0 9 * * MON-FRI", "UTC"))
    friday = datetime(2026, 2, 27, 9, tzinfo=UTC)
    assert weekdays.stale_from(friday) == datetime(2026, 3, 3, 9, tzinfo=UTC), "a weekend is no reason"


def test_an_interval_beyond_every_calendar_never_comes() -> None:
    assert Schedule(every=timedelta(days=999_999_000)).due(clock("12:00"), clock("12:00")) == LAST_INSTANT


@given(
    every=st.integers(1, 300),
    walk=st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 9_000)), min_size=1, max_size=60),
)
def test_runs_never_overlap_never_come_early_and_are_made_up_for_once(every: int, walk: list[tuple[int, int]]) -> None:
    """A machine that sleeps and wakes: each step lets some seconds pass, and a run that is due then takes some."""
    schedule, now, last, began = Schedule(every=timedelta(minutes=every)), clock("00:00"), None, []
    for passed, took in walk:
        now += timedelta(seconds=passed)
        if schedule.due(last, now) <= now:
            began.append(now)
            last = now
            now += timedelta(seconds=took)
    gaps = [later - earlier for earlier, later in pairwise(began)]
    assert all(gap >= timedelta(minutes=every) for gap in gaps)
    assert began[0] == clock("00:00") + timedelta(seconds=walk[0][0])


# ---------------------------------------------------------------- on change


def test_files_that_were_read_bring_no_run() -> None:
    sighting = seen(None, OLD, clock("12:00"))
    assert change_due(sighting, Done(clock("11:00"), clock("11:01"), OLD), clock("12:30")) is None


def test_files_that_are_not_there_yet_bring_no_run() -> None:
    assert change_due(Sighting(None, clock("12:00")), None, clock("12:30")) is None
    assert change_due(None, None, clock("12:30")) is None


def test_other_files_bring_a_run_once_they_have_settled() -> None:
    done = Done(clock("11:00"), clock("11:01"), OLD)
    sighting = seen(seen(None, OLD, clock("12:00")), NEW, clock("12:10"))
    assert change_due(sighting, done, clock("12:10")) == clock("12:10") + SETTLES
    sighting = seen(sighting, NEW, clock("12:10:05"))
    assert sighting.since == clock("12:10"), "they look as before"
    sighting = seen(sighting, NEWER, clock("12:10:08"))
    assert change_due(sighting, done, clock("12:10:08")) == clock("12:10:08") + SETTLES, "still being written"


def test_a_run_on_change_waits_a_minute_and_as_long_as_the_last_took() -> None:
    sighting = seen(None, NEW, clock("12:00"))
    assert change_due(sighting, Done(clock("12:00"), clock("12:01"), OLD), clock("12:01")) == clock("12:01") + PAUSE
    assert change_due(sighting, Done(clock("11:40"), clock("12:00"), OLD), clock("12:01")) == clock("12:20")


def test_a_clock_that_was_put_back_does_not_stop_runs_on_change() -> None:
    late = seen(None, NEW, clock("18:00"))
    assert seen(late, NEW, clock("12:00")).since == clock("12:00")
    assert (
        change_due(seen(late, NEW, clock("12:00")), Done(clock("17:00"), clock("17:30"), OLD), clock("12:00")) == clock("12:00") + SETTLES
    )


def test_whatever_comes_first_brings_the_run() -> None:
    done, sighting = Done(clock("12:00"), clock("12:01"), OLD), seen(None, NEW, clock("12:30"))
    assert next_run(ON_CHANGE, clock("12:00"), sighting, done, clock("12:31")) == (clock("12:30") + SETTLES, Trigger.CHANGE)
    assert next_run(HOURLY, clock("12:00"), sighting, done, clock("12:31")) == (clock("13:00"), Trigger.TIME), "it was not asked for"
    assert next_run(ON_CHANGE, clock("11:25"), sighting, done, clock("12:31")) == (clock("12:25"), Trigger.TIME)


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=200), st.integers(0, 120))
def test_files_that_never_come_to_rest_bring_no_storm(looks: list[tuple[int, bool]], took: int) -> None:
    """Files are looked at now and then, and are often others; each run takes `took` seconds."""
    now, files, sighting, done = clock("00:00"), 0, None, Done(clock("00:00"), clock("00:00"), (("a", 0, 0),))
    runs: list[tuple[datetime, datetime]] = []
    for passed, changed in looks:
        now += timedelta(seconds=passed)
        files += changed
        sighting = seen(sighting, (("a", 0, files),), now)
        due = change_due(sighting, done, now)
        if due is not None and due <= now:
            assert now - sighting.since >= SETTLES
            runs.append((now, now + timedelta(seconds=took)))
            done = Done(now, now + timedelta(seconds=took), sighting.files)
            now = done.ended
    assert all(later[0] - earlier[1] >= max(PAUSE, took * SECOND) for earlier, later in pairwise(runs))
