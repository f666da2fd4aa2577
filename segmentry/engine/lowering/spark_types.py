"""Types in Spark's words. Everywhere else a type goes by DuckDB's name for it."""

from __future__ import annotations

from typing import TypeVar

from sqlglot import exp

from segmentry.engine.columns import struct_fields

TYPES = {
    "UTINYINT": "SMALLINT",
    "USMALLINT": "INT",
    "UINTEGER": "BIGINT",
    "UBIGINT": "DECIMAL(20,0)",
    "HUGEINT": "DECIMAL(38,0)",
    "INT128": "DECIMAL(38,0)",
    "INTEGER": "INT",
    "REAL": "FLOAT",
    "VARCHAR": "STRING",
    "TEXT": "STRING",
    "BLOB": "BINARY",
    "UUID": "STRING",
    # an instant is UTC without a zone, so that no session's timezone comes into it
    "TIMESTAMP": "TIMESTAMP_NTZ",
    "TIMESTAMP_S": "TIMESTAMP_NTZ",
    "TIMESTAMP_MS": "TIMESTAMP_NTZ",
    "TIMESTAMP_NS": "TIMESTAMP_NTZ",
    "TIMESTAMPTZ_NS": "TIMESTAMP_NTZ",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMP",
}
"""Those whose names differ, by DuckDB's name and by sqlglot's for it. Unsigned integers are what Spark reads from Parquet's."""

Query = TypeVar("Query", bound=exp.Expr)


def spark_type(held: str) -> str:
    """The Spark type that holds what a DuckDB type holds."""
    if held.endswith("[]"):
        return f"ARRAY<{spark_type(held[:-2])}>"
    if fields := struct_fields(held):
        return f"STRUCT<{', '.join(f'{_name(name)}: {spark_type(part)}' for name, part in fields.items())}>"
    return "STRING" if held.startswith("ENUM") else TYPES.get(held, held)


def _name(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def in_spark_types(query: Query) -> Query:
    """The query with every type in Spark's words; the query itself is changed."""
    for node in list(query.find_all(exp.DataType)):
        if not isinstance(node.parent, exp.DataType):
            node.replace(exp.DataType(this=exp.DataType.Type.USERDEFINED, kind=spark_type(node.sql(dialect="duckdb"))))
    return query
