"""Delivers many rows in a process of its own, and says how long it took and how much memory it had.

python -m tests.delivery.measuring FOLDER ROWS BATCH
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from segmentry.engine.connectors.destination import Answer, Batch, Verdict
from segmentry.engine.connectors.memory import MemoryDestination
from tests.delivery.outbox import MEMORY, Outbox

FIRST = 5_000
"""Rows delivered before memory is looked at first: what is imported and cached by then is no growth."""


def peak() -> int:
    """The most memory this process had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(folder: str, rows: int, batch: int) -> dict[str, float]:
    outbox = Outbox(Path(folder), config=MEMORY.replace("batch: 1", f"batch: {batch}, parallel: 4"))
    for start in range(0, rows, 10_000):
        outbox.put(*(f"c{number}" for number in range(start, min(start + 10_000, rows))))
    outbox.put(*(f"first{number}" for number in range(FIRST)), pending_since="2026-11-23T17:00:00.000000+00:00")
    told = 0

    def ask(_: MemoryDestination, batch: Batch) -> list[Answer]:
        """Keeps no row, as a real destination keeps none in this process."""
        nonlocal told
        told += len(batch.rows)
        return [Answer(Verdict.SENT)] * len(batch.rows)

    MemoryDestination._ask = ask
    before = 0
    began = time.perf_counter()

    def progress(_stage: str, _share: float) -> None:
        nonlocal before
        before = before if before or told < FIRST else peak()

    found = outbox.deliver(progress=progress)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "sent": found.destinations["mem"].sent, "before": before, "after": peak()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))) + "\n")
