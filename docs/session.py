"""Plays the README's session and writes down what is really printed: `python docs/session.py` (`make session`).

The session is the block that begins with ```` ```console ````. Each line after `$ ` is a command; they run in order in one shell, in an
empty folder. Where the block has a line `...`, as many lines as stand before and after it are kept and the rest is left out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"(?<=```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
MARK = "--- end of a command ---"


def split(block: str) -> list[tuple[str, list[str]]]:
    """The commands of a session, each with the lines that it printed."""
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(lines[0], [line for line in lines[1:] if line]) for lines in (part.split("\n") for part in parts)]


def play(commands: list[str]) -> list[list[str]]:
    """What each command prints, on both streams, in an empty folder; stops with an error if one fails."""
    script = "set -e\n" + "".join(f"{command}\necho '{MARK}'\n" for command in commands)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": programs, "PYTHONPATH": str(README.parent), "COLUMNS": "120"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["bash", "-c", script],  # noqa: S607  (the shell that the reader has)
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the session failed:\n{done.stdout}")
    printed = done.stdout.split(MARK + "\n")[:-1]
    return [[line.rstrip() for line in part.splitlines() if line.strip()] for part in printed]


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
    (block,) = BLOCK.findall(text)
    steps = split(block)
    played = play([command for command, _ in steps])
    told = [[f"$ {command}", *abridged(printed, shown)] for (command, shown), printed in zip(steps, played, strict=True)]
    README.write_text(BLOCK.sub(lambda _: "\n\n".join("\n".join(lines) for lines in told) + "\n", text), encoding="utf-8")


if __name__ == "__main__":
    main()
