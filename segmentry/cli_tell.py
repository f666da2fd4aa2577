"""Commands that tell: sync, deliveries, pause, resume."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import click

from segmentry.cli_options import LIMIT, Settings, chosen_format, format_options, pass_settings, workspace_options
from segmentry.cli_output import emit, is_terminal
from segmentry.cli_sync import sync

Said = Literal["retry", "drop", "mark-sent"]

TABLE_ROWS = 100
"""Deliveries that a table shows unless --limit says otherwise."""

OUTCOMES = (
    "pending",
    "sending",
    "sent",
    "rejected",
    "unknown",
    "held",
    "waiting",
    "paused",
    "suppressed",
    "withdrawn",
    "expired",
    "dropped",
)


# ---------------------------------------------------------------- deliveries


@click.group(invoke_without_command=True)
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Only deliveries with this outcome.")
@click.option("--destination", help="Only those to this destination.")
@click.option("--sequence", help="Only those of this sequence.")
@click.option("--limit", type=LIMIT, help=f"At most so many; 0 is all. Default: {TABLE_ROWS} for a table, else all.")
@format_options(files=True, safe=True)
@workspace_options()
@click.pass_context
def deliveries(
    context: click.Context,
    outcome: str | None,
    destination: str | None,
    sequence: str | None,
    limit: int | None,
    form: str | None,
    output: Path | None,
    safe: bool,
) -> None:
    """List deliveries, the newest first, or settle some.

    What became of each: attempts, when it is due, and why it did not go. No address is shown.
    """
    if context.invoked_subcommand is not None:
        return
    settings = context.ensure_object(Settings)
    chosen = chosen_format(form, output, safe=safe)
    most = TABLE_ROWS if limit is None and chosen == "table" else limit or None
    more = None if most is None else most + 1
    found = settings.open().deliveries(outcome=outcome, destination=destination, sequence=sequence, limit=more)
    emit(found.head(most or found.height), chosen, output=output, safe=safe)
    if limit is None and most is not None and found.height > most:
        settings.talk.say(f"the first {most}; --limit 0 prints all, --output FILE writes them to a file")


def _settling(name: Said, text: str) -> click.Command:
    """A subcommand that says one thing of deliveries."""

    @click.command(name, help=text)
    @click.argument("ids", metavar="[ID]...", nargs=-1)
    @click.option("--all-unknown", is_flag=True, help="Every delivery that is unknown.")
    @click.option("--all-rejected", is_flag=True, help="Every delivery that is rejected.")
    @workspace_options()
    @pass_settings
    def command(settings: Settings, ids: tuple[str, ...], all_unknown: bool, all_rejected: bool) -> None:
        workspace = settings.open()
        named = list(ids)
        for asked, outcome in ((all_unknown, "unknown"), (all_rejected, "rejected")):
            if asked:
                named += workspace.deliveries(outcome=outcome)["id"].to_list()
        if not named and not (all_unknown or all_rejected):
            raise click.UsageError("name deliveries by their ids, or say --all-unknown or --all-rejected.")
        said = workspace.settle_deliveries(name, named)
        for id, why in said.refused.items():
            settings.talk.warn(f"{id}: {why}")
        settings.talk.say(f"{len(said.changed):,} {DONE[name]}" + (f", {len(said.refused):,} left as they are" if said.refused else ""))
        if said.refused:
            settings.exit_code = 1

    return command


DONE: dict[Said, str] = {"retry": "due again; `segmentry sync` sends them", "drop": "dropped", "mark-sent": "marked as sent"}

TEXTS: dict[Said, str] = {
    "retry": """Make deliveries due again.

    Those that are unknown, which a receiver that does not know ids may then get twice; rejected; or pending, and so due now.
    Attempts, and the time till they expire, count anew. Who left the segment or is suppressed meanwhile is refused.
    """,
    "drop": """Give deliveries up.

    Those that are unknown, rejected or pending.
    """,
    "mark-sent": """Note that deliveries arrived.

    Those that are unknown and did arrive, or were sent by other means.
    """,
}

for _name, _text in TEXTS.items():
    deliveries.add_command(_settling(_name, _text))


# ---------------------------------------------------------------- pausing


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--all", "everything", is_flag=True, help="Everything.")
@workspace_options()
@pass_settings
def pause(settings: Settings, name: str | None, everything: bool) -> None:
    """Stop sending, before the next request.

    To the destination or of the sequence NAME, or at all. Who enters a segment meanwhile is noted as paused.
    """
    chosen = _one(name, everything)
    new = settings.open().pause(chosen)
    settings.talk.say(f"{_shown(chosen)} {'is paused' if new else 'was paused already'}")


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--all", "everything", is_flag=True, help="Everything; what was paused by its own name stays paused.")
@click.option("--send-waiting", is_flag=True, help="Send to those, too, who came in during the pause.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@workspace_options()
@pass_settings
def resume(settings: Settings, name: str | None, everything: bool, send_waiting: bool, yes: bool) -> None:
    """End a pause.

    Of the destination or sequence NAME, or of everything. Who came in during the pause is not sent anything, unless
    --send-waiting says so.
    """
    chosen = _one(name, everything)
    workspace = settings.open()
    waiting: dict[str, int] = workspace.paused_rows(chosen)
    if send_waiting and waiting and not yes:
        _ask(waiting)
    found = workspace.resume(chosen, send_waiting=send_waiting)
    settings.talk.say(f"{_shown(chosen)} {'goes on' if found.pauses else 'was not paused'}")
    for other in found.still:
        settings.talk.warn(f"still paused: {'everything' if other == '*' else other}")
    if send_waiting:
        settings.talk.say(f"{found.released:,} who came in during the pause are due now; `segmentry sync` sends them")
    elif waiting:
        settings.talk.say(f"{sum(waiting.values()):,} came in during the pause and are not sent; --send-waiting sends them")


def _ask(waiting: dict[str, int]) -> None:
    """Asks, on a terminal, whether so many are to be sent; Abort if not. UsageError where nobody can be asked."""
    each = ", ".join(f"{count:,} in {sequence}" for sequence, count in waiting.items())
    if not is_terminal(sys.stdin):
        raise click.UsageError(f"{sum(waiting.values()):,} would be sent ({each}); without a terminal to ask on, say --yes.")
    click.confirm(f"{sum(waiting.values()):,} came in during the pause ({each}). Send them now?", abort=True, err=True)


def _one(name: str | None, everything: bool) -> str | None:
    """The name that was given, or None for everything; UsageError where it is both or neither."""
    if (name is None) == (not everything):
        raise click.UsageError("name a destination or sequence, or say --all.")
    return name


def _shown(name: str | None) -> str:
    return "everything" if name is None else name


COMMANDS: tuple[Any, ...] = (sync, deliveries, pause, resume)
