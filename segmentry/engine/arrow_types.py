"""Where DuckDB reads a column as something it is not: under which name no rule can use it."""

from __future__ import annotations

import pyarrow as pa

from segmentry.engine.columns import element_type, struct_fields, struct_type
from segmentry.rules.types import MAX_DIGITS

ALIKE = "STRUCT WITH FIELDS ALIKE"
"""A struct with fields whose names differ only in case; DuckDB gives some of them other names."""


def as_written(stored: str, kind: pa.DataType) -> str:
    """The type that DuckDB reads, but for parts that it reads as another: wide decimals as floats, durations as integers."""
    element, fields = element_type(stored), struct_fields(stored)
    if element is not None and (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return as_written(element, kind.value_type) + stored[len(element) :]
    if fields and pa.types.is_struct(kind):
        parts = {field.name.casefold(): field.type for field in kind}
        if len(parts) < kind.num_fields:
            return ALIKE
        found = {name: as_written(part, parts[folded]) if (folded := name.casefold()) in parts else part for name, part in fields.items()}
        return stored if found == fields else struct_type(found)
    if pa.types.is_decimal(kind) and kind.precision > MAX_DIGITS:
        return f"DECIMAL({kind.precision},{kind.scale})"
    return "DURATION" if pa.types.is_duration(kind) else stored
