"""The ledger: who was enrolled in what, for good. Its files hold every row as it was written; the catalog, what became of it.

A file has a passing name until its run is committed: `enrollments/<run>.<lease>.pending`. The commit lists it by its final
name, and it is renamed after; whoever takes the lease next finishes that. Where somebody is forgotten, a file is written
anew as `enrollments/<run>.e<lease>.parquet`, in the same way, and the former one removed. So a file with a final name that
the catalog does not list, or that is newer than the one it lists, is a sign of a restored catalog.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
from sqlalchemy import Connection, func, literal, select

from segmentry.engine.state import reading
from segmentry.engine.state.files import PENDING, sync_folder
from segmentry.engine.state.schema import (
    ALIASES,
    ATTACHMENTS,
    DELIVERIES,
    DESTINATIONS,
    ENROLLMENTS,
    ERASURES,
    FILES,
    HOLDS,
    LEDGER,
    RENAMES,
)
from segmentry.errors import StateError

FOLDER = "enrollments"
SEVERAL = 5_000
"""Values asked for in one query; SQLite takes 32,766."""

_FINAL = re.compile(r"([0-9]+)(?:\.e([0-9]+))?\.parquet")

INSTANT = pl.Datetime("us", "UTC")
COLUMNS = {
    "id": pl.String(),
    "sequence": pl.String(),
    "segment": pl.String(),
    "contact": pl.String(),
    "number": pl.Int32(),
    "run": pl.Int64(),
    "as_of": INSTANT,
    "cause": pl.String(),
    "outcome": pl.String(),
    "reason": pl.String(),
    "address_hash": pl.String(),
}
"""A ledger file's columns; `contact` is stored in the key's own type. Rows with number 0 are baseline, and have no id."""

OPEN = ("held", "pending", "sending", "waiting", "paused")
"""Outcomes of rows that have not ended."""

SKIPPED = pl.Schema({"segment": pl.String(), "sequence": pl.String(), "contact": pl.String(), "reason": pl.String()})
"""Entries that enrolled nobody, and why."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A sequence that a segment enrolls in, since a run."""

    segment: str
    sequence: str
    run: int
    as_of: str


def attachments(connection: Connection) -> dict[tuple[str, str], Attachment]:
    """Which segment enrolls in which sequence, by (segment, sequence)."""
    rows = connection.execute(select(ATTACHMENTS).order_by(ATTACHMENTS.c.segment, ATTACHMENTS.c.sequence))
    return {(row.segment, row.sequence): Attachment(row.segment, row.sequence, row.run, row.as_of) for row in rows}


def aliases(connection: Connection) -> dict[str, str]:
    """Keys that were merged, and the surviving key of each."""
    return {str(row.old): str(row.new) for row in connection.execute(select(ALIASES))}


def merged_with(known: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Merged keys once new ones have come, which have no circle: whoever survives by them goes on under no key that goes on under it."""
    merged = {**known, **new}
    for survivor in set(new.values()) - new.keys():
        key = merged.get(survivor)
        seen = {survivor}
        while key in merged and key not in seen:
            seen.add(key)
            key = merged[key]
        if key == survivor:
            del merged[survivor]
    return merged


def survivors(connection: Connection) -> dict[str, str]:
    """Keys that were merged, and the key that each goes on under at last."""
    return at_last(aliases(connection))


def at_last(merged: dict[str, str]) -> dict[str, str]:
    """Merged keys, and the key that each goes on under when all steps are followed."""
    return {old: _last(merged, old) for old in merged}


def former_names(connection: Connection, kind: str) -> dict[str, str]:
    """Former names of segments, sequences or destinations, and the present name of each."""
    steps = {str(row.former): str(row.name) for row in connection.execute(select(RENAMES).where(RENAMES.c.kind == kind))}
    return {former: _last(steps, former) for former in steps}


def first_name(connection: Connection, kind: str, name: str) -> str:
    """The name by which something was first known."""
    back = {str(row.name): row for row in connection.execute(select(RENAMES).where(RENAMES.c.kind == kind).order_by(RENAMES.c.run))}
    steps = []
    while name in back:  # a name that was taken back ends where it began
        steps.append(back.pop(name))
        name = str(steps[-1].former)
    return str(min(steps, key=lambda row: row.run).former) if steps else name


def taken_names(connection: Connection, kind: str) -> dict[str, str]:
    """The names that segments, or sequences, gave up for another one, and the present name of each: their history has them still."""
    latest: dict[str, str | None] = {}
    for row in connection.execute(select(RENAMES).where(RENAMES.c.kind == kind).order_by(RENAMES.c.run, RENAMES.c.former)):
        latest[str(row.former)] = str(row.name)
        latest[str(row.name)] = None
    now = {former: name for former, name in latest.items() if name is not None}
    return {former: _last(now, former) for former in now}


def known_names(connection: Connection, kind: str) -> set[str]:
    """The present names of sequences, or of destinations, that this state has ever used."""
    columns = {
        "sequence": (ATTACHMENTS.c.sequence, ENROLLMENTS.c.sequence),
        "destination": (DELIVERIES.c.destination, DESTINATIONS.c.name),
    }[kind]
    found = {str(name) for column in columns for name in connection.execute(select(column).distinct()).scalars()}
    return found | (_baseline_sequences(connection) if kind == "sequence" else set())


def _baseline_sequences(connection: Connection) -> set[str]:
    """The present names of sequences that have a baseline, also where no segment enrolls in them any more."""
    now = taken_names(connection, "sequence")
    names = {inside for pairs in connection.execute(select(LEDGER.c.baselines)).scalars() for _, inside in json.loads(pairs)}
    return {now.get(name, name) for name in names}


def numbered(connection: Connection, sequence: str, persons: Sequence[str]) -> pl.DataFrame:
    """Of these persons, those who have a number in the sequence: `person`, `number` (the last), `last` (as_of), `first` (as_of)."""
    table = ENROLLMENTS.c
    wanted = select(table.person, func.max(table.number), func.max(table.as_of), func.min(table.as_of)).group_by(table.person)
    rows = [
        tuple(row)
        for part in _parts(persons)
        for row in connection.execute(wanted.where(table.sequence == sequence, table.person.in_(part)))
    ]
    frame = pl.DataFrame(
        rows, schema={"person": pl.String(), "number": pl.Int32(), "last": pl.String(), "first": pl.String()}, orient="row"
    )
    return frame.with_columns(_instant("last", "first"))


def enrolled_through(connection: Connection, segments: Collection[str], sequence: str) -> pl.Series:
    """The keys that a segment, given by all the names it had, enrolled in a sequence."""
    table = ENROLLMENTS.c
    wanted = select(table.contact).where(table.sequence == sequence, table.segment.in_(segments)).distinct()
    return pl.Series("contact", list(connection.execute(wanted).scalars()), pl.String())


def enrolled_addresses(connection: Connection, sequence: str, hashes: Sequence[str]) -> pl.DataFrame:
    """Of these address hashes, those of rows in the sequence: `address_hash`, `person`.

    A row that is a duplicate itself takes its address from nobody, so that whoever had it first may be enrolled again.
    """
    table = ENROLLMENTS.c
    taken = (table.sequence == sequence) & (table.outcome != "duplicate_address")
    rows = [
        tuple(row)
        for part in _parts(hashes)
        for row in connection.execute(select(table.address_hash, table.person).where(taken, table.address_hash.in_(part)).distinct())
    ]
    return pl.DataFrame(rows, schema={"address_hash": pl.String(), "person": pl.String()}, orient="row")


def anybody_erased(connection: Connection) -> bool:
    """Whether any contact was ever forgotten."""
    return connection.execute(select(ERASURES.c.hash).limit(1)).first() is not None


def erased(connection: Connection, hashes: Sequence[str]) -> set[str]:
    """Those of these keyed hashes that are of forgotten contacts."""
    return {
        str(value)
        for part in _parts(hashes)
        for value in connection.execute(select(ERASURES.c.hash).where(ERASURES.c.hash.in_(part))).scalars()
    }


def enrolled_within(connection: Connection, sequence: str, since: datetime) -> int:
    """How many rows of a sequence became due since an instant, or since somebody last decided on a hold of it, if that was later."""
    decided = (HOLDS.c.kind == "sequence") & (HOLDS.c.name == sequence) & HOLDS.c.status.in_(("approved", "discarded"))
    last = connection.execute(select(func.max(HOLDS.c.ended)).where(decided)).scalar()
    after = max(since.isoformat(timespec="microseconds"), last or "")
    table = ENROLLMENTS.c
    counted = select(func.count()).select_from(ENROLLMENTS).where(table.sequence == sequence, table.pending_since > after)
    return int(connection.execute(counted).scalar_one())


def ids(connection: Connection, sequence: str, outcome: str) -> list[str]:
    """The ids of a sequence's rows with an outcome, in their order."""
    table = ENROLLMENTS.c
    wanted = select(table.id).where(table.sequence == sequence, table.outcome == outcome).order_by(table.as_of, table.id)
    return [str(value) for value in connection.execute(wanted).scalars()]


def rows(
    connection: Connection, sequence: str | None, segment: str | None, outcome: str | None, keys: Collection[str] | None
) -> pl.DataFrame:
    """Numbered rows and what became of them, all or some; `keys`: of these contacts or persons."""
    table = ENROLLMENTS.c
    query = select(ENROLLMENTS)
    for column, value in ((table.sequence, sequence), (table.segment, segment), (table.outcome, outcome)):
        query = query if value is None else query.where(column == value)
    if keys is not None:
        query = query.where(table.contact.in_(keys) | table.person.in_(keys))
    texts = {column.name: pl.Int64() if column.name in ("number", "run") else pl.String() for column in ENROLLMENTS.columns}
    found = pl.DataFrame([tuple(row) for row in connection.execute(query)], schema=texts, orient="row")
    return found.with_columns(_instant("as_of", "changed", "pending_since"))


def open_rows(connection: Connection) -> pl.DataFrame:
    """The rows that a run may still end, and those that wait for a person: `id`, `sequence`, `segment`, `person`, `outcome`, `as_of`.

    `consents`: whether the destination is told that the contact has agreed.
    """
    table = ENROLLMENTS.c
    told = func.coalesce(DELIVERIES.c.payload.contains('"consents":true'), literal(value=False))
    wanted = select(table.id, table.sequence, table.segment, table.person, table.outcome, table.as_of, told)
    wanted = wanted.outerjoin(DELIVERIES, DELIVERIES.c.id == table.id)
    rows = [tuple(row) for row in connection.execute(wanted.where(table.outcome.in_(OPEN)).order_by(table.as_of, table.id))]
    texts = dict.fromkeys(("id", "sequence", "segment", "person", "outcome", "as_of"), pl.String())
    frame = pl.DataFrame(rows, schema={**texts, "consents": pl.Boolean()}, orient="row")
    return frame.with_columns(_instant("as_of"))


def baseline_rows(
    root: Path, connection: Connection, sequences: Collection[str], segments: Collection[str] | None = None
) -> Iterator[pl.LazyFrame]:
    """The baseline rows of a sequence, or of one segment in it, a frame a file: `contact` (text), `as_of`, `address_hash`.

    A sequence, and a segment, is given by all the names it had.
    """
    for row in connection.execute(select(LEDGER).order_by(LEDGER.c.run)):
        pairs = json.loads(row.baselines)
        if any(inside in sequences and (segments is None or outside in segments) for outside, inside in pairs):
            path = reading.paths(connection, [row.file])[row.file]
            found = pl.scan_parquet(settled_path(root, path), glob=False, hive_partitioning=False).filter(
                pl.col("number") == 0, pl.col("sequence").is_in(list(sequences))
            )
            if segments is not None:
                found = found.filter(pl.col("segment").is_in(list(segments)))
            yield found.select(pl.col("contact").cast(pl.String()), "as_of", "address_hash")


def stored_rows(root: Path, connection: Connection) -> list[pl.LazyFrame]:
    """Every ledger file, oldest first, with `contact` as text."""
    numbers = [int(row.file) for row in connection.execute(select(LEDGER.c.file).order_by(LEDGER.c.run))]
    where = reading.paths(connection, numbers)
    return [
        pl.scan_parquet(settled_path(root, where[number]), glob=False, hive_partitioning=False).with_columns(
            pl.col("contact").cast(pl.String())
        )
        for number in numbers
    ]


# ---------------------------------------------------------------- files


@dataclass(frozen=True, slots=True)
class LedgerFile:
    """A ledger file with a final name. `version`: the number of the lease that wrote it anew, 0 if none did."""

    path: Path
    run: int
    version: int


def path_of(run: int) -> str:
    """A run's ledger file, by its final name."""
    return f"{FOLDER}/{run}.parquet"


def settled_path(root: Path, path: str) -> Path:
    """Where a listed ledger file is: under its final name, or under its passing one if its run was killed after its commit.

    Where it is under neither, the newest that was written anew of the same run serves: it has the same rows but for who was
    forgotten since. Raises StateError where there is none.
    """
    final = root / path
    if final.exists():
        return final
    found = _passing(root, path) or [file.path for file in _versions(root, _version(final).run)[-1:]]
    if not found:
        raise StateError(
            f"the ledger's file {path} is missing from the state folder {root}: put it back from a backup,"
            " or let `segmentry recover` go on without it"
        )
    return found[0]


def finish_names(root: Path, listed: set[str], before: int | None = None) -> None:
    """Gives the ledger files of committed runs their final names, and removes those of runs that never were.

    `before`: only those that a lease with a lower number wrote are removed. Whoever slept since it read what is `listed` must
    not take the file of a later run for one that never was.
    """
    passing = sorted((root / FOLDER).glob(f"*{PENDING}"))
    for file in passing:
        stem, _, number = file.name.removesuffix(PENDING).rpartition(".")
        final = file.with_name(f"{stem}.parquet")
        with suppress(FileNotFoundError):  # somebody else has finished it
            if final.relative_to(root).as_posix() not in listed:
                if before is None or not number.isdigit() or int(number) < before:
                    file.unlink()
            elif not final.exists():
                file.replace(final)
            elif file.read_bytes() == final.read_bytes():  # a backup was taken in between
                file.unlink()
            else:
                raise StateError(f"{final} is not what this catalog's run {stem} wrote, which is in {file.name}: move the former elsewhere")
    if passing:
        sync_folder(root / FOLDER)


def unknown_files(root: Path, listed: Mapping[int, str]) -> list[Path]:
    """Ledger files with a final name that the catalog, which lists a file per run, does not know: it is older than they are.

    Where the listed file of a run is gone, any other of that run is unknown too.
    """
    return [file.path for file in _final(root) if _is_news(root, file, listed)]


def superseded_files(root: Path, listed: Mapping[int, str]) -> list[Path]:
    """Ledger files that were written anew under another name, because somebody was forgotten, and were not removed any more."""
    others = [file for file in _final(root) if file.path.relative_to(root).as_posix() != listed.get(file.run)]
    return [file.path for file in others if not _is_news(root, file, listed)]


def newest_files(root: Path, listed: Mapping[int, str]) -> list[LedgerFile]:
    """Of each run with unknown files the newest, by run."""
    newest: dict[int, LedgerFile] = {}
    for path in unknown_files(root, listed):
        file = _version(path)
        if file.run not in newest or newest[file.run].version < file.version:
            newest[file.run] = file
    return [newest[run] for run in sorted(newest)]


def missing_files(root: Path, listed: Mapping[int, str]) -> dict[int, str]:
    """The listed files, by run, that are under no name there, nor any other of the same run."""
    return {run: path for run, path in listed.items() if not _is_there(root, path) and not _versions(root, run)}


def newest_run(root: Path) -> int:
    """The latest run that a file with a final name is of, known or not; 0 if there is none. A new run's id must be after it."""
    return max((file.run for file in _final(root)), default=0)


def listed_files(connection: Connection) -> dict[int, str]:
    """The ledger's files by run."""
    rows = connection.execute(select(LEDGER.c.run, FILES.c.path).join(FILES, FILES.c.id == LEDGER.c.file))
    return {int(row.run): str(row.path) for row in rows}


def _version(path: Path) -> LedgerFile:
    """What a final name says."""
    found = _FINAL.fullmatch(path.name)
    assert found is not None, path
    return LedgerFile(path, int(found[1]), int(found[2] or 0))


def _final(root: Path) -> list[LedgerFile]:
    """Every file with a final name, by run and then by age."""
    found = [_version(path) for path in (root / FOLDER).glob("*.parquet") if _FINAL.fullmatch(path.name)]
    return sorted(found, key=lambda file: (file.run, file.version))


def _versions(root: Path, run: int) -> list[LedgerFile]:
    return [file for file in _final(root) if file.run == run]


def _is_news(root: Path, file: LedgerFile, listed: Mapping[int, str]) -> bool:
    """Whether the catalog can't know a file."""
    known = listed.get(file.run)
    return known is None or file.version > _version(Path(known)).version or not _is_there(root, known)


def _is_there(root: Path, path: str) -> bool:
    """Whether a listed file is there, under its final name or its passing one."""
    return (root / path).exists() or bool(_passing(root, path))


def _passing(root: Path, path: str) -> list[Path]:
    stem = Path(path).stem
    found = (root / FOLDER).glob(f"{stem}.*{PENDING}")
    return sorted(file for file in found if file.name.removesuffix(PENDING).removeprefix(f"{stem}.").isdigit())


def _instant(*columns: str) -> pl.Expr:
    """Columns of the catalog's instants, as instants."""
    return pl.col(*columns).str.to_datetime(time_unit="us", time_zone="UTC", format="%Y-%m-%dT%H:%M:%S%.f%z")


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    unique = list(dict.fromkeys(values))
    for start in range(0, len(unique), SEVERAL):
        yield unique[start : start + SEVERAL]


def _last(steps: dict[str, str], name: str) -> str:
    seen = {name}
    while name in steps and steps[name] not in seen:
        name = steps[name]
        seen.add(name)
    return name
