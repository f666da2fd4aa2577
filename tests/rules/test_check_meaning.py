# ruff: noqa: DTZ001 - local times are naive
"""What rules mean as nodes, and the names they may use."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from segmentry.errors import RuleError
from segmentry.rules import nodes as n
from segmentry.rules import syntax as s
from segmentry.rules.checker import check
from segmentry.rules.diagnostics import Place
from segmentry.rules.schema import EventTable, Schema
from segmentry.rules.types import COUNT, DATE, TEXT, TIMESTAMP
from tests.rules.reading import codes, meaning, value
from tests.rules.shop_schema import SHOP

LOCATION = n.Field(TEXT, n.Scope.CONTACT, "location")
UK = n.Constant(TEXT, "UK")


def test_not_equal_is_not_equals():
    assert meaning("location = 'UK'") == n.Compare("=", LOCATION, UK)
    assert meaning("location != 'UK'") == n.Not(n.Compare("=", LOCATION, UK))
    assert meaning("not location = 'UK'") == meaning("location <> 'UK'") == meaning("location does not equal 'UK'")


def test_a_boolean_field_is_a_condition_and_false_is_not_its_opposite():
    consent = value("email_consent")
    assert meaning("email_consent") == meaning("email_consent = true") == n.Truth(consent)
    assert meaning("email_consent = false") != n.Not(n.Truth(consent))
    assert meaning("latest(form_submitted.opted_in)") == n.Truth(value("latest(form_submitted.opted_in)"))


def test_between_is_two_comparisons_and_both_ends_are_in():
    least, most = meaning("activity_count between 1 and 5").items
    assert (least.op, most.op) == (">=", "<=")
    assert codes("activity_count between 5 and 5") == []
    assert codes("date_added between '2026-01-01' and '2026-01-01'") == []
    assert codes("date_added between '2026-01-01 12:00' and '2026-01-01'") == []


def test_operators_on_lists_ask_for_elements():
    tags = value("tags")
    assert meaning("tags contains 'a'") == n.HasElements(tags, (n.Constant(TEXT, "a"),))
    assert meaning("contains_all(tags, 'a', lower(location))").need_all
    assert not meaning("contains_any(scores, 1, -2.5)").need_all


def test_operators_written_as_functions_are_the_same():
    assert meaning("ends_with(email, 'x')") == meaning("email ends with 'x'")
    assert meaning("in_last(date_added, '30 days')") == meaning("date_added in the last '30 days'")
    assert meaning("in_last(date_added, '30d')") == meaning("date_added in the last '30 days'")
    assert meaning("in_next(birthday, '7 days')") == meaning("birthday in the next '7 days'")


def test_a_text_literal_is_read_by_what_stands_beside_it():
    assert meaning("date_added after '2026-01-31'").right == n.Constant(DATE, date(2026, 1, 31))
    assert meaning("'2026-01-31' < date_added").left == n.Constant(DATE, date(2026, 1, 31))
    assert meaning("date_added after '2026-01-31 09:00'").right == n.Constant(TIMESTAMP, datetime(2026, 1, 31, 9))
    assert meaning("birthday = '2026-01-31T09:00+01:00'").right == n.Constant(TIMESTAMP, datetime(2026, 1, 31, 8, tzinfo=UTC))
    assert meaning("first(order_placed) in ('2026-01-31')").options == (n.Constant(DATE, date(2026, 1, 31)),)
    assert meaning("location = '2026-01-31'").right == n.Constant(TEXT, "2026-01-31")
    assert meaning("'UK' in (location, country)") == meaning("'UK' = location or 'UK' = country")


def test_an_event_function_is_about_rows():
    did = meaning("did(order_placed, coupon = 'X' and amount > 5, contact.location = campaign, last => '30 days')")
    assert did.events.event == "order_placed"
    assert did.events.last == n.Duration(30, n.Unit.DAY)
    first, second = did.events.where.items
    assert first.items[0].left == n.Field(TEXT, n.Scope.EVENT, "coupon")
    assert second.left == LOCATION
    assert second.right == n.Field(TEXT, n.Scope.EVENT, "campaign")
    assert meaning("did(any_event)").events == n.Events(None)


def test_event_names_are_data_and_match_exactly():
    assert meaning("did('Order Placed')").events.event == "Order Placed"
    assert meaning('did("invoice.paid")').events.event == "invoice.paid"
    assert value('distinct("invoice.paid".page)').events.event == "invoice.paid"
    assert codes("did(Form_Submitted)") == ["R900"]
    assert meaning("did('any_event')").events.event == "any_event"
    assert value("max(order_placed.AMOUNT)").property.name == "amount"


def test_without_a_table_of_named_events_an_unknown_event_is_an_error():
    orders = replace(SHOP, events=SHOP.events[1:])
    assert codes("did(order_placed)", orders) == []
    assert codes("did(order_plased)", orders) == ["R506"]
    assert codes("did(any_event)", replace(SHOP, events=())) == ["R506"]
    not_looked = Schema({}, (EventTable("events", {"page": TEXT}),))
    assert codes("did(anything, page = 'x')", not_looked) == []


def test_columns_match_without_case_where_one_fits():
    assert value("Date_Added").name == "date_added"
    assert value("plan").name == "plan"
    assert value("Plan").name == "Plan"
    assert codes("pLAN = 'x'") == ["R200"]


def test_a_hyphen_without_spaces_is_part_of_a_name_that_exists():
    assert codes("utm-source = 'x'") == ["R205"]
    assert codes("\"utm-source\" = 'x'") == []
    spaced = replace(SHOP, fields=dict(SHOP.fields) | {"a-b": COUNT, "a": COUNT, "b": COUNT})
    assert codes("a - b > 1", spaced) == []
    assert codes("a-b > 1", spaced) == ["R205"]
    assert codes("2*a-b > 1", spaced) == []


def test_sample_keeps_an_exact_share_of_the_digests():
    assert meaning("sample('50%', salt => 's')") == n.Sample("s", "800000000000000")
    assert meaning("sample('100%', salt => 's')") == n.Sample("s", None)
    assert meaning("sample('10%', salt => 's')").threshold == f"{-(-(16**15) // 10):015x}"
    assert meaning("sample('0.00000000000000000001%', salt => 's')").threshold == "000000000000001"
    assert meaning("sample('99.99999999999999999999%', salt => 's')").threshold is None


def test_at_least_counts_conditions():
    node = meaning("at_least(2, email_consent, location = 'UK', did(order_placed))")
    assert (node.count, len(node.items)) == (2, 3)


def test_days_of_the_run_are_moved_in_order():
    day = meaning("birthday <= start_of('month') + '1 month' - '1 day'").right
    assert day == n.Day(unit=n.Unit.MONTH, shifts=((1, n.Duration(1, n.Unit.MONTH)), (-1, n.Duration(1, n.Unit.DAY))))


def test_a_date_of_a_date_is_itself():
    assert value("date(birthday)") == value("birthday")
    assert value("next_anniversary(date_added)").args == (value("date(date_added)"),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("date_added between ago('7 days') and ahead('7 days')", []),
        ("date_added between ahead('7 days') and ago('7 days')", ["R404"]),
        ("date_added between ago('30 days') and ago('1 month')", []),
        ("date_added between '2026-02-01 00:00Z' and '2026-02-01 10:00'", []),
        ("date_added between '2026-02-01 10:00Z' and '2026-02-01 00:00'", []),
        ("date_added between '2026-02-05 10:00Z' and '2026-02-01 00:00'", ["R404"]),
        ("did(order_placed, since => today(), until => '2026-01-01')", []),
        ("did(order_placed, since => 5)", ["R509"]),
        ("did(order_placed, since => first(order_placed))", ["R509"]),
        ("did(order_placed, since => contry)", ["R103"]),
        ("did(order_placed, since => date(ago('1 year')))", []),
        ("balance = 1e40", ["R405"]),
        ("balance = 1e999999999999999999999999", ["R405"]),
        ("balance = 0.000000000000000000000000000000000000001", ["R405"]),
        ("lower('') = 'x'", ["R403"]),
        ("coalesce(location, '') = 'x'", ["R403"]),
        ("tags contains ''", ["R403"]),
        ("date_added = ''", ["R403"]),
        ("date_added contains '2026'", ["R301"]),
        ("location in (5, 'UK')", ["R300"]),
        ("tags is set and tags = tags", ["R301"]),
        ("count(order_placed, count(form_submitted) > 1) > 1", ["R505"]),
        ("did(order_placed, sample('1%', salt => 'a'))", ["R505"]),
        ("did(order_placed, email matches '(a')", ["R202"]),
        ("did(order_placed, coupon matches '(a')", ["R406"]),
        ("did(order_placed, contact.vip)", ["R103"]),
        ("today() + 5 > birthday", ["R509"]),
        ("today() * '5 days' > birthday", ["R305"]),
        ("count(any_event, page = 'x') > 1", []),
        ("at_least(0, true, true)", ["R409"]),
        ("at_least(99999999999999999999999, true)", ["R409"]),
        ("at_least(1.0, true)", ["R509"]),
        ("sample('10%', salt => '')", ["R509"]),
        ("sample('１０%', salt => 'x')", ["R407"]),
    ],
)
def test_what_is_said(text, expected):
    assert codes(text) == expected


def test_problems_come_in_the_order_of_their_places():
    with pytest.raises(RuleError) as refused:
        meaning("did(order_placed, cupon = 'x', last => 30) and contry = 'x'")
    starts = [problem.place.start for problem in refused.value.diagnostics]
    assert starts == sorted(starts)
    assert len(starts) == 3


def test_a_builder_form_keeps_its_path_and_needs_no_text():
    place = Place(path=("rules", 1, "field"))
    rule = s.And((s.Infix("=", s.Name(("location",)), s.Text("UK")), s.Infix("=", s.Name(("contry",), place=place), s.Text("UK"))))
    with pytest.raises(RuleError) as refused:
        check(rule, SHOP)
    (problem,) = refused.value.diagnostics
    assert problem.place == place
    assert problem.help == "did you mean `country`?"
    compared = s.Infix("=", s.Call("did", (s.Name(("order_placed",)),)), s.Boolean(False))
    with pytest.raises(RuleError, match=r"write not did\(order_placed\)"):
        check(compared, SHOP)
