"""`python -m benchmarks [--size small] [--peers ...] [--json OUT] [--publish]`: every peer on the same files, with the same answers.

Rounds go through all peers in turn, so that a machine that slows down slows all of them; a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.answers import compare
from benchmarks.commands import measure_commands
from benchmarks.machine import machine, versions
from benchmarks.peers.contract import MEMORY, STEPS, THREADS, UNANSWERED, peer
from benchmarks.workloads import WORKLOADS

PEERS = {
    "segmentry": None, "segmentry_uuid": None, "duckdb_sql": None, "polars_lazy": None, "chdb_pass": "chdb", "limit": None,
}  # fmt: skip
"""Every peer, with the package that it needs beyond ours."""

ROUNDS = {"tiny": 1, "small": 3, "standard": 3, "wide": 1}


def measure(name: str, step: str, folder: Path, size: str, *, answers: bool = True) -> dict[str, float]:
    """One step of one peer, in a process of its own: seconds and peak bytes; for `preview` how many were found, too.

    Its `answers` are written down, unless nobody compares them.
    """
    command = [sys.executable, "-m", "benchmarks.peers.contract", name, step, str(folder), size, *([] if answers else [UNANSWERED])]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    *printed, last = done.stdout.splitlines()
    measured: dict[str, float] = json.loads(last)
    return measured | ({"found": int(printed[-1])} if step == "preview" else {})


def same_answers(folder: Path, results: dict[str, dict[str, list[dict[str, float]]]]) -> str:
    """Stops with the first difference between peers in the answers of any step."""
    answering = [name for name in results if name != "limit"]
    compared = 0
    for step, about in STEPS.items():
        having = [name for name in answering if step in results[name]]
        for name in having:
            other, like = having[0], step
            if name == other and about.like is not None:
                other, like = next(((one, about.like) for one in answering if one != name and about.like in results[one]), (name, step))
            if (name, step) == (other, like):
                continue
            compared += 1
            if step == "preview":
                counts = {one: results[one][step][-1]["found"] for one in (name, other)}
                if len(set(counts.values())) > 1:
                    raise SystemExit(f"previews differ: {counts}")
            else:
                compare(folder, name, step, other, like)
    return "equal" if compared else "not compared"


def rounds(options: argparse.Namespace, folder: Path, names: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Every step of every peer, round by round; and the step at which a peer ended with an error, which keeps nobody else from going on."""
    results: dict[str, dict[str, list[dict[str, float]]]] = {name: {} for name in names}
    failed: dict[str, str] = {}
    for _ in range(options.rounds or ROUNDS.get(options.size, 3)):
        for name in names:
            if name in failed:
                continue
            shutil.rmtree(folder / name, ignore_errors=True)
            for step in [step for step in STEPS if step in peer(name).STEPS]:
                try:
                    measured = measure(name, step, folder, options.size)
                except subprocess.CalledProcessError:
                    if name.startswith("segmentry"):
                        raise
                    failed[name] = step
                    print(f"{name} {step}: ended with an error", file=sys.stderr)
                    break
                results[name].setdefault(step, []).append(measured)
                told = f"{measured['seconds']:.2f} s, {measured['peak_bytes'] / 2**20:,.0f} MiB"
                print(f"{name} {step}: {told}", file=sys.stderr)
    return {name: steps for name, steps in results.items() if name not in failed}, failed


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--size", choices=WORKLOADS, default="small")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, help="how often everything is measured; medians are told")
    parser.add_argument("--cache", type=Path, default=Path(".make/benchmarks"), help="where data and work are kept")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures as JSON")
    parser.add_argument("--publish", action="store_true", help="keep the figures in benchmarks/results, and write docs/benchmarks.md anew")
    return parser.parse_args(arguments)


def main() -> None:
    """Read the options, build the data, measure, compare, print."""
    options = options_of()
    folder = (options.cache / options.size).absolute()
    missing = {name: PEERS[name] for name in options.peers if PEERS[name] and not find_spec(str(PEERS[name]))}
    for name, package in missing.items():
        print(f"{name} is left out: the package {package} is not installed", file=sys.stderr)
    workload = WORKLOADS[options.size]
    workload.build(folder)
    results, failed = rounds(options, folder, [name for name in options.peers if name not in missing])
    summary = {
        "size": options.size,
        "contacts": workload.contacts,
        "events": workload.events,
        "segments": workload.number,
        "threads": THREADS,
        "memory": MEMORY,
        "when": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "versions": versions(),
        "answers": same_answers(folder, results),
        "left_out": missing,
        "failed": failed,
        "results": results,
        "commands": measure_commands(folder / "segmentry") if "segmentry" in results else {},
    }
    if options.json:
        options.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    if options.publish:
        report.publish(summary)
    print(report.section(summary))


if __name__ == "__main__":
    main()
