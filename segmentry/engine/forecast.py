"""What a run would do if it were made now: `plan`, and `recompute --dry-run`. Nothing is written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from segmentry.engine.activation import delivers
from segmentry.engine.connectors.destination import Traits
from segmentry.engine.connectors.registry import sync_traits_of, traits_of
from segmentry.engine.enrolling import Outcome
from segmentry.engine.guards import Trip, told
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.render import second, table_html
from segmentry.engine.run import Recomputed
from segmentry.engine.splitting import in_another_group
from segmentry.engine.state import State, counting
from segmentry.engine.state.synced import ACTIVE, ADD, DETACHED, REMOVE, UPDATE

SEGMENTS = pl.Schema(
    {
        "segment": pl.String(),
        "label": pl.String(),
        "now": pl.Int64(),
        "next": pl.Int64(),
        "entered": pl.Int64(),
        "exited": pl.Int64(),
        "causes": pl.String(),
        "held": pl.Boolean(),
    }
)
ENROLLMENTS = pl.Schema({"sequence": pl.String(), "destination": pl.String(), "outcome": pl.String(), "contacts": pl.Int64()})
SYNCS = pl.Schema(
    {
        "segment": pl.String(),
        "destination": pl.String(),
        "target": pl.String(),
        "status": pl.String(),
        "members": pl.Int64(),
        "add": pl.Int64(),
        "update": pl.Int64(),
        "remove": pl.Int64(),
    }
)
CALLS = pl.Schema({"destination": pl.String(), "contacts": pl.Int64(), "calls": pl.Int64(), "minutes": pl.Float64()})
GROUPED = ("now", "next", "entered", "exited", "contacts", "calls", "members", "add", "update", "remove")


@dataclass(frozen=True)
class Waiting:
    """What waits to be sent before the run: enrollments by (destination, sequence), and changes of syncs as `counting.CHANGES`."""

    enrollments: Mapping[tuple[str, str], int]
    changes: pl.DataFrame

    @classmethod
    def of(cls, state: State) -> Waiting:
        """What the state has now."""
        with state.catalog.reading() as connection:
            return cls(counting.unsent_by_sequence(connection), counting.open_changes(connection))


class Forecast:
    """What a run at `as_of` would do.

    `segments`: sizes now and next, who would enter and exit, by which causes, and what a guard would hold.
    `enrollments`: new ledger rows by sequence and outcome. `syncs`: what would bring each in step; of one that is `unconfirmed`
    only its members, as nothing is told before somebody says so. `calls`: of how many each destination would be told, in how
    many requests and, at its pace, minutes; enrollments and syncs both, with what waits for it already. `trips`: guards that
    would be passed, each with reasons.
    """

    def __init__(self, done: Recomputed, workspace: LoadedWorkspace, waiting: Waiting) -> None:
        self._done = done
        self._workspace = workspace
        self._waiting = waiting
        self.as_of = done.record.as_of
        self.warnings = done.warnings

    @property
    def trips(self) -> Sequence[Trip]:
        """The guards that would be passed."""
        found = self._done.consequences
        if found is None:
            return ()
        return [*found.held.trips, *(found.activation.trips if found.activation is not None else ())]

    @property
    def held(self) -> bool:
        """Whether anything would be held."""
        return bool(self.trips)

    @cached_property
    def segments(self) -> pl.DataFrame:
        """A row per segment."""
        found = self._done.consequences
        if found is None:
            return pl.DataFrame(schema=SEGMENTS)
        answered = found.answered
        before = found.former_sizes
        sizes = answered.memberships.counts()
        counts: dict[tuple[str, str], dict[str, int]] = {}
        for segment, change, cause, rows in answered.changes.group_by("segment", "change", "cause").len().iter_rows():
            counts.setdefault((segment, change), {})[cause] = rows
        for name in answered.firsts:
            counts[name, "entered"] = {"rule": sizes[name]} if sizes[name] else {}
        held = set(answered.prepared.rules.conditions) if found.held.source is not None else set(found.held.segments)
        rows = [
            (
                name,
                self._workspace.segments[name].label,
                before.get(name),
                sizes[name],
                sum(counts.get((name, "entered"), {}).values()),
                sum(counts.get((name, "exited"), {}).values()),
                _causes(counts.get((name, "entered"), {}), counts.get((name, "exited"), {})),
                name in held,
            )
            for name in sorted(answered.prepared.rules.conditions)
        ]
        return pl.DataFrame(rows, schema=SEGMENTS, orient="row")

    @cached_property
    def enrollments(self) -> pl.DataFrame:
        """New ledger rows, counted."""
        activation = None if self._done.consequences is None else self._done.consequences.activation
        if activation is None:
            return pl.DataFrame(schema=ENROLLMENTS)
        rows = [
            (sequence, activation.destinations[sequence], outcome, count)
            for sequence, outcomes in activation.outcomes().items()
            for outcome, count in outcomes.items()
        ]
        return pl.DataFrame(rows, schema=ENROLLMENTS, orient="row")

    @cached_property
    def syncs(self) -> pl.DataFrame:
        """A row per sync; none where the environment sends nothing."""
        activation = None if self._done.consequences is None else self._done.consequences.activation
        rows = []
        for draft in () if activation is None else activation.syncs:
            told = draft.figures if draft.status == ACTIVE else {}
            members = None if draft.status == DETACHED else draft.figures.get("members")
            figures = (told.get(action) for action in (ADD, UPDATE, REMOVE))
            rows.append((draft.segment, draft.destination, draft.target, draft.status, members, *figures))
        return pl.DataFrame(rows, schema=SYNCS, orient="row").sort("segment", "destination", "target")

    @cached_property
    def calls(self) -> pl.DataFrame:
        """What each destination would be told."""
        rows = []
        for name in self._workspace.config.destinations:
            parts = self._enrolled(name) + self._synced(name)
            contacts = sum(count for count, _ in parts)
            if contacts:
                calls = sum(math.ceil(count / traits.batch) for count, traits in parts)
                minutes = sum(count / traits.per_minute for count, traits in parts)
                rows.append((name, contacts, calls, round(minutes, 2)))
        return pl.DataFrame(rows, schema=CALLS, orient="row")

    def _enrolled(self, destination: str) -> list[tuple[int, Traits]]:
        """How many enrollments go to a destination, by sequence, and how they go."""
        config = self._workspace.config
        counts = Counter({key: count for key, count in self._waiting.enrollments.items() if key[0] == destination})
        new = self.enrollments.filter(pl.col("outcome") == str(Outcome.PENDING), pl.col("destination") == destination)
        for sequence, count in new.select("sequence", "contacts").iter_rows():
            counts[destination, sequence] += count
        words = {name: one.words or None for name, one in config.sequences.items()}
        own = config.destinations[destination].settings
        return [(count, traits_of(own, words.get(sequence))) for (_, sequence), count in counts.items()]

    def _synced(self, destination: str) -> list[tuple[int, Traits]]:
        """How many changes go to a destination, by sync and action, and how they go; a new one is in place of one that waits."""
        activation = None if self._done.consequences is None else self._done.consequences.activation
        drafts = [draft for draft in (() if activation is None else activation.syncs) if draft.destination == destination]
        waiting = self._waiting.changes.filter(pl.col("destination") == destination).select("sync", "contact", "action")
        parts = []
        for number, draft in enumerate(drafts):
            place = -1 - number if draft.id is None else draft.id
            decided = pl.concat([draft.written["contact"], draft.removed["contact"]])
            over = pl.col("contact").is_in(decided.implode()) if draft.status == ACTIVE else pl.lit(value=True)
            waiting = waiting.filter(~((pl.col("sync") == place) & over))
            new = draft.written.filter(pl.col("action").is_not_null())
            parts.append(new.select(pl.lit(place, pl.Int64()).alias("sync"), "contact", "action"))
        counts = pl.concat([waiting, *parts]).group_by("sync", "action").len()
        traits = sync_traits_of(self._workspace.config.destinations[destination].settings)
        return [(count, traits) for count in counts["len"]]

    @property
    def regrouped(self) -> dict[str, int]:
        """How many members of each segment would be in another group, as its split was edited."""
        found = self._done.consequences
        return {} if found is None else found.regrouped

    @property
    def tables(self) -> list[pl.DataFrame]:
        """What there is to show, in order."""
        return [frame for frame in (self.segments, self.enrollments, self.syncs, self.calls) if frame.height]

    def headline(self) -> str:
        """The forecast in a line."""
        total = int(self.calls["contacts"].sum()) if self.calls.height else 0
        sends = "" if delivers(self._workspace) else f"; environment `{self._workspace.environment}` sends nothing"
        held = f", {len(self.trips)} held" if self.held else ""
        return f"at {second(self.as_of)}: {total:,} would be told of{held}; nothing stored{sends}"

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "as_of": self.as_of,
            "segments": self.segments.to_dicts(),
            "enrollments": self.enrollments.to_dicts(),
            "syncs": self.syncs.to_dicts(),
            "calls": self.calls.to_dicts(),
            "regrouped": self.regrouped,
            "held": [trip_json(trip) for trip in self.trips],
        }

    def __str__(self) -> str:
        with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_rows=-1, fmt_str_lengths=100):
            moved = [in_another_group(name, count) for name, count in self.regrouped.items()]
            parts = [self.headline(), *moved, *(told(trip) for trip in self.trips)]
            return "\n".join([*parts, *(str(frame) for frame in self.tables)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        tables = "".join(table_html(frame, rows=frame.height, grouped=GROUPED) for frame in self.tables)
        held = "".join(f"<br>{told(trip)}" for trip in self.trips)
        return f"<p><b>{self.headline()}</b>{held}</p>{tables}"


def trip_json(trip: Trip) -> dict[str, Any]:
    """A hold as plain values."""
    return {"kind": str(trip.kind), "name": trip.name, "reasons": list(trip.reasons), "figures": dict(trip.figures)}


def _causes(entered: Mapping[str, int], exited: Mapping[str, int]) -> str | None:
    """`+12 data, +3 source, -4 time`."""
    parts = [f"+{rows:,} {cause}" for cause, rows in sorted(entered.items())] + [
        f"-{rows:,} {cause}" for cause, rows in sorted(exited.items())
    ]
    return ", ".join(parts) or None
