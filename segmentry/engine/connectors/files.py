"""Files: one a batch, in a folder that other programs read. Whole or not there, with a manifest that proves it.

    <path>/<target>/<day of the batch, UTC>/<batch id>.parquet             (or .csv, .ndjson)
    <path>/<target>/<day of the batch, UTC>/<batch id>.manifest.json       written after it: who sees this may read that

A row is a line: `id`, then what its data says. A mapping within the data becomes a column for each of its keys, named with a
dot (`fields.city`), in every format; a list stays a list in Parquet and NDJSON where its items are of one type, else it is
JSON text. In CSV text stands as it is, also text that a spreadsheet would run as a formula.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Any

import polars as pl

from segmentry.engine.connectors.destination import Answer, Batch, Destination, DestinationStopped, Verdict
from segmentry.engine.connectors.registry import Context
from segmentry.engine.connectors.settings import FILES, FilesSettings
from segmentry.engine.state.files import sync_folder

_INT64 = range(-(2**63), 2**63)
_PLAIN: Mapping[type, pl.DataType] = {bool: pl.Boolean(), int: pl.Int64(), float: pl.Float64(), str: pl.String()}
_TEXT = pl.String()
_NAMES: Mapping[str, str] = {"Boolean": "boolean", "Int64": "integer", "Float64": "number", "String": "text"}


class FilesDestination(Destination):
    """A folder that files are put in. The same batch again finds its file and leaves it, or writes the same bytes."""

    traits = FILES

    def __init__(self, folder: Path, format: str) -> None:
        self._folder = folder
        self._format = format

    @classmethod
    def open(cls, name: str, settings: FilesSettings, context: Context) -> FilesDestination:  # noqa: ARG003 - as every type
        return cls(context.root / settings.path, settings.format)

    def account(self) -> str | None:
        """None: a folder that moved is the same folder."""
        return None

    def send(self, batch: Batch, before: Callable[[], None]) -> Sequence[Answer]:
        day = f"{batch.at.astimezone(UTC):%Y-%m-%d}"
        place = Path(_file_name(batch.target), day, f"{_file_name(batch.id)}.{self._format}")
        target = self._folder / place
        manifest = target.with_name(f"{_file_name(batch.id)}.manifest.json")
        before()
        try:
            if not _is_there(target, manifest):
                self._write(batch, target, manifest)
        except OSError as error:
            raise DestinationStopped(_trouble(error)) from error
        return [Answer(Verdict.SENT, remote_id=place.as_posix())] * len(batch.rows)

    def _write(self, batch: Batch, target: Path, manifest: Path) -> None:
        frame = _frame(batch, lists=self._format != "csv")
        content = _content(frame, self._format)
        _make_folder(target.parent)
        _put(target, content)
        told = {
            "batch": batch.id,
            "type": batch.type,
            "at": batch.at.astimezone(UTC).isoformat(),
            "target": batch.target,
            "file": target.name,
            "format": self._format,
            "rows": frame.height,
            "columns": [{"name": name, "type": _type_name(dtype)} for name, dtype in frame.schema.items()],
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        _put(manifest, (json.dumps(told, ensure_ascii=False, indent=2) + "\n").encode())


def _is_there(target: Path, manifest: Path) -> bool:
    """Whether the batch was written to its end: its file is what its manifest says."""
    try:
        told = json.loads(manifest.read_bytes())
        return bool(told["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest())
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


# ---------------------------------------------------------------- rows as columns


def _frame(batch: Batch, *, lists: bool) -> pl.DataFrame:
    """The rows as columns, in the order in which their names first come. A row without a column's name is null there."""
    rows = [dict(_flat({"id": row.id} | {name: value for name, value in row.data.items() if name != "id"})) for row in batch.rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    return pl.DataFrame([_series(name, values, lists=lists) for name, values in columns.items()])


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _series(name: str, values: list[Any], *, lists: bool) -> pl.Series:
    kind = _kind(values)
    if kind is not None:
        return pl.Series(name, values, dtype=kind, strict=False)
    if lists and all(value is None or isinstance(value, list) for value in values):
        inner = _kind([item for value in values if value is not None for item in value])
        if inner is not None:
            return pl.Series(name, values, dtype=pl.List(inner), strict=False)
    return pl.Series(name, [_as_text(value) for value in values], dtype=_TEXT)


def _kind(values: Sequence[Any]) -> pl.DataType | None:
    """The type that all values have; text where all are null; None where they are of several types, or of none that is plain."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and float in kinds:
        return pl.Float64()
    if kinds == {int} and not all(value in _INT64 for value in values if value is not None):
        return None
    return _PLAIN.get(next(iter(kinds))) if len(kinds) == 1 else None if kinds else _TEXT


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _content(frame: pl.DataFrame, format: str) -> bytes:
    """The file's bytes; equal frames are equal bytes."""
    stream = io.BytesIO()
    if format == "parquet":
        frame.write_parquet(stream, compression="zstd", compression_level=3)
    elif format == "csv":
        frame.write_csv(stream)
    else:
        frame.write_ndjson(stream)
    return stream.getvalue()


def _type_name(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List):
        return f"list of {_NAMES[str(dtype.inner)]}"
    return _NAMES[str(dtype)]


# ---------------------------------------------------------------- files for certain


def _file_name(text: str) -> str:
    """Text as a file's name that can lead nowhere else."""
    return re.sub(r"[^\w-]", "_", text)


def _make_folder(folder: Path) -> None:
    """Makes a folder and those above it, and their entries certain on disk."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
    sync_folder(folder.parent)


def _put(target: Path, content: bytes) -> None:
    """Writes a file whole or not at all: under another name first, on disk for certain, then renamed."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(target)
    finally:
        with suppress(OSError):
            partial.unlink()
    sync_folder(target.parent)


def _trouble(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk that the folder of `path` is on is full: {error.strerror}"
    return f"the folder of `path` can't be written: {error.strerror or type(error).__name__}"
