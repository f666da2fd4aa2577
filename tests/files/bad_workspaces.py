"""Workspaces as plain text: one file holds several, each part headed by `--- path`, and what is said of them at the end.

`--- data/c.parquet` is followed by a table: a header of `name:type`, a row a line, an empty cell for null. A word after
the path spoils what is written: `empty`, `cut off`, `latin-1`, `folder`, `unreadable`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from segmentry.engine.activation_checks import aliases_of, field_problems
from segmentry.engine.lists import read_lists
from segmentry.engine.loading import load
from segmentry.engine.moment import Moment
from segmentry.engine.segment_tests import fixtures_of
from segmentry.engine.sources import pin
from segmentry.errors import DiagnosedError
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.ground import Clock

AS_OF = datetime(2026, 2, 1, 12, tzinfo=UTC)
SAID = "=== what is said\n"

DEFAULTS = {
    "segmentry.yml": "version: 1\nid: 7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11\ncontacts: {path: data/contacts.parquet, key: contact_id}\n",
    "data/contacts.parquet": "contact_id:int64,location:string\n1,UK\n2,US\n",
}

TYPES = {
    "int32": pa.int32(), "int64": pa.int64(), "uint64": pa.uint64(), "string": pa.string(), "double": pa.float64(), "bool": pa.bool_(),
    "timestamp": pa.timestamp("us"), "date": pa.date32(), "decimal": pa.decimal128(12, 2),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    note: str
    parts: dict[str, tuple[str, str]]
    said: str


def parse_case(text: str) -> Case:
    head, _, said = text.partition(SAID)
    note, *rest = re.split(r"(?m)^--- (.+)\n", head)
    parts = {}
    for heading, body in zip(rest[::2], rest[1::2], strict=True):
        path, spoiled = re.fullmatch(r"(.+?)(?: \((.+)\))?", heading.strip()).groups()
        parts[path] = (body, spoiled or "")
    return Case(note, parts, said)


def build(case: Case, root: Path) -> None:
    for path, body in DEFAULTS.items():
        if path not in case.parts:
            write(root / path, body, "")
    for path, (body, spoiled) in case.parts.items():
        if spoiled != "missing":
            write(root / path, body, spoiled)


def write(path: Path, body: str, spoiled: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if spoiled == "folder":
        path.mkdir()
    elif spoiled == "empty":
        path.write_bytes(b"")
    elif spoiled == "latin-1":
        path.write_bytes(body.encode("latin-1"))
    elif path.suffix == ".parquet" and spoiled != "as it is":
        pq.write_table(table(body), path)
        if spoiled == "cut off":
            path.write_bytes(path.read_bytes()[:-20])
    else:
        path.write_text(body, encoding="utf-8", newline="")


def table(body: str) -> pa.Table:
    header, *_ = body.splitlines()
    names = [cell.split(":") for cell in header.split(",")]
    read = pyarrow.csv.read_csv(
        pa.py_buffer(body.encode()),
        read_options=pyarrow.csv.ReadOptions(skip_rows=1, column_names=[str(i) for i in range(len(names))]),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={str(i): TYPES[kind] for i, (_, kind) in enumerate(names)}, strings_can_be_null=True
        ),
    )
    return read.rename_columns([name for name, _ in names])


def problems_of(root: Path) -> list[Diagnostic]:
    """Every problem that is found before a rule is checked against the data."""
    try:
        loaded = load(root)
        if loaded.diagnostics:
            return list(loaded.diagnostics)
        snapshot = pin(loaded.config, AS_OF, loaded.root, loaded.document)
        read_lists(loaded.lists(), snapshot.contacts.relation.columns[snapshot.contacts.key])
        unmapped = field_problems(loaded, snapshot)
        if unmapped:
            return unmapped
        aliases_of(loaded, snapshot)
        moment = Moment(loaded, snapshot, Clock(AS_OF, loaded.config.timezone))
        return fixtures_of(moment, sorted(loaded.segments))[1]
    except DiagnosedError as error:
        return list(error.diagnostics)


def rendered(root: Path) -> str:
    return "".join(problem.render() + "\n" for problem in problems_of(root)).replace(str(root), "WORKSPACE")
