"""Flips of what is hard to foretell, held to the answers at every instant of a grid on which all of them lie."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from segmentry import Workspace
from segmentry.rules.ground import TICK, ground
from tests.cli.conftest import NOW, Shop, build

HOUR = timedelta(hours=1)


def flips(shop: Shop, rule: str, grid: list[datetime], keys: range = range(1, 13)) -> dict[int, datetime | None]:
    """Each contact's first instant of the grid at which a rule's answer is another than now; `explain` must say the same."""
    shop.write("segments/asked.yml", f"where: >\n  {rule}\n")
    workspace = Workspace.open(shop.folder)
    moment = workspace.moment(NOW)
    asked = moment.ask(rule).condition
    clocks = [replace(moment.clock, as_of=at) for at in (NOW, *grid)]
    answer = replace(moment, clock=clocks[-1]).answer({f"at {number}": ground(asked, clock) for number, clock in enumerate(clocks)})
    answers = [dict(zip(answer.keys, answer.holds[f"at {number}"], strict=True)) for number in range(len(clocks))]
    found = {}
    for key in keys:
        expected = next((at for at, later in zip(grid, answers[1:], strict=True) if later[key] is not answers[0][key]), None)
        said = workspace.explain("asked", key, NOW)
        assert (str(said.flip.kind), said.flip.at) == ("never" if expected is None else "at", expected), f"{rule}, contact {key}\n{said}"
        found[key] = expected
    return found


def grid(hours_ahead: int) -> list[datetime]:
    """Every hour, and right before and after it."""
    hours = [NOW + number * HOUR for number in range(1, hours_ahead)]
    return sorted(at + by for at in hours for by in (-TICK, timedelta(0), TICK))


@pytest.fixture
def baskets(tmp_path: Path) -> Shop:
    """Contact n has an order an hour for n hours, with n items each that were made at whole hours."""
    shop = build(tmp_path)
    rows = [
        (n, NOW - hour * HOUR, "order_placed", [{"made": NOW - (hour + 7 * item) * HOUR, "price": item} for item in range(n % 4)])
        for n in range(1, 13)
        for hour in range(-2, n % 5)
    ]
    made = pl.List(pl.Struct({"made": pl.Datetime("ns", "UTC"), "price": pl.Int64}))
    schema = {"contact_id": pl.Int64, "occurred_at": pl.Datetime("us", "UTC"), "event": pl.String, "items": made}
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(tmp_path / "data/events.parquet")
    return shop


@pytest.mark.parametrize(
    "rule",
    [
        "did(order_placed, any(items, element.made in the last '20 hours'))",
        pytest.param("count(order_placed, all(items, element.made < ago('15 hours')), last => '1 day') >= 2", marks=pytest.mark.full),
        pytest.param(
            "count(order_placed, how_many(items, element.made in the last '18 hours', element.price > 0) = 1) >= 1", marks=pytest.mark.full
        ),
        pytest.param(
            "sequence(did(order_placed, none(items, element.made in the last '12 hours')), did(order_placed), last => '30 hours')",
            marks=pytest.mark.full,
        ),
    ],
)
def test_lists_within_events(baskets: Shop, rule: str) -> None:
    found = flips(baskets, rule, grid(32), range(1, 12, 3))
    assert len(set(found.values())) > 1


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("hour(ago('1 month')) = 4", datetime(2026, 3, 2, 4, tzinfo=UTC)),
        ("hour(ago('2 months')) = 11", datetime(2026, 3, 2, 11, tzinfo=UTC)),
        ("day(ago('1 month')) = 28", datetime(2026, 3, 28, tzinfo=UTC)),
        ("month(ahead('1 year')) = 4", datetime(2026, 3, 31, 23, tzinfo=UTC)),
        ("weekday(ago('1 month')) = 3", datetime(2026, 3, 4, tzinfo=UTC)),
    ],
)
def test_parts_of_a_clock_that_months_have_moved(shop: Shop, rule: str, expected: datetime) -> None:
    assert flips(shop, f"{rule} and score > 5", [expected - TICK, expected], range(2, 3)) == {2: expected}


@pytest.mark.parametrize(
    ("rule", "kinds"),
    [
        ("top(3, by => score)", {"never"}),
        ("ntile(3, by => score * 2, among => member('uk') or top(6, by => score), per => location) = 1", {"never"}),
        ("score > 50 and bottom(2, by => score, among => added in the last '30 days')", {"never", "unknown"}),
        ("top(3, by => count(order_placed, last => '30 days'))", {"unknown"}),
        ("top(3, by => score, among => not member('buyers'))", {"unknown"}),
    ],
)
def test_places_that_no_clock_moves_stay(shop: Shop, rule: str, kinds: set[str]) -> None:
    shop.write("segments/asked.yml", f"where: >\n  {rule}\n")
    workspace = Workspace.open(shop.folder)
    assert {str(workspace.explain("asked", key, NOW).flip.kind) for key in range(1, 13)} == kinds
