"""Import jobs: thousands of profiles in one request, which Klaviyo works off in its own time.

A job that is `complete` may have failed rows, so its errors are read to the last page, and each is brought home to its row: by
the payload that the error repeats, else by the place it points to. Where neither says which row it was, the rows are unverified,
and the list's members tell. A job's id is kept before it is polled, with which of the rows were in it, and is not submitted twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.klaviyo_bodies import import_job, profile
from segmentry.engine.connectors.klaviyo_client import JOB, JOB_ERRORS, JOBS, PAGE, LaterError, RefusedError, encoded
from segmentry.engine.connectors.klaviyo_people import Going
from segmentry.engine.connectors.klaviyo_work import Work, id_of, reason_of, row_named
from segmentry.engine.connectors.syncing import Action, Change

PROFILES = 10_000
BYTES = 4_500_000
"""In one job. Klaviyo takes 5 MB; what is around the profiles, and how it counts, has room in the rest."""

PROFILE_BYTES = 100 * 1024
POLLS = (1.0, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before each poll; the last again and again."""

ENDED_EARLY = "Klaviyo ended the import before its end"
UNSAID = "Klaviyo says that something of the import failed, but not what"


@dataclass(frozen=True, slots=True)
class Job:
    """A job that was submitted, and the changes in it, in its order."""

    id: str
    changes: Sequence[Change]


def size_of(going: Going) -> int:
    """Bytes that a change's profile takes."""
    return len(encoded(profile(going.identifiers, going.change.fields)))


def await_jobs(work: Work) -> None:
    """Polls the jobs that earlier attempts submitted to their end, also those of other batches. Raises as `import_many`."""
    for notes in (work.notes.kept, *work.notes.earlier):
        for kept in _jobs_of(notes).values():
            _poll(work, kept["id"])


def import_many(work: Work, going: Mapping[str, Going]) -> None:
    """Imports those that are going, by one job or more. Raises LaterError where a job takes too long; it goes on another time."""
    waiting: list[Sequence[Change]] = list(_chunks(work.batch.changes))
    while waiting:
        chunk = waiting.pop(0)
        key = hashlib.sha256("\n".join(change.id for change in chunk).encode()).hexdigest()[:16]
        kept = _kept_jobs(work).get(key)
        if kept is None:
            made = _submit(work, chunk, [going[change.id] for change in work.open(chunk)], key)
            if not isinstance(made, Job):
                waiting[:0] = made
                continue
            job = made
        else:
            out = set(kept["out"])
            job = Job(kept["id"], [change for place, change in enumerate(chunk) if place not in out])
        _finish(work, job, key, going)
        outside = work.open(chunk)
        if outside:
            waiting.insert(0, outside)  # an earlier attempt left them out, and what it answered was not heard


def _chunks(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """The changes in parts that fit in a job, whatever may become of each: the same changes are the same parts at every attempt."""
    chunk: list[Change] = []
    length = 0
    for change in changes:
        fullest = {"id": "0" * 26, "email": change.address or "", "external_id": change.contact}
        added = len(encoded(profile(fullest, change.fields))) + 1
        if chunk and (len(chunk) == PROFILES or length + added > BYTES):
            yield chunk
            chunk, length = [], 0
        chunk.append(change)
        length += added
    if chunk:
        yield chunk


def _submit(work: Work, chunk: Sequence[Change], going: Sequence[Going], key: str) -> Job | list[Sequence[Change]]:
    """The job that was made of a chunk; or the parts in which it is to be tried instead, none where no row is left."""
    list_id = work.list_id if work.batch.action is Action.ADD else None
    while going:
        profiles = [profile(one.identifiers, one.change.fields) for one in going]
        try:
            answer = work.client.ask(JOBS, work.turn, body=import_job(profiles, list_id))
        except RefusedError as refused:
            parts = work.parted(going, lambda one: one.change, refused)
            if len(parts) > 1:
                return [[one.change for one in part] for part in parts]
            going = parts[0] if parts else ()
            continue
        id = id_of(answer)
        inside = {one.change.id for one in going}
        out = [place for place, change in enumerate(chunk) if change.id not in inside]
        work.notes.keep(jobs={**_kept_jobs(work), key: {"id": id, "out": out}})
        return Job(id, [one.change for one in going])
    return []


def _finish(work: Work, job: Job, key: str, going: Mapping[str, Going]) -> None:
    """Polls a job to its end, and answers its changes."""
    ended = _poll(work, job.id)
    reason = None if ended is not None and ended.get("failed_count") == 0 else _errors(work, job, ended)
    left = work.open(job.changes)
    if work.batch.action is Action.ADD:
        work.confirm(left, *(() if reason is None else (reason,)))
    else:
        for change in left:
            profile = going[change.id].profile
            if reason is not None or profile is None:
                work.say(change, Answer(Verdict.REJECTED, reason, again=True))
            else:
                work.say(change, Answer(Verdict.SENT, remote_id=profile.id, status=profile.status))
    if ended is None:
        work.notes.keep(jobs={other: kept for other, kept in _kept_jobs(work).items() if other != key})


def _poll(work: Work, id: str) -> Mapping[str, Any] | None:
    """What is said of a job when it is complete; None where it was cancelled, or is not known any more."""
    client, turn = work.client, work.turn
    polls = 0
    while True:
        wait = POLLS[min(polls, len(POLLS) - 1)]
        if client.now() + wait > turn.until:
            raise LaterError("Klaviyo is still importing", maybe=True)
        client.sleep(wait)
        polls += 1
        try:
            answer = client.ask(JOB, turn, id=id)
        except RefusedError as refused:
            if refused.status != 404:
                raise
            return None
        except LaterError as error:
            raise LaterError(error.reason, after=error.after, maybe=True) from None
        data = answer.get("data")
        attributes = data.get("attributes") if isinstance(data, Mapping) else None
        if isinstance(attributes, Mapping) and attributes.get("status") in ("complete", "cancelled"):
            return attributes if attributes["status"] == "complete" else None


def _errors(work: Work, job: Job, ended: Mapping[str, Any] | None) -> str | None:
    """Rejects the rows that the job's errors are about. What it gives is the reason why the others are unverified, if they are."""
    by_contact = {change.contact: change for change in job.changes}
    by_address = {change.address: change for change in job.changes}
    reason = ENDED_EARLY if ended is None else None
    brought = 0
    try:
        for page in work.client.pages(JOB_ERRORS, work.turn, id=job.id, query={"page[size]": str(PAGE)}):
            for error in page:
                problem = error.get("attributes")
                if not isinstance(problem, Mapping):
                    continue
                row = _row_of(problem, job.changes, by_contact, by_address)
                if row is None:
                    reason = reason or reason_of(problem, 400)
                else:
                    brought += 1
                    work.reject(row, problem)
    except RefusedError as refused:
        if refused.status != 404:
            raise
        return ENDED_EARLY
    failed = 0 if ended is None else ended.get("failed_count")
    return reason or (UNSAID if isinstance(failed, int) and failed > brought else None)


def _row_of(
    problem: Mapping[str, Any], changes: Sequence[Change], by_contact: Mapping[str, Change], by_address: Mapping[str | None, Change]
) -> Change | None:
    """The row that an error is about."""
    payload = problem.get("original_payload")
    for told in _nested(payload):
        external, email = told.get("external_id"), told.get("email")
        found = by_contact.get(str(external)) or (by_address.get(email.strip().lower()) if isinstance(email, str) else None)
        if found is not None:
            return found
    row = row_named(problem, len(changes))
    return None if row is None else changes[row]


def _nested(payload: Any) -> Iterator[Mapping[str, Any]]:
    """Where in an error's payload the profile's attributes may be: in it, in its `attributes`, in its `data`."""
    if isinstance(payload, Mapping):
        yield payload
        yield from _nested(payload.get("attributes"))
        yield from _nested(payload.get("data"))


def _kept_jobs(work: Work) -> Mapping[str, Any]:
    return _jobs_of(work.notes.kept)


def _jobs_of(notes: Mapping[str, Any]) -> Mapping[str, Any]:
    found = notes.get("jobs")
    return found if isinstance(found, Mapping) else {}
