"""The command `sync`: sends what is due, and what people say about keeping segments in step."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segmentry.cli_options import SEGMENT, WAIT, WAIT_HELP, Settings, chosen_format, format_options, pass_settings, workspace_options
from segmentry.cli_output import emit, is_terminal, print_frame, print_json
from segmentry.cli_signals import gently
from segmentry.errors import NotFound
from segmentry.rules.suggest import nearest

if TYPE_CHECKING:
    from segmentry.engine.sync_confirming import Proposal
    from segmentry.engine.workspace import Workspace

FAILED, HELD = 3, 4
"""Exit codes: some deliveries failed; a guard holds something."""

FIGURES = ("sent", "synced", "exported", "rejected", "later", "unknown", "withdrawn", "expired", "left")
COUNTS = ("waiting", "members", "out", "left", "rejected", "skipped", "baseline", "add", "update", "remove")
READ = ("there", "acknowledged", "left", "found", "by_hand", "unsettled", "add", "update", "remove")
DUE = ("add", "update", "remove", "enroll", "later", "calls")

SEND = "send"
"""The hidden command that `sync` is where no other word follows."""

form_option = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
target_option = click.option("--target", metavar="list:ID|tag:X", help="Which one, where the segment has several syncs to it.")
wait_option = click.option("--wait", type=WAIT, help=WAIT_HELP)
yes_option = click.option("--yes", is_flag=True, help="Don't ask.")


class SyncGroup(click.Group):
    """A group whose own work is done where the first word is none of its commands: then all words are destinations."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            return SEND, _send, args
        return super().resolve_command(ctx, args)


@click.group(cls=SyncGroup, invoke_without_command=True, subcommand_metavar="[DESTINATION]... | COMMAND [ARGS]...")
@click.option("--dry-run", is_flag=True, help="Only show what would be told: how much, in how many requests and minutes.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), help="How to print. Default: table.")
@workspace_options()
@click.pass_context
def sync(context: click.Context, dry_run: bool, form: str | None) -> None:
    """Send what is due.

    To every destination, or to those named. Ends with 3 if some deliveries failed: `segmentry deliveries` shows which. Only an
    environment with `deliver: true` sends anything. The commands below it say what becomes of segments that are kept in step.
    """
    if context.invoked_subcommand is None:
        send_due(context.ensure_object(Settings), (), dry_run=dry_run, form=form)


@click.command(SEND, hidden=True)
@click.argument("destinations", metavar="[DESTINATION]...", nargs=-1)
@click.option("--dry-run", is_flag=True)
@click.option("--format", "form", type=click.Choice(["table", "json"]))
@workspace_options()
@click.pass_context
def _send(context: click.Context, destinations: tuple[str, ...], dry_run: bool, form: str | None) -> None:
    before: dict[str, Any] = context.parent.params if context.parent is not None else {}
    settings = context.ensure_object(Settings)
    try:
        send_due(settings, destinations, dry_run=dry_run or bool(before.get("dry_run")), form=form or before.get("form"))
    except NotFound as error:
        command = nearest(destinations[0], sync.commands)
        raise NotFound(f"{error}" + (f"; there is a command `segmentry sync {command}`" if command else "")) from None


def send_due(settings: Settings, destinations: Sequence[str], *, dry_run: bool, form: str | None) -> None:
    """Sends what is due, or only shows it."""
    workspace = settings.open()
    if dry_run:
        due = workspace.due(destinations or None)
        _print(due.rows, due.to_json(), form, DUE)
        for message in due.messages:
            settings.talk.warn(message)
        return
    with gently(), settings.talk.progress("sync") as progress:
        found = workspace.deliver(destinations or None, progress=progress)
    _print(found.summary(), found.to_json(), form, FIGURES)
    for message in found.messages:
        settings.talk.warn(message)
    for name, one in found.destinations.items():
        for message in one.messages:
            settings.talk.warn(f"{name}: {message}")
    if found.failed:
        settings.exit_code = FAILED


# ---------------------------------------------------------------- looking


@click.command("list")
@format_options(files=True, safe=True)
@workspace_options()
@pass_settings
def list_(settings: Settings, form: str | None, output: Path | None, safe: bool) -> None:
    """Show every sync, and what of it is out of step, and why.

    Members that the destination acknowledged, who left there, who was rejected or skipped and for which reasons, and what is still
    to be told. No address is shown.
    """
    chosen = chosen_format(form, output, safe=safe)
    emit(settings.open().syncs(), chosen, output=output, safe=safe, grouped=COUNTS)


@click.command()
@click.argument("segment", type=SEGMENT, required=False)
@click.argument("destination", required=False)
@click.option("--dry-run", is_flag=True, help="Only show what is different; nothing is taken.")
@click.option("--yes", is_flag=True, help="Also take it where most members of a sync are gone.")
@wait_option
@form_option
@workspace_options()
@pass_settings
def reconcile(
    settings: Settings, segment: str | None, destination: str | None, dry_run: bool, yes: bool, wait: timedelta | None, form: str
) -> None:
    """Read members back, and mend what is known of them.

    Of all syncs, or those of SEGMENT, to DESTINATION. Nobody there is touched: whoever is not there any more has left and is never put
    back, whoever was put in by hand is let be, and who should be there and is counts as a member. What then differs is sent by
    `segmentry sync`. Ends with 1 where something can't be read, and with 4 where most members are gone, which --yes takes. A webhook
    never says who is there: that is told, and ends with 1 only if that sync is named.
    """
    from segmentry.engine.sync_reading_back import report

    workspace = settings.open()
    with gently(), settings.talk.progress("reconcile"):
        found = workspace.reconcile(segment, destination, dry_run=dry_run, accept_losses=yes, wait=wait)
    _print(report(found).drop("note"), {"syncs": [one.to_json() for one in found], "dry_run": dry_run}, form, READ)
    for one in found:
        if one.note is not None:
            settings.talk.warn(f"{one.name}: {one.note}")
    if any(one.held for one in found):
        settings.exit_code = HELD
    named = destination is not None or (segment is not None and len(found) == 1)
    if any(one.unread and (one.readable or named) for one in found):
        settings.exit_code = 1
    if not found:
        settings.talk.say("no sync goes on: `segmentry sync list` shows what they wait for")


# ---------------------------------------------------------------- deciding


@click.command()
@click.argument("segment", type=SEGMENT)
@click.argument("destination")
@target_option
@click.option("--send", "answer", flag_value="send", help="Add those who are in.")
@click.option("--skip", "answer", flag_value="skip", help="Let those who are in be; only later entrants are added.")
@yes_option
@wait_option
@form_option
@workspace_options()
@pass_settings
def confirm(
    settings: Settings,
    segment: str,
    destination: str,
    target: str | None,
    answer: str | None,
    yes: bool,
    wait: timedelta | None,
    form: str,
) -> None:
    """Say what becomes of those who are in when a sync starts.

    SEGMENT is kept in step with DESTINATION from now on. Shows how many there are and what is known of the list or tag there, and
    asks; the answer counts once, for exactly this list or tag. `segmentry sync` sends.
    """
    if answer is None:
        raise click.UsageError("say --send to add those who are in, or --skip to let them be.")
    workspace = settings.open()
    proposal = workspace.propose_sync(segment, destination, "send" if answer == "send" else "skip", target=target)
    if proposal.before is None:
        _ask_to_confirm(settings, proposal, yes=yes)
        found = workspace.confirm_sync(
            segment, destination, "send" if answer == "send" else "skip", target=target, run=proposal.run, wait=wait
        )
    else:
        found = proposal
    if form == "json":
        print_json({**proposal.to_json(), "confirmed_before": found.before is not None})
    if found.before is not None:
        settings.talk.say(found.lines()[0])
    else:
        settings.talk.say(f"{found.name}: confirmed" + ("; `segmentry sync` sends" if found.added else ""))


def _ask_to_confirm(settings: Settings, proposal: Proposal, *, yes: bool) -> None:
    """Shows what it comes to and asks; Abort if not. UsageError where nobody can be asked."""
    lines = [*proposal.lines(), *(f"note: {warning}" for warning in proposal.warnings)]
    if not yes and not is_terminal(sys.stdin):
        raise click.UsageError("\n".join([*lines, "Without a terminal to ask on, say --yes."]))
    for line in proposal.lines():
        settings.talk.say(line)
    for warning in proposal.warnings:
        settings.talk.warn(warning)
    if not yes and proposal.unread is not None:
        raise click.UsageError("what is there can't be seen; say --yes to confirm all the same.")
    if not yes:
        click.confirm(f"Go on with --{proposal.answer}?", abort=True, err=True)


@click.command()
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@click.option("--segment", type=SEGMENT, help="Only to what this segment is kept in step with.")
@click.option("--destination", metavar="NAME", help="Only to this destination.")
@wait_option
@form_option
@workspace_options()
@pass_settings
def readd(
    settings: Settings, keys: tuple[str, ...], segment: str | None, destination: str | None, wait: timedelta | None, form: str
) -> None:
    """Let contacts come back to what they left.

    To lists and tags there, with the next `segmentry sync`, if they are in the segment. Consent is theirs: whoever is unsubscribed
    there is answered so again, and stays out.
    """
    from segmentry.engine.sync_returning import CONSENT

    found = settings.open().readd(list(keys), segment=segment, destination=destination, wait=wait)
    if form == "json":
        print_json({"syncs": [one.to_json() for one in found]})
    for one in found:
        settings.talk.say(f"{one.name}: {one.freed:,} may come back, {one.added:,} are added by the next `segmentry sync`")
    settings.talk.say(CONSENT if found else "none of them had left anything")


@click.command()
@click.argument("segment", type=SEGMENT)
@click.argument("destination")
@target_option
@click.option("--remove", is_flag=True, help="First take out whom it added, by their membership as it is read there.")
@yes_option
@wait_option
@form_option
@workspace_options()
@pass_settings
def detach(
    settings: Settings,
    segment: str,
    destination: str,
    target: str | None,
    remove: bool,
    yes: bool,
    wait: timedelta | None,
    form: str,
) -> None:
    """Forget a sync that the files don't say any more.

    Of SEGMENT, which may be deleted, with DESTINATION. Nobody is taken out, unless --remove says so: then those whom it added are, and
    nobody else; who is a member by another segment's sync to the same list or tag stays. Who left there is known for good. Ends with 3
    if some are still to be taken out; the same again goes on.
    """
    workspace = settings.open()
    if not yes:
        _ask_to_detach(workspace, segment, destination, target, remove=remove)
    with gently(), settings.talk.progress("detach"):
        found = workspace.detach_sync(segment, destination, target=target, remove=remove, wait=wait)
    if form == "json":
        print_json(found.to_json())
    for message in found.messages:
        settings.talk.warn(f"{destination}: {message}")
    if remove:
        settings.talk.say(f"{found.name}: {found.removed:,} taken out, {found.left:,} were not there any more")
    if found.waiting:
        settings.talk.warn(f"{found.name}: {found.waiting:,} are still to be taken out; the same command goes on with them")
        settings.exit_code = FAILED
    else:
        settings.talk.say(f"{found.name}: forgotten" + ("" if remove else f"; {found.members:,} whom it added stay there"))


def _ask_to_detach(workspace: Workspace, segment: str, destination: str, target: str | None, *, remove: bool) -> None:
    """Shows the count and asks; Abort if not. UsageError where nobody can be asked."""
    about = workspace.detaching(segment, destination, target=target)
    what = (
        f"{about.members:,} whom it added are taken out, but for who is not there any more, or is a member by another segment's sync to it"
        if remove
        else f"{about.members:,} whom it added stay there, and can't be taken out later"
    )
    if not is_terminal(sys.stdin):
        raise click.UsageError(f"{about.name}: {what}. Without a terminal to ask on, say --yes.")
    click.confirm(f"{about.name}: {what}. Forget it?", abort=True, err=True)


def _print(frame: Any, value: object, form: str | None, grouped: Sequence[str]) -> None:
    if form == "json":
        print_json(value)
    else:
        print_frame(frame, grouped=grouped)


for _command in (list_, confirm, readd, detach, reconcile):
    sync.add_command(_command)
