"""Receivers that are cruel, and whether what became of each row is what their answers should have made of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from segmentry.engine.connectors.destination import Answer, Batch, Verdict
from segmentry.engine.connectors.memory import (
    Behaviour,
    Memory,
    answers,
    applies_then,
    forget_all,
    memory,
    raises,
    stops,
    throttles,
    times_out,
)
from segmentry.engine.delivering import deliver
from tests.histories.entering import NEEDS_ADDRESS
from tests.histories.files import REPEAT_SAFE, Folder, Seen, utc
from tests.histories.model import Model
from tests.histories.records import Enrollment
from tests.histories.world import World

NAMES = ("crm", "once", "letters")


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Clock:
    """Moves when it is slept by."""

    now: datetime

    def __call__(self) -> datetime:
        return utc(self.now)

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Receivers:
    """All receivers of a workspace. `again`: ids that a person had sent again; `lost`: those that a restored state may not know."""

    workspace: str
    again: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        forget_all()

    def memory(self, name: str) -> Memory:
        return memory(self.workspace, "default", name)

    def applied(self) -> dict[str, int]:
        """How often each id was taken, by all receivers."""
        return {id: times for name in NAMES for id, times in self.memory(name).times.items()}

    def requests(self) -> int:
        """How many requests were made of all receivers."""
        return sum(len(self.memory(name).requests) for name in NAMES)

    def cruelty(self, draws: random.Random, count: int) -> list[Behaviour]:
        """What the next requests meet."""
        kinds = [
            times_out(), times_out(), throttles(), throttles(30.0), throttles(3600.0), answers(Answer(Verdict.REJECTED, "no")),
            answers(Answer(Verdict.REJECTED, "not yet", again=True)), applies_then(Answer(Verdict.UNKNOWN, "who knows")),
            stops("the key is refused"), raises(RuntimeError("a bug"), applies=True), raises(Killed(), applies=True),
            raises(Killed(), applies=False), Behaviour(), Behaviour(),
        ]  # fmt: skip
        return draws.choices(kinds, k=count)

    def deliver(self, folder: Folder, model: Model, world: World, now: datetime, script: Sequence[Behaviour]) -> datetime:
        """A delivery in which every receiver meets the script; what became of the rows is checked and noted in the model."""
        before = {name: len(self.memory(name).requests) for name in NAMES}
        for name in NAMES:
            self.memory(name).script.clear()
            self.memory(name).will(*script)
        clock, killed, was = Clock(now), False, folder.seen()
        with folder.state() as state:
            try:
                deliver(state, folder.loaded(), environ={}, clock=clock, sleep=clock.sleep, draw=lambda: 0.5)
            except Killed:
                killed = True
        asked: dict[str, list[tuple[Batch, Behaviour]]] = {}
        for name in NAMES:
            for number, batch in enumerate(self.memory(name).requests[before[name] :]):
                met = script[number] if number < len(script) else Behaviour()
                for row in batch.rows:
                    asked.setdefault(row.id, []).append((batch, met))
        _Became(folder, model, world, now, clock.now, was, folder.seen(), asked, killed=killed, cruel=bool(script)).all()
        return clock.now


@dataclass
class _Became:
    """One delivery, row by row."""

    folder: Folder
    model: Model
    world: World
    began: datetime
    ended: datetime
    was: Seen
    now: Seen
    asked: dict[str, list[tuple[Batch, Behaviour]]]
    killed: bool
    cruel: bool

    def all(self) -> None:
        assert self.asked.keys() <= self.model.rows.keys(), "told of what the ledger does not have"
        for id, row in self.model.rows.items():
            outcome = self.now.rows[id].outcome
            if id in self.asked:
                self.check_asked(row)
            allowed = self.allowed(row)
            assert outcome in allowed, f"{row} became {outcome}, not one of {sorted(allowed)}: {self.now.rows[id].reason}"
            if not (self.cruel or self.killed) and self.is_due(row):
                assert outcome in ("sent", "expired", "waiting"), f"{row} was due, and is {outcome}"
            row.outcome = outcome
            row.stop = row.stop if outcome in ("sending", "pending") else None

    @property
    def sends_nothing(self) -> bool:
        """Whether the environment does not deliver, or did not yet at the accepted run."""
        return not self.world.deliver or self.model.delivered is False

    def closed(self, row: Enrollment) -> bool:
        """Whether nothing of it may go at all."""
        sequence = self.world.sequences[row.sequence]
        held = any(hold.kind == "suppress" for hold in self.model.open_holds())
        off = self.sends_nothing or held or sequence.paused
        return off or bool(self.model.pauses & {"*", sequence.destination, row.sequence})

    def over(self, row: Enrollment, at: datetime) -> bool:
        return row.since is not None and at - row.since >= timedelta(hours=self.world.sequences[row.sequence].expires)

    def is_safe(self, row: Enrollment) -> bool:
        return self.world.sequences[row.sequence].destination in REPEAT_SAFE

    def is_due(self, row: Enrollment) -> bool:
        stored = self.was.deliveries.get(row.id)
        named = self.was.rows[row.id].sequence == self.world.sequences[row.sequence].name  # else the next run says so first
        return (
            row.outcome == "pending"
            and not self.closed(row)
            and named
            and row.stop is None
            and stored is not None
            and stored.payload is not None
            and datetime.fromisoformat(stored.due) <= utc(self.began)
        )

    def check_asked(self, row: Enrollment) -> None:
        it = self.model.accepted
        assert it is not None
        assert not self.closed(row), f"{row} was told of while nothing may go"
        assert row.outcome == "pending" or (row.outcome == "sending" and self.is_safe(row)), row
        assert row.stop is None, f"{row} was stopped, and told of"
        assert not self.over(row, self.began), f"{row} had expired"
        assert row.person not in it.suppressed, f"{row} is suppressed, and was told of"
        for batch, _ in self.asked[row.id]:
            said = next(one for one in batch.rows if one.id == row.id)
            assert (said.contact, said.data["number"]) == (str(row.contact), row.number)
            assert said.data["enrollment_id"] == row.id
            assert self.world.sequences[row.sequence].destination not in NEEDS_ADDRESS or said.address is not None

    def allowed(self, row: Enrollment) -> set[str]:
        """What a row may be now."""
        if row.outcome not in ("pending", "sending") or self.sends_nothing:
            return {row.outcome}
        safe = self.is_safe(row)
        found = {"expired"} if self.over(row, self.ended) else set()
        if row.id not in self.asked:
            found.add(row.outcome)
            if row.outcome == "sending":
                found |= {"pending"} if safe else {"unknown"}
            if row.stop is not None and safe:
                found.add(row.stop)
            if self.killed or self.cruel:
                found |= {"pending", "sending"}
            needs = self.world.sequences[row.sequence].destination in NEEDS_ADDRESS
            return found | ({"waiting"} if needs else set())
        _, met = self.asked[row.id][-1]
        return found | self.after(met, safe=safe)

    def after(self, met: Behaviour, *, safe: bool) -> set[str]:
        """What an answer makes of a row."""
        assert isinstance(met.answer, Answer)
        if isinstance(met.raises, Killed):
            return {"sending"}
        if isinstance(met.raises, RuntimeError):
            return {"pending"} if safe else {"unknown"}
        if met.raises is not None:
            return {"pending"}
        match met.answer.verdict:
            case Verdict.SENT:
                return {"sent"}
            case Verdict.REJECTED:
                return {"pending", "rejected"} if met.answer.again else {"rejected"}
            case Verdict.LATER:
                return {"pending"} if safe or not met.answer.maybe else {"unknown"}
        return {"unknown"}
