"""`segmentry verify` on a shop's files: it agrees with the engine, finds a broken one, and says what it can't read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from sqlglot import exp

from segmentry import NotFound, Workspace
from segmentry.engine.aggregates import Parts
from segmentry.engine.lowering import numbers
from segmentry.rules import nodes as n
from segmentry.verifying.reach import unread
from tests.cli.conftest import NOW, Shop, build

AS_OF = "2026-03-01T12:00Z"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = build(tmp_path_factory.mktemp("verified"))
    made.write("segments/upper.yml", "where: \"email ~ '\\\\p{Lu}'\"\n")
    made.write("segments/via.yml", "where: \"member('buyers') and score < 50\"\n")
    made.write("segments/above.yml", "where: \"not member('upper') and score > 0\"\n")
    return made


def test_every_segment_that_is_read_agrees(shop: Shop) -> None:
    result = shop.run("verify", "--as-of", AS_OF, "--format", "json")
    found = json.loads(result.stdout)
    assert found["agrees"]
    assert found["contacts"] == found["total"] == 12
    findings = {one["segment"]: (one["finding"], one["checked"]) for one in found["segments"]}
    assert findings["vip"] == ("agrees", 12)
    assert {name for name, (finding, _) in findings.items() if finding == "not verified"} == {"upper", "above"}
    reasons = {one["segment"]: one["reason"] for one in found["segments"]}
    assert "\\p" in reasons["upper"]
    assert "in `upper`" in reasons["above"]


def test_as_a_table_it_names_what_is_not_verified(shop: Shop) -> None:
    result = shop.run("verify", "vip", "upper", "--sample", "3", "--seed", "5", "--as-of", AS_OF)
    assert "not verified: the pattern" in result.stdout
    assert "seed 5" in result.stderr
    assert "1 agrees, 1 not verified" in result.stderr


def test_the_same_seed_draws_the_same_contacts(shop: Shop) -> None:
    workspace = Workspace.open(shop.folder)
    one, same, other = (workspace.verify(["vip"], sample=4, seed=seed, as_of=AS_OF) for seed in (1, 1, 2))
    assert one.to_json() == same.to_json()
    assert one.seed != other.seed
    with pytest.raises(NotFound):
        workspace.verify(["nobody"])


def test_a_comparison_that_is_broken_is_found(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(numbers.COMPARISONS, ">=", exp.GT)
    found = json.loads(shop.run("verify", "--as-of", AS_OF, "--format", "json", code=70).stdout)
    cases = {case["segment"]: case for case in found["cases"]}
    assert cases.keys() == {"buyers", "via", "vip"}
    case = cases["buyers"]
    assert (case["engine"], case["second"]) == (False, True)
    assert case["values"] == [{"expression": "count(order_placed, amount > 10, last => '90 days')", "engine": 2, "second": 2}]
    assert (cases["via"]["within"], cases["via"]["part"]) == ("buyers", case["part"])
    alone = Workspace.open(shop.folder)
    shop.write("segments/high.yml", "where: score >= 90\n")
    [high] = alone.verify(["high"], as_of=AS_OF).cases
    shop.folder.joinpath("segments", "high.yml").unlink()
    assert (high.contact, high.part, dict(high.fields), high.events) == (11, "score >= 90", {"score": 90}, ())


def test_events_that_are_miscounted_are_shown_and_no_others(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Parts._count

    def wrong(parts: Parts, operation: str, rows: exp.Expr, expr: exp.Expr) -> object:
        twice = right(parts, operation, rows, expr)
        return type(twice)(exp.Mul(this=twice.expr, expression=exp.Literal.number(2)), twice.type, twice.held)

    monkeypatch.setattr(Parts, "_count", wrong)
    result = shop.run("verify", "buyers", "--as-of", AS_OF, code=70)
    assert "the engine says it holds, the second reading it does not" in result.stdout
    assert "the engine has 2, the second reading 1" in result.stdout
    case = Workspace.open(shop.folder).verify(["buyers"], as_of=AS_OF).cases[0]
    assert case.smallest
    assert [event["event"] for event in case.events] == ["order_placed"]
    assert [event["amount"] for event in case.events] == [11.0]


def test_text_files_are_read_by_the_engine_and_that_is_said(tmp_path: Path) -> None:
    made = build(tmp_path)
    for name in ("contacts", "events"):
        rows = pl.read_parquet(tmp_path / "data" / f"{name}.parquet")
        rows.write_csv(tmp_path / "data" / f"{name}.csv")
    settings = (tmp_path / "segmentry.yml").read_text(encoding="utf-8")
    made.write("segmentry.yml", settings.replace(".parquet", ".csv"))
    result = made.run("verify", "--as-of", AS_OF)
    assert "contacts.csv is a text file" in result.stderr
    assert "5 agrees" in result.stderr


def test_folders_are_columns_and_files_may_lack_one(tmp_path: Path) -> None:
    made = build(tmp_path)
    rows = pl.read_parquet(tmp_path / "data" / "events.parquet").with_columns(odd=pl.col("contact_id") % 2)
    for part, frame in rows.partition_by("odd", as_dict=True).items():
        folder = tmp_path / "data" / "events" / f"day=2026-02-0{part[0] + 1}"
        folder.mkdir(parents=True)
        (frame.drop("amount") if part[0] else frame).drop("odd").write_parquet(folder / "x.parquet")
    settings = (tmp_path / "segmentry.yml").read_text(encoding="utf-8")
    made.write("segmentry.yml", settings.replace("data/events.parquet", "data/events"))
    made.write("segments/first_day.yml", "where: \"count(order_placed, day = '2026-02-01', amount is set) >= 1\"\n")
    found = Workspace.open(tmp_path).verify(as_of=NOW)
    assert {proof.segment: proof.finding for proof in found.proofs}["first_day"] == "agrees"
    assert next(proof.members for proof in found.proofs if proof.segment == "first_day") == 1


@dataclass(frozen=True, slots=True)
class Newer(n.Condition):
    """A condition that no second reading knows."""

    field: n.Value


@dataclass(frozen=True, slots=True)
class Wider(n.Events):
    """Events that carry more than they did."""

    suffix: str | None = None


def test_what_is_newer_is_not_verified() -> None:
    always = n.Always(True)
    assert unread({"s": n.And((always, Newer(n.Constant(n.TIMESTAMP, NOW))))}, "s") == "no second reading of `Newer` yet"
    assert unread({"s": n.Member("t"), "t": Newer(n.Constant(n.TIMESTAMP, NOW))}, "s") == "no second reading of `Newer` yet, in `t`"
    assert unread({"s": n.Did(Wider("order", window=n.Window()))}, "s") == "no second reading of `Wider` yet"
    scalar = n.Call(n.TIMESTAMP, "yesterday", ())
    assert unread({"s": n.IsSet(scalar)}, "s") == "no second reading of `yesterday` yet"


def test_a_node_that_came_to_carry_more_is_not_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    from segmentry.verifying import evaluator, reach

    monkeypatch.setitem(reach.CARRIES, Wider, reach.CARRIES[n.Events])
    monkeypatch.setitem(evaluator.CONDITIONS, Wider, lambda *_: True)
    assert unread({"s": n.Did(Wider("order", window=n.Window()))}, "s") is None
    wider = n.Did(Wider("order", window=n.Window(), suffix="ord"))
    assert unread({"s": wider}, "s") == "no second reading of `suffix` of `Wider` yet"


def test_what_is_not_verified_is_told_in_the_rules_own_words(shop: Shop) -> None:
    shop.write("segments/best.yml", "where: location is set and email ~ '^\\p{Lu}'\n")
    [proof] = Workspace.open(shop.folder).verify(["best"], as_of=AS_OF).proofs
    shop.folder.joinpath("segments", "best.yml").unlink()
    assert (proof.finding, proof.members) == ("not verified", 0)
    assert proof.reason is not None
    assert proof.reason.endswith(": email matches '^\\p{Lu}'")
