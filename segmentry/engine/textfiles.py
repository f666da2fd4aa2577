"""CSV and NDJSON files: the type of every column, told by `fields` or read off all the values, once, at pinning.

A column is of a type only if every value in every file is. So nothing is guessed from a sample, `00123` stays text,
and no value can fail a later read.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb

from segmentry.engine.columns import declared_type, element_type, struct_fields, struct_type
from segmentry.engine.pinned import FileProblem
from segmentry.engine.scanning import Option, csv_options, ndjson_options
from segmentry.engine.snapshot import Format
from segmentry.rules.suggest import did_you_mean

_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = "[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"

READ_AS: tuple[tuple[str, str], ...] = (
    ("BIGINT", "-?(0|[1-9][0-9]{0,17})"),
    ("DOUBLE", "-?(0|[1-9][0-9]{0,14})([.][0-9]+)?([eE][-+]?[0-9]{1,2})?"),
    ("BOOLEAN", "true|false|True|False|TRUE|FALSE"),
    ("DATE", _DAY),
    ("TIMESTAMP", _DAY + _TIME),
    ("TIMESTAMP WITH TIME ZONE", f"{_DAY}{_TIME}(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)?"),
)
"""The types that text is read as, the first that every value has, and how those values look; else it stays text."""

_NATIVE = ("BIGINT", "UBIGINT", "DOUBLE", "BOOLEAN")
_TEXTUAL = ("VARCHAR", "DATE", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE", "TIME", "UUID")


class TextColumns(NamedTuple):
    """What text files turn out to hold."""

    columns: dict[str, str]
    """Every column's stored type, in the files' order."""
    rows: int
    wrong: dict[str, FileProblem]
    """Declared columns that are not there, or whose values their type can't hold."""


def text_columns(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], kind: Format, fields: Mapping[str, str]) -> TextColumns:
    """The columns of the files; `fields` is what the workspace declares, column to language type. Raises FileProblem."""
    return _csv_columns(connection, paths, fields) if kind is Format.CSV else _ndjson_columns(connection, paths, fields)


def _csv_columns(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], fields: Mapping[str, str]) -> TextColumns:
    header = _header(paths[0])
    for path in paths[1:]:
        if _header(path) != header:
            hint = "CSV files of one source have the same columns in the same order"
            raise FileProblem("S203", f"{path.name} has another header than {paths[0].name}", hint)
    wrong = _not_there(fields, header)
    as_text = dict.fromkeys(header, "VARCHAR")
    declared = {name: declared_type(fields[name]) for name in header if name in fields}
    told = [name for name in header if name not in declared]
    possible = {name: [kind for kind, _ in READ_AS] for name in told}
    filled = dict.fromkeys(told, 0)
    rows = 0
    for path in paths:
        source = scan_text("read_csv", [path], csv_options(as_text))
        count, counts = _survey(connection, source, told, path)
        rows += count
        for name, (values, fitting) in counts.items():
            filled[name] += values
            possible[name] = [kind for kind in possible[name] if fitting[kind] == values]
        wrong |= {name: problem for name, problem in _misfits(connection, source, declared, fields, path).items() if name not in wrong}
    found = {name: possible[name][0] if possible[name] and filled[name] else "VARCHAR" for name in told}
    return TextColumns({name: declared.get(name) or found[name] for name in header}, rows, wrong)


def _ndjson_columns(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], fields: Mapping[str, str]) -> TextColumns:
    names = [str(path) for path in paths]
    sniff = "describe select * from read_json(?, format='newline_delimited', sample_size=-1, hive_partitioning=false)"
    types = {str(name): str(kind) for name, kind, *_ in _run(connection, sniff, [names], paths)}
    wrong = _not_there(fields, types)
    double = next((name for name in types if [other.casefold() for other in types].count(name.casefold()) > 1), None)
    if double is not None:
        raise FileProblem("S206", f"{paths[0].name} has more than one key `{double}`", "names must differ in more than case; rename one")
    declared = {name: declared_type(fields[name]) for name in types if name in fields}
    columns = {name: _json_type(kind) for name, kind in types.items()} | declared
    textual = [name for name, kind in columns.items() if kind == "VARCHAR" and name not in declared]
    source = scan_text("read_json", paths, ndjson_options(dict.fromkeys(types, "VARCHAR")))
    rows, counts = _survey(connection, source, textual, paths[0])
    for name, (values, fitting) in counts.items():
        kinds = [kind for kind, _ in READ_AS[3:] if fitting[kind] == values]
        columns[name] = kinds[0] if kinds and values else "VARCHAR"
    wrong |= _misfits(connection, source, declared, fields, paths[0])
    if not wrong:  # JSON's own types are sniffed; reading all values once proves that a run can
        everything = ", ".join(f"count({identifier(name)})" for name in columns) or "count(*)"
        _run(connection, f"select {everything} from {scan_text('read_json', paths, ndjson_options(columns))}", [], paths)
    return TextColumns(columns, rows, wrong)


def _json_type(sniffed: str) -> str:
    """How a JSON value is read: numbers and truth values as they are, text as text, lists, objects field by field.

    All else is JSON, which no rule can use. Times within objects are text: only those of a column of their own are told from it.
    """
    if sniffed in _NATIVE:
        return sniffed
    if sniffed in _TEXTUAL:
        return "VARCHAR"
    fields, element = struct_fields(sniffed), element_type(sniffed)
    if fields:
        return struct_type({name: _json_type(part) for name, part in fields.items()})
    if element is not None and (element in (*_NATIVE, *_TEXTUAL) or struct_fields(element)):
        inner = _json_type(element)
        return f"{inner}[]" if inner != "JSON" else inner
    return "JSON"


def _not_there(fields: Mapping[str, str], columns: Collection[str]) -> dict[str, FileProblem]:
    return {
        name: FileProblem("S204", f"there is no column `{name}`", did_you_mean(name, columns)) for name in fields if name not in columns
    }


def _survey(
    connection: duckdb.DuckDBPyConnection, source: str, names: Sequence[str], path: Path
) -> tuple[int, dict[str, tuple[int, dict[str, int]]]]:
    """Rows, and per text column: how many values, and how many of them each type could be."""
    asked = ["count(*)"]
    for name in names:
        column = identifier(name)
        asked.append(f"count({column})")
        for kind, pattern in READ_AS:
            asked.append(f"count(*) filter (regexp_full_match({column}, '{pattern}') and try_cast({column} as {kind}) is not null)")
    answers = iter([int(str(answer)) for answer in _run(connection, f"select {', '.join(asked)} from {source}", [], [path])[0]])
    rows = next(answers)
    return rows, {name: (next(answers), {kind: next(answers) for kind, _ in READ_AS}) for name in names}


def _misfits(
    connection: duckdb.DuckDBPyConnection, source: str, declared: Mapping[str, str], fields: Mapping[str, str], path: Path
) -> dict[str, FileProblem]:
    """Declared columns with values that their types can't hold."""
    if not declared:
        return {}
    asked = []
    for name, kind in declared.items():
        column = identifier(name)
        bad = f"{column} is not null and try_cast({column} as {kind}) is null"
        asked += [f"count(*) filter ({bad})", f"min({column}) filter ({bad})"]
    answers = iter(_run(connection, f"select {', '.join(asked)} from {source}", [], [path])[0])
    found = {}
    for name in declared:
        count, example = int(str(next(answers))), next(answers)
        if count:
            values = "a value" if count == 1 else f"{count:,} values"
            found[name] = FileProblem(
                "S205", f"{path.name}: `{name}` has {values} that can't be read as {fields[name]}", f"like {str(example)[:60]!r}"
            )
    return found


def _header(path: Path) -> list[str]:
    """A CSV file's column names; raises FileProblem if they can't be told or used."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = next(csv.reader(stream, strict=True), [])
    except UnicodeDecodeError:
        raise FileProblem("S202", f"{path.name} is not UTF-8", "write it in UTF-8") from None
    except csv.Error as error:
        raise FileProblem("S202", f"{path.name} has no readable header", str(error)[:120]) from None
    if not header or not any(header):
        raise FileProblem("S202", f"{path.name} has no header", "the first line names the columns")
    if "" in header:
        raise FileProblem("S202", f"{path.name}: column {header.index('') + 1} has no name", "the first line names every column")
    if len(header) == 1 and re.search(r"[;\t|]", header[0]):
        raise FileProblem("S202", f"{path.name} is not separated by commas", "write it with commas between the columns")
    repeated = next((name for name in header if [n.casefold() for n in header].count(name.casefold()) > 1), None)
    if repeated is not None:
        raise FileProblem("S206", f"{path.name} has more than one column `{repeated}`", "names must differ in more than case; rename one")
    return header


def scan_text(function: str, paths: Sequence[Path | str], options: Mapping[str, Option]) -> str:
    """`read_csv([...], ...)` as SQL text, every value quoted."""
    files = ", ".join(literal(str(path)) for path in paths)
    return f"{function}([{files}], {', '.join(f'{name} = {literal(option)}' for name, option in options.items())})"


def literal(value: Option) -> str:
    """A value as a DuckDB literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "{" + ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in value.items()) + "}"


def identifier(name: str) -> str:
    """A name as a DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def _run(connection: duckdb.DuckDBPyConnection, query: str, values: list[object], paths: Sequence[Path]) -> list[tuple[object, ...]]:
    """The rows of a query over text files; raises FileProblem for what DuckDB can't read in them."""
    try:
        rows: list[tuple[object, ...]] = connection.execute(query, values).fetchall()
    except duckdb.Error as error:
        raise _unreadable(str(error), paths) from None
    return rows


def _unreadable(message: str, paths: Sequence[Path]) -> FileProblem:
    """DuckDB's complaint about a text file, shortened to what a reader needs."""
    name = next((path.name for path in paths if path.name in message), paths[0].name)
    if "not utf-8" in message or "unicode" in message.lower():
        line = re.search(r"Line: (\d+)", message)
        return FileProblem("S202", f"{name} is not UTF-8" + (f" (line {line[1]})" if line else ""), "write it in UTF-8")
    shape = re.search(r"on Line: (\d+).*Expected Number of Columns: (\d+) Found: (\d+)", message, re.DOTALL)
    if shape:
        return FileProblem(
            "S202", f"{name}, line {shape[1]} has {shape[3]} columns, the header {shape[2]}", "cells with commas stand in double quotes"
        )
    if "JSON" in message:
        for path in paths:
            bad = _first_bad_line(path)
            if bad is not None:
                return FileProblem("S202", f"{path.name}, line {bad} is not JSON", "each line is one JSON object")
    where = re.search(r"in line (\d+)", message)
    first = re.sub(r' in file ".*?"', "", re.sub(r"^.*?Error: ", "", message.splitlines()[0])).strip()
    return FileProblem("S202", f"{name}{f', line {where[1]}' if where else ''} can't be read", first[:160])


def _first_bad_line(path: Path) -> int | None:
    """The first line of an NDJSON file that is no JSON object, counted from 1."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                if line.strip() and not isinstance(json.loads(line), dict):
                    return number
            except ValueError:
                return number
    return None
