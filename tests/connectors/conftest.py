"""Destinations to tell, a receiver to be told, and a clock; waits are written down instead of waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from segmentry.engine.connectors.addresses import resolve
from segmentry.engine.connectors.destination import Answer, Batch, Row
from segmentry.engine.connectors.registry import Context
from segmentry.engine.connectors.settings import WebhookSettings
from segmentry.engine.connectors.signatures import key_of
from segmentry.engine.connectors.webhook import PATIENCE, WebhookDestination
from segmentry.sandbox.webhook import WebhookSandbox, new_secret

AT = datetime(2026, 11, 23, 18, tzinfo=UTC)
QUICK = "0.3 s"
"""A time-out that a test can wait for; the settings themselves allow no less than a second."""


def nothing() -> None:
    """A `before` that lets everything pass."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def row(id: str, **data: Any) -> Row:
    return Row(id, f"c_{id}", f"{id}@example.com", {"enrollment_id": id, "contact": f"c_{id}", **data})


def batch(*ids: str, type: str = "enrollment.created", target: str = "welcome") -> Batch:
    """A batch of rows with these ids; of one row, it has the row's id. It has the words of a sequence that has a tag."""
    return Batch(ids[0] if len(ids) == 1 else f"{ids[0]}-to-{ids[-1]}", type, AT, target, tuple(map(row, ids)), {"tag": target})


def context(root: Path = Path(), **environ: str) -> Context:
    return Context(root=root, environ=environ, workspace="7d0a1c52", environment="prod", clock=utc_now)


@dataclass
class Post:
    """A webhook destination beside the receiver it tells."""

    sandbox: WebhookSandbox
    opened: list[WebhookDestination] = field(default_factory=list)

    def open(
        self,
        *,
        url: str | None = None,
        secrets: Sequence[str] | None = None,
        names: Callable[[str, int], Sequence[str]] = resolve,
        clock: Callable[[], datetime] = utc_now,
        patience: float = PATIENCE,
        **settings: Any,
    ) -> WebhookDestination:
        said = {"type": "webhook", "url": url or self.sandbox.url, "secrets": ["${S}"], "allow_private": True, **settings}
        model = WebhookSettings.model_validate(said).model_copy(update={"timeout": QUICK})
        around = Context(root=Path(), environ={}, workspace="7d0a1c52", environment="prod", clock=clock)
        keys = [key_of(secret) for secret in secrets or self.sandbox.secrets]
        destination = WebhookDestination(model, around, keys=keys, names=names, patience=patience)
        self.opened.append(destination)
        return destination

    def send(self, *ids: str, **settings: Any) -> Answer:
        """Opens, tells of one batch, and gives the answer that all its rows got."""
        answers = self.open(batch=max(len(ids), 1), **settings).send(batch(*ids), nothing)
        assert len(answers) == len(ids)
        assert len(set(answers)) == 1
        return answers[0]

    def meets(self, *kinds: str) -> None:
        """What the next requests meet."""
        self.sandbox.cruelty.script(kinds)

    @property
    def seen(self) -> dict[str, int]:
        """What the receiver took, and how often it came."""
        return {arrival.id: arrival.times for arrival in self.sandbox.inbox.arrivals}


def check_signatures(sandbox: WebhookSandbox) -> None:
    """What the receiver believed, somebody else's code believes too; what came again came with the same bytes."""
    bodies: dict[str, bytes] = {}
    for request in sandbox.requests:
        if request.problem is None:
            for secret in sandbox.secrets:
                Webhook(secret).verify(request.body, dict(request.headers))
            assert bodies.setdefault(request.headers["webhook-id"], request.body) == request.body


@pytest.fixture
def post() -> Iterator[Post]:
    with WebhookSandbox(clock=utc_now) as sandbox:
        found = Post(sandbox)
        yield found
        for destination in found.opened:
            destination.close()
        check_signatures(sandbox)


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, in seconds, which take none."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


def another_secret() -> str:
    return new_secret()


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)
