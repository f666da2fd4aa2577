"""Klaviyo's interface, as far as it is used: the endpoints in a table, and one way to ask them.

What could change somebody's consent, suppress or delete is not in the table, so nothing can ask for it: no subscription jobs,
no suppression jobs, no deletion of profiles or lists.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import stamina

from segmentry import __version__
from segmentry.engine.connectors.destination import DestinationStopped
from segmentry.engine.connectors.klaviyo_pace import Pace
from segmentry.engine.connectors.wire import NotReachedError, PrivateAddressError, Reply, UnclearError, Wire

REVISION = "2026-07-15"
"""The version of the interface that all of this is written for; Klaviyo keeps each for years."""

PAGE = 100
"""Profiles, or errors, on one page: the most there can be, where the default is 20."""

ANSWER_BYTES = 32 * 1024 * 1024
"""No page is longer: a hundred errors, each with a profile of 100 KB."""

ATTEMPTS = 10
TROUBLES = 4
"""Attempts at one request: all of them where Klaviyo asks to wait, and fewer where it has trouble."""

WAIT, LONGEST_WAIT = 1.0, 8.0
"""Seconds before the second attempt, and at most, where Klaviyo doesn't say how long."""

PATIENCE = 75.0
"""Seconds that one request waits for its moment, at most, however patient the call is: its minute has passed by then."""

SCOPES = "profiles:read profiles:write lists:read lists:write events:write accounts:read"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Something that can be asked, and how often in a second and in a minute an account may."""

    method: str
    path: str
    burst: int
    steady: int

    @property
    def writes(self) -> bool:
        return self.method != "GET"


ACCOUNTS = Endpoint("GET", "/api/accounts", 1, 15)
EVENT = Endpoint("POST", "/api/events", 350, 3500)
PROFILES = Endpoint("GET", "/api/profiles", 75, 750)
PROFILE_IMPORT = Endpoint("POST", "/api/profile-import", 75, 750)
JOBS = Endpoint("POST", "/api/profile-bulk-import-jobs", 10, 150)
JOB = Endpoint("GET", "/api/profile-bulk-import-jobs/{id}", 10, 150)
JOB_ERRORS = Endpoint("GET", "/api/profile-bulk-import-jobs/{id}/import-errors", 10, 150)
LISTS = Endpoint("GET", "/api/lists", 75, 750)
LIST = Endpoint("GET", "/api/lists/{id}", 75, 750)
LIST_SIZE = Endpoint("GET", "/api/lists/{id}", 1, 15)
LIST_FLOWS = Endpoint("GET", "/api/lists/{id}/flow-triggers", 3, 60)
LIST_PROFILES = Endpoint("GET", "/api/lists/{id}/profiles", 75, 750)
LIST_ADD = Endpoint("POST", "/api/lists/{id}/relationships/profiles", 10, 150)
LIST_REMOVE = Endpoint("DELETE", "/api/lists/{id}/relationships/profiles", 10, 150)

ENDPOINTS = (
    ACCOUNTS,
    EVENT,
    PROFILES,
    PROFILE_IMPORT,
    JOBS,
    JOB,
    JOB_ERRORS,
    LISTS,
    LIST,
    LIST_SIZE,
    LIST_FLOWS,
    LIST_PROFILES,
    LIST_ADD,
    LIST_REMOVE,
)
"""All there is. `LIST_SIZE` is `LIST` with the count asked for, which has a pace of its own."""

AGAIN: Mapping[int, bool] = {408: False, 425: False, 429: False, 500: True, 502: True, 503: False, 504: True}
"""What a second attempt may mend, and whether the first may have been applied all the same."""


class LaterError(Exception):
    """Nothing, or nothing certain, came of asking; it may another time. The text is fit to be shown. `after`: seconds asked for."""

    def __init__(self, reason: str, *, after: float | None = None, maybe: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after
        self.maybe = maybe


class _AgainError(LaterError):
    """A LaterError that another attempt within the call may mend. `throttled`: Klaviyo only asks to wait."""

    throttled = False


class _ThrottledError(_AgainError):
    """Nothing is wrong but the pace."""

    throttled = True


class ForbiddenError(DestinationStopped):
    """The key may not do this."""


class RefusedError(Exception):
    """Klaviyo finds the request wrong: its status, and its errors as it words them, which may hold addresses."""

    def __init__(self, status: int, problems: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(str(status))
        self.status = status
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Turn:
    """One call of ours that may ask many times: what is called before each request that writes, and until when it may wait."""

    before: Callable[[], None]
    until: float


class Client:
    """Asks Klaviyo, at its pace, from several threads. `now` and `sleep` go together: seconds of any one clock."""

    def __init__(
        self,
        base: str,
        key: str,
        wire: Wire,
        *,
        timeout: float,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.now = now
        self.sleep = sleep or _sleep
        self._base, self._wire, self._timeout = base.rstrip("/"), wire, timeout
        self._paces = {endpoint: Pace(endpoint.burst, endpoint.steady) for endpoint in ENDPOINTS}
        self._headers = {
            "authorization": f"Klaviyo-API-Key {key}",
            "revision": REVISION,
            "accept": "application/vnd.api+json",
            "accept-encoding": "identity",
            "user-agent": f"segmentry/{__version__}",
        }
        logging.getLogger("stamina").addFilter(_without_ours)

    def turn(self, before: Callable[[], None], patience: float) -> Turn:
        """A turn that waits at most `patience` seconds in all."""
        return Turn(before, self.now() + patience)

    def ask(
        self, endpoint: Endpoint, turn: Turn, *, id: str = "", query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """The answer's JSON. Raises LaterError, RefusedError, DestinationStopped, and whatever `turn.before` raises."""
        content = b"" if body is None else encoded(body)
        maybe, troubles = False, 0

        def wait(error: Exception) -> bool | float:
            """How long until the next attempt; no more where that is beyond our patience. A pace that is closed waits by itself."""
            nonlocal maybe, troubles
            if not isinstance(error, _AgainError):
                return False
            maybe = maybe or error.maybe
            troubles += not error.throttled
            if troubles == TROUBLES:
                return False
            left = self._patience(turn)
            return left > 0 if error.after is None else 0.001 if error.after <= left else False

        try:
            for attempt in stamina.retry_context(on=wait, attempts=ATTEMPTS, timeout=None, wait_initial=WAIT, wait_max=LONGEST_WAIT):
                with attempt:
                    answer = self._ask(endpoint, turn, _path(endpoint, id, query), content)
        except LaterError as last:
            last.maybe = last.maybe or maybe
            raise
        return answer

    def pages(self, endpoint: Endpoint, turn: Turn, *, id: str = "", query: Mapping[str, str]) -> Iterator[Sequence[Mapping[str, Any]]]:
        """Page after page of `data`, by the cursors that the answers name. Raises as `ask`."""
        seen: set[str] = set()
        asked = dict(query)
        while True:
            answer = self.ask(endpoint, turn, id=id, query=asked)
            page = _items(answer)
            if len(page) >= PAGE and not isinstance(answer.get("links"), Mapping):
                raise LaterError("Klaviyo's page does not say whether there is another")
            yield page
            cursor = _cursor(answer)
            if cursor is None:
                return
            if cursor in seen:
                raise LaterError("Klaviyo's pages have no end")
            seen.add(cursor)
            asked["page[cursor]"] = cursor

    def close(self) -> None:
        self._wire.close()

    def _ask(self, endpoint: Endpoint, turn: Turn, path: str, content: bytes) -> Mapping[str, Any]:
        pace = self._paces[endpoint]
        may, seconds = pace.book(self.now(), max(self._patience(turn), 0.0))
        if not may:
            raise LaterError("Klaviyo's limit for this account is reached for now", after=seconds)
        self._wait(seconds)
        self._wait(pace.closed(self.now()))  # asked to wait meanwhile
        headers = {**self._headers, "content-type": "application/vnd.api+json"} if content else self._headers
        if endpoint.writes:
            turn.before()
        try:
            reply = self._wire.ask(endpoint.method, self._base + path, headers, content, self._timeout, keep=ANSWER_BYTES)
        except PrivateAddressError:
            raise DestinationStopped("Klaviyo's name leads into a private network; is `url` right?") from None
        except NotReachedError as error:
            raise _unanswered(error, endpoint, maybe=False) from None
        except UnclearError as error:
            raise _unanswered(error, endpoint, maybe=endpoint.writes) from None
        pace.hear(self.now(), reply.headers)
        return self._meaning(endpoint, reply, pace)

    def _meaning(self, endpoint: Endpoint, reply: Reply, pace: Pace) -> Mapping[str, Any]:
        status, said = reply.status, _json(reply.body)
        if 200 <= status < 300:
            if said is None and not endpoint.writes:
                raise _AgainError("Klaviyo's answer is none of its own: is something between us?")
            return said or {}
        if 300 <= status < 400:
            raise DestinationStopped(f"Klaviyo's address redirects ({status}), and redirects are not followed; is `url` right?")
        if status == 401 or (status == 403 and said is not None):
            raise ForbiddenError(f"Klaviyo refuses the key ({status}); it needs to be a private key with the scopes {SCOPES}")
        if status == 410:
            raise DestinationStopped(f"Klaviyo no longer speaks the version {REVISION} of its interface (410): a newer Segmentry is needed")
        if status in (404, 405) and "{id}" not in endpoint.path:
            raise DestinationStopped(f"Klaviyo has nothing at this address ({status}); is `url` right?")
        if status == 429:
            after = _seconds(reply.headers.get("retry-after"))
            pace.close(self.now(), WAIT if after is None else after)
            raise _ThrottledError("Klaviyo asks to wait (429)", after=after)
        if status in AGAIN or status >= 500:
            maybe = endpoint.writes and AGAIN.get(status, True)
            raise _AgainError(f"Klaviyo has trouble ({status})", after=_seconds(reply.headers.get("retry-after")), maybe=maybe)
        if status == 403:
            raise LaterError("something before Klaviyo forbids it (403)")
        problems = (said or {}).get("errors")
        raise RefusedError(status, [one for one in problems if isinstance(one, Mapping)] if isinstance(problems, list) else [])

    def _patience(self, turn: Turn) -> float:
        return min(turn.until - self.now(), PATIENCE)

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self.sleep(seconds)


def encoded(body: Mapping[str, Any]) -> bytes:
    """The bytes that a body is sent as."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


def _path(endpoint: Endpoint, id: str, query: Mapping[str, str] | None) -> str:
    asked = f"?{urlencode(query, quote_via=quote)}" if query else ""
    return endpoint.path.replace("{id}", quote(id, safe="")) + asked


def _unanswered(error: Exception, endpoint: Endpoint, *, maybe: bool) -> LaterError:
    """No whole answer came. What only reads is asked again at once; what writes is for later, when more may be known."""
    kind = LaterError if endpoint.writes else _AgainError
    return kind(str(error).replace("the receiver", "Klaviyo"), maybe=maybe)


def _json(body: bytes) -> Mapping[str, Any] | None:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _items(answer: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    data = answer.get("data")
    return [item for item in data if isinstance(item, Mapping)] if isinstance(data, list) else []


def _cursor(answer: Mapping[str, Any]) -> str | None:
    """Where the next page begins. Of the link only this is taken: it can't lead the key to another host."""
    links = answer.get("links")
    link = links.get("next") if isinstance(links, Mapping) else None
    if not isinstance(link, str):
        return None
    found = parse_qs(urlsplit(link).query).get("page[cursor]")
    return found[0] if found else None


def _seconds(text: str | None) -> float | None:
    """The seconds of `Retry-After`, which Klaviyo gives as a number."""
    text = (text or "").strip()
    return min(float(text[:12]), 24 * 3600.0) if text.isascii() and text.isdigit() else None


def _without_ours(record: logging.LogRecord) -> bool:
    """Keeps our own retries out of stamina's log: they are no news, and a warning would show on everybody's terminal."""
    return not str(getattr(record, "stamina.caused_by", "")).startswith((_AgainError.__name__, _ThrottledError.__name__))
