"""One operation of the Mailchimp stand-in, and what all have in common: finding what a path names, pages, fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from segmentry.sandbox.mailchimp_problems import invalid, not_found
from segmentry.sandbox.mailchimp_shapes import flag_of, number_of
from segmentry.sandbox.mailchimp_state import Audience, Member, Tag, World, hash_of

DEFAULT_COUNT = 10
MOST = 1000

Perform = Callable[[str, str, Mapping[str, str], str], tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Operation:
    """What was asked for, by itself or in a batch, and may be done. `parts` are the variable parts of its path.

    `home` is where the sandbox itself is (`http://...`). `perform` does another operation (method, path, parameters, body): its
    status, and its answer as text.
    """

    method: str
    path: str
    parts: Mapping[str, str]
    params: Mapping[str, str]
    body: Any
    home: str
    perform: Perform

    def flag(self, name: str) -> bool:
        """A parameter that is true or false."""
        return flag_of(self.params, name)

    def number(self, name: str, otherwise: int, most: int) -> int:
        """A parameter that is a number."""
        return number_of(self.params, name, otherwise, most)

    def instant(self, name: str) -> str | None:
        """A parameter that is an instant, as the world writes instants; None where it is not there."""
        text = self.params.get(name)
        if text is None:
            return None
        try:
            found = datetime.fromisoformat(text.replace(" ", "+"))  # an unescaped + of a zone arrives as a space
        except ValueError:
            raise invalid(name, "Schema describes a date and time") from None
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="seconds")

    def page(self, name: str, found: Iterable[Any], say: Callable[[Any], Any], total: int, **more: Any) -> dict[str, Any]:
        """The part of what was found that was asked for, each said in full."""
        offset, count = self.number("offset", 0, 10**9), self.number("count", DEFAULT_COUNT, MOST)
        return {name: [say(one) for one in islice(found, offset, offset + count)], **more, "total_items": total}


def audience_of(world: World, call: Operation) -> Audience:
    """The audience that the path names."""
    audience = world.audiences.get(call.parts["list"])
    if audience is None:
        raise not_found()
    return audience


def member_of(audience: Audience, call: Operation, *, by_hash_only: bool = False) -> Member:
    """The member that the path names: by hash and, where that is known to work, by address or contact id."""
    member = find_member(audience, call.parts["member"], by_hash_only=by_hash_only)
    if member is None:
        raise not_found()
    return member


def find_member(audience: Audience, name: str, *, by_hash_only: bool = False) -> Member | None:
    """As `member_of`, None where there is nobody."""
    member = audience.members.get(name)
    if member is not None or by_hash_only:
        return member
    if "@" in name:
        return audience.members.get(hash_of(name))
    return audience.contacts.get(name)


def tag_of(audience: Audience, call: Operation) -> Tag:
    """The tag that the path names."""
    id = call.parts["segment"]
    tag = audience.tags.get(int(id)) if id.isascii() and id.isdigit() and len(id) < 15 else None
    if tag is None:
        raise not_found()
    return tag


def projected(content: dict[str, Any], params: Mapping[str, str]) -> dict[str, Any]:
    """An answer with the `fields` that were asked for, or without `exclude_fields`."""
    wanted, unwanted = params.get("fields"), params.get("exclude_fields")
    if wanted is not None:
        content = _only(content, _tree(wanted))
    if unwanted is not None:
        content = _without(content, _tree(unwanted))
    return content


Tree = dict[str, "Tree"]


def _tree(text: str) -> Tree:
    tree: Tree = {}
    for path in filter(None, text.split(",")):
        branch = tree
        for name in path.strip().split("."):
            branch = branch.setdefault(name, {})
    return tree


def _only(value: Any, tree: Tree) -> Any:
    if not tree:
        return value
    if isinstance(value, list):
        return [_only(item, tree) for item in value]
    return dict(_kept(value, tree)) if isinstance(value, dict) else value


def _kept(value: dict[str, Any], tree: Tree) -> Iterator[tuple[str, Any]]:
    for key, inner in tree.items():
        if key in value:
            yield key, _only(value[key], inner)


def _without(value: Any, tree: Tree) -> Any:
    if isinstance(value, list):
        return [_without(item, tree) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _without(inner, tree[key]) if key in tree else inner for key, inner in value.items() if tree.get(key, True)}
