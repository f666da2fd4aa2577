"""A hundred thousand who come in at once, and any number of kills between two requests: nobody twice, nobody lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from segmentry.engine.connectors.destination import Answer, Batch, Row, Verdict
from segmentry.engine.connectors.mailchimp_people import hash_of
from segmentry.engine.connectors.syncing import Action, Notes, SyncBatch, Target
from tests.connectors.conftest import nothing
from tests.connectors.mailchimp.conftest import AT, ENROLL, TAG, Shop, change, some, verdicts

MANY = 100_000
SIZE = 500


class KilledError(Exception):
    """The process is no more."""


def batch_of(number: int, people: list[str]) -> SyncBatch:
    changes = tuple(change(one, LTV=number) for one in people)
    return SyncBatch(f"b{number}", "vip", Target("tag", TAG), Action.ADD, AT, changes)


def until_done(shop: Shop, batch: SyncBatch, draws: Random, share: float) -> list[Answer]:
    """Kills and begins again, with what was kept, until it is done. Every life has a destination of its own."""
    stored: dict[str, object] = {}

    def dying() -> None:
        if draws.random() < share:
            raise KilledError

    while True:
        opened = shop.open()
        try:
            return list(opened.sync(batch, dying, Notes(dict(stored), stored.update)))
        except KilledError:
            opened.close()


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_request_any_number_of_times(shop: Shop, seed: int) -> None:
    draws = Random(seed)
    people = some(130)
    for address in draws.sample(people, 20):
        shop.has(address, draws.choice(["unsubscribed", "cleaned", "archived", "pending", "transactional"]))
    stay = {address for address in people if shop.status(address) in ("unsubscribed", "cleaned", "archived")}
    answers = until_done(shop, batch_of(1, people), draws, 0.3)
    assert [answer.verdict is Verdict.LEFT for answer in answers] == [address in stay for address in people]
    shop.inside = {hash_of(address) for address in people if address not in stay}
    assert shop.tagged() == {*people, "hand@example.com"} - stay


@pytest.mark.parametrize("seed", range(4))
def test_a_service_that_is_cruel_throughout_comes_to_the_same_in_the_end(shop: Shop, seed: int) -> None:
    draws = Random(seed)
    people = some(130)
    for address in draws.sample(people, 20):
        shop.has(address, draws.choice(["unsubscribed", "cleaned", "archived", "pending"]))
    stay = {address for address in people if shop.status(address) in ("unsubscribed", "cleaned", "archived")}
    kinds = ["429", "403-bare", "500", "500-applied", "502-applied", "503", "reset", "reset-applied", "close-applied", "garbage", "html"]
    shop.service.cruelty.set(kinds, share=0.3)
    left = dict(enumerate(people))
    notes = Notes()
    for _ in range(200):
        if not left:
            break
        answers = shop.sync(Action.ADD, *(change(one, LTV=1) for one in left.values()), notes=notes)
        ended = {number for number, answer in zip(left, answers, strict=True) if answer.verdict in (Verdict.SENT, Verdict.LEFT)}
        if ended:  # the rest is cut anew, as another batch
            left, notes = {number: one for number, one in left.items() if number not in ended}, Notes()
    assert not left
    assert shop.tagged() == {*people, "hand@example.com"} - stay
    assert all(shop.status(address) != "subscribed" for address in stay)


@pytest.mark.full
def test_a_hundred_thousand_entrants_killed_now_and_then(shop: Shop) -> None:
    people = some(MANY)
    draws = Random(7)
    for address in draws.sample(people, 2000):
        shop.has(address, "unsubscribed")
    stay = {address for address in people if shop.status(address) == "unsubscribed"}
    batches = [batch_of(number, people[start : start + SIZE]) for number, start in enumerate(range(0, MANY, SIZE))]
    shared = shop.open()

    def done(batch: SyncBatch) -> list[Answer]:
        if draws.random() < 0.05:  # some in processes that die
            return until_done(shop, batch, Random(batch.id), 0.2)
        return list(shared.sync(batch, nothing, Notes()))

    with ThreadPoolExecutor(shared.traits.parallel) as threads:
        answers = [answer for each in threads.map(done, batches) for answer in each]
    wanted = [Verdict.LEFT if address in stay else Verdict.SENT for address in people]
    assert [answer for answer, verdict in zip(answers, wanted, strict=True) if answer.verdict is not verdict] == []
    shop.inside = {hash_of(address) for address in people if address not in stay}
    assert len(shop.tagged()) == MANY - 2000 + 1
    # what is kept in memory grows with those who left, and not with those who came
    assert shared._known.audience._roll is not None
    assert len(shared._known.audience._roll.people) == 2000
    assert shop.service.count < MANY / 20


@pytest.mark.full
def test_a_hundred_thousand_enrolled_each_mailed_once(shop: Shop) -> None:
    people = some(MANY)
    shared = shop.open()

    def enrolled(start: int) -> list[Verdict]:
        rows = tuple(Row(f"r{one}", f"c{one}", one, {}, consents=True) for one in people[start : start + SIZE])
        batch = Batch(f"e{start}", "enrollment.created", AT, "welcome", rows, {"tag": ENROLL})
        first = verdicts(shared.send(batch, nothing))
        return first if start % (10 * SIZE) else verdicts(shared.send(batch, nothing))  # some twice

    with ThreadPoolExecutor(shared.traits.parallel) as threads:
        found = [verdict for each in threads.map(enrolled, range(0, MANY, SIZE)) for verdict in each]
    assert set(found) == {Verdict.SENT}
    assert len(shop.tagged(ENROLL)) == MANY
    assert len(shop.service.mails) == MANY
    assert shop.service.count < MANY / 50
