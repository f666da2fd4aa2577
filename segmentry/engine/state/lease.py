"""The lease: one writer per workspace and environment at a time, one sender per destination, with a number that rises with every holder.

Commit checks the number inside its own transaction, so whoever slept past the expiry, and was replaced, can't commit.
A holder on this machine whose process has ended loses the lease at once; any other loses it when its heartbeat is old.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, Row, and_, insert, select, update

from segmentry.engine.state.catalog import Catalog
from segmentry.engine.state.schema import LEASE
from segmentry.errors import LeaseHeld, LeaseLost, StateError

HEARTBEAT_SECONDS = 10.0
EXPIRY_SECONDS = 60.0
POLL_SECONDS = 0.25

RUN = "run"
"""The purpose of the lease under which runs, decisions and whatever else writes the state are committed."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of one machine. `start` tells it from another that has got the same pid; None where a host can't say."""

    host: str
    machine: str
    pid: int
    start: str | None


@dataclass(frozen=True, slots=True)
class Lease:
    """A held lease: pass it to whatever writes."""

    workspace: str
    environment: str
    number: int
    purpose: str = RUN

    def check(self, connection: Connection) -> None:
        """Raises LeaseLost unless this lease is still the newest; inside a write transaction it stays so until commit."""
        row = connection.execute(select(LEASE).where(_place(self))).first()
        if row is None or row.number != self.number or row.host is None:
            holder = f" to {_who(row)}" if row is not None and row.host is not None else ""
            what = "run" if self.purpose == RUN else self.purpose
            raise LeaseLost(f"this {what}'s lease (number {self.number}) has passed{holder}; nothing was committed")


@contextmanager
def hold(
    catalog: Catalog,
    workspace: str,
    environment: str,
    *,
    purpose: str = RUN,
    wait: float = 0.0,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    heartbeat: float = HEARTBEAT_SECONDS,
) -> Iterator[Lease]:
    """The lease, for as long as the block lasts; waits up to `wait` seconds for its present holder.

    Raises LeaseHeld. `clock` is the wall clock that heartbeats are told by, not a run's `as_of`.
    """
    me = this_process()
    lease = _acquire(catalog, Lease(workspace, environment, 0, purpose), me, wait=wait, clock=clock)
    ended = threading.Event()
    thread = threading.Thread(target=_beat, args=(catalog, lease, ended, heartbeat, clock), name="segmentry-lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        _release(catalog, lease)


def holder(catalog: Catalog, workspace: str, environment: str, now: datetime, *, purpose: str = RUN) -> str | None:
    """Who holds the lease, in words; None if nobody does, or only somebody who would lose it to the next who asks."""
    with catalog.reading() as connection:
        row = connection.execute(select(LEASE).where(_place(Lease(workspace, environment, 0, purpose)))).first()
    return None if row is None or row.host is None or _is_over(row, this_process(), now) else _who(row)


def this_process() -> Process:
    """The process that runs this."""
    return Process(socket.gethostname(), _machine(), os.getpid(), process_start(os.getpid()))


def process_start(pid: int) -> str | None:
    """When a live process began, in the host's own terms; None if there is no such process or the host can't say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if Path("/proc/self/stat").exists() else _process_start_by_ps(pid)
    state, *fields = stat[stat.rindex(")") + 2 :].split()
    return None if state in "ZX" else fields[18]


def _process_start_by_ps(pid: int) -> str | None:
    try:
        result = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=5)  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None


def _machine() -> str:
    """Tells this boot of this host, and this pid namespace, from all others, as far as the host can say."""
    parts = []
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    except OSError:
        parts.append(socket.gethostname())
    return ":".join(parts)


def _acquire(catalog: Catalog, wanted: Lease, me: Process, *, wait: float, clock: Callable[[], datetime]) -> Lease:
    deadline = time.monotonic() + wait
    while True:
        with catalog.writing() as connection:
            row = connection.execute(select(LEASE).where(_place(wanted))).first()
            if row is None or row.host is None or _is_over(row, me, clock()):
                return _take(connection, wanted, me, row, clock())
        if time.monotonic() >= deadline:
            what = "run" if wanted.purpose == RUN else "sender"
            raise LeaseHeld(f"another {what} holds the lease: {_who(row)}")
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))


def _take(connection: Connection, wanted: Lease, me: Process, row: Row[tuple[object, ...]] | None, now: datetime) -> Lease:
    stamp = now.isoformat()
    values = {"host": me.host, "machine": me.machine, "pid": me.pid, "process_start": me.start, "acquired": stamp, "heartbeat": stamp}
    lease = replace(wanted, number=1 if row is None else row.number + 1)
    if row is None:
        place = {"workspace": lease.workspace, "environment": lease.environment, "purpose": lease.purpose}
        connection.execute(insert(LEASE).values(**place, number=lease.number, **values))
    else:
        connection.execute(update(LEASE).where(_place(lease)).values(number=lease.number, **values))
    return lease


def _is_over(row: Row[tuple[object, ...]], me: Process, now: datetime) -> bool:
    """Whether a held lease may be taken: its process has ended, or its heartbeat is too old."""
    if row.machine == me.machine:
        start = process_start(row.pid)
        if row.process_start is not None and start != row.process_start:
            return True
    elif row.host == me.host and _boot(row.machine) != _boot(me.machine):
        return True
    return now - datetime.fromisoformat(row.heartbeat) > timedelta(seconds=EXPIRY_SECONDS)


def _boot(machine: str) -> str:
    return machine.partition(":")[0]


def _beat(catalog: Catalog, lease: Lease, ended: threading.Event, every: float, clock: Callable[[], datetime]) -> None:
    mine = and_(_place(lease), LEASE.c.number == lease.number)
    while not ended.wait(every):
        try:
            with catalog.writing() as connection:
                connection.execute(update(LEASE).where(mine).values(heartbeat=clock().isoformat()))
        except StateError:
            continue  # a missed beat is made up by the next; the commit checks the number anyway


def _release(catalog: Catalog, lease: Lease) -> None:
    mine = and_(_place(lease), LEASE.c.number == lease.number)
    with suppress(StateError), catalog.writing() as connection:  # a lease that can't be given back expires by itself
        connection.execute(update(LEASE).where(mine).values(host=None, machine=None, pid=None, process_start=None))


def _place(lease: Lease) -> ColumnElement[bool]:
    """The row of a lease, whoever holds it."""
    return and_(LEASE.c.workspace == lease.workspace, LEASE.c.environment == lease.environment, LEASE.c.purpose == lease.purpose)


def _who(row: Row[tuple[object, ...]] | None) -> str:
    assert row is not None
    return f"process {row.pid} on {row.host}, since {row.acquired}"
