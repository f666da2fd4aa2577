"""The systemd example: its units are ones that systemd takes, and they call what there is."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from segmentry.cli import cli
from segmentry.errors import LeaseHeld
from tests.examples.conftest import COMMAND, EXAMPLES

UNITS = sorted(path for kind in ("*.service", "*.timer") for path in (EXAMPLES / "systemd").glob(kind))
SERVICES = [path for path in UNITS if path.suffix == ".service"]
INSTALLED = "/opt/segmentry/bin/segmentry"


def settings(unit: Path) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=False, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit, encoding="utf-8")
    return parser


def test_systemd_takes_them(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze, which verifies units")
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8").replace(INSTALLED, str(COMMAND))
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    made = sorted(tmp_path.iterdir())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *made], check=False, capture_output=True, text=True
    )
    # units of the host's own may be wrong: only what it says of these counts
    said = [line for line in done.stderr.splitlines() if "segmentry" in line]
    assert not said
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_they_call_commands_that_there_are(unit: Path) -> None:
    command, *arguments = shlex.split(settings(unit)["Service"]["ExecStart"])
    assert command == INSTALLED
    with cli.make_context("segmentry", arguments) as context:
        (name,) = {argument for argument in arguments if argument in cli.commands}
        rest = arguments[arguments.index(name) + 1 :]
        cli.commands[name].make_context(name, rest, parent=context).close()


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_none_runs_as_root_or_writes_elsewhere(unit: Path) -> None:
    service = settings(unit)["Service"]
    assert service["User"] == "segmentry"
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["StateDirectory"] == "segmentry"


def test_the_timer_starts_the_service_of_its_name() -> None:
    timers = [path for path in UNITS if path.suffix == ".timer"]
    assert [path.with_suffix(".service").exists() for path in timers] == [True]


def test_one_way_shuts_the_other_out() -> None:
    schedule = settings(EXAMPLES / "systemd" / "segmentry-schedule.service")
    recompute = settings(EXAMPLES / "systemd" / "segmentry-recompute.service")
    assert set(schedule["Unit"]["Conflicts"].split()) == {"segmentry-recompute.timer", "segmentry-recompute.service"}
    assert recompute["Unit"]["Conflicts"] == "segmentry-schedule.service"


def test_another_run_is_no_failure_and_a_held_one_is() -> None:
    recompute = settings(EXAMPLES / "systemd" / "segmentry-recompute.service")["Service"]
    assert recompute["SuccessExitStatus"] == str(LeaseHeld.exit_code)
    # whoever keeps the schedule already goes on doing so
    assert settings(EXAMPLES / "systemd" / "segmentry-schedule.service")["Service"]["RestartPreventExitStatus"] == str(LeaseHeld.exit_code)


def test_the_variables_are_those_that_are_read() -> None:
    names = re.findall(r"^(SEGMENTRY_\w+)=", (EXAMPLES / "systemd" / "segmentry.env").read_text(encoding="utf-8"), re.MULTILINE)
    assert names == [option.envvar for option in cli.params if getattr(option, "envvar", None)]
