"""The harness: segments in the shares that were asked for, and a whole small round with equal answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.segments import attribute_pool, draw

ROOT = Path(__file__).parents[2]


def test_segments_are_drawn_in_the_shares_of_real_ones() -> None:
    segments = draw(100)
    attributes = {condition.rule for condition in attribute_pool()}
    plain = [segment for segment in segments if all(condition.rule in attributes for condition in segment.conditions)]
    did = [segment for segment in segments if "did(" in segment.conditions[0].rule]
    counts = [segment for segment in segments if segment.conditions[0].rule.startswith("count(")]
    assert (len(segments), len(plain), len(did), len(counts)) == (100, 60, 20, 10)
    assert sum(segment.member is not None for segment in segments) == 10
    assert all(1 <= len(segment.conditions) <= 4 for segment in segments)
    assert segments == draw(100)
    distinct = {condition for segment in segments for condition in segment.conditions}
    assert len(distinct) < sum(len(segment.conditions) for segment in segments) / 2, "conditions recur"


def test_a_small_round_has_equal_answers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--size", "tiny", "--cache", str(tmp_path), "--json", str(tmp_path / "out.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "out.json").read_text())
    assert summary["answers"] == "equal"
    assert set(summary["results"]) == {"segmentry", "duckdb_sql"}
    assert "| Segmentry |" in done.stdout
