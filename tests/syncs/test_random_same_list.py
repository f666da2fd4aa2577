"""Random histories of two segments that add to one list: who left it by either, or was taken off unread, is put back by none; all come in
who should, and all comes to rest."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from segmentry.engine.activation import Standing
from segmentry.engine.loading import LoadedWorkspace, load
from segmentry.engine.state import synced
from segmentry.engine.state.synced import AWAY, MEMBER, SyncDraft
from segmentry.engine.sync_rows import closed
from tests.syncs.test_random_syncs import DENSE, SPARSE, happen, misfortune, nobody_knows
from tests.syncs.world import LIST, Person, World

SEGMENTS = ("rich", "uk")
HISTORIES = 2


@dataclass
class Shared(World):
    """One list that two segments add to: `inside` of a person is said of `uk`, `rich` has the keys of who is in the other."""

    mode: str = "add"
    rich: set[str] = field(default_factory=set)

    def workspace(self) -> LoadedWorkspace:
        entry = "sync: {destination: crm, list: people, mode: add, existing: send, fields: {tier: tier}}\n"
        for name in SEGMENTS:
            (self.root / "segments" / f"{name}.yml").write_text(f'where: "true"\n{entry}')
        return load(self.root).require()

    def standing(self) -> Standing:
        found = super().standing()
        members = {"uk": found.member("uk"), "rich": found.keys.is_in(sorted(self.rich))}
        return replace(found, member=members.__getitem__, segments=frozenset(SEGMENTS))

    def wanted(self) -> set[str]:
        """The addresses of whoever is in either segment, but for those that a suppressed contact has as well."""
        here = [one for one in self.people.values() if one.there and one.normalised is not None]
        suppressed = {one.normalised for one in here if one.suppressed}
        return {str(one.normalised) for one in here if one.inside or one.key in self.rich} - suppressed

    def kept_out(self) -> set[str]:
        """The addresses of whoever left."""
        left = {row["contact"] for row in self.all_rows() if row["state"] == AWAY}
        return {str(one.normalised) for one in self.people.values() if one.key in left}

    def taken_off(self, key: str) -> bool:
        """The contact is taken off by hand, and that is read of one of the syncs that have it; whether any has it beyond doubt."""
        with self.state.catalog.reading() as connection:
            records = synced.syncs(connection)
            rows = [synced.rows_of(connection, one.id) for one in records]
        beyond = (pl.col("state") == MEMBER) & pl.col("action").is_null() & pl.col("lease").is_null() & ~pl.col("maybe")
        ready = [(one, found) for one, mine in zip(records, rows, strict=True) if (found := mine.filter(beyond, contact=key)).height]
        if not ready:
            return False
        record, row = self.draw.choice(ready)
        known = self.memory.people(LIST).get(row["remote_id"][0])
        if known is None or not known.inside:
            return False
        known.inside, known.left = False, "taken off by hand"
        written = closed(row).with_columns(pl.lit(AWAY).alias("state"))
        draft = SyncDraft(record.id, *record.key, mode=record.mode, status=record.status, answer=record.answer, figures=record.figures)
        with self.state.catalog.writing() as connection:
            synced.apply_syncs(connection, [replace(draft, written=written, left=written["address_hash"].to_list())], self.now)
        return True


def step(world: Shared) -> str:
    """Something happens to somebody; what, in words."""
    key, luck = world.draw.choice(world.names), world.draw.random()
    if luck < 0.2:
        world.rich ^= {key} - world.merged.keys()
        return f"rich {key}"
    if luck < 0.35:
        return f"taken off {key}" if world.taken_off(key) else "nothing"
    return happen(world)


def live(world: Shared) -> None:
    for key in world.names[:5]:
        world.people[key] = Person(key, f"{key}@x.example", inside=world.draw.random() < 0.5)
    for _ in range(12):
        for _ in range(world.draw.randrange(1, 4)):
            world.history.append(step(world))
        world.now += timedelta(minutes=10)
        world.compute()
        misfortune(world)
        world.history.append("tell")
        world.tell()
        assert world.memory.wrongs == [], world.history
        nobody_knows(world)
    world.rejects = set()
    for person in world.people.values():  # so that what was rejected is tried again
        person.tier += 1000
    world.rest()


def check(world: Shared) -> None:
    told, rows = world.history, world.all_rows()
    assert world.memory.wrongs == [], told
    assert all(row["action"] is None for row in rows), told
    world.compute()
    before = len(world.memory.synced)
    world.tell()
    assert len(world.memory.synced) == before, told
    there = world.memory.people(LIST)
    left = {row["contact"] for row in rows if row["state"] == AWAY}  # of whom the sync of a segment that it is in no more is told nothing
    sure = [row for row in rows if row["state"] == MEMBER and not row["perhaps_out"] and row["contact"] not in left]
    members = [there[row["remote_id"]] for row in sure]
    assert all(one.inside or one.left is not None for one in members), told
    assert world.wanted() <= world.inside | {str(one.address) for one in there.values() if one.left is not None} | world.kept_out(), told


def run(folder: Path, seed: str) -> None:
    keyed = random.Random(f"{seed}:keyed").random() < 0.5
    names = random.Random(f"{seed}:names").choice([SPARSE, DENSE])
    world = Shared(folder / "w", random.Random(seed), keyed=keyed, names=names)
    try:
        live(world)
        check(world)
    finally:
        world.state.close()


@pytest.mark.parametrize("number", range(HISTORIES))
def test_a_random_history_ends_in_step(tmp_path: Path, seed: int, number: int) -> None:
    run(tmp_path, f"{seed}:same:{number}")


@pytest.mark.full
@pytest.mark.parametrize("number", range(20))
def test_many_random_histories_end_in_step(tmp_path: Path, seed: int, number: int) -> None:
    for further in range(30):
        run(tmp_path / str(further), f"{seed}:same:full:{number}:{further}")
