"""Stored types and the language's types: DuckDB's type names, as scans yield them, to types that rules know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from segmentry.rules.types import BOOLEAN, DATE, FLOAT32, FLOAT64, MAX_DIGITS, TEXT, TIMESTAMP, Kind, Type, exact, list_of, struct_of

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
"""HUGEINT (39 digits), TIME, INTERVAL, BLOB, JSON, MAP and the like are in no rule's reach."""

_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_LIST = re.compile(r"(.+)\[\d*\]", re.DOTALL)
_STRUCT = re.compile(r"STRUCT\((.*)\)", re.DOTALL)
_PIECE = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[^'"]""", re.DOTALL)
_FIELD = re.compile(r"""\s*("(?:[^"]|"")*"|[^\s"]+)\s+(.+?)\s*""", re.DOTALL)

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


ELEMENT = "element"
"""What leads to what is within the elements of a list."""


def language_type(stored: str) -> Type | None:
    """The language's type of a stored type; None if no rule can use it."""
    found = _DECIMAL.fullmatch(stored)
    if found:
        return exact(int(found[1]), int(found[2])) if int(found[1]) <= MAX_DIGITS else None
    if stored.startswith("ENUM("):
        return TEXT
    element = element_type(stored)
    if element is not None:
        inner = language_type(element)
        return list_of(inner) if inner is not None and inner.kind in (Kind.TEXT, Kind.NUMBER, Kind.STRUCT) else None
    fields = {name: type for name, part in struct_fields(stored).items() if (type := language_type(part)) is not None}
    return struct_of(fields) if fields else _SIMPLE.get(stored)


def struct_fields(stored: str) -> dict[str, str]:
    """The fields of a struct by their exact names, each with its stored type; nothing for any other type."""
    found = _STRUCT.fullmatch(stored)
    pieces: list[str] = [""]
    depth = 0
    for piece in _PIECE.findall(found[1]) if found else ():
        depth += (piece == "(") - (piece == ")")
        if piece == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += piece
    named = [match for piece in pieces if (match := _FIELD.fullmatch(piece))]
    return {(name[1:-1].replace('""', '"') if name.startswith('"') else name): part for name, part in (match.groups() for match in named)}


def struct_type(fields: Mapping[str, str]) -> str:
    """The stored type of a struct with these fields."""
    return f"STRUCT({', '.join(f'{_quoted(name)} {part}' for name, part in fields.items())})"


def element_type(stored: str) -> str | None:
    """The stored type of a list's elements; None for what is no list."""
    found = _LIST.fullmatch(stored)
    return found[1] if found else None


def types_apart(one: str, other: str, way: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Where two stored types of one column can't stand for each other: the way inwards, and both types there."""
    fields, elements = (struct_fields(one), struct_fields(other)), (element_type(one), element_type(other))
    if all(fields):
        folded = {name.casefold(): part for name, part in fields[1].items()}
        shared = [name for name in fields[0] if name.casefold() in folded]
        for name in shared:
            yield from types_apart(fields[0][name], folded[name.casefold()], (*way, name))
        if not shared:
            yield way, one, other
    elif elements[0] is not None and elements[1] is not None and struct_fields(elements[0]) and struct_fields(elements[1]):
        yield from types_apart(elements[0], elements[1], (*way, ELEMENT))
    elif "NULL" not in (one, other) and _family(language_type(one), one) != _family(language_type(other), other):
        yield way, one, other


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def declared_type(written: str) -> str:
    """The stored type for what `fields` says of a column (`decimal(12,2)`, `list of text`...)."""
    return _DECLARED.get(written) or written.upper().replace(" ", "")


def key_kind(stored: str) -> str | None:
    """`integer`, `text` or `uuid`: the kinds a contact key may have; None for every other type."""
    if stored in INTEGERS:
        return "integer"
    return {"VARCHAR": "text", "UUID": "uuid"}.get(stored) or ("text" if stored.startswith("ENUM(") else None)


def _family(kind: Type | None, stored: str) -> str:
    """Which stored types may stand for one column in different files: those that widen without changing what they mean."""
    if kind is None:
        return stored
    if kind.element is not None:
        return f"list of {_family(kind.element, stored)}"
    return "float" if kind.is_float else str(kind.kind)


def shown(stored: str) -> str:
    """A stored type in words for messages: `text`, `number (DECIMAL(12,2))`, `STRUCT(...)`."""
    kind = language_type(stored)
    if kind is None or "STRUCT(" in stored:
        return stored if len(stored) <= 40 else f"{stored[:37]}..."
    if stored in INTEGERS:
        return f"integer ({stored})"
    return str(kind) if stored in ("VARCHAR", "BOOLEAN", "DATE", "TIMESTAMP") else f"{kind} ({stored})"
