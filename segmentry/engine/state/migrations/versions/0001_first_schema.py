"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workspace",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("environment", sa.String, primary_key=True),
        sa.Column("created", sa.String, nullable=False),
        sa.Column("hash_key", sa.String, nullable=False),
    )
    op.create_table(
        "lease",
        sa.Column("workspace", sa.String, primary_key=True),
        sa.Column("environment", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("host", sa.String),
        sa.Column("machine", sa.String),
        sa.Column("pid", sa.Integer),
        sa.Column("process_start", sa.String),
        sa.Column("acquired", sa.String),
        sa.Column("heartbeat", sa.String),
    )
    op.create_table(
        "files",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("path", sa.String, nullable=False, unique=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "contacts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("lineage", sa.Integer, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("key_kind", sa.String, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("gone", sa.Integer, nullable=False),
        sa.Column("key_files", sa.Text, nullable=False),
        sa.Column("present_file", sa.Integer, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("as_of", sa.String, nullable=False),
        sa.Column("started", sa.String, nullable=False),
        sa.Column("committed", sa.String, nullable=False),
        sa.Column("lease", sa.Integer, nullable=False),
        sa.Column("contacts", sa.Integer, nullable=False),
        sa.Column("members", sa.Text, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("changes_file", sa.Integer, nullable=False),
        sa.Column("digests_file", sa.Integer),
        sa.Column("snapshot", sa.Text, nullable=False),
        sa.Column("definitions", sa.Text, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("erased", sa.Integer, nullable=False),
    )
    op.create_index("ix_runs_as_of", "runs", ["as_of"])
    op.create_table(
        "run_segments",
        sa.Column("run", sa.Integer, primary_key=True),
        sa.Column("segment", sa.String, primary_key=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("entered", sa.Integer, nullable=False),
        sa.Column("exited", sa.Integer, nullable=False),
        sa.Column("first", sa.Boolean, nullable=False),
    )
    op.create_index("ix_run_segments_segment", "run_segments", ["segment"])
    op.create_table(
        "segments",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("accepted_run", sa.Integer, nullable=False),
        sa.Column("first_run", sa.Integer, nullable=False),
        sa.Column("retired_run", sa.Integer),
    )
    op.create_table(
        "event_files",
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
    op.create_table(
        "erasures",
        sa.Column("hash", sa.String, primary_key=True),
        sa.Column("erased", sa.String, nullable=False),
        sa.Column("certificate", sa.Text, nullable=False),
    )
