"""A whole plan as one SQL statement, for engines that keep the data: sources, conditions, static lists and algebra.

The statement gives one row per contact of the snapshot: the key under its own name, then one boolean column per segment, and beside
a divided one, where groups are asked for, a text column with its members' groups.
It checks nothing of what a run checks (that keys are unique, that files are as they were pinned).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl
from sqlglot import exp

from segmentry.engine import algebra
from segmentry.engine.gathered import POSITION
from segmentry.engine.lowering import sql
from segmentry.engine.lowering.duckdb import IN_ANY_CONNECTION
from segmentry.engine.lowering.operations import NotExpressible, Operations
from segmentry.engine.lowering.spark import SPARK
from segmentry.engine.lowering.spark_sources import SparkSources, TableNames
from segmentry.engine.lowering.spark_types import in_spark_types
from segmentry.engine.plan import Plan, make_plan
from segmentry.engine.populations import Level
from segmentry.engine.scans import CONTACTS, KEY, events_table
from segmentry.engine.snapshot import Column, Snapshot
from segmentry.engine.splitting import Split
from segmentry.engine.whole_groups import check_names, column_of, draws, group_of
from segmentry.engine.whole_populations import foremost_columns, standings_query, values_table
from segmentry.errors import DialectError
from segmentry.rules import nodes
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.ground import Clock
from segmentry.rules.nodes import Condition
from segmentry.rules.references import references

DIALECTS = ("duckdb", "spark")

LONGEST_LIST = 10_000
"""Keys of a static list that a statement may hold; engines plan much longer ones badly, or not at all."""

READABLE = 50_000
"""Characters of a statement that is laid out in lines; a longer one is for machines."""

CONDITIONS = sql.internal("conditions")


def render_whole(
    conditions: Mapping[str, Condition],
    snapshot: Snapshot,
    clock: Clock,
    *,
    dialect: str = "duckdb",
    wanted: Iterable[str] | None = None,
    lists: Mapping[str, pl.Series] | None = None,
    tables: TableNames | None = None,
    splits: Mapping[str, Split] | None = None,
) -> str:
    """One SQL statement for some segments' grounded conditions, `member` among them referring to another of them.

    `wanted` are the segments that become columns (default: all). `lists` has the keys of each static list that the
    conditions name; they are written into the statement. `splits` are those of wanted segments whose groups become columns.

    In DuckDB's words it reads the pinned files. In Spark's (4.0 or later, ANSI mode on, as it is by default; the
    session's timezone does not matter) a source that is one Parquet file is read from its path. Any other (several files,
    hive folders, CSV or NDJSON, columns of UUIDs or nanoseconds, which Spark does not read) is expected as a view,
    `segmentry_contacts` or `segmentry_events_1`, `_2`, ... in the order of `segmentry.yml`; comments at the statement's
    head list what each must have. `tables` names other tables instead, by `contacts`, `events_1`, ...

    Raises DialectError, with every condition that can't be said in the dialect with the same meaning.
    """
    _check_lists(lists or {})
    _check_memory(conditions)
    ops, head = IN_ANY_CONNECTION, [f"as of {clock.as_of:%Y-%m-%dT%H:%M:%S.%fZ}, in {clock.zone}"]
    if dialect == "spark":
        sources = SparkSources(snapshot, tables or {})
        ops, snapshot = SPARK, sources.snapshot
    segments, divided = list(conditions) if wanted is None else list(wanted), splits or {}
    check_names(divided, [*segments, snapshot.contacts.key])
    plan = _planned({**conditions, **draws(divided)}, snapshot, clock, ops)
    query = _Statement(plan, ops, lists or {}, divided).query(segments)
    if dialect == "spark":
        head += sources.expected(plan.columns_read())
        query = in_spark_types(query)
    comments = "".join(f"-- {line}\n" for line in head)
    text = sql.render(query, dialect=ops.dialect)
    # indentation of deeply nested queries is longer than they are
    return comments + (sql.render(query, pretty=True, dialect=ops.dialect) if len(text) <= READABLE else text)


def listed(conditions: Iterable[Condition]) -> set[str]:
    """The static lists that some conditions name."""
    return {node.list for condition in conditions for node in nodes.walk(condition) if isinstance(node, nodes.Listed)}


def _check_lists(lists: Mapping[str, pl.Series]) -> None:
    problems = [
        Diagnostic("X104", f"{name} has {len(keys):,} keys; a statement holds at most {LONGEST_LIST:,} of a list")
        for name, keys in lists.items()
        if len(keys) > LONGEST_LIST
    ]
    if problems:
        raise DialectError(problems)


def _check_memory(conditions: Mapping[str, Condition]) -> None:
    problems = [
        Diagnostic("X105", f"no engine knows who was in `{node.segment}` before, which `{name}` asks", place=node.place)
        for name, condition in conditions.items()
        for node in dict.fromkeys(node for node in nodes.walk(condition) if isinstance(node, nodes.Remembered))
    ]
    if problems:
        raise DialectError({(problem.message, problem.place): problem for problem in problems}.values())


# ---------------------------------------------------------------- what can't be said


def _planned(conditions: Mapping[str, Condition], snapshot: Snapshot, clock: Clock, ops: Operations) -> Plan:
    """The plan in an engine's words. DialectError with every condition that has none."""
    try:
        return _written_out(conditions, snapshot, clock, ops)
    except NotExpressible:
        problems = [problem for name, condition in conditions.items() for problem in _refused(name, condition, snapshot, clock, ops)]
        raise DialectError(problems) from None


def _written_out(conditions: Mapping[str, Condition], snapshot: Snapshot, clock: Clock, ops: Operations) -> Plan:
    """A plan that has its query of conditions already; NotExpressible where that has no words."""
    plan = make_plan(conditions, snapshot, clock, ops=ops)
    _ = plan.leaves_query
    return plan


def _refused(name: str, condition: Condition, snapshot: Snapshot, clock: Clock, ops: Operations) -> Iterator[Diagnostic]:
    """The conditions of one segment that the engine has no words for."""
    pending = [condition]
    while pending:
        node = pending.pop()
        if isinstance(node, nodes.COMBINATIONS):
            pending.extend(reversed([child for child in nodes.children(node) if isinstance(child, Condition)]))
            continue
        others: dict[str, Condition] = dict.fromkeys(references(node), nodes.Always(value=True))
        try:
            _written_out({name: node, **others}, snapshot, clock, ops)
        except NotExpressible as problem:
            yield Diagnostic(
                problem.code, f"{problem}, in segment `{name}`", place=node.place, notes=(f"in {ops.dialect} it would not mean the same",)
            )


# ---------------------------------------------------------------- the statement


@dataclass
class _Algebra:
    """The steps of a plan as expressions. One that several others read becomes a column of a stage, so that none is written twice."""

    steps: Sequence[algebra.Step]
    segments: Mapping[str, int]
    leaf: Callable[[str], sql.Expr]
    stages: list[dict[str, sql.Expr]] = field(default_factory=list)
    _made: dict[int, tuple[sql.Expr, int]] = field(default_factory=dict)

    def expressions(self, wanted: Iterable[str]) -> dict[str, sql.Expr]:
        """What each wanted segment is, over the last stage."""
        names = list(wanted)
        needed = self._uses(self.segments[name] for name in names)
        for number, step in enumerate(self.steps):
            if number in needed:
                self._made[number] = self._named(number, *self._expression(step), shared=needed[number] > 1)
        return {name: self._made[self.segments[name]][0].copy() for name in names}

    def _uses(self, roots: Iterable[int]) -> dict[int, int]:
        """How often each step is read, of those that the roots need."""
        uses: dict[int, int] = {}
        pending = list(roots)
        while pending:
            number = pending.pop()
            uses[number] = uses.get(number, 0) + 1
            step = self.steps[number]
            if uses[number] == 1 and isinstance(step, algebra.Combine):
                pending.extend(step.items)
        return uses

    def _expression(self, step: algebra.Step) -> tuple[sql.Expr, int]:
        if isinstance(step, algebra.Leaf):
            return self.leaf(step.column), 0
        if isinstance(step, algebra.Everybody):
            return sql.boolean(step.value), 0
        items = [self._made[item][0].copy() for item in step.items]
        level = max(self._made[item][1] for item in step.items)
        match step.operation:
            case "and":
                return sql.all_of(items), level
            case "or":
                return sql.any_of(items), level
            case "not":
                return sql.negation(items[0]), level
        ones = [sql.when(item, sql.integer(1), sql.integer(0)) for item in items]
        return sql.infix(exp.GTE, sql.total(ones), sql.integer(step.count)), level

    def _named(self, number: int, made: sql.Expr, level: int, *, shared: bool) -> tuple[sql.Expr, int]:
        if not shared or not isinstance(self.steps[number], algebra.Combine):
            return made, level
        while len(self.stages) <= level:
            self.stages.append({})
        name = sql.internal(f"part{number}")
        self.stages[level][name] = made
        return sql.column(name), level + 1


class _Statement:
    def __init__(self, plan: Plan, ops: Operations, lists: Mapping[str, pl.Series], splits: Mapping[str, Split]) -> None:
        self.plan, self.ops, self.splits = plan, ops, splits
        self.lists = {column: lists[name] for column, name in plan.listed.items() if len(lists[name])}

    def query(self, wanted: Sequence[str]) -> exp.Select:
        """`with` sources, conditions and lists, `select` key and segments."""
        parts = _Algebra(self.plan.steps, self.plan.segments, self._leaf)
        columns = dict(self._with_groups(wanted, parts.expressions([*wanted, *draws(self.splits)])))
        rows = self._staged(CONDITIONS, parts, self.plan.levels)
        key = self.plan.snapshot.contacts.key
        query = exp.Select(expressions=[sql.named(sql.column(POSITION), key), *(sql.named(value, name) for name, value in columns.items())])
        query.from_(sql.subquery(rows, f"a{len(parts.stages)}"), copy=False)
        query.set("with_", exp.With(expressions=[_cte(name, part) for name, part in self._sources()]))
        return query

    def _with_groups(self, wanted: Sequence[str], found: Mapping[str, sql.Expr]) -> Iterator[tuple[str, sql.Expr]]:
        """The wanted segments, each divided one with its members' groups beside it."""
        for name in wanted:
            yield name, found[name]
            if name in self.splits:
                yield column_of(name), group_of(name, self.splits[name], found[name].copy(), found)

    def _leaf(self, column: str) -> sql.Expr:
        if column not in self.plan.listed:
            return sql.column(column)  # also a place in a population, which has become a column of the rows
        return sql.is_set(sql.column(_list_key(column))) if column in self.lists else sql.boolean(False)

    def _sources(self) -> Iterator[tuple[str, exp.Select]]:
        # a contact's position is its key here: nothing has to last
        everything: list[sql.Expr] = [sql.named(sql.column(KEY), POSITION), exp.Star()]
        yield CONTACTS, exp.Select(expressions=everything).from_(sql.subquery(self.plan.contacts_query, "c"), copy=False)
        for scan in self.plan.scans:
            yield events_table(scan.source), scan.query()
        for one in self.plan.beside:
            yield one.table, one.query
        for column, keys in self.lists.items():
            yield _list_table(column), self._listed(column, keys)
        for level in self.plan.levels:
            yield from self._level(level)
        yield CONDITIONS, self.plan.leaves_query

    def _level(self, level: Level) -> Iterator[tuple[str, exp.Select]]:
        """The orders of one level, and what is read from them."""
        yield values_table(level), level.query
        numbers = {str(number): ranking.among for number, ranking in enumerate(level.rankings) if ranking.among is not None}
        parts = _Algebra(self.plan.steps, numbers, self._leaf)
        among = {int(number): condition for number, condition in parts.expressions(numbers).items()}
        rows = self._staged(values_table(level), parts, self.plan.levels[: level.number - 1])
        yield level.table, standings_query(self.ops, level, rows, among)

    def _staged(self, table: str, parts: _Algebra, levels: tuple[Level, ...]) -> exp.Select:
        """The rows of a table of conditions, with what more the algebra reads, and what it shares."""
        rows: exp.Select = self._rows(table, levels)
        for number, stage in enumerate(parts.stages):
            items = [exp.Star(), *(sql.named(value, name) for name, value in stage.items())]
            rows = exp.Select(expressions=items).from_(sql.subquery(rows, f"a{number}"), copy=False)
        return rows

    def _rows(self, table: str, levels: tuple[Level, ...]) -> exp.Select:
        """Every contact with its conditions; beside them its key in each list that has it, and its places in populations."""
        query = exp.Select(expressions=[exp.Column(this=exp.Star(), table=sql.identifier("c"))])
        query.set("from_", exp.From(this=exp.alias_(sql.table(table), sql.identifier("c"), table=True)))
        joins = []
        for standings, columns in foremost_columns(levels):
            for column in columns:
                query.append("expressions", sql.column(column, standings))
            on = exp.EQ(this=sql.column(POSITION, standings), expression=sql.column(POSITION, "c"))
            joins.append(exp.Join(this=sql.table(standings), on=on, side="LEFT"))
        for column in self.lists:
            table, key = _list_table(column), _list_key(column)
            query.append("expressions", sql.column(key, table))
            on = exp.EQ(this=sql.column(key, table), expression=sql.column(POSITION, "c"))
            joins.append(exp.Join(this=sql.table(table), on=on, side="LEFT"))
        query.set("joins", joins)
        return query

    def _listed(self, column: str, keys: pl.Series) -> exp.Select:
        contacts = self.plan.snapshot.contacts
        held = _held_key(contacts.relation.columns[contacts.key])
        distinct = keys.drop_nulls().unique(maintain_order=True).to_list()
        rows = [exp.Tuple(expressions=[sql.integer(key) if isinstance(key, int) else sql.text(str(key))]) for key in distinct]
        alias = exp.TableAlias(this=sql.identifier("l"), columns=[sql.identifier(KEY)])
        return sql.select({_list_key(column): self.ops("try cast", sql.column(KEY), held)}, exp.Values(expressions=rows, alias=alias))


def _held_key(key: Column) -> str:
    return "VARCHAR" if key.stored.startswith("ENUM") else key.stored


def _list_table(column: str) -> str:
    return sql.internal(f"list.{column}")


def _list_key(column: str) -> str:
    return sql.internal(f"listed.{column}")


def _cte(name: str, query: exp.Select) -> exp.CTE:
    return exp.CTE(this=query, alias=exp.TableAlias(this=sql.identifier(name)))
