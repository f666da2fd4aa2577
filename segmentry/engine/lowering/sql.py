"""sqlglot nodes, built plainly. Every name becomes a quoted identifier and every value a literal node: no text is ever pasted into SQL."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache

from sqlglot import exp

Expr = exp.Expr


def internal(name: str) -> str:
    """The name of a column of our own; no user's column can have it."""
    return f"${name}"


def user(name: str) -> str:
    """The name that a user's column goes by inside our queries: its own, unless it could be taken for one of ours."""
    return f"${name}" if name.startswith("$") else name


def identifier(name: str) -> exp.Identifier:
    """A name, always quoted."""
    return exp.Identifier(this=name, quoted=True)


def column(name: str, table: str | None = None) -> exp.Column:
    """A column, of a table where that must be said."""
    return exp.Column(this=identifier(name), table=identifier(table) if table else None)


def table(name: str) -> exp.Table:
    """A table or view."""
    return exp.Table(this=identifier(name))


def text(value: str) -> exp.Literal:
    """A text literal."""
    return exp.Literal.string(value)


def number(digits: str | int) -> Expr:
    """A numeric literal from decimal digits; a negative one in brackets, so that no `--` can arise."""
    digits = str(digits)
    if digits.startswith("-"):
        return exp.Paren(this=exp.Neg(this=exp.Literal.number(digits[1:])))
    return exp.Literal.number(digits)


def integer(value: int) -> Expr:
    """A whole number."""
    return number(value)


def null() -> exp.Null:
    """NULL."""
    return exp.Null()


def boolean(value: bool) -> exp.Boolean:
    """TRUE or FALSE."""
    return exp.Boolean(this=value)


def call(function: str, *args: Expr) -> exp.Anonymous:
    """A function by exactly this name; `function` is a word of our tables, never of a user."""
    return exp.Anonymous(this=function, expressions=list(args))


def cast(value: Expr, to: str) -> exp.Cast:
    """`cast(value as to)`."""
    return exp.Cast(this=value, to=_type(to).copy())


def try_cast(value: Expr, to: str) -> exp.TryCast:
    """`try_cast(value as to)`: NULL where the value does not fit."""
    return exp.TryCast(this=value, to=_type(to).copy())


@lru_cache(maxsize=1000)
def _type(name: str) -> exp.DataType:
    """A type as a node, to be copied: a plan has thousands of casts to a dozen types, and each name would be parsed anew."""
    return exp.DataType.build(name, dialect="duckdb", udt=True)


_CLOSED = (exp.Column, exp.Literal, exp.Anonymous, exp.Paren, exp.Cast, exp.Case, exp.Boolean)
"""Expressions that no operator beside them can tear apart."""


def paren(value: Expr) -> Expr:
    """The same in brackets, where precedence could matter."""
    return value if isinstance(value, _CLOSED) else exp.Paren(this=value)


def infix(kind: type[exp.Binary], left: Expr, right: Expr) -> Expr:
    """`left operator right`."""
    return kind(this=paren(left), expression=paren(right))


def negation(value: Expr) -> Expr:
    """`not value`."""
    return exp.Not(this=paren(value))


def is_null(value: Expr) -> Expr:
    """`value is null`."""
    return exp.Is(this=paren(value), expression=null())


def is_set(value: Expr) -> Expr:
    """`not value is null`."""
    return negation(is_null(value))


def all_of(items: Iterable[Expr]) -> Expr:
    """`a and b and ...`; true where there are none. Balanced, so that a thousand items are ten levels deep."""
    return _balanced(exp.And, list(items), True)


def any_of(items: Iterable[Expr]) -> Expr:
    """`a or b or ...`; false where there are none."""
    return _balanced(exp.Or, list(items), False)


def _balanced(kind: type[exp.Connector], items: list[Expr], empty: bool) -> Expr:
    if not items:
        return boolean(empty)
    if len(items) == 1:
        return items[0]
    middle = len(items) // 2
    return kind(this=paren(_balanced(kind, items[:middle], empty)), expression=paren(_balanced(kind, items[middle:], empty)))


def total(items: Sequence[Expr], kind: type[exp.Binary] = exp.Add) -> Expr:
    """`a + b + ...`, balanced."""
    if len(items) == 1:
        return items[0]
    middle = len(items) // 2
    return infix(kind, total(items[:middle], kind), total(items[middle:], kind))


def when(condition: Expr, then: Expr, otherwise: Expr | None = None) -> exp.Case:
    """`case when condition then ... else ... end`; without an `otherwise`, NULL."""
    return exp.Case(ifs=[exp.If(this=condition, true=then)], default=otherwise)


def function(argument: str, body: Expr) -> exp.Lambda:
    """A function of one argument, for what an engine applies to the elements of a list."""
    return exp.Lambda(this=body, expressions=[identifier(argument)])


def named(value: Expr, name: str) -> Expr:
    """`value as name`."""
    return exp.Alias(this=value, alias=identifier(name))


def select(columns: Mapping[str, Expr], source: Expr, where: Expr | None = None) -> exp.Select:
    """`select value as name, ... from source where ...`."""
    items = [value if isinstance(value, exp.Column) and value.name == name else named(value, name) for name, value in columns.items()]
    query = exp.Select(expressions=items)
    query.set("from_", exp.From(this=source))
    if where is not None:
        query.set("where", exp.Where(this=where))
    return query


def subquery(query: exp.Query, name: str) -> exp.Subquery:
    """A query as something to select from."""
    return exp.Subquery(this=query, alias=exp.TableAlias(this=identifier(name)))


def temporary(kind: str, name: str, query: exp.Query) -> exp.Create:
    """`create temporary table name as query`, or the like of a view."""
    properties = exp.Properties(expressions=[exp.TemporaryProperty()])
    return exp.Create(this=table(name), kind=kind, properties=properties, expression=query)


@contextmanager
def deep() -> Iterator[None]:
    """Room for deep trees: sqlglot's generator recurses several frames for each level."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, 20_000))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def render(query: Expr, pretty: bool = False, dialect: str = "duckdb") -> str:
    """The query's text."""
    with deep():
        return query.sql(dialect=dialect, pretty=pretty, comments=False)
