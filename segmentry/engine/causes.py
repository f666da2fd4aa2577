"""Why a contact entered or left: the first cause that holds, found by evaluating what would have been otherwise.

The plan of a run evaluates, beside the segments, what they would be under other circumstances, as further columns over
the same positions (`engine/otherwise.py` makes those conditions). Here they are read: a circumstance that gives a contact
its former answer back has decided the change.

    source  the contact is new in the snapshot, or gone from it
    list    with the former contents of static lists the answer would be the former one
    rule    with the former definitions it would be, or those can't run any more
    list    only the former lists and definitions together give it back: then both decided alike, and a list beats a rule
    data    the contact's row, in columns that rules read, or its events differ
    time    nothing else does

`via` is the referenced segment through which it came: the first by name of those that changed for this contact and whose
former membership, everything else as it is now, gives the former answer; where only several together do, the first of
them. A contact that came or went with the snapshot has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl


@dataclass(frozen=True)
class Otherwise:
    """What one segment would be otherwise, each a bitmap over all positions; None where that circumstance didn't change.

    `with_member[B]` is the segment if everybody, and if nobody, were in B.
    """

    former_lists: pl.Series | None = None
    former_definitions: pl.Series | None = None
    former_both: pl.Series | None = None
    can_not_run: bool = False
    with_member: Mapping[str, tuple[pl.Series, pl.Series]] = field(default_factory=dict)


@dataclass(frozen=True)
class Circumstances:
    """What is known of a run and the one before it, to tell causes by.

    `in_both`: Boolean per position, in both snapshots. `differs(positions)`: whether these contacts' rows or events differ.
    `former(segment)`: that segment's accepted membership over the present positions. `together(segment, positions)`: the
    segment's answer for these contacts if every segment it refers to had its former membership.
    """

    in_both: pl.Series
    otherwise: Mapping[str, Otherwise]
    differs: Callable[[pl.Series], pl.Series]
    former: Callable[[str], pl.Series]
    changed: Mapping[str, pl.Series]
    together: Callable[[str, pl.Series], pl.Series]


def causes(moves: pl.DataFrame, known: Circumstances, returned: Sequence[str] = ()) -> pl.DataFrame:
    """The moves with `cause` and `via`. Those of `returned` segments, which were gone for a while, all have the cause `rule`."""
    frames = []
    for part in moves.partition_by("segment", maintain_order=True):
        segment = str(part["segment"][0])
        if segment in returned:
            frames.append(part.with_columns(cause=pl.lit("rule"), via=pl.lit(None, pl.String())))
            continue
        decided = _decide(part, known.otherwise.get(segment, Otherwise()), known.in_both)
        frames.append(decided.with_columns(_via(segment, decided, known)))
    if not frames:
        return moves.with_columns(cause=pl.lit(None, pl.String()), via=pl.lit(None, pl.String()))
    return _by_data_or_time(pl.concat(frames), known.differs)


def _decide(part: pl.DataFrame, otherwise: Otherwise, in_both: pl.Series) -> pl.DataFrame:
    """The causes that bitmaps can tell; null where it is `data` or `time`."""
    decided = [("source", ~in_both.gather(part["position"]))]
    for bitmap, name in (
        (otherwise.former_lists, "list"),
        (otherwise.former_definitions, "rule"),
        (otherwise.former_both, "list"),
    ):
        if bitmap is not None:
            decided.append((name, gives_back(bitmap, part)))
    if otherwise.can_not_run:
        decided.append(("rule", pl.repeat(True, part.height, dtype=pl.Boolean(), eager=True)))
    cause = pl.coalesce(*(pl.when(holds).then(pl.lit(name)) for name, holds in decided))
    return part.with_columns(cause.alias("cause"))


def gives_back(bitmap: pl.Series, part: pl.DataFrame) -> pl.Series:
    """For which of these moves a bitmap over all positions has the former answer."""
    return bitmap.gather(part["position"]) != part["entered"]


def _via(segment: str, part: pl.DataFrame, known: Circumstances) -> pl.Series:
    """The referenced segment that each move came through."""
    nobody = pl.Series("via", [None] * part.height, pl.String())
    references = known.otherwise.get(segment, Otherwise()).with_member
    touching = {name: known.changed[name].gather(part["position"]) for name in sorted(references) if name in known.changed}
    eligible = part["cause"].ne_missing("source")
    touching = {name: mask & eligible for name, mask in touching.items()}
    found = nobody
    for name, mask in touching.items():
        if not mask.any():
            continue
        if_in, if_out = (bitmap.gather(part["position"]) for bitmap in references[name])
        was_in = known.former(name).gather(part["position"])
        would_be = (was_in & if_in) | (~was_in & if_out)
        through = mask & (would_be != part["entered"]) & found.is_null()
        found = pl.select(pl.when(through).then(pl.lit(name)).otherwise(found)).to_series()
    return _via_several(segment, part, found, touching, known).alias("via")


def _via_several(segment: str, part: pl.DataFrame, found: pl.Series, touching: Mapping[str, pl.Series], known: Circumstances) -> pl.Series:
    """Where no segment alone decided but several changed: the first of them, if all of them together did."""
    if len(touching) < 2:
        return found
    several = pl.DataFrame(touching).sum_horizontal() >= 2
    open_moves = several & found.is_null()
    if not open_moves.any():
        return found
    positions = part["position"].filter(open_moves)
    decided = known.together(segment, positions) != part["entered"].filter(open_moves)
    rows = open_moves.arg_true().filter(decided)
    together = pl.repeat(False, part.height, dtype=pl.Boolean(), eager=True).scatter(rows, True)
    first = pl.coalesce(*(pl.when(mask).then(pl.lit(name)) for name, mask in touching.items()))
    return pl.select(pl.when(together).then(first).otherwise(found)).to_series()


def _by_data_or_time(moves: pl.DataFrame, differs: Callable[[pl.Series], pl.Series]) -> pl.DataFrame:
    """Fills the causes that are left; rows and events are compared only if there are any."""
    left = moves["cause"].is_null()
    if not left.any():
        return moves
    positions = moves["position"].filter(left).unique()
    changed = positions.filter(differs(positions))
    data = moves["position"].is_in(changed.implode())
    return moves.with_columns(pl.when(~left).then(pl.col("cause")).when(data).then(pl.lit("data")).otherwise(pl.lit("time")).alias("cause"))
