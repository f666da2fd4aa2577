"""What sequences and syncs say for their destination's type alone (`event`, `list`, `tag`, ...), and whether it can be meant.

One key names what a contact is put in there. It must be one that the type takes, and two that name the same thing must not fight.
The types are imported only where a workspace names one.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from segmentry.engine.config_activation import SyncConfig
from segmentry.engine.config_models import SegmentConfig
from segmentry.engine.config_names import known_names, named
from segmentry.engine.config_problems import as_written, written_name
from segmentry.engine.yaml import Document, Steps
from segmentry.errors import DestinationError
from segmentry.rules.diagnostics import Diagnostic, Severity

SEQUENCE_WORDS: Mapping[str, str] = {
    "event": "`event: NAME`, the event that starts a flow",
    "tag": "`tag: NAME`, the tag that starts an automation",
    "journey": "`journey: {id: NUMBER, step: NUMBER}`, the step that is triggered",
}
"""Keys of a sequence that are for some types alone, and what to write."""

SYNC_WORDS: Mapping[str, str] = {
    "list": "`list: ID`, the list's id",
    "tag": "`tag: NAME`, the tag's name",
    "what": "`what: [changes, members]`, or one of both: what is written at every run",
}
"""The same of a sync."""

SHARED = ("list", "tag")
"""The keys of a sync that name what several segments could be kept in step with; other destinations tell segments apart."""

UNASKED: Mapping[str, str] = {
    "mode": "who came, who left and who is in are written whole, and nothing is removed from a file",
    "existing": "files are written at every run, and nobody needs to say so",
}
"""Keys of a sync that say nothing beside `what`, and why."""

IDENTITY = ("type", "url", "key", "audience")
"""The keys that tell which account, and what of it, a destination is: two that agree in all of them are one place by two names."""


@dataclass(frozen=True)
class Receiver:
    """A destination of a type that can be had: which keys its sequences and its syncs take (None: it has no syncs), and where it is."""

    name: str
    type: str
    sequence_words: tuple[str, ...]
    sync_words: tuple[str, ...] | None
    place: Hashable = field(repr=False)  # may hold a key that somebody wrote into the file


@dataclass(frozen=True)
class Sync:
    """One entry of a segment's `sync:`, at `steps` in its file."""

    segment: str
    document: Document
    steps: Steps
    config: SyncConfig
    receiver: Receiver

    @property
    def words(self) -> list[str]:
        """Which of the keys that are for some types alone stand in it, in the order of the table."""
        return [word for word in SYNC_WORDS if word in self.config.words]

    @property
    def target(self) -> tuple[Hashable, ...] | None:
        """What it is about that other segments could be about too."""
        return None if self.shared is None else _target(self.receiver, self.shared, self.config.words[self.shared])

    @property
    def shared(self) -> str | None:
        """The key that names it."""
        return next((word for word in self.words if word in SHARED and word in (self.receiver.sync_words or ())), None)

    @property
    def stream(self) -> tuple[Hashable, ...] | None:
        """What one segment can be kept in step with once; None where it can't be told, which is a problem of its own."""
        words = self.receiver.sync_words
        return self.target if words is None or set(words) & set(SHARED) else (self.receiver.place,)


def sequence_word_problems(document: Document) -> list[Diagnostic]:
    """Sequences without the key that their destination's type needs, with one too many, or with another type's; and two that are one."""
    found = receivers(document)
    problems: list[Diagnostic] = []
    first: dict[Hashable, str] = {}
    for name, receiver, words in _sequences(document, found):
        steps: Steps = ("sequences", name)
        problems += _word_problems(document, steps, receiver, list(words), receiver.sequence_words, SEQUENCE_WORDS)
        for word in [word for word in words if word in receiver.sequence_words]:
            started = _target(receiver, word, words[word])
            other = first.setdefault(started, name)
            if other != name:
                problems.append(
                    Diagnostic(
                        "W318",
                        f"`{other}` and `{name}` start the same thing by their `{word}`",
                        Severity.WARNING,
                        location=document.location((*steps, word)),
                        help="keep one, and enroll in it from all segments: once in each of two is twice",
                    )
                )
    return problems


def segment_word_problems(workspace: Document, documents: Mapping[str, Document], configs: Mapping[str, SegmentConfig]) -> list[Diagnostic]:
    """What segments say of syncs and sequences that these can't be, each in the segment's file at its place; `workspace` names them."""
    found = receivers(workspace)
    destinations = named(workspace, "destinations")
    problems: list[Diagnostic] = []
    syncs: list[Sync] = []
    for name, config in configs.items():
        for index, entry in enumerate(config.sync):
            steps = as_written(documents[name], ("sync", index))
            if entry.destination not in destinations:
                at = documents[name].location((*steps, "destination"))
                message = f"there is no destination `{entry.destination}`"
                problems.append(Diagnostic("W305", message, location=at, help=known_names(entry.destination, destinations)))
            elif entry.destination in found:
                syncs.append(Sync(name, documents[name], steps, entry, found[entry.destination]))
    for sync in syncs:
        problems += _sync_problems(sync, found)
    problems += _twice(syncs)
    problems += _started(syncs, {_target(r, "tag", w["tag"]): name for name, r, w in _sequences(workspace, found) if "tag" in w})
    return problems + _again_problems(workspace, documents, configs, found)


def receivers(document: Document) -> dict[str, Receiver]:
    """The destinations of types that can be had, by name."""
    found: dict[str, Receiver] = {}
    for name, entry in named(document, "destinations").items():
        written = entry.get("type") if isinstance(entry, dict) else None
        words = _words_of(written) if isinstance(written, str) else None
        if words is not None:
            # without an account of its own it is whatever its name says
            place = tuple((key, str(entry.get(key))) for key in IDENTITY) if "key" in entry else name
            found[name] = Receiver(name, str(written), *words, place)
    return found


def _words_of(written: str) -> tuple[tuple[str, ...], tuple[str, ...] | None] | None:
    """The keys that a type's sequences and syncs take; None where no such type can be had, which is told where it is named."""
    from segmentry.engine.connectors import registry  # noqa: PLC0415  (a workspace without destinations starts without them)

    try:
        return None if registry.settings_model(written) is None else registry.words_of(written)
    except DestinationError:
        return None


def _sequences(document: Document, found: Mapping[str, Receiver]) -> Iterator[tuple[str, Receiver, dict[str, object]]]:
    """Each sequence of a destination that can be had, and what it says for that destination's type."""
    for name, entry in named(document, "sequences").items():
        receiver = found.get(str(entry.get("destination"))) if isinstance(entry, dict) else None
        if receiver is not None:
            yield name, receiver, {word: entry[word] for word in SEQUENCE_WORDS if entry.get(word) is not None}


def _target(receiver: Receiver, word: str, value: object) -> tuple[Hashable, ...]:
    """What is named at a destination. Tags that differ in capitals only are one: nobody would mean two by them."""
    if isinstance(value, Mapping):
        return (receiver.place, word, str(sorted(value.items(), key=str)))
    return (receiver.place, word, str(value).strip().casefold() if word == "tag" else str(value))


def _word_problems(
    document: Document, steps: Steps, receiver: Receiver, words: Collection[str], taken: tuple[str, ...], table: Mapping[str, str]
) -> list[Diagnostic]:
    """Of the keys that a destination's type takes, exactly one must stand at `steps`, and no other type's."""
    name, of_type = written_name(steps), f"a destination of type `{receiver.type}`"
    choices = ", or ".join(table.get(word, f"`{word}:`") for word in taken)
    problems = [
        Diagnostic(
            "W312",
            f"{of_type} takes no `{word}`",
            location=document.key_location((*steps, word)),
            help=f"write {choices}" if taken and not set(taken) & set(words) else "remove it",
        )
        for word in words
        if word not in taken
    ]
    right = [word for word in words if word in taken]
    if len(right) > 1:
        message = f"`{name}` has both `{right[0]}` and `{right[1]}`"
        problems.append(Diagnostic("W206", message, location=document.key_location((*steps, right[1])), help="keep one"))
    if taken and not words:
        message = f"`{name}` has {'no' if len(taken) == 1 else 'neither'} {' nor '.join(f'`{word}`' for word in taken)}"
        at = document.location((*steps, "destination"))
        problems.append(Diagnostic("W203", f"{message}, and {of_type} needs one", location=at, help=f"add {choices}"))
    return problems


def _sync_problems(sync: Sync, found: Mapping[str, Receiver]) -> list[Diagnostic]:
    """What is wrong with one sync by itself."""
    receiver, document = sync.receiver, sync.document
    if receiver.sync_words is None:
        able = [f"`{name}`" for name, other in found.items() if other.sync_words is not None]
        return [
            Diagnostic(
                "W313",
                f"no segment can be kept in step with `{receiver.name}`, which is of type `{receiver.type}`",
                location=document.location((*sync.steps, "destination")),
                help=f"one can with {', '.join(able)}" if able else "remove it; `enroll` may still lead there",
            )
        ]
    problems = _word_problems(document, sync.steps, receiver, sync.words, receiver.sync_words, SYNC_WORDS)
    if "what" in receiver.sync_words:
        problems += [
            Diagnostic(
                "W312",
                f"a destination of type `{receiver.type}` takes no `{key}`",
                location=document.key_location((*sync.steps, key)),
                help="remove it",
                notes=(why,),
            )
            for key, why in UNASKED.items()
            if key in sync.config.model_fields_set
        ]
    return problems


def _twice(syncs: Collection[Sync]) -> list[Diagnostic]:
    """Syncs of one segment with one thing, and of two segments with one where either would remove whom the other wants there."""
    problems: list[Diagnostic] = []
    earlier: dict[Hashable, list[Sync]] = {}
    for sync in syncs:
        if sync.stream is None:
            continue
        others = earlier.setdefault(sync.stream, [])
        own = next((other for other in others if other.segment == sync.segment), None)
        rival = next((other for other in others if sync.target and "mirror" in (sync.config.mode, other.config.mode)), None)
        word = sync.shared or "destination"
        at, shown = sync.document.location((*sync.steps, word)), f"`{sync.config.words.get(word, sync.receiver.name)}`"
        if own is not None:
            problems.append(Diagnostic("W314", f"this segment is kept in step with {shown} twice", location=at, help="keep one"))
        elif rival is not None:
            problems.append(
                Diagnostic(
                    "W314",
                    f"`{rival.segment}` is kept in step with {shown} too, and `mode: mirror` would remove whom the other added",
                    location=at,
                    help=f"name another {word}, write `mode: add` in both, or sync a segment of both: "
                    f"`member('{rival.segment}') or member('{sync.segment}')`",
                )
            )
        others.append(sync)
    return problems


def _started(syncs: Collection[Sync], tags: Mapping[tuple[Hashable, ...], str]) -> list[Diagnostic]:
    """Syncs with a tag that starts a sequence: whoever gets it would be enrolled past everything that guards enrollments."""
    return [
        Diagnostic(
            "W315",
            f"the tag `{sync.config.tag}` is that of the sequence `{tags[sync.target]}`, and whoever is tagged is enrolled",
            location=sync.document.location((*sync.steps, "tag")),
            help="sync with another tag, and `enroll` in the sequence",
        )
        for sync in syncs
        if sync.target is not None and sync.target in tags
    ]


def _again_problems(
    workspace: Document, documents: Mapping[str, Document], configs: Mapping[str, SegmentConfig], found: Mapping[str, Receiver]
) -> list[Diagnostic]:
    """`again` where a tag starts the sequence, which it does once; and journeys that a tag could start as well."""
    words = {name: said.keys() & set(receiver.sequence_words) for name, receiver, said in _sequences(workspace, found)}
    problems: list[Diagnostic] = []
    agains: dict[str, list[bool]] = {}
    for segment, config in configs.items():
        for index, entry in enumerate(config.enroll):
            agains.setdefault(entry.sequence, []).append(entry.again != "never")
            if entry.again != "never" and "tag" in words.get(entry.sequence, ()):
                problems.append(
                    Diagnostic(
                        "W316",
                        f"`{entry.sequence}` is started by a tag, and a tag that is there already starts nothing again",
                        location=documents[segment].location(as_written(documents[segment], ("enroll", index, "again"))),
                        help="write `again: never`, or give the sequence a `journey`, which is not repeat-safe",
                    )
                )
    problems += [
        Diagnostic(
            "W317",
            f"the sequence `{name}` triggers a journey, which is not repeat-safe",
            Severity.WARNING,
            location=workspace.key_location(("sequences", name, "journey")),
            help="let the automation start by a tag, and write `tag: NAME`: nobody is enrolled again here",
            notes=("where an answer is lost, nobody knows whether the contact was mailed: that waits as `unknown` for a person",),
        )
        for name, again in agains.items()
        if "journey" in words.get(name, ()) and not any(again)
    ]
    return problems
