"""What a destination is told, and what its answer makes of each row. Rows in, batches and endings out: nothing here reads or writes.

A verdict, and what becomes of its row:

    SENT                           sent, for good
    REJECTED                       rejected, for good
    REJECTED, again                pending, to be tried later; rejected after `TRIES` attempts
    LATER                          pending, to be tried later
    LATER, maybe                   the same if the destination is repeat-safe, else unknown
    UNKNOWN                        unknown: a person decides
    none: withheld before asking   pending, and no attempt
    none: the connector failed     as LATER, maybe
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from segmentry.engine.canonical_json import dumps
from segmentry.engine.connectors.destination import Answer, Batch, Others, Row, Verdict, nobody
from segmentry.engine.enrolling import Outcome
from segmentry.engine.state.activated import FORMERS
from segmentry.engine.state.outbox import Due, Ending
from segmentry.engine.state.remote_names import Names

ENROLLED = "enrollment.created"
"""What happened, as destinations are told."""

TRIES = 5
"""Attempts in all at a row that is rejected, and might fare better later."""

WAITS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""How long after the first attempt, the second, ... (Standard Webhooks 1.0.0); then every day until the row expires."""

JITTER = 0.1
"""The share by which a wait is made longer or shorter, so that not everything comes back at once."""


NAMELESS = Names(())


@dataclass(frozen=True)
class Circle:
    """In which workspace and environment rows are told of. `kind` is what contacts' keys are: `integer`, `text` or `uuid`."""

    workspace: str
    environment: str
    kind: str


@dataclass(frozen=True)
class Parcel:
    """Rows of one sequence that go in one request, by their ids' order; `id` as in `Batch`. `names`: what contacts are called there."""

    id: str
    rows: tuple[Due, ...]
    names: Mapping[str, Names] = field(default_factory=dict)

    @property
    def sequence(self) -> str:
        return self.rows[0].sequence

    @property
    def since(self) -> datetime:
        """When the first of them became pending."""
        return datetime.fromisoformat(min(row.pending_since for row in self.rows))


# ---------------------------------------------------------------- batches


def arrange(rows: Iterable[Due], limit: int, namespace: str) -> list[Parcel]:
    """Rows in the parcels they go in, of at most `limit` rows: those of a stored batch together as before, the others in new ones.

    A batch's id is made from its rows' ids, so a batch whose rows are not all here (one was withdrawn, forgotten, paused,
    has expired or was answered otherwise than the rest) is known by it. It can't be sent as it was: what of it may still go
    goes in new batches, under the rows' own lasting ids, by which a receiver knows each.
    """
    ordered = list(rows)
    stored: dict[str, list[Due]] = {}
    for row in ordered:
        if row.batch is not None:
            stored.setdefault(row.batch, []).append(row)
    whole = {
        id: _parcel(members, namespace) for id, members in stored.items() if len(members) <= limit and _batch_id(members, namespace) == id
    }
    parcels: dict[str, Parcel] = {}
    loose: list[Due] = []
    for row in ordered:
        if row.batch in whole:
            parcels.setdefault(row.batch, whole[row.batch])
        else:
            loose.append(row)
    by_sequence: dict[str, list[Due]] = {}
    for row in loose:
        by_sequence.setdefault(row.sequence, []).append(row)
    fresh = [
        _parcel(members[start : start + limit], namespace) for members in by_sequence.values() for start in range(0, len(members), limit)
    ]
    return sorted([*parcels.values(), *fresh], key=lambda parcel: min((row.pending_since, row.id) for row in parcel.rows))


def _parcel(rows: Sequence[Due], namespace: str) -> Parcel:
    return Parcel(_batch_id(rows, namespace), tuple(sorted(rows, key=lambda row: row.id)))


def _batch_id(rows: Sequence[Due], namespace: str) -> str:
    """A batch of one row has its id; else a UUIDv5 (RFC 9562) of its rows' ids, so the same rows are the same batch."""
    return rows[0].id if len(rows) == 1 else str(uuid5(UUID(namespace), dumps(["batch", *sorted(row.id for row in rows)])))


def batch_of(parcel: Parcel, circle: Circle, words: Mapping[str, Any], others: Others = nobody) -> Batch:
    """What a destination is told of a parcel. `words` are the sequence's own for the destination's type."""
    at = datetime.fromisoformat(min(row.as_of for row in parcel.rows))
    rows = tuple(_row(row, circle, parcel.names.get(row.contact, NAMELESS)) for row in parcel.rows)
    return Batch(parcel.id, ENROLLED, at, parcel.sequence, rows, words, others)


def address_of(row: Due) -> str | None:
    """The address in a row's payload."""
    found: str | None = json.loads(row.payload)["address"]
    return found


def _row(row: Due, circle: Circle, names: Names) -> Row:
    payload = json.loads(row.payload)
    data = {
        "enrollment_id": row.id,
        "workspace": circle.workspace,
        "environment": circle.environment,
        "sequence": row.sequence,
        "segment": row.segment,
        "contact": int(row.contact) if circle.kind == "integer" else row.contact,
        "number": row.number,
        "as_of": datetime.fromisoformat(row.as_of).isoformat().replace("+00:00", "Z"),
        "fields": payload["fields"],
    }
    formers = tuple(payload.get(FORMERS, ()))
    return Row(row.id, row.contact, payload["address"], data, bool(payload.get("consents")), names.all, names.shared, formers)


# ---------------------------------------------------------------- answers


@dataclass(frozen=True)
class Told:
    """What came of one parcel, and when. `answers`: one a row, or none. `asked`: how many requests were let go.

    `stopped`: why the whole destination stops, if it said so; `disabled`, until somebody resumes it. `failed`: the name of the
    error that the connector should not have raised.
    """

    parcel: Parcel
    at: datetime
    answers: tuple[Answer, ...] = ()
    asked: int = 0
    stopped: str | None = None
    disabled: bool = False
    failed: str | None = None

    @property
    def trouble(self) -> bool:
        """Whether nothing came of asking, and it may be the destination's fault."""
        return self.failed is not None or (bool(self.answers) and all(answer.verdict is Verdict.LATER for answer in self.answers))


def endings(told: Told, *, repeat_safe: bool, draw: Callable[[], float]) -> list[Ending]:
    """What becomes of each row of a parcel. `draw` gives numbers from 0 to 1, for jitter."""
    rows = told.parcel.rows
    wait = wait_after(max(row.attempts for row in rows) + 1, draw())
    if told.failed is not None:
        reason = f"the connector failed ({told.failed})"
        failed = Answer(Verdict.LATER, reason, maybe=True)
        return [_ending(row, failed, told.at + wait, repeat_safe=repeat_safe) for row in rows]
    if not told.answers:
        # of two requests the first may have been applied, and the second was not let go or met a destination that stops
        earlier = told.asked > (0 if told.stopped is None else 1)
        return [_withheld(row, told.stopped, earlier=earlier, repeat_safe=repeat_safe) for row in rows]
    # one moment for all that try again: they go in the same batch
    asked_for = max((answer.after or 0.0 for answer in told.answers if answer.verdict is Verdict.LATER), default=0.0)
    due = told.at + max(wait, timedelta(seconds=asked_for))
    return [_ending(row, answer, due, repeat_safe=repeat_safe) for row, answer in zip(rows, told.answers, strict=True)]


def _ending(row: Due, answer: Answer, due: datetime, *, repeat_safe: bool) -> Ending:
    attempts = row.attempts + 1
    reason, remote = answer.reason, answer.remote_id
    match answer.verdict:
        case Verdict.SENT:
            return Ending(row.id, str(Outcome.SENT), remote_id=remote, ended=True)
        case Verdict.REJECTED if answer.again and attempts < TRIES:
            return Ending(row.id, str(Outcome.PENDING), reason, remote, due=due)
        case Verdict.REJECTED:
            tried = f" (after {attempts} attempts)" if answer.again else ""
            return Ending(row.id, str(Outcome.REJECTED), (reason or "rejected") + tried, remote, ended=True)
        case Verdict.LATER if repeat_safe or not answer.maybe:
            return Ending(row.id, str(Outcome.PENDING), reason, remote, due=due, maybe=answer.maybe)
    return Ending(row.id, str(Outcome.UNKNOWN), reason, remote, maybe=True)


def _withheld(row: Due, reason: str | None, *, earlier: bool, repeat_safe: bool) -> Ending:
    if earlier and not repeat_safe:
        return Ending(row.id, str(Outcome.UNKNOWN), reason or "it was asked, and not asked again", maybe=True)
    return Ending(row.id, str(Outcome.PENDING), reason, maybe=earlier, counted=earlier)


def wait_after(attempts: int, drawn: float) -> timedelta:
    """How long after so many attempts the next one is due."""
    return WAITS[min(attempts, len(WAITS)) - 1] * (1 - JITTER + 2 * JITTER * drawn)
