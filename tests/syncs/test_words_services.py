"""People's words against the stand-ins of both services, over real HTTP: shown before, told at once, read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from segmentry.engine.connectors.registry import open_destination
from segmentry.engine.delivering import Open
from segmentry.engine.loading import load
from segmentry.engine.moment import Moment
from segmentry.engine.state.schema import SYNCED
from segmentry.engine.state.state import wall_clock
from segmentry.engine.sync_confirming import confirm, propose
from segmentry.engine.sync_reading_back import ReadBack, Reading, reconcile
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from segmentry.sandbox.mailchimp import AUDIENCE, MailchimpSandbox
from tests.syncs.conftest import Synced

FRIEND = "friend@example.com"


def words(shop: Synced) -> tuple[Any, ...]:
    """What `propose` and `confirm` are about."""
    workspace = load(shop.root).require()
    return workspace, shop.state, ("uk", "crm", None), "send", shop.now, lambda: Moment.at(load(shop.root), shop.now).contacts


def keyed(sandbox: KlaviyoSandbox | MailchimpSandbox) -> Open:
    """Opens the destination with the sandbox's key in the environment."""
    return lambda name, settings, context: open_destination(name, settings, replace(context, environ={"CRM_KEY": sandbox.key}))


def read(shop: Synced, sandbox: KlaviyoSandbox | MailchimpSandbox) -> ReadBack:
    workspace, state, _, _, now, newest = words(shop)
    (found,) = reconcile(Reading(workspace, state, now, newest, {}, keyed(sandbox)))
    return found


def begin(shop: Synced, target: str) -> None:
    shop.people({"id": ["a", "b", "c"], "country": ["UK", "UK", "FR"]})
    shop.sync("mode: mirror")
    path = shop.root / "segments" / "uk.yml"
    path.write_text(path.read_text().replace("list: people", target))
    shop.hour("2026-01-02", tell=False)


def later(shop: Synced) -> None:
    """Long enough for a destination to know of what it was told."""
    shop.at("2026-01-02T01:00")
    with shop.state.catalog.writing() as connection:
        connection.execute(SYNCED.update().values(changed="2026-01-02T00:00:00.000000+00:00"))


@pytest.fixture
def klaviyo(shop: Synced) -> Iterator[KlaviyoSandbox]:
    with KlaviyoSandbox(clock=wall_clock) as sandbox:
        shop.destinations = f'{{crm: {{type: klaviyo, url: "{sandbox.url}", key: "${{CRM_KEY}}"}}}}'
        yield sandbox
        assert not sandbox.forbidden


@pytest.fixture
def mailchimp(shop: Synced) -> Iterator[MailchimpSandbox]:
    with MailchimpSandbox(clock=wall_clock) as sandbox:
        settings = f'url: "{sandbox.url}", key: "${{CRM_KEY}}", audience: {AUDIENCE}, new_contacts: transactional'
        shop.destinations = f"{{crm: {{type: mailchimp, {settings}}}}}"
        yield sandbox
        assert not sandbox.forbidden


def test_klaviyo(shop: Synced, klaviyo: KlaviyoSandbox) -> None:
    name = klaviyo.lists[0].name
    klaviyo.set_flow(name, flow="Hello")
    begin(shop, f"list: {klaviyo.lists[0].id}")
    found = propose(*words(shop), {}, open=keyed(klaviyo))
    assert (found.added, found.unread) == (2, None)
    assert any("`Hello`" in warning for warning in found.warnings)
    assert "outside Segmentry's ledger" in found.warnings[-1]
    confirm(*words(shop))
    shop.tell(open=keyed(klaviyo))
    assert set(klaviyo.members(name)) == {"ca@example.com", "cb@example.com"}
    klaviyo.add_by_hand(name, FRIEND)
    klaviyo.remove_from_list(name, "ca@example.com")
    later(shop)
    seen = read(shop, klaviyo)
    assert (seen.there, seen.acknowledged, seen.left, seen.by_hand) == (2, 1, 1, 1)
    shop.hour("2026-01-03", tell=False)
    shop.tell(open=keyed(klaviyo))
    assert set(klaviyo.members(name)) == {"cb@example.com", FRIEND}


def test_mailchimp(shop: Synced, mailchimp: MailchimpSandbox) -> None:
    begin(shop, 'tag: "seg:uk"')
    found = propose(*words(shop), {}, open=keyed(mailchimp))
    assert (found.added, found.unread) == (2, None)
    assert any("no tag `seg:uk` yet" in warning for warning in found.warnings)
    confirm(*words(shop))
    shop.tell(open=keyed(mailchimp))
    assert {key: state for key, (state, _) in shop.rows().items()} == {"a": "member", "b": "member"}
    later(shop)
    seen = read(shop, mailchimp)
    assert (seen.there, seen.acknowledged, seen.left, seen.by_hand) == (2, 2, 0, 0)
