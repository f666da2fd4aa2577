"""The Klaviyo stand-in as a whole: whom it lets in, how fast, what is forbidden, how it is cruel, what it shows and what it keeps."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from segmentry.errors import SegmentryError
from segmentry.sandbox.cruelty import NAMED
from segmentry.sandbox.klaviyo import ANSWERS, OPERATIONS, KlaviyoSandbox, Request
from segmentry.sandbox.klaviyo_asking import JobsTake
from segmentry.sandbox.klaviyo_jobs import ERRORS, FATES
from segmentry.sandbox.klaviyo_problems import RefusedError
from tests.sandbox.conftest import START, Asker, Clock, Opener, errors
from tests.sandbox.klaviyo_answers import VARIABLE, description, problems

# ---------------------------------------------------------------- who is let in


def test_the_account_is_told(klaviyo: Asker) -> None:
    assert [(one["type"], one["id"]) for one in klaviyo.data("/api/accounts")] == [("account", klaviyo.sandbox.account)]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": ""}, 401, "authentication_failed"),
        ({"Authorization": "Klaviyo-API-Key pk_wrong"}, 401, "authentication_failed"),
        ({"Authorization": "Bearer x"}, 401, "authentication_failed"),
        ({"revision": ""}, 400, "invalid_revision"),
        ({"revision": "2020-01-01"}, 400, "invalid_revision"),
        ({"Accept": "text/html"}, 406, "not_acceptable"),
        ({"Content-Type": "application/json"}, 415, "unsupported_media_type"),
    ],
)
def test_a_request_that_is_not_let_in_does_nothing(klaviyo: Asker, headers: dict[str, str], status: int, code: str) -> None:
    body = {"data": {"type": "profile", "attributes": {"email": "a@x.io"}}}
    answer = klaviyo.client.post("/api/profile-import", content=json.dumps(body), headers=headers)
    assert (answer.status_code, errors(answer)[0][0]) == (status, code)
    assert klaviyo.sandbox.profiles == []
    assert [request.status for request in klaviyo.sandbox.requests] == [status]


def test_without_key_or_revision(klaviyo: Asker) -> None:
    bare = httpx.get(f"{klaviyo.sandbox.url}/api/accounts", verify=False)
    assert (bare.status_code, errors(bare)[0][0]) == (401, "not_authenticated")
    keyed = httpx.get(
        f"{klaviyo.sandbox.url}/api/accounts", headers={"Authorization": f"Klaviyo-API-Key {klaviyo.sandbox.key}"}, verify=False
    )
    assert (keyed.status_code, errors(keyed)) == (400, [("invalid_revision", "revision")])


def test_places_and_methods_that_there_are_not(klaviyo: Asker) -> None:
    assert klaviyo.ask("GET", "/api/campaigns").status_code == 404
    assert klaviyo.ask("GET", "/").status_code == 200  # the page, not the service
    answer = klaviyo.ask("PUT", "/api/profiles", {"data": {}})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, GET")


@pytest.mark.parametrize("body", [b"", b"{", b'"text"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_or_none_is_refused(klaviyo: Asker, body: bytes) -> None:
    answer = klaviyo.client.post("/api/profile-import", content=body)
    assert (answer.status_code, errors(answer)) == (400, [("invalid", "/")])


# ---------------------------------------------------------------- how fast


def test_the_rate_is_told_and_kept(opened: Opener) -> None:
    klaviyo = opened(pace=1)
    path = "/api/profile-bulk-import-jobs"
    answers = [klaviyo.ask("GET", path) for _ in range(11)]
    assert [one.status_code for one in answers] == [200] * 10 + [429]
    assert [answers[9].headers[f"ratelimit-{name}"] for name in ("limit", "remaining", "reset")] == ["150", "140", "60"]
    assert answers[10].headers["retry-after"] == "1"
    assert not [name for name in answers[10].headers if name.startswith("ratelimit")]
    assert errors(answers[10])[0][0] == "throttled"
    klaviyo.clock.move(1)
    assert klaviyo.ask("GET", path).headers["ratelimit-remaining"] == "139"  # what was refused is not counted


def test_a_minute_is_full_before_it_ends(opened: Opener) -> None:
    klaviyo = opened(pace=1)
    statuses = []
    for _ in range(16):
        statuses.append(klaviyo.ask("GET", "/api/accounts").status_code)
        klaviyo.clock.move(1)
    assert statuses == [200] * 15 + [429]
    assert klaviyo.ask("GET", "/api/accounts").headers["retry-after"] == "44"
    assert klaviyo.ask("GET", "/api/lists").status_code == 200  # another operation has a rate of its own
    klaviyo.clock.move(44)
    assert klaviyo.ask("GET", "/api/accounts").status_code == 200


def test_a_list_s_size_is_dear(opened: Opener) -> None:
    klaviyo = opened(pace=1)
    dear = {"additional-fields[list]": "profile_count"}
    assert [klaviyo.ask("GET", f"/api/lists/{klaviyo.newsletter}", **dear).status_code for _ in range(2)] == [200, 429]
    assert klaviyo.ask("GET", f"/api/lists/{klaviyo.newsletter}").status_code == 200


def test_lists_are_made_150_times_a_day(opened: Opener) -> None:
    klaviyo = opened(pace=1)
    statuses = []
    for number in range(151):
        klaviyo.clock.move(1)
        told = {"data": {"type": "list", "attributes": {"name": f"l{number}"}}}
        statuses.append(klaviyo.client.post("/api/lists", json=told).status_code)
        if number % 100 == 99:
            klaviyo.clock.move(60)
    assert statuses == [201] * 150 + [429]


# ---------------------------------------------------------------- what is forbidden


def job(type: str, *profiles: dict[str, Any], list: str | None = None) -> Any:
    told: dict[str, Any] = {
        "type": type,
        "attributes": {"profiles": {"data": [{"type": "profile", "attributes": one} for one in profiles]}},
    }
    if list is not None:
        told["relationships"] = {"list": {"data": {"type": "list", "id": list}}}
    return {"data": told}


def consents(email: str, consent: str) -> dict[str, Any]:
    return {"email": email, "subscriptions": {"email": {"marketing": {"consent": consent}}}}


def test_a_subscription_puts_back_who_unsubscribed_and_is_noted(klaviyo: Asker) -> None:
    klaviyo.id(email="gone@x.io")
    klaviyo.sandbox.unsubscribe("gone@x.io")
    told = job("profile-subscription-bulk-create-job", consents("gone@x.io", "SUBSCRIBED"), list=klaviyo.newsletter)
    assert klaviyo.ask("POST", "/api/profile-subscription-bulk-create-jobs", told).status_code == 202
    (found,) = klaviyo.sandbox.profiles
    assert (found.consent.state, found.consent.can_receive) == ("SUBSCRIBED", True)
    assert klaviyo.sandbox.members("Newsletter") == ["gone@x.io"]
    assert [(one.method, one.path) for one in klaviyo.sandbox.forbidden] == [("POST", "/api/profile-subscription-bulk-create-jobs")]


def test_who_is_not_on_the_list_is_unsubscribed_from_everything(klaviyo: Asker) -> None:
    klaviyo.sandbox.add_by_hand("Newsletter", "on@x.io")
    klaviyo.id(email="off@x.io")
    path = "/api/profile-subscription-bulk-delete-jobs"
    told = job(
        "profile-subscription-bulk-delete-job", *(consents(f"{who}@x.io", "UNSUBSCRIBED") for who in ("on", "off")), list=klaviyo.newsletter
    )
    assert klaviyo.ask("POST", path, told).status_code == 202
    assert klaviyo.sandbox.members("Newsletter") == []
    assert {one.email: one.consent.state for one in klaviyo.sandbox.profiles} == {"on@x.io": "NEVER_SUBSCRIBED", "off@x.io": "UNSUBSCRIBED"}


def test_suppressions_and_deletions_do_what_they_say_and_are_noted(klaviyo: Asker) -> None:
    id = klaviyo.id(email="a@x.io")
    suppress, lift = (job(f"profile-suppression-bulk-{kind}-job", {"email": "a@x.io"}) for kind in ("create", "delete"))
    assert klaviyo.ask("POST", "/api/profile-suppression-bulk-create-jobs", suppress).status_code == 202
    assert not klaviyo.sandbox.profiles[0].consent.can_receive
    assert klaviyo.ask("POST", "/api/profile-suppression-bulk-delete-jobs", lift).status_code == 202
    assert klaviyo.sandbox.profiles[0].consent.can_receive
    told = {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": {"type": "profile", "id": id}}}}
    assert [klaviyo.ask("POST", "/api/data-privacy-deletion-jobs", {"data": told}).status_code for _ in range(2)] == [202, 404]
    assert klaviyo.ask("DELETE", f"/api/lists/{klaviyo.newsletter}").status_code == 204
    assert klaviyo.sandbox.profiles == klaviyo.sandbox.lists == []
    assert len(klaviyo.sandbox.forbidden) == 5


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.forbidden], ids=lambda one: one.name)
def test_whoever_asks_for_what_is_forbidden_is_noted_whatever_is_answered(klaviyo: Asker, operation: Any) -> None:
    klaviyo.meets("503")
    klaviyo.client.request(operation.method, operation.path.format(id="none"), json={"data": {}})
    klaviyo.client.request(operation.method, operation.path.format(id="none"), json={"data": {}}, headers={"revision": ""})
    assert [one.status for one in klaviyo.sandbox.forbidden] == [503, 400]


# ---------------------------------------------------------------- how it is cruel


@pytest.mark.parametrize("kind", [*NAMED, "200", "429", "503", "503-applied"])
def test_every_kind_of_cruelty_takes_what_it_says_it_takes(klaviyo: Asker, kind: str) -> None:
    """Over a bare connection, on which nothing waits for the end of an answer that has none."""
    klaviyo.meets(kind)
    request = klaviyo.client.build_request(
        "POST", "/api/profile-import", json={"data": {"type": "profile", "attributes": {"email": "a@x.io"}}}
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    begun = b""
    with socket.create_connection(("127.0.0.1", klaviyo.sandbox.port), timeout=0.3) as connection, suppress(OSError):
        connection.sendall(f"POST /api/profile-import HTTP/1.1\r\n{head}\r\n".encode() + request.content)
        begun = connection.recv(100)
    applied = kind == "200" or kind.endswith("-applied") or NAMED.get(kind, "").startswith("takes it")
    assert [one.email for one in klaviyo.sandbox.profiles] == (["a@x.io"] if applied else [])
    (met,) = klaviyo.sandbox.requests
    assert (met.met, met.path) == (kind, "/api/profile-import")
    if kind[:3].isdigit():
        assert begun.startswith(f"HTTP/1.1 {kind[:3]}".encode())


def test_an_error_that_is_made_up_looks_like_the_service_s(klaviyo: Asker) -> None:
    klaviyo.meets("429-after", "429", "503")
    answers = [klaviyo.ask("GET", "/api/lists") for _ in range(3)]
    assert [(one.status_code, one.headers.get("retry-after")) for one in answers] == [(429, "1"), (429, None), (503, None)]
    assert [errors(one)[0][0] for one in answers] == ["throttled", "throttled", "error"]


def test_answers_that_are_not_what_they_should_be(klaviyo: Asker) -> None:
    klaviyo.meets("malformed", "no-links", "null-links")
    cut = klaviyo.client.post("/api/profile-import", json={"data": {"type": "profile", "attributes": {"email": "a@x.io"}}})
    assert cut.status_code == 201
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        cut.json()
    assert len(klaviyo.sandbox.profiles) == 1
    assert "links" not in klaviyo.client.get("/api/profiles").json()
    assert klaviyo.client.get("/api/profiles").json()["links"]["next"] is None


def test_its_own_kinds_are_known_by_name() -> None:
    assert set(KlaviyoSandbox.kinds) == {*FATES, *ERRORS, *ANSWERS}
    with pytest.raises(SegmentryError, match="job-cancelled"):
        KlaviyoSandbox(clock=Clock(), cruel=["angry"])


def test_through_any_cruelty_that_passes_everything_arrives_in_the_end(opened: Opener, draws: Random) -> None:
    """Who asks again with the same ids until it is said that it was taken loses nothing, and does nothing twice."""
    harsh = ["429", "500-applied", "503", "truncated", "reset", "reset-applied", "close-applied", "malformed"]
    klaviyo = opened(cruel=harsh, share=0.5, seed=draws.randrange(1000))
    due = [f"e{n}" for n in range(30)]
    for _ in range(100):
        left = []
        for id in due:
            try:
                taken = klaviyo.client.post("/api/events", json=event(id)).status_code == 202
            except httpx.TransportError:
                taken = False
            left += [] if taken else [id]
        due = left
        if not due:
            break
    assert due == []
    assert sorted(one.unique_id for one in klaviyo.sandbox.events) == sorted(f"e{n}" for n in range(30))
    assert len(klaviyo.sandbox.profiles) == 1


def event(id: str) -> Any:
    metric = {"data": {"type": "metric", "attributes": {"name": "Entered"}}}
    profile = {"data": {"type": "profile", "attributes": {"email": "a@x.io"}}}
    return {"data": {"type": "event", "attributes": {"unique_id": id, "properties": {}, "metric": metric, "profile": profile}}}


# ---------------------------------------------------------------- what people do there, and what it shows


def order(klaviyo: Asker, path: str, said: Any, **headers: str) -> httpx.Response:
    return httpx.post(f"{klaviyo.sandbox.url}{path}", json=said, headers=headers, verify=False)


def test_people_do_things_from_another_process(klaviyo: Asker) -> None:
    doings = [
        {"do": "add", "list": "Newsletter", "email": "a@x.io"},
        {"do": "add", "list": klaviyo.newsletter, "email": "b@x.io"},
        {"do": "subscribe", "email": "a@x.io"},
        {"do": "unsubscribe", "email": "a@x.io"},
        {"do": "remove", "list": "Newsletter", "email": "a@x.io"},
        {"do": "suppress", "email": "b@x.io"},
        {"do": "invalid", "email": "c@x.io"},
        {"do": "flow", "list": "Newsletter"},
    ]
    assert order(klaviyo, "/sandbox/people", doings).status_code == 200
    assert order(klaviyo, "/sandbox/people", {"do": "add", "list": "Newsletter", "email": "d@x.io"}).status_code == 200
    assert klaviyo.sandbox.members("Newsletter") == ["b@x.io", "d@x.io"]
    assert [(one.email, one.consent.state, one.consent.can_receive) for one in klaviyo.sandbox.profiles] == [
        ("a@x.io", "UNSUBSCRIBED", False),
        ("b@x.io", "NEVER_SUBSCRIBED", False),
        ("d@x.io", "NEVER_SUBSCRIBED", True),
    ]
    assert [email for _, email in klaviyo.sandbox.flow_starts] == ["d@x.io"]
    assert order(klaviyo, "/sandbox/people", {"do": "delete", "email": "d@x.io"}).status_code == 200
    assert klaviyo.sandbox.profile("d@x.io") is None
    assert klaviyo.sandbox.members("Newsletter") == ["b@x.io"]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"do": "dance", "email": "a@x.io"}, 400),
        ({"do": "unsubscribe"}, 400),
        ({"email": "a@x.io"}, 400),
        ("unsubscribe", 400),
        ({"do": "unsubscribe", "email": "nobody@x.io"}, 404),
        ({"do": "add", "list": "None", "email": "bad"}, 400),
        ({"do": "add", "list": "None", "email": "a@x.io"}, 404),
    ],
)
def test_what_people_can_not_do(klaviyo: Asker, said: Any, status: int) -> None:
    assert order(klaviyo, "/sandbox/people", said).status_code == status


def test_nobody_there_is_told_to_whoever_plays(klaviyo: Asker) -> None:
    with pytest.raises(RefusedError, match=r"nobody@x\.io"):
        klaviyo.sandbox.unsubscribe("nobody@x.io")


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
def test_a_page_of_another_site_learns_and_changes_nothing(klaviyo: Asker, headers: dict[str, str]) -> None:
    klaviyo.sandbox.add_by_hand("Newsletter", "a@x.io")
    for path in ("/", "/state"):
        answer = httpx.get(f"{klaviyo.sandbox.url}{path}", headers=headers, verify=False)
        assert (answer.status_code, "a@x.io" in answer.text) == (403, False)
    for path in ("/reset", "/cruel", "/sandbox/people"):
        assert order(klaviyo, path, {"do": "delete", "email": "a@x.io"}, **headers).status_code == 403
    assert klaviyo.sandbox.members("Newsletter") == ["a@x.io"]


def test_its_state_is_told_as_json(klaviyo: Asker) -> None:
    klaviyo.imported({"email": "a@x.io", "external_id": "c_1"}, {"email": "bad"}, lists=[klaviyo.newsletter])
    klaviyo.event("e1", profile={"email": "a@x.io"})
    klaviyo.ask("DELETE", "/api/lists/none")
    told = httpx.get(f"{klaviyo.sandbox.url}/state", verify=False).json()
    (person,) = told["profiles"]
    assert (person["email"], person["external_id"], person["consent"]) == ("a@x.io", "c_1", "NEVER_SUBSCRIBED")
    assert told["lists"] == [{"id": klaviyo.newsletter, "name": "Newsletter", "opt_in_process": "single_opt_in", "members": [person["id"]]}]
    assert [(one["unique_id"], one["profile"]) for one in told["events"]] == [("e1", person["id"])]
    assert [(one["status"], one["total"], len(one["errors"])) for one in told["jobs"]] == [("complete", 2, 1)]
    assert told["forbidden"] == [{"method": "DELETE", "path": "/api/lists/none", "status": 404, "met": None}]
    assert told["requests"] == klaviyo.sandbox.count == 4
    assert told == klaviyo.sandbox.state()


def test_it_shows_a_page_in_which_nothing_that_was_told_is_markup(klaviyo: Asker) -> None:
    klaviyo.imported({"email": "a@x.io", "properties": {"<script>": "<b>"}}, lists=[klaviyo.newsletter])
    klaviyo.event("<script>e1", profile={"email": "a@x.io"})
    klaviyo.ask("DELETE", "/api/lists/<script>none")
    text = httpx.get(klaviyo.sandbox.url, verify=False).text
    for shown in ("Newsletter (ooCUGT), 1 members", "&lt;script&gt;e1", "a@x.io", "1 of them forbidden", "/api/profile-bulk-import-jobs"):
        assert shown in text
    assert "<script" not in text
    assert klaviyo.sandbox.key not in text


def test_it_is_as_at_the_start_on_demand(klaviyo: Asker) -> None:
    former = klaviyo.id(email="a@x.io")
    klaviyo.ask("DELETE", f"/api/lists/{klaviyo.newsletter}")
    klaviyo.meets("503")
    assert order(klaviyo, "/reset", {}).status_code == 200
    assert (klaviyo.sandbox.profiles, klaviyo.sandbox.forbidden, klaviyo.sandbox.count) == ([], [], 0)
    assert klaviyo.sandbox.members("Newsletter") == []
    assert klaviyo.id(email="a@x.io") != former  # an id is nobody else's, ever


def test_every_request_is_heard_of_and_written_down(opened: Opener) -> None:
    heard: list[Request] = []
    klaviyo = opened(heard=heard.append)
    klaviyo.ask("GET", "/api/profiles", filter='equals(email,"a@x.io")')
    klaviyo.upsert(email="a@x.io")
    assert heard == klaviyo.sandbox.requests
    assert [(one.method, one.path, one.status) for one in heard] == [("GET", "/api/profiles", 200), ("POST", "/api/profile-import", 201)]
    assert heard[0].query.startswith("filter=equals")
    assert (heard[0].said, heard[1].said["data"]["attributes"]) == (None, {"email": "a@x.io"})


# ---------------------------------------------------------------- what it keeps


def test_everything_outlives_it(opened: Opener, tmp_path: Path) -> None:
    former = opened(store=tmp_path, jobs=JobsTake(polls=1))
    former.sandbox.set_flow("Newsletter")
    former.imported({"email": "a@x.io", "external_id": "c_1", "properties": {"p": [1]}}, {"email": "bad"}, lists=[former.newsletter])
    former.event("e1", profile={"email": "gone@x.io"})
    former.event("e1", profile={"email": "gone@x.io"})
    former.sandbox.unsubscribe("gone@x.io")
    former.sandbox.make_invalid("odd@x.io")
    former.sandbox.add_by_hand("Newsletter", "off@x.io")
    former.sandbox.remove_from_list("Newsletter", "off@x.io")
    former.sandbox.add_by_hand("Newsletter", "deleted@x.io")
    former.sandbox.delete_profile("deleted@x.io")
    former.id(email="renamed@x.io", external_id="c_1")
    made = former.ask("POST", "/api/lists", {"data": {"type": "list", "attributes": {"name": "VIP"}}}).json()["data"]["id"]
    former.ask("DELETE", f"/api/lists/{made}")
    waiting = former.import_({"email": "later@x.io"}, lists=[former.newsletter]).json()["data"]["id"]
    seen, key, forbidden = former.sandbox.state(), former.sandbox.key, former.sandbox.forbidden
    assert len(forbidden) == 1
    former.sandbox.close()
    for _ in range(2):  # what was written anew at the first opening says the same
        later = opened(store=tmp_path, jobs=JobsTake(polls=1))
        assert later.sandbox.forbidden == forbidden
        assert later.sandbox.state() == {**seen, "requests": 0}
        assert later.sandbox.key == key
        later.sandbox.close()
    later = opened(store=tmp_path)
    assert later.upsert(email="odd@x.io").status_code == 400
    assert later.id(external_id="c_1") == next(one.id for one in later.sandbox.profiles if one.email == "renamed@x.io")
    assert later.id(email="fresh@x.io") not in {one["id"] for one in seen["profiles"]}
    later.event("e1", profile={"email": "gone@x.io"})
    assert [one.times for one in later.sandbox.events] == [3]
    for _ in range(2):
        told = later.get(f"/api/profile-bulk-import-jobs/{waiting}")["data"]["attributes"]
    assert told["status"] == "complete"
    assert later.sandbox.members("Newsletter") == ["renamed@x.io", "later@x.io"]


def cut(path: Path) -> None:
    """The file as it is where a kill came before its last line was whole."""
    path.write_bytes(path.read_bytes()[:-7])


def test_a_request_that_a_kill_cut_off_is_as_if_it_never_came(opened: Opener, tmp_path: Path) -> None:
    former = opened(store=tmp_path)
    former.id(email="a@x.io")
    former.id(email="b@x.io")
    former.sandbox.close()
    cut(tmp_path / "klaviyo.ndjson")
    later = opened(store=tmp_path)
    assert [one.email for one in later.sandbox.profiles] == ["a@x.io"]


def test_a_job_that_a_kill_cut_off_is_done_once_more(opened: Opener, tmp_path: Path) -> None:
    former = opened(store=tmp_path)
    former.imported({"email": "a@x.io"}, {"email": "b@x.io"}, lists=[former.newsletter])
    former.sandbox.close()
    cut(tmp_path / "klaviyo.ndjson")
    later = opened(store=tmp_path, jobs=JobsTake(polls=2))
    assert later.sandbox.members("Newsletter") == ["a@x.io", "b@x.io"]
    assert [one["attributes"]["completed_count"] for one in later.data("/api/profile-bulk-import-jobs")] == [2]


def test_a_reset_forgets_on_the_disk_too(opened: Opener, tmp_path: Path) -> None:
    former = opened(store=tmp_path)
    former.id(email="a@x.io")
    former.sandbox.reset()
    former.sandbox.close()
    later = opened(store=tmp_path)
    assert later.sandbox.profiles == []
    assert b"a@x.io" not in (tmp_path / "klaviyo.ndjson").read_bytes()


# ---------------------------------------------------------------- what the service's own description says


KNOWN_BAD = [
    ("post", "/api/profile-import", {"data": {"type": "profile", "attributes": {"email": 7}}}),
    ("post", "/api/profile-bulk-import-jobs", {"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": []}}}),
    ("post", "/api/lists", {"data": {"type": "list", "attributes": {}}}),
    ("post", "/api/lists/{id}/relationships/profiles", {"data": [{"type": "profile"}]}),
    ("delete", "/api/lists/{id}/relationships/profiles", {"data": [{"type": "list", "id": "x"}]}),
    ("post", "/api/events", {"data": {"type": "event", "attributes": {"properties": {}}}}),
]


@pytest.mark.parametrize(("method", "path", "body"), KNOWN_BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_the_description_refuses_what_we_refuse(klaviyo: Asker, method: str, path: str, body: Any) -> None:
    """Every other test here holds our answers to the description, where that is at hand; this shows that doing so can fail."""
    assert klaviyo.client.request(method, path.format(id=klaviyo.newsletter), json=body).status_code == 400
    if description() is None:
        pytest.skip(f"{VARIABLE} does not say where Klaviyo's description of its API is")
    where = f"/paths/{path.replace('/', '~1')}/{method}/requestBody/content/application~1vnd.api+json/schema"
    assert problems(where, body)


def test_the_clock_is_the_caller_s(klaviyo: Asker) -> None:
    klaviyo.id(email="a@x.io")
    assert klaviyo.sandbox.profiles[0].created == START.isoformat()
