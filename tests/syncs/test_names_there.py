"""What a name at Mailchimp, the hash of an address, says of somebody who is not in the audience by it: left, or moved there by us."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from segmentry.engine.connectors import mailchimp_syncing
from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.state.state import wall_clock
from segmentry.sandbox.mailchimp import AUDIENCE, MailchimpSandbox
from tests.syncs.conftest import Synced
from tests.syncs.test_perhaps import Ended, raising
from tests.syncs.test_shared_addresses import A, Two, X
from tests.syncs.test_two_tags import losing
from tests.syncs.test_words import readded

MOVED = "moved@example.com"


@pytest.fixture
def two(shop: Synced) -> Iterator[Two]:
    with MailchimpSandbox(clock=wall_clock) as mailchimp:
        consent = 'new_contacts: subscribed, consent: "id is not null"'
        shop.destinations = f'{{crm: {{type: mailchimp, url: "{mailchimp.url}", key: "${{CRM_KEY}}", audience: {AUDIENCE}, {consent}}}}}'
        yield Two(shop, mailchimp)
        assert not mailchimp.forbidden
        assert not mailchimp.resubscribed


def test_an_addition_that_may_have_been_done_is_no_change_of_an_address(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two.modes = ("add", "mirror")
    two.write()
    two.hour(a=(X, "uk"))
    with monkeypatch.context() as patch:
        patch.setattr(mailchimp_syncing.Work, "_tagged", losing(mailchimp_syncing.Work._tagged))
        two.hour(a=(X, "uk rich"))
    two.hour(a=(X, "uk"))
    two.hour(a=(X, ""))
    two.service.people.unsubscribe(X)
    two.service.people.change_address(X, MOVED)
    two.hour(a=(X, "uk"))
    assert X not in two.inside
    assert two.states["uk", "a"] == "left"


def test_who_was_taken_off_one_tag_has_left_no_other_where_we_moved_the_person(two: Two) -> None:
    two.hour(a=(X, "rich"), b=(X, "uk"))
    two.service.people.untag(X, "seg:uk")
    two.hour(a=(X, "rich"), b=(X, ""))
    two.again(a=(X, "rich"), b=None)
    two.again(a=(A, "rich"), b=None)
    two.again(a=(A, "rich"), b=(X, "rich"))
    assert two.states["rich", "b"] == "member"
    two.again(a=(A, "rich"), b=(X, "rich uk"))
    assert two.states["uk", "b"] == "left"
    assert two.inside == {A: {"rich"}, X: {"rich"}}


@pytest.mark.parametrize("known", [True, False])
def test_an_address_that_was_changed_is_so_where_the_rest_is_refused(two: Two, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    two.hour(a=(X, "uk"), b=(X, "rich") if known else None)
    two.hour(a=(X, "uk"), b=(X, "") if known else None)
    two.again(a=(X, "uk"), b=None)
    with monkeypatch.context() as patch:
        patch.setattr(mailchimp_syncing.Work, "_changed", lambda *_: Answer(Verdict.REJECTED, "a value that can't be"))
        two.hour(a=(A, "uk"), b=None)
    two.again(a=(A, "uk"), b=(X, "rich"))
    assert two.states["uk", "a"] == two.states["rich", "b"] == "member"
    assert two.inside == {A: {"uk"}, X: {"rich"}}


@pytest.mark.parametrize(("address", "name"), [(X, "M"), (A, None)])
def test_who_was_said_to_come_back_does_whatever_changes_before_that_is_told(two: Two, address: str, name: str | None) -> None:
    two.hour(a=(X, "uk"))
    two.service.people.change_address(X, MOVED)
    two.hour(a=(X, "uk rich"))
    assert two.states["rich", "a"] == "left"
    readded(two.shop, "a")
    two.hour(a=(address, "uk rich"), **({} if name is None else {"name": name}))
    assert two.states["rich", "a"] == "member"
    assert "rich" in two.inside[address]


def test_who_was_said_to_come_back_does_under_a_new_address_too(two: Two) -> None:
    two.hour(a=(X, "uk"))
    two.service.people.change_address(X, MOVED)
    two.hour(a=(A, "uk rich"))
    assert two.states["rich", "a"] == "left"
    readded(two.shop, "a")
    two.tell()
    assert two.states["rich", "a"] == "member"
    assert two.inside[A] >= {"rich"}


@pytest.mark.parametrize("known_by", ["sync", "sequence"])
@pytest.mark.parametrize("how", ["address", "gone"])
def test_who_is_not_there_any_more_is_not_enrolled_under_the_old_address(two: Two, known_by: str, how: str) -> None:
    """Whoever changed the address there, or was deleted, is made anew by no sequence either."""
    two.enroll()
    two.hour(a=(X, ""))
    two.hour(a=(X, "uk" if known_by == "sync" else "late"))
    assert X in two.inside
    if how == "address":
        two.service.people.change_address(X, MOVED)
    else:
        two.service.people.forget(X)
    two.again(a=(X, "vip"))
    assert X not in two.inside
    found = two.shop.ledger("welcome")
    assert [row[-1] for row in found] == ["rejected"]


def test_whose_address_we_change_back_is_enrolled(two: Two) -> None:
    """Under a name that the contact had before, and nobody has for a moment, by our own doing."""
    two.enroll()
    two.hour(a=(X, ""))
    two.hour(a=(X, "uk late"))
    two.hour(a=(A, "uk"))
    assert set(two.inside) == {A}
    two.hour(a=(X, "uk vip"))
    assert [row[-1] for row in two.shop.ledger("welcome")] == ["sent"]
    assert set(two.inside) == {X}


def test_whose_address_an_addition_changed_that_did_not_end_has_not_left(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out again before it is told anew, so that nobody heard by which address they are there."""
    two.hour(a=(X, "uk rich"))
    two.hour(a=(X, ""))
    with monkeypatch.context() as patch:
        patch.setattr(mailchimp_syncing.Work, "_tag", raising(Ended()))
        with pytest.raises(Ended):
            two.hour(a=(A, "rich"))
    assert set(two.inside) == {A}
    two.again(a=(A, ""))
    two.again(a=(A, "rich"))
    assert two.states == {("rich", "a"): "member"}
    assert two.inside == {A: {"rich"}}
