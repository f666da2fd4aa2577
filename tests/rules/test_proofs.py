"""What is proven without data, and what must not be: each pair of the second table has a contact that is the reason."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
import pytest
import re2

import segmentry
from segmentry.rules import nodes as n
from segmentry.rules.letters import ALIKE_EVERYWHERE, simple_lower
from segmentry.rules.proof_sets import EVERY, Values, both, either, spans
from segmentry.rules.proof_texts import TextFact, is_like, passes
from segmentry.rules.proof_values import UNDERSTOOD, nearest_float
from segmentry.rules.proofs import Prover
from tests.oracle.evaluator import like, to_single
from tests.rules.reading import grounded, meaning

INSIDE = [
    # missing values: a comparison holds for none, `not` for all of them
    ("location = 'UK'", "location is set"),
    ("location is not set", "location != 'UK'"),
    ("location != 'UK' and location is set", "not location in ('UK')"),
    ("not (activity_count > 5) and activity_count is set", "activity_count <= 5"),
    ("activity_count > 5", "not activity_count <= 5"),
    ("not activity_count >= 3", "not activity_count > 5"),
    # numbers: whole where the column is, exact, or as wide as the column
    ("activity_count > 5", "activity_count >= 6"),
    ("activity_count > 5 and activity_count < 7", "activity_count = 6"),
    ("balance > 1.25", "balance >= 1.26"),
    ("lifetime_value > 3", "lifetime_value >= 3"),
    ("lifetime_value = 0.1", "lifetime_value = 0.10000000000000000001"),
    ("score = 0.1", "score = 0.100000001"),
    ("activity_count in (1, 2, 2.5)", "activity_count between 1 and 2"),
    ("abs(activity_count) < 5", "abs(activity_count) >= 0"),
    # text by code point, and without case
    ("location = 'UK'", "location contains 'uk'"),
    ("location in ('UK', 'US')", "location starts with 'u'"),
    ("email starts with 'Ann@'", "email starts with 'an'"),
    ("email ends with '@gmail.com'", "email contains 'GMAIL'"),
    ("email ends with '@gmail.com'", "email ends with '.com'"),
    ("email like 'ann%@x_.com'", "email starts with 'ANN'"),
    ("location = 'b'", "location > 'a'"),
    ("location like 'UK'", "location = 'UK'"),
    # time
    ("date_added after '2026-01-31'", "date_added at least '2026-01-31'"),
    ("birthday = '2000-01-01'", "birthday < '2000-01-02'"),
    ("date_added in the last '30 days'", "date_added in the last '5 weeks'"),
    ("date_added in the last '1 month'", "date_added in the last '1 year'"),
    ("date_added before ago('60 days')", "not date_added in the last '30 days'"),
    ("birthday in the next '7 days'", "birthday >= today()"),
    # lists and conditions of which nothing else is known
    ("contains_all(tags, 'a', 'b')", "tags contains 'b'"),
    ("tags contains 'a'", "contains_any(tags, 'b', 'a')"),
    ("tags contains 'a'", "tags is set"),
    ("email matches 'x+' and status = 'a'", "email matches 'x+'"),
    ("email matches 'x+'", "email is set"),
    ("first_name = email", "first_name is set and email is set"),
    ("first_name < email", "email >= first_name"),
    ("at_least(2, status = 'a', location = 'UK', email_consent)", "status = 'a' or email_consent"),
    ("sample('10%', salt => 's')", "sample('20%', salt => 's')"),
    # events: whoever has one of the fewer has one of the more
    ("did(order_placed, coupon = 'a', last => '30 days')", "did(order_placed, last => '60 days')"),
    ("did(order_placed, last => '30 days')", "did(any_event)"),
    ("count(order_placed, coupon = 'a') >= 3", "count(order_placed, coupon is set) >= 2"),
    ("not did(order_placed)", "count(order_placed, amount > 5) = 0"),
    ("count(order_placed) = 0", "sum(order_placed.amount) = 0"),
    ("sum(order_placed.amount) > 100", "did(order_placed)"),
    ("max(order_placed.amount, last => '30 days') > 100", "max(order_placed.amount, last => '60 days') > 50"),
    ("min(order_placed.amount) > 10", "not min(order_placed.amount, coupon = 'a') <= 10"),
    ("first(order_placed) is not set", "not did(order_placed, coupon = 'a')"),
    ("distinct(order_placed.coupon) >= 2", "count(order_placed) >= 2"),
    ("did(order_placed, since => '2026-02-01', last => '30 days')", "did(order_placed, since => '2026-02-01')"),
]

NOT_INSIDE = [
    ("location is set", "location = 'UK'"),
    ("location != 'UK'", "location is set"),  # without a location
    ("not activity_count > 5", "activity_count <= 5"),  # without a count
    ("activity_count is not set", "activity_count <= 5"),
    ("lifetime_value > 5", "lifetime_value >= 6"),  # 5.5
    ("balance > 1.25", "balance >= 1.27"),  # 1.26
    ("activity_count / 2 > 5", "activity_count / 2 >= 6"),
    ("email starts with 'a'", "email starts with 'ab'"),
    ("email contains 'a'", "email starts with 'a'"),
    ("location contains 'uk'", "location = 'UK'"),  # uk
    ("location starts with 'u'", "location like 'u%'"),  # UK
    ("location like 'Ꭰ%'", "location starts with 'Ꭰ'"),  # folded by the engine's own Unicode
    ("tags contains 'A'", "tags contains 'a'"),
    ("date_added at least '2026-01-31'", "date_added after '2026-01-31'"),
    ("date_added in the last '1 month'", "date_added in the last '30 days'"),  # of March
    ("date_added in the last '28 days'", "date_added in the last '1 month'"),  # known only at an instant
    ("not date_added in the last '30 days'", "date_added before ago('30 days')"),  # to come, or missing
    ("date_added > '2026-03-29 02:00'", "date_added > '2026-03-29 01:30'"),  # local times that may not exist
    ("did(order_placed)", "did(order_placed, coupon is set)"),
    ("did(any_event)", "did(order_placed)"),
    ("did(form_submitted)", "did(order_placed)"),
    ("did(order_placed, last => '1 month')", "did(order_placed, last => '30 days')"),
    ("did(order_placed, coupon != 'a')", "did(order_placed, coupon is set)"),
    ("sum(order_placed.amount, last => '30 days') > 100", "sum(order_placed.amount) > 100"),  # refunds before
    ("sum(order_placed.amount) = 0", "not did(order_placed)"),
    ("avg(order_placed.amount) > 10", "avg(order_placed.amount, last => '30 days') > 10"),
    ("max(order_placed.amount) > 100", "max(order_placed.amount, last => '30 days') > 100"),
    ("min(order_placed.amount) > 10", "min(order_placed.amount, coupon = 'a') > 10"),  # none with the coupon
    ("latest(order_placed.amount) > 10", "latest(order_placed.amount, last => '30 days') > 10"),
    ("count(order_placed, coupon = 'a') < 3", "count(order_placed) < 3"),
    ("distinct(order_placed.coupon) < 2", "count(order_placed) < 2"),
    ("did(order_placed, since => '2026-02-01')", "did(order_placed, since => '2026-02-01', last => '30 days')"),
    ("sample('20%', salt => 's')", "sample('10%', salt => 's')"),
    ("sample('10%', salt => 's')", "sample('20%', salt => 't')"),
    ("member('vip')", "member('staff')"),
    ("email matches '^a'", "email starts with 'a'"),
    ("at_least(2, status = 'a', location = 'UK', email_consent)", "status = 'a'"),
    ("first_name != email", "first_name < email or email < first_name"),  # one missing
]

EXCLUSIVE = [
    ("location = 'UK'", "location = 'US'"),
    ("location = 'UK'", "location is not set"),
    ("activity_count > 5", "activity_count < 6"),
    ("email starts with 'a'", "email starts with 'B'"),
    ("email ends with '.com'", "email ends with '.org'"),
    ("location in ('UK', 'US')", "not location contains 'u'"),
    ("date_added after '2026-01-31'", "date_added before '2026-01-31'"),
    ("not did(order_placed, last => '60 days')", "did(order_placed, coupon = 'a', last => '30 days')"),
    ("not did(order_placed)", "last(order_placed) after '2020-01-01'"),
    ("count(order_placed) < 2", "count(order_placed, coupon = 'a') >= 2"),
    ("month(birthday) = 13", "true"),
    ("sample('10%', salt => 's')", "not sample('30%', salt => 's')"),
    ("first_name < email", "email < first_name"),
]
NOT_EXCLUSIVE = [
    ("location = 'UK'", "location = 'UK'"),
    ("not location = 'UK'", "not location = 'US'"),
    ("not location = 'UK'", "location is not set"),
    ("location contains 'a'", "location contains 'b'"),
    ("email starts with 'a'", "email ends with 'b'"),
    ("email starts with 'a'", "email starts with 'AB'"),
    ("tags contains 'a'", "not tags contains 'b'"),
    ("date_added = '2026-01-31'", "date_added = '2026-01-31 09:00'"),
    ("score >= 0.1", "score <= 0.1"),
    ("date_added in the last '1 month'", "date_added before ago('30 days')"),
    ("did(order_placed)", "not did(order_placed, last => '30 days')"),
    ("sum(order_placed.amount) < 0", "did(order_placed)"),
    ("did(order_placed, coupon = 'a')", "did(order_placed, coupon = 'b')"),
    ("min(order_placed.amount) < 5", "max(order_placed.amount) > 50"),
    ("not did(order_placed)", "not max(order_placed.amount) > 5"),
    ("lifetime_value > 99999999999", "lifetime_value > 5"),  # infinite too
]


@pytest.mark.parametrize(("one", "other"), INSIDE)
def test_whoever_fulfils_the_one_fulfils_the_other(one, other):
    assert Prover().implies(meaning(one), meaning(other))


@pytest.mark.parametrize(("one", "other"), NOT_INSIDE)
def test_nothing_is_proven_that_one_contact_contradicts(one, other):
    assert not Prover().implies(meaning(one), meaning(other))


@pytest.mark.parametrize(("one", "other"), EXCLUSIVE)
def test_nobody_fulfils_both(one, other):
    assert Prover().never(meaning(one), meaning(other))
    assert Prover().never(grounded(one), grounded(other))


@pytest.mark.parametrize(("one", "other"), NOT_EXCLUSIVE)
def test_somebody_may_fulfil_both(one, other):
    assert not Prover().never(meaning(one), meaning(other))
    assert not Prover().never(grounded(one), grounded(other))


def test_an_instant_tells_more():
    """30 March 2026 at noon in London, an hour ahead since the 29th: months, local times and whole days have become instants."""
    pairs = [
        ("date_added in the last '28 days'", "date_added in the last '1 month'"),
        ("date_added > '2026-03-29 02:00'", "date_added >= '2026-03-29 01:00Z'"),
        ("date_added = '2026-01-31 09:00'", "date_added = '2026-01-31'"),
        ("did(order_placed, last => '7 days')", "did(order_placed, since => '2026-01-01')"),
        ("date_added in the last '7 days'", "date_added after '2026-03-01'"),
    ]
    for one, other in pairs:
        assert Prover().implies(grounded(one, "Europe/London"), grounded(other, "Europe/London")), one
        assert not Prover().implies(meaning(one), meaning(other)), one


def test_a_moved_clock_does_not():
    """In a month of 28 days, a month is no longer than they are."""
    march = datetime(2026, 3, 15, tzinfo=UTC)
    month, days = "date_added in the last '1 month'", "date_added in the last '28 days'"
    assert Prover().implies(grounded(month, as_of=march), grounded(days, as_of=march))
    assert not Prover().implies(meaning(month), meaning(days))


def test_references_are_followed():
    members = {"vip": meaning("lifetime_value > 500 and member('staff')"), "staff": meaning("email ends with '@shop.com'")}
    prover = Prover(members)
    assert prover.implies(meaning("member('vip')"), meaning("email contains 'shop'"))
    assert prover.implies(meaning("not email is set"), meaning("not member('vip')"))
    assert not prover.implies(meaning("email ends with '@shop.com'"), meaning("member('vip')"))
    assert not Prover().implies(meaning("member('vip')"), meaning("email contains 'shop'"))


def test_references_in_a_circle_are_not_followed():
    prover = Prover({"vip": meaning("not member('staff')"), "staff": meaning("member('vip')")})
    assert not prover.never(meaning("member('vip')"))


@dataclass(frozen=True, slots=True)
class Said(n.Condition):
    """A condition that proofs have never heard of."""

    what: str
    item: n.Condition


@dataclass(frozen=True, slots=True)
class LongMember(n.Member):
    """A reference that says more than a plain one."""

    days: int = 0


def test_of_what_is_not_understood_only_equality_is_known(monkeypatch):
    monkeypatch.setitem(UNDERSTOOD, LongMember, UNDERSTOOD[n.Member])
    uk = meaning("location = 'UK'")
    prover = Prover({"vip": uk})
    assert prover.never(Said("a", uk), n.Not(Said("a", uk)))
    assert not prover.never(Said("a", uk), n.Not(Said("b", uk)))
    assert not prover.implies(Said("a", uk), uk)
    assert prover.implies(LongMember("vip"), uk)  # it says no more than it did
    assert not prover.implies(LongMember("vip", days=3), uk)


def test_the_effort_is_bounded():
    prover = Prover()
    choices = [meaning(f"status = 'a{i}' or location = 'b{i}' or activity_count = {i} or score > {i}") for i in range(60)]
    assert not prover.never(*choices)
    assert prover.spent <= 2_001


def test_a_float_is_the_nearest_one():
    draw = random.Random(7)
    numbers = [Decimal(draw.randint(-(10**9), 10**9)).scaleb(draw.randint(-37, 25)) for _ in range(500)]
    numbers += [
        Decimal(2**24 + 1),
        Decimal(2**24 + 3),
        Decimal("16777217.0000000000000001"),
        Decimal(0),
        Decimal("1e-45"),
        Decimal("7e-46"),
    ]
    assert [nearest_float(number, 32) for number in numbers] == [to_single(Fraction(number)) for number in numbers]
    assert nearest_float(Decimal(10) ** 39, 32) is None
    assert nearest_float(Decimal("0.1"), 64) == 0.1


def test_sets_of_values_are_sets():
    draw = random.Random(7)

    def drawn() -> Values:
        cuts = sorted({(draw.randrange(6), draw.randrange(2)) for _ in range(draw.randrange(6))})
        return Values(draw.random() < 0.5, tuple(cuts))

    places = [(value, side) for value in range(-1, 7) for side in (0, 1)]
    for _ in range(300):
        one, other = drawn(), drawn()
        for place in places:
            assert both(one, other).has(place) is (one.has(place) and other.has(place))
            assert either(one, other).has(place) is (one.has(place) or other.has(place))
            assert one.complement().has(place) is not one.has(place)
        assert both(one, one.complement()).is_empty
        assert both(one, EVERY) == one
    assert spans([((1, 0), (3, 0)), ((2, 0), (4, 0)), ((5, 1), (5, 0))]) == Values(False, ((1, 0), (4, 0)))


def test_like_is_like():
    draw = random.Random(7)
    for _ in range(2_000):
        text, pattern = ("".join(draw.choice(letters) for _ in range(draw.randrange(7))) for letters in ("ab\n.", "ab%_.%"))
        assert is_like(text, pattern) is (re2.fullmatch(like(pattern), text) is not None), (text, pattern)
    assert not is_like("a" * 5_000, "%a" * 200 + "b")


def test_letters_are_folded_as_the_engine_folds_them():
    """Below this code point a text that is known can be tested here; one whose small letter is above is left open."""
    letters = [chr(c) for c in range(1, ALIKE_EVERYWHERE) if chr(c).lower() != chr(c)]
    table = pa.table({"id": list(range(len(letters))), "x": letters, "small": [simple_lower(letter) for letter in letters]})
    found = segmentry.evaluate({"folded": "lower(x) = small"}, contacts=table, key="id")
    assert found.counts()["folded"] == len(letters)
    known = [passes(letter, TextFact("contains", simple_lower(letter))) for letter in letters]
    assert set(known) == {True, None}
    assert known.count(None) < 5
