"""What can go wrong between us and Klaviyo while a list is kept in step, one by one, over real HTTP.

After every test nobody's consent has changed, the list has who was acknowledged and who was put there by hand, nothing forbidden was
asked for, and every body was as our schemas say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from segmentry.engine.connectors.destination import Answer, DestinationStopped, Verdict
from segmentry.engine.connectors.syncing import Notes
from tests.connectors.klaviyo.conftest import QUICK, Account, change, changes

MANY = 102
JOBS = ("POST", "/api/profile-bulk-import-jobs")
JOB = ("GET", "/api/profile-bulk-import-jobs/{id}")
ADD = ("POST", "/api/lists/{id}/relationships/profiles")
REMOVE = ("DELETE", "/api/lists/{id}/relationships/profiles")


def by_verdict(answers: list[Answer]) -> dict[str, int]:
    found: dict[str, int] = {}
    for answer in answers:
        found[str(answer.verdict)] = found.get(str(answer.verdict), 0) + 1
    return found


def all_sent(answers: list[Answer]) -> bool:
    return all(answer.verdict is Verdict.SENT for answer in answers)


class Kept:
    """Notes as the engine keeps them: what was stored is there for another process."""

    def __init__(self) -> None:
        self.stored: Mapping[str, Any] = {}

    def notes(self) -> Notes:
        return Notes(self.stored, self._store)

    def _store(self, kept: Mapping[str, Any]) -> None:
        self.stored = kept


class KilledError(BaseException):
    """A process that is no more."""


# ---------------------------------------------------------------- throttled


def test_throttled_before_anything_waits_as_long_as_asked_and_goes_on(account: Account) -> None:
    account.meets("429-after")
    assert all_sent(account.add(*changes(2)))
    assert account.time.seconds == 1.0


def test_throttled_without_a_time_waits_by_itself(account: Account) -> None:
    account.meets_writing("429", "429")
    assert all_sent(account.add(change(1)))


def test_throttled_in_the_middle_of_many_loses_nobody(account: Account) -> None:
    account.meets_writing(None, "429-after", None, "429")
    assert all_sent(account.add(*changes(4)))


def test_a_whole_minute_s_quota_is_waited_for(account: Account) -> None:
    account.sandbox.rates.times = 0.02
    began = account.time.seconds
    assert all_sent(account.add(*changes(3)))
    assert account.time.seconds > began


def test_asked_to_wait_an_hour_leaves_the_rest_for_then(account: Account) -> None:
    account.meets_writing("503-after-long")
    answers = account.add(*changes(3))
    assert by_verdict(answers) == {"later": 3}
    assert {answer.after for answer in answers} == {3600.0}
    assert all_sent(account.add(*changes(3)))


# ---------------------------------------------------------------- trouble


def test_trouble_once_is_tried_again_within_the_call(account: Account) -> None:
    account.meets("503", "500", "502")
    assert all_sent(account.add(*changes(2)))


def test_trouble_that_lasts_leaves_all_for_later_and_nothing_was_done(account: Account) -> None:
    account.sandbox.cruelty.set(["503"], share=1.0)
    answers = account.add(*changes(3))
    assert by_verdict(answers) == {"later": 3}
    assert account.members == set()


def test_trouble_after_the_profile_was_made_makes_no_second_one(account: Account) -> None:
    account.meets_writing("500-applied")
    assert all_sent(account.add(change(1)))
    assert len(account.sandbox.profiles) == 1


def test_no_answer_to_a_question_is_asked_again(account: Account) -> None:
    account.meets("reset")
    assert all_sent(account.add(change(1)))


def test_no_answer_to_one_of_some_leaves_that_one_for_later(account: Account) -> None:
    account.meets_writing(None, "reset-applied")
    answers = account.add(*changes(3))
    assert [answer.verdict for answer in answers] == [Verdict.SENT, Verdict.LATER, Verdict.SENT]
    assert answers[1].maybe
    assert all_sent(account.add(change(2)))
    assert len(account.sandbox.profiles) == 3


def test_a_hang_ends_with_the_timeout(account: Account) -> None:
    account.meets_writing("hang-applied")
    (answer,) = account.add(change(1), timeout=QUICK)
    assert (answer.verdict, answer.maybe, answer.reason) == (Verdict.LATER, True, "Klaviyo did not answer in time")


def test_half_an_answer_to_a_question_is_asked_again(account: Account) -> None:
    account.meets("malformed", "truncated")
    assert all_sent(account.add(change(1)))


def test_half_an_answer_that_names_no_profile_is_for_later(account: Account) -> None:
    account.meets_writing("malformed")
    (answer,) = account.add(change(1))
    assert (answer.verdict, answer.maybe) == (Verdict.LATER, True)
    assert all_sent(account.add(change(1)))


def test_a_page_for_people_is_none_of_klaviyo_s(account: Account) -> None:
    account.meets("html", "html", "html", "html", "html")
    (answer,) = account.add(change(1))
    assert (answer.verdict, "something between us" in str(answer.reason)) == (Verdict.LATER, True)


def test_nobody_listening_is_for_later(account: Account) -> None:
    account.sandbox.close()
    (answer,) = account.add(change(1))
    assert (answer.verdict, answer.reason) == (Verdict.LATER, "Klaviyo could not be reached")


# ---------------------------------------------------------------- stopped


def test_a_refused_key_stops_and_says_which_scopes_without_the_key(account: Account) -> None:
    with pytest.raises(DestinationStopped, match="profiles:read profiles:write") as stopped:
        account.add(change(1), key="pk_wrong")
    assert "pk_wrong" not in str(stopped.value)


def test_a_forbidden_request_stops(account: Account) -> None:
    account.meets_writing("403")
    with pytest.raises(DestinationStopped, match="403"):
        account.add(change(1))


def test_a_version_that_is_no_more_stops(account: Account) -> None:
    account.meets("410")
    with pytest.raises(DestinationStopped, match="newer Segmentry"):
        account.add(change(1))


def test_a_redirect_stops(account: Account) -> None:
    account.meets("redirect")
    with pytest.raises(DestinationStopped, match="redirects"):
        account.add(change(1))


@pytest.mark.parametrize("count", [1, MANY])
def test_a_list_that_is_not_there_stops_before_anything_is_written(account: Account, count: int) -> None:
    account.list_id = "NoList"
    with pytest.raises(DestinationStopped, match="no list `NoList`"):
        account.add(*changes(count))
    assert account.sandbox.profiles == []


# ---------------------------------------------------------------- refused


def test_a_question_that_is_refused_condemns_nobody(account: Account) -> None:
    account.meets("400")
    (answer,) = account.add(change(1))
    assert (answer.verdict, answer.again) == (Verdict.REJECTED, True)


@pytest.mark.parametrize("count", [1, 3])
def test_where_every_question_is_refused_nobody_is_taken_for_gone(account: Account, count: int) -> None:
    known = account.added(count)
    account.meets(*["400"] * 20)
    answers = account.update(*known)
    assert {(one.verdict, one.again) for one in answers} == {(Verdict.REJECTED, True)}


def test_an_address_that_is_none_is_rejected_for_good_and_the_others_are_not(account: Account) -> None:
    account.sandbox.make_invalid("p2@example.com")
    answers = account.add(*changes(3))
    assert [answer.verdict for answer in answers] == [Verdict.SENT, Verdict.REJECTED, Verdict.SENT]
    assert (answers[1].again, answers[1].reason) == (False, "Klaviyo refuses it: Invalid input (`email`)")


def test_a_phone_number_that_is_none_is_rejected_by_its_field_and_not_repeated(account: Account) -> None:
    (answer,) = account.add(change(1, fields={"phone_number": "0123 456"}))
    assert (answer.verdict, answer.reason) == (Verdict.REJECTED, "Klaviyo refuses it: Invalid input (`phone_number`)")


def test_a_refusal_of_all_members_that_names_none_is_found_out_by_halves(account: Account) -> None:
    account.meets_writing(*[None] * 4, "400")
    assert all_sent(account.add(*changes(4)))
    assert len(account.asked(*ADD)) == 3


def test_a_profile_that_is_gone_before_it_is_put_on_the_list_is_rejected_alone(account: Account) -> None:
    def before() -> None:
        if len(account.sandbox.profiles) == 3 and not account.asked(*ADD):
            account.sandbox.delete_profile("p2@example.com")

    answers = account.add(*changes(3), before=before)
    assert [answer.verdict for answer in answers] == [Verdict.SENT, Verdict.REJECTED, Verdict.SENT]
    assert answers[1].again


def test_a_key_that_another_profile_took_meanwhile_puts_the_address_on_the_list(account: Account) -> None:
    account.send(2)
    account.meets_writing("409")
    assert all_sent(account.add(change(1)))
    assert account.members == {"p1@example.com"}


def test_a_job_that_is_too_large_is_cut(account: Account) -> None:
    account.meets_writing("413")
    assert all_sent(account.add(*changes(MANY)))
    assert len(account.asked(*JOBS)) == 3


def test_a_job_in_which_a_row_is_wrong_goes_without_it(account: Account) -> None:
    rows = changes(MANY)
    # under 100 KB as we write it, and over it as the sandbox does: with spaces
    rows[10] = replace(rows[10], fields={f"k{number}": 0 for number in range(10_000)})
    answers = account.add(*rows)
    assert by_verdict(answers) == {"sent": MANY - 1, "rejected": 1}
    assert answers[10].verdict is Verdict.REJECTED
    assert len(account.asked(*JOBS)) == 2


def test_a_request_that_is_always_refused_ends(account: Account) -> None:
    account.meets_writing(*["400"] * 200)
    answers = account.add(*changes(MANY))
    assert by_verdict(answers) == {"rejected": MANY}
    assert len(account.asked(*JOBS)) < 120


# ---------------------------------------------------------------- jobs


def test_a_job_is_polled_to_its_end_and_not_believed_before(account: Account) -> None:
    assert all_sent(account.add(*changes(MANY)))
    assert len(account.asked(*JOB)) == 3


def test_a_complete_job_with_failed_rows_rejects_those_and_no_others(account: Account) -> None:
    account.meets_writing("job-failures")
    answers = account.add(*changes(MANY))
    assert [number for number, answer in enumerate(answers) if answer.verdict is Verdict.REJECTED] == list(range(2, MANY, 3))
    assert by_verdict(answers) == {"sent": 68, "rejected": 34}


def test_more_errors_than_a_page_holds_are_all_read(account: Account) -> None:
    account.meets_writing("job-failures")
    answers = account.add(*changes(400))
    assert by_verdict(answers) == {"sent": 267, "rejected": 133}
    assert len(account.asked("GET", "/api/profile-bulk-import-jobs/{id}/import-errors")) == 2


def test_a_complete_job_of_which_everything_failed_rejects_everybody(account: Account) -> None:
    account.meets_writing("job-all-failed")
    assert by_verdict(account.add(*changes(MANY))) == {"rejected": MANY}


def test_errors_without_a_payload_are_brought_home_by_their_place(account: Account) -> None:
    account.meets_writing("job-failures")
    account.meets("errors-bare")
    answers = account.add(*changes(MANY))
    assert [number for number, answer in enumerate(answers) if answer.verdict is Verdict.REJECTED] == list(range(2, MANY, 3))
    assert not any(answer.again for answer in answers)


def test_errors_that_name_no_row_leave_it_to_the_list_who_was_added(account: Account) -> None:
    account.meets_writing("job-failures")
    account.meets("errors-blind")
    answers = account.add(*changes(MANY))
    assert by_verdict(answers) == {"sent": 68, "rejected": 34}
    assert all(answer.again for answer in answers if answer.verdict is Verdict.REJECTED)


def test_errors_of_an_update_that_name_no_row_acknowledge_nobody(account: Account) -> None:
    known = account.added(MANY)
    account.meets_writing("job-failures")
    account.meets("errors-blind")
    answers = account.update(*(replace(one, fields={"ltv": "low"}) for one in known))
    assert by_verdict(answers) == {"rejected": MANY}
    assert all(answer.again for answer in answers)


def test_a_page_of_errors_that_does_not_say_whether_there_is_another_is_not_taken_for_the_last(account: Account) -> None:
    kept = Kept()
    account.meets_writing("job-failures")
    account.meets_after(*JOB, "no-links")
    assert by_verdict(account.add(*changes(400), notes=kept.notes())) == {"later": 400}
    assert by_verdict(account.add(*changes(400), notes=kept.notes())) == {"sent": 267, "rejected": 133}
    assert len(account.asked(*JOBS)) == 1


def test_a_cancelled_job_is_submitted_anew_the_next_time(account: Account) -> None:
    kept = Kept()
    account.meets_writing("job-cancelled")
    answers = account.add(*changes(MANY), notes=kept.notes())
    assert by_verdict(answers) == {"rejected": MANY}
    assert all(answer.again for answer in answers)
    assert all_sent(account.add(*changes(MANY), notes=kept.notes()))


def test_of_a_job_cancelled_half_way_who_is_on_the_list_is_acknowledged(account: Account) -> None:
    account.meets_writing("job-cancelled-half")
    answers = account.add(*changes(MANY))
    assert by_verdict(answers) == {"sent": MANY // 2, "rejected": MANY // 2}


def test_a_job_that_takes_longer_than_our_patience_is_polled_on_later_and_not_submitted_again(account: Account) -> None:
    kept = Kept()
    account.meets_writing("job-slow")
    answers = account.add(*changes(MANY), notes=kept.notes(), patience=30.0)
    assert by_verdict(answers) == {"later": MANY}
    assert {(answer.reason, answer.maybe) for answer in answers} == {("Klaviyo is still importing", True)}
    assert all_sent(account.add(*changes(MANY), notes=kept.notes(), patience=600.0))
    assert len(account.asked(*JOBS)) == 1


def test_polling_that_is_throttled_goes_on(account: Account) -> None:
    account.meets_after(*JOBS, "429-after", "503", "reset")
    assert all_sent(account.add(*changes(MANY)))
    assert len(account.asked(*JOBS)) == 1


def test_a_job_whose_answer_was_not_heard_does_no_harm_when_it_is_submitted_again(account: Account) -> None:
    kept = Kept()
    account.meets_writing("reset-applied")
    answers = account.add(*changes(MANY), notes=kept.notes())
    assert by_verdict(answers) == {"later": MANY}
    assert all_sent(account.add(*changes(MANY), notes=kept.notes()))
    assert len(account.sandbox.profiles) == MANY


def test_a_job_whose_answer_names_none_is_for_later(account: Account) -> None:
    account.meets_writing("malformed")
    assert by_verdict(account.add(*changes(MANY))) == {"later": MANY}
    assert all_sent(account.add(*changes(MANY)))


def test_a_job_that_is_not_known_any_more_leaves_it_to_the_list(account: Account) -> None:
    kept = Kept()
    account.meets_writing("job-slow")
    account.add(*changes(MANY), notes=kept.notes(), patience=10.0)
    account.sandbox.world.jobs.clear()
    answers = account.add(*changes(MANY), notes=kept.notes())
    assert by_verdict(answers) == {"rejected": MANY}
    assert all_sent(account.add(*changes(MANY), notes=kept.notes()))


# ---------------------------------------------------------------- killed, and told to stop


def killed(account: Account, writes: int):
    """A `before` that lets so many requests go, and then is the end of the process."""
    left = writes

    def before() -> None:
        nonlocal left
        if not left:
            raise KilledError
        left -= 1
        account.before()

    return before


@pytest.mark.parametrize("writes", range(4))
def test_killed_before_any_request_the_same_batch_again_completes_it(account: Account, writes: int) -> None:
    with pytest.raises(KilledError):
        account.add(*changes(3), before=killed(account, writes))
    assert all_sent(account.add(*changes(3)))
    assert len(account.sandbox.profiles) == 3


def test_killed_while_it_polls_the_next_process_polls_on(account: Account) -> None:
    kept = Kept()
    slept = account.time.sleep

    def sleep(seconds: float) -> None:
        slept(seconds)
        if account.asked(*JOB):
            raise KilledError

    account.time.sleep = sleep  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        account.add(*changes(MANY), notes=kept.notes())
    account.time.sleep = slept  # type: ignore[method-assign]
    assert kept.stored["jobs"]
    assert all_sent(account.add(*changes(MANY), notes=kept.notes()))
    assert len(account.asked(*JOBS)) == 1


def test_rows_that_were_left_out_of_a_job_are_answered_when_it_is_polled_on(account: Account) -> None:
    kept = Kept()
    rows = changes(MANY)
    rows[10] = replace(rows[10], fields={f"k{number}": 0 for number in range(10_000)})
    assert by_verdict(account.add(*rows, notes=kept.notes(), patience=1.0)) == {"later": MANY - 1, "rejected": 1}
    assert by_verdict(account.add(*rows, notes=kept.notes())) == {"sent": MANY - 1, "rejected": 1}


def test_killed_between_removing_and_hearing_of_it_nobody_counts_as_taken_off_by_hand(account: Account) -> None:
    kept = Kept()
    known = account.added(3)
    account.meets_writing("hang-applied")
    assert by_verdict(account.remove(*known, notes=kept.notes(), timeout=QUICK)) == {"later": 3}
    account.acknowledged.clear()
    assert all_sent(account.remove(*known, notes=kept.notes()))
    assert account.members == set()


def test_told_to_stop_nothing_more_is_asked(account: Account) -> None:
    with pytest.raises(KilledError):
        account.add(*changes(5), before=killed(account, 2))
    assert len(account.asked("POST", "/api/profile-import")) == 2
    assert account.members == set()


# ---------------------------------------------------------------- people act meanwhile


def test_who_unsubscribes_while_the_job_runs_stays_unsubscribed(account: Account) -> None:
    kept = Kept()
    account.sandbox.add_by_hand("Newsletter", "p1@example.com")
    account.sandbox.remove_from_list("Newsletter", "p1@example.com")
    account.add(*changes(MANY), notes=kept.notes(), patience=1.0)
    account.unsubscribe(1)
    assert all_sent(account.add(*changes(MANY), notes=kept.notes()))


def test_who_is_put_on_the_list_by_hand_while_others_are_removed_stays(account: Account) -> None:
    known = account.added(2)

    def before() -> None:
        account.put_by_hand("other@example.com")

    assert all_sent(account.remove(*known, before=before))
    assert account.members == {"other@example.com"}


def test_removing_that_is_refused_once_is_found_out_by_halves(account: Account) -> None:
    known = account.added(4)
    account.meets_writing("400")
    assert all_sent(account.remove(*known))
    assert len(account.asked(*REMOVE)) == 3
