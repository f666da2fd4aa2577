"""Mailchimp: segments keep tags of an audience in step, sequences are automations that a tag starts, or journeys.

What the service is asked is in `mailchimp_calls.py`, how in `mailchimp_line.py`; who may be put in the audience in
`mailchimp_people.py`, and what keeps a tag in step in `mailchimp_syncing.py`. Here is the seam.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from segmentry.engine.connectors.addresses import Resolve, resolve
from segmentry.engine.connectors.destination import Answer, Batch, DestinationStopped, Row, Verdict
from segmentry.engine.connectors.mailchimp_audience import Audience
from segmentry.engine.connectors.mailchimp_calls import Calls
from segmentry.engine.connectors.mailchimp_fields import MergeFields
from segmentry.engine.connectors.mailchimp_line import Line, RefusedError, TroubleError, Waiting
from segmentry.engine.connectors.mailchimp_people import LEFT_AUDIENCE, People, Wanted, hash_of, unfit
from segmentry.engine.connectors.mailchimp_reasons import AWAY, away, shown
from segmentry.engine.connectors.mailchimp_syncing import LEFT_FORMER, Knowledge, Work
from segmentry.engine.connectors.mailchimp_tags import Tags
from segmentry.engine.connectors.registry import Context
from segmentry.engine.connectors.settings import MailchimpSettings
from segmentry.engine.connectors.syncing import Member, Notes, Outlook, Place, SyncBatch, SyncDestination, Target
from segmentry.errors import DestinationError

SENDING, SYNCING, LOOKING = 30.0, 90.0, 30.0
"""Seconds that one request may be tried for: of an enrollment, of a sync, of a look."""
T = TypeVar("T")

SHOWN = 3
"""Names of automations in a warning."""


class MailchimpDestination(SyncDestination):
    """An audience of an account, over at most five connections."""

    notes_removals = True

    def __init__(self, settings: MailchimpSettings, *, waiting: Waiting, names: Resolve = resolve, patience: float | None = None) -> None:
        self.traits = settings.traits
        self._settings = settings
        self._patience = patience
        self._line = Line(settings.key, settings.url, settings.seconds, waiting, names)
        audience = Audience(waiting)
        self._known = Knowledge(audience, People(audience, settings.new_contacts), MergeFields(), Tags(waiting))
        self._about: Mapping[str, Any] | None = None
        self._account: str | None = None
        self._lock = threading.Lock()

    @classmethod
    def open(cls, name: str, settings: MailchimpSettings, context: Context) -> MailchimpDestination:
        """Checks what only the environment could tell, the key and the address. Raises DestinationError."""
        try:
            return cls(settings, waiting=Waiting(clock=context.clock))
        except ValueError as error:
            raise DestinationError(f"destination `{name}`: {error}") from None

    def account(self) -> str | None:
        """The account's id, which stays when the key is another."""
        with self._lock:
            if self._account is None:
                self._account = self._looked(lambda: self._calls(LOOKING).account())
            return self._account

    def place(self) -> str:
        """The audience: another has other members, and nobody who left this one left that."""
        return f"audience {self._settings.audience}"

    def close(self) -> None:
        self._line.close()

    # ------------------------------------------------------------ telling

    def sync(self, batch: SyncBatch, before: Callable[[], None], notes: Notes) -> Sequence[Answer]:
        if batch.target.kind != "tag":
            raise DestinationStopped(f"an audience is kept in step by tags, and `{batch.target}` is none")
        calls = self._calls(SYNCING, before)
        try:
            self._there(calls)
            return Work(batch, calls, notes, self._known).done()
        except TroubleError as trouble:
            return [trouble.answer] * len(batch.changes)
        except RefusedError as refused:
            raise DestinationStopped(f"the service refuses it: {refused.problem.summary}") from None

    def send(self, batch: Batch, before: Callable[[], None]) -> Sequence[Answer]:
        calls = self._calls(SENDING, before)
        found: dict[str, Answer] = {}
        try:
            self._there(calls)
            self._enroll(calls, batch, found)
        except TroubleError as trouble:
            # what came to nothing before a journey is started is no journey that may have been started
            maybe = trouble.answer.maybe and "journey" not in batch.words
            return [found.get(row.id, replace(trouble.answer, maybe=maybe)) for row in batch.rows]
        except RefusedError as refused:
            raise DestinationStopped(f"the service refuses it: {refused.problem.summary}") from None
        return [found[row.id] for row in batch.rows]

    def _enroll(self, calls: Calls, batch: Batch, found: dict[str, Answer]) -> None:
        """Puts the rows' people in the audience, and enrolls those who are in it. Answers go into `found`, by row, as they come."""
        tag, journey = batch.words.get("tag"), batch.words.get("journey")
        if not isinstance(tag, str) and not isinstance(journey, Mapping):
            raise DestinationStopped(f"the sequence `{batch.target}` names neither a tag nor a journey")
        found.update((row.id, answer) for row in batch.rows if (answer := unfit(row.address)) is not None)
        found.update(self._who_left_before(calls, [row for row in batch.rows if row.id not in found]))
        rows = [row for row in batch.rows if row.id not in found]
        say = self._known.fields.ready(calls, map(_fields, rows))
        if isinstance(journey, Mapping):
            for row in rows:
                found[row.id] = _named(self._start(calls, journey, row, say(_fields(row))), row)
            return
        people: dict[str, Row] = {}
        for row in rows:
            people.setdefault(hash_of(str(row.address)), row)
        wanted = [Wanted(hash, str(row.address), row.consents, say(_fields(row))) for hash, row in people.items()]
        answers = self._known.people.admit(calls, wanted)
        going = {hash: str(row.address) for hash, row in people.items() if answers[hash].verdict is Verdict.SENT}
        found.update((row.id, _not_enrolled(answers[hash])) for row in rows if (hash := hash_of(str(row.address))) not in going)
        if going:
            answers.update(self._known.tags.enroll(calls, str(tag), going))
        found.update((row.id, _named(_not_enrolled(answers[hash_of(str(row.address))]), row)) for row in rows)

    def _who_left_before(self, calls: Calls, rows: Sequence[Row]) -> dict[str, Answer]:
        """The refusals of those who left under an address that they had before, by row, or were there under this one and are not.

        Who is gone under a former one may have another by now, which is known to be theirs where somebody is there.
        """
        formers = {row.id: [hash for hash in _formers(row) if hash != hash_of(str(row.address))] for row in rows}
        asked = list(dict.fromkeys(hash for hashes in formers.values() for hash in hashes))
        were = {row.id: hash for row in rows if (hash := hash_of(str(row.address))) in row.remote_ids}
        if not asked and not were:
            return {}
        standing = self._known.audience.standing(calls, asked, asked)
        gone = {row.id: hash_of(str(row.address)) for row in rows if any(standing[hash].status is None for hash in formers[row.id])}
        # whose address we changed ourselves is there under another
        gone |= {id: hash for id, hash in were.items() if all(standing[former].status is None for former in formers[id])}
        present = self._known.audience.standing(calls, list(gone.values()), list(gone.values()), set(were.values()))
        refused: dict[str, Answer] = {}
        for row in rows:
            statuses = [standing[hash].status for hash in formers[row.id]]
            left = next((status for status in statuses if status in AWAY), None)
            if left is not None:
                refused[row.id] = _not_enrolled(Answer(Verdict.LEFT, f"{AWAY[left]}, under the former address", status=left))
            elif row.id in gone and present[gone[row.id]].status is None:
                refused[row.id] = _not_enrolled(LEFT_FORMER if formers[row.id] else LEFT_AUDIENCE)
        return refused

    def _start(self, calls: Calls, journey: Mapping[str, Any], row: Row, fields: Mapping[str, Any]) -> Answer:
        """Starts a journey for one, at most once."""
        address = str(row.address)
        hash = hash_of(address)
        someone = calls.someone(hash)
        left = None if someone is None else away(someone.status)
        if left is not None:
            return _not_enrolled(left)
        # what is as it should be is not asked for: where nothing was asked before, nothing is in doubt if the journey is not there
        if someone is None or any(someone.fields.get(name) != value for name, value in fields.items()):
            admitted = self._known.people.admit(calls, [Wanted(hash, address, row.consents, fields)])[hash]
            if admitted.verdict is not Verdict.SENT:
                return _not_enrolled(admitted)
        try:
            calls.trigger(journey["id"], journey["step"], address)
        except RefusedError as refused:
            if refused.problem.status == 404:
                raise DestinationStopped(f"there is no step {journey['step']} of a journey {journey['id']} in this account") from None
            return _not_enrolled(replace(refused.problem.answer(), again=False))
        except TroubleError as trouble:
            if trouble.answer.maybe:
                return Answer(Verdict.UNKNOWN, f"{trouble.answer.reason}, and a journey is not started twice")
            return trouble.answer
        return Answer(Verdict.SENT)

    # ------------------------------------------------------------ looking

    def members(self, target: Target) -> Iterator[Sequence[Member]]:
        calls = self._calls(LOOKING)
        tag = self._looked(lambda: self._tag(calls, target))
        pages = iter(()) if tag is None else calls.tagged(tag)
        while (page := self._looked(lambda: next(pages, None))) is not None:
            yield [Member(one.hash, one.address, status=one.status) for one in page]

    def look(self, target: Target) -> Outlook:
        return self._looked(lambda: self._outlook(target))

    def places(self) -> Sequence[Place]:
        return self._looked(self._places)

    def _outlook(self, target: Target) -> Outlook:
        calls = self._calls(LOOKING)
        about = self._there(calls)
        warnings: list[str] = []
        starts: list[str] = []
        if about.get("double_optin") is True:
            warnings.append("The audience has double opt-in on: contacts that are put in as subscribed are not asked to confirm.")
        live = [
            one for one in calls.automations() if one.get("status") == "sending" and _audience_of(one) in (None, self._settings.audience)
        ]
        if live:
            titles = [f"`{shown(_title(one))}`" for one in live[:SHOWN]]
            more = f" and {len(live) - SHOWN} more" if len(live) > SHOWN else ""
            starts = [
                f"Live automations use the audience ({', '.join(titles)}{more}); a sync's tag starts none of them, a sequence's does."
            ]
            warnings += starts
        found = next((one for one in calls.tags() if one.get("name") == target.name), None)
        if found is None:
            warnings.append(f"There is no tag `{target.name}` yet; the first sync makes it.")
        size = 0 if found is None else found.get("member_count")
        title = f"{target.name} in {_title(about)}"
        return Outlook(title, size if isinstance(size, int) else None, tuple(warnings), frozenset(calls.fields()), tuple(starts))

    def _places(self) -> list[Place]:
        calls = self._calls(LOOKING)
        places = []
        for one in calls.audiences():
            stats = one.get("stats")
            size = stats.get("member_count") if isinstance(stats, Mapping) else None
            notes = "double opt-in" if one.get("double_optin") is True else ""
            places.append(Place("audience", str(one.get("id")), _title(one), size, notes))
        self._there(calls)
        places += [Place("tag", _title(one), _title(one), one.get("member_count")) for one in calls.tags()]
        places += [Place("journey", str(one.get("id")), _title(one), notes=str(one.get("status", ""))) for one in calls.automations()]
        return places

    def _tag(self, calls: Calls, target: Target) -> int | None:
        self._there(calls)
        return self._known.tags.find(calls, target.name)

    # ------------------------------------------------------------ what they have in common

    def _calls(self, patience: float, before: Callable[[], None] = lambda: None) -> Calls:
        return Calls(self._line, self._settings.audience, patience if self._patience is None else self._patience, before)

    def _there(self, calls: Calls) -> Mapping[str, Any]:
        """What is to be known of the audience, read once: else nobody could tell a person who is not there from an audience that isn't."""
        with self._lock:
            if self._about is None:
                self._about = calls.about_audience()
                stats = self._about.get("stats")
                size = stats.get("member_count") if isinstance(stats, Mapping) else None
                self._known.audience.size = size if isinstance(size, int) else 0
            return self._about

    def _looked(self, look: Callable[[], T]) -> T:
        """Reads something for people, for whom there is no later: what can't be read is said."""
        try:
            return look()
        except TroubleError as trouble:
            raise DestinationStopped(str(trouble.answer.reason)) from None
        except RefusedError as refused:
            raise DestinationStopped(f"the service refuses to tell: {refused.problem.summary}") from None


def _fields(row: Row) -> Mapping[str, Any]:
    found = row.data.get("fields")
    return found if isinstance(found, Mapping) else {}


def _formers(row: Row) -> list[str]:
    """What the service calls a contact, or called it, and would call it by addresses that it had."""
    return [*row.remote_ids, *(hash_of(address) for address in row.formers)]


def _named(answer: Answer, row: Row) -> Answer:
    """The answer with what the service calls whom it enrolled."""
    return replace(answer, remote_id=hash_of(str(row.address))) if answer.verdict is Verdict.SENT else answer


def _not_enrolled(answer: Answer) -> Answer:
    """What an answer about the audience is to an enrollment, which knows of nobody who left or is left out: it is rejected."""
    if answer.verdict is Verdict.LEFT:
        return Answer(Verdict.REJECTED, f"left there: {answer.reason}", status=answer.status)
    if answer.verdict is Verdict.SKIPPED:
        return Answer(Verdict.REJECTED, answer.reason)
    return answer


def _title(one: Mapping[str, Any]) -> str:
    settings = one.get("settings")
    inner = settings.get("title") if isinstance(settings, Mapping) else None
    return str(one.get("name") or one.get("journey_name") or inner or one.get("id") or "")


def _audience_of(one: Mapping[str, Any]) -> Any:
    recipients = one.get("recipients")
    return recipients.get("list_id") if isinstance(recipients, Mapping) else one.get("list_id")
