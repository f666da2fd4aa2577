"""The harness: segments in the shares that were asked for, a whole small round with equal answers, another answer, curves."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

from benchmarks import __main__ as harness
from benchmarks import curves, data, grocer, report, scaling
from benchmarks.answers import compare, write_answers
from benchmarks.conditions import Attribute
from benchmarks.peers.contract import Answer
from benchmarks.segments import attribute_pool, draw
from benchmarks.workloads import workload

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


def round_of(folder: Path, size: str, *options: str) -> dict:
    places = ["--cache", str(folder), "--json", str(folder / "out.json")]
    command = [sys.executable, "-m", "benchmarks", "--size", size, "--rounds", "1", *places, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| Segmentry |" in done.stdout
    return json.loads((folder / "out.json").read_text())


@pytest.mark.full  # all peers and every step: it takes a minute
@pytest.mark.parametrize("size", ["tiny", "real"])
def test_a_small_round_has_equal_answers(tmp_path: Path, size: str) -> None:
    peers = ALWAYS | ({"chdb_pass"} if find_spec("chdb") else set())
    summary = round_of(tmp_path, size, "--peers", *sorted(peers))
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


def test_contacts_that_are_written_by_parts_are_those_of_one_frame(tmp_path: Path) -> None:
    (tmp_path / "data" / "contacts").mkdir(parents=True)
    data._write_by_parts(tmp_path, 1_000, 300)
    whole = data._contacts(1_000)
    for as_of, expected in ((data.FIRST, whole), (data.SECOND, data._changed(whole))):
        assert pl.read_parquet(data.snapshot(tmp_path, as_of)).equals(expected)


def test_a_real_year_is_put_to_the_instants_and_is_there_as_often_as_is_said(tmp_path: Path) -> None:
    grocer.build(tmp_path, 2)
    files = data.event_files(tmp_path, data.SECOND)
    events = pl.concat([pl.read_parquet(file) for file in files])
    assert events.height == 2 * grocer.EVENTS
    order = ["happened_at", "event", "department", "brand", "amount", "campaign_type"]
    first = events.filter(pl.col("contact_id") < grocer.HOUSEHOLDS).sort("contact_id", *order)
    second = events.filter(pl.col("contact_id") >= grocer.HOUSEHOLDS).with_columns(pl.col("contact_id") - grocer.HOUSEHOLDS)
    assert first.equals(second.sort("contact_id", *order))
    hour = pl.read_parquet(data.event_files(tmp_path, data.SECOND)[0])["happened_at"]
    assert data.FIRST < hour.min() <= hour.max() <= data.SECOND
    assert files[1:] == data.event_files(tmp_path, data.FIRST)
    assert events["happened_at"].is_between(data.FIRST, data.SECOND, closed="right").sum() == hour.len()
    then, now = (pl.read_parquet(data.snapshot(tmp_path, as_of)) for as_of in (data.FIRST, data.SECOND))
    assert then["contact_id"].equals(now["contact_id"])
    assert now["contact_id"].to_list() == list(range(2 * grocer.HOUSEHOLDS))
    bought = events.filter(event="purchase").group_by("contact_id").agg(purchases=pl.len().cast(pl.Int64), spend=pl.sum("amount"))
    assert now.select("contact_id", "purchases").equals(bought.sort("contact_id").select("contact_id", "purchases"))
    assert now["spend"].sum() == bought["spend"].sum()


def test_a_line_bends_where_its_exponent_rises_most() -> None:
    sizes = [1.0, 10.0, 100.0, 1_000.0]
    assert curves.exponents(sizes, [2.0, 2.0, 20.0, 2_000.0]) == pytest.approx([0.0, 1.0, 2.0])
    assert curves.bend(sizes, [1.0, 1.0, 10.0, 3_000.0]) == pytest.approx((100.0, 1.0, 2.477), abs=0.001)
    assert curves.bend(sizes, [1.0, 10.0, 110.0, 1_100.0]) is None
    assert curves.bend(sizes[:2], [1.0, 9.0]) is None


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("1,x", "no numbers"),
        ("3", "two points"),
        ("3,3", "each once"),
        ("1,101", "up to 100"),
        ("0,1", "more than 0"),
        ("1,nan", "up to 100"),
    ],
)
def test_what_is_no_curve_is_refused(written: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scaling.options_of(["--contacts", written])
    assert message in capsys.readouterr().err


def made_up(contacts: int, seconds: float) -> dict[str, object]:
    return {
        "contacts": contacts,
        "events": 50,
        "segments": 5,
        "steps": {"first": {"seconds": seconds, "cpu_seconds": seconds, "peak_bytes": 2**20}},
    }


def test_a_point_without_figures_is_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_name: str, step: str, folder: Path, size: str, *, answers: bool) -> dict[str, float]:
        assert (folder / "data" / "events").is_dir()
        assert not answers
        if size == "40-50-5" and step == "full":
            raise subprocess.CalledProcessError(1, "segmentry")
        return {"seconds": 1.0, "cpu_seconds": 1.0, "peak_bytes": 2.0**20}

    monkeypatch.setattr(scaling, "measure", measure)
    monkeypatch.setattr(scaling, "BASE", scaling.Size(30, 50, 5))
    monkeypatch.setattr(scaling, "KEPT_CONTACTS", 20)
    monkeypatch.setattr(scaling, "SPARED", 0)
    found = scaling.curve("contacts", [1e-5, 4e-5], tmp_path, float("inf"))
    assert [point["contacts"] for point in found["points"]] == [10]
    assert set(found["points"][0]["steps"]) == {"first", "full", "next"}
    assert found["left_out"][0]["why"] == "it ended with an error at `full`"
    assert [path.name for path in tmp_path.iterdir()] == ["10-50"], "large data go with their point"
    assert scaling.curve("segments", [1, 2], tmp_path, 0.0)["left_out"][0]["why"] == "no time was left"
    monkeypatch.setattr(scaling, "SPARED", 1 << 60)
    assert scaling.curve("segments", [1, 2], tmp_path, float("inf"))["left_out"][1]["why"] == "there is too little room on the disk"
    assert "Left out: 40 contacts, it ended with an error at `full`." in curves.section({"contacts": found})


def test_a_curve_says_where_it_bends(tmp_path: Path) -> None:
    ground = {
        "unit": 1,
        "left_out": [],
        "threads": 2,
        "memory": "4 GiB",
        "machine": harness.machine(),
        "versions": {},
        "when": "2026-11-27",
    }
    points = [made_up(contacts, seconds) for contacts, seconds in ((10, 1.0), (100, 10.0), (1_000, 1_000.0))]
    text = curves.section({"contacts": {**ground, "points": points}})
    assert "### More contacts, with 50 events and 5 segments" in text
    assert "| 1,000 | 1000.0 | 1000.0 | 2.00 | 1 |" in text
    assert "`first` bends at 100 contacts: its exponent is 1.00 before and 2.00 after." in text
    assert (workload("10-50-5").contacts, workload("10-50-5").events, workload("10-50-5").number) == (10, 50, 5)
