"""Stored types and the language's types: DuckDB's type names, as scans yield them, to types that rules know."""

from __future__ import annotations

import re
from collections.abc import Mapping

from segmentry.rules.types import BOOLEAN, DATE, FLOAT32, FLOAT64, TEXT, TIMESTAMP, Kind, Type, exact, list_of

_SIMPLE: Mapping[str, Type] = {
    "VARCHAR": TEXT,
    "UUID": TEXT,
    "BOOLEAN": BOOLEAN,
    "TINYINT": exact(3),
    "UTINYINT": exact(3),
    "SMALLINT": exact(5),
    "USMALLINT": exact(5),
    "INTEGER": exact(10),
    "UINTEGER": exact(10),
    "BIGINT": exact(19),
    "UBIGINT": exact(20),
    "FLOAT": FLOAT32,
    "DOUBLE": FLOAT64,
    "DATE": DATE,
    "TIMESTAMP": TIMESTAMP,
    "TIMESTAMP_S": TIMESTAMP,
    "TIMESTAMP_MS": TIMESTAMP,
    "TIMESTAMP_NS": TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": TIMESTAMP,
    "TIMESTAMPTZ_NS": TIMESTAMP,
}
"""HUGEINT (39 digits), TIME, INTERVAL, BLOB, JSON, STRUCT, MAP and the like are in no rule's reach."""

_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_LIST = re.compile(r"(.+)\[\d*\]", re.DOTALL)

INTEGERS = frozenset({"TINYINT", "UTINYINT", "SMALLINT", "USMALLINT", "INTEGER", "UINTEGER", "BIGINT", "UBIGINT"})

_DECLARED: Mapping[str, str] = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "uuid": "UUID",
    "list of text": "VARCHAR[]",
    "list of number": "DOUBLE[]",
}


def language_type(stored: str) -> Type | None:
    """The language's type of a stored type; None if no rule can use it."""
    found = _DECIMAL.fullmatch(stored)
    if found:
        return exact(int(found[1]), int(found[2]))
    if stored.startswith("ENUM("):
        return TEXT
    element = _LIST.fullmatch(stored)
    if element:
        inner = language_type(element[1])
        return list_of(inner) if inner is not None and inner.kind in (Kind.TEXT, Kind.NUMBER) else None
    return _SIMPLE.get(stored)


def declared_type(written: str) -> str:
    """The stored type for what `fields` says of a column (`decimal(12,2)`, `list of text`...)."""
    return _DECLARED.get(written) or written.upper().replace(" ", "")


def key_kind(stored: str) -> str | None:
    """`integer`, `text` or `uuid`: the kinds a contact key may have; None for every other type."""
    if stored in INTEGERS:
        return "integer"
    return {"VARCHAR": "text", "UUID": "uuid"}.get(stored) or ("text" if stored.startswith("ENUM(") else None)


def family(kind: Type | None, stored: str) -> str:
    """Which stored types may stand for one column in different files: those that widen without changing what they mean."""
    if kind is None:
        return stored
    if kind.element is not None:
        return f"list of {family(kind.element, stored)}"
    return "float" if kind.is_float else str(kind.kind)


def shown(stored: str) -> str:
    """A stored type in words for messages: `text`, `number (DECIMAL(12,2))`, `STRUCT(...)`."""
    kind = language_type(stored)
    if kind is None:
        return stored if len(stored) <= 40 else f"{stored[:37]}..."
    if stored in INTEGERS:
        return f"integer ({stored})"
    return str(kind) if stored in ("VARCHAR", "BOOLEAN", "DATE", "TIMESTAMP") else f"{kind} ({stored})"
