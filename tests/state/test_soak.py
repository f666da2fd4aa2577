"""A short soak; `make soak` is the whole one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.state.conftest import Shop
from tests.state.soak import soak


@pytest.mark.full
def test_a_day_of_hourly_runs(shop: Shop, seed: int) -> None:
    nights = soak(shop, seed, 25, keep=timedelta(hours=3), tidies=5, told=print)
    assert len(nights) == 5
