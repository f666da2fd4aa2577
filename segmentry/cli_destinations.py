"""Commands that look at destinations: destinations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from segmentry.cli_options import Settings, pass_settings, workspace_options
from segmentry.cli_output import emit, print_frame, print_json, print_text

if TYPE_CHECKING:
    from segmentry.engine.asking import Inquiry

FAILED = 1
"""Something is in the way of a destination."""


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def destinations(settings: Settings, name: str | None, form: str) -> None:
    """List destinations, or ask one: its key, and what there is.

    The list opens none: types, accounts, what uses them, how much is due, and what is paused or stopped. With NAME that one is
    asked, and told nothing: whether its key is right and whose it is; its audiences, lists, tags and journeys; and, of those in
    use, how many are in them, and what should be known before a sync begins: double opt-in, live automations. The key is read
    from the environment, and never shown. Ends with 1 if something is in the way.
    """
    if name is None:
        emit(settings.open().destinations(), form, grouped=("due", "later"))
        return
    with settings.talk.progress(name):
        asked = settings.open().ask_destination(name)
    if form == "json":
        print_json(asked.to_json())
    else:
        _show(asked)
    for text in asked.warnings:
        settings.talk.warn(text)
    for problem in asked.problems:
        settings.talk.error(problem)
    if asked.problems:
        settings.exit_code = FAILED


def _show(asked: Inquiry) -> None:
    """Prints what a destination said."""
    from segmentry.engine.render import cell

    facts = {"destination": asked.name, "type": asked.type, "account": asked.account}
    for key, value in facts.items():
        print_text(f"{key:<11}  {cell(value)}")
    if not (asked.problems or asked.places or asked.targets):
        print_text(f"{'there':<11}  a destination of type `{asked.type}` has nothing that it could be asked for; it can be opened")
    tables: list[Any] = [_places(asked), _targets(asked)]
    for frame in tables:
        if frame.height:
            print_text("")
            print_frame(frame, grouped=("members",))


def _places(asked: Inquiry) -> Any:
    import polars as pl

    kinds = {"kind": pl.String, "id": pl.String, "title": pl.String, "members": pl.Int64, "notes": pl.String}
    return pl.DataFrame([(one.kind, one.id, one.title, one.members, one.notes) for one in asked.places], schema=kinds, orient="row")


def _targets(asked: Inquiry) -> Any:
    import polars as pl

    rows = [
        (str(seen.target), ", ".join(map(str, seen.uses)), seen.outlook and seen.outlook.title, seen.outlook and seen.outlook.members)
        for seen in asked.targets
    ]
    return pl.DataFrame(rows, schema={"in use": pl.String, "by": pl.String, "title": pl.String, "members": pl.Int64}, orient="row")


COMMANDS = (destinations,)
