"""What is said of a rule because it is certain: what, where and why; and of what nothing is said."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from segmentry.rules.builder import parse_builder
from segmentry.rules.certainties import certainties_at
from segmentry.rules.checker import check
from segmentry.rules.ground import Clock
from segmentry.rules.parse import parse_text
from segmentry.rules.said import said_in
from tests.rules.reading import AS_OF, codes, meaning
from tests.rules.shop_schema import SHOP

SAID = [
    ("location = 'UK' and (location = 'US' or status = 'x')", "R906", "location = 'US'", "it can't hold together with `location = 'UK'`"),
    (
        "activity_count > 5 and status = 'x' and activity_count > 3",
        "R907",
        "activity_count > 3",
        "it follows from `activity_count > 5`",
    ),
    ("activity_count > 7 or activity_count > 5", "R907", "activity_count > 7", "whoever fulfils it fulfils `activity_count > 5`"),
    ("status = 'x' and count(order_placed) >= 0", "R902", "count(order_placed) >= 0", "a count is 0 or more, and never missing"),
    (
        "status = 'x' or did(order_placed, coupon = 'a' and coupon = 'b')",
        "R901",
        "did(order_placed, coupon = 'a' and coupon = 'b')",
        "no event fulfils `coupon = 'a'` and `coupon = 'b'`",
    ),
    (
        "sum(order_placed.amount, coupon = 'a' and coupon is not set) > 5 or status = 'x'",
        "R901",
        "sum(order_placed.amount, coupon = 'a' and coupon is not set) > 5",
        None,
    ),
    (
        "location = 'UK' or not location = 'UK'",
        "R902",
        "location = 'UK' or not location = 'UK'",
        "everybody fulfils `location = 'UK'` or `not location = 'UK'`",
    ),
    (
        "not (location = 'UK' or location in ('UK', 'US'))",
        "R907",
        "location = 'UK'",
        "it follows from `location not in ('UK', 'US')`",
    ),
    (
        "email_consent and not (location is set and (location contains 'u' or status = 'x')) and location = 'UK'",
        "R901",
        "email_consent and not (location is set and (location contains 'u' or status = 'x')) and location = 'UK'",
        "`not (location is set and (location contains 'u' or status = 'x'))` and `location = 'UK'` exclude each other",
    ),
    (
        "did(order_placed, last => '30 days') and did(order_placed, last => '60 days')",
        "R907",
        "did(order_placed, last => '60 days')",
        "it follows from `did(order_placed, last => '30 days')`",
    ),
    ("did(order_placed, amount > 5 and amount > 3)", "R907", "amount > 3", "it follows from `amount > 5`"),
    ("at_least(2, location = 'UK', status = 'x', 1 > 2)", "R901", "1 > 2", None),
    (
        "activity_count > 1 and activity_count < 5 and activity_count > 7 and status = 'x'",
        "R901",
        "activity_count > 1 and activity_count < 5 and activity_count > 7 and status = 'x'",
        "`activity_count < 5` and `activity_count > 7` exclude each other",
    ),
]

SILENT = [
    "location != 'UK' and location is set",
    "location = 'UK' and location is set",
    "did(order_placed) and last(order_placed) before ago('90 days')",
    "did(order_placed) and sum(order_placed.amount) > 100",
    "did(order_placed) and not did(order_placed, last => '90 days')",
    "date_added in the last '30 days' and date_added after '2026-01-01'",
    "activity_count between 1 and 5",
    "email contains '@gmail.com' or email contains '@googlemail.com'",
    "true and location = 'UK'",
    "location = 'UK' or false",
    "member('vip') and not member('staff')",
    "status = 'x' and (location = 'UK' or activity_count > 5)",
    "not (location = 'UK' and location is set)",
    "count(order_placed, last => '90 days') >= 2 and count(order_placed, last => '30 days') = 0",
]


def warned(rule: str) -> list[tuple[str, str, str | None]]:
    found = check(parse_text(rule), SHOP, source=rule)[1]
    return [(one.code, rule[one.place.start : one.place.end], one.notes[0] if one.notes else None) for one in found]


@pytest.mark.parametrize(("rule", "code", "words", "reason"), SAID, ids=[case[0][:60] for case in SAID])
def test_what_is_certain_is_told_once_where_it_stands_and_why(rule, code, words, reason):
    [(told, place, why)] = warned(rule)
    assert (told, why) == (code, reason)
    assert words.startswith(place)


@pytest.mark.parametrize("rule", SILENT)
def test_what_is_sensible_is_not_commented_on(rule):
    assert codes(rule) == []


def test_the_builder_form_is_told_in_the_words_of_text():
    rule = {
        "match": "any",
        "rules": [
            {"field": "location", "operator": "equals", "value": "UK"},
            {
                "rules": [
                    {"field": "activity_count", "operator": "between", "value": [1, 5]},
                    {"event": "order_placed", "count": {"operator": "at least", "value": 2}},
                    {"field": "activity_count", "operator": "greater than", "value": 7},
                ]
            },
        ],
    }
    [warning] = check(parse_builder(rule), SHOP)[1]
    assert (warning.code, warning.place.path) == ("R901", ("rules", 1))
    assert warning.notes == ("`activity_count between 1 and 5` and `activity_count > 7` exclude each other",)
    assert warning.to_json()["notes"] == list(warning.notes)


def at(rule: str, members: dict[str, str] | None = None, as_of: datetime = AS_OF) -> list[tuple[str, str, str]]:
    syntax = parse_text(rule)
    conditions = {name: meaning(text) for name, text in (members or {}).items()}
    condition, known = check(syntax, SHOP, source=rule)
    found = certainties_at(condition, Clock(as_of, "Europe/London"), conditions, said_in(syntax), rule, known)
    return [(one.code, rule[one.place.start : one.place.end], one.message) for one in found]


def test_at_an_instant_more_is_certain_and_that_is_said():
    ended = "date_added in the last '30 days' and date_added before '2026-01-31'"
    assert codes(ended) == []
    assert at(ended) == [("R901", ended, "this rule never holds as of 2026-03-31 12:00 UTC")]
    assert at(ended, as_of=datetime(2026, 2, 1, tzinfo=UTC)) == []
    assert at(f"status = 'x' or {ended}") == [("R901", ended, "this condition never holds as of 2026-03-31 12:00 UTC")]


def test_a_time_that_is_over_is_told_and_one_to_come_is_not():
    assert at("count(order_placed, since => '2026-12-01', until => '2026-12-24') >= 3") == []
    over = "did(order_placed, last => '7 days', until => '2026-01-31')"
    [(code, place, message)] = at(f"status = 'x' or {over}")
    assert (code, message) == ("R901", "this condition never holds as of 2026-03-31 12:00 UTC")
    assert over.startswith(place)


def test_local_times_are_certain_without_a_clock():
    skipped = "date_added >= '2026-03-29 01:00' and date_added < '2026-03-29 02:00'"
    assert at(skipped) == [("R901", skipped, "this rule never holds")]


def test_what_changes_nothing_today_but_did_before_is_left_alone():
    assert at("date_added in the last '30 days' and date_added after '2026-01-01'") == []
    assert at("date_added > '2026-01-31 09:00' and date_added > '2026-01-31 08:00'")[0][0] == "R907"


def test_references_are_looked_through_for_what_is_impossible_alone():
    members = {"vip": "location = 'UK' and lifetime_value > 500", "staff": "member('vip') and email_consent"}
    rule = "member('staff') and location = 'US'"
    assert at(rule, members) == [("R901", rule, "this rule never holds")]
    assert at("member('staff') and location = 'UK'", members) == []
    assert at("member('vip') and (location = 'US' or status = 'x')", members) == [
        ("R906", "location = 'US'", "this condition never holds here")
    ]


def test_what_always_is_certain_is_not_said_again_of_an_instant():
    assert at("location = 'UK' and location = 'US'") == []
    assert at("date_added in the last '30 days' and (status = 'x' or (location = 'UK' and location = 'US'))") == []


def test_a_thousand_conditions_are_not_weighed_all_against_each_other():
    """What is found within the effort is told; the rest is not."""
    assert codes(" and ".join(f"(status = 'a{i}' or activity_count = {i})" for i in range(450))) == []
    assert codes(" or ".join(f"(status = 'a{i}' and activity_count = {i})" for i in range(450))) == []
    assert set(codes(" and ".join(f"did(order_placed, amount > {i})" for i in range(20)))) == {"R907"}
