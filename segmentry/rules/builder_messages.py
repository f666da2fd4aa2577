"""How messages about the builder form name what was written: keys, words, kinds of values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from segmentry.rules.suggest import did_you_mean


def meant(written: object, known: Iterable[str]) -> str | None:
    """A hint for a word that is nearly one of some."""
    return did_you_mean(written, known) if isinstance(written, str) else None


def shown(value: object) -> str:
    """A key or a word as it may stand in a message: neither long, nor a structure that may be endless."""
    if isinstance(value, str):
        return f"`{value if len(value) <= 40 else value[:40] + '...'}`"
    return kind_of(value)


def step(key: object) -> str | int:
    """A key as a step of a path."""
    return key if isinstance(key, (str, int)) else kind_of(key)


def kind_of(value: object) -> str:
    """What a YAML or JSON value is, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, (int, float)):
        return "a number"
    return "a list" if isinstance(value, Sequence) else f"a {type(value).__name__}"


def listed(names: Mapping[str, object] | Sequence[str], word: str = "and") -> str:
    """Names as a list in a sentence."""
    *most, last = (f"`{name}`" for name in names)
    return f"{', '.join(most)} {word} {last}"
