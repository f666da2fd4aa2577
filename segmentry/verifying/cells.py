"""Cells of Arrow columns as the language has them: what is missing is None, instants are UTC microseconds, days whole numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from segmentry.rules.types import Kind, Type

PER_MICROSECOND = {"s": 1_000_000, "ms": 1_000, "us": 1}
ENDLESS = -(2**63) + 1
"""From this number down, and from its opposite up, some programs read an instant as infinitely far."""

BEYOND = 2**63
"""An instant, in microseconds, that is beyond every calendar."""


class UnreadColumn(ValueError):  # noqa: N818 - what it says goes into a report
    """A column that is not read here; the message says how it is held."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A cell of a column that is not read here."""

    why: str


def cells(column: pa.Array | pa.ChunkedArray, type: Type) -> list[Any]:
    """The column's values, for a column of that type in the language."""
    column = plain(column)
    reads = READS.get(type.kind)
    if reads is None or not reads[0](column.type):
        raise UnreadColumn(f"it is held as {column.type}")
    found: list[Any] = reads[1](column, type)
    return found


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array, without dictionaries and extension types."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def value(found: Any, type: Type) -> Any:
    """One value that is text, a number or a boolean; None where it is missing."""
    if found is None or found == "" or (isinstance(found, float) and math.isnan(found)):
        return None
    if isinstance(found, Decimal):
        return Fraction(found)
    return UUID(bytes=found).__str__() if isinstance(found, bytes) else float(found) if type.is_float else found


def _values(column: pa.Array, type: Type) -> list[Any]:
    return [value(found, type) for found in column.to_pylist()]


def _instants(column: pa.Array, _type: Type) -> list[int | None]:
    unit = column.type.unit
    found: list[int | None] = []
    for number in column.view(pa.int64()).to_pylist():
        if number is None or not ENDLESS < number < -ENDLESS:
            found.append(None if number is None else BEYOND)
        else:
            found.append(number // 1_000 if unit == "ns" else number * PER_MICROSECOND[unit])
    return found


def _days(column: pa.Array, _type: Type) -> list[int | None]:
    if pa.types.is_date32(column.type):
        return list(column.view(pa.int32()).to_pylist())
    return [None if millis is None else millis // 86_400_000 for millis in column.view(pa.int64()).to_pylist()]


def _lists(column: pa.Array, type: Type) -> list[tuple[Any, ...] | None]:
    element = type.element
    assert element is not None
    if element.kind is not Kind.STRUCT:
        return [None if found is None else tuple(value(one, element) for one in found) for found in column.to_pylist()]
    elements = iter(cells(column.flatten(), element))  # those of missing lists are left out
    return [None if size is None else tuple(next(elements) for _ in range(size)) for size in pc.list_value_length(column).to_pylist()]


def _structs(column: pa.Array, type: Type) -> list[dict[str, Any] | None]:
    """Each struct by its fields' names; a field that this file lacks is missing."""
    held = {field.name.casefold(): part for field, part in zip(column.type, column.flatten(), strict=True)}
    parts = {name: cells(held[name.casefold()], part) for name, part in type.fields if name.casefold() in held}
    valid = column.is_valid().to_pylist()
    return [{name: part[row] for name, part in parts.items()} if is_there else None for row, is_there in enumerate(valid)]


def _is_text(kind: pa.DataType) -> bool:
    is_uuid = pa.types.is_fixed_size_binary(kind) and kind.byte_width == 16
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or is_uuid)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_list(kind: pa.DataType) -> bool:
    held = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(held) and (_is_number(kind.value_type) or _is_text(kind.value_type) or pa.types.is_struct(kind.value_type))


READS = {
    Kind.TEXT: (_is_text, _values),
    Kind.NUMBER: (_is_number, _values),
    Kind.BOOLEAN: (pa.types.is_boolean, _values),
    Kind.TIMESTAMP: (pa.types.is_timestamp, _instants),
    Kind.DATE: (pa.types.is_date, _days),
    Kind.LIST: (_is_list, _lists),
    Kind.STRUCT: (pa.types.is_struct, _structs),
}
"""Per kind: which Arrow types are read as it, and how."""


def among(column: pa.Array | pa.ChunkedArray, keys: list[int] | list[str]) -> pa.Array:
    """Which rows of a column of keys have one of these keys."""
    column = plain(column)
    kind = column.type
    wanted: list[Any] = list(keys)
    if pa.types.is_integer(kind):
        bits = kind.bit_width
        held = range(2**bits) if pa.types.is_unsigned_integer(kind) else range(-(2 ** (bits - 1)), 2 ** (bits - 1))
        wanted = [key for key in keys if isinstance(key, int) and key in held]
    elif pa.types.is_fixed_size_binary(kind):
        wanted = [UUID(str(key)).bytes for key in keys]
    elif not _is_text(kind):
        raise UnreadColumn(f"keys are held as {kind}")
    return pc.is_in(column, value_set=pa.array(wanted, kind))
