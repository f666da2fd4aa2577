"""The catalog: one SQLite database in WAL mode, in the state folder, on a local disk. SQLAlchemy Core, versioned by Alembic.

Whatever the catalog says is so: a run is current because its row says it, a bulk file counts because it is listed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy.util import LRUCache

from segmentry.engine.state.schema import REVISION
from segmentry.errors import NoState, StateError

FILE_NAME = "catalog.sqlite"
BUSY_MILLISECONDS = 30_000
"""How long a statement waits for another's write; every write transaction here takes milliseconds."""

STATEMENTS = 500
"""Compiled statements that are kept, as SQLAlchemy keeps for an engine by default."""

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "afs",
        "ceph",
        "lustre",
        "glusterfs",
        "9p",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.s3fs",
    }
)
"""File systems on which SQLite's write-ahead log is not safe: its shared memory does not reach other hosts."""


class Catalog:
    """Opens transactions on the catalog of one state folder; made by `open_catalog`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees the catalog as it is at its first statement, and never waits for a writer."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its first moment; all of it is committed, or nothing."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        try:
            with self._engine.connect().execution_options(begin=begin) as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            raise StateError(f"the catalog can't be used: {error.orig}") from error


def open_catalog(folder: Path, *, create: bool) -> Catalog:
    """The catalog in a state folder; with `create`, folder and catalog are made if they are not there.

    An older schema is brought forward in one transaction. Raises NoState, and StateError for a catalog that a newer
    Segmentry made, a damaged one, or a folder on a network file system.
    """
    path = folder / FILE_NAME
    if not path.exists() and not create:
        raise NoState(
            f"there is no state in {folder}: the first run must say so (pass --first-run),"
            " or the state folder is elsewhere (`state:` in segmentry.yml)"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"the state folder {folder} can't be made: {error.strerror}") from error
    refuse_network(folder)
    catalog = Catalog(_engine(path))
    _bring_up_to_date(catalog, path, create=create)
    return catalog


def refuse_network(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> None:
    """Raises StateError if the folder is on a network file system, as far as this host can tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    resolved = str(folder.resolve())
    best, kind = "", ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        if (resolved == point or resolved.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, fields[2]
    if kind in NETWORK_FILE_SYSTEMS:
        raise StateError(f"the state folder {folder} is on a network file system ({kind}); the SQLite catalog needs a local disk")


def _engine(path: Path) -> Engine:
    """An engine of the catalog's own, with the dialect and the compiled statements of all: they know nothing of the path."""
    dialect, compiled = _in_common()
    pool = NullPool(partial(_connected, path), dialect=dialect)
    engine = Engine(pool, dialect, URL.create("sqlite", database=str(path)), execution_options={"compiled_cache": compiled})
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN")))
    return engine


@lru_cache(maxsize=1)
def _in_common() -> tuple[Dialect, LRUCache[Any, Any]]:
    """SQLAlchemy writes a statement out once per dialect object; a run has some sixty, and that took a seventh of a small one."""
    engine = create_engine("sqlite://")
    with engine.connect():  # the dialect asks once what this SQLite is
        return engine.dialect, LRUCache(STATEMENTS)


def _connected(path: Path) -> Any:
    """A new SQLite connection. Transactions are begun by us, so that DDL is inside them too."""
    # absolute, as what begins with `file:` is an address to SQLite
    connection = sqlite3.connect(path.absolute(), timeout=BUSY_MILLISECONDS / 1000, check_same_thread=False, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    return connection


def _bring_up_to_date(catalog: Catalog, path: Path, *, create: bool) -> None:
    with catalog.reading() as connection:
        revision = _revision(connection)
        empty = revision is None and not inspect(connection).get_table_names()
    if revision == REVISION:
        return
    if empty and not create:
        raise NoState(f"the catalog {path} is empty (a first run was killed before it could begin); pass --first-run")
    _migrate(catalog, path)


def _revision(connection: Connection) -> str | None:
    known = connection.execute(text("select 1 from sqlite_master where type = 'table' and name = 'alembic_version'")).first()
    if known is None:
        return None
    row = connection.execute(text("select version_num from alembic_version")).first()
    return None if row is None else str(row[0])


def _migrate(catalog: Catalog, path: Path) -> None:
    """Runs the missing migrations, in one transaction; of two processes, the second finds nothing left to do."""
    from alembic import command  # noqa: PLC0415  (half a second, needed once in a catalog's life)
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with catalog.writing() as connection:
        revision = _revision(connection)
        if revision is not None and revision not in known:
            raise StateError(
                f"the catalog {path} has schema version {revision}; this version of Segmentry knows {REVISION} and older:"
                " use the newer Segmentry that wrote it"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
