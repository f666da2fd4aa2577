"""What a workspace says of activation, held against its data: by `check`, and by whatever prepares a run."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from segmentry import Workspace
from segmentry.engine.checking import check
from segmentry.engine.loading import load
from segmentry.engine.prepared import prepare
from segmentry.errors import RuleError, SourceError, WorkspaceError
from segmentry.rules.parse import parse_text
from segmentry.rules.references import references

AS_OF = datetime(2026, 2, 1, 12, tzinfo=UTC)
HEAD = "version: 1\nid: 7d0a1c52-6a0b-4c55-9d0e-0b8f5c3f9a11\n"
CONTACTS = "contacts: {path: data/contacts.parquet, key: contact_id}\n"
SEQUENCES = (
    "destinations: {lake: {type: files, path: exports/, format: csv}}\nsequences: {welcome: {destination: lake, fields: {town: %s}}}\n"
)


@pytest.fixture
def shop(tmp_path, put):
    """Writes `segmentry.yml` and segments' files: `shop("suppress: ...", uk="...")`; the folder."""
    put("data/contacts.parquet", contact_id=[1, 2, 3], location=["UK", "US", None], added=[date(2026, 1, day) for day in (1, 2, 3)])

    def shop(text="", contacts=CONTACTS, **segments):
        folder = tmp_path / "segments"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        (tmp_path / "segmentry.yml").write_text(HEAD + contacts + text)
        for name, body in segments.items():
            (folder / f"{name}.yml").write_text(body)
        return tmp_path

    return shop


UK = "where: location = 'UK'\n"


def test_suppress_is_prepared_beside_the_segments(shop):
    prepared = prepare(load(shop("suppress: member('uk') or added < ago('7 days')\n", uk=UK)), AS_OF)
    assert references(prepared.suppress) == {"uk"}
    assert prepare(load(shop("suppress: member('uk') or added < '2026-01-25T12:00:00Z'\n", uk=UK)), AS_OF).suppress == prepared.suppress
    assert set(prepared.rules.conditions) == {"uk"}
    assert prepare(load(shop(uk=UK)), AS_OF).suppress is None


def test_what_is_wrong_with_suppress_comes_with_the_segments_problems(shop):
    root = shop("suppress: loction = 'UK' or member('ukk')\n", uk="where: locatio = 'UK'\n")
    for checked in (lambda: prepare(load(root), AS_OF), lambda: check(load(root), AS_OF)):
        with pytest.raises(RuleError) as raised:
            checked()
        found = sorted((d.location.file, d.location.line, d.location.column, d.help) for d in raised.value.diagnostics)
        assert found == [
            ("segmentry.yml", 4, 11, "did you mean `location`?"),
            ("segmentry.yml", 4, 36, "did you mean `uk`?"),
            ("segments/uk.yml", 1, 8, "did you mean `location`?"),
        ]


CONSENT = (
    'destinations: {chimp: {type: mailchimp, key: "${KEY}", audience: ab12, new_contacts: subscribed, consent: "%s"},'
    ' other: {type: mailchimp, key: "${KEY}", audience: ab13, new_contacts: skip}}\n'
)
ADDRESSED = CONTACTS.replace("}", ", email: location}")


def test_consent_is_prepared_by_destination(shop):
    loaded = load(shop(CONSENT % "member('uk') or added < ago('7 days')", ADDRESSED, uk=UK))
    assert loaded.consents == {"chimp": parse_text("member('uk') or added < ago('7 days')")}
    prepared = prepare(loaded, AS_OF)
    assert {name: references(consent) for name, consent in prepared.consents.items()} == {"chimp": {"uk"}}
    fixed = prepare(load(shop(CONSENT % "member('uk') or added < '2026-01-25T12:00:00Z'", ADDRESSED, uk=UK)), AS_OF)
    assert (fixed.consents, prepared.suppress) == (prepared.consents, None)
    assert prepare(load(shop(uk=UK)), AS_OF).consents == {}


def test_what_is_wrong_with_consent_comes_with_what_is_wrong_elsewhere(shop):
    root = shop("suppress: loction = 'UK'\n" + CONSENT % "agreed or member('ukk')", ADDRESSED, uk="where: locatio = 'UK'\n")
    for checked in (lambda: prepare(load(root), AS_OF), lambda: check(load(root), AS_OF)):
        with pytest.raises(RuleError) as raised:
            checked()
        found = sorted((d.location.file, d.location.line, d.location.column, d.code) for d in raised.value.diagnostics)
        assert found == [
            ("segmentry.yml", 4, 11, "R103"),
            ("segmentry.yml", 5, 108, "R103"),
            ("segmentry.yml", 5, 125, "R600"),
            ("segments/uk.yml", 1, 8, "R103"),
        ]


def test_nobody_can_refer_to_suppress(shop):
    with pytest.raises(RuleError, match="suppress"):
        prepare(load(shop("suppress: location = 'US'\n", uk="where: member('suppress')\n")), AS_OF)


def test_a_suppress_that_always_holds_is_worth_a_second_look(shop):
    root = shop("suppress: location = 'UK' or not location = 'UK' or 1 = 1\n", uk=UK)
    for warnings in (prepare(load(root), AS_OF).warnings, check(load(root), AS_OF).warnings):
        assert ("R902", "segmentry.yml", 4) in [(warning.code, warning.location.file, warning.location.line) for warning in warnings]


def test_columns_that_sequences_map(shop):
    assert prepare(load(shop(SEQUENCES % "location", uk=UK)), AS_OF).aliases is None
    root = shop(SEQUENCES % "locaton", uk=UK)
    for checked in (lambda: prepare(load(root), AS_OF), lambda: check(load(root), AS_OF)):
        with pytest.raises(SourceError, match="no column `locaton`") as raised:
            checked()
        assert raised.value.diagnostics[0].help == "did you mean `location`?"


def test_aliases_are_read_with_the_keys_type(shop, put):
    put("data/aliases.parquet", old_key=["7", "8"], new_key=["8", "1"])
    root = shop(contacts=CONTACTS.replace("}", ", aliases: data/aliases.parquet}"), uk=UK)
    found = prepare(load(root), AS_OF).aliases.mapping
    assert (found.rows(), found.schema["new"]) == ([(7, 1), (8, 1)], pl.Int64)
    assert check(load(root), AS_OF).segments == 1


def test_lists_columns_and_aliases_are_told_of_together(shop, tmp_path):
    (tmp_path / "picked.csv").write_text("one\n")
    (tmp_path / "aliases.csv").write_text("old_key,new_key\n1,1\n")
    root = shop(SEQUENCES % "nowhere", CONTACTS.replace("}", ", aliases: aliases.csv}"), picked="list: picked.csv\n")
    for checked in (lambda: prepare(load(root), AS_OF), lambda: check(load(root), AS_OF)):
        with pytest.raises(SourceError) as raised:
            checked()
        assert sorted(d.code for d in raised.value.diagnostics) == ["S301", "S503", "S605"]


def test_aliases_are_no_part_of_what_a_segment_is(shop, put):
    put("data/aliases.parquet", old_key=[7], new_key=[1])
    plain = prepare(load(shop(uk=UK)), AS_OF).rules.definitions
    merged = prepare(load(shop(contacts=CONTACTS.replace("}", ", aliases: data/aliases.parquet}"), uk=UK)), AS_OF).rules.definitions
    assert plain == merged


def warned(root):
    return [(warning.message, warning.help) for warning in Workspace.open(root).check(audit=False).warnings if warning.code == "W310"]


def test_a_rename_unsaid_is_worth_a_second_look(shop, tmp_path):
    (tmp_path / "never.csv").write_text("3\n")
    Workspace.open(shop(uk=UK, us="where: location = 'US'\nexclude: never.csv\n")).recompute(first_run=True)
    assert warned(shop(uk=UK, us="where: location = 'US'\nexclude: never.csv\n")) == []
    builder = "rules: [{field: location, operator: equals, value: UK}]\n"
    said = [("`uk` is gone since the accepted run, and `british` has its rule", "add `renamed_from: [uk]` if it was renamed")]
    assert warned(shop(british=builder, us="where: location = 'US'\nexclude: never.csv\n")) == said
    assert warned(shop(british=UK + "renamed_from: uk\n", us="where: location = 'US'\nexclude: never.csv\n")) == []
    assert warned(shop(british="where: location = 'IE'\n", states="where: location = 'US'\n")) == []
    assert warned(shop(uk=UK, also_uk=UK, us="where: location = 'US'\nexclude: never.csv\n")) == []


def test_a_state_that_cannot_be_read_hides_no_other_answer(shop, tmp_path):
    root = shop(uk=UK)
    assert warned(root) == []
    (tmp_path / ".segmentry/default").mkdir(parents=True)
    assert warned(root) == []
    (tmp_path / ".segmentry/default/catalog.sqlite").write_bytes(b"no catalog at all" * 100)
    assert warned(root) == []


def test_a_destination_that_needs_addresses_needs_a_column_of_them(shop):
    text = "destinations: {trial: {type: memory, needs_address: true}}\n"
    with pytest.raises(WorkspaceError, match="W311"):
        load(shop(text))
    assert load(shop(text, CONTACTS.replace("}", ", email: location}"))).config.destinations["trial"].settings["needs_address"]
