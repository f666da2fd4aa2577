"""What docs/splits.md shows is what is printed: its files are laid out and its commands are run, in the order of the page."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import duckdb
import pytest

from tests.cli.conftest import Shop

PAGE = Path(__file__).parents[2] / "docs" / "splits.md"
TEXT = PAGE.read_text(encoding="utf-8")
COMMAND = re.compile(r"^\$ segmentry (.*)\n((?:(?!\$ |```).*\n)*)", re.MULTILINE)
FILE = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)


def played(folder: Path) -> list[tuple[str, str, str]]:
    """Every command, what the page shows and what is printed."""
    shop, found = Shop(folder), []
    steps = sorted([*FILE.finditer(TEXT), *COMMAND.finditer(TEXT)], key=re.Match.start)
    for step in steps:
        if step.re is FILE:
            shop.write(step[1], step[2])
        else:
            found.append((step[1], step[2].rstrip(), shop.run(*shlex.split(step[1])).stdout.rstrip()))
    return found


def rewritten(step: re.Match[str], printed: str) -> str:
    """A command with what it prints now, and the empty line behind it if there was one."""
    apart = "\n" if step[2] == "\n" or step[2].endswith("\n\n") else ""
    return f"$ segmentry {step[1]}\n{printed}".rstrip() + "\n" + apart


def test_its_commands_print_what_is_shown(tmp_path: Path) -> None:
    found = played(tmp_path)
    if os.environ.get("REGENERATE"):
        told = iter(found)
        PAGE.write_text(COMMAND.sub(lambda step: rewritten(step, next(told)[2]), TEXT), encoding="utf-8")
    assert [line.split()[0] for line, _, _ in found] == [
        *("test", "preview", "recompute", "members", "history", "recompute", "enrollments", "recompute", "diff", "enrollments", "explain")
    ]
    for line, shown, printed in found:
        assert printed == shown, line


@pytest.mark.parametrize("key", ["vip", "other"])
def test_its_sql_finds_the_same_groups(key: str) -> None:
    """The shares that it is written for are those at the head of the page."""
    from fractions import Fraction

    from segmentry.engine.splitting import Share, Split

    query = TEXT[TEXT.index("```sql\n") + 7 :]
    query = query[: query.index("```")].replace("'vip:", f"'{key}:").replace("from contacts", "from range(500) as contacts(contact_id)")
    split = Split(key, tuple(Share(name, name, Fraction(share, 100)) for name, share in (("holdout", 10), ("a", 45), ("b", 45))))
    with duckdb.connect() as connection:
        rows = connection.execute(query).fetchall()
    assert len({group for _, group in rows}) == 3
    assert all(split.group(str(contact)) == group for contact, group in rows)
