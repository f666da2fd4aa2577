"""What needs a person, and who is told: posted over real HTTP, run as real commands, once and then daily until it has ended."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from segmentry.engine.alarms import Alarm, alarms
from segmentry.engine.connectors.posting import post
from segmentry.engine.delivering import deliver
from segmentry.engine.loading import load
from segmentry.engine.notices import AGAIN, Told, notify
from segmentry.engine.state import noticed
from segmentry.errors import SegmentryError
from tests.activation.conftest import Enrolling
from tests.state.conftest import day


class Room(ThreadingHTTPServer):
    """A chat room that keeps what is posted, and refuses with `status` if that is no 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Listening)
        self.heard: list[dict[str, str]] = []
        self.status = 200


class Listening(BaseHTTPRequestHandler):
    server: Room

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.status == 200:
            self.server.heard.append(body)
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def room() -> Iterator[Room]:
    with Room() as room:
        threading.Thread(target=room.serve_forever, daemon=True).start()
        yield room
        room.shutdown()


@pytest.fixture
def held(shop: Enrolling) -> Enrolling:
    """A segment is held since January 2nd."""
    shop.guards = "{segment: {contacts: 1}}"
    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.people({"id": [1, 2, 3], "spend": [50, 5, 5]})
    shop.run("2026-01-01")
    shop.people({"id": [1, 2, 3], "spend": [50, 50, 50]})
    shop.run("2026-01-02")
    return shop


def found(shop: Enrolling, at: str) -> list[Alarm]:
    return alarms(load(shop.root).require(), shop.state, day(at))


def tell(shop: Enrolling, at: str, **environ: str) -> Told:
    return notify(load(shop.root).require(), shop.state, found(shop, at), day(at), environ, post)


def test_a_hold_needs_a_person_until_it_ends(held: Enrolling) -> None:
    (alarm,) = found(held, "2026-01-02T06:00")
    assert (alarm.kind, alarm.key, alarm.since) == ("held", "held:segment:vip", day("2026-01-02"))
    assert "2 would enter in this run, 200.0% of 1" in alarm.text
    held.run("2026-01-03")
    (later,) = found(held, "2026-01-03T06:00")
    assert (later.key, later.since) == (alarm.key, alarm.since), "a newer hold on the same is the same thing"
    assert "run 3 holds" in later.text
    held.discard(3, at="2026-01-03T07:00")
    assert found(held, "2026-01-03T08:00") == []


def test_a_failed_run_needs_a_person_until_one_is_committed(held: Enrolling) -> None:
    held.segment("broken", "nonsense = 1")
    with pytest.raises(SegmentryError):
        held.run("2026-01-03")
    assert [alarm.kind for alarm in found(held, "2026-01-03")] == ["held", "failed"]
    assert "nonsense" in found(held, "2026-01-03")[1].text
    held.remove("broken")
    held.run("2026-01-03T01:00")
    assert "failed" not in [alarm.kind for alarm in found(held, "2026-01-03T02:00")]


def test_no_accepted_run_for_twice_the_interval_is_stale(held: Enrolling) -> None:
    held.further["schedule"] = "{every: 6 hours}"
    held.write_config()
    assert "stale" not in [alarm.kind for alarm in found(held, "2026-01-02T12:00")]
    stale = found(held, "2026-01-02T12:01")[-1]
    assert (stale.kind, stale.since) == ("stale", day("2026-01-02T12:00"))


def test_it_is_told_once_and_again_after_a_day(held: Enrolling, room: Room) -> None:
    held.further["notify"] = '[{on: [held], post: "${OPS}/hooks"}]'
    held.write_config()
    url = f"http://127.0.0.1:{room.server_port}"
    assert len(tell(held, "2026-01-02T01:00", OPS=url).told) == 1
    assert len(tell(held, "2026-01-02T02:00", OPS=url).told) == 0
    assert len(tell(held, "2026-01-03T00:59", OPS=url).told) == 0
    assert len(tell(held, "2026-01-03T01:00", OPS=url).told) == 1
    assert [(one["kind"], one["workspace"], one["environment"]) for one in room.heard] == [("held", "shop", "default")] * 2
    assert "likely cause: " in room.heard[0]["text"]


def test_what_ended_and_begins_again_is_told_at_once(held: Enrolling, room: Room) -> None:
    held.further["notify"] = '[{on: [held], post: "${OPS}"}]'
    held.write_config()
    url = f"http://127.0.0.1:{room.server_port}"
    tell(held, "2026-01-02T01:00", OPS=url)
    held.discard(2, at="2026-01-02T02:00")
    tell(held, "2026-01-02T03:00", OPS=url)
    held.run("2026-01-02T04:00")
    assert len(tell(held, "2026-01-02T05:00", OPS=url).told) == 1


def test_what_could_not_be_told_is_told_at_the_next_time(held: Enrolling, room: Room) -> None:
    held.further["notify"] = '[{on: [held], post: "${OPS}"}]'
    held.write_config()
    assert tell(held, "2026-01-02T01:00").failed == ["nobody could be told that held: the environment variable OPS is not set"]
    url = f"http://127.0.0.1:{room.server_port}/secret-room"
    room.status = 503
    (failed,) = tell(held, "2026-01-02T01:00", OPS=url).failed
    assert failed == "nobody could be told that held: the address answered 503"
    room.status = 200
    assert len(tell(held, "2026-01-02T01:00", OPS=url).told) == 1


def test_a_command_is_run_with_the_notice(held: Enrolling) -> None:
    script = held.root / "page.py"
    script.write_text(
        "import os, pathlib, sys\npathlib.Path('paged').write_text(os.environ['SEGMENTRY_NOTICE'] + '|' + sys.stdin.read())\n"
    )
    held.further["notify"] = f'[{{on: [failed], run: "false"}}, {{on: [held, failed], run: "{sys.executable} page.py"}}]'
    held.write_config()
    assert len(tell(held, "2026-01-02T01:00").told) == 1
    text, _, body = (held.root / "paged").read_text().partition("|")
    assert text.startswith("Segmentry, shop (default): run 2 holds segment `vip`")
    assert json.loads(body)["kind"] == "held"


def test_a_command_that_fails_is_told_of(held: Enrolling) -> None:
    held.further["notify"] = '[{on: [held], run: "false"}, {on: [held], run: "./is-not-there.sh"}]'
    held.write_config()
    assert tell(held, "2026-01-02T01:00").failed == [
        "nobody could be told that held: `false` ended with 1",
        "nobody could be told that held: `./is-not-there.sh` can't be run: No such file or directory",
    ]


def test_rejections_over_5_percent_and_unknown_ones_need_a_person(shop: Enrolling) -> None:
    from sqlalchemy import update

    from segmentry.engine.state.schema import ENROLLMENTS

    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.people({"id": list(range(41)), "spend": [0] * 41})
    shop.run("2026-01-01")
    shop.people({"id": list(range(41)), "spend": [0] + [20] * 40})
    shop.run("2026-01-02")

    def become(outcome: str, *contacts: int) -> None:
        with shop.state.catalog.writing() as connection:
            changed = day("2026-01-02T03:00").isoformat(timespec="microseconds")
            rows = update(ENROLLMENTS).where(ENROLLMENTS.c.contact.in_([str(key) for key in contacts]))
            connection.execute(rows.values(outcome=outcome, changed=changed))

    become("sent", *range(1, 39))
    become("rejected", 39, 40)
    assert found(shop, "2026-01-02T04:00") == [], "2 of 40 are just 5 percent"
    become("rejected", 38)
    (alarm,) = found(shop, "2026-01-02T04:00")
    assert (alarm.kind, alarm.since) == ("rejected", day("2026-01-02T03:00"))
    assert "3 of 40" in alarm.text
    assert found(shop, "2026-01-03T03:00") == [], "a day later it is no news"
    become("unknown", 1)
    assert [one.kind for one in found(shop, "2026-01-02T04:00")] == ["rejected", "unknown"]
    assert (found(shop, "2026-01-02T04:00")[1].since - day("2026-01-02T03:00")) == timedelta()


def test_a_destination_that_stopped_needs_a_person_while_rows_wait_for_it(shop: Enrolling) -> None:
    shop.destinations = '{crm: {type: files, path: "${OUT}", format: csv}}'
    shop.segment("vip", "spend > 10", enroll="welcome")
    shop.people({"id": [1], "spend": [0]})
    shop.run("2026-01-01")
    shop.people({"id": [1], "spend": [50]})
    shop.run("2026-01-02")
    for hour in ("01", "02"):
        sent = deliver(shop.state, load(shop.root).require(), environ={}, clock=lambda hour=hour: day(f"2026-01-02T{hour}:00"))  # type: ignore[misc]
        assert sent.failed
        [alarm] = found(shop, f"2026-01-02T{hour}:30")
        assert (alarm.kind, alarm.key, alarm.since) == ("failed", "failed:crm", day("2026-01-02T01:00"))
        assert "`crm` stopped, and 1 wait to be sent" in alarm.text
        assert "OUT is not set" in alarm.text
    deliver(shop.state, load(shop.root).require(), environ={"OUT": "out"}, clock=lambda: day("2026-01-02T03:00"))
    assert found(shop, "2026-01-02T03:30") == []


def test_what_goes_on_is_not_told_anew_because_its_first_part_is_long_ago(held: Enrolling) -> None:
    with held.state.catalog.writing() as connection:

        def due(since: str, now: str) -> bool:
            return noticed.claim(connection, "0:rejected:crm", day(since), day(now), day(now) - AGAIN)[0]

        assert due("2026-01-01", "2026-01-01T01:00")
        assert not due("2026-01-01T00:30", "2026-01-02T00:30"), "the first of 24 hours is another than before"
        assert due("2026-01-01T01:30", "2026-01-02T01:00")
        assert due("2026-01-02T02:00", "2026-01-02T03:00"), "it began anew since"


def test_what_a_command_prints_is_nobodys_concern(held: Enrolling) -> None:
    held.further["notify"] = """[{on: [held], run: "printf '\\\\377'"}]"""
    held.write_config()
    done = tell(held, "2026-01-02T01:00")
    assert (len(done.told), done.failed) == (1, [])
