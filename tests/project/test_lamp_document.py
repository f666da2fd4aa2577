"""What docs/lamp.md shows is what is printed: its workspace is laid out, and its commands are run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Shop

TEXT = (Path(__file__).parents[2] / "docs" / "lamp.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ segmentry (.*)\n((?:(?!\$ |```).*\n)*)", TEXT, re.MULTILINE)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    found = Shop(tmp_path_factory.mktemp("lamp"))
    for path, text in re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL):
        found.write(path, text)
    found.run("recompute", "--first-run", "--as-of", "2026-03-01T12:00Z")
    return found


def test_the_document_shows_commands() -> None:
    assert [line.split()[0] for line, _ in COMMANDS] == ["preview", "explain", "explain", "overlap"]


@pytest.mark.parametrize(("line", "shown"), COMMANDS, ids=[f"{number} {line[:30]}" for number, (line, _) in enumerate(COMMANDS)])
def test_a_command_prints_what_is_shown(shop: Shop, line: str, shown: str) -> None:
    words = [word[1:-1] if word.startswith('"') else word for word in re.findall(r'"[^"]*"|\S+', line)]
    assert shop.run(*words).stdout.rstrip() == shown.rstrip()
