"""What people do about deliveries: look, settle, pause, resume."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.memory import answers, stops
from segmentry.engine.deliveries import Resumed, deliveries, pause, resume, settle, waiting_after_pause
from segmentry.engine.state.by_hand import MAY, REFUSED
from segmentry.errors import NotFound
from tests.delivery.outbox import START, Outbox, row_id, stamp

TWO = "destinations: {mem: {type: memory}}\nsequences: {welcome: {destination: mem}, vip: {destination: mem}}\n"


def say(outbox: Outbox, action: str, *names: str, **settings: Any) -> Any:
    return settle(outbox.state, action, [row_id(name) for name in names], outbox.clock(), **settings)


def not_(*names: str) -> Any:
    """A `fit` of everybody but these contacts."""
    return lambda rows: ~rows["contact"].is_in(list(names))


def test_deliveries_are_listed_without_an_address(outbox: Outbox) -> None:
    outbox.put("a", "b")
    outbox.put("c", outcome="held")
    outbox.memory.will(answers(Answer(Verdict.LATER, "not now")), answers(Answer(Verdict.REJECTED, "no such city")))
    outbox.deliver()
    found = deliveries(outbox.state)
    assert "@" not in str(found.to_dicts())
    by_contact = {row["contact"]: row for row in found.iter_rows(named=True)}
    outcomes = {name: (row["outcome"], row["attempts"], row["reason"]) for name, row in by_contact.items()}
    assert outcomes["c"] == ("held", 0, None)
    assert sorted(outcomes[name] for name in "ab") == [("pending", 1, "not now"), ("rejected", 1, "no such city")]
    dues = {row["outcome"]: row["due"] for row in by_contact.values()}
    assert dues["pending"] > START
    assert dues["rejected"] is None
    assert found.schema["changed"] == pl.Datetime("us", "UTC")


def test_deliveries_by_outcome_destination_sequence_and_number(outbox: Outbox) -> None:
    outbox.put("a")
    outbox.put("b", sequence="vip", destination="other", outcome="unknown")
    outbox.clock.pass_(hours=1)
    outbox.put("c")
    state = outbox.state
    assert deliveries(state)["contact"][0] == "c", "the newest change first"
    assert deliveries(state, outcome="unknown")["contact"].to_list() == ["b"]
    assert deliveries(state, destination="mem", limit=1)["contact"].to_list() == ["c"]
    assert deliveries(state, sequence="vip")["id"].to_list() == [row_id("b")]
    assert deliveries(state, outcome="sent").is_empty()


@pytest.mark.parametrize("outcome", MAY)
@pytest.mark.parametrize(("action", "becomes"), [("retry", "pending"), ("drop", "dropped"), ("mark-sent", "sent")])
def test_what_somebody_says_becomes_of_a_row(outbox: Outbox, outcome: str, action: str, becomes: str) -> None:
    ended = stamp(START) if outcome == "rejected" else None
    outbox.put("a", outcome=outcome, attempts=5, error="no", ended=ended)
    outbox.clock.pass_(hours=100)
    assert say(outbox, action, "a").changed == [row_id("a")]
    row = outbox.row("a")
    assert row.outcome == becomes
    assert (row.ended is None) == (becomes == "pending")
    outbox.deliver()
    assert len(outbox.memory.requests) == (action == "retry"), "and it has not expired, though it is old"


@pytest.mark.parametrize("outcome", REFUSED)
@pytest.mark.parametrize("action", ["retry", "drop", "mark-sent"])
def test_what_can_t_be_said_of_a_row_is_refused_with_the_reason(outbox: Outbox, outcome: str, action: str) -> None:
    outbox.put("a", outcome=outcome)
    outbox.put("b", outcome="unknown")
    found = say(outbox, action, "a", "b")
    assert found.refused == {row_id("a"): REFUSED[outcome]}
    assert found.changed == [row_id("b")]
    assert outbox.row("a").outcome == outcome


def test_a_delivery_that_there_is_not_changes_nothing(outbox: Outbox) -> None:
    outbox.put("a", outcome="unknown")
    with pytest.raises(NotFound, match=f"no delivery `{row_id('x')}`"):
        say(outbox, "drop", "a", "x")
    assert outbox.row("a").outcome == "unknown"


def test_nobody_who_left_or_is_suppressed_is_retried(outbox: Outbox) -> None:
    outbox.put("a", "b", outcome="unknown")
    outbox.put("c", outcome="unknown", stop="suppressed after entry")
    outbox.put("d", outcome="rejected", ended=stamp(START))
    outbox.change("d", payload=None)
    found = say(outbox, "retry", *"abcd", fit=not_("b"))
    assert found.changed == [row_id("a")]
    assert found.refused == {
        row_id("b"): "the contact is not in the segment any more, or is suppressed",
        row_id("c"): "a later run stopped it: suppressed after entry",
        row_id("d"): "its address was removed, as so long after its end every address is",
    }
    assert say(outbox, "mark-sent", *"bcd").refused == {}


# ---------------------------------------------------------------- pauses


def test_pause_and_resume_by_name_or_all(outbox: Outbox) -> None:
    outbox.config = TWO
    at = outbox.clock()
    assert pause(outbox.state, outbox.workspace, "mem", at)
    assert not pause(outbox.state, outbox.workspace, "mem", at)
    assert pause(outbox.state, outbox.workspace, None, at)
    assert outbox.pauses() == {"*": None, "mem": None}
    with pytest.raises(NotFound, match="no destination or sequence `vpi`; did you mean `vip`"):
        pause(outbox.state, outbox.workspace, "vpi", at)
    assert resume(outbox.state, outbox.workspace, None, at) == Resumed(["*"], 0, ["mem"])
    assert resume(outbox.state, outbox.workspace, "mem", at) == Resumed(["mem"], 0, [])
    assert resume(outbox.state, outbox.workspace, "mem", at) == Resumed([], 0, [])
    with pytest.raises(NotFound):
        resume(outbox.state, outbox.workspace, "vpi", at)


def test_what_stays_paused_is_told(outbox: Outbox) -> None:
    outbox.config = TWO.replace("vip: {destination: mem", "vip: {destination: mem, paused: true")
    outbox.pause("vip")
    outbox.pause("mem")
    found = resume(outbox.state, outbox.workspace, "vip", outbox.clock())
    assert found.still == ["mem", "vip (`paused: true` in segmentry.yml)"]


def test_a_name_that_is_no_more_can_be_resumed(outbox: Outbox) -> None:
    outbox.pause("gone")
    assert resume(outbox.state, outbox.workspace, "gone", outbox.clock()).pauses == ["gone"]


def test_a_disabled_destination_goes_again_when_somebody_resumes_it(outbox: Outbox) -> None:
    outbox.put("a")
    outbox.memory.will(stops("gone (410)", disabled=True))
    outbox.deliver()
    resume(outbox.state, outbox.workspace, "mem", outbox.clock())
    assert outbox.stopped() is None
    outbox.deliver()
    assert outbox.outcomes() == {"a": "sent"}


def test_who_came_in_during_a_pause_stays_unsent(outbox: Outbox) -> None:
    outbox.pause("welcome")
    outbox.put("a", outcome="paused")
    resume(outbox.state, outbox.workspace, "welcome", outbox.clock())
    outbox.deliver()
    assert outbox.outcomes() == {"a": "paused"}


@pytest.mark.parametrize("name", ["welcome", "mem", None])
def test_or_is_sent_where_somebody_says_so_if_still_fit(outbox: Outbox, name: str | None) -> None:
    outbox.config = TWO
    outbox.pause(name or "*")
    outbox.put("a", "b", outcome="paused")
    outbox.put("c", outcome="paused", sequence="vip")
    outbox.put("d", outcome="held")
    outbox.clock.pass_(hours=500)
    vip = name != "welcome"
    expected = {"welcome": 1, **({"vip": 1} if vip else {})}
    assert waiting_after_pause(outbox.state, name, fit=not_("b")) == expected
    found = resume(outbox.state, outbox.workspace, name, outbox.clock(), send_waiting=True, fit=not_("b"))
    assert found.released == sum(expected.values())
    outbox.clock.pass_(hours=71)  # it expires as if it had come in at the resume
    outbox.deliver()
    assert outbox.outcomes() == {"a": "sent", "b": "paused", "c": "sent" if vip else "paused", "d": "held"}


def test_fit_is_asked_with_who_it_is_about(outbox: Outbox) -> None:
    outbox.put("a", outcome="paused")
    asked: list[pl.DataFrame] = []

    def fit(rows: pl.DataFrame) -> pl.Series:
        asked.append(rows)
        return pl.Series([True])

    assert waiting_after_pause(outbox.state, None, fit=fit) == {"welcome": 1}
    assert asked[0].to_dicts() == [{"id": row_id("a"), "sequence": "welcome", "segment": "visitors", "contact": "a", "person": "a"}]
