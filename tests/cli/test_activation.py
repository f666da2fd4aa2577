"""A segment that enrolls, from the command line: plan, recompute, what is held, who was enrolled and why, and how things stand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from tests.cli.conftest import Shop, contacts

MORE = """
suppress: "note = 'never'"
destinations:
  lake: {type: files, path: exports, format: ndjson}
sequences:
  hello: {destination: lake, fields: {points: score}}
schedule: {activate_within: 9000 days}
environments:
  default: {deliver: true}
"""


def score(shop: Shop, **scores: int) -> None:
    """Some contacts' scores, as `p2=95`."""
    table = contacts()
    for name, value in scores.items():
        table = table.with_columns(score=pl.when(pl.col("contact_id") == int(name[1:])).then(value).otherwise("score"))
    table.write_parquet(shop.folder / "data" / "contacts.parquet")


def in_an_hour(hours: int) -> str:
    return f"{datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(hours=hours):%Y-%m-%dT%H:%MZ}"


@pytest.fixture
def enrolling(shop: Shop) -> Shop:
    guards = "guards: {segment: {contacts: 3}, snapshot: {older_than: 9000 days}, gap: 9000 days}"
    whole = (shop.folder / "segmentry.yml").read_text().replace("guards: {snapshot: {shrinks: 100%}}", guards)
    shop.write("segmentry.yml", whole + MORE)
    shop.write("segments/best.yml", 'where: "score >= 90"\nenroll: hello\n')
    shop.run("recompute", "--first-run", "--as-of", in_an_hour(0))
    return shop


def test_a_plan_tells_what_the_run_then_does(enrolling: Shop) -> None:
    score(enrolling, p2=95)
    planned = json.loads(enrolling.run("plan", "--as-of", in_an_hour(1), "--format", "json").stdout)
    assert planned["enrollments"] == [{"sequence": "hello", "destination": "lake", "outcome": "pending", "contacts": 1}]
    assert planned["calls"] == [{"destination": "lake", "contacts": 1, "calls": 1, "minutes": 0.0}]
    assert planned["held"] == []
    best = next(row for row in planned["segments"] if row["segment"] == "best")
    assert (best["next"] - best["now"], best["entered"], best["causes"]) == (1, 1, "+1 data")
    assert json.loads(enrolling.run("runs", "--format", "json").stdout)[0]["run"] == 1, "nothing was written"
    done = json.loads(enrolling.run("recompute", "--as-of", in_an_hour(1), "--format", "json").stdout)
    assert done["activation"]["enrollments"] == {"hello": {"pending": 1}}
    (exported,) = (enrolling.folder / "exports" / "hello").rglob("*.ndjson")
    told = json.loads(exported.read_text())
    assert (told["contact"], told["sequence"], told["fields.points"]) == (2, "hello", 95)


def test_a_dry_run_is_a_plan(enrolling: Shop) -> None:
    score(enrolling, p2=95)
    planned, dry = (enrolling.run(*words, "--as-of", in_an_hour(1)).stdout for words in (("plan",), ("recompute", "--dry-run")))
    assert planned == dry


def test_what_a_guard_holds_ends_with_4_and_is_decided_by_its_run(enrolling: Shop) -> None:
    enrolling.write("segments/best.yml", 'where: "score >= 10"\nenroll: {sequence: hello, on: [data, rule]}\n')
    assert "segment `best` is held" in enrolling.run("plan", "--as-of", in_an_hour(1), code=4).stderr
    held = enrolling.run("recompute", "--as-of", in_an_hour(1), code=4)
    assert "likely cause: a rule was edited" in held.stderr
    assert "segmentry approve 2" in held.stderr
    shown = json.loads(enrolling.run("diff", "2", "--held", "--format", "json").stdout)
    assert {(row["segment"], row["change"], row["cause"]) for row in shown} == {("best", "entered", "rule")}
    assert json.loads(enrolling.run("diff", "2", "--format", "json").stdout) == []
    assert enrolling.run("status", "--fail-on", "stale,unknown").exit_code == 0
    assert "held" in enrolling.run("status", "--fail-on", "held", code=4).stdout
    assert "score" not in enrolling.run("enrollments").stdout
    approved = enrolling.run("approve", "2", "best")
    assert "run 3 accepts what run 2 held" in approved.stderr
    assert "pending" in approved.stderr
    assert json.loads(enrolling.run("diff", "3", "--format", "json").stdout) == shown, "exactly what was shown"
    again = enrolling.run("approve", "2", code=1)
    assert "was approved already" in again.stderr
    enrolling.run("status", "--fail-on", "held")
    enrolling.run("sync")
    outcomes = {row["outcome"] for row in json.loads(enrolling.run("enrollments", "--format", "json").stdout)}
    assert outcomes == {"sent"}


def test_a_hold_can_be_taken_as_a_baseline_or_dropped(enrolling: Shop) -> None:
    enrolling.write("segments/best.yml", 'where: "score >= 10"\nenroll: {sequence: hello, on: [data, rule]}\n')
    enrolling.run("recompute", "--as-of", in_an_hour(1), code=4)
    enrolling.run("discard", "2")
    enrolling.run("recompute", "--as-of", in_an_hour(2), code=4)
    enrolling.run("accept", "best", code=2)
    enrolling.run("accept", "best", "--as-baseline")
    assert json.loads(enrolling.run("enrollments", "--format", "json").stdout) == []
    rows = json.loads(enrolling.run("enrollments", "--baseline", "--format", "json").stdout)
    assert len(rows) == len(json.loads(enrolling.run("members", "best", "--format", "json").stdout))
    assert enrolling.run("accept", "best", "--as-baseline", code=1).stderr == "error: no guard holds segment `best`\n"


def test_why_somebody_was_enrolled_or_not(enrolling: Shop) -> None:
    score(enrolling, p2=95)
    enrolling.run("recompute", "--as-of", in_an_hour(1))
    score(enrolling, p12=1)
    enrolling.run("recompute", "--as-of", in_an_hour(2))
    score(enrolling)
    enrolling.run("recompute", "--as-of", in_an_hour(3))
    why = json.loads(enrolling.run("enrollments", "--why", "12", "--format", "json").stdout)
    assert [(row["run"], row["what"], row["why"]) for row in why] == [
        (1, "baseline", None),
        (4, "not enrolled", "in the baseline since 2026-03-01"),
    ]
    assert [row["what"] for row in json.loads(enrolling.run("enrollments", "--why", "2", "--format", "json").stdout)] == ["sent"]
    assert "never came into" in enrolling.run("enrollments", "--why", "1").stderr


def test_the_ledger_as_a_file(enrolling: Shop, tmp_path) -> None:
    score(enrolling, p2=95)
    enrolling.run("recompute", "--as-of", in_an_hour(1))
    for name in ("ledger.parquet", "ledger.csv", "ledger.json", "ledger.ndjson"):
        enrolling.run("enrollments", "--baseline", "--output", str(tmp_path / name))
    assert pl.read_parquet(tmp_path / "ledger.parquet").select("contact", "number").rows() == [("11", 0), ("12", 0), ("2", 1)]
    assert pl.read_csv(tmp_path / "ledger.csv").height == 3
    lines = [json.loads(line) for line in (tmp_path / "ledger.ndjson").read_text().splitlines()]
    assert lines == json.loads((tmp_path / "ledger.json").read_text())


def test_wrong_words_are_told(enrolling: Shop) -> None:
    assert "did you mean `hello`?" in enrolling.run("enrollments", "--sequence", "helo", code=1).stderr
    assert "there is no run 9" in enrolling.run("approve", "9", code=1).stderr
    assert "run 1 holds nothing" in enrolling.run("discard", "1", code=1).stderr
    assert "`stal` is none of held" in enrolling.run("status", "--fail-on", "stal", code=2).stderr
    assert "did you mean `lake`?" in enrolling.run("pause", "lak", code=1).stderr
