"""A Klaviyo account, somebody who keeps lists of it in step, and a time of their own, which passes only by being waited for."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from segmentry.engine.connectors.destination import Answer, Batch, Row, Verdict
from segmentry.engine.connectors.klaviyo import SYNC_PATIENCE, KlaviyoDestination
from segmentry.engine.connectors.settings import KlaviyoSettings
from segmentry.engine.connectors.syncing import Action, Change, Member, Notes, SyncBatch, Target
from segmentry.sandbox.klaviyo import KlaviyoSandbox, Request
from segmentry.sandbox.klaviyo_state import UNSUBSCRIBED
from tests.connectors.conftest import AT
from tests.connectors.klaviyo.schemas import BODIES, problems, route_of

LIST = "Newsletter"
QUICK = "0.3 s"
"""A time-out that a test can wait for; the settings themselves allow no less than a second."""


class Passing:
    """A clock that stands still until somebody sleeps by it. Threads that sleep side by side sleep at the same time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()
        self._seen = threading.local()

    def now(self) -> float:
        self._seen.at = self.seconds
        return self.seconds

    def clock(self) -> datetime:
        return AT + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.seconds = max(self.seconds, getattr(self._seen, "at", self.seconds) + seconds)
            self._seen.at = self.seconds


def change(number: int, **more: Any) -> Change:
    """The change of one contact: `c_1` with the address p1@example.com, unless said otherwise."""
    told = {"contact": f"c_{number}", "address": f"p{number}@example.com", "remote_id": None, "fields": {}, "data": {}, **more}
    return Change(f"ch-{number}", **told)


def changes(count: int, **more: Any) -> list[Change]:
    return [change(number, **more) for number in range(1, count + 1)]


def row(number: int, **data: Any) -> Row:
    return Row(f"e-{number}", f"c_{number}", f"p{number}@example.com", {"segment": "vip", "contact": f"c_{number}", "number": 1, **data})


def told(one: Row) -> Batch:
    """The batch of one enrollment."""
    return Batch(one.id, "enrollment.created", AT, "welcome", (one,), {"event": "Entered VIP"})


@dataclass
class Account:
    """The account, whoever talks to it, and what must have come of it all in the end."""

    sandbox: KlaviyoSandbox
    time: Passing
    opened: list[KlaviyoDestination] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    """Addresses that must be on the list."""
    perhaps: set[str] = field(default_factory=set)
    """Addresses of which nothing certain was said."""
    by_hand: set[str] = field(default_factory=set)
    unsubscribed: set[str] = field(default_factory=set)
    list_id: str = ""
    """The list that is kept in step, where it is another than the sandbox's own."""
    cruel_writing: deque[str | None] = field(default_factory=deque)
    cruel_after: deque[tuple[tuple[str, str], tuple[str, ...]]] = field(default_factory=deque)

    @property
    def target(self) -> Target:
        return Target("list", self.list_id or self.sandbox.lists[0].id)

    def open(self, *, patience: float = SYNC_PATIENCE, **settings: Any) -> KlaviyoDestination:
        said = {"type": "klaviyo", "key": "${K}", "url": self.sandbox.url}
        model = KlaviyoSettings.model_validate(said).model_copy(update={"key": self.sandbox.key, **settings})
        destination = KlaviyoDestination(model, now=self.time.now, sleep=self.time.sleep, patience=patience)
        self.opened.append(destination)
        return destination

    # ------------------------------------------------------------ what is told

    def send(self, *numbers: int, **options: Any) -> list[Answer]:
        """Tells of enrollments, each in a batch of its own, by one destination."""
        destination = self.open(**options)
        return [answer for number in numbers for answer in destination.send(told(row(number)), self.before)]

    def sync(
        self,
        action: Action,
        rows: Sequence[Change],
        *,
        before: Callable[[], None] | None = None,
        notes: Notes | None = None,
        **options: Any,
    ) -> list[Answer]:
        """Syncs one batch by a destination opened for it, and remembers what its answers promise."""
        batch = SyncBatch("b-1", "vip", self.target, action, AT, tuple(rows))
        try:
            answers = list(self.open(**options).sync(batch, before or self.before, notes or Notes()))
        except BaseException:
            self.perhaps |= {one.address for one in rows if one.address}
            raise
        assert len(answers) == len(rows)
        for one, answer in zip(rows, answers, strict=True):
            self._promised(action, one, answer)
            assert answer.reason is None or "@" not in answer.reason
        return answers

    def add(self, *rows: Change, **options: Any) -> list[Answer]:
        return self.sync(Action.ADD, rows, **options)

    def update(self, *rows: Change, **options: Any) -> list[Answer]:
        return self.sync(Action.UPDATE, rows, **options)

    def remove(self, *rows: Change, **options: Any) -> list[Answer]:
        return self.sync(Action.REMOVE, rows, **options)

    def added(self, count: int = 1) -> list[Change]:
        """Contacts that were added before, as they come in later changes."""
        rows = changes(count)
        return [replace(one, remote_id=answer.remote_id) for one, answer in zip(rows, self.add(*rows), strict=True)]

    def meets(self, *kinds: str) -> None:
        """What the next requests meet."""
        self.sandbox.cruelty.script(kinds)

    def meets_writing(self, *kinds: str | None) -> None:
        """What the next requests that write meet, one after the other; None is treated well."""
        self.cruel_writing.extend(kinds)

    def meets_after(self, method: str, path: str, *kinds: str) -> None:
        """What the requests meet that come after the next one of a kind."""
        self.cruel_after.append(((method, path), kinds))

    def before(self) -> None:
        """What is called before each request that writes."""
        kind = self.cruel_writing.popleft() if self.cruel_writing else None
        if kind is not None:
            self.sandbox.cruelty.script([kind])

    def hear(self, request: Request) -> None:
        """What the sandbox calls with every request."""
        if self.cruel_after and self.cruel_after[0][0] == route_of(request.method, request.path):
            self.sandbox.cruelty.script(self.cruel_after.popleft()[1])

    # ------------------------------------------------------------ what people do there

    def unsubscribe(self, number: int) -> None:
        self.sandbox.unsubscribe(f"p{number}@example.com")
        self.unsubscribed.add(f"p{number}@example.com")

    def put_by_hand(self, email: str) -> None:
        self.sandbox.add_by_hand(LIST, email)
        self.by_hand.add(email)

    def take_off_by_hand(self, number: int) -> None:
        self.sandbox.remove_from_list(LIST, f"p{number}@example.com")
        self.acknowledged.discard(f"p{number}@example.com")

    # ------------------------------------------------------------ what has come of it

    @property
    def members(self) -> set[str]:
        return set(self.sandbox.members(LIST))

    def asked(self, method: str, path: str) -> list[Any]:
        """The requests of a kind, as they came."""
        return [one for one in self.sandbox.requests if route_of(one.method, one.path) == (method, path)]

    def read(self) -> list[Member]:
        return [member for page in self.open().members(self.target) for member in page]

    def check(self) -> None:
        """What must be so after anything: consent untouched, members as promised, nothing forbidden, every body as our schemas say."""
        assert not self.sandbox.forbidden
        for email in self.unsubscribed:
            profile = self.sandbox.profile(email)
            assert profile is None or profile.consent.state == UNSUBSCRIBED
        if self.sandbox.lists:
            assert self.by_hand <= self.members
            assert self.acknowledged <= self.members
            assert self.members <= self.acknowledged | self.by_hand | self.perhaps
        told = [event.unique_id for event in self.sandbox.events]
        assert len(told) == len(set(told))
        for request in self.sandbox.requests:
            if request.body:
                assert route_of(request.method, request.path) in BODIES
                if len(request.body) < 100_000:
                    assert problems(request.method, request.path, request.body) == []

    def _promised(self, action: Action, one: Change, answer: Answer) -> None:
        address = one.address or ""
        if answer.verdict is Verdict.LATER:
            self.perhaps.add(address)
        elif action is Action.ADD and answer.verdict is Verdict.SENT:
            self.acknowledged.add(address)
        elif action is Action.REMOVE and answer.verdict in (Verdict.SENT, Verdict.LEFT):
            self.acknowledged.discard(address)


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> Passing:
    """Time passes by sleeping, and sleeping takes none."""
    passing = Passing()
    monkeypatch.setattr(time, "sleep", passing.sleep)
    return passing


@pytest.fixture
def account(naps: Passing) -> Iterator[Account]:
    made: list[Account] = []

    def hear(request: Request) -> None:
        made[0].hear(request)

    with KlaviyoSandbox(clock=naps.clock, pace=1, heard=hear) as sandbox:
        found = Account(sandbox, naps)
        made.append(found)
        yield found
        for destination in found.opened:
            destination.close()
        found.check()
