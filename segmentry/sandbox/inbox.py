"""What a sandbox was told: every item once, by its id, and how often it came. Kept in a file if it is to outlive the process."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

STORE = "webhook.ndjson"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One thing that arrived and was believed. `message` is the `webhook-id` it first came with, `body` what was said of it."""

    id: str
    message: str
    type: str
    times: int
    verified: bool
    first: str
    last: str
    body: Any


class Inbox:
    """The arrivals, by id. With a folder, what was taken is on its disk before anybody is told that it was."""

    def __init__(self, clock: Callable[[], datetime], folder: Path | None = None) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._arrivals: dict[str, Arrival] = {}
        self._refused: Counter[str] = Counter()
        self._path = None if folder is None else folder / STORE
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._read(self._path)

    def take(self, message: str, body: Any, *, verified: bool) -> None:
        """Takes what a message says: one item, or each of a list with the ids they bring."""
        with self._lock:
            told = [self._told(message, id, type, said, verified=verified) for id, type, said in _items(message, body)]
            if self._path is not None:
                _append(self._path, told)

    def refuse(self, why: str) -> None:
        """Counts a message that was not believed."""
        with self._lock:
            self._refused[why] += 1

    def reset(self) -> None:
        """Forgets everything, on the disk too."""
        with self._lock:
            self._arrivals.clear()
            self._refused.clear()
            if self._path is not None:
                self._path.unlink(missing_ok=True)

    @property
    def arrivals(self) -> list[Arrival]:
        """What arrived, in the order in which it first came."""
        with self._lock:
            return list(self._arrivals.values())

    @property
    def refused(self) -> dict[str, int]:
        """How many messages were not believed, by the reason."""
        with self._lock:
            return dict(self._refused)

    def _told(self, message: str, id: str, type: str, said: Any, *, verified: bool) -> Arrival:
        now = self._clock().astimezone(UTC).isoformat()
        known = self._arrivals.get(id)
        if known is None:
            arrival = Arrival(id, message, type, 1, verified, now, now, said)
        else:
            arrival = replace(known, times=known.times + 1, last=now)
        self._arrivals[id] = arrival
        return arrival

    def _read(self, path: Path) -> None:
        """What an earlier process took; a last line that it did not finish was told to nobody, and goes."""
        with suppress(FileNotFoundError):
            content = path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            for line in whole.splitlines():
                arrival = Arrival(**json.loads(line))
                self._arrivals[arrival.id] = arrival
            if len(whole) < len(content):
                os.truncate(path, len(whole))


def _append(path: Path, arrivals: list[Arrival]) -> None:
    with path.open("ab") as stream:
        stream.write("".join(json.dumps(asdict(arrival), ensure_ascii=False) + "\n" for arrival in arrivals).encode())
        stream.flush()
        os.fsync(stream.fileno())


def _items(message: str, body: Any) -> Iterator[tuple[str, str, Any]]:
    """Id, type and content of what a body tells: plain or CloudEvents, one or several."""
    if isinstance(body, list):  # a batch of CloudEvents
        for number, event in enumerate(body):
            yield _text(event, "id", f"{message}#{number}"), _text(event, "type", ""), event
    elif isinstance(body, Mapping) and isinstance(body.get("data"), list):
        for number, item in enumerate(body["data"]):
            yield _text(item, "id", f"{message}#{number}"), _text(body, "type", ""), item
    else:
        yield message, _text(body, "type", ""), body


def _text(value: Any, key: str, otherwise: str) -> str:
    return str(value.get(key, otherwise)) if isinstance(value, Mapping) else otherwise
