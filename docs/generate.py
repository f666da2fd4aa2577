"""Writes the generated parts of the documentation from the code's own tables: `python docs/generate.py` (`make docs`).

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; a test fails where one is not what this would write.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
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
    rows: list[tuple[str, ...]] = [(f"`{usage}`", command.get_short_help_str(limit=200)) for usage, command, _ in every_command(cli.cli)]
    return table(("command", "does"), rows)


def every_command(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every command as it is called with its arguments, those of groups behind their group; a group itself only where it does something."""
    for name, command in sorted(group.commands.items()):
        words = f"{before}{name}"
        context = click.Context(command, info_name=words)
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                yield words, command, context
            yield from every_command(command, f"{words} ")
        else:
            arguments = [word for word in command.collect_usage_pieces(context) if word != "[OPTIONS]"]
            yield " ".join([words, *arguments]), command, context


SHARED = {"workspace", "env", "log_format"}
"""Options that every command has; the text above the table tells of them."""


def options() -> str:
    """Every command's help in full: what it does, and its own options."""
    sections = []
    for usage, command, context in every_command(cli.cli):
        own = [option for option in command.params if isinstance(option, click.Option) and option.name not in SHARED]
        rows: list[tuple[str, ...]] = [(f"`{record[0]}`", record[1]) for option in own if (record := option.get_help_record(context))]
        text = re.sub(r"\x08\n(.*?)(\Z|\n\n)", r"```\n\1\n```\2", inspect.cleandoc(command.help or ""), flags=re.DOTALL)
        sections.append("\n".join([f"### {usage}\n", text, *([f"\n{table(('option', 'does'), rows)}"] if rows else [""])]))
    return "\n".join(sections)


PARTS: dict[str, Callable[[], str]] = {
    "functions": manual.function_tables,
    "operators": manual.operator_table,
    "commands": commands,
    "options": options,
    "codes of rules": lambda: codes(rule_codes.CODES),
    "codes of workspaces": lambda: codes({code: text for code, text in engine_codes.CODES.items() if code.startswith("W")}),
    "codes of sources": lambda: codes({code: text for code, text in engine_codes.CODES.items() if code.startswith("S")}),
    "codes of statements": lambda: codes({code: text for code, text in engine_codes.CODES.items() if code.startswith("X")}),
}


def generated(text: str) -> str:
    """A document with its generated parts made anew."""
    return PART.sub(lambda found: found["open"] + PARTS[found["name"]]() + found["close"], text)


if __name__ == "__main__":
    for path in (DOCS / name for name in FILES):
        path.write_text(generated(path.read_text(encoding="utf-8")), encoding="utf-8")
