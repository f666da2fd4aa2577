"""Tests made for a rule's edges: they hold for the rule they were made for, and fail for one that is a little different."""

from __future__ import annotations

from pathlib import Path

import pytest

from segmentry import Workspace
from tests.cli.conftest import Shop, build

AS_OF = "2026-03-01T12:00Z"

MOVED = {
    "score >= 90": ["score > 90", "score >= 91", "score >= 89"],
    "count(order_placed, amount > 10, last => '90 days') >= 3": [
        "count(order_placed, amount >= 10, last => '90 days') >= 3",
        "count(order_placed, amount > 10, last => '90 days') >= 2",
        "count(order_placed, amount > 10, last => '91 days') >= 3",
    ],
    "member('buyers') and not did(order_placed, last => '7 days')": [
        "not did(order_placed, last => '7 days')",
        "member('buyers') and not did(order_placed, last => '8 days')",
    ],
    "entered('buyers', last => '7 days') and score < 50": ["score < 50", "entered('buyers', last => '7 days') and score <= 50"],
    "location = 'UK' and score < 50": ["location = 'UK' and score <= 50", "location in ('UK', 'U') and score < 50", "score < 50"],
    "not (score between 10 and 20) or location is set": ["not (score between 10 and 20)", "score is set or location is set"],
    "added in the last '30 days'": ["added in the last '31 days'", "added >= ago('30 days')"],
    "sum(order_placed.amount, last => '1 year') > 100.5": ["sum(order_placed.amount, last => '1 year') >= 100.5"],
    "email contains '@gmail.com' and at_least(1, score > 5, note = 'x')": [
        "email contains '@gmail.co' and at_least(1, score > 5, note = 'x')"
    ],
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return build(tmp_path_factory.mktemp("edges"))


QUICK = 3
"""How many of the rules are tried each time."""


@pytest.mark.parametrize(
    "rule", [pytest.param(rule, marks=[pytest.mark.full] if number >= QUICK else []) for number, rule in enumerate(MOVED)]
)
def test_they_hold_for_the_rule_and_not_for_one_that_is_moved(shop: Shop, rule: str) -> None:
    shop.write("segments/tried.yml", f"where: >\n  {rule}\n")
    made = Workspace.open(shop.folder).boundaries("tried", AS_OF)
    assert made.text.startswith("tests:\n")
    assert not made.without
    assert min(made.text.count("in: true}"), made.text.count("in: false}")) > 0
    failing = []
    for tried in (rule, *MOVED[rule]):
        shop.write("segments/tried.yml", f"where: >\n  {tried}\n{made.text}")
        results = Workspace.open(shop.folder).test(["tried"]).results
        failing.append(any(not result.passed for result in results))
    assert failing == [False, *([True] * len(MOVED[rule]))], made.text


def test_on_the_command_line(tmp_path: Path) -> None:
    made = build(tmp_path)
    made.write("segments/high.yml", "where: score >= 90 and sample('50%', salt => 'a')\n")
    result = made.run("test", "high", "picked", "--boundaries")
    assert "no test made for: sample('50%', salt => 'a')" in result.stderr
    assert "picked: no test made for: a static list has no conditions" in result.stderr
    assert "--boundaries needs a SEGMENT" in made.run("test", "--boundaries", code=2).stderr


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("score > 5 and top(3, by => score)", "a place among all contacts has no edge of one contact's own"),
        ("sequence(did(order_placed, as => 'a'), did(order_placed, amount = a.amount))", "the edges of a sequence are not looked for"),
    ],
)
def test_what_has_no_edge_of_one_contact_is_said(shop: Shop, rule: str, said: str) -> None:
    shop.write("segments/tried.yml", f"where: >\n  {rule}\n")
    made = Workspace.open(shop.folder).boundaries("tried", AS_OF)
    assert (made.text, made.without) == ("", (said,))
