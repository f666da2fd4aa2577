"""The pinned sources as the second reading of rules wants them: Parquet through pyarrow, with nothing of the engine between.

Text files have no types of their own; what the run was told of them is how DuckDB reads them, so those are read by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from segmentry.engine.rows import rows
from segmentry.engine.snapshot import EventSource, Format, Relation, Snapshot
from segmentry.verifying import people

BATCH_ROWS = 65_536
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
FOLDER_TYPES: Mapping[str, tuple[pa.DataType, type | Any]] = {
    "VARCHAR": (pa.string(), str),
    "BIGINT": (pa.int64(), int),
    "DATE": (pa.date32(), date.fromisoformat),
}
"""Per stored type of a hive folder's column: how its cells are held, and how its name is read."""


def sources_of(snapshot: Snapshot, frames: Mapping[str, pa.Table] | None = None) -> people.Sources:
    """The sources; `frames` are the tables of relations without files."""
    contacts = snapshot.contacts
    events = tuple(_events(source, frames or {}) for source in snapshot.events)
    return people.Sources(_source(contacts.relation, frames or {}), contacts.key, events)


def read_by_engine(snapshot: Snapshot) -> list[str]:
    """The files that the engine itself reads for both: the first of each source that is text."""
    relations = [snapshot.contacts.relation, *(source.relation for source in snapshot.events)]
    return [Path(relation.files[0].path).name for relation in relations if relation.files and relation.format is not Format.PARQUET]


def _events(source: EventSource, frames: Mapping[str, pa.Table]) -> people.EventSource:
    own = _source(source.relation, frames)
    return people.EventSource(own, source.contact, source.at, source.name, source.event, source.scale)


def _source(relation: Relation, frames: Mapping[str, pa.Table]) -> people.Source:
    def batches(names: Sequence[str]) -> Iterable[pa.RecordBatch]:
        if relation.frame is not None:
            return _of_frame(frames[relation.frame], names)
        return _of_parquet(relation, names) if relation.format is Format.PARQUET else _of_text(relation, names)

    columns = {column.name: column.type for column in relation.columns.values() if column.type is not None}
    return people.Source(columns, batches)


def _of_frame(frame: pa.Table, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    yield from frame.select([name for name in names if name in frame.column_names]).to_batches()


def _of_text(relation: Relation, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for frame in rows(relation).select(names).collect_batches(maintain_order=True):
        yield from frame.to_arrow().to_batches()


def _of_parquet(relation: Relation, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """File by file; columns are matched by name but for case, as the run does."""
    for pinned in relation.files:
        folders = _folders(pinned.path) if relation.hive else {}
        with pq.ParquetFile(pinned.path, coerce_int96_timestamp_unit="us") as file:
            own = {name.casefold(): name for name in file.schema_arrow.names}
            inside = {name: own[name.casefold()] for name in names if name.casefold() in own and name not in relation.declared}
            beside = {name: folders.get(name) for name in names if name in relation.declared}
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(inside.values())):
                arrays = [batch.column(batch.schema.get_field_index(name)) for name in inside.values()]
                arrays += [_folder_column(value, relation.declared[name], batch.num_rows) for name, value in beside.items()]
                yield pa.RecordBatch.from_arrays(arrays, names=[*inside, *beside])


def _folders(path: str) -> dict[str, str]:
    """The values that a file's folders give, by column."""
    pairs = (part.partition("=") for part in Path(path).parent.parts)
    return {unquote(name): unquote(value) for name, equals, value in pairs if equals}


def _folder_column(value: str | None, stored: str, number: int) -> pa.Array:
    """A folder's value for each row of its file; of a type that is not read here, binary, which is no type of rules."""
    kind, read = FOLDER_TYPES.get(stored, (pa.binary(), str.encode))
    return pa.array([None if value is None or value == NO_VALUE else read(value)] * number, kind)
