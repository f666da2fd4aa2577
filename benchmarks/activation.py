"""`python -m benchmarks.activation [--contacts N] [--entrants N]`: many first entrants in one run, enrolled and told.

Each step is a process of its own, measured from within: seconds, and the most memory it had. The receiver of the webhooks
is `segmentry sandbox webhook` on the same machine, which verifies every signature, so its cost is in the figure.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from segmentry import Workspace

WORKSPACE = """version: 1
id: 3f0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11
name: activation
contacts: {path: contacts.parquet, key: id, email: email}
guards: {segment: {contacts: 100000000}, sequence: {contacts: 100000000}, snapshot: {older_than: 9000 days}}
engine: {threads: 2, memory: 4 GiB}
destinations:
  memory: {type: memory, batch: 100}
  lake: {type: files, path: exports, format: parquet}
  one: {type: webhook, url: "${URL}", secrets: ["${SECRET}"], allow_private: true}
  hundred: {type: webhook, url: "${URL}", secrets: ["${SECRET}"], allow_private: true, batch: 100}
sequences:
  to_memory: {destination: memory, fields: {score: score}}
  to_lake: {destination: lake, fields: {score: score}}
  to_one: {destination: one, fields: {score: score}}
  to_hundred: {destination: hundred, fields: {score: score}}
environments: {default: {deliver: true}}
"""
SEQUENCES = ("to_memory", "to_lake", "to_hundred", "to_one")


def snapshot(folder: Path, contacts: int, entrants: int) -> None:
    """Contacts with an address and a score; the first `entrants` of them have one that lets them in."""
    ids = pl.arange(0, contacts, eager=True).alias("id")
    score = pl.select(pl.when(ids < entrants).then(100).otherwise(ids % 50)).to_series().alias("score")
    email = pl.select(pl.format("c{}@example.com", ids)).to_series().alias("email")
    pl.DataFrame([ids, email, score]).write_parquet(folder / "contacts.parquet")


def step(name: str, folder: Path) -> dict[str, float]:
    """One step: a run, or the delivery to one destination."""
    began = time.perf_counter()
    workspace = Workspace.open(folder)
    as_of = datetime.now(UTC) - timedelta(minutes=5)
    if name == "first":
        workspace.recompute(as_of=as_of, first_run=True)
    elif name == "next":
        workspace.recompute(as_of=as_of + timedelta(minutes=1))
    else:
        delivered = workspace.deliver([name])
        assert not delivered.failed, delivered
    return {"seconds": round(time.perf_counter() - began, 2), "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def main() -> None:
    """Read the options, lay the workspace out, take the steps, print what they took."""
    parser = argparse.ArgumentParser(prog="benchmarks.activation", description=__doc__)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--entrants", type=int, default=100_000)
    parser.add_argument("--cache", type=Path, default=Path(".make/benchmarks"), help="where the workspace is made")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(step(options.step[0], Path(options.step[1]))))
        return
    folder = (options.cache / "activation").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "segments").mkdir(parents=True)
    (folder / "segmentry.yml").write_text(WORKSPACE, encoding="utf-8")
    (folder / "segments" / "vip.yml").write_text(f'where: "score >= 90"\nenroll: [{", ".join(SEQUENCES)}]\n', encoding="utf-8")
    words = [sys.executable, "-m", "segmentry", "sandbox", "webhook", "--port", "0"]
    receiver = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert receiver.stdout is not None
        told = dict(receiver.stdout.readline().split() for _ in range(2))
        environment = {**os.environ, "URL": told["url"], "SECRET": told["secret"]}
        print(f"{options.contacts:,} contacts, {options.entrants:,} first entrants in each of {len(SEQUENCES)} sequences")
        steps = {"first": 0, "next": options.entrants, "memory": None, "lake": None, "hundred": None, "one": None}
        for name, entrants in steps.items():
            if entrants is not None:
                snapshot(folder, options.contacts, entrants)
            command = [sys.executable, "-m", "benchmarks.activation", "--step", name, str(folder)]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
            measured = json.loads(done.stdout.splitlines()[-1])
            print(f"{name:8} {measured['seconds']:8.2f} s {measured['peak_mib']:6} MiB", flush=True)
        size = (folder / ".segmentry" / "default" / "catalog.sqlite").stat().st_size
        print(f"catalog  {size / 1e6:8.1f} MB for {len(SEQUENCES) * options.entrants:,} enrollments")
    finally:
        receiver.terminate()
        receiver.wait()


if __name__ == "__main__":
    main()
