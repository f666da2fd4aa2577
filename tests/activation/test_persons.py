"""ACTIVATION 4, "Persons": addresses, suppression, merged keys and forgotten contacts. Each test is a row of the table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl
import pytest

from segmentry.engine.deliveries import resume
from segmentry.engine.fitness import fit
from segmentry.engine.loading import load
from segmentry.engine.state.holds import pause
from tests.activation.conftest import Enrolling, Shelf
from tests.state.conftest import day

SUPPRESS = "\"status = 'unsubscribed'\""


def begin_vip(shop: Enrolling) -> None:
    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.people({"id": [1, 2, 3], "spend": [5, 5, 5]})
    shop.run("2026-01-01")


@pytest.fixture
def vip(shelf: Shelf) -> Enrolling:
    """`vip`, spend over 10, enrolls in `welcome`; nobody is in at first."""
    return shelf.take(begin_vip)


def begin_addressed(shop: Enrolling) -> None:
    shop.destinations = "{crm: {type: memory, needs_address: true}}"
    shop.segment("vip", "spend > 10", enroll="welcome")
    spending(shop, {1: 5, 2: 5}, emails=["a@example.com", None])
    shop.run("2026-01-01")


@pytest.fixture
def addressed(shelf: Shelf) -> Enrolling:
    """As `vip`, at a destination that can tell nobody without an address."""
    return shelf.take(begin_addressed)


def spending(shop: Enrolling, spend: dict[int, int], emails: Sequence[str | None] | None = None, **columns: Sequence[object]) -> None:
    """A snapshot of these contacts."""
    rows: dict[str, Sequence[object]] = {"id": list(spend), "spend": list(spend.values()), **columns}
    if emails is not None:
        rows["email"] = list(emails)
    shop.people(pl.DataFrame(rows, schema_overrides={name: pl.String() for name in ("email", "status") if name in rows}))


def merged(shop: Enrolling, *pairs: tuple[int, int]) -> None:
    """The file of aliases: these keys became others."""
    pl.DataFrame(pairs, schema=["old_key", "new_key"], orient="row").write_parquet(shop.root / "aliases.parquet")


# ---------------------------------------------------------------- no address


def test_entered_with_no_address_then_it_comes(addressed: Enrolling) -> None:
    spending(addressed, {1: 20, 2: 20}, emails=["a@example.com", "  "])
    addressed.run("2026-01-02")
    assert addressed.ledger() == [("1", 1, "pending"), ("2", 1, "waiting")]
    assert addressed.reasons()["2"] == "no address"
    spending(addressed, {1: 20, 2: 20}, emails=["a@example.com", "B@Example.com "])
    addressed.run("2026-01-03")
    assert addressed.ledger() == [("1", 1, "pending"), ("2", 1, "pending")]
    told = {row.id: row.payload for row in addressed.outbox().values()}
    assert sum("b@example.com" in payload for payload in told.values()) == 1


def test_pending_counts_from_when_the_address_came(addressed: Enrolling) -> None:
    spending(addressed, {1: 5, 2: 20}, emails=["a@example.com", None])
    addressed.run("2026-01-02")
    assert addressed.since() == {"2": None}
    spending(addressed, {1: 5, 2: 20}, emails=["a@example.com", "b@example.com"])
    addressed.run("2026-01-04T08:00")
    assert addressed.since() == {"2": day("2026-01-04T08:00")}


@pytest.mark.parametrize(("when", "outcome"), [("2026-02-01", "waiting"), ("2026-02-01T00:00:01", "expired")])
def test_entered_with_no_address_waits_30_days(addressed: Enrolling, when: str, outcome: str) -> None:
    spending(addressed, {1: 5, 2: 20}, emails=["a@example.com", None])
    addressed.run("2026-01-02")
    addressed.guards = "{gap: 90 days, snapshot: {shrinks: 100%}}"
    addressed.run(when)
    assert addressed.ledger() == [("2", 1, outcome)]


def test_entered_with_no_address_and_left_before_one_came(addressed: Enrolling) -> None:
    spending(addressed, {1: 5, 2: 20}, emails=["a@example.com", None])
    addressed.run("2026-01-02")
    spending(addressed, {1: 5, 2: 5}, emails=["a@example.com", "b@example.com"])
    addressed.run("2026-01-03")
    assert addressed.ledger() == [("2", 1, "withdrawn")]


def test_the_address_that_came_is_somebody_elses_in_the_sequence(addressed: Enrolling) -> None:
    spending(addressed, {1: 20, 2: 20}, emails=["a@example.com", None])
    addressed.run("2026-01-02")
    spending(addressed, {1: 20, 2: 20}, emails=["a@example.com", " A@example.com"])
    addressed.run("2026-01-03")
    assert addressed.ledger() == [("1", 1, "pending"), ("2", 1, "duplicate_address")]


def test_the_address_that_came_comes_in_with_somebody_else_too(addressed: Enrolling) -> None:
    spending(addressed, {1: 5, 2: 20}, emails=["a@example.com", None])
    addressed.run("2026-01-02")
    spending(addressed, {1: 20, 2: 20}, emails=["a@example.com", "a@example.com"])
    addressed.run("2026-01-03")
    assert sorted(outcome for _, _, outcome in addressed.ledger()) == ["duplicate_address", "pending"], "one address, one enrollment"


def test_two_who_waited_and_one_address(addressed: Enrolling) -> None:
    spending(addressed, {1: 20, 2: 20}, emails=[None, None])
    addressed.run("2026-01-02")
    spending(addressed, {1: 20, 2: 20}, emails=["a@example.com", "A@EXAMPLE.COM"])
    addressed.run("2026-01-03")
    assert sorted(outcome for _, _, outcome in addressed.ledger()) == ["duplicate_address", "pending"]


def test_no_address_where_the_destination_needs_none(vip: Enrolling) -> None:
    spending(vip, {1: 20, 2: 5}, emails=[None, None])
    vip.run("2026-01-02")
    assert vip.ledger() == [("1", 1, "pending")]


# ---------------------------------------------------------------- suppressed


def begin_suppressing(shop: Enrolling) -> None:
    shop.further = {"suppress": SUPPRESS}
    shop.segment("vip", "spend > 10", enroll="welcome")
    spending(shop, {1: 5, 2: 5}, status=["unsubscribed", None])
    shop.run("2026-01-01")


@pytest.fixture
def suppressing(shelf: Shelf) -> Enrolling:
    """As `vip`, where whoever has unsubscribed is sent nothing; nobody is in at first."""
    return shelf.take(begin_suppressing)


def test_entered_while_suppressed_suppression_lifted_later(suppressing: Enrolling) -> None:
    spending(suppressing, {1: 20, 2: 20}, status=["unsubscribed", None])
    suppressing.run("2026-01-02")
    assert suppressing.ledger() == [("1", 1, "suppressed"), ("2", 1, "pending")]
    assert suppressing.reasons()["1"] == "suppressed at entry"
    spending(suppressing, {1: 20, 2: 20}, status=[None, None])
    suppressing.run("2026-01-03")
    assert suppressing.ledger() == [("1", 1, "suppressed"), ("2", 1, "pending")]
    assert len(suppressing.outbox()) == 1


def test_suppressed_after_entry_before_send(suppressing: Enrolling) -> None:
    spending(suppressing, {1: 5, 2: 20}, status=["unsubscribed", None])
    suppressing.run("2026-01-02")
    spending(suppressing, {1: 5, 2: 20}, status=["unsubscribed", "unsubscribed"])
    suppressing.run("2026-01-03")
    assert suppressing.ledger() == [("2", 1, "suppressed")]
    assert suppressing.reasons() == {"2": "suppressed after entry"}
    assert all(row.ended is not None for row in suppressing.outbox().values())


def test_suppressed_while_waiting_for_an_address(suppressing: Enrolling) -> None:
    suppressing.destinations = "{crm: {type: memory, needs_address: true}}"
    spending(suppressing, {1: 5, 2: 20}, emails=[None, None], status=[None, None])
    suppressing.run("2026-01-02")
    assert suppressing.ledger() == [("2", 1, "waiting")]
    spending(suppressing, {1: 5, 2: 20}, emails=[None, "b@example.com"], status=[None, "unsubscribed"])
    suppressing.run("2026-01-03")
    assert suppressing.ledger() == [("2", 1, "suppressed")]


@pytest.mark.parametrize("spend", [5, 20])
def test_nobody_suppressed_is_enrolled_by_another_contact_with_the_address(suppressing: Enrolling, spend: int) -> None:
    spending(
        suppressing, {1: spend, 2: 20, 3: 20}, emails=["A@x.example ", "a@x.example", "c@x.example"], status=["unsubscribed", None, None]
    )
    suppressing.run("2026-01-02")
    assert [one for one in suppressing.ledger() if one[0] != "1"] == [("2", 1, "suppressed"), ("3", 1, "pending")]
    assert suppressing.reasons()["2"] == "suppressed at entry"


def test_whose_address_another_suppressed_contact_has_by_now_is_sent_nothing(suppressing: Enrolling) -> None:
    spending(suppressing, {1: 5, 2: 20}, emails=["one@x.example", "a@x.example"], status=["unsubscribed", None])
    suppressing.run("2026-01-02")
    assert suppressing.ledger() == [("2", 1, "pending")]
    spending(suppressing, {1: 5, 2: 20}, emails=["a@x.example", "a@x.example"], status=["unsubscribed", None])
    suppressing.run("2026-01-03")
    assert suppressing.ledger() == [("2", 1, "suppressed")]
    assert suppressing.reasons() == {"2": "suppressed after entry"}


def test_whose_address_is_suppressed_waits_for_a_pause_s_end_in_vain(suppressing: Enrolling) -> None:
    with suppressing.state.catalog.writing() as connection:
        pause(connection, "crm", day("2026-01-01"))
    spending(suppressing, {1: 5, 2: 20, 3: 20}, emails=["one@x.example", "a@x.example", "c@x.example"], status=["unsubscribed", None, None])
    suppressing.run("2026-01-02")
    spending(suppressing, {1: 5, 2: 20, 3: 20}, emails=["a@x.example", "a@x.example", "c@x.example"], status=["unsubscribed", None, None])
    suppressing.run("2026-01-03")
    assert suppressing.ledger() == [("2", 1, "paused"), ("3", 1, "paused")]
    loaded = load(suppressing.root).require()
    resume(suppressing.state, loaded, "crm", day("2026-01-03"), send_waiting=True, fit=partial(fit, loaded, suppressing.state))
    assert suppressing.ledger() == [("2", 1, "paused"), ("3", 1, "pending")]


# ---------------------------------------------------------------- one address


def test_two_contacts_one_address_in_one_run(vip: Enrolling) -> None:
    spending(vip, {3: 20, 2: 20, 1: 5}, emails=["Ada@Example.com", " ada@example.com ", "c@example.com"])
    vip.run("2026-01-02")
    assert vip.ledger() == [("2", 1, "pending"), ("3", 1, "duplicate_address")], "the first by key"
    assert vip.reasons()["3"] == "another contact with this address is in the sequence"


def test_two_contacts_one_address_in_two_runs(vip: Enrolling) -> None:
    both = ["ada@example.com", "ADA@example.com"]
    spending(vip, {1: 20, 2: 5}, emails=both)
    vip.run("2026-01-02")
    spending(vip, {1: 5, 2: 20}, emails=both)
    vip.run("2026-01-03")
    assert vip.ledger() == [("1", 1, "withdrawn"), ("2", 1, "duplicate_address")]


def test_two_contacts_one_address_through_two_segments(vip: Enrolling) -> None:
    vip.segment("rich", "spend > 30", enroll="welcome")
    vip.run("2026-01-02")
    spending(vip, {1: 20, 2: 5}, emails=["ada@example.com", "ada@example.com"])
    vip.run("2026-01-03")
    spending(vip, {1: 20, 2: 40}, emails=["ada@example.com", "ada@example.com"])
    vip.run("2026-01-04")
    assert vip.ledger() == [("1", 1, "pending"), ("2", 1, "duplicate_address")]


def test_two_contacts_one_address_where_one_is_baseline(shop: Enrolling) -> None:
    shop.segment("vip", "spend > 10", enroll="welcome")
    emails = ["ada@example.com", "Ada@example.com ", "c@example.com"]
    spending(shop, {1: 20, 2: 5, 3: 5}, emails=emails)
    shop.run("2026-01-01")
    spending(shop, {1: 20, 2: 20, 3: 20}, emails=emails)
    shop.run("2026-01-02")
    assert shop.baseline("vip") == ["1"]
    assert shop.ledger() == [("2", 1, "duplicate_address"), ("3", 1, "pending")]


def test_two_contacts_one_address_in_another_sequence_is_no_matter(vip: Enrolling) -> None:
    vip.sequences = "{welcome: {destination: crm}, hello: {destination: crm}}"
    vip.segment("rich", "spend > 30", enroll="hello")
    both = ["ada@example.com", "ada@example.com"]
    spending(vip, {1: 5, 2: 5}, emails=both)
    vip.run("2026-01-02")
    spending(vip, {1: 20, 2: 40}, emails=both)
    vip.run("2026-01-03")
    assert vip.ledger("welcome") == [("1", 1, "pending"), ("2", 1, "duplicate_address")]
    assert vip.ledger("hello") == [("2", 1, "pending")]


# ---------------------------------------------------------------- merged keys


def test_keys_merged_through_aliases_no_change_rows(vip: Enrolling) -> None:
    spending(vip, {1: 20, 2: 5})
    vip.run("2026-01-02")
    merged(vip, (1, 9))
    spending(vip, {9: 20, 2: 5})
    vip.run("2026-01-03")
    assert vip.changes() == []
    assert vip.ledger() == [("1", 1, "pending")], "it goes on under the surviving key, as it was"
    assert vip.people_of() == {"1": "9"}


def test_keys_merged_not_enrolled_if_either_was(vip: Enrolling) -> None:
    spending(vip, {1: 20, 2: 5})
    vip.run("2026-01-02")
    spending(vip, {1: 5, 2: 5})
    vip.run("2026-01-03")
    merged(vip, (1, 2))
    spending(vip, {2: 20})
    vip.run("2026-01-04")
    assert vip.changes() == [("vip", 2, "entered", "data")]
    assert vip.ledger() == [("1", 1, "withdrawn")], "also in the very run that merges them"
    assert vip.skipped() == {"2": "enrolled 2026-01-02"}
    spending(vip, {2: 5})
    vip.run("2026-01-05")
    spending(vip, {2: 20})
    vip.run("2026-01-06")
    assert vip.ledger() == [("1", 1, "withdrawn")]


def test_keys_merged_again_every_time_goes_on_counting(vip: Enrolling) -> None:
    vip.segment("vip", "spend > 10", enroll="{sequence: welcome, again: every time}")
    spending(vip, {1: 20, 2: 5})
    vip.run("2026-01-02")
    spending(vip, {1: 5, 2: 5})
    vip.run("2026-01-03")
    merged(vip, (1, 2))
    spending(vip, {2: 20})
    vip.run("2026-01-04")
    assert vip.ledger() == [("1", 1, "withdrawn"), ("2", 2, "pending")]


def test_keys_merged_where_the_former_was_baseline(shop: Enrolling) -> None:
    shop.segment("vip", "spend > 10", enroll="welcome")
    spending(shop, {1: 20, 2: 5})
    shop.run("2026-01-01")
    spending(shop, {1: 5, 2: 5})
    shop.run("2026-01-02")
    merged(shop, (1, 2))
    spending(shop, {2: 20})
    shop.run("2026-01-03")
    assert shop.ledger() == []
    assert shop.skipped() == {"2": "in the baseline since 2026-01-01"}


def test_keys_merged_in_chains(vip: Enrolling) -> None:
    spending(vip, {1: 20, 2: 5})
    vip.run("2026-01-02")
    merged(vip, (1, 8))
    spending(vip, {8: 20, 2: 5})
    vip.run("2026-01-03")
    merged(vip, (1, 8), (8, 9))
    spending(vip, {9: 20, 2: 5})
    vip.run("2026-01-04")
    assert vip.changes() == []
    assert vip.people_of() == {"1": "9"}
    assert vip.ledger() == [("1", 1, "pending")]
    spending(vip, {9: 5, 2: 5})
    vip.run("2026-01-05")
    assert vip.ledger() == [("1", 1, "withdrawn")], "whoever leaves under the last key"


def test_a_merge_that_is_announced_before_it_is_made_withdraws_nothing(vip: Enrolling) -> None:
    spending(vip, {1: 20, 2: 5})
    vip.run("2026-01-02")
    merged(vip, (1, 9))
    vip.run("2026-01-03")
    assert vip.ledger() == [("1", 1, "pending")]
    spending(vip, {9: 20, 2: 5})
    vip.run("2026-01-04")
    assert vip.ledger() == [("1", 1, "pending")]


def test_merged_contacts_of_one_address_are_no_duplicates(vip: Enrolling) -> None:
    vip.segment("vip", "spend > 10", enroll="{sequence: welcome, again: every time}")
    spending(vip, {1: 20, 2: 5}, emails=["ada@example.com", "b@example.com"])
    vip.run("2026-01-02")
    spending(vip, {1: 5, 2: 5}, emails=["ada@example.com", "b@example.com"])
    vip.run("2026-01-03")
    merged(vip, (1, 9))
    spending(vip, {9: 20, 2: 5}, emails=["ada@example.com", "b@example.com"])
    vip.run("2026-01-04")
    assert vip.ledger() == [("1", 1, "withdrawn"), ("9", 2, "pending")]


def test_both_keys_of_one_contact_enter_in_one_run(vip: Enrolling) -> None:
    merged(vip, (1, 2))
    spending(vip, {1: 20, 2: 20})
    vip.run("2026-01-02")
    assert [(number, outcome) for _, number, outcome in vip.ledger()] == [(1, "pending")]
    assert list(vip.skipped().values()) == ["entered in this run under another key of the same contact"]


def test_key_changed_without_alias(vip: Enrolling) -> None:
    spending(vip, {1: 20, 2: 5}, emails=["ada@example.com", "b@example.com"])
    vip.run("2026-01-02")
    spending(vip, {9: 20, 2: 5}, emails=["ada@example.com", "b@example.com"])
    vip.run("2026-01-03")
    assert vip.changes() == [("vip", 1, "exited", "source"), ("vip", 9, "entered", "source")]
    assert vip.ledger() == [("1", 1, "withdrawn"), ("9", 1, "duplicate_address")]


# ---------------------------------------------------------------- e-mail, erasure


def test_email_changed_the_ledger_is_unchanged(vip: Enrolling) -> None:
    spending(vip, {1: 20, 2: 5}, emails=["ada@example.com", "b@example.com"])
    vip.run("2026-01-02")
    before = vip.outbox()
    spending(vip, {1: 20, 2: 5}, emails=["lovelace@example.com", "b@example.com"])
    vip.run("2026-01-03")
    assert vip.ledger() == [("1", 1, "pending")]
    assert vip.outbox().keys() == before.keys()


def test_erased_later_imported_again(vip: Enrolling) -> None:
    vip.segment("vip", "spend > 10", enroll="{sequence: welcome, again: every time}")
    spending(vip, {1: 5, 2: 5})
    vip.run("2026-01-02")
    vip.state.forget([1], day("2026-01-02"))
    spending(vip, {2: 5})
    vip.run("2026-01-03")
    spending(vip, {1: 20, 2: 20})
    vip.run("2026-01-04")
    assert vip.ledger() == [("2", 1, "pending")]
    assert vip.skipped() == {"1": "forgotten before"}


def test_erased_while_still_in_the_snapshot(vip: Enrolling) -> None:
    vip.state.forget([1], day("2026-01-01"))
    spending(vip, {1: 20, 2: 20})
    vip.run("2026-01-02")
    assert ("vip", 1, "entered", "source") in vip.changes()
    assert vip.ledger() == [("2", 1, "pending")]
    assert vip.skipped() == {"1": "forgotten before"}
