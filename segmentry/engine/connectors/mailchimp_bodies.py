"""Bodies of requests to Mailchimp: how each is made, and what may stand in it at all.

Every body is checked before it is sent, so that what must never be said (a `status`, which subscribes; `sync_tags`, which takes
other tags off) can't be said by a mistake of ours either.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST = 500
"""Members in one request."""
NEW = ("subscribed", "transactional")
"""What somebody new may become."""
FIELD_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,9}")
ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


class WrongBodyError(Exception):
    """A body that must not be sent: a mistake of ours. Says where, never what stands there."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to be in the audience. `becomes`: the status of who is not there yet."""

    hash: str
    address: str
    becomes: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One request of a batch. `id` comes back with its result; `path` as in a request alone."""

    id: str
    method: str
    path: str
    body: Mapping[str, Any]


# ---------------------------------------------------------------- made


def audience_members(people: Iterable[Person]) -> dict[str, Any]:
    """Who is to be there, by address. `status_if_new` leaves the status of whoever is there already as it is."""
    return {"members": [new_member(person) for person in people], "update_existing": True, "sync_tags": False}


def new_member(person: Person) -> dict[str, Any]:
    """One of them, which is also the body where each is put by itself."""
    return {"email_address": person.address, "status_if_new": person.becomes, **_fields(person.fields)}


def member(fields: Mapping[str, Any], address: str | None = None) -> dict[str, Any]:
    """What is new of somebody who is there."""
    return ({} if address is None else {"email_address": address}) | _fields(fields)


def new_tag(name: str) -> dict[str, Any]:
    """A tag that nobody has yet."""
    return {"name": name, "static_segment": []}


def tagged(add: Sequence[str] = (), remove: Sequence[str] = ()) -> dict[str, Any]:
    """Addresses to be put in a tag, and to be taken off. Who comes in starts the automations that wait for the tag."""
    return ({"members_to_add": list(add)} if add else {}) | ({"members_to_remove": list(remove)} if remove else {})


def quiet_tag(name: str) -> dict[str, Any]:
    """A tag for one member, which starts nothing."""
    return {"tags": [{"name": name, "status": "active"}], "is_syncing": True}


def new_field(name: str, type: str) -> dict[str, Any]:
    """A merge field that nobody has a value in yet."""
    return {"name": name, "type": type, "tag": name}


def batch(operations: Iterable[Operation]) -> dict[str, Any]:
    """Operations to be done in a while; their bodies are text within it."""
    return {
        "operations": [
            {"method": one.method, "path": one.path, "operation_id": one.id, "body": json.dumps(one.body, ensure_ascii=False)}
            for one in operations
        ]
    }


def trigger(address: str) -> dict[str, Any]:
    """Whom a journey is started for."""
    return {"email_address": address}


def _fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"merge_fields": dict(fields)} if fields else {}


# ---------------------------------------------------------------- checked

Check = Callable[[Any, str], Iterator[str]]
"""Where a value is not as it must be."""


def check(said: Any, shape: Check) -> None:
    """Raises WrongBodyError for a body that is not of the shape."""
    wrong = next(shape(said, "the body"), None)
    if wrong is not None:
        raise WrongBodyError(wrong)


def _that(holds: Callable[[Any], bool], what: str) -> Check:
    def checked(said: Any, at: str) -> Iterator[str]:
        if not holds(said):
            yield f"{at} is not {what}"

    return checked


def _exactly(value: object) -> Check:
    return _that(lambda said: type(said) is type(value) and said == value, f"`{value}`")


def _text(pattern: str) -> Check:
    return _that(lambda said: isinstance(said, str) and re.fullmatch(pattern, said, re.DOTALL) is not None, f"text like {pattern}")


def _list(item: Check, least: int, most: int) -> Check:
    def checked(said: Any, at: str) -> Iterator[str]:
        if not isinstance(said, list) or not least <= len(said) <= most:
            yield f"{at} is not a list of {least} to {most}"
            return
        for number, one in enumerate(said):
            yield from item(one, f"{at}[{number}]")

    return checked


def _object(must: Mapping[str, Check], may: Mapping[str, Check] | None = None, *, least: int = 0) -> Check:
    known = {**must, **(may or {})}

    def checked(said: Any, at: str) -> Iterator[str]:
        if not isinstance(said, dict) or not must.keys() <= said.keys() <= known.keys() or len(said) < least:
            yield f"{at} has not the keys that it may have"
            return
        for key, value in said.items():
            yield from known[key](value, f"{at}.{key}")

    return checked


def _map(key: re.Pattern[str], value: Check) -> Check:
    def checked(said: Any, at: str) -> Iterator[str]:
        if not isinstance(said, dict) or not said or not all(isinstance(one, str) and key.fullmatch(one) for one in said):
            yield f"{at} has not the names that it may have"
            return
        for one, inner in said.items():
            yield from value(inner, f"{at}.{one}")

    return checked


_ADDRESS = _text(ADDRESS.pattern)
_VALUE = _that(lambda said: type(said) is str or (type(said) in (int, float) and math.isfinite(said)), "text or a number")
_MERGE = _map(FIELD_NAME, _VALUE)
_NAME = _text(r".{1,100}")
_BECOMES = _text("|".join(NEW))

NEW_MEMBER = _object({"email_address": _ADDRESS, "status_if_new": _BECOMES}, {"merge_fields": _MERGE})
AUDIENCE_MEMBERS = _object({"members": _list(NEW_MEMBER, 1, MOST), "update_existing": _exactly(True), "sync_tags": _exactly(False)})
MEMBER = _object({}, {"email_address": _ADDRESS, "merge_fields": _MERGE}, least=1)
NEW_TAG = _object({"name": _NAME, "static_segment": _list(_ADDRESS, 0, 0)})
TAGGED = _object({}, {"members_to_add": _list(_ADDRESS, 1, MOST), "members_to_remove": _list(_ADDRESS, 1, MOST)}, least=1)
QUIET_TAG = _object({"tags": _list(_object({"name": _NAME, "status": _exactly("active")}), 1, 1), "is_syncing": _exactly(True)})
NEW_FIELD = _object({"name": _text(FIELD_NAME.pattern), "type": _text("text|number|date"), "tag": _text(FIELD_NAME.pattern)})
TRIGGER = _object({"email_address": _ADDRESS})

_BATCHED: Mapping[tuple[str, str], Check] = {("POST", "/tags"): QUIET_TAG, ("PATCH", ""): MEMBER}
"""What may go in a batch: nothing that does harm if it is done twice."""
_PATH = re.compile(r"/lists/[^/]+/members/[0-9a-f]{32}(/tags)?")


def _operation(said: Any, at: str) -> Iterator[str]:
    keys = {name: _text(r".+") for name in ("method", "path", "operation_id", "body")}
    wrong = next(_object(keys)(said, at), None)
    if wrong is not None:
        yield wrong
        return
    path = _PATH.fullmatch(said["path"])
    inner = None if path is None else _BATCHED.get((said["method"], path[1] or ""))
    if inner is None:
        yield f"{at} is not what may go in a batch"
        return
    yield from inner(json.loads(said["body"]), f"{at}.body")


BATCH = _object({"operations": _list(_operation, 1, MOST)})
