"""The types of the language (docs/rules.md, "Values and types"). A type knows no engine and no storage format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    DATE = "date"
    LIST = "list"
    STRUCT = "struct"
    DURATION = "duration"


@dataclass(frozen=True, slots=True)
class Type:
    """One type. Numbers are exact (`precision` decimal digits, `scale` of them after the point) or float (`width` bits)."""

    kind: Kind
    precision: int = 0
    scale: int = 0
    width: int = 0
    element: Type | None = None
    fields: tuple[tuple[str, Type], ...] = ()
    """Of a struct: its fields that a rule can use, by their exact names."""

    @property
    def is_exact(self) -> bool:
        """An integer or decimal."""
        return self.kind is Kind.NUMBER and not self.width

    @property
    def is_float(self) -> bool:
        return self.kind is Kind.NUMBER and bool(self.width)

    def __str__(self) -> str:
        return f"list of {self.element}" if self.kind is Kind.LIST else str(self.kind)


MAX_DIGITS = 38
"""Digits of the widest exact number: DECIMAL(38) in DuckDB, Spark and Arrow's decimal128."""

TEXT = Type(Kind.TEXT)
BOOLEAN = Type(Kind.BOOLEAN)
TIMESTAMP = Type(Kind.TIMESTAMP)
DATE = Type(Kind.DATE)
DURATION = Type(Kind.DURATION)
FLOAT32 = Type(Kind.NUMBER, width=32)
FLOAT64 = Type(Kind.NUMBER, width=64)
COUNT = Type(Kind.NUMBER, precision=19)
"""What `count` gives: a 64-bit integer."""


def exact(precision: int, scale: int = 0) -> Type:
    """An integer (scale 0) or decimal type of at most 38 digits."""
    return Type(Kind.NUMBER, precision=min(precision, MAX_DIGITS), scale=scale)


def list_of(element: Type) -> Type:
    """A list of text, of numbers or of structs."""
    return Type(Kind.LIST, element=element)


def struct_of(fields: Mapping[str, Type]) -> Type:
    """A struct: values under names."""
    return Type(Kind.STRUCT, fields=tuple(fields.items()))
