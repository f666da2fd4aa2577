"""What is said to Mailchimp: every body of ours is of the shape it must be, and a known-bad one of each endpoint is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from segmentry.engine.connectors import mailchimp_bodies as bodies
from segmentry.engine.connectors.mailchimp_bodies import Operation, Person, WrongBodyError, check

HASH = "62eeb292278cc15f5817cb78f7790b08"
ADA = Person(HASH, "ada@example.com", "subscribed", {"FNAME": "Ada", "LTV": 1.5})
TAGGING = Operation("7", "POST", f"/lists/ab12/members/{HASH}/tags", bodies.quiet_tag("seg:vip"))
CHANGING = Operation("8", "PATCH", f"/lists/ab12/members/{HASH}", bodies.member({"FNAME": ""}))

GOOD: dict[str, tuple[Any, bodies.Check]] = {
    "many people": (bodies.audience_members([ADA, Person(HASH, "bo@example.com", "transactional")]), bodies.AUDIENCE_MEMBERS),
    "one person": (bodies.new_member(ADA), bodies.NEW_MEMBER),
    "fields": (bodies.member({"FNAME": "Ada", "LTV": 3}), bodies.MEMBER),
    "another address": (bodies.member({}, "new@example.com"), bodies.MEMBER),
    "a tag": (bodies.new_tag("seg:vip"), bodies.NEW_TAG),
    "on a tag": (bodies.tagged(add=["ada@example.com"]), bodies.TAGGED),
    "off a tag": (bodies.tagged(remove=["ada@example.com"]), bodies.TAGGED),
    "a quiet tag": (bodies.quiet_tag("seg:vip"), bodies.QUIET_TAG),
    "a field": (bodies.new_field("LTV", "number"), bodies.NEW_FIELD),
    "a batch": (bodies.batch([TAGGING, CHANGING]), bodies.BATCH),
    "a start": (bodies.trigger("ada@example.com"), bodies.TRIGGER),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_we_say_is_of_its_shape(name: str) -> None:
    said, shape = GOOD[name]
    check(said, shape)
    check(json.loads(json.dumps(said)), shape)


def people(**more: Any) -> dict[str, Any]:
    return {
        "members": [{"email_address": "a@b.example", "status_if_new": "subscribed", **more}],
        "update_existing": True,
        "sync_tags": False,
    }


def batched(method: str, path: str, body: Any) -> dict[str, Any]:
    return {"operations": [{"method": method, "path": path, "operation_id": "1", "body": json.dumps(body)}]}


MEMBER = f"/lists/ab12/members/{HASH}"
START = "/customer-journeys/journeys/1/steps/1/actions/trigger"

BAD: dict[str, tuple[Any, bodies.Check]] = {
    "a status, which subscribes": (people(status="subscribed"), bodies.AUDIENCE_MEMBERS),
    "a status alone": ({**people(), "members": [{"email_address": "a@b.example", "status": "subscribed"}]}, bodies.AUDIENCE_MEMBERS),
    "tags beside the members, which start automations": (people(tags=["x"]), bodies.AUDIENCE_MEMBERS),
    "tags that replace": ({**people(), "sync_tags": True}, bodies.AUDIENCE_MEMBERS),
    "no update": ({**people(), "update_existing": False}, bodies.AUDIENCE_MEMBERS),
    "a true that is a number": ({**people(), "update_existing": 1}, bodies.AUDIENCE_MEMBERS),
    "pending, which mails a question": (people(status_if_new="pending"), bodies.AUDIENCE_MEMBERS),
    "unsubscribing whoever is new": (people(status_if_new="unsubscribed"), bodies.AUDIENCE_MEMBERS),
    "a null field": (people(merge_fields={"FNAME": None}), bodies.AUDIENCE_MEMBERS),
    "a field that is true": (people(merge_fields={"FNAME": True}), bodies.AUDIENCE_MEMBERS),
    "a field that is no number": (people(merge_fields={"LTV": float("nan")}), bodies.AUDIENCE_MEMBERS),
    "a field in lower case": (people(merge_fields={"fname": "Ada"}), bodies.AUDIENCE_MEMBERS),
    "nobody": ({**people(), "members": []}, bodies.AUDIENCE_MEMBERS),
    "too many people": ({**people(), "members": people()["members"] * 501}, bodies.AUDIENCE_MEMBERS),
    "a person with a status": ({**bodies.new_member(ADA), "status": "subscribed"}, bodies.NEW_MEMBER),
    "a person without an address": ({"status_if_new": "subscribed"}, bodies.NEW_MEMBER),
    "a change of status": ({"status": "subscribed"}, bodies.MEMBER),
    "no change at all": ({}, bodies.MEMBER),
    "a tag with people in it, whom it mails": ({"name": "x", "static_segment": ["a@b.example"]}, bodies.NEW_TAG),
    "a tag without a name": ({"name": "", "static_segment": []}, bodies.NEW_TAG),
    "a segment by conditions": ({"name": "x", "static_segment": [], "options": {}}, bodies.NEW_TAG),
    "a tag put on and off nobody": ({}, bodies.TAGGED),
    "a tag with another name": ({"members_to_add": ["a@b.example"], "name": "y"}, bodies.TAGGED),
    "hashes on a tag": ({"members_to_add": [HASH]}, bodies.TAGGED),
    "a tag that is not quiet": ({**bodies.quiet_tag("x"), "is_syncing": False}, bodies.QUIET_TAG),
    "a tag without a word on it": ({"tags": [{"name": "x", "status": "active"}]}, bodies.QUIET_TAG),
    "a tag taken off": ({"tags": [{"name": "x", "status": "inactive"}], "is_syncing": True}, bodies.QUIET_TAG),
    "a field that is required": ({**bodies.new_field("LTV", "number"), "required": True}, bodies.NEW_FIELD),
    "a field with a long name": (bodies.new_field("LIFETIMEVALUE", "number"), bodies.NEW_FIELD),
    "a field of a type of its own": (bodies.new_field("LTV", "float"), bodies.NEW_FIELD),
    "a journey in a batch": (batched("POST", START, {"email_address": "a@b.example"}), bodies.BATCH),
    "an archiving in a batch": (batched("DELETE", MEMBER, {}), bodies.BATCH),
    "a deletion for good in a batch": (batched("POST", f"/lists/ab12/members/{HASH}/actions/delete-permanent", {}), bodies.BATCH),
    "a status in a batch": (batched("PATCH", f"/lists/ab12/members/{HASH}", {"status": "subscribed"}), bodies.BATCH),
    "a body that is no text": ({"operations": [{**batched("PATCH", MEMBER, {})["operations"][0], "body": {}}]}, bodies.BATCH),
    "no operation": ({"operations": []}, bodies.BATCH),
    "a start for nobody": ({"email_address": ""}, bodies.TRIGGER),
    "a start with more": ({"email_address": "a@b.example", "status": "subscribed"}, bodies.TRIGGER),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_must_not_be_said_cannot_be_said(name: str) -> None:
    said, shape = BAD[name]
    with pytest.raises(WrongBodyError) as wrong:
        check(said, shape)
    assert "b.example" not in str(wrong.value)


def test_every_shape_has_something_that_it_refuses() -> None:
    assert {shape for _, shape in BAD.values()} == {shape for _, shape in GOOD.values()}


def test_the_client_has_no_call_that_deletes_archives_or_unsubscribes() -> None:
    """What is asked for is in one file: its methods and paths are all that there are."""
    import inspect
    import re

    from segmentry.engine.connectors import mailchimp_calls

    source = inspect.getsource(mailchimp_calls)
    assert re.findall(r'"DELETE", f?"([^"]*)"', source) == ["{self._list()}/segments/{tag}/members/{quote(hash, safe='')}"]
    for word in ("delete-permanent", "actions/delete", '"unsubscribed"}', "unsubscribe("):
        assert word not in source
