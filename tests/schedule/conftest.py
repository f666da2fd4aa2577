"""The shops of other rooms: one with a state, and one whose segments enroll."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.activation.conftest import Enrolling
from tests.state.conftest import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    (tmp_path / "shop").mkdir()
    return Shop(tmp_path / "shop")


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop after two runs; a copy costs less than another one."""
    shop = Enrolling(tmp_path_factory.mktemp("two_runs") / "shop")
    shop.root.mkdir()
    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.people({"id": [1, 2, 3], "spend": [50, 5, 5]})
    shop.run("2026-01-01")
    shop.people({"id": [1, 2, 3], "spend": [50, 50, 50]})
    shop.run("2026-01-02")
    shop.state.close()
    return shop.root


@pytest.fixture
def enrolling(two_runs: Path, tmp_path: Path) -> Enrolling:
    """`vip` had one member on January 1st, two more on the 2nd: they are enrolled, and due."""
    return Enrolling(Path(shutil.copytree(two_runs, tmp_path / "shop")))
