"""What a rule would find, before it is a segment: count, share, what each condition does, a breakdown by a field, a sample.

All figures come from one evaluation of one plan; the sample's rows, with all their columns, are looked up by their keys.
"""

from __future__ import annotations

import html
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from itertools import accumulate
from operator import and_, or_

import polars as pl

from segmentry.engine.audit import audit
from segmentry.engine.moment import Answer, Asked, Moment, Written
from segmentry.engine.outline import Outline, Shape, operands, outline
from segmentry.engine.relating import certain_of
from segmentry.engine.render import second, table_html
from segmentry.engine.rows import rows_with
from segmentry.engine.splitting import split_of
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.nodes import Condition, Field, Member, Value, way

CONDITIONS = {"condition": pl.String, "matched": pl.Int64, "missing": pl.Int64, "missing_in": pl.Int64}
"""Columns of an audit: the condition's words, how many contacts it holds for, how many miss a value in it, how many of those are in."""

WATERFALL = {"condition": pl.String, "matched": pl.Int64, "left": pl.Int64, "removed": pl.Int64, "alone": pl.Int64}
"""Columns of a waterfall: a condition of the top-level `and`, how many contacts it holds for, how many are left after it and those before
it, how many of those before it removes, and how many fail it and no other: they would be in but for it."""

GROUPS = {"group": pl.String, "share": pl.Float64, "size": pl.Int64}
"""Columns of a split's groups: its share of all contacts, in percent, and how many of the contacts found are in it."""

BREAKDOWN_ROWS = 20
"""Values of a breakdown that a table shows; the frame and JSON have all."""


@dataclass(frozen=True)
class Preview:
    """A rule tried on a snapshot at `as_of` (aware, UTC).

    `rule` is canonical text; `count` of `total` contacts are found. `conditions` has one row per condition: `condition`,
    `matched`, `missing` (contacts with a missing value in it), `missing_in` (those of them on the matching side).
    `waterfall` has one row per condition of the top-level `and`, in the order written (one row for any other rule), with the
    columns of `WATERFALL`. `breakdown`, where one was asked for, has one row per value of a field: that value under the
    field's name (null is missing), `matched`, `contacts`, `share` (0 to 1), the most found first.
    `groups`, where the rule is one segment that is divided (`member('vip')`), has the columns of `GROUPS`, who is in none last.
    `sample` has the first few contacts found, whole rows in the snapshot's order.
    """

    rule: str
    as_of: datetime
    count: int
    total: int
    conditions: pl.DataFrame
    waterfall: pl.DataFrame
    sample: pl.DataFrame
    breakdown: pl.DataFrame | None = None
    groups: pl.DataFrame | None = None
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
            "waterfall": self.waterfall.to_dicts(),
            "by": None if self.breakdown is None else self.breakdown.columns[0],
            "breakdown": None if self.breakdown is None else self.breakdown.to_dicts(),
            **({} if self.groups is None else {"groups": self.groups.to_dicts()}),
            "sample": self.sample.to_dicts(),
            "warnings": [warning.to_json() for warning in self.warnings],
        }

    def figures(self) -> list[tuple[pl.DataFrame, Collection[str]]]:
        """The tables for people, each with the columns that are counts: conditions, then what there is of waterfall, breakdown, groups."""
        tables: list[tuple[pl.DataFrame, Collection[str]]] = [(self.conditions, CONDITIONS)]
        if self.waterfall.height > 1:
            tables.append((self.waterfall, WATERFALL))
        if self.breakdown is not None:
            shown = self.breakdown.head(BREAKDOWN_ROWS)
            shares = pl.Series("share", [f"{share:.1%}" for share in shown["share"]], pl.String)
            tables.append((shown.with_columns(shares), ("matched", "contacts")))
        if self.groups is not None:
            tables.append((self.groups, ("size",)))
        return tables

    @property
    def unshown(self) -> int:
        """How many values of the breakdown its table leaves out."""
        return 0 if self.breakdown is None else max(0, self.breakdown.height - BREAKDOWN_ROWS)

    def __str__(self) -> str:
        with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, fmt_str_lengths=80, tbl_rows=-1):
            tables = "\n".join(str(table) for table, _ in self.figures())
            return f"{self.rule}\n{self.headline()}\n{tables}\n{self.sample}"

    __repr__ = __str__

    def to_html(self) -> str:
        """The headline and tables, with no style sheet and no script."""
        tables = "".join(table_html(table, rows=table.height, grouped=counts) for table, counts in self.figures())
        more = f"<p>{self.unshown:,} more values</p>" if self.unshown else ""
        return f"<p><code>{html.escape(self.rule)}</code><br><b>{self.headline()}</b></p>{tables}{more}{table_html(self.sample)}"

    def _repr_html_(self) -> str:
        return self.to_html()


RULE = "rule"


PART = "part:{}"


def preview(moment: Moment, rule: Written, sample: int, by: str | None = None) -> Preview:
    """Try a rule on the snapshot; `sample` contacts are shown. `by` names a field. Raises RuleError and SourceError."""
    asked = moment.ask(rule)
    column = None if by is None else moment.field(by)
    grounded = moment.grounded(asked.condition)
    parts = _conditions_of_and(outline(asked.condition, asked.text))
    also = {RULE: grounded, **{PART.format(number): moment.grounded(part.condition) for number, part in enumerate(parts)}}
    answer, counts = audit_conditions(moment, {RULE: asked}, also, [column] if column is not None else [])
    unseen = [replace(finding.diagnostic, rule=asked.text) for finding in audit({RULE: grounded}, moment.snapshot)]
    members = answer.members(RULE)
    contacts = moment.contacts
    return Preview(
        rule=asked.text,
        as_of=moment.clock.as_of,
        count=len(members),
        total=len(answer.keys),
        conditions=counts.drop("segment"),
        waterfall=_waterfall([part.text for part in parts], [answer.holds[PART.format(number)] for number in range(len(parts))]),
        sample=rows_with(contacts.relation, contacts.key, members.head(sample)),
        groups=_groups(moment, asked.condition, members),
        breakdown=None if column is None else _breakdown(_title(column), answer.value(column), answer.holds[RULE]),
        warnings=(*asked.warnings, *certain_of(moment, rule, asked.warnings), *unseen),
    )


def _groups(moment: Moment, rule: Condition, members: pl.Series) -> pl.DataFrame | None:
    """How many are in each group, where the rule is being in a segment that its file divides."""
    split = split_of(rule.segment, moment.segment(rule.segment).config) if isinstance(rule, Member) else None
    if split is None:
        return None
    counts = dict(split.groups(members).value_counts(name="size").iter_rows())
    rows = [(one.name, float(100 * one.share), counts.get(one.name, 0)) for one in split.shares]
    rest = 1 - sum(one.share for one in split.shares)
    return pl.DataFrame(rows + ([(None, float(100 * rest), counts.get(None, 0))] if rest else []), schema=GROUPS, orient="row")


def _conditions_of_and(whole: Outline) -> tuple[Outline, ...]:
    """The conditions of a top-level `and`; any other rule is the only one."""
    return whole.parts if whole.shape is Shape.ALL else (whole,)


def _waterfall(words: Sequence[str], holds: Sequence[pl.Series]) -> pl.DataFrame:
    """The columns of `WATERFALL`, a row for each condition, of which `holds` has everybody's answers."""
    everybody = pl.repeat(True, len(holds[0]), dtype=pl.Boolean(), eager=True)
    before = list(accumulate(holds, and_, initial=everybody))
    after = list(accumulate(reversed(holds), and_, initial=everybody))[::-1]
    rows = []
    for number, (text, one) in enumerate(zip(words, holds, strict=True)):
        left = int(before[number + 1].sum())
        alone = before[number] & after[number + 1] & ~one
        rows.append((" ".join(text.split()), int(one.sum()), left, int(before[number].sum()) - left, int(alone.sum())))
    return pl.DataFrame(rows, schema=WATERFALL, orient="row")


def _title(column: Value) -> str:
    """What a field, or one within a struct, is called above its values."""
    base, names = way(column)
    assert isinstance(base, Field)
    return ".".join((base.name, *names))


def _breakdown(name: str, values: pl.Series, members: pl.Series) -> pl.DataFrame:
    """How many of the contacts with each value of a field are found."""
    found = pl.DataFrame({"value": values, "in": members}).group_by("value").agg(pl.col("in").sum().cast(pl.Int64), pl.len().cast(pl.Int64))
    ordered = found.sort(["in", "len", "value"], descending=[True, True, False], nulls_last=True)
    counted = [pl.col("in").alias("matched"), pl.col("len").alias("contacts"), (pl.col("in") / pl.col("len")).alias("share")]
    made = ordered.select(pl.col("value"), *counted)
    return made.rename({"value": name if name not in made.columns[1:] else f"{name} "})


def audit_conditions(
    moment: Moment, asked: Mapping[str, Asked], also: Mapping[str, Condition] | None = None, values_too: Sequence[Value] = ()
) -> tuple[Answer, pl.DataFrame]:
    """Per rule and condition the columns of `CONDITIONS`, after `segment`, the rule's name; all in one evaluation.

    The answer has the conditions of `also` too, by their names, and the fields of `values_too` as they are.
    """
    lines = [(name, leaf) for name, rule in asked.items() for leaf in outline(rule.condition, rule.text).leaves()]
    columns = {f"condition:{number}": moment.grounded(leaf.condition) for number, (_, leaf) in enumerate(lines)}
    values = [[moment.value(value) for value in operands(leaf.condition)] for _, leaf in lines]
    wanted = dict.fromkeys([*values_too, *(value for several in values for value in several)])
    answer = moment.answer({**(also or {}), **columns}, wanted, missing=True, but=values_too)
    found: dict[str, list[object]] = {name: [] for name in ("segment", *CONDITIONS)}
    for number, (name, leaf) in enumerate(lines):
        matched = answer.holds[f"condition:{number}"]
        gaps = [answer.missing(value) for value in values[number]]
        missing = reduce(or_, gaps) if gaps else matched & ~matched
        row = (name, " ".join(leaf.text.split()), matched.sum(), missing.sum(), (matched & missing).sum())
        for key, value in zip(found, row, strict=True):
            found[key].append(value)
    return answer, pl.DataFrame(found, schema={"segment": pl.String, **CONDITIONS})
