"""Peer 1: what a data team writes today. One DuckDB query per segment into a long table, the difference by `except`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from benchmarks.conditions import ANY, Attribute, Behaviour, Condition
from benchmarks.data import event_files, snapshot
from benchmarks.peers.contract import MEMORY, THREADS, Answer
from benchmarks.peers.contract import STEPS as ALL_STEPS

if TYPE_CHECKING:
    from benchmarks.conditions import Segment

STEPS = ("first", "full", "clock", "preview")

OPERATORS = {
    "=": "{field} = '{value}'",
    "!=": "{field} is distinct from '{value}'",
    "in": "{field} in {value}",
    ">=": "{field} >= {value}",
    ">": "{field} > {value}",
    "last": "{field} > {now} - interval {value} day and {field} <= {now}",
    "before": "{field} < timestamptz '{value} 00:00:00+00'",
    "between": "{field} between '{first}' and '{final}'",
    "contains": "{field} like '%{value}%'",
    "ends": "{field} like '%{value}'",
    "starts": "{field} like '{value}%'",
    "matches": "regexp_matches({field}, '{value}')",
    "set": "{field} is not null",
}

MEASURES = {
    "did": "",
    "count": "group by contact_id having count(*) >= {number}",
    "sum": "group by contact_id having sum(amount) >= {number}",
    "avg": "group by contact_id having sum(amount) > {number} * count(*)",
    "last": "group by contact_id having max(happened_at) < {now} - interval {days} day",
}


def written(condition: Condition, as_of: datetime) -> str:
    """A condition in SQL; never null."""
    now = f"timestamptz '{as_of:%Y-%m-%d %H:%M:%S}+00'"
    if isinstance(condition, Attribute):
        value = condition.value
        first, final = (value[0], value[-1]) if isinstance(value, tuple) else ("", "")
        text = OPERATORS[condition.operator].format(field=condition.field, value=value, first=first, final=final, now=now)
        return f"coalesce({text}, false)"
    return _behaviour(condition, now)


def _behaviour(condition: Behaviour, now: str) -> str:
    rows = [f"happened_at <= {now}"]
    if condition.event != ANY:
        rows.append(f"event = '{condition.event}'")
    if condition.where:
        rows.append("{} = '{}'".format(*condition.where))
    if condition.measure != "last":
        rows.append(f"happened_at > {now} - interval {condition.days} day")
    grouped = MEASURES[condition.measure].format(number=condition.number, days=condition.days, now=now)
    without = condition.below or not condition.number
    return f"contact_id {'not in' if without else 'in'} (select contact_id from events where {' and '.join(rows)} {grouped})"


def _open(folder: Path) -> duckdb.DuckDBPyConnection:
    db = duckdb.connect(folder / "duckdb_sql" / "members.duckdb")
    db.execute(f"set threads = {THREADS}; set memory_limit = '{MEMORY}'; set timezone = 'UTC'")
    return db


def _look_at(db: duckdb.DuckDBPyConnection, folder: Path, as_of: datetime) -> None:
    files = [str(file) for file in event_files(folder, as_of)]
    db.execute(f"create or replace temp view contacts as from '{snapshot(folder, as_of)}'")
    db.execute(f"create or replace temp view events as from read_parquet({files})")


def prepare(folder: Path, segments: list[Segment], step: str) -> None:
    if step == "first":
        (folder / "duckdb_sql").mkdir()
        with _open(folder) as db:
            db.execute("create table members (segment varchar, contact bigint)")
            db.execute("create table changes (segment varchar, contact bigint, change varchar)")


def recompute(folder: Path, segments: list[Segment], step: str) -> None:
    as_of = ALL_STEPS[step].as_of
    with _open(folder) as db:
        _look_at(db, folder, as_of)
        if step == "preview":
            where = " and ".join(written(condition, as_of) for condition in segments[0].conditions)
            found = db.sql(f"select *, count(*) over () as found from contacts where {where} limit 20").pl()
            print(found["found"][0])
            return
        db.execute("begin; create table latest (segment varchar, contact bigint)")
        for segment in segments:
            where = f" {segment.joint} ".join(f"({written(condition, as_of)})" for condition in segment.conditions)
            if segment.member:
                where = f"({where}) and contact_id in (select contact from latest where segment = '{segment.member}')"
            db.execute(f"insert into latest select '{segment.name}', contact_id from contacts where {where}")
        db.execute("delete from changes")
        db.execute("insert into changes select *, 'entered' from (from latest except from members)")
        db.execute("insert into changes select *, 'exited' from (from members except from latest)")
        db.execute("drop table members; alter table latest rename to members; commit")


def answers(folder: Path, segments: list[Segment], step: str) -> Iterator[Answer]:
    with _open(folder) as db:
        for segment in segments:
            members, changed = (
                db.sql(f"select contact from {table} where segment = '{segment.name}'").pl()["contact"] for table in ("members", "changes")
            )
            yield Answer(segment.name, members, None if step == "first" else changed)
