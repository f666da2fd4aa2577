"""The Airflow example, imported and run by Airflow itself: what each exit code of the command comes to."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.examples.conftest import EXAMPLES, Shop, interpreter

pytestmark = [pytest.mark.full, pytest.mark.xdist_group("airflow"), pytest.mark.timeout(300)]

ONCE = Path(__file__).with_name("airflow_once.py")


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Airflow's Python, and the settings of a home with the DAG in it and a database."""
    python = interpreter("airflow")
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    shutil.copy(EXAMPLES / "airflow" / "segmentry_hourly.py", home / "dags")
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    subprocess.run([python, "-m", "airflow", "db", "migrate"], env=settings, check=True, capture_output=True)
    return python, settings


@pytest.fixture
def once(airflow: tuple[Path, dict[str, str]], shop: Shop, tmp_path: Path) -> Callable[[], dict[str, Any]]:
    """Runs the DAG once, on the shop, and says how it ended."""
    python, settings = airflow
    result = tmp_path / "result.json"

    def run() -> dict[str, Any]:
        called = [python, ONCE, Path(settings["AIRFLOW_HOME"]) / "dags" / "segmentry_hourly.py", result]
        ended = subprocess.run(called, env={**shop.environment, **settings}, check=False, capture_output=True, text=True)
        assert result.exists(), ended.stdout + ended.stderr
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found

    return run


def test_a_run_succeeds_and_sends(once: Callable[[], dict[str, Any]], shop: Shop) -> None:
    shop.contacts(100, uk=12)
    ended = once()
    assert ended == {"dag": "segmentry_hourly", "run": "success", "task": "success", "tries": 1, "catchup": False}
    assert shop.ran() == ["accepted", "accepted"]
    assert shop.exported() == [10, 11]


def test_what_is_held_is_not_tried_again(once: Callable[[], dict[str, Any]], shop: Shop) -> None:
    shop.contacts(50, uk=12)
    ended = once()
    assert [ended["run"], ended["task"], ended["tries"]] == ["failed", "failed", 1]
    assert shop.ran() == ["held", "accepted"]


def test_failed_deliveries_are_tried_again(once: Callable[[], dict[str, Any]], shop: Shop) -> None:
    shop.contacts(100, uk=12)
    shop.refuse_exports()
    ended = once()
    assert [ended["run"], ended["task"], ended["tries"]] == ["failed", "failed", 4]
    assert shop.ran() == ["accepted"] * 5


def test_another_run_s_lease_is_waited_for(once: Callable[[], dict[str, Any]], shop: Shop) -> None:
    with shop.busy():
        ended = once()
    assert [ended["run"], ended["task"], ended["tries"]] == ["failed", "failed", 4]
    assert shop.ran() == ["accepted"]


def test_a_mistake_is_not_tried_again(once: Callable[[], dict[str, Any]], shop: Shop) -> None:
    (shop.root / "segments" / "uk.yml").write_text("where: county = 'UK'\n", encoding="utf-8")
    ended = once()
    assert [ended["run"], ended["task"], ended["tries"]] == ["failed", "failed", 1]
    assert shop.ran() == ["accepted"]
