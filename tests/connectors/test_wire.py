"""The edge of HTTP where answers matter: any method, so much of an answer as is asked for, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from segmentry.engine.connectors.wire import ANSWER_BYTES, UnclearError, Wire, is_address
from segmentry.sandbox.serving import Answer, Call, Reply, Sandbox
from tests.connectors.conftest import utc_now


class Echo(Sandbox):
    """Answers with the method and what was said."""

    name = "echo"

    def serve(self, call: Call) -> Answer:
        meets = self.cruelty.due()
        said = f"{call.method} ".encode() + call.body
        return meets or Reply(404 if call.path == "/404" else 200, said * (int(call.query) if call.query else 1), headers={"X-Left": "7"})


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo(clock=utc_now) as sandbox:
        yield sandbox


def ask(echo: Echo, method: str, path: str = "/", body: bytes = b"", keep: int = 1000) -> object:
    with closing(Wire(connections=1, allow_private=True)) as wire:
        reply = wire.ask(method, f"http://127.0.0.1:{echo.port}{path}", {"accept-encoding": "identity"}, body, 0.5, keep=keep)
        return reply.status, reply.body, reply.headers["x-left"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_every_method_is_asked_and_its_answer_kept(echo: Echo, method: str) -> None:
    body = b"" if method == "GET" else b"said"
    assert ask(echo, method, body=body) == (200, f"{method} ".encode() + body, "7")


def test_what_a_refusal_says_is_kept_too(echo: Echo) -> None:
    assert ask(echo, "GET", "/404") == (404, b"GET ", "7")


def test_nothing_is_kept_unless_it_is_asked_for(echo: Echo) -> None:
    assert ask(echo, "GET", keep=0) == (200, b"", "7")


def test_an_answer_of_just_the_longest_length_is_kept(echo: Echo) -> None:
    assert ask(echo, "GET", "/?250") == (200, b"GET " * 250, "7")


def test_a_longer_one_is_unclear(echo: Echo) -> None:
    with pytest.raises(UnclearError, match="longer than any should be"):
        ask(echo, "GET", "/?251")


def test_more_may_be_kept_than_is_read_of_what_nobody_uses(echo: Echo) -> None:
    answer = ask(echo, "GET", f"/?{ANSWER_BYTES}", keep=4 * ANSWER_BYTES)
    assert answer == (200, b"GET " * ANSWER_BYTES, "7")


@pytest.mark.parametrize("kind", ["truncated", "400-truncated", "slow", "hang", "garbage", "endless"])
def test_what_is_not_whole_is_unclear(echo: Echo, kind: str) -> None:
    echo.cruelty.script([kind])
    with pytest.raises(UnclearError):
        ask(echo, "GET")


@pytest.mark.parametrize("url", ["https://xn--a.example/x", "https://h:abc/x", "https://h/\x00", "ftp://h/x"])
def test_what_is_no_address_is_said_to_be_none(url: str) -> None:
    assert not is_address(url)
