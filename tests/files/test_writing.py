"""New files: they load without a problem, appear whole, and never overwrite."""

import threading
import uuid

import pytest

from segmentry.engine.loading import load
from segmentry.engine.writing import init_files, new_segment, write_new
from segmentry.errors import RuleError, WorkspaceError
from segmentry.rules.parse import parse_text


@pytest.mark.parametrize("name", ["shop", "Käse & Co: 'best'", "2026", "#1", "true story", '"x"'])
def test_a_new_workspace_loads(tmp_path, name):
    write_new(tmp_path, init_files(name, "Europe/London"))
    loaded = load(tmp_path).require()
    assert (loaded.name, loaded.config.timezone, list(loaded.segments)) == (name, "Europe/London", ["everybody"])
    assert uuid.UUID(loaded.config.id).version == 4


def test_every_workspace_has_an_id_of_its_own():
    assert init_files("a")["segmentry.yml"] != init_files("a")["segmentry.yml"]


def test_what_is_commented_out_is_the_format_too(tmp_path):
    files = init_files("shop")
    text = (
        files["segmentry.yml"]
        .replace("# events:", "events:")
        .replace("#   ", "  ")
        .replace("# engine", "engine")
        .replace("# retention", "retention")
    )
    text = text.replace("  # email", "  email").replace("  # ready", "  ready").replace("  # fields", "  fields")
    write_new(tmp_path, {**files, "segmentry.yml": text})
    assert len(load(tmp_path).config.events) == 2


@pytest.mark.parametrize(
    ("conditions", "rule"),
    [
        ([("location", "equals", "UK")], "location = 'UK'"),
        ([("country", "equals", "NO")], "country = 'NO'"),
        ([("activity_count", "at least", "5"), ("email", "contains", "@x")], "activity_count >= 5 and email contains '@x'"),
        ([("date_added", "in the last", "30 days")], "date_added in the last '30 days'"),
        ([("date_added", "after", "2026-01-31")], "date_added > '2026-01-31'"),
        ([("location", "in", "UK, US")], "location in ('UK', 'US')"),
        ([("score", "between", "1, 2.5")], "score between 1 and 2.5"),
        ([("email", "is set", None)], "email is set"),
        ([("postcode", "equals", "00123")], "postcode = '00123'"),
        ([("note", "equals", "it's: \"x\" # y")], "note = 'it''s: \"x\" # y'"),
        ([("first name", "equals", "null")], "\"first name\" = 'null'"),
        ([], "true"),
    ],
)  # fmt: skip
def test_a_new_segment_says_what_was_asked(tmp_path, conditions, rule):
    write_new(tmp_path, {**init_files("shop"), **new_segment("vip", conditions)})
    assert load(tmp_path).require().segments["vip"].syntax == parse_text(rule)


def test_a_condition_that_makes_no_rule_is_refused_before_anything_is_written():
    with pytest.raises(RuleError, match="did you mean `contains`") as raised:
        new_segment("vip", [("email", "contians", "x")])
    assert raised.value.diagnostics[0].location.file == "segments/vip.yml"


@pytest.mark.parametrize("name", ["VIP", "2026", "a-b", "", "ä", "../x", "a b"])
def test_a_name_that_no_segment_can_have(name):
    with pytest.raises(WorkspaceError, match="W301"):
        new_segment(name)


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path):
    (tmp_path / "segments").mkdir()
    mine = tmp_path / "segments/everybody.yml"
    mine.write_text("mine")
    with pytest.raises(WorkspaceError, match=r"everybody\.yml exists already"):
        write_new(tmp_path, init_files("shop"))
    assert mine.read_text() == "mine"
    assert not (tmp_path / "segmentry.yml").exists()


def test_of_many_writers_one_wins(tmp_path):
    outcomes = []

    def write(text):
        try:
            write_new(tmp_path, {"segments/vip.yml": text})
            outcomes.append(text)
        except WorkspaceError:
            outcomes.append(None)

    threads = [threading.Thread(target=write, args=(str(n) * 1000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [text for text in outcomes if text is not None]
    assert (tmp_path / "segments/vip.yml").read_text() == winner
    assert [path.name for path in (tmp_path / "segments").iterdir()] == ["vip.yml"]
