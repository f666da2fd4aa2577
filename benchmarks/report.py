"""A benchmark's results as Markdown: a table, and a chart of bars that plain text can show."""

from __future__ import annotations

from typing import Any

WORDS = {"segmentry": "Segmentry", "duckdb_sql": "DuckDB, one query per segment, diff by `except`"}
BAR = 40


def markdown(summary: dict[str, Any]) -> str:
    """The table, the ratio of Segmentry to each peer, and the chart."""
    results: dict[str, dict[str, dict[str, float]]] = summary["results"]
    ours = results.get("segmentry")
    lines = [
        f"## {summary['size']}: {summary['contacts']:,} contacts, {summary['events']:,} events, {summary['segments']:,} segments",
        "",
        "| | first run, s | next run in full, with changes, s | peak memory, MiB | Segmentry takes |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, steps in results.items():
        peak = max(step["peak_bytes"] for step in steps.values()) / 2**20
        ratio = f"{ours['next']['seconds'] / steps['next']['seconds']:.2f} of it" if ours and name != "segmentry" else ""
        lines.append(
            f"| {WORDS.get(name, name)} | {steps['first']['seconds']:.2f} | {steps['next']['seconds']:.2f} | {peak:,.0f} | {ratio} |"
        )
    slowest = max(steps["next"]["seconds"] for steps in results.values())
    width = max(len(name) for name in results)
    lines += ["", "```"]
    lines += [f"{name:{width}} {'█' * max(1, round(BAR * steps['next']['seconds'] / slowest))}" for name, steps in results.items()]
    lines += ["```", "", f"Answers: {summary['answers']}. {summary['threads']} threads. {summary['when']}."]
    return "\n".join(lines) + "\n"
