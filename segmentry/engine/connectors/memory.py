"""The double of a destination: it keeps what it was told within this process, and is as cruel as it is asked to be."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from segmentry.engine.connectors.destination import Answer, Batch, DestinationStopped, Row, Verdict
from segmentry.engine.connectors.registry import Context
from segmentry.engine.connectors.settings import MemorySettings
from segmentry.engine.connectors.syncing import Action, Change, Member, Notes, Outlook, Place, SyncBatch, SyncDestination, Target

_SENT = Answer(Verdict.SENT)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one request meets: whether its rows are taken, and then what is answered, or what is raised instead.

    `answer` is one for all rows, or says each row's. A row that is not answered SENT is taken all the same if `applies`.
    """

    applies: bool = True
    answer: Answer | Callable[[Row], Answer] = _SENT
    raises: BaseException | None = None


def answers(answer: Answer | Callable[[Row], Answer]) -> Behaviour:
    """Answers so; only rows answered SENT are taken."""
    return Behaviour(applies=False, answer=answer)


def applies_then(answer: Answer) -> Behaviour:
    """Takes every row and answers otherwise: the answer was lost on its way."""
    return Behaviour(answer=answer)


def times_out() -> Behaviour:
    """Takes every row, and is too slow to say so."""
    return applies_then(Answer(Verdict.LATER, "the receiver did not answer in time", maybe=True))


def throttles(after: float | None = None) -> Behaviour:
    """Takes nothing, and asks to wait."""
    return answers(Answer(Verdict.LATER, "the receiver asks to wait", after=after))


def stops(reason: str, *, disabled: bool = False) -> Behaviour:
    """Takes nothing, and the destination must stop."""
    return Behaviour(applies=False, raises=DestinationStopped(reason, disabled=disabled))


def raises(error: BaseException, *, applies: bool) -> Behaviour:
    """Ends the call with an error that no destination raises, before or after it took the rows: a process that is killed."""
    return Behaviour(applies=applies, raises=error)


@dataclass
class Known:
    """What the double knows of one person of a target. `fields` as last told; `ours`: a sync added it, nobody by hand."""

    remote_id: str
    address: str | None
    contact: str | None
    fields: dict[str, Any] = field(default_factory=dict)
    inside: bool = False
    ours: bool = False
    left: str | None = None
    """Why the person is out, and not to be put back."""


@dataclass
class Memory:
    """What one destination was told, by the rows' ids. It outlives the destinations that are opened on it."""

    rows: dict[str, Row] = field(default_factory=dict)
    """Every row that was taken, as it was first told."""
    times: Counter[str] = field(default_factory=Counter)
    """How often each row was taken."""
    requests: list[Batch] = field(default_factory=list)
    """Every batch that was asked for, also those that nothing came of."""
    script: deque[Behaviour] = field(default_factory=deque)
    """What the next requests meet, each once; after them every row is taken and SENT."""
    targets: dict[str, dict[str, Known]] = field(default_factory=dict)
    """What segments are kept in step with: of each target, as text, the people by remote id."""
    synced: list[SyncBatch] = field(default_factory=list)
    """Every batch of changes that was asked for."""
    sync_script: deque[Answer | Callable[[Change], Answer] | BaseException] = field(default_factory=deque)
    """What the next batches of changes meet, each once: an answer for all changes or for each in place of making it, or an error."""
    wrongs: list[str] = field(default_factory=list)
    """What no sync may ever do, and was asked of this one: to put somebody back, to remove somebody whom it did not add."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def people(self, target: str) -> dict[str, Known]:
        """The people of a target, by remote id."""
        return self.targets.setdefault(target, {})

    def members(self, target: str) -> set[str]:
        """The contacts who are in a target, or addresses of those who were put in by hand."""
        return {one.contact or str(one.address) for one in self.people(target).values() if one.inside}

    def put_in(self, target: str, address: str) -> None:
        """Somebody puts a person in by hand."""
        one = self.people(target).setdefault(f"hand:{address}", Known(f"hand:{address}", address, None))
        one.inside, one.left = True, None

    def take_out(self, target: str, contact: str, why: str = "taken off by hand") -> None:
        """Somebody takes a person out by hand, or the person unsubscribes."""
        for one in self.people(target).values():
            if one.contact == contact:
                one.inside, one.left = False, why

    def will(self, *behaviours: Behaviour) -> None:
        """Puts behaviours at the script's end."""
        with self.lock:
            self.script.extend(behaviours)

    @property
    def repeated(self) -> dict[str, int]:
        """The rows that were taken more than once, and how often: harmless if the destination is repeat-safe, else a fault."""
        with self.lock:
            return {id: times for id, times in self.times.items() if times > 1}

    def meet(self, batch: Batch) -> Behaviour:
        """A request arrives: what it meets."""
        with self.lock:
            self.requests.append(batch)
            return self.script.popleft() if self.script else Behaviour()

    def take(self, rows: Iterable[Row]) -> None:
        """Rows are applied."""
        with self.lock:
            for row in rows:
                self.rows.setdefault(row.id, row)
                self.times[row.id] += 1


_memories: dict[tuple[str, str, str], Memory] = {}
_finding = threading.Lock()


def memory(workspace: str, environment: str, name: str) -> Memory:
    """The memory of the destination `name` in an environment of a workspace (its id); made empty when first asked for."""
    with _finding:
        return _memories.setdefault((workspace, environment, name), Memory())


def forget_all() -> None:
    """Forgets what every destination of this process was told."""
    with _finding:
        _memories.clear()


class MemoryDestination(SyncDestination):
    """Keeps the seam's contract as strictly as it can be kept, and checks that the caller does.

    Whoever sends more rows than `traits.batch` says, in more threads than `traits.parallel`, a row without an address where
    one is needed, or after `close`, has a bug and gets an AssertionError. Each request meets the next `Behaviour` of its
    memory's script. Rows taken twice are counted, whatever `repeat_safe` says: that says whether it matters.
    """

    def __init__(self, settings: MemorySettings, kept: Memory) -> None:
        self.traits = settings.traits
        self.memory = kept
        self._places = threading.BoundedSemaphore(settings.parallel)
        self._closed = False

    @classmethod
    def open(cls, name: str, settings: MemorySettings, context: Context) -> MemoryDestination:
        return cls(settings, memory(context.workspace, context.environment, name))

    def account(self) -> str | None:
        """None: a process has one memory."""
        return None

    def send(self, batch: Batch, before: Callable[[], None]) -> Sequence[Answer]:
        self._check(batch)
        if not self._places.acquire(blocking=False):
            raise AssertionError(f"more than {self.traits.parallel} requests side by side")
        try:
            before()
            return self._ask(batch)
        finally:
            self._places.release()

    def sync(self, batch: SyncBatch, before: Callable[[], None], notes: Notes) -> Sequence[Answer]:
        if self._closed:
            raise AssertionError("closed, and told something")
        if not 1 <= len(batch.changes) <= self.traits.batch:
            raise AssertionError(f"{len(batch.changes)} changes in a batch of at most {self.traits.batch}")
        before()
        memory = self.memory
        with memory.lock:
            memory.synced.append(batch)
            meets = memory.sync_script.popleft() if memory.sync_script else None
            if isinstance(meets, BaseException):
                raise meets
            people = memory.people(str(batch.target))
            notes.keep(job=batch.id)
            if meets is not None:
                return [meets(change) if callable(meets) else meets for change in batch.changes]
            return [self._change(people, batch.action, change) for change in batch.changes]

    def members(self, target: Target) -> Iterator[Sequence[Member]]:
        with self.memory.lock:
            there = [one for one in self.memory.people(str(target)).values() if one.inside]
        for start in range(0, len(there), self.traits.batch):
            yield [Member(one.remote_id, one.address, one.contact) for one in there[start : start + self.traits.batch]]

    def look(self, target: Target) -> Outlook:
        return Outlook(str(target), len(self.memory.members(str(target))))

    def places(self) -> Sequence[Place]:
        return [Place("memory", name, name, len(self.memory.members(name))) for name in sorted(self.memory.targets)]

    def close(self) -> None:
        self._closed = True

    def _change(self, people: dict[str, Known], action: Action, change: Change) -> Answer:
        """One change, as a destination makes it that has no more of people than membership and fields."""
        one = people.get(change.remote_id or "") or people.setdefault(change.contact, Known(change.contact, None, change.contact))
        if one.left is not None:
            return Answer(Verdict.LEFT, one.left, one.remote_id)
        if action is Action.REMOVE:
            if not one.inside and change.perhaps_out:
                return Answer(Verdict.SENT, remote_id=one.remote_id)
            if not one.inside:
                return Answer(Verdict.LEFT, "it was not in there any more", one.remote_id)
            if change.kept:
                return Answer(Verdict.SENT, remote_id=one.remote_id)
            if not one.ours:
                self.memory.wrongs.append(f"{change.contact} was to be removed, and was put in by hand")
            one.inside = False
            return Answer(Verdict.SENT, remote_id=one.remote_id)
        if action is Action.ADD:
            one.inside = one.ours = True
        one.address, one.contact, one.fields = change.address, change.contact, dict(change.fields)
        return Answer(Verdict.SENT, remote_id=one.remote_id)

    def _check(self, batch: Batch) -> None:
        if self._closed:
            raise AssertionError("closed, and told something")
        if not 1 <= len(batch.rows) <= self.traits.batch:
            raise AssertionError(f"{len(batch.rows)} rows in a batch of at most {self.traits.batch}")
        if len(batch.rows) == 1 and batch.id != batch.rows[0].id:
            raise AssertionError("a batch of one row has the row's id")
        if self.traits.needs_address and any(row.address is None for row in batch.rows):
            raise AssertionError("a contact without an address")

    def _ask(self, batch: Batch) -> Sequence[Answer]:
        behaviour = self.memory.meet(batch)
        answer = behaviour.answer
        answers = [answer(row) if callable(answer) else answer for row in batch.rows]
        told = zip(batch.rows, answers, strict=True)
        self.memory.take(row for row, said in told if behaviour.applies or (behaviour.raises is None and said.verdict is Verdict.SENT))
        if behaviour.raises is not None:
            raise behaviour.raises
        return answers
