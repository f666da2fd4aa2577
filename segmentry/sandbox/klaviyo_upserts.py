"""How the Klaviyo stand-in makes and changes profiles, whichever request says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from segmentry.sandbox.klaviyo_problems import Problem, RefusedError, invalid, not_found
from segmentry.sandbox.klaviyo_state import IDENTIFIERS, UNSUBSCRIBED, Consent, Profile, World, identity

_ADDRESS = re.compile(r"[^@\s,;<>()\"]+@[^@\s.,;<>()\"]+(\.[^@\s.,;<>()\"]+)+")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")


def upsert(world: World, told: Mapping[str, Any], *, bulk: bool = False) -> tuple[Profile, bool]:
    """Makes or changes the profile that a resource tells of; true where it is new.

    Whom it tells of is said by any of its identifiers; where they say two, it is refused (409). A field that is null is cleared,
    one that is not there is left; in bulk a null among the customer's own properties is a value, which only `unset` takes away.
    Raises RefusedError, whose pointers begin at the resource.
    """
    attributes: Mapping[str, Any] = told["attributes"]
    given = {kind: attributes[kind] for kind in IDENTIFIERS if attributes.get(kind) is not None}
    _check_identifiers(world, given)
    known = _known(world, told.get("id"), given)
    now = world.now()
    profile = known or Profile(world.new_id("01KSANDBX"), now, now)
    cleared = [kind for kind in IDENTIFIERS if kind in attributes and attributes[kind] is None]
    if not given and all(kind in cleared for kind in IDENTIFIERS if kind in profile.attributes):
        raise invalid("One of id, email, phone_number, external_id is required.", pointer="/attributes")
    for kind in (*given, *cleared):
        former = profile.attributes.get(kind)
        if former is not None and identity(kind, former) != identity(kind, given.get(kind, "")):
            world.release(kind, former)
    _change(profile, attributes, bulk=bulk)
    _patch(profile, told.get("meta") or attributes.get("meta") or {})
    profile.updated = now
    if profile.email is not None:
        profile.consent = _worse(profile.consent, world.addresses.get(profile.email.lower()))
    world.put(profile)
    return profile, known is None


def _check_identifiers(world: World, given: Mapping[str, str]) -> None:
    email, phone = given.get("email"), given.get("phone_number")
    if email is not None and not is_address(world, email):
        raise invalid("Invalid email address", pointer="/attributes/email")
    if phone is not None and not _PHONE.fullmatch(phone):
        raise invalid("Invalid phone number format (Example of a valid format: +12345678901)", pointer="/attributes/phone_number")
    if "external_id" in given and not given["external_id"]:
        raise invalid("external_id must not be empty.", pointer="/attributes/external_id")


def is_address(world: World, email: str) -> bool:
    """Whether the service takes this for an address."""
    return len(email) <= 254 and _ADDRESS.fullmatch(email.strip()) is not None and email.strip().lower() not in world.invalid


def _known(world: World, id: str | None, given: Mapping[str, str]) -> Profile | None:
    found = {profile.id: profile for profile in (world.find(kind, value) for kind, value in given.items()) if profile is not None}
    if id is not None:
        if id not in world.profiles:
            raise not_found("profile", id, pointer="/id")
        found[id] = world.profiles[id]
    if len(found) > 1:
        detail = "The identifiers belong to different profiles."
        meta = {"duplicate_profile_id": next(iter(found))}
        raise RefusedError(409, [Problem("duplicate_profile", "Conflict.", detail, "/attributes", meta=meta)])
    return next(iter(found.values()), None)


def _change(profile: Profile, attributes: Mapping[str, Any], *, bulk: bool) -> None:
    for name, value in attributes.items():
        if name in ("properties", "location"):
            continue
        if name != "meta":
            _put(profile.attributes, name, value.strip() if name == "email" and value is not None else value)
    place = attributes.get("location")
    if place is not None:
        kept = dict(profile.attributes.get("location", {}))
        for name, value in place.items():
            _put(kept, name, value)
        _put(profile.attributes, "location", kept or None)
    for name, value in (attributes.get("properties") or {}).items():
        if bulk:
            profile.properties[name] = value
        else:
            _put(profile.properties, name, value)
    for name in ("properties", "location"):
        if name in attributes and attributes[name] is None:
            (profile.properties if name == "properties" else profile.attributes.get(name, {})).clear()


def _put(into: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        into.pop(name, None)
    else:
        into[name] = value


def _patch(profile: Profile, meta: Mapping[str, Any]) -> None:
    patch = meta.get("patch_properties") or {}
    unset = patch.get("unset", [])
    for name in [unset] if isinstance(unset, str) else unset:
        profile.properties.pop(name, None)
    for name, value in (patch.get("append") or {}).items():
        kept = _several(profile.properties.get(name))
        profile.properties[name] = [*kept, *(one for one in _several(value) if one not in kept)]
    for name, value in (patch.get("unappend") or {}).items():
        if name in profile.properties:
            gone = _several(value)
            profile.properties[name] = [one for one in _several(profile.properties[name]) if one not in gone]


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _worse(one: Consent, other: Consent | None) -> Consent:
    """What is left of two: a profile that comes to an address which was unsubscribed is."""
    if other is None or other == one:
        return one
    for reason, at in other.suppressed:
        one = one.with_suppression(reason, at)
    return Consent(UNSUBSCRIBED, other.at, other.method, one.suppressed) if other.state == UNSUBSCRIBED else one
