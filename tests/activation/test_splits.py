"""Splits: who is enrolled by group, and what an edit of the split does to whom it moves. Groups are found here by `hashlib`."""

from __future__ import annotations

import polars as pl
import pytest

from segmentry.engine.deliveries import resume
from segmentry.engine.enrolling import Outcome
from segmentry.engine.fitness import fit
from segmentry.engine.loading import load
from segmentry.engine.split_past import regrouped_between
from segmentry.engine.state.holds import pause
from segmentry.errors import DecisionError
from tests.activation.conftest import Enrolling, Shelf
from tests.oracle.groups import group
from tests.state.conftest import day

MANY = range(1, 61)
HALVES = {"holdout": 50, "a": 50}


def those(name: str | None, shares: dict[str, int], salt: str = "vip") -> list[str]:
    return sorted(str(key) for key in MANY if group(key, shares, salt) == name)


def written(shares: dict[str, int], **more: str) -> str:
    return "{" + ", ".join([*(f"{name}: {value}" for name, value in more.items()), *(f"{name}: {p}%" for name, p in shares.items())]) + "}"


def say(shop: Enrolling, shares: dict[str, int] | None, enroll: str = "split: a", **more: str) -> None:
    """`vip` with these shares; `welcome` for these groups."""
    keys = {"enroll": f"{{sequence: welcome{', ' + enroll if enroll else ''}}}"}
    if shares is not None:
        keys["split"] = written(shares, **more)
    shop.segment("vip", "spend > 10", **keys)


def spend(shop: Enrolling, *spenders: int, also: dict[str, list[object]] | None = None) -> None:
    shop.people({"id": list(MANY), "spend": [50 if key in spenders else 5 for key in MANY], **(also or {})})


def outcomes(shop: Enrolling, outcome: str, sequence: str | None = None) -> list[str]:
    return sorted(contact for contact, _, found in shop.ledger(sequence) if found == outcome)


def about_to_come_in(shop: Enrolling) -> None:
    """Nobody was in at the first run, and everybody comes in with the next."""
    say(shop, HALVES)
    spend(shop)
    shop.run("2026-01-01")
    spend(shop, *MANY)


@pytest.fixture
def vip(shelf: Shelf) -> Enrolling:
    return shelf.take(about_to_come_in)


def test_entrants_of_a_chosen_group_are_enrolled_and_the_others_noted(vip: Enrolling) -> None:
    vip.run("2026-01-02")
    assert outcomes(vip, "pending") == those("a", HALVES)
    assert outcomes(vip, "holdout") == those("holdout", HALVES)
    assert {vip.reasons()[key] for key in those("holdout", HALVES)} == {"in the group holdout"}
    assert len(vip.outbox()) == len(those("a", HALVES))


def test_who_is_in_no_group_is_not_enrolled_where_groups_are_chosen(shop: Enrolling) -> None:
    say(shop, {"a": 40})
    spend(shop)
    shop.run("2026-01-01")
    spend(shop, *MANY)
    shop.run("2026-01-02")
    assert outcomes(shop, "pending") == those("a", {"a": 40})
    assert {shop.reasons()[key] for key in those(None, {"a": 40})} == {"in no group of the split"}


def test_without_chosen_groups_everybody_is_enrolled(shop: Enrolling) -> None:
    say(shop, HALVES, enroll="")
    spend(shop)
    shop.run("2026-01-01")
    spend(shop, *MANY)
    shop.run("2026-01-02")
    assert len(outcomes(shop, "pending")) == len(MANY)


@pytest.mark.parametrize(
    ("shares", "enroll", "more"),
    [
        ({"holdout": 10, "a": 90}, "split: a", {}),
        pytest.param({"holdout": 50, "a": 50}, "split: a", {"salt": "other"}, marks=pytest.mark.full),
        pytest.param({"holdout": 50, "a": 50}, "split: [holdout, a]", {}, marks=pytest.mark.full),
        pytest.param({"a": 100}, "split: a", {}, marks=pytest.mark.full),
        (None, "", {}),
        pytest.param(HALVES, "", {}, marks=pytest.mark.full),
    ],
)
@pytest.mark.parametrize("again", [pytest.param("never", marks=pytest.mark.full), "every time"])
def test_an_edit_enrolls_nobody_whatever_group_they_are_in_now(
    vip: Enrolling, shares: dict[str, int] | None, enroll: str, more: dict[str, str], again: str
) -> None:
    say(vip, HALVES, f"split: a, again: {again}")
    vip.run("2026-01-02")
    before = {row for row in vip.ledger() if row[2] == "holdout"}
    says = f"{enroll}, again: {again}" if enroll else f"again: {again}"
    say(vip, shares, says, **more)
    for hour in ("2026-01-02T01:00", "2026-01-02T02:00"):
        vip.run(hour)
        assert vip.changes() == []
    assert len(vip.ledger()) == len(MANY)
    assert {row for row in vip.ledger() if row[2] == "holdout"} == before


def test_who_was_held_out_and_comes_back_is_no_first_time_entrant(vip: Enrolling) -> None:
    vip.run("2026-01-02")
    say(vip, {"holdout": 0, "a": 100})
    spend(vip)
    vip.run("2026-01-03")
    spend(vip, *MANY)
    vip.run("2026-01-04")
    assert len(vip.changes()) == len(MANY)
    assert outcomes(vip, "holdout") == those("holdout", HALVES)
    assert vip.skipped(3 + 1)[those("holdout", HALVES)[0]] == "enrolled 2026-01-02"


def test_by_every_time_a_new_entry_of_who_was_held_out_is_enrolled(vip: Enrolling) -> None:
    say(vip, HALVES, "split: a, again: every time")
    vip.run("2026-01-02")
    say(vip, {"holdout": 0, "a": 100}, "split: a, again: every time")
    spend(vip)
    vip.run("2026-01-03")
    spend(vip, *MANY)
    vip.run("2026-01-04")
    assert sorted(contact for contact, number, found in vip.ledger() if (number, found) == (2, "pending")) == sorted(map(str, MANY))


def test_who_moves_into_the_holdout_before_it_was_sent_is_withdrawn(vip: Enrolling) -> None:
    vip.run("2026-01-02")
    later = {"holdout": 80, "a": 20}
    say(vip, later)
    vip.run("2026-01-02T01:00")
    moved = sorted(set(those("a", HALVES)) - set(those("a", later)))
    assert moved
    assert outcomes(vip, "withdrawn") == moved
    assert {vip.reasons()[key] for key in moved} == {"in the group holdout now"}
    assert outcomes(vip, "pending") == those("a", later)


def test_also_where_the_sequence_does_not_mind_who_left(vip: Enrolling) -> None:
    vip.sequences = "{welcome: {destination: crm, while_member: false}}"
    vip.run("2026-01-02")
    say(vip, {"holdout": 100, "a": 0})
    vip.run("2026-01-02T01:00")
    assert outcomes(vip, "pending") == []


def test_who_came_in_during_a_pause_and_moved_to_the_holdout_is_not_released(vip: Enrolling) -> None:
    with vip.state.catalog.writing() as connection:
        pause(connection, "welcome", day("2026-01-01T01:00"))
    vip.run("2026-01-02")
    assert outcomes(vip, "paused") == those("a", HALVES)
    later = {"holdout": 80, "a": 20}
    say(vip, later)
    vip.run("2026-01-02T01:00")
    workspace = load(vip.root).require()
    done = resume(
        vip.state, workspace, "welcome", day("2026-01-02T02:00"), send_waiting=True, fit=lambda rows: fit(workspace, vip.state, rows)
    )
    assert done.released == len(those("a", later))
    assert outcomes(vip, "pending") == those("a", later)


def test_what_is_fit_goes_by_the_new_name_of_a_sequence_before_any_run_knows_it(vip: Enrolling) -> None:
    vip.run("2026-01-02")
    spend(vip)
    vip.sequences = "{hello: {destination: crm, renamed_from: [welcome], while_member: false}}"
    later = {"holdout": 80, "a": 20}
    vip.segment("vip", "spend > 10", split=written(later), enroll="{sequence: hello, split: a}")
    vip.write_config()
    rows = pl.DataFrame({"person": those("a", HALVES)}).with_columns(sequence=pl.lit("welcome"), segment=pl.lit("vip"))
    assert fit(load(vip.root).require(), vip.state, rows).all(), "by the split that is accepted"
    vip.segment("vip", "spend > 10", split=written(HALVES), enroll="{sequence: hello, split: holdout}")
    assert not fit(load(vip.root).require(), vip.state, rows).any()


def test_backfill_enrolls_the_chosen_groups_and_notes_the_others(shop: Enrolling) -> None:
    say(shop, HALVES, "split: a, backfill: true")
    spend(shop, *MANY)
    shop.run("2026-01-01")
    assert outcomes(shop, "pending") == those("a", HALVES)
    assert outcomes(shop, "holdout") == those("holdout", HALVES)
    assert shop.baseline("vip") == []
    say(shop, {"holdout": 0, "a": 100}, "split: a, backfill: true")
    shop.run("2026-01-01T01:00")
    assert len(shop.ledger()) == len(MANY)


def test_whoever_is_in_at_the_start_is_baseline_in_all_groups(shop: Enrolling) -> None:
    say(shop, HALVES)
    spend(shop, *MANY)
    shop.run("2026-01-01")
    assert shop.ledger() == []
    assert len(shop.baseline("vip")) == len(MANY)


def test_two_groups_in_two_sequences(vip: Enrolling) -> None:
    vip.sequences = "{one: {destination: crm}, two: {destination: crm}}"
    shares = {"a": 50, "b": 50}
    vip.segment("vip", "spend > 10", split=written(shares), enroll="[{sequence: one, split: a}, {sequence: two, split: b}]")
    spend(vip)
    vip.run("2026-01-02")
    spend(vip, *MANY)
    vip.run("2026-01-03")
    assert outcomes(vip, "pending", "one") == outcomes(vip, "holdout", "two") == those("a", shares)
    assert outcomes(vip, "pending", "two") == outcomes(vip, "holdout", "one") == those("b", shares)
    vip.segment("vip", "spend > 10", split=written({"a": 10, "b": 90}), enroll="[{sequence: one, split: a}, {sequence: two, split: b}]")
    vip.run("2026-01-03T01:00")
    assert len(vip.ledger()) == 2 * len(MANY)
    assert outcomes(vip, "pending", "two") == those("b", shares)


def test_who_has_the_address_of_somebody_held_out_is_not_enrolled(shop: Enrolling) -> None:
    groups = {key: group(key, HALVES, "vip") for key in MANY}
    first, second = next((x, y) for x in MANY for y in MANY if x < y and (groups[x], groups[y]) == ("holdout", "a"))
    say(shop, HALVES)
    email = {"email": ["one@example.com" if key in (first, second) else f"c{key}@example.com" for key in MANY]}
    spend(shop, also=email)
    shop.run("2026-01-01")
    spend(shop, first, second, also=email)
    shop.run("2026-01-02")
    assert shop.ledger() == sorted([(str(first), 1, "holdout"), (str(second), 1, "duplicate_address")])


def test_who_is_suppressed_is_said_to_be_in_whatever_group(vip: Enrolling) -> None:
    vip.further = {"suppress": "spend > 10"}
    vip.run("2026-01-02")
    assert outcomes(vip, Outcome.SUPPRESSED) == sorted(map(str, MANY))


def test_a_renamed_segment_keeps_its_groups(vip: Enrolling) -> None:
    vip.run("2026-01-02")
    vip.remove("vip")
    vip.segment("best", "spend > 10", renamed_from="vip", split=written(HALVES), enroll="{sequence: welcome, split: a}")
    vip.run("2026-01-02T01:00")
    assert outcomes(vip, "pending") == those("a", HALVES)
    assert outcomes(vip, "withdrawn") == []


def test_a_renamed_group_keeps_its_contacts(vip: Enrolling) -> None:
    vip.run("2026-01-02")
    renamed = "{holdout: 50%, treated: {share: 50%, renamed_from: a}}"
    vip.segment("vip", "spend > 10", split=renamed, enroll="{sequence: welcome, split: treated}")
    vip.run("2026-01-02T01:00")
    assert outcomes(vip, "pending") == those("a", HALVES)
    assert outcomes(vip, "withdrawn") == []


def test_a_group_under_another_name_is_the_same(vip: Enrolling) -> None:
    """Nobody moves by it, so no guard minds; also where its name was another's before."""
    vip.run("2026-01-02")
    vip.guards = "{snapshot: {shrinks: 100%}, segment: {enters: 100%, leaves: 1%, contacts: 1}}"
    renamed = "{holdout: 50%, treated: {share: 50%, renamed_from: a}}"
    vip.segment("vip", "spend > 10", split=renamed, enroll="{sequence: welcome, split: treated}")
    done = vip.run("2026-01-04T01:00")
    assert vip.holds() == []
    assert "regrouped" not in done.record.report["activation"]
    assert regrouped_between(vip.state, None, None, "vip").height == 0
    vip.segment("vip", "spend > 10", split="{holdout: {share: 50%, renamed_from: a}}", enroll="{sequence: welcome, split: holdout}")
    vip.run("2026-01-06")
    assert [hold.name for hold in vip.holds()] == ["vip"], "who was held out is in no group, or in the other"


# ---------------------------------------------------------------- guards


def in_for_days(shop: Enrolling) -> None:
    """Everybody has been in for days, and so many in other groups would be too many for the guard."""
    about_to_come_in(shop)
    shop.run("2026-01-02")
    shop.guards = "{snapshot: {shrinks: 100%}, segment: {enters: 100%, leaves: 20%, contacts: 5}}"


@pytest.fixture
def tight(shelf: Shelf) -> Enrolling:
    return shelf.take(in_for_days)


def test_too_many_in_another_group_are_held_and_nothing_moves(tight: Enrolling) -> None:
    say(tight, HALVES, salt="other")
    tight.run("2026-01-04T01:00")
    moved = sum(group(key, HALVES, "vip") != group(key, HALVES, "other") for key in MANY)
    (hold,) = tight.holds()
    assert hold.reasons == [
        f"{moved} would be in another group of its split, {100 * moved / 60:.1f}% of 60; the guard is at 20% and 5 contacts"
    ]
    assert outcomes(tight, "pending") == those("a", HALVES)


def test_back_as_it_was_the_hold_ends_by_itself(tight: Enrolling) -> None:
    say(tight, HALVES, salt="other")
    tight.run("2026-01-04T01:00")
    say(tight, HALVES)
    tight.run("2026-01-04T02:00")
    assert tight.holds() == []
    assert outcomes(tight, "pending") == those("a", HALVES)


def test_what_is_approved_stands_from_then_on(tight: Enrolling) -> None:
    say(tight, HALVES, salt="other")
    tight.run("2026-01-04T01:00")
    tight.approve(3, at="2026-01-04T02:00")
    both = sorted(set(those("a", HALVES)) & set(those("a", HALVES, "other")))
    assert outcomes(tight, "pending") == both
    tight.run("2026-01-04T03:00")
    assert tight.holds() == []
    assert outcomes(tight, "pending") == both
    assert len(tight.ledger()) == len(MANY)


def test_what_was_edited_since_is_not_approved(tight: Enrolling) -> None:
    say(tight, HALVES, salt="other")
    tight.run("2026-01-04T01:00")
    say(tight, HALVES, salt="third")
    with pytest.raises(DecisionError, match="`split` of `vip` was edited since run 3"):
        tight.approve(3, at="2026-01-04T02:00")


def test_few_in_another_group_are_told_of_and_not_held(vip: Enrolling) -> None:
    vip.run("2026-01-02")
    later = {"holdout": 60, "a": 40}
    say(vip, later)
    done = vip.run("2026-01-02T01:00")
    moved = len(those("holdout", later)) - len(those("holdout", HALVES))
    assert done.record.report["activation"]["regrouped"] == {"vip": moved}
    assert "regrouped" not in vip.run("2026-01-02T02:00").record.report["activation"]


def test_while_a_segment_is_held_for_its_members_the_groups_are_the_accepted_ones(tight: Enrolling) -> None:
    say(tight, {"holdout": 60, "a": 40})
    spend(tight)
    tight.run("2026-01-04T01:00")
    assert [hold.name for hold in tight.holds()] == ["vip"]
    assert outcomes(tight, "pending") == those("a", HALVES)
