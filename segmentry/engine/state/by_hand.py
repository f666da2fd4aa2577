"""What people see of deliveries, and what they say becomes of one: the outbox from the other side.

What may be said of a row in each outcome, and what it is then (the rest is refused, and `REFUSED` says why):

                 retry      drop       mark-sent
    unknown      pending    dropped    sent
    rejected     pending    dropped    sent
    pending      pending    dropped    sent
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import Connection, Row, Select, and_, func, or_, select, update

from segmentry.engine.state.outbox import stamp
from segmentry.engine.state.schema import DELIVERIES, ENROLLMENTS
from segmentry.errors import NotFound

Fit = Callable[[pl.DataFrame], pl.Series]
"""Of rows (`id`, `sequence`, `segment`, `contact`, `person`), whether each may still be sent: a member, and not suppressed."""

BECOMES: Mapping[str, str] = {"retry": "pending", "drop": "dropped", "mark-sent": "sent"}
"""What may be said of a row, and what it is then."""

REASONS: Mapping[str, str | None] = {"retry": None, "drop": "dropped by hand", "mark-sent": "marked as sent by hand"}

MAY = ("unknown", "rejected", "pending")
"""The outcomes in which something may be said of a row."""

REFUSED: Mapping[str, str] = {
    "sending": "it is under way: its answer comes, or the next delivery settles it",
    "sent": "it was sent",
    "held": "its sequence is held: `approve` or `discard` decides",
    "waiting": "it waits for an address",
    "paused": "it came in during a pause: `resume --send-waiting` sends it",
    "withdrawn": "it was withdrawn: the contact left, or the segment or sequence is gone",
    "suppressed": "the contact is suppressed",
    "expired": "it expired",
    "dropped": "it was dropped",
}
"""Why nothing may be said of rows in other outcomes."""

FRAME = pl.Schema(
    {
        "id": pl.String(),
        "outcome": pl.String(),
        "destination": pl.String(),
        "sequence": pl.String(),
        "segment": pl.String(),
        "contact": pl.String(),
        "number": pl.Int64(),
        "attempts": pl.Int64(),
        "due": pl.String(),
        "maybe": pl.Boolean(),
        "reason": pl.String(),
        "batch": pl.String(),
        "remote_id": pl.String(),
        "changed": pl.String(),
    }
)
SEVERAL = 5_000
_E, _D = ENROLLMENTS.c, DELIVERIES.c
_INSTANT = "%Y-%m-%dT%H:%M:%S%.f%z"


@dataclass(frozen=True)
class Said:
    """What came of somebody's word: the rows that it changed, and by id why others stay as they are."""

    changed: Sequence[str]
    refused: Mapping[str, str] = field(default_factory=dict)


def deliveries(
    connection: Connection,
    *,
    outcome: str | None = None,
    destination: str | None = None,
    sequence: str | None = None,
    limit: int | None = None,
) -> pl.DataFrame:
    """Deliveries, the newest change first, columns as `FRAME` with times for `due` and `changed`. No address is among them.

    `due` is missing where nothing is to be tried. `maybe`: it may have arrived. `batch`: the request it was, or is, part of.
    """
    reason = func.coalesce(_D.stop, _E.reason, _D.error)
    columns = (_D.id, _E.outcome, _D.destination, _E.sequence, _E.segment, _E.contact, _E.number, _D.attempts, _D.due, _D.maybe)
    query = select(*columns, reason, _D.batch, _D.remote_id, _E.changed).join(ENROLLMENTS, _E.id == _D.id)
    for column, wanted in ((_E.outcome, outcome), (_D.destination, destination), (_E.sequence, sequence)):
        query = query if wanted is None else query.where(column == wanted)
    rows = connection.execute(query.order_by(_E.changed.desc(), _D.id).limit(limit))
    frame = pl.DataFrame([tuple(row) for row in rows], schema=FRAME, orient="row")
    times = pl.col("due", "changed").str.to_datetime(_INSTANT, time_unit="us", time_zone="UTC")
    return frame.with_columns(times).with_columns(due=pl.when(pl.col("outcome") == "pending").then(pl.col("due")))


def say(connection: Connection, action: str, ids: Sequence[str], now: datetime, fit: Fit) -> Said:
    """Does to rows what somebody says: `retry`, `drop` or `mark-sent`. Raises NotFound, nothing changed, for an id of no delivery.

    A retry counts its attempts, and the time till it expires, anew; who left or is suppressed meanwhile is refused.
    """
    known = {row.id: row for row in _rows(connection, select(_D.stop, _D.payload.is_(None).label("cleared")), ids)}
    for id in ids:
        if id not in known:
            raise NotFound(f"there is no delivery `{id}`; `segmentry deliveries` lists them")
    refused = {id: why for id, row in known.items() if (why := _refusal(action, row)) is not None}
    if action == "retry":
        unfit = _unfit([row for id, row in known.items() if id not in refused], fit)
        refused |= dict.fromkeys(unfit, "the contact is not in the segment any more, or is suppressed")
    going = [id for id in known if id not in refused]
    for part in _parts(going):
        _make_so(connection, action, part, now)
    return Said(going, refused)


def paused_rows(connection: Connection, name: str | None, fit: Fit) -> dict[str, list[str]]:
    """Rows that came in during the pause of a destination or sequence (None: any) and are still fit, by sequence."""
    query = _described(select()).where(_E.outcome == "paused")
    if name is not None:
        query = query.where(or_(_E.sequence == name, _D.destination == name))
    rows = connection.execute(query.order_by(_E.sequence, _E.as_of, _E.id)).all()
    unfit = set(_unfit(rows, fit))
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.id not in unfit:
            found.setdefault(row.sequence, []).append(row.id)
    return found


def release(connection: Connection, ids: Sequence[str], now: datetime) -> int:
    """Makes paused rows due; how many. They expire as if they had come in now."""
    released = 0
    for part in _parts(ids):
        chosen = and_(_E.id.in_(part), _E.outcome == "paused")
        connection.execute(update(DELIVERIES).where(_D.id.in_(select(_E.id).where(chosen))).values(due=stamp(now)))
        values = {"outcome": "pending", "reason": None, "changed": stamp(now), "pending_since": stamp(now)}
        released += connection.execute(update(ENROLLMENTS).where(chosen).values(values)).rowcount
    return released


def _make_so(connection: Connection, action: str, ids: Sequence[str], now: datetime) -> None:
    values: dict[str, Any] = {"outcome": BECOMES[action], "reason": REASONS[action], "changed": stamp(now)}
    if action == "retry":
        values["pending_since"] = stamp(now)
        fresh = {"attempts": 0, "due": stamp(now), "ended": None, "error": None}
        connection.execute(update(DELIVERIES).where(_D.id.in_(ids)).values(fresh))
    else:
        connection.execute(update(DELIVERIES).where(_D.id.in_(ids)).values(ended=stamp(now)))
    connection.execute(update(ENROLLMENTS).where(_E.id.in_(ids)).values(values))


def _refusal(action: str, row: Row[Any]) -> str | None:
    if row.outcome not in MAY:
        return REFUSED.get(row.outcome, f"it is {row.outcome}")
    if action == "retry" and row.stop is not None:
        return f"a later run stopped it: {row.stop}"
    if action == "retry" and row.cleared:
        return "its address was removed, as so long after its end every address is"
    return None


def _unfit(rows: Sequence[Row[Any]], fit: Fit) -> list[str]:
    if not rows:
        return []
    columns = ("id", "sequence", "segment", "contact", "person")
    frame = pl.DataFrame(
        [tuple(getattr(row, name) for name in columns) for row in rows], schema=dict.fromkeys(columns, pl.String()), orient="row"
    )
    found: list[str] = frame.filter(~fit(frame))["id"].to_list()
    return found


def _rows(connection: Connection, query: Select[Any], ids: Sequence[str]) -> list[Row[Any]]:
    described = _described(query)
    return [row for part in _parts(ids) for row in connection.execute(described.where(_D.id.in_(part)))]


def _described(query: Select[Any]) -> Select[Any]:
    """The query, with what tells rows from each other."""
    columns = (_D.id, _E.outcome, _E.sequence, _E.segment, _E.contact, _E.person)
    return query.add_columns(*columns).select_from(DELIVERIES).join(ENROLLMENTS, _E.id == _D.id)


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    unique = list(dict.fromkeys(values))
    for start in range(0, len(unique), SEVERAL):
        yield unique[start : start + SEVERAL]
