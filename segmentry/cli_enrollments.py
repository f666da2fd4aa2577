"""The command that shows the ledger: enrollments."""

from __future__ import annotations

from pathlib import Path

import click

from segmentry.cli_options import LIMIT, SEGMENT, Settings, chosen_format, format_options, pass_settings, workspace_options
from segmentry.cli_output import emit

TABLE_ROWS = 1_000
"""Rows that a table shows unless --limit says otherwise."""


@click.command()
@click.option("--sequence", metavar="NAME", help="Only this sequence.")
@click.option("--segment", type=SEGMENT, help="Only those who came in through this segment.")
@click.option("--outcome", metavar="OUTCOME", help="Only this outcome: pending, sent, held, withdrawn, ...")
@click.option("--contact", metavar="KEY", help="Only this contact, by any key it had.")
@click.option("--baseline", is_flag=True, help="Those too who were in before, and so are never first-time entrants.")
@click.option("--why", metavar="KEY", help="What became of each entry of this contact, and why it was enrolled or not, instead.")
@click.option("--limit", type=LIMIT, help=f"At most so many rows; 0 is all. Default: {TABLE_ROWS:,} for a table, else all.")
@format_options(files=True, safe=True)
@workspace_options()
@pass_settings
def enrollments(
    settings: Settings,
    sequence: str | None,
    segment: str | None,
    outcome: str | None,
    contact: str | None,
    baseline: bool,
    why: str | None,
    limit: int | None,
    form: str | None,
    output: Path | None,
    safe: bool,
) -> None:
    """Show who was enrolled in what, and what became of it.

    A row an enrollment. Files of --output may be Parquet, CSV or JSON.
    """
    chosen = chosen_format(form, output, safe=safe)
    workspace = settings.open()
    if why is not None:
        if sequence or outcome or contact or baseline:
            raise click.UsageError("--why goes with --segment only.")
        found = workspace.why_enrolled(why, segment)
        if not found.height:
            settings.talk.say(f"contact {why} never came into a segment that enrolls, or the ledger does not know it")
    else:
        found = workspace.enrollments(sequence=sequence, segment=segment, outcome=outcome, contact=contact, baseline=baseline)
    shown = TABLE_ROWS if limit is None and chosen == "table" else limit or found.height
    emit(found.head(shown), chosen, output=output, safe=safe)
    if limit is None and shown < found.height:
        settings.talk.say(f"the first {shown:,} of {found.height:,}; --limit 0 prints all, --output FILE writes them to a file")


COMMANDS = (enrollments,)
