"""What a command says to its user while it works: lines and progress on stderr, as text or as JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from segmentry.cli_output import console, is_terminal, json_value

if TYPE_CHECKING:
    from segmentry.rules.diagnostics import Diagnostic

STYLES = {"error": "red", "warning": "yellow"}

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole that is done, 0 to 1."""


class Talk:
    """Says things on stderr: for people as text, with `--log-format json` as one JSON object a line."""

    def __init__(self, form: str = "text") -> None:
        self.form = form

    def say(self, message: str, **facts: object) -> None:
        """A line of news."""
        self._line("info", message, facts)

    def warn(self, message: str, **facts: object) -> None:
        self._line("warning", message, facts)

    def error(self, message: str, **facts: object) -> None:
        self._line("error", message, facts)

    def diagnostics(self, found: Iterable[Diagnostic]) -> None:
        """Problems with their places: rendered for people, whole for programs."""
        for item in found:
            severity = str(item.severity)
            if self.form == "json":
                self._line(severity, item.message, {"diagnostic": item.to_json()})
            else:
                head, _, rest = item.render().partition("\n")
                mark, _, message = head.partition(": ")
                text = click.style(mark, fg=STYLES[severity], bold=True) + f": {message}" + (f"\n{rest}" if rest else "")
                click.echo(text, err=True, color=self._color())

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """A progress bar while the block runs, where stderr is a terminal; elsewhere nothing at all."""
        if self.form == "json" or not is_terminal(sys.stderr):
            yield _unseen
            return
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
            task = bar.add_task(title, total=1.0)
            yield lambda doing, share: bar.update(task, description=f"{title}: {doing}", completed=share)

    def _line(self, level: str, message: str, facts: dict[str, object]) -> None:
        if self.form == "json":
            record = {"time": datetime.now(UTC), "level": level, "message": message, **facts}
            click.echo(json.dumps(record, ensure_ascii=False, default=json_value), err=True)
        elif level in STYLES:
            click.echo(click.style(level, fg=STYLES[level], bold=True) + f": {message}", err=True, color=self._color())
        else:
            click.echo(message, err=True)

    @staticmethod
    def _color() -> bool:
        return is_terminal(sys.stderr)


def _unseen(_doing: str, _share: float) -> None:
    """Progress that nobody looks at."""
