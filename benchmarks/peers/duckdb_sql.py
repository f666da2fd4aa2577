"""Peer 1: what a data team writes today. One DuckDB query per segment into a long table, the difference by `except`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from benchmarks.data import FIRST
from benchmarks.peers.contract import MEMORY, THREADS

if TYPE_CHECKING:
    import polars as pl

    from benchmarks.segments import Segment


def _open(folder: Path) -> duckdb.DuckDBPyConnection:
    db = duckdb.connect(folder / "duckdb_sql" / "members.duckdb")
    db.execute(f"set threads = {THREADS}; set memory_limit = '{MEMORY}'; set timezone = 'UTC'")
    return db


def prepare(folder: Path, segments: list[Segment]) -> None:
    (folder / "duckdb_sql").mkdir()
    with _open(folder) as db:
        db.execute("create table members (segment varchar, contact bigint)")
        db.execute("create table changes (segment varchar, contact bigint, change varchar)")


def recompute(folder: Path, segments: list[Segment], as_of: datetime) -> None:
    now = f"{as_of:%Y-%m-%d %H:%M:%S}+00"
    with _open(folder) as db:
        db.execute(f"create or replace temp view contacts as from '{folder}/data/contacts/{as_of:%Y-%m-%dT%H}.parquet'")
        # A team knows which files it has: the hour's events are not there before the hour is over.
        files = "part-*" if as_of == FIRST else "*"
        db.execute(f"create or replace temp view events as from '{folder}/data/events/{files}.parquet'")
        db.execute("create table latest (segment varchar, contact bigint)")
        for segment in segments:
            where = f" {segment.joint} ".join(f"({condition.sql.replace('{as_of}', now)})" for condition in segment.conditions)
            if segment.member:
                where = f"({where}) and contact_id in (select contact from latest where segment = '{segment.member}')"
            db.execute(f"insert into latest select '{segment.name}', contact_id from contacts where {where}")
        db.execute("delete from changes")
        db.execute("insert into changes select *, 'entered' from (from latest except from members)")
        db.execute("insert into changes select *, 'exited' from (from members except from latest)")
        db.execute("drop table members; alter table latest rename to members")


def answers(folder: Path, segments: list[Segment]) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    with _open(folder) as db:
        return db.sql("from members").pl().lazy(), db.sql("from changes").pl().lazy()
