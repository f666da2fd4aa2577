"""What the Mailchimp stand-in can be asked for: the table of its operations, and how one is done."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from segmentry.sandbox import mailchimp_audiences as audiences
from segmentry.sandbox import mailchimp_batches as batches
from segmentry.sandbox import mailchimp_journeys as journeys
from segmentry.sandbox import mailchimp_members as members
from segmentry.sandbox import mailchimp_shapes as shapes
from segmentry.sandbox import mailchimp_tags as tags
from segmentry.sandbox.mailchimp_operations import Operation, projected
from segmentry.sandbox.mailchimp_problems import ProblemError
from segmentry.sandbox.mailchimp_shapes import Object, check_shape
from segmentry.sandbox.mailchimp_state import World

Handler = Callable[[World, Operation], Any]

_LIST = "/lists/{list}"
_MEMBER = f"{_LIST}/members/{{member}}"
_SEGMENT = f"{_LIST}/segments/{{segment}}"
_STEP = "/customer-journeys/journeys/{journey}/steps/{step}/actions/trigger"
_PAGE = "count offset"
_SEEN = "include_cleaned include_transactional include_unsubscribed"
_FIND = "status since_last_changed before_last_changed unsubscribed_since sort_field sort_dir"


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `params` are the parameters that it knows, `shape` is that of its body; no sync should do what is `forbidden`."""

    method: str
    path: str
    handler: Handler
    params: str = ""
    shape: Object | None = None
    forbidden: bool = False


ROUTES = (
    Route("GET", "/", audiences.read_account),
    Route("GET", "/ping", audiences.ping),
    Route("GET", "/lists", audiences.list_audiences, f"{_PAGE} include_total_contacts"),
    Route("GET", _LIST, audiences.read_audience, "include_total_contacts"),
    Route("POST", _LIST, members.write_batch, "skip_merge_validation skip_duplicate_check", shapes.BATCH_OF_MEMBERS),
    Route("DELETE", _LIST, audiences.drop_audience, forbidden=True),
    Route("GET", f"{_LIST}/merge-fields", audiences.list_fields, f"{_PAGE} type required"),
    Route("POST", f"{_LIST}/merge-fields", audiences.add_field, shape=shapes.NEW_FIELD),
    Route("GET", f"{_LIST}/members", members.list_members, f"{_PAGE} {_FIND}"),
    Route("POST", f"{_LIST}/members", members.add_member, "skip_merge_validation", shapes.NEW_MEMBER),
    Route("GET", _MEMBER, members.read_member),
    Route("PUT", _MEMBER, members.put_member, "skip_merge_validation", shapes.PUT_MEMBER),
    Route("PATCH", _MEMBER, members.patch_member, "skip_merge_validation", shapes.PATCH_MEMBER),
    Route("DELETE", _MEMBER, members.archive_member),
    Route("POST", f"{_MEMBER}/actions/delete-permanent", members.delete_for_good, forbidden=True),
    Route("GET", f"{_MEMBER}/tags", members.list_tags_of_member, _PAGE),
    Route("POST", f"{_MEMBER}/tags", members.tag_member, shape=shapes.MEMBER_TAGS),
    Route("GET", f"{_MEMBER}/events", members.list_events, _PAGE),
    Route("POST", f"{_MEMBER}/events", members.add_event, shape=shapes.MEMBER_EVENT),
    Route("GET", f"{_LIST}/tag-search", tags.search_tags, "name"),
    Route("GET", f"{_LIST}/segments", tags.list_segments, f"{_PAGE} type {_SEEN}"),
    Route("POST", f"{_LIST}/segments", tags.add_segment, shape=shapes.NEW_SEGMENT),
    Route("GET", _SEGMENT, tags.read_segment, _SEEN),
    Route("POST", _SEGMENT, tags.change_segment, shape=shapes.SEGMENT_MEMBERS),
    Route("DELETE", _SEGMENT, tags.drop_segment, forbidden=True),
    Route("GET", f"{_SEGMENT}/members", tags.list_members_of_segment, f"{_PAGE} {_SEEN}"),
    Route("POST", f"{_SEGMENT}/members", tags.add_to_segment, shape=shapes.ONE_MEMBER),
    Route("DELETE", f"{_SEGMENT}/members/{{member}}", tags.take_off_segment),
    Route("GET", "/batches", batches.list_batches, _PAGE),
    Route("POST", "/batches", batches.hand_in, shape=shapes.OPERATIONS),
    Route("GET", "/batches/{batch}", batches.read_batch),
    Route("DELETE", "/batches/{batch}", batches.cancel),
    Route("GET", "/automations", journeys.list_automations, _PAGE),
    Route("GET", "/customer-journeys/journeys", journeys.list_journeys, _PAGE),
    Route("POST", _STEP, journeys.trigger, shape=shapes.ONE_MEMBER),
)
_PATTERNS = [(route, re.compile(re.sub(r"\{([a-z]+)\}", r"(?P<\1>[^/]+)", route.path))) for route in ROUTES]


class Desk:
    """Where operations are done, those that come by themselves and those of batches. `home`: where the sandbox is."""

    def __init__(self, world: World, home: Callable[[], str]) -> None:
        self._world = world
        self._home = home

    def perform(self, method: str, path: str, params: Mapping[str, str], body: str) -> tuple[int, str]:
        """Does one; its status, and its answer as text. What is wrong with it is an answer too. Whoever calls holds the world."""
        self._world.request = f"{method} {path}"
        try:
            route, parts = find(method, path)
            self._note(route, method, path)
            _check_params(route, params)
            said = _read(route, body)
            operation = Operation(method, path, parts, params, said, self._home(), self.perform)
            content = route.handler(self._world, operation)
        except ProblemError as problem:
            return problem.status, json.dumps(problem.body(str(uuid.uuid4())), ensure_ascii=False)
        if content is None:
            return 204, ""
        return 200, json.dumps(projected(content, params), ensure_ascii=False)

    def note(self, method: str, path: str) -> None:
        """Does nothing, but remembers that it was asked for what is forbidden."""
        with suppress(ProblemError):
            self._note(find(method, path)[0], method, path)

    def _note(self, route: Route, method: str, path: str) -> None:
        if route.forbidden:
            self._world.note_forbidden(method, path)


def find(method: str, path: str) -> tuple[Route, Mapping[str, str]]:
    """The operation that a method and a path name, and the parts of the path; raises ProblemError where there is none."""
    path = path.rstrip("/") or "/"
    elsewhere = False
    for route, pattern in _PATTERNS:
        found = pattern.fullmatch(path)
        if found is not None and route.method == method:
            return route, {name: unquote(part) for name, part in found.groupdict().items()}
        elsewhere = elsewhere or found is not None
    raise ProblemError("Method Not Allowed" if elsewhere else "Resource Not Found")


def _check_params(route: Route, params: Mapping[str, str]) -> None:
    known = {*route.params.split(), "fields", "exclude_fields"}
    wrong = [(name, "Schema does not describe this parameter") for name in params if name not in known]
    if wrong:
        raise ProblemError("Invalid Resource", errors=wrong)


def _read(route: Route, body: str) -> Any:
    """What a body says, if it says what it may."""
    if route.shape is None:
        if body.strip() not in ("", "{}", "null"):
            raise ProblemError("Invalid Resource", errors=[("", "Schema describes no body")])
        return None
    try:
        said = json.loads(body)
    except ValueError:
        raise ProblemError("JSON Parse Error") from None
    check_shape(said, route.shape)
    return said
