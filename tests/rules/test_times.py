# ruff: noqa: DTZ001 - local times are naive
from datetime import UTC, date, datetime, timedelta

import pytest

from segmentry.rules.nodes import Duration, Period, Unit
from segmentry.rules.operators import PERIODS
from segmentry.rules.times import (
    WEEKDAYS,
    LiteralError,
    parse_duration,
    parse_moment,
    parse_period,
    period_days,
    shift_day,
    shift_instant,
    start_of,
)


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("30 days", 30, Unit.DAY),
        ("1 day", 1, Unit.DAY),
        ("30d", 30, Unit.DAY),
        ("12h", 12, Unit.HOUR),
        ("2w", 2, Unit.WEEK),
        (" 3  MONTHS ", 3, Unit.MONTH),
        ("1 year", 1, Unit.YEAR),
        ("90 seconds", 90, Unit.SECOND),
        ("15 minutes", 15, Unit.MINUTE),
        ("1_000 days", 1000, Unit.DAY),
        ("9999 years", 9999, Unit.YEAR),
    ],
)
def test_a_length_of_time_is_a_number_and_a_unit(text, amount, unit):
    assert parse_duration(text) == Duration(amount, unit)


@pytest.mark.parametrize(
    "text",
    ["", "days", "30", "30m", "1.5 days", "-3 days", "0 days", "10000 years", "9" * 5000 + " days", "3 days 2 h", "३ days", "1 quarter"],
)
def test_anything_else_is_refused_with_what_to_write(text):
    with pytest.raises(LiteralError) as refused:
        parse_duration(text)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", date(2026, 1, 31)),
        ("0001-01-01", date(1, 1, 1)),
        ("9999-12-31", date(9999, 12, 31)),
        ("2026-01-31 09:00", datetime(2026, 1, 31, 9)),
        ("2026-01-31T09:00:01", datetime(2026, 1, 31, 9, 0, 1)),
        ("2026-01-31T09:00:00Z", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("2026-01-31 09:00:00.5+02:00", datetime(2026, 1, 31, 7, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31 09:00 -0330", datetime(2026, 1, 31, 12, 30, tzinfo=UTC)),
        ("2026-01-31 09:00:00.123456999", datetime(2026, 1, 31, 9, 0, 0, 123_456)),
    ],
)
def test_a_moment_is_a_day_or_an_instant(text, moment):
    assert parse_moment(text) == moment
    assert type(parse_moment(text)) is type(moment)


@pytest.mark.parametrize(
    "text",
    [
        "", "31.01.2026", "2026-1-5", "2026-02-30", "0000-01-01", "2026-13-01", "2026-01-01 24:00", "2026-01-01 23:59:60",
        "2026-01-01 09:00+24:00", "2026-01-01 09", "0001-01-01 00:00+02:00", "9999-12-31 23:00-02:00", "٢٠٢٦-01-01", "30 days",
        "2026-01-01Z",
    ],
)  # fmt: skip
def test_no_other_text_is_a_moment(text):
    with pytest.raises(LiteralError) as refused:
        parse_moment(text)
    assert refused.value.hint


def test_months_and_years_clamp_to_the_last_day():
    assert shift_day(date(2026, 3, 31), -1, Duration(1, Unit.MONTH)) == date(2026, 2, 28)
    assert shift_day(date(2024, 2, 29), 1, Duration(1, Unit.YEAR)) == date(2025, 2, 28)
    assert shift_day(date(2024, 1, 31), 1, Duration(1, Unit.MONTH)) == date(2024, 2, 29)
    assert shift_day(date(2026, 3, 31), 1, Duration(2, Unit.WEEK)) == date(2026, 4, 14)
    assert shift_day(date(2026, 1, 15), -1, Duration(1, Unit.MONTH)) == date(2025, 12, 15)


def test_days_beside_an_instant_are_24_hours_and_months_are_of_the_calendar():
    before_change = datetime(2026, 3, 29, 12, tzinfo=UTC)  # 13:00 in London, where clocks went forward that morning
    assert shift_instant(before_change, -1, Duration(1, Unit.DAY), "Europe/London") == datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert shift_instant(before_change, -1, Duration(1, Unit.MONTH), "Europe/London") == datetime(2026, 2, 28, 13, tzinfo=UTC)


def test_a_month_back_into_a_gap_moves_forward_by_the_gap():
    instant = datetime(2026, 4, 29, 0, 30, tzinfo=UTC)  # 01:30 in London; 01:30 on 29 March did not exist
    assert shift_instant(instant, -1, Duration(1, Unit.MONTH), "Europe/London") == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("unit", list(Unit))
def test_arithmetic_that_leaves_the_calendar_stops_at_its_ends(unit):
    if unit is Unit.QUARTER:
        return
    long = Duration(300_000_000_000 if unit is Unit.SECOND else 9999 * 12, unit)
    if unit in (Unit.SECOND, Unit.YEAR):
        assert shift_instant(datetime(2026, 1, 1, tzinfo=UTC), 1, long, "UTC") == datetime.max.replace(tzinfo=UTC)
        assert shift_instant(datetime(2026, 1, 1, tzinfo=UTC), -1, long, "Asia/Tokyo") == datetime.min.replace(tzinfo=UTC)
    if unit in (Unit.YEAR, Unit.MONTH):
        assert shift_day(date(2026, 1, 1), 1, long) == date.max
        assert shift_day(date(2026, 1, 1), -1, long) == date.min


def test_a_day_is_in_one_period_of_each_unit_and_periods_leave_no_gap(draws):
    for _ in range(200):
        today = date.fromordinal(draws.randrange(400, date.max.toordinal() - 800))
        week_start = draws.choice(WEEKDAYS)
        for unit in (Unit.DAY, Unit.WEEK, Unit.MONTH, Unit.QUARTER, Unit.YEAR):
            last, this, following = (period_days(today, Period(unit, offset), week_start) for offset in (-1, 0, 1))
            assert this[0] == start_of(today, unit, week_start) <= today <= this[1]
            assert [last[1] + timedelta(days=1), this[1] + timedelta(days=1)] == [this[0], following[0]]
            assert period_days(this[0], Period(unit), week_start) == period_days(this[1], Period(unit), week_start) == this


def test_periods_end_where_the_calendar_does():
    assert period_days(date.max, Period(Unit.YEAR)) == (date(9999, 1, 1), date.max)
    assert period_days(date.max, Period(Unit.WEEK)) == (date(9999, 12, 27), date.max)
    assert period_days(date.min, Period(Unit.WEEK), "sunday") == (date.min, date(1, 1, 6))
    for unit in (Unit.DAY, Unit.WEEK, Unit.MONTH, Unit.QUARTER, Unit.YEAR):
        assert period_days(date.max, Period(unit, 1)) is None
        assert period_days(date.min, Period(unit, -1)) is None


def test_every_period_has_its_words_and_no_other_text_is_one():
    assert {parse_period(f" {text.upper().replace(' ', '  ')} ") for text in PERIODS} == {parse_period(text) for text in PERIODS}
    assert len({parse_period(text) for text in PERIODS}) == len(PERIODS) == 15
    for text in ("", "month", "last", "last months", "this day", "2026-01", "30 days", "next yesterday"):
        with pytest.raises(LiteralError) as refused:
            parse_period(text)
        assert refused.value.hint


def test_periods_begin_where_the_calendar_says():
    day = date(2026, 8, 13)  # a Thursday
    assert start_of(day, Unit.DAY) == day
    assert start_of(day, Unit.WEEK) == date(2026, 8, 10)
    assert start_of(day, Unit.WEEK, "sunday") == date(2026, 8, 9)
    assert start_of(day, Unit.WEEK, "thursday") == day
    assert start_of(day, Unit.MONTH) == date(2026, 8, 1)
    assert start_of(day, Unit.QUARTER) == date(2026, 7, 1)
    assert start_of(day, Unit.YEAR) == date(2026, 1, 1)
    assert start_of(date.min, Unit.WEEK, "tuesday") == date.min
