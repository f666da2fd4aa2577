"""What is due, what isn't, and in which order it goes."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest

from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.memory import answers
from segmentry.engine.state.lease import hold
from segmentry.errors import NotFound
from tests.delivery.outbox import ID, MEMORY, START, Outbox, row_id, stamp, watched


def told(outbox: Outbox) -> list[str]:
    """The contacts that were told of, in order."""
    return [row.contact for batch in outbox.memory.requests for row in batch.rows]


def test_what_is_due_is_sent_and_ended(outbox: Outbox) -> None:
    outbox.put("a", "b")
    found = outbox.deliver()
    assert outbox.outcomes() == {"a": "sent", "b": "sent"}
    assert found.summary().rows() == [("mem", 2, 0, 0, 0, 0, 0, 0, 0, 0)]
    assert not found.failed
    row = outbox.row("a")
    assert (row.attempts, row.ended, row.lease, row.batch) == (1, stamp(START), None, row_id("a"))
    assert outbox.deliver().destinations == {}
    assert outbox.memory.repeated == {}


def test_a_row_is_told_with_all_it_says(outbox: Outbox) -> None:
    outbox.put("a", fields={"city": "York", "spend": 12.5}, number=3)
    outbox.deliver()
    (batch,) = outbox.memory.requests
    assert (batch.id, batch.type, batch.at, batch.target) == (row_id("a"), "enrollment.created", START, "welcome")
    (row,) = batch.rows
    assert (row.id, row.contact, row.address) == (row_id("a"), "a", "a@example.com")
    assert row.data == {
        "enrollment_id": row_id("a"),
        "workspace": ID,
        "environment": "prod",
        "sequence": "welcome",
        "segment": "visitors",
        "contact": "a",
        "number": 3,
        "as_of": "2026-11-23T18:00:00Z",
        "fields": {"city": "York", "spend": 12.5},
    }


def test_who_waits_longest_goes_first_then_by_id(outbox: Outbox) -> None:
    outbox.put("new1", "new2", "new3")
    outbox.put("old", pending_since=stamp(START - timedelta(hours=2)))
    outbox.put("older", pending_since=stamp(START - timedelta(hours=3)))
    outbox.deliver()
    assert told(outbox) == ["older", "old", *sorted(["new1", "new2", "new3"], key=row_id)]


@pytest.mark.parametrize(
    "outcome",
    [
        "held",
        "waiting",
        "paused",
        "suppressed",
        "late",
        "duplicate_address",
        "withdrawn",
        "expired",
        "dropped",
        "sent",
        "rejected",
        "unknown",
    ],
)
def test_only_pending_rows_go(outbox: Outbox, outcome: str) -> None:
    outbox.put("a", outcome=outcome)
    outbox.put("b")
    outbox.deliver()
    assert told(outbox) == ["b"]
    assert outbox.outcomes()["a"] == outcome


def test_a_row_goes_when_it_is_due_and_not_before(outbox: Outbox) -> None:
    outbox.put("a", due=stamp(START + timedelta(minutes=5)))
    found = outbox.deliver()
    assert told(outbox) == []
    assert (found.destinations["mem"].later, found.failed) == (1, False)
    outbox.clock.pass_(minutes=5)
    outbox.deliver()
    assert told(outbox) == ["a"]


def test_an_environment_that_does_not_deliver_sends_nothing_and_says_so(tmp_path) -> None:
    quiet = Outbox(tmp_path / "quiet", env="quiet")
    quiet.put("a")
    found = quiet.deliver()
    assert found.messages == ("environment `quiet` sends nothing: it has no `deliver: true`",)
    assert quiet.outcomes() == {"a": "pending"}
    assert quiet.memory.requests == []


def test_some_destinations_or_all(outbox: Outbox) -> None:
    outbox.config = (
        "destinations: {mem: {type: memory}, other: {type: memory}}\nsequences: {welcome: {destination: mem}, vip: {destination: other}}\n"
    )
    outbox.put("a")
    outbox.put("b", sequence="vip", destination="other")
    outbox.deliver("other")
    assert outbox.outcomes() == {"a": "pending", "b": "sent"}
    with pytest.raises(NotFound, match="no destination `othr`; did you mean `other`"):
        outbox.deliver("othr")
    outbox.deliver()
    assert outbox.outcomes() == {"a": "sent", "b": "sent"}


def test_rows_of_a_destination_that_is_gone_are_left_and_told_of(outbox: Outbox) -> None:
    outbox.put("a", destination="gone")
    found = outbox.deliver()
    assert outbox.outcomes() == {"a": "pending"}
    assert "for `gone`, which segmentry.yml does not have any more" in found.messages[0]


def test_a_destination_whose_lease_somebody_holds_is_skipped_and_told(outbox: Outbox) -> None:
    outbox.put("a")
    with hold(outbox.state.catalog, ID, "prod", purpose="delivery:mem"):
        found = outbox.deliver()
    assert outbox.memory.requests == []
    assert "another sender holds the lease" in found.destinations["mem"].messages[0]
    assert (found.destinations["mem"].left, found.failed) == (1, False)


def test_destinations_go_side_by_side(outbox: Outbox) -> None:
    outbox.config = (
        "destinations: {mem: {type: memory}, other: {type: memory}}\nsequences: {welcome: {destination: mem}, vip: {destination: other}}\n"
    )
    outbox.put("a")
    outbox.put("b", sequence="vip", destination="other")
    both = threading.Barrier(2, timeout=20)
    outbox.deliver(open=watched(before=lambda _: both.wait()))
    assert set(outbox.outcomes().values()) == {"sent"}


def test_requests_go_side_by_side_as_many_as_the_destination_takes(outbox: Outbox) -> None:
    outbox.config = MEMORY.replace("batch: 1", "parallel: 4")
    outbox.put(*(f"c{number}" for number in range(40)))
    four = threading.Barrier(4, timeout=20)
    found = outbox.deliver(open=watched(before=lambda _: four.wait()))
    assert found.destinations["mem"].sent == 40
    assert found.destinations["mem"].messages == ()


@pytest.mark.parametrize(("hours", "outcome"), [(71.9, "sent"), (72, "expired")])
def test_what_is_older_than_its_sequence_allows_expires(outbox: Outbox, hours: float, outcome: str) -> None:
    outbox.put("a")
    outbox.clock.pass_(hours=hours)
    found = outbox.deliver()
    row = outbox.row("a")
    assert row.outcome == outcome
    assert (len(outbox.memory.requests), found.destinations["mem"].expired) == ((1, 0) if outcome == "sent" else (0, 1))
    assert row.ended is not None
    if outcome == "expired":
        assert row.reason == "not sent within 72 hours"
        assert not found.failed


def test_what_expires_may_have_arrived(outbox: Outbox) -> None:
    outbox.put("a", maybe=True)
    outbox.clock.pass_(hours=100)
    outbox.deliver()
    assert outbox.row("a").reason == "not sent within 72 hours; it may have arrived"


def test_expiry_counts_from_when_a_row_became_pending(outbox: Outbox) -> None:
    outbox.config = MEMORY.replace("destination: mem}", "destination: mem, expires: 1 hour}")
    outbox.put("a", as_of=stamp(START - timedelta(hours=5)))
    outbox.put("b", pending_since=stamp(START - timedelta(hours=1)))
    outbox.deliver()
    assert outbox.outcomes() == {"a": "sent", "b": "expired"}


def test_what_expires_while_it_waits_its_turn_is_not_sent(outbox: Outbox) -> None:
    outbox.put("a", "b")
    outbox.deliver(open=watched(after=lambda _: outbox.clock.pass_(hours=72)))
    assert sorted(outbox.outcomes().values()) == ["expired", "sent"]
    assert len(outbox.memory.rows) == 1


def test_a_thousand_expired_rows_end_at_once(outbox: Outbox) -> None:
    outbox.put(*(f"c{number}" for number in range(12_000)))
    outbox.clock.pass_(hours=72)
    assert outbox.deliver().destinations["mem"].expired == 12_000


def test_who_has_no_address_waits_for_one_where_it_is_needed(outbox: Outbox) -> None:
    outbox.config = MEMORY.replace("batch: 1", "needs_address: true")
    outbox.put("a", address=None)
    outbox.put("b")
    assert outbox.deliver().destinations["mem"].sent == 1
    assert outbox.outcomes() == {"a": "waiting", "b": "sent"}
    assert (outbox.row("a").ended, outbox.row("a").attempts) == (None, 0)


def test_a_contact_with_an_integer_key_is_a_number(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentry.engine.delivering._key_kind", lambda _: "integer")
    outbox.put("1234")
    outbox.deliver()
    assert outbox.memory.requests[0].rows[0].data["contact"] == 1234
    assert outbox.memory.requests[0].rows[0].contact == "1234"


def test_rows_that_come_meanwhile_go_too(outbox: Outbox) -> None:
    outbox.put("a")
    more = iter(["b", "c"])

    def run_commits(_: object) -> None:
        name = next(more, None)
        if name:
            outbox.put(name)

    found = outbox.deliver(open=watched(after=run_commits))
    assert found.destinations["mem"].sent == 3


def test_progress_says_how_far_it_is(outbox: Outbox) -> None:
    outbox.put("a", "b")
    seen: list[tuple[str, float]] = []
    go_on = threading.Event()

    def progress(stage: str, share: float) -> None:
        seen.append((stage, share))
        go_on.set()

    outbox.deliver(progress=progress, open=watched(before=lambda _: go_on.wait(20)))
    assert seen[0] == ("0 of 2", 0.0)


def test_addresses_are_removed_when_their_time_is_over(outbox: Outbox) -> None:
    outbox.put("a", "b")
    outbox.memory.will(answers(Answer(Verdict.UNKNOWN, "who knows")))
    outbox.deliver()
    outbox.clock.pass_(days=6)
    outbox.deliver()
    assert all(outbox.row(name).payload for name in "ab")
    outbox.clock.pass_(days=1, seconds=1)
    outbox.deliver()
    by_outcome = {outbox.row(name).outcome: outbox.row(name).payload for name in "ab"}
    assert by_outcome["sent"] is None
    assert by_outcome["unknown"] is not None, "a person may still say that it is to be sent"


def test_times_are_read_as_they_were_written(outbox: Outbox) -> None:
    outbox.put("a")
    outbox.deliver()
    assert datetime.fromisoformat(outbox.row("a").ended) == START
