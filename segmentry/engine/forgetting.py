"""`forget` for a whole workspace: what is stored is erased; what only a person can erase is listed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from segmentry.engine.lists import read_list
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.pinned import snapshot_from_json
from segmentry.engine.state import State
from segmentry.engine.state.erasure import normalised
from segmentry.errors import SourceError


def forget(workspace: LoadedWorkspace, state: State, keys: Sequence[object], now: datetime, *, wait: float = 0.0) -> dict[str, Any]:
    """Erases contacts from the state; the certificate, with the lists that name one of them and the sources to look through.

    Raises LeaseHeld, and SegmentryError for what is no key.
    """
    by_hand = {"lists": _lists_naming(workspace, state, keys), "sources": _sources(workspace)}
    return {**state.forget(keys, now, wait=wait), "erase_by_hand": by_hand}


def _lists_naming(workspace: LoadedWorkspace, state: State, keys: Sequence[object]) -> list[str]:
    """The static lists that name one of the contacts, and those that can't be read."""
    accepted = state.accepted()
    if accepted is None:
        return sorted(workspace.lists())
    contacts = snapshot_from_json(accepted.snapshot).contacts
    wanted = {normalised(key, state.order(accepted.id).record.kind) for key in keys}
    found = []
    for name, path in workspace.lists().items():
        try:
            listed = read_list(path, contacts.relation.columns[contacts.key], name).keys
        except SourceError:
            found.append(name)
            continue
        if wanted & {str(key) for key in listed}:
            found.append(name)
    return found


def _sources(workspace: LoadedWorkspace) -> list[str]:
    config = workspace.config
    return [config.contacts.path, *(table.path for table in config.events)]
