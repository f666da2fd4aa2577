"""A rule by itself, before it meets any data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from segmentry.rules.syntax import Syntax


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was read: `str()` is its canonical text. Two rules are equal when they say the same in the same order."""

    syntax: Syntax

    def __str__(self) -> str:
        from segmentry.rules.printer import to_text

        return to_text(self.syntax)

    def __repr__(self) -> str:
        return f"Rule({str(self)!r})"

    def to_builder(self) -> dict[str, object]:
        """The builder form, as plain JSON values."""
        from segmentry.rules.builder import to_builder

        return to_builder(self.syntax)


def parse(rule: str | Mapping[str, object]) -> Rule:
    """Read a rule, as text or in builder form. RuleError with every problem.

    Names and types are checked against data later: by `evaluate`, or by a workspace.
    """
    if isinstance(rule, str):
        from segmentry.rules.parse import parse_text

        return Rule(parse_text(rule))
    from segmentry.rules.builder import parse_builder

    return Rule(parse_builder(rule))
