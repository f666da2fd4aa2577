"""What only a process of its own can show: streams, exit codes, pipes, signals, completion, and how long `--help` takes."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Shop

COMMAND = [sys.executable, "-m", "segmentry"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def test_data_goes_to_stdout_and_talk_to_stderr(settled: Shop):
    done = settled.process("contacts", "location = 'UK'", "--columns", "contact_id", "--format", "csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"contact_id\n3\n6\n9\n", b"")
    done = settled.process("fmt", "--check")
    assert (done.returncode, done.stdout) == (0, b"")


def test_exit_codes(settled: Shop, tmp_path: Path):
    assert settled.process("contacts", "contry = 'UK'").returncode == 1
    assert settled.process("contacts").returncode == 2
    done = settled.process("check", env={"SEGMENTRY_WORKSPACE": str(tmp_path)})
    assert done.returncode == 1
    assert b"no segmentry.yml" in done.stderr
    assert b"Traceback" not in done.stderr


def test_check_loads_neither_what_keeps_state_nor_what_evaluates(settled: Shop):
    listing = "import atexit, sys; atexit.register(lambda: print(*sys.modules)); from segmentry.cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", listing, "check", "--no-audit"],
        cwd=settled.folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert {"segmentry.engine.checking", "duckdb"} <= loaded
    assert not loaded & {"sqlalchemy", "pyarrow.compute", "segmentry.engine.evaluation", "segmentry.engine.explain"}


def test_the_environment_says_which_workspace(settled: Shop, tmp_path: Path):
    done = subprocess.run(
        [*COMMAND, "segments"],
        cwd=tmp_path,
        env=ENVIRONMENT | {"SEGMENTRY_WORKSPACE": str(settled.folder)},
        capture_output=True,
        check=False,
    )
    assert b"UK visitors" in done.stdout


def test_a_held_lease_is_75(shop_after_a_run: Shop):
    from segmentry.engine.loading import load
    from segmentry.engine.state import State

    loaded = load(shop_after_a_run.folder)
    state = State.open(loaded.state, loaded.config.id)
    with state.lease():
        done = shop_after_a_run.process("recompute")
        assert done.returncode == 75
        start = time.perf_counter()
        assert shop_after_a_run.process("recompute", "--wait", "1s").returncode == 75
        assert time.perf_counter() - start >= 1
        # looking waits for nobody
        assert shop_after_a_run.process("segments").returncode == 0
    state.close()
    assert shop_after_a_run.process("recompute", "--wait", "1s").returncode == 0


def test_a_bug_is_70_and_asks_to_be_reported(settled: Shop):
    broken = (
        "import sys; from segmentry import cli_look; from segmentry.engine.workspace import Workspace;"
        "Workspace.segments = lambda self: 1 / 0; from segmentry.cli import main; main(['segments'])"
    )
    for debug in ("", "1"):
        done = subprocess.run(
            [sys.executable, "-c", broken],
            cwd=settled.folder,
            env=ENVIRONMENT | {"SEGMENTRY_DEBUG": debug},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 70
        assert b"a bug in Segmentry: ZeroDivisionError" in done.stderr
        assert b"report" in done.stderr
        assert (b"Traceback" in done.stderr) == bool(debug)


def test_a_reader_who_goes_away_is_no_error(settled: Shop):
    command = f"{sys.executable} -m segmentry contacts true --format json | head -c 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], cwd=settled.folder, env=ENVIRONMENT, capture_output=True, check=False
    )
    assert done.stderr == b""
    assert done.returncode in (0, 141)
    closed = subprocess.run(
        ["bash", "-c", f"{COMMAND[0]} -m segmentry segments >&-"], cwd=settled.folder, env=ENVIRONMENT, capture_output=True, check=False
    )
    assert b"Traceback" not in closed.stderr


def test_ctrl_c_is_130(settled: Shop):
    waiting = "import time; from segmentry.engine.workspace import Workspace; from segmentry.cli import main\n"
    waiting += "def wait(self):\n    print('ready', flush=True); time.sleep(60)\n"
    waiting += "Workspace.segments = wait; main(['segments'])"
    process = subprocess.Popen(
        [sys.executable, "-c", waiting], cwd=settled.folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"interrupted" in said
    assert b"Traceback" not in said


def test_ctrl_c_within_a_query_is_130(shop_after_a_run: Shop):
    """DuckDB takes the signal for itself while it runs a query, and raises this."""
    query = "import segmentry.engine.backends.duckdb as backend; from segmentry.cli import main\n"
    query += "def create(self, table, query):\n"
    query += "    with backend.told(()): raise RuntimeError('Query interrupted')\n"
    query += "backend.DuckDB.create = create; main(['recompute'])"
    before = shop_after_a_run.process("runs", "--format", "json").stdout
    ended = subprocess.run(
        [sys.executable, "-c", query], cwd=shop_after_a_run.folder, env=ENVIRONMENT, capture_output=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr.strip()) == (130, b"error: interrupted")
    assert shop_after_a_run.process("runs", "--format", "json").stdout == before
    assert shop_after_a_run.process("recompute").returncode == 0


def test_colour_and_progress_are_for_terminals_only(shop: Shop):
    plain = shop.process("recompute", "--first-run")
    assert b"\x1b" not in plain.stdout + plain.stderr
    main_end, other_end = pty.openpty()
    done = subprocess.Popen(
        [*COMMAND, "recompute"], cwd=shop.folder, env=ENVIRONMENT | {"TERM": "xterm", "COLUMNS": "100"}, stdout=other_end, stderr=other_end
    )
    os.close(other_end)
    seen = b""
    while True:
        try:
            chunk = os.read(main_end, 4096)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    assert done.wait(60) == 0
    assert b"\x1b[" in seen
    assert b"recompute" in seen


def test_output_is_utf_8_whatever_the_terminal_speaks(settled: Shop):
    done = settled.process("explain", "uk", "3", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    done = settled.process("contacts", "true", "--format", "csv", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0


def test_segment_names_complete(settled: Shop):
    completing = {"_SEGMENTRY_COMPLETE": "bash_complete", "COMP_WORDS": "segmentry members ", "COMP_CWORD": "2"}
    done = settled.process(env=completing)
    assert {line.split(b",")[1] for line in done.stdout.splitlines()} == {b"buyers", b"good_uk", b"picked", b"uk", b"vip"}
    words = f"segmentry --workspace {settled.folder} explain g"
    elsewhere = subprocess.run(
        COMMAND, cwd="/", env=ENVIRONMENT | completing | {"COMP_WORDS": words, "COMP_CWORD": "4"}, capture_output=True, check=False
    )
    assert elsewhere.stdout.splitlines() == [b"plain,good_uk"]


@pytest.mark.parametrize("words", [("--version",), ("-h",), ("members", "-h")])
def test_short_answers(words):
    assert subprocess.run([*COMMAND, *words], env=ENVIRONMENT, capture_output=True, check=False).returncode == 0
