"""What a rule would find, before it is a segment: count, share, a sample, and each condition's own count and missing values."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from operator import or_

import polars as pl

from segmentry.engine.audit import audit
from segmentry.engine.moment import Answer, Asked, Moment, Written
from segmentry.engine.outline import operands, outline
from segmentry.engine.relating import certain_of
from segmentry.engine.render import second, table_html
from segmentry.engine.rows import rows_of
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.nodes import Condition

CONDITIONS = {"condition": pl.String, "matched": pl.Int64, "missing": pl.Int64, "missing_in": pl.Int64}
"""Columns of an audit: the condition's words, how many contacts it holds for, how many miss a value in it, how many of those are in."""


@dataclass(frozen=True)
class Preview:
    """A rule tried on a snapshot at `as_of` (aware, UTC).

    `rule` is canonical text; `count` of `total` contacts are found. `conditions` has one row per condition: `condition`,
    `matched`, `missing` (contacts with a missing value in it), `missing_in` (those of them on the matching side).
    `sample` has the first few contacts found, whole rows in the snapshot's order.
    """

    rule: str
    as_of: datetime
    count: int
    total: int
    conditions: pl.DataFrame
    sample: pl.DataFrame
    warnings: tuple[Diagnostic, ...] = field(default=())

    @property
    def share(self) -> float:
        """The found part of all contacts, 0 to 1."""
        return self.count / self.total if self.total else 0.0

    def headline(self) -> str:
        """The answer in a line."""
        return f"{self.count:,} of {self.total:,} contacts ({self.share:.1%}) at {second(self.as_of)}"

    def to_json(self) -> dict[str, object]:
        """Everything as plain values; dates, times and decimals are as Python has them."""
        return {
            "rule": self.rule,
            "as_of": self.as_of,
            "count": self.count,
            "total": self.total,
            "share": self.share,
            "conditions": self.conditions.to_dicts(),
            "sample": self.sample.to_dicts(),
            "warnings": [warning.to_json() for warning in self.warnings],
        }

    def __str__(self) -> str:
        with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, fmt_str_lengths=80):
            return f"{self.rule}\n{self.headline()}\n{self.conditions}\n{self.sample}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        counts = table_html(self.conditions, rows=self.conditions.height, grouped=CONDITIONS)
        return f"<p><code>{html.escape(self.rule)}</code><br><b>{self.headline()}</b></p>{counts}{table_html(self.sample)}"


RULE = "rule"


def preview(moment: Moment, rule: Written, sample: int) -> Preview:
    """Try a rule on the snapshot; `sample` contacts are shown. Raises RuleError and SourceError."""
    asked = moment.ask(rule)
    grounded = moment.grounded(asked.condition)
    answer, counts = audit_conditions(moment, {RULE: asked}, {RULE: grounded})
    unseen = [replace(finding.diagnostic, rule=asked.text) for finding in audit({RULE: grounded}, moment.snapshot)]
    members = answer.members(RULE)
    contacts = moment.contacts
    rows = rows_of(contacts.relation, contacts.key, members.head(sample)).collect()
    return Preview(
        rule=asked.text,
        as_of=moment.clock.as_of,
        count=len(members),
        total=len(answer.keys),
        conditions=counts.drop("segment"),
        sample=rows,
        warnings=(*asked.warnings, *certain_of(moment, rule, asked.warnings), *unseen),
    )


def audit_conditions(
    moment: Moment, asked: Mapping[str, Asked], also: Mapping[str, Condition] | None = None
) -> tuple[Answer, pl.DataFrame]:
    """Per rule and condition the columns of `CONDITIONS`, after `segment`, the rule's name; all in one evaluation.

    The answer has the conditions of `also` too, by their names.
    """
    lines = [(name, leaf) for name, rule in asked.items() for leaf in outline(rule.condition, rule.text).leaves()]
    columns = {f"condition:{number}": moment.grounded(leaf.condition) for number, (_, leaf) in enumerate(lines)}
    values = [[moment.value(value) for value in operands(leaf.condition)] for _, leaf in lines]
    answer = moment.answer({**(also or {}), **columns}, dict.fromkeys(value for several in values for value in several), missing=True)
    found: dict[str, list[object]] = {name: [] for name in ("segment", *CONDITIONS)}
    for number, (name, leaf) in enumerate(lines):
        matched = answer.holds[f"condition:{number}"]
        gaps = [answer.value(value) for value in values[number]]
        missing = reduce(or_, gaps) if gaps else matched & ~matched
        row = (name, " ".join(leaf.text.split()), matched.sum(), missing.sum(), (matched & missing).sum())
        for key, value in zip(found, row, strict=True):
            found[key].append(value)
    return answer, pl.DataFrame(found, schema={"segment": pl.String, **CONDITIONS})
