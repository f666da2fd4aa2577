"""CSV and NDJSON files: the type of every column, told by `fields` or read off all the values, once, at pinning.

A column is of a type only if every value in every file is. So nothing is guessed from a sample, `00123` stays text,
and no value can fail a later read.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from segmentry.engine.columns import declared_type
from segmentry.engine.pinned import FileProblem
from segmentry.engine.scanning import Option, csv_options, ndjson_options
from segmentry.engine.snapshot import Format

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


def connect() -> duckdb.DuckDBPyConnection:
    """A DuckDB of its own in memory, that installs nothing and whose zone is UTC."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    connection.execute("set TimeZone = 'UTC'")
    return connection


def text_columns(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], kind: Format, fields: Mapping[str, str]
) -> tuple[dict[str, str], int]:
    """Every column's stored type, in the files' order, and the number of rows; raises FileProblem.

    `fields` is what the workspace declares: column to language type.
    """
    declared = {name: declared_type(written) for name, written in fields.items()}
    if kind is Format.CSV:
        return _csv_columns(connection, paths, declared)
    return _ndjson_columns(connection, paths, declared)


def _csv_columns(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], declared: Mapping[str, str]) -> tuple[dict[str, str], int]:
    header = _header(paths[0])
    for path in paths[1:]:
        if _header(path) != header:
            raise FileProblem(
                "S203",
                f"{path.name} has another header than {paths[0].name}",
                "CSV files of one source have the same columns in the same order",
            )
    as_text = dict.fromkeys(header, "VARCHAR")
    possible: dict[str, list[str]] = {name: [kind for kind, _ in READ_AS] for name in header}
    filled = dict.fromkeys(header, 0)
    rows = 0
    for path in paths:
        source = scan_text("read_csv", [path], csv_options(as_text))
        count, counts = _survey(connection, source, header, declared, path)
        rows += count
        for name, (values, fitting) in counts.items():
            filled[name] += values
            possible[name] = [kind for kind in possible[name] if fitting[kind] == values]
    found = {name: possible[name][0] if possible[name] and filled[name] else "VARCHAR" for name in header}
    return {name: declared.get(name, found[name]) for name in header}, rows


def _ndjson_columns(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], declared: Mapping[str, str]
) -> tuple[dict[str, str], int]:
    names = [str(path) for path in paths]
    sniffed = _run(
        connection,
        "describe select * from read_json(?, format='newline_delimited', sample_size=-1, hive_partitioning=false)",
        [names],
        paths,
    )
    types = {str(name): str(kind) for name, kind, *_ in sniffed}
    textual = [name for name, kind in types.items() if kind in _TEXTUAL and name not in declared]
    columns = {name: kind if kind in _NATIVE or "[]" in kind else "JSON" for name, kind in types.items()}
    columns.update(dict.fromkeys(textual, "VARCHAR"))
    columns.update({name: kind for name, kind in declared.items() if name in types})
    source = scan_text("read_json", paths, ndjson_options(columns))
    rows, counts = _survey(connection, source, textual, {}, paths[0])
    for name, (values, fitting) in counts.items():
        kinds = [kind for kind, _ in READ_AS[3:] if fitting[kind] == values]
        columns[name] = kinds[0] if kinds and values else "VARCHAR"
    everything = ", ".join(f"count({identifier(name)})" for name in columns) or "count(*)"
    _run(connection, f"select {everything} from {scan_text('read_json', paths, ndjson_options(columns))}", [], paths)
    return columns, rows


def _survey(
    connection: duckdb.DuckDBPyConnection, source: str, names: Sequence[str], declared: Mapping[str, str], path: Path
) -> tuple[int, dict[str, tuple[int, dict[str, int]]]]:
    """Rows, and per column that is not declared: how many values, and how many of them each type could be.

    Raises FileProblem for values that a declared column's type can't hold.
    """
    asked = ["count(*)"]
    for name in names:
        column = identifier(name)
        if name in declared:
            bad = f"{column} is not null and try_cast({column} as {declared[name]}) is null"
            asked += [f"count(*) filter ({bad})", f"min({column}) filter ({bad})"]
            continue
        asked.append(f"count({column})")
        for kind, pattern in READ_AS:
            asked.append(f"count(*) filter (regexp_full_match({column}, '{pattern}') and try_cast({column} as {kind}) is not null)")
    answers = iter(_run(connection, f"select {', '.join(asked)} from {source}", [], [path])[0])
    rows = int(str(next(answers)))
    found: dict[str, tuple[int, dict[str, int]]] = {}
    for name in names:
        if name in declared:
            count, example = next(answers), next(answers)
            if count:
                raise FileProblem(
                    "S205", f"{path.name}: {count} values of `{name}` are not {declared[name]}", f"one is {str(example)[:60]!r}"
                )
            continue
        values = int(str(next(answers)))
        found[name] = (values, {kind: int(str(next(answers))) for kind, _ in READ_AS})
    return rows, found


def _header(path: Path) -> list[str]:
    """A CSV file's column names; raises FileProblem if they can't be told or used."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = next(csv.reader(stream, strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
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
    where = re.search(r"in line (\d+)", message)
    first = re.sub(r"^.*?Error: ", "", message.splitlines()[0])
    first = re.sub(r' in file ".*?"', "", first)
    kind = "S205" if "transform" in message or "cast" in message else "S202"
    return FileProblem(kind, f"{name}{f', line {where[1]}' if where else ''} can't be read", first[:160])
