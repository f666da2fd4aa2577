"""One frozen plan for all segments of a workspace: every different condition once, every source once. Making it has no side effect.

A plan knows what will run (`queries`), what each segment is made of (`steps`), and which columns are read. Running it
is `evaluation.Evaluation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from sqlglot import exp

from segmentry.engine import algebra
from segmentry.engine.aggregates import Assembly, Joined
from segmentry.engine.by_row import ByRow
from segmentry.engine.gathered import FOUND, POSITION, Gathering, Lists, active_periods, gathered
from segmentry.engine.lowering import sql
from segmentry.engine.lowering.calendar import Calendar
from segmentry.engine.lowering.canon import Canon
from segmentry.engine.lowering.duckdb import DUCKDB
from segmentry.engine.lowering.operations import Operations
from segmentry.engine.lowering.shapes import Sql, verdict
from segmentry.engine.lowering.stored import key_text
from segmentry.engine.lowering.values import Lowering, instant
from segmentry.engine.populations import Level, populations_in
from segmentry.engine.rankings import Rankings, Standings
from segmentry.engine.row_digests import DIGEST, contact_digest
from segmentry.engine.scans import (
    CONTACTS,
    KEY,
    SNAPSHOT,
    EventScan,
    EventScans,
    contact_fields,
    contact_rows,
    contacts_in_order,
    events_table,
    fields_below,
    mask_name,
    staged,
)
from segmentry.engine.sequence_joins import joined
from segmentry.engine.sequences import folded
from segmentry.engine.snapshot import Snapshot
from segmentry.rules import nodes
from segmentry.rules.ground import Clock
from segmentry.rules.nodes import Condition, Scope, Value
from segmentry.rules.references import in_order
from segmentry.rules.types import COUNT

OF_MORE_THAN_CONTACTS = (nodes.Did, nodes.Sequence, nodes.Aggregate, nodes.Ranked)
"""What a condition is computed of that no row of contacts has."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A function of rows beside each other, computed from the lists of the grouped events: a table by position.

    Of a sequence it has those who did it; of calendar periods `$found` is how many, of those who have any.
    """

    table: str
    query: exp.Select

    @property
    def found(self) -> str:
        """The column that is joined to the contacts."""
        return f"{self.table}.found"


@dataclass(frozen=True)
class Plan:
    """What a run computes, and how.

    `steps` and `segments` are the algebra: `segments` maps a name to the step that is its membership. `listed` maps a
    leaf's column to its static list, `remembered` to what is asked of earlier runs. `leaf_columns` are the columns of
    `leaves_query`, `value_columns` those of the extra values that were asked for. `levels` are the populations that must
    be in order before, each level after the last.
    """

    snapshot: Snapshot
    clock: Clock
    contact_columns: tuple[str, ...]
    scans: tuple[EventScan, ...]
    beside: tuple[Beside, ...]
    contacts_query: exp.Select
    leaf_columns: tuple[str, ...]
    value_columns: tuple[str, ...]
    listed: Mapping[str, str]
    remembered: Mapping[str, nodes.Remembered]
    levels: tuple[Level, ...]
    steps: tuple[algebra.Step, ...]
    segments: Mapping[str, int]
    conditions: Mapping[str, Condition]
    """Of every leaf column, the condition it is."""
    _leaves_query: Callable[[], exp.Select] = field(repr=False, compare=False)
    _by_row: Callable[[tuple[str, ...]], ByRow] | None = field(repr=False, compare=False, default=None)
    _canon: Canon = field(repr=False, default_factory=Canon)
    _leaf_of: Mapping[int, str] = field(repr=False, default_factory=dict)
    _value_of: Mapping[int, str] = field(repr=False, default_factory=dict)

    @cached_property
    def leaves_query(self) -> exp.Select:
        """The query for every leaf and value; written when it is first asked for, as many plans are made only to see what they read."""
        return self._leaves_query()

    def by_row(self, digested: Iterable[str]) -> ByRow | None:
        """The plan in two, with the digest of some of the contacts' columns; None where it can't be divided so."""
        return None if self._by_row is None else self._by_row(tuple(sorted(digested)))

    @property
    def given(self) -> tuple[str, ...]:
        """The columns of leaves that no query computes: lists, and what earlier runs say."""
        return (*self.listed, *self.remembered)

    def leaf(self, condition: Condition) -> str:
        """The column of a leaf condition; KeyError if the plan has none such."""
        return self._leaf_of[self._canon.number(condition)]

    def value(self, value: Value) -> str:
        """The column of an extra value; KeyError if the plan was not made with it."""
        return self._value_of[self._canon.number(value)]

    @property
    def bitmap_columns(self) -> tuple[str, ...]:
        """Every leaf's column: those of `leaves_query`, static lists, and places in populations."""
        ranked = [column for level in self.levels for ranking in level.rankings for column in ranking.foremost]
        return (*self.leaf_columns, *self.given, *ranked)

    def columns_read(self) -> dict[str | int, set[str]]:
        """The columns that rules read, per source: `contacts`, and each event table by its index."""
        read: dict[str | int, set[str]] = {"contacts": set(self.contact_columns)}
        read.update({scan.source: set(scan.columns) for scan in self.scans})
        return read

    def queries(self) -> Iterator[tuple[str, exp.Expr]]:
        """The statements as they run (contacts standing in their snapshot's order), each with what it is for."""
        yield "contacts", sql.temporary("TABLE", SNAPSHOT, self.contacts_query)
        yield "contacts by position", sql.temporary("VIEW", CONTACTS, contacts_in_order(self.contact_columns))
        for scan in self.scans:
            yield f"events {scan.source}", sql.temporary("TABLE", events_table(scan.source), scan.query())
        for one in self.beside:
            yield "events beside each other", sql.temporary("TABLE", one.table, one.query)
        for level in self.levels:
            yield f"populations {level.number}", level.query
        yield "conditions", self.leaves_query


def make_plan(
    conditions: Mapping[str, Condition],
    snapshot: Snapshot,
    clock: Clock,
    *,
    values: Iterable[Value] = (),
    ops: Operations = DUCKDB,
) -> Plan:
    """The plan for some segments' grounded conditions; `member` among them refers to another of them.

    `values` are further values to compute for every contact (`Evaluation.leaves` returns them).
    """
    return _Planner(snapshot, clock, ops).plan(conditions, tuple(values))


class _Planner:
    def __init__(self, snapshot: Snapshot, clock: Clock, ops: Operations) -> None:
        self.snapshot, self.clock, self.ops = snapshot, clock, ops
        self.canon = Canon()
        self.calendar = Calendar(ops, clock.zone)
        self.steps: list[algebra.Step] = []
        self.leaves: dict[str, Condition] = {}
        self.listed: dict[str, str] = {}
        self.remembered: dict[str, nodes.Remembered] = {}
        self.leaf_of: dict[int, str] = {}
        self.rankings = Rankings(self.canon, self.steps, self._step_of_condition)
        self._step_of_node: dict[int, int] = {}
        self._step_of: dict[algebra.Step, int] = {}

    def plan(self, conditions: Mapping[str, Condition], values: Sequence[Value]) -> Plan:
        segments = self._algebra(conditions, values)
        asked = {column: node for column, node in self.leaves.items() if column not in self.listed and column not in self.remembered}
        computed = {column: node for column, node in asked.items() if not self.rankings.is_foremost(column)}
        roots = [*asked.values(), *values]
        for root in roots:
            self.canon.number(root)
            self.rankings.add(root)
        functions = self._event_functions(roots)
        kept = {number: gathered(node) for number, node in functions.gathered.items()}
        scans = EventScans(self.ops, self.canon, self.snapshot.contacts, self.calendar, self.clock.as_of).plan(
            self.snapshot.events, functions.did.values(), functions.aggregates.values(), kept
        )
        beside = {number: one for number, node in functions.gathered.items() if (one := self._beside(number, node, scans))}
        contact_columns = tuple(sorted(fields_below(roots)[Scope.CONTACT]))

        def query(level: int, leaves: Mapping[str, Condition], values: Mapping[str, Value]) -> exp.Select:
            return LeavesQuery(self, scans, contact_columns, self.rankings.below(level), beside).build(leaves, values)

        by_row = partial(self._by_row, computed, scans, beside)
        value_of = {self.canon.number(value): f"value{number}" for number, value in enumerate(values)}
        levels = self.rankings.levels(computed, query)
        values_asked = {value_of[self.canon.number(value)]: value for value in values}
        return Plan(
            self.snapshot,
            self.clock,
            contact_columns,
            scans,
            tuple(beside.values()),
            contact_rows(self.ops, self.snapshot.contacts, contact_columns),
            tuple(computed),
            tuple(value_of.values()),
            self.listed,
            self.remembered,
            levels,
            tuple(self.steps),
            {name: segments[name] for name in conditions},
            dict(self.leaves),
            partial(query, len(levels) + 1, computed, values_asked),
            None if levels or values else by_row,
            self.canon,
            self.leaf_of,
            value_of,
        )

    def _by_row(
        self, computed: Mapping[str, Condition], scans: Sequence[EventScan], beside: Mapping[int, Beside], digested: tuple[str, ...]
    ) -> ByRow:
        """The conditions on contacts alone, of the snapshot's rows; and the others."""
        others = {name: node for name, node in computed.items() if any(isinstance(one, OF_MORE_THAN_CONTACTS) for one in nodes.walk(node))}
        own = {name: node for name, node in computed.items() if name not in others}
        columns = tuple(sorted(fields_below(others.values())[Scope.CONTACT]))
        read = tuple(sorted(fields_below(own.values())[Scope.CONTACT].union(digested)))
        rest = partial(LeavesQuery(self, scans, columns, (), beside).build, others, {})
        alone = partial(LeavesQuery(self, scans, (), (), {}, contacts=False).build, others, {})
        return ByRow(
            tuple(own),
            self._of_rows(own, read, digested),
            digested,
            read,
            columns,
            rest if others else None,
            alone if others and scans and not columns and not beside else None,
        )

    def _of_rows(self, leaves: Mapping[str, Condition], columns: Sequence[str], digested: Sequence[str]) -> exp.Select:
        """The snapshot's rows in their order: whose each is, conditions on it, and a digest of it."""
        contacts = self.snapshot.contacts
        key = key_text(self.ops, contacts.relation.columns[contacts.key], sql.column(KEY))
        lowering = Lowering(self.ops, self.canon, contact_fields(contacts, columns), self.calendar, key_text=key)
        selected: dict[str, sql.Expr] = {KEY: sql.column(KEY)}
        selected.update({column: lowering.truth(node).expr for column, node in leaves.items()})
        if digested:
            selected[DIGEST] = contact_digest(contacts.relation, digested)
        return sql.select(selected, staged(lowering, contact_rows(self.ops, contacts, columns)))

    # ---------------------------------------------------------------- the algebra

    def _algebra(self, conditions: Mapping[str, Condition], values: Iterable[Value]) -> dict[str, int]:
        """The step of each segment, those that others refer to first. References form no cycle: the checker saw to that."""
        done: dict[str, int] = {}
        for name in in_order(conditions):
            done[name] = self._step(conditions[name], done)
        for value in values:
            for among in _amongs(value):
                self._step(among, done)
        return done

    def _step(self, root: Condition, segments: Mapping[str, int]) -> int:
        pending: list[tuple[Condition, bool]] = [(root, False)]
        while pending:
            node, entered = pending.pop()
            number = self.canon.number(node)
            if number in self._step_of_node:
                continue
            below = _below(node)
            if below and not entered:
                pending.append((node, True))
                pending.extend((child, False) for child in below)
                continue
            items = tuple(self._step_of_node[self.canon.number(child)] for child in below)
            if isinstance(node, nodes.Member):
                self._step_of_node[number] = segments[node.segment]
            else:
                self._step_of_node[number] = self._add(self._made(node, number, items))
        return self._step_of_node[self.canon.number(root)]

    def _step_of_condition(self, condition: Condition) -> int:
        return self._step_of_node[self.canon.number(condition)]

    def _made(self, node: Condition, number: int, items: tuple[int, ...]) -> algebra.Step:
        match node:
            case nodes.Always(value=value):
                return algebra.Everybody(value)
            case nodes.And() if items:
                return algebra.Combine("and", items)
            case nodes.Or() if items:
                return algebra.Combine("or", items)
            case nodes.And() | nodes.Or():
                return algebra.Everybody(isinstance(node, nodes.And))
            case nodes.Not():
                return algebra.Combine("not", items)
            case nodes.AtLeast(count=count):
                return algebra.Combine("at least", items, count)
        column = f"leaf{len(self.leaves)}"
        self.leaves[column] = node
        self.leaf_of[number] = column
        if isinstance(node, nodes.Listed):
            self.listed[column] = node.list
        if isinstance(node, nodes.Remembered):
            self.remembered[column] = node
        self.rankings.leaf(column, node)
        return algebra.Leaf(column)

    def _add(self, step: algebra.Step) -> int:
        if step not in self._step_of:
            self._step_of[step] = len(self.steps)
            self.steps.append(step)
        return self._step_of[step]

    # ---------------------------------------------------------------- events

    def _event_functions(self, roots: Iterable[nodes.Node]) -> _EventFunctions:
        """The different event functions below some nodes, by their numbers."""
        asked = _EventFunctions()
        for root in roots:
            for node in nodes.walk(root):
                if isinstance(node, nodes.Did):
                    asked.did.setdefault(self.canon.number(node.events), node.events)
                elif isinstance(node, (nodes.Sequence, nodes.ActivePeriods)):
                    asked.gathered.setdefault(self.canon.number(node), node)
                elif isinstance(node, nodes.Aggregate):
                    asked.aggregates.setdefault(self.canon.number(node), node)
        return asked

    def _beside(self, number: int, node: Gathering, scans: Sequence[EventScan]) -> Beside | None:
        """The table of a function of rows beside each other; None where no table can have such rows."""
        tables = tuple((events_table(scan.source), scan.lists[number]) for scan in scans if number in scan.lists)
        if not tables:
            return None
        name, compared = sql.internal(f"beside{number}"), len(gathered(node).values)
        rows = Lists(tables, compared).rows(self.ops)
        if isinstance(node, nodes.ActivePeriods):
            query = active_periods(node, rows, self.ops, [instant(self.ops, start) for start in node.starts])
        elif compared:
            query = joined(node, rows, name, self.ops, self.canon, self.calendar)
        else:
            query = folded(node, rows, self.ops)
        return Beside(name, query)


@dataclass
class _EventFunctions:
    """The event functions of a plan: choices that `did` asks for, aggregates, functions of rows beside each other."""

    did: dict[int, nodes.Events] = field(default_factory=dict)
    aggregates: dict[int, nodes.Aggregate] = field(default_factory=dict)
    gathered: dict[int, Gathering] = field(default_factory=dict)


class LeavesQuery:
    """The query that gives conditions of a chunk of contacts as booleans, and values. `standings` are the tables of populations to read.

    Not of `contacts` where the events' tables have all of them, and nothing else is read.
    """

    def __init__(
        self,
        planner: _Planner,
        scans: Sequence[EventScan],
        columns: Sequence[str],
        standings: Sequence[Standings],
        beside: Mapping[int, Beside],
        *,
        contacts: bool = True,
    ) -> None:
        self.planner, self.scans, self.standings, self.beside, self.of_contacts = planner, scans, standings, beside, contacts
        source = planner.snapshot.contacts
        ops = planner.ops
        key = source.relation.columns[source.key]
        self.lowering = Lowering(
            ops,
            planner.canon,
            contact_fields(source, columns),
            planner.calendar,
            key_text=key_text(ops, key, sql.column(KEY)),
            aggregate=self._aggregate,
            ranked=self._ranked,
        )
        self.assembly = Assembly(ops, self.lowering.numbers)

    def build(self, leaves: Mapping[str, Condition], values: Mapping[str, Value]) -> exp.Select:
        selected: dict[str, sql.Expr] = {POSITION: sql.column(POSITION)}
        for column, node in leaves.items():
            selected[column] = self._leaf(node).expr
        for column, value in values.items():
            selected[column] = self.lowering.numbers.settled(self.lowering.value(value)).expr
        return sql.select(selected, staged(self.lowering, self._rows()))

    def _leaf(self, node: Condition) -> Sql:
        if isinstance(node, nodes.Sequence):
            did = self.beside.get(self.planner.canon.number(node))
            return verdict((), sql.boolean(False) if did is None else sql.is_set(sql.column(did.found)))
        return self._did(node) if isinstance(node, nodes.Did) else self.lowering.truth(node)

    def _did(self, node: nodes.Did) -> Sql:
        number = self.planner.canon.number(node.events)
        found = []
        for scan in self.scans:
            bit = scan.bits.get(number)
            if bit is not None:
                word = sql.call("coalesce", sql.column(mask_name(scan.source, bit.word)), sql.integer(0))
                masked = exp.BitwiseAnd(this=word, expression=sql.integer(bit.value))
                found.append(exp.NEQ(this=sql.paren(masked), expression=sql.integer(0)))
        return verdict((), sql.any_of(found))

    def _aggregate(self, node: nodes.Aggregate) -> Sql:
        number = self.planner.canon.number(node)
        if isinstance(node, nodes.ActivePeriods):
            counted = self.beside.get(number)
            zero: sql.Expr = sql.integer(0)
            found = zero if counted is None else sql.call("coalesce", sql.column(counted.found), zero)
            return self.lowering.named(Sql(found, COUNT, "BIGINT"))
        tables: list[Mapping[str, Joined]] = [_copied(scan.parts[number]) for scan in self.scans if number in scan.parts]
        return self.lowering.named(self.assembly.value(node, tables))

    def _ranked(self, node: nodes.Ranked) -> Sql:
        number = self.planner.canon.number(node)
        column = next(table.columns[number] for table in self.standings if number in table.columns)
        return Sql(sql.column(column), node.type, "BIGINT")

    def _rows(self) -> exp.Select:
        """The contacts beside their events' aggregates and their standings in populations."""
        query = exp.Select(expressions=[exp.Column(this=exp.Star(), table=sql.identifier("c"))])
        base, scans = (CONTACTS, self.scans) if self.of_contacts else (events_table(self.scans[0].source), self.scans[1:])
        joins = []
        for scan in scans:
            name = events_table(scan.source)
            for column in _aggregate_columns(scan):
                query.append("expressions", sql.column(column, name))
            on = exp.EQ(this=sql.column(POSITION, name), expression=sql.column(POSITION, "c"))
            joins.append(exp.Join(this=sql.table(name), on=on, side="LEFT"))
        for table in self.standings:
            for column in table.columns.values():
                query.append("expressions", sql.column(column, table.name))
            on = exp.EQ(this=sql.column(POSITION, table.name), expression=sql.column(POSITION, "c"))
            joins.append(exp.Join(this=sql.table(table.name), on=on, side="LEFT"))
        for one in self.beside.values():
            query.append("expressions", sql.named(sql.column(FOUND, one.table), one.found))
            on = exp.EQ(this=sql.column(POSITION, one.table), expression=sql.column(POSITION, "c"))
            joins.append(exp.Join(this=sql.table(one.table), on=on, side="LEFT"))
        query.set("from_", exp.From(this=exp.alias_(sql.table(base), sql.identifier("c"), table=True)))
        query.set("joins", joins)
        return query


def _aggregate_columns(scan: EventScan) -> list[str]:
    masks = [mask_name(scan.source, word) for word in range(scan.words)]
    return masks + [part.value.expr.name for parts in scan.parts.values() for part in parts.values()]


def _copied(parts: Mapping[str, Joined]) -> dict[str, Joined]:
    return {role: Joined(part.value.made(part.value.expr.copy()), part.places) for role, part in parts.items()}


def _below(node: Condition) -> list[Condition]:
    """The conditions that the algebra combines into this one; below a leaf, who is `among` a population that it reads."""
    if not isinstance(node, nodes.COMBINATIONS):
        return _amongs(node)
    return [child for child in nodes.children(node) if isinstance(child, Condition)]


def _amongs(node: nodes.Node) -> list[Condition]:
    return [population.among for population in populations_in(node) if population.among is not None]
