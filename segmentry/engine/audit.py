"""Warnings that need the data: a value that no row has, a window that begins before the data does. Few queries answer for all rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from segmentry.engine.backends.failures import told
from segmentry.engine.footers import NO_SPAN, span_of
from segmentry.engine.reader import connect
from segmentry.engine.rows import scan
from segmentry.engine.snapshot import EventSource, Relation, Snapshot
from segmentry.engine.textfiles import identifier, literal
from segmentry.rules import nodes
from segmentry.rules.diagnostics import Diagnostic, Severity
from segmentry.rules.facts import ComparedValue, compared_values
from segmentry.rules.nodes import Condition

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_ROWS = 50_000_000
"""Rows of a source beyond which nothing is looked up in it, and so nothing is warned of."""

FIRST_ROWS = 4096
"""Rows in which values are looked for at first: most are there, and then the other rows need not be read."""

Literal = str | Decimal
Column = tuple[int | None, str]
"""A source (an event table's index; None: the contacts) and a column's name."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A warning about one rule."""

    segment: str
    diagnostic: Diagnostic


def audit(conditions: Mapping[str, Condition], snapshot: Snapshot) -> list[Finding]:
    """The warnings for grounded rules, by segment."""
    asked = {name: compared_values(condition) for name, condition in conditions.items()}
    windows = {name: [node for node in nodes.walk(condition) if isinstance(node, nodes.Events)] for name, condition in conditions.items()}
    facts = look(snapshot, [one for several in asked.values() for one in several], windows=any(windows.values()))
    warnings = [Finding(name, unseen) for name, several in asked.items() for one in several if (unseen := facts.unseen(one))]
    warnings += [Finding(name, early) for name, several in windows.items() for one in several if (early := facts.early(one))]
    return warnings


@dataclass(frozen=True)
class Facts:
    """What the query found: which values each column has (texts in other cases too), and each event table's first day."""

    snapshot: Snapshot
    present: Mapping[Column, frozenset[Literal]]
    begins: Mapping[int, datetime]

    def unseen(self, asked: ComparedValue) -> Diagnostic | None:
        """A warning if every source that could have the value was looked at and none has it."""
        places = columns_of(self.snapshot, asked)
        value = asked.constant.value
        if not places or not isinstance(value, (str, Decimal)) or any(place not in self.present for place in places):
            return None
        seen: frozenset[Literal] = frozenset().union(*(self.present[place] for place in places))
        if value in seen:
            return None
        close = sorted(
            other for other in seen if isinstance(value, str) and isinstance(other, str) and other.casefold() == value.casefold()
        )
        event = asked.events.event if asked.events else None
        if asked.events is not None and asked.events.prefix is not None:
            event = f"{asked.events.prefix}*"
        whose = "contacts" if asked.events is None else f"`{event}` events" if event else "events"
        shown = literal(value) if isinstance(value, str) else f"{value:f}"
        message = f"no {whose} have {shown} in `{asked.field.name}`"
        return Diagnostic("R904", message, Severity.WARNING, asked.constant.place, f"did you mean {literal(close[0])}?" if close else None)

    def early(self, asked: nodes.Events) -> Diagnostic | None:
        """A warning if the window begins before any event that it could find."""
        carrying = [index for index, source in enumerate(self.snapshot.events) if source.carries(asked)]
        first = asked.window.first if asked.window else None
        if first is None or not carrying or any(index not in self.begins for index in carrying):
            return None
        begins = min(self.begins[index] for index in carrying)
        if first >= begins:
            return None
        message = f"the window begins on {first:%Y-%m-%d}, before the data: its events begin on {begins:%Y-%m-%d}"
        return Diagnostic("R905", message, Severity.WARNING, asked.place)


def columns_of(snapshot: Snapshot, asked: ComparedValue) -> list[Column]:
    """The columns that a comparison looks at."""
    name = asked.field.name
    if asked.events is None:
        return [(None, name)]
    events = asked.events
    return [(index, name) for index, source in enumerate(snapshot.events) if source.carries(events) and name in source.relation.columns]


def look(snapshot: Snapshot, asked: Iterable[ComparedValue], *, windows: bool) -> Facts:
    """Ask the data for everything that is compared: its first rows, then all rows for what is not among those."""
    wanted: dict[Column, set[Literal]] = {}
    for one in asked:
        if isinstance(one.constant.value, (str, Decimal)):
            for place in columns_of(snapshot, one):
                wanted.setdefault(place, set()).add(one.constant.value)
    relations: dict[int | None, Relation] = {None: snapshot.contacts.relation, **{i: s.relation for i, s in enumerate(snapshot.events)}}
    small = {index for index, relation in relations.items() if sum(file.rows or 0 for file in relation.files) <= MOST_ROWS}
    wanted = {place: values for place, values in wanted.items() if place[0] in small}
    tables = {index: source for index, source in enumerate(snapshot.events) if windows and index in small}
    if not wanted and not tables:
        return Facts(snapshot, {}, {})
    with connect() as connection, told(file.path for relation in relations.values() for file in relation.files):
        present = _present(connection, relations, wanted, FIRST_ROWS)
        unseen = {place: values for place, values in wanted.items() if not values <= present[place]}
        spelled = {place: {spelling for value in values for spelling in _spellings(value)} for place, values in unseen.items()}
        present |= _present(connection, relations, spelled, None)
        begins = {index: day for index, source in tables.items() if (day := _first_day(connection, source)) is not None}
    return Facts(snapshot, present, begins)


def _present(
    connection: DuckDBPyConnection, relations: Mapping[int | None, Relation], wanted: Mapping[Column, set[Literal]], rows: int | None
) -> dict[Column, frozenset[Literal]]:
    """Which of the values each column has, in the first rows of its source or in all; one query."""
    places = list(wanted)
    found: dict[Column, set[Literal]] = {place: set() for place in places}
    queries = [_values_query(number, relations[place[0]], place[1], wanted[place], rows) for number, place in enumerate(places)]
    for number, value in connection.execute(" union all ".join(queries)).fetchall() if queries else []:
        text = isinstance(next(iter(wanted[places[number]])), str)
        found[places[number]].add(value if text else Decimal(value))
    return {place: frozenset(values) for place, values in found.items()}


def _first_day(connection: DuckDBPyConnection, source: EventSource) -> datetime | None:
    """The first day (UTC) of an event table, as an instant: a warning needs no more. None where no event has a time."""
    told_by_footers = span_of(source.relation, source.at)
    if told_by_footers is not None and told_by_footers != NO_SPAN:
        return told_by_footers[0].replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)
    day = f"strftime(min({identifier(source.at)})::date, '%Y-%m-%dT00:00:00+00:00')"
    [(first,)] = connection.execute(f"select {day} from {scan(source.relation)}").fetchall()
    return None if first is None else datetime.fromisoformat(first)


def _spellings(value: Literal) -> set[Literal]:
    """The value, and how it may have been meant."""
    if isinstance(value, str):
        return {value, value.lower(), value.upper(), value.title(), value.capitalize()}
    return {value}


def _values_query(number: int, relation: Relation, column: str, values: set[Literal], first: int | None) -> str:
    """Which of the values the column has in its first rows (None: in all), as text; a list column, in its elements."""
    name = identifier(column)
    texts = all(isinstance(value, str) for value in values)
    options = ", ".join(sorted(literal(value) if isinstance(value, str) else f"{value:f}" for value in values))
    element = f"unnest({name})" if relation.columns[column].stored.endswith("]") else name
    source = scan(relation) if first is None else f"(select {name} from {scan(relation)} limit {first})"
    rows = f"(select {element}{'::varchar' if texts else ''} as value from {source})"
    return f"select {number} as number, value::varchar as value from (select distinct value from {rows} where value in ({options}))"
