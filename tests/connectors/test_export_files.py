"""Files of a segment: where they are, what is in them by format, that they are whole or not there, and that a repeat changes nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from segmentry.engine.connectors.destination import DestinationStopped
from segmentry.engine.connectors.exports import Export
from segmentry.engine.connectors.files import FilesDestination
from tests.connectors.conftest import AT, nothing

FORMATS = ("parquet", "csv", "ndjson")
READERS = {"parquet": pl.read_parquet, "csv": pl.read_csv, "ndjson": pl.read_ndjson}


def export(*parts: pl.DataFrame, **more: Any) -> Export:
    told = {"workspace": "7d0a1c52", "environment": "prod", "segment": "vip", "what": "members", "run": 12, "at": AT, **more}
    return Export(**{"committed": AT + timedelta(minutes=1), **told}, parts=lambda: iter(parts or [some("a", "b")]))


def some(*contacts: str) -> pl.DataFrame:
    return pl.DataFrame({"contact": list(contacts), "fields.tier": list(range(len(contacts)))}, schema_overrides={"contact": pl.String()})


def written(root: Path, told: Export, format: str = "parquet") -> Path:
    return root / FilesDestination(root, format).export(told, nothing).place


def manifest(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.with_suffix(".manifest.json").read_text("utf-8")))


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_s_name_says_segment_run_and_what(tmp_path: Path, format: str) -> None:
    place = FilesDestination(tmp_path, format).export(export(), nothing).place
    assert place == f"vip/members/2026-11-23/vip.000012.members.{format}"
    assert files(tmp_path) == sorted([place, "vip/members/2026-11-23/vip.000012.members.manifest.json"])


@pytest.mark.parametrize("format", FORMATS)
def test_parts_are_one_file_in_their_order(tmp_path: Path, format: str) -> None:
    path = written(tmp_path, export(some("b", "a"), some(), some("c")), format)
    assert READERS[format](path).to_dicts() == [*some("b", "a").to_dicts(), *some("c").to_dicts()]
    assert manifest(path)["rows"] == 3


@pytest.mark.parametrize("format", FORMATS)
def test_nobody_is_a_file_too(tmp_path: Path, format: str) -> None:
    path = written(tmp_path, export(some()), format)
    assert manifest(path)["rows"] == 0
    if format != "ndjson":  # which has columns in its lines only
        assert READERS[format](path).columns == ["contact", "fields.tier"]


def test_the_manifest_says_what_the_file_is(tmp_path: Path) -> None:
    path = written(tmp_path, export())
    content = path.read_bytes()
    assert manifest(path) == {
        "workspace": "7d0a1c52",
        "environment": "prod",
        "segment": "vip",
        "what": "members",
        "run": 12,
        "at": "2026-11-23T18:00:00+00:00",
        "committed": "2026-11-23T18:01:00+00:00",
        "file": "vip.000012.members.parquet",
        "format": "parquet",
        "rows": 2,
        "columns": [{"name": "contact", "type": "text"}, {"name": "fields.tier", "type": "integer"}],
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    written(tmp_path / "exports", export(segment="../up", what="../../etc"), "csv")
    assert {path.split("/")[:3][0] for path in files(tmp_path)} == {"exports"}


# ---------------------------------------------------------------- values

VALUES = pl.DataFrame(
    {
        "contact": [1, 2],
        "fields.day": [date(2026, 2, 3), None],
        "fields.time": [datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC), None],
        "fields.exact": [Decimal("1.50"), None],
        "fields.share": [float("nan"), 0.5],
        "fields.tags": [["a", "ü"], None],
        "fields.days": [[date(2026, 2, 3)], None],
        "fields.place": [{"city": "Köln", "n": 1}, None],
        "fields.kind": pl.Series(["x", None], dtype=pl.Categorical()),
        "fields.none": [None, None],
    }
)


def test_parquet_has_values_as_the_snapshot_has_them(tmp_path: Path) -> None:
    found = pl.read_parquet(written(tmp_path, export(VALUES)))
    same = [name for name in VALUES.columns if name not in ("fields.kind", "fields.none")]
    assert found.select(same).equals(VALUES.select(same))
    assert (found.schema["fields.kind"], found.schema["fields.none"]) == (pl.String(), pl.String())


def test_ndjson_says_them_as_destinations_are_told_them(tmp_path: Path) -> None:
    lines = written(tmp_path, export(VALUES), "ndjson").read_text("utf-8").splitlines()
    first, second = map(json.loads, lines)
    assert first == {
        "contact": 1,
        "fields.day": "2026-02-03",
        "fields.time": "2026-02-03T04:05:06.000000+00:00",
        "fields.exact": 1.5,
        "fields.share": None,
        "fields.tags": ["a", "ü"],
        "fields.days": '["2026-02-03"]',
        "fields.place": '{"city":"Köln","n":1}',
        "fields.kind": "x",
        "fields.none": None,
    }
    assert second == {**dict.fromkeys(first), "contact": 2, "fields.share": 0.5}


def test_csv_says_them_in_cells(tmp_path: Path) -> None:
    header, first, second = written(tmp_path, export(VALUES), "csv").read_text("utf-8").splitlines()
    assert header == ",".join(VALUES.columns)
    assert first == (
        '1,2026-02-03,2026-02-03T04:05:06.000000+00:00,1.5,,"[""a"",""ü""]","[""2026-02-03""]","{""city"":""Köln"",""n"":1}",x,'
    )
    assert second == "2,,,,0.5,,,,,"


def test_a_manifest_names_the_types(tmp_path: Path) -> None:
    kinds = {one["name"].removeprefix("fields."): one["type"] for one in manifest(written(tmp_path, export(VALUES)))["columns"]}
    assert kinds == {
        "contact": "integer",
        "day": "date",
        "time": "time",
        "exact": "number",
        "share": "number",
        "tags": "list of text",
        "days": "list of date",
        "place": "structure",
        "kind": "text",
        "none": "text",
    }


def test_later_parts_get_the_types_of_the_first(tmp_path: Path) -> None:
    later = pl.DataFrame({"contact": ["c"], "fields.tier": pl.Series([None])})
    assert pl.read_parquet(written(tmp_path, export(some("a"), later))).rows() == [("a", 0), ("c", None)]


# ---------------------------------------------------------------- repeats and crashes


def test_what_was_written_to_its_end_is_left_alone_and_its_rows_are_not_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, export())
    before = path.stat()

    def parts() -> Iterator[pl.DataFrame]:
        raise AssertionError("the rows were asked for again")

    again = FilesDestination(tmp_path, "parquet").export(replace(export(), parts=parts), nothing)
    assert (tmp_path / again.place, again.rows) == (path, 2)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("left", ["no manifest", "half a file", "half a manifest", "no file"])
def test_what_was_not_written_to_its_end_is_written_again(tmp_path: Path, left: str) -> None:
    path = written(tmp_path, export())
    told, beside = manifest(path), path.with_suffix(".manifest.json")
    if left == "no manifest":
        beside.unlink()
    elif left == "no file":
        path.unlink()
    elif left == "half a file":
        path.write_bytes(path.read_bytes()[:100])
    else:
        beside.write_text('{"run":')
    assert written(tmp_path, export()) == path
    assert manifest(path) == told
    assert pl.read_parquet(path).height == 2


def test_another_run_of_the_same_number_takes_the_place_of_the_one_that_was_forgotten(tmp_path: Path) -> None:
    written(tmp_path, export())
    path = written(tmp_path, export(some("z"), committed=AT + timedelta(hours=1)))
    assert pl.read_parquet(path)["contact"].to_list() == ["z"]
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize("other", [{"environment": "staging"}, {"workspace": "ffff"}])
def test_files_of_somebody_else_are_not_overwritten(tmp_path: Path, other: dict[str, str]) -> None:
    path = written(tmp_path, export())
    whole = path.read_bytes()
    with pytest.raises(DestinationStopped, match="another workspace or environment"):
        written(tmp_path, export(some("z"), **other))
    assert path.read_bytes() == whole


@pytest.mark.parametrize("format", FORMATS)
def test_rows_that_break_off_leave_nothing_and_pass_through(tmp_path: Path, format: str) -> None:
    class BrokenError(Exception):
        pass

    def parts() -> Iterator[pl.DataFrame]:
        yield some("a")
        raise BrokenError

    with pytest.raises(BrokenError):
        written(tmp_path, replace(export(), parts=parts), format)
    assert files(tmp_path) == []


def test_what_before_raises_passes_through_and_nothing_is_there(tmp_path: Path) -> None:
    def before() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FilesDestination(tmp_path, "csv").export(export(), before)
    assert files(tmp_path) == []


@pytest.mark.parametrize("step", ["data", "manifest"])
def test_a_crash_leaves_no_half_file_and_no_manifest_without_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    calls = []

    def fsync(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            calls.append(descriptor)
            if len(calls) == {"data": 1, "manifest": 2}[step]:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(KeyboardInterrupt):
            written(tmp_path, export())
    assert [Path(name).name for name in files(tmp_path)] == {"data": [], "manifest": ["vip.000012.members.parquet"]}[step]
    assert pl.read_parquet(written(tmp_path, export())).height == 2


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "vip" / "members" / "2026-11-23"
    folder.mkdir(parents=True)
    (folder / ".vip.000012.members.parquet.4711.part").write_bytes(b"half")
    written(tmp_path, export())
    assert all(not name.endswith(".part") for name in files(tmp_path))


def test_a_full_disk_stops_the_destination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DestinationStopped, match="is full"):
        written(tmp_path, export())
    assert files(tmp_path) == []
