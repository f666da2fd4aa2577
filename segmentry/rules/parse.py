"""A rule's text, read: `parse_text`."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ErrorLevel

from segmentry.errors import RuleError
from segmentry.rules.arrange import Arrangement, Path, arrange
from segmentry.rules.diagnostics import Diagnostic, Place
from segmentry.rules.lower import lower
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.syntax import Syntax
from segmentry.rules.tokens import tokenise

_DUCKDB = DuckDB()


@lru_cache(maxsize=4096)  # a workspace is read anew by every question, and seldom has a rule changed
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
        with deep_recursion():
            parser = _DUCKDB.parser(error_level=ErrorLevel.IMMEDIATE)
            trees = parser.parse_into(exp.Condition, arrangement.tokens, text)
    except Exception as error:
        raise RuleError([problem]) from error
    if len(trees) != 1 or trees[0] is None:
        raise RuleError([problem])
    return trees[0]
