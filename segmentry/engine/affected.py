"""Queries for the contacts that the clock has passed: who has an event at an edge, and whose row answers otherwise than it did.

What is asked for here is made by `passing`. The queries give keys as the contacts have them, each contact at most once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlglot import exp

from segmentry.engine.footers import are_alike, may_have
from segmentry.engine.lowering import sql
from segmentry.engine.lowering.calendar import Calendar
from segmentry.engine.lowering.canon import Canon
from segmentry.engine.lowering.duckdb import DUCKDB
from segmentry.engine.lowering.stored import key_text
from segmentry.engine.lowering.values import Lowering
from segmentry.engine.passing import Passed
from segmentry.engine.scans import KEY, EventScans, contact_fields, contact_rows, fields_below, staged
from segmentry.engine.snapshot import EventSource, Relation, Snapshot
from segmentry.engine.stored_times import stored_times
from segmentry.rules.ground import Clock
from segmentry.rules.nodes import And, Compare, Condition, Constant, Events, Field, Former, Not, Or, Scope, Window, walk
from segmentry.rules.types import TIMESTAMP, Kind
from segmentry.rules.zones import FIRST_INSTANT, LAST_INSTANT

MOST_READS = 8
"""So many separate times of an event table are read each by itself; more are read as one."""

MARGIN, MARGIN_OF_DAYS = timedelta(seconds=1), timedelta(days=2)
"""How far a file's own bounds may lie from the instants that are looked for; those of dates are midnights of no timezone."""


@dataclass(frozen=True)
class KeysQuery:
    """A query for keys, and what it reads: these columns of a relation that has only the files which may have an answer."""

    query: exp.Select
    relation: Relation
    columns: frozenset[str]


def affected_queries(passed: Passed, snapshot: Snapshot, clock: Clock) -> Iterator[KeysQuery]:
    """For the keys of all contacts whose answers may have changed; nothing is asked of files without any."""
    for source in snapshot.events:
        chosen = [_of_table(events, source) for events in passed.events if source.carries(events)]
        reads = [(_narrowed(source, together), together) for together in _by_time(list(dict.fromkeys(chosen)))]
        reads = [(narrowed, together) for narrowed, together in reads if narrowed.relation.files]
        if reads:
            yield _with_events(reads, snapshot, clock)
    if passed.asked:
        yield _answering_otherwise(passed.asked, snapshot, clock)


def _of_table(events: Events, source: EventSource) -> Events:
    """The rows to look for in a table. What a filter says of the contact, or of a sequence's earlier step, is left out: some more
    contacts are found, none is missed.
    """
    where = events.where
    if where is not None and (fields_below([where])[Scope.CONTACT] or any(isinstance(node, Former) for node in walk(where))):
        events = replace(events, where=None)
    return events if source.name is not None else replace(events, event=None, prefix=None)


def _by_time(chosen: Sequence[Events]) -> list[list[Events]]:
    """Events whose windows overlap stay together; each group is one read."""
    groups: list[list[Events]] = []
    end = FIRST_INSTANT
    for events in sorted(chosen, key=_bounds):
        first, final = _bounds(events)
        if groups and first <= end:
            groups[-1].append(events)
        else:
            groups.append([events])
        end = max(end, final)
    return groups if len(groups) <= MOST_READS else [list(chosen)]


def _bounds(events: Events) -> tuple[datetime, datetime]:
    window = events.window or Window()
    return window.first or FIRST_INSTANT, window.final or LAST_INSTANT


def _narrowed(source: EventSource, chosen: Sequence[Events]) -> EventSource:
    """The table with only those files that may have such events, by their footers; with all where a file's columns are not those of all."""
    if not are_alike(source.relation):
        return source
    column = source.relation.columns[source.at]
    margin = MARGIN_OF_DAYS if column.type is not None and column.type.kind is Kind.DATE else MARGIN
    first, final = (
        bound.astimezone(UTC).replace(tzinfo=None)
        for bound in (min(_bounds(one)[0] for one in chosen), max(_bounds(one)[1] for one in chosen))
    )
    files = tuple(file for file in source.relation.files if may_have(file, source.at, first, final, margin))
    return replace(source, relation=replace(source.relation, files=files))


def _with_events(reads: Sequence[tuple[EventSource, list[Events]]], snapshot: Snapshot, clock: Clock) -> KeysQuery:
    """The contacts with any of these events of one table; keys of no contact are left out."""
    scans = EventScans(DUCKDB, Canon(), snapshot.contacts, Calendar(DUCKDB, clock.zone), clock.as_of)
    found: exp.Query = scans.having(*reads[0])
    for narrowed, chosen in reads[1:]:
        found = exp.Union(this=found, expression=scans.having(narrowed, chosen), distinct=False)
    among = exp.In(this=sql.column(KEY), query=exp.Subquery(this=found))
    query = sql.select({KEY: sql.column(KEY)}, sql.subquery(contact_rows(DUCKDB, snapshot.contacts, ()), "c"), among)
    source = reads[0][0]
    every = [events for _, chosen in reads for events in chosen]
    read = fields_below(every)[Scope.EVENT] | {source.contact, source.at} | ({source.name} if source.name else set())
    files = {file.path: file for narrowed, _ in reads for file in narrowed.relation.files}
    return KeysQuery(query, replace(source.relation, files=tuple(files.values())), frozenset(read))


def _answering_otherwise(pairs: Sequence[tuple[Condition, Condition]], snapshot: Snapshot, clock: Clock) -> KeysQuery:
    """The contacts whose row answers both conditions of a pair differently."""
    source = snapshot.contacts
    conditions: list[Condition] = []
    stored: list[list[sql.Expr]] = []
    for one, other in pairs:
        between = _between(one, other)
        if between is None:
            conditions.append(Or((And((one, Not(other))), And((other, Not(one))))))
            stored.append([])
        else:
            conditions.append(And((between.low, between.high)))
            held = source.relation.columns[between.name].stored
            stored.append(stored_times(DUCKDB, between.name, held, between.first, between.final))
    columns = sorted(fields_below(conditions)[Scope.CONTACT])
    key = key_text(DUCKDB, source.relation.columns[source.key], sql.column(KEY))
    lowering = Lowering(DUCKDB, Canon(), contact_fields(source, columns), Calendar(DUCKDB, clock.zone), key_text=key)
    differs = sql.any_of([lowering.condition(condition).expr for condition in conditions])
    where = sql.any_of(sql.all_of(bounds) for bounds in stored) if all(stored) else None
    query = sql.select({KEY: sql.column(KEY)}, staged(lowering, contact_rows(DUCKDB, source, columns, where)), differs)
    return KeysQuery(query, source.relation, frozenset({*columns, source.key}))


@dataclass(frozen=True)
class _Between:
    """Two comparisons of a field with the clock that differ just where it lies between two instants."""

    name: str
    first: datetime
    final: datetime
    low: Compare
    high: Compare


def _between(one: Condition, other: Condition) -> _Between | None:
    """How a pair is told by one look at a field, where it is `field > instant` or the like at two instants."""
    if not (isinstance(one, Compare) and isinstance(other, Compare)) or one.op != other.op or one.op not in APART or one.left != other.left:
        return None
    field, first, final = one.left, one.right, other.right
    if not (isinstance(field, Field) and isinstance(first, Constant) and isinstance(final, Constant)):
        return None
    if not (isinstance(first.value, datetime) and isinstance(final.value, datetime) and field.type == TIMESTAMP):
        return None
    if first.value > final.value:
        first, final = final, first
    above, below = APART[one.op]
    assert isinstance(first.value, datetime)
    assert isinstance(final.value, datetime)
    return _Between(field.name, first.value, final.value, replace(one, op=above, right=first), replace(one, op=below, right=final))


APART = {">": (">", "<="), "<=": (">", "<="), ">=": (">=", "<"), "<": (">=", "<")}
"""By what a field is compared with at two instants: how it lies beside the earlier and the later one, where the answers differ."""
