"""How the Mailchimp stand-in outlives its process: one line of JSON per request, with everything that the request changed.

What a request changed is on the disk before anybody is told of it, whole or not at all. Opening a store writes it anew, each
thing once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from segmentry.sandbox.mailchimp_state import Audience, Batch, Forbidden, Journey, Mail, Member, MergeField, Resubscription, Tag, World

STORE = "mailchimp.ndjson"

_MEMBER = ("hash", "email", "status", "web_id", "since", "changed", "fields", "compliance", "unsubscribed", "language", "vip")
_AUDIENCE = ("id", "name", "double_optin", "revives", "says_repeats")

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

Key = tuple[str | int, ...]


class Journal:
    """What changed in a world since the last `commit`, and the file in which it is kept; without a folder, nothing is."""

    def __init__(self, folder: Path | None = None) -> None:
        self._marked: dict[tuple[str, Key], None] = {}
        self._path = None if folder is None else folder / STORE
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)

    def mark(self, kind: str, *key: str | int) -> None:
        """Something of this kind, under this key, is new, other or gone."""
        if self._path is not None:
            self._marked[kind, key] = None

    def open(self, world: World) -> bool:
        """Fills an empty world with what was kept; says whether anything was. A line that a kill cut off was told to nobody, and goes."""
        if self._path is None or not self._path.exists():
            return False
        content = self._path.read_bytes()
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            for kind, key, value in json.loads(line):
                if kind in ("audience", "journey", "batch") or not key or not isinstance(key[0], str) or key[0] in world.audiences:
                    _TAKEN[kind](world, key, value)
        for audience in world.audiences.values():
            _index(audience)
        self._marked.clear()
        self._write_anew(self._path, world)
        return bool(world.audiences)

    def commit(self, world: World) -> None:
        """Writes what changed."""
        if self._path is None or not self._marked:
            return
        line = [[kind, key, _GIVEN[kind](world, key)] for kind, key in self._marked]
        line.append(_count_of(world))
        self._marked.clear()
        with self._path.open("ab") as stream:
            stream.write(_line(line))
            stream.flush()
            os.fsync(stream.fileno())

    def forget(self) -> None:
        """Keeps nothing of what was."""
        self._marked.clear()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _write_anew(self, path: Path, world: World) -> None:
        beside = path.with_suffix(".new")
        with beside.open("wb") as stream:
            everything = _everything(world)
            while part := [[kind, key, _GIVEN[kind](world, key)] for kind, key in islice(everything, 1000)]:
                stream.write(_line(part))
            stream.write(_line([_count_of(world)]))
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)


def _line(changes: list[list[Any]]) -> bytes:
    return (_ENCODER.encode(changes) + "\n").encode()


def _count_of(world: World) -> list[Any]:
    return ["count", [], [world.last_web_id, world.last_id]]


def _everything(world: World) -> Iterator[tuple[str, Key]]:
    for audience in world.audiences.values():
        yield "audience", (audience.id,)
        parts: Mapping[str, Any] = {
            "field": audience.fields,
            "tag": audience.tags,
            "member": audience.members,
            "forgotten": audience.forgotten,
            "doubted": audience.doubted,
            "event": range(len(audience.events)),
        }
        for kind, keys in parts.items():
            yield from ((kind, (audience.id, key)) for key in keys)
    yield from (("journey", (id,)) for id in world.journeys)
    yield from (("batch", (id,)) for id in world.batches)
    for kind, noted in (("mail", world.sent), ("resubscribed", world.resubscribed), ("forbidden", world.forbidden)):
        yield from ((kind, (number,)) for number in range(len(noted)))


# ---------------------------------------------------------------- what is written


def _in_audience(part: str, say: Callable[[Any], Any]) -> Callable[[World, Key], Any]:
    def given(world: World, key: Key) -> Any:
        audience = world.audiences.get(str(key[0]))
        found = None if audience is None else getattr(audience, part).get(key[1])
        return None if found is None else say(found)

    return given


def _set_of(part: str) -> Callable[[World, Key], Any]:
    def given(world: World, key: Key) -> Any:
        audience = world.audiences.get(str(key[0]))
        return audience is not None and key[1] in getattr(audience, part)

    return given


def _event_of(world: World, key: Key) -> Any:
    audience = world.audiences.get(str(key[0]))
    return None if audience is None else audience.events[int(key[1])]


def _audience_of(world: World, key: Key) -> Any:
    audience = world.audiences.get(str(key[0]))
    return None if audience is None else [getattr(audience, name) for name in _AUDIENCE]


def _batch_of(world: World, key: Key) -> Any:
    batch = world.batches.get(str(key[0]))
    return None if batch is None else asdict(batch)


def _member_said(member: Member) -> list[Any]:
    return [*(getattr(member, name) for name in _MEMBER), list(member.tags.items())]


_GIVEN: Mapping[str, Callable[[World, Key], Any]] = {
    "audience": _audience_of,
    "field": _in_audience("fields", asdict),
    "tag": _in_audience("tags", lambda tag: [tag.id, tag.name, tag.created, tag.updated]),
    "member": _in_audience("members", _member_said),
    "forgotten": _set_of("forgotten"),
    "doubted": _in_audience("doubted", str),
    "event": _event_of,
    "journey": lambda world, key: asdict(world.journeys[int(key[0])]),
    "batch": _batch_of,
    "mail": lambda world, key: asdict(world.sent[int(key[0])]),
    "resubscribed": lambda world, key: asdict(world.resubscribed[int(key[0])]),
    "forbidden": lambda world, key: asdict(world.forbidden[int(key[0])]),
}

# ---------------------------------------------------------------- what is read


def _take_audience(world: World, key: list[Any], value: Any) -> None:
    if value is None:
        world.audiences.pop(key[0], None)
        return
    known = world.audiences.get(key[0])
    if known is None:
        world.audiences[key[0]] = Audience(*value)
    else:
        _, known.name, known.double_optin, known.revives, known.says_repeats = value


def _take_count(world: World, _: list[Any], value: Any) -> None:
    world.last_web_id, world.last_id = value


def _take_part(part: str, make: Callable[[Any], Any]) -> Callable[[World, list[Any], Any], None]:
    def take(world: World, key: list[Any], value: Any) -> None:
        found = getattr(world.audiences[key[0]], part)
        if value is None:
            found.pop(key[1], None)
        else:
            found[key[1]] = make(value)

    return take


def _take_forgotten(world: World, key: list[Any], value: Any) -> None:
    forgotten = world.audiences[key[0]].forgotten
    (forgotten.add if value else forgotten.discard)(key[1])


def _member(value: list[Any]) -> Member:
    *parts, tags = value
    return Member(**dict(zip(_MEMBER, parts, strict=True)), tags=dict(tags))


def _take_event(world: World, key: list[Any], value: Any) -> None:
    world.audiences[key[0]].events.append(tuple(value))


def _take_mail(world: World, _: list[Any], value: Any) -> None:
    mail = Mail(**value)
    world.sent.append(mail)
    world.mails[mail.journey, mail.email] += 1


def _take_journey(world: World, key: list[Any], value: Any) -> None:
    world.journeys[key[0]] = Journey(**{**value, "steps": tuple(value["steps"])})


def _take_batch(world: World, key: list[Any], value: Any) -> None:
    if value is None:
        world.batches.pop(key[0], None)
    else:
        world.batches[key[0]] = Batch(**value)


_TAKEN: Mapping[str, Callable[[World, list[Any], Any], None]] = {
    "count": _take_count,
    "audience": _take_audience,
    "field": _take_part("fields", lambda value: MergeField(**{**value, "choices": tuple(value["choices"])})),
    "tag": _take_part("tags", lambda value: Tag(*value)),
    "member": _take_part("members", _member),
    "forgotten": _take_forgotten,
    "doubted": _take_part("doubted", str),
    "event": _take_event,
    "journey": _take_journey,
    "batch": _take_batch,
    "mail": _take_mail,
    "resubscribed": lambda world, _, value: world.resubscribed.append(Resubscription(**value)),
    "forbidden": lambda world, _, value: world.forbidden.append(Forbidden(**value)),
}


def _index(audience: Audience) -> None:
    """What can be told from the rest: who has a tag, and the tags by name."""
    audience.names = {tag.name: tag.id for tag in audience.tags.values()}
    for tag in audience.tags.values():
        tag.members.clear()
    audience.contacts = {member.contact_id: member for member in audience.members.values()}
    for member in audience.members.values():
        for id in member.tags:
            audience.tags[id].members[member.hash] = None
