"""What each kind of cruelty does to the connection."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BufferedIOBase
from typing import Protocol

from segmentry.sandbox.cruelty import Misbehaviour

DROP_SECONDS = 0.05
_DROPS = 100_000


class Answering(Protocol):
    """The side that answers one request."""

    connection: socket.socket
    wfile: BufferedIOBase
    close_connection: bool

    def answer(self, status: int, content: object, *, kind: str = ..., headers: Mapping[str, str] | None = ...) -> None: ...
    def reset(self) -> None: ...


def misbehave(
    meets: Misbehaviour, side: Answering, closing: threading.Event, clock: Callable[[], datetime], says: Callable[[int], object]
) -> None:
    """Answers as the kind says, or doesn't; comes back when the other side goes away or the sandbox closes. `says` words a status."""
    if meets.status is not None:
        return side.answer(meets.status, says(meets.status))
    headers = _headers(meets.name, clock)
    if headers is not None:
        status, named = headers
        return side.answer(status, says(status), headers=named)
    if meets.name == "html":
        return side.answer(200, "<p>Thank you for your message!</p>", kind="text/html")
    side.close_connection = True
    if meets.name.startswith("reset"):
        return side.reset()
    if meets.name.startswith("hang"):
        return _hang(side, closing)
    with suppress(OSError):  # who was treated so goes away, and should
        _speak(meets.name, side, closing)
    return None


def _headers(name: str, clock: Callable[[], datetime]) -> tuple[int, dict[str, str]] | None:
    """Kinds that are a status and a header."""
    soon = format_datetime(clock().astimezone(UTC) + timedelta(seconds=1), usegmt=True)
    kinds = {
        "429-after": (429, {"Retry-After": "1"}),
        "429-date": (429, {"Retry-After": soon}),
        "503-after-long": (503, {"Retry-After": "3600"}),
        "503-after-nonsense": (503, {"Retry-After": "in a while"}),
        "redirect": (307, {"Location": "http://elsewhere.example/secret-path"}),
        "cookie": (200, {"Set-Cookie": "who=us; Path=/"}),
    }
    return kinds.get(name)


def _speak(name: str, side: Answering, closing: threading.Event) -> None:
    """Kinds that say something no receiver should; `close` and `close-applied` say nothing."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    if name == "slow":
        side.wfile.write(head + b"Content-Length: %d\r\n\r\n" % _DROPS)
        _drop(side, b" ", closing)
    elif name == "slow-headers":
        side.wfile.write(head)
        _drop(side, b"X-Drop: 1\r\n", closing)
    elif name == "truncated":
        side.wfile.write(head + b'Content-Length: 100\r\n\r\n{"ok"')
    elif name == "400-truncated":
        side.wfile.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\nno")
    elif name == "garbage":
        side.wfile.write(b"\x00\x01 what is that?\r\n\r\n")
    elif name == "endless":
        side.wfile.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
        while not closing.is_set():
            side.wfile.write(b"4000\r\n" + b" " * 0x4000 + b"\r\n")


def _drop(side: Answering, drop: bytes, closing: threading.Event) -> None:
    for _ in range(_DROPS):
        if closing.wait(DROP_SECONDS):
            return
        side.wfile.write(drop)


def _hang(side: Answering, closing: threading.Event) -> None:
    while not closing.is_set():
        readable, _, _ = select.select([side.connection], [], [], DROP_SECONDS)
        if readable:
            with suppress(OSError):
                if side.connection.recv(1, socket.MSG_PEEK):
                    closing.wait(DROP_SECONDS)
                    continue
            return
