"""Populations in one SQL statement: their orders as window functions, which give exactly the places that a run computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import exp

from segmentry.engine.gathered import POSITION
from segmentry.engine.lowering import sql
from segmentry.engine.lowering.operations import Operations
from segmentry.engine.populations import Level, Ranking
from segmentry.rules.nodes import Foremost, Ranked, Standing

WIDEST_SHARE = "DECIMAL(23,0)"
"""Holds the terms of a share that is written with 20 places."""
PLACES = "DECIMAL(14,0)"


def values_table(level: Level) -> str:
    """What the contacts of a level are put in order by."""
    return sql.internal(f"populations{level.number}")


def standings_query(ops: Operations, level: Level, rows: exp.Select, among: Mapping[int, sql.Expr]) -> exp.Select:
    """Every contact with what is read from its places: false, or missing, for who is in no order.

    `rows` has the level's values, and what `among` reads: by an order's number, who may be in it. All orders are made over
    one reading of the rows, as an engine that writes a table out where it is named (Spark does) would make it again for each.
    """
    ordered = exp.Select(expressions=[exp.Star()])
    ordered.from_(sql.subquery(rows, "p"), copy=False)
    selected: dict[str, sql.Expr] = {POSITION: sql.column(POSITION)}
    for number, ranking in enumerate(level.rankings):
        plain = {column: _with_one_zero(ops, level, column) for column in (ranking.by, ranking.per) if column is not None}
        conditions = [sql.is_set(sql.column(column)) for column in plain] + ([among[number]] if number in among else [])
        ordered.append("expressions", sql.named(sql.all_of(conditions), _within(number)))
        selected |= _places(ops, ranking, sql.column(_within(number)), plain)
    return sql.select(selected, sql.subquery(ordered, "o"))


def _within(number: int) -> str:
    """Whether a contact is in an order."""
    return sql.internal(f"in{number}")


def _places(ops: Operations, ranking: Ranking, within: sql.Expr, plain: Mapping[str, sql.Expr]) -> dict[str, sql.Expr]:
    """The columns that are read from one order. Whoever isn't in it is put in an order apart, of which nothing is read."""
    per = [within] if ranking.per is None else [within, plain[ranking.per]]
    first = exp.Ordered(this=plain[ranking.by], desc=ranking.falling, nulls_first=False)
    order = exp.Order(expressions=[first, exp.Ordered(this=sql.column(POSITION), desc=False, nulls_first=False)])

    def over(function: sql.Expr, *, ordered: bool) -> sql.Expr:
        # rendered more than once, so every use has trees of its own
        window = exp.Window(this=function, partition_by=[one.copy() for one in per])
        if ordered:
            window.set("order", order.copy())
        return window

    place = over(sql.call("row_number"), ordered=True)
    size = over(sql.call("count", exp.Star()), ordered=False)
    columns: dict[str, sql.Expr] = {}
    for column, foremost in ranking.foremost.items():
        columns[column] = sql.when(within.copy(), _is_foremost(ops, foremost, place.copy(), size.copy()), sql.boolean(False))
    for column, ranked in ranking.standings.items():
        parts = over(sql.call("ntile", sql.integer(ranked.parts)), ordered=True)
        columns[column] = sql.when(within.copy(), ops("cast", _standing(ranked, place.copy(), size.copy(), parts), "BIGINT"))
    return columns


def foremost_columns(levels: tuple[Level, ...]) -> Iterator[tuple[str, list[str]]]:
    """The tables of standings, and which conditions each has."""
    for level in levels:
        columns = [column for ranking in level.rankings for column in ranking.foremost]
        if columns:
            yield level.table, columns


def _with_one_zero(ops: Operations, level: Level, column: str) -> sql.Expr:
    """A value to order and group by: -0.0 equals 0.0, which not every engine's order says."""
    if not level.values[column].type.is_float:
        return sql.column(column)
    zero = ops("cast", sql.integer(0), "FLOAT" if level.values[column].type.width == 32 else "DOUBLE")
    return sql.when(exp.EQ(this=sql.column(column), expression=zero), zero.copy(), sql.column(column))


def _is_foremost(ops: Operations, wanted: Foremost, place: sql.Expr, size: sql.Expr) -> sql.Expr:
    if wanted.share is None:
        assert wanted.count is not None
        return sql.infix(exp.LTE, place, sql.integer(wanted.count))
    # place <= ceil(size * share), in whole numbers
    before = sql.infix(exp.Sub, ops("cast", place, PLACES), sql.integer(1))
    left = sql.infix(exp.Mul, ops("cast", before, PLACES), ops("cast", sql.integer(wanted.share.denominator), WIDEST_SHARE))
    right = sql.infix(exp.Mul, ops("cast", size, PLACES), ops("cast", sql.integer(wanted.share.numerator), WIDEST_SHARE))
    return sql.infix(exp.LT, left, right)


def _standing(wanted: Ranked, place: sql.Expr, size: sql.Expr, part: sql.Expr) -> sql.Expr:
    told: Mapping[Standing, sql.Expr] = {Standing.PLACE: place, Standing.SIZE: size, Standing.PART: part}
    return told[wanted.standing]
