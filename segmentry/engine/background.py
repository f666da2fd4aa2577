"""What the state says when a run, or somebody's word on a held one, begins to activate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from segmentry.engine.activation import Background
from segmentry.engine.state import State, ledger, synced
from segmentry.engine.state.activated import fact
from segmentry.engine.state.holds import holds, pauses
from segmentry.engine.state.past import LedgerPast
from segmentry.engine.sync_elsewhere import Known

if TYPE_CHECKING:
    from sqlalchemy import Connection

DELIVERS, RECOVERED = "delivers", "recovered"
"""Facts of a state: whether the environment delivered at the accepted run; whether a recovery waits for its run."""


@dataclass(frozen=True)
class Renamed:
    """New names and the former one of each, by kind, as this run's files say it: nothing in the catalog knows of them yet."""

    segments: Mapping[str, str]
    sequences: Mapping[str, str]
    destinations: Mapping[str, str]

    def of(self, kind: str) -> Mapping[str, str]:
        """New names and the former ones of one kind of thing that a hold may be on."""
        return {"segment": self.segments, "sequence": self.sequences}.get(kind, {})

    def drafts(self) -> list[tuple[str, str, str]]:
        """(kind, former name, name), for the commit."""
        return [
            (kind, former, name)
            for kind, found in (("segment", self.segments), ("sequence", self.sequences), ("destination", self.destinations))
            for name, former in sorted(found.items())
        ]


NOTHING = Renamed({}, {}, {})


@contextmanager
def background(state: State, aliases: Mapping[str, str], renamed: Renamed = NOTHING) -> Iterator[Background]:
    """The background, while the catalog is read as it is now. `aliases` are this run's merged keys; those known are added."""
    with state.catalog.reading() as connection:
        merged = ledger.merged_with(ledger.aliases(connection), aliases)
        merged = {old: _survivor(merged, old) for old in merged}
        segments = former_names(ledger.former_names(connection, "segment"), renamed.segments)
        sequences = former_names(ledger.former_names(connection, "sequence"), renamed.sequences)
        secret = state.secret(connection)
        attached = {
            (_now(segment, renamed.segments), _now(sequence, renamed.sequences)): attachment
            for (segment, sequence), attachment in ledger.attachments(connection).items()
        }
        open_rows = ledger.open_rows(connection).with_columns(
            pl.col("segment").replace({former: name for name, former in renamed.segments.items()}),
            pl.col("sequence").replace({former: name for name, former in renamed.sequences.items()}),
            pl.col("person").replace(merged),
        )
        yield Background(
            past=LedgerPast(state.folder, connection, secret, merged, segments, sequences, renamed.sequences),
            secret=secret,
            attached=attached,
            holds=[replace(one, name=_now(one.name, renamed.of(one.kind))) for one in holds(connection)],
            pauses=_renamed_pauses(pauses(connection), renamed),
            open_rows=open_rows,
            delivered=fact(connection, DELIVERS),
            recovered=bool(fact(connection, RECOVERED)),
            syncs=known_syncs(connection, secret, merged, renamed),
            enrolled_within=lambda name, since: ledger.enrolled_within(connection, renamed.sequences.get(name, name), since),
            past_members=lambda segment: _past_members(state, segment, segments.get(segment, ())),
            first_name=lambda name: ledger.first_name(connection, "sequence", renamed.sequences.get(name, name)),
        )


def known_syncs(connection: Connection, secret: str, merged: Mapping[str, str], renamed: Renamed = NOTHING) -> Known:
    """What the catalog says of syncs, by present names. It is read while the connection is open."""
    records = [
        replace(one, segment=_now(one.segment, renamed.segments), destination=_now(one.destination, renamed.destinations))
        for one in synced.syncs(connection)
    ]
    return Known(
        records,
        rows=partial(synced.rows_of, connection),
        left=partial(synced.left_hashes, connection),
        away=partial(synced.away, connection),
        called=partial(synced.called, connection),
        moved=partial(synced.perhaps_moved, connection),
        namesakes=partial(synced.namesakes, connection),
        secret=secret,
        merged=merged,
    )


def _renamed_pauses(paused: Mapping[str, str | None], renamed: Renamed) -> dict[str, str | None]:
    """What is paused, by present names."""
    return {_now(_now(name, renamed.sequences), renamed.destinations): reason for name, reason in paused.items()}


def _past_members(state: State, segment: str, former: Iterable[str]) -> pl.Series:
    """Every key that was ever in a segment by its recorded history, as text."""
    found = state.history_under([segment, *former]).filter(change="entered")["contact"]
    return found.cast(pl.String()).unique()


def former_names(known: Mapping[str, str], now: Mapping[str, str]) -> dict[str, list[str]]:
    """Every name that something had before its present one."""
    found: dict[str, list[str]] = {}
    latest = {former: name for name, former in now.items()}
    for former, name in [*known.items(), *latest.items()]:
        found.setdefault(latest.get(name, name), []).append(former)
    return found


def _now(name: str, renamed: Mapping[str, str]) -> str:
    """The present name of something that the catalog knows by `name`."""
    return next((new for new, former in renamed.items() if former == name), name)


def _survivor(aliases: Mapping[str, str], key: str) -> str:
    seen = {key}
    while key in aliases and aliases[key] not in seen:
        key = aliases[key]
        seen.add(key)
    return key
