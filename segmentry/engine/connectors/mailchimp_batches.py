"""Batches: operations that the service does in a while, one batch at a time. Its id is kept before anybody asks how far it is.

That a batch is finished says nothing of its operations: each has a result of its own, in an archive that is fetched without the
key, read in memory up to a size, and never unpacked to a disk.
"""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.connectors.mailchimp_bodies import Operation
from segmentry.engine.connectors.mailchimp_calls import Calls, unreadable
from segmentry.engine.connectors.mailchimp_line import TroubleError
from segmentry.engine.connectors.mailchimp_reasons import Problem
from segmentry.engine.connectors.syncing import Notes

PATIENCE = 900.0
"""Seconds that a batch is waited for; one that takes longer is asked for again another time."""
FIRST_LOOK, LAST_LOOK = 2.0, 30.0
"""Seconds between looks, at first and at last."""
FETCHES = 3
"""Attempts at the results, each at an address told anew."""
PACKED, UNPACKED = 32 * 1024 * 1024, 128 * 1024 * 1024
"""Bytes of an archive, and of all that is in it, at most."""
KEPT = "batch"

Results = dict[str, Problem | None]
"""What became of operations, by their ids: None for what was done. What is missing was lost."""


class LostError(Exception):
    """The results of a finished batch can't be had: what became of its operations must be read elsewhere."""


def kept(notes: Mapping[str, Any]) -> tuple[str, list[str]] | None:
    """A batch that was handed in before, and the ids of the changes that are in it."""
    found = notes.get(KEPT)
    return (str(found["id"]), [str(id) for id in found["changes"]]) if isinstance(found, Mapping) else None


def hand_in(calls: Calls, notes: Notes, operations: Sequence[Operation]) -> str:
    """Submits operations, whose ids are those of changes; the batch's id, which is kept then."""
    id = calls.submit(operations)
    notes.keep(**{KEPT: {"id": id, "changes": [one.id for one in operations]}})
    return id


def await_earlier(calls: Calls, notes: Notes) -> None:
    """Waits for the end of what other batches of changes handed in. Raises TroubleError."""
    for one in notes.earlier:
        found = kept(one)
        if found is not None:
            with suppress(LostError):  # it is finished, whatever came of it
                results(calls, found[0])


def results(calls: Calls, id: str) -> Results | None:
    """The results, once there are some; None where the service knows the batch no more.

    Raises TroubleError where it is not finished in time, LostError where what came of it can't be had.
    """
    waiting = calls.line.waiting
    until = waiting.monotonic() + PATIENCE
    look, fetches = FIRST_LOOK, 0
    while True:
        calls.before()  # who pauses a destination does not wait for a batch
        batch = calls.batch(id)
        if batch is None:
            return None
        if batch.get("status") == "finished":
            try:
                return _unpacked(calls.line.fetch(_address(batch), PACKED))
            except (TroubleError, tarfile.TarError, EOFError, OSError, zlib.error, ValueError, RecursionError):
                fetches += 1
                if fetches == FETCHES:
                    raise LostError from None
        if waiting.monotonic() + look > until:
            raise TroubleError(Answer(Verdict.LATER, "the service has not done it yet", after=LAST_LOOK, maybe=True))
        waiting.sleep(look)
        look = min(look * 1.5, LAST_LOOK)


def _address(batch: Mapping[str, Any]) -> str:
    found = batch.get("response_body_url")
    if not isinstance(found, str):
        raise unreadable()
    return found


def _unpacked(packed: bytes) -> Results:
    """What is in an archive. Raises ValueError, and what tarfile raises, for one that is not as it should be."""
    found: Results = {}
    left = UNPACKED
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        for entry in archive:
            if not entry.isreg() or not entry.name.endswith(".json"):
                continue
            left -= entry.size
            stream = archive.extractfile(entry) if left >= 0 else None
            if stream is None:
                raise ValueError("too much")
            for result in json.loads(stream.read()):
                found[str(result["operation_id"])] = _outcome(result)
    return found


def _outcome(result: Any) -> Problem | None:
    status = int(result["status_code"])
    if 200 <= status < 300:
        return None
    try:
        content = json.loads(result.get("response") or "{}")
    except (ValueError, TypeError, RecursionError):
        content = {}
    return Problem.of(status, content)
