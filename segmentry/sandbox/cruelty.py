"""How a sandbox can misbehave: the kinds by name, and what is due to the next request."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random

from segmentry.errors import SegmentryError

STATUS = re.compile(r"([2-5][0-9]{2})(-applied)?")

NAMED: Mapping[str, str] = {
    "429-after": "429 with Retry-After: 1",
    "429-date": "429 with a Retry-After that is a date, one second ahead",
    "503-after-long": "503 with Retry-After: 3600",
    "503-after-nonsense": "503 with a Retry-After that is none",
    "400-truncated": "400, and less of an answer than it announces",
    "redirect": "307 to another host",
    "hang": "never answers, and takes nothing",
    "hang-applied": "takes it, and never answers",
    "slow": "takes it, and answers drop by drop, as good as without end",
    "slow-headers": "takes it, and drops one header after the other, as good as without end",
    "truncated": "takes it, and answers less than it announces",
    "reset": "breaks the connection, and takes nothing",
    "reset-applied": "takes it, and breaks the connection",
    "close": "ends the connection without a word, and takes nothing",
    "close-applied": "takes it, and ends the connection without a word",
    "garbage": "takes it, and answers what is no HTTP",
    "endless": "takes it, and answers 200 with a body without end",
    "html": "takes it, and answers 200 with a page for people",
    "cookie": "takes it, and answers 200 with a cookie",
}
"""Beside these, every status from 200 to 599 is a kind: `503` takes nothing, `503-applied` takes it first."""


NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """What a request meets. Where `name` is a status, it is answered with that."""

    name: str
    applies: bool
    status: int | None = None


def misbehaviour(kind: str, also: Mapping[str, str] = NOTHING) -> Misbehaviour:
    """A kind by its name, of these or of a service's own; raises SegmentryError for one that there is not."""
    status = STATUS.fullmatch(kind)
    if status is not None:
        code = int(status[1])
        return Misbehaviour(kind, applies=bool(status[2]) or code < 300, status=code)
    if kind not in NAMED and kind not in also:
        names = ", ".join((*NAMED, *also))
        raise SegmentryError(f"`{kind}` is no way to be cruel; there are a status like 503, or 503-applied, and {names}")
    return Misbehaviour(kind, applies={**NAMED, **also}[kind].startswith("takes it"))


class Cruelty:
    """What is due: first the script, each kind once, then one of the kinds for a share of the requests, drawn by the seed.

    `also`: kinds of a service's own, by name, with what each does; one that begins with "takes it" applies.
    """

    def __init__(self, kinds: Iterable[str] = (), *, share: float = 0.5, seed: int = 0, also: Mapping[str, str] = NOTHING) -> None:
        self._lock = threading.Lock()
        self._draws = Random(seed)  # noqa: S311 - the same seed, the same cruelty
        self._script: deque[Misbehaviour] = deque()
        self._kinds: tuple[Misbehaviour, ...] = ()
        self._share = share
        self._also = also
        self.set(kinds, share=share)

    def set(self, kinds: Iterable[str], *, share: float | None = None) -> None:
        """From now on a share of the requests meets one of these; none at all where there are none."""
        found = tuple(misbehaviour(kind, self._also) for kind in kinds)
        with self._lock:
            self._kinds = found
            self._share = self._share if share is None else share

    def script(self, kinds: Iterable[str]) -> None:
        """The next requests meet these, in this order, each once."""
        found = [misbehaviour(kind, self._also) for kind in kinds]
        with self._lock:
            self._script.extend(found)

    def reset(self) -> None:
        """Kind again."""
        with self._lock:
            self._script.clear()
            self._kinds = ()

    def due(self, fits: Callable[[Misbehaviour], bool] = lambda _: True) -> Misbehaviour | None:
        """What the request at hand meets; None for good behaviour.

        What doesn't fit this request, as an import job that fails doesn't fit a question, is not met: the script keeps it for
        the next that it fits.
        """
        with self._lock:
            for number, scripted in enumerate(self._script):
                if fits(scripted):
                    del self._script[number]
                    return scripted
            if not self._kinds or self._draws.random() >= self._share:
                return None
            drawn = self._draws.choice(self._kinds)
            return drawn if fits(drawn) else None
