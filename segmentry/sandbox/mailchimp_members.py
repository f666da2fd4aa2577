"""The members of an audience, as requests see and change them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from segmentry.sandbox.mailchimp_operations import Operation, audience_of, find_member, member_of
from segmentry.sandbox.mailchimp_problems import ProblemError, invalid
from segmentry.sandbox.mailchimp_shapes import STATUSES
from segmentry.sandbox.mailchimp_state import Audience, Member, MergeField, World, hash_of

_ADDRESS = re.compile(r"[^@\s,;<>()\[\]]+@[^@\s,;<>()\[\].]+(\.[^@\s,;<>()\[\].]+)+")
_NO_ADDRESS = "Please provide a valid email address."
_BAD_FIELDS = "Your merge fields were invalid."
_EXISTS = '{email} is already a list member, do you want to update? please provide "update_existing":true in the request body'
_TWICE = "This email address was found more than once in the request."


# ---------------------------------------------------------------- reading


def list_members(world: World, call: Operation) -> Any:
    """GET /lists/{list}/members: who is archived only where that is asked for."""
    audience = audience_of(world, call)
    status = call.params.get("status")
    if status is not None and status not in STATUSES:
        raise invalid("status", f"Value must be one of: {', '.join(STATUSES)}")
    since, before, unsubscribed = (call.instant(f"{name}") for name in ("since_last_changed", "before_last_changed", "unsubscribed_since"))
    if unsubscribed is not None and status != "unsubscribed":
        raise invalid("unsubscribed_since", "Only the status unsubscribed goes with it")
    found = [
        member
        for member in audience.members.values()
        if (member.status == status if status else member.status != "archived")
        and (since is None or member.changed >= since)
        and (before is None or member.changed < before)
        and (unsubscribed is None or member.unsubscribed >= unsubscribed)
    ]
    if call.params.get("sort_field") == "last_changed":
        found.sort(key=lambda member: member.changed, reverse=call.params.get("sort_dir") == "DESC")
    return call.page("members", found, lambda member: member_said(audience, member), len(found), list_id=audience.id)


def read_member(world: World, call: Operation) -> Any:
    """GET /lists/{list}/members/{member}: the archived too."""
    audience = audience_of(world, call)
    return member_said(audience, member_of(audience, call))


def member_said(audience: Audience, member: Member) -> dict[str, Any]:
    """A member as answers say it."""
    names = [{"id": id, "name": audience.tags[id].name} for id in member.tags]
    said: dict[str, Any] = {
        "id": member.hash,
        "email_address": member.email,
        "unique_email_id": member.contact_id[:10],
        "contact_id": member.contact_id,
        "full_name": f"{member.fields.get('FNAME', '')} {member.fields.get('LNAME', '')}".strip(),
        "web_id": member.web_id,
        "email_type": "html",
        "status": member.status,
        "merge_fields": {tag: member.fields.get(tag, "") for tag in audience.fields},
        "timestamp_opt": member.since,
        "last_changed": member.changed,
        "language": member.language,
        "vip": member.vip,
        "tags_count": len(names),
        "tags": names,
        "list_id": audience.id,
    }
    if member.status == "unsubscribed":
        said["unsubscribe_reason"] = "N/A (Unsubscribed by an admin)"
    return said


# ---------------------------------------------------------------- writing


def write_batch(world: World, call: Operation) -> Any:
    """POST /lists/{list}: up to 500 members; what is wrong with one is said of that one, inside a 200."""
    audience, said = audience_of(world, call), call.body
    skips, forgives = call.flag("skip_merge_validation"), call.flag("skip_duplicate_check")
    created: list[Member] = []
    updated: list[Member] = []
    errors: list[dict[str, Any]] = []
    seen: set[str] = set()
    for row in said["members"]:
        email = row["email_address"]
        hash = hash_of(email)
        if hash in seen:
            if not forgives:
                errors.append(ProblemError("Bad Request", _TWICE).row(email))
            continue
        seen.add(hash)
        try:
            known = audience.members.get(hash)
            _check_known(known, email, updates=said.get("update_existing", False))
            member = _write_row(world, audience, known, row, skips_required=skips, syncs_tags=said.get("sync_tags", False))
            (created if known is None else updated).append(member)
        except ProblemError as problem:
            errors.append(problem.row(email))
    return {
        "new_members": [member_said(audience, member) for member in created],
        "updated_members": [member_said(audience, member) for member in updated],
        "errors": errors,
        "total_created": len(created),
        "total_updated": len(updated),
        "error_count": len(errors),
    }


def _check_known(known: Member | None, email: str, *, updates: bool) -> None:
    if known is not None and not updates:
        raise ProblemError("Member Exists", _EXISTS, email=email)


def add_member(world: World, call: Operation) -> Any:
    """POST /lists/{list}/members: somebody new, only."""
    audience, said = audience_of(world, call), call.body
    if hash_of(said["email_address"]) in audience.members:
        raise ProblemError("Member Exists", email=said["email_address"])
    member = _write_row(world, audience, None, said, skips_required=call.flag("skip_merge_validation"))
    return member_said(audience, member)


def put_member(world: World, call: Operation) -> Any:
    """PUT /lists/{list}/members/{member}: added, or updated if there. Somebody new must come under the hash of the address."""
    audience, said = audience_of(world, call), call.body
    member = find_member(audience, call.parts["member"])
    if member is None and call.parts["member"] not in (hash_of(said["email_address"]), said["email_address"]):
        raise invalid("email_address", "The address is not that which the path names")
    member = _write_row(world, audience, member, said, skips_required=call.flag("skip_merge_validation"))
    return member_said(audience, member)


def patch_member(world: World, call: Operation) -> Any:
    """PATCH /lists/{list}/members/{member}: what is said changes, the address too."""
    audience = audience_of(world, call)
    member = member_of(audience, call)
    _write_row(world, audience, member, call.body, skips_required=call.flag("skip_merge_validation"))
    return member_said(audience, member)


def archive_member(world: World, call: Operation) -> None:
    """DELETE /lists/{list}/members/{member}: taken out of sight, tags and all."""
    audience = audience_of(world, call)
    member = member_of(audience, call)
    if member.status == "archived":
        raise ProblemError("Method Not Allowed", "This list member cannot be removed. Please contact support.")
    world.change_status(audience, member, "archived")


def delete_for_good(world: World, call: Operation) -> None:
    """POST /lists/{list}/members/{member}/actions/delete-permanent: no request brings the address back."""
    audience = audience_of(world, call)
    world.forget(audience, member_of(audience, call))


def list_tags_of_member(world: World, call: Operation) -> Any:
    """GET /lists/{list}/members/{member}/tags."""
    audience = audience_of(world, call)
    member = member_of(audience, call, by_hash_only=True)
    found = [{"id": id, "name": audience.tags[id].name, "date_added": at} for id, at in member.tags.items()]
    return call.page("tags", found, lambda tag: tag, len(found))


def tag_member(world: World, call: Operation) -> None:
    """POST /lists/{list}/members/{member}/tags: on or off, by name. With `is_syncing`, nothing starts."""
    audience = audience_of(world, call)
    member = member_of(audience, call, by_hash_only=True)
    for said in call.body["tags"]:
        if said["status"] == "active":
            world.tag(audience, member, world.tag_named(audience, said["name"]), quietly=call.body.get("is_syncing", False))
        elif said["name"] in audience.names:
            world.untag(audience, member, world.tag_named(audience, said["name"]))


def add_event(world: World, call: Operation) -> None:
    """POST /lists/{list}/members/{member}/events: something happened. With `is_syncing`, nothing starts."""
    audience, said = audience_of(world, call), call.body
    member = member_of(audience, call)
    at = said.get("occurred_at", world.now())
    world.event(audience, member, said["name"], said.get("properties", {}), at, quietly=said.get("is_syncing", False))


def list_events(world: World, call: Operation) -> Any:
    """GET /lists/{list}/members/{member}/events, the newest first."""
    audience = audience_of(world, call)
    member = member_of(audience, call)
    found = [
        {"name": name, "occurred_at": at, "properties": properties}
        for hash, name, at, properties in reversed(audience.events)
        if hash == member.hash
    ]
    return call.page("events", found, lambda event: event, len(found))


# ---------------------------------------------------------------- one row


def is_address(email: str) -> bool:
    """Whether it can be an address at all."""
    return _ADDRESS.fullmatch(email.strip()) is not None


def _write_row(
    world: World, audience: Audience, member: Member | None, said: Mapping[str, Any], *, skips_required: bool, syncs_tags: bool = False
) -> Member:
    """Somebody new, or what is new of somebody. All that can be refused is refused before anything is changed."""
    email = said.get("email_address", member.email if member else "")
    if not is_address(email):
        raise ProblemError("Invalid Resource", _NO_ADDRESS)
    fields = _fields(audience, member.fields if member else {}, said.get("merge_fields", {}), skips_required=skips_required)
    status = said.get("status")
    if member is None:
        member = world.add_member(audience, email, said.get("status_if_new", status))
    else:
        if status is None and member.status == "archived" and audience.revives:
            status = said.get("status_if_new")
        if status is not None:
            world.check_status(member, status)
        if email.strip() != member.email:
            world.move(audience, member, email)
        if status is not None:
            world.change_status(audience, member, status)
    _write_values(world, audience, member, said, fields)
    if "tags" in said or syncs_tags:
        _write_tags(world, audience, member, said.get("tags", []), syncs=syncs_tags)
    return member


def _write_values(world: World, audience: Audience, member: Member, said: Mapping[str, Any], fields: dict[str, Any]) -> None:
    now = (fields, said.get("vip", member.vip), said.get("language", member.language))
    if now != (member.fields, member.vip, member.language):
        member.fields, member.vip, member.language = now
        world.touch(audience, member)


def _write_tags(world: World, audience: Audience, member: Member, names: list[str], *, syncs: bool) -> None:
    for name in names:
        world.tag(audience, member, world.tag_named(audience, name))
    if syncs:
        for id in [id for id in member.tags if audience.tags[id].name not in names]:
            world.untag(audience, member, audience.tags[id])


def _fields(audience: Audience, former: Mapping[str, Any], said: Mapping[str, Any], *, skips_required: bool) -> dict[str, Any]:
    """The merge fields as they become: those that there are not are passed over, "" clears."""
    now = dict(former)
    for tag, value in said.items():
        merge_field = audience.fields.get(tag)
        if merge_field is None:
            continue
        if value == "":
            now.pop(tag, None)
        else:
            now[tag] = _value(merge_field, value)
    if not skips_required:
        for tag, merge_field in audience.fields.items():
            if merge_field.required and now.get(tag, merge_field.default) == "":
                raise ProblemError("Invalid Resource", _BAD_FIELDS, errors=[(tag, "Please enter a value")])
    return now


def _value(merge_field: MergeField, value: Any) -> Any:
    fits, message = _FITS.get(merge_field.type, (lambda value: not isinstance(value, dict), "Please enter a value"))
    if not fits(value) or (merge_field.choices and value not in merge_field.choices):
        raise ProblemError("Invalid Resource", _BAD_FIELDS, errors=[(merge_field.tag, message)])
    return value if isinstance(value, dict) or merge_field.type == "number" else str(value)


def _is_like(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or re.fullmatch(r"[-+]?\d+(\.\d+)?", str(value)) is not None


_FITS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "number": (_is_number, "Please enter a number"),
    "address": (lambda value: isinstance(value, str) or {"addr1", "city", "state", "zip"} <= set(value), "Please enter a complete address"),
    "date": (_is_like(r"\d{4}-\d\d-\d\d(T.*)?|\d\d/\d\d/\d{4}"), "Please enter a date"),
    "birthday": (_is_like(r"(0[1-9]|1[0-2])/(0[1-9]|[12]\d|3[01])"), "Please enter a month (01-12) and a day (01-31)"),
    "url": (_is_like(r"https?://\S+"), "Please enter a valid URL"),
    "imageurl": (_is_like(r"https?://\S+"), "Please enter a valid URL"),
    "zip": (lambda value: re.fullmatch(r"\d{5}(-\d{4})?", str(value)) is not None, "Please enter a zip code"),
    "radio": (lambda value: isinstance(value, str), "Please choose one of the values"),
    "dropdown": (lambda value: isinstance(value, str), "Please choose one of the values"),
}
