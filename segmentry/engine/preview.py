"""What a rule would find, before it is a segment: count, share, a sample, and each condition's own count and missing values."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from segmentry.engine.render import moment, table_html
from segmentry.rules.diagnostics import Diagnostic

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
        return f"{self.count:,} of {self.total:,} contacts ({self.share:.1%}) at {moment(self.as_of)}"

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
