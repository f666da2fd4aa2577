"""One batch of changes on its way to Klaviyo: what has been answered so far, and what a refusal means for whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from segmentry.engine.connectors.destination import Answer, DestinationStopped, Verdict
from segmentry.engine.connectors.klaviyo_bodies import relationships
from segmentry.engine.connectors.klaviyo_client import Client, Endpoint, LaterError, RefusedError, Turn
from segmentry.engine.connectors.klaviyo_people import listed
from segmentry.engine.connectors.syncing import Change, Notes, SyncBatch

RELATED = 1000
"""Profiles that one request adds to a list, or removes."""

REFUSALS = 40
"""Refusals that name no row, within a batch, after which no more halves are tried: then it is no single row's fault."""

READ_AGAIN = (0.0, 1.0, 2.0, 4.0)
"""Seconds before each reading of a list's members; what was just added may take a moment to be seen."""

NOT_ON_LIST = "Klaviyo took it, but the list's members do not have it"

_ROW = re.compile(r"(?:^|/profiles)/data/(\d+)(?=/|$)")
"""Where a pointer leads to a row: into the profiles of an import, or into the body's own data."""

_PERSONAL = re.compile(r"\S*@\S*|\+?\d[\d\s().-]{5,}|'[^']*'|\"[^\"]*\"")
_T = TypeVar("_T")


@dataclass
class Work:
    """A batch while it is being done. `answers` are by the changes' ids."""

    client: Client
    turn: Turn
    batch: SyncBatch
    notes: Notes
    answers: dict[str, Answer] = field(default_factory=dict)
    refusals: int = 0

    @property
    def list_id(self) -> str:
        return self.batch.target.name

    def say(self, change: Change, answer: Answer) -> None:
        """Answers a change."""
        self.answers[change.id] = answer

    def reject(self, change: Change, problem: Mapping[str, Any]) -> None:
        """Answers a change that Klaviyo refused, for what it says of it."""
        self.say(change, rejected(problem))

    def open(self, changes: Sequence[Change]) -> list[Change]:
        """Those that have no answer yet."""
        return [change for change in changes if change.id not in self.answers]

    def rest(self, answer: Answer) -> None:
        """Answers whoever has no answer yet."""
        for change in self.open(self.batch.changes):
            self.say(change, answer)

    def parted(self, rows: Sequence[_T], change_of: Callable[[_T], Change], refused: RefusedError) -> list[Sequence[_T]]:
        """What of a refused request is asked again, in which parts: without the rows it names, or in halves that find them out."""
        named = {row: problem for problem in refused.problems if (row := row_named(problem, len(rows))) is not None}
        if named:
            for row, problem in named.items():
                self.reject(change_of(rows[row]), problem)
            left = [one for row, one in enumerate(rows) if row not in named]
            return [left] if left else []
        if refused.status == 404:
            raise refused  # what is not there is the list
        self.refusals += 1
        half = len(rows) // 2
        if half and self.refusals <= REFUSALS:
            return [rows[:half], rows[half:]]
        for one in rows:
            answer = rejected(next(iter(refused.problems), {}), refused.status)
            self.say(change_of(one), Answer(Verdict.REJECTED, answer.reason, again=answer.again or bool(half)))
        return []

    def relate(self, endpoint: Endpoint, rows: Sequence[tuple[Change, str]]) -> list[tuple[Change, str]]:
        """Adds profiles, by Klaviyo's ids, to the list, or removes them: those for which that was done."""
        done: list[tuple[Change, str]] = []
        waiting: list[Sequence[tuple[Change, str]]] = [rows[start : start + RELATED] for start in range(0, len(rows), RELATED)]
        while waiting:
            part = waiting.pop(0)
            try:
                self.client.ask(endpoint, self.turn, id=self.list_id, body=relationships([id for _, id in part]))
            except RefusedError as refused:
                waiting[:0] = self.parted(part, lambda row: row[0], refused)
            else:
                done.extend(part)
        return done

    def confirm(self, changes: Sequence[Change], otherwise: str = NOT_ON_LIST) -> None:
        """Answers SENT to those whose address the list's members have; `otherwise` is what is said to the rest, for another time."""
        left = list(changes)
        for wait in READ_AGAIN:
            if left and wait:
                self.client.sleep(wait)
            members = listed(self.client, self.turn, self.list_id, (change.address for change in left))
            for change in left:
                member = members.get(change.address or "")
                if member is not None:
                    self.say(change, Answer(Verdict.SENT, remote_id=member.id, status=member.status))
            left = self.open(left)
        for change in left:
            self.say(change, Answer(Verdict.REJECTED, otherwise, again=True))


def id_of(answer: Mapping[str, Any]) -> str:
    """The id of what an answer is about. Raises LaterError where it names none."""
    data = answer.get("data")
    id = data.get("id") if isinstance(data, Mapping) else None
    if not isinstance(id, str) or not id:
        raise LaterError("Klaviyo's answer names nothing", maybe=True)
    return id


def row_named(problem: Mapping[str, Any], rows: int) -> int | None:
    """Which of the rows of a request an error is about, where its pointer says so."""
    source = problem.get("source")
    pointer = source.get("pointer") if isinstance(source, Mapping) else None
    found = _ROW.findall(pointer) if isinstance(pointer, str) else []
    return int(found[-1]) if found and len(found[-1]) < 8 and int(found[-1]) < rows else None


def rejected(problem: Mapping[str, Any], status: int = 400) -> Answer:
    """The answer to a row for which Klaviyo names this problem. What is invalid stays so until it is changed."""
    code = str(problem.get("code") or "")
    again = status not in (400, 413, 422) or not (code.startswith("invalid") or not code)
    return Answer(Verdict.REJECTED, reason_of(problem, status), again=again)


def reason_of(problem: Mapping[str, Any], status: int) -> str:
    """Klaviyo's title of a problem and the field it is about, without anything that could be somebody's; never its details."""
    title = _PERSONAL.sub("…", str(problem.get("title") or problem.get("code") or "")).strip().rstrip(".")[:120]
    source = problem.get("source")
    pointer = source.get("pointer") if isinstance(source, Mapping) else None
    name = pointer.rsplit("/", 1)[-1] if isinstance(pointer, str) else ""
    about = f" (`{name}`)" if re.fullmatch(r"[A-Za-z_]\w{0,60}", name) and name != "data" else ""
    return f"Klaviyo refuses it: {title or status}{about}"


def list_gone(list_id: str) -> DestinationStopped:
    """What is raised where the list is not there."""
    return DestinationStopped(
        f"Klaviyo has no list `{list_id}` (404): write the id of one that there is into the segment's `sync:`; "
        "`segmentry destinations` shows them"
    )
