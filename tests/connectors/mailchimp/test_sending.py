"""Enrollments at Mailchimp: tags that start automations, journeys that are started at most once, and all that can go wrong with either."""

from __future__ import annotations

from typing import Any

import pytest

from segmentry.engine.connectors.destination import Batch, DestinationStopped, Row, Verdict
from segmentry.engine.connectors.mailchimp_line import THROTTLED, TROUBLED
from segmentry.engine.connectors.mailchimp_people import hash_of
from segmentry.sandbox.mailchimp import JOURNEY, STEP
from tests.connectors.conftest import nothing
from tests.connectors.mailchimp.conftest import AT, ENROLL, MEMBERS, TAGGED, TRIGGER, Shop, only, some, verdicts

JOURNEYS = {"journey": {"id": JOURNEY, "step": STEP}}


class PausedError(Exception):
    """What a sender raises when somebody paused the destination."""


def mails(shop: Shop, address: str) -> int:
    return sum(times for (_, email), times in shop.service.mails.items() if email == address)


# ---------------------------------------------------------------- tags


def test_who_is_enrolled_is_in_the_audience_and_the_automation_starts(shop: Shop) -> None:
    assert only(shop.send("ada@example.com", FNAME="Ada")).verdict is Verdict.SENT
    assert shop.tagged(ENROLL) == {"ada@example.com"}
    assert mails(shop, "ada@example.com") == 1
    assert shop.audience.members[hash_of("ada@example.com")].fields == {"FNAME": "Ada"}


def test_five_hundred_are_two_requests_that_write(shop: Shop) -> None:
    shop.send("first@example.com")
    shop.writes = 0
    assert set(verdicts(shop.send(*some(500)))) == {Verdict.SENT}
    assert shop.writes == 2


@pytest.mark.parametrize("repeats", [True, False])
def test_the_same_again_mails_nobody_twice(shop: Shop, repeats: bool) -> None:
    shop.audience.says_repeats = repeats  # whether the service lists who was in already is not known
    people = some(60)
    assert shop.send(*people) == shop.send(*people)
    assert {mails(shop, one) for one in people} == {1}


@pytest.mark.parametrize("status", ["unsubscribed", "cleaned", "archived"])
def test_who_left_is_rejected_and_not_tagged(shop: Shop, status: str) -> None:
    shop.has("ada@example.com", status)
    answers = shop.send("ada@example.com", "bo@example.com")
    assert verdicts(answers) == [Verdict.REJECTED, Verdict.SENT]
    assert str(answers[0].reason).startswith("left there")
    assert not answers[0].again
    assert shop.tagged(ENROLL) == {"bo@example.com"}


@pytest.mark.parametrize(("new_contacts", "consents"), [("skip", True), ("subscribed", False)])
def test_who_is_left_out_is_rejected_with_the_reason(shop: Shop, new_contacts: str, consents: bool) -> None:
    shop.open(new_contacts)
    shop.has("ada@example.com")
    answers = shop.send("ada@example.com", "bo@example.com", consents=consents)
    assert verdicts(answers) == [Verdict.SENT, Verdict.REJECTED]
    assert "not in the audience" in str(answers[1].reason)
    assert shop.member("bo@example.com") is None


def test_a_row_rejected_by_the_audience_is_not_enrolled(shop: Shop) -> None:
    shop.service.people.doubt("ada@example.com")
    answers = shop.send("ada@example.com", "bo@example.com")
    assert verdicts(answers) == [Verdict.REJECTED, Verdict.SENT]
    assert shop.tagged(ENROLL) == {"bo@example.com"}


def test_who_is_silently_ignored_is_not_taken_for_enrolled(shop: Shop) -> None:
    shop.meets(TAGGED, "ignored")
    answers = shop.send(*some(6))
    assert verdicts(answers) == [Verdict.SENT, Verdict.REJECTED] * 3
    assert all(answer.again for answer in answers[1::2])
    assert set(verdicts(shop.send(*some(6)))) == {Verdict.SENT}


def test_of_many_who_are_silently_ignored_none_is_taken_for_enrolled(shop: Shop) -> None:
    shop.meets(TAGGED, "ignored")
    answers = shop.send(*some(200))
    assert verdicts(answers) == [Verdict.SENT, Verdict.REJECTED] * 100


def test_who_vanishes_before_the_tag_is_not_taken_for_enrolled(shop: Shop) -> None:
    shop.upon(TAGGED, lambda: shop.service.people.forget("ada@example.com"))
    answers = shop.send("ada@example.com", "bo@example.com")
    assert verdicts(answers) == [Verdict.REJECTED, Verdict.SENT]


def test_an_address_that_the_tag_refuses_is_found_by_halves(shop: Shop) -> None:
    shop.send("first@example.com")
    shop.service.aimed.always = [(TAGGED, b'"p5@example.com"', "400")]
    answers = shop.send(*some(8))
    assert [number for number, answer in enumerate(answers) if answer.verdict is Verdict.REJECTED] == [5]


@pytest.mark.parametrize(
    "kind", ["429", "403-bare", "500-applied", "502", "504-applied", "hang-applied", "reset-applied", "garbage", "html"]
)
@pytest.mark.parametrize("pattern", [MEMBERS, TAGGED])
def test_trouble_once_then_enrolled_once(shop: Shop, kind: str, pattern: str) -> None:
    shop.meets(pattern, kind)
    assert only(shop.send("ada@example.com")).verdict is Verdict.SENT
    assert mails(shop, "ada@example.com") == 1


def test_trouble_throughout_is_for_later_and_then_mails_once(shop: Shop) -> None:
    shop.meets(TAGGED, *["500-applied"] * TROUBLED)
    answer = only(shop.send("ada@example.com"))
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, True)
    assert only(shop.send("ada@example.com")).verdict is Verdict.SENT
    assert mails(shop, "ada@example.com") == 1


def test_a_tag_deleted_meanwhile_stops_the_destination(shop: Shop) -> None:
    shop.send("ada@example.com")
    shop.service.world.drop_tag(shop.audience, shop.service.world.tag_named(shop.audience, ENROLL))
    with pytest.raises(DestinationStopped, match=f"the tag `{ENROLL}` is not there any more"):
        shop.send("bo@example.com")


def test_a_sequence_without_words_stops_the_destination(shop: Shop) -> None:
    batch = Batch("e", "enrollment.created", AT, "welcome", (Row("r", "c", "ada@example.com", {}),))
    with pytest.raises(DestinationStopped, match="`welcome` names neither a tag nor a journey"):
        shop.shop.send(batch, nothing)


def test_a_row_without_an_address_is_rejected_alone(shop: Shop) -> None:
    rows = (Row("r1", "c", None, {}, True), Row("r2", "c", "odd", {}, True), Row("r3", "c", "ada@example.com", {}, True))
    answers = shop.shop.send(Batch("e", "enrollment.created", AT, "welcome", rows, {"tag": ENROLL}), nothing)
    assert verdicts(answers) == [Verdict.REJECTED, Verdict.REJECTED, Verdict.SENT]


# ---------------------------------------------------------------- journeys


def test_a_journey_is_started_for_one(shop: Shop) -> None:
    assert only(shop.send("ada@example.com", words=JOURNEYS)).verdict is Verdict.SENT
    assert mails(shop, "ada@example.com") == 1


def test_for_who_is_there_as_wanted_only_the_journey_is_asked_for(shop: Shop) -> None:
    shop.has("ada@example.com", FNAME="Ada")
    assert only(shop.send("ada@example.com", words=JOURNEYS, FNAME="Ada")).verdict is Verdict.SENT
    assert shop.writes == 1


@pytest.mark.parametrize(
    "kind", ["500", "500-applied", "502-applied", "503", "503-applied", "504-applied", "hang", "hang-applied", "reset-applied", "garbage"]
)
def test_a_start_that_may_have_been_made_is_for_a_person_to_decide_and_not_asked_again(shop: Shop, kind: str) -> None:
    shop.meets(TRIGGER, kind)
    answer = only(shop.send("ada@example.com", words=JOURNEYS))
    assert answer.verdict is Verdict.UNKNOWN
    assert shop.asked(TRIGGER) == 1


@pytest.mark.parametrize("kind", ["429", "429-after", "403-bare"])
def test_a_start_that_was_not_made_is_asked_for_again(shop: Shop, kind: str) -> None:
    shop.meets(TRIGGER, kind)
    assert only(shop.send("ada@example.com", words=JOURNEYS)).verdict is Verdict.SENT
    assert (shop.asked(TRIGGER), mails(shop, "ada@example.com")) == (2, 1)


def test_a_service_that_says_when_to_come_again_has_not_started_anything(shop: Shop) -> None:
    shop.meets(TRIGGER, "503-after-long")
    answer = only(shop.send("ada@example.com", words=JOURNEYS))
    assert (answer.verdict, answer.maybe, answer.after) == (Verdict.LATER, False, 3600.0)
    assert mails(shop, "ada@example.com") == 0


def test_too_much_throughout_is_for_later_and_nothing_was_started(shop: Shop) -> None:
    shop.meets(TRIGGER, *["429"] * THROTTLED)
    answer = only(shop.send("ada@example.com", words=JOURNEYS))
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, False)
    assert mails(shop, "ada@example.com") == 0


def test_not_made_and_then_unclear_is_for_a_person_to_decide(shop: Shop) -> None:
    shop.meets(TRIGGER, "429", "hang-applied")
    assert only(shop.send("ada@example.com", words=JOURNEYS)).verdict is Verdict.UNKNOWN


def test_trouble_before_the_journey_is_no_start_that_may_have_been_made(shop: Shop) -> None:
    shop.meets(MEMBERS, *["500-applied"] * TROUBLED)
    answer = only(shop.send("ada@example.com", words=JOURNEYS))
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, False)
    assert shop.asked(TRIGGER) == 0


def test_a_step_that_there_is_not_stops_the_destination_and_is_named(shop: Shop) -> None:
    with pytest.raises(DestinationStopped, match="no step 9 of a journey 12"):
        shop.send("ada@example.com", words={"journey": {"id": JOURNEY, "step": 9}})


def test_a_journey_that_is_not_live_rejects(shop: Shop) -> None:
    shop.service.people.journey(JOURNEY, STEP, live=False)
    answer = only(shop.send("ada@example.com", words=JOURNEYS))
    assert (answer.verdict, answer.reason) == (Verdict.REJECTED, "the service refuses it: The journey is not active.")


def test_who_is_not_subscribed_is_rejected(shop: Shop) -> None:
    shop.has("ada@example.com", "transactional")
    assert only(shop.send("ada@example.com", words=JOURNEYS)).verdict is Verdict.REJECTED


@pytest.mark.parametrize("status", ["unsubscribed", "cleaned", "archived"])
def test_who_left_is_not_started(shop: Shop, status: str) -> None:
    shop.has("ada@example.com", status)
    assert only(shop.send("ada@example.com", words=JOURNEYS)).verdict is Verdict.REJECTED
    assert shop.writes == 0


def test_who_unsubscribes_just_before_the_start_is_rejected(shop: Shop) -> None:
    shop.has("ada@example.com")
    shop.upon(TRIGGER, lambda: shop.service.people.unsubscribe("ada@example.com"))
    assert only(shop.send("ada@example.com", words=JOURNEYS)).verdict is Verdict.REJECTED
    assert mails(shop, "ada@example.com") == 0


def test_what_before_raises_stops_before_the_start(shop: Shop) -> None:
    def paused() -> None:
        if shop.writes == 2:
            raise PausedError

    with pytest.raises(PausedError):
        shop.send("ada@example.com", words=JOURNEYS, before=paused)
    assert mails(shop, "ada@example.com") == 0


def test_journeys_are_never_in_a_batch(shop: Shop) -> None:
    sent: list[Any] = shop.send(*some(60), words=JOURNEYS)
    assert set(verdicts(sent)) == {Verdict.SENT}
    assert not any("/batches" in request.path for request in shop.service.requests)
