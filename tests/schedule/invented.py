"""A world for schedules whose clock and whose runs are invented."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from segmentry.engine.attempts import Attempt
from segmentry.engine.loading import LoadedWorkspace, load
from segmentry.engine.round_lines import Ended
from segmentry.engine.rounds import Rounds
from segmentry.engine.scheduling import schedule_of
from segmentry.engine.watching import Look
from segmentry.errors import SegmentryError

SECOND = timedelta(seconds=1)
HEAD = """version: 1
id: 7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11
contacts: {path: contacts.parquet, key: id}
environments: {default: {deliver: true}}
"""
NOTHING_SENT = {"destinations": {}, "messages": [], "failed": False}


def clock(text: str) -> datetime:
    """A time of 1 March 2026, UTC."""
    return datetime.fromisoformat(f"2026-03-01T{text}").replace(tzinfo=UTC)


def report(run: int, status: str = "accepted") -> dict[str, Any]:
    """What `recompute --format json` prints, as far as it is read."""
    return {
        "run": run,
        "status": status,
        "as_of": "2026-03-01T12:00:00Z",
        "contacts": {"rows": 2000},
        "segments": {"vip": {"size": 5, "entered": {"data": 2, "time": 1}, "exited": {"data": 1}}},
        "activation": {"enrollments": {"welcome": {"pending": 2, "baseline": 1}}, "held": []},
    }


@dataclass
class Invented:
    """A job that ends after some seconds, or when it is asked to."""

    world: World
    kind: str
    takes: float
    outcome: Ended
    began: datetime
    asked: str | None = None

    def poll(self) -> Ended | None:
        if self.asked == "kill":
            return Ended(-9)
        if self.asked == "stop" and self.kind != "tell":
            return Ended(130)
        return self.outcome if self.world.now - self.began >= timedelta(seconds=self.takes) else None

    def stop(self) -> None:
        self.asked = "stop"

    def kill(self) -> None:
        self.asked = "kill"


@dataclass
class World:
    """`runs` and `deliveries` are taken from in turn, each a duration in seconds and what comes of it; the last goes on for ever."""

    root: Path
    now: datetime
    runs: list[tuple[float, Ended]] = field(default_factory=list)
    deliveries: list[tuple[float, Ended]] = field(default_factory=lambda: [(1, Ended(0, NOTHING_SENT))])
    files: Look | None = (("contacts.parquet", 1, 1),)
    elsewhere: datetime | None = None
    """When somebody else made a run."""
    due: bool = False
    """Whether something is due to be sent."""
    begun: list[tuple[str, datetime]] = field(default_factory=list)
    jobs: list[Invented] = field(default_factory=list)
    lines: list[tuple[str, str, Mapping[str, object]]] = field(default_factory=list)
    noted: list[Attempt] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    telling: tuple[float, Ended] = (0, Ended(0))
    _text: str = ""

    def write(self, schedule: str, **more: str) -> None:
        """`segmentry.yml` as it is from now on."""
        text = f"{HEAD}schedule: {schedule}\n" + "".join(f"{key}: {value}\n" for key, value in more.items())
        (self.root / "segmentry.yml").write_text(text)

    def rounds(self, **given: Any) -> Rounds:
        workspace = self.load()
        schedule = schedule_of(workspace.config)
        assert schedule is not None
        return Rounds(self, workspace, schedule, **given)

    # ------------------------------------------------------------ what rounds want

    def load(self) -> LoadedWorkspace:
        self._text = (self.root / "segmentry.yml").read_text()
        return load(self.root).require()

    def edited(self) -> bool:
        return (self.root / "segmentry.yml").read_text() != self._text

    def run(self) -> Invented:
        number = sum(kind == "run" for kind, _ in self.begun) + 1
        return self._begin("run", self.runs, (2, Ended(0, report(number))))

    def deliver(self) -> Invented:
        return self._begin("deliver", self.deliveries, (1, Ended(0, NOTHING_SENT)))

    def tell(self, workspace: LoadedWorkspace, following: datetime | None) -> Invented:
        del workspace, following
        return self._begin("tell", [self.telling], self.telling)

    def waits(self, now: datetime) -> bool:
        del now
        return self.due

    def _begin(self, kind: str, outcomes: list[tuple[float, Ended]], otherwise: tuple[float, Ended]) -> Invented:
        takes, outcome = (outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]) if outcomes else otherwise
        self.begun.append((kind, self.now))
        job = Invented(self, kind, takes, outcome, self.now)
        self.jobs.append(job)
        return job

    def look(self, workspace: LoadedWorkspace, now: datetime) -> Look | None:
        del workspace, now
        return self.files

    def last_began(self) -> datetime | None:
        known = [attempt.began for attempt in self.noted]
        return max([*known, *([self.elsewhere] if self.elsewhere else [])], default=None)

    def note(self, attempt: Attempt) -> None:
        self.noted.append(attempt)

    def say(self, level: str, message: str, facts: Mapping[str, object]) -> None:
        self.lines.append((level, message, facts))

    def complain(self, error: SegmentryError) -> None:
        self.complaints.append(str(error))

    # ------------------------------------------------------------ what tests ask

    def until(self, rounds: Rounds, text: str, step: timedelta = SECOND) -> None:
        """Lets time pass, step by step."""
        while self.now < clock(text):
            rounds.step(self.now)
            self.now += step
        rounds.step(self.now)

    def times(self, kind: str) -> list[str]:
        """When jobs of a kind began."""
        return [f"{at:%H:%M:%S}" for what, at in self.begun if what == kind]

    def said(self, event: str) -> Iterator[Mapping[str, object]]:
        """The figures of the lines about something."""
        return (facts for _, _, facts in self.lines if facts.get("event") == event)
