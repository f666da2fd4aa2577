"""Runs the migrations on the connection, and in the transaction, that `catalog.py` hands over."""

from __future__ import annotations

from alembic import context

from segmentry.engine.state.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
