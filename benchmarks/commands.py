"""How long commands take, from their start to their end, as whoever types them waits for them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIMES = 5


def measure_commands(workspace: Path) -> dict[str, list[float]]:
    """Seconds of `--help` and of `check` on a workspace, each several times after once that does not count.

    With bytecode, as an installed package has it, also where the environment says that none is to be written.
    """
    commands = {"--help": ["--help"], "check": ["check", "--workspace", str(workspace)]}
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as bytecode:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for name, arguments in commands.items():
            for number in range(TIMES + 1):
                started = time.perf_counter()
                command = [sys.executable, "-m", "segmentry", *arguments]
                subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, env=environment)
                if number:
                    found.setdefault(name, []).append(time.perf_counter() - started)
    return found
