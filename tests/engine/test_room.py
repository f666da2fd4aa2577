"""What DuckDB gets of a run's memory; and a run over data far larger than its limit, which the whole process keeps to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from segmentry.engine import room
from segmentry.engine.backends.duckdb import DuckDB
from segmentry.engine.frames import snapshot_of

ROOT = Path(__file__).parents[2]
MIB = 2**20


def limit(database: DuckDB) -> float:
    """DuckDB's own, in MiB."""
    number, unit = str(database._connection.sql("select current_setting('memory_limit')").fetchall()[0][0]).split()
    return float(number) * {"MiB": 1, "GiB": 1024}[unit]


@pytest.mark.parametrize(("beside", "expected"), [(0, 1024), (300 * MIB, 724), (700 * MIB, 512)])
def test_the_engine_gets_what_is_left_of_the_memory_or_half(beside: int, expected: float) -> None:
    with DuckDB((), memory="1 GiB", beside=beside) as database, database.sibling() as sibling:
        assert limit(database) == pytest.approx(expected, abs=1)
        assert database.memory() == sibling.memory() == pytest.approx(1024 * MIB, abs=MIB)


def test_without_a_limit_the_engine_keeps_its_own() -> None:
    with DuckDB(()) as one, DuckDB((), beside=1 << 40) as other:
        assert one.memory() == other.memory()


def test_long_keys_take_more_room(tmp_path: Path) -> None:
    held = []
    for keys in (pl.int_range(10_000, eager=True), pl.Series([f"{number:036}" for number in range(10_000)])):
        pl.DataFrame({"id": keys}).write_parquet(tmp_path / "contacts.parquet", use_pyarrow=True, pyarrow_options={"use_dictionary": False})
        held.append(room.held_beside(snapshot_of(tmp_path / "contacts.parquet", "id", []).snapshot.contacts) - room.OF_ITSELF)
    assert [round(bytes_ / 10_000 - room.PER_CONTACT) for bytes_ in held] == [2 * 8, 2 * 40]


RULES = {"a": "note_0 contains 'a1b'", "b": "note_1 ends with '7'", "c": "note_2 starts with 'f' or score > 500", "d": "not member('a')"}
CONTACTS, NOTES, WIDTH, LIMIT = 1_500_000, 4, 256, 1 << 30

WORKSPACE = f"""\
version: 1
id: 0a6f9a52-3c1e-4a57-8f0e-5b1d1a6f2027
name: wide
engine: {{memory: {LIMIT // MIB} MiB, threads: 2}}
contacts: {{path: contacts.parquet, key: id}}
"""

RUN = """
import json, sys
from datetime import datetime, UTC
from benchmarks.machine import peak_bytes
from segmentry import Workspace
workspace = Workspace.open(sys.argv[1])
run = workspace.recompute(as_of=datetime(2026, 3, 1, tzinfo=UTC), first_run=True)
peak = peak_bytes()
print(json.dumps([peak, {name: workspace.members(name).collect().height for name in "abcd"}]))
"""


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the most memory that a process had is not its own alone")
def test_a_run_over_more_data_than_its_memory_keeps_to_it(tmp_path: Path) -> None:
    notes = ", ".join(f"repeat(md5(i::varchar || '{number}'), {WIDTH // 32}) as note_{number}" for number in range(NOTES))
    query = f"select i as id, {notes}, (i % 1000)::integer as score from range({CONTACTS}) as r(i)"
    duckdb.sql(f"copy ({query}) to '{tmp_path}/contacts.parquet' (compression zstd)")
    assert CONTACTS * NOTES * WIDTH > 1.4 * LIMIT
    (tmp_path / "segmentry.yml").write_text(WORKSPACE)
    (tmp_path / "segments").mkdir()
    for name, rule in RULES.items():
        (tmp_path / "segments" / f"{name}.yml").write_text(f"where: {json.dumps(rule)}\n")
    done = subprocess.run([sys.executable, "-c", RUN, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak, sizes = json.loads(done.stdout.splitlines()[-1])  # before it there may be bars of progress
    expected = duckdb.sql(
        "select sum((note_0 like '%a1b%')::int), sum((note_1 like '%7')::int), sum((note_2 like 'f%' or score > 500)::int),"
        f" sum((note_0 not like '%a1b%')::int) from '{tmp_path}/contacts.parquet'"
    ).fetchall()[0]
    assert tuple(sizes.values()) == expected
    assert peak <= LIMIT, f"{peak / MIB:,.0f} MiB"
