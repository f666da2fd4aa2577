"""What may have been done, and nobody heard: who may be in a list or tag is found there, and who may be out by us has not left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from segmentry.engine.connectors import mailchimp_syncing
from segmentry.engine.connectors.klaviyo_client import LaterError
from segmentry.engine.connectors.klaviyo_work import Work
from segmentry.engine.connectors.mailchimp_line import TroubleError
from segmentry.engine.connectors.mailchimp_tags import Tags
from segmentry.engine.state.schema import SYNCED
from segmentry.sandbox.mailchimp import MailchimpSandbox
from tests.syncs.test_shared_addresses import A, B, Two, X, two

__all__ = ["two"]


Z = ("z@example.com", "")
"""Somebody who is in no segment: a snapshot is never empty."""


class Ended(BaseException):
    """The sender's process ends here."""


def and_then(does: Callable[..., Any], what: BaseException) -> Callable[..., Any]:
    """It is done, and nobody hears of it."""

    def done(*arguments: Any) -> None:
        does(*arguments)
        raise what

    return done


def put_in_unheard(two: Two, monkeypatch: pytest.MonkeyPatch, **who: tuple[str, str]) -> None:
    """An hour whose sender ends once people are in the lists or tags."""
    with monkeypatch.context() as patch:
        patch.setattr(Work, "relate", and_then(Work.relate, Ended()))
        patch.setattr(mailchimp_syncing.Work, "_tagged", and_then(mailchimp_syncing.Work._tagged, Ended()))
        with pytest.raises(Ended):
            two.hour(**who)


def not_put_in_unheard(two: Two, monkeypatch: pytest.MonkeyPatch, **who: tuple[str, str]) -> None:
    """An hour whose sender ends just before people are in the lists or tags."""
    with monkeypatch.context() as patch:
        patch.setattr(Work, "relate", raising(Ended()))
        patch.setattr(mailchimp_syncing.Work, "_tagged", raising(Ended()))
        with pytest.raises(Ended):
            two.hour(**who)


def removed_unheard(two: Two, monkeypatch: pytest.MonkeyPatch, **who: tuple[str, str]) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Work, "relate", and_then(Work.relate, LaterError("the answer is lost")))
        patch.setattr(Tags, "take_off", and_then(Tags.take_off, TroubleError(mailchimp_syncing.LOST)))
        two.hour(**who)


def days_pass(two: Two, days: int, **who: tuple[str, str] | None) -> None:
    """Runs every other day, and no delivery: no guard holds anything."""
    for _ in range(days // 2):
        two.day += 1
        two.hour(tell=False, **who)


@pytest.mark.parametrize("days", [2, 20])
def test_who_was_put_in_unheard_and_is_gone_is_taken_off(two: Two, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """By a sender that was killed and is taken over from only days later: until then the address is all by which anybody could be found."""
    put_in_unheard(two, monkeypatch, a=(A, "uk"), z=Z)
    with two.shop.state.catalog.writing() as connection:
        connection.execute(update(SYNCED).values(lease=7))
    days_pass(two, days, a=None, z=Z)
    two.tell()
    two.again(a=None, z=Z)
    assert two.inside[A] == set()


@pytest.mark.parametrize("unheard", [put_in_unheard, not_put_in_unheard])
@pytest.mark.parametrize("before", [X, B])
def test_who_was_perhaps_put_in_beside_another_contact_goes_alone(
    two: Two, monkeypatch: pytest.MonkeyPatch, unheard: Callable[..., None], before: str
) -> None:
    """Both were one person there, under one address: who has another by then, and goes, is not that one."""
    two.hour(a=(before, ""), b=(X, "uk"))
    two.hour(a=(before, "" if before == X else "uk"), b=(X, ""))
    two.hour(a=(before, ""), b=(X, ""))
    two.hour(a=(X, "uk"), b=(X, ""))
    unheard(two, monkeypatch, a=(A, "uk"), b=(X, "uk"))
    two.again(a=(A, ""), b=(X, "uk"))
    assert {address for address, lists in two.inside.items() if lists} == {X}
    assert two.states == {("uk", "b"): "member"}


def test_who_is_in_doubt_keeps_the_address_for_as_long(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that only adds takes nobody off, until somebody writes `mirror`."""
    two.modes = ("add", "add")
    two.write()
    put_in_unheard(two, monkeypatch, a=(A, "uk"), z=Z)
    days_pass(two, 2, a=(A, ""), z=Z)
    two.tell()
    days_pass(two, 20, a=None, z=Z)
    two.tell()
    two.modes = ("mirror", "mirror")
    two.write()
    two.again(a=None, z=Z)
    assert two.inside[A] == set()


def test_who_came_back_unheard_and_goes_again_has_not_left(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken off by us, whose answer was lost; wanted back, and not put in; then out: who is not there is so by us."""
    two.hour(a=(A, "uk rich"))
    removed_unheard(two, monkeypatch, a=(A, "uk"))
    with monkeypatch.context() as patch:
        if isinstance(two.service, MailchimpSandbox):
            patch.setattr(mailchimp_syncing.Work, "_add", raising(TroubleError(mailchimp_syncing.LOST)))
        two.hour(a=(A, "uk rich"), tell=isinstance(two.service, MailchimpSandbox))
    two.hour(a=(A, "uk"))
    two.again(a=(A, "uk rich"))
    assert two.inside[A] == {"uk", "rich"}
    assert set(two.states.values()) == {"member"}


def test_whose_removal_is_planned_anew_has_not_left(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out, which is not heard, and gone from the snapshot, and back in it, while the removal waits for another attempt."""
    two.hour(a=(A, "uk rich"))
    removed_unheard(two, monkeypatch, a=(A, "uk"))
    two.hour(a=None, z=Z, tell=False)
    two.hour(a=(A, "uk"), tell=False)
    two.again(a=(A, "uk"))
    two.again(a=(A, "uk rich"))
    assert two.inside[A] == {"uk", "rich"}


def test_who_is_taken_off_by_hand_while_a_change_is_unheard_has_left(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of a field that nobody heard of removes nobody: who is not there any more was taken off."""
    two.hour(a=(A, "uk rich"), b=("other@example.com", "uk rich"))
    with monkeypatch.context() as patch:
        patch.setattr(mailchimp_syncing.Work, "_update", raising(TroubleError(mailchimp_syncing.LOST)))
        patch.setattr(Work, "confirm", raising(LaterError("the answer is lost", maybe=True)))
        two.hour(name="M", a=(A, "uk rich"), b=("other@example.com", "uk rich"))
    if isinstance(two.service, MailchimpSandbox):
        two.service.people.untag(A, "seg:rich")
    else:
        two.service.remove_from_list(two.service.lists[0].name, A)
    two.again(a=(A, "uk"), b=("other@example.com", "uk rich"))
    two.again(a=(A, "uk rich"), b=("other@example.com", "uk rich"))
    assert two.states["rich", "a"] == "left"
    assert two.inside[A] == {"uk"}


def raising(what: BaseException) -> Callable[..., Any]:
    def raises(*_: Any) -> None:
        raise what

    return raises
