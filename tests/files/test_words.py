"""What sequences and syncs say for their destination's type alone: what is taken as it stands, and what is worth a second look."""

from importlib.metadata import EntryPoint, EntryPoints
from typing import ClassVar, Literal

import pytest
from pydantic import BaseModel

from segmentry.engine.checking import check
from segmentry.engine.config_words import SEQUENCE_WORDS, SYNC_WORDS, receivers
from segmentry.engine.connectors import registry
from segmentry.engine.json_schemas import BUILT_IN, segment_schema, workspace_schema
from segmentry.engine.loading import load, require_workspace
from segmentry.engine.yaml import parse_document
from segmentry.errors import WorkspaceError
from tests.files.bad_workspaces import AS_OF
from tests.files.test_loading import HEAD, workspace

CONTACTS = "contacts: {path: data/contacts.parquet, key: contact_id, email: location}\n"
DESTINATIONS = """\
destinations:
  klaviyo: {type: klaviyo, key: "${KLAVIYO}"}
  mailchimp: {type: mailchimp, key: "${MAILCHIMP}", audience: ab12, new_contacts: subscribed, consent: location = 'UK'}
  lake: {type: files, path: exports/, format: parquet}
  crm: {type: webhook, url: "https://crm.example/in", secrets: ["${CRM}"]}
  trial: {type: memory}
"""
SEQUENCES = """\
sequences:
  welcome: {destination: klaviyo, event: Entered VIP}
  winback: {destination: mailchimp, tag: "enroll:winback"}
  journey: {destination: mailchimp, journey: {id: 12, step: 3}}
  other: {destination: mailchimp, journey: {id: 12, step: 4}}
  offer: {destination: crm}
"""
TEXT = HEAD + CONTACTS + DESTINATIONS


def told(root):
    return [(problem.code, problem.severity.value, problem.location.file, problem.location.line) for problem in load(root).diagnostics]


def test_what_the_format_says_is_taken_as_it_stands(tmp_path):
    syncs = """\
where: location = 'UK'
enroll:
  - {sequence: welcome, again: every time}
  - {sequence: journey, again: {after: 90 days}}
  - winback
  - {sequence: offer, again: every time}
sync:
  - {destination: mailchimp, tag: "seg:vip", mode: mirror, existing: send, fields: {FNAME: location}}
  - {destination: mailchimp, tag: "seg:also", existing: skip}
  - {destination: klaviyo, list: Y6nRLr}
  - {destination: lake, what: [changes, members], fields: {town: location}}
  - {destination: crm, mode: mirror, existing: send}
  - {destination: trial, list: people}
"""
    another = "where: location = 'US'\nsync:\n  - {destination: klaviyo, list: Y6nRLr}\n  - {destination: crm, mode: mirror}\n"
    assert told(workspace(tmp_path, TEXT + SEQUENCES, vip=syncs, another=another)) == []


@pytest.mark.parametrize(
    ("mine", "theirs", "fight"),
    [("add", "add", False), ("add", "mirror", True), ("mirror", "add", True), ("mirror", "mirror", True)],
)
@pytest.mark.parametrize("place", ['mailchimp, tag: "seg:vip"', "klaviyo, list: Y6nRLr", "crm", "trial, list: people"])
def test_two_segments_share_a_target_only_where_neither_removes(tmp_path, mine, theirs, fight, place):
    first, second = (f"where: location = 'UK'\nsync: {{destination: {place}, mode: {mode}}}\n" for mode in (mine, theirs))
    found = told(workspace(tmp_path, TEXT, first=first, second=second))
    shared = fight and "," in place
    assert found == ([("W314", "error", "segments/second.yml", 2)] if shared else [])


def test_what_is_worth_a_second_look_stops_nothing(tmp_path, put):
    put("data/contacts.parquet", contact_id=[1, 2], location=["UK", "US"])
    text = DESTINATIONS.replace("subscribed, consent", "skip, consent") + SEQUENCES + "  twin: {destination: klaviyo, event: Entered VIP}\n"
    root = workspace(tmp_path, HEAD + CONTACTS + text, uk="where: location = 'UK'\nenroll: [journey, winback]\n")
    require_workspace(root)
    found = [("W319", "warning", "segmentry.yml", 6), ("W318", "warning", "segmentry.yml", 16), ("W317", "warning", "segmentry.yml", 13)]
    assert sorted(told(root)) == sorted(found)
    assert load(root).require().config.destinations.keys() == {"klaviyo", "mailchimp", "lake", "crm", "trial"}
    warnings = check(load(root), AS_OF).warnings
    assert {warning.code for warning in warnings} >= {"W317", "W318", "W319"}


def test_a_journey_that_nobody_enters_or_that_enrolls_again_is_left_in_peace(tmp_path):
    again = "where: location = 'UK'\nenroll: [{sequence: journey, again: every time}]\n"
    assert told(workspace(tmp_path, TEXT + SEQUENCES, uk=again)) == []
    assert told(workspace(tmp_path, TEXT + SEQUENCES, uk=again, us="where: location = 'US'\nenroll: journey\n")) == []
    assert told(workspace(tmp_path, TEXT + SEQUENCES, us="where: location = 'US'\nenroll: other\n")) == [
        ("W317", "warning", "segmentry.yml", 14)
    ]


class _Plain:
    class Settings(BaseModel):
        type: Literal["pigeon"]

    @classmethod
    def open(cls, name, settings, context):
        raise AssertionError((cls, name, settings, context))


class _Listed(_Plain):
    class Settings(BaseModel):
        type: Literal["owl"]
        consent: str | None = None
        sync_words: ClassVar[tuple[str, ...]] = ("list",)


@pytest.fixture
def brought(monkeypatch):
    points = [EntryPoint(kind, f"{__name__}:{name}", registry.GROUP) for kind, name in (("pigeon", "_Plain"), ("owl", "_Listed"))]
    points.append(EntryPoint("broken", "no_such_package:Destination", registry.GROUP))
    monkeypatch.setattr(registry, "entry_points", lambda **query: EntryPoints(points).select(**query))


def test_a_type_says_itself_whether_it_has_syncs(tmp_path, brought):
    text = HEAD + CONTACTS + "destinations:\n  coop: {type: pigeon}\n  barn: {type: owl}\n"
    sync = "where: location = 'UK'\nsync:\n  - {destination: coop}\n  - {destination: barn, list: night}\n  - {destination: barn}\n"
    loaded = load(workspace(tmp_path, text, uk=sync))
    assert [(problem.code, problem.location.line, problem.help) for problem in loaded.diagnostics] == [
        ("W313", 3, "one can with `barn`"),
        ("W203", 5, "add `list: ID`, the list's id"),
    ]
    assert "`coop`, which is of type `pigeon`" in loaded.diagnostics[0].message
    alone = HEAD + CONTACTS + "destinations: {coop: {type: pigeon}}\n"
    [problem] = load(workspace(tmp_path, alone, uk="where: a = 1\nsync: {destination: coop}\n")).diagnostics
    assert (problem.code, problem.help) == ("W313", "remove it; `enroll` may still lead there")


def test_a_type_that_cannot_be_had_is_told_once(tmp_path, brought):
    text = HEAD + CONTACTS + "destinations: {gone: {type: broken}}\nsequences: {late: {destination: gone, event: X}}\n"
    root = workspace(tmp_path, text, uk="where: location = 'UK'\nenroll: late\nsync: {destination: gone, tag: x}\n")
    with pytest.raises(WorkspaceError) as raised:
        load(root)
    assert [(problem.code, problem.location.line) for problem in raised.value.diagnostics] == [("W205", 4)]


def test_consent_is_a_rule_for_every_type_that_takes_one(tmp_path, brought):
    text = HEAD + CONTACTS + "destinations: {barn: {type: owl, consent: location = 'UK'}, lake: {type: files, path: a, format: csv}}\n"
    assert list(load(workspace(tmp_path, text)).consents) == ["barn"]


def test_addresses_are_needed_where_syncs_need_them_too(tmp_path, brought, monkeypatch):
    text = HEAD + CONTACTS.replace(", email: location", "") + "destinations: {barn: {type: owl}}\n"
    assert told(workspace(tmp_path, text)) == []
    traits = registry.Traits(needs_address=True)
    monkeypatch.setattr(_Listed.Settings, "sync_traits", property(lambda _: traits), raising=False)
    with pytest.raises(WorkspaceError, match="W311"):
        load(tmp_path)


def test_the_tables_know_every_key_that_the_types_take():
    text = {name: BUILT_IN[name] for name in BUILT_IN}
    assert {word for model in text.values() for word in model.sequence_words} == set(SEQUENCE_WORDS)
    assert {word for model in text.values() for word in model.sync_words or ()} == set(SYNC_WORDS)


def test_no_secret_is_told_of_a_place():
    document, _ = parse_document(TEXT.replace('"${KLAVIYO}"', "pk_hunter2"), "segmentry.yml")
    found = receivers(document)
    assert found["klaviyo"].place != found["mailchimp"].place
    assert "hunter2" not in repr(found)


def test_the_schemas_have_the_keys_of_every_type():
    sync = segment_schema()["$defs"]["SyncConfig"]
    assert set(sync["properties"]) == {"destination", *SYNC_WORDS, "mode", "existing", "split", "fields"}
    assert (sync["required"], sync["additionalProperties"]) == (["destination"], False)
    mapping, many = segment_schema()["properties"]["sync"]["anyOf"]
    assert (mapping, many) == ({"$ref": "#/$defs/SyncConfig"}, {"items": {"$ref": "#/$defs/SyncConfig"}, "type": "array"})
    schema = workspace_schema()["$defs"]
    assert set(SEQUENCE_WORDS) < set(schema["SequenceConfig"]["properties"])
    assert schema["JourneyConfig"]["required"] == ["id", "step"]
    kinds = {kind["properties"]["type"]["const"]: kind for kind in schema["DestinationConfig"]["anyOf"][:-1]}
    assert set(kinds["mailchimp"]["required"]) == {"type", "key", "audience", "new_contacts"}
    assert kinds["mailchimp"]["properties"]["new_contacts"]["enum"] == ["skip", "transactional", "subscribed"]
    assert "default" not in kinds["mailchimp"]["properties"]["new_contacts"]
    assert set(kinds["klaviyo"]["required"]) == {"type", "key"}
