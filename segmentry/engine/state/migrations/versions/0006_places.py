"""Destinations: what of an account each is. Syncs: who may be out by a removal that nobody heard of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("destinations", sa.Column("place", sa.String))
    op.add_column("synced", sa.Column("perhaps_out", sa.Boolean))
    # a member who is to be added was to be removed before
    op.execute("update synced set perhaps_out = 1 where state = 'member' and ((action = 'remove' and maybe = 1) or action = 'add')")
