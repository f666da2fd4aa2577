"""Tests in segments' own files: what passes and fails, at which instant, with whose memberships, and why."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from segmentry import NotFound, Workspace, WorkspaceError
from tests.cli.conftest import ROOT, Shop, build

BUYERS = """\
where: "count(order_placed, amount > 10, last => '90 days') >= 2"
tests:
  - name: two large orders
    events: [{event: order_placed, amount: 10.5, ago: 89 days}, {event: order_placed, amount: 11, ago: 0 days}]
    in: true
  - name: one is too small
    events: [{event: order_placed, amount: 10, ago: 1 day}, {event: order_placed, amount: 11, ago: 1 day}]
    in: false
  - name: one is too old, the window's edge is out
    events: [{event: order_placed, amount: 11, ago: 90 days}, {event: order_placed, amount: 11, ago: 1 day}]
    in: false
  - name: one is still to come
    as_of: 2026-03-01T12:00Z
    events: [{event: order_placed, amount: 11, at: 2026-03-01T12:00:00.000001Z}, {event: order_placed, amount: 11, at: 2026-03-01 12:00}]
    in: false
  - {name: nobody, in: false}
"""
VIP = """\
where: member('buyers') or score >= 90
include: lists/picked.csv
exclude: lists/never.csv
tests:
  - {name: by the rule, contact: {score: 90}, in: true}
  - {name: by a segment, member: {buyers: true}, in: true}
  - name: by its own events
    events: [{event: order_placed, amount: 11, ago: 1 day}, {event: order_placed, amount: 11, ago: 2 days}]
    in: true
  - {name: without a score, contact: {score: null}, in: false}
  - {name: picked by hand, contact: {contact_id: 7}, in: true}
  - {name: never, contact: {contact_id: 3, score: 99}, in: false}
  - {name: never again, contact: {contact_id: 3}, member: {buyers: true}, in: false}
"""
KINDS = """\
where: >
  added after '2026-01-31' and lower(note) contains 'x' and score between 1 and 2
tests:
  - {contact: {added: "2026-02-01", note: X, score: 2}, in: true}
  - {contact: {added: "2026-01-31 23:59:59.999999", note: X, score: 2}, in: false}
  - {contact: {Added: "2026-02-01T00:00:00Z", NOTE: xy, score: 1}, in: true}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = build(tmp_path_factory.mktemp("tested"))
    made.write("segments/buyers.yml", BUYERS)
    made.write("segments/vip.yml", VIP)
    made.write("segments/kinds.yml", KINDS)
    return made


def test_tests_that_are_right_pass(shop: Shop) -> None:
    result = shop.run("test")
    assert result.stdout == ""
    assert "15 tests of 3 segments: all as they should be" in result.stderr
    found = json.loads(shop.run("test", "kinds", "--format", "json").stdout)
    assert found["passed"]
    assert [(one["segment"], one["test"], one["expected"], one["member"]) for one in found["tests"]] == [
        ("kinds", 1, True, True),
        ("kinds", 2, False, False),
        ("kinds", 3, True, True),
    ]


def test_one_that_is_wrong_says_why(tmp_path: Path) -> None:
    made = build(tmp_path)
    made.write("segments/buyers.yml", BUYERS.replace("name: two large orders", "name: two orders").replace("amount: 10.5", "amount: 10"))
    made.write("segments/vip.yml", VIP)
    result = made.run("test", "buyers", "vip", code=1)
    assert "buyers, test 1 (two orders), segments/buyers.yml:3: should be in, and is not in" in result.stdout
    assert "✗ count(order_placed, amount > 10, last => '90 days') >= 2" in result.stdout
    assert "it is 1" in result.stdout
    assert "vip" not in result.stdout
    assert "12 tests of 2 segments: 1 failed" in result.stderr


def test_a_membership_that_is_given_beats_the_rule_and_shows(tmp_path: Path) -> None:
    made = build(tmp_path)
    made.write("segments/vip.yml", VIP[: VIP.index("tests:")] + "tests:\n  - {member: {buyers: false}, contact: {score: 90}, in: false}\n")
    [result] = Workspace.open(tmp_path).test(["vip"]).results
    assert (result.passed, result.member) == (False, True)
    assert result.explanation is not None
    assert "member('buyers')" in str(result.explanation)


def test_no_tests_are_said_to_be_none_and_unknown_segments_to_be_unknown(tmp_path: Path) -> None:
    made = build(tmp_path)
    assert "no segment has tests" in made.run("test").stderr
    with pytest.raises(NotFound):
        Workspace.open(tmp_path).test(["vipp"])


def test_check_says_what_is_wrong_with_a_test(tmp_path: Path) -> None:
    made = build(tmp_path)
    made.write("segments/uk.yml", "where: location = 'UK'\ntests: [{contact: {locaton: UK}, in: true}]\n")
    with pytest.raises(WorkspaceError) as caught:
        Workspace.open(tmp_path).check()
    [problem] = caught.value.diagnostics
    assert (problem.code, problem.help) == ("W401", "did you mean `location`?")
    assert "W401" in made.run("test", code=1).stderr


@pytest.mark.parametrize(
    "contact",
    [
        "{score: 1" + "0" * 400 + "}",
        "{ratio: 1" + "0" * 400 + "}",
        "{location: UK, LOCATION: US}",
        '{location: "\\ud800"}',
        "{added: {ago: 99999 years}}",
    ],
)
def test_values_that_nothing_can_hold_end_in_a_diagnostic(tmp_path: Path, contact: str) -> None:
    made = build(tmp_path)
    rows = pl.read_parquet(tmp_path / "data" / "contacts.parquet")
    rows.with_columns(ratio=pl.lit(0.5)).write_parquet(tmp_path / "data" / "contacts.parquet")
    made.write("segments/uk.yml", f"where: location = 'UK'\ntests: [{{contact: {contact}, in: true}}]\n")
    with pytest.raises(WorkspaceError) as caught:
        Workspace.open(tmp_path).test()
    assert {problem.code for problem in caught.value.diagnostics} <= {"W401", "W402", "W104"}


def test_a_key_that_is_not_said_is_made_up(tmp_path: Path) -> None:
    made = build(tmp_path)
    made.write("segments/uk.yml", "where: location = 'UK'\ntests: [{contact: {contact_id: null, location: UK}, in: true}]\n")
    assert Workspace.open(tmp_path).test().results[0].passed


def test_a_test_changes_nothing_of_what_a_run_keeps(tmp_path: Path) -> None:
    from segmentry.engine.definitions import definition_of
    from segmentry.engine.loading import load

    made = build(tmp_path)
    before = definition_of(load(tmp_path).segments["buyers"])
    made.write("segments/buyers.yml", BUYERS)
    assert definition_of(load(tmp_path).segments["buyers"]) == before


def test_the_example_of_the_documentation_is_right(tmp_path: Path) -> None:
    made = build(tmp_path)
    [example] = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "testing.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    made.write("segments/example.yml", example)
    made.write("segments/staff.yml", "list: lists/picked.csv\n")
    assert "4 tests of 1 segment: all as they should be" in made.run("test").stderr


def test_a_made_up_contact_has_no_history_and_stands_alone_among_all(tmp_path: Path) -> None:
    made = build(tmp_path)
    made.run("recompute", "--first-run", "--as-of", "2026-02-01T00:00Z")
    tests = """\
tests:
  - {contact: {contact_id: 1, score: 95}, in: true}
  - {contact: {contact_id: 2, score: 20}, in: false}
"""
    made.write("segments/came.yml", f"where: entered('vip', last => '7 days')\n{tests}")
    made.write("segments/stayed.yml", "where: member('vip', for => '1 day')\ntests: [{member: {vip: true}, in: false}]\n")
    made.write("segments/first.yml", f"where: top(1, by => score)\n{tests.replace('false', 'true')}")
    results = Workspace.open(tmp_path).test().results
    assert {(one.segment, one.number): one.member for one in results} == {
        ("came", 1): True,
        ("came", 2): False,
        ("first", 1): True,
        ("first", 2): True,
        ("stayed", 1): False,
    }


def test_a_membership_that_is_given_beats_a_priority(tmp_path: Path) -> None:
    made = build(tmp_path)
    made.write("segments/uk.yml", "where: location = 'UK'\npriority: {group: offers, rank: 1}\n")
    made.write(
        "segments/us.yml", "where: location is set\npriority: {group: offers, rank: 2}\ntests: [{contact: {location: UK}, in: false}]\n"
    )
    uk = "[{contact: {location: UK}, member: {us: true}, in: true}, {contact: {location: UK}, in: false}]"
    made.write("segments/both.yml", f"where: member('us')\ntests: {uk}\n")
    assert "3 tests of 2 segments: all as they should be" in made.run("test").stderr


def test_keys_of_other_types_are_made_up_too(tmp_path: Path) -> None:
    made = build(tmp_path)
    settings = (tmp_path / "segmentry.yml").read_text(encoding="utf-8")
    head, _, _ = settings.partition("events:")
    made.write("segmentry.yml", head.replace("data/contacts.parquet", "data/keys.csv") + "guards: {}\n")
    for kind, key in (("uuid", "7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11"), ("text", "c1")):
        made.write("data/keys.csv", f"contact_id,email,location\n{key},a@x.example,UK\n")
        made.write("segmentry.yml", head.replace("data/contacts.parquet", "data/keys.csv") + f"  fields: {{contact_id: {kind}}}\n")
        for name in ("buyers", "good_uk", "picked", "vip"):
            (tmp_path / "segments" / f"{name}.yml").unlink(missing_ok=True)
        tests = f"[{{contact: {{location: UK, contact_id: {key.upper() if kind == 'uuid' else key}}}, in: true}}, {{in: false}}]"
        made.write("segments/uk.yml", f"where: location = 'UK'\ntests: {tests}\n")
        assert [one.passed for one in Workspace.open(tmp_path).test().results] == [True, True], kind
