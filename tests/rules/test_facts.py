"""What rules say whatever the data."""

import pytest

from segmentry.rules.facts import canonical, compared_values, same_rules
from tests.rules.reading import codes, meaning

NEVER = [
    "location = 'UK' and location = 'US'",
    "'UK' = location and status = 'lead' and location = 'US'",
    "activity_count > 5 and activity_count < 5",
    "activity_count >= 5 and activity_count < 5.0",
    "birthday > '2026-01-01' and birthday < '2025-01-01'",
    "balance between 1 and 2 and balance > 3",
    "email_consent and not email_consent",
    "count(order_placed) < 0",
    "distinct(order_placed.coupon) = -1",
    "not count(order_placed) is set",
    "1 = 2 and email_consent",
    "at_least(2, false, 1 > 2, email_consent)",
    "did(order_placed, coupon = 'a' and coupon = 'b')",
    "count(order_placed) = 1 and count(order_placed) = 2",
    "score > 0.1 and score < 0.1",
]
ALWAYS = [
    "location = 'UK' or not location = 'UK'",
    "count(order_placed) >= 0",
    "count(order_placed) > -1 or location = 'UK'",
    "now() is set",
    "at_least(1, 1 = 1, location = 'UK')",
]
UNKNOWN = [
    "true",
    "false",
    "location = 'UK' and status = 'UK'",
    "location = 'UK' or location = 'US'",
    "activity_count >= 5 and activity_count <= 5",
    "date_added = '2026-01-31' and date_added = '2026-01-31 09:00'",
    "date_added > '2026-03-29 02:00' and date_added < '2026-03-29 01:30'",
    "not location = 'UK' and not location = 'US'",
    "count(order_placed) > 0",
    "sum(order_placed.amount) >= 0",
    "sum(order_placed.amount) is set",
    "location is set or location is not set or false",
    "tags contains 'a' and tags contains 'b'",
]


@pytest.mark.parametrize("rule", NEVER)
def test_rules_that_never_hold(rule):
    assert codes(rule) == ["R901"]


@pytest.mark.parametrize("rule", ALWAYS)
def test_rules_that_always_hold(rule):
    assert codes(rule) == ["R902"]


@pytest.mark.parametrize("rule", UNKNOWN[:-2] + UNKNOWN[-1:])
def test_of_the_others_nothing_is_said(rule):
    assert codes(rule) == []


def test_a_condition_inside_a_rule_is_told_alone():
    assert codes("email_consent or (location = 'UK' and location = 'US')") == ["R901"]


def test_rules_are_the_same_but_for_order_and_brackets():
    same = [
        "location = 'UK' and (status in ('a', 'b') and activity_count > 5)",
        "(5 < activity_count and 'UK' = location) and status in ('b', 'a', 'b')",
        "not not (activity_count > 5 and location = 'UK' and location = 'UK' and status in ('a', 'b'))",
    ]
    first, *others = [canonical(meaning(rule)) for rule in same]
    assert all(other == first for other in others)
    assert canonical(meaning("location = 'UK' or status in ('a', 'b')")) != first


def test_nothing_is_the_same_that_missing_values_tell_apart():
    assert canonical(meaning("not activity_count > 5")) != canonical(meaning("activity_count <= 5"))


def test_the_same_rule_twice_is_a_warning():
    rules = {
        "b": meaning("status = 'x' or location = 'UK'"),
        "a": meaning("location = 'UK' or status = 'x'"),
        "c": meaning("location = 'UK'"),
        "d": meaning("location = 'UK' or status = 'x'"),
    }
    warnings = same_rules(rules)
    assert [(name, warning.code, warning.message) for name, warning in warnings] == [
        ("b", "R903", "`b` has the same rule as `a`"),
        ("d", "R903", "`d` has the same rule as `a`"),
    ]


def test_values_to_look_up_are_those_that_columns_are_asked_for():
    rule = """location = 'UK' and 5 = activity_count and tags contains 'new' and status in ('a', 'b') and lower(email) = 'x'
              and lifetime_value = 1.5 and activity_count > 7 and email_consent = false and location = 'UK'
              and did(order_placed, coupon = 'X' and contact.status = 'c')"""
    found = compared_values(meaning(rule))
    assert [(asked.field.name, str(asked.constant.value), asked.events.event if asked.events else None) for asked in found] == [
        ("location", "UK", None),
        ("activity_count", "5", None),
        ("tags", "new", None),
        ("status", "a", None),
        ("status", "b", None),
        ("coupon", "X", "order_placed"),
        ("status", "c", None),
    ]
