"""What each answer makes of a row."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest

from segmentry.engine.connectors.destination import Answer, DestinationStopped, Verdict
from segmentry.engine.connectors.memory import Behaviour, answers, applies_then, raises, stops, throttles, times_out
from segmentry.engine.telling import JITTER, WAITS
from tests.delivery.outbox import MEMORY, START, Outbox, row_id, stamp, watched

UNSAFE = MEMORY.replace("batch: 1", "repeat_safe: false")
LATER = Answer(Verdict.LATER, "not now")


def first(outbox: Outbox, *behaviours: Behaviour, **settings: Any) -> Any:
    """What row `a` is after the destination behaved so."""
    if outbox.row("a") is None:
        outbox.put("a")
    outbox.memory.will(*behaviours)
    outbox.deliver(**settings)
    return outbox.row("a")


def test_sent_keeps_the_remote_id(outbox: Outbox) -> None:
    row = first(outbox, applies_then(Answer(Verdict.SENT, remote_id="r_1")))
    assert (row.outcome, row.remote_id, row.error) == ("sent", "r_1", None)


def test_rejected_ends_with_the_reason(outbox: Outbox) -> None:
    row = first(outbox, answers(Answer(Verdict.REJECTED, "no such city")))
    assert (row.outcome, row.reason, row.ended, row.attempts) == ("rejected", "no such city", stamp(START), 1)


def test_rejected_fails_the_delivery(outbox: Outbox) -> None:
    outbox.put("a")
    outbox.memory.will(answers(Answer(Verdict.REJECTED, "no")))
    assert outbox.deliver().failed


def test_rejected_again_is_tried_five_times_in_all(outbox: Outbox) -> None:
    again = answers(Answer(Verdict.REJECTED, "not yet", again=True))
    for attempt in range(1, 5):
        row = first(outbox, again)
        assert (row.outcome, row.attempts, row.error, row.maybe) == ("pending", attempt, "not yet", False)
        outbox.clock.now = outbox.clock.now + WAITS[attempt - 1]
    row = first(outbox, again)
    assert (row.outcome, row.reason, row.attempts) == ("rejected", "not yet (after 5 attempts)", 5)


def test_later_waits_longer_and_longer_and_at_last_a_day(outbox: Outbox) -> None:
    outbox.config = MEMORY.replace("destination: mem}", "destination: mem, expires: 1000 hours}")
    waited = []
    for _ in range(len(WAITS) + 2):
        row = first(outbox, answers(LATER))
        assert row.outcome == "pending"
        waited.append(_until(row, outbox))
        outbox.clock.now += waited[-1]
    assert waited == [*WAITS, WAITS[-1], WAITS[-1]]
    assert first(outbox).outcome == "sent"


@pytest.mark.parametrize("drawn", [0.0, 1.0])
def test_waits_differ_a_little(outbox: Outbox, drawn: float) -> None:
    row = first(outbox, answers(LATER), draw=lambda: drawn)
    assert _until(row, outbox) == WAITS[0] * (1 + JITTER * (1 if drawn else -1))


def _until(row: Any, outbox: Outbox) -> timedelta:
    return datetime.fromisoformat(row.due) - outbox.clock()


def test_later_says_so_and_fails_the_delivery(outbox: Outbox) -> None:
    outbox.put("a")
    outbox.memory.will(answers(LATER))
    found = outbox.deliver()
    assert (found.destinations["mem"].later, found.failed) == (1, True)
    assert outbox.row("a").error == "not now"


def test_later_that_was_made_good_within_the_delivery_is_no_failure(outbox: Outbox) -> None:
    outbox.put("a", "b")
    outbox.memory.will(answers(LATER))
    found = outbox.deliver(open=watched(after=lambda _: outbox.clock.pass_(seconds=6)))
    assert (found.destinations["mem"].sent, found.destinations["mem"].later, found.failed) == (2, 0, False)


def test_a_destination_is_waited_for_as_long_as_it_asks(outbox: Outbox) -> None:
    outbox.put("a", "b")
    outbox.memory.will(throttles(20.0))
    found = outbox.deliver()
    assert outbox.clock.naps == [20.0]
    assert sorted(outbox.outcomes().values()) == ["sent", "sent"], "after the wait the row that was put off is due, too"
    assert not found.failed


def test_a_destination_that_asks_for_more_than_a_minute_is_left(outbox: Outbox) -> None:
    ids = outbox.put("a", "b", "c")
    outbox.memory.will(throttles(3600.0))
    found = outbox.deliver()
    assert outbox.clock.naps == []
    assert found.destinations["mem"].messages == ("it asks to wait 3,600 seconds",)
    assert (found.destinations["mem"].later, found.destinations["mem"].left, found.failed) == (1, 2, True)
    first_row, *others = (outbox.row(name) for name in sorted("abc", key=row_id))
    assert first_row.due == stamp(START + timedelta(hours=1))
    assert [(row.outcome, row.attempts, row.due) for row in others] == [("pending", 0, stamp(START))] * 2
    assert len(ids) == 3


def test_what_may_have_arrived_is_asked_again_where_that_does_no_harm(outbox: Outbox) -> None:
    row = first(outbox, times_out())
    assert (row.outcome, row.maybe) == ("pending", True)
    outbox.clock.now += WAITS[0]
    row = first(outbox, answers(LATER))
    assert (row.outcome, row.maybe) == ("pending", True), "no later answer takes that back"
    outbox.clock.now += WAITS[1]
    assert first(outbox).outcome == "sent"
    assert outbox.memory.repeated == {row_id("a"): 2}


def test_what_may_have_arrived_is_unknown_where_asking_again_repeats_it(outbox: Outbox) -> None:
    outbox.config = UNSAFE
    row = first(outbox, times_out())
    assert (row.outcome, row.maybe, row.ended) == ("unknown", True, None)
    outbox.clock.pass_(days=1)
    outbox.deliver()
    assert outbox.memory.times[row_id("a")] == 1


def test_later_without_a_doubt_is_tried_again_everywhere(outbox: Outbox) -> None:
    outbox.config = UNSAFE
    assert first(outbox, answers(LATER)).outcome == "pending"


def test_unknown_waits_for_a_person_and_fails_the_delivery(outbox: Outbox) -> None:
    outbox.put("a")
    outbox.memory.will(answers(Answer(Verdict.UNKNOWN, "the connection broke")))
    found = outbox.deliver()
    row = outbox.row("a")
    assert (row.outcome, row.reason, found.failed, found.destinations["mem"].unknown) == ("unknown", "the connection broke", True, 1)


# ---------------------------------------------------------------- the whole destination


def test_a_destination_that_stops_is_left_and_no_attempt_counts(outbox: Outbox) -> None:
    outbox.put("a", "b")
    outbox.memory.will(stops("the key is refused"))
    found = outbox.deliver()
    assert [(outbox.row(name).outcome, outbox.row(name).attempts) for name in "ab"] == [("pending", 0)] * 2
    assert len(outbox.memory.requests) == 1
    assert found.destinations["mem"].messages == ("it stopped: the key is refused",)
    assert (found.failed, outbox.stopped(), outbox.pauses()) == (True, "the key is refused", {})
    assert outbox.deliver().destinations["mem"].sent == 2
    assert outbox.stopped() is None


def test_a_receiver_that_is_gone_stays_paused(outbox: Outbox) -> None:
    outbox.put("a")
    outbox.memory.will(stops("gone (410)", disabled=True))
    outbox.deliver()
    assert outbox.pauses() == {"mem": "gone (410)"}
    found = outbox.deliver()
    assert len(outbox.memory.requests) == 1
    assert found.destinations["mem"].messages == ("it is paused: gone (410)",)


def test_another_destination_goes_on_beside_one_that_stops(outbox: Outbox) -> None:
    outbox.config = (
        "destinations: {mem: {type: memory}, other: {type: memory}}\nsequences: {welcome: {destination: mem}, vip: {destination: other}}\n"
    )
    outbox.put("a")
    outbox.put("b", sequence="vip", destination="other")
    outbox.memory.will(stops("no"))
    outbox.deliver()
    assert outbox.outcomes() == {"a": "pending", "b": "sent"}


SECRET = "whsec_a@example.com"


def test_a_connector_s_bug_loses_no_row_and_its_text_is_not_shown(outbox: Outbox) -> None:
    outbox.put("a", "b")
    outbox.memory.will(raises(ValueError(SECRET), applies=True))
    found = outbox.deliver()
    mine = found.destinations["mem"]
    assert (mine.sent, mine.later, found.failed) == (1, 1, True)
    assert mine.messages == ("a bug in its connector (ValueError), 1 times",)
    (row,) = (outbox.row(name) for name in "ab" if outbox.row(name).outcome == "pending")
    assert (row.maybe, row.error, row.attempts) == (True, "the connector failed (ValueError)", 1)
    assert SECRET not in repr(found)


def test_a_connector_s_bug_is_unknown_where_asking_again_repeats_it(outbox: Outbox) -> None:
    outbox.config = UNSAFE
    assert first(outbox, raises(ValueError(SECRET), applies=True)).outcome == "unknown"
    assert SECRET not in repr(outbox.row("a"))


def test_a_connector_that_fails_and_fails_is_left(outbox: Outbox) -> None:
    outbox.put(*"abcdefgh")
    outbox.memory.will(*[raises(ValueError(SECRET), applies=False)] * 8)
    found = outbox.deliver()
    assert len(outbox.memory.requests) == 3
    assert (found.destinations["mem"].later, found.destinations["mem"].left) == (3, 5)


def test_a_destination_that_is_down_is_left_and_few_attempts_are_lost(outbox: Outbox) -> None:
    outbox.put(*(f"c{number:02}" for number in range(60)))
    outbox.memory.will(*[answers(LATER)] * 60)
    found = outbox.deliver()
    assert len(outbox.memory.requests) == 20
    assert found.destinations["mem"].messages == ("20 requests in a row came to nothing",)
    assert (found.destinations["mem"].later, found.destinations["mem"].left) == (20, 40)


@pytest.mark.parametrize("wrong", [[], [None], [Answer(Verdict.SENT)] * 2])
def test_an_answer_that_is_none_is_a_bug(outbox: Outbox, wrong: list[Any]) -> None:
    outbox.put("a")

    def opened(*arguments: Any) -> Any:
        destination = watched()(*arguments)
        destination.send = lambda batch, before: (before(), wrong)[1]
        return destination

    found = outbox.deliver(open=opened)
    assert outbox.row("a").outcome == "pending"
    assert "a bug in its connector" in found.destinations["mem"].messages[-1]


def test_a_connector_that_makes_an_answer_of_what_before_raises_sends_nothing(outbox: Outbox) -> None:
    outbox.put("a")

    def opened(*arguments: Any) -> Any:
        destination = watched()(*arguments)

        def send(batch: Any, before: Any) -> Any:
            outbox.change("a", stop="left the segment")
            with suppress(Exception):
                before()
            return [Answer(Verdict.SENT)]

        destination.send = send
        return destination

    outbox.deliver(open=opened)
    assert outbox.row("a").outcome == "withdrawn"


def test_a_connector_that_can_t_be_opened_closed_or_asked(outbox: Outbox) -> None:
    outbox.put("a")

    def broken(*_: Any) -> Any:
        raise KeyError(SECRET)

    found = outbox.deliver(open=broken)
    assert found.destinations["mem"].messages == ("destination `mem` can't be opened: a bug in its connector (KeyError)",)
    for method in ("account", "close"):

        def opened(*arguments: Any, method: str = method) -> Any:
            destination = watched()(*arguments)
            setattr(destination, method, broken)
            return destination

        found = outbox.deliver(open=opened)
        assert "a bug in its connector (KeyError)" in found.destinations["mem"].messages[-1]
        assert found.failed
    assert outbox.row("a").outcome == "sent", "it was only closed badly"


def test_a_missing_variable_is_told_and_nothing_is_lost(outbox: Outbox) -> None:
    outbox.config = (
        'destinations: {hook: {type: webhook, url: "https://hooks.example.com/x", secrets: ["${HOOK_SECRET}"]}}\n'
        "sequences: {welcome: {destination: hook}}\n"
    )
    outbox.put("a", destination="hook")
    found = outbox.deliver()
    assert "HOOK_SECRET is not set" in found.destinations["hook"].messages[0]
    assert (found.failed, outbox.outcomes()) == (True, {"a": "pending"})


# ---------------------------------------------------------------- accounts


def with_account(account: str | None) -> Any:
    def opened(*arguments: Any) -> Any:
        destination = watched()(*arguments)
        destination.account = lambda: account
        return destination

    return opened


def test_an_account_is_pinned_at_first_use(outbox: Outbox) -> None:
    outbox.put("a")
    outbox.deliver(open=with_account("acct_1"))
    outbox.put("b")
    outbox.deliver(open=with_account("acct_1"))
    assert outbox.row("b").outcome == "sent"
    outbox.put("c")
    for other in ("acct_2", None):
        found = outbox.deliver(open=with_account(other))
        assert (
            "was first used with `acct_1`: another account needs a destination of another name; nothing was sent"
            in found.destinations["mem"].messages[0]
        )
        assert found.failed
    assert (outbox.row("c").outcome, outbox.row("c").attempts) == ("pending", 0)


def test_an_account_in_the_file_must_be_the_one(outbox: Outbox) -> None:
    outbox.config = MEMORY.replace("batch: 1", "batch: 1, account: acct_1")
    outbox.put("a")
    for other in ("acct_2", None):
        found = outbox.deliver(open=with_account(other))
        assert "its `account:` says `acct_1`; nothing was sent" in found.destinations["mem"].messages[0]
    assert outbox.memory.requests == []
    outbox.deliver(open=with_account("acct_1"))
    assert outbox.row("a").outcome == "sent"


def test_a_destination_that_stops_when_asked_for_its_account(outbox: Outbox) -> None:
    outbox.put("a")

    def opened(*arguments: Any) -> Any:
        destination = watched()(*arguments)

        def account() -> str:
            raise DestinationStopped("the key is refused")

        destination.account = account
        return destination

    found = outbox.deliver(open=opened)
    assert "can't say whose account it is: the key is refused" in found.destinations["mem"].messages[0]
    assert outbox.row("a").outcome == "pending"


def test_nothing_that_is_shown_has_an_address(outbox: Outbox) -> None:
    outbox.put("a", "b", "c")
    outbox.memory.will(stops("refused"))
    found = outbox.deliver()
    assert "@" not in repr(found)
    assert "@" not in str(found.to_json())


def test_many_threads_record_each_answer_once(outbox: Outbox) -> None:
    outbox.config = MEMORY.replace("batch: 1", "parallel: 8")
    names = [f"c{number:03}" for number in range(400)]
    outbox.put(*names)
    lock, odd = threading.Lock(), set()

    def reject(row: Any) -> Answer:
        with lock:
            if len(odd) < 100:
                odd.add(row.contact)
                return Answer(Verdict.REJECTED, "odd")
        return Answer(Verdict.SENT)

    outbox.memory.will(*[answers(reject)] * 400)
    found = outbox.deliver()
    assert (found.destinations["mem"].sent, found.destinations["mem"].rejected) == (300, 100)
    assert {name for name, outcome in outbox.outcomes().items() if outcome == "rejected"} == odd
