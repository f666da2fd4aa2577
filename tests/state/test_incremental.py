"""What a run computes again of what changed since the accepted one, and when it computes everything, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlglot import exp

from segmentry.engine import few_rows, incremental, storing
from segmentry.engine.backends.duckdb import DuckDB
from segmentry.engine.deciding import approve
from segmentry.engine.former import FormerRun
from segmentry.engine.loading import load
from segmentry.engine.moment import Moment
from segmentry.engine.prepared import prepare
from segmentry.engine.result import Run
from segmentry.engine.state import reading
from segmentry.engine.state.records import ChunkFiles
from tests.state.conftest import Shop, at, day
from tests.state.holding import holding

RULES = {
    "british": "country = 'UK'",
    "recent": "did(order, last => '3 days')",
    "joined": "joined in the last '2 days'",
    "british_recent": "member('british') and member('recent')",
}


def people(*keys: int, **columns: list[Any]) -> dict[str, list[Any]]:
    """All but 3 are British, and 4 joined."""
    joined = [at("2026-01-02T12:00") if key == 4 else None for key in keys]
    return {"id": list(keys), "country": ["US" if key == 3 else "UK" for key in keys], "joined": joined, **columns}


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """Four contacts. 1 ordered on the 1st at noon, 2 on the 2nd at noon, 3 will on the 5th; 4 joined on the 2nd at noon."""
    shop.contacts(people(1, 2, 3, 4))
    orders = [at("2026-01-01T12:00"), at("2026-01-02T12:00")]
    shop.event_file("a", {"contact_id": [1, 2], "at": orders, "event": ["order"] * 2, "amount": [5, 6]})
    shop.event_file("b", {"contact_id": [3], "at": [at("2026-01-05T12:00")], "event": ["order"], "amount": [7]})
    for name, rule in RULES.items():
        shop.segment(name, rule)
    shop.run("2026-01-03")
    return shop


def computed(shop: Shop, as_of: str, **settings: Any) -> dict[str, Any]:
    """How a run was computed."""
    found: dict[str, Any] = shop.run(as_of, **settings).record.report["computed"]
    return found


def why(shop: Shop, as_of: str = "2026-01-03T01:00", **settings: Any) -> str:
    """Why a run computed everything for everybody."""
    found = computed(shop, as_of, **settings)
    assert found["full"]
    return str(found["why"])


def members(shop: Shop) -> dict[str, list[int]]:
    return {name: shop.state.members(name).to_list() for name in RULES}


# ---------------------------------------------------------------- the clock alone


@pytest.mark.parametrize(
    ("as_of", "affected", "who"),
    [
        ("2026-01-03T01:00", 0, {"british": [1, 2, 4], "recent": [1, 2], "joined": [4], "british_recent": [1, 2]}),
        ("2026-01-04T11:59:59.999999", 0, {"british": [1, 2, 4], "recent": [1, 2], "joined": [4], "british_recent": [1, 2]}),
        ("2026-01-04T12:00", 2, {"british": [1, 2, 4], "recent": [2], "joined": [], "british_recent": [2]}),
        ("2026-01-05T12:00", 4, {"british": [1, 2, 4], "recent": [3], "joined": [], "british_recent": []}),
    ],
)
def test_only_whom_the_clock_has_passed_is_computed(shop: Shop, as_of: str, affected: int, who: dict[str, list[int]]) -> None:
    told = computed(shop, as_of)
    assert (told["full"], told["affected"]) == (False, affected)
    assert told["segments"]["british"] == {"computed": "nobody"}
    assert all(told["segments"][name] == {"computed": "affected"} for name in ("recent", "joined", "british_recent"))
    assert members(shop) == who


def test_an_event_becomes_visible_at_its_very_instant(shop: Shop) -> None:
    for as_of, recent in (("2026-01-05T11:59:59.999999", [2]), ("2026-01-05T12:00", [3]), ("2026-01-05T12:00:00.000001", [3])):
        told = computed(shop, as_of)
        assert (told["full"], members(shop)["recent"]) == (False, recent)


@pytest.mark.parametrize(
    ("rule", "before", "then", "after"),
    [
        ("last(order) before ago('2 days')", [1], [1], [1, 2]),
        ("last(order) at most ago('2 days')", [1], [1, 2], [1, 2]),
        ("last(order) after ago('2 days')", [2], [], []),
        ("first(order) at least ago('2 days')", [2], [2], []),
        ("did(order, last => '2 days')", [2], [], []),
        ("did(order, since => ago('2 days'))", [2], [2], []),
        ("did(order, until => ago('2 days'))", [1], [1, 2], [1, 2]),
        ("count(order, until => ago('1 day'), since => ago('2 days')) = 1", [2], [2], []),
        ("joined before ago('2 days')", [], [], [4]),
        ("in_last(joined, '2 days')", [4], [], []),
    ],
)
def test_a_condition_turns_over_at_its_very_instant(shop: Shop, rule: str, before: list[int], then: list[int], after: list[int]) -> None:
    """The only one that there is, so that no other finds its contacts; 2 ordered, and 4 joined, two days before the middle one."""
    for name in RULES:
        shop.remove(name)
    shop.segment("only", rule)
    shop.run("2026-01-04T11:00")
    for as_of, who in (("2026-01-04T11:59:59.999999", before), ("2026-01-04T12:00", then), ("2026-01-04T12:00:00.000001", after)):
        assert not computed(shop, as_of)["full"]
        assert shop.state.members("only").to_list() == who


def test_it_reads_no_more_than_it_must(shop: Shop) -> None:
    whole = shop.run("2026-01-03T00:30", full=True).record.report
    idle, moved = (shop.run(when).record.report for when in ("2026-01-03T01:00", "2026-01-04T12:00"))
    assert (idle["rows_read"], idle["queries"]) == (4, 2)  # whose `joined` an edge passed; no file has events at an edge
    assert whole["rows_read"] == 7
    assert moved["rows_read"] == 2 + 4 + 7  # whose orders, whose `joined`, and then what a full run reads, of two contacts


def test_of_new_files_it_reads_what_they_have_and_of_the_others_who_changed(shop: Shop) -> None:
    more_events(shop)
    found = shop.run("2026-01-03T01:00").record.report
    dates, keys, digests, anew = 4, 4, 2, 4 + 5  # whose `joined` an edge passed; whose event it is; the new file's; contacts and all events
    assert found["rows_read"] == dates + keys + digests + anew


def test_what_did_not_change_is_kept_in_the_files_of_the_former_run(shop: Shop) -> None:
    first = shop.state.run(None)
    run = shop.run("2026-01-03T01:00").record
    assert (run.members, run.digests_file) == (first.members, first.digests_file)


@pytest.mark.parametrize("as_of", ["2026-01-03T01:00", "2026-01-04T12:00"])
def test_bitmaps_that_are_carried_over_are_read_once_and_compared_only_where_somebody_was_computed(
    shop: Shop, as_of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    compared: list[int] = []

    def counting(root: Path, chunk: ChunkFiles, where: Mapping[int, str], names: Sequence[str]) -> pl.DataFrame:
        read.extend(names)
        return chunk_columns(root, chunk, where, names)

    def looking(segment: str, former: pl.Series, current: pl.Series, positions: pl.Series) -> pl.DataFrame:
        compared.append(len(positions))
        return moves_among(segment, former, current, positions)

    chunk_columns, moves_among = reading.chunk_columns, storing.moves_among
    monkeypatch.setattr(reading, "chunk_columns", counting)
    monkeypatch.setattr(storing, "moves_among", looking)
    monkeypatch.setattr(storing, "moves", None)
    told = computed(shop, as_of)
    assert compared == [told["affected"]] * len(RULES)
    # who was in `recent` and in `british` says why somebody has left `british_recent`
    assert sorted(read) == sorted([*RULES, *(["british", "recent"] if told["affected"] else [])])


def test_who_came_and_is_in_nothing_has_a_place_in_every_bitmap(shop: Shop) -> None:
    before = members(shop)
    shop.contacts(
        {"id": [1, 2, 3, 4, 5], "country": [*people(1, 2, 3, 4)["country"], "FR"], "joined": [*people(1, 2, 3, 4)["joined"], None]}
    )
    assert not computed(shop, "2026-01-03T01:00")["full"]
    assert (shop.state.columns(list(RULES)).height, members(shop)) == (5, before)


def test_of_many_rows_those_of_few_contacts_are_read_without_the_others(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, bool]] = []
    create = DuckDB.create

    def reading_files(self: DuckDB, table: str, query: exp.Query) -> None:
        read.append((table, query.sql().lower().count("read_parquet") > 0))
        create(self, table, query)

    monkeypatch.setattr(few_rows, "FEWEST_ROWS", 0)
    monkeypatch.setattr(DuckDB, "create", reading_files)
    assert computed(shop, "2026-01-04T12:00")["affected"] == 2
    assert members(shop)["recent"] == [2]
    assert read == [("$snapshot", False), ("$events0", False)]


def test_what_it_says_of_itself(shop: Shop) -> None:
    shop.segment("first", "top(1, by => count(order, last => '3 days'))")
    shop.run("2026-01-03T01:00")
    done = shop.run("2026-01-04T12:00")
    assert done.record.report["computed"]["segments"]["first"] == {"computed": "all", "why": "it asks for a place among all contacts"}
    run = Run(done, {})
    assert "4 contacts, computed for 2 of them at 2026-01-04 12:00:00" in run.headline()
    text = run.plan_text()
    assert "-- computed for 2 contacts, whose answers something may have changed since the accepted run;" in text
    assert "--   first is computed for all contacts: it asks for a place among all contacts" in text
    assert "-- nobody can have changed in british\n" in text
    assert "-- computed for all contacts: it was asked for" in Run(shop.run("2026-01-04T13:00", full=True), {}).plan_text()


def test_a_run_that_is_killed_before_its_commit_leaves_the_next_one_the_same(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("segmentry.engine.run.store_members", killed)
        with pytest.raises(KeyboardInterrupt):
            shop.run("2026-01-04T12:00")
    assert computed(shop, "2026-01-04T12:00")["affected"] == 2
    assert members(shop)["recent"] == [2]


# ---------------------------------------------------------------- of one segment


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("entered('recent', last => '1 day')", "it asks what earlier runs found"),
        ("member('recent', for => '1 day')", "it asks what earlier runs found"),
        ("top(2, by => count(order, last => '3 days'))", "it asks for a place among all contacts"),
        ("top(2, by => amount, among => member('recent'))", "it asks for a place among all contacts"),
        ("member('fallen')", "it refers to `fallen`, which is computed for all contacts"),
        ("did(order, paid in the last '1 day')", "the clock is in it in a way that no query of a few events can tell"),
        ("date(last(order)) = today()", "the clock is in it in a way that no query of a few events can tell"),
    ],
)
def test_segments_that_are_computed_for_all_contacts(shop: Shop, rule: str, reason: str) -> None:
    shop.contacts(people(1, 2, 3, 4, amount=[1, 2, 3, 4]))
    instants = [at("2026-01-01T12:00"), at("2026-01-02T12:00")]
    shop.event_file("c", {"contact_id": [1, 2], "at": instants, "event": ["order"] * 2, "amount": [5, 6], "paid": instants})
    shop.segment("fallen", "date(last(order)) = today()")
    shop.segment("asked", rule)
    shop.run("2026-01-03T00:30")
    told = computed(shop, "2026-01-04T12:30")
    assert (told["full"], told["segments"]["asked"]) == (False, {"computed": "all", "why": reason})


@pytest.mark.parametrize("rule", ["top(2, by => amount)", "ntile(2, by => amount) = 1 and country = 'UK'", "sample('50%', salt => 'x')"])
def test_segments_in_which_nobody_can_change(shop: Shop, rule: str) -> None:
    shop.contacts(people(1, 2, 3, 4, amount=[1, 2, 3, 4]))
    shop.segment("asked", rule)
    shop.run("2026-01-03T00:30")
    assert computed(shop, "2026-01-05T12:30")["segments"]["asked"] == {"computed": "nobody"}


def test_where_every_segment_is_computed_for_all_the_run_is_in_full(shop: Shop) -> None:
    for name in RULES:
        shop.remove(name)
    shop.segment("fallen", "date(last(order)) = today()")
    shop.run("2026-01-03T01:00")
    assert why(shop, "2026-01-04T01:00") == "every segment has to be computed for all contacts"


# ---------------------------------------------------------------- what changed beside the clock


def the_same_rows(shop: Shop) -> None:
    shop.contacts(people(4, 3, 2, 1))


def a_row_changes(shop: Shop) -> None:
    rows = people(1, 2, 3, 4)
    rows["country"][0] = "US"
    shop.contacts(rows)


def two_come_and_one_goes(shop: Shop) -> None:
    shop.contacts(people(5, 1, 3, 4, 6))


def more_events(shop: Shop) -> None:
    shop.event_file("c", {"contact_id": [3, 9], "at": [at("2026-01-02")] * 2, "event": ["order"] * 2, "amount": [5, 5]})


def an_event_is_somebody_else_s(shop: Shop) -> None:
    shop.event_file("b", {"contact_id": [4], "at": [at("2026-01-03T01:00")], "event": ["order"], "amount": [7]})


def a_file_is_written_again(shop: Shop) -> None:
    more_events(shop)
    shop.run("2026-01-03T00:20")
    more_events(shop)


def events_go(shop: Shop) -> None:
    (shop.root / "events" / "a.parquet").unlink()


@pytest.mark.parametrize(
    ("happens", "affected", "british", "who"),
    [
        (the_same_rows, 0, "affected", {"british": [1, 2, 4], "recent": [1, 2], "british_recent": [1, 2]}),
        (a_row_changes, 1, "affected", {"british": [2, 4], "recent": [1, 2], "british_recent": [2]}),
        (two_come_and_one_goes, 2, "affected", {"british": [1, 4, 5, 6], "recent": [1], "british_recent": [1]}),
        (more_events, 1, "nobody", {"british": [1, 2, 4], "recent": [1, 2, 3], "british_recent": [1, 2]}),
        (an_event_is_somebody_else_s, 2, "nobody", {"british": [1, 2, 4], "recent": [1, 2, 4], "british_recent": [1, 2, 4]}),
        (a_file_is_written_again, 0, "nobody", {"british": [1, 2, 4], "recent": [1, 2, 3], "british_recent": [1, 2]}),
        (events_go, 2, "nobody", {"british": [1, 2, 4], "recent": [], "british_recent": []}),
    ],
)
def test_only_who_changed_is_computed(
    shop: Shop, happens: Callable[[Shop], None], affected: int, british: str, who: dict[str, list[int]]
) -> None:
    happens(shop)
    told = computed(shop, "2026-01-03T01:00")
    assert (told["full"], told["affected"]) == (False, affected)
    assert told["segments"]["british"] == {"computed": british}
    assert told["segments"]["recent"] == {"computed": "affected"}
    assert {name: sorted(shop.state.members(name).to_list()) for name in who} == who


def test_where_others_have_changed_a_place_is_asked_of_all(shop: Shop) -> None:
    shop.contacts(people(1, 2, 3, 4, amount=[1, 2, 3, 4]))
    shop.segment("first", "top(1, by => amount)")
    shop.segment("ordered", "top(1, by => count(order))")
    shop.run("2026-01-03T00:20")
    all_of_them = {"computed": "all", "why": "it asks for a place among all contacts"}
    more_events(shop)
    told = computed(shop, "2026-01-03T00:30")["segments"]
    assert (told["first"], told["ordered"]) == ({"computed": "nobody"}, all_of_them)
    shop.contacts(people(1, 2, 3, 4, amount=[5, 2, 3, 4]))
    told = computed(shop, "2026-01-03T00:40")["segments"]
    assert (told["first"], told["ordered"]) == (all_of_them, all_of_them)
    assert shop.state.members("first").to_list() == [1]


def test_what_no_segment_reads_is_asked_of_all_who_is_suppressed(shop: Shop) -> None:
    """Digests are made over the columns that segments' rules read; another column changes unnoticed."""
    shop.contacts(people(1, 2, 3, 4, refuses=[False, False, True, False]))
    shop.more = "suppress: refuses\n"
    shop.run("2026-01-03T00:20")
    shop.contacts(people(1, 2, 3, 4, refuses=[False, True, True, False]))
    assert computed(shop, "2026-01-03T00:30")["affected"] == 0
    assert shop.state.columns(["suppress:"])["suppress:"].to_list() == [False, True, True, False]


def another_rule(shop: Shop) -> None:
    shop.segment("recent", "did(order, last => '1 day')")


def another_list(shop: Shop) -> None:
    shop.list("vip.csv", 1, 3)


def another_segment(shop: Shop) -> None:
    shop.segment("another", "country = 'US'")


def one_segment_less(shop: Shop) -> None:
    shop.remove("british_recent")


def first_in_the_group(shop: Shop) -> None:
    shop.segment("another", "country = 'UK'", priority="{group: g, rank: 1}")


def second_in_the_group(shop: Shop) -> None:
    shop.remove("leading")


HERS = "its rule is another"
IT = "it refers to `recent`, which is computed for all contacts"


@pytest.mark.parametrize(
    ("happens", "anew", "who"),
    [
        (another_rule, {"recent": HERS, "british_recent": IT}, {"recent": [2], "british_recent": [2]}),
        (another_list, {"vip": "a static list that it names is another"}, {"vip": [1, 3]}),
        (another_segment, {"another": "the accepted run has not had it"}, {"another": [3]}),
        (one_segment_less, {}, {"recent": [1, 2]}),
        (first_in_the_group, {"another": "the accepted run has not had it", "leading": HERS, "led": HERS}, {"leading": [], "led": [3]}),
        (second_in_the_group, {"led": HERS}, {"led": [1, 2, 3, 4]}),
    ],
)
def test_what_is_defined_otherwise_is_computed_for_all(
    shop: Shop, happens: Callable[[Shop], None], anew: dict[str, str], who: dict[str, list[int]]
) -> None:
    shop.list("vip.csv", 1, 2)
    shop.segment("vip", list="vip.csv")
    shop.segment("leading", "country = 'UK'", priority="{group: g, rank: 2}")
    shop.segment("led", "country is set", priority="{group: g, rank: 3}")
    shop.run("2026-01-03T00:30")
    happens(shop)
    told = computed(shop, "2026-01-03T01:00")
    assert not told["full"]
    assert {name: part["why"] for name, part in told["segments"].items() if part["computed"] == "all"} == anew
    assert {name: shop.state.members(name).to_list() for name in who} == who


# ---------------------------------------------------------------- of all segments


def another_column(shop: Shop) -> None:
    shop.contacts(people(1, 2, 3, 4, more=[1, 2, 3, 4]))


def another_type(shop: Shop) -> None:
    shop.contacts(pl.DataFrame(people(1, 2, 3, 4)).cast({"id": pl.Int32()}))


def another_zone(shop: Shop) -> None:
    shop.zone = "Asia/Tokyo"


def forgotten(shop: Shop) -> None:
    shop.state.forget([2], day("2026-01-03"))


SOURCES = "the sources have other columns"


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (another_column, SOURCES),
        (another_type, SOURCES),
        (another_zone, "sources, the timezone or the week are defined otherwise"),
        (forgotten, "contacts were forgotten since the accepted run"),
    ],
)
def test_what_has_everything_computed(shop: Shop, happens: Callable[[Shop], None], reason: str) -> None:
    happens(shop)
    assert why(shop) == reason


def test_a_first_run_a_historical_one_and_one_that_is_asked_for_are_in_full(shop: Shop) -> None:
    assert shop.state.run(1).report["computed"] == {"full": True, "why": "no run is accepted yet"}
    assert why(shop, "2026-01-02", now=day("2026-01-03T01:00")) == "it is historical"
    assert why(shop, full=True) == "it was asked for"


def test_another_version_has_everything_computed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "versions", lambda: {"segmentry": "another"})
    assert why(shop) == "the version of Segmentry, of its engine or of the timezones is another"


def test_a_hold_and_a_decision_have_everything_computed(shop: Shop) -> None:
    reason = "a guard has held a segment, or somebody has decided about one, in the accepted run"
    with holding("recent"):
        shop.run("2026-01-04T12:00")
    assert why(shop, "2026-01-04T12:30") == reason
    with holding("recent"):
        run = shop.run("2026-01-05T12:00")
    now, workspace = day("2026-01-05T12:10"), load(shop.root).require()
    approve(workspace, shop.state, run.record.id, (), now, lambda: Moment.at(workspace, now).snapshot.contacts)
    assert why(shop, "2026-01-05T12:30") == reason
    assert not computed(shop, "2026-01-05T12:40")["full"]


def test_without_what_is_kept_of_the_accepted_run_everything_is_computed(shop: Shop) -> None:
    prepared, record = prepare(load(shop.root).require(), day("2026-01-03T01:00")), shop.state.run(None)

    def told(**parts: Any) -> str | None:
        return incremental.why_full(prepared, FormerRun(shop.state, replace(record, **parts)), asked=False, historical=False)

    assert told() is None
    assert told(complete=False) == "the accepted run's memberships are not kept any more"


def test_where_most_contacts_are_gone_their_order_is_made_anew_in_full(shop: Shop) -> None:
    shop.contacts(people(1, 4))
    shop.run("2026-01-03T00:30")
    assert why(shop) == "so many contacts are gone that their order is made anew"
    assert shop.state.order(None).keys.to_list() == [1, 4]
    assert not computed(shop, "2026-01-03T02:00")["full"]


def test_where_many_contacts_are_affected_all_are_computed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "FEW_CONTACTS", 4)
    assert why(shop, "2026-01-04T12:00") == "2 contacts are affected"
    assert not computed(shop, "2026-01-04T13:00")["full"]
