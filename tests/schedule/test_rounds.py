"""A schedule at work in an invented world: what it begins and when, what it says, and how it ends."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from segmentry.engine.round_lines import Ended
from tests.schedule.invented import World, clock, report


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = World(tmp_path, clock("12:00:00"))
    found.write("{every: 1 hour}")
    return found


def sent(count: int, rejected: int = 0) -> Ended:
    figures = {"sent": count, "rejected": rejected, "later": 0, "unknown": 0, "left": 0}
    return Ended(3 if rejected else 0, {"destinations": {"crm": figures}, "messages": [], "failed": bool(rejected)})


def test_it_runs_at_each_time_and_delivers_after_each_run(world: World) -> None:
    rounds = world.rounds()
    world.until(rounds, "14:00:10")
    assert world.times("run") == ["12:00:00", "13:00:00", "14:00:00"]
    assert world.times("deliver") == ["12:00:02", "13:00:02", "14:00:02"]
    assert [attempt.status for attempt in world.noted] == ["accepted"] * 3


def test_a_line_a_run_has_all_its_figures(world: World) -> None:
    world.deliveries = [(1, sent(2, rejected=1))]
    world.until(world.rounds(), "12:00:10")
    ((level, message, facts),) = world.lines
    assert level == "warning"
    assert message == (
        "run 1, accepted: 2,000 contacts, 1 segments, 3 entered, 1 exited, 2 enrolled, 0 held; 2 sent, 1 rejected; 2.0 s,"
        " exit code 3; next at 2026-03-01 13:00:00Z"
    )
    assert facts == {
        "event": "run", "run": 1, "status": "accepted", "trigger": "time", "as_of": "2026-03-01T12:00:00Z", "began": clock("12:00"),
        "seconds": 2.0, "contacts": 2000, "segments": 1, "entered": 3, "exited": 1, "enrolled": 2, "held": 0, "sent": 2, "rejected": 1,
        "later": 0, "unknown": 0, "left": 0, "exit_code": 3, "next_run": clock("13:00"),
    }  # fmt: skip


def test_it_waits_for_what_is_left_of_the_interval(world: World) -> None:
    world.elsewhere = clock("11:40:00")
    world.until(world.rounds(last=world.elsewhere), "13:00:00")
    assert world.times("run") == ["12:40:00"]


def test_a_run_made_by_somebody_else_counts(world: World) -> None:
    rounds = world.rounds(last=clock("11:30:00"))
    world.elsewhere = clock("12:10:00")
    world.until(rounds, "13:20:00")
    assert world.times("run") == ["13:10:00"]


@pytest.mark.parametrize("schedule", ["{every: 1 hour}", '{cron: "30 * * * *"}'])
def test_a_run_that_is_still_to_come_by_a_clock_that_was_wrong_keeps_none_from_being_made(world: World, schedule: str) -> None:
    world.write(schedule)
    world.elsewhere = clock("12:30:00") + timedelta(days=30)
    world.now = clock("12:30:00")
    world.until(world.rounds(last=world.elsewhere), "14:40:00")
    assert world.times("run") == ["13:30:00", "14:30:00"]


def test_where_the_clock_is_set_back_runs_go_on(world: World) -> None:
    rounds = world.rounds()
    world.until(rounds, "12:30:00")
    world.now = clock("07:30:00")
    world.until(rounds, "09:40:00")
    assert world.times("run") == ["12:00:00", "08:30:00", "09:30:00"]


def test_now_makes_a_run_at_the_start(world: World) -> None:
    world.until(world.rounds(last=clock("11:59:00"), at_once=True), "12:10:00")
    assert world.times("run") == ["12:00:00"]
    assert [facts["trigger"] for facts in world.said("run")] == ["start"]


def test_it_catches_up_once_after_a_sleep(world: World) -> None:
    rounds = world.rounds()
    world.until(rounds, "12:10:00")
    world.now = clock("19:30:00")
    world.until(rounds, "20:10:00")
    assert world.times("run") == ["12:00:00", "19:30:00"]


def test_runs_never_overlap_however_long_one_takes(world: World) -> None:
    world.write("{every: 1 minute}")
    world.runs = [(200, Ended(0, report(1))), (2, Ended(0, report(2)))]
    world.until(world.rounds(), "12:05:00")
    assert world.times("run") == ["12:00:00", "12:03:20", "12:04:20"]


def test_a_delivery_that_takes_longer_than_the_interval_goes_on_beside_the_next_run(world: World) -> None:
    world.deliveries = [(5000, sent(90_000)), (1, sent(4))]
    rounds = world.rounds()
    world.until(rounds, "13:59:00")
    assert world.times("run") == ["12:00:00", "13:00:00"]
    assert world.times("deliver") == ["12:00:02", "13:00:02"]
    first, second = world.said("run")
    assert (first["delivering"], "sent" in first) == (True, False)
    assert (second["sent"], "delivering" in second) == (4, False)
    (late,) = world.said("delivery")
    assert (late["run"], late["sent"], late["exit_code"]) == (1, 90_000, 0)


def test_deliveries_that_hang_do_not_pile_up_without_end(world: World) -> None:
    world.write("{every: 1 minute}")
    world.deliveries = [(10**9, sent(0))]
    world.until(world.rounds(), "12:30:00")
    assert len(world.times("run")) == 31
    assert len(world.times("deliver")) == 8


def test_what_is_due_between_runs_is_sent_every_five_minutes(world: World) -> None:
    world.deliveries = [(1, sent(2)), (1, sent(0)), (400, sent(3)), (1, sent(0))]
    world.due = True
    rounds = world.rounds()
    world.until(rounds, "12:16:00")
    assert world.times("deliver") == ["12:00:02", "12:05:02", "12:10:02"]
    world.due = False
    world.until(rounds, "12:59:00")
    assert world.times("deliver") == ["12:00:02", "12:05:02", "12:10:02"], "not beside another, nor where nothing waits"
    assert [(facts["run"], facts["sent"]) for facts in world.said("delivery")] == [(None, 3)], "nothing sent is no news"


def test_nothing_is_sent_between_runs_by_files_that_are_broken(world: World) -> None:
    rounds = world.rounds()
    world.until(rounds, "12:10:00")
    world.due = True
    world.write("{every: 1 hour}", timezone="Mars")
    world.until(rounds, "13:00:00")
    before = len(world.times("deliver"))
    world.until(rounds, "13:59:00")
    assert len(world.times("deliver")) == before


def test_nothing_is_sent_where_the_environment_does_not_deliver_or_nobody_wants_it(world: World) -> None:
    world.until(world.rounds(sends=False), "12:10:00")
    (world.root / "segmentry.yml").write_text((world.root / "segmentry.yml").read_text().replace("deliver: true", "deliver: false"))
    world.until(world.rounds(last=clock("11:00")), "13:20:00")
    assert len(world.times("run")) == 2
    assert world.times("deliver") == []


@pytest.mark.parametrize(
    ("ended", "status", "code", "level"),
    [
        (Ended(1, {}, "there is no file"), "failed", 1, "error"),
        (Ended(70, {}, "a bug in Segmentry: KeyError: 3"), "failed", 70, "error"),
        (Ended(-9), "failed", 70, "error"),
        (Ended(0), "failed", 70, "error"),
        (Ended(75, {}, "another run holds the lease"), "skipped", 75, "warning"),
        (Ended(4, report(1)), "accepted", 4, "warning"),
        (Ended(4, report(1, "held")), "held", 4, "warning"),
    ],
)
def test_whatever_becomes_of_a_run_the_next_is_made(world: World, ended: Ended, status: str, code: int, level: str) -> None:
    world.runs = [(2, ended), (2, Ended(0, report(2)))]
    world.until(world.rounds(), "13:00:10")
    first, second = world.noted
    assert (first.status, first.code, second.status) == (status, code, "accepted")
    assert world.times("run") == ["12:00:00", "13:00:00"]
    assert world.times("deliver") == ["12:00:02", "13:00:02"], "what is due does not wait for sources to be mended"
    assert (world.lines[0][0], world.lines[0][2]["exit_code"]) == (level, code)
    assert (ended.error or "") in world.lines[0][1]
    assert "12:00:02" in world.times("tell"), "whoever must hear of it does"


# ---------------------------------------------------------------- files


def test_a_broken_file_fails_that_run_and_says_so_and_an_edit_takes_effect(world: World) -> None:
    rounds = world.rounds()
    world.until(rounds, "12:10:00")
    world.write("{every: 1 hour}", timezone="Mars")
    world.until(rounds, "13:10:00")
    assert [attempt.status for attempt in world.noted] == ["accepted", "failed"]
    assert world.noted[1].error == "segmentry.yml:6:11: `timezone`: there is no timezone `Mars`"
    assert "there is no timezone `Mars`" in world.complaints[0]
    assert len(world.times("deliver")) == 1, "nobody goes by files that are broken"
    world.write("{every: 30 minutes}")
    world.until(rounds, "14:10:00")
    assert world.times("run") == ["12:00:00", "13:30:00", "14:00:00"]
    assert [attempt.status for attempt in world.noted] == ["accepted", "failed", "accepted", "accepted"]


def test_an_edited_schedule_counts_before_its_next_run(world: World) -> None:
    world.write("{every: 6 hours}")
    rounds = world.rounds()
    world.until(rounds, "12:10:00")
    world.write("{every: 20 minutes}")
    world.until(rounds, "12:30:00")
    assert world.times("run") == ["12:00:00", "12:20:00"]


def test_a_schedule_that_is_taken_away_goes_on_as_it_was_and_fails(world: World) -> None:
    rounds = world.rounds()
    world.until(rounds, "12:10:00")
    world.write("{activate_within: 2 days}")
    world.until(rounds, "14:10:00")
    assert [attempt.status for attempt in world.noted] == ["accepted", "failed", "failed"]
    assert "neither `every` nor `cron`" in str(world.noted[1].error)


def test_another_state_folder_needs_another_start(world: World) -> None:
    rounds = world.rounds()
    world.until(rounds, "12:10:00")
    world.write("{every: 1 hour}", state="elsewhere")
    world.until(rounds, "13:10:00")
    assert world.times("run") == ["12:00:00"]
    assert "start it anew" in str(world.noted[1].error)


def test_new_files_bring_a_run_once_they_have_settled(world: World) -> None:
    world.write("{every: 6 hours, on_change: true}")
    rounds = world.rounds()
    world.until(rounds, "12:30:00")
    for size in range(2, 20):  # written for eighteen seconds
        world.files = (("contacts.parquet", size, 1),)
        world.until(rounds, f"12:30:{size:02}")
    world.until(rounds, "12:50:00")
    assert world.times("run") == ["12:00:00", "12:30:30"]
    assert [facts["trigger"] for facts in world.said("run")] == ["time", "change"]


def test_files_that_a_run_fails_on_are_not_tried_again(world: World) -> None:
    world.write("{every: 2 hours, on_change: true}")
    world.runs = [(2, Ended(0, report(1))), (2, Ended(1, {}, "cut off"))]
    rounds = world.rounds()
    world.until(rounds, "12:10:00")
    world.files = (("contacts.parquet", 2, 1),)
    world.until(rounds, "13:50:00")
    assert world.times("run") == ["12:00:00", "12:10:15"]
    world.files = (("contacts.parquet", 3, 1),)
    world.until(rounds, "13:55:00")
    assert len(world.times("run")) == 3


def test_files_are_not_looked_at_where_nobody_asked_for_it(world: World) -> None:
    world.files = None
    world.look = None  # type: ignore[assignment]
    world.until(world.rounds(), "13:10:00")
    assert len(world.times("run")) == 2


# ---------------------------------------------------------------- telling


def test_somebody_may_be_told_every_minute_and_one_at_a_time(world: World) -> None:
    world.telling = (90, Ended(0, {"told": ["no run for 3 hours"]}, "nobody could be told that failed: 503"))
    world.until(world.rounds(), "12:04:00")
    assert world.times("tell") == ["12:00:00", "12:01:30", "12:03:00"]
    assert ("info", "told of: no run for 3 hours", {"event": "notice"}) in world.lines
    assert ("warning", "nobody could be told that failed: 503", {"event": "notice"}) in world.lines


# ---------------------------------------------------------------- the end


def test_stopped_while_nothing_is_under_way_it_is_over_at_once(world: World) -> None:
    rounds = world.rounds()
    world.until(rounds, "12:10:00")
    rounds.stop()
    rounds.step(world.now)
    assert rounds.over


def test_stopped_it_asks_what_is_under_way_to_end_and_begins_nothing(world: World) -> None:
    world.deliveries = [(5000, sent(9))]
    world.runs = [(2, Ended(0, report(1))), (600, Ended(0, report(2)))]
    rounds = world.rounds()
    world.until(rounds, "13:00:30")
    rounds.stop()
    assert not rounds.over
    asked = {job.kind for job in world.jobs if job.asked == "stop"}
    assert asked == {"run", "deliver"}
    world.until(rounds, "16:00:00")
    assert rounds.over
    assert world.times("run") == ["12:00:00", "13:00:00"]
    assert world.noted[-1].status == "stopped"
    assert [facts["exit_code"] for facts in world.said("delivery")] == [130]
    assert list(world.said("run"))[-1]["next_run"] is None


def test_a_run_that_has_committed_when_it_is_stopped_is_accepted(world: World) -> None:
    rounds = world.rounds()
    world.until(rounds, "12:00:01")
    (job,) = (one for one in world.jobs if one.kind == "run")
    job.stop = lambda: None  # type: ignore[method-assign]
    rounds.stop()
    world.until(rounds, "12:00:10")
    assert [attempt.status for attempt in world.noted] == ["accepted"]
    assert world.times("deliver") == [], "the next start sends it"


def test_killed_it_ends_everything(world: World) -> None:
    rounds = world.rounds()
    world.until(rounds, "12:00:01")
    rounds.stop()
    rounds.kill()
    assert {job.asked for job in world.jobs if job.kind == "run"} == {"kill"}
