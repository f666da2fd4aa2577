"""Files: one a batch, in a folder that other programs read. Whole or not there, with a manifest that proves it.

    <path>/<target>/<day of the batch, UTC>/<batch id>.parquet             (or .csv, .ndjson)
    <path>/<target>/<day of the batch, UTC>/<batch id>.manifest.json       written after it: who sees this may read that
    <path>/<segment>/<what>/<day of the run, UTC>/<segment>.<run>.<what>.parquet, and its manifest    what a run changed, who is in

A row is a line: `id`, then what its data says. A mapping within the data becomes a column for each of its keys, named with a
dot (`fields.city`), in every format; a list stays a list in Parquet and NDJSON where its items are of one type, else it is
JSON text. In CSV text stands as it is, also text that a spreadsheet would run as a formula.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import polars as pl

from segmentry.engine.connectors.destination import Answer, Batch, DestinationStopped, Verdict
from segmentry.engine.connectors.export_files import Written, type_name, write_parts
from segmentry.engine.connectors.exports import Export, ExportDestination, Exported
from segmentry.engine.connectors.registry import Context
from segmentry.engine.connectors.settings import FILES, FilesSettings
from segmentry.engine.connectors.whole_files import digest, file_name, make_folder, remove_partial, trouble, whole

_INT64 = range(-(2**63), 2**63)
_PLAIN: Mapping[type, pl.DataType] = {bool: pl.Boolean(), int: pl.Int64(), float: pl.Float64(), str: pl.String()}
_TEXT = pl.String()
_NAMES: Mapping[str, str] = {"Boolean": "boolean", "Int64": "integer", "Float64": "number", "String": "text"}


class FilesDestination(ExportDestination):
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
        place = Path(file_name(batch.target), day, f"{file_name(batch.id)}.{self._format}")
        target = self._folder / place
        manifest = target.with_name(f"{file_name(batch.id)}.manifest.json")
        before()
        try:
            if not _is_there(target, manifest):
                self._write(batch, target, manifest)
        except OSError as error:
            raise DestinationStopped(trouble(error)) from error
        return [Answer(Verdict.SENT, remote_id=place.as_posix())] * len(batch.rows)

    def export(self, export: Export, before: Callable[[], None]) -> Exported:
        place = _place(export, self._format)
        target = self._folder / place
        manifest = target.with_suffix(".manifest.json")
        before()
        try:
            told = _told_of(manifest)
            if told is not None and any(told.get(key) != said for key, said in _owner(export).items()):
                raise DestinationStopped(FOREIGN)
            if told is None or any(told.get(key) != said for key, said in _identity(export).items()) or not _is_there(target, manifest):
                told = self._write_export(export, target, manifest)
        except OSError as error:
            raise DestinationStopped(trouble(error)) from error
        return Exported(place.as_posix(), int(told["rows"]))

    def _write_export(self, export: Export, target: Path, manifest: Path) -> dict[str, Any]:
        make_folder(target.parent)
        remove_partial(target)
        manifest.unlink(missing_ok=True)  # what it says may be of another file
        with whole(target) as stream:
            written = write_parts(stream, export.parts(), self._format)
        told = {**_identity(export), **_content_of(target, written, self._format)}
        _put(manifest, _as_json(told))
        return told

    def _write(self, batch: Batch, target: Path, manifest: Path) -> None:
        frame = _frame(batch, lists=self._format != "csv")
        content = _content(frame, self._format)
        make_folder(target.parent)
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
        _put(manifest, _as_json(told))


def _is_there(target: Path, manifest: Path) -> bool:
    """Whether the batch was written to its end: its file is what its manifest says."""
    try:
        told = json.loads(manifest.read_bytes())
        return bool(told["sha256"] == digest(target))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


# ---------------------------------------------------------------- exports


FOREIGN = "its folder has files of another workspace or environment under the same names; give each a `path` of its own"


def _place(export: Export, format: str) -> Path:
    """Where a file is within the folder: its name alone says what it is, and names in their order are in the runs' order."""
    segment, what, day = file_name(export.segment), file_name(export.what), f"{export.at.astimezone(UTC):%Y-%m-%d}"
    return Path(segment, what, day, f"{segment}.{export.run:06}.{what}.{format}")


def _owner(export: Export) -> dict[str, Any]:
    return {"workspace": export.workspace, "environment": export.environment}


def _identity(export: Export) -> dict[str, Any]:
    """What names an export. After an older catalog was restored another run may have the number: it was not committed at that time."""
    times = {"at": export.at.astimezone(UTC).isoformat(), "committed": export.committed.astimezone(UTC).isoformat()}
    return {**_owner(export), "segment": export.segment, "what": export.what, "run": export.run, **times}


def _content_of(target: Path, written: Written, format: str) -> dict[str, Any]:
    return {
        "file": target.name,
        "format": format,
        "rows": written.rows,
        "columns": [{"name": name, "type": type_name(dtype)} for name, dtype in written.columns.items()],
        "bytes": target.stat().st_size,
        "sha256": digest(target),
    }


def _told_of(manifest: Path) -> dict[str, Any] | None:
    """What a manifest says; None where there is none that can be read."""
    try:
        found = json.loads(manifest.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


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


def _put(target: Path, content: bytes) -> None:
    with whole(target) as stream:
        stream.write(content)


def _as_json(told: Mapping[str, Any]) -> bytes:
    return (json.dumps(told, ensure_ascii=False, indent=2) + "\n").encode()
