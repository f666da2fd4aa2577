"""Commands that keep the house: gc, forget, recover."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import click

from segmentry.cli_options import WAIT, WAIT_HELP, Settings, pass_settings, workspace_options
from segmentry.cli_output import print_json
from segmentry.engine.render import cell


@click.command()
@click.option("--wait", type=WAIT, help=WAIT_HELP)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def gc(settings: Settings, wait: timedelta | None, form: str) -> None:
    """Remove memberships past their retention.

    Also what killed runs left behind. Changes are kept for good.
    """
    _tell(settings.open().gc(wait=wait), form)


@click.command()
@click.argument("keys", metavar="KEY...", nargs=-1)
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file with one key a line.")
@click.option("--wait", type=WAIT, help=WAIT_HELP)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def forget(settings: Settings, keys: tuple[str, ...], file: Path | None, wait: timedelta | None, form: str) -> None:
    """Erase contacts from everything that is stored.

    Prints a certificate, which lists what only you can erase: their rows in your own files and lists, and the people themselves
    at destinations that were told of them.
    """
    named = [*keys, *(line.strip() for line in file.read_text("utf-8-sig").splitlines() if line.strip())] if file else list(keys)
    if not named:
        raise click.UsageError("name the contacts: KEY..., or --file FILE.")
    _tell(settings.open().forget(named, wait=wait), form)


@click.command()
@click.option("--wait", type=WAIT, help=WAIT_HELP)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def recover(settings: Settings, wait: timedelta | None, form: str) -> None:
    """After a backup of the state was restored: know again who was enrolled since.

    Reads the ledger's files that the catalog does not know. What may have been sent meanwhile is unknown, for `deliveries
    retry | drop | mark-sent`; the next run takes whoever enters with it as baseline, and enrolls nobody. Lists and tags are read
    back: who is there and should be is known again, and who is not there any more has left.
    """
    _tell(settings.open().recover(wait=wait).to_json(), form)


def _tell(found: Mapping[str, object], form: str) -> None:
    if form == "json":
        print_json(found)
        return
    width = max(len(name) for name in found)
    for name, value in found.items():
        lines = [_line(item) for item in value] if isinstance(value, (list, tuple)) else [cell(value, grouped=True)]
        for index, line in enumerate(lines or ["none"]):
            click.echo(f"{'' if index else name.replace('_', ' '):<{width}}  {line}")


def _line(item: object) -> str:
    """One of several things in a line; of what has names, each name with what is there of it."""
    if not isinstance(item, Mapping):
        return cell(item)
    return ", ".join(f"{name.replace('_', ' ')} {cell(value, grouped=True)}" for name, value in item.items() if value is not None)


COMMANDS = (gc, forget, recover)
