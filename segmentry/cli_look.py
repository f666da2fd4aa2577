"""Commands that look: segments, members, contacts, explain, overlap, diff, history, backtest, runs, status."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segmentry.cli_options import (
    INSTANT,
    LIMIT,
    SEGMENT,
    Function,
    Settings,
    chosen_format,
    format_options,
    pass_settings,
    workspace_options,
)
from segmentry.cli_output import emit, print_frame, print_json, print_styled, replacing

if TYPE_CHECKING:
    import polars as pl

HELD = 4
"""The exit code of `status --fail-on`."""

ALARMS = ("held", "failed", "stale", "rejected", "unknown", "unconfirmed")
"""What can need a person; `engine.alarms` says when."""

SYNCED = {"open": "to tell", "left": "left", "rejected": "rejected", "skipped": "skipped", "let_be": "let be"}
"""What `status` says of a sync beside how many are there, and in which words."""

TABLE_ROWS = 20
"""Rows of contacts that a table shows unless --limit says otherwise; files and pipes get all of them."""

TABLE_CHANGES = 1_000
"""Changes that a table shows unless --limit says otherwise; a first run has one for every member."""


@dataclass
class Wanted:
    """What the row options ask for. UsageError for options that clash, before anything is read."""

    columns: str | None
    limit: int | None
    form: str | None
    output: Path | None
    safe: bool

    def __post_init__(self) -> None:
        self.chosen = chosen_format(self.form, self.output, safe=self.safe)

    def show(self, rows: pl.LazyFrame, settings: Settings) -> None:
        """Print the rows, or write them."""
        if self.columns is not None:
            rows = rows.select(_known([name.strip() for name in self.columns.split(",")], rows.collect_schema().names()))
        if self.limit is None and self.chosen == "table":
            shown = rows.head(TABLE_ROWS + 1).collect()
            emit(shown.head(TABLE_ROWS), "table")
            if shown.height > TABLE_ROWS:
                settings.talk.say(f"the first {TABLE_ROWS}; --limit 0 prints all, --output FILE writes them to a file")
        else:
            emit(rows.head(self.limit) if self.limit else rows, self.chosen, output=self.output, safe=self.safe)


def _known(wanted: list[str], columns: list[str]) -> list[str]:
    """The wanted columns; UsageError for one that contacts don't have, or that is named twice."""
    from segmentry.rules.suggest import nearest

    for name in wanted:
        if name not in columns:
            near = nearest(name, columns)
            raise click.UsageError(f"contacts have no column `{name}`" + (f"; did you mean `{near}`?" if near else "."))
        if wanted.count(name) > 1:
            raise click.UsageError(f"the column `{name}` is named twice.")
    return wanted


def row_options(function: Function) -> Function:
    """Which columns and how many rows of contacts."""
    options: list[Callable[[Any], Any]] = [
        click.option("--columns", help="The columns to show, separated by commas. Default: all."),
        click.option("--limit", type=LIMIT, help=f"At most so many contacts; 0 is all. Default: {TABLE_ROWS} for a table, else all."),
        format_options(files=True, safe=True),
        workspace_options(),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@format_options(files=True)
@workspace_options()
@pass_settings
def segments(settings: Settings, form: str | None, output: Path | None) -> None:
    """List the segments, their sizes, who came and went."""
    chosen = chosen_format(form, output)
    emit(settings.open().segments(), chosen, output=output, grouped=("size", "entered", "exited"))


@click.command()
@click.argument("segment", type=SEGMENT)
@click.option("--run", help="The run whose members to show. Default: the accepted one.")
@click.option("--split", metavar="GROUP[,GROUP...]", help="Only those in these groups of the segment's split.")
@row_options
@pass_settings
def members(settings: Settings, /, segment: str, run: str | None, split: str | None, **options: Any) -> None:
    """Print the contacts who are in SEGMENT.

    By the accepted run, or by the one that --run names.
    """
    wanted = Wanted(**options)
    groups = None if split is None else [name.strip() for name in split.split(",")]
    found = settings.open().found_members(segment, run, split=groups)
    if found.notice:
        settings.talk.warn(found.notice)
    wanted.show(found.rows, settings)


@click.command()
@click.argument("rule")
@click.option("--as-of", type=INSTANT, help="The instant to ask about. Default: now.")
@row_options
@pass_settings
def contacts(settings: Settings, /, rule: str, as_of: datetime | None, **options: Any) -> None:
    """Print the contacts for whom RULE holds now.

    Any rule, for instance "member('a') and not member('b')". It is evaluated on today's snapshot; nothing is stored.
    """
    wanted = Wanted(**options)
    wanted.show(settings.open().contacts(rule, as_of=as_of), settings)


@click.command()
@click.argument("segment", type=SEGMENT)
@click.argument("contact")
@click.option("--as-of", type=INSTANT, help="The instant to ask about. Default: now.")
@click.option("--format", "form", type=click.Choice(["text", "json", "html"]), default="text", show_default=True, help="How to print.")
@workspace_options()
@pass_settings
def explain(settings: Settings, segment: str, contact: str, as_of: datetime | None, form: str) -> None:
    """Say why CONTACT is in SEGMENT, or is not, and what would change that.

    Every condition with the values of the contact, whose key is CONTACT, on today's snapshot; when it turns over by time
    alone, if these files stay as they are; and the fewest conditions that would have to turn over now.
    """
    explanation = settings.open().explain(segment, contact, as_of=as_of)
    if form == "json":
        print_json(explanation.to_json())
    elif form == "html":
        click.echo(explanation.to_html())
    else:
        print_styled(explanation.styled())


@click.command()
@click.argument("sets", metavar="[SET]...", nargs=-1, type=SEGMENT)
@click.option("--run", help="The run whose segments to compare. Default: the accepted one.")
@click.option("--format", "form", type=click.Choice(["table", "json", "html"]), default="table", show_default=True, help="How to print.")
@workspace_options()
@pass_settings
def overlap(settings: Settings, sets: tuple[str, ...], run: str | None, form: str) -> None:
    """Say how far segments overlap: how many are in both of two, and how alike they are.

    Each SET is a segment, or an expression over segments such as 'vip and not uk'; all segments where none is given. By the
    accepted run, or by the one that --run names; nothing is evaluated.
    """
    found = settings.open().overlap(*sets, run=run)
    if form == "json":
        print_json(found.to_json())
    elif form == "html":
        click.echo(found.to_html())
    else:
        click.echo(found.headline())
        for frame, counts in found.tables():
            click.echo()
            print_frame(frame, grouped=counts)
        if found.unshown:
            settings.talk.say(f"{found.unshown:,} more pairs; --format json has all")


@click.command()
@click.argument("former", metavar="[RUN]", required=False)
@click.argument("latter", metavar="[RUN]", required=False)
@click.option("--segment", type=SEGMENT, help="Only this segment.")
@click.option("--held", is_flag=True, help="What a guard holds, of RUN or of the newest: what `approve` would accept.")
@click.option("--split", is_flag=True, help="Members who are in another group, as their segment's split was edited, instead.")
@click.option("--limit", type=LIMIT, help=f"At most so many changes; 0 is all. Default: {TABLE_CHANGES:,} for a table, else all.")
@format_options(files=True, safe=True)
@workspace_options()
@pass_settings
def diff(
    settings: Settings,
    former: str | None,
    latter: str | None,
    segment: str | None,
    held: bool,
    split: bool,
    limit: int | None,
    form: str | None,
    output: Path | None,
    safe: bool,
) -> None:
    """Show who entered and who left, and why.

    In the accepted run, in one RUN, or between two.
    """
    chosen = chosen_format(form, output, safe=safe)
    if held and latter is not None:
        raise click.UsageError("--held is of one RUN.")
    if held and split:
        raise click.UsageError("--held and --split are of different things: say one.")
    workspace = settings.open()
    runs = (former, latter)
    changes = workspace.regrouped(*runs, segment=segment) if split else workspace.diff(*runs, segment=segment, held=held)
    shown = TABLE_CHANGES if limit is None and chosen == "table" else limit or changes.height
    emit(changes.head(shown), chosen, output=output, safe=safe)
    if limit is None and shown < changes.height:
        settings.talk.say(f"the first {shown:,} of {changes.height:,}; --limit 0 prints all, --output FILE writes them to a file")


@click.command()
@click.argument("segment", type=SEGMENT)
@click.argument("contact", required=False)
@click.option("--contacts", is_flag=True, help="Every contact that came or went, instead.")
@click.option("--split", is_flag=True, help="The groups of its split and their sizes, instead.")
@click.option("--stays", is_flag=True, help="Every contact's stays, from when until when, instead.")
@click.option("--on", metavar="DATE", help="Who was in on that date, or at that instant, since when, and for which time.")
@format_options(files=True)
@workspace_options()
@pass_settings
def history(
    settings: Settings,
    segment: str,
    contact: str | None,
    contacts: bool,
    split: bool,
    stays: bool,
    on: str | None,
    form: str | None,
    output: Path | None,
) -> None:
    """Show SEGMENT run by run: size, entered, exited.

    With CONTACT, a key, the stays of that contact. A date is that whole day in the workspace's timezone.
    """
    chosen = chosen_format(form, output)
    workspace = settings.open()
    if split and (contact is not None or on is not None or stays or contacts):
        raise click.UsageError("--split is run by run, and stands with neither CONTACT, --contacts, --stays nor --on.")
    if split:
        found = workspace.groups(segment)
    elif contact is None and on is None and not stays:
        found = workspace.history(segment, contacts=contacts)
    elif contacts:
        raise click.UsageError("--contacts is run by run, and stands with neither CONTACT, --stays nor --on.")
    else:
        found = workspace.stays(segment, contact, on=on)
    emit(found, chosen, output=output, grouped=("size", "entered", "exited"))


@click.command()
@click.argument("segments", type=SEGMENT, nargs=-1)
@click.option("--from", "first", type=INSTANT, required=True, help="The first instant.")
@click.option("--to", "last", type=INSTANT, help="The last instant. Default: now.")
@click.option("--every", default="1 day", show_default=True, help="The step from one instant to the next.")
@click.option("--rule", "rules", multiple=True, help="A candidate to compare with, any rule; may be said several times.")
@click.option("--split", is_flag=True, help="The groups of a SEGMENT's split in its place, as its file divides it today.")
@click.option("--plot", is_flag=True, help="Draw the sizes instead of printing them.")
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Also draw them into this SVG file.")
@format_options(files=True)
@workspace_options()
@pass_settings
def backtest(
    settings: Settings,
    segments: tuple[str, ...],
    first: datetime,
    last: datetime | None,
    every: str,
    rules: tuple[str, ...],
    split: bool,
    plot: bool,
    svg: Path | None,
    form: str | None,
    output: Path | None,
) -> None:
    """Show how SEGMENTS would have been over a past period.

    Size, entered and exited at each step, side by side. Events and the clock go back in time; contacts' rows are those of today.
    """
    chosen = chosen_format(form, output)
    if not segments and not rules:
        raise click.UsageError("name a SEGMENT, or give a --rule.")
    from segmentry.engine.backtesting import NOTE

    found = settings.open().backtest(segments, rules, first=first, last=last, every=every, split=split)
    if svg is not None:
        with replacing(svg) as stream:
            stream.write(found.svg().encode())
    if plot:
        click.echo(found.plot())
    elif chosen == "table":
        numbers = found.side_by_side()
        emit(numbers, chosen, grouped=numbers.columns)
    else:
        emit(found.series, chosen, output=output)
    for name, rule in found.rules.items():
        settings.talk.say(f"{name}: {' '.join(rule.split())}")
    settings.talk.warn(NOTE)


@click.command()
@format_options(files=True)
@workspace_options()
@pass_settings
def runs(settings: Settings, form: str | None, output: Path | None) -> None:
    """List the runs, the newest first."""
    chosen = chosen_format(form, output)
    emit(settings.open().runs(), chosen, output=output, grouped=("contacts", "entered", "exited"))


class Alarming(click.ParamType[tuple[str, ...]]):
    """`held,stale`: kinds of what needs a person."""

    name = "kinds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        kinds = tuple(part.strip() for part in str(value).split(",") if part.strip())
        for kind in kinds:
            if kind not in ALARMS:
                self.fail(f"`{kind}` is none of {', '.join(ALARMS)}.", param, ctx)
        return kinds


@click.command()
@click.option("--fail-on", type=Alarming(), metavar="KIND[,KIND...]", help=f"Exit 4 if there is one of these: {', '.join(ALARMS)}.")
@click.option("--notify", is_flag=True, help="Tell whoever `notify:` in segmentry.yml names; at first, and then daily.")
@click.option(
    "--metrics",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write metrics to this file too, for Prometheus's textfile collector.",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def status(settings: Settings, fail_on: tuple[str, ...] | None, notify: bool, metrics: Path | None, form: str) -> None:
    """Say how the workspace stands.

    The accepted run, who holds the lease, how large the state is; what is unsent and paused; the schedule, who keeps it, the last
    run and the next; each sync, how many are there, are to be told, left or were refused, and why; up to which run each export is
    written; and what needs a person: held by a guard, failed, stale, rejected, unknown, unconfirmed.
    """
    workspace = settings.open()
    found = workspace.status()
    alarms, syncs, exports = (found.pop(name, []) for name in ("alarms", "syncs", "exports"))
    if form == "json":
        print_json({**found, "syncs": syncs, "exports": exports, "alarms": alarms})
    else:
        from segmentry.engine.render import cell

        width = max(len(name) for name in found)
        if "scheduler" in found and found["scheduler"] is None:
            found["scheduler"] = "none is at work; `segmentry schedule` starts one"
        for name, value in found.items():
            shown = ", ".join(f"{key} {count:,}" for key, count in value.items()) if isinstance(value, dict) else value
            shown = ", ".join(value) if isinstance(value, list) else shown
            click.echo(f"{name.replace('_', ' '):<{width}}  {cell(shown or None if isinstance(value, dict | list) else value)}")
        for sync in syncs:
            click.echo(f"{'sync':<{width}}  {_synced(sync)}")
        for export in exports:
            click.echo(f"{'export':<{width}}  {_exported(export)}")
        for alarm in alarms:
            click.echo(f"{alarm['kind']:<{width}}  {alarm['text']}")
    if metrics is not None:
        _write_metrics(metrics, settings)
    if notify:
        told = workspace.notify()
        for alarm in told.told:
            settings.talk.say(f"told of: {alarm.text}")
        for problem in told.failed:
            settings.talk.warn(problem)
    if any(alarm["kind"] in (fail_on or ()) for alarm in alarms):
        settings.exit_code = HELD


def _synced(sync: Mapping[str, Any]) -> str:
    """How one sync stands, in a line."""
    from segmentry.engine.sync_words import sync_name

    name = sync_name(sync["segment"], sync["destination"], sync["target"])
    if sync["status"] == "unconfirmed":
        return f"{name}: unconfirmed, {sync['waiting']:,} wait for a word"
    counts = [f"{sync['there']:,} there", *(f"{sync[key]:,} {text}" for key, text in SYNCED.items() if sync[key])]
    why = "; ".join(f"{count:,}: {reason}" for reason, count in sync["reasons"].items())
    return f"{name}: {', '.join(counts)}" + (f" ({why})" if why else "")


def _exported(export: Mapping[str, Any]) -> str:
    """How one export stands, in a line."""
    upto = "nothing is written yet" if export["run"] is None else f"written up to run {export['run']}"
    after = "" if export["goes_on"] else ", and the files say it no more"
    return f"{export['segment']} to {export['destination']}: {upto}" + (", and there is a newer run" if export["behind"] else after)


def _write_metrics(path: Path, settings: Settings) -> None:
    from segmentry.cli_unattended import write_metrics
    from segmentry.engine.state import State

    loaded = settings.open().load()
    state = State.open(loaded.state, loaded.config.id, settings.env)
    try:
        write_metrics(path, loaded, state, datetime.now(UTC))
    finally:
        state.close()


COMMANDS = (segments, members, contacts, explain, overlap, diff, history, backtest, runs, status)
