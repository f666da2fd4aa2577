"""Files: what is in them, that they are whole or not there, and what their manifests prove."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from segmentry.engine.connectors import files
from segmentry.engine.connectors.destination import Batch, DestinationStopped, Row, Verdict
from segmentry.engine.connectors.files import FilesDestination
from tests.connectors.conftest import AT, batch, nothing

FOLDER = Path("welcome", "2026-11-23")


def rows_of(*datas: dict[str, Any]) -> Batch:
    return Batch("b1", "enrollment.created", AT, "welcome", tuple(Row(f"r{n}", "c", None, data) for n, data in enumerate(datas)))


def written(root: Path, told: Batch, format: str = "parquet") -> Path:
    (answer, *_) = FilesDestination(root, format).send(told, nothing)
    assert answer.verdict is Verdict.SENT
    assert answer.remote_id == f"welcome/2026-11-23/{told.id}.{format}"
    return root / answer.remote_id


def manifest(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.with_name(f"{path.stem}.manifest.json").read_text("utf-8")))


def test_a_batch_is_a_file_by_target_and_day_of_utc(tmp_path: Path) -> None:
    path = written(tmp_path, batch("a", "b"))
    assert path == tmp_path / FOLDER / "a-to-b.parquet"
    assert pl.read_parquet(path).to_dicts() == [{"id": id, "enrollment_id": id, "contact": f"c_{id}"} for id in ("a", "b")]


def test_csv_and_ndjson_have_the_same_rows(tmp_path: Path) -> None:
    told = rows_of({"n": 1, "fields": {"city": "Köln", "x": None}}, {"n": 2, "fields": {"city": 'a,"b"\nc', "x": True}})
    assert written(tmp_path, told, "csv").read_text("utf-8") == 'id,n,fields.city,fields.x\nr0,1,Köln,\nr1,2,"a,""b""\nc",true\n'
    lines = written(tmp_path, told, "ndjson").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": "r0", "n": 1, "fields.city": "Köln", "fields.x": None},
        {"id": "r1", "n": 2, "fields.city": 'a,"b"\nc', "fields.x": True},
    ]


def test_the_manifest_says_what_the_file_is(tmp_path: Path) -> None:
    path = written(tmp_path, rows_of({"number": 1, "share": 0.5, "vip": True, "tags": ["a"], "fields": {"city": None}}))
    content = path.read_bytes()
    assert manifest(path) == {
        "batch": "b1",
        "type": "enrollment.created",
        "at": "2026-11-23T18:00:00+00:00",
        "target": "welcome",
        "file": "b1.parquet",
        "format": "parquet",
        "rows": 1,
        "columns": [
            {"name": "id", "type": "text"},
            {"name": "number", "type": "integer"},
            {"name": "share", "type": "number"},
            {"name": "vip", "type": "boolean"},
            {"name": "tags", "type": "list of text"},
            {"name": "fields.city", "type": "text"},
        ],
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


@pytest.mark.parametrize(
    ("values", "kind", "kept"),
    [
        ([1, None, 3], pl.Int64, [1, None, 3]),
        ([1, 2.5, None], pl.Float64, [1.0, 2.5, None]),
        ([True, False, None], pl.Boolean, [True, False, None]),
        (["a", None, ""], pl.String, ["a", None, ""]),
        ([None, None, None], pl.String, [None, None, None]),
        ([True, 1, "x"], pl.String, ["true", "1", "x"]),
        ([2**63, 1, None], pl.String, [str(2**63), "1", None]),
        ([["a"], [], None], pl.List(pl.String), [["a"], [], None]),
        ([[1], [2.5], None], pl.List(pl.Float64), [[1.0], [2.5], None]),
        ([["a"], [1], None], pl.String, ['["a"]', "[1]", None]),
        ([["a"], "a", None], pl.String, ['["a"]', "a", None]),
    ],
)
def test_a_column_has_the_type_that_all_its_values_have(tmp_path: Path, values: list[Any], kind: Any, kept: list[Any]) -> None:
    column = pl.read_parquet(written(tmp_path, rows_of(*({"v": value} for value in values))))["v"]
    assert column.dtype == kind
    assert column.to_list() == kept


def test_lists_are_json_text_in_csv(tmp_path: Path) -> None:
    assert written(tmp_path, rows_of({"tags": ["a", "ü"]}), "csv").read_text("utf-8") == 'id,tags\nr0,"[""a"",""ü""]"\n'


def test_text_that_a_spreadsheet_would_run_stands_as_it_is(tmp_path: Path) -> None:
    assert written(tmp_path, rows_of({"name": "=1+1"}), "csv").read_text("utf-8") == "id,name\nr0,=1+1\n"


def test_rows_with_other_keys_are_null_where_they_have_none(tmp_path: Path) -> None:
    frame = pl.read_parquet(written(tmp_path, rows_of({"a": 1}, {"b": "x"})))
    assert frame.to_dicts() == [{"id": "r0", "a": 1, "b": None}, {"id": "r1", "a": None, "b": "x"}]


def test_the_row_s_own_id_wins_over_a_field_named_so(tmp_path: Path) -> None:
    assert pl.read_parquet(written(tmp_path, rows_of({"id": "theirs"})))["id"].to_list() == ["r0"]


@pytest.mark.parametrize("format", ["parquet", "csv", "ndjson"])
def test_the_same_batch_written_anew_is_the_same_bytes(tmp_path: Path, format: str) -> None:
    told = rows_of(*({"n": n, "fields": {"city": f"c{n % 7}"}} for n in range(500)))
    first = written(tmp_path / "one", told, format)
    second = written(tmp_path / "two", told, format)
    assert first.read_bytes() == second.read_bytes()
    assert manifest(first) == manifest(second)


def test_what_was_written_to_its_end_is_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path, batch("a"))
    before = path.stat()
    written(tmp_path, batch("a"))
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("left", ["no manifest", "half a file", "half a manifest"])
def test_what_was_not_written_to_its_end_is_written_again(tmp_path: Path, left: str) -> None:
    path = written(tmp_path, batch("a"))
    whole, told = path.read_bytes(), manifest(path)
    beside = path.with_name("a.manifest.json")
    if left == "no manifest":
        beside.unlink()
    elif left == "half a file":
        path.write_bytes(whole[:100])
    else:
        beside.write_text('{"batch":')
    written(tmp_path, batch("a"))
    assert path.read_bytes() == whole
    assert manifest(path) == told


@pytest.mark.parametrize("step", ["data", "manifest"])
def test_a_crash_leaves_no_half_file_and_no_manifest_without_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    syncs = {"data": 1, "manifest": 2}[step]
    calls = []

    def fsync(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            calls.append(descriptor)
            if len(calls) == syncs:
                raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(KeyboardInterrupt):
        FilesDestination(tmp_path, "parquet").send(batch("a"), nothing)
    there = sorted(path.name for path in (tmp_path / FOLDER).iterdir())
    assert there == {"data": [], "manifest": ["a.parquet"]}[step]


def test_the_manifest_comes_after_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    put = files._put
    monkeypatch.setattr(files, "_put", lambda target, content: (order.append(target.name), put(target, content)))
    written(tmp_path, batch("a"))
    assert order == ["a.parquet", "a.manifest.json"]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.ENOSPC, "is full: No space left on device"),
        (errno.EDQUOT, "is full"),
        (errno.EACCES, "can't be written: Permission denied"),
        (errno.EROFS, "can't be written: Read-only file system"),
        (errno.EIO, "can't be written"),
    ],
)
def test_a_disk_that_does_not_take_it_stops_the_destination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, says: str) -> None:
    def fsync(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DestinationStopped, match=says) as stopped:
        FilesDestination(tmp_path, "parquet").send(batch("a"), nothing)
    assert not stopped.value.disabled
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_in_the_folder_s_place_stops_the_destination(tmp_path: Path) -> None:
    (tmp_path / "exports").write_text("not a folder")
    with pytest.raises(DestinationStopped, match="can't be written"):
        FilesDestination(tmp_path / "exports", "csv").send(batch("a"), nothing)


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    told = replace(batch("../../etc/passwd"), target="../up")
    FilesDestination(tmp_path / "exports", "csv").send(told, nothing)
    assert [path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*.csv")] == [("exports", "___up")]


def test_files_are_readable_as_the_umask_says(tmp_path: Path) -> None:
    former = os.umask(0o022)
    try:
        path = written(tmp_path, batch("a"))
    finally:
        os.umask(former)
    assert path.stat().st_mode & 0o777 == 0o644
