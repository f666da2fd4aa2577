"""One destination's sender: claims what is due, tells of it in several threads, records what came of it."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from segmentry.engine.connectors.destination import Answer, Batch, Destination, DestinationStopped, Traits, Verdict
from segmentry.engine.enrolling import Outcome
from segmentry.engine.state import outbox
from segmentry.engine.state.catalog import Catalog
from segmentry.engine.state.holds import pause, pauses
from segmentry.engine.state.lease import Lease
from segmentry.engine.state.outbox import Due, Ending, Watch
from segmentry.engine.state.remote_names import called_otherwise, names_of
from segmentry.engine.telling import Circle, Parcel, Told, address_of, arrange, batch_of, endings

CLAIM = 2_000
"""Rows claimed at once, at most."""

LARGEST = 5_000
"""Rows in one request, at most, whatever a destination would take: they are in memory together."""

AHEAD = 50_000
"""Ids of rows next in line that are known at once."""

PACE = 1 / 6
"""Rows claimed at once are those of ten seconds at the destination's pace: so many wait behind a crash, or a stop."""

RECORD_SECONDS = 0.5
"""How long an answer may wait to be recorded."""

PATIENCE = 60.0
"""Seconds that a whole destination waits if it asks to; where it asks for more, what is left is due later."""

TROUBLES = 20
"""Requests in a row that come to nothing, after which the rest is left for later: the destination is down."""

FAILURES = 3
"""Errors of a connector, no answers, after which the rest is left for later."""


EXPIRED = "not sent before it expired"

Settled = tuple[str, str, str | None]
"""A row's id, its outcome, the reason."""


class WithheldError(Exception):
    """Raised through a connector: the request must not be made."""


@dataclass(frozen=True)
class Settings:
    """How one destination is told. `expires`: of each sequence that may go to it now, how long a row may be pending.

    `sleep` and `clock` go together. `stopping` is set when whoever delivers wants to end. `words` are each sequence's own for its
    destination's type, `traits` what is so of a sequence and not of the whole destination.
    """

    name: str
    namespace: str
    circle: Circle
    expires: Mapping[str, timedelta]
    clock: Callable[[], datetime]
    sleep: Callable[[float], object]
    draw: Callable[[], float]
    stopping: threading.Event
    words: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    traits: Mapping[str, Traits] = field(default_factory=dict)


@dataclass
class Sender:
    """Tells one destination whatever is due, under its lease. `counts` and `messages` say what came of it."""

    catalog: Catalog
    lease: Lease
    destination: Destination
    settings: Settings
    counts: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)
    failed: bool = False
    _traits: Traits = field(default_factory=Traits)
    """What is so of the sequences that are being told of."""
    _going: Sequence[str] = ()
    _halted: str | None = None
    _resume: datetime | None = None
    _troubles: int = 0
    _failures: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Until nothing is due, or something stops it. Raises LeaseLost and StateError."""
        settings = self.settings
        self._watch = Watch(self.catalog, self.lease, settings.name)
        try:
            self._take_over()
            with ThreadPoolExecutor(self.destination.traits.parallel, thread_name_prefix=f"segmentry-{settings.name}") as pool:
                for traits, going in self._alike().items():
                    self._traits, self._going = traits, going
                    self._send_all(pool)
        finally:
            self._watch.close()
        self._explain()

    def _send_all(self, pool: ThreadPoolExecutor) -> None:
        """Whatever is due of the sequences that are told alike."""
        ahead: deque[str] = deque()
        while self._halted is None and not self.settings.stopping.is_set():
            if not ahead:
                ahead.extend(self._next_in_line())
            if not ahead:
                break
            self._send(pool, self._claim(ahead))

    def _alike(self) -> dict[Traits, list[str]]:
        """The sequences by what is so of each; where asking twice is safe, first."""
        found: dict[Traits, list[str]] = {}
        for sequence in self.settings.expires:
            found.setdefault(self._traits_of(sequence), []).append(sequence)
        return dict(sorted(found.items(), key=lambda one: not one[0].repeat_safe))

    def _traits_of(self, sequence: str) -> Traits:
        return self.settings.traits.get(sequence, self.destination.traits)

    # ------------------------------------------------------------ claiming

    def _take_over(self) -> None:
        """What an earlier sender left under way."""
        now, safe = self.settings.clock(), self.destination.traits.repeat_safe
        otherwise = [name for name, traits in self.settings.traits.items() if traits.repeat_safe is not safe]
        with self.catalog.writing() as connection:
            self.lease.check(connection)
            again, lost = outbox.abandoned(connection, self.settings.name, now, repeat_safe=safe, but=otherwise)
            self.counts["withdrawn"] += outbox.end_stopped(connection, self.settings.name, now)
        if again:
            self.messages.append(f"{again:,} were under way when an earlier sender ended: the same requests are made again")
        if lost:
            self.counts["unknown"] += lost
            self.messages.append(f"{lost:,} were under way when an earlier sender ended, and may have arrived: a person must decide")

    def _next_in_line(self) -> list[str]:
        with self.catalog.reading() as connection:
            sequences = set(self._going) - set(pauses(connection))
            return outbox.upcoming(connection, self.settings.name, sequences, self.settings.clock(), AHEAD)

    def _claim(self, ahead: deque[str]) -> list[Parcel]:
        """Takes rows from the line and marks them as under way; what has expired meanwhile, or has no address, is not."""
        name, now, limit = self.settings.name, self.settings.clock(), min(self._traits.batch, LARGEST)
        with self.catalog.writing() as connection:
            self.lease.check(connection)
            reason = outbox.closed(connection, name)
            if reason is not None:
                self._halt(reason)
                return []
            sequences = set(self._going) - set(pauses(connection))
            wanted = [ahead.popleft() for _ in range(min(len(ahead), self._size(limit)))]
            rows = outbox.due_rows(connection, name, sequences, now, ids=wanted)
            stored = dict.fromkeys(row.batch for row in rows if row.batch is not None and row.batch != row.id)
            chosen = list(stored)[: max(1, self._size(limit) // limit)]
            ahead.extendleft(row.id for row in reversed(rows) if row.batch in stored and row.batch not in chosen)
            members = outbox.due_rows(connection, name, sequences, now, batches=chosen)
            going, ended, waits = self._sorted_out([*members, *(row for row in rows if row.batch not in stored)], now)
            outbox.finish(connection, ended, now)
            outbox.finish(connection, waits, now, ends=False)
            names = names_of(connection, name, {row.contact for row in going})
            parcels = [replace(one, names=names) for one in arrange(going, limit, self.settings.namespace)]
            outbox.claim(connection, self.lease.number, [(parcel.id, parcel.rows) for parcel in parcels], now)
        self.counts["expired"] += len(ended)
        return parcels

    def _sorted_out(self, rows: Sequence[Due], now: datetime) -> tuple[list[Due], list[Settled], list[Settled]]:
        """Rows that go, those that have expired, and those that must wait for an address: the latter two with outcome and reason."""
        going: list[Due] = []
        ended: list[Settled] = []
        waits: list[Settled] = []
        for row in rows:
            if self._is_over(row.sequence, row.pending_since, now):
                ended.append((row.id, outbox.EXPIRED, outbox.arrived(EXPIRED, maybe=row.maybe)))
            elif self._traits.needs_address and address_of(row) is None:
                waits.append((row.id, str(Outcome.WAITING), "no address"))
            else:
                going.append(row)
        return going, ended, waits

    def _is_over(self, sequence: str, since: str, now: datetime) -> bool:
        return now - datetime.fromisoformat(since) >= self.settings.expires[sequence]

    def _size(self, limit: int) -> int:
        """How many rows are claimed at once: only those asked for at once where a crash would leave each for a person to decide."""
        traits = self._traits
        at_once = min(traits.parallel * limit, LARGEST)
        return max(at_once, min(CLAIM, int(traits.per_minute * PACE))) if traits.repeat_safe else at_once

    # ------------------------------------------------------------ asking

    def _send(self, pool: ThreadPoolExecutor, parcels: Sequence[Parcel]) -> None:
        """Tells of the parcels, and records what came of them as it comes. What no destination raises is raised once that is done."""
        under_way = {pool.submit(self._tell, parcel) for parcel in parcels}
        crash: BaseException | None = None
        while under_way:
            done, under_way = wait(under_way, timeout=RECORD_SECONDS)
            told = [future.result() for future in done if future.exception() is None]
            for future in done:
                crash = crash or future.exception()
            self._record(told)
        if crash is not None:
            raise crash

    def _tell(self, parcel: Parcel) -> Told:
        """One parcel, in a thread of the pool."""
        asked, withheld = 0, False

        def before() -> None:
            nonlocal asked, withheld
            withheld = withheld or not self._may_go(parcel)
            if withheld:
                raise WithheldError
            asked += 1

        if self._halted is not None or self.settings.stopping.is_set():
            return Told(parcel, self.settings.clock())
        try:
            answers = tuple(self.destination.send(self._batch(parcel), before))
        except WithheldError:
            return Told(parcel, self.settings.clock(), asked=asked)
        except DestinationStopped as stop:
            self._halt(f"it stopped: {stop}", failed=True)
            return Told(parcel, self.settings.clock(), asked=asked, stopped=str(stop), disabled=stop.disabled)
        except Exception as error:  # noqa: BLE001 - a connector's bug must not lose a row, and its text may hold an address
            return self._noted(Told(parcel, self.settings.clock(), asked=asked, failed=type(error).__name__))
        except BaseException:
            self._halt("it was ended")
            raise
        told = Told(parcel, self.settings.clock(), asked=asked)
        if withheld:  # and the connector made an answer of it
            return told
        if len(answers) != len(parcel.rows) or not all(isinstance(answer, Answer) for answer in answers):
            return self._noted(replace(told, failed="not an answer a row"))
        return self._noted(replace(told, answers=answers))

    def _batch(self, parcel: Parcel) -> Batch:
        return batch_of(parcel, self.settings.circle, self.settings.words.get(parcel.sequence, {}), self._others)

    def _others(self, names: Mapping[str, str]) -> frozenset[str]:
        """As `destination.Others`."""
        with self.catalog.reading() as connection:
            return called_otherwise(connection, self.settings.name, names)

    def _may_go(self, parcel: Parcel) -> bool:
        """The last look before a request: whether the rows are still due, by the accepted run as it is now."""
        self._wait_as_asked()
        settings = self.settings
        if self._halted is not None or settings.stopping.is_set():
            return False
        seen = self._watch.look(parcel.id, parcel.sequence)
        if not seen.leased:
            self._halt("another sender has taken over")
        elif seen.closed:
            with self.catalog.reading() as connection:
                self._halt(outbox.closed(connection, settings.name) or "it was paused")
        now = settings.clock()
        over = any(self._is_over(row.sequence, row.pending_since, now) for row in parcel.rows)
        return seen.leased and not (seen.closed or seen.paused or over) and seen.rows == len(parcel.rows)

    def _wait_as_asked(self) -> None:
        until = self._resume
        left = 0.0 if until is None else (until - self.settings.clock()).total_seconds()
        if left > 0:
            self.settings.sleep(left)

    def _noted(self, told: Told) -> Told:
        """What answers mean for the whole destination: it asks to wait, it is down, its connector is broken."""
        asked = max((answer.after or 0.0 for answer in told.answers if answer.verdict is Verdict.LATER), default=0.0)
        with self._lock:
            self._troubles = self._troubles + 1 if told.trouble else 0
            if told.failed is not None:
                self._failures[told.failed] += 1
            troubles, failures = self._troubles, self._failures.total()
            if 0 < asked <= PATIENCE:
                until = self.settings.clock() + timedelta(seconds=asked)
                self._resume = until if self._resume is None else max(until, self._resume)
        if asked > PATIENCE:
            self._halt(f"it asks to wait {asked:,.0f} seconds", failed=True)
        elif failures >= FAILURES:
            self._halt("its connector fails", failed=True)
        elif troubles >= TROUBLES:
            self._halt(f"{troubles} requests in a row came to nothing", failed=True)
        return told

    def _halt(self, reason: str, *, failed: bool = False) -> None:
        with self._lock:
            if self._halted is None:
                self._halted = reason
            self.failed = self.failed or failed

    # ------------------------------------------------------------ recording

    def _record(self, told: Sequence[Told]) -> None:
        """Writes down what came of some parcels, in one transaction."""
        if not told:
            return
        settings, now = self.settings, self.settings.clock()
        found = [one for each in told for one in endings(each, repeat_safe=self._traits.repeat_safe, draw=settings.draw)]
        with self.catalog.writing() as connection:
            outbox.record(connection, self.lease.number, settings.name, found, now)
            again = [one.id for one in found if one.outcome == Outcome.PENDING]
            stopped = outbox.end_stopped(connection, settings.name, now, again)
            if any(one.outcome == Outcome.SENT for one in found):
                outbox.note_stop(connection, settings.name, None, now)
            for each in told:
                if each.stopped is not None:
                    outbox.note_stop(connection, settings.name, each.stopped, now)
                if each.disabled:
                    pause(connection, settings.name, now, each.stopped)
        self._count(found, stopped)

    def _count(self, found: Sequence[Ending], stopped: int) -> None:
        self.counts.update(one.outcome for one in found if one.outcome != Outcome.PENDING)
        self.counts["withdrawn"] += stopped
        self.counts["trouble"] += sum(one.due is not None for one in found)

    def _explain(self) -> None:
        if self._halted is not None:
            self.messages.append(self._halted)
        self.messages += [f"a bug in its connector ({name}), {times} times" for name, times in sorted(self._failures.items())]
        self.failed = self.failed or bool(self._failures) or bool(self.counts["rejected"] or self.counts["unknown"])
