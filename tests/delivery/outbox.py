"""A workspace with an outbox that tests fill, and what became of its rows. Imported by processes that are killed, too."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import delete, insert, select, update

from segmentry.engine.connectors.destination import Destination
from segmentry.engine.connectors.memory import Memory, MemoryDestination, memory
from segmentry.engine.connectors.registry import Context, open_destination
from segmentry.engine.delivering import Delivered, deliver
from segmentry.engine.loading import LoadedWorkspace, load
from segmentry.engine.state import State
from segmentry.engine.state.schema import DELIVERIES, DESTINATIONS, ENROLLMENTS, HOLDS, PAUSES

ID = "7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11"
START = datetime(2026, 11, 23, 18, tzinfo=UTC)
HEAD = f"""version: 1
id: {ID}
contacts: {{path: contacts.parquet, key: id, email: email}}
environments: {{prod: {{deliver: true}}, quiet: {{deliver: false}}}}
"""
MEMORY = "destinations: {mem: {type: memory, batch: 1}}\nsequences: {welcome: {destination: mem}}\n"


def stamp(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")


def row_id(name: str) -> str:
    """The lasting id of the row that a test calls so."""
    return str(uuid5(UUID(ID), name))


@cache
def empty_state(env: str) -> Path:
    """A state as `init` makes it; a copy costs less than another one."""
    folder = Path(tempfile.mkdtemp(prefix="segmentry-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    State.open(folder, ID, env, create=True).close()
    return folder


@dataclass
class Clock:
    """Moves when it is told to, or slept by."""

    now: datetime = START
    naps: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += timedelta(seconds=seconds)

    def pass_(self, **length: float) -> None:
        self.now += timedelta(**length)


@dataclass
class Outbox:
    """A workspace in a folder, and its state."""

    root: Path
    config: str = MEMORY
    env: str = "prod"
    clock: Clock = field(default_factory=Clock)
    environ: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        folder = self.root / ".segmentry" / self.env
        if not folder.exists():
            shutil.copytree(empty_state(self.env), folder)
        self.state = State.open(folder, ID, self.env)

    @property
    def workspace(self) -> LoadedWorkspace:
        (self.root / "segmentry.yml").write_text(HEAD + self.config)
        return load(self.root, self.env).require()

    @property
    def memory(self) -> Memory:
        return memory(ID, self.env, "mem")

    def memory_of(self, name: str) -> Memory:
        return memory(ID, self.env, name)

    def put(self, *names: str, outcome: str = "pending", sequence: str = "welcome", destination: str = "mem", **more: Any) -> list[str]:
        """Rows in the outbox, pending since now; `more` are columns of either table, `address` and `fields` of the payload."""
        at = stamp(self.clock())
        since = more.pop("pending_since", at if outcome in ("pending", "sending") else None)
        payloads = [
            json.dumps({"address": more.get("address", f"{name}@example.com"), "fields": more.get("fields", {"city": "York"})})
            for name in names
        ]
        enrolled = {
            "sequence": sequence, "segment": "visitors", "number": 1, "run": 1, "as_of": at, "cause": "data", "address_hash": None,
            "outcome": outcome, "reason": None, "changed": at, "pending_since": since,
        }  # fmt: skip
        delivered = {
            "destination": destination, "attempts": 0, "due": at, "batch": None, "stop": None, "maybe": False, "lease": None,
            "remote_id": None, "error": None, "ended": None,
        }  # fmt: skip
        ids = [row_id(name) for name in names]
        enrolled |= {key: value for key, value in more.items() if key in enrolled}
        delivered |= {key: value for key, value in more.items() if key in delivered}
        with self.state.catalog.writing() as connection:
            connection.execute(
                insert(ENROLLMENTS), [{**enrolled, "id": id, "contact": n, "person": n} for id, n in zip(ids, names, strict=True)]
            )
            connection.execute(insert(DELIVERIES), [{**delivered, "id": id, "payload": p} for id, p in zip(ids, payloads, strict=True)])
        return ids

    def deliver(self, *destinations: str, **settings: Any) -> Delivered:
        settings = {"clock": self.clock, "sleep": self.clock.sleep, "draw": lambda: 0.5, "environ": self.environ} | settings
        return deliver(self.state, self.workspace, destinations=destinations or None, **settings)

    def row(self, name: str) -> Any:
        """Everything that is stored of a row; None if there is none."""
        query = select(ENROLLMENTS, *(column for column in DELIVERIES.c if column.name != "id")).join(
            DELIVERIES, ENROLLMENTS.c.id == DELIVERIES.c.id
        )
        with self.state.catalog.reading() as connection:
            return connection.execute(query.where(ENROLLMENTS.c.id == row_id(name))).first()

    def outcomes(self) -> dict[str, str]:
        """What every row is, by its name."""
        with self.state.catalog.reading() as connection:
            rows = connection.execute(select(ENROLLMENTS.c.contact, ENROLLMENTS.c.outcome).order_by(ENROLLMENTS.c.contact))
            return {row.contact: row.outcome for row in rows}

    def change(self, name: str, **values: Any) -> None:
        """What a run's commit, or somebody else, writes to a row meanwhile."""
        with self.state.catalog.writing() as connection:
            for table in (ENROLLMENTS, DELIVERIES):
                found = {key: value for key, value in values.items() if key in table.c}
                if found:
                    connection.execute(update(table).where(table.c.id == row_id(name)).values(found))

    def forget(self, *names: str) -> None:
        """What `forget` does to rows."""
        with self.state.catalog.writing() as connection:
            for table in (ENROLLMENTS, DELIVERIES):
                connection.execute(delete(table).where(table.c.id.in_(map(row_id, names))))

    def hold(self, kind: str, name: str = "suppress") -> None:
        with self.state.catalog.writing() as connection:
            at = stamp(self.clock())
            values = {"id": 1, "run": 1, "kind": kind, "name": name, "status": "open", "since": at, "opened": at, "detail": "{}"}
            connection.execute(insert(HOLDS).values(values))

    def pause(self, name: str) -> None:
        with self.state.catalog.writing() as connection:
            connection.execute(insert(PAUSES).values(name=name, since=stamp(self.clock())))

    def pauses(self) -> dict[str, str | None]:
        with self.state.catalog.reading() as connection:
            return {row.name: row.reason for row in connection.execute(select(PAUSES))}

    def stopped(self, name: str = "mem") -> str | None:
        with self.state.catalog.reading() as connection:
            return connection.execute(select(DESTINATIONS.c.stopped).where(DESTINATIONS.c.name == name)).scalar()


class Watched(MemoryDestination):
    """A memory that calls somebody right before it looks, and after it was told."""

    def __init__(self, inner: MemoryDestination, before: Any, after: Any) -> None:
        self.__dict__.update(inner.__dict__)  # the same destination, with other ears
        self._before, self._after = before, after

    def send(self, batch: Any, before: Any) -> Sequence[Any]:
        def first() -> None:
            self._before(batch)
            before()

        answers = super().send(batch, first)
        self._after(batch)
        return answers


def watched(before: Any = lambda _: None, after: Any = lambda _: None) -> Any:
    """An `open` whose destinations call `before` and `after` with each batch."""

    def opened(name: str, settings: Mapping[str, Any], context: Context) -> Destination:
        inner = open_destination(name, settings, context)
        assert isinstance(inner, MemoryDestination)
        return Watched(inner, before, after)

    return opened
