"""The Mailchimp stand-in as a whole: whom it lets in, how it is cruel, what it shows, what people do at it, and what it keeps."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from segmentry.cli_sandbox import sandbox as command
from segmentry.errors import SegmentryError
from segmentry.sandbox.cruelty import NAMED, misbehaviour
from segmentry.sandbox.mailchimp import ACCOUNT, AUDIENCE, CONNECTIONS, JOURNEY, SECOND, STEP, MailchimpSandbox
from segmentry.sandbox.mailchimp_state import BatchRules
from tests.sandbox.mailchimp_client import LIST, Client, Clock, at

ADA, BOB = "ada@example.com", "bob@example.com"
TRIGGER = f"/customer-journeys/journeys/{JOURNEY}/steps/{STEP}/actions/trigger"
PROGRAM = "import sys; from segmentry.cli_sandbox import sandbox; sandbox(sys.argv[1:])"


@pytest.fixture
def client() -> Iterator[Client]:
    with MailchimpSandbox(clock=Clock()) as sandbox:
        client = Client(sandbox)
        yield client
        client.http.close()


# ---------------------------------------------------------------- who is let in


@pytest.mark.parametrize(
    ("said", "title"),
    [
        (None, "API Key Missing"),
        ("Basic", "API Key Missing"),
        ("Basic nonsense", "API Key Invalid"),
        ("Basic " + base64.b64encode(b"any:other-us0").decode(), "API Key Invalid"),
        ("Bearer other-us0", "API Key Invalid"),
    ],
)
def test_without_the_key_nothing_is_said(client: Client, said: str | None, title: str) -> None:
    headers = {} if said is None else {"Authorization": said}
    answer = httpx.get(f"{client.sandbox.url}/3.0/ping", headers=headers, trust_env=False)
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (401, "application/problem+json")
    assert answer.json()["title"] == title
    assert set(answer.json()) == {"type", "title", "status", "detail", "instance"}


def test_the_key_is_the_password_whoever_says_it(client: Client) -> None:
    for auth in (("", client.sandbox.key), ("somebody", client.sandbox.key)):
        assert httpx.get(f"{client.sandbox.url}/3.0/ping", auth=auth, trust_env=False).json() == {"health_status": "Everything's Chimpy!"}
    bearer = {"Authorization": f"Bearer {client.sandbox.key}"}
    said = httpx.get(f"{client.sandbox.url}/3.0/", headers=bearer, trust_env=False).json()
    assert (said["account_id"], said["account_name"]) == (ACCOUNT, "Segmentry sandbox")


def test_what_there_is_not_and_what_can_not_be_done_with_it(client: Client) -> None:
    assert client.refused("GET", "/nothing")[:2] == (404, "Resource Not Found")
    assert client.refused("GET", "/lists/none")[:2] == (404, "Resource Not Found")
    assert client.refused("PUT", LIST, {})[:2] == (405, "Method Not Allowed")
    assert client.refused("GET", f"{client.sandbox.url}/lists")[0] == 404
    answer = client.http.post(LIST, content=b"{", headers={"Content-Type": "application/json"})
    assert answer.json()["title"] == "JSON Parse Error"
    assert client.refused("DELETE", LIST, {"really": True})[0] == 400
    assert AUDIENCE in client.sandbox.audiences


def test_more_than_ten_at_once_are_too_many() -> None:
    with MailchimpSandbox(clock=Clock(), latency=60) as sandbox, ExitStack() as waiting:
        client = Client(sandbox)
        for _ in range(CONNECTIONS):
            connection = waiting.enter_context(socket.create_connection(("127.0.0.1", sandbox.port), timeout=10))
            connection.sendall(raw(client, LIST, {"members": []}))
        while sandbox._present < CONNECTIONS:
            time.sleep(0.01)
        sandbox.latency = 0
        answer = client.ask("GET", "/ping")
        assert (answer.status_code, answer.json()["title"]) == (429, "Too Many Requests")
        assert "retry-after" not in answer.headers
        client.http.close()


# ---------------------------------------------------------------- cruelty


def raw(client: Client, path: str, body: object) -> bytes:
    """A request as it goes over the wire."""
    built = client.http.build_request("POST", path, json=body)
    built.headers["Authorization"] = f"Bearer {client.sandbox.key}"
    head = "".join(f"{name}: {value}\r\n" for name, value in built.headers.items())
    return f"POST {built.url.raw_path.decode()} HTTP/1.1\r\n{head}\r\n".encode() + built.content


@pytest.mark.parametrize("kind", [*NAMED, *MailchimpSandbox.kinds, "429", "500", "503-applied"])
def test_every_kind_of_cruelty_takes_what_it_says_it_takes(client: Client, kind: str) -> None:
    """A tag's change, so that each kind that fits any request fits this one too, save one that is a batch's."""
    client.add(ADA)
    segment = client.tag("seg:vip")
    client.sandbox.cruelty.script([kind])
    with socket.create_connection(("127.0.0.1", client.sandbox.port), timeout=10) as connection:
        connection.sendall(raw(client, segment, {"members_to_add": [ADA]}))
        while client.sandbox.count < 3:  # what is answered, if anything is, is not waited for
            time.sleep(0.01)
    met = client.sandbox.requests[2].met
    assert met == (None if kind == "results-lost" else kind)
    client.sandbox.cruelty.reset()
    assert client.tags(ADA) == (["seg:vip"] if misbehaviour(kind, MailchimpSandbox.kinds).applies else [])


def test_a_403_without_a_body_is_none_of_the_service_s_own(client: Client) -> None:
    client.sandbox.cruelty.script(["403-bare", "429-bare", "403-bare-applied", "403"])
    answers = [client.ask("POST", LIST, {"members": [{"email_address": ADA, "status_if_new": "subscribed"}]}) for _ in range(4)]
    assert [(answer.status_code, answer.content) for answer in answers[:3]] == [(403, b""), (429, b""), (403, b"")]
    assert answers[3].json()["status"] == 403
    assert client.status(ADA) == "subscribed"


def test_addresses_can_be_ignored_silently(client: Client) -> None:
    client.add(ADA, BOB)
    segment = client.tag("seg:vip")
    client.sandbox.cruelty.script(["ignored"])
    client.done("GET", segment)
    assert client.done("POST", segment, {"members_to_add": [ADA, BOB]})["total_added"] == 1
    assert (client.tags(ADA), client.tags(BOB)) == (["seg:vip"], [])
    assert client.done("POST", segment, {"members_to_add": [BOB]})["total_added"] == 1


def test_results_of_a_batch_can_be_broken_off(client: Client) -> None:
    client.sandbox.batches.polls = 1
    id = client.done("POST", "/batches", {"operations": [{"method": "GET", "path": "/ping"}]})["id"]
    url = client.done("GET", f"/batches/{id}")["response_body_url"]
    client.sandbox.cruelty.script(["truncated"])
    with pytest.raises(httpx.TransportError):
        httpx.get(url, trust_env=False)
    assert httpx.get(url, trust_env=False).headers["content-type"] == "application/gzip"


# ---------------------------------------------------------------- people, and what shows


def test_what_people_do_can_be_ordered(client: Client) -> None:
    def order(**said: Any) -> httpx.Response:
        return httpx.post(f"{client.sandbox.url}/sandbox/people", json=said, trust_env=False)

    client.add(ADA, BOB)
    for said in (
        {"do": "tag", "email": [ADA, BOB], "name": "by hand"},
        {"do": "untag", "email": BOB, "name": "by hand"},
        {"do": "unsubscribe", "email": ADA, "compliance": True},
        {"do": "change_address", "email": BOB, "to": "bobby@example.com"},
        {"do": "subscribe", "email": "new@example.com", "audience": SECOND},
        {"do": "automation", "tag": "enroll:vip", "live": True},
        {"do": "add_audience", "id": "third", "name": "Third"},
    ):
        assert order(**said).status_code == 200, said
    assert (client.status(ADA), client.tags(ADA), client.tags("bobby@example.com")) == ("unsubscribed", ["by hand"], [])
    assert client.done("GET", at("new@example.com", SECOND))["status"] == "subscribed"
    assert client.add("x@example.com", tags=["enroll:vip"])["total_created"] == 1
    assert client.sandbox.mails.total() == 1
    assert "third" in client.sandbox.audiences


@pytest.mark.parametrize(
    "said",
    [
        [],
        {"do": "vanish"},
        {"do": "unsubscribe"},
        {"do": "unsubscribe", "email": "nobody@example.com"},
        {"do": "unsubscribe", "email": ADA, "audience": "none"},
        {"do": "unsubscribe", "email": ADA, "compliance": "yes"},
        {"do": "unsubscribe", "email": 7},
        {"do": "untag", "email": ADA, "name": "none"},
        {"do": "change_address", "email": ADA, "to": BOB},
    ],
)
def test_an_order_it_does_not_understand_is_refused(client: Client, said: object) -> None:
    client.add(ADA, BOB)
    assert httpx.post(f"{client.sandbox.url}/sandbox/people", json=said, trust_env=False).status_code == 400
    assert client.status(ADA) == "subscribed"


def test_who_was_deleted_for_good_comes_back_by_the_own_hand_only(client: Client) -> None:
    client.add(ADA)
    client.sandbox.people.forget(ADA)
    assert client.add(ADA)["error_count"] == 1
    client.sandbox.people.subscribe(ADA)
    assert client.status(ADA) == "subscribed"
    assert client.sandbox.resubscribed == []


def test_it_shows_what_there_is_and_nothing_of_it_is_markup(client: Client) -> None:
    client.add(ADA, merge_fields={"FNAME": "<script>x</script>"}, tags=["seg:<b>"])
    client.done("POST", TRIGGER, {"email_address": ADA})
    client.done("DELETE", f"/lists/{SECOND}")
    text = httpx.get(client.sandbox.url, trust_env=False).text
    assert "<script" not in text
    assert "<b>" not in text
    for shown in (ADA, "&lt;script&gt;", "seg:&lt;b&gt;", "1 subscribed", "step 3", "Forbidden calls: 1"):
        assert shown in text
    said = httpx.get(f"{client.sandbox.url}/state", trust_env=False).json()
    assert said["audiences"][0]["members"][0]["tags"] == ["seg:<b>"]
    assert [(mail["journey"], mail["email"]) for mail in said["mails"]] == [(JOURNEY, ADA)]
    assert [one["method"] for one in said["requests"]] == ["DELETE", "POST", "POST"]
    assert client.sandbox.key not in text + json.dumps(said)


def test_it_forgets_on_demand(client: Client) -> None:
    client.add(ADA)
    client.sandbox.cruelty.set(["503"], share=1)
    assert httpx.post(f"{client.sandbox.url}/reset", json={}, trust_env=False).status_code == 200
    assert client.sandbox.count == 0
    assert client.refused("GET", at(ADA))[0] == 404


def test_a_page_of_another_site_learns_and_changes_nothing(client: Client) -> None:
    client.add(ADA)
    for method, path in (("GET", "/"), ("GET", "/state"), ("POST", "/sandbox/people")):
        body = {"do": "forget", "email": ADA}
        answer = httpx.request(method, client.sandbox.url + path, headers={"Origin": "https://evil.example"}, json=body, trust_env=False)
        assert (answer.status_code, ADA in answer.text) == (403, False)
    assert client.status(ADA) == "subscribed"


def test_it_tells_of_every_request() -> None:
    heard: list[tuple[str, str, int, str | None]] = []
    with MailchimpSandbox(
        clock=Clock(), cruel=["503"], share=1, heard=lambda one: heard.append((one.method, one.path, one.status, one.met))
    ) as sandbox:
        client = Client(sandbox)
        client.ask("GET", "/lists", count=1)
        sandbox.cruelty.reset()
        client.done("GET", "/ping")
        client.http.close()
    assert heard == [("GET", "/3.0/lists?count=1", 0, "503"), ("GET", "/3.0/ping", 200, None)]


# ---------------------------------------------------------------- what it keeps


def kept(sandbox: MailchimpSandbox) -> dict[str, Any]:
    """Everything that lasts, as plain values."""
    seen = httpx.get(f"{sandbox.url}/state", trust_env=False).json()
    audience = sandbox.audiences[AUDIENCE]
    inner = {
        "contacts": {member.email: member.contact_id for member in audience.members.values()},
        "tagged": {tag.name: list(tag.members) for tag in audience.tags.values()},
        "forgotten": sorted(audience.forgotten),
        "doubted": audience.doubted,
        "fields": list(audience.fields),
        "events": [list(event) for event in audience.events],
        "mails": sorted(sandbox.mails.items()),
        "ids": (sandbox.world.last_id, sandbox.world.last_web_id),
    }
    return {**{key: value for key, value in seen.items() if key not in ("requests", "count")}, **inner}


def live(client: Client) -> str:
    """Something of everything; the id of a batch that is not finished."""
    people = client.sandbox.people
    client.add(ADA, BOB, "c@example.com", "d@example.com", "e@example.com", merge_fields={"FNAME": "Ä"}, tags=["one", "two"])
    people.automation("three")
    client.add(ADA, tags=["three"])
    people.unsubscribe(BOB, compliance=True)
    people.forget("c@example.com")
    people.archive("d@example.com")
    client.done("PATCH", at("d@example.com"), {"status": "subscribed"})
    client.done("PATCH", at("e@example.com"), {"email_address": "e2@example.com"})
    people.doubt("f@example.com")
    client.done("POST", f"{LIST}/merge-fields", {"name": "LTV", "type": "number", "tag": "LTV"})
    client.done("DELETE", client.tag("gone", ADA))
    client.done("POST", f"{at(ADA)}/events", {"name": "seen"})
    client.done("POST", TRIGGER, {"email_address": ADA})
    client.done("DELETE", f"/lists/{SECOND}")
    body = json.dumps({"tags": [{"name": "batched", "status": "active"}]})
    id = client.done("POST", "/batches", {"operations": [{"method": "POST", "path": f"{at(ADA)}/tags", "body": body}]})["id"]
    client.done("GET", f"/batches/{id}")
    return str(id)


def test_everything_outlives_it(tmp_path: Path) -> None:
    with MailchimpSandbox(clock=Clock(), store=tmp_path) as sandbox:
        client = Client(sandbox)
        batch = live(client)
        before = kept(sandbox)
        client.http.close()
    for _ in range(2):  # as it was appended, and as it was written anew
        with MailchimpSandbox(clock=Clock(), store=tmp_path) as sandbox:
            assert kept(sandbox) == before
    with MailchimpSandbox(clock=Clock(), store=tmp_path, batches=BatchRules()) as sandbox:
        client = Client(sandbox)
        assert [client.done("GET", f"/batches/{batch}")["status"] for _ in range(3)] == ["started", "finalizing", "finished"]
        assert client.tags(ADA) == ["one", "two", "three", "batched"]
        assert client.add("c@example.com")["error_count"] == 1
        assert client.add("f@example.com")["error_count"] == 1
        sandbox.reset()
        client.http.close()
    with MailchimpSandbox(clock=Clock(), store=tmp_path) as sandbox:
        assert sandbox.audiences[AUDIENCE].members == {}
        assert sandbox.forbidden == []


def test_a_line_that_a_kill_cut_off_is_as_if_it_never_came(tmp_path: Path) -> None:
    with MailchimpSandbox(clock=Clock(), store=tmp_path) as sandbox:
        client = Client(sandbox)
        client.add(ADA)
        client.add(BOB, "c@example.com")
        client.http.close()
    path = tmp_path / "mailchimp.ndjson"
    path.write_bytes(path.read_bytes()[:-7])
    with MailchimpSandbox(clock=Clock(), store=tmp_path) as sandbox:
        assert [member.email for member in sandbox.audiences[AUDIENCE].members.values()] == [ADA]


def test_what_was_refused_or_met_cruelty_is_not_kept(tmp_path: Path) -> None:
    with MailchimpSandbox(clock=Clock(), store=tmp_path) as sandbox:
        client = Client(sandbox)
        sandbox.cruelty.script(["503", "503-applied"])
        client.ask("PUT", at(ADA), {"email_address": ADA, "status_if_new": "subscribed"})
        client.ask("PUT", at(BOB), {"email_address": BOB, "status_if_new": "subscribed"})
        client.http.close()
    with MailchimpSandbox(clock=Clock(), store=tmp_path) as sandbox:
        assert [member.email for member in sandbox.audiences[AUDIENCE].members.values()] == [BOB]


def test_a_store_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "mailchimp.ndjson").write_text("[1]\n")
    with pytest.raises(SegmentryError, match="what the sandbox kept can't be read"):
        MailchimpSandbox(clock=Clock(), store=tmp_path)


def test_many_at_once_are_each_taken_once(client: Client) -> None:
    def add(part: int) -> None:
        for number in range(20):
            rows = [{"email_address": f"a{part}-{number}@example.com", "status_if_new": "subscribed", "tags": ["seg:vip"]}]
            client.done("POST", LIST, {"members": rows})

    threads = [threading.Thread(target=add, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [tag] = client.sandbox.audiences[AUDIENCE].tags.values()
    assert len(tag.members) == len({member.web_id for member in client.sandbox.audiences[AUDIENCE].members.values()}) == 80


# ---------------------------------------------------------------- the command


def test_the_command_serves_until_it_is_asked_to_stop(tmp_path: Path) -> None:
    key = "0123456789abcdef-us0"
    words = [sys.executable, "-c", PROGRAM, "mailchimp", "--port", "0", "--key-env", "KEY", "--polls", "1", "--store", str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "KEY": key})
    try:
        assert process.stdout
        printed = dict(process.stdout.readline().split() for _ in range(3))
        assert (printed["account"], printed["audience"]) == (ACCOUNT, AUDIENCE)
        rows = {"members": [{"email_address": ADA, "status_if_new": "subscribed"}]}
        answer = httpx.post(f"{printed['url']}/3.0/lists/{printed['audience']}", json=rows, auth=("x", key), trust_env=False)
        assert answer.json()["total_created"] == 1
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert f"POST /3.0/lists/{AUDIENCE}: 200" in said
    assert key not in said
    with MailchimpSandbox(clock=Clock(), store=tmp_path) as sandbox:
        assert [member.email for member in sandbox.audiences[AUDIENCE].members.values()] == [ADA]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--cruel", "angry"], "`angry` is no way to be cruel"),
        (["--key-env", "NO_SUCH_KEY"], "the environment variable NO_SUCH_KEY is not set"),
    ],
)
def test_the_command_says_what_it_can_not_do(words: list[str], says: str) -> None:
    found = CliRunner().invoke(command, ["mailchimp", "--port", "0", *words]).exception
    assert isinstance(found, SegmentryError)
    assert says in str(found)


def test_a_fresh_key_names_a_data_centre() -> None:
    with MailchimpSandbox(clock=Clock()) as one, MailchimpSandbox(clock=Clock()) as other:
        assert one.key != other.key
        assert re.fullmatch(r"[0-9a-f]{32}-us0", one.key)
