"""A contact that stands for another one's person was a person of its own before: who left as that one comes in as nobody else."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from segmentry.engine.state.schema import SYNCED
from segmentry.engine.state.sync_said import remote_ids
from tests.syncs.test_handed_on import merged
from tests.syncs.test_keys_there import FULL, listed, off
from tests.syncs.test_perhaps import Z, removed_unheard
from tests.syncs.test_shared_addresses import A, B, Two, X, enrolling, two

__all__ = ["enrolling", "two"]

C = "c@example.com"


def for_days(two: Two, name: str = "N", **who: tuple[str, str]) -> None:
    """Hours of the same: it is heard that somebody left, the other's person goes, and then it is `left`."""
    for _ in range(3):
        two.hour(name=name, **who)


def out_as_another(two: Two) -> None:
    """b was in under an address of its own, and is out; then it has that of a, who is in."""
    two.hour(a=(X, "uk"), b=(B, "uk"))
    two.hour(a=(X, "uk"), b=(B, ""))


def test_who_left_as_another_person_comes_in_under_no_third_address(two: Two) -> None:
    out_as_another(two)
    two.leaves(B)
    two.hour(a=(X, "uk"), b=(X, ""))
    two.hour(a=(X, ""), b=(X, "uk"))
    for_days(two, a=(X, ""), b=(C, "uk"))
    assert listed(two) == {}
    assert two.states == {("uk", "b"): "left"}


@FULL
def test_who_left_as_another_person_keeps_nobody_in(two: Two) -> None:
    out_as_another(two)
    two.leaves(B)
    two.hour(a=(X, "uk"), b=(X, ""))
    for_days(two, a=(X, ""), b=(X, "uk"))
    assert two.states == {("uk", "b"): "left"}
    assert listed(two) == {}


@FULL
def test_who_was_another_person_and_did_not_leave_goes_on(two: Two) -> None:
    out_as_another(two)
    two.hour(a=(X, "uk"), b=(X, ""))
    two.hour(a=(X, ""), b=(X, "uk"))
    assert listed(two) == {X: {"uk"}}
    for_days(two, a=(X, ""), b=(C, "uk"))
    assert listed(two) == {C: {"uk"}}
    for_days(two, a=(X, ""), b=(C, ""))
    assert listed(two) == {}


@pytest.mark.parametrize("to", [C, pytest.param(B, marks=FULL)])
def test_who_is_merged_and_left_as_another_person_comes_in_under_no_other_address(two: Two, to: str) -> None:
    """b was out, and goes on as the member that its other key was."""
    out_as_another(two)
    two.leaves(B)
    merged(two, "a", "b")
    for_days(two, b=(to, "uk"))
    assert listed(two) == {}
    assert two.states["uk", "b"] == "left"


@FULL
def test_who_is_merged_and_was_another_person_goes_on(two: Two) -> None:
    out_as_another(two)
    merged(two, "a", "b")
    for_days(two, b=(X, "uk"))
    assert listed(two) == {X: {"uk"}}
    for_days(two, b=(C, "uk"))
    assert listed(two) == {C: {"uk"}}


@FULL
def test_who_is_somebody_else_twice_is_looked_at_as_both(two: Two) -> None:
    """What it was at first is known still, though nothing was told of it in between."""
    two.hour(a=(X, "uk"), b=(B, "uk"), c=(C, "uk"))
    two.hour(a=(X, "uk"), b=(B, ""), c=(C, "uk"))
    two.leaves(B)
    two.hour(tell=False, a=(X, ""), b=(X, "uk"), c=(C, "uk"))
    two.hour(tell=False, a=(X, ""), b=(X, ""), c=(C, "uk"))
    two.hour(tell=False, a=(A, ""), b=(C, "uk"), c=(C, ""))
    for_days(two, a=(A, ""), b=(C, "uk"), c=(C, ""))
    assert C not in listed(two)


@FULL
@pytest.mark.parametrize("same", [True, False])
def test_who_left_is_known_to_have_left_where_nothing_else_is_told(two: Two, same: bool) -> None:
    """The fields of both are the same, or another one's."""
    out_as_another(two)
    two.leaves(B)
    two.hour(a=(X, "uk"), b=(X, ""))
    for_days(two, name="N" if same else "M", a=(X, ""), b=(X, "uk"))
    assert listed(two) == {}


@FULL
def test_whom_nobody_hears_to_have_been_taken_off_has_left(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    out_as_another(two)
    two.leaves(B)
    two.hour(a=(X, "uk"), b=(X, ""))
    two.hour(a=(X, ""), b=(X, "uk"))
    removed_unheard(two, monkeypatch, a=(X, ""), b=(X, "uk"))
    assert listed(two) == {}
    for_days(two, a=(X, ""), b=(X, "uk"))
    assert listed(two) == {}
    assert two.states == {("uk", "b"): "left"}


def test_who_left_as_another_person_is_not_enrolled(enrolling: Two) -> None:
    out_as_another(enrolling)
    enrolling.leaves(B)
    enrolling.hour(a=(X, "uk"), b=(X, ""))
    enrolling.hour(tell=False, a=(X, ""), b=(X, "uk"))
    enrolling.again(a=(X, ""), b=(C, "uk vip"))
    assert C not in listed(enrolling)
    assert [state for _, _, state in enrolling.shop.ledger()] == ["rejected"]


def test_what_a_contact_was_called_is_named_when_it_is_forgotten(two: Two) -> None:
    out_as_another(two)
    two.hour(tell=False, a=(X, ""), b=(X, "uk"))
    with two.shop.state.catalog.reading() as connection:
        names = remote_ids(connection, ["b"])["remote_id"].to_list()
    assert len(set(names)) == 2


@pytest.mark.parametrize("mode", ["mirror", pytest.param("add", marks=FULL)])
def test_who_left_under_another_key_is_taken_off_as_the_other_person_too(two: Two, mode: str) -> None:
    """That a was taken off is heard when it goes, after its key was merged into b, who is a person of its own there."""
    two.modes = (mode, mode)
    two.write()
    two.hour(a=(X, "uk"), b=(B, "uk"))
    off(two)
    merged(two, "a", "b")
    for _ in range(3):
        for_days(two, b=(B, "uk"))
    if mode == "add":
        assert listed(two) == {B: {"uk"}}, "nobody is ever taken off"
        return
    assert two.states == {("uk", "a"): "left", ("uk", "b"): "left"}
    assert listed(two) == {}
    for_days(two, b=(B, ""), c=(A, ""))
    for_days(two, b=(C, "uk"))
    assert listed(two) == {}


@pytest.mark.parametrize("first", ["uk", pytest.param("", marks=FULL)])
def test_who_left_under_another_key_that_was_out_is_looked_at_as_that_one_too(two: Two, first: str) -> None:
    """b was another person there than a, and was out when that one left, so nobody heard; then both keys are one."""
    two.hour(a=(X, "uk"), b=(B, "uk"), z=Z)
    two.hour(a=(X, first), b=(B, ""), z=Z)
    two.leaves(B)
    merged(two, "b", "a")
    for_days(two, a=(X, first), z=Z)
    for_days(two, a=(C, "uk"), z=Z)
    assert listed(two) == {}
    assert two.states["uk", "a"] == "left"


@FULL
def test_who_was_another_person_under_another_key_and_did_not_leave_stays(two: Two) -> None:
    two.hour(a=(X, "uk"), b=(B, "uk"))
    two.hour(a=(X, "uk"), b=(B, ""))
    merged(two, "b", "a")
    for_days(two, a=(X, "uk"))
    assert listed(two) == {X: {"uk"}}
    with two.shop.state.catalog.reading() as connection:
        assert connection.execute(select(SYNCED.c.former_ids, SYNCED.c.action).distinct()).all() == [(None, None)], "it is looked at once"
        assert len(set(remote_ids(connection, ["a", "b"])["remote_id"])) == 2, "what it was called is known still"
