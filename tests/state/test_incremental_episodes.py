"""Short histories told by hand, whose every run is made twice, by itself and in full: beside what the clock and drawn data do."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from segmentry.engine.deciding import approve, discard
from segmentry.engine.loading import load
from segmentry.engine.moment import Moment
from tests.state.conftest import Shop, at
from tests.state.drawn import Drawn
from tests.state.holding import holding
from tests.state.killing import killed_at
from tests.state.test_incremental_values import begun, later
from tests.state.test_kill import killed

RULES = {
    "british": "country = 'UK'",
    "recent": "did(order, last => '3 days')",
    "both": "member('british') and member('recent')",
    "first": "top(2, by => spend, among => member('british'))",
}
CONSENT = 'destinations: {{chimp: {{type: mailchimp, key: "${{KEY}}", audience: ab12, new_contacts: subscribed, consent: "{}"}}}}\n'


@pytest.fixture
def told(shop: Shop) -> Drawn:
    """Nothing has been run yet."""
    drawn = begun(shop)
    for name, rule in RULES.items():
        shop.segment(name, rule)
    return drawn


def people(shop: Shop, keys: Sequence[int], countries: Sequence[str], spend: Sequence[int] | None = None, **columns: list[Any]) -> None:
    """As many as there are keys; countries come round."""
    rows = {"id": list(keys), "country": [countries[index % len(countries)] for index in range(len(keys))]}
    shop.contacts({**rows, "spend": list(spend or keys), **columns})


def orders(shop: Shop, name: str, *contacts: int, when: str = "2026-01-28", event: str = "order", **columns: list[Any]) -> None:
    rows = {"contact_id": list(contacts), "at": [at(when)] * len(contacts), "event": [event] * len(contacts)}
    shop.event_file(name, {**rows, **columns})


# ---------------------------------------------------------------- what is computed beside segments


@pytest.mark.parametrize(
    "consent",
    [
        "agreed and not did(refusal)",
        pytest.param("agreed", marks=pytest.mark.full),
        pytest.param("member('british') and did(order, last => '30 days')", marks=pytest.mark.full),
        pytest.param("top(2, by => spend)", marks=pytest.mark.full),
    ],
)
def test_who_has_agreed_by_a_column_that_no_segment_reads(told: Drawn, consent: str) -> None:
    shop, mail, agreed = told.shop, ["a@x.org"] * 5, [True, False, True, None, True]
    shop.key = "id, email: mail"
    people(shop, range(1, 6), ["UK", "US"], mail=mail, agreed=agreed)
    orders(shop, "a", 1, 3)
    orders(shop, "r", 2, event="refusal")
    told.run_both()
    shop.more = CONSENT.format(consent)
    later(told)
    people(shop, range(1, 6), ["UK", "US"], mail=mail, agreed=agreed[::-1])
    later(told)
    orders(shop, "r", 4, event="refusal")
    later(told)
    shop.segment("asked", "agreed")
    people(shop, range(1, 6), ["US", "UK"], [5, 4, 3, 2, 1], mail=mail, agreed=[None, *agreed[1:]])
    later(told)
    people(shop, range(1, 6), ["US", "UK"], [5, 4, 3, 2, 1], mail=mail, agreed=[None, None, *agreed[2:]])
    later(told)
    assert len(told.parts) >= 4


# ---------------------------------------------------------------- holds and decisions


@pytest.mark.parametrize("word", ["approve", pytest.param("discard", marks=pytest.mark.full)])
@pytest.mark.parametrize("whole", [False, True])
def test_after_a_decision(told: Drawn, word: str, whole: bool) -> None:
    """About one segment, or about a run that a source guard held."""
    shop = told.shop
    people(shop, range(1, 11), ["UK", "US"])
    orders(shop, "a", 1, 2, 3)
    told.run_both()
    shop.guards = "{snapshot: {shrinks: 10%}}" if whole else shop.guards
    told.now += timedelta(hours=1)
    people(shop, range(1, 8) if whole else range(1, 12), ["US", "UK"])
    orders(shop, "b", 5, 11)
    with nullcontext() if whole else holding("british"):
        held = shop.run(told.now).record
    workspace, now = load(shop.root).require(), told.now + timedelta(minutes=5)
    if word == "discard":
        discard(shop.state, held.id, (), now)
    else:
        approve(workspace, shop.state, held.id, (), now, lambda: Moment.at(workspace, now).snapshot.contacts)
    shop.guards = "{snapshot: {shrinks: 100%}}"
    later(told)
    for number in range(2):
        people(shop, range(1 + number, 13), ["UK", "UK", "US"])
        orders(shop, "ab"[number % 2], 5, 11, number + 2)
        later(told)
    assert told.parts


def test_while_a_guard_holds_whole_runs(told: Drawn) -> None:
    shop = told.shop
    shop.guards = "{snapshot: {shrinks: 10%}}"
    people(shop, range(1, 13), ["UK", "US"])
    orders(shop, "a", 1, 2, 3)
    told.run_both()
    people(shop, range(1, 10), ["UK", "US"])
    orders(shop, "b", 11, 5)
    later(told)
    later(told)
    for keys in (range(1, 13), range(2, 15), range(14, 1, -1)):
        people(shop, keys, ["US", "UK"])
        later(told)
    assert told.parts


def test_what_earlier_runs_found_is_asked(told: Drawn) -> None:
    """Segments that remember, and go from the workspace and are back."""
    shop, draw = told.shop, random.Random(2)
    rules = {
        "either": "member('both') or not member('recent')",
        "came": "entered('both', last => '1 day') or member('either', for => '2 hours')",
    }
    for number in range(6):
        for name, rule in rules.items():
            if number in (2, 3):
                (shop.root / "segments" / f"{name}.yml").unlink(missing_ok=True)
            else:
                shop.segment(name, rule)
        people(shop, range(1, 13), draw.sample(["UK", "US", "UK"], 3), [draw.randint(0, 9) for _ in range(12)])
        orders(shop, "ab"[number % 2], *draw.sample(range(1, 13), 4), when=f"2026-01-{draw.randint(26, 29)}")
        later(told, draw.choice([1, 6]))
    assert len(told.parts) >= 4


# ---------------------------------------------------------------- the state


def test_a_state_of_before_is_put_back(told: Drawn) -> None:
    shop = told.shop
    people(shop, range(1, 5), ["UK", "US"])
    orders(shop, "a", 1, 3)
    told.run_both()
    shutil.copytree(shop.root / ".segmentry", shop.root / "saved")
    orders(shop, "b", 2)
    later(told)
    people(shop, [1, 2, 3, 5], ["US", "UK", "UK"])
    later(told)
    shutil.rmtree(shop.root / ".segmentry")
    (shop.root / "saved").rename(shop.root / ".segmentry")
    later(told)
    orders(shop, "b", 5)
    later(told)
    assert len(told.parts) == 4


def test_after_what_is_old_was_collected(told: Drawn) -> None:
    shop = told.shop
    people(shop, range(1, 5), ["UK", "US"])
    orders(shop, "a", 1, 3)
    told.run_both()
    for number in range(3):
        orders(shop, "bc"[number % 2], 2 + number)
        people(shop, [1, 2, 3, 5 + number], ["UK", "US"], [number, 2, 3, 4])
        later(told)
        shop.state.gc(timedelta(0), told.now + timedelta(days=400))
        later(told)
    assert len(told.parts) >= 3


@pytest.mark.parametrize("moment", ["published", "committed"])
def test_after_a_run_that_was_killed_in_its_commit(told: Drawn, moment: str) -> None:
    """Just before the state has it, or just after."""
    shop = told.shop
    people(shop, range(1, 9), ["UK", "US"])
    orders(shop, "a", 1, 3)
    told.run_both()
    people(shop, [1, 2, 3, 5, 6, 7, 8, 9], ["US", "UK", "UK"])
    orders(shop, "b", 2, 6, 9)
    told.now += timedelta(hours=1)
    killed(killed_at, shop.root, told.now.replace(tzinfo=None).isoformat(), moment)
    orders(shop, "c", 5, 3)
    later(told)
    later(told, 72)
    assert len(told.parts) == 2


def test_a_dry_run_finds_what_a_full_one_does(told: Drawn) -> None:
    shop = told.shop
    people(shop, [1, 2, 3], ["UK", "US"])
    orders(shop, "a", 1)
    told.run_both()
    people(shop, [1, 2, 4], ["US", "UK", "UK"])
    orders(shop, "b", 2, 4)
    own, whole = (shop.run(told.now + timedelta(hours=1), dry_run=True, full=full) for full in (False, True))
    assert not own.record.report["computed"]["full"]
    assert own.changes().sort("segment", "contact").rows() == whole.changes().sort("segment", "contact").rows()


# ---------------------------------------------------------------- definitions


def test_a_segment_is_renamed_while_it_is_edited_and_the_data_changes(told: Drawn) -> None:
    shop = told.shop
    people(shop, [1, 2, 3, 5], ["US", "UK", "UK", "UK"])
    orders(shop, "a", 1, 3)
    told.run_both()
    shop.remove("british")
    shop.remove("first")
    shop.segment("britons", "country = 'UK'", renamed_from="[british]")
    shop.segment("both", "member('britons') and member('recent')")
    people(shop, [1, 2, 3, 5, 6], ["UK", "UK", "US"])
    orders(shop, "b", 6)
    later(told)
    shop.remove("britons")
    shop.segment("british", "country = 'UK' and spend > 2", renamed_from="[britons]")
    shop.segment("both", "member('british') and member('recent')")
    for spend in ([1, 9, 0, 4, 1], [5, 9, 0, 0, 1]):
        people(shop, [1, 2, 3, 5, 6], ["UK"], spend)
        later(told)
    assert len(told.parts) == 3


@pytest.mark.parametrize("of_events", [False, True])
def test_a_column_is_read_for_one_run_in_which_it_changed(told: Drawn, of_events: bool) -> None:
    """The rule is edited, and edited back a run later; the column changes before, with and after that."""
    shop = told.shop
    rule, edited = "spend > 2", "did(order, amount > 2)" if of_events else "score > 2"

    def written(*values: int) -> None:
        orders(shop, "a", 1, 2, 3, 4, amount=list(values))
        people(shop, range(1, 5), ["UK", "US"], score=list(values))

    shop.segment("asked", rule)
    written(1, 2, 3, 4)
    told.run_both()
    for values, where in (
        ([4, 3, 2, 1], rule),
        ([1, 4, 4, 1], edited),
        ([4, 1, 4, 1], rule),
        ([4, 4, 1, 1], edited),
        ([1, 1, 1, 3], edited),
    ):
        shop.segment("asked", where)
        written(*values)
        later(told)
    assert len(told.parts) == 5


def test_shares_are_edited_while_the_data_changes(told: Drawn) -> None:
    shop = told.shop
    orders(shop, "a", 1, 3)
    for number, share in enumerate([50, 50, 20, 80, 80]):
        shop.segment("split", "member('british') or spend > 4", split=f"{{a: {share}%, b: {100 - share}%}}")
        people(shop, range(1 + number, 13 + number), ["UK", "US", "US"])
        later(told)
    assert len(told.parts) == 4


# ---------------------------------------------------------------- files


def test_files_of_no_rows_and_of_one(told: Drawn) -> None:
    shop = told.shop
    shop.segment("nothing", "not did(order) and not did(visit)")
    people(shop, [1, 2, 3], ["UK", "US"])
    orders(shop, "a", 1, 2)
    frame = pl.read_parquet(shop.root / "events" / "a.parquet")
    shop.event_file("a", frame.clear())
    told.run_both()
    for name, rows in (("a", frame), ("a", frame.clear()), ("b", frame)):
        shop.event_file(name, rows)
        later(told)
    people(shop, [7], ["UK"])
    later(told)
    people(shop, [3, 2, 1, 7], ["UK"])
    shop.event_file("b", frame.head(1))
    later(told)
    assert len(told.parts) >= 3


def test_columns_spelled_otherwise_in_some_files(told: Drawn) -> None:
    shop = told.shop
    shop.segment("much", "did(order, amount > 3)")
    people(shop, range(1, 5), ["UK", "US"])
    orders(shop, "b", 1, 2, amount=[5, 1])
    orders(shop, "c", 3, 4, Amount=[5, 1])
    told.run_both()
    orders(shop, "c", 3, 4, Amount=[1, 5])
    later(told)
    orders(shop, "c", 3, 4, amount=[5, 1])
    later(told)
    for amounts in ([5, 7, 1], [5, 2, 8]):
        orders(shop, "d", 3, 2, 4, AMOUNT=amounts)
        later(told)
    assert len(told.parts) >= 3


def test_decimals_of_other_scales_and_times_of_other_units(told: Drawn) -> None:
    shop = told.shop
    for number, rule in enumerate(["sum(order.amount) > 1", "max(order.amount) < 2", "last(order) before ago('1 day')"]):
        shop.segment(f"s{number}", rule)
    people(shop, range(1, 5), ["UK", "US"])

    def written(name: str, amount: str, scale: int, unit: Any = "us", key: Any = pl.Int64) -> None:
        rows = {"contact_id": [1, 3], "at": [at("2026-01-28")] * 2, "event": ["order"] * 2, "amount": [Decimal(amount)] * 2}
        types = {"contact_id": key, "at": pl.Datetime(unit), "event": pl.String, "amount": pl.Decimal(12, scale)}
        shop.event_file(name, pl.DataFrame(rows).cast(types))

    written("wide", "1.0000", 4)
    written("z", "1.00", 2)
    written("a", "1.50", 2)
    told.run_both()
    for amount, scale, unit, key in (
        ("0.0150", 4, "us", pl.Int64), ("0.0150", 4, "ms", pl.Int64), ("0.0150", 4, "us", pl.Int16), ("1.50", 2, "us", pl.Int64),
    ):  # fmt: skip
        written("a", amount, scale, unit, key)
        later(told)
    assert len(told.parts) >= 2
