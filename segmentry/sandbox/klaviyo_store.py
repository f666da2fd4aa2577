"""How the Klaviyo stand-in outlives its process: a line of JSON for each request, with everything that the request changed.

A request's line is in the file before the request is answered, whole or, where a kill cut it off, not at all. Opening a store
writes it anew, each thing once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segmentry.sandbox.klaviyo_state import Consent, Event, Flow, Job, List, Profile, Request, World

STORE = "klaviyo.ndjson"

Key = tuple[Any, ...]


class Store:
    """What changed since the last `commit`, and the file in which it is kept; without a folder, nothing is."""

    def __init__(self, folder: Path | None = None) -> None:
        self._marked: dict[tuple[str, Key], None] = {}
        self._path = None if folder is None else folder / STORE
        self.said: dict[str, str] = {}
        """What is kept beside the world: words by name."""
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)

    def mark(self, kind: str, *key: Any) -> None:
        """Something of this kind, under this key, is new, other or gone."""
        if self._path is not None:
            self._marked[kind, key] = None

    def open(self, world: World) -> bool:
        """Fills an empty world with what was kept; false where nothing was."""
        if self._path is None or not self._path.exists():
            return False
        content = self._path.read_bytes()
        for line in content[: content.rfind(b"\n") + 1].splitlines():
            for kind, key, value in json.loads(line):
                if kind == "said":
                    self.said[key[0]] = value
                elif kind == "made":
                    world.made = value
                else:
                    _TAKEN[kind](world, *key, value)
        self._marked.clear()
        self.write_anew(world)
        return True

    def commit(self, world: World) -> None:
        """Writes what changed."""
        if self._path is None or not self._marked:
            return
        line = _line([*((kind, key, _GIVEN[kind](world, *key)) for kind, key in self._marked), ("made", (), world.made)])
        self._marked.clear()
        with self._path.open("ab") as stream:
            stream.write(line)  # not forced to the disk: a killed process loses nothing by that, and a lost machine's sandbox no one needs

    def write_anew(self, world: World) -> None:
        """The whole world, and nothing that was before."""
        self._marked.clear()
        if self._path is None:
            return
        beside = self._path.with_suffix(".new")
        with beside.open("wb") as stream:
            stream.write(_line([("made", (), world.made), *(("said", (name,), value) for name, value in self.said.items())]))
            for kind, key in _everything(world):
                stream.write(_line([(kind, key, _GIVEN[kind](world, *key))]))
        beside.replace(self._path)


def _line(told: list[tuple[str, Key, Any]]) -> bytes:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _everything(world: World) -> Iterator[tuple[str, Key]]:
    yield from (("address", (email,)) for email in world.addresses)
    yield from (("invalid", (email,)) for email in world.invalid)
    yield from (("profile", (id,)) for id in world.order)
    for one in world.lists.values():
        yield "list", (one.id,)
        yield from (("member", (one.id, profile)) for profile in one.members)
    yield from (("flow", (id,)) for id in world.flows)
    yield from (("start", (number,)) for number in range(len(world.flow_starts)))
    yield from (("forbidden", (number,)) for number in range(len(world.forbidden)))
    yield from (("job", (id,)) for id in world.jobs)
    yield from (("event", (id,)) for id in world.events)


def _profile(world: World, id: str) -> Any:
    one = world.profiles.get(id)
    if one is None:
        return None
    consent = None if one.consent == Consent() else _consent(one.consent)
    return [one.created, one.updated, one.attributes, one.properties, consent, one.last_event]


def _consent(consent: Consent) -> list[Any]:
    return [consent.state, consent.at, consent.method, consent.suppressed]


def _consent_of(value: Any) -> Consent:
    if value is None:
        return Consent()
    return Consent(value[0], value[1], value[2], tuple((reason, at) for reason, at in value[3]))


def _list(world: World, id: str) -> Any:
    one = world.lists.get(id)
    return None if one is None else [one.name, one.created, one.opt_in]


_GIVEN: Mapping[str, Callable[..., Any]] = {
    "profile": _profile,
    "address": lambda world, email: _consent(world.addresses[email]),
    "invalid": lambda world, email: email in world.invalid,
    "list": _list,
    "member": lambda world, known, profile: world.lists[known].members.at.get(profile) if known in world.lists else None,
    "flow": lambda world, known: asdict(world.flows[known]) if known in world.flows else None,
    "start": lambda world, number: world.flow_starts[number],
    "forbidden": lambda world, number: {**asdict(world.forbidden[number]), "body": world.forbidden[number].body.decode("latin-1")},
    "job": lambda world, known: asdict(world.jobs[known]),
    "event": lambda world, known: asdict(world.events[known]),
}


def _take_profile(world: World, id: str, value: Any) -> None:
    known = world.profiles.get(id)
    if value is None:
        if known is not None:
            world.delete(known)
        return
    made = Profile(id, value[0], value[1], value[2], value[3], _consent_of(value[4]), value[5])
    if known is not None:
        world.forget_identifiers(known)
    world.put(made)


def _take_list(world: World, id: str, value: Any) -> None:
    known = world.lists.get(id)
    if value is None:
        if known is not None:
            world.delete_list(known)
    else:
        world.lists[id] = List(id, *value)


def _take_member(world: World, id: str, profile: str, at: str | None) -> None:
    if id in world.lists:
        if at is None:
            world.lists[id].members.remove(profile)
        else:
            world.lists[id].members.add(profile, at)


def _take_flow(world: World, id: str, value: Any) -> None:
    if value is None:
        world.flows.pop(id, None)
    else:
        world.flows[id] = Flow(**value)


def _take_forbidden(world: World, number: int, value: Any) -> None:
    world.forbidden.insert(number, Request(**{**value, "body": value["body"].encode("latin-1")}))


def _take_job(world: World, id: str, value: Any) -> None:
    job = world.jobs[id] = Job(**value)
    world.unfinished.pop(id, None)
    if job.completed is None:
        world.unfinished[id] = job


def _take_event(world: World, id: str, value: Any) -> None:
    event = world.events[id] = Event(**value)
    world.event_of[event.profile, event.metric, event.unique_id] = id


def _take_address(world: World, email: str, value: Any) -> None:
    world.addresses[email] = _consent_of(value)


_TAKEN: Mapping[str, Callable[..., None]] = {
    "profile": _take_profile,
    "address": _take_address,
    "invalid": lambda world, email, value: (world.invalid.add if value else world.invalid.discard)(email),
    "list": _take_list,
    "member": _take_member,
    "flow": _take_flow,
    "start": lambda world, number, value: world.flow_starts.insert(number, tuple(value)),
    "forbidden": _take_forbidden,
    "job": _take_job,
    "event": _take_event,
}
