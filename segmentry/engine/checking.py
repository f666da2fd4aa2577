"""`check`: every problem of a workspace at once, and what is worth a second look though it is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from segmentry.engine.activation_checks import aliases_of, check_suppress, field_problems
from segmentry.engine.audit import audit
from segmentry.engine.definitions import composed, definition_of, going_before, priority_of
from segmentry.engine.lists import read_list
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.moment import Asked, Moment, Remember, circle_in_file
from segmentry.engine.relating import certain_now, relate
from segmentry.engine.render import table_html
from segmentry.engine.rows import rows
from segmentry.engine.snapshot import Format, Relation, Snapshot
from segmentry.engine.vanished import renamed_unsaid
from segmentry.engine.yaml import locate, parse_document
from segmentry.errors import DiagnosedError, RuleError, SourceError, WorkspaceError
from segmentry.rules.builder import parse_builder
from segmentry.rules.checker import check as check_rule
from segmentry.rules.diagnostics import Diagnostic, Severity
from segmentry.rules.facts import same_rules
from segmentry.rules.ground import ground
from segmentry.rules.nodes import Condition
from segmentry.rules.parse import parse_text
from segmentry.rules.printer import to_text
from segmentry.rules.references import in_order
from segmentry.rules.related import Relations
from segmentry.rules.types import Kind

if TYPE_CHECKING:
    from segmentry.engine.asking import Inquiry

# What makes up contacts for tests, and what evaluates, is imported where there are tests or an audit: a check without them takes
# less time than those imports.

SMALL_BYTES, FEW_SEGMENTS = 8 << 20, 25
"""`check` audits sources and workspaces of at most this size without being asked: it is done, and read, at once."""

COLUMNS = {"source": pl.String, "column": pl.String, "type": pl.String, "stored": pl.String, "told_by": pl.String}


@dataclass(frozen=True)
class Check:
    """What `check` found in a workspace without errors.

    `columns` has every column of every source: `source`, `column`, its `type` in rules (missing: no rule can use it), as
    it is `stored`, and `told_by` (`parquet`, `declared`, `sniffed` or `folders`). `audit`, if it was made, has per segment
    and condition how many contacts it holds for and how many had a missing value on which side (see `Preview.conditions`).
    `destinations` is what each said, if they were asked. `relations` is what was proven of segments and of pairs of them, if
    that was asked.
    """

    name: str
    segments: int
    as_of: datetime
    columns: pl.DataFrame
    warnings: tuple[Diagnostic, ...]
    audit: pl.DataFrame | None
    destinations: tuple[Inquiry, ...] | None = None
    relations: Relations | None = None

    def sniffed(self) -> pl.DataFrame:
        """The columns whose types were read off the values of text files."""
        return self.columns.filter(pl.col("told_by").is_in(["declared", "sniffed"])) if self.columns.height else self.columns

    def headline(self) -> str:
        """The result in a line."""
        warned = f", {len(self.warnings)} warning{'' if len(self.warnings) == 1 else 's'}" if self.warnings else ""
        told = len(self.destinations or ())
        answer = f", {told} destination{' answers' if told == 1 else 's answer'}" if told else ""
        return f"{self.name}: {self.segments} segment{'' if self.segments == 1 else 's'} and their sources are in order{answer}{warned}"

    def online(self, asked: Sequence[Inquiry], problems: Sequence[Diagnostic]) -> Check:
        """The same with what destinations said. Raises WorkspaceError with every problem, and warning, if one is an error."""
        if any(problem.severity is Severity.ERROR for problem in problems):
            raise WorkspaceError([*self.warnings, *problems])
        return replace(self, destinations=tuple(asked), warnings=(*self.warnings, *problems))

    def to_json(self) -> dict[str, object]:
        """Everything as plain values."""
        return {
            "workspace": self.name,
            "segments": self.segments,
            "as_of": self.as_of,
            "warnings": [warning.to_json() for warning in self.warnings],
            "columns": self.columns.to_dicts(),
            "audit": None if self.audit is None else self.audit.to_dicts(),
            "relations": None if self.relations is None else self.relations.to_json(),
            "destinations": None if self.destinations is None else [asked.to_json() for asked in self.destinations],
        }

    def __str__(self) -> str:
        return "\n".join([self.headline(), *(warning.render() for warning in self.warnings)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from segmentry.engine.preview import CONDITIONS

        audited = "" if self.audit is None else table_html(self.audit, rows=self.audit.height, grouped=CONDITIONS)
        return f"<pre>{str(self).replace('&', '&amp;').replace('<', '&lt;')}</pre>{audited}"


def check(
    loaded: LoadedWorkspace,
    as_of: datetime,
    *,
    audited: bool | None = None,
    remember: Remember | None = None,
    related: bool = False,
) -> Check:
    """Check files, sources and rules as a run at `as_of` would; `remember` opens what earlier runs know.

    `related` also asks what segments are to each other.

    Raises, with every problem at once, WorkspaceError, SourceError or RuleError, whichever comes first of what is wrong.
    """
    problems = [problem for problem in loaded.diagnostics if problem.severity is Severity.ERROR]
    warnings = [problem for problem in loaded.diagnostics if problem.severity is Severity.WARNING]
    kinds: list[type[DiagnosedError]] = [WorkspaceError] if problems else []
    try:
        moment = Moment.at(loaded, as_of, remember)
    except SourceError as error:
        raise (WorkspaceError if problems else SourceError)([*problems, *error.diagnostics]) from None
    checked, wrong, found = _rules(loaded, moment)
    kinds += [RuleError] if wrong else []
    untestable = [] if problems else _untestable(loaded, moment)
    problems += untestable
    kinds += [WorkspaceError] if untestable else []
    unread = _unread(loaded, moment.snapshot)
    kinds += [SourceError] if unread else []
    if kinds:
        raise kinds[0]([*problems, *wrong, *unread])
    rules = {name: condition for name, condition in checked.items() if condition is not None}
    warnings += found + renamed_unsaid(loaded) + _data_warnings(loaded, moment, rules)
    few = len(checked) <= FEW_SEGMENTS
    small = few and sum(file.size for relation in _relations(moment.snapshot).values() for file in relation.files) <= SMALL_BYTES
    counts = _audit(loaded, moment) if (small if audited is None else audited) else None
    columns = _columns(loaded, moment.snapshot)
    relations = relate(loaded, checked, moment.clock) if related else None
    return Check(loaded.name, len(checked), as_of, columns, tuple(warnings), counts, relations=relations)


def check_new(loaded: LoadedWorkspace, files: Mapping[str, str], as_of: datetime) -> list[Diagnostic]:
    """Check a segment's file that is not written yet against the contacts: warnings. Raises RuleError.

    Where there is no data yet, there is nothing to check against.
    """
    try:
        moment = Moment.at(loaded, as_of)
    except SourceError:
        return []
    [(path, text)] = files.items()
    document, problems = parse_document(text, path)
    assert document is not None, problems
    syntax = parse_builder({"rules": document.value["rules"]}) if "rules" in document.value else parse_text(document.value["where"])
    try:
        _, warnings = check_rule(syntax, moment.schema)
    except RuleError as error:
        raise RuleError([locate(document, problem) for problem in error.diagnostics]) from None
    return [locate(document, warning) for warning in warnings]


def _rules(loaded: LoadedWorkspace, moment: Moment) -> tuple[dict[str, Condition | None], list[Diagnostic], list[Diagnostic]]:
    """Each segment's own condition, every problem of the rules, and warnings that need no data."""
    conditions: dict[str, Condition | None] = {}
    problems: list[Diagnostic] = []
    warnings: list[Diagnostic] = []
    told: dict[str, list[Diagnostic]] = {}
    for name, segment in loaded.segments.items():
        conditions[name] = None
        if segment.syntax is None:
            continue
        try:
            conditions[name], told[name] = check_rule(segment.syntax, moment.schema, source=segment.config.where)
            warnings += [segment.locate(warning) for warning in told[name]]
        except RuleError as error:
            problems += [segment.locate(problem) for problem in error.diagnostics]
    try:
        warnings += check_suppress(loaded, moment.schema)[1]
    except RuleError as error:
        problems += error.diagnostics
    rules = {name: condition for name, condition in conditions.items() if condition is not None}
    before = going_before({name: priority_of(segment) for name, segment in loaded.segments.items()})
    try:
        in_order(
            {
                name: composed(conditions[name], definition_of(segment), before=before.get(name, ()))
                for name, segment in loaded.segments.items()
                if conditions[name] is not None or segment.list is not None
            }
        )
    except RuleError as error:
        problems += [circle_in_file(loaded, problem) for problem in error.diagnostics]
    if not problems and not any(problem.severity is Severity.ERROR for problem in loaded.diagnostics):  # else some segment has no rule
        warnings += [loaded.segments[name].locate(warning) for name, warning in same_rules(rules)]
        warnings += certain_now(loaded, conditions, told, moment.clock)
    return conditions, problems, warnings


def _unread(loaded: LoadedWorkspace, snapshot: Snapshot) -> list[Diagnostic]:
    """What is wrong with static lists, with mapped columns and with aliases."""
    key = snapshot.contacts.relation.columns[snapshot.contacts.key]
    problems: list[Diagnostic] = []
    for written, path in loaded.lists().items():
        try:
            if path.is_file():
                read_list(path, key, written)
        except SourceError as error:
            problems += error.diagnostics
    problems += field_problems(loaded, snapshot)
    try:
        aliases_of(loaded, snapshot)
    except SourceError as error:
        problems += error.diagnostics
    return problems


def _data_warnings(loaded: LoadedWorkspace, moment: Moment, conditions: Mapping[str, Condition]) -> list[Diagnostic]:
    """Warnings that need a look at the data."""
    grounded = {name: ground(condition, moment.clock) for name, condition in conditions.items()}
    found = [loaded.segments[finding.segment].locate(finding.diagnostic) for finding in audit(grounded, moment.snapshot)]
    return [*_key_warning(loaded, moment.snapshot), *found]


def _key_warning(loaded: LoadedWorkspace, snapshot: Snapshot) -> list[Diagnostic]:
    """A warning if contacts are known by their addresses, which change, and which everything that is kept would then hold."""
    contacts = snapshot.contacts
    column = contacts.relation.columns[contacts.key]
    if column.type is None or column.type.kind is not Kind.TEXT:
        return []
    some = rows(contacts.relation).select(contacts.key).head(200).collect()[contacts.key]
    addresses = some.str.contains(r"^[^@\s]+@[^@\s]+\.[^@\s]+$").sum()
    if contacts.key != contacts.email and addresses * 2 <= len(some):
        return []
    return [
        Diagnostic(
            "S310",
            f"the key `{contacts.key}` looks like an e-mail address",
            Severity.WARNING,
            location=loaded.document.location(("contacts", "key")),
            help="use a key that stays when an address changes",
            notes=("changes are kept for good, and they hold keys: an address there is personal data that only `forget` removes",),
        )
    ]


def _untestable(loaded: LoadedWorkspace, moment: Moment) -> list[Diagnostic]:
    """What is wrong with the tests in segments' files."""
    tested = [name for name, segment in sorted(loaded.segments.items()) if segment.config.tests]
    if not tested:
        return []
    from segmentry.engine.segment_tests import fixtures_of

    return fixtures_of(moment, tested)[1]


def _audit(loaded: LoadedWorkspace, moment: Moment) -> pl.DataFrame:
    from segmentry.engine.preview import audit_conditions

    asked: dict[str, Asked] = {}
    for name, segment in loaded.segments.items():
        if segment.syntax is not None:
            text = to_text(segment.syntax)
            asked[name] = Asked(text, check_rule(parse_text(text), moment.schema, source=text, proofs=False)[0])
    return audit_conditions(moment, asked)[1]


def _relations(snapshot: Snapshot) -> dict[str, Relation]:
    """Every source's relation, by what to call it."""
    named = {"contacts": snapshot.contacts.relation}
    for number, source in enumerate(snapshot.events):
        named[source.event or f"events {number + 1}"] = source.relation
    return named


def _columns(loaded: LoadedWorkspace, snapshot: Snapshot) -> pl.DataFrame:
    """The columns of `Check.columns`."""
    fields: Sequence[Mapping[str, str]] = [loaded.config.contacts.fields, *(table.fields for table in loaded.config.events)]
    found: list[tuple[str, str, str | None, str, str]] = []
    for (name, relation), declared in zip(_relations(snapshot).items(), fields, strict=True):
        for column in relation.columns.values():
            told = "declared" if column.name in declared else "parquet" if relation.format is Format.PARQUET else "sniffed"
            if relation.hive and column.name in relation.declared and told == "parquet":
                told = "folders"
            found.append((name, column.name, str(column.type) if column.type else None, column.stored, told))
    return pl.DataFrame(found, schema=COLUMNS, orient="row")
