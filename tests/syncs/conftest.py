"""A small shop whose segment is kept in step with a list, and what the list holds after each run and delivery."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from segmentry.engine.connectors.memory import Memory, forget_all, memory
from segmentry.engine.delivering import Delivered, deliver
from segmentry.engine.loading import load
from segmentry.engine.state.schema import SYNCED, SYNCS
from tests.activation.conftest import LOOSE, Enrolling

LIST = "list:people"

HERE = Path(__file__).parent
SERVICES = re.compile("klaviyo|mailchimp")


@pytest.hookimpl(tryfirst=True)  # before marks are selected by
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A story that is told of both services is told of one of them by the short tests: of which says its name, so that they share them.

    Both would be a quarter of all the short tests' time. A test that is asked for by its own name alone runs.
    """
    stories: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.path.parent == HERE and not item.get_closest_marker("full") and SERVICES.search(item.name):
            stories[SERVICES.sub("service", item.nodeid)].append(item)
    for story, told in stories.items():
        if len(told) > 1:
            told.sort(key=lambda item: item.name)
            del told[zlib.crc32(story.encode()) % len(told)]
            for item in told:
                item.add_marker("full")


@dataclass
class Synced(Enrolling):
    """`shop.sync(...)` says what the segment `uk` is kept in step with; `shop.hour()` recomputes and delivers."""

    destinations: str = "{crm: {type: memory, batch: 100, needs_address: true}}"
    sequences: str = "{}"
    now: datetime = field(default_factory=lambda: datetime(2026, 1, 2, tzinfo=UTC))

    def sync(self, said: str = "existing: send, mode: mirror", *, where: str = "country = 'UK'", enroll: str = "") -> None:
        """The segment, and what it is kept in step with: the words behind `{destination: crm, list: people, ...}`."""
        entry = f"sync: {{destination: crm, list: people, {said}}}\n" if said else ""
        (self.root / "segments").mkdir(exist_ok=True)
        (self.root / "segments" / "uk.yml").write_text(f'where: "{where}"\n{entry}{enroll}')

    def at(self, moment: str) -> None:
        self.now = datetime.fromisoformat(moment).replace(tzinfo=UTC)

    def hour(self, at: str, *, tell: bool = True) -> Delivered | None:
        """A run at a moment, and what is due then."""
        self.at(at)
        self.run(at)
        return self.tell() if tell else None

    def tell(self, **more: Any) -> Delivered:
        """Delivers what is due by now."""
        return deliver(
            self.state, load(self.root).require(), environ={}, clock=lambda: self.now, sleep=lambda _: None, draw=lambda: 0.5, **more
        )

    @property
    def memory(self) -> Memory:
        config = load(self.root).config
        return memory(config.id, "default", "crm")

    @property
    def members(self) -> set[str]:
        return self.memory.members(LIST)

    def rows(self) -> dict[str, tuple[str, str | None]]:
        """State and open action of each contact."""
        with self.state.catalog.reading() as connection:
            return {row.contact: (row.state, row.action) for row in connection.execute(select(SYNCED))}

    def syncs(self) -> list[tuple[str, str, str, str | None]]:
        """Segment, target, status and answer of each sync."""
        with self.state.catalog.reading() as connection:
            return [(row.segment, row.target, row.status, row.answer) for row in connection.execute(select(SYNCS))]


@pytest.fixture
def shop(tmp_path: Path) -> Synced:
    forget_all()
    (tmp_path / "shop").mkdir()
    return Synced(tmp_path / "shop", guards=LOOSE)
