"""Delivery: whatever is due goes to its destination, a sender a destination, side by side. It goes on while later runs commit.

Who may still be told is settled by runs, in their own commit (`settling`): a row that is still due may go. So a sender claims
rows in one transaction, looks once more immediately before each request, and records what came of them, many at once.

    crash before the claim        nothing happened
    crash after it                the rows are `sending`; the next sender finds them: the same batches again where the
                                  destination is repeat-safe, else `unknown`, and a person decides

Memory is bounded: a claim is of some thousands of rows at most, and only the ids of those next in line are known beyond it.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from segmentry.engine.background import DELIVERS
from segmentry.engine.config import parse_length
from segmentry.engine.connectors.destination import Destination, DestinationStopped
from segmentry.engine.connectors.exports import ExportDestination
from segmentry.engine.connectors.registry import Context, open_destination, sync_traits_of, traits_of
from segmentry.engine.connectors.syncing import SyncDestination, Target
from segmentry.engine.exporting import Exporter, Work, work_of
from segmentry.engine.report import Progress, unseen
from segmentry.engine.sending import Sender, Settings
from segmentry.engine.state import outbox, reading, sync_outbox, synced
from segmentry.engine.state.holds import pauses
from segmentry.engine.state.lease import Lease, hold
from segmentry.engine.state.state import wall_clock
from segmentry.engine.sync_plans import syncs_of
from segmentry.engine.sync_sending import Syncing, SyncSender
from segmentry.engine.sync_words import sync_name
from segmentry.engine.telling import Circle
from segmentry.engine.whose import UNKNOWN, mismatch, namesake, whose
from segmentry.errors import DestinationError, LeaseHeld, NotFound, SegmentryError
from segmentry.rules.suggest import did_you_mean

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from segmentry.engine.loading import LoadedWorkspace
    from segmentry.engine.state import State

Open = Callable[[str, Mapping[str, Any], Context], Destination]

LOOK_SECONDS = 0.1
"""How often progress is told."""

COUNTS = ("sent", "synced", "exported", "rejected", "later", "unknown", "withdrawn", "expired", "left")
"""The figures of a destination: see `Delivery`."""


@dataclass(frozen=True)
class Delivery:
    """What came of one destination's rows.

    `sent` are enrollments, `synced` changes of syncs that were acknowledged, `exported` files of segments; the other figures are of
    enrollments and syncs. `withdrawn`: stopped by a
    later run while under way, also who is suppressed since. `later`: pending, to be tried at a later
    time. `left`: due, and not sent, for a reason that `messages` say. `failed`: whether somebody should look.
    """

    sent: int = 0
    synced: int = 0
    exported: int = 0
    rejected: int = 0
    later: int = 0
    unknown: int = 0
    withdrawn: int = 0
    expired: int = 0
    left: int = 0
    messages: tuple[str, ...] = ()
    failed: bool = False


@dataclass(frozen=True)
class Delivered:
    """What came of a delivery, by destination. `messages`: what is so of the whole of it."""

    destinations: Mapping[str, Delivery]
    messages: tuple[str, ...] = ()
    sends: bool = True
    """Whether the environment sends anything."""

    @property
    def failed(self) -> bool:
        """Whether some deliveries failed."""
        return any(one.failed for one in self.destinations.values())

    def summary(self) -> pl.DataFrame:
        """A row a destination: `destination` and its figures."""
        rows = [{"destination": name, **{key: getattr(one, key) for key in COUNTS}} for name, one in self.destinations.items()]
        return pl.DataFrame(rows, schema={"destination": pl.String(), **dict.fromkeys(COUNTS, pl.Int64())})

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        told = {name: {**asdict(one), "messages": list(one.messages)} for name, one in self.destinations.items()}
        return {"destinations": told, "messages": list(self.messages), "failed": self.failed}


def deliver(
    state: State,
    workspace: LoadedWorkspace,
    *,
    destinations: Sequence[str] | None = None,
    environ: Mapping[str, str],
    clock: Callable[[], datetime] = wall_clock,
    progress: Progress = unseen,
    open: Open = open_destination,
    sleep: Callable[[float], object] | None = None,
    draw: Callable[[], float] = random.random,
) -> Delivered:
    """Sends whatever is due, to all destinations or some, and comes back when nothing more is due.

    Call it without holding the run's lease. `clock` (UTC) says what is due; `sleep`, which waits by that clock, and `draw`, from 0
    to 1 for jitter, are the real ones where not given. Raises NotFound for an unknown destination and StateError. After Ctrl-C
    it waits for the requests under way, records them, and raises KeyboardInterrupt.
    """
    names = _named(workspace, destinations)
    environment = workspace.config.environments.get(workspace.environment)
    if environment is None or not environment.deliver:
        return Delivered({}, (f"environment `{workspace.environment}` sends nothing: it has no `deliver: true`",), sends=False)
    unknown = state.unknown_ledgers()
    if unknown:  # what is due by a restored catalog may have been sent since
        return Delivered({}, (f"an older catalog was restored, which does not know {unknown[0]}; `segmentry recover` first",))
    if state.fact(DELIVERS) is False:  # what is due waited while nothing was sent, and is old
        return Delivered({}, (f"environment `{workspace.environment}` delivers now, and did not at the accepted run; recompute first",))
    state.finish_ledger()
    stopping, exports = threading.Event(), _exports(state, workspace)
    delivering = _Delivering(state, workspace, environ, clock, open, sleep or stopping.wait, draw, stopping, _key_kind(state), exports)
    with state.catalog.reading() as connection:
        unsent = Counter(outbox.unsent(connection)) + Counter(sync_outbox.open_rows(connection))
    unsent.update({name: sum(work.files for work in works) for name, works in exports.items()})
    wanted = [name for name in names if name in unsent]
    found = delivering.side_by_side(wanted, sum(unsent[name] for name in wanted), progress)
    _clear_old_payloads(state, workspace, clock())
    gone = sorted(set(unsent) - set(workspace.config.destinations)) if destinations is None else []
    messages = (
        f"{unsent[name]:,} are for `{name}`, which segmentry.yml does not have any more; the next run settles them" for name in gone
    )
    return Delivered(found, tuple(messages))


def _named(workspace: LoadedWorkspace, destinations: Sequence[str] | None) -> list[str]:
    known = list(workspace.config.destinations)
    for name in destinations or ():
        if name not in known:
            hint = did_you_mean(name, known)
            raise NotFound(f"there is no destination `{name}`" + (f"; {hint}" if hint else ""))
    return known if destinations is None else list(dict.fromkeys(destinations))


def _exports(state: State, workspace: LoadedWorkspace) -> dict[str, list[Work]]:
    """What is to be exported to each destination."""
    found: dict[str, list[Work]] = {}
    for work in work_of(state, workspace):
        found.setdefault(work.key[1], []).append(work)
    return found


def _key_kind(state: State) -> str:
    """What contacts' keys are by the accepted run."""
    accepted = state.accepted()
    if accepted is None:
        return "text"
    with state.catalog.reading() as connection:
        return reading.contacts_record(connection, accepted.contacts).kind


def _clear_old_payloads(state: State, workspace: LoadedWorkspace, now: datetime) -> None:
    with state.catalog.writing() as connection:
        outbox.clear_payloads(connection, now - parse_length(workspace.config.retention.addresses))


@dataclass(frozen=True)
class _Delivering:
    """What all senders of one delivery have in common."""

    state: State
    workspace: LoadedWorkspace
    environ: Mapping[str, str]
    clock: Callable[[], datetime]
    open: Open
    sleep: Callable[[float], object]
    draw: Callable[[], float]
    stopping: threading.Event
    kind: str
    exports: Mapping[str, Sequence[Work]]
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def side_by_side(self, names: Sequence[str], total: int, progress: Progress) -> dict[str, Delivery]:
        """Each destination in a thread of its own. What none of them should raise is raised when all have ended."""
        if not names:
            return {}
        self.counts.update({name: Counter(dict.fromkeys((*COUNTS, "trouble"), 0)) for name in names})
        with ThreadPoolExecutor(len(names), thread_name_prefix="segmentry-deliver") as pool:
            try:
                under_way = {name: pool.submit(self._one, name) for name in names}
                while wait(under_way.values(), timeout=LOOK_SECONDS).not_done:
                    done = sum(count for counts in self.counts.values() for key, count in counts.items() if key in COUNTS)
                    progress(f"{done:,} of {total:,}", min(done / max(total, 1), 1.0))
            except BaseException:
                self.stopping.set()
                raise
        return {name: future.result() for name, future in under_way.items()}

    def _one(self, name: str) -> Delivery:
        """One destination, under its own lease."""
        state, config = self.state, self.workspace.config
        messages: list[str] = []
        failed = False
        try:
            purpose = f"delivery:{name}"
            with hold(state.catalog, config.id, self.workspace.environment, purpose=purpose, clock=state.clock) as lease:
                failed = self._under(lease, name, messages)
        except LeaseHeld as error:
            messages.append(str(error))
        except SegmentryError as error:
            messages.append(str(error))
            failed = True
            if isinstance(error, DestinationError):
                self._note_stop(name, str(error))
        with state.catalog.reading() as connection:
            sends, syncs = (outbox.waiting(connection, name, self.clock()), sync_outbox.waiting(connection, name, self.clock()))
        left, later = sends[0] + syncs[0], sends[1] + syncs[1]
        counts = self.counts[name]
        figures = {key: counts[key] for key in COUNTS if key not in ("left", "later")}
        failed = failed or (counts["trouble"] > 0 and later > 0)
        return Delivery(**figures, later=later, left=left, messages=tuple(messages), failed=failed)

    def _note_stop(self, name: str, reason: str) -> None:
        """Notes that nothing can go to a destination, so that whoever asks hears of it."""
        with self.state.catalog.writing() as connection:
            outbox.pin(connection, name, UNKNOWN, self.clock())
            outbox.note_stop(connection, name, reason, self.clock())

    def _under(self, lease: Lease, name: str, messages: list[str]) -> bool:
        """Tells one destination of what is due; whether somebody should look."""
        expires = self._expires(name)
        now, counts = self.clock(), self.counts[name]
        with self.state.catalog.writing() as connection:
            lease.check(connection)
            for sequence, (length, written) in expires.items():
                counts["expired"] += outbox.expire(connection, name, sequence, now - length, f"not sent within {written}", now)
            closed, paused = outbox.closed(connection, name), pauses(connection)
            due, _ = outbox.waiting(connection, name, now)
            strays = outbox.strays(connection, name, expires)
            idle = due == 0 and not outbox.is_under_way(connection, name)
            syncs = self._syncs(connection, name, messages)
        if closed is not None:
            messages.append(closed)
        messages += [f"{count:,} of `{sequence}` {self._stray(sequence)}" for sequence, count in strays.items()]
        exports = self.exports.get(name, ())
        if closed is not None or (idle and not syncs and not exports):
            return False
        by_file = [sequence for sequence in expires if self.workspace.config.sequences[sequence].paused]
        going = {sequence: length for sequence, (length, _) in expires.items() if sequence not in by_file}
        messages += [f"sequence `{sequence}` is paused in segmentry.yml" for sequence in by_file]
        messages += [f"sequence `{sequence}` is paused" for sequence in going if sequence in paused]
        with self._opened(name) as destination:
            refusal = self._pin(destination, name)
            if refusal is not None:
                raise DestinationError(refusal)
            in_step, failed = self._synced(lease, name, destination, syncs, messages)
            if not in_step:
                return failed
            failed = self._sent(lease, name, destination, going, messages) or failed
            return self._exported(lease, name, destination, exports, messages) or failed

    def _synced(
        self, lease: Lease, name: str, destination: Destination, syncs: Mapping[int, tuple[str, Target]], messages: list[str]
    ) -> tuple[bool, bool]:
        """Syncs go before enrollments: whether these may go on, and whether somebody should look."""
        if not syncs:
            return True, False
        if not isinstance(destination, SyncDestination):
            raise DestinationError(f"destination `{name}` can't be kept in step with a segment")
        config = self.workspace.config
        circle, traits = Circle(config.id, self.workspace.environment, self.kind), sync_traits_of(config.destinations[name].settings)
        settings = Syncing(name, config.id, circle, syncs, traits, self.clock, self.sleep, self.draw, self.stopping)
        sender = SyncSender(self.state.catalog, lease, destination, settings, self.counts[name], messages)
        sender.run()
        return sender.halted is None, sender.failed

    def _sent(self, lease: Lease, name: str, destination: Destination, going: Mapping[str, timedelta], messages: list[str]) -> bool:
        """Enrollments: whether somebody should look."""
        config = self.workspace.config
        circle = Circle(config.id, self.workspace.environment, self.kind)
        words = {sequence: config.sequences[sequence].words for sequence in going}
        own = config.destinations[name].settings
        traits = {sequence: traits_of(own, said) for sequence, said in words.items() if said}  # the others: as the destination says
        settings = Settings(name, config.id, circle, going, self.clock, self.sleep, self.draw, self.stopping, words, traits)
        sender = Sender(self.state.catalog, lease, destination, settings, self.counts[name], messages)
        sender.run()
        return sender.failed

    def _exported(self, lease: Lease, name: str, destination: Destination, works: Sequence[Work], messages: list[str]) -> bool:
        """Files of segments, which may take long, go last: whether somebody should look."""
        if not works:
            return False
        if not isinstance(destination, ExportDestination):
            raise DestinationError(f"destination `{name}` takes no files of a segment")
        newest = works[0].newest
        exporter = Exporter(
            self.state, self.workspace, lease, name, destination, newest, self.clock, self.stopping, self.counts[name], messages
        )
        with _no_bug(name, "take a file"):
            exporter.run(works)
        return exporter.failed

    def _syncs(self, connection: Connection, name: str, messages: list[str]) -> dict[int, tuple[str, Target]]:
        """The destination's syncs with something open, of those that the files say; a run comes first where they say another `mode`."""
        said = {sync.key: (sync.segment, Target.of(sync.config.words)) for sync in syncs_of(self.workspace)}
        if sum(sync_outbox.waiting(connection, name, self.clock())) == 0 and not sync_outbox.is_under_way(connection, name):
            return {}
        modes = {sync.key: sync.config.mode for sync in syncs_of(self.workspace)}
        edited = {one.id for one in synced.syncs(connection) if modes.get(one.key, one.mode) != one.mode}
        found = {number: key for number, key in sync_outbox.syncs_to(connection, name).items() if key in said}
        messages += [f"{sync_name(*key)}: its `mode` was edited; recompute first" for number, key in found.items() if number in edited]
        return {number: said[key] for number, key in found.items() if number not in edited}

    def _stray(self, sequence: str) -> str:
        """Why rows of a sequence don't go to the destination that they were for."""
        config = self.workspace.config.sequences.get(sequence)
        if config is None:
            return "are left, as segmentry.yml does not have it any more; the next run ends them"
        return f"are left, as it goes to `{config.destination}` now; the next run hands them on"

    def _expires(self, name: str) -> dict[str, tuple[timedelta, str]]:
        """Of every sequence of a destination how long its rows may be pending, also as it is written."""
        sequences = self.workspace.config.sequences
        return {key: (parse_length(one.expires), one.expires) for key, one in sequences.items() if one.destination == name}

    @contextmanager
    def _opened(self, name: str) -> Iterator[Destination]:
        """The destination, while the block lasts."""
        config = self.workspace.config
        context = Context(self.workspace.root, self.environ, config.id, self.workspace.environment, self.clock)
        with _no_bug(name, "be opened"):
            opened = self.open(name, config.destinations[name].settings, context)
        try:
            yield opened
        finally:
            with _no_bug(name, "be closed"):
                opened.close()

    def _pin(self, destination: Destination, name: str) -> str | None:
        """Why the destination is not what it should be, if so; else its account, and what of it it is, is its own from now on."""
        configs = self.workspace.config.destinations
        try:
            with _no_bug(name, "say whose account it is"):
                found = whose(destination)
        except DestinationStopped as stop:
            return f"destination `{name}` can't say whose account it is: {stop}"
        with self.state.catalog.writing() as connection:
            pinned = outbox.pins(connection)
            types = {other: config.type for other, config in configs.items()}
            wrong = mismatch(name, found, configs[name].account, pinned.get(name, UNKNOWN)) or namesake(name, found, pinned, types)
            if wrong is not None:
                return f"{wrong}; nothing was sent"
            outbox.pin(connection, name, found, self.clock())
        return None


@contextmanager
def _no_bug(name: str, doing: str) -> Iterator[None]:
    """Makes an error of one destination out of a connector's own bug, whose text may hold anything and is not shown."""
    try:
        yield
    except (SegmentryError, DestinationStopped):
        raise
    except Exception as error:
        raise DestinationError(f"destination `{name}` can't {doing}: a bug in its connector ({type(error).__name__})") from error
