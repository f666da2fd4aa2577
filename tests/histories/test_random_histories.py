"""Random histories of activation: data, rules, names, merges, suppression, pauses, guards, cruel receivers, kills and restored states.

After every step the state is held against a model that shares no code with the product; a failure says its seed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.histories.driver import Driver

HISTORIES, PARTS = 500, 50


def live(root: Path, seed: int, steps: int) -> None:
    driver = Driver.new(root, seed)
    number = -1
    try:
        driver.begin()
        for number in range(steps):  # noqa: B007 - a failure tells of it
            driver.step()
        driver.end()
    except BaseException as error:
        error.add_note(f"history {seed}, step {number} ({', '.join(driver.done)}), workspace {root}")
        raise


@pytest.mark.parametrize("number", range(4))
def test_short_histories(tmp_path: Path, seed: int, number: int) -> None:
    live(tmp_path / "shop", seed + number, 8)


@pytest.mark.full
@pytest.mark.parametrize("part", range(PARTS))
def test_five_hundred_histories(tmp_path: Path, seed: int, part: int) -> None:
    for number in range(part, HISTORIES, PARTS):
        history = seed + 10_000 + number
        live(tmp_path / str(number), history, 12 + history % 14)
