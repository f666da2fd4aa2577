"""`preview`, `explain` and `overlap` on a small shop: what they say, in every form, and that figures take one pass."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from segmentry import NotFound, RuleError, Workspace
from segmentry.engine.backends.duckdb import DuckDB
from tests.cli.conftest import NOW, Shop, build, contacts, events

AT = "2026-03-01T12:00Z"
RULE = "location = 'US' and score > 20 and not did(order_placed, last => '90 days')"


@pytest.fixture(scope="module")
def workspace(settled: Shop) -> Workspace:
    return Workspace.open(settled.folder)


# ---------------------------------------------------------------- preview


def by_hand() -> pl.DataFrame:
    """The three conditions of `RULE` for everybody, from the shop's own frames."""
    buyers = events()["contact_id"].unique().implode()
    return contacts().select(
        "location",
        us=(pl.col("location") == "US").fill_null(value=False),
        high=(pl.col("score") > 20).fill_null(value=False),
        silent=~pl.col("contact_id").is_in(buyers),
    )


def test_a_waterfall_is_what_is_left_and_what_each_alone_keeps_out(workspace):
    found, frame = workspace.preview(RULE, AT).waterfall, by_hand()
    names = ["us", "high", "silent"]
    assert found.columns == ["condition", "matched", "left", "removed", "alone"]
    assert found["condition"].to_list() == ["location = 'US'", "score > 20", "not did(order_placed, last => '90 days')"]
    left = frame.height
    for number, name in enumerate(names):
        others = [other for other in names if other != name]
        after = frame.filter(pl.all_horizontal(names[: number + 1])).height
        alone = frame.filter(pl.all_horizontal(others) & ~pl.col(name)).height
        assert found.row(number)[1:] == (frame[name].sum(), after, left - after, alone)
        left = after
    assert left == workspace.preview(RULE, AT).count


def test_a_rule_of_one_condition_has_a_waterfall_of_one(workspace):
    for rule in ("score > 20 or score < 5", "score between 20 and 40", "not (score > 20 and location = 'US')"):
        found = workspace.preview(rule, AT)
        assert found.waterfall["left"].to_list() == [found.count]
        assert found.waterfall["alone"].to_list() == [12 - found.count]


def test_a_breakdown_counts_every_value_and_those_without_one(workspace):
    found = workspace.preview(RULE, AT, by="LOCATION")
    frame = by_hand()
    expected = {
        value: (group.filter(pl.all_horizontal("us", "high", "silent")).height, group.height)
        for (value,), group in frame.group_by("location")
    }
    assert {value: (matched, all_) for value, matched, all_, _ in found.breakdown.iter_rows()} == expected
    assert found.breakdown["location"].to_list() == ["US", "UK", None]
    assert found.breakdown["share"].to_list() == [0.5, 0.0, 0.0]
    assert workspace.preview("true", AT, by="added").breakdown.schema["added"] == pl.Datetime("us")
    assert workspace.preview(RULE, AT).breakdown is None


@pytest.mark.parametrize(("field", "code"), [("locaton", "R103"), ("a.b", "R103"), ("", "R103"), ("'x", "R103")])
def test_a_field_that_is_none_is_a_problem_with_its_place(settled, field, code):
    assert f"error[{code}]" in settled.run("preview", "true", "--by", field, code=1).stderr


def test_a_list_has_no_breakdown(tmp_path):
    shop = build(tmp_path)
    contacts().with_columns(tags=pl.Series([["a"]] * 12)).write_parquet(tmp_path / "data/contacts.parquet")
    assert "error[R301]" in shop.run("preview", "true", "--by", "tags", code=1).stderr
    assert "12 of 12" in shop.run("preview", "length(tags) = 1", "--by", "note").stdout


def test_all_figures_take_one_pass(workspace, monkeypatch):
    """As many queries as the rule's own plan has, whatever is asked of it."""
    asked: list[str] = []
    create, fetch = DuckDB.create, DuckDB.fetch
    monkeypatch.setattr(DuckDB, "create", lambda self, table, query: (asked.append(table), create(self, table, query))[1])
    monkeypatch.setattr(DuckDB, "fetch", lambda self, query: (asked.append("fetch"), fetch(self, query))[1])
    workspace.preview("did(order_placed)", AT)
    plain = sorted(asked)
    asked.clear()
    workspace.preview(f"{RULE} and count(order_placed) < 9 and note is set", AT, by="email")
    assert sorted(asked) == plain
    assert len([table for table in asked if table != "fetch"]) == 2  # the contacts, and the one event table


def test_a_preview_in_every_form(settled):
    words = ("preview", RULE, "--by", "location", "--as-of", AT)
    text = settled.run(*words).stdout
    assert all(part in text for part in ("3 of 12 contacts (25.0%)", "alone", "50.0%", "p7@example.com"))
    told = json.loads(settled.run(*words, "--format", "json").stdout)
    assert (told["by"], told["breakdown"][0]) == ("location", {"location": "US", "matched": 3, "contacts": 6, "share": 0.5})
    assert [row["left"] for row in told["waterfall"]] == [6, 3, 3]
    page = settled.run(*words, "--format", "html").stdout
    assert page.startswith("<p><code>location = &#x27;US&#x27;")
    assert page.count("<table>") == 4


# ---------------------------------------------------------------- explain


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop whose segment `lamp` is what a test asks about."""
    return build(tmp_path_factory.mktemp("lamp"))


def explained(shop: Shop, rule: str, key: int, as_of: object = NOW):
    shop.write("segments/lamp.yml", "where: >\n  " + rule + "\n")
    return Workspace.open(shop.folder).explain("lamp", key, as_of)


@pytest.mark.parametrize(
    ("rule", "kind", "flips"),
    [
        ("added in the last '30 days'", "at", "2026-03-29T12:00:00Z"),  # (as_of - 30 days, as_of]
        ("added < ago('30 days')", "at", "2026-03-29T12:00:00.000001Z"),
        ("added before ago('2 months')", "at", "2026-04-27T11:00:00.000001Z"),  # by London's clocks, which are set in March
        ("did(order_placed, last => '2 days')", "at", "2026-03-02T12:00:00Z"),
        ("count(order_placed, last => '7 days') >= 2", "at", "2026-03-06T12:00:00Z"),
        ("last(order_placed) > start_of('month')", "never", None),
        ("added >= start_of('month') - '5 days'", "at", "2026-03-31T23:00:00Z"),
        ("added = today() - '3 days'", "at", "2026-03-02T00:00:00Z"),
        ("next_anniversary(added) in the next '7 days'", "at", "2027-02-21T00:00:00Z"),
        ("weekday(today()) = 1", "at", "2026-03-02T00:00:00Z"),
        ("added in this week", "at", "2026-03-02T00:00:00Z"),  # a Monday
        ("added in last month", "at", "2026-03-31T23:00:00Z"),
        ("added in last quarter", "at", "2026-03-31T23:00:00Z"),
        ("added in this month or added is today", "never", None),
        ("next_anniversary(added) is tomorrow", "at", "2027-02-26T00:00:00Z"),
        ("did(order_placed, during => 'this week')", "at", "2026-03-02T00:00:00Z"),
        ("did(order_placed, during => 'last month')", "at", "2026-03-31T23:00:00Z"),
        ("active_periods(order_placed, period => 'day', of => 3) >= 1", "at", "2026-03-03T00:00:00Z"),
        ("now() > '2030-01-01 00:00Z'", "at", "2030-01-01T00:00:00.000001Z"),
        ("score > 5", "never", None),
        ("hour(now()) = 14 or day(ago('6 hours')) = 2", "at", "2026-03-01T14:00:00Z"),
        ("day(ago('6 hours')) = 2", "at", "2026-03-02T06:00:00Z"),
        ("hour(ago('1 month')) = 13", "at", "2026-03-01T13:00:00Z"),
        ("hour(ago('1 month')) = 13 or added in the last '30 days'", "at", "2026-03-29T13:00:00Z"),
        ("bottom(1, by => score, among => added > ago('1 year'))", "unknown", None),
        ("bottom(1, by => score, among => added > ago('1 year')) and score > 500", "never", None),
        ("bottom(1, by => score, among => added > ago('1 year')) or added in the last '30 days'", "not before", "2026-03-29T12:00:00Z"),
        ("did(order_placed) or weekday(today()) = 8", "never", None),
        ("did(order_placed, amount > 99) or day(today()) = 32", "not before", None),
    ],
)
def test_the_next_flip(shop, rule, kind, flips):
    told = explained(shop, rule, 3 if "order" in rule else 2)
    assert str(told.flip.kind) == kind, told
    if flips is not None:
        assert told.flip.at == datetime.fromisoformat(flips), told
    if kind == "at":
        assert explained(shop, rule, told.contact, told.flip.at).member is not told.member
        assert explained(shop, rule, told.contact, told.flip.at - timedelta(microseconds=1)).member is told.member


def test_an_event_that_is_yet_to_come_flips_when_it_does(tmp_path):
    shop = build(tmp_path)
    later = NOW + timedelta(days=3, microseconds=7)
    frame = pl.concat([events(), pl.DataFrame([(5, later, "order_placed", 20.0)], schema=events().schema, orient="row")])
    frame.write_parquet(shop.folder / "data/events.parquet")
    assert explained(shop, "did(order_placed)", 5).flip.at == later
    assert explained(shop, "did(order_placed, amount > 20)", 5).flip.at is None


@pytest.mark.parametrize("unit", ["us", "ns"])
def test_elements_of_a_list_pass_the_edges_of_windows(tmp_path, unit):
    shop = build(tmp_path)
    seen = [NOW - timedelta(days=2, microseconds=by) for by in (3, 9)]
    items = pl.Series([[{"at": at} for at in seen]] * 12, dtype=pl.List(pl.Struct({"at": pl.Datetime(unit, "UTC")})))
    contacts().with_columns(items=items).write_parquet(tmp_path / "data/contacts.parquet")
    assert explained(shop, "any(items, element.at in the last '5 days')", 1).flip.at == seen[0] + timedelta(days=5)
    assert explained(shop, "all(items, element.at in the last '5 days')", 1).flip.at == seen[1] + timedelta(days=5)


def test_a_date_out_of_the_calendar_has_its_anniversary(tmp_path):
    shop = build(tmp_path)
    far = pl.Series("born", [7_000_000] * 12, pl.Int32).cast(pl.Date)  # a 9 May, in the year 21135
    contacts().with_columns(far).write_parquet(tmp_path / "data/contacts.parquet")
    told = explained(shop, "next_anniversary(born) in the next '7 days' and born > '2020-01-01'", 2)
    assert told.flip.at == datetime(2026, 5, 2, 23, tzinfo=UTC)
    assert "born is outside the years 1 to 9999" in str(told)
    assert str(explained(shop, "born < today()", 2).flip.kind) == "never"


def test_what_no_listed_kind_of_node_says_is_never_foretold(shop, monkeypatch):
    from segmentry.engine import motion
    from segmentry.rules import nodes

    monkeypatch.setattr(motion, "KNOWN", {kind: names for kind, names in motion.KNOWN.items() if kind is not nodes.TextTest})
    told = explained(shop, "email contains 'p' and score > 5", 2)
    assert str(told.flip.kind) == "unknown"
    assert "can't be foretold" in str(told)
    assert "can't be foretold" not in str(explained(shop, "email contains 'p' and score > 50", 2)).splitlines()[-3]


@pytest.mark.parametrize(
    ("rule", "needs"),
    [
        ("score > 50 and location = 'US'", ["score: 9, needs > 50"]),
        ("score > 5 and location = 'US'", ["score: 9, needs <= 5, or to be missing"]),
        ("at_least(2, score > 50, location = 'UK', did(order_placed))", ["score: 9, needs > 50"]),
        ("not did(order_placed)", ["not did(order_placed): needs no such event"]),
        ("score > 50 and count(order_placed) > 5", ["score: 9, needs > 50", "count(order_placed): 2, needs > 5"]),
        ("location != 'US'", ["location: US, needs other than 'US', or to be missing"]),
        ("member('uk')", ["location: US, needs = 'UK'"]),
        ("note is not set or member('picked')", ["note: x, needs to be missing"]),
        ("score > 50 and score < 40 or email is not set", ["email: p2@example.com, needs to be missing"]),
        ("sample('100%', salt => 'x')", None),
        ("today() > '2030-01-01'", None),
        ("score > 50 and score < 40", None),
    ],
)
def test_the_smallest_change(shop, rule, needs):
    told = explained(shop, rule, 2)
    assert told.turn.fewest
    assert (None if told.turn.lines is None else [line.need for line in told.turn.lines]) == needs
    assert told.to_json()["smallest_change"]["turns"] == (
        None if needs is None else [{"condition": line.text, "holds": line.holds, "need": line.need} for line in told.turn.lines]
    )


def test_lists_are_needed_by_their_names(workspace):
    (line,) = workspace.explain("picked", 1, AT).turn.lines
    assert line.need == "needs to be on lists/picked.csv"


def test_an_explanation_in_every_form(settled):
    words = ("explain", "vip", "2", "--as-of", AT)
    text = settled.run(*words).stdout
    assert "by time alone it leaves at 2026-05-28 12:00:00Z: count(order_placed, amount > 10, last => '90 days') >= 2" in text
    assert "to be out now, 1 condition would have to turn over:" in text
    told = json.loads(settled.run(*words, "--format", "json").stdout)
    assert told["next_flip"] == {"kind": "at", "at": "2026-05-28T12:00:00Z"} == told["tree"]["next_flip"]
    assert told["smallest_change"]["fewest"]
    assert "it leaves at 2026-05-28 12:00:00Z" in settled.run(*words, "--format", "html").stdout


# ---------------------------------------------------------------- overlap


def test_an_overlap_is_that_of_the_sets_of_keys(workspace):
    keys = {name: set(workspace.members(name).collect()["contact_id"]) for name in ("vip", "uk", "buyers", "picked")}
    everybody = set(range(1, 13))
    sets = {
        "vip": keys["vip"],
        "uk or buyers": keys["uk"] | keys["buyers"],
        "not (vip and uk)": everybody - (keys["vip"] & keys["uk"]),
        "at_least(2, vip, member('buyers'), picked)": {k for k in everybody if sum(k in keys[n] for n in ("vip", "buyers", "picked")) >= 2},
        "true": everybody,
        "uk and not uk": set(),
        "picked and not picked": set(),
    }
    found = workspace.overlap(*sets)
    assert {name: size for name, size, _ in found.sets.iter_rows()} == {name: len(members) for name, members in sets.items()}
    assert found.total == 12
    assert found.pairs.height == 21
    for first, second, both, either, jaccard, of_first, of_second in found.pairs.iter_rows():
        one, other = sets[first], sets[second]
        assert (both, either) == (len(one & other), len(one | other))
        assert jaccard == (len(one & other) / len(one | other) if one | other else None)
        assert of_first == (len(one & other) / len(one) if one else None)
        assert of_second == (len(one & other) / len(other) if other else None)
    assert workspace.overlap().sets["set"].to_list() == ["buyers", "good_uk", "picked", "uk", "vip"]


def test_gone_contacts_are_in_no_set(shop_after_a_run):
    contacts().filter(pl.col("contact_id") != 7).write_parquet(shop_after_a_run.folder / "data/contacts.parquet")
    shop_after_a_run.run("recompute", "--as-of", "2026-03-02T12:00Z")
    workspace = Workspace.open(shop_after_a_run.folder)
    found = workspace.overlap("picked", "not picked", "true")
    assert (found.total, found.sets["size"].to_list()) == (11, [0, 11, 11])
    assert workspace.overlap("picked", run=1).sets["size"].to_list() == [1]


def test_every_problem_of_every_set_is_told_at_once(workspace):
    with pytest.raises(RuleError) as raised:
        workspace.overlap("vp and uk", "score > 5", "at_least(4, uk, vip)", "uk and")
    assert [problem.code for problem in raised.value.diagnostics] == ["R600", "R603", "R502", "R105"]
    assert "did you mean `vip`?" in str(raised.value)
    with pytest.raises(NotFound):
        workspace.overlap("uk", run=99)


def test_an_overlap_in_every_form(settled):
    words = ("overlap", "vip", "vip and not uk")
    text = settled.run(*words).stdout
    assert all(part in text for part in ("run 1: 12 contacts", "33.3%", "jaccard", "1.000"))
    told = json.loads(settled.run(*words, "--format", "json").stdout)
    assert told["pairs"][0]["both"] == 4
    assert told["as_of"] == NOW.astimezone(UTC).isoformat().replace("+00:00", "Z")
    assert settled.run(*words, "--format", "html").stdout.count("<table>") == 2
