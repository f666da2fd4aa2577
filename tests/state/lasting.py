"""A workspace that nobody looks after for a long time: hour after hour, with all that happens to data, rules, clocks and runs.

Every run is made twice from one state, by itself and in full, as in `drawn`. The population stays as large as it was, while its people
are others by and by: so whatever grows is what is kept of what was.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from segmentry.engine.report import STAGES
from segmentry.errors import ClockError
from tests.state.drawn import TICK
from tests.state.drawn_otherwise import DrawnOtherwise
from tests.state.killing import ended, gc_killed_after, killed_after, killed_at, killed_within

HOUR = timedelta(hours=1)
MOMENTS = (*STAGES, "half a file", "published", "committed", "any", "any")
"""When a run is killed: as a stage begins, at a moment within the commit, or whenever it is."""

OFTEN = (
    "a_row_changes", "one_value_changes", "one_value_changes", "people_come_and_go", "people_come_and_go", "more_events", "more_events",
    "more_events", "more_calls", "late_events_come", "an_export_is_repeated", "a_file_is_rewritten", "a_file_goes", "files_change_places",
    "a_list_changes", "the_first_are_gone",
)  # fmt: skip
SELDOM = (
    "a_rule_is_edited", "a_rule_is_edited", "a_rule_is_as_it_was", "a_place_in_the_group_changes", "a_segment_is_renamed", "shares_change",
    "others_are_suppressed", "somebody_is_merged", "somebody_who_is_merged_has_other_events", "somebody_is_forgotten", "a_historical_run",
    "a_segment_is_held", "nearly_all_go", "all_are_back", "all_are_back", "the_clock_is_behind", "an_older_state_is_put_back",
)  # fmt: skip
FILES, NAMES, JUMPS = 12, 6, 0.05
"""How many files of events, and of calls, there are at most; names that a segment had; how often the clock goes on otherwise."""


@dataclass
class Lasting(DrawnOtherwise):
    """One life. `keep` is how long memberships are kept, `tidies` after how many hours what is older goes."""

    keep: timedelta = timedelta(days=3)
    tidies: int = 24
    hours: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    lately: list[str] = field(default_factory=list)
    """What happened in this hour."""
    _is_killed: bool = False

    def hour(self) -> None:
        """One hour of it, at the end of which there is a run."""
        draw, happenings = self.draw, []
        if draw.random() < 0.85:
            happenings += draw.sample(OFTEN, draw.choice([1, 1, 2, 3]))
        if draw.random() < 0.25:
            happenings.append(draw.choice(SELDOM))
        self.hours += 1
        self.lately = []
        self.clock()
        for name in happenings:
            self.happens(name)
            getattr(self, name)()
        self._is_killed = not self.holds and draw.random() < 0.1
        self.run_both()
        self.old_files_go()

    def happens(self, what: str) -> None:
        self.happened[what] += 1
        self.lately.append(what)

    def clock(self) -> None:
        """Mostly an hour goes by. Else the machine slept, or a run is just before, at and just after an edge."""
        if self.next or self.draw.random() < JUMPS:
            super().clock()
        else:
            self.now += HOUR

    @property
    def is_night(self) -> bool:
        return self.hours % self.tidies == 0

    # ------------------------------------------------------------ what may happen between two runs

    def late_events_come(self) -> None:
        """A file that was read before has more rows than it had."""
        name = self.draw.choice([name for name in self.files if name.startswith("events")])
        self.more_events()
        late = self.files.pop(f"events/e{self.numbers}")
        self.unlink(f"events/e{self.numbers}")
        self.files[name] += late
        self.write(name)

    def an_export_is_repeated(self) -> None:
        """All rows of a file come again in another."""
        name = self.draw.choice(list(self.files))
        self.numbers += 1
        again = f"{name.partition('/')[0]}/again{self.numbers}"
        self.files[again] = [dict(row) for row in self.files[name]]
        self.write(again)

    def old_files_go(self) -> None:
        """As a lake keeps its files: for a time. So no more is read than at first."""
        for kind in ("events", "calls"):
            names = [name for name in self.files if name.startswith(kind)]
            for name in names[: max(len(names) - FILES, 0)]:
                self.a_file_goes(name)

    def the_first_are_gone(self) -> None:
        """Whoever has the lowest number never comes again, and one more may come than before."""
        for people in (self.people, self.absent):
            people.pop(self.first, None)
        self.first += 1
        self.people[self.first + 11] = self.person()
        self.write_contacts()

    def a_segment_is_renamed(self) -> None:
        """A few times in its life: each name stays in its file, and with every run."""
        if len(self.renamed) < NAMES:
            super().a_segment_is_renamed()

    def the_clock_is_behind(self) -> None:
        """A run by a clock that is before the accepted run's is refused, and nothing has happened."""
        accepted, before = self.shop.state.accepted(), self._newest()
        assert accepted is not None
        with pytest.raises(ClockError):
            self.shop.run(accepted.started - self.draw.choice([TICK, HOUR, timedelta(days=400)]))
        assert self._newest() == before

    # ------------------------------------------------------------ runs that are killed

    def own(self) -> dict[str, Any]:
        """What a run keeps, and some are killed: then that was the run, or the next one does what it would have done."""
        if not self._is_killed:
            return super().own()
        before = self._newest()
        self.shop.write_config()
        moment = self.draw.choice(MOMENTS)
        if moment == "any":
            end = killed_within(self.draw.uniform(0, 0.4), killed_after, self.shop.root, self.now.isoformat())
        else:
            end = ended(killed_at, self.shop.root, self.now.isoformat(), moment)
        assert end in (0, -SIGKILL)
        self.happens(f"killed: {moment}" if end else "killed too late")
        newest = self._newest()
        return super().own() if newest == before else self.kept_of(newest, self.shop.state.changes(newest))

    def _newest(self) -> int:
        state = self.shop.state
        try:
            return state.runs()[-1].id
        finally:
            state.close()

    # ------------------------------------------------------------ what keeps it small

    def night(self) -> None:
        """What a timetable does every night: what is past its time goes, and all the rest is saved somewhere else."""
        if self.draw.random() < 0.2:
            killed_within(self.draw.uniform(0, 0.1), gc_killed_after, self.shop.root, self.keep, self.now)
            self.happens("gc killed")
        state = self.shop.state
        state.gc(self.keep, self.now)
        state.close()
        shutil.rmtree(self._saved, ignore_errors=True)
        shutil.copytree(self._folder, self._saved)

    def an_older_state_is_put_back(self) -> None:
        """That of the last night."""
        if self._saved.exists():
            shutil.rmtree(self._folder)
            shutil.copytree(self._saved, self._folder)

    @property
    def _folder(self) -> Path:
        return self.shop.root / ".segmentry"

    @property
    def _saved(self) -> Path:
        return self.shop.root / "saved"
