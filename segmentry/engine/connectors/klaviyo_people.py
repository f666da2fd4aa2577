"""Who is who at Klaviyo before anything is written: the profiles that contacts have there, and whether they want to hear from us.

A person who unsubscribed is known there by the address. An import under another address would make the same person, or the
same profile, reachable again; so both the address and the contact's own profile are looked at first, whoever is told of.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from segmentry.engine.connectors.destination import Answer, DestinationStopped, Verdict
from segmentry.engine.connectors.klaviyo_client import LIST_PROFILES, PAGE, PROFILES, Client, Endpoint, LaterError, RefusedError, Turn
from segmentry.engine.connectors.syncing import Action, Change, SyncBatch

FILTER_LENGTH = 6000
"""Characters in one filter, at most: it stands in the address that is asked for, and addresses end somewhere."""

ASKED = {"page[size]": str(PAGE), "fields[profile]": "email,external_id,subscriptions", "additional-fields[profile]": "subscriptions"}

HARMLESS = {"id": "01KPN0B0DY0000000000000000", "external_id": "nobody", "email": "nobody@example.com"}
"""A value of each kind that can be asked for, whatever is the matter with others."""

UNSUBSCRIBED = "the person unsubscribed there, or is suppressed"
FORMER = "the person unsubscribed there under the former address, or is suppressed"
OFF_THIS_LIST = "the person unsubscribed from this list"
DELETED = "the person's profile was deleted there"
CONFLICT = "the new address belongs to another profile there; merge the two in Klaviyo"
EXCHANGED = (
    "the new address is there still another contact's, who has a new one too: it is tried again after that; where two exchanged theirs,"
    " give one of them some other address in Klaviyo first"
)
OTHERS_TOO = "the profile with the former address is another contact's too: this one is put on the list anew, under its own"
NO_ADDRESS = "the contact has no address"


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile as Klaviyo tells of it. `suppressed`: why no marketing goes to it, of any list. `off`: lists it unsubscribed from."""

    id: str
    email: str | None
    external_id: str | None
    consent: str | None = None
    suppressed: str | None = None
    off: frozenset[str] = frozenset()

    @property
    def unreachable(self) -> bool:
        """Whether the person wants, or can be sent, nothing any more."""
        return self.suppressed is not None or self.consent == "unsubscribed"

    @property
    def status(self) -> str | None:
        """In one word: `subscribed`, `never_subscribed`, `unsubscribed`, `hard_bounce`."""
        return self.suppressed if self.suppressed not in (None, "unsubscribe") else "unsubscribed" if self.unreachable else self.consent


def profile_of(item: Mapping[str, Any]) -> Profile:
    """A profile from its JSON."""
    attributes = _mapping(item.get("attributes"))
    email = attributes.get("email")
    marketing = _mapping(_mapping(_mapping(attributes.get("subscriptions")).get("email")).get("marketing"))
    reasons = [str(one["reason"]).lower() for one in _mappings(marketing.get("suppression")) if "reason" in one]
    external = attributes.get("external_id")
    return Profile(
        id=str(item.get("id")),
        email=str(email).strip().lower() if email else None,
        external_id=str(external) if external else None,
        consent=str(marketing["consent"]).lower() if marketing.get("consent") else None,
        suppressed=reasons[0] if reasons else None,
        off=frozenset(str(one.get("list_id")) for one in _mappings(marketing.get("list_suppressions"))),
    )


@dataclass
class People:
    """Profiles by Klaviyo's id, by contact (`external_id`) and by address.

    `formers`: those that contacts were before they stood for another one's, by id. `astray`: contacts whose key stands at a profile that is
    another contact's by now, who had the same address once.
    """

    by_id: dict[str, Profile] = field(default_factory=dict)
    by_contact: dict[str, Profile] = field(default_factory=dict)
    by_address: dict[str, Profile] = field(default_factory=dict)
    astray: frozenset[str] = frozenset()
    formers: dict[str, Profile] = field(default_factory=dict)


def people_of(client: Client, turn: Turn, batch: SyncBatch) -> People:
    """The profiles that the changes may be about. Raises as `Client.ask`."""
    changes = batch.changes
    people = People(
        by_id={found.id: found for found in find(client, turn, "id", (change.remote_id for change in changes))},
        by_contact={
            found.external_id: found
            for found in find(client, turn, "external_id", (change.contact for change in changes))
            if found.external_id is not None
        },
        by_address={
            found.email: found for found in find(client, turn, "email", (change.address for change in changes)) if found.email is not None
        },
        formers={found.id: found for found in find(client, turn, "id", (id for change in changes for id in change.former_ids))},
    )
    return replace(people, astray=_astray(people, batch))


def _astray(people: People, batch: SyncBatch) -> frozenset[str]:
    """Contacts whose key stands at another contact's profile: one that is called so, or has the address that the profile has."""
    keyed = [(change, found) for change in batch.changes if (found := people.by_contact.get(change.contact)) is not None]
    strange = {change.contact: found for change, found in keyed if found.id != change.remote_id and found.email != change.address}
    claimed = {contact for contact, found in strange.items() if found.email in people.by_address}
    called = batch.others({contact: found.id for contact, found in strange.items()}) if strange else ()
    return frozenset(claimed.union(called))


def find(client: Client, turn: Turn, name: str, values: Iterable[str | None]) -> Iterator[Profile]:
    """The profiles that have one of the values as `id`, `external_id` or `email`; who is not there is left out."""
    yield from _found(client, turn, PROFILES, "", name, list(_parts(values)))


def listed(client: Client, turn: Turn, list_id: str, addresses: Iterable[str | None]) -> dict[str, Profile]:
    """By address, the profiles with one of the addresses that are on the list now."""
    found = _found(client, turn, LIST_PROFILES, list_id, "email", list(_parts(addresses)))
    return {one.email: one for one in found if one.email is not None}


def _found(client: Client, turn: Turn, endpoint: Endpoint, id: str, name: str, parts: list[list[str]]) -> Iterator[Profile]:
    """Asks part by part. What Klaviyo can't even be asked for, it does not have; the values beside it are asked for without it.

    But where it answers no such question at all, nobody is missing: the refusal is raised.
    """

    def asked(part: list[str]) -> list[Profile]:
        query = {**ASKED, "filter": f"any({name},[{','.join(part)}])"}
        return [profile_of(item) for page in client.pages(endpoint, turn, id=id, query=query) for item in page]

    answers = False
    while parts:
        part = parts.pop(0)
        try:
            found = asked(part)
        except RefusedError as refused:
            if refused.status != 400:
                raise
            half = len(part) // 2
            if not half and not answers:
                asked([json.dumps(HARMLESS[name])])
                answers = True
            parts[:0] = [part[:half], part[half:]] if half else []
            continue
        answers = True
        yield from found


@dataclass(frozen=True, slots=True)
class Going:
    """A change that may be made: by which identifiers the profile is known, and the profile as it was, None for a new one."""

    change: Change
    identifiers: Mapping[str, str]
    profile: Profile | None


def judge(change: Change, people: People, action: Action, list_id: str, inside: Collection[str] = ()) -> Going | Answer:
    """Whether a profile may be added, or updated: how, or why not. Removing is not judged here.

    `inside`: Klaviyo's ids of those who unsubscribed and are on the list all the same.
    """
    if not change.address:
        return Answer(Verdict.REJECTED, NO_ADDRESS, again=True)
    named, keyed, holder = (
        people.by_id.get(change.remote_id or ""),
        people.by_contact.get(change.contact),
        people.by_address.get(change.address),
    )
    own, theirs = own_of(change, people)
    if change.remote_id is not None and named is None and own is None and (change.moved or holder is None) and not change.back:
        return Answer(Verdict.LEFT, DELETED)
    strange = action is Action.UPDATE and theirs and (named in theirs or (own is None and holder is None))
    if strange and change.presumed:
        return Answer(Verdict.REJECTED, OTHERS_TOO, another=True)
    for one in (*theirs, own):
        if one is not None and one.email not in (None, change.address) and one.unreachable:
            return Answer(Verdict.LEFT, FORMER, one.id, status=one.status)
    if strange:
        return Answer(Verdict.REJECTED, OTHERS_TOO, another=True)
    if action is Action.ADD:
        refused = _left([one for one in (*theirs, own, holder) if one is not None], list_id, inside)
        if refused is not None:
            return refused
    elif own is None and holder is None:
        return Answer(Verdict.LEFT, DELETED)
    if own is not None and holder is not None and own.id != holder.id:
        if action is Action.UPDATE:
            moves_too = holder.id in people.by_id  # it is told of in the same batch
            return Answer(Verdict.REJECTED, EXCHANGED if moves_too else CONFLICT, own.id, again=True)
        return Going(change, {"id": holder.id, "email": change.address}, holder)  # the address is what is to be on the list
    target = own or holder
    # a profile that has the contact's key and is not the one that is meant keeps it, and would be taken for it
    key = {"external_id": change.contact} if keyed is None or keyed == target else {}
    return Going(change, {**({"id": target.id} if target else {}), "email": change.address, **key}, target)


def left_before(change: Change, people: People, list_id: str) -> Answer | None:
    """Whether a person left as who a contact was there before it stood for another one's. A profile that is gone may have been merged."""
    for one in (people.formers.get(id) for id in change.former_ids):
        if one is not None and (one.unreachable or list_id in one.off):
            return Answer(Verdict.LEFT, FORMER if one.unreachable else OFF_THIS_LIST, before=True)
    return None


def own_of(change: Change, people: People) -> tuple[Profile | None, list[Profile]]:
    """The profile that a contact has, by Klaviyo's id or else by its key; and those found so that are another contact's too.

    Those keep their addresses, and this one goes under its own.
    """
    named, keyed = people.by_id.get(change.remote_id or ""), people.by_contact.get(change.contact)
    theirs = [named] if named is not None and change.shared and named.email not in (None, change.address) else []
    if named is not None and not theirs:
        return named, theirs
    if keyed is None or keyed in theirs:
        return None, theirs
    return (None, [*theirs, keyed]) if change.contact in people.astray else (keyed, theirs)


def on_list_all_the_same(client: Client, turn: Turn, people: People, list_id: str) -> frozenset[str]:
    """Klaviyo's ids of those who unsubscribed while they were on the list, and are on it still. Raises as `Client.ask`."""
    known = [*people.by_id.values(), *people.by_contact.values(), *people.by_address.values()]
    members = listed(client, turn, list_id, (one.email for one in known if one.unreachable))
    return frozenset(member.id for member in members.values())


def _left(found: Sequence[Profile], list_id: str, inside: Collection[str]) -> Answer | None:
    """Who unsubscribed is put on no list, and who unsubscribed from this one alone not on this one; who is on it stays.

    Also whom this sync never told of: they may have been on the list by another's doing, and nobody could tell.
    """
    for profile in found:
        if list_id in profile.off:
            return Answer(Verdict.LEFT, OFF_THIS_LIST, profile.id, status=profile.status)
        if profile.unreachable and profile.id not in inside:
            return Answer(Verdict.LEFT, UNSUBSCRIBED, profile.id, status=profile.status)
    return None


def _parts(values: Iterable[str | None]) -> Iterator[list[str]]:
    """The values as a filter quotes them, in parts of what one filter can hold. One page holds all that a part can find."""
    part: list[str] = []
    length = 0
    for value in dict.fromkeys(values):
        if not value:
            continue
        text = json.dumps(value, ensure_ascii=False)
        if part and (len(part) == PAGE or length + len(text) > FILTER_LENGTH):
            yield part
            part, length = [], 0
        part.append(text)
        length += len(text) + 1
    if part:
        yield part


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


@dataclass(eq=False)
class _Question:
    """What one thread wants to know, and what it was told."""

    value: str
    done: bool = False
    found: Profile | None = None
    error: Exception | None = None


class Together:
    """Looks profiles up for several threads at once: whoever asks first asks for all who wait, as one filter holds many."""

    def __init__(self, client: Client, name: str) -> None:
        self._client, self._name = client, name
        self._waiting: list[_Question] = []
        self._gate, self._asking = threading.Lock(), threading.Lock()

    def find(self, turn: Turn, value: str) -> Profile | None:
        """The profile that has the value, as it is now. Raises as `Client.ask`."""
        mine = _Question(value)
        with self._gate:
            self._waiting.append(mine)
        with self._asking:
            if not mine.done:
                self._ask(turn, mine)
        if mine.error is not None:
            raise mine.error
        return mine.found

    def _ask(self, turn: Turn, mine: _Question) -> None:
        with self._gate:
            others = [question for question in self._waiting if question is not mine][: PAGE - 1]
            questions = [mine, *others]
            self._waiting = [question for question in self._waiting if question not in questions]
        try:
            profiles = {self._value(one): one for one in find(self._client, turn, self._name, (one.value for one in questions))}
        except (LaterError, RefusedError, DestinationStopped) as error:
            for question in questions:
                question.error, question.done = error, True
        else:
            for question in questions:
                question.found, question.done = profiles.get(question.value), True

    def _value(self, profile: Profile) -> str | None:
        return {"id": profile.id, "email": profile.email}.get(self._name, profile.external_id)
