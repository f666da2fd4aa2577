"""The double that ships: it remembers, counts repeats, is cruel by a script, and holds its caller to the contract."""

from __future__ import annotations

from typing import Any

import pytest

from segmentry.engine.connectors import memory as told
from segmentry.engine.connectors.destination import Answer, Batch, Destination, DestinationStopped, Row, Verdict
from segmentry.engine.connectors.registry import open_destination
from tests.connectors.conftest import AT, batch, context, nothing


@pytest.fixture(autouse=True)
def empty() -> None:
    told.forget_all()


def opened(**settings: Any) -> Destination:
    return open_destination("crm", {"type": "memory", **settings}, context())


def kept() -> told.Memory:
    return told.memory("7d0a1c52", "prod", "crm")


def test_it_keeps_what_it_was_told_beyond_its_own_end() -> None:
    destination = opened()
    destination.send(batch("a"), nothing)
    destination.close()
    opened().send(batch("b"), nothing)
    assert list(kept().rows) == ["a", "b"]
    assert kept().rows["a"].data["contact"] == "c_a"
    assert kept().repeated == {}


def test_destinations_of_other_names_and_environments_have_memories_of_their_own() -> None:
    opened().send(batch("a"), nothing)
    assert told.memory("7d0a1c52", "prod", "other").rows == {}
    assert told.memory("7d0a1c52", "default", "crm").rows == {}


def test_repeats_are_counted() -> None:
    destination = opened(batch=2, repeat_safe=False)
    assert not destination.traits.repeat_safe
    destination.send(batch("a", "b"), nothing)
    destination.send(batch("a"), nothing)
    assert kept().repeated == {"a": 2}


def test_the_script_is_met_in_order_and_then_all_is_well() -> None:
    kept().will(told.throttles(after=7), told.times_out(), told.answers(Answer(Verdict.REJECTED, "no")))
    destination = opened()
    answers = [destination.send(batch("a"), nothing)[0] for _ in range(4)]
    assert [answer.verdict for answer in answers] == [Verdict.LATER, Verdict.LATER, Verdict.REJECTED, Verdict.SENT]
    assert answers[0].after == 7
    assert answers[1].maybe
    assert kept().times == {"a": 2}  # once when it was too slow to say so
    assert len(kept().requests) == 4


def test_each_row_may_be_answered_for_itself() -> None:
    kept().will(told.answers(lambda row: Answer(Verdict.REJECTED, "odd") if row.id == "b" else Answer(Verdict.SENT)))
    answers = opened(batch=3).send(batch("a", "b", "c"), nothing)
    assert [answer.verdict for answer in answers] == [Verdict.SENT, Verdict.REJECTED, Verdict.SENT]
    assert list(kept().rows) == ["a", "c"]


def test_it_can_stop_and_disable() -> None:
    kept().will(told.stops("wrong key"), told.stops("gone", disabled=True))
    destination = opened()
    for disabled in (False, True):
        with pytest.raises(DestinationStopped) as stopped:
            destination.send(batch("a"), nothing)
        assert stopped.value.disabled is disabled
    assert kept().rows == {}


@pytest.mark.parametrize("applies", [True, False])
def test_it_can_end_the_call_as_a_killed_process_would(applies: bool) -> None:
    kept().will(told.raises(SystemExit(9), applies=applies))
    with pytest.raises(SystemExit):
        opened().send(batch("a"), nothing)
    assert list(kept().rows) == (["a"] if applies else [])


def test_what_before_raises_costs_nothing_of_the_script() -> None:
    kept().will(told.throttles())

    def before() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        opened().send(batch("a"), before)
    assert len(kept().script) == 1


def test_it_holds_its_caller_to_the_contract() -> None:
    destination = opened(batch=2, needs_address=True)
    with pytest.raises(AssertionError, match="3 rows in a batch of at most 2"):
        destination.send(batch("a", "b", "c"), nothing)
    with pytest.raises(AssertionError, match="without an address"):
        destination.send(Batch("a", "t", AT, "s", (Row("a", "c", None, {}),)), nothing)
    with pytest.raises(AssertionError, match="has the row's id"):
        destination.send(Batch("b", "t", AT, "s", batch("a").rows), nothing)
    with pytest.raises(AssertionError, match="side by side"):
        destination.send(batch("a"), lambda: destination.send(batch("b"), nothing))
    destination.close()
    with pytest.raises(AssertionError, match="closed"):
        destination.send(batch("a"), nothing)
    assert kept().rows == {}
