"""Random histories of activation with Klaviyo and Mailchimp at the other end: over real HTTP, with cruelty, kills and people's own hands.

After every step nobody is subscribed who was not, whoever was put in by hand is there still, whoever was taken off is not back.
In the end everybody is where they should be, and a run more asks for nothing; a failure says its seed.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.histories.services import FEW, FEWS
from tests.histories.services_driver import ServicesDriver

UNSETTLED = """The model knows whose addition was acknowledged when a hand acted, but too few long histories have passed in a row since the
last disagreement was traced to call it settled: SEGMENTRY_SERVICE_HISTORIES=1 runs them."""

HISTORIES, PARTS = 240, 60


def live(root: Path, seed: int, steps: int) -> None:
    number, told = -1, []
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        if seed % 2:
            for name in FEWS:
                patch.setattr(name, FEW)
        driver = ServicesDriver.living(root, seed, stack)
        try:
            driver.begin()
            for number in range(steps):  # noqa: B007 - a failure tells of it
                driver.step()
                told.append(", ".join(driver.done))
            driver.end()
        except BaseException as error:
            error.add_note("\n".join([*told, f"history {seed}, step {number} ({', '.join(driver.done)}), workspace {root}"]))
            raise


@pytest.mark.parametrize("number", range(2))
def test_short_histories(tmp_path: Path, seed: int, number: int) -> None:
    live(tmp_path / "shop", seed + number, 3)


@pytest.mark.full
@pytest.mark.skipif(not os.environ.get("SEGMENTRY_SERVICE_HISTORIES"), reason="SEGMENTRY_SERVICE_HISTORIES is not set: see UNSETTLED")
@pytest.mark.parametrize("part", range(PARTS))
def test_many_histories(tmp_path: Path, seed: int, part: int) -> None:
    for number in range(part, HISTORIES, PARTS):
        history = seed + 10_000 + number
        live(tmp_path / str(number), history, 8 + history % 12)
