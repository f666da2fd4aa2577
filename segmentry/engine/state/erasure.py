"""`forget`: every stored file and row that names a contact, by any of its keys, is written anew without it, in one transaction.

What stays is a bitmap at a position that is nobody's any more, the figures of runs, and one keyed hash per key, so
that somebody who is imported again is known to have been forgotten.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import polars as pl
from sqlalchemy import Connection, delete, func, insert, or_, select, update

from segmentry.engine.canonical_json import dumps
from segmentry.engine.state import files, ledger, reading
from segmentry.engine.state.catalog import Catalog
from segmentry.engine.state.commit import remove_files
from segmentry.engine.state.files import Staging
from segmentry.engine.state.lease import Lease
from segmentry.engine.state.records import ContactsRecord
from segmentry.engine.state.schema import (
    ALIASES,
    CONTACTS,
    DELIVERIES,
    ENROLLMENTS,
    ERASURES,
    EVENT_FILES,
    FACTS,
    FILES,
    HOLDS,
    LEDGER,
    RUNS,
    WORKSPACE,
)
from segmentry.engine.state.sync_said import remote_ids
from segmentry.engine.state.synced import erase
from segmentry.errors import SegmentryError, StateError

ERASED = ".e"
"""Between a file's stem and the number of the lease that wrote it anew."""

NAMING = ("changes", "held", "skipped", files.LEDGER_KIND)
"""The kinds of files whose rows name a contact, in a column `contact`."""

PERHAPS_TOLD = ("sending", "sent", "unknown")
"""Outcomes of rows that a destination was told of, or may have been."""

_E, _D = ENROLLMENTS.c, DELIVERIES.c


def normalised(key: object, kind: str) -> str:
    """A contact's key as text: decimal, lower-case hyphenated UUID, or the text itself. Raises SegmentryError for what is no such key."""
    text = str(key)
    try:
        if kind == "integer":
            return str(int(text))
        return str(UUID(text)) if kind == "uuid" else text
    except ValueError:
        raise SegmentryError(f"{text!r} is no key: the contacts' keys are {'integers' if kind == 'integer' else 'UUIDs'}") from None


def keyed_hash(secret: str, key: str) -> str:
    """What is kept of a forgotten contact: worth nothing without the catalog's own secret."""
    return hmac.new(bytes.fromhex(secret), key.encode(), hashlib.sha256).hexdigest()


@dataclass
class Rewriting:
    """Files written anew: each listed file's id and its new path."""

    root: Path
    staging: Staging
    moved: dict[int, tuple[str, str]] = field(default_factory=dict)
    rows: int = 0
    heights: dict[int, int] = field(default_factory=dict)
    """How many rows are left in a file that names contacts."""

    def write(self, number: int, path: str, kind: str, frame: pl.DataFrame, rows: int) -> None:
        """Writes a listed file anew, with `rows` of its rows or values gone."""
        place = PurePosixPath(path)
        stem = place.name.split(".")[0]
        self.moved[number] = (path, self.staging.write(str(place.with_name(f"{stem}{ERASED}{self.staging.number}.parquet")), kind, frame))
        self.rows += rows


@dataclass
class Found:
    """Whom an erasure is about. `keys`: every key, and whether anything stored names it; `runs`: how many contacts each run loses."""

    keys: dict[str, bool]
    contacts: dict[str, set[str]]
    """The keys of each contact, by the one that it goes on under."""
    runs: dict[int, int] = field(default_factory=dict)

    @property
    def wanted(self) -> pl.Series:
        return pl.Series("key", list(self.keys), pl.String())

    @property
    def known(self) -> int:
        """How many of the contacts something stored names."""
        return sum(any(self.keys[key] for key in keys) for keys in self.contacts.values())


def contacts_of(connection: Connection, keys: Collection[str]) -> dict[str, set[str]]:
    """The contacts that some keys are of, by the key each goes on under, with all their keys by the merges that are known."""
    survivors = ledger.survivors(connection)
    found: dict[str, set[str]] = {}
    for key in keys:
        person = survivors.get(key, key)
        found.setdefault(person, {person}).add(key)
    for old, person in survivors.items():
        if person in found:
            found[person].add(old)
    return found


def forget(catalog: Catalog, lease: Lease, staging: Staging, keys: Sequence[object], now: datetime) -> dict[str, Any]:
    """Erases the contacts from the state and gives the certificate: plain JSON values, with hashes in place of keys.

    `enrollments` and `deliveries` are how many rows went, and how many of them were still to be sent; `syncs` how many rows of syncs;
    `told` the destinations that were told of one, or may have been. `remote` is what those call them (`destination`, `target`,
    `remote_id`): it is shown once, and not kept with the certificate. What a sender holds in memory it sees to be gone before its
    next request. Raises StateError where the ledger is not whole: what is missing or unknown may name the contacts too.
    """
    with catalog.reading() as connection:
        _require_known_ledger(connection, staging.root)
        work = Rewriting(staging.root, staging)
        found = _rewrite_all(connection, work, keys)
        secret = str(connection.execute(select(WORKSPACE.c.hash_key)).scalar_one())
    hashes = sorted(keyed_hash(secret, key) for key in found.keys)
    with catalog.writing() as connection:
        lease.check(connection)
        staging.publish()
        _list_anew(connection, work)
        for run, count in found.runs.items():
            connection.execute(update(RUNS).where(RUNS.c.id == run).values(erased=RUNS.c.erased + count))
        remote = remote_ids(connection, list(found.keys))
        rows = _erase_rows(connection, found, remote)
        certificate = {
            "erased": now.isoformat(timespec="seconds"),
            "workspace": lease.workspace,
            "environment": lease.environment,
            "contacts": len(found.contacts),
            "known": found.known,
            "hashes": hashes,
            "runs": sorted(found.runs),
            "files": len(work.moved),
            "rows": work.rows,
            **rows,
        }
        for part in _parts(hashes):
            connection.execute(delete(ERASURES).where(ERASURES.c.hash.in_(part)))
        kept = [{"hash": value, "erased": certificate["erased"], "certificate": dumps(certificate)} for value in hashes]
        if kept:
            connection.execute(insert(ERASURES), kept)
        listed = reading.listed_paths(connection)
    ledger.finish_names(staging.root, listed, before=lease.number)
    remove_files(staging.root, [former for former, _ in work.moved.values()])
    staging.remove()
    named = remote.drop_nulls("remote_id").select("destination", "target", "remote_id").unique(maintain_order=True)
    return {**certificate, "remote": named.to_dicts()}


def _require_known_ledger(connection: Connection, root: Path) -> None:
    unknown = ledger.unknown_files(root, ledger.listed_files(connection))
    if unknown:
        raise StateError(
            f"the ledger has files that the catalog does not know ({unknown[0].name}), and they may name the contacts:"
            " an older catalog was restored; `segmentry recover` reads them"
        )


def _list_anew(connection: Connection, work: Rewriting) -> None:
    """Lists the files written anew in place of the former ones."""
    sizes = {file.path: file.bytes for file in work.staging.files}
    for number, (_, path) in work.moved.items():
        connection.execute(update(FILES).where(FILES.c.id == number).values(path=path, bytes=sizes[path]))
    for number, height in work.heights.items():
        connection.execute(update(LEDGER).where(LEDGER.c.file == number).values(rows=height))


def _rewrite_all(connection: Connection, work: Rewriting, keys: Sequence[object]) -> Found:
    """Stages every file that names one of the contacts."""
    orders = [reading.contacts_record(connection, row.id) for row in connection.execute(select(CONTACTS.c.id).order_by(CONTACTS.c.id))]
    kind = orders[-1].kind if orders else "text"
    contacts = contacts_of(connection, [normalised(key, kind) for key in keys])
    found = Found({key: False for keys in contacts.values() for key in sorted(keys)}, contacts)
    for order in orders:
        positions = _erase_keys(connection, work, order, found)
        if len(positions):
            for run in connection.execute(select(RUNS.c.id, RUNS.c.digests_file).where(RUNS.c.contacts == order.id)):
                found.runs[run.id] = len(positions)
                _erase_digests(connection, work, run.digests_file, positions)
    _erase_events(connection, work, orders, found.wanted)
    _erase_naming(connection, work, found)
    return found


def _erase_keys(connection: Connection, work: Rewriting, order: ContactsRecord, found: Found) -> pl.Series:
    """Stages an order's key files with nulls for these contacts; their positions. Files that orders share are written once."""
    where = reading.paths(connection, order.key_files)
    wanted = found.wanted
    positions: list[int] = []
    start = 0
    for number in order.key_files:
        keys = files.read(work.root, [where[number]])[order.key]
        texts = keys.cast(pl.String())
        hits = texts.is_in(wanted.implode()).fill_null(value=False)
        if hits.any():
            positions.extend((hits.arg_true() + start).to_list())
            found.keys.update(dict.fromkeys(texts.filter(hits).to_list(), True))
            if number not in work.moved:
                erased = pl.select(pl.when(~hits).then(keys)).to_series().alias(order.key)
                work.write(number, where[number], "keys", pl.DataFrame([erased]), int(hits.sum()))
        start += len(keys)
    return pl.Series("position", positions, pl.UInt32())


def _erase_digests(connection: Connection, work: Rewriting, number: int | None, positions: pl.Series) -> None:
    if number is None or number in work.moved:
        return
    path = reading.paths(connection, [number])[number]
    digests = files.read(work.root, [path])["digest"]
    inside = positions.filter(positions < len(digests))
    work.write(number, path, "digests", pl.DataFrame([digests.scatter(inside, 0)]), len(inside))


def _erase_events(connection: Connection, work: Rewriting, orders: Sequence[ContactsRecord], wanted: pl.Series) -> None:
    """Event digests go by the positions of their run's order; runs that share a file are of one lineage, so the longest order serves."""
    by_id = {order.id: order for order in orders}
    joined = select(EVENT_FILES.c.file, RUNS.c.contacts).join(RUNS, RUNS.c.id == EVENT_FILES.c.run).distinct()
    order_of: dict[int, ContactsRecord] = {}
    for row in connection.execute(joined):
        order_of[row.file] = max((order_of.get(row.file, by_id[row.contacts]), by_id[row.contacts]), key=lambda order: order.size)
    for number, path in sorted(reading.paths(connection, order_of).items()):
        keys = reading.order_keys(work.root, connection, order_of[number]).cast(pl.String())
        positions = keys.is_in(wanted.implode()).fill_null(value=False).arg_true().cast(pl.UInt32())
        frame = files.read(work.root, [path])
        kept = frame.filter(~pl.col("position").is_in(positions.implode()))
        if kept.height < frame.height:
            work.write(number, path, "events", kept, frame.height - kept.height)


def _erase_naming(connection: Connection, work: Rewriting, found: Found) -> None:
    """Stages changes, held changes, skipped entries and the ledger without these contacts."""
    runs = _runs_of_files(connection)
    listed = connection.execute(select(FILES.c.id, FILES.c.path, FILES.c.kind).where(FILES.c.kind.in_(NAMING)).order_by(FILES.c.id)).all()
    for number, path, kind in listed:
        place = ledger.settled_path(work.root, path) if kind == files.LEDGER_KIND else work.root / path
        frame = pl.read_parquet(place, glob=False, hive_partitioning=False)
        texts = frame["contact"].cast(pl.String())
        named = texts.is_in(found.wanted.implode())
        if named.any():
            lost = texts.filter(named).unique().to_list()
            found.keys.update(dict.fromkeys(lost, True))
            work.write(number, path, kind, frame.filter(~named), int(named.sum()))
            work.heights[number] = frame.height - int(named.sum())
            for run in runs.get(number, ()):
                found.runs.setdefault(run, len(lost))


def _runs_of_files(connection: Connection) -> dict[int, set[int]]:
    """The runs that each file which names contacts is of. A run that stands on another's has the same files."""
    found: dict[int, set[int]] = {}
    for run, file in (
        (RUNS.c.id, RUNS.c.changes_file),
        (RUNS.c.id, RUNS.c.skipped_file),
        (HOLDS.c.run, HOLDS.c.changes_file),
        (LEDGER.c.run, LEDGER.c.file),
    ):
        for row in connection.execute(select(run, file).where(file.is_not(None))):
            found.setdefault(int(row[1]), set()).add(int(row[0]))
    return found


# ---------------------------------------------------------------- rows of the catalog


def _erase_rows(connection: Connection, found: Found, remote: pl.DataFrame) -> dict[str, Any]:
    """Removes the contacts' enrollments, deliveries, rows of syncs and merges: how many, and who was told."""
    enrollments = cancelled = 0
    told: set[str] = set(remote.filter("told")["destination"].to_list())
    synced = erase(connection, list(found.keys))
    for part in _parts(list(found.keys)):
        ids = select(_E.id).where(or_(_E.contact.in_(part), _E.person.in_(part)))
        mine = select(_D.destination).join(ENROLLMENTS, _E.id == _D.id).where(_D.id.in_(ids))
        told.update(connection.execute(mine.where(or_(_E.outcome.in_(PERHAPS_TOLD), _D.maybe)).distinct()).scalars())
        open_ones = select(func.count()).select_from(DELIVERIES).where(_D.id.in_(ids), _D.ended.is_(None))
        cancelled += int(connection.execute(open_ones).scalar_one())
        connection.execute(delete(DELIVERIES).where(_D.id.in_(ids)))
        enrollments += connection.execute(delete(ENROLLMENTS).where(_E.id.in_(ids))).rowcount
        connection.execute(delete(ALIASES).where(or_(ALIASES.c.old.in_(part), ALIASES.c.new.in_(part))))
    _erase_messages(connection, found.keys)
    return {"enrollments": enrollments, "deliveries": cancelled, "syncs": synced, "told": sorted(told)}


def _erase_messages(connection: Connection, keys: Collection[str]) -> None:
    """Removes the last failure's message if it names a contact: a refused snapshot is told with examples."""
    names = re.compile("|".join(rf"(?<!\w){re.escape(key)}(?!\w)" for key in keys)) if keys else None
    for name, value in connection.execute(select(FACTS.c.name, FACTS.c.value)).all():
        said = json.loads(value)
        if names is not None and isinstance(said, dict) and names.search(str(said.get("message", ""))):
            values = {"value": dumps({**said, "message": "it failed; the message named somebody who was forgotten since"})}
            connection.execute(update(FACTS).where(FACTS.c.name == name).values(values))


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), ledger.SEVERAL):
        yield values[start : start + ledger.SEVERAL]
