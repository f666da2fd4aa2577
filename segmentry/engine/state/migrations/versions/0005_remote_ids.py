"""Syncs: who is called by a destination's name for somebody."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_synced_remote", "synced", ["remote_id"])
