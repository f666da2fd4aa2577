"""What Klaviyo may be sent by us: a schema for every body, in which whatever is not named is wrong. Written apart from the code."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

TEXT = {"type": "string", "minLength": 1}
CLEARABLE = {"type": ["string", "null"]}


def exactly(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """An object with these keys, perhaps those, and no other."""
    return {"type": "object", "properties": {**required, **optional}, "required": list(required), "additionalProperties": False}


def named(type: str) -> dict[str, Any]:
    return {"const": type}


def data(of: dict[str, Any]) -> dict[str, Any]:
    return exactly({"data": of})


def some(of: dict[str, Any], most: int) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": 1, "maxItems": most}


ADDRESS = {"type": "string", "pattern": r"^[^@\s]+@[^@\s]+$"}
PLACE = {"type": ["string", "number"]}
LOCATION = exactly(
    {},
    **dict.fromkeys("address1 address2 city country region zip timezone ip".split(), CLEARABLE),
    latitude=PLACE,
    longitude=PLACE,
)
PROFILE = exactly(
    {
        "type": named("profile"),
        "attributes": exactly(
            {"email": ADDRESS},
            external_id=TEXT,
            **dict.fromkeys("first_name last_name phone_number organization title image locale".split(), CLEARABLE),
            location=LOCATION,
            properties={"type": "object", "minProperties": 1, "additionalProperties": {"not": {"type": "null"}}},
        ),
    },
    id=TEXT,
    meta=exactly({"patch_properties": exactly({"unset": some(TEXT, 1000)})}),
)
MEMBERS = data(some(exactly({"type": named("profile"), "id": TEXT}), 1000))
EVENT = exactly(
    {
        "type": named("event"),
        "attributes": exactly(
            {
                "properties": {"type": "object", "maxProperties": 400},
                "time": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
                "unique_id": TEXT,
                "backfill": {"const": False},
                "metric": data(exactly({"type": named("metric"), "attributes": exactly({"name": {**TEXT, "maxLength": 127}})})),
                "profile": data(exactly({"type": named("profile"), "attributes": exactly({"email": ADDRESS}, external_id=TEXT)})),
            }
        ),
    }
)
JOB = exactly(
    {
        "type": named("profile-bulk-import-job"),
        "attributes": exactly({"profiles": data(some(PROFILE, 10_000))}),
    },
    relationships=exactly({"lists": data({**some(exactly({"type": named("list"), "id": TEXT}), 1)})}),
)

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/api/events"): data(EVENT),
    ("POST", "/api/profile-import"): data(PROFILE),
    ("POST", "/api/profile-bulk-import-jobs"): data(JOB),
    ("POST", "/api/lists/{id}/relationships/profiles"): MEMBERS,
    ("DELETE", "/api/lists/{id}/relationships/profiles"): MEMBERS,
}
"""Every request that has a body, and all that it may say."""

SPEC = "SEGMENTRY_KLAVIYO_SPEC"


def route_of(method: str, path: str) -> tuple[str, str]:
    """The request as it stands in tables: the id of a list or a job taken out."""
    parts = path.split("?", maxsplit=1)[0].split("/")
    if parts[2:3] in (["lists"], ["profile-bulk-import-jobs"]) and len(parts) > 3:
        parts[3] = "{id}"
    return method, "/".join(parts)


def problems(method: str, path: str, body: bytes | dict[str, Any]) -> list[str]:
    """What our own schemas find wrong with a body."""
    said = json.loads(body) if isinstance(body, bytes) else body
    return [f"{error.json_path}: {error.message}"[:300] for error in _validator(route_of(method, path)).iter_errors(said)]


@cache
def _validator(route: tuple[str, str]) -> Draft202012Validator:
    return Draft202012Validator(BODIES[route], format_checker=FormatChecker())


def vendor_problems(method: str, path: str, body: bytes | dict[str, Any]) -> list[str]:
    """What Klaviyo's own description finds wrong with it; skips the test where that description is not at hand."""
    where = os.environ.get(SPEC)
    if not where:
        pytest.skip(f"{SPEC} names no file with Klaviyo's description of its interface")
    said = json.loads(body) if isinstance(body, bytes) else body
    return [f"{error.json_path}: {error.message}"[:300] for error in _vendor(where, route_of(method, path)).iter_errors(said)]


@cache
def _vendor(where: str, route: tuple[str, str]) -> OAS30Validator:
    description = json.loads(Path(where).read_text(encoding="utf-8"))
    registry = Registry().with_resource("urn:klaviyo", Resource.from_contents(description, default_specification=DRAFT4))
    method, path = route
    place = path.replace("/", "~1")
    steps = f"/paths/{place}/{method.lower()}/requestBody/content/application~1vnd.api+json/schema"
    return OAS30Validator({"$ref": f"urn:klaviyo#{steps}"}, registry=registry)
