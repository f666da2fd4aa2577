"""What can go wrong between a sync and Mailchimp, one by one, over real HTTP. Names say the fault and what must come of it.

What must be so after every one of them is checked by the fixture.
"""

from __future__ import annotations

import pytest

from segmentry.engine.connectors.destination import DestinationStopped, Verdict
from segmentry.engine.connectors.mailchimp_line import THROTTLED, TROUBLED
from segmentry.engine.connectors.mailchimp_people import HOPELESS, hash_of
from segmentry.engine.connectors.syncing import Action, Notes
from segmentry.engine.connectors.wire import Reply
from tests.connectors.mailchimp.conftest import (
    ABOUT,
    BATCHES,
    LOOK,
    MEMBERS,
    NEW_FIELD,
    NEW_TAG,
    PATCHED,
    PEOPLE,
    PUT,
    QUIETLY,
    RESULTS,
    SOMEONE,
    TAG,
    TAGGED,
    TAKEN_OFF,
    Shop,
    change,
    only,
    some,
    verdicts,
)


class PausedError(Exception):
    """What a sender raises when somebody paused the destination."""


# ---------------------------------------------------------------- too much at once


def test_429_once_then_done_with_fewer_at_once(shop: Shop) -> None:
    shop.meets(MEMBERS, "429")
    assert only(shop.add("ada@example.com")).verdict is Verdict.SENT
    assert shop.time.naps == [1.0]
    assert shop.shop._line.pace.allowed == 2


def test_429_with_retry_after_waits_that_long(shop: Shop) -> None:
    shop.meets(QUIETLY, "429-after")
    assert only(shop.add("ada@example.com")).verdict is Verdict.SENT
    assert shop.time.naps == [1.0]


def test_403_without_a_body_is_too_much_and_not_forbidden(shop: Shop) -> None:
    shop.meets(MEMBERS, "403-bare", "403-bare")
    assert only(shop.add("ada@example.com")).verdict is Verdict.SENT
    assert shop.time.naps == [1.0, 2.0]
    assert shop.shop._line.pace.allowed == 1


def test_429_without_a_body_is_too_much(shop: Shop) -> None:
    shop.meets(SOMEONE, "429-bare")
    assert only(shop.add("ada@example.com")).verdict is Verdict.SENT


def test_too_much_at_every_attempt_is_for_later(shop: Shop) -> None:
    shop.meets(MEMBERS, *["429"] * THROTTLED)
    answer = only(shop.add("ada@example.com"))
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, False)
    assert shop.member("ada@example.com") is None
    assert sum(shop.time.naps) <= 90


def test_asked_to_wait_an_hour_is_for_later_at_once_and_says_when(shop: Shop) -> None:
    shop.meets(MEMBERS, "503-after-long")
    answer = only(shop.add("ada@example.com"))
    assert (answer.verdict, answer.after) == (Verdict.LATER, 3600.0)
    assert shop.time.naps == []


def test_too_much_for_the_second_of_two_answers_the_first(shop: Shop) -> None:
    shop.meets(QUIETLY, "204", *["429"] * THROTTLED)
    assert verdicts(shop.add("ada@example.com", "bo@example.com")) == [Verdict.SENT, Verdict.LATER]


def test_too_many_batches_is_for_later(shop: Shop) -> None:
    shop.meets(BATCHES, *["429"] * THROTTLED)
    assert set(verdicts(shop.add(*some(60)))) == {Verdict.LATER}
    assert set(verdicts(shop.add(*some(60)))) == {Verdict.SENT}


# ---------------------------------------------------------------- trouble


@pytest.mark.parametrize("kind", ["500", "502-applied", "503", "504-applied", "hang", "hang-applied", "reset-applied", "close-applied"])
@pytest.mark.parametrize("pattern", [MEMBERS, QUIETLY])
def test_trouble_once_then_done(shop: Shop, kind: str, pattern: str) -> None:
    shop.meets(pattern, kind)
    assert only(shop.add("ada@example.com")).verdict is Verdict.SENT
    assert shop.tagged() == {"ada@example.com", "hand@example.com"}


def test_trouble_throughout_is_for_later_and_may_have_been_done(shop: Shop) -> None:
    shop.meets(QUIETLY, *["500-applied"] * TROUBLED)
    answer = only(shop.add("ada@example.com"))
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, True)
    assert only(shop.add("ada@example.com")).verdict is Verdict.SENT


@pytest.mark.parametrize("kind", ["html", "garbage", "truncated", "endless"])
def test_an_answer_that_cannot_be_read_is_no_answer(shop: Shop, kind: str) -> None:
    shop.meets(MEMBERS, *[kind] * TROUBLED)
    assert only(shop.add("ada@example.com")).verdict is Verdict.LATER
    assert only(shop.add("ada@example.com")).verdict is Verdict.SENT


def test_an_answer_drop_by_drop_is_given_up(shop: Shop) -> None:
    shop.meets(MEMBERS, "slow")
    assert only(shop.add("ada@example.com")).verdict is Verdict.SENT


def test_a_service_that_is_not_there_is_for_later(shop: Shop) -> None:
    shop.open(url="http://127.0.0.1:9")
    answer = only(shop.add("ada@example.com"))
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, False)


def test_trouble_while_reading_who_left_puts_nobody_in(shop: Shop) -> None:
    shop.meets(PEOPLE, *["500"] * TROUBLED)
    assert set(verdicts(shop.add(*some(60)))) == {Verdict.LATER}
    assert shop.asked(MEMBERS) == 0


# ---------------------------------------------------------------- stops


def test_a_refused_key_stops_the_destination(shop: Shop) -> None:
    shop.open(key="0" * 32 + "-us19")
    with pytest.raises(DestinationStopped, match=r"refuses the key \(401\)") as stopped:
        shop.add("ada@example.com")
    assert "0000" not in str(stopped.value)


def test_a_key_revoked_in_the_middle_stops_the_destination(shop: Shop) -> None:
    shop.meets(QUIETLY, "401")
    with pytest.raises(DestinationStopped, match="401"):
        shop.add("ada@example.com")
    shop.unclear.add(hash_of("ada@example.com"))
    assert only(shop.add("ada@example.com")).verdict is Verdict.SENT


def test_403_with_a_word_of_why_stops_the_destination(shop: Shop) -> None:
    shop.meets(MEMBERS, "403")
    with pytest.raises(DestinationStopped, match="403"):
        shop.add("ada@example.com")


def test_an_audience_that_is_not_there_stops_the_destination_and_is_named(shop: Shop) -> None:
    shop.open(audience="ffffffffff")
    with pytest.raises(DestinationStopped, match="no audience `ffffffffff`"):
        shop.add("ada@example.com")


def test_an_audience_deleted_meanwhile_stops_the_destination(shop: Shop) -> None:
    shop.add("ada@example.com", FNAME="Ada")
    shop.meets(MEMBERS, "404")
    with pytest.raises(DestinationStopped, match="no audience"):
        shop.add("bo@example.com", FNAME="Bo")


def test_a_redirect_stops_the_destination_and_is_not_followed(shop: Shop) -> None:
    shop.meets(ABOUT, "redirect")
    with pytest.raises(DestinationStopped, match="redirect"):
        shop.add("ada@example.com")
    assert shop.service.count == 1


def test_a_tag_deleted_meanwhile_stops_the_removal(shop: Shop) -> None:
    shop.add(*some(3))
    shop.meets(TAGGED, "404")
    with pytest.raises(DestinationStopped, match=f"the tag `{TAG}` is not there any more"):
        shop.remove(*some(3))


# ---------------------------------------------------------------- single rows


def test_a_row_in_a_compliance_state_is_left_inside_a_200(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from segmentry.sandbox import mailchimp_state as state
    from segmentry.sandbox.mailchimp_problems import TITLES

    monkeypatch.setitem(state._DOUBTS, "fake", TITLES["Member In Compliance State"][1])
    shop.service.people.doubt("ada@example.com")
    assert verdicts(shop.add("ada@example.com", "bo@example.com")) == [Verdict.LEFT, Verdict.SENT]


def test_a_row_of_which_the_answer_says_nothing_is_not_taken_for_done(shop: Shop) -> None:
    shop.meets(MEMBERS, "200")
    answer = only(shop.add("ada@example.com"))
    assert (answer.verdict, answer.again) == (Verdict.REJECTED, True)


def test_a_forgotten_row_is_left_inside_a_200(shop: Shop) -> None:
    people = some(120)
    shop.has(people[7])
    shop.service.people.forget(people[7])
    answers = shop.add(*people)
    assert answers[7].verdict is Verdict.LEFT
    assert set(verdicts([*answers[:7], *answers[8:]])) == {Verdict.SENT}


def test_a_fake_address_is_rejected_for_good(shop: Shop) -> None:
    shop.service.people.doubt("ada@example.com")
    answer = only(shop.add("ada@example.com"))
    assert (answer.verdict, answer.again) == (Verdict.REJECTED, False)


def test_an_address_that_signs_up_too_often_is_tried_again(shop: Shop) -> None:
    shop.service.people.doubt("ada@example.com", because="busy")
    answer = only(shop.add("ada@example.com"))
    assert (answer.verdict, answer.again) == (Verdict.REJECTED, True)


def test_a_value_that_does_not_fit_its_field_is_rejected_and_named(shop: Shop) -> None:
    shop.add("ada@example.com", LTV=3)
    answer = only(shop.add("bo@example.com", LTV="much"))
    assert (answer.verdict, answer.again) == (Verdict.REJECTED, False)
    assert "LTV" in str(answer.reason)
    assert shop.member("bo@example.com") is None


def test_a_refused_chunk_is_halved_down_to_the_row_that_it_is_about(shop: Shop) -> None:
    people = some(120)
    shop.service.aimed.always = [(MEMBERS, people[77].encode(), "400")]
    answers = shop.add(*people)
    assert answers[77].verdict is Verdict.REJECTED
    assert set(verdicts([*answers[:77], *answers[78:]])) == {Verdict.SENT}
    assert shop.asked(MEMBERS) <= 2 * 8


def test_a_chunk_refused_as_too_large_is_halved(shop: Shop) -> None:
    shop.meets(MEMBERS, "413", "413")
    assert set(verdicts(shop.add(*some(8)))) == {Verdict.SENT}
    assert shop.asked(MEMBERS) == 5


def test_one_row_refused_alone_is_rejected_and_the_others_done(shop: Shop) -> None:
    shop.meets(MEMBERS, "400", "400")  # both of them, then the first alone
    assert verdicts(shop.add("ada@example.com", "bo@example.com")) == [Verdict.REJECTED, Verdict.SENT]


def test_request_after_request_refused_is_not_asked_for_ever(shop: Shop) -> None:
    shop.meets(MEMBERS, *["400"] * 2000)
    answers = shop.add(*some(500))
    assert {(answer.verdict, answer.again) for answer in answers} == {(Verdict.REJECTED, True)}
    assert shop.asked(MEMBERS) == HOPELESS


def test_an_account_that_takes_no_status_if_new_of_many_is_told_one_by_one(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from segmentry.sandbox import mailchimp_problems as problems

    monkeypatch.setitem(problems.TITLES, "Bad Request", (400, "members.item:0.status_if_new: Schema does not describe this field"))
    shop.meets(MEMBERS, "400")
    assert set(verdicts(shop.add(*some(5), FNAME="Ada"))) == {Verdict.SENT}
    assert (shop.asked(MEMBERS), shop.asked(PUT)) == (1, 5)
    assert set(verdicts(shop.add(*some(3, "q"), FNAME="Ada"))) == {Verdict.SENT}
    assert (shop.asked(MEMBERS), shop.asked(PUT)) == (1, 8)


def test_who_unsubscribes_between_the_look_and_the_request_stays_so_and_is_left(shop: Shop) -> None:
    shop.has("ada@example.com")
    shop.upon(MEMBERS, lambda: shop.service.people.unsubscribe("ada@example.com"))
    answer = only(shop.add("ada@example.com", FNAME="Ada"))
    assert (answer.verdict, shop.status("ada@example.com")) == (Verdict.LEFT, "unsubscribed")


def test_who_is_archived_between_the_look_and_the_request_is_left(shop: Shop) -> None:
    shop.has("ada@example.com")
    shop.upon(MEMBERS, lambda: shop.service.people.archive("ada@example.com"))
    answer = only(shop.add("ada@example.com", FNAME="Ada"))
    assert (answer.verdict, shop.status("ada@example.com")) == (Verdict.LEFT, "archived")


def test_an_account_that_revives_the_archived_revives_nobody_for_us(shop: Shop) -> None:
    shop.audience.revives = True
    people = some(120)
    for address in people[:60]:
        shop.has(address, "archived")
    assert verdicts(shop.add(*people)) == [Verdict.LEFT] * 60 + [Verdict.SENT] * 60
    assert {shop.status(address) for address in people[:60]} == {"archived"}


def test_who_vanishes_before_the_tag_is_tried_again(shop: Shop) -> None:
    shop.upon(QUIETLY, lambda: shop.service.people.forget("ada@example.com"))
    answer = only(shop.add("ada@example.com"))
    assert (answer.verdict, answer.again) == (Verdict.REJECTED, True)


# ---------------------------------------------------------------- tags and fields made


def test_a_tag_that_begins_alike_is_another_tag(shop: Shop) -> None:
    shop.service.world.drop_tag(shop.audience, shop.service.world.tag_named(shop.audience, TAG))
    shop.by_hand.clear()
    shop.has("bo@example.com", "subscribed", "seg:vip_gold", "seg:vipp")
    assert only(shop.add("ada@example.com")).verdict is Verdict.SENT
    assert shop.tagged() == {"ada@example.com"}
    assert shop.tagged("seg:vip_gold") == {"bo@example.com"}


def test_a_tag_made_by_two_senders_at_once_is_one_tag(shop: Shop) -> None:
    shop.service.world.drop_tag(shop.audience, shop.service.world.tag_named(shop.audience, TAG))
    shop.by_hand.clear()
    shop.upon(NEW_TAG, lambda: shop.service.world.tag_named(shop.audience, TAG))
    assert only(shop.add("ada@example.com")).verdict is Verdict.SENT
    assert shop.tagged() == {"ada@example.com"}


def test_a_tag_whose_making_was_not_answered_is_not_made_twice(shop: Shop) -> None:
    shop.service.world.drop_tag(shop.audience, shop.service.world.tag_named(shop.audience, TAG))
    shop.by_hand.clear()
    shop.meets(NEW_TAG, "hang-applied")
    assert only(shop.add("ada@example.com")).verdict is Verdict.SENT
    assert [tag.name for tag in shop.audience.tags.values()].count(TAG) == 1


def test_a_field_made_by_two_senders_at_once_is_one_field(shop: Shop) -> None:
    shop.meets(NEW_FIELD, "500-applied")
    assert only(shop.add("ada@example.com", LTV=3)).verdict is Verdict.SENT
    assert shop.audience.members[hash_of("ada@example.com")].fields == {"LTV": 3}


def test_a_field_that_cannot_be_made_stops_the_destination(shop: Shop) -> None:
    shop.meets(NEW_FIELD, "400")
    with pytest.raises(DestinationStopped, match="merge field LTV can't be made"):
        shop.add("ada@example.com", LTV=3)


def test_a_required_field_that_we_do_not_know_of_refuses_nobody(shop: Shop) -> None:
    shop.audience.fields["LNAME"].required = True
    assert only(shop.add("ada@example.com", FNAME="Ada")).verdict is Verdict.SENT


# ---------------------------------------------------------------- batches


def test_a_batch_is_kept_before_it_is_looked_after(shop: Shop) -> None:
    kept: list[int] = []
    notes = Notes(store=lambda _: kept.append(shop.asked(LOOK)))
    shop.sync(Action.ADD, *map(change, some(60)), notes=notes)
    assert kept[0] == 0
    assert shop.asked(LOOK) > 0
    assert notes.kept["batch"] is None


def test_a_process_that_dies_while_a_batch_goes_on_is_followed_by_one_that_takes_it_up(shop: Shop) -> None:
    stored: list[object] = []
    notes = Notes(store=stored.append)

    def dying() -> None:
        if stored:
            raise PausedError

    with pytest.raises(PausedError):
        shop.sync(Action.ADD, *map(change, some(60)), notes=notes, before=dying)
    shop.open()
    answers = shop.sync(Action.ADD, *map(change, some(60)), notes=Notes(kept=dict(stored[-1])))  # type: ignore[call-overload]
    assert set(verdicts(answers)) == {Verdict.SENT}
    assert shop.asked(BATCHES) == 1


def test_a_batch_taken_up_says_nothing_of_those_who_were_not_in_it(shop: Shop) -> None:
    people = some(60)
    for address in people[:5]:
        shop.has(address, "unsubscribed")
    stored: list[dict[str, object]] = []
    notes = Notes(store=lambda kept: stored.append(dict(kept)))

    def dying() -> None:
        if stored:
            raise PausedError

    with pytest.raises(PausedError):
        shop.sync(Action.ADD, *map(change, people), notes=notes, before=dying)
    answers = shop.sync(Action.ADD, *map(change, people), notes=Notes(kept=stored[-1]))
    assert verdicts(answers) == [Verdict.LEFT] * 5 + [Verdict.SENT] * 55


def test_a_batch_that_takes_too_long_is_for_later_and_taken_up_then(shop: Shop) -> None:
    people = some(60)
    shop.has(people[0], "unsubscribed")
    shop.service.world.rules.polls = 100_000
    notes = Notes()
    answers = shop.sync(Action.ADD, *map(change, people), notes=notes)
    assert verdicts(answers) == [Verdict.LEFT] + [Verdict.LATER] * 59
    assert {answer.after for answer in answers[1:]} == {30.0}
    shop.service.world.rules.polls = 4
    assert set(verdicts(shop.sync(Action.ADD, *map(change, people[1:]), notes=notes))) == {Verdict.SENT}
    assert shop.asked(BATCHES) == 1


def test_of_a_batch_taken_up_for_some_each_gets_the_result_that_is_its_own(shop: Shop) -> None:
    people = some(60)
    shop.service.world.rules.polls = 100_000
    notes = Notes()
    shop.sync(Action.ADD, *map(change, people), notes=notes)
    shop.service.world.rules.polls = 4
    shop.upon(LOOK, lambda: shop.service.people.forget(people[30]))
    left = [*people[40:], *people[20:40]]  # the others were settled meanwhile
    answers = shop.sync(Action.ADD, *map(change, left), notes=notes)
    assert {one for one, answer in zip(left, answers, strict=True) if answer.verdict is not Verdict.SENT} == {people[30]}
    assert shop.asked(BATCHES) == 1


def test_a_batch_that_nobody_knows_any_more_is_handed_in_anew(shop: Shop) -> None:
    notes = Notes(kept={"batch": {"id": "gone", "changes": [change(one).id for one in some(60)]}})
    answers = shop.sync(Action.ADD, *map(change, some(60)), notes=notes)
    assert set(verdicts(answers)) == {Verdict.SENT}
    assert shop.asked(BATCHES) == 1


def test_operations_that_fail_inside_a_finished_batch_are_answered_one_by_one(shop: Shop) -> None:
    people = some(60)
    shop.upon(LOOK, lambda: shop.service.people.forget(people[3]))
    answers = shop.add(*people)
    assert (answers[3].verdict, answers[3].again) == (Verdict.REJECTED, True)
    assert set(verdicts([*answers[:3], *answers[4:]])) == {Verdict.SENT}


def test_results_that_were_lost_are_not_taken_for_done(shop: Shop) -> None:
    shop.meets(BATCHES, "results-lost")
    answers = shop.add(*some(300))
    assert verdicts(answers) == [Verdict.SENT] * 250 + [Verdict.LATER] * 50
    assert set(verdicts(shop.add(*some(300)))) == {Verdict.SENT}


def test_results_whose_address_is_too_old_are_asked_for_anew(shop: Shop) -> None:
    shop.meets(RESULTS, "403-bare")
    assert set(verdicts(shop.add(*some(60)))) == {Verdict.SENT}
    assert shop.asked(RESULTS) == 2


@pytest.mark.parametrize("kind", ["403-bare", "html", "truncated", "endless"])
def test_results_that_cannot_be_had_are_done_without(shop: Shop, kind: str) -> None:
    shop.meets(RESULTS, kind, kind, kind)
    assert set(verdicts(shop.add(*some(60)))) == {Verdict.SENT}
    assert shop.asked(QUIETLY) == 60
    assert set(verdicts(shop.add(*some(60, "q")))) == {Verdict.SENT}
    assert shop.asked(BATCHES) == 1  # from then on one by one


def test_a_batch_whose_answer_was_lost_is_done_twice_and_does_no_harm(shop: Shop) -> None:
    shop.meets(BATCHES, "hang-applied")
    assert set(verdicts(shop.add(*some(60)))) == {Verdict.SENT}


def test_a_pause_while_a_batch_goes_on_does_not_wait_for_it(shop: Shop) -> None:
    shop.service.world.rules.polls = 100_000

    def paused() -> None:
        if shop.asked(LOOK) == 2:
            raise PausedError

    with pytest.raises(PausedError):
        shop.sync(Action.ADD, *map(change, some(60)), before=paused)
    assert shop.asked(LOOK) == 2


def test_many_updates_whose_results_cannot_be_had_are_made_one_by_one(shop: Shop) -> None:
    for address in some(60):
        shop.has(address)
    shop.meets(RESULTS, "500", "500", "500")
    assert set(verdicts(shop.update(*some(60), CITY="Rome"))) == {Verdict.SENT}
    assert shop.asked(PATCHED) == 60


# ---------------------------------------------------------------- removing


def test_a_removal_that_was_not_answered_is_asked_again(shop: Shop) -> None:
    shop.add(*some(3))
    shop.meets(TAGGED, "hang-applied")
    assert set(verdicts(shop.remove(*some(3)))) == {Verdict.SENT}


@pytest.mark.parametrize("number", [3, 120])
def test_who_was_taken_off_without_an_answer_did_not_leave(shop: Shop, number: int) -> None:
    kept: dict[str, object] = {}
    removals = [change(one, remote_id=hash_of(one)) for one in some(number)]
    shop.add(*some(number))
    shop.meets(TAGGED, *["close-applied"] * TROUBLED)
    assert set(verdicts(shop.sync(Action.REMOVE, *removals, notes=Notes(store=kept.update)))) == {Verdict.LATER}
    shop.open()
    assert set(verdicts(shop.sync(Action.REMOVE, *removals, notes=Notes(kept)))) == {Verdict.SENT}


def test_removals_that_are_silently_ignored_are_made_one_by_one(shop: Shop) -> None:
    shop.add(*some(6))
    shop.meets(TAGGED, "ignored")
    assert set(verdicts(shop.remove(*some(6)))) == {Verdict.SENT}
    assert shop.asked(TAKEN_OFF) == 3


def test_a_removal_refused_for_many_is_made_one_by_one(shop: Shop) -> None:
    shop.add(*some(6))
    shop.meets(TAGGED, "400")
    assert set(verdicts(shop.remove(*some(6)))) == {Verdict.SENT}
    assert shop.asked(TAKEN_OFF) == 6


def test_a_removal_during_which_somebody_goes_is_done(shop: Shop) -> None:
    shop.add("ada@example.com")
    shop.upon(TAGGED, lambda: shop.service.people.untag("ada@example.com", TAG))
    assert only(shop.remove("ada@example.com")).verdict is Verdict.SENT


# ---------------------------------------------------------------- withheld


def test_what_before_raises_passes_and_nothing_more_is_written(shop: Shop) -> None:
    def paused() -> None:
        raise PausedError

    with pytest.raises(PausedError):
        shop.sync(Action.ADD, *map(change, some(3)), before=paused)
    assert {shop.status(address) for address in some(3)} == {None}


@pytest.mark.parametrize("writes", range(1, 7))
def test_killed_before_any_request_and_done_again_comes_to_the_same(shop: Shop, writes: int) -> None:
    left = writes

    def dying() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise PausedError

    stored: dict[str, object] = {}
    changes = [change(one, LTV=1) for one in some(60)]
    with pytest.raises(PausedError):
        shop.sync(Action.ADD, *changes, notes=Notes(store=stored.update), before=dying)
    shop.open()
    assert set(verdicts(shop.sync(Action.ADD, *changes, notes=Notes(kept=stored)))) == {Verdict.SENT}
    assert shop.asked(BATCHES) == 1


def test_a_404_without_a_word_says_of_nobody_that_they_are_gone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.add("ada@example.com")
    monkeypatch.setattr(shop.shop._line._wire, "ask", lambda *_, **__: Reply(404, {}, b"<h1>Not found</h1>"))
    assert only(shop.update("ada@example.com")).verdict is Verdict.LATER
