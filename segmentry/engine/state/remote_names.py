"""What a destination calls contacts, by all that its syncs and its enrollments were ever answered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from segmentry.engine.state.ledger import survivors
from segmentry.engine.state.schema import DELIVERIES, ENROLLMENTS, SYNCED, SYNCS

SEVERAL = 5_000
"""Values named in one statement; SQLite takes 32,766."""


@dataclass(frozen=True, slots=True)
class Names:
    """What one contact is, or was, called; `shared`: those of the names that are another contact's too."""

    all: tuple[str, ...]
    shared: frozenset[str] = frozenset()


def names_of(connection: Connection, destination: str, contacts: Collection[str]) -> dict[str, Names]:
    """The names of those of some contacts who have any, also under keys that were merged into theirs."""
    merged = survivors(connection)
    persons = {contact: merged.get(contact, contact) for contact in contacts}
    wanted = set(persons.values())
    keys = {**{person: person for person in wanted}, **{old: person for old, person in merged.items() if person in wanted}}
    found: dict[str, dict[str, None]] = {}
    for key, name in (*_of_syncs(connection, destination, list(keys)), *_of_enrollments(connection, destination, list(wanted))):
        found.setdefault(keys[key], {})[name] = None
    others = _holders(connection, destination, {name for names in found.values() for name in names}, merged)
    named = {
        person: Names(tuple(names), frozenset(name for name in names if others.get(name, set()) - {person}))
        for person, names in found.items()
    }
    return {contact: named[person] for contact, person in persons.items() if person in named}


def _of_syncs(connection: Connection, destination: str, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    row = SYNCED.c
    query = select(row.contact, row.remote_id).where(row.sync.in_(_syncs(connection, destination)), row.remote_id.is_not(None))
    for part in _parts(keys):
        yield from ((str(key), str(name)) for key, name in connection.execute(query.where(row.contact.in_(part))))


def _of_enrollments(connection: Connection, destination: str, persons: Sequence[str]) -> Iterator[tuple[str, str]]:
    row = ENROLLMENTS.c
    sequences = list(connection.execute(select(row.sequence).distinct()).scalars())  # by them the index on persons is found
    told = select(row.person, DELIVERIES.c.remote_id).join(DELIVERIES, DELIVERIES.c.id == row.id)
    query = told.where(row.sequence.in_(sequences), DELIVERIES.c.destination == destination, DELIVERIES.c.remote_id.is_not(None))
    for part in _parts(persons):
        yield from ((str(person), str(name)) for person, name in connection.execute(query.where(row.person.in_(part))))


def _holders(connection: Connection, destination: str, names: Iterable[str], merged: Mapping[str, str]) -> dict[str, set[str]]:
    """Whom syncs know by each of some names."""
    row = SYNCED.c
    query = select(row.contact, row.remote_id).where(row.sync.in_(_syncs(connection, destination)))
    found: dict[str, set[str]] = {}
    for part in _parts(sorted(names)):
        for contact, name in connection.execute(query.where(row.remote_id.in_(part))):
            found.setdefault(name, set()).add(merged.get(contact, contact))
    return found


def _syncs(connection: Connection, destination: str) -> list[int]:
    return list(connection.execute(select(SYNCS.c.id).where(SYNCS.c.destination == destination)).scalars())


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), SEVERAL):
        yield values[start : start + SEVERAL]
