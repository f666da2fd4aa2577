"""Examples for what is written about time, events, samples and several tables."""

from __future__ import annotations

from datetime import date

from tests.oracle import language as lang
from tests.oracle.datasets import Column, Table
from tests.oracle.facts import (
    DX,
    FACTS,
    FX,
    MX,
    NY,
    Fact,
    P,
    X,
    agg,
    call,
    cmp,
    day,
    did,
    eq,
    fact,
    happening,
    instant,
    n,
    pair,
    t,
    utc,
    world,
    y,
)
from tests.oracle.language import DATE, FLOAT64, INTEGER, TEXT, Duration

# --- time: the window of events

AS_OF = utc("2024-06-15T12:00:00")
DAY = 86400 * 10**6
happening(
    "only events with at <= as_of exist", "string", [(1, "buy", AS_OF, "a"), (2, "buy", AS_OF + 1, "a"), (3, "buy", None, "a")], did(),
    "did(buy)", {1}, contacts=4,
)  # fmt: skip
happening("event names match exactly", "string", [(1, "Buy", 0, "a"), (2, "buy", 0, "a")], did(event="Buy"), "did(Buy)", {1})
happening(
    "any_event is every event", "string", [(1, "Buy", 0, "a"), (2, "sell", 0, "a")], did(event=None), "did(any_event)", {1, 2},
    contacts=3,
)  # fmt: skip
happening(
    "last is the half-open window (as_of - 30 days, as_of]", "string",
    [(1, "buy", AS_OF - 30 * DAY, "a"), (2, "buy", AS_OF - 30 * DAY + 1, "a"), (3, "buy", AS_OF, "a"), (4, "buy", AS_OF + 1, "a")],
    did(last=Duration(30, "day")), "did(buy, last => '30 days')", {2, 3}, contacts=4,
)  # fmt: skip
happening(
    "days are 24 hours, also where the clock changes", "string",
    [(1, "buy", utc("2024-03-30T12:00:00"), "a"), (2, "buy", utc("2024-03-30T12:00:01"), "a")], did(last=Duration(1, "day")),
    "did(buy, last => '1 day')", {2}, as_of="2024-03-31T12:00:00", zone="Europe/London",
)  # fmt: skip
happening(
    "months are calendar arithmetic in the workspace's timezone", "string",
    [(1, "buy", utc("2024-03-15T12:00:00"), "a"), (2, "buy", utc("2024-03-15T12:00:01"), "a")], did(last=Duration(1, "month")),
    "did(buy, last => '1 month')", {2}, as_of="2024-04-15T11:00:00", zone="Europe/London",
)  # fmt: skip
happening(
    "month arithmetic clamps to the last day", "string",
    [(1, "buy", utc("2024-02-29T12:00:00"), "a"), (2, "buy", utc("2024-02-29T12:00:01"), "a")], did(last=Duration(1, "month")),
    "did(buy, last => '1 month')", {2}, as_of="2024-03-31T12:00:00",
)  # fmt: skip
happening(
    "an event time that is a date is its first instant in the workspace's timezone", "string",
    [(1, "buy", date(2024, 6, 15), "a"), (2, "buy", date(2024, 6, 16), "a")], did(), "did(buy)", {1}, at="date32",
    as_of="2024-06-15T04:00:00", **NY,
)  # fmt: skip
happening(
    "which has not come one microsecond earlier", "string", [(1, "buy", date(2024, 6, 15), "a"), (2, "buy", date(2024, 6, 14), "a")],
    did(), "did(buy)", {2}, at="date32", as_of="2024-06-15T03:59:59.999999", **NY,
)  # fmt: skip
SINCE = instant("2024-06-01T00:00:00Z", "2024-06-01T00:00:00")
AROUND = [(i + 2, "buy", utc("2024-06-01T00:00:00") + i, "a") for i in (-1, 0, 1)]
happening("since begins with it", "string", AROUND, did(since=SINCE), "did(buy, since => '2024-06-01T00:00:00Z')", {2, 3}, contacts=3)
happening("until includes it", "string", AROUND, did(until=SINCE), "did(buy, until => '2024-06-01T00:00:00Z')", {1, 2}, contacts=3)
happening(
    "until a date includes that whole day", "string",
    [(1, "buy", utc("2024-06-02T03:59:59.999999"), "a"), (2, "buy", utc("2024-06-02T04:00:00"), "a")], did(until=day("2024-06-01")),
    "did(buy, until => '2024-06-01')", {1}, **NY,
)  # fmt: skip
happening(
    "since a date begins where it begins", "string",
    [(1, "buy", utc("2024-06-01T03:59:59.999999"), "a"), (2, "buy", utc("2024-06-01T04:00:00"), "a")], did(since=day("2024-06-01")),
    "did(buy, since => '2024-06-01')", {2}, **NY,
)  # fmt: skip
happening(
    "last, since and until together intersect", "string",
    [(1, "buy", AS_OF - 3 * DAY, "a"), (2, "buy", AS_OF - 1 * DAY, "a"), (3, "buy", AS_OF - 9 * DAY, "a")],
    did(last=Duration(7, "day"), until=lang.Ago(Duration(2, "day"))), "did(buy, last => '7 days', until => ago('2 days'))", {1},
    contacts=3,
)  # fmt: skip
happening(
    "count is 0 without such events", "string", [(1, "buy", 0, "a")], cmp(agg("count"), "<", n("3")), "count(buy) < 3", {1, 2, 3},
    contacts=3,
)  # fmt: skip
happening(
    "sum is 0 without such events", "int32", [(1, "buy", 0, 101)], cmp(agg("sum", INTEGER), "<=", n("100")), "sum(buy.p) <= 100", {2, 3},
    contacts=3,
)  # fmt: skip
happening("and not did holds for a contact without any", "string", [(1, "buy", 0, "a")], lang.Not(did()), "not did(buy)", {2})
happening(
    "first and last are instants", "string", [(1, "buy", 5, "a"), (1, "buy", 7, "a")],
    eq(agg("last"), instant("1970-01-01T00:00:00.000007Z", "1970-01-01T00:00:00.000007")), "last(buy) = '1970-01-01T00:00:00.000007Z'",
    {1},
)  # fmt: skip
happening("and missing without such events", "string", [(1, "buy", 5, "a")], lang.IsSet(agg("first")), "first(buy) is set", {1})
happening(
    "earliest is the property on the first event", "string", [(1, "buy", 7, "b"), (1, "buy", 5, "a")], eq(agg("earliest", TEXT), t("a")),
    "earliest(buy.p) = 'a'", {1},
)  # fmt: skip
happening(
    "missing if it is missing there", "string", [(1, "buy", 5, None), (1, "buy", 7, "b"), (2, "buy", 5, "a")],
    lang.IsSet(agg("earliest", TEXT)), "earliest(buy.p) is set", {2},
)  # fmt: skip
happening(
    "among events at one instant the largest value, missing being the smallest", "string",
    [(1, "buy", 5, "a"), (1, "buy", 5, "b"), (1, "buy", 5, None)], eq(agg("earliest", TEXT), t("b")), "earliest(buy.p) = 'b'", {1},
)  # fmt: skip
happening(
    "so for latest", "int32", [(1, "buy", 5, 9), (1, "buy", 7, 1), (1, "buy", 7, 3), (1, "buy", 7, None)],
    eq(agg("latest", INTEGER), n("3")), "latest(buy.p) = 3", {1},
)  # fmt: skip
happening(
    "contact.x is the contact's field", "string", [(1, "buy", 5, "a"), (2, "buy", 5, "b")],
    did(eq(P, lang.Field("x", TEXT, outer=True))), "did(buy, p = contact.x)", {1},
)  # fmt: skip

# --- time: fields

fact(
    "in the last, on a timestamp", [AS_OF - 30 * DAY, AS_OF - 30 * DAY + 1, AS_OF, AS_OF + 1, None], "timestamp",
    lang.Within(MX, Duration(30, "day")), "x in the last '30 days'", {2, 3},
)  # fmt: skip
fact(
    "in the next, on a timestamp, is (as_of, as_of + d]", [AS_OF, AS_OF + 1, AS_OF + 7 * DAY, AS_OF + 7 * DAY + 1], "timestamp",
    lang.Within(MX, Duration(7, "day"), ahead=True), "x in the next '7 days'", {2, 3},
)  # fmt: skip
fact(
    "on a date field the 30 days that end with today", [date(2024, 5, 16), date(2024, 5, 17), date(2024, 6, 15), date(2024, 6, 16)],
    "date32", lang.Within(DX, Duration(30, "day")), "x in the last '30 days'", {2, 3},
)  # fmt: skip
fact(
    "and the 7 days that begin with it", [date(2024, 6, 14), date(2024, 6, 15), date(2024, 6, 21), date(2024, 6, 22)], "date32",
    lang.Within(DX, Duration(7, "day"), ahead=True), "x in the next '7 days'", {2, 3},
)  # fmt: skip
fact(
    "also for months", [date(2024, 5, 15), date(2024, 5, 16), date(2024, 6, 15)], "date32", lang.Within(DX, Duration(1, "month")),
    "x in the last '1 month'", {2, 3},
)  # fmt: skip
fact(
    "today is the workspace's", [date(2024, 6, 14), date(2024, 6, 15)], "date32", eq(DX, lang.Today()), "x = today()", {1},
    as_of="2024-06-15T03:59:59", **NY,
)  # fmt: skip
BEGINS, ENDS = utc("2024-01-31T05:00:00"), utc("2024-02-01T05:00:00")
THAT_DAY = [BEGINS - 1, BEGINS, ENDS - 1, ENDS, None]
D = day("2024-01-31")
fact("after begins where the day ends", THAT_DAY, "timestamp", cmp(MX, ">", D), "x > '2024-01-31'", {4}, **NY)
fact("before ends where it begins", THAT_DAY, "timestamp", cmp(MX, "<", D), "x < '2024-01-31'", {1}, **NY)
fact("at least begins where it begins", THAT_DAY, "timestamp", cmp(MX, ">=", D), "x >= '2024-01-31'", {2, 3, 4}, **NY)
fact("at most ends where it ends", THAT_DAY, "timestamp", cmp(MX, "<=", D), "x <= '2024-01-31'", {1, 2, 3}, **NY)
fact(
    "so does the upper end of between", THAT_DAY, "timestamp", lang.Between(MX, D, D), "x between '2024-01-31' and '2024-01-31'", {2, 3},
    **NY,
)  # fmt: skip
fact("= is any instant within it", THAT_DAY, "timestamp", eq(MX, D), "x = '2024-01-31'", {2, 3}, **NY)
fact("!= is not =", THAT_DAY, "timestamp", cmp(MX, "!=", D), "x != '2024-01-31'", {1, 4, 5}, **NY)
fact("in is = of each", THAT_DAY, "timestamp", lang.In(MX, (D, day("2024-02-01"))), "x in ('2024-01-31', '2024-02-01')", {2, 3, 4}, **NY)
fact("the literal may stand first", THAT_DAY, "timestamp", cmp(D, "<", MX), "'2024-01-31' < x", {4}, **NY)
NINE = instant("2024-01-31 09:00", "2024-01-31T14:00:00")
AT_NINE = [utc("2024-01-31T14:00:00") + i for i in (-1, 0, 1)]
fact("before is strict", AT_NINE, "timestamp", cmp(MX, "<", NINE), "x < '2024-01-31 09:00'", {1}, **NY)
fact("after is strict", AT_NINE, "timestamp", cmp(MX, ">", NINE), "x > '2024-01-31 09:00'", {3}, **NY)
fact(
    "today() is a whole day beside a timestamp", [utc("2024-06-15T00:00:00"), utc("2024-06-16T00:00:00")], "timestamp",
    cmp(MX, ">", lang.Today()), "x > today()", {2},
)  # fmt: skip
fact(
    "a date field beside an instant is that date's first instant", [date(2024, 6, 13), date(2024, 6, 14), date(2024, 6, 15)], "date32",
    cmp(DX, ">", lang.Ago(Duration(36, "hour"))), "x > ago('36 hours')", {3}, as_of="2024-06-15T12:00:00",
)  # fmt: skip
fact(
    "at that instant it is equal", [date(2024, 6, 14)], "date32", eq(DX, lang.Ago(Duration(36, "hour"))), "x = ago('36 hours')", {1},
    as_of="2024-06-15T12:00:00",
)  # fmt: skip
fact(
    "date fields compare with date literals as dates", [date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 1)], "date32",
    cmp(DX, ">", D), "x > '2024-01-31'", {3}, **NY,
)  # fmt: skip
fact("date64 is a date", [date(2024, 1, 30), date(2024, 1, 31)], "date64", eq(DX, D), "x = '2024-01-31'", {2}, **NY)
fact("start_of week is Monday", [date(2024, 6, 10), date(2024, 6, 9)], "date32", eq(DX, lang.Today("week")), "x = start_of('week')", {1})
fact("start_of quarter", [date(2024, 4, 1), date(2024, 6, 1)], "date32", eq(DX, lang.Today("quarter")), "x = start_of('quarter')", {1})
fact(
    "start_of takes an offset", [date(2024, 5, 27), date(2024, 5, 28)], "date32", eq(DX, lang.Today("month", "-", Duration(5, "day"))),
    "x = start_of('month') - '5 days'", {1},
)  # fmt: skip
MARCH, APRIL = utc("2024-03-01T05:00:00"), utc("2024-04-01T04:00:00")
fact(
    "a calendar period is half-open, in the workspace's timezone", [MARCH - 1, MARCH, APRIL - 1, APRIL, None], "timestamp",
    lang.InPeriod(MX, "last month"), "x in last month", {2, 3}, as_of="2024-05-01T03:59:59.999999", **NY,
)  # fmt: skip
fact(
    "its opposite is everybody else", [MARCH - 1, MARCH, APRIL - 1, APRIL, None], "timestamp",
    lang.InPeriod(MX, "last month", negated=True), "x not in last month", {1, 4, 5}, as_of="2024-05-01T03:59:59.999999", **NY,
)  # fmt: skip
fact(
    "a microsecond later last month is another", [MARCH, APRIL - 1, APRIL], "timestamp", lang.InPeriod(MX, "last month"),
    "x in last month", {3}, as_of="2024-05-01T04:00:00", **NY,
)  # fmt: skip
SUNDAYS = [date(2024, 6, 8), date(2024, 6, 9), date(2024, 6, 10), date(2024, 6, 15), date(2024, 6, 16), date(2024, 6, 17)]
fact("weeks begin on Monday", SUNDAYS, "date32", lang.InPeriod(DX, "this week"), "x in this week", {3, 4, 5})
fact("or on the day that is said", SUNDAYS, "date32", lang.InPeriod(DX, "this week"), "x in this week", {2, 3, 4}, week_start="sunday")
fact("last week is the one before", SUNDAYS, "date32", lang.InPeriod(DX, "last week"), "x in last week", {1, 2})
fact("a future day is in next week", SUNDAYS, "date32", lang.InPeriod(DX, "next week"), "x in next week", {6})
fact(
    "yesterday, today and tomorrow are a day each", [date(2024, 6, 13), date(2024, 6, 14), date(2024, 6, 15), date(2024, 6, 16)], "date32",
    lang.Any_((lang.InPeriod(DX, "yesterday"), lang.InPeriod(DX, "tomorrow"))), "x is yesterday or x is tomorrow", {2, 4},
)  # fmt: skip
fact(
    "the last quarter of January is of the year before", [date(2023, 9, 30), date(2023, 10, 1), date(2023, 12, 31), date(2024, 1, 1)],
    "date32", lang.InPeriod(DX, "last quarter"), "x in last quarter", {2, 3}, as_of="2024-01-31T12:00:00",
)  # fmt: skip
fact(
    "next year is whole", [date(2024, 12, 31), date(2025, 1, 1), date(2025, 12, 31), date(2026, 1, 1)], "date32",
    lang.InPeriod(DX, "next year"), "x in next year", {2, 3},
)  # fmt: skip
happening(
    "during is a calendar period of events", "string",
    [(1, "buy", MARCH - 1, "a"), (2, "buy", MARCH, "a"), (3, "buy", APRIL - 1, "a"), (4, "buy", APRIL, "a")], did(during="last month"),
    "did(buy, during => 'last month')", {2, 3}, contacts=5, as_of="2024-04-10T12:00:00", **NY,
)  # fmt: skip
happening(
    "as far as it has come", "string", [(1, "buy", AS_OF, "a"), (2, "buy", AS_OF + 1, "a")], did(during="today"),
    "did(buy, during => 'today')", {1},
)  # fmt: skip
happening(
    "together with last", "string", [(1, "buy", AS_OF - 1 * DAY, "a"), (2, "buy", AS_OF - 9 * DAY, "a")],
    did(last=Duration(7, "day"), during="this month"), "did(buy, last => '7 days', during => 'this month')", {1},
)  # fmt: skip
fact("ahead", [AS_OF + DAY, AS_OF], "timestamp", eq(MX, lang.Ago(Duration(1, "day"), ahead=True)), "x = ahead('1 day')", {1})
fact("now() is as_of", [AS_OF, AS_OF + 1], "timestamp", eq(MX, lang.Now()), "x = now()", {1})
fact(
    "a local time that occurs twice is the earlier one", [utc("2024-10-27T00:30:00"), utc("2024-10-27T01:30:00")], "timestamp",
    eq(MX, instant("2024-10-27 01:30", "2024-10-27T00:30:00")), "x = '2024-10-27 01:30'", {1}, zone="Europe/London",
)  # fmt: skip
fact(
    "one that does not exist moves forward by the gap", [utc("2024-03-31T01:30:00"), utc("2024-03-31T00:30:00")], "timestamp",
    eq(MX, instant("2024-03-31 01:30", "2024-03-31T01:30:00")), "x = '2024-03-31 01:30'", {1}, zone="Europe/London",
)  # fmt: skip
fact(
    "a day whose midnight does not exist begins at one o'clock", [utc("2018-11-04T02:59:59.999999"), utc("2018-11-04T03:00:00")],
    "timestamp", eq(MX, day("2018-11-04")), "x = '2018-11-04'", {2}, zone="America/Sao_Paulo",
)  # fmt: skip
fact(
    "a day that a zone skipped is empty", [utc("2011-12-30T09:59:59.999999"), utc("2011-12-30T10:00:00")], "timestamp",
    eq(MX, day("2011-12-30")), "x = '2011-12-30'", set(), zone="Pacific/Apia",
)  # fmt: skip
fact(
    "hour is the workspace's", [utc("2024-07-01T03:30:00"), utc("2024-01-01T03:30:00")], "timestamp",
    eq(call("hour", INTEGER, MX), n("23")), "hour(x) = 23", {1}, **NY,
)  # fmt: skip
fact(
    "date() is the workspace's", [utc("2024-07-01T03:30:00"), utc("2024-07-01T04:30:00")], "timestamp",
    eq(call("date", DATE, MX), day("2024-07-01")), "date(x) = '2024-07-01'", {2}, **NY,
)  # fmt: skip
fact("Monday is 1", [date(2024, 6, 10), date(2024, 6, 16)], "date32", eq(call("weekday", INTEGER, DX), n("1")), "weekday(x) = 1", {1})
fact("Sunday is 7", [date(2024, 6, 10), date(2024, 6, 16)], "date32", eq(call("weekday", INTEGER, DX), n("7")), "weekday(x) = 7", {2})
fact(
    "next_anniversary is from today on", [date(1980, 6, 15), date(1980, 6, 14), date(1980, 6, 16)], "date32",
    cmp(call("next_anniversary", DATE, DX), "<", day("2025-01-01")), "next_anniversary(x) < '2025-01-01'", {1, 3},
)  # fmt: skip
fact(
    "29 Feb falls on 28 Feb", [date(1980, 2, 29), date(1980, 3, 1)], "date32", eq(call("next_anniversary", DATE, DX), day("2025-02-28")),
    "next_anniversary(x) = '2025-02-28'", {1},
)  # fmt: skip
pair(
    "distance_km is the great circle", ("double", "double"), [(48.8566, 2.3522), (51.5, -0.125), (None, 0.0)],
    lang.Between(call("distance_km", FLOAT64, FX, y(FLOAT64), n("51.5074"), n("-0.1278")), n("343"), n("344")),
    "distance_km(x, y, 51.5074, -0.1278) between 343 and 344", {1},
)  # fmt: skip

# --- sample: `printf exp-7:1 | md5sum` and so on begin 02c0aa, 241acf, cea45a, f6bf53, 45729d, c38f5c;
# of ffffff these are 1.1%, 14.1%, 80.8%, 96.4%, 27.1%, 76.4%

for share, inside in (("10", {1}), ("20", {1, 2}), ("30", {1, 2, 5}), ("80", {1, 2, 5, 6}), ("100", {1, 2, 3, 4, 5, 6})):
    fact("sample reads only the key", list("abcdef"), "string", lang.Sample(share, "exp-7"), f"sample('{share}%', salt => 'exp-7')", inside)

# --- several tables


def two_tables(sentence: str, condition: lang.Condition, text: str, members: set[int]) -> None:
    """Contact 1 has bought for 5 in one table and, without an amount, in the other; contact 2 only in the other; contact 3 nowhere."""
    shared = (Column("contact_id", "int64"), Column("at", "timestamp"), Column("event", "string"))
    with_amount = tuple({"contact_id": 1, "at": at, "event": "buy", "amount": 5} for at in (1, 2))
    without = tuple({"contact_id": c, "at": 3, "event": "buy", "coupon": "X"} for c in (1, 2))
    tables = (
        Table("contact_id", "at", (*shared, Column("amount", "int32")), with_amount, name="event"),
        Table("contact_id", "at", (*shared, Column("coupon", "string")), without, name="event"),
    )
    FACTS.append(Fact(sentence, world((X,), [("a",)] * 3, tables=tables), condition, text, members))


AMOUNT = lang.Field("amount", INTEGER)
two_tables("an event may be in several tables", eq(agg("count"), n("3")), "count(buy) = 3", {1})
two_tables(
    "a filter on any_event may name a column that only some tables have; elsewhere it is missing",
    eq(agg("count", None, cmp(AMOUNT, "!=", n("5")), event=None), n("1")), "count(any_event, amount != 5) = 1", {1, 2},
)  # fmt: skip
two_tables("and its property too", eq(agg("sum", INTEGER, prop="amount"), n("10")), "sum(buy.amount) = 10", {1})
