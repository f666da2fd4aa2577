"""`forget` for a whole workspace: what is stored is erased; what only a person can erase is listed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from segmentry.engine.lists import read_list
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.pinned import snapshot_from_json
from segmentry.engine.state import State
from segmentry.engine.state.erasure import contacts_of, normalised
from segmentry.errors import SourceError

FILES = "files"
"""The type of destinations that are folders."""


def forget(workspace: LoadedWorkspace, state: State, keys: Sequence[object], now: datetime, *, wait: float = 0.0) -> dict[str, Any]:
    """Erases contacts from the state; the certificate, with what only a person can erase.

    That is the lists that name one of them, the sources to look through, the file of merged keys if there is one, the folders that
    files were put in, and other destinations that were told, with what those call the contacts where they said so. Raises
    LeaseHeld, and SegmentryError for what is no key.
    """
    by_hand = {"lists": _lists_naming(workspace, state, keys), "sources": _sources(workspace)}
    certificate = state.forget(keys, now, wait=wait)
    told, remote = _told(workspace, certificate["told"]), certificate.pop("remote")
    further = {"aliases": _aliases(workspace), "exports": _exports(workspace), "destinations": told, "people_there": remote}
    return {**certificate, "erase_by_hand": by_hand | {name: found for name, found in further.items() if found}}


def _lists_naming(workspace: LoadedWorkspace, state: State, keys: Sequence[object]) -> list[str]:
    """The static lists that name one of the contacts, by any of its keys, and those that can't be read."""
    accepted = state.accepted()
    if accepted is None:
        return sorted(workspace.lists())
    contacts = snapshot_from_json(accepted.snapshot).contacts
    kind = state.order(accepted.id).record.kind
    with state.catalog.reading() as connection:
        wanted = set().union(*contacts_of(connection, [normalised(key, kind) for key in keys]).values())
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


def _aliases(workspace: LoadedWorkspace) -> list[str]:
    path = workspace.config.contacts.aliases
    return [] if path is None else [path]


def _exports(workspace: LoadedWorkspace) -> list[str]:
    """The folders that destinations put files in, as segmentry.yml writes them."""
    return sorted({str(one.settings["path"]) for one in workspace.config.destinations.values() if one.type == FILES})


def _told(workspace: LoadedWorkspace, names: Sequence[str]) -> list[str]:
    """Of destinations that were told of a contact those that keep what they were told elsewhere."""
    destinations = workspace.config.destinations
    return [name for name in names if name not in destinations or destinations[name].type != FILES]
