"""Import jobs at the Klaviyo stand-in: taken at once, done later, and `complete` even where rows of them failed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from segmentry.sandbox.klaviyo_asking import Asked, Operation, collection, only, reply, slice_of
from segmentry.sandbox.klaviyo_problems import Problem, RefusedError, not_found
from segmentry.sandbox.klaviyo_profiles import ADDITIONAL, FIELDS, PAGED, reference, resource
from segmentry.sandbox.klaviyo_shapes import IMPORT_JOB
from segmentry.sandbox.klaviyo_state import Job, World, said
from segmentry.sandbox.klaviyo_upserts import upsert
from segmentry.sandbox.serving import Reply

LARGEST = 5 * 1024 * 1024
LARGEST_PROFILE = 100 * 1024
EXPIRES = timedelta(days=7)
SLOW = 25
"""How many more questions a slow job needs."""

FATES: Mapping[str, str] = {
    "job-slow": f"takes it, and the import job is not done before {SLOW} more questions",
    "job-failures": "takes it, and every third row of the import job fails, though the job ends complete",
    "job-all-failed": "takes it, and every row of the import job fails, though the job ends complete",
    "job-cancelled": "takes it, and the import job is cancelled before any of it was done",
    "job-cancelled-half": "takes it, and the import job is cancelled when half of it was done",
}
ERRORS: Mapping[str, str] = {
    "errors-bare": "takes it, and tells what failed in an import job without what was given",
    "errors-blind": "takes it, and tells what failed in an import job without what was given, and not which row it was",
}
_FIELDS = (
    "id",
    "status",
    "created_at",
    "total_count",
    "completed_count",
    "failed_count",
    "completed_at",
    "expires_at",
    "started_at",
)
_ERROR_FIELDS = ("id", "code", "title", "detail", "source", "source.pointer", "original_payload")


def settle(world: World) -> None:
    """Does the jobs that were asked for often enough and whose time has come."""
    for job in list(world.unfinished.values()):
        if job.asked >= job.waits and job.due <= world.now():
            _run(world, job)
            del world.unfinished[job.id]


def _create(asked: Asked) -> Reply:
    world, told = asked.world, asked.said["data"]
    given = told["attributes"]["profiles"]["data"]
    lists = [one["id"] for one in told.get("relationships", {}).get("lists", {}).get("data", [])]
    for index, id in enumerate(lists):
        world.list_of(id, pointer=f"/data/relationships/lists/data/{index}/id")
    _check_sizes(given)
    due = said(world.clock() + timedelta(seconds=asked.jobs.seconds))
    waits = asked.jobs.polls + (SLOW if asked.fate == "job-slow" else 0)
    job = Job(world.new_id("01KSANDBXJ"), world.now(), due, waits, lists, len(given), given, fate=asked.fate)
    world.jobs[job.id] = world.unfinished[job.id] = job
    world.mark("job", job.id)
    return reply(202, {"data": _resource(asked, job), "links": {"self": asked.link(f"/api/profile-bulk-import-jobs/{job.id}")}})


def _check_sizes(given: Iterable[Mapping[str, Any]]) -> None:
    detail = f"A profile must not be larger than {LARGEST_PROFILE} bytes."
    problems = [
        Problem("invalid", "Invalid input.", detail, f"/data/attributes/profiles/data/{index}")
        for index, one in enumerate(given)
        if len(json.dumps(one, ensure_ascii=False)) * 4 > LARGEST_PROFILE < len(json.dumps(one, ensure_ascii=False).encode())
    ]
    if problems:
        raise RefusedError(400, problems)


def _run(world: World, job: Job) -> None:
    """Does a job: rows that can't be are told in its errors, and the others are profiles, on its lists."""
    job.started, job.completed = job.created, world.now()
    given, job.given = job.given, []
    job.status = "complete"
    if job.fate.startswith("job-cancelled"):
        job.status = "cancelled"
        given = given[: len(given) // 2] if job.fate == "job-cancelled-half" else []
    lists = [world.lists[id] for id in job.lists if id in world.lists]
    found: dict[str, None] = {}
    for index, told in enumerate(given):
        try:
            _fail(job, index)
            profile, _ = upsert(world, told, bulk=True)
        except RefusedError as error:
            job.errors.append(_import_error(job, index, told, error.problems[0]))
            continue
        found[profile.id] = None
        for one in lists:
            world.add_member(one, profile.id)
    job.profiles = list(found)
    world.mark("job", job.id)


def _fail(job: Job, index: int) -> None:
    if job.fate == "job-all-failed" or (job.fate == "job-failures" and index % 3 == 2):
        raise RefusedError(400, [Problem("invalid", "Invalid input.", "The profile could not be imported.", "/attributes")])


def _import_error(job: Job, index: int, told: Mapping[str, Any], problem: Problem) -> dict[str, Any]:
    attributes = {
        "code": problem.code,
        "title": problem.title,
        "detail": problem.detail,
        "source": {"pointer": f"/data/attributes/profiles/data/{index}{problem.pointer or ''}"},
        "original_payload": dict(told["attributes"]),
    }
    return {"type": "import-error", "id": f"{job.id}-{index}", "attributes": attributes}


def _resource(asked: Asked, job: Job) -> dict[str, Any]:
    here = f"/api/profile-bulk-import-jobs/{job.id}"
    attributes: dict[str, Any] = {
        "status": job.status,
        "created_at": job.created,
        "total_count": job.total,
        "completed_count": job.total - len(job.errors) if job.status == "complete" else len(job.profiles),
        "failed_count": len(job.errors),
        "completed_at": job.completed,
        "expires_at": said(datetime.fromisoformat(job.created) + EXPIRES),
        "started_at": job.started,
    }
    related: dict[str, Any] = {
        name: {"links": {"self": asked.link(f"{here}/relationships/{name}"), "related": asked.link(f"{here}/{name}")}}
        for name in ("lists", "profiles", "import-errors")
    }
    related["lists"]["data"] = [{"type": "list", "id": id} for id in job.lists]
    return {
        "type": "profile-bulk-import-job",
        "id": job.id,
        "attributes": only(attributes, asked.several("fields[profile-bulk-import-job]")),
        "relationships": related,
        "links": {"self": asked.link(here)},
    }


def _job_of(asked: Asked) -> Job:
    found = asked.world.jobs.get(asked.parts["id"])
    if found is None:
        raise not_found("profile-bulk-import-job", asked.parts["id"])
    return found


def _one(asked: Asked) -> Reply:
    """The job; that somebody asked is what brings it on."""
    job = _job_of(asked)
    if job.id in asked.world.unfinished:
        job.asked += 1
        if job.asked > 1 or job.waits < 2:
            job.status, job.started = "processing", job.started or asked.world.now()
        asked.world.mark("job", job.id)
    return reply(200, {"data": _resource(asked, job), "links": {"self": asked.link(asked.path)}})


def _errors(asked: Asked) -> Reply:
    part, further = slice_of(asked, _job_of(asked).errors, 20, 100)
    wanted = asked.several("fields[import-error]")
    return collection(asked, [{**one, "attributes": only(_shown(one, asked.fate), wanted)} for one in part], further)


def _shown(error: Mapping[str, Any], fate: str) -> dict[str, Any]:
    attributes = dict(error["attributes"])
    if fate in ERRORS:
        attributes["original_payload"] = None
    if fate == "errors-blind":
        attributes["source"] = {"pointer": "/data"}
    return attributes


def _profiles(asked: Asked) -> Reply:
    world = asked.world
    found = [world.profiles[id] for id in _job_of(asked).profiles if id in world.profiles]
    part, further = slice_of(asked, found, 20, 100)
    return collection(asked, [resource(asked, profile) for profile in part], further)


def _profile_ids(asked: Asked) -> Reply:
    part, further = slice_of(asked, _job_of(asked).profiles, 20, 100)
    return collection(asked, map(reference, part), further)


def _search(asked: Asked) -> Reply:
    found = list(asked.world.jobs.values())
    part, further = slice_of(asked, found[::-1] if asked.params.get("sort") == "-created_at" else found, 20, 100)
    return collection(asked, [_resource(asked, job) for job in part], further)


_SHOWN = {"fields[profile-bulk-import-job]": _FIELDS}
_JOB = "/api/profile-bulk-import-jobs/{id}"

OPERATIONS = (
    Operation("POST", "/api/profile-bulk-import-jobs", _create, "M", params=_SHOWN, shape=IMPORT_JOB, largest=LARGEST),
    Operation("GET", "/api/profile-bulk-import-jobs", _search, "M", params={**_SHOWN, **PAGED, "sort": ("created_at", "-created_at")}),
    Operation("GET", _JOB, _one, "M", params=_SHOWN),
    Operation("GET", f"{_JOB}/import-errors", _errors, "M", params={**PAGED, "fields[import-error]": _ERROR_FIELDS}),
    Operation(
        "GET", f"{_JOB}/profiles", _profiles, "M", params={**PAGED, "fields[profile]": FIELDS, "additional-fields[profile]": ADDITIONAL}
    ),
    Operation("GET", f"{_JOB}/relationships/profiles", _profile_ids, "M", params=PAGED),
)
