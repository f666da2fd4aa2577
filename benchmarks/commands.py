"""How long commands take, from their start to their end, as whoever types them waits for them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

TIMES = 5


def measure_commands(workspace: Path) -> dict[str, list[float]]:
    """Seconds of `--help` and of `check` on a workspace, each several times after once that does not count."""
    commands = {"--help": ["--help"], "check": ["check", "--workspace", str(workspace)]}
    found: dict[str, list[float]] = {}
    for name, arguments in commands.items():
        for number in range(TIMES + 1):
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "segmentry", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
            )
            if number:
                found.setdefault(name, []).append(time.perf_counter() - started)
    return found
