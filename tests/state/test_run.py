"""Runs end to end: what is accepted, what is stored, and what a clock may say."""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import duckdb
import polars as pl
import pytest

from segmentry.engine import run as runs
from segmentry.engine.membership import CHUNK_ROWS
from segmentry.engine.report import STAGES
from segmentry.engine.state import State, Status
from segmentry.errors import ClockError, NoState, NotFound, RuleError, SourceChanged, SourceError, WorkspaceError
from tests.state.conftest import ID, Shop, at, day


def bulk(shop: Shop) -> dict[str, str]:
    """Every bulk file and a digest of its bytes."""
    folder = shop.root / ".segmentry" / "default"
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.rglob("*.parquet"))
    }


# ---------------------------------------------------------------- what a run leaves


def test_a_first_run_needs_to_be_asked_for(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    shop.segment("big", "spend > 10")
    with pytest.raises(NoState):
        shop.run("2026-01-01", first_run=False)
    run = shop.run("2026-01-01", first_run=True)
    assert run.record.id == 1
    assert run.record.counts == {"big": 1}
    assert run.changes().rows() == [("big", 2, "entered", "rule", None)]
    assert shop.state.accepted() == run.record


def test_the_second_run_has_what_changed(shop: Shop) -> None:
    shop.contacts({"id": [1, 2, 3], "spend": [5, 50, 60]})
    shop.segment("big", "spend > 10")
    shop.run("2026-01-01")
    shop.contacts({"id": [3, 1, 4], "spend": [60, 20, 70]})
    run = shop.run("2026-01-02")
    assert run.changes().rows() == [
        ("big", 1, "entered", "data", None),
        ("big", 2, "exited", "source", None),
        ("big", 4, "entered", "source", None),
    ]
    assert run.changes().schema == {"segment": pl.String, "contact": pl.Int64, "change": pl.String, "cause": pl.String, "via": pl.String}
    state = shop.state
    assert state.members("big").to_list() == [1, 3, 4]
    assert state.memberships().rows() == [(1, True), (3, True), (4, True)]
    assert state.memberships(1).rows() == [(1, False), (2, True), (3, True)]
    assert state.history("big").select("run", "contact", "change").rows() == [
        (1, 2, "entered"),
        (1, 3, "entered"),
        (2, 1, "entered"),
        (2, 2, "exited"),
        (2, 4, "entered"),
    ]
    assert state.history("big")["as_of"].to_list()[-1] == day("2026-01-02")


def test_the_report_tells_rows_seconds_bytes_and_causes(shop: Shop) -> None:
    shop.list("staff.csv", 1, 9)
    shop.contacts({"id": [1, 2, 3], "spend": [5, 50, 60]})
    shop.event_file("a", {"contact_id": [1, 8, 8, 2], "at": [at("2026-01-01")] * 3 + [None], "event": ["order"] * 4})
    shop.segment("big", "spend > 10")
    shop.segment("buyers", "did(order)", exclude="staff.csv")
    assert shop.run("2026-01-02").record.report["segments"]["big"] == {"size": 2, "entered": {"rule": 2}, "exited": {}}
    shop.contacts({"id": [1, 2, 4], "spend": [15, 5, 60]})
    report = shop.run("2026-01-03").record.report
    assert report["segments"] == {
        "big": {"size": 2, "entered": {"data": 1, "source": 1}, "exited": {"data": 1, "source": 1}},
        "buyers": {"size": 0, "entered": {}, "exited": {}},
    }
    assert report["contacts"] == {"rows": 3, "positions": 4, "gone": 1, "new": 1}
    assert report["events"] == [{"source": "event", "unknown_contacts": 2, "without_time": 1}]
    assert report["lists"] == {"staff.csv": {"unknown_keys": 1}}
    assert set(STAGES) - {"commit"} <= set(report["seconds"])
    assert report["bytes_read"] > 0
    assert shop.state.report() == report
    assert shop.state.run().segments["big"].entered == 2


def test_progress_names_every_stage_in_order(shop: Shop) -> None:
    shop.contacts({"id": [1], "spend": [5]})
    seen: list[tuple[str, float]] = []
    shop.run("2026-01-01", progress=lambda stage, share: seen.append((stage, share)))
    assert seen == list(STAGES.items())


def test_nothing_changed_stores_next_to_nothing(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    shop.segment("big", "spend > 10")
    shop.run("2026-01-01")
    before = set(bulk(shop))
    assert shop.run("2026-01-02").changes().height == 0
    assert set(bulk(shop)) - before == {"runs/2/changes.parquet"}
    assert shop.state.members("big").to_list() == [2]


def test_repeated_runs_give_the_same_bytes(shop: Shop, tmp_path: Path) -> None:
    def story(root: Path) -> dict[str, str]:
        other = Shop(root)
        root.mkdir(exist_ok=True)
        other.list("staff.csv", 3, 1)
        other.contacts({"id": list(range(5000)), "spend": [i * 37 % 101 for i in range(5000)]})
        other.event_file(
            "a", {"contact_id": [i * 7 % 6000 for i in range(9000)], "at": [at("2026-01-01")] * 9000, "event": ["order"] * 9000}
        )
        other.segment("big", "spend > 50", exclude="staff.csv")
        other.segment("buyers", "count(order) >= 2 and not member('big')")
        other.run("2026-01-01")
        other.contacts({"id": list(range(4990, 9, -1)), "spend": [i * 31 % 101 for i in range(4990, 9, -1)]})
        other.run("2026-01-02")
        return bulk(other)

    first = story(shop.root)
    shutil.move(shop.root, tmp_path / "moved")
    assert story(shop.root) == first


def test_a_workspace_without_segments(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    run = shop.run("2026-01-01")
    assert run.record.counts == {}
    assert run.changes().height == 0
    shop.segment("big", "spend > 10")
    assert shop.run("2026-01-02").changes()["contact"].to_list() == [2]


@pytest.mark.parametrize(
    ("ids", "shown"),
    [
        (["b", "a", "Z", "ä"], ["Z", "a", "b", "ä"]),
        ([UUID(int=2), UUID(int=1)], [str(UUID(int=1)), str(UUID(int=2))]),
        ([3, -1, 2], [-1, 2, 3]),
    ],
)
def test_keys_of_every_type(shop: Shop, ids: list[object], shown: list[object]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = pa.array([i.bytes for i in ids], pa.uuid()) if isinstance(ids[0], UUID) else pa.array(ids)
    shop.segment("everybody", "true")
    pq.write_table(pa.table({"id": values}), shop.root / "contacts.parquet")
    assert shop.run("2026-01-01").changes()["contact"].to_list() == shown
    pq.write_table(pa.table({"id": values[1:]}), shop.root / "contacts.parquet")
    assert shop.run("2026-01-02").changes()["contact"].to_list() == [str(ids[0]) if isinstance(ids[0], UUID) else ids[0]]
    assert shop.state.order().record.kind == {str: "text", UUID: "uuid", int: "integer"}[type(ids[0])]


def test_more_contacts_than_a_chunk_holds(shop: Shop) -> None:
    size = CHUNK_ROWS + 1000
    ids = pl.int_range(size, eager=True).alias("id")
    shop.contacts(pl.DataFrame([ids, (ids % 100).alias("spend")]))
    shop.segment("big", "spend > 97")
    shop.run("2026-01-01")
    more = pl.concat([ids, pl.Series("id", [size + 5, size + 3])])
    spend = pl.when(more == CHUNK_ROWS + 7).then(99).when(more >= size).then(98).otherwise(more % 100)
    shop.contacts(pl.DataFrame([more, pl.select(spend.alias("spend")).to_series()]).reverse())
    run = shop.run("2026-01-02")
    assert run.changes().select("contact", "cause").rows() == [(CHUNK_ROWS + 7, "data"), (size + 3, "source"), (size + 5, "source")]
    state = shop.state
    assert len(state.members("big")) == run.record.counts["big"]
    assert run.record.members[0] == state.run(1).members[0]  # the first chunk is still the first run's
    assert state.order().record.key_files[0] == state.order(1).record.key_files[0]


def test_any_duckdb_reads_a_run_as_one_table(shop: Shop) -> None:
    shop.list("staff.csv", 1)
    shop.contacts({"id": [1, 2, 3], "spend": [5, 50, 60]})
    shop.segment("big", "spend > 10")
    shop.segment("staff", list="staff.csv")
    shop.run("2026-01-01")
    shop.contacts({"id": [4, 2, 1], "spend": [5, 50, 60]})
    shop.run("2026-01-02")
    for run in (1, 2):
        rows = duckdb.sql(shop.state.view(run)).fetchall()
        assert rows == shop.state.memberships(run).rows()
    shop.state.gc(timedelta(0), day("2026-02-01"))
    assert len(duckdb.sql(shop.state.view()).fetchall()) == 3


def test_an_order_that_is_mostly_gone_is_compacted_and_nothing_is_lost(shop: Shop) -> None:
    when = [at("2026-01-01")] * 8
    shop.event_file("a", {"contact_id": list(range(8)), "at": when, "event": ["order"] * 8})
    shop.segment("buyers", "did(order)")
    shop.contacts({"id": list(range(8)), "spend": [0] * 8})
    shop.run("2026-01-02")
    shop.contacts({"id": [1, 3, 5, 7], "spend": [0] * 4})
    assert shop.run("2026-01-03").changes()["contact"].to_list() == [0, 2, 4, 6]
    shop.contacts({"id": [1, 3, 5, 7, 9], "spend": [0] * 5})
    assert shop.run("2026-01-04").changes().height == 0
    state = shop.state
    assert state.order().keys.to_list() == [1, 3, 5, 7, 9]
    assert state.order().record.lineage != state.order(2).record.lineage
    assert state.event_digests(state.event_files()[0])["position"].to_list() == [0, 1, 2, 3]
    shop.event_file("a", {"contact_id": [0, 1, 2, 3, 4, 5, 6, 9], "at": when, "event": ["order"] * 8})
    assert shop.run("2026-01-05").changes().select("contact", "change", "cause").rows() == [(7, "exited", "data"), (9, "entered", "data")]


def test_one_dry_run_changes_nothing_and_shows_all(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    shop.segment("big", "spend > 10")
    with pytest.raises(NoState):
        shop.run("2026-01-01", first_run=False, dry_run=True)
    run = shop.run("2026-01-01", first_run=True, dry_run=True)
    assert not run.committed
    assert run.changes().rows() == [("big", 2, "entered", "rule", None)]
    assert not (shop.root / ".segmentry").exists()
    shop.run("2026-01-01")
    before = bulk(shop)
    shop.contacts({"id": [1, 2], "spend": [15, 50]})
    run = shop.run("2026-01-02", dry_run=True)
    assert run.changes().rows() == [("big", 1, "entered", "data", None)]
    assert run.record.counts == {"big": 2}
    assert bulk(shop) == before
    assert [record.id for record in shop.state.runs()] == [1]


# ---------------------------------------------------------------- time


def test_an_as_of_later_than_the_clock_is_refused(shop: Shop) -> None:
    shop.contacts({"id": [1], "spend": [5]})
    with pytest.raises(ClockError, match="2026-01-02 00:00:00 UTC is later than the clock"):
        shop.run("2026-01-02", now=day("2026-01-01"), first_run=True)
    assert not (shop.root / ".segmentry").exists()


def test_a_clock_earlier_than_the_accepted_run_is_refused(shop: Shop) -> None:
    shop.contacts({"id": [1], "spend": [5]})
    shop.run("2026-01-01", now=day("2026-01-05"))
    with pytest.raises(ClockError, match="set the clock right"):
        shop.run("2026-01-03", now=day("2026-01-04"))


def test_the_clock_is_read_after_the_wait_for_the_lease(shop: Shop) -> None:
    shop.contacts({"id": [1], "spend": [5]})
    run = shop.run("2026-01-01", now=None)
    assert datetime.now(UTC) - run.record.started < timedelta(minutes=5)


def test_a_historical_run_is_stored_and_never_accepted(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "joined": [at("2026-01-01"), at("2026-01-09")]})
    shop.segment("joined", "joined before now()")
    shop.run("2026-01-10")
    shop.contacts({"id": [1, 2, 3], "joined": [at("2026-01-01"), at("2026-01-09"), at("2026-01-02")]})
    shop.segment("others", "true")
    for as_of in ("2026-01-05", "2026-01-10"):
        run = shop.run(as_of, now=day("2026-01-11"))
        assert run.record.status is Status.HISTORICAL
        assert run.changes().height == 0
    state = shop.state
    assert state.members("joined", 2).to_list() == [1, 3]
    assert state.accepted().id == 1
    assert "others" not in state.segments()
    assert state.history("joined").height == 2
    run = shop.run("2026-01-12")
    assert run.changes().filter(segment="joined").rows() == [("joined", 3, "entered", "source", None)]
    assert state.members("joined", 2).to_list() == [1, 3]


# ---------------------------------------------------------------- problems


def test_every_rule_s_problems_at_once_and_nothing_stored(shop: Shop) -> None:
    shop.contacts({"id": [1], "spend": [5]})
    shop.segment("a", "spendd > 10")
    shop.segment("b", "spend = 'x' and nothing")
    with pytest.raises(RuleError) as error:
        shop.run("2026-01-01")
    assert {found.location.file for found in error.value.diagnostics} == {"segments/a.yml", "segments/b.yml"}
    assert len(error.value.diagnostics) == 3
    assert shop.state.runs() == []


def test_a_workspace_with_problems_does_not_run(shop: Shop) -> None:
    shop.contacts({"id": [1], "spend": [5]})
    shop.segment("a", "spend > ")
    with pytest.raises(WorkspaceError):
        shop.run("2026-01-01")
    assert not (shop.root / ".segmentry").exists()


def test_a_cycle_of_segments_is_refused(shop: Shop) -> None:
    shop.contacts({"id": [1], "spend": [5]})
    shop.segment("a", "member('b')")
    shop.segment("b", "member('a')")
    with pytest.raises(RuleError, match=r"a -> b -> a"):
        shop.run("2026-01-01")


def test_broken_snapshots_leave_the_former_run_current(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    shop.segment("big", "spend > 10")
    shop.run("2026-01-01")
    for rows, problem in (
        ({"id": ["1", "2"], "spend": [5, 50]}, "S403"),
        ({"id": [1, 1], "spend": [5, 50]}, "S308"),
        ({"id": [1, None], "spend": [5, 50]}, "S307"),
        ({"id": [1, 2], "spend": ["5", "50"]}, "R"),
    ):
        shop.contacts(rows)
        with pytest.raises((SourceError, RuleError), match=problem):
            shop.run("2026-01-02")
    assert shop.state.accepted().id == 1
    assert shop.state.members("big").to_list() == [2]


def test_a_column_whose_type_changed_under_an_old_rule_is_refused_and_under_a_new_one_taken(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "since": [at("2026-01-01"), at("2026-01-02")]})
    shop.segment("known", "since is set")
    shop.run("2026-01-03")
    shop.contacts({"id": [1, 2], "since": ["2026-01-01", None]})
    with pytest.raises(SourceError, match=r"S403.*since(.|\n)*read by known"):
        shop.run("2026-01-04")
    shop.segment("known", "since is set and true")
    assert shop.run("2026-01-05").changes().rows() == [("known", 2, "exited", "data", None)]


def test_a_source_that_changes_while_read_is_tried_once_more(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    shop.segment("big", "spend > 10")
    left = [1]

    def progress(stage: str, _share: float) -> None:
        if stage == "compare" and left:
            left.pop()
            shop.contacts({"id": [1, 2, 3], "spend": [5, 50, 60]})

    run = shop.run("2026-01-01", progress=progress)
    assert run.record.counts == {"big": 2}
    assert run.record.id == 1
    assert shop.state.members("big").to_list() == [2, 3]


def test_a_source_that_changes_every_time_ends_the_run(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    shop.segment("big", "spend > 10")
    tries: list[str] = []

    def progress(stage: str, _share: float) -> None:
        if stage == "compare":
            tries.append(stage)
            shop.contacts({"id": list(range(2 + len(tries))), "spend": [50] * (2 + len(tries))})

    with pytest.raises(SourceChanged, match="changed while it was read"):
        shop.run("2026-01-01", progress=progress)
    assert len(tries) == 2
    assert shop.state.runs() == []


def test_what_is_not_there_is_not_found(shop: Shop) -> None:
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    shop.segment("big", "spend > 10")
    State.open(shop.root / ".segmentry" / "default", ID, create=True)
    with pytest.raises(NotFound, match="no accepted run yet"):
        shop.state.memberships()
    shop.run("2026-01-01")
    for wrong in (lambda: shop.state.run(7), lambda: shop.state.members("bigg"), lambda: shop.state.history("bigg")):
        with pytest.raises(NotFound):
            wrong()


def test_no_query_is_run_twice_for_causes_when_only_data_changed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    real = runs.Evaluation.memberships
    monkeypatch.setattr(runs.Evaluation, "memberships", lambda self, *rest: asked.append(rest) or real(self, *rest))
    shop.contacts({"id": [1, 2], "spend": [5, 50]})
    shop.segment("big", "spend > 10")
    shop.segment("not_big", "not member('big')")
    shop.run("2026-01-01")
    shop.contacts({"id": [1, 2], "spend": [15, 50]})
    assert shop.run("2026-01-02").changes().height == 2
    shop.segment("big", "spend > 20")
    assert shop.run("2026-01-03").changes().height == 2
    assert len(asked) == 3
