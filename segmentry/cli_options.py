"""The options that commands share, and what they resolve to: a workspace, somebody to talk to, a format to print in."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from segmentry.cli_talk import Talk

if TYPE_CHECKING:
    from segmentry.engine.workspace import Workspace

Function = TypeVar("Function", bound=Callable[..., Any])

FORMATS = ("table", "json", "csv", "ndjson", "parquet")


@dataclass
class Settings:
    """What the shared options say; every command gets it as its first argument."""

    workspace: Path = Path()
    env: str = "default"
    log_format: str = "text"
    exit_code: int = 0
    """What a command ends with that did its work but has to say no, for instance `fmt --check`."""

    @cached_property
    def talk(self) -> Talk:
        return Talk(self.log_format)

    def open(self) -> Workspace:
        """The workspace that was named; its files are read by whatever needs them, once."""
        with _loading("segmentry.engine.workspace"):
            from segmentry.engine.workspace import Workspace

        return Workspace(self.workspace, self.env)


@contextmanager
def _loading(module: str) -> Iterator[None]:
    """A block that imports a large module. What that makes stays, so nothing looks through it for rubbish: a tenth of a command's start."""
    if module in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


pass_settings = click.make_pass_decorator(Settings, ensure=True)


def workspace_options(*, top: bool = False) -> Callable[[Function], Function]:
    """`--workspace`, `--env`, `--log-format`, before or after the command's name; the environment is read once, at the top."""

    def store(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None and parameter.name:
            setattr(context.ensure_object(Settings), parameter.name, value)

    def variable(name: str) -> str | None:
        return name if top else None

    options = (
        click.option(
            "--workspace",
            type=click.Path(file_okay=False, path_type=Path),
            envvar=variable("SEGMENTRY_WORKSPACE"),
            callback=store,
            expose_value=False,
            help="The workspace's folder; also SEGMENTRY_WORKSPACE. Default: this folder.",
        ),
        click.option(
            "--env",
            envvar=variable("SEGMENTRY_ENV"),
            callback=store,
            expose_value=False,
            help="The environment of segmentry.yml; also SEGMENTRY_ENV. Default: default.",
        ),
        click.option(
            "--log-format",
            type=click.Choice(["text", "json"]),
            callback=store,
            expose_value=False,
            help="How to talk on stderr. Default: text.",
        ),
    )
    return _all(options)


def format_options(*, files: bool = False, safe: bool = False) -> Callable[[Function], Function]:
    """`--format`, and where rows come out `--output` and `--safe`."""
    choices = FORMATS if files else FORMATS[:3]
    options = [
        click.option(
            "--format", "form", type=click.Choice(choices), help="How to print. Default: table, or what the name of --output ends with."
        )
    ]
    if files:
        options.append(
            click.option(
                "--output",
                type=click.Path(dir_okay=False, path_type=Path),
                help="Write to this file, whole or not at all; parquet needs it.",
            )
        )
    if safe:
        options.append(
            click.option("--safe", is_flag=True, help="With csv: an apostrophe before text that a spreadsheet would run as a formula.")
        )
    return _all(tuple(options))


def _all(options: tuple[Callable[[Function], Function], ...]) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def chosen_format(form: str | None, output: Path | None = None, *, safe: bool = False) -> str:
    """The format to print in: the one asked for, else what the output file's name says, else a table; UsageError where they clash."""
    if form is None and output is not None:
        form = output.suffix.lstrip(".").lower()
        if form not in FORMATS[1:]:
            raise click.UsageError(f"`{output}` does not end with .json, .csv, .ndjson or .parquet; say which with --format.")
    form = form or "table"
    if form == "parquet" and output is None:
        raise click.UsageError("--format parquet needs --output FILE.")
    if form == "table" and output is not None:
        raise click.UsageError("a table goes to the terminal; choose --format json, csv, ndjson or parquet for --output.")
    if safe and form != "csv":
        raise click.UsageError("--safe is for --format csv.")
    return form


# ---------------------------------------------------------------- arguments


class Instant(click.ParamType[datetime]):
    """`2026-01-31`, `2026-01-31T09:00` (UTC) or with an offset: a moment, aware."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        from segmentry.engine.instants import instant

        try:
            return instant(str(value))
        except ValueError:
            self.fail(f"`{value}` is not a time; write 2026-01-31T09:00:00Z.", param, ctx)


class Wait(click.ParamType[timedelta]):
    """`30s`, `10m`, `2h`: how long to wait."""

    name = "duration"
    units: Mapping[str, str] = {"s": "seconds", "m": "minutes", "h": "hours"}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d+)\s*(?:(s)(?:ec(?:onds?)?)?|(m)(?:in(?:utes?)?)?|(h)(?:ours?)?)", str(value).strip().lower())
        if match is None:
            self.fail(f"`{value}` is not a duration; write 30s, 10m or 2h.", param, ctx)
        unit = next(letter for letter in match.groups()[1:] if letter)
        try:
            return timedelta(**{self.units[unit]: int(match[1])})
        except OverflowError:
            self.fail(f"`{value}` is longer than anybody waits; write 30s, 10m or 2h.", param, ctx)


class SegmentName(click.ParamType[str]):
    """A segment's name; the shell completes it from the workspace's files, without reading them."""

    name = "segment"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's signature
        folder = _completion_workspace(ctx) / "segments"
        names = sorted(path.stem for path in folder.glob("*.yml")) if folder.is_dir() else []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _completion_workspace(context: click.Context) -> Path:
    """Where a completion looks: the option as far as it is typed, else the environment, else here."""
    here: click.Context | None = context
    while here is not None:
        if isinstance(here.obj, Settings) and here.obj.workspace != Path():
            return here.obj.workspace
        here = here.parent
    return Path(os.environ.get("SEGMENTRY_WORKSPACE", "."))


LIMIT = click.IntRange(min=0, max=10**9)
"""How many rows to show; a number that every reader of rows can count to."""

WAIT_HELP = "Wait so long for another run to end (30s, 10m, 2h). Default: not at all, exit 75."
INSTANT, WAIT, SEGMENT = Instant(), Wait(), SegmentName()
