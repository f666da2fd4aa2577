"""The cron example, run by a shell as cron runs it: what it prints is what cron mails."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from segmentry.cli import cli
from tests.examples.conftest import COMMAND, EXAMPLES, Shop

CRON = EXAMPLES / "cron"
CRONTAB = (CRON / "crontab").read_text(encoding="utf-8")
LINES = re.findall(r"^(\S+ \S+ \S+ \S+ \S+) +/opt/segmentry/bin/segmentry-cron (.+)$", CRONTAB, re.MULTILINE)

pytestmark = pytest.mark.skipif(shutil.which("flock") is None, reason="there is no flock, which the example's wrapper calls")


def by_cron(shop: Shop, command: str) -> tuple[int, str]:
    """The exit code and the mail of a line of the crontab: cron gives it next to no environment, and the crontab's own variables."""
    variables = shop.root.parent / "segmentry.env"
    variables.write_text(f"SEGMENTRY_WORKSPACE={shlex.quote(str(shop.root))}\nSEGMENTRY_ENV=prod\n", encoding="utf-8")
    environment = {
        "HOME": str(shop.root.parent),
        "PATH": f"{COMMAND.parent}:/usr/local/bin:/usr/bin:/bin",
        "SEGMENTRY_ENV_FILE": str(variables),
        "SEGMENTRY_LOCKS": str(shop.root.parent),
    }
    done = subprocess.run(
        f"{shlex.quote(str(CRON / 'segmentry-cron'))} {command}",
        shell=True,
        executable="/bin/sh",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_the_crontab_calls_commands_that_there_are() -> None:
    assert [command.split()[0] for _, command in LINES] == ["recompute", "sync", "status", "gc"]
    for _, command in LINES:
        name, *arguments = shlex.split(command)
        cli.commands[name].make_context(name, arguments).close()
    said = dict(re.findall(r"^([A-Z_]+)=(.+)$", CRONTAB, re.MULTILINE))
    assert said.keys() == {"MAILTO", "SHELL", "PATH", "SEGMENTRY_ENV_FILE"}
    # a % ends a command in a crontab
    assert not any("%" in command for _, command in LINES)


def test_its_times_are_times() -> None:
    from cronsim import CronSim

    from tests.cli.conftest import NOW

    assert [next(CronSim(when, NOW)).minute for when, _ in LINES] == [5, 10, 20, 40]


def test_nothing_is_mailed_of_a_run_that_is_well(shop: Shop) -> None:
    shop.contacts(100, uk=12)
    assert by_cron(shop, "recompute") == (0, "")
    assert shop.exported() == [10, 11]
    assert by_cron(shop, "sync") == (0, "")
    assert by_cron(shop, "status --notify") == (0, "")


def test_what_is_held_is_mailed(shop: Shop) -> None:
    shop.contacts(50, uk=12)
    code, mail = by_cron(shop, "recompute")
    assert code == 4
    assert "the snapshot has 50 contacts" in mail
    assert "exit code 4, a guard holds something until somebody says segmentry approve or discard" in mail


def test_failed_deliveries_are_mailed(shop: Shop) -> None:
    shop.contacts(100, uk=12)
    shop.refuse_exports()
    code, mail = by_cron(shop, "recompute")
    assert code == 3
    assert "can't be written" in mail
    assert "some deliveries failed" in mail


def test_nothing_is_mailed_where_another_run_is_under_way(shop: Shop) -> None:
    with shop.busy():
        assert by_cron(shop, "recompute") == (75, "")


def test_a_second_one_of_a_kind_does_not_even_start(shop: Shop) -> None:
    shop.contacts(100, uk=12)
    lock = shop.root.parent / f"segmentry-{os.getuid()}-recompute.lock"
    with subprocess.Popen(["flock", lock, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(b"held\n")
        holder.stdin.flush()
        holder.stdout.readline()
        assert by_cron(shop, "recompute") == (75, "")
        assert by_cron(shop, "sync")[0] == 0
    assert shop.ran() == ["accepted"]


def test_without_its_variables_it_says_so(shop: Shop, tmp_path: Path) -> None:
    missing = tmp_path / "missing.env"
    done = subprocess.run(
        [CRON / "segmentry-cron", "recompute"],
        env={**shop.environment, "SEGMENTRY_ENV_FILE": str(missing)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == f"segmentry-cron: can't read {missing}\n"
