"""The sender, a webhook, and a receiver that is cruel, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from standardwebhooks import Webhook

from segmentry.engine.connectors.memory import forget_all
from segmentry.sandbox.webhook import WebhookSandbox
from tests.delivery.outbox import Clock, Outbox, row_id

CRUEL = (
    "503",
    "503-applied",
    "429-after",
    "500-applied",
    "reset",
    "reset-applied",
    "close",
    "close-applied",
    "truncated",
    "garbage",
    "408",
)


def utc_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def sandbox() -> Iterator[WebhookSandbox]:
    with WebhookSandbox(clock=utc_now) as found:
        yield found


def hooked(root: Path, sandbox: WebhookSandbox, batch: int = 1) -> Outbox:
    forget_all()
    hook = f'{{type: webhook, url: "{sandbox.url}", secrets: ["${{HOOK}}"], allow_private: true, batch: {batch}, timeout: 2 s}}'
    config = f"destinations: {{hook: {hook}}}\nsequences: {{welcome: {{destination: hook}}}}\n"
    # the receiver believes what was signed within five minutes of its own clock
    return Outbox(root, config=config, clock=Clock(utc_now()), environ={"HOOK": sandbox.secrets[0]})


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connector's own waits between attempts take no time."""
    monkeypatch.setattr("time.sleep", lambda _: None)


def test_one_request_a_row_with_the_row_s_id(tmp_path: Path, sandbox: WebhookSandbox) -> None:
    outbox = hooked(tmp_path, sandbox)
    outbox.put("a", "b", destination="hook")
    assert outbox.deliver().destinations["hook"].sent == 2
    assert {arrival.id: arrival.body["data"]["contact"] for arrival in sandbox.inbox.arrivals} == {row_id("a"): "a", row_id("b"): "b"}
    for request in sandbox.requests:
        Webhook(sandbox.secrets[0]).verify(request.body, dict(request.headers))
        assert request.headers["webhook-id"] in (row_id("a"), row_id("b"))


def test_a_batch_s_items_carry_their_own_ids(tmp_path: Path, sandbox: WebhookSandbox) -> None:
    outbox = hooked(tmp_path, sandbox, batch=3)
    outbox.put("a", "b", "c", destination="hook")
    outbox.deliver()
    assert {arrival.id for arrival in sandbox.inbox.arrivals} == {row_id(name) for name in "abc"}
    assert {arrival.message for arrival in sandbox.inbox.arrivals} == {outbox.row("a").batch}


@pytest.mark.parametrize(
    ("kind", "stopped"), [("401", "it stopped: the receiver refuses us (401)"), ("410", "it stopped: the receiver is gone")]
)
def test_a_receiver_that_wants_nothing_stops_the_destination(tmp_path: Path, sandbox: WebhookSandbox, kind: str, stopped: str) -> None:
    outbox = hooked(tmp_path, sandbox)
    outbox.put("a", destination="hook")
    sandbox.cruelty.script([kind])
    found = outbox.deliver()
    assert found.destinations["hook"].messages[0].startswith(stopped)
    assert (found.failed, outbox.row("a").outcome, outbox.row("a").attempts) == (True, "pending", 0)
    assert ("hook" in outbox.pauses()) == (kind == "410")


def test_a_refused_row_ends_and_the_others_go(tmp_path: Path, sandbox: WebhookSandbox) -> None:
    outbox = hooked(tmp_path, sandbox)
    outbox.put("a", "b", destination="hook")
    sandbox.cruelty.script(["422"])
    outbox.deliver()
    assert sorted(outbox.outcomes().values()) == ["rejected", "sent"]


@pytest.mark.parametrize("batch", [1, 7])
def test_whatever_the_receiver_does_each_row_is_taken_and_none_is_lost(
    tmp_path: Path, sandbox: WebhookSandbox, draws: Random, batch: int
) -> None:
    outbox = hooked(tmp_path, sandbox, batch)
    outbox.config = outbox.config.replace("destination: hook}", "destination: hook, expires: 9000 hours}")
    names = [f"c{number:03}" for number in range(150)]
    outbox.put(*names, destination="hook")
    sandbox.cruelty.set(CRUEL, share=0.5 + draws.random() / 4)
    for _ in range(6):
        outbox.deliver()
        _next_day(outbox, sandbox)
    sandbox.cruelty.reset()
    for _ in range(3):
        outbox.deliver()
        _next_day(outbox, sandbox)
    assert set(outbox.outcomes().values()) == {"sent"}
    assert {arrival.id for arrival in sandbox.inbox.arrivals} == {row_id(name) for name in names}
    bodies: dict[str, bytes] = {}
    for request in sandbox.requests:
        assert bodies.setdefault(request.headers["webhook-id"], request.body) == request.body, "the same batch is the same bytes"


def _next_day(outbox: Outbox, sandbox: WebhookSandbox) -> None:
    """Both sides read the same time, or nothing would be believed."""
    outbox.clock.pass_(days=2)
    sandbox.clock = outbox.clock
