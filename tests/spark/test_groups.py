"""Groups of divided segments in whole statements: those of docs/splits.md, by DuckDB and by Spark, whatever keys are."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentry.engine.frames import snapshot_of
from segmentry.engine.schemas import schema_of
from segmentry.engine.splitting import Share, Split
from segmentry.engine.whole import render_whole
from segmentry.errors import DialectError
from segmentry.rules.checker import check
from segmentry.rules.ground import Clock, ground
from segmentry.rules.parse import parse_text
from segmentry.verifying.groups import division
from tests.cli.conftest import Shop, build

SHARES = {"none_of_it": "0%", "holdout": "12.5%", "a": "40%", "b": "30%"}
SPLIT = Split("it's", tuple(Share(name, f"old_{name}", Fraction(share.rstrip("%")) / 100) for name, share in SHARES.items()))
EVERYBODY = Split("s", (Share("a", "a", Fraction(1, 3)), Share("rest", "rest", Fraction(2, 3))))
KEYS = {
    "integers": pa.array(range(-100, 100)),
    "texts": pa.array([f"ü:{number}" for number in range(200)]),
    "UUIDs": pa.array([UUID(int=number**9).bytes for number in range(200)], pa.uuid()),
}


def statement(folder: Path, keys: pa.Array, dialect: str, segments: dict[str, Split]) -> str:
    """Segments of the first 150 contacts."""
    pq.write_table(pa.table({"id": keys, "n": range(200)}), folder / "contacts.parquet")
    sources, clock = snapshot_of(folder / "contacts.parquet", "id", []), Clock(datetime(2026, 3, 1, tzinfo=UTC))
    schema = schema_of(sources.snapshot, segments.keys(), frames=sources.frames)
    conditions = {name: ground(check(parse_text("n < 150"), schema)[0], clock) for name in segments}
    return render_whole(conditions, sources.snapshot, clock, dialect=dialect, splits=segments)


def expected(keys: pa.Array) -> dict[str, tuple[str | None, str | None]]:
    divided = division("x", [], "it's", {name: (f"old_{name}", share) for name, share in SHARES.items()})
    texts = [str(key) for key in keys.to_pylist()]
    return {
        key: (divided.group(key), EVERYBODY.group(key)) if number < 150 else (None, None)  # type: ignore[arg-type]
        for number, key in enumerate(texts)
    }


@pytest.mark.parametrize("kind", KEYS)
def test_duckdb_finds_the_groups_of_members(kind: str, tmp_path: Path) -> None:
    text = statement(tmp_path, KEYS[kind], "duckdb", {"vip": SPLIT, "uk": EVERYBODY})
    found = duckdb.sql(text)
    assert found.columns == ["id", "vip", "vip_group", "uk", "uk_group"]
    groups = {str(key): (vip, uk) for key, _, vip, _, uk in found.fetchall()}
    assert groups == expected(KEYS[kind])
    assert {group for group, _ in groups.values()} == {None, "holdout", "a", "b"}
    assert {group for _, group in groups.values()} == {None, "a", "rest"}


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["integers", "texts"])
def test_spark_finds_the_groups_of_members(spark: Any, kind: str, tmp_path: Path) -> None:
    found = spark.sql(statement(tmp_path, KEYS[kind], "spark", {"vip": SPLIT, "uk": EVERYBODY})).collect()
    assert {str(row["id"]): (row["vip_group"], row["uk_group"]) for row in found} == expected(KEYS[kind])


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DialectError) as refused:
        statement(tmp_path, KEYS["integers"], "spark", {"vip": SPLIT, "vip_group": SPLIT})
    [problem] = refused.value.diagnostics
    assert (problem.code, problem.help) == ("X106", "ask for `vip` alone")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = build(tmp_path)
    made.write("segments/uk.yml", "where: location is set\nsplit: {holdout: 30%, a: 30%}\n")
    return made


def test_on_the_command_line(shop: Shop) -> None:
    text = shop.run("sql", "uk", "--split", "--as-of", "2026-03-01").stdout
    connection = duckdb.connect()
    found = connection.sql(text).pl()
    assert found.columns == ["contact_id", "uk", "uk_group"]
    shop.run("recompute", "--first-run", "--as-of", "2026-03-01")
    for group in ("holdout", "a"):
        members = shop.run("members", "uk", "--split", group, "--columns", "contact_id", "--format", "csv").stdout.split()[1:]
        assert sorted(map(int, members)) == sorted(found.filter(uk_group=group)["contact_id"].to_list())
    assert "uk_group" not in shop.run("sql", "uk", "--whole").stdout
    assert "`uk_group`" in shop.run("sql", "--split", "--dialect", "spark").stdout
    assert "`vip` has no `split`" in shop.run("sql", "vip", "--split", code=1).stderr
