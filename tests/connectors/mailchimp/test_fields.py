"""Merge fields: made where missing, of the type of their values, and each value as the service takes it."""

from __future__ import annotations

from typing import Any

import pytest

from segmentry.engine.connectors.destination import DestinationStopped, Verdict
from segmentry.engine.connectors.mailchimp_fields import said, type_of
from segmentry.engine.connectors.mailchimp_people import hash_of
from segmentry.engine.connectors.syncing import Action
from tests.connectors.mailchimp.conftest import NEW_FIELD, Shop, change, only, verdicts


@pytest.mark.parametrize(
    ("values", "type"),
    [
        ([1, 2.5], "number"),
        ([1, None], "number"),
        ([1, "1"], "text"),
        ([True], "text"),
        (["2026-11-23"], "date"),
        (["2026-11-23", "soon"], "text"),
        (["2026-11-23T18:00:00Z"], "text"),
        (["Ada"], "text"),
        ([None], "text"),
        ([], "text"),
    ],
)
def test_a_new_field_is_of_the_type_of_its_values(values: list[Any], type: str) -> None:
    assert type_of(values) == type


@pytest.mark.parametrize(
    ("value", "type", "expected"),
    [
        (None, "text", ""),
        (None, "number", ""),
        (True, "text", "true"),
        (False, "number", "false"),
        (3, "number", 3),
        (2.5, "number", 2.5),
        (3, "text", "3"),
        (float("inf"), "number", "inf"),
        ("Ada", "text", "Ada"),
        ("2026-11-23T18:00:00Z", "date", "2026-11-23"),
        ("2026-11-23", "birthday", "11-23".replace("-", "/")),
        ("soon", "date", "soon"),
        (["a", "b"], "text", '["a", "b"]'),
    ],
)
def test_a_value_is_said_as_its_field_takes_it(value: Any, type: str, expected: Any) -> None:
    assert said(value, type) == expected


def test_fields_that_are_missing_are_made_once(shop: Shop) -> None:
    values = {"FNAME": "Ada", "LTV": 3, "SINCE": "2026-01-31", "VIP": True, "NOTE": None}
    assert only(shop.add("ada@example.com", **values)).verdict is Verdict.SENT
    assert only(shop.add("bo@example.com", **values)).verdict is Verdict.SENT
    types = {tag: shop.audience.fields[tag].type for tag in values}
    assert types == {"FNAME": "text", "LTV": "number", "SINCE": "date", "VIP": "text", "NOTE": "text"}
    assert shop.asked(NEW_FIELD) == 4
    assert shop.audience.members[hash_of("ada@example.com")].fields == {"FNAME": "Ada", "LTV": 3, "SINCE": "2026-01-31", "VIP": "true"}


def test_a_value_that_goes_is_cleared(shop: Shop) -> None:
    shop.add("ada@example.com", FNAME="Ada", LTV=3)
    assert only(shop.add("ada@example.com", FNAME=None, LTV=None)).verdict is Verdict.SENT
    assert shop.audience.members[hash_of("ada@example.com")].fields == {}


def test_the_type_of_a_field_is_told_from_the_whole_batch(shop: Shop) -> None:
    answers = shop.sync(Action.ADD, change("ada@example.com", SIZE=38), change("bo@example.com", SIZE="XL"))
    assert verdicts(answers) == [Verdict.SENT, Verdict.SENT]
    assert shop.audience.members[hash_of("ada@example.com")].fields == {"SIZE": "38"}


@pytest.mark.parametrize("name", ["fname", "LIFETIMEVALUE", "1ST", "É", "A B", ""])
def test_a_name_that_no_field_can_have_stops_the_destination_and_is_named(shop: Shop, name: str) -> None:
    with pytest.raises(DestinationStopped, match="can't be a merge field") as stopped:
        shop.sync(Action.ADD, change("ada@example.com", **{name: 1}))
    assert f"`{name}`" in str(stopped.value)
    assert shop.member("ada@example.com") is None


def test_a_field_that_somebody_made_meanwhile_is_of_their_type(shop: Shop) -> None:
    from segmentry.sandbox.mailchimp_state import MergeField

    shop.upon(NEW_FIELD, lambda: shop.service.world.put_field(shop.audience, MergeField(9, "LTV", "Value", "text")))
    assert only(shop.add("ada@example.com", LTV=3)).verdict is Verdict.SENT
    assert shop.audience.members[hash_of("ada@example.com")].fields == {"LTV": "3"}
