"""What a run, or somebody's word, makes of every sync of a workspace: which start, go on and end, and what brings each in step."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from segmentry.engine.canonical_json import dumps
from segmentry.engine.config import SyncConfig
from segmentry.engine.connectors.registry import sync_traits_of
from segmentry.engine.connectors.syncing import Target
from segmentry.engine.identity import address_hash, change_id, normalised_address
from segmentry.engine.people import ADDRESS, CONTACT, HASH, People, locate
from segmentry.engine.splitting import among
from segmentry.engine.state.synced import (
    ACTIVE,
    ADD,
    ANEW,
    AWAY,
    COMES_BACK,
    DETACHED,
    MEMBER,
    REMOVE,
    ROWS,
    SHARED_NAME,
    UNCONFIRMED,
    SyncDraft,
    SyncRecord,
    marked,
)
from segmentry.engine.sync_decisions import Case, Step, Wanted, decide
from segmentry.engine.sync_elsewhere import Elsewhere, Known
from segmentry.engine.sync_people import payloads, wanted
from segmentry.engine.sync_rows import closed

if TYPE_CHECKING:
    from segmentry.engine.activation import Standing
    from segmentry.engine.loading import LoadedWorkspace

SKIP, ASK = "skip", "ask"


@dataclass(frozen=True)
class Sync:
    """One entry of `sync:` of a segment that is kept in step contact by contact."""

    segment: str
    config: SyncConfig

    @property
    def target(self) -> str:
        """What of the destination it is, as text."""
        return str(Target.of({} if "what" in self.config.words else self.config.words))

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.segment, self.config.destination, self.target)


def syncs_of(workspace: LoadedWorkspace) -> list[Sync]:
    """Every sync that the files say, but for exports, which know no contacts one by one; by segment, in the files' order."""
    return [
        Sync(name, entry)
        for name, segment in sorted(workspace.segments.items())
        for entry in segment.config.sync
        if entry.what is None and entry.destination in workspace.config.destinations
    ]


def plan_syncs(
    workspace: LoadedWorkspace, standing: Standing, known: Known, *, anew: bool = False, baseline: bool = False
) -> list[SyncDraft]:
    """What becomes of all syncs with an accepted membership.

    `anew`: the environment delivers now and did not before, so that all of them start anew. `baseline`: after a recovery whoever is
    new to a sync is let be.
    """
    found = [
        plan_sync(workspace, standing, known, sync, answer, starts=starts, baseline=baseline)
        for sync, answer, starts in _answered(workspace, standing, known, anew=anew)
    ]
    said_by_files = {sync.key for sync in syncs_of(workspace)}
    return [
        *found,
        *(_detached(record, known) for record in known.records if record.key not in said_by_files and record.status != DETACHED),
    ]


def read_for_syncs(workspace: LoadedWorkspace, standing: Standing, known: Known, *, anew: bool) -> tuple[list[pl.Series], set[str]]:
    """Whose rows planning reads, as bitmaps over all positions, and which mapped columns; of syncs that wait for an answer, none."""
    syncs = [sync for sync, answer, _ in _answered(workspace, standing, known, anew=anew) if answer is not None]
    members = [members_of(standing, name)[0] for name in sorted({sync.segment for sync in syncs})]
    return members, {column for sync in syncs for column in sync.config.fields.values()}


def _answered(workspace: LoadedWorkspace, standing: Standing, known: Known, *, anew: bool) -> Iterator[tuple[Sync, str | None, bool]]:
    """Every sync of a segment with a membership, what was said of those who are in at its start, and whether that is now."""
    records = {record.key: record for record in known.records}
    for sync in syncs_of(workspace):
        if sync.segment in standing.segments:
            record = records.get(sync.key)
            said = None if record is None or anew else record.answer
            answer = said or (None if sync.config.existing == ASK else sync.config.existing)
            yield sync, answer, record is None or record.answer is None or anew


def plan_sync(
    workspace: LoadedWorkspace, standing: Standing, known: Known, sync: Sync, answer: str | None, *, starts: bool, baseline: bool = False
) -> SyncDraft:
    """What becomes of one sync. `answer`: what was said of those who are in at its start; None: nobody has. `starts`: it does now."""
    record = next((one for one in known.records if one.key == sync.key), None)
    draft = SyncDraft(None if record is None else record.id, *sync.key, mode=sync.config.mode, status=ACTIVE, answer=answer)
    everybody, suppressed = members_of(standing, sync.segment)
    inside = _of_groups(standing, sync, everybody)
    if answer is None:
        return replace(draft, status=UNCONFIRMED, figures={"members": int((inside & ~suppressed).sum())})
    rows = pl.DataFrame(schema=ROWS) if record is None else known.rows(record.id)
    left, gone = known.left_target(sync.key)
    away = pl.concat([rows.filter(pl.col("state") == AWAY).select(gone.columns), gone])
    elsewhere = _elsewhere(standing, sync, known)
    people, twins = wanted_of(standing, sync, standing.consents.get(sync.config.destination), known.secret, inside)
    case = Case(
        mirror=sync.config.mode == "mirror",
        needs_address=sync_traits_of(workspace.config.destinations[sync.config.destination].settings).needs_address,
        secret=known.secret,
        now=standing.now,
        opened=standing.as_of,
        left=left,
        gone=gone[CONTACT].replace(dict(known.merged)),
        gone_as=gone["remote_id"].drop_nulls(),
        merged=known.merged,
        baseline=baseline or (starts and answer == SKIP),
        sharing=elsewhere.sharing,
        others_tell=bool(sync.config.fields) and any(one.destination == draft.destination and one.key != sync.key for one in known.records),
    )
    whom = _wanted(standing, people, inside & suppressed, twins, rows, everybody & ~inside)
    step = decide(rows, replace(whom, seen=_seen(standing, away, known)), case)
    step = replace(step, written=elsewhere.called(step.written))
    written = _told(workspace, standing, sync, step, people, elsewhere, _said_to_come_back(rows))
    return replace(
        draft,
        figures=step.figures,
        written=written,
        named=step.named,
        removed=step.removed,
        replaced=step.replaced,
        stops=step.stops,
        rekeyed=step.rekeyed,
    )


def _elsewhere(standing: Standing, sync: Sync, known: Known) -> Elsewhere:
    """What is known of the sync's contacts by all syncs to its destination."""
    return Elsewhere(
        known,
        sync.config.destination,
        sync.key,
        present=lambda contacts: standing.keys.gather(_places(standing, contacts)).cast(pl.String()),
    )


def _places(standing: Standing, contacts: pl.Series) -> pl.Series:
    """Where those of some contacts (text) stand who are in the snapshot."""
    places = locate(standing.keys, contacts.cast(standing.keys.dtype, strict=False).drop_nulls())
    return places.filter(standing.present.gather(places))


def _hashes(standing: Standing, contacts: pl.Series, secret: str) -> pl.DataFrame:
    """Of those of some contacts who are in the snapshot the hash of the address that each has, null where none."""
    return People.read(standing.keys, _places(standing, contacts), None, standing.snapshot, [], secret).frame.select(CONTACT, HASH)


def members_of(standing: Standing, segment: str) -> tuple[pl.Series, pl.Series]:
    """Who is in the segment, and who is suppressed, over all positions."""
    inside = standing.member(segment) & standing.present & standing.keys.is_not_null()
    nobody = pl.repeat(False, len(inside), dtype=pl.Boolean(), eager=True)
    return inside, nobody if standing.suppressed is None else standing.suppressed


def _of_groups(standing: Standing, sync: Sync, members: pl.Series) -> pl.Series:
    """Of a segment's members those in the groups that the sync has."""
    return among(members, standing.keys, standing.splits.get(sync.segment), sync.config.split)


def wanted_of(
    standing: Standing, sync: Sync, consents: pl.Series | None, secret: str, inside: pl.Series | None = None
) -> tuple[pl.DataFrame, pl.Series]:
    """Whom a sync should have, as `sync_people.wanted`; and members who have an address of somebody suppressed: that one is meant too.

    `inside`: who is in the segment, and in the sync's groups of it; None: it is to be found.
    """
    members, suppressed = members_of(standing, sync.segment)
    inside = _of_groups(standing, sync, members) if inside is None else inside
    people = wanted(standing.keys, (inside & ~suppressed).arg_true(), consents, standing.snapshot, sync.config.fields, secret)
    # most addresses of who is suppressed are none of these people's: they are looked through once
    theirs = people.join(standing.unsent_addresses.to_frame(), on=ADDRESS, how="semi")[ADDRESS]
    twins = pl.col(ADDRESS).is_in(theirs.implode()).fill_null(value=False)
    return people.filter(~twins), people.filter(twins)[CONTACT]


def _wanted(
    standing: Standing, people: pl.DataFrame, unsent: pl.Series, twins: pl.Series, rows: pl.DataFrame, elsewhere: pl.Series
) -> Wanted:
    """The people, with what must be known of those who have rows. `unsent` and `twins` are members who are, or count as, suppressed.

    `elsewhere` are members of groups that the sync has not.
    """
    there = _places(standing, rows[CONTACT])
    suppressed = there.head(0) if standing.suppressed is None else there.filter(standing.suppressed.gather(there))

    def named(positions: pl.Series) -> pl.Series:
        return standing.keys.gather(positions).cast(pl.String()).alias(CONTACT)

    unwanted = pl.concat([named(unsent.arg_true()), twins]), pl.concat([named(suppressed), twins])
    return Wanted(people, *unwanted, named(there), named(elsewhere.arg_true()))


def _seen(standing: Standing, away: pl.DataFrame, known: Known) -> pl.DataFrame:
    """Of those who left, by their present keys, the hash of the address that each has; of who has none now, of the one last seen."""
    if not away.height:
        return pl.DataFrame(schema={CONTACT: pl.String(), HASH: pl.String()})
    survivor = pl.col(CONTACT).replace(dict(known.merged))
    asked = pl.concat([away.select(survivor), away.select(CONTACT)])[CONTACT].unique(maintain_order=True)
    people = _hashes(standing, asked, known.secret).drop_nulls(HASH)
    people = people.sort(pl.col(CONTACT) != survivor, maintain_order=True).with_columns(survivor)
    noted = away.select(survivor, pl.col("wanted_hash").alias(HASH)).drop_nulls(HASH)
    return pl.concat([people, noted.filter(~pl.col(CONTACT).is_in(people[CONTACT].implode()))]).unique(maintain_order=True)


def _told(
    workspace: LoadedWorkspace,
    standing: Standing,
    sync: Sync,
    step: Step,
    people: pl.DataFrame,
    elsewhere: Elsewhere,
    back: Collection[str],
) -> pl.DataFrame:
    """The rows to write, those that are open with what is to be told and their ids; of whom `back` are added as `comes_back` says."""
    frame = step.written
    due = frame.filter(pl.col("action").is_not_null())
    if not due.height:
        return frame
    joining = due.filter(pl.col("action") != REMOVE)
    consents = standing.consents.get(sync.config.destination)
    texts = payloads(people, joining[CONTACT], sync.config.fields, consents)
    told = dict(zip(joining[CONTACT].to_list(), texts, strict=True))
    for contact in elsewhere.sharing(joining.filter(pl.col("wanted_hash").ne_missing(pl.col("address_hash")))):
        told[contact] = dumps({**json.loads(told[contact]), SHARED_NAME: True})
    for contact in due.filter(pl.col("action") == ADD, pl.col(CONTACT).is_in(list(back)))[CONTACT] if back else ():
        told[contact] = comes_back(told[contact])
    parts = (workspace.environment, *sync.key, standing.kind)
    ids = [
        change_id(workspace.config.id, (*parts, contact, action, opened))
        for contact, action, opened in due.select(CONTACT, "action", "opened").iter_rows()
    ]
    told |= _leaving(standing, due.filter(pl.col("action") == REMOVE), people, elsewhere)
    due = due.with_columns(
        pl.Series("payload", [told[contact] for contact in due[CONTACT]], pl.String()), pl.Series("change", ids, pl.String())
    )
    return pl.concat([frame.filter(pl.col("action").is_null()), due])


def comes_back(payload: str) -> str:
    """A payload, with the mark that somebody said so: who is not there at all any more is put in all the same."""
    return dumps({**json.loads(payload), ANEW: True})


def _said_to_come_back(rows: pl.DataFrame) -> set[str]:
    """Who is to be added because somebody said so, and is not yet: that holds also where what is told of them changes meanwhile."""
    alike = rows.filter(pl.col("action") == ADD, pl.col("payload").str.contains(COMES_BACK, literal=True).fill_null(value=False))
    return {contact for contact, payload in alike.select(CONTACT, "payload").iter_rows() if marked(payload, ANEW)}


def _leaving(standing: Standing, rows: pl.DataFrame, people: pl.DataFrame, elsewhere: Elsewhere) -> dict[str, str]:
    """The payloads of removals: nothing is told of who goes but the address, where it is still the one that was acknowledged.

    Of who was perhaps added it is the one that was told then, which is what finds them.
    Of whose address may have been changed there, by this sync or another, it is the new one, unless one of the people who should be
    there has it.
    """
    if not rows.height:
        return {}
    snapshot, secret = standing.snapshot, elsewhere.known.secret
    addresses: dict[str, str | None] = {}
    if snapshot.email is not None:
        found = snapshot.rows(rows[CONTACT].cast(standing.keys.dtype, strict=False).drop_nulls(), [snapshot.email])
        keys, written = found[snapshot.key].cast(pl.String()), found[snapshot.email].cast(pl.String())
        addresses = {key: normalised_address(address) for key, address in zip(keys, written, strict=True)}
    moved = elsewhere.moved(rows[CONTACT].to_list())
    staying = people.filter(~pl.col(CONTACT).is_in(rows[CONTACT].implode()))  # who goes claims nothing, though in the segment
    claimed = set(staying[ADDRESS].drop_nulls()) if moved or rows["maybe"].any() else set()
    texts = {}
    known = rows.select(CONTACT, "state", "address_hash", "remote_id", "payload", "maybe")
    for contact, state, acknowledged, name, kept, maybe in known.iter_rows():
        address = addresses.get(contact)
        same = address is not None and address_hash(secret, address) == acknowledged
        said = address if same or acknowledged is None else None
        perhaps = kept if kept is not None and maybe else moved.get((contact, name))
        if kept is not None and (acknowledged is None or state != MEMBER):  # what was told when it was perhaps added
            texts[contact] = leaving(kept)
            continue
        if perhaps is not None:  # or perhaps changed
            told = json.loads(perhaps)["address"]
            said = told if told is not None and told not in claimed else said
        texts[contact] = dumps({"address": said, "fields": {}})
    return texts


def leaving(told: str) -> str:
    """The payload of a removal by what was told before: the address, and whether that was told beside another contact."""
    kept = json.loads(told)
    shared = {SHARED_NAME: True} if SHARED_NAME in kept else {}
    return dumps({"address": kept["address"], "fields": {}, **shared})


def _detached(record: SyncRecord, known: Known) -> SyncDraft:
    """A sync that the files don't say any more: nothing is added or removed, and what is open ends."""
    rows = known.rows(record.id)
    opened = rows.filter(pl.col("action").is_not_null())
    stops = dict.fromkeys(opened.filter(pl.col("lease").is_not_null())[CONTACT].to_list(), "the sync is detached")
    ended = closed(opened.filter(pl.col("lease").is_null()))
    return SyncDraft(
        record.id, *record.key, mode=record.mode, status=DETACHED, answer=record.answer, figures=record.figures, written=ended, stops=stops
    )
