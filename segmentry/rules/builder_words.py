"""The builder form's words: keys, operators, measures. Tables that reading, writing and the JSON Schema share."""

from __future__ import annotations

from dataclasses import dataclass

from segmentry.rules.operators import PHRASES, Meaning

MATCHES = ("all", "any", "none")

QUANTIFIERS = ("any", "all", "none")
"""Of how many elements of a list the conditions hold: what `has` may say."""

TIME_KEYS = ("last", "since", "until", "during")

EVENT_KEYS = ("period", "of", "at_least")
"""What only some measures take by name."""


SEGMENT_KEYS = ("member", "entered", "exited")
"""What may be asked of a segment; each is a function's name, true or false."""

STEP_KEYS = ("event", "where", "did", "as", "within", *TIME_KEYS)
"""What a step of a sequence may have."""


@dataclass(frozen=True, slots=True)
class Measure:
    """An event function as the builder form has it: whether it needs a `property`, and the keys of its own."""

    property: bool = False
    keys: tuple[str, ...] = ()


MEASURES: dict[str, Measure] = {
    "did": Measure(),
    "count": Measure(),
    "distinct": Measure(property=True),
    "sum": Measure(property=True),
    "avg": Measure(property=True),
    "min": Measure(property=True),
    "max": Measure(property=True),
    "first": Measure(),
    "last": Measure(),
    "earliest": Measure(property=True),
    "latest": Measure(property=True),
    "active_periods": Measure(keys=EVENT_KEYS),
}

POPULATION_KEYS = ("by", "among", "per")
"""How contacts are put in order: by a field or an event's measure, who of them, and apart for each value of which field."""

PLACES = ("top", "bottom")
"""Conditions of a contact's place in an order."""

ENTRIES: dict[str, tuple[str, ...]] = {
    "field": ("field", "operator", "value"),
    "event": ("event", "where", *TIME_KEYS, "did", "count", "measure", "property", *EVENT_KEYS, "operator", "value"),
    "sequence": ("sequence", "within", *TIME_KEYS),
    "list": ("list", "has", "where", "count"),
    "segment": ("segment", *SEGMENT_KEYS, "for", *TIME_KEYS),
    **{name: (name, *POPULATION_KEYS) for name in PLACES},
    "ntile": ("ntile", *POPULATION_KEYS, "operator", "value"),
    "rules": ("match", "rules"),
    "rule": ("rule",),
}
"""The kinds of entry, each by the key that makes it one, and the keys it may have."""

BY_MEASURE = ("event", "where", *TIME_KEYS, "measure", "property", *EVENT_KEYS)
"""The keys of an event's measure that contacts are put in order by."""

OPERATOR_WORDS: dict[str, Meaning] = {
    " ".join(words): meaning for words, meaning in PHRASES.items() if "null" not in words and meaning.value is None
}
"""The operators by their words; `is null` is SQL's way to say one of them, and stays in the text. A period is the `value` of `during`."""
