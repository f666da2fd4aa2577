"""A run's bulk files as one table, for any DuckDB: SQL text that reads the Parquet files side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from segmentry.engine.membership import chunk_bounds
from segmentry.engine.state.records import ChunkFiles, ContactsRecord, RunRecord


def view_sql(root: Path, record: RunRecord, contacts: ContactsRecord, paths: Mapping[int, str]) -> str:
    """A query with one row per contact of the run's snapshot: the key under its own name, and a Boolean column per segment.

    It holds as long as retention and `forget` leave the run's files where they are.
    """
    columns = [quoted(name) for name in record.segments]
    chunks = []
    for index, (start, end) in enumerate(chunk_bounds(contacts.size)):
        keys = _rows(root, paths, contacts.key_files[index], [contacts.key])
        present = f"(select present from {_file(root, paths, contacts.present_file)} limit {end - start} offset {start})"
        frames = [keys, present, *_members(root, paths, record.members[index], set(record.segments))]
        chosen = ", ".join([quoted(contacts.key), *columns])
        chunks.append(
            f"select {chosen}\nfrom {f'{chr(10)}positional join '.join(frames)}\nwhere present and {quoted(contacts.key)} is not null"
        )
    return "\nunion all\n".join(chunks)


def quoted(name: str) -> str:
    """A name as DuckDB takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _members(root: Path, paths: Mapping[int, str], chunk: ChunkFiles, segments: set[str]) -> list[str]:
    kept = [(number, [name for name in columns if name in segments]) for number, columns in chunk]
    return [_rows(root, paths, number, columns) for number, columns in kept if columns]


def _rows(root: Path, paths: Mapping[int, str], number: int, columns: Sequence[str]) -> str:
    return f"(select {', '.join(quoted(name) for name in columns)} from {_file(root, paths, number)})"


def _file(root: Path, paths: Mapping[int, str], number: int) -> str:
    path = str((root / paths[number]).absolute()).replace("'", "''")
    return f"read_parquet('{path}')"
