"""What a sync does at Mailchimp where nothing goes wrong: who comes in, who goes, and who is left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segmentry.engine.connectors.destination import DestinationStopped, Verdict
from segmentry.engine.connectors.mailchimp_people import hash_of
from segmentry.engine.connectors.syncing import Action, Notes, SyncBatch, Target
from tests.connectors.conftest import nothing
from tests.connectors.mailchimp.conftest import AT, BATCHES, MEMBERS, PEOPLE, QUIETLY, SOMEONE, TAG, Shop, change, only, some, verdicts


def test_the_hash_is_that_of_the_service() -> None:
    assert hash_of(" Urist.McVankab@freddiesjokes.com ") == "62eeb292278cc15f5817cb78f7790b08"


def test_who_is_added_is_in_the_audience_and_in_the_tag(shop: Shop) -> None:
    answer = only(shop.add("ada@example.com", FNAME="Ada"))
    assert (answer.verdict, answer.remote_id, answer.status) == (Verdict.SENT, hash_of("ada@example.com"), "subscribed")
    assert shop.tagged() == {"ada@example.com", "hand@example.com"}
    assert shop.audience.members[hash_of("ada@example.com")].fields == {"FNAME": "Ada"}


def test_many_are_tagged_in_a_batch_that_starts_nothing(shop: Shop) -> None:
    people = some(120)
    answers = shop.add(*people)
    assert set(verdicts(answers)) == {Verdict.SENT}
    assert [answer.remote_id for answer in answers] == [hash_of(one) for one in people]
    assert {answer.status for answer in answers} == {"subscribed"}
    assert shop.tagged() == {*people, "hand@example.com"}
    assert (shop.asked(BATCHES), shop.asked(QUIETLY)) == (1, 0)


def test_a_full_batch_is_one_request_for_the_audience(shop: Shop) -> None:
    assert set(verdicts(shop.add(*some(500)))) == {Verdict.SENT}
    assert shop.asked(MEMBERS) == 1


def test_the_same_batch_again_changes_nothing(shop: Shop) -> None:
    assert shop.add("ada@example.com", LTV=3) == shop.add("ada@example.com", LTV=3)
    assert shop.tagged() == {"ada@example.com", "hand@example.com"}


@pytest.mark.parametrize("status", ["unsubscribed", "cleaned", "archived"])
def test_who_left_is_not_put_back_and_gets_no_tag(shop: Shop, status: str) -> None:
    shop.has("ada@example.com", status)
    answer = only(shop.add("ada@example.com"))
    assert (answer.verdict, answer.status) == (Verdict.LEFT, status)
    assert shop.status("ada@example.com") == status


# ---------------------------------------------------------------- who was there


@pytest.mark.parametrize("new_contacts", ["transactional", "skip"])
@pytest.mark.parametrize("number", [1, 60])
def test_whoever_was_there_and_is_not_any_more_is_not_made_anew(shop: Shop, number: int, new_contacts: str) -> None:
    shop.open(new_contacts)
    shop.has("ada@example.com")
    named = [change(one, remote_id=hash_of(one)) for one in ("ada@example.com", *some(number))]
    answers = shop.sync(Action.ADD, *named)
    assert verdicts(answers) == [Verdict.SENT] + [Verdict.LEFT] * number
    assert {shop.status(one) for one in some(number)} == {None}


@pytest.mark.parametrize("number", [1, 60])
def test_whoever_is_said_to_come_back_is_made_anew(shop: Shop, number: int) -> None:
    named = [replace(change(one, remote_id=hash_of(one)), anew=True) for one in some(number)]
    assert set(verdicts(shop.sync(Action.ADD, *named))) == {Verdict.SENT}


def test_few_known_ones_in_each_of_many_batches_are_soon_read_together(shop: Shop) -> None:
    """Who was there is asked for one by one only until everybody had better been read."""
    known = [some(30, f"k{batch}") for batch in range(8)]
    for one in (address for part in known for address in part):
        shop.has(one)
    for batch, part in enumerate(known):
        named = [change(one, remote_id=hash_of(one)) for one in part]
        answers = shop.sync(Action.ADD, *named, *(change(one) for one in some(60, f"n{batch}")))
        assert set(verdicts(answers)) == {Verdict.SENT}
    assert shop.asked(SOMEONE) <= 60
    assert verdicts(shop.sync(Action.ADD, change("gone@example.com", remote_id=hash_of("gone@example.com")), *map(change, some(60)))) == [
        Verdict.LEFT,
        *[Verdict.SENT] * 60,
    ]


def test_whoever_was_put_in_a_moment_ago_is_there_for_another_tag(shop: Shop) -> None:
    people = some(60)
    named = [change(one, remote_id=hash_of(one)) for one in people]
    gone = [change(one, remote_id=hash_of(one)) for one in some(60, "gone")]
    assert set(verdicts(shop.sync(Action.ADD, *gone))) == {Verdict.LEFT}  # everybody was read
    shop.add(*people)
    assert set(verdicts(shop.sync(Action.ADD, *named))) == {Verdict.SENT}


def everybody_is_read(shop: Shop) -> None:
    """So many don't consent that the whole audience was read, and is known for a while."""
    shop.open("subscribed")
    assert set(verdicts(shop.add(*some(60, "stranger"), consents=False))) == {Verdict.SKIPPED}
    asked = shop.asked(PEOPLE)
    shop.add(*some(60, "stranger"), consents=False)
    assert shop.asked(PEOPLE) < 2 * asked, "what changed is all that is read"


def test_nobody_is_a_subscriber_by_whom_we_moved_from_the_address(shop: Shop) -> None:
    shop.has("former@example.com", FNAME="Ada")
    everybody_is_read(shop)
    moving = change("new@example.com", remote_id=hash_of("former@example.com"), moved=True)
    assert only(shop.sync(Action.UPDATE, moving)).verdict is Verdict.SENT
    people = ["former@example.com", *some(60)]
    assert set(verdicts(shop.add(*people, consents=False, FNAME="Bob"))) == {Verdict.SKIPPED}
    assert shop.status("former@example.com") is None


def test_nobody_is_a_subscriber_by_who_had_the_address_a_moment_ago(shop: Shop) -> None:
    shop.has("ada@example.com")
    everybody_is_read(shop)
    shop.service.people.change_address("ada@example.com", "moved@example.com")
    shop.add("ada@example.com", *some(60), consents=False, FNAME="Ada")
    assert shop.status("ada@example.com") in (None, "transactional")


@pytest.mark.parametrize("status", ["unsubscribed", "cleaned", "archived"])
def test_of_many_those_who_left_are_not_put_back(shop: Shop, status: str) -> None:
    people = some(120)
    for address in people[:40]:
        shop.has(address, status)
    answers = shop.add(*people, FNAME="Ada")
    assert verdicts(answers) == [Verdict.LEFT] * 40 + [Verdict.SENT] * 80
    assert all(shop.status(address) == status for address in people[:40])
    assert all(shop.audience.members[hash_of(address)].fields == {} for address in people[:40])


def test_who_was_deleted_for_good_has_left(shop: Shop) -> None:
    shop.has("ada@example.com")
    shop.service.people.forget("ada@example.com")
    answer = only(shop.add("ada@example.com"))
    assert (answer.verdict, answer.reason) == (Verdict.LEFT, "was permanently deleted there")


@pytest.mark.parametrize("status", ["subscribed", "pending", "transactional"])
@pytest.mark.parametrize("new_contacts", ["skip", "transactional", "subscribed"])
@pytest.mark.parametrize("consents", [True, False])
def test_nobodys_status_changes(shop: Shop, status: str, new_contacts: str, consents: bool) -> None:
    shop.has("ada@example.com", status)
    shop.open(new_contacts)
    assert only(shop.add("ada@example.com", consents=consents, FNAME="Ada")).verdict is Verdict.SENT
    member = shop.member("ada@example.com")
    assert member is not None
    assert (member.status, member.fields) == (status, {"FNAME": "Ada"})


@pytest.mark.parametrize(
    ("new_contacts", "consents", "becomes"),
    [
        ("skip", True, None),
        ("skip", False, None),
        ("transactional", True, "transactional"),
        ("transactional", False, "transactional"),
        ("subscribed", True, "subscribed"),
        ("subscribed", False, None),
    ],
)
@pytest.mark.parametrize("number", [1, 120])
def test_who_is_new_becomes_what_the_settings_say(shop: Shop, new_contacts: str, consents: bool, becomes: str | None, number: int) -> None:
    shop.open(new_contacts)
    people = some(number)
    answers = shop.add(*people, consents=consents, FNAME="Ada")
    assert set(verdicts(answers)) == {Verdict.SKIPPED if becomes is None else Verdict.SENT}
    assert {shop.status(address) for address in people} == {becomes}


def test_of_many_without_consent_those_in_the_audience_are_tagged(shop: Shop) -> None:
    people = some(120)
    for address in people[:60]:
        shop.has(address, "transactional")
    answers = shop.add(*people, consents=False, LTV=1)
    assert verdicts(answers) == [Verdict.SENT] * 60 + [Verdict.SKIPPED] * 60
    assert {shop.status(address) for address in people[:60]} == {"transactional"}
    assert {shop.status(address) for address in people[60:]} == {None}


def test_who_is_added_by_one_batch_is_there_for_the_next(shop: Shop) -> None:
    shop.open("skip")
    shop.has("p0@example.com")
    assert verdicts(shop.add(*some(60)))[0] is Verdict.SENT  # everybody was read
    former = shop.has("former@example.com", "subscribed", TAG)
    moved = [change("new@example.com", remote_id=former.hash, moved=True), *(change(one) for one in some(60))]
    shop.by_hand.discard("former@example.com")
    assert shop.sync(Action.ADD, *moved)[0].verdict is Verdict.SENT


def test_who_unsubscribes_between_two_batches_is_seen(shop: Shop) -> None:
    people = some(120)
    shop.add(*people[:60])
    shop.has("late@example.com")
    shop.time.sleep(5)
    shop.service.people.unsubscribe("late@example.com")
    answers = shop.add(*people[60:], "late@example.com")
    assert verdicts(answers) == [Verdict.SENT] * 60 + [Verdict.LEFT]


def test_who_comes_back_by_themselves_is_seen_once_the_list_is_old(shop: Shop) -> None:
    shop.has("back@example.com", "unsubscribed")
    assert shop.add(*some(60), "back@example.com")[-1].verdict is Verdict.LEFT
    shop.service.people.subscribe("back@example.com")
    shop.time.sleep(1000)
    assert shop.add(*some(60), "back@example.com")[-1].verdict is Verdict.SENT


def test_two_contacts_with_one_address_are_one_member(shop: Shop) -> None:
    twice = [change("ada@example.com", FNAME="Ada"), change("ada@example.com", FNAME="Bo")]
    answers = shop.sync(Action.ADD, *twice)
    assert answers[0] == answers[1]
    assert shop.audience.members[hash_of("ada@example.com")].fields == {"FNAME": "Ada"}


def test_of_two_with_one_address_both_must_consent(shop: Shop) -> None:
    twice = [change("ada@example.com"), change("ada@example.com", consents=False)]
    assert verdicts(shop.sync(Action.ADD, *twice)) == [Verdict.SKIPPED] * 2


def test_no_address_and_an_odd_one_are_rejected_alone(shop: Shop) -> None:
    answers = shop.sync(Action.ADD, change(None), change("no address"), change("ada@example.com"))
    assert verdicts(answers) == [Verdict.REJECTED, Verdict.REJECTED, Verdict.SENT]


# ---------------------------------------------------------------- update


def test_an_update_changes_fields_and_no_membership(shop: Shop) -> None:
    shop.has("ada@example.com", "transactional", FNAME="Ada", LTV="3")
    answer = only(shop.update("ada@example.com", FNAME=None, CITY="Rome"))
    assert (answer.verdict, answer.status, answer.remote_id) == (Verdict.SENT, "transactional", hash_of("ada@example.com"))
    member = shop.member("ada@example.com")
    assert member is not None
    assert member.fields == {"LTV": "3", "CITY": "Rome"}
    assert "ada@example.com" not in shop.tagged()


def test_many_updates_go_in_a_batch_and_make_nobody(shop: Shop) -> None:
    people = some(120)
    for address in people[:100]:
        shop.has(address)
    answers = shop.update(*people, CITY="Rome")
    assert verdicts(answers) == [Verdict.SENT] * 100 + [Verdict.LEFT] * 20
    assert shop.asked(BATCHES) == 1
    assert {shop.status(address) for address in people[100:]} == {None}


def test_an_update_of_who_is_not_there_is_left(shop: Shop) -> None:
    assert only(shop.update("ada@example.com", FNAME="Ada")).verdict is Verdict.LEFT
    assert shop.member("ada@example.com") is None


def test_an_update_of_who_unsubscribed_is_left(shop: Shop) -> None:
    shop.has("ada@example.com", "unsubscribed")
    answer = only(shop.update("ada@example.com", FNAME="Ada"))
    assert (answer.verdict, answer.status) == (Verdict.LEFT, "unsubscribed")


# ---------------------------------------------------------------- remove


@pytest.mark.parametrize("number", [1, 120])
def test_who_is_removed_stays_in_the_audience(shop: Shop, number: int) -> None:
    people = some(number)
    shop.add(*people)
    answers = shop.remove(*people)
    assert set(verdicts(answers)) == {Verdict.SENT}
    assert shop.tagged() == {"hand@example.com"}
    assert {shop.status(address) for address in people} == {"subscribed"}


def test_who_was_taken_off_by_hand_is_left_and_not_removed(shop: Shop) -> None:
    shop.add("ada@example.com", "bo@example.com")
    shop.service.people.untag("ada@example.com", TAG)
    assert verdicts(shop.remove("ada@example.com", "bo@example.com")) == [Verdict.LEFT, Verdict.SENT]


def test_of_many_who_were_taken_off_by_hand_are_left(shop: Shop) -> None:
    people = some(120)
    shop.add(*people)
    for address in people[:30]:
        shop.service.people.untag(address, TAG)
    assert verdicts(shop.remove(*people)) == [Verdict.LEFT] * 30 + [Verdict.SENT] * 90


def test_who_has_yet_to_confirm_is_removed_though_no_list_shows_them(shop: Shop) -> None:
    people = some(60)
    shop.add(*people)
    shop.audience.members[hash_of(people[0])].status = "pending"
    assert set(verdicts(shop.remove(*people))) == {Verdict.SENT}
    assert shop.tagged() == {"hand@example.com"}


def test_who_unsubscribed_is_taken_off_the_tag(shop: Shop) -> None:
    shop.add("ada@example.com")
    shop.service.people.unsubscribe("ada@example.com")
    answer = only(shop.remove("ada@example.com"))
    assert (answer.verdict, answer.status) == (Verdict.SENT, "unsubscribed")
    assert shop.status("ada@example.com") == "unsubscribed"


def test_who_has_no_address_any_more_is_removed_by_what_the_service_calls_them(shop: Shop) -> None:
    shop.add("ada@example.com")
    answer = only(shop.sync(Action.REMOVE, change(None, remote_id=hash_of("ada@example.com"))))
    assert answer.verdict is Verdict.SENT
    assert shop.tagged() == {"hand@example.com"}


def test_who_has_another_address_by_now_is_removed_under_the_former(shop: Shop) -> None:
    shop.add("ada@example.com")
    moved = change("new@example.com", remote_id=hash_of("ada@example.com"), moved=True)
    assert only(shop.sync(Action.REMOVE, moved)).verdict is Verdict.SENT
    assert shop.tagged() == {"hand@example.com"}


def test_removing_from_a_tag_that_there_is_not_is_left(shop: Shop) -> None:
    shop.service.world.drop_tag(shop.audience, shop.service.world.tag_named(shop.audience, TAG))
    shop.by_hand.clear()
    assert only(shop.remove("ada@example.com")).verdict is Verdict.LEFT


def test_a_target_that_is_no_tag_stops_the_destination(shop: Shop) -> None:
    with pytest.raises(DestinationStopped, match="list:x"):
        shop.shop.sync(SyncBatch("b", "vip", Target("list", "x"), Action.ADD, AT, (change("ada@example.com"),)), nothing, Notes())


def test_only_writing_asks_before(shop: Shop) -> None:
    shop.add("ada@example.com")
    shop.writes = 0
    shop.shop.look(Target("tag", TAG))
    list(shop.shop.members(Target("tag", TAG)))
    shop.add("ada@example.com")
    assert shop.writes == 1  # the tag: whoever is there and has no fields is not written at all
