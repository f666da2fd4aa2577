"""What a workspace can be asked about the past: stays in a segment, and how rules would have been over a period."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from segmentry.engine.workspace_folder import When, WorkspaceFolder, clock_now, instant_of, run_number

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from segmentry.engine.backtesting import Backtest
    from segmentry.engine.moment import Written


class WorkspacePast(WorkspaceFolder):
    """The questions of a workspace that are about what was."""

    def stays(self, name: str, contact: object = None, *, on: str | None = None) -> pl.DataFrame:
        """Who was in a segment and for how long, a row a stay, by contact and time; of all contacts, or of one by its key.

        `contact`, `since`, `until` (missing while it lasts), `first` (since the first computation, or longer), `cause`, `via`,
        `left_by`. `on`: only stays that an instant, or any of a day (`2026-01-31`), falls into, and `nth`, which of the contact's
        it is. Raises NotFound for a segment that no run has computed, ClockError for what is no date.
        """
        from segmentry.engine import stays

        loaded = self.load()
        with self._state(loaded) as state:
            found = stays.stays(state, loaded, name, contact)
        return found if on is None else stays.stays_on(found, on, loaded.config.timezone)

    def groups(self, name: str) -> pl.DataFrame:
        """The groups of a segment's split, accepted run by accepted run: `run`, `as_of`, `group`, `share` (percent), `size`.

        A row without a group is of those who are in none. Runs without memberships any more are left out. Raises NotFound.
        """
        from segmentry.engine.split_past import sizes

        with self._state(self.load()) as state:
            return sizes(state, name)

    def regrouped(self, former: int | str | None = None, latter: int | str | None = None, *, segment: str | None = None) -> pl.DataFrame:
        """Members who are in another group since their split was edited: `segment`, `contact`, `before`, `now` (missing: in none).

        Between two runs; between a run, or the accepted one, and the accepted one before it. Raises NotFound.
        """
        from segmentry.engine.split_past import regrouped_between

        with self._state(self.load()) as state:
            return regrouped_between(state, run_number(former), run_number(latter), segment)

    def backtest(
        self,
        names: Sequence[str],
        rules: Sequence[Written] = (),
        *,
        first: datetime | str,
        last: When = None,
        every: str = "1 day",
        split: bool = False,
    ) -> Backtest:
        """How large segments would have been at every instant of a past period, and who would have come and gone; see `Backtest`.

        `rules` are candidates beside them. With `split` a segment that is divided is shown group by group; NotFound where none is.
        Raises ClockError for a period that is none, NotFound, RuleError and SourceError.
        """
        from segmentry.engine.backtesting import backtest, instants

        now = clock_now()
        moment = self.moment(now)
        period = instants(instant_of(first), now if last is None else instant_of(last), every, moment.clock.zone, now)
        return backtest(moment, names, rules, period, split=split)
