"""Who should be in which list and tag, and what must never happen there: a plain model, which knows people by their keys and addresses.

What the services' people do by hand is known exactly. What became of each request is not: so the model says of every address that
appears, stays away or goes whether it may, and in the end who must be there. People whose addresses got mixed up - several of
them with several addresses, or under several keys - are only held to what must never happen.

What no program can know, and is let be:

* that somebody went or left whom nothing had acknowledged as being there: then nobody can tell it from never having come;
* what a job or batch that was handed in does later: whoever might come when it was handed in may come by it, and must go after it;
* who has an address that was changed there by hand;
* that a profile was deleted, where an enrollment's event made the contact another one since: two profiles that were merged look so;
* what an older catalog has forgotten, or a person had forgotten or let back.

And what a service refuses: an address for which somebody made a profile at Klaviyo by hand can't become a contact's other profile's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from segmentry.sandbox.klaviyo_state import Consent
from tests.histories.model import Model
from tests.histories.records import group_of
from tests.histories.services import FRIENDS, KLAVIYO, MAILCHIMP, SERVICES, Services, friend
from tests.histories.world import Key, Row, Segment, Sync, World

Place = tuple[str, str]
"""A service, and a list or tag of it."""

SyncKey = tuple[str, str, str]
"""Of a sync: its segment, its service, and the list or tag."""


@dataclass
class Kept:
    """One sync. `answer`: what was said of those who were in at its start; `baseline`: who is let be; `ever`: addresses once wanted."""

    answer: str | None = None
    baseline: set[Key] = field(default_factory=set)
    ever: set[str] = field(default_factory=set)
    begun_anew: bool = False
    elsewhere: frozenset[Key] = frozenset()
    """Members in groups that the sync has not."""


@dataclass(frozen=True)
class Planned:
    """What hangs on when syncs were planned: the addresses that contacts had then, and who was in groups that a sync had not."""

    present: Mapping[Key, set[str]]
    elsewhere: Mapping[SyncKey, frozenset[Key]]


@dataclass(frozen=True)
class Group:
    """People and addresses that have to do with each other."""

    people: frozenset[Key]
    addresses: frozenset[str]
    merged: bool

    @property
    def muddled(self) -> bool:
        return self.merged or (len(self.people) > 1 and len(self.addresses) > 1)


@dataclass(frozen=True)
class Seen:
    """How both services are at a moment."""

    inside: Mapping[Place, Mapping[str, str]]
    coming: Mapping[Place, set[str]]
    """Addresses that were handed in, in a job or a batch which the service has not done yet: nobody can call them back."""
    consents: Mapping[str, Consent]
    profiles: frozenset[str]
    """Addresses of Klaviyo's profiles."""
    unreachable: frozenset[str]
    """Addresses of Klaviyo's profiles that can't be mailed any more."""
    audience: Mapping[str, tuple[str, str]]
    """Address and status of everybody in the audience, by contact id."""
    events: frozenset[str]
    mails: int
    counts: Mapping[str, int]


def consents(row: Row) -> bool:
    """The `consent` rule of the Mailchimp destination."""
    return row.country == "UK" or (row.spend is not None and row.spend > 2)


CONSENT = "country = 'UK' or spend > 2"


@dataclass
class SyncModel:
    """What is known of all syncs, and of what people did."""

    services: Services
    syncs: dict[SyncKey, Kept] = field(default_factory=dict)
    addresses: dict[Key, set[str]] = field(default_factory=dict)
    present: dict[Key, set[str]] = field(default_factory=dict)
    """The addresses that contacts had when a membership was last accepted: by its run, and by the files of then."""
    agreed: set[str] = field(default_factory=set)
    """Addresses under which somebody had agreed to be mailed when a run was accepted."""
    by_hand: dict[Place, set[str]] = field(default_factory=dict)
    off: dict[Place, set[str]] = field(default_factory=dict)
    """Addresses that were taken off by hand, and not put back by hand."""
    touched: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in SERVICES})
    """Addresses of those who unsubscribed, were archived, deleted, or are refused, by service."""
    left: dict[Place, set[str]] = field(default_factory=dict)
    """Addresses of those who unsubscribed, or the like, while they were in a list or tag."""
    acknowledged: Mapping[Place, set[str]] = field(default_factory=dict)
    """Addresses of whom it was heard, by the last delivery, that they are in: of nobody else can it be known that they went."""
    perhaps_off: Mapping[Place, set[str]] = field(default_factory=dict)
    """Those of them whom a removal may have taken off whose answer nobody heard."""
    known_gone: dict[Place, set[str]] = field(default_factory=dict)
    """Addresses of those who were taken off or left while that was so: they are known, and stay out under any address."""
    gone_elsewhere: dict[Place, set[str]] = field(default_factory=dict)
    """The same of those who left another list or tag: that is known of the person, and not of somebody else with the address."""
    deleted: set[str] = field(default_factory=set)
    """Addresses whose profiles somebody deleted at Klaviyo. Where an enrollment's event made the contact another one under a new address,
    nobody can tell that from two profiles that were merged there."""
    strangers: set[str] = field(default_factory=set)
    """Addresses of which somebody made a profile at Klaviyo by hand: whose profile of ours gets one of them can't have it there."""
    told_late: set[str] = field(default_factory=set)
    """Ids of enrollments that were told by an address that the person had no more."""
    let_go: set[str] = field(default_factory=set)
    """Addresses of whom nobody can know any more that they left: they were forgotten, let back, or the state is an older one."""

    def __post_init__(self) -> None:
        for service, target in self.services.targets():
            title = next((name for name, id in self.services.lists.items() if id == self.services.title(target)), None)
            name = self.services.title(target) if title is None else title.lower().replace(" ", "-")
            self.by_hand[service, target] = {friend(name, number) for number in range(FRIENDS)}

    # ------------------------------------------------------------ hands

    def leaves(self, service: str, address: str, *, seen: bool, gone: bool = True) -> None:
        """Somebody leaves a service. `seen`: whoever looks there sees it, also without having known of the person.

        `gone`: also by what another list or tag knows; but not where they are there still, under an address that nobody can tell is theirs.
        """
        self.touched[service].add(address)
        for place in self.services.targets():
            if place[0] == service and address in self.services.inside(*place).values():
                known = address in self.acknowledged.get(place, ())
                if seen or known:
                    self.left.setdefault(place, set()).add(address)
                for other in self.services.targets() if known and gone else ():
                    if other[0] == service:
                        self.gone_elsewhere.setdefault(other, set()).add(address)
                self._goes(place, address)

    def is_off(self, place: Place, address: str) -> None:
        """Somebody was taken off a list or tag. Where a removal of ours may have done it, nobody can tell who did."""
        if address in self.perhaps_off.get(place, ()):
            self.let_go.add(address)
        if address in self.acknowledged.get(place, ()):
            self.off.setdefault(place, set()).add(address)
        self._goes(place, address)

    def comes_back(self, address: str) -> None:
        """Somebody subscribes."""
        for gone in (*self.left.values(), *self.known_gone.values(), *self.gone_elsewhere.values()):
            gone.discard(address)

    def acted_on(self) -> set[str]:
        """The addresses of those who left, or were taken off."""
        return set().union(*self.off.values(), *self.left.values(), *self.known_gone.values())

    def _goes(self, place: Place, address: str) -> None:
        if address in self.acknowledged.get(place, ()):
            self.known_gone.setdefault(place, set()).add(address)
        self.by_hand[place].discard(address)

    # ------------------------------------------------------------ runs

    def note(self, model: Model, files: World, *, switched: bool, recovered: bool = False) -> None:
        """A membership was accepted, by a run or by somebody: all syncs are planned. `recovered`: by the first run after a recovery."""
        it = model.accepted
        assert it is not None
        self.know(model, files)
        self.present = {}
        for rows in (it.world.rows, files.rows):
            for key, row in rows.items():
                self.present.setdefault(key, set()).update({row.address} - {None})
        if files.deliver:
            for key, sync in self.said(files):
                if key[0] in it.members:
                    self._planned(model, files, key, sync, switched=switched, recovered=recovered)

    def note_word(self, model: Model, files: World, meant: Collection[SyncKey]) -> None:
        """Somebody said something of some syncs: these are planned anew, the others stay as the last run or word has left them."""
        self.know(model, files)
        for key, sync in self.said(files):
            if key in meant:
                self._planned(model, files, key, sync, switched=False, recovered=False)

    def planned(self) -> Planned:
        """What is planned now, for `is_planned_as`."""
        return Planned(_copied(self.present), {key: kept.elsewhere for key, kept in self.syncs.items()})

    def is_planned_as(self, then: Planned) -> None:
        """An older state was put back: what it plans is what was planned then, whatever the files say by now."""
        self.present = _copied(then.present)
        for key, elsewhere in then.elsewhere.items():
            self.syncs[key].elsewhere = elsewhere

    def know(self, model: Model, files: World) -> None:
        """By which addresses people are told of from now on: a run, or somebody's word, reads the newest files."""
        it = model.accepted
        assert it is not None
        for rows in (it.world.rows, files.rows):
            for key, row in rows.items():
                if row.address is not None:
                    self.addresses.setdefault(key, set()).add(row.address)
        for key, row in it.world.rows.items():
            if consents(row):  # as it was computed; the address is as the newest files have it
                self.agreed |= {one.address for one in (row, files.rows.get(key, row)) if one.address is not None}

    def _planned(self, model: Model, files: World, key: SyncKey, sync: Sync, *, switched: bool, recovered: bool) -> None:
        fresh = key not in self.syncs
        kept = self.syncs.setdefault(key, Kept())
        if switched:
            kept.answer, kept.begun_anew = None, True
        if kept.answer is None and sync.existing != "ask":
            self.answered(model, key, "skip" if fresh and recovered else sync.existing)
        it = model.accepted
        assert it is not None
        kept.elsewhere = _in_other_groups(model, key[0], files.segments[key[0]], sync)
        stayed = {
            person for person in kept.baseline if person in it.members[key[0]] or person not in it.world.rows or person in it.suppressed
        }
        kept.baseline &= stayed
        kept.ever |= set(self.desired(model, key).values()) - {None}

    def answered(self, model: Model, key: SyncKey, answer: str) -> None:
        """It was said what becomes of those who are in."""
        kept = self.syncs[key]
        kept.answer = answer
        if answer == "skip":
            assert model.accepted is not None
            kept.baseline |= model.accepted.members[key[0]]
        kept.ever |= set(self.desired(model, key).values()) - {None}

    def said(self, files: World) -> Iterator[tuple[SyncKey, Sync]]:
        """Every sync that the files say."""
        for name, segment in files.segments.items():
            for sync in segment.sync:
                yield (name, sync.destination, sync.target), sync

    def desired(self, model: Model, key: SyncKey) -> dict[Key, str | None]:
        """Who should be there, with their addresses."""
        it, kept = model.accepted, self.syncs[key]
        assert it is not None
        if kept.answer is None or key[0] not in it.members:
            return {}
        going = it.members[key[0]] - it.suppressed - kept.baseline - kept.elsewhere
        return {one: it.world.rows[one].address for one in going if one in it.world.rows}

    # ------------------------------------------------------------ who is who

    def groups(self, model: Model) -> dict[str, Group]:
        """Of every address with whom it has to do. Whoever two contacts were merged into has the addresses of both."""
        found: dict[str, Group] = {}
        for key, addresses in self.addresses.items():
            person = model.person(key)
            touching = {id(one): one for address, one in found.items() if address in addresses or person in one.people}.values()
            people = frozenset({person}).union(*(one.people for one in touching))
            whole = frozenset(addresses).union(*(one.addresses for one in touching))
            merged = key in model.aliases or key in model.aliases.values() or any(one.merged for one in touching)
            group = Group(people, whole, merged)
            found.update(dict.fromkeys(whole, group))
        return found

    # ------------------------------------------------------------ after a delivery

    def check_delivery(self, was: Seen, now: Seen, model: Model, files: World) -> None:
        """What a delivery did to lists and tags, to consent, to the audience."""
        groups, said = self.groups(model), {key[1:]: (key, sync) for key, sync in self.said(files)}
        for place, people in now.inside.items():
            before = was.inside[place]
            key, sync = said.get(place, (None, None))
            known = key is not None and key in self.syncs
            wanted = self.desired(model, key) if key is not None and known else {}
            for id in people.keys() & before.keys():
                same = people[id] == before[id] or people[id] in groups[before[id]].addresses
                assert same, f"{before[id]} in {place} is {people[id]} now"
            fresh = {people[id] for id in people.keys() - before.keys()} | (now.coming[place] - set(before.values()))
            for address in fresh - was.coming[place]:  # who was to come when they were handed in, may come
                self._check_added(place, address, wanted, was, groups)
            for address in {before[id] for id in before.keys() - people.keys()}:
                mirror = known and sync is not None and sync.mode == "mirror"
                goes = mirror or self._moved(address, people, groups) or self._parts(address, wanted, model)
                assert goes, f"{address} went off {place}, which is no mirror"
                self._check_gone(place, address, wanted, groups)
        self._check_consents(was, now)
        self._check_audience(was, now)

    def _check_added(self, place: Place, address: str, wanted: Mapping[Key, str | None], was: Seen, groups: Mapping[str, Group]) -> None:
        who = [key for key in wanted if address in self.addresses.get(key, ())]
        assert who, f"{address} came to {place}, and nobody who should be there has that address"
        if address in self.let_go:
            return
        assert address not in self.off.get(place, ()), f"{address} was taken off {place} by hand, and was put back"
        away = {one for one, status in was.audience.values() if status in ("unsubscribed", "cleaned", "archived")}
        ended = was.unreachable if place[0] == KLAVIYO else away
        assert address not in ended, f"{address} left, and came to {place}"
        assert address not in self.left.get(place, ()), f"{address} left {place}, and was put back"
        group = groups[address]
        if not group.muddled and not group.addresses & self.let_go:
            gone = self.known_gone.get(place, set())
            former = group.addresses & (gone | self.gone_elsewhere.get(place, set()) if len(group.people) == 1 else gone)
            if place[0] == KLAVIYO and address in was.profiles:
                former -= self.deleted
            assert not former, f"{address} came to {place}, whose person left under {former}"

    def _check_gone(self, place: Place, address: str, wanted: Mapping[Key, str | None], groups: Mapping[str, Group]) -> None:
        assert address not in self.friends(place), f"{address} was put on {place} by hand, and is gone"
        group = groups.get(address)
        if group is not None and not group.muddled:
            assert address not in wanted.values(), f"{address} should be on {place}, and was taken off"

    def _moved(self, address: str, people: Mapping[str, str], groups: Mapping[str, Group]) -> bool:
        """Whether membership may have gone to whoever was there already under another address that a person has by now."""
        group = groups.get(address)
        return group is not None and bool((group.addresses - {address}) & set(people.values()))

    def _parts(self, address: str, wanted: Mapping[Key, str | None], model: Model) -> bool:
        """Whether a contact who should be there has another address now, and the former one stays another's: it comes in anew later."""
        had = {key for key, addresses in self.addresses.items() if address in addresses}
        parting = [key for key in had if wanted.get(key) not in (None, address)]
        return any(model.person(key) != model.person(other) for key in parting for other in had)

    def friends(self, place: Place) -> set[str]:
        """Those who were put there by hand, and whom no sync ever wanted there."""
        return self.by_hand.get(place, set()) - self.wanted_ever(place)

    def wanted_ever(self, place: Place) -> set[str]:
        """The addresses that some sync once wanted there, and the others of the same contacts: they may be told of by any of them."""
        found: set[str] = set().union(*(kept.ever for key, kept in self.syncs.items() if key[1:] == place))
        return found.union(*(addresses for addresses in self.addresses.values() if addresses & found))

    def _own_others(self, address: str) -> set[str]:
        """The addresses of the contacts who have one: whoever was put in by hand may be told of elsewhere, and have another there since."""
        return set().union(*(addresses for addresses in self.addresses.values() if address in addresses))

    def _check_consents(self, was: Seen, now: Seen) -> None:
        assert set(now.consents) >= set(was.consents), "no profile is deleted"
        for id, consent in now.consents.items():
            before = was.consents.get(id, Consent())
            assert consent.state != "SUBSCRIBED" or before.state == "SUBSCRIBED", f"{id} is subscribed"
            assert set(dict(before.suppressed)) <= set(dict(consent.suppressed)), f"{id} is suppressed no more"
            assert before.can_receive or not consent.can_receive, f"{id} can be mailed again"

    def _check_audience(self, was: Seen, now: Seen) -> None:
        for id, (address, status) in now.audience.items():
            if id in was.audience:
                assert status == was.audience[id][1], f"{address} was {was.audience[id][1]} and is {status}"
                continue
            assert self.services.new_contacts == status, f"{address} came to the audience, {status}"
            assert status != "subscribed" or address in self.agreed, f"{address} is subscribed, and never agreed"
        assert set(now.audience) >= set(was.audience), "nobody is deleted"

    def check_always(self) -> None:
        """At any moment."""
        services = self.services
        assert services.klaviyo.forbidden == []
        assert services.mailchimp.forbidden == []
        assert services.mailchimp.resubscribed == []
        for place in services.targets():
            inside = set(services.inside(*place).values())
            lacking = {one for one in self.friends(place) - inside if not self._own_others(one) & inside}
            assert not lacking, f"{lacking} were put on {place} by hand, and are gone"
        ids = [event.unique_id for event in services.klaviyo.events]
        assert len(ids) == len(set(ids)), "an enrollment is two events"

    # ------------------------------------------------------------ at rest

    def check_rest(self, model: Model, files: World) -> None:
        """Nothing went wrong for a while: everybody is where they should be."""
        groups = self.groups(model)
        for key, sync in self.said(files):
            if key not in self.syncs or self.syncs[key].answer is None or model.accepted is None or key[0] not in model.accepted.members:
                continue
            wanted = self.desired(model, key)
            there = set(self.services.inside(*key[1:]).values())
            should = {one for one in wanted.values() if one is not None}
            for address in should - there:
                assert self._may_lack(key, address, groups[address], model), f"{address} is not in {key}"
            for address in there - should - self.by_hand.get(key[1:], set()):
                assert self._may_stay(key, sync, address, groups.get(address), model), f"{address} is in {key}, and should not be"
            self._check_fields(model, key, sync, wanted, groups, there)

    def _is_free(self, key: SyncKey, group: Group) -> bool:
        """Whether somebody did something that explains whatever is."""
        place, named = key[1:], group.addresses
        hands = (
            self.off.get(place, set()) | self.touched[key[1]] | self.left.get(place, set()) | self.let_go | self.by_hand.get(place, set())
        )
        return group.muddled or bool(named & hands)

    def _may_lack(self, key: SyncKey, address: str, group: Group, model: Model) -> bool:
        if self._is_free(key, group) or self.syncs[key].begun_anew or self._was_told_late(key, group, model):
            return True
        it, services = model.accepted, self.services
        if key[1] == KLAVIYO and address in self.strangers and self._moved(address, services.inside(*key[1:]), {address: group}):
            return True  # the person is there under a former address, and Klaviyo refuses the new one: two profiles are to be merged there
        assert it is not None
        if key[1] == MAILCHIMP and services.status(address) is None:
            rows = [it.world.rows[one] for one in self.desired(model, key) if it.world.rows[one].address == address]
            return services.new_contacts == "skip" or (services.new_contacts == "subscribed" and not all(map(consents, rows)))
        return False

    def _may_stay(self, key: SyncKey, sync: Sync, address: str, group: Group | None, model: Model) -> bool:
        kept, it = self.syncs[key], model.accepted
        assert it is not None
        if group is None:  # who changed the address by hand is nobody's, whatever they do then
            return address in self.touched[key[1]]
        if sync.mode == "add" and group.addresses & kept.ever:
            return True
        if kept.begun_anew and any(address in self.addresses.get(one, ()) for one in kept.baseline):
            return True  # who is let be when a sync starts anew may be in since before
        members = group.people & it.members.get(key[0], frozenset())  # also who is gone from the snapshot, while a hold keeps the segment
        unaddressed = any(one in it.world.rows and it.world.rows[one].address is None for one in members)
        return self._is_free(key, group) or unaddressed or self._was_told_late(key, group, model)

    def _was_told_late(self, key: SyncKey, group: Group, model: Model) -> bool:
        """Whether Klaviyo was told of an enrollment by an address that the person had when it was first asked, and has no more.

        The event says both who it is and the address of then, and so the profile gets that address back.
        """
        return key[1] == KLAVIYO and any(row.address in group.addresses and id in self.told_late for id, row in model.rows.items())

    def _check_fields(
        self,
        model: Model,
        key: SyncKey,
        sync: Sync,
        wanted: Mapping[Key, str | None],
        groups: Mapping[str, Group],
        there: Iterable[str],
    ) -> None:
        """What is told of those who are there alone under their address."""
        rows = model.accepted.world.rows if model.accepted is not None else {}
        for one, address in wanted.items():
            if not sync.fields or address is None or address not in there or self._is_free(key, groups[address]):
                continue
            if len(groups[address].people) == 1:
                said = self.services.told(key[1], address)
                value = rows[one].spend
                assert said == value or str(said) == str(value), f"{address} in {key} has {said}, and should have {value}"


def _copied(sets: Mapping[Key, set[str]]) -> dict[Key, set[str]]:
    return {key: set(one) for key, one in sets.items()}


def _in_other_groups(model: Model, name: str, segment: Segment, sync: Sync) -> frozenset[Key]:
    """A segment's members in groups that a sync has not."""
    it = model.accepted
    assert it is not None
    if sync.split is None:
        return frozenset()
    then = model.splits.get(name)
    return frozenset(one for one in it.members[name] if group_of(segment, then, one) not in sync.split)


def seen(services: Services) -> Seen:
    """How both services are now."""
    return Seen(
        services.everywhere(),
        services.coming(),
        {profile.id: profile.consent for profile in services.klaviyo.profiles},
        frozenset((profile.email or "").lower() for profile in services.klaviyo.profiles),
        frozenset((profile.email or "").lower() for profile in services.klaviyo.profiles if not profile.consent.can_receive),
        {one.contact_id: (one.email.lower(), one.status) for one in services.audience.members.values()},
        frozenset(event.id for event in services.klaviyo.events),
        len(services.mailchimp.world.sent),
        {name: services.requests(name) for name in SERVICES},
    )
