"""Members of the Mailchimp stand-in: who is taken, who is refused with which words, whose status changes, and who never comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from segmentry.sandbox.mailchimp import AUDIENCE, SECOND, MailchimpSandbox
from tests.sandbox.mailchimp_client import LIST, Client, Clock, at, hash_of

ADA, BOB, EVE = "Ada@Example.com", "bob@example.com", "eve@example.com"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(clock: Clock) -> Iterator[Client]:
    with MailchimpSandbox(clock=clock) as sandbox:
        client = Client(sandbox)
        yield client
        client.http.close()


def batch(client: Client, *rows: dict[str, Any], existing: bool = True, sync_tags: bool = False, **params: Any) -> Any:
    body = {"members": list(rows), "update_existing": existing, "sync_tags": sync_tags}
    return client.done("POST", LIST, body, **params)


def row(email: str, **more: Any) -> dict[str, Any]:
    return {"email_address": email, "status_if_new": "subscribed", **more}


def test_the_hash_is_of_the_trimmed_address_in_lower_case(client: Client) -> None:
    client.add(" Urist.McVankab@freddiesjokes.com ")
    said = client.done("GET", f"{LIST}/members/62eeb292278cc15f5817cb78f7790b08")
    assert said["email_address"] == "Urist.McVankab@freddiesjokes.com"
    assert said["id"] == "62eeb292278cc15f5817cb78f7790b08"


def test_a_member_is_found_by_address_and_contact_id_too_but_not_for_tags(client: Client) -> None:
    client.add(ADA)
    for name in ("ada@example.com", client.member(ADA)["contact_id"]):
        assert client.done("GET", f"{LIST}/members/{name}")["id"] == hash_of(ADA)
        assert client.refused("POST", f"{LIST}/members/{name}/tags", {"tags": []})[0] == 404


def test_new_ones_get_the_status_for_new_ones(client: Client) -> None:
    said = batch(client, row(ADA, merge_fields={"FNAME": "Ada"}, tags=["seg:vip"]), row(BOB, status_if_new="transactional"))
    assert (said["total_created"], said["total_updated"], said["error_count"]) == (2, 0, 0)
    assert [(one["email_address"], one["status"]) for one in said["new_members"]] == [(ADA, "subscribed"), (BOB, "transactional")]
    assert client.member(ADA)["merge_fields"]["FNAME"] == "Ada"
    assert client.tags(ADA) == ["seg:vip"]


@pytest.mark.parametrize("left", ["unsubscribe", "clean", "archive"])
def test_status_if_new_keeps_the_status_of_who_is_there(client: Client, left: str) -> None:
    client.add(ADA)
    client.sandbox.people.order({"do": left, "email": ADA})
    former = client.status(ADA)
    said = batch(client, row(ADA, merge_fields={"FNAME": "Ada"}))
    assert (said["total_updated"], said["error_count"]) == (1, 0)
    client.done("PUT", at(ADA), row(ADA))
    assert client.status(ADA) == former != "subscribed"
    assert client.member(ADA)["merge_fields"]["FNAME"] == "Ada"
    assert client.sandbox.resubscribed == []


@pytest.mark.parametrize("left", ["unsubscribe", "archive"])
def test_status_puts_back_who_had_left_and_that_is_noted(client: Client, left: str) -> None:
    """As with the service: so a sync that says `status` is caught."""
    client.add(ADA)
    client.sandbox.people.order({"do": left, "email": ADA})
    former = client.status(ADA)
    batch(client, {"email_address": ADA, "status": "subscribed"})
    assert client.status(ADA) == "subscribed"
    [noted] = client.sandbox.resubscribed
    assert (noted.audience, noted.email, noted.former, noted.request) == (AUDIENCE, ADA, former, f"POST {LIST}")


def test_each_way_to_subscribe_again_is_noted(client: Client) -> None:
    client.add(ADA)
    ways: list[tuple[str, dict[str, Any]]] = [("PATCH", {"status": "subscribed"}), ("PUT", row(ADA, status="subscribed"))]
    for number, (method, body) in enumerate(ways, start=1):
        client.sandbox.people.unsubscribe(ADA)
        client.done(method, at(ADA), body)
        assert len(client.sandbox.resubscribed) == number
    client.sandbox.people.unsubscribe(ADA)
    client.sandbox.people.subscribe(ADA)
    assert len(client.sandbox.resubscribed) == 2


def test_where_archived_ones_count_as_new_they_come_back_and_that_is_noted(client: Client) -> None:
    client.add(ADA)
    client.sandbox.people.archive(ADA)
    client.sandbox.audiences[AUDIENCE].revives = True
    batch(client, row(ADA))
    assert client.status(ADA) == "subscribed"
    assert [one.former for one in client.sandbox.resubscribed] == ["archived"]


def test_without_update_existing_who_is_there_is_an_error_of_its_row(client: Client) -> None:
    client.add(ADA)
    said = batch(client, row(ADA, merge_fields={"FNAME": "A"}), row(BOB), existing=False)
    assert (said["total_created"], said["error_count"]) == (1, 1)
    assert (said["errors"][0]["email_address"], said["errors"][0]["error_code"]) == (ADA, "ERROR_CONTACT_EXISTS")
    assert client.member(ADA)["merge_fields"]["FNAME"] == ""


def test_compliance_and_forgotten_addresses_are_refused_in_the_service_s_words(client: Client) -> None:
    client.add(ADA, BOB)
    client.sandbox.people.unsubscribe(ADA, compliance=True)
    client.sandbox.people.forget(BOB)
    said = batch(client, {"email_address": ADA, "status": "subscribed"}, row(BOB), row(EVE))
    assert said["total_created"] == 1
    assert [error["error_code"] for error in said["errors"]] == ["ERROR_GENERIC", "ERROR_GENERIC"]
    assert "is in a compliance state due to unsubscribe, bounce, or compliance review" in said["errors"][0]["error"]
    assert "was permanently deleted and cannot be re-imported" in said["errors"][1]["error"]
    assert client.refused("PATCH", at(ADA), {"status": "subscribed"})[:2] == (400, "Member In Compliance State")
    assert client.refused("PUT", at(BOB), row(BOB))[:2] == (400, "Forgotten Email Not Subscribed")
    assert client.refused("POST", f"{LIST}/members", {"email_address": BOB, "status": "transactional"})[0] == 400
    assert client.status(ADA) == "unsubscribed"
    assert client.sandbox.resubscribed == []


def test_pending_asks_the_person_which_is_a_mail(client: Client) -> None:
    client.add(ADA)
    client.sandbox.people.clean(ADA)
    client.done("PATCH", at(ADA), {"status": "pending"})
    client.add(BOB, status="pending")
    assert client.sandbox.mails == {(0, "ada@example.com"): 1, (0, BOB): 1}


def test_what_is_no_address_or_looks_like_none_is_refused(client: Client) -> None:
    client.sandbox.people.doubt(ADA)
    client.sandbox.people.doubt(BOB, because="busy")
    said = batch(client, row("nobody"), row(ADA), row(BOB))
    assert [error["error"].partition(" ")[2][:20] for error in said["errors"]] == [
        "provide a valid email"[:20],
        "looks fake or invalid"[:20],
        "has signed up to a lot"[:20],
    ]
    assert client.sandbox.audiences[AUDIENCE].members == {}


def test_an_address_twice_in_a_batch_is_an_error_unless_forgiven(client: Client) -> None:
    twice = [row(ADA, merge_fields={"FNAME": "first"}), row(ADA.lower(), merge_fields={"FNAME": "second"})]
    assert batch(client, *twice)["error_count"] == 1
    assert batch(client, *twice, skip_duplicate_check="true")["error_count"] == 0
    assert client.member(ADA)["merge_fields"]["FNAME"] == "first"


def test_five_hundred_and_no_more(client: Client) -> None:
    many = [row(f"a{number}@example.com") for number in range(501)]
    assert client.refused("POST", LIST, {"members": many}) == (400, "Invalid Resource", "members")
    assert batch(client, *many[:500])["total_created"] == 500
    assert client.done("GET", LIST)["stats"]["member_count"] == 500


def test_tags_are_added_and_with_sync_tags_replaced(client: Client) -> None:
    client.add(ADA, tags=["by hand"])
    batch(client, row(ADA, tags=["seg:vip"]))
    assert client.tags(ADA) == ["by hand", "seg:vip"]
    batch(client, row(ADA, tags=["seg:uk"]), sync_tags=True)
    assert client.tags(ADA) == ["seg:uk"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"members": [{"email_address": ADA}]}, "members.item:0"),
        ({"members": [row(ADA, name="Ada")]}, "members.item:0.name"),
        ({"members": [row(ADA, merge_fields={"FNAME": None})]}, "members.item:0.merge_fields.FNAME"),
        ({"members": [row(ADA, merge_fields={"FNAME": True})]}, "members.item:0.merge_fields.FNAME"),
        ({"members": [row(ADA, status="archived")]}, "members.item:0.status"),
        ({"members": [{"status_if_new": "subscribed"}]}, "members.item:0.email_address"),
        ({"members": [], "update": True}, "update"),
        ({"members": [], "update_existing": "true"}, "update_existing"),
        ({"members": {}}, "members"),
        ([], ""),
    ],
)
def test_a_body_that_says_something_else_is_refused_whole(client: Client, body: object, field: str) -> None:
    assert client.refused("POST", LIST, body) == (400, "Invalid Resource", field)
    assert client.sandbox.audiences[AUDIENCE].members == {}


def test_merge_fields_that_there_are_not_are_passed_over_and_required_ones_asked_for(client: Client) -> None:
    made = client.done("POST", f"{LIST}/merge-fields", {"name": "Value", "type": "number", "tag": "ltv", "required": True})
    assert (made["tag"], made["type"], made["required"]) == ("LTV", "number", True)
    said = batch(client, row(ADA, merge_fields={"NOPE": "x"}), row(BOB, merge_fields={"LTV": "much"}), row(EVE, merge_fields={"LTV": 7.5}))
    assert [(error["email_address"], error["field"]) for error in said["errors"]] == [(ADA, "LTV"), (BOB, "LTV")]
    said = batch(client, row(ADA, merge_fields={"NOPE": "x"}), skip_merge_validation="true")
    assert said["total_created"] == 1
    assert "NOPE" not in client.member(ADA)["merge_fields"]
    assert client.member(EVE)["merge_fields"]["LTV"] == 7.5
    assert client.refused("PUT", at(BOB), row(BOB)) == (400, "Invalid Resource", "LTV")


def test_an_empty_text_clears_a_field_and_others_stay(client: Client) -> None:
    client.add(ADA, merge_fields={"FNAME": "Ada", "LNAME": "L"})
    client.add(ADA, merge_fields={"FNAME": ""})
    assert (client.member(ADA)["merge_fields"]["FNAME"], client.member(ADA)["merge_fields"]["LNAME"]) == ("", "L")


@pytest.mark.parametrize(
    ("type", "right", "wrong"),
    [
        ("date", "2026-11-23", "yesterday"),
        ("birthday", "11/23", "2026-11-23"),
        ("url", "https://example.com/a", "example"),
        ("zip", "90210", "SW1A"),
        ("dropdown", "high", "middle"),
        ("number", "12.5", "twelve"),
    ],
)
def test_fields_take_what_fits_their_type(client: Client, type: str, right: str, wrong: str) -> None:
    body = {"name": "X", "type": type, "tag": "X", "options": {"choices": ["low", "high"]} if type == "dropdown" else {}}
    client.done("POST", f"{LIST}/merge-fields", body)
    said = batch(client, row(ADA, merge_fields={"X": right}), row(BOB, merge_fields={"X": wrong}))
    assert [one["email_address"] for one in said["new_members"]] == [ADA]
    assert [error["field"] for error in said["errors"]] == ["X"]


def test_merge_fields_are_listed_and_made_once(client: Client) -> None:
    assert [one["tag"] for one in client.done("GET", f"{LIST}/merge-fields")["merge_fields"]] == ["FNAME", "LNAME", "ADDRESS", "PHONE"]
    assert client.done("POST", f"{LIST}/merge-fields", {"name": "Band", "type": "text"})["tag"] == "MMERGE5"
    assert client.refused("POST", f"{LIST}/merge-fields", {"name": "Again", "type": "text", "tag": "fname"})[:2] == (400, "Bad Request")
    assert client.refused("POST", f"{LIST}/merge-fields", {"name": "Odd", "type": "colour"})[2] == "type"
    assert client.done("GET", f"{LIST}/merge-fields", count=1, offset=4)["merge_fields"][0]["name"] == "Band"


# ---------------------------------------------------------------- one at a time


def test_put_adds_or_updates_and_patch_updates_only(client: Client) -> None:
    assert client.refused("PATCH", at(ADA), {"merge_fields": {}})[0] == 404
    assert client.done("PUT", at(ADA), row(ADA))["status"] == "subscribed"
    assert client.done("PATCH", at(ADA), {"merge_fields": {"FNAME": "Ada"}})["merge_fields"]["FNAME"] == "Ada"
    assert client.refused("PUT", at(BOB), {"email_address": BOB}) == (400, "Invalid Resource", "status_if_new")
    assert client.refused("PUT", at(BOB), row(EVE)) == (400, "Invalid Resource", "email_address")
    assert client.refused("POST", f"{LIST}/members", {"email_address": ADA, "status": "subscribed"})[1] == "Member Exists"


def test_patch_with_another_address_moves_the_member_tags_and_all(client: Client) -> None:
    client.add(ADA, tags=["seg:vip"])
    contact = client.member(ADA)["contact_id"]
    moved = client.done("PATCH", at(ADA), {"email_address": EVE})
    assert (moved["id"], moved["contact_id"], [tag["name"] for tag in moved["tags"]]) == (hash_of(EVE), contact, ["seg:vip"])
    assert client.refused("GET", at(ADA))[0] == 404
    assert client.done("GET", f"{LIST}/segments/{moved['tags'][0]['id']}")["member_count"] == 1


def test_patch_to_an_address_that_is_taken_or_forgotten_is_refused(client: Client) -> None:
    client.add(ADA, BOB, EVE)
    client.sandbox.people.forget(EVE)
    status, title, detail = client.refused("PATCH", at(ADA), {"email_address": BOB, "status": "unsubscribed"})
    assert (status, title) == (400, "Member Exists")
    assert "already a list member" in detail
    assert client.refused("PATCH", at(ADA), {"email_address": EVE})[1] == "Forgotten Email Not Subscribed"
    assert (client.status(ADA), client.status(BOB)) == ("subscribed", "subscribed")


def test_archiving_is_reversible_and_done_once(client: Client) -> None:
    client.add(ADA, tags=["seg:vip"])
    client.done("DELETE", at(ADA))
    assert client.status(ADA) == "archived"
    assert client.refused("DELETE", at(ADA))[0] == 405
    assert client.refused("DELETE", at(BOB))[0] == 404
    client.sandbox.people.subscribe(ADA)
    assert (client.status(ADA), client.tags(ADA)) == ("subscribed", ["seg:vip"])


def test_who_is_deleted_for_good_never_comes_back_and_the_call_is_noted(client: Client) -> None:
    client.add(ADA, tags=["seg:vip"])
    client.done("POST", f"{at(ADA)}/actions/delete-permanent")
    assert client.refused("GET", at(ADA))[0] == 404
    for status in ("subscribed", "transactional", "pending"):
        assert client.add(ADA, status=status)["error_count"] == 1
    assert client.refused("POST", f"{at(ADA)}/actions/delete-permanent")[0] == 404
    assert [(one.method, one.path) for one in client.sandbox.forbidden] == [("POST", f"{at(ADA)}/actions/delete-permanent")] * 2


def test_an_audience_that_is_deleted_is_gone_and_the_call_is_noted(client: Client) -> None:
    client.done("DELETE", LIST)
    assert client.refused("GET", LIST)[0] == 404
    assert [one["id"] for one in client.done("GET", "/lists")["lists"]] == [SECOND]
    assert [(one.method, one.path) for one in client.sandbox.forbidden] == [("DELETE", LIST)]


def test_a_forbidden_call_is_noted_also_where_it_was_not_taken(client: Client) -> None:
    client.sandbox.cruelty.script(["503"])
    assert client.ask("DELETE", LIST).status_code == 503
    assert [one.path for one in client.sandbox.forbidden] == [LIST]
    assert AUDIENCE in client.sandbox.audiences


def test_in_an_audience_with_double_opt_in_subscribed_is_subscribed(client: Client) -> None:
    assert client.done("GET", f"/lists/{SECOND}")["double_optin"] is True
    client.add(ADA, audience=SECOND)
    assert client.done("GET", at(ADA, SECOND))["status"] == "subscribed"
    assert client.refused("GET", at(ADA))[0] == 404
    assert client.sandbox.mails == {}


# ---------------------------------------------------------------- many


def test_members_come_in_pages_of_ten_where_nothing_is_said_and_a_thousand_at_most(client: Client) -> None:
    emails = [f"a{number}@example.com" for number in range(25)]
    client.add(*emails)
    said = client.done("GET", f"{LIST}/members")
    assert (len(said["members"]), said["total_items"], said["list_id"]) == (10, 25, AUDIENCE)
    pages = [client.done("GET", f"{LIST}/members", count=10, offset=offset)["members"] for offset in (0, 10, 20, 30)]
    assert [member["email_address"] for page in pages for member in page] == emails
    assert client.refused("GET", f"{LIST}/members", count=1001) == (400, "Invalid Resource", "count")
    assert client.refused("GET", f"{LIST}/members", offset="-1")[2] == "offset"


def test_only_the_fields_that_are_asked_for(client: Client) -> None:
    client.add(ADA)
    said = client.done("GET", f"{LIST}/members", fields="members.email_address,members.status,total_items")
    assert said == {"members": [{"email_address": ADA, "status": "subscribed"}], "total_items": 1}
    said = client.done("GET", at(ADA), exclude_fields="merge_fields.FNAME,tags")
    assert "tags" not in said
    assert set(said["merge_fields"]) == {"LNAME", "ADDRESS", "PHONE"}


def test_by_status_and_the_archived_only_where_asked_for(client: Client) -> None:
    client.add(ADA, BOB, EVE)
    client.sandbox.people.unsubscribe(BOB)
    client.sandbox.people.archive(EVE)

    def emails(**params: Any) -> list[str]:
        return [member["email_address"] for member in client.done("GET", f"{LIST}/members", **params)["members"]]

    assert emails() == [ADA, BOB]
    assert emails(status="subscribed") == [ADA]
    assert emails(status="unsubscribed") == [BOB]
    assert emails(status="archived") == [EVE]
    assert client.refused("GET", f"{LIST}/members", status="gone")[2] == "status"
    assert client.refused("GET", f"{LIST}/members", tag="x")[2] == "tag"


def test_since_when(client: Client, clock: Clock) -> None:
    client.add(ADA, BOB)
    clock.pass_by(hours=1)
    client.add(ADA, merge_fields={"FNAME": "Ada"})
    client.add(BOB)
    client.add(EVE)

    def emails(**params: Any) -> list[str]:
        return [member["email_address"] for member in client.done("GET", f"{LIST}/members", **params)["members"]]

    assert emails(since_last_changed="2026-11-23T18:30:00+00:00") == [ADA, EVE]
    assert emails(since_last_changed="2026-11-23T19:30:00+01:00") == [ADA, EVE]
    assert emails(before_last_changed="2026-11-23T18:30:00Z") == [BOB]
    assert client.refused("GET", f"{LIST}/members", since_last_changed="lately")[2] == "since_last_changed"
    clock.pass_by(hours=1)
    client.sandbox.people.unsubscribe(BOB)
    assert emails(unsubscribed_since="2026-11-23T19:00:00Z", status="unsubscribed") == [BOB]
    assert client.refused("GET", f"{LIST}/members", unsubscribed_since="2026-11-23T19:00:00Z")[2] == "unsubscribed_since"
    assert emails(sort_field="last_changed", sort_dir="DESC") == [BOB, ADA, EVE]


def test_what_changes_nothing_leaves_the_time_of_the_last_change(client: Client, clock: Clock) -> None:
    client.add(ADA, merge_fields={"FNAME": "Ada"})
    before = client.member(ADA)["last_changed"]
    clock.pass_by(hours=1)
    client.add(ADA, merge_fields={"FNAME": "Ada"})
    assert client.member(ADA)["last_changed"] == before


def test_counts_of_an_audience(client: Client) -> None:
    client.add("a@example.com", "b@example.com", ADA, BOB, EVE)
    client.sandbox.people.unsubscribe(ADA)
    client.sandbox.people.clean(BOB)
    client.sandbox.people.archive(EVE)
    stats = client.done("GET", LIST, include_total_contacts="true")["stats"]
    assert {name: stats[name] for name in ("member_count", "unsubscribe_count", "cleaned_count", "total_contacts")} == {
        "member_count": 2,
        "unsubscribe_count": 1,
        "cleaned_count": 1,
        "total_contacts": 4,
    }
    assert [one["name"] for one in client.done("GET", "/lists")["lists"]] == ["Shop", "Newsletter"]
