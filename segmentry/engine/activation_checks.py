"""What a workspace says of activation, held against one snapshot: whom `suppress` means, mapped columns, merged contacts."""

from __future__ import annotations

from segmentry.engine.aliases import Aliases, read_aliases
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.snapshot import Snapshot
from segmentry.errors import RuleError, SourceError
from segmentry.rules.checker import check
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.nodes import Condition
from segmentry.rules.schema import Schema
from segmentry.rules.suggest import did_you_mean

ALIASES = ("contacts", "aliases")


def check_suppress(workspace: LoadedWorkspace, schema: Schema) -> tuple[Condition | None, list[Diagnostic]]:
    """What `suppress` means, None where the workspace has none, and warnings. Raises RuleError with every problem at its place."""
    if workspace.suppress is None:
        return None, []
    try:
        condition, warnings = check(workspace.suppress, schema, source=workspace.config.suppress)
    except RuleError as error:
        raise RuleError([workspace.locate(problem) for problem in error.diagnostics]) from None
    return condition, [workspace.locate(warning) for warning in warnings]


def field_problems(workspace: LoadedWorkspace, snapshot: Snapshot) -> list[Diagnostic]:
    """Contact columns that `fields` of sequences name and that are not there."""
    columns = snapshot.contacts.relation.columns
    return [
        Diagnostic(
            "S301",
            f"the contacts have no column `{column}`",
            location=workspace.document.location(("sequences", name, "fields", field)),
            help=did_you_mean(column, columns) or f"there are {', '.join(sorted(columns)[:10])}",
        )
        for name, sequence in workspace.config.sequences.items()
        for field, column in sequence.fields.items()
        if column not in columns
    ]


def aliases_of(workspace: LoadedWorkspace, snapshot: Snapshot) -> Aliases | None:
    """The contacts that were merged or re-keyed; None where the workspace names no file. Raises SourceError with every problem."""
    written = workspace.config.contacts.aliases
    if written is None:
        return None
    contacts = snapshot.contacts
    try:
        return read_aliases(workspace.root / written, contacts.relation.columns[contacts.key], written)
    except SourceError as error:
        at = workspace.document.location(ALIASES)
        raise SourceError([problem if problem.location else problem.at(at) for problem in error.diagnostics]) from None
