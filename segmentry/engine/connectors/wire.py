"""One HTTP request and its answer, on a leash: where it may connect to, how long it may take in all, how much it may say.

Foreign exceptions end here. Redirects, cookies and proxies of the environment do not exist on this level of httpx.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpcore
import httpx

from segmentry.engine.connectors.addresses import Resolve, is_public, resolve

ANSWER_BYTES = 64 * 1024
"""How much of an answer is read where nothing in it is used: a connection whose answer was read can be used again."""
_WRITE_BYTES = 16 * 1024


class NotReachedError(Exception):
    """No request was sent. The text says why, fit to be shown."""


class UnclearError(Exception):
    """The request may have arrived, but no whole answer came. The text says why, fit to be shown."""


class PrivateAddressError(Exception):
    """The name leads into a private network, where the workspace doesn't allow it to."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the other side said, as far as it matters: the status, and headers by their names in lower case.

    `body` is what was asked to be kept of it, nothing where nothing was.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


class _Leash(threading.local):
    """This thread's request: when it must be over. Connections are shared between threads, so they ask here."""

    until: float | None = None

    def left(self, timeout: float | None) -> float | None:
        """The seconds that one step may still take; at most 0 when there are none."""
        if self.until is None:
            return timeout
        left = self.until - time.monotonic()
        return left if timeout is None else min(left, timeout)


_leash = _Leash()


class _Unlogged(logging.Filter):
    """Drops what is logged of our requests: addresses may hold secrets. Other users of the same libraries are not touched."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - logging's signature
        return _leash.until is None


_UNLOGGED = _Unlogged()
_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11")


@cache
def _public_trust() -> ssl.SSLContext:
    """Whom everybody trusts, or whom SSL_CERT_FILE or SSL_CERT_DIR say; read once, as it takes a while."""
    return httpx.create_ssl_context()


def is_address(url: str) -> bool:
    """Whether a request could be made to it."""
    try:
        found = httpx.URL(url)
        return found.scheme in ("https", "http") and bool(found.host)
    except (httpx.InvalidURL, UnicodeError):  # the latter for a name that says it is written in other letters, and is not
        return False


class Wire:
    """A way to one receiver, used from several threads at once."""

    def __init__(self, *, connections: int, allow_private: bool, names: Resolve = resolve) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_UNLOGGED)
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._transport = _Transport(limits, _Backend(names, None if allow_private else is_public), _public_trust())

    def post(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Sends, and hears the answer out; all within `timeout` seconds. Raises NotReachedError, UnclearError, PrivateAddressError."""
        return self.ask("POST", url, headers, body, timeout)

    def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float, *, keep: int = 0) -> Reply:
        """Any request; as `post`. Of the answer at most `keep` bytes are kept; one that is longer than that counts as unclear.

        What is kept is as it came: whoever keeps something asks for it uncompressed, by `accept-encoding: identity`.
        """
        steps = {"connect": timeout, "read": timeout, "write": timeout, "pool": timeout}
        try:
            request = httpx.Request(method, url, headers=dict(headers), content=body, extensions={"timeout": steps})
        except (httpx.InvalidURL, UnicodeError):
            raise NotReachedError("this is not a web address") from None
        _leash.until = time.monotonic() + timeout
        try:
            return self._exchange(request, keep)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotReachedError(_why_not_reached(error)) from None
        except httpx.TimeoutException:
            raise UnclearError("the receiver did not answer in time") from None
        except httpx.TransportError:
            raise UnclearError("the connection broke before the answer was whole") from None
        finally:
            _leash.until = None

    def close(self) -> None:
        """Closes every connection."""
        self._transport.close()

    def _exchange(self, request: httpx.Request, keep: int) -> Reply:
        response = self._transport.handle_request(request)
        parts: list[bytes] = []
        try:
            read = 0
            for part in response.iter_raw():
                read += len(part)
                if read > (keep or ANSWER_BYTES):
                    break
                if keep:
                    parts.append(part)
        except httpx.TransportError:
            if keep or response.is_success:  # what begins as a yes may have been going to be anything; a no is a no
                raise
        finally:
            response.close()
        if keep and read > keep:
            raise UnclearError("the answer is longer than any should be")
        return Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()}, b"".join(parts))


class _Transport(httpx.HTTPTransport):
    """httpx's own, with connections made by our backend."""

    def __init__(self, limits: httpx.Limits, backend: httpcore.NetworkBackend, trust: ssl.SSLContext) -> None:
        super().__init__(verify=trust, trust_env=False, limits=limits)
        self._pool = httpcore.ConnectionPool(
            ssl_context=trust,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=backend,
        )


class _Backend(httpcore.NetworkBackend):
    """Resolves a name, checks every address it has, and connects to one of those: no second look-up can lead elsewhere."""

    def __init__(self, names: Resolve, allowed: Callable[[str], bool] | None) -> None:
        self._names = names
        self._allowed = allowed
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = list(self._names(host.strip("[]"), port))
        except (OSError, UnicodeError):
            found = []
        if not found:
            raise httpcore.ConnectError(_NO_NAME)
        if self._allowed is not None and not all(map(self._allowed, found)):
            raise PrivateAddressError
        for address, others in zip(found, range(len(found) - 1, -1, -1), strict=True):
            left = _leash.left(timeout)
            if left is not None and left <= 0:
                break
            share = None if left is None else left / (others + 1)  # an address that leads nowhere leaves time for the others
            try:
                return _Stream(self._sockets.connect_tcp(address, port, share, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not others:
                    raise
        raise httpcore.ConnectTimeout


class _Stream(httpcore.NetworkStream):
    """A connection whose every step takes at most what the request has left, so that drops can't make a day of it."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = _leash.left(timeout)
        if left is not None and left <= 0:
            raise httpcore.ReadTimeout
        return self._stream.read(max_bytes, left)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_BYTES):
            left = _leash.left(timeout)
            if left is not None and left <= 0:
                raise httpcore.WriteTimeout
            self._stream.write(buffer[start : start + _WRITE_BYTES], left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        left = _leash.left(timeout)
        if left is not None and left <= 0:
            raise httpcore.ConnectTimeout
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


_NO_NAME = "the receiver's name has no address"


def _why_not_reached(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "the receiver could not be reached in time"
    if str(error) == _NO_NAME:
        return _NO_NAME
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "the receiver's certificate can't be verified"
        if isinstance(cause, ssl.SSLError):
            return "the receiver does not speak TLS as it should"
        cause = cause.__cause__ or cause.__context__
    return "the receiver could not be reached"
