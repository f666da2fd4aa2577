"""The likely cause of a change that a guard stopped, in words: whoever is woken by it wants to know where to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from segmentry.engine.rows import rows, unchanged
from segmentry.engine.snapshot import ContactSource

JUMP = 0.1
"""A column's share of missing values is worth telling of where it grew by this."""


@dataclass(frozen=True)
class Evidence:
    """Where to look: the contact columns that each segment's rule reads, and the contact snapshots now and of the accepted run."""

    columns: Mapping[str, Sequence[str]]
    now: ContactSource
    then: ContactSource | None
    contacts: int
    contacts_before: int | None


def likely_cause(segment: str, changes: pl.DataFrame, evidence: Evidence) -> str:
    """Why so many changed in a segment, as far as their causes and the columns of its rule tell. `changes` are the segment's."""
    counted = changes.group_by("cause").len().sort("len", "cause", descending=[True, False])
    cause, rows_of_cause = counted.row(0)
    share = f"{100 * rows_of_cause / changes.height:.0f}% of the changes"
    via = changes["via"].drop_nulls()
    through = f", through `{via.mode().sort()[0]}`" if len(via) * 2 > changes.height else ""
    if cause == "rule":
        return f"a rule was edited ({share} are for the rule{through})"
    if cause == "list":
        return f"a static list was edited ({share} are for a list{through})"
    if cause == "source":
        before = "" if evidence.contacts_before is None else f": {evidence.contacts_before:,} contacts before, {evidence.contacts:,} now"
        return f"contacts came or went with the snapshot{before} ({share}); a file may be half, or missing"
    if cause == "time":
        return f"time passed, and nothing else changed for {share}{through}"
    return _missing(segment, evidence) or f"rows or events changed ({share}{through})"


def _missing(segment: str, evidence: Evidence) -> str | None:
    """The column of the segment's rule that has gone missing, if one has."""
    columns = [name for name in evidence.columns.get(segment, ()) if name in evidence.now.relation.columns]
    if not columns:
        return None
    now = _shares(evidence.now, columns)
    known = evidence.then is not None and unchanged(evidence.then.relation.files)
    then = _shares(evidence.then, columns) if known and evidence.then is not None else {}
    grown = [(now[name] - then.get(name, 0.0), name) for name in columns]
    growth, name = max(grown)
    if growth < JUMP:
        return None
    before = f", and was for {100 * then[name]:.0f}%" if name in then else ""
    return f"column `{name}` is missing for {100 * now[name]:.0f}% of contacts{before}: an upstream column may have gone null"


def _shares(source: ContactSource, columns: Sequence[str]) -> dict[str, float]:
    """The share of contacts without a value, by column."""
    chosen = [name for name in columns if name in source.relation.columns]
    if not chosen:
        return {}
    schema = rows(source.relation).collect_schema()
    missing = [_is_missing(name, schema[name]).mean().alias(name) for name in chosen]
    found = rows(source.relation).select(chosen).select(missing).collect()
    return {name: float(found[name][0] or 0.0) for name in chosen}


def _is_missing(name: str, kind: pl.DataType) -> pl.Expr:
    null = pl.col(name).is_null()
    return null | (pl.col(name) == "").fill_null(value=False) if kind == pl.String() else null
