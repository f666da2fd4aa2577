"""`forget`: every stored file and row that names a contact is written anew without it, in one transaction.

What stays is a bitmap at a position that is nobody's any more, the figures of runs, and one keyed hash per contact, so
that somebody who is imported again is known to have been forgotten.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import polars as pl
from sqlalchemy import Connection, delete, insert, select, update

from segmentry.engine.canonical_json import dumps
from segmentry.engine.state import files, reading
from segmentry.engine.state.catalog import Catalog
from segmentry.engine.state.commit import remove_files
from segmentry.engine.state.files import Staging
from segmentry.engine.state.lease import Lease
from segmentry.engine.state.records import ContactsRecord
from segmentry.engine.state.schema import CONTACTS, ERASURES, EVENT_FILES, FILES, RUNS, WORKSPACE
from segmentry.errors import SegmentryError

ERASED = ".e"
"""Between a file's stem and the number of the lease that wrote it anew."""


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

    def write(self, number: int, path: str, kind: str, frame: pl.DataFrame, rows: int) -> None:
        """Writes a listed file anew, with `rows` of its rows or values gone."""
        place = PurePosixPath(path)
        stem = place.name.split(".")[0]
        self.moved[number] = (path, self.staging.write(str(place.with_name(f"{stem}{ERASED}{self.staging.number}.parquet")), kind, frame))
        self.rows += rows


def forget(catalog: Catalog, lease: Lease, staging: Staging, keys: Sequence[object], now: datetime) -> dict[str, Any]:
    """Erases the contacts from the state and gives the certificate: plain JSON values, with hashes in place of keys."""
    with catalog.reading() as connection:
        work = Rewriting(staging.root, staging)
        found, runs = _rewrite_all(connection, work, keys)
        secret = str(connection.execute(select(WORKSPACE.c.hash_key)).scalar_one())
    hashes = sorted(keyed_hash(secret, key) for key in found)
    certificate = {
        "erased": now.isoformat(timespec="seconds"),
        "workspace": lease.workspace,
        "environment": lease.environment,
        "contacts": len(found),
        "known": sum(found.values()),
        "hashes": hashes,
        "runs": sorted(runs),
        "files": len(work.moved),
        "rows": work.rows,
    }
    with catalog.writing() as connection:
        lease.check(connection)
        staging.publish()
        sizes = {file.path: file.bytes for file in staging.files}
        for number, (_, path) in work.moved.items():
            connection.execute(update(FILES).where(FILES.c.id == number).values(path=path, bytes=sizes[path]))
        for run, count in runs.items():
            connection.execute(update(RUNS).where(RUNS.c.id == run).values(erased=RUNS.c.erased + count))
        connection.execute(delete(ERASURES).where(ERASURES.c.hash.in_(hashes)))
        stamp = certificate["erased"]
        rows = [{"hash": value, "erased": stamp, "certificate": dumps(certificate)} for value in hashes]
        if rows:
            connection.execute(insert(ERASURES), rows)
    remove_files(staging.root, [former for former, _ in work.moved.values()])
    staging.remove()
    return certificate


def _rewrite_all(connection: Connection, work: Rewriting, keys: Sequence[object]) -> tuple[dict[str, bool], dict[int, int]]:
    """Stages every file that names one of the contacts. Which keys there are and were found; how many contacts each run loses."""
    orders = [reading.contacts_record(connection, row.id) for row in connection.execute(select(CONTACTS.c.id).order_by(CONTACTS.c.id))]
    kind = orders[-1].kind if orders else "text"
    found = {normalised(key, kind): False for key in keys}
    wanted = pl.Series("key", list(found), pl.String())
    runs: dict[int, int] = {}
    for order in orders:
        positions = _erase_keys(connection, work, order, wanted, found)
        if len(positions):
            for run in connection.execute(select(RUNS.c.id, RUNS.c.digests_file).where(RUNS.c.contacts == order.id)):
                runs[run.id] = len(positions)
                _erase_digests(connection, work, run.digests_file, positions)
    _erase_events(connection, work, orders, wanted)
    for run in connection.execute(select(RUNS.c.id, RUNS.c.changes_file)):
        dropped = _erase_changes(connection, work, run.changes_file, wanted)
        if dropped:
            runs.setdefault(run.id, dropped)
    return found, runs


def _erase_keys(connection: Connection, work: Rewriting, order: ContactsRecord, wanted: pl.Series, found: dict[str, bool]) -> pl.Series:
    """Stages an order's key files with nulls for these contacts; their positions. Files that orders share are written once."""
    where = reading.paths(connection, order.key_files)
    positions: list[int] = []
    start = 0
    for number in order.key_files:
        keys = files.read(work.root, [where[number]])[order.key]
        texts = keys.cast(pl.String())
        hits = texts.is_in(wanted.implode()).fill_null(value=False)
        if hits.any():
            positions.extend((hits.arg_true() + start).to_list())
            found.update(dict.fromkeys(texts.filter(hits).to_list(), True))
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


def _erase_changes(connection: Connection, work: Rewriting, number: int, wanted: pl.Series) -> int:
    """Stages a run's changes without these contacts; how many contacts that were."""
    path = reading.paths(connection, [number])[number]
    frame = files.read(work.root, [path])
    named = frame["contact"].cast(pl.String()).is_in(wanted.implode())
    if not named.any():
        return 0
    work.write(number, path, "changes", frame.filter(~named), int(named.sum()))
    return frame["contact"].filter(named).n_unique()
