"""Lists at the Klaviyo stand-in: making and finding them, who is on them, and what starts when somebody comes."""

from __future__ import annotations

from typing import Any

import pytest

from segmentry.sandbox.klaviyo_state import list_id
from tests.sandbox.conftest import Asker, Opener, errors


def create(klaviyo: Asker, name: str, **more: Any) -> Any:
    answer = klaviyo.ask("POST", "/api/lists", {"data": {"type": "list", "attributes": {"name": name, **more}}})
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


def test_a_list_is_made_and_found_by_its_name(klaviyo: Asker) -> None:
    made = create(klaviyo, "seg: VIP", opt_in_process="double_opt_in")
    create(klaviyo, 'with "quotes"')
    assert made["attributes"]["opt_in_process"] == "double_opt_in"
    for filter in ('equals(name,"seg: VIP")', "any(name,['seg: VIP','other'])", f'equals(id,"{made["id"]}")'):
        assert [one["id"] for one in klaviyo.data("/api/lists", filter=filter)] == [made["id"]]
    assert len(klaviyo.data("/api/lists", filter=r'equals(name,"with \"quotes\"")')) == 1
    assert klaviyo.data("/api/lists", filter='equals(name,"nothing")') == []


def test_the_same_name_twice_is_two_lists(klaviyo: Asker) -> None:
    assert create(klaviyo, "VIP")["id"] != create(klaviyo, "VIP")["id"]
    assert len(klaviyo.data("/api/lists", filter='equals(name,"VIP")')) == 2


def test_a_page_of_lists_has_ten(klaviyo: Asker) -> None:
    for number in range(24):
        create(klaviyo, f"list {number}")
    assert len(klaviyo.get("/api/lists")["data"]) == 10
    assert len(klaviyo.data("/api/lists")) == 25
    assert errors(klaviyo.ask("GET", "/api/lists", **{"page[size]": "11"})) == [("invalid", "page[size]")]


def test_a_list_that_is_there_at_the_start_has_an_id_that_is_known_before(opened: Opener) -> None:
    klaviyo = opened(lists=["Newsletter", "VIP"])
    assert [(one.name, one.id) for one in klaviyo.sandbox.lists] == [("Newsletter", list_id("Newsletter")), ("VIP", list_id("VIP"))]
    assert klaviyo.newsletter == "ooCUGT"


def test_how_many_are_on_it_is_said_where_it_is_asked_for(klaviyo: Asker) -> None:
    klaviyo.sandbox.add_by_hand("Newsletter", "a@x.io")
    path = f"/api/lists/{klaviyo.newsletter}"
    assert "profile_count" not in klaviyo.get(path)["data"]["attributes"]
    assert klaviyo.get(path, **{"additional-fields[list]": "profile_count"})["data"]["attributes"]["profile_count"] == 1


@pytest.mark.parametrize(
    "attributes", [{}, {"name": ""}, {"name": 7}, {"name": "x", "opt_in": "single"}, {"name": "x", "opt_in_process": "none"}]
)
def test_other_lists_are_not_made(klaviyo: Asker, attributes: Any) -> None:
    assert klaviyo.ask("POST", "/api/lists", {"data": {"type": "list", "attributes": attributes}}).status_code == 400
    assert len(klaviyo.sandbox.lists) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/lists/none"),
        ("GET", "/api/lists/none/profiles"),
        ("GET", "/api/lists/none/relationships/profiles"),
        ("GET", "/api/lists/none/flow-triggers"),
        ("DELETE", "/api/lists/none"),
    ],
)
def test_a_list_that_is_not_there(klaviyo: Asker, method: str, path: str) -> None:
    answer = klaviyo.ask(method, path)
    assert (answer.status_code, errors(answer)) == (404, [("not_found", "")])


def test_nobody_comes_to_a_list_that_is_not_there(klaviyo: Asker) -> None:
    id = klaviyo.id(email="a@x.io")
    assert [klaviyo.relate(method, "none", id).status_code for method in ("POST", "DELETE")] == [404, 404]
    assert errors(klaviyo.import_({"email": "b@x.io"}, lists=["none"])) == [("not_found", "/data/relationships/lists/data/0/id")]
    assert len(klaviyo.sandbox.profiles) == 1


# ---------------------------------------------------------------- members


def test_people_come_and_go_by_their_ids_and_it_may_be_said_twice(klaviyo: Asker) -> None:
    ids = [klaviyo.id(email=f"p{n}@x.io") for n in range(3)]
    assert [klaviyo.relate("POST", klaviyo.newsletter, *ids).status_code for _ in range(2)] == [204, 204]
    assert klaviyo.sandbox.members("Newsletter") == ["p0@x.io", "p1@x.io", "p2@x.io"]
    assert [klaviyo.relate("DELETE", klaviyo.newsletter, *ids[:2]).status_code for _ in range(2)] == [204, 204]
    assert klaviyo.sandbox.members("Newsletter") == ["p2@x.io"]
    assert klaviyo.relate("DELETE", klaviyo.newsletter, "nobody").status_code == 204


def test_coming_and_going_change_no_consent(klaviyo: Asker) -> None:
    id = klaviyo.id(email="gone@x.io")
    klaviyo.sandbox.unsubscribe("gone@x.io")
    before = klaviyo.sandbox.profiles[0].consent
    klaviyo.relate("POST", klaviyo.newsletter, id)
    klaviyo.relate("DELETE", klaviyo.newsletter, id)
    assert klaviyo.sandbox.profiles[0].consent == before


def test_a_profile_that_is_not_there_stops_all_of_them(klaviyo: Asker) -> None:
    id = klaviyo.id(email="a@x.io")
    answer = klaviyo.relate("POST", klaviyo.newsletter, id, "nobody")
    assert (answer.status_code, errors(answer)) == (404, [("not_found", "/data/1/id")])
    assert klaviyo.sandbox.members("Newsletter") == []


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_thousand_at_a_time(klaviyo: Asker, method: str) -> None:
    klaviyo.imported(*({"email": f"p{n}@x.io"} for n in range(1001)), lists=[klaviyo.newsletter])
    ids = [one.id for one in klaviyo.sandbox.profiles]
    assert errors(klaviyo.relate(method, klaviyo.newsletter, *ids)) == [("invalid", "/data")]
    assert klaviyo.relate(method, klaviyo.newsletter, *ids[:1000]).status_code == 204
    assert len(klaviyo.sandbox.members("Newsletter")) == (1001 if method == "POST" else 1)


@pytest.mark.parametrize(
    "data", [[], {"type": "profile", "id": "x"}, [{"type": "profile"}], [{"type": "profile", "email": "a@x.io"}], ["x"]]
)
def test_people_are_named_by_ids_alone(klaviyo: Asker, data: Any) -> None:
    answer = klaviyo.ask("POST", f"/api/lists/{klaviyo.newsletter}/relationships/profiles", {"data": data})
    assert answer.status_code == 400


def test_members_are_read_in_pages(klaviyo: Asker) -> None:
    klaviyo.imported(*({"email": f"p{n}@x.io", "external_id": f"c_{n}"} for n in range(230)), lists=[klaviyo.newsletter])
    path = f"/api/lists/{klaviyo.newsletter}"
    first = klaviyo.get(f"{path}/profiles")
    assert len(first["data"]) == 20
    assert first["data"][0]["attributes"]["joined_group_at"] == "2026-11-23T18:00:00+00:00"
    everybody = klaviyo.data(f"{path}/profiles", **{"page[size]": "100", "fields[profile]": "email,joined_group_at"})
    assert [one["attributes"]["email"] for one in everybody] == [f"p{n}@x.io" for n in range(230)]
    ids = klaviyo.data(f"{path}/relationships/profiles", **{"page[size]": "100"})
    assert [one["id"] for one in ids] == [one["id"] for one in everybody]


def test_a_page_is_not_moved_by_who_goes_meanwhile(klaviyo: Asker) -> None:
    klaviyo.imported(*({"email": f"p{n}@x.io"} for n in range(60)), lists=[klaviyo.newsletter])
    path = f"/api/lists/{klaviyo.newsletter}/relationships/profiles"
    first = klaviyo.get(path)
    klaviyo.relate("DELETE", klaviyo.newsletter, *(one["id"] for one in first["data"]))
    second = klaviyo.get(first["links"]["next"])
    assert [one.email for one in klaviyo.sandbox.profiles if one.id == second["data"][0]["id"]] == ["p20@x.io"]


def test_members_are_found_by_address_and_by_when_they_came(klaviyo: Asker) -> None:
    klaviyo.imported({"email": "a@x.io"}, {"email": "b@x.io"}, lists=[klaviyo.newsletter])
    klaviyo.id(email="elsewhere@x.io")
    klaviyo.clock.move(60)
    klaviyo.imported({"email": "c@x.io"}, lists=[klaviyo.newsletter])

    def found(filter: str) -> list[str]:
        told = klaviyo.data(f"/api/lists/{klaviyo.newsletter}/profiles", filter=filter)
        assert [one["id"] for one in klaviyo.data(f"/api/lists/{klaviyo.newsletter}/relationships/profiles", filter=filter)] == [
            one["id"] for one in told
        ]
        return [one["attributes"]["email"] for one in told]

    assert found('any(email,["c@x.io","elsewhere@x.io","A@x.io"])') == ["c@x.io", "a@x.io"]
    assert found('equals(email,"b@x.io")') == ["b@x.io"]
    assert found("greater-than(joined_group_at,2026-11-23T18:00:00Z)") == ["c@x.io"]
    assert found('any(email,["a@x.io","c@x.io"]),less-or-equal(joined_group_at,2026-11-23T18:00:00Z)') == ["a@x.io"]
    answer = klaviyo.ask("GET", f"/api/lists/{klaviyo.newsletter}/profiles", filter='equals(external_id,"c")')
    assert errors(answer) == [("invalid", "filter")]


def test_the_lists_that_somebody_is_on(klaviyo: Asker) -> None:
    id = klaviyo.id(email="a@x.io")
    vip = create(klaviyo, "VIP")["id"]
    klaviyo.relate("POST", vip, id)
    assert [one["id"] for one in klaviyo.data(f"/api/profiles/{id}/lists")] == [vip]
    assert [one["id"] for one in klaviyo.data(f"/api/profiles/{id}/relationships/lists")] == [vip]


# ---------------------------------------------------------------- flows


def test_a_flow_that_a_list_starts_is_told_with_the_list(klaviyo: Asker) -> None:
    path = f"/api/lists/{klaviyo.newsletter}"
    assert klaviyo.get(path, include="flow-triggers")["included"] == []
    klaviyo.sandbox.set_flow("Newsletter")
    told = klaviyo.get(path, include="flow-triggers")
    (flow,) = told["included"]
    assert (flow["attributes"]["status"], flow["attributes"]["trigger_type"]) == ("live", "Added to List")
    assert told["data"]["relationships"]["flow-triggers"]["data"] == [{"type": "flow", "id": flow["id"]}]
    assert [one["id"] for one in klaviyo.data(f"{path}/flow-triggers")] == [flow["id"]]
    assert klaviyo.get("/api/lists", include="flow-triggers")["included"] == [flow]
    assert "included" not in klaviyo.get(path)
    assert errors(klaviyo.ask("GET", path, include="flows")) == [("invalid", "include")]


def test_a_live_flow_starts_for_whoever_comes_however_they_come(klaviyo: Asker) -> None:
    klaviyo.sandbox.add_by_hand("Newsletter", "before@x.io")
    klaviyo.sandbox.set_flow("Newsletter", status="draft")
    klaviyo.sandbox.add_by_hand("Newsletter", "drafted@x.io")
    klaviyo.sandbox.set_flow("Newsletter", status="live")
    klaviyo.relate("POST", klaviyo.newsletter, klaviyo.id(email="one@x.io"), klaviyo.id(email="before@x.io"))
    klaviyo.imported({"email": "many@x.io"}, lists=[klaviyo.newsletter])
    assert [email for _, email in klaviyo.sandbox.flow_starts] == ["one@x.io", "many@x.io"]
