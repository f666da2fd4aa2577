"""Whether rows that waited for a person may still be sent: by the accepted run, who is a member and not suppressed."""

from __future__ import annotations

import polars as pl

from segmentry.engine.activation import Standing
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.moment import Moment
from segmentry.engine.people import CONTACT, SUPPRESSED, People, locate
from segmentry.engine.standing_run import standing_of
from segmentry.engine.state import State


def fit(workspace: LoadedWorkspace, state: State, rows: pl.DataFrame) -> pl.Series:
    """Boolean per row (`sequence`, `segment`, `person`): in the snapshot, in the segment unless `while_member` is off, not suppressed.

    Who has the address of somebody suppressed is, too: by the accepted run's contacts, or the newest where its files are gone.
    Only who is in a group of the segment that is enrolled may, where only some are.
    """
    record = state.accepted()
    if record is None or not rows.height:
        return pl.repeat(False, rows.height, dtype=pl.Boolean(), eager=True)
    standing = standing_of(workspace, state, record, record.started, lambda: Moment.at(workspace, state.clock()).contacts)
    positions = locate(standing.keys, rows["person"].unique().cast(standing.keys.dtype, strict=False).drop_nulls())
    segments = [name for name in rows["segment"].unique().sort().to_list() if name in record.segments]
    people = pl.DataFrame({CONTACT: standing.keys.gather(positions).cast(pl.String()), "there": standing.present.gather(positions)})
    people = people.with_columns(standing.member(name).gather(positions).alias(f"in:{name}") for name in segments)
    people = people.with_columns(_suppressed(state, standing, positions))
    rows = rows.with_columns(pl.col("sequence").replace(_new_names(workspace)))
    known = rows.join(people, left_on="person", right_on=CONTACT, how="left", maintain_order="left")
    inside = pl.lit(value=False)
    for name in segments:
        inside = pl.when(pl.col("segment") == name).then(pl.col(f"in:{name}")).otherwise(inside)
    kept = [name for name, sequence in workspace.config.sequences.items() if not sequence.while_member]
    staying = inside | (pl.col("sequence").is_in(kept) & pl.col("segment").is_in(segments))
    found = known.select((pl.col("there") & staying & ~pl.col(SUPPRESSED)).fill_null(value=False).alias("fit")).to_series()
    return found & _enrolled(workspace, standing, rows)


def _new_names(workspace: LoadedWorkspace) -> dict[str, str]:
    """What sequences are called in the files, where rows still have a former name: no run was accepted since."""
    sequences = workspace.config.sequences
    return {former: name for name, one in sequences.items() for former in one.renamed_from if former not in sequences}


def _suppressed(state: State, standing: Standing, positions: pl.Series) -> pl.Series:
    if standing.suppressed is None or not standing.suppressed.any():
        return pl.repeat(False, len(positions), dtype=pl.Boolean(), eager=True).alias(SUPPRESSED)
    with state.catalog.reading() as connection:
        secret = state.secret(connection)
    people = People.read(standing.keys, positions, standing.suppressed, standing.snapshot, [], secret)
    return people.without(standing.unsent_addresses).frame[SUPPRESSED]


def _enrolled(workspace: LoadedWorkspace, standing: Standing, rows: pl.DataFrame) -> pl.Series:
    """Whether each row's contact is in a group that its segment enrolls in the sequence."""
    chosen = {(name, policy.sequence): policy.split for name, one in workspace.segments.items() for policy in one.config.enroll}
    found = [True] * rows.height
    for (segment, sequence), part in rows.with_row_index("row").group_by("segment", "sequence"):
        groups = chosen.get((str(segment), str(sequence)))
        if groups is not None:
            for row, group in zip(part["row"].to_list(), standing.groups(str(segment), part["person"]).to_list(), strict=True):
                found[row] = group in groups
    return pl.Series("enrolled", found, pl.Boolean())
