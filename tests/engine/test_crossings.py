"""Between two crossings the clock stands on one side of a value: held to the oracle's calendar where months end and clocks are set."""

from __future__ import annotations

import random
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta

import pytest

from segmentry.engine.crossings import crossings, date_changes, moved_changes
from segmentry.rules.ground import TICK, Clock
from segmentry.rules.nodes import AsOf, Day, Duration, Unit
from tests.oracle import language as lang
from tests.oracle import zones

SETTINGS = {
    "Europe/London": ("2024-03-31T01:00", "2024-10-27T01:00"),
    "Australia/Lord_Howe": ("2024-04-06T15:00", "2024-10-05T15:30"),
    "Pacific/Apia": ("2011-12-30T10:00", "2012-03-31T14:00"),
    "America/Sao_Paulo": ("2018-11-04T03:00", "2018-02-18T02:00"),
    "America/St_Johns": ("2010-11-07T02:31", "2010-03-14T03:31"),
    "UTC": ("2024-02-29T00:00", "2023-12-31T00:00"),
}
"""Instants (UTC) at which clocks are set, in zones that do it at midnight, by half an hour, or by a whole day."""

MONTHS = [Duration(1, Unit.MONTH), Duration(3, Unit.MONTH), Duration(7, Unit.MONTH), Duration(1, Unit.YEAR)]
EXACT = [Duration(1, Unit.DAY), Duration(36, Unit.HOUR), Duration(2, Unit.WEEK)]


def instant(draw: random.Random, zone: str, days: int = 4) -> datetime:
    """An instant near one at which the clocks are set, or near the end of a month."""
    near = datetime.fromisoformat(draw.choice(SETTINGS[zone])).replace(tzinfo=UTC)
    near += timedelta(days=draw.choice([0, 0, 29, 30, 31, 59, 61, 92, 365]) * draw.choice([-1, 1]))
    apart = timedelta(seconds=draw.choice([0, 1, 1800, 3600, 7200, draw.randrange(86_400 * days)]) * draw.choice([-1, 1]))
    return near + apart + draw.choice([0, -1, 1]) * TICK


@pytest.mark.parametrize("zone", SETTINGS)
def test_an_instant_is_crossed_where_it_says(draws: random.Random, zone: str):
    for _ in range(60):
        shift, sign = draws.choice([*MONTHS, *MONTHS, *EXACT]), draws.choice([1, -1])
        value = instant(draws, zone)
        moved = lang.Duration(shift.amount, str(shift.unit))

        def side(at: datetime, moved: lang.Duration = moved, sign: int = sign, value: datetime = value) -> int:
            there = zones.shift_instant(zones.micros(at), moved, sign, zone)
            return (there > zones.micros(value)) - (there < zones.micros(value))

        centre = zones.moment(zones.shift_instant(zones.micros(value), moved, -sign, zone))
        clock = Clock(centre - timedelta(days=draws.choice([0, 1, 8])), zone)
        found = sorted(crossings(AsOf(shift=shift, sign=sign), value, clock))
        assert all(at > clock.as_of for at in found)
        tried = [centre + timedelta(microseconds=draws.randrange(-9 * 86_400 * 10**6, 9 * 86_400 * 10**6)) for _ in range(40)]
        tried += [centre + timedelta(seconds=s) + tick for s in range(-7200, 7201, 600) for tick in (-TICK, timedelta(0), TICK)]
        for at in (at for at in tried if at > clock.as_of):
            before = [clock.as_of, *found][bisect_right(found, at)]
            assert side(at) == side(before), (zone, shift, sign, value, at)


@pytest.mark.parametrize("zone", SETTINGS)
def test_a_day_is_crossed_where_it_says(draws: random.Random, zone: str):
    for _ in range(40):
        unit, sign, shift = draws.choice(["", "week", "month", "quarter", "year"]), draws.choice([1, -1]), draws.choice([*MONTHS, EXACT[0]])
        clock = Clock(instant(draws, zone), zone)
        value = zones.to_local(zones.micros(instant(draws, zone, 30)), zone).date()
        reading = Day(unit=Unit(unit or "day"), shifts=((sign, shift),))

        def side(at: datetime, unit: str = unit, sign: int = sign, shift: Duration = shift, value: date = value) -> int:
            today = zones.to_local(zones.micros(at), zone).date()
            day = zones.shift_date(zones.start_of(unit, today) if unit else today, lang.Duration(shift.amount, str(shift.unit)), sign)
            return (day > value) - (day < value)

        found = sorted(crossings(reading, value, clock))
        tried = [clock.as_of + timedelta(microseconds=draws.randrange(1, 800 * 86_400 * 10**6)) for _ in range(40)]
        tried += [at + tick for at in found for tick in (-TICK, TICK, timedelta(hours=1))]
        for at in (at for at in tried if at > clock.as_of):
            before = [clock.as_of, *found][bisect_right(found, at)]
            assert side(at) == side(before), (zone, reading, value, at)


@pytest.mark.parametrize("zone", SETTINGS)
def test_another_date_begins_where_it_says(draws: random.Random, zone: str):
    first = instant(draws, zone)
    changes = date_changes(Clock(first, zone), first, first + timedelta(days=300))
    for at in changes:
        assert zones.to_local(zones.micros(at), zone).date() != zones.to_local(zones.micros(at - TICK), zone).date()
    for _ in range(300):
        at = first + timedelta(microseconds=draws.randrange(1, 299 * 86_400 * 10**6))
        before = [first, *changes][bisect_right(changes, at)]
        assert zones.to_local(zones.micros(at), zone).date() == zones.to_local(zones.micros(before), zone).date()


@pytest.mark.parametrize("hours", [False, True])
@pytest.mark.parametrize("zone", SETTINGS)
def test_parts_of_a_clock_that_months_have_moved_change_where_it_says(draws: random.Random, zone: str, hours: bool):
    for _ in range(4):
        shift, sign, first = draws.choice(MONTHS), draws.choice([1, -1]), instant(draws, zone, 30)
        moved, final = lang.Duration(shift.amount, str(shift.unit)), first + timedelta(days=31 if hours else 300)
        changes = moved_changes(shift, sign, Clock(first, zone), first, final, hours=hours)

        def shown(at: datetime, moved: lang.Duration = moved, sign: int = sign) -> tuple[date, int]:
            local = zones.to_local(zones.shift_instant(zones.micros(at), moved, sign, zone), zone)
            return local.date(), local.hour if hours else 0

        assert changes == sorted(set(changes))
        assert all(first < at <= final and shown(at) != shown(at - TICK) for at in changes)
        tried = [first + timedelta(microseconds=draws.randrange(1, (final - first) // TICK)) for _ in range(200)]
        set_at = [datetime.fromisoformat(one).replace(tzinfo=UTC) for one in SETTINGS[zone]]
        about = [zones.moment(zones.shift_instant(zones.micros(one), moved, -sign, zone)) for one in set_at] + set_at
        tried += [one + timedelta(minutes=m) + tick for one in about for m in range(-180, 181, 15) for tick in (-TICK, timedelta(0), TICK)]
        for at in (at for at in tried if first < at <= final):
            before = [first, *changes][bisect_right(changes, at)]
            assert shown(at) == shown(before), (zone, shift, sign, at)
