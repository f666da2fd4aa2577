"""`segmentry sandbox klaviyo`, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from segmentry.cli_sandbox import sandbox
from segmentry.errors import SegmentryError
from segmentry.sandbox.klaviyo_state import list_id

PROGRAM = "import sys; from segmentry.cli_sandbox import sandbox; sandbox(sys.argv[1:])"


@contextmanager
def command(*words: str, lines: int = 4, **environ: str) -> Iterator[tuple[subprocess.Popen[str], list[list[str]]]]:
    """The process, and the words of the lines that it prints at its start."""
    arguments = [sys.executable, "-c", PROGRAM, "klaviyo", "--port", "0", *words]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environ})
    assert process.stdout
    try:
        yield process, [process.stdout.readline().split(maxsplit=2) for _ in range(lines)]
    finally:
        process.kill()
        process.communicate()


def ask(url: str, key: str, path: str, method: str = "GET", body: object = None) -> httpx.Response:
    headers = {"Authorization": f"Klaviyo-API-Key {key}", "revision": "2026-07-15", "Content-Type": "application/vnd.api+json"}
    return httpx.request(method, url + path, headers=headers, json=body, verify=False)


PERSON = {"data": {"type": "profile", "attributes": {"email": "a@x.io"}}}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--cruel", "503,angry"], "`angry` is no way to be cruel"),
        (["--key-env", "NO_SUCH_KEY"], "the environment variable NO_SUCH_KEY is not set"),
    ],
)
def test_it_says_what_it_can_not_do(words: list[str], says: str) -> None:
    found = CliRunner().invoke(sandbox, ["klaviyo", "--port", "0", *words]).exception
    assert isinstance(found, SegmentryError)
    assert says in str(found)


def test_it_stands_in_until_it_is_asked_to_stop_and_prints_what_a_destination_must_know() -> None:
    with command("--account", "Ab12Cd", "--list", "VIP", "--list", "Big spenders", lines=5) as (process, printed):
        (_, url), (_, account), (_, key), *lists = printed
        assert account == "Ab12Cd"
        assert lists == [["list", list_id(name), f"{name}\n"] for name in ("VIP", "Big spenders")]
        assert ask(url, key, "/api/accounts").json()["data"][0]["id"] == "Ab12Cd"
        assert ask(url, key, "/api/profile-import", "POST", PERSON).status_code == 201
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "POST /api/profile-import: 201" in told
    assert told.splitlines()[-1] == "1 profiles and 0 events in 2 requests"
    assert key not in told
    assert "Traceback" not in told


def test_it_takes_its_key_from_the_environment_and_does_not_print_it() -> None:
    with command("--key-env", "THE_KEY", lines=3, THE_KEY="pk_mine") as (process, printed):
        assert [words[0] for words in printed] == ["url", "account", "list"]
        assert ask(printed[0][1], "pk_mine", "/api/accounts").status_code == 200
        process.terminate()
        rest, told = process.communicate(timeout=20)
    assert "pk_mine" not in rest + told


def test_killed_after_applying_it_keeps_what_it_took_and_its_key(tmp_path: Path) -> None:
    words = ("--store", str(tmp_path))
    with command(*words, "--cruel", "reset-applied", "--share", "1") as (process, printed):
        url, key = printed[0][1], printed[2][1]
        with pytest.raises(httpx.TransportError):
            ask(url, key, "/api/profile-import", "POST", PERSON)
        process.kill()
    with command(*words) as (_, printed):
        assert printed[2][1] == key
        assert ask(printed[0][1], key, "/api/profile-import", "POST", PERSON).status_code == 200
