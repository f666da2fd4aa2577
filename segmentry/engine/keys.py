"""Contact keys: as people type them, in the key's own type; and whether a snapshot's can be keys at all."""

from __future__ import annotations

import re
from uuid import UUID

import polars as pl

from segmentry.engine.columns import key_kind
from segmentry.engine.snapshot import Column
from segmentry.errors import NotFound, SourceError
from segmentry.rules.diagnostics import Diagnostic

EXAMPLES = 5
"""So many of the keys that are wrong are shown."""

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


def check_keys(keys: pl.Series) -> None:
    """Raises SourceError for every way in which these can't be contacts' keys."""
    if not len(keys):
        raise SourceError([Diagnostic("S306", "the contact snapshot has no rows", help="an empty snapshot would empty every segment")])
    problems = []
    if keys.null_count():
        rows = ", ".join(str(row) for row in keys.is_null().arg_true().head(EXAMPLES) + 1)
        message = f"{_contacts(keys.null_count())} without a key (`{keys.name}` is missing or empty)"
        problems.append(Diagnostic("S307", message, notes=(f"for example in row {rows}",)))
    present = keys.drop_nulls()
    # most snapshots are in the keys' order, and then equal ones stand beside each other
    repeated = len(present) - present.set_sorted().n_unique() if present.is_sorted() else len(present) - present.n_unique()
    if repeated:
        twice = present.filter(present.is_duplicated()).unique().sort().head(EXAMPLES).to_list()
        message = f"{_contacts(repeated)} with a key that another contact has (`{keys.name}`)"
        problems.append(Diagnostic("S308", message, notes=(f"for example {', '.join(repr(key) for key in twice)}",)))
    if problems:
        raise SourceError(problems)


def _contacts(number: int) -> str:
    return f"{number:,} contact{'s' if number != 1 else ''}"
