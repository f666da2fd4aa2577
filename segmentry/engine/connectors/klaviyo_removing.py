"""Contacts leave a list: only those who are on it now, and nothing else of them changes.

Who is not there any more was taken off by a person, and is answered LEFT; but not whom an earlier attempt at the same batch
may have taken off, whose answer was not heard. So it is kept who was there before anybody is removed.
"""

from __future__ import annotations

from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.klaviyo_client import LIST, LIST_REMOVE
from segmentry.engine.connectors.klaviyo_jobs import await_jobs
from segmentry.engine.connectors.klaviyo_people import DELETED, UNSUBSCRIBED, People, Profile, listed, people_of
from segmentry.engine.connectors.klaviyo_work import Work
from segmentry.engine.connectors.syncing import THERE, Change

TAKEN_OFF = "the person is not on the list any more: somebody took them off there"


def remove(work: Work) -> None:
    """Removes from the list. Raises as `Client.ask`, with whatever is unanswered left as it is."""
    work.client.ask(LIST, work.turn, id=work.list_id)
    await_jobs(work)  # whom they put on the list is on it only then
    people = people_of(work.client, work.turn, work.batch)
    found = {change.id: profile for change in work.batch.changes if (profile := _profile_of(change, people)) is not None}
    members = listed(work.client, work.turn, work.list_id, (profile.email for profile in found.values()))
    on_list = {member.id for member in members.values()}
    removed_before = set(work.notes.kept.get(THERE, ()))
    there: list[tuple[Change, str]] = []
    for change in work.batch.changes:
        profile = found.get(change.id)
        if profile is not None and (profile.id in on_list or profile.email is None):  # without an address it can't be asked for
            if change.kept:
                work.say(change, Answer(Verdict.SENT, remote_id=profile.id, status=profile.status))
            else:
                there.append((change, profile.id))
        else:
            work.say(change, _answer_to_absent(change, profile, removed=change.perhaps_out or change.id in removed_before))
    if there:
        work.notes.keep(**{THERE: sorted(removed_before | {change.id for change, _ in there})})
    for change, id in work.relate(LIST_REMOVE, there):
        work.say(change, Answer(Verdict.SENT, remote_id=id, status=found[change.id].status))


def _profile_of(change: Change, people: People) -> Profile | None:
    """Klaviyo's own id says it; else the address, else the contact. Who was perhaps put in is whoever has the address that was told then.

    Where nobody has it, it is not a profile that is another contact's too.
    """
    known, holder = people.by_id.get(change.remote_id or ""), people.by_address.get(change.address or "")
    keyed = None if change.contact in people.astray else people.by_contact.get(change.contact)
    if not change.perhaps_in:
        return known or holder or keyed
    theirs = known if change.shared else None
    return holder or next((one for one in (known, keyed) if one != theirs), None)


def _answer_to_absent(change: Change, profile: Profile | None, *, removed: bool) -> Answer:
    """The answer to somebody who is not on the list now."""
    if profile is None:  # which no removal does; who is not known there is not on a list there
        return Answer(Verdict.SENT) if change.remote_id is None else Answer(Verdict.LEFT, DELETED)
    if removed:
        return Answer(Verdict.SENT, remote_id=profile.id)
    return Answer(Verdict.LEFT, UNSUBSCRIBED if profile.unreachable else TAKEN_OFF, profile.id, status=profile.status)
