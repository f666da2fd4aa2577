"""The seam to destinations that files of a segment are put at: what a run changed in it, and who is in it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from segmentry.engine.connectors.destination import Destination


@dataclass(frozen=True, slots=True)
class Export:
    """One file: `changes` or `members` (`what`) of a segment in a run, whose instant is `at`, and which was committed at `committed`.

    Workspace, environment, segment, what, run and `committed` name it: the same ones are the same file, at every attempt. `parts` gives
    its rows from the first, in frames that all have the same columns; at least one, which may be without rows.
    """

    workspace: str
    environment: str
    segment: str
    what: str
    run: int
    at: datetime
    committed: datetime
    parts: Callable[[], Iterator[pl.DataFrame]] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Exported:
    """What is there now: `place`, as text that may be shown, and how many rows it has."""

    place: str
    rows: int


class ExportDestination(Destination):
    """A destination that takes whole files of a segment.

    `export` puts one there, whole or not at all; one that is there is left as it is. It calls `before()` immediately before it writes;
    what that raises passes through unchanged and nothing is there then, and so does what `parts` raises. It raises DestinationStopped
    where no file could be put there.
    """

    @abstractmethod
    def export(self, export: Export, before: Callable[[], None]) -> Exported:
        """Puts the file there."""
