"""Peer 2: Polars. Lazy, streaming, one aggregation per event, all segments collected together; the difference by exclusive or."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import and_, or_
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from benchmarks.conditions import ANY, Attribute, Behaviour, Condition
from benchmarks.data import event_files, snapshot
from benchmarks.peers.contract import STEPS as ALL_STEPS
from benchmarks.peers.contract import Answer

if TYPE_CHECKING:
    from benchmarks.conditions import Segment

STEPS = ("first", "full", "clock")
FORMER = {"full": "first", "clock": "full"}


OPERATORS: dict[str, Callable[[pl.Expr, Any, datetime], pl.Expr]] = {
    "=": lambda field, value, _: field == value,
    "!=": lambda field, value, _: field.ne_missing(pl.lit(value)),
    "in": lambda field, value, _: field.is_in(list(value)),
    ">=": lambda field, value, _: field >= value,
    ">": lambda field, value, _: field > value,
    "last": lambda field, value, as_of: (field > as_of - timedelta(days=value)) & (field <= as_of),
    "before": lambda field, value, _: field < datetime(value.year, value.month, value.day, tzinfo=UTC),
    "between": lambda field, value, _: field.is_between(*value),
    "contains": lambda field, value, _: field.str.contains(value, literal=True),
    "ends": lambda field, value, _: field.str.ends_with(value),
    "starts": lambda field, value, _: field.str.starts_with(value),
    "matches": lambda field, value, _: field.str.contains(value),
    "set": lambda field, _value, _: field.is_not_null(),
}


def _attribute(condition: Attribute, as_of: datetime) -> pl.Expr:
    found = OPERATORS[condition.operator](pl.col(condition.field), condition.value, as_of)
    return found.fill_null(value=False)


class _Aggregates:
    """The aggregates that conditions need, an event name each; a window's conditions are about the last time alone."""

    def __init__(self, as_of: datetime) -> None:
        self.as_of = as_of
        self.of: dict[str, dict[str, pl.Expr]] = {}
        self.days: dict[str, int] = {}

    def condition(self, one: Behaviour) -> pl.Expr:
        bound = self.as_of - timedelta(days=one.days)
        within = pl.col("happened_at") > bound
        rows = pl.col(one.where[0]) == one.where[1] if one.where else pl.lit(value=True)
        self.days[one.event] = max(self.days.get(one.event, 0), 36_500 if one.measure == "last" else one.days)
        if one.measure in ("did", "last"):
            last = self._add(
                one.event, f"last {one.where}", pl.col("happened_at").filter(rows).max() if one.where else pl.max("happened_at")
            )
            if one.measure == "last":
                return (last < bound).fill_null(value=False)
            did = (last > bound).fill_null(value=False)
            return did if one.number else ~did
        count = self._add(one.event, f"count {one.days}", within.sum()) if one.measure != "sum" else pl.lit(0)
        if one.measure == "count":
            return count.fill_null(0) < one.number if one.below else (count >= one.number).fill_null(value=False)
        total = self._add(one.event, f"sum {one.days}", pl.col("amount").filter(within).sum())
        return (total > one.number * count if one.measure == "avg" else total >= one.number).fill_null(value=False)

    def _add(self, event: str, name: str, expr: pl.Expr) -> pl.Expr:
        self.of.setdefault(event, {})[name] = expr
        return pl.col(f"{event} {name}")

    def joined(self, contacts: pl.LazyFrame, events: pl.LazyFrame) -> pl.LazyFrame:
        for event, parts in self.of.items():
            first = self.as_of - timedelta(days=self.days[event])
            rows = events.filter(pl.col("happened_at") <= self.as_of, pl.col("happened_at") > first)
            if event != ANY:
                rows = rows.filter(pl.col("event") == event)
            grouped = rows.group_by("contact_id").agg(expr.alias(f"{event} {name}") for name, expr in parts.items())
            contacts = contacts.join(grouped, on="contact_id", how="left", maintain_order="left")
        return contacts


def prepare(folder: Path, segments: list[Segment], step: str) -> None:
    (folder / "polars_lazy").mkdir(exist_ok=True)


def recompute(folder: Path, segments: list[Segment], step: str) -> None:
    as_of = ALL_STEPS[step].as_of
    aggregates = _Aggregates(as_of)
    conditions: dict[Condition, str] = {}
    wanted: list[pl.Expr] = []
    for segment in segments:
        for condition in segment.conditions:
            if condition not in conditions:
                conditions[condition] = f"c{len(conditions)}"
                made = _attribute(condition, as_of) if isinstance(condition, Attribute) else aggregates.condition(condition)
                wanted.append(made.alias(conditions[condition]))
    whole: dict[str, pl.Expr] = {}
    for segment in segments:
        own = [pl.col(conditions[condition]) for condition in segment.conditions]
        found = reduce(and_ if segment.joint == "and" else or_, own)
        whole[segment.name] = found & whole[segment.member] if segment.member else found
    contacts = aggregates.joined(pl.scan_parquet(snapshot(folder, as_of)), pl.scan_parquet(event_files(folder, as_of)))
    rows = contacts.select("contact_id", *wanted).select("contact_id", *(expr.alias(name) for name, expr in whole.items()))
    rows.sink_parquet(_file(folder, step), compression="zstd", compression_level=1, engine="streaming")
    if step in FORMER:
        _compare(folder, segments, step)


def _compare(folder: Path, segments: list[Segment], step: str) -> None:
    """Both snapshots have the contacts in the same order, so the bits line up; were it not so, they would be joined."""
    now, then = _file(folder, step), _file(folder, FORMER[step])
    keys = pl.read_parquet(now, columns=["contact_id"])["contact_id"]
    if not keys.equals(pl.read_parquet(then, columns=["contact_id"])["contact_id"]):
        raise SystemExit("the contacts are in another order")
    changes = []
    for segment in segments:
        current, former = (pl.read_parquet(file, columns=[segment.name])[segment.name] for file in (now, then))
        changed = (current ^ former).arg_true()
        changes.append(
            pl.DataFrame({"contact": keys.gather(changed), "entered": current.gather(changed)}).insert_column(
                0, pl.lit(segment.name).alias("segment")
            )
        )
    pl.concat(changes).write_parquet(_file(folder, step, "changes"))


def _file(folder: Path, step: str, what: str = "members") -> Path:
    return folder / "polars_lazy" / f"{what}-{step}.parquet"


def answers(folder: Path, segments: list[Segment], step: str) -> Iterator[Answer]:
    changes = pl.read_parquet(_file(folder, step, "changes")) if step in FORMER else None
    keys = pl.read_parquet(_file(folder, step), columns=["contact_id"])["contact_id"]
    for segment in segments:
        bits = pl.read_parquet(_file(folder, step), columns=[segment.name])[segment.name]
        changed = None if changes is None else changes.filter(segment=segment.name)["contact"]
        yield Answer(segment.name, keys.filter(bits), changed)
