"""Rows that go together: an id that is stored before the first attempt, and the same rows at every attempt."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from segmentry.engine.connectors.destination import Answer, Batch, Verdict
from segmentry.engine.connectors.memory import answers, stops, throttles, times_out
from segmentry.engine.telling import WAITS
from tests.delivery.outbox import MEMORY, Outbox, row_id, watched

THREES = MEMORY.replace("batch: 1", "batch: 3")
LATER = Answer(Verdict.LATER, "not now")


@pytest.fixture
def threes(outbox: Outbox) -> Outbox:
    outbox.config = THREES
    return outbox


def shape(batch: Batch) -> tuple[str, tuple[str, ...]]:
    return batch.id, tuple(row.id for row in batch.rows)


def batches(outbox: Outbox) -> list[tuple[str, tuple[str, ...]]]:
    return [shape(batch) for batch in outbox.memory.requests]


def contacts(batch: Batch) -> set[str]:
    return {row.contact for row in batch.rows}


def test_a_batch_has_an_id_of_its_own_and_one_row_has_the_row_s(threes: Outbox) -> None:
    threes.put("a", "b", "c", "d")
    threes.deliver()
    several, single = threes.memory.requests
    assert (len(several.rows), len(single.rows)) == (3, 1)
    assert UUID(several.id).version == 5
    assert several.id not in map(row_id, "abcd")
    assert single.id == single.rows[0].id


def test_the_id_is_stored_before_anybody_is_told_of_it(threes: Outbox) -> None:
    threes.put("a", "b", "c")
    seen: list[tuple[str, str, int]] = []

    def look(_: Batch) -> None:
        seen.extend((threes.row(name).batch, threes.row(name).outcome, threes.row(name).attempts) for name in "abc")

    threes.deliver(open=watched(before=look))
    assert seen == [(threes.memory.requests[0].id, "sending", 1)] * 3


def test_a_batch_holds_one_sequence(threes: Outbox) -> None:
    threes.config = THREES.replace("{welcome: {destination: mem}", "{vip: {destination: mem}, welcome: {destination: mem}")
    threes.put("a", "b")
    threes.put("c", "d", sequence="vip")
    threes.deliver()
    assert {batch.target: contacts(batch) for batch in threes.memory.requests} == {"welcome": {"a", "b"}, "vip": {"c", "d"}}


def test_a_batch_is_as_old_as_its_first_row(threes: Outbox) -> None:
    first = threes.clock()
    threes.put("a")
    threes.clock.pass_(hours=1)
    threes.put("b")
    threes.deliver()
    assert threes.memory.requests[0].at == first


@pytest.mark.parametrize("cruelty", [times_out(), answers(LATER), throttles(3600)])
def test_the_same_batch_again_with_the_same_rows(threes: Outbox, cruelty: Any) -> None:
    threes.put("a", "b", "c")
    threes.memory.will(cruelty)
    threes.deliver()
    threes.clock.pass_(hours=1)
    threes.put("d", "e")  # come meanwhile, and don't join
    threes.deliver()
    one, again, other = threes.memory.requests
    assert one == again
    assert contacts(other) == {"d", "e"}
    assert set(threes.outcomes().values()) == {"sent"}


def test_the_same_batch_again_after_the_destination_stopped(threes: Outbox) -> None:
    threes.put(*"abcdef")
    threes.memory.will(stops("the key is refused"))
    threes.deliver()
    stored = {threes.row(name).batch for name in "abcdef"}
    assert len(stored) == 2
    threes.deliver()
    assert {batch.id for batch in threes.memory.requests} == stored
    assert threes.memory.requests[0] == threes.memory.requests[1]


def leaves_one(outbox: Outbox, way: str) -> None:
    if way == "forgotten":
        outbox.forget("b")
    elif way == "withdrawn":
        outbox.change("b", outcome="withdrawn", reason="left the segment", ended="2026-11-23T18:00:00.000000+00:00")
    elif way == "stopped":
        outbox.change("b", stop="left the segment")
    elif way == "put off":
        outbox.change("b", due="2026-12-23T18:00:00.000000+00:00")
    else:
        outbox.change("b", pending_since="2026-11-20T18:00:00.000000+00:00")


@pytest.mark.parametrize("way", ["forgotten", "withdrawn", "stopped", "expired", "put off"])
def test_a_batch_that_lost_a_row_is_dissolved_and_the_others_go_in_a_new_one(threes: Outbox, way: str) -> None:
    threes.put("a", "b", "c")
    threes.memory.will(times_out())
    threes.deliver()
    threes.memory.requests.clear()
    leaves_one(threes, way)
    threes.clock.now += WAITS[0]
    threes.deliver()
    (other,) = threes.memory.requests
    assert contacts(other) == {"a", "c"}
    assert other.id == threes.row("a").batch == threes.row("c").batch
    assert threes.row("a").outcome == threes.row("c").outcome == "sent"
    assert threes.memory.times[row_id("b")] == 1


def test_rows_answered_otherwise_than_the_rest_leave_the_batch(threes: Outbox) -> None:
    threes.put("a", "b", "c")
    verdicts = {"a": Answer(Verdict.SENT), "b": LATER, "c": Answer(Verdict.REJECTED, "no")}
    threes.memory.will(answers(lambda row: verdicts[row.contact]))
    threes.deliver()
    assert threes.outcomes() == {"a": "sent", "b": "pending", "c": "rejected"}
    threes.clock.now += WAITS[0]
    threes.deliver()
    assert batches(threes)[1] == (row_id("b"), (row_id("b"),))


def test_a_batch_larger_than_the_destination_takes_now_is_dissolved(threes: Outbox) -> None:
    threes.put("a", "b", "c")
    threes.memory.will(answers(LATER))
    threes.deliver()
    threes.config = MEMORY.replace("batch: 1", "batch: 2")
    threes.clock.now += WAITS[0]
    assert threes.deliver().destinations["mem"].messages == ()
    assert sorted(len(rows) for _, rows in batches(threes)) == [1, 2, 3]


def test_rows_of_a_batch_are_due_together_whatever_their_attempts(threes: Outbox) -> None:
    threes.put("a", attempts=3)
    threes.put("b", "c")
    threes.memory.will(answers(LATER))
    threes.deliver()
    assert len({threes.row(name).due for name in "abc"}) == 1
    assert [threes.row(name).attempts for name in "abc"] == [4, 1, 1]


def test_many_batches_stay_whole_through_a_hundred_troubles(outbox: Outbox) -> None:
    outbox.config = MEMORY.replace("batch: 1", "batch: 7, parallel: 3").replace("mem}", "mem, expires: 9000 hours}")
    outbox.put(*(f"c{number:04}" for number in range(2_000)))
    every_third = [answers(LATER) if number % 3 else answers(Answer(Verdict.SENT)) for number in range(600)]
    outbox.memory.will(*every_third)
    for _ in range(8):
        outbox.deliver()
        outbox.clock.pass_(days=2)
    assert set(outbox.outcomes().values()) == {"sent"}
    assert outbox.memory.repeated == {}
    asked: dict[str, set[tuple[str, ...]]] = {}
    for id, rows in batches(outbox):
        asked.setdefault(id, set()).add(rows)
    assert all(len(ways) == 1 for ways in asked.values()), "a batch's id stands for its rows"
    assert len({id for _, rows in batches(outbox) for id in rows}) == 2_000
