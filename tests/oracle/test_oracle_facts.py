"""The oracle and the product both give what the specification's sentences say, by examples worked out by hand."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

import tests.oracle.facts_places
import tests.oracle.facts_sequences
import tests.oracle.facts_time
import tests.oracle.facts_values  # noqa: F401  (they fill FACTS)
from tests.oracle import language as lang
from tests.oracle.evaluator import Contact, Moment, answers, email_domain, half_away, like, read_number, simple_lower, to_single
from tests.oracle.facts import FACTS, Fact
from tests.oracle.printer import text_of
from tests.oracle.product import ask

NAMED = [pytest.param(one, id=f"{number}-{one.text.encode('ascii', 'replace').decode()[:50]}") for number, one in enumerate(FACTS)]


@pytest.mark.parametrize("one", NAMED)
def test_the_oracle_agrees_with_the_sentence(one: Fact):
    assert text_of(one.condition) == one.text
    got = answers({"r": one.condition}, one.data.contacts(), one.data.clock)["r"]
    assert {i for i, answer in enumerate(got, 1) if answer} == one.members, one.sentence


@pytest.mark.parametrize("one", NAMED)
def test_the_product_agrees_with_the_sentence(one: Fact):
    got = ask(one.data, {"r": one.text})["r"]
    assert {i for i, answer in enumerate(got, 1) if answer} == one.members, one.sentence


def test_a_32_bit_float_is_the_nearest_one_ties_to_even():
    assert to_single(Fraction(1, 10)) == float.fromhex("0x1.99999ap-4")
    assert to_single(2**24 + 1) == 2.0**24
    assert to_single(2**24 + 3) == 2.0**24 + 4
    # A hair above the middle of two: by way of 64 bits it would first become the middle, then the even one.
    assert to_single(2**24 + 1 + Fraction(1, 2**40)) == 2.0**24 + 2
    assert to_single(Fraction(-1, 10)) == -to_single(Fraction(1, 10))
    assert to_single(0) == 0
    assert to_single(10**39) == math.inf


def test_half_away_sees_every_bit():
    assert [half_away(x) for x in (0.5, -0.5, 0.49999999999999994, 2.5, 4503599627370497.5, 1e22)] == [
        1,
        -1,
        0,
        3,
        4503599627370498,
        10**22,
    ]


def test_lower_is_one_to_one():
    assert simple_lower("İΣẞǅÅK") == "iσßǆåk"
    assert all(len(simple_lower(chr(c))) == 1 for c in range(0x110000))


def test_number_text():
    assert read_number("1e-999") == 0
    assert [read_number(t) for t in ("1E5x", "1 e5", "", "+", "1e", "1e+")] == [None] * 6


def test_email_domain_is_what_follows_the_last_at():
    assert [email_domain(t) for t in ("a@B.c", "a@b@c", "a", "a@")] == ["B.c", "c", None, None]


def test_like_patterns_escape_everything_else():
    assert like("a.%_\\") == "(?s)a\\..*.\\\\"


def test_members_are_of_the_same_run():
    clock = Moment(0, "UTC")
    people = [Contact("1", {"x": 1}, ()), Contact("2", {"x": None}, ())]
    big = lang.Compare(">", lang.Field("x", lang.INTEGER), lang.Number("0"))
    rules = {"a": lang.Not(lang.Member("b")), "b": big}
    assert answers(rules, people, clock) == {"a": [False, True], "b": [True, False]}
