"""Import jobs at the Klaviyo stand-in: taken at once, done later, `complete` with failures inside, and as cruel as they can be."""

from __future__ import annotations

from typing import Any

import pytest

from segmentry.sandbox.klaviyo_asking import JobsTake
from segmentry.sandbox.klaviyo_jobs import SLOW
from tests.sandbox.conftest import Asker, Opener, errors

JOBS = "/api/profile-bulk-import-jobs"


def rows(number: int, **more: Any) -> list[dict[str, Any]]:
    return [{"email": f"p{n}@x.io", "external_id": f"c_{n}", **more} for n in range(number)]


def status(klaviyo: Asker, job: str) -> str:
    return str(klaviyo.get(f"{JOBS}/{job}")["data"]["attributes"]["status"])


# ---------------------------------------------------------------- how long they take


@pytest.mark.parametrize(
    ("polls", "seen"),
    [(0, ["complete"]), (1, ["processing", "complete"]), (3, ["queued", "processing", "processing", "complete"])],
)
def test_a_job_is_done_after_so_many_questions(opened: Opener, polls: int, seen: list[str]) -> None:
    klaviyo = opened(jobs=JobsTake(polls=polls))
    answer = klaviyo.import_(*rows(2), lists=[klaviyo.newsletter])
    job = answer.json()["data"]
    assert (answer.status_code, job["attributes"]["status"], job["attributes"]["total_count"]) == (202, "queued", 2)
    found = []
    for asked in range(polls + 1):
        assert asked == polls or klaviyo.sandbox.members("Newsletter") == []
        found.append(status(klaviyo, job["id"]))
    assert found == seen
    assert klaviyo.sandbox.members("Newsletter") == ["p0@x.io", "p1@x.io"]


def test_a_job_is_done_after_so_many_seconds_though_nobody_asks(opened: Opener) -> None:
    klaviyo = opened(jobs=JobsTake(polls=0, seconds=90))
    job = klaviyo.import_(*rows(1)).json()["data"]["id"]
    klaviyo.clock.move(89)
    assert status(klaviyo, job) == "processing"
    assert klaviyo.sandbox.profiles == []
    klaviyo.clock.move(1)
    assert len(klaviyo.sandbox.profiles) == 1
    told = klaviyo.get(f"{JOBS}/{job}")["data"]["attributes"]
    assert (told["status"], told["completed_at"]) == ("complete", "2026-11-23T18:01:30+00:00")


def test_nothing_of_a_job_is_there_before_it_is_done(opened: Opener) -> None:
    klaviyo = opened(jobs=JobsTake(polls=2))
    job = klaviyo.import_({"email": "bad"}, {"email": "a@x.io"}).json()["data"]["id"]
    assert klaviyo.data(f"{JOBS}/{job}/import-errors") == []
    assert klaviyo.data(f"{JOBS}/{job}/profiles") == []


# ---------------------------------------------------------------- what becomes of them


def test_a_job_makes_and_changes_profiles_and_puts_them_on_its_lists(klaviyo: Asker) -> None:
    known = klaviyo.id(email="p0@x.io", external_id="c_0", last_name="Known")
    job = klaviyo.imported(*rows(3, first_name="Ada"), lists=[klaviyo.newsletter])
    told = job["attributes"]
    assert (told["status"], told["total_count"], told["completed_count"], told["failed_count"]) == ("complete", 3, 3, 0)
    profiles = klaviyo.data(f"{JOBS}/{job['id']}/profiles", **{"fields[profile]": "external_id"})
    assert [one["attributes"] for one in profiles] == [{"external_id": f"c_{n}"} for n in range(3)]
    assert profiles[0]["id"] == known
    assert klaviyo.sandbox.profiles[0].attributes["last_name"] == "Known"
    assert klaviyo.sandbox.members("Newsletter") == ["p0@x.io", "p1@x.io", "p2@x.io"]


def test_without_lists_nobody_is_put_on_one(klaviyo: Asker) -> None:
    klaviyo.imported(*rows(2))
    assert klaviyo.sandbox.members("Newsletter") == []


def test_in_bulk_a_property_goes_by_unset_and_not_by_null(klaviyo: Asker) -> None:
    klaviyo.id(email="a@x.io", first_name="Ada", properties={"a": 1, "b": 2})
    klaviyo.imported({"email": "a@x.io", "first_name": None, "properties": {"a": None}})
    (found,) = klaviyo.sandbox.profiles
    assert (found.attributes, found.properties) == ({"email": "a@x.io"}, {"a": None, "b": 2})
    klaviyo.import_({"email": "a@x.io"}, meta={"patch_properties": {"unset": ["a"]}})
    assert klaviyo.sandbox.profiles[0].properties == {"b": 2}


def test_a_complete_job_may_hold_failures(klaviyo: Asker) -> None:
    klaviyo.id(email="taken@x.io", external_id="c_1")
    klaviyo.id(email="other@x.io", external_id="c_2")
    klaviyo.sandbox.make_invalid("odd@x.io")
    given = [
        {"email": "good@x.io"},
        {"email": "bad"},
        {"email": "taken@x.io", "external_id": "c_2"},
        {"email": "odd@x.io"},
        {"first_name": "X"},
    ]
    job = klaviyo.imported(*given, lists=[klaviyo.newsletter])
    told = job["attributes"]
    assert (told["status"], told["completed_count"], told["failed_count"]) == ("complete", 1, 4)
    found = [one["attributes"] for one in klaviyo.data(f"{JOBS}/{job['id']}/import-errors")]
    at = "/data/attributes/profiles/data"
    assert [(one["code"], one["source"]["pointer"]) for one in found] == [
        ("invalid", f"{at}/1/attributes/email"),
        ("duplicate_profile", f"{at}/2/attributes"),
        ("invalid", f"{at}/3/attributes/email"),
        ("invalid", f"{at}/4/attributes"),
    ]
    assert [one["original_payload"] for one in found] == given[1:]
    assert klaviyo.sandbox.members("Newsletter") == ["good@x.io"]


def test_errors_and_profiles_are_read_in_pages(klaviyo: Asker) -> None:
    job = klaviyo.imported(*rows(130), *({"email": f"bad {n}"} for n in range(130)))["id"]
    for what in ("import-errors", "profiles", "relationships/profiles"):
        assert len(klaviyo.get(f"{JOBS}/{job}/{what}")["data"]) == 20
        assert len(klaviyo.get(f"{JOBS}/{job}/{what}", **{"page[size]": "100"})["data"]) == 100
        assert len({one["id"] for one in klaviyo.data(f"{JOBS}/{job}/{what}", **{"page[size]": "100"})}) == 130
        assert errors(klaviyo.ask("GET", f"{JOBS}/{job}/{what}", **{"page[size]": "101"})) == [("invalid", "page[size]")]


def test_jobs_are_listed(klaviyo: Asker) -> None:
    ids = [klaviyo.imported(one)["id"] for one in rows(3)]
    assert [one["id"] for one in klaviyo.data(JOBS)] == ids
    assert [one["id"] for one in klaviyo.data(JOBS, sort="-created_at")] == ids[::-1]
    assert klaviyo.ask("GET", f"{JOBS}/none").status_code == 404


# ---------------------------------------------------------------- limits


def test_ten_thousand_profiles_and_no_more(opened: Opener) -> None:
    klaviyo = opened(jobs=JobsTake(polls=1))
    many = [{"email": f"p{n}@x.io"} for n in range(10_001)]
    answer = klaviyo.client.post(JOBS, json=body(many))
    assert (answer.status_code, errors(answer)) == (400, [("invalid", "/data/attributes/profiles/data")])
    assert klaviyo.client.post(JOBS, json=body(many[:10_000])).status_code == 202


def body(profiles: list[dict[str, Any]]) -> Any:
    data = [{"type": "profile", "attributes": one} for one in profiles]
    return {"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": data}}}}


def test_five_megabytes_and_no_more(klaviyo: Asker) -> None:
    assert klaviyo.import_(*rows(60, properties={"long": "x" * 90_000})).status_code == 413
    assert klaviyo.import_(*rows(55, properties={"long": "x" * 90_000})).status_code == 202


def test_a_hundred_kilobytes_a_profile_and_no_more(klaviyo: Asker) -> None:
    answer = klaviyo.import_({"email": "a@x.io"}, {"email": "b@x.io", "properties": {"long": "é" * 52_000}})
    assert errors(answer) == [("invalid", "/data/attributes/profiles/data/1")]


@pytest.mark.parametrize(
    ("told", "place"),
    [
        ({"emial": "a@x.io"}, "/data/attributes/profiles/data/1/attributes/emial"),
        ({"email": ["a@x.io"]}, "/data/attributes/profiles/data/1/attributes/email"),
    ],
)
def test_a_misspelt_field_refuses_the_whole_job(klaviyo: Asker, told: Any, place: str) -> None:
    assert errors(klaviyo.import_({"email": "a@x.io"}, told)) == [("invalid", place)]
    assert klaviyo.sandbox.profiles == []


def test_a_misspelt_relationship_is_refused_and_does_not_list_nobody_in_silence(klaviyo: Asker) -> None:
    told = body(rows(1))
    told["data"]["relationships"] = {"list": {"data": [{"type": "list", "id": klaviyo.newsletter}]}}
    assert errors(klaviyo.ask("POST", JOBS, told)) == [("invalid", "/data/relationships/list")]


# ---------------------------------------------------------------- cruelty


def test_a_slow_job_needs_many_more_questions(klaviyo: Asker) -> None:
    klaviyo.meets("job-slow")
    job = klaviyo.import_(*rows(1)).json()["data"]["id"]
    seen = [status(klaviyo, job) for _ in range(SLOW + 1)]
    assert seen[0] == "queued"
    assert set(seen[1:-1]) == {"processing"}
    assert seen[-1] == "complete"


@pytest.mark.parametrize(
    ("fate", "status", "failed", "there"),
    [
        ("job-failures", "complete", 2, ["p0@x.io", "p1@x.io", "p3@x.io", "p4@x.io"]),
        ("job-all-failed", "complete", 6, []),
        ("job-cancelled", "cancelled", 0, []),
        ("job-cancelled-half", "cancelled", 0, ["p0@x.io", "p1@x.io", "p2@x.io"]),
    ],
)
def test_what_else_may_become_of_a_job(klaviyo: Asker, fate: str, status: str, failed: int, there: list[str]) -> None:
    klaviyo.meets(fate)
    klaviyo.id(email="first@x.io")  # which is no job, so that the job meets it
    told = klaviyo.imported(*rows(6), lists=[klaviyo.newsletter])["attributes"]
    assert (told["status"], told["total_count"], told["completed_count"], told["failed_count"]) == (status, 6, len(there), failed)
    assert klaviyo.sandbox.members("Newsletter") == there
    assert [request.met for request in klaviyo.sandbox.requests if request.met] == [fate]


@pytest.mark.parametrize(
    ("kind", "pointer"), [("errors-bare", "/data/attributes/profiles/data/0/attributes/email"), ("errors-blind", "/data")]
)
def test_errors_may_not_say_what_was_given(klaviyo: Asker, kind: str, pointer: str) -> None:
    job = klaviyo.imported({"email": "bad"})["id"]
    klaviyo.meets(kind)
    (found,) = klaviyo.data(f"{JOBS}/{job}/import-errors")
    assert (found["attributes"]["original_payload"], found["attributes"]["source"]["pointer"]) == (None, pointer)
    (found,) = klaviyo.data(f"{JOBS}/{job}/import-errors")
    assert found["attributes"]["original_payload"] == {"email": "bad"}
