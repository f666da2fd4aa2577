"""What a membership that another contact has by now means for merges, for who may come back, and where a key only changed."""

from __future__ import annotations

import polars as pl
import pytest

from segmentry.engine.state.schema import SYNCED
from segmentry.engine.sync_reading_back import Reading, reconcile
from segmentry.engine.sync_returning import readd
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from tests.syncs.test_keys_there import FULL, listed
from tests.syncs.test_perhaps import Z
from tests.syncs.test_shared_addresses import A, Two, X, enrolling, two
from tests.syncs.test_words_services import keyed, words

__all__ = ["enrolling", "two"]


def handed_over(two: Two) -> None:
    """a was the member, and b is it now, with the same address."""
    two.hour(a=(X, "uk"), b=(X, ""))
    two.hour(a=(X, ""), b=(X, "uk"))


def merged(two: Two, old: str, new: str) -> None:
    pl.DataFrame({"old_key": [old], "new_key": [new]}).write_parquet(two.shop.root / "aliases.parquet")


@pytest.mark.parametrize("to", [A, pytest.param(X, marks=FULL)])
@pytest.mark.parametrize("before", [X, pytest.param(A, marks=FULL)])
def test_who_is_merged_into_whom_it_took_the_place_of_is_the_member(two: Two, before: str, to: str) -> None:
    handed_over(two)
    if before == A:
        two.hour(a=(A, ""), b=(X, "uk"))
    merged(two, "b", "a")
    two.hour(a=(to, "uk"))
    two.again(a=(to, "uk"))
    assert listed(two) == {to: {"uk"}}
    assert two.states == {("uk", "a"): "member"}
    two.again(a=(to, ""), z=Z)
    assert listed(two) == {}
    two.again(a=(to, "uk"), z=Z)
    assert listed(two) == {to: {"uk"}}


@FULL
@pytest.mark.parametrize("to", [X, A])
def test_who_is_merged_into_whoever_took_its_place_is_the_member(two: Two, to: str) -> None:
    handed_over(two)
    merged(two, "a", "b")
    two.hour(b=(to, "uk"))
    two.again(b=(to, "uk"))
    assert listed(two) == {to: {"uk"}}
    two.again(b=(to, ""), z=Z)
    assert listed(two) == {}


def test_who_may_come_back_brings_nobody_else_back_who_has_its_former_address(two: Two) -> None:
    """Both left; one is named."""
    handed_over(two)
    two.again(a=(A, "rich"), b=(X, "uk"))
    assert listed(two) == {A: {"rich"}, X: {"uk"}}
    for address, name in ((X, "UK"), (A, "Rich")):
        if isinstance(two.service, KlaviyoSandbox):
            two.service.remove_from_list(name, address)
        else:
            two.service.people.untag(address, f"seg:{name.lower()}")
    with two.shop.state.catalog.writing() as connection:  # long enough ago that what is read there counts
        connection.execute(SYNCED.update().values(changed="2026-01-01T00:00:00.000000+00:00"))
    workspace, state, _, _, now, newest = words(two.shop)
    reconcile(Reading(workspace, state, now, newest, {}, keyed(two.service)), accept_losses=True)
    assert two.states == {("uk", "b"): "left", ("rich", "a"): "left"}
    workspace, state, _, _, now, newest = words(two.shop)
    readd(workspace, state, ["a"], now, newest)
    two.tell()
    two.again(a=(A, "rich"), b=(X, "uk"))
    assert listed(two) == {A: {"rich"}}


@pytest.mark.parametrize("modes", [pytest.param(("mirror", "mirror"), marks=FULL), ("add", "add")])
def test_who_has_another_key_now_is_one_person_there(enrolling: Two, modes: tuple[str, str]) -> None:
    """Nobody said that both keys are one contact; the address says so, and then changes, first in an enrollment."""
    two = enrolling
    two.modes = modes
    two.write()
    two.hour(a=(X, "uk"))
    two.hour(b=(X, "uk"))
    two.hour(name="M", b=(X, "uk"))
    two.hour(name="M", b=(X, ""))
    two.hour(name="M", b=(A, "vip"))
    two.again(name="M", b=(A, "uk vip"))
    assert listed(two) == {A: {"uk"}}
