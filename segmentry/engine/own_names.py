"""A name that something gave up for another one is not free: history, ledger and ids have that one by it."""

from __future__ import annotations

from collections.abc import Mapping

from segmentry.engine.consequences import renamed_in
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.state import State, ledger
from segmentry.errors import StateError


def require_own_names(workspace: LoadedWorkspace, state: State, segments: Mapping[str, str]) -> None:
    """Raises StateError where a segment or a sequence has a name that is another's former one.

    `segments`: former names and what they are now; whoever takes the name back with `renamed_from` is the same one.
    """
    renamed = renamed_in(workspace, state, segments)
    for kind, names in (("segment", workspace.segments), ("sequence", workspace.config.sequences)):
        with state.catalog.reading() as connection:
            taken = ledger.taken_names(connection, kind)
        for name in sorted(taken.keys() & set(names) - renamed.of(kind).keys()):
            raise StateError(
                f"{kind} `{name}` was renamed to `{taken[name]}`, whose history is known by that name too: choose another name for what"
                f" is new, or say `renamed_from: [{taken[name]}]` if it is the same one, under its old name again"
            )
