"""A Klaviyo account for trying things out: real HTTP on 127.0.0.1, the service's limits and traps, and cruel if it is told to be.

    with KlaviyoSandbox(clock=clock) as sandbox:
        ...                               # a destination `{type: klaviyo, url: sandbox.url, key: sandbox.key}`
        sandbox.members("Newsletter")     # who is on the list
        sandbox.unsubscribe("ada@example.com")
        assert not sandbox.forbidden

`GET /` shows what is there, `GET /state` gives it as JSON, `POST /reset` makes it as at the start, `POST /cruel` takes
`{"kinds": [...], "share": 0.5}` or `{"next": [...]}`, and `POST /sandbox/people` what people do there, one or a list of
`{"do": "unsubscribe", "email": ...}`; `DOINGS` has what there is.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from segmentry.sandbox import klaviyo_events, klaviyo_forbidden, klaviyo_jobs, klaviyo_lists, klaviyo_profiles
from segmentry.sandbox.cruelty import Misbehaviour
from segmentry.sandbox.klaviyo_asking import KIND, Asked, JobsTake, Operation, params_of, reply
from segmentry.sandbox.klaviyo_page import page, state_of
from segmentry.sandbox.klaviyo_people import DOINGS
from segmentry.sandbox.klaviyo_problems import Problem, RefusedError, body_of, invalid, refused
from segmentry.sandbox.klaviyo_rates import Rates
from segmentry.sandbox.klaviyo_shapes import IMPORT_JOB, check_body
from segmentry.sandbox.klaviyo_state import Event, List, Profile, Request, World
from segmentry.sandbox.klaviyo_store import Store
from segmentry.sandbox.serving import HOST, Answer, Call, Newest, Places, Reply, Route, Sandbox

__all__ = ["ACCOUNT", "ANSWERS", "OPERATIONS", "REVISIONS", "KlaviyoSandbox", "Request"]

ACCOUNT = "Sandbx"
REVISIONS = ("2026-07-15", "2026-10-15")
OPERATIONS: tuple[Operation, ...] = (
    *klaviyo_profiles.OPERATIONS,
    *klaviyo_lists.OPERATIONS,
    *klaviyo_jobs.OPERATIONS,
    *klaviyo_events.OPERATIONS,
    *klaviyo_forbidden.OPERATIONS,
)
ANSWERS: Mapping[str, str] = {
    "malformed": "takes it, and answers JSON that ends in the middle",
    "no-links": "takes it, and answers a page without links",
    "null-links": "takes it, and answers a last page whose next link is null",
}
_ACCEPTED = ("", "*/*", "application/*", "application/json", KIND)


class KlaviyoSandbox(Sandbox):
    """The account. Its own methods may be called at any time, from any thread.

    `key`, a fresh one where it is not given, and `account` are what a destination must know. `lists`: names of lists that are
    there at the start; a list's id comes of its name. `jobs`: how long an import takes. `pace` multiplies the service's rate
    limits; 1 is the service. `store`: a folder in which it keeps what it was told, and its key. `heard` is called with every
    request, in the thread that answers it. For the rest see `Sandbox`.
    """

    name = "klaviyo"
    kinds: ClassVar[Mapping[str, str]] = {**klaviyo_jobs.FATES, **klaviyo_jobs.ERRORS, **ANSWERS}

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        port: int = 0,
        key: str | None = None,
        account: str = ACCOUNT,
        lists: Sequence[str] = ("Newsletter",),
        jobs: JobsTake | None = None,
        pace: float = 1000.0,
        cruel: Sequence[str] = (),
        share: float = 0.5,
        seed: int = 0,
        store: Path | None = None,
        heard: Callable[[Request], None] = lambda _: None,
    ) -> None:
        self._lock = threading.RLock()
        self._requests: Newest[Request] = Newest()
        self._heard = heard
        self._operations = Places([(one.method, one.path, one) for one in OPERATIONS])
        self.clock = clock
        self._at_start = tuple(lists)
        self._store = Store(store)
        self.world = World(self._now, self._store.mark)
        self.account = account
        self.jobs = jobs or JobsTake()
        self.rates = Rates(pace)
        self._store.open(self.world)
        self.key = key or self._store.said.get("key") or f"pk_{secrets.token_hex(17)}"
        self._store.said["key"] = self.key
        for name in self._at_start:
            if all(one.name != name for one in self.world.lists.values()):
                self.world.new_list(name)
        self._store.write_anew(self.world)
        super().__init__(clock=clock, port=port, cruel=cruel, share=share, seed=seed)

    # ------------------------------------------------------------ what is there

    @property
    def url(self) -> str:
        """The service's base, which stands as `url:` of a destination."""
        return f"http://{HOST}:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """The newest requests, at most a thousand."""
        return self._requests.items

    @property
    def count(self) -> int:
        """How many requests came."""
        return self._requests.count

    @property
    def forbidden(self) -> list[Request]:
        """Requests that no sync may ever make, in the order in which they came."""
        with self._lock:
            return list(self.world.forbidden)

    @property
    def lists(self) -> list[List]:
        with self._lock:
            return list(self._settled().lists.values())

    @property
    def profiles(self) -> list[Profile]:
        with self._lock:
            return list(self._settled().profiles.values())

    @property
    def events(self) -> list[Event]:
        """What happened, each thing once; `times` says how often it was told."""
        with self._lock:
            return list(self.world.events.values())

    @property
    def flow_starts(self) -> list[tuple[str, str]]:
        """Flow and address of everybody whom coming to a list has started a live flow for."""
        with self._lock:
            known = self._settled().profiles
            return [(flow, known[id].email or id if id in known else id) for flow, id in self.world.flow_starts]

    def profile(self, email: str) -> Profile | None:
        """The profile with this address."""
        with self._lock:
            return self._settled().find("email", email)

    def members(self, name: str) -> list[str]:
        """Addresses of those who are on a list, by its id or its name; an id where there is no address."""
        with self._lock:
            known = self._settled().profiles
            return [known[id].email or id for id in self.world.named_list(name).members]

    # ------------------------------------------------------------ what people do there

    def do(self, what: str, **words: str) -> None:
        """Something of `DOINGS`; raises RefusedError for a person or a list that there is not."""
        with self._lock:
            DOINGS[what](self._settled(), **words)
            self._store.commit(self.world)

    def unsubscribe(self, email: str) -> None:
        """Wants no more mail."""
        self.do("unsubscribe", email=email)

    def subscribe(self, email: str) -> None:
        """Agrees to be mailed."""
        self.do("subscribe", email=email)

    def suppress(self, email: str) -> None:
        """Somebody of the account wants that this address is not mailed."""
        self.do("suppress", email=email)

    def add_by_hand(self, list: str, email: str) -> None:
        """Somebody of the account puts a person on a list, whom it makes if need be."""
        self.do("add", list=list, email=email)

    def remove_from_list(self, list: str, email: str) -> None:
        """Somebody of the account, or the person, takes the person off a list."""
        self.do("remove", list=list, email=email)

    def make_invalid(self, email: str) -> None:
        """From now on the service takes this for no address."""
        self.do("invalid", email=email)

    def delete_profile(self, email: str) -> None:
        """Somebody of the account deletes a profile."""
        self.do("delete", email=email)

    def set_flow(self, list: str, status: str = "live", flow: str = "Welcome") -> None:
        """A flow that starts when somebody comes to the list: `live`, `manual` or `draft`."""
        self.do("flow", list=list, status=status, flow=flow)

    # ------------------------------------------------------------ how it answers

    def serve(self, call: Call) -> Answer:
        """Answers a request to the service, and writes it down. One at a time, as its state is one."""
        with self._lock:
            found = self._operations.find(call)
            operation = None if found is None else found[0]
            met: Misbehaviour | None = None
            answer: Answer
            try:
                self._admit(call)
                if found is None:
                    raise self._nowhere(call)
                headers = self._pace(found[0], call)
                met = self.cruelty.due(partial(_fits, found[0]))
                answer = met if met is not None and not met.applies else self._do(found[0], found[1], headers, met)
            except RefusedError as error:
                answer = reply(error.status, body_of(error.status, error.problems), error.headers)
            request = Request(call.method, call.path, call.query, call.body, answer.status, None if met is None else met.name)
            self._requests.add(request)
            if operation is not None and operation.forbidden:
                self.world.note_forbidden(request)
            self._store.commit(self.world)
        self._heard(request)
        return answer

    def orders(self) -> list[Route]:
        return [("GET", "/", self._page), ("GET", "/state", self._state), ("POST", "/sandbox/people", self._people)]

    def reset(self) -> None:
        """As at the start: its lists without anybody, no cruelty."""
        with self._lock:
            super().reset()
            self.world.clear()
            for name in self._at_start:
                self.world.new_list(name)
            self._store.write_anew(self.world)
            self.rates.reset()
            self._requests.clear()

    def says(self, status: int) -> object:
        if status < 400:
            return {"data": [], "links": {"self": self.url}}
        return body_of(status, [Problem("throttled" if status == 429 else "error", "Something went wrong.", f"This is a {status}.")])

    def _admit(self, call: Call) -> None:
        """Raises RefusedError for a request without the key, without a revision that is known, or of another content type."""
        if not secrets.compare_digest(call.headers.get("authorization", "").encode(), f"Klaviyo-API-Key {self.key}".encode()):
            code = "authentication_failed" if "authorization" in call.headers else "not_authenticated"
            raise refused(401, code, "Authentication credentials were not provided or are wrong.", "Missing or invalid private key.")
        revision = call.headers.get("revision")
        if revision not in REVISIONS:
            detail = "The 'revision' header is required." if revision is None else f"'{revision}' is not a known revision."
            raise refused(400, "invalid_revision", "Invalid revision.", detail, parameter="revision")
        accepted = [one.partition(";")[0].strip().lower() for one in call.headers.get("accept", "").split(",")]
        if not any(one in _ACCEPTED for one in accepted):
            raise refused(406, "not_acceptable", "Not acceptable.", f"Only {KIND} is answered.")
        said = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        if call.body and said != KIND:
            raise refused(415, "unsupported_media_type", "Unsupported media type.", f"Unsupported media type '{said}' in request.")

    def _nowhere(self, call: Call) -> RefusedError:
        methods = self._operations.methods(call.path)
        if methods:
            detail = f"Method '{call.method}' not allowed."
            return RefusedError(405, [Problem("method_not_allowed", "Method not allowed.", detail)], {"Allow": ", ".join(methods)})
        return refused(404, "not_found", "Not found.", f"There is no {call.path}.")

    def _pace(self, operation: Operation, call: Call) -> dict[str, str]:
        """The headers that tell of the rate; raises RefusedError (429)."""
        dear = "profile_count" in call.query
        name = f"{operation.name} with profile_count" if dear else operation.name
        return self.rates.take(name, "XS" if dear else operation.pace, self.clock())

    def _do(self, operation: Operation, call: Call, headers: dict[str, str], met: Misbehaviour | None) -> Answer:
        """Does what was asked for; what cruelty makes of the answer is here too."""
        try:
            params = params_of(call, operation)
            said = _said(call, operation)
            asked = Asked(
                self._settled(), self.account, self.url, call.path, call.parts, params, said, "" if met is None else met.name, self.jobs
            )
            done = operation.do(asked)
        except RefusedError as error:
            done = reply(error.status, body_of(error.status, error.problems), error.headers)
        if met is not None and met.name not in self.kinds:
            return met
        done = replace(done, headers={**done.headers, **headers})
        return done if met is None else _twisted(done, met.name)

    def _now(self) -> datetime:
        return self.clock()

    def _settled(self) -> World:
        klaviyo_jobs.settle(self.world)
        return self.world

    def _page(self, _: Call) -> Reply:
        with self._lock:
            shown = page(self._settled(), self.account, self.url, self.requests, self.count, len(self.world.forbidden))
            return Reply(200, shown, "text/html; charset=utf-8")

    def _state(self, _: Call) -> Reply:
        return Reply(200, self.state())

    def state(self) -> dict[str, Any]:
        """Everything, as `GET /state` says it."""
        with self._lock:
            told = state_of(self._settled())
            return {"account": self.account, **told, "requests": self.count, "forbidden": [_told(one) for one in self.world.forbidden]}

    def _people(self, call: Call) -> Reply:
        try:
            said = json.loads(call.body)
            for one in said if isinstance(said, list) else [said]:
                self.do(one.pop("do"), **one)
        except RefusedError as error:
            return Reply(error.status, str(error))
        except (ValueError, TypeError, KeyError, AttributeError):
            return Reply(400, f"say one of {', '.join(DOINGS)}, as `do`, with its words")
        return Reply(200, {"ok": True})


def _said(call: Call, operation: Operation) -> Any:
    """The body's JSON; raises RefusedError for one that is too large, no JSON, or says what it may not."""
    if operation.shape is None:
        return None
    if len(call.body) > operation.largest:
        detail = f"The payload has {len(call.body)} bytes, and may have {operation.largest}."
        raise refused(413, "payload_too_large", "Payload too large.", detail)
    try:
        said = json.loads(call.body)
    except (ValueError, RecursionError):
        raise invalid("The body is no JSON.", pointer="/") from None
    check_body(operation.shape, said)
    return said


def _fits(operation: Operation, met: Misbehaviour) -> bool:
    """Whether cruelty of a kind can meet an operation at all."""
    if met.name in klaviyo_jobs.FATES:
        return operation.shape is IMPORT_JOB
    if met.name in klaviyo_jobs.ERRORS:
        return operation.path.endswith("/import-errors")
    return "links" not in met.name or "page[size]" in operation.params


def _twisted(done: Reply, kind: str) -> Reply:
    if kind == "malformed":
        content = json.dumps(done.content).encode()
        return replace(done, status=200 if done.status == 204 else done.status, content=content[: len(content) // 2])
    if kind == "no-links":
        return replace(done, content={name: value for name, value in done.content.items() if name != "links"})
    if kind == "null-links" and "links" in done.content:
        return replace(done, content={**done.content, "links": {"next": None, "prev": None, **done.content["links"]}})
    return done


def _told(request: Request) -> dict[str, Any]:
    return {"method": request.method, "path": request.path, "status": request.status, "met": request.met}
