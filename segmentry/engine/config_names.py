"""What the names of a workspace say of each other: enrollments of sequences, sequences of destinations, and former names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from segmentry.engine.config_activation import EnrollConfig
from segmentry.engine.config_problems import as_written
from segmentry.engine.yaml import Document, Steps
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.suggest import did_you_mean


def named(document: Document, key: str) -> dict[str, Any]:
    """What stands by its name under `destinations:`, `sequences:`: also where something else there is wrong."""
    value = document.value.get(key)
    return value if isinstance(value, dict) else {}


def workspace_name_problems(document: Document) -> list[Diagnostic]:
    """Problems of the names within `segmentry.yml`."""
    destinations, sequences = named(document, "destinations"), named(document, "sequences")
    problems = [
        Diagnostic(
            "W308",
            f"`{name}` is a destination and a sequence",
            location=document.key_location(("sequences", name)),
            help="rename one: `pause` takes either's name",
        )
        for name in sequences
        if name in destinations
    ]
    for name, sequence in sequences.items():
        wanted = sequence.get("destination") if isinstance(sequence, dict) else None
        if isinstance(wanted, str) and wanted not in destinations:
            at = document.location(("sequences", name, "destination"))
            problems.append(Diagnostic("W305", f"there is no destination `{wanted}`", location=at, help=known_names(wanted, destinations)))
    for key, entries in (("destinations", destinations), ("sequences", sequences)):
        claimed: dict[str, str] = {}
        for name, entry in entries.items():
            former = entry.get("renamed_from") if isinstance(entry, dict) else None
            problems += former_name_problems(document, (key, name), name, former, entries, claimed)
    return problems


def enroll_problems(document: Document, enroll: Iterable[EnrollConfig], sequences: Collection[str]) -> list[Diagnostic]:
    """Enrollments of a segment in sequences that are not there, or in one twice."""
    problems = []
    seen: set[str] = set()
    for index, entry in enumerate(enroll):
        at = document.location(as_written(document, ("enroll", index, "sequence")))
        if entry.sequence not in sequences:
            message = f"there is no sequence `{entry.sequence}`"
            problems.append(Diagnostic("W305", message, location=at, help=known_names(entry.sequence, sequences)))
        if entry.sequence in seen:
            message = f"this segment enrolls in `{entry.sequence}` twice"
            problems.append(Diagnostic("W306", message, location=at, help="keep one"))
        seen.add(entry.sequence)
    return problems


def former_name_problems(
    document: Document, base: Steps, name: str, former: object, present: Collection[str], claimed: dict[str, str]
) -> list[Diagnostic]:
    """Former names that can't be: this one, one still in use, one that another has claimed. `claimed` takes up those that can."""
    problems = []
    written = [former] if isinstance(former, str) else former if isinstance(former, list) else []
    for index, old in enumerate(written):
        at = document.location(as_written(document, (*base, "renamed_from", index)))
        if old == name:
            problems.append(Diagnostic("W307", f"`{old}` is the name it has", location=at, help="remove it"))
        elif old in present:
            message = f"`{old}` is still here, so `{name}` can't have been called that"
            problems.append(Diagnostic("W307", message, location=at, help=f"remove `{old}`, or this"))
        elif old in claimed:
            message = f"`{old}` is a former name of `{claimed[old]}` already"
            problems.append(Diagnostic("W307", message, location=at, help="one can go on under one name only: keep one"))
        elif isinstance(old, str):
            claimed[old] = name
    return problems


def segment_name_problems(
    documents: Mapping[str, Document], enroll: Mapping[str, Iterable[EnrollConfig]], sequences: Collection[str], names: Collection[str]
) -> list[Diagnostic]:
    """Problems of the names in segment files, by segment: `names` has those of broken files too."""
    problems = []
    claimed: dict[str, str] = {}
    for name, document in documents.items():
        problems += former_name_problems(document, (), name, document.value.get("renamed_from"), names, claimed)
        problems += enroll_problems(document, enroll[name], sequences)
    return [*problems, *_rank_problems(documents)]


def _rank_problems(documents: Mapping[str, Document]) -> list[Diagnostic]:
    """Segments of one group with one rank: nobody could say which of them goes before the other."""
    problems = []
    claimed: dict[tuple[object, object], str] = {}
    for name, document in sorted(documents.items()):
        priority = document.value.get("priority")
        place = (priority.get("group"), priority.get("rank")) if isinstance(priority, dict) else (None, None)
        if not isinstance(place[0], str) or not isinstance(place[1], int):
            continue
        if place in claimed:
            message = f"`{claimed[place]}` has the rank {place[1]} in the group `{place[0]}` too"
            at = document.location(("priority", "rank"))
            problems.append(Diagnostic("W325", message, location=at, help="give each a rank of its own: 1 goes before 2"))
        claimed.setdefault(place, name)
    return problems


def known_names(name: str, known: Collection[str]) -> str:
    """The help for a name that is not there."""
    return did_you_mean(name, known) or (f"there are {', '.join(sorted(known)[:10])}" if known else "there are none")
