"""A backtest is what separate evaluations at each instant find, in a few passes."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import polars as pl
import pytest

import segmentry as sg
from segmentry.engine import backtesting
from segmentry.engine.backtesting import instants
from segmentry.engine.plotting import Curve, in_blocks, svg
from segmentry.errors import ClockError, NotFound, RuleError
from segmentry.verifying.groups import division

WORKSPACE = """\
version: 1
id: 7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11
name: shop
timezone: Europe/London
contacts: {path: contacts.parquet, key: id}
events:
  - {path: orders.parquet, contact: contact, at: at, event: order}
  - {path: visits.parquet, contact: contact, at: at, name: what}
guards: {snapshot: {shrinks: 100%}}
"""
SEGMENTS = {
    "buyers": "where: \"count(order, amount > 20, last => '3 days') >= 1 and not did(view, last => '1 day')\"",
    "new": "where: \"joined in the last '4 days'\"",
    "both": "where: \"member('buyers') or (member('new') and sum(order.amount) > 30)\"\nexclude: never.csv",
    "birthday": "where: \"next_anniversary(joined) in the next '5 days' or latest(order.amount) > contactless\"",
    "best": "where: \"top(5, by => sum(order.amount, last => '3 days'), among => not member('new'))\"\npriority: {group: offers, rank: 1}",
    "next": "where: \"did(order, last => '2 days')\"\npriority: {group: offers, rank: 2}",
    "lately": "where: \"entered('buyers', last => '2 days') or member('buyers', for => '2 days')\"",
}
START = datetime(2026, 3, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> sg.Workspace:
    """Forty contacts with orders and visits around the day on which London's clocks change, and three runs."""
    root: Path = tmp_path_factory.mktemp("backtest")
    (root / "segmentry.yml").write_text(WORKSPACE)
    (root / "segments").mkdir()
    for name, text in SEGMENTS.items():
        (root / "segments" / f"{name}.yml").write_text(text.replace("contactless", "limit") + "\n")
    (root / "never.csv").write_text("3\n7\n")
    keys = list(range(40))
    joined = [START + timedelta(hours=17 * (key % 20) - 40) for key in keys]
    pl.DataFrame({"id": keys, "joined": joined, "limit": [key % 7 * 10 for key in keys]}).write_parquet(root / "contacts.parquet")
    times = [START + timedelta(hours=7 * number % 480 - 60, minutes=number) for number in range(200)]
    amounts = [number * 13 % 70 for number in range(200)]
    orders = pl.DataFrame({"contact": [number * 11 % 43 for number in range(200)], "at": times, "amount": amounts})
    orders.write_parquet(root / "orders.parquet")
    what = ["view" if number % 3 else "click" for number in range(200)]
    orders.select(pl.col("contact") * 3 % 41, "at").with_columns(what=pl.Series(what)).write_parquet(root / "visits.parquet")
    workspace = sg.Workspace.open(root)
    for number in range(3):
        workspace.recompute(START + timedelta(days=3 * number), first_run=not number)
    return workspace


@pytest.fixture
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes of a few instants each."""
    monkeypatch.setattr(backtesting, "MOST_COLUMNS", 40)


def separate(workspace: sg.Workspace, rules: dict[str, str], period: list[datetime]) -> dict[str, list[tuple[int, int | None, int | None]]]:
    """Size, entered and exited of each rule at each instant, by an evaluation for each instant."""
    found: dict[str, list[tuple[int, int | None, int | None]]] = {name: [] for name in rules}
    before: dict[str, set[int]] = {}
    for instant in period:
        moment = workspace.moment(instant)
        answer = moment.answer({f"asked {name}": moment.grounded(moment.ask(rule).condition) for name, rule in rules.items()})
        now = {name: set(answer.members(f"asked {name}")) for name in rules}
        for name, members in now.items():
            former = before.get(name)
            moved = (None, None) if former is None else (len(members - former), len(former - members))
            found[name].append((len(members), *moved))
        before = now
    return found


@pytest.mark.usefixtures("fewer")
def test_it_equals_separate_evaluations_at_each_instant(shop: sg.Workspace) -> None:
    rule = "hour(first(order)) < 12 and not member('both') or entered('new')"
    found = shop.backtest(list(SEGMENTS), [rule], first=START, last=START + timedelta(days=12), every="36 hours")
    period = [START + timedelta(hours=36 * number) for number in range(9)]
    assert found.passes > 1
    expected = separate(shop, {name: rule if name == "rule 1" else f"member('{name}')" for name in found.names}, period)
    for name in found.names:
        own = found.series.filter(segment=name)
        assert own["at"].to_list() == period
        assert own.select("size", "entered", "exited").rows() == expected[name], name
        assert own["entered"].sum() > 0, name


def test_it_takes_a_pass_for_many_instants(shop: sg.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shop.backtest(["buyers"], first=START, last=START + timedelta(days=30), every="6h")
    assert found.series.height == 121
    assert found.passes == 1
    monkeypatch.setattr(backtesting, "MOST_COLUMNS", 7)
    again = shop.backtest(["buyers"], first=START, last=START + timedelta(days=30), every="6h")
    assert again.passes > 30
    assert again.series.equals(found.series)


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory, shop: sg.Workspace) -> sg.Workspace:
    """The same shop, with two segments in groups."""
    root = tmp_path_factory.mktemp("divided")
    shutil.copytree(shop.root, root, dirs_exist_ok=True)
    file = root / "segments" / "buyers.yml"
    file.write_text(f"{file.read_text()}split: {{salt: s, holdout: 20%, entered: 30%, b: 30%}}\n")
    file = root / "segments" / "new.yml"
    file.write_text(f"{file.read_text()}split: {{x: 50%, y: 50%}}\n")
    return sg.Workspace.open(root)


@pytest.mark.usefixtures("fewer")
def test_groups_are_those_of_separate_evaluations(divided: sg.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is in each group at each instant, drawn by the hash as docs/splits.md has it, and counted here."""
    days = {"first": START, "last": START + timedelta(days=6), "every": "1 day"}
    found = divided.backtest(["buyers", "new", "both"], ["did(order)"], **days, split=True)
    assert found.passes > 1
    split = {"buyers": division("buyers", [], "s", {"holdout": (None, "20%"), "entered": (None, "30%"), "b": (None, "30%")})}
    split["new"] = division("new", [], None, {"x": (None, "50%"), "y": (None, "50%")})
    shown = {line.segment: [other.group for other in found.lines if other.segment == line.segment] for line in found.lines}
    assert shown == {"buyers": ["holdout", "entered", "b", None], "new": ["x", "y"], "both": [None], "rule 1": [None]}
    before: dict[tuple[str, str | None], set[int]] = {}
    for number in range(7):
        instant = START + timedelta(days=number)
        moment = divided.moment(instant)
        answer = moment.answer({name: moment.whole(name) for name in split})
        for name, division_of in split.items():
            members = answer.members(name).to_list()
            for group in shown[name]:
                now = {key for key in members if division_of.group(key) == group}
                was = before.get((name, group))
                moved = (None, None) if was is None else (len(now - was), len(was - now))
                row = found.series.filter(pl.col("at") == instant, segment=name).filter(pl.col("group").eq_missing(pl.lit(group)))
                assert row.select("size", "entered", "exited").rows() == [(len(now), *moved)], (name, group, instant)
                before[name, group] = now
    assert all(found.series.filter(group=group)["size"].sum() > 0 for group in ("holdout", "entered", "b", "x", "y"))


def test_groups_together_are_the_whole(divided: sg.Workspace) -> None:
    days = {"first": START, "last": START + timedelta(days=6), "every": "1 day"}
    whole = divided.backtest(["buyers"], **days)
    parts = divided.backtest(["buyers"], **days, split=True)
    assert "group" not in whole.series.columns
    summed = parts.series.group_by("at", maintain_order=True).agg(pl.col("size", "entered", "exited").sum())
    sizes, moves = whole.series["size"].to_list(), whole.series["entered"][1:].to_list()
    assert (summed["size"].to_list(), summed["entered"][1:].to_list()) == (sizes, moves)
    assert parts.side_by_side().columns[:4] == ["at", "buyers holdout", "buyers holdout entered", "buyers holdout exited"]
    assert "buyers in no group" in parts.plot()
    assert "buyers holdout" in parts.svg()


def test_groups_of_what_is_not_divided_are_told(divided: sg.Workspace) -> None:
    for names, rules, told in ((["both"], [], "`both` has no `split`"), ([], ["did(order)"], "a rule has no `split`")):
        with pytest.raises(NotFound, match=told):
            divided.backtest(names, rules, first=START, last=START, split=True)


def test_days_keep_their_time_when_the_clocks_change_and_months_are_the_calendars() -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)

    def told(every: str, first: str, last: str) -> list[str]:
        bounds = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, last))
        return [f"{instant:%m-%d %H}" for instant in instants(*bounds, every, "Europe/London", now)]

    assert told("1 day", "2026-03-28", "2026-03-31") == ["03-28 00", "03-29 00", "03-29 23", "03-30 23"]
    assert told("24h", "2026-03-28", "2026-03-31") == ["03-28 00", "03-29 00", "03-30 00", "03-31 00"]
    assert told("1 month", "2026-01-31", "2026-04-30") == ["01-31 00", "02-28 00", "03-30 23", "04-29 23"]
    assert told("1 week", "2026-01-01", "2026-01-07") == ["01-01 00"]


def test_a_period_that_is_none_is_told(shop: sg.Workspace) -> None:
    for how, message in (
        ({"first": "2026-03-02", "last": "2026-03-01"}, "after its end"),
        ({"first": "2026-03-02", "last": "2126-03-01"}, "later than now"),
        ({"first": "2020-03-02", "last": "2026-03-01", "every": "1 minute"}, "more than 10,000 steps"),
        ({"first": "2020-03-02", "every": "often"}, "not a length of time"),
        ({"first": "soon"}, "is no instant"),
    ):
        with pytest.raises(ClockError, match=message):
            shop.backtest(["buyers"], **how)
    with pytest.raises(NotFound, match="did you mean `buyers`"):
        shop.backtest(["buyer"], first=START, last=START)
    with pytest.raises(RuleError):
        shop.backtest([], ["limit > 'x'"], first=START, last=START)


def test_the_picture_in_blocks() -> None:
    period = datetime(2026, 1, 1), datetime(2026, 1, 4)  # noqa: DTZ001 - only its days are shown
    assert in_blocks([Curve("vip", [0, 1, 80, 40])], *period, 18).splitlines() == [
        "vip",
        "80 │      ███",
        "   │      ███",
        "   │      ███",
        "   │      ███",
        "   │      ██████",
        "   │      ██████",
        "   │      ██████",
        " 0 │   ▁▁▁██████",
        "   └────────────",
        "    2026-01-01 2026-01-04",
    ]
    assert max(map(len, in_blocks([Curve("x", list(range(1000)))], *period, 60).splitlines())) <= 60


def test_the_picture_as_svg(shop: sg.Workspace) -> None:
    found = shop.backtest(["buyers"], ["limit < 20 and did(order)"], first=START, last=START + timedelta(days=4))
    tree = ET.fromstring(found.svg())
    lines = [node.get("points", "") for node in tree.iter() if node.tag.endswith("polyline")]
    assert [len(points.split()) for points in lines] == [5, 5]
    texts = [node.text for node in tree.iter() if node.tag.endswith("text")]
    assert {"buyers", "limit < 20 and did(order)", backtesting.NOTE} <= set(texts)
    alone = svg([Curve("a", [5])], [START], "")
    assert re.search(r'points="80\.0,30\.0"', alone)
