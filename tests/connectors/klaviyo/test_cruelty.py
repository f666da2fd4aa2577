"""An account that treats every third request badly, in ways drawn by the seed: in the end everybody is where they should be."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.syncing import Action, Change, Notes
from tests.connectors.klaviyo.conftest import Account, changes

KINDS = (
    "429 429-after 503 500 500-applied 502-applied reset reset-applied close-applied truncated garbage malformed html null-links".split()
)
OF_JOBS = "job-slow job-failures job-cancelled job-cancelled-half errors-bare errors-blind".split()


def until_done(account: Account, action: Action, rows: list[Change]) -> dict[str, Answer]:
    """Tells again whoever is for later, or may be tried again, as the engine does: a batch with its notes until it is answered."""
    done: dict[str, Answer] = {}
    for _ in range(40):
        stored: Mapping[str, Any] = {}

        def store(kept: Mapping[str, Any]) -> None:
            nonlocal stored
            stored = kept

        answers = account.sync(action, rows, notes=Notes({}, store))
        for _ in range(10):
            if not any(answer.verdict is Verdict.LATER for answer in answers):
                break
            answers = account.sync(action, rows, notes=Notes(stored, store))
        told = dict(zip((one.id for one in rows), answers, strict=True))
        open = {
            id for id, answer in told.items() if answer.verdict is Verdict.LATER or (answer.verdict is Verdict.REJECTED and answer.again)
        }
        done.update((id, answer) for id, answer in told.items() if id not in open)
        rows = [one for one in rows if one.id in open]
        if not rows:
            return done
    raise AssertionError(f"{len(rows)} of {action} are never done")


@pytest.mark.parametrize("count", [5, 120])
@pytest.mark.parametrize("round", range(3))
def test_in_the_end_everybody_is_where_they_should_be(account: Account, draws: random.Random, count: int, round: int) -> None:
    account.put_by_hand("other@example.com")
    account.sandbox.cruelty.set([*KINDS, *(OF_JOBS if count > 100 else [])], share=0.3)
    vars(account.sandbox.cruelty)["_draws"].seed(draws.random() + round)
    rows = changes(count)
    told = until_done(account, Action.ADD, rows)
    # a job's failed rows are refused for good by the sandbox's own word; all others are in
    refused = {one.address for one in rows if told[one.id].verdict is Verdict.REJECTED}
    assert {answer.verdict for answer in told.values()} <= {Verdict.SENT, Verdict.REJECTED}
    assert refused == set() or count > 100
    sent = [replace(one, remote_id=told[one.id].remote_id) for one in rows if told[one.id].verdict is Verdict.SENT]
    assert {one.address for one in sent} <= account.members
    assert len({profile.external_id for profile in account.sandbox.profiles}) == len(account.sandbox.profiles)
    account.perhaps |= refused
    going, staying = sent[::2], sent[1::2]
    gone = until_done(account, Action.REMOVE, going)
    assert {answer.verdict for answer in gone.values()} <= {Verdict.SENT}
    assert {one.address for one in staying} <= account.members
    assert not {one.address for one in going} & account.members
    account.perhaps -= {one.address or "" for one in going}
