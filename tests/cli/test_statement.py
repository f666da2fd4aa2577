"""`segmentry sql` in its two kinds: the queries of a run, and one whole statement, in either dialect."""

from __future__ import annotations

import duckdb

from segmentry.engine.workspace import Workspace
from tests.cli.conftest import NOW, SEGMENTS


def test_the_whole_statement_finds_the_members(settled):
    answer = duckdb.sql(settled.run("sql", "--whole", "--as-of", NOW.isoformat()).stdout).pl()
    assert answer.columns == ["contact_id", *sorted(SEGMENTS)]
    workspace = Workspace.open(settled.folder)
    for name in SEGMENTS:
        members = workspace.members(name).collect()["contact_id"]
        assert sorted(answer.filter(answer[name])["contact_id"]) == sorted(members), name


def test_one_segment_has_one_column_whatever_it_refers_to(settled):
    answer = duckdb.sql(settled.run("sql", "good_uk", "--whole").stdout).pl()
    assert answer.columns == ["contact_id", "good_uk"]


def test_spark_implies_the_whole(settled):
    text = settled.run("sql", "vip", "--dialect", "spark").stdout
    assert text.startswith("-- as of ")
    assert f"`parquet`.`{settled.folder / 'data' / 'contacts.parquet'}`" in text
    assert text.count("SELECT") > 1
    assert ";" not in text


def test_a_table_stands_for_a_source(settled):
    text = settled.run("sql", "vip", "--dialect", "spark", "--table", "contacts=lake.crm.people", "--table", "events_1=clicks").stdout
    assert "FROM `lake`.`crm`.`people`" in text
    assert "FROM `clicks`" in text
    assert "parquet" not in "".join(line for line in text.splitlines() if not line.startswith("--"))
    assert "-- reads lake.crm.people: the rows of 1 files" in text
    assert "--   score BIGINT" in text


def test_tables_are_named_for_sources_that_there_are(settled):
    assert "there is no source `event`" in settled.run("sql", "--dialect", "spark", "--table", "event=x", code=1).stderr
    settled.run("sql", "--dialect", "spark", "--table", "contacts", code=2)
    settled.run("sql", "--table", "contacts=x", code=2)


def test_what_spark_cannot_say_is_told_with_its_segment(shop):
    (shop.folder / "segments" / "odd.yml").write_text("where: \"email matches '(?i)^\\\\pL'\"\n")
    result = shop.run("sql", "odd", "--dialect", "spark", code=1)
    assert "error[X102]" in result.stderr
    assert "in segment `odd`" in result.stderr
    shop.run("sql", "odd", "--whole")
