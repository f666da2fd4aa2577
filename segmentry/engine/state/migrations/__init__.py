"""Alembic's migrations of the catalog; run by `catalog.py`, never from a command line."""
