"""One person in two syncs of one service, who gets another address: by whichever sync that is told first, the other knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select

from segmentry.engine.connectors import mailchimp_syncing
from segmentry.engine.connectors.mailchimp_line import TroubleError
from segmentry.engine.connectors.settings import MailchimpSettings
from segmentry.engine.loading import load
from segmentry.engine.state.schema import SYNCED, SYNCS
from segmentry.engine.state.state import wall_clock
from segmentry.engine.sync_detaching import Telling, detach
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from segmentry.sandbox.klaviyo_upserts import upsert
from segmentry.sandbox.mailchimp import AUDIENCE, MailchimpSandbox
from tests.syncs.conftest import Synced
from tests.syncs.test_words import readded
from tests.syncs.test_words_services import keyed

FULL = pytest.mark.full
OLD, NEW = "old@example.com", "new@example.com"


@pytest.fixture
def mailchimp(shop: Synced) -> Iterator[MailchimpSandbox]:
    with MailchimpSandbox(clock=wall_clock) as sandbox:
        settings = f'url: "{sandbox.url}", key: "${{CRM_KEY}}", audience: {AUDIENCE}, new_contacts: transactional'
        shop.destinations = f"{{crm: {{type: mailchimp, {settings}}}}}"
        yield sandbox
        assert not sandbox.forbidden


def segments(shop: Synced) -> None:
    """One for those in the country, one for those who also have the tier."""
    (shop.root / "segments").mkdir(exist_ok=True)
    for name, rule in (("rich", "tier = 1"), ("uk", "country = 'UK'")):
        entry = f'sync: {{destination: crm, tag: "seg:{name}", existing: send, mode: mirror}}'
        (shop.root / "segments" / f"{name}.yml").write_text(f'where: "{rule}"\n{entry}\n')


def hour(
    shop: Synced, service: KlaviyoSandbox | MailchimpSandbox, day: int, email: str, *, tier: int = 1, country: str = "UK", born: str = "Y"
) -> None:
    shop.people({"id": ["a"], "country": [country], "email": [email], "tier": [tier], "country_of_birth": [born]})
    shop.hour(f"2026-01-{day:02}", tell=False)
    shop.tell(open=keyed(service))


def ends_as_the_address_is_changed(shop: Synced, service: MailchimpSandbox, monkeypatch: pytest.MonkeyPatch, day: int) -> None:
    """An hour whose delivery ends once the service has changed the address, before anybody has heard of it."""

    class End(BaseException):
        """The process ends here."""

    changed = mailchimp_syncing.Work._readdressed

    def ended(*args: Any) -> None:
        changed(*args)
        raise End

    with monkeypatch.context() as patch:
        patch.setattr(mailchimp_syncing.Work, "_readdressed", ended)
        with pytest.raises(End):
            hour(shop, service, day, NEW)


def states(shop: Synced) -> dict[str, str]:
    with shop.state.catalog.reading() as connection:
        query = select(SYNCS.c.segment, SYNCED.c.state).join(SYNCED, SYNCED.c.sync == SYNCS.c.id)
        return {row.segment: row.state for row in connection.execute(query)}


def called(shop: Synced) -> dict[str, str | None]:
    """What the service calls the contact, by segment."""
    with shop.state.catalog.reading() as connection:
        query = select(SYNCS.c.segment, SYNCED.c.remote_id).join(SYNCED, SYNCED.c.sync == SYNCS.c.id)
        return {row.segment: row.remote_id for row in connection.execute(query)}


def waits(shop: Synced, segment: str) -> None:
    """What a sync's destination is to be told is not due yet, when that of the others is."""
    with shop.state.catalog.writing() as connection:
        one = select(SYNCS.c.id).where(SYNCS.c.segment == segment).scalar_subquery()
        connection.execute(SYNCED.update().where(SYNCED.c.sync == one).values(due="2026-01-03T23:00:00.000000+00:00"))


def losing(does: Callable[..., object]) -> Callable[..., None]:
    """The same, but nobody hears what came of it."""

    def lost(*args: Any) -> None:
        does(*args)
        raise TroubleError(mailchimp_syncing.LOST)

    return lost


def tags(mailchimp: MailchimpSandbox) -> dict[str, set[str]]:
    """The tags of everybody in the audience."""
    audience = mailchimp.audiences[AUDIENCE]
    names = {id: name for name, id in audience.names.items()}
    return {one.email: {names[id] for id in one.tags} for one in audience.members.values()}


def test_both_are_told_one_after_the_other(shop: Synced, mailchimp: MailchimpSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    traits = MailchimpSettings.sync_traits.fget
    assert traits is not None
    one_by_one = property(lambda self: type(found := traits(self))(found.batch, 1, found.per_minute, needs_address=True))
    monkeypatch.setattr(MailchimpSettings, "sync_traits", one_by_one)
    segments(shop)
    hour(shop, mailchimp, 2, OLD)
    hour(shop, mailchimp, 3, NEW)
    assert states(shop) == {"rich": "member", "uk": "member"}
    assert tags(mailchimp) == {NEW: {"seg:rich", "seg:uk"}}


def test_who_comes_back_to_one_after_the_other_changed_the_address(shop: Synced, mailchimp: MailchimpSandbox) -> None:
    segments(shop)
    hour(shop, mailchimp, 2, OLD)
    hour(shop, mailchimp, 3, OLD, tier=0)
    hour(shop, mailchimp, 4, NEW, tier=0)
    hour(shop, mailchimp, 5, NEW)
    assert states(shop) == {"rich": "member", "uk": "member"}
    assert tags(mailchimp) == {NEW: {"seg:rich", "seg:uk"}}


def test_who_comes_back_is_told_as_they_are_now_whatever_another_told(shop: Synced, mailchimp: MailchimpSandbox) -> None:
    segments(shop)
    for path in (shop.root / "segments").iterdir():
        path.write_text(path.read_text().replace("mode: mirror", "mode: add, fields: {TIER: tier}"))
    for day, tier, country in ((2, 0, "UK"), (3, 1, "FR"), (4, 0, "UK")):
        hour(shop, mailchimp, day, OLD, tier=tier, country=country)
        (member,) = mailchimp.audiences[AUDIENCE].members.values()
        assert str(member.fields["TIER"]) == str(tier)
    asked = mailchimp.count
    hour(shop, mailchimp, 5, OLD, tier=0)
    assert mailchimp.count == asked


def test_who_comes_back_while_nobody_heard_that_the_address_was_changed(
    shop: Synced, mailchimp: MailchimpSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments(shop)
    hour(shop, mailchimp, 2, OLD)
    hour(shop, mailchimp, 3, OLD, tier=0)
    ends_as_the_address_is_changed(shop, mailchimp, monkeypatch, 4)
    assert tags(mailchimp) == {NEW: {"seg:uk"}}
    with shop.state.catalog.writing() as connection:  # it is not due when the other is
        connection.execute(SYNCED.update().where(SYNCED.c.action == "update").values(due="2026-01-05T01:00:00.000000+00:00"))
    hour(shop, mailchimp, 5, NEW)
    assert "left" not in states(shop).values()
    hour(shop, mailchimp, 6, NEW)
    assert states(shop) == {"rich": "member", "uk": "member"}
    assert tags(mailchimp) == {NEW: {"seg:rich", "seg:uk"}}


@pytest.mark.parametrize("leaves", ["unsubscribe", pytest.param("archive", marks=FULL), pytest.param("forget", marks=FULL)])
def test_who_left_under_the_former_address_is_not_made_by_another_sync(shop: Synced, mailchimp: MailchimpSandbox, leaves: str) -> None:
    segments(shop)
    hour(shop, mailchimp, 2, OLD, tier=0)
    getattr(mailchimp.people, leaves)(OLD)
    hour(shop, mailchimp, 3, NEW)
    assert NEW not in tags(mailchimp)
    assert states(shop) == {"rich": "left", "uk": "left"}


@pytest.mark.parametrize("archived", [True, pytest.param(False, marks=FULL)])
def test_who_has_another_address_there_is_not_made_anew_by_another_sync(shop: Synced, mailchimp: MailchimpSandbox, archived: bool) -> None:
    segments(shop)
    hour(shop, mailchimp, 2, OLD, tier=0)
    if archived:
        mailchimp.people.archive(OLD)
    mailchimp.people.change_address(OLD, "moved@example.com")
    hour(shop, mailchimp, 3, OLD)
    assert tags(mailchimp) == {"moved@example.com": {"seg:uk"}}
    assert states(shop)["rich"] == "left"
    readded(shop, "a")
    assert tags(mailchimp) == {"moved@example.com": {"seg:uk"}}, "the next delivery tells"
    shop.tell(open=keyed(mailchimp))
    assert tags(mailchimp) == {"moved@example.com": {"seg:uk"}, OLD: {"seg:rich"}}, "somebody said so"


@pytest.mark.parametrize("which", ["klaviyo", "mailchimp"])
@pytest.mark.parametrize("address", [OLD, pytest.param(NEW, marks=FULL)])
def test_who_went_from_one_before_the_other_was_told_is_not_made_anew_by_that(
    shop: Synced, mailchimp: MailchimpSandbox, which: str, address: str
) -> None:
    with KlaviyoSandbox(clock=wall_clock, lists=("Rich", "UK")) as klaviyo:
        segments(shop)
        service: KlaviyoSandbox | MailchimpSandbox = mailchimp
        if which == "klaviyo":
            service = klaviyo
            shop.destinations = f'{{crm: {{type: klaviyo, url: "{klaviyo.url}", key: "${{CRM_KEY}}"}}}}'
            for name, one in zip(("rich", "uk"), klaviyo.lists, strict=True):
                path = shop.root / "segments" / f"{name}.yml"
                path.write_text(path.read_text().replace(f'tag: "seg:{name}"', f"list: {one.id}"))
        shop.people({"id": ["a"], "country": ["UK"], "email": [OLD], "tier": [1], "country_of_birth": ["Y"]})
        shop.hour("2026-01-02", tell=False)
        waits(shop, "rich")
        shop.tell(open=keyed(service))
        assert states(shop) == {"rich": "out", "uk": "member"}
        if which == "klaviyo":
            klaviyo.delete_profile(OLD)
        else:
            mailchimp.people.change_address(OLD, "moved@example.com")
        if address == NEW:
            hour(shop, service, 4, NEW)
        else:
            shop.at("2026-01-04")
            shop.tell(open=keyed(service))
        assert states(shop)["rich"] == "left"
        assert [one.email for one in klaviyo.profiles] == []
        assert set(tags(mailchimp)) - {"moved@example.com"} == set()


# ---------------------------------------------------------------- somebody else had the new address already


def test_a_membership_that_is_handed_over_is_so_in_one_tag_alone(shop: Synced, mailchimp: MailchimpSandbox) -> None:
    segments(shop)
    hour(shop, mailchimp, 2, OLD)
    mailchimp.people.subscribe(NEW)
    hour(shop, mailchimp, 3, NEW, tier=0)
    assert states(shop) == {"rich": "out", "uk": "member"}
    assert tags(mailchimp) == {OLD: set(), NEW: {"seg:uk"}}
    hour(shop, mailchimp, 4, NEW)
    assert states(shop) == {"rich": "member", "uk": "member"}
    assert tags(mailchimp) == {OLD: set(), NEW: {"seg:rich", "seg:uk"}}


def test_a_profile_that_is_added_for_another_is_so_in_one_list_alone(shop: Synced) -> None:
    with KlaviyoSandbox(clock=wall_clock, lists=("Newsletter", "Rich")) as klaviyo:
        shop.destinations = f'{{crm: {{type: klaviyo, url: "{klaviyo.url}", key: "${{CRM_KEY}}"}}}}'
        (shop.root / "segments").mkdir(exist_ok=True)
        for (name, rule, mode), one in zip((("uk", "country = 'UK'", "add"), ("rich", "tier = 1", "mirror")), klaviyo.lists, strict=True):
            entry = f"sync: {{destination: crm, list: {one.id}, existing: send, mode: {mode}}}"
            (shop.root / "segments" / f"{name}.yml").write_text(f'where: "{rule}"\n{entry}\n')
        hour(shop, klaviyo, 2, OLD, tier=0)
        former = called(shop)["uk"]
        hour(shop, klaviyo, 3, OLD, tier=0, country="FR")
        with klaviyo._lock:
            upsert(klaviyo._settled(), {"type": "profile", "attributes": {"email": NEW}})
        hour(shop, klaviyo, 4, NEW, country="FR")
        assert klaviyo.members("Rich") == [NEW]
        assert called(shop)["uk"] == former != called(shop)["rich"]


# ---------------------------------------------------------------- the answer to a change of address is lost


@pytest.fixture
def moved(shop: Synced, mailchimp: MailchimpSandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """An hour in which the address is changed there, and nobody hears of it; `tier` as then. `alone`: one tag is all there is."""
    changed = mailchimp_syncing.Work._readdressed

    def happens(tier: int, *, alone: bool = False) -> None:
        segments(shop)
        if alone:
            (shop.root / "segments" / "rich.yml").unlink()
        hour(shop, mailchimp, 2, OLD)
        with monkeypatch.context() as patch:
            patch.setattr(mailchimp_syncing.Work, "_readdressed", losing(changed))
            hour(shop, mailchimp, 3, NEW, tier=tier)

    return happens


def test_who_was_perhaps_put_in_under_a_former_address_is_there_under_the_new_one_alone(
    shop: Synced, mailchimp: MailchimpSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments(shop)
    tagged = mailchimp_syncing.Work._tagged

    def lost(*args: Any) -> None:
        tagged(*args)
        raise TroubleError(mailchimp_syncing.LOST)

    with monkeypatch.context() as patch:
        patch.setattr(mailchimp_syncing.Work, "_tagged", lost)
        hour(shop, mailchimp, 2, OLD, tier=0)
    assert tags(mailchimp) == {OLD: {"seg:uk"}}
    hour(shop, mailchimp, 3, NEW, tier=0)
    hour(shop, mailchimp, 4, NEW, tier=0)
    assert states(shop) == {"uk": "member"}
    assert tags(mailchimp) == {NEW: {"seg:uk"}}


def test_who_goes_waits_for_what_another_sync_hears(shop: Synced, mailchimp: MailchimpSandbox, moved: Callable[..., None]) -> None:
    moved(0)
    hour(shop, mailchimp, 4, NEW, tier=0)
    assert states(shop) == {"rich": "out", "uk": "member"}
    assert tags(mailchimp) == {NEW: {"seg:uk"}}


def test_who_goes_from_one_and_comes_to_another_goes_before_the_address_is_changed(
    shop: Synced, mailchimp: MailchimpSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments(shop)
    hour(shop, mailchimp, 2, OLD, country="FR")
    assert tags(mailchimp) == {OLD: {"seg:rich"}}
    changed = mailchimp_syncing.Work._readdressed

    def lost(*args: Any) -> None:
        changed(*args)
        raise TroubleError(mailchimp_syncing.LOST)

    with monkeypatch.context() as patch:
        patch.setattr(mailchimp_syncing.Work, "_readdressed", lost)
        hour(shop, mailchimp, 3, NEW, tier=0)
    hour(shop, mailchimp, 4, NEW, tier=0, country="FR")
    assert states(shop) == {"rich": "out", "uk": "out"}
    assert tags(mailchimp) == {NEW: set()}


def test_whose_address_was_perhaps_changed_is_taken_off_once_suppressed(
    shop: Synced, mailchimp: MailchimpSandbox, moved: Callable[..., None]
) -> None:
    shop.further["suppress"] = "\"country_of_birth = 'X'\""
    moved(1, alone=True)
    hour(shop, mailchimp, 4, NEW, born="X")
    assert states(shop) == {"uk": "out"}
    assert tags(mailchimp) == {NEW: set()}


@pytest.mark.parametrize("first", ["rich", "uk"])
def test_the_suppressed_are_taken_off_also_by_a_sync_that_was_never_asked(
    shop: Synced, mailchimp: MailchimpSandbox, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    shop.further["suppress"] = "\"country_of_birth = 'X'\""
    segments(shop)
    hour(shop, mailchimp, 2, OLD)
    shop.people({"id": ["a"], "country": ["UK"], "email": [NEW], "tier": [1], "country_of_birth": ["Y"]})
    shop.hour("2026-01-03", tell=False)
    waits(shop, first)
    with monkeypatch.context() as patch:
        patch.setattr(mailchimp_syncing.Work, "_readdressed", losing(mailchimp_syncing.Work._readdressed))
        shop.tell(open=keyed(mailchimp))
    assert tags(mailchimp) == {NEW: {"seg:rich", "seg:uk"}}
    hour(shop, mailchimp, 4, NEW, born="X")
    assert tags(mailchimp) == {NEW: set()}
    assert states(shop) == {"rich": "out", "uk": "out"}
    hour(shop, mailchimp, 5, NEW)
    assert tags(mailchimp) == {NEW: {"seg:rich", "seg:uk"}}


@pytest.mark.parametrize("why", ["suppressed", pytest.param("gone from the segment", marks=FULL)])
def test_whose_address_was_changed_by_a_sender_that_ended_is_taken_off(
    shop: Synced, mailchimp: MailchimpSandbox, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    shop.further["suppress"] = "\"country_of_birth = 'X'\""
    segments(shop)
    (shop.root / "segments" / "rich.yml").unlink()
    hour(shop, mailchimp, 2, OLD)
    ends_as_the_address_is_changed(shop, mailchimp, monkeypatch, 3)
    out: dict[str, Any] = {"born": "X"} if why == "suppressed" else {"country": "FR"}
    with shop.state.catalog.writing() as connection:  # as a sender that is at work still
        connection.execute(SYNCED.update().values(lease=7))
    hour(shop, mailchimp, 4, NEW, **out)
    hour(shop, mailchimp, 5, NEW, **out)
    assert tags(mailchimp) == {NEW: set()}
    assert states(shop) == {"uk": "out"}


def test_whose_address_was_perhaps_changed_is_taken_off_where_a_sync_is_detached(
    shop: Synced, mailchimp: MailchimpSandbox, moved: Callable[..., None]
) -> None:
    moved(1)
    for name in ("rich", "uk"):
        path = shop.root / "segments" / f"{name}.yml"
        path.write_text(path.read_text().splitlines()[0] + "\n")
    shop.at("2026-01-03T02:00")
    telling = Telling({}, lambda: shop.now, open=keyed(mailchimp), sleep=lambda _: None, draw=lambda: 0.5)
    with shop.state.catalog.writing() as connection:  # the other was not asked for anything
        rich = select(SYNCS.c.id).where(SYNCS.c.segment == "rich").scalar_subquery()
        connection.execute(SYNCED.update().where(SYNCED.c.sync == rich).values(maybe=False))
    found = detach(load(shop.root).require(), shop.state, ("uk", "crm", None), telling, remove=True)
    assert (found.removed, found.left) == (1, 0)
    assert tags(mailchimp)[NEW] == {"seg:rich"}
