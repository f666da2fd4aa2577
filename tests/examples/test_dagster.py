"""The Dagster example, imported and run by Dagster itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.examples.conftest import EXAMPLES, Shop, interpreter

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]

ONCE = Path(__file__).with_name("dagster_once.py")


@pytest.fixture
def once(shop: Shop, tmp_path: Path) -> Callable[[], dict[str, Any]]:
    """Runs the job once, on the shop, and says how it ended."""
    python = interpreter("dagster")
    result = tmp_path / "result.json"
    settings = {"DAGSTER_HOME": str(tmp_path), "DAGSTER_DISABLE_TELEMETRY": "1"}

    def run() -> dict[str, Any]:
        ended = subprocess.run(
            [python, ONCE, EXAMPLES / "dagster", result], env={**shop.environment, **settings}, check=False, capture_output=True, text=True
        )
        assert result.exists(), ended.stdout + ended.stderr
        found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return found

    return run


def test_a_run_is_an_asset_and_its_deliveries_another(once: Callable[[], dict[str, Any]], shop: Shop) -> None:
    shop.contacts(100, uk=12)
    ended = once()
    assert ended["cron"] == "5 * * * *"
    assert ended["success"]
    assert ended["checks"] == [["nothing_is_held", True, None]]
    assert ended["made"]["segment_memberships"]["sizes"] == {"uk": 12}
    assert ended["made"]["segment_memberships"]["entered_and_left"] == 2
    assert ended["made"]["segment_deliveries"] == {"sent": {"lake": 2}}
    assert shop.exported() == [10, 11]


def test_what_is_held_fails_a_check_and_is_not_tried_again(once: Callable[[], dict[str, Any]], shop: Shop) -> None:
    shop.contacts(50, uk=12)
    ended = once()
    assert ended["success"]
    ((name, passed, why),) = ended["checks"]
    assert (name, passed) == ("nothing_is_held", False)
    assert "the snapshot has 50 contacts" in why
    assert shop.ran() == ["held", "accepted"]


def test_failed_deliveries_are_tried_again_without_another_run(once: Callable[[], dict[str, Any]], shop: Shop) -> None:
    shop.contacts(100, uk=12)
    shop.refuse_exports()
    ended = once()
    assert not ended["success"]
    assert ended["tried again"] == {"segment_memberships": 0, "segment_deliveries": 3}
    assert shop.ran() == ["accepted", "accepted"]


def test_another_run_s_lease_is_waited_for(once: Callable[[], dict[str, Any]], shop: Shop) -> None:
    with shop.busy():
        ended = once()
    assert ended["tried again"]["segment_memberships"] == 3
    assert shop.ran() == ["accepted"]


def test_a_mistake_is_not_tried_again(once: Callable[[], dict[str, Any]], shop: Shop) -> None:
    (shop.root / "segments" / "uk.yml").write_text("where: county = 'UK'\n", encoding="utf-8")
    ended = once()
    assert ended["tried again"]["segment_memberships"] == 0
    assert "did you mean `country`?" in ended["failures"]["segment_memberships"]
