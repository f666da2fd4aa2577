"""Files as they were when a run began: pinning one, comparing all of them again, and a snapshot as JSON."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segmentry.engine.columns import language_type
from segmentry.engine.snapshot import Column, ContactSource, EventSource, Format, PinnedFile, Relation, Snapshot
from segmentry.errors import SourceChanged
from segmentry.rules.diagnostics import Diagnostic

_MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"


class FileProblem(Exception):  # noqa: N818 -- carries a problem to the one place that makes the diagnostic
    """Why a file can't be pinned."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


def pin_parquet(path: Path) -> tuple[PinnedFile, pq.FileMetaData]:
    """A Parquet file and its footer; raises FileProblem."""
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            digest = hashlib.sha256(_footer(stream, status.st_size, path.name)).hexdigest()
            metadata = pq.read_metadata(stream)
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise _unreadable(path, error) from None
        hint = str(error).splitlines()[0][:160]  # Arrow's complaint, which may come as an OSError without a number
        raise FileProblem("S202", f"{path.name} is a damaged Parquet file", hint) from None
    return PinnedFile(str(path), status.st_size, status.st_mtime_ns, metadata.num_rows, digest), metadata


def pin_text(path: Path) -> PinnedFile:
    """A CSV or NDJSON file; raises FileProblem."""
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if status.st_size == 0:
                raise FileProblem("S201", f"{path.name} is empty: it has no bytes", _EMPTY)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None
    return PinnedFile(str(path), status.st_size, status.st_mtime_ns, None, digest)


_EMPTY = "whatever writes it may have failed; write it again, or remove it"


def _footer(stream: Any, size: int, name: str) -> bytes:
    """A Parquet file's footer, from its length, magic included; raises FileProblem for what is no whole Parquet file."""
    if size == 0:
        raise FileProblem("S201", f"{name} is empty: it has no bytes", _EMPTY)
    if size < 12:
        raise FileProblem("S202", f"{name} is no Parquet file: it has {size} bytes", "whatever writes it may have failed; write it again")
    head = stream.read(4)
    stream.seek(-8, os.SEEK_END)
    tail = stream.read(8)
    if _ENCRYPTED in (head, tail[4:]):
        raise FileProblem("S202", f"{name} is an encrypted Parquet file", "encrypted files can't be read; write it without encryption")
    if head != _MAGIC:
        raise FileProblem("S202", f"{name} is no Parquet file", "its name says it is; files that are not end with .csv or .ndjson")
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or length + 12 > size:
        raise FileProblem(
            "S202", f"{name} is cut off: its end is not there", "it may still be written; write it under another name and rename it"
        )
    stream.seek(-(length + 8), os.SEEK_END)
    footer: bytes = stream.read(length + 8)
    return footer


def _unreadable(path: Path, error: OSError) -> FileProblem:
    if isinstance(error, PermissionError):
        return FileProblem("S103", f"{path.name} may not be read", "give the user who runs Segmentry leave to read it")
    if isinstance(error, FileNotFoundError):
        return FileProblem("S101", f"there is no {path.name}", f"looked for in {path.parent}")
    return FileProblem("S202", f"{path.name} can't be read: {(error.strerror or str(error)).lower()}")


def verify_unchanged(snapshot: Snapshot) -> None:
    """Compares every file's size, time and digest with what was pinned; raises SourceChanged naming each that differs."""
    changed = []
    for file in files_of(snapshot):
        path = Path(file.path)
        try:
            now = pin_parquet(path)[0] if file.rows is not None else pin_text(path)
        except FileProblem as problem:
            changed.append(Diagnostic("S401", f"a source changed while it was read: {problem.message}", help="run again"))
            continue
        if now != file:
            what = "size" if now.size != file.size else "content" if now.digest != file.digest else "modification time"
            changed.append(Diagnostic("S401", f"a source changed while it was read: {path.name} has another {what}", help="run again"))
    if changed:
        raise SourceChanged(changed)


def files_of(snapshot: Snapshot) -> list[PinnedFile]:
    """Every file of a snapshot, the contacts' first."""
    relations = [snapshot.contacts.relation, *(source.relation for source in snapshot.events)]
    return [file for relation in relations for file in relation.files]


def snapshot_to_json(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot of files as plain JSON values; `snapshot_from_json` gives the same snapshot back."""
    return {
        "contacts": {
            "relation": _relation_to_json(snapshot.contacts.relation),
            "key": snapshot.contacts.key,
            "email": snapshot.contacts.email,
            "phone": snapshot.contacts.phone,
        },
        "events": [
            {
                "relation": _relation_to_json(source.relation),
                "contact": source.contact,
                "at": source.at,
                "name": source.name,
                "event": source.event,
                "scale": source.scale,
            }
            for source in snapshot.events
        ],
    }


def snapshot_from_json(value: Mapping[str, Any]) -> Snapshot:
    """The snapshot that `snapshot_to_json` wrote."""
    contacts = value["contacts"]
    return Snapshot(
        ContactSource(**{**contacts, "relation": _relation_from_json(contacts["relation"])}),
        tuple(EventSource(**{**source, "relation": _relation_from_json(source["relation"])}) for source in value["events"]),
    )


def _relation_to_json(relation: Relation) -> dict[str, Any]:
    return {
        "columns": [
            {"name": column.name, "stored": column.stored, "usable": column.type is not None} for column in relation.columns.values()
        ],
        "files": [asdict(file) for file in relation.files],
        "format": str(relation.format),
        "hive": relation.hive,
        "frame": relation.frame,
        "declared": dict(relation.declared),
    }


def _relation_from_json(value: Mapping[str, Any]) -> Relation:
    return Relation(
        columns={
            column["name"]: Column(column["name"], language_type(column["stored"]) if column["usable"] else None, column["stored"])
            for column in value["columns"]
        },
        files=tuple(PinnedFile(**file) for file in value["files"]),
        format=Format(value["format"]),
        hive=value["hive"],
        frame=value["frame"],
        # a catalog keeps a mapping's keys sorted; a CSV file's columns are read by their order
        declared={column["name"]: value["declared"][column["name"]] for column in value["columns"] if column["name"] in value["declared"]},
    )
