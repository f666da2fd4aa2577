"""How much of its memory a run needs beside DuckDB, which alone keeps to a limit by itself."""

from __future__ import annotations

from segmentry.engine.footers import decoded_bytes, rows_of
from segmentry.engine.snapshot import ContactSource

OF_ITSELF = 200 << 20
"""Bytes of a process that has read nothing yet."""

PER_CONTACT = 100
"""Bytes for what is held of each contact in turn: aggregates in arrays, digests of rows and events, a hundred bitmaps, the former ones."""

COPIES_OF_KEYS = 2
"""The snapshot's and the lasting order's."""


def held_beside(contacts: ContactSource) -> int:
    """The bytes that a run over these contacts may hold itself, as far as the footers of their files tell how many there are."""
    files = [file for file in contacts.relation.files if file.rows]
    keys = sum(sum(decoded_bytes(file, frozenset([contacts.key]))) for file in files)
    return OF_ITSELF + COPIES_OF_KEYS * keys + PER_CONTACT * rows_of(contacts.relation)
