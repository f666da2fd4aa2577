"""The grocer's segments, computed by Segmentry and once more by SQL written by hand over the package's own files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import duckdb
import polars as pl
import pytest

from examples.complete_journey import build

pytestmark = pytest.mark.xdist_group("complete_journey")  # the data are built once

SQL = Path(__file__).with_name("complete_journey.sql").read_text(encoding="utf-8")
PARTS = dict(re.findall(r"^-- part: (\w+)\n(.*?)(?=^-- part: |\Z)", SQL, re.MULTILINE | re.DOTALL))
SEGMENTS = [name for name in PARTS if name not in ("prepare", "at", "groups")]


@dataclass(frozen=True)
class Instant:
    """A run's instant, and what follows from it, worked out by hand (New York is 5 hours behind UTC, 4 from 12 March to 5 November)."""

    as_of: str
    snapshot: str
    month: str

    @property
    def file(self) -> str:
        """The snapshot's name: its day in New York, on which it began in the small hours of UTC."""
        return self.snapshot[:10]


INSTANTS = [
    Instant("2017-03-15 12:00:00", "2017-03-01 05:00:00", "2017-03-01 05:00:00"),
    Instant("2017-07-04 00:30:00", "2017-07-01 04:00:00", "2017-07-01 04:00:00"),
    Instant("2017-11-01 02:00:00", "2017-10-01 04:00:00", "2017-10-01 04:00:00"),  # still Halloween in Ohio
    Instant("2017-11-05 06:30:00", "2017-11-01 04:00:00", "2017-11-01 04:00:00"),  # half past one, for the second time
    Instant("2018-01-02 00:00:00", "2018-01-01 05:00:00", "2018-01-01 05:00:00"),
]


GROUPS = ("holdout", "letter", "voucher")
"""The groups that lapsed regulars are divided into."""


@cache
def by_hand() -> list[dict[str, set[int]]]:
    """For each instant, per segment, and per group of lapsed regulars, the households that the SQL finds, of those in the snapshot."""
    found: list[dict[str, set[int]]] = []
    with duckdb.connect() as db:
        db.execute("set timezone = 'UTC'")
        db.execute(f"set variable source = '{build.source()}'")
        db.execute(PARTS["prepare"])
        for instant in INSTANTS:
            for name in ("as_of", "snapshot", "month"):
                db.execute(f"set variable {name} = '{getattr(instant, name)}'")
            db.execute(PARTS["at"])
            members: dict[str, set[int]] = {}
            for segment in SEGMENTS:
                here = f"select household_id from ({PARTS[segment]}) semi join people using (household_id)"
                db.execute(f"create or replace table {segment} as {here}")
                members[segment] = {key for (key,) in db.execute(f"from {segment}").fetchall()}
            groups = db.execute(PARTS["groups"]).fetchall()
            found.append(members | {name: {key for key, group in groups if group == name} for name in GROUPS})
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("complete_journey")
    build.build(folder)
    return folder


def test_every_segment_has_its_sql() -> None:
    assert sorted(path.stem for path in (build.HERE / "segments").glob("*.yml")) == sorted(SEGMENTS)
    assert len(SEGMENTS) >= 15


@pytest.mark.full
def test_the_sql_puts_somebody_in_and_leaves_somebody_out() -> None:
    found = by_hand()
    everybody = [len(set().union(*members.values())) for members in found]
    for segment in SEGMENTS:
        sizes = [len(members[segment]) for members in found]
        assert any(sizes), segment
        assert all(size < everyone for size, everyone in zip(sizes, everybody, strict=True)), segment
    assert all(any(members[group] for members in found) for group in GROUPS)


@pytest.mark.full
def test_members_and_changes_are_those_of_the_sql(root: Path) -> None:
    from segmentry import Workspace

    workspace = Workspace.open(root)
    former: dict[str, set[int]] = {segment: set() for segment in SEGMENTS}
    known: set[int] = set()
    for number, (instant, expected) in enumerate(zip(INSTANTS, by_hand(), strict=True)):
        run = workspace.recompute(as_of=datetime.fromisoformat(instant.as_of), first_run=number == 0)
        assert run.counts == {segment: len(expected[segment]) for segment in sorted(SEGMENTS)}, instant
        for segment in SEGMENTS:
            members = workspace.members(segment).collect()["household_id"].to_list()
            assert len(members) == len(set(members))
            assert set(members) == expected[segment], f"{segment} at {instant.as_of}"
        for group in GROUPS:
            divided = workspace.members("lapsed_regulars", split=[group]).collect()["household_id"].to_list()
            assert set(divided) == expected[group], f"{group} at {instant.as_of}"
        assert changes(run.changes) == {
            (segment, key, change)
            for segment in SEGMENTS
            for change, keys in (("entered", expected[segment] - former[segment]), ("exited", former[segment] - expected[segment]))
            for key in keys
        }, instant
        present = set(pl.read_parquet(root / "data" / "households" / f"{instant.file}.parquet")["household_id"])
        causes = dict(run.changes.group_by("cause").agg(pl.col("contact")).iter_rows())
        assert set(causes) <= ({"rule"} if number == 0 else {"source", "data", "time"})  # lists and rules stay as they are
        assert set(causes.get("source", ())) <= present - known
        assert not (set(causes.get("data", ())) | set(causes.get("time", ()))) & (present - known)
        former, known = expected, present


def changes(frame: pl.DataFrame) -> set[tuple[str, int, str]]:
    assert frame.equals(frame.sort("segment", "contact")), "changes are sorted by segment and contact"
    return set(frame.select("segment", "contact", "change").iter_rows())
