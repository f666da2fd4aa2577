"""What all sandboxes stand upon: routes, methods with and without bodies, the requests that are kept, cruelty that waits its turn."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from segmentry.sandbox.cruelty import Cruelty
from segmentry.sandbox.serving import KEPT, KEPT_BYTES, Answer, Call, Newest, Reply, Route, Routes, Sandbox


class Shop(Sandbox):
    """Says back what it was asked."""

    name = "shop"

    def __init__(self) -> None:
        table: list[Route] = [(method, "/items/{id}/of/{place}", self._echo) for method in ("GET", "POST", "PUT", "PATCH", "DELETE")]
        self.routes = Routes([*table, ("GET", "/bytes", lambda _: Reply(200, b"\x00\x01", "application/octet-stream"))])
        super().__init__(clock=lambda: datetime(2026, 11, 23, tzinfo=UTC))

    def _echo(self, call: Call) -> Reply:
        told = {"method": call.method, "parts": dict(call.parts), "query": call.query, "body": call.body.decode()}
        return Reply(204 if call.query == "204" else 200, told, headers={"X-Shop": "1"})

    def serve(self, call: Call) -> Answer:
        return self.routes.answer(call) or super().serve(call)

    def orders(self) -> list[Route]:
        return [("GET", "/inside", lambda _: Reply(200, "seen", "text/plain"))]


@pytest.fixture
def shop() -> Iterator[httpx.Client]:
    with Shop() as sandbox, httpx.Client(base_url=f"http://127.0.0.1:{sandbox.port}", verify=False) as client:
        yield client


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_every_method_has_its_route_and_its_body(shop: httpx.Client, method: str) -> None:
    answer = shop.request(method, "/items/a%20b/of/x?q=1", content=b"told")
    assert answer.headers["x-shop"] == "1"
    assert answer.json() == {"method": method, "parts": {"id": "a b", "place": "x"}, "query": "q=1", "body": "told"}
    assert shop.request(method, "/items/a/of/x", content=None if method in ("GET", "DELETE") else b"").json()["body"] == ""


def test_one_connection_carries_one_request_after_the_other(shop: httpx.Client) -> None:
    for path in ("/items/a/of/x?204", "/items/a/of/x", "/none", "/bytes", "/inside", "/items/a/of/x"):
        answer = shop.get(path)
    assert answer.json()["parts"] == {"id": "a", "place": "x"}
    pool = vars(vars(shop)["_transport"])["_pool"]
    assert len(pool.connections) == 1


def test_what_is_answered(shop: httpx.Client) -> None:
    assert shop.get("/items/a/of/x?204").content == b""
    assert shop.get("/bytes").content == b"\x00\x01"
    assert (shop.get("/none").status_code, shop.get("/items//of/x").status_code) == (404, 404)
    assert (shop.get("/inside").text, shop.get("/inside", headers={"Host": "evil.example"}).status_code) == ("seen", 403)


@pytest.mark.parametrize("head", ["DELETE /items/a/of/x HTTP/1.1\r\nTransfer-Encoding: chunked", "PUT /items/a/of/x HTTP/1.1"])
def test_what_has_no_length_is_not_waited_for(shop: httpx.Client, head: str) -> None:
    with socket.create_connection(("127.0.0.1", shop.base_url.port or 0), timeout=10) as connection:
        connection.sendall(f"{head}\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 411")


def test_the_newest_are_kept_by_number_and_by_size() -> None:
    kept: Newest[Call] = Newest()
    for number in range(KEPT + 5):
        kept.add(Call("GET", f"/{number}", "", {}, b""))
    assert (len(kept.items), kept.items[0].path, kept.count) == (KEPT, "/5", KEPT + 5)
    large = b"x" * (KEPT_BYTES // 2)
    for path in ("/a", "/b", "/c"):
        kept.add(Call("GET", path, "", {}, large))
    assert [one.path for one in kept.items] == ["/b", "/c"]
    kept.clear()
    assert (kept.items, kept.count) == ([], 0)


def test_cruelty_that_does_not_fit_waits_and_lets_the_next_pass() -> None:
    cruelty = Cruelty(also={"job-late": "takes it, late"})
    cruelty.script(["job-late", "503"])
    met = [cruelty.due(lambda one: not one.name.startswith("job-")) for _ in range(2)]
    assert [one and one.name for one in met] == ["503", None]
    found = cruelty.due()
    assert found is not None
    assert (found.name, found.applies) == ("job-late", True)
