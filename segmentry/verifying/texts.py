"""Text functions, code point by code point."""

from __future__ import annotations


def lower(text: str) -> str:
    """Each code point in simple lower case; of all of them only `İ` has a longer lower case in Python."""
    return "".join("i" if letter == "İ" else letter.lower() for letter in text)


def domain(text: str) -> str | None:
    """What follows the last `@`; None without one, or if nothing does."""
    _, at, after = text.rpartition("@")
    return after or None if at else None
