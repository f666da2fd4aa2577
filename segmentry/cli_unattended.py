"""What `segmentry schedule` needs of the world: runs and deliveries as processes of their own, notices on a thread, signals, its log.

A run in a process of its own may crash, run out of memory or be ended, and the schedule goes on; it is the command that
somebody would give by hand, so its exit codes and messages are the same.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from segmentry.cli_output import replacing
from segmentry.errors import DiagnosedError, LeaseLost, SegmentryError

if TYPE_CHECKING:
    from segmentry.cli_talk import Talk
    from segmentry.engine.attempts import Attempt
    from segmentry.engine.loading import LoadedWorkspace
    from segmentry.engine.round_lines import Ended
    from segmentry.engine.state import State
    from segmentry.engine.state.lease import Lease
    from segmentry.engine.watching import Look
    from segmentry.engine.workspace import Workspace

_ERROR = re.compile(r"^error(?:\[\w+\])?: (.*)")
"""How a command's complaint begins in its text; see `cli_talk`."""

_INTERRUPTED = (130, -signal.SIGINT, -signal.SIGTERM)
"""What a command ends with that was asked to end, by itself or while its interpreter was still starting."""


class Child:
    """A command of ours as a process in a group of its own, so that Ctrl-C in a terminal reaches only whoever started it."""

    def __init__(self, words: list[str], gently: signal.Signals, talk: Talk) -> None:
        self._gently, self._talk = gently, talk
        self._asked = False
        self._out: IO[bytes] = tempfile.TemporaryFile(prefix="segmentry-")  # noqa: SIM115 - a pipe that nobody empties would stop it
        self._err: IO[bytes] = tempfile.TemporaryFile(prefix="segmentry-")  # noqa: SIM115 - closed once it is read
        command = [sys.executable, "-P", "-m", "segmentry", *words]
        self._process = subprocess.Popen(  # noqa: S603 - it starts our own command line, with words of its own
            command, stdin=subprocess.DEVNULL, stdout=self._out, stderr=self._err, process_group=0
        )

    def poll(self) -> Ended | None:
        code = self._process.poll()
        if code is None:
            return None
        from segmentry.engine.round_lines import Ended

        out, err = _taken(self._out), _taken(self._err)
        if not (self._asked and code in _INTERRUPTED):
            relay(err, self._talk)
        report: Mapping[str, Any] = {}
        with suppress(ValueError):
            report = json.loads(out)
        return Ended(code, report, complaint(err))

    def stop(self) -> None:
        self._asked = True
        self._signal(self._gently)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)


def _taken(stream: IO[bytes]) -> str:
    with stream:
        stream.seek(0)
        return stream.read().decode("utf-8", "replace")


def relay(said: str, talk: Talk) -> None:
    """What a command has said, on our own stderr; among JSON lines the interpreter's own last words become one."""
    if talk.form == "text":
        click.echo(said, err=True, nl=False)
        return
    others = []
    for line in said.splitlines():
        if line.startswith("{"):
            click.echo(line, err=True)
        else:
            others.append(line)
    if others:
        talk.error("\n".join(others))


def complaint(said: str) -> str | None:
    """What a command's stderr, text or JSON lines, gives as the first error."""
    for line in said.splitlines():
        found = _ERROR.match(line)
        if found is not None:
            return found[1]
        with suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict) and record.get("level") == "error":
                return str(record.get("message")).partition("\n")[0]
    return None


@dataclass(frozen=True)
class Ends:
    """A job that could not even begin."""

    ended: Ended

    def poll(self) -> Ended:
        return self.ended

    def stop(self) -> None:
        """It has."""

    def kill(self) -> None:
        """It has."""


class Aside:
    """Something done on a thread: short, and not to be waited for by whoever keeps the time."""

    def __init__(self, work: Callable[[], Ended]) -> None:
        self._ended: Ended | None = None
        self._work = work
        self._thread = threading.Thread(target=self._do, name="segmentry-aside", daemon=True)
        self._thread.start()

    def _do(self) -> None:
        from segmentry.engine.round_lines import BUG, Ended

        try:
            self._ended = self._work()
        except (SegmentryError, OSError) as error:
            self._ended = Ended(SegmentryError.exit_code, error=str(error))
        except Exception as error:  # noqa: BLE001 - a bug here must not end the schedule
            self._ended = Ended(BUG, error=f"a bug in Segmentry: {type(error).__name__}: {error}")

    def poll(self) -> Ended | None:
        return None if self._thread.is_alive() else self._ended

    def stop(self) -> None:
        """It ends by itself, soon."""

    def kill(self) -> None:
        """It ends with the process."""


@dataclass
class Unattended:
    """The world as `engine.rounds` wants it."""

    workspace: Workspace
    state: State
    lease: Lease
    talk: Talk
    metrics: Path | None
    lost: str | None = None
    """Why this process may keep the schedule no longer, if so."""
    _seen: tuple[int, int] | None = field(default=None)

    def load(self) -> LoadedWorkspace:
        self._seen = self._stamp()
        return self.workspace.load().require()

    def edited(self) -> bool:
        return self._stamp() != self._seen

    def _stamp(self) -> tuple[int, int] | None:
        from segmentry.engine.loading import WORKSPACE_FILE

        try:
            status = (self.workspace.root / WORKSPACE_FILE).stat()
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns

    def run(self) -> Child | Ends:
        return self._child(signal.SIGINT, "recompute", "--no-deliver", "--format", "json")

    def deliver(self) -> Child | Ends:
        return self._child(signal.SIGTERM, "sync", "--format", "json")

    def waits(self, now: datetime) -> bool:
        from segmentry.engine.state import counting

        try:
            with self.state.catalog.reading() as connection:
                return counting.anything_due(connection, now)
        except SegmentryError:  # the next run will say what is wrong with the state
            return False

    def _child(self, gently: signal.Signals, *words: str) -> Child | Ends:
        from segmentry.engine.round_lines import Ended

        root = str(self.workspace.root.absolute())
        shared = ["--workspace", root, "--env", self.workspace.env, "--log-format", self.talk.form]
        try:
            return Child([*shared, *words], gently, self.talk)
        except OSError as error:  # no memory, no more processes, a full temporary folder
            return Ends(Ended(SegmentryError.exit_code, error=f"`segmentry {words[0]}` can't be started: {error.strerror or error}"))

    def tell(self, workspace: LoadedWorkspace, following: datetime | None) -> Aside:
        del following
        return Aside(lambda: self._told(workspace))

    def _told(self, workspace: LoadedWorkspace) -> Ended:
        from segmentry.engine.alarms import alarms
        from segmentry.engine.connectors.posting import post
        from segmentry.engine.notices import notify
        from segmentry.engine.round_lines import DONE, Ended

        now = datetime.now(UTC)
        texts: list[str] = []
        failed: list[str] = []
        if workspace.config.notify:
            told = notify(workspace, self.state, alarms(workspace, self.state, now), now, os.environ, post)
            texts, failed = [alarm.text for alarm in told.told], list(told.failed)
        if self.metrics is not None:
            try:
                write_metrics(self.metrics, workspace, self.state, now)
            except OSError as error:
                failed.append(f"metrics can't be written to {error.filename or self.metrics}: {error.strerror or error}")
        return Ended(DONE, {"told": texts}, "; ".join(failed) or None)

    def look(self, workspace: LoadedWorkspace, now: datetime) -> Look | None:
        from segmentry.engine.watching import look

        return look(workspace, now)

    def last_began(self) -> datetime | None:
        from segmentry.engine.attempts import last_began

        try:
            return last_began(self.state)
        except SegmentryError:  # the run will say so too, and be noted as failed
            return None

    def note(self, attempt: Attempt) -> None:
        from segmentry.engine.attempts import note

        try:
            note(self.state, self.lease, attempt)
        except LeaseLost as error:
            self.lost = str(error)
        except SegmentryError as error:
            self.talk.warn(f"what became of the run can't be noted: {error}")

    def say(self, level: str, message: str, facts: Mapping[str, object]) -> None:
        if self.talk.form == "text":  # as JSON every line has its time
            message = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ} {message}"
        {"info": self.talk.say, "warning": self.talk.warn}.get(level, self.talk.error)(message, **facts)

    def complain(self, error: SegmentryError) -> None:
        if isinstance(error, DiagnosedError):
            self.talk.diagnostics(error.diagnostics)
        else:
            self.talk.error(str(error))


def write_metrics(path: Path, workspace: LoadedWorkspace, state: State, now: datetime) -> None:
    """Writes metrics to a file, whole or not at all, that everybody may read: its reader runs as somebody else."""
    from segmentry.engine.metrics import metrics

    text = metrics(workspace, state, now)
    with replacing(path) as stream:
        stream.write(text.encode())


class Signals:
    """SIGINT and SIGTERM, counted; `wait` ends as soon as one arrives."""

    def __init__(self) -> None:
        self.count = 0
        self._awake, self._waker = socket.socketpair()
        self._awake.setblocking(False)
        self._waker.setblocking(False)

    def wait(self, seconds: float) -> None:
        """Waits so long, or until a signal arrives."""
        select.select([self._awake], [], [], max(0.0, seconds))
        with suppress(BlockingIOError):
            self._awake.recv(64)

    @contextmanager
    def heard(self) -> Iterator[Signals]:
        """Counts them while the block lasts; they do nothing else then."""

        def count(_number: int, _frame: object) -> None:
            self.count += 1

        former = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)}
        waker = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        try:
            yield self
        finally:
            signal.set_wakeup_fd(waker)
            for number, handler in former.items():
                signal.signal(number, handler)
            self._awake.close()
            self._waker.close()
