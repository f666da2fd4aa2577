"""A small shop whose segments enroll, and what its ledger says after each run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import select

from segmentry.engine.deciding import Decided, approve, discard
from segmentry.engine.loading import load
from segmentry.engine.moment import Moment
from segmentry.engine.state import State, ledger
from segmentry.engine.state.holds import holds
from segmentry.engine.state.records import HoldRecord
from segmentry.engine.state.schema import DELIVERIES, ENROLLMENTS
from tests.state.conftest import Shop, day

LOOSE = "{snapshot: {shrinks: 100%}, sequence: {contacts: 5000}}"


@dataclass
class Enrolling(Shop):
    """`shop.people(...)` writes the snapshot, `shop.ledger()` tells what became of whom."""

    key: str = "id"
    destinations: str = "{crm: {type: memory}}"
    sequences: str = "{welcome: {destination: crm}}"
    deliver: bool = True
    email: bool = True
    path: str = "contacts.parquet"
    further: dict[str, str] = field(default_factory=dict)

    def people(self, rows: Mapping[str, Sequence[Any]] | pl.DataFrame) -> None:
        """A snapshot; whoever has no e-mail address written has one of their own."""
        frame = pl.DataFrame(rows)
        if "email" not in frame.columns:
            frame = frame.with_columns(email=pl.format("c{}@example.com", "id"))
        self.contacts(frame)

    def write_config(self) -> None:
        environment = "environments: {default: {deliver: true}}\n" if self.deliver else ""
        further = "".join(f"{key}: {value}\n" for key, value in self.further.items())
        self.more = f"destinations: {self.destinations}\nsequences: {self.sequences}\n{environment}{further}"
        super().write_config()
        email = "email: email, " if self.email else ""
        path = self.root / "segmentry.yml"
        said = f'{{path: "{self.path}", {email}{self._aliases()}key: {self.key}}}'
        path.write_text(path.read_text().replace(f"{{path: contacts.parquet, key: {self.key}}}", said))

    def _aliases(self) -> str:
        return "aliases: aliases.parquet, " if (self.root / "aliases.parquet").exists() else ""

    @cached_property
    def state(self) -> State:
        """The state, opened once: whoever reads it sees what was committed last."""
        return super().state

    def ledger(self, sequence: str | None = None) -> list[tuple[str, int, str]]:
        """Every numbered row: contact, number, outcome; by contact and number."""
        with self.state.catalog.reading() as connection:
            rows = [row for row in connection.execute(select(ENROLLMENTS)) if sequence in (None, row.sequence)]
        return sorted((row.contact, row.number, row.outcome) for row in rows)

    def reasons(self) -> dict[str, str | None]:
        """Why each contact's last row is what it is."""
        with self.state.catalog.reading() as connection:
            return {row.contact: row.reason for row in connection.execute(select(ENROLLMENTS).order_by(ENROLLMENTS.c.number))}

    def since(self) -> dict[str, datetime | None]:
        """Since when each contact's last row is due."""
        with self.state.catalog.reading() as connection:
            rows = list(connection.execute(select(ENROLLMENTS).order_by(ENROLLMENTS.c.number)))
        return {row.contact: None if row.pending_since is None else datetime.fromisoformat(row.pending_since) for row in rows}

    def people_of(self) -> dict[str, str]:
        """Under which key each contact's rows go on."""
        with self.state.catalog.reading() as connection:
            return {row.contact: row.person for row in connection.execute(select(ENROLLMENTS))}

    def baseline(self, segment: str, sequence: str = "welcome") -> list[str]:
        """Who is baseline in a pair."""
        with self.state.catalog.reading() as connection:
            frames = list(ledger.baseline_rows(self.state.folder, connection, {sequence}, {segment}))
        return sorted(pl.concat(frames).collect()["contact"].to_list()) if frames else []

    def ledger_file(self, run: int) -> pl.DataFrame:
        """What a run wrote into the ledger, for good."""
        return pl.read_parquet(self.state.folder / ledger.path_of(run))

    def skipped(self, run: int | None = None) -> dict[str, str]:
        """Whose entries in a run enrolled nobody, and why."""
        return dict(self.state.skipped(run).select("contact", "reason").iter_rows())

    def outbox(self) -> dict[str, Any]:
        """The deliveries by id, as the catalog has them."""
        with self.state.catalog.reading() as connection:
            return {row.id: row for row in connection.execute(select(DELIVERIES))}

    def statuses(self) -> list[tuple[int, str, str]]:
        """Every hold that ever was: its run, the name of what it holds (else its kind), and how it stands."""
        return [(hold.run, hold.name or hold.kind, hold.status) for hold in self.holds(None)]

    def holds(self, status: str | None = "open") -> list[HoldRecord]:
        with self.state.catalog.reading() as connection:
            return holds(connection, status=status)

    def changes(self, run: int | None = None) -> list[tuple[object, ...]]:
        """A run's changes: segment, contact, change, cause."""
        return [row[:4] for row in self.state.changes(run).rows()]

    def approve(self, run: int, *names: str, at: str, baseline: bool = False) -> Decided:
        workspace = load(self.root).require()
        now = day(at)
        return approve(workspace, self.state, run, names, now, lambda: Moment.at(workspace, now).snapshot.contacts, baseline=baseline)

    def discard(self, run: int, *names: str, at: str) -> Decided:
        return discard(self.state, run, names, day(at))


@dataclass
class Shelf:
    """Shops that many tests begin with: each is built once, and put back as it was, at its own place, for every test.

    At its own place because a state knows the files of its runs by their paths and times.
    """

    root: Path
    built: dict[str, Enrolling] = field(default_factory=dict)

    def take(self, build: Callable[[Enrolling], None]) -> Enrolling:
        name = f"{build.__module__}.{build.__qualname__}"
        place, kept = self.root / name / "shop", self.root / name / "kept"
        if name not in self.built:
            place.mkdir(parents=True)
            built = Enrolling(place, guards=LOOSE)
            build(built)
            shutil.copytree(place, kept)
            self.built[name] = built
        shutil.rmtree(place)
        shutil.copytree(kept, place)
        as_built = self.built[name]
        return replace(as_built, further=dict(as_built.further))


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def shop(tmp_path) -> Enrolling:
    (tmp_path / "shop").mkdir()
    return Enrolling(tmp_path / "shop", guards=LOOSE)
