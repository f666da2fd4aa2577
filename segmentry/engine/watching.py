"""How the files of a workspace's sources look from outside: cheap enough to be asked every few seconds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from segmentry.engine.config import ContactsConfig, EventsConfig
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.paths import PathProblem, find
from segmentry.engine.pinned import files_of
from segmentry.engine.sources import snapshot_from_json
from segmentry.engine.state import RunRecord

Look = tuple[tuple[str, int, int], ...]
"""Of every file its path, size and modification time in nanoseconds."""


def look(workspace: LoadedWorkspace, now: datetime) -> Look | None:
    """The files that a run would read now; None where it would find none, or they are not `ready`. No file is opened."""
    config = workspace.config
    sources: list[ContactsConfig | EventsConfig] = [config.contacts, *config.events]
    try:
        found = [
            path for source in sources for path in find(source.path, source.ready, workspace.root.absolute(), now, config.timezone).paths
        ]
        return _looks((str(path), (status := path.stat()).st_size, status.st_mtime_ns) for path in found)
    except (PathProblem, OSError):
        return None


def look_then(record: RunRecord) -> Look:
    """How the files looked that a run has read."""
    return _looks((file.path, file.size, file.modified) for file in files_of(snapshot_from_json(record.snapshot)))


def _looks(files: Iterable[tuple[str, int, int]]) -> Look:
    return tuple(sorted(set(files)))
