"""Somebody says that a contact comes back: also whom the service has nobody for any more. Consent stays theirs."""

from __future__ import annotations

import pytest

from segmentry.sandbox.mailchimp import MailchimpSandbox
from tests.syncs.test_shared_addresses import A, Two, X, two
from tests.syncs.test_words import readded

__all__ = ["two"]


def vanishes(two: Two, address: str) -> None:
    """Whoever has the address has it no more, or is no more: nobody is there by the name that is known."""
    if isinstance(two.service, MailchimpSandbox):
        two.service.people.change_address(address, "moved@example.com")
    else:
        two.service.delete_profile(address)


@pytest.mark.parametrize("address", [X, A])
def test_whom_the_service_has_no_more_is_put_in_anew_where_somebody_says_so(two: Two, address: str) -> None:
    two.hour(a=(X, "uk"))
    vanishes(two, X)
    two.again(a=(X, "rich"))
    assert two.states["rich", "a"] == "left"
    assert X not in two.inside
    readded(two.shop, "a")
    two.again(a=(address, "rich"))
    assert two.states["rich", "a"] == "member"
    assert two.inside[address] == {"rich"}


def test_who_unsubscribed_is_answered_so_again_whoever_says_so(two: Two) -> None:
    two.hour(a=(X, "uk"))
    two.leaves(X)
    two.again(a=(X, "rich"))
    readded(two.shop, "a")
    two.again(a=(X, "rich"))
    assert two.states["rich", "a"] == "left"
    assert "rich" not in two.inside[X]
