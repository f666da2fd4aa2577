"""One segment's changes of a run: the rows of all changes that are its own, of a run that is committed and of one that is only shown."""

from __future__ import annotations

import pytest

from segmentry.engine.workspace import Workspace
from segmentry.errors import NotFound
from tests.state.conftest import Shop, day

RULES = {"big": "spend > 10", "small": "spend <= 10", "some": "spend > 3"}


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_parts_are_the_whole(shop: Shop, *, dry_run: bool) -> None:
    """A segment that is computed for the first time, two that change, and one that stays as it is."""
    shop.contacts({"id": [1, 2, 3], "spend": [5, 50, 60]})
    for name in ("big", "some"):
        shop.segment(name, RULES[name])
    shop.run("2026-01-01")
    shop.contacts({"id": [3, 1, 4], "spend": [5, 5, 70]})
    shop.segment("small", RULES["small"])
    shop.segment("none", "spend > 1000")
    shop.write_config()
    run = Workspace.open(shop.root).recompute(as_of=day("2026-01-02"), dry_run=dry_run)
    parts = {name: run.changes_of(name) for name in run.counts}
    assert {name: part.height for name, part in parts.items()} == {"big": 3, "small": 2, "some": 2, "none": 0}
    assert run.changes.rows() == [row for _, part in sorted(parts.items()) for row in part.rows()]
    assert all(part.schema == run.changes.schema for part in parts.values())


def test_a_segment_that_is_not_there_is_said(shop: Shop) -> None:
    shop.contacts({"id": [1], "spend": [5]})
    shop.segment("big", RULES["big"])
    shop.write_config()
    run = Workspace.open(shop.root).recompute(as_of=day("2026-01-02"), first_run=True)
    with pytest.raises(NotFound, match="run 1 has no segment `bigger`"):
        run.changes_of("bigger")
