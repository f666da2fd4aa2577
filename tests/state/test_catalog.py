"""The catalog: made only when asked for, brought forward by itself, and refused where it can't be safe."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import segmentry.engine.state as state_package
from segmentry.engine.state import State
from segmentry.engine.state.catalog import open_catalog, refuse_network
from segmentry.engine.state.schema import METADATA, REVISION
from segmentry.errors import NoState, StateError

UNVERSIONED = "create table alembic_version (version_num varchar(32) not null);"
WORKSPACE = "7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11"


def test_no_state_is_made_by_the_way(tmp_path: Path) -> None:
    with pytest.raises(NoState, match="--first-run"):
        State.open(tmp_path / "state", WORKSPACE)
    assert not (tmp_path / "state").exists()


def test_state_is_made_when_asked_for_and_found_again(tmp_path: Path) -> None:
    State.open(tmp_path / "a" / "state", WORKSPACE, create=True)
    state = State.open(tmp_path / "a" / "state", WORKSPACE)
    assert state.accepted() is None
    assert state.runs() == []


def test_another_workspace_s_state_is_refused(tmp_path: Path) -> None:
    State.open(tmp_path, WORKSPACE, create=True)
    with pytest.raises(StateError, match="belongs to workspace"):
        State.open(tmp_path, "11111111-1111-1111-1111-111111111111")
    with pytest.raises(StateError, match="environment prod"):
        State.open(tmp_path, WORKSPACE, "prod")


def test_the_migrations_give_the_tables_of_the_schema(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path, create=True)
    with catalog.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    folder = Path(state_package.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_current_head() == REVISION


def test_an_older_catalog_is_brought_forward_and_keeps_its_rows(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "catalog.sqlite")
    connection.executescript(f"{UNVERSIONED} create table own (x); insert into own values (1)")
    connection.close()
    catalog = open_catalog(tmp_path, create=False)
    with catalog.reading() as opened:
        assert opened.exec_driver_sql("select x from own").scalar() == 1
        assert opened.exec_driver_sql("select version_num from alembic_version").scalar() == REVISION


def test_a_failed_migration_leaves_the_catalog_as_it_was(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "catalog.sqlite")
    connection.executescript(f"{UNVERSIONED} create table runs (x)")
    connection.close()
    with pytest.raises(StateError, match="already exists"):
        open_catalog(tmp_path, create=False)
    connection = sqlite3.connect(tmp_path / "catalog.sqlite")
    tables = connection.execute("select name from sqlite_master where type = 'table' order by 1").fetchall()
    connection.close()
    assert tables == [("alembic_version",), ("runs",)]


def test_a_newer_catalog_is_refused_and_left_alone(tmp_path: Path) -> None:
    open_catalog(tmp_path, create=True).close()
    connection = sqlite3.connect(tmp_path / "catalog.sqlite")
    connection.execute("update alembic_version set version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(StateError, match=r"schema version 9999.*use the newer Segmentry"):
        open_catalog(tmp_path, create=False)


def test_a_catalog_that_is_none_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(StateError, match="not a database"):
        open_catalog(tmp_path, create=False)


def test_a_first_run_killed_at_its_very_start_has_made_nothing(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").touch()
    with pytest.raises(NoState):
        open_catalog(tmp_path, create=False)
    open_catalog(tmp_path, create=True)


def test_commits_are_durable_and_readers_do_not_wait(tmp_path: Path) -> None:
    catalog = open_catalog(tmp_path, create=True)
    with catalog.writing() as writer:
        writer.exec_driver_sql("update alembic_version set version_num = 'x'")
        assert writer.exec_driver_sql("pragma synchronous").scalar() == 2
        assert writer.exec_driver_sql("pragma journal_mode").scalar() == "wal"
        with catalog.reading() as reader:
            assert reader.exec_driver_sql("select version_num from alembic_version").scalar() == REVISION


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n/dev/sdb1 {tmp_path}/local ext4 rw 0 0\n")
    with pytest.raises(StateError, match="network file system"):
        refuse_network(tmp_path / "state", mounts)
    refuse_network(tmp_path / "local" / "state", mounts)
    refuse_network(tmp_path / "state", tmp_path / "no-such-file")


def test_a_folder_may_be_called_what_an_address_looks_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("file:state", "state?mode=ro", "a#b %20"):
        open_catalog(Path(name), create=True).close()
        assert (tmp_path / name / "catalog.sqlite").exists()
