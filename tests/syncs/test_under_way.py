"""What a service was handed and does in its own time: whoever stops being wanted meanwhile is not left there by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from segmentry.engine.connectors import klaviyo_importing, mailchimp_batches, mailchimp_syncing
from segmentry.engine.connectors.destination import Destination
from segmentry.engine.connectors.klaviyo import KlaviyoDestination
from segmentry.engine.connectors.mailchimp import MailchimpDestination
from segmentry.engine.connectors.mailchimp_line import Waiting
from segmentry.engine.connectors.registry import Context
from segmentry.engine.connectors.settings import KlaviyoSettings, MailchimpSettings
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from segmentry.sandbox.klaviyo_asking import JobsTake
from segmentry.sandbox.mailchimp import AUDIENCE, MailchimpSandbox
from tests.histories.receivers import Clock
from tests.syncs.conftest import Synced

KEYS = ("a", "b", "c")
ADDRESSES = {f"{key}@x.example" for key in KEYS}
Open = Callable[[str, Mapping[str, Any], Context], Destination]


def hour(shop: Synced, open: Open, day: int, countries: str) -> None:
    """An hour with three contacts, of whom those with a U are in the segment."""
    places = ["UK" if one == "U" else "FR" for one in countries]
    shop.people({"id": list(KEYS), "country": places, "email": sorted(ADDRESSES), "country_of_birth": ["Y"] * 3})
    shop.hour(f"2026-01-{day:02}", tell=False)
    shop.tell(open=open)


def clocks(shop: Synced) -> tuple[Clock, Callable[[], float]]:
    """An invented one, which moves when it is slept by, and its seconds."""
    clock = Clock(shop.now.replace(tzinfo=None))
    start = clock()

    def now() -> float:
        return (clock() - start).total_seconds()

    return clock, now


def segment(shop: Synced, target: str) -> None:
    shop.sync("mode: mirror, existing: send")
    path = shop.root / "segments" / "uk.yml"
    path.write_text(path.read_text().replace("list: people", target))


@pytest.mark.parametrize("stay", ["FUU", pytest.param("FFF", marks=pytest.mark.full)])
def test_who_goes_while_an_import_lasts_is_taken_off_after_it(shop: Synced, monkeypatch: pytest.MonkeyPatch, stay: str) -> None:
    monkeypatch.setattr(klaviyo_importing, "FEW", 1)
    clock, now = clocks(shop)
    with KlaviyoSandbox(clock=clock, lists=["People"], jobs=JobsTake(polls=30)) as klaviyo:

        def open(name: str, settings: Mapping[str, Any], context: Context) -> KlaviyoDestination:
            said = KlaviyoSettings.model_validate(settings).model_copy(update={"key": klaviyo.key})
            return KlaviyoDestination(said, now=now, sleep=clock.sleep, patience=30.0)

        shop.destinations = f'{{crm: {{type: klaviyo, url: "{klaviyo.url}", key: "${{CRM_KEY}}"}}}}'
        segment(shop, f"list: {klaviyo.lists[0].id}")
        hour(shop, open, 2, "UUU")
        assert klaviyo.members("People") == []
        hour(shop, open, 3, stay)
        klaviyo.jobs = JobsTake()
        for job in klaviyo.world.unfinished.values():
            job.waits = 0
        for day in (4, 5):
            hour(shop, open, day, stay)
        assert klaviyo.members("People") == [address for address, place in zip(sorted(ADDRESSES), stay, strict=True) if place == "U"]


@pytest.mark.parametrize("stay", ["FUU", pytest.param("FFF", marks=pytest.mark.full)])
def test_who_goes_while_a_batch_lasts_is_untagged_after_it(shop: Synced, monkeypatch: pytest.MonkeyPatch, stay: str) -> None:
    monkeypatch.setattr(mailchimp_syncing, "FEW", 1)
    monkeypatch.setattr(mailchimp_batches, "PATIENCE", 10.0)
    clock, now = clocks(shop)
    with MailchimpSandbox(clock=clock) as mailchimp:
        mailchimp.world.rules.polls = 100

        def open(name: str, settings: Mapping[str, Any], context: Context) -> MailchimpDestination:
            said = MailchimpSettings.model_validate(settings).model_copy(update={"key": mailchimp.key})
            waiting = Waiting(clock, now, clock.sleep, lambda: 0.5)
            return MailchimpDestination(said, waiting=waiting)

        shop.destinations = (
            f'{{crm: {{type: mailchimp, url: "{mailchimp.url}", key: "${{CRM_KEY}}", audience: {AUDIENCE}, new_contacts: transactional}}}}'
        )
        segment(shop, 'tag: "seg:uk"')
        hour(shop, open, 2, "UUU")
        assert tagged(mailchimp) == set()
        hour(shop, open, 3, stay)
        mailchimp.world.rules.polls = 1
        for day in (4, 5):
            hour(shop, open, day, stay)
        assert all(batch.status == "finished" for batch in mailchimp.world.batches.values())
        assert tagged(mailchimp) == {address for address, place in zip(sorted(ADDRESSES), stay, strict=True) if place == "U"}


def tagged(mailchimp: MailchimpSandbox) -> set[str]:
    audience = mailchimp.audiences[AUDIENCE]
    return {one.email for one in audience.members.values() if audience.names["seg:uk"] in one.tags}
