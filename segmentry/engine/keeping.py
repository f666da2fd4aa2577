"""What a run keeps of its sources for the next one, and by it who has changed since the accepted run."""

from __future__ import annotations

import polars as pl

from segmentry.engine.digests import Digester, Kept, Reads, contacts_differ, digest_events, events_differ, reads_of, same_files
from segmentry.engine.former import FormerRun
from segmentry.engine.plan import make_plan
from segmentry.engine.positions import Placement, relocated, survivors
from segmentry.engine.prepared import Prepared


def reads_of_rules(prepared: Prepared) -> Reads:
    """The columns that the segments' rules read, and nothing else: what digests are made over. It takes a plan."""
    return reads_of(prepared.snapshot, make_plan(prepared.rules.whole(), prepared.snapshot, prepared.clock).columns_read())


def keep(prepared: Prepared, former: FormerRun | None, digester: Digester, placement: Placement, reads: Reads) -> Kept:
    """The digests that the next run is compared by; those of files that did not change are the former run's."""
    then, files = (None, ()) if former is None else (former.snapshot, former.event_files)
    new = pl.Series(dtype=pl.UInt32()) if former is None else _came(former, placement).arg_true()
    events = digest_events(digester, prepared.snapshot, reads, then, files, new)
    if not reads.contacts:
        return Kept(reads, None, events)
    if former is not None and _same_rows(prepared, former, reads, placement) and former.record.digests_file is not None:
        return Kept(reads, former.record.digests_file, events)
    return Kept(reads, digester.contact_digests(reads.contacts), events)


def changed_since(prepared: Prepared, former: FormerRun, kept: Kept, digester: Digester, placement: Placement) -> pl.Series | None:
    """Who came since the accepted run, goes on as another, or has another row or other events, in the columns that rules read: positions.

    None where the digests of then can't be compared with those of now.
    """
    digests = former.state.digests(former.record.id)
    rows = contacts_differ(former.snapshot.contacts, former.reads, digests, prepared.snapshot.contacts, digester, placement)
    events = events_differ(former.state, prepared.snapshot, kept.events, kept.reads, former.reads, digester, placement)
    if rows is True or events is True:
        return None
    found = _came(former, placement)
    for differing in (rows, events, survivors(former.order.present, placement)):
        found = found | differing
    return (found & placement.alignment.present).arg_true()


def _came(former: FormerRun, placement: Placement) -> pl.Series:
    """Who is in the snapshot and was not in the former one."""
    return placement.alignment.present & ~relocated(former.order.present, placement)


def _same_rows(prepared: Prepared, former: FormerRun, reads: Reads, placement: Placement) -> bool:
    return (
        same_files(former.snapshot.contacts, prepared.snapshot.contacts)
        and (former.reads.contacts, former.reads.engine) == (reads.contacts, reads.engine)
        and placement.former_positions is None
        and placement.alignment.size == placement.former_size
    )
