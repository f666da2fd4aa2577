"""What the Mailchimp stand-in knows: audiences with their members and tags, journeys, and what was mailed to whom.

Every change of it goes through a method of `World`, which tells the journal; what is forbidden or mailed is noted here, so that it
is noted whichever way it came.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from segmentry.sandbox.mailchimp_problems import BUSY, FAKE, ProblemError

CONFIRMATION = 0
"""The journey that stands for mails that ask somebody to confirm a subscription."""
AWAY = frozenset({"unsubscribed", "cleaned", "archived"})
"""Statuses out of which nobody but the person may become subscribed."""


@dataclass(slots=True)
class Member:
    """Somebody in an audience. `tags`: ids with the instant at which each was put on. `compliance`: no request may subscribe them."""

    hash: str
    email: str
    status: str
    web_id: int
    since: str
    changed: str
    fields: dict[str, Any] = field(default_factory=dict)
    tags: dict[int, str] = field(default_factory=dict)
    compliance: bool = False
    unsubscribed: str = ""
    language: str = ""
    vip: bool = False
    contact_id: str = field(init=False)
    """What the service calls the person, whatever becomes of the address."""

    def __post_init__(self) -> None:
        self.contact_id = hashlib.md5(f"contact {self.web_id}".encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class Tag:
    """A tag, which is a static segment. `members` has the hashes of those who have it."""

    id: int
    name: str
    created: str
    updated: str
    members: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class MergeField:
    """What can be said of a member."""

    id: int
    tag: str
    name: str
    type: str
    required: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()


@dataclass(slots=True)
class Audience:
    """A list of members, by the hash of their addresses.

    `forgotten` has the hashes that were permanently deleted. `doubted` those whose new subscription is refused, with the
    sentence. `revives`: whether `status_if_new` brings an archived member back; the service's own word on that is not known, and
    people report that it doesn't. `says_repeats`: whether a member who has a tag already is among those that were added.
    """

    id: str
    name: str
    double_optin: bool = False
    revives: bool = False
    says_repeats: bool = True
    members: dict[str, Member] = field(default_factory=dict)
    tags: dict[int, Tag] = field(default_factory=dict)
    fields: dict[str, MergeField] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    doubted: dict[str, str] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    contacts: dict[str, Member] = field(default_factory=dict)
    events: list[tuple[str, str, str, dict[str, str]]] = field(default_factory=list)


@dataclass(slots=True)
class Journey:
    """An automation: of API triggers (`steps`), or started by a tag or an event. Not `live`, it mails nobody."""

    id: int
    name: str
    audience: str
    live: bool = True
    steps: tuple[int, ...] = ()
    tag: str | None = None
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one address. `cause` is `step 3`, `tag`, `event` or `opt-in`."""

    journey: int
    audience: str
    email: str
    cause: str
    at: str


@dataclass(frozen=True, slots=True)
class Resubscription:
    """Somebody who had left, subscribed by a request: what must never happen."""

    audience: str
    email: str
    former: str
    request: str
    at: str


@dataclass(frozen=True, slots=True)
class Forbidden:
    """A call that no sync should make, whatever came of it."""

    method: str
    path: str
    at: str


@dataclass(slots=True)
class BatchRules:
    """How batches go: finished after so many `polls`, at most so many `operations` each and so many `pending`, so many results a file.

    `losing`: so many of those that finish next lose their last file of results. `lasting`: seconds for which results can be fetched
    from an address that was told.
    """

    polls: int = 4
    operations: int = 1000
    pending: int = 500
    results: int = 250
    losing: int = 0
    lasting: int = 600


@dataclass(slots=True)
class Batch:
    """Operations that were handed in to be done one after the other. `lost` has the numbers of result files that there are not."""

    id: str
    operations: list[dict[str, Any]]
    submitted: str
    status: str = "pending"
    polls: int = 0
    completed: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)


def hash_of(email: str) -> str:
    """The name of an address in paths."""
    return hashlib.md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()


class World:
    """Everything that lasts. `request` is what is being answered, for the notes; `mark` is told of every change (kind, key...).

    While it is `ignoring`, changes of a tag's members pass over every second address without a word.
    """

    def __init__(
        self, clock: Callable[[], datetime], account: str, mark: Callable[..., None] = lambda *_: None, rules: BatchRules | None = None
    ) -> None:
        self._clock = clock
        self._now = ""
        self.account = account
        self.mark = mark
        self.rules = rules or BatchRules()
        self.ignoring = False
        self.request = ""
        self.audiences: dict[str, Audience] = {}
        self.journeys: dict[int, Journey] = {}
        self.batches: dict[str, Batch] = {}
        self.results_at: dict[str, tuple[str, datetime]] = {}
        self.sent: list[Mail] = []
        self.mails: Counter[tuple[int, str]] = Counter()
        self.resubscribed: list[Resubscription] = []
        self.forbidden: list[Forbidden] = []
        self.last_web_id = 0
        self.last_id = 1000

    def now(self) -> str:
        """The instant of what is being done, as the service writes one."""
        return self._now or self.clock().isoformat(timespec="seconds")

    def at_once(self, *, begins: bool) -> None:
        """All that is done from here until that ends is done at one instant."""
        self._now = self.clock().isoformat(timespec="seconds") if begins else ""

    def clock(self) -> datetime:
        """The instant."""
        return self._clock().astimezone(UTC)

    def next_id(self) -> int:
        """The id of a new tag, field or journey."""
        self.last_id += 1
        return self.last_id

    # ------------------------------------------------------------ audiences

    def add_audience(self, id: str, name: str, *, double_optin: bool = False) -> Audience:
        """A new audience, with the merge fields that every one begins with."""
        audience = self.audiences[id] = Audience(id, name, double_optin)
        self.mark("audience", id)
        for number, (tag, title, type) in enumerate(_FIRST_FIELDS, start=1):
            self.put_field(audience, MergeField(number, tag, title, type))
        return audience

    def drop_audience(self, audience: Audience) -> None:
        del self.audiences[audience.id]
        self.mark("audience", audience.id)

    def put_field(self, audience: Audience, merge_field: MergeField) -> None:
        audience.fields[merge_field.tag] = merge_field
        self.mark("field", audience.id, merge_field.tag)

    # ------------------------------------------------------------ members

    def add_member(self, audience: Audience, email: str, status: str) -> Member:
        """Somebody new. Raises ProblemError where the address can't come (back)."""
        hash = hash_of(email)
        if hash in audience.forgotten:
            raise ProblemError("Forgotten Email Not Subscribed", email=email)
        if hash in audience.doubted:
            raise ProblemError("Invalid Resource", _DOUBTS[audience.doubted[hash]], email=email)
        self.last_web_id += 1
        now = self.now()
        member = audience.members[hash] = Member(hash, email.strip(), status, self.last_web_id, now, now)
        audience.contacts[member.contact_id] = member
        if status == "unsubscribed":
            member.unsubscribed = now
        if status == "pending":
            self.mail(CONFIRMATION, audience, member, "opt-in")
        self.mark("member", audience.id, hash)
        return member

    def touch(self, audience: Audience, member: Member) -> None:
        """Something of a member changed."""
        member.changed = self.now()
        self.mark("member", audience.id, member.hash)

    def change_status(self, audience: Audience, member: Member, status: str, *, by_hand: bool = False) -> None:
        """Another status; notes who is subscribed that had left. Whether a request may give it, `check_status` says."""
        if status == member.status:
            return
        if status == "subscribed" and member.status in AWAY and not by_hand:
            self.resubscribed.append(Resubscription(audience.id, member.email, member.status, self.request, self.now()))
            self.mark("resubscribed", len(self.resubscribed) - 1)
        member.status = status
        if status == "unsubscribed":
            member.unsubscribed = self.now()
        if status == "pending":
            self.mail(CONFIRMATION, audience, member, "opt-in")
        self.touch(audience, member)

    def check_status(self, member: Member, status: str) -> None:
        """Raises ProblemError where a request may not give a member this status."""
        if status == "subscribed" and member.status != "subscribed" and member.compliance:
            raise ProblemError("Member In Compliance State", email=member.email)

    def move(self, audience: Audience, member: Member, email: str) -> None:
        """Another address for the same person. Raises ProblemError where it is somebody's, or can't come."""
        hash = hash_of(email)
        if hash != member.hash:
            if hash in audience.members:
                raise ProblemError("Member Exists", email=email)
            if hash in audience.forgotten:
                raise ProblemError("Forgotten Email Not Subscribed", email=email)
            former = member.hash
            del audience.members[former]
            self.mark("member", audience.id, former)
            audience.members[hash] = member
            for id in member.tags:
                del audience.tags[id].members[former]
                audience.tags[id].members[hash] = None
            member.hash = hash
        member.email = email.strip()
        self.touch(audience, member)

    def forget(self, audience: Audience, member: Member) -> None:
        """Deletes somebody for good: no request brings the address back."""
        for id in member.tags:
            del audience.tags[id].members[member.hash]
        del audience.members[member.hash], audience.contacts[member.contact_id]
        audience.forgotten.add(member.hash)
        self.mark("member", audience.id, member.hash)
        self.mark("forgotten", audience.id, member.hash)

    # ------------------------------------------------------------ tags

    def tag_named(self, audience: Audience, name: str) -> Tag:
        """The tag with the name; made if there is none."""
        known = audience.names.get(name)
        if known is not None:
            return audience.tags[known]
        now = self.now()
        tag = Tag(self.next_id(), name, now, now)
        audience.tags[tag.id] = tag
        audience.names[name] = tag.id
        self.mark("tag", audience.id, tag.id)
        return tag

    def drop_tag(self, audience: Audience, tag: Tag) -> None:
        for hash in list(tag.members):
            self.untag(audience, audience.members[hash], tag)
        del audience.tags[tag.id], audience.names[tag.name]
        self.mark("tag", audience.id, tag.id)

    def tag(self, audience: Audience, member: Member, tag: Tag, *, quietly: bool = False) -> bool:
        """Puts a tag on; says whether it is new there. New ones start what they start, unless `quietly`."""
        if tag.id in member.tags:
            return False
        member.tags[tag.id] = tag.updated = self.now()
        tag.members[member.hash] = None
        self.mark("tag", audience.id, tag.id)
        self.touch(audience, member)
        if not quietly:
            self._start(audience, member, "tag", tag.name)
        return True

    def untag(self, audience: Audience, member: Member, tag: Tag) -> bool:
        """Takes a tag off; says whether it was there."""
        if tag.id not in member.tags:
            return False
        del member.tags[tag.id], tag.members[member.hash]
        tag.updated = self.now()
        self.mark("tag", audience.id, tag.id)
        self.touch(audience, member)
        return True

    # ------------------------------------------------------------ journeys

    def event(self, audience: Audience, member: Member, name: str, properties: dict[str, str], at: str, *, quietly: bool) -> None:
        """Something that a member did."""
        audience.events.append((member.hash, name, at, properties))
        self.mark("event", audience.id, len(audience.events) - 1)
        if not quietly:
            self._start(audience, member, "event", name)

    def mail(self, journey: int, audience: Audience, member: Member, cause: str) -> None:
        """A mail goes out."""
        mail = Mail(journey, audience.id, member.email.lower(), cause, self.now())
        self.sent.append(mail)
        self.mails[journey, mail.email] += 1
        self.mark("mail", len(self.sent) - 1)

    def note_forbidden(self, method: str, path: str) -> None:
        """A call that no sync should make."""
        self.forbidden.append(Forbidden(method, path, self.now()))
        self.mark("forbidden", len(self.forbidden) - 1)

    def _start(self, audience: Audience, member: Member, by: str, name: str) -> None:
        """Live automations mail a subscribed member once, however often what starts them comes."""
        for journey in self._started_by(audience, by, name):
            if member.status == "subscribed" and not self.mails[journey.id, member.email.lower()]:
                self.mail(journey.id, audience, member, by)

    def _started_by(self, audience: Audience, by: str, name: str) -> Iterator[Journey]:
        for journey in self.journeys.values():
            if journey.live and journey.audience == audience.id and name == (journey.tag if by == "tag" else journey.event):
                yield journey


_FIRST_FIELDS = (
    ("FNAME", "First Name", "text"),
    ("LNAME", "Last Name", "text"),
    ("ADDRESS", "Address", "address"),
    ("PHONE", "Phone Number", "phone"),
)
_DOUBTS = {"fake": FAKE, "busy": BUSY}
