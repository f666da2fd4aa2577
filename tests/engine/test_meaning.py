"""The corners of the language's meaning that engines get wrong: missing values, numbers, sums, text, time."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from typing import Any

import pyarrow as pa
import pytest

from segmentry.engine.frames import EventFrame
from tests.engine.conftest import World, at

MAX, MIN = 2**63 - 1, -(2**63)
INF, NAN = float("inf"), float("nan")
NINES = Decimal("9" * 38)


def column(values: list[Any], type: pa.DataType) -> World:
    return World(pa.table({"id": list(range(len(values))), "x": pa.array(values, type)}))


def test_a_rule_and_its_negation_split_the_contacts(shop: World) -> None:
    rules = ["location = 'UK'", "value > 500", "did(order)", "count(order) < 1", "avg(order.amount) > 1", "lower(location) = 'uk'"]
    for rule in rules:
        inside, outside = shop.members(rule, f"not ({rule})")
        assert sorted(inside + outside) == [1, 2, 3, 4, 5, 6], rule


def test_missing_is_null_nan_and_the_empty_text(shop: World) -> None:
    assert shop.members("location is set", "location != 'UK'", "count(order, amount is not set) = 1") == [[1, 2, 5, 6], [2, 3, 4, 5], [4]]


def test_nothing_in_the_data_raises() -> None:
    world = column([MAX, MIN, 0, None, 5], pa.int64())
    rules = [
        "x + 1 > 0",
        "x * x is set",
        "abs(x) = 9223372036854775808",
        "5 % x is set",
        "x % -1 = 0",
        "1 / x is set",
        "-x > 9223372036854775806",
    ]
    assert world.members(*rules) == [[0, 2, 4], [0, 1, 2, 4], [1], [0, 1, 4], [0, 1, 2, 4], [0, 1, 4], [1]]


def test_products_are_exact_and_missing_beyond_38_digits() -> None:
    wide = column([Decimal("9" * 38), Decimal(2), None], pa.decimal128(38, 0))
    assert wide.members("x * 2 is set", "x + 1 is set", "x * 1 = 99999999999999999999999999999999999999") == [[1], [1], [0]]
    narrow = column([Decimal("999999999.99")], pa.decimal128(11, 2))
    assert narrow.members("x * x * x is set", "x * x = 999999999980000000.0001") == [[0], [0]]


@pytest.mark.parametrize(
    "rule",
    ["x = 9007199254740993", "x > 9007199254740992.5", "x in (9007199254740993.0)", "x between 9007199254740993 and 9007199254740993"],
)
def test_integers_compare_exactly(rule: str) -> None:
    assert column([2**53, 2**53 + 1], pa.int64()).members(rule) == [[1]]


def test_unsigned_and_signed_integers_compare_exactly() -> None:
    table = pa.table({"id": [0, 1], "u": pa.array([2**64 - 1, 0], pa.uint64()), "i": pa.array([-1, 0], pa.int64())})
    assert World(table).members("u > i", "u = i", "u > 18446744073709551614", "u < 99999999999999999999999999") == [[0], [1], [0], [0, 1]]


def test_decimals_of_any_scale_compare_exactly() -> None:
    table = pa.table(
        {
            "id": [0, 1, 2],
            "big": pa.array([Decimal(10**37), Decimal(0), Decimal(-(10**37))], pa.decimal128(38, 0)),
            "fine": pa.array([Decimal("0.5"), Decimal("1e-38"), Decimal("-0.5")], pa.decimal128(38, 38)),
        }
    )
    assert World(table).members("big > fine", "big < fine", "fine >= big", "big = big + 0") == [[0], [1, 2], [1, 2], [0, 1, 2]]


def test_beside_a_float_the_other_side_takes_its_width() -> None:
    assert column([0.1, 16777216.0], pa.float32()).members("x = 0.1", "x = 16777217") == [[0], [1]]
    assert column([0.1, 9007199254740992.0], pa.float64()).members("x = 0.1", "x = 9007199254740993") == [[0], [1]]
    mixed = pa.table({"id": [0], "single": pa.array([0.1], pa.float32()), "double": [0.1]})
    assert World(mixed).members("single = double", "double = 0.1") == [[], [0]]


def test_infinity_in_the_data_is_a_number_and_a_result_is_not() -> None:
    world = column([INF, -INF, NAN, 1e308, None], pa.float64())
    assert world.members("x > 5", "x is set", "x * 10 is set", "-x is set", "coalesce(x, 0) > 5", "1 / x = 0") == [
        [0, 3],
        [0, 1, 3],
        [],
        [3],
        [0, 3],
        [0, 1],
    ]


def test_an_event_at_the_first_instant_there_is_ends_no_run() -> None:
    when = pa.array([MIN, MIN, 0], pa.int64()).cast(pa.timestamp("us"))
    events = pa.table({"contact_id": [1, 2, 2], "at": when, "amount": [1, 2, 3]})
    world = World(pa.table({"id": [1, 2]}), [EventFrame(events, "contact_id", "at", event="order")])
    [earliest] = world.members("earliest(order.amount) is set")
    [others] = world.members("earliest(order.amount) is not set")
    assert 2 in earliest
    assert sorted(earliest + others) == [1, 2]


def test_rounding_is_half_away_from_zero() -> None:
    assert column([Decimal("2.5"), Decimal("-2.5"), Decimal("0.49")], pa.decimal128(3, 2)).members(
        "round(x) = 3", "round(x) = -3", "round(x) = 0"
    ) == [[0], [1], [2]]
    assert column([0.49999999999999994, -2.5], pa.float64()).members("round(x) = 0", "round(x) = -3", "floor(x) = -3") == [[0], [1], [1]]


def test_number_reads_nothing_but_numbers() -> None:
    texts = ["5", " +5.0 ", "5e0", "1_000", "inf", ".5", "5.", "0x10", "1e999", "5 5", "", None, "\t5"]
    assert column(texts, pa.string()).members("number(x) = 5", "number(x) is set") == [[0, 1, 2], [0, 1, 2]]


# ---------------------------------------------------------------- sums


def orders(values: list[Any], type: pa.DataType) -> World:
    """One contact with these amounts."""
    events = pa.table({"contact_id": [1] * len(values), "at": at(*["2026-06-01"] * len(values)), "amount": pa.array(values, type)})
    return World(pa.table({"id": [1]}), [EventFrame(events, "contact_id", "at", event="order")])


@pytest.mark.parametrize(
    ("values", "type", "rule"),
    [
        ([0.1] * 10, pa.float64(), "sum(order.amount) = 1"),
        ([0.1, 0.2, NAN, None], pa.float64(), "sum(order.amount) = 0.3"),
        ([5e-7, -5e-7, 4e-7], pa.float64(), "sum(order.amount) = 0"),
        ([5e-7], pa.float64(), "sum(order.amount) = 0.000001"),
        ([INF, 1.0], pa.float64(), "sum(order.amount) is not set and avg(order.amount) is not set and max(order.amount) > 5"),
        ([1e32, 1e32], pa.float64(), "sum(order.amount) is not set"),
        ([1e31, -1e31, 0.5], pa.float64(), "sum(order.amount) = 0.5"),
        ([1e15, 1e15, 0.25], pa.float64(), "sum(order.amount) = 2000000000000000.25"),
        ([MAX, MAX, MAX], pa.int64(), "sum(order.amount) = 27670116110564327421"),
        ([2**64 - 1] * 2, pa.uint64(), "sum(order.amount) = 36893488147419103230"),
        ([NINES] * 2, pa.decimal128(38, 0), "sum(order.amount) is not set"),
        ([NINES] * 3 + [NINES.copy_negate()] * 2, pa.decimal128(38, 0), f"sum(order.amount) = {NINES}"),
        ([Decimal("0.10")] * 3, pa.decimal128(12, 2), "sum(order.amount) = 0.3 and avg(order.amount) between 0.0999 and 0.1001"),
        ([None, NAN], pa.float64(), "sum(order.amount) = 0 and avg(order.amount) is not set and distinct(order.amount) = 0"),
        ([0.0, -0.0, 1.0, 1.0, None], pa.float64(), "distinct(order.amount) = 2 and min(order.amount) = 0 and max(order.amount) = 1"),
    ],
)  # fmt: skip
def test_sums_are_exact(values: list[Any], type: pa.DataType, rule: str) -> None:
    assert orders(values, type).members(rule) == [[1]], rule


def test_the_wide_decimals_add_and_leave_remainders_exactly(draws: Any) -> None:
    with localcontext() as context:
        context.prec = 120
        rows = [(Decimal(draws.randrange(10**38)).scaleb(-10), Decimal(draws.randrange(1, 10**38)).scaleb(-11)) for _ in range(60)]
        table = pa.table(
            {
                "id": list(range(60)),
                "a": pa.array([a for a, _ in rows], pa.decimal128(38, 10)),
                "b": pa.array([b for _, b in rows], pa.decimal128(38, 11)),
            }
        )
        fits = [a - b for a, b in rows]
        expected = [n for n, v in enumerate(fits) if abs(v) < Decimal(10) ** 27]
        assert World(table).members("a - b is set", "a % b is set") == [expected, list(range(60))]


def test_of_several_tables_the_parts_make_one_answer() -> None:
    def table(days: list[str], amounts: list[Any], type: pa.DataType) -> pa.Table:
        return pa.table({"contact_id": [1] * len(days), "at": at(*days), "amount": pa.array(amounts, type), "event": ["buy"] * len(days)})

    tables = [
        table(["2026-06-01", "2026-06-03"], [Decimal("1.50"), Decimal("2.50")], pa.decimal128(12, 2)),
        table(["2026-05-30", "2026-06-03"], [Decimal("2.5000"), Decimal(7)], pa.decimal128(20, 4)),
    ]
    world = World(pa.table({"id": [1, 2]}), [EventFrame(t, "contact_id", "at", "event") for t in tables])
    rules = [
        "sum(buy.amount) = 13.5", "count(buy) = 4", "distinct(buy.amount) = 3", "avg(buy.amount) = 3.375", "min(buy.amount) = 1.5",
        "latest(buy.amount) = 7", "earliest(buy.amount) = 2.5", "first(buy) = '2026-05-30'", "last(any_event) = '2026-06-03'",
    ]  # fmt: skip
    assert world.members(*rules) == [[1]] * len(rules)
    assert (
        world.members("count(buy) = 0", "sum(buy.amount) = 0", "avg(buy.amount) is not set", "latest(buy.amount) is not set") == [[2]] * 4
    )


JUNE = ["2026-06-01"] * 3


def test_the_property_on_the_last_event_may_be_missing() -> None:
    table = pa.table(
        {
            "contact_id": [1, 1, 2, 2, 2],
            "at": at("2026-06-01", "2026-06-02", *["2026-06-01"] * 3),
            "x": [5, None, None, 3, 4],
            "event": ["e"] * 5,
        }
    )
    world = World(pa.table({"id": [1, 2]}), [EventFrame(table, "contact_id", "at", "event")])
    assert world.members("latest(e.x) is set", "earliest(e.x) = 5", "latest(e.x) = 4", "earliest(e.x) = 4") == [[2], [1], [2], [2]]


# ---------------------------------------------------------------- text


def test_text_ignores_case_one_code_point_at_a_time() -> None:
    world = column(["İstanbul", "ΟΔΟΣ", "STRAẞE", "a%b_c", "A\nB", "", None], pa.string())
    assert world.members("x contains 'istan'", "x ends with 'οσ'", "x @> 'straße'", "lower(x) = 'οδοσ'") == [[0], [1], [2], [1]]
    assert world.members("x contains '%'", "x like 'a%'", "x ilike 'A_B%'", "x matches '(?i)a.b$'", "x matches '(?is)^a.b$'") == [
        [3],
        [3],
        [3, 4],
        [],
        [4],
    ]


def test_text_is_ordered_by_code_point_and_measured_in_them() -> None:
    world = column(["Z", "a", "é", "￿", "𐀀"], pa.string())
    assert world.members("x > 'a'", "x > '￿'", "length(x) = 1") == [[2, 3, 4], [4], [0, 1, 2, 3, 4]]


def test_trim_and_the_domain_of_an_address() -> None:
    world = column([" \t\r\nx@y.Z\n", "\u00a0x", " ", "a@b@c", "none", "x@"], pa.string())
    assert world.members("trim(x) is set", "trim(x) = 'x@y.Z'", "email_domain(trim(x)) = 'y.Z'") == [[0, 1, 3, 4, 5], [0], [0]]
    assert world.members("email_domain(x) = 'c'", "email_domain(x) is set") == [[3], [0, 3]]


def test_lists_hold_elements_compared_exactly() -> None:
    world = column([["uk", None], ["UK"], [], None, [""]], pa.list_(pa.string()))
    assert world.members("x contains 'UK'", "x is set", "length(x) = 0", "contains_all(x, 'uk', 'UK')", "contains_any(x, 'uk', 'UK')") == [
        [1],
        [0, 1, 2, 4],
        [2],
        [],
        [0, 1],
    ]
    numbers = column([[1, 2**53 + 1], [2]], pa.list_(pa.int64()))
    assert numbers.members("x contains 9007199254740993", "x contains 9007199254740992", "x contains 1.5", "x contains 2.0") == [
        [0],
        [],
        [],
        [1],
    ]


# ---------------------------------------------------------------- time


def test_nanoseconds_are_cut_to_microseconds_by_floor() -> None:
    world = column([-1, -1000, 999, 1000], pa.timestamp("ns"))
    assert world.members("x = '1969-12-31T23:59:59.999999Z'", "x = '1970-01-01T00:00:00Z'", "x = '1970-01-01T00:00:00.000001Z'") == [
        [0, 1],
        [2],
        [3],
    ]
    zoned = column([-1, 1999], pa.timestamp("ns", "Europe/London"))
    assert zoned.members("x = '1969-12-31T23:59:59.999999Z'", "x = '1970-01-01T00:00:00.000001Z'") == [[0], [1]]


@pytest.mark.parametrize(
    "type", [pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("us", "Asia/Tokyo")]
)
def test_instants_of_any_unit_are_utc(type: pa.DataType) -> None:
    moments = [
        datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC),
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
    ]
    table = pa.table({"id": [0, 1, 2], "x": pa.array([m if type.tz else m.replace(tzinfo=None) for m in moments], type)})
    world = World(table, zone="Europe/London")
    assert world.members("hour(x) = 0", "hour(x) = 2", "hour(x) = 1", "date(x) = '2026-03-29'", "weekday(x) = 7") == [
        [0],
        [1],
        [2],
        [0, 1],
        [0, 1, 2],
    ]


def test_an_event_time_that_is_a_date_is_its_first_instant_in_the_timezone() -> None:
    events = pa.table({"contact_id": [1, 2], "at": pa.array([date(2026, 6, 15), date(2026, 6, 16)]), "event": ["e", "e"]})
    apia = World(pa.table({"id": [1, 2]}), [EventFrame(events, "contact_id", "at", "event")], zone="Pacific/Apia")
    assert apia.members("did(e)", "last(e) = '2026-06-14T11:00:00Z'", "last(e) = '2026-06-15T11:00:00Z'") == [[1, 2], [1], [2]]
    london = World(pa.table({"id": [1, 2]}), [EventFrame(events, "contact_id", "at", "event")], zone="Europe/London")
    assert london.members("did(e)", "last(e) = '2026-06-14T23:00:00Z'") == [[1], [1]]


def test_windows_begin_after_and_end_at_as_of(shop: World) -> None:
    assert shop.members("did(order)", "count(order) = 1", "did(order, last => '30 days')", "did(order, since => ago('30 days'))") == [
        [1, 2, 4, 5], [1, 2, 4, 5], [1, 2, 4], [1, 2, 4, 5],
    ]  # fmt: skip


def test_the_next_anniversary_of_a_leap_day() -> None:
    world = column([date(2024, 2, 29), date(1990, 6, 15), date(1990, 6, 14)], pa.date32())
    assert world.members("next_anniversary(x) = '2027-02-28'", "next_anniversary(x) = today()", "next_anniversary(x) = '2027-06-14'") == [
        [0],
        [1],
        [2],
    ]


# ---------------------------------------------------------------- keys and samples


def test_a_sample_is_of_the_key_as_text() -> None:
    import hashlib

    keys = list(range(500))
    world = World(pa.table({"id": keys}))
    below = f"{int(0.1 * 16**15):015x}"
    expected = [key for key in keys if hashlib.md5(f"exp-7:{key}".encode()).hexdigest()[:15] < below]
    ten, twenty, everybody = world.members(
        "sample('10%', salt => 'exp-7')", "sample('20%', salt => 'exp-7')", "sample('100%', salt => 'exp-7')"
    )
    assert ten == expected
    assert set(ten) < set(twenty)
    assert everybody == keys


def test_names_and_values_are_data() -> None:
    names = ['a"b', "from", "$key", "$$key", "select * from x; --", "ü ñ", "a.b", "rowid", "$position"]
    table = pa.table({"id": [1, 2], **{name: ["x'); drop table t; --", "y"] for name in names}})
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    world = World(table)
    assert world.members(*(f"{name} = 'x''); drop table t; --'" for name in quoted)) == [[1]] * len(names)
    assert world.members(" and ".join(f"{name} contains 'Y'" for name in quoted)) == [[2]]
