"""What all syncs to a destination know of one sync's contacts: what they are called there, where they may be, who else is called so.

A person at a destination may be several contacts, in syncs of their own: who has an address with others leaves there for all of them, and
gets another address there for nobody but all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from segmentry.engine.people import CONTACT
from segmentry.engine.state.synced import ADD, MEMBER, SyncRecord


@dataclass(frozen=True)
class Known:
    """What the state says of syncs: those there are, by present names, and each one's rows.

    `left` and `away`: the address hashes, and the contacts as `synced.LAST_SEEN`, that left there by some syncs. The others are asked for
    some syncs to one destination. `called`: what it calls contacts, as `synced.called`; `moved`: what was told of whom, whose address was
    perhaps changed, as `synced.perhaps_moved`; `namesakes`: who is called by some names, as `synced.namesakes`.
    """

    records: Sequence[SyncRecord]
    rows: Callable[[int], pl.DataFrame]
    left: Callable[[Sequence[int]], pl.Series]
    away: Callable[[Sequence[int]], pl.DataFrame]
    called: Callable[[Sequence[int], Sequence[str]], pl.DataFrame]
    moved: Callable[[Sequence[int], Sequence[str]], Mapping[tuple[str, str], str]]
    namesakes: Callable[[Sequence[int], Sequence[str]], pl.DataFrame]
    secret: str
    merged: Mapping[str, str] = field(default_factory=dict)

    def left_target(self, key: tuple[str, str, str]) -> tuple[pl.Series, pl.DataFrame]:
        """Who left what a sync is in step with, by whichever sync to it: address hashes, and the contacts that other syncs know of."""
        same = {one.id: one.key for one in self.records if one.key[1:] == key[1:]}
        return self.left(list(same)), self.away([number for number, other in same.items() if other != key])


@dataclass(frozen=True)
class Elsewhere:
    """The syncs to one sync's destination, and who is in the snapshot of contacts that have rows of one (`present`, text)."""

    known: Known
    destination: str
    key: tuple[str, str, str]
    present: Callable[[pl.Series], pl.Series]

    @property
    def _all(self) -> list[int]:
        return [one.id for one in self.known.records if one.destination == self.destination]

    @property
    def _others(self) -> list[int]:
        return [one.id for one in self.known.records if one.destination == self.destination and one.key != self.key]

    def called(self, written: pl.DataFrame) -> pl.DataFrame:
        """Who comes in, by the name that other syncs know: who left there under a former address is not to come under a new one.

        Also by a name that others have too, which is only looked at then.
        """
        strange = (pl.col("action") == ADD).fill_null(value=False) & pl.col("remote_id").is_null()
        contacts = written.filter(strange)[CONTACT]
        if not self._others or not contacts.len():
            return written
        named = set(contacts)
        former = [key for key, survivor in self.known.merged.items() if survivor in named]
        called = self.known.called(self._others, [*contacts, *former]).with_columns(pl.col(CONTACT).replace(dict(self.known.merged)))
        called = called.unique(CONTACT, keep="last", maintain_order=True)
        found = written.select(CONTACT).join(called, on=CONTACT, how="left", maintain_order="left")
        return written.with_columns(
            pl.when(strange & found[name].is_not_null()).then(found[name]).otherwise(pl.col(name)).alias(name)
            for name in ("remote_id", "address_hash", "former_ids")
        )

    def moved(self, contacts: Sequence[str]) -> Mapping[tuple[str, str], str]:
        """What other syncs told of contacts, whose address they may have changed by it: by contact and former remote id."""
        return self.known.moved(self._others, contacts) if self._others and contacts else {}

    def sharing(self, rows: pl.DataFrame) -> pl.Series:
        """Those of some contacts (`contact`, `remote_id`) whose name there is another contact's too.

        Of a contact that is gone only if it is a member of something, or may be: who has another key now is no other person.
        """
        rows = rows.select(CONTACT, "remote_id").drop_nulls()
        if not rows.height:
            return rows[CONTACT]
        theirs = self.known.namesakes(self._all, rows["remote_id"].unique().to_list())
        there = theirs[CONTACT].is_in(self.present(theirs[CONTACT].unique()).implode())
        theirs = theirs.filter(there | (pl.col("state") == MEMBER) | pl.col("maybe"))
        person = pl.col(CONTACT).replace(dict(self.known.merged))  # also of a key that is in the snapshot still, though merged
        theirs = theirs.select(person.alias("other"), "remote_id").unique()
        both = rows.join(theirs, on="remote_id", how="inner", maintain_order="left").filter(person != pl.col("other"))
        return both[CONTACT].unique(maintain_order=True)
