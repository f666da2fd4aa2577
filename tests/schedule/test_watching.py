"""How files look from outside: what counts as another snapshot, and what is not there yet."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from segmentry.engine.loading import LoadedWorkspace, load
from segmentry.engine.watching import Look, look, look_then
from tests.state.conftest import Shop

HEAD = "version: 1\nid: 7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11\n"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def workspace(root: Path, contacts: str, events: str = "") -> LoadedWorkspace:
    (root / "segmentry.yml").write_text(f"{HEAD}contacts: {contacts}\n{events}")
    return load(root)


def names(found: Look | None) -> list[str]:
    assert found is not None
    return [Path(path).name for path, _, _ in found]


def test_a_file_that_is_written_anew_looks_otherwise(tmp_path: Path) -> None:
    loaded, file = workspace(tmp_path, "{path: c.csv, key: id}"), tmp_path / "c.csv"
    assert look(loaded, NOON) is None, "it is not there"
    file.write_text("id\n1\n")
    before = look(loaded, NOON)
    assert before == look(loaded, NOON)
    file.write_text("id\n2\n")
    os.utime(file, ns=(1, 1))
    assert look(loaded, NOON) != before, "of the same size, at another time"


def test_a_snapshot_without_its_marker_is_not_there_yet(tmp_path: Path) -> None:
    loaded = workspace(tmp_path, '{path: "c/{date}.csv", key: id, ready: "c/{date}._SUCCESS"}')
    (tmp_path / "c").mkdir()
    (tmp_path / "c/2026-03-01.csv").write_text("id\n1\n")
    assert look(loaded, NOON) is None
    (tmp_path / "c/2026-03-01._SUCCESS").touch()
    assert names(look(loaded, NOON)) == ["2026-03-01.csv"]
    (tmp_path / "c/2026-03-02.csv").write_text("id\n1\n")
    assert names(look(loaded, NOON)) == ["2026-03-01.csv"], "the newer one is being written"
    (tmp_path / "c/2026-03-02._SUCCESS").touch()
    assert names(look(loaded, NOON)) == ["2026-03-02.csv"]
    assert names(look(loaded, datetime(2026, 3, 1, 12, tzinfo=UTC))) == ["2026-03-01.csv"], "a date that is still to come waits for it"


def test_event_files_count_too_and_hidden_ones_do_not(tmp_path: Path) -> None:
    events = 'events: [{path: "e/*.csv", contact: id, at: at, event: seen}]\n'
    loaded = workspace(tmp_path, "{path: c.csv, key: id}", events)
    (tmp_path / "e").mkdir()
    (tmp_path / "c.csv").write_text("id\n1\n")
    (tmp_path / "e/1.csv").write_text("id,at\n")
    (tmp_path / "e/.2.csv.part").write_text("id,at\n")
    assert names(look(loaded, NOON)) == ["c.csv", "1.csv"]
    (tmp_path / "e/2.csv").write_text("id,at\n")
    assert names(look(loaded, NOON)) == ["c.csv", "1.csv", "2.csv"]


@pytest.mark.parametrize("events", [False, True])
def test_files_that_a_run_has_read_look_as_they_did_then(shop: Shop, events: bool) -> None:
    if events:
        shop.event_file("one", {"contact_id": [1], "at": [datetime(2026, 1, 1)], "event": ["seen"]})  # noqa: DTZ001 - a column's
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    shop.segment("vip", "spend > 10")
    record = shop.run("2026-01-02").record
    assert look(load(shop.root), datetime(2026, 1, 3, tzinfo=UTC)) == look_then(record)
    shop.contacts(pl.DataFrame({"id": [1, 2, 3], "spend": [5, 50, 7]}))
    assert look(load(shop.root), datetime(2026, 1, 3, tzinfo=UTC)) != look_then(record)
