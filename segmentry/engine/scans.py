"""The queries of a plan: contacts read once, each event table read and grouped once, all conditions together.

A query is a row of nested selects: the rows as they are stored, read as the language has them; then what several
expressions share, stage by stage; then the result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlglot import exp

from segmentry.engine.aggregates import Joined, Part, Parts
from segmentry.engine.dense import Dense, DenseColumns
from segmentry.engine.footers import span_of
from segmentry.engine.gathered import AT as INSTANT
from segmentry.engine.gathered import CHOICES, POSITION, Gathered
from segmentry.engine.lowering import sql
from segmentry.engine.lowering.calendar import Calendar
from segmentry.engine.lowering.canon import Canon
from segmentry.engine.lowering.elements import kept as kept_as
from segmentry.engine.lowering.operations import Operations
from segmentry.engine.lowering.shapes import Sql, made_of, verdict
from segmentry.engine.lowering.stored import held_when_read, read, read_key
from segmentry.engine.lowering.values import Lowering, instant
from segmentry.engine.snapshot import ContactSource, EventSource, Relation
from segmentry.engine.stored_times import stored_times
from segmentry.rules.nodes import Aggregate, Events, Field, Node, Scope, Value, Window, children
from segmentry.rules.types import COUNT, TIMESTAMP, Kind

SNAPSHOT = sql.internal("snapshot")
CONTACTS = sql.internal("contacts")
KEY = sql.internal("key")
POSITIONS = sql.internal("positions")
ROW = sql.internal("row")
AT = sql.internal("at")
EVENT = sql.internal("event")
ROWS = sql.internal("rows")
MASK_BITS = 62
"""Conditions folded into one 64-bit mask."""

Fields = dict[tuple[Scope, str], Sql]


def events_table(source: int) -> str:
    """The temporary table with an event table's aggregates, one row a contact."""
    return sql.internal(f"events{source}")


def contact_field(name: str) -> str:
    """What a contact's field is called beside the columns of an event."""
    return sql.internal(f"contact.{name}")


def contact_rows(ops: Operations, source: ContactSource, columns: Iterable[str], where: sql.Expr | None = None) -> exp.Select:
    """The snapshot's rows: key and columns as the language has them, in the snapshot's order; `where` asks of them as they are stored."""
    relation = source.relation
    selected = {KEY: read_key(ops, relation.columns[source.key], sql.column(source.key))}
    for name in columns:
        selected[sql.user(name)] = read(ops, relation.columns[name], sql.column(name)).expr
    return sql.select(selected, ops("scan", relation), where)


def contacts_in_order(columns: Iterable[str]) -> exp.Select:
    """The snapshot's rows by position, where that is simply their order."""
    row = exp.Column(this=exp.Identifier(this="rowid"))
    return sql.select({POSITION: row, **contact_columns(columns)}, sql.table(SNAPSHOT))


def contacts_by_position(columns: Iterable[str]) -> exp.Select:
    """The snapshot's rows by the positions that a table of rows gives; where it gives none, nobody's."""
    row = exp.Column(this=exp.Identifier(this="rowid"), table=sql.identifier("s"))
    snapshot = exp.alias_(sql.table(SNAPSHOT), sql.identifier("s"), table=True)
    positions = exp.alias_(sql.table(POSITIONS), sql.identifier("p"), table=True)
    query = sql.select({POSITION: sql.column(POSITION, "p"), **contact_columns(columns)}, positions)
    on = exp.EQ(this=row, expression=sql.column(ROW, "p"))
    query.set("joins", [exp.Join(this=snapshot, on=on, side="LEFT")])
    query.set("order", exp.Order(expressions=[exp.Ordered(this=sql.column(POSITION, "p"))]))
    return query


def contact_columns(columns: Iterable[str]) -> dict[str, sql.Expr]:
    """The key and these fields, as the tables of contacts have them."""
    return {name: sql.column(name) for name in (KEY, *(sql.user(column) for column in columns))}


def contact_fields(source: ContactSource, columns: Iterable[str]) -> Fields:
    """The contacts' fields as columns of the temporary table that `contact_rows` fills."""
    return {(Scope.CONTACT, name): _as_column(source.relation, name, sql.user(name)) for name in columns}


def _as_column(relation: Relation, name: str, called: str) -> Sql:
    """A stored column as it is once it is read, under the name it is then called by."""
    column = relation.columns[name]
    assert column.type is not None
    span = span_of(relation, name) if column.type.kind in (Kind.TIMESTAMP, Kind.DATE) else None
    return Sql(sql.column(called), column.type, held_when_read(column.type, column.stored), span=span)


def fields_below(nodes: Iterable[Node]) -> dict[Scope, set[str]]:
    """The names of the fields that stand anywhere in some trees; a deep tree is no problem."""
    found: dict[Scope, set[str]] = {Scope.CONTACT: set(), Scope.EVENT: set()}
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if isinstance(node, Field):
            found[node.scope].add(node.name)
        pending.extend(children(node))
    return found


def staged(lowering: Lowering, rows: exp.Select) -> sql.Expr:
    """The rows with the shared expressions beside them, as something to select from."""
    query = rows
    for number, stage in enumerate(lowering.stages):
        query = exp.Select(expressions=[exp.Star(), *(sql.named(value, name) for name, value in stage.items())])
        query.set("from_", exp.From(this=sql.subquery(rows, f"s{number}")))
        rows = query
    return sql.subquery(query, f"s{len(lowering.stages)}")


@dataclass(frozen=True, slots=True)
class Bit:
    """A condition's place in a table's masks."""

    word: int
    bit: int

    @property
    def value(self) -> int:
        return 1 << self.bit


@dataclass(frozen=True)
class EventScan:
    """One event table, read once: rows within `first` and `final` (UTC, both included), grouped by contact.

    `grouped` gives one row for each contact key among the events: `$key`, `$rows` (how many rows were read) and an
    aggregate a column. `columns` are the table's columns that it reads, `contact_columns` the contacts'.
    """

    source: int
    grouped: exp.Select
    columns: tuple[str, ...]
    contact_columns: tuple[str, ...]
    first: datetime | None
    final: datetime
    bits: Mapping[int, Bit]
    """Of each `Events` (by its number) that a did-condition asks about: its place in the masks."""
    parts: Mapping[int, Mapping[str, Joined]]
    """Of each `Aggregate` (by its number): its parts as columns, by role."""
    words: int
    lists: Mapping[int, str] = field(default_factory=dict)
    """Of each function that needs rows beside each other (by its number): the column with its rows as a list."""
    dense: Dense | None = None
    """How the same columns are kept as arrays; None where one of them can't be."""

    def query(self, among: sql.Expr | None = None) -> exp.Select:
        """The aggregates beside the contacts' positions, NULL for the events of no known contact. `among` restricts the keys."""
        grouped = self.grouped
        if among is not None:
            grouped = grouped.copy()
            grouped.args["where"].set("this", sql.all_of([grouped.args["where"].this, among]))
        return _beside_positions(sql.column(POSITION, "c"), grouped)

    def rows(self, dense: Dense) -> exp.Select:
        """The rows that arrays are made of, beside the contacts' positions as in `query`."""
        return _beside_positions(sql.named(sql.cast(sql.column(POSITION, "c"), "INTEGER"), POSITION), dense.rows)

    def keyed_rows(self, dense: Dense) -> exp.Select:
        """The same rows beside keys that are integers; one that 64 bits don't hold is nobody's."""
        rows = dense.rows.copy()
        rows.set("expressions", [sql.named(sql.try_cast(sql.column(KEY), "BIGINT"), KEY), *rows.expressions[1:]])
        return rows


def _beside_positions(position: sql.Expr, rows: exp.Select) -> exp.Select:
    query = exp.Select(expressions=[position, exp.Column(this=exp.Star(), table=sql.identifier("g"))])
    query.set("from_", exp.From(this=sql.subquery(rows, "g")))
    contacts = exp.alias_(sql.table(CONTACTS), sql.identifier("c"), table=True)
    on = exp.EQ(this=sql.column(KEY, "c"), expression=sql.column(KEY, "g"))
    query.set("joins", [exp.Join(this=contacts, on=on, side="LEFT")])
    return query


@dataclass
class _Asked:
    did: list[tuple[int, Events]] = field(default_factory=list)
    aggregates: list[tuple[int, Aggregate]] = field(default_factory=list)
    gathered: list[tuple[int, Gathered]] = field(default_factory=list)

    @property
    def events(self) -> list[Events]:
        choices = [events for _, kept in self.gathered for events in kept.choices]
        return [e for _, e in self.did] + [a.events for _, a in self.aggregates] + choices


class EventScans:
    """Plans the scans of all event tables for the did-conditions and aggregates of a plan."""

    def __init__(self, ops: Operations, canon: Canon, contacts: ContactSource, calendar: Calendar, as_of: datetime) -> None:
        self.ops = ops
        self.canon = canon
        self.contacts = contacts
        self.calendar = calendar
        self.as_of = as_of

    def plan(
        self,
        sources: Sequence[EventSource],
        did: Iterable[Events],
        aggregates: Iterable[Aggregate],
        gathered: Mapping[int, Gathered] | None = None,
    ) -> tuple[EventScan, ...]:
        """A scan for each table that has a part in any of them. `gathered` is what functions need rows of, by their numbers."""
        asked = [_Asked() for _ in sources]
        alone: dict[int, bool] = {}
        for events in did:
            for index in self._tables(sources, events):
                asked[index].did.append((self.canon.number(events), events))
        for aggregate in aggregates:
            tables = self._tables(sources, aggregate.events)
            number = self.canon.number(aggregate)
            alone[number] = len(tables) == 1
            for index in tables:
                asked[index].aggregates.append((number, aggregate))
        for number, kept in (gathered or {}).items():
            for index in sorted({index for events in kept.choices for index in self._tables(sources, events)}):
                asked[index].gathered.append((number, kept))
        return tuple(self._scan(index, sources[index], wanted, alone) for index, wanted in enumerate(asked) if wanted.events)

    def listing(self, source: EventSource, chosen: Mapping[str, Events], values: Mapping[str, Value], among: sql.Expr) -> exp.Select:
        """One table's rows of some contacts: `$at`, whether a row is one of each of these events, and values of it, by their names."""
        names = fields_below([*chosen.values(), *values.values()])
        own = sorted(name for name in names[Scope.EVENT] if name in source.relation.columns and source.relation.columns[name].type)
        rows = _EventRows(self, source, own, sorted(names[Scope.CONTACT]), None, self.as_of)
        selected: dict[str, sql.Expr] = {AT: rows.at.expr}
        selected.update({name: rows.chosen(events).expr for name, events in chosen.items()})
        lowering = rows.lowering
        selected.update({name: lowering.numbers.settled(lowering.value(value)).expr for name, value in values.items()})
        bounds = sql.all_of([rows.bounds(), among])
        return sql.select(selected, rows.query(), bounds)

    def having(self, source: EventSource, chosen: Sequence[Events]) -> exp.Select:
        """The contacts' keys of one table's rows that are any of these events; rows out of all their windows are not read."""
        own = sorted(
            name for name in fields_below(chosen)[Scope.EVENT] if name in source.relation.columns and source.relation.columns[name].type
        )
        windows = [events.window or Window() for events in chosen]
        first = None if any(w.first is None for w in windows) else min(w.first for w in windows if w.first)
        final = min(self.as_of, max(w.final or self.as_of for w in windows))
        rows = _EventRows(self, source, own, [], first, final, _names(source, chosen))
        wanted = sql.any_of([rows.chosen(events).expr for events in chosen])
        bounds = rows.bounds()
        return sql.select({KEY: sql.column(KEY)}, rows.query(), sql.all_of([bounds, wanted]))

    def _tables(self, sources: Sequence[EventSource], events: Events) -> list[int]:
        return [index for index, source in enumerate(sources) if source.carries(events)]

    def _scan(self, index: int, source: EventSource, asked: _Asked, alone: Mapping[int, bool]) -> EventScan:
        windows = [events.window or Window() for events in asked.events]
        first = None if any(w.first is None for w in windows) else min(w.first for w in windows if w.first)
        final = max((w.final or self.as_of) for w in windows)
        compared = [value for _, kept in asked.gathered for value in kept.values]
        names = fields_below([*asked.events, *(a.property for _, a in asked.aggregates if a.property), *compared])
        own = sorted(name for name in names[Scope.EVENT] if name in source.relation.columns and source.relation.columns[name].type)
        of_contact = sorted(names[Scope.CONTACT])
        rows = _EventRows(self, source, own, of_contact, first, min(final, self.as_of), _names(source, asked.events))
        table = _Grouping(index, rows, asked, alone)
        columns = {source.contact, source.at, *own} | ({source.name} if source.name else set())
        query, read, contacts = table.query(), tuple(sorted(columns)), tuple(of_contact)
        dense = table.dense.over(query)
        return EventScan(index, query, read, contacts, first, rows.final, table.bits, table.parts, table.words, table.lists, dense)


def _names(source: EventSource, asked: Sequence[Events]) -> tuple[str, ...]:
    """The names of all events that are asked for, where the file's own column tells them; none: rows of any name are read."""
    named = {events.event for events in asked}
    if source.name is None or None in named or source.relation.columns[source.name].stored != "VARCHAR":
        return ()
    return tuple(sorted(name for name in named if name is not None))


class _EventRows:
    """The rows of one event table as a query, and the lowering of conditions over them. `names` are the only events that matter."""

    def __init__(
        self,
        scans: EventScans,
        source: EventSource,
        own: list[str],
        of_contact: list[str],
        first: datetime | None,
        final: datetime,
        names: tuple[str, ...] = (),
    ) -> None:
        self.scans, self.source, self.own, self.of_contact = scans, source, own, of_contact
        self.first, self.final, self.names = first, final, names
        fields: Fields = {(Scope.EVENT, name): _as_column(source.relation, name, sql.user(name)) for name in own}
        for name in of_contact:
            fields[Scope.CONTACT, name] = _as_column(scans.contacts.relation, name, contact_field(name))
        self.lowering = Lowering(scans.ops, scans.canon, fields, scans.calendar, prefix="e")
        self._at_stage = self._instant()

    def _instant(self) -> Sql:
        """The events' instant. A date's is its first in the timezone."""
        column = self.source.relation.columns[self.source.at]
        if column.type is not None and column.type.kind is Kind.DATE:
            day = Sql(sql.column(AT), column.type, "DATE", span=span_of(self.source.relation, self.source.at))
            return self.lowering.named(self.scans.calendar.first_instant(self.lowering, day))
        return Sql(sql.column(AT), TIMESTAMP, "TIMESTAMP")

    @property
    def at(self) -> Sql:
        return Sql(self._at_stage.expr.copy(), TIMESTAMP, "TIMESTAMP", self._at_stage.level)

    def chosen(self, events: Events) -> Sql:
        """Which rows these events are."""
        parts: list[Sql] = []
        if events.event is not None and self.source.name is not None:
            parts.append(verdict((), exp.EQ(this=sql.column(EVENT), expression=sql.text(events.event))))
        if events.prefix is not None and self.source.name is not None:
            parts.append(verdict((), self.scans.ops("starts with", sql.column(EVENT), sql.text(events.prefix))))
        window = events.window or Window()
        if window.first is not None and window.first != self.first:
            parts.append(self._beside(exp.GTE, window.first))
        if window.final is not None and window.final < self.final:
            parts.append(self._beside(exp.LTE, window.final))
        if events.where is not None:
            parts.append(self.lowering.condition(events.where))
        return verdict(parts, sql.all_of(part.expr for part in parts))

    def _beside(self, order: type[exp.Binary], bound: datetime) -> Sql:
        at = self.at
        return verdict((at,), order(this=at.expr, expression=instant(self.scans.ops, bound)))

    def query(self) -> sql.Expr:
        """Everything a grouping may read, staged; only rows within the bounds of time, and of events that matter."""
        ops, source = self.scans.ops, self.source
        columns = source.relation.columns
        at = read(ops, columns[source.at], sql.column(source.at))
        selected = {KEY: read_key(ops, columns[source.contact], sql.column(source.contact)), AT: at.expr}
        if source.name is not None:
            selected[EVENT] = read(ops, columns[source.name], sql.column(source.name)).expr
        for name in self.own:
            selected[sql.user(name)] = read(ops, columns[name], sql.column(name)).expr
        rows = sql.select(selected, ops("scan", source.relation), self._stored_bounds(columns[source.at].stored))
        if self.of_contact:
            rows = self._beside_contacts(rows)
        return staged(self.lowering, rows)

    def bounds(self) -> sql.Expr:
        """The rows within the bounds of time, over the staged columns."""
        bounds = [self._beside(exp.LTE, self.final)]
        if self.first is not None:
            bounds.append(self._beside(exp.GTE, self.first))
        return sql.all_of(bound.expr for bound in bounds)

    def _stored_bounds(self, stored: str) -> sql.Expr | None:
        """Bounds in the types that the file has, so that what is outside is never read; the exact ones of time follow."""
        bounds = stored_times(self.scans.ops, self.source.at, stored, self.first, self.final)
        if self.names:
            assert self.source.name is not None
            bounds.append(exp.In(this=sql.column(self.source.name), expressions=[sql.text(name) for name in self.names]))
        return sql.all_of(bounds) if bounds else None

    def _beside_contacts(self, rows: exp.Select) -> exp.Select:
        """The rows of known contacts, with the contacts' fields that filters read."""
        query = exp.Select(expressions=[exp.Column(this=exp.Star(), table=sql.identifier("e"))])
        for name in self.of_contact:
            query.append("expressions", sql.named(sql.column(sql.user(name), "c"), contact_field(name)))
        query.set("from_", exp.From(this=sql.subquery(rows, "e")))
        contacts = exp.alias_(sql.table(CONTACTS), sql.identifier("c"), table=True)
        on = exp.EQ(this=sql.column(KEY, "c"), expression=sql.column(KEY, "e"))
        query.set("joins", [exp.Join(this=contacts, on=on, side="LEFT")])
        return query


class _Grouping:
    """The aggregates of one table: did-conditions folded into masks, equal parts once."""

    def __init__(self, index: int, rows: _EventRows, asked: _Asked, alone: Mapping[int, bool]) -> None:
        self.index, self.rows = index, rows
        self.bits: dict[int, Bit] = {}
        self.parts: dict[int, Mapping[str, Joined]] = {}
        self.lists: dict[int, str] = {}
        self._columns: dict[str, sql.Expr] = {}
        self._chosen: dict[int, Sql] = {}
        self._masks: list[list[sql.Expr]] = []
        self.dense = DenseColumns(rows.scans.ops, KEY, index, rows.at)
        for number, events in asked.did:
            self._add_bit(number, events)
        ops = rows.scans.ops
        self._maker = Parts(ops, rows.lowering.numbers, rows.at, rows.source.scale)
        for number, aggregate in asked.aggregates:
            self.parts[number] = self._add_parts(number, aggregate, alone[number])
        for number, kept in asked.gathered:
            self.lists[number] = self._add_list(number, kept)

    @property
    def words(self) -> int:
        return len(self._masks)

    def _rows(self, events: Events) -> sql.Expr:
        return self._chosen_rows(events).expr.copy()

    def _chosen_rows(self, events: Events) -> Sql:
        """Which rows, as a column of their own where the condition is more than one comparison."""
        number = self.rows.scans.canon.number(events)
        if number not in self._chosen:
            self._chosen[number] = self.rows.lowering.named(self.rows.chosen(events))
        return self._chosen[number]

    def _add_list(self, number: int, kept: Gathered) -> str:
        """The rows that are any of the choices, as a list of records."""
        ops, lowering = self.rows.scans.ops, self.rows.lowering
        carried = [self._chosen_rows(events) if self.rows.source.carries(events) else None for events in kept.choices]
        chosen = [(1 << bit, rows) for bit, rows in enumerate(carried) if rows is not None]
        bits = [sql.when(rows.expr.copy(), sql.integer(bit), sql.integer(0)) for bit, rows in chosen]
        choices = lowering.named(made_of([rows for _, rows in chosen], sql.total(bits, exp.BitwiseOr), COUNT, "BIGINT"))
        record = {INSTANT: self.rows.at.expr, CHOICES: choices.expr.copy()}
        for value in kept.values:
            record[kept.carried(value)] = kept_as(lowering, lowering.value(value), value.type).expr
        self.dense.refuse()
        name = sql.internal(f"{self.index}.rows{number}")
        any_choice = exp.NEQ(this=choices.expr.copy(), expression=sql.integer(0))
        self._columns[name] = ops("records", ops("record", record), any_choice)
        return name

    def _add_bit(self, number: int, events: Events) -> None:
        if number in self.bits:
            return
        if not self._masks or len(self._masks[-1]) == MASK_BITS:
            self._masks.append([])
        bit = Bit(len(self._masks) - 1, len(self._masks[-1]))
        self.bits[number] = bit
        self._masks[-1].append(sql.when(self._rows(events), sql.integer(bit.value), sql.integer(0)))
        self.dense.bit(mask_name(self.index, bit.word), bit.bit, self._rows(events))

    def _add_parts(self, number: int, node: Aggregate, alone: bool) -> dict[str, Joined]:
        value = None
        if node.property is not None:
            value = self.rows.lowering.numbers.named(self.rows.lowering.value(node.property))
        made = self._maker.of(node, self._rows(node.events), value, alone)
        columns = {role: self._column(number, role, part) for role, part in made.items()}
        for role, part in made.items():
            self.dense.part(node, role, columns[role].value.expr.name, part, self._rows(node.events), value)
        return columns

    def _column(self, number: int, role: str, part: Part) -> Joined:
        name = sql.internal(f"{self.index}.{role}{number}")
        self._columns[name] = part.expr
        return Joined(Sql(sql.column(name), part.type, part.held), part.places)

    def query(self) -> exp.Select:
        ops = self.rows.scans.ops
        selected: dict[str, sql.Expr] = {KEY: sql.column(KEY), ROWS: ops("count", exp.Star())}
        for word, bits in enumerate(self._masks):
            selected[mask_name(self.index, word)] = ops("bits", sql.total(bits, exp.BitwiseOr))
        selected.update(self._columns)
        # the rows' query is made last: lowering the conditions has filled its stages
        query = sql.select(selected, self.rows.query(), self.rows.bounds())
        query.set("group", exp.Group(expressions=[sql.column(KEY)]))
        return query


def mask_name(source: int, word: int) -> str:
    """The column of one word of a table's masks."""
    return sql.internal(f"{source}.mask{word}")


def telling_missing(query: exp.Select, columns: Collection[str]) -> exp.Select:
    """The query with, in place of these columns, whether they are missing: a bit, where a text would be copied to be looked at once."""
    if not columns:
        return query
    selected = [
        sql.named(sql.is_null(one.this.copy()), one.alias) if isinstance(one, exp.Alias) and one.alias in columns else one.copy()
        for one in query.expressions
    ]
    query = query.copy()
    query.set("expressions", selected)
    return query


def key_in(column: sql.Expr, table: str, stored: str | None = None) -> sql.Expr:
    """Whether a key is one of a table's; `stored` is how keys are held, where the table came from Python (which has UUIDs as text)."""
    key = sql.cast(sql.column(KEY), stored) if stored == "UUID" else sql.column(KEY)
    return exp.In(this=column, query=exp.Subquery(this=sql.select({KEY: key}, sql.table(table))))
