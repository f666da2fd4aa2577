"""`forget` of somebody who is enrolled: ledger, what is held and skipped, the outbox, merged keys; and what nobody may do after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from sqlalchemy import func, select

from segmentry.engine.connectors.destination import Answer, Batch
from segmentry.engine.connectors.memory import MemoryDestination, forget_all, memory
from segmentry.engine.connectors.registry import Context
from segmentry.engine.delivering import Delivered, deliver
from segmentry.engine.forgetting import forget
from segmentry.engine.loading import load
from segmentry.engine.state import ledger
from segmentry.engine.state.schema import ALIASES, DELIVERIES, ENROLLMENTS, ERASURES, FILES, LEDGER
from segmentry.errors import SourceError
from tests.activation.conftest import LOOSE, Enrolling
from tests.state.conftest import ID, day

ANNA, BEN, CLEO, OLD_ANNA = "anna-4711", "ben-4712", "cleo-4713", "anna-before-4700"
UUIDS = [f"0b8f5c3f-9a11-4c55-9d0e-7d0a1c526a0{digit}" for digit in "abc"]


@pytest.fixture(autouse=True)
def _no_memory() -> None:
    forget_all()


def forgotten(shop: Enrolling, *keys: object, at: str = "2026-01-02T12:00") -> dict[str, Any]:
    return forget(load(shop.root).require(), shop.state, keys, day(at))


def sent(shop: Enrolling, at: str, **settings: Any) -> Delivered:
    return deliver(shop.state, load(shop.root).require(), environ={}, clock=lambda: day(at), **settings)


def counts(shop: Enrolling) -> tuple[int, int, int]:
    """How many enrollments, deliveries and merges the catalog has."""
    with shop.state.catalog.reading() as connection:
        tables = (ENROLLMENTS, DELIVERIES, ALIASES)
        enrollments, deliveries, aliases = (connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables)
    return enrollments, deliveries, aliases


def naming(shop: Enrolling, *texts: str) -> list[str]:
    """The files of the state that name somebody: Parquet by its values, all others by their bytes."""
    folder = shop.root / ".segmentry" / "default"
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and _names(path, texts))


def _names(path: Path, texts: Sequence[str]) -> bool:
    if path.suffix != ".parquet":
        content = path.read_bytes()
        return any(text.encode() in content for text in texts)
    frame = pl.read_parquet(path)
    values = {value for column in frame.columns for value in frame[column].cast(pl.String(), strict=False).to_list()}
    return any(text in values for text in texts)


@pytest.fixture
def vip(shop_of_text_keys: Enrolling) -> Enrolling:
    """Anna and Ben are enrolled and not yet sent; Cleo was in from the beginning."""
    shop = shop_of_text_keys
    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.people({"id": [ANNA, BEN, CLEO], "spend": [5, 5, 50]})
    shop.run("2026-01-01")
    shop.people({"id": [ANNA, BEN, CLEO], "spend": [50, 50, 50]})
    shop.run("2026-01-02")
    return shop


@pytest.fixture
def shop_of_text_keys(tmp_path: Path) -> Enrolling:
    (tmp_path / "shop").mkdir()
    return Enrolling(tmp_path / "shop", guards=LOOSE)


def test_enrollments_and_deliveries_go_and_the_certificate_counts_them(vip: Enrolling) -> None:
    assert naming(vip, ANNA, f"c{ANNA}@example.com") != []
    certificate = forgotten(vip, ANNA)
    assert (certificate["contacts"], certificate["known"]) == (1, 1)
    assert (certificate["enrollments"], certificate["deliveries"], certificate["told"]) == (1, 1, [])
    assert certificate["runs"] == [1, 2]
    assert vip.ledger() == [(BEN, 1, "pending")]
    assert len(vip.outbox()) == 1
    assert naming(vip, ANNA, f"c{ANNA}@example.com") == []


def test_the_ledger_s_files_keep_everybody_else_and_their_catalog_s_figures(vip: Enrolling) -> None:
    forgotten(vip, ANNA, CLEO)
    with vip.state.catalog.reading() as connection:
        frames = [frame.select("contact", "number").collect().rows() for frame in ledger.stored_rows(vip.state.folder, connection)]
        heights = [row.rows for row in connection.execute(select(LEDGER).order_by(LEDGER.c.run))]
        paths = ledger.listed_files(connection)
        sizes = {row.path: row.bytes for row in connection.execute(select(FILES).where(FILES.c.kind == "ledger"))}
    assert frames == [[], [(BEN, 1)]]
    assert heights == [0, 1]
    assert all(path.endswith(".e3.parquet") for path in paths.values())
    assert sizes == {path: (vip.state.folder / path).stat().st_size for path in paths.values()}
    assert sorted(path.name for path in (vip.state.folder / "enrollments").iterdir()) == ["1.e3.parquet", "2.e3.parquet"]


def test_to_forget_again_writes_the_ledger_anew_once_more(vip: Enrolling) -> None:
    forgotten(vip, ANNA)
    forgotten(vip, BEN)
    assert vip.ledger() == []
    assert vip.baseline("vip") == [CLEO]
    assert sorted(path.name for path in (vip.state.folder / "enrollments").iterdir()) == ["1.parquet", "2.e4.parquet"]
    vip.people({"id": [CLEO, "dora-4714"], "spend": [50, 50]})
    vip.run("2026-01-03")
    assert vip.ledger() == [("dora-4714", 1, "pending")]


def people(shop: Enrolling, kind: str, rows: dict[str, list[Any]]) -> None:
    """A snapshot whose key has a type of its own."""
    shop.people(rows)
    path = shop.root / "contacts.parquet"
    duckdb.sql(f"copy (select * replace (id::{kind} as id) from read_parquet('{path}')) to '{path}.new' (format parquet)")
    path.with_name("contacts.parquet.new").replace(path)


@pytest.mark.parametrize(
    ("kind", "keys", "said"),
    [("bigint", [11, 12, 13], "11"), ("varchar", [ANNA, BEN, CLEO], ANNA), ("uuid", UUIDS, UUIDS[0].upper())],
    ids=["integer", "text", "uuid"],
)
def test_whoever_is_imported_again_is_never_enrolled(shop_of_text_keys: Enrolling, kind: str, keys: list[object], said: str) -> None:
    shop = shop_of_text_keys
    shop.segment("vip", "spend > 10", enroll="{sequence: welcome, again: every time}")
    people(shop, kind, {"id": keys, "spend": [5, 5, 50]})
    shop.run("2026-01-01")
    people(shop, kind, {"id": keys, "spend": [50, 5, 50]})
    shop.run("2026-01-02")
    assert forgotten(shop, said)["known"] == 1
    assert shop.ledger() == []
    people(shop, kind, {"id": keys[1:], "spend": [5, 50]})
    shop.run("2026-01-03")
    people(shop, kind, {"id": keys, "spend": [50, 50, 50]})
    shop.run("2026-01-04")
    assert shop.ledger() == [(str(keys[1]), 1, "pending")]
    assert shop.skipped() == {str(keys[0]): "forgotten before"}


def test_every_key_that_a_contact_had_is_forgotten(vip: Enrolling) -> None:
    pl.DataFrame({"old_key": [OLD_ANNA, "anna-before-4699"], "new_key": [ANNA, OLD_ANNA]}).write_parquet(vip.root / "aliases.parquet")
    vip.run("2026-01-03")
    assert counts(vip) == (2, 2, 2)
    certificate = forgotten(vip, OLD_ANNA)
    assert (certificate["contacts"], certificate["known"], len(certificate["hashes"])) == (1, 1, 3)
    assert counts(vip) == (1, 1, 0)
    assert certificate["erase_by_hand"]["aliases"] == ["aliases.parquet"]
    assert naming(vip, ANNA, OLD_ANNA, "anna-before-4699") == []
    vip.people({"id": [BEN, CLEO], "spend": [50, 50]})
    vip.run("2026-01-03T12:00")
    vip.people({"id": [ANNA, BEN, CLEO], "spend": [50, 50, 50]})
    vip.run("2026-01-04")
    assert vip.ledger() == [(BEN, 1, "pending")]
    assert vip.skipped() == {ANNA: "forgotten before"}


def test_a_row_under_a_former_key_goes_with_the_key_it_became(vip: Enrolling) -> None:
    pl.DataFrame({"old_key": [ANNA], "new_key": ["anna-4720"]}).write_parquet(vip.root / "aliases.parquet")
    vip.people({"id": ["anna-4720", BEN, CLEO], "spend": [50, 50, 50]})
    vip.run("2026-01-03")
    assert [contact for contact, _, _ in vip.ledger()] == [ANNA, BEN]
    certificate = forgotten(vip, "anna-4720")
    assert certificate["enrollments"] == 1
    assert naming(vip, ANNA, "anna-4720") == []


def test_what_a_guard_holds_names_nobody_who_is_forgotten(vip: Enrolling) -> None:
    vip.guards = "{segment: {enters: 10%, contacts: 1}}"
    vip.people({"id": [ANNA, BEN, CLEO, "dora-4714", "emil-4715"], "spend": [50] * 5})
    run = vip.run("2026-01-03").record
    assert [hold.kind for hold in vip.holds()] == ["segment"]
    certificate = forgotten(vip, "dora-4714")
    assert run.id in certificate["runs"]
    assert naming(vip, "dora-4714") == []
    vip.approve(run.id, at="2026-01-05")
    assert [contact for contact, _, _ in vip.ledger()] == [ANNA, BEN, "emil-4715"]


def test_why_somebody_was_not_enrolled_is_forgotten_too(vip: Enrolling) -> None:
    vip.people({"id": [ANNA, BEN, CLEO], "spend": [5, 50, 5]})
    vip.run("2026-01-03")
    vip.people({"id": [ANNA, BEN, CLEO], "spend": [50, 50, 50]})
    run = vip.run("2026-01-04").record
    assert set(vip.skipped(run.id)) == {ANNA, CLEO}
    forgotten(vip, ANNA)
    assert set(vip.skipped(run.id)) == {CLEO}


def test_rows_that_were_sent_go_and_who_was_told_is_said(vip: Enrolling) -> None:
    vip.destinations = "{crm: {type: memory}, drop: {type: files, path: out, format: csv}}"
    vip.sequences = "{welcome: {destination: crm}, archive: {destination: drop}}"
    vip.segment("vip", "spend > 10", enroll="[welcome, {sequence: archive, backfill: true}]")
    vip.run("2026-01-03")
    sent(vip, "2026-01-03")
    certificate = forgotten(vip, ANNA)
    assert (certificate["enrollments"], certificate["deliveries"]) == (2, 0)
    assert certificate["told"] == ["crm", "drop"]
    assert certificate["erase_by_hand"] == {"lists": [], "sources": ["contacts.parquet"], "exports": ["out"], "destinations": ["crm"]}


class _ForgetsFirst(MemoryDestination):
    """Somebody is forgotten after their row was claimed, and before the last look."""

    shop: Enrolling

    def send(self, batch: Batch, before: Callable[[], None]) -> Sequence[Answer]:
        if ANNA in {row.contact for row in batch.rows}:
            forgotten(self.shop, ANNA)
        return super().send(batch, before)


def test_a_row_under_way_is_seen_to_be_gone_before_its_request(vip: Enrolling) -> None:
    _ForgetsFirst.shop = vip

    def opened(name: str, settings: Any, context: Context) -> MemoryDestination:
        from segmentry.engine.connectors.settings import MemorySettings

        return _ForgetsFirst(MemorySettings(**{**settings, "type": "memory", "batch": 5}), memory(ID, "default", name))

    for _ in range(2):  # the batch that had Anna's row was withheld: the others go in a new one
        sent(vip, "2026-01-03", open=opened)
    assert [row.contact for row in memory(ID, "default", "crm").rows.values()] == [BEN]
    assert vip.ledger() == [(BEN, 1, "sent")]
    assert len(vip.outbox()) == 1


def test_a_failure_s_message_names_nobody(vip: Enrolling) -> None:
    vip.people({"id": [ANNA, ANNA, CLEO], "spend": [50, 50, 50]})
    with pytest.raises(SourceError):
        vip.run("2026-01-03")
    assert ANNA in vip.state.fact("failure")["message"]
    forgotten(vip, BEN)
    assert ANNA in vip.state.fact("failure")["message"]
    at = vip.state.fact("failure")["at"]
    forgotten(vip, ANNA)
    assert vip.state.fact("failure") == {"at": at, "message": "it failed; the message named somebody who was forgotten since"}
    assert naming(vip, ANNA) == []


def test_a_key_that_nothing_names_is_remembered_all_the_same(vip: Enrolling) -> None:
    certificate = forgotten(vip, "nobody-1")
    assert (certificate["contacts"], certificate["known"], certificate["enrollments"], certificate["files"]) == (1, 0, 0, 0)
    with vip.state.catalog.reading() as connection:
        assert list(connection.execute(select(ERASURES.c.hash)).scalars()) == certificate["hashes"]
