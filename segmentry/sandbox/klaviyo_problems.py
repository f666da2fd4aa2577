"""How the Klaviyo stand-in says no, in the service's own form."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `pointer` leads to it in the body; `parameter` names what in the query it is."""

    code: str
    title: str
    detail: str
    pointer: str | None = None
    parameter: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


class RefusedError(Exception):
    """A request that is refused, with everything that is wrong with it."""

    def __init__(self, status: int, problems: Sequence[Problem], headers: Mapping[str, str] | None = None) -> None:
        super().__init__("; ".join(problem.detail for problem in problems))
        self.status = status
        self.problems = tuple(problems)
        self.headers = dict(headers or {})


def refused(status: int, code: str, title: str, detail: str, *, pointer: str | None = None, parameter: str | None = None) -> RefusedError:
    """A request with one thing wrong with it."""
    return RefusedError(status, [Problem(code, title, detail, pointer, parameter)])


def invalid(detail: str, *, pointer: str | None = None, parameter: str | None = None) -> RefusedError:
    """400: a value that can't be."""
    return refused(400, "invalid", "Invalid input.", detail, pointer=pointer, parameter=parameter)


def not_found(what: str, id: str, *, pointer: str | None = None) -> RefusedError:
    """404."""
    return refused(404, "not_found", "Not found.", f"A {what} with id {id} does not exist.", pointer=pointer)


def body_of(status: int, problems: Sequence[Problem]) -> dict[str, Any]:
    """The body that says so."""
    return {"errors": [_error(status, problem) for problem in problems]}


def _error(status: int, problem: Problem) -> dict[str, Any]:
    source = {"pointer": problem.pointer, "parameter": problem.parameter}
    return {
        "id": str(uuid.uuid4()),
        "status": status,
        "code": problem.code,
        "title": problem.title,
        "detail": problem.detail,
        "source": {name: value for name, value in source.items() if value is not None},
        "links": {},
        "meta": dict(problem.meta),
    }
