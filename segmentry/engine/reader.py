"""Connections that read files and frames beside a run's own: sessions of one DuckDB in memory, that installs nothing.

A database of its own costs about 30 ms of processor each time, a session of one that is there less than one. What is registered,
created as temporary, or set for a session is seen by that session alone.
"""

from __future__ import annotations

import os
import threading

import duckdb

OFFLINE: dict[str, bool | float | int | list[str] | str] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


class _Database:
    """The process's DuckDB, made when it is first asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._database: duckdb.DuckDBPyConnection | None = None
        self._left: list[duckdb.DuckDBPyConnection | None] = []

    def session(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._database is None:
                self._database = duckdb.connect(config=OFFLINE)
            return self._database.cursor()

    def leave(self) -> None:
        """In a forked child: the parent's threads aren't here, so its database is neither used nor ever closed."""
        self._lock = threading.Lock()
        self._left.append(self._database)
        self._database = None


_database = _Database()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_database.leave)


def connect() -> duckdb.DuckDBPyConnection:
    """A session of its own, whose zone is UTC; to be closed."""
    connection = _database.session()
    connection.execute("set TimeZone = 'UTC'")
    return connection
