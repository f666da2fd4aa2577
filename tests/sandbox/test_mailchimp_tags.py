"""Tags, journeys and batches of the Mailchimp stand-in: who is tagged, what that starts, and what comes of operations done later."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from segmentry.sandbox.mailchimp import AUDIENCE, JOURNEY, SECOND, STEP, MailchimpSandbox
from segmentry.sandbox.mailchimp_state import BatchRules
from tests.sandbox.mailchimp_client import LIST, Client, Clock, at

ADA, BOB, EVE = "Ada@Example.com", "bob@example.com", "eve@example.com"
TRIGGER = f"/customer-journeys/journeys/{JOURNEY}/steps/{STEP}/actions/trigger"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(clock: Clock) -> Iterator[Client]:
    with MailchimpSandbox(clock=clock, batches=BatchRules(operations=20, pending=3, results=4)) as sandbox:
        client = Client(sandbox)
        yield client
        client.http.close()


def emails(client: Client, segment: str, **params: Any) -> list[str]:
    return [member["email_address"] for member in client.done("GET", f"{segment}/members", **params)["members"]]


# ---------------------------------------------------------------- tags


def test_a_tag_is_found_by_how_its_name_begins(client: Client) -> None:
    for name in ("seg:vip", "seg:vip uk", "other"):
        client.tag(name)
    found = client.done("GET", f"{LIST}/tag-search", name="seg:vip")
    assert [tag["name"] for tag in found["tags"]] == ["seg:vip", "seg:vip uk"]
    assert found["total_items"] == 2
    assert [tag["name"] for tag in client.done("GET", f"{LIST}/segments", type="static", count=1000)["segments"]] == [
        "seg:vip",
        "seg:vip uk",
        "other",
    ]
    assert client.done("GET", f"{LIST}/segments", type="saved")["segments"] == []
    assert client.refused("GET", f"{LIST}/segments", count=1001)[2] == "count"


def test_a_tag_is_made_once(client: Client) -> None:
    client.tag("seg:vip")
    status, title, detail = client.refused("POST", f"{LIST}/segments", {"name": "seg:vip", "static_segment": []})
    assert (status, title, detail) == (400, "Bad Request", "Sorry, that tag already exists.")
    assert client.refused("POST", f"{LIST}/segments", {"name": "x", "options": {}})[0] == 400


def test_many_come_and_go_in_one_request_and_strangers_are_passed_over_silently(client: Client) -> None:
    client.add(ADA, BOB)
    segment = client.tag("seg:vip", BOB)
    said = client.done("POST", segment, {"members_to_add": ["ada@example.com", EVE], "members_to_remove": [BOB, EVE]})
    assert [member["email_address"] for member in said["members_added"]] == [ADA]
    assert [member["email_address"] for member in said["members_removed"]] == [BOB]
    assert (said["total_added"], said["total_removed"], said["errors"], said["error_count"]) == (1, 1, [], 0)
    assert emails(client, segment) == [ADA]


def test_what_is_no_address_is_an_error_of_the_request(client: Client) -> None:
    said = client.done("POST", client.tag("seg:vip"), {"members_to_add": ["nobody"]})
    assert said["errors"] == [{"email_addresses": ["nobody"], "error": "Please provide a valid email address."}]
    assert said["error_count"] == 1


@pytest.mark.parametrize("says", [True, False])
def test_who_has_the_tag_already_is_said_to_be_added_or_is_not(client: Client, *, says: bool) -> None:
    client.add(ADA)
    client.sandbox.audiences[AUDIENCE].says_repeats = says
    assert client.done("POST", client.tag("seg:vip", ADA), {"members_to_add": [ADA]})["total_added"] == says


def test_five_hundred_each_and_no_more(client: Client) -> None:
    segment = client.tag("seg:vip")
    many = [f"a{number}@example.com" for number in range(501)]
    for key in ("members_to_add", "members_to_remove"):
        assert client.refused("POST", segment, {key: many}) == (400, "Invalid Resource", key)
    assert client.done("POST", segment, {"members_to_add": many[:500], "members_to_remove": many[:500]})["total_added"] == 0
    assert client.refused("POST", segment, {"add": []})[2] == "add"
    assert client.refused("POST", f"{LIST}/segments/7", {})[0] == 404


def test_who_is_not_subscribed_has_the_tag_but_shows_only_where_asked_for(client: Client) -> None:
    client.add(ADA, BOB, EVE)
    client.add("t@example.com", status="transactional")
    segment = client.tag("seg:vip", ADA, BOB, EVE, "t@example.com")
    client.sandbox.people.unsubscribe(ADA)
    client.sandbox.people.clean(BOB)
    assert emails(client, segment) == [EVE]
    assert client.done("GET", segment)["member_count"] == 1
    everybody = {"include_unsubscribed": "true", "include_cleaned": "true", "include_transactional": "true"}
    assert emails(client, segment, **everybody) == [ADA, BOB, EVE, "t@example.com"]
    assert client.done("GET", segment, **everybody)["member_count"] == 4
    client.sandbox.people.archive(EVE)
    assert emails(client, segment, include_cleaned="true") == [BOB]
    assert client.done("POST", segment, {"members_to_add": [EVE]})["total_added"] == 0


def test_one_comes_off_by_the_hash(client: Client) -> None:
    client.add(ADA)
    segment = client.tag("seg:vip", ADA)
    client.done("DELETE", f"{segment}/members/{at(ADA).rpartition('/')[2]}")
    assert client.tags(ADA) == []
    assert client.refused("DELETE", f"{segment}/members/{at(ADA).rpartition('/')[2]}")[0] == 404
    assert client.done("POST", f"{segment}/members", {"email_address": ADA})["tags_count"] == 1


def test_a_member_s_own_tags_come_and_go_by_name(client: Client) -> None:
    client.add(ADA)
    client.done("POST", f"{at(ADA)}/tags", {"tags": [{"name": "a", "status": "active"}, {"name": "b", "status": "active"}]})
    client.done("POST", f"{at(ADA)}/tags", {"tags": [{"name": "a", "status": "inactive"}, {"name": "none", "status": "inactive"}]})
    assert [tag["name"] for tag in client.done("GET", f"{at(ADA)}/tags")["tags"]] == ["b"]
    assert client.done("GET", f"{LIST}/tag-search", name="none")["tags"] == []
    assert client.refused("POST", f"{at(BOB)}/tags", {"tags": []})[0] == 404
    assert client.refused("POST", f"{at(ADA)}/tags", {"tags": [{"name": "a", "status": "on"}]})[2] == "tags.item:0.status"


def test_a_tag_that_is_deleted_is_off_everybody_and_the_call_is_noted(client: Client) -> None:
    client.add(ADA)
    segment = client.tag("seg:vip", ADA)
    client.done("DELETE", segment)
    assert client.tags(ADA) == []
    assert [(one.method, one.path) for one in client.sandbox.forbidden] == [("DELETE", segment)]


# ---------------------------------------------------------------- journeys


def test_every_trigger_that_is_taken_is_a_mail(client: Client) -> None:
    client.add(ADA)
    for _ in range(2):
        assert client.ask("POST", TRIGGER, {"email_address": ADA}).status_code == 204
    assert client.sandbox.mails == {(JOURNEY, "ada@example.com"): 2}


@pytest.mark.parametrize("leave", ["unsubscribe", "clean", "archive", "forget"])
def test_a_trigger_for_who_is_not_subscribed_is_refused(client: Client, leave: str) -> None:
    client.add(ADA)
    client.sandbox.people.order({"do": leave, "email": ADA})
    assert client.refused("POST", TRIGGER, {"email_address": ADA})[:2] == (400, "Bad Request")
    client.add(BOB, audience=SECOND)
    assert client.refused("POST", TRIGGER, {"email_address": BOB})[0] == 400
    assert client.sandbox.mails == {}


def test_a_journey_must_be_there_and_live(client: Client) -> None:
    client.add(ADA)
    for path in (TRIGGER.replace(f"/{STEP}/", "/99/"), TRIGGER.replace(f"/{JOURNEY}/", "/99/"), TRIGGER.replace(f"/{JOURNEY}/", "/x/")):
        assert client.refused("POST", path, {"email_address": ADA})[0] == 404
    client.sandbox.people.journey(JOURNEY, STEP, live=False)
    assert client.refused("POST", TRIGGER, {"email_address": ADA})[0] == 400
    assert client.refused("POST", TRIGGER, {"email": ADA})[1] == "Invalid Resource"


def test_journeys_show_and_whether_they_send(client: Client) -> None:
    paused = client.sandbox.people.automation("seg:vip", live=False)
    shown = client.done("GET", "/customer-journeys/journeys")["journeys"]
    assert [(one["id"], one["list_id"], one["status"]) for one in shown] == [
        (JOURNEY, AUDIENCE, "sending"),
        (paused, AUDIENCE, "paused"),
    ]
    assert client.done("GET", "/automations") == {"automations": [], "total_items": 0}


def test_a_live_automation_mails_who_gets_its_tag_newly_and_once(client: Client) -> None:
    journey = client.sandbox.people.automation("enroll:vip")
    client.add(ADA, tags=["enroll:vip"])
    client.add(BOB, EVE)
    segment = f"{LIST}/segments/{client.member(ADA)['tags'][0]['id']}"
    for _ in range(2):
        client.done("POST", segment, {"members_to_add": [ADA, BOB]})
    client.sandbox.people.tag(EVE, "enroll:vip")
    assert client.sandbox.mails == {(journey, email.lower()): 1 for email in (ADA, BOB, EVE)}
    client.done("POST", segment, {"members_to_remove": [BOB]})
    client.done("POST", segment, {"members_to_add": [BOB]})
    assert client.sandbox.mails[journey, BOB] == 1


def test_with_is_syncing_nothing_starts(client: Client) -> None:
    journey = client.sandbox.people.automation("enroll:vip")
    client.add(ADA, BOB)
    for email, syncing in ((ADA, True), (BOB, False)):
        client.done("POST", f"{at(email)}/tags", {"tags": [{"name": "enroll:vip", "status": "active"}], "is_syncing": syncing})
    assert client.sandbox.mails == {(journey, BOB): 1}
    assert client.tags(ADA) == ["enroll:vip"]


def test_no_automation_mails_who_is_not_subscribed_nor_does_a_paused_one(client: Client) -> None:
    client.sandbox.people.automation("paused", live=False)
    client.sandbox.people.automation("live")
    client.add(ADA, tags=["paused"])
    client.add(BOB, status="transactional", tags=["live"])
    client.add(EVE)
    client.sandbox.people.unsubscribe(EVE)
    client.add(EVE, tags=["live"])
    assert client.tags(EVE) == ["live"]
    assert client.sandbox.mails == {}


def test_an_event_can_start_an_automation_too(client: Client) -> None:
    journey = client.sandbox.people.automation(event="segment_entered")
    client.add(ADA, BOB)
    body = {"name": "segment_entered", "properties": {"segment": "vip"}, "occurred_at": "2026-11-23T17:00:00+00:00"}
    client.done("POST", f"{at(ADA)}/events", body)
    client.done("POST", f"{at(BOB)}/events", {**body, "is_syncing": True})
    assert client.sandbox.mails == {(journey, "ada@example.com"): 1}
    assert client.done("GET", f"{at(ADA)}/events")["events"] == [
        {"name": "segment_entered", "occurred_at": "2026-11-23T17:00:00+00:00", "properties": {"segment": "vip"}}
    ]
    assert client.refused("POST", f"{at(ADA)}/events", {"name": "x"})[2] == "name"
    assert client.refused("POST", f"{at(ADA)}/events", {"name": "xx", "properties": {"n": 1}})[2] == "properties.n"


# ---------------------------------------------------------------- batches


def operation(id: str, method: str, path: str, body: object = None, **params: Any) -> dict[str, Any]:
    said = {"method": method, "path": path, "operation_id": id, "params": params}
    return said if body is None else {**said, "body": json.dumps(body)}


def tagged(email: str, id: str = "") -> dict[str, Any]:
    return operation(id or email, "POST", f"{at(email)}/tags", {"tags": [{"name": "seg:vip", "status": "active"}], "is_syncing": True})


def finish(client: Client, id: str) -> Any:
    for _ in range(10):
        said = client.done("GET", f"/batches/{id}")
        if said["status"] == "finished":
            return said
    raise AssertionError(said)


def results(url: str) -> list[dict[str, Any]]:
    """What an archive of results says, as a program reads it: without a key."""
    answer = httpx.get(url, trust_env=False)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = []
    with tarfile.open(fileobj=io.BytesIO(answer.content), mode="r:gz") as archive:
        for entry in archive:
            if entry.isreg() and entry.name.endswith(".json"):
                file = archive.extractfile(entry)
                assert file is not None
                found += json.load(file)
    return found


def test_a_batch_walks_through_its_stages_and_tells_what_came_of_each_operation(client: Client) -> None:
    client.add(ADA)
    operations = [tagged(ADA), tagged(BOB), operation("read", "GET", f"{LIST}/members", count=1), operation("bad", "POST", LIST, [])]
    made = client.done("POST", "/batches", {"operations": operations})
    assert (made["status"], made["total_operations"], made["finished_operations"], made["response_body_url"]) == ("pending", 4, 0, "")
    assert client.tags(ADA) == []
    stages = [client.done("GET", f"/batches/{made['id']}")["status"] for _ in range(5)]
    assert stages == ["preprocessing", "started", "finalizing", "finished", "finished"]
    said = finish(client, made["id"])
    assert (said["finished_operations"], said["errored_operations"]) == (4, 2)
    found = results(said["response_body_url"])
    assert [(one["operation_id"], one["status_code"]) for one in found] == [(ADA, 204), (BOB, 404), ("read", 200), ("bad", 400)]
    assert json.loads(found[2]["response"])["members"][0]["email_address"] == ADA
    assert json.loads(found[3]["response"])["title"] == "Invalid Resource"
    assert client.tags(ADA) == ["seg:vip"]


@pytest.mark.parametrize(
    ("polls", "stages"), [(1, ["finished"]), (2, ["started", "finished"]), (3, ["preprocessing", "started", "finished"])]
)
def test_a_batch_takes_as_many_polls_as_are_set(client: Client, polls: int, stages: list[str]) -> None:
    client.sandbox.batches.polls = polls
    id = client.done("POST", "/batches", {"operations": [tagged(ADA)]})["id"]
    assert [client.done("GET", f"/batches/{id}")["status"] for _ in stages] == stages


def test_batches_are_done_one_after_the_other(client: Client) -> None:
    client.add(ADA)
    first, second = (client.done("POST", "/batches", {"operations": [tagged(ADA)]})["id"] for _ in range(2))
    assert [client.done("GET", f"/batches/{second}")["status"] for _ in range(4)] == ["pending"] * 4
    assert client.done("GET", f"/batches/{second}")["status"] == "preprocessing"
    shown = client.done("GET", "/batches")
    assert [(one["id"], one["status"]) for one in shown["batches"]] == [(second, "preprocessing"), (first, "finished")]


def test_limits_of_batches(client: Client) -> None:
    many = [tagged(f"a{number}@example.com") for number in range(21)]
    assert client.refused("POST", "/batches", {"operations": many}) == (400, "Invalid Resource", "operations")
    for _ in range(3):
        client.done("POST", "/batches", {"operations": many[:20]})
    assert client.refused("POST", "/batches", {"operations": many[:1]})[:2] == (429, "Too Many Requests")
    assert client.refused("POST", "/batches", {"operations": [{"method": "OPTIONS", "path": "/"}]})[2] == "operations.item:0.method"
    assert client.refused("GET", "/batches/none")[0] == 404


def test_results_are_in_several_files_and_one_can_get_lost(client: Client) -> None:
    client.sandbox.batches.polls = 1
    operations = [operation(f"{number}", "GET", "/ping") for number in range(10)]
    client.sandbox.cruelty.script(["results-lost"])
    lossy, whole = (client.done("POST", "/batches", {"operations": operations})["id"] for _ in range(2))
    said = finish(client, lossy)
    assert (said["finished_operations"], said["errored_operations"]) == (10, 0)
    assert [one["operation_id"] for one in results(said["response_body_url"])] == [str(number) for number in range(8)]
    assert len(results(finish(client, whole)["response_body_url"])) == 10


def test_results_are_for_whoever_has_the_address_while_it_lasts(client: Client, clock: Clock) -> None:
    client.sandbox.batches.polls = 1
    id = client.done("POST", "/batches", {"operations": [operation("a", "GET", "/ping")]})["id"]
    url = finish(client, id)["response_body_url"]
    assert url.startswith(client.sandbox.url)
    assert client.http.get(url).status_code == 400  # with a key, which has no business there
    assert results(url)[0]["status_code"] == 200
    clock.pass_by(hours=1)
    assert httpx.get(url, trust_env=False).status_code == 403
    assert len(results(finish(client, id)["response_body_url"])) == 1
    assert httpx.get(f"{client.sandbox.url}/results/none", trust_env=False).status_code == 403


def test_a_batch_that_is_cancelled_has_no_results(client: Client) -> None:
    client.add(ADA)
    id = client.done("POST", "/batches", {"operations": [tagged(ADA)]})["id"]
    for _ in range(2):
        client.done("GET", f"/batches/{id}")
    client.done("DELETE", f"/batches/{id}")
    assert client.refused("GET", f"/batches/{id}")[0] == 404
    assert client.tags(ADA) == ["seg:vip"]


def test_what_is_forbidden_or_mails_does_so_in_a_batch_too(client: Client) -> None:
    client.sandbox.batches.polls = 1
    client.add(ADA, BOB)
    client.sandbox.people.unsubscribe(BOB)
    operations = [
        operation("a", "POST", TRIGGER, {"email_address": ADA}),
        operation("b", "PATCH", at(BOB), {"status": "subscribed"}),
        operation("c", "POST", f"{at(ADA)}/actions/delete-permanent"),
        operation("d", "POST", "/batches", {"operations": []}),
    ]
    said = finish(client, client.done("POST", "/batches", {"operations": operations})["id"])
    assert [one["status_code"] for one in results(said["response_body_url"])] == [204, 200, 204, 400]
    assert client.sandbox.mails == {(JOURNEY, "ada@example.com"): 1}
    assert [(one.email, one.request) for one in client.sandbox.resubscribed] == [(BOB, f"PATCH {at(BOB)}")]
    assert [one.path for one in client.sandbox.forbidden] == [f"{at(ADA)}/actions/delete-permanent"]
