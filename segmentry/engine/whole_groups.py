"""Groups of divided segments in a statement: a column beside each such segment that has the group of its members."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from segmentry.engine.lowering import sql
from segmentry.engine.splitting import EVERYBODY, GROUP, Split
from segmentry.errors import DialectError
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.nodes import Condition, Sample


def draws(splits: Mapping[str, Split]) -> dict[str, Condition]:
    """Of each group the condition that a contact's number is below its part: just what `sample` asks. No segment's name has a colon."""
    return {_draw(name, group): condition for name, split in splits.items() for group, condition in _conditions(split)}


def _conditions(split: Split) -> Iterator[tuple[str, Condition]]:
    for group, before, threshold in split.steps:
        yield group, Sample(before.decode().removesuffix(":"), None if threshold == EVERYBODY else threshold)


def _draw(segment: str, group: str) -> str:
    return f"{segment}:{group}"


def column_of(segment: str) -> str:
    """The column with the groups of a segment."""
    return f"{segment}_{GROUP}"


def check_names(splits: Mapping[str, Split], others: Iterable[str]) -> None:
    """DialectError where another column is called as one with groups would be."""
    taken = set(others)
    problems = [
        Diagnostic(
            "X106",
            f"`{column_of(name)}` would be the column of the groups of `{name}`, and there is another of that name",
            help=f"ask for `{name}` alone",
        )
        for name in splits
        if column_of(name) in taken
    ]
    if problems:
        raise DialectError(problems)


def group_of(segment: str, split: Split, member: sql.Expr, drawn: Mapping[str, sql.Expr]) -> sql.Expr:
    """The group of a member, by the first draw that it is below; NULL for who is in none, and for who is no member."""
    group: sql.Expr = sql.null()
    for name in reversed(split.names):
        group = sql.when(drawn[_draw(segment, name)], sql.text(name), group)
    return sql.when(member, group)
