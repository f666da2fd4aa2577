"""`sync readd`: whoever left a list or tag there comes back to it, because somebody said so. Nothing else puts anybody back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from segmentry.engine.people import CONTACT, HASH, People, locate
from segmentry.engine.standing_run import Newest
from segmentry.engine.state import ledger, sync_said
from segmentry.engine.state.erasure import normalised
from segmentry.engine.state.synced import ACTIVE, ADD
from segmentry.engine.sync_ground import Ground, ground_of, meant_syncs, records_of, require_as_computed, require_recovered
from segmentry.engine.sync_plans import Sync, comes_back
from segmentry.engine.sync_words import sync_name

if TYPE_CHECKING:
    from segmentry.engine.loading import LoadedWorkspace
    from segmentry.engine.state import State
    from segmentry.engine.state.lease import Lease
    from segmentry.engine.state.synced import SyncRecord

CONSENT = "consent is theirs: whoever is unsubscribed there is answered so again, and stays out"


@dataclass(frozen=True)
class Returned:
    """Who may come back to one sync: `freed` had left, `added` of them are in the segment and due to be added."""

    segment: str
    destination: str
    target: str
    freed: int
    added: int

    @property
    def name(self) -> str:
        """What the sync is called."""
        return sync_name(self.segment, self.destination, self.target)

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {name: getattr(self, name) for name in ("segment", "destination", "target", "freed", "added")}


def readd(
    workspace: LoadedWorkspace,
    state: State,
    keys: Sequence[object],
    now: datetime,
    newest: Newest,
    *,
    segment: str | None = None,
    destination: str | None = None,
    wait: float = 0.0,
) -> list[Returned]:
    """Lets contacts come back to what they left, everywhere or in some syncs; those where any of them had left.

    Raises NotFound where no sync is meant, SegmentryError for what is no key, DecisionError where a run must be made first, LeaseHeld.
    """
    meant = meant_syncs(workspace, segment, destination)
    with state.lease(wait) as lease:
        ground = ground_of(workspace, state, now, newest)
        require_recovered(ground)
        records = records_of(state)
        going = [(sync, records[sync.key]) for sync in meant if sync.key in records and records[sync.key].status == ACTIVE]
        for sync, _ in going:
            require_as_computed(ground, sync)
        contacts, hashes = _addressed(ground, keys)
        freed = _freed(ground, lease, [record for _, record in going], contacts, hashes)
        return [
            _returned(ground, lease, sync, record, contacts, count) for (sync, record), count in zip(going, freed, strict=True) if count
        ]


def _addressed(ground: Ground, keys: Sequence[object]) -> tuple[list[str], list[str]]:
    """The contacts, under every key they had, and the hashes of their addresses, those that were acknowledged and the present ones."""
    state, standing = ground.state, ground.standing
    named = [normalised(key, standing.kind) for key in keys]
    with state.catalog.reading() as connection:
        survivors, secret = ledger.survivors(connection), state.secret(connection)
        people = {survivors.get(key, key) for key in named}
        contacts = sorted({*named, *people, *(old for old, new in survivors.items() if new in people)})
        known = sync_said.hashes_of(connection, contacts)
    positions = locate(standing.keys, pl.Series(CONTACT, contacts, pl.String()).cast(standing.keys.dtype, strict=False).drop_nulls())
    present = People.read(standing.keys, positions, None, standing.snapshot, [], secret).frame[HASH].drop_nulls().to_list()
    return contacts, sorted({*known, *present})


def _freed(ground: Ground, lease: Lease, records: Sequence[SyncRecord], contacts: Sequence[str], hashes: Sequence[str]) -> list[int]:
    """Frees them in all of some syncs, before anything is decided: several may be in step with one list. How many in each."""
    with ground.state.catalog.writing() as connection:
        lease.check(connection)
        return sync_said.readd(connection, contacts, hashes, [record.id for record in records], ground.standing.now)


def _returned(ground: Ground, lease: Lease, sync: Sync, record: SyncRecord, contacts: Sequence[str], freed: int) -> Returned:
    """Decides at once on what follows in one sync."""
    now = ground.standing.now
    # as of now, not of the run: what was told once by the run's own instant would be taken for the same by who knows ids
    draft = ground.plan(sync, record.answer, starts=False, standing=replace(ground.standing, as_of=now))
    back = (pl.col("action") == ADD) & pl.col(CONTACT).is_in(list(contacts))
    added = draft.written.filter(back)
    told = pl.Series("payload", [comes_back(payload) for payload in added["payload"]], pl.String())
    draft = replace(draft, written=pl.concat([draft.written.filter(~back.fill_null(value=False)), added.with_columns(told)]))
    ground.commit(lease, [draft])
    return Returned(*sync.key, freed, added.height)
