"""What becomes of rows that have not ended when a membership is accepted: who left, is suppressed or gone is not told any more.

It happens inside the run's own commit, so whoever sends needs only to see that a row is still due: that is the check
against the current accepted run. A row under way can't be called back; it gets a `stop`, which is seen before the next request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from segmentry.engine.enrolling import DELIVERABLE, Outcome
from segmentry.engine.people import ADDRESS, CONTACT, FIELD, HASH, POSITION, SUPPRESSED, People, locate
from segmentry.engine.state.activated import Settlement

if TYPE_CHECKING:
    from segmentry.engine.activation import Background, Standing
    from segmentry.engine.loading import LoadedWorkspace

WAITS = timedelta(days=30)
"""How long an enrollment waits for an address."""


@dataclass(frozen=True)
class Settled:
    """`rows` end, or change; `stops` are rows under way that must not go any more. `arrived`: the sequences of rows whose address came."""

    rows: Sequence[Settlement]
    stops: dict[str, str]
    arrived: pl.Series
    _sequences: dict[str, str]
    told: dict[str, str] = field(default_factory=dict)
    """The payloads that rows have now: by an address that is another meanwhile, a destination would take a person back to it."""

    def holding(self, held: set[str]) -> Settled:
        """The same, with rows that would become due held where their sequence is."""
        due = str(Outcome.PENDING)
        rows = [
            replace(one, outcome=str(Outcome.HELD), reason="the sequence is held by its guard", pending_since=None)
            if one.outcome == due and self._sequences.get(one.id) in held
            else one
            for one in self.rows
        ]
        return replace(self, rows=rows)


def concerned(standing: Standing, background: Background) -> pl.Series:
    """The positions of everybody with an open row."""
    keys = background.past.keys_of(background.open_rows["person"].unique().to_list())["contact"]
    return locate(standing.keys, keys.cast(standing.keys.dtype, strict=False).drop_nulls())


def unagreed(workspace: LoadedWorkspace, standing: Standing, background: Background, people: People) -> list[str]:
    """The open rows that tell that a contact has agreed, of those who don't any more."""
    rows = background.open_rows.filter(pl.col("consents"))
    if not rows.height:
        return []
    rows = rows.with_columns(_keys(standing, background, rows["person"]))
    known = rows.join(people.frame.select(CONTACT, POSITION), left_on="key", right_on=CONTACT, how="left", maintain_order="left")
    found = []
    for identity, sequence, position in known.select("id", "sequence", POSITION).iter_rows():
        policy = workspace.config.sequences.get(sequence)
        agreed = None if policy is None else standing.consents.get(policy.destination)
        if agreed is None or position is None or not agreed[position]:
            found.append(identity)
    return found


def settle(
    workspace: LoadedWorkspace,
    standing: Standing,
    background: Background,
    people: People,
    new: pl.DataFrame,
    *,
    switched: str | None,
) -> Settled:
    """What becomes of the open rows. `new` are the rows that are enrolled now. `switched`: why all open ones are dropped, if so."""
    rows = background.open_rows
    nothing = Settled([], {}, pl.Series("sequence", [], pl.String()), {})
    if not rows.height:
        return nothing
    if switched is not None:
        waiting = rows.filter(pl.col("outcome").is_in([str(outcome) for outcome in DELIVERABLE]))
        return replace(nothing, rows=[Settlement(identity, str(Outcome.DROPPED), switched) for identity in waiting["id"]])
    rows = rows.filter(pl.col("outcome") != str(Outcome.PAUSED))
    rows = rows.with_columns(_keys(standing, background, rows["person"]))
    known = rows.join(people.frame, left_on="key", right_on=CONTACT, how="left", maintain_order="left")
    ends = known.with_columns(_end(workspace, standing, known)).filter(pl.col("end").is_not_null())
    under_way = ends["outcome"] == str(Outcome.SENDING)
    ended = [Settlement(*row) for row in ends.filter(~under_way).select("id", "end", "why").iter_rows()]
    stops = dict(ends.filter(under_way).select("id", "why").iter_rows())
    waiting = known.filter((pl.col("outcome") == str(Outcome.WAITING)) & ~pl.col("id").is_in(ends["id"].implode()))
    arrived, came = _arrivals(workspace, standing, background, people, waiting, new)
    told = _told(workspace, standing, people, known.filter(~pl.col("id").is_in(ends["id"].implode())))
    return Settled([*ended, *arrived], stops, came["sequence"], dict(came.select("id", "sequence").iter_rows()), told)


def _keys(standing: Standing, background: Background, persons: pl.Series) -> pl.Series:
    """The key by which each person is in the snapshot: the surviving one, or a former one while the merge is only announced."""
    known = background.past.keys_of(persons.unique().to_list())
    if known.height == persons.n_unique():
        return persons.alias("key")
    places = locate(standing.keys, known["contact"].cast(standing.keys.dtype, strict=False).drop_nulls())
    there = standing.keys.gather(places).filter(standing.present.gather(places)).cast(pl.String())
    found = known.filter(pl.col("contact").is_in(there.implode())).unique("person", keep="first", maintain_order=True)
    return persons.replace(dict(found.select("person", "contact").iter_rows())).alias("key")


def _end(workspace: LoadedWorkspace, standing: Standing, known: pl.DataFrame) -> list[pl.Series]:
    """For each row what it ends with (`end`), if it ends, and why (`why`)."""
    members, outside = _members(standing, known), _outside(workspace, standing, known)
    enrolls = {(name, policy.sequence) for name, segment in workspace.segments.items() for policy in segment.config.enroll}
    ends: list[str | None] = []
    whys: list[str | None] = []
    columns = ("segment", "sequence", POSITION, SUPPRESSED, "outcome", "as_of")
    rows = known.select(columns).iter_rows()
    for member, out, (segment, sequence, position, suppressed, outcome, as_of) in zip(members, outside, rows, strict=True):
        end, why = None, None
        if segment not in standing.segments:
            end, why = Outcome.WITHDRAWN, "the segment is gone"
        elif (segment, sequence) not in enrolls:
            end, why = Outcome.WITHDRAWN, "the segment does not enroll in the sequence any more"
        elif position is None or not standing.present[position]:
            end, why = Outcome.WITHDRAWN, "gone from the snapshot"
        elif suppressed:
            end, why = Outcome.SUPPRESSED, "suppressed after entry"
        elif out is not None:
            end, why = Outcome.WITHDRAWN, out
        elif not member and workspace.config.sequences[sequence].while_member:
            end, why = Outcome.WITHDRAWN, "left the segment"
        elif outcome == Outcome.WAITING and standing.as_of - as_of > WAITS:
            end, why = Outcome.EXPIRED, "no address came within 30 days"
        ends.append(None if end is None else str(end))
        whys.append(why)
    return [pl.Series("end", ends, pl.String()), pl.Series("why", whys, pl.String())]


def _members(standing: Standing, known: pl.DataFrame) -> list[bool]:
    """Whether each row's contact is in the row's segment."""
    found = [False] * known.height
    numbered = known.select("segment", POSITION).with_row_index("row").drop_nulls(POSITION)
    for (segment,), part in numbered.group_by("segment"):
        if segment in standing.segments:
            inside = standing.member(str(segment)).gather(part[POSITION])
            for row, member in zip(part["row"].to_list(), inside.to_list(), strict=True):
                found[row] = member
    return found


def _outside(workspace: LoadedWorkspace, standing: Standing, known: pl.DataFrame) -> list[str | None]:
    """Of each row whose contact is in no group that is enrolled (any more), why; a group that is not enrolled is sent nothing."""
    found: list[str | None] = [None] * known.height
    chosen = {(name, policy.sequence): policy.split for name, one in workspace.segments.items() for policy in one.config.enroll}
    for (segment, sequence), part in known.select("segment", "sequence", "key").with_row_index("row").group_by("segment", "sequence"):
        groups = chosen.get((str(segment), str(sequence)))
        if groups is not None:
            for row, group in zip(part["row"].to_list(), standing.groups(str(segment), part["key"]).to_list(), strict=True):
                if group not in groups:
                    found[row] = "in no group of the split now" if group is None else f"in the group {group} now"
    return found


def _told(workspace: LoadedWorkspace, standing: Standing, people: People, known: pl.DataFrame) -> dict[str, str]:
    """What a destination is to be told of rows that go on, as the snapshot has it now; of who has no address any more, as before."""
    waits = [str(outcome) for outcome in (Outcome.PENDING, Outcome.HELD)]
    going = known.filter(pl.col("outcome").is_in(waits), pl.col(ADDRESS).is_not_null())
    found: dict[str, str] = {}
    for (sequence,), part in going.group_by("sequence", maintain_order=True):
        policy = workspace.config.sequences.get(str(sequence))
        if policy is not None and all(FIELD + column in people.frame.columns for column in policy.fields.values()):
            payloads = people.payloads(part["key"].alias(CONTACT), policy.fields, standing.consents.get(policy.destination))
            found |= dict(zip(part["id"].to_list(), payloads, strict=True))
    return found


def _arrivals(
    workspace: LoadedWorkspace, standing: Standing, background: Background, people: People, waiting: pl.DataFrame, new: pl.DataFrame
) -> tuple[list[Settlement], pl.DataFrame]:
    """Waiting rows whose address has come: due, unless somebody else in the sequence has it. Those that become due, too."""
    came = waiting.filter(pl.col(ADDRESS).is_not_null()) if waiting.height else waiting
    stamp = standing.now.isoformat(timespec="microseconds")
    settled: list[Settlement] = []
    due: list[str] = []
    for (sequence,), part in came.group_by("sequence", maintain_order=True):
        now = new.filter(pl.col("sequence") == sequence).select(HASH, "person").drop_nulls()
        others = pl.concat([background.past.addresses(str(sequence), part[HASH].unique().to_list()), now])
        taken: dict[str, set[str]] = {}
        for hashed, person in others.iter_rows():
            taken.setdefault(hashed, set()).add(person)
        policy = workspace.config.sequences[str(sequence)]
        payloads = people.payloads(part["key"].alias(CONTACT), policy.fields, standing.consents.get(policy.destination))
        seen: dict[str, str] = {}
        for (identity, person, hashed), payload in zip(part.select("id", "person", HASH).iter_rows(), payloads, strict=True):
            first = seen.setdefault(hashed, person)
            if first != person or taken.get(hashed, set()) - {person}:
                why = "another contact with this address is in the sequence"
                settled.append(Settlement(identity, str(Outcome.DUPLICATE), why, address_hash=hashed))
            else:
                settled.append(Settlement(identity, str(Outcome.PENDING), None, payload, hashed, stamp))
                due.append(identity)
    return settled, came.filter(pl.col("id").is_in(due)).select("id", "sequence") if due else came.head(0).select("id", "sequence")
