"""The rows of a few contacts: the very values that DuckDB reads, or none at all, so that DuckDB reads them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentry.engine import few_rows as reader
from segmentry.engine.columns import language_type
from segmentry.engine.few_rows import few_rows
from segmentry.engine.snapshot import Column, Format, PinnedFile, Relation

GIB = 1 << 30


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "FEWEST_ROWS", 0)


def relation(*paths: Path) -> Relation:
    """Parquet files as a run pins them."""
    files = tuple(PinnedFile(str(path), path.stat().st_size, 0, pq.read_metadata(path).num_rows, "") for path in paths)
    read = f"read_parquet({[file.path for file in files]}, union_by_name = true)"
    described = duckdb.sql(f"describe select * from {read}").fetchall()
    return Relation({name: Column(name, language_type(stored), stored) for name, stored, *_ in described}, files)


def found(source: Relation, *keys: object, memory: int = GIB) -> pl.DataFrame | None:
    return few_rows(source, "id", list(source.columns), pl.Series(keys), source, memory)


def written(path: Path, columns: dict[str, pa.Array]) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


EDGE = 2**63 - 1
MIDNIGHT = datetime.fromisoformat("2026-01-01")
SMALL = (pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32())
TIMES = (pa.timestamp("us"), pa.timestamp("us", "UTC"))
VALUES: dict[str, list[pa.Array]] = {
    "texts": [pa.array(["", "a", None, "Ä\u0000", "x" * 300]), pa.array(["a", "b", "a", None, ""])],
    "booleans": [pa.array([True, False, None, True, False])],
    "integers": [pa.array([0, 1, None, 3, 100], kind) for kind in SMALL],
    "long integers": [pa.array([EDGE, -EDGE - 1, None, 0, 1], pa.int64()), pa.array([2**64 - 1, 0, None, 1, 2], pa.uint64())],
    "floats": [pa.array([float("nan"), -0.0, None, float("inf"), 1e-310], kind) for kind in (pa.float64(), pa.float32())],
    "dates": [pa.array([date(1, 1, 1), date(9999, 12, 31), None, date(1970, 1, 1), date(1582, 10, 10)])],
    "days of no calendar": [pa.array([2**31 - 1, -(2**31) + 1, None, 0, 10**8], pa.int32()).cast(pa.date32())],
    "times": [pa.array([-1, 0, None, 1, 253402300799999999], pa.int64()).cast(kind) for kind in TIMES],
    "times without end": [pa.array([EDGE, -EDGE, None, 0, EDGE - 1], pa.int64()).cast(kind) for kind in TIMES],
    "decimals": [pa.array([*map(Decimal, ("-99.99", "0.01")), None, Decimal(0), Decimal(9)], pa.decimal128(n, 2)) for n in (4, 12, 20)],
    "long decimals": [pa.array([Decimal(10**37), Decimal(-(10**37)), None, Decimal(0), Decimal(1)], pa.decimal128(38, 0))],
}


@pytest.mark.parametrize("of", VALUES)
def test_they_are_what_duckdb_reads(of: str, tmp_path: Path) -> None:
    for number, values in enumerate(VALUES[of]):
        path = written(tmp_path / f"{number}.parquet", {"id": pa.array([1, 2, 3, 4, 5]), "value": values})
        few = found(relation(path), 1, 2, 3, 5, 7)
        assert few is not None, values.type
        mine, theirs = "select * from few", f"select * from read_parquet('{path}') where id <> 4"
        assert duckdb.sql(mine).types == duckdb.sql(theirs).types
        as_text = "select id, value::varchar from ({})"
        assert duckdb.sql(as_text.format(mine)).fetchall() == duckdb.sql(as_text.format(theirs)).fetchall()


@pytest.mark.parametrize(
    "values",
    [
        pa.array([MIDNIGHT] * 2, pa.timestamp("ms")),
        pa.array([MIDNIGHT] * 2, pa.timestamp("ns")),
        pa.array([MIDNIGHT] * 2, pa.timestamp("us", "Europe/Berlin")),
        pa.array([["a"], None]),
        pa.array([{"a": 1}, None]),
        pa.array([b"a", b"\xff"]),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.array([1, 2], pa.time64("us")),
    ],
    ids=lambda values: str(values.type),
)
def test_other_types_are_either_the_same_or_left_to_duckdb(values: pa.Array, tmp_path: Path) -> None:
    path = written(tmp_path / "one.parquet", {"id": pa.array([1, 2]), "value": values})
    few = found(relation(path), 1)
    read = duckdb.sql(f"select * from read_parquet('{path}') where id = 1")
    assert few is None or duckdb.sql("select * from few").types == read.types


def test_times_of_96_bits_are_left_to_duckdb(tmp_path: Path) -> None:
    path = tmp_path / "one.parquet"
    pq.write_table(pa.table({"id": [1, 2], "value": [MIDNIGHT] * 2}), path, use_deprecated_int96_timestamps=True)
    assert found(relation(path), 1) is None


@pytest.mark.parametrize(
    ("stored", "keys"),
    [(pa.int64(), [1, 3, 9]), (pa.int8(), [1, 3, 1000]), (pa.uint64(), [1, 3, -1]), (pa.string(), ["1", "3", "9", ""])],
    ids=str,
)
def test_keys_of_every_kind(stored: pa.DataType, keys: list[object], tmp_path: Path) -> None:
    source = relation(
        written(tmp_path / "one.parquet", {"id": pa.array([1, 2, 3, None, 3]).cast(stored), "value": pa.array([1, 2, 3, 4, 5])})
    )
    few = found(source, *keys)
    assert few is not None
    assert few["value"].to_list() == [1, 3, 5]


def test_keys_of_different_kinds_are_left_to_duckdb(tmp_path: Path) -> None:
    path = tmp_path / "uuid.parquet"
    duckdb.execute(f"copy (select uuid() as id) to '{path}'")
    assert found(relation(path), "6a0b4c55-9d0e-4b8f-8c3f-9a110d1c527d") is None
    source = relation(written(tmp_path / "one.parquet", {"id": pa.array(["1", "2"])}))
    assert found(source, 1) is None
    assert found(relation(written(tmp_path / "two.parquet", {"id": pa.array([1.0, 2.0])})), 1) is None


def second_file(tmp_path: Path, columns: dict[str, pa.Array]) -> Relation:
    one = written(tmp_path / "one.parquet", {"id": pa.array([1]), "value": pa.array(["a"])})
    return relation(one, written(tmp_path / "two.parquet", columns))


def test_rows_of_several_files(tmp_path: Path) -> None:
    few = found(second_file(tmp_path, {"id": pa.array([2, 1]), "value": pa.array(["b", "c"])}), 1)
    assert few is not None
    assert few["value"].to_list() == ["a", "c"]


@pytest.mark.parametrize(
    "columns",
    [
        {"id": pa.array([1])},
        {"id": pa.array([1], pa.int32()), "value": pa.array(["a"])},
        {"value": pa.array(["a"]), "id": pa.array([1])},
        {"id": pa.array([1]), "Value": pa.array(["a"])},
    ],
    ids=["a column fewer", "another type", "another order", "other letters"],
)
def test_files_of_different_columns_are_left_to_duckdb(columns: dict[str, pa.Array], tmp_path: Path) -> None:
    assert found(second_file(tmp_path, columns), 1) is None


def test_other_files_and_frames_are_left_to_duckdb(tmp_path: Path) -> None:
    source = relation(written(tmp_path / "one.parquet", {"id": pa.array([1])}))
    for other in ({"format": Format.CSV}, {"hive": True}, {"frame": "frame", "files": ()}, {"files": ()}):
        assert found(Relation(**{"columns": source.columns, "files": source.files, **other}), 1) is None  # type: ignore[arg-type]


def test_few_rows_and_large_row_groups_are_left_to_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = relation(written(tmp_path / "one.parquet", {"id": pa.array([1, 2, 3]), "value": pa.array(["a" * 1000] * 3)}))
    assert found(source, 1) is not None
    assert found(source, 1, memory=10_000) is None
    monkeypatch.setattr(reader, "FEWEST_ROWS", 4)
    assert found(source, 1) is None


def test_what_is_found_of_many_contacts_is_left_to_duckdb_where_it_may_not_fit(tmp_path: Path) -> None:
    keys = list(range(100))
    source = relation(written(tmp_path / "one.parquet", {"id": pa.array(keys), "value": pa.array([f"{key:01000}" for key in keys])}))
    memory = 4 * 24_000  # of which a quarter may be taken: four row groups of two rows, what is found of one twice, and not much more
    assert found(source, 1, memory=memory) is not None
    assert found(source, *keys, memory=memory) is None


def test_rows_are_as_long_as_in_memory_not_as_in_the_file(tmp_path: Path) -> None:
    """Where every text is one of a few words, and so a few bits of a file: found of half the contacts, they took four times the limit."""
    rows, keys = 100_000, list(range(10))
    path = tmp_path / "one.parquet"
    pq.write_table(pa.table({"id": pa.array([key % 10 for key in range(rows)]), "value": pa.array(["order_placed"] * rows)}), path)
    source = relation(path)
    assert path.stat().st_size < 100_000
    assert found(source, *keys, memory=4 * 2_000_000) is None
    assert found(source, *keys, memory=64 << 20) is not None


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"PAR1")], ids=["gone", "torn"])
def test_a_file_that_can_not_be_read_is_left_to_duckdb(harm: Callable[[Path], object], tmp_path: Path) -> None:
    path = written(tmp_path / "one.parquet", {"id": pa.array([1])})
    source = relation(path)
    assert found(source, 1) is not None
    harm(path)
    assert found(source, 1) is None


def test_names_that_mean_more_to_polars_are_names(tmp_path: Path) -> None:
    source = relation(written(tmp_path / "one.parquet", {"id": pa.array([1]), "^i.*$": pa.array([2]), "*": pa.array([3])}))
    few = found(source, 1)
    assert few is None or few.row(0, named=True) == {"id": 1, "^i.*$": 2, "*": 3}
