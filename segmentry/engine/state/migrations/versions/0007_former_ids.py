"""Syncs: what a destination calls a contact besides, who has another contact's membership, until it is looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("synced", sa.Column("former_ids", sa.Text))
    op.add_column("synced", sa.Column("left_before", sa.Boolean))
    op.create_index("ix_synced_former", "synced", ["former_ids"], sqlite_where=sa.text("former_ids is not null"))
