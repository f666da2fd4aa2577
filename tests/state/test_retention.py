"""What retention and `forget` remove, and what they never do."""

from __future__ import annotations

import shutil
from datetime import timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from segmentry.engine.forgetting import forget
from segmentry.engine.loading import load
from segmentry.errors import NotFound, SegmentryError
from tests.state.conftest import Shop, at, day

NOW = day("2026-03-01")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: one old, one older than that, one of today; a segment that went, and one that came."""
    shop = Shop(tmp_path_factory.mktemp("grown") / "shop")
    shop.root.mkdir()
    shop.list("staff.csv", 2, 3)
    shop.segment("staff", list="staff.csv")
    shop.contacts({"id": [1, 2, 3], "spend": [5, 50, 500]})
    shop.event_file("a", {"contact_id": [1, 2], "at": [at("2026-01-01")] * 2, "event": ["order"] * 2})
    shop.segment("big", "spend > 10 and not did(refund)")
    shop.segment("gone", "spend > 100")
    shop.run("2026-01-01")
    shop.remove("gone")
    shop.contacts({"id": [1, 2, 4], "spend": [15, 5, 40]})
    shop.run("2026-01-02")
    shop.segment("new", "spend < 10")
    shop.run("2026-03-01")
    return shop.root


@pytest.fixture
def grown(template: Path, tmp_path: Path) -> Shop:
    shutil.copytree(template, tmp_path / "shop")
    return Shop(tmp_path / "shop", events=True)


def files(shop: Shop) -> set[str]:
    folder = shop.root / ".segmentry" / "default"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")}


def test_the_layout_is_what_the_catalog_lists(grown: Shop) -> None:
    assert files(grown) == {
        "contacts/1/keys-0.parquet",
        "contacts/1/present.parquet",
        "contacts/2/keys-0.parquet",
        "contacts/2/present.parquet",
        "contacts/2/digests-2.parquet",
        "runs/1/events.parquet",
        "runs/1/members-0.parquet",
        "runs/1/changes.parquet",
        "runs/2/members-0.parquet",
        "runs/2/changes.parquet",
        "runs/3/members-0.parquet",
        "runs/3/changes.parquet",
    }
    assert pl.read_parquet(grown.root / ".segmentry/default/runs/3/members-0.parquet").columns == ["new"]


def test_a_run_whose_order_of_contacts_is_gone_says_so(grown: Shop) -> None:
    grown.contacts({"id": [1, 2, 4, 5], "spend": [15, 5, 40, 3]})
    grown.run("2026-03-02")
    grown.contacts({"id": [1, 2, 4, 5, 6], "spend": [15, 5, 40, 3, 2]})
    grown.run("2026-06-01")
    grown.state.gc(timedelta(days=30), day("2026-06-01"))
    for read in (grown.state.memberships, grown.state.order, partial(grown.state.members, "big")):
        with pytest.raises(NotFound, match=r"of run 4 were removed \(retention\)"):
            read(4)


def test_old_memberships_go_and_changes_stay(grown: Shop) -> None:
    history = {name: grown.state.history(name) for name in ("big", "gone", "new")}
    changes = {run: grown.state.changes(run) for run in (1, 2, 3)}
    removed = grown.state.gc(timedelta(days=30), NOW)
    assert removed["runs"] == 2
    assert not grown.state.run(2).complete
    for read in (grown.state.memberships, grown.state.view):
        with pytest.raises(NotFound, match="retention"):
            read(2)
    assert grown.state.members("big").to_list() == [1, 4]
    for name, former in history.items():
        assert grown.state.history(name).equals(former), name
    for run, former in changes.items():
        assert grown.state.changes(run).equals(former), run
    assert grown.state.gc(timedelta(days=30), NOW)["files"] == 0


def test_retention_keeps_what_a_later_run_needs(grown: Shop) -> None:
    grown.state.gc(timedelta(days=0), NOW + timedelta(days=400))
    grown.segment("gone", "spend > 10")
    grown.contacts({"id": [1, 2, 4], "spend": [15, 50, 40]})
    run = grown.run("2026-03-02")
    assert run.changes().rows() == [
        ("big", 2, "entered", "data", None),
        ("gone", 1, "entered", "rule", None),
        ("gone", 2, "entered", "rule", None),
        ("gone", 3, "exited", "rule", None),
        ("gone", 4, "entered", "rule", None),
        ("new", 2, "exited", "data", None),
    ]


def test_leftovers_of_a_killed_run_go(grown: Shop) -> None:
    folder = grown.root / ".segmentry" / "default"
    for name in ("runs/4/members-0.parquet", "runs/3/other.parquet", "contacts/9/keys-0.parquet", "staging/77/runs/4/changes.parquet"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"half")
    before = files(grown)
    assert grown.state.gc(timedelta(days=30), day("2026-01-05"))["leftovers"] == 4
    assert len(before) - len(files(grown)) == 4
    assert not (folder / "staging" / "77").exists()


def test_forget_erases_every_file_that_names_the_contact(grown: Shop) -> None:
    certificate = forget(load(grown.root), grown.state, ["2"], NOW)
    assert certificate["contacts"] == certificate["known"] == 1
    assert certificate["runs"] == [1, 2, 3]
    assert certificate["erase_by_hand"] == {"lists": ["staff.csv"], "sources": ["contacts.parquet", "events/*.parquet"]}
    folder = grown.root / ".segmentry" / "default"
    for name in files(grown):
        frame = pl.read_parquet(folder / name)
        for column in ("id", "contact"):
            if column in frame.columns:
                assert 2 not in frame[column].to_list(), name
    state = grown.state
    assert state.members("big", 1).to_list() == [3]
    assert 2 not in state.memberships()["id"].to_list()
    assert state.changes(1).filter(segment="big")["contact"].to_list() == [3]
    assert all(run.erased == 1 for run in state.runs())
    assert state.event_digests(state.event_files()[0])["position"].to_list() == [0]
    assert state.digests(3)[1] == 0


def test_a_forgotten_contact_that_is_imported_again_is_a_new_one(grown: Shop) -> None:
    forget(load(grown.root), grown.state, [2, 4], NOW)
    run = grown.run("2026-03-02")
    assert run.changes().rows() == [
        ("big", 4, "entered", "source", None),
        ("new", 2, "entered", "source", None),
        ("staff", 2, "entered", "source", None),
    ]
    assert grown.run("2026-03-03").changes().rows() == []


def test_whoever_is_erased_from_the_sources_too_leaves_no_row(grown: Shop) -> None:
    grown.contacts({"id": [1, 2], "spend": [15, 5]})
    forget(load(grown.root), grown.state, [4], NOW)
    assert grown.run("2026-03-02").changes().rows() == []


def test_forget_again_and_unknown_keys(grown: Shop) -> None:
    forget(load(grown.root), grown.state, [2], NOW)
    again = forget(load(grown.root), grown.state, [2, 99], NOW)
    assert (again["contacts"], again["known"], again["files"]) == (2, 0, 0)
    with pytest.raises(SegmentryError, match="'x' is no key"):
        forget(load(grown.root), grown.state, ["x"], NOW)
    grown.run("2026-03-02")
    assert forget(load(grown.root), grown.state, [2], NOW)["known"] == 1


def test_a_certificate_names_nobody_and_the_hash_needs_the_catalog_s_secret(grown: Shop) -> None:
    first = grown.state.forget([2], NOW)
    assert first["hashes"][0] not in (hash(2), "2")
    assert len(first["hashes"][0]) == 64
    assert grown.state.forget(["2"], NOW)["hashes"] == first["hashes"]
