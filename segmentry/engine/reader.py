"""Connections that read files and frames beside a run's own: sessions of one DuckDB in memory, that installs nothing.

A database of its own costs about 30 ms of processor each time, a session of one that is there less than one. What is registered,
created as temporary, or set for a session is seen by that session alone.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

OFFLINE: dict[str, bool | float | int | list[str] | str] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
KEPT_SECONDS = 0.2
"""A database is given up after a session that took longer: it may keep the memory of what was read, and another costs little beside."""


class _Database:
    """A DuckDB and the folder that it spills into, which is this process's own and at one place wherever it goes."""

    def __init__(self) -> None:
        self.sessions = 0
        self._folder = tempfile.mkdtemp(prefix="segmentry-")
        self._connection = duckdb.connect(config={**OFFLINE, "temp_directory": self._folder})

    def session(self) -> duckdb.DuckDBPyConnection:
        session = self._connection.cursor()
        session.execute("set TimeZone = 'UTC'")
        return session

    def close(self) -> None:
        self._connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Databases:
    """The database that new sessions are of. One that is given up is closed with the last session that it has."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a fork within a fork's own hooks, or a signal's handler, may come back here
        self._current: _Database | None = None

    def take(self) -> tuple[_Database, duckdb.DuckDBPyConnection]:
        with self.lock:
            database = self._current or _Database()
            self._current = database
            try:
                session = database.session()
            except duckdb.Error:  # a damaged file may have made it unusable, as far as DuckDB can tell, for good
                self.give_up(database)
                self._current = database = _Database()
                session = database.session()
            database.sessions += 1
            return database, session

    def give_back(self, database: _Database, *, keep: bool) -> None:
        with self.lock:
            database.sessions -= 1
            if not keep:
                self.give_up(database)
            elif database is not self._current and not database.sessions:
                database.close()

    def give_up(self, database: _Database | None) -> None:
        with self.lock:
            if database is self._current:
                self._current = None
            if database is not None and not database.sessions:
                database.close()

    def leave(self) -> None:
        """No session is of the present database any more."""
        self.give_up(self._current)

    def before_fork(self) -> None:
        """A child has none of this process's threads, so it can neither use nor close a database of its."""
        self.lock.acquire()
        self.leave()


_databases = _Databases()
atexit.register(_databases.leave)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_databases.before_fork, after_in_parent=_databases.lock.release, after_in_child=_databases.lock.release)


@contextmanager
def connect() -> Iterator[duckdb.DuckDBPyConnection]:
    """A session of its own, whose zone is UTC."""
    start = time.monotonic()
    database, session = _databases.take()
    try:
        yield session
    finally:
        session.close()
        _databases.give_back(database, keep=time.monotonic() - start < KEPT_SECONDS)
