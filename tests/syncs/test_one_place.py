"""One name is one place at a service for good, and one place has one name: what is known of who is there, and who left, is known by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segmentry.engine.connectors.registry import open_destination
from segmentry.engine.delivering import Open
from segmentry.errors import SegmentryError
from segmentry.sandbox.mailchimp import AUDIENCE, MailchimpSandbox
from tests.syncs.test_shared_addresses import A, Two, two
from tests.syncs.test_words import reconciled
from tests.syncs.test_words_services import keyed

__all__ = ["two"]
mailchimp = pytest.mark.parametrize("two", ["mailchimp"], indirect=True)


def said(two: Two) -> str:
    """What a delivery says of what stopped it."""
    keys = {"CRM_KEY": two.service.key, "CRM_KEY_TOO": two.service.key}
    opened: Open = lambda name, settings, context: open_destination(name, settings, replace(context, environ=keys))  # noqa: E731
    delivered = two.shop.tell(open=opened)
    return "\n".join(message for one in delivered.destinations.values() for message in one.messages)


@mailchimp
def test_another_audience_is_another_destination(two: Two) -> None:
    """By the names of the first everybody known would have left the second."""
    assert isinstance(two.service, MailchimpSandbox)
    two.service.people.add_audience("aud2", "Two")
    two.hour(a=(A, "uk"))
    before = two.states
    two.shop.destinations = two.shop.destinations.replace(AUDIENCE, "aud2")
    two.hour(a=(A, "uk rich"), tell=False)
    told = said(two)
    assert f"is audience aud2, and was first used with audience {AUDIENCE}: another audience needs a destination of another name" in told
    assert "nothing was sent" in told
    assert two.states == before
    two.shop.destinations = two.shop.destinations.replace("aud2", AUDIENCE)
    two.hour(a=(A, "uk rich"))
    assert two.inside == {A: {"uk", "rich"}}


@mailchimp
def test_another_audience_is_not_read_either(two: Two) -> None:
    assert isinstance(two.service, MailchimpSandbox)
    two.service.people.add_audience("aud2", "Two")
    two.hour(a=(A, "uk"))
    two.shop.destinations = two.shop.destinations.replace(AUDIENCE, "aud2")
    two.hour(a=(A, "uk"), tell=False)
    found = reconciled(two.shop, opened=keyed(two.service))
    assert len(found) == 2
    assert all("another audience needs a destination of another name; nothing was read" in str(one.unread) for one in found)
    assert two.states["uk", "a"] == "member"


def test_one_place_by_two_names_is_told_before_anything_is_sent(two: Two) -> None:
    one = two.shop.destinations[len("{crm: ") : -1]
    two.shop.destinations = f"{{crm: {one}, crm2: {one}}}"
    with pytest.raises(SegmentryError) as caught:
        two.hour(a=(A, "uk rich"))
    what = "audience" if isinstance(two.service, MailchimpSandbox) else "account"
    assert "W330" in str(caught.value)
    assert f"`crm` and `crm2` are one {what} by two names" in str(caught.value)


def test_one_place_by_two_names_that_the_files_hide(two: Two) -> None:
    """What the files can't tell, another address of the same service, the service does."""
    one = two.shop.destinations[len("{crm: ") : -1]
    other = one.replace("127.0.0.1", "localhost").replace("CRM_KEY", "CRM_KEY_TOO")
    two.shop.destinations = f"{{crm: {one}, crm2: {other}}}"
    path = two.shop.root / "segments" / "rich.yml"
    path.write_text(path.read_text().replace("destination: crm", "destination: crm2"))
    two.hour(a=(A, "uk rich"), tell=False)
    told = said(two)
    assert "neither knows who left by the other name: keep one of them; nothing was sent" in told
    assert sum(map(len, two.inside.values())) == 1
