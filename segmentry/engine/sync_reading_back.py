"""`sync reconcile`, and `recover`: destinations are read back, and what is known of their members is mended. Nobody there is touched.

Rows are mended only if they are still as they were when the reading began: what a sender was told meanwhile is newer than what was
read. What the mended rows call for is decided at once, and sent by the next delivery.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from segmentry.engine.connectors.registry import open_destination
from segmentry.engine.delivering import Open
from segmentry.engine.people import CONTACT, HASH
from segmentry.engine.standing_run import Newest
from segmentry.engine.state import State, sync_said, synced
from segmentry.engine.state.lease import hold
from segmentry.engine.state.synced import ACTIVE, ADD, REMOVE, UPDATE, SyncDraft, SyncRecord
from segmentry.engine.sync_comparing import Comparison, Differences
from segmentry.engine.sync_confirming import target_of
from segmentry.engine.sync_ground import Ground, ground_of, meant_syncs, records_of
from segmentry.engine.sync_people import hashed
from segmentry.engine.sync_plans import Sync, syncs_of, wanted_of
from segmentry.engine.sync_reaching import pages, reached
from segmentry.engine.sync_words import sync_name
from segmentry.errors import DestinationError, NotFound, SegmentryError

if TYPE_CHECKING:
    from segmentry.engine.connectors.syncing import SyncDestination
    from segmentry.engine.loading import LoadedWorkspace

LOST_SHARE, LOST_CONTACTS = 0.3, 50
"""More of a sync's members than both, not there any more, are no people who left one by one: somebody looks first. So are all of them."""

MENDS_WITHIN = 60.0
"""Seconds that a run may keep the lease once a reading, which may have taken long, is done."""

REPORT = pl.Schema(
    {
        "segment": pl.String(),
        "destination": pl.String(),
        "target": pl.String(),
        "there": pl.Int64(),
        "acknowledged": pl.Int64(),
        "left": pl.Int64(),
        "found": pl.Int64(),
        "by_hand": pl.Int64(),
        "unsettled": pl.Int64(),
        "add": pl.Int64(),
        "update": pl.Int64(),
        "remove": pl.Int64(),
        "note": pl.String(),
    }
)
"""`there`: members as the destination says; `acknowledged` of them are ours, `by_hand` are not, and are let be. `left`: ours, and not
there any more. `found`: ours, though not known to be there. `unsettled`: told of a moment ago, or under way: looked at next time.
Then what is open now."""


@dataclass(frozen=True)
class ReadBack:
    """One sync, read back. `unread`: why it could not be; `held`: why what was read was not taken."""

    segment: str
    destination: str
    target: str
    there: int | None = None
    acknowledged: int | None = None
    left: int | None = None
    found: int | None = None
    by_hand: int | None = None
    unsettled: int | None = None
    add: int | None = None
    update: int | None = None
    remove: int | None = None
    unread: str | None = None
    held: str | None = None
    readable: bool = True
    """Whether the destination can say who is there at all."""

    @property
    def name(self) -> str:
        """What the sync is called."""
        return sync_name(self.segment, self.destination, self.target)

    @property
    def note(self) -> str | None:
        """What stands in the way."""
        return self.unread or self.held

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**{name: getattr(self, name) for name in REPORT if name != "note"}, "unread": self.unread, "held": self.held}


def report(found: Sequence[ReadBack]) -> pl.DataFrame:
    """What was read back, as `REPORT`."""
    return pl.DataFrame([tuple(getattr(one, name) for name in REPORT) for one in found], schema=REPORT, orient="row")


@dataclass(frozen=True)
class Reading:
    """How destinations are read, and the contacts' rows of a run that has none any more."""

    workspace: LoadedWorkspace
    state: State
    now: datetime
    newest: Newest
    environ: Mapping[str, str]
    open: Open = open_destination


def reconcile(
    reading: Reading,
    *,
    segment: str | None = None,
    destination: str | None = None,
    dry_run: bool = False,
    accept_losses: bool = False,
    wait: float = 0.0,
) -> list[ReadBack]:
    """Reads back the syncs that go on, all or some, and mends what is known of their members. `dry_run` only tells.

    Where most of a sync's members would have left, nothing is taken unless `accept_losses`. Raises NotFound, DecisionError where a run
    must be made first, and LeaseHeld.
    """
    workspace, state = reading.workspace, reading.state
    ground = ground_of(workspace, state, reading.now, reading.newest)
    going = _going(workspace, state, segment, destination)
    work = _Work(reading, ground, accept_losses=accept_losses)
    if dry_run:
        return work.read(going, mend=False)
    with sending_to(state, workspace, [sync.config.destination for sync, _ in going], wait):
        with state.lease(wait):
            pass  # a run that is under way is found out before anything is read
        return work.read(going, mend=True)


def read_after_restoring(reading: Reading) -> list[ReadBack]:
    """Reads back every sync that went on when the backup was made. The senders' leases are held, and nothing is open.

    What can't be read stays as the backup has it, and is said; so does what the accepted run can't tell.
    """
    workspace, state = reading.workspace, reading.state
    records = [one for one in records_of(state).values() if one.status == ACTIVE]
    try:
        ground = ground_of(workspace, state, reading.now, reading.newest)
    except SegmentryError as error:
        return [ReadBack(*one.key, unread=str(error)) for one in records]
    said = {sync.key: sync for sync in syncs_of(workspace)}
    going = [(said[one.key], one) for one in records if one.key in said]
    return _Work(reading, ground, accept_losses=False).read(going, mend=True)


@contextmanager
def sending_to(state: State, workspace: LoadedWorkspace, destinations: Sequence[str], wait: float) -> Iterator[None]:
    """The leases of the senders of some destinations, so that nobody tells them anything meanwhile. Raises LeaseHeld."""
    with ExitStack() as stack:
        for name in sorted(set(destinations)):
            purpose = f"delivery:{name}"
            stack.enter_context(hold(state.catalog, state.workspace, workspace.environment, purpose=purpose, wait=wait, clock=state.clock))
        yield


def _going(workspace: LoadedWorkspace, state: State, segment: str | None, destination: str | None) -> list[tuple[Sync, SyncRecord]]:
    """The syncs that are meant, of those that go on."""
    records = records_of(state)
    meant = meant_syncs(workspace, segment, destination)
    found = [(sync, records[sync.key]) for sync in meant if sync.key in records and records[sync.key].status == ACTIVE]
    if not found and (segment is not None or destination is not None):
        raise NotFound("no such sync goes on: `segmentry sync list` shows those that there are, and what they wait for")
    return found


@dataclass(frozen=True)
class _Work:
    """What all syncs of one reading have in common."""

    reading: Reading
    ground: Ground
    accept_losses: bool

    def read(self, going: Sequence[tuple[Sync, SyncRecord]], *, mend: bool) -> list[ReadBack]:
        """Each sync by itself, every destination opened once."""
        reading = self.reading
        found: dict[tuple[str, str, str], ReadBack] = {}
        for name in sorted({sync.config.destination for sync, _ in going}):
            mine = [(sync, record) for sync, record in going if sync.config.destination == name]
            try:
                with reached(reading.workspace, reading.state, name, reading.environ, open=reading.open) as opened:
                    found.update({sync.key: self._one(opened, sync, record, mend=mend) for sync, record in mine})
            except DestinationError as error:
                found.update({sync.key: ReadBack(*sync.key, unread=str(error)) for sync, _ in mine if sync.key not in found})
        return [found[sync.key] for sync, _ in going]

    def _one(self, destination: SyncDestination, sync: Sync, record: SyncRecord, *, mend: bool) -> ReadBack:
        if sync.segment not in self.ground.standing.segments:
            return ReadBack(*sync.key, unread=f"run {self.ground.record.id} has no segment `{sync.segment}`: recompute first")
        comparison = self._comparison(sync, record)
        try:
            seen = comparison.read(pages(destination, sync.config.destination, target_of(sync.config)))
        except DestinationError as error:
            return ReadBack(*sync.key, unread=str(error), readable=destination.readable)
        held = None if self.accept_losses else _too_many(seen, comparison.members)
        if mend and held is None:
            self._mend(sync, record, seen)
        with self.reading.state.catalog.reading() as connection:
            opened = synced.open_counts(connection).get(record.id, {})
        return ReadBack(
            *sync.key,
            there=seen.there,
            acknowledged=seen.acknowledged,
            left=seen.missing.height,
            found=seen.found.height,
            by_hand=seen.by_hand,
            unsettled=seen.unsettled,
            add=opened.get(ADD, 0),
            update=opened.get(UPDATE, 0),
            remove=opened.get(REMOVE, 0),
            held=held,
        )

    def _comparison(self, sync: Sync, record: SyncRecord) -> Comparison:
        """What the state knows of a sync, and whom it should have."""
        standing = self.ground.standing
        with self.reading.state.catalog.reading() as connection:
            secret = State.secret(connection)
            rows, barred = synced.rows_of(connection, record.id), synced.left_hashes(connection, synced.same_target(record.id))
        people, _ = wanted_of(standing, sync, None, secret)
        people = people.select(CONTACT).with_columns(hashed(people, secret).alias(HASH))
        return Comparison(rows, people, barred, secret, standing.now)

    def _mend(self, sync: Sync, record: SyncRecord, seen: Differences) -> None:
        """Writes down what was read, and decides on what follows, by the run that is accepted now."""
        reading = self.reading
        state = reading.state
        with state.lease(MENDS_WITHIN) as lease:
            with state.catalog.writing() as connection:
                lease.check(connection)
                new = seen.found.filter(pl.col("revision") < 0)[CONTACT].to_list()
                known = sync_said.contacts_known(connection, record.id, new)  # by a run that was made meanwhile
                rows = pl.concat([seen.missing, seen.found.filter((pl.col("revision") >= 0) | ~pl.col(CONTACT).is_in(list(known)))])
                now = {one.id: one for one in synced.syncs(connection)}[record.id]
                draft = SyncDraft(now.id, *now.key, mode=now.mode, status=now.status, answer=now.answer, figures=now.figures)
                synced.apply_syncs(connection, [replace(draft, written=rows, left=seen.left)], reading.now)
            ground = ground_of(reading.workspace, state, reading.now, reading.newest)
            if not ground.recovered and sync.segment in ground.standing.segments:
                ground.commit(lease, [ground.plan(sync, now.answer, starts=False)])


def _too_many(seen: Differences, members: int) -> str | None:
    """Why what was read is not taken: a list that somebody emptied, or made anew under its name, is no list that everybody left."""
    lost = seen.missing.height
    emptied = lost == members and members > 1
    if not emptied and (lost <= LOST_CONTACTS or lost <= LOST_SHARE * members):
        return None
    return f"{lost:,} of {members:,} members are not there any more; see what happened there, and say --yes if they are to stay out"
