"""`contacts.aliases`: which keys contacts had before they were merged or re-keyed, and which key each goes on under."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from segmentry.engine.columns import key_kind
from segmentry.engine.keys import typed_key
from segmentry.engine.snapshot import Column
from segmentry.errors import NotFound, SourceError
from segmentry.rules.diagnostics import Diagnostic, Location
from segmentry.rules.suggest import did_you_mean

OLD, NEW = "old_key", "new_key"
SHOWN = 5
"""How many problems of a kind are shown; the rest are counted."""
LONGEST = 8
"""How many keys of a circle are shown."""

_WANTED = {"integer": "an integer", "uuid": "a UUID", "text": "text"}

Key = int | str


@dataclass(frozen=True)
class Aliases:
    """Former keys and what they became.

    `mapping` has a row per former key, `old` and `new`, sorted by `old`: chains are followed, so that no `new` is an `old`.
    Both are typed as static lists are: Int64 (UInt64 beside an unsigned 64-bit key) or String.
    """

    mapping: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _Row:
    """One line: the two keys as text, missing where nothing stands, and its number; Parquet's rows count from 1."""

    old: str | None
    new: str | None
    line: int


def read_aliases(path: Path, key: Column, shown: str | None = None) -> Aliases:
    """The aliases in a CSV or Parquet file; `key` is the contacts' key column, `shown` the file's name in messages.

    Raises SourceError with every problem: keys that are none, a key that became two, circles.
    """
    name = shown or path.name
    try:
        found = _parquet_rows(path, name) if path.suffix in (".parquet", ".pq") else _text_rows(path, name)
    except OSError as error:
        raise SourceError([Diagnostic("S601", f"{name} can't be read: {(error.strerror or str(error)).lower()}")]) from None
    became, problems = _typed(found, key, name)
    survivors, circles = _followed(became)
    problems += _few([_circle(circle, name) for circle in circles], "S605", name, "circles")
    if problems:
        raise SourceError(problems)
    kind = _dtype(key)
    olds = sorted(survivors, key=lambda old: (isinstance(old, str), old))
    return Aliases(pl.DataFrame({"old": olds, "new": [survivors[old] for old in olds]}, schema={"old": kind, "new": kind}))


def _dtype(key: Column) -> type[pl.DataType]:
    if key_kind(key.stored) != "integer":
        return pl.String
    return pl.UInt64 if key.stored == "UBIGINT" else pl.Int64


# ---------------------------------------------------------------- reading


def _text_rows(path: Path, name: str) -> list[_Row]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SourceError([Diagnostic("S601", f"{name} is not UTF-8", location=Location(name, line, 1), help="save it as UTF-8")]) from None
    reader = csv.reader(io.StringIO(text, newline=""))
    columns: tuple[int, int] | None = None
    rows: list[_Row] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = _columns([cell.strip() for cell in cells], name, ",".join(cells)[:200])
                continue
            old, new = (cells[at].strip() if at < len(cells) else "" for at in columns)
            rows.append(_Row(old or None, new or None, reader.line_num))
    except csv.Error as error:
        raise SourceError([Diagnostic("S601", f"{name} can't be read: {error}", location=Location(name, reader.line_num, 1))]) from None
    if columns is None:
        _columns([], name)
    return rows


def _parquet_rows(path: Path, name: str) -> list[_Row]:
    try:
        names = pq.read_schema(path).names
        old, new = (names[at] for at in _columns(names, name))
        read = pq.read_table(path, columns=[old, new])
    except pa.ArrowException as error:
        raise SourceError([Diagnostic("S601", f"{name} can't be read", help=str(error).splitlines()[0][:160])]) from None
    pairs = zip(read.column(old).to_pylist(), read.column(new).to_pylist(), strict=True)
    return [_Row(_text(old), _text(new), number) for number, (old, new) in enumerate(pairs, 1)]


def _text(value: object) -> str | None:
    return None if value is None or value == "" else str(value)


def _columns(header: Sequence[str], name: str, text: str = "") -> tuple[int, int]:
    """Where the two columns are; raises SourceError if one is not there."""
    folded = [cell.casefold() for cell in header]
    missing = [column for column in (OLD, NEW) if column not in folded]
    if missing:
        raise SourceError(
            Diagnostic(
                "S602",
                f"{name} has no column `{column}`",
                location=Location(name, 1, 1, text),
                help=did_you_mean(column, header),
                notes=(f"an alias file has a header, and in it `{OLD}` and `{NEW}`",),
            )
            for column in missing
        )
    return folded.index(OLD), folded.index(NEW)


# ---------------------------------------------------------------- what they say


def _typed(rows: Iterable[_Row], key: Column, name: str) -> tuple[dict[Key, Key], list[Diagnostic]]:
    """What each key became, as the lines say it, and the problems of single lines and of keys that became two."""
    became: dict[Key, Key] = {}
    told: dict[Key, int] = {}
    bad: list[Diagnostic] = []
    split: list[Diagnostic] = []
    for row in rows:
        pair: list[Key] = []
        for column, written in ((OLD, row.old), (NEW, row.new)):
            typed = None if written is None else _key(written, key)
            if typed is None:
                bad.append(_no_key(column, written, key, Location(name, row.line, 1)))
            else:
                pair.append(typed)
        if len(pair) < 2:
            continue
        old, new = pair
        if became.setdefault(old, new) != new:
            message = f"`{old}` became `{became[old]}` by line {told[old]}, and `{new}` here"
            split.append(Diagnostic("S604", message, location=Location(name, row.line, 1), help="keep one"))
        told.setdefault(old, row.line)
    return became, [
        *_few(bad, "S603", name, "keys that are none"),
        *_few(split, "S604", name, "lines about keys that became two"),
    ]


def _key(written: str, key: Column) -> Key | None:
    try:
        typed = typed_key(written, key)
    except NotFound:
        return None
    held = range(2**64) if key.stored == "UBIGINT" else range(-(2**63), 2**63)
    return typed if isinstance(typed, str) or typed in held else None


def _no_key(column: str, written: str | None, key: Column, at: Location) -> Diagnostic:
    if written is None:
        return Diagnostic("S603", f"`{column}` is missing", location=at, help="write the key, or remove the line")
    wanted = _WANTED[key_kind(key.stored) or "text"]
    return Diagnostic("S603", f"`{column}` is `{written[:60]}`, which is no key: `{key.name}` is {wanted}", location=at)


def _followed(became: Mapping[Key, Key]) -> tuple[dict[Key, Key], list[list[Key]]]:
    """Each former key with the one that it is in the end, and circles, each from its first key on and back to it."""
    survivors: dict[Key, Key] = {}
    circles: list[list[Key]] = []
    lost: set[Key] = set()
    for first in became:
        way: dict[Key, None] = {}
        at = first
        while at in became and at not in survivors and at not in way and at not in lost:
            way[at] = None
            at = became[at]
        if at in way:
            keys = list(way)
            circles.append([*keys[keys.index(at) :], at])
        if at in way or at in lost:
            lost.update(way)
        else:
            survivors.update(dict.fromkeys(way, survivors.get(at, at)))
    return survivors, circles


def _circle(circle: Sequence[Key], name: str) -> Diagnostic:
    if len(circle) == 2:
        return Diagnostic("S605", f"`{circle[0]}` became itself in {name}", help="remove the line")
    path = " -> ".join(str(step) for step in circle)
    if len(circle) > LONGEST + 1:
        path = " -> ".join([*(str(step) for step in circle[:LONGEST]), "...", str(circle[-1])])
    return Diagnostic("S605", f"keys in {name} became each other in a circle: {path}", help="remove one of these lines")


def _few(problems: Sequence[Diagnostic], code: str, name: str, what: str) -> list[Diagnostic]:
    """The first problems of a kind, and how many more there are."""
    if len(problems) <= SHOWN:
        return list(problems)
    return [*problems[:SHOWN], Diagnostic(code, f"{name} has {len(problems) - SHOWN} more {what}")]
