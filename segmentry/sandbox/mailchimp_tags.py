"""The tags of an audience, which are its static segments, as requests see and change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segmentry.sandbox.mailchimp_members import is_address, member_said
from segmentry.sandbox.mailchimp_operations import Operation, audience_of, member_of, tag_of
from segmentry.sandbox.mailchimp_problems import ProblemError, invalid, not_found
from segmentry.sandbox.mailchimp_state import Audience, Member, Tag, World, hash_of

_ALSO = {"include_unsubscribed": "unsubscribed", "include_cleaned": "cleaned", "include_transactional": "transactional"}


def search_tags(world: World, call: Operation) -> Any:
    """GET /lists/{list}/tag-search: those whose name begins so."""
    audience = audience_of(world, call)
    prefix = call.params.get("name", "").lower()
    found = [{"id": tag.id, "name": tag.name} for tag in audience.tags.values() if tag.name.lower().startswith(prefix)]
    return {"tags": found, "total_items": len(found)}


def list_segments(world: World, call: Operation) -> Any:
    """GET /lists/{list}/segments: all that there are are static."""
    audience = audience_of(world, call)
    type = call.params.get("type", "static")
    if type not in ("static", "saved", "fuzzy"):
        raise invalid("type", "Value must be one of: saved, static, fuzzy")
    found = list(audience.tags.values()) if type == "static" else []
    return call.page("segments", found, lambda tag: _segment_said(audience, tag, _seen(call)), len(found), list_id=audience.id)


def read_segment(world: World, call: Operation) -> Any:
    """GET /lists/{list}/segments/{segment}."""
    audience = audience_of(world, call)
    return _segment_said(audience, tag_of(audience, call), _seen(call))


def add_segment(world: World, call: Operation) -> Any:
    """POST /lists/{list}/segments: a tag with a name of its own, on those of the addresses that are in the audience."""
    audience, said = audience_of(world, call), call.body
    if said["name"] in audience.names:
        raise ProblemError("Bad Request", "Sorry, that tag already exists.")
    tag = world.tag_named(audience, said["name"])
    for member in _members(audience, said["static_segment"]):
        world.tag(audience, member, tag)
    return _segment_said(audience, tag, _seen(call))


def drop_segment(world: World, call: Operation) -> None:
    """DELETE /lists/{list}/segments/{segment}: the tag, off everybody."""
    audience = audience_of(world, call)
    world.drop_tag(audience, tag_of(audience, call))


def change_segment(world: World, call: Operation) -> Any:
    """POST /lists/{list}/segments/{segment}: on some, off others. Addresses that are not in the audience are passed over silently."""
    audience = audience_of(world, call)
    tag, said = tag_of(audience, call), call.body
    coming, going = said.get("members_to_add", []), said.get("members_to_remove", [])
    wrong = [email for email in (*coming, *going) if not is_address(email)]
    if world.ignoring:
        coming, going = coming[::2], going[::2]
    added = [one for one in _members(audience, coming) if world.tag(audience, one, tag) or audience.says_repeats]
    removed = [one for one in _members(audience, going) if world.untag(audience, one, tag)]
    errors = [{"email_addresses": wrong, "error": "Please provide a valid email address."}] if wrong else []
    return {
        "members_added": [member_said(audience, member) for member in added],
        "members_removed": [member_said(audience, member) for member in removed],
        "errors": errors,
        "total_added": len(added),
        "total_removed": len(removed),
        "error_count": len(wrong),
    }


def list_members_of_segment(world: World, call: Operation) -> Any:
    """GET /lists/{list}/segments/{segment}/members: the subscribed, and others where they are asked for."""
    audience = audience_of(world, call)
    tag, seen = tag_of(audience, call), _seen(call)
    found = [member for member in map(audience.members.__getitem__, tag.members) if member.status in seen]
    return call.page("members", found, lambda member: member_said(audience, member), len(found))


def add_to_segment(world: World, call: Operation) -> Any:
    """POST /lists/{list}/segments/{segment}/members: one member."""
    audience = audience_of(world, call)
    tag = tag_of(audience, call)
    found = _members(audience, [call.body["email_address"]])
    if not found:
        raise not_found()
    world.tag(audience, found[0], tag)
    return member_said(audience, found[0])


def take_off_segment(world: World, call: Operation) -> None:
    """DELETE /lists/{list}/segments/{segment}/members/{member}."""
    audience = audience_of(world, call)
    tag = tag_of(audience, call)
    if not world.untag(audience, member_of(audience, call, by_hash_only=True), tag):
        raise not_found()


def _members(audience: Audience, emails: Sequence[str]) -> list[Member]:
    """Who of these is in the audience and in sight, each once."""
    hashes = dict.fromkeys(map(hash_of, emails))
    found = [audience.members.get(hash) for hash in hashes]
    return [member for member in found if member is not None and member.status != "archived"]


def _seen(call: Operation) -> frozenset[str]:
    """The statuses that count: the subscribed, and those that the parameters name."""
    return frozenset({"subscribed", *(status for name, status in _ALSO.items() if call.flag(name))})


def _segment_said(audience: Audience, tag: Tag, seen: frozenset[str]) -> dict[str, Any]:
    return {
        "id": tag.id,
        "name": tag.name,
        "member_count": sum(audience.members[hash].status in seen for hash in tag.members),
        "type": "static",
        "created_at": tag.created,
        "updated_at": tag.updated,
        "list_id": audience.id,
    }
