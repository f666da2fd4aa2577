"""Enrollments as events: once each, only to people who want to hear, whatever goes wrong on the way."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from segmentry.engine.connectors.destination import DestinationStopped, Verdict
from segmentry.engine.connectors.klaviyo_people import FORMER, UNSUBSCRIBED
from tests.connectors.conftest import AT, nothing
from tests.connectors.klaviyo.conftest import QUICK, Account, row, told


def seen(account: Account) -> dict[str, int]:
    """The events that were recorded, by the enrollments' ids, and how often each was told."""
    return {event.unique_id: event.times for event in account.sandbox.events}


def test_an_enrollment_is_an_event_that_starts_a_flow(account: Account) -> None:
    destination = account.open()
    one = replace(row(1, fields={"ltv": 7.5}), data={"segment": "vip", "number": 2, "fields": {"ltv": 7.5}})
    batch = replace(told(one), at=AT + timedelta(microseconds=5))
    (answer,) = destination.send(batch, nothing)
    assert answer.verdict is Verdict.SENT
    (event,) = account.sandbox.events
    assert (event.metric, event.unique_id, event.backfill) == ("Entered VIP", "e-1", False)
    assert event.time == "2026-11-23T18:00:00+00:00"
    assert event.body == {"segment": "vip", "number": 2, "ltv": 7.5}
    assert event.profile == account.sandbox.profile("p1@example.com").id
    assert account.sandbox.profile("p1@example.com").external_id == "c_1"


def test_being_enrolled_puts_nobody_on_a_list_and_subscribes_nobody(account: Account) -> None:
    account.send(1)
    assert account.members == set()
    assert account.sandbox.profile("p1@example.com").consent.state == "NEVER_SUBSCRIBED"


def test_the_same_enrollment_twice_is_one_event(account: Account) -> None:
    account.send(1, 1)
    account.send(1)
    assert seen(account) == {"e-1": 3}


def test_who_unsubscribed_there_is_not_enrolled(account: Account) -> None:
    account.send(1)
    account.unsubscribe(1)
    (answer,) = account.open().send(told(replace(row(1), id="e-2")), nothing)
    assert (answer.verdict, answer.again, answer.reason) == (Verdict.REJECTED, False, UNSUBSCRIBED)
    assert seen(account) == {"e-1": 1}


def test_who_is_suppressed_there_is_not_enrolled(account: Account) -> None:
    account.put_by_hand("p1@example.com")
    account.sandbox.suppress("p1@example.com")
    (answer,) = account.send(1)
    assert (answer.verdict, answer.reason, answer.status) == (Verdict.REJECTED, UNSUBSCRIBED, "user_suppressed")


def test_who_unsubscribed_under_the_former_address_is_not_enrolled_under_another(account: Account) -> None:
    account.send(1)
    account.unsubscribe(1)
    (answer,) = account.open().send(told(replace(row(1), id="e-2", address="new@example.com")), nothing)
    assert (answer.verdict, answer.reason) == (Verdict.REJECTED, FORMER)
    assert account.sandbox.profile("new@example.com") is None


def test_a_new_address_of_somebody_who_may_be_written_to_is_the_same_profile(account: Account) -> None:
    account.send(1)
    known = account.sandbox.profile("p1@example.com").id
    (answer,) = account.open().send(told(replace(row(1), id="e-2", address="new@example.com")), nothing)
    assert answer.verdict is Verdict.SENT
    assert account.sandbox.profile("new@example.com").id == known


def test_an_address_that_another_contact_s_profile_has_is_told_by_the_address(account: Account) -> None:
    account.send(1, 2)
    (answer,) = account.open().send(told(replace(row(1), id="e-3", address="p2@example.com")), nothing)
    assert answer.verdict is Verdict.SENT
    assert account.sandbox.profile("p2@example.com").external_id == "c_2"
    assert account.sandbox.profile("p1@example.com").external_id == "c_1"


def test_without_an_address_nobody_is_told(account: Account) -> None:
    (answer,) = account.open().send(told(replace(row(1), address=None)), nothing)
    assert (answer.verdict, answer.again) == (Verdict.REJECTED, True)
    assert account.sandbox.count == 0


def test_many_at_once_are_looked_up_together_and_told_one_by_one(account: Account) -> None:
    destination = account.open()
    asked: Counter[int] = Counter()

    def tell(number: int) -> Verdict:
        def before() -> None:
            asked[number] += 1

        return destination.send(told(row(number)), before)[0].verdict

    with ThreadPoolExecutor(destination.traits.parallel) as threads:
        assert set(threads.map(tell, range(1, 65))) == {Verdict.SENT}
    assert set(asked.values()) == {1}
    assert seen(account) == {f"e-{number}": 1 for number in range(1, 65)}
    assert len(account.asked("GET", "/api/profiles")) < 2 * 64


def test_one_of_many_that_is_refused_is_nobody_else_s_concern(account: Account) -> None:
    account.sandbox.make_invalid("p2@example.com")
    answers = account.send(1, 2, 3)
    assert [answer.verdict for answer in answers] == [Verdict.SENT, Verdict.REJECTED, Verdict.SENT]
    assert answers[1].reason == "Klaviyo refuses it: Invalid input (`email`)"


# ---------------------------------------------------------------- faults


def test_throttled_once_is_waited_out(account: Account) -> None:
    account.meets_writing("429-after")
    assert account.send(1)[0].verdict is Verdict.SENT
    assert seen(account) == {"e-1": 1}


def test_trouble_that_lasts_is_for_later_and_was_perhaps_applied(account: Account) -> None:
    account.meets_writing("500-applied", *["503"] * 9)
    (answer,) = account.send(1)
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, True)
    account.cruel_writing.clear()
    assert account.send(1)[0].verdict is Verdict.SENT
    assert seen(account) == {"e-1": 2}


@pytest.mark.parametrize("kind", ["reset-applied", "close-applied", "truncated", "garbage"])
def test_no_whole_answer_is_for_later_and_again_is_one_event(account: Account, kind: str) -> None:
    account.meets_writing(kind)
    (answer,) = account.send(1)
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, True)
    assert account.send(1)[0].verdict is Verdict.SENT
    assert seen(account) == {"e-1": 2}


def test_no_answer_in_time_is_for_later_and_again_is_one_event(account: Account) -> None:
    account.meets_writing("hang-applied")
    (answer,) = account.send(1, timeout=QUICK)
    assert (answer.verdict, answer.maybe, answer.reason) == (Verdict.LATER, True, "Klaviyo did not answer in time")
    assert account.send(1)[0].verdict is Verdict.SENT
    assert seen(account) == {"e-1": 2}


def test_a_question_without_an_answer_is_asked_again_and_nothing_was_sent_before(account: Account) -> None:
    account.meets("reset", "503", "malformed")
    assert account.send(1)[0].verdict is Verdict.SENT


def test_questions_that_are_never_answered_are_for_later_and_certainly_not_applied(account: Account) -> None:
    account.sandbox.cruelty.set(["503"], share=1.0)
    (answer,) = account.send(1)
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, False)
    assert account.sandbox.events == []


def test_asked_to_wait_longer_than_the_call_may_says_for_how_long(account: Account) -> None:
    account.meets_writing("503-after-long")
    (answer,) = account.send(1)
    assert (answer.verdict, answer.after, answer.maybe) == (Verdict.LATER, 3600.0, False)


def test_half_an_answer_that_says_yes_is_a_yes(account: Account) -> None:
    account.meets_writing("html")
    assert account.send(1)[0].verdict is Verdict.SENT


def test_a_refusal_is_for_good(account: Account) -> None:
    account.meets_writing("400")
    (answer,) = account.send(1)
    assert (answer.verdict, answer.reason) == (Verdict.REJECTED, "Klaviyo refuses it: Something went wrong")
    assert account.sandbox.events == []


def test_a_refused_key_stops(account: Account) -> None:
    with pytest.raises(DestinationStopped, match="events:write") as stopped:
        account.send(1, key="pk_wrong")
    assert "pk_wrong" not in str(stopped.value)


def test_a_key_that_may_not_tell_of_events_stops(account: Account) -> None:
    account.meets_writing("403")
    with pytest.raises(DestinationStopped, match="403"):
        account.send(1)


def test_told_to_stop_while_it_waits_nothing_more_is_sent(account: Account) -> None:
    asked = iter([None, KeyError("paused")])

    def before() -> None:
        error = next(asked)
        if error is not None:
            raise error
        account.meets("503")

    with pytest.raises(KeyError, match="paused"):
        account.open().send(told(row(1)), before)
    assert account.sandbox.events == []
