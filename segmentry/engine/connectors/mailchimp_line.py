"""The line to Mailchimp: one request with its key, how often it is tried, and what comes back read as JSON.

2xx                              an answer
400, 404 and other refusals      RefusedError: what it means is known to who asked
401, 403 with a word of why      DestinationStopped: no row could fare better
429, 403 without a word          too much at once: fewer at once, and again after a while
404 without a word               not of the service: as 5xx
5xx, no answer, an unclear one   again, if a second time does no harm
"""

from __future__ import annotations

import base64
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import random
from typing import Any
from urllib.parse import urlencode, urlsplit

from segmentry import __version__
from segmentry.engine.connectors.addresses import Resolve, resolve
from segmentry.engine.connectors.destination import Answer, DestinationStopped, Verdict
from segmentry.engine.connectors.mailchimp_pace import MOST, Pace
from segmentry.engine.connectors.mailchimp_reasons import Problem, shown
from segmentry.engine.connectors.wire import NotReachedError, PrivateAddressError, Reply, UnclearError, Wire

_LOG = logging.getLogger(__name__)

ANSWER = 32 * 1024 * 1024
"""The longest answer: 500 members, each said in full."""
THROTTLED = 7
"""Attempts in all where the service says that it was too much."""
TROUBLED = 3
"""The same where something else went wrong."""
LONGEST_ASKED = 60.0
"""The longest wait, in seconds, that the service may ask for within a call; what takes longer is for later."""

DATA_CENTRE = re.compile(r"[a-z]{2,4}[0-9]{1,4}")
LOCAL = ("127.0.0.1", "localhost", "::1")


class RefusedError(Exception):
    """The service refuses the request, and says what is wrong with it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"refused ({problem.status})")
        self.problem = problem


class TroubleError(Exception):
    """It came to nothing for now. `answer` is what to say of the rows that it was about."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.reason)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Ask:
    """A request. `once`: never again where it may have been done. `said` is the body, checked already."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    said: Any = None
    once: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. `at`: the instant by the service's clock, where it says one."""

    content: Any
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Setback:
    reason: str
    throttled: bool = False
    maybe: bool = False
    after: float | None = None


@dataclass(frozen=True)
class Waiting:
    """How time goes by: `clock` says the instant, `monotonic` counts seconds, `sleep` waits, `draw` gives numbers from 0 to 1."""

    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), repr=False)
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    draw: Callable[[], float] = field(default=random, repr=False)


def _may_be_done(status: int, ask: Ask, after: float | None) -> bool:
    """Whether what was asked may have been done beside such a trouble.

    A service that has no room answers 503 and says when to come again. A gateway answers so too where the way to the service
    broke after the request was through, and then what must not be done twice must not be asked for twice.
    """
    return (ask.once and after is None) if status == 503 else status >= 500


class Line:
    """A way to one account, used from several threads at once. `url`: where the service is, if not where the key says."""

    def __init__(self, key: str, url: str | None, seconds: float, waiting: Waiting, names: Resolve = resolve) -> None:
        self.waiting = waiting
        self.pace = Pace(waiting.draw)
        self.base = base_of(key, url)
        self._seconds = seconds
        self._headers = {
            "authorization": "Basic " + base64.b64encode(f"segmentry:{key}".encode()).decode(),
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": f"segmentry/{__version__}",
        }
        self._wire = Wire(connections=MOST, allow_private=url is not None, names=names)
        self._elsewhere = Wire(connections=2, allow_private=url is not None, names=names)

    def __repr__(self) -> str:
        return f"Line({urlsplit(self.base).hostname})"

    def ask(self, ask: Ask, patience: float, before: Callable[[], None] = lambda: None) -> Said:
        """The answer; no attempt is begun after so many seconds.

        Raises RefusedError, TroubleError, DestinationStopped, and what `before` raises.
        """
        until = self.waiting.monotonic() + patience
        maybe, attempt = False, 0
        while True:
            attempt += 1
            with self.pace.turn():
                before()
                found = self._once(ask)
            if isinstance(found, Said):
                self.pace.well()
                return found
            if found.throttled:
                self.pace.too_much()
            maybe = maybe or found.maybe
            wait = None if ask.once and maybe else self._wait(found, attempt, until)
            if wait is None:
                raise TroubleError(Answer(Verdict.LATER, found.reason, after=found.after, maybe=maybe))
            self.waiting.sleep(wait)

    def fetch(self, url: str, most: int) -> bytes:
        """What is at another address that the service named, asked for without the key. Raises TroubleError if it can't be had."""
        parts = urlsplit(url)
        if parts.scheme != "https" and (parts.scheme, parts.netloc) != urlsplit(self.base)[:2]:
            raise TroubleError(Answer(Verdict.LATER, "the service names results at an address that is not safe", maybe=True))
        headers = {"accept-encoding": "identity", "user-agent": self._headers["user-agent"]}
        try:
            reply = self._elsewhere.ask("GET", url, headers, b"", self._seconds, keep=most)
        except (NotReachedError, UnclearError, PrivateAddressError):
            raise TroubleError(Answer(Verdict.LATER, "the results of a batch can't be fetched", maybe=True)) from None
        if reply.status != 200:
            raise TroubleError(Answer(Verdict.LATER, f"the results of a batch are not there ({reply.status})", maybe=True))
        return reply.body

    def close(self) -> None:
        self._wire.close()
        self._elsewhere.close()

    def _wait(self, setback: _Setback, attempt: int, until: float) -> float | None:
        """Seconds until the next attempt; None for none."""
        if attempt >= (THROTTLED if setback.throttled else TROUBLED):
            return None
        asked = setback.after
        wait = self.pace.wait(attempt) if asked is None else asked
        too_long = wait > LONGEST_ASKED or self.waiting.monotonic() + wait > until
        return None if too_long else wait

    def _once(self, ask: Ask) -> Said | _Setback:
        url = self.base + ask.path + (f"?{urlencode(ask.params)}" if ask.params else "")
        body = b"" if ask.said is None else json.dumps(ask.said, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        headers = self._headers if ask.said is None else {**self._headers, "content-type": "application/json"}
        try:
            reply = self._wire.ask(ask.method, url, headers, body, self._seconds, keep=ANSWER)
        except PrivateAddressError:
            raise DestinationStopped("the service's name leads into a private network") from None
        except NotReachedError as error:
            return _Setback(str(error).replace("the receiver", "the service"))
        except UnclearError as error:
            return _Setback(str(error).replace("the receiver", "the service"), maybe=True)
        return self._meaning(reply, ask)

    def _meaning(self, reply: Reply, ask: Ask) -> Said | _Setback:
        status, content = reply.status, _json(reply.body)
        if 200 <= status < 300:
            if content is _NOT_JSON and reply.body.strip():
                return _Setback("the service answers what can't be read", maybe=True)
            return Said(None if content is _NOT_JSON else content, _instant(reply.headers.get("date", "")))
        if 300 <= status < 400:
            raise DestinationStopped(f"the service redirects ({status}), and redirects are not followed")
        if status == 429 or (status == 403 and not isinstance(content, Mapping)):
            return _Setback(f"the service asks to wait ({status})", throttled=True, after=self._asked(reply))
        if status == 401:
            raise DestinationStopped("the service refuses the key (401)")
        if status == 403:
            raise DestinationStopped(f"the service forbids it to this key (403): {shown(Problem.of(status, content).title)}")
        if status >= 500 or status in (408, 425):
            after = self._asked(reply)
            return _Setback(f"the service has trouble ({status})", maybe=_may_be_done(status, ask, after), after=after)
        if status == 404 and not isinstance(content, Mapping):  # the service says with words who is not there
            return _Setback("something before the service has nothing there (404)")
        problem = Problem.of(status, content)
        _LOG.info("Mailchimp refuses a request (%d %s), instance %s", status, shown(problem.title), problem.instance)
        raise RefusedError(problem)

    def _asked(self, reply: Reply) -> float | None:
        """The seconds of `Retry-After`, which is a number or a date; None where it is neither."""
        text = reply.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        until = _instant(text)
        return None if until is None else max((until - self.waiting.clock()).total_seconds(), 0.0)


def base_of(key: str, url: str | None) -> str:
    """Where the service is. Raises ValueError, which never says the key."""
    if url is None:
        centre = key.rpartition("-")[2]
        if not DATA_CENTRE.fullmatch(centre):
            raise ValueError("the key does not end with a data centre, like `-us19`")
        return f"https://{centre}.api.mailchimp.com/3.0"
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("`url` is not a web address like https://host")
    if parts.scheme == "http" and parts.hostname not in LOCAL:
        raise ValueError("`url` must be https, as the key goes there; a sandbox on this machine may do without")
    return url.rstrip("/").removesuffix("/3.0") + "/3.0"


_NOT_JSON = object()


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return _NOT_JSON


def _instant(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
