"""What is about earlier runs is answered a second time from the contacts' changes, and a wrong answer is found."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from segmentry import Workspace
from segmentry.engine.proving import Finding
from segmentry.engine.remembering import Past
from segmentry.rules.nodes import Memory, Remembered, Window
from segmentry.verifying.days import Undecided
from segmentry.verifying.memories import Log, Turn
from tests.cli.conftest import Shop as Commands
from tests.state.conftest import Shop, shop
from tests.state.test_remembering_histories import ASKED, play

__all__ = ["shop"]

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def day(number: int) -> datetime:
    return MONDAY + timedelta(days=number)


# ---------------------------------------------------------------- one contact's changes


TURNS = {1: [Turn(day(0), True, True), Turn(day(3), False, False), Turn(day(5), True, False)], 2: [Turn(day(3), True, False)]}
LOG = Log(day(0), TURNS, frozenset({9}))


@pytest.mark.parametrize(
    ("memory", "as_of", "window", "expected"),
    [
        (Memory.IN, 0, Window(), set()),
        (Memory.OUT, 0, Window(), set()),
        (Memory.IN, 1, Window(), {1}),
        (Memory.OUT, 1, Window(), {2, 3}),
        (Memory.IN, 3, Window(), {1}),
        (Memory.IN, 4, Window(), {2}),
        (Memory.ENTERED, 9, Window(), {1, 2}),
        (Memory.ENTERED, 2, Window(), set()),
        (Memory.ENTERED, 9, Window(day(3), day(3)), {2}),
        (Memory.ENTERED, 9, Window(day(4)), {1}),
        (Memory.EXITED, 9, Window(), {1}),
        (Memory.EXITED, 3, Window(), set()),
        (Memory.EXITED, 9, Window(None, day(2)), set()),
        (Memory.STAYED, 9, Window(None, day(4)), {2}),
        (Memory.STAYED, 9, Window(None, day(5)), {1, 2}),
        (Memory.STAYED, 2, Window(None, day(0)), {1}),
        (Memory.STAYED, 2, Window(None, day(-1)), set()),
    ],
)
def test_a_contact_changes_are_gone_through(memory: Memory, as_of: int, window: Window, expected: set[int]) -> None:
    asked = Remembered("vip", memory, day(as_of), window)
    assert {key for key in (1, 2, 3) if LOG.says(asked, key)} == expected


def test_who_had_other_keys_is_left_open_and_of_what_no_run_had_nothing_is_said() -> None:
    asked = Remembered("vip", Memory.IN, day(9))
    with pytest.raises(Undecided, match="other keys"):
        LOG.says(asked, 9)
    assert not Log().says(asked, 1)
    assert not Log().says(Remembered("vip", Memory.OUT, day(9)), 1)


# ---------------------------------------------------------------- on a workspace


def looked_at(shop: Shop, as_of: datetime, hours: int, counts: Counter[str]) -> None:
    """Every rule about the past at once, some hours later: nobody may be answered otherwise."""
    found = Workspace.open(shop.root).verify(list(ASKED), sample=20, as_of=as_of + timedelta(hours=hours))
    assert found.agrees, [case.to_json() for case in found.cases]
    for proof in found.proofs:
        assert proof.finding is Finding.AGREES or proof.undecided, proof
        counts["checked"] += proof.checked
        counts["members"] += proof.members
        counts["open"] += proof.undecided


def history(shop: Shop, seed: int, runs: int) -> Counter[str]:
    draw, counts = random.Random(seed), Counter[str]()
    play(shop, random.Random(seed), runs, lambda shop, as_of: looked_at(shop, as_of, draw.choice([1, 24, 60]), counts))
    return counts


def test_a_history_is_read_a_second_time(shop: Shop) -> None:
    counts = history(shop, 2, 3)
    assert counts["checked"] > counts["open"]
    assert counts["members"]


@pytest.mark.full
@pytest.mark.parametrize("seed", range(200, 210))
def test_many_histories_are_read_a_second_time(shop: Shop, seed: int) -> None:
    counts = history(shop, seed, 12)
    assert counts["checked"] > 0


@pytest.fixture
def moved(shop: Shop) -> Shop:
    """Of three contacts one comes in on the second day, and one leaves."""
    shop.segment("vip", "spend > 10")
    shop.segment("new", "entered('vip', last => '3 days') and spend > 0")
    shop.segment("lost", "exited('vip', last => '3 days')")
    shop.segment("loyal", "member('vip', for => '1 day')")
    for number, spends in enumerate([(50, 5, 50), (50, 50, 5)]):
        shop.contacts({"id": [1, 2, 3], "spend": list(spends)})
        shop.run(day(number))
    return shop


def test_what_is_asked_of_earlier_runs_is_verified(moved: Shop) -> None:
    found = Workspace.open(moved.root).verify(as_of=day(2))
    assert {proof.segment: (str(proof.finding), proof.members, proof.checked) for proof in found.proofs} == {
        "lost": ("agrees", 1, 3),
        "loyal": ("agrees", 2, 3),
        "new": ("agrees", 1, 3),
        "vip": ("agrees", 2, 3),
    }


@pytest.mark.parametrize(("method", "segment", "part"), [("_moved", "new", "entered("), ("_stayed", "loyal", "member('vip', for")])
def test_a_wrong_memory_is_found(moved: Shop, monkeypatch: pytest.MonkeyPatch, method: str, segment: str, part: str) -> None:
    monkeypatch.setattr(Past, method, lambda *_: pl.Series("contact", [3], pl.Int64()))
    found = json.loads(Commands(moved.root).run("verify", "--as-of", f"{day(2):%FT%TZ}", "--format", "json", code=70).stdout)
    [case] = [case for case in found["cases"] if case["segment"] == segment]
    assert case["part"].startswith(part)
    assert case["engine"] != case["second"]


def test_a_change_that_is_not_as_the_memberships_are_is_found(moved: Shop) -> None:
    """The engine takes who was in from the membership, the second reading from the changes."""
    stored = [path for path in Path(moved.root).rglob("*.parquet") if "change" in pl.read_parquet_schema(path)]
    [path] = [path for path in stored if pl.read_parquet(path).height]
    pl.read_parquet(path).filter(pl.col("contact") != 2).write_parquet(path)
    found = Workspace.open(moved.root).verify(["new", "loyal"], as_of=day(2))
    assert not found.agrees
