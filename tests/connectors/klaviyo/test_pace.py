"""How fast Klaviyo may be asked: the account's limits, less what is left to others, whatever threads ask."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from segmentry.engine.connectors.klaviyo_pace import Pace


def moments(pace: Pace, count: int, now: float = 0.0) -> list[float]:
    """When so many requests that are asked for at once may go."""
    return [now + pace.book(now, 1e9)[1] for _ in range(count)]


def test_no_second_and_no_minute_has_more_than_our_share_of_what_is_allowed() -> None:
    booked = moments(Pace(10, 150), 500)
    assert max(sum(start <= one < start + 1.0 for one in booked) for start in booked) == 8
    assert max(sum(start <= one < start + 60.0 for one in booked) for start in booked) == 120


def test_the_first_go_at_once() -> None:
    assert moments(Pace(10, 150), 9) == [0.0] * 8 + [1.0]


def test_what_is_more_than_a_second_s_is_spread_over_the_minute() -> None:
    booked = moments(Pace(75, 750), 2000)
    assert max(later - earlier for earlier, later in pairwise(booked)) <= 1.0
    assert booked[-1] < 2000 / 600 * 60 * 1.1


def test_at_least_one_may_always_go() -> None:
    assert moments(Pace(1, 1, share=0.1), 2) == [0.0, 60.0]


def test_who_has_no_patience_books_nothing() -> None:
    pace = Pace(10, 150)
    moments(pace, 8)
    assert pace.book(0.0, 0.5) == (False, 1.0)
    assert pace.book(0.0, 1.0) == (True, 1.0)


def test_told_to_wait_nothing_goes_before() -> None:
    pace = Pace(10, 150)
    pace.close(5.0, 30.0)
    assert pace.book(6.0, 60.0) == (True, 29.0)
    assert pace.closed(6.0) == 29.0
    assert pace.closed(40.0) == 0.0


def test_a_shorter_wait_takes_nothing_from_a_longer_one() -> None:
    pace = Pace(10, 150)
    pace.close(0.0, 30.0)
    pace.close(0.0, 1.0)
    assert pace.closed(0.0) == 30.0


def said(limit: str, remaining: str, reset: str) -> dict[str, str]:
    return {"ratelimit-limit": limit, "ratelimit-remaining": remaining, "ratelimit-reset": reset}


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        (said("150", "100", "20"), 0.0),
        (said("150", "30", "20"), 20.0),
        (said("150, 10;w=1, 150;w=60", "3", "20"), 20.0),
        (said("150", "0", "86400"), 60.0),
        (said("many", "0", "20"), 0.0),
        (said("150", "-1", "20"), 0.0),
        ({}, 0.0),
    ],
)
def test_what_is_left_of_the_minute_is_left_to_the_account_s_other_tools(headers: dict[str, str], waits: float) -> None:
    pace = Pace(10, 150)
    pace.hear(0.0, headers)
    assert pace.closed(0.0) == waits


def test_threads_share_a_pace() -> None:
    pace = Pace(100, 1000)
    booked: list[float] = []

    def book() -> None:
        booked.extend(pace.book(0.0, 1e9)[1] for _ in range(50))

    threads = [threading.Thread(target=book) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(booked) == pytest.approx(moments(Pace(100, 1000), 400))
