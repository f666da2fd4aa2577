"""The groups of a split on the command line: what is asked of them, and what is said where there are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segmentry.engine.loading import load
from segmentry.engine.splitting import Split, split_of
from tests.cli.conftest import Shop, build

RULE = "where: \"location = 'US'\"\n"
HALVES = "split: {holdout: 50%, a: 50%}\n"


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """`us` is divided in the second of three runs, and otherwise in the third."""
    shop = build(tmp_path_factory.mktemp("divided"))
    for day, split in enumerate(("", HALVES, "split: {salt: other, holdout: 50%, a: 50%}\n"), 1):
        shop.write("segments/us.yml", RULE + split)
        shop.run("recompute", *(["--first-run"] if day == 1 else []), "--as-of", f"2026-03-0{day}T12:00Z")
    return shop


def split_by(text: str, folder: Path) -> Split:
    (folder / "segments" / "us.yml").write_text(RULE + text)
    found = split_of("us", load(folder).segments["us"].config)
    assert found is not None
    return found


def test_members_of_a_group_are_those_of_the_run_that_is_asked_for(divided: Shop, tmp_path: Path) -> None:
    every = [row["contact_id"] for row in rows(divided, "members", "us")]
    before = split_by(HALVES, build(tmp_path).folder)
    for group in ("holdout", "a"):
        found = [row["contact_id"] for row in rows(divided, "members", "us", "--split", group, "--run", "2")]
        assert found == [key for key in every if before.group(str(key)) == group]
    both = [row["contact_id"] for row in rows(divided, "members", "us", "--split", "a,holdout")]
    assert both == every


def test_who_moved_is_told_and_counted(divided: Shop) -> None:
    moved = rows(divided, "diff", "--split", "--segment", "us")
    sizes = {(row["run"], row["group"]): row["size"] for row in rows(divided, "history", "us", "--split")}
    out = sum(row["before"] == "holdout" for row in moved)
    assert {row["before"] for row in moved} | {row["now"] for row in moved} == {"holdout", "a"}
    assert sizes[3, "holdout"] == sizes[2, "holdout"] - out + len(moved) - out
    assert {run for run, _ in sizes} == {2, 3}
    assert rows(divided, "diff", "1", "3", "--split") == []
    assert rows(divided, "diff", "--segment", "us") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("members", "us", "--split", "b"), "has no group `b` in run 3"),
        (("members", "us", "--split", "a", "--run", "1"), "run 1 does not divide `us`"),
        (("members", "uk", "--split", "a"), "run 3 does not divide `uk`"),
        (("history", "uk", "--split"), "run 3 does not divide `uk`"),
        (("history", "nobody", "--split"), "run 3 has no segment `nobody`"),
        (("diff", "--split", "--segment", "uk"), "run 3 does not divide `uk`"),
    ],
)
def test_what_is_not_there_is_said(divided: Shop, words: tuple[str, ...], said: str) -> None:
    assert said in divided.run(*words, code=1).output


@pytest.mark.parametrize(
    "words", [("diff", "--split", "--held"), ("history", "us", "--split", "--stays"), ("history", "us", "1", "--split")]
)
def test_what_does_not_go_together_is_refused(divided: Shop, words: tuple[str, ...]) -> None:
    assert "--split" in divided.run(*words, code=2).output


def test_explain_says_the_group_of_who_is_in_and_of_who_is_not(divided: Shop) -> None:
    told = json.loads(divided.run("explain", "us", "1", "--format", "json", "--as-of", "2026-03-03").stdout)
    assert told["group"] in ("holdout", "a")
    assert told["split"] == {"holdout": "50%", "a": "50%"}
    assert f"in the group {told['group']} of the split" in divided.run("explain", "us", "1", "--format", "html").stdout
    assert "once it is a member" in divided.run("explain", "us", "3").stdout
    assert "of the split" not in divided.run("explain", "uk", "3").stdout


def test_a_plan_says_how_many_would_be_in_another_group(divided: Shop) -> None:
    divided.write("segments/us.yml", RULE + "split: {salt: other, holdout: 100%}\n")
    plan = json.loads(divided.run("plan", "--format", "json").stdout)
    moved = sum(row["size"] for row in rows(divided, "history", "us", "--split") if (row["run"], row["group"]) == (3, "a"))
    assert plan["regrouped"] == {"us": moved}
    divided.write("segments/us.yml", RULE + "split: {salt: other, holdout: 50%, a: 50%}\n")


TESTS = "tests:\n  - {{contact: {contact}, in: true, split: {group}}}\n"


def test_a_test_that_names_another_group_fails_and_says_so(shop: Shop) -> None:
    shop.write(
        "segments/us.yml",
        RULE + "split: {holdout: 0%, a: 100%, b: 0%}\n" + TESTS.format(contact="{contact_id: 1, location: US}", group="a"),
    )
    assert "all as they should be" in shop.run("test", "us").output
    shop.write(
        "segments/us.yml",
        RULE + "split: {holdout: 0%, a: 100%, b: 0%}\n" + TESTS.format(contact="{contact_id: 1, location: US}", group="b"),
    )
    assert "should be in the group b, and is in the group a" in shop.run("test", "us", code=1).output
    shop.write("segments/us.yml", RULE + "split: {a: 0%}\n" + TESTS.format(contact="{contact_id: 1, location: US}", group="a"))
    assert "should be in the group a, and is in no group" in shop.run("test", "us", code=1).output


def test_a_test_needs_a_key_and_a_group_that_there_is(shop: Shop) -> None:
    shop.write("segments/us.yml", RULE + HALVES + TESTS.format(contact="{location: US}", group="b"))
    said = shop.run("test", "us", code=1).output
    assert "error[W326]: this segment's split has no group `b`" in said
    assert "error[W206]: `split` needs the contact's `contact_id`" in said


def rows(shop: Shop, *words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(shop.run(*words, "--format", "json").stdout)
    return found


def test_a_preview_of_a_divided_segment_has_its_groups(tmp_path: Path) -> None:
    shop = build(tmp_path)
    split = split_by("split: {holdout: 30%, a: 40%}\n", shop.folder)
    told = json.loads(shop.run("preview", "member('us')", "--as-of", "2026-03-01T12:00Z", "--limit", "100", "--format", "json").stdout)
    found = [split.group(str(row["contact_id"])) for row in told["sample"]]
    expected = [(group, share, found.count(group)) for group, share in (("holdout", 30.0), ("a", 40.0), (None, 30.0))]
    assert [(row["group"], row["share"], row["size"]) for row in told["groups"]] == expected
    assert "groups" not in json.loads(shop.run("preview", "not member('us')", "--as-of", "2026-03-01T12:00Z", "--format", "json").stdout)
