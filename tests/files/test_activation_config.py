"""What the files say of activation: short forms, defaults, guards over guards, and what destinations are held against."""

import json
import re
import subprocess
import sys
from datetime import timedelta
from fractions import Fraction

import pytest

from segmentry.engine.config import AgainAfter, parse_length, parse_percent
from segmentry.engine.json_schemas import BUILT_IN, segment_schema, workspace_schema
from segmentry.engine.loading import load
from segmentry.errors import DiagnosedError
from segmentry.rules.parse import parse_text
from tests.files.test_loading import CONTACTS, HEAD, workspace

SEQUENCES = """\
destinations:
  crm: {type: webhook, url: "https://crm.example/hooks", secrets: ["${CRM_SECRET}", "${CRM_OLD}"], account: ours}
  lake: {type: files, path: exports/, format: parquet, renamed_from: pond}
sequences:
  welcome: {destination: crm, expires: 2 days, while_member: false, renamed_from: [hello], fields: {town: location}}
  offer: {destination: lake, paused: true}
"""


def said(root, env="default"):
    with pytest.raises(DiagnosedError) as raised:
        load(root, env).require()
    return [(problem.code, problem.location.line) for problem in raised.value.diagnostics]


def test_defaults_are_those_of_the_format(tmp_path):
    config = load(workspace(tmp_path, HEAD + CONTACTS, uk="where: a = 1\n")).config
    guards = config.guards
    assert (guards.snapshot.shrinks, guards.snapshot.older_than, guards.gap) == ("5%", "48 hours", "72 hours")
    assert (guards.suppress.leaves, guards.suppress.contacts) == ("5%", 50)
    assert (guards.segment.enters, guards.segment.leaves, guards.segment.contacts) == ("30%", "30%", 500)
    assert (guards.sequence.contacts, guards.sequence.per) == (5000, "24 hours")
    assert (config.suppress, config.notify, config.destinations, config.sequences) == (None, [], {}, {})
    assert (config.schedule.every, config.schedule.activate_within) == (None, "48 hours")
    assert config.contacts.aliases is None
    segment = load(tmp_path).segments["uk"].config
    assert (segment.enroll, segment.renamed_from, segment.guards) == ([], [], None)


WHOLE = (
    HEAD
    + "contacts: {path: data/c.parquet, key: id, email: email, aliases: data/aliases.parquet}\n"
    + "retention: {addresses: 3 days}\n"
    + """\
suppress: "email_status in ('unsubscribed', 'bounced') or member('uk')"
guards: {gap: 6 hours, segment: {enters: 12.5%}, snapshot: {shrinks: 0%}}
notify:
  - {on: [held, failed, stale, rejected, unknown, unconfirmed], post: "${OPS_WEBHOOK}"}
  - {on: [failed], run: ./page-oncall.sh}
schedule: {every: 1 hour, activate_within: 2 days}
environments:
  default: {deliver: false}
  prod: {deliver: true, state: /var/lib/segmentry/prod}
"""
    + SEQUENCES
)


def test_the_whole_format_of_this_version(tmp_path):
    loaded = load(workspace(tmp_path, WHOLE, uk="where: a = 1\nenroll: welcome\n"), "prod").require()
    config = loaded.config
    assert (config.environments["prod"].deliver, config.environments["default"].deliver) == (True, False)
    assert parse_length(config.retention.addresses) == timedelta(days=3)
    assert config.contacts.aliases == "data/aliases.parquet"
    assert loaded.suppress == parse_text(config.suppress)
    assert (config.guards.gap, config.guards.segment.enters, config.guards.segment.contacts) == ("6 hours", "12.5%", 500)
    assert [(sorted(notice.on), notice.post, notice.run) for notice in config.notify] == [
        (["failed", "held", "rejected", "stale", "unconfirmed", "unknown"], "${OPS_WEBHOOK}", None),
        (["failed"], None, "./page-oncall.sh"),
    ]
    welcome, offer = config.sequences["welcome"], config.sequences["offer"]
    assert (welcome.destination, welcome.expires, welcome.while_member, welcome.renamed_from) == ("crm", "2 days", False, ["hello"])
    assert (welcome.paused, welcome.fields, offer.paused, offer.while_member, offer.expires) == (
        False, {"town": "location"}, True, True, "72 hours",
    )  # fmt: skip


def test_a_destinations_settings_are_what_its_type_takes_and_hold_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("CRM_SECRET", "whsec_of_the_environment")
    crm, lake = load(workspace(tmp_path, WHOLE)).config.destinations.values()
    assert crm.settings == {"type": "webhook", "url": "https://crm.example/hooks", "secrets": ["${CRM_SECRET}", "${CRM_OLD}"]}
    assert (crm.account, crm.renamed_from, lake.account, lake.renamed_from) == ("ours", [], None, ["pond"])
    assert BUILT_IN["files"].model_validate(lake.settings).path == "exports/"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("welcome", [("welcome", "never")]),
        ("[welcome, offer]", [("welcome", "never"), ("offer", "never")]),
        ("{sequence: offer, again: every time}", [("offer", "every time")]),
        ("[{sequence: offer, again: {after: 90 days}}, welcome]", [("offer", AgainAfter(after="90 days")), ("welcome", "never")]),
        ("[]", []),
    ],
)
def test_enroll_in_its_short_forms(tmp_path, written, read):
    segment = load(workspace(tmp_path, HEAD + CONTACTS + SEQUENCES, uk=f"where: a = 1\nenroll: {written}\n")).require().segments["uk"]
    assert [(entry.sequence, entry.again) for entry in segment.config.enroll] == read
    assert all(entry.on == ["data", "time", "source", "list"] and not entry.backfill for entry in segment.config.enroll)


def test_enroll_and_renamed_from_in_full(tmp_path):
    text = "where: a = 1\nrenamed_from: [big, bigger]\nenroll:\n  - {sequence: offer, backfill: true, on: [rule, data]}\n"
    loaded = load(workspace(tmp_path, HEAD + CONTACTS + SEQUENCES, vip=text, uk="where: a = 1\nrenamed_from: british\n")).require()
    vip, uk = loaded.segments["vip"].config, loaded.segments["uk"].config
    assert (vip.renamed_from, uk.renamed_from) == (["big", "bigger"], ["british"])
    assert (vip.enroll[0].backfill, vip.enroll[0].on) == (True, ["rule", "data"])


def test_a_segments_guards_go_before_the_workspaces(tmp_path):
    text = HEAD + CONTACTS + "guards: {segment: {enters: 10%, leaves: 20%}}\n"
    loaded = load(workspace(tmp_path, text, vip="where: a = 1\nguards: {enters: 50%, contacts: 0}\n"))
    guard = loaded.segments["vip"].config.guards.over(loaded.config.guards.segment)
    assert (guard.enters, guard.leaves, guard.contacts) == ("50%", "20%", 0)


@pytest.mark.parametrize(
    ("text", "share"), [("30%", Fraction(3, 10)), ("2.5 %", Fraction(1, 40)), ("0%", Fraction(0)), ("250%", Fraction(5, 2))]
)
def test_percents_are_exact_shares(text, share):
    assert parse_percent(text) == share


@pytest.mark.parametrize("text", ["%", "-5%", "5", "1e3%", ".5%", "five%", "5%%"])
def test_what_is_no_percent(tmp_path, text):
    assert said(workspace(tmp_path, HEAD + CONTACTS + f"guards: {{snapshot: {{shrinks: '{text}'}}}}\n")) == [("W205", 4)]
    with pytest.raises(ValueError, match=re.escape(text)):
        parse_percent(text)


def test_a_rule_like_true_is_a_rule(tmp_path):
    assert load(workspace(tmp_path, HEAD + CONTACTS + "suppress: true\n")).suppress == parse_text("true")
    assert [code for code, _ in said(workspace(tmp_path, HEAD + CONTACTS + "suppress: [a]\n"))] == ["W204"]


def test_a_broken_segment_keeps_its_name(tmp_path):
    root = workspace(tmp_path, HEAD + CONTACTS, old="lable: x\nwhere: a = 1\n", new="where: a = 1\nrenamed_from: old\n")
    assert said(root) == [("W307", 2), ("W201", 1)]


def test_enrollments_are_told_with_what_is_wrong_in_segmentry_yml(tmp_path):
    root = workspace(tmp_path, HEAD + CONTACTS + "sequences: {welcome: {destination: crm}}\n", uk="where: a = 1\nenroll: welcom\n")
    assert said(root) == [("W305", 4), ("W305", 2)]


@pytest.mark.parametrize(
    "line",
    ['crm: {type: webhook, url: "https://x.example/in", secrets: [whsec_hunter2], bach: 1}', "crm: {type: acme, token: hunter2}",
     'crm: {type: webhook, url: "https://me:hunter2@x.example/in", secrets: ["${A}"]}', "crm: {type: files, password: hunter2}",
     'crm: {type: webhook, url: "https://x.example/in", secrets: ["${A}hunter2"]}', "crm: {type: acme, api_key: 4711}"],
)  # fmt: skip
def test_no_message_shows_a_secret(tmp_path, line):
    with pytest.raises(DiagnosedError) as raised:
        load(workspace(tmp_path, HEAD + CONTACTS + f"destinations:\n  {line}\n"))
    problems = raised.value.diagnostics
    shown = str(raised.value) + "".join(problem.render() for problem in problems) + json.dumps([problem.to_json() for problem in problems])
    assert problems
    assert "hunter2" not in shown
    assert "4711" not in shown


def test_secrets_of_the_environment_are_no_problem(tmp_path):
    text = 'notify: [{on: [held], post: "https://me:${PASSWORD}@x.example/in"}]\n'
    assert load(workspace(tmp_path, HEAD + CONTACTS + SEQUENCES + text)).require().config.notify[0].run is None


def test_types_of_destinations_are_loaded_only_where_one_is_named(tmp_path):
    workspace(tmp_path, HEAD + CONTACTS, uk="where: a = 1\n")
    ask = "import sys; from segmentry.engine.loading import load; load(sys.argv[1]); print([m for m in sys.modules if 'connectors' in m])"
    done = subprocess.run([sys.executable, "-c", ask, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_schema_has_each_types_own_keys_and_leaves_room_for_others():
    destination = workspace_schema()["$defs"]["DestinationConfig"]
    *kinds, other = destination["anyOf"]
    assert {kind["properties"]["type"]["const"]: set(kind["properties"]) for kind in kinds} == {
        name: {*model.model_fields, "account", "renamed_from"} for name, model in BUILT_IN.items()
    }
    assert not any(kind["additionalProperties"] for kind in kinds)
    assert other["additionalProperties"]
    assert set(other["properties"]["type"]["not"]["enum"]) == {"files", "klaviyo", "mailchimp", "memory", "webhook"}


def test_the_schema_takes_the_short_forms():
    schema = segment_schema()
    name, mapping, many = schema["properties"]["enroll"]["anyOf"]
    assert (name["type"], mapping, many["type"]) == ("string", {"$ref": "#/$defs/EnrollConfig"}, "array")
    assert [option["type"] for option in schema["properties"]["renamed_from"]["anyOf"]] == ["string", "array"]
    again = schema["$defs"]["EnrollConfig"]["properties"]["again"]["anyOf"]
    assert again == [{"enum": ["never", "every time"], "type": "string"}, {"$ref": "#/$defs/AgainAfter"}]
