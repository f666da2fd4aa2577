"""Events at the Klaviyo stand-in: one request each, and of those with the same id only the first counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from segmentry.sandbox.klaviyo_asking import Asked, Operation, reply
from segmentry.sandbox.klaviyo_problems import RefusedError, invalid
from segmentry.sandbox.klaviyo_profiles import below
from segmentry.sandbox.klaviyo_shapes import EVENT
from segmentry.sandbox.klaviyo_state import Event, said
from segmentry.sandbox.klaviyo_upserts import upsert
from segmentry.sandbox.serving import Reply

LARGEST = 5 * 1024 * 1024
FIRST = datetime(1990, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=365)
_LONGEST = 100 * 1024
_DEEPEST = 10


def _create(asked: Asked) -> Reply:
    world, told = asked.world, asked.said["data"]["attributes"]
    time = _time_of(asked, told.get("time"))
    _check_value(told["properties"], "/data/attributes/properties", _DEEPEST)
    try:
        profile, _ = upsert(world, told["profile"]["data"])
    except RefusedError as error:
        raise below(error, "/data/attributes/profile/data") from None
    metric = told["metric"]["data"]["attributes"]["name"]
    unique = told.get("unique_id") or time
    known = world.event_of.get((profile.id, metric, unique))
    if known is not None:
        event = world.events[known]
        event.times += 1
    else:
        id = world.new_id("01KSANDBXE")
        event = Event(id, profile.id, metric, unique, time, bool(told.get("backfill")), world.now(), told["properties"])
        world.events[id] = event
        world.event_of[profile.id, metric, unique] = id
        profile.last_event = max(profile.last_event or time, time)
    world.mark("event", event.id)
    return reply(202)


def _time_of(asked: Asked, text: str | None) -> str:
    at = "/data/attributes/time"
    now = asked.world.clock()
    if text is None:
        return said(now)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"'{text}' is no instant.", pointer=at) from None
    time = time.replace(tzinfo=time.tzinfo or UTC)
    if not FIRST < time <= now + AHEAD:
        raise invalid("The time must be after 1990 and not more than a year ahead.", pointer=at)
    return said(time)


def _check_value(value: Any, at: str, deep: int) -> None:
    if isinstance(value, str) and len(value.encode()) > _LONGEST:
        raise invalid(f"A string must not be larger than {_LONGEST} bytes.", pointer=at)
    if isinstance(value, dict | list):
        if deep == 0:
            raise invalid(f"Properties must not be nested more than {_DEEPEST} deep.", pointer=at)
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            _check_value(inner, f"{at}/{name}", deep - 1)


OPERATIONS = (Operation("POST", "/api/events", _create, "XL", shape=EVENT, largest=LARGEST),)
