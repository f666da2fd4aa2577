"""Syncs: until when a removal waits for who may be back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("synced", sa.Column("grace", sa.String))
