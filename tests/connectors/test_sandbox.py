"""The receiver that ships: what it believes, what it shows, how it is told to be cruel, and that a kill loses nothing it took."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from segmentry.cli_sandbox import sandbox
from segmentry.engine.connectors.destination import DestinationStopped, Verdict
from segmentry.errors import SegmentryError
from segmentry.sandbox.cruelty import NAMED, Cruelty, misbehaviour
from segmentry.sandbox.webhook import KEPT, WebhookSandbox, new_secret
from tests.connectors.conftest import Post, batch, context, nothing, utc_now

PROGRAM = "import sys; from segmentry.cli_sandbox import sandbox; sandbox(sys.argv[1:])"


def ask(port: int, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    """A request to the sandbox itself: the status, and the text of its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


# ---------------------------------------------------------------- what it shows


def test_it_shows_what_arrived_as_json(post: Post) -> None:
    post.send("a")
    post.send("a")
    post.send("b", "c")
    status, text = ask(post.sandbox.port, "GET", "/events")
    told = json.loads(text)
    assert status == 200
    assert [(arrival["id"], arrival["message"], arrival["times"]) for arrival in told["arrivals"]] == [
        ("a", "a", 2),
        ("b", "b-to-c", 1),
        ("c", "b-to-c", 1),
    ]
    first = told["arrivals"][0]
    assert (first["type"], first["verified"]) == ("enrollment.created", True)
    assert first["first"] < first["last"]
    assert first["body"]["data"]["contact"] == "c_a"
    assert (told["requests"], told["refused"]) == (3, {})


def test_it_shows_a_page_in_which_nothing_that_arrived_is_markup(post: Post) -> None:
    post.open().send(batch("<script>a"), nothing)
    status, text = ask(post.sandbox.port, "GET", "/")
    assert status == 200
    assert "1 arrived in 1 requests" in text
    assert "&lt;script&gt;a" in text
    assert "<script" not in text


def test_it_forgets_on_demand(post: Post) -> None:
    post.send("a")
    post.meets("503")
    assert ask(post.sandbox.port, "POST", "/reset", {})[0] == 200
    assert post.seen == {}
    assert post.sandbox.count == 0
    assert post.send("a").verdict is Verdict.SENT
    assert post.sandbox.count == 1


def test_cruelty_is_changed_while_it_runs(post: Post) -> None:
    assert ask(post.sandbox.port, "POST", "/cruel", {"next": ["400", "422"]})[0] == 200
    assert [post.send("a").verdict for _ in range(3)] == [Verdict.REJECTED, Verdict.REJECTED, Verdict.SENT]
    assert ask(post.sandbox.port, "POST", "/cruel", {"kinds": ["409"], "share": 1})[0] == 200
    assert [post.send("a").verdict for _ in range(3)] == [Verdict.REJECTED] * 3
    assert ask(post.sandbox.port, "POST", "/cruel", {"kinds": []})[0] == 200
    assert post.send("a").verdict is Verdict.SENT


@pytest.mark.parametrize("order", [{"next": ["angry"]}, {"kinds": 7}, ["next"], {"kinds": ["503"], "share": "half"}])
def test_an_order_it_does_not_understand_is_refused(post: Post, order: object) -> None:
    assert ask(post.sandbox.port, "POST", "/cruel", order)[0] == 400
    assert post.send("a").verdict is Verdict.SENT


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Host": "127.0.0.1:1"}])
@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/events"), ("POST", "/reset"), ("POST", "/cruel")])
def test_a_page_of_another_site_learns_and_changes_nothing(post: Post, headers: dict[str, str], method: str, path: str) -> None:
    post.send("a")
    status, text = ask(post.sandbox.port, method, path, {} if method == "POST" else None, headers)
    assert status == 403
    assert "c_a" not in text
    assert post.seen == {"a": 1}


def test_it_listens_on_this_machine_only(post: Post) -> None:
    assert vars(post.sandbox)["_server"].server_address[0] == "127.0.0.1"


def test_nothing_is_found_elsewhere(post: Post) -> None:
    assert ask(post.sandbox.port, "GET", "/else")[0] == 404


# ---------------------------------------------------------------- what it believes


def test_what_is_not_signed_is_not_taken(post: Post) -> None:
    status, text = ask(post.sandbox.port, "POST", "/hook", {"type": "x"})
    assert (status, json.loads(text)) == (401, "not believed: no webhook-id")
    assert post.seen == {}
    assert post.sandbox.inbox.refused == {"no webhook-id": 1}


def test_what_has_no_length_is_not_waited_for(post: Post) -> None:
    with socket.create_connection(("127.0.0.1", post.sandbox.port), timeout=10) as connection:
        connection.sendall(b"POST /hook HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 411")


@pytest.mark.parametrize(("length", "status"), [("9" * 11, "413"), ("9" * 5000, "413"), ("-1", "411"), ("ten", "411")])
def test_lengths_that_nobody_means_are_refused(post: Post, length: str, status: str) -> None:
    with socket.create_connection(("127.0.0.1", post.sandbox.port), timeout=10) as connection:
        connection.sendall(f"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        assert connection.recv(100).startswith(f"HTTP/1.1 {status}".encode())


def test_a_sender_that_goes_away_in_the_middle_is_forgotten(post: Post) -> None:
    with socket.create_connection(("127.0.0.1", post.sandbox.port), timeout=10) as connection:
        connection.sendall(b"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert post.send("a").verdict is Verdict.SENT
    assert post.seen == {"a": 1}


def test_it_believes_each_of_its_secrets() -> None:
    secrets = [new_secret(), new_secret()]
    with WebhookSandbox(clock=utc_now, secrets=secrets) as sandbox:
        post = Post(sandbox)
        for secret in secrets:
            assert post.send("a", secrets=[secret]).verdict is Verdict.SENT
        with pytest.raises(DestinationStopped):
            post.send("a", secrets=[new_secret()])
        for destination in post.opened:
            destination.close()
        assert post.seen == {"a": 2}


def test_cloudevents_are_told_by_their_ids(post: Post) -> None:
    post.send("a", format="cloudevents")
    post.send("a", "b", format="cloudevents")
    assert post.seen == {"a": 2, "b": 1}


def test_many_at_once_are_each_taken_once(post: Post) -> None:
    destination = post.open()
    threads = [
        threading.Thread(target=lambda part=part: [destination.send(batch(f"{part}-{n}"), nothing) for n in range(20)]) for part in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(post.seen) == 160
    assert set(post.seen.values()) == {1}
    assert len(post.sandbox.requests) == 160 < KEPT


# ---------------------------------------------------------------- how it is cruel


@pytest.mark.parametrize("kind", [*NAMED, "200", "503", "503-applied", "429"])
def test_every_kind_of_cruelty_takes_what_it_says_it_takes(post: Post, kind: str) -> None:
    """One attempt only: what comes of it is in the faults."""
    post.meets(kind)
    try:
        post.send("a", patience=0)
    except DestinationStopped:
        assert kind == "redirect"
    assert post.sandbox.requests[0].met == kind
    assert post.seen == ({"a": 1} if misbehaviour(kind).applies else {})


@pytest.mark.parametrize("kind", ["angry", "199", "600", "503-", "applied", ""])
def test_other_kinds_there_are_not(kind: str) -> None:
    with pytest.raises(SegmentryError, match="hang-applied"):
        Cruelty([kind])


def test_the_same_seed_is_the_same_cruelty() -> None:
    def drawn(seed: int) -> list[str | None]:
        cruelty = Cruelty(["503", "reset"], share=0.5, seed=seed)
        return [None if due is None else due.name for due in (cruelty.due() for _ in range(200))]

    assert drawn(1) == drawn(1) != drawn(2)
    assert {None, "503", "reset"} == set(drawn(1))
    assert 60 < drawn(1).count(None) < 140


def test_through_any_cruelty_that_passes_everything_arrives_in_the_end(post: Post, seed: int) -> None:
    """A sender that asks again for whatever is for later loses nothing, and repeats are one thing."""
    harsh = ["429", "500-applied", "503", "truncated", "reset", "reset-applied", "close-applied", "garbage", "502"]
    post.sandbox.cruelty.set(harsh, share=0.6)
    vars(post.sandbox.cruelty)["_draws"].seed(seed)
    destination = post.open()
    due = [batch(f"{n}") for n in range(60)]
    for _ in range(200):
        due = [told for told in due if destination.send(told, nothing)[0].verdict is not Verdict.SENT]
        if not due:
            break
    assert due == []
    assert set(post.seen) == {f"{n}" for n in range(60)}
    assert max(post.seen.values()) > 1


# ---------------------------------------------------------------- what it keeps


def test_what_it_took_outlives_it(tmp_path: Path) -> None:
    for _ in range(2):
        with WebhookSandbox(clock=utc_now, store=tmp_path / "kept") as sandbox:
            post = Post(sandbox)
            post.send("a", "b")
            post.opened.pop().close()
    with WebhookSandbox(clock=utc_now, store=tmp_path / "kept") as sandbox:
        assert Post(sandbox).seen == {"a": 2, "b": 2}
        sandbox.reset()
    with WebhookSandbox(clock=utc_now, store=tmp_path / "kept") as sandbox:
        assert Post(sandbox).seen == {}


def test_a_line_that_a_kill_cut_off_is_as_if_it_never_came(tmp_path: Path) -> None:
    with WebhookSandbox(clock=utc_now, store=tmp_path) as sandbox:
        post = Post(sandbox)
        post.send("a")
        post.send("b")
        for destination in post.opened:
            destination.close()
    path = tmp_path / "webhook.ndjson"
    path.write_bytes(path.read_bytes()[:-7])
    with WebhookSandbox(clock=utc_now, store=tmp_path) as sandbox:
        assert Post(sandbox).seen == {"a": 1}
    assert path.read_bytes().endswith(b"}\n")


# ---------------------------------------------------------------- mistakes, and the end


def test_a_port_that_is_taken_is_told(post: Post) -> None:
    with pytest.raises(SegmentryError, match=f"port {post.sandbox.port} can't be listened on: Address already in use"):
        WebhookSandbox(clock=utc_now, port=post.sandbox.port)


def test_a_secret_that_is_none_is_told_without_saying_it() -> None:
    with pytest.raises(SegmentryError, match="no webhook secret") as refused:
        WebhookSandbox(clock=utc_now, secrets=["hunter2"])
    assert "hunter2" not in str(refused.value)


def test_it_ends_while_somebody_waits_for_it() -> None:
    with WebhookSandbox(clock=utc_now) as sandbox:
        post = Post(sandbox)
        sandbox.cruelty.script(["hang", "slow"])
        waiting = [threading.Thread(target=post.send, args=(id,)) for id in ("a", "b")]
        for thread in waiting:
            thread.start()
    for thread in waiting:
        thread.join()
    for destination in post.opened:
        destination.close()
    assert not [thread for thread in threading.enumerate() if "webhook-sandbox" in thread.name]


# ---------------------------------------------------------------- the command


@contextmanager
def command(*words: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`segmentry sandbox webhook` in a process of its own, and what it prints at its start."""
    arguments = [sys.executable, "-c", PROGRAM, "webhook", "--port", "0", *words]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environ})
    assert process.stdout
    try:
        printed = dict(process.stdout.readline().split() for _ in range(1 if environ else 2))
        yield process, printed
    finally:
        process.kill()
        process.communicate()


def tell(url: str, secret: str, *ids: str) -> list[Verdict]:
    from segmentry.engine.connectors.registry import open_destination

    settings: dict[str, Any] = {"type": "webhook", "url": url, "secrets": ["${S}"], "allow_private": True, "timeout": "5 s"}
    destination = open_destination("crm", settings, context(S=secret))
    try:
        return [destination.send(batch(id), nothing)[0].verdict for id in ids]
    finally:
        destination.close()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--cruel", "503,angry"], "`angry` is no way to be cruel"),
        (["--secret-env", "NO_SUCH_SECRET"], "the environment variable NO_SUCH_SECRET is not set"),
        (["--secret-env", "PATH"], "no webhook secret"),
    ],
)
def test_the_command_says_what_it_can_not_do(words: list[str], says: str) -> None:
    found = CliRunner().invoke(sandbox, ["webhook", "--port", "0", *words]).exception
    assert isinstance(found, SegmentryError)
    assert says in str(found)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_receives_until_it_is_asked_to_stop(number: int) -> None:
    with command() as (process, printed):
        assert tell(printed["url"], printed["secret"], "a", "b") == [Verdict.SENT] * 2
        process.send_signal(number)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "a: verified" in told
    assert told.splitlines()[-1] == "2 arrived in 2 requests"
    assert "Traceback" not in told


def test_the_command_takes_its_secret_from_the_environment_and_does_not_print_it() -> None:
    secret = new_secret()
    with command("--secret-env", "HOOK_SECRET", HOOK_SECRET=secret) as (process, printed):
        assert tell(printed["url"], secret, "a") == [Verdict.SENT]
        process.terminate()
        rest, told = process.communicate(timeout=20)
    assert list(printed) == ["url"]
    assert secret not in rest + told


def test_the_command_killed_after_applying_keeps_what_it_took(tmp_path: Path) -> None:
    secret = new_secret()
    words = ("--secret-env", "HOOK_SECRET", "--store", str(tmp_path))
    with command(*words, "--cruel", "reset-applied", "--share", "1", HOOK_SECRET=secret) as (process, printed):
        assert tell(printed["url"], secret, "a") == [Verdict.LATER]
        process.kill()
    with command(*words, HOOK_SECRET=secret) as (process, printed):
        assert tell(printed["url"], secret, "a") == [Verdict.SENT]
        status, text = ask(int(printed["url"].rsplit(":", 1)[1].split("/")[0]), "GET", "/events")
    assert status == 200
    assert [(arrival["id"], arrival["times"]) for arrival in json.loads(text)["arrivals"]] == [("a", 2)]
