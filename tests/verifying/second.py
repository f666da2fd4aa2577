"""The second reading asked about the oracle's random worlds: its own sources over the same Arrow tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from segmentry.engine.frames import EventFrame, snapshot_of
from segmentry.engine.schemas import schema_of
from segmentry.engine.second_reading import sources_of
from segmentry.rules.checker import check
from segmentry.rules.ground import Clock, ground
from segmentry.rules.nodes import Condition, Member, Node, Population, children
from segmentry.rules.parse import parse_text
from segmentry.verifying.days import Undecided, Zone
from segmentry.verifying.evaluator import Reading, World
from segmentry.verifying.orders import Order
from segmentry.verifying.people import Sources, people
from segmentry.verifying.reach import unread, wanted
from tests.oracle.datasets import Dataset, arrow_table

Change = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True)
class Second:
    """Grounded rules over a world, and where their rows are."""

    data: Dataset
    sources: Sources
    conditions: Mapping[str, Condition]

    @classmethod
    def of(cls, data: Dataset, rules: Mapping[str, str], change: Change = lambda table: table) -> Second:
        contacts = change(data.arrow())
        tables = [change(arrow_table(table.columns, table.rows)) for table in data.tables]
        given = [EventFrame(rows, t.contact, t.at, t.name, t.event, data.scale) for t, rows in zip(data.tables, tables, strict=True)]
        framed = snapshot_of(contacts, data.key.name, given)
        schema = schema_of(framed.snapshot, rules.keys(), frames=framed.frames)
        clock = Clock(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=data.clock.as_of), data.clock.zone, data.clock.week_start)
        conditions = {name: ground(check(parse_text(rule), schema)[0], clock) for name, rule in rules.items()}
        return cls(data, sources_of(framed.snapshot, framed.frames), conditions)

    def answers(self) -> dict[str, list[bool | None] | str]:
        """Per rule an answer per contact, in row order (None: left open); or why there is none."""
        keys = [self.key(row[self.data.key.name]) for row in self.data.rows]
        zone = Zone(self.data.clock.zone)
        folk = people(self.sources, keys, wanted(self.conditions), zone)
        orders: dict[Population, Order] = {}
        world = World(self.conditions, self.sources.events, {}, zone, orders)
        readings = [Reading(world, folk[key]) for key in keys]
        for population in self.populations():
            orders[population] = ordered(population, readings)
        found: dict[str, list[bool | None] | str] = {}
        for name in self.conditions:
            reason = unread(self.conditions, name)
            found[name] = reason if reason is not None else [decided(reading, name) for reading in readings]
        return found

    def populations(self) -> list[Population]:
        """All of them, each after those that it needs."""
        found: dict[Population, None] = {}

        def add(node: Node) -> None:
            for child in children(node):
                add(child)
            if isinstance(node, Member):
                add(self.conditions[node.segment])
            if isinstance(node, Population):
                found[node] = None

        for condition in self.conditions.values():
            add(condition)
        return list(found)

    def key(self, raw: Any) -> int | str:
        return str(raw) if self.data.key.kind == "uuid" else raw


def ordered(population: Population, readings: list[Reading]) -> Order:
    """A population in order, by this reading's own values of all contacts; one that is left open leaves the order open."""
    entries = []
    try:
        for reading in readings:
            if population.among is not None and not reading.holds(population.among):
                continue
            by, per = reading.value(population.by), None if population.per is None else reading.value(population.per)
            if by is not None and (population.per is None or per is not None):
                entries.append((reading.person.key, by, per))
    except Undecided as problem:
        return Order(population.falling, unread=str(problem))
    return Order.of(population.falling, entries)


def decided(reading: Reading, name: str) -> bool | None:
    try:
        return reading.member(name)
    except Undecided:
        return None
