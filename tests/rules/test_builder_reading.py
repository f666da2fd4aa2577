"""What the builder form says, told by the canonical text; and what is said about a form that is wrong."""

import math

import pytest

from segmentry.errors import RuleError
from segmentry.rules.builder import parse_builder
from segmentry.rules.builder_words import MEASURES, OPERATOR_WORDS
from segmentry.rules.operators import Shape
from segmentry.rules.parse import parse_text
from segmentry.rules.printer import to_text

LOCATION = {"field": "location", "operator": "equals", "value": "UK"}
PAID = {"field": "paid", "operator": "equals", "value": True}


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"rules": [LOCATION]}, "location = 'UK'"),
        ({"match": "all", "rules": [LOCATION, PAID]}, "location = 'UK' and paid = true"),
        ({"match": "any", "rules": [LOCATION, PAID]}, "location = 'UK' or paid = true"),
        ({"match": "none", "rules": [LOCATION, PAID]}, "not (location = 'UK' or paid = true)"),
        ({"match": "none", "rules": [PAID]}, "not paid = true"),
        ({"rules": [{"match": "any", "rules": [LOCATION, PAID]}, {"rules": [PAID, {"rules": [LOCATION]}]}]},
         "(location = 'UK' or paid = true) and paid = true and location = 'UK'"),
        ({"field": "a", "operator": "Is  Set"}, "a is set"),
        ({"field": "a", "operator": "is not set"}, "a is not set"),
        ({"field": "a", "operator": "between", "value": [1, "x"]}, "a between 1 and 'x'"),
        ({"field": "a", "operator": "not in", "value": ["NO", -1, 2.5, False]}, "a not in ('NO', -1, 2.5, false)"),
        ({"field": "a", "operator": "in the last", "value": "30 days"}, "a in the last '30 days'"),
        ({"field": "a", "operator": "during", "value": "last month"}, "a in last month"),
        ({"field": "a", "operator": "not during", "value": "today"}, "a is not today"),
        ({"field": "a", "operator": "during", "value": "TODAY"}, "a during 'TODAY'"),
        ({"event": "e", "during": "this week", "did": False}, "not did(e, during => 'this week')"),
        ({"field": "a", "operator": "after", "value": "2026-01-31"}, "a > '2026-01-31'"),
        ({"field": "a", "operator": "at most", "value": {"field": "b"}}, "a <= b"),
        ({"field": "order total", "operator": "equals", "value": 10**20}, f'"order total" = {10**20}'),
        ({"field": "order.total", "operator": "equals", "value": 1e-07}, '"order.total" = 1e-07'),
        ({"field": "contact.country", "operator": "equals", "value": {"field": "contact.a.b"}}, 'contact.country = contact."a.b"'),
        ({"list": "tags", "has": "any", "where": {"field": "element", "operator": "equals", "value": "a"}}, "any(tags, element = 'a')"),
        ({"list": "tags", "has": "none", "where": {"rules": [{"field": "element", "operator": "is set"}, LOCATION]}},
         "none(tags, element is set, location = 'UK')"),
        ({"list": "my tags", "count": {"operator": "at least", "value": 2}, "where": {"rule": "length(element) > 3"}},
         'how_many("my tags", length(element) > 3) >= 2'),
        ({"field": ["a", "b c"], "operator": "equals", "value": {"field": ["contact", "d", "e"]}}, 'a."b c" = contact.d.e'),
        ({"event": "e", "measure": "sum", "property": ["a", "b"], "operator": "at least", "value": 5}, "sum(e.a.b) >= 5"),
        ({"list": ["a", "b"], "has": "all", "where": {"field": ["element", "c"], "operator": "is set"}}, "all(a.b, element.c is set)"),
        ({"segment": "vip"}, "member('vip')"),
        ({"segment": "vip", "member": False}, "not member('vip')"),
        ({"segment": "vip", "member": True, "for": "90 days"}, "member('vip', for => '90 days')"),
        ({"segment": "vip", "member": False, "for": "90d"}, "not member('vip', for => '90d')"),
        ({"segment": "vip", "entered": True}, "entered('vip')"),
        ({"segment": "vip", "exited": False, "last": "1 year"}, "not exited('vip', last => '1 year')"),
        ({"segment": "vip", "entered": True, "since": "2026-01-01", "until": "2026-02-01"},
         "entered('vip', since => '2026-01-01', until => '2026-02-01')"),
        ({"rule": "lower(email) ~ 'x$'"}, "lower(email) matches 'x$'"),
        ({"rules": [{"rule": "a and b"}, {"rule": "c or d"}]}, "a and b and (c or d)"),
        ({"event": "form_submitted"}, "did(form_submitted)"),
        ({"event": "Order Placed", "did": True, "last": "30 days"}, "did(\"Order Placed\", last => '30 days')"),
        ({"event": "invoice.paid", "did": False}, 'not did("invoice.paid")'),
        ({"event": "any_event", "count": {"operator": "less than", "value": 3}}, "count(any_event) < 3"),
        ({"event": "e", "where": {"rules": [LOCATION, PAID]}, "count": {"operator": "between", "value": [1, 2]}},
         "count(e, location = 'UK', paid = true) between 1 and 2"),
        ({"event": "e", "where": {"rule": "a > 1"}, "since": "2026-01-01", "until": "2026-02-01"},
         "did(e, a > 1, since => '2026-01-01', until => '2026-02-01')"),
        ({"event": "e", "where": {"match": "any", "rules": [LOCATION, PAID]}}, "did(e, location = 'UK' or paid = true)"),
        ({"event": "order_placed", "measure": "sum", "property": "amount", "operator": "at least", "value": 500, "last": "90 days"},
         "sum(order_placed.amount, last => '90 days') >= 500"),
        ({"event": "e", "measure": "earliest", "property": "a b", "operator": "is not set"}, 'earliest(e."a b") is not set'),
        ({"event": "e", "measure": "first", "operator": "before", "value": "2026-01-01"}, "first(e) < '2026-01-01'"),
        ({"event": "e", "measure": "count", "operator": "equals", "value": 0}, "count(e) = 0"),
        ({"event": "e", "measure": "did"}, "did(e)"),
        ({"top": 1000, "by": "order total"}, 'top(1000, by => "order total")'),
        ({"bottom": "5%", "by": {"event": "e", "measure": "sum", "property": "p", "last": "1 year"}, "among": LOCATION, "per": "b"},
         "bottom('5%', by => sum(e.p, last => '1 year'), among => location = 'UK', per => b)"),
        ({"ntile": 5, "by": {"event": "e", "measure": "count"}, "among": {"match": "any", "rules": [LOCATION, PAID]},
          "operator": "at least", "value": 4},
         "ntile(5, by => count(e), among => location = 'UK' or paid = true) >= 4"),
        ({"event": "e", "measure": "active_periods", "period": "week", "of": 4, "at_least": 1, "operator": "at least", "value": 3},
         "active_periods(e, period => 'week', of => 4, at_least => 1) >= 3"),
    ],
)  # fmt: skip
def test_what_a_form_says(form, text):
    assert to_text(parse_builder(form)) == text
    assert parse_builder(form) == parse_text(text)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_is_the_function_of_its_name(measure):
    form = {"event": "e", "measure": measure}
    if MEASURES[measure].property:
        form["property"] = "p"
    compared = {} if measure == "did" else {"operator": "is set"}
    inside = "e.p" if MEASURES[measure].property else "e"
    assert to_text(parse_builder(form | compared)) == f"{measure}({inside})" + (" is set" if compared else "")


@pytest.mark.parametrize("words", OPERATOR_WORDS)
def test_every_operator_is_the_one_of_its_words(words):
    value = {Shape.INFIX: "x", Shape.BETWEEN: [1, 2], Shape.LIST: ["x"], Shape.POSTFIX: None}[OPERATOR_WORDS[words].operator.shape]
    right = {Shape.INFIX: "'x'", Shape.BETWEEN: "1 and 2", Shape.LIST: "('x')", Shape.POSTFIX: ""}[OPERATOR_WORDS[words].operator.shape]
    form = {"field": "a", "operator": words} | ({} if value is None else {"value": value})
    assert parse_builder(form) == parse_text(f"a {words} {right}")


def problems(form):
    with pytest.raises(RuleError) as raised:
        parse_builder(form)
    return [(problem.code, problem.place.path) for problem in raised.value.diagnostics]


FIELD = {"field": "a", "operator": "equals", "value": 1}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("a = 1", [("R120", ())]),
        (None, [("R120", ())]),
        ({}, [("R122", ())]),
        ({"feld": "a"}, [("R122", ())]),
        ({"match": "all"}, [("R122", ())]),
        ({"rules": []}, [("R126", ("rules",))]),
        ({"rules": "a = 1"}, [("R120", ("rules",))]),
        ({"match": "some", "rules": [FIELD]}, [("R125", ("match",))]),
        ({"match": True, "rules": [{}]}, [("R125", ("match",)), ("R122", ("rules", 0))]),
        ({"field": "a", "segment": "b"}, [("R123", ())]),
        (FIELD | {"last": "30 days"}, [("R121", ("last",))]),
        (FIELD | {7: 1}, [("R121", (7,))]),
        ({"field": "a"}, [("R122", ())]),
        ({"field": "a", "operator": "equals"}, [("R122", ())]),
        ({"field": "a", "operator": "equal", "value": 1}, [("R124", ("operator",))]),
        ({"field": "a", "operator": "in this month"}, [("R124", ("operator",))]),
        ({"field": ["a"], "operator": "is set"}, [("R125", ("field",))]),
        ({"field": ["a", 5, ""], "operator": "is set"}, [("R125", ("field", 1)), ("R125", ("field", 2))]),
        ({"list": "a", "has": "any"}, [("R122", ())]),
        ({"list": "a", "where": FIELD}, [("R122", ())]),
        ({"list": "a", "where": FIELD, "has": "any", "count": {"operator": "is set"}}, [("R123", ())]),
        ({"list": "a", "where": FIELD, "has": "some"}, [("R125", ("has",))]),
        ({"list": "", "where": 5, "has": "all"}, [("R125", ("list",)), ("R120", ("where",))]),
        ({"field": "a", "operator": [1], "value": 1}, [("R124", ("operator",))]),
        ({"field": "a", "operator": "is set", "value": 1}, [("R123", ("value",))]),
        ({"field": "a", "operator": "between", "value": [1, 2, 3]}, [("R125", ("value",))]),
        ({"field": "a", "operator": "in", "value": "UK"}, [("R125", ("value",))]),
        ({"field": "a", "operator": "in", "value": []}, [("R113", ("value",))]),
        ({"field": "a", "operator": "in", "value": [1, None, [2]]}, [("R125", ("value", 1)), ("R125", ("value", 2))]),
        (FIELD | {"value": None}, [("R125", ("value",))]),
        (FIELD | {"value": [1]}, [("R125", ("value",))]),
        (FIELD | {"value": math.nan}, [("R125", ("value",))]),
        (FIELD | {"value": -math.inf}, [("R125", ("value",))]),
        (FIELD | {"value": 10**5000}, [("R125", ("value",))]),
        (FIELD | {"value": "a\x00"}, [("R102", ("value",))]),
        (FIELD | {"value": "\ud800"}, [("R102", ("value",))]),
        (FIELD | {"value": {"feild": "b"}}, [("R125", ("value",))]),
        (FIELD | {"value": {"field": 3}}, [("R125", ("value", "field"))]),
        (FIELD | {"field": ""}, [("R125", ("field",))]),
        (FIELD | {"field": 3, "operator": "x"}, [("R125", ("field",)), ("R124", ("operator",))]),
        ({"segment": 3}, [("R125", ("segment",))]),
        ({"segment": "a", "member": "no"}, [("R125", ("member",))]),
        ({"segment": "a", "member": True, "entered": True}, [("R123", ("entered",))]),
        ({"segment": "a", "last": "7 days", "until": None}, [("R123", ("last",)), ("R123", ("until",))]),
        ({"segment": "a", "exited": True, "for": "7 days", "since": None}, [("R123", ("for",)), ("R125", ("since",))]),
        ({"event": "e", "did": 1}, [("R125", ("did",))]),
        ({"event": "e", "did": True, "count": {"operator": "equals", "value": 1}}, [("R123", ("count",))]),
        ({"event": "e", "operator": "equals", "value": 1}, [("R123", ("operator",))]),
        ({"event": "e", "measure": "summ"}, [("R127", ("measure",))]),
        ({"event": "e", "measure": "sum", "operator": "equals", "value": 1}, [("R122", ())]),
        ({"event": "e", "measure": "first", "property": "p", "operator": "is set"}, [("R123", ("property",))]),
        ({"event": "e", "measure": "count"}, [("R122", ())]),
        ({"event": "e", "count": 5}, [("R120", ("count",))]),
        ({"event": "e", "count": {"operator": "equals", "value": 1}, "value": 1}, [("R123", ("value",))]),
        ({"event": "e", "count": {"op": "equals", "value": 1}}, [("R121", ("count", "op"))]),
        ({"event": "e", "count": {"operator": "equals"}}, [("R122", ("count",))]),
        ({"event": "e", "period": "week"}, [("R123", ("period",))]),
        ({"event": "e", "last": ["30 days"]}, [("R125", ("last",))]),
        ({"event": "e", "where": {"rules": [{"field": "a"}]}}, [("R122", ("where", "rules", 0))]),
        ({"rule": ""}, [("R125", ("rule",))]),
        ({"rules": [FIELD, {"rule": "a = = 1 and b == 2"}]}, [("R105", ("rules", 1, "rule")), ("R107", ("rules", 1, "rule"))]),
        ({"rules": [{"field": "a"}, {"rules": [{"event": 5}, {"match": "all"}]}, 7]},
         [("R122", ("rules", 0)), ("R125", ("rules", 1, "rules", 0, "event")), ("R122", ("rules", 1, "rules", 1)), ("R120", ("rules", 2))]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_form_and_where(form, expected):
    assert problems(form) == expected


def test_a_wrong_word_is_told_with_the_nearest_right_one():
    def help_for(form):
        with pytest.raises(RuleError) as raised:
            parse_builder(form)
        return raised.value.diagnostics[0].help

    assert help_for({"feild": "a"}) == "did you mean `field`?"
    assert help_for({"field": "a", "operatr": "equals"}) == "did you mean `operator`?"
    assert help_for({"field": "a", "operator": "start with", "value": "x"}) == "did you mean `starts with`?"
    assert help_for({"field": "a", "operator": ">=", "value": 1}) == "write `at least`"
    assert help_for({"event": "e", "measure": "average"}).startswith(("did you mean", "there are"))
    assert help_for({"event": "e", "wher": {}}) == "did you mean `where`?"


def test_places_are_paths_with_offsets_inside_a_text():
    tree = parse_builder({"rules": [FIELD, {"rule": "b = 2 and not c"}]}, ("groups", 1))
    field, compared, negated = tree.items
    assert field.left.place.path == ("groups", 1, "rules", 0, "field")
    assert field.right.place.path == ("groups", 1, "rules", 0, "value")
    assert compared.place.path == negated.item.place.path == ("groups", 1, "rules", 1, "rule")
    assert (compared.right.place.start, compared.right.place.end) == (4, 5)


def nested(depth, innermost):
    return innermost if not depth else {"match": "any" if depth % 2 else "all", "rules": [FIELD, nested(depth - 1, innermost)]}


def test_a_form_has_the_limits_of_its_text():
    assert to_text(parse_builder(nested(201, FIELD))).count("(") == 100
    assert problems(nested(203, FIELD)) == [("R703", ())]
    assert {code for code, _ in problems(nested(500, FIELD))} == {"R703"}
    assert problems({"rules": [FIELD] * 1_001}) == [("R702", ())]
    assert len(parse_builder({"rules": [FIELD] * 1_000}).items) == 1_000
    assert problems({"field": "a", "operator": "in", "value": list(range(5_000))}) == [("R701", ())]
    assert problems(FIELD | {"value": "x" * 70_000}) == [("R700", ())]


def test_loops_and_bombs_of_aliases_are_refused():
    loop = {"rules": []}
    loop["rules"].append(loop)
    assert [code for code, _ in problems(loop)] == ["R703"]
    bomb = FIELD
    for _ in range(90):
        bomb = {"match": "any", "rules": [bomb, bomb]}
    assert [code for code, _ in problems(bomb)] == ["R702"]
    words = ["x"]
    for _ in range(60):
        words = [words, words]
    assert [code for code, _ in problems({"field": "a", "operator": words, "value": words})] == ["R124"]
