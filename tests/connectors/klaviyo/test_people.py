"""Who may be written to, decided before anything is written: a row of the table is a person, and what becomes of them."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.klaviyo_client import LaterError
from segmentry.engine.connectors.klaviyo_people import (
    DELETED,
    EXCHANGED,
    FORMER,
    OFF_THIS_LIST,
    OTHERS_TOO,
    UNSUBSCRIBED,
    Going,
    People,
    Profile,
    Together,
    judge,
    profile_of,
)
from segmentry.engine.connectors.syncing import Action
from tests.connectors.klaviyo.conftest import Account, change

LIST = "Y6nRLr"
A, B = "01A", "01B"


def person(id: str, email: str | None, external_id: str | None = None, **wants: Any) -> Profile:
    return Profile(id, email, external_id, **wants)


def people(*profiles: Profile) -> People:
    return People(
        {one.id: one for one in profiles},
        {one.external_id: one for one in profiles if one.external_id},
        {one.email: one for one in profiles if one.email},
    )


ADDRESS = "p1@example.com"
OUT = {"consent": "unsubscribed", "suppressed": "unsubscribe"}

# the change beside contact c_1 and p1@example.com; who is there; what is asked for; what comes of it: identifiers, or verdict and reason
CASES: dict[str, tuple[dict[str, Any], list[Profile], Action, dict[str, str] | tuple[Verdict, str]]] = {
    "nobody knows them": ({}, [], Action.ADD, {"email": ADDRESS, "external_id": "c_1"}),
    "known by the address": ({}, [person(A, ADDRESS)], Action.ADD, {"id": A, "email": ADDRESS, "external_id": "c_1"}),
    "known by the key": ({}, [person(A, "old@x.y", "c_1")], Action.ADD, {"id": A, "email": ADDRESS, "external_id": "c_1"}),
    "another contact is there too": (
        {"remote_id": A, "moved": True, "shared": True},
        [person(A, "old@x.y", "c_2")],
        Action.ADD,
        {"email": ADDRESS, "external_id": "c_1"},
    ),
    "another contact is there too, under the key of this one": (
        {"remote_id": A, "moved": True, "shared": True},
        [person(A, "old@x.y", "c_1"), person(B, ADDRESS)],
        Action.ADD,
        {"id": B, "email": ADDRESS},
    ),
    "another contact is there too, and this one elsewhere": (
        {"remote_id": A, "moved": True, "shared": True},
        [person(A, "old@x.y"), person(B, "other@x.y", "c_1")],
        Action.ADD,
        {"id": B, "email": ADDRESS, "external_id": "c_1"},
    ),
    "another contact is there too, under the same address": (
        {"remote_id": A, "shared": True},
        [person(A, ADDRESS, "c_2")],
        Action.UPDATE,
        {"id": A, "email": ADDRESS, "external_id": "c_1"},
    ),
    "another contact is there too, and keeps the address": (
        {"remote_id": A, "moved": True, "shared": True},
        [person(A, "old@x.y", "c_1")],
        Action.UPDATE,
        (Verdict.REJECTED, OTHERS_TOO),
    ),
    "another contact was there too, and has unsubscribed": (
        {"remote_id": A, "moved": True, "shared": True},
        [person(A, "old@x.y", "c_2", **OUT)],
        Action.ADD,
        (Verdict.LEFT, FORMER),
    ),
    "another contact was there too, and is off this list": (
        {"remote_id": A, "moved": True, "shared": True},
        [person(A, "old@x.y", "c_2", off=frozenset({LIST}))],
        Action.ADD,
        (Verdict.LEFT, OFF_THIS_LIST),
    ),
    "another contact was there too, and is gone": (
        {"remote_id": A, "moved": True, "shared": True},
        [person(B, ADDRESS)],
        Action.ADD,
        (Verdict.LEFT, DELETED),
    ),
    "known by the key, without an address": ({}, [person(A, None, "c_1")], Action.ADD, {"id": A, "email": ADDRESS, "external_id": "c_1"}),
    "unsubscribed before we knew them": ({}, [person(A, ADDRESS, **OUT)], Action.ADD, (Verdict.LEFT, UNSUBSCRIBED)),
    "bounced before we knew them": ({}, [person(A, ADDRESS, suppressed="hard_bounce")], Action.ADD, (Verdict.LEFT, UNSUBSCRIBED)),
    "unsubscribed since we know them": ({"remote_id": A}, [person(A, ADDRESS, **OUT)], Action.ADD, (Verdict.LEFT, UNSUBSCRIBED)),
    "bounced since we know them": (
        {"remote_id": A},
        [person(A, ADDRESS, suppressed="hard_bounce")],
        Action.ADD,
        (Verdict.LEFT, UNSUBSCRIBED),
    ),
    "unsubscribed from this list": ({}, [person(A, ADDRESS, off=frozenset({LIST}))], Action.ADD, (Verdict.LEFT, OFF_THIS_LIST)),
    "unsubscribed from another list": (
        {},
        [person(A, ADDRESS, off=frozenset({"Other1"}))],
        Action.ADD,
        {"id": A, "email": ADDRESS, "external_id": "c_1"},
    ),
    "unsubscribed from this list under another address": (
        {},
        [person(A, "old@x.y", "c_1", off=frozenset({LIST}))],
        Action.ADD,
        (Verdict.LEFT, OFF_THIS_LIST),
    ),
    "unsubscribed under another address": ({}, [person(A, "old@x.y", "c_1", **OUT)], Action.ADD, (Verdict.LEFT, FORMER)),
    "moved, and may be written to": (
        {"remote_id": A, "moved": True},
        [person(A, "old@x.y", "c_1")],
        Action.UPDATE,
        {"id": A, "email": ADDRESS, "external_id": "c_1"},
    ),
    "moved, and unsubscribed": ({"remote_id": A, "moved": True}, [person(A, "old@x.y", **OUT)], Action.UPDATE, (Verdict.LEFT, FORMER)),
    "moved, and deleted": ({"remote_id": A, "moved": True}, [], Action.UPDATE, (Verdict.LEFT, DELETED)),
    "moved, and deleted, to an address that is there": (
        {"remote_id": A, "moved": True},
        [person(B, ADDRESS)],
        Action.ADD,
        (Verdict.LEFT, DELETED),
    ),
    "moved to the address of another who is told of too": (
        {"remote_id": A, "moved": True},
        [person(A, "old@x.y", "c_1"), person(B, ADDRESS, "c_2")],
        Action.UPDATE,
        (Verdict.REJECTED, EXCHANGED),
    ),
    "added with another's address": (
        {},
        [person(A, "old@x.y", "c_1"), person(B, ADDRESS, "c_2")],
        Action.ADD,
        {"id": B, "email": ADDRESS},
    ),
    "added with an address that is off this list": (
        {},
        [person(A, "old@x.y", "c_1"), person(B, ADDRESS, off=frozenset({LIST}))],
        Action.ADD,
        (Verdict.LEFT, OFF_THIS_LIST),
    ),
    "re-entered, and deleted": ({"remote_id": A}, [], Action.ADD, (Verdict.LEFT, DELETED)),
    "re-entered, and merged into another": (
        {"remote_id": A},
        [person(B, ADDRESS, "c_1")],
        Action.ADD,
        {"id": B, "email": ADDRESS, "external_id": "c_1"},
    ),
    "updated, and unsubscribed": (
        {"remote_id": A},
        [person(A, ADDRESS, "c_1", **OUT)],
        Action.UPDATE,
        {"id": A, "email": ADDRESS, "external_id": "c_1"},
    ),
    "updated, and not there": ({}, [], Action.UPDATE, (Verdict.LEFT, DELETED)),
    "the survivor of two that were merged": (
        {},
        [person(A, ADDRESS, "c_9")],
        Action.ADD,
        {"id": A, "email": ADDRESS, "external_id": "c_1"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_becomes_of_a_person(name: str) -> None:
    more, there, action, expected = CASES[name]
    found = judge(change(1, **more), people(*there), action, LIST)
    if isinstance(found, Answer):
        assert (found.verdict, found.reason) == expected
    else:
        assert isinstance(found, Going)
        assert found.identifiers == expected


# the contact's key stands at another contact's profile (`astray`); the rest as in `CASES`
ASTRAY: dict[str, tuple[dict[str, Any], list[Profile], Action, dict[str, str] | tuple[Verdict, str]]] = {
    "nobody has the address": ({}, [person(A, "old@x.y", "c_1")], Action.ADD, {"email": ADDRESS}),
    "somebody has the address": ({}, [person(A, "old@x.y", "c_1"), person(B, ADDRESS)], Action.ADD, {"id": B, "email": ADDRESS}),
    "the profile has no address": ({}, [person(A, None, "c_1")], Action.ADD, {"email": ADDRESS}),
    "this one is known by a name": (
        {"remote_id": B, "moved": True},
        [person(A, "old@x.y", "c_1"), person(B, "mine@x.y")],
        Action.UPDATE,
        {"id": B, "email": ADDRESS},
    ),
    "this one's own profile is another's too": (
        {"remote_id": B, "moved": True, "shared": True},
        [person(A, "old@x.y", "c_1"), person(B, "mine@x.y")],
        Action.ADD,
        {"email": ADDRESS},
    ),
    "this one's own profile was deleted": (
        {"remote_id": B, "moved": True},
        [person(A, "old@x.y", "c_1")],
        Action.UPDATE,
        (Verdict.LEFT, DELETED),
    ),
    "the other has unsubscribed": ({}, [person(A, "old@x.y", "c_1", **OUT)], Action.ADD, (Verdict.LEFT, FORMER)),
    "the other has unsubscribed, and this one is known by a name": (
        {"remote_id": B},
        [person(A, "old@x.y", "c_1", **OUT), person(B, ADDRESS)],
        Action.UPDATE,
        {"id": B, "email": ADDRESS},
    ),
    "the other is off this list": (
        {},
        [person(A, "old@x.y", "c_1", off=frozenset({LIST}))],
        Action.ADD,
        (Verdict.LEFT, OFF_THIS_LIST),
    ),
    "a member of whom nothing else is known": ({}, [person(A, "old@x.y", "c_1")], Action.UPDATE, (Verdict.REJECTED, OTHERS_TOO)),
}


@pytest.mark.parametrize("name", ASTRAY)
def test_what_becomes_of_a_person_whose_key_stands_at_another(name: str) -> None:
    more, there, action, expected = ASTRAY[name]
    found = judge(change(1, **more), replace(people(*there), astray=frozenset({"c_1"})), action, LIST)
    if isinstance(found, Answer):
        assert (found.verdict, found.reason) == expected
    else:
        assert found.identifiers == expected


def marketing(**said: Any) -> dict[str, Any]:
    return {"id": A, "attributes": {"email": "Ada@Example.com ", "external_id": "c_1", "subscriptions": {"email": {"marketing": said}}}}


AT = "2026-11-23T18:00:00+00:00"
WISHES: dict[str, tuple[dict[str, Any], str | None, bool]] = {
    "never asked": ({"consent": "NEVER_SUBSCRIBED", "suppression": []}, "never_subscribed", False),
    "subscribed": ({"consent": "SUBSCRIBED"}, "subscribed", False),
    "unsubscribed": ({"consent": "UNSUBSCRIBED", "suppression": [{"reason": "UNSUBSCRIBE", "timestamp": AT}]}, "unsubscribed", True),
    "unsubscribed, and nothing more is said": ({"consent": "UNSUBSCRIBED", "suppression": None}, "unsubscribed", True),
    "bounced": ({"consent": "SUBSCRIBED", "suppression": [{"reason": "HARD_BOUNCE", "timestamp": AT}]}, "hard_bounce", True),
    "nothing is said": ({}, None, False),
}


@pytest.mark.parametrize("name", WISHES)
def test_what_klaviyo_says_of_a_person_s_wishes(name: str) -> None:
    said, status, unreachable = WISHES[name]
    found = profile_of(marketing(**said))
    assert (found.email, found.status, found.unreachable) == ("ada@example.com", status, unreachable)


def test_which_lists_somebody_unsubscribed_from() -> None:
    said = {"consent": "SUBSCRIBED", "list_suppressions": [{"list_id": LIST, "reason": "UNSUBSCRIBE", "timestamp": AT}]}
    assert profile_of(marketing(**said)).off == {LIST}


@pytest.mark.parametrize(
    "said", [{}, {"id": 7}, {"attributes": None}, {"attributes": {"subscriptions": {"email": None}}}, marketing(suppression=[1])]
)
def test_a_profile_of_which_little_is_said_is_no_error(said: dict[str, Any]) -> None:
    assert not profile_of(said).unreachable


# ---------------------------------------------------------------- looking up


def test_odd_addresses_are_asked_for_as_they_are(account: Account) -> None:
    odd = ["o'brien@example.com", "a,b@example.com", 'q"q@example.com', "back\\slash@example.com", "ü@exämple.com", "x+y&z=1@example.com"]
    account.add(*(change(number, address=address) for number, address in enumerate(odd)))
    account.perhaps |= set(odd)
    found = Together(vars(account.open())["_client"], "email")
    turn = vars(account.open())["_client"].turn(lambda: None, 10.0)
    for address in odd:
        known = account.sandbox.profile(address)
        assert found.find(turn, address) == (None if known is None else Profile(known.id, address, known.external_id, "never_subscribed"))


def test_a_filter_that_klaviyo_refuses_is_asked_in_halves(account: Account) -> None:
    account.meets_after("GET", "/api/lists/{id}", "400", "400")
    assert [answer.verdict for answer in account.add(change(1), change(2))] == [Verdict.SENT] * 2


def test_long_addresses_are_asked_for_in_filters_that_an_address_can_hold(account: Account) -> None:
    rows = [change(number, address=f"{'x' * 60}.{number:04}@{'y' * 60}.example.com") for number in range(99)]
    assert {answer.verdict for answer in account.add(*rows)} == {Verdict.SENT}
    assert max(len(request.query) for request in account.sandbox.requests) < 10_000


def test_those_who_wait_are_asked_for_in_one_question_and_all_hear_of_its_failure() -> None:
    class Failing:
        def __init__(self) -> None:
            self.asked, self.go = 0, threading.Event()

        def pages(self, *_: Any, **__: Any) -> Any:
            self.asked += 1
            self.go.wait(5)
            raise LaterError("not now")

    client = Failing()
    together = Together(client, "email")  # type: ignore[arg-type]
    failed: list[str] = []

    def ask(value: str) -> None:
        try:
            together.find(None, value)  # type: ignore[arg-type]
        except LaterError as error:
            failed.append(error.reason)

    threads = [threading.Thread(target=ask, args=(f"p{number}@example.com",)) for number in range(8)]
    for thread in threads:
        thread.start()
    while len(vars(together)["_waiting"]) < 7:
        pass
    client.go.set()
    for thread in threads:
        thread.join()
    assert failed == ["not now"] * 8
    assert client.asked == 2
