"""Every body that Klaviyo is sent, held to our own strict schemas and to Klaviyo's description; and bodies that neither lets pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from segmentry.engine.connectors.destination import Batch, Row
from segmentry.engine.connectors.klaviyo_bodies import event, import_job, import_one, profile, relationships
from tests.connectors.conftest import AT
from tests.connectors.klaviyo.schemas import BODIES, problems, vendor_problems

WHO = {"id": "01GDDKASAP8TKDDA2GRZDSVP4H", "email": "ada@example.com", "external_id": "c_1"}
FIELDS = {
    "first_name": "Ada",
    "last_name": None,
    "phone_number": "+12345678901",
    "organization": "Analytical Engines",
    "title": 7,
    "image": "https://img.example/1.png",
    "locale": "en-GB",
    "location.city": "London",
    "location.zip": 90210,
    "location.country": None,
    "location.latitude": 51.5,
    "location.longitude": None,
    "ltv_band": "high",
    "old_band": None,
    "orders": 7,
    "vip": True,
    "tags": ["a", "b"],
    "location.planet": "Earth",
}
ROW = Row("5f0c1d3e", "c_1", "ada@example.com", {"segment": "vip", "number": 1, "contact": "c_1", "fields": {"ltv": 7.5, "none": None}})
BATCH = Batch("5f0c1d3e", "enrollment.created", AT.replace(microsecond=5), "welcome", (ROW,), {"event": "Entered VIP"})
LIST = "/api/lists/Y6nRLr/relationships/profiles"

GOOD: dict[str, tuple[str, str, Callable[[], dict[str, Any]]]] = {
    "an event": ("POST", "/api/events", lambda: event(BATCH, ROW, {"email": "ada@example.com", "external_id": "c_1"})),
    "an event by address only": ("POST", "/api/events", lambda: event(BATCH, ROW, {"email": "ada@example.com"})),
    "a profile": ("POST", "/api/profile-import", lambda: import_one(profile(WHO, FIELDS))),
    "a profile without fields": ("POST", "/api/profile-import", lambda: import_one(profile({"email": "a@b.example"}, {}))),
    "a job": ("POST", "/api/profile-bulk-import-jobs", lambda: import_job([profile(WHO, FIELDS)] * 3, "Y6nRLr")),
    "a job that only updates": ("POST", "/api/profile-bulk-import-jobs", lambda: import_job([profile(WHO, FIELDS)], None)),
    "members to add": ("POST", LIST, lambda: relationships(["01A", "01B"])),
    "members to remove": ("DELETE", LIST, lambda: relationships(["01A"])),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_sent_is_what_our_schemas_say(name: str) -> None:
    method, path, made = GOOD[name]
    assert problems(method, path, made()) == []


@pytest.mark.parametrize("name", GOOD)
def test_what_is_sent_is_what_klaviyo_describes(name: str) -> None:
    method, path, made = GOOD[name]
    assert vendor_problems(method, path, made()) == []


def at(body: dict[str, Any], *steps: str | int) -> Any:
    for step in steps:
        body = body[step]
    return body


def spoil(name: str, *steps: str | int, **values: Any) -> dict[str, Any]:
    """A good body with something else at one place; a value that is left out as `...` is taken away."""
    body = copy.deepcopy(GOOD[name][2]())
    place = at(body, *steps)
    for key, value in values.items():
        if value is ...:
            del place[key]
        else:
            place[key] = value
    return body


SUBSCRIBES = {"email": {"marketing": {"consent": "SUBSCRIBED"}}}
BAD: dict[str, tuple[str, dict[str, Any]]] = {
    "an event that is said to be in the past": ("an event", spoil("an event", "data", "attributes", backfill=True)),
    "an event without an id of its own": ("an event", spoil("an event", "data", "attributes", unique_id=...)),
    "an event with fractions of a second": ("an event", spoil("an event", "data", "attributes", time="2026-11-23T18:00:00.5Z")),
    "an event that subscribes": (
        "an event",
        spoil("an event", "data", "attributes", "profile", "data", "attributes", subscriptions=SUBSCRIBES),
    ),
    "a profile that subscribes": ("a profile", spoil("a profile", "data", "attributes", subscriptions=SUBSCRIBES)),
    "a profile without an address": ("a profile", spoil("a profile", "data", "attributes", email=...)),
    "a profile with null among its properties": ("a profile", spoil("a profile", "data", "attributes", properties={"a": None})),
    "a job whose list is misspelt": ("a job", spoil("a job", "data", relationships={"list": {"data": [{"type": "list", "id": "x"}]}})),
    "a job of nobody": ("a job", spoil("a job", "data", "attributes", "profiles", data=[])),
    "a job that subscribes": ("a job", spoil("a job", "data", "attributes", "profiles", "data", 1, "attributes", subscriptions=SUBSCRIBES)),
    "members by address": ("members to add", {"data": [{"type": "profile", "email": "ada@example.com"}]}),
    "more members than go in one": ("members to add", relationships([str(number) for number in range(1001)])),
    "members to remove by address": ("members to remove", {"data": [{"type": "profile", "email": "ada@example.com"}]}),
}


@pytest.mark.parametrize("name", BAD)
def test_our_schemas_refuse(name: str) -> None:
    like, body = BAD[name]
    assert problems(*GOOD[like][:2], body)


def test_a_bad_body_is_tried_for_every_body_there_is() -> None:
    tried = {GOOD[like][:2] for like, _ in BAD.values()}
    assert {(method, path.replace("Y6nRLr", "{id}")) for method, path in tried} == set(BODIES)


VENDOR_BAD: dict[str, tuple[str, dict[str, Any]]] = {
    "an event without its properties": ("an event", spoil("an event", "data", "attributes", properties=...)),
    "a profile of another type": ("a profile", spoil("a profile", "data", type="person")),
    "a job whose profiles are bare": ("a job", spoil("a job", "data", "attributes", profiles=[])),
    "more members than go in one": ("members to add", relationships([str(number) for number in range(1001)])),
    "members to remove by address": ("members to remove", {"data": [{"type": "profile", "email": "ada@example.com"}]}),
}


@pytest.mark.parametrize("name", VENDOR_BAD)
def test_klaviyo_s_description_refuses(name: str) -> None:
    like, body = VENDOR_BAD[name]
    assert vendor_problems(*GOOD[like][:2], body)


# ---------------------------------------------------------------- what fields become


def test_klaviyo_s_own_fields_go_where_klaviyo_has_them_and_others_are_properties() -> None:
    made = profile(WHO, FIELDS)
    assert made["id"] == WHO["id"]
    assert made["attributes"]["first_name"] == "Ada"
    assert made["attributes"]["title"] == "7"
    assert made["attributes"]["location"] == {"city": "London", "zip": "90210", "country": None, "latitude": 51.5}
    assert made["attributes"]["properties"] == {
        "ltv_band": "high", "orders": 7, "vip": True, "tags": ["a", "b"], "location.planet": "Earth"
    }  # fmt: skip


def test_a_missing_value_is_cleared_and_not_left() -> None:
    made = profile(WHO, FIELDS)
    assert made["attributes"]["last_name"] is None
    assert made["meta"] == {"patch_properties": {"unset": ["old_band"]}}


def test_an_event_has_the_mapped_fields_beside_what_happened() -> None:
    told = event(BATCH, ROW, {"email": "ada@example.com"})["data"]["attributes"]
    assert told["properties"] == {"segment": "vip", "number": 1, "contact": "c_1", "ltv": 7.5, "none": None}
    assert (told["unique_id"], told["time"], told["backfill"]) == ("5f0c1d3e", "2026-11-23T18:00:00Z", False)
    assert told["metric"]["data"]["attributes"]["name"] == "Entered VIP"


def test_the_same_row_is_the_same_body_at_every_attempt() -> None:
    again = replace(BATCH, id="another")
    assert event(again, ROW, {"email": "a@b.example"}) == event(BATCH, ROW, {"email": "a@b.example"})
