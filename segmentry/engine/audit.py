"""Warnings that need the data: a value that no row has, a window that begins before the data does. One query answers for all rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from segmentry.engine.backends.failures import told
from segmentry.engine.reader import connect
from segmentry.engine.rows import scan
from segmentry.engine.scans import carries
from segmentry.engine.snapshot import EventSource, Relation, Snapshot
from segmentry.engine.textfiles import identifier, literal
from segmentry.rules import nodes
from segmentry.rules.diagnostics import Diagnostic, Severity
from segmentry.rules.facts import ComparedValue, compared_values
from segmentry.rules.nodes import Condition

MOST_ROWS = 50_000_000
"""Rows of a source beyond which nothing is looked up in it, and so nothing is warned of."""

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
        carrying = [index for index, source in enumerate(self.snapshot.events) if carries(source, asked)]
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
    return [(index, name) for index, source in enumerate(snapshot.events) if carries(source, events) and name in source.relation.columns]


def look(snapshot: Snapshot, asked: Iterable[ComparedValue], *, windows: bool) -> Facts:
    """Ask the data, once, for everything that is compared."""
    wanted: dict[Column, set[Literal]] = {}
    for one in asked:
        for place in columns_of(snapshot, one):
            wanted.setdefault(place, set()).update(_spellings(one.constant.value))
    relations: dict[int | None, Relation] = {None: snapshot.contacts.relation, **{i: s.relation for i, s in enumerate(snapshot.events)}}
    small = {index for index, relation in relations.items() if sum(file.rows or 0 for file in relation.files) <= MOST_ROWS}
    places = [place for place, values in wanted.items() if place[0] in small and values]
    queries = [_values_query(number, relations[source], column, wanted[source, column]) for number, (source, column) in enumerate(places)]
    tables = [index for index in range(len(snapshot.events)) if windows and index in small]
    queries += [_first_query(-1 - index, snapshot.events[index]) for index in tables]
    if not queries:
        return Facts(snapshot, {}, {})
    with connect() as connection, told(file.path for relation in relations.values() for file in relation.files):
        rows = connection.execute(" union all ".join(queries)).fetchall()
    present: dict[Column, set[Literal]] = {place: set() for place in places}
    begins: dict[int, datetime] = {}
    for number, value in rows:
        if number >= 0:
            place = places[number]
            present[place].add(value if isinstance(next(iter(wanted[place])), str) else Decimal(value))
        elif value is not None:
            begins[-1 - number] = datetime.fromisoformat(value)
    return Facts(snapshot, {place: frozenset(values) for place, values in present.items()}, begins)


def _spellings(value: object) -> set[Literal]:
    """The value, and how it may have been meant."""
    if isinstance(value, str):
        return {value, value.lower(), value.upper(), value.title(), value.capitalize()}
    return {value} if isinstance(value, Decimal) else set()


def _values_query(number: int, relation: Relation, column: str, values: set[Literal]) -> str:
    """Which of the values the column has, as text; a list column, in its elements."""
    name = identifier(column)
    texts = all(isinstance(value, str) for value in values)
    options = ", ".join(sorted(literal(value) if isinstance(value, str) else f"{value:f}" for value in values))
    element = f"unnest({name})" if relation.columns[column].stored.endswith("]") else name
    rows = f"(select {element}{'::varchar' if texts else ''} as value from {scan(relation)})"
    return f"select {number} as number, value::varchar as value from (select distinct value from {rows} where value in ({options}))"


def _first_query(number: int, source: EventSource) -> str:
    """The first day of an event table (UTC), as an instant: a warning needs no more."""
    day = f"strftime(min({identifier(source.at)})::date, '%Y-%m-%dT00:00:00+00:00')"
    return f"select {number} as number, {day} as value from {scan(source.relation)}"
