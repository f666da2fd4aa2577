"""Local time and UTC. The one place that knows time zones; its source is the `tzdata` package, never the host's files.

A local time that occurs twice is the earlier one; one that does not exist moves forward by the gap. Results outside
the years 1 to 9999 become the nearest instant inside.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from zoneinfo import ZoneInfo

FIRST_INSTANT = datetime.min.replace(tzinfo=UTC)
LAST_INSTANT = datetime.max.replace(tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LAST_YEAR = 2100
"""Offset lists end with this year; later instants keep the last offset."""

PROBE = timedelta(days=7)
"""How closely rule-based transitions (those after a zone's last listed one) are looked for; they are months apart."""


@lru_cache(maxsize=1)
def tzdata_version() -> str:
    """The version of the time zone database, for instance `2026f`; recorded with every run."""
    with resources.files("tzdata").joinpath("zoneinfo", "tzdata.zi").open(encoding="utf-8") as rules:
        return rules.readline().removeprefix("# version").strip()


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every zone's name."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())


def is_zone(name: str) -> bool:
    """Whether the database has a zone of exactly that name."""
    return name in zone_names()


@lru_cache(maxsize=64)
def _zone_bytes(name: str) -> bytes:
    if not is_zone(name):
        raise ValueError(f"no time zone is named `{name}`")
    return resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


@lru_cache(maxsize=64)
def zone_info(name: str) -> ZoneInfo:
    """The zone of that name. ValueError if there is none."""
    return ZoneInfo.from_file(io.BytesIO(_zone_bytes(name)), key=name)


def local_to_utc(local: datetime, zone: str) -> datetime:
    """A naive local time as aware UTC."""
    # PEP 495: fold=0 is the earlier of two, and in a gap the offset before it, which is "forward by the gap".
    try:
        return local.replace(tzinfo=zone_info(zone), fold=0).astimezone(UTC)
    except OverflowError:
        return FIRST_INSTANT if local.year == 1 else LAST_INSTANT


def utc_to_local(instant: datetime, zone: str) -> datetime:
    """An aware instant as naive local time."""
    try:
        return instant.astimezone(zone_info(zone)).replace(tzinfo=None, fold=0)
    except OverflowError:
        return (FIRST_INSTANT if instant.year == 1 else LAST_INSTANT).replace(tzinfo=None)


def day_start(day: date, zone: str) -> datetime:
    """The first instant of a day in a zone, aware UTC."""
    return local_to_utc(datetime.combine(day, time.min), zone)


def day_end(day: date, zone: str) -> datetime:
    """The first instant after a day in a zone, aware UTC; the last instant there is for the last day there is."""
    return LAST_INSTANT if day == date.max else day_start(day + timedelta(days=1), zone)


@lru_cache(maxsize=64)
def transitions(zone: str, first_year: int = 1, last_year: int = LAST_YEAR) -> tuple[tuple[datetime, int], ...]:
    """The zone's offsets east of UTC: (aware UTC instant from which it holds, seconds), in order.

    The first entry tells the offset at the beginning of `first_year` and stands at that instant; the list ends with
    `last_year`. Neighbours always differ.
    """
    info = zone_info(zone)
    first = datetime(first_year, 1, 1, tzinfo=UTC)
    final = datetime(last_year, 12, 31, 23, 59, 59, tzinfo=UTC)
    offsets = [(first, _offset(info, first))]
    for instant in _candidates(zone, first, final):
        offset = _offset(info, instant)
        if offset != offsets[-1][1]:
            offsets.append((instant, offset))
    return tuple(offsets)


@lru_cache(maxsize=64)
def day_offsets(zone: str, first_year: int = 1, last_year: int = LAST_YEAR) -> tuple[tuple[date, int], ...]:
    """How far a day's first instant lies before its midnight read as UTC: (first day for which it holds, seconds), in order.

    `day_start(day)` is midnight minus the seconds of the last entry at or before that day.
    """
    listed = transitions(zone, first_year, last_year)
    offsets = [(listed[0][0].date(), listed[0][1])]
    for (_, before), (instant, after) in pairwise(listed):
        # a midnight that is repeated or skipped still takes the offset before the transition
        settled = instant.replace(tzinfo=None) + timedelta(seconds=max(before, after))
        day = settled.date() if settled.time() == time.min else settled.date() + timedelta(days=1)
        if offsets[-1][0] == day:
            offsets.pop()
        offsets.append((day, after))
    return tuple(offsets)


def _offset(info: ZoneInfo, instant: datetime) -> int:
    try:
        offset = instant.astimezone(info).utcoffset()
    except OverflowError:  # at either end of the calendar; the offset of the next day is the same
        nearer = instant + (timedelta(days=1) if instant.year == 1 else timedelta(days=-1))
        offset = nearer.astimezone(info).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def _candidates(zone: str, first: datetime, final: datetime) -> Iterator[datetime]:
    """Instants after `first` where the offset may change, in order: the listed ones, then those found by its yearly rule."""
    info = zone_info(zone)
    listed = _listed(_zone_bytes(zone))
    last = first if listed else max(first, EPOCH)
    for instant in listed:
        if first < instant <= final:
            yield instant
            last = instant
    while last < final:
        upper = min(last + PROBE, final)
        if _offset(info, upper) != _offset(info, last):
            yield _change(info, last, upper)
        last = upper


def _change(info: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The first whole second after `low` with the offset of `high`."""
    wanted = _offset(info, high)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if _offset(info, middle) == wanted:
            high = middle
        else:
            low = middle
    return high


def _listed(data: bytes) -> list[datetime]:
    """The transition times of a TZif file (RFC 8536): its second block, which has 64-bit times, where there is one."""
    counts = struct.unpack(">6l", data[20:44])
    start, size = 44, 4
    if data[4:5] >= b"2":
        utc_count, standard_count, leap_count, time_count, type_count, char_count = counts
        second = 44 + time_count * 5 + type_count * 6 + char_count + leap_count * 8 + standard_count + utc_count
        counts = struct.unpack(">6l", data[second + 20 : second + 44])
        start, size = second + 44, 8
    seconds = struct.unpack(f">{counts[3]}{'q' if size == 8 else 'l'}", data[start : start + counts[3] * size])
    earliest = (FIRST_INSTANT - EPOCH).total_seconds()
    return [EPOCH + timedelta(seconds=s) for s in seconds if s > earliest]
