"""The demo: its data come from the seed alone, its segments from its rules, its changes from the hour that passed."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest
from ruamel.yaml import YAML

from segmentry import Run, Workspace
from segmentry.demo import lay_out, next_hour, services
from segmentry.demo.draws import Draws
from segmentry.demo.layout import STRUCK_OFF, back_again
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from segmentry.sandbox.klaviyo_state import list_id
from segmentry.sandbox.mailchimp import AUDIENCE, MailchimpSandbox
from segmentry.sandbox.webhook import WebhookSandbox

pytestmark = pytest.mark.xdist_group("demo")  # the shop is built once

NOW = datetime(2026, 3, 1, 9, 40, tzinfo=UTC)
DEFINITIONS = files("segmentry.demo") / "workspace"
IDENTITY = "11111111-2222-4333-8444-555555555555"


def clock() -> datetime:
    return NOW


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run, Run]:
    root = tmp_path_factory.mktemp("shop")
    first = lay_out(root, workspace_id=IDENTITY, now=NOW, contacts=20_000)
    workspace = Workspace.open(root)
    before = workspace.recompute(as_of=first.as_of, first_run=True)
    second = next_hour(root)
    assert second.as_of - first.as_of == timedelta(hours=1)
    return root, before, Workspace.open(root).recompute(as_of=second.as_of)


def test_draws_depend_on_the_seed_and_the_row_alone() -> None:
    whole = Draws(1).words("stream", 1000)
    assert whole.to_list() == [*Draws(1).words("stream", 400), *Draws(1).words("stream", 600, first=400)]
    assert whole[:2].to_list() == [12503833886627658177, 4933629351865018497]
    assert whole.to_list() != Draws(2).words("stream", 1000).to_list()
    assert whole.to_list() != Draws(1).words("other", 1000).to_list()
    assert 0.45 < Draws(1).uniform("stream", 10_000).mean() < 0.55


def test_the_same_seed_makes_the_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        lay_out(tmp_path / name, workspace_id=IDENTITY, now=NOW, contacts=500)
        next_hour(tmp_path / name)
    files = [sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("a", "b")]
    assert files[0] == files[1]
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in files[0])


def test_what_contacts_say_of_their_events_is_counted_from_them(tmp_path: Path) -> None:
    lay_out(tmp_path, workspace_id=IDENTITY, now=NOW, contacts=2_000)
    contacts = pl.read_parquet(tmp_path / "data" / "contacts" / "*.parquet")
    events = pl.read_parquet(tmp_path / "data" / "events" / "*.parquet")
    orders = pl.read_parquet(tmp_path / "data" / "orders" / "*.parquet")
    assert contacts["activity_count"].sum() == events.height + orders.height == 10_000
    assert contacts["lifetime_value"].sum() == orders["amount"].sum()
    added = contacts.select("contact_id", "date_added")
    assert events.join(added, on="contact_id").filter(pl.col("occurred_at") < pl.col("date_added")).height == 0


def test_a_dozen_segments_with_somebody_in_each(shop: tuple[Path, Run, Run]) -> None:
    _, before, after = shop
    assert len(before.counts) >= 12
    for run in (before, after):
        assert all(run.counts.values()), run.counts


def test_segments_are_what_plain_polars_finds(shop: tuple[Path, Run, Run]) -> None:
    root, _, after = shop
    data = root / "data"
    as_of = after.as_of
    contacts = pl.read_parquet(max((data / "contacts").glob("*.parquet")))
    orders = pl.read_parquet(data / "orders" / "*.parquet").rename({"customer_id": "contact_id", "created_at": "occurred_at"})
    events = pl.read_parquet(data / "events" / "*.parquet")
    anything = pl.concat([events.select("contact_id", "occurred_at"), orders.select("contact_id", "occurred_at")])
    known = contacts.select("contact_id")

    def recent(frame: pl.DataFrame, days: int) -> pl.DataFrame:
        return frame.filter(pl.col("occurred_at") > as_of - timedelta(days=days))

    uk = contacts.filter(pl.col("location") == "UK")
    viewed = recent(events, 30).filter(pl.col("event") == "page_viewed").group_by("contact_id").len().filter(pl.col("len") >= 2)
    busy = anything.group_by("contact_id").len().filter(pl.col("len") >= 5)
    pricing = events.filter(pl.col("form_id") == "pricing")
    spent = recent(orders, 90).group_by("contact_id").agg(pl.col("amount").sum()).filter(pl.col("amount") >= 500)
    leads = contacts.filter(pl.col("status") == "lead").join(spent, on="contact_id", how="semi").join(pricing, on="contact_id", how="semi")
    by_hand = {int(line) for line in (root / "lists" / "vip_by_hand.csv").read_text().split()}
    vip = (set(leads["contact_id"]) - {1003, 1011, 1024, 1029} | by_hand) - {1005, 1017, 1013}
    old = contacts.filter(pl.col("date_added") < as_of - timedelta(days=30))
    assert {name: after.counts[name] for name in ("uk_contacts", "uk_visitors", "five_events", "pricing_form", "inactive_30d", "vip")} == {
        "uk_contacts": uk.height,
        "uk_visitors": uk.join(viewed, on="contact_id", how="semi").height,
        "five_events": known.join(busy, on="contact_id", how="semi").height,
        "pricing_form": known.join(pricing, on="contact_id", how="semi").height,
        "inactive_30d": old.join(recent(anything, 30), on="contact_id", how="anti").height,
        "vip": len(vip & set(contacts["contact_id"])),
    }


def test_an_hour_brings_changes_of_every_cause_but_an_edit(shop: tuple[Path, Run, Run]) -> None:
    _, _, after = shop
    assert set(after.changes["cause"]) == {"data", "list", "source", "time"}
    assert set(after.changes["change"]) == {"entered", "exited"}
    assert after.changes.filter(pl.col("via").is_not_null()).height


def test_the_list_of_who_never_is_a_vip_is_as_it_was_once_somebody_is_back(tmp_path: Path) -> None:
    lay_out(tmp_path, workspace_id=IDENTITY, now=NOW, contacts=500)
    never = tmp_path / "lists" / "vip_never.csv"
    before = never.read_text()
    next_hour(tmp_path)
    assert never.read_text() == before + f"{STRUCK_OFF}\n"
    next_hour(tmp_path)
    assert never.read_text() == before + f"{STRUCK_OFF}\n"
    back_again(tmp_path)
    assert never.read_text() == before


def test_the_demos_list_is_the_one_that_a_sandbox_makes_of_its_name() -> None:
    vip = YAML(typ="safe").load((DEFINITIONS / "segments" / "vip.yml").read_text())
    (klaviyo, mailchimp) = vip["sync"]
    assert klaviyo["list"] == list_id(services.LIST)
    assert mailchimp["tag"] == services.TAG
    workspace = YAML(typ="safe").load((DEFINITIONS / "segmentry.yml").read_text().replace("{workspace_id}", IDENTITY))
    assert workspace["destinations"]["mailchimp"]["audience"] == services.AUDIENCE == AUDIENCE


def test_what_people_do_at_the_services_shows_there() -> None:
    with (
        WebhookSandbox(clock=clock, secrets=[]) as crm,
        KlaviyoSandbox(clock=clock, lists=(services.LIST, services.ELSEWHERE)) as klaviyo,
        MailchimpSandbox(clock=clock) as mailchimp,
    ):
        said = {
            "webhook": {"url": crm.url, "secret": crm.secrets[0]},
            "klaviyo": {"url": klaviyo.url, "key": klaviyo.key},
            "mailchimp": {"url": mailchimp.url, "key": mailchimp.key},
        }
        those = services.Services(said)
        klaviyo.add_by_hand(services.LIST, "ada@x.example")
        those.takes_off_the_list("ada@x.example")
        assert klaviyo.members(services.LIST) == []
        those.takes_off_the_list("cy@x.example")
        assert list(those.stand("cy@x.example")) == ["Klaviyo    not there; on no list", "Mailchimp  not there; no tag"]
        those.unsubscribes("bea@x.example")
        assert list(those.stand("bea@x.example")) == ["Klaviyo    unsubscribed; on Newsletter", "Mailchimp  unsubscribed; no tag"]
        assert list(those.members()) == [
            "Klaviyo    list VIP: 0 members; 0 mails by flows",
            "Mailchimp  tag VIP: 0 members; audience: 1 unsubscribed; 0 mails by automations",
        ]
        assert list(those.heard()) == ["0 requests, 0 enrollments, 0 with a signature that was verified, 0 of them more than once"]
        assert those.environment["KLAVIYO_KEY"] == klaviyo.key


@pytest.mark.full
def test_the_walk_goes_the_whole_way_and_ends_what_it_started(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "segmentry.demo", "--contacts", "2000", "--folder", str(tmp_path / "shop")]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    shown: str = subprocess.run(words, check=True, env={**os.environ, "COLUMNS": "200"}, **told).stdout
    for line in (
        "klaviyo: 0 sent, 1 synced, 2 left there, and are not put back",
        "mailchimp: 0 sent, 2 synced, 1 left there, and are not put back",
        "vip to mailchimp, tag:VIP: 1 to add",
        "mailchimp: 0 sent, 1 synced",
        "  Klaviyo    never subscribed; on no list",
        "  Klaviyo    unsubscribed; on Newsletter",
        "  Mailchimp  unsubscribed; no tag",
    ):
        assert line in shown.splitlines(), shown
    last = shown.splitlines()[-1].partition(", then segmentry ")[2].split()
    assert "recompute" in last
    subprocess.run([sys.executable, "-m", "segmentry", *last], check=True, **told)
    ports = re.findall(r"http://127\.0\.0\.1:(\d+)/$", shown, re.MULTILINE)
    assert len(ports) == 3
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(port)), timeout=1)
