"""The command that runs a workspace by itself: schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segmentry.cli_options import Settings, pass_settings, workspace_options
from segmentry.errors import LeaseHeld, WorkspaceError

if TYPE_CHECKING:
    from segmentry.cli_unattended import Signals, Unattended
    from segmentry.engine.loading import LoadedWorkspace
    from segmentry.engine.rounds import Rounds
    from segmentry.engine.scheduling import Done, Schedule
    from segmentry.engine.state import State

INTERRUPTED = 130

BUSY_SECONDS, IDLE_SECONDS = 0.1, 1.0
"""How often it looks what is due. Short also where nothing is for hours: the machine may sleep meanwhile, or its clock be set."""


@click.command()
@click.option("--now", is_flag=True, help="Make a run at the start, also where none is due yet.")
@click.option("--no-deliver", is_flag=True, help="Send nothing after the runs, also where the environment delivers.")
@click.option("--first-run", is_flag=True, help="Make the state folder if there is none.")
@click.option(
    "--metrics",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write metrics to this file after every run and every minute, for Prometheus's textfile collector.",
)
@workspace_options()
@pass_settings
def schedule(settings: Settings, now: bool, no_deliver: bool, first_run: bool, metrics: Path | None) -> None:
    """Run by itself, as `schedule:` in segmentry.yml says.

    Stays in the foreground. At each time it makes a run as `recompute` does, sends what is due, tells whoever `notify:` names, and
    says one line. It goes on whatever becomes of a run, and reads the workspace's files anew before each. SIGTERM or Ctrl-C ends
    it with nothing half done; a second one at once.
    """
    from segmentry.cli_unattended import Signals, Unattended
    from segmentry.engine.attempts import keeping, last_began
    from segmentry.engine.rounds import Rounds
    from segmentry.engine.state import State

    workspace = settings.open()
    loaded = workspace.load().require()
    plan = required_schedule(loaded)
    state = State.open(loaded.state, loaded.config.id, settings.env, create=first_run)
    try:
        with keeping(state) as lease, Signals().heard() as signals:
            world = Unattended(workspace, state, lease, settings.talk, metrics)
            last = last_began(state)
            rounds = Rounds(world, world.load(), plan, last, done_before(state, plan), at_once=now, sends=not no_deliver)
            due = "now" if now else f"{max(plan.due(last, _clock()), _clock()):%Y-%m-%d %H:%M:%SZ}"
            world.say("info", f"{plan.words}; the next run is due {due}; SIGTERM or Ctrl-C ends it", {"event": "start"})
            settings.exit_code = keep(rounds, world, signals)
            ended = "ended at once, whatever was under way" if settings.exit_code == INTERRUPTED else "stopped"
            world.say("info", ended, {"event": "stop"})
    finally:
        state.close()


def required_schedule(loaded: LoadedWorkspace) -> Schedule:
    """When the workspace wants to be run. Raises WorkspaceError where it does not say."""
    from segmentry.engine.scheduling import schedule_of
    from segmentry.rules.diagnostics import Diagnostic

    found = schedule_of(loaded.config)
    if found is None:
        there = "schedule" in loaded.document.value
        at = loaded.document.key_location(("schedule",)) if there else loaded.document.location()
        hint = "add `schedule: {every: 1 hour}`, or `cron:` in place of `every:`"
        raise WorkspaceError([Diagnostic("W203", "segmentry.yml does not say when to run", location=at, help=hint)])
    return found


def keep(rounds: Rounds, world: Unattended, signals: Signals) -> int:
    """Keeps the schedule until a signal ends it: the exit code."""
    while True:
        if signals.count > 1:
            rounds.kill()
            return INTERRUPTED
        if (signals.count or world.lost) and not rounds.stopping:
            if rounds.busy:
                world.say("info", "stopping; what is under way ends first, and a second signal ends it at once", {"event": "stopping"})
            rounds.stop()
        rounds.step(_clock())
        if rounds.over:
            break
        signals.wait(BUSY_SECONDS if rounds.busy else IDLE_SECONDS)
    if world.lost:
        world.talk.error(f"somebody else keeps this schedule by now: {world.lost}")
        return LeaseHeld.exit_code
    return 0


def done_before(state: State, plan: Schedule) -> Done | None:
    """What is known of the accepted run, so that files that it has read bring no other run."""
    from segmentry.engine.scheduling import Done
    from segmentry.engine.watching import look_then

    record = state.accepted() if plan.on_change else None
    return None if record is None else Done(record.started, record.committed, look_then(record))


def _clock() -> datetime:
    return datetime.now(UTC)


COMMANDS = (schedule,)
