"""What destinations say when they are asked: whose the key is, what of them could be named in a workspace, how what is named stands there.

Nothing is told to anybody, and nothing is made or changed there. What goes wrong is part of the answer, in words fit to be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from segmentry.engine.config_problems import as_written
from segmentry.engine.connectors.destination import Destination, DestinationStopped
from segmentry.engine.connectors.registry import Context, open_destination
from segmentry.engine.connectors.syncing import Outlook, Place, SyncDestination, Target
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.state.outbox import Pinned
from segmentry.engine.whose import UNKNOWN, mismatch, whose
from segmentry.engine.yaml import Document, Steps
from segmentry.errors import DestinationError, NotFound, SegmentryError
from segmentry.rules.suggest import did_you_mean

Open = Callable[[str, Mapping[str, Any], Context], Destination]

JOURNEY = "journey"
"""A kind of place that can't be looked at: it is among the places, or not."""


@dataclass(frozen=True)
class Use:
    """Where the files name something of a destination: in `sync` of the segment `name`, or in the sequence `name`.

    `steps` lead to the entry in `document`; `fields` are the names that contacts' values have there.
    """

    kind: str
    name: str
    target: Target
    document: Document
    steps: Steps
    fields: tuple[str, ...] = ()
    mirror: bool = False

    @property
    def place(self) -> Steps:
        """The steps to what names the target."""
        return as_written(self.document, (*self.steps, self.target.kind))

    def __str__(self) -> str:
        return f"{'segment' if self.kind == 'sync' else 'sequence'} {self.name}"


@dataclass(frozen=True)
class Seen:
    """Something that is named, as it is there; where it is not, or can't be read, `problem` says so."""

    target: Target
    uses: tuple[Use, ...]
    outlook: Outlook | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        seen = self.outlook
        return {
            "target": str(self.target),
            "used_by": [str(use) for use in self.uses],
            "title": None if seen is None else seen.title,
            "members": None if seen is None else seen.members,
            "warnings": [] if seen is None else list(seen.warnings),
            "problem": self.problem,
        }


@dataclass(frozen=True)
class Inquiry:
    """What one destination said. `account`: whose it is, None where it has nothing to tell accounts apart by.

    `unreached`: why it could not be asked at all. `mismatch`: why its account is not the one it should be; then it was asked
    nothing more. `unread`: why it did not say what there is.
    """

    name: str
    type: str
    account: str | None = None
    unreached: str | None = None
    mismatch: str | None = None
    unread: str | None = None
    places: tuple[Place, ...] = ()
    targets: tuple[Seen, ...] = field(default=())

    @property
    def problems(self) -> list[str]:
        """Whatever is in the way of telling it anything, or of knowing what there is."""
        found = (self.unreached, self.mismatch, self.unread, *(seen.problem for seen in self.targets))
        return list(dict.fromkeys(problem for problem in found if problem is not None))

    @property
    def warnings(self) -> list[str]:
        """What should be known of what is in use; what is so of several is said once."""
        told: dict[str, list[str]] = {}
        for seen in self.targets:
            for text in seen.outlook.warnings if seen.outlook is not None else ():
                told.setdefault(text, []).append(str(seen.target))
        return [f"{', '.join(targets)}: {text}" for text, targets in told.items()]

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "destination": self.name,
            "type": self.type,
            "account": self.account,
            "problems": self.problems,
            "warnings": self.warnings,
            "places": [
                {"kind": one.kind, "id": one.id, "title": one.title, "members": one.members, "notes": one.notes} for one in self.places
            ],
            "targets": [seen.to_json() for seen in self.targets],
        }


def uses_of(workspace: LoadedWorkspace, name: str) -> list[Use]:
    """Where the files name something of a destination that can be looked for there: syncs by segment, then sequences."""
    found = []
    for segment in workspace.segments.values():
        for index, entry in enumerate(segment.config.sync):
            target = Target.of(entry.words)
            if entry.destination == name and entry.what is None and target.kind:
                steps: Steps = ("sync", index)
                mirror = entry.mode == "mirror"
                found.append(Use("sync", segment.name, target, segment.document, steps, tuple(entry.fields), mirror))
    for key, sequence in workspace.config.sequences.items():
        if sequence.destination != name:
            continue
        steps = ("sequences", key)
        if sequence.tag is not None:
            found.append(Use("sequence", key, Target("tag", sequence.tag), workspace.document, steps, tuple(sequence.fields)))
        if sequence.journey is not None:
            target = Target(JOURNEY, str(sequence.journey.id))
            found.append(Use("sequence", key, target, workspace.document, steps, tuple(sequence.fields)))
    return found


def known_name(workspace: LoadedWorkspace, name: str) -> None:
    """Raises NotFound for a destination that there is not."""
    if name not in workspace.config.destinations:
        hint = did_you_mean(name, workspace.config.destinations)
        raise NotFound(f"there is no destination `{name}`" + (f"; {hint}" if hint else ""))


def ask(
    workspace: LoadedWorkspace,
    name: str,
    environ: Mapping[str, str],
    clock: Callable[[], datetime],
    *,
    pinned: Pinned = UNKNOWN,
    everything: bool = True,
    open: Open = open_destination,
) -> Inquiry:
    """Asks a destination. `pinned`: what it was first used with. `everything`: all that there is, not only what is in use."""
    config = workspace.config.destinations[name]
    found = Inquiry(name, config.type)
    context = Context(workspace.root, environ, workspace.config.id, workspace.environment, clock)
    try:
        with _opened(name, config.settings, context, open) as destination:
            with _in_words(name, "say whose account it is"):
                is_now = whose(destination)
            wrong = mismatch(name, is_now, config.account, pinned)
            found = replace(found, account=is_now.account, mismatch=None if wrong is None else f"{wrong}; nothing would be sent")
            if found.mismatch is None and isinstance(destination, SyncDestination):
                found = _read(destination, found, uses_of(workspace, name), everything=everything)
    except SegmentryError as error:
        return replace(found, unreached=str(error))
    return found


def _read(destination: SyncDestination, found: Inquiry, uses: Sequence[Use], *, everything: bool) -> Inquiry:
    """What there is, and how what is in use stands."""
    by_target: dict[Target, list[Use]] = {}
    for use in uses:
        by_target.setdefault(use.target, []).append(use)
    if everything or any(target.kind == JOURNEY for target in by_target):
        try:
            with _in_words(found.name, "say what there is"):
                found = replace(found, places=tuple(destination.places()))
        except DestinationError as error:
            found = replace(found, unread=str(error))
    targets = tuple(_seen(destination, found, target, tuple(named)) for target, named in by_target.items())
    return replace(found, targets=targets)


def _seen(destination: SyncDestination, found: Inquiry, target: Target, uses: tuple[Use, ...]) -> Seen:
    if target.kind == JOURNEY:
        title = next((one.title for one in found.places if (one.kind, one.id) == (JOURNEY, target.name)), None)
        missing = "it does not show among the account's journeys: is the number right, and may the key see it?"
        warnings = () if title is not None or found.unread is not None else (missing,)
        return Seen(target, uses, Outlook(title or target.name, warnings=warnings))
    try:
        with _in_words(found.name, f"be asked for {target}"):
            return Seen(target, uses, destination.look(target))
    except DestinationError as error:
        return Seen(target, uses, problem=str(error))


@contextmanager
def _opened(name: str, settings: Mapping[str, Any], context: Context, open: Open) -> Iterator[Destination]:
    with _in_words(name, "be opened"):
        opened = open(name, settings, context)
    try:
        yield opened
    finally:
        with _in_words(name, "be closed"):
            opened.close()


@contextmanager
def _in_words(name: str, doing: str) -> Iterator[None]:
    """Makes one error of whatever a connector may raise; the text of its own bug may hold anything and is not shown."""
    try:
        yield
    except SegmentryError:
        raise
    except DestinationStopped as stop:
        raise DestinationError(f"destination `{name}` can't {doing}: {stop}") from None
    except Exception as error:
        raise DestinationError(f"destination `{name}` can't {doing}: a bug in its connector ({type(error).__name__})") from error
