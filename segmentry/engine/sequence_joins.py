"""Who did a sequence whose steps ask former ones (`cart_id = cart_added.cart_id`): step by step, by joins.

A way's state after a step is its instant, what later steps will ask of the steps so far, and the beginning where the
whole has a length; ways of one state are one row. So there are never more rows than states, however many ways lead to
them; an equality with a former step becomes a key of its join.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from segmentry.engine.gathered import (
    AT,
    CHOICES,
    FOUND,
    POSITION,
    Gathered,
    distinct_rows,
    gathered,
    grouped,
    has,
    of_rows,
    property_of,
    separated,
)
from segmentry.engine.lowering import sql
from segmentry.engine.lowering.calendar import Calendar
from segmentry.engine.lowering.canon import Canon
from segmentry.engine.lowering.operations import Operations
from segmentry.engine.lowering.shapes import Sql, held_as
from segmentry.engine.lowering.values import Lowering
from segmentry.engine.scans import staged
from segmentry.engine.sequences import Shape, shape
from segmentry.rules import nodes
from segmentry.rules.nodes import Condition, Former, Value, way

NOW = sql.internal("now")
BEGUN = sql.internal("begun")
UNDONE = sql.internal("undone")


def joined(node: nodes.Sequence, rows: exp.Query, name: str, ops: Operations, canon: Canon, calendar: Calendar) -> exp.Select:
    """The positions of the contacts that did a sequence. `name` begins the names of its parts, which must be its own."""
    return _Joins(node, shape(node), gathered(node), name, ops, canon, calendar).query(rows)


@dataclass
class _Joins:
    node: nodes.Sequence
    shape: Shape
    kept: Gathered
    name: str
    ops: Operations
    canon: Canon
    calendar: Calendar
    parts: dict[str, exp.Query] = field(default_factory=dict)

    def query(self, rows: exp.Query) -> exp.Select:
        names = [POSITION, AT, CHOICES, *(self.kept.carried(value) for value in self.kept.values)]
        self._add("rows", distinct_rows(sql.select({name: sql.column(name) for name in names}, sql.subquery(rows, "r"))))
        events, gaps = self.shape.events, (*self.shape.gaps, (*self.shape.own, *self.shape.after))
        before = self._add("step0", self._first(events[0]))
        for i, (place, gap) in enumerate(zip(events[1:], gaps, strict=False), 1):
            if gap:
                before = self._add(f"until{i}", self._until_undone(before, events[i - 1], gap))
            before = self._add(f"step{i}", self._next(before, place, undone=bool(gap)))
        undone = None
        if gaps[-1]:
            before = self._add("until", self._until_undone(before, events[-1], gaps[-1]))
            undone = sql.is_null(sql.column(UNDONE))
        query = distinct_rows(sql.select({POSITION: sql.column(POSITION), FOUND: sql.boolean(True)}, sql.table(before), undone))
        query.set("with_", exp.With(expressions=[_part(name, part) for name, part in self.parts.items()]))
        return query

    def _add(self, name: str, query: exp.Query) -> str:
        name = self._part(name)
        self.parts[name] = query
        return name

    def _part(self, name: str) -> str:
        return f"{self.name}.{name}"

    # ---------------------------------------------------------------- steps

    def _first(self, place: int) -> exp.Select:
        state = {POSITION: sql.column(POSITION), AT: sql.column(AT)}
        if self.shape.whole is not None:
            state[BEGUN] = sql.column(AT)
        for former in self._asked_after(place):
            state[self._asked(former)] = sql.column(self.kept.carried(property_of(former)))
        return distinct_rows(sql.select(state, sql.table(self._part("rows")), has(place)))

    def _next(self, before: str, place: int, *, undone: bool) -> exp.Select:
        """The states after a step: those before it, each with every event that may follow."""
        state = {POSITION: sql.column(POSITION), AT: sql.column(NOW)}
        state |= {BEGUN: sql.column(BEGUN)} if self.shape.whole is not None else {}
        for asked in self._asked_after(place):
            own = _step(asked) == place
            state[self._asked(asked)] = sql.column(self.kept.carried(property_of(asked)) if own else self._asked(asked))
        bounds = list(self._in_time(self.shape.within(place), AT)) + list(self._in_time(self.shape.whole, BEGUN))
        if undone:
            later = exp.GTE(this=sql.column(UNDONE), expression=sql.column(NOW))
            bounds.append(sql.any_of([sql.is_null(sql.column(UNDONE)), later]))
        return distinct_rows(self._beside(before, place, state, bounds))

    def _in_time(self, length: int | None, since: str) -> Iterator[sql.Expr]:
        if length is not None:
            yield exp.GTE(this=self.ops("moved", sql.column(since), sql.integer(length)), expression=sql.column(NOW))

    def _until_undone(self, before: str, former: int, gap: Sequence[int]) -> exp.Select:
        """The states with the first later event of a step with `not`; NULL where there is none."""
        columns = [POSITION, AT, *([BEGUN] if self.shape.whole is not None else []), *map(self._asked, self._asked_after(former))]
        state = {name: sql.column(name) for name in columns}
        together: exp.Query = sql.select(state | {UNDONE: self.ops("null", "TIMESTAMP")}, sql.table(before))
        for place in gap:
            bounds: list[sql.Expr] = []
            if place in self.shape.own:
                bounds += self._in_time(self.shape.within(place), AT)
            elif place in self.shape.after:
                bounds += self._in_time(self.shape.whole, BEGUN)
            found = self._beside(before, place, state | {UNDONE: sql.column(NOW)}, bounds)
            together = exp.Union(this=together, expression=found, distinct=False)
        first = state | {UNDONE: self.ops("min", sql.column(UNDONE))}
        return grouped(sql.select({name: value.copy() for name, value in first.items()}, sql.subquery(together, "u")), columns)

    def _beside(self, before: str, place: int, state: Mapping[str, sql.Expr], bounds: Sequence[sql.Expr]) -> exp.Select:
        """The states before beside later rows of a step, where the step's conditions hold."""
        lowering = Lowering(self.ops, self.canon, {}, self.calendar, carried=self._carried(place), prefix=f"q{len(self.parts)}_")
        conditions = [lowering.condition(condition).expr for condition in separated(self.node.steps[place].events.where)[1]]
        rows = exp.Select(expressions=[exp.Column(this=exp.Star(), table=sql.identifier("l"))])
        carried = {self.kept.carried(value) for value in self.kept.values}
        for name, called in {AT: NOW, CHOICES: CHOICES, **{name: name for name in sorted(carried)}}.items():
            rows.append("expressions", sql.named(sql.column(name, "r"), called))
        rows.set("from_", exp.From(this=exp.alias_(sql.table(before), sql.identifier("l"), table=True)))
        same = exp.EQ(this=sql.column(POSITION, "l"), expression=sql.column(POSITION, "r"))
        later = exp.GT(this=sql.column(AT, "r"), expression=sql.column(AT, "l"))
        table = exp.alias_(sql.table(self._part("rows")), sql.identifier("r"), table=True)
        rows.set("joins", [exp.Join(this=table, on=sql.all_of([same, later]))])
        copied = {name: value.copy() for name, value in state.items()}
        return sql.select(copied, staged(lowering, rows), sql.all_of([has(place), *bounds, *conditions]))

    # ---------------------------------------------------------------- what steps ask

    def _asks(self, place: int) -> list[Value]:
        """What a step asks, of its own row and of former steps, where it asks both."""
        beside: tuple[Condition, ...] = separated(self.node.steps[place].events.where)[1]
        return list(dict.fromkeys(value for one in beside for value in of_rows(one)))

    def _asked_after(self, place: int) -> list[Value]:
        """What steps after that one ask of it and those before."""
        asked = [value for later in range(place + 1, len(self.node.steps)) for value in self._asks(later)]
        return list(dict.fromkeys(value for value in asked if -1 < _step(value) <= place))

    def _asked(self, value: Value) -> str:
        """The column of a state that has a former step's property."""
        return sql.internal(f"of step {_step(value)} {self.kept.values.index(property_of(value))}")

    def _carried(self, place: int) -> dict[Value, Sql]:
        """The columns that have what a step asks."""
        asked = {value: self.kept.carried(value) if _step(value) < 0 else self._asked(value) for value in self._asks(place)}
        return {value: _held(column, value) for value, column in asked.items()}


def _step(value: Value) -> int:
    """Which former step is asked; -1 for the row itself."""
    base = way(value)[0]
    return base.step if isinstance(base, Former) else -1


def _held(column: str, value: Value) -> Sql:
    return Sql(sql.column(column), value.type, held_as(value.type))


def _part(name: str, query: exp.Query) -> exp.CTE:
    return exp.CTE(this=query, alias=exp.TableAlias(this=sql.identifier(name)))
