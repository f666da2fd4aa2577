"""How a pinned relation is read: DuckDB's reader and its options, so that pinning and every run read the same."""

from __future__ import annotations

from collections.abc import Mapping

from segmentry.engine.snapshot import Format, Relation

Option = bool | str | Mapping[str, str]


def reader(relation: Relation) -> tuple[str, dict[str, Option]]:
    """The table function for a relation's files, and its named options beside the list of paths.

    Files of different schemas are matched by column name, and a column that a file lacks is missing there.
    """
    if relation.format is Format.CSV:
        return "read_csv", csv_options(relation.declared)
    if relation.format is Format.NDJSON:
        return "read_json", ndjson_options(relation.declared)
    options: dict[str, Option] = {"union_by_name": True, "hive_partitioning": relation.hive}
    if relation.hive:
        options["hive_types"] = relation.declared
    return "read_parquet", options


def csv_options(columns: Mapping[str, str]) -> dict[str, Option]:
    """CSV as RFC 4180 has it: commas, double quotes, a header; UTF-8; an empty cell is missing. `columns` in the header's order."""
    return {
        "auto_detect": False,
        "header": True,
        "delim": ",",
        "quote": '"',
        "escape": '"',
        "nullstr": "",
        "hive_partitioning": False,
        "columns": columns,
    }


def ndjson_options(columns: Mapping[str, str]) -> dict[str, Option]:
    """One JSON object a line; a key that a line lacks is missing there."""
    return {"format": "newline_delimited", "hive_partitioning": False, "columns": columns}
