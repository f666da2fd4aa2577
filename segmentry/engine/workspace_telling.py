"""What a workspace's methods tell destinations, and what they keep of whom they told: half of `Workspace`, in a file of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from segmentry.engine.config import parse_length
from segmentry.engine.workspace_folder import WorkspaceFolder, clock_now, seconds_of
from segmentry.errors import NoState

if TYPE_CHECKING:
    from segmentry.engine.deliveries import Resumed
    from segmentry.engine.delivering import Delivered
    from segmentry.engine.report import Progress
    from segmentry.engine.state.by_hand import Said
    from segmentry.engine.state.recovery import Recovered
    from segmentry.engine.sync_confirming import Proposal
    from segmentry.engine.sync_detaching import Detached
    from segmentry.engine.sync_listing import Due
    from segmentry.engine.sync_reading_back import ReadBack
    from segmentry.engine.sync_returning import Returned

Answer = Literal["send", "skip"]
"""What is said of those who are in when a sync starts."""


class WorkspaceTelling(WorkspaceFolder):
    """A workspace that tells destinations: deliveries, the ledger, pauses, syncs; and what is kept, forgotten and recovered."""

    # ------------------------------------------------------------ telling

    def deliver(self, destinations: Sequence[str] | None = None, *, progress: Progress | None = None) -> Delivered:
        """Sends what is due, to all destinations or some, and comes back when nothing more is due now.

        Sends nothing where the environment has no `deliver: true`. Raises NotFound for an unknown destination.
        """
        from segmentry.engine.delivering import deliver
        from segmentry.engine.report import unseen

        loaded = self.load()
        names = [destinations] if isinstance(destinations, str) else destinations
        with self._state(loaded) as state:
            return deliver(state, loaded, destinations=names, environ=os.environ, progress=progress or unseen)

    def enrollments(
        self,
        *,
        sequence: str | None = None,
        segment: str | None = None,
        outcome: str | None = None,
        contact: object = None,
        baseline: bool = False,
    ) -> pl.DataFrame:
        """The ledger, a row an enrollment with its present outcome; `baseline` adds rows of those who were in before (number 0).

        Columns as `enrollments.ENROLLMENTS`. Raises NotFound for a sequence or segment that nobody knows.
        """
        from segmentry.engine.enrollments import Wanted, enrollments

        loaded = self.load()
        wanted = Wanted(sequence, segment, outcome, None if contact is None else str(contact), baseline)
        with self._state(loaded) as state:
            return enrollments(loaded, state, wanted)

    def why_enrolled(self, contact: object, segment: str | None = None) -> pl.DataFrame:
        """What became of each entry of a contact, and why it was enrolled or not: columns as `enrollments.WHY`. Raises NotFound."""
        from segmentry.engine.enrollments import why

        loaded = self.load()
        with self._state(loaded) as state:
            return why(loaded, state, str(contact), segment)

    def deliveries(
        self, *, outcome: str | None = None, destination: str | None = None, sequence: str | None = None, limit: int | None = None
    ) -> pl.DataFrame:
        """The outbox, the newest change first: outcome, attempts, when the next one is due, the last reason. No address is in it."""
        from segmentry.engine.deliveries import deliveries

        with self._state() as state:
            return deliveries(state, outcome=outcome, destination=destination, sequence=sequence, limit=limit)

    def settle_deliveries(self, action: Literal["retry", "drop", "mark-sent"], ids: Sequence[str]) -> Said:
        """A person's word on deliveries: which ids changed, and why others did not. Raises NotFound, and changes nothing then."""
        from segmentry.engine.deliveries import settle
        from segmentry.engine.fitness import fit
        from segmentry.engine.recovering import refill

        loaded = self.load()
        with self._state(loaded) as state:
            if action == "retry":
                refill(loaded, state, ids, self._newest_contacts)
            return settle(state, action, ids, clock_now(), fit=partial(fit, loaded, state))

    def pause(self, name: str | None = None) -> bool:
        """Pauses a destination, a sequence, or everything, before the next request; False if it was already. Raises NotFound."""
        from segmentry.engine.deliveries import pause

        loaded = self.load()
        with self._state(loaded) as state:
            return pause(state, loaded, name, clock_now())

    def resume(self, name: str | None = None, *, send_waiting: bool = False) -> Resumed:
        """Ends a pause. Who came in during it is not sent, unless `send_waiting`, and then only who is still fit. Raises NotFound."""
        from segmentry.engine.deliveries import resume
        from segmentry.engine.fitness import fit

        loaded = self.load()
        with self._state(loaded) as state:
            return resume(state, loaded, name, clock_now(), send_waiting=send_waiting, fit=partial(fit, loaded, state))

    def paused_rows(self, name: str | None = None) -> dict[str, int]:
        """How many rows of each sequence `resume(send_waiting=True)` would send."""
        from segmentry.engine.deliveries import waiting_after_pause
        from segmentry.engine.fitness import fit

        loaded = self.load()
        with self._state(loaded) as state:
            return waiting_after_pause(state, name, fit=partial(fit, loaded, state))

    # ------------------------------------------------------------ syncs

    def syncs(self) -> pl.DataFrame:
        """Every sync, how it stands, what is open, and why some contacts are not there: as `sync_listing.SYNCS`. No address is in it."""
        from segmentry.engine.sync_listing import listing

        loaded = self.load()
        try:
            with self._state(loaded) as state:
                return listing(loaded, state)
        except NoState:
            return listing(loaded, None)

    def due(self, destinations: Sequence[str] | None = None) -> Due:
        """What `deliver` would tell now, by sync and sequence. Sends and writes nothing. Raises NotFound for an unknown destination."""
        from segmentry.engine.sync_listing import due

        loaded = self.load()
        names = [destinations] if isinstance(destinations, str) else destinations
        with self._state(loaded) as state:
            return due(loaded, state, clock_now(), names)

    def propose_sync(self, segment: str, destination: str, answer: Answer, *, target: str | None = None) -> Proposal:
        """What `confirm_sync` would do, and the target as it is there now; writes nothing.

        `target`, `list:ID` or `tag:X`, is needed only where the segment has several syncs to that destination.
        Raises NotFound, and DecisionError where a run must be made first.
        """
        from segmentry.engine.sync_confirming import propose

        loaded = self.load().require()
        with self._state(loaded) as state:
            return propose(loaded, state, (segment, destination, target), answer, clock_now(), self._newest_contacts, os.environ)

    def confirm_sync(
        self,
        segment: str,
        destination: str,
        answer: Answer,
        *,
        target: str | None = None,
        run: int | None = None,
        wait: timedelta | None = None,
    ) -> Proposal:
        """Says, once, what becomes of those who are in when a sync starts: `send` adds them with the next delivery, `skip` lets them be.

        `run`: the accepted run that it was asked by. Raises as `propose_sync`; DecisionError also where another run is accepted by now.
        """
        from segmentry.engine.sync_confirming import confirm

        loaded = self.load().require()
        wanted = (segment, destination, target)
        with self._state(loaded) as state:
            return confirm(loaded, state, wanted, answer, clock_now(), self._newest_contacts, run=run, wait=seconds_of(wait))

    def readd(
        self, keys: Sequence[object], *, segment: str | None = None, destination: str | None = None, wait: timedelta | None = None
    ) -> list[Returned]:
        """Lets contacts come back to what they left, with the next delivery; the syncs where any had left.

        Whoever is unsubscribed there stays out all the same. Raises NotFound, DecisionError, LeaseHeld.
        """
        from segmentry.engine.sync_returning import readd

        loaded = self.load().require()
        with self._state(loaded) as state:
            where = {"segment": segment, "destination": destination}
            return readd(loaded, state, keys, clock_now(), self._newest_contacts, **where, wait=seconds_of(wait))

    def detaching(self, segment: str, destination: str, *, target: str | None = None) -> Detached:
        """What `detach_sync` would be about; writes nothing. Raises NotFound, and DecisionError for a sync that the files still say."""
        from segmentry.engine.sync_detaching import detaching

        loaded = self.load().require()
        with self._state(loaded) as state:
            return detaching(loaded, state, (segment, destination, target))

    def detach_sync(
        self, segment: str, destination: str, *, target: str | None = None, remove: bool = False, wait: timedelta | None = None
    ) -> Detached:
        """Forgets a sync that the files don't say any more; `remove` takes out whom it added first. As `detaching`, and LeaseHeld."""
        from segmentry.engine.sync_detaching import Telling, detach

        loaded = self.load().require()
        with self._state(loaded) as state:
            telling = Telling(os.environ, clock_now)
            return detach(loaded, state, (segment, destination, target), telling, remove=remove, wait=seconds_of(wait))

    def reconcile(
        self,
        segment: str | None = None,
        destination: str | None = None,
        *,
        dry_run: bool = False,
        accept_losses: bool = False,
        wait: timedelta | None = None,
    ) -> list[ReadBack]:
        """Reads destinations back and mends what is known of their members, never who is there; `sync_reading_back.report` makes a frame.

        Where most members of a sync are gone, that is taken only with `accept_losses`. Raises NotFound, DecisionError, LeaseHeld.
        """
        from segmentry.engine.sync_reading_back import Reading, reconcile

        loaded = self.load().require()
        with self._state(loaded) as state:
            reading = Reading(loaded, state, clock_now(), self._newest_contacts, os.environ)
            found = {"segment": segment, "destination": destination}
            return reconcile(reading, **found, dry_run=dry_run, accept_losses=accept_losses, wait=seconds_of(wait))

    # ------------------------------------------------------------ keeping

    def gc(self, *, wait: timedelta | None = None) -> dict[str, int]:
        """Removes memberships and addresses past the workspace's retention, and what killed runs left: counts of what went.

        Changes, the ledger and deliveries are kept. Raises LeaseHeld.
        """
        loaded = self.load()
        keep = loaded.config.retention
        with self._state(loaded) as state:
            return state.gc(parse_length(keep.memberships), clock_now(), addresses=parse_length(keep.addresses), wait=seconds_of(wait))

    def forget(self, keys: Sequence[object], *, wait: timedelta | None = None) -> dict[str, Any]:
        """Erases contacts from everything that is stored: the certificate, with what only you can erase.

        Raises LeaseHeld, and SegmentryError for what can't be a key.
        """
        from segmentry.engine.forgetting import forget

        loaded = self.load()
        with self._state(loaded) as state:
            return forget(loaded, state, keys, clock_now(), wait=seconds_of(wait))

    def recover(self, *, wait: timedelta | None = None) -> Recovered:
        """After a backup was restored: reads the ledger's files into the catalog and destinations back; the next run enrolls nobody.

        What may have been sent meanwhile is `unknown`, for `settle_deliveries`. Raises LeaseHeld and StateError.
        """
        from segmentry.engine.recovering import recover

        loaded = self.load().require()
        with self._state(loaded) as state:
            return recover(loaded, state, clock_now(), wait=seconds_of(wait), environ=os.environ, newest=self._newest_contacts)
