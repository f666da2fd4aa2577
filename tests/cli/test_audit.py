from __future__ import annotations

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
