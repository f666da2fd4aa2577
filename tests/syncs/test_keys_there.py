"""Who a person at a service was is not forgotten when another contact stands for it: its key there leads nobody back to it."""

from __future__ import annotations

import pytest

from segmentry.engine.state.schema import SYNCED
from segmentry.engine.sync_reading_back import Reading, reconcile
from segmentry.engine.workspace import Workspace
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from segmentry.sandbox.klaviyo_upserts import upsert
from tests.syncs.test_perhaps import not_put_in_unheard
from tests.syncs.test_shared_addresses import A, B, Two, X, enrolling, two
from tests.syncs.test_words_services import keyed, words

__all__ = ["enrolling", "two"]

FULL = pytest.mark.full


def listed(two: Two) -> dict[str, set[str]]:
    """Who is in anything."""
    return {address: found for address, found in two.inside.items() if found}


def handed_over(two: Two) -> None:
    """a is a member, and b becomes it in a's place, with the same address; then a has another."""
    two.hour(a=(X, "uk"), b=(X, ""))
    two.hour(a=(X, ""), b=(X, "uk"))
    two.hour(a=(A, ""), b=(X, "uk"))


# ---------------------------------------------------------------- where another contact took the row


def test_who_comes_back_is_not_who_took_its_place(two: Two) -> None:
    handed_over(two)
    two.again(a=(A, "uk"), b=(X, "uk"))
    assert listed(two) == {A: {"uk"}, X: {"uk"}}
    assert two.states == {("uk", "a"): "member", ("uk", "b"): "member"}


@FULL
def test_who_comes_back_where_nobody_is_taken_off_is_not_who_took_its_place(two: Two) -> None:
    two.modes = ("add", "add")
    two.write()
    handed_over(two)
    two.again(a=(A, "uk"), b=(X, "uk"))
    assert listed(two) == {A: {"uk"}, X: {"uk"}}


@FULL
def test_who_comes_into_another_list_is_not_who_took_its_place(two: Two) -> None:
    handed_over(two)
    two.again(a=(A, "rich"), b=(X, "uk"))
    assert listed(two) == {A: {"rich"}, X: {"uk"}}


@FULL
def test_who_comes_back_as_the_other_gets_another_address_is_not_who_took_its_place(two: Two) -> None:
    two.hour(a=(X, "uk"), b=(X, ""))
    two.hour(a=(X, ""), b=(X, "uk"))
    two.again(a=(A, "uk"), b=(B, "uk"))
    assert listed(two) == {A: {"uk"}, B: {"uk"}}


@FULL
def test_who_comes_back_with_the_address_that_the_other_gives_up(two: Two) -> None:
    two.hour(a=(X, "uk"), b=(X, ""))
    two.hour(a=(X, ""), b=(X, "uk"))
    two.again(a=(X, "uk"), b=(B, "uk"))
    assert listed(two) == {X: {"uk"}, B: {"uk"}}


@FULL
def test_who_comes_back_and_leaves_takes_nobody_along(two: Two) -> None:
    handed_over(two)
    two.again(a=(A, "uk"), b=(X, "uk"))
    two.again(a=(A, ""), b=(X, "uk"))
    assert listed(two) == {X: {"uk"}}


def test_who_was_perhaps_put_in_and_leaves_takes_nobody_along(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    handed_over(two)
    not_put_in_unheard(two, monkeypatch, a=(A, "uk"), b=(X, "uk"))
    two.again(a=(A, ""), b=(X, "uk"))
    assert listed(two) == {X: {"uk"}}


def test_who_is_enrolled_is_not_who_took_its_place(enrolling: Two) -> None:
    handed_over(enrolling)
    enrolling.again(a=(A, "vip"), b=(X, "uk"))
    assert enrolling.inside[X] == {"uk"}
    assert A in enrolling.inside
    assert enrolling.shop.ledger() == [("a", 1, "sent")]


@pytest.mark.parametrize("name", [pytest.param("N", marks=FULL), "M"])
def test_who_unsubscribed_comes_back_under_no_other_address(two: Two, name: str) -> None:
    """Also where the person there has been told of as the other one since."""
    two.hour(a=(X, "uk"), b=(X, ""))
    two.hour(a=(X, ""), b=(X, "uk"))
    two.hour(name=name, a=(X, ""), b=(X, "uk"))
    two.leaves(X)
    two.again(name=name, a=(A, "uk"), b=(X, "uk"))
    assert A not in listed(two)


@pytest.mark.parametrize("name", [pytest.param("N", marks=FULL), "M"])
def test_who_unsubscribed_is_enrolled_under_no_other_address(enrolling: Two, name: str) -> None:
    enrolling.hour(a=(X, "uk"), b=(X, ""))
    enrolling.hour(a=(X, ""), b=(X, "uk"))
    enrolling.hour(name=name, a=(X, ""), b=(X, "uk"))
    enrolling.leaves(X)
    enrolling.again(name=name, a=(A, "vip"), b=(X, "uk"))
    assert A not in enrolling.inside


def test_who_was_taken_off_is_not_put_back_under_another_address(two: Two) -> None:
    handed_over(two)
    off(two)
    two.again(a=(A, ""), b=(X, "uk"))
    two.again(a=(A, ""), b=(X, ""))
    assert two.states["uk", "b"] == "left"
    two.again(a=(A, "uk"), b=(X, "uk"))
    assert X not in listed(two)
    if isinstance(two.service, KlaviyoSandbox):
        assert [one.email for one in two.service.profiles if one.email == X] == [X], "the person is who it was"


def off(two: Two, address: str = X) -> None:
    if isinstance(two.service, KlaviyoSandbox):
        two.service.remove_from_list("UK", address)
    else:
        two.service.people.untag(address, "seg:uk")


# ---------------------------------------------------------------- where another contact has the address, and so the person


@FULL
def test_whose_address_another_perhaps_had_too_is_not_forgotten(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """b, who was perhaps put in under it, takes no row, and a's is let go of."""
    two.hour(a=(X, "uk"), b=(B, ""))
    not_put_in_unheard(two, monkeypatch, a=(X, "uk"), b=(B, "uk"))
    two.again(a=(A, ""), b=(X, "uk"))
    two.again(a=(A, "uk"), b=(X, "uk"))
    assert listed(two) == {A: {"uk"}, X: {"uk"}}


def test_whose_address_another_perhaps_had_too_comes_under_no_other_where_it_left(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two.hour(a=(X, "uk"), b=(B, ""))
    not_put_in_unheard(two, monkeypatch, a=(X, "uk"), b=(B, "uk"))
    two.again(a=(A, ""), b=(X, "uk"))
    two.leaves(X)
    two.again(a=(A, "uk"), b=(X, "uk"))
    assert A not in listed(two)


# ---------------------------------------------------------------- where the key alone leads there, and no row says so


@pytest.mark.parametrize("goes", ["a", "b"])
def test_who_is_forgotten_and_comes_again_is_nobody_else(two: Two, goes: str) -> None:
    two.hour(a=(X, "uk"), b=(X, "rich"))
    stays = "b" if goes == "a" else "a"
    inside = {"a": "uk", "b": "rich"}
    Workspace.open(two.shop.root).forget([goes])
    two.hour(**{stays: (X, inside[stays])})
    two.again(**{stays: (X, inside[stays]), goes: (A, inside[goes])})
    assert listed(two) == {X: {"uk", "rich"}, A: {inside[goes]}}, "who is forgotten is taken off nothing"


@pytest.fixture
def told(two: Two) -> Two:
    """Klaviyo was told of a with b's present address by somebody else, and of b with a former one."""
    if not isinstance(two.service, KlaviyoSandbox):
        pytest.skip("only Klaviyo knows contacts by their keys")
    comes(two.service, X, "a")
    comes(two.service, B, "b")
    two.enroll()
    two.hour(a=(A, ""), b=(X, ""))
    return two


@pytest.mark.parametrize("first", ["uk", ""])
def test_whose_key_stands_at_another_contact_s_person_comes_in_as_nobody_else(told: Two, first: str) -> None:
    """Before, or in the same hour."""
    told.hour(a=(A, ""), b=(X, first))
    told.again(a=(A, "uk"), b=(X, "uk"))
    assert listed(told) == {A: {"uk"}, X: {"uk"}}
    told.again(a=(A, ""), b=(X, "uk"))
    assert listed(told) == {X: {"uk"}}


def test_whose_key_stands_at_another_contact_s_person_is_enrolled_as_nobody_else(told: Two) -> None:
    told.hour(a=(A, ""), b=(X, "uk"))
    told.hour(a=(A, "vip"), b=(X, "uk"))
    assert told.shop.ledger() == [("a", 1, "sent")]
    assert listed(told) == {X: {"uk"}}
    assert A in told.inside


def test_whose_key_stands_at_a_person_who_unsubscribed_comes_in_nowhere(told: Two) -> None:
    told.hour(a=(A, ""), b=(X, "uk"))
    told.leaves(X)
    told.again(a=(A, "uk vip"), b=(X, "uk"))
    assert A not in told.inside
    assert told.shop.ledger() == [("a", 1, "rejected")]


def test_who_was_perhaps_put_in_by_a_key_that_is_another_contact_s_takes_nobody_along(told: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    told.hour(a=(A, ""), b=(X, "uk"))
    not_put_in_unheard(told, monkeypatch, a=(A, "uk"), b=(X, "uk"))
    told.again(a=(A, ""), b=(X, "uk"))
    assert listed(told) == {X: {"uk"}}


def test_whose_key_stands_at_another_contact_s_person_is_not_seen_in_that_one_s_place(told: Two) -> None:
    """A reading finds who was taken off, though the key is on the list still."""
    told.hour(a=(A, ""), b=(X, "uk"))
    told.hour(a=(A, "uk"), b=(X, "uk"))
    assert isinstance(told.service, KlaviyoSandbox)
    told.service.remove_from_list("UK", A)
    shop = told.shop
    with shop.state.catalog.writing() as connection:  # long enough ago
        connection.execute(SYNCED.update().values(changed="2026-01-01T00:00:00.000000+00:00"))
    workspace, state, _, _, now, newest = words(shop)
    assert sum(one.left for one in reconcile(Reading(workspace, state, now, newest, {}, keyed(told.service)))) == 1
    assert told.states == {("uk", "a"): "left", ("uk", "b"): "member"}


def comes(service: KlaviyoSandbox, address: str, key: str) -> None:
    """A person has come to the service without us, with a contact's key."""
    with service._lock:
        upsert(service._settled(), {"type": "profile", "attributes": {"email": address, "external_id": key}})
