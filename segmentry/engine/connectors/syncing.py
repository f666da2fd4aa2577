"""The seam to destinations that a segment is kept in step with: lists, tags, streams of who came and went.

A sync tells of changes, never of everybody, and what a destination acknowledged is kept by Segmentry: so a connector has no
memory of its own. Consent is never touched, and nobody who left is put back.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from segmentry.engine.connectors.destination import Answer, Destination, Others, nobody


@dataclass(frozen=True, slots=True)
class Target:
    """What of a destination a segment is kept in step with, by the segment file's own words: `list`, `tag`, or nothing more."""

    kind: str = ""
    name: str = ""

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> Target:
        """The target of `{"list": "Y6nRLr"}`; of no words, the destination itself."""
        return next((cls(kind, str(name)) for kind, name in words.items()), cls())

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.kind else "everything"


class Action(StrEnum):
    """What a sync asks for."""

    ADD = "add"
    """The contact becomes a member, and gets its fields. Whoever is a member already stays one."""
    UPDATE = "update"
    """A member's address or fields changed. Membership is not touched: whoever was taken off there stays off."""
    REMOVE = "remove"
    """A member that this sync added goes, and only from the target: nothing else of the person changes."""


KINDS: Mapping[Action, str] = {Action.ADD: "segment.entered", Action.UPDATE: "segment.updated", Action.REMOVE: "segment.exited"}
"""What happened, in the words of those who are told of it."""


THERE = "there"
"""In notes: the ids of the changes whose contacts were in the target before any was removed: who is not any more may be so by us."""


@dataclass(frozen=True, slots=True)
class Change:
    """One contact's change. `id` is lasting, as a row's; `data` as a row's, for destinations that are told what happened.

    `remote_id` is what the destination was last known to call the contact, None where it never said. `moved`: the address is
    another than that acknowledged with `remote_id`. A contact to be removed may have no address any more. `consents`: whether the
    destination's `consent` rule holds for it. `shared`: the destination calls another contact by `remote_id` too; so where the address
    is not that person's, the person is looked at (who left under it comes under no other), and is given no other address. `anew`: who is
    not there by `remote_id` any more has not left by that: somebody said so, or another contact's person may have got another address.
    `back`: somebody said so, and it is put in under whatever address it has now. `perhaps_out`: a removal of ours may have been done of
    which nobody heard: who is not in the target any more has not left by that. `perhaps_in`, of who goes: an addition of ours may have been
    done of which nobody heard, under `address`: by `remote_id` only where that is no other contact (`shared`). `former_ids`: what the
    destination was known to call the contact, before it was another one's `remote_id`. Who left under one of them is answered LEFT, with
    `before`, and nothing is made or changed. `presumed`, of who changes: it is taken for whoever had the address; where that person
    has another by now, it is answered REJECTED, with `another`. `kept`, of who goes: another segment has the person as a member; it is
    looked whether it is there, and nobody is taken out.
    """

    id: str
    contact: str
    address: str | None
    remote_id: str | None
    fields: Mapping[str, Any]
    data: Mapping[str, Any]
    consents: bool = False
    moved: bool = False
    shared: bool = False
    anew: bool = False
    back: bool = False
    perhaps_out: bool = False
    perhaps_in: bool = False
    former_ids: tuple[str, ...] = ()
    presumed: bool = False
    kept: bool = False


@dataclass
class Notes:
    """What a batch must not forget: ids of jobs that were submitted. `keep` stores it before it comes back.

    `kept` is what was kept before, also by a process that is no more; plain JSON values, without addresses. `earlier`: what was kept of
    other batches of the sync whose end nobody saw: their jobs may still do what was asked then.
    """

    kept: Mapping[str, Any] = field(default_factory=dict)
    store: Callable[[Mapping[str, Any]], None] = lambda _: None
    earlier: Sequence[Mapping[str, Any]] = ()

    def keep(self, **notes: Any) -> None:
        """Adds to what is kept."""
        self.kept = {**self.kept, **notes}
        self.store(self.kept)


@dataclass(frozen=True, slots=True)
class SyncBatch:
    """Changes of one kind to one target, in one go; `id` is stored before the first attempt, and the changes are the same at every one,
    but for a `remote_id` that was heard meanwhile.

    `segment` is whose membership it is, `at` the instant (UTC) it is of. `others` is asked where a person was found by the contact's key:
    there it may stand at a person who is another contact by now, and who gets no other address, and goes from nothing, with this one.
    """

    id: str
    segment: str
    target: Target
    action: Action
    at: datetime
    changes: tuple[Change, ...]
    others: Others = field(default=nobody, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who is in a target now, as the destination says."""

    remote_id: str
    address: str | None
    contact: str | None = None
    """The contact's key, where the destination was told it (`external_id`)."""
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """A target before it is synced: what people call it there, how many are in it, and what they should know first.

    `warnings`: that a live automation mails whoever comes in, that double opt-in is on. Each a sentence. `starts`: those of them by
    which something is set going for whoever comes in, or may be. `fields`: the names that contacts' values can have there now; None
    where any name will do.
    """

    title: str
    members: int | None = None
    warnings: tuple[str, ...] = ()
    fields: frozenset[str] | None = None
    starts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Something of a destination that could be named in a workspace: an audience, a list, a tag, a journey."""

    kind: str
    id: str
    title: str
    members: int | None = None
    notes: str = ""


class SyncDestination(Destination):
    """A destination that segments can be kept in step with.

    `sync` keeps to what `Destination.send` promises: an answer per change, in order, `before()` immediately before every
    request that writes, DestinationStopped where no change could fare better, and nothing else raised for what the other side
    does. All of it is repeat-safe: the same batch again does no harm. A job's id is kept in `notes` before it is polled, and
    where one is kept already, it is polled and not submitted again. The end of those in `notes.earlier` is awaited before it is
    looked who is there: else somebody would be taken for out, and put in by them.

    Before a member is removed, its membership is read where that can be asked: who is not there any more is answered LEFT, or SENT where
    that may be so by us (`THERE` in notes, `perhaps_out`) and the person is there still. Nobody is
    ever subscribed, unsubscribed, archived or deleted, and who is unsubscribed or was archived there is answered LEFT and not put in,
    also the first time. Who is in the target all the same may be answered SENT: they stay.
    """

    readable: ClassVar[bool] = True
    """Whether it can say who is there: where not, `members` always raises DestinationStopped."""
    notes_removals: ClassVar[bool] = False
    """Whether it keeps `THERE` in notes before it removes anybody: by it nobody was removed who is not among those."""

    @abstractmethod
    def sync(self, batch: SyncBatch, before: Callable[[], None], notes: Notes) -> Sequence[Answer]:
        """Makes the changes: an answer each, with `remote_id` and `status` where the destination says them."""

    @abstractmethod
    def members(self, target: Target) -> Iterator[Sequence[Member]]:
        """Everybody who is in the target now, page by page. Raises DestinationStopped if it can't be read."""

    @abstractmethod
    def look(self, target: Target) -> Outlook:
        """The target as it is now; nothing is made. Raises DestinationStopped if it is not there or can't be read."""

    @abstractmethod
    def places(self) -> Sequence[Place]:
        """What could be named in a workspace. Raises DestinationStopped."""
