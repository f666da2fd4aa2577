"""The soak: a workspace lives through a thousand hours, each run is made twice, by itself and in full, and the state stays small.

    make soak                     # 1,000 runs, from the seed of all tests
    make soak RUNS=200 SEED=7     # fewer, and others

Each night says how large the state is; a failure says what happened in its hour. The seed draws everything, but at which instant a run
is killed that is killed at any.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from tests.conftest import DEFAULT_SEED
from tests.state.conftest import Shop
from tests.state.lasting import Lasting

SEGMENTS = 4
"""How many are drawn, beside those that every history has."""

FOR_GOOD = ("changes", "skipped", "ledger", "catalog")
"""How the files begin that stay: who came and went is kept for good, and so are the runs' records. Others go with what they are about."""

ORDERS = 24
"""Files of keys that the newest order has, at most: each has somebody new, and no more than a quarter of an order is of who is gone."""

MORE = 1.5
"""How much more there may be late than early: which edits were drawn makes some difference, what nobody removes makes another."""


@dataclass(frozen=True)
class Night:
    """How large the state is once `gc` has been. `files` and `bytes` are of what goes with time, `kept_...` of what stays.

    `runs` are those that are known, `young` those of which memberships are kept; `segments` are all there ever were, and `events` how
    many files of events there are.
    """

    hour: int
    runs: int
    young: int
    segments: int
    events: int
    files: int
    bytes: int
    kept_files: int
    kept_bytes: int

    @classmethod
    def of(cls, life: Lasting) -> Night:
        with closing(life.shop.state) as state:
            folder, runs = state.folder, state.runs()
            segments, events = len(state.segments()), len(state.event_files())
        young = sum(run.committed >= life.now - life.keep for run in runs)
        found = [path for path in folder.rglob("*") if path.is_file()]
        stays = [path for path in found if path.name.startswith(FOR_GOOD)]
        goes = [path for path in found if not path.name.startswith(FOR_GOOD)]
        return cls(life.hours, len(runs), young, segments, events, len(goes), _bytes(goes), len(stays), _bytes(stays))

    @property
    def owners(self) -> int:
        """What may need files that go: young runs, and for each segment the run that it is compared with, or was first computed in."""
        return self.young + self.segments + 1

    def check(self) -> None:
        """A run writes members, keys, and who is present, a file each; whose events files had, the newest alone."""
        most = 3 * self.owners + ORDERS + self.events
        assert self.files <= most, f"at most {most:,} files that go with time: {self}"


def _bytes(paths: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def soak(shop: Shop, seed: int, runs: int, *, keep: timedelta, tidies: int, told: Callable[[str], object]) -> list[Night]:
    """A life of so many runs, and how large its state was every night. `keep` and `tidies` are as in `lasting`."""
    life = Lasting(shop, random.Random(seed), keep=keep, tidies=tidies)
    began, nights = time.monotonic(), []
    try:
        life.begin(SEGMENTS)
        life.run_both()
        for _ in range(runs):
            life.hour()
            if life.is_night:
                life.night()
                nights.append(Night.of(life))
                told(f"{time.monotonic() - began:7.1f}s  {life.now:%Y-%m-%d %H:%M}  {nights[-1]}")
                nights[-1].check()
    except BaseException as error:
        error.add_note(f"seed {seed}, hour {life.hours} of {runs}: {', '.join(life.lately)}")
        raise
    told(f"{len(life.parts)} runs in parts, {len(life.fulls)} full by themselves; {dict(life.happened.most_common())}")
    return nights


def check_growth(nights: Sequence[Night]) -> None:
    """As many people, files and runs need no more late in a life than early.

    The first quarter is left out: memberships are kept for a time, so there are more and more of them until that has gone by. Who came
    and went is kept for good, so that part grows, with every run by no more late than early: were it more, a workspace would cost more
    with each of its years.
    """
    quarter = len(nights) // 4
    assert quarter >= 2, f"{len(nights)} nights say nothing of what grows: let it live longer"
    early, late = nights[quarter : 2 * quarter], nights[-quarter:]
    for what in ("files", "bytes"):
        then, now = (max(getattr(night, what) / night.owners for night in part) for part in (early, late))
        assert now <= MORE * then, f"{what}: {then:,.1f} a kept run in the second quarter, {now:,.1f} in the last"
    for what in ("kept_files", "kept_bytes"):
        then, now = ((getattr(part[-1], what) - getattr(part[0], what)) / (part[-1].runs - part[0].runs) for part in (early, late))
        assert now <= MORE * then, f"{what}: {then:,.1f} more with a run in the second quarter, {now:,.1f} in the last"


def main() -> None:
    parser = argparse.ArgumentParser(prog="soak")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    chosen = parser.parse_args()
    told = partial(print, flush=True)
    told(f"seed {chosen.seed}, {chosen.runs} runs")
    with tempfile.TemporaryDirectory(prefix="segmentry-soak-") as folder:
        shop = Shop(Path(folder) / "shop")
        shop.root.mkdir()
        # three days, so that in the second quarter of a thousand hours what the first ones kept has long gone
        nights = soak(shop, chosen.seed, chosen.runs, keep=timedelta(days=3), tidies=24, told=told)
    check_growth(nights)
    told("every run by itself was as the one in full, and the state stayed small")


if __name__ == "__main__":
    main()
