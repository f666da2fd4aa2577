"""The lasting order: which position each contact of a snapshot has, so that bitmaps of two runs line up."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from segmentry.engine.membership import Alignment
from segmentry.errors import SourceError
from segmentry.rules.diagnostics import Diagnostic

COMPACT_SHARE = 0.25
"""Gone contacts are dropped from the order once they are more than this share of it."""


@dataclass(frozen=True, slots=True)
class Merges:
    """Contacts that go on under another's key: the old one is not in the snapshot any more, the other one is.

    Both frames have `old` and `new`: `keys` has the keys, `positions` (UInt32) the places of those that the order knows.
    """

    keys: pl.DataFrame
    positions: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Placement:
    """A snapshot's place in the lasting order.

    `former_positions` is None while the former order is a prefix of this one; after compaction it has, for every former
    position, the new one (null where it was dropped). `merges` is None where no contact became another.
    """

    alignment: Alignment
    kind: str
    """`integer`, `text` or `uuid`: what a key is, however wide it is stored."""
    former_size: int = 0
    former_positions: pl.Series | None = None
    merges: Merges | None = None

    @property
    def gone(self) -> int:
        return self.alignment.size - int(self.alignment.present.sum())


def first_placement(keys: pl.Series, kind: str) -> Placement:
    """The order that a first snapshot begins: its own."""
    return Placement(Alignment(keys, _all(len(keys))), kind)


def place(
    former_keys: pl.Series, former_present: pl.Series, former_kind: str, keys: pl.Series, kind: str, *, compact: bool = True
) -> Placement:
    """A snapshot's keys in the lasting order: known ones keep their positions, new ones follow in the snapshot's order.

    When more than a quarter of the positions is gone, those that the former snapshot missed too are dropped; not so
    without `compact`, while a membership is carried along that may have them still. Raises SourceError if the key's type changed.
    """
    if kind != former_kind:
        raise SourceError([_changed_type(former_kind, kind)])
    former_keys, keys = _one_type(former_keys.rename(keys.name), keys)
    if _same(former_keys, keys):
        return Placement(Alignment(former_keys, _all(len(keys))), kind, len(former_keys))
    alignment = aligned(former_keys, keys)
    placement = Placement(alignment, kind, len(former_keys))
    if compact and is_compacted(placement):
        return _compacted(placement, former_present)
    return placement


def same_place(former_keys: pl.Series, former_present: pl.Series, kind: str, like: pl.Series) -> Placement:
    """The order of a snapshot that has the former one's very files. `like` is any of its keys, for their name and type.

    How its rows stand in that order is not known by it: `in_order` tells that to whoever reads them all.
    """
    former_keys, _ = _one_type(former_keys.rename(like.name), like)
    return Placement(Alignment(former_keys, former_present), kind, len(former_keys))


def in_order(order: Alignment, keys: pl.Series) -> Alignment:
    """An order beside a snapshot's rows; it has all of their keys."""
    return order if _same(order.keys, keys) else replace(aligned(order.keys, keys), present=order.present)


def is_compacted(placement: Placement) -> bool:
    """Whether so many are gone that the order is made anew."""
    return placement.gone > COMPACT_SHARE * placement.alignment.size


def aligned(former: pl.Series, keys: pl.Series) -> Alignment:
    """Known keys at their positions, new ones appended. One hash join on the key."""
    known = pl.DataFrame({"key": former}).with_row_index("position")
    if former.has_nulls():  # an erased contact's position is nobody's
        known = known.drop_nulls("key")
    found = pl.DataFrame({"key": keys}).join(known, on="key", how="left", maintain_order="left", coalesce=True)["position"]
    new = found.is_null()
    appended = keys.filter(new)
    if len(appended):
        numbers = (new.cast(pl.UInt32()).cum_sum() + (len(former) - 1)).cast(pl.UInt32())
        found = pl.select(pl.when(new).then(numbers).otherwise(found)).to_series()
    all_keys = pl.concat([former, appended]) if len(appended) else former
    present = _all(len(all_keys), value=False).scatter(found, True)
    return Alignment(all_keys, present, found.alias("position"))


def placement_of(former_keys: pl.Series, present: Placement) -> Placement:
    """The present order beside that of a run before the accepted one; its merges hold for that one too."""
    former, keys = _one_type(former_keys, present.alignment.keys)
    size = len(former)
    if size <= len(keys) and former.rename(keys.name).equals(keys.head(size)):
        return replace(present, former_size=size, former_positions=None)
    known = pl.DataFrame({"key": keys}).with_row_index("position").drop_nulls("key")
    found = pl.DataFrame({"key": former}).join(known, on="key", how="left", maintain_order="left")["position"]
    return replace(present, former_size=size, former_positions=found)


def with_merges(placement: Placement, aliases: pl.DataFrame | None) -> Placement:
    """The placement with those of the `aliases` (keys `old` and `new`, chains followed) that this snapshot merges.

    A pair whose keys are both in the snapshot, or of which neither is, does nothing.
    """
    if aliases is None or aliases.is_empty():
        return placement
    alignment = placement.alignment
    pairs = aliases.select(pl.col("old", "new").cast(alignment.keys.dtype, strict=False)).drop_nulls()
    named = pl.concat([pairs["old"], pairs["new"]]).unique()
    at = alignment.keys.is_in(named.implode()).fill_null(value=False).arg_true()
    known = pl.DataFrame({"key": alignment.keys.gather(at), "position": at, "present": alignment.present.gather(at)})
    olds = known.select(old="key", old_position="position", old_present="present")
    survivors = known.filter("present").select(new="key", new_position="position")
    pairs = pairs.join(survivors, on="new", how="inner", maintain_order="left").join(olds, on="old", how="left", maintain_order="left")
    pairs = pairs.filter(~pl.col("old_present").fill_null(value=False))
    if pairs.is_empty():
        return placement
    positions = pairs.select(old="old_position", new="new_position").drop_nulls()
    return replace(placement, merges=Merges(pairs.select("old", "new"), positions))


def carried(bitmap: pl.Series, placement: Placement) -> pl.Series:
    """A bitmap over the former order's positions, over this order's; whoever was merged hands what was so on to the survivor."""
    moved = relocated(bitmap, placement)
    merges = placement.merges
    if merges is None:
        return moved
    old, new = merges.positions["old"], merges.positions["new"]
    was = moved.gather(old)
    if not was.any():
        return moved
    return moved.clone().scatter(old, False).scatter(new.filter(was), True)


def relocated(bitmap: pl.Series, placement: Placement) -> pl.Series:
    """A bitmap over the former order's positions, over this order's, everybody for themselves."""
    size = placement.alignment.size
    if placement.former_positions is None:
        missing = size - len(bitmap)
        return bitmap if missing <= 0 else pl.concat([bitmap, _all(missing, value=False).alias(bitmap.name)])
    positions = placement.former_positions.filter(bitmap).drop_nulls()
    return _all(size, value=False).scatter(positions, True).alias(bitmap.name)


def survivors(former_present: pl.Series, placement: Placement) -> pl.Series | bool:
    """Into whom contacts of the former snapshot have been merged: Boolean per position, or one answer for all."""
    merges = placement.merges
    if merges is None:
        return False
    there = relocated(former_present, placement).gather(merges.positions["old"])
    return _all(placement.alignment.size, value=False).scatter(merges.positions["new"].filter(there), True)


def handed_on(keys: pl.Series, placement: Placement) -> pl.Series:
    """Former members' keys, each once, with the surviving key in place of one that was merged."""
    if placement.merges is None:
        return keys
    pairs = placement.merges.keys.select(pl.col("old", "new").cast(keys.dtype, strict=False))
    found = pl.DataFrame({"old": keys}).join(pairs, on="old", how="left", maintain_order="left")
    return found.select(pl.coalesce("new", "old").unique(maintain_order=True)).to_series().alias(keys.name)


def _compacted(placement: Placement, former_present: pl.Series) -> Placement:
    """The order without the contacts that are gone and were gone before; a new lineage."""
    alignment = placement.alignment
    was_there = pl.concat([former_present, _all(alignment.size - len(former_present), value=False)])
    kept = alignment.present | was_there
    if bool(kept.all()):
        return placement
    positions = (kept.cast(pl.UInt32()).cum_sum() - 1).cast(pl.UInt32())
    moved = pl.select(pl.when(kept).then(positions)).to_series()
    rows = alignment.position_of_row
    assert rows is not None  # only an order with gone contacts is compacted
    compact = Alignment(alignment.keys.filter(kept), alignment.present.filter(kept), moved.gather(rows).alias("position"))
    return Placement(compact, placement.kind, placement.former_size, moved.head(placement.former_size))


def _same(former: pl.Series, keys: pl.Series) -> bool:
    """Whether a snapshot has the former order's very keys; told apart by a few of them before all are compared."""
    if len(former) != len(keys) or former.has_nulls():
        return False
    return former[0] == keys[0] and former[-1] == keys[-1] and former.equals(keys)


def _one_type(former: pl.Series, keys: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Integer keys of different widths as the snapshot's, or where a former one doesn't fit, as the former's."""
    if former.dtype == keys.dtype:
        return former, keys
    try:
        return former.cast(keys.dtype), keys
    except pl.exceptions.InvalidOperationError:
        return former, keys.cast(former.dtype)


def _all(size: int, *, value: bool = True) -> pl.Series:
    return pl.repeat(value, size, dtype=pl.Boolean(), eager=True).alias("present")


def _changed_type(former: str, kind: str) -> Diagnostic:
    return Diagnostic(
        "S403",
        f"the contacts' key is {_named(kind)} now and was {_named(former)} in the accepted run",
        help="give the snapshot its former key, or begin anew with another `state:`",
    )


def _named(kind: str) -> str:
    return {"integer": "an integer", "uuid": "a UUID"}.get(kind, "text")
