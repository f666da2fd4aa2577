"""The ledger as people read it: who was enrolled in what, what became of it, and why somebody was not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.moment import nearest_hint
from segmentry.engine.state import State, ledger
from segmentry.errors import NotFound

if TYPE_CHECKING:
    from sqlalchemy import Connection

ENROLLMENTS = pl.Schema(
    {
        "sequence": pl.String(),
        "contact": pl.String(),
        "number": pl.Int32(),
        "segment": pl.String(),
        "run": pl.Int64(),
        "as_of": ledger.INSTANT,
        "cause": pl.String(),
        "outcome": pl.String(),
        "reason": pl.String(),
        "changed": ledger.INSTANT,
        "id": pl.String(),
    }
)
"""A row an enrollment, by sequence, contact and number; a baseline row has number 0, and neither `changed` nor `id`."""

WHY = pl.Schema(
    {"run": pl.Int64(), "as_of": ledger.INSTANT, "segment": pl.String(), "sequence": pl.String(), "what": pl.String(), "why": pl.String()}
)
"""A row an entry and sequence, oldest first. `what`: an outcome, `baseline`, or `not enrolled`; `why` in words, where there are any."""


@dataclass(frozen=True)
class Wanted:
    """Which rows: of a sequence, a segment, an outcome, a contact (by any of its keys); None is all of them."""

    sequence: str | None = None
    segment: str | None = None
    outcome: str | None = None
    contact: str | None = None
    baseline: bool = False
    """Baseline rows too, which may be as many as there are contacts."""


def enrollments(loaded: LoadedWorkspace, state: State, wanted: Wanted) -> pl.DataFrame:
    """The rows of the ledger, with their present outcome. Raises NotFound for a sequence or segment that nobody knows."""
    with state.catalog.reading() as connection:
        _require(wanted.sequence, {*loaded.config.sequences, *ledger.known_names(connection, "sequence")}, "sequence")
        _require(wanted.segment, {*loaded.names, *state.segments()}, "segment")
        keys = None if wanted.contact is None else _keys(ledger.aliases(connection), wanted.contact)
        frames = [ledger.rows(connection, wanted.sequence, wanted.segment, wanted.outcome, keys).select(*ENROLLMENTS)]
        if wanted.baseline and wanted.outcome in (None, "baseline"):
            frames += _baseline(state, connection, wanted, keys)
    found = pl.concat([frame.cast(ENROLLMENTS) for frame in frames])
    return found.sort("sequence", "contact", "number", "segment")


def why(loaded: LoadedWorkspace, state: State, contact: str, segment: str | None = None) -> pl.DataFrame:
    """What became of every entry of a contact that could have enrolled it: `WHY`. Raises NotFound for an unknown segment."""
    rows = enrollments(loaded, state, Wanted(segment=segment, contact=contact, baseline=True))
    told = rows.select("run", "as_of", "segment", "sequence", what=pl.col("outcome"), why=pl.col("reason"))
    with state.catalog.reading() as connection:
        keys = _keys(ledger.aliases(connection), contact)
    frames = [told]
    for record in state.runs():
        if record.skipped_file is None:
            continue
        skipped = state.skipped(record.id).filter(pl.col("contact").is_in(sorted(keys)))
        if segment is not None:
            skipped = skipped.filter(pl.col("segment") == segment)
        when = [pl.lit(record.id).alias("run"), pl.lit(record.as_of).cast(ledger.INSTANT).alias("as_of")]
        frames.append(skipped.select(*when, "segment", "sequence", pl.lit("not enrolled").alias("what"), pl.col("reason").alias("why")))
    return pl.concat([frame.cast(WHY) for frame in frames]).sort("run", "segment", "sequence")


def _baseline(state: State, connection: Connection, wanted: Wanted, keys: set[str] | None) -> list[pl.DataFrame]:
    found = []
    for file in ledger.stored_rows(state.folder, connection):
        rows = file.filter(pl.col("number") == 0)
        for column, value in (("sequence", wanted.sequence), ("segment", wanted.segment)):
            rows = rows if value is None else rows.filter(pl.col(column) == value)
        if keys is not None:
            rows = rows.filter(pl.col("contact").is_in(sorted(keys)))
        nothing = pl.lit(None, ledger.INSTANT).alias("changed")
        found.append(rows.with_columns(nothing).select(*ENROLLMENTS).collect())
    return found


def _keys(aliases: dict[str, str], contact: str) -> set[str]:
    """A contact's key, the one it goes on under, and all that became that one."""
    person = aliases.get(contact, contact)
    return {contact, person, *(old for old, new in aliases.items() if new == person)}


def _require(name: str | None, known: set[str], what: str) -> None:
    if name is not None and name not in known:
        raise NotFound(f"there is no {what} `{name}`" + nearest_hint(name, sorted(known)))
