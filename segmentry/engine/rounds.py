"""A schedule at work: rounds of a run, what it sends, and who is told, one after the other for as long as it is kept.

It decides and never waits: whoever keeps it calls `step` again and again with the time. What takes long is a `Job` beside it, so
that a delivery may outlast the interval, a crash of a run is that run's alone, and a signal is obeyed at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from segmentry.engine.activation import delivers
from segmentry.engine.attempts import Attempt
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.round_lines import Ended, attempt_of, delivery_line, first_line, is_news, run_line
from segmentry.engine.scheduling import Done, Schedule, Sighting, Trigger, next_run, schedule_of, seen
from segmentry.engine.watching import Look
from segmentry.errors import SegmentryError

LOOK = timedelta(seconds=5)
"""How often files are looked at, where runs are made on change."""

WATCH = timedelta(minutes=1)
"""How often it is looked whether somebody must be told, and metrics are written."""

PATIENCE = timedelta(minutes=1)
"""A run's line waits so long for what was sent after it; a delivery that takes longer has a line of its own."""

BETWEEN = timedelta(minutes=5)
"""How often what is due between runs is sent: what is to be tried again, and what somebody approved."""

MOST_DELIVERIES = 8
"""Deliveries at one time. One that outlasts the interval goes on; the next sends to whoever it is not sending to."""


class Job(Protocol):
    """Something under way beside the schedule."""

    def poll(self) -> Ended | None:
        """What came of it; None as long as it goes on."""

    def stop(self) -> None:
        """Asks it to end soon, with nothing half done and what is under way recorded."""

    def kill(self) -> None:
        """Ends it now."""


class World(Protocol):
    """What a schedule needs of the world. No method takes long, and only `load` raises: a SegmentryError."""

    def load(self) -> LoadedWorkspace:
        """The workspace's files as they are now, without an error in any."""

    def edited(self) -> bool:
        """Whether `segmentry.yml` was written since it was loaded."""

    def run(self) -> Job:
        """Begins a run; its report is `recompute --format json`'s."""

    def deliver(self) -> Job:
        """Begins a delivery; its report is `sync --format json`'s."""

    def waits(self, now: datetime) -> bool:
        """Whether anything is due to be sent."""

    def tell(self, workspace: LoadedWorkspace, following: datetime | None) -> Job:
        """Begins to tell whoever must hear of what is alarming, and to write metrics; `following`: when the next run is due."""

    def look(self, workspace: LoadedWorkspace, now: datetime) -> Look | None:
        """How the sources' files look."""

    def last_began(self) -> datetime | None:
        """When the last run began, by whoever."""

    def note(self, attempt: Attempt) -> None:
        """Notes what became of a run."""

    def say(self, level: str, message: str, facts: Mapping[str, object]) -> None:
        """Says a line; `level` is `info`, `warning` or `error`."""

    def complain(self, error: SegmentryError) -> None:
        """Says what is wrong with the workspace's files."""


@dataclass
class Delivering:
    """A delivery under way, and the run that it came after; None for one between runs."""

    job: Job
    after: Attempt | None
    ended: Ended | None = None


@dataclass
class Rounds:
    """A schedule at work.

    `last`: when the last run began; `done`: what is known of it. `at_once`: a run is made at the first step, due or not.
    """

    world: World
    workspace: LoadedWorkspace
    schedule: Schedule
    last: datetime | None = None
    done: Done | None = None
    at_once: bool = False
    sends: bool = True
    """Whether what is due is sent after each run, in an environment that delivers."""
    stopping: bool = False
    following: datetime | None = None
    """When the next run is due, as far as is known."""
    _began: tuple[datetime, Trigger] | None = None
    _run: Job | None = None
    _files: Look | None = None
    _broken: bool = False
    _deliveries: list[Delivering] = field(default_factory=list)
    _sent: datetime | None = None
    _telling: Job | None = None
    _tell: bool = False
    _sighting: Sighting | None = None
    _looked: datetime | None = None
    _watched: datetime | None = None
    _unsaid: tuple[Attempt, Mapping[str, Any], Delivering | None] | None = None

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return self._run is not None or self._telling is not None or bool(self._deliveries)

    @property
    def over(self) -> bool:
        """Whether it was stopped, and nothing is under way any more."""
        return self.stopping and not self.busy

    def stop(self) -> None:
        """Begins nothing more, and asks what is under way to end."""
        self.stopping = True
        for job in self._jobs():
            job.stop()

    def kill(self) -> None:
        """Ends whatever is under way, now."""
        for job in self._jobs():
            job.kill()

    def step(self, now: datetime) -> None:
        """Whatever is to be done by now."""
        self._collect_run(now)
        self._collect_deliveries(now)
        self._collect_telling()
        if not self.stopping:
            if self._run is None:
                self._begin_if_due(now)
            self._send_between(now)
            self._watch(now)

    def _jobs(self) -> list[Job]:
        jobs = [self._run, self._telling, *(delivering.job for delivering in self._deliveries)]
        return [job for job in jobs if job is not None]

    # ------------------------------------------------------------ a run

    def _begin_if_due(self, now: datetime) -> None:
        if self.schedule.on_change and (self._looked is None or now - self._looked >= LOOK or now < self._looked):
            self._looked = now
            self._sighting = seen(self._sighting, self.world.look(self.workspace, now), now)
        if self.last is not None and self.last > now:  # by a clock that was wrong: taken for one that begins now, and not again and again
            self.last = now
        if not self._is_due(now):
            return
        if not self.at_once:  # somebody else may have made one meanwhile
            began = self.world.last_began()
            self.last = max((one for one in (self.last, began) if one is not None and one <= now), default=None)
        if self._is_due(now):
            trigger = Trigger.START if self.at_once else next_run(self.schedule, self.last, self._sighting, self.done, now)[1]
            self.at_once = False
            self._begin(now, trigger)

    def _is_due(self, now: datetime) -> bool:
        self.following, _ = next_run(self.schedule, self.last, self._sighting, self.done, now)
        return self.at_once or self.following <= now

    def _begin(self, now: datetime, trigger: Trigger) -> None:
        if self._unsaid is not None:
            self._say()
        self.last = now
        self._began = now, trigger
        self._files = self.world.look(self.workspace, now) if self.schedule.on_change else None
        try:
            self._take(self.world.load())
        except SegmentryError as error:
            self._broken = True
            self.world.complain(error)
            self._finish(now, Ended(error.exit_code, error=first_line(error)))
            return
        self._run = self.world.run()

    def _take(self, workspace: LoadedWorkspace) -> None:
        """Goes by the files as they are now."""
        schedule = schedule_of(workspace.config)
        if schedule is None:
            raise SegmentryError("`schedule:` in segmentry.yml says neither `every` nor `cron` any more; it goes on as it was")
        if (workspace.state, workspace.config.id) != (self.workspace.state, self.workspace.config.id):
            raise SegmentryError("`state:` or `id:` in segmentry.yml is another than when `segmentry schedule` began: start it anew")
        self.workspace, self.schedule, self._broken = workspace, schedule, False

    def _collect_run(self, now: datetime) -> None:
        ended = None if self._run is None else self._run.poll()
        if ended is not None:
            self._run = None
            self._finish(now, ended)

    def _finish(self, now: datetime, ended: Ended) -> None:
        assert self._began is not None
        began, trigger = self._began
        ended_at = max(now, began)
        attempt = attempt_of(began, ended_at, trigger, ended, stopping=self.stopping)
        self.done = Done(began, ended_at, self._files)
        self.world.note(attempt)
        self.following, _ = next_run(self.schedule, self.last, self._sighting, self.done, now)
        delivery = self._delivery(attempt, now)
        self._unsaid = attempt, ended.report, delivery
        self._tell = True
        if delivery is None:
            self._say()

    # ------------------------------------------------------------ what is sent

    def _delivery(self, attempt: Attempt | None, now: datetime) -> Delivering | None:
        """Begins to send what is due, also after a run that failed or was skipped: it does not wait for sources to be mended.

        Nobody goes by files that are broken, though.
        """
        wanted = self.sends and not self.stopping and not self._broken and delivers(self.workspace)
        if not wanted or len(self._deliveries) >= MOST_DELIVERIES:
            return None
        delivering = Delivering(self.world.deliver(), attempt)
        self._deliveries.append(delivering)
        self._sent = now
        return delivering

    def _send_between(self, now: datetime) -> None:
        rested = self._sent is not None and (now - self._sent >= BETWEEN or now < self._sent)
        if rested and self._run is None and not self._deliveries:
            self._sent = now
            if self.world.waits(now):
                self._delivery(None, now)

    def _collect_deliveries(self, now: datetime) -> None:
        for delivering in list(self._deliveries):
            delivering.ended = delivering.job.poll()
            if delivering.ended is None:
                continue
            self._deliveries.remove(delivering)
            self._tell = True
            if self._unsaid is not None and self._unsaid[2] is delivering:
                self._say()
            elif delivering.after is not None or is_news(delivering.ended):
                self.world.say(*delivery_line(delivering.after, delivering.ended))
        if self._unsaid is not None and now - self._unsaid[0].ended > PATIENCE:
            self._say()

    # ------------------------------------------------------------ who hears of it

    def _say(self) -> None:
        """The line of the last run."""
        assert self._unsaid is not None
        attempt, report, delivering = self._unsaid
        self._unsaid = None
        sent = None if delivering is None else delivering.ended
        following = None if self.stopping else self.following
        self.world.say(*run_line(attempt, report, sent, following, delivering=delivering is not None and sent is None))

    def _watch(self, now: datetime) -> None:
        if self._watched is None or now - self._watched >= WATCH or now < self._watched:
            self._watched = now
            self._tell = True
            if self.world.edited():
                self._reload()
        if self._tell and self._telling is None:
            self._tell = False
            self._telling = self.world.tell(self.workspace, self.following)

    def _collect_telling(self) -> None:
        ended = None if self._telling is None else self._telling.poll()
        if ended is None:
            return
        self._telling = None
        for text in ended.report.get("told", ()):
            self.world.say("info", f"told of: {text}", {"event": "notice"})
        if ended.error is not None:
            self.world.say("warning", ended.error, {"event": "notice"})

    def _reload(self) -> None:
        """Takes an edited schedule before its next run, which may be hours away; what is wrong with the files the run will say."""
        try:
            self._take(self.world.load())
        except SegmentryError:
            return
