"""How fast one kind of request may go: what Klaviyo allows an account, less a share that is left to its other tools.

Klaviyo counts an account's requests per endpoint, in a second and in a minute, and says in its answers how many are left.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping

SHARE = 0.8
"""Of what an account may ask, this much at most is asked by us."""

SECOND, MINUTE = 1.0, 60.0


class Pace:
    """Books the moments at which requests of one kind may go. Used from several threads; moments are seconds of any one clock.

    A second's requests may go at once; more are spread over the minute, lest it is used up early and all wait for its end.
    """

    def __init__(self, burst: int, steady: int, share: float = SHARE) -> None:
        self._share = share
        self._burst, self._steady = max(1, int(burst * share)), max(1, int(steady * share))
        self._step = MINUTE / max(self._steady - self._burst + 1, 1)
        self._even = float("-inf")
        self._booked: deque[float] = deque(maxlen=self._steady)
        self._closed_until = float("-inf")
        self._lock = threading.Lock()

    def book(self, now: float, patience: float) -> tuple[bool, float]:
        """Whether a request may go within `patience` seconds, and in how many. If not, nothing is booked."""
        with self._lock:
            spread = self._even - (self._burst - 1) * self._step
            moment = max(now, self._closed_until, spread, self._after(self._burst, SECOND), self._after(self._steady, MINUTE))
            if moment - now > patience:
                return False, moment - now
            self._even = max(self._even, moment) + self._step
            self._booked.append(moment)
            return True, moment - now

    def closed(self, now: float) -> float:
        """Seconds that nothing may go, whatever was booked."""
        with self._lock:
            return max(self._closed_until - now, 0.0)

    def close(self, now: float, seconds: float) -> None:
        """Lets nothing go for so long: the service asked to wait."""
        with self._lock:
            self._closed_until = max(self._closed_until, now + seconds)

    def hear(self, now: float, headers: Mapping[str, str]) -> None:
        """What an answer says is left of the account's minute: the others' share is not touched until the next one begins."""
        limit, left, reset = (_number(headers.get(f"ratelimit-{name}")) for name in ("limit", "remaining", "reset"))
        if limit is not None and left is not None and reset is not None and limit - left >= limit * self._share:
            self.close(now, min(reset, MINUTE))

    def _after(self, count: int, seconds: float) -> float:
        """The first moment at which fewer than `count` were booked in the `seconds` before."""
        return self._booked[-count] + seconds if len(self._booked) >= count else float("-inf")


def _number(text: str | None) -> float | None:
    """The number that a header begins with (`150` of `150, 10;w=1, 150;w=60`)."""
    first = (text or "").split(",")[0].strip()
    return float(first) if first.isascii() and first.isdigit() and len(first) < 10 else None
