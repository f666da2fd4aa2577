"""A benchmark's results as Markdown: a table, and a chart of bars that plain text can show. And docs/benchmarks.md made of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks import curves, goals
from benchmarks.peers.contract import STEPS

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
PART = re.compile(r"(?P<open><!-- measured: (?P<name>\w+) -->\n).*?(?P<close><!-- end -->)", re.DOTALL)

WORDS = {
    "segmentry": "Segmentry",
    "segmentry_uuid": "Segmentry, UUIDs as text for keys",
    "duckdb_sql": "DuckDB, one query per segment",
    "polars_lazy": "Polars, lazy and streaming",
    "chdb_pass": "chDB, one grouped pass",
    "limit": "the limit",
}
BAR = 40
NOTHING = "Nothing has been published yet: figures are, from a machine that does nothing else meanwhile.\n"


def section(summary: dict[str, Any]) -> str:
    """One size: the table with the ratio of Segmentry to each peer, the chart of full runs, what it ran on."""
    results: dict[str, dict[str, list[dict[str, float]]]] = summary["results"]
    heading = f"{summary['contacts']:,} contacts, {summary['events']:,} events, {summary['segments']:,} segments"
    steps = [step for step in STEPS if any(step in measured for measured in results.values())]
    lines = [
        f"### {summary['size']}: {heading}",
        "",
        f"| seconds | {' | '.join(steps)} | peak memory, MiB | a full run of Segmentry takes |",
    ]
    lines.append(f"|---|{'---:|' * (len(steps) + 2)}")
    for name in results:
        times = [goals.seconds(summary, name, step) for step in steps]
        ratio = None if name.startswith("segmentry") else goals.ratio(summary, "segmentry", "full", name)
        cells = ["" if time is None else f"{time:.2f}" for time in times]
        beside = "" if ratio is None else f"{ratio:.2f} of it"
        lines.append(f"| {WORDS[name]} | {' | '.join(cells)} | {goals.peak(summary, name) / 2**20:,.0f} | {beside} |")
    lines += [
        f"| {WORDS[name]} | {' | '.join('' for _ in steps)} | | left out: no package {package} |"
        for name, package in summary["left_out"].items()
    ]
    lines += [
        f"| {WORDS[name]} | {' | '.join('' for _ in steps)} | | ended with an error at `{step}`, within {summary['memory']} |"
        for name, step in summary.get("failed", {}).items()
    ]
    return "\n".join([*lines, "", *_chart(summary), "", _ground(summary)]) + "\n"


def _chart(summary: dict[str, Any]) -> list[str]:
    """The full runs as bars."""
    times = {name: time for name in summary["results"] if (time := goals.seconds(summary, name, "full")) is not None}
    if not times:
        return []
    slowest, width = max(times.values()), max(len(WORDS[name]) for name in times)
    bars = [f"{WORDS[name]:{width}} {'█' * max(1, round(BAR * time / slowest))} {time:.2f} s" for name, time in times.items()]
    return ["```", *bars, "```"]


def _ground(summary: dict[str, Any]) -> str:
    """What it ran on."""
    machine = summary["machine"]
    libraries = ", ".join(f"{name} {number}" for name, number in summary["versions"].items())
    count = max(len(measured) for steps in summary["results"].values() for measured in steps.values())
    commands = "; ".join(f"`{name}` {goals.median(times):.2f} s" for name, times in summary["commands"].items())
    return (
        f"`{_command(summary, count)}`. Answers: {summary['answers']}. {count} round{'s' if count > 1 else ''}, medians."
        f" {commands}{'. ' if commands else ''}"
        f"{machine['system']} on {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; each process"
        f" {summary['threads']} threads and {summary['memory']}. Python {machine['python']}, {libraries}. {summary['when']}."
    )


def _command(summary: dict[str, Any], rounds: int) -> str:
    """What measures the same."""
    peers = " ".join([*summary["results"], *summary.get("failed", {})])
    return f"python -m benchmarks --size {summary['size']} --rounds {rounds} --peers {peers} --publish"


def publish(summary: dict[str, Any]) -> None:
    """Keep the figures of one size, and write docs/benchmarks.md anew."""
    keep(RESULTS / f"{summary['size']}.json", summary)


def keep(results: Path, figures: dict[str, Any]) -> None:
    """Keep figures, and write the measured parts of docs/benchmarks.md anew."""
    RESULTS.mkdir(exist_ok=True)
    results.write_text(json.dumps(_short(figures), indent=1) + "\n", encoding="utf-8")
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


def _short(value: Any) -> Any:
    """Figures as far as they mean anything: milliseconds."""
    if isinstance(value, dict):
        return {key: _short(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_short(inner) for inner in value]
    return round(value, 3) if isinstance(value, float) else value


def written(document: str) -> str:
    """The document with its measured parts as the kept figures say."""
    summaries = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))}
    sizes = [size for size in ("small", "standard", "wide", "real", "replicated") if size in summaries]
    parts = {
        "goals": goals.table(summaries),
        "sizes": "\n".join(section(summaries[size]) for size in sizes) or NOTHING,
        "scaling": curves.section(summaries.get("scaling", {})) or NOTHING,
    }
    return PART.sub(lambda part: part["open"] + parts[part["name"]] + part["close"], document)
