"""What the ledger knows of persons, read from the catalog and the ledger's files: the `Past` that enrolling asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from sqlalchemy import Connection

from segmentry.engine.state import ledger
from segmentry.engine.state.erasure import keyed_hash

SINCE = pl.Schema({"person": pl.String(), "since": ledger.INSTANT})
ADDRESSES = pl.Schema({"address_hash": pl.String(), "person": pl.String()})


@dataclass(frozen=True)
class LedgerPast:
    """`aliases` maps merged keys to surviving ones; `segments` and `sequences` map present names to those had before.

    `known_as` maps names that sequences get in this very run to the ones that the catalog still has.
    """

    root: Path
    connection: Connection
    secret: str
    aliases: Mapping[str, str]
    segments: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sequences: Mapping[str, Sequence[str]] = field(default_factory=dict)
    known_as: Mapping[str, str] = field(default_factory=dict)

    def numbered(self, sequence: str, persons: Sequence[str]) -> pl.DataFrame:
        keys = self.keys_of(persons)  # a merge that comes with this very run is not in the catalog yet
        found = ledger.numbered(self.connection, self._known_as(sequence), keys["contact"].to_list())
        of_persons = found.rename({"person": "contact"}).join(keys, on="contact", how="inner")
        return of_persons.group_by("person").agg(pl.col("number", "last").max(), pl.col("first").min())

    def baselined(self, segment: str, sequence: str, persons: Sequence[str]) -> pl.DataFrame:
        return self._since(segment, sequence, self.keys_of(persons))

    def all_baselined(self, segment: str, sequence: str) -> pl.Series:
        """Every key that is baseline in a pair, as text."""
        frames = [frame.select("contact") for frame in self._baseline(sequence, segment)]
        return pl.concat(frames).collect()["contact"] if frames else pl.Series("contact", [], pl.String())

    def all_enrolled(self, segment: str, sequence: str) -> pl.Series:
        """Every key that a segment ever enrolled in a sequence, and the surviving keys of those, as text."""
        segments = (segment, *self.segments.get(segment, ()))
        keys = ledger.enrolled_through(self.connection, segments, self._known_as(sequence))
        return pl.concat([keys, self.persons(keys)]).unique()

    def addresses(self, sequence: str, hashes: Sequence[str]) -> pl.DataFrame:
        wanted = pl.LazyFrame({"address_hash": pl.Series(list(hashes), dtype=pl.String())})
        enrolled = ledger.enrolled_addresses(self.connection, self._known_as(sequence), hashes).select(ADDRESSES.names())
        found = [enrolled.with_columns(person=self.persons(enrolled["person"]))]
        for frame in self._baseline(sequence):
            hits = frame.select("address_hash", pl.col("contact").alias("person")).join(wanted, on="address_hash", how="semi").collect()
            found.append(hits.with_columns(person=self.persons(hits["person"])))
        return pl.concat(found).unique()

    def erased(self, persons: Sequence[str]) -> set[str]:
        if not ledger.anybody_erased(self.connection):
            return set()
        by_hash = {keyed_hash(self.secret, person): person for person in persons}
        return {by_hash[value] for value in ledger.erased(self.connection, list(by_hash))}

    def persons(self, keys: pl.Series) -> pl.Series:
        """The surviving key of each key."""
        return keys.replace(dict(self.aliases)) if self.aliases else keys

    def keys_of(self, persons: Sequence[str]) -> pl.DataFrame:
        """The persons' keys, former ones too: `contact`, `person`, each person's own first."""
        wanted = set(persons)
        former = [(old, new) for old, new in self.aliases.items() if new in wanted]
        rows = [*((person, person) for person in dict.fromkeys(persons)), *former]
        return pl.DataFrame(rows, schema={"contact": pl.String(), "person": pl.String()}, orient="row")

    def _known_as(self, sequence: str) -> str:
        return self.known_as.get(sequence, sequence)

    def _since(self, segment: str, sequence: str, keys: pl.DataFrame) -> pl.DataFrame:
        found = [
            frame.select("contact", "as_of").join(keys.lazy(), on="contact", how="inner").collect()
            for frame in self._baseline(sequence, segment)
        ]
        if not found:
            return pl.DataFrame(schema=SINCE)
        return pl.concat(found).group_by("person").agg(pl.col("as_of").max().cast(ledger.INSTANT).alias("since"))

    def _baseline(self, sequence: str, segment: str | None = None) -> list[pl.LazyFrame]:
        sequences = {sequence, *self.sequences.get(sequence, ())}
        segments = None if segment is None else {segment, *self.segments.get(segment, ())}
        return list(ledger.baseline_rows(self.root, self.connection, sequences, segments))
