"""Destinations: who is told. One seam (`destination.py`), a connector a file."""
