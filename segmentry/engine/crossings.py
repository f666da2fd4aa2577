"""When the clock passes a value: the instants at which what a rule makes of `as_of` comes to stand otherwise beside a value of a contact's.

`now()`, `ago(d)` and the edges of windows go with the clock, but by the calendar not evenly: months have different lengths,
and local time is set forward and back. So the way is cut wherever it may jump; between two cuts it runs as the clock does,
and what is left is a subtraction. Days go with the local date, which can be the same twice where clocks are set back at midnight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

from segmentry.rules.ground import TICK, Clock
from segmentry.rules.nodes import AsOf, Day, Duration
from segmentry.rules.times import SECONDS, shift_day, shift_instant, start_of
from segmentry.rules.zones import FIRST_INSTANT, LAST_INSTANT, day_end, day_start, transitions, utc_to_local

NEAR = timedelta(days=5)
"""Further than this no month's end and no change of the clocks moves an instant that months or years are counted from."""

AROUND_MIDNIGHT = timedelta(days=2)


def crossings(reading: AsOf | Day, value: date | datetime, clock: Clock) -> set[datetime]:
    """The instants after `clock.as_of` at which `reading` may come to stand otherwise beside `value`: before it, at it, after it.

    `value` is a day, or an aware instant. There may be more than needed, never fewer.
    """
    if isinstance(reading, Day):
        days = [value] if not isinstance(value, datetime) else _days_around(utc_to_local(value, clock.zone).date())
        return {instant for day in days for instant in _day_crossings(reading, day, clock)}
    instants = [value] if isinstance(value, datetime) else [day_start(value, clock.zone), day_end(value, clock.zone)]
    return {instant for one in instants for instant in _instant_crossings(reading, one, clock)}


def date_changes(clock: Clock, first: datetime, final: datetime) -> list[datetime]:
    """The instants after `first`, up to `final`, at which another local date begins, in order."""
    return _changes(lambda instant: utc_to_local(instant, clock.zone).date(), _midnights(clock.zone, first, final), first, final)


def hour_changes(clock: Clock, first: datetime, final: datetime) -> list[datetime]:
    """The instants after `first`, up to `final`, at which the local clock shows another hour, in order."""
    offsets, changes = _offsets(clock.zone, first, final)
    hours = {instant for hour in range(24) for instant in _at_local_time(_local_days(clock.zone, first, final), time(hour), offsets)}
    return _changes(
        lambda instant: utc_to_local(instant, clock.zone).replace(minute=0, second=0, microsecond=0), hours | changes, first, final
    )


def moved_changes(shift: Duration, sign: int, clock: Clock, first: datetime, final: datetime, *, hours: bool) -> list[datetime]:
    """The same for the clock moved by months or years: where the local date, or with `hours` the hour, of that instant is another.

    By the calendar it goes unevenly: days that a month has not are left out, and local times that are skipped or come twice.
    """

    def moved(instant: datetime) -> datetime:
        return shift_instant(instant, sign, shift, clock.zone)

    def shown(instant: datetime) -> datetime:
        local = utc_to_local(moved(instant), clock.zone).replace(minute=0, second=0, microsecond=0)
        return local if hours else local.replace(hour=0)

    offsets, cuts = _offsets(clock.zone, first, final)
    days = _local_days(clock.zone, first, final)
    turns = {time(hour) for hour in range(24 if hours else 1)}
    turns |= {jump.time() for jump in _local_jumps(clock.zone, _within(moved(first), -NEAR), _within(moved(final), NEAR))}
    cuts |= {cut for turn in turns for cut in _at_local_time(days, turn, offsets)}
    found = set(cuts)
    step = timedelta(hours=1) if hours else timedelta(days=1)
    for cut, following in pairwise(sorted({first, *(cut for cut in cuts if first < cut < final), final})):
        # between two cuts it goes as the clock does, and its local time too: to the next hour or day there is a subtraction
        even = cut + (shown(cut) + step - utc_to_local(moved(cut), clock.zone))
        if even < following:
            found.add(even)
    return _changes(shown, found, first, final)


# ---------------------------------------------------------------- instants


def _instant_crossings(reading: AsOf, value: datetime, clock: Clock) -> Iterable[datetime]:
    shift = reading.shift
    if shift is None:
        return _later(clock, (value, value + TICK) if value < LAST_INSTANT else (value,))
    if shift.unit in SECONDS:
        length = timedelta(seconds=reading.sign * shift.amount * SECONDS[shift.unit])
        try:
            return _later(clock, (value - length, value - length + TICK))
        except OverflowError:  # the clock never gets there
            return ()
    centre = shift_instant(value, -reading.sign, shift, clock.zone)
    if centre == LAST_INSTANT or _within(centre, NEAR) <= clock.as_of:
        return ()
    return _later(clock, _calendar_crossings(shift, reading.sign, value, centre, clock.zone))


def _calendar_crossings(shift: Duration, sign: int, value: datetime, centre: datetime, zone: str) -> list[datetime]:
    """Where `shift_instant(t, sign, shift)` passes `value`, about `centre`, months and years being counted in the zone."""
    first, final = _within(centre, -NEAR), _within(centre, NEAR)

    def moved(instant: datetime) -> datetime:
        return shift_instant(instant, sign, shift, zone)

    offsets, cuts = _offsets(zone, first, final)
    cuts |= _midnights(zone, first, final)
    days = _local_days(zone, first, final)
    for jump in _local_jumps(zone, _within(value, -NEAR), _within(value, NEAR)):
        cuts |= set(_at_local_time(days, jump.time(), offsets))
    found = set(cuts)
    for cut, following in pairwise(sorted({first, *(cut for cut in cuts if first < cut < final), final})):
        even = cut + (value - moved(cut))
        if cut <= even < following:
            found |= {even, even + TICK}
    return _changes(lambda instant: _side(moved(instant), value), found, first, final)


def _side(one: datetime, other: datetime) -> int:
    return (one > other) - (one < other)


# ---------------------------------------------------------------- days


def _day_crossings(reading: Day, value: date, clock: Clock) -> set[datetime]:
    """Where `reading` passes a day: it never goes back while days go on, so it is looked for by halves."""

    def stands(ordinal: int) -> date:
        day = start_of(date.fromordinal(ordinal), reading.unit, clock.week_start)
        for sign, duration in reading.shifts:
            day = shift_day(day, sign, duration)
        return day

    reached, passed = _first_day(lambda day: stands(day) >= value), _first_day(lambda day: stands(day) > value)
    found: set[datetime] = set()
    for day in {reached, passed} - {None}:
        assert day is not None
        begins = day_start(day, clock.zone)
        first, final = _within(begins, -AROUND_MIDNIGHT), _within(begins, AROUND_MIDNIGHT)
        found |= {change for change in date_changes(clock, first, final) if change > clock.as_of}
    return found


def _first_day(holds: Callable[[int], bool]) -> date | None:
    low, high = 1, date.max.toordinal()
    if not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return date.fromordinal(low)


def _days_around(day: date) -> list[date]:
    """A day and its neighbours: beside an instant a day may begin or end, whichever the comparison looks at."""
    return [date.fromordinal(one) for one in range(day.toordinal() - 1, day.toordinal() + 2) if 1 <= one <= date.max.toordinal()]


# ---------------------------------------------------------------- local time


def _offsets(zone: str, first: datetime, final: datetime) -> tuple[set[timedelta], set[datetime]]:
    """The zone's offsets from UTC between two instants, and the instants at which they change."""
    listed = transitions(zone, first.year, final.year)
    changes = {instant for instant, _ in listed[1:] if first <= instant <= final}
    before = [seconds for instant, seconds in listed if instant <= first][-1:] or [listed[0][1]]
    within = [seconds for instant, seconds in listed if first <= instant <= final]
    return {timedelta(seconds=seconds) for seconds in (*before, *within)}, changes


def _local_jumps(zone: str, first: datetime, final: datetime) -> Iterator[datetime]:
    """The local times at which reading a local time as UTC may jump, or what is read so: the ends of what is skipped or comes twice."""
    for (_, before), (instant, after) in pairwise(transitions(zone, first.year, final.year)):
        if first <= instant <= final:
            yield from (instant.replace(tzinfo=None) + timedelta(seconds=offset) for offset in {before, after})


def _local_days(zone: str, first: datetime, final: datetime) -> list[date]:
    begin, end = utc_to_local(first, zone).toordinal() - 1, utc_to_local(final, zone).toordinal() + 1
    return [date.fromordinal(day) for day in range(max(begin, 1), min(end, date.max.toordinal()) + 1)]


def _midnights(zone: str, first: datetime, final: datetime) -> set[datetime]:
    """Every instant that may be a local midnight, and those at which the clocks are set."""
    offsets, changes = _offsets(zone, first, final)
    return changes | set(_at_local_time(_local_days(zone, first, final), time.min, offsets))


def _at_local_time(days: Iterable[date], at: time, offsets: Iterable[timedelta]) -> Iterator[datetime]:
    for day in days:
        for offset in offsets:
            try:
                yield (datetime.combine(day, at) - offset).replace(tzinfo=UTC)
            except OverflowError:  # at either end of the calendar
                continue


def _changes(value: Callable[[datetime], object], instants: Iterable[datetime], first: datetime, final: datetime) -> list[datetime]:
    """Those of the instants at which a value is another than a microsecond before, in order."""
    return [one for one in sorted(set(instants)) if first < one <= final and value(one) != value(one - TICK)]


def _within(instant: datetime, by: timedelta) -> datetime:
    """An instant moved, but not out of the calendar."""
    try:
        return instant + by
    except OverflowError:
        return LAST_INSTANT if by > timedelta(0) else FIRST_INSTANT


def _later(clock: Clock, instants: Iterable[datetime]) -> list[datetime]:
    return [instant for instant in instants if instant > clock.as_of]
