"""Time literals and time arithmetic: what `'30 days'`, `'2026-01-31'` and `'2026-01-31 09:00'` mean.

Arithmetic that leaves the years 1 to 9999 stops at their first or last instant or day.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone

from segmentry.rules.nodes import Duration, Period, Unit
from segmentry.rules.operators import PERIODS
from segmentry.rules.suggest import nearest
from segmentry.rules.zones import FIRST_INSTANT, LAST_INSTANT, local_to_utc, utc_to_local

WORDS = {
    "s": Unit.SECOND, "second": Unit.SECOND, "seconds": Unit.SECOND,
    "minute": Unit.MINUTE, "minutes": Unit.MINUTE,
    "h": Unit.HOUR, "hour": Unit.HOUR, "hours": Unit.HOUR,
    "d": Unit.DAY, "day": Unit.DAY, "days": Unit.DAY,
    "w": Unit.WEEK, "week": Unit.WEEK, "weeks": Unit.WEEK,
    "month": Unit.MONTH, "months": Unit.MONTH,
    "y": Unit.YEAR, "year": Unit.YEAR, "years": Unit.YEAR,
}  # fmt: skip
"""The units as they may be written, in any case. A bare `m` is none: it could be minutes or months."""

SECONDS = {Unit.SECOND: 1, Unit.MINUTE: 60, Unit.HOUR: 3600, Unit.DAY: 86_400, Unit.WEEK: 604_800}
MONTHS = {Unit.MONTH: 1, Unit.QUARTER: 3, Unit.YEAR: 12}
WITHIN_A_DAY = frozenset({Unit.SECOND, Unit.MINUTE, Unit.HOUR})
"""Units that a date can't be moved by."""

CALENDAR_YEARS = 9999
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_DURATION = re.compile(r"\s*(?P<amount>[0-9][0-9_]*)\s*(?P<unit>[A-Za-z]+)\s*", re.ASCII)
_DAY = r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?)?"
_ZONE = r"(?P<zone>[Zz]|(?P<sign>[+-])(?P<zone_hour>[0-9]{2}):?(?P<zone_minute>[0-9]{2})?)"
_MOMENT = re.compile(rf"\s*{_DAY}(?:[ Tt]{_TIME}\s*{_ZONE}?)?\s*", re.ASCII)

DURATION_HELP = "write a whole number and a unit, as in '30 days', '12 hours', '2 weeks', '3 months', '1 year'"
MOMENT_HELP = "write '2026-01-31', '2026-01-31 09:00' or '2026-01-31T09:00:00Z'"
PERIOD_HELP = "write 'today', 'yesterday', 'this week', 'last month', 'next quarter', 'this year', ..."


class LiteralError(ValueError):
    """A literal that can't be read: what is wrong and what to write."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def parse_duration(text: str) -> Duration:
    """`'30 days'`, `'12h'`. LiteralError otherwise, for nothing (`'0 days'`), and for more than 9,999 years."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise LiteralError(f"`{text}` is not a length of time", DURATION_HELP)
    unit = WORDS.get(found["unit"].lower())
    if unit is None:
        minutes = found["unit"].lower() in ("m", "min", "mins")
        choice = f"write '{found['amount']} minutes' or '{found['amount']} months'"
        raise LiteralError(f"`{found['unit']}` is not a unit of time", choice if minutes else DURATION_HELP)
    digits = found["amount"].replace("_", "").lstrip("0")
    if not digits:
        raise LiteralError(f"`{text}` is no time at all", "write a length of 1 or more")
    if len(digits) > 12 or _seconds(int(digits), unit) > _seconds(CALENDAR_YEARS, Unit.YEAR):
        raise LiteralError(f"`{text}` is longer than the calendar", "write a length of at most 9999 years")
    return Duration(int(digits), unit)


def _seconds(amount: int, unit: Unit) -> int:
    """About how long that is."""
    return amount * (SECONDS.get(unit) or MONTHS[unit] * 2_629_746)


def is_duration(text: str) -> bool:
    """Whether a text reads as a length of time."""
    try:
        parse_duration(text)
    except LiteralError:
        return False
    return True


def parse_moment(text: str) -> date | datetime:
    """A day (a date), or an instant: naive where the literal has no zone, aware UTC where it has one.

    Fractions of a second are cut to microseconds. LiteralError otherwise, and outside the years 1 to 9999.
    """
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise LiteralError(f"`{text}` is not a date", MOMENT_HELP)
    parts = {name: int(found[name] or 0) for name in ("year", "month", "day", "hour", "minute", "second")}
    try:
        day = date(parts["year"], parts["month"], parts["day"])
    except ValueError:
        raise LiteralError(f"`{found['year']}-{found['month']}-{found['day']}` is not in the calendar", "check month and day") from None
    if found["hour"] is None:
        return day
    micros = int((found["fraction"] or "").ljust(6, "0")[:6])
    try:
        moment = datetime.combine(day, time(parts["hour"], parts["minute"], parts["second"], micros))
    except ValueError:
        raise LiteralError(f"`{text}` has no such time of day", "hours go from 00 to 23, minutes and seconds from 00 to 59") from None
    return moment if found["zone"] is None else _with_zone(moment, found, text)


def _with_zone(moment: datetime, found: re.Match[str], text: str) -> datetime:
    if found["sign"] is None:
        return moment.replace(tzinfo=UTC)
    hours, minutes = int(found["zone_hour"]), int(found["zone_minute"] or 0)
    if hours > 23 or minutes > 59:
        raise LiteralError(f"`{text}` has no such offset from UTC", "write it as +02:00, or Z for UTC")
    offset = timedelta(hours=hours, minutes=minutes)
    try:
        return moment.replace(tzinfo=timezone(-offset if found["sign"] == "-" else offset)).astimezone(UTC)
    except OverflowError:
        raise LiteralError(f"`{text}` is outside the years 1 to 9999", MOMENT_HELP) from None


def is_moment(text: str) -> bool:
    """Whether a text reads as a date or an instant."""
    try:
        parse_moment(text)
    except LiteralError:
        return False
    return True


def shift_day(day: date, sign: int, duration: Duration) -> date:
    """A day moved by days, weeks, months or years; months and years clamp to the last day of the month."""
    months = MONTHS.get(duration.unit)
    try:
        if months is None:
            return day + timedelta(days=sign * duration.amount * SECONDS[duration.unit] // 86_400)
        return add_months(day, sign * duration.amount * months)
    except OverflowError:
        return date.max if sign > 0 else date.min


def add_months(day: date, months: int) -> date:
    """The same day so many months on, or that month's last. OverflowError outside the years 1 to 9999."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not 1 <= year <= CALENDAR_YEARS:
        raise OverflowError("the year is outside 1 to 9999")
    return date(year, month + 1, min(day.day, days_in_month(year, month + 1)))


def days_in_month(year: int, month: int) -> int:
    """28 to 31."""
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def shift_instant(instant: datetime, sign: int, duration: Duration, zone: str) -> datetime:
    """An aware UTC instant moved: exactly for seconds to weeks, by the zone's calendar for months and years."""
    try:
        if duration.unit in SECONDS:
            return instant + timedelta(seconds=sign * duration.amount * SECONDS[duration.unit])
        local = utc_to_local(instant, zone)
        day = add_months(local.date(), sign * duration.amount * MONTHS[duration.unit])
        return local_to_utc(datetime.combine(day, local.time()), zone)
    except OverflowError:
        return LAST_INSTANT if sign > 0 else FIRST_INSTANT


_NAMED = {"today": Period(Unit.DAY), "yesterday": Period(Unit.DAY, -1), "tomorrow": Period(Unit.DAY, 1)}
_WHICH = {"this": 0, "last": -1, "next": 1}


def parse_period(text: str) -> Period:
    """`'yesterday'`, `'last month'`, in any case. LiteralError otherwise."""
    words = text.lower().split()
    if (written := " ".join(words)) in PERIODS:
        return _NAMED.get(written) or Period(Unit(words[1]), _WHICH[words[0]])
    meant = nearest(written, PERIODS)
    hint = (
        f"did you mean '{meant}'?" if meant else "write 'today', 'yesterday', 'this week', 'last month', 'next quarter', 'this year', ..."
    )
    raise LiteralError(f"`{text}` is no calendar period", hint)


def period_days(today: date, period: Period, week_start: str = "monday") -> tuple[date, date] | None:
    """A period's first and last day, as far as the calendar goes; None where no day of it is in the years 1 to 9999."""
    if period.unit in MONTHS:
        length = MONTHS[period.unit]
        first_month = (today.year * 12 + today.month - 1) // length * length + period.offset * length
        first, after = _first_of_month(first_month), _first_of_month(first_month + length)
    else:
        length = SECONDS[period.unit] // 86_400
        back = (today.weekday() - WEEKDAYS.index(week_start)) % 7 if period.unit is Unit.WEEK else 0
        first = today.toordinal() - back + period.offset * length
        after = first + length
    first, last = max(first, 1), min(after - 1, date.max.toordinal())
    return (date.fromordinal(first), date.fromordinal(last)) if first <= last else None


def _first_of_month(months: int) -> int:
    """The ordinal of the first day of a month, counted from the year 0; of one outside the calendar some ordinal outside it."""
    year, month = divmod(months, 12)
    if not 1 <= year <= CALENDAR_YEARS:
        return 0 if year < 1 else date.max.toordinal() + 1
    return date(year, month + 1, 1).toordinal()


def start_of(day: date, unit: Unit, week_start: str = "monday") -> date:
    """The first day of the week, month, quarter or year that `day` is in; `Unit.DAY` is the day itself."""
    if unit is Unit.WEEK:
        back = (day.weekday() - WEEKDAYS.index(week_start)) % 7
        return date.min if day.toordinal() <= back else day - timedelta(days=back)
    if unit is Unit.MONTH:
        return day.replace(day=1)
    if unit is Unit.QUARTER:
        return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    if unit is Unit.YEAR:
        return day.replace(month=1, day=1)
    return day
