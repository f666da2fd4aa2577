"""Contacts who share an address: one membership, which somebody has as long as anybody should, and nobody by another's suppression."""

from __future__ import annotations

import polars as pl
import pytest
from sqlalchemy import select, update

from segmentry.engine.state.schema import SYNCED
from tests.syncs.conftest import LIST, Synced

ONE, TWO = "one@x.example", " ONE@x.example"
UK, FR = "UK", "FR"


def two(shop: Synced, first: str, second: str, *, at: str, second_born: str = "Y", second_email: str = TWO, tell: bool = True) -> None:
    """An hour with two contacts, of one address unless it is said."""
    births = ["Y", second_born]
    shop.people(pl.DataFrame({"id": ["a", "b"], "country": [first, second], "email": [ONE, second_email], "country_of_birth": births}))
    shop.hour(at, tell=tell)


@pytest.mark.parametrize("twin", [UK, FR])
def test_nobody_suppressed_gets_on_a_list_by_another_contact_with_the_address(shop: Synced, twin: str) -> None:
    shop.further["suppress"] = "\"country_of_birth = 'X'\""
    shop.sync()
    two(shop, UK, twin, second_born="X", at="2026-01-02")
    assert shop.members == set()
    assert shop.memory.synced == []
    two(shop, UK, twin, at="2026-01-03")
    assert shop.members == {"a"}


def test_whose_address_is_suppressed_by_another_contact_goes_off_the_list(shop: Synced) -> None:
    shop.further["suppress"] = "\"country_of_birth = 'X'\""
    shop.sync()
    two(shop, UK, FR, at="2026-01-02")
    assert shop.members == {"a"}
    two(shop, UK, FR, second_born="X", at="2026-01-03")
    assert shop.members == set()


def test_who_was_let_be_has_the_membership_after_the_one_who_goes(shop: Synced) -> None:
    shop.sync("existing: skip, mode: mirror")
    two(shop, FR, UK, at="2026-01-02", second_email="two@x.example")
    two(shop, UK, UK, at="2026-01-03", second_email="two@x.example")
    assert shop.members == {"a"}
    two(shop, UK, UK, at="2026-01-04")  # b has the address of a by now
    two(shop, FR, UK, at="2026-01-05")
    assert len(shop.members) == 1
    assert {contact: state for contact, (state, _) in shop.rows().items()} == {"a": "out", "b": "member"}
    two(shop, FR, FR, at="2026-01-06")
    assert shop.members == set()


def test_a_hash_is_of_the_attributes_beside_it_also_of_who_is_let_be(shop: Synced) -> None:
    shop.sync("existing: skip")
    two(shop, UK, FR, at="2026-01-02", second_email="two@x.example")
    with shop.state.catalog.writing() as connection:  # as of somebody who was taken out under another address
        out = {"state": "out", "address_hash": "former", "fingerprint": None}
        connection.execute(update(SYNCED).where(SYNCED.c.contact == "a").values(**out))
        connection.exec_driver_sql("update syncs set answer = null")
    two(shop, UK, FR, at="2026-01-03", second_email="two@x.example")
    with shop.state.catalog.reading() as connection:
        state, hash = connection.execute(select(SYNCED.c.state, SYNCED.c.address_hash).where(SYNCED.c.contact == "a")).one()
    assert state == "baseline"
    assert hash != "former"
    assert shop.memory.people(LIST) == {}


def test_who_was_let_be_takes_nothing_over_from_who_stays_without_an_address(shop: Synced) -> None:
    shop.sync("existing: skip, mode: mirror")
    two(shop, FR, UK, at="2026-01-02", second_email="two@x.example")
    two(shop, UK, UK, at="2026-01-03", second_email="two@x.example")
    shop.people(pl.DataFrame({"id": ["a", "b"], "country": [UK, UK], "email": [None, ONE], "country_of_birth": ["Y", "Y"]}))
    shop.hour("2026-01-04")
    assert {contact: state for contact, (state, _) in shop.rows().items()} == {"a": "member", "b": "baseline"}


def test_who_was_let_be_is_put_in_where_the_one_who_goes_may_be_out_already(shop: Synced) -> None:
    shop.sync("existing: skip, mode: mirror")
    two(shop, FR, UK, at="2026-01-02", second_email="two@x.example")
    two(shop, UK, UK, at="2026-01-03", second_email="two@x.example")
    two(shop, FR, UK, at="2026-01-04", second_email="two@x.example", tell=False)
    with shop.state.catalog.writing() as connection:  # taken out, and the answer is lost
        lost = {"maybe": True, "perhaps_out": True, "attempts": 1, "due": "2026-01-05T23:00:00.000000+00:00"}
        connection.execute(update(SYNCED).where(SYNCED.c.contact == "a").values(lost))
    for person in shop.memory.people(LIST).values():
        person.inside = False
    two(shop, FR, UK, at="2026-01-05")
    assert len(shop.members) == 1
    assert {contact: state for contact, (state, _) in shop.rows().items()} == {"a": "out", "b": "member"}
