"""The next flip of `entered`, `exited` and `member(..., for =>)`: it comes true whichever runs are made until then."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from segmentry.engine.foretelling import Flip, Foresight
from segmentry.engine.moment import Moment
from segmentry.engine.workspace import Workspace
from segmentry.rules.ground import TICK
from tests.state.conftest import Shop, day

START = datetime(2026, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
VIP = (
    "spend > 10",
    "joined in the last '3 days'",
    "joined < ago('2 days')",
    "spend > 10 and joined in the last '2 days'",
    "joined in the last '1 day' or joined < ago('3 days')",
    "entered('base', last => '2 days')",
)
HARD = (
    "spend > 10 and top(2, by => spend, among => joined in the last '2 days')",
    "spend > 10 or entered('base', last => '1 day') and bottom(1, by => spend, among => joined in the last '3 days')",
)
"""With a place among all contacts, of which nothing is known where time moves it; but it does not always decide."""
ASKED = (
    "entered('vip', last => '2 days')",
    "exited('vip', last => '3 days')",
    "member('vip', for => '2 days')",
    "not member('vip', for => '1 day')",
    "entered('vip')",
    "entered('vip', last => '2 days') or exited('vip', last => '1 day')",
    "entered('vip', until => '2026-01-14') and not exited('vip', since => '2026-01-13')",
    "exited('vip', until => ago('1 day'))",
    "entered('vip', during => 'this week')",
    "entered('vip', since => start_of('week') + '2 days')",
    "spend > 10 and member('vip', for => '3 days')",
)


def moment_of(shop: Shop, as_of: datetime) -> Moment:
    shop.write_config()
    return Workspace.open(shop.root).moment(as_of)


def flip(shop: Shop, rule: str, as_of: str, key: int = 1) -> tuple[bool, str, str | None]:
    """Whether a contact is in, and when that turns over."""
    shop.segment("asks", rule)
    shop.write_config()
    told = Workspace.open(shop.root).explain("asks", key, day(as_of))
    return told.member, str(told.flip.kind), None if told.flip.at is None else told.flip.at.replace(tzinfo=None).isoformat(" ", "auto")


def test_what_runs_found_passes_the_edge_of_a_window(shop: Shop) -> None:
    shop.segment("vip", "spend > 10")
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2], "spend": [50, 50]})
    comes = flip(shop, "entered('vip', last => '7 days')", "2026-01-02")
    assert comes == (True, "not before", "2026-01-09 00:00:00"), "a run may date it later, or none may come"
    shop.remove("asks")
    shop.run("2026-01-02")
    assert flip(shop, "entered('vip', last => '7 days')", "2026-01-04") == (True, "at", "2026-01-09 00:00:00")
    assert flip(shop, "member('vip', for => '1 month')", "2026-01-04") == (False, "at", "2026-02-02 00:00:00")
    assert flip(shop, "entered('vip')", "2026-01-04") == (True, "never", None)


def test_a_segment_that_moves_itself_is_foretold_up_to_what_runs_make_of_it(shop: Shop) -> None:
    shop.segment("fresh", "joined in the last '3 days'")
    shop.contacts({"id": [1], "joined": [day("2026-01-01 12:00").replace(tzinfo=None)]})
    assert flip(shop, "exited('fresh', last => '7 days')", "2026-01-02") == (False, "not before", "2026-01-04 12:00:00"), "if ever computed"
    shop.remove("asks")
    shop.run("2026-01-02")
    assert flip(shop, "exited('fresh', last => '7 days')", "2026-01-02 01:00") == (False, "at", "2026-01-04 12:00:00")
    assert flip(shop, "member('fresh', for => '1 day')", "2026-01-02 01:00") == (False, "at", "2026-01-03 00:00:00")
    assert flip(shop, "member('fresh', for => '1 day')", "2026-01-03 01:00") == (True, "at", "2026-01-04 12:00:00")


def test_what_cannot_be_foretold_matters_only_where_it_decides(shop: Shop) -> None:
    """A place among all contacts by what time moves can't be foretold; who is out by another condition stays out."""
    shop.segment("best", "spend > 10 and top(1, by => spend, among => joined in the last '3 days')")
    shop.segment("good", "spend > 10 or entered('best', last => '7 days')")
    joined = [day("2026-01-01 12:00").replace(tzinfo=None)] * 2
    shop.contacts({"id": [1, 2], "spend": [5, 50], "joined": joined})
    shop.run("2026-01-02")
    assert flip(shop, "entered('best', last => '7 days')", "2026-01-02 01:00") == (False, "never", None)
    assert flip(shop, "exited('good', last => '7 days')", "2026-01-02 01:00", key=2) == (False, "never", None)
    assert flip(shop, "entered('best', last => '7 days')", "2026-01-02 01:00", key=2)[1] != "never"


# ---------------------------------------------------------------- whichever runs are made


def copied(shop: Shop, folder: Path) -> Shop:
    shutil.copytree(shop.root, folder)
    return replace(shop, root=folder)


def holds(shop: Shop, at: datetime, keys: list[int]) -> dict[int, bool]:
    moment = moment_of(shop, at)
    answer = moment.answer({"asks": moment.whole("asks")})
    found = dict(zip(answer.keys, answer.holds["asks"], strict=True))
    return {key: bool(found[key]) for key in keys}


def asked_at(draw: random.Random, flips: dict[int, Flip], as_of: datetime) -> list[datetime]:
    """Where to ask: at flips and right before them, and anywhere else."""
    times = {one for found in flips.values() if found.at is not None and found.at.year < 2027 for one in (found.at, found.at - TICK)}
    times |= {as_of + draw.randint(1, 240) * HOUR for _ in range(4)}
    return sorted(at for at in times if at >= as_of)


def held_to(flips: dict[int, Flip], now: dict[int, bool], at: datetime, found: dict[int, bool], where: str) -> None:
    for key, one in flips.items():
        if one.kind is Foresight.UNKNOWN or (one.at is not None and at >= one.at and (one.kind is Foresight.NOT_BEFORE or at > one.at)):
            continue
        assert found[key] is (now[key] is not (at == one.at)), f"{where}\n{key} at {at}: {found[key]}, {one}"


def edited(shop: Shop, draw: random.Random, rows: dict[int, tuple[int, datetime]], at: datetime) -> None:
    for key in list(rows) or range(1, 6):
        if key not in rows or draw.random() < 0.3:
            rows[key] = draw.choice([5, 50]), (at + draw.randint(-96, 48) * HOUR).replace(tzinfo=None)
    shop.contacts({"id": list(rows), "spend": [a for a, _ in rows.values()], "joined": [b for _, b in rows.values()]})


def play(shop: Shop, draw: random.Random, seed: str, folder: Path) -> Counter[str]:
    """A history of runs, a question, and then some futures: with no run, and with runs at any instants."""
    rows: dict[int, tuple[int, datetime]] = {}
    shop.segment("base", draw.choice(["spend > 10", *VIP[1:5]]))
    shop.segment("vip", draw.choice((*VIP, *VIP, *HARD)))
    past = sorted(START + draw.randint(0, 96) * HOUR for _ in range(draw.choice([0, 1, 2, 4, 6])))
    edited(shop, draw, rows, START)
    for at, following in pairwise([*past, past[-1] + HOUR if past else START]):
        if at != following:
            shop.run(at)
            edited(shop, draw, rows, at)
            if draw.random() < 0.1:
                shop.segment("vip", draw.choice(VIP))
    if draw.random() < 0.5 and past:
        shop.run(past[-1] + 2 * HOUR)
    as_of = (past[-1] if past else START) + draw.choice([-30, 0, 1, 2, 3, 20, 50]) * HOUR
    shop.segment("asks", rule := draw.choice(ASKED))
    shop.write_config()
    workspace, keys = Workspace.open(shop.root), list(rows)
    told = {key: workspace.explain("asks", key, as_of) for key in keys}
    flips, now = {key: one.flip for key, one in told.items()}, {key: one.member for key, one in told.items()}
    times = asked_at(draw, flips, as_of)
    where = f"{seed}: {rule} of {(shop.root / 'segments/vip.yml').read_text()} {as_of} after {past}, {rows}"
    for at in times:
        held_to(flips, now, at, holds(shop, at, keys), f"{where}, no run")
    newest = max([as_of, *([] if not past else [past[-1] + 2 * HOUR + TICK])])
    for number in range(2):
        future = copied(shop, folder / f"{number}")
        hours = draw.choice([3, 30, 150])
        runs = sorted({newest + draw.choice([0, draw.randint(0, hours)]) * HOUR + draw.choice([0, 0, 1]) * TICK for _ in range(3)})
        for at in times:
            while runs and runs[0] < at:
                future.run(runs.pop(0))
            held_to(flips, now, at, holds(future, at, keys), f"{where}, future {number}: {future.state.runs()}")
    return Counter(str(one.kind) for one in flips.values())


@pytest.mark.full
@pytest.mark.parametrize("part", range(4))
def test_it_comes_true_whichever_runs_are_made(seed: int, part: int, tmp_path: Path) -> None:
    kinds: Counter[str] = Counter()
    for number in range(6):
        name = f"{seed}:{part}:{number}"
        (root := tmp_path / name.replace(":", "_") / "shop").mkdir(parents=True)
        kinds += play(Shop(root), random.Random(name), name, root.parent)
    assert kinds["at"] >= 1, kinds
    assert kinds["unknown"] < kinds.total() / 4, kinds
