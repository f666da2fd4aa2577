"""Who is new had no time to do what a rule says they did not do: told where a rule plainly forgets that, and nowhere else."""

import pytest

from segmentry.rules.checker import check
from segmentry.rules.parse import parse_text
from segmentry.rules.schema import Schema
from segmentry.rules.types import DATE, TIMESTAMP
from tests.rules.shop_schema import CONTACTS, NAMED_EVENTS, ORDERS, SHOP


def told(rule: str, schema: Schema = SHOP) -> list[str]:
    return [warning.help or "" for warning in check(parse_text(rule), schema, source=rule)[1] if warning.code == "R920"]


@pytest.mark.parametrize(
    "rule",
    [
        "not did(order_placed, last => '30 days')",
        "not did(any_event, last => '30 days')",
        "status = 'lead' and not did(any_event, last => '30 days')",
        "not did(order_placed, last => '30 days') and not did(form_submitted, last => '90 days')",
    ],
)
def test_a_rule_that_asks_for_absence_alone_is_told_of_who_is_new(rule: str) -> None:
    assert told(rule) == ["if they are not meant, add: and date_added before ago('30 days')"]


@pytest.mark.parametrize(
    "rule",
    [
        "not did(any_event, last => '30 days') and date_added before ago('30 days')",
        "not did(any_event, last => '30 days') and date_added in the last '7 days'",
        "not did(any_event, last => '30 days') and last_seen before ago('30 days') and count(order_placed) > 1",
        "not did(order_placed, last => '30 days') and did(order_placed)",
        "not did(any_event, last => '30 days') and member('vip')",
        "status = 'customer' and not did(order_placed, last => '90 days')",
        "not did(order_placed)",
        "not did(order_placed, since => '2026-01-01')",
        "did(order_placed, last => '30 days')",
        "not did(any_event, last => '30 days') or status = 'lead'",
    ],
)
def test_a_rule_that_knows_better_is_told_nothing(rule: str) -> None:
    assert told(rule) == []


def test_only_one_field_that_plainly_says_since_when_is_named() -> None:
    rule = "not did(order_placed, last => '30 days')"
    without = {name: of for name, of in CONTACTS.items() if name != "date_added"}
    events = (NAMED_EVENTS, ORDERS)
    assert told(rule, Schema(fields=without, events=events)) == []
    assert told(rule, Schema(fields={**without, "Signup Date": DATE}, events=events)) == []
    assert told(rule, Schema(fields={**without, "Created_At": DATE}, events=events)) == [
        "if they are not meant, add: and Created_At before ago('30 days')"
    ]
    assert told(rule, Schema(fields={**CONTACTS, "created_at": TIMESTAMP}, events=events)) == []
