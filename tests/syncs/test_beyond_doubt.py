"""What is beyond doubt where other things are not: a change of a field removes nobody, and what is settled is not kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from segmentry.engine.connectors import klaviyo_importing, mailchimp_syncing
from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.klaviyo_client import LaterError, RefusedError
from segmentry.engine.connectors.klaviyo_work import Work
from segmentry.engine.connectors.mailchimp_line import TroubleError
from segmentry.engine.connectors.mailchimp_tags import Tags
from segmentry.engine.connectors.memory import MemoryDestination
from segmentry.engine.state.catalog import open_catalog
from segmentry.engine.state.schema import SYNCED
from segmentry.sandbox.mailchimp import MailchimpSandbox
from tests.syncs.conftest import Synced
from tests.syncs.test_perhaps import raising, removed_unheard
from tests.syncs.test_shared_addresses import A, B, Two, X, two
from tests.syncs.test_words import by

__all__ = ["two"]
OTHER = ("other@example.com", "uk rich")
mailchimp = pytest.mark.parametrize("two", ["mailchimp"], indirect=True)


def a_field_is_changed_unheard_and_then_refused(two: Two, monkeypatch: pytest.MonkeyPatch, **who: tuple[str, str]) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(mailchimp_syncing.Work, "_update", raising(TroubleError(mailchimp_syncing.LOST)))
        patch.setattr(klaviyo_importing, "_import_one", raising(LaterError("the answer is lost", maybe=True)))
        two.hour(name="M", **who)
    with monkeypatch.context() as patch:
        patch.setattr(mailchimp_syncing.Work, "_changed", lambda *_: Answer(Verdict.REJECTED, "a value that can't be"))
        patch.setattr(klaviyo_importing, "_import_one", raising(RefusedError(400, ({"code": "invalid", "title": "Invalid input."},))))
        two.hour(name="M", **who)


def not_removed_unheard(two: Two, monkeypatch: pytest.MonkeyPatch, **who: tuple[str, str]) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Work, "relate", raising(LaterError("the answer is lost", maybe=True)))
        patch.setattr(Tags, "take_off", raising(TroubleError(mailchimp_syncing.LOST)))
        two.hour(**who)


def taken_off(two: Two, address: str) -> None:
    """By somebody's hand."""
    if isinstance(two.service, MailchimpSandbox):
        two.service.people.untag(address, "seg:rich")
    else:
        two.service.remove_from_list(two.service.lists[0].name, address)


def hour_of_the_same_day(two: Two, clock: str, **who: tuple[str, str] | None) -> None:
    """As `Two.hour`, within the day that whoever is gone from the snapshot is waited for."""
    there = {key: told for key, told in who.items() if told is not None}
    columns: dict[str, Callable[[str, str], Any]] = {
        "email": lambda address, _: address,
        "country": lambda _, inside: "UK" if "uk" in inside else "FR",
        "tier": lambda _, inside: 1 if "rich" in inside else 0,
        "name": lambda *_: "M",
        "club": lambda _, inside: inside,
    }
    two.shop.people({"id": list(there), **{name: [of(*told) for told in there.values()] for name, of in columns.items()}})
    two.shop.hour(f"2026-01-{two.day:02}T{clock}", tell=False)
    two.tell()


def test_who_is_taken_off_by_hand_while_a_removal_waits_that_was_never_asked_for(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of a field was in doubt, and then refused; gone for an hour, and back outside: a removal is planned twice."""
    two.hour(a=(A, "uk rich"), b=OTHER)
    a_field_is_changed_unheard_and_then_refused(two, monkeypatch, a=(A, "uk rich"), b=OTHER)
    hour_of_the_same_day(two, "02:00", a=None, b=OTHER)
    taken_off(two, A)
    hour_of_the_same_day(two, "03:00", a=(A, "uk"), b=OTHER)
    hour_of_the_same_day(two, "04:00", a=(A, "uk rich"), b=OTHER)
    hour_of_the_same_day(two, "05:00", a=(A, "uk rich"), b=OTHER)
    assert two.states["rich", "a"] == "left"
    assert "rich" not in two.inside[A]


def test_who_comes_back_in_doubt_under_another_address_comes_under_that_alone(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """The former address is somebody's by now who is suppressed."""
    two.shop.further["suppress"] = "\"club contains 'stop'\""
    two.hour(a=(X, "rich"), b=(B, ""))
    removed_unheard(two, monkeypatch, a=(X, ""), b=(B, ""))
    two.hour(tell=False, a=(X, "rich"), b=(B, ""))
    two.hour(tell=False, a=(A, "rich"), b=(X, "stop"))
    two.tell()
    assert not two.inside.get(X)
    two.again(a=(A, "rich"), b=(X, "stop"))
    assert not two.inside.get(X)
    assert two.inside[A] == {"rich"}


def test_who_is_perhaps_out_is_ours_where_the_sync_starts_anew(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not let be: whom the sync put in, and perhaps took off, it takes off in the end."""
    path = two.shop.root / "segments" / "rich.yml"
    path.write_text(path.read_text().replace("existing: send", "existing: skip"))
    two.hour(a=(A, "uk"), b=OTHER)
    two.hour(a=(A, "uk rich"), b=OTHER)
    not_removed_unheard(two, monkeypatch, a=(A, "uk"), b=OTHER)
    two.hour(tell=False, a=(A, "uk rich"), b=OTHER)
    two.shop.deliver = False
    two.hour(tell=False, a=(A, "uk rich"), b=OTHER)
    two.shop.deliver = True
    two.hour(a=(A, "uk rich"), b=OTHER)
    two.again(a=(A, "uk"), b=OTHER)
    assert "rich" not in two.inside[A]


def test_the_address_of_who_is_acknowledged_under_it_is_not_kept(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two.hour(a=(A, "uk"), b=OTHER)
    a_field_is_changed_unheard_and_then_refused(two, monkeypatch, a=(A, "uk"), b=OTHER)
    with two.shop.state.catalog.reading() as connection:
        kept = [row for row in connection.execute(select(SYNCED)) if row.payload is not None or row.maybe]
    assert kept == []


@mailchimp
def test_who_is_gone_from_the_audience_has_left_though_a_field_was_once_in_doubt(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two.hour(a=(A, "uk"), b=OTHER)
    a_field_is_changed_unheard_and_then_refused(two, monkeypatch, a=(A, "uk"), b=OTHER)
    two.service.people.change_address(A, "moved@example.com")
    two.hour(name="M", a=(A, "uk rich"), b=OTHER)
    assert two.states["rich", "a"] == "left"
    assert A not in two.inside


@pytest.mark.parametrize(("gone", "planned"), [(False, False), (True, False), (False, True)])
def test_who_was_taken_off_is_not_put_back_as_another_contact_that_was_out(two: Two, gone: bool, planned: bool) -> None:
    """The other one has the address now, and was in before under one of its own: it goes on as the member, as a new one would."""
    two.hour(a=(X, "rich"), b=(B, "rich"))
    two.hour(a=(X, "rich"), b=(B, ""))
    taken_off(two, X)
    if planned:
        two.hour(tell=False, a=(X, "rich"), b=(B, "rich"), c=OTHER)
    two.again(a=None if gone else (X, ""), b=(X, "rich"), c=OTHER)
    assert "rich" not in two.inside[X]


def test_reading_back_takes_nobody_for_left_who_may_be_out_by_us(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.syncs.test_words import reconciled
    from tests.syncs.test_words_services import keyed

    two.hour(a=(A, "uk rich"), b=OTHER)
    removed_unheard(two, monkeypatch, a=(A, "uk"), b=OTHER)
    two.hour(tell=False, a=(A, "uk rich"), b=OTHER)
    reconciled(two.shop, opened=keyed(two.service))
    two.again(a=(A, "uk rich"), b=OTHER)
    assert two.inside[A] == {"uk", "rich"}


class Portal(MemoryDestination):
    """Somebody's connector: one account of which each destination is something else, and it says no place."""

    def account(self) -> str:
        return "portal-1"


def test_a_connector_that_says_no_place_may_stand_by_several_names(shop: Synced) -> None:
    shop.destinations = "{crm: {type: memory, needs_address: true}, mail: {type: memory, needs_address: true}}"
    shop.sync()
    entry = "sync: {destination: mail, list: others, existing: send}"
    (shop.root / "segments" / "fr.yml").write_text(f"where: \"country = 'FR'\"\n{entry}\n")
    shop.people({"id": ["a", "b"], "country": ["UK", "FR"]})
    shop.hour("2026-01-02", tell=False)
    found = shop.tell(open=by(Portal))
    assert [one.synced for one in found.destinations.values()] == [1, 1]


def test_a_catalog_of_before_knows_who_may_be_out(shop: Synced) -> None:
    """Members who were to be removed and may have been, and those of them who were to be added again."""
    shop.sync()
    shop.people({"id": ["a", "b", "c"], "country": ["UK", "UK", "UK"]})
    shop.hour("2026-01-02")
    folder = shop.state.folder
    del shop.state
    connection = sqlite3.connect(folder / "catalog.sqlite")
    connection.executescript(
        "alter table destinations drop column place; alter table synced drop column perhaps_out;"
        "drop index ix_synced_former; alter table synced drop column former_ids; alter table synced drop column left_before;"
        "update alembic_version set version_num = '0005';"
        "update synced set action = 'remove', maybe = 1 where contact = 'a';"
        "update synced set action = 'add', maybe = 1 where contact = 'b';"
    )
    connection.close()
    with open_catalog(folder, create=False).reading() as opened:
        found = {row.contact: bool(row.perhaps_out) for row in opened.execute(select(SYNCED))}
    assert found == {"a": True, "b": True, "c": False}
