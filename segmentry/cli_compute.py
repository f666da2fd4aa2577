"""Commands that compute: plan, recompute."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from segmentry.cli_options import INSTANT, WAIT, WAIT_HELP, Settings, pass_settings, workspace_options
from segmentry.cli_output import print_frame, print_json, print_text
from segmentry.cli_signals import gently

OTHERWISE = ("rejected", "later", "unknown", "withdrawn", "expired", "left")
"""What may become of a delivery that was not sent."""

HELD, FAILED = 4, 3
"""Exit codes: a guard holds something; committed, but some deliveries failed."""


@click.command()
@click.option("--full", is_flag=True, help="Compute every contact, also where only some can have changed.")
@click.option("--as-of", type=INSTANT, help="The run's instant, for instance 2026-01-31T09:00Z. Default: now.")
@click.option("--dry-run", is_flag=True, help="Show what would happen, as `plan` does; store and send nothing.")
@click.option("--explain", is_flag=True, help="Print the plan too, with estimated and actual rows.")
@click.option("--no-deliver", is_flag=True, help="Send nothing after the run, also where the environment delivers.")
@click.option("--wait", type=WAIT, help=WAIT_HELP)
@click.option("--first-run", is_flag=True, help="Make the state folder if there is none.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def recompute(
    settings: Settings,
    full: bool,
    as_of: datetime | None,
    dry_run: bool,
    explain: bool,
    no_deliver: bool,
    wait: timedelta | None,
    first_run: bool,
    form: str,
) -> None:
    """Compute every segment, commit whole or not at all, then send what is due.

    Prints each segment's size and who came and went; --format json gives the whole report. Sends only in an environment that
    says `deliver: true`. Exit code 4: a guard holds something; 3: committed, but some deliveries failed.
    """
    workspace = settings.open()
    if dry_run and not (explain or first_run):
        show_forecast(settings, as_of, form)
        return
    with settings.talk.progress("recompute") as progress:
        run = workspace.recompute(as_of=as_of, full=full, first_run=first_run, dry_run=dry_run, wait=wait, progress=progress)
    settings.talk.diagnostics(run.warnings)
    if form == "json":
        print_json({**run.to_json(), **({"plan": run.plan_text()} if explain else {})})
    else:
        if explain:
            print_text(run.plan_text())
        print_frame(run.summary(), grouped=("size", "entered", "exited"))
        for sequence, outcomes in run.enrolled.items():
            settings.talk.say(f"{sequence}: " + ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items()))
        for line in (*run.syncs, *run.regrouped):
            settings.talk.say(line)
        settings.talk.say(run.headline())
    for reason in run.held:
        settings.talk.warn(reason)
    if run.held and run.committed:
        decide = f"segmentry approve {run.id}, or segmentry discard {run.id}"
        settings.talk.say(f"nothing of what is held counts yet; segmentry diff {run.id} --held shows it; {decide}")
    if run.committed and not no_deliver:
        send(settings)
    if run.held:
        settings.exit_code = HELD


@click.command()
@click.option("--as-of", type=INSTANT, help="The instant to plan for. Default: now.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def plan(settings: Settings, as_of: datetime | None, form: str) -> None:
    """Show what a run would do now; write nothing, send nothing.

    Sizes now and next, who would come and go and by which causes, whom it would enroll, what would bring syncs in step, how many
    calls that is and how many minutes at each destination's pace, and what guards would hold: then the exit code is 4.
    """
    show_forecast(settings, as_of, form)


def show_forecast(settings: Settings, as_of: datetime | None, form: str) -> None:
    """Prints what a run would do."""
    with settings.talk.progress("plan") as progress:
        forecast = settings.open().plan(as_of, progress=progress)
    settings.talk.diagnostics(forecast.warnings)
    if form == "json":
        print_json(forecast.to_json())
    else:
        from segmentry.engine.forecast import GROUPED

        for number, frame in enumerate(forecast.tables):
            if number:
                print_text("")
            print_frame(frame, grouped=GROUPED)
        from segmentry.engine.splitting import in_another_group

        for name, count in forecast.regrouped.items():
            settings.talk.say(in_another_group(name, count))
        settings.talk.say(forecast.headline())
    from segmentry.engine.guards import told

    for trip in forecast.trips:
        settings.talk.warn(told(trip))
    if forecast.held:
        settings.exit_code = HELD


def send(settings: Settings) -> None:
    """Sends what is due, and says what came of it; nothing is said where there is nothing to send."""
    with gently(), settings.talk.progress("deliver") as progress:
        delivered = settings.open().deliver(progress=progress)
    for message in delivered.messages if delivered.sends else ():
        settings.talk.warn(message)
    for name, one in delivered.destinations.items():
        counts = [f"{count:,} {what}" for what in OTHERWISE if (count := getattr(one, what))]
        synced = [f"{count:,} {what}" for what in ("synced", "exported") if (count := getattr(one, what))]
        settings.talk.say(f"{name}: " + ", ".join([f"{one.sent:,} sent", *synced, *counts, *one.messages]))
    if delivered.failed:
        settings.exit_code = FAILED


COMMANDS = (plan, recompute)
