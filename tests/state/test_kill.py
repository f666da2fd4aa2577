"""Runs that are killed, stopped, or meet another: the state is the former run or the new one, and the next run needs no help."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from segmentry.engine.report import STAGES
from segmentry.engine.state import State
from segmentry.engine.state.reading import listed_paths
from segmentry.errors import LeaseHeld
from tests.state.conftest import Shop, at, day
from tests.state.killing import SERVER, ended, forgetting_killed, killed_after, killed_at, killed_within, stopped_at


def second(shop: Shop) -> None:
    """What the second run finds."""
    shop.contacts({"id": [1, 2, 4, 5], "spend": [15, 50, 40, 1], "country": ["UK", "US", "UK", None]})
    shop.event_file("b", {"contact_id": [5], "at": [at("2026-01-02")], "event": ["order"]})
    shop.list("staff.csv", 2)
    shop.write_config()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace after its first run, with everything there for a second."""
    shop = Shop(tmp_path_factory.mktemp("first") / "shop")
    shop.root.mkdir()
    shop.list("staff.csv", 1)
    shop.contacts({"id": [1, 2, 3], "spend": [5, 50, 60], "country": ["UK", "US", None]})
    shop.event_file("a", {"contact_id": [1, 2], "at": [at("2026-01-01")] * 2, "event": ["order"] * 2})
    shop.segment("staff", list="staff.csv")
    shop.segment("big", "spend > 10")
    shop.segment("buyers", "did(order) and not member('staff')")
    shop.run("2026-01-01")
    second(shop)
    return shop.root


@pytest.fixture
def shop(first: Path, tmp_path: Path) -> Shop:
    shutil.copytree(first, tmp_path / "shop")
    return Shop(tmp_path / "shop", events=True)


@pytest.fixture(scope="module")
def expected(first: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """What a second run gives that nobody disturbs."""
    root = tmp_path_factory.mktemp("expected") / "shop"
    shutil.copytree(first, root)
    return Shop(root, events=True).run("2026-01-03").changes().rows()


def killed(target: Callable[..., None], *arguments: object) -> None:
    assert ended(target, *arguments) == -signal.SIGKILL


def files(state: State) -> set[str]:
    found = {
        path.relative_to(state.folder).as_posix()
        for kind in ("runs", "contacts")
        for path in (state.folder / kind).rglob("*")
        if path.is_file()
    }
    return found | {path.name for path in (state.folder / "staging").glob("*")}


def assert_whole(state: State) -> None:
    """Every record can be read, and every listed file is there."""
    for run in state.runs():
        assert state.memberships(run.id).height > 0
        state.changes(run.id)
    with state.catalog.reading() as connection:
        assert listed_paths(connection) <= files(state)


def assert_recovers(shop: Shop, expected: list[tuple[object, ...]]) -> None:
    """The state is that of the first run or of the second; what the next run does is what it would have done."""
    state = shop.state
    assert_whole(state)
    runs = [run.id for run in state.runs()]
    assert runs in ([1], [1, 2])
    if runs == [1]:
        run = shop.run("2026-01-03")
        assert run.record.id == 2
        assert run.changes().rows() == expected
    else:
        assert state.changes(2).rows() == expected
        assert shop.run("2026-01-04").changes().rows() == []
    assert_whole(state)
    with state.catalog.reading() as connection:
        assert files(state) == listed_paths(connection)


@pytest.mark.parametrize("moment", [*STAGES, "half a file", "published", "committed"])
def test_killed_at_every_stage(shop: Shop, expected: list[tuple[object, ...]], moment: str) -> None:
    killed(killed_at, shop.root, "2026-01-03", moment)
    assert [run.id for run in shop.state.runs()] == ([1, 2] if moment == "committed" else [1])
    assert_recovers(shop, expected)


def killed_at_random(shop: Shop, expected: list[tuple[object, ...]], draw: random.Random) -> None:
    killed_within(draw.uniform(0, 0.4), killed_after, shop.root, "2026-01-03")
    assert_recovers(shop, expected)


@pytest.mark.parametrize("seed", range(1))
def test_killed_at_a_random_moment(shop: Shop, expected: list[tuple[object, ...]], seed: int) -> None:
    killed_at_random(shop, expected, random.Random(seed))


@pytest.mark.full
@pytest.mark.parametrize("seed", range(1, 101))
def test_killed_at_a_hundred_random_moments(shop: Shop, expected: list[tuple[object, ...]], seed: int) -> None:
    killed_at_random(shop, expected, random.Random(seed))


@pytest.mark.parametrize("moment", ["written", "published", "committed"])
def test_forget_is_whole_or_not_at_all(shop: Shop, moment: str) -> None:
    killed(forgetting_killed, shop.root, [2], moment)
    state = shop.state
    named = 2 in state.memberships()["id"].to_list()
    assert named == (moment != "committed")
    assert (2 in state.changes(1)["contact"].to_list()) == named
    state.gc(timedelta(days=30), day("2026-01-03"))
    with state.catalog.reading() as connection:
        assert files(state) == listed_paths(connection)
    erased = [pl.read_parquet(path) for path in state.folder.rglob("*.parquet")]
    assert named or not any(2 in frame[name].to_list() for frame in erased for name in ("id", "contact") if name in frame.columns)


def test_a_second_run_is_told_or_waits(shop: Shop) -> None:
    here, there = SERVER.Pipe()
    process = SERVER.Process(target=stopped_at, args=(shop.root, "2026-01-03", "evaluate", there))
    process.start()
    assert here.poll(60)
    assert here.recv() == "evaluate"
    with pytest.raises(LeaseHeld, match=f"process {process.pid} on"):
        shop.run("2026-01-04")
    here.send("go on")
    assert shop.run("2026-01-04", wait=60.0).record.id == 3
    assert here.recv() == "run 2"
    process.join(60)


def test_a_reader_sees_the_former_run_until_the_commit(shop: Shop) -> None:
    before = shop.state.memberships()
    here, there = SERVER.Pipe()
    process = SERVER.Process(target=stopped_at, args=(shop.root, "2026-01-03", "commit", there))
    process.start()
    assert here.poll(60)
    here.recv()
    began = time.monotonic()
    assert shop.state.memberships().equals(before)
    assert shop.state.accepted().id == 1
    assert shop.state.changes(1).height == len(shop.state.history("big")) + len(shop.state.history("staff")) + len(
        shop.state.history("buyers")
    )
    assert time.monotonic() - began < 5
    assert f"process {process.pid} on" in (shop.state.holder() or "")
    here.send("go on")
    assert here.poll(60)
    assert here.recv() == "run 2"
    process.join(60)
    assert shop.state.accepted().id == 2


def test_a_holder_that_slept_past_its_lease_can_not_commit(shop: Shop) -> None:
    here, there = SERVER.Pipe()
    process = SERVER.Process(target=stopped_at, args=(shop.root, "2026-01-03", "write", there))
    process.start()
    assert here.poll(60)
    here.recv()
    os.kill(process.pid, signal.SIGSTOP)
    run = shop.run("2026-01-04", clock=lambda: datetime.now(UTC) + timedelta(seconds=61))
    assert run.record.id == 2
    os.kill(process.pid, signal.SIGCONT)
    here.send("go on")
    assert here.poll(60)
    assert here.recv() == "LeaseLost"
    process.join(60)
    assert_whole(shop.state)
    assert [record.as_of for record in shop.state.runs()][1:] == [day("2026-01-04")]
    assert shop.state.members("big").to_list() == [1, 2, 4]
