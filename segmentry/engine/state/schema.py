"""The catalog's tables. `migrations/` brings an older catalog to this shape; a test compares the two.

Times are ISO 8601 text in UTC with microseconds, so SQLite and PostgreSQL order and return them alike. JSON columns hold
canonical text (sorted keys), so that equal values are equal bytes.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, MetaData, String, Table, Text

METADATA = MetaData()

REVISION = "0001"
"""The schema version this code reads and writes: the newest file of `migrations/versions`."""

WORKSPACE = Table(
    "workspace",
    METADATA,
    Column("id", String, primary_key=True),
    Column("environment", String, primary_key=True),
    Column("created", String, nullable=False),
    Column("hash_key", String, nullable=False),
)
"""One row: whose state this is. `hash_key` (hex) keys every hash kept of an erased contact or an address."""

LEASE = Table(
    "lease",
    METADATA,
    Column("workspace", String, primary_key=True),
    Column("environment", String, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("host", String),
    Column("machine", String),
    Column("pid", Integer),
    Column("process_start", String),
    Column("acquired", String),
    Column("heartbeat", String),
)
"""Who may write. `number` rises with every holder; `host` is null when nobody holds it."""

FILES = Table(
    "files",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("path", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)
"""Every bulk file that counts, by its path in the state folder. A file without a row here is a leftover."""

CONTACTS = Table(
    "contacts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("lineage", Integer, nullable=False),
    Column("key", String, nullable=False),
    Column("key_kind", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("gone", Integer, nullable=False),
    Column("key_files", Text, nullable=False),
    Column("present_file", Integer, nullable=False),
)
"""A lasting order. Orders of one lineage are prefixes of each other; compaction begins a new one. `key_files`: JSON, an id per chunk."""

RUNS = Table(
    "runs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("status", String, nullable=False),
    Column("as_of", String, nullable=False, index=True),
    Column("started", String, nullable=False),
    Column("committed", String, nullable=False),
    Column("lease", Integer, nullable=False),
    Column("contacts", Integer, nullable=False),
    Column("members", Text, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("changes_file", Integer, nullable=False),
    Column("digests_file", Integer),
    Column("snapshot", Text, nullable=False),
    Column("definitions", Text, nullable=False),
    Column("report", Text, nullable=False),
    Column("erased", Integer, nullable=False),
)
"""One row a committed run. `members`: JSON, per chunk the columns of each file; not `complete` once retention removed some."""

RUN_SEGMENTS = Table(
    "run_segments",
    METADATA,
    Column("run", Integer, primary_key=True),
    Column("segment", String, primary_key=True, index=True),
    Column("size", Integer, nullable=False),
    Column("entered", Integer, nullable=False),
    Column("exited", Integer, nullable=False),
    Column("first", Boolean, nullable=False),
)
"""A segment's figures in a run."""

SEGMENTS = Table(
    "segments",
    METADATA,
    Column("name", String, primary_key=True),
    Column("accepted_run", Integer, nullable=False),
    Column("first_run", Integer, nullable=False),
    Column("retired_run", Integer),
)
"""Every segment that was ever accepted, the run whose membership of it is accepted, and since which run its file is gone."""

EVENT_FILES = Table(
    "event_files",
    METADATA,
    Column("source", String, primary_key=True),
    Column("path", String, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("modified", BigInteger, nullable=False),
    Column("digest", String, nullable=False),
    Column("columns", Text, nullable=False),
    Column("engine", String, nullable=False),
    Column("file", Integer, nullable=False),
    Column("part", Integer, nullable=False),
)
"""Whose events each event file of the accepted run held: part `part` of bulk file `file`."""

ERASURES = Table(
    "erasures",
    METADATA,
    Column("hash", String, primary_key=True),
    Column("erased", String, nullable=False),
    Column("certificate", Text, nullable=False),
)
"""One keyed hash per forgotten contact key, and what was said to whoever asked."""
