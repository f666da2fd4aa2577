"""What a destination calls contacts, by all that its syncs and its enrollments were ever answered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

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


def called_otherwise(connection: Connection, destination: str, names: Mapping[str, str]) -> frozenset[str]:
    """Of contacts, and what each may be called, those whose name is another contact's by some sync."""
    merged = survivors(connection)
    holders = _holders(connection, destination, set(names.values()), merged)
    return frozenset(contact for contact, name in names.items() if holders.get(name, set()) - {merged.get(contact, contact)})


def _of_syncs(connection: Connection, destination: str, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    row = SYNCED.c
    known = row.sync.in_(_syncs(connection, destination)), row.remote_id.is_not(None)
    query = select(row.contact, row.remote_id, row.former_ids).where(*known)
    for part in _parts(keys):
        for key, name, formers in connection.execute(query.where(row.contact.in_(part))):
            yield from ((str(key), one) for one in (str(name), *(formers or "").splitlines()))


def _of_enrollments(connection: Connection, destination: str, persons: Sequence[str]) -> Iterator[tuple[str, str]]:
    row = ENROLLMENTS.c
    sequences = list(_sequences(connection))  # by them the index on persons is found
    columns = row.person, DELIVERIES.c.remote_id, DELIVERIES.c.destination
    query = select(*columns).join(DELIVERIES, DELIVERIES.c.id == row.id).where(row.sequence.in_(sequences))
    for part in _parts(persons):
        for person, name, place in connection.execute(query.where(row.person.in_(part))):
            if name is not None and place == destination:  # no part of the query: it would be answered by all of the destination's rows
                yield str(person), str(name)


def _sequences(connection: Connection) -> Iterator[str]:
    """Every sequence in the ledger, by a step in the index for each."""
    last = ""
    while (found := connection.execute(select(func.min(ENROLLMENTS.c.sequence)).where(ENROLLMENTS.c.sequence > last)).scalar()) is not None:
        last = str(found)
        yield last


def _holders(connection: Connection, destination: str, names: Iterable[str], merged: Mapping[str, str]) -> dict[str, set[str]]:
    """Whom syncs know by each of some names."""
    row, syncs = SYNCED.c, set(_syncs(connection, destination))
    found: dict[str, set[str]] = {}
    for part in _parts(sorted(names)):
        for sync, contact, name in connection.execute(select(row.sync, row.contact, row.remote_id).where(row.remote_id.in_(part))):
            if sync in syncs:
                found.setdefault(name, set()).add(merged.get(contact, contact))
    return found


def _syncs(connection: Connection, destination: str) -> list[int]:
    return list(connection.execute(select(SYNCS.c.id).where(SYNCS.c.destination == destination)).scalars())


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), SEVERAL):
        yield values[start : start + SEVERAL]
