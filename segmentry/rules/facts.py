"""What a rule says whatever the data: conditions that never or always hold, and rules that are the same."""

from __future__ import annotations

from segmentry.rules import nodes as n
from segmentry.rules.diagnostics import Diagnostic


def certainties(condition: n.Condition, source: str | None = None) -> list[Diagnostic]:
    """Warnings."""
    return []
