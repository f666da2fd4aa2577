"""`python -m benchmarks [--size small] [--json OUT]`: every peer on the same files, with the same answers; how long, how much memory."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import data, report
from benchmarks.peers.contract import STEPS, THREADS

PEERS = ("segmentry", "duckdb_sql")


def measure(name: str, step: str, folder: Path, size: str) -> dict[str, float]:
    """One step of one peer, in a process of its own: seconds and peak bytes."""
    command = [sys.executable, "-m", "benchmarks.peers.contract", name, step, str(folder), size]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def same_answers(folder: Path, name: str, other: str) -> None:
    """Stops with the first difference between two peers' members and changes, over both steps."""
    for step in STEPS:
        for what in ("members", "changes"):
            one, two = (pl.scan_parquet(folder / peer / f"{what}-{step}.parquet") for peer in (name, other))
            if step == "first" and what == "changes":
                continue  # the first time everybody is new, or nobody is: a matter of words
            lost = one.join(two, on=one.collect_schema().names(), how="anti").head(5).collect()
            more = two.join(one, on=one.collect_schema().names(), how="anti").head(5).collect()
            counts = [frame.select(pl.len()).collect().item() for frame in (one, two)]
            if lost.height or more.height or counts[0] != counts[1]:
                raise SystemExit(
                    f"{what} differ ({step}): {name} has {counts[0]}, {other} {counts[1]}\nonly {name}: {lost}\nonly {other}: {more}"
                )


def main() -> None:
    """Read the options, build the data, measure, compare, print."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--size", choices=data.SIZES, default="small")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--repeat", type=int, default=1, help="take the best of so many")
    parser.add_argument("--cache", type=Path, default=Path(".make/benchmarks"), help="where data and work are kept")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--markdown", type=Path, metavar="OUT")
    options = parser.parse_args()

    folder = (options.cache / options.size).absolute()
    print(f"data: {folder / 'data'}", file=sys.stderr)
    data.build(folder, data.SIZES[options.size])
    results: dict[str, Any] = {}
    for name in options.peers:
        rounds = []
        for _ in range(options.repeat):
            shutil.rmtree(folder / name, ignore_errors=True)
            rounds.append({step: measure(name, step, folder, options.size) for step in STEPS})
            print(f"{name}: {rounds[-1]}", file=sys.stderr)
        results[name] = {step: min((one[step] for one in rounds), key=lambda one: one["seconds"]) for step in STEPS}
    for name in options.peers[1:]:
        same_answers(folder, options.peers[0], name)
    size = data.SIZES[options.size]
    summary = {
        "size": options.size,
        "contacts": size.contacts,
        "events": size.events,
        "segments": size.segments,
        "threads": THREADS,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": platform.machine(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("duckdb", "polars", "pyarrow", "sqlglot")},
        "results": results,
        "answers": "equal" if len(options.peers) > 1 else "not compared",
    }
    if options.json:
        options.json.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    text = report.markdown(summary)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
