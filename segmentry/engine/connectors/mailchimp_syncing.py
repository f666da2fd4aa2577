"""Keeping a segment in step with a tag: one batch of changes, from what is asked to an answer for each.

Who comes in is tagged one by one, and where they are many in a batch that the service works off, because only that call can say
that it starts no automation. That is slower than the one request for five hundred which sequences use, by hours for a first
hundred thousand; but a sync enrolls nobody, and what was mailed can't be called back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from segmentry.engine.connectors import mailchimp_batches as batches
from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.mailchimp_audience import FEW, Audience
from segmentry.engine.connectors.mailchimp_batches import LostError
from segmentry.engine.connectors.mailchimp_bodies import Operation
from segmentry.engine.connectors.mailchimp_calls import Calls, Someone
from segmentry.engine.connectors.mailchimp_fields import MergeFields
from segmentry.engine.connectors.mailchimp_line import RefusedError, TroubleError
from segmentry.engine.connectors.mailchimp_people import LEFT_AUDIENCE, UNSAID, People, Wanted, hash_of, unfit
from segmentry.engine.connectors.mailchimp_reasons import AWAY, FORGOTTEN, GONE, Problem, away
from segmentry.engine.connectors.mailchimp_tags import Tags
from segmentry.engine.connectors.syncing import THERE, Action, Change, Notes, SyncBatch

Say = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Fields as the service takes them."""

MOVING = "moving"
"""In notes: the ids of changes whose address may have been changed there already."""
READDRESSED = "readdressed"
"""The same of changes whose persons are there under the new address: as the same, not as somebody who had it already."""

LEFT_FORMER = Answer(Verdict.LEFT, f"under the former address it {GONE}, or {FORGOTTEN}")
OTHERS_TOO = Answer(
    Verdict.REJECTED, "under the former address there is another contact too: it is put in anew under its own", another=True
)
LEFT_TAG = Answer(Verdict.LEFT, "taken off the tag there")
LOST = Answer(Verdict.LATER, "the service does not say what became of it", maybe=True)


@dataclass
class Knowledge:
    """What is known of an audience while a destination is open. `no_batches`: the results of one could not be had, so there are no more.

    `moved`: for hashes under which somebody was, those under which they are by our doing, or may be: other tags' syncs know them too.
    """

    audience: Audience
    people: People
    fields: MergeFields
    tags: Tags
    no_batches: bool = False
    moved: dict[str, str] = field(default_factory=dict)


@dataclass
class Work:
    """One batch of changes. Changes are known by their numbers; those of one address are one thing, and get one answer."""

    batch: SyncBatch
    calls: Calls
    notes: Notes
    known: Knowledge
    answers: dict[int, Answer] = field(default_factory=dict)

    def done(self) -> Sequence[Answer]:
        """Does it: an answer each. Raises DestinationStopped, and what `before` raises."""
        action = {Action.ADD: self._add, Action.UPDATE: self._update, Action.REMOVE: self._remove}[self.batch.action]
        trouble = LOST
        try:
            batches.await_earlier(self.calls, self.notes)
            action()
        except TroubleError as error:
            trouble = error.answer
        return [self.answers.get(number, trouble) for number in range(len(self.batch.changes))]

    # ------------------------------------------------------------ the three kinds

    def _add(self) -> None:
        self._without_gone()
        self._settle_kept()
        say = self.known.fields.ready(self.calls, (change.fields for change in self.batch.changes))
        self._without_unfit()
        self._move_all()
        groups = self._groups()
        wanted = {hash: self._wanted(numbers, hash, say) for hash, numbers in groups.items()}
        admitted = self.known.people.admit(self.calls, list(wanted.values()))
        going: dict[str, int] = {}
        for hash, numbers in groups.items():
            if admitted[hash].verdict is Verdict.SENT:
                going[hash] = numbers[0]
            else:
                self._answer(numbers, admitted[hash])
        if going:
            self._tag(going, groups, admitted)

    def _update(self) -> None:
        self._without_gone()
        self._settle_kept()
        say = self.known.fields.ready(self.calls, (change.fields for change in self.batch.changes))
        self._without_unfit()
        self._move_all()
        groups = self._groups()
        standing = self.known.audience.standing(self.calls, list(groups), ())
        going: dict[str, Operation] = {}
        for hash, numbers in groups.items():
            fields = say(self._change(numbers[0]).fields)
            status, sure = standing[hash]
            left = LEFT_AUDIENCE if sure and status is None else away(status)
            if left is not None:
                self._answer(numbers, left)
            elif not fields:
                self._answer(numbers, Answer(Verdict.SENT, remote_id=hash, status=status))
            else:
                going[hash] = self.calls.field_change(hash, fields, id=self._change(numbers[0]).id)
        self._in_a_batch(list(going.values()))
        for hash in going:
            if groups[hash][0] not in self.answers:
                self._answer(groups[hash], self._changed(hash, say(self._change(groups[hash][0]).fields)))

    def _remove(self) -> None:
        tag = self.known.tags.find(self.calls, self.batch.target.name)
        people: dict[str, list[int]] = {}
        for number in self._open():
            beside = self._change(number).perhaps_in and self._change(number).shared  # under the former name there is another contact
            hash = self._hash(number) if beside else self._former(number) or self._hash(number)
            if hash is None:
                self.answers[number] = LEFT_TAG  # nobody was ever put in under it
            else:
                people.setdefault(hash, []).append(number)
        inside = {} if tag is None else self._inside(tag, people)
        removed_before = set(self.notes.kept.get(THERE, ()))
        for hash, numbers in people.items():
            if hash not in inside:
                ours = any(self._change(one).perhaps_out or self._change(one).id in removed_before for one in numbers)
                answer = self._out_by_us(hash, numbers) if ours else LEFT_TAG
                self._answer(numbers, replace(answer, remote_id=self._moved_by_us(hash, numbers) or answer.remote_id))
        kept = {hash for hash in inside if any(self._change(one).kept for one in people[hash])}
        for hash in kept:
            self._answer(people[hash], Answer(Verdict.SENT, remote_id=hash, status=inside.pop(hash)))
        if tag is None or not inside:
            return
        self.notes.keep(**{THERE: sorted(removed_before.union(self._change(one).id for hash in inside for one in people[hash]))})
        addresses = {hash: self._change(people[hash][0]).address for hash in inside}
        for hash, answer in self.known.tags.take_off(self.calls, tag, self.batch.target.name, addresses).items():
            self._answer(people[hash], replace(answer, remote_id=hash, status=inside[hash]))

    def _out_by_us(self, hash: str, numbers: Sequence[int]) -> Answer:
        """The answer to who may be off the tag by us, and is. That nobody is there at all any more is not our doing."""
        known = any(self._change(one).remote_id == hash and not self._change(one).anew for one in numbers)
        gone = known and hash not in self.known.moved and self.calls.someone(hash) is None
        return LEFT_AUDIENCE if gone else Answer(Verdict.SENT, remote_id=hash)

    def _moved_by_us(self, hash: str, numbers: Sequence[int]) -> str | None:
        """By what somebody is called now who is off the tag, and was perhaps given another address by an addition that did not end."""
        told = self._hash(numbers[0])
        if told in (None, hash) or self.calls.someone(hash) is not None:
            return None
        return None if self.calls.someone(str(told)) is None else told

    def _inside(self, tag: int, people: dict[str, list[int]]) -> dict[str, str]:
        """Who is in the tag, with their status. Whose address may have been changed is in `people` by the one under which they are."""
        inside = self.known.tags.having(self.calls, tag, people)
        told = {hash: self._hash(numbers[0]) for hash, numbers in people.items() if hash not in inside}
        perhaps = {hash: other for hash, other in told.items() if other is not None and other not in people}
        moved = self.known.tags.having(self.calls, tag, set(perhaps.values())) if perhaps else {}
        for hash, other in perhaps.items():
            if other in moved:
                people.setdefault(other, []).extend(people.pop(hash))
        return inside | moved

    # ------------------------------------------------------------ tagging

    def _tag(self, going: Mapping[str, int], groups: Mapping[str, Sequence[int]], admitted: Mapping[str, Answer]) -> None:
        """Tags those who are in the audience, and starts nothing by it."""
        name = self.batch.target.name
        self.known.tags.need(self.calls, name)
        self._in_a_batch([self.calls.quiet_tag(hash, name, self._change(number).id) for hash, number in going.items()])
        for hash, number in going.items():
            if number not in self.answers:
                self._answer(groups[hash], self._tagged(hash, name, admitted[hash]))
            elif self.answers[number].verdict is Verdict.SENT:
                self._answer(groups[hash], replace(self.answers[number], status=admitted[hash].status))

    def _tagged(self, hash: str, name: str, admitted: Answer) -> Answer:
        try:
            self.calls.tag_quietly(hash, name)
        except RefusedError as refused:
            return _meaning(refused.problem, Action.ADD)
        return replace(admitted, remote_id=hash)

    def _changed(self, hash: str, fields: Mapping[str, Any]) -> Answer:
        try:
            someone = self.calls.change_person(hash, fields)
        except RefusedError as refused:
            return _meaning(refused.problem, Action.UPDATE)
        return _of_member(someone, hash)

    # ------------------------------------------------------------ batches

    def _in_a_batch(self, operations: Sequence[Operation]) -> None:
        """Has the service work off many operations. Few are quicker done one by one, and get no answer here."""
        if len(operations) <= FEW or self.known.no_batches:
            return
        try:
            batches.hand_in(self.calls, self.notes, operations)
        except RefusedError as refused:
            raise TroubleError(Answer(Verdict.LATER, f"the service takes no batch: {refused.problem.summary}")) from None
        self._settle_kept()

    def _settle_kept(self) -> None:
        """Answers what a batch was handed in for, now or by a process that is no more.

        Where its results can't be had, or nobody knows it any more, nothing is answered: all of it can be done again.
        """
        kept = batches.kept(self.notes.kept)
        if kept is None:
            return
        id, changes = kept
        # of those that were in it some may have been settled since, so changes are known by their ids here
        groups = {self._change(group[0]).id: (hash, group) for hash, group in self._groups().items()}
        results: batches.Results | None = None
        try:
            results = batches.results(self.calls, id)
        except LostError:
            self.known.no_batches = True
        if results is not None:
            for change in changes:
                if change in groups:
                    hash, group = groups[change]
                    self._answer(group, self._result(results, change, hash))
        self.notes.keep(**{batches.KEPT: None})

    def _result(self, results: batches.Results, change: str, hash: str) -> Answer:
        if change not in results:
            return LOST
        problem = results[change]
        return Answer(Verdict.SENT, remote_id=hash) if problem is None else _meaning(problem, self.batch.action)

    # ------------------------------------------------------------ other addresses

    def _move_all(self) -> None:
        for number in self._freeing_first([one for one in self._open() if self._change(one).moved and self._former(one)]):
            try:
                self._move(number)
            except RefusedError as refused:  # it is about this one alone
                self.answers[number] = _meaning(refused.problem, Action.UPDATE)

    def _freeing_first(self, moving: Sequence[int]) -> Iterator[int]:
        """Those who move, in an order in which an address is free for whoever has it now; where some change places, one begins."""
        waiting = list(moving)
        while waiting:
            formers = {self._former(number) for number in waiting}
            going = [number for number in waiting if self._hash(number) not in formers] or waiting[:1]
            yield from going
            waiting = [number for number in waiting if number not in going]

    def _move(self, number: int) -> None:
        """Another address of somebody who is there under a former one.

        Who left under the former one is answered so, and nothing is made under the new one. Who gets no answer goes on under the
        new address, as anybody who is there.
        """
        former, hash = str(self._former(number)), str(self._hash(number))
        there, before = self.calls.someone(hash), self.calls.someone(former)
        found = there or before
        if before is None and there is None and self._change(number).back:
            ended = None  # whoever had the former address is nobody's, and somebody said that this one comes back
        elif before is None:
            # either an attempt changed it whose answer was lost, or another tag's sync did, or who was there is gone
            same = there is not None and self._is_the_same(number, there)
            ended = away(there.status) if there is not None and same else LEFT_FORMER
            if same:
                self._note(READDRESSED, number)
        elif before.status in AWAY:
            ended = replace(LEFT_FORMER, reason=f"{AWAY[before.status]}, under the former address", status=before.status)
        elif self._change(number).shared and self.batch.action is Action.ADD:
            ended, found = None, there  # who is there is somebody else too, and stays so; this one comes in anew
        elif self._change(number).shared and there is None:
            ended = OTHERS_TOO
        elif there is None:
            ended = self._readdressed(number, before, hash)
        else:
            ended = self._handed_over(number, before, there)
        if ended is not None:
            self.answers[number] = ended
        elif found is not None:
            self.known.audience.note(hash, found.status)

    def _readdressed(self, number: int, before: Someone, hash: str) -> Answer | None:
        """The same member under the new address."""
        self._note_moving(number)
        try:
            found = self.calls.change_person(before.hash, {}, self._change(number).address)
        except RefusedError as refused:
            if not refused.problem.exists:
                return _meaning(refused.problem, Action.UPDATE)
            found = self.calls.someone(hash)
            return UNSAID if found is None else self._handed_over(number, before, found)
        # nobody there any more: gone, or the new address was taken by an attempt whose answer was lost
        found = self.calls.someone(hash) if found is None else found
        if found is None:
            return LEFT_FORMER
        self._note(READDRESSED, number)
        return away(found.status)

    def _handed_over(self, number: int, before: Someone, there: Someone) -> Answer | None:
        """Membership, from the former address to another member who has the new one already."""
        name = self.batch.target.name
        left = away(there.status)
        if left is not None:
            return left
        tag = self.known.tags.find(self.calls, name)
        if tag is None or not self.known.tags.having(self.calls, tag, [before.hash]):
            # whoever was taken off under the former address stays off, unless it was us, just now
            ours = tag is not None and self._was_moving(number) and self.known.tags.having(self.calls, tag, [there.hash])
            return None if ours or self.batch.action is Action.ADD else LEFT_TAG
        self._note_moving(number)
        try:
            self.calls.tag_quietly(there.hash, name)
        except RefusedError as refused:
            return _meaning(refused.problem, Action.ADD)
        if before.hash not in self._groups():  # else somebody else has the former address by now, and the tag with it
            self.calls.take_off(tag, before.hash)
        return None

    def _is_the_same(self, number: int, there: Someone) -> bool:
        """Whether who is there under the new address is who was there under the former one: our syncs changed it, or the tag came along."""
        if self._was_moving(number) or self.known.moved.get(str(self._former(number))) == there.hash:
            return True
        tag = self.known.tags.find(self.calls, self.batch.target.name) if self.batch.action is Action.UPDATE else None
        return tag is not None and there.hash in self.known.tags.having(self.calls, tag, [there.hash])

    def _was_moving(self, number: int) -> bool:
        return self._is_noted(MOVING, number)

    def _note_moving(self, number: int) -> None:
        self.known.moved[str(self._former(number))] = str(self._hash(number))
        self.known.audience.doubt(str(self._former(number)))
        self._note(MOVING, number)

    def _is_noted(self, what: str, number: int) -> bool:
        return self._change(number).id in self.notes.kept.get(what, ())

    def _note(self, what: str, number: int) -> None:
        if not self._is_noted(what, number):
            self.notes.keep(**{what: [*self.notes.kept.get(what, ()), self._change(number).id]})

    # ------------------------------------------------------------ numbers and addresses

    def _change(self, number: int) -> Change:
        return self.batch.changes[number]

    def _hash(self, number: int) -> str | None:
        address = self._change(number).address
        return None if address is None else hash_of(address)

    def _former(self, number: int) -> str | None:
        """What the service called the contact, where that is not what its address is called now."""
        remote = self._change(number).remote_id
        return None if remote is None or remote == self._hash(number) else remote

    def _open(self) -> list[int]:
        return [number for number in range(len(self.batch.changes)) if number not in self.answers]

    def _groups(self) -> dict[str, list[int]]:
        """The changes that have no answer yet, by their addresses."""
        groups: dict[str, list[int]] = {}
        for number in self._open():
            hash = self._hash(number)
            if hash is not None:
                groups.setdefault(hash, []).append(number)
        return groups

    def _without_unfit(self) -> None:
        for number in self._open():
            answer = unfit(self._change(number).address)
            if answer is not None:
                self.answers[number] = answer

    def _without_gone(self) -> None:
        """Who has another contact's membership may have left as the person that it was before.

        That nobody is there by that name says nothing: the person may have another address by now.
        """
        for number in self._open():
            found = (self.calls.someone(name) for name in self._change(number).former_ids)
            away = next((one.status for one in found if one is not None and one.status in AWAY), None)
            if away is not None:
                self.answers[number] = Answer(Verdict.LEFT, f"{AWAY[away]}, under the former address", before=True)

    def _wanted(self, numbers: Sequence[int], hash: str, say: Say) -> Wanted:
        """One person of the contacts that share an address: the first one's fields, and consent only where all consent.

        Whom a sync knows by that very name was there: who is not any more was deleted, or has another address there, not by our doing.
        """
        changes = [self._change(number) for number in numbers]
        was_there = any(one.remote_id == hash for one in changes) and not any(one.anew for one in changes)
        consents = all(one.consents for one in changes)
        return Wanted(hash, str(changes[0].address), consents, say(changes[0].fields), was_there and hash not in self.known.moved)

    def _answer(self, numbers: Iterable[int], answer: Answer) -> None:
        for number in numbers:
            readdressed = self._is_noted(READDRESSED, number)
            name = self._hash(number) if readdressed and answer.verdict in (Verdict.REJECTED, Verdict.SKIPPED) else answer.remote_id
            self.answers[number] = replace(answer, readdressed=readdressed, remote_id=name)


def _meaning(problem: Problem, action: Action) -> Answer:
    """What a refusal of one request, alone or in a batch, means for its row."""
    if problem.status == 404:  # somebody whom we put in a moment ago may come back; whoever is to be changed is gone
        return UNSAID if action is Action.ADD else LEFT_AUDIENCE
    if problem.status in (403, 429) or problem.status >= 500:
        return Answer(Verdict.LATER, f"the service had trouble with it ({problem.status})", maybe=True)
    return problem.answer()


def _of_member(someone: Someone | None, hash: str) -> Answer:
    if someone is None:
        return LEFT_AUDIENCE
    return away(someone.status) or Answer(Verdict.SENT, remote_id=hash, status=someone.status)
