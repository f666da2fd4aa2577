"""Histories over data of other shapes, in which every run is made twice, by itself and in full."""

from __future__ import annotations

import random

import pytest

from segmentry.engine import few_rows
from tests.state.conftest import Shop
from tests.state.drawn_otherwise import SHAPES, DrawnOtherwise, Shape


@pytest.fixture(params=[1_000_000, 0], ids=["of any size", "of many rows"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if files had as many rows that what few contacts have is read by itself, and as they are."""
    monkeypatch.setattr(few_rows, "FEWEST_ROWS", request.param)


def play(shop: Shop, shape: Shape, seed: int, *, runs: int, segments: int = 5) -> DrawnOtherwise:
    drawn = DrawnOtherwise(shop, random.Random(f"{seed} of {shape}"), shape=shape)
    drawn.begin(segments)
    drawn.play(runs)
    return drawn


@pytest.mark.parametrize("shape", [Shape("uint64", by_event=True), Shape("uuid", rich=True)], ids=str)
def test_in_a_shape(shop: Shop, shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_rows, "FEWEST_ROWS", 0)
    assert play(shop, shape, 1, runs=2, segments=3).parts


@pytest.mark.full
@pytest.mark.usefixtures("size")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", range(300, 305))
def test_in_a_shape_at_length(shop: Shop, shape: Shape, seed: int) -> None:
    play(shop, shape, seed, runs=10)
