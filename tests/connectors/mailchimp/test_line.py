"""The line to Mailchimp: where the key leads, what it never says, how fast it goes, and what its refusals mean."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from segmentry.engine.connectors import mailchimp_batches
from segmentry.engine.connectors.destination import DestinationStopped, Verdict
from segmentry.engine.connectors.mailchimp import MailchimpDestination
from segmentry.engine.connectors.mailchimp_batches import _unpacked
from segmentry.engine.connectors.mailchimp_line import _NOT_JSON, Ask, Line, TroubleError, Waiting, _json, base_of
from segmentry.engine.connectors.mailchimp_pace import MOST, PEACE, Pace
from segmentry.engine.connectors.mailchimp_people import hash_of
from segmentry.engine.connectors.mailchimp_reasons import Problem, shown
from segmentry.engine.connectors.registry import open_destination
from segmentry.engine.connectors.syncing import Target
from segmentry.errors import DestinationError
from segmentry.sandbox.mailchimp import ACCOUNT, AUDIENCE, JOURNEY, SECOND
from tests.connectors.conftest import context
from tests.connectors.mailchimp.conftest import ABOUT, MEMBERS, TAG, Shop, some

KEY = "0123456789abcdef0123456789abcdef-us19"


# ---------------------------------------------------------------- where it leads


def test_the_end_of_the_key_is_the_data_centre() -> None:
    assert base_of(KEY, None) == "https://us19.api.mailchimp.com/3.0"


@pytest.mark.parametrize("key", ["", "abc", "abc-", "abc-evil.example/", "abc-us19/x?", "abc-us19 ", "abc-US19", "abc-@"])
def test_a_key_that_names_no_data_centre_leads_nowhere(key: str) -> None:
    with pytest.raises(ValueError, match="does not end with a data centre"):
        base_of(key, None)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://mc.example", "https://mc.example/3.0"),
        ("https://mc.example/3.0/", "https://mc.example/3.0"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/3.0"),
        ("http://localhost:8080/", "http://localhost:8080/3.0"),
    ],
)
def test_an_address_of_its_own(url: str, base: str) -> None:
    assert base_of("no-centre", url) == base


@pytest.mark.parametrize("url", ["http://mc.example", "ftp://mc.example", "https://", "https://u:p@mc.example", "https://mc.example?x=1"])
def test_an_address_that_the_key_must_not_go_to(url: str) -> None:
    with pytest.raises(ValueError, match="`url`"):
        base_of(KEY, url)


def test_opened_by_its_name_with_the_key_from_the_environment(tmp_path: Path) -> None:
    said = {"type": "mailchimp", "key": "${K}", "audience": "x", "new_contacts": "skip"}
    found = open_destination("mc", said, context(tmp_path, K=KEY))
    assert isinstance(found, MailchimpDestination)
    assert found.traits.needs_address
    found.close()
    with pytest.raises(DestinationError, match="destination `mc`: the key does not end") as raised:
        open_destination("mc", said, context(tmp_path, K="secret"))
    assert "secret" not in str(raised.value)


def test_the_key_is_in_no_text_of_ours(shop: Shop) -> None:
    destination = shop.shop
    assert shop.service.key not in f"{destination!r} {destination._line!r} {vars(destination._settings) and repr(destination._settings)}"


def test_results_elsewhere_are_fetched_only_where_it_is_safe(shop: Shop) -> None:
    with pytest.raises(TroubleError, match="not safe"):
        shop.shop._line.fetch("http://elsewhere.example/results", 1000)
    with pytest.raises(TroubleError, match="not safe"):
        shop.shop._line.fetch("file:///etc/passwd", 1000)


def test_what_another_address_says_is_asked_for_without_the_key(shop: Shop) -> None:
    with pytest.raises(TroubleError, match="403"):
        shop.shop._line.fetch(f"{shop.service.url}/results/none", 1000)
    assert "authorization" not in shop.service.requests[-1].headers


def test_a_private_network_is_no_place_for_a_key() -> None:
    line = Line(KEY, None, 1.0, Waiting(), names=lambda *_: ["10.0.0.1"])
    with pytest.raises(DestinationStopped, match="private network"):
        line.ask(Ask("GET", "/"), 1.0)
    line.close()


# ---------------------------------------------------------------- pace


def test_at_most_five_go_at_once() -> None:
    pace, inside, most = Pace(lambda: 0.5), 0, 0
    lock, gate = threading.Lock(), threading.Barrier(MOST)

    def go() -> None:
        nonlocal inside, most
        with pace.turn():
            with lock:
                inside += 1
                most = max(most, inside)
            gate.wait(timeout=10)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=go) for _ in range(4 * MOST)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == MOST


def test_too_much_halves_and_peace_gives_back() -> None:
    pace = Pace(lambda: 0.5)
    pace.too_much()
    assert pace.allowed == 2
    pace.too_much()
    pace.too_much()
    assert pace.allowed == 1
    for _ in range(PEACE):
        pace.well()
    assert pace.allowed == 2
    for _ in range(100 * PEACE):
        pace.well()
    assert pace.allowed == MOST


def test_waits_grow_and_are_not_the_same_for_everybody() -> None:
    calm, eager = Pace(lambda: 1.0), Pace(lambda: 0.0)
    assert [calm.wait(attempt) for attempt in (1, 2, 3, 20)] == [1.5, 3.0, 6.0, 45.0]
    assert [eager.wait(attempt) for attempt in (1, 2, 3, 20)] == [0.5, 1.0, 2.0, 15.0]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("detail", "verdict", "again"),
    [
        ("ada@example.com is in a compliance state due to unsubscribe, bounce, or compliance review", Verdict.LEFT, False),
        ("ada@example.com was permanently deleted and cannot be re-imported.", Verdict.LEFT, False),
        ("ada@example.com looks fake or invalid, please enter a real email address.", Verdict.REJECTED, False),
        ("Please provide a valid email address.", Verdict.REJECTED, False),
        ("ada@example.com has signed up to a lot of lists very recently; we're not allowing more", Verdict.REJECTED, True),
        ("Something else about ada@example.com and 62eeb292278cc15f5817cb78f7790b08", Verdict.REJECTED, True),
        ("", Verdict.REJECTED, True),
    ],
)
def test_what_refusals_mean(detail: str, verdict: Verdict, again: bool) -> None:
    answer = Problem(400, "Invalid Resource", detail).answer()
    assert (answer.verdict, answer.again) == (verdict, again)
    assert "@" not in str(answer.reason)
    assert "62eeb" not in str(answer.reason)


@pytest.mark.parametrize("content", [None, [], "text", {"title": 3, "detail": None, "errors": "x"}, {"errors": [1, {"field": 2}]}])
def test_refusals_that_are_not_as_they_should_be_mean_something_too(content: Any) -> None:
    assert Problem.of(400, content).answer().verdict is Verdict.REJECTED


def test_what_is_shown_is_short() -> None:
    assert len(shown("word " * 200)) == 160


# ---------------------------------------------------------------- results


def archive(content: bytes, name: str = "a.json") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as written:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        written.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def test_results_are_read_by_their_ids() -> None:
    results = [
        {"operation_id": "1", "status_code": 204, "response": ""},
        {"operation_id": "2", "status_code": 404, "response": '{"title": "Resource Not Found"}'},
        {"operation_id": "3", "status_code": 500, "response": "<html>"},
    ]
    found = _unpacked(archive(json.dumps(results).encode(), "../../etc/x.json"))
    assert found["1"] is None
    assert [found[id] and found[id].status for id in ("2", "3")] == [404, 500]  # type: ignore[union-attr]


def test_an_archive_that_swells_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailchimp_batches, "UNPACKED", 1000)
    _unpacked(archive(b"[]".ljust(1000)))
    with pytest.raises(ValueError, match="too much"):
        _unpacked(archive(b"[]".ljust(1001)))


def test_an_answer_that_is_nested_too_deeply_is_no_json() -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    assert _json(deep) is _NOT_JSON
    results = [{"operation_id": "1", "status_code": 400, "response": deep.decode()}]
    problem = _unpacked(archive(json.dumps(results).encode()))["1"]
    assert problem is not None
    assert problem.status == 400


@pytest.mark.parametrize("content", [b"", b"no archive", archive(b"{")], ids=["empty", "text", "no JSON in it"])
def test_an_archive_that_is_none_is_an_error_that_is_known(content: bytes) -> None:
    with pytest.raises((tarfile.TarError, EOFError, OSError, ValueError)):
        _unpacked(content)


# ---------------------------------------------------------------- looking


def test_the_account_is_asked_for_once(shop: Shop) -> None:
    assert (shop.shop.account(), shop.shop.account()) == (ACCOUNT, ACCOUNT)
    assert shop.service.count == 1


def test_an_account_that_cannot_be_read_stops(shop: Shop) -> None:
    shop.meets(r"GET /3\.0", *["500"] * 5)
    with pytest.raises(DestinationStopped, match="the service has trouble"):
        shop.shop.account()


def test_a_look_says_the_size_and_what_to_know(shop: Shop) -> None:
    shop.add(*some(3))
    seen = shop.shop.look(Target("tag", TAG))
    assert (seen.title, seen.members) == (f"{TAG} in Shop", 4)
    assert len(seen.warnings) == 1
    assert "Welcome back" in seen.warnings[0]
    assert seen.starts == seen.warnings


def test_a_look_at_a_tag_that_is_yet_to_be_made_makes_none(shop: Shop) -> None:
    shop.open(audience=SECOND)
    seen = shop.shop.look(Target("tag", TAG))
    assert (seen.title, seen.members) == (f"{TAG} in Newsletter", 0)
    assert ["double opt-in" in seen.warnings[0], f"no tag `{TAG}` yet" in seen.warnings[-1]] == [True, True]
    assert not any("double opt-in" in warning or "no tag" in warning for warning in seen.starts)
    assert shop.service.audiences[SECOND].tags == {}


def test_a_look_at_an_audience_that_is_not_there_stops(shop: Shop) -> None:
    with pytest.raises(DestinationStopped, match="no audience `nowhere`"):
        shop.open(audience="nowhere").look(Target("tag", TAG))


def test_a_key_that_may_see_no_automations_may_look_all_the_same(shop: Shop) -> None:
    shop.meets(r"GET /3\.0/automations", "403")
    shop.meets(r"GET /3\.0/customer-journeys", "404")
    assert shop.shop.look(Target("tag", TAG)).warnings == ()


def test_members_come_page_by_page_each_once(shop: Shop) -> None:
    for address in some(2300):
        shop.has(address, "unsubscribed" if address < "p2" else "subscribed", TAG)
    pages = list(shop.shop.members(Target("tag", TAG)))
    members = [member for page in pages for member in page]
    assert [len(page) for page in pages] == [1000, 950, 351]
    assert {member.address for member in members} == {*some(2300), "hand@example.com"}
    assert {member.status for member in members} == {"subscribed", "unsubscribed"}


def test_members_who_have_yet_to_confirm_are_among_them_and_the_archived_are_not(shop: Shop) -> None:
    shop.has("new@example.com", "pending", TAG)
    shop.has("other@example.org", "pending")
    shop.has("gone@example.com", "archived", TAG)
    shop.audience.tags[shop.audience.names[TAG]].members.setdefault(hash_of("gone@example.com"))
    members = {member.address: member.status for page in shop.shop.members(Target("tag", TAG)) for member in page}
    assert members == {"hand@example.com": "subscribed", "new@example.com": "pending"}


def test_a_refusal_is_logged_with_what_the_service_calls_it_and_nothing_of_the_person(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        shop.meets(MEMBERS, "400")
        shop.add("ada@example.com")
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("segmentry")]
    assert any("instance" in line and "400" in line for line in logged)
    assert "@" not in caplog.text
    assert hash_of("ada@example.com") not in caplog.text


def test_members_of_a_tag_that_there_is_not_are_none(shop: Shop) -> None:
    assert list(shop.shop.members(Target("tag", "seg:other"))) == []


@pytest.mark.parametrize("gone", [1, 40, 200])
def test_members_who_move_up_between_two_pages_are_not_lost(shop: Shop, gone: int) -> None:
    for address in some(1500):
        shop.has(address, "subscribed", TAG)
    pages = shop.shop.members(Target("tag", TAG))
    first = next(pages)
    for address in some(gone):
        shop.service.people.untag(address, TAG)
        shop.by_hand.discard(address)
    found = [member.address for page in (first, *pages) for member in page]
    assert set(some(1500)) <= set(found)
    assert len(found) == 1501


def test_places_are_audiences_tags_and_journeys(shop: Shop) -> None:
    places = {(place.kind, place.id): place for place in shop.shop.places()}
    assert places["audience", AUDIENCE].title == "Shop"
    assert places["audience", SECOND].notes == "double opt-in"
    assert places["tag", TAG].members == 1
    assert places["journey", str(JOURNEY)].notes == "sending"


def test_looking_writes_nothing(shop: Shop) -> None:
    shop.shop.places()
    shop.shop.look(Target("tag", TAG))
    assert {request.method for request in shop.service.requests} == {"GET"}


def test_the_audience_is_looked_at_once(shop: Shop) -> None:
    shop.add("ada@example.com")
    shop.add("bo@example.com")
    shop.send("ada@example.com")
    assert shop.asked(ABOUT) == 1
