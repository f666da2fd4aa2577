"""`recover`: what a restored catalog does not know of the ledger is read into it from the ledger's files, in one transaction.

    the catalog                                 the folder                      what is done
    lists no file of a run                      has one                         it is listed, and its rows come in
    lists one written before somebody was       has the one written after       that is listed instead; who is not in it any
      forgotten                                                                   more was forgotten, and is so again
    lists one                                   has none of that run            it is listed no more, and whom its pairs had
                                                                                  as baseline is found anew by the next run

A row that comes in and may have been sent meanwhile is `unknown`: a person decides. Others keep what the file says of them.

Sequences that were renamed after the backup are renamed in the catalog as the files are read, run by run, so that each has one name
all along; the next run goes on from the last of them. The ids of rows say which sequence they are of, else `renamed_from` does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from segmentry.engine.canonical_json import dumps
from segmentry.engine.identity import enrollment_id
from segmentry.engine.state import ledger
from segmentry.engine.state.activated import rename, set_fact
from segmentry.engine.state.catalog import Catalog
from segmentry.engine.state.commit import list_file
from segmentry.engine.state.erasure import keyed_hash
from segmentry.engine.state.files import LEDGER_KIND
from segmentry.engine.state.lease import Lease
from segmentry.engine.state.ledger import LedgerFile
from segmentry.engine.state.schema import ATTACHMENTS, CONTACTS, DELIVERIES, ENROLLMENTS, ERASURES, FILES, LEDGER, WORKSPACE
from segmentry.engine.state.sync_said import close_open
from segmentry.engine.state.synced import ACTIVE, syncs
from segmentry.errors import StateError

if TYPE_CHECKING:
    from segmentry.engine.sync_reading_back import ReadBack

MAYBE_SENT = ("pending", "held", "waiting", "paused", "sending")
"""Outcomes in a ledger file of rows that may have been sent since it was written."""

UNKNOWN, WITHDRAWN = "unknown", "withdrawn"
REASON = "the catalog was restored from before it: it may have been sent"
NOWHERE = "the catalog was restored from before it, and nothing goes to its sequence any more: it may have been sent"


@dataclass(frozen=True)
class Names:
    """What names are the same. `segments`: those of the files, and what the catalog calls them where that is a former one.

    `sequences`: every name that a sequence ever had, its present one too, and that. `destinations`: where each goes, by its present name.
    """

    segments: Mapping[str, str] = field(default_factory=dict)
    sequences: Mapping[str, str] = field(default_factory=dict)
    destinations: Mapping[str, str] = field(default_factory=dict)

    def destination(self, sequence: str) -> str | None:
        """Where a sequence goes, by any of its names; None if it goes nowhere any more."""
        return self.destinations.get(self.sequences.get(sequence, sequence))


@dataclass(frozen=True)
class Recovered:
    """What a recovery did. `files` were read, `missing` are listed no more; `enrollments` rows came in, by outcome in `outcomes`.

    `attached`: pairs (segment, sequence) that run together again. `forget_again`: keys of contacts who were forgotten after the
    backup, or whom files from before an erasure name: the restored state names them, and only `forget` erases that. `syncs`: what
    was read back of each.
    """

    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    enrollments: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    attached: tuple[tuple[str, str], ...] = ()
    forget_again: tuple[str, ...] = ()
    syncs: tuple[ReadBack, ...] = ()

    @property
    def unknown(self) -> int:
        """How many enrollments wait for `deliveries retry | drop | mark-sent`."""
        return self.outcomes.get(UNKNOWN, 0)

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        return {
            "files": list(self.files),
            "missing": list(self.missing),
            "enrollments": self.enrollments,
            "outcomes": dict(self.outcomes),
            "attached": [list(pair) for pair in self.attached],
            "forget_again": list(self.forget_again),
            "syncs": [one.to_json() for one in self.syncs],
        }


def recover(catalog: Catalog, lease: Lease, root: Path, names: Names, now: datetime, facts: Mapping[str, Any]) -> Recovered:
    """Reads in what is unknown, unlists what is missing, and notes facts: all or nothing. Raises LeaseLost; StateError for a bad file."""
    with catalog.reading() as connection:
        listed = ledger.listed_files(connection)
    found = [(file, _read(root, file)) for file in ledger.newest_files(root, listed)]
    missing = ledger.missing_files(root, listed)
    with catalog.writing() as connection:
        lease.check(connection)
        work = _Recovering(connection, names, now)
        for file, frame in found:
            work.take(file, frame, root, listed.get(file.run))
        for run, path in missing.items():
            work.unlist(run, path)
        # what was due then is over: the next run says anew what is
        close_open(connection, [one.id for one in syncs(connection) if one.status == ACTIVE])
        for name, value in facts.items():
            set_fact(connection, name, value)
    return Recovered(
        tuple(file.path.relative_to(root).as_posix() for file, _ in found),
        tuple(missing.values()),
        work.outcomes.total(),
        dict(sorted(work.outcomes.items())),
        tuple(sorted(work.attached)),
        tuple(sorted(work.again)),
    )


def unaddressed(connection: Connection, ids: Sequence[str]) -> pl.DataFrame:
    """Of these deliveries those that have not ended and have no payload: `id`, `sequence`, `person`."""
    query = select(ENROLLMENTS.c.id, ENROLLMENTS.c.sequence, ENROLLMENTS.c.person).join(DELIVERIES, DELIVERIES.c.id == ENROLLMENTS.c.id)
    bare = and_(DELIVERIES.c.payload.is_(None), DELIVERIES.c.ended.is_(None))
    rows = [tuple(row) for part in _parts(ids) for row in connection.execute(query.where(bare, DELIVERIES.c.id.in_(part)))]
    return pl.DataFrame(rows, schema=dict.fromkeys(("id", "sequence", "person"), pl.String()), orient="row")


def address(connection: Connection, payloads: Mapping[str, str]) -> None:
    """Gives deliveries without a payload theirs."""
    rows = [{"key": id, "payload": payload} for id, payload in payloads.items()]
    if rows:
        bare = and_(DELIVERIES.c.id == bindparam("key"), DELIVERIES.c.payload.is_(None), DELIVERIES.c.ended.is_(None))
        connection.execute(update(DELIVERIES).where(bare).values(payload=bindparam("payload")), rows)


# ---------------------------------------------------------------- within


def _read(root: Path, file: LedgerFile) -> pl.DataFrame:
    """The rows of a ledger file, contacts as text."""
    try:
        frame = pl.read_parquet(file.path, glob=False, hive_partitioning=False)
        return frame.select(pl.col("contact").cast(pl.String()), *(pl.col(name) for name in ledger.COLUMNS if name != "contact"))
    except (OSError, pl.exceptions.PolarsError) as error:
        place = file.path.relative_to(root).as_posix()
        raise StateError(
            f"the ledger's file {place} in the state folder {root} can't be read ({type(error).__name__}): put it back from a"
            " backup, or move it elsewhere; whom it enrolled is unknown then"
        ) from error


class _Recovering:
    """One recovery's work, inside its transaction."""

    def __init__(self, connection: Connection, names: Names, now: datetime) -> None:
        self.connection = connection
        self.names = names
        self.stamp = now.isoformat(timespec="microseconds")
        self.survivors = ledger.survivors(connection)
        self.sequences = ledger.taken_names(connection, "sequence")
        self.segments = {**ledger.former_names(connection, "segment"), **names.segments}
        workspace = connection.execute(select(WORKSPACE)).one()
        self.secret, self.workspace, self.environment = str(workspace.hash_key), str(workspace.id), str(workspace.environment)
        self.kind = str(connection.execute(select(CONTACTS.c.key_kind).order_by(CONTACTS.c.id.desc()).limit(1)).scalar())
        self.outcomes: Counter[str] = Counter()
        self.attached: set[tuple[str, str]] = set()
        self.again: set[str] = set()

    def take(self, file: LedgerFile, frame: pl.DataFrame, root: Path, listed: str | None) -> None:
        """Lists a file, in the place of the one of its run that is listed, and reads its rows in."""
        self._rename(file.run, frame)
        path = file.path.relative_to(root).as_posix()
        size = file.path.stat().st_size
        if listed is None:
            pairs = frame.filter(pl.col("number") == 0).select("segment", "sequence").unique().sort("segment", "sequence").rows()
            number = list_file(self.connection, path, LEDGER_KIND, size)
            values = {"run": file.run, "file": number, "rows": frame.height, "baselines": dumps([list(pair) for pair in pairs])}
            self.connection.execute(insert(LEDGER).values(values))
        else:
            self.connection.execute(update(FILES).where(FILES.c.path == listed).values(path=path, bytes=size))
            self.connection.execute(update(LEDGER).where(LEDGER.c.run == file.run).values(rows=frame.height))
            self._forget_whom_it_lost(file.run, frame)
        erased = self._erased(frame["contact"].unique().to_list())
        self.again |= erased
        named = frame.with_columns(pl.col("sequence").replace(self.sequences), pl.col("segment").replace(self.segments))
        kept = named.filter(~pl.col("contact").is_in(list(erased)))
        self._attach(kept)
        self._enroll(kept.filter(pl.col("number") > 0))

    def _rename(self, run: int, frame: pl.DataFrame) -> None:
        """Sequences get the names that a run's file has for them, where the catalog has them under former ones."""
        for name in frame["sequence"].unique().sort().to_list():
            known = ledger.known_names(self.connection, "sequence")
            if self.sequences.get(name, name) in known:
                continue
            former = self._by_id(frame.filter(pl.col("sequence") == name), known) or self._by_word(name, known)
            if former is not None:
                rename(self.connection, run, "sequence", former, name)
                self.sequences = ledger.taken_names(self.connection, "sequence")

    def _by_id(self, frame: pl.DataFrame, known: Collection[str]) -> str | None:
        """The known sequence that rows are of by their ids, which are made of its first name."""
        rows = frame.filter(pl.col("number") > 0).select("id", "contact", "number").head(1).rows()
        for id, contact, number in rows:
            for name in sorted(known):
                firsts = {name, ledger.first_name(self.connection, "sequence", name), *self._formers(name)}
                if any(enrollment_id(self.workspace, self.environment, first, self.kind, contact, number) == id for first in firsts):
                    return name
        return None

    def _by_word(self, name: str, known: Collection[str]) -> str | None:
        """The known sequence that `renamed_from` says it is."""
        present = self.names.sequences.get(name)
        return next((one for one, now in self.names.sequences.items() if present is not None and now == present and one in known), None)

    def _formers(self, sequence: str) -> list[str]:
        return [former for former, now in self.sequences.items() if now == sequence]

    def _destination(self, sequence: str) -> str | None:
        """Where a sequence goes; None if it goes nowhere any more."""
        places = (self.names.destination(name) for name in (sequence, *self._formers(sequence)))
        return next((place for place in places if place is not None), None)

    def unlist(self, run: int, path: str) -> None:
        """A file that is nowhere: its pairs are attached anew by the next run, so that its baseline is found by recorded history."""
        row = self.connection.execute(select(LEDGER).where(LEDGER.c.run == run)).one()
        for segment, sequence in json.loads(row.baselines):
            pair = (self.segments.get(segment, segment), self.sequences.get(sequence, sequence))
            self.connection.execute(delete(ATTACHMENTS).where(_is_pair(*pair)))
        self.connection.execute(delete(LEDGER).where(LEDGER.c.run == run))
        self.connection.execute(delete(FILES).where(FILES.c.path == path))

    def _forget_whom_it_lost(self, run: int, frame: pl.DataFrame) -> None:
        """Whoever the catalog has of a run, and the run's file has no more, was forgotten: nobody enrols them again."""
        table = ENROLLMENTS.c
        query = select(table.id, table.contact, table.person).where(table.run == run)
        still = set(frame["id"].drop_nulls().to_list())
        gone = [row for row in self.connection.execute(query) if row.id not in still]
        keys = {key for row in gone for key in (row.contact, row.person)}
        certificate = dumps({"erased": self.stamp, "recovered": True})
        for key in keys - self._erased(sorted(keys)):
            values = {"hash": keyed_hash(self.secret, key), "erased": self.stamp, "certificate": certificate}
            self.connection.execute(insert(ERASURES).values(values))
        for part in _parts([row.id for row in gone]):
            self.connection.execute(delete(DELIVERIES).where(DELIVERIES.c.id.in_(part)))
            self.connection.execute(delete(ENROLLMENTS).where(table.id.in_(part)))
        self.again |= keys

    def _erased(self, keys: Sequence[str]) -> set[str]:
        """Those of some keys that were forgotten."""
        hashes = {keyed_hash(self.secret, key): key for key in keys}
        return {hashes[one] for one in ledger.erased(self.connection, list(hashes))}

    def _attach(self, frame: pl.DataFrame) -> None:
        """A row of a pair, baseline or not, says that the two ran together."""
        known = ledger.attachments(self.connection)
        for segment, sequence, run, as_of in frame.group_by("segment", "sequence").agg(pl.min("run"), pl.min("as_of")).iter_rows():
            if (segment, sequence) not in known:
                values = {"segment": segment, "sequence": sequence, "run": run, "as_of": _text(as_of)}
                self.connection.execute(insert(ATTACHMENTS).values(values))
                self.attached.add((segment, sequence))

    def _enroll(self, frame: pl.DataFrame) -> None:
        """The rows that the catalog does not have, and a delivery for each that may have been sent."""
        rows = [self._row(row) for row in self._without_known(frame).iter_rows(named=True)]
        for start in range(0, len(rows), ledger.SEVERAL):
            part = rows[start : start + ledger.SEVERAL]
            self.connection.execute(insert(ENROLLMENTS), part)
            deliveries = [self._delivery(row) for row in part if row["outcome"] == UNKNOWN]
            if deliveries:
                self.connection.execute(insert(DELIVERIES), deliveries)
        self.outcomes.update(str(row["outcome"]) for row in rows)

    def _without_known(self, frame: pl.DataFrame) -> pl.DataFrame:
        table = ENROLLMENTS.c
        ids: set[str] = set()
        numbers: list[tuple[str, str, int]] = []
        for part in _parts(frame["id"].to_list()):
            ids.update(self.connection.execute(select(table.id).where(table.id.in_(part))).scalars())
        for part in _parts(frame["contact"].to_list()):
            query = select(table.sequence, table.contact, table.number).where(table.contact.in_(part))
            numbers += [(str(row[0]), str(row[1]), int(row[2])) for row in self.connection.execute(query)]
        known = pl.DataFrame(numbers, schema={"sequence": pl.String(), "contact": pl.String(), "number": pl.Int32()}, orient="row")
        fresh = frame.filter(~pl.col("id").is_in(list(ids)))
        return fresh.join(known, on=["sequence", "contact", "number"], how="anti", maintain_order="left")

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row as the catalog has it."""
        maybe = row["outcome"] in MAYBE_SENT
        goes = self._destination(row["sequence"]) is not None
        as_of = _text(row["as_of"])
        return {
            **{name: row[name] for name in ("id", "sequence", "segment", "contact", "number", "run", "cause", "address_hash")},
            "person": self.survivors.get(row["contact"], row["contact"]),
            "as_of": as_of,
            "outcome": row["outcome"] if not maybe else UNKNOWN if goes else WITHDRAWN,
            "reason": row["reason"] if not maybe else REASON if goes else NOWHERE,
            "changed": self.stamp,
            "pending_since": as_of if row["outcome"] == "pending" else None,  # guards count it
        }

    def _delivery(self, row: Mapping[str, Any]) -> dict[str, Any]:
        destination = self._destination(row["sequence"])
        return {"id": row["id"], "destination": destination, "payload": None, "attempts": 0, "due": self.stamp, "maybe": True}


def _is_pair(segment: str, sequence: str) -> Any:
    return and_(ATTACHMENTS.c.segment == segment, ATTACHMENTS.c.sequence == sequence)


def _text(at: datetime) -> str:
    """An instant as the catalog has it."""
    return at.isoformat(timespec="microseconds")


def _parts(values: Collection[str]) -> Iterator[Sequence[str]]:
    unique = list(dict.fromkeys(values))
    for start in range(0, len(unique), ledger.SEVERAL):
        yield unique[start : start + ledger.SEVERAL]
