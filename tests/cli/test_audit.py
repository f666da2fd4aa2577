from __future__ import annotations

from datetime import UTC, datetime, time

import polars as pl
import pytest

from segmentry.engine import audit as auditing
from segmentry.engine.audit import audit
from segmentry.engine.loading import load
from segmentry.engine.schemas import schema_of
from segmentry.engine.sources import pin
from segmentry.rules.checker import check
from segmentry.rules.ground import Clock, ground
from segmentry.rules.parse import parse_text
from tests.cli.conftest import NOW


def warnings(shop, rule):
    loaded = load(shop.folder)
    snapshot = pin(loaded.config, NOW, loaded.root)
    condition, _ = check(parse_text(rule), schema_of(snapshot, ["uk"]))
    found = audit({"x": ground(condition, Clock(NOW, "Europe/London"))}, snapshot)
    assert {finding.segment for finding in found} <= {"x"}
    return [(d.diagnostic.code, rule[d.diagnostic.place.start : d.diagnostic.place.end], d.diagnostic.help) for d in found]


def test_a_value_that_no_row_has(shop):
    assert warnings(shop, "location = 'uk' or 'US' = location") == [("R904", "'uk'", "did you mean 'UK'?")]
    assert warnings(shop, "location in ('UK', 'FR', 'US')") == [("R904", "'FR'", None)]
    assert warnings(shop, "not location = 'FR' and at_least(1, score > 5, location = 'DE')") == [
        ("R904", "'FR'", None),
        ("R904", "'DE'", None),
    ]


def test_values_inside_event_functions_are_looked_for_in_the_events(shop):
    assert warnings(shop, "did(order_placed, event = 'order_placed')") == []
    assert warnings(shop, "did(order_placed, contact.location = 'FR')") == [("R904", "'FR'", None)]
    assert warnings(shop, "did(any_event, event = 'x')") == [("R904", "'x'", None)]


def test_a_window_before_the_data(shop):
    assert warnings(shop, "did(order_placed, last => '1 day')") == []
    assert warnings(shop, "did(order_placed, last => '1 year')") == [("R905", "did(order_placed, last => '1 year')", None)]


def test_rules_without_texts_ask_nothing(shop, monkeypatch):
    monkeypatch.setattr("segmentry.engine.audit.connect", None)
    assert warnings(shop, "score > 5 or true") == []


def test_numbers_are_looked_for_too(shop):
    assert warnings(shop, "score in (18, 18.0, 19)") == [("R904", "19", None)]
    assert warnings(shop, "score > 1000 or score = -9") == [("R904", "9", None)]  # the sign has no place of its own


def test_a_value_beyond_the_first_rows_is_there(shop, monkeypatch):
    numbers = pl.int_range(6000, eager=True)
    location = pl.when(pl.col("score") < 5000).then(pl.lit("UK")).when(pl.col("score") < 5999).then(pl.lit("US")).otherwise(pl.lit("Fr"))
    rows = pl.DataFrame({"contact_id": numbers, "score": numbers, "email": "x"}).with_columns(location.alias("location"))
    rows.write_parquet(shop.folder / "data" / "contacts.parquet")
    asked: list[int | None] = []
    real = auditing._values_query
    monkeypatch.setattr(auditing, "_values_query", lambda *given: asked.append(given[4]) or real(*given))
    assert warnings(shop, "location = 'UK' and score = 7") == []
    assert asked == [auditing.FIRST_ROWS] * 2  # what is among the first rows is not looked for in all
    asked.clear()
    assert warnings(shop, "location in ('UK', 'US') and score in (7, 5999)") == []
    assert asked == [auditing.FIRST_ROWS] * 2 + [None] * 2
    assert warnings(shop, "location in ('UK', 'FR')") == [("R904", "'FR'", "did you mean 'Fr'?")]


@pytest.mark.parametrize("footers", [True, False])
@pytest.mark.parametrize("stored", [pl.Datetime("us", "UTC"), pl.Datetime("ns"), pl.Date])
def test_the_first_day_is_told_by_footers_as_by_rows(shop, monkeypatch, stored, footers):
    file = shop.folder / "data" / "events.parquet"
    rows = pl.read_parquet(file).with_columns(pl.col("occurred_at").cast(stored))
    rows.write_parquet(file)
    loaded = load(shop.folder)
    source = pin(loaded.config, NOW, loaded.root).events[0]
    queries = []
    with auditing.connect() as connection:
        monkeypatch.setattr(auditing, "scan", lambda relation, real=auditing.scan: queries.append(relation) or real(relation))
        if not footers:
            monkeypatch.setattr(auditing, "span_of", lambda *_: None)
        found = auditing._first_day(connection, source)
    assert found == datetime.combine(rows["occurred_at"].cast(pl.Date).min(), time(), UTC)
    assert len(queries) == (not footers)


def test_events_without_a_time_have_no_first_day(shop):
    file = shop.folder / "data" / "events.parquet"
    pl.read_parquet(file).with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias("occurred_at")).write_parquet(file)
    assert warnings(shop, "did(order_placed, last => '1 year')") == []
