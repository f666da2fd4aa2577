"""One person at a service who is two contacts, each in a sync of its own, until one of them gets another address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl
import pytest
from sqlalchemy import select

from segmentry.engine.connectors import mailchimp_syncing
from segmentry.engine.state.schema import SYNCED, SYNCS
from segmentry.engine.state.state import wall_clock
from segmentry.engine.workspace import Workspace
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from segmentry.sandbox.klaviyo_upserts import upsert
from segmentry.sandbox.mailchimp import AUDIENCE, MailchimpSandbox
from tests.syncs.conftest import Synced
from tests.syncs.test_two_tags import losing, tags
from tests.syncs.test_words_services import keyed

FULL = pytest.mark.full
X, A, B = "x@example.com", "a@example.com", "b@example.com"
RULES = {"rich": "tier = 1", "uk": "country = 'UK'"}


@dataclass
class Two:
    """A shop with two segments, each in step with a list or tag of its own; `hour` says who is in which, and with which address."""

    shop: Synced
    service: KlaviyoSandbox | MailchimpSandbox
    modes: tuple[str, str] = ("mirror", "mirror")
    day: int = 1

    def __post_init__(self) -> None:
        (self.shop.root / "segments").mkdir(exist_ok=True)
        self.write()

    def write(self) -> None:
        lists = self.service.lists if isinstance(self.service, KlaviyoSandbox) else ()
        for number, ((name, rule), mode) in enumerate(zip(RULES.items(), self.modes, strict=True)):
            target = f"list: {lists[number].id}" if lists else f'tag: "seg:{name}"'
            entry = f"sync: {{destination: crm, {target}, existing: send, mode: {mode}, fields: {{FNAME: name}}}}"
            (self.shop.root / "segments" / f"{name}.yml").write_text(f'where: "{rule}"\n{entry}\n')

    def enroll(self) -> None:
        """A third segment enrolls whoever comes in, and a fourth in another sequence."""
        self.shop.sequences = "{welcome: {destination: crm, %s}, later: {destination: crm, %s}}" % (
            ("event: Welcome", "event: Later") if isinstance(self.service, KlaviyoSandbox) else ('tag: "enroll:1"', 'tag: "enroll:2"')
        )
        for name, sequence in (("vip", "welcome"), ("late", "later")):
            (self.shop.root / "segments" / f"{name}.yml").write_text(f"where: \"club contains '{name}'\"\nenroll: {sequence}\n")

    def hour(self, tell: bool = True, name: str = "N", **who: tuple[str, str] | None) -> None:
        """A run and a delivery. Of each contact the address and the segments that it is in; who is None is gone."""
        self.day += 1
        there = {key: told for key, told in who.items() if told is not None}
        self.shop.people(
            {
                "id": list(there),
                "email": [address for address, _ in there.values()],
                "country": ["UK" if "uk" in inside else "FR" for _, inside in there.values()],
                "tier": [1 if "rich" in inside else 0 for _, inside in there.values()],
                "name": [name for _ in there],
                "club": [inside for _, inside in there.values()],
            }
        )
        self.shop.hour(f"2026-01-{self.day:02}", tell=False)
        if tell:
            self.tell()

    def tell(self) -> None:
        self.shop.tell(open=keyed(self.service))

    def again(self, **who: tuple[str, str] | None) -> None:
        """Two more hours of the same: what took two steps is done then."""
        self.hour(**who)
        self.hour(**who)

    def leaves(self, address: str) -> None:
        if isinstance(self.service, KlaviyoSandbox):
            self.service.unsubscribe(address)
        else:
            self.service.people.unsubscribe(address)

    @property
    def inside(self) -> dict[str, set[str]]:
        """Of everybody known to the service which segments it has them in."""
        if isinstance(self.service, MailchimpSandbox):
            return {one: {name.removeprefix("seg:") for name in found if name[0] == "s"} for one, found in tags(self.service).items()}
        found: dict[str, set[str]] = {str(one.email): set() for one in self.service.profiles}
        for name, one in zip(RULES, self.service.lists, strict=True):
            for address in self.service.members(one.name):
                found[address].add(name)
        return found

    @property
    def states(self) -> Mapping[tuple[str, str], str]:
        """By segment and contact, but for those of whom nothing is known but that they are out."""
        with self.shop.state.catalog.reading() as connection:
            query = select(SYNCS.c.segment, SYNCED.c.contact, SYNCED.c.state).join(SYNCED, SYNCED.c.sync == SYNCS.c.id)
            return {(row.segment, row.contact): row.state for row in connection.execute(query) if row.state != "out"}


@pytest.fixture(params=["mailchimp", "klaviyo"])
def two(shop: Synced, request: pytest.FixtureRequest) -> Iterator[Two]:
    if request.param == "klaviyo":
        with KlaviyoSandbox(clock=wall_clock, lists=("Rich", "UK")) as klaviyo:
            shop.destinations = f'{{crm: {{type: klaviyo, url: "{klaviyo.url}", key: "${{CRM_KEY}}"}}}}'
            yield Two(shop, klaviyo)
            assert not klaviyo.forbidden
    else:
        with MailchimpSandbox(clock=wall_clock) as mailchimp:
            settings = f'url: "{mailchimp.url}", key: "${{CRM_KEY}}", audience: {AUDIENCE}, new_contacts: transactional'
            shop.destinations = f"{{crm: {{type: mailchimp, {settings}}}}}"
            yield Two(shop, mailchimp)
            assert not mailchimp.forbidden
            assert not mailchimp.resubscribed


# ---------------------------------------------------------------- who left under the address of two


@pytest.mark.parametrize("stays", ["uk rich", pytest.param("rich", marks=FULL)])
def test_who_left_under_an_address_of_two_comes_in_nowhere_under_another(two: Two, stays: str) -> None:
    two.hour(a=(X, "uk"), b=(X, "rich"))
    assert two.inside == {X: {"rich", "uk"}}
    two.leaves(X)
    two.hour(a=(A, stays), b=(X, "rich"))
    two.again(a=(A, stays), b=(X, "rich"))
    assert A not in two.inside
    assert two.states["rich", "a"] == "left"


@FULL
def test_who_stayed_under_an_address_of_two_comes_in_under_another(two: Two) -> None:
    two.hour(a=(X, "uk"), b=(X, "rich"))
    two.hour(a=(A, "uk rich"), b=(X, "rich"))
    two.again(a=(A, "uk rich"), b=(X, "rich"))
    assert two.inside == {X: {"rich"}, A: {"rich", "uk"}}
    assert set(two.states.values()) == {"member"}


# ---------------------------------------------------------------- one of two gets another address


@pytest.mark.parametrize("modes", [("mirror", "mirror"), pytest.param(("add", "add"), marks=FULL)])
def test_another_address_of_one_is_none_of_the_other_s(two: Two, modes: tuple[str, str]) -> None:
    two.modes = modes
    two.write()
    two.hour(a=(X, "uk"), b=(X, "rich"))
    two.hour(a=(X, "uk"), b=(B, "rich"))
    assert two.inside[X] == {"uk"}, "who was b's is a's alone, and in b's list no more"
    two.again(a=(X, "uk"), b=(B, "rich"))
    assert two.inside == {X: {"uk"}, B: {"rich"}}
    assert two.states == {("uk", "a"): "member", ("rich", "b"): "member"}
    two.hour(name="M", a=(X, "uk"), b=(B, "rich"))  # and each is told of as itself from now on
    two.hour(name="M", a=(A, "uk"), b=(B, "rich"))
    assert two.inside == {A: {"uk"}, B: {"rich"}}
    assert two.states == {("uk", "a"): "member", ("rich", "b"): "member"}


@FULL
def test_both_may_get_another_address(two: Two) -> None:
    two.hour(a=(X, "uk"), b=(X, "rich"))
    two.hour(a=(A, "uk"), b=(B, "rich"))
    two.again(a=(A, "uk"), b=(B, "rich"))
    assert {address: found for address, found in two.inside.items() if found} == {A: {"uk"}, B: {"rich"}}
    assert two.states == {("uk", "a"): "member", ("rich", "b"): "member"}


@FULL
def test_who_gets_another_address_while_the_other_is_out(two: Two) -> None:
    two.hour(a=(X, "uk"), b=(X, "rich"))
    two.hour(a=(X, ""), b=(X, "rich"))
    two.hour(a=(X, ""), b=(B, "rich"))
    two.again(a=(X, "uk"), b=(B, "rich"))
    assert two.inside == {X: {"uk"}, B: {"rich"}}


@FULL
def test_who_has_the_former_address_in_the_same_sync_keeps_it(two: Two) -> None:
    two.modes = ("add", "add")
    two.write()
    two.hour(a=(X, "uk rich"), b=(X, "rich"))
    two.hour(a=(X, "uk"), b=(X, "rich"))
    two.hour(a=(X, "uk rich"), b=(B, "rich"))
    two.again(a=(X, "uk rich"), b=(B, "rich"))
    assert two.inside == {X: {"uk", "rich"}, B: {"rich"}}


@FULL
def test_who_was_taken_off_under_the_former_address_stays_off(two: Two) -> None:
    two.hour(a=(X, "uk"), b=(X, "rich"))
    if isinstance(two.service, KlaviyoSandbox):
        two.service.remove_from_list("Rich", X)
    else:
        two.service.people.untag(X, "seg:rich")
    two.hour(a=(X, "uk"), b=(B, "rich"))
    two.again(a=(X, "uk"), b=(B, "rich"))
    assert two.states["rich", "b"] == "left"
    assert two.inside == {X: {"uk"}}


def test_who_unsubscribes_between_the_two_steps_is_not_made_anew(two: Two) -> None:
    two.hour(a=(X, "uk"), b=(X, "rich"))
    two.hour(a=(X, "uk"), b=(B, "rich"))
    two.leaves(X)
    two.again(a=(X, "uk"), b=(B, "rich"))
    assert B not in two.inside
    assert two.states["rich", "b"] == "left"


@FULL
def test_of_three_each_goes_its_own_way(two: Two) -> None:
    two.hour(a=(X, "uk"), b=(X, "rich"), c=(X, "uk"))
    two.hour(a=(A, "uk"), b=(X, "rich"), c=(X, "uk"))
    two.again(a=(A, "uk"), b=(X, "rich"), c=(X, "uk"))
    assert two.inside == {X: {"uk", "rich"}, A: {"uk"}}
    two.hour(a=(A, "uk"), b=(B, "rich"), c=(X, "uk"))
    two.again(a=(A, "uk"), b=(B, "rich"), c=(X, "uk"))
    assert two.inside == {X: {"uk"}, A: {"uk"}, B: {"rich"}}
    assert set(two.states.values()) == {"member"}


@FULL
def test_by_another_name_of_a_segment_the_other_is_known_too(two: Two) -> None:
    two.hour(a=(X, "uk"), b=(X, "rich"))
    path = two.shop.root / "segments" / "uk.yml"
    path.rename(path.with_name("britain.yml"))
    renamed = path.with_name("britain.yml")
    renamed.write_text(renamed.read_text() + "renamed_from: uk\n")
    two.hour(a=(X, "uk"), b=(B, "rich"))
    two.again(a=(X, "uk"), b=(B, "rich"))
    assert two.inside == {X: {"uk"}, B: {"rich"}}


@pytest.mark.parametrize("modes", [("mirror", "mirror"), pytest.param(("add", "add"), marks=FULL)])
def test_who_comes_back_with_an_address_whose_person_another_is_by_now(two: Two, modes: tuple[str, str]) -> None:
    two.modes = modes
    two.write()
    two.hour(a=(X, "uk"), b=(X, "rich"))
    two.hour(a=(X, "uk"), b=(X, ""))
    two.again(a=(X, "uk"), b=None)
    two.hour(a=(A, "uk"), b=None)
    two.again(a=(A, "uk"), b=(X, "rich"))
    assert two.inside[A] >= {"uk"}
    assert two.inside[X] == {"rich"}
    assert two.states == {("uk", "a"): "member", ("rich", "b"): "member"}


def test_who_comes_back_while_nobody_heard_that_its_person_became_another_s(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two.hour(a=(X, "uk"), b=(X, "rich"))
    two.hour(a=(X, "uk"), b=(X, ""))
    two.again(a=(X, "uk"), b=None)
    with monkeypatch.context() as patch:
        patch.setattr(mailchimp_syncing.Work, "_readdressed", losing(mailchimp_syncing.Work._readdressed))
        two.hour(a=(A, "uk"), b=None)
    with two.shop.state.catalog.writing() as connection:  # and it is not asked for again before
        connection.execute(SYNCED.update().where(SYNCED.c.action == "update").values(due="2026-02-01T00:00:00.000000+00:00"))
    two.hour(a=(A, "uk"), b=(X, "rich"))
    assert two.inside == {A: {"uk"}, X: {"rich"}}
    assert two.states["rich", "b"] == "member"


@FULL
def test_who_is_forgotten_is_nobody_else(two: Two) -> None:
    two.hour(a=(X, "uk"), b=(X, "rich"))
    Workspace.open(two.shop.root).forget(["a"])
    two.hour(b=(X, "rich"))
    two.hour(b=(B, "rich"))
    assert B in two.inside
    assert X not in two.inside


@FULL
def test_a_sync_that_is_said_no_more_keeps_its_people(two: Two) -> None:
    two.hour(a=(X, "uk"), b=(X, "rich"))
    (two.shop.root / "segments" / "uk.yml").write_text("where: country = 'UK'\n")
    two.hour(a=(X, "uk"), b=(B, "rich"))
    two.again(a=(X, "uk"), b=(B, "rich"))
    assert two.inside == {X: {"uk"}, B: {"rich"}}


@FULL
def test_a_merged_contact_is_the_same_person(two: Two) -> None:
    two.hour(a=(X, "uk"), b=(X, "rich"))
    pl.DataFrame({"old_key": ["a"], "new_key": ["b"]}).write_parquet(two.shop.root / "aliases.parquet")
    two.hour(b=(X, "uk rich"))
    two.hour(b=(B, "uk rich"))
    assert two.inside == {B: {"uk", "rich"}}, "the same person has another address there"


@pytest.mark.parametrize("others", [{}, pytest.param({"b": (B, "")}, marks=FULL)])
def test_a_merged_contact_that_is_in_the_file_still_shares_no_name_with_itself(two: Two, others: dict[str, tuple[str, str]]) -> None:
    two.modes = ("add", "add")
    two.write()
    two.hour(a=(X, "uk rich"), **others)
    pl.DataFrame({"old_key": ["a"], "new_key": ["b"]}).write_parquet(two.shop.root / "aliases.parquet")
    two.hour(a=(X, "uk rich"), **others)
    two.hour(a=(A, "uk rich"), **others)
    assert two.inside == {A: {"uk", "rich"}}, "the same person has another address there"


# ---------------------------------------------------------------- enrollments


@pytest.fixture
def enrolling(two: Two) -> Two:
    two.enroll()
    return two


def comes(two: Two, address: str) -> None:
    """A person has come to the service without us."""
    if isinstance(two.service, KlaviyoSandbox):
        with two.service._lock:
            upsert(two.service._settled(), {"type": "profile", "attributes": {"email": address}})
    else:
        two.service.people.subscribe(address)


def test_who_left_under_an_address_before_being_told_is_not_enrolled_under_another(enrolling: Two) -> None:
    comes(enrolling, X)
    enrolling.hour(a=(X, ""))
    enrolling.hour(tell=False, a=(X, "vip"))
    enrolling.leaves(X)
    enrolling.hour(a=(A, "vip"))
    assert enrolling.shop.ledger() == [("a", 1, "rejected")]
    assert "former address" in str(enrolling.shop.reasons()["a"])
    assert A not in enrolling.inside


@pytest.mark.parametrize("first", ["uk", "late"])
def test_who_left_under_an_address_that_was_told_is_not_enrolled_under_another(enrolling: Two, first: str) -> None:
    enrolling.hour(a=(X, ""))
    enrolling.hour(a=(X, first))
    enrolling.leaves(X)
    enrolling.hour(a=(A, f"{first} vip"))
    assert enrolling.shop.ledger("welcome") == [("a", 1, "rejected")]
    assert A not in enrolling.inside


@pytest.mark.parametrize("first", ["uk", pytest.param("late", marks=FULL)])
def test_who_has_another_address_and_did_not_leave_is_enrolled_under_it(enrolling: Two, first: str) -> None:
    enrolling.hour(a=(X, ""))
    enrolling.hour(a=(X, first))
    enrolling.hour(tell=False, a=(X, f"{first} vip"))
    enrolling.hour(a=(A, f"{first} vip"))
    assert enrolling.shop.ledger("welcome") == [("a", 1, "sent")]
    assert A in enrolling.inside


def test_an_enrollment_gives_nobody_the_address_of_another_contact(enrolling: Two) -> None:
    enrolling.hour(a=(X, "uk"), b=(X, ""))
    enrolling.hour(a=(X, "uk"), b=(X, "rich"))
    enrolling.hour(a=(X, "uk"), b=(B, "rich vip"))
    assert enrolling.inside[X] == {"uk"}
    assert enrolling.shop.ledger() == [("b", 1, "sent")]
    enrolling.again(a=(X, "uk"), b=(B, "rich vip"))
    assert enrolling.inside == {X: {"uk"}, B: {"rich"}}
    assert set(enrolling.states.values()) == {"member"}
