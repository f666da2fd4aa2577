"""A stand-in for Mailchimp for trying things out: real HTTP on 127.0.0.1, members, tags, batches and journeys, cruel if told to be.

    with MailchimpSandbox(clock=clock) as sandbox:
        ...                                # a mailchimp destination with `url: {sandbox.url}` and the key {sandbox.key}
        sandbox.audiences[AUDIENCE]        # who is in, with what status and tags
        sandbox.mails[12, "ada@x.example"] # how many mails a journey sent to an address

The interface is under `/3.0`. `GET /` shows what there is, `GET /state` gives it as JSON, `POST /sandbox/people` does what people
do at the other side (`mailchimp_people`), `POST /reset` forgets everything, `POST /cruel` takes `{"kinds": [...], "share": 0.5}` or
`{"next": [...]}`.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from segmentry.errors import SegmentryError
from segmentry.sandbox.cruelty import Misbehaviour
from segmentry.sandbox.mailchimp_batches import RESULTS, archive_at
from segmentry.sandbox.mailchimp_page import page, state
from segmentry.sandbox.mailchimp_people import People
from segmentry.sandbox.mailchimp_problems import TITLES, ProblemError
from segmentry.sandbox.mailchimp_routes import Desk
from segmentry.sandbox.mailchimp_state import Audience, BatchRules, Forbidden, Journey, Resubscription, World
from segmentry.sandbox.mailchimp_store import Journal
from segmentry.sandbox.serving import HOST, Answer, Call, Newest, Reply, Route, Sandbox

ACCOUNT = "1f2e3d4c"
AUDIENCE = "ab12cd34ef"
"""The first audience of a fresh sandbox; the second, with double opt-in, is `SECOND`."""
SECOND = "cd34ef56ab"
JOURNEY, STEP = 12, 3
"""A journey of the first audience that is live, and the step of it that requests can trigger."""
CONNECTIONS = 10
BASE = "/3.0"
_PROBLEM = "application/problem+json; charset=utf-8"
_JSON = "application/json; charset=utf-8"
_STATUS_TITLES = {status: title for title, (status, _) in reversed(list(TITLES.items()))}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came. `path` has its parameters; `status` is what it was, or without cruelty would have been, answered."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    met: str | None


def new_key() -> str:
    """A fresh key, which names a data centre as the service's do."""
    return f"{secrets.token_hex(16)}-us0"


class MailchimpSandbox(Sandbox):
    """The service, listening from `__enter__` (or `start`) to `__exit__` (or `close`).

    `key`: the one that it takes; a fresh one if there is none. `account`: whose it is. `store`: a folder in which it keeps
    everything. `batches`: how batches go. `latency`: seconds that every answer takes. `heard` is called with every request, in the
    thread that answers it. The rest: see `Sandbox`.
    """

    name = "mailchimp"
    kinds: ClassVar[Mapping[str, str]] = {
        "403-bare": "403 without a body, as where too much is asked for",
        "403-bare-applied": "takes it, and answers 403 without a body",
        "429-bare": "429 without a body",
        "ignored": "takes it, but of the addresses that a tag comes on or goes off only every second, and says nothing of the others",
        "results-lost": "takes it, a batch, and will have lost the last file of its results",
    }

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        port: int = 0,
        key: str | None = None,
        account: str = ACCOUNT,
        cruel: Sequence[str] = (),
        share: float = 0.5,
        seed: int = 0,
        store: Path | None = None,
        batches: BatchRules | None = None,
        latency: float = 0.0,
        heard: Callable[[Request], None] = lambda _: None,
    ) -> None:
        self.key = key or new_key()
        self.account = account
        self.latency = latency
        self.batches = batches or BatchRules()
        self._lock = threading.RLock()
        self._journal = Journal(store)
        self._requests: Newest[Request] = Newest()
        self._heard = heard
        self._present = 0
        super().__init__(clock=clock, port=port, cruel=cruel, share=share, seed=seed)
        try:
            self._fill()
        except SegmentryError:
            self.close()
            raise

    @property
    def url(self) -> str:
        """What stands as `url:` in a destination: without the interface's `/3.0`."""
        return f"http://{HOST}:{self.port}"

    @property
    def audiences(self) -> dict[str, Audience]:
        """The audiences by id, as they are; whoever changes something here doesn't have it stored."""
        return self.world.audiences

    @property
    def mails(self) -> Counter[tuple[int, str]]:
        """How many mails went out, by journey and address in lower case. Journey 0 is the request to confirm a subscription."""
        with self._lock:
            return Counter(self.world.mails)

    @property
    def requests(self) -> list[Request]:
        """The newest requests as they came, at most a thousand."""
        return self._requests.items

    @property
    def count(self) -> int:
        """How many requests came."""
        return self._requests.count

    @property
    def forbidden(self) -> list[Forbidden]:
        """Calls that no sync should make: deleting for good a member, an audience, a tag."""
        with self._lock:
            return list(self.world.forbidden)

    @property
    def resubscribed(self) -> list[Resubscription]:
        """Everybody who had left and was subscribed by a request."""
        with self._lock:
            return list(self.world.resubscribed)

    def reset(self) -> None:
        """As new: the first audiences, nobody in them, no cruelty."""
        super().reset()
        with self._lock:
            self._journal.forget()
            self._fill()
        self._requests.clear()

    def serve(self, call: Call) -> Answer:
        """Answers what is asked of the service. Results are fetched elsewhere, as it were, and count for no connection of it."""
        if call.path.startswith(RESULTS):
            return self._results(call)
        with self._lock:
            self._present += 1
            crowded = self._present > CONNECTIONS
        try:
            if self.latency:
                self.closing.wait(self.latency)
            return self._answer(call, crowded=crowded)
        finally:
            with self._lock:
                self._present -= 1

    def says(self, status: int) -> object:
        title = _STATUS_TITLES.get(status, "Internal Server Error")
        return {**ProblemError(title).body(str(uuid.uuid4())), "status": status} if status >= 400 else {}

    def orders(self) -> list[Route]:
        return [("GET", "/", self._page), ("GET", "/state", self._state), ("POST", "/sandbox/people", self._order_people)]

    # ------------------------------------------------------------ answering

    def _answer(self, call: Call, *, crowded: bool) -> Answer:
        problem = ProblemError("Too Many Requests") if crowded else self._stranger(call)
        if problem is None and not (call.path == BASE or call.path.startswith(f"{BASE}/")):
            problem = ProblemError("Resource Not Found")
        if problem is not None:
            self._note(call, problem.status, None)
            return Reply(problem.status, json.dumps(problem.body(str(uuid.uuid4()))).encode(), _PROBLEM)
        path = call.path.removeprefix(BASE) or "/"
        meets = self.cruelty.due(lambda kind: _fits(kind.name, call.method, path))
        status, said = 0, ""
        if meets is None or meets.applies:
            status, said = self._perform(call, path, meets)
        else:
            with self._changing():
                self._desk.note(call.method, path)
        self._note(call, status, meets)
        if meets is None or meets.name in ("ignored", "results-lost"):
            return Reply(status, said.encode() if said else None, _JSON if status < 400 else _PROBLEM)
        if "-bare" in meets.name:
            return Reply(int(meets.name[:3]))
        return meets

    def _perform(self, call: Call, path: str, meets: Misbehaviour | None) -> tuple[int, str]:
        params = dict(parse_qsl(call.query, keep_blank_values=True))
        with self._changing():
            self.world.ignoring = meets is not None and meets.name == "ignored"
            self.world.rules.losing += meets is not None and meets.name == "results-lost"
            return self._desk.perform(call.method, path, params, call.body.decode("utf-8", "replace"))

    def _results(self, call: Call) -> Answer:
        """The results of a batch, for whoever knows the address; a key has no business there."""
        meets = self.cruelty.due(lambda kind: _fits(kind.name, call.method, call.path))
        with self._lock:
            content = archive_at(self.world, call.path) if "authorization" not in call.headers else None
        status = 400 if "authorization" in call.headers else 403 if content is None else 200
        self._note(call, status, meets)
        if meets is not None:
            return Reply(int(meets.name[:3])) if "-bare" in meets.name else meets
        if content is None:
            return Reply(status, "<Error><Code>AccessDenied</Code></Error>", "application/xml")
        return Reply(200, content, "application/gzip")

    def _stranger(self, call: Call) -> ProblemError | None:
        """What is wrong with who asks; None for nothing."""
        scheme, _, said = call.headers.get("authorization", "").partition(" ")
        if not said:
            return ProblemError("API Key Missing")
        key = said.strip()
        if scheme.lower() == "basic":
            try:
                key = base64.b64decode(key, validate=True).decode().partition(":")[2]
            except ValueError:
                key = ""
        right = scheme.lower() in ("basic", "bearer") and secrets.compare_digest(key.encode(), self.key.encode())
        return None if right else ProblemError("API Key Invalid")

    def _note(self, call: Call, status: int, meets: Misbehaviour | None) -> None:
        path = f"{call.path}?{call.query}" if call.query else call.path
        request = Request(call.method, path, dict(call.headers), call.body, status, None if meets is None else meets.name)
        self._requests.add(request)
        self._heard(request)

    # ------------------------------------------------------------ what it knows

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Holds the world, and keeps what changed before anybody is told of it."""
        with self._lock:
            self.world.at_once(begins=True)
            try:
                yield
            finally:
                self.world.at_once(begins=False)
                self._journal.commit(self.world)

    def _now(self) -> datetime:
        return self.clock()

    def _fill(self) -> None:
        """The world as it was kept, or as it begins."""
        self.world = World(self._now, self.account, self._journal.mark, self.batches)
        self._desk = Desk(self.world, lambda: self.url)
        self.people = People(self.world, self._changing)
        try:
            known = self._journal.open(self.world)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise SegmentryError(f"what the sandbox kept can't be read: {error}") from None
        if not known:
            with self._changing():
                self.world.add_audience(AUDIENCE, "Shop")
                self.world.add_audience(SECOND, "Newsletter", double_optin=True)
                self.world.journeys[JOURNEY] = Journey(JOURNEY, "Welcome back", AUDIENCE, steps=(STEP,))
                self.world.mark("journey", JOURNEY)

    def _seen(self) -> dict[str, Any]:
        requests = [{"method": one.method, "path": one.path, "status": one.status, "met": one.met} for one in self.requests]
        with self._lock:
            return state(self.world, requests, self.count)

    def _page(self, _: Call) -> Reply:
        return Reply(200, page(self._seen()), "text/html; charset=utf-8")

    def _state(self, _: Call) -> Reply:
        return Reply(200, self._seen())

    def _order_people(self, call: Call) -> Reply:
        try:
            self.people.order(json.loads(call.body))
        except (ValueError, SegmentryError) as error:
            return Reply(400, str(error))
        return Reply(200, {"ok": True})


def _fits(kind: str, method: str, path: str) -> bool:
    """Whether a request can meet a kind of cruelty at all."""
    if kind == "ignored":
        return method == "POST" and "/segments/" in path and not path.endswith("/members")
    return kind != "results-lost" or (method == "POST" and path.rstrip("/") == "/batches")
