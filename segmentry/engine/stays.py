"""A segment's past as stays: who was in it, from when until when, how often, and why each began and ended.

A stay begins with a contact's entry and ends with its exit, both dated by the `as_of` of the run that found them. Changes
under keys that a contact had before it was merged are its own.
"""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from segmentry.engine.former import former_run
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.membership import Alignment
from segmentry.engine.moment import nearest_hint
from segmentry.engine.remembering import Past
from segmentry.engine.renaming import renames_of
from segmentry.engine.state import State
from segmentry.errors import ClockError, NotFound
from segmentry.rules.times import LiteralError, parse_moment
from segmentry.rules.zones import day_end, day_start, local_to_utc

INSTANT = pl.Datetime("us", "UTC")
COLUMNS = ("contact", "since", "until", "first", "cause", "via", "left_by")
"""`until` is missing while a stay lasts, `since` where nobody knows. `first`: it begins with the segment's first computation, so
it may be longer. `cause` and `via` are of the entry, `left_by` is the exit's cause."""


def stays(state: State, workspace: LoadedWorkspace, segment: str, contact: object = None) -> pl.DataFrame:
    """Every stay in a segment, of all contacts or of one by any of its keys, by contact and then by time; columns as `COLUMNS`.

    Raises NotFound for a segment that no run has computed.
    """
    known = state.segments()
    renames = renames_of(workspace, known)
    if segment not in {renames.get(name, name) for name in known}:
        raise NotFound(f"no run has computed a segment `{segment}`" + nearest_hint(segment, known))
    newest = former_run(state, state.run(), renames)
    order = newest.order
    past = Past(newest)
    here = Alignment(order.keys, order.present)
    moves = past.moves(segment, None, newest.record.as_of, here)
    found = _paired(moves)
    if segment in newest.columns:
        members = order.keys.filter(newest.read([segment])[segment]).drop_nulls()
        found = _with_handed_on(found, moves, members.cast(found.schema["contact"], strict=False))
    if contact is None:
        return found
    return found.filter(pl.col("contact").cast(pl.String()) == past.key_now(str(contact), here))


def _paired(moves: pl.DataFrame) -> pl.DataFrame:
    """Entries, each with the exit that follows; of a merged contact's keys a second entry, or exit, in a row says nothing new."""
    ordered = moves.sort("contact", "run", "entered", maintain_order=True)
    before = pl.col("entered").shift(1).over("contact").fill_null(value=False)
    turns = ordered.filter(pl.col("entered") != before)
    ended = {"until": pl.col("as_of"), "left_by": pl.col("cause")}
    turns = turns.with_columns(column.shift(-1).over("contact").alias(name) for name, column in ended.items())
    return turns.filter("entered").rename({"as_of": "since"}).select(COLUMNS)


def _with_handed_on(found: pl.DataFrame, moves: pl.DataFrame, members: pl.Series) -> pl.DataFrame:
    """With a stay, since the last exit, for each member that has none open: it was in by a key whose contact was merged into it.

    Where that key is a contact's own again, its stay is not that contact's, and since when the member is in is not known.
    """
    found = found.filter(pl.col("until").is_not_null() | pl.col("contact").is_in(members.implode()))
    open_now = found.filter(pl.col("until").is_null())["contact"]
    missing = members.filter(~members.is_in(open_now.implode()))
    if not len(missing):
        return found
    exits = moves.group_by("contact").agg(since=pl.col("as_of").last())
    last = pl.DataFrame({"contact": missing}).join(exits, on="contact", how="left", maintain_order="left")
    handed_on = last.with_columns(until=pl.lit(None, INSTANT), first=pl.lit(value=False)).join(found.clear(), on=["contact"], how="left")
    return pl.concat([found, handed_on.select(COLUMNS)]).sort("contact", "since", maintain_order=True)


def stays_on(found: pl.DataFrame, when: str, zone: str) -> pl.DataFrame:
    """Who was in at an instant, or at any of a day in the workspace's timezone: the stay, and which of the contact's it is (`nth`)."""
    first, final = _bounds(when, zone)
    numbered = found.with_columns(nth=pl.int_range(pl.len(), dtype=pl.Int64).over("contact") + 1)
    there = (pl.col("since") <= final).fill_null(value=True) & (pl.col("until").is_null() | (pl.col("until") > first))
    return numbered.filter(there)


def _bounds(when: str, zone: str) -> tuple[datetime, datetime]:
    try:
        moment = parse_moment(when)
    except LiteralError as problem:
        raise ClockError(f"{problem.message}: {problem.hint}") from None
    if not isinstance(moment, datetime):
        return _day(moment, zone)
    instant = local_to_utc(moment, zone) if moment.tzinfo is None else moment
    return instant, instant


def _day(day: date, zone: str) -> tuple[datetime, datetime]:
    from_next_on = day_end(day, zone)
    start = day_start(day, zone)
    return start, from_next_on - (from_next_on - start).resolution
