"""A backup is restored: the run is held until `recover`, nobody is enrolled twice, and what may have been sent waits for a person."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import select

from segmentry.engine.connectors.memory import Memory, forget_all, memory
from segmentry.engine.deliveries import settle
from segmentry.engine.delivering import deliver
from segmentry.engine.forgetting import forget
from segmentry.engine.loading import load
from segmentry.engine.moment import Moment
from segmentry.engine.recovering import recover, refill
from segmentry.engine.state import Status, ledger
from segmentry.engine.state.recovery import NOWHERE, REASON, Recovered
from segmentry.engine.state.schema import ERASURES, LEDGER
from segmentry.errors import StateError
from tests.activation.conftest import LOOSE, Enrolling
from tests.state.conftest import ID, day
from tests.state.test_kill import killed
from tests.state.test_ledger_files import run_killed


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup after run 2, and after it two more runs, all delivered: contact 2 is enrolled before the backup, 3 and 4 after it."""
    shop = Enrolling(tmp_path_factory.mktemp("shop") / "shop", guards=LOOSE)
    shop.root.mkdir()
    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.people({"id": [1, 2, 3, 4, 5], "spend": [50, 5, 5, 5, 5]})
    shop.run("2026-01-01")
    shop.people({"id": [1, 2, 3, 4, 5], "spend": [50, 50, 5, 5, 5]})
    shop.run("2026-01-02")
    shutil.copytree(shop.root / ".segmentry", shop.root / "backup")
    shop.people({"id": [1, 2, 3, 4, 5], "spend": [50, 50, 50, 5, 5]})
    shop.run("2026-01-02T12:00")
    shop.people({"id": [1, 2, 3, 4, 5], "spend": [50, 50, 50, 50, 5]})
    shop.run("2026-01-03")
    return shop.root


@pytest.fixture
def shop(template: Path, tmp_path: Path) -> Iterator[Enrolling]:
    forget_all()
    shutil.copytree(template, tmp_path / "shop")
    shop = Enrolling(tmp_path / "shop", guards=LOOSE)
    sent(shop, "2026-01-03")
    yield shop
    forget_all()


def sent(shop: Enrolling, at: str) -> Memory:
    """Delivers whatever is due; what the destination was told."""
    state = shop.state
    deliver(state, load(shop.root).require(), environ={}, clock=lambda: day(at))
    state.close()
    return memory(ID, "default", "crm")


def restored(shop: Enrolling, *, whole: bool) -> Enrolling:
    """The catalog of the backup beside the newer ledger files, or the whole folder of the backup."""
    folder, backup = shop.root / ".segmentry" / "default", shop.root / "backup" / "default"
    shutil.copytree(folder / "enrollments", shop.root / "newer")
    shutil.rmtree(folder)
    shutil.copytree(backup, folder)
    if not whole:
        shutil.copytree(shop.root / "newer", folder / "enrollments", dirs_exist_ok=True)
    return shop


def recovered(shop: Enrolling, at: str = "2026-01-03T01:00") -> Recovered:
    state = shop.state
    try:
        return recover(load(shop.root).require(), state, day(at))
    finally:
        state.close()


def listed(shop: Enrolling) -> dict[int, str]:
    with shop.state.catalog.reading() as connection:
        return ledger.listed_files(connection)


def retried(shop: Enrolling, at: str) -> list[str]:
    """Somebody retries everything that is unknown."""
    ids = [id for id, row in shop.outbox().items() if row.payload is None]
    workspace = load(shop.root).require()
    filled = refill(workspace, shop.state, ids, lambda: Moment.at(workspace, day(at)).snapshot.contacts)
    return list(settle(shop.state, "retry", filled, day(at)).changed)


def test_what_is_told_of_outlives_the_catalog_also_where_its_run_was_killed_after_the_commit(shop: Enrolling) -> None:
    """Nobody would be found enrolled in a file of a run that never was, and it would be told of again."""
    shop.people({"id": [1, 2, 3, 4, 5], "spend": [50, 50, 50, 50, 50]})
    killed(run_killed, shop.root, "2026-01-03T06:00", "before the rename")
    sent(shop, "2026-01-03T06:00")
    restored(shop, whole=False)
    assert shop.run("2026-01-03T07:00").record.status is Status.HELD
    assert recovered(shop).files == ("enrollments/3.parquet", "enrollments/4.parquet", "enrollments/5.parquet")
    shop.run("2026-01-03T08:00")
    assert shop.ledger()[-1] == ("5", 1, "unknown")
    crm = sent(shop, "2026-01-03T08:00")
    assert [crm.times[id] for id, row in crm.rows.items() if str(row.contact) == "5"] == [1]


def test_an_older_catalog_beside_newer_ledger_files_holds_the_run(shop: Enrolling) -> None:
    restored(shop, whole=False)
    run = shop.run("2026-01-03T01:00")
    assert run.record.status is Status.HELD
    reasons = shop.holds()[0].reasons
    assert any("3.parquet, 4.parquet" in reason and "segmentry recover" in reason for reason in reasons)
    assert shop.ledger() == [("2", 1, "pending")]


def test_recover_reads_the_ledger_and_the_next_run_enrolls_nobody(shop: Enrolling) -> None:
    before = set(shop.outbox())
    restored(shop, whole=False).run("2026-01-03T01:00")
    found = recovered(shop)
    assert found.files == ("enrollments/3.parquet", "enrollments/4.parquet")
    assert (found.enrollments, found.unknown, dict(found.outcomes), found.missing) == (2, 2, {"unknown": 2}, ())
    assert shop.ledger() == [("2", 1, "pending"), ("3", 1, "unknown"), ("4", 1, "unknown")]
    assert set(shop.outbox()) == before
    assert shop.reasons()["3"] == REASON
    shop.people({"id": [1, 2, 3, 4, 5], "spend": [50] * 5})
    run = shop.run("2026-01-03T02:00")
    assert run.record.status is Status.ACCEPTED
    assert shop.ledger() == [("2", 1, "pending"), ("3", 1, "unknown"), ("4", 1, "unknown")]
    assert shop.baseline("vip") == ["1", "3", "4", "5"]
    assert shop.holds() == []
    shop.people({"id": [1, 2, 3, 4, 5, 6], "spend": [50] * 6})
    shop.run("2026-01-03T03:00")
    assert ("6", 1, "pending") in shop.ledger()


def test_after_a_retry_a_receiver_that_knows_ids_sees_nobody_new(shop: Enrolling) -> None:
    told = dict(memory(ID, "default", "crm").rows)
    assert len(told) == 3
    restored(shop, whole=False)
    recovered(shop)
    shop.run("2026-01-03T02:00")
    assert len(retried(shop, "2026-01-03T02:00")) == 2
    after = sent(shop, "2026-01-03T03:00")
    assert after.rows == told
    assert after.times.total() == 6
    assert [request.rows[0] for request in after.requests[3:]] == [told[request.id] for request in after.requests[3:]]
    assert [outcome for _, _, outcome in shop.ledger()] == ["sent"] * 3


def test_who_is_gone_from_the_snapshot_is_not_retried(shop: Enrolling) -> None:
    restored(shop, whole=False)
    recovered(shop)
    shop.people({"id": [1, 2, 4, 5], "spend": [50, 50, 50, 5]})
    shop.run("2026-01-03T02:00")
    assert len(retried(shop, "2026-01-03T02:00")) == 1
    assert shop.ledger() == [("2", 1, "pending"), ("3", 1, "unknown"), ("4", 1, "pending")]


def test_a_catalog_that_was_put_back_alone_says_which_file_is_missing(shop: Enrolling) -> None:
    folder, backup = shop.root / ".segmentry" / "default", shop.root / "backup" / "default"
    for old in folder.glob("catalog.sqlite*"):
        old.unlink()
    for kept in backup.glob("catalog.sqlite*"):
        shutil.copy(kept, folder)
    with pytest.raises(StateError, match="was the catalog put back alone"):
        shop.run("2026-01-03T01:00")
    shutil.copytree(backup, folder, dirs_exist_ok=True)
    assert shop.run("2026-01-03T01:00").record.status is Status.HELD
    assert recovered(shop).enrollments == 2


def test_the_whole_folder_of_a_backup_is_held_by_the_gap_and_then_baseline(shop: Enrolling) -> None:
    restored(shop, whole=True)
    run = shop.run("2026-01-06")
    assert run.record.status is Status.HELD
    assert [hold.kind for hold in shop.holds()] == ["source"]
    found = recovered(shop, "2026-01-06")
    assert (found.files, found.enrollments) == ((), 0)
    run = shop.run("2026-01-06T01:00")
    assert run.record.status is Status.ACCEPTED
    assert shop.ledger() == [("2", 1, "pending")]
    assert shop.baseline("vip") == ["1", "3", "4"]
    told = dict(memory(ID, "default", "crm").rows)
    assert sent(shop, "2026-01-04").rows == told
    assert memory(ID, "default", "crm").repeated == {id: 2 for id, row in told.items() if row.contact == "2"}


def test_to_recover_again_does_nothing_more(shop: Enrolling) -> None:
    restored(shop, whole=False)
    recovered(shop)
    before, rows = shop.outbox(), shop.ledger()
    again = recovered(shop)
    assert (again.files, again.enrollments, again.attached) == ((), 0, ())
    assert (shop.outbox(), shop.ledger()) == (before, rows)
    assert shop.state.fact("recovered") is True
    shop.run("2026-01-03T02:00")
    assert shop.state.fact("recovered") is None


def test_pairs_that_were_attached_after_the_backup_stay_attached(shop: Enrolling) -> None:
    shop.sequences = "{welcome: {destination: crm}, tour: {destination: crm}}"
    shop.segment("vip", "spend > 10", enroll="[welcome, {sequence: tour, backfill: true}]")
    shop.people({"id": [1, 2, 3, 4, 5], "spend": [50, 50, 50, 50, 50]})
    shop.run("2026-01-03T00:30")
    enrolled = shop.ledger("tour")
    assert len(enrolled) == 5
    restored(shop, whole=False)
    found = recovered(shop)
    assert found.attached == (("vip", "tour"),)
    assert [(contact, number) for contact, number, _ in shop.ledger("tour")] == [(contact, number) for contact, number, _ in enrolled]
    shop.run("2026-01-03T02:00")
    assert {outcome for _, _, outcome in shop.ledger("tour")} == {"unknown"}
    assert shop.baseline("vip", "tour") == ["3", "4", "5"]


def test_a_sequence_that_was_renamed_after_the_backup_is_the_same(shop: Enrolling) -> None:
    shop.sequences = "{hello: {destination: crm, renamed_from: [welcome]}}"
    shop.segment("vip", "spend > 10", enroll="hello")
    shop.people({"id": [1, 2, 3, 4, 5], "spend": [50, 50, 50, 50, 50]})
    shop.run("2026-01-03T00:30")
    ids = set(shop.outbox())
    restored(shop, whole=False)
    recovered(shop)
    assert set(shop.outbox()) == ids
    shop.run("2026-01-03T02:00")
    assert [contact for contact, _, _ in shop.ledger("hello")] == ["2", "3", "4", "5"]
    assert shop.ledger("welcome") == []


def test_a_sequence_that_was_renamed_and_got_a_baseline_after_the_backup_is_the_same(shop: Enrolling) -> None:
    shop.sequences = "{hello: {destination: crm, renamed_from: [welcome]}}"
    shop.segment("vip", "spend > 10", enroll="hello")
    shop.segment("rich", "spend > 40", enroll="hello")
    shop.run("2026-01-03T00:30")
    assert shop.baseline("rich", "hello") == ["1", "2", "3", "4"]
    restored(shop, whole=False)
    recovered(shop)
    shop.people({"id": [1, 2, 3, 4, 5], "spend": [50, 5, 5, 5, 5]})
    shop.run("2026-01-03T02:00")
    shop.people({"id": [1, 2, 3, 4, 5], "spend": [50, 50, 50, 50, 5]})
    shop.run("2026-01-03T03:00")
    assert [contact for contact, _, _ in shop.ledger("hello")] == ["2", "3", "4"]
    assert shop.ledger("welcome") == []


def test_a_sequence_that_began_and_was_renamed_after_the_backup_is_one(shop: Enrolling) -> None:
    sequences = "{{welcome: {{destination: crm}}, {name}: {{destination: crm, renamed_from: [{former}]}}}}"
    for hour, name, former in ((1, "tour", ""), (2, "trip", "tour"), (3, "journey", "trip, tour")):
        shop.sequences = sequences.format(name=name, former=former)
        shop.segment("vip", "spend > 10", enroll=f"[welcome, {{sequence: {name}, backfill: true, again: every time}}]")
        for other in range(1, hour + 1):  # so that the ledger has each name
            shop.segment(f"also{other}", "spend > 40", enroll=name)
        shop.people({"id": [1, 2, 3, 4, 5, *range(6, 6 + hour)], "spend": [50] * (5 + hour)})
        shop.run(f"2026-01-03T0{hour}")
    shop.sequences = sequences.format(name="voyage", former="journey, trip, tour")
    shop.segment("vip", "spend > 10", enroll="[welcome, {sequence: voyage, backfill: true, again: every time}]")
    for other in (1, 2, 3):
        shop.segment(f"also{other}", "spend > 40", enroll="voyage")
    shop.write_config()
    enrolled = shop.ledger("journey")
    assert len(enrolled) == 8
    restored(shop, whole=False)
    found = recovered(shop, "2026-01-03T04:00")
    assert dict(found.outcomes) == {"unknown": 2 + 4 + 8}  # two of the fixture, four who came later, and everybody who was backfilled
    ids = set(shop.outbox())
    shop.run("2026-01-03T05:00")
    assert set(shop.outbox()) == ids
    assert [(contact, number) for contact, number, _ in shop.ledger("voyage")] == [(contact, number) for contact, number, _ in enrolled]
    assert [shop.ledger(name) for name in ("tour", "trip", "journey")] == [[], [], []]
    with shop.state.catalog.reading() as connection:  # by which the files' baselines are found
        assert ledger.former_names(connection, "sequence") == dict.fromkeys(("tour", "trip", "journey"), "voyage")
        assert ledger.first_name(connection, "sequence", "voyage") == "tour"  # which ids are made of


NAMED = {  # a sequence's name and its `renamed_from` in each run; None: a backup is made
    "renamed twice": [("a", "[]"), None, ("b", "[a]"), ("c", "[b, a]")],
    "only the last former name is said": [("a", "[]"), None, ("b", "[a]"), ("c", "[b]")],
    "the former name is said no more": [("a", "[]"), None, ("b", "[a]"), ("b", "[]")],
    "a former name that never was": [("a", "[]"), None, ("b", "[z, a]"), ("c", "[y, b, z, a]")],
    "taken back before the backup": [("a", "[]"), ("b", "[a]"), ("a", "[b]"), None, ("a", "[b]"), ("a", "[b]")],
    "taken back after the backup": [("a", "[]"), None, ("b", "[a]"), ("a", "[b]")],
    "taken back on both sides of the backup": [("a", "[]"), ("b", "[a]"), None, ("b", "[a]"), ("a", "[b]")],
}


BACK = ("at once", "later")
EACH = [(case, BACK[number % 2]) for number, case in enumerate(NAMED)]
OTHERS = [(case, back) for case in NAMED for back in BACK if (case, back) not in EACH]


@pytest.mark.parametrize(("case", "back"), [*EACH, *(pytest.param(*other, marks=pytest.mark.full) for other in OTHERS)])
def test_nobody_is_enrolled_again_however_a_sequence_was_named(tmp_path: Path, case: str, back: str) -> None:
    shop = Enrolling(tmp_path / "shop", guards=LOOSE)
    shop.root.mkdir()

    def members(*keys: int) -> None:
        shop.people({"id": list(range(1, 9)), "spend": [50 if key in keys else 5 for key in range(1, 9)]})

    day = 1
    for step in [("a", "[]"), *NAMED[case]]:
        if step is None:
            shutil.copytree(shop.root / ".segmentry", shop.root / "backup")
            continue
        shop.sequences = f"{{{step[0]}: {{destination: crm, renamed_from: {step[1]}}}}}"
        shop.segment("vip", "spend > 10", enroll=step[0])
        members(*range(1, day + 1))  # one more in each run
        shop.run(f"2026-01-{day:02}")
        day += 1
    enrolled = shop.ledger(step[0])
    assert len(enrolled) == day - 2  # whoever was in at the first run is its baseline
    ids = set(shop.outbox())
    restored(shop, whole=False)
    assert set(recovered(shop, "2026-02-01").outcomes) == {"unknown"}
    for date, keys in (("02", range(1, day if back == "at once" else 2)), ("03", range(1, 2)), ("04", range(1, day))):
        members(*keys)
        shop.run(f"2026-02-{date}")
    assert set(shop.outbox()) == ids
    assert [(contact, number) for contact, number, _ in shop.ledger(step[0])] == [(contact, number) for contact, number, _ in enrolled]


def test_rows_of_a_sequence_that_is_gone_are_withdrawn(shop: Enrolling) -> None:
    restored(shop, whole=False)
    shop.sequences = "{}"
    shop.segment("vip", "spend > 10")
    shop.write_config()
    found = recovered(shop)
    assert dict(found.outcomes) == {"withdrawn": 2}
    assert shop.reasons()["4"] == NOWHERE
    assert len(shop.outbox()) == 1


def test_outcomes_that_nobody_was_told_of_stay(shop: Enrolling) -> None:
    shop.further = {"suppress": "optout"}
    shop.people({"id": [1, 2, 3, 4, 5, 6, 7], "spend": [50] * 7, "optout": [False] * 4 + [True] * 2 + [False]})
    shop.run("2026-01-03T00:30")
    restored(shop, whole=False)
    found = recovered(shop)
    assert dict(found.outcomes) == {"suppressed": 2, "unknown": 3}
    assert shop.reasons()["5"] == "suppressed at entry"


def test_a_missing_ledger_file_is_told_of_and_unlisted(shop: Enrolling) -> None:
    (shop.root / ".segmentry/default/enrollments/1.parquet").unlink()
    shop.people({"id": [1, 2, 3, 4, 5], "spend": [5, 50, 50, 50, 50]})
    with pytest.raises(StateError, match=r"enrollments/1\.parquet is missing .* `segmentry recover`"):
        shop.run("2026-01-03T01:00")
    found = recovered(shop)
    assert found.missing == ("enrollments/1.parquet",)
    assert 1 not in listed(shop)
    shop.run("2026-01-03T01:00")
    assert shop.baseline("vip") == ["1", "2", "3", "4", "5"]
    shop.people({"id": [1, 2, 3, 4, 5, 6], "spend": [50, 50, 50, 50, 50, 50]})
    shop.run("2026-01-03T02:00")
    assert shop.ledger() == [("2", 1, "sent"), ("3", 1, "sent"), ("4", 1, "sent"), ("6", 1, "pending")]
    assert recovered(shop).missing == ()


def test_a_ledger_file_that_can_not_be_read_is_told_of_and_nothing_happens(shop: Enrolling) -> None:
    restored(shop, whole=False)
    (shop.root / ".segmentry/default/enrollments/4.parquet").write_bytes(b"half a file")
    with pytest.raises(StateError, match=r"enrollments/4\.parquet .* can't be read"):
        recovered(shop)
    assert shop.ledger() == [("2", 1, "pending")]
    assert 3 not in listed(shop)
    assert shop.state.fact("recovered") is None


def test_who_was_forgotten_after_the_backup_is_forgotten_again(shop: Enrolling) -> None:
    forget(load(shop.root), shop.state, [2, 3], day("2026-01-03"))
    restored(shop, whole=False)
    folder = shop.root / ".segmentry/default/enrollments"
    (folder / "2.parquet").unlink()  # the newer folder has it written anew, and the former one no more
    assert shop.ledger() == [("2", 1, "pending")]
    assert shop.run("2026-01-03T01:00").record.status is Status.HELD
    found = recovered(shop)
    assert found.forget_again == ("2",)
    assert shop.ledger() == [("4", 1, "unknown")]
    assert shop.outbox().keys().isdisjoint({"2", "3"})
    with shop.state.catalog.reading() as connection:
        assert len(list(connection.execute(select(ERASURES)))) == 1
        rows = {row.run: row.rows for row in connection.execute(select(LEDGER))}
    assert rows == {run: pl.read_parquet(shop.root / ".segmentry/default" / path).height for run, path in listed(shop).items()}
    certificate = forget(load(shop.root), shop.state, found.forget_again, day("2026-01-03"))
    assert certificate["known"] == 1
    shop.people({"id": [1, 2, 3, 4, 5], "spend": [50, 50, 50, 50, 5]})
    shop.run("2026-01-03T02:00")
    assert shop.ledger() == [("4", 1, "unknown")]


def test_nobody_is_forgotten_while_the_ledger_has_files_that_nobody_knows(shop: Enrolling) -> None:
    restored(shop, whole=False)
    with pytest.raises(StateError, match=r"3\.parquet.*segmentry recover"):
        forget(load(shop.root), shop.state, [3], day("2026-01-03"))
    recovered(shop)
    certificate = forget(load(shop.root), shop.state, [3], day("2026-01-03"))
    assert (certificate["enrollments"], certificate["deliveries"]) == (1, 1)
    assert certificate["told"] == ["crm"]
