"""The calls of Mailchimp's interface that we make, and no others: what deletes, archives or unsubscribes people does not exist here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from segmentry.engine.connectors import mailchimp_bodies as bodies
from segmentry.engine.connectors.destination import Answer, DestinationStopped, Verdict
from segmentry.engine.connectors.mailchimp_bodies import Operation, Person
from segmentry.engine.connectors.mailchimp_line import Ask, Line, RefusedError, Said, TroubleError

PAGE = 1000
PENDING = "pending"
STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")
_EVERYBODY = {"include_unsubscribed": "true", "include_cleaned": "true", "include_transactional": "true"}
OVERLAP = 50
"""So many of a page are asked for again with the next."""
_READ_AGAIN = 3
"""Times that a list is read anew where so many went meanwhile that two pages have nobody in common."""


@dataclass(frozen=True, slots=True)
class Someone:
    """A member of the audience, as far as answers say it. `tags` are ids; `all_tags`: whether those are all there are."""

    hash: str
    status: str
    address: str | None = None
    tags: frozenset[int] = frozenset()
    all_tags: bool = True
    fields: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Any) -> Someone:
        """Raises TroubleError for what doesn't say who it is."""
        if not isinstance(said, Mapping) or not isinstance(said.get("status"), str) or not isinstance(said.get("id"), str):
            raise unreadable()
        tags = frozenset(tag["id"] for tag in listed(said, "tags") if isinstance(tag, Mapping) and isinstance(tag.get("id"), int))
        fields = said.get("merge_fields")
        return cls(
            said["id"],
            said["status"],
            said.get("email_address"),
            tags,
            said.get("tags_count", len(tags)) == len(tags),
            fields if isinstance(fields, Mapping) else {},
        )


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one piece of work on an audience: how long each may be tried, in seconds, and what is asked before one that writes."""

    line: Line
    audience: str
    patience: float
    before: Callable[[], None]

    # ------------------------------------------------------------ the account

    def account(self) -> str:
        """The account's id, and so whether the key is one at all."""
        found = self._read("/", {"fields": "account_id"})
        id = found.get("account_id") if isinstance(found, Mapping) else None
        if not isinstance(id, str) or not id:
            raise unreadable()
        return id

    def audiences(self) -> Iterator[Mapping[str, Any]]:
        return self._all("/lists", "lists", {"fields": "lists.id,lists.name,lists.double_optin,lists.stats.member_count,total_items"})

    def about_audience(self) -> Mapping[str, Any]:
        found = self._here(lambda: self._read(self._list(), {"fields": "id,name,double_optin,stats.member_count"}))
        if not isinstance(found, Mapping):
            raise unreadable()
        return found

    def automations(self) -> list[Mapping[str, Any]]:
        """What starts by itself, as far as the key may see it: classic automations, and journeys. What starts each is not said."""
        found: list[Mapping[str, Any]] = []
        for path, name in (("/automations", "automations"), ("/customer-journeys/journeys", "journeys")):
            with suppress(RefusedError, DestinationStopped):
                found += self._all(path, name, {})
        return found

    # ------------------------------------------------------------ people

    def someone(self, hash: str) -> Someone | None:
        """Who is in the audience under this hash, archived or not; None for nobody."""
        try:
            found = self._read(self._member(hash), {"fields": "id,email_address,status,tags,tags_count,merge_fields"})
        except RefusedError as refused:
            if refused.problem.status == 404:
                return None
            raise
        return Someone.of(found)

    def people(self, status: str, since: datetime | None) -> Iterator[tuple[list[str], datetime | None]]:
        """The hashes of everybody with a status, those alone that changed since then: page by page, with the service's own instant."""
        params = {"status": status, "fields": "members.id,total_items"}
        if since is not None:
            params["since_last_changed"] = since.isoformat(timespec="seconds")
        for members, at in self._pages(f"{self._list()}/members", "members", params):
            yield [one["id"] for one in members if isinstance(one.get("id"), str)], at

    def add_people(self, people: Sequence[Person]) -> Mapping[str, Any]:
        """Everybody at once, by address; what became of each is in the answer."""
        params = {"skip_merge_validation": "true", "skip_duplicate_check": "true"}
        body = bodies.audience_members(people)
        found = self._here(lambda: self._write("POST", self._list(), body, bodies.AUDIENCE_MEMBERS, params).content)
        if not isinstance(found, Mapping):
            raise unreadable()
        return found

    def put_person(self, person: Person) -> Someone:
        """One of them, alone."""
        body = bodies.new_member(person)
        path, params = self._member(person.hash), {"skip_merge_validation": "true"}
        return Someone.of(self._here(lambda: self._write("PUT", path, body, bodies.NEW_MEMBER, params).content))

    def change_person(self, hash: str, fields: Mapping[str, Any], address: str | None = None) -> Someone | None:
        """Fields, and the address, of who is there; None where nobody is."""
        change = self.field_change(hash, fields, address)
        try:
            found = self._write(change.method, change.path, change.body, bodies.MEMBER, {"skip_merge_validation": "true"})
        except RefusedError as refused:
            if refused.problem.status == 404:
                return None
            raise
        return Someone.of(found.content)

    # ------------------------------------------------------------ fields

    def fields(self) -> dict[str, str]:
        """The audience's merge fields by name: what type each is of."""
        found = self._all(f"{self._list()}/merge-fields", "merge_fields", {"fields": "merge_fields.tag,merge_fields.type,total_items"})
        return {str(one.get("tag")): str(one.get("type")) for one in found}

    def add_field(self, name: str, type: str) -> None:
        self._write("POST", f"{self._list()}/merge-fields", bodies.new_field(name, type), bodies.NEW_FIELD)

    # ------------------------------------------------------------ tags

    def tags_like(self, name: str) -> list[Mapping[str, Any]]:
        """Tags whose names begin so, at least some."""
        return listed(self._here(lambda: self._read(f"{self._list()}/tag-search", {"name": name})), "tags")

    def tags(self) -> Iterator[Mapping[str, Any]]:
        """Every tag."""
        params = {"type": "static", "fields": "segments.id,segments.name,segments.member_count,total_items", **_EVERYBODY}
        return self._all(f"{self._list()}/segments", "segments", params)

    def add_tag(self, name: str) -> None:
        self._write("POST", f"{self._list()}/segments", bodies.new_tag(name), bodies.NEW_TAG)

    def tag_people(self, tag: int, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Mapping[str, Any]:
        """Puts people in a tag, which starts what waits for that, and takes others off. Who is not in the audience is passed over."""
        body = bodies.tagged(add, remove)
        found = self._write("POST", f"{self._list()}/segments/{tag}", body, bodies.TAGGED).content
        if not isinstance(found, Mapping):
            raise unreadable()
        return found

    def tags_of(self, hash: str) -> frozenset[int]:
        """The tags of somebody who has more than are said of a member."""
        found = self._all(f"{self._member(hash)}/tags", "tags", {"fields": "tags.id,total_items"})
        return frozenset(one["id"] for one in found if isinstance(one.get("id"), int))

    def tagged(self, tag: int) -> Iterator[list[Someone]]:
        """Everybody in a tag but the archived; page by page."""
        params = {**_EVERYBODY, "fields": "members.id,members.email_address,members.status,total_items"}
        listed_too = set[str]()
        for members, _ in self._pages(f"{self._list()}/segments/{tag}/members", "members", params):
            page = [Someone.of(one) for one in members]
            listed_too.update(one.hash for one in page if one.status == PENDING)
            yield page
        # of those who have yet to confirm, the service does not say that it lists them with the others
        params = {"status": PENDING, "fields": "members.id,members.email_address,members.status,members.tags,total_items"}
        for members, _ in self._pages(f"{self._list()}/members", "members", params):
            page = [one for one in map(Someone.of, members) if tag in one.tags and one.hash not in listed_too]
            if page:
                yield page

    def take_off(self, tag: int, hash: str) -> bool:
        """Takes one off a tag; False where nobody is to be taken off."""
        try:
            self._write("DELETE", f"{self._list()}/segments/{tag}/members/{quote(hash, safe='')}", None, None)
        except RefusedError as refused:
            if refused.problem.status == 404:
                return False
            raise
        return True

    def tag_quietly(self, hash: str, name: str) -> None:
        """Puts one in a tag, and starts nothing."""
        tag = self.quiet_tag(hash, name)
        self._write(tag.method, tag.path, tag.body, bodies.QUIET_TAG)

    # ------------------------------------------------------------ batches and journeys

    def quiet_tag(self, hash: str, name: str, id: str = "") -> Operation:
        """`tag_quietly`, to go in a batch."""
        return Operation(id, "POST", f"{self._member(hash)}/tags", bodies.quiet_tag(name))

    def field_change(self, hash: str, fields: Mapping[str, Any], address: str | None = None, id: str = "") -> Operation:
        """`change_person`, to go in a batch."""
        return Operation(id, "PATCH", self._member(hash), bodies.member(fields, address))

    def submit(self, operations: Sequence[Operation]) -> str:
        """Hands operations in to be done in a while; the id under which to ask."""
        return _id_of(self._write("POST", "/batches", bodies.batch(operations), bodies.BATCH).content)

    def batch(self, id: str) -> Mapping[str, Any] | None:
        """How far a batch is; None where the service knows it no more."""
        try:
            found = self._read(f"/batches/{quote(id, safe='')}", {})
        except RefusedError as refused:
            if refused.problem.status == 404:
                return None
            raise
        if not isinstance(found, Mapping):
            raise unreadable()
        return found

    def trigger(self, journey: int, step: int, address: str) -> None:
        """Starts a journey for one. A second time would mail a second time, so it is never asked again where it may have been done."""
        path = f"/customer-journeys/journeys/{int(journey)}/steps/{int(step)}/actions/trigger"
        body = bodies.trigger(address)
        bodies.check(body, bodies.TRIGGER)
        self.line.ask(Ask("POST", path, said=body, once=True), self.patience, self.before)

    # ------------------------------------------------------------ what they have in common

    def _list(self) -> str:
        return f"/lists/{quote(self.audience, safe='')}"

    def _member(self, hash: str) -> str:
        return f"{self._list()}/members/{quote(hash, safe='')}"

    def _read(self, path: str, params: Mapping[str, str]) -> Any:
        return self.line.ask(Ask("GET", path, params), self.patience).content

    def _write(self, method: str, path: str, body: Any, shape: bodies.Check | None, params: Mapping[str, str] | None = None) -> Said:
        if shape is not None:
            bodies.check(body, shape)
        return self.line.ask(Ask(method, path, params or {}, body), self.patience, self.before)

    def _here(self, call: Callable[[], Any]) -> Any:
        """A call about the audience itself: where it is not there, nothing can be done for anybody."""
        try:
            return call()
        except RefusedError as refused:
            if refused.problem.status == 404:
                raise DestinationStopped(f"there is no audience `{self.audience}` in this account") from None
            raise

    def _all(self, path: str, name: str, params: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        for page, _ in self._pages(path, name, params):
            yield from page

    def _pages(self, path: str, name: str, params: Mapping[str, str]) -> Iterator[tuple[list[Mapping[str, Any]], datetime | None]]:
        """All of a list, each once. Pages overlap: whoever goes meanwhile makes the others move up, past the end of a page."""
        seen = set[Any]()
        for _ in range(_READ_AGAIN):
            offset, together = 0, True
            while together:
                asked = {**params, "count": str(PAGE), "offset": str(offset)}
                said = self._here(partial(self.line.ask, Ask("GET", path, asked), self.patience))
                page = {one.get("id") or one.get("tag"): one for one in listed(said.content, name) if isinstance(one, Mapping)}
                together = not offset or not page or not seen.isdisjoint(page)
                yield [one for key, one in page.items() if key not in seen], said.at
                seen.update(page)
                if not page or offset + len(page) >= _total(said.content):
                    break
                offset += max(len(page) - OVERLAP, 1)
            if together:
                return


def listed(said: Any, name: str) -> list[Any]:
    """A list in an answer; an empty one where there is none."""
    found = said.get(name) if isinstance(said, Mapping) else None
    return found if isinstance(found, list) else []


def unreadable() -> TroubleError:
    """An answer that doesn't say what it must."""
    return TroubleError(Answer(Verdict.LATER, "the service answers what can't be read", maybe=True))


def names(items: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Tags by name. Where there are several of one name, the first that was made."""
    found: dict[str, int] = {}
    for one in items:
        id, name = one.get("id"), one.get("name")
        if isinstance(id, int) and isinstance(name, str):
            found[name] = min(id, found.get(name, id))
    return found


def _id_of(said: Any) -> str:
    id = said.get("id") if isinstance(said, Mapping) else None
    if not isinstance(id, str) or not id:
        raise unreadable()
    return id


def _total(said: Any) -> int:
    total = said.get("total_items") if isinstance(said, Mapping) else None
    return total if isinstance(total, int) else 0
