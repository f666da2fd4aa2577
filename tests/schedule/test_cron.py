"""Cron expressions: what they mean, also on the days when the clocks are changed; and what is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from segmentry.engine.cron import MACROS, Cron, CronProblem, require_cron
from segmentry.rules.zones import LAST_INSTANT, local_to_utc, transitions, utc_to_local

ZONES = (
    "UTC",
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
    "Africa/Cairo",
    "Antarctica/Troll",
    "Pacific/Chatham",
)
EXPRESSIONS = (
    "5 * * * *", "*/15 * * * *", "0 0-23 * * SUN", "45 * * * *", "30 1 * * *",
    "0 */2 * * *", "*/20 1-3 * * *", "15,45 2 * * *", "0 0 * * *",
)  # fmt: skip


def times(expression: str, zone: str, begin: str, end: str) -> list[str]:
    """Every time between two instants in UTC, as `HH:MM` in UTC."""
    at, last = datetime.fromisoformat(begin).replace(tzinfo=UTC), datetime.fromisoformat(end).replace(tzinfo=UTC)
    found = []
    while (at := Cron(expression, zone).after(at)) <= last:
        found.append(f"{at:%H:%M}")
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "begin", "end", "expected"),
    [
        # London, 29 March 2026: 01:00 GMT is 02:00 BST
        ("5 * * * *", "Europe/London", "2026-03-28T23:30", "2026-03-29T03:30", ["00:05", "01:05", "02:05", "03:05"]),
        ("30 1 * * *", "Europe/London", "2026-03-28T00:00", "2026-03-30T23:00", ["01:30", "01:30", "00:30"]),
        ("0 1,2 * * *", "Europe/London", "2026-03-28T23:30", "2026-03-29T23:30", ["01:00"]),  # both are the same instant: one run
        ("*/30 1 * * *", "Europe/London", "2026-03-29T00:00", "2026-03-29T23:00", ["01:00", "01:30"]),
        # London, 25 October 2026: 01:00 GMT comes after 01:59 BST
        ("5 * * * *", "Europe/London", "2026-10-24T23:30", "2026-10-25T02:30", ["00:05", "01:05", "02:05"]),
        ("30 1 * * *", "Europe/London", "2026-10-24T12:00", "2026-10-26T12:00", ["00:30", "01:30"]),
        ("*/30 1 * * *", "Europe/London", "2026-10-24T12:00", "2026-10-25T12:00", ["00:00", "00:30"]),
        ("0 */2 * * *", "Europe/Berlin", "2026-10-24T23:00", "2026-10-25T06:00", ["00:00", "03:00", "05:00"]),
        # half an hour on Lord Howe Island, and a midnight that does not exist in Havana
        ("45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:00", "2026-04-04T16:30", ["14:45", "15:15", "16:15"]),
        ("0 0 * * *", "America/Havana", "2026-03-07T12:00", "2026-03-09T12:00", ["05:00", "04:00"]),
    ],
)  # fmt: skip
def test_spring_loses_no_run_and_autumn_has_none_twice(expression: str, zone: str, begin: str, end: str, expected: list[str]) -> None:
    assert times(expression, zone, begin, end) == expected


def by_the_minute(expression: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """The same, minute by minute, by what the module says it means."""
    sim, minute = CronSim(expression, datetime(2024, 1, 1)), timedelta(minutes=1)  # noqa: DTZ001 - a wall's time

    def matches(wall: datetime) -> bool:
        return wall.minute in sim.minutes and wall.hour in sim.hours and wall.month in sim.months and sim.match_day(wall.date())

    if sim.hours == set(range(24)):
        passing = [begin + minute * n for n in range(1, (end - begin) // minute + 1)]
        return [at for at in passing if matches(utc_to_local(at, zone))]
    first = utc_to_local(begin, zone) - timedelta(hours=3)
    walls = [first + minute * n for n in range((end - begin) // minute + 6 * 60)]
    return sorted({at for wall in walls if matches(wall) and begin < (at := local_to_utc(wall, zone)) <= end})


@given(
    zone=st.sampled_from(ZONES),
    expression=st.sampled_from(EXPRESSIONS),
    change=st.integers(0, 3),
    before=st.integers(0, 9 * 60),
    seconds=st.integers(0, 59),
)
def test_times_around_a_change_of_the_clocks_are_those_found_minute_by_minute(
    zone: str, expression: str, change: int, before: int, seconds: int
) -> None:
    changes = [at for at, _ in transitions(zone, 2026, 2027)]
    begin = changes[min(change, len(changes) - 1)] - timedelta(minutes=before)
    end, at, found = begin + timedelta(hours=15), begin + timedelta(seconds=seconds), []
    while (at := Cron(expression, zone).after(at)) <= end:
        found.append(at)
    assert found == [at for at in by_the_minute(expression, zone, begin, end) if at > begin + timedelta(seconds=seconds)]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "five fields, and here are 0"),
        ("5 * * *", "five fields, and here are 4"),
        ("0 5 * * * *", "five fields, and here are 6"),
        ("60 * * * *", "`60` is no minute"),
        ("* 24 * * *", "`24` is no hour"),
        ("* * 0 * *", "`0` is no day of month"),
        ("* * * 13 *", "`13` is no month"),
        ("* * * * MO", "`MO` is no day of week"),
        ("*/0 * * * *", "`*/0` is no minute"),
        ("* 9-5 * * *", "`9-5` is no hour"),
        ("0 0 31 4,6 *", "`0 0 31 4,6 *` never comes"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 32 2 *", "`32` is no day of month"),
    ],
)
def test_what_is_no_cron_expression_is_refused(expression: str, message: str) -> None:
    with pytest.raises(CronProblem, match=message.replace("*", r"\*")):
        require_cron(expression)


@pytest.mark.parametrize("macro", MACROS)
def test_short_forms_are_refused_with_what_to_write(macro: str) -> None:
    with pytest.raises(CronProblem) as problem:
        require_cron(macro)
    require_cron(problem.value.hint.removeprefix('write "').removesuffix('"'))


@given(st.lists(st.text("0123456789*/-,LW#SUN", min_size=1, max_size=5), min_size=5, max_size=5).map(" ".join))
def test_no_text_is_more_than_refused(expression: str) -> None:
    try:
        require_cron(expression)
    except CronProblem:
        return
    assert Cron(expression, "Europe/London").after(datetime(2026, 3, 1, tzinfo=UTC)) <= LAST_INSTANT


def test_the_last_instant_stands_for_never_again() -> None:
    assert Cron("0 0 29 2 *", "UTC").after(datetime(9999, 3, 1, tzinfo=UTC)) == LAST_INSTANT
