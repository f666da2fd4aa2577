"""What no sync may ever ask Klaviyo for. The stand-in does it as the service would, and notes who asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from segmentry.sandbox.klaviyo_asking import Asked, Operation, reply
from segmentry.sandbox.klaviyo_problems import not_found
from segmentry.sandbox.klaviyo_shapes import DELETION_JOB, SUBSCRIBE_JOB, SUPPRESS_JOB, UNSUBSCRIBE_JOB, UNSUPPRESS_JOB
from segmentry.sandbox.klaviyo_state import LIFTED_BY_SUBSCRIBING, SUBSCRIBED, List, Profile, World
from segmentry.sandbox.klaviyo_upserts import upsert
from segmentry.sandbox.serving import Reply


def _list_of(asked: Asked) -> List | None:
    told = asked.said["data"].get("relationships", {}).get("list")
    return None if told is None else asked.world.list_of(told["data"]["id"], pointer="/data/relationships/list/data/id")


def _each(asked: Asked) -> list[dict[str, Any]]:
    return [one["attributes"] for one in asked.said["data"]["attributes"]["profiles"]["data"]]


def _known(world: World, attributes: dict[str, Any]) -> Profile | None:
    found = (world.find(kind, attributes[kind]) for kind in ("email", "phone_number") if attributes.get(kind) is not None)
    return next((profile for profile in found if profile is not None), None)


def _subscribe(asked: Asked) -> Reply:
    """Makes those who are not known, lifts what suppressed them, and puts them on the list."""
    world, into = asked.world, _list_of(asked)
    for attributes in _each(asked):
        who = {kind: attributes[kind] for kind in ("email", "phone_number") if attributes.get(kind) is not None}
        profile, _ = upsert(world, {"type": "profile", "attributes": who})
        if "marketing" in attributes["subscriptions"].get("email", {}):
            lifted = profile.consent.without(LIFTED_BY_SUBSCRIBING)
            world.set_consent(profile, replace(lifted, state=SUBSCRIBED, at=world.now(), method="API"))
        if into is not None:
            world.add_member(into, profile.id)
    return reply(202)


def _unsubscribe(asked: Asked) -> Reply:
    """Takes those on the list off it; all others it unsubscribes from everything, which is the trap."""
    world, off = asked.world, _list_of(asked)
    for attributes in _each(asked):
        profile = _known(world, attributes)
        if profile is None:
            continue
        if off is not None and profile.id in off.members:
            world.remove_member(off, profile.id)
        elif profile.email is not None:
            world.unsubscribe(profile.email)
    return reply(202)


def _by_address(change: Callable[[World, str], None]) -> Callable[[Asked], Reply]:
    def do(asked: Asked) -> Reply:
        for attributes in _each(asked):
            if asked.world.find("email", attributes["email"]) is not None:
                change(asked.world, attributes["email"])
        return reply(202)

    return do


def _delete(asked: Asked) -> Reply:
    told = asked.said["data"]["attributes"]["profile"]["data"]
    id = told.get("id")
    profile = _known(asked.world, told.get("attributes", {})) if id is None else asked.world.profiles.get(id)
    if profile is None:
        raise not_found("profile", id or "like this", pointer="/data/attributes/profile/data")
    asked.world.delete(profile)
    return reply(202)


def _forbidden(path: str, do: Callable[[Asked], Reply], shape: Any) -> Operation:
    return Operation("POST", path, do, "L", shape=shape, largest=5 * 1024 * 1024, forbidden=True)


OPERATIONS = (
    _forbidden("/api/profile-subscription-bulk-create-jobs", _subscribe, SUBSCRIBE_JOB),
    _forbidden("/api/profile-subscription-bulk-delete-jobs", _unsubscribe, UNSUBSCRIBE_JOB),
    _forbidden("/api/profile-suppression-bulk-create-jobs", _by_address(World.suppress), SUPPRESS_JOB),
    _forbidden("/api/profile-suppression-bulk-delete-jobs", _by_address(World.unsuppress), UNSUPPRESS_JOB),
    _forbidden("/api/data-privacy-deletion-jobs", _delete, DELETION_JOB),
)
"""Beside these, `DELETE /api/lists/{id}` is forbidden."""
