"""Merge fields: those of the mapping are there before anybody's are sent, and each value is of its field's type."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from segmentry.engine.connectors.destination import DestinationStopped
from segmentry.engine.connectors.mailchimp_bodies import FIELD_NAME
from segmentry.engine.connectors.mailchimp_calls import Calls
from segmentry.engine.connectors.mailchimp_line import RefusedError

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
CLEARED = ""
"""What clears a field; a null is refused."""


class MergeFields:
    """The merge fields of an audience, read once and made where missing. Used from several threads."""

    def __init__(self) -> None:
        self._types: dict[str, str] | None = None
        self._lock = threading.Lock()

    def ready(self, calls: Calls, told: Iterable[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
        """How the fields of contacts are said, once all that are named in `told` are there.

        Raises DestinationStopped where one can't be.
        """
        values: dict[str, list[Any]] = {}
        for fields in told:
            for name, value in fields.items():
                values.setdefault(name, []).append(value)
        if not values:
            return lambda _: {}
        for name in values:
            if not FIELD_NAME.fullmatch(name):
                raise DestinationStopped(f"`{name}` can't be a merge field: write at most 10 of A to Z, 0 to 9 and _, a letter first")
        with self._lock:
            types = self._types = calls.fields() if self._types is None else self._types
            for name in values.keys() - types.keys():
                types[name] = _made(calls, name, type_of(values[name]))
        return lambda fields: {name: said(value, types[name]) for name, value in fields.items()}


def _made(calls: Calls, name: str, type: str) -> str:
    """A new field's type, which is that of another sender's where that was quicker."""
    try:
        calls.add_field(name, type)
    except RefusedError as refused:
        found = calls.fields().get(name)
        if found is None:
            raise DestinationStopped(f"the merge field {name} can't be made: {refused.problem.summary}") from None
        return found
    return type


def type_of(values: Iterable[Any]) -> str:
    """The type of a new field, by what is to stand in it: a number or a date where all are, else text."""
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return "number"
    if present and all(isinstance(value, str) and _DATE.fullmatch(value) for value in present):
        return "date"
    return "text"


def said(value: Any, type: str) -> str | int | float:
    """A value as the service takes it in a field of the type."""
    if value is None:
        return CLEARED
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value if type == "number" and math.isfinite(value) else str(value)
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if type == "date" and _DATE.match(value):
        return value[:10]
    if type == "birthday" and _DATE.match(value):
        return value[5:10].replace("-", "/")
    return value
