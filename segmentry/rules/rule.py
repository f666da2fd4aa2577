"""A rule by itself, before it meets any data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from segmentry.rules.builder import parse_builder
from segmentry.rules.builder_writer import to_builder
from segmentry.rules.parse import parse_text
from segmentry.rules.printer import to_text
from segmentry.rules.syntax import Syntax


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was read: `str()` is its canonical text. Two rules are equal when they say the same in the same order."""

    syntax: Syntax

    def __str__(self) -> str:
        return to_text(self.syntax)

    def __repr__(self) -> str:
        return f"Rule({str(self)!r})"

    def to_builder(self) -> dict[str, object]:
        """The builder form, as plain JSON values."""
        return to_builder(self.syntax)


def parse(rule: str | Mapping[str, object]) -> Rule:
    """Read a rule, as text or in builder form. RuleError with every problem.

    Names and types are checked against data later: by `evaluate`, or by a workspace.
    """
    return Rule(parse_text(rule) if isinstance(rule, str) else parse_builder(rule))
