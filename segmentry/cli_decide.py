"""Commands that decide on what guards hold: approve, discard, accept."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from segmentry.cli_options import SEGMENT, WAIT, WAIT_HELP, Settings, pass_settings, workspace_options
from segmentry.cli_output import print_frame, print_json

if TYPE_CHECKING:
    from segmentry.engine.deciding import Decided


@click.command()
@click.argument("run")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--wait", type=WAIT, help=WAIT_HELP)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def approve(settings: Settings, run: str, names: tuple[str, ...], wait: timedelta | None, form: str) -> None:
    """Accept what RUN holds, exactly as it was shown.

    All of it, or the segments and sequences that NAME says (`suppress` for the suppression). Refused where a later run has a
    newer hold, or where a rule was edited since. What that enrolls is due at once; `segmentry sync` sends it.
    """
    show(settings, settings.open().approve(run, names, wait=wait), form)


@click.command()
@click.argument("run")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--wait", type=WAIT, help=WAIT_HELP)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def discard(settings: Settings, run: str, names: tuple[str, ...], wait: timedelta | None, form: str) -> None:
    """Drop what RUN holds.

    Nothing of it is in any history. The next run compares again, and may hold again; held enrollments of a sequence end.
    """
    show(settings, settings.open().discard(run, names, wait=wait), form)


@click.command()
@click.argument("segment", type=SEGMENT)
@click.option("--as-baseline", is_flag=True, required=True, help="Enroll nobody who comes in by it.")
@click.option("--wait", type=WAIT, help=WAIT_HELP)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def accept(settings: Settings, segment: str, as_baseline: bool, wait: timedelta | None, form: str) -> None:
    """Take the membership that is held of SEGMENT, and enroll nobody."""
    del as_baseline  # there is no other way yet; whoever types it knows what happens
    show(settings, settings.open().accept_as_baseline(segment, wait=wait), form)


def show(settings: Settings, decided: Decided, form: str) -> None:
    """Prints what a decision did."""
    if form == "json":
        print_json(decided.to_json())
        return
    frame = decided.summary()
    if frame.height:
        print_frame(frame, grouped=("entered", "exited", "size"))
    for line in decided.told():
        settings.talk.say(line)


COMMANDS = (approve, discard, accept)
