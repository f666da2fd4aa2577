"""The calendar on whole numbers: instants are microseconds since 1970 in UTC, days are counted from 1970-01-01."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from segmentry.rules.zones import LAST_YEAR, zone_info

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY = date(1970, 1, 1).toordinal()
MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000
DAY = 86_400 * SECOND

FIRST_KNOWN = datetime(1, 1, 3, tzinfo=UTC)
LAST_KNOWN = datetime(LAST_YEAR, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Within these a zone's offset is looked up; before and after them it stays what it was there."""

CALENDAR = 90_000_000
"""Days from 1970 within which engines agree about the calendar (some 246,000 years); further ones are not decided here."""


class Undecided(Exception):  # noqa: N818 - it is no error: an answer that two correct readings may differ in
    """Two correct readings may answer differently, or this one can't tell; the message says why."""


def micros(instant: datetime) -> int:
    """An aware instant as microseconds since 1970."""
    return (instant - EPOCH) // MICROSECOND


def day_number(day: date) -> int:
    """A date as days since 1970-01-01."""
    return day.toordinal() - EPOCH_DAY


def within_calendar(instant: int) -> int:
    """The instant. Undecided where it is beyond the calendar."""
    if abs(instant) > CALENDAR * DAY:
        raise Undecided("beyond the calendar")
    return instant


def year_month_day(day: int) -> tuple[int, int, int]:
    """The civil date of a day, in the Gregorian calendar carried on in both directions."""
    cycles, rest = divmod(day + 719_468, 146_097)  # 400 years, counted from a first of March
    year = (rest - rest // 1_460 + rest // 36_524 - rest // 146_096) // 365
    of_year = rest - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    of_month = of_year - (153 * month + 2) // 5 + 1
    return cycles * 400 + year + (1 if month >= 10 else 0), month + 3 if month < 10 else month - 9, of_month


def weekday(day: int) -> int:
    """1 (Monday) to 7 (Sunday)."""
    return (day + 3) % 7 + 1


def next_return(day: int, today: int) -> int:
    """The first day from `today` on with this day's month and day; 29 February falls on the 28th in common years."""
    _, month, of_month = year_month_day(day)
    year = year_month_day(today)[0]
    for candidate in (year, year + 1):
        leap = candidate % 4 == 0 and (candidate % 100 != 0 or candidate % 400 == 0)
        there = day_number(date(candidate, month, 28 if (month, of_month) == (2, 29) and not leap else of_month))
        if there >= today:
            return there
    raise AssertionError(day)


@dataclass(frozen=True)
class Zone:
    """A timezone, by its name."""

    name: str

    @cached_property
    def info(self) -> ZoneInfo:
        return zone_info(self.name)

    def offset(self, instant: int) -> int:
        """How far local time is before UTC at an instant, in microseconds."""
        at = min(max(instant, micros(FIRST_KNOWN)), micros(LAST_KNOWN))
        found = (EPOCH + at * MICROSECOND).astimezone(self.info).utcoffset()
        assert found is not None
        return found // MICROSECOND

    def local(self, instant: int) -> tuple[int, int]:
        """The day, and the microseconds since its midnight on the clock, of an instant."""
        return divmod(instant + self.offset(instant), DAY)

    def first_instant(self, day: int) -> int:
        """The first instant of a day; a midnight that occurs twice is the earlier one, one that is skipped moves forward."""
        if abs(day) > CALENDAR:
            raise Undecided("beyond the calendar")
        known = min(max(day, day_number(FIRST_KNOWN.date())), day_number(LAST_KNOWN.date()))
        midnight = datetime.combine(date.fromordinal(known + EPOCH_DAY), time.min, tzinfo=self.info)
        offset = midnight.utcoffset()  # fold 0: the earlier of two, and in a gap the offset before it
        assert offset is not None
        return day * DAY - offset // MICROSECOND
