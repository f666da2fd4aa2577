"""One suite for every destination: what the seam's contract promises, each keeps. A new connector is a new line in `KINDS`."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from segmentry.engine.connectors import memory
from segmentry.engine.connectors.destination import Batch, Destination, Verdict
from segmentry.engine.connectors.registry import open_destination
from segmentry.sandbox.klaviyo import KlaviyoSandbox
from segmentry.sandbox.mailchimp import AUDIENCE, MailchimpSandbox, Request
from segmentry.sandbox.webhook import WebhookSandbox
from tests.connectors.conftest import batch, check_signatures, context, nothing, utc_now


class Rig(ABC):
    """A destination and the other side of it."""

    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        self.settings = settings
        self.around = context(root)

    def open(self) -> Destination:
        return open_destination("crm", self.settings, self.around)

    @abstractmethod
    def has(self) -> set[str]:
        """The ids of the rows that the other side has."""

    @abstractmethod
    def asked(self) -> int:
        """The requests it had, or things that are as good as that."""

    def close(self) -> None:  # noqa: B027 - not every other side is to be ended
        """Ends the other side."""


class MemoryRig(Rig):
    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        super().__init__(settings, root)
        memory.forget_all()
        self.memory = memory.memory(self.around.workspace, self.around.environment, "crm")

    def has(self) -> set[str]:
        return set(self.memory.rows)

    def asked(self) -> int:
        return len(self.memory.requests)


READERS = {"parquet": pl.read_parquet, "csv": pl.read_csv, "ndjson": pl.read_ndjson}


class FilesRig(Rig):
    @property
    def files(self) -> list[Path]:
        return sorted((self.around.root / "exports").rglob(f"*.{self.settings['format']}"))

    def has(self) -> set[str]:
        found = [id for path in self.files for id in READERS[self.settings["format"]](path)["id"].to_list()]
        assert len(found) == len(set(found))
        return set(found)

    def asked(self) -> int:
        return len(self.files)


class WebhookRig(Rig):
    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        self.sandbox = WebhookSandbox(clock=utc_now)
        self.sandbox.start()
        super().__init__({**settings, "url": self.sandbox.url, "secrets": ["${S}"], "allow_private": True}, root)
        self.around = context(root, S=self.sandbox.secrets[0])

    def has(self) -> set[str]:
        events = self.settings.get("format") == "cloudevents"
        arrivals = self.sandbox.inbox.arrivals
        if events:
            assert all(arrival.body["id"] == arrival.id for arrival in arrivals)
        return {arrival.id for arrival in arrivals}

    def asked(self) -> int:
        return self.sandbox.count

    def close(self) -> None:
        self.sandbox.close()
        check_signatures(self.sandbox)


class KlaviyoRig(Rig):
    """Enrollments are events there; whoever is looked up before is no request that tells."""

    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        self.sandbox = KlaviyoSandbox(clock=utc_now)
        self.sandbox.start()
        super().__init__({**settings, "url": self.sandbox.url, "key": "${K}"}, root)
        self.around = context(root, K=self.sandbox.key)

    def has(self) -> set[str]:
        return {event.unique_id for event in self.sandbox.events}

    def asked(self) -> int:
        return sum(event.times for event in self.sandbox.events)

    def close(self) -> None:
        self.sandbox.close()
        assert not self.sandbox.forbidden


class MailchimpRig(Rig):
    """Enrollments are those who have a tag there. Everybody is in the audience already, so nothing else is to be written."""

    NAMED = ("only", *(f"r{number}" for number in range(500)), *(f"s{number}" for number in range(7)))
    IN_THREADS = tuple(f"t{number}-{each}" for number in range(24) for each in range(3))

    def __init__(self, settings: dict[str, Any], root: Path) -> None:
        self.tagging = 0
        self.sandbox = MailchimpSandbox(clock=utc_now, heard=self._heard)
        self.sandbox.start()
        super().__init__({**settings, "audience": AUDIENCE, "new_contacts": "skip", "url": self.sandbox.url, "key": "${K}"}, root)
        self.around = context(root, K=self.sandbox.key)
        self.audience = self.sandbox.audiences[AUDIENCE]
        self.sandbox.world.tag_named(self.audience, "welcome")
        for id in (*self.NAMED, *self.IN_THREADS):
            self.sandbox.people.subscribe(f"{id}@example.com")

    def _heard(self, request: Request) -> None:
        self.tagging += request.method == "POST" and "/segments/" in request.path

    def has(self) -> set[str]:
        tag = self.audience.tags[self.audience.names["welcome"]]
        return {self.audience.members[hash].email.removesuffix("@example.com") for hash in tag.members}

    def asked(self) -> int:
        return self.tagging

    def close(self) -> None:
        self.sandbox.close()
        assert not self.sandbox.forbidden
        assert not self.sandbox.resubscribed


KINDS: dict[str, tuple[type[Rig], dict[str, Any]]] = {
    "memory": (MemoryRig, {"type": "memory", "parallel": 4}),
    "memory, batches": (MemoryRig, {"type": "memory", "batch": 10, "parallel": 4}),
    "files, parquet": (FilesRig, {"type": "files", "path": "exports", "format": "parquet"}),
    "files, csv": (FilesRig, {"type": "files", "path": "exports", "format": "csv"}),
    "files, ndjson": (FilesRig, {"type": "files", "path": "exports", "format": "ndjson"}),
    "klaviyo": (KlaviyoRig, {"type": "klaviyo"}),
    "mailchimp": (MailchimpRig, {"type": "mailchimp"}),
    "webhook": (WebhookRig, {"type": "webhook"}),
    "webhook, batches": (WebhookRig, {"type": "webhook", "batch": 10}),
    "webhook, cloudevents": (WebhookRig, {"type": "webhook", "format": "cloudevents"}),
    "webhook, cloudevents in batches": (WebhookRig, {"type": "webhook", "format": "cloudevents", "batch": 10}),
}


@pytest.fixture(params=KINDS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    kind, settings = KINDS[request.param]
    made = kind(settings, tmp_path)
    yield made
    made.close()


@pytest.fixture
def destination(rig: Rig) -> Iterator[Destination]:
    opened = rig.open()
    yield opened
    opened.close()


def some(destination: Destination, *, named: str = "r", at_most: int = 7) -> Batch:
    return batch(*(f"{named}{number}" for number in range(min(destination.traits.batch, at_most))))


def test_every_row_gets_an_answer_in_order(rig: Rig, destination: Destination) -> None:
    told = some(destination)
    answers = destination.send(told, nothing)
    assert [answer.verdict for answer in answers] == [Verdict.SENT] * len(told.rows)
    assert rig.has() == {row.id for row in told.rows}


def test_one_row_alone_is_a_batch_too(rig: Rig, destination: Destination) -> None:
    assert [answer.verdict for answer in destination.send(batch("only"), nothing)] == [Verdict.SENT]
    assert rig.has() == {"only"}


def test_before_is_called_once_before_each_request(rig: Rig, destination: Destination) -> None:
    seen = []
    destination.send(some(destination), lambda: seen.append(rig.asked()))
    destination.send(some(destination, named="s"), lambda: seen.append(rig.asked()))
    assert seen == [0, 1]
    assert rig.asked() == 2


def test_what_before_raises_passes_unchanged_and_nothing_is_sent(rig: Rig, destination: Destination) -> None:
    class PausedError(Exception):
        pass

    paused = PausedError("by somebody")

    def before() -> None:
        raise paused

    with pytest.raises(PausedError) as raised:
        destination.send(some(destination), before)
    assert raised.value is paused
    assert rig.has() == set()
    assert rig.asked() == 0


def test_an_interrupt_in_before_passes_too(rig: Rig, destination: Destination) -> None:
    def before() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        destination.send(some(destination), before)
    assert rig.has() == set()


def test_the_same_batch_twice_is_one_thing_where_that_is_promised(rig: Rig, destination: Destination) -> None:
    assert destination.traits.repeat_safe
    told = some(destination)
    first = destination.send(told, nothing)
    assert destination.send(told, nothing) == first
    assert rig.has() == {row.id for row in told.rows}


def test_the_same_batch_from_a_destination_opened_anew_is_one_thing(rig: Rig, destination: Destination) -> None:
    told = some(destination)
    destination.send(told, nothing)
    second = rig.open()
    second.send(told, nothing)
    second.close()
    assert rig.has() == {row.id for row in told.rows}


def test_threads_each_with_a_batch_of_their_own(rig: Rig, destination: Destination) -> None:
    asked: Counter[str] = Counter()
    lock = threading.Lock()

    def tell(number: int) -> list[Verdict]:
        told = some(destination, named=f"t{number}-", at_most=3)

        def before() -> None:
            with lock:
                asked[told.id] += 1

        return [answer.verdict for answer in destination.send(told, before)]

    with ThreadPoolExecutor(destination.traits.parallel) as threads:
        verdicts = list(threads.map(tell, range(24)))
    assert {verdict for each in verdicts for verdict in each} == {Verdict.SENT}
    assert set(asked.values()) == {1}
    assert len(rig.has()) == sum(map(len, verdicts))


def test_a_full_batch_is_taken(rig: Rig, destination: Destination) -> None:
    size = min(destination.traits.batch, 2000)
    told = some(destination, at_most=size)
    assert len(destination.send(told, nothing)) == size
    assert len(rig.has()) == size


def test_words_of_every_kind_arrive(rig: Rig, destination: Destination) -> None:
    told = batch("r1")
    odd = {**told.rows[0].data, "name": 'O\'Brien, "Bo"\nLi\t🎈', "none": None, "yes": True, "many": [1, 2], "deep": {"a": {"b": 1.5}}}
    told = replace(told, rows=(replace(told.rows[0], data=odd),))
    assert destination.send(told, nothing)[0].verdict is Verdict.SENT
    assert rig.has() == {"r1"}


def test_traits_are_such_that_a_sender_can_go_by_them(destination: Destination) -> None:
    traits = destination.traits
    assert traits.batch >= 1
    assert traits.parallel >= 1
    assert traits.per_minute > 0


def test_an_account_is_text_or_none(destination: Destination) -> None:
    assert destination.account() is None or destination.account()


def test_it_closes_without_having_sent_anything(rig: Rig) -> None:
    rig.open().close()
    assert rig.asked() == 0


def test_it_closes_after_a_failure(rig: Rig) -> None:
    opened = rig.open()

    def before() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        opened.send(some(opened), before)
    opened.close()
