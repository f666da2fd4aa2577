"""Random histories in which every run is made twice, by itself and in full: what it keeps must be the same, whatever it computed."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from segmentry.engine import evaluation, few_rows, membership, storing
from tests.state.conftest import Shop
from tests.state.drawn import START, TICK, Drawn

BOUNDS = (
    "last => '1 day'",
    "since => ago('1 day')",
    "until => ago('1 day')",
    "last => '2 days', until => ago('1 day')",
    "during => 'yesterday'",
    "since => '2026-01-30 12:11'",
)
HAPPENINGS = (
    "a_row_changes",
    "people_come_and_go",
    "more_events",
    "more_calls",
    "a_file_is_rewritten",
    "a_file_goes",
    "a_rule_is_edited",
    "a_place_in_the_group_changes",
    "a_segment_is_renamed",
    "a_list_changes",
    "somebody_is_merged",
    "somebody_is_forgotten",
    "a_historical_run",
)


def play(shop: Shop, seed: int, *, runs: int, segments: int, busy: float) -> Drawn:
    """A history in which, before a share `busy` of the runs, more happens than that time goes on."""
    drawn = Drawn(shop, random.Random(seed))
    drawn.begin(segments)
    drawn.run_both()
    for _ in range(runs):
        drawn.clock()
        if drawn.draw.random() < busy:
            for name in drawn.draw.sample(HAPPENINGS, drawn.draw.choice([1, 1, 2])):
                getattr(drawn, name)()
        drawn.run_both()
    return drawn


AT_EDGES = (
    *(f"did(order, {bounds})" for bounds in BOUNDS),
    *(f"count(any_event, {bounds}) >= 2" for bounds in BOUNDS),
    *(f"sequence(did(visit), did(order), {bounds})" for bounds in BOUNDS),
    "sum(order.amount, last => '1 day') > 4",
    "did(order, amount > contact.spend, last => '1 day')",
    "latest(order.amount, last => '1 day') > 4 and avg(order.amount) > 1",
    "last(order) before ago('1 day')",
    "first(order, last => '2 days') after ago('1 day')",
    "last(order) at most ago('1 day')",
    "active_periods(order, period => 'day', of => 2) = 1",
    "in_last(joined, '1 day')",
    "in_next(joined, '1 day')",
    "joined at least ago('1 day') or joined before ago('2 days')",
    "member('s0') and country is set",
    "top(3, by => count(order, last => '1 day'))",
    "top(2, by => spend, among => member('s0'))",
    "entered('s0', last => '1 day') or exited('s0', last => '1 day')",
    "member('s0', for => '1 day') or date(last(order)) = today()",
)


def test_every_edge_at_its_very_instant(shop: Shop) -> None:
    """Every condition on a time, a microsecond before anything passes an edge, at that instant, and just after."""
    drawn = Drawn(shop, random.Random(3))
    drawn.begin(0)
    for number, rule in enumerate(AT_EDGES):
        shop.segment(f"s{number}", rule)
    drawn.run_both()
    midday = START.replace(hour=12, minute=0) + timedelta(days=1)
    drawn.people[3]["joined"] = midday.replace(tzinfo=None)
    drawn.write_contacts()
    for name in [name for name in drawn.files if name.startswith("events")]:
        drawn.a_file_goes(name)
    for contact, (minutes, event) in enumerate([(7, "visit"), (11, "order"), (13, "order")], start=1):
        at = (midday + timedelta(minutes=minutes)).replace(tzinfo=None)
        drawn.files[f"events/f{contact}"] = [{"contact_id": contact, "at": at, "event": event, "amount": Decimal(5), "due": None}]
        drawn.write(f"events/f{contact}")
    drawn.files["events/f2"].append({**drawn.files["events/f1"][0], "contact_id": 2})
    drawn.write("events/f2")
    drawn.now += TICK
    drawn.run_both()
    ordered = midday + timedelta(minutes=11)
    before = len(drawn.parts)
    edges = [midday + timedelta(days=1), *(ordered + timedelta(days=days) for days in (1, 2))]
    for edge in edges:
        for drawn.now in (edge - TICK, edge, edge + TICK):
            drawn.run_both()
    assert len(drawn.parts) - before == 3 * len(edges)


def test_the_clock_alone(shop: Shop) -> None:
    drawn = play(shop, 0, runs=6, segments=12, busy=0.0)
    assert len(drawn.parts) >= 4


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 140))
def test_the_clock_alone_at_length(shop: Shop, seed: int) -> None:
    play(shop, seed, runs=14, segments=20, busy=0.0)


def test_all_that_may_happen(shop: Shop) -> None:
    drawn = play(shop, 7, runs=6, segments=6, busy=0.5)
    assert drawn.parts
    assert drawn.fulls


def as_of_many(patch: pytest.MonkeyPatch) -> list[int]:
    """Has three contacts treated as many: bitmaps are in chunks, and what few contacts have is read by itself, as often as this tells."""
    found: list[int] = []

    def counting(*asked: Any) -> pl.DataFrame | None:
        rows = few_rows.few_rows(*asked)
        found.extend([] if rows is None else [len(rows)])
        return rows

    for module in (membership, storing):
        patch.setattr(module, "CHUNK_ROWS", 3)
    patch.setattr(few_rows, "FEWEST_ROWS", 0)
    patch.setattr(evaluation, "few_rows", counting)
    return found


@pytest.mark.parametrize("seed", [pytest.param(11, marks=pytest.mark.full), 12])
def test_all_that_may_happen_to_many(shop: Shop, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    few = as_of_many(monkeypatch)
    assert play(shop, seed, runs=5, segments=6, busy=0.8).parts
    assert few


@pytest.mark.full
@pytest.mark.parametrize("seed", range(300, 330))
def test_all_that_may_happen_to_many_at_length(shop: Shop, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    as_of_many(monkeypatch)
    play(shop, seed, runs=15, segments=8, busy=0.8)


def test_somebody_who_is_gone_is_merged_while_the_data_is_the_same(shop: Shop) -> None:
    drawn = Drawn(shop, random.Random(5))
    drawn.begin(6)
    drawn.run_both()
    del drawn.people[7]
    drawn.write_contacts()
    drawn.now += timedelta(hours=1)
    drawn.run_both()
    drawn.aliases = {7: 2, 3: 4}
    drawn.write_aliases()
    before = len(drawn.parts)
    for _ in range(2):
        drawn.now += timedelta(days=1)
        drawn.run_both()
    assert len(drawn.parts) - before == 2


@pytest.mark.full
@pytest.mark.parametrize("seed", range(200, 240))
def test_all_that_may_happen_at_length(shop: Shop, seed: int) -> None:
    play(shop, seed, runs=25, segments=12, busy=0.5)
