"""The goals, each beside what was measured: a ratio of medians, or seconds, or bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

Summary = Mapping[str, Any]
Measured = Callable[[Summary, Mapping[str, Summary]], float | None]
MANY = 1_000


@dataclass(frozen=True)
class Goal:
    """What is wanted at which size; `measured` looks at one size's figures, and at all of them."""

    about: str
    size: str
    most: float
    measured: Measured
    unit: str = ""


def ratio(summary: Summary, name: str, step: str, other: str, other_step: str | None = None) -> float | None:
    """The median of the rounds' ratios of seconds; None where one of them was not measured."""
    ours, theirs = summary["results"].get(name, {}).get(step), summary["results"].get(other, {}).get(other_step or step)
    if not ours or not theirs:
        return None
    return median(one["seconds"] / two["seconds"] for one, two in zip(ours, theirs, strict=True))


def seconds(summary: Summary, name: str, step: str) -> float | None:
    """The median of the rounds."""
    found = summary["results"].get(name, {}).get(step)
    return median(one["seconds"] for one in found) if found else None


def peak(summary: Summary, name: str) -> float:
    """The most memory in bytes, over all steps and rounds."""
    return float(max(one["peak_bytes"] for step in summary["results"][name].values() for one in step))


def _beside(other: str) -> Measured:
    return lambda summary, _: ratio(summary, "segmentry", "full", other)


def _own(step: str) -> Measured:
    return lambda summary, _: ratio(summary, "segmentry", step, "segmentry", "full")


def _command(name: str) -> Measured:
    return lambda summary, _: median(summary["commands"][name]) if name in summary["commands"] else None


def _among_sizes(size: str, *, per_contact: bool) -> Measured:
    """A full run of this size beside one of another."""

    def measured(summary: Summary, summaries: Mapping[str, Summary]) -> float | None:
        other = summaries.get(size)
        ours, theirs = (None if one is None else seconds(one, "segmentry", "full") for one in (summary, other))
        if other is None or ours is None or theirs is None or other is summary:
            return None
        return ours / theirs / (summary["contacts"] / other["contacts"] if per_contact else 1)

    return measured


def _of_many(measured: Measured) -> Measured:
    """Only where there are a thousand segments."""
    return lambda summary, summaries: measured(summary, summaries) if summary["segments"] >= MANY else None


GOALS = (
    Goal("full run, beside DuckDB with one query per segment", "standard", 0.35, _beside("duckdb_sql")),
    Goal("full run, beside Polars", "standard", 0.9, _beside("polars_lazy")),
    Goal("full run, beside chDB", "standard", 1.2, _beside("chdb_pass")),
    Goal("full run, beside the limit", "standard", 2.0, _beside("limit")),
    Goal(
        "full run with UUIDs as text for keys, beside integers", "standard", 1.5,
        lambda summary, _: ratio(summary, "segmentry_uuid", "full", "segmentry"),
    ),
    Goal("full run of 1,000 segments, beside DuckDB", "wide", 0.1, _of_many(_beside("duckdb_sql"))),
    Goal("full run of 1,000 segments, beside 100", "wide", 2.0, _of_many(_among_sizes("standard", per_contact=False))),
    Goal("next run, 0.1% of contacts changed and an hour of events, beside a full run", "standard", 0.2, _own("next")),
    Goal("next run, nothing changed but the clock, beside a full run", "standard", 0.05, _own("clock")),
    Goal(
        "preview of one rule, beside the query written by hand", "standard", 1.2,
        lambda summary, _: ratio(summary, "segmentry", "preview", "duckdb_sql"),
    ),
    Goal("peak memory of all steps", "standard", 4.0, lambda summary, _: peak(summary, "segmentry") / 2**30, " GiB"),
    Goal("time per contact at 10 M, beside 1 M", "standard", 1.3, _among_sizes("small", per_contact=True)),
    Goal("`segmentry --help`", "small", 0.2, _command("--help"), " s"),
    Goal("`check` of 100 segments", "small", 1.0, _command("check"), " s"),
)  # fmt: skip


def table(summaries: Mapping[str, Summary]) -> str:
    """All goals beside what was measured at each size; a goal is met or missed at the size that it is for."""
    sizes = [size for size in ("small", "standard", "wide") if size in summaries]
    lines = [f"| | goal | {' | '.join(sizes)} | |", f"|---|---:|{'---:|' * len(sizes)}---|"]
    for goal in GOALS:
        found = {size: goal.measured(summaries[size], summaries) for size in sizes if "segmentry" in summaries[size]["results"]}
        there = found.get(goal.size)
        verdict = f"not measured at `{goal.size}`" if there is None else "met" if there <= goal.most else "**missed**"
        cells = ["" if found.get(size) is None else f"{found[size]:.2f}{goal.unit}" for size in sizes]
        lines.append(f"| {goal.about} (`{goal.size}`) | {goal.most:g}{goal.unit} | {' | '.join(cells)} | {verdict} |")
    return "\n".join(lines) + "\n"
