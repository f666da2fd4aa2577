"""Guards asked with plain figures: where each limit is, and what is said where it is passed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentry.engine.config_activation import SegmentGuard, SegmentGuardOverride, SequenceGuard, SnapshotGuard, SuppressGuard
from segmentry.engine.guards import (
    Freshness,
    HoldKind,
    Traffic,
    Trip,
    passed,
    segment_trip,
    sequence_trip,
    source_trip,
    spoken,
    suppress_trip,
)
from tests.state.conftest import day

GUARD = SegmentGuard(enters="30%", leaves="20%", contacts=10)


def segment(
    size: int, entered: int = 0, exited: int = 0, *, day_size: int | None = None, more: tuple[int, int] = (0, 0)
) -> tuple[str, ...]:
    """The reasons of a segment's guard; `day_size` and `more` are the 24 hours', as far as they differ from the run's."""
    run = Traffic(size, entered, exited)
    whole_day = Traffic(size if day_size is None else day_size, entered + more[0], exited + more[1])
    trip = segment_trip("vip", GUARD, run, whole_day)
    return () if trip is None else trip.reasons


@pytest.mark.parametrize(
    ("size", "entered", "held"),
    [
        (100, 30, False),
        (100, 31, True),
        (20, 10, False),  # half of them, but no more than the count
        (20, 11, True),
        (1000, 300, False),  # far over the count, and not over the percent
        (0, 10, False),  # of nobody any percent is passed, the count decides
        (0, 11, True),
        (100, 0, False),
    ],
)
def test_a_percent_and_a_count_must_both_be_passed(size: int, entered: int, held: bool) -> None:
    assert bool(segment(size, entered)) is held


def test_enters_and_leaves_have_limits_of_their_own() -> None:
    assert segment(100, 30, 20) == ()
    assert segment(100, 21, 21) == ("21 would leave in this run, 21.0% of 100; the guard is at 20% and 10 contacts",)
    assert len(segment(100, 50, 50)) == 2


def test_enters_and_leaves_are_counted_gross() -> None:
    """As many come as go: the size stays, and both are told."""
    assert segment(100, 40, 40) == (
        "40 would enter in this run, 40.0% of 100; the guard is at 30% and 10 contacts",
        "40 would leave in this run, 40.0% of 100; the guard is at 20% and 10 contacts",
    )


def test_24_hours_count_with_the_membership_that_they_began_with() -> None:
    assert segment(115, 15, day_size=100, more=(15, 0)) == ()
    assert segment(116, 15, day_size=100, more=(16, 0)) == (
        "31 would enter within 24 hours, 31.0% of 100; the guard is at 30% and 10 contacts",
    )


def test_nobody_was_in_before() -> None:
    assert segment(0, 11) == ("11 would enter in this run, and nobody was in before; the guard is at 30% and 10 contacts",)


@given(count=st.integers(0, 500), size=st.integers(0, 500), tenths=st.integers(0, 1000), contacts=st.integers(0, 500))
def test_limits_are_exact(count: int, size: int, tenths: int, contacts: int) -> None:
    """In whole numbers: no float decides who is held."""
    expected = count > contacts and (size == 0 or 1000 * count > tenths * size)
    assert passed(count, size, f"{tenths / 10}%", contacts) is expected


def test_what_a_segments_file_says_goes_before_the_workspaces_guard() -> None:
    override = SegmentGuardOverride(enters="50%", contacts=3)
    assert override.over(GUARD) == SegmentGuard(enters="50%", leaves="20%", contacts=3)


def test_suppression_is_about_leaving_only() -> None:
    guard = SuppressGuard(leaves="5%", contacts=2)
    assert suppress_trip(guard, Traffic(10, 100, 2)) is None
    assert suppress_trip(guard, Traffic(100, 0, 5)) is None
    trip = suppress_trip(guard, Traffic(10, 0, 3))
    assert trip is not None
    assert trip.reasons == ("3 would be suppressed no more, 30.0% of 10; the guard is at 5% and 2 contacts",)


def test_a_sequence_counts_what_came_before() -> None:
    guard = SequenceGuard(contacts=5)
    assert sequence_trip("welcome", guard, 5, 0) is None
    assert sequence_trip("welcome", guard, 0, 6) is None, "nobody new: nothing to hold"
    alone, together = sequence_trip("welcome", guard, 6, 0), sequence_trip("welcome", guard, 1, 5)
    assert alone is not None
    assert together is not None
    assert alone.reasons == ("6 would be enrolled; the guard is at 5 per 24 hours",)
    assert together.reasons == ("1 would be enrolled with 5 before within 24 hours; the guard is at 5 per 24 hours",)


# ---------------------------------------------------------------- the whole run

NOW = day("2026-01-10")


def source(rows: int = 100, before: int | None = 100, **age: object) -> tuple[str, ...]:
    """The reasons for which a whole run is held; what is not said of age is young."""
    told = {"as_of": NOW, "snapshot": NOW, "accepted": NOW, "every": None, **age}
    trip = source_trip(SnapshotGuard(), "72 hours", rows, before, Freshness(**told))  # type: ignore[arg-type]
    return () if trip is None else trip.reasons


@pytest.mark.parametrize(("rows", "before", "held"), [(95, 100, False), (94, 100, True), (1, None, False), (200, 100, False)])
def test_a_snapshot_may_shrink_by_so_much(rows: int, before: int | None, held: bool) -> None:
    assert bool(source(rows, before)) is held


def test_a_snapshot_that_shrank_says_by_how_much() -> None:
    assert source(1_000, 2_000) == (
        (
            "the snapshot has 1,000 contacts, and the accepted run had 2,000: 1,000 fewer, 50.0% of 2,000; the guard is at 5%."
            " A file may be half written, or missing"
        ),
    )


@pytest.mark.parametrize(("hours", "held"), [(48, False), (48.01, True)])
def test_a_snapshot_may_be_so_old(hours: float, held: bool) -> None:
    assert bool(source(snapshot=NOW - timedelta(hours=hours))) is held


def test_an_old_snapshot_says_of_when_it_is() -> None:
    assert source(snapshot=day("2026-01-05T12:30")) == (
        "the snapshot is of 2026-01-05 12:30 UTC, 4 days before the run; the guard is at 48 hours. Whatever writes it may have stopped",
    )


@pytest.mark.parametrize(
    ("hours", "every", "held"),
    [(72, None, False), (73, None, True), (73, 1, True), (73, 24, True), (74, 25, False), (75, 25, False), (76, 25, True)],
)
def test_a_gap_is_the_larger_of_the_guard_and_three_intervals(hours: int, every: int | None, held: bool) -> None:
    interval = None if every is None else timedelta(hours=every)
    assert bool(source(accepted=NOW - timedelta(hours=hours), every=interval)) is held


def test_a_gap_says_what_may_have_happened() -> None:
    assert source(accepted=day("2026-01-01")) == (
        (
            "the accepted run is of 2026-01-01 00:00 UTC, 9 days before this one; the guard is at 72 hours."
            " Runs may have stopped, or an old state was restored (then `segmentry recover`)"
        ),
    )


def test_where_nothing_is_sent_age_is_no_matter_and_shrinking_is() -> None:
    assert source_trip(SnapshotGuard(), "72 hours", 100, 100, None) is None
    assert source_trip(SnapshotGuard(), "72 hours", 1, 100, None) is not None


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(minutes=25), "25 minutes"),
        (timedelta(minutes=119), "119 minutes"),
        (timedelta(hours=2), "2 hours"),
        (timedelta(hours=95, minutes=59), "95 hours"),
        (timedelta(hours=96), "4 days"),
    ],
)
def test_lengths_as_people_say_them(length: timedelta, words: str) -> None:
    assert spoken(length) == words


def test_each_kind_has_a_title() -> None:
    titles = {kind: Trip(kind, "vip", ()).title for kind in HoldKind}
    assert titles == {
        HoldKind.SOURCE: "the run",
        HoldKind.SEGMENT: "segment `vip`",
        HoldKind.SUPPRESS: "all delivery",
        HoldKind.SEQUENCE: "sequence `vip`",
    }
