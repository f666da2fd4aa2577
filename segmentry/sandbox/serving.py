"""What all sandboxes have in common: a server on this machine that knows its connections, routes, orders, and cruelty.

A service is a table of routes upon it, the first that fits wins:

    class Shop(Sandbox):
        name = "shop"

        def __init__(self, *, clock):
            super().__init__(clock=clock)
            self._routes = Routes([("GET", "/api/items/{id}", self._item)])

        def serve(self, call):
            return self._routes.answer(call) or Reply(404, {"error": "no such place"})

What a sandbox says of itself and is told to do is `orders`, another such table, which answers programs and browsers on this
machine only. `POST /reset` forgets everything; `POST /cruel` takes `{"kinds": [...], "share": 0.5}` or `{"next": [...]}`.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, cast
from urllib.parse import unquote

from segmentry.errors import SegmentryError
from segmentry.sandbox.cruelty import Cruelty, Misbehaviour
from segmentry.sandbox.misbehaving import misbehave

HOST = "127.0.0.1"
KEPT = 1000
KEPT_BYTES = 64 * 1024 * 1024
LARGEST = 64 * 1024 * 1024
_LINGER_NOT = struct.pack("ii", 1, 0)
_WITH_BODY = ("POST", "PUT", "PATCH")
_BODILESS = (204, 304)


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came. Headers are named in lower case; `parts` are what the `{...}` of its route stand for."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `content` is bytes or text that is sent as it is, or else a value that is said as JSON."""

    status: int
    content: Any = None
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Reply | Misbehaviour
Function = Callable[[Call], Answer]
Route = tuple[str, str, Function]


T = TypeVar("T")


class Places(Generic[T]):
    """What stands at which method and path. `{name}` in a path stands for whatever is between two slashes."""

    def __init__(self, table: Iterable[tuple[str, str, T]]) -> None:
        self._table = [(method, re.compile(_PART.sub(r"(?P<\1>[^/]+)", path)), there) for method, path, there in table]

    def find(self, call: Call) -> tuple[T, Call] | None:
        """What stands there, and the call with its parts; None where nothing does."""
        for method, path, there in self._table:
            if method == call.method and (found := path.fullmatch(call.path)) is not None:
                return there, replace(call, parts={name: unquote(part) for name, part in found.groupdict().items()})
        return None

    def methods(self, path: str) -> list[str]:
        """The methods at which something stands there."""
        return [method for method, pattern, _ in self._table if pattern.fullmatch(path)]


class Routes(Places[Function]):
    """Which function answers which method and path."""

    def answer(self, call: Call) -> Answer | None:
        """The answer; None where nothing does."""
        found = self.find(call)
        return None if found is None else found[0](found[1])


_PART = re.compile(r"\{([a-z_]+)\}")


class Weighed(Protocol):
    """Something that has a body."""

    @property
    def body(self) -> bytes: ...


Item = TypeVar("Item", bound=Weighed)


class Newest(Generic[Item]):
    """The newest requests, and how many there were: a thousand, and fewer where their bodies are large."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._count = 0

    def add(self, item: Item) -> None:
        """Keeps it, and lets the oldest go."""
        with self._lock:
            self._items.append(item)
            self._bytes += len(item.body)
            self._count += 1
            while len(self._items) > KEPT or (self._bytes > KEPT_BYTES and len(self._items) > 1):
                self._bytes -= len(self._items.popleft().body)

    def clear(self) -> None:
        """There were none."""
        with self._lock:
            self._items.clear()
            self._bytes = self._count = 0

    @property
    def items(self) -> list[Item]:
        with self._lock:
            return list(self._items)

    @property
    def count(self) -> int:
        with self._lock:
            return self._count


class Sandbox:
    """Listens from `__enter__` (or `start`) to `__exit__` (or `close`), in threads of its own.

    `port` 0 is any free one. `cruel`, `share`, `seed`: see `Cruelty`. Raises SegmentryError for a kind of cruelty that is none, and
    for a port that is taken.
    """

    name: ClassVar[str]
    """What its threads are called by."""
    kinds: ClassVar[Mapping[str, str]] = {}
    """Kinds of cruelty of its own, beside those of `cruelty.NAMED`."""

    def __init__(
        self, *, clock: Callable[[], datetime], port: int = 0, cruel: Sequence[str] = (), share: float = 0.5, seed: int = 0
    ) -> None:
        self.cruelty = Cruelty(cruel, share=share, seed=seed, also=self.kinds)
        self.clock = clock
        self.closing = threading.Event()
        self.routes_of_orders = Routes([*self.orders(), ("POST", "/reset", self._order_reset), ("POST", "/cruel", self._order_cruel)])
        try:
            self._server = _Server((HOST, port), self)
        except OSError as error:
            raise SegmentryError(f"port {port} can't be listened on: {error.strerror}") from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name=f"{self.name}-sandbox")

    @property
    def port(self) -> int:
        return self._server.server_port

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

    def serve(self, call: Call) -> Answer:
        """Answers what is no order. Called in many threads at once."""
        return Reply(404, f"there is no {call.path}")

    def orders(self) -> list[Route]:
        """What it shows of itself and can be told to do, beside `/reset` and `/cruel`; for this machine only."""
        return []

    def reset(self) -> None:
        """As new. Whoever adds state, forgets it here."""
        self.cruelty.reset()

    def says(self, status: int) -> object:
        """The content of an answer that cruelty gives a status to."""
        return {"ok": status < 300}

    def _order_reset(self, _: Call) -> Reply:
        self.reset()
        return Reply(200, {"ok": True})

    def _order_cruel(self, call: Call) -> Reply:
        try:
            order = json.loads(call.body)
            if "next" in order:
                self.cruelty.script(order["next"])
            if "kinds" in order:
                self.cruelty.set(order["kinds"], share=None if order.get("share") is None else float(order["share"]))
        except (ValueError, TypeError, SegmentryError) as error:
            return Reply(400, str(error))
        return Reply(200, {"ok": True})


class _Server(ThreadingHTTPServer):
    """Knows its connections, so that it can end them."""

    daemon_threads = False  # they are joined at the end, which `close_all` makes sure will come
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], sandbox: Sandbox) -> None:
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
    disable_nagle_algorithm = True

    @property
    def sandbox(self) -> Sandbox:
        return cast("_Server", self.server).sandbox

    def do_GET(self) -> None:
        """As every method."""
        self._serve()

    def do_POST(self) -> None:
        """As every method."""
        self._serve()

    def do_PUT(self) -> None:
        """As every method."""
        self._serve()

    def do_PATCH(self) -> None:
        """As every method."""
        self._serve()

    def do_DELETE(self) -> None:
        """As every method."""
        self._serve()

    def answer(self, status: int, content: object, *, kind: str = "application/json", headers: Mapping[str, str] | None = None) -> None:
        """A whole answer, in one piece: two would be two packets, and 100,000 answers are many."""
        body = b"" if status in _BODILESS or content is None else _bytes_of(content, kind)
        said = {"Server": "segmentry-sandbox", "Date": formatdate(usegmt=True), **(headers or {})}
        if body:
            said["Content-Type"] = kind
        if status not in _BODILESS:
            said["Content-Length"] = str(len(body))
        if self.close_connection:
            said["Connection"] = "close"
        phrase = HTTPStatus(status).phrase if status in _STATUSES else ""
        lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        self.wfile.write(f"HTTP/1.1 {status} {phrase}\r\n{lines}\r\n".encode("latin-1") + body)

    def reset(self) -> None:
        """Breaks the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Says nothing: `heard` is told, in words of its own."""

    def _serve(self) -> None:
        """Reads a request, and has an order or the service answer it."""
        body = self._read()
        if body is None:
            return
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(self.command, path, query, headers, body)
        sandbox = self.sandbox
        order = sandbox.routes_of_orders.find(call)
        if order is None:
            answer = sandbox.serve(call)
        elif not self._is_local():
            answer = Reply(403, "only for a program or a browser on this machine")
        else:
            answer = order[0](order[1])
        if isinstance(answer, Reply):
            self.answer(answer.status, answer.content, kind=answer.kind, headers=answer.headers)
        else:
            misbehave(answer, self, sandbox.closing, sandbox.clock, sandbox.says)

    def _read(self) -> bytes | None:
        """The body; None where it can't be told how long it is, which is answered."""
        length = self.headers.get("content-length")
        if length is None and self.command not in _WITH_BODY and "transfer-encoding" not in self.headers:
            return b""
        if length is None or not (length.isascii() and length.isdigit()):
            self.close_connection = True
            self.answer(411, "how long is it?")
            return None
        if len(length) > 12 or int(length) > LARGEST:
            self.close_connection = True
            self.answer(413, "too large")
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError
        return body

    def _is_local(self) -> bool:
        """Whether who asks knows where he is: a page of some other site, open in a browser here, names itself or that site."""
        here = (f"{HOST}:{self.sandbox.port}", f"localhost:{self.sandbox.port}")
        origin = self.headers.get("origin")
        return self.headers.get("host", "") in here and (origin is None or origin in [f"http://{place}" for place in here])


_STATUSES = frozenset(status.value for status in HTTPStatus)


def _bytes_of(content: object, kind: str) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str) and "json" not in kind:
        return content.encode()
    return json.dumps(content, ensure_ascii=False).encode()
