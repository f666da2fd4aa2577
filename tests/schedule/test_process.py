"""`segmentry schedule` as real processes that get real signals, and what it says of itself while it is at work."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from segmentry.cli_talk import Talk
from segmentry.cli_unattended import Aside, Child, Signals, complaint, relay
from segmentry.engine.attempts import last_attempt
from segmentry.engine.round_lines import Ended
from segmentry.engine.state import State
from segmentry.engine.state.schema import ENROLLMENTS
from segmentry.sandbox.webhook import WebhookSandbox
from tests.activation.conftest import Enrolling
from tests.state.conftest import ID

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
RUN = [sys.executable, "-m", "segmentry"]


def until(what: Callable[[], Any]) -> Any:
    """What is asked for, as soon as it is there."""
    deadline = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found


@dataclass
class Keeper:
    """A `segmentry schedule`, and its log."""

    shop: Enrolling
    words: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log = self.shop.root.parent / "log.ndjson"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*RUN, "--log-format", "json", "schedule", *self.words],
                cwd=self.shop.root,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """What it has said so far, of a kind."""
        text = self.log.read_text(encoding="utf-8")
        found = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return found if event is None else [line for line in found if line.get("event") == event]

    def said(self, event: str) -> dict[str, Any]:
        """The first line of a kind, once it is there."""
        line: dict[str, Any] = until(lambda: (self.lines(event) or [None])[0])
        return line

    def child(self, command: str) -> int:
        """The process that makes its run, or its delivery, once there is one."""
        found: list[int] = until(lambda: self.children(command))
        return found[0]

    def children(self, command: str) -> list[int]:
        """Its processes that are this command now."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                if parent == str(self.process.pid) and f"\0{command}\0" in (entry / "cmdline").read_text():
                    found.append(int(entry.name))
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@pytest.fixture
def keeper(enrolling: Enrolling) -> Iterator[Callable[..., Keeper]]:
    """Starts `segmentry schedule` in the shop; none is left behind."""
    started: list[Keeper] = []

    def start(*words: str, **env: str) -> Keeper:
        started.append(Keeper(enrolling, words, env))
        return started[-1]

    yield start
    for one in started:
        with suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait()


def scheduled(shop: Enrolling, schedule: str = "{every: 1 hour}", **further: str) -> None:
    shop.further = {"schedule": schedule, "guards": "{gap: 9000 days, snapshot: {shrinks: 100%, older_than: 9000 days}}", **further}
    shop.write_config()
    text = (shop.root / "segmentry.yml").read_text()
    (shop.root / "segmentry.yml").write_text(text.replace("guards: {snapshot: {shrinks: 100%}}\n", ""))


def command(shop: Enrolling, *words: str) -> Result:
    from segmentry.cli import cli

    return CliRunner().invoke(cli, ["--workspace", str(shop.root), *words])


# ---------------------------------------------------------------- at work


def test_it_makes_a_run_delivers_says_a_line_and_stops_on_sigterm(
    enrolling: Enrolling, keeper: Callable[..., Keeper], tmp_path: Path
) -> None:
    with WebhookSandbox(clock=lambda: datetime.now(UTC)) as receiver:
        enrolling.destinations = '{crm: {type: webhook, url: "${CRM_URL}", secrets: ["${CRM_SECRET}"], allow_private: true}}'
        scheduled(enrolling)
        enrolling.people({"id": [1, 2, 3, 4], "spend": [50] * 4})
        at_work = keeper("--metrics", str(tmp_path / "m.prom"), CRM_URL=receiver.url, CRM_SECRET=receiver.secrets[0])
        line = at_work.said("run")
        status = json.loads(command(enrolling, "status", "--format", "json").stdout)
        second = command(enrolling, "schedule")
        assert at_work.stop() == 0
    assert (line["run"], line["status"], line["entered"], line["contacts"], line["exit_code"]) == (3, "accepted", 1, 4, 0)
    assert line["sent"] == len(receiver.inbox.arrivals) == 1, "those of January have expired"
    assert datetime.fromisoformat(line["next_run"]) - datetime.fromisoformat(line["began"]) == timedelta(hours=1)
    assert f"process {at_work.process.pid} " in status["scheduler"]
    assert status["next_run"] == line["next_run"]
    assert status["last_run_was"] == "run 3, accepted"
    assert second.exit_code == 75
    assert f"another `segmentry schedule` is at work here: process {at_work.process.pid}" in second.stderr
    assert "segmentry_scheduler_up" in (tmp_path / "m.prom").read_text()
    assert [one["message"] for one in at_work.lines("stop")] == ["stopped"]
    assert "no `segmentry schedule`" not in at_work.log.read_text()
    after = json.loads(command(enrolling, "status", "--format", "json").stdout)
    assert (after["scheduler"], after["next_run"]) == (None, line["next_run"])


def test_a_run_that_is_killed_is_survived_and_told_of(enrolling: Enrolling, keeper: Callable[..., Keeper]) -> None:
    scheduled(enrolling, notify='[{on: [failed], run: "touch paged"}]')
    at_work = keeper("--no-deliver")
    os.kill(at_work.child("recompute"), signal.SIGKILL)
    line = at_work.said("run")
    assert (line["run"], line["status"], line["exit_code"]) == (None, "failed", 70)
    assert line["error"] == "the run's process was ended by signal 9"
    until((enrolling.root / "paged").exists)
    assert at_work.process.poll() is None, "it goes on"


@pytest.mark.full
def test_ctrl_c_ends_a_run_with_nothing_half_done(enrolling: Enrolling, keeper: Callable[..., Keeper]) -> None:
    scheduled(enrolling)
    at_work = keeper()
    until(lambda: at_work.lines("run") or at_work.children("recompute"))
    assert at_work.stop(signal.SIGINT) == 0
    assert [one["status"] for one in at_work.lines("run")] in (["stopped"], ["accepted"])
    state = State.open(enrolling.state.folder, ID)
    attempt, runs = last_attempt(state), [run.id for run in state.runs()]
    state.close()
    assert attempt is not None
    assert runs == ([1, 2, 3] if attempt.status == "accepted" else [1, 2])
    assert command(enrolling, "recompute").exit_code == 0, "nothing is in the way of the next"


class Unhurried(ThreadingHTTPServer):
    """A receiver that takes a while for each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answered: set[str] = set()


class Answering(BaseHTTPRequestHandler):
    server: Unhurried

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(0.3)
        self.server.answered.add(self.headers["webhook-id"])
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.mark.full
def test_a_delivery_under_way_is_recorded_before_it_stops(enrolling: Enrolling, keeper: Callable[..., Keeper]) -> None:
    with Unhurried() as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        enrolling.destinations = '{crm: {type: webhook, url: "${CRM_URL}", secrets: ["${CRM_SECRET}"], allow_private: true}}'
        scheduled(enrolling)
        enrolling.people({"id": list(range(1, 400)), "spend": [50] * 399})
        secret = f"whsec_{base64.b64encode(bytes(32)).decode()}"
        at_work = keeper(CRM_URL=f"http://127.0.0.1:{receiver.server_port}/", CRM_SECRET=secret)
        until(lambda: receiver.answered)
        assert at_work.stop() == 0
        receiver.shutdown()
    line = at_work.said("run")
    assert (line["status"], line["exit_code"]) == ("accepted", 130)
    with enrolling.state.catalog.reading() as connection:
        outcomes = {row.id: row.outcome for row in connection.execute(select(ENROLLMENTS)) if row.run == 3}
    assert {identity for identity, outcome in outcomes.items() if outcome == "sent"} == receiver.answered
    assert set(outcomes.values()) == {"sent", "pending"}


def test_a_second_signal_ends_at_once(enrolling: Enrolling, keeper: Callable[..., Keeper]) -> None:
    scheduled(enrolling, notify="""[{on: [stale], run: "sh -c 'touch told; sleep 300'"}]""")
    at_work = keeper("--no-deliver")
    until((enrolling.root / "told").exists)
    at_work.process.send_signal(signal.SIGTERM)
    at_work.said("stopping")
    assert at_work.process.poll() is None, "somebody is being told"
    assert at_work.stop() == 130
    assert [one["message"] for one in at_work.lines("stop")] == ["ended at once, whatever was under way"]


# ---------------------------------------------------------------- where it does not begin


def test_it_says_what_it_needs_to_begin(enrolling: Enrolling, tmp_path: Path) -> None:
    found = command(enrolling, "schedule")
    assert (found.exit_code, "does not say when to run" in found.stderr) == (1, True)
    scheduled(enrolling)
    (enrolling.root / ".segmentry").rename(tmp_path / "away")
    found = command(enrolling, "schedule")
    assert (found.exit_code, "--first-run" in found.stderr) == (1, True)
    enrolling.segment("broken", "spend >")
    found = command(enrolling, "schedule")
    assert (found.exit_code, "segments/broken.yml:1" in found.stderr) == (1, True)


# ---------------------------------------------------------------- its parts


def finished(job: Child | Aside) -> Ended:
    ended: Ended = until(job.poll)
    return ended


def test_a_child_gives_exit_code_report_and_complaint(enrolling: Enrolling, capfd: pytest.CaptureFixture[str]) -> None:
    child = Child(["--workspace", str(enrolling.root), "--env", "nowhere", "check"], signal.SIGINT, Talk())
    ended = finished(child)
    assert (ended.code, ended.report, ended.error) == (1, {}, "there is no environment `nowhere`")
    assert "error[W303]: there is no environment `nowhere`" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", None),
        ("warning: old\nrun 3\n", None),
        ("warning[S101]: a\nerror[R103]: contacts have no field `x`\n --> a.yml:1:2\nerror: later", "contacts have no field `x`"),
        ("error: a bug in Segmentry: KeyError: 'x'\nIt is not your fault", "a bug in Segmentry: KeyError: 'x'"),
        ('{"level": "warning", "message": "old"}\n{"level": "error", "message": "first\\nsecond"}\n', "first"),
        ("Traceback\n[1, 2]\n", None),
    ],
)
def test_the_first_complaint_is_found_in_what_a_command_says(said: str, expected: str | None) -> None:
    assert complaint(said) == expected


def test_among_json_lines_an_interpreters_last_words_are_one(capsys: pytest.CaptureFixture[str]) -> None:
    relay('{"level": "warning"}\nFatal Python error: Aborted\n  File "a.py"\n', Talk("json"))
    first, last = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (first, last["level"], last["message"]) == ({"level": "warning"}, "error", 'Fatal Python error: Aborted\n  File "a.py"')


def test_what_fails_aside_is_told_and_ends_nothing() -> None:
    def break_down() -> Ended:
        raise KeyError(3)

    ended = finished(Aside(break_down))
    assert (ended.code, ended.error) == (70, "a bug in Segmentry: KeyError: 3")


def test_a_signal_ends_the_waiting_at_once() -> None:
    former = signal.getsignal(signal.SIGTERM)
    with Signals().heard() as signals:
        began = time.monotonic()
        signals.wait(0.01)
        assert signals.count == 0
        signal.raise_signal(signal.SIGTERM)
        signals.wait(PATIENCE)
        assert time.monotonic() - began < PATIENCE / 2
        assert signals.count == 1
    assert signal.getsignal(signal.SIGTERM) is former
