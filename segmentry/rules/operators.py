"""The operators: one table of names, words, symbols, and the token that stands for each in the stock parser."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from sqlglot import TokenType


class Shape(Enum):
    """What stands on an operator's right."""

    INFIX = auto()
    BETWEEN = auto()
    LIST = auto()
    POSTFIX = auto()


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator that makes a condition.

    `name` is what `syntax.Infix.op` says. The first of `words`, else of `symbols`, is the canonical one; `negated` are
    the words of its opposite, which is `Not` of it. `token` is what the stock parser is given: its own token where it
    has one, else a spare one of the precedence of `@>`, whose symbol a rule may not use itself.
    """

    name: str
    token: TokenType
    words: tuple[str, ...] = ()
    negated: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    shape: Shape = Shape.INFIX


OPERATORS = (
    Operator("=", TokenType.EQ, words=("equals",), symbols=("=",)),
    Operator("!=", TokenType.NEQ, words=("does not equal",), symbols=("!=", "<>")),
    Operator(">", TokenType.GT, words=("greater than", "after"), symbols=(">",)),
    Operator("<", TokenType.LT, words=("less than", "before"), symbols=("<",)),
    Operator(">=", TokenType.GTE, words=("at least",), symbols=(">=",)),
    Operator("<=", TokenType.LTE, words=("at most",), symbols=("<=",)),
    Operator("between", TokenType.BETWEEN, words=("between",), negated=("not between",), shape=Shape.BETWEEN),
    Operator("in", TokenType.IN, words=("in",), negated=("not in",), shape=Shape.LIST),
    Operator("contains", TokenType.AT_GT, words=("contains",), negated=("does not contain", "not contains"), symbols=("@>",)),
    Operator(
        "starts with", TokenType.CARET_AT, words=("starts with",), negated=("does not start with", "not starts with"), symbols=("^@",)
    ),
    Operator("ends with", TokenType.GLOB, words=("ends with",), negated=("does not end with", "not ends with")),
    Operator("matches", TokenType.TILDE, words=("matches",), negated=("does not match", "not matches"), symbols=("~",)),
    Operator("like", TokenType.LIKE, words=("like",), negated=("not like",)),
    Operator("ilike", TokenType.ILIKE, words=("ilike",), negated=("not ilike",)),
    Operator("is set", TokenType.ADJACENT, words=("is set", "is not null"), negated=("is not set", "is null"), shape=Shape.POSTFIX),
    Operator("in the last", TokenType.DAMP, words=("in the last",), negated=("not in the last",)),
    Operator("in the next", TokenType.LT_AT, words=("in the next",), negated=("not in the next",)),
    Operator("during", TokenType.AMP_GT, words=("during",), negated=("not during",)),
)

ARITHMETIC = {
    "+": TokenType.PLUS,
    "-": TokenType.DASH,
    "*": TokenType.STAR,
    "/": TokenType.SLASH,
    "%": TokenType.MOD,
}


DAYS = ("today", "yesterday", "tomorrow")
PERIODS = (*DAYS, *(f"{which} {unit}" for unit in ("week", "month", "quarter", "year") for which in ("this", "last", "next")))
"""The calendar periods, each as its text literal says it."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a phrase stands for: an operator, or its opposite; `value` is the text on its right where the words say that too."""

    operator: Operator
    negated: bool = False
    value: str | None = None


BY_NAME: dict[str, Operator] = {op.name: op for op in OPERATORS}

PERIOD_WORDS: dict[str, tuple[str, str]] = {
    period: (f"is {period}", f"is not {period}") if period in DAYS else (f"in {period}", f"not in {period}") for period in PERIODS
}
"""`during` and its opposite with the period in the words, as they are printed: `x in last month`, `x is not today`."""

WITH_PERIOD: dict[str, Meaning] = {
    words: Meaning(BY_NAME["during"], bool(negated), period)
    for period, both in PERIOD_WORDS.items()
    for negated, printed in enumerate(both)
    for words in (printed, "not " * negated + f"during {period}")
}
"""`during` with its period in the words, however it may be written."""

PHRASES: dict[tuple[str, ...], Meaning] = {
    **{tuple(phrase.split()): Meaning(op) for op in OPERATORS for phrase in op.words},
    **{tuple(phrase.split()): Meaning(op, negated=True) for op in OPERATORS for phrase in op.negated},
    **{tuple(phrase.split()): meaning for phrase, meaning in WITH_PERIOD.items()},
}
"""Every word operator, as its words in lower case."""

LONGEST_PHRASE = max(map(len, PHRASES))

SYMBOLS: dict[str, Meaning] = {symbol: Meaning(op) for op in OPERATORS for symbol in op.symbols}

FUNCTIONS = {"ends_with": "ends with", "in_last": "in the last", "in_next": "in the next", "during": "during"}
"""Operators without a symbol are also written as functions of two arguments."""

COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
