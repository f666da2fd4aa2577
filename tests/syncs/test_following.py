"""One contact follows another at an address: whoever was taken off there stays off, and nobody is left in whom nobody wants."""

from __future__ import annotations

from segmentry.sandbox.klaviyo import KlaviyoSandbox
from tests.syncs.test_keys_there import comes, listed, off
from tests.syncs.test_shared_addresses import A, B, Two, X, two

__all__ = ["two"]


def test_who_follows_one_that_gets_another_address_is_the_member_that_it_was(two: Two) -> None:
    """b has been the person that a was; with another address it comes in anew, and a has the membership, of one who is off by then."""
    two.hour(a=(X, "uk"), b=(X, ""))
    two.hour(a=(X, ""), b=(X, "uk"))
    off(two)
    two.again(a=(X, "uk"), b=(B, "uk"))
    assert X not in listed(two)
    two.again(a=(X, ""), b=(B, "uk"))
    assert two.states["uk", "a"] == "left"


def test_who_follows_one_that_was_taken_off_and_gets_no_other_address_is_not_put_in(two: Two) -> None:
    """The new address is somebody else's there. It is heard then that a is off, and b is to be added by then."""
    there_already(two, A)
    two.hour(a=(X, "uk"), b=(X, ""))
    off(two)
    two.again(a=(A, "uk"), b=(X, "uk"))
    assert listed(two) == {}


def there_already(two: Two, address: str) -> None:
    """Somebody has the address at the service who is nobody that we know."""
    if isinstance(two.service, KlaviyoSandbox):
        comes(two.service, address, "somebody")
    else:
        two.service.people.subscribe(address)


def follower(two: Two) -> None:
    """a is a member, and gone by the time that c has its address; c, who was the person that b is, is first taken out under b's."""
    two.hour(a=(X, "uk"), b=(B, "uk"), c=(A, ""))
    two.hour(a=(X, "uk"), b=(B, ""), c=(B, "uk"))


def test_who_goes_is_taken_off_though_another_was_to_come_by_the_address(two: Two) -> None:
    follower(two)
    two.hour(a=(X, ""), b=(B, ""), c=(X, "uk"))
    two.again(a=(X, ""), b=(B, ""), c=(X, ""))
    assert listed(two) == {}


def test_who_comes_later_by_the_address_of_one_who_was_taken_off_is_not_put_in(two: Two) -> None:
    follower(two)
    off(two)
    two.hour(a=(X, ""), b=(B, ""), c=(X, "uk"))
    two.again(a=(X, ""), b=(B, ""), c=(X, "uk"))
    assert X not in listed(two)
