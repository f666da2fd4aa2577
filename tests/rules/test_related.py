"""What segments are to each other whatever the data, told with the reason to those who ask."""

from __future__ import annotations

from segmentry.rules.checker import check
from segmentry.rules.ground import Clock
from segmentry.rules.nodes import Listed
from segmentry.rules.parse import parse_text
from segmentry.rules.related import Stated, relations
from segmentry.rules.said import said_in
from tests.rules.reading import AS_OF, meaning
from tests.rules.shop_schema import SHOP


def told(rules: dict[str, str]) -> list[tuple[str, str, str | None, str | None]]:
    stated = {}
    for name, rule in rules.items():
        syntax = parse_text(rule)
        stated[name] = Stated(check(syntax, SHOP, source=rule)[0], said_in(syntax))
    found = relations(stated, Clock(AS_OF, "Europe/London"))
    assert found.complete
    return [(one.segment, str(one.kind), one.other, one.reason) for one in found.found]


def test_inside_and_why():
    assert told({"a": "status = 'x' and activity_count > 5", "b": "activity_count > 3 and status is set"}) == [
        ("a", "is inside", "b", "`activity_count > 3` follows from `activity_count > 5`; `status is set` follows from `status = 'x'`")
    ]


def test_a_part_of_another_rule():
    assert told({"a": "location = 'UK' and did(order_placed)", "b": "location = 'UK'"}) == [
        ("a", "is inside", "b", "it asks for all that `b` asks for, and more")
    ]


def test_nobody_in_common_and_why():
    assert told({"a": "did(order_placed, last => '30 days') and status = 'x'", "b": "not did(any_event, last => '60 days')"}) == [
        (
            "a",
            "excludes",
            "b",
            "`did(order_placed, last => '30 days')` and `not did(any_event, last => '60 days')` exclude each other",
        )
    ]


def test_the_same_though_written_otherwise():
    rules = {"a": "not (location = 'UK' or location = 'US')", "b": "location not in ('US', 'UK')", "c": "location != 'UK'"}
    assert [found[:3] for found in told(rules)] == [("a", "is inside", "c"), ("a", "is the same as", "b"), ("b", "is inside", "c")]


def test_references():
    rules = {"staff": "email ends with '@shop.com'", "vip": "member('staff') and lifetime_value > 5", "uk_visitors": "not member('staff')"}
    assert told(rules) == [
        ("staff", "excludes", "uk_visitors", "`uk_visitors` asks for `not member('staff')`"),
        ("uk_visitors", "excludes", "vip", "`not member('staff')` and `member('staff')` exclude each other"),
        ("vip", "is inside", "staff", "it asks for `member('staff')`"),
    ]


def test_nobody_and_everybody_are_told_alone():
    assert told({"a": "location = 'UK' and location = 'US'", "b": "location = 'UK'", "c": "true"}) == [
        ("a", "is empty", None, "`location = 'UK'` and `location = 'US'` exclude each other"),
        ("c", "is everybody", None, None),
    ]


def test_lists_are_known_by_their_names_only():
    words = said_in(None)
    stated = {name: Stated(Listed(f"lists/{path}.csv"), words) for name, path in {"a": "x", "b": "x", "c": "y"}.items()}
    found = relations(stated, Clock(AS_OF)).found
    assert [(one.segment, str(one.kind), one.other) for one in found] == [("a", "is the same as", "b")]


def test_of_what_has_nothing_to_do_with_each_other_nothing_is_said():
    assert told({"a": "location = 'UK'", "b": "status = 'x'", "c": "location != 'US' or email_consent"}) == [
        ("a", "is inside", "c", "`location != 'US' or email_consent` follows from `location = 'UK'`")
    ]


def test_the_effort_is_bounded(monkeypatch):
    monkeypatch.setattr("segmentry.rules.related.MOST_STEPS", 50)
    stated = {f"s{i}": Stated(meaning(f"location = 'x{i}' or status = 'y{i}'"), said_in(None)) for i in range(20)}
    assert not relations(stated, Clock(AS_OF)).complete
