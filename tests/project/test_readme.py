"""The README's session is what is really printed: played again, every line that is shown is there, numbers aside."""

from __future__ import annotations

import re

from docs import session


def worded(lines: list[str]) -> list[str]:
    """Lines without what differs from hour to hour: numbers, the width of columns, who came or went by time between two commands."""
    plain = (re.sub(r"\d[\d,.:TZ-]*", "0", line) for line in lines)
    timeless = (re.sub(r"[+-]0 time, |, [+-]0 time", "", line).replace("+0 time", "–").replace("-0 time", "–") for line in plain)
    return [re.sub(r"[ ─^]+", " ", line).strip() for line in timeless]


def test_the_session_is_what_is_printed() -> None:
    blocks = session.BLOCK.findall(session.README.read_text(encoding="utf-8"))
    steps = [step for block in blocks for step in session.split(block)]
    assert len(steps) >= 20
    for (command, shown), printed in zip(steps, session.play([command for command, _ in steps]), strict=True):
        rest = iter(worded(printed))
        missing = [line for line in worded([line for line in shown if line != "..."]) if line not in rest]
        assert not missing, f"$ {command}\n" + "\n".join(printed)
