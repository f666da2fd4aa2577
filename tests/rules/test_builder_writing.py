"""From text to builder form and back, nothing of a rule's meaning is lost; and the form keeps to its JSON Schema."""

import json
import math
from dataclasses import replace
from io import StringIO

import pytest
from ruamel.yaml import YAML

from segmentry.errors import RuleError
from segmentry.rules.builder import builder_schema, parse_builder, to_builder
from segmentry.rules.builder_words import MEASURES
from segmentry.rules.parse import parse_text
from segmentry.rules.syntax import And, Call, Name, Syntax, Text
from tests.rules import trees
from tests.rules.json_schema import fits

FIELD = {"field": "a", "operator": "equals", "value": 1}


def rebuilt(node):
    """The tree with what functions of events and lists say in one of its ways: filters one by one, keywords in order, events as names."""
    changes = {}
    for key in node.__dataclass_fields__:
        held = getattr(node, key)
        if isinstance(held, Syntax):
            changes[key] = rebuilt(held)
        elif isinstance(held, tuple) and held and isinstance(held[0], Syntax):
            changes[key] = tuple(rebuilt(part) for part in held)
    node = replace(node, **changes)
    if isinstance(node, Call) and node.name == "sequence":
        return replace(node, named=tuple(sorted(node.named, key=lambda named: named.name)))
    if not isinstance(node, Call) or node.name not in {*MEASURES, *trees.LISTS} or not node.args:
        return node
    event, *filters = node.args
    if (
        node.name in MEASURES
        and isinstance(event, Text)
        and event.value
        and event.value.lower() != "any_event"
        and not event.value.endswith("*")
    ):
        event = Name((event.value,))
    spread = [part for item in filters for part in (item.items if isinstance(item, And) else (item,))]
    return replace(node, args=(event, *spread), named=tuple(sorted(node.named, key=lambda named: named.name)))


def there_and_back(draws, count):
    yaml = YAML(typ="safe")
    for number in range(count):
        tree = trees.condition(draws, draws.randint(0, 5))
        form = to_builder(tree)
        assert "rules" in form
        assert fits(form, builder_schema()), form
        assert rebuilt(parse_builder(json.loads(json.dumps(form)))) == rebuilt(tree), form
        if number % 20 == 0:
            written = StringIO()
            yaml.dump(form, written)
            assert yaml.load(written.getvalue()) == form


def test_a_text_goes_to_the_form_and_back(draws):
    there_and_back(draws, 400)


@pytest.mark.full
def test_many_texts_go_to_the_form_and_back(draws):
    there_and_back(draws, 4_000)


JUNK = (
    None,
    True,
    0,
    -1.5,
    "",
    "all",
    "a = = 1",
    "is set",
    [],
    {},
    [[]],
    {"field": "a"},
    {"rule": "b"},
    {"rules": [None]},
    math.inf,
    "\0",
    b"x",
)


def mangled(form, draws):
    """The form with a key or a value somewhere in it made another."""
    if draws.random() < 0.15 or not isinstance(form, (dict, list)) or not form:
        return draws.choice(JUNK)
    at = draws.randrange(len(form))
    if isinstance(form, list):
        return [*form[:at], mangled(form[at], draws), *form[at + draws.randrange(2) :]]
    key = list(form)[at]
    if draws.random() < 0.2:
        return {
            (draws.choice(["field", "event", "rules", "value", "count", "measure", 7, None]) if k == key else k): v for k, v in form.items()
        }
    return form | {key: mangled(form[key], draws)}


def test_mangled_forms_end_in_a_tree_or_in_problems_with_paths(draws):
    for _ in range(500):
        form = mangled(to_builder(trees.condition(draws, draws.randint(0, 4))), draws)
        try:
            tree = parse_builder(form)
        except RuleError as error:
            problems = error.diagnostics
        else:
            assert rebuilt(parse_builder(to_builder(tree))) == rebuilt(tree), form
            continue
        assert problems, form
        assert all(problem.code != "R119" and problem.place is not None and problem.render() for problem in problems), form


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("location = 'UK'", [{"field": "location", "operator": "equals", "value": "UK"}]),
        ("added > '2026-01-31'", [{"field": "added", "operator": "after", "value": "2026-01-31"}]),
        ("added < '2026-01-31 09:00'", [{"field": "added", "operator": "before", "value": "2026-01-31 09:00"}]),
        ("amount > -5 and rate <= 2.5",
         [{"field": "amount", "operator": "greater than", "value": -5}, {"field": "rate", "operator": "at most", "value": 2.5}]),
        ("rate > 2.50", [{"rule": "rate > 2.50"}]),
        ("a not between 1 and b", [{"field": "a", "operator": "not between", "value": [1, {"field": "b"}]}]),
        ("not a = 1", None),
        ("not did(x) and member('vip') and not member('staff')",
         [{"event": "x", "did": False}, {"segment": "vip"}, {"segment": "staff", "member": False}]),
        ("member('vip', for => '90 days') and not member('vip', for => '1y') and not exited('vip', last => '7d') and entered('vip')",
         [{"segment": "vip", "for": "90 days"}, {"segment": "vip", "member": False, "for": "1y"},
          {"segment": "vip", "exited": False, "last": "7d"}, {"segment": "vip", "entered": True}]),
        ("entered('vip', since => ago('7 days')) and member('vip', since => '7 days')",
         [{"rule": "entered('vip', since => ago('7 days'))"}, {"rule": "member('vip', since => '7 days')"}]),
        ("count(x, a = 1 and b = 2, last => '30 days') >= 2",
         [{"event": "x", "where": {"match": "all", "rules": [
             {"field": "a", "operator": "equals", "value": 1}, {"field": "b", "operator": "equals", "value": 2}]},
           "last": "30 days", "count": {"operator": "at least", "value": 2}}]),
        ('avg("order placed".amount) is set', [{"event": "order placed", "measure": "avg", "property": "amount", "operator": "is set"}]),
        ("a + 1 > 2 and lower(b) = 'x'", [{"rule": "a + 1 > 2"}, {"rule": "lower(b) = 'x'"}]),
        ("added > ago('30 days')", [{"rule": "added > ago('30 days')"}]),
        ("paid", [{"rule": "paid"}]),
        ("true", [{"rule": "true"}]),
        ("top('5%', by => sum(x.a, b = 1), among => not member('staff'), per => c)",
         [{"top": "5%", "by": {"event": "x", "measure": "sum", "property": "a",
                               "where": {"match": "all", "rules": [{"field": "b", "operator": "equals", "value": 1}]}},
           "among": {"segment": "staff", "member": False}, "per": "c"}]),
        ("not bottom(3, by => count(x))", [{"match": "none", "rules": [{"bottom": 3, "by": {"event": "x", "measure": "count"}}]}]),
        ("ntile(5, by => a) in (4, 5)", [{"ntile": 5, "by": "a", "operator": "in", "value": [4, 5]}]),
        ("top(3, by => a + b)", [{"rule": "top(3, by => a + b)"}]),
    ],
)  # fmt: skip
def test_the_form_of_a_text(text, rules):
    form = to_builder(parse_text(text))
    if rules is None:
        rules = [{"match": "none", "rules": [{"field": "a", "operator": "equals", "value": 1}]}]
    # a group that is the whole rule stands by itself
    assert form == (rules[0] if len(rules) == 1 and "rules" in rules[0] else {"match": "all", "rules": rules})
    assert rebuilt(parse_builder(form)) == rebuilt(parse_text(text))
    assert fits(form, builder_schema())


def test_groups_of_a_text():
    form = to_builder(parse_text("(a = 1 or not (b = 2 or c = 3)) and d is set"))
    assert form["match"] == "all"
    assert [entry.get("match") for entry in form["rules"]] == ["any", None]
    assert form["rules"][0]["rules"][1]["match"] == "none"


WRONG = [
    {},
    {"rules": []},
    {"match": "some", "rules": [FIELD]},
    {"rules": [{"field": "a"}]},
    {"rules": [FIELD | {"last": "30 days"}]},
    {"rules": [FIELD | {"operator": "equal"}]},
    {"rules": [FIELD | {"value": None}]},
    {"rules": [FIELD | {"value": {"feild": "b"}}]},
    {"rules": [{"field": "a", "operator": "is set", "value": 1}]},
    {"rules": [{"field": "a", "operator": "between", "value": [1]}]},
    {"rules": [{"field": "a", "operator": "in", "value": []}]},
    {"rules": [{"field": "a", "segment": "b", "operator": "is set"}]},
    {"rules": [{"segment": "a", "member": "no"}]},
    {"rules": [{"event": "e", "measure": "summ"}]},
    {"rules": [{"event": "e", "measure": "sum", "operator": "equals", "value": 1}]},
    {"rules": [{"event": "e", "measure": "count"}]},
    {"rules": [{"event": "e", "count": 5}]},
    {"rules": [{"event": "e", "count": {"operator": "equals"}}]},
    {"rules": [{"event": "e", "count": {"operator": "equals", "value": 1}, "did": True}]},
    {"rules": [{"event": "e", "operator": "equals", "value": 1}]},
    {"rules": [{"top": 5}]},
    {"rules": [{"top": [5], "by": "a"}]},
    {"rules": [{"top": 5, "by": {"event": "e"}}]},
    {"rules": [{"bottom": 5, "by": {"event": "e", "measure": "sum"}}]},
    {"rules": [{"top": 5, "by": {"event": "e", "measure": "count", "operator": "equals"}}]},
    {"rules": [{"top": 5, "by": "a", "per": {"field": "b"}}]},
    {"rules": [{"top": 5, "by": "a", "among": "b = 1"}]},
    {"rules": [{"ntile": 5, "by": "a"}]},
    {"rules": [{"rule": ""}]},
    {"rules": ["a = 1"]},
]


@pytest.mark.parametrize("form", WRONG)
def test_schema_and_reader_refuse_the_same(form):
    assert not fits(form, builder_schema())
    with pytest.raises(RuleError):
        parse_builder(form)


def test_the_schema_is_json_and_describes_every_key():
    schema = json.loads(json.dumps(builder_schema()))
    for name in ("group", "field", "event", "segment", "rule"):
        assert all(value["description"] for value in schema["$defs"][name]["properties"].values()), name
