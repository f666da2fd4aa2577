"""The command that computes: recompute."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from segmentry.cli_options import INSTANT, WAIT, WAIT_HELP, Settings, pass_settings, workspace_options
from segmentry.cli_output import print_frame, print_json, print_text


@click.command()
@click.option("--full", is_flag=True, help="Compute every contact, also where only some can have changed.")
@click.option("--as-of", type=INSTANT, help="The run's instant, for instance 2026-01-31T09:00Z. Default: now.")
@click.option("--dry-run", is_flag=True, help="Compute and show, store nothing.")
@click.option("--explain", is_flag=True, help="Print the plan too, with estimated and actual rows.")
@click.option("--wait", type=WAIT, help=WAIT_HELP)
@click.option("--first-run", is_flag=True, help="Make the state folder if there is none.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def recompute(
    settings: Settings, full: bool, as_of: datetime | None, dry_run: bool, explain: bool, wait: timedelta | None, first_run: bool, form: str
) -> None:
    """Compute every segment, commit whole or not at all.

    Prints each segment's size and who came and went; --format json gives the whole report.
    """
    workspace = settings.open()
    with settings.talk.progress("recompute") as progress:
        run = workspace.recompute(as_of=as_of, full=full, first_run=first_run, dry_run=dry_run, wait=wait, progress=progress)
    settings.talk.diagnostics(run.warnings)
    if form == "json":
        print_json({**run.to_json(), **({"plan": run.plan_text()} if explain else {})})
        return
    if explain:
        print_text(run.plan_text())
    print_frame(run.summary(), grouped=("size", "entered", "exited"))
    settings.talk.say(run.headline())


COMMANDS = (recompute,)
