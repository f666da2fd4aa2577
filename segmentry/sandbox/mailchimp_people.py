"""What people do at Mailchimp's own pages, beside every request: they unsubscribe, come back, put tags on by hand, set journeys live.

As methods, and as orders: `POST /sandbox/people` takes `{"do": "unsubscribe", "email": "ada@example.com"}`, with the method's other
arguments beside it; `email` may be a list.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Literal

from segmentry.errors import SegmentryError
from segmentry.sandbox.mailchimp_operations import find_member
from segmentry.sandbox.mailchimp_problems import ProblemError
from segmentry.sandbox.mailchimp_state import Audience, Journey, Member, World, hash_of


class People:
    """Without `audience`, each method means the first one. SegmentryError says that somebody or something is not there."""

    def __init__(self, world: World, change: Callable[[], AbstractContextManager[None]]) -> None:
        self._world = world
        self._change = change

    def unsubscribe(self, email: str, *, audience: str | None = None, compliance: bool = False) -> None:
        """Somebody wants no more mail. With `compliance`, no request can subscribe them; else one could, and must not."""
        self._leave(email, audience, "unsubscribed", compliance=compliance)

    def clean(self, email: str, *, audience: str | None = None, compliance: bool = True) -> None:
        """An address bounced for good."""
        self._leave(email, audience, "cleaned", compliance=compliance)

    def archive(self, email: str, *, audience: str | None = None) -> None:
        """Somebody is put out of sight."""
        self._leave(email, audience, "archived", compliance=None)

    def subscribe(self, email: str, *, audience: str | None = None) -> None:
        """Somebody signs up, whatever was before: also who was deleted for good comes back by the own hand."""
        with self._change():
            found = self._audience(audience)
            hash = hash_of(email)
            if hash in found.forgotten:
                found.forgotten.discard(hash)
                self._world.mark("forgotten", found.id, hash)
            member = found.members.get(hash)
            if member is None:
                found.doubted.pop(hash, None)
                self._world.mark("doubted", found.id, hash)
                member = self._world.add_member(found, email, "subscribed")
            member.compliance = False
            self._world.change_status(found, member, "subscribed", by_hand=True)

    def forget(self, email: str, *, audience: str | None = None) -> None:
        """Somebody is deleted for good."""
        with self._change():
            found, member = self._member(email, audience)
            self._world.forget(found, member)

    def tag(self, email: str, name: str, *, audience: str | None = None) -> None:
        """A tag is put on by hand, which starts what it starts."""
        with self._change():
            found, member = self._member(email, audience)
            self._world.tag(found, member, self._world.tag_named(found, name))

    def untag(self, email: str, name: str, *, audience: str | None = None) -> None:
        """A tag is taken off by hand."""
        with self._change():
            found, member = self._member(email, audience)
            if name not in found.names:
                raise SegmentryError(f"there is no tag {name} in {found.id}")
            self._world.untag(found, member, self._world.tag_named(found, name))

    def change_address(self, email: str, to: str, *, audience: str | None = None) -> None:
        """Somebody has another address."""
        with self._change():
            found, member = self._member(email, audience)
            try:
                self._world.move(found, member, to)
            except ProblemError as problem:
                raise SegmentryError(problem.detail) from None

    def doubt(self, email: str, *, because: Literal["fake", "busy"] = "fake", audience: str | None = None) -> None:
        """The service takes an address for no real one, or for one that signs up too often: it can't be added."""
        with self._change():
            found = self._audience(audience)
            found.doubted[hash_of(email)] = because
            self._world.mark("doubted", found.id, hash_of(email))

    def automation(self, tag: str = "", *, event: str = "", live: bool = True, audience: str | None = None) -> int:
        """An automation that a tag or an event starts, set live or paused; made if there is none. Its id."""
        with self._change():
            found = self._audience(audience)
            wanted = (found.id, tag or None, event or None)
            known = (one for one in self._world.journeys.values() if (one.audience, one.tag, one.event) == wanted)
            journey = next(known, None) or Journey(self._world.next_id(), tag or event, *wanted[:1], tag=wanted[1], event=wanted[2])
            return self._set(journey, live=live)

    def journey(self, journey: int, step: int, *, live: bool = True, audience: str | None = None) -> int:
        """A journey with a step that requests trigger, set live or paused; made if there is none. Its id."""
        with self._change():
            found = self._audience(audience)
            known = self._world.journeys.get(journey) or Journey(journey, f"Journey {journey}", found.id)
            known.steps = tuple(sorted({*known.steps, step}))
            return self._set(known, live=live)

    def add_audience(self, id: str, name: str, *, double_optin: bool = False) -> None:
        """One more audience."""
        with self._change():
            self._world.add_audience(id, name, double_optin=double_optin)

    def order(self, said: Any) -> None:
        """Does what an order says. Raises SegmentryError for one that it does not understand."""
        if not isinstance(said, dict) or said.get("do") not in ORDERS:
            raise SegmentryError(f"an order says `do`: one of {', '.join(ORDERS)}")
        arguments = {name: value for name, value in said.items() if name != "do"}
        method = getattr(self, said["do"])
        for each in _each(arguments):
            try:
                inspect.signature(method).bind(**each)
            except TypeError as error:
                raise SegmentryError(f"{said['do']}: {error}") from None
            wrong = [name for name, value in each.items() if not isinstance(value, _TYPES.get(name, str))]
            if wrong:
                raise SegmentryError(f"{said['do']}: {wrong[0]} is of another type")
            method(**each)

    def _leave(self, email: str, audience: str | None, status: str, *, compliance: bool | None) -> None:
        with self._change():
            found, member = self._member(email, audience)
            member.compliance = member.compliance if compliance is None else compliance
            self._world.change_status(found, member, status, by_hand=True)
            self._world.touch(found, member)

    def _audience(self, id: str | None) -> Audience:
        found = next(iter(self._world.audiences.values()), None) if id is None else self._world.audiences.get(id)
        if found is None:
            raise SegmentryError(f"there is no audience {id or ''}".rstrip())
        return found

    def _member(self, email: str, audience: str | None) -> tuple[Audience, Member]:
        found = self._audience(audience)
        member = find_member(found, email)
        if member is None:
            raise SegmentryError(f"{email} is not in {found.id}")
        return found, member

    def _set(self, journey: Journey, *, live: bool) -> int:
        journey.live = live
        self._world.journeys[journey.id] = journey
        self._world.mark("journey", journey.id)
        return journey.id


ORDERS = (
    *("unsubscribe", "clean", "archive", "subscribe", "forget", "tag", "untag", "change_address"),
    *("doubt", "automation", "journey", "add_audience"),
)
_TYPES = {"compliance": bool, "live": bool, "double_optin": bool, "journey": int, "step": int}


def _each(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    email = arguments.get("email")
    if isinstance(email, list):
        yield from ({**arguments, "email": one} for one in email)
    else:
        yield arguments
