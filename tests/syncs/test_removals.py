"""Who leaves a list or tag, and comes back before anybody heard of it: whom somebody took off by hand meanwhile, nobody puts back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from segmentry.engine.connectors import klaviyo_removing, mailchimp_syncing
from segmentry.engine.connectors.klaviyo_client import LaterError
from segmentry.engine.connectors.klaviyo_work import Work
from segmentry.engine.connectors.mailchimp_line import TroubleError
from segmentry.engine.connectors.mailchimp_tags import Tags
from segmentry.engine.state.schema import SYNCED
from segmentry.engine.state.state import wall_clock
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from segmentry.sandbox.mailchimp import AUDIENCE, MailchimpSandbox
from tests.syncs.conftest import Synced
from tests.syncs.test_two_tags import tags
from tests.syncs.test_words_services import keyed

A = "a@example.com"
TAG = "seg:uk"


@dataclass
class List:
    """One segment, in step with a list or tag."""

    shop: Synced
    service: KlaviyoSandbox | MailchimpSandbox
    day: int = 1

    def hour(self, country: str) -> None:
        self.day += 1
        self.shop.people({"id": ["a"], "country": [country], "email": [A], "tier": [1]})
        self.shop.hour(f"2026-01-{self.day:02}", tell=False)
        self.shop.tell(open=keyed(self.service))

    def somebody_takes_off(self) -> None:
        if isinstance(self.service, KlaviyoSandbox):
            self.service.remove_from_list("People", A)
        else:
            self.service.people.untag(A, TAG)

    @property
    def inside(self) -> bool:
        if isinstance(self.service, KlaviyoSandbox):
            return A in self.service.members("People")
        return TAG in tags(self.service)[A]


@pytest.fixture(params=["klaviyo", "mailchimp"])
def people(shop: Synced, request: pytest.FixtureRequest) -> Iterator[List]:
    (shop.root / "segments").mkdir(exist_ok=True)
    with KlaviyoSandbox(clock=wall_clock, lists=("People",)) as klaviyo, MailchimpSandbox(clock=wall_clock) as mailchimp:
        service: KlaviyoSandbox | MailchimpSandbox = mailchimp
        settings, target = f"type: mailchimp, audience: {AUDIENCE}, new_contacts: transactional", f'tag: "{TAG}"'
        if request.param == "klaviyo":
            service, settings, target = klaviyo, "type: klaviyo", f"list: {klaviyo.lists[0].id}"
        shop.destinations = f'{{crm: {{{settings}, url: "{service.url}", key: "${{CRM_KEY}}"}}}}'
        entry = f"sync: {{destination: crm, {target}, existing: send, mode: mirror}}"
        (shop.root / "segments" / "uk.yml").write_text(f"where: \"country = 'UK'\"\n{entry}\n")
        found = List(shop, service)
        found.hour("UK")
        assert found.inside
        yield found


def trouble(*_: Any) -> None:
    raise TroubleError(mailchimp_syncing.LOST)


def later(*_: Any) -> None:
    raise LaterError("it can't be read")


def done_but_lost(does: Callable[..., Any], lost: Callable[..., None]) -> Callable[..., None]:
    def done(*args: Any) -> None:
        does(*args)
        lost()

    return done


@pytest.mark.parametrize("killed", [False, True])
def test_who_was_taken_off_by_hand_before_anybody_was_removed_is_not_put_back(
    people: List, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    people.somebody_takes_off()
    with monkeypatch.context() as patch:
        patch.setattr(klaviyo_removing, "people_of", later)
        patch.setattr(Tags, "having", trouble)
        people.hour("FR")
    if killed:  # as a sender leaves it that is no more
        with people.shop.state.catalog.writing() as connection:
            connection.execute(SYNCED.update().values(lease=7))
    for country in ("UK", "UK", "FR", "UK"):
        people.hour(country)
        assert not people.inside


@pytest.mark.parametrize("killed", [False, True])
def test_who_may_have_been_removed_by_us_is_put_in_again(people: List, monkeypatch: pytest.MonkeyPatch, killed: bool) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Work, "relate", done_but_lost(Work.relate, later))
        patch.setattr(Tags, "take_off", done_but_lost(Tags.take_off, trouble))
        people.hour("FR")
    assert not people.inside
    if killed:
        with people.shop.state.catalog.writing() as connection:
            connection.execute(SYNCED.update().values(lease=7))
    people.hour("UK")
    people.hour("UK")
    assert people.inside
