"""Contact keys as people type them, in the key's own type."""

from __future__ import annotations

import re
from uuid import UUID

from segmentry.engine.columns import key_kind
from segmentry.engine.snapshot import Column
from segmentry.errors import NotFound

_INTEGERS = range(-(2**63), 2**64)
"""Whole numbers that some integer column can hold."""

_FITTING = {"integer": "integers of at most 64 bits", "uuid": "UUIDs", "text": "text"}


def typed_key(written: object, key: Column) -> int | str:
    """A key as it was written, or given in Python, as the snapshot has it: an integer, or text (UUIDs lower case with hyphens).

    Raises NotFound for what can't be a key of that type: no contact has it.
    """
    kind = key_kind(key.stored)
    text = str(written).strip() if kind != "text" else str(written)
    try:
        if kind == "integer" and re.fullmatch(r"[+-]?[0-9]+", text) and (number := int(text)) in _INTEGERS:
            return number
        if kind == "uuid":
            return str(UUID(text))
        if kind == "text":
            return text
    except ValueError:
        pass
    raise NotFound(f"there is no contact {text!r}: keys (`{key.name}`) are {_FITTING[kind or 'text']}")
