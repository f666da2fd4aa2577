"""`destinations NAME` and `check --online` over real HTTP: what Klaviyo and Mailchimp say, and that nothing is told by asking."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from segmentry.cli import cli
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from segmentry.sandbox.mailchimp import AUDIENCE, JOURNEY, MailchimpSandbox
from tests.cli.conftest import contacts

HEAD = """\
version: 1
id: 7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11
name: shop
contacts: {{path: contacts.parquet, key: contact_id, email: email}}
destinations:
  klaviyo: {{type: klaviyo, key: "${{K}}", url: "{klaviyo}"}}
  mailchimp: {{type: mailchimp, key: "${{M}}", url: "{mailchimp}", audience: {audience}, new_contacts: skip}}
sequences:
  welcome: {{destination: klaviyo, event: Entered}}
  again: {{destination: mailchimp, tag: "enroll:again"}}
  trip: {{destination: mailchimp, journey: {{id: {journey}, step: 3}}}}
"""
UK = """\
where: "location = 'UK'"
sync:
  - {{destination: klaviyo, list: {list}, mode: mirror, fields: {{anything: note}}}}
  - {{destination: mailchimp, tag: "seg:uk", fields: {{FNAME: note, TOWN: location}}}}
"""


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Shop:
    """A workspace whose destinations are sandboxes."""

    folder: Path
    klaviyo: KlaviyoSandbox
    mailchimp: MailchimpSandbox

    def write(self, *, audience: str = AUDIENCE, list: str | None = None, journey: int = JOURNEY) -> None:
        (self.folder / "segments").mkdir(exist_ok=True)
        urls = {"klaviyo": self.klaviyo.url, "mailchimp": self.mailchimp.url}
        (self.folder / "segmentry.yml").write_text(HEAD.format(**urls, audience=audience, journey=journey))
        (self.folder / "segments" / "uk.yml").write_text(UK.format(list=list or self.klaviyo.lists[0].id))

    def run(self, *words: str, code: int = 0, key: str | None = None) -> Result:
        keys = {"K": key or self.klaviyo.key, "M": self.mailchimp.key}
        result = CliRunner().invoke(cli, ["--workspace", str(self.folder), *words], env=keys)
        assert result.exit_code == code, result.output
        assert not any(one in result.output for one in keys.values()), "a key is shown"
        asked = [*self.klaviyo.requests, *self.mailchimp.requests]
        assert {request.method for request in asked} <= {"GET"}, "something was told"
        return result


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    contacts().write_parquet(tmp_path / "contacts.parquet")
    with KlaviyoSandbox(clock=now) as klaviyo, MailchimpSandbox(clock=now) as mailchimp:
        shop = Shop(tmp_path, klaviyo, mailchimp)
        shop.write()
        yield shop


def test_klaviyo_shows_its_lists_and_what_starts_on_them(shop: Shop) -> None:
    shop.klaviyo.set_flow("Newsletter", "live", "Hello")
    id = shop.klaviyo.lists[0].id
    result = shop.run("destinations", "klaviyo")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["account", shop.klaviyo.account] in lines
    assert ["list", id, "Newsletter", "–"] in lines
    assert [f"list:{id}", "segment", "uk", "Newsletter", "0"] in lines
    assert f"warning: list:{id}: the live flow `Hello` starts for whoever is added to it" in result.stderr


def test_mailchimp_shows_audiences_tags_and_journeys(shop: Shop) -> None:
    said = json.loads(shop.run("destinations", "mailchimp", "--format", "json").stdout)
    assert said["account"] == shop.mailchimp.account
    assert [(one["kind"], one["id"], one["notes"]) for one in said["places"]] == [
        ("audience", AUDIENCE, ""),
        ("audience", "cd34ef56ab", "double opt-in"),
        ("journey", str(JOURNEY), "sending"),
    ]
    assert [one["target"] for one in said["targets"]] == ["tag:seg:uk", "tag:enroll:again", f"journey:{JOURNEY}"]
    assert said["targets"][2]["title"] == "Welcome back"


def test_a_key_that_is_refused_is_said_in_plain_words(shop: Shop) -> None:
    result = shop.run("destinations", "klaviyo", code=1, key="pk_wrong")
    assert "error: destination `klaviyo` can't say whose account it is: Klaviyo refuses the key (401)" in result.stderr


def test_without_online_nobody_is_asked(shop: Shop) -> None:
    shop.run("check")
    shop.run("destinations")
    assert [*shop.klaviyo.requests, *shop.mailchimp.requests] == []


def test_check_online_warns_of_what_should_be_known_first(shop: Shop) -> None:
    shop.klaviyo.set_flow("Newsletter", "live", "Hello")
    shop.write(audience="cd34ef56ab", journey=99)
    result = shop.run("check", "--online", "--format", "json")
    said = json.loads(result.stdout)
    warnings = {(one["code"], one["file"], one["line"]): one for one in said["warnings"] if one["code"].startswith("W32")}
    texts = " | ".join(one["message"] for one in said["warnings"])
    assert "the live flow `Hello` starts for whoever is added to it" in warnings["W323", "segments/uk.yml", 3]["message"]
    assert "outside Segmentry's ledger" in warnings["W323", "segments/uk.yml", 3]["notes"][-1]
    assert warnings["W324", "segments/uk.yml", 4]["message"] == "there is no merge field `TOWN` yet", "FNAME is there"
    assert "anything" not in texts, "Klaviyo takes any name"
    assert "double opt-in" in texts
    assert "journey:99: it does not show among the account's journeys" in texts
    assert [one["destination"] for one in said["destinations"]] == ["klaviyo", "mailchimp"]
    assert "2 destinations answer" in shop.run("check", "--online").stderr


def test_check_online_ends_with_1_where_a_list_or_an_audience_is_not_there(shop: Shop) -> None:
    shop.write(list="gone", audience="gone")
    result = shop.run("check", "--online", code=1)
    assert "error[W322]: destination `klaviyo` can't be asked for list:gone: Klaviyo has no list `gone`" in result.stderr
    assert "--> segments/uk.yml:3:" in result.stderr
    assert "error[W322]: destination `mailchimp` can't be asked for tag:seg:uk" in result.stderr


def test_check_online_says_every_key_and_every_account_that_is_wrong(shop: Shop) -> None:
    path = shop.folder / "segmentry.yml"
    path.write_text(path.read_text().replace("new_contacts: skip", "new_contacts: skip, account: other"))
    result = shop.run("check", "--online", code=1, key="pk_wrong")
    assert "error[W320]: destination `klaviyo` can't say whose account it is: Klaviyo refuses the key (401)" in result.stderr
    assert f"error[W321]: destination `mailchimp` has account `{shop.mailchimp.account}`, and its `account:` says `other`" in result.stderr


def test_check_online_asks_nobody_while_the_files_are_wrong(shop: Shop) -> None:
    (shop.folder / "segments" / "fr.yml").write_text("where: nonsense = 1\n")
    shop.run("check", "--online", code=1)
    assert [*shop.klaviyo.requests, *shop.mailchimp.requests] == []


def test_a_variable_that_is_not_set_is_an_error_of_the_check(shop: Shop) -> None:
    path = shop.folder / "segmentry.yml"
    path.write_text(path.read_text().replace("${K}", "${NOT_SET_ANYWHERE}"))
    said = shop.run("check", "--online", code=1).stderr
    assert "destination `klaviyo`: the environment variable NOT_SET_ANYWHERE is not set" in said
    assert "--> segmentry.yml:6:3" in said
