"""Syncs: what destinations acknowledged, what is open, who left there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "syncs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("segment", sa.String, nullable=False),
        sa.Column("destination", sa.String, nullable=False),
        sa.Column("target", sa.String, nullable=False),
        sa.Column("mode", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("answer", sa.String),
        sa.Column("since", sa.String, nullable=False),
        sa.Column("figures", sa.Text, nullable=False),
        sa.UniqueConstraint("segment", "destination", "target", name="uq_syncs_target"),
    )
    _synced()
    op.create_table(
        "sync_batches",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("sync", sa.Integer, nullable=False),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("made", sa.String, nullable=False),
    )
    op.create_table(
        "left_there",
        sa.Column("sync", sa.Integer, primary_key=True),
        sa.Column("address_hash", sa.String, primary_key=True),
        sa.Column("since", sa.String, nullable=False),
        sa.Column("reason", sa.String),
    )


def _synced() -> None:
    op.create_table(
        "synced",
        sa.Column("sync", sa.Integer, primary_key=True),
        sa.Column("contact", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("address_hash", sa.String),
        sa.Column("fingerprint", sa.String),
        sa.Column("remote_id", sa.String),
        sa.Column("remote_status", sa.String),
        sa.Column("reason", sa.String),
        sa.Column("refused", sa.String),
        sa.Column("changed", sa.String, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("action", sa.String),
        sa.Column("change", sa.String),
        sa.Column("wanted", sa.String),
        sa.Column("wanted_hash", sa.String),
        sa.Column("payload", sa.Text),
        sa.Column("opened", sa.String),
        sa.Column("due", sa.String),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("batch", sa.String),
        sa.Column("lease", sa.Integer),
        sa.Column("stop", sa.String),
        sa.Column("maybe", sa.Boolean, nullable=False),
    )
    op.create_index("ix_synced_due", "synced", ["sync", "action", "due", "contact"])
    op.create_index("ix_synced_hash", "synced", ["sync", "address_hash"])
    op.create_index("ix_synced_batch", "synced", ["batch"])
