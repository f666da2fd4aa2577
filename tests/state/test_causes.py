"""Causes, case by case: the first that holds, and through which segment it came."""

from __future__ import annotations

import pytest

from segmentry.errors import RuleError, SourceError
from tests.state.conftest import Shop, at


def rows(run) -> list[tuple[object, ...]]:
    return run.changes().rows()


def brief(run) -> list[tuple[object, ...]]:
    """segment, contact, cause, via"""
    return [(segment, contact, cause, via) for segment, contact, _, cause, via in run.changes().rows()]


@pytest.fixture
def shop(shop: Shop) -> Shop:
    shop.contacts({"id": [1, 2, 3, 4], "spend": [5, 50, 500, 7], "country": ["UK", "UK", "US", None], "other": [1, 1, 1, 1]})
    return shop


def test_first_computed_is_rule(shop: Shop) -> None:
    shop.segment("big", "spend > 10")
    assert rows(shop.run("2026-01-01")) == [("big", 2, "entered", "rule", None), ("big", 3, "entered", "rule", None)]
    shop.segment("uk", "country = 'UK'")
    assert rows(shop.run("2026-01-02")) == [("uk", 1, "entered", "rule", None), ("uk", 2, "entered", "rule", None)]


def test_new_and_gone_contacts_are_source(shop: Shop) -> None:
    shop.segment("big", "spend > 10")
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 3, 9], "spend": [5, 500, 99]})
    assert rows(shop.run("2026-01-02")) == [("big", 2, "exited", "source", None), ("big", 9, "entered", "source", None)]
    shop.contacts({"id": [1, 2, 3, 9], "spend": [5, 50, 500, 99]})
    assert rows(shop.run("2026-01-03")) == [("big", 2, "entered", "source", None)]


def test_source_comes_before_an_edited_rule(shop: Shop) -> None:
    shop.segment("big", "spend > 10")
    shop.run("2026-01-01")
    shop.segment("big", "spend > 6")
    shop.contacts({"id": [1, 3, 4, 9], "spend": [5, 500, 7, 8]})
    assert brief(shop.run("2026-01-02")) == [("big", 2, "source", None), ("big", 4, "rule", None), ("big", 9, "source", None)]


def test_a_changed_row_is_data(shop: Shop) -> None:
    shop.segment("big", "spend > 10")
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2, 3, 4], "spend": [15, 5, 500, 7]})
    assert rows(shop.run("2026-01-02")) == [("big", 1, "entered", "data", None), ("big", 2, "exited", "data", None)]


def test_time_alone_is_time(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "joined": [at("2026-01-01"), at("2026-01-09")]})
    shop.segment("recent", "joined in the last '5 days'")
    shop.run("2026-01-02")
    assert rows(shop.run("2026-01-10")) == [("recent", 1, "exited", "time", None), ("recent", 2, "entered", "time", None)]


def test_data_comes_before_time_and_a_column_no_rule_reads_is_no_data(shop: Shop) -> None:
    joined = [at("2026-01-01"), at("2026-01-01"), at("2026-01-01")]
    shop.contacts({"id": [1, 2, 3], "joined": joined, "name": ["a", "b", "c"]})
    shop.segment("recent", "joined in the last '5 days'")
    shop.run("2026-01-02")
    shop.contacts({"id": [1, 2, 3], "joined": [joined[0], at("2026-01-02"), joined[2]], "name": ["a", "b", "changed"]})
    assert brief(shop.run("2026-01-10")) == [("recent", 1, "time", None), ("recent", 2, "data", None), ("recent", 3, "time", None)]


def test_what_is_within_structs_is_data_and_what_none_asks_of_them_may_go(shop: Shop) -> None:
    def homes(*homes: object) -> None:
        shop.contacts({"id": [1, 2, 3], "home": list(homes)})

    def orders(*lines: object) -> None:
        shop.event_file("orders", {"contact_id": [1, 2], "at": [at("2026-01-01")] * 2, "event": ["order"] * 2, "lines": list(lines)})

    homes({"city": "Paris", "zip": 1, "geo": {"lat": 1.5}}, {"city": "Lyon", "zip": 2, "geo": None}, None)
    orders([{"sku": "A", "price": 5}], [{"sku": "B", "price": 5}])
    shop.segment("paris", "home.city = 'Paris'")
    shop.segment("elsewhere", "home.city != 'Paris' and home.geo.lat is not set")
    shop.segment("bought_a", "did(order, any(lines, element.sku = 'A'))")
    assert brief(shop.run("2026-01-02")) == [
        ("bought_a", 1, "rule", None),
        ("elsewhere", 2, "rule", None),
        ("elsewhere", 3, "rule", None),
        ("paris", 1, "rule", None),
    ]
    homes({"city": "Nice", "geo": {"lat": 1.5, "new": 1}}, {"city": "Lyon", "geo": {"lat": 2.5, "new": 1}}, {"city": "Paris", "geo": None})
    orders([{"price": 5, "sku": "B"}], [{"price": 5, "sku": "A"}])
    run = shop.run("2026-01-03")
    assert brief(run) == [
        ("bought_a", 1, "data", None), ("bought_a", 2, "data", None), ("elsewhere", 2, "data", None), ("elsewhere", 3, "data", None),
        ("paris", 1, "data", None), ("paris", 3, "data", None),
    ]  # fmt: skip
    assert [warning.code for warning in run.warnings] == ["S402"]
    homes({"city": "Nice"}, {"city": "Lyon"}, {"city": "Paris"})
    with pytest.raises(RuleError) as error:
        shop.run("2026-01-04")
    assert [problem.code for problem in error.value.diagnostics] == ["R206"]
    homes({"city": "Nice", "geo": {"lat": "x"}}, None, None)
    with pytest.raises(SourceError) as changed:
        shop.run("2026-01-04")
    assert [(problem.code, problem.notes) for problem in changed.value.diagnostics] == [
        ("S403", ("read by elsewhere",)),
        ("S402", ()),
    ]


def test_an_edited_rule_is_rule_only_where_the_former_one_keeps_the_answer(shop: Shop) -> None:
    shop.segment("big", "spend > 10")
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2, 3, 4], "spend": [20, 50, 500, 7]})
    shop.segment("big", "spend > 6")
    assert brief(shop.run("2026-01-02")) == [("big", 1, "data", None), ("big", 4, "rule", None)]


def test_a_rule_written_otherwise_that_means_the_same_changes_nothing(shop: Shop) -> None:
    shop.segment("big", "spend > 10")
    shop.run("2026-01-01")
    shop.segment("big", "not (spend <= 10) and true")
    assert rows(shop.run("2026-01-02")) == []


def test_a_former_rule_that_can_not_run_any_more_is_rule(shop: Shop) -> None:
    shop.segment("big", "spend > 10")
    shop.segment("best", "member('big') and spend > 100")
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2, 3, 4], "paid": [15, 50, 500, 7]})
    shop.segment("big", "paid > 10")
    shop.segment("best", "member('big') and paid > 40")
    assert brief(shop.run("2026-01-02")) == [("best", 2, "rule", None), ("big", 1, "rule", None)]


def test_a_list_that_decides_is_list(shop: Shop) -> None:
    shop.list("staff.csv", 1, 2)
    shop.list("by_hand.csv", 4)
    shop.list("never.csv", 3)
    shop.segment("staff", list="staff.csv")
    shop.segment("big", "spend > 10", include="by_hand.csv", exclude="never.csv")
    shop.run("2026-01-01")
    assert shop.state.members("big").to_list() == [2, 4]
    shop.list("staff.csv", 2, 3, 77)
    shop.list("by_hand.csv", 1)
    shop.list("never.csv", 2)
    assert rows(shop.run("2026-01-02")) == [
        ("big", 1, "entered", "list", None),
        ("big", 2, "exited", "list", None),
        ("big", 3, "entered", "list", None),
        ("big", 4, "exited", "list", None),
        ("staff", 1, "exited", "list", None),
        ("staff", 3, "entered", "list", None),
    ]


def test_a_list_that_changed_but_did_not_decide_is_not_the_cause(shop: Shop) -> None:
    shop.list("by_hand.csv", 4)
    shop.segment("big", "spend > 10", include="by_hand.csv")
    shop.run("2026-01-01")
    shop.list("by_hand.csv", 4, 1)
    shop.contacts({"id": [1, 2, 3, 4], "spend": [15, 5, 500, 7]})
    assert brief(shop.run("2026-01-02")) == [("big", 1, "data", None), ("big", 2, "data", None)]


def test_an_include_added_to_the_definition_is_list(shop: Shop) -> None:
    shop.list("by_hand.csv", 4)
    shop.segment("big", "spend > 10")
    shop.run("2026-01-01")
    shop.segment("big", "spend > 10", include="by_hand.csv")
    assert brief(shop.run("2026-01-02")) == [("big", 4, "list", None)]
    shop.segment("big", "spend > 10")
    (shop.root / "by_hand.csv").unlink()
    assert brief(shop.run("2026-01-03")) == [("big", 4, "list", None)]


def test_list_and_rule_that_would_each_have_sufficed_are_list(shop: Shop) -> None:
    shop.list("by_hand.csv", 3)
    shop.segment("big", "spend > 10", include="by_hand.csv")
    shop.run("2026-01-01")
    shop.list("by_hand.csv", 3, 4)
    shop.segment("big", "spend > 6", include="by_hand.csv")
    assert brief(shop.run("2026-01-02")) == [("big", 4, "list", None)]


def test_a_rule_that_becomes_a_list_is_rule(shop: Shop) -> None:
    shop.list("staff.csv", 1, 2)
    shop.segment("staff", "spend > 10")
    shop.run("2026-01-01")
    shop.segment("staff", list="staff.csv")
    assert brief(shop.run("2026-01-02")) == [("staff", 1, "rule", None), ("staff", 3, "rule", None)]


def test_the_referenced_segment_it_came_through_is_via(shop: Shop) -> None:
    shop.segment("big", "spend > 10")
    shop.segment("big_uk", "member('big') and country = 'UK'")
    shop.segment("not_big", "not member('big')")
    shop.segment("far", "member('big_uk')")
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2, 3, 4], "spend": [15, 50, 500, 7], "country": ["UK", "US", "US", None]})
    assert rows(shop.run("2026-01-02")) == [
        ("big", 1, "entered", "data", None),
        ("big_uk", 1, "entered", "data", "big"),
        ("big_uk", 2, "exited", "data", None),
        ("far", 1, "entered", "data", "big_uk"),
        ("far", 2, "exited", "data", "big_uk"),
        ("not_big", 1, "exited", "data", "big"),
    ]


def test_an_edited_rule_and_an_edited_list_are_told_through_references(shop: Shop) -> None:
    shop.list("staff.csv", 1)
    shop.segment("staff", list="staff.csv")
    shop.segment("big", "spend > 10")
    shop.segment("customers", "member('big') and not member('staff')")
    shop.run("2026-01-01")
    shop.segment("big", "spend > 6")
    shop.list("staff.csv", 1, 2)
    assert brief(shop.run("2026-01-02")) == [
        ("big", 4, "rule", None),
        ("customers", 2, "list", "staff"),
        ("customers", 4, "rule", "big"),
        ("staff", 2, "list", None),
    ]


def test_several_that_decide_only_together_name_the_first(shop: Shop) -> None:
    shop.segment("a", "spend > 10")
    shop.segment("b", "spend > 11")
    shop.segment("either", "member('b') or member('a')")
    shop.segment("both", "member('b') and member('a')")
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2, 3, 4], "spend": [15, 50, 5, 7]})
    changed = [row for row in brief(shop.run("2026-01-02")) if row[0] in ("either", "both")]
    assert changed == [("both", 1, "data", "a"), ("both", 3, "data", "a"), ("either", 1, "data", "a"), ("either", 3, "data", "a")]


def test_through_a_segment_computed_for_the_first_time(shop: Shop) -> None:
    shop.segment("uk", "country = 'UK' and spend > 10")
    shop.run("2026-01-01")
    shop.segment("big", "spend > 6")
    shop.segment("uk", "country = 'UK' and spend > 10 or member('big')")
    changed = [row for row in brief(shop.run("2026-01-02")) if row[0] == "uk"]
    assert changed == [("uk", 3, "rule", "big"), ("uk", 4, "rule", "big")]


def test_a_reference_to_a_segment_that_is_gone_is_evaluated_as_it_was(shop: Shop) -> None:
    shop.segment("big", "spend > 10")
    shop.segment("uk", "country = 'UK' and member('big')")
    shop.run("2026-01-01")
    shop.remove("big")
    shop.segment("uk", "country = 'UK'")
    shop.contacts({"id": [1, 2, 3, 4], "spend": [5, 5, 500, 7], "country": ["UK", "US", "US", "UK"]})
    assert brief(shop.run("2026-01-02")) == [("uk", 1, "rule", None), ("uk", 2, "data", None), ("uk", 4, "rule", None)]


def test_an_edited_timezone_is_rule(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "joined": [at("2025-12-31T23:30"), at("2026-01-01T12:00")]})
    shop.segment("this_year", "joined at least '2026-01-01'")
    shop.run("2026-01-02")
    shop.zone = "Europe/Berlin"
    assert rows(shop.run("2026-01-03")) == [("this_year", 1, "entered", "rule", None)]


def test_with_another_timezone_what_the_data_did_is_still_data(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "joined": [at("2025-12-31T23:30"), at("2025-06-01")]})
    shop.segment("this_year", "joined at least '2026-01-01'")
    shop.run("2026-01-02")
    shop.zone = "Europe/Berlin"
    shop.contacts({"id": [2, 1], "joined": [at("2026-01-02"), at("2025-12-31T23:30")]})
    assert brief(shop.run("2026-01-03")) == [("this_year", 1, "rule", None), ("this_year", 2, "data", None)]


def test_an_edited_source_mapping_is_rule(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "account": [2, 1], "spend": [5, 50]})
    shop.segment("big", "spend > 10")
    shop.run("2026-01-01")
    shop.key = "account"
    assert rows(shop.run("2026-01-02")) == [("big", 1, "entered", "rule", None), ("big", 2, "exited", "rule", None)]


def test_a_former_mapping_that_has_no_files_any_more_is_rule(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    shop.segment("big", "spend > 10")
    shop.run("2026-01-01")
    shop.key = "account"
    shop.contacts({"account": [1, 2], "spend": [15, 50]})
    assert brief(shop.run("2026-01-02")) == [("big", 1, "rule", None)]


def test_a_segment_that_comes_back_is_compared_with_its_last_membership(shop: Shop) -> None:
    shop.segment("big", "spend > 10")
    shop.segment("uk", "country = 'UK'")
    shop.run("2026-01-01")
    shop.remove("big")
    assert rows(shop.run("2026-01-02")) == []
    assert shop.state.segments()["big"].retired_run == 2
    shop.segment("big", "spend > 6")
    shop.contacts({"id": [1, 3, 4], "spend": [5, 500, 7], "country": ["UK", "US", None]})
    run = shop.run("2026-01-03")
    assert rows(run) == [
        ("big", 2, "exited", "rule", None),
        ("big", 4, "entered", "rule", None),
        ("uk", 2, "exited", "source", None),
    ]
    assert shop.state.segments()["big"].retired_run is None


EVENT = {"contact_id": [1, 2, 2], "at": [at("2026-01-01"), at("2026-01-01"), at("2026-01-05")], "event": ["order", "order", "order"]}


def test_a_new_event_is_data_and_one_that_only_became_visible_is_time(shop: Shop) -> None:
    shop.event_file("a", {**EVENT, "contact_id": [1, 2, 3]})
    shop.segment("buyers", "did(order)")
    shop.run("2026-01-02")
    shop.event_file("b", {"contact_id": [4], "at": [at("2026-01-03")], "event": ["order"]})
    assert brief(shop.run("2026-01-06")) == [("buyers", 3, "time", None), ("buyers", 4, "data", None)]


def test_a_rewritten_event_file_changes_only_whose_rows_changed(shop: Shop) -> None:
    shop.event_file("a", EVENT)
    shop.segment("recent", "did(order, last => '3 days')")
    assert rows(shop.run("2026-01-02"))[0][:2] == ("recent", 1)
    shop.event_file("a", {key: [*values, new] for (key, values), new in zip(EVENT.items(), (3, at("2026-01-06"), "order"), strict=True)})
    assert brief(shop.run("2026-01-07")) == [("recent", 1, "time", None), ("recent", 3, "data", None)]


def test_an_event_file_that_is_gone_or_moved(shop: Shop) -> None:
    shop.event_file("a", EVENT)
    shop.event_file("b", {"contact_id": [4], "at": [at("2026-01-01")], "event": ["order"]})
    shop.segment("recent", "did(order, last => '10 days')")
    shop.run("2026-01-06")
    (shop.root / "events" / "b.parquet").unlink()
    (shop.root / "events" / "a.parquet").rename(shop.root / "events" / "c.parquet")
    assert brief(shop.run("2026-01-07")) == [("recent", 4, "data", None)]
    assert brief(shop.run("2026-01-12")) == [("recent", 1, "time", None)]


def test_unchanged_event_files_are_not_read_again_for_digests(shop: Shop) -> None:
    shop.event_file("a", EVENT)
    shop.event_file("b", {"contact_id": [4], "at": [at("2026-01-01")], "event": ["order"]})
    shop.segment("buyers", "did(order)")
    shop.run("2026-01-06")
    first = shop.state.event_files()
    shop.event_file("b", {"contact_id": [3], "at": [at("2026-01-01")], "event": ["order"]})
    shop.run("2026-01-07")
    second = shop.state.event_files()
    assert [(r.file, r.part) for r in first] == [(first[0].file, 0), (first[0].file, 1)]
    assert second[0] == first[0]
    assert second[1].file != first[1].file


def test_a_rule_that_reads_another_event_column_compares_in_the_former_ones(shop: Shop) -> None:
    shop.event_file("a", {**EVENT, "amount": [5, 5, 5]})
    shop.segment("recent", "did(order, last => '3 days')")
    shop.run("2026-01-02")
    shop.event_file("a", {**EVENT, "amount": [6, 5, 5]})
    shop.segment("spent", "sum(order.amount) > 10")
    assert [row for row in brief(shop.run("2026-01-06")) if row[0] == "recent"] == [("recent", 1, "time", None)]
    shop.event_file("a", {**EVENT, "amount": [60, 5, 5]})
    assert brief(shop.run("2026-01-06T01:00")) == [("spent", 1, "data", None)]


def test_lists_whose_keys_only_look_alike_on_lines_are_different(shop: Shop) -> None:
    shop.contacts({"id": ["a", "b", "a\nb"], "joined": [at("2026-01-01")] * 3})
    shop.list("chosen.csv", "a", "b")
    shop.segment("recent", "joined in the last '3 days'", include="chosen.csv")
    shop.run("2026-01-02")
    shop.list("chosen.csv", '"a\nb"')
    assert brief(shop.run("2026-01-05")) == [("recent", "a", "list", None), ("recent", "b", "list", None)]
