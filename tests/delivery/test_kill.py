"""Senders that are killed: no row is lost, none is repeated where that would do harm, and the next sender needs no help."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segmentry.engine.connectors.destination import Traits
from tests.delivery.killing import MOMENTS, killed_after, killed_at, receiver, told
from tests.delivery.outbox import Outbox, row_id

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.delivery.killing"])

KINDS = {
    "one by one": Traits(parallel=2),
    "in batches": Traits(batch=7, parallel=2),
    "not repeat-safe": Traits(parallel=2, repeat_safe=False),
    "in batches, not repeat-safe": Traits(batch=7, parallel=2, repeat_safe=False),
}
ROWS = 60


def filled(root: Path, rows: int = ROWS) -> Outbox:
    outbox = Outbox(root)
    outbox.put(*(f"c{number:06}" for number in range(rows)))
    return outbox


def settled(outbox: Outbox, traits: Traits, rows: int = ROWS) -> dict[str, str]:
    """The next sender comes; what the invariants say holds then. What each row is, by its id."""
    outbox.deliver(open=receiver(outbox.root, traits))
    outcomes = {row_id(name): outcome for name, outcome in outbox.outcomes().items()}
    taken = told(outbox.root)
    assert len(outcomes) == rows
    assert set(taken) <= set(outcomes)
    if traits.repeat_safe:
        assert set(outcomes.values()) == {"sent"}
        assert set(taken) == set(outcomes)
        assert max(taken.values()) <= 2
    else:
        assert set(outcomes.values()) <= {"sent", "unknown"}
        assert max(taken.values(), default=0) <= 1
        assert {id for id, outcome in outcomes.items() if outcome == "sent"} <= set(taken)
        assert list(outcomes.values()).count("unknown") <= traits.batch * traits.parallel
    return outcomes


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_every_step(tmp_path: Path, kind: str, moment: str, number: int) -> None:
    outbox, traits = filled(tmp_path), KINDS[kind]
    process = SERVER.Process(target=killed_at, args=(tmp_path, {}, traits, moment, number))
    process.start()
    process.join(60)
    # where all rows are claimed at once, there may be no second time
    assert process.exitcode == -signal.SIGKILL or (number == 2 and traits.repeat_safe and process.exitcode == 0)
    settled(outbox, traits)


def test_killed_after_the_request_the_same_is_sent_again(tmp_path: Path) -> None:
    outbox = filled(tmp_path, 1)
    process = SERVER.Process(target=killed_at, args=(tmp_path, {}, KINDS["one by one"], "after the request", 1))
    process.start()
    process.join(60)
    assert outbox.outcomes() == {"c000000": "sending"}
    settled(outbox, KINDS["one by one"], 1)
    assert told(tmp_path) == {row_id("c000000"): 2}


def test_killed_after_the_request_a_person_decides(tmp_path: Path) -> None:
    outbox = filled(tmp_path, 1)
    process = SERVER.Process(target=killed_at, args=(tmp_path, {}, KINDS["not repeat-safe"], "after the request", 1))
    process.start()
    process.join(60)
    assert settled(outbox, KINDS["not repeat-safe"], 1) == {row_id("c000000"): "unknown"}
    assert told(tmp_path) == {row_id("c000000"): 1}


def killed_at_random(root: Path, kind: str, draw: random.Random, rows: int = 3_000) -> None:
    outbox, traits = filled(root, rows), KINDS[kind]
    for _ in range(2):
        began = SERVER.Event()
        process = SERVER.Process(target=killed_after, args=(root, {}, traits, began))
        process.start()
        began.wait(60)
        time.sleep(draw.uniform(0, 0.4))
        process.kill()
        process.join(60)
    outbox.deliver(open=receiver(root, traits))
    outcomes = outbox.outcomes()
    taken = told(root)
    assert set(taken) <= set(map(row_id, outcomes))
    if traits.repeat_safe:
        assert set(outcomes.values()) == {"sent"}
        assert len(taken) == rows
        assert max(taken.values()) <= 3
    else:
        assert set(outcomes.values()) <= {"sent", "unknown"}
        assert max(taken.values()) == 1
        assert list(outcomes.values()).count("unknown") <= 2 * traits.batch * traits.parallel


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_a_random_moment(tmp_path: Path, kind: str, draws: random.Random) -> None:
    # one at a time, a row takes 10 ms; the others are done with hundreds before the kill
    killed_at_random(tmp_path, kind, draws, rows=400 if KINDS[kind] == KINDS["not repeat-safe"] else 3_000)


@pytest.mark.full
@pytest.mark.parametrize("number", range(50))
def test_killed_at_two_hundred_random_moments(tmp_path: Path, number: int, seed: int) -> None:
    draw = random.Random(f"{seed}:{number}")
    for kind in KINDS:
        killed_at_random(tmp_path / kind.replace(" ", "_"), kind, draw, rows=1_000)


# ---------------------------------------------------------------- very many


@pytest.mark.full
@pytest.mark.parametrize("batch", [1, 100, 5000])
def test_a_hundred_thousand_rows_take_no_more_memory_than_some(tmp_path: Path, batch: int) -> None:
    rows = 100_000
    command = [sys.executable, "-m", "tests.delivery.measuring", str(tmp_path), str(rows), str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], timeout=800)
    found = json.loads(done.stdout)
    assert found["sent"] == rows + 5_000
    assert found["after"] - found["before"] < 64 * 1024, "KiB: some thousands of rows at once, and fifty thousand ids"


@pytest.mark.full
def test_a_hundred_thousand_rows_go_on_after_a_kill_in_the_middle(tmp_path: Path) -> None:
    rows, traits = 100_000, Traits(batch=100, parallel=4, per_minute=1e6)
    outbox = filled(tmp_path, rows)
    began = SERVER.Event()
    process = SERVER.Process(target=killed_after, args=(tmp_path, {}, traits, began))
    process.start()
    assert began.wait(60)
    while told(tmp_path).total() < rows // 2:
        assert process.is_alive()
        time.sleep(0.05)
    process.kill()
    process.join(60)
    before = list(outbox.outcomes().values())
    assert before.count("sending") <= 2_000
    assert before.count("pending") > 0
    assert settled(outbox, traits, rows)
    assert sum(told(tmp_path).values()) - rows <= 2_000, "only what was under way came twice"
