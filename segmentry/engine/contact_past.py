"""What one contact's files hold of days and instants: those of its fields, and those of its events, past and future.

And when accepted runs found changes of it, for rules that ask them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import polars as pl

from segmentry.engine.gathered import separated
from segmentry.engine.moment import Moment
from segmentry.engine.motion import Changes, Moments, is_still
from segmentry.engine.scans import AT
from segmentry.rules import nodes as n
from segmentry.rules.ground import TICK
from segmentry.rules.zones import EPOCH, FIRST_INSTANT, LAST_INSTANT

CYCLE = 146_097
"""The days of 400 years, after which the calendar begins anew."""

FIRST_DAY, LAST_DAY = date.min.toordinal(), date.max.toordinal()


OfRows = tuple[n.Value, tuple[str, ...] | None]
"""A value of events' rows; or of a list of theirs the elements, or what these have under some names."""


@dataclass(frozen=True)
class Asked:
    """Notes what a look at the contact would be asked for, and answers that there is nothing."""

    rule: Callable[[str], n.Condition]
    values: dict[n.Value, None] = field(default_factory=dict)
    lists: dict[tuple[n.Value, tuple[str, ...]], None] = field(default_factory=dict)
    events: dict[n.Events, dict[OfRows, None]] = field(default_factory=dict)
    memories: dict[n.Moved | n.Stayed, None] = field(default_factory=dict)

    def value(self, value: n.Value) -> Moments:
        self.values.setdefault(value)
        return ()

    def elements(self, of: n.Value, names: tuple[str, ...]) -> Moments:
        self.lists.setdefault((of, names))
        return ()

    def instants(self, events: n.Events) -> Sequence[datetime]:
        self.events.setdefault(events, {})
        return ()

    def properties(self, events: n.Events, value: n.Value) -> Moments:
        self.events.setdefault(events, {}).setdefault((value, None))
        return ()

    def elements_in(self, events: n.Events, of: n.Value, names: tuple[str, ...]) -> Moments:
        self.events.setdefault(events, {}).setdefault((of, names))
        return ()

    def changes(self, memory: n.Moved | n.Stayed) -> Changes:
        self.memories.setdefault(memory)
        return Changes()


@dataclass(frozen=True)
class Past:
    """What was found; the events have both their instants and the values that were asked of their rows."""

    rule: Callable[[str], n.Condition]
    values: Mapping[n.Value, Moments]
    lists: Mapping[tuple[n.Value, tuple[str, ...]], Moments]
    at: Mapping[n.Events, Sequence[datetime]]
    rows: Mapping[tuple[n.Events, OfRows], Moments]
    moves: Mapping[n.Moved | n.Stayed, Changes]

    def value(self, value: n.Value) -> Moments:
        return self.values[value]

    def elements(self, of: n.Value, names: tuple[str, ...]) -> Moments:
        return self.lists[of, names]

    def instants(self, events: n.Events) -> Sequence[datetime]:
        return self.at[events]

    def properties(self, events: n.Events, value: n.Value) -> Moments:
        return self.rows[events, (value, None)]

    def elements_in(self, events: n.Events, of: n.Value, names: tuple[str, ...]) -> Moments:
        return self.rows[events, (of, names)]

    def changes(self, memory: n.Moved | n.Stayed) -> Changes:
        return self.moves[memory]


def look(moment: Moment, key: int | str, asked: Asked) -> Past:
    """Reads it, each event table at most once, and only this contact's rows."""
    at, rows = _of_events(moment, key, asked)
    return Past(
        asked.rule,
        _of_contact(moment, key, asked.values),
        _of_lists(moment, key, asked.lists),
        {events: sorted(several) for events, several in at.items()},
        {pair: list(several) for pair, several in rows.items()},
        {memory: _changes(moment, key, memory) for memory in asked.memories},
    )


def _of_contact(moment: Moment, key: int | str, asked: Iterable[n.Value]) -> dict[n.Value, Moments]:
    """What values of the contact's are."""
    grounded = {value: moment.value(value) for value in asked}
    varying = {value: one for value, one in grounded.items() if not isinstance(one, n.Constant)}
    values: dict[n.Value, Moments] = {
        value: [one.value] for value, one in grounded.items() if isinstance(one, n.Constant) and isinstance(one.value, date)
    }
    if varying:
        answer = moment.answer({}, dict.fromkeys(varying.values()), only=key)
        values |= {value: moments(answer.value(one)) for value, one in varying.items()}
    return values


def _of_lists(
    moment: Moment, key: int | str, asked: Iterable[tuple[n.Value, tuple[str, ...]]]
) -> dict[tuple[n.Value, tuple[str, ...]], Moments]:
    """What the elements of lists are, or have under names."""
    lists = dict.fromkeys(of for of, _ in asked)
    if not lists:
        return {}
    answer = moment.answer({}, lists, only=key)
    found = {}
    for of, names in asked:
        found[of, names] = _elements(answer.value(of), names)
    return found


def _elements(lists: pl.Series, names: tuple[str, ...]) -> Moments:
    elements = lists.explode().drop_nulls()
    for name in names:
        elements = elements.struct.field(name)
    return moments(_in_micros(elements))


def _in_micros(series: pl.Series) -> pl.Series:
    """Instants as rules have them: what lists hold is handed over as it is stored, nanoseconds are cut."""
    if not isinstance(series.dtype, pl.Datetime) or series.dtype.time_unit == "us":
        return series
    numbers = series.to_physical()
    return (numbers // 1000 if series.dtype.time_unit == "ns" else numbers * 1000).cast(pl.Datetime("us"))


def _of_events(
    moment: Moment, key: int | str, asked: Asked
) -> tuple[dict[n.Events, set[datetime]], dict[tuple[n.Events, OfRows], set[date | datetime]]]:
    """When events were, and what values of their rows are."""
    at: dict[n.Events, set[datetime]] = {events: set() for events in asked.events}
    rows: dict[tuple[n.Events, OfRows], set[date | datetime]] = {
        (events, value): set() for events, several in asked.events.items() for value in several
    }
    if asked.events:
        with moment.evaluating(key) as session:
            for index, source in enumerate(moment.snapshot.events):
                chosen = {f"chosen{number}": events for number, events in enumerate(asked.events) if source.carries(events)}
                if not chosen:
                    continue
                wanted = {f"value{number}": pair for number, pair in enumerate(rows) if source.carries(pair[0])}
                found = session.event_rows(
                    index,
                    {name: _whenever(moment, events) for name, events in chosen.items()},
                    {name: moment.value(value) for name, (_, (value, _)) in wanted.items()},
                )
                names = {events: name for name, events in chosen.items()}
                for name, events in chosen.items():
                    at[events].update(one for one in moments(found.filter(name)[AT]) if isinstance(one, datetime))
                for name, (events, value) in wanted.items():
                    column, under = found.filter(names[events])[name], value[1]
                    rows[events, value].update(moments(column) if under is None else _elements(column, under))
    return at, rows


def _whenever(moment: Moment, events: n.Events) -> n.Events:
    """The same events without their window, and without conditions that a clock moves."""
    where = separated(events.where)[0]  # without what a sequence's step asks of former ones
    where = where if where is not None and is_still(where) else None
    return replace(
        events, where=None if where is None else moment.grounded(where), last=None, since=None, until=None, during=None, window=n.Window()
    )


MOST_RUNS = 100
"""So many runs that are later than the moment asked about are looked at."""


def _changes(moment: Moment, key: int | str, memory: n.Moved | n.Stayed) -> Changes:
    """When runs found changes that a window may still have, or will have; and every run to come, as far as they are known."""
    last = memory.duration if isinstance(memory, n.Stayed) else memory.last
    recorded = moment.recorded(memory.segment, None if last is None else moment.clock.ago(last), key)
    ahead = recorded.runs[:MOST_RUNS]
    return Changes((*recorded.instants, *ahead), ahead[-1] + TICK if len(ahead) < len(recorded.runs) else None)


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
