# ruff: noqa: DTZ001, DTZ901 - local times are naive
import bisect
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from segmentry.rules.zones import (
    day_offsets,
    day_start,
    is_zone,
    local_to_utc,
    transitions,
    tzdata_version,
    utc_to_local,
    zone_info,
    zone_names,
)

ODD = [
    "UTC",
    "Europe/London",
    "America/St_Johns",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Australia/Lord_Howe",
    "America/Havana",
]


def test_the_database_is_the_package_and_says_its_version():
    assert tzdata_version()[:4].isdigit()
    assert len(zone_names()) > 400
    assert is_zone("Europe/London")
    assert not is_zone("europe/london")
    assert not is_zone("../../etc/passwd")
    with pytest.raises(ValueError, match="no time zone"):
        zone_info("Mars/Olympus")


def test_a_time_that_occurs_twice_is_the_earlier_and_one_that_does_not_moves_forward():
    assert local_to_utc(datetime(2026, 10, 25, 1, 30), "Europe/London") == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert local_to_utc(datetime(2026, 3, 29, 1, 30), "Europe/London") == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # 02:30 in summer time
    assert utc_to_local(datetime(2026, 3, 29, 1, 30, tzinfo=UTC), "Europe/London") == datetime(2026, 3, 29, 2, 30)


def test_a_day_that_begins_in_a_gap_begins_after_it():
    assert day_start(date(2018, 11, 4), "America/Sao_Paulo") == datetime(2018, 11, 4, 3, tzinfo=UTC)  # 01:00 there
    skipped, after = day_start(date(2011, 12, 30), "Pacific/Apia"), day_start(date(2011, 12, 31), "Pacific/Apia")
    assert skipped == after == datetime(2011, 12, 30, 10, tzinfo=UTC)


def test_the_ends_of_the_calendar_are_no_exception():
    assert local_to_utc(datetime.min, "Asia/Tokyo") == datetime.min.replace(tzinfo=UTC)
    assert local_to_utc(datetime.max, "America/New_York") == datetime.max.replace(tzinfo=UTC)
    assert utc_to_local(datetime.max.replace(tzinfo=UTC), "Asia/Tokyo") == datetime.max
    assert utc_to_local(datetime.min.replace(tzinfo=UTC), "America/New_York") == datetime.min


@pytest.mark.parametrize("zone", ODD)
def test_offsets_are_those_of_the_zone_at_every_hour(zone, draws):
    listed = transitions(zone)
    instants = [instant for instant, _ in listed]
    assert instants == sorted(set(instants))
    assert all(before != after for (_, before), (_, after) in pairwise(listed))
    info = zone_info(zone)
    edges = [instant + timedelta(seconds=step) for instant in instants[1:] for step in (-1, 0)]
    start = datetime(1800, 1, 1, tzinfo=UTC)
    random_hours = [start + timedelta(hours=draws.randrange(300 * 8766)) for _ in range(500)]
    for instant in edges + random_hours:
        expected = instant.astimezone(info).utcoffset()
        assert timedelta(seconds=listed[bisect.bisect_right(instants, instant) - 1][1]) == expected, instant


@pytest.mark.parametrize("zone", ODD)
def test_first_instants_follow_from_day_offsets(zone, draws):
    listed = day_offsets(zone)
    days = [day for day, _ in listed]
    assert days == sorted(set(days))
    near = [day + timedelta(days=step) for day in days[1:] for step in (-1, 0, 1)]
    for day in near + [date(1850, 1, 1) + timedelta(days=draws.randrange(250 * 365)) for _ in range(500)]:
        offset = listed[bisect.bisect_right(days, day) - 1][1]
        assert datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(seconds=offset) == day_start(day, zone), day


def test_the_list_can_be_cut_to_years():
    listed = transitions("Europe/London", 2026, 2027)
    assert [(instant.isoformat(), offset) for instant, offset in listed] == [
        ("2026-01-01T00:00:00+00:00", 0),
        ("2026-03-29T01:00:00+00:00", 3600),
        ("2026-10-25T01:00:00+00:00", 0),
        ("2027-03-28T01:00:00+00:00", 3600),
        ("2027-10-31T01:00:00+00:00", 0),
    ]


def test_transitions_go_on_by_rule_to_2100():
    assert transitions("Europe/London")[-1] == (datetime(2100, 10, 31, 1, tzinfo=UTC), 0)
    assert transitions("UTC") == ((datetime(1, 1, 1, tzinfo=UTC), 0),)
