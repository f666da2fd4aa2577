"""A segment under a new name is the same segment: nobody comes or goes by it, and what else changed keeps its cause."""

from __future__ import annotations

from datetime import timedelta

import pytest

from segmentry.engine import membership, storing
from segmentry.engine.definitions import Definitions, SegmentDefinition
from segmentry.engine.loading import load
from segmentry.engine.renaming import renamed_definitions, renames_of
from segmentry.engine.state import SegmentRecord
from segmentry.engine.state.naming import followed, followed_back
from tests.state.conftest import Shop, day
from tests.state.holding import computed_changes, holding


def brief(run) -> list[tuple[object, ...]]:
    """segment, contact, cause, via"""
    return [(segment, contact, cause, via) for segment, contact, _, cause, via in computed_changes(run).rows()]


@pytest.fixture(params=[2, pytest.param(1 << 20, marks=pytest.mark.full)], ids=["small chunks", "one chunk"])
def shop(shop: Shop, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Shop:
    for module in (membership, storing):
        monkeypatch.setattr(module, "CHUNK_ROWS", request.param)
    shop.contacts({"id": [1, 2, 3, 4], "spend": [5, 50, 500, 7], "country": ["UK", "UK", "US", None]})
    shop.segment("big", "spend > 10")
    shop.segment("uk", "country = 'UK' and member('big')")
    return shop


def rename(shop: Shop, old: str, new: str, where: str) -> None:
    shop.remove(old)
    shop.segment(new, where, renamed_from=f"[{old}]")


def test_a_rename_alone_changes_nothing(shop: Shop) -> None:
    shop.run("2026-01-01")
    rename(shop, "big", "large", "spend > 10")
    shop.segment("uk", "country = 'UK' and member('large')")
    run = shop.run("2026-01-02")
    assert brief(run) == []
    assert not run.record.segments["large"].first
    assert shop.state.members("large").to_list() == [2, 3]
    known = shop.state.segments()
    assert set(known) == {"large", "uk"}
    assert (known["large"].first_run, known["large"].retired_run) == (1, None)
    assert brief(shop.run("2026-01-03")) == []


def test_the_column_is_written_anew_under_the_new_name(shop: Shop) -> None:
    shop.run("2026-01-01")
    rename(shop, "big", "large", "spend > 10")
    shop.segment("uk", "country = 'UK' and member('large')")
    shop.run("2026-01-02")
    before, after = (
        [{name: number for number, names in chunk for name in names} for chunk in shop.state.run(run).members] for run in (1, 2)
    )
    for former, now in zip(before, after, strict=True):
        assert now["uk"] == former["uk"]
        assert now["large"] not in former.values()


def test_an_edit_at_the_same_time_is_rule_and_new_data_is_data(shop: Shop) -> None:
    shop.run("2026-01-01")
    rename(shop, "big", "large", "spend > 6")
    shop.segment("uk", "country = 'UK' and member('large')")
    shop.contacts({"id": [1, 2, 3, 4, 5], "spend": [50, 5, 500, 7, 90], "country": ["UK", "UK", "US", None, "UK"]})
    assert brief(shop.run("2026-01-02")) == [
        ("large", 1, "data", None),
        ("large", 2, "data", None),
        ("large", 4, "rule", None),
        ("large", 5, "source", None),
        ("uk", 1, "data", "large"),
        ("uk", 2, "data", "large"),
        ("uk", 5, "source", None),
    ]


def test_a_segment_that_refers_to_it_by_its_new_name_has_the_same_rule(shop: Shop) -> None:
    shop.run("2026-01-01")
    rename(shop, "big", "large", "spend > 10")
    shop.segment("uk", "member('large') and spend > 100")
    assert brief(shop.run("2026-01-02")) == [("uk", 2, "rule", None), ("uk", 3, "rule", None)]
    rename(shop, "uk", "top", "member('huge') and spend > 100")
    rename(shop, "large", "huge", "spend > 10")
    shop.contacts({"id": [1, 2, 3, 4], "spend": [5, 150, 50, 7], "country": ["UK", "UK", "US", None]})
    assert brief(shop.run("2026-01-03")) == [("top", 2, "data", None), ("top", 3, "data", None)]


def test_a_retired_segment_comes_back_under_another_name(shop: Shop) -> None:
    shop.segment("uk", "country = 'UK'")
    shop.run("2026-01-01")
    shop.remove("big")
    shop.run("2026-01-02")
    shop.state.gc(timedelta(0), day("2027-01-01"))
    shop.segment("large", "spend > 100", renamed_from="[big]")
    assert brief(shop.run("2026-01-03")) == [("large", 2, "rule", None)]
    known = shop.state.segments()
    assert set(known) == {"large", "uk"}
    assert (known["large"].first_run, known["large"].retired_run) == (1, None)


def test_a_held_segment_is_renamed_and_renamed_again(shop: Shop) -> None:
    shop.run("2026-01-01")
    shop.segment("big", "spend > 6")
    with holding("big", "uk"):
        assert brief(shop.run("2026-01-02")) == [("big", 4, "rule", None)]
    rename(shop, "big", "large", "spend > 6")
    shop.segment("uk", "country = 'UK' and member('large')")
    with holding("large", "uk"):
        assert brief(shop.run("2026-01-03")) == [("large", 4, "rule", None)]
    assert shop.state.members("large").to_list() == [2, 3]
    shop.state.gc(timedelta(0), day("2027-01-01"))
    rename(shop, "large", "huge", "spend > 6")
    shop.segment("uk", "country = 'UK' and member('huge')")
    assert brief(shop.run("2026-01-04")) == [("huge", 4, "rule", None)]
    assert shop.state.segments()["huge"].accepted_run == 4


def test_a_historical_run_renames_nothing(shop: Shop) -> None:
    shop.run("2026-01-05")
    rename(shop, "big", "large", "spend > 10")
    shop.segment("uk", "country = 'UK' and member('large')")
    shop.run("2026-01-01", now=day("2026-01-06"))
    assert set(shop.state.segments()) == {"big", "uk"}
    assert brief(shop.run("2026-01-07")) == []
    assert set(shop.state.segments()) == {"large", "uk"}


def record(name: str, retired: int | None = None) -> SegmentRecord:
    return SegmentRecord(name, 1, 1, retired)


def test_which_former_name_a_segment_goes_by(shop: Shop) -> None:
    shop.segment("a", "spend > 1", renamed_from="[never, gone, big, old]")
    shop.segment("b", "spend > 1", renamed_from="[old, gone]")
    shop.segment("c", "spend > 1", renamed_from="[old]")
    shop.segment("uk", "spend > 1", renamed_from="[other]")
    shop.write_config()
    known = {"big": record("big"), "gone": record("gone", 4), "old": record("old"), "other": record("other"), "uk": record("uk")}
    # `big` has a file, `uk` is known itself, and `old` is taken by the first of two
    assert renames_of(load(shop.root), known) == {"gone": "a", "old": "b"}
    assert renames_of(load(shop.root), {}) == {}


def test_former_definitions_are_read_by_the_new_names() -> None:
    rules = {
        "big": "spend > 10",
        "b": "not (member('big') or spend between 1 and 3) and country in ('big', 'UK')",
        "c": "member('other')",
        "d": "did(",
    }
    then = Definitions({**{name: SegmentDefinition(rule) for name, rule in rules.items()}, "e": SegmentDefinition(None, "staff.csv")})
    now = renamed_definitions(then, {"big": "large"})
    assert {name: definition.rule for name, definition in now.segments.items()} == {
        "large": "spend > 10",
        "b": "not (member('large') or spend between 1 and 3) and country in ('big', 'UK')",
        "c": "member('other')",
        "d": "did(",
        "e": None,
    }
    assert renamed_definitions(then, {}) is then


def test_renames_are_followed_both_ways() -> None:
    steps = [("a", "b"), ("x", "y"), ("b", "c")]
    assert followed(steps) == {"a": "c", "b": "c", "x": "y"}
    assert followed(steps, {"c": "d"}) == {"a": "d", "b": "d", "x": "y", "c": "d"}
    assert followed_back(steps) == {"c": "a", "y": "x"}
