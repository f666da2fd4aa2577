"""Lists kept in step, with an account that behaves: who comes, who goes, what becomes of their fields and of what they wanted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segmentry.engine.connectors.destination import Verdict
from segmentry.engine.connectors.klaviyo_people import CONFLICT, DELETED, EXCHANGED, FORMER, UNSUBSCRIBED
from segmentry.engine.connectors.klaviyo_removing import TAKEN_OFF
from segmentry.engine.connectors.syncing import Notes
from tests.connectors.klaviyo.conftest import LIST, Account, change, changes

JOBS = ("POST", "/api/profile-bulk-import-jobs")
MANY = 102
"""Changes that go by a job."""


def verdicts(answers) -> list[Verdict]:
    return [answer.verdict for answer in answers]


# ---------------------------------------------------------------- adding


def test_a_few_are_added_one_by_one_and_answered_with_klaviyo_s_ids(account: Account) -> None:
    answers = account.add(*changes(3))
    assert verdicts(answers) == [Verdict.SENT] * 3
    assert account.members == {"p1@example.com", "p2@example.com", "p3@example.com"}
    assert [answer.remote_id for answer in answers] == [account.sandbox.profile(f"p{number}@example.com").id for number in (1, 2, 3)]
    assert account.asked(*JOBS) == []


def test_many_are_added_by_a_job_and_answered_with_klaviyo_s_ids(account: Account) -> None:
    answers = account.add(*changes(MANY))
    assert verdicts(answers) == [Verdict.SENT] * MANY
    assert len(account.members) == MANY
    assert len(account.asked(*JOBS)) == 1
    assert answers[7].remote_id == account.sandbox.profile("p8@example.com").id


def test_the_contact_s_key_is_klaviyo_s_external_id(account: Account) -> None:
    account.add(change(1))
    assert account.sandbox.profile("p1@example.com").external_id == "c_1"


@pytest.mark.parametrize("count", [1, MANY])
def test_fields_go_where_klaviyo_has_them_and_a_missing_value_is_unset(account: Account, count: int) -> None:
    given = {"first_name": "Ada", "location.city": "London", "ltv_band": "high", "old": "x"}
    account.add(*changes(count, fields=given))
    known = account.sandbox.profile("p1@example.com")
    assert (known.attributes["first_name"], known.attributes["location"]["city"]) == ("Ada", "London")
    assert known.properties == {"ltv_band": "high", "old": "x"}
    taken = {"first_name": None, "location.city": None, "ltv_band": "low", "old": None}
    answers = account.update(*(replace(one, remote_id=known.id) if one.contact == "c_1" else one for one in changes(count, fields=taken)))
    assert verdicts(answers) == [Verdict.SENT] * count
    known = account.sandbox.profile("p1@example.com")
    assert "first_name" not in known.attributes
    assert not known.attributes.get("location", {}).get("city")
    assert known.properties == {"ltv_band": "low"}


def test_the_same_batch_again_is_the_same(account: Account) -> None:
    first = account.add(*changes(MANY))
    assert account.add(*changes(MANY)) == first
    assert len(account.members) == MANY


def test_whoever_is_on_the_list_by_hand_stays_and_is_known(account: Account) -> None:
    account.put_by_hand("p1@example.com")
    account.put_by_hand("other@example.com")
    (answer,) = account.add(change(1))
    assert (answer.verdict, answer.remote_id) == (Verdict.SENT, account.sandbox.profile("p1@example.com").id)
    assert account.members == {"p1@example.com", "other@example.com"}


@pytest.mark.parametrize("count", [1, MANY])
def test_who_unsubscribed_before_we_knew_them_is_not_put_on_a_list(account: Account, count: int) -> None:
    account.sandbox.add_by_hand(LIST, "p1@example.com")
    account.unsubscribe(1)
    account.sandbox.remove_from_list(LIST, "p1@example.com")
    answers = account.add(*changes(count))
    assert (answers[0].verdict, answers[0].reason, answers[0].status) == (Verdict.LEFT, UNSUBSCRIBED, "unsubscribed")
    assert verdicts(answers[1:]) == [Verdict.SENT] * (count - 1)
    assert "p1@example.com" not in account.members


@pytest.mark.parametrize("count", [1, MANY])
def test_who_unsubscribed_and_is_on_the_list_all_the_same_stays_unsubscribed(account: Account, count: int) -> None:
    account.put_by_hand("p1@example.com")
    account.unsubscribe(1)
    answers = account.add(*changes(count))
    assert (answers[0].verdict, answers[0].status) == (Verdict.SENT, "unsubscribed")
    assert verdicts(answers) == [Verdict.SENT] * count


@pytest.mark.parametrize("count", [1, MANY])
def test_who_unsubscribed_since_we_know_them_is_not_put_back_on_re_entry(account: Account, count: int) -> None:
    known = account.added(count)
    account.remove(*known)
    account.unsubscribe(1)
    answers = account.add(*known)
    assert (answers[0].verdict, answers[0].reason, answers[0].status) == (Verdict.LEFT, UNSUBSCRIBED, "unsubscribed")
    assert verdicts(answers[1:]) == [Verdict.SENT] * (count - 1)
    assert "p1@example.com" not in account.members


def test_without_an_address_there_is_nothing_to_add(account: Account) -> None:
    (answer,) = account.add(change(1, address=None))
    assert (answer.verdict, answer.again) == (Verdict.REJECTED, True)


def test_a_profile_larger_than_klaviyo_takes_is_rejected_and_the_others_are_not(account: Account) -> None:
    answers = account.add(change(1, fields={"note": "x" * 110_000}), change(2))
    assert verdicts(answers) == [Verdict.REJECTED, Verdict.SENT]
    assert "100 KB" in str(answers[0].reason)


def test_many_large_profiles_go_in_several_jobs(account: Account) -> None:
    answers = account.add(*changes(120, fields={"note": "x" * 90_000}))
    assert verdicts(answers) == [Verdict.SENT] * 120
    assert len(account.asked(*JOBS)) == 3


# ---------------------------------------------------------------- addresses that change


@pytest.mark.parametrize("count", [1, MANY])
def test_a_new_address_is_the_same_profile(account: Account, count: int) -> None:
    known = account.added(count)
    moved = replace(known[0], address="new@example.com", moved=True)
    answers = account.update(moved, *known[1:])
    assert answers[0].remote_id == known[0].remote_id
    assert verdicts(answers) == [Verdict.SENT] * count
    assert account.sandbox.profile("new@example.com").id == known[0].remote_id
    assert account.sandbox.profile("p1@example.com") is None
    account.acknowledged.discard("p1@example.com")
    account.acknowledged.add("new@example.com")


@pytest.mark.parametrize("count", [1, MANY])
def test_a_new_address_of_somebody_who_unsubscribed_is_not_created(account: Account, count: int) -> None:
    known = account.added(count)
    account.unsubscribe(1)
    answers = account.update(replace(known[0], address="new@example.com", moved=True), *known[1:])
    assert (answers[0].verdict, answers[0].reason) == (Verdict.LEFT, FORMER)
    assert account.sandbox.profile("new@example.com") is None


def test_a_new_address_of_somebody_who_is_suppressed_is_not_created(account: Account) -> None:
    (known,) = account.added()
    account.sandbox.suppress("p1@example.com")
    (answer,) = account.update(replace(known, address="new@example.com", moved=True))
    assert (answer.verdict, answer.status) == (Verdict.LEFT, "user_suppressed")
    assert account.sandbox.profile("new@example.com") is None


def test_a_new_address_of_somebody_whose_profile_was_deleted_is_not_created(account: Account) -> None:
    (known,) = account.added()
    account.sandbox.delete_profile("p1@example.com")
    account.acknowledged.clear()
    (answer,) = account.update(replace(known, address="new@example.com", moved=True))
    assert (answer.verdict, answer.reason) == (Verdict.LEFT, DELETED)
    assert account.sandbox.profiles == []


def test_whose_own_profile_has_an_unsubscribed_address_is_not_added_under_another(account: Account) -> None:
    account.send(1)
    account.unsubscribe(1)
    (answer,) = account.add(change(1, address="new@example.com"))
    assert (answer.verdict, answer.reason) == (Verdict.LEFT, FORMER)
    assert account.sandbox.profile("new@example.com") is None


def test_a_new_address_that_another_profile_has_is_for_a_person_to_merge(account: Account) -> None:
    known = account.added(2)
    (answer,) = account.update(replace(known[0], address="p2@example.com", moved=True))
    assert (answer.verdict, answer.reason, answer.again) == (Verdict.REJECTED, CONFLICT, True)


def test_two_who_exchange_their_addresses_are_not_to_be_merged(account: Account) -> None:
    known = account.added(2)
    changes = [replace(one, address=other.address, moved=True) for one, other in zip(known, reversed(known), strict=True)]
    answers = account.update(*changes)
    assert [(one.verdict, one.reason, one.again) for one in answers] == [(Verdict.REJECTED, EXCHANGED, True)] * 2
    assert set(account.sandbox.members(account.sandbox.lists[0].name)) == {one.address for one in known}


def test_who_is_added_with_an_address_that_another_profile_has_goes_on_the_list_by_the_address(account: Account) -> None:
    account.send(1, 2)
    (answer,) = account.add(change(1, address="p2@example.com"))
    assert (answer.verdict, answer.remote_id) == (Verdict.SENT, account.sandbox.profile("p2@example.com").id)
    assert account.sandbox.profile("p2@example.com").external_id == "c_2"


# ---------------------------------------------------------------- updating


@pytest.mark.parametrize("count", [1, MANY])
def test_an_update_puts_nobody_back_on_the_list(account: Account, count: int) -> None:
    known = account.added(count)
    account.take_off_by_hand(1)
    answers = account.update(*(replace(one, fields={"ltv": "low"}) for one in known))
    assert verdicts(answers) == [Verdict.SENT] * count
    assert "p1@example.com" not in account.members
    assert account.sandbox.profile("p1@example.com").properties == {"ltv": "low"}


def test_an_update_makes_no_profile_anew(account: Account) -> None:
    (known,) = account.added()
    account.sandbox.delete_profile("p1@example.com")
    account.acknowledged.clear()
    (answer,) = account.update(known)
    assert (answer.verdict, answer.reason) == (Verdict.LEFT, DELETED)
    assert account.sandbox.profiles == []


# ---------------------------------------------------------------- removing


@pytest.mark.parametrize("count", [1, MANY])
def test_who_is_removed_is_off_the_list_and_otherwise_as_before(account: Account, count: int) -> None:
    known = account.added(count)
    account.put_by_hand("other@example.com")
    account.sandbox.subscribe("p1@example.com")
    answers = account.remove(*known)
    assert verdicts(answers) == [Verdict.SENT] * count
    assert account.members == {"other@example.com"}
    assert account.sandbox.profile("p1@example.com").consent.state == "SUBSCRIBED"


def test_more_than_a_thousand_are_removed_by_as_few_requests_as_they_need(account: Account) -> None:
    answers = account.remove(*account.added(1001))
    assert verdicts(answers) == [Verdict.SENT] * 1001
    assert len(account.asked("DELETE", "/api/lists/{id}/relationships/profiles")) == 2
    assert account.members == set()


def test_who_was_taken_off_by_hand_is_answered_left(account: Account) -> None:
    known = account.added(2)
    account.take_off_by_hand(1)
    answers = account.remove(*known)
    assert verdicts(answers) == [Verdict.LEFT, Verdict.SENT]
    assert answers[0].reason == TAKEN_OFF


def test_without_klaviyo_s_id_the_address_finds_who_is_removed(account: Account) -> None:
    account.added(2)
    assert verdicts(account.remove(*changes(2))) == [Verdict.SENT, Verdict.SENT]
    assert account.members == set()


def test_without_an_address_klaviyo_s_id_finds_who_is_removed(account: Account) -> None:
    (known,) = account.added()
    assert verdicts(account.remove(replace(known, address=None))) == [Verdict.SENT]
    assert account.members == set()
    account.acknowledged.clear()


def test_who_is_not_known_there_counts_as_removed(account: Account) -> None:
    assert verdicts(account.remove(change(9))) == [Verdict.SENT]


def test_whose_profile_was_deleted_is_answered_left(account: Account) -> None:
    (known,) = account.added()
    account.sandbox.delete_profile("p1@example.com")
    (answer,) = account.remove(known)
    assert (answer.verdict, answer.reason) == (Verdict.LEFT, DELETED)


def test_a_removal_whose_answer_was_not_heard_is_no_person_s_doing_the_second_time(account: Account) -> None:
    known = account.added(2)
    notes = Notes()
    account.meets_writing("reset-applied")
    assert verdicts(account.remove(*known, notes=notes)) == [Verdict.LATER, Verdict.LATER]
    assert account.members == set()
    account.acknowledged.clear()
    assert verdicts(account.remove(*known, notes=Notes(notes.kept))) == [Verdict.SENT, Verdict.SENT]
