"""A hundred thousand: never faster than the account may be asked, killed at any request and resumed, nobody twice, in little memory."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.klaviyo import KlaviyoDestination
from segmentry.engine.connectors.settings import KlaviyoSettings
from segmentry.engine.connectors.syncing import Action, Change, Notes, SyncBatch, Target
from segmentry.sandbox.klaviyo import Request
from tests.connectors.conftest import AT, nothing
from tests.connectors.klaviyo.conftest import Account, Passing, change, row, told

ALL = 100_000
BATCH = 5_000
MEGABYTES = 80
"""What a sync may take beside what the first batch took."""


pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]


class KilledError(BaseException):
    """A process that is no more."""


def batches(action: Action, target: Target, ids: Mapping[str, str | None]) -> Iterator[SyncBatch]:
    for start in range(0, ALL, BATCH):
        rows = [change(number, fields={"ltv": number % 7}, remote_id=ids.get(f"c_{number}")) for number in range(start, start + BATCH)]
        yield SyncBatch(f"{action}-{start}", "vip", target, action, AT, tuple(rows))


def finished(account: Account, batch: SyncBatch, draws: random.Random) -> list[tuple[Change, Answer]]:
    """A batch, by as many processes as it takes: each may be killed before any request that writes, or while it waits for a job."""
    stored: Mapping[str, Any] = {}

    def store(kept: Mapping[str, Any]) -> None:
        nonlocal stored
        stored = kept

    slept = account.time.sleep
    for dying in (0.3, 0.3, 0.0):

        def before(dying: float = dying) -> None:
            if draws.random() < dying:
                raise KilledError

        def sleep(seconds: float, dying: float = dying) -> None:
            slept(seconds)
            if draws.random() < dying / 3:
                raise KilledError

        account.time.sleep = sleep  # type: ignore[method-assign]
        destination = account.open()
        try:
            answers = destination.sync(batch, before, Notes(stored, store))
        except KilledError:
            continue
        finally:
            account.time.sleep = slept  # type: ignore[method-assign]
            account.opened.remove(destination)
            destination.close()
        return list(zip(batch.changes, answers, strict=True))
    raise AssertionError("the last process is not killed")


def test_a_hundred_thousand_come_and_go_at_klaviyo_s_own_pace_whatever_is_killed(account: Account, draws: random.Random) -> None:
    statuses: Counter[int | None] = Counter()
    jobs = 0

    def hear(request: Request) -> None:
        nonlocal jobs
        statuses[request.status] += 1
        jobs += (request.method, request.path) == ("POST", "/api/profile-bulk-import-jobs")

    account.hear = hear  # type: ignore[method-assign]
    account.put_by_hand("other@example.com")
    ids: dict[str, str | None] = {}
    for batch in batches(Action.ADD, account.target, ids):
        for one, answer in finished(account, batch, draws):
            assert answer.verdict is Verdict.SENT
            ids[one.contact] = answer.remote_id
    assert len(account.sandbox.profiles) == ALL + 1
    assert len(account.sandbox.members("Newsletter")) == ALL + 1
    assert len(set(ids.values())) == ALL
    assert jobs == ALL // BATCH
    for batch in batches(Action.REMOVE, account.target, ids):
        assert {answer.verdict for _, answer in finished(account, batch, draws)} == {Verdict.SENT}
    assert account.members == {"other@example.com"}
    # a process that is killed forgets what it asked in its last minute: only then may one be told to wait
    assert statuses[429] < 0.05 * statuses[200]


def test_a_hundred_thousand_are_told_once_each_and_never_faster_than_they_may(account: Account) -> None:
    statuses: Counter[int | None] = Counter()
    account.hear = lambda request: statuses.update([request.status])  # type: ignore[method-assign]
    destination = account.open()
    began = account.time.seconds
    with ThreadPoolExecutor(destination.traits.parallel) as threads:
        for start in range(0, ALL, BATCH):
            answers = threads.map(lambda number: destination.send(told(row(number)), nothing)[0], range(start, start + BATCH))
            assert {(answer.verdict, answer.reason) for answer in answers} == {(Verdict.SENT, None)}
    assert len(account.sandbox.events) == ALL
    assert {event.times for event in account.sandbox.events} == {1}
    assert statuses[429] == 0
    assert account.time.seconds - began > ALL / 3500 * 60


@contextmanager
def stand_in() -> Iterator[tuple[str, str, str]]:
    """A sandbox in a process of its own, as from the command line: its address, its key, and its list's id."""
    command = [sys.executable, "-m", "segmentry", "sandbox", "klaviyo", "--port", "0", "--pace", "100000", "--list", "Newsletter"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            said = [process.stdout.readline().split() for _ in range(4)]
            yield said[0][1], said[2][1], said[3][1]
        finally:
            process.terminate()
            process.wait(10)


def test_a_hundred_thousand_take_no_more_memory_than_a_batch() -> None:
    passing = Passing()
    with stand_in() as (url, key, list_id):
        settings = KlaviyoSettings.model_validate({"type": "klaviyo", "key": "${K}", "url": url}).model_copy(update={"key": key})
        destination = KlaviyoDestination(settings, now=passing.now, sleep=passing.sleep)
        first = 0
        for batch in batches(Action.ADD, Target("list", list_id), {}):
            assert {answer.verdict for answer in destination.sync(batch, nothing, Notes())} == {Verdict.SENT}
            first = first or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert sum(len(page) for page in destination.members(Target("list", list_id))) == ALL
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) / 1024 < MEGABYTES
        destination.close()
