"""Segments that are held in a run: their accepted membership stays, the computed one is kept beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import pytest

from segmentry.engine.consequences import Consequences
from segmentry.engine.guards import HoldKind, Trip
from segmentry.engine.holding import Held
from segmentry.engine.run import Recomputed


@contextmanager
def holding(*names: str) -> Iterator[None]:
    """Runs within this hold these segments and nothing else, whatever guards say."""
    trips = {name: Trip(HoldKind.SEGMENT, name, ("somebody wanted it so",)) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Consequences, "held", Held(segments=trips))
        yield


def computed_changes(run: Recomputed) -> pl.DataFrame:
    """The changes against the accepted memberships, those that are held among them."""
    held = run.consequences.held_changes if run.consequences is not None else run.changes().clear()
    return pl.concat([run.changes(), held.cast(dict(run.changes().schema))]).sort("segment", "contact")
