"""Places among all contacts: exactly so many, whatever is equal; the same ones whatever keys are, and however many are asked for."""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Callable
from itertools import pairwise

import polars as pl
import pytest

import segmentry

CONTACTS = 200
BEGINNINGS = ("10", "9", "Z", "a", "é", "😀", "\uff61")
KEYS: dict[str, Callable[[random.Random, int], object]] = {
    "numbers": lambda draw, number: draw.randrange(-(10**6), 10**6) * CONTACTS + number,
    "texts": lambda draw, number: f"{draw.choice(BEGINNINGS)}-{number}",
    "uuids": lambda draw, number: str(uuid.UUID(int=draw.getrandbits(120) << 8 | number)),
}


def ask(frame: pl.DataFrame, *rules: str) -> list[set[object]]:
    found = segmentry.evaluate({rule: rule for rule in rules}, contacts=frame, key="id")
    return [set(found.members(rule).to_list()) for rule in rules]


@pytest.fixture(params=KEYS)
def contacts(request: pytest.FixtureRequest, draws: random.Random) -> pl.DataFrame:
    """Contacts of whom many are alike: one of four values, or none; one of three groups, or none."""
    keys = [KEYS[request.param](draws, number) for number in range(CONTACTS)]
    draws.shuffle(keys)
    values = [draws.choice([None, 1.0, 2.0, 2.0, -0.0, 0.0, float("nan")]) for _ in keys]
    return pl.DataFrame({"id": keys, "x": values, "g": [draws.choice(["a", "b", "c", None]) for _ in keys]})


def ordered(frame: pl.DataFrame, *, falling: bool) -> list[object]:
    """The keys in order, by Python's own comparison of keys."""
    rows = [(value, key) for key, value in frame.select("id", "x").iter_rows() if value is not None and not math.isnan(value)]
    return [key for _, key in sorted(rows, key=lambda row: (-row[0] if falling else row[0], row[1]))]


def test_there_are_exactly_so_many(contacts: pl.DataFrame) -> None:
    down, up = ordered(contacts, falling=True), ordered(contacts, falling=False)
    sizes = (1, 7, len(down) - 1, len(down), CONTACTS)
    found = ask(contacts, *(f"top({size}, by => x)" for size in sizes), *(f"bottom({size}, by => x)" for size in sizes))
    assert found == [set(order[:size]) for order in (down, up) for size in sizes]


def test_more_contain_fewer_and_a_share_is_rounded_up(contacts: pl.DataFrame) -> None:
    percents = ("0.01", "1", "12.5", "50", "99.99", "100")
    found = ask(contacts, *(f"top('{percent}%', by => x)" for percent in percents))
    size = len(ordered(contacts, falling=True))
    assert [len(members) for members in found] == [-int(-size * round(float(percent) * 100) // 10_000) for percent in percents]
    assert all(fewer <= more for fewer, more in pairwise(found))


def test_parts_are_everybody_once_and_of_nearly_one_size(contacts: pl.DataFrame) -> None:
    for parts in (3, 7):
        found = ask(contacts, *(f"ntile({parts}, by => x) = {part}" for part in range(1, parts + 1)), f"ntile({parts}, by => x) is set")
        sizes = [len(members) for members in found[:-1]]
        assert (sum(sizes), set().union(*found[:-1])) == (len(found[-1]), found[-1])
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] - sizes[-1] <= 1
        assert found[0] == set(ordered(contacts, falling=False)[: sizes[0]])


def test_each_value_of_per_is_as_if_it_were_alone(contacts: pl.DataFrame) -> None:
    [together] = ask(contacts, "top(3, by => x, per => g)")
    apart = ask(contacts, *(f"top(3, by => x, among => g = '{group}')" for group in "abc"))
    assert together == set().union(*apart)
    assert together == {key for group in "abc" for key in ordered(contacts.filter(g=group), falling=True)[:3]}
