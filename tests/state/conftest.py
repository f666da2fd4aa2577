"""A small workspace whose files a test writes, and its runs."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from segmentry.engine.loading import load
from segmentry.engine.run import Recomputed, recompute
from segmentry.engine.state import State

ID = "7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11"
HEAD = f"""version: 1
id: {ID}
timezone: {{zone}}
contacts: {{{{path: contacts.parquet, key: {{key}}}}}}
"""
EVENTS = """events:
  - {path: "events/*.parquet", contact: contact_id, at: at, name: event}
"""


def at(text: str) -> datetime:
    """A time without a zone, as columns hold it."""
    return datetime.fromisoformat(text)


def day(text: str) -> datetime:
    """A date, or a date and time, of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@cache
def empty_state() -> Path:
    """A state as `init` makes it; a copy costs less than another one."""
    folder = Path(tempfile.mkdtemp(prefix="segmentry-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    State.open(folder, ID, create=True).close()
    return folder


@dataclass
class Shop:
    """A workspace in a folder."""

    root: Path
    key: str = "id"
    contacts_file: str = "contacts.parquet"
    zone: str = "UTC"
    events: bool = False
    guards: str = "{snapshot: {shrinks: 100%}}"
    """None of these few contacts shall be missed, unless a test is about that."""
    more: str = ""
    """Further keys of `segmentry.yml`, as text."""

    def contacts(self, rows: Mapping[str, Sequence[Any]] | pl.DataFrame) -> None:
        pl.DataFrame(rows).write_parquet(self.root / "contacts.parquet")

    def event_file(self, name: str, rows: Mapping[str, Sequence[Any]] | pl.DataFrame) -> None:
        (self.root / "events").mkdir(exist_ok=True)
        self.events = True
        pl.DataFrame(rows).write_parquet(self.root / "events" / f"{name}.parquet")

    def segment(self, name: str, where: str | None = None, **keys: str) -> None:
        rule = [] if where is None else [f'where: "{where}"']
        lines = rule + [f"{key.rstrip('_')}: {value}" for key, value in keys.items()]
        (self.root / "segments").mkdir(exist_ok=True)
        (self.root / "segments" / f"{name}.yml").write_text("\n".join(lines) + "\n")

    def remove(self, name: str) -> None:
        (self.root / "segments" / f"{name}.yml").unlink()

    def list(self, name: str, *keys: object) -> None:
        (self.root / name).write_text("".join(f"{key}\n" for key in keys))

    def write_config(self) -> None:
        """`segmentry.yml` as it is to be."""
        head = HEAD.format(zone=self.zone, key=self.key).replace("contacts.parquet", self.contacts_file)
        text = head + (EVENTS if self.events else "") + f"guards: {self.guards}\n{self.more}"
        (self.root / "segmentry.yml").write_text(text)

    def run(self, as_of: str | datetime, **settings: Any) -> Recomputed:
        """A run whose clock reads its `as_of`, unless it is said otherwise."""
        self.write_config()
        when = day(as_of) if isinstance(as_of, str) else as_of
        settings.setdefault("now", when)
        workspace = load(self.root).require()
        if "first_run" not in settings and not workspace.state.exists():
            shutil.copytree(empty_state(), workspace.state)
        return recompute(workspace, as_of=when, **settings)

    @property
    def state(self) -> State:
        return State.open(self.root / ".segmentry" / "default", ID)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    (tmp_path / "shop").mkdir()
    return Shop(tmp_path / "shop")
