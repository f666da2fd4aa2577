"""Plays the README's session and writes down what is really printed: `python docs/session.py` (`make session`).

The session is the blocks that begin with ```` ```console ````. Each line after `$ ` is a command; they run in order in one shell, in an
empty folder, those that end in `&` beside the others. Where a command has a line `...`, as many lines as stand before and after it are
kept and the rest is left out. Sandboxes listen at free ports instead of their own, and are said to be at their own.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"(?<=```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
MARK = "--- end of a command ---"
PORTS = {"webhook": "8787", "klaviyo": "8788", "mailchimp": "8789"}
"""Where sandboxes listen if nobody says otherwise."""
LISTENS = "for try in {1..600}; do grep -q Ctrl-C %s && break; sleep 0.1; done; head -4 %s"
"""A sandbox says how it ends when it listens; before that, what a destination must know of it."""


def split(block: str) -> list[tuple[str, list[str]]]:
    """The commands of a session, each with the lines that it printed."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(lines[0], [line for line in lines[1:] if line]) for lines in (part.split("\n") for part in parts)]


def play(commands: list[str]) -> list[list[str]]:
    """What each command prints, on both streams, in an empty folder; stops with an error if one fails."""
    ports = {port: _free_port() for port in PORTS.values()}
    lines = [_moved(command, ports) for command in commands]
    script = "set -e\ntrap 'kill $(jobs -p) 2> /dev/null; wait' EXIT\n" + "".join(f"{line}\necho '{MARK}'\n" for line in lines)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": programs, "PYTHONPATH": str(README.parent), "COLUMNS": "120"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["bash", "-c", script],  # noqa: S607  (the shell that the reader has)
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the session failed:\n{done.stdout}")
    shown = done.stdout
    for own, port in ports.items():
        shown = shown.replace(f":{port}", f":{own}")
    printed = shown.split(MARK + "\n")[:-1]
    return [[line.rstrip() for line in part.splitlines() if line.strip()] for part in printed]


def _moved(command: str, ports: dict[str, str]) -> str:
    """A command, with other ports than those that a sandbox of the reader's may have; one that goes on is waited for until it listens."""
    for own, port in ports.items():
        command = command.replace(f":{own}", f":{port}")
    if not command.endswith("&"):
        return command
    port = next(ports[own] for name, own in PORTS.items() if f"sandbox {name}" in command)
    said = f"sandbox-{port}.txt"
    return f"{command.removesuffix('&')} --port {port} > {said} 2>&1 &\n{LISTENS % (said, said)}"


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def abridged(printed: list[str], shown: list[str]) -> list[str]:
    """`printed`, with the middle left out where `shown` leaves it out."""
    if "..." not in shown:
        return printed
    before = shown.index("...")
    after = len(shown) - before - 1
    if len(printed) <= before + after:
        return printed
    return [*printed[:before], "...", *printed[len(printed) - after :]]


def main() -> None:
    """Write the session anew."""
    text = README.read_text(encoding="utf-8")
    blocks = [split(block) for block in BLOCK.findall(text)]
    played = iter(play([command for steps in blocks for command, _ in steps]))
    told = iter(
        "\n\n".join("\n".join([f"$ {command}", *abridged(next(played), shown)]) for command, shown in steps) + "\n" for steps in blocks
    )
    README.write_text(BLOCK.sub(lambda _: next(told), text), encoding="utf-8")


if __name__ == "__main__":
    main()
