"""Batches: operations that are handed in together, done later one after the other, and whose results are fetched as an archive."""

from __future__ import annotations

import io
import json
import secrets
import tarfile
from datetime import timedelta
from typing import Any

from segmentry.sandbox.mailchimp_operations import Operation
from segmentry.sandbox.mailchimp_problems import ProblemError, invalid, not_found
from segmentry.sandbox.mailchimp_state import Batch, World

STAGES = ("pending", "preprocessing", "started", "finalizing", "finished")
RESULTS = "/results/"


def hand_in(world: World, call: Operation) -> Any:
    """POST /batches."""
    operations, rules = call.body["operations"], world.rules
    if len(operations) > rules.operations:
        raise invalid("operations", f"Schema describes at most {rules.operations} items, {len(operations)} found instead")
    if sum(batch.status != "finished" for batch in world.batches.values()) >= rules.pending:
        raise ProblemError("Too Many Requests", f"You have more than {rules.pending} pending batches.")
    batch = Batch(secrets.token_hex(5), operations, world.now())
    world.batches[batch.id] = batch
    world.mark("batch", batch.id)
    return _said(world, call, batch)


def read_batch(world: World, call: Operation) -> Any:
    """GET /batches/{batch}: each look takes the oldest batch that is not finished a step on, as one is done at a time."""
    batch = _batch(world, call)
    waiting = next((one for one in world.batches.values() if one.status != "finished"), None)
    if waiting is not None:
        _take_on(world, call, waiting)
    return _said(world, call, batch)


def list_batches(world: World, call: Operation) -> Any:
    """GET /batches, the newest first."""
    found = list(reversed(world.batches.values()))
    return call.page("batches", found, lambda batch: _said(world, call, batch), len(found))


def cancel(world: World, call: Operation) -> None:
    """DELETE /batches/{batch}: what was done stays done, and its results are gone."""
    batch = _batch(world, call)
    del world.batches[batch.id]
    world.mark("batch", batch.id)


def archive_at(world: World, path: str) -> bytes | None:
    """The results at an address that was told, as tar.gz; None where it is none, or was told too long ago."""
    id, until = world.results_at.get(path.removeprefix(RESULTS), ("", world.clock()))
    batch = world.batches.get(id)
    return None if batch is None or world.clock() >= until else _archive(batch, world.rules.results)


def _batch(world: World, call: Operation) -> Batch:
    batch = world.batches.get(call.parts["batch"])
    if batch is None:
        raise not_found()
    return batch


def _take_on(world: World, call: Operation, batch: Batch) -> None:
    """A step on: the operations are done when it is started, or passed over being so."""
    rules = world.rules
    batch.polls += 1
    stage = min(len(STAGES) - 1, batch.polls * (len(STAGES) - 1) // max(1, rules.polls))
    if stage >= STAGES.index("started") and not batch.results:
        batch.results = [_result(call, operation) for operation in batch.operations]
    batch.status = STAGES[stage]
    if batch.status == "finished":
        batch.completed = world.now()
        if rules.losing:
            rules.losing -= 1
            batch.lost = [(len(batch.results) - 1) // rules.results]
    world.mark("batch", batch.id)


def _result(call: Operation, operation: dict[str, Any]) -> dict[str, Any]:
    path = operation["path"]
    params = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in operation.get("params", {}).items()}
    if path.startswith("/batches"):
        problem = ProblemError("Bad Request", "A batch can't hold operations on batches.")
        status, answer = problem.status, json.dumps(problem.body(call.path))
    else:
        status, answer = call.perform(operation["method"], path, params, operation.get("body", ""))
    return {"status_code": status, "operation_id": operation.get("operation_id"), "response": answer}


def _said(world: World, call: Operation, batch: Batch) -> dict[str, Any]:
    url = ""
    if batch.status == "finished":
        token = secrets.token_urlsafe(18)
        world.results_at[token] = (batch.id, world.clock() + timedelta(seconds=world.rules.lasting))
        url = f"{call.home}{RESULTS}{token}"
    return {
        "id": batch.id,
        "status": batch.status,
        "total_operations": len(batch.operations),
        "finished_operations": len(batch.results),
        "errored_operations": sum(result["status_code"] >= 400 for result in batch.results),
        "submitted_at": batch.submitted,
        "completed_at": batch.completed,
        "response_body_url": url,
    }


def _archive(batch: Batch, size: int) -> bytes:
    """Files of so many results each, under a folder's entry, less those that were lost."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        folder = tarfile.TarInfo("./")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for number, start in enumerate(range(0, len(batch.results), size)):
            if number not in batch.lost:
                content = json.dumps(batch.results[start : start + size]).encode()
                entry = tarfile.TarInfo(f"./{batch.id}_{number}.json")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
