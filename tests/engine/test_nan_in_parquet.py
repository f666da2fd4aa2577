"""NaN is missing also in Parquet files, whose statistics leave it out."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

import segmentry

CONTACTS = pa.table({"id": [1, 2, 3], "score": [1.0, float("nan"), 3.0], "small": pa.array([1.0, float("nan"), 3.0], pa.float32())})
EVENTS = pa.table(
    {"contact_id": [1, 2, 3], "amount": [1.0, float("nan"), 3.0], "at": pa.array([0, 0, 0], pa.timestamp("us")), "event": ["a"] * 3}
)

RULES = {
    "score > 0": [1, 3],
    "score is set": [1, 3],
    "not score < 2": [2, 3],
    "small > 0": [1, 3],
    "2 < score": [3],
    "score + 1 > 0": [1, 3],
    "did(a, amount > 0)": [1, 3],
    "avg(a.amount) > 0": [1, 3],
    "count(a, amount is not set) = 1": [2],
    "sum(a.amount) = 0": [2],
}


@pytest.fixture(params=["file", "arrow", "polars"])
def sources(request, tmp_path: Path):
    match request.param:
        case "file":
            for name, table in (("contacts", CONTACTS), ("events", EVENTS)):
                parquet.write_table(table, tmp_path / f"{name}.parquet")
            return tmp_path / "contacts.parquet", tmp_path / "events.parquet"
        case "arrow":
            return CONTACTS, EVENTS
    return pl.from_arrow(CONTACTS), pl.from_arrow(EVENTS)


def test_nan_is_missing_however_it_comes(sources):
    contacts, events = sources
    found = segmentry.evaluate(
        {f"r{n}": rule for n, rule in enumerate(RULES)}, contacts=contacts, key="id", events=segmentry.Events(events)
    )
    assert {rule: found.members(f"r{n}").to_list() for n, rule in enumerate(RULES)} == RULES
