"""Preview, explain and check over random rules and data: they answer, and say what an evaluation says."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from segmentry import Workspace
from tests.oracle.agreement import Batch, batch
from tests.oracle.datasets import arrow_table

WORKSPACE = {"version": 1, "id": "7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a13", "name": "random"}


def laid_out(one: Batch, folder: Path) -> Workspace:
    """The batch as a workspace: Parquet files, and a segment per rule."""
    (folder / "segments").mkdir()
    pq.write_table(one.data.arrow(), folder / "contacts.parquet")
    tables = []
    for number, table in enumerate(one.data.tables):
        pq.write_table(arrow_table(table.columns, table.rows), folder / f"events{number}.parquet")
        named = {"event": table.event} if table.event else {"name": table.name}
        tables.append({"path": f"events{number}.parquet", "contact": table.contact, "at": table.at, **named})
    contacts = {"path": "contacts.parquet", "key": one.data.key.name}
    workspace = {
        **WORKSPACE,
        "timezone": one.data.clock.zone,
        "week_start": one.data.clock.week_start,
        "contacts": contacts,
        "events": tables,
    }
    (folder / "segmentry.yml").write_text(json.dumps(workspace), encoding="utf-8")
    for name, rule in one.texts.items():
        written = {"where": rule} if isinstance(rule, str) else {"rules": [rule]}
        (folder / "segments" / f"{name}.yml").write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")
    return Workspace.open(folder)


@pytest.mark.parametrize("seed", [1, 2, pytest.param(range(3, 20), marks=pytest.mark.full)], ids=["1", "2", "many"])
def test_every_answer_agrees(seed, tmp_path):
    for number in [seed] if isinstance(seed, int) else seed:
        one = batch(f"cli:{number}", rules=12)
        folder = tmp_path / str(number)
        folder.mkdir()
        workspace = laid_out(one, folder)
        assert workspace.check(audit=True).segments == 12
        draw = random.Random(number)
        keys = [row[one.data.key.name] for row in one.data.rows]
        for name, rule in one.texts.items():
            expected = one.expected[name]
            found = workspace.preview(rule, one.data.as_of)
            if None not in expected:
                assert found.count == sum(expected), (number, name, rule)
            contact = draw.randrange(len(keys))
            told = workspace.explain(name, keys[contact], one.data.as_of)
            assert expected[contact] is None or told.member is expected[contact], (number, name, rule, keys[contact])
            assert str(told)
            assert told.to_html()
            assert json.dumps(told.to_json(), default=str)
