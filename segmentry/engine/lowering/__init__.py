"""Typed, grounded nodes to sqlglot expressions: the rule language's exact meaning, said in an engine's SQL.

`values.py` walks the nodes and knows no engine; `duckdb.py` is the table of operations in DuckDB's words, which another
engine replaces entry by entry; `numbers.py` is the arithmetic of types that both need.
"""
