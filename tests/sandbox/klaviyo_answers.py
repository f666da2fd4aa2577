"""Klaviyo's own description of its API, where a test run is told where it is: what it says of our answers, and of bodies that we take."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "SEGMENTRY_KLAVIYO_SPEC"
KIND = "application/vnd.api+json"


@cache
def description() -> dict[str, Any] | None:
    """The description; None where the variable is not set."""
    path = os.environ.get(VARIABLE)
    return json.loads(Path(path).read_text(encoding="utf-8")) if path else None


@cache
def _validator(pointer: str) -> Any:
    schemas = pytest.importorskip("openapi_schema_validator")
    referencing = pytest.importorskip("referencing")
    from referencing.jsonschema import DRAFT4

    told = referencing.Resource(contents=description(), specification=DRAFT4)
    registry = referencing.Registry().with_resource("urn:klaviyo", told)
    return schemas.OAS30Validator({"$ref": f"urn:klaviyo#{pointer}"}, registry=registry)


def _place(method: str, path: str) -> str | None:
    """The pointer to what is said of an operation; None where nothing is."""
    told = description()
    for pattern, methods in (told or {"paths": {}})["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path) and method.lower() in methods:
            return f"/paths/{pattern.replace('/', '~1')}/{method.lower()}"
    return None


def problems(pointer: str, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in _validator(pointer).iter_errors(value)]


def check_answer(method: str, path: str, status: int, body: bytes) -> None:
    """An answer is one that the description knows; nothing to check where there is no description."""
    place = _place(method, path)
    if place is None or not body:
        return
    code = str(status) if status < 400 else f"{status // 100}XX"
    where = f"{place}/responses/{code}/content/{KIND.replace('/', '~1')}/schema" if status < 400 else _of_errors(code)
    assert problems(where, json.loads(body)) == [], f"{method} {path} {status}"


def check_taken(method: str, path: str, body: bytes) -> None:
    """A body that we took is one that the description allows."""
    place = _place(method, path)
    if place is not None and body:
        assert problems(f"{place}/requestBody/content/{KIND.replace('/', '~1')}/schema", json.loads(body)) == [], f"{method} {path}"


def _of_errors(code: str) -> str:
    name = "ClientError" if code == "4XX" else "ServerError"
    return f"/components/responses/{name}/content/{KIND.replace('/', '~1')}/schema"
