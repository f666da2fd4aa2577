"""Commands that hold segments to something: test, verify."""

from __future__ import annotations

from datetime import datetime

import click

from segmentry.cli_options import INSTANT, SEGMENT, Settings, pass_settings, workspace_options
from segmentry.cli_output import print_frame, print_json, print_styled, print_text

OUR_BUG = 70
"""The exit code of two readings that disagree: one of them is wrong, and both are ours."""


@click.command()
@click.argument("names", metavar="[SEGMENT]...", nargs=-1, type=SEGMENT)
@click.option(
    "--sample", type=click.IntRange(min=0, max=10**9), default=200, show_default=True, help="How many contacts to draw, of all there are."
)
@click.option("--seed", type=int, help="What the contacts are drawn by; the report says it. Default: another one at each instant.")
@click.option("--as-of", type=INSTANT, help="The instant to compute for. Default: now.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def verify(settings: Settings, names: tuple[str, ...], sample: int, seed: int | None, as_of: datetime | None, form: str) -> None:
    """Answer a sample of contacts a second time, by other code.

    All segments, or each SEGMENT, are computed on the data as it is, as a run computes them; then a plain evaluator, which has no
    SQL and reads the files by itself, answers the sample, and ten members and ten others of every segment, contact by contact.

    Where the two disagree, the smallest part of the rule that shows it is printed with the contact's values and events, and the
    exit code is 70: it is a bug of ours, whichever of the two is right. What the evaluator has no reading of is named as not verified.
    """
    found = settings.open().verify(names, sample=sample, seed=seed, as_of=as_of)
    if form == "json":
        print_json(found.to_json())
    else:
        print_frame(found.table(), grouped=("members", "checked"))
        for case in found.cases:
            print_text(f"\n{case}")
        settings.talk.say(found.headline())
    for name in found.by_engine:
        settings.talk.warn(f"{name} is a text file: both readings had its rows from the engine")
    if not found.agrees:
        settings.exit_code = OUR_BUG
        settings.talk.error("two readings of a rule disagree: this is a bug of ours; please report it with what is printed")


@click.command("test")
@click.argument("names", metavar="[SEGMENT]...", nargs=-1, type=SEGMENT)
@click.option("--boundaries", is_flag=True, help="Run nothing; print tests for the edges of each SEGMENT's rule.")
@click.option("--as-of", type=INSTANT, help="The instant of tests that don't say one. Default: now.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def run_tests(settings: Settings, names: tuple[str, ...], boundaries: bool, as_of: datetime | None, form: str) -> None:
    """Run the tests that stand in segments' files.

    Under `tests:` a segment's file has contacts that are made up, with their events, and says of each whether it is in. All
    segments' tests are run, or those of each SEGMENT, over the rules and the columns as they are; no contact of the data has a part
    in it. For each one that fails the rule's tree shows why. Exit code 1: one failed.

    With --boundaries, tests are made instead: of each condition of a rule a contact that is just in by it, and one that is just
    out. They are YAML to be pasted into the segment's file once you have seen that they are what you mean.
    """
    if boundaries:
        print_boundaries(settings, names, as_of)
        return
    found = settings.open().test(names, as_of=as_of)
    if form == "json":
        print_json(found.to_json())
    else:
        for result in found.failed:
            print_text(str(result))
            if result.explanation is not None:
                print_styled([*result.explanation.styled(), ("\n", "")])
        settings.talk.say(found.headline())
    if found.failed:
        settings.exit_code = 1


def print_boundaries(settings: Settings, names: tuple[str, ...], as_of: datetime | None) -> None:
    """Tests for the edges of these segments' rules, on stdout."""
    if not names:
        raise click.UsageError("--boundaries needs a SEGMENT.")
    for name in names:
        found = settings.open().boundaries(name, as_of)
        if found.text:
            print_text((f"# segments/{name}.yml\n" if len(names) > 1 else "") + found.text.rstrip("\n"))
        for condition in found.without:
            settings.talk.warn(f"{name}: no test made for: {condition}")


COMMANDS = (run_tests, verify)
