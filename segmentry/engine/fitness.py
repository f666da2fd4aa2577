"""Whether rows that waited for a person may still be sent: by the accepted run, who is a member and not suppressed."""

from __future__ import annotations

import polars as pl

from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.people import locate
from segmentry.engine.state import State
from segmentry.engine.state.records import HELD_COLUMN, SUPPRESS_COLUMN
from segmentry.engine.state.state import held_columns


def fit(workspace: LoadedWorkspace, state: State, rows: pl.DataFrame) -> pl.Series:
    """Boolean per row (`sequence`, `segment`, `person`): in the snapshot, in the segment unless `while_member` is off, not suppressed."""
    record = state.accepted()
    if record is None or not rows.height:
        return pl.repeat(False, rows.height, dtype=pl.Boolean(), eager=True)
    order = state.order(record.id)
    positions = locate(order.keys, rows["person"].unique().cast(order.keys.dtype, strict=False).drop_nulls())
    held = held_columns(record)
    unsent = [name for name in (SUPPRESS_COLUMN, HELD_COLUMN + SUPPRESS_COLUMN) if name in held]
    segments = [name for name in rows["segment"].unique().sort().to_list() if name in record.segments]
    columns = state.columns([*segments, *unsent], record.id)
    people = pl.DataFrame({"person": order.keys.gather(positions).cast(pl.String()), "there": order.present.gather(positions)})
    people = people.hstack([columns[name].gather(positions) for name in columns.columns])
    known = rows.join(people, on="person", how="left", maintain_order="left")
    suppressed = pl.any_horizontal([pl.col(name) for name in unsent]) if unsent else pl.lit(value=False)
    inside = pl.lit(value=False)
    for name in segments:
        inside = pl.when(pl.col("segment") == name).then(pl.col(name)).otherwise(inside)
    kept = [name for name, sequence in workspace.config.sequences.items() if not sequence.while_member]
    staying = inside | (pl.col("sequence").is_in(kept) & pl.col("segment").is_in(segments))
    return known.select((pl.col("there") & staying & ~suppressed).fill_null(value=False).alias("fit")).to_series()
