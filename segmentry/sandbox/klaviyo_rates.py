"""How fast the Klaviyo stand-in may be asked: fixed windows of a second, a minute and, for some, a day, for each operation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

from segmentry.sandbox.klaviyo_problems import Problem, RefusedError

PACES: Mapping[str, tuple[int, int]] = {"XS": (1, 15), "S": (3, 60), "M": (10, 150), "L": (75, 750), "XL": (350, 3500)}
"""The service's own: so many a second, so many a minute."""

DAILY: Mapping[str, int] = {"POST /api/lists": 150}
_MINUTE, _DAY = 60, 86_400


class Rates:
    """Counts what was asked. `times` multiplies the service's own rates; 1 is the service."""

    def __init__(self, times: float) -> None:
        self.times = times
        self._taken: dict[tuple[str, int], tuple[int, int]] = {}

    def take(self, operation: str, pace: str, now: datetime) -> dict[str, str]:
        """Counts a request, and gives its answer's headers; raises RefusedError (429) where it is one too many, which doesn't count."""
        burst, steady = PACES[pace]
        windows = {1: burst, _MINUTE: steady} | ({_DAY: DAILY[operation]} if operation in DAILY else {})
        at = now.timestamp()
        for length, number in windows.items():
            if self._count(operation, length, at) >= self._most(number):
                raise self._throttled(length - at % length)
        for length in windows:
            self._taken[operation, length] = (int(at // length), self._count(operation, length, at) + 1)
        most = self._most(steady)
        return {
            "RateLimit-Limit": str(most),
            "RateLimit-Remaining": str(most - self._count(operation, _MINUTE, at)),
            "RateLimit-Reset": str(math.ceil(_MINUTE - at % _MINUTE)),
        }

    def reset(self) -> None:
        """Nothing was asked."""
        self._taken.clear()

    def _most(self, number: int) -> int:
        return max(1, int(number * self.times))

    def _count(self, operation: str, length: int, at: float) -> int:
        window, count = self._taken.get((operation, length), (-1, 0))
        return count if window == int(at // length) else 0

    @staticmethod
    def _throttled(seconds: float) -> RefusedError:
        wait = max(1, math.ceil(seconds))
        problem = Problem(
            "throttled", "Request was throttled.", f"Request was throttled. Expected available in {wait} second(s).", "/data/"
        )
        return RefusedError(429, [problem], {"Retry-After": str(wait)})
