"""What is said of a schedule's runs and deliveries: a line each, with its figures for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from segmentry.engine.attempts import Attempt
from segmentry.engine.render import second
from segmentry.engine.scheduling import Trigger
from segmentry.errors import DiagnosedError, LeaseHeld, SegmentryError

DONE, FAILED, HELD, BUG, INTERRUPTED = 0, 3, 4, 70, 130
"""Exit codes, as the command line has them: done; some deliveries failed; a guard holds something; a bug of ours; ended by a signal."""

SENT = ("sent", "rejected", "later", "unknown", "left")
"""What a delivery's line counts."""

NEWS = ("sent", "rejected", "unknown")

ALWAYS = ("sent", "rejected")
"""Figures that are said also where they are 0."""

LEVELS = {DONE: "info", FAILED: "warning", HELD: "warning", LeaseHeld.exit_code: "warning", INTERRUPTED: "warning"}

Line = tuple[str, str, dict[str, object]]
"""Its level (`info`, `warning`, `error`), the text, and figures for programs."""


@dataclass(frozen=True)
class Ended:
    """What came of something under way: exit code (negative: the signal that killed it), report, and what it complained of."""

    code: int
    report: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


def attempt_of(began: datetime, ended_at: datetime, trigger: Trigger, ended: Ended, *, stopping: bool) -> Attempt:
    """What became of a run, by how its process ended."""
    number, code, error = ended.report.get("run"), ended.code, ended.error
    if number is not None and code in (DONE, HELD):
        return Attempt(began, ended_at, str(trigger), str(ended.report["status"]), code, number, error)
    if code == LeaseHeld.exit_code:
        return Attempt(began, ended_at, str(trigger), "skipped", code, None, error)
    if stopping:
        return Attempt(began, ended_at, str(trigger), "stopped", code if code > 0 else 128 - code)
    if code <= 0:
        error = f"the run's process was ended by signal {-code}" if code else "the run told nothing of itself"
        code = BUG
    return Attempt(began, ended_at, str(trigger), "failed", code, None, error or f"it ended with {code}")


def run_line(
    attempt: Attempt, report: Mapping[str, Any], delivery: Ended | None, following: datetime | None, *, delivering: bool = False
) -> Line:
    """The line of a run. `delivery`: what was sent after it, if that is known by now; `following`: when the next one is due."""
    code = attempt.code
    if code == DONE and delivery is not None:
        code = delivery.code if delivery.code >= 0 else BUG
    counted = _counted(report) if attempt.run is not None else {}
    sent = {} if delivery is None else _sent(delivery)
    facts: dict[str, object] = {
        "event": "run",
        "run": attempt.run,
        "status": attempt.status,
        "trigger": attempt.trigger,
        "as_of": report.get("as_of"),
        "began": attempt.began,
        "seconds": attempt.seconds,
        **counted,
        **sent,
        **({"delivering": True} if delivering else {}),
        "exit_code": code,
        "next_run": following,
        **({"error": attempt.error} if attempt.error else {}),
    }
    parts = [", ".join(f"{count:,} {what}" for what, count in counted.items())] if counted else []
    parts += [attempt.error] if attempt.error and attempt.run is None else []
    parts += [_shown(sent)] if sent else ["still delivering"] if delivering else []
    parts.append(f"{attempt.seconds:.1f} s, exit code {code}")
    parts += [f"next at {second(following)}"] if following is not None else []
    what = f"run {attempt.run}, {attempt.status}" if attempt.run is not None else f"no run, {attempt.status}"
    return _level(attempt, code), f"{what}: {'; '.join(parts)}", facts


def is_news(ended: Ended) -> bool:
    """Whether a delivery between runs is worth a line: something went out, or it failed."""
    return ended.code != DONE or any(count for what, count in _sent(ended).items() if what in NEWS)


def delivery_line(after: Attempt | None, ended: Ended) -> Line:
    """The line of a delivery that outlasted its run's line, or was made between runs."""
    run = None if after is None else after.run
    what = f"delivery after run {run}" if run is not None else "delivery"
    code = ended.code if ended.code >= 0 else BUG
    sent = _sent(ended)
    parts = [*([_shown(sent)] if sent else []), *([ended.error] if ended.error else []), f"exit code {code}"]
    facts: dict[str, object] = {"event": "delivery", "run": run, **sent, "exit_code": code}
    return LEVELS.get(code, "error"), f"{what}: {'; '.join(parts)}", facts | ({"error": ended.error} if ended.error else {})


def first_line(error: SegmentryError) -> str:
    """An error in one line: of several problems the first, and how many more there are."""
    if not isinstance(error, DiagnosedError) or not error.diagnostics:
        return str(error).partition("\n")[0]
    problem, *others = error.diagnostics
    place = problem.location
    where = f"{place.file}:{place.line}:{place.column}: " if place is not None else ""
    more = f" (and {len(others)} more)" if others else ""
    return f"{where}{problem.message}{more}"


def _level(attempt: Attempt, code: int) -> str:
    return "info" if attempt.status == "stopped" else LEVELS.get(code, "error")


def _counted(report: Mapping[str, Any]) -> dict[str, int]:
    """A run's figures, by its report."""
    segments = report.get("segments", {}).values()
    activation = report.get("activation", {})
    enrolled = list(activation.get("enrollments", {}).values())
    return {
        "contacts": report.get("contacts", {}).get("rows", 0),
        "segments": len(segments),
        "entered": sum(sum(one["entered"].values()) for one in segments),
        "exited": sum(sum(one["exited"].values()) for one in segments),
        "enrolled": sum(count for counts in enrolled for outcome, count in counts.items() if outcome == "pending"),
        "held": len(activation.get("held", ())),
    }


def _sent(ended: Ended) -> dict[str, int]:
    """A delivery's figures over all destinations, by its report; none where it told nothing."""
    if "destinations" not in ended.report:
        return {}
    destinations = ended.report["destinations"].values()
    return {what: sum(one.get(what, 0) for one in destinations) for what in SENT}


def _shown(sent: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in sent.items() if count or what in ALWAYS)
