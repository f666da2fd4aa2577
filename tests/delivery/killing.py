"""Deliveries that are killed, run in processes of their own. What was told is in a file, as a receiver has it that outlives them."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from segmentry.engine.connectors.destination import Answer, Batch, Destination, Traits, Verdict
from segmentry.engine.sending import Sender
from tests.delivery.outbox import Outbox

MOMENTS = ("before the claim", "after the claim", "before the request", "after the request", "before the record", "after the record")
TOLD = "told.txt"


class Receiver(Destination):
    """Appends the id of each row it takes to a file."""

    def __init__(self, path: Path, traits: Traits, at: Callable[[str], None]) -> None:
        self.traits = traits
        self._path = path
        self._at = at

    def account(self) -> str | None:
        return None

    def send(self, batch: Batch, before: Callable[[], None]) -> Sequence[Answer]:
        before()
        self._at("before the request")
        with self._path.open("ab", buffering=0) as stream:
            stream.write("".join(f"{row.id}\n" for row in batch.rows).encode())  # in one piece, also beside others
        self._at("after the request")
        return [Answer(Verdict.SENT)] * len(batch.rows)


def told(root: Path) -> Counter[str]:
    """How often each id was taken."""
    path = root / TOLD
    return Counter(path.read_text().split()) if path.exists() else Counter()


def receiver(root: Path, traits: Traits, at: Callable[[str], None] = lambda _: None) -> Callable[..., Destination]:
    return lambda _name, _settings, _context: Receiver(root / TOLD, traits, at)


def killed_at(root: Path, settings: Mapping[str, Any], traits: Traits, moment: str, number: int) -> None:
    """Delivers, and is killed when it comes to a moment for the number-th time."""
    seen: Counter[str] = Counter()

    def at(here: str) -> None:
        seen[here] += 1
        if here == moment and seen[here] >= number:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(name: str, what: str) -> None:
        inner = getattr(Sender, name)

        def outer(self: Sender, *arguments: Any) -> Any:
            at(f"before the {what}")
            found = inner(self, *arguments)
            at(f"after the {what}")
            return found

        setattr(Sender, name, outer)

    around("_claim", "claim")
    around("_record", "record")
    Outbox(root, **settings).deliver(open=receiver(root, traits, at))


def killed_after(root: Path, settings: Mapping[str, Any], traits: Traits, began: Event) -> None:
    """Delivers until somebody kills it; says when the first row was told of."""
    Outbox(root, **settings).deliver(open=receiver(root, traits, lambda _: began.set()))
