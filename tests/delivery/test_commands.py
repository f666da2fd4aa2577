"""The commands: sync, deliveries, pause, resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from segmentry.cli import Root
from segmentry.cli_tell import COMMANDS
from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.memory import answers
from segmentry.engine.state.state import wall_clock
from segmentry.sandbox.webhook import WebhookSandbox
from tests.delivery.outbox import Clock, Outbox, row_id

NO = answers(Answer(Verdict.REJECTED, "no such city"))


@pytest.fixture
def shop(outbox: Outbox) -> Outbox:
    """An outbox of now: the commands read the wall clock."""
    outbox.clock.now = wall_clock()
    assert outbox.workspace.environment == "prod"
    return outbox


def run(shop: Outbox, *words: str, code: int = 0, **settings: Any) -> Result:
    group = Root("segmentry", commands={str(command.name): command for command in COMMANDS})
    first, *rest = words
    result = CliRunner().invoke(group, [first, "--workspace", str(shop.root), "--env", shop.env, *rest], **settings)
    assert result.exit_code == code, result.output
    assert "@" not in result.output
    return result


def test_sync_sends_and_prints_what_came_of_it(shop: Outbox) -> None:
    shop.put("a", "b")
    lines = run(shop, "sync").stdout.splitlines()
    assert lines[0].split() == ["destination", "sent", "synced", "exported", "rejected", "later", "unknown", "withdrawn", "expired", "left"]
    assert lines[2].split() == ["mem", "2", *["0"] * 8]
    assert shop.outcomes() == {"a": "sent", "b": "sent"}


def test_sync_ends_with_3_if_some_failed(shop: Outbox) -> None:
    shop.put("a", "b")
    shop.memory.will(NO)
    found = json.loads(run(shop, "sync", "--format", "json", code=3).stdout)
    assert found["failed"]
    assert (found["destinations"]["mem"]["sent"], found["destinations"]["mem"]["rejected"]) == (1, 1)


def test_sync_of_a_destination_that_there_is_not(shop: Outbox) -> None:
    assert "no destination `mme`; did you mean `mem`" in run(shop, "sync", "mme", code=1).stderr


def test_sync_says_what_stands_in_the_way(shop: Outbox) -> None:
    shop.put("a")
    shop.pause("mem")
    assert "warning: mem: it is paused" in run(shop, "sync").stderr


def test_sync_where_nothing_is_delivered(tmp_path: Path) -> None:
    quiet = Outbox(tmp_path / "quiet", env="quiet")
    assert quiet.workspace
    assert "environment `quiet` sends nothing" in run(quiet, "sync").stderr


def test_deliveries_are_listed_and_chosen(shop: Outbox, tmp_path: Path) -> None:
    shop.put("a")
    shop.put("b", outcome="unknown")
    assert {"a", "b"} == {row["contact"] for row in json.loads(run(shop, "deliveries", "--format", "json").stdout)}
    (only,) = json.loads(run(shop, "deliveries", "--outcome", "unknown", "--format", "json").stdout)
    assert only["id"] == row_id("b")
    file = tmp_path / "out.parquet"
    run(shop, "deliveries", "--destination", "mem", "--sequence", "welcome", "--limit", "1", "--output", str(file))
    assert pl.read_parquet(file).height == 1
    assert "unknown" in run(shop, "deliveries").stdout


def test_a_long_table_says_that_there_is_more(shop: Outbox) -> None:
    shop.put(*(f"c{number}" for number in range(101)))
    found = run(shop, "deliveries")
    assert len(found.stdout.splitlines()) == 102
    assert "the first 100; --limit 0 prints all" in found.stderr
    assert len(run(shop, "deliveries", "--limit", "0").stdout.splitlines()) == 103


def test_deliveries_are_settled_by_id_or_all(shop: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentry.engine.fitness.fit", lambda _loaded, _state, rows: pl.repeat(True, rows.height, eager=True))
    shop.put("a", "b", "c", outcome="unknown")
    shop.put("d", outcome="rejected")
    shop.put("e", outcome="sent")
    assert "1 dropped" in run(shop, "deliveries", "drop", row_id("a")).stderr
    found = run(shop, "deliveries", "mark-sent", row_id("b"), row_id("e"), code=1)
    assert f"{row_id('e')}: it was sent" in found.stderr
    assert "1 marked as sent, 1 left as they are" in found.stderr
    assert "2 due again" in run(shop, "deliveries", "retry", "--all-unknown", "--all-rejected").stderr
    assert shop.outcomes() == {"a": "dropped", "b": "sent", "c": "pending", "d": "pending", "e": "sent"}
    assert "0 due again" in run(shop, "deliveries", "retry", "--all-unknown").stderr
    run(shop, "deliveries", "retry", code=2)
    assert "no delivery `x`" in run(shop, "deliveries", "drop", "x", code=1).stderr


def test_pause_and_resume(shop: Outbox) -> None:
    assert "mem is paused" in run(shop, "pause", "mem").stderr
    assert "mem was paused already" in run(shop, "pause", "mem").stderr
    assert "everything is paused" in run(shop, "pause", "--all").stderr
    found = run(shop, "resume", "mem").stderr
    assert "mem goes on" in found
    assert "still paused: everything" in found
    assert "everything goes on" in run(shop, "resume", "--all").stderr
    assert "welcome was not paused" in run(shop, "resume", "welcome").stderr
    for words in (["pause"], ["resume", "mem", "--all"]):
        run(shop, *words, code=2)


def test_resume_asks_before_it_sends_to_those_of_the_pause(shop: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentry.engine.fitness.fit", lambda _loaded, _state, rows: pl.repeat(True, rows.height, eager=True))
    shop.pause("welcome")
    shop.put("a", "b", outcome="paused")
    assert "2 would be sent (2 in welcome); without a terminal" in run(shop, "resume", "welcome", "--send-waiting", code=2).stderr
    monkeypatch.setattr("segmentry.cli_tell.is_terminal", lambda _: True)
    run(shop, "resume", "welcome", "--send-waiting", input="n\n", code=130)
    assert shop.pauses() == {"welcome": None}
    found = run(shop, "resume", "welcome", "--send-waiting", input="y\n").stderr
    assert "2 came in during the pause (2 in welcome). Send them now?" in found
    assert "2 who came in during the pause are due now" in found
    assert shop.outcomes() == {"a": "pending", "b": "pending"}


def test_resume_leaves_those_of_the_pause_and_tells(shop: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentry.engine.fitness.fit", lambda _loaded, _state, rows: pl.repeat(True, rows.height, eager=True))
    shop.put("a", outcome="paused")
    shop.pause("welcome")
    assert "1 came in during the pause and are not sent" in run(shop, "resume", "welcome").stderr
    shop.pause("welcome")
    run(shop, "resume", "welcome", "--send-waiting", "--yes")
    assert shop.outcomes() == {"a": "pending"}


SYNC = """
from segmentry.cli import Root
from segmentry.cli_tell import COMMANDS
Root("segmentry", commands={command.name: command for command in COMMANDS}).main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_records_what_is_under_way_and_ends_with_130(tmp_path: Path, number: signal.Signals) -> None:
    with WebhookSandbox(clock=wall_clock, heard=lambda _: time.sleep(0.05)) as sandbox:
        hook = f'{{type: webhook, url: "{sandbox.url}", secrets: ["${{HOOK}}"], allow_private: true}}'
        shop = Outbox(
            tmp_path / "shop",
            config=f"destinations: {{hook: {hook}}}\nsequences: {{welcome: {{destination: hook}}}}\n",
            clock=Clock(wall_clock()),
        )
        shop.put(*(f"c{number:03}" for number in range(400)), destination="hook")
        assert shop.workspace
        command = [sys.executable, "-c", SYNC, "sync", "--workspace", str(shop.root), "--env", "prod"]
        environ = os.environ | {"HOOK": sandbox.secrets[0], "PYTHONPATH": str(Path(__file__).parents[2])}
        process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        until = time.monotonic() + 60
        while sandbox.count < 20:
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 130
        assert told.decode().strip() == "error: interrupted"
        outcomes = shop.outcomes()
        assert set(outcomes.values()) == {"sent", "pending"}
        assert {id for id, outcome in outcomes.items() if outcome == "sent"} == {
            arrival.body["data"]["contact"] for arrival in sandbox.inbox.arrivals
        }
