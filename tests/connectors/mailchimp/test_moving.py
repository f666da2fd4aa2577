"""A contact whose address is another than the one that Mailchimp knows: the same member, or membership that moves, or nobody at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segmentry.engine.connectors.destination import Answer, DestinationStopped, Verdict
from segmentry.engine.connectors.mailchimp_line import TROUBLED
from segmentry.engine.connectors.mailchimp_people import hash_of
from segmentry.engine.connectors.syncing import Action, Notes
from tests.connectors.mailchimp.conftest import PATCHED, QUIETLY, TAG, TAKEN_OFF, Shop, change, only, verdicts

FORMER, NEW = "former@example.com", "new@example.com"


@pytest.fixture
def moving(shop: Shop) -> Shop:
    """A shop where somebody was added under a former address."""
    assert only(shop.add(FORMER, FNAME="Ada")).verdict is Verdict.SENT
    return shop


def move(shop: Shop, action: Action = Action.UPDATE, notes: Notes | None = None, **fields: object) -> Answer:
    said = change(NEW, remote_id=hash_of(FORMER), moved=True, **fields)
    answer = only(shop.sync(action, said, notes=notes))
    if answer.verdict is Verdict.SENT:
        shop.inside.discard(hash_of(FORMER))
        shop.inside.add(hash_of(NEW))
    elif hash_of(FORMER) not in shop.audience.members:
        shop.inside.discard(hash_of(FORMER))
    return answer


@pytest.mark.parametrize("action", [Action.UPDATE, Action.ADD])
def test_the_member_gets_the_new_address_and_stays_in_the_tag(moving: Shop, action: Action) -> None:
    web_id = moving.audience.members[hash_of(FORMER)].web_id
    answer = move(moving, action, CITY="Rome")
    assert (answer.verdict, answer.remote_id, answer.status) == (Verdict.SENT, hash_of(NEW), "subscribed")
    member = moving.audience.members[hash_of(NEW)]
    assert (member.web_id, member.fields) == (web_id, {"FNAME": "Ada", "CITY": "Rome"})
    assert moving.status(FORMER) is None
    assert NEW in moving.tagged()


@pytest.mark.parametrize("action", [Action.UPDATE, Action.ADD])
@pytest.mark.parametrize("status", ["unsubscribed", "cleaned", "archived"])
def test_who_left_under_the_former_address_is_never_made_under_the_new_one(moving: Shop, action: Action, status: str) -> None:
    moving.service.world.change_status(moving.audience, moving.audience.members[hash_of(FORMER)], status, by_hand=True)
    moving.inside &= {hash_of(one) for one in moving.tagged()}
    answer = move(moving, action)
    assert (answer.verdict, answer.status) == (Verdict.LEFT, status)
    assert "former address" in str(answer.reason)
    assert moving.member(NEW) is None


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("status", ["subscribed", "unsubscribed"])
def test_who_is_another_contact_too_is_looked_at_and_keeps_the_address(moving: Shop, status: str, there: bool) -> None:
    if there:
        moving.service.people.subscribe(NEW)
    if status != "subscribed":
        moving.service.people.unsubscribe(FORMER)
    said = change(NEW, remote_id=hash_of(FORMER), moved=True)
    answer = only(moving.sync(Action.ADD, replace(said, shared=True)))
    assert answer.verdict is (Verdict.SENT if status == "subscribed" else Verdict.LEFT)
    assert (moving.status(FORMER), FORMER in moving.tagged()) == (status, True)
    assert (NEW in moving.tagged()) is (status == "subscribed")
    assert (moving.member(NEW) is None) is (status != "subscribed" and not there)
    moving.inside |= {hash_of(one) for one in moving.tagged()}


def test_who_is_another_contact_too_is_given_no_other_address(moving: Shop) -> None:
    said = replace(change(NEW, remote_id=hash_of(FORMER), moved=True), shared=True)
    assert only(moving.sync(Action.UPDATE, said)).verdict is Verdict.REJECTED
    assert (moving.status(FORMER), moving.member(NEW)) == ("subscribed", None)


@pytest.mark.parametrize("action", [Action.UPDATE, Action.ADD])
def test_who_was_deleted_for_good_under_the_former_address_is_never_made_under_the_new_one(moving: Shop, action: Action) -> None:
    moving.service.people.forget(FORMER)
    assert move(moving, action).verdict is Verdict.LEFT
    assert moving.member(NEW) is None


@pytest.mark.parametrize("action", [Action.UPDATE, Action.ADD])
def test_membership_moves_to_who_has_the_new_address_already(moving: Shop, action: Action) -> None:
    moving.has(NEW, "transactional")
    answer = move(moving, action)
    assert (answer.verdict, answer.remote_id, answer.status) == (Verdict.SENT, hash_of(NEW), "transactional")
    assert moving.tagged() == {NEW, "hand@example.com"}
    assert moving.status(FORMER) == "subscribed"  # in the audience as before, only not in the tag


def test_membership_moves_where_somebody_takes_the_address_meanwhile(moving: Shop) -> None:
    moving.upon(PATCHED, lambda: moving.has(NEW))
    assert move(moving).verdict is Verdict.SENT
    assert moving.tagged() == {NEW, "hand@example.com"}


@pytest.mark.parametrize("status", ["unsubscribed", "cleaned", "archived"])
def test_who_left_under_the_new_address_is_not_put_back(moving: Shop, status: str) -> None:
    moving.has(NEW, status)
    assert move(moving).verdict is Verdict.LEFT
    assert moving.status(NEW) == status
    assert NEW not in moving.tagged()


def test_a_new_address_that_was_deleted_for_good_is_not_put_back(moving: Shop) -> None:
    moving.has(NEW)
    moving.service.people.forget(NEW)
    assert move(moving).verdict is Verdict.LEFT
    assert moving.status(FORMER) == "subscribed"


def test_who_was_taken_off_by_hand_under_the_former_address_stays_off(moving: Shop) -> None:
    moving.service.people.untag(FORMER, TAG)
    moving.inside.discard(hash_of(FORMER))
    moving.has(NEW)
    assert move(moving).verdict is Verdict.LEFT
    assert moving.tagged() == {"hand@example.com"}


@pytest.mark.parametrize("action", [Action.UPDATE, Action.ADD])
def test_a_new_address_that_was_given_but_not_answered_is_known_to_be_given(moving: Shop, action: Action) -> None:
    moving.meets(PATCHED, "hang-applied")
    assert move(moving, action).verdict is Verdict.SENT
    assert moving.tagged() == {NEW, "hand@example.com"}


@pytest.mark.parametrize("action", [Action.UPDATE, Action.ADD])
def test_a_new_address_whose_answer_never_came_is_known_by_the_notes(moving: Shop, action: Action) -> None:
    stored: dict[str, object] = {}
    moving.meets(PATCHED, "401-applied")
    with pytest.raises(DestinationStopped):
        move(moving, action, notes=Notes(store=stored.update))
    assert moving.status(NEW) == "subscribed"
    moving.open()
    assert move(moving, action, notes=Notes(kept=stored)).verdict is Verdict.SENT
    assert moving.tagged() == {NEW, "hand@example.com"}


def test_only_the_same_member_is_said_to_have_another_address(moving: Shop) -> None:
    assert move(moving).readdressed
    moving.has("next@example.com")
    (answer,) = moving.sync(Action.ADD, change("next@example.com", remote_id=hash_of(NEW), moved=True))
    assert (answer.verdict, answer.readdressed) == (Verdict.SENT, False)
    moving.inside = {hash_of("next@example.com")}


def test_that_it_is_the_same_member_is_known_by_the_notes_whoever_answers(moving: Shop) -> None:
    notes = Notes()
    assert move(moving, notes=notes).readdressed
    moving.open()
    again = only(moving.sync(Action.ADD, change(NEW, remote_id=hash_of(NEW)), notes=Notes(kept=dict(notes.kept))))
    assert (again.verdict, again.readdressed) == (Verdict.SENT, True)


def test_membership_half_moved_is_moved_whole_the_next_time(moving: Shop) -> None:
    moving.has(NEW)
    notes = Notes()
    moving.meets(TAKEN_OFF, *["500"] * TROUBLED)
    assert move(moving, notes=notes).verdict is Verdict.LATER
    assert move(moving, notes=notes).verdict is Verdict.SENT
    assert moving.tagged() == {NEW, "hand@example.com"}


def test_membership_moved_but_not_answered_is_known_by_the_notes(moving: Shop) -> None:
    moving.has(NEW)
    notes = Notes()
    moving.meets(TAKEN_OFF, *["500-applied"] * TROUBLED)
    assert move(moving, notes=notes).verdict is not Verdict.LEFT
    assert move(moving, notes=notes).verdict is Verdict.SENT
    assert moving.tagged() == {NEW, "hand@example.com"}


@pytest.mark.parametrize("pattern", [PATCHED, TAKEN_OFF])
def test_a_move_that_is_refused_is_about_that_one_alone(moving: Shop, pattern: str) -> None:
    if pattern is TAKEN_OFF:
        moving.has(NEW)
        moving.unclear |= {hash_of(NEW), hash_of(FORMER)}
    moving.meets(pattern, "400")
    said = [change(NEW, remote_id=hash_of(FORMER), moved=True), change("bo@example.com")]
    assert verdicts(moving.sync(Action.ADD, *said)) == [Verdict.REJECTED, Verdict.SENT]


def test_trouble_while_the_new_one_is_tagged_leaves_the_former_in(moving: Shop) -> None:
    moving.has(NEW)
    moving.meets(QUIETLY, *["500"] * TROUBLED)
    notes = Notes()
    assert move(moving, notes=notes).verdict is Verdict.LATER
    assert FORMER in moving.tagged()
    assert move(moving, notes=notes).verdict is Verdict.SENT


# ---------------------------------------------------------------- addresses that go from one to another


@pytest.mark.parametrize("action", [Action.UPDATE, Action.ADD])
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("ordered", [True, False])
def test_an_address_goes_to_another_once_its_owner_has_a_new_one(moving: Shop, action: Action, there: bool, ordered: bool) -> None:
    moving.add(NEW)
    if there:
        moving.has("next@example.com")
    said = [change(NEW, remote_id=hash_of(FORMER), moved=True), change("next@example.com", remote_id=hash_of(NEW), moved=True)]
    answers = moving.sync(action, *(said if ordered else reversed(said)))
    assert verdicts(answers) == [Verdict.SENT] * 2
    assert moving.tagged() == {NEW, "next@example.com", "hand@example.com"}
    moving.inside = {hash_of(NEW), hash_of("next@example.com")}


@pytest.mark.parametrize("action", [Action.UPDATE, Action.ADD])
def test_two_who_change_addresses_with_each_other_both_stay(moving: Shop, action: Action) -> None:
    moving.add(NEW)
    answers = moving.sync(action, *(change(new, remote_id=hash_of(old), moved=True) for new, old in ((NEW, FORMER), (FORMER, NEW))))
    assert verdicts(answers) == [Verdict.SENT] * 2
    assert moving.tagged() == {FORMER, NEW, "hand@example.com"}
