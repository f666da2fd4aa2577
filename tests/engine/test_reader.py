"""Sessions of the one DuckDB that reads beside runs: each is alone, and what spoils a database spoils no later session."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from segmentry.engine import reader
from segmentry.engine.reader import connect

SPILLS = "select count(*) from (select i, md5(i::varchar) m from range({rows}) t(i) order by m)"


def asked(session: duckdb.DuckDBPyConnection, query: str) -> object:
    found = session.execute(query).fetchone()
    assert found is not None
    return found[0]


def test_a_session_sees_nothing_of_another() -> None:
    with connect() as one, connect() as other:
        one.execute("set TimeZone = 'Asia/Tokyo'")
        one.execute("create temp table made as select 1 as x")
        one.execute("set variable said = 1")
        assert asked(other, "select current_setting('TimeZone')") == "UTC"
        assert asked(other, "select getvariable('said')") is None
        with pytest.raises(duckdb.CatalogException):
            other.execute("from made")
    with connect() as later:
        assert asked(later, "select current_setting('TimeZone')") == "UTC"


def test_many_at_once() -> None:
    def read(number: int) -> object:
        with connect() as session:
            session.execute(f"create temp table own as select {number} as x")
            return asked(session, "select x from own")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(200))) == list(range(200))


def test_after_one_that_became_unusable_there_is_another() -> None:
    """As after an internal error of DuckDB, for which a damaged file is enough."""
    with connect() as session:
        assert asked(session, "select 1") == 1
    current = reader._databases._current
    assert current is not None
    current._connection.close()
    with connect() as session:
        assert asked(session, "select 2") == 2


def test_one_that_read_much_is_closed_with_its_last_session(monkeypatch: pytest.MonkeyPatch) -> None:
    with connect() as before:
        held = reader._databases._current
        assert held is not None
        folder = Path(str(asked(before, "select current_setting('temp_directory')")))
        monkeypatch.setattr(reader, "KEPT_SECONDS", 0)
        with connect():
            pass
        with connect() as after:
            assert reader._databases._current is not held
            assert asked(after, "select 1") == asked(before, "select 1")
        assert folder.exists()
    assert not folder.exists()


def test_it_spills_wherever_the_process_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "KEPT_SECONDS", 60)
    reader._databases.leave()
    for name in ("here", "there"):
        place = tmp_path / name
        place.mkdir()
        monkeypatch.chdir(place)
        with connect() as session:
            session.execute("set threads = 1")
            session.execute("set memory_limit = '30MB'")
            assert asked(session, SPILLS.format(rows=500_000)) == 500_000
        assert list(place.iterdir()) == []
    reader._databases.leave()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("does", ["pass", "print(read())"])
def test_a_forked_child_reads_and_ends_as_any_other(does: str) -> None:
    program = f"""
import os, sys
from segmentry.engine.reader import connect
def read():
    with connect() as session:
        return session.execute("select count(*) from range(100000)").fetchone()
read()
child = os.fork()
if child == 0:
    {does}
    sys.exit(0)
print(os.waitpid(child, 0)[1], read())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "0 (100000,)"
