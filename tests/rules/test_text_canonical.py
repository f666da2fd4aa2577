"""The canonical text says what was said, and is the same however it was said."""

import pytest

from segmentry.rules.parse import parse_text
from segmentry.rules.printer import LINE, to_text
from tests.rules import trees


def read_again(draws, count):
    for _ in range(count):
        tree = trees.condition(draws, draws.randint(0, 5))
        text = to_text(tree)
        assert parse_text(text) == tree, text
        assert to_text(parse_text(text)) == text


def test_reading_the_canonical_text_gives_the_same_tree(draws):
    read_again(draws, 500)


@pytest.mark.full
def test_reading_the_canonical_text_gives_the_same_tree_for_many(draws):
    read_again(draws, 5_000)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("((location)) EQUALS ('UK')", "location = 'UK'"),
        ("location <> 'UK'", "location != 'UK'"),
        ("location does not equal 'UK'", "location != 'UK'"),
        ("not location = 'UK'", "not location = 'UK'"),
        ("tags @> 'a'", "tags contains 'a'"),
        ("not tags @> 'a'", "tags does not contain 'a'"),
        ("email ^@ 'a' and email ~ 'x$'", "email starts with 'a' and email matches 'x$'"),
        ("ends_with(email, '.uk')", "email ends with '.uk'"),
        ("not IN_LAST(added, '30 days')", "added not in the last '30 days'"),
        ("in_next(birthday, '7 days')", "birthday in the next '7 days'"),
        ("phone is not null or phone is null", "phone is set or phone is not set"),
        ("not (a in (1,2))", "a not in (1, 2)"),
        ("Did(Order_Placed , LAST=>'30 days')", "did(Order_Placed, last => '30 days')"),
        ("count(a, last => '1 day', x = 1) > 1_000", "count(a, x = 1, last => '1 day') > 1000"),
        ('"location" = \'UK\' and "first name" is set', "location = 'UK' and \"first name\" is set"),
        ("(a or b) and (c and (d or e)) -- why", "(a or b) and c and (d or e)"),
        ("a - (b - c) - d", "a - (b - c) - d"),
        ("(a * b) + c * (d + e) = -(-x)", "a * b + c * (d + e) = - -x"),
        ("not (not a)", "not not a"),
        ("TRUE", "true"),
    ],
)
def test_canonical_text(written, canonical):
    assert to_text(parse_text(written)) == canonical
    assert to_text(parse_text(canonical)) == canonical


def test_a_long_rule_is_broken_at_its_outermost_connective():
    conditions = [f"field_{number} = {number}" for number in range(10)]
    text = to_text(parse_text(" and ".join(conditions)))
    assert len(" and ".join(conditions)) > LINE
    assert text.split("\n") == [conditions[0], *(f"and {condition}" for condition in conditions[1:])]
    assert to_text(parse_text(" or ".join(conditions))).count("\nor ") == 9
