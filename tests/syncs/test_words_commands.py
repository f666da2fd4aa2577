"""The command `sync` and its words: what they print, what they ask, and what they end with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from segmentry import cli_sync
from segmentry.cli import cli
from segmentry.engine.connectors.memory import forget_all
from segmentry.engine.state.lease import hold
from segmentry.engine.state.state import wall_clock
from tests.syncs.conftest import LIST, Synced


@pytest.fixture
def now(shop: Synced) -> Synced:
    """A shop of now, as commands read the wall clock: two of three are in, and nobody has said what becomes of them."""
    forget_all()
    shop.people({"id": ["a", "b", "c"], "country": ["UK", "UK", "FR"]})
    shop.sync("mode: mirror")
    shop.now = wall_clock()
    shop.run(shop.now)
    return shop


def run(shop: Synced, *words: str, code: int = 0, **more: Any) -> Result:
    result = CliRunner().invoke(cli, ["--workspace", str(shop.root), "sync", *words], **more)
    assert result.exit_code == code, result.output
    assert "@" not in result.output
    return result


def test_confirm_then_sync_sends(now: Synced) -> None:
    result = run(now, "confirm", "uk", "crm", "--send", "--yes")
    assert "uk to crm, list:people (mirror): 2 members by run 1" in result.stderr
    assert "2 are added" in result.stderr
    assert run(now, "crm", "--format", "json").exit_code == 0
    assert now.members == {"a", "b"}
    assert "confirmed already, with --send" in run(now, "confirm", "uk", "crm", "--skip").stderr


def test_confirm_as_json(now: Synced) -> None:
    found = json.loads(run(now, "confirm", "uk", "crm", "--skip", "--yes", "--format", "json").stdout)
    assert (found["answer"], found["members"], found["baseline"], found["added"]) == ("skip", 2, 2, 0)
    assert found["there"] == {"title": LIST, "members": 0}


def test_confirm_without_a_terminal_shows_the_figures_and_does_nothing(now: Synced) -> None:
    result = run(now, "confirm", "uk", "crm", "--send", code=2)
    assert "2 members by run 1" in result.stderr
    assert "say --yes" in result.stderr
    assert now.syncs() == [("uk", LIST, "unconfirmed", None)]


def test_confirm_needs_an_answer(now: Synced) -> None:
    assert "--send to add those who are in" in run(now, "confirm", "uk", "crm", code=2).stderr


@pytest.mark.parametrize(("said", "code", "status"), [("y\n", 0, "active"), ("n\n", 130, "unconfirmed"), ("", 130, "unconfirmed")])
def test_confirm_asks_on_a_terminal(now: Synced, monkeypatch: pytest.MonkeyPatch, said: str, code: int, status: str) -> None:
    monkeypatch.setattr(cli_sync, "is_terminal", lambda _: True)
    result = run(now, "confirm", "uk", "crm", "--send", code=code, input=said)
    assert "Go on with --send?" in result.stderr
    assert now.syncs()[0][2] == status


def test_words_end_with_75_while_a_run_is_at_work(now: Synced) -> None:
    from segmentry.cli import Root

    group = Root("segmentry", commands={"sync": cli_sync.sync})
    words = ["sync", "confirm", "uk", "crm", "--workspace", str(now.root), "--send", "--yes"]
    with hold(now.state.catalog, now.state.workspace, "default"):
        assert CliRunner().invoke(group, words).exit_code == 75
    assert now.syncs() == [("uk", LIST, "unconfirmed", None)]


def test_dry_run_before_and_after_the_destination(now: Synced) -> None:
    run(now, "confirm", "uk", "crm", "--send", "--yes")
    for words in (["--dry-run", "--format", "json", "crm"], ["crm", "--dry-run", "--format", "json"], ["--dry-run", "--format", "json"]):
        (row,) = json.loads(run(now, *words).stdout)["due"]
        assert (row["what"], row["add"], row["calls"]) == ("uk", 2, 1)
    assert "list:people" in run(now, "--dry-run").stdout
    assert now.members == set()


def test_dry_run_says_who_waits_for_a_word(now: Synced) -> None:
    assert "2 wait for a word: segmentry sync confirm uk crm" in run(now, "--dry-run").stderr


def test_a_word_that_is_neither_a_destination_nor_a_command(now: Synced) -> None:
    said = run(now, "confrim", "uk", code=1).stderr
    assert "there is no destination `confrim`" in said
    assert "there is a command `segmentry sync confirm`" in said


def test_list_in_every_format(now: Synced) -> None:
    assert "unconfirmed" in run(now, "list").stdout
    (row,) = json.loads(run(now, "list", "--format", "json").stdout)
    assert (row["segment"], row["status"], row["waiting"]) == ("uk", "unconfirmed", 2)
    assert run(now, "list", "--format", "csv").stdout.splitlines()[0].startswith("segment,destination,target,mode,status,waiting")


def told(shop: Synced) -> None:
    run(shop, "confirm", "uk", "crm", "--send", "--yes")
    run(shop)
    with shop.state.catalog.writing() as connection:  # long enough ago for the destination to know
        connection.exec_driver_sql("update synced set changed = '2026-01-01T00:00:00.000000+00:00'")


def test_reconcile_and_readd(now: Synced) -> None:
    told(now)
    now.memory.take_out(LIST, "a")
    dry = json.loads(run(now, "reconcile", "--dry-run", "--format", "json").stdout)
    assert (dry["dry_run"], dry["syncs"][0]["left"]) == (True, 1)
    assert now.rows()["a"] == ("member", None)
    header, _, row = run(now, "reconcile", "uk", "crm").stdout.splitlines()
    assert header.split()[:6] == ["segment", "destination", "target", "there", "acknowledged", "left"]
    assert row.split()[3:6] == ["1", "1", "1"]
    result = run(now, "readd", "a", "--segment", "uk")
    assert "1 may come back, 1 are added" in result.stderr
    assert "unsubscribed there is answered so again" in result.stderr
    assert "none of them had left" in run(now, "readd", "b").stderr


def test_reconcile_says_what_cant_be_read_and_ends_with_1_only_where_it_is_named(now: Synced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    now.destinations = "{crm: {type: memory, needs_address: true}, hook: {type: webhook, url: 'https://a.example/', secrets: ['${S}']}}"
    fr = "where: country = 'FR'\nsync: {destination: hook, existing: send}\n"
    (now.root / "segments" / "fr.yml").write_text(fr)
    now.sync("existing: send")
    now.run(wall_clock())
    assert "fr to hook: destination `hook` can't be read" in run(now, "reconcile").stderr
    run(now, "reconcile", "uk")
    run(now, "reconcile", "fr", code=1)
    run(now, "reconcile", "fr", "hook", code=1)


def test_detach_asks_and_takes_out(now: Synced, monkeypatch: pytest.MonkeyPatch) -> None:
    told(now)
    run(now, "detach", "uk", "crm", "--yes", code=1)
    now.sync("")
    assert "2 whom it added are taken out" in run(now, "detach", "uk", "crm", "--remove", code=2).stderr
    monkeypatch.setattr(cli_sync, "is_terminal", lambda _: True)
    run(now, "detach", "uk", "crm", "--remove", code=130, input="n\n")
    assert now.members == {"a", "b"}
    result = run(now, "detach", "uk", "crm", "--remove", "--format", "json", input="y\n")
    assert json.loads(result.stdout[result.stdout.index("{") :])["removed"] == 2
    assert now.members == set()
