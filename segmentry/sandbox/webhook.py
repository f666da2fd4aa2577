"""A receiver of webhooks for trying things out: real HTTP on 127.0.0.1, signatures verified, and cruel if it is told to be.

    with WebhookSandbox(clock=clock) as sandbox:
        ...                      # tell sandbox.url, signed with sandbox.secrets
        sandbox.inbox.arrivals   # what arrived, each id once

Whatever is posted to `/hook`, or to any path that is not named here, is a webhook. `GET /` shows what arrived, `GET /events`
gives it as JSON, `POST /reset` forgets it, `POST /cruel` takes `{"kinds": [...], "share": 0.5}` or `{"next": [...]}`.
"""

from __future__ import annotations

import base64
import json
import secrets as randomness
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import urlsplit

from segmentry.engine.connectors.signatures import ID, PREFIX, key_of, problem_of
from segmentry.errors import SegmentryError
from segmentry.sandbox.cruelty import Cruelty, Misbehaviour
from segmentry.sandbox.inbox import Inbox
from segmentry.sandbox.misbehaving import misbehave
from segmentry.sandbox.page import page

HOST = "127.0.0.1"
KEPT = 1000
LARGEST = 64 * 1024 * 1024
_LINGER_NOT = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Request:
    """A webhook as it came, believed or not. Headers are named in lower case; `met` is the cruelty it met."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    problem: str | None
    met: str | None


def new_secret() -> str:
    """A fresh signing secret."""
    return PREFIX + base64.b64encode(randomness.token_bytes(32)).decode()


class WebhookSandbox:
    """The receiver, listening from `__enter__` (or `start`) to `__exit__` (or `close`).

    `secrets`: those it believes; a fresh one where there are none. `port` 0 is any free one. `cruel`, `share`, `seed`: see
    `Cruelty`. `store`: a folder in which it keeps what it took. `heard` is called with every webhook, in the thread that
    answers it. Raises SegmentryError for a secret or a kind of cruelty that is none, and for a port that is taken.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        secrets: Sequence[str] = (),
        port: int = 0,
        cruel: Sequence[str] = (),
        share: float = 0.5,
        seed: int = 0,
        store: Path | None = None,
        heard: Callable[[Request], None] = lambda _: None,
    ) -> None:
        self.secrets = tuple(secrets) or (new_secret(),)
        try:
            self.keys = [key_of(secret) for secret in self.secrets]
        except ValueError as error:
            raise SegmentryError(f"this is {error}") from None
        self.cruelty = Cruelty(cruel, share=share, seed=seed)
        self.inbox = Inbox(clock, store)
        self.clock = clock
        self.closing = threading.Event()
        self._requests: deque[Request] = deque(maxlen=KEPT)
        self._count = 0
        self._lock = threading.Lock()
        self._heard = heard
        try:
            self._server = _Server((HOST, port), self)
        except OSError as error:
            raise SegmentryError(f"port {port} can't be listened on: {error.strerror}") from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="webhook-sandbox")

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        """Where webhooks go."""
        return f"http://{HOST}:{self.port}/hook"

    @property
    def requests(self) -> list[Request]:
        """The newest webhooks as they came, at most a thousand."""
        with self._lock:
            return list(self._requests)

    @property
    def count(self) -> int:
        """How many webhooks came."""
        with self._lock:
            return self._count

    def start(self) -> None:
        """Listens, in threads of its own."""
        self._thread.start()

    def close(self) -> None:
        """Ends every connection and every thread; what was being answered is not answered."""
        self.closing.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.close_all()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def receive(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[str | None, Misbehaviour | None]:
        """A webhook came: whether it is believed, and what it meets. It is taken here, if it is, before any answer."""
        problem = problem_of(self.keys, headers, body, self.clock())
        said: Any = None
        if problem is None:
            try:
                said = json.loads(body)
            except ValueError:
                problem = "a body that is no JSON"
        meets = self.cruelty.due() if problem is None else None
        if problem is not None:
            self.inbox.refuse(problem)
        elif meets is None or meets.applies:
            self.inbox.take(headers[ID], said, verified=True)
        request = Request(path, dict(headers), body, problem, None if meets is None else meets.name)
        with self._lock:
            self._requests.append(request)
            self._count += 1
        self._heard(request)
        return problem, meets

    def reset(self) -> None:
        """As new: nothing arrived, no cruelty."""
        self.cruelty.reset()
        self.inbox.reset()
        with self._lock:
            self._requests.clear()
            self._count = 0


class _Server(ThreadingHTTPServer):
    """Knows its connections, so that it can end them."""

    daemon_threads = False  # they are joined at the end, which `close_all` makes sure will come
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], sandbox: WebhookSandbox) -> None:
        self.sandbox = sandbox
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        with suppress(OSError):
            if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_LINGER_NOT)) == _LINGER_NOT:
                self.close_request(request)  # without a farewell: the other side sees a reset
                return
        super().shutdown_request(request)

    def close_all(self) -> None:
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # who went away, went away
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads requests and answers them."""

    protocol_version = "HTTP/1.1"
    server_version = "segmentry-sandbox"
    sys_version = ""
    disable_nagle_algorithm = True

    @property
    def sandbox(self) -> WebhookSandbox:
        return cast("_Server", self.server).sandbox

    def do_GET(self) -> None:
        """Shows what arrived."""
        if not self._is_local():
            return self.answer(403, "only for a program or a browser on this machine")
        sandbox, path = self.sandbox, urlsplit(self.path).path
        if path == "/":
            content = page(sandbox.inbox.arrivals, sandbox.inbox.refused, sandbox.count)
            return self.answer(200, content, kind="text/html; charset=utf-8")
        if path != "/events":
            return self.answer(404, "there are / and /events")
        told = {"arrivals": [asdict(arrival) for arrival in sandbox.inbox.arrivals], "refused": sandbox.inbox.refused}
        return self.answer(200, {**told, "requests": sandbox.count})

    def do_POST(self) -> None:
        """Takes a webhook, or an order about the sandbox itself."""
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            self.close_connection = True
            return self.answer(411, "how long is it?")
        if len(length) > 12 or int(length) > LARGEST:
            self.close_connection = True
            return self.answer(413, "too large")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError
        path = urlsplit(self.path).path
        if path in ("/reset", "/cruel"):
            return self._obey(path, body)
        problem, meets = self.sandbox.receive(path, {name.lower(): value for name, value in self.headers.items()}, body)
        if problem is not None:
            return self.answer(401, f"not believed: {problem}")
        if meets is None:
            return self.answer(200, {"ok": True})
        return misbehave(meets, self, self.sandbox.closing, self.sandbox.clock)

    def answer(self, status: int, content: object, *, kind: str = "application/json", headers: Mapping[str, str] | None = None) -> None:
        """A whole answer; `content` is text, or what is said as JSON."""
        said = content if isinstance(content, str) and kind != "application/json" else json.dumps(content, ensure_ascii=False)
        body = b"" if status in (204, 304) else said.encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        """Breaks the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Says nothing: `heard` is told, in words of its own."""

    def _obey(self, path: str, body: bytes) -> None:
        if not self._is_local():
            return self.answer(403, "only for a program on this machine")
        if path == "/reset":
            self.sandbox.reset()
            return self.answer(200, {"ok": True})
        try:
            order = json.loads(body)
            if "next" in order:
                self.sandbox.cruelty.script(order["next"])
            if "kinds" in order:
                self.sandbox.cruelty.set(order["kinds"], share=None if order.get("share") is None else float(order["share"]))
        except (ValueError, TypeError, SegmentryError) as error:
            return self.answer(400, str(error))
        return self.answer(200, {"ok": True})

    def _is_local(self) -> bool:
        """Whether who asks knows where he is: a page of some other site, open in a browser here, names itself or that site."""
        here = (f"{HOST}:{self.sandbox.port}", f"localhost:{self.sandbox.port}")
        origin = self.headers.get("origin")
        return self.headers.get("host", "") in here and (origin is None or origin in [f"http://{place}" for place in here])
