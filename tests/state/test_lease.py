"""The lease: one holder at a time, a rising number, and nobody commits who slept past it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from segmentry.engine.state import lease as leases
from segmentry.engine.state.catalog import Catalog, open_catalog
from segmentry.engine.state.lease import EXPIRY_SECONDS, hold, holder
from segmentry.engine.state.schema import LEASE
from segmentry.errors import LeaseHeld, LeaseLost

WORKSPACE = ("7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11", "default")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return open_catalog(tmp_path / "state", create=True)


def pretend(catalog: Catalog, **values: object) -> None:
    with catalog.writing() as connection:
        connection.execute(update(LEASE).values(**values))


def test_a_second_holder_is_told_who_has_it(catalog: Catalog) -> None:
    with hold(catalog, *WORKSPACE) as lease:
        assert lease.number == 1
        with pytest.raises(LeaseHeld, match=rf"process {os.getpid()} on .*, since 2") as error, hold(catalog, *WORKSPACE):
            pass
        assert error.value.exit_code == 75
        assert str(os.getpid()) in (holder(catalog, *WORKSPACE, datetime.now(UTC)) or "")
    assert holder(catalog, *WORKSPACE, datetime.now(UTC)) is None
    with hold(catalog, *WORKSPACE) as lease:
        assert lease.number == 2


def test_a_workspace_s_environments_do_not_wait_for_each_other(catalog: Catalog) -> None:
    with hold(catalog, "a", "default"), hold(catalog, "a", "prod") as lease:
        assert lease.number == 1


def test_it_is_given_back_when_the_block_fails(catalog: Catalog) -> None:
    with pytest.raises(RuntimeError), hold(catalog, *WORKSPACE):
        raise RuntimeError
    assert holder(catalog, *WORKSPACE, datetime.now(UTC)) is None


def test_waiting_ends_when_the_holder_ends(catalog: Catalog) -> None:
    ended = threading.Event()

    def first() -> None:
        with hold(catalog, *WORKSPACE):
            held.set()
            ended.wait(10)

    held = threading.Event()
    thread = threading.Thread(target=first)
    thread.start()
    held.wait(10)
    threading.Timer(0.3, ended.set).start()
    with hold(catalog, *WORKSPACE, wait=10) as lease:
        assert lease.number == 2
    thread.join()


def test_waiting_ends_with_its_time(catalog: Catalog) -> None:
    with hold(catalog, *WORKSPACE):
        began = time.monotonic()
        with pytest.raises(LeaseHeld), hold(catalog, *WORKSPACE, wait=0.4):
            pass
        assert time.monotonic() - began >= 0.4


def test_a_dead_process_on_this_host_loses_it_at_once(catalog: Catalog) -> None:
    with hold(catalog, *WORKSPACE):
        child = subprocess.Popen([sys.executable, "-c", "pass"])
        start = leases.process_start(child.pid) or "0"
        child.wait()
        pretend(catalog, pid=child.pid, process_start=start)
        with hold(catalog, *WORKSPACE) as lease:
            assert lease.number == 2


def test_another_process_with_the_same_pid_is_not_the_holder(catalog: Catalog) -> None:
    with hold(catalog, *WORKSPACE):
        pretend(catalog, process_start="1")
        with hold(catalog, *WORKSPACE) as lease:
            assert lease.number == 2


@pytest.mark.parametrize(("age", "free"), [(EXPIRY_SECONDS - 5, False), (EXPIRY_SECONDS + 5, True)])
def test_a_holder_elsewhere_loses_it_when_its_heartbeat_is_old(catalog: Catalog, age: float, free: bool) -> None:
    with hold(catalog, *WORKSPACE):
        beat = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
        pretend(catalog, host="elsewhere", machine="another:1", pid=1, heartbeat=beat)
        if free:
            with hold(catalog, *WORKSPACE) as lease:
                assert lease.number == 2
        else:
            with pytest.raises(LeaseHeld, match="on elsewhere"), hold(catalog, *WORKSPACE):
                pass


def test_a_holder_of_this_host_before_its_restart_is_dead(catalog: Catalog) -> None:
    with hold(catalog, *WORKSPACE):
        pretend(catalog, machine="another-boot:1")
        with hold(catalog, *WORKSPACE) as lease:
            assert lease.number == 2


def test_whoever_slept_past_the_expiry_can_not_commit(catalog: Catalog) -> None:
    with hold(catalog, *WORKSPACE) as sleeper:
        pretend(catalog, heartbeat=(datetime.now(UTC) - timedelta(seconds=EXPIRY_SECONDS + 1)).isoformat())
        with hold(catalog, *WORKSPACE), pytest.raises(LeaseLost, match="nothing was committed"), catalog.writing() as connection:
            sleeper.check(connection)
        with pytest.raises(LeaseLost), catalog.writing() as connection:
            sleeper.check(connection)  # also once the other has given it back


def test_the_heart_beats_while_it_is_held(catalog: Catalog) -> None:
    with hold(catalog, *WORKSPACE, heartbeat=0.05):
        pretend(catalog, heartbeat="2000-01-01T00:00:00+00:00")
        time.sleep(0.5)
        with pytest.raises(LeaseHeld), hold(catalog, *WORKSPACE):
            pass


def test_a_process_is_known_by_when_it_began() -> None:
    start = leases.process_start(os.getpid())
    assert start is not None
    assert start == leases.process_start(os.getpid())
    assert leases.process_start(2**22 + 1) is None
    assert leases._process_start_by_ps(2**22 + 1) is None
