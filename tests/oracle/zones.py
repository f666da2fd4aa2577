"""Calendar and zone arithmetic on integers: instants are microseconds since 1970 in UTC, dates are `datetime.date`."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tests.oracle.language import Duration

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
EXACT_UNITS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def moment(instant: int) -> datetime:
    return EPOCH + instant * MICROSECOND


def to_utc(local: datetime, zone: str) -> int:
    """Of a local time that occurs twice the earlier; one that does not exist moves forward by the gap.

    `fold=0` is both: in a gap it takes the offset before the gap, so that the clock shows the later time.
    """
    return micros(local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC))


def to_local(instant: int, zone: str) -> datetime:
    return moment(instant).astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)


def first_instant(day: date, zone: str) -> int:
    return to_utc(datetime.combine(day, time()), zone)


def next_day(day: date) -> date:
    return day + timedelta(days=1)


def add_months(day: date, months: int) -> date:
    """Clamps to the month's last day."""
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def months_of(duration: Duration) -> int:
    return duration.amount * (12 if duration.unit == "year" else 1)


def shift_instant(instant: int, duration: Duration, sign: int, zone: str) -> int:
    """Days and less are exact; months and years are calendar arithmetic in the zone."""
    if not duration.is_calendar:
        return instant + sign * duration.amount * (EXACT_UNITS[duration.unit] // MICROSECOND)
    local = to_local(instant, zone)
    return to_utc(datetime.combine(add_months(local.date(), sign * months_of(duration)), local.time()), zone)


def shift_date(day: date, duration: Duration, sign: int) -> date:
    if duration.is_calendar:
        return add_months(day, sign * months_of(duration))
    return day + sign * duration.amount * {"day": timedelta(days=1), "week": timedelta(weeks=1)}[duration.unit]


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NEIGHBOURS = {"today": ("day", 0), "yesterday": ("day", -1), "tomorrow": ("day", 1)}
OFFSETS = {"last": -1, "this": 0, "next": 1}


def number_of(unit: str, day: date, week_start: str) -> int:
    """Days, weeks, months, quarters or years counted through: neighbours in time are neighbours in number."""
    match unit:
        case "day":
            return day.toordinal()
        case "week":
            return (day.toordinal() - 1 - WEEKDAYS.index(week_start)) // 7
        case "month":
            return day.year * 12 + day.month - 1
        case "quarter":
            return day.year * 4 + (day.month - 1) // 3
    return day.year


def in_period(day: date, period: str, today: date, week_start: str) -> bool:
    """Whether a day lies in `yesterday`, `this week`, `next quarter`."""
    which, _, named = period.partition(" ")
    unit, offset = NEIGHBOURS.get(period) or (named, OFFSETS[which])
    return number_of(unit, day, week_start) == number_of(unit, today, week_start) + offset


def day_of(instant: int, zone: str) -> date:
    """The day whose first instant has come, and the next one's has not."""
    day = to_local(instant, zone).date() + timedelta(days=2)
    while first_instant(day, zone) > instant:
        day -= timedelta(days=1)
    return day


def start_of(unit: str, day: date, week_start: str = "monday") -> date:
    match unit:
        case "day":
            return day
        case "week":
            return day - timedelta(days=(day.weekday() - WEEKDAYS.index(week_start)) % 7)
        case "month":
            return day.replace(day=1)
        case "quarter":
            return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)
        case "year":
            return date(day.year, 1, 1)
    raise ValueError(unit)


def anniversary(day: date, today: date) -> date:
    """The first day from today on with this day's month and day; 29 Feb falls on 28 Feb in years that have none."""
    for year in (today.year, today.year + 1):
        last = calendar.monthrange(year, day.month)[1]
        candidate = date(year, day.month, min(day.day, last))
        if candidate >= today:
            return candidate
    raise AssertionError
