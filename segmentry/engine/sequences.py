"""Who did a sequence, where no step asks a former one: window functions over each contact's instants, no pair of rows compared.

Rows of one instant are one row here: steps are at different instants, so only which choices there were at each matters.

**The fold.** Of all events that may end the first i steps, the latest one before an instant is the best to go on from:
its distance is smallest, fewer negated events lie between, and its latest beginning is no earlier than any other's. So
for each step there are two running values, the latest such event and the latest beginning of those that lead to it.

**A negated end within the whole's time** (`a, b, not c, within`) asks of a beginning s for an end e that it leads to, so
that no c lies in (e, s + within]: e must be at or after the last c up to s + within, and at most s + within. If s leads
to e, s' to e', s < s' and e' < e, then the ways cross, and s leads to e' and s' to e as well. From that: among the ends
up to the last one that s leads to at all, s leads to those that some beginning at or after s leads to. So the best end
for s is the last one it leads to, or if that is too late, the last end in time, provided that its latest beginning is
not before s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from sqlglot import exp

from segmentry.engine.gathered import AT, CHOICES, FOUND, POSITION, distinct_rows, grouped, has
from segmentry.engine.lowering import sql
from segmentry.engine.lowering.operations import NotExpressible, Operations
from segmentry.rules import nodes
from segmentry.rules.nodes import Duration
from segmentry.rules.times import SECONDS

END = sql.internal("end")
MICROS = sql.internal("micros")
MICROS_PER_SECOND = 1_000_000

BEFORE = {"start": "UNBOUNDED", "start_side": "PRECEDING", "end": sql.integer(1), "end_side": "PRECEDING"}
AFTER = {"start": sql.integer(1), "start_side": "FOLLOWING", "end": "UNBOUNDED", "end_side": "FOLLOWING"}


def micros(length: Duration) -> int:
    """An exact length."""
    return length.amount * SECONDS[length.unit] * MICROS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Shape:
    """A sequence's steps by their places: those that are events, those with `not` after each of them, and those after the last.

    `gaps[i]` belongs between event i and event i + 1. `own` are the steps after the last with a length of their own.
    """

    node: nodes.Sequence
    events: tuple[int, ...]
    gaps: tuple[tuple[int, ...], ...]
    after: tuple[int, ...]
    own: tuple[int, ...]

    def within(self, place: int) -> int | None:
        """How long a step may be after the one before it, in microseconds."""
        length = self.node.steps[place].within
        return None if length is None else micros(length)

    @property
    def whole(self) -> int | None:
        """How long all may take, in microseconds."""
        return None if self.node.within is None else micros(self.node.within)

    @property
    def ends_within_whole(self) -> bool:
        """Whether what is after the last event is bounded by the time of the whole."""
        return bool(self.after) and self.whole is not None


def shape(node: nodes.Sequence) -> Shape:
    """The steps of a sequence as they are looked for."""
    events = tuple(place for place, step in enumerate(node.steps) if not step.negated)
    edges = [*events, len(node.steps)]
    gaps = tuple(tuple(range(first + 1, end)) for first, end in pairwise(edges))
    after = gaps[-1]
    own = tuple(place for place in after if node.steps[place].within is not None)
    return Shape(node, events, gaps[:-1], tuple(place for place in after if place not in own), own)


def folded(node: nodes.Sequence, rows: exp.Query, ops: Operations) -> exp.Select:
    """The positions of the contacts that did a sequence none of whose steps asks a former one."""
    return _Fold(shape(node), ops).query(rows)


@dataclass
class _Fold:
    shape: Shape
    ops: Operations

    def query(self, rows: exp.Query) -> exp.Select:
        instants = {POSITION: sql.column(POSITION), AT: sql.column(AT), CHOICES: self.ops("bits", sql.column(CHOICES))}
        query = grouped(sql.select(instants, sql.subquery(rows, "r")), [POSITION, AT])
        query = self._forward(self._around(query))
        if self.shape.ends_within_whole and len(self.shape.events) > 1:
            query = self._backward(query)
            done = self._best_end_holds()
        else:
            done = self._done()
        return distinct_rows(sql.select({POSITION: sql.column(POSITION), FOUND: sql.boolean(True)}, sql.subquery(query, "s"), done))

    # ---------------------------------------------------------------- steps with `not`

    def _around(self, query: exp.Select) -> exp.Select:
        """For each gap its last negated event before an instant; and which instants are ends, as far as that is known by itself."""
        stage = {_last_not(i): self._over("max", has(*gap), BEFORE) for i, gap in enumerate(self.shape.gaps) if gap}
        stage |= {_next_not(place): self._over("min", has(place), AFTER) for place in (*self.shape.own, *self._after())}
        return _staged(_staged(query, stage), {END: self._is_end()})

    def _after(self) -> tuple[int, ...]:
        """The steps after the last that are judged where it ends: unless they go by the beginning of several."""
        return () if self.shape.whole is not None and len(self.shape.events) > 1 else self.shape.after

    def _is_end(self) -> sql.Expr:
        """Whether the last event is at an instant, and nothing after it that would undo it."""
        conditions = [has(self.shape.events[-1])]
        for place in (*self.shape.own, *self._after()):
            following = sql.column(_next_not(place))
            length = self.shape.within(place) if place in self.shape.own else self.shape.whole
            undone_by_none = sql.is_null(following)
            if length is not None:
                late = exp.GT(this=following.copy(), expression=self._moved(sql.column(AT), length))
                undone_by_none = sql.any_of([undone_by_none, late])
            conditions.append(undone_by_none)
        return sql.all_of(conditions)

    # ---------------------------------------------------------------- from the first step on

    def _forward(self, query: exp.Select) -> exp.Select:
        """For each step whether an instant may end the steps up to it, and the latest beginning from which it does."""
        events = self.shape.events
        first = {_ends(0): sql.column(END) if len(events) == 1 else has(events[0]), _begun(0): sql.column(AT)}
        query = _staged(query, first)
        for i, place in enumerate(events[1:], 1):
            latest, beginning = sql.internal(f"latest{i}"), _begun(i)
            running = {latest: self._over("max", sql.column(_ends(i - 1)), BEFORE)}
            running[beginning] = self._over("max", sql.column(_ends(i - 1)), BEFORE, sql.column(_begun(i - 1)))
            query = _staged(query, running)
            conditions = [sql.column(END) if i == len(events) - 1 else has(place), sql.is_set(sql.column(latest))]
            conditions += self._allowed(i, latest)
            query = _staged(query, {_ends(i): sql.all_of(conditions)})
        return query

    def _allowed(self, i: int, latest: str) -> Iterator[sql.Expr]:
        """What an instant must be for its step to follow the one at `latest`."""
        length = self.shape.within(self.shape.events[i])
        if length is not None:
            yield exp.GTE(this=self._moved(sql.column(latest), length), expression=sql.column(AT))
        if self.shape.gaps[i - 1]:
            between = sql.column(_last_not(i - 1))
            yield sql.any_of([sql.is_null(between), exp.LTE(this=between.copy(), expression=sql.column(latest))])

    def _done(self) -> sql.Expr:
        last = len(self.shape.events) - 1
        conditions: list[sql.Expr] = [sql.column(_ends(last))]
        if self.shape.whole is not None and last:
            in_time = self._moved(sql.column(_begun(last)), self.shape.whole)
            conditions.append(exp.GTE(this=in_time, expression=sql.column(AT)))
        return sql.all_of(conditions)

    # ---------------------------------------------------------------- a negated end within the whole's time

    def _backward(self, query: exp.Select) -> exp.Select:
        """For each instant the last end that it leads to as the first step; the last end in time, and the last event that undoes."""
        events, whole = self.shape.events, self.shape.whole
        assert whole is not None
        if self.ops.dialect != "duckdb":  # frames of lengths that differ by row, over numbers that no instant overflows
            raise NotExpressible("a sequence of several events that ends with `not`, within the time of the whole", "X110")
        last = len(events) - 1
        query = _staged(query, {MICROS: sql.cast(sql.call("epoch_us", sql.column(AT)), "HUGEINT")})
        query = _staged(query, {_leads(last): sql.when(sql.column(END), sql.column(MICROS))})
        for i in range(last - 1, -1, -1):
            gap, length = self.shape.gaps[i], self.shape.within(events[i + 1])
            limits: list[sql.Expr] = []
            if gap:
                following = sql.internal(f"not after{i}")
                query = _staged(query, {following: self._over("min", has(*gap), AFTER, sql.column(MICROS))})
                limits.append(sql.infix(exp.Sub, sql.column(following), sql.column(MICROS)))
            if length is not None:
                limits.append(_exact(length))
            ahead: dict[str, object] = {"end": "UNBOUNDED", "end_side": "FOLLOWING"}
            if limits:
                reach = sql.call("coalesce", self.ops("least", *limits) if len(limits) > 1 else limits[0], _exact(FARTHEST))
                ahead["end"] = exp.Paren(this=reach)
            onward = self._range("max", sql.column(_leads(i + 1)), {"start": sql.integer(1), "start_side": "FOLLOWING"} | ahead)
            query = _staged(query, {_leads(i): sql.when(has(events[i]), onward)})
        until = {"start": "UNBOUNDED", "start_side": "PRECEDING", "end": _exact(whole), "end_side": "FOLLOWING"}
        ends = sql.column(_ends(last))
        stage = {
            "last end": self._range("max", sql.when(ends, sql.column(MICROS)), until),
            "its beginning": self._range("max", sql.when(ends.copy(), sql.column(_begun(last))), until),
            "undone": self._range("max", sql.when(has(*self.shape.after), sql.column(MICROS)), until),
        }
        return _staged(query, {sql.internal(name): value for name, value in stage.items()})

    def _best_end_holds(self) -> sql.Expr:
        """Whether an instant begins a sequence that nothing undoes."""
        leads, last_end = sql.column(_leads(0)), sql.column(sql.internal("last end"))
        beginning, undone = sql.column(sql.internal("its beginning")), sql.column(sql.internal("undone"))
        in_reach = exp.LTE(this=leads, expression=last_end)
        led_to = exp.GTE(this=beginning, expression=sql.column(AT))
        best = exp.Case(ifs=[exp.If(this=in_reach, true=leads.copy()), exp.If(this=led_to, true=last_end.copy())])
        holds = sql.any_of([sql.is_null(undone), exp.GTE(this=sql.paren(best), expression=undone.copy())])
        return sql.all_of([has(self.shape.events[0]), sql.is_set(leads.copy()), sql.is_set(best.copy()), holds])

    # ---------------------------------------------------------------- windows

    def _moved(self, instant: sql.Expr, length: int) -> sql.Expr:
        return self.ops("moved", instant, sql.integer(length))

    def _over(self, function: str, rows: sql.Expr, frame: dict[str, object], value: sql.Expr | None = None) -> sql.Expr:
        """An aggregate over a contact's chosen instants before or after one."""
        chosen = self.ops(function, sql.when(rows, sql.column(AT) if value is None else value))
        return _window(chosen, AT, "ROWS", frame)

    def _range(self, function: str, value: sql.Expr, frame: dict[str, object]) -> sql.Expr:
        """An aggregate over a contact's instants within lengths of time of one."""
        return _window(self.ops(function, value), MICROS, "RANGE", frame)


FARTHEST = 2 * 2**63
"""Microseconds that lie between no two instants."""


def _exact(length: int) -> sql.Expr:
    return sql.cast(sql.integer(length), "HUGEINT")


def _window(aggregate: sql.Expr, by: str, kind: str, frame: dict[str, object]) -> sql.Expr:
    order = exp.Order(expressions=[exp.Ordered(this=sql.column(by))])
    spec = exp.WindowSpec(kind=kind, **{key: part.copy() if isinstance(part, exp.Expr) else part for key, part in frame.items()})
    return exp.Window(this=aggregate, partition_by=[sql.column(POSITION)], order=order, spec=spec)


def _staged(query: exp.Select, columns: dict[str, sql.Expr]) -> exp.Select:
    """The query with further columns beside its own."""
    if not columns:
        return query
    wider = exp.Select(expressions=[exp.Star(), *(sql.named(value, name) for name, value in columns.items())])
    wider.set("from_", exp.From(this=sql.subquery(query, "s")))
    return wider


def _numbered(name: str) -> Callable[[int], str]:
    return lambda number: sql.internal(f"{name}{number}")


_last_not, _next_not, _ends, _begun, _leads = map(_numbered, ("last not", "next not", "ends", "begun", "leads"))
