"""A rule's text, read: `parse_text`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ErrorLevel, SqlglotError

from segmentry.errors import RuleError
from segmentry.rules.arrange import MAX_NESTING, Arrangement, Path, arrange
from segmentry.rules.diagnostics import Diagnostic, Place
from segmentry.rules.lower import lower
from segmentry.rules.syntax import Syntax
from segmentry.rules.tokens import tokenise

_DUCKDB = DuckDB()

FRAMES_PER_LEVEL = 60
"""Python frames that the pure build of the parser needs for one bracket, `not` or minus sign, with room to spare."""

_RECURSION = Lock()
"""The recursion limit belongs to the whole process; two threads may not raise and lower it at once."""


def parse_text(text: str, path: Path = ()) -> Syntax:
    """What a rule's text says. Raises RuleError with every problem of form, each with its place in the text.

    `path` is where the text stands in a builder form; every place, in the tree and in a problem, carries it.
    """
    try:
        arrangement = arrange(tokenise(text), text, path)
        return lower(_stock_tree(arrangement, text), arrangement.leaves, text)
    except RuleError as error:
        raise RuleError(_with_path(problem, path) for problem in error.diagnostics) from error.__cause__


def _with_path(problem: Diagnostic, path: Path) -> Diagnostic:
    return replace(problem, place=replace(problem.place or Place(), path=path))


def _stock_tree(arrangement: Arrangement, text: str) -> exp.Expr:
    """The stock parser's tree, or RuleError for whatever the parser raises."""
    problem = Diagnostic("R119", "the rule can't be parsed", place=Place(0, len(text)), rule=text)
    try:
        with _deep_recursion():
            parser = _DUCKDB.parser(error_level=ErrorLevel.IMMEDIATE)
            trees = parser.parse_into(exp.Condition, arrangement.tokens, text)
    except (SqlglotError, RecursionError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise RuleError([problem]) from error
    if len(trees) != 1 or trees[0] is None:
        raise RuleError([problem])
    return trees[0]


@contextmanager
def _deep_recursion() -> Iterator[None]:
    with _RECURSION:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(before + FRAMES_PER_LEVEL * MAX_NESTING)
        try:
            yield
        finally:
            sys.setrecursionlimit(before)
