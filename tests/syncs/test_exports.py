"""Files of a segment after runs: whose, what is in them, what a repeat, a hold, a pause or a crash makes of them."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from segmentry.engine import exporting
from segmentry.engine.connectors.memory import Memory, MemoryDestination
from segmentry.engine.connectors.settings import MemorySettings
from segmentry.engine.state.holds import pause, resume
from segmentry.engine.state.schema import SYNCS
from tests.syncs.conftest import Synced

UK, FR = "UK", "FR"
BOTH = "what: [changes, members]"


def people(**countries: str) -> Mapping[str, Sequence[Any]]:
    """A snapshot: a contact a word, with its country, and a tier that is the length of both."""
    tiers = [len(name + country) for name, country in countries.items()]
    return {"id": list(countries), "country": list(countries.values()), "tier": tiers}


@pytest.fixture
def lake(shop: Synced) -> Synced:
    """Two of three are in the segment, and nothing was exported yet."""
    shop.destinations = "{lake: {type: files, path: exports, format: parquet}}"
    say(shop)
    shop.people(people(a=UK, b=UK, c=FR))
    return shop


def say(shop: Synced, words: str = BOTH, *, where: str = "country = 'UK'", more: str = "", name: str = "uk") -> None:
    (shop.root / "segments").mkdir(exist_ok=True)
    (shop.root / "segments" / f"{name}.yml").write_text(f'where: "{where}"\nsync: {{destination: lake, {words}}}\n{more}')


def files(shop: Synced, pattern: str = "**/*.parquet") -> list[str]:
    return sorted(path.name for path in (shop.root / "exports").glob(pattern))


def read(shop: Synced, what: str, run: int, segment: str = "uk") -> pl.DataFrame:
    (path,) = (shop.root / "exports").glob(f"{segment}/{what}/*/{segment}.{run:06}.{what}.parquet")
    told = json.loads(path.with_suffix(".manifest.json").read_text("utf-8"))
    frame = pl.read_parquet(path)
    assert (told["rows"], told["run"], told["what"], told["segment"]) == (frame.height, run, what, segment)
    return frame


def changes(shop: Synced, run: int) -> list[tuple[str, str, str]]:
    return read(shop, "changes", run).select("contact", "change", "cause").rows()


def members(shop: Synced, run: int) -> list[str]:
    return read(shop, "members", run)["contact"].to_list()


def exported(shop: Synced) -> dict[str, int]:
    """Up to which run everything of each segment was written."""
    with shop.state.catalog.reading() as connection:
        return {row.segment: json.loads(row.figures)["exported"] for row in connection.execute(SYNCS.select())}


def test_a_run_s_changes_and_the_members_are_files(lake: Synced) -> None:
    delivered = lake.hour("2026-01-02")
    assert delivered is not None
    one = delivered.destinations["lake"]
    assert (one.exported, one.failed, one.messages) == (2, False, ())
    frame = read(lake, "changes", 1)
    assert frame.columns == ["contact", "change", "cause", "via", "as_of"]
    assert frame.rows() == [(name, "entered", "rule", None, lake.now) for name in ("a", "b")]
    assert read(lake, "members", 1).to_dict(as_series=False) == {"contact": ["a", "b"]}
    assert exported(lake) == {"uk": 1}


def test_later_runs_bring_what_changed_and_a_run_that_changed_nobody_no_changes(lake: Synced) -> None:
    lake.hour("2026-01-02")
    lake.hour("2026-01-03")
    lake.people(people(a=FR, b=UK, d=UK))
    lake.hour("2026-01-04")
    assert files(lake, "uk/changes/*/*.parquet") == ["uk.000001.changes.parquet", "uk.000003.changes.parquet"]
    assert changes(lake, 3) == [("a", "exited", "data"), ("d", "entered", "source")]
    assert files(lake, "uk/members/*/*.parquet") == [f"uk.00000{run}.members.parquet" for run in (1, 2, 3)]
    assert members(lake, 3) == ["b", "d"]


def test_nothing_new_is_nothing_to_do(lake: Synced) -> None:
    lake.hour("2026-01-02")
    assert lake.tell().destinations == {}


def test_runs_that_nobody_delivered_after_are_made_up_for(lake: Synced) -> None:
    lake.hour("2026-01-02", tell=False)
    lake.people(people(a=UK, b=FR, c=UK))
    lake.hour("2026-01-03")
    assert changes(lake, 1) == [("a", "entered", "rule"), ("b", "entered", "rule")]
    assert changes(lake, 2) == [("b", "exited", "data"), ("c", "entered", "data")]
    assert files(lake, "uk/members/*/*.parquet") == ["uk.000002.members.parquet"]


def test_mapped_fields_are_those_of_the_newest_snapshot_and_of_entrants_only(lake: Synced) -> None:
    say(lake, f"{BOTH}, fields: {{tier: tier, mail: email}}")
    lake.people(people(a=UK, b=FR, c=FR))
    lake.hour("2026-01-02", tell=False)
    lake.people(people(a=FR, bb=UK, c=UK))
    lake.hour("2026-01-03")
    assert read(lake, "members", 2).rows() == [("c", 3, "cc@example.com"), ("bb", 4, "cbb@example.com")]
    assert read(lake, "changes", 1).select("contact", "fields.tier").rows() == [("a", 3)]
    assert read(lake, "changes", 2).select("contact", "change", "fields.tier", "fields.mail").rows() == [
        ("a", "exited", None, None),
        ("bb", "entered", 4, "cbb@example.com"),
        ("c", "entered", 3, "cc@example.com"),
    ]


def test_a_snapshot_that_is_gone_leaves_the_newest_one_to_read(lake: Synced) -> None:
    say(lake, f"{BOTH}, fields: {{tier: tier, more: since}}")
    lake.people({**people(a=UK, b=UK), "since": [1, 2]})
    lake.hour("2026-01-02", tell=False)
    lake.people({"id": ["b", "z"], "country": [UK, UK], "tier": [7, 8]})  # no run has read this, and a column is gone
    lake.tell()
    assert read(lake, "members", 1).rows() == [("a", None, None), ("b", 7, None)]


def test_no_address_is_in_a_file_that_no_field_maps(lake: Synced) -> None:
    lake.destinations = lake.destinations.replace("parquet", "csv")
    lake.hour("2026-01-02")
    assert all("@" not in path.read_text("utf-8") for path in (lake.root / "exports").rglob("*") if path.is_file())
    assert files(lake, "**/*.csv")


def test_who_is_suppressed_is_in_no_file_but_as_an_exit(lake: Synced) -> None:
    lake.further["suppress"] = '"tier > 3"'
    lake.people(people(a=UK, long=UK))
    lake.hour("2026-01-02", tell=False)
    assert lake.state.members("uk").to_list() == ["a", "long"]
    lake.tell()
    assert (changes(lake, 1), members(lake, 1)) == ([("a", "entered", "rule")], ["a"])
    lake.people(people(a=UK, long=FR))
    lake.hour("2026-01-03")
    assert changes(lake, 2) == [("long", "exited", "data")]


@pytest.mark.parametrize(("words", "there"), [("what: [changes]", "changes"), ("what: [members]", "members")])
def test_one_of_both_may_be_written(lake: Synced, words: str, there: str) -> None:
    say(lake, words)
    lake.hour("2026-01-02")
    assert files(lake) == [f"uk.000001.{there}.parquet"]


def test_a_held_segment_exports_nothing_new_until_that_ends(lake: Synced) -> None:
    say(lake, name="all", where="true")
    lake.hour("2026-01-02")
    lake.guards = "{snapshot: {shrinks: 100%}, segment: {enters: 10%, leaves: 10%, contacts: 1}}"
    lake.people(people(a=FR, b=FR, c=UK))
    delivered = lake.hour("2026-01-03")
    assert delivered is not None
    assert delivered.destinations["lake"].messages == ("`uk` is held by its guard: nothing new of it is exported",)
    assert (members(lake, 1), exported(lake)) == (["a", "b"], {"uk": 1, "all": 2})
    assert files(lake, "uk/members/*/*.parquet") == ["uk.000001.members.parquet"]
    lake.approve(2, "uk", at="2026-01-03")
    lake.tell()
    assert [contact for contact, _, _ in changes(lake, 3)] == ["a", "b", "c"]
    assert members(lake, 3) == ["c"]


def test_an_environment_that_sends_nothing_exports_nothing(lake: Synced) -> None:
    lake.deliver = False
    delivered = lake.hour("2026-01-02")
    assert delivered is not None
    assert not delivered.sends
    assert files(lake) == []
    lake.deliver = True
    lake.hour("2026-01-03")
    assert files(lake) == ["uk.000001.changes.parquet", "uk.000002.members.parquet"]


def test_a_paused_destination_takes_nothing_until_it_is_resumed(lake: Synced) -> None:
    lake.hour("2026-01-02", tell=False)
    with lake.state.catalog.writing() as connection:
        pause(connection, "lake", lake.now)
    assert lake.tell().destinations["lake"].messages == ("it is paused",)
    assert files(lake) == []
    with lake.state.catalog.writing() as connection:
        resume(connection, "lake")
    lake.tell()
    assert len(files(lake)) == 2


def test_a_pause_is_seen_before_the_next_file(lake: Synced, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.hour("2026-01-02", tell=False)
    look = exporting.Exporter._look

    def once(exporter: exporting.Exporter, segment: str) -> None:
        look(exporter, segment)
        with lake.state.catalog.writing() as connection:
            pause(connection, "lake", lake.now)

    monkeypatch.setattr(exporting.Exporter, "_look", once)
    assert lake.tell().destinations["lake"].messages == ("it is paused",)
    assert files(lake) == ["uk.000001.changes.parquet"]
    assert exported(lake) == {}


@pytest.mark.parametrize("step", range(1, 5))
def test_a_crash_at_any_file_leaves_no_double_and_no_gap(lake: Synced, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    lake.hour("2026-01-02", tell=False)
    calls: list[int] = []
    fsync = os.fsync

    def dies(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            calls.append(descriptor)
            if len(calls) == step:
                raise KeyboardInterrupt
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", dies)
        with pytest.raises(KeyboardInterrupt):
            lake.tell()
    assert exported(lake) == {}
    lake.now += timedelta(hours=1)
    lake.tell()
    assert files(lake) == ["uk.000001.changes.parquet", "uk.000001.members.parquet"]
    assert (changes(lake, 1), members(lake, 1)) == ([("a", "entered", "rule"), ("b", "entered", "rule")], ["a", "b"])


def test_a_folder_that_can_not_be_written_is_told_and_tried_again(lake: Synced) -> None:
    (lake.root / "exports").write_text("in the way")
    delivered = lake.hour("2026-01-02")
    assert delivered is not None
    assert delivered.failed
    assert "can't be written" in delivered.destinations["lake"].messages[0]
    (lake.root / "exports").unlink()
    assert lake.tell().destinations["lake"].exported == 2


def test_what_retention_removed_is_said(lake: Synced, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.hour("2026-01-02", tell=False)
    lake.people(people(a=UK, b=FR, c=FR))
    lake.hour("2026-01-03", tell=False)
    lake.state.gc(timedelta(hours=1), lake.now + timedelta(days=400))
    assert lake.tell().destinations["lake"].messages == ()  # what a segment was at first is kept, and so are changes
    assert (changes(lake, 1), changes(lake, 2)) == ([("a", "entered", "rule"), ("b", "entered", "rule")], [("b", "exited", "data")])
    say(lake, name="other", where="true")
    lake.hour("2026-01-04", tell=False)
    monkeypatch.setattr(exporting, "held_columns", lambda _: set())
    assert lake.tell().destinations["lake"].messages == ("`other` as first computed, in run 3, is not exported: retention has removed it",)
    assert exported(lake) == {"uk": 3, "other": 3}


def test_parts_of_many_rows_are_read_and_written_one_after_the_other(lake: Synced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "PART", 3)
    say(lake, f"{BOTH}, fields: {{tier: tier}}")
    lake.people(people(**{f"k{number:02}": UK for number in range(10)}))
    lake.hour("2026-01-02")
    assert members(lake, 1) == [f"k{number:02}" for number in range(10)]
    lake.people(people(**{f"k{number:02}": FR for number in range(4)}, **{f"n{number}": UK for number in range(5)}))
    lake.hour("2026-01-03")
    frame = read(lake, "changes", 2)
    assert frame["contact"].to_list() == sorted(frame["contact"].to_list())
    assert frame.filter(pl.col("change") == "entered").select("contact", "fields.tier").rows() == [(f"n{number}", 4) for number in range(5)]
    assert frame.filter(pl.col("change") == "exited")["fields.tier"].null_count() == 10


def test_a_renamed_segment_goes_on_under_its_new_name(lake: Synced) -> None:
    lake.hour("2026-01-02")
    (lake.root / "segments" / "uk.yml").unlink()
    say(lake, name="gb", more="renamed_from: uk\n")
    lake.people(people(a=UK, b=FR, c=FR))
    lake.hour("2026-01-03")
    assert read(lake, "changes", 2, "gb").select("contact", "change").rows() == [("b", "exited")]
    assert exported(lake) == {"gb": 2}


def test_an_export_that_is_said_no_more_ends_and_said_again_goes_on_where_it_ended(lake: Synced) -> None:
    lake.hour("2026-01-02")
    text = (lake.root / "segments" / "uk.yml").read_text()
    lake.segment("uk", "country = 'UK'")
    lake.people(people(a=UK, b=FR, c=FR))
    lake.hour("2026-01-03")
    assert lake.syncs() == [("uk", "files", "detached", None)]
    (lake.root / "segments" / "uk.yml").write_text(text)
    lake.people(people(a=UK, b=FR, c=UK))
    lake.hour("2026-01-04")
    assert lake.syncs() == [("uk", "files", "active", None)]
    assert (changes(lake, 2), changes(lake, 3)) == ([("b", "exited", "data")], [("c", "entered", "data")])
    assert files(lake, "uk/members/*/*.parquet") == ["uk.000001.members.parquet", "uk.000003.members.parquet"]


def test_enrollments_and_files_go_to_one_folder_side_by_side(lake: Synced) -> None:
    lake.sequences = "{welcome: {destination: lake}}"
    say(lake, more="enroll: welcome\n")
    lake.hour("2026-01-02")
    lake.people(people(a=UK, b=UK, c=UK))
    delivered = lake.hour("2026-01-03")
    assert delivered is not None
    assert (delivered.destinations["lake"].sent, delivered.destinations["lake"].exported) == (1, 2)
    assert len(files(lake, "welcome/*/*.parquet")) == 1


def test_a_destination_that_takes_no_files_of_a_segment_is_told(lake: Synced) -> None:
    lake.hour("2026-01-02", tell=False)
    other = MemoryDestination(MemorySettings(type="memory"), Memory())
    delivered = lake.tell(open=lambda *_: other)
    assert delivered.destinations["lake"].messages == ("destination `lake` takes no files of a segment",)
    assert delivered.failed
