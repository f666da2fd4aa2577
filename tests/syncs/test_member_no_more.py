"""What a sync has of a member may be so no more, by our own doing or another's: nobody is kept off a list, or put back, for that."""

from __future__ import annotations

import pytest

from segmentry.engine.workspace import Workspace
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from segmentry.sandbox.klaviyo_upserts import upsert
from tests.syncs.test_handed_on import merged
from tests.syncs.test_keys_there import FULL, off
from tests.syncs.test_left_before import moved_unheard
from tests.syncs.test_member_elsewhere import forgotten, moved_in_mirror, not_put_in
from tests.syncs.test_names_before import C
from tests.syncs.test_perhaps import removed_unheard
from tests.syncs.test_same_list import W, Z, hour, inside, one_list, read_back
from tests.syncs.test_shared_addresses import A, B, Two, two

__all__ = ["two"]

RICH = {"z": (Z, "rich"), "w": (W, "rich")}


def somebody_with(two: Two, address: str) -> None:
    """The service has somebody with the address, who is not in the list."""
    if isinstance(two.service, KlaviyoSandbox):
        two.service.add_by_hand("Rich", address)
    else:
        two.service.people.subscribe(address)


def in_mirror(two: Two, segment: str) -> None:
    """This segment alone has the list, and takes off who leaves it."""
    one_list(two, segment)
    rule = two.shop.root / "segments" / f"{segment}.yml"
    rule.write_text(rule.read_text().replace("mode: add", "mode: mirror"))


# ---------------------------------------------------------------- by what we did ourselves


def test_who_had_a_membership_that_went_to_another_person_is_no_member(two: Two) -> None:
    """The tag goes from b's former person to the one who has its new address; d has the former one."""
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    hour(two, b=(B, "rich"))
    somebody_with(two, C)
    for _ in range(2):
        hour(two, b=(C, "rich"))
    for _ in range(3):
        hour(two, b=(C, "rich"), d=(B, "rich"))
    assert B in inside(two)  # at Klaviyo as b, who can't have the other's


@pytest.mark.parametrize("mirror", [False, pytest.param(True, marks=FULL)])
@pytest.mark.parametrize("who", ["d", pytest.param("c", marks=FULL)])
def test_who_has_another_address_since_it_was_merged_is_no_member_by_the_former_one(two: Two, who: str, *, mirror: bool) -> None:
    """A sync that is in the files no more has the key, and the address, that it had."""
    one_list(two, "uk")
    hour(two, b=(B, "uk"))
    in_mirror(two, "rich") if mirror else one_list(two, "rich")
    two.hour(b=(B, "rich"), **RICH)
    merged(two, "b", "c")
    two.hour(c=(B, "rich"), **RICH)
    for _ in range(2):
        two.hour(c=(C, "rich"), **RICH)
    assert inside(two) == {C}
    if mirror:
        two.hour(c=(C, ""), **RICH)
    people = {"c": (C, "rich"), "d": (B, "rich")} if who == "d" else {"c": (B, "rich")}
    for _ in range(3):
        two.hour(**people, **RICH)
    assert inside(two) == {address for address, _ in people.values()}


def test_whose_address_a_sequence_changed_keeps_nobody_off_who_has_the_former_one(two: Two) -> None:
    two.enroll()
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    hour(two, b=(B, ""))
    for _ in range(2):
        hour(two, b=(C, "vip"))
    for _ in range(3):
        hour(two, b=(C, ""), d=(B, "rich"))
    assert B in inside(two)


def changed_by_hand(two: Two) -> None:
    """The profile with one address gets another one, by somebody at Klaviyo."""
    if not isinstance(two.service, KlaviyoSandbox):
        pytest.skip("at Mailchimp nobody is made anew under an address that somebody changed")
    upsert(two.service._settled(), {"type": "profile", "id": two.service.profile(B).id, "attributes": {"email": C}})


@FULL
@pytest.mark.parametrize("names", ["NNN", "LMNO"])
def test_whose_address_somebody_changed_keeps_nobody_off_who_has_the_former_one(two: Two, names: str) -> None:
    """Also where what is told of that one is another every hour."""
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    hour(two, b=(B, ""))
    changed_by_hand(two)
    for name in names:
        two.hour(name=name, z=(Z, "uk"), w=(W, "uk"), b=(C, ""), d=(B, "rich"))
    assert inside(two) == {B, C}


@FULL
@pytest.mark.parametrize("takes_off", [False, True])
@pytest.mark.parametrize("mirror", [False, True])
def test_whose_address_somebody_changed_goes_on_as_the_member_that_it_is(two: Two, *, mirror: bool, takes_off: bool) -> None:
    """Though another contact is that person too, by another list: with its former address it is not put in beside, nor back."""
    in_mirror(two, "uk") if mirror else one_list(two, "uk")
    if isinstance(two.service, KlaviyoSandbox):
        late = (two.shop.root / "segments" / "uk.yml").read_text().replace("country = 'UK'", "club contains 'late'")
        (two.shop.root / "segments" / "late.yml").write_text(late.replace(two.service.lists[1].id, two.service.lists[0].id))
    hour(two, b=(B, "uk"), d=(B, "late"))
    if takes_off:
        off(two, B)
    changed_by_hand(two)
    for name in "LMN":
        hour(two, name=name, b=(B, "uk"), d=(B, "late"))
    assert {address for address, lists in two.inside.items() if "uk" in lists} - {Z, W} == (set() if takes_off else {C})


@FULL
@pytest.mark.parametrize("field", ["looked", "anew", "other"])
def test_a_field_may_be_called_as_a_mark_of_ours(two: Two, field: str) -> None:
    if not isinstance(two.service, KlaviyoSandbox):
        pytest.skip("Mailchimp's fields are of its own names")
    one_list(two, "uk", "rich")
    for name in ("uk", "rich"):
        rule = two.shop.root / "segments" / f"{name}.yml"
        rule.write_text(rule.read_text().replace("FNAME: name", f"{field}: flag"))
    people = two.shop.people
    two.shop.people = lambda told: people({**told, "flag": [True] * len(told["id"])})  # type: ignore[method-assign]
    hour(two, b=(B, "uk"))
    off(two, B)
    for _ in range(2):
        hour(two, b=(B, "rich"))
    assert not inside(two)


def test_who_was_taken_off_is_not_put_back_where_another_gets_its_address(two: Two) -> None:
    """In the hour in which both come in by the other segment: that one is a person of its own."""
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    off(two, B)
    for _ in range(3):
        hour(two, b=(C, "rich"), d=(B, "rich"))
    assert C not in inside(two)


@FULL
def test_who_was_another_one_too_when_it_was_planned_is_told_by_its_own_name(two: Two) -> None:
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    hour(two, b=(C, ""), d=(B, "rich"))
    for _ in range(2):
        hour(two, b=(C, "rich"), d=(B, "rich"))
    assert inside(two) == {B, C}
    for _ in range(3):
        hour(two, b=(A, "uk"), d=(B, "rich"))
    assert inside(two) >= {A, B}


# ---------------------------------------------------------------- by what nobody heard


@FULL
def test_whose_removal_was_not_heard_is_put_in_also_where_the_other_is_forgotten(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    one_list(two, "uk")
    hour(two, d=(B, "uk"))
    moved_in_mirror(two)
    two.hour(b=(B, "rich"), **RICH)
    removed_unheard(two, monkeypatch, b=(B, ""), **RICH)
    assert not inside(two)
    Workspace.open(two.shop.root).forget(["b"])
    for _ in range(2):
        two.hour(d=(B, "rich"), **RICH)
    assert inside(two) == {B}


@FULL
def test_a_removal_that_was_not_heard_is_no_question_once_it_is_put_in_again(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    in_mirror(two, "uk")
    hour(two, b=(B, "uk"))
    removed_unheard(two, monkeypatch, z=(Z, "uk"), w=(W, "uk"), b=(B, ""))
    one_list(two, "rich")
    for _ in range(2):
        hour(two, b=(B, "rich"))
    assert inside(two) == {B}
    off(two, B)
    one_list(two, "rich", "uk")
    for _ in range(2):
        hour(two, b=(B, "uk"))
    assert not inside(two)


@FULL
@pytest.mark.parametrize("is_read", [False, True])
def test_whose_removal_was_not_heard_is_put_in_by_the_segment_that_had_it_before(
    two: Two, monkeypatch: pytest.MonkeyPatch, *, is_read: bool
) -> None:
    one_list(two, "uk", "rich")
    hour(two, b=(B, "rich"))
    in_mirror(two, "uk")
    hour(two, b=(B, "uk"))
    removed_unheard(two, monkeypatch, z=(Z, "uk"), w=(W, "uk"), b=(B, ""))
    one_list(two, "rich")
    for _ in range(2):
        two.hour(b=(B, "rich"), **RICH)
    if is_read:
        read_back(two)
        two.hour(b=(B, "rich"), **RICH)
    assert inside(two) == {B}


# ---------------------------------------------------------------- who is taken for a member by the address, and nothing is heard of it


def taken_for_another(two: Two, monkeypatch: pytest.MonkeyPatch, *segments: str, **who: tuple[str, str]) -> None:
    """b is in by uk, and d has its address and comes in by rich: what is told of it is lost."""
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    one_list(two, *segments)
    moved_unheard(two, monkeypatch, done=False, b=(B, "uk"), d=(B, "rich"), **who)


def much_later(two: Two) -> None:
    """A delivery before any run."""
    two.shop.at("2026-01-20")
    two.tell()
    two.day = 21


@pytest.mark.parametrize("remove", [True, pytest.param(False, marks=FULL)])
def test_who_is_taken_for_one_who_is_forgotten_is_put_in(two: Two, monkeypatch: pytest.MonkeyPatch, *, remove: bool) -> None:
    taken_for_another(two, monkeypatch, "rich", **RICH)
    if not remove:
        off(two, B)  # as somebody empties the list
    forgotten(two, "uk", remove=remove)
    much_later(two)
    for _ in range(2):
        two.hour(d=(B, "rich"), **RICH)
    assert inside(two) == {B}


@FULL
def test_who_is_taken_for_one_who_left_is_no_member(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"z": (Z, "uk"), "w": (W, "uk")}
    taken_for_another(two, monkeypatch, "uk", "rich", **both)
    off(two, B)
    read_back(two, segment="uk")
    much_later(two)
    hour(two, b=(B, "uk"), d=(B, "rich"))
    assert two.states.get(("rich", "d")) != "member"
    assert not inside(two)


@FULL
def test_who_was_never_told_of_has_not_left_as_another(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    taken_for_another(two, monkeypatch, "rich", **RICH)
    two.hour(d=(B, ""), **RICH)
    forgotten(two, "uk")
    two.leaves(B)
    for _ in range(2):
        two.hour(d=(C, "rich"), **RICH)
    assert C in inside(two)


# ---------------------------------------------------------------- detach --remove of who was perhaps added


@FULL
def test_who_was_perhaps_added_and_is_a_member_by_another_segment_stays(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    one_list(two, "uk", "rich")
    hour(two)
    not_put_in(two, monkeypatch, b=(B, "uk"))
    hour(two, b=(B, "rich"))
    one_list(two, "rich")
    forgotten(two, "uk", remove=True)
    assert inside(two) == {B}


@FULL
@pytest.mark.parametrize("named", [False, True])
def test_who_was_taken_off_is_not_put_back_by_what_is_heard_of_another_sync(
    two: Two, monkeypatch: pytest.MonkeyPatch, *, named: bool
) -> None:
    if named:  # as it put b in and took it off
        in_mirror(two, "uk")
        hour(two, b=(B, "uk"))
        hour(two, b=(B, ""))
    one_list(two, "uk", "rich")
    hour(two)
    not_put_in(two, monkeypatch, b=(B, "uk"))
    hour(two, b=(B, "rich"))
    assert inside(two) == {B}
    off(two, B)
    one_list(two, "rich")
    forgotten(two, "uk", remove=True)
    for _ in range(3):
        two.hour(b=(B, "rich"), z=(Z, "rich"))
    assert not inside(two)
