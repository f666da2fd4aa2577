"""How people are told of a sync: what it is called, and which command says what becomes of those who are in when it starts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from segmentry.engine.connectors.syncing import Target

ACTIONS: Mapping[str, str] = {"add": "to add", "update": "to update", "remove": "to remove"}
"""What a run decided, in the words of a line."""


def sync_name(segment: str, destination: str, target: str) -> str:
    """A sync's name for people."""
    where = "" if target == str(Target()) else f", {target}"
    return f"{segment} to {destination}{where}"


def confirm_command(segment: str, destination: str, target: str) -> str:
    """What somebody types to say whether those who are in are sent; it names the exact target, for which alone the answer counts."""
    where = "" if target == str(Target()) else f" --target {shlex.quote(target)}"
    return f"segmentry sync confirm {segment} {destination}{where} --send | --skip"


def decided(sync: Mapping[str, Any]) -> str | None:
    """What a run decided on one sync, as its report has it, in a line; None where there is nothing to say."""
    key = (sync["segment"], sync["destination"], sync["target"])
    if sync["status"] == "unconfirmed":
        return f"{sync_name(*key)}: waits for a word on {sync['members']:,} who are in: {confirm_command(*key)}"
    counts = [f"{sync[name]:,} {text}" for name, text in ACTIONS.items() if sync.get(name)]
    return f"{sync_name(*key)}: " + ", ".join(counts) if counts else None
