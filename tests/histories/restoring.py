"""The state's folder lost and put back, as it was at a backup, or with the ledger's files of later."""

from __future__ import annotations

import copy
import shutil
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from segmentry.engine.deciding import approve
from segmentry.engine.delivering import deliver
from segmentry.engine.moment import Moment
from segmentry.engine.recovering import recover
from segmentry.engine.run import recompute
from segmentry.errors import DecisionError
from tests.histories.files import utc

if TYPE_CHECKING:
    from tests.histories.driver import Driver


class Restoring:
    """What a driver does about backups."""

    def a_backup_is_made(self: Driver) -> None:
        self.backup = copy.deepcopy(self.model)
        self.saved.parent.mkdir(exist_ok=True)
        shutil.rmtree(self.saved, ignore_errors=True)
        shutil.copytree(self.folder.state_folder, self.saved)

    @property
    def saved(self: Driver) -> Path:
        return self.folder.root / "backup"

    def a_backup_is_put_back(self: Driver) -> None:
        """The whole folder as it was: nobody can know what is lost; receivers know the ids."""
        if self.backup is None:
            return
        shutil.rmtree(self.folder.state_folder)
        shutil.copytree(self.saved, self.folder.state_folder)
        self.receivers.lost |= set(self.model.rows) | set(self.receivers.applied())
        self.model, self.backup = copy.deepcopy(self.backup), self.backup

    def an_older_catalog_is_put_back(self: Driver) -> None:
        """The ledger's later files are still there: the next run is held, and `recover` reads them."""
        if self.backup is None:
            return
        lost, files = self.model, self.folder.state_folder / "enrollments"
        if any(files.glob("*.pending")):  # of a run that was killed: nobody was told of what is in it, and it counts as one that never was
            lost = self.unfinished or lost
        kept = self.folder.root / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(files, kept)
        self.a_backup_is_put_back()
        shutil.copytree(kept, files, dirs_exist_ok=True)
        if lost.ledgers <= self.model.ledgers:
            return
        self.now += timedelta(hours=1)
        self.folder.write(self.world)
        run = recompute(self.folder.loaded(), as_of=utc(self.now), now=utc(self.now))
        assert run.record.status == "held"
        self.model.stop_whole(lost)
        self.check()
        loaded = self.folder.loaded()
        with self.folder.state() as state:
            with pytest.raises(DecisionError):
                approve(loaded, state, run.record.id, [], utc(self.now), lambda: Moment.at(loaded, utc(self.now)).snapshot.contacts)
            told = self.requests()
            deliver(state, loaded, clock=lambda: utc(self.now), **self.telling)
            assert self.requests() == told, "told of by a restored catalog"
            recover(loaded, state, utc(self.now), **self.telling)
        self.model.recover(lost)
        self.check()
        self.time_passes_and_a_run()
