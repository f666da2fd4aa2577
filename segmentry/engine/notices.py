"""Telling somebody of what needs a person: `notify:` posts it or runs a command, at first and then daily until it has ended."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from segmentry.engine.alarms import Alarm
from segmentry.engine.config_activation import NotifyConfig
from segmentry.engine.connectors.settings import VARIABLE
from segmentry.engine.loading import LoadedWorkspace
from segmentry.engine.state import State, noticed

AGAIN = timedelta(hours=24)
"""What goes on is told again after so long."""

COMMAND_SECONDS = 60

Post = Callable[[str, Mapping[str, Any]], str | None]
"""Posts a JSON body to a URL: None, or why it failed, without the URL."""


@dataclass(frozen=True)
class Told:
    """What was told of, and what could not be (`failed`), in words fit to be shown."""

    told: Sequence[Alarm]
    failed: Sequence[str]


def notify(loaded: LoadedWorkspace, state: State, found: Sequence[Alarm], now: datetime, environ: Mapping[str, str], post: Post) -> Told:
    """Tells whoever `notify:` names of alarms that are new, or were last told a day ago; forgets those that have ended.

    What could not be told is told at the next time.
    """
    told: dict[str, Alarm] = {}
    failed: list[str] = []
    for number, config in enumerate(loaded.config.notify):
        for alarm in found:
            if alarm.kind not in config.on:
                continue
            what = f"{number}:{alarm.key}"
            with state.catalog.writing() as connection:
                due, before = noticed.claim(connection, what, alarm.since, now, now - AGAIN)
            if not due:
                continue
            problem = _tell(loaded, config, alarm, environ, post)
            if problem is None:
                told[alarm.key] = alarm
                continue
            failed.append(f"nobody could be told that {alarm.kind}: {problem}")
            with state.catalog.writing() as connection:
                noticed.give_back(connection, what, before)
    with state.catalog.writing() as connection:
        noticed.forget_others(connection, {alarm.key for alarm in found})
    return Told(list(told.values()), failed)


def _tell(loaded: LoadedWorkspace, config: NotifyConfig, alarm: Alarm, environ: Mapping[str, str], post: Post) -> str | None:
    body = {
        "text": f"Segmentry, {loaded.name} ({loaded.environment}): {alarm.text}",
        "kind": alarm.kind,
        "since": alarm.since.isoformat(timespec="seconds"),
        "workspace": loaded.name,
        "environment": loaded.environment,
    }
    if config.post is not None:
        missing = [name for name in re.findall(VARIABLE, config.post) if not environ.get(name)]
        if missing:
            return f"the environment variable {missing[0]} is not set"
        return post(re.sub(VARIABLE, lambda found: environ[found[1]], config.post), body)
    assert config.run is not None
    return _run(loaded, config.run, body)


def _run(loaded: LoadedWorkspace, command: str, body: Mapping[str, Any]) -> str | None:
    """Runs a command in the workspace's folder: the text is in SEGMENTRY_NOTICE, all of it as JSON on its standard input."""
    try:
        done = subprocess.run(  # noqa: S603 - whoever writes segmentry.yml says what is run
            shlex.split(command),
            cwd=loaded.root,
            env={**os.environ, "SEGMENTRY_NOTICE": str(body["text"])},
            input=json.dumps(body, ensure_ascii=False).encode(),
            capture_output=True,  # and not read: it may be anything
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"`{command}` took longer than {COMMAND_SECONDS} s"
    except (OSError, ValueError) as error:
        return f"`{command}` can't be run: {getattr(error, 'strerror', None) or error}"
    return None if done.returncode == 0 else f"`{command}` ended with {done.returncode}"
