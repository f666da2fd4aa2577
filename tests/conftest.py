"""What every test may ask for: one seed, from which all random draws of a run come, and slices of the long tests."""

from __future__ import annotations

import random
import zlib

import hypothesis
import pytest

DEFAULT_SEED = 20170101

hypothesis.settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("segmentry")
    group.addoption("--seed", type=int, default=DEFAULT_SEED, help="what random tests draw from; a failure replays with the same one")
    group.addoption("--slice", default="1/1", metavar="K/N", help="of the tests marked `full`, only the K-th of N parts, dealt by the seed")


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.getoption('--seed')} (replay with --seed), slice of the full tests: {config.getoption('--slice')}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    part, parts = (int(number) for number in config.getoption("--slice").split("/"))
    if parts == 1:
        return
    seed = config.getoption("--seed")
    outside = {
        item
        for item in items
        if item.get_closest_marker("full") and zlib.crc32(f"{seed}:{item.nodeid}".encode()) % parts != (part - 1) % parts
    }
    config.hook.pytest_deselected(items=[item for item in items if item in outside])
    items[:] = [item for item in items if item not in outside]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The run's seed; a test says which of its draws failed, so that one number replays it."""
    return int(request.config.getoption("--seed"))


@pytest.fixture
def draws(seed: int) -> random.Random:
    """Random numbers from the run's seed, the same for a test whichever tests run beside it."""
    return random.Random(seed)
