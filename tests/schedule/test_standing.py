"""What the state and `status` say of a schedule: who keeps it, its last run and its next, and that there was none for long."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from segmentry.cli import cli
from segmentry.cli_schedule import done_before
from segmentry.engine.alarms import Alarm, alarms
from segmentry.engine.attempts import Attempt, keeper, keeping, last_attempt, last_began, note
from segmentry.engine.loading import load
from segmentry.engine.looking import status
from segmentry.engine.notices import notify
from segmentry.engine.scheduling import Schedule
from segmentry.engine.state import State, counting
from segmentry.engine.watching import look
from segmentry.errors import LeaseHeld, LeaseLost, SegmentryError
from tests.activation.conftest import Enrolling
from tests.state.conftest import ID, Shop, day


def attempt(began: str, what: str = "accepted", run: int | None = None, error: str | None = None) -> Attempt:
    at = day(began)
    return Attempt(at, at + timedelta(seconds=3), "time", what, {"accepted": 0, "skipped": 75}.get(what, 1), run, error)


def noted(shop: Shop, *attempts: Attempt) -> State:
    state = shop.state
    with keeping(state) as lease:
        for one in attempts:
            note(state, lease, one)
    return state


def found(shop: Shop, at: str) -> list[Alarm]:
    return alarms(load(shop.root), shop.state, day(at))


def scheduled(shop: Enrolling, schedule: str, **further: str) -> None:
    shop.further = {"schedule": schedule, **further}
    shop.write_config()


# ---------------------------------------------------------------- one keeps it


def test_one_process_keeps_a_schedule_at_a_time(enrolling: Enrolling) -> None:
    state, other = enrolling.state, State.open(enrolling.state.folder, ID)
    now = state.clock()
    assert keeper(state, now) is None
    with keeping(state):
        assert "process " in (keeper(other, now) or "")
        with pytest.raises(LeaseHeld, match="another `segmentry schedule` is at work here: process"), keeping(other):
            pytest.fail("two keep it")
        with other.lease():
            pass  # runs are made beside it
    assert keeper(other, now) is None
    other.close()


def test_who_lost_the_schedule_notes_nothing(enrolling: Enrolling) -> None:
    state = enrolling.state
    with keeping(state) as lease:
        pass
    with pytest.raises(LeaseLost):
        note(state, lease, attempt("2026-01-02T01:00"))
    assert last_attempt(state) is None


# ---------------------------------------------------------------- the last run


def test_an_attempt_is_kept_as_it_was(enrolling: Enrolling) -> None:
    one = attempt("2026-01-02T01:00", "failed", error="cut off")
    known = last_attempt(noted(enrolling, one))
    assert known is not None
    assert (known.began, known.ended, known.status, known.code, known.error) == (one.began, one.ended, "failed", 1, "cut off")


def test_the_last_run_began_when_the_schedule_or_somebody_else_began_it(enrolling: Enrolling) -> None:
    assert last_began(enrolling.state) == day("2026-01-02")
    state = noted(enrolling, attempt("2026-01-01T23:59:57", run=2))
    assert last_began(state) == day("2026-01-01T23:59:57"), "its process took a moment to start"
    noted(enrolling, attempt("2026-01-02T01:00", "failed"))
    assert last_began(state) == day("2026-01-02T01:00")
    enrolling.run("2026-01-02T02:00")
    assert last_began(state) == day("2026-01-02T02:00"), "by hand"


def test_somebodys_decision_is_no_run(enrolling: Enrolling) -> None:
    enrolling.guards = "{segment: {contacts: 1, enters: 1%}}"
    enrolling.people({"id": [1, 2, 3, 4, 5], "spend": [50] * 5})
    enrolling.run("2026-01-03")
    state = noted(enrolling, attempt("2026-01-03", run=3))
    enrolling.approve(3, at="2026-01-03T00:40")
    assert last_began(state) == day("2026-01-03")


def test_a_run_that_failed_before_it_could_say_so_is_noted_as_failed(enrolling: Enrolling) -> None:
    noted(enrolling, attempt("2026-01-02T01:00", "failed", error="segments/vip.yml:1:1: not a mapping"))
    (alarm,) = found(enrolling, "2026-01-02T02:00")
    assert (alarm.kind, alarm.since) == ("failed", day("2026-01-02T01:00"))
    assert alarm.text == "the last run failed: segments/vip.yml:1:1: not a mapping"
    enrolling.run("2026-01-02T03:00")
    assert found(enrolling, "2026-01-02T04:00") == []


def test_a_skipped_run_is_no_failure(enrolling: Enrolling) -> None:
    noted(enrolling, attempt("2026-01-02T01:00", "skipped", error="another run holds the lease"))
    assert found(enrolling, "2026-01-02T02:00") == []


def test_what_a_run_says_of_its_own_failure_stays(enrolling: Enrolling) -> None:
    enrolling.segment("broken", "nonsense = 1")
    with pytest.raises(SegmentryError):
        enrolling.run("2026-01-02T01:00:05")
    noted(enrolling, attempt("2026-01-02T01:00", "failed", error="short"))
    assert "nonsense = 1" in found(enrolling, "2026-01-02T02:00")[0].text


def test_runs_that_fail_hour_by_hour_are_told_of_once_a_day(enrolling: Enrolling) -> None:
    scheduled(enrolling, "{every: 100 days}", notify='[{on: [failed], run: "true"}]')
    loaded, told = load(enrolling.root), []
    for hour in range(1, 31):
        at = day("2026-01-02") + timedelta(hours=hour)
        what = "skipped" if hour == 20 else "failed"
        state = noted(enrolling, Attempt(at, at, "time", what, 1, None, f"cut off at byte {hour}"))
        told += [hour for _ in notify(loaded, state, alarms(loaded, state, at), at, {}, lambda *_: None).told]
    assert told == [1, 25]
    enrolling.run("2026-01-03T07:00")
    later = noted(enrolling, attempt("2026-01-03T08:00", "failed"))
    assert [alarm.since for alarm in alarms(loaded, later, day("2026-01-03T08:00"))] == [day("2026-01-03T08:00")], "another failure"


# ---------------------------------------------------------------- stale


@pytest.mark.parametrize(
    ("schedule", "since"),
    [
        ("{every: 90 minutes}", "2026-01-02T03:00"),
        ('{cron: "5 * * * *"}', "2026-01-02T01:05"),
        ('{cron: "0 9 * * MON-FRI"}', "2026-01-05T09:00"),  # the accepted run is of a Friday
    ],
)
def test_segments_are_stale_when_two_runs_are_missing(enrolling: Enrolling, schedule: str, since: str) -> None:
    scheduled(enrolling, schedule)
    at = day(since)
    assert found(enrolling, since) == []
    (alarm,) = alarms(load(enrolling.root), enrolling.state, at + timedelta(seconds=1))
    assert (alarm.kind, alarm.since) == ("stale", at)


def test_no_run_for_three_hours_is_said_and_whether_anybody_makes_one(enrolling: Enrolling) -> None:
    scheduled(enrolling, "{every: 1 hour}")
    (alarm,) = found(enrolling, "2026-01-02T03:10")
    assert alarm.text == (
        "no run for 3 hours: the accepted one began at 2026-01-02 00:00:00Z; the schedule says every 1 hour,"
        " and no `segmentry schedule` is at work"
    )
    with keeping(enrolling.state):
        now = enrolling.state.clock()
        assert "is at work" not in alarms(load(enrolling.root), enrolling.state, now)[-1].text


# ---------------------------------------------------------------- status


def stands(shop: Shop, at: str | datetime) -> dict[str, object]:
    return status(load(shop.root), shop.state, day(at) if isinstance(at, str) else at)


def test_status_says_when_the_next_run_is_due_also_where_nobody_makes_it(enrolling: Enrolling) -> None:
    scheduled(enrolling, '{cron: "5 * * * *", on_change: true}')
    told = stands(enrolling, "2026-01-02T00:10")
    assert told["schedule"] == "at 5 * * * * (UTC), and when files change"
    assert (told["scheduler"], told["next_run"]) == (None, day("2026-01-02T00:05")), "it is overdue"
    assert (told["last_run"], told["last_run_was"]) == (day("2026-01-02"), "run 2, accepted")


def test_status_says_what_became_of_the_last_attempt(enrolling: Enrolling) -> None:
    scheduled(enrolling, "{every: 1 hour}")
    noted(enrolling, attempt("2026-01-02T01:00", "failed", error="cut off"))
    told = stands(enrolling, "2026-01-02T01:10")
    assert (told["last_run"], told["last_run_was"], told["next_run"]) == (
        day("2026-01-02T01:00"),
        "failed: cut off",
        day("2026-01-02T02:00"),
    )
    enrolling.run("2026-01-02T01:30")
    assert stands(enrolling, "2026-01-02T01:40")["last_run_was"] == "run 3, accepted"


def test_without_a_schedule_status_has_only_the_last_run(enrolling: Enrolling) -> None:
    told = stands(enrolling, "2026-01-02T01:10")
    assert "last_run" in told
    assert not {"schedule", "scheduler", "next_run"} & told.keys()


def test_status_names_whoever_keeps_the_schedule(enrolling: Enrolling) -> None:
    scheduled(enrolling, "{every: 1 hour}")
    with keeping(enrolling.state):
        assert "process " in str(stands(enrolling, enrolling.state.clock())["scheduler"])


def command(shop: Shop, *words: str) -> Result:
    return CliRunner().invoke(cli, ["--workspace", str(shop.root), *words])


def test_status_shows_the_schedule_and_writes_metrics(enrolling: Enrolling, tmp_path: Path) -> None:
    scheduled(enrolling, "{every: 1 hour}")
    told = command(enrolling, "status", "--metrics", str(tmp_path / "m.prom"), "--fail-on", "stale")
    assert told.exit_code == 4
    lines = {line.split("  ")[0]: line for line in told.stdout.splitlines()}
    assert lines["schedule"].endswith("every 1 hour")
    assert "none is at work; `segmentry schedule` starts one" in lines["scheduler"]
    assert lines["next run"].endswith("2026-01-02 01:00:00Z")
    assert "no run for " in lines["stale"]
    text = (tmp_path / "m.prom").read_text()
    assert {family.name for family in text_string_to_metric_families(text)} >= {"segmentry_contacts", "segmentry_scheduler_up"}
    told = command(enrolling, "status", "--metrics", str(tmp_path / "nowhere" / "m.prom"))
    assert (told.exit_code, "nowhere" in told.stderr) == (1, True)


def test_it_is_known_whether_anything_is_due_to_be_sent(enrolling: Enrolling) -> None:
    with enrolling.state.catalog.reading() as connection:
        assert counting.anything_due(connection, day("2026-01-02T01:00"))
        assert not counting.anything_due(connection, day("2026-01-01T23:00"))


def test_files_that_the_accepted_run_has_read_bring_no_run_at_the_start(enrolling: Enrolling) -> None:
    enrolling.run("2026-01-03")
    done = done_before(enrolling.state, Schedule(every=timedelta(hours=1), on_change=True))
    assert done is not None
    assert done.files == look(load(enrolling.root), day("2026-01-03"))
    assert done_before(enrolling.state, Schedule(every=timedelta(hours=1))) is None, "nobody asks for it"
