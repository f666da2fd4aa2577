"""A shop whose contacts are NDJSON with objects: rules ask their fields, a second run finds no change, and `verify` agrees."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Shop

SETTINGS = """\
version: 1
id: 7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a77
contacts: {path: contacts.ndjson, key: id}
guards: {snapshot: {shrinks: 100%}}
"""


def test_objects_of_contacts(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.write("segmentry.yml", SETTINGS)
    shop.write("segments/paris.yml", "where: address.city = 'Paris' and address.geo.lat < 50\n")
    shop.write("segments/dear.yml", "where: any(items, element.price > 3, element.sku = 'x')\n")
    lines = [
        {"id": 1, "address": {"city": "Paris", "geo": {"lat": 48.9}}, "items": [{"sku": "x", "price": 3.5}]},
        {"id": 2, "address": {"city": "Paris", "geo": {}}, "items": [{"sku": "x", "price": 2}, {"sku": "y", "price": 9}]},
        {"id": 3, "address": None},
        {"id": 4, "items": []},
    ]
    shop.write("contacts.ndjson", "".join(json.dumps(line) + "\n" for line in lines))
    shop.run("recompute", "--first-run", "--as-of", "2026-03-01")
    for name in ("paris", "dear"):
        assert shop.run("members", name, "--columns", "id", "--format", "csv").stdout.split() == ["id", "1"]
    found = json.loads(shop.run("verify", "--as-of", "2026-03-01", "--format", "json").stdout)
    assert {one["segment"]: (one["finding"], one["checked"]) for one in found["segments"]} == dict.fromkeys(
        ("paris", "dear"), ("agrees", 4)
    )
    lines[0]["address"]["city"] = "Rome"
    lines.append({"id": 5, "address": {"city": "Paris", "geo": {"lat": 1}, "street": "new"}})
    shop.write("contacts.ndjson", "".join(json.dumps(line) + "\n" for line in lines))
    shop.run("recompute", "--as-of", "2026-03-02")
    changes = json.loads(shop.run("diff", "--format", "json").stdout)
    assert {(one["segment"], one["contact"], one["change"], one["cause"]) for one in changes} == {
        ("paris", 1, "exited", "data"),
        ("paris", 5, "entered", "source"),
    }
