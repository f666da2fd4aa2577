"""A small shop to run unattended, and the Pythons of the environments that examples have of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
COMMAND = Path(sys.executable).with_name("segmentry")

WORKSPACE = """\
version: 1
id: 2f1f3a70-52a7-4f0e-8a39-70a4be3c7f8d
name: shop
state: state
contacts: {path: contacts.parquet, key: contact_id}
schedule: {every: 1 hour}
destinations:
  lake: {type: files, path: exports/, format: csv}
sequences:
  welcome: {destination: lake}
environments:
  default: {deliver: false}
  prod: {deliver: true}
"""


@dataclass(frozen=True)
class Shop:
    """A workspace whose one segment is written to files."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """What the examples are told by: the workspace, its environment, and the command on the path."""
        path = os.pathsep.join([str(COMMAND.parent), os.environ["PATH"]])
        told = {"SEGMENTRY_WORKSPACE": str(self.root), "SEGMENTRY_ENV": "prod", "SEGMENTRY_COMMAND": str(COMMAND)}
        return {**os.environ, **told, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def contacts(self, number: int, *, uk: int) -> None:
        """Lays a snapshot of so many contacts, the first of them from the UK."""
        countries = ["UK" if key < uk else "US" for key in range(number)]
        pl.DataFrame({"contact_id": range(number), "country": countries}).write_parquet(self.root / "contacts.parquet")

    def ran(self) -> list[str]:
        """What the runs are, the newest first."""
        from segmentry import Workspace

        found: list[str] = Workspace.open(self.root, "prod").runs()["status"].to_list()
        return found

    def exported(self) -> list[int]:
        """The contacts that the destination was told of."""
        files = (self.root / "exports").rglob("*.csv")
        return sorted(key for path in files for key in pl.read_csv(path)["contact"].to_list())

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Holds the lease, as another run does."""
        from segmentry.engine.loading import load
        from segmentry.engine.state import State

        loaded = load(self.root, "prod")
        with closing(State.open(loaded.state, loaded.config.id, "prod")) as state, state.lease():
            yield

    def refuse_exports(self) -> None:
        """A file where the destination wants its folder: whatever is sent fails."""
        (self.root / "exports").touch()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """After a first run, with ten contacts in the segment; from then on entrants are sent."""
    from segmentry import Workspace

    root = tmp_path / "shop"
    (root / "segments").mkdir(parents=True)
    (root / "segmentry.yml").write_text(WORKSPACE, encoding="utf-8")
    (root / "segments" / "uk.yml").write_text("where: country = 'UK'\nenroll: welcome\n", encoding="utf-8")
    made = Shop(root)
    made.contacts(100, uk=10)
    Workspace.open(root, "prod").recompute(first_run=True)
    return made


def interpreter(name: str) -> Path:
    """The Python of an environment that an example has of its own; without one the test is skipped."""
    variable = f"SEGMENTRY_{name.upper()}_PYTHON"
    if said := os.environ.get(variable):
        return Path(said)
    made = ROOT / ".make" / name
    if not (made / ".installed").exists():
        pytest.skip(f"there is no environment for {name}: `make test-examples` makes one, {variable} names another's Python")
    return made / "bin" / "python"
