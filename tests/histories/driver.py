"""Drives a world through a random history: changes it, runs, delivers, decides, breaks things, and holds the state against the model."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from segmentry.engine.deciding import approve, discard
from segmentry.engine.deliveries import pause, resume, settle
from segmentry.engine.fitness import fit
from segmentry.engine.moment import Moment
from segmentry.engine.run import recompute
from segmentry.engine.snapshot import ContactSource
from segmentry.engine.state import commit as commits
from segmentry.engine.state.files import Staging
from segmentry.errors import DecisionError
from tests.histories.checking import check, check_run, identity
from tests.histories.dividing import another_split, divided_otherwise, groups
from tests.histories.files import Folder, utc
from tests.histories.model import Model
from tests.histories.receivers import Killed, Receivers
from tests.histories.records import Hold, Limits, Place
from tests.histories.restoring import Restoring
from tests.histories.world import Key, Policy, Row, Segment, Sequence, Split, Tree, World, named, rests_on

WORKSPACE = "7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11"
START = datetime(2026, 1, 10, 9)  # noqa: DTZ001 - the model counts in UTC
AGAIN: tuple[str | int, ...] = ("never", "never", "every time", 1, 4)
LISTS = ("vip.csv", "never.csv")
TOLD = "fields: {spend: spend}"
SEQUENCES = (("hello", "crm", TOLD), ("offer", "crm", TOLD), ("gift", "once", TOLD), ("post", "letters", TOLD))
ON = (frozenset({"data", "time", "source", "list"}),) * 4 + (
    frozenset({"data", "time", "source", "list", "rule"}),
    frozenset({"data", "time"}),
    frozenset({"source", "list"}),
)


@dataclass
class Driver(Restoring):
    """One history."""

    folder: Folder
    draws: random.Random
    keys: list[Key]
    model: Model
    receivers: Receivers
    world: World = field(default_factory=World)
    now: datetime = START
    done: list[str] = field(default_factory=list)
    numbers: int = 0
    former: dict[str, Segment] = field(default_factory=dict)
    gone: dict[str, Segment] = field(default_factory=dict)
    backup: Model | None = None
    unfinished: Model | None = None
    """What was known before the last run that was killed after its commit."""
    sequences: tuple[tuple[str, str, str], ...] = SEQUENCES
    """Name, destination, its destination's words."""
    pausable: tuple[str, ...] = ("crm", "once")
    divides: bool = True
    """Whether segments are split."""
    telling: dict[str, Any] = field(default_factory=lambda: {"environ": {}})
    """What destinations are opened by."""

    @classmethod
    def new(cls, root: Path, seed: int) -> Driver:
        draws = random.Random(seed)
        integers = draws.random() < 0.6
        keys: list[Key] = list(range(1, 23)) if integers else [f"k{number:02}" for number in range(1, 23)]
        place = Place(WORKSPACE, "default", "integer" if integers else "text")
        tight = Limits(draws.choice([40, 100]), (draws.choice([40, 60]), draws.choice([2, 4])), (30, 1), draws.choice([4, 8]))
        limits = draws.choice([Limits(), tight, tight])
        return cls(Folder(root, place, limits), draws, keys, Model(place, limits), Receivers(WORKSPACE))

    # ------------------------------------------------------------ the world

    def set(self, **parts: object) -> None:
        self.world = replace(self.world, **parts)  # type: ignore[arg-type]

    def row(self, key: Key) -> Row:
        draw = self.draws
        joined = self.now + timedelta(days=draw.randint(-8, 3), minutes=17)
        email = self.address(key)
        standing = draw.choice(["ok", "ok", "ok", "ok", "out"])
        return Row(draw.choice([None, *range(-2, 10)]), draw.choice([None, "UK", "US"]), draw.choice([None, joined]), standing, email)

    def address(self, key: Key) -> str | None:
        return self.draws.choice([None, *(f"p{number}@example.com" for number in range(16)), " P3@Example.com"])

    def begin(self) -> None:
        self.folder.begin()
        self.set(rows={key: self.row(key) for key in self.draws.sample(self.keys, 14)})
        for name in LISTS:
            self.a_list_changes(name)
        for name, destination, words in self.sequences:
            expires, staying = self.draws.choice([10, 72, 72, 200]), self.draws.random() < 0.8
            self.set(sequences={**self.world.sequences, name: Sequence(name, destination, expires, staying, words=words)})
        for name in "abc":
            self.a_segment_is_edited(name)
        if self.draws.random() < 0.7:
            self.suppress_is_edited()
        self.run()

    def people_change(self) -> None:
        rows = dict(self.world.rows)
        for key in self.draws.sample(list(rows), min(len(rows), self.draws.choice([1, 2, 5]))):
            made = self.row(key)
            rows[key] = self.draws.choice([made, replace(rows[key], spend=made.spend), replace(rows[key], email=made.email)])
        self.set(rows=rows)

    def people_come_and_go(self) -> None:
        share = self.draws.choice([0.05, 0.1, 0.5])
        rows = {key: row for key, row in self.world.rows.items() if self.draws.random() > share}
        for key in self.draws.sample(self.keys, self.draws.choice([1, 2, 6])):
            if key not in self.world.aliases:
                rows.setdefault(key, self.row(key))
        self.set(rows=rows or self.world.rows)

    def standings_change(self) -> None:
        rows = dict(self.world.rows)
        for key in self.draws.sample(list(rows), min(len(rows), 3)):
            rows[key] = replace(rows[key], standing=self.draws.choice(["ok", "out"]))
        self.set(rows=rows)

    def contacts_are_merged(self) -> None:
        """One goes on under another's key, which may be new; sometimes both are still there for a while."""
        rows, aliases = dict(self.world.rows), dict(self.world.aliases)
        old, new = self.draws.sample(self.keys, 2)
        if old in aliases or new in aliases or old not in rows:
            return
        aliases[old] = new
        row = rows[old] if self.draws.random() < 0.2 else rows.pop(old)
        rows.setdefault(new, row)
        self.set(rows=rows, aliases=aliases)

    def a_list_changes(self, name: str | None = None) -> None:
        name = name or self.draws.choice(LISTS)
        kept = [key for key in sorted(self.world.lists.get(name, ())) if self.draws.random() > 0.4]
        self.set(lists={**self.world.lists, name: frozenset([*kept, *self.draws.sample(self.keys, 1)])})

    def leaf(self) -> Tree:
        return self.draws.choice([("spend", self.draws.randint(0, 8)), ("country", "UK"), ("recent", self.draws.choice([2, 5]))])

    def rule(self, others: list[str], depth: int = 0) -> Tree:
        choice = self.draws.randrange(8 if depth < 1 else 4)
        if others and choice in (2, 3):
            return ("member", self.draws.choice(others))
        if choice <= 3:
            return self.leaf()
        if choice == 4:
            return ("not", self.rule(others, depth + 1))
        return (self.draws.choice(["and", "or"]), self.rule(others, depth + 1), self.rule(others, depth + 1))

    def policies(self, split: Split | None) -> tuple[Policy, ...]:
        draw = self.draws
        chosen = draw.sample(sorted(self.world.sequences), draw.choice([1, 1, 2, 3]))
        made = [Policy(name, draw.choice(AGAIN), draw.random() < 0.25, draw.choice(ON)) for name in chosen]
        return tuple(one if split is None else replace(one, split=groups(draw, split)) for one in made)

    def a_split_is_edited(self, name: str | None = None) -> None:
        """Or there is one, or none any more; who is enrolled in groups that are gone is enrolled in others."""
        if not self.divides:
            return
        name = name or self.draws.choice(sorted(self.world.segments))
        one = self.world.segments[name]
        dropped = one.split is not None and self.draws.random() < 0.1
        split = None if dropped else another_split(self.draws, one, partial(self.another, "g"))
        self.set(segments={**self.world.segments, name: divided_otherwise(self.draws, one, split)})

    def a_segment_is_edited(self, name: str | None = None) -> None:
        name = name or self.draws.choice("abcd")
        former = self.world.segments.get(name)
        others = [other for other in sorted(self.world.segments) if other < name]
        lists: list[str | None] = [None, None, None, *LISTS]
        made = former or self._made_anew(name)
        if self.draws.random() < 0.1:
            made = replace(made, rule=None, list=self.draws.choice(LISTS), include=None, exclude=self.draws.choice(lists))
        else:
            include, exclude = self.draws.choice(lists), self.draws.choice(lists)
            made = replace(made, rule=self.rule(others), list=None, include=include, exclude=exclude)
        if former is not None:
            self.former[name] = former
        self.set(segments={**self.world.segments, name: made})
        if former is None and self.divides and self.draws.random() < 0.6:
            self.a_split_is_edited(name)

    def _made_anew(self, name: str) -> Segment:
        """A segment that is new, or that went: by the name that it had at last, as nothing else may have a former one of it."""
        called = self.gone.get(name, Segment(name, None))
        return Segment(called.name, None, enroll=self.policies(None), formerly=called.formerly)

    def an_edit_is_taken_back(self) -> None:
        for name, former in self.former.items():
            now = self.world.segments.get(name)
            rests = set() if former.rule is None else named(former.rule)
            if now is not None and rests <= self.world.segments.keys():
                back = replace(now, rule=former.rule, list=former.list, include=former.include, exclude=former.exclude)
                self.set(segments={**self.world.segments, name: back})

    def a_policy_is_edited(self) -> None:
        name = self.draws.choice(sorted(self.world.segments))
        split = self.world.segments[name].split
        enroll = self.policies(split) if self.draws.random() < 0.85 else ()
        self.set(segments={**self.world.segments, name: replace(self.world.segments[name], enroll=enroll)})

    def a_segment_goes(self) -> None:
        used = {other for one in self.world.segments.values() if one.rule is not None for other in named(one.rule)}
        used |= set() if self.world.suppress is None else named(self.world.suppress)
        free = sorted(self.world.segments.keys() - used)
        if free and len(self.world.segments) > 1:
            gone = self.draws.choice(free)
            self.gone[gone] = self.world.segments[gone]
            self.set(segments={name: one for name, one in self.world.segments.items() if name != gone})

    def a_segment_is_renamed(self) -> None:
        name = self.draws.choice(sorted(self.world.segments))
        one = self.world.segments[name]
        renamed = replace(one, name=self.another(name), formerly=(*one.formerly, one.name))
        if one.split is not None and len(renamed.formerly) > 1:  # by whichever of them it was divided has to be said
            renamed = replace(renamed, split=one.divided)
        self.set(segments={**self.world.segments, name: renamed})

    def a_sequence_is_renamed(self) -> None:
        name = self.draws.choice(sorted(self.world.sequences))
        one = self.world.sequences[name]
        renamed = replace(one, name=self.another(name), formerly=(*one.formerly, one.name))
        self.set(sequences={**self.world.sequences, name: renamed})

    def another(self, name: str) -> str:
        """A name that nothing ever had, which says whose it is."""
        self.numbers += 1
        return f"{name}_{self.draws.choice('az')}{self.numbers}"

    def a_sequence_is_edited(self) -> None:
        name = self.draws.choice(sorted(self.world.sequences))
        one = self.world.sequences[name]
        self.set(
            sequences={**self.world.sequences, name: replace(one, while_member=not one.while_member, paused=self.draws.random() < 0.3)}
        )

    def suppress_is_edited(self) -> None:
        segments = [("member", name) for name in sorted(self.world.segments)]
        rules: list[Tree | None] = [None, ("out",), ("out",), ("spend", 7), *[("or", ("out",), one) for one in segments]]
        self.set(suppress=self.draws.choice(rules))

    def delivering_is_switched(self) -> None:
        self.set(deliver=not self.world.deliver)

    # ------------------------------------------------------------ runs

    def run(self, *, behind: timedelta = timedelta()) -> None:
        self.folder.write(self.world)
        as_of = self.now - behind
        run = recompute(self.folder.loaded(), as_of=utc(as_of), now=utc(self.now))
        status = self.model.run(self.world, as_of, self.now)
        assert str(run.record.status) == status
        if status == "accepted":
            check_run(self.folder, self.model, run.record.id)

    def time_passes_and_a_run(self) -> None:
        self.now += timedelta(hours=self.draws.choice([1, 3, 20, 30, 60, 71]))
        self.run()

    def a_long_time_passes(self) -> None:
        self.now += timedelta(hours=self.draws.choice([73, 100, 24 * 31]))
        self.run()

    def a_run_that_is_late(self) -> None:
        self.now += timedelta(hours=70)
        self.run(behind=timedelta(hours=50))

    def a_run_that_looks_back(self) -> None:
        assert self.model.accepted is not None
        self.run(behind=self.now - self.model.accepted.as_of + timedelta(hours=self.draws.choice([0, 5])))

    def a_run_is_killed(self) -> None:
        """Before its commit, and nothing has happened; or after it, and everything has."""
        self.now += timedelta(hours=3)
        self.folder.write(self.world)
        after = self.draws.random() < 0.5

        def end(*_: object, **__: object) -> None:
            raise Killed

        with pytest.MonkeyPatch.context() as patch:
            if after:
                patch.setattr(commits, "ledger", SimpleNamespace(finish_names=end))
            else:
                patch.setattr(Staging, "publish", end)
            with pytest.raises(Killed):
                recompute(self.folder.loaded(), as_of=utc(self.now), now=utc(self.now))
        if after:
            self.unfinished = copy.deepcopy(self.model)
            self.model.run(self.world, self.now, self.now)

    # ------------------------------------------------------------ deliveries

    def a_delivery(self) -> None:
        self.folder.write(self.world)
        self.now = self.receivers.deliver(self.folder, self.model, self.world, self.now, [])

    def a_cruel_delivery(self) -> None:
        self.folder.write(self.world)
        count = self.draws.randint(1, 6)
        self.now = self.receivers.deliver(self.folder, self.model, self.world, self.now, self.receivers.cruelty(self.draws, count))
        self.now += timedelta(minutes=self.draws.choice([0, 10, 60 * 5]))

    def something_is_paused(self) -> None:
        name = self.draws.choice([None, *self.pausable, *self.world.sequences])
        self.folder.write(self.world)
        with self.folder.state() as state:
            pause(state, self.folder.loaded(), self.world.sequences[name].name if name in self.world.sequences else name, utc(self.now))
        self.model.pauses.add(name or "*")

    def pauses_end(self) -> None:
        self.folder.write(self.world)
        waiting = self.draws.random() < 0.5
        for written in sorted(self.folder.seen().pauses):
            name = identity(written)
            called = None if name == "*" else name
            with self.folder.state() as state:
                loaded = self.folder.loaded()
                at = None if called is None else written
                still = partial(fit, loaded, state)
                found = resume(state, loaded, at, utc(self.now), send_waiting=waiting, fit=still)
            self.model.pauses.discard(name)
            chosen = [row for row in self.model.rows.values() if row.outcome == "paused" and self.is_under(row.sequence, called)]
            released = [row for row in chosen if waiting and self.model.fit(row, self.world)]
            assert found.released == len(released), (found, released)
            for row in released:
                row.outcome, row.since = "pending", self.now

    def is_under(self, sequence: str, name: str | None) -> bool:
        return name in (None, sequence, self.world.sequences[sequence].destination)

    def somebody_settles_deliveries(self) -> None:
        action = self.draws.choice(["retry", "drop", "mark-sent"])
        rows = [row for row in self.model.rows.values() if row.outcome in ("unknown", "rejected", "pending", "expired", "withdrawn")]
        chosen = self.draws.sample(sorted(rows, key=lambda row: row.id), min(len(rows), 3))
        if not chosen:
            return
        self.folder.write(self.world)
        with self.folder.state() as state:
            loaded = self.folder.loaded()
            known = self.folder.seen().deliveries
            said = settle(state, action, [row.id for row in chosen], utc(self.now), fit=partial(fit, loaded, state))
        for row in chosen:
            going = row.outcome in ("unknown", "rejected", "pending")
            if action == "retry":
                going = going and self.model.fit(row, self.world) and row.stop is None and known[row.id].payload is not None
            assert (row.id in said.changed) == going, (row, said)
            if going and action == "retry":
                row.outcome, row.since = "pending", self.now
                self.receivers.again.add(row.id)
            elif going:
                row.outcome = {"drop": "dropped", "mark-sent": "sent"}[action]

    # ------------------------------------------------------------ decisions

    def chosen_holds(self) -> list[Hold]:
        runs = sorted({hold.run for hold in self.model.open_holds()})
        return self.model.open_holds(self.draws.choice(runs)) if runs else []

    def is_as_compared(self, holds: Iterable[Hold]) -> bool:
        """Whether nothing was edited since what these holds were compared with."""
        it = self.model.accepted
        assert it is not None
        return all(
            {name: (one.name, one.definition, one.divided) for name, one in world.segments.items()}
            == {name: (one.name, one.definition, one.divided) for name, one in self.world.segments.items()}
            and {name: one.name for name, one in world.sequences.items()} == {name: one.name for name, one in self.world.sequences.items()}
            and world.suppress == self.world.suppress
            and bool(world.aliases) == bool(self.world.aliases)
            for world in [hold.computed.world if hold.computed is not None else it.world for hold in holds]
        )

    def something_is_approved(self) -> None:
        chosen = self.chosen_holds()
        if chosen:
            self.approve(chosen)

    def a_held_run_is_approved(self) -> None:
        """What holds a whole run, and none of the older holds beside it: until a run is accepted, a switched environment sends nothing."""
        for hold in [one for one in self.model.open_holds() if one.kind == "source"]:
            self.approve(self.model.open_holds(hold.run))
            assert hold.status == "approved", "a run just held was not approved"

    def approve(self, chosen: list[Hold]) -> None:
        """Somebody approves these holds of one run, or is refused where something may stand against it."""
        sure = self.must_be_accepted(chosen)
        baseline = self.draws.random() < 0.2 and all(hold.kind != "sequence" for hold in chosen)
        self.folder.write(self.world)
        loaded = self.folder.loaded()

        def newest() -> ContactSource:
            return Moment.at(loaded, utc(self.now)).snapshot.contacts

        with self.folder.state() as state:
            try:
                approve(loaded, state, chosen[0].run, [], utc(self.now), newest, baseline=baseline)
            except DecisionError:
                if sure:
                    raise
                return
        self.model.approve(chosen, self.world, self.now, baseline=baseline)

    def must_be_accepted(self, chosen: list[Hold]) -> bool:
        """Whether nothing stands against accepting these: they are all that their run held, as it was shown."""
        it = self.model.accepted
        assert it is not None
        partly = len(chosen) < len([hold for hold in self.model.holds if hold.run == chosen[0].run])
        outdated = any(hold.computed is not None and it.number > hold.run for hold in chosen)
        return not (outdated or partly) and self.is_as_compared(chosen) and self.only_definitions(chosen)

    def only_definitions(self, chosen: list[Hold]) -> bool:
        """Whether what refers to a held segment is decided on together with it."""
        held = {hold.name for hold in self.model.open_holds() if hold.kind == "segment"}
        names = {hold.name for hold in chosen if hold.kind == "segment"}
        return not (rests_on(self.world, names & self.world.segments.keys()) & held) - names

    def something_is_discarded(self) -> None:
        chosen = self.chosen_holds()
        if chosen:
            with self.folder.state() as state:
                discard(state, chosen[0].run, [], utc(self.now))
            self.model.discard(chosen, self.now)

    # ------------------------------------------------------------ the state

    def check(self) -> None:
        check(self.folder, self.model, self.receivers)

    def requests(self) -> int:
        """How many requests were made of all receivers."""
        return self.receivers.requests()

    def somebody_is_forgotten(self) -> None:
        key = self.draws.choice(self.keys)
        with self.folder.state() as state:
            state.forget([key], utc(self.now))
        self.model.forget(key)
        self.backup = None

    # ------------------------------------------------------------ steps

    OFTEN = (
        people_change,
        people_change,
        people_come_and_go,
        standings_change,
        a_list_changes,
        a_segment_is_edited,
        a_policy_is_edited,
        a_split_is_edited,
        a_split_is_edited,
    )
    SELDOM = (
        an_edit_is_taken_back, a_segment_goes, a_segment_is_renamed, a_sequence_is_renamed, a_sequence_is_edited, contacts_are_merged,
        contacts_are_merged, suppress_is_edited, delivering_is_switched, something_is_paused, something_is_paused, pauses_end, pauses_end,
        somebody_is_forgotten, Restoring.a_backup_is_made, Restoring.a_backup_is_made, Restoring.a_backup_is_put_back,
        Restoring.an_older_catalog_is_put_back, Restoring.an_older_catalog_is_put_back, somebody_settles_deliveries,
        somebody_settles_deliveries,
    )  # fmt: skip
    THEN = (
        *(time_passes_and_a_run,) * 8, *(a_delivery,) * 2, *(a_cruel_delivery,) * 3, *(something_is_approved,) * 2, something_is_discarded,
        a_run_that_is_late, a_run_that_looks_back, a_run_is_killed, a_long_time_passes,
    )  # fmt: skip

    def step(self) -> None:
        happenings = self.draws.choices(self.OFTEN, k=self.draws.choice([0, 1, 1, 2]))
        happenings += [self.draws.choice(self.SELDOM)] if self.draws.random() < 0.5 else []
        happenings.append(self.draws.choice(self.THEN))
        self.done = []
        for happening in happenings:
            self.done.append(happening.__name__)
            happening(self)
            self.check()

    def end(self) -> None:
        """Everybody is kind and patient: nothing that is due stays behind."""
        self.done = ["the end"]
        self.pauses_end()
        self.set(deliver=True, sequences={name: replace(one, paused=False) for name, one in self.world.sequences.items()})
        self.now += timedelta(hours=1)
        self.run()
        self.a_held_run_is_approved()
        while self.model.open_holds():
            self.something_is_discarded()
        for _ in range(3):
            self.a_delivery()
            self.now += timedelta(hours=25)
        self.check()
        left = [row for row in self.model.rows.values() if row.outcome in ("pending", "sending", "held")]
        assert not left, "due, and left behind"
