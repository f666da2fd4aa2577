"""Running a plan over a snapshot: contacts into memory once, every event table grouped once, conditions chunk by chunk, then the algebra.

The seam for another engine is `backends/`: this module only asks a backend to make a table of a query and to fetch one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from sqlglot import exp

from segmentry.engine import algebra
from segmentry.engine.affected import KeysQuery
from segmentry.engine.backends.duckdb import DuckDB
from segmentry.engine.by_row import ByRow, by_position, pays, row_of_position
from segmentry.engine.columns import INTEGERS
from segmentry.engine.dense import SHARE_OF_MEMORY, arrays_held, arrays_pay, dense_table
from segmentry.engine.few_rows import few_rows
from segmentry.engine.footers import nulls_of
from segmentry.engine.gathered import POSITION
from segmentry.engine.keys import check_keys
from segmentry.engine.lowering import sql
from segmentry.engine.lowering.calendar import Calendar
from segmentry.engine.lowering.canon import Canon
from segmentry.engine.lowering.duckdb import DUCKDB
from segmentry.engine.membership import Alignment, Memberships, chunk_bounds
from segmentry.engine.plan import Plan
from segmentry.engine.populations import Level, is_foremost, places, standing
from segmentry.engine.relations import reading_frame, scan
from segmentry.engine.room import held_beside
from segmentry.engine.row_digests import DIGEST, DIGEST_BYTES, FILE, added_up, contact_digest, event_key, numbered, placed, with_keys
from segmentry.engine.scans import (
    CONTACTS,
    KEY,
    POSITIONS,
    ROW,
    ROWS,
    SNAPSHOT,
    EventScan,
    EventScans,
    contact_columns,
    contact_rows,
    contacts_by_position,
    contacts_in_order,
    events_table,
    fields_below,
    key_in,
    telling_missing,
)
from segmentry.engine.session import Session
from segmentry.engine.snapshot import EventSource, PinnedFile, Relation, Snapshot
from segmentry.rules.ground import Clock
from segmentry.rules.nodes import Events, Remembered, Scope, Value
from segmentry.rules.zones import LAST_INSTANT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from segmentry.engine.scatter import Places, Scatter

Recall = Callable[[Remembered, Alignment], pl.Series]
"""What earlier runs say of each position."""

CHOSEN = sql.internal("chosen")
CHOSEN_POSITIONS = sql.internal("chosen positions")
FEW = sql.internal("few")
NO_DIGESTS = pl.DataFrame(schema={"position": pl.UInt32(), "digest": pl.UInt64(), "rows": pl.UInt32()})


class Evaluation(Session):
    """Evaluates plans over one snapshot. A context manager; its connection closes with it.

    `memory` is a size such as `4GiB`, `temp` a folder to spill into, `frames` the Arrow-speaking frames that relations
    without files name. `only` restricts everything to contacts with these keys. `recall` is asked what earlier runs say.
    `database` is a connection that has these files and frames already, to which the former then do not matter.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        clock: Clock,
        memory: str | None = None,
        threads: int | None = None,
        temp: Path | None = None,
        frames: Mapping[str, object] | None = None,
        only: pl.Series | None = None,
        recall: Recall | None = None,
        database: DuckDB | None = None,
    ) -> None:
        beside = 0 if memory is None else held_beside(snapshot.contacts)
        super().__init__(database or DuckDB(snapshot.paths(), frames=frames, memory=memory, beside=beside, threads=threads, temp=temp))
        self.snapshot = snapshot
        self.clock = clock
        self._recall = recall
        self._frames = frames
        self._columns: frozenset[str] | None = None
        self._keys: pl.Series | None = None
        self._alignment: Alignment | None = None
        self._aligned = False
        self._wanted: frozenset[str] = frozenset()
        self._digests: dict[tuple[str, ...], pl.Series] = {}
        self._only, self._restricted = only, only is not None
        self._scattered: dict[int, Scatter] = {}
        self._divided: Plan | None = None
        self._by_row: ByRow | None = None
        self._rows: pl.DataFrame | None = None
        if only is not None:
            self._database.register(CHOSEN, pl.DataFrame({KEY: only}))

    def restricted(self, only: pl.Series) -> Evaluation:
        """An evaluation of the contacts with these keys, by the same engine; it has to be closed before this one."""
        return Evaluation(
            self.snapshot,
            clock=self.clock,
            frames=self._frames,
            only=only,
            recall=self._recall,
            database=self._database.sibling(self._frames),
        )

    # ---------------------------------------------------------------- contacts

    def prepare(self, *plans: Plan) -> None:
        """Tells which plans will be evaluated, so that the contacts' columns are read once for all of them."""
        self._wanted |= {column for plan in plans for column in plan.contact_columns}

    def prepare_by_row(self, plan: Plan, digested: Collection[str] = ()) -> None:
        """The same of one plan, before any key is read: its conditions on contacts alone are read with the keys, where that pays.

        So is a digest of the columns `digested`.
        """
        possible = not self._restricted and self._keys is None
        asked = possible and pays(self.snapshot.contacts.relation, len(plan.leaf_columns), self._database.memory())
        divided = plan.by_row(digested) if asked else None  # which takes a while itself
        if divided is None:
            self.prepare(plan)
            return
        self._divided, self._by_row = plan, divided
        self._wanted |= {*divided.columns, *(column for scan in plan.scans for column in scan.contact_columns)}

    def keys(self) -> pl.Series:
        """The contacts' keys in the snapshot's row order. SourceError if one is missing or there twice, or there is none."""
        if self._keys is None:
            ordered = None if self._alignment is None else self._alignment.keys_of_rows()
            self._keys = self._read_keys() if ordered is None else ordered.alias(self.snapshot.contacts.key)
        return self._keys

    def _read_keys(self) -> pl.Series:
        if self._by_row is not None:
            with self._timed("contacts"):
                self._rows = self._fetch_in_batches(self._by_row.query)
            self._count(self.snapshot.contacts.relation, {*self._by_row.read, self.snapshot.contacts.key})
            self.counters.by_row = len(self._by_row.leaves)
            keys = self._rows.drop_in_place(KEY).alias(self.snapshot.contacts.key)
        else:
            self._read_contacts(frozenset())
            with self._timed("keys"):
                keys = self._fetch(sql.select({KEY: sql.column(KEY)}, sql.table(SNAPSHOT)))[KEY].alias(self.snapshot.contacts.key)
        if not self._restricted:
            check_keys(keys)
        return keys

    def align(self, alignment: Alignment) -> None:
        """Puts the contacts into their lasting order; without this call the snapshot's own is used."""
        self._alignment, self._aligned = alignment, False
        self._keys = alignment.held_once(self._keys)
        self._digests.clear()

    @property
    def alignment(self) -> Alignment:
        if self._alignment is None:
            keys = self.keys()
            self._alignment = Alignment(keys, pl.repeat(True, len(keys), dtype=pl.Boolean(), eager=True))
        return self._alignment

    def keys_of(self, queries: Iterable[KeysQuery]) -> pl.Series:
        """The contacts' keys that any of these queries gives, each once, in no order."""
        contacts = self.snapshot.contacts
        nobody = sql.select({KEY: sql.column(KEY)}, sql.subquery(contact_rows(DUCKDB, contacts, ()), "c"), sql.boolean(False))
        with self._timed("affected"):
            found = [self._fetch(nobody)]
            for one in queries:
                found.append(self._fetch(one.query))
                self._count(one.relation, one.columns)
        return pl.concat(found)[KEY].unique().alias(contacts.key)

    def _read_contacts(self, columns: frozenset[str]) -> None:
        """The snapshot's rows with at least these columns as a table, in their order."""
        if self._columns is not None and columns <= self._columns:
            return
        wanted = columns | self._wanted | (self._columns or frozenset())
        contacts = self.snapshot.contacts
        with self._timed("contacts"):
            query = contact_rows(DUCKDB, contacts, sorted(wanted))
            if self._restricted:
                key = contacts.relation.columns[contacts.key]
                query = sql.select(contact_columns(sorted(wanted)), sql.subquery(query, "c"), key_in(sql.column(KEY), CHOSEN, key.stored))
            with self._reading_few(query, contacts.relation, contacts.key, wanted) as reading:
                self._create(SNAPSHOT, reading)
        self._count(contacts.relation, {*wanted, contacts.key})
        self._columns = wanted
        self._aligned = False

    def _load(self, columns: frozenset[str]) -> None:
        """The contacts by position, with at least these columns."""
        alignment = self.alignment
        self._read_contacts(columns)
        if self._aligned:
            return
        with self._timed("positions"):
            assert self._columns is not None
            self._place(alignment, sorted(self._columns))
        self._aligned = True

    def _place(self, alignment: Alignment, columns: Sequence[str]) -> None:
        if alignment.position_of_row is None:
            self._database.view(CONTACTS, contacts_in_order(columns))
            return
        rows = row_of_position(alignment.position_of_row, alignment.size)
        self._database.register(POSITIONS, pl.DataFrame({ROW: rows}).with_row_index(POSITION))
        self._create(CONTACTS, contacts_by_position(columns))
        self._database.unregister(POSITIONS)

    # ---------------------------------------------------------------- memberships

    def memberships(self, plan: Plan, lists: Mapping[str, pl.Series] | None = None) -> Memberships:
        """Every segment's membership over all positions. `lists` has the keys of each static list the plan names."""
        if plan is self._divided and self._alignment is None:
            self.keys()
        by_row = self._by_row if self._rows is not None and plan is self._divided else None
        self._compute(plan, by_row)
        whole = self._bitmaps(plan, lists or {})
        if by_row is not None and self._rows is not None:
            whole |= by_position(self._rows.select(by_row.leaves), self.alignment)
        present = self.alignment.present
        everybody = bool(present.all())
        chunks = []
        for first, end, leaves in self._leaves(plan, by_row):
            with self._timed("algebra"):
                bitmaps = {column: leaves[column] for column in plan.leaf_columns if column not in whole}
                bitmaps.update({column: bitmap[first:end] for column, bitmap in whole.items()})
                chunk = algebra.run(plan.steps, plan.segments, bitmaps, end - first)
                if not everybody:
                    here = present[first:end]
                    chunk = pl.DataFrame([(column & here).alias(column.name) for column in chunk])
                chunks.append(chunk)
        self._scattered.clear()
        return Memberships(tuple(chunks))

    def _leaves(self, plan: Plan, by_row: ByRow | None) -> Iterator[tuple[int, int, pl.DataFrame]]:
        """The leaves that are left to ask, chunk by chunk."""
        if by_row is None:
            yield from self._chunks(plan.leaves_query)
        elif by_row.alone is not None and len(self._scattered) == len(plan.scans):
            yield from self._chunks(by_row.alone())
        elif by_row.rest is not None:
            self._load(frozenset(by_row.columns))
            yield from self._chunks(by_row.rest())
        else:
            yield from ((first, end, pl.DataFrame()) for first, end in chunk_bounds(self.alignment.size))

    def leaves(self, plan: Plan, lists: Mapping[str, pl.Series] | None = None, *, missing: Collection[str] = ()) -> pl.DataFrame:
        """Every leaf of a plan (`plan.leaf(condition)`) and every extra value (`plan.value(value)`), for each contact.

        The first column is the key under its own name; gone contacts are left out. The columns of values in `missing`
        say whether those are missing instead.
        """
        self._compute(plan)
        listed = self._bitmaps(plan, lists or {})
        alignment = self.alignment
        frames = []
        for first, end, leaves in self._chunks(telling_missing(plan.leaves_query, missing)):
            columns = [alignment.keys[first:end].alias(KEY), *(leaves[column] for column in plan.leaf_columns)]
            columns += [bitmap[first:end].alias(column) for column, bitmap in listed.items()]
            columns += [leaves[column] for column in plan.value_columns]
            frames.append(pl.DataFrame(columns).filter(alignment.present[first:end]))
        return pl.concat(frames).rename({KEY: self.snapshot.contacts.key})

    def _compute(self, plan: Plan, by_row: ByRow | None = None) -> None:
        """The contacts and every event table's aggregates as tables, or as arrays, which stand for one plan.

        Contacts as far as they are not read by row: arrays may do without.
        """
        self._scattered.clear()
        if by_row is None:
            self._load(frozenset(plan.contact_columns))
        for events in plan.scans:
            self._group(events)
        for one in plan.beside:
            with self._timed("events"):
                self._create(one.table, one.query)

    def _group(self, events: EventScan) -> None:
        source = self.snapshot.events[events.source]
        name = events_table(events.source)
        with self._timed("events"):
            if not self._scatter(events, source):
                self._load(frozenset(events.contact_columns))
                query = events.query(key_in(sql.column(KEY), CONTACTS) if self._restricted else None)
                with self._reading_few(query, source.relation, source.contact, events.columns) as reading:
                    self._create(name, reading)
                unknown = sql.select({"rows": sql.call("sum", sql.column(ROWS))}, sql.table(name), sql.is_null(sql.column(POSITION)))
                self.counters.unknown_events[events.source] = int(self._fetch(unknown)["rows"][0] or 0)
            self.counters.timeless_events[events.source] = self._timeless(source)
        self._count(source.relation, events.columns)

    @contextmanager
    def _reading_few(self, query: exp.Select, relation: Relation, key: str, columns: Collection[str]) -> Iterator[exp.Select]:
        """The query, or where that is quicker, one that reads a frame of the rows of these few contacts in place of all files."""
        rows = None
        if self._only is not None:
            rows = few_rows(relation, key, columns, self._only, self.snapshot.contacts.relation, self._database.memory())
        if rows is None:
            yield query
            return
        self._database.register(FEW, rows)
        try:
            yield reading_frame(query, relation, FEW)
        finally:
            self._database.unregister(FEW)

    def _scatter(self, events: EventScan, source: EventSource) -> bool:
        """The aggregates as arrays, where that pays and all sums fit; whether it was done."""
        dense, size = events.dense, self.alignment.size
        number = sum(file.rows or 0 for file in source.relation.files)
        if dense is None or self._restricted or not dense.pays(number, size, self._database.memory()):
            return False
        from segmentry.engine.scatter import Scatter  # noqa: PLC0415 -- most runs do without NumPy

        arrays, places = Scatter(dense.targets, size), self._places(source)
        if places is None or events.contact_columns:
            self._load(frozenset(events.contact_columns))
        for rows in self._rows_by_position(events.rows(dense) if places is None else events.keyed_rows(dense), places):
            arrays.add(*rows)
        self.counters.queries = self._database.queries
        if not arrays.fits:
            return False
        self.counters.unknown_events[events.source] = arrays.unknown
        self._scattered[events.source] = arrays
        self.counters.in_arrays.add(events.source)
        return True

    def _timeless(self, source: EventSource) -> int:
        """How many events have no time; footers tell it, where they are complete."""
        told = [nulls_of(file, source.at) for file in source.relation.files]
        if told and None not in told:
            return sum(number for number in told if number)
        query = sql.select({"rows": sql.call("count", exp.Star())}, scan(source.relation), sql.is_null(sql.column(source.at)))
        return int(self._fetch(query)["rows"][0])

    def _chunks(self, query: exp.Select) -> Iterator[tuple[int, int, pl.DataFrame]]:
        size = self.alignment.size
        for first, end in chunk_bounds(size):
            with self._timed("conditions"):
                yield first, end, self._chunk(query, first, end, whole=end - first == size)

    def _chunk(self, query: exp.Select, first: int, end: int, *, whole: bool) -> pl.DataFrame:
        for source, arrays in self._scattered.items():
            self._database.replace(dense_table(source), arrays.table(first, end))
            self._database.view(events_table(source), arrays_held(source, arrays.targets))
        if not whole:
            query = query.copy()
            above = exp.GTE(this=sql.column(POSITION), expression=sql.integer(first))
            below = exp.LT(this=sql.column(POSITION), expression=sql.integer(end))
            query.set("where", exp.Where(this=sql.all_of([above, below])))
        leaves = self._fetch(query)
        return leaves if leaves[POSITION].is_sorted() else leaves.sort(POSITION)

    def _bitmaps(self, plan: Plan, lists: Mapping[str, pl.Series]) -> dict[str, pl.Series]:
        """The conditions that no query gives, over all positions: static lists, and places in populations."""
        if plan.levels and self._restricted:
            raise ValueError("a place among all contacts can't be found among some")
        found = self._listed(plan, lists)
        for level in plan.levels:
            found.update(self._ranked(plan, level, found))
        return found

    def _ranked(self, plan: Plan, level: Level, known: Mapping[str, pl.Series]) -> dict[str, pl.Series]:
        """Puts the populations of a level in order: the conditions read from it, and its standings as a table. `known` are bitmaps."""
        wanted = {str(number): ranking.among for number, ranking in enumerate(level.rankings) if ranking.among is not None}
        frames = []
        for first, end, rows in self._chunks(level.query):
            bitmaps = {column: rows[column] for column in level.leaves}
            bitmaps.update({column: bitmap[first:end] for column, bitmap in known.items()})
            among = algebra.run(plan.steps, wanted, bitmaps, end - first)
            frames.append(pl.DataFrame([*(rows[column] for column in level.values), *among]))
        values = pl.concat(frames)
        present, conditions, standings = self.alignment.present, dict[str, pl.Series](), dict[str, pl.Series]()
        with self._timed("populations"):
            for number, ranking in enumerate(level.rankings):
                candidates = present if ranking.among is None else present & values[str(number)]
                per = None if ranking.per is None else values[ranking.per]
                found = places(self.alignment.keys, candidates, values[ranking.by], per, falling=ranking.falling)
                conditions.update({column: is_foremost(found, node) for column, node in ranking.foremost.items()})
                standings.update({column: standing(found, node) for column, node in ranking.standings.items()})
            if standings:
                frame = pl.DataFrame([column.alias(name) for name, column in standings.items()]).with_row_index(POSITION)
                self._register(level.table, frame)
        return conditions

    def _listed(self, plan: Plan, lists: Mapping[str, pl.Series]) -> dict[str, pl.Series]:
        """The bitmaps of the conditions that no query computes: static lists, and what earlier runs say."""
        found = {}
        for column, name in plan.listed.items():
            keys = self.alignment.keys
            wanted = lists[name].drop_nulls().unique().cast(keys.dtype, strict=False).drop_nulls()
            bitmap = keys.is_in(wanted.implode()).fill_null(False)
            self.counters.unknown_keys[name] = lists[name].drop_nulls().n_unique() - int((bitmap & self.alignment.present).sum())
            found[column] = bitmap
        for column, asked in plan.remembered.items():
            assert self._recall is not None  # where no runs are kept, the checker refuses to ask them
            with self._timed("history"):
                found[column] = self._recall(asked, self.alignment)
        return found

    def event_rows(self, source: int, chosen: Mapping[str, Events], values: Mapping[str, Value]) -> pl.DataFrame:
        """The rows of one event table, past and future, of the contacts that this evaluation is about.

        `$at` (UTC), a boolean for each of the events chosen, and each value of a row, by their names.
        """
        below = fields_below([*chosen.values(), *values.values()])
        self._load(frozenset(below[Scope.CONTACT]))
        scans = EventScans(DUCKDB, Canon(), self.snapshot.contacts, Calendar(DUCKDB, self.clock.zone), LAST_INSTANT)
        with self._timed("events"):
            return self._fetch(scans.listing(self.snapshot.events[source], chosen, values, key_in(sql.column(KEY), CONTACTS)))

    # ---------------------------------------------------------------- digests

    def contact_digests(self, columns: Sequence[str]) -> pl.Series:
        """A digest of each position's row in these columns (UInt64; 0 where the contact is gone). Missing is missing, however stored."""
        asked = tuple(sorted(columns))
        if asked not in self._digests:
            self._digests[asked] = self._contact_digests(asked)
        return self._digests[asked]

    def _contact_digests(self, columns: tuple[str, ...]) -> pl.Series:
        """As they were read with the keys; else from the contacts by position, if they have all of these columns; else from the files."""
        alignment, source = self.alignment, self.snapshot.contacts
        digest = {DIGEST: contact_digest(source.relation, columns)}
        if columns and self._rows is not None and self._by_row is not None and self._by_row.digested == columns:
            rows = self._rows[DIGEST]
        elif self._restricted or (self._columns is not None and self._columns.issuperset(columns)):
            self._load(frozenset(columns))
            with self._timed("digests"):
                found = self._fetch(sql.select({POSITION: sql.column(POSITION), **digest}, sql.table(CONTACTS)))
            digests = (found if found[POSITION].is_sorted() else found.sort(POSITION))[DIGEST]
            present = alignment.present
            return digests if bool(present.all()) else digests.zip_with(present, pl.Series([0], dtype=pl.UInt64()))
        else:
            with self._timed("digests"):
                rows = self._fetch(sql.select(digest, sql.subquery(contact_rows(DUCKDB, source, columns), "c")))[DIGEST]
            self._count(source.relation, {*columns, source.key})
        if alignment.position_of_row is None:
            return rows
        return pl.repeat(0, alignment.size, dtype=pl.UInt64(), eager=True).scatter(alignment.position_of_row, rows)

    def event_digests(
        self, source: int, files: Sequence[PinnedFile], columns: Sequence[str], only: pl.Series | None = None
    ) -> list[pl.DataFrame]:
        """Of each of these files, per contact with events in it: `position` UInt32, `digest` UInt64, `rows` UInt32, sorted by position.

        A digest is the sum, modulo 2^64, of 48-bit digests of all its rows in these columns, past and future; so those of
        several files add up. `only` has the positions to look for.
        """
        events = self.snapshot.events[source]
        large = [] if only is not None else [file for file in files if self._in_arrays(file)]
        places = self._places(events) if large else None
        if places is None or len(large) < len(files):
            self._load(frozenset())
        with self._timed("digests"):
            found = {file: self._digests_in_arrays(numbered(events, [file], columns), places) for file in large}
            small = [file for file in files if file not in found]
            if small:
                wanted = None if only is None else self._keys_at(event_key(events), only)
                sums = self._fetch(added_up(numbered(events, small, columns, wanted))).sort("position")
                parts = sums.partition_by(FILE, as_dict=True, include_key=False)
                found |= {file: parts.get((number,), NO_DIGESTS) for number, file in enumerate(small)}
        for file in files:
            self._count(events.relation, {*columns, events.contact}, file)
        return [found[file] for file in files]

    def _in_arrays(self, file: PinnedFile) -> bool:
        return not self._restricted and arrays_pay(file.rows or 0, self.alignment.size, DIGEST_BYTES, self._database.memory())

    def _digests_in_arrays(self, rows: exp.Select, places: Places | None) -> pl.DataFrame:
        from segmentry.engine.scatter import RowSums  # noqa: PLC0415 -- most runs do without NumPy

        sums = RowSums(self.alignment.size)
        for batch, positions in self._rows_by_position(placed(rows) if places is None else with_keys(rows), places):
            sums.add(positions, batch[DIGEST].to_numpy())
        self.counters.queries = self._database.queries
        return sums.frame()

    def _rows_by_position(self, query: exp.Select, places: Places | None) -> Iterator[tuple[pl.DataFrame, NDArray[np.int32]]]:
        """A query's rows and the contact's position of each, -1 where it is nobody's: told by places of the key, or by the query."""
        for rows in map(pl.DataFrame, self._database.batches(query)):
            yield rows, rows[POSITION].fill_null(-1).to_numpy() if places is None else places.find(rows[KEY])

    def _places(self, source: EventSource) -> Places | None:
        """The contacts' positions by their keys, where these and the events' are integers and stand close."""
        from segmentry.engine.scatter import Places  # noqa: PLC0415 -- as above

        if source.relation.columns[source.contact].stored not in INTEGERS:
            return None
        alignment = self.alignment
        return Places.of(alignment.keys, alignment.present, int(self._database.memory() * SHARE_OF_MEMORY))

    def _keys_at(self, key: sql.Expr, positions: pl.Series) -> sql.Expr:
        """Whether a key is that of a contact at one of these positions."""
        self._database.register(CHOSEN_POSITIONS, pl.DataFrame({POSITION: positions}))
        among = exp.In(
            this=sql.column(POSITION), query=exp.Subquery(this=sql.select({POSITION: sql.column(POSITION)}, sql.table(CHOSEN_POSITIONS)))
        )
        return exp.In(this=key, query=exp.Subquery(this=sql.select({KEY: sql.column(KEY)}, sql.table(CONTACTS), among)))
