"""The difference of two memberships: an exclusive or of bitmaps, and the frame of changes made of it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

ENTERED = "entered"
EXITED = "exited"
MOVES = pl.Schema({"segment": pl.String(), "position": pl.UInt32(), "entered": pl.Boolean()})
"""A change before its cause is known, by the contact's position."""


def moves(segment: str, former: pl.Series, current: pl.Series, start: int = 0) -> pl.DataFrame:
    """Who changed in one segment between two bitmaps of equal length that begin at position `start`."""
    changed = (former ^ current).arg_true()
    return pl.DataFrame(
        {
            "segment": pl.repeat(segment, len(changed), dtype=pl.String(), eager=True),
            "position": changed + start,
            "entered": current.gather(changed),
        },
        schema=MOVES,
    )


def moves_among(segment: str, former: pl.Series, current: pl.Series, positions: pl.Series) -> pl.DataFrame:
    """Who of the contacts at these positions changed in one segment, which has told of each whether it was in and whether it is."""
    changed = former ^ current
    who = positions.filter(changed)
    return pl.DataFrame(
        {"segment": pl.repeat(segment, len(who), dtype=pl.String(), eager=True), "position": who, "entered": current.filter(changed)},
        schema=MOVES,
    )


def resized(bitmap: pl.Series, size: int) -> pl.Series:
    """A bitmap over the first positions of an order, as one over `size` positions: nobody was in at the new ones."""
    if len(bitmap) >= size:
        return bitmap
    return pl.concat([bitmap, pl.repeat(False, size - len(bitmap), dtype=pl.Boolean(), eager=True).alias(bitmap.name)])


def first_entries(keys: pl.Series, members: pl.DataFrame) -> list[pl.DataFrame]:
    """The changes of segments computed for the first time, a frame each: every member entered, and the cause is the rule."""
    order = keys.arg_sort(nulls_last=True).head(len(keys) - keys.null_count())
    ordered = keys.gather(order)
    return [_entries(column.name, ordered.filter(column.gather(order))) for column in members.get_columns()]


def changes_schema(key: pl.DataType) -> pl.Schema:
    """The columns of a frame of changes; `contact` has the key's type."""
    return pl.Schema({"segment": pl.String(), "contact": key, "change": pl.String(), "cause": pl.String(), "via": pl.String()})


def changes_frame(frames: Sequence[pl.DataFrame], key: pl.DataType) -> pl.DataFrame:
    """Frames of changes, each sorted by segment and contact and no two of one segment, as one so sorted."""
    schema = changes_schema(key)
    parts = [part for frame in frames if frame.height for part in frame.partition_by("segment", maintain_order=True)]
    if not parts:
        return pl.DataFrame(schema=schema)
    parts.sort(key=lambda part: str(part["segment"][0]))
    return pl.concat([part.select(schema.names()).cast({"contact": key}) for part in parts])


def _entries(segment: str, contacts: pl.Series) -> pl.DataFrame:
    count = len(contacts)

    def constant(value: str | None) -> pl.Series:
        return pl.repeat(value, count, dtype=pl.String(), eager=True)

    return pl.DataFrame(
        {"segment": constant(segment), "contact": contacts, "change": constant(ENTERED), "cause": constant("rule"), "via": constant(None)}
    )
