"""What a workspace says of activation, held against one snapshot: whom `suppress` and `consent` mean, mapped columns, merged contacts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from segmentry.engine.aliases import Aliases, read_aliases
from segmentry.engine.config_destinations import consent_place
from segmentry.engine.config_problems import as_written
from segmentry.engine.loading import SUPPRESS, LoadedWorkspace
from segmentry.engine.snapshot import Snapshot
from segmentry.engine.yaml import Document, Steps
from segmentry.errors import RuleError, SourceError
from segmentry.rules.checker import check
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.nodes import Condition
from segmentry.rules.schema import Schema
from segmentry.rules.suggest import did_you_mean
from segmentry.rules.syntax import Syntax

ALIASES = ("contacts", "aliases")


@dataclass(frozen=True)
class Sendable:
    """What the rules of `segmentry.yml` mean: who is never sent anything, None where it doesn't say, and who agreed, by destination."""

    suppress: Condition | None = None
    consents: Mapping[str, Condition] = field(default_factory=dict)


def check_suppress(workspace: LoadedWorkspace, schema: Schema) -> tuple[Sendable, list[Diagnostic]]:
    """What `suppress` and destinations' `consent` mean, and warnings. Raises RuleError with every problem of all of them at its place."""
    rules: dict[Steps, Syntax] = {consent_place(name): syntax for name, syntax in workspace.consents.items()}
    if workspace.suppress is not None:
        rules[SUPPRESS] = workspace.suppress
    meant: dict[Steps, Condition] = {}
    problems: list[Diagnostic] = []
    warnings: list[Diagnostic] = []
    for place, syntax in rules.items():
        try:
            meant[place], found = check(syntax, schema, source=workspace.document.written(place))
            warnings += [workspace.locate(warning, place) for warning in found]
        except RuleError as error:
            problems += [workspace.locate(problem, place) for problem in error.diagnostics]
    if problems:
        raise RuleError(problems)
    return Sendable(meant.get(SUPPRESS), {name: meant[consent_place(name)] for name in workspace.consents}), warnings


def field_problems(workspace: LoadedWorkspace, snapshot: Snapshot) -> list[Diagnostic]:
    """Contact columns that `fields` of sequences and of syncs name and that are not there, each in its file."""
    columns = snapshot.contacts.relation.columns
    return [
        Diagnostic(
            "S301",
            f"the contacts have no column `{column}`",
            location=document.location(as_written(document, (*steps, "fields", name))),
            help=did_you_mean(column, columns) or f"there are {', '.join(sorted(columns)[:10])}",
        )
        for document, steps, fields in _mapped(workspace)
        for name, column in fields.items()
        if column not in columns
    ]


def _mapped(workspace: LoadedWorkspace) -> Iterator[tuple[Document, Steps, Mapping[str, str]]]:
    """What sequences and syncs map, and where they stand."""
    for name, sequence in workspace.config.sequences.items():
        yield workspace.document, ("sequences", name), sequence.fields
    for segment in workspace.segments.values():
        for index, sync in enumerate(segment.config.sync):
            yield segment.document, ("sync", index), sync.fields


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
