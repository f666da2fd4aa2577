"""The catalog's tables. `migrations/` brings an older catalog to this shape; a test compares the two.

Times are ISO 8601 text in UTC with microseconds, so SQLite and PostgreSQL order and return them alike. JSON columns hold
canonical text (sorted keys), so that equal values are equal bytes.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text, UniqueConstraint, text

METADATA = MetaData()

REVISION = "0007"
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
    Column("purpose", String, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("host", String),
    Column("machine", String),
    Column("pid", Integer),
    Column("process_start", String),
    Column("acquired", String),
    Column("heartbeat", String),
)
"""Who may write (`purpose` is `run`), and who may send (`delivery:` and a destination). `number` rises with every holder; `host` is
null when nobody holds it."""

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
    Column("decision", Text),
    Column("skipped_file", Integer),
)
"""One row a committed run. `members`: JSON, per chunk the columns of each file; not `complete` once retention removed some.

`decision`: JSON, where the run was no computation but somebody's word on a held one. `skipped_file`: whose entries enrolled
nobody, and why.
"""

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
    Column("decided", Integer),
)
"""Every segment that was ever accepted, the run whose computation of it is accepted, and since which run its file is gone.

While a guard holds a segment, `accepted_run` stays behind; later runs carry its accepted membership along. `decided`: the run by which
somebody last approved it or took it as a baseline; guards count from there.
"""

EVENT_FILES = Table(
    "event_files",
    METADATA,
    Column("run", Integer, primary_key=True),
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
"""Whose events each event file of a run held: part `part` of bulk file `file`. Kept for runs that a later one may be compared with."""

ERASURES = Table(
    "erasures",
    METADATA,
    Column("hash", String, primary_key=True),
    Column("erased", String, nullable=False),
    Column("certificate", Text, nullable=False),
)
"""One keyed hash per forgotten contact key, and what was said to whoever asked."""

HOLDS = Table(
    "holds",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("run", Integer, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("name", String, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("since", String, nullable=False),
    Column("opened", String, nullable=False),
    Column("ended", String),
    Column("ended_run", Integer),
    Column("detail", Text, nullable=False),
    Column("changes_file", Integer),
)
"""What guards stopped. `kind`: `source` (a whole run), `segment`, `suppress` or `sequence`; `name` is the segment's or sequence's.

`status`: `open`, or how it ended: `ended` (within limits again), `superseded`, `approved`, `discarded`. `since`: when the
first of a row of holds on the same thing opened. `detail`: JSON, messages and figures. `changes_file`: who would have come and gone.
"""

ATTACHMENTS = Table(
    "attachments",
    METADATA,
    Column("segment", String, primary_key=True),
    Column("sequence", String, primary_key=True),
    Column("run", Integer, nullable=False),
    Column("as_of", String, nullable=False),
)
"""Which segment enrolls in which sequence, since the run in which the two first ran together."""

LEDGER = Table(
    "ledger",
    METADATA,
    Column("run", Integer, primary_key=True),
    Column("file", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("baselines", Text, nullable=False),
)
"""The ledger's files, one a run that wrote any row. `baselines`: JSON, the (segment, sequence) pairs it has baseline rows of."""

ENROLLMENTS = Table(
    "enrollments",
    METADATA,
    Column("id", String, primary_key=True),
    Column("sequence", String, nullable=False),
    Column("segment", String, nullable=False),
    Column("contact", String, nullable=False),
    Column("person", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("run", Integer, nullable=False),
    Column("as_of", String, nullable=False),
    Column("cause", String, nullable=False),
    Column("address_hash", String),
    Column("outcome", String, nullable=False, index=True),
    Column("reason", String),
    Column("changed", String, nullable=False),
    Column("pending_since", String),
    Index("ix_enrollments_person", "sequence", "person"),
    Index("ix_enrollments_address", "sequence", "address_hash"),
    UniqueConstraint("sequence", "contact", "number", name="uq_enrollments_number"),
)
"""Every numbered row of the ledger, and what became of it. `person`: the contact's surviving key, once merges are followed.

Baseline rows are in the ledger's files only.
"""

DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("id", String, primary_key=True),
    Column("destination", String, nullable=False),
    Column("payload", Text),
    Column("attempts", Integer, nullable=False),
    Column("due", String, nullable=False),
    Column("batch", String, index=True),
    Column("stop", String),
    Column("maybe", Boolean, nullable=False),
    Column("lease", Integer),
    Column("remote_id", String),
    Column("error", String),
    Column("ended", String, index=True),
    Index("ix_deliveries_due", "destination", "ended", "due"),
)
"""The outbox: what a destination is, or was, to be told; `id` is the enrollment's. `payload`: JSON with address and fields, removed some
days after the end. `due`: not to be tried before. `stop`: a later run says why it must not go any more. `maybe`: it may have arrived."""

DESTINATIONS = Table(
    "destinations",
    METADATA,
    Column("name", String, primary_key=True),
    Column("account", String),
    Column("pinned", String),
    Column("stopped", String),
    Column("stopped_at", String),
    Column("place", String),
)
"""Destinations that were ever used: what each was first used with (an account, and what of it), and why deliveries to it last stopped."""

PAUSES = Table(
    "pauses",
    METADATA,
    Column("name", String, primary_key=True),
    Column("since", String, nullable=False),
    Column("reason", String),
)
"""What must not be sent now: a destination's or sequence's name, or `*` for everything."""

RENAMES = Table(
    "renames",
    METADATA,
    Column("kind", String, primary_key=True),
    Column("former", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("run", Integer, nullable=False),
)
"""Former names of segments, sequences and destinations (`kind`), and the name each became with a run."""

ALIASES = Table(
    "aliases",
    METADATA,
    Column("old", String, primary_key=True),
    Column("new", String, nullable=False),
    Column("run", Integer, nullable=False),
)
"""Keys of contacts that were merged into others, and the surviving key."""

SYNCS = Table(
    "syncs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("segment", String, nullable=False),
    Column("destination", String, nullable=False),
    Column("target", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("status", String, nullable=False),
    Column("answer", String),
    Column("since", String, nullable=False),
    Column("figures", Text, nullable=False),
    UniqueConstraint("segment", "destination", "target", name="uq_syncs_target"),
)
"""What segments are, or were, kept in step with. `status`: `unconfirmed`, `active` or `detached`. `answer`: what was said of those who were
in at its start, `send` or `skip`, for exactly this target. `figures`: JSON, as the last run saw it."""

SYNCED = Table(
    "synced",
    METADATA,
    Column("sync", Integer, primary_key=True),
    Column("contact", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("address_hash", String),
    Column("fingerprint", String),
    Column("remote_id", String),
    Column("remote_status", String),
    Column("reason", String),
    Column("refused", String),
    Column("changed", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("action", String),
    Column("change", String),
    Column("wanted", String),
    Column("wanted_hash", String),
    Column("payload", Text),
    Column("opened", String),
    Column("due", String),
    Column("attempts", Integer, nullable=False),
    Column("batch", String),
    Column("lease", Integer),
    Column("stop", String),
    Column("maybe", Boolean, nullable=False),
    Column("grace", String),
    Column("perhaps_out", Boolean),
    Column("former_ids", Text),
    Column("left_before", Boolean),
    Index("ix_synced_due", "sync", "action", "due", "contact"),
    Index("ix_synced_hash", "sync", "address_hash"),
    Index("ix_synced_batch", "batch"),
    Index("ix_synced_remote", "remote_id"),
    Index("ix_synced_former", "former_ids", sqlite_where=text("former_ids is not null")),
)
"""What a sync's destination acknowledged of each contact, and the one open row that there may be.

`state`: `member` (this sync added it), `out`, `baseline` (was in at the start, and is let be), `left` (went there, and is never put back),
`rejected` or `skipped` (by the destination, for the attributes `refused`). `fingerprint`: of the attributes that were acknowledged.

The open row: `action` is `add`, `update` or `remove`; `change` its id, `wanted` the fingerprint (and a `+` where the contact has agreed to
be told) and `wanted_hash` the address hash that an answer acknowledges, `payload` JSON with address and fields; both go with its end, but
those of who was perhaps added, or given another address. Of who is `left`, `wanted_hash` is of the address that it was last seen with,
where it has another one since: as long as it has that, nobody else comes in by it.
`revision` rises with every write, so that a run whose reading is out of date changes nothing. `batch`, `lease` and `stop` are as in
deliveries.
`maybe`: what was asked last may have been done, and no answer said so. `grace`: until when a removal waits for who may be back, where it
does. `perhaps_out`: a removal may have been done of which no answer was heard, whatever is open since; who is not there has not left.
`former_ids`: of who has another contact's membership, what the destination calls the contact besides `remote_id`, each on a line: whether
it left under one of them is looked at with what is told next. `left_before`: it did, or somebody with a key that was merged into its own
did: as the person that it is by now it is to go, and is `left` then."""

SYNC_BATCHES = Table(
    "sync_batches",
    METADATA,
    Column("id", String, primary_key=True),
    Column("sync", Integer, nullable=False),
    Column("notes", Text, nullable=False),
    Column("made", String, nullable=False),
)
"""Requests of syncs under way: what must not be forgotten of each, as JSON: ids of jobs at the destination."""

LEFT = Table(
    "left_there",
    METADATA,
    Column("sync", Integer, primary_key=True),
    Column("address_hash", String, primary_key=True),
    Column("since", String, nullable=False),
    Column("reason", String),
)
"""Addresses that left a sync's target there, unsubscribed or taken off by hand. They stay out, whoever has them, also after an erasure."""

NOTICES = Table(
    "notices",
    METADATA,
    Column("what", String, primary_key=True),
    Column("since", String, nullable=False),
    Column("told", String, nullable=False),
)
"""What somebody was told of, since when it is so, and when it was last told."""

FACTS = Table(
    "facts",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Single facts of this state, as JSON: the last failure, whether the environment delivered, whether a recovery waits for its run."""
