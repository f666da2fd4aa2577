"""A small shop that every command can be tried on, and two ways to run a command: in this process, and as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[2]

WORKSPACE = """\
version: 1
id: 7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11
name: shop
timezone: Europe/London
contacts:
  path: data/contacts.parquet
  key: contact_id
  email: email
events:
  - path: data/events.parquet
    contact: contact_id
    at: occurred_at
    name: event
guards: {snapshot: {shrinks: 100%}}
"""

SEGMENTS = {
    "uk": "label: UK visitors\nwhere: \"location = 'UK'\"\n",
    "buyers": "label: Buyers\nwhere: \"count(order_placed, amount > 10, last => '90 days') >= 2\"\n",
    "good_uk": "rules:\n  - {segment: uk, member: true}\n  - {field: score, operator: greater than, value: 50}\n",
    "picked": "list: lists/picked.csv\n",
    "vip": "where: >\n  member('buyers') or score >= 90\ninclude: lists/picked.csv\nexclude: lists/never.csv\n",
}


def contacts() -> pl.DataFrame:
    """Twelve people: every third from the UK, every fourth without a location, scores 0 to 99 with a gap."""
    return pl.DataFrame(
        {
            "contact_id": list(range(1, 13)),
            "email": [f"p{n}@example.com" for n in range(1, 13)],
            "location": [None if n % 4 == 0 else "UK" if n % 3 == 0 else "US" for n in range(1, 13)],
            "score": [None if n == 5 else 9 * (n - 1) for n in range(1, 13)],
            "note": ["=HYPERLINK()" if n == 3 else "x" for n in range(1, 13)],
            "added": [NOW - timedelta(days=n) for n in range(1, 13)],
        }
    )


def events() -> pl.DataFrame:
    """Contact n has n orders of amount 10 + n, one a day back from yesterday."""
    rows = [(n, NOW - timedelta(days=day), "order_placed", 10.0 + n) for n in (1, 2, 3) for day in range(1, n + 1)]
    return pl.DataFrame(rows, schema=["contact_id", "occurred_at", "event", "amount"], orient="row")


@dataclass
class Shop:
    """A workspace's folder and commands to run in it."""

    folder: Path

    def run(self, *words: str, code: int = 0) -> Result:
        """A command in this process; `code` is the exit code that it must end with."""
        from segmentry.cli import cli

        result = CliRunner().invoke(cli, ["--workspace", str(self.folder), *words])
        assert result.exit_code == code, f"{words}: exit {result.exit_code}\n{result.output}"
        return result

    def process(self, *words: str, env: dict[str, str] | None = None, **options) -> subprocess.CompletedProcess:
        """A command as a process of its own, in the workspace's folder."""
        return subprocess.run(
            [sys.executable, "-m", "segmentry", *words],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}),
            capture_output=True,
            timeout=120,
            check=False,
            **options,
        )

    def write(self, path: str, text: str) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target


def build(folder: Path) -> Shop:
    """The shop's files, without a state."""
    shop = Shop(folder)
    shop.write("segmentry.yml", WORKSPACE)
    for name, text in SEGMENTS.items():
        shop.write(f"segments/{name}.yml", text)
    shop.write("lists/picked.csv", "contact_id\n7\n999\n")
    shop.write("lists/never.csv", "3\n")
    (folder / "data").mkdir()
    contacts().write_parquet(folder / "data" / "contacts.parquet")
    events().write_parquet(folder / "data" / "events.parquet")
    return shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return build(tmp_path)


@pytest.fixture
def shop_after_a_run(shop: Shop) -> Shop:
    shop.run("recompute", "--first-run", "--as-of", "2026-03-01T12:00Z")
    return shop


@pytest.fixture(scope="session")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop after its first run, shared by tests that only look."""
    shop = build(tmp_path_factory.mktemp("settled"))
    shop.run("recompute", "--first-run", "--as-of", "2026-03-01T12:00Z")
    return shop
