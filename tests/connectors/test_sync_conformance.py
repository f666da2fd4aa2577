"""One suite for every destination that segments are kept in step with. A new one is a new line in `KINDS`.

What such a destination is for enrollments is held in `test_conformance.py`; what it is for whole files, in `test_export_files.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segmentry.engine.connectors import memory
from segmentry.engine.connectors.destination import Answer, DestinationStopped, Verdict
from segmentry.engine.connectors.registry import open_destination, sync_traits_of
from segmentry.engine.connectors.syncing import Action, Change, Notes, SyncBatch, SyncDestination, Target
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from segmentry.sandbox.mailchimp import AUDIENCE, MailchimpSandbox
from segmentry.sandbox.webhook import WebhookSandbox
from tests.connectors.conftest import AT, another_secret, check_signatures, context, nothing, utc_now

LIST, TAG = "Newsletter", "seg:vip"
WRITES = ("POST", "PUT", "PATCH", "DELETE")
HAND = "hand"
"""Who was put in by hand, before anything else."""


class Rig(ABC):
    """A destination and the other side of it. People are named by their contact; `c_1` has the address c_1@example.com."""

    readable = True
    """Whether it can be asked who is in."""
    target = Target()

    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        self.settings = settings
        self.around = context(root)

    def open(self) -> SyncDestination:
        opened = open_destination("crm", self.settings, self.around)
        assert isinstance(opened, SyncDestination)
        return opened

    @property
    def size(self) -> int:
        """How many changes a batch may have, at most twelve."""
        return min(sync_traits_of(self.settings).batch, 12)

    @abstractmethod
    def inside(self) -> set[str]:
        """Who is in, by what the other side has; of one that can't be asked, who came and did not go."""

    @abstractmethod
    def writes(self) -> int:
        """The requests that wrote something, or were to."""

    @abstractmethod
    def refuse(self) -> str | None:
        """From now on what is opened has a wrong key: the key; None where there are none."""

    @abstractmethod
    def take_out(self, contact: str) -> None:
        """Somebody takes a person out by hand."""

    def close(self) -> None:  # noqa: B027 - not every other side is to be ended
        """Ends the other side."""


class MemoryRig(Rig):
    target = Target("list", "people")

    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        super().__init__(settings, root)
        memory.forget_all()
        self.memory = memory.memory(self.around.workspace, self.around.environment, "crm")
        self.memory.put_in(str(self.target), f"{HAND}@example.com")

    def inside(self) -> set[str]:
        return {name.removesuffix("@example.com") for name in self.memory.members(str(self.target))}

    def writes(self) -> int:
        return len(self.memory.synced)

    def refuse(self) -> str | None:
        return None

    def take_out(self, contact: str) -> None:
        self.memory.take_out(str(self.target), contact)

    def close(self) -> None:
        assert self.memory.wrongs == []


class WebhookRig(Rig):
    readable = False

    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        self.sandbox = WebhookSandbox(clock=utc_now)
        self.sandbox.start()
        super().__init__({**settings, "url": self.sandbox.url, "secrets": ["${S}"], "allow_private": True}, root)
        self.around = context(root, S=self.sandbox.secrets[0])

    def inside(self) -> set[str]:
        found = {HAND}
        for arrival in self.sandbox.inbox.arrivals:
            said = arrival.body.get("data", arrival.body)["contact"]
            if arrival.type == "segment.exited":
                found.discard(said)
            else:
                found.add(said)
        return found

    def writes(self) -> int:
        return self.sandbox.count

    def take_out(self, contact: str) -> None:
        raise AssertionError(f"nobody here knows where {contact} is in")

    def refuse(self) -> str | None:
        secret = another_secret()
        self.around = context(self.around.root, S=secret)
        return secret

    def close(self) -> None:
        self.sandbox.close()
        check_signatures(self.sandbox)


class KlaviyoRig(Rig):
    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        self.sandbox = KlaviyoSandbox(clock=utc_now)
        self.sandbox.start()
        super().__init__({**settings, "url": self.sandbox.url, "key": "${K}"}, root)
        self.around = context(root, K=self.sandbox.key)
        self.target = Target("list", self.sandbox.lists[0].id)
        self.sandbox.add_by_hand(LIST, f"{HAND}@example.com")

    def inside(self) -> set[str]:
        return {email.removesuffix("@example.com") for email in self.sandbox.members(LIST)}

    def writes(self) -> int:
        return sum(request.method in WRITES for request in self.sandbox.requests)

    def refuse(self) -> str | None:
        self.around = context(self.around.root, K="pk_0000000000000000000000000000000000")
        return self.around.environ["K"]

    def take_out(self, contact: str) -> None:
        self.sandbox.remove_from_list(LIST, f"{contact}@example.com")

    def close(self) -> None:
        self.sandbox.close()
        assert not self.sandbox.forbidden


class MailchimpRig(Rig):
    target = Target("tag", TAG)

    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        self.sandbox = MailchimpSandbox(clock=utc_now)
        self.sandbox.start()
        more = {"audience": AUDIENCE, "new_contacts": "subscribed", "consent": "agreed"}
        super().__init__({**settings, **more, "url": self.sandbox.url, "key": "${K}"}, root)
        self.around = context(root, K=self.sandbox.key)
        self.audience = self.sandbox.audiences[AUDIENCE]
        self.sandbox.people.subscribe(f"{HAND}@example.com")
        self.sandbox.people.tag(f"{HAND}@example.com", TAG)

    def inside(self) -> set[str]:
        tag = self.audience.tags[self.audience.names[TAG]]
        return {self.audience.members[hash].email.removesuffix("@example.com") for hash in tag.members}

    def writes(self) -> int:
        return sum(request.method in WRITES for request in self.sandbox.requests)

    def refuse(self) -> str | None:
        _, centre = self.sandbox.key.split("-")
        self.around = context(self.around.root, K=f"{'0' * 32}-{centre}")
        return self.around.environ["K"]

    def take_out(self, contact: str) -> None:
        self.sandbox.people.untag(f"{contact}@example.com", TAG)

    def close(self) -> None:
        self.sandbox.close()
        assert not self.sandbox.forbidden
        assert not self.sandbox.resubscribed


KINDS: dict[str, tuple[type[Rig], dict[str, Any]]] = {
    "memory": (MemoryRig, {"type": "memory", "batch": 20, "parallel": 4}),
    "klaviyo": (KlaviyoRig, {"type": "klaviyo"}),
    "mailchimp": (MailchimpRig, {"type": "mailchimp"}),
    "webhook": (WebhookRig, {"type": "webhook"}),
    "webhook, batches": (WebhookRig, {"type": "webhook", "batch": 20}),
    "webhook, cloudevents": (WebhookRig, {"type": "webhook", "format": "cloudevents"}),
    "webhook, cloudevents in batches": (WebhookRig, {"type": "webhook", "format": "cloudevents", "batch": 20}),
}


@pytest.fixture(params=KINDS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    kind, settings = KINDS[request.param]
    made = kind(settings, tmp_path)
    yield made
    made.close()


@pytest.fixture
def destination(rig: Rig) -> Iterator[SyncDestination]:
    opened = rig.open()
    yield opened
    opened.close()


def change(contact: str, **more: Any) -> Change:
    data = {"change_id": f"ch-{contact}", "segment": "vip", "contact": contact, "as_of": "2026-11-23T18:00:00Z", "fields": {}}
    return replace(Change(f"ch-{contact}", contact, f"{contact}@example.com", None, {}, data, consents=True), **more)


def batch(rig: Rig, action: Action, changes: Sequence[Change]) -> SyncBatch:
    """A batch of one change has its id, as the sender makes them. Another action is another change."""
    told = tuple(replace(one, id=f"{one.id}-{action}") for one in changes)
    return SyncBatch(told[0].id if len(told) == 1 else f"{told[0].id}-{len(told)}", "vip", rig.target, action, AT, told)


def sync(
    rig: Rig,
    destination: SyncDestination,
    action: Action,
    changes: Sequence[Change],
    *,
    before: Callable[[], None] = nothing,
    notes: Notes | None = None,
) -> list[Answer]:
    """Some changes in as many batches as the destination takes them in; what no answer may say is looked for in each."""
    found: list[Answer] = []
    size = rig.size
    for start in range(0, len(changes), size):
        part = changes[start : start + size]
        answers = list(destination.sync(batch(rig, action, part), before, notes or Notes()))
        assert len(answers) == len(part)
        found += answers
    for answer in found:
        assert "@" not in str(answer.reason)
        assert not set(rig.around.environ.values()) & set(str(answer.reason).split())
        assert answer.reason or answer.verdict is Verdict.SENT
    return found


def added(rig: Rig, destination: SyncDestination, changes: Sequence[Change]) -> list[Change]:
    """Adds contacts: as they come in later changes."""
    answers = sync(rig, destination, Action.ADD, changes)
    assert verdicts(answers) == [Verdict.SENT] * len(changes)
    return [replace(one, remote_id=answer.remote_id) for one, answer in zip(changes, answers, strict=True)]


def verdicts(answers: Sequence[Answer]) -> list[Verdict]:
    return [answer.verdict for answer in answers]


THREE = [change(f"c_{number}") for number in range(3)]
NAMES = {one.contact for one in THREE}


# ---------------------------------------------------------------- what is made so


def test_whoever_is_added_is_in_beside_those_who_were_put_in_by_hand(rig: Rig, destination: SyncDestination) -> None:
    added(rig, destination, THREE)
    assert rig.inside() == {*NAMES, HAND}


def test_whoever_is_removed_is_out_and_the_others_are_not(rig: Rig, destination: SyncDestination) -> None:
    first, *rest = added(rig, destination, THREE)
    assert verdicts(sync(rig, destination, Action.REMOVE, [first])) == [Verdict.SENT]
    assert rig.inside() == {*(one.contact for one in rest), HAND}


def test_a_removal_needs_no_address_any_more(rig: Rig, destination: SyncDestination) -> None:
    (one,) = added(rig, destination, THREE[:1])
    assert verdicts(sync(rig, destination, Action.REMOVE, [replace(one, address=None)])) == [Verdict.SENT]
    assert rig.inside() == {HAND}


def test_fields_are_updated_without_anybody_coming_or_going(rig: Rig, destination: SyncDestination) -> None:
    known = added(rig, destination, THREE)
    assert verdicts(sync(rig, destination, Action.UPDATE, [replace(one, fields={"FNAME": "Ada"}) for one in known])) == [Verdict.SENT] * 3
    assert rig.inside() == {*NAMES, HAND}


def test_who_was_removed_may_come_back(rig: Rig, destination: SyncDestination) -> None:
    known = added(rig, destination, THREE[:1])
    sync(rig, destination, Action.REMOVE, known)
    again = [replace(one, id="ch-again") for one in known]
    assert verdicts(sync(rig, destination, Action.ADD, again)) == [Verdict.SENT]
    assert rig.inside() == {THREE[0].contact, HAND}


# ---------------------------------------------------------------- repeats


@pytest.mark.parametrize("anew", [False, True])
def test_the_same_batch_again_does_no_harm(rig: Rig, destination: SyncDestination, anew: bool) -> None:
    told, kept = [change(f"c_{number}") for number in range(rig.size)], Notes()
    first = destination.sync(batch(rig, Action.ADD, told), nothing, kept)
    other = rig.open() if anew else destination
    again = other.sync(batch(rig, Action.ADD, told), nothing, Notes(kept.kept))
    assert verdicts(again) == verdicts(first) == [Verdict.SENT] * len(told)
    assert [answer.remote_id for answer in again] == [answer.remote_id for answer in first]
    assert rig.inside() == {*(one.contact for one in told), HAND}
    if anew:
        other.close()


def test_the_same_removal_again_removes_nobody_else(rig: Rig, destination: SyncDestination) -> None:
    known = added(rig, destination, THREE)
    sync(rig, destination, Action.REMOVE, known[:1])
    (again,) = sync(rig, destination, Action.REMOVE, known[:1])
    assert again.verdict in (Verdict.SENT, Verdict.LEFT)
    assert rig.inside() == {*(one.contact for one in known[1:]), HAND}


# ---------------------------------------------------------------- who left


def readable(rig: Rig) -> None:
    if not rig.readable:
        pytest.skip("it can't be asked who is in")


def test_who_is_not_there_any_more_is_answered_so_where_it_stands(rig: Rig, destination: SyncDestination) -> None:
    readable(rig)
    known = added(rig, destination, THREE)
    rig.take_out(known[1].contact)
    assert verdicts(sync(rig, destination, Action.REMOVE, known)) == [Verdict.SENT, Verdict.LEFT, Verdict.SENT]
    assert rig.inside() == {HAND}


def test_whom_another_segment_has_is_looked_at_and_not_taken_out(rig: Rig, destination: SyncDestination) -> None:
    readable(rig)
    known = added(rig, destination, THREE)
    rig.take_out(known[1].contact)
    told = [replace(known[0], kept=True), replace(known[1], kept=True), known[2]]
    assert verdicts(sync(rig, destination, Action.REMOVE, told)) == [Verdict.SENT, Verdict.LEFT, Verdict.SENT]
    assert rig.inside() == {known[0].contact, HAND}


def test_an_update_puts_nobody_back(rig: Rig, destination: SyncDestination) -> None:
    readable(rig)
    known = added(rig, destination, THREE)
    rig.take_out(known[1].contact)
    sync(rig, destination, Action.UPDATE, [replace(one, fields={"FNAME": "Ada"}) for one in known])
    assert rig.inside() == {known[0].contact, known[2].contact, HAND}


# ---------------------------------------------------------------- before


def test_before_is_called_before_each_request_that_writes(rig: Rig, destination: SyncDestination) -> None:
    at = rig.writes()
    seen: list[int] = []
    known = added(rig, destination, THREE[:1])
    start = rig.writes()
    assert start > at
    for action in (Action.UPDATE, Action.REMOVE):
        sync(rig, destination, action, known, before=lambda: seen.append(rig.writes() - start))
    assert seen[0] == 0
    assert all(before >= done for before, done in enumerate(seen)), "a request that writes was not looked at before"
    assert rig.writes() - start <= len(seen)


@pytest.mark.parametrize("action", [Action.ADD, Action.REMOVE])
@pytest.mark.parametrize("error", [KeyboardInterrupt, LookupError])
def test_what_before_raises_passes_unchanged_and_nothing_is_written(
    rig: Rig, destination: SyncDestination, action: Action, error: type[BaseException]
) -> None:
    known = added(rig, destination, THREE[:1])
    there, writes, raised = rig.inside(), rig.writes(), error("by somebody")

    def before() -> None:
        raise raised

    with pytest.raises(error) as passed:
        sync(rig, destination, action, known if action is Action.REMOVE else [change("c_7")], before=before)
    assert passed.value is raised
    assert (rig.inside(), rig.writes()) == (there, writes)


# ---------------------------------------------------------------- a wrong key, and what is never said


def test_a_wrong_key_stops_it_and_is_not_said(rig: Rig) -> None:
    key = rig.refuse()
    if key is None:
        pytest.skip("it has no keys")
    there = rig.inside()
    opened = rig.open()
    for action in Action:
        with pytest.raises(DestinationStopped) as stopped:
            opened.sync(batch(rig, action, [change("c_1", remote_id="0" * 32)]), nothing, Notes())
        assert key not in str(stopped.value)
        assert "@" not in str(stopped.value)
        assert not stopped.value.disabled
    opened.close()
    assert rig.inside() == there


def test_a_key_is_in_no_text_of_a_destination(rig: Rig, destination: SyncDestination) -> None:
    for secret in rig.around.environ.values():
        assert secret not in repr([destination, *vars(destination).values()])


# ---------------------------------------------------------------- reading


def test_who_is_in_can_be_read_or_that_it_can_not_is_said(rig: Rig, destination: SyncDestination) -> None:
    known = added(rig, destination, THREE)
    if not rig.readable:
        with pytest.raises(DestinationStopped):
            list(destination.members(rig.target))
        return
    found = {member.address: member for page in destination.members(rig.target) for member in page}
    assert set(found) == {f"{name}@example.com" for name in (*NAMES, HAND)}
    assert [found[one.address].remote_id for one in known] == [one.remote_id for one in known]


def test_a_target_is_looked_at_without_a_change(rig: Rig, destination: SyncDestination) -> None:
    added(rig, destination, THREE)
    writes = rig.writes()
    outlook = destination.look(rig.target)
    assert outlook.title
    assert outlook.members == (4 if rig.readable else None)
    assert all("@" not in text for text in (outlook.title, *outlook.warnings))
    assert bool(list(destination.places())) is rig.readable
    assert rig.writes() == writes


def test_it_closes_without_having_done_anything(rig: Rig) -> None:
    writes = rig.writes()
    rig.open().close()
    assert rig.writes() == writes
