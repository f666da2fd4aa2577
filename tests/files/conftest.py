"""Small Parquet files, and `segmentry.yml` as its models."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segmentry.engine.config import WorkspaceConfig

ID = "7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11"


@pytest.fixture
def put(tmp_path):
    """Writes a Parquet file below the workspace: `put("data/c.parquet", id=[1, 2])`."""

    def put(path: str, **columns) -> Path:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), target)
        return target

    return put


@pytest.fixture
def config():
    """A configuration: `config("data/c.parquet", "id", events=[...], timezone=...)`; keywords of contacts as `contacts=`."""

    def config(path: str = "data/contacts.parquet", key: str = "id", *, contacts=None, **rest) -> WorkspaceConfig:
        return WorkspaceConfig.model_validate({"version": 1, "id": ID, "contacts": {"path": path, "key": key, **(contacts or {})}, **rest})

    return config
