"""`explain`'s next flip comes true when the clock is moved there, and not a microsecond before: asked of the oracle, and of the product."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from segmentry.engine.explain import explain
from segmentry.engine.foretelling import Foresight
from segmentry.engine.moment import Moment
from segmentry.rules.ground import Clock
from tests.cli.test_any_rule import laid_out
from tests.oracle import language as lang
from tests.oracle import zones
from tests.oracle.agreement import Batch, with_references
from tests.oracle.datasets import DATE_DURATIONS, DURATIONS, draw_dataset
from tests.oracle.evaluator import Contact, answers
from tests.oracle.evaluator import Moment as Then
from tests.oracle.printer import text_of
from tests.oracle.rules import Rules

MOVED_BY_TIME = (lang.Now, lang.Ago, lang.Today, lang.Within, lang.InPeriod, lang.Did, lang.Sequence, lang.Aggregate, lang.ActivePeriods)
DAY = 86_400 * 10**6
AHEAD = (1, 60 * 10**6, 3_600 * 10**6, DAY, 7 * DAY, 31 * DAY, 366 * DAY, 800 * DAY, 4000 * DAY)
FLIPS = 25
LAST = zones.micros(zones.EPOCH.replace(year=8000))


def moving(condition: lang.Condition) -> bool:
    """Whether time alone may change what a rule answers."""
    return any(
        isinstance(node, MOVED_BY_TIME) or (isinstance(node, lang.Call) and node.name == "next_anniversary")
        for node in lang.walk(condition)
    )


def world(seed: str, number: int) -> Batch:
    """Rules that time moves, over one dataset."""
    draw = random.Random(seed)
    data = draw_dataset(draw)
    rules: dict[str, lang.Condition] = {}
    while len(rules) < number:
        drawn = Rules(draw, data, list(rules)).condition(draw.choice([0, 0, 1, 2]))
        if moving(drawn):
            rules[f"s{len(rules)}"] = drawn
    texts = {name: text_of(condition) for name, condition in rules.items()}
    return Batch(seed, data, rules, texts, answers(rules, data.contacts(), data.clock))


def edges(contact: Contact, rules: dict[str, lang.Condition], now: Then) -> list[int]:
    """Instants at which rules like to flip: all that the contact has, moved by all durations, and the beginnings of days."""
    values = [*contact.fields.values(), *(x for row in contact.events for x in row.fields.values())]
    moments = [one for x in values for one in (x.values() if isinstance(x, dict) else (x,))] + [row.at for row in contact.events]
    instants = {now.as_of} | {one for one in moments if isinstance(one, int) and abs(one) < 10**17 and one > 10**12}
    days = {one for one in moments if isinstance(one, date)} | {zones.to_local(one, now.zone).date() for one in instants}
    days |= {node.day for node in lang.walk(tuple(rules.values())) if isinstance(node, lang.Day)}
    instants |= {node.micros for node in lang.walk(tuple(rules.values())) if isinstance(node, lang.Instant)}
    days = {day for day in days if 1900 < day.year < 2400}
    days |= {zones.shift_date(day, d, sign) for day in set(days) for d in DATE_DURATIONS for sign in (1, -1)}
    days |= {now.today + timedelta(days=n) for n in range(40)}
    found = {
        zones.shift_instant(one, d, sign, now.zone) for one in instants if one < LAST for d in DURATIONS for sign in (1, -1)
    } | instants
    found |= {zones.first_instant(day + timedelta(days=by), now.zone) for day in days for by in (0, 1)}
    return [one for one in found if now.as_of < one < LAST]


def answer(rules: dict[str, lang.Condition], name: str, people: list[Contact], at: int, now: Then) -> bool | None:
    """The first one's answer; of a place among all contacts the others decide too."""
    places = any(isinstance(node, lang.Foremost | lang.Ntile) for node in lang.walk(tuple(rules.values())))
    return answers(rules, people if places else people[:1], Then(at, now.zone, now.week_start))[name][0]


def asked(one: Batch, moment: Moment, name: str, number: int, *, product: bool) -> str:
    """What `explain` says of a contact's next flip, held to what comes to be; the kind of it."""
    now, contact, key = one.data.clock, one.data.contacts()[number], one.data.rows[number][one.data.key.name]
    others = [other for other in one.data.contacts() if other.key != contact.key]
    people, rules = [contact, *others], with_references(one.rules, name)
    said = explain(moment, name, key)
    where = f"seed {one.seed} contact {key}: {one.texts[name]}\n{said}\n{contact}"
    draw = random.Random(f"{one.seed}:{name}")
    flip = said.flip
    if one.expected[name][number] is None:
        return "too close"
    ahead = [now.as_of + draw.randint(1, far) for far in AHEAD for _ in range(2)] + edges(contact, rules, now)
    if flip.at is not None:
        at = zones.micros(flip.at)
        assert at > now.as_of, where
        if flip.kind is Foresight.AT and at < LAST:
            assert answer(rules, name, people, at, now) in (not said.member, None), where
            assert answer(rules, name, people, at - 1, now) in (said.member, None), where
            for later in (flip.at, flip.at - zones.MICROSECOND) if product else ():
                then = replace(moment, clock=Clock(later, now.zone, now.week_start))
                answered = then.answer({name: then.whole(name)}, only=said.contact).holds[name][0]
                assert answered is (said.member is (later < flip.at)), where
        ahead = [instant for instant in ahead if instant < at]
    if flip.kind is not Foresight.UNKNOWN:
        several = draw.sample(ahead, min(len(ahead), 60))
        for instant in {*several, *(instant - 1 for instant in several if instant - 1 > now.as_of)}:
            later = answer(rules, name, people, instant, now)
            assert later in (said.member, None), f"{zones.moment(instant)}: {where}"
    return str(flip.kind)


def told(seed: str, number: int, folder: Path, *, product: bool) -> list[str]:
    one = world(seed, number)
    moment = laid_out(one, folder).moment(zones.moment(one.data.clock.as_of))
    draw = random.Random(seed)
    return [asked(one, moment, name, draw.randrange(len(one.data.rows)), product=product) for name in one.rules]


def test_a_flip_comes_true(seed: int, tmp_path: Path):
    kinds = told(f"{seed}:flips", 10, tmp_path, product=True)
    assert "at" in kinds


@pytest.mark.full
@pytest.mark.parametrize("part", range(12))
def test_flips_come_true(seed: int, part: int, tmp_path: Path):
    kinds: Counter[str] = Counter()
    for number in range(80):
        (folder := tmp_path / str(number)).mkdir()
        kinds.update(told(f"{seed}:flips:{part}:{number}", 20, folder, product=number % 5 == 0))
        if number >= 24 and kinds["at"] >= FLIPS:  # of rules drawn at random time alone moves one in twenty
            break
    assert kinds["at"] >= FLIPS, kinds
    assert kinds["unknown"] < kinds.total() / 10  # places can't be foretold where time moves them
