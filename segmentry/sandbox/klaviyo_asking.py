"""A question to the Klaviyo stand-in, as its functions see it: parameters that are allowed, filters, pages, fields, links."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from segmentry.sandbox.klaviyo_problems import invalid
from segmentry.sandbox.klaviyo_shapes import Check
from segmentry.sandbox.klaviyo_state import World
from segmentry.sandbox.serving import Call, Reply

KIND = "application/vnd.api+json"
ANY = 100
"""The most values of one filter `any`."""

_TERM = re.compile(r"\s*(equals|any|greater-than|greater-or-equal|less-than|less-or-equal)\(\s*([\w.]+)\s*,\s*")
_TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_BARE = re.compile(r"[^,()\[\]\"']+")

Filters = Mapping[str, tuple[str, ...]]
"""Which operators a field may be filtered with."""


@dataclass(frozen=True, slots=True)
class JobsTake:
    """How long an import takes: so many questions find it unfinished, and so many seconds."""

    polls: int = 2
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. `said` is the body, `params` the query, `fate` the cruelty that it meets, where it is the service's own."""

    world: World
    account: str
    base: str
    path: str
    parts: Mapping[str, str]
    params: Mapping[str, str]
    said: Any = None
    fate: str = ""
    jobs: JobsTake = field(default_factory=JobsTake)

    def link(self, path: str, params: Mapping[str, str] | None = None) -> str:
        """An address of this service."""
        return f"{self.base}{path}" + (f"?{urlencode(params)}" if params else "")

    def several(self, name: str) -> list[str]:
        """A parameter that is a list with commas."""
        return [one for one in self.params.get(name, "").split(",") if one]


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked for.

    `pace` names its rate limits; `params` are the parameters it takes, with the values that each may have where they are few;
    `largest` is the most bytes of a body, `shape` what it may say. What is `forbidden` works, and is noted.
    """

    method: str
    path: str
    do: Callable[[Asked], Reply]
    pace: str
    params: Mapping[str, Sequence[str]] = field(default_factory=dict)
    shape: Check | None = None
    largest: int = 100 * 1024
    forbidden: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Term:
    """One condition of a filter: an operator, a field and values."""

    operator: str
    field: str
    values: tuple[str, ...]

    def holds(self, value: str) -> bool:
        """For instants: whether this one is within it."""
        at, bound = datetime.fromisoformat(value), _instant(self.values[0])
        return {
            "greater-than": at > bound,
            "greater-or-equal": at >= bound,
            "less-than": at < bound,
            "less-or-equal": at <= bound,
        }[self.operator]


def params_of(call: Call, operation: Operation) -> dict[str, str]:
    """The query; raises RefusedError for a parameter, or a value of one, that there is not."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(call.query, keep_blank_values=True):
        if name not in operation.params or name in found:
            raise invalid(f"'{name}' is not a parameter here, or stands there twice.", parameter=name)
        allowed = operation.params[name]
        for one in value.split(",") if allowed else ():
            if one not in allowed:
                raise invalid(f"'{one}' is not one of {', '.join(allowed)}.", parameter=name)
        found[name] = value
    return found


def terms_of(asked: Asked, allowed: Filters) -> list[Term]:
    """The filter's conditions, which all must hold; raises RefusedError for what can't be read or isn't allowed."""
    text = asked.params.get("filter")
    if text is None:
        return []
    if text.startswith("and(") and text.endswith(")"):
        text = text[4:-1]
    try:
        found = list(_terms(text))
    except ValueError as error:
        raise invalid(f"Invalid filter provided: {error}.", parameter="filter") from None
    for term in found:
        if term.operator not in allowed.get(term.field, ()):
            raise invalid(f"'{term.field}' can't be filtered by '{term.operator}'.", parameter="filter")
        if len(term.values) > ANY:
            raise invalid(f"'any' takes {ANY} values, and there are {len(term.values)}.", parameter="filter")
        if term.operator not in ("equals", "any"):
            _instant(term.values[0])
    return found


def _terms(text: str) -> Iterator[Term]:
    at = 0
    while True:
        head = _TERM.match(text, at)
        if head is None:
            raise ValueError(f"there is no condition at {at}")
        values, at = _values(text, head.end(), many=head[1] == "any")
        if text[at : at + 1] != ")":
            raise ValueError(f"there is no ) at {at}")
        yield Term(head[1], head[2], values)
        at += 1
        if at == len(text):
            return
        if text[at] != ",":
            raise ValueError(f"there is no , at {at}")
        at += 1


def _values(text: str, at: int, *, many: bool) -> tuple[tuple[str, ...], int]:
    if not many:
        value, at = _value(text, at)
        return (value,), at
    if text[at : at + 1] != "[":
        raise ValueError("'any' takes a list in brackets")
    found: list[str] = []
    while text[at : at + 1] in ("[", ","):
        value, at = _value(text, at + 1)
        found.append(value)
    if text[at : at + 1] != "]":
        raise ValueError(f"there is no ] at {at}")
    return tuple(found), at + 1


def _value(text: str, at: int) -> tuple[str, int]:
    while text[at : at + 1] == " ":
        at += 1
    quoted = _TEXT.match(text, at)
    if quoted is not None:
        inner = quoted[0][1:-1]
        return (json.loads(quoted[0], strict=False) if quoted[0][0] == '"' else re.sub(r"\\(.)", r"\1", inner)), quoted.end()
    bare = _BARE.match(text, at)
    if bare is None:
        raise ValueError(f"there is no value at {at}")
    return bare[0].strip(), bare.end()


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = datetime.min  # noqa: DTZ901 - refused below, as every instant without a zone
    if found.tzinfo is None:
        raise invalid(f"'{text}' is no instant with a zone.", parameter="filter")
    return found


# ---------------------------------------------------------------- pages


def size_of(asked: Asked, otherwise: int, most: int) -> int:
    """The page's size."""
    text = asked.params.get("page[size]", str(otherwise))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= most):
        raise invalid(f"The page size must be an integer between 1 and {most}.", parameter="page[size]")
    return int(text)


def after_of(asked: Asked) -> int:
    """The number after which a page begins, which its cursor says."""
    text = asked.params.get("page[cursor]")
    if text is None:
        return 0
    try:
        kind, _, number = base64.urlsafe_b64decode(text.encode()).decode().partition("::")
    except ValueError:
        kind, number = "", ""
    if kind != "after" or not (number.isascii() and number.isdigit() and len(number) < 16):
        raise invalid("The cursor is invalid.", parameter="page[cursor]")
    return int(number)


def slice_of(asked: Asked, found: Sequence[Any], otherwise: int, most: int) -> tuple[Sequence[Any], int | None]:
    """A page of something that is at hand as a whole."""
    size, after = size_of(asked, otherwise, most), after_of(asked)
    return found[after : after + size], after + size if after + size < len(found) else None


def collection(asked: Asked, data: Iterable[Any], further: int | None, included: Sequence[Any] | None = None) -> Reply:
    """A page, with the address of the next where there is one."""
    links = {"self": asked.link(asked.path, asked.params)}
    if further is not None:
        cursor = base64.urlsafe_b64encode(f"after::{further}".encode()).decode()
        links["next"] = asked.link(asked.path, {**asked.params, "page[cursor]": cursor})
    told: dict[str, Any] = {"data": list(data), "links": links}
    if included is not None:
        told["included"] = list(included)
    return reply(200, told)


def reply(status: int, told: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer of the service."""
    return Reply(status, told, KIND, headers or {})


def only(attributes: dict[str, Any], wanted: Sequence[str]) -> dict[str, Any]:
    """The attributes that were asked for; all of them where none were. A part is asked for as `location.city`."""
    if not wanted:
        return attributes
    whole = {name for name in wanted if "." not in name}
    found = {name: value for name, value in attributes.items() if name in whole}
    for name in wanted:
        outer, _, inner = name.partition(".")
        if inner and outer not in whole:
            value = attributes.get(outer)
            found.setdefault(outer, {})[inner] = value.get(inner) if isinstance(value, dict) else None
    return found
