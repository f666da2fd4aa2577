"""Warnings that need the data: a value that no row has, a window that begins before the data does. One query answers for all rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from segmentry.engine.rows import scan
from segmentry.engine.snapshot import EventSource, Relation, Snapshot
from segmentry.engine.textfiles import connect, identifier, literal
from segmentry.rules import nodes
from segmentry.rules.diagnostics import Diagnostic, Place, Severity
from segmentry.rules.nodes import Condition, Scope
from segmentry.rules.types import Kind

MOST_ROWS = 50_000_000
"""Rows of a source beyond which nothing is looked up in it, and so nothing is warned of."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A text that a rule compares a column with: of the contacts, or of event rows of one event (None: any)."""

    scope: Scope
    event: str | None
    column: str
    value: str
    place: Place


@dataclass(frozen=True, slots=True)
class Finding:
    """A warning about one rule."""

    segment: str
    diagnostic: Diagnostic


def audit(conditions: Mapping[str, Condition], snapshot: Snapshot) -> list[Finding]:
    """The warnings for grounded rules, by segment."""
    asked = {name: list(comparisons(condition)) for name, condition in conditions.items()}
    windows = {name: [node for node in nodes.walk(condition) if isinstance(node, nodes.Events)] for name, condition in conditions.items()}
    facts = look(snapshot, (found for several in asked.values() for found in several), any(windows.values()))
    warnings = [Finding(name, unseen) for name, several in asked.items() for one in several if (unseen := facts.unseen(one))]
    warnings += [Finding(name, early) for name, several in windows.items() for one in several if (early := facts.early(one))]
    return warnings


def comparisons(condition: Condition) -> Iterator[Comparison]:
    """Every text that is compared with a column for equality, with where it stands."""
    pending: list[tuple[nodes.Node, str | None]] = [(condition, None)]
    while pending:
        node, event = pending.pop()
        if isinstance(node, nodes.Events):
            event = node.event
        yield from _texts(node, event)
        pending.extend((child, event) for child in reversed(tuple(nodes.children(node))))


def _texts(node: nodes.Node, event: str | None) -> Iterator[Comparison]:
    match node:
        case nodes.Compare(op="=", left=left, right=right):
            field, options = (left, (right,)) if isinstance(left, nodes.Field) else (right, (left,))
        case nodes.In(value=field, options=options) | nodes.HasElements(value=field, options=options):
            pass
        case _:
            return
    if not isinstance(field, nodes.Field):
        return
    kind = field.type.element.kind if field.type.element else field.type.kind
    for option in options:
        if kind is Kind.TEXT and isinstance(option, nodes.Constant) and isinstance(option.value, str):
            yield Comparison(field.scope, event if field.scope is Scope.EVENT else None, field.name, option.value, option.place)


@dataclass(frozen=True)
class Facts:
    """What the query found: which texts each column has (as written or in another case), and each event table's first instant."""

    snapshot: Snapshot
    present: Mapping[tuple[int | None, str], frozenset[str]]
    begins: Mapping[int, datetime]

    def unseen(self, asked: Comparison) -> Diagnostic | None:
        """A warning if no source that could have the value was without an answer and none has it."""
        places = [(source, asked.column) for source in sources(self.snapshot, asked)]
        if not places or any(place not in self.present for place in places):
            return None
        seen = frozenset().union(*(self.present[place] for place in places))
        if asked.value in seen:
            return None
        close = sorted(value for value in seen if value.casefold() == asked.value.casefold())
        whose = "contacts" if asked.scope is Scope.CONTACT else f"`{asked.event}` events" if asked.event else "events"
        return Diagnostic(
            "R904",
            f"no {whose} have {literal(asked.value)} in `{asked.column}`",
            Severity.WARNING,
            asked.place,
            f"did you mean {literal(close[0])}?" if close else None,
        )

    def early(self, asked: nodes.Events) -> Diagnostic | None:
        """A warning if the window begins before any event that it could find."""
        carrying = [index for index, source in enumerate(self.snapshot.events) if carries(source, asked.event)]
        first = asked.window.first if asked.window else None
        if first is None or not carrying or any(index not in self.begins for index in carrying):
            return None
        begins = min(self.begins[index] for index in carrying)
        if first >= begins:
            return None
        what = f"events that may be `{asked.event}`" if asked.event else "events"
        return Diagnostic(
            "R905",
            f"the window begins on {first:%Y-%m-%d}, before the data: {what} begin on {begins:%Y-%m-%d}",
            Severity.WARNING,
            asked.place,
        )


def carries(source: EventSource, event: str | None) -> bool:
    """Whether rows of that event (None: any) may be in the source."""
    return event is None or source.name is not None or source.event == event


def sources(snapshot: Snapshot, asked: Comparison) -> list[int | None]:
    """The sources whose column it is: None stands for the contacts."""
    if asked.scope is Scope.CONTACT:
        return [None]
    return [
        index for index, source in enumerate(snapshot.events) if carries(source, asked.event) and asked.column in source.relation.columns
    ]


def look(snapshot: Snapshot, asked: Iterable[Comparison], windows: bool) -> Facts:
    """Ask the data, once, for everything that is compared."""
    wanted: dict[tuple[int | None, str], set[str]] = {}
    for one in asked:
        for source in sources(snapshot, one):
            wanted.setdefault((source, one.column), set()).update(_spellings(one.value))
    relations: dict[int | None, Relation] = {None: snapshot.contacts.relation, **{i: s.relation for i, s in enumerate(snapshot.events)}}
    small = {index for index, relation in relations.items() if sum(file.rows or 0 for file in relation.files) <= MOST_ROWS}
    places = [place for place in wanted if place[0] in small]
    queries = [_values_query(number, relations[source], column, wanted[source, column]) for number, (source, column) in enumerate(places)]
    tables = [index for index in range(len(snapshot.events)) if windows and index in small]
    queries += [_first_query(-1 - index, snapshot.events[index]) for index in tables]
    if not queries:
        return Facts(snapshot, {}, {})
    with connect() as connection:
        rows = connection.execute(" union all ".join(queries)).fetchall()
    present: dict[tuple[int | None, str], set[str]] = {place: set() for place in places}
    begins: dict[int, datetime] = {}
    for number, value in rows:
        if number >= 0:
            present[places[number]].add(value)
        elif value is not None:
            begins[-1 - number] = datetime.fromisoformat(value)
    return Facts(snapshot, {place: frozenset(values) for place, values in present.items()}, begins)


def _spellings(value: str) -> set[str]:
    """The value, and how it may have been meant."""
    return {value, value.lower(), value.upper(), value.title(), value.capitalize()}


def _values_query(number: int, relation: Relation, column: str, values: set[str]) -> str:
    """Which of the values the column has; a list column, in its elements."""
    name = identifier(column)
    listed = relation.columns[column].stored.endswith("]")
    options = ", ".join(literal(value) for value in sorted(values))
    rows = f"(select {f'unnest({name})' if listed else name}::varchar as value from {scan(relation)})"
    return f"select {number} as number, value from (select distinct value from {rows} where value in ({options}))"


def _first_query(number: int, source: EventSource) -> str:
    """The first instant of an event table, to the day (UTC): a warning needs no more."""
    day = f"strftime(min({identifier(source.at)})::date, '%Y-%m-%dT00:00:00+00:00')"
    return f"select {number} as number, {day} as value from {scan(source.relation)}"
