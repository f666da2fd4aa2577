"""A name in double quotes is that very name, also after the rule was printed: `any_event` and `element` alone are words."""

from __future__ import annotations

import pytest

from segmentry.rules.builder import parse_builder, to_builder
from segmentry.rules.parse import parse_text
from segmentry.rules.printer import to_text

RULES = [
    'did("any_event")',
    "did(any_event)",
    'sequence(did("any_event"), did(b))',
    'sum("any_event".amount) > 1',
    "sum(any_event.amount) > 1",
    'any(tags, "element" = 1)',
]


@pytest.mark.parametrize("rule", RULES)
def test_its_quotes_are_kept(rule: str) -> None:
    assert to_text(parse_text(rule)) == rule
    assert to_text(parse_builder(to_builder(parse_text(rule)))) == rule
