"""ACTIVATION 4, "Entries and exits" and "Definitions": what happened, and who is enrolled. Each test is a row of the tables."""

from __future__ import annotations

import pytest

from segmentry.engine.state.holds import pause, resume
from tests.activation.conftest import Enrolling
from tests.state.conftest import at, day


@pytest.fixture
def vip(shop: Enrolling) -> Enrolling:
    """`vip`, spend over 10, enrolls in `welcome`; contact 1 is in from the first run on, 2 and 3 are not."""
    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.people({"id": [1, 2, 3], "spend": [50, 5, 5]})
    return shop


def test_segment_first_computed_default(vip: Enrolling) -> None:
    vip.run("2026-01-01")
    assert vip.changes() == [("vip", 1, "entered", "rule")]
    assert vip.ledger() == []
    assert vip.baseline("vip") == ["1"]


def test_segment_first_computed_backfill(vip: Enrolling) -> None:
    vip.segment("vip", "spend > 10", enroll="{sequence: welcome, backfill: true}")
    vip.run("2026-01-01")
    assert vip.ledger() == [("1", 1, "pending")]
    assert vip.baseline("vip") == []


def test_segment_first_computed_backfill_over_the_sequence_guard(vip: Enrolling) -> None:
    vip.guards = "{sequence: {contacts: 1}}"
    vip.segment("vip", "spend > 1", enroll="{sequence: welcome, backfill: true}")
    vip.run("2026-01-01")
    assert vip.ledger() == [("1", 1, "held"), ("2", 1, "held"), ("3", 1, "held")]
    assert [(hold.kind, hold.name) for hold in vip.holds()] == [("sequence", "welcome")]


def test_entered_by_data_first_time(vip: Enrolling) -> None:
    vip.run("2026-01-01")
    vip.people({"id": [1, 2, 3], "spend": [50, 20, 5]})
    vip.run("2026-01-02")
    assert vip.changes() == [("vip", 2, "entered", "data")]
    assert vip.ledger() == [("2", 1, "pending")]


def test_entered_by_time_first_time(shop: Enrolling) -> None:
    shop.segment("old", "joined before ago('10 days')", enroll="welcome")
    shop.people({"id": [1], "joined": [at("2026-01-01")]})
    shop.run("2026-01-10")
    shop.run("2026-01-12")
    assert shop.changes() == [("old", 1, "entered", "time")]
    assert shop.ledger() == [("1", 1, "pending")]


def test_entered_by_source_first_time(vip: Enrolling) -> None:
    vip.run("2026-01-01")
    vip.people({"id": [1, 2, 3, 4], "spend": [50, 5, 5, 90]})
    vip.run("2026-01-02")
    assert vip.changes() == [("vip", 4, "entered", "source")]
    assert vip.ledger() == [("4", 1, "pending")]


def test_entered_by_list_first_time(vip: Enrolling) -> None:
    vip.list("by_hand.csv", 1)
    vip.segment("vip", "spend > 10", include="by_hand.csv", enroll="welcome")
    vip.run("2026-01-01")
    vip.list("by_hand.csv", 1, 3)
    vip.run("2026-01-02")
    assert vip.changes() == [("vip", 3, "entered", "list")]
    assert vip.ledger() == [("3", 1, "pending")]


def test_entered_by_rule_default(vip: Enrolling) -> None:
    vip.run("2026-01-01")
    vip.segment("vip", "spend > 1", enroll="welcome")
    vip.run("2026-01-02")
    assert vip.changes() == [("vip", 2, "entered", "rule"), ("vip", 3, "entered", "rule")]
    assert vip.ledger() == []
    assert vip.baseline("vip") == ["1", "2", "3"]


def test_entered_by_rule_of_a_segment_that_it_refers_to(vip: Enrolling) -> None:
    vip.segment("asked", "member('vip')", enroll="welcome")
    vip.segment("vip", "spend > 10")
    vip.run("2026-01-01")
    vip.segment("vip", "spend > 1")
    vip.run("2026-01-02")
    assert vip.state.changes(segment="asked").rows() == [("asked", 2, "entered", "rule", "vip"), ("asked", 3, "entered", "rule", "vip")]
    assert vip.ledger() == []
    assert vip.baseline("asked") == ["1", "2", "3"]


def test_entered_by_rule_where_on_has_rule(vip: Enrolling) -> None:
    enroll = "{sequence: welcome, on: [data, rule]}"
    vip.segment("vip", "spend > 10", enroll=enroll)
    vip.run("2026-01-01")
    vip.segment("vip", "spend > 1", enroll=enroll)
    vip.run("2026-01-02")
    assert vip.ledger() == [("2", 1, "pending"), ("3", 1, "pending")]


def test_a_cause_that_does_not_enroll_makes_baseline(vip: Enrolling) -> None:
    vip.segment("vip", "spend > 10", enroll="{sequence: welcome, on: [time]}")
    vip.run("2026-01-01")
    vip.people({"id": [1, 2, 3], "spend": [50, 20, 5]})
    vip.run("2026-01-02")
    assert vip.ledger() == []
    assert vip.baseline("vip") == ["1", "2"]


def test_snapshot_and_rule_changed_former_rule_on_new_data_keeps_the_old_answer(vip: Enrolling) -> None:
    vip.run("2026-01-01")
    vip.segment("vip", "spend > 3", enroll="welcome")
    vip.people({"id": [1, 2, 3], "spend": [50, 6, 5]})
    vip.run("2026-01-02")
    assert ("vip", 2, "entered", "rule") in vip.changes()
    assert vip.ledger() == []


def test_snapshot_and_rule_changed_former_rule_on_new_data_moves_too(vip: Enrolling) -> None:
    vip.run("2026-01-01")
    vip.segment("vip", "spend > 11", enroll="welcome")
    vip.people({"id": [1, 2, 3], "spend": [50, 60, 5]})
    vip.run("2026-01-02")
    assert vip.changes() == [("vip", 2, "entered", "data")]
    assert vip.ledger() == [("2", 1, "pending")]


def test_stays_in_any_again(vip: Enrolling) -> None:
    vip.segment("vip", "spend > 10", enroll="{sequence: welcome, again: every time}")
    vip.run("2026-01-01")
    vip.people({"id": [1, 2, 3], "spend": [60, 5, 5]})
    vip.run("2026-01-02")
    assert vip.changes() == []
    assert vip.ledger() == []


def come_and_go(shop: Enrolling, *spends: int, contact: int = 2) -> None:
    """Contact 2 spends so much on January 2nd, 3rd, ..."""
    for number, spend in enumerate(spends, 2):
        shop.people({"id": [1, 2, 3], "spend": [spend if key == contact else {1: 50, 2: 5, 3: 5}[key] for key in (1, 2, 3)]})
        shop.run(f"2026-01-{number:02}")


def test_left_came_back_never(vip: Enrolling) -> None:
    vip.run("2026-01-01")
    come_and_go(vip, 20, 5, 20)
    assert vip.changes() == [("vip", 2, "entered", "data")]
    assert vip.ledger() == [("2", 1, "withdrawn")]
    assert vip.skipped() == {"2": "enrolled 2026-01-02"}


@pytest.mark.parametrize(("after", "numbers"), [("2 days", [1, 2]), ("3 days", [1])])
def test_left_came_back_after(vip: Enrolling, after: str, numbers: list[int]) -> None:
    vip.segment("vip", "spend > 10", enroll=f"{{sequence: welcome, again: {{after: {after}}}}}")
    vip.run("2026-01-01")
    come_and_go(vip, 20, 5, 20)
    assert [number for _, number, _ in vip.ledger()] == numbers
    if len(numbers) == 1:
        assert vip.skipped() == {"2": "enrolled 2026-01-02, again due 2026-01-05"}


def test_left_came_back_every_time(vip: Enrolling) -> None:
    vip.segment("vip", "spend > 10", enroll="{sequence: welcome, again: every time}")
    vip.run("2026-01-01")
    come_and_go(vip, 20, 5, 20, 5, 20)
    assert vip.ledger() == [("2", 1, "withdrawn"), ("2", 2, "withdrawn"), ("2", 3, "pending")]


def test_baseline_member_left_came_back_never(vip: Enrolling) -> None:
    vip.run("2026-01-01")
    come_and_go(vip, 5, 50, contact=1)
    assert vip.ledger() == []
    assert vip.skipped() == {"1": "in the baseline since 2026-01-01"}


def test_baseline_member_left_came_back_every_time(vip: Enrolling) -> None:
    vip.segment("vip", "spend > 10", enroll="{sequence: welcome, again: every time}")
    vip.run("2026-01-01")
    come_and_go(vip, 5, 50, contact=1)
    assert vip.ledger() == [("1", 1, "pending")]


@pytest.mark.parametrize(("after", "rows"), [("2 days", [("1", 1, "pending")]), ("3 days", [])])
def test_baseline_member_left_came_back_after(vip: Enrolling, after: str, rows: list[object]) -> None:
    vip.segment("vip", "spend > 10", enroll=f"{{sequence: welcome, again: {{after: {after}}}}}")
    vip.run("2026-01-01")
    come_and_go(vip, 5, 50, contact=1)
    assert vip.ledger() == rows


def test_left_the_segment_unsent(vip: Enrolling) -> None:
    vip.run("2026-01-01")
    come_and_go(vip, 20, 5)
    assert vip.changes() == [("vip", 2, "exited", "data")]
    assert vip.ledger() == [("2", 1, "withdrawn")]
    assert vip.reasons() == {"2": "left the segment"}


def test_left_the_segment_unsent_while_member_false(vip: Enrolling) -> None:
    vip.sequences = "{welcome: {destination: crm, while_member: false}}"
    vip.run("2026-01-01")
    come_and_go(vip, 20, 5)
    assert vip.ledger() == [("2", 1, "pending")]


def test_gone_from_snapshot(vip: Enrolling) -> None:
    vip.sequences = "{welcome: {destination: crm, while_member: false}}"
    vip.run("2026-01-01")
    come_and_go(vip, 20)
    vip.people({"id": [1, 3], "spend": [50, 5]})
    vip.run("2026-01-03")
    assert vip.changes() == [("vip", 2, "exited", "source")]
    assert vip.ledger() == [("2", 1, "withdrawn")]
    assert vip.reasons() == {"2": "gone from the snapshot"}


def test_back_after_being_gone_never_was_enrolled(vip: Enrolling) -> None:
    test_gone_from_snapshot(vip)
    vip.people({"id": [1, 2, 3], "spend": [50, 20, 5]})
    vip.run("2026-01-04")
    assert vip.changes() == [("vip", 2, "entered", "source")]
    assert vip.ledger() == [("2", 1, "withdrawn")]


# ---------------------------------------------------------------- definitions


def test_sequence_added_to_an_old_segment_default(vip: Enrolling) -> None:
    vip.segment("vip", "spend > 10")
    vip.run("2026-01-01")
    come_and_go(vip, 20, 5)
    vip.segment("vip", "spend > 10", enroll="welcome")
    vip.run("2026-01-04")
    assert vip.ledger() == []
    assert vip.baseline("vip") == ["1", "2"], "those in now and those who ever were"
    come_back = {"id": [1, 2, 3], "spend": [50, 20, 20]}
    vip.people(come_back)
    vip.run("2026-01-05")
    assert vip.ledger() == [("3", 1, "pending")]
    assert vip.skipped() == {"2": "in the baseline since 2026-01-04"}


def test_sequence_added_to_an_old_segment_backfill(vip: Enrolling) -> None:
    vip.segment("vip", "spend > 10")
    vip.run("2026-01-01")
    come_and_go(vip, 20, 5)
    vip.segment("vip", "spend > 10", enroll="{sequence: welcome, backfill: true}")
    vip.run("2026-01-04")
    assert vip.ledger() == [("1", 1, "pending")]
    assert vip.baseline("vip") == ["2"], "who was in once is no first-time entrant"
    vip.run("2026-01-05")
    assert vip.ledger() == [("1", 1, "pending")], "a backfill acts only at that moment"


def test_segment_renamed_with_renamed_from(vip: Enrolling) -> None:
    vip.run("2026-01-01")
    come_and_go(vip, 20)
    vip.remove("vip")
    vip.segment("best", "spend > 10", enroll="welcome", renamed_from="vip")
    vip.people({"id": [1, 2, 3], "spend": [50, 20, 30]})
    vip.run("2026-01-03")
    assert vip.changes() == [("best", 3, "entered", "data")]
    assert vip.ledger() == [("2", 1, "pending"), ("3", 1, "pending")]
    assert vip.baseline("best") == [], "the rows are under the name of then"
    for when, spend in (("2026-01-04", 5), ("2026-01-05", 50)):
        vip.people({"id": [1, 2, 3], "spend": [spend, 20, 30]})
        vip.run(when)
    assert "in the baseline since 2026-01-01" in vip.skipped().values()


def test_segment_renamed_without_renamed_from(vip: Enrolling) -> None:
    vip.run("2026-01-01")
    come_and_go(vip, 20)
    vip.remove("vip")
    vip.segment("best", "spend > 10", enroll="welcome")
    vip.run("2026-01-03")
    assert vip.ledger() == [("2", 1, "withdrawn")]
    assert vip.baseline("best") == ["1", "2"]
    assert vip.state.segments()["vip"].retired_run == 3


def test_sequence_renamed_with_renamed_from(vip: Enrolling) -> None:
    vip.run("2026-01-01")
    come_and_go(vip, 20)
    before = {row.id for row in vip.outbox().values()}
    vip.sequences = "{hello: {destination: crm, renamed_from: [welcome]}}"
    vip.segment("vip", "spend > 10", enroll="{sequence: hello, again: every time}")
    come_and_go(vip, 20)
    vip.people({"id": [1, 2, 3], "spend": [50, 5, 5]})
    vip.run("2026-01-03")
    vip.people({"id": [1, 2, 3], "spend": [50, 20, 5]})
    vip.run("2026-01-04")
    assert vip.ledger("hello") == [("2", 1, "withdrawn"), ("2", 2, "pending")]
    assert before < {row.id for row in vip.outbox().values()}


def test_sequence_renamed_without_renamed_from(vip: Enrolling) -> None:
    vip.run("2026-01-01")
    come_and_go(vip, 20)
    vip.sequences = "{hello: {destination: crm}}"
    vip.segment("vip", "spend > 10", enroll="hello")
    vip.run("2026-01-03")
    assert vip.ledger() == [("2", 1, "withdrawn")]
    assert vip.baseline("vip", "hello") == ["1", "2"]


def test_segment_deleted(vip: Enrolling) -> None:
    vip.run("2026-01-01")
    come_and_go(vip, 20)
    vip.remove("vip")
    vip.segment("other", "spend > 100")
    vip.run("2026-01-03")
    assert vip.changes() == []
    assert vip.ledger() == [("2", 1, "withdrawn")]
    assert vip.reasons() == {"2": "the segment is gone"}
    assert vip.state.segments()["vip"].retired_run == 3
    assert vip.state.history("vip")["contact"].to_list() == [1, 2]


def test_deleted_re_created_under_the_same_name(vip: Enrolling) -> None:
    test_segment_deleted(vip)
    vip.segment("vip", "spend > 1", enroll="welcome")
    vip.run("2026-01-04")
    assert {row[3] for row in vip.changes()} == {"rule"}
    assert vip.ledger() == [("2", 1, "withdrawn")]


def test_timezone_edited(shop: Enrolling) -> None:
    shop.segment("old", "joined before '2026-01-02'", enroll="welcome")
    shop.people({"id": [1, 2], "joined": [at("2026-01-01T23:00"), at("2026-01-02T02:00")]})
    shop.run("2026-01-05")
    shop.zone = "America/Phoenix"
    shop.run("2026-01-06")
    assert shop.changes() == [("old", 2, "entered", "rule")]
    assert shop.ledger() == []
    assert shop.baseline("old") == ["1", "2"]


@pytest.mark.parametrize("how", ["file", "sequence", "destination"])
def test_sequence_or_destination_paused_then_resumed(vip: Enrolling, how: str) -> None:
    vip.run("2026-01-01")
    if how == "file":
        vip.sequences = "{welcome: {destination: crm, paused: true}}"
    else:
        with vip.state.catalog.writing() as connection:
            pause(connection, "welcome" if how == "sequence" else "crm", day("2026-01-02"))
    come_and_go(vip, 20)
    assert vip.ledger() == [("2", 1, "paused")]
    vip.sequences = "{welcome: {destination: crm}}"
    with vip.state.catalog.writing() as connection:
        resume(connection, "welcome")
        resume(connection, "crm")
    vip.people({"id": [1, 2, 3], "spend": [50, 20, 20]})
    vip.run("2026-01-03")
    assert vip.ledger() == [("2", 1, "paused"), ("3", 1, "pending")], "nor on resume"


def test_one_enrollment_through_two_segments_in_one_run(vip: Enrolling) -> None:
    vip.segment("also", "spend > 10", enroll="{sequence: welcome, again: every time}")
    vip.run("2026-01-01")
    come_and_go(vip, 20)
    assert vip.ledger() == [("2", 1, "pending")]
    assert list(vip.skipped().values()) == ["enrolled in this run through also"]


def test_a_baseline_in_one_segment_does_not_stop_another(vip: Enrolling) -> None:
    vip.segment("rich", "spend > 40", enroll="welcome")
    vip.segment("vip", "spend > 10", enroll="welcome")
    vip.people({"id": [1, 2, 3], "spend": [20, 5, 5]})
    vip.run("2026-01-01")
    vip.people({"id": [1, 2, 3], "spend": [50, 5, 5]})
    vip.run("2026-01-02")
    assert vip.baseline("vip") == ["1"]
    assert vip.ledger() == [("1", 1, "pending")]
