"""What people see of syncs: in a forecast, in a run's report, in how a workspace stands, and among what needs a person."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from segmentry.cli import cli
from segmentry.engine.alarms import Alarm, alarms
from segmentry.engine.connectors.destination import Answer, DestinationStopped, Verdict
from segmentry.engine.connectors.registry import sync_traits_of, traits_of
from segmentry.engine.forecast import Forecast, Waiting
from segmentry.engine.loading import load
from segmentry.engine.looking import status
from segmentry.engine.metrics import metrics
from segmentry.engine.result import Run
from segmentry.engine.run import recompute
from tests.state.conftest import day
from tests.syncs.conftest import LIST, Synced

UK, FR = "UK", "FR"
CONFIRM = "segmentry sync confirm uk crm --target list:people --send | --skip"
NO = Answer(Verdict.REJECTED, "no such city")


def people(**countries: str) -> Mapping[str, Sequence[Any]]:
    return {"id": list(countries), "country": list(countries.values())}


@pytest.fixture
def started(shop: Synced) -> Synced:
    """a and b are in the list since January 2nd."""
    shop.people(people(a=UK, b=UK, c=FR))
    shop.sync()
    shop.hour("2026-01-02")
    return shop


def forecast(shop: Synced, at: str) -> Forecast:
    loaded = load(shop.root)
    return Forecast(recompute(loaded, as_of=day(at), clock=lambda: day(at), dry_run=True), loaded, Waiting.of(shop.state))


def stands(shop: Synced, at: str) -> dict[str, Any]:
    return dict(status(load(shop.root), shop.state, day(at)))


def found(shop: Synced, at: str) -> list[Alarm]:
    return alarms(load(shop.root), shop.state, day(at))


def command(shop: Synced, *words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["--workspace", str(shop.root), *words])
    assert result.exit_code == code, result.output
    return result


# ---------------------------------------------------------------- a forecast


def test_a_forecast_says_what_would_bring_a_sync_in_step(started: Synced) -> None:
    started.people(people(a=UK, b=FR, c=UK, d=UK))
    planned = forecast(started, "2026-01-03")
    assert planned.syncs.to_dicts() == [
        {"segment": "uk", "destination": "crm", "target": LIST, "status": "active", "members": 3, "add": 2, "update": 0, "remove": 1}
    ]
    assert planned.calls.select("destination", "contacts", "calls").rows() == [("crm", 3, 2)], "adds and removals go by themselves"
    assert planned.to_json()["syncs"] == planned.syncs.to_dicts()
    assert "remove" in str(planned)
    assert started.members == {"a", "b"}
    assert started.rows() == {"a": ("member", None), "b": ("member", None)}, "nothing is written"


def test_of_an_unconfirmed_sync_nothing_would_be_told(shop: Synced) -> None:
    shop.people(people(a=UK, b=UK))
    shop.sync("")
    shop.hour("2026-01-02")
    shop.sync("existing: ask")
    planned = forecast(shop, "2026-01-03")
    assert planned.syncs.select("status", "members", "add").rows() == [("unconfirmed", 2, None)]
    assert planned.calls.height == 0


def test_what_waits_is_counted_once_and_what_a_run_would_end_is_not(started: Synced) -> None:
    started.people(people(a=UK, b=FR, c=UK, d=UK))
    started.hour("2026-01-03", tell=False)
    started.people(people(a=UK, b=FR, c=UK, d=FR, e=UK))
    planned = forecast(started, "2026-01-04")
    assert planned.syncs.select("add", "remove").rows() == [(1, 0)], "what a run would open anew"
    assert planned.calls.select("contacts", "calls").rows() == [(3, 2)], "c and e come, b goes; d would come no more"
    told = started.hour("2026-01-04")
    assert told is not None
    assert told.destinations["crm"].synced == 3


def test_a_sync_that_the_files_do_not_say_any_more_would_be_let_be(started: Synced) -> None:
    started.people(people(a=UK, b=FR))
    started.hour("2026-01-03", tell=False)
    started.sync("")
    planned = forecast(started, "2026-01-04")
    assert planned.syncs.select("status", "members", "remove").rows() == [("detached", None, None)]
    assert planned.calls.height == 0


def test_enrollments_and_syncs_are_counted_together_at_their_own_pace(shop: Synced) -> None:
    shop.sequences = "{welcome: {destination: crm}}"
    shop.destinations = "{crm: {type: memory, batch: 2}}"
    shop.people(people(a=FR, b=FR, c=FR))
    shop.sync(enroll="enroll: welcome\n")
    shop.hour("2026-01-02")
    shop.people(people(a=UK, b=UK, c=UK))
    planned = forecast(shop, "2026-01-03")
    assert planned.enrollments["contacts"].to_list() == [3]
    assert planned.calls.select("contacts", "calls").rows() == [(6, 4)]
    assert "6 would be told of" in planned.headline()


def test_each_goes_at_the_pace_that_its_own_way_has(shop: Synced) -> None:
    shop.destinations = '{crm: {type: mailchimp, key: "${KEY}", audience: a1, new_contacts: skip}}'
    shop.sequences = "{trip: {destination: crm, journey: {id: 12, step: 3}}}"
    shop.guards = "{sequence: {contacts: 5000}, segment: {contacts: 5000}}"
    ids = [f"c{number:04}" for number in range(1500)]
    shop.people({"id": ids, "country": [FR] * 1500})
    shop.sync(enroll="enroll: trip\n")
    path = shop.root / "segments" / "uk.yml"
    path.write_text(path.read_text().replace("list: people", 'tag: "seg:uk"'))
    shop.run("2026-01-02")
    shop.people({"id": ids, "country": [UK] * 1500})
    [(contacts, calls, minutes)] = forecast(shop, "2026-01-03").calls.select("contacts", "calls", "minutes").rows()
    settings = load(shop.root).config.destinations["crm"].settings
    synced, started = sync_traits_of(settings), traits_of(settings, {"journey": {"id": 12, "step": 3}})
    assert (contacts, calls) == (3000, 3 + 1500), "a journey is started one by one"
    assert minutes == round(1500 / synced.per_minute + 1500 / started.per_minute, 2)


# ---------------------------------------------------------------- a run's report


def test_a_run_reports_what_it_decided_on_syncs(started: Synced) -> None:
    started.people(people(a=UK, b=FR, c=UK))
    loaded = load(started.root)
    run = Run(recompute(loaded, as_of=day("2026-01-03"), clock=lambda: day("2026-01-03")), {})
    [sync] = run.report["activation"]["syncs"]
    assert (sync["segment"], sync["status"], sync["members"], sync["add"], sync["remove"]) == ("uk", "active", 2, 1, 1)
    assert run.syncs == ["uk to crm, list:people: 1 to add, 1 to remove"]
    again = Run(recompute(loaded, as_of=day("2026-01-03T01:00"), clock=lambda: day("2026-01-03T01:00")), {})
    assert again.syncs == [], "what is decided already is no news"


def test_recompute_and_plan_print_syncs(shop: Synced) -> None:
    shop.people(people(a=UK, b=UK))
    shop.sync("existing: ask")
    shop.write_config()
    said = command(shop, "recompute", "--first-run", "--no-deliver").stderr
    assert f"uk to crm, list:people: waits for a word on 2 who are in: {CONFIRM}" in said
    shop.sync("existing: send")
    table = command(shop, "plan").stdout
    assert ["uk", "crm", LIST, "active", "2", "2", "0", "0"] in [line.split() for line in table.splitlines()]
    assert json.loads(command(shop, "recompute", "--dry-run", "--format", "json").stdout)["syncs"][0]["add"] == 2
    assert "crm: 0 sent, 2 synced" in command(shop, "recompute").stderr


# ---------------------------------------------------------------- how it stands


def test_status_counts_each_sync(started: Synced) -> None:
    started.people(people(a=UK, b=UK, c=UK, d=UK, e=UK))
    answers = {"c": NO, "d": Answer(Verdict.SKIPPED, "no consent"), "e": Answer(Verdict.LEFT, "unsubscribed there")}
    started.memory.sync_script.append(lambda change: answers[change.contact])
    started.hour("2026-01-03")
    started.people(people(a=UK, b=FR, c=UK, d=UK, e=UK))
    started.hour("2026-01-03T01:00", tell=False)
    [sync] = stands(started, "2026-01-03T02:00")["syncs"]
    figures = {name: sync[name] for name in ("there", "open", "left", "rejected", "skipped", "let_be", "waiting")}
    assert figures == {"there": 2, "open": 1, "left": 1, "rejected": 1, "skipped": 1, "let_be": 0, "waiting": 0}
    assert sync["reasons"] == {"no consent": 1, "no such city": 1, "unsubscribed there": 1}
    assert stands(started, "2026-01-03T02:00")["unsent"] == {"crm": 1}
    line = next(line for line in command(started, "status").stdout.splitlines() if line.startswith("sync "))
    assert "uk to crm, list:people: 2 there, 1 to tell, 1 left, 1 rejected, 1 skipped (" in line
    assert "1: no such city" in line


def test_status_says_up_to_which_run_exports_are_written(shop: Synced) -> None:
    shop.destinations = "{lake: {type: files, path: exports, format: parquet}}"
    (shop.root / "segments").mkdir(exist_ok=True)
    (shop.root / "segments" / "uk.yml").write_text("where: country = 'UK'\nsync: {destination: lake, what: [changes]}\n")
    shop.people(people(a=UK))
    shop.hour("2026-01-02")
    shop.people(people(a=UK, b=UK))
    shop.hour("2026-01-03", tell=False)
    export = {"segment": "uk", "destination": "lake", "goes_on": True, "run": 1, "behind": True}
    assert stands(shop, "2026-01-03")["exports"] == [export]
    assert "uk to lake: written up to run 1, and there is a newer run" in command(shop, "status").stdout
    assert " exported" in command(shop, "sync").stdout
    assert stands(shop, "2026-01-03")["exports"] == [{**export, "run": 2, "behind": False}]


def test_a_service_that_does_nothing_for_days_is_alarming(started: Synced) -> None:
    started.memory.sync_script += [lambda _: Answer(Verdict.LATER, "the service had trouble (503)")] * 9
    started.people(people(a=UK, b=UK, c=UK))
    started.hour("2026-01-03")
    assert stands(started, "2026-01-03T20:00")["alarms"] == []
    started.hour("2026-01-04T01:00")
    [alarm] = stands(started, "2026-01-04T01:00")["alarms"]
    assert (alarm["kind"], alarm["since"]) == ("failed", datetime(2026, 1, 3, tzinfo=UTC))
    assert alarm["text"].endswith("24 hours ago: the service had trouble (503)")
    started.memory.sync_script.clear()
    started.hour("2026-01-05")
    assert stands(started, "2026-01-05")["alarms"] == []


def test_a_removal_that_had_to_wait_is_overdue_a_day_after_that(started: Synced) -> None:
    started.memory.sync_script += [lambda _: Answer(Verdict.LATER, "the service had trouble (503)")] * 9
    started.people(people(a=UK, c=FR))
    started.hour("2026-01-03")
    started.hour("2026-01-04T00:30")
    assert started.rows()["b"] == ("member", "remove")
    assert len(started.memory.synced) == 2, "it was tried"
    assert stands(started, "2026-01-04T23:30")["alarms"] == []
    [alarm] = stands(started, "2026-01-05T00:30")["alarms"]
    assert (alarm["kind"], alarm["since"]) == ("failed", datetime(2026, 1, 4, tzinfo=UTC))
    started.people(people(a=UK, b=UK, c=FR))
    started.hour("2026-01-05T01:00")
    started.people(people(a=UK, b=FR, c=FR))
    started.hour("2026-01-05T02:00")  # who leaves the segment has no such time
    [alarm] = stands(started, "2026-01-06T03:00")["alarms"]
    assert alarm["since"] == datetime(2026, 1, 5, 2, tzinfo=UTC)


def test_status_says_what_waits_for_a_word(shop: Synced) -> None:
    shop.people(people(a=UK, b=UK))
    shop.sync("existing: ask")
    shop.hour("2026-01-02")
    assert [(one["status"], one["waiting"], one["there"]) for one in stands(shop, "2026-01-02")["syncs"]] == [("unconfirmed", 2, 0)]
    shown = command(shop, "status").stdout
    assert "uk to crm, list:people: unconfirmed, 2 wait for a word" in shown
    assert "syncs" not in [line.split()[0] for line in shown.splitlines()]


def test_warnings_are_no_problems(shop: Synced) -> None:
    shop.destinations = '{crm: {type: mailchimp, key: "${KEY}", audience: a1, new_contacts: skip, consent: "spend > 1"}}'
    shop.people({"id": ["a"], "country": [UK], "spend": [1]})
    shop.sync("")
    shop.run("2026-01-02")
    assert [str(one.severity) for one in load(shop.root).diagnostics] == ["warning"]
    assert stands(shop, "2026-01-02")["problems"] == 0
    (shop.root / "segments" / "broken.yml").write_text("were: x\n")
    assert stands(shop, "2026-01-02")["problems"] == 2, "the unknown key, and the missing rule"


def test_metrics_count_what_a_sync_has_and_what_is_unsent(started: Synced) -> None:
    started.people(people(a=UK, b=FR, c=UK))
    started.hour("2026-01-03", tell=False)
    text = metrics(load(started.root), started.state, day("2026-01-03T01:00"))
    whose = 'workspace="shop",environment="default",'
    sync = f'{whose}segment="uk",destination="crm",target="list:people",'
    assert f'segmentry_sync_contacts{{{sync}state="there"}} 2' in text
    assert f'segmentry_sync_contacts{{{sync}state="open"}} 2' in text
    assert f'segmentry_deliveries_unsent{{{whose}destination="crm"}}' not in text, "deliveries are enrollments"


# ---------------------------------------------------------------- what needs a person


def test_a_sync_that_waits_for_a_word_needs_a_person_until_it_is_said(shop: Synced) -> None:
    shop.people(people(a=UK, b=UK))
    shop.sync("existing: ask")
    shop.hour("2026-01-02")
    shop.hour("2026-01-02T01:00")
    [alarm] = found(shop, "2026-01-02T02:00")
    assert (alarm.kind, alarm.key, alarm.since) == ("unconfirmed", f"unconfirmed:uk:crm:{LIST}", day("2026-01-02"))
    assert alarm.text == f"uk to crm, list:people: 2 who are in wait for a word whether they are sent; `{CONFIRM}`"
    assert "unconfirmed" in command(shop, "status", "--fail-on", "unconfirmed", code=4).stdout
    shop.further["notify"] = '[{on: [unconfirmed], run: "true"}]'
    shop.write_config()
    assert CONFIRM in command(shop, "status", "--notify").stderr
    shop.sync("existing: skip")
    shop.hour("2026-01-02T03:00")
    assert found(shop, "2026-01-02T04:00") == []


def test_nobody_is_asked_for_a_word_on_what_is_gone_from_the_files(shop: Synced) -> None:
    shop.people(people(a=UK))
    shop.sync("existing: ask")
    shop.hour("2026-01-02")
    shop.sync("")
    assert found(shop, "2026-01-02T01:00") == []


def test_the_command_that_is_named_can_be_typed_as_it_is(shop: Synced) -> None:
    shop.people(people(a=UK))
    shop.sync("existing: ask")
    path = shop.root / "segments" / "uk.yml"
    path.write_text(path.read_text().replace("list: people", 'list: "UK people; all"'))
    shop.hour("2026-01-02")
    [alarm] = found(shop, "2026-01-02T01:00")
    assert "segmentry sync confirm uk crm --target 'list:UK people; all' --send | --skip" in alarm.text


def test_changes_that_are_refused_need_a_person_over_5_percent(shop: Synced) -> None:
    names = [f"c{number:02}" for number in range(20)]
    shop.people(people(**dict.fromkeys(names, UK)))
    shop.sync()
    shop.write_config()
    shop.memory.sync_script.append(lambda change: NO if change.contact == "c00" else Answer(Verdict.SENT))
    shop.hour("2026-01-02")
    assert found(shop, "2026-01-02T01:00") == [], "1 of 20 is just 5 percent"
    shop.people(people(**dict.fromkeys([*names, "d"], UK)))
    shop.memory.sync_script.append(NO)
    shop.hour("2026-01-02T02:00")
    [alarm] = found(shop, "2026-01-02T03:00")
    assert (alarm.kind, alarm.key, alarm.since) == ("rejected", "rejected:crm", day("2026-01-02"))
    assert alarm.text == "`crm` rejects: 2 of 21 within 24 hours; `segmentry sync list` says why"
    assert found(shop, "2026-01-03T03:00") == [], "a day later it is no news"


def test_new_attributes_that_are_refused_count_and_what_is_tried_again_does_not(shop: Synced) -> None:
    shop.people({"id": ["a", "b"], "country": [UK, UK], "city": ["York", "Leeds"]})
    shop.sync("existing: send, fields: {city: city}")
    shop.hour("2026-01-02")
    shop.people({"id": ["a", "b"], "country": [UK, UK], "city": ["Nowhere", "Leeds"]})
    shop.memory.sync_script.append(Answer(Verdict.REJECTED, "not now", again=True))
    shop.hour("2026-01-04")
    assert found(shop, "2026-01-04T00:01") == [], "it is open"
    shop.memory.sync_script.append(NO)
    shop.at("2026-01-04T12:00")
    shop.tell()
    [alarm] = found(shop, "2026-01-04T13:00")
    assert "1 of 1 within 24 hours" in alarm.text
    assert shop.rows()["a"] == ("member", None)


def test_a_destination_that_stopped_needs_a_person_while_changes_wait_for_it(shop: Synced) -> None:
    shop.people(people(a=UK, b=UK))
    shop.sync()
    shop.write_config()
    shop.memory.sync_script.append(DestinationStopped("the key is refused"))
    shop.hour("2026-01-02")
    [alarm] = found(shop, "2026-01-02T01:00")
    assert (alarm.kind, alarm.key, alarm.since) == ("failed", "failed:crm", day("2026-01-02"))
    assert alarm.text == "`crm` stopped, and 2 wait to be sent: the key is refused"
    shop.at("2026-01-02T02:00")
    shop.tell()
    assert found(shop, "2026-01-02T03:00") == []
