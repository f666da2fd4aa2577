"""The last look before each request, and senders that take over from others."""

from __future__ import annotations

from datetime import timedelta
from time import sleep
from typing import Any

import pytest

from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.memory import answers, raises
from segmentry.engine.state.lease import EXPIRY_SECONDS, hold
from segmentry.engine.state.state import wall_clock
from tests.delivery.outbox import ID, MEMORY, START, Outbox, row_id, stamp, watched

TWO = "destinations: {mem: {type: memory}}\nsequences: {welcome: {destination: mem}, vip: {destination: mem}}\n"
UNSAFE = MEMORY.replace("batch: 1", "repeat_safe: false")


def asked(outbox: Outbox) -> set[str]:
    return {row.contact for batch in outbox.memory.requests for row in batch.rows}


def once(outbox: Outbox, doing: Any) -> Any:
    """An `open` that does something right before the first look, and then no more."""
    todo = [doing]
    return watched(before=lambda batch: todo.pop()(batch) if todo else None)


@pytest.mark.parametrize(("stop", "outcome"), [("left the segment", "withdrawn"), ("suppressed after entry", "suppressed")])
def test_a_row_that_a_run_stopped_does_not_go(outbox: Outbox, stop: str, outcome: str) -> None:
    outbox.put("a")
    found = outbox.deliver(open=once(outbox, lambda _: outbox.change("a", stop=stop)))
    row = outbox.row("a")
    assert (row.outcome, row.reason, row.ended, row.attempts) == (outcome, stop, stamp(START), 0)
    assert outbox.memory.requests == []
    assert (found.destinations["mem"].withdrawn, found.failed) == (1, False)


def test_of_a_batch_only_the_stopped_row_stays_behind(outbox: Outbox) -> None:
    outbox.config = MEMORY.replace("batch: 1", "batch: 3")
    outbox.put("a", "b", "c")
    outbox.deliver(open=once(outbox, lambda _: outbox.change("b", stop="left the segment")))
    assert outbox.outcomes() == {"a": "sent", "b": "withdrawn", "c": "sent"}
    assert [len(batch.rows) for batch in outbox.memory.requests] == [2]
    assert outbox.row("a").attempts == 1


def test_a_row_stopped_after_it_may_have_arrived_says_so(outbox: Outbox) -> None:
    outbox.put("a")

    def stop(_: Any) -> None:
        outbox.change("a", stop="left the segment")

    later = answers(Answer(Verdict.LATER, "not in time", maybe=True))
    outbox.memory.will(later)
    outbox.deliver(open=watched(after=stop))
    assert (outbox.row("a").outcome, outbox.row("a").reason) == ("withdrawn", "left the segment; it may have arrived")


def test_a_row_that_was_sent_before_the_stop_is_sent(outbox: Outbox) -> None:
    outbox.put("a")
    outbox.deliver(open=watched(after=lambda _: outbox.change("a", stop="left the segment")))
    assert outbox.row("a").outcome == "sent"


def test_a_forgotten_row_does_not_go_and_does_not_come_back(outbox: Outbox) -> None:
    outbox.config = MEMORY.replace("batch: 1", "batch: 2")
    outbox.put("a", "b")
    outbox.deliver(open=once(outbox, lambda _: outbox.forget("a")))
    assert outbox.outcomes() == {"b": "sent"}
    assert asked(outbox) == {"b"}


def test_a_row_forgotten_while_it_is_asked_is_not_written_again(outbox: Outbox) -> None:
    outbox.put("a")
    outbox.deliver(open=watched(after=lambda _: outbox.forget("a")))
    assert outbox.outcomes() == {}


@pytest.mark.parametrize("name", ["*", "mem"])
def test_a_pause_works_before_the_next_request(outbox: Outbox, name: str) -> None:
    outbox.put("a", "b", "c")
    outbox.deliver(open=once(outbox, lambda _: outbox.pause(name)))
    assert outbox.memory.requests == []
    found = outbox.deliver()
    assert found.destinations["mem"].messages == ({"*": "everything is paused", "mem": "it is paused"}[name],)
    assert (found.destinations["mem"].left, found.failed) == (3, False)
    assert [(outbox.row(one).outcome, outbox.row(one).attempts) for one in "abc"] == [("pending", 0)] * 3


def test_a_paused_sequence_waits_and_the_others_go(outbox: Outbox) -> None:
    outbox.config = TWO
    outbox.put("a")
    outbox.put("b", sequence="vip")
    found = outbox.deliver(open=once(outbox, lambda _: outbox.pause("vip")))
    assert outbox.outcomes() == {"a": "sent", "b": "pending"}
    assert found.destinations["mem"].left == 1
    assert outbox.deliver().destinations["mem"].messages == ("sequence `vip` is paused",)


def test_a_sequence_paused_in_the_file_waits(outbox: Outbox) -> None:
    outbox.config = TWO.replace("vip: {destination: mem", "vip: {destination: mem, paused: true")
    outbox.put("a")
    outbox.put("b", sequence="vip")
    found = outbox.deliver()
    assert outbox.outcomes() == {"a": "sent", "b": "pending"}
    assert found.destinations["mem"].messages == ("sequence `vip` is paused in segmentry.yml",)


def test_the_guard_of_suppress_holds_all_delivery(outbox: Outbox) -> None:
    outbox.put("a", "b")
    outbox.deliver(open=once(outbox, lambda _: outbox.hold("suppress")))
    found = outbox.deliver()
    assert outbox.memory.requests == []
    assert found.destinations["mem"].messages == ("the guard of `suppress` holds all delivery",)


@pytest.mark.parametrize("kind", ["segment", "sequence", "source"])
def test_other_guards_hold_no_delivery_of_what_was_accepted(outbox: Outbox, kind: str) -> None:
    outbox.put("a")
    outbox.hold(kind)
    outbox.deliver()
    assert outbox.outcomes() == {"a": "sent"}


def test_expiry_comes_also_while_paused(outbox: Outbox) -> None:
    outbox.put("a")
    outbox.pause("mem")
    outbox.clock.pass_(hours=72)
    outbox.deliver()
    assert outbox.outcomes() == {"a": "expired"}


def test_a_destination_that_was_renamed_meanwhile_is_another_sender_s(outbox: Outbox) -> None:
    outbox.put("a", "b")

    def renamed(_: Any) -> None:
        outbox.change("a", destination="other")
        outbox.change("b", destination="other")

    outbox.deliver(open=once(outbox, renamed))
    assert outbox.memory.requests == []
    assert set(outbox.outcomes().values()) == {"sending"}, "whoever sends for the new name takes them over"
    outbox.config = MEMORY.replace("mem:", "other:").replace("mem}", "other}")
    outbox.deliver()
    assert set(outbox.outcomes().values()) == {"sent"}


# ---------------------------------------------------------------- taking over


def test_who_slept_past_the_lease_sends_and_writes_nothing_more(outbox: Outbox) -> None:
    outbox.put("a", "b")

    def another(_: Any) -> None:
        late = timedelta(seconds=EXPIRY_SECONDS + 30)
        with hold(outbox.state.catalog, ID, "prod", purpose="delivery:mem", clock=lambda: wall_clock() + late):
            pass

    found = outbox.deliver(open=once(outbox, another))
    assert outbox.memory.requests == []
    assert found.destinations["mem"].messages == ("another sender has taken over",)
    assert set(outbox.outcomes().values()) == {"pending"}


def left_under_way(outbox: Outbox, **more: Any) -> None:
    outbox.put("a", outcome="sending", lease=1, attempts=1, batch=row_id("a"), **more)


def test_what_an_earlier_sender_left_under_way_is_sent_again(outbox: Outbox) -> None:
    left_under_way(outbox)
    found = outbox.deliver()
    row = outbox.row("a")
    assert (row.outcome, row.maybe, row.attempts, row.batch) == ("sent", True, 2, row_id("a"))
    assert "1 were under way when an earlier sender ended" in found.destinations["mem"].messages[0]


def test_in_the_same_batch(outbox: Outbox) -> None:
    outbox.config = MEMORY.replace("batch: 1", "batch: 3")
    outbox.put("a", "b", "c")
    outbox.memory.will(raises(KeyboardInterrupt(), applies=True))
    with pytest.raises(KeyboardInterrupt):
        outbox.deliver()
    assert set(outbox.outcomes().values()) == {"sending"}
    outbox.clock.pass_(minutes=1)
    outbox.put("d")
    outbox.deliver()
    one, again, other = outbox.memory.requests
    assert one == again
    assert len(other.rows) == 1


def test_what_may_not_be_repeated_waits_for_a_person(outbox: Outbox) -> None:
    outbox.config = UNSAFE
    left_under_way(outbox)
    found = outbox.deliver()
    row = outbox.row("a")
    assert (row.outcome, row.maybe, row.reason) == ("unknown", True, "its sender ended before the answer came; it may have arrived")
    assert (found.failed, found.destinations["mem"].unknown) == (True, 1)
    assert outbox.memory.requests == []


def test_what_was_left_under_way_and_stopped_since_is_not_sent_again(outbox: Outbox) -> None:
    left_under_way(outbox, stop="suppressed after entry")
    outbox.deliver()
    assert (outbox.row("a").outcome, outbox.row("a").reason) == ("suppressed", "suppressed after entry; it may have arrived")
    assert outbox.memory.requests == []


def test_where_nothing_may_be_repeated_only_what_is_asked_at_once_is_under_way(outbox: Outbox) -> None:
    outbox.config = MEMORY.replace("batch: 1", "parallel: 2, repeat_safe: false")
    outbox.put(*(f"c{number}" for number in range(20)))
    seen: list[int] = []
    outbox.deliver(open=watched(before=lambda _: seen.append(list(outbox.outcomes().values()).count("sending"))))
    assert max(seen) <= 2
    assert set(outbox.outcomes().values()) == {"sent"}


def test_a_second_request_within_one_call_is_looked_at_too(outbox: Outbox) -> None:
    """The first may have been applied: the row can't be taken for one that was never asked."""
    for config, outcome in ((MEMORY, "withdrawn"), (UNSAFE, "unknown")):
        outbox.config = config
        outbox.forget("a")
        outbox.put("a")

        def opened(*arguments: Any) -> Any:
            destination = watched()(*arguments)

            def send(batch: Any, before: Any) -> Any:
                before()
                outbox.change("a", stop="left the segment")
                before()
                raise AssertionError("asked twice")

            destination.send = send
            return destination

        outbox.deliver(open=opened)
        assert (outbox.row("a").outcome, outbox.row("a").maybe) == (outcome, True)


def test_ctrl_c_records_what_is_under_way_and_leaves_the_rest(outbox: Outbox) -> None:
    outbox.put(*(f"c{number:02}" for number in range(30)))

    def progress(_stage: str, _share: float) -> None:
        if outbox.memory.requests:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outbox.deliver(progress=progress, open=watched(before=lambda _: sleep(0.05)))
    outcomes = list(outbox.outcomes().values())
    assert set(outcomes) == {"sent", "pending"}
    assert outcomes.count("sent") == len(outbox.memory.rows)
    outbox.deliver()
    assert set(outbox.outcomes().values()) == {"sent"}
    assert outbox.memory.repeated == {}


def test_an_error_that_ends_the_process_records_the_others_and_leaves_one_row(outbox: Outbox) -> None:
    outbox.put("a", "b", "c")
    outbox.memory.will(answers(Answer(Verdict.SENT)), raises(SystemExit(9), applies=True))
    with pytest.raises(SystemExit):
        outbox.deliver()
    assert sorted(outbox.outcomes().values()) == ["pending", "sending", "sent"]
