"""Small data and short ways to ask about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from segmentry.engine.evaluation import Evaluation
from segmentry.engine.frames import EventFrame, FrameSnapshot, snapshot_of
from segmentry.engine.plan import Plan, make_plan
from segmentry.engine.schemas import schema_of
from segmentry.rules.checker import check
from segmentry.rules.ground import Clock, ground
from segmentry.rules.nodes import Condition
from segmentry.rules.parse import parse_text

AS_OF = datetime(2026, 6, 15, 12, tzinfo=UTC)


def at(*moments: str | None) -> pa.Array:
    return pa.array([None if m is None else datetime.fromisoformat(m) for m in moments], pa.timestamp("us"))


class World:
    """A snapshot, and rules about it."""

    def __init__(self, contacts: Any, events: Sequence[EventFrame] = (), key: str = "id", zone: str = "UTC") -> None:
        self.sources: FrameSnapshot = snapshot_of(contacts, key, list(events))
        self.clock = Clock(AS_OF, zone)

    def conditions(self, rules: Mapping[str, str]) -> dict[str, Condition]:
        schema = schema_of(self.sources.snapshot, rules.keys(), frames=self.sources.frames)
        return {name: ground(check(parse_text(rule), schema)[0], self.clock) for name, rule in rules.items()}

    def plan(self, rules: Mapping[str, str], values: Sequence[Any] = ()) -> Plan:
        return make_plan(self.conditions(rules), self.sources.snapshot, self.clock, values=values)

    def evaluation(self, **options: Any) -> Evaluation:
        return Evaluation(self.sources.snapshot, clock=self.clock, frames=self.sources.frames, **options)

    def members(self, *rules: str) -> list[list[Any]]:
        """Of each rule its members' keys."""
        named = {f"r{number}": rule for number, rule in enumerate(rules)}
        with self.evaluation() as evaluation:
            found = evaluation.memberships(self.plan(named))
            return [evaluation.keys().filter(found.column(name)).to_list() for name in named]


@pytest.fixture
def shop() -> World:
    """Six contacts and their events, one of whom has none."""
    contacts = pa.table(
        {
            "id": [1, 2, 3, 4, 5, 6],
            "location": ["UK", "US", "", None, "uk", "UK"],
            "value": pa.array([10, 500, None, 501, 0, 1000], pa.int64()),
        }
    )
    events = pa.table(
        {
            "contact_id": [1, 1, 2, 2, 4, 4, 5, 99, None],
            "at": at(
                "2026-06-15T12:00:00", "2026-06-15T12:00:00.000001", "2026-06-01", "2026-01-01", "2026-06-14", None, "2026-05-16T12:00:00",
                "2026-06-01", "2026-06-01",
            ),
            "event": ["order", "order", "order", "login", "order", "order", "order", "order", "order"],
            "amount": [1.5, 2.5, 10.0, None, float("nan"), 7.0, 0.25, 1.0, 1.0],
        }
    )  # fmt: skip
    return World(contacts, [EventFrame(events, "contact_id", "at", "event")])
