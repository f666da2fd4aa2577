"""An outbox a test, and no memory left from another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from segmentry.engine.connectors.memory import forget_all
from tests.delivery.outbox import Outbox


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    forget_all()
    found = Outbox(tmp_path / "shop")
    yield found
    found.state.close()
