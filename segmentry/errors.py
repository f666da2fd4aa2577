"""Every error Segmentry raises, as one tree.

SegmentryError                anything a caller may want to catch; `exit_code` is what the command line ends with
├── RuleError                 a rule can't be understood or checked; `.diagnostics` has every problem at once
├── WorkspaceError            segmentry.yml or a segment file is wrong; `.diagnostics` has every problem at once
├── SourceError               a snapshot, event file or list can't be used; `.diagnostics` has every problem at once
│   └── SourceChanged         a file changed while it was read; trying again may help
├── DialectError              a rule can't be said in another SQL dialect with the same meaning; `.diagnostics` has what
├── DestinationError          a destination can't be opened: a missing variable, a secret that is none, an unknown type
├── DecisionError             what was to be approved or discarded is not held any more, or was edited since
├── NotFound                  an unknown segment, run or contact was asked for
├── ClockError                `as_of` is later than the clock, or the clock is behind the accepted run
├── StateError                the state folder or its catalog can't be used
│   ├── NoState               there is no state folder yet (`init` or `--first-run` makes one)
│   ├── LeaseHeld             another run holds the lease (exit 75)
│   └── LeaseLost             this run's lease passed to somebody else before it could commit
└── NotInThisVersion          a known feature that this version doesn't have
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segmentry.rules.diagnostics import Diagnostic


class SegmentryError(Exception):
    """The root of the tree; its text is fit to show to a user as it is."""

    exit_code = 1


class DiagnosedError(SegmentryError):
    """An error made of diagnostics; its text is all of them, rendered."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(diagnostics)
        super().__init__("\n".join(d.render() for d in self.diagnostics))


class RuleError(DiagnosedError):
    """A rule can't be understood or checked; `.diagnostics` holds every problem."""


class WorkspaceError(DiagnosedError):
    """`segmentry.yml` or a segment file is wrong; `.diagnostics` holds every problem."""


class SourceError(DiagnosedError):
    """A snapshot, an event file or a list can't be used; `.diagnostics` holds every problem."""


class SourceChanged(SourceError):
    """A source's file is not what it was when the run began; the run's answer would be of neither."""


class DialectError(DiagnosedError):
    """A rule can't be said in another SQL dialect with the same meaning; `.diagnostics` holds every such condition."""


class DestinationError(SegmentryError):
    """A destination can't be opened: a variable is missing, a secret or an address is none, its connector isn't there."""


class DecisionError(SegmentryError):
    """What was to be approved or discarded is not held any more, or was compared with something else."""


class NotFound(SegmentryError):
    """A segment, run or contact that was asked for does not exist."""


class ClockError(SegmentryError):
    """`as_of` is later than the clock, or the clock reads earlier than the accepted run."""


class StateError(SegmentryError):
    """The state folder or its catalog can't be used."""


class NoState(StateError):
    """There is no state yet; `segmentry init` or `--first-run` makes one."""


class LeaseHeld(StateError):
    """Another run holds the workspace's lease."""

    exit_code = 75


class LeaseLost(StateError):
    """The lease passed to another run before this one could commit; nothing was committed."""


class NotInThisVersion(SegmentryError):
    """A feature the language or the workspace format knows, but this version doesn't have."""
