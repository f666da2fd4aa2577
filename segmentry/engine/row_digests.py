"""The queries of digests: a number for each row of an event table, and those numbers added up per contact and file.

A row's number is a 48-bit hash of its columns; a contact's digest in a file is the sum of its rows' numbers, modulo 2^64. Sums over
large files are kept in arrays (`scatter.RowSums`), those over small ones, or for some contacts only, are a table of groups: the same sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from segmentry.engine.columns import INTEGERS
from segmentry.engine.gathered import POSITION
from segmentry.engine.lowering import sql
from segmentry.engine.lowering.duckdb import DUCKDB
from segmentry.engine.lowering.shapes import decimal_of
from segmentry.engine.lowering.stored import read, read_key
from segmentry.engine.relations import scan_files
from segmentry.engine.scans import CONTACTS, KEY
from segmentry.engine.snapshot import Column, EventSource, PinnedFile, Relation

FILE = sql.internal("file")
DIGEST = "digest"
DIGEST_BITS = (1 << 48) - 1
"""48 bits are plenty to tell rows apart, and as signed integers they add up in a third less time."""

DIGITS_IN_64_BITS = 18
"""A decimal of more is held in 128 bits."""

DIGEST_BYTES = 12
"""What a contact takes in arrays: 8 for the sum, 4 for the number of rows."""


HASHED_AS_THEY_ARE = frozenset({"UBIGINT", "VARCHAR", "BOOLEAN", "FLOAT", "DOUBLE", "DATE"})
"""Types, beside timestamps, of whose values DuckDB's `hash` mixes all 64 bits."""


def hashable(column: Column, value: sql.Expr) -> sql.Expr:
    """A value as digests are made of it, so that no two values of a column have one hash but by a chance of 1 in 2^64.

    DuckDB hashes the halves of 128 bits, and the elements of a list, one by one and puts them together so that -1 is like 0,
    and `[]` like nothing: such values are hashed as text. Integers are so in one type, that a column that was widened has the
    same digests.
    """
    stored, decimal = column.stored, decimal_of(column.stored)
    if stored in INTEGERS - {"UBIGINT"}:
        return sql.cast(value, "BIGINT")
    if stored in HASHED_AS_THEY_ARE or stored.startswith("TIMESTAMP") or (decimal is not None and decimal[0] <= DIGITS_IN_64_BITS):
        return value
    return sql.cast(value, "VARCHAR")


def _row_hash(columns: Sequence[Column], values: Sequence[sql.Expr]) -> sql.Expr:
    """Of all values of a row. It is hashed once more: put together, the last value is only laid over the others, and two rows that
    exchange theirs could have the same sum.
    """
    hashed = [hashable(column, value) for column, value in zip(columns, values, strict=True)]
    scales = [_scale(column) for column in columns]
    if any(scales):
        hashed.insert(0, sql.text(" ".join(map(str, scales))))
    return sql.call("hash", sql.call("hash", *hashed)) if hashed else sql.integer(0)


def _scale(column: Column) -> int:
    """What a decimal's `hash` leaves out: it is that of its digits, so 1.50 is like 0.0150 of a larger scale, and like the integer 150.

    A file that is not read again keeps the digests that it had when its column was of another type.
    """
    decimal = decimal_of(column.stored)
    return 0 if decimal is None else decimal[1]


def contact_digest(relation: Relation, columns: Sequence[str]) -> sql.Expr:
    """A contact's number, of its fields as they were read."""
    values = [sql.column(sql.user(name)) for name in columns]
    return sql.cast(_row_hash([relation.columns[name] for name in columns], values), "UBIGINT")


def event_key(source: EventSource) -> sql.Expr:
    """Whose event a row of the file is."""
    return read_key(DUCKDB, source.relation.columns[source.contact], sql.column(source.contact))


def numbered(source: EventSource, files: Sequence[PinnedFile], columns: Sequence[str], wanted: sql.Expr | None = None) -> exp.Select:
    """The wanted rows of some files: whose they are, which file it is, and each row's number over these columns."""
    stored = source.relation.columns
    values = [read(DUCKDB, stored[name], sql.column(name)).expr for name in sorted(columns)]
    hashed = _row_hash([stored[name] for name in sorted(columns)], values)
    row = sql.infix(exp.BitwiseAnd, sql.cast(hashed, "UBIGINT"), sql.integer(DIGEST_BITS))
    row = sql.cast(row, "BIGINT")
    return sql.select({KEY: event_key(source), FILE: sql.column(FILE), DIGEST: row}, scan_files(source.relation, files, FILE), wanted)


def with_keys(rows: exp.Select) -> exp.Select:
    """The numbers beside the keys, which are integers; one that 64 bits don't hold is nobody's."""
    return sql.select({KEY: sql.try_cast(sql.column(KEY), "BIGINT"), DIGEST: sql.column(DIGEST)}, sql.subquery(rows, "g"))


def placed(rows: exp.Select) -> exp.Select:
    """The numbers of known contacts' rows, beside the contacts' positions."""
    return _beside_contacts({POSITION: sql.cast(sql.column(POSITION, "c"), "INTEGER"), DIGEST: sql.column(DIGEST, "g")}, rows)


def added_up(rows: exp.Select) -> exp.Select:
    """The numbers added up per file and known contact: `position`, `digest`, `rows`, beside the file's number."""
    total = exp.Mod(this=sql.call("sum", sql.column(DIGEST)), expression=sql.cast(sql.text(str(1 << 64)), "HUGEINT"))
    sums = {DIGEST: sql.cast(total, "UBIGINT"), "rows": sql.cast(sql.call("count", exp.Star()), "UINTEGER")}
    grouped = sql.select({KEY: sql.column(KEY), FILE: sql.column(FILE), **sums}, sql.subquery(rows, "e"))
    grouped.set("group", exp.Group(expressions=[sql.column(KEY), sql.column(FILE)]))
    position = sql.cast(sql.column(POSITION, "c"), "UINTEGER")
    columns = {FILE: sql.column(FILE, "g"), "position": position, DIGEST: sql.column(DIGEST, "g"), "rows": sql.column("rows", "g")}
    return _beside_contacts(columns, grouped)


def _beside_contacts(columns: Mapping[str, sql.Expr], rows: exp.Select) -> exp.Select:
    query = sql.select(columns, sql.subquery(rows, "g"))
    contacts = exp.alias_(sql.table(CONTACTS), sql.identifier("c"), table=True)
    query.set("joins", [exp.Join(this=contacts, on=exp.EQ(this=sql.column(KEY, "c"), expression=sql.column(KEY, "g")))])
    return query
