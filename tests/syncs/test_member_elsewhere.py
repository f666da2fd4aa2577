"""Who is a member of a list or tag by one segment's sync comes to another's as one: whom somebody took off, read or not, stays off."""

from __future__ import annotations

import pytest

from segmentry.engine.connectors import mailchimp_syncing
from segmentry.engine.connectors.klaviyo_client import LaterError
from segmentry.engine.connectors.klaviyo_work import Work
from segmentry.engine.connectors.mailchimp_line import TroubleError
from segmentry.engine.loading import load
from segmentry.engine.sync_detaching import Detached, Telling, detach
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from segmentry.sandbox.mailchimp import AUDIENCE
from tests.syncs.test_handed_on import merged
from tests.syncs.test_keys_there import FULL, listed, off
from tests.syncs.test_left_before import moved_unheard, readded
from tests.syncs.test_names_before import C
from tests.syncs.test_perhaps import raising
from tests.syncs.test_same_list import W, Z, hour, inside, known, one_list, read_back
from tests.syncs.test_shared_addresses import A, B, Two, X, two
from tests.syncs.test_words_services import keyed

__all__ = ["two"]


def taken_off_unread(two: Two, *segments: str) -> None:
    """b was in by the first of the segments that add to the list, and was taken off by hand; nobody has read that."""
    one_list(two, *segments)
    hour(two, b=(B, segments[0]))
    assert inside(two) == {B}
    off(two, B)


def moved_in_mirror(two: Two) -> None:
    """The list goes from one segment to another, which also takes off who leaves it."""
    one_list(two, "rich")
    rule = two.shop.root / "segments" / "rich.yml"
    rule.write_text(rule.read_text().replace("mode: add", "mode: mirror"))


def forgotten(two: Two, segment: str, *, remove: bool = False) -> Detached:
    telling = Telling({}, lambda: two.shop.now, open=keyed(two.service), sleep=lambda _: None, draw=lambda: 0.5)
    return detach(load(two.shop.root).require(), two.shop.state, (segment, "crm", None), telling, remove=remove)


def names(two: Two) -> dict[str, str]:
    """The name that the service has of everybody."""
    if isinstance(two.service, KlaviyoSandbox):
        return {str(one.email): str(one.properties.get("FNAME")) for one in two.service.profiles}
    return {one.email: str(one.fields.get("FNAME")) for one in two.service.audiences[AUDIENCE].members.values()}


# ---------------------------------------------------------------- who was taken off, and nobody has read it


@pytest.mark.parametrize("stays", ["uk rich", pytest.param("rich", marks=FULL)])
@pytest.mark.parametrize("address", [B, C])
def test_who_was_taken_off_is_put_back_by_no_other_segment(two: Two, address: str, stays: str) -> None:
    taken_off_unread(two, "uk", "rich")
    for _ in range(3):
        hour(two, b=(address, stays))
    assert not inside(two)


@pytest.mark.parametrize("address", [B, pytest.param(C, marks=FULL)])
def test_who_was_taken_off_is_put_back_by_no_new_segment(two: Two, address: str) -> None:
    taken_off_unread(two, "uk")
    one_list(two, "rich")
    for _ in range(3):
        hour(two, b=(address, "rich"))
    assert not inside(two)


@FULL
def test_who_was_taken_off_is_put_back_by_no_other_contact_with_the_address(two: Two) -> None:
    taken_off_unread(two, "uk", "rich")
    for _ in range(3):
        hour(two, b=(B, "uk"), d=(B, "rich"))
    assert not inside(two)


@FULL
@pytest.mark.parametrize("segments", [("uk", "rich"), ("rich",)])
def test_who_was_taken_off_is_put_back_under_no_other_key(two: Two, segments: tuple[str, ...]) -> None:
    taken_off_unread(two, "uk")
    one_list(two, *segments)
    merged(two, "b", "c")
    for _ in range(3):
        hour(two, c=(C, "rich"))
    assert not inside(two)


def test_who_was_taken_off_is_left_once_that_is_read(two: Two) -> None:
    taken_off_unread(two, "uk", "rich")
    hour(two, b=(B, "rich"))
    read_back(two)
    hour(two, b=(B, "rich"))
    assert two.states["uk", "b"] == two.states["rich", "b"] == "left"
    assert not inside(two)


def not_put_in(two: Two, monkeypatch: pytest.MonkeyPatch, **who: tuple[str, str]) -> None:
    """An hour whose additions come to nothing, and nobody knows that."""
    with monkeypatch.context() as patch:
        patch.setattr(Work, "relate", raising(LaterError("nothing came of it", maybe=True)))
        patch.setattr(mailchimp_syncing.Work, "_tagged", raising(TroubleError(mailchimp_syncing.LOST)))
        hour(two, **who)


@FULL
def test_who_was_taken_off_while_the_other_tried_to_put_it_in_is_not_put_back(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    one_list(two, "uk", "rich")
    hour(two)
    not_put_in(two, monkeypatch, b=(B, "rich"))
    assert not inside(two)
    hour(two, tell=False, b=(B, "uk rich"))
    with two.shop.state.catalog.writing() as connection:  # the first is tried again much later
        connection.exec_driver_sql("update synced set due = '2026-12-01T00:00:00.000000+00:00' where contact = 'b' and sync = 1")
    two.tell()
    assert inside(two) == {B}
    off(two, B)
    two.shop.at("2026-12-02")
    two.tell()
    assert not inside(two)


# ---------------------------------------------------------------- who is there


def test_who_is_there_is_told_what_the_other_segment_says(two: Two) -> None:
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    uk = two.shop.root / "segments" / "uk.yml"
    uk.write_text(uk.read_text().replace(", fields: {FNAME: name}", ""))
    hour(two, name="M", b=(B, "uk rich"))
    assert inside(two) == {B}
    assert names(two)[B] == "M"
    assert two.states["uk", "b"] == two.states["rich", "b"] == "member"


@pytest.mark.parametrize("address", [B, pytest.param(C, marks=FULL)])
def test_who_went_with_the_other_segment_and_comes_back_is_put_in(two: Two, address: str) -> None:
    """That one took it off, whatever the former segment's sync has of it."""
    one_list(two, "uk")
    hour(two, b=(B, "uk"))
    moved_in_mirror(two)
    both = {"z": (Z, "rich"), "w": (W, "rich")}
    two.hour(b=(B, "rich"), **both)
    two.hour(b=(B, ""), **both)
    assert not inside(two)
    for _ in range(2):
        two.hour(b=(address, "rich"), **both)
    assert inside(two) == {address}


@FULL
@pytest.mark.parametrize("address", [B, C])
def test_who_went_and_comes_back_by_the_former_segment_is_put_in(two: Two, address: str) -> None:
    one_list(two, "uk")
    hour(two, b=(B, "uk"))
    moved_in_mirror(two)
    both = {"z": (Z, "rich uk"), "w": (W, "rich uk")}
    two.hour(b=(B, "rich"), **both)
    two.hour(b=(B, ""), **both)
    one_list(two, "uk")
    for _ in range(2):
        two.hour(b=(address, "uk"), **both)
    assert inside(two) == {address}


def test_a_list_that_somebody_emptied_is_filled_once_the_former_sync_is_forgotten(two: Two) -> None:
    taken_off_unread(two, "uk")
    off(two, Z)
    off(two, W)
    one_list(two, "rich")
    forgotten(two, "uk")
    both = {"z": (Z, "rich"), "w": (W, "rich")}
    two.hour(b=(B, "rich"), **both)
    assert set(listed(two)) == {B, Z, W}


def test_who_may_come_back_does_by_the_segment_that_has_it(two: Two) -> None:
    """Though that one has it as a member still, as no run came between."""
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk rich"))
    hour(two, b=(B, "rich"))
    off(two, B)
    read_back(two, segment="uk")
    readded(two, "b", counts=(1, 1))
    hour(two, b=(B, "rich"))
    assert inside(two) == {B}
    assert two.states["rich", "b"] == "member"


@pytest.mark.parametrize("name", ["N", pytest.param("M", marks=FULL)])
def test_who_was_taken_off_unread_may_come_back(two: Two, name: str) -> None:
    taken_off_unread(two, "uk", "rich")
    hour(two, b=(B, "rich"))
    read_back(two)
    readded(two, "b", counts=(1, 1))
    hour(two, name=name, b=(B, "rich"))
    assert inside(two) == {B}


# ---------------------------------------------------------------- whose address is whose


@FULL
@pytest.mark.parametrize("done", [True, False])
def test_who_has_the_former_address_of_one_who_may_have_another_is_another_person(
    two: Two, monkeypatch: pytest.MonkeyPatch, *, done: bool
) -> None:
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    moved_unheard(two, monkeypatch, done=done, z=(Z, "uk"), w=(W, "uk"), b=(C, "uk"), d=(B, "rich"))
    for _ in range(3):
        hour(two, b=(C, "uk"), d=(B, "rich"))
    assert inside(two) == {B, C}
    assert two.states["rich", "d"] == two.states["uk", "b"] == "member"


@FULL
def test_who_gives_a_shared_person_up_takes_nobody_off_for_good(two: Two) -> None:
    """b and d are one person there; b gets another address, and the person stays d's."""
    one_list(two, "uk", "rich")
    hour(two, b=(X, "uk"))
    hour(two, b=(X, "uk"), d=(X, "rich"))
    assert two.states["rich", "d"] == two.states["uk", "b"] == "member"
    for _ in range(3):
        hour(two, b=(A, "uk"), d=(X, "rich"))
    assert inside(two) == {A, X}
    assert two.states["rich", "d"] == two.states["uk", "b"] == "member"


@FULL
def test_who_is_another_one_too_and_gets_an_address_of_its_own_comes_in(two: Two) -> None:
    one_list(two, "uk", "rich")
    hour(two, b=(X, "uk"), d=(X, "uk"))
    for _ in range(3):
        hour(two, b=(X, "uk"), d=(A, "rich"))
    assert inside(two) == {A, X}


# ---------------------------------------------------------------- detach --remove


def test_who_is_a_member_by_another_segment_too_stays(two: Two) -> None:
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk rich"), c=(C, "uk"))
    one_list(two, "rich")
    found = forgotten(two, "uk", remove=True)
    assert inside(two) == {B}
    assert (found.members, found.removed, found.waiting) == (3, 3, 0)  # z and w are in by the first alone
    assert found.messages == ("1 stay: they are members by another segment's sync to it",)
    two.hour(b=(B, "rich"), c=(C, "rich"))
    assert inside(two) == {B, C}
    assert two.states == {("rich", "b"): "member", ("rich", "c"): "member"}


@FULL
def test_who_was_taken_out_is_a_member_by_no_other(two: Two) -> None:
    """By two that are forgotten one after the other, and comes back by a third."""
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk rich"))
    rule = two.shop.root / "segments" / "late.yml"
    rule.write_text((two.shop.root / "segments" / "uk.yml").read_text().replace("country = 'UK'", "club contains 'late'"))
    for name in ("uk", "rich"):
        (two.shop.root / "segments" / f"{name}.yml").unlink()
    hour(two, b=(B, "uk rich"))
    forgotten(two, "uk", remove=True)
    assert not listed(two)
    hour(two, b=(B, "late"))
    assert inside(two) == {B}
    assert known(two) >= {B}
