"""A receiver of webhooks that a segment is kept in step with, over real HTTP: told of everybody once, and of the difference later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.syncing import Notes, SyncBatch
from segmentry.engine.connectors.webhook import WebhookDestination
from segmentry.engine.delivering import Delivered, deliver
from segmentry.engine.loading import load
from segmentry.engine.workspace import Workspace
from segmentry.sandbox.webhook import WebhookSandbox
from tests.syncs.conftest import Synced

UK, FR = "UK", "FR"
MORE = "url: '{url}', secrets: ['${{S}}'], allow_private: true"


@pytest.fixture
def receiver(shop: Synced) -> Iterator[WebhookSandbox]:
    with WebhookSandbox(clock=lambda: shop.now) as sandbox:
        yield sandbox


def start(shop: Synced, receiver: WebhookSandbox, said: str = "existing: send, mode: mirror", **settings: Any) -> None:
    more = "".join(f", {key}: {value}" for key, value in settings.items())
    shop.destinations = "{crm: {type: webhook, " + MORE.format(url=receiver.url) + more + "}}"
    (shop.root / "segments").mkdir()
    (shop.root / "segments" / "uk.yml").write_text(f"where: \"country = 'UK'\"\nsync: {{destination: crm, {said}}}\n")


def hour(shop: Synced, receiver: WebhookSandbox, at: str, **people: tuple[str, int]) -> Delivered:
    """A run with these contacts, each with a country and a tier, and what is due then."""
    countries, tiers = zip(*people.values(), strict=True)
    shop.people({"id": list(people), "country": list(countries), "tier": list(tiers)})
    shop.at(at)
    shop.run(at)
    return tell(shop, receiver)


def tell(shop: Synced, receiver: WebhookSandbox) -> Delivered:
    """Delivers what is due by now."""
    environ = {"S": receiver.secrets[0]}
    return deliver(shop.state, load(shop.root).require(), environ=environ, clock=lambda: shop.now, sleep=lambda _: None, draw=lambda: 0.5)


def said(receiver: WebhookSandbox) -> list[tuple[str, str, int | None]]:
    """Type, contact and tier of each request, by contact."""
    told = [json.loads(request.body) for request in receiver.requests]
    return sorted((one["type"], one["data"]["contact"], one["data"]["fields"].get("tier")) for one in told)


def test_who_is_in_at_the_start_is_told_then_the_difference_only(shop: Synced, receiver: WebhookSandbox) -> None:
    start(shop, receiver, "existing: send, mode: mirror, fields: {tier: tier}")
    delivered = hour(shop, receiver, "2026-01-02", a=(UK, 1), b=(UK, 2), c=(FR, 3))
    assert (delivered.destinations["crm"].synced, delivered.failed) == (2, False)
    assert said(receiver) == [("segment.entered", "a", 1), ("segment.entered", "b", 2)]
    receiver.reset()
    hour(shop, receiver, "2026-01-03", a=(UK, 9), b=(FR, 2), c=(UK, 3))
    assert said(receiver) == [("segment.entered", "c", 3), ("segment.exited", "b", None), ("segment.updated", "a", 9)]
    receiver.reset()
    assert hour(shop, receiver, "2026-01-04", a=(UK, 9), b=(FR, 2), c=(UK, 3)).destinations == {}
    assert receiver.count == 0


def test_who_enters_another_segment_is_told_of_again(shop: Synced, receiver: WebhookSandbox) -> None:
    """A receiver is no list that one is in or not: each segment says who enters it."""
    start(shop, receiver, "existing: send, mode: add")
    (shop.root / "segments" / "good.yml").write_text("where: tier = 1\nsync: {destination: crm, existing: send, mode: add}\n")
    hour(shop, receiver, "2026-01-02", a=(UK, 2))
    hour(shop, receiver, "2026-01-03", a=(UK, 1))
    assert said(receiver) == [("segment.entered", "a", None), ("segment.entered", "a", None)]


def test_exits_are_told_in_mirror_only(shop: Synced, receiver: WebhookSandbox) -> None:
    start(shop, receiver, "existing: send")
    hour(shop, receiver, "2026-01-02", a=(UK, 1), b=(UK, 1))
    receiver.reset()
    hour(shop, receiver, "2026-01-03", a=(UK, 1), b=(FR, 1))
    assert said(receiver) == []


def test_a_change_says_what_it_is_and_the_request_has_its_id(shop: Synced, receiver: WebhookSandbox) -> None:
    start(shop, receiver)
    hour(shop, receiver, "2026-01-02", a=(UK, 1))
    (arrival,) = receiver.inbox.arrivals
    data = arrival.body["data"]
    assert data.pop("workspace")
    assert data == {
        "change_id": arrival.id,
        "environment": "default",
        "segment": "uk",
        "contact": "a",
        "as_of": "2026-01-02T00:00:00Z",
        "fields": {},
    }


def test_an_answer_that_was_lost_is_asked_for_again_in_the_same_words(shop: Synced, receiver: WebhookSandbox) -> None:
    start(shop, receiver, batch=10)
    receiver.cruelty.script(["close-applied"])
    assert hour(shop, receiver, "2026-01-02", a=(UK, 1), b=(UK, 1)).destinations["crm"].later == 2
    shop.at("2026-01-02T01:00")
    assert tell(shop, receiver).destinations["crm"].synced == 2
    assert len({(request.headers["webhook-id"], request.body) for request in receiver.requests}) == 1
    assert [(arrival.times, arrival.type) for arrival in receiver.inbox.arrivals] == [(2, "segment.entered")] * 2


def test_a_receiver_that_is_gone_is_paused_until_somebody_resumes_it(shop: Synced, receiver: WebhookSandbox) -> None:
    start(shop, receiver)
    receiver.cruelty.script(["410"] * 8)
    delivered = hour(shop, receiver, "2026-01-02", a=(UK, 1), b=(UK, 1))
    assert delivered.failed
    asked = receiver.count
    receiver.cruelty.reset()
    assert "it is paused: the receiver is gone" in " ".join(tell(shop, receiver).destinations["crm"].messages)
    assert receiver.count == asked


def test_who_has_the_address_of_one_that_goes_is_told_of_as_itself(shop: Synced, receiver: WebhookSandbox) -> None:
    """A receiver of webhooks knows contacts, each by its key: nobody stands for another."""
    start(shop, receiver)
    addressed(shop, receiver, "2026-01-02", a=UK, b=FR)
    receiver.reset()
    addressed(shop, receiver, "2026-01-03", a=FR, b=UK)
    assert said(receiver) == [("segment.entered", "b", None), ("segment.exited", "a", None)]
    receiver.reset()
    addressed(shop, receiver, "2026-01-04", a=UK, b=UK)
    addressed(shop, receiver, "2026-01-05", a=FR, b=UK)
    assert said(receiver) == [("segment.entered", "a", None), ("segment.exited", "a", None)]


def test_who_was_let_be_stays_so_as_one_with_the_address_goes(shop: Synced, receiver: WebhookSandbox) -> None:
    start(shop, receiver, "existing: skip, mode: mirror")
    addressed(shop, receiver, "2026-01-02", a=FR, b=UK)
    addressed(shop, receiver, "2026-01-03", a=UK, b=UK)
    addressed(shop, receiver, "2026-01-04", a=FR, b=UK)
    assert said(receiver) == [("segment.entered", "a", None), ("segment.exited", "a", None)]


def test_who_is_forgotten_while_its_removal_is_not_heard_has_nobody_else_told_of_anew(
    shop: Synced, receiver: WebhookSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(shop, receiver)
    (shop.root / "segments" / "good.yml").write_text("where: tier = 1\nsync: {destination: crm, existing: send, mode: mirror}\n")
    hour(shop, receiver, "2026-01-02", a=(UK, 2), b=(UK, 2), c=(FR, 1), e=(FR, 1))
    with monkeypatch.context() as patch:

        def lost(_: WebhookDestination, batch: SyncBatch, before: Callable[[], None], notes: Notes) -> list[Answer]:
            del notes
            before()
            return [Answer(Verdict.LATER, "lost", maybe=True)] * len(batch.changes)

        patch.setattr(WebhookDestination, "sync", lost)
        hour(shop, receiver, "2026-01-03", a=(UK, 2), b=(UK, 2), c=(FR, 2), e=(FR, 1))
    Workspace.open(shop.root).forget(["c"])
    receiver.reset()
    hour(shop, receiver, "2026-01-04", a=(UK, 2), b=(UK, 2), e=(FR, 1))
    assert said(receiver) == []


def addressed(shop: Synced, receiver: WebhookSandbox, at: str, **people: str) -> None:
    """An hour with these contacts, all of one address."""
    shop.people({"id": list(people), "country": list(people.values()), "email": ["one@x.example"] * len(people)})
    shop.at(at)
    shop.run(at)
    tell(shop, receiver)
