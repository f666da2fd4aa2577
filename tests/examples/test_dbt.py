"""The dbt example: dbt exports to Parquet, `segmentry recompute` reads it; what dbt's tests refuse is no snapshot."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.examples.conftest import COMMAND, EXAMPLES, interpreter

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]

MADE = shutil.ignore_patterns(".segmentry", "export", "logs", "target", "warehouse.duckdb*", ".user.yml")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / "dbt", tmp_path / "dbt", ignore=MADE))


def hourly(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    told = {"DBT": str(interpreter("dbt").with_name("dbt")), "SEGMENTRY": str(COMMAND), "DO_NOT_TRACK": "1", "NO_COLOR": "1"}
    return subprocess.run([project / "hourly.sh", *arguments], env={**os.environ, **told}, check=False, capture_output=True, text=True)


def test_dbt_s_models_are_what_segments_are_made_of(project: Path) -> None:
    from segmentry import Workspace

    done = hourly(project, "--first-run", "--no-deliver")
    assert done.returncode == 0, done.stderr
    workspace = Workspace.open(project)
    members = {name: workspace.members(name).collect()["contact_id"].to_list() for name in ("big_spenders", "uk_newsletter")}
    assert members == {"big_spenders": [1, 4], "uk_newsletter": [1, 5]}


def test_what_dbt_s_tests_refuse_is_no_snapshot(project: Path) -> None:
    with (project / "seeds" / "raw_contacts.csv").open("a", encoding="utf-8") as seed:
        seed.write("1,ann@example.com,UK,2025-11-02,yes\n")
    done = hourly(project, "--first-run", "--no-deliver")
    assert done.returncode == 1
    assert "unique_contacts_contact_id" in done.stdout + done.stderr
    assert list((project / "export" / "contacts").glob("*.parquet"))
    assert not list((project / "export" / "contacts").glob("*._SUCCESS"))
    assert not (project / ".segmentry").exists()
