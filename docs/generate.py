"""Writes the generated parts of the documentation from the code's own tables: `python docs/generate.py` (`make docs`).

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; a test fails where one is not what this would write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from segmentry import cli
from segmentry.engine import codes as engine_codes
from segmentry.rules import codes as rule_codes
from segmentry.rules import manual

DOCS = Path(__file__).parent
FILES = ("rules.md", "errors.md", "commands.md")
PART = re.compile(r"(?P<open><!-- generated: (?P<name>[^>]+?) -->\n).*?(?P<close><!-- end -->)", re.DOTALL)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; a bar in a cell is escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def codes(meanings: Mapping[str, str]) -> str:
    """Codes and what they mean, in order."""
    return table(("code", "what is wrong"), [(f"`{code}`", meanings[code]) for code in sorted(meanings)])


def commands() -> str:
    """Every command with its arguments and the first sentence of its help."""
    rows = []
    for name, command in sorted(cli.cli.commands.items()):
        context = click.Context(command, info_name=name)
        arguments = [word for word in command.collect_usage_pieces(context) if word != "[OPTIONS]"]
        rows.append((f"`{' '.join([name, *arguments])}`", command.get_short_help_str(limit=200)))
    return table(("command", "does"), rows)


PARTS: dict[str, Callable[[], str]] = {
    "functions": manual.function_tables,
    "operators": manual.operator_table,
    "commands": commands,
    "codes of rules": lambda: codes(rule_codes.CODES),
    "codes of workspaces": lambda: codes({code: text for code, text in engine_codes.CODES.items() if code.startswith("W")}),
    "codes of sources": lambda: codes({code: text for code, text in engine_codes.CODES.items() if code.startswith("S")}),
}


def generated(text: str) -> str:
    """A document with its generated parts made anew."""
    return PART.sub(lambda found: found["open"] + PARTS[found["name"]]() + found["close"], text)


if __name__ == "__main__":
    for path in (DOCS / name for name in FILES):
        path.write_text(generated(path.read_text(encoding="utf-8")), encoding="utf-8")
