"""What a run writes before its commit: the order of contacts, the bitmaps that changed, and with them who moved."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from segmentry.engine.diff import MOVES, changes_frame, moves, moves_among, resized
from segmentry.engine.former import HELD_COLUMN, FormerRun
from segmentry.engine.membership import CHUNK_ROWS, Memberships, chunk_bounds
from segmentry.engine.positions import Placement, carried, handed_on
from segmentry.engine.state import State, reading
from segmentry.engine.state.activated import FileRef
from segmentry.engine.state.commit import ContactsDraft, next_contacts
from segmentry.engine.state.files import Staging
from segmentry.engine.state.records import CONSENT_COLUMN, LIST_COLUMN, SUPPRESS_COLUMN

Chunks = tuple[tuple[tuple[FileRef, tuple[str, ...]], ...], ...]


@dataclass(frozen=True)
class CarriedOver:
    """What is known of a run's columns without a look at all of them: these, of the accepted run, stand outside of `positions`.

    `columns` are as that run has them, everybody for themselves, over the present order, whose beginning is the accepted run's.
    """

    columns: Mapping[str, pl.Series]
    positions: pl.Series


NO_SEGMENTS = (CONSENT_COLUMN, LIST_COLUMN, SUPPRESS_COLUMN)
"""Before the names of columns that are no segments': who moves there has not changed."""

NOTHING = CarriedOver({}, pl.Series(dtype=pl.UInt32()))


@dataclass(frozen=True)
class Compared:
    """A run's columns beside the former run's: who moved, and per chunk the files that may stand for columns that are as they were."""

    memberships: Memberships
    names: tuple[str, ...]
    moves: pl.DataFrame
    same: tuple[Mapping[str, int], ...]
    former: FormerChunks


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


def compare_members(
    state: State,
    memberships: Memberships,
    names: Sequence[str],
    former: FormerRun | None,
    placement: Placement,
    over: CarriedOver = NOTHING,
) -> Compared:
    """The columns `names` beside the former run's accepted ones, chunk by chunk. What is in no column there has not moved.

    Of those that are carried `over`, only the positions that may be otherwise are looked at, and no file.
    """
    source = FormerChunks(state, former, placement, sorted(names), over)
    few = {
        name: moves_among(name, over.columns[name].gather(over.positions), memberships.column(name).gather(over.positions), over.positions)
        for name in source.carried_over
    }
    moved_in = {name: frozenset((frame["position"] // CHUNK_ROWS).unique().to_list()) for name, frame in few.items()}
    others = [name for name in source.names if name not in few]
    found = list(few.values())
    same: list[Mapping[str, int]] = []
    for index, chunk in enumerate(memberships.chunks):
        standing = source.homes(index, chunk.height) if few else {}
        unchanged = {name: home for name, home in standing.items() if name in few and index not in moved_in[name]}
        before, homes = source.read(index, chunk.height, others)
        for then in before.get_columns():
            name, current = then.name, chunk[then.name]
            if name in homes and then.equals(current):
                unchanged[name] = homes[name]
            else:
                found.append(moves(name, then, current, index * CHUNK_ROWS))
        same.append(unchanged)
    moved = [frame for frame in found if frame.height and not frame["segment"][0].startswith(NO_SEGMENTS)]
    everyone = pl.concat(moved).sort("segment", "position") if moved else pl.DataFrame(schema=MOVES)
    return Compared(memberships, tuple(sorted(names)), everyone, tuple(same), source)


def store_members(staging: Staging, run: int, compared: Compared, held: Collection[str] = frozenset()) -> Chunks:
    """Writes the columns, chunk by chunk; where a chunk of a column did not change, the former run's file stands for it.

    Of a segment that is `held`, the accepted membership goes on under its name, if it has one, and the computed one beside it.
    """
    chunks: list[tuple[tuple[FileRef, tuple[str, ...]], ...]] = []
    source = compared.former
    for index, chunk in enumerate(compared.memberships.chunks):
        homes = dict(compared.same[index])
        columns = [chunk[name] for name in compared.names if name not in held]
        if held:
            accepted, accepted_homes = source.read(index, chunk.height, sorted(held))
            computed = [chunk[name].alias(HELD_COLUMN + name) for name in sorted(held)]
            homes = {name: home for name, home in homes.items() if name not in held} | accepted_homes | source.standing(index, computed)
            columns = [*columns, *accepted.get_columns(), *computed]
        kept: dict[FileRef, list[str]] = {}
        written = sorted((column for column in columns if column.name not in homes), key=lambda column: column.name)
        for column in sorted(columns, key=lambda column: column.name):
            if column.name in homes:
                kept.setdefault(homes[column.name], []).append(column.name)
        if written:
            path = staging.write(f"runs/{run}/members-{index}.parquet", "members", pl.DataFrame(written))
            kept[path] = [column.name for column in written]
        chunks.append(tuple((ref, tuple(names)) for ref, names in kept.items()))
    return tuple(chunks)


def returned_moves(former: FormerRun, segment: str, current: pl.Series, placement: Placement) -> tuple[pl.DataFrame, pl.Series]:
    """Who moved in a segment that was gone for a while, since its last accepted membership; and former members whose position is gone."""
    members = handed_on(former.last_members(segment), placement)
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


class FormerChunks:
    """The former run's columns of these names, as far as it has them, chunk by chunk of the present order.

    No file is read for columns that are carried `over`.
    """

    def __init__(
        self, state: State, former: FormerRun | None, placement: Placement, names: Sequence[str], over: CarriedOver = NOTHING
    ) -> None:
        self.state, self.former, self.placement, self.over = state, former, placement, over
        self.names = [name for name in names if former is not None and name in former.columns]
        self.moved: pl.DataFrame | None = None
        self.where: dict[int, str] = {}
        self.handed_on: dict[str, pl.DataFrame] = {}
        if former is None:
            return
        if placement.former_positions is not None:
            if self.names:
                self.moved = pl.DataFrame([carried(column, placement) for column in former.read(self.names).get_columns()])
            return
        with state.catalog.reading() as connection:
            self.where = reading.paths(connection, (number for chunk in former.record.members for number, _ in chunk))
        if placement.merges is not None and self.names:
            self.handed_on = self._merged(placement.merges.positions.sort("old"))

    @property
    def carried_over(self) -> list[str]:
        """The columns that nobody has to look through: they are carried over, and nobody who was merged was in them."""
        return [name for name in self.names if name in self.over.columns and name not in self.handed_on]

    def homes(self, index: int, height: int) -> dict[str, int]:
        """The files with a chunk of the former columns, where it has that height and they are called in them as they are now."""
        if self.former is None or self.placement.former_positions is not None or not height or height != self._height(index):
            return {}
        former, chunk = self.former, self.former.record.members[index]
        return {name: number for number, columns in chunk for name in columns if name in former.columns and former.stored(name) == name}

    def read(self, index: int, height: int, names: Sequence[str] | None = None) -> tuple[pl.DataFrame, dict[str, int]]:
        """A chunk of the former columns over the present positions, and the files that hold it just so (none after a compaction)."""
        wanted = [name for name in self.names if names is None or name in names]
        if not wanted or self.former is None:
            return pl.DataFrame(), {}
        if self.moved is not None:
            return self.moved.select(wanted).slice(index * CHUNK_ROWS, height), {}
        found, homes = self._stored(index, wanted)
        columns = []
        for column in found.get_columns():
            bitmap = self._with_merges(resized(column, height), index * CHUNK_ROWS)
            if bitmap is not column:
                homes.pop(column.name, None)
            columns.append(bitmap)
        return pl.DataFrame(columns), homes

    def standing(self, index: int, columns: Sequence[pl.Series]) -> dict[str, int]:
        """The files that hold a chunk of these columns just as it is now."""
        if self.former is None or self.placement.former_positions is not None:
            return {}
        found, homes = self._stored(index, [column.name for column in columns if column.name in self.former.columns])
        return {
            column.name: homes[column.name]
            for column in columns
            if column.name in homes and len(found) == len(column) and found[column.name].equals(column)
        }

    def _stored(self, index: int, names: Sequence[str]) -> tuple[pl.DataFrame, dict[str, int]]:
        """A chunk of columns as it is in the files; and those files, where the columns are called in them as they are now."""
        assert self.former is not None
        if index >= len(self.former.record.members) or not names:
            return pl.DataFrame({name: pl.Series([], dtype=pl.Boolean()) for name in names}), {}
        height = self._height(index)
        known = [self.over.columns[name].slice(index * CHUNK_ROWS, height).alias(name) for name in names if name in self.over.columns]
        stored = {self.former.stored(name): name for name in names if name not in self.over.columns}
        chunk = self.former.record.members[index]
        read = reading.chunk_columns(self.state.folder, chunk, self.where, list(stored)).rename(stored).get_columns() if stored else []
        homes = self.homes(index, height)
        return pl.DataFrame([*known, *read]).select(names), {name: homes[name] for name in names if name in homes}

    def _height(self, index: int) -> int:
        """Of a chunk, in the former order."""
        return max(0, min(CHUNK_ROWS, self.placement.former_size - index * CHUNK_ROWS))

    def _merged(self, pairs: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """For each column the merges of contacts that were in it."""
        parts = [
            self._stored(int(number), self.names)[0][(part["old"] - number * CHUNK_ROWS).to_list()]
            for (number,), part in pairs.group_by(pl.col("old") // CHUNK_ROWS, maintain_order=True)
        ]
        if not parts:
            return {}
        were_in = pl.concat(parts)
        return {column.name: pairs.filter(column) for column in were_in.get_columns() if column.any()}

    def _with_merges(self, bitmap: pl.Series, start: int) -> pl.Series:
        """The bitmap of a chunk that begins at `start`, itself where no merge touches it."""
        pairs = self.handed_on.get(bitmap.name)
        if pairs is None:
            return bitmap
        old, new = ((places - start).filter(places.is_between(start, start + len(bitmap), "left")) for places in pairs.get_columns())
        if not len(old) and not len(new):
            return bitmap
        return bitmap.clone().scatter(old, False).scatter(new, True)
