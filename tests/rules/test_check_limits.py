"""Rules as large and as deep as the limits allow: no exception, and work in step with their size."""

import sys

import pytest

from segmentry.rules import nodes as n
from segmentry.rules.checker import Conditions, check
from segmentry.rules.facts import canonical, compared_values
from segmentry.rules.ground import Clock, ground
from segmentry.rules.parse import parse_text
from tests.rules.reading import AS_OF, codes, meaning
from tests.rules.shop_schema import SHOP

DEEP = 97
BROAD = 1000
LARGEST = {
    "not": "not (" * (DEEP // 2) + "location = 'UK'" + ")" * (DEEP // 2),
    "brackets": "(" * DEEP + "location = 'UK'" + ")" * DEEP,
    "and or": "(email_consent and (email_consent or " * (DEEP // 2) + "email_consent" + "))" * (DEEP // 2),
    "functions": "lower(" * DEEP + "location" + ")" * DEEP + " = 'x'",
    "anniversaries": "next_anniversary(" * DEEP + "date_added" + ")" * DEEP + " after '2026-01-01'",
    "coalesce": "coalesce(birthday, " * DEEP + "date_added" + ")" * DEEP + " after '2026-01-01'",
    "minus": "activity_count > " + "- (" * (DEEP // 2) + "balance" + ")" * (DEEP // 2),
    "sums in brackets": "activity_count > " + "(1 + " * DEEP + "balance" + ")" * DEEP,
    "at_least": "at_least(1, email_consent, " * DEEP + "location = 'UK'" + ")" * DEEP,
    "event conditions": "did(order_placed, " + "(coupon = 'x' or " * (DEEP - 2) + "amount > 1" + ")" * (DEEP - 2) + ")",
    "chain of and": " and ".join(f"status != 'x{i}'" for i in range(BROAD)),
    "chain of or": " or ".join(f"date_added after '2026-01-{i % 28 + 1:02}'" for i in range(BROAD)),
    "chain of plus": " + ".join(["balance"] * 2000) + " > 0",
    "chain of plus and minus": " + 1 - ".join(["activity_count"] * 50) + " > 0",
    "long list": f"location in ({', '.join(repr(str(i)) for i in range(2400))})",
    "long list of days": f"date_added in ({', '.join(repr(f'2026-{i % 12 + 1:02}-{i % 28 + 1:02}') for i in range(2400))})",
    "many options": f"contains_any(tags, {', '.join(repr(str(i)) for i in range(2400))})",
    "many windows": " or ".join(f"did(order_placed, amount > {i}, last => '{i + 1} days')" for i in range(300)),
}


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_rules_pass_every_pass(name):
    condition = meaning(LARGEST[name])
    grounded = ground(condition, Clock(AS_OF, "Europe/London"))
    assert hash(grounded) == hash(ground(condition, Clock(AS_OF, "Europe/London")))
    assert canonical(condition) == canonical(canonical(condition))
    compared_values(condition)
    assert sum(1 for _ in n.walk(grounded)) < 20_000


@pytest.mark.parametrize("name", LARGEST)
def test_a_large_rule_may_be_checked_from_deep_inside_a_program(name):
    def deeper(levels):
        return meaning(LARGEST[name]) if not levels else deeper(levels - 1)

    frame, depth = sys._getframe(), 0
    while frame:
        frame, depth = frame.f_back, depth + 1
    assert deeper(sys.getrecursionlimit() - depth - 250)


def test_every_one_of_a_thousand_problems_is_told():
    rule = " or ".join(f"fild{i} = {i}" for i in range(BROAD))
    assert codes(rule) == ["R103"] * BROAD


PIECES = [
    "location = 'UK'",
    "did(order_placed, coupon = 'X', last => '30 days')",
    "balance + 1 - 2 > 3",
    "date_added in ('2026-01-31', '2026-02-02')",
]


@pytest.mark.parametrize("piece", PIECES)
def test_work_grows_with_the_rule_and_no_faster(piece, monkeypatch):
    def visits(copies):
        counted = [0]
        for name in ("condition", "value"):
            plain = getattr(Conditions, name)

            def counting(self, *args, plain=plain, **named):
                counted[0] += 1
                return plain(self, *args, **named)

            monkeypatch.setattr(Conditions, name, counting)
        condition, _ = check(parse_text(" and ".join([piece] * copies)), SHOP)
        monkeypatch.undo()
        grounded = ground(condition, Clock(AS_OF))
        return counted[0], sum(1 for _ in n.walk(condition)), sum(1 for _ in n.walk(grounded))

    small, large = visits(50), visits(200)
    for few, many in zip(small, large, strict=True):
        assert many <= 4 * few + 10
