"""Rules about what was: who entered, who exited, and who has been in for how long, run after run."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

import segmentry as sg
from segmentry.errors import DialectError, RuleError
from tests.state.conftest import Shop, day
from tests.state.holding import holding

RULES = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.segment("vip", "spend > 10")
    shop.segment("came", "entered('vip', last => '7 days')")
    shop.segment("went", "exited('vip', last => '7 days')")
    shop.segment("loyal", "member('vip', for => '10 days')")
    return shop


def step(shop: Shop, as_of: str, **spends: int) -> dict[str, list[int]]:
    """A run on these contacts, `c1=50` being contact 1 with its spend: who is in each segment but `vip`."""
    shop.contacts({"id": [int(name[1:]) for name in spends], "spend": list(spends.values())})
    return after(shop, as_of)


def after(shop: Shop, as_of: str) -> dict[str, list[int]]:
    """A run on the contacts as they are."""
    run = shop.run(as_of)
    return {name: shop.state.members(name).to_list() for name in run.record.segments if name != "vip"}


def test_a_first_computation_brings_nobody_in_but_begins_a_stay(shop: Shop) -> None:
    assert step(shop, "2026-01-01", c1=50, c2=5) == {"came": [], "went": [], "loyal": []}
    assert step(shop, "2026-01-10 23:59:59", c1=50, c2=5) == {"came": [], "went": [], "loyal": []}
    assert step(shop, "2026-01-11", c1=50, c2=5) == {"came": [], "went": [], "loyal": [1]}  # ten days to the second


def test_the_runs_own_changes_count_and_then_those_of_the_last_days(shop: Shop) -> None:
    step(shop, "2026-01-01", c1=50, c2=5, c3=5)
    assert step(shop, "2026-01-02", c1=5, c2=50, c3=5) == {"came": [2], "went": [1], "loyal": []}
    assert after(shop, "2026-01-08 23:59:59") == {"came": [2], "went": [1], "loyal": []}
    assert after(shop, "2026-01-09") == {"came": [], "went": [], "loyal": []}  # the window is half open
    assert after(shop, "2026-01-12") == {"came": [], "went": [], "loyal": [2]}


def test_a_gap_begins_a_stay_anew(shop: Shop) -> None:
    step(shop, "2026-01-01", c1=50, c2=50)
    step(shop, "2026-01-05", c1=5, c2=50)
    assert step(shop, "2026-01-06", c1=50, c2=50) == {"came": [1], "went": [1], "loyal": []}
    assert after(shop, "2026-01-12")["loyal"] == [2]
    assert after(shop, "2026-01-16")["loyal"] == [1, 2]


def test_bounds_by_since_and_until(shop: Shop) -> None:
    shop.segment("second", "entered('vip', since => '2026-01-02', until => '2026-01-02')")
    shop.segment("before", "entered('vip', until => ago('1 day'))")
    shop.segment("ever", "entered('vip') and not exited('vip')")
    step(shop, "2026-01-01", c1=50, c2=5, c3=5)
    found = step(shop, "2026-01-02 18:00", c1=50, c2=50, c3=5)
    assert (found["second"], found["before"], found["ever"]) == ([2], [], [2])
    found = step(shop, "2026-01-03", c1=50, c2=50, c3=50)
    assert (found["second"], found["before"], found["ever"]) == ([2], [], [2, 3])
    found = step(shop, "2026-01-03 18:00", c1=50, c2=5, c3=50)
    assert (found["second"], found["before"], found["ever"]) == ([2], [2], [3])


def test_what_changes_a_membership_has_its_cause(shop: Shop) -> None:
    step(shop, "2026-01-01", c1=50, c2=5)
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    assert set(shop.run("2026-01-02").changes().rows()) == {
        ("came", 2, "entered", "data", "vip"),
        ("vip", 1, "exited", "data", None),
        ("vip", 2, "entered", "data", None),
        ("went", 1, "entered", "data", "vip"),
    }
    assert set(shop.run("2026-01-20").changes().rows()) == {
        ("came", 2, "exited", "time", None),
        ("loyal", 2, "entered", "time", None),
        ("went", 1, "exited", "time", None),
    }
    shop.segment("came", "entered('vip', last => '30 days')")
    shop.segment("vip", "spend > 100")
    assert set(shop.run("2026-01-21").changes().rows()) == {
        ("came", 2, "entered", "rule", None),
        ("loyal", 2, "exited", "rule", "vip"),
        ("vip", 2, "exited", "rule", None),
        ("went", 2, "entered", "rule", "vip"),
    }


def test_changes_that_a_guard_holds_count_once_they_are_accepted(shop: Shop) -> None:
    step(shop, "2026-01-01", c1=50, c2=5)
    shop.contacts({"id": [1, 2], "spend": [50, 50]})
    with holding("vip", "came", "went", "loyal"):
        shop.run("2026-01-02")
    shop.segment("came", "entered('vip', until => ago('1 hour'))")
    assert after(shop, "2026-01-20")["came"] == []  # only this run brings 2 in
    assert after(shop, "2026-01-21") == {"came": [2], "went": [], "loyal": [1]}


def test_a_segment_under_a_new_name_keeps_what_was(shop: Shop) -> None:
    step(shop, "2026-01-01", c1=50, c2=5)
    step(shop, "2026-01-02", c1=50, c2=50)
    shop.remove("vip")
    shop.segment("best", "spend > 10", renamed_from="[vip]")
    shop.segment("came", "entered('best', last => '7 days')")
    shop.segment("went", "exited('best', last => '7 days')")
    shop.segment("loyal", "member('best', for => '10 days')")
    run = shop.run("2026-01-03")
    assert run.changes().rows() == []
    assert shop.state.members("came").to_list() == [2]
    assert {name: members for name, members in after(shop, "2026-01-11").items() if name != "best"} == {
        "came": [],
        "went": [],
        "loyal": [1],
    }


def test_a_segment_that_was_gone_for_a_while_moves_when_it_is_back(shop: Shop) -> None:
    step(shop, "2026-01-01", c1=50, c2=50, c3=5)
    for name in ("vip", "came", "went", "loyal"):
        shop.remove(name)
    shop.segment("all", "true")
    step(shop, "2026-01-02", c1=50, c2=5, c3=50)
    shop.segment("vip", "spend > 10")
    shop.segment("came", "entered('vip', last => '7 days')")
    shop.segment("went", "exited('vip', last => '7 days')")
    shop.segment("loyal", "member('vip', for => '10 days')")
    assert after(shop, "2026-01-15") == {"all": [1, 2, 3], "came": [3], "went": [2], "loyal": [1]}


def test_a_contact_goes_on_with_what_was_under_its_former_key(shop: Shop) -> None:
    step(shop, "2026-01-01", c1=50, c2=5, c3=5)
    step(shop, "2026-01-02", c1=50, c2=50, c3=5)
    (shop.root / "aliases.csv").write_text("old_key,new_key\n2,3\n1,9\n")
    shop.key = "id, aliases: aliases.csv"
    assert step(shop, "2026-01-03", c3=50, c9=50) == {"came": [3], "went": [], "loyal": []}
    assert after(shop, "2026-01-11") == {"came": [], "went": [], "loyal": [9]}
    assert after(shop, "2026-01-12") == {"came": [], "went": [], "loyal": [3, 9]}
    workspace = sg.Workspace.open(shop.root)
    assert "✓ member('vip', for => '10 days')" in str(workspace.explain("loyal", 3, "2026-01-13"))


def test_who_was_forgotten_begins_anew(shop: Shop) -> None:
    step(shop, "2026-01-01", c1=50, c2=5)
    step(shop, "2026-01-02", c1=50, c2=50)
    shop.state.forget([1, 2], day("2026-01-03"))
    assert after(shop, "2026-01-03") == {"came": [1, 2], "went": [], "loyal": []}  # as whoever is imported for the first time
    assert after(shop, "2026-01-12") == {"came": [], "went": [], "loyal": []}


def test_retention_takes_nothing_from_it(shop: Shop) -> None:
    step(shop, "2026-01-01", c1=50, c2=5)
    step(shop, "2026-01-05", c1=50, c2=50)
    after(shop, "2026-01-06")
    shop.state.gc(timedelta(0), day("2027-01-01"))
    assert after(shop, "2026-01-11") == {"came": [2], "went": [], "loyal": [1]}


def test_an_earlier_instant_is_answered_by_the_runs_before_it(shop: Shop) -> None:
    step(shop, "2026-01-01", c1=50, c2=5)
    step(shop, "2026-01-03", c1=50, c2=50)
    step(shop, "2026-01-12", c1=5, c2=50)
    workspace = sg.Workspace.open(shop.root)

    def found(rule: str, as_of: str) -> list[int]:
        return workspace.contacts(rule, as_of).collect()["id"].to_list()

    assert found("entered('vip', last => '7 days')", "2026-01-02") == [2]  # with today's rows, it came between the runs
    assert found("exited('vip')", "2026-01-02") == [1]
    assert found("exited('vip')", "2026-01-01") == []  # before the first run
    assert found("member('vip', for => '5 days')", "2026-01-08") == [2]
    shop.state.gc(timedelta(0), day("2027-01-01"))
    assert found("exited('vip')", "2026-01-12") == [1]
    assert found("entered('vip', last => '7 days')", "2026-01-03") == [2]


def test_preview_plan_and_explain_say_what_a_run_would_do(shop: Shop) -> None:
    step(shop, "2026-01-01", c1=50, c2=5)
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    workspace = sg.Workspace.open(shop.root)
    preview = workspace.preview("entered('vip', last => '7 days') or exited('vip', last => '7 days')", "2026-01-02")
    assert preview.conditions.rows() == [
        ("entered('vip', last => '7 days')", 1, 0, 0),
        ("exited('vip', last => '7 days')", 1, 0, 0),
    ]
    assert workspace.explain("came", 2, "2026-01-02").member
    assert "was in vip" in workspace.sql("went", "2026-01-02")
    dry = shop.run("2026-01-02", dry_run=True)
    assert {(segment, key) for segment, key, *_ in dry.changes().rows()} == {("vip", 1), ("vip", 2), ("came", 2), ("went", 1)}
    assert step(shop, "2026-01-02", c1=5, c2=50) == {"came": [2], "went": [1], "loyal": []}


def test_before_the_first_run_nobody_has_come_or_gone(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    shop.write_config()
    workspace = sg.Workspace.open(shop.root)
    assert [workspace.preview(f"{rule}").count for rule in ("entered('vip')", "exited('vip')", "member('vip', for => '1 day')")] == [0] * 3
    assert workspace.preview("not entered('vip')").count == 2


def test_where_no_runs_are_kept_it_is_an_error(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    shop.write_config()
    rule = "entered('vip') and member('vip', for => '1 day')"
    with pytest.raises(RuleError) as refused:
        sg.evaluate({"vip": "spend > 10", "x": rule}, contacts=str(shop.root / "contacts.parquet"), key="id")
    assert [problem.code for problem in refused.value.diagnostics] == ["R602", "R602"]
    for dialect in ("duckdb", "spark"):
        with pytest.raises(DialectError) as unsaid:
            sg.Workspace.open(shop.root).statement("loyal", "2026-01-01", dialect=dialect)
        assert [problem.code for problem in unsaid.value.diagnostics] == ["X105"]


def test_a_circle_through_what_was_is_one(shop: Shop) -> None:
    shop.segment("vip", "spend > 10 and not entered('loyal', until => ago('1 day'))")
    shop.contacts({"id": [1], "spend": [5]})
    with pytest.raises(RuleError) as refused:
        shop.run("2026-01-01")
    assert [problem.code for problem in refused.value.diagnostics] == ["R601"]
    assert "loyal -> vip -> loyal" in str(refused.value)


def test_the_example_in_the_documentation_is_so(shop: Shop) -> None:
    head = re.search(r"^\| as of \| spend of 1 .*$", RULES, re.MULTILINE)
    assert head is not None
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in RULES[head.start() :].split("\n\n")[0].splitlines()]
    for name, rule in zip(("came", "went", "loyal"), rows[0][4:], strict=True):
        shop.segment(name, rule.strip("`"))
    for as_of, one, two, vip, *asked in rows[2:]:
        found = step(shop, as_of, c1=int(one), c2=int(two))
        members = [shop.state.members("vip").to_list(), *(found[name] for name in ("came", "went", "loyal"))]
        assert [", ".join(map(str, keys)) for keys in members] == [vip, *asked], as_of
    assert len(rows) > 5


def test_of_a_contact_that_is_in_by_a_merged_key_alone_no_stay_is_known_while_that_key_is_back(shop: Shop) -> None:
    step(shop, "2026-01-01", c1=5, c2=5)
    step(shop, "2026-01-02", c1=50, c2=5)
    (shop.root / "aliases.csv").write_text("old_key,new_key\n1,9\n")
    shop.key = "id, aliases: aliases.csv"
    assert step(shop, "2026-01-12", c9=50, c2=5)["loyal"] == [9]
    assert step(shop, "2026-01-13", c9=50, c2=5, c1=5)["loyal"] == []
    assert after(shop, "2026-01-14")["loyal"] == []


def test_a_past_instant_is_answered_by_merges_that_only_the_ledger_knows(shop: Shop) -> None:
    for moment, spend in (("2026-01-01", 5), ("2026-01-02", 50), ("2026-01-05", 50)):
        step(shop, moment, c1=spend)
    (shop.root / "aliases.csv").write_text("old_key,new_key\n1,9\n")
    shop.key = "id, aliases: aliases.csv"
    step(shop, "2026-01-08", c9=50)
    (shop.root / "aliases.csv").write_text("old_key,new_key\n")
    workspace = sg.Workspace.open(shop.root)
    for rule, members in (("entered('vip', last => '1 hour')", []), ("member('vip', for => '1 day')", [9])):
        assert workspace.contacts(rule, as_of=day("2026-01-04")).collect()["id"].to_list() == members
