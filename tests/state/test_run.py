"""Runs end to end: what is accepted, what is stored, and what a clock may say."""

from __future__ import annotations

import polars as pl
import pytest

from segmentry.errors import ClockError, NoState


def test_a_first_run_needs_to_be_asked_for(shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    shop.segment("big", "spend > 10")
    with pytest.raises(NoState):
        shop.run("2026-01-01", first_run=False)
    run = shop.run("2026-01-01", first_run=True)
    assert run.record.id == 1
    assert run.record.counts == {"big": 1}
    assert run.changes().rows() == [("big", 2, "entered", "rule", None)]
    assert shop.state.accepted() == run.record


def test_the_second_run_has_what_changed(shop) -> None:
    shop.contacts({"id": [1, 2, 3], "spend": [5, 50, 60]})
    shop.segment("big", "spend > 10")
    shop.run("2026-01-01")
    shop.contacts({"id": [3, 1, 4], "spend": [60, 20, 70]})
    run = shop.run("2026-01-02")
    assert run.changes().rows() == [
        ("big", 1, "entered", "data", None),
        ("big", 2, "exited", "source", None),
        ("big", 4, "entered", "source", None),
    ]
    assert run.changes().schema == {"segment": pl.String, "contact": pl.Int64, "change": pl.String, "cause": pl.String, "via": pl.String}
    assert shop.state.members("big").to_list() == [1, 3, 4]
    assert shop.state.memberships().rows() == [(1, True), (3, True), (4, True)]
    assert shop.state.memberships(1).rows() == [(1, False), (2, True), (3, True)]
    assert [row[:2] for row in shop.state.history("big").select("run", "contact").rows()] == [(1, 2), (1, 3), (2, 1), (2, 2), (2, 4)]
