"""Who is in a target by what its destination says, against whom a sync added and whom it should have. Pages in, rows to mend out.

    there, and ours                                   as known
    ours, and not there any more                      left: never put back
    should be there, is, and was not known to be      a member from now on, of whom only membership is known
    there, and not ours                               put in by hand: let be

Who is who is told by the destination's own id, by the address, and by the contact's key where the destination was told it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from segmentry.engine.connectors.syncing import Member
from segmentry.engine.identity import address_hash, normalised_address
from segmentry.engine.people import CONTACT, HASH
from segmentry.engine.state.synced import AWAY, BASELINE, MEMBER, OUT, ROWS
from segmentry.engine.sync_rows import closed

SETTLES = timedelta(minutes=10)
"""How long after an acknowledgement a destination may not say yet that somebody is there."""

AT_ONCE = 50_000
"""Members that are looked up together."""

NOT_THERE = "it was not in there any more when that was read"

MEMBERS = pl.Schema({"remote_id": pl.String(), HASH: pl.String(), CONTACT: pl.String(), "status": pl.String()})


@dataclass(frozen=True)
class Differences:
    """What a reading came to. `missing` and `found` are rows to write, as `ROWS`; `left` address hashes that stay out."""

    there: int
    acknowledged: int
    by_hand: int
    unsettled: int
    missing: pl.DataFrame
    found: pl.DataFrame

    @property
    def left(self) -> list[str]:
        """The addresses of who left."""
        return self.missing["address_hash"].drop_nulls().unique().sort().to_list()


@dataclass
class Comparison:
    """One sync against what is read. `rows` as `ROWS`; `people` (`contact`, `address_hash`) should be there; `barred` hashes left."""

    rows: pl.DataFrame
    people: pl.DataFrame
    barred: pl.Series
    secret: str
    now: datetime
    _there: int = 0
    _acknowledged: int = 0
    _seen: list[pl.Series] = field(default_factory=list)
    _found: list[pl.DataFrame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ours = self.rows.filter(pl.col("state") == MEMBER)
        kept = self.rows.filter(pl.col("state").is_in([AWAY, BASELINE]) | pl.col("left_before").fill_null(value=False))[CONTACT]
        named = self.people.filter(~pl.col(CONTACT).is_in(kept.implode()))
        self._wanted = named.filter(~pl.col(HASH).is_in(self.barred.implode()).fill_null(value=False))

    @property
    def members(self) -> int:
        """How many are acknowledged as members."""
        return self._ours.height

    def read(self, pages: Iterable[Sequence[Member]]) -> Differences:
        """Reads every page, so many members at once. Raises what the pages raise."""
        waiting: list[Member] = []
        for page in pages:
            waiting += page
            if len(waiting) >= AT_ONCE:
                self._take(waiting)
                waiting = []
        self._take(waiting)
        return self._differences()

    def _take(self, members: Sequence[Member]) -> None:
        rows = [(one.remote_id, address_hash(self.secret, normalised_address(one.address)), one.contact, one.status) for one in members]
        frame = pl.DataFrame(rows, schema=MEMBERS, orient="row")
        # a key at a person who is known as another contact says nothing of its own
        known = pl.col("remote_id").is_in(self._ours["remote_id"].drop_nulls().implode())
        frame = frame.with_columns(pl.when(~known).then(CONTACT).alias(CONTACT))
        self._there += frame.height
        hit = _any_of(frame, self._ours)
        self._acknowledged += int(hit.sum())
        self._seen.append(self._ours.filter(_any_of(self._ours, frame))[CONTACT])
        self._found.append(self._recognised(frame.filter(~hit)))

    def _recognised(self, others: pl.DataFrame) -> pl.DataFrame:
        """Of members who are not known to be ours those who should be there: whose key they have, else whose address."""
        told = others.select("remote_id", HASH, CONTACT, "status")
        by_key = told.drop_nulls(CONTACT).join(self._wanted.select(CONTACT), on=CONTACT, how="semi")
        rest = told.join(by_key.select("remote_id"), on="remote_id", how="anti").drop(CONTACT).drop_nulls(HASH)
        owners = self._wanted.drop_nulls(HASH).sort(CONTACT).unique(HASH, keep="first", maintain_order=True)
        by_address = rest.join(owners, on=HASH, how="inner").select(told.columns)
        return pl.concat([by_key, by_address])

    # ------------------------------------------------------------ what it comes to

    def _differences(self) -> Differences:
        seen = pl.concat([pl.Series(CONTACT, [], pl.String()), *self._seen]).unique()
        found = pl.concat([pl.DataFrame(schema=MEMBERS), *self._found]).unique(CONTACT, keep="first", maintain_order=True)
        found = found.filter(~pl.col(CONTACT).is_in(seen.implode()))
        busy = self.rows.filter(pl.col("lease").is_not_null())[CONTACT]
        ready = found.filter(~pl.col(CONTACT).is_in(busy.implode()))
        gone = self._ours.filter(~pl.col(CONTACT).is_in(pl.concat([seen, found[CONTACT]]).implode()))
        recent = pl.col("changed") > (self.now - SETTLES).isoformat(timespec="microseconds")
        by_us = pl.col("perhaps_out").fill_null(value=False)
        missing = gone.filter(pl.col("lease").is_null(), ~recent, ~by_us)
        unsettled = gone.height - missing.height + found.height - ready.height
        by_hand = self._there - self._acknowledged - found.height
        return Differences(self._there, self._acknowledged, by_hand, unsettled, self._away(missing), self._members(ready))

    def _away(self, rows: pl.DataFrame) -> pl.DataFrame:
        return _sure(closed(rows).with_columns(pl.lit(AWAY).alias("state"), pl.lit(NOT_THERE).alias("reason")))

    def _members(self, found: pl.DataFrame) -> pl.DataFrame:
        """The rows of who is a member from now on; what the destination knows of them is not known, and is told again."""
        known = found.join(self.rows, on=CONTACT, how="left", maintain_order="left", suffix="_known")
        new = {"revision": -1, "state": OUT, "attempts": 0, "maybe": False}
        frame = known.select(pl.col(name).fill_null(new[name]) if name in new else pl.col(name) for name in ROWS)
        members = closed(frame).with_columns(
            pl.lit(MEMBER).alias("state"),
            pl.lit(None, pl.String()).alias("fingerprint"),
            pl.lit(None, pl.String()).alias("reason"),
            pl.lit(None, pl.String()).alias("refused"),
            known["status"].alias("remote_status"),
            pl.coalesce(pl.col(HASH), known[f"{HASH}_known"]).alias(HASH),
        )
        return _sure(members)


def _sure(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, of which it was seen what became of what was asked."""
    return rows.with_columns(pl.lit(value=False).alias("maybe"), pl.lit(None, pl.Boolean()).alias("perhaps_out")).select(ROWS.names())


def _any_of(frame: pl.DataFrame, others: pl.DataFrame) -> pl.Series:
    """Of each row whether one of the others has its remote id, its address hash, or its key."""
    same = (pl.col(name).is_in(others[name].drop_nulls().implode()).fill_null(value=False) for name in ("remote_id", HASH, CONTACT))
    return frame.select(pl.any_horizontal(*same).alias("same"))["same"]
