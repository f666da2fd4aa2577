"""A Mailchimp destination beside the service it tells, on a clock that sleeping moves; and what must be so whatever happened.

After every test: nobody who left was subscribed, nothing forbidden was asked for, the tag has exactly those that were answered so
and those that were put in it by hand, other tags are as they were, no sync mailed anybody, and no journey mailed anybody twice.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from segmentry.engine.connectors.destination import Answer, Batch, Row, Verdict
from segmentry.engine.connectors.mailchimp import MailchimpDestination
from segmentry.engine.connectors.mailchimp_line import Waiting
from segmentry.engine.connectors.mailchimp_people import hash_of
from segmentry.engine.connectors.settings import MailchimpSettings
from segmentry.engine.connectors.syncing import Action, Change, Notes, SyncBatch, Target
from segmentry.sandbox.cruelty import Cruelty, Misbehaviour, misbehaviour
from segmentry.sandbox.mailchimp import AUDIENCE, MailchimpSandbox
from segmentry.sandbox.mailchimp_state import Audience, Member
from segmentry.sandbox.serving import Answer as Answered
from segmentry.sandbox.serving import Call
from tests.connectors.conftest import nothing

AT = datetime(2026, 11, 23, 18, tzinfo=UTC)
TAG = "seg:vip"
ENROLL = "enroll:welcome"
QUICK = 0.5
"""Seconds until a request is given up where a test waits for that; elsewhere a busy machine may take its time."""
WITHOUT_END = ("hang", "slow", "endless")

MEMBERS = r"POST /3\.0/lists/\w+$"
"""The request that puts many people in the audience; others below."""
SOMEONE = r"GET /3\.0/lists/\w+/members/\w{32}$"
PEOPLE = r"GET /3\.0/lists/\w+/members$"
QUIETLY = r"POST /3\.0/lists/\w+/members/\w{32}/tags$"
PATCHED = r"PATCH /3\.0/lists/\w+/members/\w{32}$"
PUT = r"PUT /3\.0/lists/\w+/members/\w{32}$"
TAGGED = r"POST /3\.0/lists/\w+/segments/\d+$"
NEW_TAG = r"POST /3\.0/lists/\w+/segments$"
NEW_FIELD = r"POST /3\.0/lists/\w+/merge-fields$"
TAKEN_OFF = r"DELETE /3\.0/lists/\w+/segments/\d+/members/\w{32}$"
BATCHES = r"POST /3\.0/batches$"
LOOK = r"GET /3\.0/batches/\w+$"
RESULTS = r"GET /results/"
TRIGGER = r"POST /3\.0/customer-journeys/.*/trigger$"
ABOUT = r"GET /3\.0/lists/\w+$"


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)

    def monotonic(self) -> float:
        return sum(self.naps)

    def clock(self) -> datetime:
        return AT + timedelta(seconds=sum(self.naps))


class Aimed(Cruelty):
    """Cruelty that is due to certain requests: by method and path, the next so many of them."""

    def __init__(self, also: Any, here: threading.local) -> None:
        super().__init__(also=also)
        self.aims: list[tuple[str, str]] = []
        self.always: list[tuple[str, bytes, str]] = []
        """What every request of a kind meets that says something."""
        self._here = here

    def due(self, fits: Callable[[Misbehaviour], bool] = lambda _: True) -> Misbehaviour | None:
        for pattern, said, kind in self.always:
            if re.match(pattern, self._here.asked) and said in self._here.body:
                return misbehaviour(kind, self._also)
        with self._lock:
            for number, (pattern, kind) in enumerate(self.aims):
                if re.match(pattern, self._here.asked):
                    del self.aims[number]
                    return misbehaviour(kind, self._also)
        return super().due(fits)


class Service(MailchimpSandbox):
    """The stand-in, to which something can happen at a certain request."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._here = threading.local()
        self.cruelty = self.aimed = Aimed(self.kinds, self._here)
        self.upon: list[tuple[str, Callable[[], None]]] = []

    def serve(self, call: Call) -> Answered:
        self._here.asked, self._here.body = f"{call.method} {call.path}", call.body
        for number, (pattern, happens) in enumerate(self.upon):
            if re.match(pattern, self._here.asked):
                del self.upon[number]
                happens()
                break
        return super().serve(call)


@dataclass
class Shop:
    """The destination, the service, and what was answered of each address so far."""

    service: Service
    time: Time = field(default_factory=Time)
    opened: list[MailchimpDestination] = field(default_factory=list)
    inside: set[str] = field(default_factory=set)
    """Hashes of those who are in the tag by what was answered last."""
    unclear: set[str] = field(default_factory=set)
    """Hashes of those of whom the last answer left it open."""
    enrolled: dict[str, Verdict] = field(default_factory=dict)
    by_hand: set[str] = field(default_factory=set)
    writes: int = 0
    timeout: str = "30 s"

    @property
    def audience(self) -> Audience:
        return self.service.audiences[AUDIENCE]

    @property
    def shop(self) -> MailchimpDestination:
        """The destination that was opened last; opened, if none was."""
        return self.opened[-1] if self.opened else self.open()

    def open(self, new_contacts: str = "subscribed", **said: Any) -> MailchimpDestination:
        key = said.pop("key", self.service.key)
        patience, timeout = said.pop("patience", None), said.pop("timeout", self.timeout)
        whole = {"type": "mailchimp", "key": "${K}", "audience": AUDIENCE, "new_contacts": new_contacts, "url": self.service.url, **said}
        model = MailchimpSettings.model_validate(whole).model_copy(update={"key": key, "timeout": timeout})
        waiting = Waiting(self.time.clock, self.time.monotonic, self.time.sleep, lambda: 0.5)
        found = MailchimpDestination(model, waiting=waiting, patience=patience)
        self.opened.append(found)
        return found

    # ------------------------------------------------------------ what is there

    def has(self, address: str, status: str = "subscribed", *tags: str, **fields: Any) -> Member:
        """Somebody is in the audience already, with tags that were put on by hand."""
        world = self.service.world
        member = world.add_member(self.audience, address, "subscribed")
        member.fields.update(fields)
        for tag in tags:
            world.tag(self.audience, member, world.tag_named(self.audience, tag), quietly=True)
            if tag == TAG:
                self.by_hand.add(address)
        member.status = status
        return member

    def member(self, address: str) -> Member | None:
        return self.audience.members.get(hash_of(address))

    def status(self, address: str) -> str | None:
        member = self.member(address)
        return None if member is None else member.status

    def tagged(self, name: str = TAG) -> set[str]:
        """The addresses that have a tag."""
        known = self.audience.names.get(name)
        found = [] if known is None else [self.audience.members[hash] for hash in self.audience.tags[known].members]
        return {member.email for member in found}

    def meets(self, pattern: str, *kinds: str) -> None:
        """What the next requests of a kind meet."""
        if any(kind.startswith(WITHOUT_END) for kind in kinds):
            self.timeout = f"{QUICK} s"
            for destination in self.opened:
                destination._line._seconds = QUICK
        self.service.aimed.aims += [(pattern, kind) for kind in kinds]

    def upon(self, pattern: str, happens: Callable[[], Any]) -> None:
        """Something happens just before the next request of a kind."""
        self.service.upon.append((pattern, happens))

    def asked(self, pattern: str) -> int:
        """How often something was asked for, among the newest thousand requests."""
        return sum(bool(re.match(pattern, f"{one.method} {one.path.partition('?')[0]}")) for one in self.service.requests)

    # ------------------------------------------------------------ telling

    def sync(self, action: Action, *changes: Change, notes: Notes | None = None, before: Callable[[], None] = nothing) -> list[Answer]:
        """One batch; what is answered of each address is written down."""
        batch = SyncBatch("b1", "vip", Target("tag", TAG), action, AT, changes)

        def counted() -> None:
            self.writes += 1
            before()

        answers = list(self.shop.sync(batch, counted, notes or Notes()))
        assert len(answers) == len(changes)
        for change, answer in zip(changes, answers, strict=True):
            self._checked(answer)
            self._note(action, change, answer)
        return answers

    def add(self, *addresses: str, consents: bool = True, **fields: Any) -> list[Answer]:
        return self.sync(Action.ADD, *(change(one, consents=consents, **fields) for one in addresses))

    def update(self, *addresses: str, **fields: Any) -> list[Answer]:
        return self.sync(Action.UPDATE, *(change(one, remote_id=hash_of(one), **fields) for one in addresses))

    def remove(self, *addresses: str) -> list[Answer]:
        return self.sync(Action.REMOVE, *(change(one, remote_id=hash_of(one)) for one in addresses))

    def send(
        self, *addresses: str, words: Any = None, consents: bool = True, before: Callable[[], None] = nothing, **fields: Any
    ) -> list[Answer]:
        rows = tuple(Row(f"r_{one}", f"c_{one}", one, {"fields": fields}, consents) for one in addresses)
        batch = Batch("e1", "enrollment.created", AT, "welcome", rows, words or {"tag": ENROLL})

        def counted() -> None:
            self.writes += 1
            before()

        answers = list(self.shop.send(batch, counted))
        for row, answer in zip(rows, answers, strict=True):
            self._checked(answer)
            assert answer.verdict not in (Verdict.LEFT, Verdict.SKIPPED), "those are no answers to an enrollment"
            self.enrolled[str(row.address)] = answer.verdict
        return answers

    def _checked(self, answer: Answer) -> None:
        assert "@" not in str(answer.reason)
        assert self.service.key not in str(answer.reason)
        assert answer.reason or answer.verdict is Verdict.SENT

    def _note(self, action: Action, change: Change, answer: Answer) -> None:
        """An update says nothing of membership; what is for later may have been done or not."""
        hash = hash_of(change.address) if action is Action.ADD and change.address else change.remote_id
        if action is Action.UPDATE or hash is None:
            return
        self.unclear.discard(hash)
        if answer.verdict is Verdict.LATER or (answer.verdict is Verdict.REJECTED and answer.again):
            self.unclear.add(hash)
        elif action is Action.ADD and answer.verdict is Verdict.SENT:
            self.inside.add(hash)
        else:
            self.inside.discard(hash)

    def check(self) -> None:
        """What must be so whatever happened."""
        assert self.service.resubscribed == []
        assert self.service.forbidden == []
        now = {hash_of(address) for address in self.tagged()}
        by_hand = {hash_of(address) for address in self.by_hand}
        assert now - by_hand - self.unclear == self.inside - by_hand - self.unclear, "who was answered so, and nobody else"
        assert by_hand <= now, "put on by hand"
        by_sync = [one for one in self.service.world.sent if one.cause == "tag" and self.service.world.journeys[one.journey].tag == TAG]
        assert by_sync == [], "a sync enrolls nobody"
        assert all(times == 1 for times in self.service.mails.values()), "mailed twice"
        assert {one for one, verdict in self.enrolled.items() if verdict is Verdict.SENT} <= self.tagged(ENROLL) | self.mailed
        for request in self.service.requests:
            check_said(request.method, request.path, request.body)

    @property
    def mailed(self) -> set[str]:
        return {mail.email for mail in self.service.world.sent}


def check_said(method: str, path: str, body: bytes) -> None:
    """No request says a status of a member, takes other tags off, or asks for what starts something where it must not."""
    said = json.loads(body) if body else {}
    if method in ("PUT", "PATCH") or re.fullmatch(r"/3\.0/lists/\w+(\?.*)?", path):
        assert "status" not in said
        assert said.get("sync_tags", False) is False
        assert all("status" not in one and "tags" not in one for one in said.get("members", ()))
    assert method != "DELETE" or re.match(TAKEN_OFF, f"{method} {path}")


def change(address: str | None, *, remote_id: str | None = None, consents: bool = True, moved: bool = False, **fields: Any) -> Change:
    return Change(f"s_{address}", f"c_{address}", address, remote_id, fields, {}, consents, moved)


def some(number: int, name: str = "p") -> list[str]:
    return [f"{name}{one}@example.com" for one in range(number)]


def verdicts(answers: Iterable[Answer]) -> list[Verdict]:
    return [answer.verdict for answer in answers]


def only(answers: Sequence[Answer]) -> Answer:
    assert len(answers) == 1
    return answers[0]


@pytest.fixture
def shop() -> Iterator[Shop]:
    time = Time()
    with Service(clock=time.clock) as service:
        service.people.automation(TAG)  # a sync must not start it
        service.people.automation(ENROLL)
        found = Shop(service, time)
        found.has("hand@example.com", "subscribed", TAG, "by hand")
        found.has("other@example.com", "subscribed", "by hand")
        yield found
        for destination in found.opened:
            destination.close()
        found.check()
        assert found.tagged("by hand") == {"hand@example.com", "other@example.com"}
