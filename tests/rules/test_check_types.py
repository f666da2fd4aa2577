"""The type of every value: what the engine computes with."""

import pytest

from segmentry.rules.nodes import Call, Constant, walk
from segmentry.rules.schema import EventTable, Schema
from segmentry.rules.types import BOOLEAN, COUNT, DATE, FLOAT32, FLOAT64, TEXT, TIMESTAMP, exact, list_of
from tests.rules.reading import codes, meaning, value

EXPECTED = {
    # literals have their digits
    "5": exact(1),
    "0": exact(1),
    "1_000": exact(4),
    "2.50": exact(3, 2),
    "0.5": exact(1, 1),
    "-12.5": exact(3, 1),
    "1e3": exact(4),
    "1.5e-3": exact(4, 4),
    "12345678901234567890123456789012345678": exact(38),
    "12345678901234567890.123456789012345678": exact(38, 18),
    "true": BOOLEAN,
    "'UK'": TEXT,
    # fields
    "location": TEXT,
    "LOCATION": TEXT,
    '"Location"': TEXT,
    "scores": list_of(FLOAT64),
    # arithmetic: exact with exact is exact
    "activity_count + 1": exact(11),
    "activity_count - balance": exact(13, 2),
    "activity_count + 1 + 1 + 1": exact(13),
    "balance * balance": exact(24, 4),
    "balance * 0.5": exact(13, 3),
    "balance % 7": exact(3, 2),
    "7 % balance": exact(3, 2),
    "-balance": exact(12, 2),
    "contact_id * contact_id * 100": exact(38),
    "ratio + contact_id": exact(38, 20),
    # a float beside anything is a float of its width, a quotient always one of 64 bits
    "activity_count / 2": FLOAT64,
    "score / 2": FLOAT64,
    "score + 1": FLOAT32,
    "score * score": FLOAT32,
    "score + lifetime_value": FLOAT64,
    "activity_count * lifetime_value": FLOAT64,
    # functions
    "lower(location)": TEXT,
    "length(tags)": exact(10),
    "abs(balance)": exact(12, 2),
    "round(balance)": exact(11),
    "floor(activity_count)": exact(10),
    "ceil(score)": FLOAT32,
    "number(location)": FLOAT64,
    "coalesce(balance, activity_count, 1.255)": exact(13, 3),
    "coalesce(score, 1)": FLOAT32,
    "coalesce(activity_count, lifetime_value)": FLOAT64,
    "coalesce(birthday, date_added)": TIMESTAMP,
    "coalesce(birthday, '2026-01-31')": DATE,
    "coalesce(email_consent, false)": BOOLEAN,
    "now()": TIMESTAMP,
    "today() - '1 month'": DATE,
    "date(date_added)": DATE,
    "weekday(birthday)": exact(2),
    "next_anniversary(date_added)": DATE,
    "distance_km(lat, lon, 51.5, -0.1)": FLOAT64,
    # events
    "count(any_event)": COUNT,
    "distinct(order_placed.coupon)": COUNT,
    "sum(order_placed.amount)": exact(38, 2),
    "sum(order_placed.quantity)": exact(38),
    "sum(order_placed.price)": exact(38, 6),
    "avg(order_placed.amount)": FLOAT64,
    "min(order_placed.delivery)": DATE,
    "max(order_placed.coupon)": TEXT,
    "first(form_submitted)": TIMESTAMP,
    "latest(order_placed.quantity)": exact(10),
    "earliest(form_submitted.opted_in)": BOOLEAN,
    "max(any_event.duration)": FLOAT64,
    "max(any_event.coupon)": TEXT,
}


@pytest.mark.parametrize("text", EXPECTED)
def test_every_value_has_its_type(text):
    assert value(text).type == EXPECTED[text]


def test_a_run_of_one_operator_is_one_node_folded_from_the_left():
    chain = value("activity_count + 1 + 2 - 3 - 4 * 5 * 6")
    assert isinstance(chain, Call)
    assert (chain.function, len(chain.args)) == ("-", 3)
    plus, three, product = chain.args
    assert (plus.function, len(plus.args)) == ("+", 3)
    assert (product.function, len(product.args)) == ("*", 3)
    assert isinstance(three, Constant)


def test_a_literal_keeps_every_digit():
    digits = "-12345678901234567890.123456789012345678"
    assert str(value(digits).value) == digits
    assert str(value("-0").value) == "0"


def test_one_property_in_two_tables_is_wide_enough_for_both():
    def two(left, right, scale=6):
        return Schema({}, (EventTable("one", {"x": left}, event="a", scale=scale), EventTable("two", {"x": right}, event="a", scale=2)))

    assert value("max(a.x)", two(exact(5, 2), exact(10))).type == exact(12, 2)
    assert value("max(a.x)", two(exact(5, 2), FLOAT32)).type == FLOAT64
    assert value("sum(a.x)", two(FLOAT64, FLOAT64, scale=9)).type == exact(38, 9)
    assert codes("max(a.x) > 1", two(TEXT, exact(3))) == ["R308"]
    assert codes("max(a.x) > '2026-01-01'", two(DATE, TIMESTAMP)) == ["R308"]


def test_a_table_of_named_events_that_never_carried_an_event_lends_it_no_types():
    named = EventTable("all", {"x": TEXT}, names=frozenset({"other"}))
    schema = Schema({}, (named, EventTable("own", {"x": exact(3)}, event="a")))
    assert value("max(a.x)", schema).type == exact(3)
    assert codes("did(b)", schema) == ["R900"]
    assert codes("did(other) and did(a)", schema) == []


def test_only_dates_of_fields_are_converted_to_their_first_instants():
    node = value("coalesce(birthday, date_added, '2026-01-31')")
    assert [type(arg).__name__ for arg in node.args] == ["Call", "Field", "Call"]
    assert {n.function for n in walk(node) if isinstance(n, Call)} == {"coalesce", "instant"}


def test_products_of_more_than_38_places_are_refused():
    assert codes("ratio * ratio > 1") == ["R306"]
    assert codes("ratio * balance > 1") == []


def test_too_many_changes_of_operator_are_refused_and_not_a_crash():
    assert codes("activity_count" + " * 2 / 3" * 50 + " > 1") == []
    assert codes("activity_count" + " * 2 / 3" * 60 + " > 1") == ["R309"]


@pytest.mark.parametrize("text", ["x = 1", "meaning"])
def test_nothing_is_left_out_of_an_error(text):
    assert codes(f"{text} and location") == ["R103", "R303"]


def test_equal_conditions_are_equal_nodes_wherever_they_stand():
    both = meaning("location = 'UK' or (status = 'lead' and location = 'UK')")
    assert both.items[0] == both.items[1].items[1]
    assert hash(both.items[0]) == hash(both.items[1].items[1])
