"""A world for random syncs: contacts who come, go and change, a destination that forgets nothing, and an hour that brings them in step.

No rule is computed here: who is in the segment is drawn. So an hour costs milliseconds, and thousands of histories can be tried.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from segmentry.engine.activation import Standing
from segmentry.engine.background import known_syncs
from segmentry.engine.connectors.destination import Answer, Traits, Verdict
from segmentry.engine.connectors.memory import Known, Memory, MemoryDestination
from segmentry.engine.connectors.settings import MemorySettings
from segmentry.engine.connectors.syncing import Action, Change, Notes, SyncBatch, Target
from segmentry.engine.loading import LoadedWorkspace, load
from segmentry.engine.people import Snapshot
from segmentry.engine.standing_run import NOBODY
from segmentry.engine.state import State, ledger, sync_outbox, synced
from segmentry.engine.state.lease import hold
from segmentry.engine.state.schema import ALIASES
from segmentry.engine.sync_plans import plan_syncs
from segmentry.engine.sync_sending import Syncing, SyncSender
from segmentry.engine.telling import Circle
from tests.state.conftest import ID

LIST = "list:people"
START = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = f"""version: 1
id: {ID}
contacts: {{path: contacts.parquet, key: id, email: email}}
destinations: {{crm: {{type: memory, batch: 3, needs_address: true}}}}
environments: {{default: {{deliver: true}}}}
"""


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Person:
    """A contact as the snapshot has it, if it is there."""

    key: str
    address: str | None
    tier: int = 0
    inside: bool = True
    suppressed: bool = False
    there: bool = True

    @property
    def normalised(self) -> str | None:
        return (self.address or "").strip().lower() or None


def in_turn(people: Mapping[str, Known], changes: Sequence[Change]) -> Iterator[Change]:
    """As services do it: who gives up an address that another one of them is to have goes before that one; in a circle, one begins."""
    waiting = list(changes)
    while waiting:
        held = {people[one.remote_id].address: one for one in waiting if one.moved and one.remote_id in people}
        going = [one for one in waiting if not one.moved or held.get(one.address, one) is one] or waiting[:1]
        yield from going
        waiting = [one for one in waiting if one not in going]


class Forgiving(MemoryDestination):
    """A destination that does whatever it is asked: whoever was taken off by hand would be put back, and it is noted as a wrong.

    It knows people by their addresses, as services do, and is killed, loses answers and rejects as it is told to. If `keyed`, it also
    knows them by the contact's key that was told when they came, or first since they have none, as Klaviyo does.
    """

    def __init__(self, kept: Memory, meets: Callable[[str], object], *, keyed: bool = False) -> None:
        super().__init__(MemorySettings(type="memory", batch=3, needs_address=True), kept)
        self.meets = meets
        self.keyed = keyed

    def sync(self, batch: SyncBatch, before: Callable[[], None], notes: Notes) -> Sequence[Answer]:
        before()
        self._fate("before")
        self.memory.synced.append(batch)
        notes.keep(job=batch.id)
        people = self.memory.people(str(batch.target))
        made = {change.id: self._made(people, batch, change) for change in in_turn(people, batch.changes)}
        answers = [made[change.id] for change in batch.changes]
        self._fate("after")
        lost = self.meets("answer")
        return [lost] * len(answers) if isinstance(lost, Answer) else answers

    def _fate(self, moment: str) -> None:
        found = self.meets(moment)
        if isinstance(found, BaseException):
            raise found

    def _made(self, people: dict[str, Known], batch: SyncBatch, change: Change) -> Answer:
        action = batch.action
        if self.meets(f"change {change.contact}") == "rejected" and action is not Action.REMOVE:
            return Answer(Verdict.REJECTED, "refused")
        if change.perhaps_in:
            return self._perhaps_removed(people, batch, change)
        if change.remote_id is not None and change.remote_id in people:
            one = people[change.remote_id]
            if change.shared and action is not Action.REMOVE and one.address != change.address:  # as services do it
                if one.left is not None and not change.presumed:
                    return Answer(Verdict.LEFT, "it left under its former address", one.remote_id)
                if action is Action.UPDATE:
                    return Answer(Verdict.REJECTED, "it is another contact too", another=True)
                one = self._by_address(people, change)
        elif change.address is None:
            return Answer(Verdict.SENT)
        else:
            one, astray = self._by_key(people, batch, change)
            if astray is not None and astray.left is not None:
                return Answer(Verdict.LEFT, "it left under its former address", astray.remote_id)
            one = one or self._by_address(people, change)
        if action is Action.REMOVE:
            return self._removed(one, change)
        if action is Action.UPDATE and change.moved and not one.inside:
            return Answer(Verdict.LEFT, "it was not in there any more", one.remote_id)
        taken = next((other for other in people.values() if other is not one and other.address == change.address), None)
        if taken is not None:  # somebody else has the new address: membership moves there
            if one.inside and one.ours and action is Action.UPDATE:
                one.inside = False
                taken.ours = taken.ours or not taken.inside
                taken.inside = taken.inside or taken.left is None
            one = taken
        if action is Action.ADD:
            if one.left is not None:
                self.memory.wrongs.append(f"{change.contact} ({one.address}) was put back: {one.left}")
            one.ours = one.ours or not one.inside
            one.inside = True
        one.address, one.fields = change.address, dict(change.fields)
        if self.keyed and not any(other.contact == change.contact for other in people.values()):
            one.contact = change.contact
        return Answer(Verdict.SENT, remote_id=one.remote_id)

    @staticmethod
    def _by_address(people: dict[str, Known], change: Change) -> Known:
        """Whoever has the address, or else somebody new."""
        there = next((other for other in people.values() if other.address == change.address), None)
        known = any(other.contact == change.contact for other in people.values())
        one = there or Known(f"r{len(people)}", change.address, None if known else change.contact)
        return people.setdefault(one.remote_id, one)

    def _by_key(self, people: dict[str, Known], batch: SyncBatch, change: Change) -> tuple[Known | None, Known | None]:
        """Who has the contact's key, where that is nobody else; and who has it where it is another contact by now."""
        found = next((one for one in people.values() if self.keyed and one.contact == change.contact), None)
        if found is not None and found.address != change.address and batch.others({change.contact: found.remote_id}):
            return None, found
        return found, None

    def _perhaps_removed(self, people: dict[str, Known], batch: SyncBatch, change: Change) -> Answer:
        """Whoever has the address that was told goes, as services do it; else whoever is called so, but no other contact."""
        there = next((other for other in people.values() if other.address == change.address), None)
        named = None if change.shared else people.get(change.remote_id or "")
        one = there or named or self._by_key(people, batch, change)[0]
        return Answer(Verdict.SENT) if one is None else self._removed(one, change)

    def _removed(self, one: Known, change: Change) -> Answer:
        if not one.inside and change.perhaps_out:
            return Answer(Verdict.SENT, remote_id=one.remote_id)
        if not one.inside:
            return Answer(Verdict.LEFT, "it was not in there any more", one.remote_id)
        if change.kept:
            return Answer(Verdict.SENT, remote_id=one.remote_id)
        if not one.ours:
            self.memory.wrongs.append(f"{one.address} was removed, and was put in by hand")
        one.inside = False
        return Answer(Verdict.SENT, remote_id=one.remote_id)


@dataclass
class World:
    """One workspace with one sync. `hour()` is a run and a delivery; `people` says who there is, `names` of whom a history is drawn."""

    root: Path
    draw: random.Random
    mode: str = "mirror"
    existing: str = "send"
    keyed: bool = False
    names: str = ""
    people: dict[str, Person] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    now: datetime = START
    script: dict[str, list[object]] = field(default_factory=dict)
    rejects: set[str] = field(default_factory=set)
    merged: dict[str, str] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.root / "segments").mkdir(parents=True)
        (self.root / "segmentry.yml").write_text(CONFIG)
        self.state = State.open(self.root / "state", ID, create=True)

    def workspace(self) -> LoadedWorkspace:
        entry = f"sync: {{destination: crm, list: people, mode: {self.mode}, existing: {self.existing}, fields: {{tier: tier}}}}"
        (self.root / "segments" / "uk.yml").write_text(f'where: "true"\n{entry}\n')
        return load(self.root).require()

    def standing(self) -> Standing:
        there = [one for _, one in sorted(self.people.items())]
        frame = pl.DataFrame(
            {"id": [one.key for one in there], "email": [one.address for one in there], "tier": [one.tier for one in there]},
            schema={"id": pl.String(), "email": pl.String(), "tier": pl.Int64()},
        )
        present = pl.Series([one.there for one in there], dtype=pl.Boolean())

        def rows(keys: pl.Series, columns: Sequence[str]) -> pl.DataFrame:
            return frame.filter(pl.col("id").is_in(keys.implode()) & present).select(list(dict.fromkeys(["id", *columns])))

        inside = pl.Series([one.inside for one in there], dtype=pl.Boolean())
        return Standing(
            run=1,
            as_of=self.now,
            now=self.now,
            kind="text",
            keys=frame["id"],
            present=present,
            member=lambda _: inside,
            segments=frozenset({"uk"}),
            suppressed=pl.Series([one.suppressed for one in there], dtype=pl.Boolean()),
            entered=NOBODY,
            snapshot=Snapshot("id", "email", rows),
        )

    def compute(self) -> None:
        """What a run makes of the sync."""
        with self.state.catalog.reading() as connection:
            secret = self.state.secret(connection)
            drafts = plan_syncs(self.workspace(), self.standing(), known_syncs(connection, secret, self.merged))
        with self.state.catalog.writing() as connection:
            for old in self.merged.keys() - ledger.aliases(connection).keys():  # as a run's commit does, which senders go by
                connection.execute(ALIASES.insert().values(old=old, new=self.merged[old], run=1))
            synced.apply_syncs(connection, drafts, self.now)

    def tell(self) -> SyncSender | None:
        """What a delivery makes of it; None if it was killed."""
        destination = Forgiving(self.memory, self._meets, keyed=self.keyed)
        with hold(self.state.catalog, ID, "default", purpose="delivery:crm", clock=self.state.clock) as lease:
            with self.state.catalog.reading() as connection:
                keys = sync_outbox.syncs_to(connection, "crm")
            settings = Syncing(
                "crm",
                ID,
                Circle(ID, "default", "text"),
                {number: (segment, Target("list", "people")) for number, (segment, *_) in keys.items()},
                Traits(batch=3, parallel=1, needs_address=True),
                lambda: self.now,
                lambda _: None,
                lambda: 0.5,
                threading.Event(),
            )
            sender = SyncSender(self.state.catalog, lease, destination, settings, Counter(), [])
            try:
                sender.run()
            except Killed:
                return None
        return sender

    def _meets(self, moment: str) -> object:
        if moment.startswith("change "):
            return "rejected" if moment.removeprefix("change ") in self.rejects else None
        waiting = self.script.get(moment)
        return waiting.pop(0) if waiting else None

    def rest(self) -> None:
        """Nothing goes wrong any more, for so long that everything that waits has gone."""
        self.script.clear()
        for _ in range(3):
            self.now += timedelta(hours=30)
            self.compute()
            self.tell()

    # ------------------------------------------------------------ what should be

    @property
    def inside(self) -> set[str]:
        """The addresses in the list."""
        return {str(one.address) for one in self.memory.people(LIST).values() if one.inside}

    @property
    def ours(self) -> set[str]:
        """Those of them whom the sync added."""
        return {str(one.address) for one in self.memory.people(LIST).values() if one.inside and one.ours}

    @property
    def away(self) -> set[str]:
        """The addresses of who was taken off by hand."""
        return {str(one.address) for one in self.memory.people(LIST).values() if one.left is not None}

    def desired(self) -> set[str]:
        """The addresses that the list should have: of whoever is in, but no address that a suppressed contact has as well."""
        here = [one for one in self.people.values() if one.there and one.normalised is not None]
        suppressed = {one.normalised for one in here if one.suppressed}
        return {str(one.normalised) for one in here if one.inside} - suppressed

    def all_rows(self) -> list[dict[str, Any]]:
        """The rows of every sync."""
        with self.state.catalog.reading() as connection:
            return [row for one in synced.syncs(connection) for row in synced.rows_of(connection, one.id).to_dicts()]

    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of the only sync, by contact."""
        return {row["contact"]: row for row in self.all_rows()}

    def acknowledged(self) -> set[str]:
        """The remote ids of members."""
        return {row["remote_id"] for row in self.all_rows() if row["state"] == "member"} - {None}
