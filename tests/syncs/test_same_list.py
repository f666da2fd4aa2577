"""Several segments that add to one list or tag: who left that has left it for all of them, also under another address."""

from __future__ import annotations

import pytest

from segmentry.engine.state.schema import SYNCED
from segmentry.engine.workspace import Workspace
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from tests.delivery.measuring import peak
from tests.syncs.conftest import LIST, Synced
from tests.syncs.test_handed_on import merged
from tests.syncs.test_keys_there import FULL, listed, off
from tests.syncs.test_left_before import readded
from tests.syncs.test_names_before import C
from tests.syncs.test_shared_addresses import RULES, A, B, Two, two
from tests.syncs.test_two_tags import tags
from tests.syncs.test_words import reconciled
from tests.syncs.test_words_services import keyed

__all__ = ["two"]

Z, W = "z@example.com", "w@example.com"


def one_list(two: Two, *segments: str) -> None:
    """These segments add to the list, or the tag, that is named for the British; the others are in step with nothing."""
    target = f"list: {two.service.lists[1].id}" if isinstance(two.service, KlaviyoSandbox) else 'tag: "seg:uk"'
    entry = f"sync: {{destination: crm, {target}, existing: send, mode: add, fields: {{FNAME: name}}}}\n"
    for name, rule in RULES.items():
        (two.shop.root / "segments" / f"{name}.yml").write_text(f'where: "{rule}"\n{entry if name in segments else ""}')


def hour(two: Two, tell: bool = True, **who: tuple[str, str]) -> None:
    """Beside two others, who stay in it."""
    two.hour(tell=tell, z=(Z, "uk"), w=(W, "uk"), **who)


def inside(two: Two) -> set[str]:
    """Who is in it but for those."""
    return set(listed(two)) - {Z, W}


def read_back(two: Two, **which: str) -> None:
    with two.shop.state.catalog.writing() as connection:  # what was said of anybody is long ago
        connection.execute(SYNCED.update().values(changed="2026-01-01T00:00:00.000000+00:00"))
    reconciled(two.shop, opened=keyed(two.service), **which)


def known(two: Two) -> set[str]:
    """Everybody at the service, by address."""
    return {str(one.email) for one in two.service.profiles} if isinstance(two.service, KlaviyoSandbox) else set(tags(two.service))


def taken_off(two: Two) -> None:
    """b was taken off by hand, and that was read."""
    hour(two, b=(B, "uk"))
    off(two, B)
    read_back(two)
    assert two.states["uk", "b"] == "left"
    assert not inside(two)


@pytest.mark.parametrize("address", [C, pytest.param(B, marks=FULL)])
@pytest.mark.parametrize("stays", ["uk rich", pytest.param("rich", marks=FULL)])
def test_who_left_comes_in_by_no_other_segment(two: Two, address: str, stays: str) -> None:
    one_list(two, "uk", "rich")
    taken_off(two)
    for _ in range(2):
        hour(two, b=(address, stays))
    assert not inside(two)
    assert two.states["rich", "b"] == "left"
    hour(two, b=(A, "uk rich"))
    assert not inside(two)


@pytest.mark.parametrize("address", [C, B])
@pytest.mark.parametrize("after", [pytest.param(("rich", "uk"), marks=FULL), ("rich",)])
def test_who_left_comes_in_by_no_new_segment(two: Two, after: tuple[str, ...], address: str) -> None:
    """Of its sync nothing is known at its first run, but what is known of the list."""
    one_list(two, "uk")
    taken_off(two)
    one_list(two, *after)
    for _ in range(2):
        hour(two, b=(address, "rich"))
    assert not inside(two)
    assert two.states["rich", "b"] == "left"


@FULL
def test_who_left_under_a_former_key_comes_in_by_no_other_segment(two: Two) -> None:
    one_list(two, "uk", "rich")
    taken_off(two)
    merged(two, "b", "c")
    for _ in range(2):
        hour(two, c=(C, "rich"))
    assert not inside(two)
    assert two.states["rich", "c"] == "left"


@FULL
def test_who_left_and_is_forgotten_comes_in_by_no_new_segment(two: Two) -> None:
    one_list(two, "uk")
    taken_off(two)
    Workspace.open(two.shop.root).forget(["b"])
    one_list(two, "rich")
    hour(two, c=(B, "rich"))
    assert not inside(two)


@pytest.mark.parametrize("segments", ["uk rich", pytest.param("rich", marks=FULL)])
def test_who_may_come_back_may_do_so_by_either(two: Two, segments: str) -> None:
    one_list(two, "uk", "rich")
    taken_off(two)
    hour(two, b=(C, segments))
    readded(two, "b", counts=(1, 1))
    assert inside(two) == {C}
    assert {two.states.get((name, "b")) for name in segments.split()} == {"member"}
    hour(two, b=(C, "uk rich"))
    assert two.states["uk", "b"] == two.states["rich", "b"] == "member"


@FULL
@pytest.mark.parametrize("address", [C, B])
def test_who_waits_to_come_in_by_the_other_does_not_once_that_is_read(two: Two, address: str) -> None:
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    off(two, B)
    hour(two, tell=False, b=(address, "rich"))
    read_back(two, segment="uk")
    two.tell()
    assert not inside(two)
    hour(two, b=(address, "rich"))
    assert not inside(two)
    assert two.states["rich", "b"] == "left"


# ---------------------------------------------------------------- who has the address that one who left has since


@pytest.mark.parametrize("first", ["uk", pytest.param("", marks=FULL)])
@pytest.mark.parametrize("other", ["rich", pytest.param("uk", marks=FULL)])
def test_who_has_the_address_of_one_who_left_comes_in_by_no_segment(two: Two, first: str, other: str) -> None:
    """Whether that one is in the segment when it gets the address, or in none; until it has another."""
    one_list(two, "uk", "rich")
    taken_off(two)
    hour(two, b=(B, first))
    for _ in range(2):
        hour(two, b=(C, first), d=(C, other))
    assert not inside(two)
    for _ in range(2):
        hour(two, b=(A, first), d=(C, other))
    assert inside(two) == {C}
    assert two.states[other, "d"] == "member"


def test_who_is_in_by_one_and_left_by_the_other_under_another_key_goes_on(two: Two) -> None:
    """It is another person there than the one who left, and nobody is taken off in this mode."""
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"), c=(C, "rich"))
    off(two, B)
    read_back(two, segment="uk")
    merged(two, "b", "c")
    for _ in range(2):
        hour(two, c=(A, "rich"))
    assert inside(two) == {A}
    for _ in range(2):
        hour(two, c=(A, "uk rich"))
    assert two.states["uk", "c"] == "left"


# ---------------------------------------------------------------- whom another sync counts as a member still


@pytest.mark.parametrize("address", [C, B])
def test_who_left_by_one_is_told_of_by_none(two: Two, address: str) -> None:
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk rich"))
    off(two, B)
    read_back(two, segment="uk")
    for _ in range(2):
        hour(two, b=(address, "rich"))
    assert two.states["rich", "b"] == "left"
    assert not inside(two)
    assert C not in known(two)


@FULL
def test_who_left_by_one_comes_in_by_none_where_another_contact_is_that_person_too(two: Two) -> None:
    one_list(two, "uk", "rich")
    both = {"z": (Z, "uk rich"), "w": (W, "uk rich")}
    two.hour(e=(B, "uk"), **both)
    two.hour(e=(B, ""), b=(B, "rich uk"), **both)
    off(two, B)
    read_back(two, segment="rich")
    for _ in range(2):
        two.hour(b=(C, "uk"), **both)
    for _ in range(2):
        two.hour(b=(A, "uk"), e=(C, "uk"), **both)
    assert A not in inside(two)
    assert two.states["uk", "b"] == two.states["rich", "b"] == "left"


def test_who_left_takes_nobodys_membership(two: Two) -> None:
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"), d=(C, "rich"))
    off(two, B)
    read_back(two, segment="uk")
    hour(two, b=(C, "rich"), d=(C, ""))
    for _ in range(2):
        hour(two, b=(A, "rich"), d=(C, ""))
    assert inside(two) == {C}
    assert two.states["rich", "d"] == "member"


@FULL
def test_many_who_left_with_one_address_are_no_trouble(shop: Synced) -> None:
    """Each with each other one would be tens of millions."""
    number = 6_000
    shop.sync("existing: send, fields: {level: tier}")
    one = {"id": [f"c{number}" for number in range(number)], "email": ["none@example.com"] * number, "country": ["UK"] * number}
    before = peak()
    shop.people({**one, "tier": [1] * number})
    shop.hour("2026-01-02")
    (member,) = shop.members
    shop.memory.take_out(LIST, member)
    shop.people({**one, "tier": [2] * number})
    shop.hour("2026-01-03")
    shop.hour("2026-01-04")
    states = {state for state, _ in shop.rows().values()}
    assert (len(shop.rows()), states) == (number, {"left"})
    shop.hour("2026-01-05")
    assert peak() - before < 1_000_000  # KiB


# ---------------------------------------------------------------- who is in by both


def test_who_is_in_by_another_segment_is_a_member_by_both_and_is_added_by_one(two: Two) -> None:
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    hour(two, b=(B, "uk rich"))
    assert two.states["rich", "b"] == two.states["uk", "b"] == "member"
    hour(two, b=(C, "rich"))
    assert inside(two) == {C}
    for _ in range(2):
        hour(two, b=(A, "uk rich"))
    assert inside(two) == {A}


@pytest.mark.parametrize("new", [False, pytest.param(True, marks=FULL)])
def test_who_has_the_former_address_of_a_member_is_another_person(two: Two, new: bool) -> None:
    one_list(two, "uk", "rich")
    hour(two, b=(B, "uk"))
    if not new:
        hour(two, b=(C, "uk"))
    for _ in range(3):
        hour(two, b=(C, "uk"), d=(B, "rich"))
    assert inside(two) == {B, C}
    assert two.states["rich", "d"] == two.states["uk", "b"] == "member"
