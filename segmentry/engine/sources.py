"""Sources: from the workspace's configuration to a pinned snapshot.

`pin` finds the files, pins each, reads their schemas and checks what the workspace says of them; every problem of
every source at once. Data is not read here, save that text files tell their types by their values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import combinations
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from segmentry.engine.arrow_types import as_written
from segmentry.engine.columns import declared_type, key_kind, language_type, shown, types_apart
from segmentry.engine.config import ContactsConfig, EventsConfig, WorkspaceConfig
from segmentry.engine.paths import Files, PathProblem, find
from segmentry.engine.pinned import (
    FileProblem,
    files_of,
    pin_parquet,
    pin_text,
    snapshot_from_json,
    snapshot_to_json,
    verify_unchanged,
)
from segmentry.engine.reader import connect
from segmentry.engine.scanning import reader
from segmentry.engine.schemas import regex_error, schema_changes, schema_of
from segmentry.engine.snapshot import Column, ContactSource, EventSource, Format, PinnedFile, Relation, Snapshot
from segmentry.engine.textfiles import scan_text, text_columns
from segmentry.engine.yaml import Document, Steps
from segmentry.errors import SourceError
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.suggest import did_you_mean
from segmentry.rules.types import Kind

__all__ = [
    "connect",
    "files_of",
    "pin",
    "regex_error",
    "schema_changes",
    "schema_of",
    "snapshot_from_json",
    "snapshot_to_json",
    "verify_unchanged",
]


def pin(config: WorkspaceConfig, as_of: datetime, root: Path, document: Document | None = None) -> Snapshot:
    """The files that a run at `as_of` (aware) reads, pinned, with their columns.

    `document` is `segmentry.yml`'s, so that problems point into it. Raises SourceError with every problem.
    """
    with connect() as connection:
        pinning = _Pinning(config, as_of, root.absolute(), document, connection)
        contacts = pinning.contacts(config.contacts)
        events = [pinning.events(table, index, contacts) for index, table in enumerate(config.events)]
    if pinning.problems or contacts is None:
        raise SourceError(pinning.problems)
    return Snapshot(contacts, tuple(source for source in events if source is not None))


@dataclass
class _Pinning:
    """One pinning of a workspace's sources: what it is given, and the problems found so far."""

    config: WorkspaceConfig
    as_of: datetime
    root: Path
    document: Document | None
    connection: duckdb.DuckDBPyConnection
    problems: list[Diagnostic] = field(default_factory=list)

    def contacts(self, source: ContactsConfig) -> ContactSource | None:
        """The contact snapshot, or None with the reasons noted."""
        steps: Steps = ("contacts",)
        before = len(self.problems)
        read = self.relation(source, steps, required=(source.key,))
        if read is None:
            return None
        relation, rows = read
        key = self.column(relation, source.key, (*steps, "key"))
        if key is not None and key_kind(key.stored) is None:
            self.note(
                "S302",
                f"`{key.name}` is {shown(key.stored)}, and a key is an integer, text or UUID",
                (*steps, "key"),
                "write it as BIGINT or text" if key.type and key.type.kind is Kind.NUMBER else "name another column",
            )
        email = self.column(relation, source.email, (*steps, "email"), Kind.TEXT)
        phone = self.column(relation, source.phone, (*steps, "phone"), Kind.TEXT)
        if rows == 0:
            names = ", ".join(Path(file.path).name for file in relation.files[:3])
            self.note(
                "S306", f"the contact snapshot has no rows ({names})", (*steps, "path"), "a snapshot is complete: everybody would be gone"
            )
        if key is None or len(self.problems) > before:
            return None
        return ContactSource(relation, key.name, email.name if email else None, phone.name if phone else None)

    def events(self, source: EventsConfig, index: int, contacts: ContactSource | None) -> EventSource | None:
        """An event table, or None with the reasons noted."""
        steps: Steps = ("events", index)
        before = len(self.problems)
        named = () if source.name is None else (source.name,)
        read = self.relation(source, steps, required=(source.contact, source.at, *named))
        if read is None:
            return None
        relation = read[0]
        contact = self.column(relation, source.contact, (*steps, "contact"))
        at = self.column(relation, source.at, (*steps, "at"))
        name = self.column(relation, source.name, (*steps, "name"), Kind.TEXT)
        if contact is not None and contacts is not None:
            key = contacts.relation.columns[contacts.key]
            if key_kind(contact.stored) != key_kind(key.stored):
                message = f"`{contact.name}` is {shown(contact.stored)}, and the contacts' key `{key.name}` is {shown(key.stored)}"
                self.note("S304", message, (*steps, "contact"), "both must be integers, text or UUIDs")
        if at is not None and (at.type is None or at.type.kind not in (Kind.TIMESTAMP, Kind.DATE)):
            text = relation.format is not Format.PARQUET and at.stored == "VARCHAR"
            hint = "not every value reads as a time" if text else "an event's time is a timestamp or a date"
            self.note("S303", f"`{at.name}` is {shown(at.stored)}, not a time", (*steps, "at"), hint)
        if contact is None or at is None or len(self.problems) > before:
            return None
        return EventSource(relation, contact.name, at.name, name.name if name else None, source.event, source.scale)

    def relation(self, source: ContactsConfig | EventsConfig, steps: Steps, required: Sequence[str]) -> tuple[Relation, int] | None:
        """A source's relation and its number of rows, or None with the reasons noted."""
        try:
            files = find(source.path, source.ready, self.root, self.as_of, self.config.timezone)
        except PathProblem as problem:
            self.note(problem.code, problem.message, (*steps, problem.key), problem.hint)
            return None
        except OSError as error:
            self.note("S103", f"{source.path} can't be looked up: {(error.strerror or str(error)).lower()}", (*steps, "path"))
            return None
        if files.format is Format.PARQUET:
            return self.parquet(files, source.fields, steps, required)
        return self.text(files, source.fields, steps)

    def text(self, files: Files, fields: Mapping[str, str], steps: Steps) -> tuple[Relation, int] | None:
        pinned = self.pinned(files, steps)
        if pinned is None:
            return None
        try:
            declared, rows, wrong = text_columns(self.connection, files.paths, files.format, fields)
        except FileProblem as problem:
            self.note(problem.code, problem.message, (*steps, "path"), problem.hint)
            return None
        for name, misfit in wrong.items():
            self.note(misfit.code, misfit.message, (*steps, "fields", name), misfit.hint, key=misfit.code == "S204")
        if wrong:
            return None
        columns = {name: Column(name, language_type(stored), stored) for name, stored in declared.items()}
        return Relation(columns, tuple(pinned), files.format, declared=declared), rows

    def pinned(self, files: Files, steps: Steps) -> list[PinnedFile] | None:
        found = []
        for path in files.paths:
            try:
                found.append(pin_text(path))
            except FileProblem as problem:
                self.note(problem.code, problem.message, (*steps, "path"), problem.hint)
        return found if len(found) == len(files.paths) else None

    def parquet(self, files: Files, fields: Mapping[str, str], steps: Steps, required: Sequence[str]) -> tuple[Relation, int] | None:
        pinned: list[PinnedFile] = []
        schemas: dict[str, tuple[Path, pa.Schema]] = {}
        for path in files.paths:
            try:
                file, metadata = pin_parquet(path)
            except FileProblem as problem:
                self.note(problem.code, problem.message, (*steps, "path"), problem.hint)
                continue
            pinned.append(file)
            schemas.setdefault(str(metadata.schema), (path, metadata))
        if len(pinned) < len(files.paths):
            return None
        hive = self.hive_types(files, fields, steps)
        columns = self.parquet_columns([self.arrow(*found) for found in schemas.values()], hive, steps, required)
        if columns is None:
            return None
        relation = Relation(columns, tuple(pinned), Format.PARQUET, hive=bool(hive), declared=hive)
        return relation, sum(file.rows or 0 for file in pinned)

    @staticmethod
    def arrow(path: Path, metadata: pq.FileMetaData) -> tuple[Path, pa.Schema]:
        return path, metadata.schema.to_arrow_schema()

    def hive_types(self, files: Files, fields: Mapping[str, str], steps: Steps) -> dict[str, str]:
        """The stored type of each hive folder column: declared, or read off the folders' names."""
        names = list(files.hive[0]) if files.hive else []
        for name in fields:
            if name not in names:
                self.note(
                    "S204", f"`{name}` can't be declared", (*steps, "fields", name), "a Parquet file tells its columns' types", key=True
                )
        return {
            name: declared_type(fields[name]) if name in fields else _folder_type({columns[name] for columns in files.hive})
            for name in names
        }

    def parquet_columns(
        self, schemas: Sequence[tuple[Path, pa.Schema]], hive: dict[str, str], steps: Steps, required: Sequence[str]
    ) -> dict[str, Column] | None:
        """The columns of files with these schemas, matched by name; None with the reasons noted if they can't be."""
        before = len(self.problems)
        for path, schema in schemas:
            names = [name.casefold() for name in schema.names]
            double = next((name for name in schema.names if names.count(name.casefold()) > 1), None)
            if double is not None:
                message = f"{path.name} has more than one column `{double}`"
                self.note("S206", message, (*steps, "path"), "names must differ in more than case; rename one")
            lacking = [name for name in required if len(schemas) > 1 and name.casefold() not in {*names, *(h.casefold() for h in hive)}]
            for name in lacking:
                if any(name.casefold() in map(str.casefold, other.names) for _, other in schemas):
                    self.note("S301", f"{path.name} has no column `{name}`", (*steps, "path"), "other files of the source have it")
        if len(self.problems) > before:
            return None
        described = [(path, self.described([path], hive, steps)) for path, _ in schemas]
        union = self.described([path for path, _ in schemas], hive, steps) if len(schemas) > 1 else described[0][1]
        if union is None or any(found is None for _, found in described):
            return None
        columns: dict[str, Column] = {}
        for name, stored in union.items():
            kinds = [schema.field(index).type for _, schema in schemas if (index := schema.get_field_index(name)) >= 0]
            for kind in kinds:
                stored = as_written(stored, kind)  # noqa: PLW2901 -- what each file says of it
            columns[name] = Column(name, language_type(stored), stored)
        self.check_agreement([(path, found) for path, found in described if found is not None], columns, steps)
        return columns if len(self.problems) == before else None

    def described(self, paths: Sequence[Path], hive: dict[str, str], steps: Steps) -> dict[str, str] | None:
        """Column names and stored types as DuckDB reads these Parquet files."""
        function, options = reader(Relation({}, (), Format.PARQUET, hive=bool(hive), declared=hive))
        try:
            rows = self.connection.execute(f"describe select * from {scan_text(function, paths, options)}").fetchall()
        except duckdb.Error as error:
            self.note("S202", f"{paths[0].name} can't be read", (*steps, "path"), str(error).splitlines()[0][:160])
            return None
        return {str(name): str(kind).replace('"NULL"', "NULL") for name, kind, *_ in rows}

    def check_agreement(self, described: Sequence[tuple[Path, dict[str, str]]], columns: Mapping[str, Column], steps: Steps) -> None:
        """Notes each column whose types in different files can't stand for one."""
        for column in columns.values():
            seen: dict[str, str] = {}
            for path, found in described:
                stored = next((kind for name, kind in found.items() if name.casefold() == column.name.casefold()), None)
                if stored is not None:
                    seen.setdefault(stored, path.name)
            apart: dict[tuple[str, ...], str] = {}
            for one, other in combinations(seen, 2):
                for way, first, second in types_apart(one, other, (column.name,)):
                    apart.setdefault(way, f"`{'.'.join(way)}` is {shown(first)} in {seen[one]} and {shown(second)} in {seen[other]}")
            for message in apart.values():
                self.note("S203", message, (*steps, "path"), "write both files with one type")
            if not apart and column.type is None and column.stored == "HUGEINT" and any(map(language_type, seen)):
                self.note(
                    "S203", f"`{column.name}` is a signed integer in one file and an unsigned 64-bit one in another", (*steps, "path")
                )

    def column(self, relation: Relation, written: str | None, steps: Steps, kind: Kind | None = None) -> Column | None:
        """The column that the workspace names, by its exact name; None, noted, if it is not there or not of the kind."""
        if written is None:
            return None
        found = relation.columns.get(written)
        same = [column for name, column in relation.columns.items() if name.casefold() == written.casefold()]
        if found is None and len(same) == 1:
            found = same[0]
        if found is None:
            hint = did_you_mean(written, relation.columns) or f"there are {_some(relation.columns)}"
            self.note("S301", f"there is no column `{written}` in {_files(relation)}", steps, hint)
        elif kind is not None and (found.type is None or found.type.kind is not kind):
            self.note("S305", f"`{found.name}` is {shown(found.stored)}, not {kind}", steps, "name another column")
            return None
        return found

    def note(self, code: str, message: str, steps: Steps, hint: str | None = None, *, key: bool = False) -> None:
        location = None
        if self.document is not None:
            location = self.document.key_location(steps) if key else self.document.location(steps)
        self.problems.append(Diagnostic(code, message, location=location, help=hint))


def _folder_type(values: Collection[str]) -> str:
    """The stored type of a hive column: DATE or BIGINT where every folder's name is one, else VARCHAR."""
    set_ = [value for value in values if value != "__HIVE_DEFAULT_PARTITION__"]
    if set_ and all(_is_day(value) for value in set_):
        return "DATE"
    return (
        "BIGINT"
        if set_ and all(value.lstrip("-").isascii() and value.lstrip("-").isdigit() and len(value) < 19 for value in set_)
        else "VARCHAR"
    )


def _is_day(value: str) -> bool:
    try:
        return len(value) == 10 and value == date.fromisoformat(value).isoformat()
    except ValueError:
        return False


def _some(names: Collection[str]) -> str:
    listed = list(names)
    return ", ".join(f"`{name}`" for name in listed[:8]) + (f" and {len(listed) - 8} more" if len(listed) > 8 else "")


def _files(relation: Relation) -> str:
    first = Path(relation.files[0].path).name
    return first if len(relation.files) == 1 else f"{first} and {len(relation.files) - 1} more"
