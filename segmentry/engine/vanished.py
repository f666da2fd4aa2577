"""Segments that seem to have been renamed without saying so: one is gone since the accepted run, and another has its very rule."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from segmentry.engine.definitions import SegmentDefinition
from segmentry.engine.loading import LoadedWorkspace, Segment
from segmentry.errors import SegmentryError
from segmentry.rules.diagnostics import Diagnostic, Severity
from segmentry.rules.printer import to_text


def renamed_unsaid(workspace: LoadedWorkspace) -> list[Diagnostic]:
    """A warning for each new segment that has the definition of one that is gone. No state, or none that can be read: none."""
    if not _some_gone(workspace):
        return []
    former = _accepted(workspace)
    claimed = {old for segment in workspace.segments.values() for old in segment.config.renamed_from}
    gone = {name: definition for name, definition in former.items() if name not in workspace.names and name not in claimed}
    if not gone:
        return []
    fresh = {name: segment for name, segment in workspace.segments.items() if name not in former and not segment.config.renamed_from}
    return list(_warnings(fresh, gone))


def _warnings(fresh: dict[str, Segment], gone: dict[str, SegmentDefinition]) -> Iterator[Diagnostic]:
    for name, segment in fresh.items():
        rule = None if segment.syntax is None else to_text(segment.syntax)
        definition = SegmentDefinition(rule, segment.list, segment.include, segment.exclude)
        # its place in a group says nothing of which segment it is
        old = next((old for old, former in gone.items() if replace(former, priority=None) == definition), None)
        if old is not None:
            yield Diagnostic(
                "W310",
                f"`{old}` is gone since the accepted run, and `{name}` has its rule",
                Severity.WARNING,
                location=segment.document.location(),
                help=f"add `renamed_from: [{old}]` if it was renamed",
                notes=(f"without it `{old}` is retired, and `{name}` begins anew: who is in now is enrolled in nothing",),
            )


CATALOG = "catalog.sqlite"
SEGMENTS = "select segment from run_segments where run = (select max(id) from runs where status = 'accepted')"


def _some_gone(workspace: LoadedWorkspace) -> bool:
    """Whether a segment of the accepted run has no file any more, or that can't be told so easily.

    Most of the time all have one, which a glance at the catalog shows: the state with SQLAlchemy takes as long to load as all else of a
    check takes together.
    """
    path = workspace.state / CATALOG
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as catalog:
            return not {name for (name,) in catalog.execute(SEGMENTS)} <= workspace.names
    except sqlite3.Error:
        return True


def _accepted(workspace: LoadedWorkspace) -> dict[str, SegmentDefinition]:
    """The segments of the accepted run, as it defined them."""
    from segmentry.engine.state import State  # noqa: PLC0415  (see `_some_gone`)

    try:
        state = State.open(workspace.state, workspace.config.id, workspace.environment)
    except SegmentryError:
        return {}
    try:
        run = state.accepted()
        if run is None or set(run.segments) <= workspace.names:
            return {}
        stored = run.definitions["definitions"]["segments"]
        return {name: SegmentDefinition.from_json(definition) for name, definition in stored.items()}
    except SegmentryError:
        return {}
    finally:
        state.close()
