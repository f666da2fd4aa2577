"""Enrollment, holds, deliveries; leases by purpose; event files of every run that may be compared with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _leases()
    _runs()
    _event_files()
    _holds()
    _ledger()
    _deliveries()
    _facts()


def _leases() -> None:
    op.create_table(
        "lease_by_purpose",
        sa.Column("workspace", sa.String, primary_key=True),
        sa.Column("environment", sa.String, primary_key=True),
        sa.Column("purpose", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("host", sa.String),
        sa.Column("machine", sa.String),
        sa.Column("pid", sa.Integer),
        sa.Column("process_start", sa.String),
        sa.Column("acquired", sa.String),
        sa.Column("heartbeat", sa.String),
    )
    copied = "workspace, environment, 'run', number, host, machine, pid, process_start, acquired, heartbeat"
    op.execute(f"insert into lease_by_purpose select {copied} from lease")
    op.drop_table("lease")
    op.rename_table("lease_by_purpose", "lease")


def _runs() -> None:
    op.add_column("runs", sa.Column("decision", sa.Text))
    op.add_column("runs", sa.Column("skipped_file", sa.Integer))
    op.add_column("segments", sa.Column("decided", sa.Integer))


def _event_files() -> None:
    op.create_table(
        "event_files_by_run",
        sa.Column("run", sa.Integer, primary_key=True),
        sa.Column("source", sa.String, primary_key=True),
        sa.Column("path", sa.String, primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("modified", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("columns", sa.Text, nullable=False),
        sa.Column("engine", sa.String, nullable=False),
        sa.Column("file", sa.Integer, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
    )
    op.execute(
        "insert into event_files_by_run select (select max(id) from runs where status = 'accepted'),"
        " source, path, size, modified, digest, columns, engine, file, part from event_files"
    )
    op.drop_table("event_files")
    op.rename_table("event_files_by_run", "event_files")


def _holds() -> None:
    op.create_table(
        "holds",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("since", sa.String, nullable=False),
        sa.Column("opened", sa.String, nullable=False),
        sa.Column("ended", sa.String),
        sa.Column("ended_run", sa.Integer),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("changes_file", sa.Integer),
    )
    op.create_index("ix_holds_run", "holds", ["run"])
    op.create_index("ix_holds_status", "holds", ["status"])


def _ledger() -> None:
    op.create_table(
        "attachments",
        sa.Column("segment", sa.String, primary_key=True),
        sa.Column("sequence", sa.String, primary_key=True),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("as_of", sa.String, nullable=False),
    )
    op.create_table(
        "ledger",
        sa.Column("run", sa.Integer, primary_key=True),
        sa.Column("file", sa.Integer, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("baselines", sa.Text, nullable=False),
    )
    op.create_table(
        "enrollments",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("sequence", sa.String, nullable=False),
        sa.Column("segment", sa.String, nullable=False),
        sa.Column("contact", sa.String, nullable=False),
        sa.Column("person", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("as_of", sa.String, nullable=False),
        sa.Column("cause", sa.String, nullable=False),
        sa.Column("address_hash", sa.String),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("changed", sa.String, nullable=False),
        sa.Column("pending_since", sa.String),
        sa.UniqueConstraint("sequence", "contact", "number", name="uq_enrollments_number"),
    )
    op.create_index("ix_enrollments_outcome", "enrollments", ["outcome"])
    op.create_index("ix_enrollments_person", "enrollments", ["sequence", "person"])
    op.create_index("ix_enrollments_address", "enrollments", ["sequence", "address_hash"])


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("destination", sa.String, nullable=False),
        sa.Column("payload", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.String, nullable=False),
        sa.Column("batch", sa.String),
        sa.Column("stop", sa.String),
        sa.Column("maybe", sa.Boolean, nullable=False),
        sa.Column("lease", sa.Integer),
        sa.Column("remote_id", sa.String),
        sa.Column("error", sa.String),
        sa.Column("ended", sa.String),
    )
    op.create_index("ix_deliveries_batch", "deliveries", ["batch"])
    op.create_index("ix_deliveries_ended", "deliveries", ["ended"])
    op.create_index("ix_deliveries_due", "deliveries", ["destination", "ended", "due"])
    op.create_table(
        "destinations",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("account", sa.String),
        sa.Column("pinned", sa.String),
        sa.Column("stopped", sa.String),
        sa.Column("stopped_at", sa.String),
    )
    op.create_table(
        "pauses",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("since", sa.String, nullable=False),
        sa.Column("reason", sa.String),
    )


def _facts() -> None:
    op.create_table(
        "renames",
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("former", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
    )
    op.create_table(
        "aliases",
        sa.Column("old", sa.String, primary_key=True),
        sa.Column("new", sa.String, nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
    )
    op.create_table(
        "notices",
        sa.Column("what", sa.String, primary_key=True),
        sa.Column("since", sa.String, nullable=False),
        sa.Column("told", sa.String, nullable=False),
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
