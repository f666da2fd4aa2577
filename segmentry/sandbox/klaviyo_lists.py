"""Lists at the Klaviyo stand-in: what is said of one, who is on it, and the requests that put people there and take them off."""

from __future__ import annotations

from typing import Any

from segmentry.sandbox.klaviyo_asking import Asked, Filters, Operation, after_of, collection, only, reply, size_of, slice_of, terms_of
from segmentry.sandbox.klaviyo_problems import not_found
from segmentry.sandbox.klaviyo_profiles import ADDITIONAL, MEMBER_FIELDS, PAGED, matching, profile_of, reference, resource
from segmentry.sandbox.klaviyo_shapes import MEMBERS, NEW_LIST
from segmentry.sandbox.klaviyo_state import Flow, List
from segmentry.sandbox.serving import Reply

_FIELDS = ("id", "name", "created", "updated", "opt_in_process")
_INSTANTS = ("greater-than", "greater-or-equal", "less-than", "less-or-equal")
_LIST_FILTERS: Filters = {"name": ("equals", "any"), "id": ("equals", "any")}
_MEMBER_FILTERS: Filters = {"email": ("equals", "any"), "phone_number": ("equals", "any"), "joined_group_at": _INSTANTS}


def _list_of(asked: Asked) -> List:
    return asked.world.list_of(asked.parts["id"])


def list_resource(asked: Asked, one: List) -> dict[str, Any]:
    """What is said of a list, as far as it was asked for."""
    attributes: dict[str, Any] = {"name": one.name, "created": one.created, "updated": one.created, "opt_in_process": one.opt_in}
    attributes = only(attributes, asked.several("fields[list]"))
    if "profile_count" in (*asked.several("additional-fields[list]"), *asked.several("fields[list]")):
        attributes["profile_count"] = len(one.members)
    here = f"/api/lists/{one.id}"
    related: dict[str, Any] = {
        name: {"links": {"self": asked.link(f"{here}/relationships/{name}"), "related": asked.link(f"{here}/{name}")}}
        for name in ("profiles", "flow-triggers")
    }
    if "flow-triggers" in asked.several("include"):
        related["flow-triggers"]["data"] = [{"type": "flow", "id": flow.id} for flow in _flows_of(asked, one)]
    return {"type": "list", "id": one.id, "attributes": attributes, "relationships": related, "links": {"self": asked.link(here)}}


def _flows_of(asked: Asked, one: List) -> list[Flow]:
    return [flow for flow in asked.world.flows.values() if flow.list == one.id]


def _flow_resource(asked: Asked, flow: Flow) -> dict[str, Any]:
    attributes = {
        "name": flow.name,
        "status": flow.status,
        "archived": False,
        "created": flow.created,
        "updated": flow.created,
        "trigger_type": "Added to List",
    }
    return {"type": "flow", "id": flow.id, "attributes": attributes, "links": {"self": asked.link(f"/api/flows/{flow.id}")}}


def _create(asked: Asked) -> Reply:
    told = asked.said["data"]["attributes"]
    made = asked.world.new_list(told["name"], told.get("opt_in_process") or "single_opt_in")
    return reply(201, {"data": list_resource(asked, made), "links": {"self": asked.link(asked.path)}})


def _search(asked: Asked) -> Reply:
    found = list(asked.world.lists.values())
    for term in terms_of(asked, _LIST_FILTERS):
        found = [one for one in found if getattr(one, term.field) in term.values]
    part, further = slice_of(asked, found, 10, 10)
    flows = [_flow_resource(asked, flow) for one in part for flow in _flows_of(asked, one)]
    included = flows if "flow-triggers" in asked.several("include") else None
    return collection(asked, (list_resource(asked, one) for one in part), further, included)


def _one(asked: Asked) -> Reply:
    one = _list_of(asked)
    told: dict[str, Any] = {"data": list_resource(asked, one), "links": {"self": asked.link(asked.path)}}
    if "flow-triggers" in asked.several("include"):
        told["included"] = [_flow_resource(asked, flow) for flow in _flows_of(asked, one)]
    return reply(200, told)


def _flow_triggers(asked: Asked) -> Reply:
    return collection(asked, [_flow_resource(asked, flow) for flow in _flows_of(asked, _list_of(asked))], None)


def _delete(asked: Asked) -> Reply:
    asked.world.delete_list(_list_of(asked))
    return reply(204)


def _page_of_members(asked: Asked, one: List) -> tuple[list[str], int | None]:
    """The ids of a page of members, and the number after which there are more."""
    terms = terms_of(asked, _MEMBER_FILTERS)
    if not terms:
        return one.members.page(after_of(asked), size_of(asked, 20, 100))
    if any(term.operator in ("equals", "any") for term in terms):
        found = [profile.id for profile in matching(asked.world, terms, lambda profile, _: one.members.at.get(profile.id, profile.created))]
        ids = [id for id in found if id in one.members]
    else:
        ids = [id for id, at in one.members.at.items() if all(term.holds(at) for term in terms)]
    part, further = slice_of(asked, ids, 20, 100)
    return list(part), further


def _members(asked: Asked) -> Reply:
    one = _list_of(asked)
    ids, further = _page_of_members(asked, one)
    return collection(asked, (resource(asked, asked.world.profiles[id], joined=one.members.at[id]) for id in ids), further)


def _member_ids(asked: Asked) -> Reply:
    ids, further = _page_of_members(asked, _list_of(asked))
    return collection(asked, map(reference, ids), further)


def _add(asked: Asked) -> Reply:
    """All of them or, where one is unknown, none."""
    one = _list_of(asked)
    ids = [told["id"] for told in asked.said["data"]]
    for index, id in enumerate(ids):
        if id not in asked.world.profiles:
            raise not_found("profile", id, pointer=f"/data/{index}/id")
    for id in ids:
        asked.world.add_member(one, id)
    return reply(204)


def _remove(asked: Asked) -> Reply:
    """Who is not on the list, or not known at all, is off it already."""
    one = _list_of(asked)
    for told in asked.said["data"]:
        asked.world.remove_member(one, told["id"])
    return reply(204)


def _lists_of_profile(asked: Asked) -> Reply:
    profile = profile_of(asked)
    return collection(asked, [list_resource(asked, one) for one in asked.world.lists.values() if profile.id in one.members], None)


def _list_ids_of_profile(asked: Asked) -> Reply:
    profile = profile_of(asked)
    return collection(asked, [{"type": "list", "id": one.id} for one in asked.world.lists.values() if profile.id in one.members], None)


_SHOWN = {"fields[list]": _FIELDS}
_INCLUDE = {"include": ("flow-triggers",), "fields[flow]": ("id", "name", "status", "archived", "created", "updated", "trigger_type")}
_PEOPLE = {**PAGED, "filter": (), "sort": ("joined_group_at",)}
_MEMBER = {"fields[profile]": MEMBER_FIELDS, "additional-fields[profile]": ADDITIONAL}

OPERATIONS = (
    Operation("GET", "/api/lists", _search, "L", params={**_SHOWN, **_INCLUDE, **PAGED, "filter": ()}),
    Operation("POST", "/api/lists", _create, "M", params=_SHOWN, shape=NEW_LIST),
    Operation(
        "GET",
        "/api/lists/{id}",
        _one,
        "L",
        params={"fields[list]": (*_FIELDS, "profile_count"), **_INCLUDE, "additional-fields[list]": ("profile_count",)},
    ),
    Operation("DELETE", "/api/lists/{id}", _delete, "M", forbidden=True),
    Operation("GET", "/api/lists/{id}/flow-triggers", _flow_triggers, "S"),
    Operation("GET", "/api/lists/{id}/profiles", _members, "L", params={**_MEMBER, **_PEOPLE}),
    Operation("GET", "/api/lists/{id}/relationships/profiles", _member_ids, "L", params=_PEOPLE),
    Operation("POST", "/api/lists/{id}/relationships/profiles", _add, "M", shape=MEMBERS, largest=5 * 1024 * 1024),
    Operation("DELETE", "/api/lists/{id}/relationships/profiles", _remove, "M", shape=MEMBERS, largest=5 * 1024 * 1024),
    Operation("GET", "/api/profiles/{id}/lists", _lists_of_profile, "S", params=_SHOWN),
    Operation("GET", "/api/profiles/{id}/relationships/lists", _list_ids_of_profile, "S"),
)
