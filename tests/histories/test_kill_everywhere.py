"""Runs and deliveries that are killed with SIGKILL, at every step and at random moments, against a receiver in another process.

The receiver takes what it is told and then breaks the connection, and keeps on its disk what it took. Whatever was killed,
the next run and delivery need no help: everybody is enrolled once, and told, and under one lasting id.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import polars as pl
import pytest
from sqlalchemy import select, update

from segmentry.engine.state import State, ledger
from segmentry.engine.state.files import PENDING
from segmentry.engine.state.schema import DELIVERIES, ENROLLMENTS
from segmentry.sandbox.webhook import new_secret
from tests.histories.killing import BEGIN, END, command, killed_at, recorded
from tests.state.conftest import empty_state

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.histories.killing", "segmentry.engine.run", "segmentry.engine.delivering"])

ID = "7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11"
CONFIG = f"""version: 1
id: {ID}
contacts: {{path: contacts.parquet, key: id, email: email}}
environments: {{default: {{deliver: true}}}}
destinations: {{hook: {{type: webhook, url: "${{HOOK_URL}}", secrets: ["${{HOOK_SECRET}}"], allow_private: true, timeout: 5 seconds}}}}
sequences: {{welcome: {{destination: hook}}}}
guards: {{snapshot: {{shrinks: 100%}}}}
"""
BEFORE, ENTRANTS = range(1, 6), range(6, 14)
CRUEL = ("reset-applied", "close-applied", "503-applied", "reset")
RUN, SYNC = ["recompute"], ["sync"]
RECOMPUTE = [*RUN, "--no-deliver"]


@dataclass
class Receiver:
    """The sandbox, in a process of its own."""

    url: str
    variables: dict[str, str]
    seconds: float = 0.0
    """How long a run takes that nobody kills."""

    def ask(self, path: str, order: object = None) -> Any:
        body = None if order is None else json.dumps(order).encode()
        with urllib.request.urlopen(f"{self.url.removesuffix('/hook')}{path}", body, timeout=30) as answer:
            return json.loads(answer.read())

    def arrivals(self) -> dict[str, Any]:
        """What it took, by id. Everything that came was signed as it should be."""
        told = self.ask("/events")
        assert told["refused"] == {}
        return {one["id"]: one for one in told["arrivals"]}


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    secret = new_secret()
    store = tmp_path_factory.mktemp("receiver")
    words = ["sandbox", "webhook", "--port", "0", "--secret-env", "HOOK_SECRET", "--store", str(store)]
    environ = {**os.environ, "HOOK_SECRET": secret}
    command = [sys.executable, "-m", "segmentry", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        try:
            yield Receiver(url, {"HOOK_URL": url, "HOOK_SECRET": secret})
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Path:
    """A workspace after its first run, and with those who enter in the next."""
    root = tmp_path_factory.mktemp("first") / "shop"
    (root / "segments").mkdir(parents=True)
    (root / "segmentry.yml").write_text(CONFIG)
    (root / "segments" / "visitors.yml").write_text("where: spend > 0\nenroll: welcome\n")
    shutil.copytree(empty_state(), root / ".segmentry" / "default")
    people(root, BEFORE)
    began = time.monotonic()
    assert started(root, RUN, receiver).wait(120) == 0
    receiver.seconds = time.monotonic() - began
    assert rows(root) == {}
    people(root, [*BEFORE, *ENTRANTS])
    return root


@pytest.fixture
def shop(first: Path, tmp_path: Path, receiver: Receiver) -> Path:
    """A copy, and a receiver that has forgotten everything and is cruel."""
    root = tmp_path / "shop"
    shutil.copytree(first, root)
    begin(receiver)
    return root


def begin(receiver: Receiver) -> None:
    receiver.ask("/reset", {})
    receiver.ask("/cruel", {"kinds": CRUEL, "share": 0.4})


def people(root: Path, keys: Sequence[int]) -> None:
    frame = pl.DataFrame({"id": list(keys), "spend": [1] * len(keys), "email": [f"c{key}@example.com" for key in keys]})
    frame.write_parquet(root / "contacts.parquet")


def started(root: Path, words: Sequence[str], receiver: Receiver) -> subprocess.Popen[bytes]:
    """A command that runs, as people run it."""
    whole = [sys.executable, "-m", "segmentry", *words, "--workspace", str(root)]
    environ = {**os.environ, **receiver.variables}
    return subprocess.Popen(whole, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ)


def ended(target: Callable[..., None], root: Path, words: Sequence[str], receiver: Receiver, *more: object) -> int:
    """How a process ends that runs a command."""
    process = SERVER.Process(target=target, args=(root, words, receiver.variables, *more))
    process.start()
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def state_of(root: Path) -> closing[State]:
    return closing(State.open(root / ".segmentry" / "default", ID))


def rows(root: Path) -> dict[str, Any]:
    """The numbered rows of the ledger, by id."""
    with state_of(root) as state, state.catalog.reading() as connection:
        return {row.id: row for row in connection.execute(select(ENROLLMENTS))}


def id_of(contact: int, number: int = 1) -> str:
    return str(uuid5(UUID(ID), f'["default","welcome","integer","{contact}",{number}]'))


def check_whole(root: Path, receiver: Receiver) -> None:
    """Right after a kill: all of the run or nothing of it, and nothing was told that the ledger does not have."""
    known = rows(root)
    assert set(known) in (set(), {id_of(key) for key in ENTRANTS})
    arrivals = receiver.arrivals()
    assert set(arrivals) <= set(known)
    assert all(known[id].outcome in ("sending", "sent", "pending") for id in arrivals)
    assert {id for id, row in known.items() if row.outcome == "sent"} <= set(arrivals)


def heal(root: Path, receiver: Receiver) -> None:
    """A run and deliveries that nobody kills, at a receiver that is kind at last; then everything is as if nothing had been."""
    with state_of(root) as state:
        committed = len(state.runs()) > 1
    assert ended(command, root, RECOMPUTE, receiver) == 0
    receiver.ask("/cruel", {"kinds": [], "share": 0.0})
    for _ in range(5):
        time_passes(root)
        assert ended(command, root, SYNC, receiver) in (0, 3)
        if {row.outcome for row in rows(root).values()} == {"sent"}:
            break
    known, arrivals = rows(root), receiver.arrivals()
    assert {id: (row.contact, row.number, row.segment) for id, row in known.items()} == {
        id_of(key): (str(key), 1, "visitors") for key in ENTRANTS
    }
    assert {row.outcome for row in known.values()} == {"sent"}
    assert set(arrivals) == set(known), "nobody is missed, nobody has two ids"
    for id, one in arrivals.items():
        data = one["body"]["data"]
        assert (data["enrollment_id"], str(data["contact"]), data["number"]) == (id, known[id].contact, 1)
    with state_of(root) as state:
        assert [run.id for run in state.runs()] == ([1, 2, 3] if committed else [1, 2])
        with state.catalog.reading() as connection:
            listed = set(ledger.listed_files(connection).values())
        there = {path.relative_to(state.folder).as_posix() for path in (state.folder / ledger.FOLDER).iterdir()}
        assert there == listed
        assert not any(name.endswith(PENDING) for name in there)
        assert sorted(state.members("visitors")) == [*BEFORE, *ENTRANTS]


def time_passes(root: Path) -> None:
    """Whatever waits for another attempt is due now."""
    with state_of(root) as state, state.catalog.writing() as connection:
        connection.execute(update(DELIVERIES).values(due=datetime.now(UTC).isoformat(timespec="microseconds")))


# ---------------------------------------------------------------- at every step


def killed(root: Path, receiver: Receiver, step: str, event: str, number: int = 1) -> int:
    """How a run with its delivery ends that is killed at a step."""
    return ended(killed_at, root, RUN, receiver, step, event, number)


@pytest.mark.parametrize(
    ("step", "event", "number"),
    [
        ("files.publish", END, 1),
        ("activated.apply", END, 1),
        ("commit.remove_files", BEGIN, 1),
        ("outbox.claim", END, 1),
        ("webhook.send", END, 3),
        ("outbox.record", BEGIN, 1),
    ],
)
def test_killed_at_a_step(shop: Path, receiver: Receiver, step: str, event: str, number: int) -> None:
    assert killed(shop, receiver, step, event, number) == -signal.SIGKILL
    check_whole(shop, receiver)
    heal(shop, receiver)


@pytest.mark.full
@pytest.mark.parametrize("part", range(20))
def test_killed_at_every_step(first: Path, tmp_path: Path, receiver: Receiver, part: int) -> None:
    shutil.copytree(first, tmp_path / "calm")
    receiver.ask("/reset", {})
    assert ended(recorded, tmp_path / "calm", RUN, receiver, tmp_path / "steps.json") == 0
    steps = json.loads((tmp_path / "steps.json").read_text())
    assert len(steps) > 60
    for step in sorted(steps)[part::20]:
        for event, number in ((BEGIN, 1), (END, 1), (END, max(1, steps[step] // 2))):
            root = tmp_path / f"{step}-{event}-{number}"
            if root.exists():
                continue
            shutil.copytree(first, root)
            begin(receiver)
            # what a cruel receiver makes a delivery do, it does not do as often each time
            assert killed(root, receiver, step, event, number) in (-signal.SIGKILL, 0, 3)
            check_whole(root, receiver)
            heal(root, receiver)


# ---------------------------------------------------------------- at random moments


def killed_at_random(root: Path, receiver: Receiver, draws: random.Random) -> None:
    """A run is killed, and the delivery after it, each by somebody else."""
    for words, longest in ((RUN, 1.1), (SYNC, 0.9)):
        process = started(root, words, receiver)
        time.sleep(receiver.seconds * draws.uniform(0.2, longest))
        process.kill()
        process.wait(60)
        check_whole(root, receiver)
    heal(root, receiver)


@pytest.mark.parametrize("number", range(2))
def test_killed_at_a_random_moment(shop: Path, receiver: Receiver, seed: int, number: int) -> None:
    killed_at_random(shop, receiver, random.Random(seed + number))


@pytest.mark.full
@pytest.mark.parametrize("number", range(100))
def test_killed_at_two_hundred_random_moments(shop: Path, receiver: Receiver, seed: int, number: int) -> None:
    killed_at_random(shop, receiver, random.Random(seed + 1000 + number))
