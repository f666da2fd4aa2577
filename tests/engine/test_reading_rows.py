"""The rows of some contacts are those that polars would find among all rows, whatever the keys and columns are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from segmentry.engine.people import Snapshot
from segmentry.engine.reading_rows import rows_in_passing, rows_of_snapshot
from segmentry.engine.snapshot import Column, ContactSource, Format, PinnedFile, Relation

KEYS = {
    "BIGINT": "i - 50",
    "UTINYINT": "i",
    "UBIGINT": "i + 18446744073709551490",
    "VARCHAR": "case when i % 3 = 0 then '' || i else 'Ä ''' || i end",
    "UUID": "printf('ABCDEF00-0000-4000-8000-%012d', i)::uuid",
}
COLUMNS = {"key": "", "^.*$": "INTEGER", "it's a name": "VARCHAR", "span": "INTERVAL", "tags": "VARCHAR[]", "sum": "DECIMAL(12,2)"}


def source(folder: Path, kind: str) -> ContactSource:
    """Contacts in two files, of which the second lacks a column."""
    made = f"""
        select ({KEYS[kind]})::{kind} as key, (nullif(i, 5))::integer as "^.*$", 'x' || i as "it's a name",
            to_days(i::integer) as span, ['t' || i] as tags, (i / 100)::decimal(12, 2) as sum
        from range(100) t(i)
    """
    paths = [folder / "1.parquet", folder / "2.parquet"]
    duckdb.sql(f"copy (from ({made}) limit 60) to '{paths[0]}'")
    duckdb.sql(f"copy (select * exclude (sum) from ({made}) offset 60) to '{paths[1]}'")
    columns = {name: Column(name, None, stored or kind) for name, stored in COLUMNS.items()}
    return ContactSource(Relation(columns, tuple(PinnedFile(str(path), 0, 0, None, "") for path in paths)), "key")


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("many", [0, 1, 7, 100])
def test_rows_of_some_contacts(tmp_path: Path, kind: str, many: int) -> None:
    contacts = source(tmp_path, kind)
    everybody = pl.Series("key", duckdb.sql(f"select ({KEYS[kind]})::{kind} as key from range(120) t(i)").pl()["key"])
    keys = everybody.sample(many, seed=many)  # some are not there
    columns = ["sum", "^.*$", "never there", "span", "it's a name", "tags", "key", "sum"]
    found = rows_of_snapshot(contacts, keys, columns)
    assert_frame_equal(found, rows_in_passing(contacts, keys, columns), check_row_order=False, check_column_order=False)
    assert sorted(found["key"].to_list()) == sorted(key for key in keys.to_list() if key in everybody.head(100).to_list())
    assert found["never there"].null_count() == found.height


@pytest.mark.parametrize("text", [True, False])
def test_keys_of_another_type_than_the_column(tmp_path: Path, text: bool) -> None:
    """The newest snapshot may have another type than an accepted run's keys."""
    contacts = source(tmp_path, "VARCHAR" if not text else "UTINYINT")
    keys = pl.Series("key", ["3", "70"]) if text else pl.Series("key", [3, 60, 61])
    assert_frame_equal(rows_of_snapshot(contacts, keys, ["tags"]), rows_in_passing(contacts, keys, ["tags"]), check_row_order=False)
    assert rows_of_snapshot(contacts, keys, ["tags"]).height == 2


def test_values_of_an_enumeration_are_keys(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("key,name\na,Ann\nb,Ben\nc,Cy\n")
    declared = {"key": "ENUM('a', 'b', 'c')", "name": "VARCHAR"}
    columns = {name: Column(name, None, stored) for name, stored in declared.items()}
    relation = Relation(columns, (PinnedFile(str(tmp_path / "1.csv"), 0, 0, None, ""),), Format.CSV, declared=declared)
    found = rows_of_snapshot(ContactSource(relation, "key"), pl.Series("key", ["a", "c", "d"]), ["name"])
    assert sorted(found["name"]) == ["Ann", "Cy"]


def test_rows_that_were_read_ahead(tmp_path: Path) -> None:
    """Whoever asks for no more is told the same without another reading; whoever asks for more is told what there is."""
    contacts = source(tmp_path, "BIGINT")
    readings = []

    def read(keys: pl.Series, columns: Sequence[str]) -> pl.DataFrame:
        readings.append(len(keys))
        return rows_of_snapshot(contacts, keys, columns)

    keys = pl.Series("key", range(-60, 20))  # the first ten are not there
    ahead = Snapshot("key", None, read).ahead(keys, ["tags", "^.*$", "never there"])
    assert readings == [80]
    for asked in (keys, keys.head(15), keys.head(3), keys.head(0), pl.Series("key", [7, -50, 7])):
        for names in (["tags"], ["^.*$", "key", "never there"], []):
            told = ahead.rows(asked, names)
            assert_frame_equal(told, rows_of_snapshot(contacts, asked, names), check_row_order=False)
    assert readings == [80]
    assert ahead.rows(pl.Series("key", [7, 20]), ["tags"]).height == 2
    assert ahead.rows(keys, ["tags", "sum"])["sum"].count() == 60
    assert readings == [80, 2, 80]
