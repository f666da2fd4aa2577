"""What Klaviyo is sent: plain JSON, built from contacts. Nothing in it says anything of consent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from segmentry.engine.connectors.destination import Batch, Row

OWN = frozenset("first_name last_name phone_number organization title image locale".split())
"""Fields by these names are Klaviyo's own attributes; by `location.city` and the like, parts of its `location`."""

LOCATION = frozenset("address1 address2 city country latitude longitude region zip timezone ip".split())

KEPT = frozenset({"latitude", "longitude"})
"""Parts of a location that can't be cleared: Klaviyo takes no null for them."""

Body = dict[str, Any]


def profile(identifiers: Mapping[str, str], fields: Mapping[str, Any]) -> Body:
    """A profile as an import takes it. A field without a value is cleared there: left out, it would keep the value it had.

    `identifiers`: `id` where Klaviyo's own is known, `email`, `external_id`.
    """
    attributes: Body = {name: value for name, value in identifiers.items() if name != "id"}
    location: Body = {}
    properties: Body = {}
    unset: list[str] = []
    for name, value in fields.items():
        part = name.removeprefix("location.")
        if name in OWN:
            attributes[name] = _text(value)
        elif part != name and part in LOCATION:
            if value is not None or part not in KEPT:
                location[part] = value if part in KEPT and isinstance(value, (int, float)) else _text(value)
        elif value is None:
            unset.append(name)
        else:
            properties[name] = value
    made: Body = {"type": "profile", **({"id": identifiers["id"]} if "id" in identifiers else {}), "attributes": attributes}
    if location:
        attributes["location"] = location
    if properties:
        attributes["properties"] = properties
    if unset:
        made["meta"] = {"patch_properties": {"unset": unset}}
    return made


def import_one(one: Body) -> Body:
    """The body that creates or updates one profile."""
    return {"data": one}


def import_job(profiles: Sequence[Body], list_id: str | None) -> Body:
    """The body of a job that imports profiles, and adds them to a list where there is one."""
    data: Body = {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": list(profiles)}}}
    if list_id is not None:
        data["relationships"] = {"lists": {"data": [{"type": "list", "id": list_id}]}}
    return {"data": data}


def relationships(ids: Sequence[str]) -> Body:
    """The body that names the profiles which are added to a list, or removed."""
    return {"data": [{"type": "profile", "id": id} for id in ids]}


def event(batch: Batch, row: Row, identifiers: Mapping[str, str]) -> Body:
    """The event that starts a flow. Klaviyo records the first of those with the same `unique_id`, so the same again is nothing.

    `backfill` would record it and start nothing.
    """
    fields = row.data.get("fields")
    facts = {name: value for name, value in row.data.items() if name != "fields"}
    attributes = {
        "properties": {**facts, **(fields if isinstance(fields, Mapping) else {})},
        "time": batch.at.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z",
        "unique_id": row.id,
        "backfill": False,
        "metric": {"data": {"type": "metric", "attributes": {"name": str(batch.words.get("event", batch.target))}}},
        "profile": {"data": {"type": "profile", "attributes": dict(identifiers)}},
    }
    return {"data": {"type": "event", "attributes": attributes}}


def _text(value: Any) -> str | None:
    """A value as the text that Klaviyo's own attributes are."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
