"""Profiles at the Klaviyo stand-in: whom a request means, what it changes, and how profiles are found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import Asker, errors

# ---------------------------------------------------------------- making and changing


def test_new_then_known(klaviyo: Asker) -> None:
    first = klaviyo.upsert(email="ada@example.com", external_id="c_1", first_name="Ada", properties={"ltv_band": "high"})
    again = klaviyo.upsert(external_id="c_1", last_name="Lovelace")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["data"]["id"] == again.json()["data"]["id"]
    told = again.json()["data"]["attributes"]
    assert (told["email"], told["first_name"], told["last_name"]) == ("ada@example.com", "Ada", "Lovelace")
    assert told["properties"] == {"ltv_band": "high"}


def test_null_clears_and_what_is_left_out_stays(klaviyo: Asker) -> None:
    klaviyo.upsert(email="a@x.io", first_name="Ada", last_name="L", properties={"a": 1, "b": 2}, location={"city": "Paris", "zip": "75"})
    told = klaviyo.upsert(email="a@x.io", first_name=None, properties={"a": None}, location={"zip": None}).json()["data"]["attributes"]
    assert (told["first_name"], told["last_name"], told["properties"]) == (None, "L", {"b": 2})
    assert (told["location"]["city"], told["location"]["zip"]) == ("Paris", None)
    assert klaviyo.upsert(email="a@x.io", properties=None).json()["data"]["attributes"]["properties"] == {}


def test_an_address_is_the_same_however_it_is_written(klaviyo: Asker) -> None:
    assert klaviyo.id(email="Ada@Example.com") == klaviyo.id(email=" ada@example.COM ")


def test_a_known_key_with_a_new_address_is_the_same_profile(klaviyo: Asker) -> None:
    id = klaviyo.id(email="old@x.io", external_id="c_1")
    assert klaviyo.id(email="new@x.io", external_id="c_1") == id
    assert klaviyo.sandbox.profile("old@x.io") is None
    assert klaviyo.id(email="old@x.io") != id  # the former address is nobody's


@pytest.mark.parametrize("told", [{"email": "a@x.io", "external_id": "c_2"}, {"email": "a@x.io", "phone_number": "+15005550006"}])
def test_identifiers_of_two_profiles_are_refused(klaviyo: Asker, told: dict[str, str]) -> None:
    klaviyo.id(email="a@x.io", external_id="c_1")
    klaviyo.id(external_id="c_2", phone_number="+15005550006")
    answer = klaviyo.upsert(first_name="X", **told)
    assert answer.status_code == 409
    assert errors(answer) == [("duplicate_profile", "/data/attributes")]
    assert [one.attributes.get("first_name") for one in klaviyo.sandbox.profiles] == [None, None]


@pytest.mark.parametrize(
    ("told", "place"),
    [
        ({"first_name": "Nobody"}, "/data/attributes"),
        ({"email": "no address"}, "/data/attributes/email"),
        ({"email": "a@b"}, "/data/attributes/email"),
        ({"email": "a@x.io", "phone_number": "0123"}, "/data/attributes/phone_number"),
        ({"email": "a@x.io", "frist_name": "Ada"}, "/data/attributes/frist_name"),
        ({"email": 7}, "/data/attributes/email"),
        ({"email": "a@x.io", "location": {"town": "Paris"}}, "/data/attributes/location/town"),
        ({"email": "a@x.io", "properties": ["a"]}, "/data/attributes/properties"),
        ({"email": "a@x.io", "subscriptions": {"email": {"marketing": {"consent": "SUBSCRIBED"}}}}, "/data/attributes/subscriptions"),
    ],
)
def test_what_can_not_be_is_refused_with_its_place(klaviyo: Asker, told: Any, place: str) -> None:
    answer = klaviyo.upsert(**told)
    assert (answer.status_code, errors(answer)) == (400, [("invalid", place)])
    assert klaviyo.sandbox.profiles == []


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "/data"),
        ({"data": {"attributes": {"email": "a@x.io"}}}, "/data/type"),
        ({"data": {"type": "profile"}}, "/data/attributes"),
        ({"data": {"type": "profil", "attributes": {"email": "a@x.io"}}}, "/data/type"),
        ({"data": {"type": "profile", "attributes": {"email": "a@x.io"}, "relationships": {}}}, "/data/relationships"),
        ([], "/"),
    ],
)
def test_a_body_of_another_shape_is_refused(klaviyo: Asker, body: Any, place: str) -> None:
    answer = klaviyo.ask("POST", "/api/profile-import", body)
    assert answer.status_code == 400
    assert [found for _, found in errors(answer)] == [place]


def test_the_last_identifier_is_not_cleared(klaviyo: Asker) -> None:
    id = klaviyo.id(email="a@x.io")
    answer = klaviyo.ask("POST", "/api/profile-import", {"data": {"type": "profile", "id": id, "attributes": {"email": None}}})
    assert answer.status_code == 400
    assert klaviyo.sandbox.profile("a@x.io") is not None


def test_the_customer_s_properties_are_patched(klaviyo: Asker) -> None:
    klaviyo.upsert(email="a@x.io", properties={"tags": ["a", "b"], "old": 1, "older": 2})
    patch = {"append": {"tags": "c"}, "unappend": {"tags": ["a"]}, "unset": ["old", "older", "none"]}
    told = {"type": "profile", "attributes": {"email": "a@x.io"}, "meta": {"patch_properties": patch}}
    answer = klaviyo.ask("POST", "/api/profile-import", {"data": told})
    assert answer.json()["data"]["attributes"]["properties"] == {"tags": ["b", "c"]}


def test_more_than_100_kilobytes_are_refused(klaviyo: Asker) -> None:
    assert klaviyo.upsert(email="a@x.io", properties={"long": "x" * 110_000}).status_code == 413


def test_a_profile_that_is_made_must_be_new(klaviyo: Asker) -> None:
    told = {"data": {"type": "profile", "attributes": {"email": "a@x.io"}}}
    assert [klaviyo.ask("POST", "/api/profiles", told).status_code for _ in range(2)] == [201, 409]


def test_an_address_that_the_service_takes_for_none(klaviyo: Asker) -> None:
    klaviyo.sandbox.make_invalid("Bad@x.io")
    assert errors(klaviyo.upsert(email="bad@X.io")) == [("invalid", "/data/attributes/email")]


# ---------------------------------------------------------------- finding


def test_found_by_addresses_and_keys(klaviyo: Asker) -> None:
    ids = [klaviyo.id(email=f"p{n}@x.io", external_id=f"c_{n}") for n in range(4)]

    def found(filter: str) -> list[str]:
        return [one["id"] for one in klaviyo.data("/api/profiles", filter=filter)]

    assert found('equals(email,"P1@x.io")') == [ids[1]]
    assert found('any(email,["p2@x.io","nobody@x.io","p0@x.io"])') == [ids[2], ids[0]]
    assert found("any(external_id,['c_3'])") == [ids[3]]
    assert found(f'any(id,["{ids[0]}","gone"])') == [ids[0]]
    assert found('equals(email,"p1@x.io"),equals(external_id,"c_1")') == [ids[1]]
    assert found('and(equals(email,"p1@x.io"),equals(external_id,"c_2"))') == []


def test_an_address_with_a_quote_is_found(klaviyo: Asker) -> None:
    id = klaviyo.id(email="o'hara@x.io")
    assert [one["id"] for one in klaviyo.data("/api/profiles", filter='any(email,["o\'hara@x.io"])')] == [id]


def test_found_by_when_they_were_made(klaviyo: Asker) -> None:
    klaviyo.id(email="a@x.io")
    klaviyo.clock.move(60)
    late = klaviyo.id(email="b@x.io")
    assert [one["id"] for one in klaviyo.data("/api/profiles", filter="greater-than(created,2026-11-23T18:00:30Z)")] == [late]


@pytest.mark.parametrize(
    "filter",
    [
        'contains(email,"x")',
        'greater-than(email,"x")',
        'equals(first_name,"x")',
        'any(email,"x")',
        'any(email,["x"',
        "equals(email)",
        "",
        'equals(email,"x") or equals(email,"y")',
        "greater-than(created,yesterday)",
        "greater-than(created,2026-11-23)",
        "any(email,[" + ",".join(f'"p{n}@x.io"' for n in range(101)) + "])",
    ],
)
def test_other_filters_there_are_not(klaviyo: Asker, filter: str) -> None:
    klaviyo.id(email="a@x.io")
    answer = klaviyo.ask("GET", "/api/profiles", filter=filter)
    assert (answer.status_code, errors(answer)) == (400, [("invalid", "filter")])


def test_a_page_has_20_unless_it_is_said_and_100_at_most(klaviyo: Asker) -> None:
    klaviyo.imported(*({"email": f"p{n}@x.io"} for n in range(250)))
    first = klaviyo.get("/api/profiles")
    assert len(first["data"]) == 20
    assert first["links"]["next"].startswith(klaviyo.sandbox.url)
    assert len(klaviyo.get("/api/profiles", **{"page[size]": "100"})["data"]) == 100
    everybody = klaviyo.data("/api/profiles", **{"page[size]": "100", "fields[profile]": "email"})
    assert [one["attributes"] for one in everybody] == [{"email": f"p{n}@x.io"} for n in range(250)]
    for size in ("0", "101", "ten", "-1", ""):
        assert errors(klaviyo.ask("GET", "/api/profiles", **{"page[size]": size})) == [("invalid", "page[size]")]
    for cursor in ("2", "bm9uZQ==", "\xff", "YWZ0ZXI6OngK"):
        assert errors(klaviyo.ask("GET", "/api/profiles", **{"page[cursor]": cursor})) == [("invalid", "page[cursor]")]


def test_a_filter_is_paged_too(klaviyo: Asker) -> None:
    klaviyo.imported(*({"email": f"p{n}@x.io"} for n in range(90)))
    wanted = "any(email,[" + ",".join(f'"p{n}@x.io"' for n in range(100)) + "])"
    assert len(klaviyo.get("/api/profiles", filter=wanted)["data"]) == 20
    assert len(klaviyo.data("/api/profiles", filter=wanted)) == 90


def test_only_the_fields_that_are_asked_for(klaviyo: Asker) -> None:
    id = klaviyo.id(email="a@x.io", external_id="c", location={"city": "Paris"})
    fields = {"fields[profile]": "email,external_id,location.city"}
    told = klaviyo.get(f"/api/profiles/{id}", **fields)["data"]["attributes"]
    assert told == {"email": "a@x.io", "external_id": "c", "location": {"city": "Paris"}}
    assert errors(klaviyo.ask("GET", "/api/profiles", **{"fields[profile]": "mail"})) == [("invalid", "fields[profile]")]
    assert errors(klaviyo.ask("GET", "/api/profiles", pagesize="3")) == [("invalid", "pagesize")]


def test_consent_is_said_where_it_is_asked_for(klaviyo: Asker) -> None:
    people = {name: klaviyo.id(email=f"{name}@x.io") for name in ("new", "fan", "gone", "blocked")}
    klaviyo.sandbox.subscribe("fan@x.io")
    klaviyo.sandbox.subscribe("gone@x.io")
    klaviyo.sandbox.unsubscribe("GONE@x.io")
    klaviyo.sandbox.suppress("blocked@x.io")

    def consent(name: str) -> tuple[str, bool, list[str]]:
        asked = klaviyo.get(f"/api/profiles/{people[name]}", **{"additional-fields[profile]": "subscriptions"})
        told = asked["data"]["attributes"]["subscriptions"]["email"]["marketing"]
        return told["consent"], told["can_receive_email_marketing"], [one["reason"] for one in told["suppression"]]

    assert "subscriptions" not in klaviyo.get(f"/api/profiles/{people['fan']}")["data"]["attributes"]
    assert consent("new") == ("NEVER_SUBSCRIBED", True, [])
    assert consent("fan") == ("SUBSCRIBED", True, [])
    assert consent("gone") == ("UNSUBSCRIBED", False, ["UNSUBSCRIBE"])
    assert consent("blocked") == ("NEVER_SUBSCRIBED", False, ["USER_SUPPRESSED"])


def test_no_upsert_changes_consent(klaviyo: Asker) -> None:
    klaviyo.id(email="gone@x.io", external_id="c_1")
    klaviyo.sandbox.unsubscribe("gone@x.io")
    klaviyo.id(email="gone@x.io", first_name="G")
    klaviyo.imported({"email": "gone@x.io"}, lists=[klaviyo.newsletter])
    klaviyo.id(email="new@x.io", external_id="c_1")
    assert [one.consent.state for one in klaviyo.sandbox.profiles] == ["UNSUBSCRIBED"]


def test_an_address_that_was_unsubscribed_is_so_in_a_new_profile_too(klaviyo: Asker) -> None:
    klaviyo.id(email="gone@x.io")
    klaviyo.sandbox.unsubscribe("gone@x.io")
    klaviyo.sandbox.delete_profile("gone@x.io")
    klaviyo.id(email="gone@x.io")
    (found,) = klaviyo.sandbox.profiles
    assert (found.consent.state, found.consent.can_receive) == ("UNSUBSCRIBED", False)
    klaviyo.sandbox.subscribe("gone@x.io")
    assert found.consent.can_receive


def test_nobody_there(klaviyo: Asker) -> None:
    for path in ("/api/profiles/nobody", "/api/profiles/nobody/lists"):
        answer = klaviyo.ask("GET", path)
        assert (answer.status_code, errors(answer)[0][0]) == (404, "not_found")
