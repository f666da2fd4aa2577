"""A small shop whose segments enroll, and what its ledger says after each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl
import pytest
from sqlalchemy import select

from segmentry.engine.deciding import Decided, approve, discard
from segmentry.engine.loading import load
from segmentry.engine.moment import Moment
from segmentry.engine.state import ledger
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
        if self.email:
            path = self.root / "segmentry.yml"
            path.write_text(path.read_text().replace(f"key: {self.key}}}", f"key: {self.key}, email: email{self._aliases()}}}"))

    def _aliases(self) -> str:
        return ", aliases: aliases.parquet" if (self.root / "aliases.parquet").exists() else ""

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

    def skipped(self, run: int | None = None) -> dict[str, str]:
        """Whose entries in a run enrolled nobody, and why."""
        return dict(self.state.skipped(run).select("contact", "reason").iter_rows())

    def outbox(self) -> dict[str, Any]:
        """The deliveries by id, as the catalog has them."""
        with self.state.catalog.reading() as connection:
            return {row.id: row for row in connection.execute(select(DELIVERIES))}

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


@pytest.fixture
def shop(tmp_path) -> Enrolling:
    (tmp_path / "shop").mkdir()
    return Enrolling(tmp_path / "shop", guards=LOOSE)
