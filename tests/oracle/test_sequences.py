"""Sequences over few instants and many events, so that every edge is met: against the oracle, which tries every way."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.oracle import language as lang
from tests.oracle import zones
from tests.oracle.datasets import Column, Dataset, Table
from tests.oracle.evaluator import Moment, answers
from tests.oracle.facts import utc
from tests.oracle.language import Duration, Sequence, Step, Window
from tests.oracle.printer import text_of
from tests.oracle.product import ask

HOUR = 3600 * 10**6
AS_OF = utc("2024-06-15T12:00:00")
EVENTS = ("a", "b", "c", "ca")
LENGTHS = tuple(Duration(n, "hour") for n in (1, 2, 3, 5, 8))
P, Q = lang.Field("p", lang.INTEGER), lang.Field("q", lang.TEXT)


def world(draw: random.Random, contacts: int = 40, most: int = 14) -> Dataset:
    """Contacts with up to so many events on twelve hours, several of them at once; in one table, two of them, or one for each event."""
    key, kind = Column("id", "int64"), draw.choice(["one", "two", "each"])
    columns = (Column("contact_id", "int64"), Column("at", "timestamp"), Column("p", "int64"), Column("q", "string"))
    rows: dict[str, list[dict[str, object]]] = {}
    for contact in range(1, contacts + 1):
        for _ in range(draw.randint(0, most)):
            at = AS_OF - draw.randint(-1, 11) * HOUR - draw.choice([0, 0, 0, 1])
            row = {"contact_id": contact, "at": at, "p": draw.choice([None, 1, 2, 3]), "q": draw.choice(["", "x", "y"])}
            event = draw.choice(EVENTS)
            table = {"one": "", "two": draw.choice(["", "more"]), "each": event}[kind]
            rows.setdefault(table, []).append(row | ({} if kind == "each" else {"event": event}))
    named = (*columns, Column("event", "string"))
    tables = tuple(
        Table("contact_id", "at", columns, tuple(some), event=name)
        if kind == "each"
        else Table("contact_id", "at", named, tuple(some), name="event")
        for name, some in sorted(rows.items())
    )
    made = tuple({"id": number} for number in range(1, contacts + 1))
    return Dataset(Moment(AS_OF, "UTC"), key, (key,), made, tables, zones.moment(AS_OF))


def sequence(draw: random.Random, *, asks: bool) -> Sequence:
    """A sequence of two to five steps; with `asks` later steps compare themselves with former ones."""
    number = draw.choice([2, 2, 3, 3, 4, 5])
    negated = [place > 0 and draw.random() < 0.4 for place in range(number)]
    last = max(place for place in range(number) if not negated[place])
    steps: list[Step] = []
    for place in range(number):
        filters: list[lang.Condition] = [lang.Compare("=", P, lang.Number("1"))] if draw.random() < 0.15 else []
        former = [other for other in range(place) if not negated[other]]
        if asks and former and draw.random() < 0.6:
            other, (own, operator) = draw.choice(former), draw.choice([(P, "="), (P, "<"), (Q, "="), (Q, "!=")])
            filters.append(lang.Compare(operator, own, lang.Former(other, f"s{other}", own.name, own.type)))
        window = Window(last=draw.choice(LENGTHS)) if draw.random() < 0.1 else Window()
        bounded = place > 0 and (not negated[place] or place > last) and draw.random() < 0.35
        event = draw.choice([*EVENTS[:3], None, lang.Prefix("c")]) if draw.random() < 0.3 else draw.choice(EVENTS[:3])
        called = None if negated[place] else f"s{place}"
        steps.append(Step(event, tuple(filters), window, negated[place], draw.choice(LENGTHS) if bounded else None, called))
    bounds = (last > 0 and negated.count(False) > 1) or any(step.within is None for step in steps[last + 1 :])
    whole = draw.choice(LENGTHS) if bounds and draw.random() < 0.6 else None
    return Sequence(tuple(steps), whole, Window(last=draw.choice(LENGTHS)) if draw.random() < 0.3 else Window())


def disagreements(seed: str, number: int, *, asks: bool) -> list[str]:
    draw = random.Random(seed)
    data = world(draw)
    rules: dict[str, lang.Condition] = {f"r{i}": sequence(draw, asks=asks) for i in range(number)}
    expected = answers(rules, data.contacts(), data.clock)
    got = ask(data, {name: text_of(rule) for name, rule in rules.items()})
    return [f"{seed}: {text_of(rules[name])}\n  {expected[name]}\n  {got[name]}" for name in rules if expected[name] != got[name]]


@pytest.mark.parametrize("asks", [False, True])
def test_sequences_are_those_that_trying_every_way_finds(seed: int, asks: bool) -> None:
    found = disagreements(f"{seed}:{asks}", 12, asks=asks)
    assert not found, "\n".join(found[:3])


@pytest.mark.full
@pytest.mark.parametrize("part", range(8))
def test_many_sequences_are_those_that_trying_every_way_finds(seed: int, part: int) -> None:
    found = [one for number in range(12) for one in disagreements(f"{seed}:{part}:{number}", 40, asks=number % 2 == 0)]
    assert not found, "\n".join(found[:3])


@pytest.mark.parametrize("asks", [False, True])
def test_a_longer_window_finds_whoever_a_shorter_one_does(seed: int, asks: bool) -> None:
    """Both of the sequence's own window, and, where no `not` ends it, of the time it may take."""
    draw = random.Random(f"{seed}:window:{asks}")
    data, rules = world(draw), dict[str, lang.Condition]()
    for number in range(8):
        one = sequence(draw, asks=asks)
        one = replace(one, steps=tuple(replace(step, window=Window()) for step in one.steps))
        for hours in (2, 4, 9):
            rules[f"last{number}_{hours}"] = replace(one, window=Window(last=Duration(hours, "hour")))
        if len(one.steps) > 1 and not one.steps[-1].negated:
            for hours in (1, 3, 7):
                rules[f"within{number}_{hours}"] = replace(one, within=Duration(hours, "hour"))
    got = ask(data, {name: text_of(rule) for name, rule in rules.items()})
    for (name, members), (following, more) in zip(got.items(), list(got.items())[1:], strict=False):
        if name.split("_")[0] == following.split("_")[0]:
            assert all(not inside or also for inside, also in zip(members, more, strict=True)), text_of(rules[name])
