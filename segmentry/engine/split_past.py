"""The groups of a divided segment in the runs that the state has: who was in each, how large they were, and who moved between them."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from segmentry.engine.moment import nearest_hint
from segmentry.engine.splitting import GROUP, Split, inside
from segmentry.engine.standing_run import accepted_splits
from segmentry.engine.state import RunRecord, State
from segmentry.errors import NotFound

SIZES = pl.Schema({"run": pl.Int64(), "as_of": pl.Datetime("us", "UTC"), GROUP: pl.String(), "share": pl.Float64(), "size": pl.Int64()})


def split_in(record: RunRecord, segment: str) -> Split:
    """How a segment is divided by what is accepted with a run. Raises NotFound where it is not, and where there is no such segment."""
    if segment not in record.segments:
        raise NotFound(f"run {record.id} has no segment `{segment}`" + nearest_hint(segment, record.segments))
    split = accepted_splits(record).get(segment)
    if split is None:
        raise NotFound(f"run {record.id} does not divide `{segment}`: it had no `split` then")
    return split


def members_in(state: State, segment: str, run: int | None, groups: Sequence[str]) -> pl.Series:
    """The keys of a run's members who are in these groups, in the lasting order. Raises NotFound."""
    record = state.run(run)
    split = split_in(record, segment)
    for name in groups:
        if name not in split.names:
            raise NotFound(f"the split of `{segment}` has no group `{name}` in run {record.id}" + nearest_hint(name, split.names))
    keys = state.members(segment, record.id)
    return keys.filter(inside(split, groups, keys))


def sizes(state: State, segment: str) -> pl.DataFrame:
    """The groups in every accepted run that divided the segment and whose memberships are kept: `share` in percent, who is in none last.

    Raises NotFound for a segment that no run has divided.
    """
    rows: list[tuple[object, ...]] = []
    for record in state.runs():
        if not record.accepted or not record.complete or segment not in accepted_splits(record):
            continue
        split = split_in(record, segment)
        counted = split.groups(state.members(segment, record.id)).value_counts(name="size")
        counts = dict(counted.iter_rows())
        rows += [(record.id, record.as_of, one.name, float(100 * one.share), counts.get(one.name, 0)) for one in split.shares]
        rest = 1 - sum(one.share for one in split.shares)
        rows += [(record.id, record.as_of, None, float(100 * rest), counts.get(None, 0))] if rest else []
    if not rows:
        split_in(state.run(), segment)
    return pl.DataFrame(rows, schema=SIZES, orient="row")


def regrouped_between(state: State, former: int | None, latter: int | None, segment: str | None) -> pl.DataFrame:
    """Who was a member in both of two runs and in another group in each: `segment`, `contact`, `before`, `now` (missing: in none).

    A group under another name is the same.
    One run is compared with the accepted one before it, None is the accepted one. Raises NotFound.
    """
    after = state.run(latter if latter is not None else former)
    before = state.run(former) if latter is not None else _before(state, after)
    then, now = ({} if one is None else accepted_splits(one) for one in (before, after))
    if segment is not None and segment not in now:
        split_in(after, segment)
    kind = state.order(after.id).keys.dtype
    found = [pl.DataFrame(schema={"segment": pl.String(), "contact": kind, "before": pl.String(), "now": pl.String()})]
    for name in sorted(then.keys() & now.keys() if segment is None else {segment} & then.keys()):
        if then[name] != now[name] and before is not None and name in before.segments and name in after.segments:
            keys = state.members(name, after.id)
            keys = keys.filter(keys.is_in(state.members(name, before.id).cast(kind, strict=False).implode())).sort()
            moved = pl.DataFrame({"contact": keys, "before": then[name].groups(keys), "now": now[name].groups(keys)})
            stayed = then[name].called_as(now[name]).groups(keys).eq_missing(moved["now"])
            found.append(moved.filter(~stayed).select(pl.lit(name).alias("segment"), pl.all()))
    return pl.concat(found)


def _before(state: State, record: RunRecord) -> RunRecord | None:
    """The accepted run before a run."""
    return next((one for one in reversed(state.runs()) if one.accepted and one.id < record.id), None)
