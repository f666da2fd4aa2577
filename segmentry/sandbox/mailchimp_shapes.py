"""What the bodies and parameters of requests to the Mailchimp stand-in may say; everything else is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from segmentry.sandbox.mailchimp_problems import ProblemError, invalid

SETTABLE = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional")
STATUSES = (*SETTABLE, "archived")
FIELD_TYPES = ("text", "number", "address", "phone", "date", "url", "imageurl", "radio", "dropdown", "birthday", "zip")


@dataclass(frozen=True, slots=True)
class Text:
    """A string, one of some, or so and so long."""

    of: tuple[str, ...] = ()
    least: int = 0
    most: int = 100_000


@dataclass(frozen=True, slots=True)
class Items:
    """A list of so and so many."""

    of: Kind
    most: int = 100_000


@dataclass(frozen=True, slots=True)
class Values:
    """An object with any keys: merge fields, the properties of an event."""

    of: tuple[type, ...]


@dataclass(frozen=True, slots=True)
class Object:
    """An object with these keys and no other. `either`: at least one of these must be there too."""

    may: Mapping[str, Kind]
    must: tuple[str, ...] = ()
    either: tuple[str, ...] = field(default=())


Kind = Text | Items | Values | Object | type

_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object", type(None): "NULL"}

_MERGE = Values((str, int, float, dict))
_ROW: Mapping[str, Kind] = {
    "email_address": str,
    "email_type": Text(of=("html", "text")),
    "merge_fields": _MERGE,
    "language": str,
    "vip": bool,
    "status": Text(of=SETTABLE),
}
_NEW: Mapping[str, Kind] = {**_ROW, "status_if_new": Text(of=SETTABLE)}

BATCH_OF_MEMBERS = Object(
    {
        "members": Items(
            Object({**_NEW, "tags": Items(Text(least=1, most=100))}, must=("email_address",), either=("status", "status_if_new")), most=500
        ),
        "update_existing": bool,
        "sync_tags": bool,
    },
    must=("members",),
)
NEW_MEMBER = Object({**_ROW, "tags": Items(Text(least=1, most=100))}, must=("email_address", "status"))
PUT_MEMBER = Object(_NEW, must=("email_address", "status_if_new"))
PATCH_MEMBER = Object(_ROW)
MEMBER_TAGS = Object(
    {
        "tags": Items(Object({"name": Text(least=1, most=100), "status": Text(of=("active", "inactive"))}, must=("name", "status"))),
        "is_syncing": bool,
    },
    must=("tags",),
)
MEMBER_EVENT = Object(
    {"name": Text(least=2, most=30), "properties": Values((str,)), "is_syncing": bool, "occurred_at": str}, must=("name",)
)
NEW_SEGMENT = Object({"name": Text(least=1, most=100), "static_segment": Items(str, most=500)}, must=("name", "static_segment"))
SEGMENT_MEMBERS = Object({"members_to_add": Items(str, most=500), "members_to_remove": Items(str, most=500)})
ONE_MEMBER = Object({"email_address": str}, must=("email_address",))
NEW_FIELD = Object(
    {
        "name": Text(least=1, most=50),
        "type": Text(of=FIELD_TYPES),
        "tag": Text(least=1, most=10),
        "required": bool,
        "default_value": str,
        "public": bool,
        "display_order": int,
        "help_text": str,
        "options": Object({"choices": Items(str), "date_format": str, "size": int, "default_country": int, "phone_format": str}),
    },
    must=("name", "type"),
)
OPERATIONS = Object(
    {
        "operations": Items(
            Object(
                {
                    "method": Text(of=("GET", "POST", "PUT", "PATCH", "DELETE")),
                    "path": Text(least=1),
                    "params": Values((str, int, bool)),
                    "body": str,
                    "operation_id": str,
                },
                must=("method", "path"),
            )
        )
    },
    must=("operations",),
)


def check_shape(said: Any, kind: Kind) -> None:
    """Raises ProblemError with everything that is wrong with a body."""
    problems = list(_problems(said, kind, ""))
    if problems:
        raise ProblemError("Invalid Resource", errors=problems)


def number_of(params: Mapping[str, str], name: str, otherwise: int, most: int) -> int:
    """A parameter that is a number from 0 to `most`."""
    text = params.get(name)
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise invalid(name, f"Schema describes integer, {text} found instead")
    if int(text) > most:
        raise invalid(name, f"Schema describes a number of at most {most}, {text} found instead")
    return int(text)


def flag_of(params: Mapping[str, str], name: str) -> bool:
    """A parameter that is true or false; false where it is not there."""
    text = params.get(name, "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise invalid(name, f"Schema describes boolean, {text} found instead")
    return text in ("true", "1")


def _problems(said: Any, kind: Kind, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(kind, Object):
        yield from _of_object(said, kind, at)
    elif isinstance(kind, Items):
        if not isinstance(said, list):
            yield at, _other("array", said)
        elif len(said) > kind.most:
            yield at, f"Schema describes at most {kind.most} items, {len(said)} found instead"
        else:
            for number, item in enumerate(said):
                yield from _problems(item, kind.of, f"{at}.item:{number}")
    elif isinstance(kind, Values):
        yield from _of_values(said, kind, at)
    elif isinstance(kind, Text):
        yield from _of_text(said, kind, at)
    elif type(said) is not kind:
        yield at, _other(_NAMES[kind], said)


def _of_object(said: Any, kind: Object, at: str) -> Iterator[tuple[str, str]]:
    if not isinstance(said, dict):
        yield at, _other("object", said)
        return
    for key in kind.must:
        if key not in said:
            yield _under(at, key), "Required field was not provided"
    if kind.either and not any(key in said for key in kind.either):
        yield at, "Data did not match any of the schemas described in anyOf."
    for key, value in said.items():
        inner = kind.may.get(key)
        if inner is None:
            yield _under(at, key), "Schema does not describe this field"
        else:
            yield from _problems(value, inner, _under(at, key))


def _of_values(said: Any, kind: Values, at: str) -> Iterator[tuple[str, str]]:
    if not isinstance(said, dict):
        yield at, _other("object", said)
        return
    for key, value in said.items():
        if type(value) not in kind.of:
            yield _under(at, key), _other(" or ".join(_NAMES[one] for one in kind.of), value)


def _of_text(said: Any, kind: Text, at: str) -> Iterator[tuple[str, str]]:
    if not isinstance(said, str):
        yield at, _other("string", said)
    elif kind.of and said not in kind.of:
        yield at, f"Value must be one of: {', '.join(kind.of)}"
    elif not kind.least <= len(said) <= kind.most:
        yield at, f"Value must have {kind.least} to {kind.most} characters"


def _under(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _other(wanted: str, said: Any) -> str:
    return f"Schema describes {wanted}, {_NAMES.get(type(said), type(said).__name__)} found instead"
