"""Putting people in the audience: who may be put in, five hundred at once, and what the service says became of each.

Nobody's status is ever changed. Who left is not asked for at all; for the others `status_if_new` says what they become if they
are not there. Also for those who were there when somebody looked: they may have gone since, and nobody is a subscriber by that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.mailchimp_audience import Audience, Standing
from segmentry.engine.connectors.mailchimp_bodies import ADDRESS, MOST, Person
from segmentry.engine.connectors.mailchimp_calls import Calls, Someone, listed
from segmentry.engine.connectors.mailchimp_line import RefusedError
from segmentry.engine.connectors.mailchimp_reasons import GONE, Problem, away

SPLITS = (400, 413, 422)
"""Refusals of many that may be about one of them."""
HOPELESS = 100
"""Refusals without one success, after which it is not about single people."""

LEFT_AUDIENCE = Answer(Verdict.LEFT, GONE)
ABSENT = Answer(Verdict.SKIPPED, "not in the audience, and `new_contacts: skip` puts nobody in")
NO_CONSENT = Answer(Verdict.SKIPPED, "not in the audience, and `consent` does not hold")
NO_ADDRESS = Answer(Verdict.REJECTED, "no address")
ODD_ADDRESS = Answer(Verdict.REJECTED, "what stands for an address is none")
UNSAID = Answer(Verdict.REJECTED, "the service does not say what became of it", again=True)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Somebody who is to be in the audience. `consents`: whether it may be as a subscriber. `was_there`: who is not there has left."""

    hash: str
    address: str
    consents: bool
    fields: Mapping[str, Any] = field(default_factory=dict)
    was_there: bool = False


def hash_of(address: str) -> str:
    """What the service calls an address."""
    return hashlib.md5(address.strip().lower().encode(), usedforsecurity=False).hexdigest()


def unfit(address: str | None) -> Answer | None:
    """Why nobody can be put in under an address; None for one that can be asked for."""
    if address is None:
        return NO_ADDRESS
    return None if ADDRESS.fullmatch(address) else ODD_ADDRESS


class People:
    """Puts people in an audience by a rule for new ones (`new_contacts`). Used from several threads."""

    def __init__(self, audience: Audience, new_contacts: str) -> None:
        self._audience = audience
        self._new_contacts = new_contacts
        self._singly = False

    def admit(self, calls: Calls, wanted: Sequence[Wanted]) -> dict[str, Answer]:
        """What becomes of each, by hash. SENT, with the status: it is in the audience, with its fields."""
        exact = [one.hash for one in wanted if self._must_be_sure(one)]
        standing = self._audience.standing(calls, [one.hash for one in wanted], exact, [one.hash for one in wanted if one.was_there])
        found: dict[str, Answer] = {}
        people: list[Person] = []
        for one in wanted:
            decided = self._decided(one, standing[one.hash])
            if isinstance(decided, Answer):
                found[one.hash] = decided
            else:
                people.append(decided)
        for start in range(0, len(people), MOST):
            found.update(self._put(calls, people[start : start + MOST]))
        return found

    def _must_be_sure(self, one: Wanted) -> bool:
        return self._new_contacts == "skip" or (self._new_contacts == "subscribed" and not one.consents)

    def _decided(self, one: Wanted, standing: Standing) -> Answer | Person:
        """Why somebody is not put in, or what is to be said of them."""
        status = standing.status
        left = away(status)
        if left is not None:
            return left
        if status is not None:
            if not one.fields:
                return Answer(Verdict.SENT, status=status)  # there already, and nothing to say
            return Person(one.hash, one.address, "transactional" if self._must_be_sure(one) else self._new_contacts, one.fields)
        if one.was_there:
            return LEFT_AUDIENCE
        if self._must_be_sure(one):
            return ABSENT if self._new_contacts == "skip" else NO_CONSENT
        return Person(one.hash, one.address, self._new_contacts, one.fields)

    # ------------------------------------------------------------ asking

    def _put(self, calls: Calls, people: Sequence[Person]) -> dict[str, Answer]:
        """One request for all, and halves of it where it is refused, down to the one that it is about."""
        found: dict[str, Answer] = {}
        parts, refused, hopeless = [list(people)], 0, True
        while parts:
            part = parts.pop()
            if self._singly:
                found.update((person.hash, _put_alone(calls, person)) for person in part)
                continue
            try:
                found.update(_outcomes(calls, part, calls.add_people(part)))
                hopeless = False
            except RefusedError as error:
                problem, refused = error.problem, refused + 1
                if problem.about_status:
                    self._singly = True  # an account that doesn't take `status_if_new` of many has always taken it of one
                    parts.append(part)
                elif len(part) == 1:
                    found[part[0].hash] = problem.answer()
                elif problem.status in SPLITS:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
                else:
                    found.update((person.hash, problem.answer()) for person in part)
                if hopeless and refused >= HOPELESS:
                    answer = Answer(Verdict.REJECTED, f"the service refuses request after request: {problem.summary}", again=True)
                    found.update((person.hash, answer) for part in parts for person in part)
                    break
        return found


def _put_alone(calls: Calls, person: Person) -> Answer:
    try:
        return _admitted(calls.put_person(person).status)
    except RefusedError as refused:
        return refused.problem.answer()


def _outcomes(calls: Calls, people: Sequence[Person], said: Mapping[str, Any]) -> dict[str, Answer]:
    """What an answer says of each. Who stands nowhere in it is not taken for being there."""
    by_hash = {person.hash: person for person in people}
    found: dict[str, Answer] = {}
    for one in (*_members(said, "new_members"), *_members(said, "updated_members")):
        person = by_hash.get(one.hash)
        if person is not None:
            found[one.hash] = _admitted(one.status)
    for row in listed(said, "errors"):
        person = by_hash.get(hash_of(str(row.get("email_address")))) if isinstance(row, Mapping) else None
        if person is not None:
            problem = Problem.of_row(row)
            found[person.hash] = _put_fields(calls, person) if problem.exists else problem.answer()
    return {hash: found.get(hash, UNSAID) for hash in by_hash}


def _put_fields(calls: Calls, person: Person) -> Answer:
    """Of somebody whom the service would not touch in a request for many, as they are there."""
    try:
        someone = calls.change_person(person.hash, person.fields) if person.fields else calls.someone(person.hash)
    except RefusedError as refused:
        return refused.problem.answer()
    return UNSAID if someone is None else _admitted(someone.status)


def _admitted(status: str) -> Answer:
    return away(status) or Answer(Verdict.SENT, status=status)


def _members(said: Mapping[str, Any], name: str) -> Iterator[Someone]:
    for one in listed(said, name):
        if isinstance(one, Mapping) and isinstance(one.get("status"), str):
            address = one.get("email_address")
            id = hash_of(address) if isinstance(address, str) else str(one.get("id"))
            yield Someone(id, one["status"])
