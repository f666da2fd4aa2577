"""The built wheel, installed with its run-time dependencies only, in an environment of its own, away from the clone."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.full, pytest.mark.xdist_group("wheel")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"segmentry"}
    assert "segmentry/demo/workspace/segments/vip.yml" in names
    assert any(name.startswith("segmentry/engine/state/migrations/versions/") for name in names)
    assert "segmentry/py.typed" in names


def test_it_runs_the_demo_with_its_run_time_dependencies_only(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel], check=True, cwd=tmp_path)
    installed = subprocess.run([*pip, "list", "--format", "freeze"], check=True, cwd=tmp_path, capture_output=True, text=True).stdout
    assert not {"pandas", "pytest", "pyspark", "pytz"} & {line.split("==")[0].lower() for line in installed.splitlines()}
    demo = [python, "-m", "segmentry.demo", "--contacts", "5000", "--folder", tmp_path / "shop"]
    shown = subprocess.run(demo, check=True, cwd=tmp_path, capture_output=True, text=True).stdout
    assert "High-value leads" in shown or "vip" in shown
    command = tmp_path / "env" / "bin" / "segmentry"
    sizes = subprocess.run(
        [command, "--workspace", tmp_path / "shop", "segments"], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert "uk_visitors" in sizes.stdout
