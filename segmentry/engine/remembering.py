"""What the accepted runs say of a segment, for rules that ask: `entered`, `exited`, and `member` with `for`.

A rule of one instant is answered by the runs before it; what its own run changes is a matter of the run's plan, in
which each answer here stands beside `member`. The membership before an instant is the accepted one, as every comparison
takes it: of a segment that is held the one that goes on, of one that was gone for a while its last, under the names that
segments have now, with former members handed on to whom they were merged into.

Changes under a former key are those of the contact that goes on under another. What was known of two contacts can't tell
when one of them was only in by the other's membership, so an exit under any of the keys ends a stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import polars as pl

from segmentry.engine.activation_checks import aliases_of
from segmentry.engine.aliases import Aliases
from segmentry.engine.consequences import new_aliases
from segmentry.engine.former import FormerRun, former_run
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.membership import Alignment
from segmentry.engine.moment import TURNS, Among, Recorded, Turns
from segmentry.engine.renaming import renames_of
from segmentry.engine.snapshot import Snapshot
from segmentry.engine.state import RunRecord, State, ledger
from segmentry.errors import NoState
from segmentry.rules.ground import TICK
from segmentry.rules.nodes import Memory, Remembered
from segmentry.rules.zones import FIRST_INSTANT

NO_KEYS = pl.Series("contact", [], pl.String())


@dataclass
class Past:
    """The accepted runs up to `newest` (None: there is none yet), for questions about a snapshot with these `aliases`.

    `among` is asked which keys the snapshot has, where the alignment that a question comes with has not all of them.
    """

    newest: FormerRun | None
    aliases: Aliases | None = None
    among: Among | None = None
    _found: dict[tuple[object, ...], pl.Series] = field(default_factory=dict)
    _for: Alignment | None = None
    _runs: dict[int, FormerRun] = field(default_factory=dict)
    _read: dict[str, tuple[datetime, datetime, pl.DataFrame]] = field(default_factory=dict)

    def bitmap(self, asked: Remembered, alignment: Alignment) -> pl.Series:
        """For which positions it is so; false for nobody's positions, but that `OUT` is what `IN` leaves out."""
        before = self._before(asked.as_of)
        if before is None or not self._computed(asked.segment, before):
            return _at(NO_KEYS, alignment)
        found = _at(self._keys(asked, before, alignment), alignment)
        return ~found if asked.memory is Memory.OUT else found

    def _keys(self, asked: Remembered, before: FormerRun, alignment: Alignment) -> pl.Series:
        memory = Memory.IN if asked.memory is Memory.OUT else asked.memory
        if self._for is not alignment:
            self._found, self._for = {}, alignment
        known = (asked.segment, memory, asked.as_of, asked.window)
        if known not in self._found:
            match memory:
                case Memory.IN:
                    self._found[known] = self._members(asked.segment, before, alignment)
                case Memory.STAYED:
                    self._found[known] = self._stayed(asked, before, alignment)
                case _:
                    self._found[known] = self._moved(asked, alignment)
        return self._found[known]

    # ------------------------------------------------------------ who was in

    def _before(self, as_of: datetime) -> FormerRun | None:
        """The newest run that was accepted before an instant."""
        if self.newest is None or self.newest.record.as_of < as_of:
            return self.newest
        earlier = [record for record in self._accepted if record.as_of < as_of]
        if not earlier:
            return None
        record = earlier[-1]
        if record.id not in self._runs:
            self._runs[record.id] = former_run(self.newest.state, record, self.newest.renames)
        return self._runs[record.id]

    @cached_property
    def _accepted(self) -> list[RunRecord]:
        """Every accepted run, oldest first."""
        return [record for record in self.newest.state.runs() if record.accepted] if self.newest is not None else []

    def _computed(self, segment: str, before: FormerRun) -> bool:
        """Whether a segment had been accepted with that run, or before it."""
        known = before.segments.get(segment)
        return known is not None and known.first_run <= before.record.id

    def _members(self, segment: str, before: FormerRun, alignment: Alignment) -> pl.Series:
        """The keys that were in, each contact under the key that it has now."""
        if segment in before.columns:
            keys = before.order.keys.filter(before.read([segment])[segment]).drop_nulls()
        elif before is self.newest:
            keys = before.last_members(segment)
        else:  # its memberships of then are gone, or it had no file then: as its changes leave it
            moves = self.moves(segment, None, before.record.as_of, alignment)
            return moves.group_by("contact").last().filter("entered")["contact"]
        if before is self.newest:  # former merges were handed on when it was accepted
            return _as_now(keys, self._merged(alignment, None if self.aliases is None else self.aliases.mapping))
        return _as_now(keys, self._merged(alignment, self._every_alias))

    # ------------------------------------------------------------ who came and went

    def _moved(self, asked: Remembered, alignment: Alignment) -> pl.Series:
        window = asked.window
        final = asked.as_of - TICK if window.final is None else min(window.final, asked.as_of - TICK)
        moves = self.moves(asked.segment, window.first, final, alignment)
        wanted = pl.col("entered") & ~pl.col("first") if asked.memory is Memory.ENTERED else ~pl.col("entered")
        return moves.filter(wanted)["contact"].unique()

    def _stayed(self, asked: Remembered, before: FormerRun, alignment: Alignment) -> pl.Series:
        """Who was in at the end, and whose stay began at the window's final instant or before it.

        Whoever was in at the end, and neither came nor left since that instant, had been in then. Who came since then
        under one of several keys may have been in before under another.
        """
        began, end = asked.window.final, asked.as_of - TICK
        assert began is not None
        moves = self.moves(asked.segment, began + TICK, end, alignment)
        members = self._members(asked.segment, before, alignment).cast(moves.schema["contact"], strict=False)
        stayed = members.filter(~members.is_in(moves["contact"].implode()))
        left = moves.filter(~pl.col("entered"))["contact"]
        again = self._survivors(alignment).cast(members.dtype)
        again = again.filter(again.is_in(members.implode()) & ~again.is_in(stayed.implode()) & ~again.is_in(left.implode()))
        if len(again):
            earlier = self.moves(asked.segment, None, began, alignment).filter(pl.col("contact").is_in(again.implode()))
            was_in = earlier.group_by("contact").last().filter("entered")["contact"]
            stayed = pl.concat([stayed, was_in])
        return self._that_had_entered(stayed, asked.segment, began, alignment)

    def _that_had_entered(self, stayed: pl.Series, segment: str, began: datetime, alignment: Alignment) -> pl.Series:
        """Those but whoever may be in by a former key alone, which is a contact's own again: of that stay nothing is known."""
        handed_on = self._every_alias["new"].cast(stayed.dtype, strict=False)
        doubtful = stayed.filter(stayed.is_in(handed_on.implode()))
        if not len(doubtful):
            return stayed
        entered = self.moves(segment, None, began, alignment).filter("entered")["contact"]
        return stayed.filter(~stayed.is_in(doubtful.implode()) | stayed.is_in(entered.implode()))

    def recorded(self, segment: str, first: datetime | None, as_of: datetime, key: pl.Series) -> Recorded:
        """When runs found changes of the contact with this key, from `first` on, and what there is of later runs."""
        if self.newest is None:
            return Recorded()
        alignment = Alignment(key, pl.Series([True]))
        moves = self.moves(segment, first, self.newest.record.as_of, alignment)
        own = moves.filter(pl.col("contact").is_in(key.cast(moves.schema["contact"], strict=False).implode()))["as_of"]
        runs = tuple(record.as_of for record in self._accepted if record.as_of >= as_of)
        merged = bool(key.cast(pl.String()).is_in(self._every_alias["new"].implode())[0])
        return Recorded(tuple(own.unique().sort()), runs, self.newest.record.as_of, merged)

    def turns(self, segment: str, keys: pl.Series) -> Turns:
        """Every change of these contacts in a segment, under the keys that it was found with."""
        if self.newest is None or segment not in self.newest.segments:
            return Turns(None, pl.DataFrame(schema=TURNS), NO_KEYS)
        first = self.newest.segments[segment].first_run
        computed = next(record.as_of for record in self._accepted if record.id == first)
        found = self._recorded(segment, FIRST_INSTANT, self.newest.record.as_of)
        mine = found.select(pl.col("contact").cast(keys.dtype, strict=False), *TURNS.names()[1:])
        several = pl.concat([self._every_alias["old"], self._every_alias["new"]])
        merged = keys.filter(keys.cast(pl.String()).is_in(several.implode()))
        return Turns(computed, mine.filter(pl.col("contact").is_in(keys.implode())), merged)

    def moves(self, segment: str, first: datetime | None, final: datetime, alignment: Alignment) -> pl.DataFrame:
        """A segment's changes within a time, oldest first, each under the key that the contact has now."""
        moves = self._recorded(segment, FIRST_INSTANT if first is None else first, final)
        keys = moves["contact"].cast(alignment.keys.dtype, strict=False)
        return moves.with_columns(_renamed(keys, self._merged(alignment, self._every_alias)).alias("contact")).drop_nulls("contact")

    def _recorded(self, segment: str, first: datetime, final: datetime) -> pl.DataFrame:
        """A segment's changes within a time, as they are stored; what was read for a question before is not read again."""
        low, high = min(first, final), final
        if segment not in self._read:
            self._read[segment] = low, high, self._stored(segment, low, high)
        begin, end, found = self._read[segment]
        earlier = [self._stored(segment, low, begin - TICK)] if low < begin else []
        later = [self._stored(segment, end + TICK, high)] if high > end else []
        # a part without rows has no type of key
        found = pl.concat([part for part in (*earlier, found, *later) if part.height] or [found], how="vertical_relaxed")
        self._read[segment] = min(low, begin), max(high, end), found
        return found.filter(pl.col("as_of").is_between(first, final))

    def _stored(self, segment: str, first: datetime, final: datetime) -> pl.DataFrame:
        assert self.newest is not None
        names = [old for old, new in self.newest.renames.items() if new == segment] or [segment]
        known = dict.fromkeys([segment, *(former for name in names for former in self.newest.state.names(name))])
        return self.newest.state.moves(list(known), first, final)

    # ------------------------------------------------------------ merged contacts

    @cached_property
    def _every_alias(self) -> pl.DataFrame:
        """Every key that was merged, by today's file or one before it, and the key that its contact goes on under."""
        assert self.newest is not None
        with self.newest.state.catalog.reading() as connection:
            merged = ledger.merged_with(ledger.aliases(connection), new_aliases(self.newest.state, self.aliases))
        pairs = ledger.at_last(merged)
        return pl.DataFrame({"old": list(pairs), "new": list(pairs.values())}, schema={"old": pl.String(), "new": pl.String()})

    def _merged(self, alignment: Alignment, aliases: pl.DataFrame | None) -> pl.DataFrame | None:
        """Those of the aliases that this snapshot merges: it has the new key, and the old one no more."""
        if aliases is None or aliases.is_empty():
            return None
        pairs = aliases.select(pl.col("old", "new").cast(alignment.keys.dtype, strict=False)).drop_nulls()
        named = pl.concat([pairs["old"], pairs["new"]]).unique()
        there = self.among(named) if self.among is not None else alignment.keys.filter(alignment.present)
        there = there.cast(alignment.keys.dtype, strict=False).drop_nulls().implode()
        return pairs.filter(pl.col("new").is_in(there) & ~pl.col("old").is_in(there))

    def key_now(self, key: str, alignment: Alignment) -> str:
        """The key, as text, that the contact of a key goes on under in this snapshot."""
        merged = self._merged(alignment, self._every_alias)
        return key if merged is None else str(_renamed(pl.Series([key]), merged)[0])

    def _survivors(self, alignment: Alignment) -> pl.Series:
        """The keys of contacts that had others."""
        merged = self._merged(alignment, self._every_alias)
        return NO_KEYS.clear() if merged is None else merged["new"].unique()


@contextmanager
def past_of(workspace: LoadedWorkspace, snapshot: Snapshot, among: Among | None = None) -> Iterator[Past]:
    """What a workspace's accepted runs say, as long as it lasts; nothing before the first."""
    aliases = aliases_of(workspace, snapshot)
    try:
        state = State.open(workspace.state, workspace.config.id, workspace.environment)
    except NoState:
        yield Past(None, aliases)
        return
    try:
        accepted = state.accepted()
        newest = None if accepted is None else former_run(state, accepted, renames_of(workspace, state.segments()))
        yield Past(newest, aliases, among)
    finally:
        state.close()


def _at(keys: pl.Series, alignment: Alignment) -> pl.Series:
    """A bitmap of some keys' positions."""
    wanted = keys.cast(alignment.keys.dtype, strict=False).drop_nulls()
    return alignment.keys.is_in(wanted.implode()).fill_null(value=False)


def _as_now(keys: pl.Series, merged: pl.DataFrame | None) -> pl.Series:
    """Contacts' keys as they are now, each once."""
    return keys if merged is None else _renamed(keys, merged).unique(maintain_order=True)


def _renamed(keys: pl.Series, merged: pl.DataFrame | None) -> pl.Series:
    if merged is None or merged.is_empty():
        return keys
    pairs = merged.select(pl.col("old", "new").cast(keys.dtype, strict=False))
    found = pl.DataFrame({"old": keys}).join(pairs, on="old", how="left", maintain_order="left")
    return found.select(pl.coalesce("new", "old")).to_series()
