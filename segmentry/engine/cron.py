"""Cron expressions in a timezone, also on the days when its clocks are changed.

Where the hour field is `*`, every hour that passes counts: none is left out, the one that autumn repeats has its run too. Any
other expression is about the clock on the wall: a time that spring skips is made up for right after the gap, and one that autumn
has twice counts once, the first time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cronsim import CronSim, CronSimError

from segmentry.rules.zones import LAST_INSTANT, LAST_YEAR, local_to_utc, transitions, utc_to_local, zone_info

FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, or L for the last",
    "month": "1 to 12, or JAN to DEC",
    "day-of-week": "0 to 7, or SUN to SAT; 0 and 7 are Sunday",
}
"""The fields of an expression in their order, and what may stand in each."""

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * SUN",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""Short forms that some crons know, and how to write them here."""

MOST_SKIPPED = timedelta(days=1)
"""No clock was ever put forward by more (Samoa, over the date line)."""

SECOND = timedelta(seconds=1)

_SOME_DAY = datetime(2024, 1, 1)  # noqa: DTZ001 -- a time on a wall, in no zone


class CronProblem(Exception):  # noqa: N818 -- carries a problem to the one place that makes the diagnostic
    """Why a text is no cron expression, and what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression that `require_cron` has passed, in a timezone (an IANA name)."""

    expression: str
    zone: str

    def after(self, instant: datetime) -> datetime:
        """The first instant (UTC) after this one that the expression means; the last one there is where there is none."""
        try:
            return _after(self.expression, self.zone, instant)
        except OverflowError:  # at the end of the calendar
            return LAST_INSTANT


@lru_cache(maxsize=64)  # whoever waits for a time asks for it again and again
def _after(expression: str, zone: str, instant: datetime) -> datetime:
    fields = expression.split()
    if CronSim(expression, _SOME_DAY).hours != set(range(24)):
        return next((found for found in _on_the_wall(expression, zone, instant) if found > instant), LAST_INSTANT)
    fields[1] = "*"  # however it is written
    return _passing(" ".join(fields), zone, instant)


def _on_the_wall(expression: str, zone: str, instant: datetime) -> Iterator[datetime]:
    """Every time on the wall that an expression means, in order, from before `instant` on."""
    for wall in CronSim(expression, utc_to_local(instant, zone) - MOST_SKIPPED):
        yield local_to_utc(wall, zone)


def _passing(expression: str, zone: str, instant: datetime) -> datetime:
    """The next minute after `instant` that an expression for every hour means.

    Looked for also from each change of the clocks soon after it: where one is by half an hour, cronsim jumps over a minute.
    """
    year = min(instant.astimezone(UTC).year, LAST_YEAR)
    changes = [change for change, _ in transitions(zone, year, min(year + 1, LAST_YEAR))[1:]]
    starts = [instant, *(change - SECOND for change in changes if instant < change <= instant + MOST_SKIPPED)]
    info = zone_info(zone)
    return min(next(CronSim(expression, start.astimezone(info)), LAST_INSTANT).astimezone(UTC) for start in starts)


def require_cron(expression: str) -> None:
    """Raises CronProblem for what is no cron expression, and for one that never comes."""
    macro = MACROS.get(expression.strip().lower())
    if macro is not None:
        raise CronProblem(f"`{expression}` is a short form", f'write "{macro}"')
    fields = expression.split()
    if len(fields) != len(FIELDS):
        names = ", ".join(name.replace("-", " ") for name in FIELDS)
        raise CronProblem(f"a cron expression has five fields, and here are {len(fields)}", f"they are {names}, like `5 * * * *`")
    try:
        next(CronSim(expression, _SOME_DAY))
    except CronSimError as error:
        name = str(error).removeprefix("Bad ")
        if name == "day-of-month" and fields[3] != "*":
            require_cron(" ".join([*fields[:3], "*", fields[4]]))  # a day that is none has that said of it
            raise _never(expression) from None
        written = fields[list(FIELDS).index(name)]
        raise CronProblem(f"`{written}` is no {name.replace('-', ' ')}", f"it is {FIELDS[name]}") from None
    except StopIteration:
        raise _never(expression) from None


def _never(expression: str) -> CronProblem:
    return CronProblem(f"`{expression}` never comes", "no year has such a day")
