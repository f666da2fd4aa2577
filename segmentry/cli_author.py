"""Commands for whoever writes rules: init, new, check, fmt, schema, preview, sql."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segmentry.cli_options import INSTANT, LIMIT, SEGMENT, Settings, pass_settings, workspace_options
from segmentry.cli_output import print_frame, print_json, print_text
from segmentry.errors import DiagnosedError

if TYPE_CHECKING:
    from segmentry.rules.related import Relations

PREVIEW_ROWS = 10


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.option("--demo", is_flag=True, help="With a demo: data by seed, and a dozen segments over it.")
@workspace_options()
@pass_settings
def init(settings: Settings, folder: Path | None, demo: bool) -> None:
    """Make a workspace in FOLDER.

    That is segmentry.yml, a first segment, and the state that runs are kept in. FOLDER is the workspace's folder where not given.
    """
    from segmentry.engine.workspace import Workspace

    target = folder or settings.workspace
    made = Workspace.init(target, demo=demo)
    for path in made:
        settings.talk.say(f"wrote {path}")
    settings.talk.say("next: segmentry check, then segmentry recompute")


@click.command()
@click.argument("name")
@click.option("--field", "fields", multiple=True, help="A contact's field; repeat for more conditions.")
@click.option("--operator", "operators", multiple=True, help="How it compares: equals, contains, greater than, before, ...")
@click.option("--value", "values", multiple=True, help="What it compares with.")
@click.option("--label", help="What people call the segment.")
@workspace_options()
@pass_settings
def new(
    settings: Settings, name: str, fields: tuple[str, ...], operators: tuple[str, ...], values: tuple[str, ...], label: str | None
) -> None:
    """Write a new segment's file, checked.

    Each --field has an --operator and a --value; all conditions must hold. Without any, everybody is in it, and the file
    is yours to edit.

    \b
    segmentry new uk_visitors --field location --operator equals --value UK \\
                              --field date_added --operator "in the last" --value "30 days"
    """  # noqa: D301 - click reads the escape
    path, warnings = settings.open().new(name, _conditions(fields, operators, values), label=label)
    settings.talk.diagnostics(warnings)
    settings.talk.say(f"wrote {path}")


def _conditions(fields: tuple[str, ...], operators: tuple[str, ...], values: tuple[str, ...]) -> list[tuple[str, str, str | None]]:
    """Field, operator and value of each condition, as given; operators such as `is set` take no value."""
    if len(fields) != len(operators):
        raise click.UsageError(f"every --field needs an --operator: {len(fields)} and {len(operators)} were given.")
    left = list(values)
    found: list[tuple[str, str, str | None]] = []
    for name, operator in zip(fields, operators, strict=True):
        takes = operator not in ("is set", "is not set")
        if takes and not left:
            raise click.UsageError(f"`{name} {operator}` needs a --value.")
        found.append((name, operator, left.pop(0) if takes else None))
    if left:
        raise click.UsageError(f"--value {left[0]} belongs to no --field.")
    return found


@click.command()
@click.option(
    "--audit/--no-audit", default=None, help="Count, per condition, the contacts with a missing value. Default: where the data is small."
)
@click.option("--types", is_flag=True, help="Show every column's type. Default: those of CSV and NDJSON files, which are sniffed.")
@click.option("--online", is_flag=True, help="Ask every destination too; nothing is told. Their keys are read from the environment.")
@click.option("--relations", is_flag=True, help="Show which segments are the same, inside others, or without anybody in common.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def check(settings: Settings, audit: bool | None, types: bool, online: bool, relations: bool, form: str) -> None:
    """Check files, rules and sources, all problems at once.

    Warnings tell what is worth a second look: rules and conditions that never or always hold, or change nothing where they
    stand; values that no row has, segments with the same rule, windows longer than the data, keys that look like addresses.

    With --relations it is shown what segments are to each other whatever the data, and why, as far as that can be proven
    from their rules.

    With --format json problems are printed as JSON too, and it still ends with 1.

    With --online every destination is asked: whether its key is right and of the account it should be, whether the lists and
    tags in use are there, what starts by itself for whoever is put in them, double opt-in, merge fields that are missing. One
    that does not answer is an error.
    """
    with settings.talk.progress("check") if online else nullcontext():
        try:
            found = settings.open().check(audit=audit, online=online, relations=relations)
        except DiagnosedError as error:
            if form == "json":
                print_json({"problems": [problem.to_json() for problem in error.diagnostics]})
            raise
    if form == "json":
        print_json(found.to_json())
        return
    settings.talk.diagnostics(found.warnings)
    columns = found.columns if types else found.sniffed()
    if columns.height:
        print_frame(columns)
    if found.audit is not None and found.audit.height:
        print_frame(found.audit, grouped=("matched", "missing", "missing_in"))
    if found.relations is not None:
        print_relations(settings, found.relations)
    settings.talk.say(found.headline())


def print_relations(settings: Settings, relations: Relations) -> None:
    """What segments are to each other, a line each with its reason below."""
    for one in relations.found:
        print_text(" ".join(filter(None, (one.segment, str(one.kind), one.other))))
        if one.reason:
            print_text(f"  {one.reason}")
    if not relations.found:
        settings.talk.say("nothing can be proven of any two segments")
    if not relations.complete:
        settings.talk.say("there are too many segments: not every two of them were looked at")


@click.command()
@click.argument("names", metavar="[SEGMENT]...", nargs=-1, type=SEGMENT)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file would be rewritten.")
@workspace_options()
@pass_settings
def fmt(settings: Settings, names: tuple[str, ...], check: bool) -> None:
    """Rewrite the rules of segment files in canonical text.

    All files where no SEGMENT is named; nothing else in them changes. Rules in builder form, lists, and rules with
    comments are left as they are.
    """
    report = settings.open().format(names, write=not check)
    for path, outcome in report.outcomes:
        if path in report.changed:
            settings.talk.say(f"{path}: {'would be ' if check else ''}{outcome}")
        elif names or "comments" in outcome:
            settings.talk.say(f"{path}: {outcome}")
    settings.talk.diagnostics(report.problems)
    if report.problems or (check and report.changed):
        settings.exit_code = 1


@click.command()
@click.argument("file", type=click.Choice(["workspace", "segment", "rule"]), default="segment")
def schema(file: str) -> None:
    """Print the JSON Schema of a file, or of a rule.

    Of segmentry.yml (workspace), of a segment's file, or of a rule in builder form. Editors complete and check files by it.
    """
    from segmentry.engine.json_schemas import segment_schema, workspace_schema
    from segmentry.rules.builder_schema import builder_schema

    schemas = {"workspace": workspace_schema, "segment": segment_schema, "rule": builder_schema}
    print_json(schemas[file]())


@click.command()
@click.argument("rule")
@click.option("--as-of", type=INSTANT, help="The instant to ask about. Default: now.")
@click.option("--by", metavar="FIELD", help="Break it down by this field: how many of the contacts with each value are found.")
@click.option("--limit", type=LIMIT, default=PREVIEW_ROWS, show_default=True, help="How many contacts to show.")
@click.option("--format", "form", type=click.Choice(["table", "json", "html"]), default="table", help="How to print. Default: table.")
@workspace_options()
@pass_settings
def preview(settings: Settings, rule: str, as_of: datetime | None, by: str | None, limit: int, form: str) -> None:
    """Try RULE: how many contacts, and what each condition does.

    Per condition: for how many contacts it holds, how many had a missing value in it, and how many of those are in.
    Of conditions joined by `and` also how many contacts are left after each, how many of those before it removes, and
    how many it alone keeps out: they pass all others. Nothing is stored.
    """
    found = settings.open().preview(rule, as_of=as_of, sample=limit, by=by)
    if form == "json":
        print_json(found.to_json())
        return
    settings.talk.diagnostics(found.warnings)
    if form == "html":
        print_text(found.to_html())
        return
    print_text(found.headline())
    for frame, counts in found.figures():
        print_text("")
        print_frame(frame, grouped=counts)
    if found.unshown:
        settings.talk.say(f"{found.unshown:,} more values; --format json has all")
    if found.sample.height:
        print_text("")
        print_frame(found.sample)


@click.command()
@click.argument("segment", type=SEGMENT, required=False)
@click.option("--as-of", type=INSTANT, help="The instant the queries are made for. Default: now.")
@click.option("--split", is_flag=True, help="Beside each divided segment a column NAME_group; implies --whole.")
@click.option("--whole", is_flag=True, help="One statement instead: a row per contact, its key and a column per segment.")
@click.option(
    "--dialect", type=click.Choice(["duckdb", "spark"]), default="duckdb", show_default=True, help="Whose SQL. spark implies --whole."
)
@click.option(
    "--table", "tables", metavar="SOURCE=TABLE", multiple=True, help="With spark: the table that has a source's rows; repeat for more."
)
@workspace_options()
@pass_settings
def sql(
    settings: Settings, segment: str | None, as_of: datetime | None, split: bool, whole: bool, dialect: str, tables: tuple[str, ...]
) -> None:
    """Print the queries that a run executes.

    For all segments, or for SEGMENT and those it refers to; their and, or, not stand below as comments.

    In Spark's SQL (4.0 or later, ANSI mode) a source that is one Parquet file is read from its path. Any other is
    expected as a view, segmentry_contacts or segmentry_events_1, segmentry_events_2, ... in the order of segmentry.yml,
    or as the table that --table names for contacts, events_1, events_2, ...; comments list the columns it must have.
    """
    named = dict(_table_name(given) for given in tables)
    if named and dialect != "spark":
        raise click.UsageError("--table is for --dialect spark.")
    workspace = settings.open()
    if whole or split or dialect == "spark":
        print_text(workspace.statement(segment, as_of=as_of, dialect=dialect, tables=named, split=split))
    else:
        print_text(workspace.sql(segment, as_of=as_of))


def _table_name(given: str) -> tuple[str, str]:
    source, equals, table = given.partition("=")
    if not (source and equals and table):
        raise click.UsageError(f"--table is written SOURCE=TABLE, as in --table contacts=lake.crm.contacts: {given}")
    return source, table


COMMANDS = (init, new, check, fmt, schema, preview, sql)
