"""Letters without case, as `contains`, `starts with`, `ends with` and `lower` know them."""

from __future__ import annotations

ALIKE_EVERYWHERE = 0x530
"""Code points below are folded alike by every engine and every version of Unicode; what is above, only an engine knows for its data."""


def simple_lower(text: str) -> str:
    """Code point by code point: of all of Unicode only İ has a longer lower case, of which the first code point is taken."""
    return "".join("i" if c == "İ" else c.lower() for c in text)


def is_alike_everywhere(text: str) -> bool:
    """Whether `simple_lower` of a text is certainly what an engine makes of the same text in its data."""
    return all(ord(c) < ALIKE_EVERYWHERE for c in text)
