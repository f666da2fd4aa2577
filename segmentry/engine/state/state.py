"""`State`: one environment's state folder, for whoever reads it and for the run that writes it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from sqlalchemy import Connection, insert, select

from segmentry.engine.diff import ENTERED, changes_frame, first_entries
from segmentry.engine.state import files, ledger, reading
from segmentry.engine.state.activated import Settlement, end_holds, fact, set_fact, settle
from segmentry.engine.state.catalog import Catalog, open_catalog
from segmentry.engine.state.commit import RunDraft, commit, next_run, remove_files
from segmentry.engine.state.erasure import forget
from segmentry.engine.state.lease import Lease, hold, holder
from segmentry.engine.state.records import LIST_COLUMN, ChunkFiles, ContactsRecord, EventFileRecord, RunRecord, SegmentRecord
from segmentry.engine.state.retention import unlist_old
from segmentry.engine.state.schema import WORKSPACE
from segmentry.engine.state.view import view_sql
from segmentry.errors import NotFound, StateError

T = TypeVar("T")

MOVED = pl.Schema(
    {
        "run": pl.Int64(),
        "as_of": pl.Datetime("us", "UTC"),
        "contact": pl.String(),
        "entered": pl.Boolean(),
        "first": pl.Boolean(),
        "cause": pl.String(),
        "via": pl.String(),
    }
)
"""The columns of `State.moves`; `contact` has the key's type."""


def wall_clock() -> datetime:
    """Now, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Order:
    """An order of contacts, read: every position's key (null where erased) and whether the snapshot had it."""

    record: ContactsRecord
    keys: pl.Series
    present: pl.Series


class State:
    """What runs have left: records in the catalog, bulk data in Parquet. Reading never waits for a run and sees whole runs only."""

    def __init__(self, folder: Path, catalog: Catalog, workspace: str, environment: str, clock: Callable[[], datetime]) -> None:
        self.folder = folder
        self.catalog = catalog
        self.workspace = workspace
        self.environment = environment
        self.clock = clock
        """The wall clock that leases are told by."""

    @classmethod
    def open(
        cls, folder: Path, workspace: str, environment: str = "default", *, create: bool = False, clock: Callable[[], datetime] = wall_clock
    ) -> State:
        """The state in a folder; with `create` it is made where there is none. Raises NoState and StateError."""
        catalog = open_catalog(folder, create=create)
        with catalog.reading() as connection:
            found = connection.execute(select(WORKSPACE)).first()
        if found is None:
            with catalog.writing() as connection:
                found = connection.execute(select(WORKSPACE)).first()
                if found is None:
                    row = {"id": workspace, "environment": environment, "created": clock().isoformat(), "hash_key": secrets.token_hex(32)}
                    connection.execute(insert(WORKSPACE).values(row))
        if found is not None and (found.id, found.environment) != (workspace, environment):
            raise StateError(
                f"the state in {folder} belongs to workspace {found.id}, environment {found.environment},"
                f" not to {workspace}, environment {environment}"
            )
        return cls(folder, catalog, workspace, environment, clock)

    def close(self) -> None:
        self.catalog.close()

    # ------------------------------------------------------------ reading

    def accepted(self) -> RunRecord | None:
        """The newest accepted run; None before the first."""
        with self.catalog.reading() as connection:
            return reading.accepted_run(self.catalog, connection)

    def runs(self) -> list[RunRecord]:
        """Every committed run, oldest first."""
        with self.catalog.reading() as connection:
            return reading.run_records(self.catalog, connection)

    def run(self, number: int | None = None) -> RunRecord:
        """One run, or the newest accepted one; raises NotFound."""
        with self.catalog.reading() as connection:
            found = (
                reading.accepted_run(self.catalog, connection) if number is None else reading.run_record(self.catalog, connection, number)
            )
        if found is None:
            raise NotFound("there is no accepted run yet")
        return found

    def segments(self) -> dict[str, SegmentRecord]:
        """Every segment that was ever accepted, by name."""
        with self.catalog.reading() as connection:
            return reading.segment_records(connection)

    def event_files(self, run: int | None = None) -> list[EventFileRecord]:
        """The event files of the accepted run, or of another that later ones may be compared with."""
        number = self.run(run).id
        with self.catalog.reading() as connection:
            return reading.event_file_records(connection, number)

    def holder(self) -> str | None:
        """Who holds the lease now, in words; None if no run is under way."""
        return holder(self.catalog, self.workspace, self.environment, self.clock())

    def report(self, number: int | None = None) -> dict[str, Any]:
        """A run's report as plain JSON values."""
        return dict(self.run(number).report)

    def order(self, run: int | None = None) -> Order:
        """The contacts of a run, in their lasting order; raises NotFound where retention has removed them."""

        def read() -> Order:
            record = self.run(run)
            if not record.complete and not record.members:
                raise NotFound(_no_longer(record))
            with self.catalog.reading() as connection:
                contacts = reading.contacts_record(connection, record.contacts)
                keys = reading.order_keys(self.folder, connection, contacts)
                return Order(contacts, keys, reading.order_present(self.folder, connection, contacts))

        return _again_if_moved(read)

    def columns(self, names: Sequence[str], run: int | None = None) -> pl.DataFrame:
        """Some of a run's Boolean columns over all positions; raises NotFound where retention has removed them."""

        def read() -> pl.DataFrame:
            record = self.run(run)
            missing = [name for name in names if name not in held_columns(record)]
            if missing:
                raise NotFound(_no_column(record, missing[0]))
            with self.catalog.reading() as connection:
                where = reading.paths(connection, (number for chunk in record.members for number, _ in chunk))
            if not names:
                return pl.DataFrame()
            return pl.concat([reading.chunk_columns(self.folder, chunk, where, names) for chunk in record.members])

        return _again_if_moved(read)

    def digests(self, run: int) -> pl.Series | None:
        """The row digest of every position in a run, as long as they are kept."""

        def read() -> pl.Series | None:
            record = self.run(run)
            if record.digests_file is None:
                return None
            with self.catalog.reading() as connection:
                where = reading.paths(connection, [record.digests_file])
            return files.read(self.folder, where.values())["digest"]

        return _again_if_moved(read)

    def event_digests(self, record: EventFileRecord) -> pl.DataFrame:
        """`position`, `digest`, `rows` of an event file of a run, by the positions of that run's order."""

        def read() -> pl.DataFrame:
            with self.catalog.reading() as connection:
                where = reading.paths(connection, [record.file])
            frame = files.read(self.folder, where.values())
            return frame.filter(pl.col("part") == record.part).drop("part")

        return _again_if_moved(read)

    def memberships(self, run: int | None = None) -> pl.DataFrame:
        """One row per contact of a run's snapshot, in the lasting order: the key under its own name, one Boolean column per segment."""
        record = self.run(run)
        order = self.order(record.id)
        frame = self.columns(list(record.segments), record.id)
        return pl.DataFrame([order.keys]).hstack(frame.get_columns()).filter(order.present & order.keys.is_not_null())

    def view(self, run: int | None = None) -> str:
        """SQL by which DuckDB reads a run's memberships as one table; raises NotFound where retention has removed them."""
        record = self.run(run)
        missing = [name for name in record.segments if name not in held_columns(record)]
        if missing:
            raise NotFound(_no_column(record, missing[0]))
        with self.catalog.reading() as connection:
            contacts = reading.contacts_record(connection, record.contacts)
            numbers = [number for chunk in record.members for number, _ in chunk]
            where = reading.paths(connection, [*numbers, *contacts.key_files, contacts.present_file])
        return view_sql(self.folder, record, contacts, where)

    def members(self, segment: str, run: int | None = None) -> pl.Series:
        """The keys of a segment's members, in the lasting order; raises NotFound."""
        record = self.run(run)
        if segment not in record.segments:
            raise NotFound(_no_column(record, segment))
        keys = self.order(record.id).keys
        return keys.filter(self.columns([segment], record.id)[segment] & keys.is_not_null())

    def changes(self, run: int | None = None, segment: str | None = None) -> pl.DataFrame:
        """What a run brought: `segment`, `contact`, `change`, `cause`, `via`, sorted by segment and contact."""

        def read() -> pl.DataFrame:
            record = self.run(run)
            with self.catalog.reading() as connection:
                where = reading.paths(connection, [record.changes_file])
            paths = list(where.values())
            one = [files.changes(self.folder, path, segment) for path in paths] if segment is not None else []
            stored = pl.concat(one) if one else files.read(self.folder, paths)
            firsts = [name for name, figures in record.segments.items() if figures.first and segment in (None, name)]
            if not firsts or not record.accepted:
                return stored
            entries = first_entries(self.order(record.id).keys, self.columns(firsts, record.id))
            return changes_frame([*entries, stored], stored.schema["contact"])

        return _again_if_moved(read)

    def history(self, segment: str) -> pl.DataFrame:
        """Every change of a segment over the accepted runs, oldest first: `run`, `as_of` (UTC) and the columns of `changes`.

        Under former names too; `segment` is the present one throughout. Raises NotFound.
        """
        if segment not in self.segments():
            raise NotFound(f"there is no segment `{segment}` in any run")
        return self.history_under(self.names(segment)).with_columns(segment=pl.lit(segment))

    def history_under(self, names: Sequence[str]) -> pl.DataFrame:
        """As `history`, of what was known by any of these names; empty if nothing was."""
        frames = []
        with self.catalog.reading() as connection:
            runs = sorted((*found, name) for name in names for found in reading.runs_that_changed(connection, name))
        for number, as_of, name in runs:
            when = [pl.lit(number, pl.Int64).alias("run"), pl.lit(as_of).cast(pl.Datetime("us", "UTC")).alias("as_of")]
            frames.append(self.changes(number, name).select(*when, pl.all()))
        if frames:
            return pl.concat(frames, how="vertical_relaxed")
        accepted = self.accepted()
        schema = changes_frame([], pl.String()).schema if accepted is None else self.changes(accepted.id).schema
        return pl.DataFrame(schema={"run": pl.Int64(), "as_of": pl.Datetime("us", "UTC"), **schema})

    def moves(self, names: Sequence[str], first: datetime | None = None, final: datetime | None = None) -> pl.DataFrame:
        """Who came into a segment and left it in the accepted runs of a time (both ends in), by any of these names, oldest first.

        `run`, `as_of` (UTC), `contact`, `entered` (else it left), `first` (by the segment's first computation), `cause`, `via`.
        """

        def read() -> pl.DataFrame:
            with self.catalog.reading() as connection:
                found = reading.runs_that_moved(connection, names, first, final)
            frames = [pl.DataFrame(schema=MOVED)]
            for run, as_of, name, is_first, path in found:
                changes = self.changes(run, name) if is_first else files.changes(self.folder, path, name)
                when = [pl.lit(run, pl.Int64).alias("run"), pl.lit(as_of).cast(pl.Datetime("us", "UTC")).alias("as_of")]
                how = [(pl.col("change") == ENTERED).alias("entered"), pl.lit(is_first).alias("first")]
                frames.append(changes.select(*when, "contact", *how, "cause", "via"))
            return pl.concat(frames if len(frames) == 1 else frames[1:], how="vertical_relaxed").sort("run", "entered", maintain_order=True)

        return _again_if_moved(read)

    def names(self, segment: str) -> list[str]:
        """A segment's name and those it had before."""
        with self.catalog.reading() as connection:
            former = ledger.former_names(connection, "segment")
        return [segment, *(name for name, now in former.items() if now == segment)]

    def stored_changes(self, run: int | None) -> pl.DataFrame:
        """A run's changes as they are stored: without the entries of segments computed for the first time."""
        return self.file(self.run(run).changes_file)

    def file(self, number: int) -> pl.DataFrame:
        """The rows of a listed bulk file."""

        def read() -> pl.DataFrame:
            with self.catalog.reading() as connection:
                where = reading.paths(connection, [number])
            return files.read(self.folder, where.values())

        return _again_if_moved(read)

    def chunk_height(self, chunk: ChunkFiles) -> int:
        """How many positions a chunk of a run has."""
        number, columns = chunk[0]
        with self.catalog.reading() as connection:
            where = reading.paths(connection, [number])
        return files.read(self.folder, where.values(), [columns[0]]).height

    def skipped(self, run: int | None = None) -> pl.DataFrame:
        """A run's entries that enrolled nobody, and why: `segment`, `sequence`, `contact` (text), `reason`."""
        record = self.run(run)
        if record.skipped_file is None:
            return pl.DataFrame(schema=ledger.SKIPPED)
        with self.catalog.reading() as connection:
            where = reading.paths(connection, [record.skipped_file])
        return files.read(self.folder, where.values())

    @staticmethod
    def secret(connection: Connection) -> str:
        """What keys every hash of this state, in hex."""
        return str(connection.execute(select(WORKSPACE.c.hash_key)).scalar_one())

    # ------------------------------------------------------------ writing

    @contextmanager
    def lease(self, wait: float = 0.0) -> Iterator[Lease]:
        """The lease; its holder finds the folder without leftovers of killed runs. Raises LeaseHeld."""
        with hold(self.catalog, self.workspace, self.environment, wait=wait, clock=self.clock) as held:
            self.remove_leftovers(held)
            yield held

    def remove_leftovers(self, held: Lease) -> tuple[int, int]:
        """Removes what the catalog doesn't list: how many files and bytes."""
        with self.catalog.reading() as connection:
            listed = reading.listed_paths(connection)
            ledgers = ledger.listed_files(connection)
        ledger.finish_names(self.folder, listed, before=held.number)
        for file in ledger.superseded_files(self.folder, ledgers):
            file.unlink(missing_ok=True)
        return files.remove_unlisted(self.folder, listed, keep_staging=held.number)

    def finish_ledger(self) -> None:
        """Gives the ledger files of committed runs their final names: call it before anybody is told of what is in them.

        A file under a passing name is, to an older catalog that is restored beside it, one of a run that never was. Needs no
        lease: a file that isn't listed may be of a run under way, and stays.
        """
        with self.catalog.reading() as connection:
            listed = reading.listed_paths(connection)
        ledger.finish_names(self.folder, listed, before=0)

    def next_run(self) -> int:
        """The id of the run that the lease's holder will commit next: later than any whose ledger is there, known or not."""
        return max(next_run(self.catalog), ledger.newest_run(self.folder) + 1)

    def unknown_ledgers(self) -> list[str]:
        """Names of ledger files that the catalog does not know: it was restored from a backup, and `recover` reads them."""
        with self.catalog.reading() as connection:
            listed = ledger.listed_files(connection)
        return [file.name for file in ledger.unknown_files(self.folder, listed)]

    def staging(self, held: Lease) -> files.Staging:
        """Where the lease's holder writes."""
        return files.Staging(self.folder, held.number)

    def settle(self, held: Lease, now: datetime, settled: Sequence[Settlement], ended: Mapping[int, str]) -> None:
        """Gives open rows of the ledger their outcomes and ends holds, in one transaction; raises LeaseLost."""
        with self.catalog.writing() as connection:
            held.check(connection)
            settle(connection, settled, now)
            end_holds(connection, ended, now)

    def note(self, held: Lease, name: str, value: Any) -> None:
        """Notes a fact of this state (None removes it); raises LeaseLost."""
        with self.catalog.writing() as connection:
            held.check(connection)
            set_fact(connection, name, value)

    def fact(self, name: str) -> Any:
        """A fact of this state; None if it is not known."""
        with self.catalog.reading() as connection:
            return fact(connection, name)

    def rows_of(self, sequence: str, outcome: str) -> list[str]:
        """The ids of a sequence's rows with an outcome."""
        with self.catalog.reading() as connection:
            return ledger.ids(connection, sequence, outcome)

    def commit(self, held: Lease, staging: files.Staging, draft: RunDraft) -> RunRecord:
        """Makes a run so, in one transaction; raises LeaseLost."""
        commit(self.catalog, held, staging, draft)
        staging.remove()
        return self.run(draft.id)

    def gc(self, keep: timedelta, now: datetime, *, addresses: timedelta | None = None, wait: float = 0.0) -> dict[str, int]:
        """Removes memberships of runs committed more than `keep` ago, and leftovers; what was removed, as counts.

        `addresses`: how long after their end deliveries keep theirs (None: as long as they are kept).

        Changes stay, and so does whatever a later run refers to or may be compared with. Raises LeaseHeld.
        """
        with hold(self.catalog, self.workspace, self.environment, wait=wait, clock=self.clock) as held:
            leftovers, freed = self.remove_leftovers(held)
            removed = unlist_old(self.catalog, held, now - keep, None if addresses is None else now - addresses)
            remove_files(self.folder, removed.paths)
        counts = {"runs": removed.runs, "files": len(removed.paths), "leftovers": leftovers, "bytes": removed.bytes + freed}
        return counts | ({} if addresses is None else {"addresses": removed.addresses})

    def forget(self, keys: Sequence[object], now: datetime, *, wait: float = 0.0) -> dict[str, Any]:
        """Erases contacts from everything stored; the certificate, as plain values. Raises LeaseHeld; SegmentryError for what is no key."""
        with self.lease(wait) as held:
            return forget(self.catalog, held, self.staging(held), keys, now)


def held_columns(record: RunRecord) -> set[str]:
    """The columns that can be read of a run: all, until retention removes most."""
    return {name for _, columns in record.members[0] for name in columns} if record.members else set()


def _no_column(record: RunRecord, name: str) -> str:
    if name in record.segments:
        return _no_longer(record)
    what = f"list {name.removeprefix(LIST_COLUMN)}" if name.startswith(LIST_COLUMN) else f"segment `{name}`"
    return f"run {record.id} has no {what}"


def _no_longer(record: RunRecord) -> str:
    return f"the memberships of run {record.id} were removed (retention)"


def _again_if_moved(read: Callable[[], T]) -> T:
    """Reads once more if a file is gone: `forget` and retention move files, and the catalog then names the new ones."""
    try:
        return read()
    except FileNotFoundError:
        pass
    try:
        return read()
    except FileNotFoundError as error:
        text = (
            f"the catalog names a file that the state folder does not have; was the catalog put back alone? Restore its files too ({error})"
        )
        raise StateError(text) from error
