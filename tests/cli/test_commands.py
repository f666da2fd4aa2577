"""Every command on a small shop: what it prints, and where."""

from __future__ import annotations

import io
import json

import polars as pl
import pytest
from ruamel.yaml import YAML

from segmentry.cli import cli


def rows(result) -> list[dict]:
    return json.loads(result.stdout)


def test_check_says_that_all_is_well_on_stderr(settled):
    result = settled.run("check")
    assert "shop: 5 segments and their sources are in order" in result.stderr
    assert "location = 'UK'" in result.stdout


def test_check_counts_missing_values_by_the_side_they_fell_on(shop):
    shop.write("segments/not_uk.yml", "where: \"location != 'UK'\"\n")
    audit = {(row["segment"], row["condition"]): row for row in json.loads(shop.run("check", "--format", "json").stdout)["audit"]}
    assert [audit["uk", "location = 'UK'"][name] for name in ("matched", "missing", "missing_in")] == [3, 3, 0]
    assert [audit["not_uk", "location != 'UK'"][name] for name in ("matched", "missing", "missing_in")] == [9, 3, 3]


def test_check_can_leave_the_audit_out(settled):
    assert json.loads(settled.run("check", "--no-audit", "--format", "json").stdout)["audit"] is None


def test_check_shows_every_problem_at_once_with_its_place(shop):
    shop.write("segments/bad.yml", "where: \"contry = 'UK' and score = 'x'\"\n")
    shop.write("segments/worse.yml", 'where: "score >"\n')
    result = shop.run("check", code=1)
    assert "segments/bad.yml:1:9" in result.stderr
    assert "R103" in result.stderr
    assert "R300" in result.stderr
    assert "segments/worse.yml:1" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("text", ['where: "score >"\n', "where: [\n", "label: no rule\n"])
def test_check_shows_the_only_rule_that_can_not_be_read(shop, text):
    """Nothing else is wrong, so that all other rules are looked at further."""
    shop.write("segments/worse.yml", text)
    told = shop.run("check", code=1).stderr
    assert told.count("error[") == 1, told
    assert "segments/worse.yml:" in told


def test_check_holds_rules_against_the_data_whatever_else_the_workspace_says_wrong(shop):
    text = (shop.folder / "segmentry.yml").read_text()
    wrong = 'retention: soon\nsuppress: "scor > 3"\ndestinations: {crm: {type: carrier_pigeon}}\n'
    shop.write("segmentry.yml", text + wrong)
    shop.write("segments/bad.yml", "where: \"contry = 'UK'\"\n")
    told = shop.run("check", code=1).stderr
    problems = json.loads(shop.run("check", "--format", "json", code=1).stdout)["problems"]
    assert [problem["message"] in told for problem in problems] == [True] * 4
    assert {problem["file"] for problem in problems} == {"segmentry.yml", "segments/bad.yml"}
    for said in ("retention", "`carrier_pigeon`", "no field `scor`", "no field `contry`"):
        assert said in told
    assert told.count("error[") == 4, told


def test_check_looks_at_no_data_where_the_workspace_says_wrongly_where_it_is(shop):
    text = (shop.folder / "segmentry.yml").read_text()
    shop.write("segmentry.yml", text.replace("key:", "keys:"))
    shop.write("segments/bad.yml", "where: \"contry = 'UK'\"\n")
    result = shop.run("check", code=1)
    assert "keys" in result.stderr
    assert "R103" not in result.stderr


def test_check_finds_a_circle_and_says_where(shop):
    shop.write("segments/a.yml", "where: \"member('b')\"\n")
    shop.write("segments/b.yml", "where: \"member('a')\"\n")
    result = shop.run("check", code=1)
    assert "R601" in result.stderr
    assert "segments/a.yml:1" in result.stderr


def test_check_warns_of_what_is_worth_a_second_look(shop):
    shop.write("segments/again.yml", 'where: "score >= 90"\n')
    shop.write("segments/and_again.yml", 'where: "90 <= score"\n')
    shop.write("segments/typo.yml", "where: \"location = 'uk'\"\n")
    result = shop.run("check")
    assert "R903" in result.stderr
    assert "R904" in result.stderr
    assert "did you mean 'UK'?" in result.stderr
    assert "segments/typo.yml:1:20" in result.stderr


def test_check_tells_what_is_certain_and_why(shop):
    shop.write("segments/empty.yml", "where: \"member('uk') and location = 'US'\"\n")
    shop.write("segments/over.yml", "where: \"added in the last '30 days' and added before '2020-01-01'\"\n")
    shop.write(
        "segments/idle.yml", "rules:\n  - {field: score, operator: at least, value: 5}\n  - {field: score, operator: at least, value: 3}\n"
    )
    result = shop.run("check", "--no-audit", "--format", "json")
    told = {(one["file"], one["code"], one["message"].partition(" as of")[0]): one for one in json.loads(result.stdout)["warnings"]}
    assert set(told) == {
        ("segments/empty.yml", "R901", "this rule never holds"),
        ("segments/over.yml", "R901", "this rule never holds"),
        ("segments/idle.yml", "R907", "this condition changes nothing here"),
    }
    idle = told["segments/idle.yml", "R907", "this condition changes nothing here"]
    assert (idle["line"], idle["path"], idle["notes"]) == (3, ["rules", 1, "field"], ["it follows from `score >= 5`"])
    assert " as of 20" in told["segments/over.yml", "R901", "this rule never holds"]["message"]


def test_check_shows_what_segments_are_to_each_other_if_asked(shop):
    shop.write("segments/us.yml", "where: \"location = 'US' and score > 1\"\n")
    assert "excludes" not in shop.run("check", "--no-audit").stdout
    shown = shop.run("check", "--no-audit", "--relations").stdout
    assert "good_uk is inside uk\n  it asks for `member('uk')`\n" in shown
    assert "uk excludes us\n  `location = 'UK'` and `location = 'US'` exclude each other\n" in shown
    told = json.loads(shop.run("check", "--relations", "--format", "json").stdout)["relations"]
    assert told["complete"]
    assert {"segment": "uk", "relation": "excludes", "other": "us"}.items() <= told["found"][-1].items()


def test_relations_know_of_lists_and_of_who_goes_before_whom(shop):
    shop.write("segments/first.yml", "where: \"location = 'UK'\"\npriority: {group: g, rank: 1}\n")
    shop.write("segments/second.yml", 'where: "location is set"\npriority: {group: g, rank: 2}\n')
    shop.write("segments/uk_and_more.yml", "where: \"location = 'UK'\"\ninclude: lists/picked.csv\n")
    told = json.loads(shop.run("check", "--no-audit", "--relations", "--format", "json").stdout)["relations"]["found"]
    pairs = {(one["segment"], one["relation"], one["other"]) for one in told}
    assert {("first", "excludes", "second"), ("second", "excludes", "uk"), ("uk", "is inside", "uk_and_more")} <= pairs
    assert not pairs & {("first", "is inside", "second"), ("uk_and_more", "is inside", "uk"), ("second", "excludes", "uk_and_more")}


def test_preview_tells_what_is_certain_through_references(settled):
    result = settled.run("preview", "member('uk') and location = 'US'")
    assert "R901" in result.stderr


def test_check_warns_of_keys_that_are_addresses(shop):
    shop.write("segmentry.yml", (shop.folder / "segmentry.yml").read_text().replace("key: contact_id", "key: email").split("events:")[0])
    for name in ("buyers", "good_uk", "vip"):
        (shop.folder / f"segments/{name}.yml").unlink()
    assert "S310" in shop.run("check").stderr


def test_check_shows_how_csv_was_read(shop):
    frame = pl.read_parquet(shop.folder / "data/contacts.parquet").drop("added")
    frame.write_csv(shop.folder / "data/contacts.csv")
    shop.write("segmentry.yml", (shop.folder / "segmentry.yml").read_text().replace("contacts.parquet", "contacts.csv"))
    result = shop.run("check", "--no-audit")
    assert "sniffed" in result.stdout
    assert "BIGINT" in result.stdout


def test_the_whole_way(settled):
    shop = settled
    sizes = {row["segment"]: row["size"] for row in rows(shop.run("segments", "--format", "json"))}
    assert sizes == {"buyers": 2, "good_uk": 1, "picked": 1, "uk": 3, "vip": 4}
    assert [row["contact_id"] for row in rows(shop.run("members", "vip", "--format", "json"))] == [2, 7, 11, 12]
    assert [row["status"] for row in rows(shop.run("runs", "--format", "json"))] == ["accepted"]
    assert rows(shop.run("history", "uk", "--format", "json"))[0]["size"] == 3
    assert {row["cause"] for row in rows(shop.run("diff", "--format", "json"))} == {"rule"}
    status = json.loads(shop.run("status", "--format", "json").stdout)
    assert (status["accepted_run"], status["contacts"], status["as_of"]) == (1, 12, "2026-03-01T12:00:00Z")


def test_recompute_reports(shop):
    report = json.loads(shop.run("recompute", "--first-run", "--as-of", "2026-03-01", "--format", "json").stdout)
    assert report["run"] == 1
    assert report["as_of"] == "2026-03-01T00:00:00Z"
    assert report["segments"]["uk"]["size"] == 3
    result = shop.run("recompute", "--explain")
    assert "SELECT" in result.stdout
    assert "it ran" in result.stdout
    assert "evaluate" in result.stderr


def test_a_dry_run_stores_nothing(shop_after_a_run):
    result = shop_after_a_run.run("recompute", "--dry-run")
    assert "nothing stored" in result.stderr
    assert len(rows(shop_after_a_run.run("runs", "--format", "json"))) == 1


def test_without_a_state_a_run_stops_and_says_so(shop):
    result = shop.run("recompute", code=1)
    assert "--first-run" in result.stderr
    assert not (shop.folder / ".segmentry").exists()
    assert "--first-run" in shop.run("members", "uk", code=1).stderr


def test_contacts_takes_any_rule(settled):
    found = rows(settled.run("contacts", "member('uk') and not member('vip')", "--columns", "contact_id,note", "--format", "json"))
    assert found == [{"contact_id": 3, "note": "=HYPERLINK()"}, {"contact_id": 6, "note": "x"}, {"contact_id": 9, "note": "x"}]


def test_contacts_does_not_mind_a_broken_segment_that_it_does_not_ask(shop):
    shop.write("segments/broken.yml", 'where: "score >"\n')
    assert len(rows(shop.run("contacts", "member('uk')", "--format", "json"))) == 3
    assert "segments/broken.yml" in shop.run("contacts", "member('broken')", code=1).stderr


def test_safe_csv(settled):
    text = settled.run("contacts", "location = 'UK'", "--columns", "note", "--format", "csv", "--safe").stdout
    assert text.splitlines() == ["note", "'=HYPERLINK()", "x", "x"]


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_output_files(settled, suffix):
    target = settled.folder / f"out.{suffix}"
    result = settled.run("members", "uk", "--output", str(target))
    assert result.stdout == ""
    frame = {"csv": pl.read_csv, "json": pl.read_json, "parquet": pl.read_parquet}[suffix](target)
    assert frame["contact_id"].to_list() == [3, 6, 9]


def test_limits(settled):
    assert len(rows(settled.run("contacts", "true", "--limit", "5", "--format", "json"))) == 5
    assert len(rows(settled.run("contacts", "true", "--limit", "0", "--format", "json"))) == 12
    assert "p12@" in settled.run("contacts", "true").stdout
    assert "no column `scor`; did you mean `score`?" in settled.run("contacts", "true", "--columns", "scor", code=2).stderr


def test_a_long_table_says_that_there_is_more(shop):
    many = pl.DataFrame({"contact_id": range(1000), "location": ["UK"] * 1000, "score": [1] * 1000, "email": ["x@example.com"] * 1000})
    many.write_parquet(shop.folder / "data/contacts.parquet")
    result = shop.run("contacts", "location = 'UK'")
    assert len(result.stdout.splitlines()) == 22
    assert "--limit 0" in result.stderr


def test_members_of_files_that_changed_since(shop_after_a_run):
    path = shop_after_a_run.folder / "data/contacts.parquet"
    frame = pl.read_parquet(path)
    frame.filter(pl.col("contact_id") != 6).with_columns(score=pl.lit(1)).write_parquet(path)
    result = shop_after_a_run.run("members", "uk", "--columns", "contact_id,score", "--format", "json")
    assert rows(result) == [{"contact_id": 3, "score": 1}, {"contact_id": 6, "score": None}, {"contact_id": 9, "score": 1}]
    assert "gone or changed" in result.stderr


def test_preview(settled):
    result = settled.run("preview", "location != 'UK' and not did(order_placed)", "--as-of", "2026-03-01T12:00Z", "--limit", "2")
    assert "7 of 12 contacts (58.3%)" in result.stdout
    assert "not did(order_placed)" in result.stdout
    assert "p4@example.com" in result.stdout
    assert "R904" in settled.run("preview", "location = 'uk'").stderr


def test_explain(settled):
    result = settled.run("explain", "vip", "2", "--as-of", "2026-03-01T12:00Z")
    assert result.stdout.splitlines()[0] == "contact 2 is in vip at 2026-03-01 12:00:00Z"
    assert "✗       score >= 90" in result.stdout
    assert "score is 9" in result.stdout
    value = json.loads(settled.run("explain", "vip", "2", "--format", "json", "--as-of", "2026-03-01T12:00Z").stdout)
    assert (value["member"], value["accepted"], value["contact"]) == (True, True, 2)
    later = json.loads(settled.run("explain", "vip", "2", "--format", "json", "--as-of", "2026-09-01").stdout)
    assert (later["member"], later["accepted"]) == (False, True)
    assert settled.run("explain", "vip", "2", "--format", "html").stdout.startswith("<p>")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("explain", "vip", "99"), "there is no contact 99"),
        (("explain", "vip", "x"), "keys (`contact_id`) are integers"),
        (("explain", "vipp", "1"), "did you mean `vip`?"),
        (("members", "vipp"), "did you mean `vip`?"),
        (("history", "vipp"), "did you mean `vip`?"),
        (("members", "vip", "--run", "7"), "there is no run 7"),
        (("diff", "x"), "there is no run `x`"),
        (("diff", "--segment", "vipp"), "did you mean `vip`?"),
        (("sql", "vipp"), "did you mean `vip`?"),
        (("fmt", "vipp"), "there is no segment `vipp`"),
    ],
)
def test_what_is_not_there_is_named(settled, words, said):
    result = settled.run(*words, code=1)
    assert said in result.stderr
    assert result.stdout == ""


def test_diff_between_two_runs(shop_after_a_run):
    path = shop_after_a_run.folder / "data/contacts.parquet"
    frame = pl.read_parquet(path).with_columns(location=pl.when(pl.col("contact_id") == 3).then(pl.lit("US")).otherwise("location"))
    frame.filter(pl.col("contact_id") != 12).write_parquet(path)
    shop_after_a_run.run("recompute", "--as-of", "2026-03-02T12:00Z")
    expected = [("uk", 3, "exited", "data"), ("vip", 12, "exited", "source")]
    for words in ((), ("2",), ("1", "2")):
        found = rows(shop_after_a_run.run("diff", *words, "--format", "json"))
        assert [(row["segment"], row["contact"], row["change"], row["cause"]) for row in found] == expected, words
    back = rows(shop_after_a_run.run("diff", "2", "1", "--format", "json"))
    assert [(row["segment"], row["contact"], row["change"]) for row in back] == [("uk", 3, "entered"), ("vip", 12, "entered")]
    assert len(rows(shop_after_a_run.run("diff", "1", "2", "--segment", "uk", "--format", "json"))) == 1


def test_history_of_contacts(settled):
    found = rows(settled.run("history", "uk", "--contacts", "--format", "json"))
    assert [(row["run"], row["contact"], row["change"]) for row in found] == [(1, 3, "entered"), (1, 6, "entered"), (1, 9, "entered")]


def test_sql(settled):
    result = settled.run("sql", "uk")
    assert "SELECT" in result.stdout
    assert "--   uk = leaf0" in result.stdout
    assert "vip = " in settled.run("sql").stdout


def test_new_writes_builder_form(shop):
    words = ("new", "fresh_uk", "--field", "location", "--operator", "equals", "--value", "UK", "--field", "score", "--operator", "is set")
    assert "wrote" in shop.run(*words, "--field", "score", "--operator", "at least", "--value", "5", "--label", "Fresh: UK").stderr
    written = YAML(typ="safe").load((shop.folder / "segments/fresh_uk.yml").read_text())
    assert written == {
        "label": "Fresh: UK",
        "rules": [
            {"field": "location", "operator": "equals", "value": "UK"},
            {"field": "score", "operator": "is set"},
            {"field": "score", "operator": "at least", "value": 5},
        ],
    }
    shop.run("check")
    assert "exists already" in shop.run(*words, code=1).stderr


def test_new_refuses_what_the_contacts_do_not_have(shop):
    result = shop.run("new", "x", "--field", "scor", "--operator", "equals", "--value", "1", code=1)
    assert "did you mean `score`?" in result.stderr
    assert not (shop.folder / "segments/x.yml").exists()
    assert shop.run("new", "x", "--field", "score", code=2).stdout == ""
    assert shop.run("new", "x", "--field", "score", "--operator", "equals", code=2).stdout == ""
    assert shop.run("new", "x", "--value", "3", code=2).stdout == ""


def test_fmt(shop):
    path = shop.write("segments/rough.yml", "label: x  # a name\nwhere: score>5 AND location='UK'\n")
    assert "would be rewritten" in shop.run("fmt", "--check", code=1).stderr
    assert path.read_text() == "label: x  # a name\nwhere: score>5 AND location='UK'\n"
    assert "segments/rough.yml: rewritten" in shop.run("fmt").stderr
    assert path.read_text() == "label: x  # a name\nwhere: \"score > 5 and location = 'UK'\"\n"
    assert shop.run("fmt", "--check").stderr == ""


def test_fmt_tells_wrong_rules_and_formats_the_others(shop):
    shop.write("segments/bad.yml", "where: score > > 5\n")
    path = shop.write("segments/rough.yml", "where: score>5\n")
    result = shop.run("fmt", code=1)
    assert "segments/bad.yml:1:" in result.stderr
    assert path.read_text() == 'where: "score > 5"\n'


@pytest.mark.parametrize("which", ["workspace", "segment", "rule"])
def test_schema(settled, which):
    assert "$schema" in json.loads(settled.run("schema", which).stdout)


def test_init_makes_a_workspace_with_a_state(tmp_path):
    from tests.cli.conftest import Shop, contacts

    shop = Shop(tmp_path / "new")
    shop.run("init")
    (shop.folder / "data").mkdir()
    contacts().write_parquet(shop.folder / "data/contacts.parquet")
    shop.run("check")
    assert rows(shop.run("segments", "--format", "json"))[0]["size"] is None
    shop.run("recompute")
    assert rows(shop.run("segments", "--format", "json"))[0]["size"] == 12
    assert "exists already" in shop.run("init", code=1).stderr
    assert "exists already" in shop.run("init", "--demo", code=1).stderr


@pytest.mark.parametrize(
    "words",
    [
        ("members", "uk", "--format", "parquet"),
        ("members", "uk", "--output", "x.xlsx"),
        ("members", "uk", "--safe"),
        ("members", "uk", "--format", "table", "--output", "x.csv"),
        ("recompute", "--wait", "soon"),
        ("recompute", "--as-of", "yesterday"),
        ("nonsense",),
        ("members",),
        ("forget",),
    ],
)
def test_wrong_usage(settled, words):
    result = settled.run(*words, code=2)
    assert result.stdout == ""
    assert "Error" in result.stderr


def test_talk_as_json_lines(shop):
    shop.write("segments/typo.yml", "where: \"location = 'uk'\"\n")
    lines = [json.loads(line) for line in shop.run("--log-format", "json", "check", "--no-audit").stderr.splitlines()]
    assert [line["level"] for line in lines] == ["warning", "info"]
    assert lines[0]["diagnostic"]["code"] == "R904"
    assert lines[0]["diagnostic"]["file"] == "segments/typo.yml"
    [line] = [json.loads(line) for line in shop.run("members", "--log-format", "json", "vipp", code=1).stderr.splitlines()]
    assert line["level"] == "error"


def test_options_stand_before_or_after_the_command(settled, monkeypatch):
    monkeypatch.setenv("SEGMENTRY_ENV", "nowhere")
    assert "no environment `nowhere`" in settled.run("check", code=1).stderr
    settled.run("--env", "default", "check")
    settled.run("check", "--env", "default")


def test_every_option_has_a_help_text():
    for name, command in cli.commands.items():
        assert command.help, name
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or parameter.help, f"{name}: {parameter.name}"


def test_results_show_themselves_in_notebooks(settled):
    from segmentry import Workspace

    workspace = Workspace.open(settled.folder)
    shown = [
        workspace.preview("location = 'UK' and note = '<b>'"),
        workspace.explain("vip", 2),
        workspace.check(),
        workspace.recompute(dry_run=True),
    ]
    for value in shown:
        assert "<b>'" not in value._repr_html_()
        assert "<p>" in value._repr_html_() or "<pre>" in value._repr_html_()
        assert str(value)


def test_the_library_by_its_exact_names(shop):
    import segmentry as sg

    workspace = sg.Workspace.open(shop.folder, env="default")
    run = workspace.recompute(as_of="2026-03-01T12:00Z", first_run=True)
    assert isinstance(run, sg.Run)
    assert (run.id, run.as_of.isoformat()) == (1, "2026-03-01T12:00:00+00:00")
    assert run.changes.columns == ["segment", "contact", "change", "cause", "via"]
    assert run.changes.schema["contact"] == pl.Int64
    assert run.changes.sort("segment", "contact").equals(run.changes)
    assert run.counts == {"buyers": 2, "good_uk": 1, "picked": 1, "uk": 3, "vip": 4}
    assert isinstance(workspace.members("uk"), pl.LazyFrame)
    assert workspace.members("uk").select("email").collect().height == 3
    assert workspace.contacts({"match": "all", "rules": [{"segment": "uk"}]}).collect()["contact_id"].to_list() == [3, 6, 9]
    assert workspace.preview("member('uk')").count == 3
    assert workspace.history("uk")["size"].to_list() == [3]
    assert workspace.explain("uk", 3).member
    assert str(sg.parse("a=1")) == "a = 1"
    stream = io.StringIO()
    print(run, file=stream)
    assert "UK visitors" in stream.getvalue()


def test_gc_tells_what_it_removed(shop_after_a_run):
    assert json.loads(shop_after_a_run.run("gc", "--format", "json").stdout)["runs"] == 0
    shop_after_a_run.write("segmentry.yml", (shop_after_a_run.folder / "segmentry.yml").read_text() + "retention: {memberships: 0 days}\n")
    for day in (2, 3):
        shop_after_a_run.run("recompute", "--as-of", f"2026-03-0{day}T12:00Z")
    assert json.loads(shop_after_a_run.run("gc", "--format", "json").stdout)["runs"] == 2
    assert "retention" in shop_after_a_run.run("members", "uk", "--run", "2", code=1).stderr
    assert "runs" in shop_after_a_run.run("gc").stdout


def test_forget_erases_and_certifies(shop_after_a_run):
    path = shop_after_a_run.write("gone.txt", "7\n")
    certificate = json.loads(shop_after_a_run.run("forget", "3", "--file", str(path), "--format", "json").stdout)
    assert "lists/picked.csv" in certificate["erase_by_hand"]["lists"]
    assert 3 not in {row["contact"] for row in rows(shop_after_a_run.run("diff", "--format", "json"))}
    assert [row["contact_id"] for row in rows(shop_after_a_run.run("members", "uk", "--format", "json"))] == [6, 9]
    assert "integer" in shop_after_a_run.run("forget", "x", code=1).stderr


def test_a_condition_stays_in_one_piece_as_it_was_written(settled):
    rule = "score not between 20 and 60 and not (location = 'UK' or score between 80 and 99) and not did(order_placed)"
    found = json.loads(settled.run("preview", rule, "--format", "json").stdout)
    assert [row["condition"] for row in found["conditions"]] == [
        "score not between 20 and 60",
        "location = 'UK'",
        "score between 80 and 99",
        "not did(order_placed)",
    ]
    assert [row["missing_in"] for row in found["conditions"]] == [1, 0, 0, 0]


def test_explain_reads_uuids_lists_and_instants(tmp_path):
    import duckdb

    from tests.cli.conftest import WORKSPACE, Shop

    shop = Shop(tmp_path)
    shop.write("segmentry.yml", WORKSPACE.split("events:")[0].replace("contact_id", "id").replace("  email: email\n", ""))
    shop.write(
        "segments/x.yml",
        "where: \"tags contains 'b' and seen in the last '2 days' and amount >= 1 and next_anniversary(born) > today()"
        ' and born not in this month"\n',
    )
    (tmp_path / "data").mkdir()
    duckdb.sql(
        "copy (select 'A53E84FF-D0AB-4E06-A069-EFE4D613CF1F'::uuid as id, ['a', 'b'] as tags, timestamp '2026-02-28 09:00' as seen,"
        f" 1.50::decimal(9, 2) as amount, date '1990-05-05' as born) to '{tmp_path}/data/contacts.parquet'"
    )
    told = shop.run("explain", "x", "a53e84ffd0ab4e06a069efe4d613cf1f", "--as-of", "2026-03-01T12:00Z").stdout
    assert "contact a53e84ff-d0ab-4e06-a069-efe4d613cf1f is in x" in told
    assert "tags is [a, b]" in told
    assert "seen is 2026-02-28 09:00:00Z; compared with 2026-02-27 12:00:00Z and 2026-03-01 12:00:00Z" in told
    assert "amount is 1.5" in told
    assert "next_anniversary(born) is 2026-05-05; compared with 2026-03-01" in told
    assert "born is 1990-05-05; compared with 2026-03-01 and 2026-03-31" in told
