"""The harness: segments in the shares that were asked for, a whole small round with equal answers, and a peer that answers otherwise."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

from benchmarks import __main__ as harness
from benchmarks import report
from benchmarks.answers import compare, write_answers
from benchmarks.conditions import Attribute
from benchmarks.peers.contract import Answer
from benchmarks.segments import attribute_pool, draw

ROOT = Path(__file__).parents[2]
ALWAYS = {"segmentry", "segmentry_uuid", "duckdb_sql", "polars_lazy", "limit"}


def test_segments_are_drawn_in_the_shares_of_real_ones() -> None:
    segments = draw(100)
    plain = [segment for segment in segments if all(isinstance(condition, Attribute) for condition in segment.conditions)]
    did = [segment for segment in segments if "did(" in segment.conditions[0].rule]
    counts = [segment for segment in segments if segment.conditions[0].rule.startswith("count(")]
    assert (len(segments), len(plain), len(did), len(counts)) == (100, 60, 20, 10)
    assert sum(segment.member is not None for segment in segments) == 10
    assert all(1 <= len(segment.conditions) <= 4 for segment in segments)
    assert segments == draw(100)
    distinct = {condition for segment in segments for condition in segment.conditions}
    assert len(distinct) < sum(len(segment.conditions) for segment in segments) / 2, "conditions recur"
    assert len({condition.rule for condition in attribute_pool()}) == len(attribute_pool())


def round_of(folder: Path, *options: str) -> dict:
    command = [sys.executable, "-m", "benchmarks", "--size", "tiny", "--cache", str(folder), "--json", str(folder / "out.json"), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| Segmentry |" in done.stdout
    return json.loads((folder / "out.json").read_text())


def test_a_small_round_has_equal_answers(tmp_path: Path) -> None:
    peers = ALWAYS | ({"chdb_pass"} if find_spec("chdb") else set())
    summary = round_of(tmp_path, "--peers", *sorted(peers))
    assert summary["answers"] == "equal"
    assert set(summary["results"]) == peers
    assert set(summary["results"]["segmentry"]) == {"first", "full", "next", "clock", "preview"}
    assert str(tmp_path) not in json.dumps(summary)


def test_a_peer_that_fails_keeps_nobody_else_from_going_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def measure(name: str, step: str, folder: Path, size: str) -> dict[str, float]:
        asked.append(f"{name} {step}")
        if name == "polars_lazy" and step != "first":
            raise subprocess.CalledProcessError(1, name)
        return {"seconds": 1.0, "peak_bytes": 1.0}

    monkeypatch.setattr(harness, "measure", measure)
    options = harness.options_of(["--size", "tiny", "--rounds", "2"])
    results, failed = harness.rounds(options, tmp_path, ["polars_lazy", "limit"])
    assert (set(results), failed) == ({"limit"}, {"polars_lazy": "full"})
    assert [len(found) for found in results["limit"].values()] == [2]
    assert asked == ["polars_lazy first", "polars_lazy full", "limit full", "limit full"]  # no step after the one that failed


def test_another_membership_is_an_error(tmp_path: Path) -> None:
    for name, members in (("one", [0, 3]), ("two", [0, 4]), ("three", [3, 0])):
        (tmp_path / name).mkdir()
        write_answers(tmp_path / name, "first", iter([Answer("s0", pl.Series(members), None)]))
    compare(tmp_path, "one", "first", "three", "first")
    with pytest.raises(SystemExit, match=r"members of s0 differ .*\[3, 4\]"):
        compare(tmp_path, "one", "first", "two", "first")


def test_the_document_says_what_was_measured() -> None:
    document = report.DOCUMENT.read_text(encoding="utf-8")
    assert report.written(document) == document
