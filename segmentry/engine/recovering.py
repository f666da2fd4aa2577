"""`recover`: after a backup was restored, whom the ledger's files enrolled meanwhile is known again, and the next run enrolls nobody.

What was enrolled after the backup and left no file is not known to anybody: so the next accepted run takes its entrants as
baseline. Receivers that know ids see nothing twice even then, as the same enrollment always has the same id. Who is in lists and
tags is read back from where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import polars as pl

from segmentry.engine.background import RECOVERED
from segmentry.engine.connectors.registry import open_destination
from segmentry.engine.consequences import renamed_in
from segmentry.engine.delivering import Open
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.moment import Moment
from segmentry.engine.people import CONTACT, People, Snapshot
from segmentry.engine.reading_rows import rows_of_snapshot
from segmentry.engine.renaming import renames_of
from segmentry.engine.snapshot import ContactSource
from segmentry.engine.standing_run import Newest
from segmentry.engine.state import State, recovery
from segmentry.engine.state.recovery import Names, Recovered
from segmentry.engine.state.synced import ACTIVE, syncs
from segmentry.engine.sync_reading_back import Reading, read_after_restoring, sending_to


def recover(
    workspace: LoadedWorkspace,
    state: State,
    now: datetime,
    *,
    wait: float = 0.0,
    environ: Mapping[str, str] | None = None,
    newest: Newest | None = None,
    open: Open = open_destination,
) -> Recovered:
    """Reads the ledger's files into a restored catalog, and has the next accepted run take its entrants as baseline.

    Destinations that segments were kept in step with are read back: who is there is acknowledged, who is not any more left. `environ`
    has what opens them, `newest` the contacts. Doing it again does nothing more. Raises LeaseHeld, also where a sender is at work, and
    StateError for a ledger file that can't be read.
    """
    with state.catalog.reading() as connection:
        told = [one.destination for one in syncs(connection) if one.status == ACTIVE]
    with sending_to(state, workspace, told, wait):
        with state.lease(wait) as lease:
            found = recovery.recover(state.catalog, lease, state.folder, _names(workspace, state), now, {RECOVERED: True})
        if not told:
            return found
        contacts = newest or (lambda: Moment.at(workspace, now).contacts)
        return replace(found, syncs=tuple(read_after_restoring(Reading(workspace, state, now, contacts, environ or {}, open))))


def refill(workspace: LoadedWorkspace, state: State, ids: Sequence[str], newest: Callable[[], ContactSource]) -> list[str]:
    """Gives recovered deliveries, which have no address, the payload that their contacts' rows make now; the ids of those.

    It goes before a retry. Contacts who are not in the snapshot any more, and rows of sequences that are gone, stay without.
    """
    with state.catalog.reading() as connection:
        rows = recovery.unaddressed(connection, ids)
        secret = state.secret(connection)
    if not rows.height:
        return []
    contacts = newest()
    payloads: dict[str, str] = {}
    for (sequence,), part in rows.group_by("sequence", maintain_order=True):
        policy = workspace.config.sequences.get(str(sequence))
        if policy is not None:
            payloads |= _payloads(contacts, state.order().keys.dtype, part, policy.fields, secret)
    with state.catalog.writing() as connection:
        recovery.address(connection, payloads)
    return list(payloads)


def _payloads(contacts: ContactSource, kind: pl.DataType, rows: pl.DataFrame, fields: Mapping[str, str], secret: str) -> dict[str, str]:
    """The payload of each row whose contact is there, by id."""
    keys = rows["person"].unique(maintain_order=True).cast(kind, strict=False).drop_nulls()
    there = rows_of_snapshot(contacts, keys, [])[contacts.key].cast(pl.String())
    found = rows.filter(pl.col("person").is_in(there.implode()))
    snapshot = Snapshot(contacts.key, contacts.email, partial(rows_of_snapshot, contacts))
    people = People.read(keys, pl.arange(0, len(keys), dtype=pl.UInt32(), eager=True), None, snapshot, list(fields.values()), secret)
    told = people.payloads(found["person"].alias(CONTACT), fields)
    return dict(zip(found["id"].to_list(), told, strict=True))


def _names(workspace: LoadedWorkspace, state: State) -> Names:
    """Files written after a rename have names that a catalog from before it does not know, until the next run says so."""
    config = workspace.config
    renamed = renamed_in(workspace, state, renames_of(workspace, state.segments()))
    present = {former: name for name, one in config.sequences.items() for former in one.renamed_from if former not in config.sequences}
    destinations = {name: renamed.destinations.get(one.destination, one.destination) for name, one in config.sequences.items()}
    return Names(dict(renamed.segments), {**present, **{name: name for name in config.sequences}}, destinations)
