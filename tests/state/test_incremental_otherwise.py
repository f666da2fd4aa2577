"""Histories over data of other shapes, in which every run is made twice, by itself and in full."""

from __future__ import annotations

import random

import pytest

from tests.state.conftest import Shop
from tests.state.drawn_otherwise import SHAPES, DrawnOtherwise, Shape


def play(shop: Shop, shape: Shape, seed: int, *, runs: int, segments: int = 5) -> DrawnOtherwise:
    drawn = DrawnOtherwise(shop, random.Random(f"{seed} of {shape}"), shape=shape)
    drawn.begin(segments)
    drawn.play(runs)
    return drawn


@pytest.mark.parametrize("shape", [Shape("uint64", by_event=True), Shape("uuid", rich=True)], ids=str)
def test_in_a_shape(shop: Shop, shape: Shape) -> None:
    assert play(shop, shape, 1, runs=2, segments=3).parts


@pytest.mark.full
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", range(300, 305))
def test_in_a_shape_at_length(shop: Shop, shape: Shape, seed: int) -> None:
    play(shop, shape, seed, runs=10)
