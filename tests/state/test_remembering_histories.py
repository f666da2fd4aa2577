"""Random histories of one segment and of rules that ask about its past, against a model written from their description alone.

The model keeps what every run accepted as plain Python values: who was in, and a log of who came and went under which key.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from tests.state.conftest import Shop
from tests.state.holding import holding

START = datetime(2026, 1, 10, tzinfo=UTC)
DAYS = (1, 2, 5)
ASKED = {
    **{f"came_{days}": f"entered('vip', last => '{days} days')" for days in DAYS},
    **{f"went_{days}": f"exited('vip', last => '{days} days')" for days in DAYS},
    **{f"stayed_{days}": f"member('vip', for => '{days} days')" for days in DAYS},
    "ever": "entered('vip') or exited('vip', until => ago('2 days'))",
}


@dataclass
class Model:
    """What was accepted of `vip`: `members` is None before its first computation; the log has (instant, key, came, first)."""

    rows: dict[int, int] = field(default_factory=dict)
    aliases: dict[int, int] = field(default_factory=dict)
    members: set[int] | None = None
    log: list[tuple[datetime, int, bool, bool]] = field(default_factory=list)
    limit: int = 10

    @property
    def computed(self) -> set[int]:
        return {key for key, spend in self.rows.items() if spend > self.limit}

    def chain(self, key: int) -> list[int]:
        """The keys that a key became, one after the other, itself first."""
        found = [key]
        while found[-1] in self.aliases:
            found.append(self.aliases[found[-1]])
        return found

    def now(self, key: int) -> int:
        """The key that a contact goes on under, if this snapshot has that one and not the former."""
        last = self.chain(key)[-1]
        return last if key not in self.rows and last in self.rows else key

    @property
    def before(self) -> set[int]:
        return {self.now(key) for key in self.members or ()}

    def moved(self, first: datetime | None, final: datetime, *, came: bool) -> set[int]:
        """Who came, or left, by earlier runs after `first`, up to and with `final`; a first computation brings nobody in."""
        within = [entry for entry in self.log if (first is None or first < entry[0]) and entry[0] <= final]
        return {self.now(key) for _, key, entered, is_first in within if entered == came and not is_first}

    def own(self, *, came: bool) -> set[int]:
        """Whom this run itself brings in or takes out."""
        if self.members is None:
            return set()
        return self.computed - self.before if came else set(self.rows) & (self.before - self.computed)

    def since(self, key: int) -> datetime | None:
        """Since when a member has been in without a gap; an exit under any of its keys is one.

        A key that came twice was gone in between, also where it left under the key that it had been merged into.
        """
        own = [(at, q, entered) for at, q, entered, _ in self.log if self.now(q) == key]
        left = max((at for at, _, entered in own if not entered), default=None)
        came = {q: at for at, q, entered in own if entered and (left is None or at >= left)}  # the last time of each
        return min(came.values(), default=None) or left

    def expected(self, as_of: datetime) -> dict[str, set[int]]:
        there = set(self.rows)
        found: dict[str, set[int]] = {"vip": self.computed}
        for days in DAYS:
            ago = as_of - timedelta(days=days)
            found[f"came_{days}"] = (self.moved(ago, as_of, came=True) | self.own(came=True)) & there
            found[f"went_{days}"] = (self.moved(ago, as_of, came=False) | self.own(came=False)) & there
            stays = {key: self.since(key) for key in self.computed & self.before}
            found[f"stayed_{days}"] = {key for key, since in stays.items() if since is not None and since <= ago}
        found["ever"] = self.moved(None, as_of, came=True) | self.own(came=True) | self.moved(None, as_of - timedelta(days=2), came=False)
        found["ever"] &= there
        return found

    def accept(self, as_of: datetime) -> None:
        before, first = self.before, self.members is None
        self.log += [(as_of, key, True, first) for key in self.computed - before]
        self.log += [(as_of, key, False, False) for key in before - self.computed]
        self.members = self.computed

    def forget(self, key: int) -> None:
        person = key
        while person in self.aliases:
            person = self.aliases[person]
        gone = {person}
        while True:
            more = {old for old, new in self.aliases.items() if new in gone} - gone
            if not more:
                break
            gone |= more
        self.log = [entry for entry in self.log if entry[1] not in gone]
        self.members = None if self.members is None else self.members - gone


def edit(draw: random.Random, model: Model) -> None:
    """What the world does between two runs."""
    for key in list(model.rows):
        if draw.random() < 0.3:
            model.rows[key] = draw.choice([5, 50])
    if draw.random() < 0.3:
        model.rows[max(model.rows) + 1 + draw.randrange(2)] = draw.choice([5, 50])
    if draw.random() < 0.2 and len(model.rows) > 4:
        del model.rows[draw.choice(sorted(model.rows))]
    if draw.random() < 0.3 and len(model.rows) > 4:
        old, new = draw.sample(sorted(model.rows), 2)
        if draw.random() < 0.2:
            new = max(model.rows) + 3
            model.rows[new] = draw.choice([5, 50])
        if old not in model.chain(new):  # a key that is used again may have become the other before, and a circle is an error
            others = old in model.aliases.values()  # whose past a key has that others became, and that stays though merged, nobody says
            model.aliases[old] = new
            if draw.random() < 0.8 or others:
                del model.rows[old]


def nothing(_shop: Shop, _as_of: datetime) -> None:
    pass


def play(shop: Shop, draw: random.Random, runs: int, after: Callable[[Shop, datetime], None] = nothing) -> int:
    """One history; how many answers were compared that had somebody in. `after` each run of `vip` something may look at it."""
    model, as_of, told = Model({key: draw.choice([5, 50]) for key in range(1, 8)}), START, 0
    names, is_there = ["vip"], True
    shop.key = "id, aliases: aliases.csv"
    shop.segment("vip", "spend > 10")
    for _ in range(runs):
        as_of += timedelta(hours=draw.choice([6, 24, 24, 36, 60]))
        edit(draw, model)
        if is_there and draw.random() < 0.1:
            names.append(f"vip_{len(names)}")
        name = names[-1]
        is_there = model.members is None or draw.random() > 0.15
        shop.segment("all", "true")
        for other in [*names, *ASKED]:
            (shop.root / "segments" / f"{other}.yml").unlink(missing_ok=True)
        if is_there:
            shop.segment(name, "spend > 10", renamed_from=str(names[:-1]))
            for asked, rule in ASKED.items():
                shop.segment(asked, rule.replace("'vip'", f"'{name}'"))
        shop.contacts({"id": list(model.rows), "spend": list(model.rows.values())})
        (shop.root / "aliases.csv").write_text("old_key,new_key\n" + "".join(f"{old},{new}\n" for old, new in model.aliases.items()))
        held = [name] if is_there and model.members is not None and draw.random() < 0.2 else []
        with holding(*held):
            shop.run(as_of)
        if is_there:
            expected = model.expected(as_of)
            for asked in ASKED:
                members = set(shop.state.members(asked))
                assert members == expected[asked], (asked, as_of, model)
                told += bool(members)
            if held:
                model.members = model.before
            else:
                model.accept(as_of)
            after(shop, as_of)
        if draw.random() < 0.1:
            shop.state.gc(timedelta(0), as_of + timedelta(days=400))
        if draw.random() < 0.1:
            key = draw.choice(sorted(model.rows))
            shop.state.forget([key], as_of)
            model.forget(key)
            model.rows.pop(key)
    return told


@pytest.mark.parametrize("seed", range(1))
def test_what_was_is_what_the_model_says(shop: Shop, seed: int) -> None:
    assert play(shop, random.Random(seed), 5)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 140))
def test_what_was_is_what_the_model_says_in_many_histories(shop: Shop, seed: int) -> None:
    assert play(shop, random.Random(seed), 25)
