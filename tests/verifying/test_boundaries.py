"""Tests made for a rule's edges: they hold for the rule they were made for, and fail for one that is a little different."""

from __future__ import annotations

from pathlib import Path

import pytest

from segmentry import Workspace
from tests.cli.conftest import Shop, build

AS_OF = "2026-03-01T12:00Z"

UNBROKEN = (
    "sequence(did(order_placed, amount > 9), not did(order_placed, amount < 5), did(order_placed, amount > 9), "
    "within => '{}', last => '{}')"
)

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
    "sequence(did(order_placed), did(order_placed, amount > 20, within => '2 days'), within => '9 days')": [
        "sequence(did(order_placed), did(order_placed, amount > 20, within => '3 days'), within => '9 days')",
        "sequence(did(order_placed), did(order_placed, amount > 19.99, within => '2 days'), within => '9 days')",
        "did(order_placed, amount > 20)",
        "count(order_placed) >= 2",
    ],
    "sequence(did(order_placed, as => 'a'), did(order_placed, amount = a.amount), within => '30 days')": [
        "sequence(did(order_placed), did(order_placed), within => '30 days')",
        "sequence(did(order_placed, as => 'a'), did(order_placed, amount = a.amount), within => '31 days')",
    ],
    UNBROKEN.format("1 day", "9 days"): [
        "sequence(did(order_placed, amount > 9), did(order_placed, amount > 9), within => '1 day', last => '9 days')",
        UNBROKEN.format("2 days", "9 days"),
        UNBROKEN.format("1 day", "8 days"),
    ],
    "sequence(did(order_placed, amount > 20), not did(order_placed, amount < 5, within => '3 days'))": [
        "sequence(did(order_placed, amount > 20), not did(order_placed, amount < 5, within => '4 days'))",
        "sequence(did(order_placed, amount > 20), not did(order_placed, amount < 5, within => '2 days'))",
        "did(order_placed, amount > 20)",
    ],
    "top(3, by => score)": ["score > 1"],
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


def test_a_place_decides_nothing_where_its_contact_is_the_only_one(shop: Shop) -> None:
    shop.write("segments/tried.yml", "where: score > 5 and top(3, by => score)\n")
    made = Workspace.open(shop.folder).boundaries("tried", AS_OF)
    assert made.without == ("top(3, by => score)",)
    assert 'name: "just in: score > 5"' in made.text


def test_on_the_command_line(tmp_path: Path) -> None:
    made = build(tmp_path)
    made.write("segments/high.yml", "where: score >= 90 and sample('50%', salt => 'a')\n")
    result = made.run("test", "high", "picked", "--boundaries")
    assert "no test made for: sample('50%', salt => 'a')" in result.stderr
    assert "picked: no test made for: a static list has no conditions" in result.stderr
    assert "--boundaries needs a SEGMENT" in made.run("test", "--boundaries", code=2).stderr
