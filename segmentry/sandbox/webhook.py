"""A receiver of webhooks for trying things out: real HTTP on 127.0.0.1, signatures verified, and cruel if it is told to be.

    with WebhookSandbox(clock=clock) as sandbox:
        ...                      # tell sandbox.url, signed with sandbox.secrets
        sandbox.inbox.arrivals   # what arrived, each id once

Whatever is posted to `/hook`, or to any path that is not named here, is a webhook. `GET /` shows what arrived, `GET /events`
gives it as JSON, `POST /reset` forgets it, `POST /cruel` takes `{"kinds": [...], "share": 0.5}` or `{"next": [...]}`.
"""

from __future__ import annotations

import base64
import json
import secrets as randomness
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from segmentry.engine.connectors.signatures import ID, PREFIX, key_of, problem_of
from segmentry.errors import SegmentryError
from segmentry.sandbox.cruelty import Misbehaviour
from segmentry.sandbox.inbox import Inbox
from segmentry.sandbox.page import page
from segmentry.sandbox.serving import HOST, KEPT, Answer, Call, Newest, Reply, Route, Sandbox

__all__ = ["KEPT", "Request", "WebhookSandbox", "new_secret"]


@dataclass(frozen=True, slots=True)
class Request:
    """A webhook as it came, believed or not. Headers are named in lower case; `met` is the cruelty it met."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    problem: str | None
    met: str | None


def new_secret() -> str:
    """A fresh signing secret."""
    return PREFIX + base64.b64encode(randomness.token_bytes(32)).decode()


class WebhookSandbox(Sandbox):
    """The receiver, listening from `__enter__` (or `start`) to `__exit__` (or `close`).

    `secrets`: those it believes; a fresh one where there are none. `port` 0 is any free one. `cruel`, `share`, `seed`: see
    `Cruelty`. `store`: a folder in which it keeps what it took. `heard` is called with every webhook, in the thread that
    answers it. Raises SegmentryError for a secret or a kind of cruelty that is none, and for a port that is taken.
    """

    name = "webhook"

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        secrets: Sequence[str] = (),
        port: int = 0,
        cruel: Sequence[str] = (),
        share: float = 0.5,
        seed: int = 0,
        store: Path | None = None,
        heard: Callable[[Request], None] = lambda _: None,
    ) -> None:
        self.secrets = tuple(secrets) or (new_secret(),)
        try:
            self.keys = [key_of(secret) for secret in self.secrets]
        except ValueError as error:
            raise SegmentryError(f"this is {error}") from None
        super().__init__(clock=clock, port=port, cruel=cruel, share=share, seed=seed)
        self.inbox = Inbox(clock, store)
        self._requests: Newest[Request] = Newest()
        self._heard = heard

    @property
    def url(self) -> str:
        """Where webhooks go."""
        return f"http://{HOST}:{self.port}/hook"

    @property
    def requests(self) -> list[Request]:
        """The newest webhooks as they came, at most a thousand."""
        return self._requests.items

    @property
    def count(self) -> int:
        """How many webhooks came."""
        return self._requests.count

    def receive(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[str | None, Misbehaviour | None]:
        """A webhook came: whether it is believed, and what it meets. It is taken here, if it is, before any answer."""
        problem = problem_of(self.keys, headers, body, self.clock())
        said: Any = None
        if problem is None:
            try:
                said = json.loads(body)
            except ValueError:
                problem = "a body that is no JSON"
        meets = self.cruelty.due() if problem is None else None
        if problem is not None:
            self.inbox.refuse(problem)
        elif meets is None or meets.applies:
            self.inbox.take(headers[ID], said, verified=True)
        request = Request(path, dict(headers), body, problem, None if meets is None else meets.name)
        self._requests.add(request)
        self._heard(request)
        return problem, meets

    def reset(self) -> None:
        """As new: nothing arrived, no cruelty."""
        super().reset()
        self.inbox.reset()
        self._requests.clear()

    def serve(self, call: Call) -> Answer:
        """Takes a webhook."""
        if call.method != "POST":
            return Reply(404, "there are / and /events")
        problem, meets = self.receive(call.path, call.headers, call.body)
        if problem is not None:
            return Reply(401, f"not believed: {problem}")
        return Reply(200, {"ok": True}) if meets is None else meets

    def orders(self) -> list[Route]:
        return [("GET", "/", self._page), ("GET", "/events", self._events)]

    def _page(self, _: Call) -> Reply:
        return Reply(200, page(self.inbox.arrivals, self.inbox.refused, self.count), "text/html; charset=utf-8")

    def _events(self, _: Call) -> Reply:
        told = {"arrivals": [asdict(arrival) for arrival in self.inbox.arrivals], "refused": self.inbox.refused}
        return Reply(200, {**told, "requests": self.count})
