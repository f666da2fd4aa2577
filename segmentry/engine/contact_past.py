"""What one contact's files hold of days and instants: those of its fields, and those of its events, past and future."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import polars as pl

from segmentry.engine.moment import Moment
from segmentry.engine.motion import Moments, is_still
from segmentry.engine.scans import AT, carries
from segmentry.rules import nodes as n
from segmentry.rules.zones import EPOCH, FIRST_INSTANT, LAST_INSTANT

CYCLE = 146_097
"""The days of 400 years, after which the calendar begins anew."""

FIRST_DAY, LAST_DAY = date.min.toordinal(), date.max.toordinal()


@dataclass(frozen=True)
class Asked:
    """Notes what a look at the contact would be asked for, and answers that there is nothing."""

    values: dict[n.Value, None] = field(default_factory=dict)
    events: dict[n.Events, dict[n.Value, None]] = field(default_factory=dict)

    def value(self, value: n.Value) -> Moments:
        self.values.setdefault(value)
        return ()

    def instants(self, events: n.Events) -> Sequence[datetime]:
        self.events.setdefault(events, {})
        return ()

    def properties(self, events: n.Events, value: n.Value) -> Moments:
        self.events.setdefault(events, {}).setdefault(value)
        return ()


@dataclass(frozen=True)
class Past:
    """What was found; the events have both their instants and the values that were asked of their rows."""

    values: Mapping[n.Value, Moments]
    at: Mapping[n.Events, Sequence[datetime]]
    rows: Mapping[tuple[n.Events, n.Value], Moments]

    def value(self, value: n.Value) -> Moments:
        return self.values[value]

    def instants(self, events: n.Events) -> Sequence[datetime]:
        return self.at[events]

    def properties(self, events: n.Events, value: n.Value) -> Moments:
        return self.rows[events, value]


def look(moment: Moment, key: int | str, asked: Asked) -> Past:
    """Reads it, each event table at most once, and only this contact's rows."""
    grounded = {value: moment.value(value) for value in asked.values}
    varying = {value: one for value, one in grounded.items() if not isinstance(one, n.Constant)}
    values: dict[n.Value, Moments] = {
        value: [one.value] for value, one in grounded.items() if isinstance(one, n.Constant) and isinstance(one.value, date)
    }
    if varying:
        answer = moment.answer({}, dict.fromkeys(varying.values()), only=key)
        values |= {value: moments(answer.value(one)) for value, one in varying.items()}
    at: dict[n.Events, set[datetime]] = {events: set() for events in asked.events}
    rows: dict[tuple[n.Events, n.Value], set[date | datetime]] = {
        (events, value): set() for events, several in asked.events.items() for value in several
    }
    if asked.events:
        with moment.evaluating(key) as session:
            for index, source in enumerate(moment.snapshot.events):
                chosen = {f"chosen{number}": events for number, events in enumerate(asked.events) if carries(source, events)}
                if not chosen:
                    continue
                wanted = {f"value{number}": pair for number, pair in enumerate(rows) if carries(source, pair[0])}
                found = session.event_rows(
                    index,
                    {name: _whenever(moment, events) for name, events in chosen.items()},
                    {name: moment.value(value) for name, (_, value) in wanted.items()},
                )
                names = {events: name for name, events in chosen.items()}
                for name, events in chosen.items():
                    at[events].update(one for one in moments(found.filter(name)[AT]) if isinstance(one, datetime))
                for name, (events, value) in wanted.items():
                    rows[events, value].update(moments(found.filter(names[events])[name]))
    return Past(
        values, {events: sorted(several) for events, several in at.items()}, {pair: list(several) for pair, several in rows.items()}
    )


def _whenever(moment: Moment, events: n.Events) -> n.Events:
    """The same events without their window, and without conditions that a clock moves."""
    where = events.where if events.where is not None and is_still(events.where) else None
    return replace(
        events, where=None if where is None else moment.grounded(where), last=None, since=None, until=None, during=None, window=n.Window()
    )


def moments(series: pl.Series) -> Moments:
    """The days or aware instants that a column has.

    No clock ever gets to those out of the calendar; what they have of a calendar, the day of their year, they keep.
    """
    numbers = series.drop_nulls().to_physical().to_list()
    if series.dtype == pl.Date:
        epoch = date(1970, 1, 1).toordinal()
        return [date.fromordinal(_within(epoch + days, FIRST_DAY, LAST_DAY, CYCLE)) for days in numbers]
    micro = timedelta(microseconds=1)
    first, last = ((end - EPOCH) // micro for end in (FIRST_INSTANT, LAST_INSTANT))
    return [EPOCH + micro * _within(one, first, last, timedelta(days=CYCLE) // micro) for one in numbers]


def is_in_calendar(series: pl.Series) -> bool:
    """Whether a column's days or instants all lie in the years 1 to 9999."""
    numbers = series.drop_nulls().to_physical()
    if series.dtype == pl.Date:
        return bool((numbers + date(1970, 1, 1).toordinal()).is_between(FIRST_DAY, LAST_DAY).all())
    micro = timedelta(microseconds=1)
    return bool(numbers.is_between((FIRST_INSTANT - EPOCH) // micro, (LAST_INSTANT - EPOCH) // micro).all())


def _within(number: int, first: int, last: int, cycle: int) -> int:
    return number if first <= number <= last else first + (number - first) % cycle
