"""Klaviyo and Mailchimp, the real sandboxes over real HTTP, and the people there, who do as they like.

Time is the driver's own, and sleeping moves it. A delivery can be killed at a request: from then on it asks for nothing more,
and nothing is written down of what it was told.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from segmentry.engine.connectors.destination import Destination
from segmentry.engine.connectors.klaviyo import KlaviyoDestination
from segmentry.engine.connectors.mailchimp import MailchimpDestination
from segmentry.engine.connectors.mailchimp_line import Waiting
from segmentry.engine.connectors.registry import Context
from segmentry.engine.connectors.settings import KlaviyoSettings, MailchimpSettings
from segmentry.engine.connectors.wire import Reply, Wire
from segmentry.engine.delivering import deliver
from segmentry.engine.loading import load
from segmentry.engine.state import State, outbox, sync_outbox
from segmentry.engine.state.schema import SYNC_BATCHES, SYNCED, SYNCS
from segmentry.engine.state.synced import MEMBER, REMOVE
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from segmentry.sandbox.klaviyo_state import List
from segmentry.sandbox.mailchimp import AUDIENCE, JOURNEY, STEP, MailchimpSandbox
from segmentry.sandbox.mailchimp_state import AWAY, Audience, hash_of
from segmentry.sandbox.serving import HOST
from tests.histories.files import Folder, utc
from tests.histories.receivers import Clock, Killed

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["segmentry.engine.delivering", "segmentry.engine.connectors.klaviyo", "segmentry.engine.connectors.mailchimp"]
)

KLAVIYO, MAILCHIMP = "klaviyo", "mailchimp"
SERVICES = (KLAVIYO, MAILCHIMP)
EVENTS = {"hello": "Hello", "post": "Post"}
OFFER = "enroll:offer"
SEQUENCES = (
    ("hello", KLAVIYO, "event: Hello, fields: {GIFT: spend}"),
    ("post", KLAVIYO, "event: Post"),
    ("offer", MAILCHIMP, f'tag: "{OFFER}", fields: {{GIFT: spend}}'),
    ("gift", MAILCHIMP, f"journey: {{id: {JOURNEY}, step: {STEP}}}"),
)
NAMES = "abcd"
FRIENDS = 2
"""People of each list and tag whom somebody put there by hand, and who are no contacts of ours."""

ANY = "429 429-after 500 503 500-applied 503-applied 502-applied reset reset-applied close-applied truncated garbage html".split()
OF_KLAVIYO = "malformed no-links null-links job-slow job-failures job-cancelled job-cancelled-half errors-bare errors-blind".split()
OF_MAILCHIMP = "403-bare 403-bare-applied 429-bare ignored results-lost".split()
FEW = 4
"""Changes that go one by one where a history wants jobs and batches: else its people would be too few for them."""
FEWS = tuple(
    f"segmentry.engine.connectors.{name}.FEW" for name in ("klaviyo_importing", "mailchimp_audience", "mailchimp_syncing", "mailchimp_tags")
)


def nobody_listens() -> None:
    """What is called after requests that nobody counts."""


def friend(target: str, number: int) -> str:
    return f"friend{number}@{target.replace(':', '-').lower()}.friends.example"


@dataclass
class Services:
    """Both services. `new_contacts` and `consent` (a rule) are the Mailchimp destination's."""

    new_contacts: str
    consent: str
    time: Clock
    klaviyo: KlaviyoSandbox = field(init=False)
    mailchimp: MailchimpSandbox = field(init=False)
    heard: Callable[[], None] = nobody_listens
    """Called after every request, before it is answered."""

    def __post_init__(self) -> None:
        names = [f"List {name}{number}" for name in NAMES for number in (1, 2)]
        self.klaviyo = KlaviyoSandbox(clock=self.time, lists=names, heard=lambda _: self.heard())
        self.mailchimp = MailchimpSandbox(clock=self.time, heard=lambda _: self.heard())
        self.lists = {one.name: one.id for one in self.klaviyo.lists}

    @contextmanager
    def open(self) -> Iterator[None]:
        """While they listen. Before anybody is told, there are friends in every list and tag, and what starts by them is live."""
        with self.klaviyo, self.mailchimp:
            for name in NAMES:
                for number in (1, 2):
                    for which in range(FRIENDS):
                        self.klaviyo.add_by_hand(f"List {name}{number}", friend(f"list-{name}{number}", which))
                        email = friend(f"seg:{name}{number}", which)
                        self.mailchimp.people.subscribe(email)
                        self.mailchimp.people.tag(email, f"seg:{name}{number}")
                    self.mailchimp.people.automation(f"seg:{name}{number}")
            self.mailchimp.people.automation(OFFER)
            yield

    @property
    def destinations(self) -> str:
        consent = f', consent: "{self.consent}"' if self.new_contacts == "subscribed" else ""
        return (
            f'destinations:\n  klaviyo: {{type: klaviyo, key: "${{K}}", url: "{self.klaviyo.url}"}}\n'
            f'  mailchimp: {{type: mailchimp, key: "${{M}}", url: "{self.mailchimp.url}", audience: {AUDIENCE},'
            f" new_contacts: {self.new_contacts}{consent}}}\n"
        )

    def target(self, service: str, name: str, number: int) -> str:
        """A list or a tag, as a sync names it."""
        return f"list: {self.lists[f'List {name}{number}']}" if service == KLAVIYO else f'tag: "seg:{name}{number}"'

    # ------------------------------------------------------------ who is there

    @property
    def audience(self) -> Audience:
        return self.mailchimp.audiences[AUDIENCE]

    def targets(self) -> list[tuple[str, str]]:
        """Every service's lists and tags, as syncs name them."""
        return [(service, self.target(service, name, number)) for service in SERVICES for name in NAMES for number in (1, 2)]

    def title(self, target: str) -> str:
        """A list's id, or a tag's name."""
        return target.partition(": ")[2].strip('"')

    def inside(self, service: str, target: str) -> dict[str, str]:
        """Who is in a list or a tag: the address of everybody, by what the service calls the person whatever becomes of the address."""
        if service == KLAVIYO:
            ids = self.list_named(target).members
            return {profile.id: (profile.email or "").lower() for profile in self.klaviyo.profiles if profile.id in ids}
        known = self.audience.names.get(self.title(target))
        members = () if known is None else self.audience.tags[known].members
        return {(one := self.audience.members[hash]).contact_id: one.email.lower() for hash in members}

    def everywhere(self) -> dict[tuple[str, str], dict[str, str]]:
        """Who is in what."""
        return {one: self.inside(*one) for one in self.targets()}

    def coming(self) -> dict[tuple[str, str], set[str]]:
        """Who is to come into what by a job or a batch that is not done yet, by addresses."""
        found: dict[tuple[str, str], set[str]] = {one: set() for one in self.targets()}
        for job in self.klaviyo.world.unfinished.values():
            people = {str(one["attributes"]["email"]).lower() for one in job.given}
            for id in job.lists:
                found[KLAVIYO, f"list: {id}"] |= people
        for operation in (one for batch in self.mailchimp.world.batches.values() if not batch.results for one in batch.operations):
            hash = operation["path"].split("/")[4]
            for tag in json.loads(operation["body"]).get("tags", ()) if hash in self.audience.members else ():
                found[MAILCHIMP, f'tag: "{tag["name"]}"'].add(self.audience.members[hash].email.lower())
        return found

    def do_the_forgotten(self, folder: Folder) -> None:
        """Jobs and batches that were handed in by who was killed before their ids were kept are done, as nobody waits for them."""
        with folder.state() as state, state.catalog.reading() as connection:
            kept = "".join(connection.execute(select(SYNC_BATCHES.c.notes)).scalars())
        for job in self.klaviyo.world.unfinished.values():
            job.waits = job.waits if job.id in kept else 0
        with self.klaviyo._lock:
            self.klaviyo._settled()
        for batch in [one for one in self.mailchimp.world.batches.values() if one.id not in kept]:
            while batch.status != "finished":
                with self.mailchimp._changing():
                    self.mailchimp._desk.perform("GET", f"/batches/{batch.id}", {}, "")

    def status(self, address: str) -> str | None:
        """Of somebody in the audience."""
        member = self.audience.members.get(hash_of(address))
        return None if member is None else member.status

    def away(self) -> set[str]:
        """Whoever left the audience by status."""
        return {member.email.lower() for member in self.audience.members.values() if member.status in AWAY}

    def list_named(self, target: str) -> List:
        return next(one for one in self.klaviyo.lists if one.id == self.title(target))

    def told(self, service: str, address: str) -> Any:
        """The field that syncs tell of somebody; None where it is empty."""
        if service == KLAVIYO:
            profile = self.klaviyo.profile(address)
            return None if profile is None else profile.properties.get("SPEND")
        member = self.audience.members.get(hash_of(address))
        found = None if member is None else member.fields.get("SPEND")
        return None if found == "" else found

    def requests(self, service: str) -> int:
        return (self.klaviyo if service == KLAVIYO else self.mailchimp).count

    def writes_since(self, counts: Mapping[str, int]) -> list[str]:
        """The requests after a count that change something."""
        found = []
        for service in SERVICES:
            sandbox = self.klaviyo if service == KLAVIYO else self.mailchimp
            newest = sandbox.requests[-(sandbox.count - counts[service]) :] if sandbox.count > counts[service] else []
            found += [f"{one.method} {one.path}" for one in newest if one.method != "GET"]
        return found

    def enrollments_since(self, counts: Mapping[str, int]) -> dict[str, str]:
        """By what addresses Klaviyo was told of enrollments (ids) after a count, or asked to take them."""
        count = self.klaviyo.count - counts[KLAVIYO]
        newest = self.klaviyo.requests[-count:] if count else []
        told = [one.said["data"]["attributes"] for one in newest if one.method == "POST" and one.path == "/api/events"]
        return {one["unique_id"]: one["profile"]["data"]["attributes"]["email"] for one in told}

    # ------------------------------------------------------------ telling

    @property
    def telling(self) -> dict[str, Any]:
        """What destinations are opened by."""
        return {"environ": self.environ, "open": partial(opened, self.time)}

    @property
    def environ(self) -> dict[str, str]:
        """The keys."""
        return {"K": self.klaviyo.key, "M": self.mailchimp.key}

    def be_cruel(self, draws: random.Random) -> None:
        """Some of the next requests are treated badly."""
        for sandbox, kinds in ((self.klaviyo, OF_KLAVIYO), (self.mailchimp, OF_MAILCHIMP)):
            if draws.random() < 0.5:
                sandbox.cruelty.set(draws.sample([*ANY, *kinds], 3), share=draws.choice([0.1, 0.4]))
            else:
                sandbox.cruelty.script(draws.choices([*ANY, *kinds], k=draws.randint(1, 3)))

    def be_kind(self) -> None:
        self.klaviyo.cruelty.reset()
        self.mailchimp.cruelty.reset()


def acknowledged(services: Services, folder: Folder, *, perhaps_off: bool = False) -> dict[tuple[str, str], set[str]]:
    """Of whom the state says that they are in a list or tag, by their addresses there.

    `perhaps_off`: those only whom a removal may have taken off whose answer nobody heard.
    """
    with folder.state() as state, state.catalog.reading() as connection:
        query = select(SYNCS.c.destination, SYNCS.c.target, SYNCED.c.remote_id).join(SYNCED, SYNCED.c.sync == SYNCS.c.id)
        if perhaps_off:
            query = query.where(SYNCED.c.action == REMOVE, SYNCED.c.maybe)
        rows = connection.execute(query.where(SYNCED.c.state == MEMBER)).all()
    found: dict[tuple[str, str], set[str]] = {}
    for service, target in services.targets():
        named = f"{target.partition(': ')[0]}:{services.title(target)}"
        ids = {id for of, at, id in rows if (of, at) == (service, named)}
        people = services.inside(service, target).items()
        found[service, target] = {one for id, one in people if (id if service == KLAVIYO else hash_of(one)) in ids}
    return found


def opened(clock: Clock, name: str, settings: Mapping[str, Any], context: Context) -> Destination:
    """A destination on the invented clock."""
    own = {key: value for key, value in settings.items() if key not in ("account", "renamed_from")}
    start = clock()

    def now() -> float:
        return (clock() - start).total_seconds()

    if name == KLAVIYO:
        klaviyo = KlaviyoSettings.model_validate(own).model_copy(update={"key": context.environ["K"]})
        return KlaviyoDestination(klaviyo, now=now, sleep=clock.sleep)
    mailchimp = MailchimpSettings.model_validate(own).model_copy(update={"key": context.environ["M"]})
    return MailchimpDestination(mailchimp, waiting=Waiting(clock, now, clock.sleep, lambda: 0.5))


@contextmanager
def sleeping_by(clock: Clock) -> Iterator[None]:
    """Nobody sleeps in earnest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", clock.sleep)
        yield


@contextmanager
def killed_at(number: int, *, applied: bool) -> Iterator[None]:
    """A delivery ends at its number-th request, before or after that was made, as if by SIGKILL."""
    seen, gate, ask, dead = 0, threading.Lock(), Wire.ask, threading.Event()

    def asked(self: Wire, *args: Any, **more: Any) -> Reply:
        nonlocal seen
        with gate:
            seen += 1
            mine = seen == number
            if mine and not applied:
                dead.set()
        if dead.is_set():
            raise Killed
        reply = ask(self, *args, **more)
        if mine:
            dead.set()
        if dead.is_set():
            raise Killed
        return reply

    def unless_dead(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **more: Any) -> Any:
            if dead.is_set():
                raise Killed
            return function(*args, **more)

        return called

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wire, "ask", asked)
        for module, names in (
            (sync_outbox, ("record", "keep_notes", "close_stopped", "claim")),
            (outbox, ("record", "end_stopped", "claim")),
        ):
            for name in names:
                patch.setattr(module, name, unless_dead(getattr(module, name)))
        yield


def deliver_apart(root: Path, state: Path, environ: Mapping[str, str], now: datetime, *, few: bool) -> None:
    """A delivery in a process of its own."""
    clock = Clock(now)
    with pytest.MonkeyPatch.context() as patch, sleeping_by(clock):
        for name in FEWS if few else ():
            patch.setattr(name, FEW)
        workspace = load(root).require()
        with closing(State.open(state, workspace.config.id)) as opened_state:
            deliver(opened_state, workspace, environ=environ, clock=clock, sleep=clock.sleep, open=partial(opened, clock))


def killed_apart(services: Services, root: Path, state: Path, now: datetime, number: int, *, few: bool) -> int:
    """How a delivery's process ends that is killed while its number-th request is answered: 0 where it did not ask so often."""
    process = SERVER.Process(target=deliver_apart, args=(root, state, services.environ, now), kwargs={"few": few})
    gate, seen = threading.Lock(), 0

    def heard() -> None:
        nonlocal seen
        with gate:
            seen += 1
            if seen == number and process.pid is not None:
                os.kill(process.pid, signal.SIGKILL)

    services.heard = heard
    try:
        process.start()
        process.join(120)
    finally:
        services.heard = nobody_listens
    answered(services.klaviyo)
    answered(services.mailchimp)
    assert process.exitcode is not None
    return process.exitcode


def answered(sandbox: KlaviyoSandbox | MailchimpSandbox) -> None:
    """Waits until a service did whatever it was asked by a process that is no more: its other requests may still have been on their way."""
    last = HTTPConnection(HOST, sandbox.port)
    last.request("POST", "/cruel", "{}", {"Connection": "close"})  # an order of nothing, which comes after all that were there
    assert last.getresponse().status == 200
    last.close()
    while sandbox._server._open:
        threading.Event().wait(0.001)  # nobody sleeps in earnest here


def moment(clock: Clock, now: datetime) -> datetime:
    """Sets the clock to the driver's time."""
    clock.now = now
    return utc(now)
