"""`during` bounds a sequence as a whole, as `last`, `since` and `until` do."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

import segmentry as sg

AS_OF = datetime(2026, 3, 31, 12, tzinfo=UTC)
ROWS = [
    (1, "a", datetime(2026, 3, 1, tzinfo=UTC)),
    (1, "b", datetime(2026, 3, 2, tzinfo=UTC)),
    (2, "a", datetime(2026, 2, 1, tzinfo=UTC)),
    (2, "b", datetime(2026, 2, 3, tzinfo=UTC)),
]


def found(rule: object) -> list[int]:
    events = pl.DataFrame(ROWS, schema=["contact", "event", "at"], orient="row")
    contacts = pl.DataFrame({"id": [1, 2, 3]})
    table = {name: sg.Events(events.filter(pl.col("event") == name), contact="contact", at="at") for name in "ab"}
    return sg.evaluate({"it": rule}, contacts=contacts, key="id", events=table, as_of=AS_OF).members("it").to_list()


@pytest.mark.parametrize(
    ("rule", "members"),
    [
        ("sequence(did(a), did(b), during => 'this month')", [1]),
        ("sequence(did(a), did(b), during => 'last month')", [2]),
        ("sequence(did(a), did(b), during => 'today')", []),
        ("sequence(did(a), did(b), during => 'this month', last => '29 days')", []),
        ("sequence(did(a), did(b, during => 'this month'), during => 'last month')", []),
        ({"sequence": [{"event": "a"}, {"event": "b"}], "during": "last month"}, [2]),
    ],
)
def test_the_period_bounds_every_step(rule: object, members: list[int]) -> None:
    assert found(rule) == members
