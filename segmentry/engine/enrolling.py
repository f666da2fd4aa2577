"""Who is enrolled: entries and policies in, ledger rows out, and for each entry without a row the reason.

Nothing here reads or writes the state: what is known of the past comes as frames, through `Past`. Keys are text here.
The decision, for each entry and each sequence of its segment, is the first of these that holds:

    erased            the contact was forgotten                             no row
    this run          the person is enrolled in the sequence already        no row
    cause             the cause of the entry does not enroll                baseline, if it is not that already
    again             enrolled, or baseline, before; not due again          no row
    else              the next number, with the first outcome that holds:
                      late, suppressed, duplicate_address, holdout, paused, waiting, held, pending
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import polars as pl

from segmentry.engine.config import parse_length
from segmentry.engine.config_activation import AgainAfter, EnrollConfig

INSTANT = pl.Datetime("us", "UTC")
BACKFILL = "backfill"
"""The cause of a row for who was in already when a sequence with `backfill: true` was attached."""


class Outcome(StrEnum):
    """What became of a ledger row, up to now."""

    BASELINE = "baseline"
    HELD = "held"
    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    WAITING = "waiting"
    SUPPRESSED = "suppressed"
    PAUSED = "paused"
    LATE = "late"
    DUPLICATE = "duplicate_address"
    HOLDOUT = "holdout"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    DROPPED = "dropped"


OPEN = (Outcome.HELD, Outcome.PENDING, Outcome.SENDING, Outcome.WAITING)
"""Outcomes that a later run may still turn into another."""

DELIVERABLE = (Outcome.HELD, Outcome.PENDING, Outcome.WAITING, Outcome.PAUSED)
"""Outcomes of new rows that may one day be sent, and so need a payload."""

ENTRIES = pl.Schema({"contact": pl.String(), "cause": pl.String()})
ROWS = pl.Schema(
    {
        "sequence": pl.String(),
        "segment": pl.String(),
        "contact": pl.String(),
        "person": pl.String(),
        "number": pl.Int32(),
        "cause": pl.String(),
        "outcome": pl.String(),
        "reason": pl.String(),
        "address_hash": pl.String(),
    }
)


@dataclass(frozen=True)
class Pair:
    """A segment and a sequence that it enrolls in."""

    segment: str
    sequence: str
    policy: EnrollConfig
    needs_address: bool = False
    paused: str | None = None
    """Why nothing is sent now, if so."""


class Past(Protocol):
    """What the ledger knows of some persons."""

    def numbered(self, sequence: str, persons: Sequence[str]) -> pl.DataFrame:
        """`person`, `number` (the last), `last` and `first` (as_of) of those who have one."""

    def baselined(self, segment: str, sequence: str, persons: Sequence[str]) -> pl.DataFrame:
        """`person`, `since` (as_of) of those who are baseline in this pair."""

    def addresses(self, sequence: str, hashes: Sequence[str]) -> pl.DataFrame:
        """`address_hash`, `person` of rows of the sequence, baseline rows too, with one of these hashes."""

    def erased(self, persons: Sequence[str]) -> set[str]:
        """Those who were forgotten."""


@dataclass(frozen=True)
class Circumstances:
    """What holds for all entries of a run.

    `persons` maps keys (text) to surviving keys; `suppressed` tells, for keys, who is; `hashes` gives keys' address hashes
    (null where there is no address). `late` and `baseline_only`: why nobody is enrolled, if so.
    """

    as_of: datetime
    persons: Callable[[pl.Series], pl.Series]
    suppressed: Callable[[pl.Series], pl.Series]
    hashes: Callable[[pl.Series], pl.Series]
    late: str | None = None
    baseline_only: str | None = None
    groups: Callable[[str, pl.Series], pl.Series] | None = None
    """The group that contacts are in, of a segment that is divided; null where in none."""


@dataclass
class Enrolling:
    """One run's decisions, pair after pair; `rows` and `skipped` grow with each."""

    past: Past
    now: Circumstances
    rows: list[pl.DataFrame] = field(default_factory=list)
    skipped: list[pl.DataFrame] = field(default_factory=list)
    _enrolled: dict[str, pl.DataFrame] = field(default_factory=dict)
    _addresses: dict[str, pl.DataFrame] = field(default_factory=dict)

    def enroll(self, pair: Pair, entries: pl.DataFrame) -> None:
        """Decides for entries (`contact`, `cause`, in the order that decides between two of one address) of a pair's segment."""
        if not entries.height:
            return
        known = self._known(pair, entries)
        decided = known.with_columns(_decision(pair, self.now).alias("decision"))
        decided = decided.with_columns(reason=_why(pair, self.now))
        skip = decided.filter(pl.col("decision") == "skip")
        if skip.height:
            self._skip(pair, skip)
        self._baseline(pair, decided.filter(pl.col("decision") == "baseline"))
        self._enroll(pair, decided.filter(pl.col("decision") == "enroll"))

    def attach(self, pair: Pair, contacts: pl.Series, known: pl.Series) -> None:
        """Makes these contacts baseline of a pair; `known` are those who are already."""
        fresh = contacts.filter(~contacts.is_in(known.implode())) if len(known) else contacts
        frame = pl.DataFrame({"contact": fresh}).with_columns(cause=pl.lit("attached"), reason=pl.lit(None, pl.String()))
        self._baseline(pair, frame.with_columns(person=self.now.persons(fresh)))

    def backfill(self, pair: Pair, contacts: pl.Series) -> pl.Series:
        """Enrolls those who are in when a pair with `backfill` is attached; gives back whom it did not, for the baseline."""
        done = len(self.rows)
        entries = pl.DataFrame({"contact": contacts}).with_columns(cause=pl.lit(BACKFILL))
        policy = pair.policy.model_copy(update={"on": [BACKFILL]})
        self.enroll(Pair(pair.segment, pair.sequence, policy, pair.needs_address, pair.paused), entries)
        enrolled = [frame["contact"] for frame in self.rows[done:]]
        return contacts.filter(~contacts.is_in(pl.concat(enrolled).implode())) if enrolled else contacts

    def _known(self, pair: Pair, entries: pl.DataFrame) -> pl.DataFrame:
        """The entries with what is known of each person."""
        frame = entries.select("contact", "cause").with_columns(person=self.now.persons(entries["contact"]))
        persons = frame["person"].to_list()
        numbered = self.past.numbered(pair.sequence, persons)
        baselined = self.past.baselined(pair.segment, pair.sequence, persons)
        frame = frame.join(numbered, on="person", how="left", maintain_order="left")
        frame = frame.join(baselined, on="person", how="left", maintain_order="left")
        in_run = self._enrolled.get(pair.sequence)
        if in_run is None:
            frame = frame.with_columns(through=pl.lit(None, pl.String()))
        else:
            frame = frame.join(in_run, on="person", how="left", maintain_order="left")
        gone = self.past.erased(persons)
        return frame.with_columns(erased=pl.col("person").is_in(list(gone)), twice=~pl.col("person").is_first_distinct())

    def _skip(self, pair: Pair, frame: pl.DataFrame) -> None:
        told = frame.select(pl.lit(pair.segment).alias("segment"), pl.lit(pair.sequence).alias("sequence"), "contact", "reason")
        self.skipped.append(told)

    def _baseline(self, pair: Pair, frame: pl.DataFrame) -> None:
        if frame.height:
            rows = frame.with_columns(
                number=pl.lit(0, pl.Int32()), outcome=pl.lit(str(Outcome.BASELINE)), address_hash=self.now.hashes(frame["contact"])
            )
            self._keep(pair, rows)

    def _enroll(self, pair: Pair, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        rows = frame.with_columns(
            number=(pl.col("number").fill_null(0) + 1).cast(pl.Int32()),
            address_hash=self.now.hashes(frame["contact"]),
            suppressed=self.now.suppressed(frame["contact"]),
        )
        rows = rows.with_columns(duplicate=self._duplicates(pair, rows), group=self._groups(pair, frame["contact"]))
        rows = rows.with_columns(outcome=_outcome(pair, self.now)).with_columns(reason=_outcome_reason(pair, self.now))
        self._keep(pair, rows)
        in_run = rows.select("person", pl.lit(pair.segment).alias("through"))
        before = self._enrolled.get(pair.sequence)
        self._enrolled[pair.sequence] = in_run if before is None else pl.concat([before, in_run])

    def _keep(self, pair: Pair, rows: pl.DataFrame) -> None:
        named = rows.with_columns(segment=pl.lit(pair.segment), sequence=pl.lit(pair.sequence))
        kept = named.select(ROWS.names()).cast(ROWS)
        self.rows.append(kept)
        hashes = kept.filter(pl.col("outcome") != str(Outcome.DUPLICATE)).select("address_hash", "person").drop_nulls()
        before = self._addresses.get(pair.sequence)
        self._addresses[pair.sequence] = hashes if before is None else pl.concat([before, hashes])

    def _groups(self, pair: Pair, contacts: pl.Series) -> pl.Series:
        """The group of each contact, where the pair enrolls some groups only."""
        if pair.policy.split is None or self.now.groups is None:
            return pl.repeat(None, len(contacts), dtype=pl.String(), eager=True)
        return self.now.groups(pair.segment, contacts)

    def _duplicates(self, pair: Pair, rows: pl.DataFrame) -> pl.Series:
        """Whether somebody else in the sequence has the row's address: in the ledger, earlier in this run, or earlier in this frame."""
        mine = rows.select("address_hash", "person").with_row_index("row").drop_nulls("address_hash")
        hashes = mine["address_hash"].unique(maintain_order=True).to_list()
        known = [self.past.addresses(pair.sequence, hashes)]
        if pair.sequence in self._addresses:
            known.append(self._addresses[pair.sequence])
        theirs = pl.concat(known).unique()
        taken = mine.join(theirs, on="address_hash", suffix="_other").filter(pl.col("person") != pl.col("person_other"))["row"]
        free = mine.filter(~pl.col("row").is_in(taken.implode()))  # whose address is somebody else's takes it from nobody
        first = free.with_columns(first=pl.col("person").first().over("address_hash"))
        later = first.filter(pl.col("person") != pl.col("first"))["row"]
        found = set(taken.to_list()) | set(later.to_list())
        return pl.Series("duplicate", [row in found for row in range(rows.height)], pl.Boolean())


def _decision(pair: Pair, now: Circumstances) -> pl.Expr:
    enrolls = pl.lit(now.baseline_only is None) & pl.col("cause").is_in(list(pair.policy.on))
    return (
        pl.when(pl.col("erased") | pl.col("through").is_not_null() | pl.col("twice"))
        .then(pl.lit("skip"))
        .when(~enrolls)
        .then(pl.when(pl.col("since").is_null()).then(pl.lit("baseline")).otherwise(pl.lit("skip")))
        .when(_due(pair.policy, now.as_of))
        .then(pl.lit("enroll"))
        .otherwise(pl.lit("skip"))
    )


def _due(policy: EnrollConfig, as_of: datetime) -> pl.Expr:
    """Whether an entry enrolls by the policy's `again`."""
    if policy.again == "every time":
        return pl.lit(value=True)
    if isinstance(policy.again, AgainAfter):
        latest = pl.coalesce("last", "since")
        return latest.is_null() | (pl.lit(as_of).cast(INSTANT) - latest >= pl.lit(parse_length(policy.again.after)))
    return pl.col("number").is_null() & pl.col("since").is_null()


def _why(pair: Pair, now: Circumstances) -> pl.Expr:
    """Why an entry has no row, or is baseline."""
    day = "%Y-%m-%d"
    again = pair.policy.again
    wait = parse_length(again.after) if isinstance(again, AgainAfter) else timedelta()
    due = pl.lit(", again due ") + (pl.coalesce("last", "since") + pl.lit(wait)).dt.strftime(day) if wait else pl.lit("")
    return (
        pl.when(pl.col("erased"))
        .then(pl.lit("forgotten before"))
        .when(pl.col("through").is_not_null())
        .then(pl.lit("enrolled in this run through ") + pl.col("through"))
        .when(pl.col("twice"))
        .then(pl.lit("entered in this run under another key of the same contact"))
        .when(pl.lit(now.baseline_only is not None))
        .then(pl.lit(now.baseline_only or ""))
        .when(~pl.col("cause").is_in(list(pair.policy.on)))
        .then(pl.lit("the cause ") + pl.col("cause") + pl.lit(" does not enroll"))
        .when(pl.col("last").is_not_null())
        .then(pl.lit("enrolled ") + pl.col("last").dt.strftime(day) + due)
        .when(pl.col("since").is_not_null())
        .then(pl.lit("in the baseline since ") + pl.col("since").dt.strftime(day) + due)
    )


def _outcome(pair: Pair, now: Circumstances) -> pl.Expr:
    return (
        pl.when(pl.lit(now.late is not None))
        .then(pl.lit(str(Outcome.LATE)))
        .when(pl.col("suppressed"))
        .then(pl.lit(str(Outcome.SUPPRESSED)))
        .when(pl.col("duplicate"))
        .then(pl.lit(str(Outcome.DUPLICATE)))
        .when(_held_out(pair))
        .then(pl.lit(str(Outcome.HOLDOUT)))
        .when(pl.lit(pair.paused is not None))
        .then(pl.lit(str(Outcome.PAUSED)))
        .when(pl.col("address_hash").is_null() & pl.lit(pair.needs_address))
        .then(pl.lit(str(Outcome.WAITING)))
        .otherwise(pl.lit(str(Outcome.PENDING)))
    )


def _outcome_reason(pair: Pair, now: Circumstances) -> pl.Expr:
    words = {
        str(Outcome.LATE): now.late,
        str(Outcome.SUPPRESSED): "suppressed at entry",
        str(Outcome.DUPLICATE): "another contact with this address is in the sequence",
        str(Outcome.PAUSED): pair.paused,
        str(Outcome.WAITING): "no address",
    }
    told = {outcome: reason for outcome, reason in words.items() if reason is not None}
    group = pl.coalesce(pl.lit("in the group ") + pl.col("group"), pl.lit("in no group of the split"))
    why = pl.col("outcome").replace_strict(told, default=None, return_dtype=pl.String())
    return pl.when(pl.col("outcome") == str(Outcome.HOLDOUT)).then(group).otherwise(why)


def _held_out(pair: Pair) -> pl.Expr:
    """Whether a contact is in a group that the pair does not enroll, or in none where it enrolls some."""
    if pair.policy.split is None:
        return pl.lit(value=False)
    return ~pl.col("group").is_in(pair.policy.split).fill_null(value=False)
