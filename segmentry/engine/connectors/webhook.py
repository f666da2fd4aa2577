"""Webhooks: signed JSON over HTTPS to a receiver that knows every row by its id, so the same again does no harm.

A receiver can be kept in step with a segment, and can't be asked who is in: it is told who entered, changed and exited, and what
it makes of that is its own affair.

What is signed and how is in `signatures.py` (Standard Webhooks 1.0.0), where it may go in `addresses.py`, how long it may
take in `wire.py`; here is what is said, and what each answer means.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import stamina

from segmentry import __version__
from segmentry.engine.connectors.addresses import Resolve, resolve
from segmentry.engine.connectors.destination import Answer, Batch, DestinationStopped, Verdict
from segmentry.engine.connectors.registry import Context
from segmentry.engine.connectors.settings import WebhookSettings
from segmentry.engine.connectors.signatures import key_of, signed_headers
from segmentry.engine.connectors.syncing import KINDS, Member, Notes, Outlook, Place, SyncBatch, SyncDestination, Target
from segmentry.engine.connectors.wire import NotReachedError, PrivateAddressError, Reply, UnclearError, Wire, is_address
from segmentry.errors import DestinationError

ATTEMPTS = 4
PATIENCE = 30.0
"""Seconds that `send` may spend on trying again; what takes longer is for later."""
LONGEST_WAIT = 24 * 3600.0

STOPS: Mapping[int, str] = {
    401: "the receiver refuses us (401): does it know one of the secrets?",
    403: "the receiver forbids it (403)",
    404: "the receiver has nothing at this address (404)",
    405: "the receiver takes no webhooks at this address (405)",
}
"""No row could fare better: somebody has to mend the address, the secret or the receiver."""

REJECTS: Mapping[int, str] = {
    400: "the receiver finds it wrong (400)",
    413: "the receiver finds it too large (413)",
    422: "the receiver finds it wrong (422)",
}
AGAIN: Mapping[int, bool] = {408: False, 425: False, 429: False, 500: True, 502: True, 503: False, 504: True}
"""What a second attempt may mend, and whether the first may have been applied all the same."""


class _AgainError(Exception):
    """Try again; `answer` is what to say if that helps nothing. Its text is safe: it may be logged by whoever logs retries."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.reason)
        self.answer = answer


UNREADABLE = "a receiver of webhooks can't be asked who is in"


@dataclass(frozen=True, slots=True)
class _Message:
    """What one request says, the same at every attempt: what happened, when, and of each thing its id and data."""

    id: str
    type: str
    at: datetime
    items: tuple[tuple[str, Mapping[str, Any]], ...]


class WebhookDestination(SyncDestination):
    """A receiver of webhooks, over connections that are kept."""

    def __init__(
        self,
        settings: WebhookSettings,
        context: Context,
        *,
        keys: Sequence[bytes],
        names: Resolve = resolve,
        patience: float = PATIENCE,
    ) -> None:
        self.traits = settings.traits
        self._settings = settings
        self._keys = tuple(keys)
        self._clock = context.clock
        self._source = f"urn:segmentry:{context.workspace}:{context.environment}"
        self._patience = patience
        logging.getLogger("stamina").addFilter(_without_ours)
        self._wire = Wire(connections=self.traits.parallel, allow_private=settings.allow_private, names=names)

    @classmethod
    def open(cls, name: str, settings: WebhookSettings, context: Context) -> WebhookDestination:
        """Checks what only the environment could tell, the address and the secrets. Raises DestinationError."""
        _check_url(name, settings.url, allow_private=settings.allow_private)
        keys = []
        for number, secret in enumerate(settings.secrets, 1):
            try:
                keys.append(key_of(secret))
            except ValueError as error:
                raise DestinationError(f"destination `{name}`: secret {number} of {len(settings.secrets)} is {error}") from None
        return cls(settings, context, keys=keys)

    def account(self) -> str | None:
        """None: a receiver may move to another host and is the same receiver, and one host has many. The secret is what both know."""
        return None

    def send(self, batch: Batch, before: Callable[[], None]) -> Sequence[Answer]:
        return self._tell(_Message(batch.id, batch.type, batch.at, tuple((row.id, row.data) for row in batch.rows)), before)

    def sync(self, batch: SyncBatch, before: Callable[[], None], notes: Notes) -> Sequence[Answer]:  # noqa: ARG002 - nothing goes on there
        changes = tuple((change.id, change.data) for change in batch.changes)
        return self._tell(_Message(batch.id, KINDS[batch.action], batch.at, changes), before)

    readable = False

    def members(self, target: Target) -> Iterator[Sequence[Member]]:  # noqa: ARG002 - as every destination
        raise DestinationStopped(UNREADABLE)

    def look(self, target: Target) -> Outlook:  # noqa: ARG002 - as every destination
        """What is known of the receiver without asking it: where it is. The rest of its address may be a secret."""
        warnings = (f"{UNREADABLE}, nor what it sets going for who comes in",)
        return Outlook(f"the receiver at `{urlsplit(self._settings.url).hostname}`", None, warnings, starts=warnings)

    def places(self) -> Sequence[Place]:
        """None: whoever is told has nothing in it that could be named."""
        return ()

    def close(self) -> None:
        self._wire.close()

    def _tell(self, message: _Message, before: Callable[[], None]) -> Sequence[Answer]:
        """An answer for each thing that the message tells of. Raises DestinationStopped, and whatever `before` raises."""
        kind, body = self._payload(message)
        until = time.monotonic() + self._patience
        maybe = False

        def wait(error: Exception) -> bool | float:
            """How long until the next attempt: as long as the receiver asks, if we have that much patience; or no more."""
            nonlocal maybe
            left = until - time.monotonic()
            if not isinstance(error, _AgainError) or left <= 0:
                return False
            maybe = maybe or error.answer.maybe  # no later answer takes back that this attempt may have been applied
            after = error.answer.after
            return True if after is None else after if after <= left else False

        try:
            for attempt in stamina.retry_context(on=wait, attempts=ATTEMPTS, timeout=None, wait_initial=0.5, wait_max=8.0):
                with attempt:
                    before()
                    answer = self._ask(message, kind, body)
        except _AgainError as last:
            answer = last.answer
        if answer.verdict is Verdict.LATER:
            answer = replace(answer, maybe=answer.maybe or maybe)
        return [answer] * len(message.items)

    def _ask(self, message: _Message, kind: str, body: bytes) -> Answer:
        """One request, and what its answer means for all that it tells of. Raises _AgainError, DestinationStopped."""
        signed = signed_headers(self._keys, message.id, self._clock(), body)
        headers = {"content-type": kind, "user-agent": f"segmentry/{__version__}", "accept-encoding": "identity", **signed}
        try:
            reply = self._wire.post(self._settings.url, headers, body, self._settings.seconds)
        except PrivateAddressError:
            reason = "the receiver's name leads into a private network; `allow_private: true` allows that"
            raise DestinationStopped(reason) from None
        except NotReachedError as error:
            return Answer(Verdict.LATER, str(error))
        except UnclearError as error:
            return Answer(Verdict.LATER, str(error), maybe=True)
        return self._meaning(reply, len(message.items))

    def _meaning(self, reply: Reply, rows: int) -> Answer:
        status = reply.status
        if 200 <= status < 300:
            return Answer(Verdict.SENT)
        if 300 <= status < 400:
            raise DestinationStopped(_redirected(reply))
        if status == 410:
            raise DestinationStopped("the receiver is gone and asks for nothing more (410)", disabled=True)
        if status in STOPS:
            raise DestinationStopped(STOPS[status])
        if status == 413 and rows > 1:
            return Answer(Verdict.REJECTED, f"{REJECTS[413]}, and a batch is never cut anew: lower `batch` for those to come")
        if status in AGAIN:
            text = "the receiver asks to wait" if status == 429 else "the receiver has trouble"
            later = Answer(Verdict.LATER, f"{text} ({status})", after=self._asked_to_wait(reply), maybe=AGAIN[status])
            raise _AgainError(later)
        if status >= 500:
            return Answer(Verdict.LATER, f"the receiver has trouble ({status})", after=self._asked_to_wait(reply), maybe=True)
        return Answer(Verdict.REJECTED, REJECTS.get(status, f"the receiver refuses it ({status})"))

    def _asked_to_wait(self, reply: Reply) -> float | None:
        """The seconds of `Retry-After`, which is a number or a date; None where it is neither."""
        text = reply.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return min(float(text[:12]), LONGEST_WAIT)
        try:
            until = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # a year of twelve digits is the latter
            return None
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return min(max((until - self._clock()).total_seconds(), 0.0), LONGEST_WAIT)

    def _payload(self, message: _Message) -> tuple[str, bytes]:
        """The body's type and its bytes, the same at every attempt: these very bytes are signed and sent."""
        if self._settings.format == "cloudevents":
            events = [self._event(message, id, data) for id, data in message.items]
            if self._settings.batch > 1:
                return "application/cloudevents-batch+json", _bytes(events)
            return "application/cloudevents+json", _bytes(events[0])
        data: Any = dict(message.items[0][1])
        if self._settings.batch > 1:
            data = [{**data, "id": id} for id, data in message.items]
        return "application/json", _bytes({"type": message.type, "timestamp": _instant(message.at), "data": data})

    def _event(self, message: _Message, id: str, data: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": id,
            "source": self._source,
            "type": message.type,
            "time": _instant(message.at),
            "datacontenttype": "application/json",
            "data": dict(data),
        }


def _bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _redirected(reply: Reply) -> str:
    """What a redirect tells the person who has to write another address: the host only, as the rest may be a secret."""
    try:
        host = urlsplit(reply.headers.get("location", "")).hostname
    except ValueError:
        host = None
    where = f"the host `{host}`" if host else "another address"
    return f"the receiver redirects to {where} ({reply.status}), and redirects are not followed; write the final address in `url`"


def _check_url(name: str, url: str, *, allow_private: bool) -> None:
    """Raises DestinationError for an address that can't be, without saying it: its path may be a secret."""
    try:
        parts = urlsplit(url)
        usable = is_address(url) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, usable = urlsplit(""), False
    if not usable or not url.isprintable() or " " in url:
        raise DestinationError(f"destination `{name}`: `url` is not a web address; write https://host/path")
    if parts.username is not None or parts.password is not None:
        raise DestinationError(f"destination `{name}`: `url` has a name or password in it; the signature is what proves who sends")
    if parts.scheme == "http" and not allow_private:
        raise DestinationError(
            f"destination `{name}`: `url` must be https; `allow_private: true` allows http, within a network of your own"
        )


def _without_ours(record: logging.LogRecord) -> bool:
    """Keeps our own retries out of stamina's log: they are no news, and a warning would show on everybody's terminal."""
    return not str(getattr(record, "stamina.caused_by", "")).startswith(_AgainError.__name__)
