"""Events at the Klaviyo stand-in: told one by one, recorded once, and refused where they can't be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import Asker, errors


def test_an_event_is_taken_with_an_empty_answer(klaviyo: Asker) -> None:
    answer = klaviyo.event("e1", time="2026-11-23T17:00:00.9Z", backfill=True)
    assert (answer.status_code, answer.content) == (202, b"")
    (event,) = klaviyo.sandbox.events
    assert (event.metric, event.unique_id, event.time, event.backfill) == ("Entered VIP", "e1", "2026-11-23T17:00:00+00:00", True)
    assert event.body == {"segment": "vip"}
    assert klaviyo.sandbox.profiles[0].last_event == "2026-11-23T17:00:00+00:00"


def test_the_same_id_of_the_same_profile_and_metric_counts_once(klaviyo: Asker) -> None:
    for _ in range(3):
        klaviyo.event("e1")
    klaviyo.event("e1", metric="Entered Other")
    klaviyo.event("e1", profile={"email": "bob@x.io"})
    klaviyo.event("e2")
    assert [(one.unique_id, one.metric, one.times) for one in klaviyo.sandbox.events] == [
        ("e1", "Entered VIP", 3),
        ("e1", "Entered Other", 1),
        ("e1", "Entered VIP", 1),
        ("e2", "Entered VIP", 1),
    ]


def test_without_an_id_there_is_one_a_second(klaviyo: Asker) -> None:
    for seconds in (0, 0.4, 0.6):
        klaviyo.clock.move(seconds)
        klaviyo.event(None)
    assert [one.times for one in klaviyo.sandbox.events] == [2, 1]


def test_an_event_makes_and_changes_its_profile(klaviyo: Asker) -> None:
    klaviyo.event("e1", profile={"email": "a@x.io", "external_id": "c_1", "properties": {"a": 1}})
    klaviyo.event("e2", profile={"external_id": "c_1", "first_name": "Ada"})
    (found,) = klaviyo.sandbox.profiles
    assert (found.email, found.attributes["first_name"], found.properties) == ("a@x.io", "Ada", {"a": 1})
    assert {one.profile for one in klaviyo.sandbox.events} == {found.id}


AT = "/data/attributes"


@pytest.mark.parametrize(
    ("told", "place"),
    [
        ({"profile": {"email": "bad"}}, f"{AT}/profile/data/attributes/email"),
        ({"profile": {"first_name": "X"}}, f"{AT}/profile/data/attributes"),
        ({"profile": {"mail": "a@x.io"}}, f"{AT}/profile/data/attributes/mail"),
        ({"metric": ""}, f"{AT}/metric/data/attributes/name"),
        ({"metric": "x" * 128}, f"{AT}/metric/data/attributes/name"),
        ({"time": "1989-12-31T00:00:00Z"}, f"{AT}/time"),
        ({"time": "2027-11-24T00:00:00Z"}, f"{AT}/time"),
        ({"time": "yesterday"}, f"{AT}/time"),
        ({"backfil": True}, f"{AT}/backfil"),
        ({"backfill": "yes"}, f"{AT}/backfill"),
        ({"unique_id": ""}, f"{AT}/unique_id"),
        ({"value": "7"}, f"{AT}/value"),
        ({"properties": {f"p{n}": n for n in range(401)}}, f"{AT}/properties"),
        ({"properties": {"long": {"inner": "x" * 102_401}}}, f"{AT}/properties/long/inner"),
        ({"properties": None}, f"{AT}/properties"),
    ],
)
def test_events_that_can_not_be_are_refused(klaviyo: Asker, told: dict[str, Any], place: str) -> None:
    answer = klaviyo.event(**told)
    assert (answer.status_code, errors(answer)) == (400, [("invalid", place)])
    assert klaviyo.sandbox.events == []


def test_five_megabytes_and_no_more(klaviyo: Asker) -> None:
    assert klaviyo.event(properties={f"p{n}": "x" * 100_000 for n in range(53)}).status_code == 413
    assert klaviyo.event(properties={f"p{n}": "x" * 100_000 for n in range(52)}).status_code == 202


def test_what_is_missing_is_named(klaviyo: Asker) -> None:
    answer = klaviyo.ask("POST", "/api/events", {"data": {"type": "event", "attributes": {}}})
    assert errors(answer) == [("required", f"{AT}/{name}") for name in ("properties", "metric", "profile")]


def test_identifiers_of_two_profiles_are_refused(klaviyo: Asker) -> None:
    klaviyo.id(email="a@x.io")
    klaviyo.id(external_id="c_2")
    assert klaviyo.event(profile={"email": "a@x.io", "external_id": "c_2"}).status_code == 409
    assert klaviyo.sandbox.events == []
