"""Segments that are held in a run: their accepted membership stays, the computed one is kept beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from segmentry.engine import run
from segmentry.engine.state.commit import RunDraft
from segmentry.engine.storing import Chunks, store_members


@contextmanager
def holding(*names: str) -> Iterator[None]:
    """Runs within this hold these segments, whatever guards say."""
    wanted = frozenset(names)

    def store(*args: Any, held: frozenset[str] = frozenset(), **kwargs: Any) -> Chunks:
        return store_members(*args, held=wanted | held, **kwargs)

    def draft(*, held: frozenset[str] = frozenset(), **parts: Any) -> RunDraft:
        return RunDraft(held=wanted | held, **parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "store_members", store)
        patch.setattr(run, "RunDraft", draft)
        yield
