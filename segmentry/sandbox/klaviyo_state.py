"""What the Klaviyo stand-in knows: profiles with their consent, lists and their members, import jobs, events, and flows.

Every change of it goes through a method of `World`, which marks what changed for whoever keeps it. Instants are text as the
service says them, in UTC. What people do on the other side - unsubscribe, take themselves off a list - is here too.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from segmentry.sandbox.klaviyo_problems import not_found

NEVER, SUBSCRIBED, UNSUBSCRIBED = "NEVER_SUBSCRIBED", "SUBSCRIBED", "UNSUBSCRIBED"
BY_UNSUBSCRIBING, BY_HAND, BY_BOUNCE = "UNSUBSCRIBE", "USER_SUPPRESSED", "HARD_BOUNCE"
LIFTED_BY_SUBSCRIBING = frozenset({BY_UNSUBSCRIBING, BY_HAND, "SPAM_COMPLAINT"})
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_OF_LISTS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class Consent:
    """Whether somebody may be mailed. `suppressed`: reason and instant of whatever forbids it."""

    state: str = NEVER
    at: str | None = None
    method: str | None = None
    suppressed: tuple[tuple[str, str], ...] = ()

    @property
    def can_receive(self) -> bool:
        return self.state != UNSUBSCRIBED and not self.suppressed

    def with_suppression(self, reason: str, at: str) -> Consent:
        """Suppressed for this reason too."""
        return self if reason in dict(self.suppressed) else replace(self, suppressed=(*self.suppressed, (reason, at)))

    def without(self, reasons: frozenset[str]) -> Consent:
        """Suppressed for these reasons no more."""
        return replace(self, suppressed=tuple(one for one in self.suppressed if one[0] not in reasons))


@dataclass(slots=True)
class Profile:
    """Somebody. `attributes` has what was said and not cleared; `properties` are the customer's own."""

    id: str
    created: str
    updated: str
    attributes: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    consent: Consent = Consent()
    last_event: str | None = None

    @property
    def email(self) -> str | None:
        said = self.attributes.get("email")
        return said if isinstance(said, str) else None

    @property
    def external_id(self) -> str | None:
        said = self.attributes.get("external_id")
        return said if isinstance(said, str) else None


class Ordered:
    """Keys in the order in which they came, each with the instant at which it did; a page of them costs what it shows."""

    def __init__(self) -> None:
        self.at: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._last = 0
        self._pages: tuple[list[int], list[str]] | None = ([], [])

    def __contains__(self, key: str) -> bool:
        return key in self.at

    def __len__(self) -> int:
        return len(self.at)

    def __iter__(self) -> Iterator[str]:
        return iter(self.at)

    def add(self, key: str, at: str) -> bool:
        """False where it is there already."""
        if key in self.at:
            return False
        self._last += 1
        self.at[key] = at
        self._numbers[key] = self._last
        if self._pages is not None:
            self._pages[0].append(self._last)
            self._pages[1].append(key)
        return True

    def remove(self, key: str) -> bool:
        """False where it is not there."""
        if self.at.pop(key, None) is None:
            return False
        del self._numbers[key]
        self._pages = None
        return True

    def page(self, after: int, size: int) -> tuple[list[str], int | None]:
        """The next keys after a number, and the number after which there are more; None where there are not."""
        if self._pages is None:
            self._pages = (list(self._numbers.values()), list(self._numbers))
        numbers, keys = self._pages
        start = bisect_right(numbers, after)
        found = keys[start : start + size]
        return found, numbers[start + size - 1] if start + size < len(numbers) else None


@dataclass(slots=True)
class Flow:
    """Something that starts when somebody comes to a list."""

    id: str
    name: str
    list: str
    status: str
    created: str


@dataclass(slots=True)
class List:
    """A list and who is on it."""

    id: str
    name: str
    created: str
    opt_in: str = "single_opt_in"
    members: Ordered = field(default_factory=Ordered)


@dataclass(slots=True)
class Job:
    """An import. `waits` is how many questions about it find it unfinished, `fate` what else is to become of it."""

    id: str
    created: str
    due: str
    waits: int
    lists: list[str]
    total: int
    given: list[dict[str, Any]]
    fate: str = ""
    status: str = "queued"
    asked: int = 0
    started: str | None = None
    completed: str | None = None
    profiles: list[str] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Event:
    """Something that somebody did. `times` is how often it was told; only the first time counts. `body` is what was said of it."""

    id: str
    profile: str
    metric: str
    unique_id: str
    time: str
    backfill: bool
    received: str
    body: dict[str, Any]
    times: int = 1


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came. `status` is None where it was not answered as HTTP is; `met` is the cruelty that it met."""

    method: str
    path: str
    query: str
    body: bytes
    status: int | None
    met: str | None

    @property
    def said(self) -> Any:
        """The body's JSON; None where there is none."""
        return json.loads(self.body) if self.body else None


class World:
    """Everything that one account has. `mark` is told the kind and the key of whatever is new, other or gone."""

    def __init__(self, clock: Callable[[], datetime], mark: Callable[..., None] = lambda *_: None) -> None:
        self._clock = clock
        self.mark = mark
        self.clear()

    def clear(self) -> None:
        """Nothing."""
        self.profiles: dict[str, Profile] = {}
        self.order = Ordered()
        self.lists: dict[str, List] = {}
        self.jobs: dict[str, Job] = {}
        self.unfinished: dict[str, Job] = {}
        self.events: dict[str, Event] = {}
        self.event_of: dict[tuple[str, str, str], str] = {}
        self.flows: dict[str, Flow] = {}
        self.flow_starts: list[tuple[str, str]] = []
        self.forbidden: list[Request] = []
        self.invalid: set[str] = set()
        self.addresses: dict[str, Consent] = {}
        self._by: dict[tuple[str, str], str] = {}
        self.made = getattr(self, "made", 0)  # ids are not given twice, not even after a reset

    def now(self) -> str:
        """The clock's instant, as the service says it."""
        return said(self._clock())

    def clock(self) -> datetime:
        return self._clock().astimezone(UTC)

    def new_id(self, prefix: str) -> str:
        """26 characters that were not given before, as the service's are."""
        self.made += 1
        digits, left = "", self.made
        while left:
            left, digit = divmod(left, 32)
            digits = _LETTERS[digit] + digits
        return prefix + digits.rjust(26 - len(prefix), "0")

    def note_forbidden(self, request: Request) -> None:
        """Somebody asked for what no sync may."""
        self.forbidden.append(request)
        self.mark("forbidden", len(self.forbidden) - 1)

    # ------------------------------------------------------------ profiles

    def find(self, kind: str, value: str) -> Profile | None:
        """The profile with this `email`, `phone_number` or `external_id`."""
        id = self._by.get((kind, identity(kind, value)))
        return None if id is None else self.profiles[id]

    def put(self, profile: Profile) -> None:
        """A profile that is new, or has other attributes."""
        self.profiles[profile.id] = profile
        self.order.add(profile.id, profile.created)
        for kind in IDENTIFIERS:
            value = profile.attributes.get(kind)
            if value is not None:
                self._by[kind, identity(kind, value)] = profile.id
        self.mark("profile", profile.id)

    def release(self, kind: str, value: str) -> None:
        """Nobody is known by this any more."""
        self._by.pop((kind, identity(kind, value)), None)

    def forget_identifiers(self, profile: Profile) -> None:
        """The profile is found by none of what it is known by."""
        for kind in IDENTIFIERS:
            if profile.attributes.get(kind) is not None:
                self.release(kind, profile.attributes[kind])

    def delete(self, profile: Profile) -> None:
        """As if it had never been; that the address was unsubscribed is still known."""
        self.forget_identifiers(profile)
        for one in self.lists.values():
            self.remove_member(one, profile.id)
        del self.profiles[profile.id]
        self.order.remove(profile.id)
        self.mark("profile", profile.id)

    def set_consent(self, profile: Profile, consent: Consent) -> None:
        """The profile's, and for ever its address's, unless somebody subscribes it again."""
        profile.consent = consent
        profile.updated = self.now()
        if profile.email is not None:
            self.addresses[profile.email.lower()] = consent
            self.mark("address", profile.email.lower())
        self.mark("profile", profile.id)

    # ------------------------------------------------------------ lists

    def new_list(self, name: str, opt_in: str = "single_opt_in") -> List:
        """A list; its id comes of its name, so that it can be known before."""
        number, id = 1, list_id(name)
        while id in self.lists:
            number += 1
            id = list_id(f"{name}#{number}")
        made = List(id, name, self.now(), opt_in)
        self.lists[id] = made
        self.mark("list", id)
        return made

    def list_of(self, id: str, *, pointer: str | None = None) -> List:
        """Raises RefusedError (404) where there is none."""
        found = self.lists.get(id)
        if found is None:
            raise not_found("list", id, pointer=pointer)
        return found

    def delete_list(self, one: List) -> None:
        for flow in [flow for flow in self.flows.values() if flow.list == one.id]:
            del self.flows[flow.id]
            self.mark("flow", flow.id)
        del self.lists[one.id]
        self.mark("list", one.id)

    def add_member(self, one: List, profile: str) -> None:
        """Puts somebody on a list, and starts what starts then."""
        if one.members.add(profile, self.now()):
            self.mark("member", one.id, profile)
            for flow in self.flows.values():
                if flow.list == one.id and flow.status == "live":
                    self.flow_starts.append((flow.id, profile))
                    self.mark("start", len(self.flow_starts) - 1)

    def remove_member(self, one: List, profile: str) -> None:
        if one.members.remove(profile):
            self.mark("member", one.id, profile)

    # ------------------------------------------------------------ what people do there

    def person(self, email: str) -> Profile:
        """The profile with this address; raises RefusedError (404) where there is none."""
        found = self.find("email", email)
        if found is None:
            raise not_found("profile", email)
        return found

    def named_list(self, name: str) -> List:
        """A list by its id or its name."""
        found = self.lists.get(name) or next((one for one in self.lists.values() if one.name == name), None)
        if found is None:
            raise not_found("list", name)
        return found

    def subscribe(self, email: str) -> None:
        """Agrees to be mailed."""
        profile, at = self.person(email), self.now()
        lifted = profile.consent.without(LIFTED_BY_SUBSCRIBING)
        self.set_consent(profile, replace(lifted, state=SUBSCRIBED, at=at, method="FORM"))

    def unsubscribe(self, email: str) -> None:
        """Wants no more mail, of any list."""
        profile, at = self.person(email), self.now()
        consent = replace(profile.consent, state=UNSUBSCRIBED, at=at, method="PREFERENCE_PAGE")
        self.set_consent(profile, consent.with_suppression(BY_UNSUBSCRIBING, at))

    def suppress(self, email: str, reason: str = BY_HAND) -> None:
        """Is not to be mailed, whatever was agreed to."""
        profile = self.person(email)
        self.set_consent(profile, profile.consent.with_suppression(reason, self.now()))

    def unsuppress(self, email: str) -> None:
        """What was suppressed by hand is so no more."""
        profile = self.person(email)
        self.set_consent(profile, profile.consent.without(frozenset({BY_HAND})))

    def make_invalid(self, email: str) -> None:
        """From now on the service takes this for no address."""
        self.invalid.add(email.strip().lower())
        self.mark("invalid", email.strip().lower())

    def set_flow(self, name: str, *, status: str = "live", flow: str = "Welcome") -> Flow:
        """A flow that starts when somebody comes to the list: `live`, `manual` or `draft`."""
        one = self.named_list(name)
        found = next((known for known in self.flows.values() if known.list == one.id and known.name == flow), None)
        if found is None:
            found = Flow(list_id(f"flow {one.id} {flow}"), flow, one.id, status, self.now())
            self.flows[found.id] = found
        found.status = status
        self.mark("flow", found.id)
        return found


IDENTIFIERS = ("email", "phone_number", "external_id")


def identity(kind: str, value: str) -> str:
    """What makes two of them the same: an address is, however it is written."""
    return value.strip().lower() if kind == "email" else value


def said(at: datetime) -> str:
    """An instant, as the service says it: to the second, in UTC."""
    return at.astimezone(UTC).replace(microsecond=0).isoformat()


def list_id(name: str) -> str:
    """Six characters that come of a name."""
    number, found = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]), ""
    for _ in range(6):
        number, digit = divmod(number, len(_OF_LISTS))
        found += _OF_LISTS[digit]
    return found
