"""`Run`: what a recomputation hands back to whoever asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from segmentry.engine.guards import told
from segmentry.engine.plan import Plan
from segmentry.engine.render import second, table_html
from segmentry.engine.run import Recomputed
from segmentry.engine.showing import plan_text
from segmentry.engine.splitting import in_another_group
from segmentry.engine.sync_words import decided
from segmentry.errors import NotFound
from segmentry.rules.diagnostics import Diagnostic

if TYPE_CHECKING:
    from segmentry.engine.delivering import Delivered

STAGES = ("check", "evaluate", "digest", "compare", "activate", "write", "commit")
COUNTS = ("size", "entered", "exited")


class Run:
    """One computation of all segments at one instant.

    `id` is its number; `as_of` its instant (aware, UTC); `changes` a polars frame with the columns `segment`, `contact`,
    `change` (`entered` or `exited`), `cause` and `via`, sorted by segment and contact; `counts` each segment's size;
    `report` plain values: rows, bytes, seconds per stage, and per segment who came and went by cause.
    """

    def __init__(self, done: Recomputed, labels: Mapping[str, str], delivered: Delivered | None = None) -> None:
        self._done = done
        self._labels = labels
        self.id: int = done.record.id
        self.as_of: datetime = done.record.as_of
        self.status: str = str(done.record.status)
        self.committed: bool = done.committed
        self.counts: dict[str, int] = done.record.counts
        self.report: Mapping[str, Any] = done.record.report
        self.warnings: tuple[Diagnostic, ...] = done.warnings
        self.plan: Plan = done.plan
        self.delivered: Delivered | None = delivered
        """What was sent after it; None where nothing was asked to be."""

    @cached_property
    def changes(self) -> pl.DataFrame:
        """Who entered and who left, and why: everybody at once, 72 bytes a row.

        Of a first run over many contacts that is more than memory has; `changes_of` gives one segment's.
        """
        return self._done.changes()

    def changes_of(self, segment: str) -> pl.DataFrame:
        """The rows of `changes` that are of one segment, read for it alone; raises NotFound."""
        if segment not in self.counts:
            raise NotFound(f"run {self.id} has no segment `{segment}`")
        return self._done.changes(segment=segment)

    @property
    def held(self) -> list[str]:
        """What guards hold of it, in words; empty if nothing."""
        found = self._done.consequences
        trips = [] if found is None else [*found.held.trips, *(found.activation.trips if found.activation is not None else ())]
        return [told(trip) for trip in trips]

    @property
    def enrolled(self) -> dict[str, dict[str, int]]:
        """How many new rows of the ledger each sequence has, by outcome."""
        found: dict[str, dict[str, int]] = self.report.get("activation", {}).get("enrollments", {})
        return found

    @property
    def syncs(self) -> list[str]:
        """What it comes to for syncs, a line for each with something to tell, or to be told of it."""
        found = map(decided, self.report.get("activation", {}).get("syncs", []))
        return [line for line in found if line is not None]

    @property
    def regrouped(self) -> list[str]:
        """Of which segments members are in another group than before, as their split was edited, a line for each."""
        found: dict[str, int] = self.report.get("activation", {}).get("regrouped", {})
        return [in_another_group(name, count) for name, count in found.items()]

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds per stage."""
        return {stage: self.report["seconds"][stage] for stage in STAGES if stage in self.report["seconds"]}

    def summary(self) -> pl.DataFrame:
        """A row per segment: `segment`, `label`, `size`, `entered`, `exited`."""
        figures = self._done.record.segments
        return pl.DataFrame(
            [(name, self._labels.get(name, name), one.size, one.entered, one.exited) for name, one in sorted(figures.items())],
            schema={"segment": pl.String, "label": pl.String, "size": pl.Int64, "entered": pl.Int64, "exited": pl.Int64},
            orient="row",
        )

    def headline(self) -> str:
        """The run in two lines: what it was, and how long its stages took."""
        what = f"run {self.id}" if self.committed else "dry run, nothing stored"
        kind = f", {self.status}" if self.status != "accepted" else ""
        stages = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in self.seconds.items())
        computed = self.report["computed"]
        some = "" if computed["full"] else f", computed for {computed['affected']:,} of them"
        return f"{what}{kind}: {self.report['contacts']['rows']:,} contacts{some} at {second(self.as_of)}\n{stages}"

    def plan_text(self) -> str:
        """The plan that was run, with what it came to."""
        return plan_text(self.plan, self.report)

    def to_json(self) -> dict[str, object]:
        """The run's report, with what it is."""
        return {"run": self.id if self.committed else None, "status": self.status, "as_of": self.as_of, **self.report}

    def __str__(self) -> str:
        with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_rows=-1):
            return f"{self.headline()}\n{self.summary()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        first, second = self.headline().split("\n")
        return f"<p><b>{first}</b><br>{second}</p>{table_html(self.summary(), rows=len(self.counts), grouped=COUNTS)}"
