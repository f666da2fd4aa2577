"""Metrics as Prometheus reads them: by its own parser, and by its conventions."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from segmentry.cli_unattended import write_metrics
from segmentry.engine.attempts import Attempt, keeping, note
from segmentry.engine.loading import load
from segmentry.engine.metrics import HELP, metrics
from segmentry.engine.state import State
from segmentry.engine.state.schema import ENROLLMENTS
from tests.activation.conftest import Enrolling
from tests.state.conftest import Shop, day

Samples = dict[tuple[str, ...], float]


def read(text: str) -> dict[str, Samples]:
    """Each family's samples by the values of their own labels; the ones that all have are checked and left out."""
    found: dict[str, Samples] = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            own = {name: value for name, value in sample.labels.items() if name not in ("workspace", "environment")}
            assert sample.labels.keys() - own.keys() == {"workspace", "environment"}
            found.setdefault(family.name.removeprefix("segmentry_"), {})[tuple(own.values())] = sample.value
    return found


def measured(shop: Shop, at: str) -> dict[str, Samples]:
    return read(metrics(load(shop.root), shop.state, day(at)))


def test_how_a_workspace_stands_is_in_it(enrolling: Enrolling) -> None:
    enrolling.further = {"schedule": "{every: 1 hour}"}
    enrolling.write_config()
    with keeping(enrolling.state) as lease:
        note(enrolling.state, lease, Attempt(day("2026-01-02"), day("2026-01-02T00:00:09"), "time", "accepted", 0, 2))
    found = measured(enrolling, "2026-01-02T03:00")
    start = day("2026-01-02").timestamp()
    assert found["last_attempt_timestamp_seconds"] == {(): start}
    assert found["last_attempt_duration_seconds"] == {(): 9}
    assert found["last_attempt_exit_code"] == {(): 0}
    assert found["last_success_timestamp_seconds"] == {(): start}
    assert found["next_run_timestamp_seconds"] == {(): start + 3600}
    assert found["stale_from_timestamp_seconds"] == {(): start + 7200}
    assert found["scheduler_up"] == {(): 0}
    assert found["contacts"] == {(): 3}
    assert (found["segment_members"], found["segment_entered"], found["segment_exited"]) == ({("vip",): 3}, {("vip",): 2}, {("vip",): 0})
    assert found["enrollments"] == {("welcome", "pending"): 2}
    assert (found["deliveries_unsent"], found["deliveries_due"]) == ({("crm",): 2}, {("crm",): 2})
    assert found["alarms"] == {("held",): 0, ("failed",): 0, ("stale",): 1, ("rejected",): 0, ("unknown",): 0, ("unconfirmed",): 0}
    assert found["holds_open"] == {("source",): 0, ("segment",): 0, ("suppress",): 0, ("sequence",): 0}


def test_failed_deliveries_and_holds_are_counted(enrolling: Enrolling) -> None:
    with enrolling.state.catalog.writing() as connection:
        connection.execute(update(ENROLLMENTS).where(ENROLLMENTS.c.contact == "2").values(outcome="rejected"))
        connection.execute(update(ENROLLMENTS).where(ENROLLMENTS.c.contact == "3").values(outcome="unknown"))
    enrolling.guards = "{segment: {contacts: 1, enters: 1%}}"
    enrolling.people({"id": [1, 2, 3, 4, 5], "spend": [50] * 5})
    enrolling.run("2026-01-03")
    found = measured(enrolling, "2026-01-03T01:00")
    assert found["deliveries_failed"] == {("crm", "rejected"): 1, ("crm", "unknown"): 1}
    assert "deliveries_due" not in found
    assert found["holds_open"][("segment",)] == 1
    assert found["alarms"][("held",)] == 1


def test_what_is_not_known_yet_is_left_out(shop: Shop) -> None:
    shop.write_config()
    State.open(load(shop.root).state, load(shop.root).config.id, create=True).close()
    found = measured(shop, "2026-01-01")
    assert found.keys() == {"info", "scheduler_up", "holds_open", "alarms"}


def test_names_follow_the_conventions(enrolling: Enrolling) -> None:
    text = metrics(load(enrolling.root), enrolling.state, day("2026-01-02T01:00"))
    for name in HELP:
        assert re.fullmatch(r"[a-z][a-z_]*", name)
        assert not name.endswith("_total"), "gauges are no totals"
        assert ("timestamp" in name or "duration" in name) == name.endswith("_seconds")
    helps, types = re.findall(r"# HELP (\w+) .+\n# TYPE (\w+) gauge\n\1\{", text), re.findall(r"# TYPE (\w+)", text)
    assert [one for one, _ in helps] == types
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize("name", ['a "shop"', "back\\slash", "two\nlines", "Läden"])
def test_whatever_a_workspace_is_called_is_read_back(enrolling: Enrolling, name: str) -> None:
    enrolling.further = {"name": json.dumps(name)}
    enrolling.write_config()
    families = list(text_string_to_metric_families(metrics(load(enrolling.root), enrolling.state, day("2026-01-02T01:00"))))
    assert {sample.labels["workspace"] for family in families for sample in family.samples} == {name}


def test_the_file_is_replaced_whole_and_everybody_may_read_it(enrolling: Enrolling, tmp_path: Path) -> None:
    path, loaded = tmp_path / "segmentry.prom", load(enrolling.root)
    write_metrics(path, loaded, enrolling.state, day("2026-01-02T01:00"))
    before = path.read_text()
    with path.open(encoding="utf-8") as former:
        enrolling.run("2026-01-02T01:30")
        write_metrics(path, loaded, enrolling.state, day("2026-01-02T02:00"))
        assert former.read() == before, "whoever reads the former one reads all of it"
    assert path.read_text() == metrics(loaded, enrolling.state, day("2026-01-02T02:00")) != before
    assert [entry.name for entry in tmp_path.iterdir() if "prom" in entry.name] == ["segmentry.prom"], "nothing passing is left"
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444
