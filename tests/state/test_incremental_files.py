"""A run of few contacts over event files that are not alike: it answers as a full one does, whatever their footers tell."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from tests.state.conftest import Shop, at
from tests.state.test_incremental_values import begun, later

BY_DAY = "events:\n  - {path: 'ev/*/*.parquet', contact: contact_id, at: day, event: order}\n"


def by_day(shop: Shop, **days: list[int]) -> None:
    """A file a day, which the folder tells and the file does not."""
    shop.more = BY_DAY
    for written, contacts in days.items():
        folder = shop.root / "ev" / f"day={written.removeprefix('d').replace('_', '-')}"
        folder.mkdir(parents=True)
        pl.DataFrame({"contact_id": contacts, "amount": [1.0] * len(contacts)}).write_parquet(folder / "a.parquet")


def file(shop: Shop, name: str, contacts: list[int], when: str, **columns: list[Any]) -> None:
    shop.event_file(name, {"contact_id": contacts, "at": [at(when)] * len(contacts), "event": ["order"] * len(contacts), **columns})


def goes_on(shop: Shop, *instants: str) -> dict[str, list[int]]:
    """The members of `a` after each run, none of which computed everything."""
    shop.run("2026-01-05T12:00")
    found = {}
    for instant in instants:
        assert not shop.run(instant).record.report["computed"]["full"]
        found[instant] = shop.state.members("a").to_list()
    return found


def test_the_time_is_told_by_a_folder(shop: Shop) -> None:
    shop.contacts({"id": [1, 2, 3, 4]})
    by_day(shop, d2026_01_01=[1, 2], d2026_01_05=[3])
    shop.segment("a", "did(order, last => '7 days')")
    assert goes_on(shop, "2026-01-07T12:00", "2026-01-08T12:00", "2026-01-13") == {
        "2026-01-07T12:00": [1, 2, 3],
        "2026-01-08T12:00": [3],
        "2026-01-13": [],
    }


def test_the_time_is_spelled_otherwise_in_one_file(shop: Shop) -> None:
    shop.contacts({"id": [1, 2, 3, 4]})
    file(shop, "a", [1], "2026-01-02")
    shop.event_file("b", {"contact_id": [3], "At": [at("2026-01-01")], "event": ["order"]})
    shop.segment("a", "did(order, last => '7 days')")
    assert goes_on(shop, "2026-01-08T12:00", "2026-01-13") == {"2026-01-08T12:00": [1], "2026-01-13": []}


@pytest.mark.parametrize(
    ("rule", "columns"),
    [
        ("did(order, coupon = 'x', last => '7 days')", {"coupon": ["x"]}),
        ("did(order, coupon is not set, last => '7 days')", {"coupon": ["x"]}),
        ("did(order, tags contains 'x', last => '7 days')", {"tags": [["x"]]}),
        ("did(order, item.b = 'x', last => '7 days')", {"item": [{"a": 1, "b": "x"}]}),
    ],
)
def test_a_column_is_in_no_file_that_has_an_edge(shop: Shop, rule: str, columns: dict[str, list[Any]]) -> None:
    shop.contacts({"id": [1, 2, 3, 4]})
    file(shop, "a", [1], "2026-01-02", **columns)
    file(shop, "b", [3], "2026-02-10", **({"item": [{"a": 1}]} if "item" in columns else {}))
    shop.segment("a", rule)
    found = goes_on(shop, "2026-02-07", "2026-02-10", "2026-02-17T00:00:00.000001")
    told = not columns.get("coupon") or "not set" not in rule
    assert list(found.values()) == ([[], [], []] if told else [[], [3], []])


def test_days_told_by_folders_begin_at_midnight_of_the_workspace_also_in_summer(shop: Shop) -> None:
    shop.zone = "America/New_York"
    shop.contacts({"id": [1, 2, 3]})
    by_day(shop, d2026_01_01=[1, 2], d2026_07_05=[3])
    shop.segment("a", "did(order, since => '2026-07-05 00:30')")
    shop.segment("b", "did(order, since => '2026-07-05')")
    shop.run("2026-08-01T12:00")
    assert (shop.state.members("a").to_list(), shop.state.members("b").to_list()) == ([], [3])


def test_a_file_that_was_read_as_another_type(shop: Shop) -> None:
    """The very file means something else when its column is text and no UUID any more; then it is written again."""
    ref = "0a1b2c3d-0000-4000-8000-00000000000f"
    drawn = begun(shop)
    shop.contacts({"id": [1, 2, 3]})
    shop.segment("a", f"did(order, ref = '{ref}')")

    def typed(type: str) -> None:
        fields = f"{{contact_id: integer, at: timestamp, ref: {type}}}"
        shop.more = f'events:\n  - {{path: "orders.csv", contact: contact_id, at: at, event: order, fields: {fields}}}\n'

    def written(ref: str) -> None:
        (shop.root / "orders.csv").write_text(f"contact_id,at,ref\n2,2026-01-28T00:00:00,{ref}\n")

    written(ref.upper())
    typed("uuid")
    drawn.run_both()
    typed("text")
    later(drawn)
    assert shop.state.members("a").to_list() == []
    written(ref)
    later(drawn)
    assert shop.state.members("a").to_list() == [2]
    assert len(drawn.parts) == 1
