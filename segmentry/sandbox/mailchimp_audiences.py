"""The account, its audiences and their merge fields, as requests see and change them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from segmentry.sandbox.mailchimp_operations import Operation, audience_of
from segmentry.sandbox.mailchimp_problems import ProblemError
from segmentry.sandbox.mailchimp_state import Audience, MergeField, World


def read_account(world: World, _: Operation) -> Any:
    """GET /: whose key it is."""
    return {
        "account_id": world.account,
        "login_id": world.account,
        "account_name": "Segmentry sandbox",
        "email": "owner@sandbox.example",
        "role": "owner",
        "total_subscribers": sum(_counts(audience)["subscribed"] for audience in world.audiences.values()),
    }


def ping(_: World, __: Operation) -> Any:
    """GET /ping."""
    return {"health_status": "Everything's Chimpy!"}


def list_audiences(world: World, call: Operation) -> Any:
    """GET /lists."""
    total = call.flag("include_total_contacts")
    found = list(world.audiences.values())
    return call.page("lists", found, lambda audience: audience_said(audience, total=total), len(found))


def read_audience(world: World, call: Operation) -> Any:
    """GET /lists/{list}."""
    return audience_said(audience_of(world, call), total=call.flag("include_total_contacts"))


def drop_audience(world: World, call: Operation) -> None:
    """DELETE /lists/{list}: the audience with everybody in it."""
    world.drop_audience(audience_of(world, call))


def audience_said(audience: Audience, *, total: bool = False) -> dict[str, Any]:
    """An audience as answers say it: `member_count` is of the subscribed, `total_contacts` of everybody."""
    counts = _counts(audience)
    stats = {
        "member_count": counts["subscribed"],
        "unsubscribe_count": counts["unsubscribed"],
        "cleaned_count": counts["cleaned"],
        "merge_field_count": len(audience.fields),
    }
    if total:
        stats["total_contacts"] = len(audience.members) - counts["archived"]
    return {
        "id": audience.id,
        "web_id": int.from_bytes(audience.id.encode()[:4], "big"),
        "name": audience.name,
        "permission_reminder": "You asked to hear from us.",
        "double_optin": audience.double_optin,
        "has_welcome": False,
        "stats": stats,
    }


def _counts(audience: Audience) -> Counter[str]:
    return Counter(member.status for member in audience.members.values())


# ---------------------------------------------------------------- merge fields


def list_fields(world: World, call: Operation) -> Any:
    """GET /lists/{list}/merge-fields."""
    audience = audience_of(world, call)
    type, required = call.params.get("type"), call.params.get("required")
    found = [
        one
        for one in audience.fields.values()
        if (type is None or one.type == type) and (required is None or one.required == call.flag("required"))
    ]
    return call.page("merge_fields", found, lambda one: _field_said(audience, one), len(found), list_id=audience.id)


def add_field(world: World, call: Operation) -> Any:
    """POST /lists/{list}/merge-fields: a field with a tag of its own, which is made where none is given."""
    audience, said = audience_of(world, call), call.body
    id = max((one.id for one in audience.fields.values()), default=0) + 1
    tag = said.get("tag", f"MMERGE{id}").upper()
    if tag in audience.fields:
        raise ProblemError("Bad Request", f'A Merge Field with the tag "{tag}" already exists for this list.')
    options = said.get("options", {})
    made = MergeField(
        id,
        tag,
        said["name"],
        said["type"],
        required=said.get("required", False),
        default=said.get("default_value", ""),
        choices=tuple(options.get("choices", ())),
    )
    world.put_field(audience, made)
    return _field_said(audience, made)


def _field_said(audience: Audience, one: MergeField) -> dict[str, Any]:
    return {
        "merge_id": one.id,
        "tag": one.tag,
        "name": one.name,
        "type": one.type,
        "required": one.required,
        "default_value": one.default,
        "public": False,
        "display_order": one.id + 1,
        "options": {"choices": list(one.choices)} if one.choices else {},
        "help_text": "",
        "list_id": audience.id,
    }
