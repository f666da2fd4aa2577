"""Any tree at all ends in a meaning or in diagnostics, and any meaning can be grounded at any instant."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from segmentry.errors import RuleError
from segmentry.rules import nodes as n
from segmentry.rules import syntax as s
from segmentry.rules.check_comparisons import COMPARISONS, TEXT_TESTS, WINDOWS
from segmentry.rules.checker import check
from segmentry.rules.codes import CODES
from segmentry.rules.facts import canonical, compared_values, same_rules
from segmentry.rules.functions import FUNCTIONS
from segmentry.rules.ground import Clock, ground
from tests.rules.shop_schema import CONTACTS, ORDERS, SHOP

EVENTS = ["order_placed", "form_submitted", "any_event"]
NAMES = [*CONTACTS, *ORDERS.fields, *EVENTS, "contact", "vip", "address", "PLAN", "", "x" * 500, "naïve", "a.b"]
TEXTS = [
    "", "UK", "5", "true", "30 days", "0 days", "12 hours", "1 month", "9999 years",
    "2026-01-31", "2026-02-30", "9999-12-31", "0001-01-01",
    "2026-03-29 01:30", "2026-10-25T01:30:00+14:00", "0001-01-01 00:00+01:00", "10%", "100%", "1e400%", "week", "year",
    "order_placed", "vip",
    "(a", "(?=x)", "\x00", "'", "\ud800", "İ" * 300, "order_placed.amount",
]  # fmt: skip
NUMBERS = ["0", "1", "2", "5", "2.50", "1e5", "1e-40", "1e400", "9" * 38, "9" * 39, "0." + "1" * 38, "1e99999999999999999999", "007"]
OPS = [*sorted(COMPARISONS), *sorted(TEXT_TESTS), *sorted(WINDOWS), *"+-*/%"]
KEYWORDS = ["last", "since", "until", "salt", "by", "within"]


def tree(draws: random.Random, depth: int) -> s.Syntax:
    if depth <= 0 or draws.random() < 0.15:
        return leaf(draws)
    below = [tree(draws, depth - 1) for _ in range(draws.choice([1, 2, 2, 3]))]
    several = below if len(below) > 1 else [*below, leaf(draws)]
    match draws.randrange(10):
        case 0:
            return s.And(tuple(several))
        case 1:
            return s.Or(tuple(several))
        case 2:
            return s.Not(below[0])
        case 3 | 4 | 5:
            return s.Infix(draws.choice(OPS), several[0], several[1])
        case 6:
            return s.Between(below[0], leaf(draws), leaf(draws))
        case 7:
            return s.In(below[0], tuple(leaf(draws) for _ in range(draws.randrange(4))))
        case 8:
            return draws.choice([s.IsSet, s.Negative])(below[0])
    named = tuple(s.Named(draws.choice(KEYWORDS), leaf(draws)) for _ in range(draws.choice([0, 0, 1, 2])))
    first = [s.Name((draws.choice(EVENTS),))] if draws.random() < 0.5 else []
    return s.Call(draws.choice([*FUNCTIONS, "nonsense"]), (*first, *below), named)


def leaf(draws: random.Random) -> s.Syntax:
    match draws.randrange(8):
        case 0 | 1 | 2:
            parts = tuple(draws.choice(NAMES) for _ in range(draws.choice([1, 1, 1, 2, 3])))
            return s.Name(parts, (draws.random() < 0.3,) * len(parts))
        case 3 | 4:
            return s.Text(draws.choice(TEXTS))
        case 5:
            return s.Number(draws.choice(NUMBERS))
        case 6:
            return s.Call(draws.choice(["now", "today", "ago", "start_of", "first"]), (s.Text(draws.choice(TEXTS)),) * draws.randrange(2))
    return draws.choice([s.Boolean(True), s.Boolean(False), s.Null()])


def tried(draws: random.Random) -> bool:
    syntax = tree(draws, draws.randrange(1, 6))
    try:
        condition, warnings = check(syntax, SHOP)
    except RuleError as error:
        problems = error.diagnostics
        condition = None
    if condition is None:
        assert problems
        assert all(problem.code in CODES and problem.render() and problem.to_json() for problem in problems)
        return False
    assert all(warning.code in CODES for warning in warnings)
    for as_of in (datetime.min.replace(tzinfo=UTC), datetime(2026, 3, 29, 1, tzinfo=UTC) + timedelta(hours=draws.randrange(9000)), LAST):
        grounded = ground(condition, Clock(as_of, draws.choice(["UTC", "Europe/London", "Pacific/Apia", "America/St_Johns"])))
        assert not any(isinstance(node, (n.AsOf, n.Day, n.InWindow)) for node in n.walk(grounded))
    assert canonical(canonical(condition)) == canonical(condition)
    same_rules({"a": condition, "b": condition})
    compared_values(condition)
    return True


LAST = datetime.max.replace(tzinfo=UTC)


def test_any_tree_means_something_or_is_diagnosed(draws):
    meant = sum(tried(draws) for _ in range(3000))
    assert meant > 30


@pytest.mark.full
def test_many_more_trees_do_too(draws):
    assert sum(tried(draws) for _ in range(100_000)) > 1000
