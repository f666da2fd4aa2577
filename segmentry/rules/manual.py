"""The tables of functions, operators and codes in the documentation, rendered from those that the language works by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segmentry.rules.codes import CODES
from segmentry.rules.functions import FUNCTIONS, Group, TimeClass
from segmentry.rules.operators import OPERATORS, Operator
from segmentry.rules.types import Kind

ANSWER_MOVES = {
    TimeClass.NONE: "",
    TimeClass.WINDOW: "with its window",
    TimeClass.EDGE: "at known instants",
    TimeClass.OPAQUE: "every day",
}
"""How an answer may change with the clock alone, in a reader's words."""

ORDER = (Kind.NUMBER, Kind.TEXT, Kind.DATE, Kind.TIMESTAMP)
EVERY = "all but list"
ON: dict[str, str] = {
    "=": EVERY,
    "!=": EVERY,
    ">": ", ".join(ORDER),
    "<": ", ".join(ORDER),
    ">=": ", ".join(ORDER),
    "<=": ", ".join(ORDER),
    "between": "number, date, timestamp; both ends are in",
    "in": EVERY,
    "contains": "text: a part of it, ignoring case; list: an element",
    "starts with": "text, ignoring case",
    "ends with": "text, ignoring case",
    "matches": "text: a regular expression (RE2)",
    "like": "text, as SQL has it, without an escape character",
    "ilike": "text, as `like` but ignoring case",
    "is set": "all",
    "in the last": "date, timestamp",
    "in the next": "date, timestamp",
    "during": "date, timestamp; a calendar period: `in this month`, `is yesterday`",
}
"""What each operator is for."""

AS_FUNCTION = {
    "ends with": "ends_with(x, 'y')",
    "in the last": "in_last(x, '30 days')",
    "in the next": "in_next(x, '7 days')",
    "during": "during(x, 'last month')",
}


def function_tables() -> str:
    """Markdown: one table for each group of functions, in the order of the language's own table."""
    sections = []
    for group in Group:
        rows = [
            (f"`{row.signature}`", row.doc + ("" if row.available else " *(not in this version)*"), row.missing, ANSWER_MOVES[row.time])
            for row in FUNCTIONS.values()
            if row.group is group
        ]
        sections.append(f"### {group}\n\n" + _table(("function", "gives", "when missing", "changes with time"), rows))
    return "\n\n".join(sections) + "\n"


def operator_table() -> str:
    """Markdown: the operators, the words and symbols each may be written with, and what it is for."""
    rows = [(_cell(row.words), _cell(row.negated), _cell(_symbols(row)), ON[row.name]) for row in OPERATORS]
    return _table(("words", "opposite", "also written", "on"), rows) + "\n"


def code_table() -> str:
    """Markdown: every code of a rule's diagnostics, and what it means."""
    return _table(("code", "what is wrong"), [(f"`{code}`", meaning) for code, meaning in sorted(CODES.items())]) + "\n"


def _symbols(row: Operator) -> tuple[str, ...]:
    function = AS_FUNCTION.get(row.name)
    return (*row.symbols, function) if function else row.symbols


def _cell(pieces: Iterable[str]) -> str:
    return " · ".join(f"`{piece}`" for piece in pieces)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
