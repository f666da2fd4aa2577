"""The ledger's files: under a passing name until their run is committed, whole whenever a run or `forget` is killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import update

from segmentry.engine.forgetting import forget
from segmentry.engine.loading import load
from segmentry.engine.run import recompute
from segmentry.engine.state import State, Status, erasure, ledger
from segmentry.engine.state import commit as commits
from segmentry.engine.state.schema import FILES
from segmentry.errors import StateError
from tests.activation.conftest import LOOSE, Enrolling
from tests.state.conftest import day
from tests.state.killing import kill_self
from tests.state.test_kill import killed

FOLDER = ".segmentry/default"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After two runs: 1 is baseline, 2 is enrolled; 3 would be by a third."""
    shop = Enrolling(tmp_path_factory.mktemp("shop") / "shop", guards=LOOSE)
    shop.root.mkdir()
    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.people({"id": [1, 2, 3], "spend": [50, 5, 5]})
    shop.run("2026-01-01")
    shop.people({"id": [1, 2, 3], "spend": [50, 50, 5]})
    shop.run("2026-01-02")
    shop.people({"id": [1, 2, 3], "spend": [50, 50, 50]})
    return shop.root


@pytest.fixture
def shop(template: Path, tmp_path: Path) -> Enrolling:
    shutil.copytree(template, tmp_path / "shop")
    return Enrolling(tmp_path / "shop", guards=LOOSE)


def names(shop: Enrolling) -> list[str]:
    return sorted(path.name for path in (shop.root / FOLDER / "enrollments").iterdir())


def listed(shop: Enrolling) -> list[str]:
    with shop.state.catalog.reading() as connection:
        return sorted(Path(path).name for path in ledger.listed_files(connection).values())


def rows(shop: Enrolling) -> list[tuple[str, int]]:
    """Every row of the ledger's files as a reader finds them: contact and number."""
    with shop.state.catalog.reading() as connection:
        frames = ledger.stored_rows(shop.root / FOLDER, connection)
        return sorted(pl.concat(frames).select("contact", "number").collect().iter_rows())


def dies_when_names_are_finished(call: int) -> None:
    """The process is killed as it gives files their final names, for the first time or the second: the lease's, then the commit's."""
    real: Callable[..., None] = ledger.finish_names
    calls = 0

    def finish(*arguments: Any, **settings: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            kill_self()
        real(*arguments, **settings)

    ledger.finish_names = finish


def run_killed(root: Path, as_of: str, moment: str) -> None:
    """A run that is killed before its commit, or after it, before or after the ledger's file has its name."""
    if moment == "before the commit":
        commits.apply = kill_self
    elif moment == "before the rename":
        dies_when_names_are_finished(2)
    else:
        commits.remove_files = kill_self
    recompute(load(root).require(), as_of=day(as_of), now=day(as_of))


def forget_killed(root: Path, keys: list[object], moment: str) -> None:
    """As `run_killed`, of a `forget`."""
    workspace = load(root).require()
    if moment == "before the commit":
        erasure._erase_rows = kill_self
    elif moment == "before the rename":
        dies_when_names_are_finished(2)
    else:
        erasure.remove_files = kill_self
    forget(workspace, State.open(workspace.state, workspace.config.id), keys, day("2026-01-02"))


MOMENTS = ("before the commit", "before the rename", "after the rename")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_killed_leaves_the_ledger_whole(shop: Enrolling, moment: str) -> None:
    killed(run_killed, shop.root, "2026-01-03", moment)
    committed = moment != "before the commit"
    assert rows(shop) == [("1", 0), ("2", 1), *([("3", 1)] if committed else [])]
    assert ("3.parquet" in names(shop)) == (moment == "after the rename")
    assert ("3.parquet" in listed(shop)) == committed
    run = shop.run("2026-01-04")
    assert run.record.status is Status.ACCEPTED
    assert shop.ledger() == [("2", 1, "pending"), ("3", 1, "pending")]
    assert rows(shop) == [("1", 0), ("2", 1), ("3", 1)]
    assert names(shop) == listed(shop) == ["1.parquet", "2.parquet", "3.parquet"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_forget_that_is_killed_leaves_the_ledger_whole(shop: Enrolling, moment: str) -> None:
    killed(forget_killed, shop.root, [2], moment)
    committed = moment != "before the commit"
    assert rows(shop) == [("1", 0), *([] if committed else [("2", 1)])]
    assert shop.ledger() == ([] if committed else [("2", 1, "pending")])
    with shop.state.catalog.reading() as connection:
        known = ledger.listed_files(connection)
    assert ledger.unknown_files(shop.root / FOLDER, known) == []
    run = shop.run("2026-01-03")
    assert run.record.status is Status.ACCEPTED
    assert shop.ledger() == ([("3", 1, "pending")] if committed else [("2", 1, "pending"), ("3", 1, "pending")])
    assert names(shop) == listed(shop)
    files = [pl.read_parquet(shop.root / FOLDER / "enrollments" / name) for name in names(shop)]
    assert ("2" in pl.concat(files)["contact"].cast(pl.String()).to_list()) != committed


def test_what_a_killed_run_left_is_not_taken_for_the_file_of_the_next_run_of_its_number(shop: Enrolling) -> None:
    killed(run_killed, shop.root, "2026-01-03", "before the commit")
    assert [name for name in names(shop) if name.endswith(".pending")] == ["3.3.pending"]
    shop.people({"id": [1, 2, 3, 4], "spend": [50, 50, 5, 50]})
    assert shop.run("2026-01-04").record.id == 3
    assert rows(shop) == [("1", 0), ("2", 1), ("4", 1)]


def test_who_slept_takes_no_file_of_a_later_lease_for_a_leftover(shop: Enrolling) -> None:
    folder = shop.root / FOLDER
    for name in ("3.2.pending", "3.7.pending"):
        (folder / "enrollments" / name).write_bytes(b"")
    ledger.finish_names(folder, {"enrollments/1.parquet", "enrollments/2.parquet"}, before=7)
    assert names(shop) == ["1.parquet", "2.parquet", "3.7.pending"]


def test_files_of_runs_that_the_catalog_does_not_know(shop: Enrolling) -> None:
    folder = shop.root / FOLDER
    for name in ("2.e9.parquet", "8.parquet", "8.e12.parquet", "8.e9.parquet", "9.4.pending", "notes.parquet"):
        (folder / "enrollments" / name).write_bytes(b"")
    known = {1: "enrollments/1.parquet", 2: "enrollments/2.parquet", 7: "enrollments/7.parquet"}
    unknown = ["2.e9.parquet", "8.parquet", "8.e9.parquet", "8.e12.parquet"]
    assert [path.name for path in ledger.unknown_files(folder, known)] == unknown
    assert [(file.run, file.version) for file in ledger.newest_files(folder, known)] == [(2, 9), (8, 12)]
    assert ledger.superseded_files(folder, known) == []
    assert ledger.missing_files(folder, known) == {7: "enrollments/7.parquet"}
    assert ledger.newest_run(folder) == 8
    anew = known | {2: "enrollments/2.e9.parquet"}
    assert [path.name for path in ledger.superseded_files(folder, anew)] == ["2.parquet"]
    assert [path.name for path in ledger.unknown_files(folder, anew)] == unknown[1:]


def test_a_listed_file_that_was_written_anew_since_is_read_all_the_same(shop: Enrolling) -> None:
    folder = shop.root / FOLDER / "enrollments"
    (folder / "2.parquet").rename(folder / "2.e9.parquet")
    assert rows(shop) == [("1", 0), ("2", 1)]
    assert shop.run("2026-01-03").record.status is Status.HELD


def test_two_files_of_one_name_are_never_mixed_up(shop: Enrolling) -> None:
    folder = shop.root / FOLDER / "enrollments"
    shutil.copy(folder / "2.parquet", folder / "2.2.pending")
    shop.state.gc(day("2026-01-02") - day("2026-01-01"), day("2026-01-02"))
    assert names(shop) == ["1.parquet", "2.parquet"]
    shutil.copy(folder / "1.parquet", folder / "2.2.pending")
    with pytest.raises(StateError, match=r"2\.parquet is not what this catalog's run 2 wrote"):
        shop.run("2026-01-03")
    assert names(shop) == ["1.parquet", "2.2.pending", "2.parquet"]


def test_a_listed_file_that_is_nowhere_is_named(shop: Enrolling) -> None:
    with shop.state.catalog.writing() as connection:
        connection.execute(update(FILES).where(FILES.c.path == "enrollments/1.parquet").values(path="enrollments/1.e3.parquet"))
    (shop.root / FOLDER / "enrollments" / "1.parquet").unlink()
    with pytest.raises(StateError, match=r"enrollments/1\.e3\.parquet is missing"):
        rows(shop)
