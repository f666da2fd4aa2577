"""Contacts become profiles, and members of a list: a few one by one, many by a job.

Either way what counts is not that Klaviyo took the request, but that the list's members have the address when they are read back.
"""

from __future__ import annotations

from collections.abc import Sequence

from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.klaviyo_bodies import import_one, profile
from segmentry.engine.connectors.klaviyo_client import LIST, LIST_ADD, PROFILE_IMPORT, LaterError, RefusedError
from segmentry.engine.connectors.klaviyo_jobs import PROFILE_BYTES, await_jobs, import_many, size_of
from segmentry.engine.connectors.klaviyo_people import Going, judge, left_before, on_list_all_the_same, people_of
from segmentry.engine.connectors.klaviyo_work import Work, id_of, rejected
from segmentry.engine.connectors.syncing import Action, Change

FEW = 100
"""Fewer changes than this go one by one: a job is made for many."""

TROUBLES = 3
"""Requests in a row that come to nothing, after which the rest is left for later."""

TOO_LARGE = "its fields are larger than the 100 KB that Klaviyo takes of one profile"


def upsert(work: Work) -> None:
    """Adds to the list, or updates only. Raises LaterError with whatever is unanswered left as it is, and as `Client.ask`."""
    batch = work.batch
    if batch.action is Action.ADD:
        work.client.ask(LIST, work.turn, id=work.list_id)  # a job would take any list's id, and put its profiles nowhere
    await_jobs(work)  # whom they put on the list is on it only then
    people = people_of(work.client, work.turn, batch)
    inside = on_list_all_the_same(work.client, work.turn, people, work.list_id) if batch.action is Action.ADD else ()
    going: dict[str, Going] = {}
    for change in batch.changes:
        found = left_before(change, people, work.list_id) or judge(change, people, batch.action, work.list_id, inside)
        if isinstance(found, Answer):
            work.say(change, found)
        elif size_of(found) > PROFILE_BYTES:
            work.say(change, Answer(Verdict.REJECTED, TOO_LARGE))
        else:
            going[change.id] = found
    if len(batch.changes) < FEW and not work.notes.kept.get("jobs"):
        _import_few(work, list(going.values()))
    else:
        import_many(work, going)


def _import_few(work: Work, going: Sequence[Going]) -> None:
    ids: list[tuple[Change, str]] = []
    troubles = 0
    last: LaterError | None = None
    for one in going:
        try:
            id = _import_one(work, one)
        except RefusedError as refused:
            work.say(one.change, rejected(next(iter(refused.problems), {}), refused.status))
        except LaterError as error:
            troubles += 1
            if troubles == TROUBLES or error.after is not None:
                last = error
                break
            work.say(one.change, Answer(Verdict.LATER, error.reason, maybe=error.maybe))
        else:
            troubles = 0
            ids.append((one.change, id))
            if work.batch.action is Action.UPDATE:
                status = one.profile.status if one.profile else None
                work.say(one.change, Answer(Verdict.SENT, remote_id=id, status=status))
    if work.batch.action is Action.ADD and ids:
        work.confirm([change for change, _ in work.relate(LIST_ADD, ids)])
    if last is not None:
        raise last


def _import_one(work: Work, going: Going) -> str:
    """Creates or updates one profile: its id."""
    identifiers = dict(going.identifiers)
    try:
        answer = work.client.ask(PROFILE_IMPORT, work.turn, body=import_one(profile(identifiers, going.change.fields)))
    except RefusedError as refused:
        if refused.status != 409 or work.batch.action is not Action.ADD:
            raise
        # the contact's key is another profile's there; the address is what is to be on the list
        identifiers = {"email": identifiers["email"]}
        answer = work.client.ask(PROFILE_IMPORT, work.turn, body=import_one(profile(identifiers, going.change.fields)))
    return id_of(answer)
