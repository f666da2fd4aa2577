"""A destination that is asked, and told nothing: opened, known to be the account that was told before, read page by page.

Whatever goes wrong is a DestinationError whose text may be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from segmentry.engine.connectors.destination import DestinationStopped
from segmentry.engine.connectors.registry import Context, open_destination
from segmentry.engine.connectors.syncing import Member, Outlook, SyncDestination, Target
from segmentry.engine.delivering import Open
from segmentry.engine.state import outbox
from segmentry.engine.state.state import wall_clock
from segmentry.engine.whose import UNKNOWN, mismatch, whose
from segmentry.errors import DestinationError, SegmentryError

if TYPE_CHECKING:
    from segmentry.engine.loading import LoadedWorkspace
    from segmentry.engine.state import State


@contextmanager
def reached(
    workspace: LoadedWorkspace,
    state: State,
    name: str,
    environ: Mapping[str, str],
    *,
    open: Open = open_destination,
    clock: Callable[[], datetime] = wall_clock,
) -> Iterator[SyncDestination]:
    """A destination that segments are kept in step with, while the block lasts. Raises DestinationError.

    Another account, or audience, than was told before is refused: by its members everybody would have left.
    """
    config = workspace.config
    if name not in config.destinations:
        raise DestinationError(f"segmentry.yml has no destination `{name}` any more")
    with _asking(name):
        opened = open(name, config.destinations[name].settings, Context(workspace.root, environ, config.id, workspace.environment, clock))
    try:
        if not isinstance(opened, SyncDestination):
            raise DestinationError(f"destination `{name}` can't be read: it does not say who is there")
        with _asking(name):
            found = whose(opened)
        with state.catalog.reading() as connection:
            pinned = outbox.pins(connection).get(name, UNKNOWN)
        wrong = mismatch(name, found, config.destinations[name].account, pinned)
        if wrong is not None:
            raise DestinationError(f"{wrong}; nothing was read")
        yield opened
    finally:
        with _asking(name):
            opened.close()


def outlook(destination: SyncDestination, name: str, target: Target) -> Outlook:
    """A target as it is there now. Raises DestinationError."""
    with _asking(name):
        return destination.look(target)


def pages(destination: SyncDestination, name: str, target: Target) -> Iterator[Sequence[Member]]:
    """Everybody who is in a target, page by page. Raises DestinationError."""
    with _asking(name):
        found = iter(destination.members(target))
    while True:
        with _asking(name):
            page = next(found, None)
        if page is None:
            return
        yield page


@contextmanager
def _asking(name: str) -> Iterator[None]:
    """Makes one error of whatever a connector may raise; the text of its own bug may hold anything and is not shown."""
    try:
        yield
    except SegmentryError:
        raise
    except DestinationStopped as stop:
        raise DestinationError(f"destination `{name}` can't be read: {stop}") from None
    except Exception as error:
        raise DestinationError(f"destination `{name}` can't be read: a bug in its connector ({type(error).__name__})") from error
