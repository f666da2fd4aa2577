"""Random histories of one sync: nobody is put back, nobody's own is removed, and in the end the list is as it should be."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from segmentry.engine.connectors.destination import Answer, Verdict
from segmentry.engine.identity import address_hash
from segmentry.engine.state import synced
from segmentry.engine.state.synced import REMOVE
from tests.syncs.world import LIST, Killed, Person, World

SPARSE, DENSE = "abcdefgh", "abc"
"""Whose histories there are: of many contacts, or of few, who have the same addresses in turn and are one person there before long."""

HISTORIES = 6

KINDS = {
    "enter": 5,
    "exit": 5,
    "gone": 3,
    "back": 3,
    "suppress": 2,
    "lift": 2,
    "address": 3,
    "share": 2,
    "tier": 3,
    "hand out": 3,
    "hand in": 1,
    "merge": 1,
    "time": 3,
}
"""What happens, and how often."""

FOLLOW = {**KINDS, "follow": 5}
"""The same, of few: one goes, and another comes with the address that it had."""


def happen(world: World, never: str = "") -> str:
    """Something happens, but `never` that; what, in words."""
    draw, people = world.draw, world.people
    key = draw.choice(world.names)
    kinds = {kind: often for kind, often in (FOLLOW if world.names == DENSE else KINDS).items() if kind != never}
    kind = draw.choices(list(kinds), list(kinds.values()))[0]
    one = people.setdefault(key, Person(key, f"{key}@x.example", inside=False))
    if key in world.merged:
        return "nothing"
    if kind in ("enter", "exit"):
        one.inside = kind == "enter"
    elif kind in ("gone", "back"):
        one.there = kind == "back"
    elif kind in ("suppress", "lift"):
        one.suppressed = kind == "suppress"
    elif kind == "address":
        one.address = draw.choice([None, f" {key.upper()}@x.example", f"{key}{draw.randrange(3)}@x.example"])
    elif kind == "share":
        one.address = people.get(draw.choice(world.names), one).address
    elif kind == "follow":
        follower = people.get(draw.choice(world.names), one)
        if follower is not one and follower.key not in world.merged:
            one.inside, follower.inside, follower.address = False, True, one.address
    elif kind == "tier":
        one.tier = draw.randrange(100)
    elif kind == "hand out":
        for known in world.memory.people(LIST).values():  # before it is acknowledged, nobody can know who took whom off
            if known.inside and known.address == one.normalised and known.remote_id in world.acknowledged():
                known.inside, known.left = False, "taken off by hand"
    elif kind == "hand in":
        world.memory.put_in(LIST, f"friend{key}@x.example")
    elif kind == "merge":
        other = draw.choice(world.names)
        if other != key and other in people and other not in world.merged and key not in world.merged.values():
            world.merged[key] = other
            one.there, one.inside = False, False
    elif kind == "time":
        world.now += timedelta(hours=draw.choice([1, 5, 25]))
    return f"{kind} {key}"


def misfortune(world: World) -> None:
    """What the next requests meet."""
    draw = world.draw
    world.script = {}
    if draw.random() < 0.3:
        moment = draw.choice(["before", "after", "answer"])
        fate = Answer(Verdict.LATER, "busy", maybe=True) if moment == "answer" else Killed()
        world.script[moment] = [None] * draw.randrange(3) + [fate]
    world.rejects = {key for key in world.names if draw.random() < 0.05}


def nobody_knows(world: World) -> None:
    """Whom our own removal may have taken off, somebody else may have as well: nobody can tell, and who is in again is added again."""
    perhaps = {row["remote_id"] for row in world.all_rows() if row["action"] == REMOVE and row["maybe"]}
    for known in world.memory.people(LIST).values():
        if known.remote_id in perhaps and known.left == "taken off by hand":
            known.left = None


def live(world: World) -> None:
    for key in world.names[:5]:
        world.people[key] = Person(key, f"{key}@x.example", inside=world.draw.random() < 0.6)
    for _ in range(12):
        for _ in range(world.draw.randrange(1, 4)):
            world.history.append(happen(world))
        world.now += timedelta(minutes=10)
        world.compute()
        if world.draw.random() < 0.2:  # a run that comes before the former one was told
            world.history.append(happen(world))
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


def check(world: World) -> None:
    told = world.history
    rows = world.rows()
    assert world.memory.wrongs == [], told
    assert all(row["action"] is None for row in rows.values()), told
    known_left = {row["contact"] for row in rows.values() if row["state"] == "left"}
    friends = {known.address for known in world.memory.people(LIST).values() if known.remote_id.startswith("hand:") and known.left is None}
    assert friends <= world.inside, told
    barred = world.away | {
        person.normalised for key, person in world.people.items() if key in known_left or world.merged.get(key) in known_left
    }
    lacking = world.desired() - world.inside - barred
    excused = {address for address in lacking if all(key in known_left for key in carriers(world, address))}
    assert lacking == excused or lacking <= left_by_hash(world), (lacking, told)
    if world.mode == "mirror":
        assert world.ours <= world.desired() | former(world, rows), told
    world.compute()
    before = len(world.memory.synced)
    world.tell()
    assert len(world.memory.synced) == before, told


def carriers(world: World, address: str) -> list[str]:
    """The contacts who want an address in."""
    return [key for key, one in world.people.items() if one.there and one.inside and not one.suppressed and one.normalised == address]


def left_by_hash(world: World) -> set[str]:
    """The desired addresses that left under whatever contact."""
    with world.state.catalog.reading() as connection:
        (record,) = synced.syncs(connection)
        left = set(synced.left_hashes(connection, synced.same_target(record.id)).to_list())
        secret = world.state.secret(connection)
    return {address for address in world.desired() if address_hash(secret, address) in left}


def former(world: World, rows: dict[str, dict[str, Any]]) -> set[str]:
    """Addresses of members, or who may be, who lost theirs, or whose new one left: they stay under the former one."""
    people = world.memory.people(LIST)
    there = {str(people[row["remote_id"]].address) for row in rows.values() if row["state"] == "member" and row["remote_id"] in people}
    perhaps = {str(known.address) for known in people.values() if known.contact in rows and rows[known.contact]["maybe"]}
    return there | perhaps


def run(tmp_path: Path, seed: str) -> None:
    draw = random.Random(seed)
    keyed = random.Random(f"{seed}:keyed").random() < 0.5
    names = random.Random(f"{seed}:names").choice([SPARSE, DENSE])
    world = World(tmp_path / "w", draw, mode=draw.choice(["mirror", "mirror", "add"]), keyed=keyed, names=names)
    try:
        live(world)
        check(world)
    finally:
        world.state.close()


@pytest.mark.parametrize("number", range(HISTORIES))
def test_a_random_history_ends_in_step(tmp_path: Path, seed: int, number: int) -> None:
    run(tmp_path, f"{seed}:{number}")


@pytest.mark.full
@pytest.mark.parametrize("number", range(20))
def test_many_random_histories_end_in_step(tmp_path: Path, seed: int, number: int) -> None:
    for further in range(50):
        run(tmp_path / str(further), f"{seed}:full:{number}:{further}")


def test_an_addition_that_was_done_unheard_and_then_refused_goes_before_another_address_comes(tmp_path: Path) -> None:
    world = World(tmp_path / "w", random.Random(1), people={"a": Person("a", "a1@x.example"), "b": Person("b", "b@x.example")})
    try:
        world.compute()
        world.script = {"after": [Killed()]}
        assert world.tell() is None
        assert world.inside == {"a1@x.example", "b@x.example"}
        world.script, world.rejects = {}, {"a"}
        world.tell()
        world.rejects, world.people["a"].address = set(), "a2@x.example"
        world.rest()
        assert world.inside == {"a2@x.example", "b@x.example"} == world.desired()
        assert all(row["payload"] is None and row["wanted_hash"] is None for row in world.rows().values())
    finally:
        world.state.close()


def test_an_addition_that_was_done_unheard_and_then_refused_is_left_to_whoever_has_the_address_now(tmp_path: Path) -> None:
    world = World(tmp_path / "w", random.Random(1), people={"a": Person("a", "a1@x.example"), "b": Person("b", "b@x.example")})
    try:
        world.compute()
        world.script = {"after": [Killed()]}
        world.tell()
        world.script, world.rejects = {}, {"a"}
        world.tell()
        world.rejects, world.people["a"].address = set(), "a2@x.example"
        world.people["c"] = Person("c", "a1@x.example")
        world.rest()
        assert world.inside == {"a1@x.example", "a2@x.example", "b@x.example"}
        assert world.memory.wrongs == []
    finally:
        world.state.close()


def test_a_key_that_stands_at_another_contact_leads_nobody_there(tmp_path: Path) -> None:
    people = {"a": Person("a", "x@x.example"), "b": Person("b", "x@x.example", inside=False)}
    world = World(tmp_path / "w", random.Random(1), keyed=True, people=people)
    try:
        world.rest()
        people["a"].inside, people["b"].inside = False, True
        world.rest()
        people["a"].inside, people["a"].address = True, "a@x.example"
        world.rest()
        assert world.inside == {"a@x.example", "x@x.example"} == world.desired()
    finally:
        world.state.close()
