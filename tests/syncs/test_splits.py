"""Syncs of some groups of a segment: who is in the list, and what an edit of the split makes of it. Groups are found by `hashlib`."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from segmentry.engine.loading import load
from segmentry.engine.moment import Moment
from segmentry.engine.sync_confirming import confirm, propose
from segmentry.errors import DecisionError
from tests.oracle.groups import group
from tests.syncs.conftest import LIST, Synced

MANY = [f"c{number}" for number in range(40)]
HALVES = {"holdout": 50, "a": 50}
SEND, MIRROR = "existing: send, split: a", "existing: send, mode: mirror, split: a"


def those(name: str | None, shares: dict[str, int], salt: str = "uk") -> set[str]:
    return {key for key in MANY if group(key, shares, salt) == name}


def say(shop: Synced, said: str, shares: dict[str, int] | None = None, salt: str = "uk") -> None:
    """What the segment `uk` is kept in step with, and how it is divided."""
    groups = ", ".join(f"{name}: {percent}%" for name, percent in (shares or HALVES).items())
    shop.sync(said, enroll=f"split: {{salt: {salt}, {groups}}}\n")


def come(shop: Synced, *keys: str) -> None:
    shop.people({"id": MANY, "country": ["UK" if key in keys else "FR" for key in MANY]})


@pytest.mark.parametrize("said", [SEND, MIRROR])
def test_the_list_has_the_chosen_group_alone(shop: Synced, said: str) -> None:
    come(shop, *MANY)
    say(shop, said)
    shop.hour("2026-01-02")
    assert shop.members == those("a", HALVES)
    assert shop.hour("2026-01-02T01:00").destinations == {}


@pytest.mark.parametrize("said", [SEND, MIRROR])
def test_after_an_edit_the_list_has_the_group_as_it_is_now(shop: Synced, said: str) -> None:
    """`add` never removes anybody."""
    come(shop, *MANY)
    say(shop, said)
    shop.hour("2026-01-02")
    for hour, shares, salt in ((1, {"holdout": 80, "a": 20}, "uk"), (2, {"holdout": 10, "a": 90}, "uk"), (3, HALVES, "other")):
        before = shop.members
        say(shop, said, shares, salt)
        shop.hour(f"2026-01-02T0{hour}:00")
        assert shop.members == those("a", shares, salt) | (set() if said == MIRROR else before)
        assert shop.changes() == []
    assert shop.memory.wrongs == []


def test_without_the_choice_the_list_has_all_groups(shop: Synced) -> None:
    come(shop, *MANY)
    say(shop, "existing: send, mode: mirror")
    shop.hour("2026-01-02")
    assert shop.members == set(MANY)
    say(shop, MIRROR)
    shop.hour("2026-01-02T01:00")
    assert shop.members == those("a", HALVES)


def test_two_lists_share_a_segment_between_them(shop: Synced) -> None:
    come(shop, *MANY)
    shop.sync("", enroll=f"split: {{a: 50%, b: 50%}}\nsync:\n  - {{destination: crm, list: people, {MIRROR}}}\n"
              "  - {destination: crm, list: others, existing: send, mode: mirror, split: [b]}\n")  # fmt: skip
    shop.hour("2026-01-02")
    shares = {"a": 50, "b": 50}
    assert (shop.members, shop.memory.members("list:others")) == (those("a", shares), those("b", shares))


def test_skip_lets_be_whoever_is_in_at_the_start_in_whatever_group_they_are_later(shop: Synced) -> None:
    come(shop, *MANY[:20])
    say(shop, "existing: skip, mode: mirror, split: a")
    shop.hour("2026-01-02")
    say(shop, "existing: skip, mode: mirror, split: a", {"holdout": 0, "a": 100})
    shop.hour("2026-01-02T01:00")
    assert shop.members == set()
    come(shop, *MANY)
    shop.hour("2026-01-02T02:00")
    assert shop.members == set(MANY[20:])


def test_an_add_that_waits_ends_where_the_contact_is_in_another_group_now(shop: Synced) -> None:
    come(shop, *MANY)
    say(shop, MIRROR)
    shop.hour("2026-01-02", tell=False)
    later = {"holdout": 80, "a": 20}
    say(shop, MIRROR, later)
    shop.hour("2026-01-02T01:00")
    assert shop.members == those("a", later)


def test_an_edit_counts_from_the_next_run_on_whatever_else_is_said_meanwhile(shop: Synced) -> None:
    gone = min(those("a", HALVES))
    come(shop, *MANY)
    say(shop, MIRROR)
    shop.hour("2026-01-02", tell=False)
    later = {"holdout": 80, "a": 20}
    say(shop, MIRROR, later)
    shop.run("2026-01-01", now=shop.now)
    shop.state.forget([gone], shop.now)
    shop.tell()
    assert shop.members == those("a", HALVES) - {gone}
    shop.people({"id": [key for key in MANY if key != gone], "country": ["UK"] * (len(MANY) - 1)})
    shop.hour("2026-01-02T01:00")
    assert shop.members == those("a", later) - {gone}


def test_who_shares_an_address_is_in_the_list_if_one_of_them_is_in_the_group(shop: Synced) -> None:
    out, member = min(those("holdout", HALVES)), min(those("a", HALVES))
    keys = [out, member]
    shop.people({"id": keys, "country": ["UK", "UK"], "email": ["x@example.com", "x@example.com"]})
    say(shop, MIRROR)
    shop.hour("2026-01-02")
    assert shop.members == {member}
    say(shop, MIRROR, {"holdout": 100, "a": 0})
    shop.hour("2026-01-02T01:00")
    assert shop.members == set()


def test_a_word_counts_the_group_and_is_not_taken_on_another_split(shop: Synced) -> None:
    come(shop, *MANY)
    say(shop, "mode: mirror, split: a")
    shop.hour("2026-01-02")
    assert shop.syncs() == [("uk", LIST, "unconfirmed", None)]

    def ask(do: object = propose) -> object:
        workspace, now = load(shop.root).require(), datetime(2026, 1, 2, 1, tzinfo=UTC)
        more = {"environ": {}} if do is propose else {}
        return do(workspace, shop.state, ("uk", "crm", None), "send", now, lambda: Moment.at(workspace, now).contacts, **more)  # type: ignore[operator]

    assert ask().added == ask().figures["members"] == len(those("a", HALVES))  # type: ignore[attr-defined]
    say(shop, "mode: mirror, split: a", {"holdout": 10, "a": 90})
    with pytest.raises(DecisionError, match="`split` of `uk` was edited since run 1"):
        ask(confirm)
    say(shop, "mode: mirror, split: a")
    ask(confirm)
    shop.at("2026-01-02T01:00")
    shop.tell()
    assert shop.members == those("a", HALVES)


def test_a_split_that_is_held_moves_nobody(shop: Synced) -> None:
    come(shop, *MANY)
    say(shop, MIRROR)
    shop.hour("2026-01-02")
    shop.guards = "{snapshot: {shrinks: 100%}, segment: {leaves: 20%, contacts: 5, enters: 100%}}"
    say(shop, MIRROR, HALVES, "other")
    shop.hour("2026-01-04")
    assert shop.members == those("a", HALVES)
    come(shop, *MANY[1:])
    shop.hour("2026-01-04T01:00")
    assert shop.members == those("a", HALVES)
    shop.approve(3, at="2026-01-04T02:00")
    shop.at("2026-01-04T02:00")
    shop.tell()
    assert shop.members == those("a", HALVES, "other") - {MANY[0]}


def test_files_have_the_chosen_group_alone(shop: Synced) -> None:
    shop.destinations = "{lake: {type: files, path: exports, format: parquet}}"
    come(shop, *MANY[:20])
    shop.sync("", enroll="split: {holdout: 50%, a: 50%}\nsync: {destination: lake, what: [changes, members], split: a}\n")
    shop.hour("2026-01-02")
    come(shop, *MANY)
    shop.hour("2026-01-03")

    def read(what: str, run: int) -> set[str]:
        (path,) = (shop.root / "exports").glob(f"uk/{what}/*/uk.{run:06}.{what}.parquet")
        return set(pl.read_parquet(path)["contact"])

    assert (read("changes", 1), read("changes", 2)) == (those("a", HALVES) & set(MANY[:20]), those("a", HALVES) & set(MANY[20:]))
    assert read("members", 2) == those("a", HALVES)
