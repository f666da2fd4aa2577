"""Static lists: files of contact keys, one a line, or a column named as the key."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from segmentry.engine.columns import key_kind
from segmentry.engine.snapshot import Column
from segmentry.errors import SourceError
from segmentry.rules.diagnostics import Diagnostic, Location
from segmentry.rules.suggest import did_you_mean

SHOWN = 5
"""How many bad lines of one list are shown; the rest are counted."""

_UUID = r"^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$"
_WANTED = {"integer": "an integer", "uuid": "a UUID", "text": "text"}


@dataclass(frozen=True)
class StaticList:
    """A list's distinct keys in the order of the file, and how many more lines repeated one.

    Integer keys are Int64 (UInt64 beside an unsigned 64-bit key); text and UUIDs (lower case, hyphens) are String.
    """

    keys: pl.Series
    duplicates: int


def read_lists(paths: Mapping[str, Path], key: Column) -> dict[str, StaticList]:
    """Every list by its path as written; raises SourceError with the problems of all of them."""
    found: dict[str, StaticList] = {}
    problems: list[Diagnostic] = []
    for written, path in paths.items():
        try:
            found[written] = read_list(path, key, written)
        except SourceError as error:
            problems.extend(error.diagnostics)
    if problems:
        raise SourceError(problems)
    return found


def read_list(path: Path, key: Column, shown: str | None = None) -> StaticList:
    """The keys in a CSV, text or Parquet file; `key` is the contacts' key column, `shown` the file's name in messages.

    Blank lines don't count; keys that are no contacts are kept. Raises SourceError with the problems, bad keys by line.
    """
    name = shown or path.name
    try:
        texts, lines = _parquet_keys(path, key, name) if path.suffix in (".parquet", ".pq") else _text_keys(path, key, name)
    except OSError as error:
        raise SourceError([Diagnostic("S501", f"{name} can't be read: {(error.strerror or str(error)).lower()}")]) from None
    keys = _typed(texts, key)
    bad = (keys.is_null()).arg_true().to_list()
    if bad:
        raise SourceError(_bad_keys(name, key, [(lines[index], texts[index]) for index in bad]))
    distinct = keys.unique(maintain_order=True)
    return StaticList(distinct, len(keys) - len(distinct))


def _text_keys(path: Path, key: Column, name: str) -> tuple[list[str], Sequence[int]]:
    """The keys as text and the line of each."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problem = Diagnostic("S501", f"{name} is not UTF-8", location=Location(name, line, 1), help="save the list as UTF-8")
        raise SourceError([problem]) from None
    reader = csv.reader(io.StringIO(text, newline=""))
    column: int | None = None
    width = 0
    keys: list[str] = []
    lines: list[int] = []
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if column is None:
                width = len(row)
                column, is_header = _column(row, key, name)
                if is_header:
                    continue
            if width == 1 and any(cell.strip() for cell in row[1:]):  # half a key would be another contact
                raise SourceError([_too_wide(name, reader.line_num, row)])
            cell = row[column].strip() if column < len(row) else ""
            if cell:
                keys.append(cell)
                lines.append(reader.line_num)
    except csv.Error as error:
        problem = Diagnostic("S501", f"{name} can't be read: {error}", location=Location(name, reader.line_num, 1))
        raise SourceError([problem]) from None
    return keys, lines


def _column(row: Sequence[str], key: Column, name: str) -> tuple[int, bool]:
    """Which column of a list has the keys, by its first line, and whether that line is a header."""
    header = [cell.strip() for cell in row]
    if key.name in header:
        return header.index(key.name), True
    folded = [cell.casefold() for cell in header]
    if folded.count(key.name.casefold()) == 1:
        return folded.index(key.name.casefold()), True
    if len(header) == 1:
        return 0, False
    help_ = did_you_mean(key.name, header)
    hint = f"`{key.name}` is the contacts' key; a list has it as a column, or one key a line"
    location = Location(name, 1, 1, ",".join(row))
    problem = Diagnostic("S502", f"{name} has no column `{key.name}`", location=location, help=help_, notes=(hint,))
    raise SourceError([problem])


def _too_wide(name: str, line: int, row: Sequence[str]) -> Diagnostic:
    shown = ",".join(row)[:200]
    hint = "a key with a comma stands in double quotes"
    return Diagnostic("S503", f"{name} has one key a line, and more in this one", location=Location(name, line, 1, shown), help=hint)


def _parquet_keys(path: Path, key: Column, name: str) -> tuple[list[str], Sequence[int]]:
    """The keys of a Parquet list as text, and the row of each, counted from 1."""
    try:
        names = pq.read_schema(path).names
        found = next((n for n in names if n == key.name), None) or next((n for n in names if n.casefold() == key.name.casefold()), None)
        if found is None:
            problem = Diagnostic("S502", f"{name} has no column `{key.name}`", help=did_you_mean(key.name, names))
            raise SourceError([problem])
        values = pq.read_table(path, columns=[found]).column(found).to_pylist()
    except pa.ArrowException as error:
        problem = Diagnostic("S501", f"{name} can't be read", help=str(error).splitlines()[0][:160])
        raise SourceError([problem]) from None
    kept = [(row, str(value)) for row, value in enumerate(values, 1) if value is not None and str(value) != ""]
    return [value for _, value in kept], [row for row, _ in kept]


def _typed(texts: list[str], key: Column) -> pl.Series:
    """The keys in the key's type, null where a text is none."""
    series = pl.Series(key.name, texts, pl.String)
    kind = key_kind(key.stored)
    if kind == "integer":
        whole = pl.when(series.str.contains(r"^[+-]?[0-9]+$")).then(series)
        number = pl.select(whole.alias(key.name)).to_series()
        return number.cast(pl.UInt64 if key.stored == "UBIGINT" else pl.Int64, strict=False)
    if kind == "uuid":
        lower = series.str.to_lowercase()
        plain = lower.str.replace_all("-", "", literal=True)
        parts = [plain.str.slice(start, length) for start, length in ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))]
        hyphened = pl.select(pl.concat_str([pl.lit(part) for part in parts], separator="-").alias(key.name)) if len(series) else None
        if hyphened is None:
            return series
        return pl.select(pl.when(lower.str.contains(_UUID)).then(hyphened.to_series()).alias(key.name)).to_series()
    return series


def _bad_keys(name: str, key: Column, bad: Sequence[tuple[int, str]]) -> list[Diagnostic]:
    wanted = _WANTED[key_kind(key.stored) or "text"]
    problems = [
        Diagnostic(
            "S503", f"`{text[:60]}` is no key: `{key.name}` is {wanted}", location=Location(name, line, 1, text[:200], len(text[:200]))
        )
        for line, text in bad[:SHOWN]
    ]
    if len(bad) > SHOWN:
        problems.append(Diagnostic("S503", f"{name} has {len(bad) - SHOWN} more lines that are no keys"))
    return problems
