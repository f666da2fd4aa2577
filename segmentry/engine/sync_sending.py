"""One destination's sender of syncs: claims what is due, tells of it, records what was acknowledged.

An answer, and what becomes of its row:

    SENT               add, update: a member, with what was told; remove: out, by whichever sync to the target, or by this one alone where
                       another has it as a member
    LEFT, of a remove  out, where it was only perhaps added
    SENT or REJECTED   update of who was taken for a member by the address, and is another person: to be added
    LEFT, before       as acknowledged before, and to be taken out; `left` where it is out
    LEFT               left: never put back
    SKIPPED            skipped, until something changes, or a day
    REJECTED           add: rejected, until something changes; update: as acknowledged before, until something changes
    REJECTED, again    open, to be tried later; rejected after `TRIES` attempts
    LATER, UNKNOWN     open, to be tried later, in the same batch
    withheld           open; closed if a later run stopped it
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from segmentry.engine.canonical_json import dumps
from segmentry.engine.connectors.destination import Answer, DestinationStopped, Traits, Verdict
from segmentry.engine.connectors.syncing import Action, Change, Notes, SyncBatch, SyncDestination, Target
from segmentry.engine.sending import CLAIM, FAILURES, LARGEST, PATIENCE, RECORD_SECONDS, WithheldError
from segmentry.engine.state import outbox, sync_outbox
from segmentry.engine.state.catalog import Catalog
from segmentry.engine.state.holds import pause
from segmentry.engine.state.lease import Lease
from segmentry.engine.state.remote_names import called_otherwise
from segmentry.engine.state.sync_outbox import EARLIER, OpenRow, SyncEnding, SyncParcel, SyncWatch
from segmentry.engine.state.synced import ANEW, AWAY, LOOKED, MEMBER, OPEN, OUT, REJECTED, SHARED_NAME, SKIPPED
from segmentry.engine.sync_people import CONSENTED
from segmentry.engine.telling import TRIES, Circle, wait_after

TROUBLES = 5
"""Batches in a row that come to nothing, after which the rest is left for later: the destination is down."""

PARCELS = 200
"""Batches claimed at once, at most: one by one, a transaction each would take longer than the requests."""

CLOSED: Mapping[str, Any] = {**dict.fromkeys(OPEN), "attempts": 0, "maybe": False, "perhaps_out": None}
"""The columns of a row with nothing open."""


@dataclass(frozen=True)
class Syncing:
    """What a destination is kept in step with: of each sync's id its segment and target. The rest as in `sending.Settings`."""

    name: str
    namespace: str
    circle: Circle
    syncs: Mapping[int, tuple[str, Target]]
    traits: Traits
    clock: Callable[[], datetime]
    sleep: Callable[[float], object]
    draw: Callable[[], float]
    stopping: threading.Event


@dataclass
class SyncSender:
    """Tells one destination of every change that is due, under its lease. `counts` and `messages` say what came of it."""

    catalog: Catalog
    lease: Lease
    destination: SyncDestination
    settings: Syncing
    counts: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)
    halted: str | None = None
    failed: bool = False
    _asked: set[str] = field(default_factory=set)
    """The batches of which something was asked, so that it may have been done."""
    _troubles: int = 0
    _failures: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Until nothing is due, or something stops it. Raises LeaseLost and StateError."""
        settings = self.settings
        self._watch = SyncWatch(self.catalog, self.lease, settings.name)
        try:
            self._take_over()
            with ThreadPoolExecutor(settings.traits.parallel, thread_name_prefix=f"segmentry-{settings.name}-sync") as pool:
                while not self._ends():
                    parcels = self._claim()
                    if not parcels:
                        break
                    self._send(pool, parcels)
        finally:
            self._watch.close()
        self._explain()

    def _ends(self) -> bool:
        return self.halted is not None or self.settings.stopping.is_set()

    def _take_over(self) -> None:
        with self.catalog.writing() as connection:
            self.lease.check(connection)
            left = sync_outbox.abandoned(connection, self.settings.name, self.settings.clock())
        if left:
            self.messages.append(f"{left:,} changes were under way when an earlier sender ended: it goes on with the same requests")

    def _send(self, pool: ThreadPoolExecutor, parcels: Sequence[SyncParcel]) -> None:
        """Tells of some parcels, and records what came of them as it comes. What no destination raises is raised once that is done."""
        under_way = {pool.submit(self._tell, parcel): parcel for parcel in parcels}
        crash: BaseException | None = None
        while under_way:
            done, _ = wait(under_way, timeout=RECORD_SECONDS)
            if done:
                crash = self._record([(under_way.pop(future), future) for future in done]) or crash
        if crash is not None:
            raise crash

    def _claim(self) -> list[SyncParcel]:
        """The next parcels, all of one action: who changes is told before anybody comes. Small ones are claimed many at once."""
        settings, limit = self.settings, min(self.settings.traits.batch, LARGEST)
        parcels: list[SyncParcel] = []
        with self.catalog.writing() as connection:
            self.lease.check(connection)
            reason = outbox.closed(connection, settings.name)
            if reason is not None:
                self._halt(reason)
                return []
            now, number, syncs = settings.clock(), self.lease.number, list(settings.syncs)
            actions: Sequence[str] = sync_outbox.ORDER
            noted, readable = self.destination.notes_removals, self.destination.readable
            for _ in range(max(settings.traits.parallel, min(CLAIM // limit, PARCELS))):
                parcel = sync_outbox.claim(
                    connection, number, syncs, limit, settings.namespace, now, actions, noted=noted, readable=readable
                )
                if parcel is None:
                    break
                parcels.append(parcel)
                actions = (parcel.rows[0].action,)
        return parcels

    # ------------------------------------------------------------ telling

    def _tell(self, parcel: SyncParcel) -> Sequence[Answer] | None:
        """One parcel, in a thread of the pool; None where it was withheld or came to nothing."""
        asked = self._asked

        def before() -> None:
            if not self._may_go(parcel):
                raise WithheldError
            asked.add(parcel.id)

        if self._ends():
            return None
        try:
            answers = tuple(self.destination.sync(self._batch(parcel), before, self._notes(parcel)))
        except WithheldError:
            return None
        except DestinationStopped as stop:
            self._halt(f"it stopped: {stop}", failed=True)
            with self.catalog.writing() as connection:
                outbox.note_stop(connection, self.settings.name, str(stop), self.settings.clock())
                if stop.disabled:
                    pause(connection, self.settings.name, self.settings.clock(), str(stop))
            return None
        except Exception as error:  # noqa: BLE001 - a connector's bug must not lose a row, and its text may hold an address
            return self._failure(type(error).__name__, parcel)
        except BaseException:
            self._halt("it was ended")
            raise
        if len(answers) != len(parcel.rows) or not all(isinstance(answer, Answer) for answer in answers):
            return self._failure("not an answer a change", parcel)
        self._heed(answers)
        return answers

    def _batch(self, parcel: SyncParcel) -> SyncBatch:
        segment, target = self.settings.syncs[parcel.rows[0].sync]
        action = Action(parcel.rows[0].action)
        at = datetime.fromisoformat(min(row.opened for row in parcel.rows))
        changes = tuple(_change(row, segment, self.settings.circle, parcel) for row in parcel.rows)
        return SyncBatch(parcel.id, segment, target, action, at, changes, self._others)

    def _others(self, names: Mapping[str, str]) -> frozenset[str]:
        """As `destination.Others`."""
        with self.catalog.reading() as connection:
            return called_otherwise(connection, self.settings.name, names)

    def _notes(self, parcel: SyncParcel) -> Notes:
        kept = dict(parcel.notes)
        earlier = kept.pop(EARLIER, ())

        def store(notes: Mapping[str, Any]) -> None:
            with self.catalog.writing() as connection:
                self.lease.check(connection)
                sync_outbox.keep_notes(connection, parcel.id, {**notes, EARLIER: earlier} if earlier else notes)

        return Notes(kept, store, earlier)

    def _may_go(self, parcel: SyncParcel) -> bool:
        """The last look before a request: whether the rows are still due, by the accepted run as it is now."""
        if self._ends():
            return False
        seen = self._watch.look(parcel.id, "")
        if not seen.leased:
            self._halt("another sender has taken over")
        elif seen.closed:
            with self.catalog.reading() as connection:
                self._halt(outbox.closed(connection, self.settings.name) or "it was paused")
        return seen.leased and not seen.closed and seen.rows == len(parcel.rows)

    def _heed(self, answers: Sequence[Answer]) -> None:
        """What answers mean for the whole destination: it asks to wait, or is down."""
        later = [answer for answer in answers if answer.verdict is Verdict.LATER]
        asked = max((answer.after or 0.0 for answer in later), default=0.0)
        with self._lock:
            self._troubles = self._troubles + 1 if len(later) == len(answers) else 0
            troubles = self._troubles
        if asked > PATIENCE:
            self._halt(f"it asks to wait {asked:,.0f} seconds", failed=True)
        elif troubles >= TROUBLES:
            self._halt(f"{troubles} batches in a row came to nothing", failed=True)
        elif asked:
            self.settings.sleep(asked)

    def _failure(self, name: str, parcel: SyncParcel) -> Sequence[Answer]:
        with self._lock:
            self._failures[name] += 1
            total = self._failures.total()
        if total >= FAILURES:
            self._halt("its connector fails", failed=True)
        return [Answer(Verdict.LATER, f"the connector failed ({name})", maybe=True)] * len(parcel.rows)

    def _halt(self, reason: str, *, failed: bool = False) -> None:
        with self._lock:
            if self.halted is None:
                self.halted = reason
            self.failed = self.failed or failed

    # ------------------------------------------------------------ recording

    def _record(self, done: Sequence[tuple[SyncParcel, Future[Sequence[Answer] | None]]]) -> BaseException | None:
        """Writes down what came of some parcels, in one transaction. Gives what no destination raises, if something did."""
        now = self.settings.clock()
        crash: BaseException | None = None
        with self.catalog.writing() as connection:
            for parcel, future in done:
                error = future.exception()
                crash = crash or error
                answers = None if error is not None else future.result()
                asked = parcel.id in self._asked
                noted = self.destination.notes_removals
                found = (
                    [withheld(row, asked=asked, noted=noted) for row in parcel.rows]
                    if answers is None
                    else self._endings(parcel, answers, now)
                )
                sync = parcel.rows[0].sync
                sync_outbox.record(connection, self.lease.number, sync, parcel.id, found, now, readable=self.destination.readable)
                self._count(answers or (), found)
            self.counts["withdrawn"] += sync_outbox.close_stopped(connection, self.settings.name, now)
            if self.counts["synced"] and self.halted is None:
                outbox.note_stop(connection, self.settings.name, None, now)
        return crash

    def _endings(self, parcel: SyncParcel, answers: Sequence[Answer], now: datetime) -> list[SyncEnding]:
        asked = max((answer.after or 0.0 for answer in answers if answer.verdict is Verdict.LATER), default=0.0)
        pause = wait_after(max(row.attempts for row in parcel.rows) + 1, self.settings.draw())
        due = now + max(pause, timedelta(seconds=asked))  # one moment for all that try again: they go in the same batch
        told = zip(parcel.rows, answers, strict=True)
        return [ending(row, answer, due, kept=row.contact in parcel.kept) for row, answer in told]

    def _count(self, answers: Sequence[Answer], endings: Sequence[SyncEnding]) -> None:
        for answer, end in zip(answers, endings, strict=False):  # no answers where it came to nothing
            if not end.anew:
                self.counts[_COUNTED.get(answer.verdict, "trouble")] += 1

    def _explain(self) -> None:
        if self.halted is not None:
            self.messages.append(self.halted)
        self.messages += [f"a bug in its connector ({name}), {times} times" for name, times in sorted(self._failures.items())]
        for verdict, told in ((Verdict.LEFT, "left there, and are not put back"), (Verdict.SKIPPED, "are kept out by its settings")):
            if self.counts[verdict]:
                self.messages.append(f"{self.counts[verdict]:,} {told}")
        self.failed = self.failed or bool(self._failures)


_COUNTED: Mapping[Verdict, str] = {
    Verdict.SENT: "synced",
    Verdict.REJECTED: "rejected",
    Verdict.LEFT: Verdict.LEFT,
    Verdict.SKIPPED: Verdict.SKIPPED,
}
"""Where an answer is counted."""


def ending(row: OpenRow, answer: Answer, due: datetime, *, kept: bool = False) -> SyncEnding:
    """What an answer makes of a row; `due` is when it is tried again, if it is. `kept`: who goes by it is in by another sync still."""
    wanted, attempts = None if row.wanted is None else row.wanted.removesuffix(CONSENTED), row.attempts + 1
    status = {} if answer.status is None else {"remote_status": answer.status}
    remote = {} if answer.remote_id is None else {"remote_id": answer.remote_id}
    consents = CONSENTED if json.loads(row.payload).get("consents") else ""
    refused = {**CLOSED, **remote, **status, "reason": answer.reason, "refused": None if wanted is None else wanted + consents}
    refused["perhaps_out"] = row.perhaps_out
    if row.maybe and (
        row.state != MEMBER or _moved(row)
    ):  # an earlier attempt may have added it, or moved it: it is found by what was told
        refused |= {"maybe": True, "payload": row.payload, "wanted_hash": row.wanted_hash}
    by_address = _by_address(row)
    match answer.verdict:
        case Verdict.SENT if by_address and answer.remote_id not in (None, row.remote_id):
            return SyncEnding(row.contact, _anew(row), anew=True)
        case Verdict.REJECTED if by_address and answer.another:
            return SyncEnding(row.contact, _anew(row), anew=True)
        case Verdict.SENT if row.action == Action.REMOVE:
            left = _out(row, answer, {**CLOSED, **remote, **status, "fingerprint": None})
            return replace(left, out=None) if kept else left
        case Verdict.SENT:
            told: dict[str, Any] = {
                "fingerprint": wanted,
                "address_hash": row.wanted_hash,
                "state": MEMBER,
                "reason": None,
                "refused": None,
                "former_ids": None,
            }
            if row.action == Action.UPDATE:  # which says nothing of membership
                told["perhaps_out"] = row.perhaps_out
            # who took the membership over has it in this target alone
            same = answer.readdressed or answer.remote_id == row.remote_id
            former = row.remote_id if remote and same and _moved(row) else None
            # whose membership went to whoever has the address is there no more as the person it was
            out = row.remote_id if remote and not same and _moved(row) and row.action == Action.UPDATE else None
            put_in = (answer.remote_id or row.remote_id) if row.action == Action.ADD else None
            return SyncEnding(row.contact, {**CLOSED, **remote, **status, **told}, former=former, out=out, put_in=put_in)
        case Verdict.LEFT if answer.before:  # whom it is told as has not left, and goes as whoever is not to be there
            refused["refused"] = row.refused
            inside = row.state == MEMBER or row.maybe
            return SyncEnding(row.contact, refused | ({"left_before": True} if inside else {"state": AWAY}))
        case Verdict.LEFT if row.action == Action.REMOVE and row.state != MEMBER:  # nobody who was never there can have left
            return replace(_out(row, answer, {**CLOSED, **remote, **status}), out=None)
        case Verdict.LEFT:
            # the former address of who is another contact there too is not theirs alone to leave under
            former_hash = None if SHARED_NAME in json.loads(row.payload) else row.address_hash
            hashes = tuple(dict.fromkeys(one for one in (former_hash, row.wanted_hash) if one is not None))
            away = {"state": AWAY, "reason": answer.reason, "address_hash": row.address_hash or row.wanted_hash}
            return SyncEnding(row.contact, {**CLOSED, **remote, **status, **away}, hashes)
        case Verdict.REJECTED if answer.again and attempts < TRIES:
            return _later(row, answer, due)
        case Verdict.REJECTED | Verdict.SKIPPED:
            state = SKIPPED if answer.verdict is Verdict.SKIPPED else REJECTED
            refused |= {"state": row.state if row.state == MEMBER and row.action == Action.UPDATE else state, "former_ids": None}
            if answer.readdressed and remote and _moved(row):  # the address was taken, and only the rest refused
                return SyncEnding(row.contact, refused | {"address_hash": row.wanted_hash}, former=row.remote_id)
            return SyncEnding(row.contact, refused)
    return _later(row, answer, due)


def _anew(row: OpenRow) -> dict[str, Any]:
    """The columns of who is not the person that it was taken for, by the address: nothing is known of it there, and it is added at once."""
    payload = json.loads(row.payload)
    payload.pop(SHARED_NAME, None)
    unknown = dict.fromkeys(("remote_id", "remote_status", "address_hash", "fingerprint", "reason", "refused", "batch", "perhaps_out"))
    opened = {"action": Action.ADD, "payload": dumps({**payload, LOOKED: True}), "due": row.opened}
    return {**unknown, **opened, "state": OUT, "attempts": 0, "maybe": row.maybe}


def _out(row: OpenRow, answer: Answer, values: Mapping[str, Any]) -> SyncEnding:
    """Who is out. Where it is under the address that it was perhaps given, it has that one; another contact's person kept the former."""
    out = {**values, "state": OUT, "reason": None}
    name = answer.remote_id or row.remote_id
    if row.maybe and row.wanted_hash is not None and answer.remote_id not in (None, row.remote_id):
        former = None if SHARED_NAME in json.loads(row.payload) else row.remote_id
        return SyncEnding(row.contact, {**out, "address_hash": row.wanted_hash}, former=former, out=name)
    return SyncEnding(row.contact, out, out=name)


def withheld(row: OpenRow, *, asked: bool, noted: bool = False) -> SyncEnding:
    """A row that was claimed and got no answer: as it was, in its batch. `asked`: some request for the batch was made.

    `noted`: whether it may have been removed is written down by then.
    """
    if _by_address(row):
        return SyncEnding(row.contact, {"attempts": row.attempts, "maybe": row.maybe})
    maybe: dict[str, Any] = {} if noted and row.action == Action.REMOVE else {"maybe": row.maybe or asked}
    if maybe and row.action == Action.REMOVE:
        maybe["perhaps_out"] = bool(row.perhaps_out) or asked
    return SyncEnding(row.contact, {"attempts": row.attempts, **maybe})


def _later(row: OpenRow, answer: Answer, due: datetime) -> SyncEnding:
    before = {"maybe": row.maybe} if _by_address(row) else {}  # a change puts nobody in
    return SyncEnding(row.contact, {"due": outbox.stamp(due), "attempts": row.attempts + 1, "reason": answer.reason, **before})


def _by_address(row: OpenRow) -> bool:
    """Whether it is taken for whoever has its address, who is a member (`taken_for_member`)."""
    return row.action == Action.UPDATE and row.state != MEMBER


def _change(row: OpenRow, segment: str, circle: Circle, parcel: SyncParcel) -> Change:
    payload = json.loads(row.payload)
    data = {
        "change_id": row.change,
        "workspace": circle.workspace,
        "environment": circle.environment,
        "segment": segment,
        "contact": int(row.contact) if circle.kind == "integer" else row.contact,
        "as_of": datetime.fromisoformat(row.opened).isoformat().replace("+00:00", "Z"),
        "fields": payload["fields"],
    }
    return Change(
        row.change,
        row.contact,
        payload["address"],
        row.remote_id,
        payload["fields"],
        data,
        consents=bool(payload.get("consents")),
        moved=_moved(row),
        shared=row.contact in parcel.shared or SHARED_NAME in payload,
        anew=row.contact in parcel.moving or ANEW in payload,
        back=ANEW in payload,
        perhaps_out=bool(row.perhaps_out),
        perhaps_in=row.action == Action.REMOVE and row.state != MEMBER,
        presumed=_by_address(row),
        kept=row.contact in parcel.kept,
        former_ids=tuple(dict.fromkeys((row.former_ids or "").splitlines())),
    )


def _moved(row: OpenRow) -> bool:
    """Whether what is told of a contact has another address than was acknowledged."""
    return row.remote_id is not None and None not in (row.address_hash, row.wanted_hash) and row.address_hash != row.wanted_hash
