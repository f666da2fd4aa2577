"""What a run writes before its commit: the order of contacts, the bitmaps that changed, and with them who moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from segmentry.engine.diff import MOVES, changes_frame, moves, resized
from segmentry.engine.former import FormerRun
from segmentry.engine.membership import CHUNK_ROWS, Memberships, chunk_bounds
from segmentry.engine.positions import Placement, carried
from segmentry.engine.state import State, reading
from segmentry.engine.state.commit import ContactsDraft, FileRef, next_contacts
from segmentry.engine.state.files import Staging
from segmentry.engine.state.records import LIST_COLUMN

Chunks = tuple[tuple[tuple[FileRef, tuple[str, ...]], ...], ...]


@dataclass(frozen=True)
class Stored:
    """Memberships as written: which file has which columns, chunk by chunk; and who moved since the former run."""

    chunks: Chunks
    moves: pl.DataFrame


def store_contacts(
    state: State, staging: Staging, placement: Placement, key: str, former: FormerRun | None, *, accepted: bool
) -> tuple[int, ContactsDraft | int]:
    """The order of contacts that a run goes by: its id, and the former one's if that still holds, else what to commit.

    Chunks of keys that did not change stay in the files of earlier orders.
    """
    alignment = placement.alignment
    record = None if former is None else former.order.record
    same_lineage = record is not None and placement.former_positions is None
    appended = record is None or alignment.size > record.size
    if former is not None and record is not None and same_lineage and not appended and alignment.present.equals(former.order.present):
        return record.id, record.id
    with state.catalog.reading() as connection:
        number = next_contacts(connection)
    reusable = 0
    if former is not None and record is not None and same_lineage and former.order.keys.dtype == alignment.keys.dtype and record.key == key:
        reusable = len(record.key_files) if not appended else record.size // CHUNK_ROWS
    key_files: list[FileRef] = list(record.key_files[:reusable]) if record is not None else []
    for index, (start, end) in list(enumerate(chunk_bounds(alignment.size)))[reusable:]:
        frame = pl.DataFrame({key: alignment.keys.slice(start, end - start)})
        key_files.append(staging.write(f"contacts/{number}/keys-{index}.parquet", "keys", frame))
    present = staging.write(f"contacts/{number}/present.parquet", "present", pl.DataFrame({"present": alignment.present}))
    lineage = record.lineage if record is not None and same_lineage and (accepted or not appended) else None
    return number, ContactsDraft(lineage, key, placement.kind, alignment.size, placement.gone, tuple(key_files), present)


def store_members(
    state: State, staging: Staging, run: int, memberships: Memberships, names: Sequence[str], former: FormerRun | None, placement: Placement
) -> Stored:
    """Writes the columns `names`, chunk by chunk; where a chunk of a column did not change, the former run's file stands for it."""
    chunks: list[tuple[tuple[FileRef, tuple[str, ...]], ...]] = []
    moved: list[pl.DataFrame] = []
    source = _FormerChunks(state, former, placement, sorted(set(names) & (former.columns if former is not None else set())))
    for index, chunk in enumerate(memberships.chunks):
        start = index * CHUNK_ROWS
        before, homes = source.read(index, chunk.height)
        kept: dict[FileRef, list[str]] = {}
        written: list[str] = []
        for name in sorted(names):
            current = chunk[name]
            if name in before.columns:
                then = before[name]
                if name in homes and len(then) == len(current) and then.equals(current):
                    kept.setdefault(homes[name], []).append(name)
                    continue
                if not name.startswith(LIST_COLUMN):
                    moved.append(moves(name, resized(then, len(current)), current, start))
            written.append(name)
        if written:
            kept[staging.write(f"runs/{run}/members-{index}.parquet", "members", chunk.select(written))] = written
        chunks.append(tuple((ref, tuple(columns)) for ref, columns in kept.items()))
    found = [frame for frame in moved if frame.height]
    return Stored(tuple(chunks), pl.concat(found).sort("segment", "position") if found else pl.DataFrame(schema=MOVES))


def returned_moves(former: FormerRun, segment: str, current: pl.Series, placement: Placement) -> tuple[pl.DataFrame, pl.Series]:
    """Who moved in a segment that was gone for a while, since its last accepted membership; and former members whose position is gone."""
    members = former.last_members(segment)
    keys = placement.alignment.keys
    known = keys.cast(members.dtype, strict=False) if keys.dtype != members.dtype else keys
    was_in = known.is_in(members.implode()) & known.is_not_null()
    return moves(segment, was_in, current), members.filter(~members.is_in(known.drop_nulls().implode()))


def changes_of(decided: pl.DataFrame, keys: pl.Series, gone: Mapping[str, pl.Series]) -> pl.DataFrame:
    """Moves with their causes as the frame of changes; `gone` has contacts that left with a returned segment and have no position."""
    frame = decided.select(
        "segment",
        keys.gather(decided["position"]).alias("contact"),
        pl.when("entered").then(pl.lit("entered")).otherwise(pl.lit("exited")).alias("change"),
        "cause",
        "via",
    )
    exits = [
        pl.DataFrame({"contact": contacts.cast(keys.dtype)}).select(
            pl.lit(segment).alias("segment"),
            "contact",
            pl.lit("exited").alias("change"),
            pl.lit("rule").alias("cause"),
            pl.lit(None, pl.String()).alias("via"),
        )
        for segment, contacts in gone.items()
        if len(contacts)
    ]
    return changes_frame([pl.concat([frame, *exits]).sort("segment", "contact")], keys.dtype)


class _FormerChunks:
    """The former run's columns, chunk by chunk of the present order."""

    def __init__(self, state: State, former: FormerRun | None, placement: Placement, names: list[str]) -> None:
        self.state, self.former, self.names = state, former, names
        self.moved: pl.DataFrame | None = None
        self.where: dict[int, str] = {}
        if former is None or not names:
            self.names = []
        elif placement.former_positions is not None:
            self.moved = pl.DataFrame([carried(column, placement) for column in state.columns(names, former.record.id).get_columns()])
        else:
            with state.catalog.reading() as connection:
                self.where = reading.paths(connection, (number for chunk in former.record.members for number, _ in chunk))

    def read(self, index: int, height: int) -> tuple[pl.DataFrame, dict[str, int]]:
        """A chunk of the former columns, and which file each is in (empty after a compaction: nothing can stand then)."""
        if self.moved is not None:
            return self.moved.slice(index * CHUNK_ROWS, height), {}
        if self.former is None or not self.names:
            return pl.DataFrame(), {}
        if index >= len(self.former.record.members):
            nobody = pl.repeat(False, height, dtype=pl.Boolean(), eager=True)
            return pl.DataFrame(dict.fromkeys(self.names, nobody)), {}
        chunk = self.former.record.members[index]
        return reading.chunk_columns(self.state.folder, chunk, self.where, self.names), {
            name: number for number, columns in chunk for name in columns
        }
