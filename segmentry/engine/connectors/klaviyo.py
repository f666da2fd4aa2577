"""Klaviyo: segments keep lists in step, and sequences are flows that an event starts.

Being on a list and wanting to be written to are two things there, and only the first is touched: the requests that could
change the second are not in `klaviyo_client.py`. Who is who is read before anything is written (`klaviyo_people.py`), so that
nobody who unsubscribed comes back under another address.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from segmentry.engine.connectors.destination import Answer, Batch, DestinationStopped, Row, Verdict
from segmentry.engine.connectors.klaviyo_bodies import event
from segmentry.engine.connectors.klaviyo_client import (
    ACCOUNTS,
    EVENT,
    LIST_FLOWS,
    LIST_PROFILES,
    LIST_SIZE,
    LISTS,
    Client,
    ForbiddenError,
    LaterError,
    RefusedError,
    Turn,
)
from segmentry.engine.connectors.klaviyo_importing import upsert
from segmentry.engine.connectors.klaviyo_people import ASKED, DELETED, FORMER, NO_ADDRESS, UNSUBSCRIBED, Profile, Together, profile_of
from segmentry.engine.connectors.klaviyo_removing import remove
from segmentry.engine.connectors.klaviyo_work import Work, list_gone, rejected
from segmentry.engine.connectors.registry import Context
from segmentry.engine.connectors.settings import KlaviyoSettings
from segmentry.engine.connectors.syncing import Action, Member, Notes, Outlook, Place, SyncBatch, SyncDestination, Target
from segmentry.engine.connectors.wire import Wire, is_address
from segmentry.errors import DestinationError

SEND_PATIENCE = 75.0
SYNC_PATIENCE = 300.0
LOOK_PATIENCE = 90.0
"""Seconds that one call may wait in all: for a pace, for being throttled, for a job's end. A minute that is used up is waited for."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class KlaviyoDestination(SyncDestination):
    """A Klaviyo account, over connections that are kept."""

    notes_removals = True

    def __init__(
        self,
        settings: KlaviyoSettings,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        patience: float = SYNC_PATIENCE,
    ) -> None:
        self.traits = settings.traits
        self._patience = patience
        connections = settings.traits.parallel + settings.sync_traits.parallel
        wire = Wire(connections=connections, allow_private=_is_here(settings.url))
        self._client = Client(settings.url, settings.key, wire, timeout=settings.seconds, now=now, sleep=sleep)
        self._by_contact, self._by_address = Together(self._client, "external_id"), Together(self._client, "email")
        self._by_id = Together(self._client, "id")
        self._account: str | None = None

    @classmethod
    def open(cls, name: str, settings: KlaviyoSettings, context: Context) -> KlaviyoDestination:  # noqa: ARG003 - the registry's call
        """Checks what only the environment could tell, the key and the address. Raises DestinationError."""
        if not (settings.key.isascii() and settings.key.isprintable()) or " " in settings.key:
            raise DestinationError(f"destination `{name}`: `key` is no Klaviyo key; a private one begins with `pk_`")
        _check_url(name, settings.url)
        return cls(settings)

    def account(self) -> str | None:
        """The account's id, as Klaviyo shows it among its settings. Raises DestinationStopped for a key that is refused."""
        if self._account is not None:
            return self._account
        try:
            answer = self._client.ask(ACCOUNTS, self._reading())
        except (LaterError, RefusedError) as error:
            raise _unreadable(error) from None
        accounts = answer.get("data")
        first = accounts[0] if isinstance(accounts, list) and accounts else None
        id = first.get("id") if isinstance(first, Mapping) else None
        if not isinstance(id, str) or not id:
            raise DestinationStopped("Klaviyo does not say whose the key is")
        self._account = id
        return id

    def place(self) -> str:
        """All of the account: whoever left a list of it has left that, by whatever name."""
        return f"account {self.account()}"

    def send(self, batch: Batch, before: Callable[[], None]) -> Sequence[Answer]:
        return [self._tell(batch, row, before) for row in batch.rows]

    def sync(self, batch: SyncBatch, before: Callable[[], None], notes: Notes) -> Sequence[Answer]:
        work = Work(self._client, self._client.turn(before, self._patience), batch, notes)
        try:
            if batch.action is Action.REMOVE:
                remove(work)
            else:
                upsert(work)
        except LaterError as error:
            work.rest(Answer(Verdict.LATER, error.reason, after=error.after, maybe=error.maybe))
        except RefusedError as refused:
            if refused.status == 404:
                raise list_gone(work.list_id) from None
            work.rest(Answer(Verdict.REJECTED, _refused(refused), again=True))
        return [work.answers[change.id] for change in batch.changes]

    def members(self, target: Target) -> Iterator[Sequence[Member]]:
        client = self._client
        try:
            # a long list takes longer than any patience; what is waited for is one page
            for page in client.pages(LIST_PROFILES, Turn(_nothing, float("inf")), id=target.name, query=ASKED):
                found = map(profile_of, page)
                yield [Member(one.id, one.email, one.external_id, one.status) for one in found]
        except (LaterError, RefusedError) as error:
            raise _unreadable(error, target) from None

    def look(self, target: Target) -> Outlook:
        try:
            asked = {"additional-fields[list]": "profile_count"}
            answer = self._client.ask(LIST_SIZE, self._reading(), id=target.name, query=asked)
            flows = self._warnings(target)
        except (LaterError, RefusedError) as error:
            raise _unreadable(error, target) from None
        attributes = _attributes(answer.get("data"))
        double = attributes.get("opt_in_process") == "double_opt_in"
        opt_in = ["double opt-in is on: it asks people who subscribe there, and nobody who is added from here"] if double else []
        count = attributes.get("profile_count")
        title, size = str(attributes.get("name") or target.name), count if isinstance(count, int) else None
        return Outlook(title, size, (*flows, *opt_in), starts=tuple(flows))

    def places(self) -> Sequence[Place]:
        try:
            pages = list(self._client.pages(LISTS, self._reading(), query={"page[size]": "10"}))
        except (LaterError, RefusedError) as error:
            raise _unreadable(error) from None
        found = [Place("list", str(item.get("id")), str(_attributes(item).get("name") or "")) for page in pages for item in page]
        return sorted(found, key=lambda place: (place.title.lower(), place.id))

    def close(self) -> None:
        self._client.close()

    def _reading(self) -> Turn:
        return self._client.turn(_nothing, LOOK_PATIENCE)

    def _tell(self, batch: Batch, row: Row, before: Callable[[], None]) -> Answer:
        """Tells of one enrollment, to people who may be told: the contact as it is known there, and whoever has the address."""
        if not row.address:
            return Answer(Verdict.REJECTED, NO_ADDRESS, again=True)
        turn = self._client.turn(before, SEND_PATIENCE)
        try:
            own, holder = self._by_contact.find(turn, row.contact), self._by_address.find(turn, row.address)
            refused = _may_not_hear(row.address, own, holder) or self._left_before(turn, row, own, holder)
            if refused is not None:
                return refused
            self._client.ask(EVENT, turn, body=event(batch, row, _identifiers(batch, row, own, holder)))
        except LaterError as error:
            return Answer(Verdict.LATER, error.reason, after=error.after, maybe=error.maybe)
        except RefusedError as error:
            return rejected(next(iter(error.problems), {}), error.status)
        return Answer(Verdict.SENT)

    def _left_before(self, turn: Turn, row: Row, own: Profile | None, holder: Profile | None) -> Answer | None:
        """The refusal of somebody who unsubscribed as what the contact was called before, or under an address that it had."""
        seen = {one.id for one in (own, holder) if one is not None}
        named = {id: self._by_id.find(turn, id) for id in row.remote_ids if id not in seen}
        addressed = [self._by_address.find(turn, one) for one in row.formers if one != row.address]
        for one in (*named.values(), *addressed):
            if one is not None and one.email not in (None, row.address) and one.unreachable:
                return Answer(Verdict.REJECTED, FORMER, one.id, status=one.status)
        if own is None and holder is None and None in named.values():
            return Answer(Verdict.REJECTED, DELETED)
        return None

    def _warnings(self, target: Target) -> list[str]:
        """What is live and starts for whoever comes onto the list."""
        try:
            pages = list(self._client.pages(LIST_FLOWS, self._reading(), id=target.name, query={}))
        except ForbiddenError:
            return ["the key may not read flows (scope flows:read): whether one starts for whoever is added is not known"]
        flows = [_attributes(item) for page in pages for item in page]
        live = [flow for flow in flows if str(flow.get("status")).lower() == "live" and not flow.get("archived")]
        return [f"the live flow `{flow.get('name')}` starts for whoever is added to it" for flow in live]


def _may_not_hear(address: str, own: Profile | None, holder: Profile | None) -> Answer | None:
    """The refusal of somebody who unsubscribed there, under this address or under the one that the contact had before."""
    if own is not None and own.email not in (None, address) and own.unreachable:
        return Answer(Verdict.REJECTED, FORMER, own.id, status=own.status)
    if holder is not None and holder.unreachable:
        return Answer(Verdict.REJECTED, UNSUBSCRIBED, holder.id, status=holder.status)
    return None


def _identifiers(batch: Batch, row: Row, own: Profile | None, holder: Profile | None) -> dict[str, str]:
    """By what the event's profile is known. The contact's key is left out where the address is another profile's already."""
    address = row.address or ""
    others = holder is not None and (own is None or own.id != holder.id) and (own is not None or holder.external_id is not None)
    # by its key, who is another contact there too would be given this one's address
    if own is not None and own.email != address:
        others = others or own.id in row.shared or bool(batch.others({row.contact: own.id}))
    return {"email": address} if others else {"email": address, "external_id": row.contact}


def _attributes(item: Any) -> Mapping[str, Any]:
    found = item.get("attributes") if isinstance(item, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _unreadable(error: LaterError | RefusedError, target: Target | None = None) -> DestinationStopped:
    """What is raised where something can't be read."""
    if isinstance(error, RefusedError):
        gone = error.status == 404 and target is not None
        return list_gone(target.name) if gone and target else DestinationStopped(_refused(error))
    return DestinationStopped(error.reason)


def _refused(error: RefusedError) -> str:
    return f"Klaviyo refuses the question ({error.status})"


def _is_here(url: str) -> bool:
    """Whether an address is this machine's: a sandbox's."""
    return urlsplit(url).hostname in LOOPBACK


def _check_url(name: str, url: str) -> None:
    """Raises DestinationError for an address that the key should not be sent to."""
    try:
        parts = urlsplit(url)
        usable = is_address(url) and bool(parts.hostname) and parts.port != 0 and parts.username is None and not parts.query
    except ValueError:
        parts, usable = urlsplit(""), False
    if not usable:
        raise DestinationError(f"destination `{name}`: `url` is not a web address; leave it out, or write that of a sandbox")
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise DestinationError(
            f"destination `{name}`: `url` must be https, as the key is sent there; only a sandbox on this machine need not"
        )


def _nothing() -> None:
    """Before requests that only read."""
