"""Profiles at the Klaviyo stand-in: what is said of one, and the requests that find, make and change them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from segmentry.sandbox.klaviyo_asking import Asked, Filters, Operation, Term, after_of, collection, only, reply, size_of, slice_of, terms_of
from segmentry.sandbox.klaviyo_problems import Problem, RefusedError, not_found
from segmentry.sandbox.klaviyo_shapes import UPSERT
from segmentry.sandbox.klaviyo_state import Consent, Profile, World
from segmentry.sandbox.klaviyo_upserts import upsert
from segmentry.sandbox.serving import Reply

_TEXTS = ("email", "phone_number", "external_id", "first_name", "last_name", "organization", "locale", "title", "image")
_PLACES = ("address1", "address2", "city", "country", "latitude", "longitude", "region", "zip", "timezone", "ip")
_NULLABLE = tuple(name for name in _PLACES if name not in ("latitude", "longitude"))
"""A place that is not known is said as null, but for where on the globe it is, which is not said at all."""
_FIELDS = (*_TEXTS, "created", "updated", "last_event_date", "location", *(f"location.{name}" for name in _PLACES), "properties", "id")
FIELDS = (*_FIELDS, "subscriptions")
MEMBER_FIELDS = (*FIELDS, "joined_group_at")
ADDITIONAL = ("subscriptions",)
_FILTERS: Filters = {
    **dict.fromkeys(("id", "email", "phone_number", "external_id"), ("equals", "any")),
    "created": ("greater-than", "less-than"),
    "updated": ("greater-than", "less-than"),
}


def resource(asked: Asked, profile: Profile, *, joined: str | None = None) -> dict[str, Any]:
    """What is said of a profile, as far as it was asked for. `joined`: when it came to the list that was asked about."""
    attributes: dict[str, Any] = {name: profile.attributes.get(name) for name in _TEXTS}
    attributes |= {"created": profile.created, "updated": profile.updated, "last_event_date": profile.last_event}
    place = profile.attributes.get("location", {})
    attributes |= {"location": {**dict.fromkeys(_NULLABLE), **place}, "properties": profile.properties}
    if joined is not None:
        attributes["joined_group_at"] = joined
    attributes = only(attributes, asked.several("fields[profile]"))
    if "subscriptions" in asked.several("additional-fields[profile]") or "subscriptions" in asked.several("fields[profile]"):
        attributes["subscriptions"] = _subscriptions(profile.consent)
    here = f"/api/profiles/{profile.id}"
    lists = {"self": asked.link(f"{here}/relationships/lists"), "related": asked.link(f"{here}/lists")}
    return {
        "type": "profile",
        "id": profile.id,
        "attributes": attributes,
        "relationships": {"lists": {"links": lists}},
        "links": {"self": asked.link(here)},
    }


def reference(id: str) -> dict[str, str]:
    """A profile, by its id alone."""
    return {"type": "profile", "id": id}


def _subscriptions(consent: Consent) -> dict[str, Any]:
    marketing = {
        "can_receive_email_marketing": consent.can_receive,
        "consent": consent.state,
        "consent_timestamp": consent.at,
        "last_updated": consent.at,
        "method": consent.method,
        "method_detail": "",
        "custom_method_detail": None,
        "double_optin": None,
        "suppression": [{"reason": reason, "timestamp": at} for reason, at in consent.suppressed],
        "list_suppressions": [],
    }
    return {"email": {"marketing": marketing}}


def _import(asked: Asked) -> Reply:
    try:
        profile, new = upsert(asked.world, asked.said["data"])
    except RefusedError as error:
        raise below(error, "/data") from None
    return reply(201 if new else 200, {"data": resource(asked, profile), "links": {"self": asked.link(asked.path)}})


def _create(asked: Asked) -> Reply:
    told = asked.said["data"]
    for kind in ("email", "phone_number", "external_id"):
        value = told["attributes"].get(kind)
        known = None if value is None else asked.world.find(kind, value)
        if known is not None:
            raise already(known)
    made = _import(asked)
    return reply(201, made.content)


def already(known: Profile) -> RefusedError:
    """409: there is a profile with these identifiers."""
    detail = "A profile already exists with one of these identifiers."
    meta = {"duplicate_profile_id": known.id}
    return RefusedError(409, [Problem("duplicate_profile", "Conflict.", detail, "/data/attributes", meta=meta)])


def below(error: RefusedError, at: str) -> RefusedError:
    """What is wrong with a resource, said of where the resource stands."""
    return RefusedError(error.status, [replace(problem, pointer=f"{at}{problem.pointer or ''}") for problem in error.problems])


def _search(asked: Asked) -> Reply:
    terms = terms_of(asked, _FILTERS)
    if not terms:
        ids, further = asked.world.order.page(after_of(asked), size_of(asked, 20, 100))
        return collection(asked, (resource(asked, asked.world.profiles[id]) for id in ids), further)
    found = list(matching(asked.world, terms, getattr))
    part, further = slice_of(asked, found, 20, 100)
    return collection(asked, (resource(asked, profile) for profile in part), further)


def matching(world: World, terms: Sequence[Term], instant: Callable[[Profile, str], str]) -> Iterator[Profile]:
    """The profiles for which all terms hold: by an index where one names whom it wants, else by looking at each."""
    naming = next((term for term in terms if term.operator in ("equals", "any")), None)
    if naming is None:
        candidates = iter(world.profiles.values())
    elif naming.field == "id":
        candidates = (world.profiles[id] for id in dict.fromkeys(naming.values) if id in world.profiles)
    else:
        found = (world.find(naming.field, value) for value in naming.values)
        candidates = iter({profile.id: profile for profile in found if profile is not None}.values())
    for profile in candidates:
        if all(_holds(term, profile, instant) for term in terms if term is not naming):
            yield profile


def _holds(term: Term, profile: Profile, instant: Callable[[Profile, str], str]) -> bool:
    if term.operator in ("equals", "any"):
        said = profile.id if term.field == "id" else profile.attributes.get(term.field)
        return said in term.values
    return term.holds(instant(profile, term.field))


def profile_of(asked: Asked) -> Profile:
    """The profile that the path names; raises RefusedError (404) where there is none."""
    found = asked.world.profiles.get(asked.parts["id"])
    if found is None:
        raise not_found("profile", asked.parts["id"])
    return found


def _one(asked: Asked) -> Reply:
    return reply(200, {"data": resource(asked, profile_of(asked)), "links": {"self": asked.link(asked.path)}})


def _account(asked: Asked) -> Reply:
    attributes = {
        "test_account": True,
        "contact_information": {
            "organization_name": "Sandbox",
            "default_sender_name": "Sandbox",
            "default_sender_email": "us@sandbox.example",
        },
        "timezone": "UTC",
        "preferred_currency": "USD",
        "public_api_key": asked.account,
        "locale": "en-US",
    }
    link = {"self": asked.link(f"/api/accounts/{asked.account}")}
    return collection(asked, [{"type": "account", "id": asked.account, "attributes": attributes, "links": link}], None)


_SHOWN = {"fields[profile]": FIELDS, "additional-fields[profile]": ADDITIONAL}
PAGED: dict[str, Sequence[str]] = {"page[size]": (), "page[cursor]": ()}

OPERATIONS = (
    Operation("GET", "/api/accounts", _account, "XS"),
    Operation("POST", "/api/profile-import", _import, "L", params=_SHOWN, shape=UPSERT),
    Operation("POST", "/api/profiles", _create, "L", params=_SHOWN, shape=UPSERT),
    Operation("GET", "/api/profiles", _search, "L", params={**_SHOWN, **PAGED, "filter": ()}),
    Operation("GET", "/api/profiles/{id}", _one, "L", params=_SHOWN),
)
