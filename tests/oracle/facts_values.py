"""Examples for what is written about types, missing values, numbers, sums and text."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from tests.oracle import language as lang
from tests.oracle.datasets import KINDS, STRUCT
from tests.oracle.facts import (
    D2,
    D10,
    FX,
    INF,
    IX,
    LX,
    MX,
    NAN,
    NY,
    SX,
    TX,
    P,
    agg,
    call,
    cmp,
    eq,
    fact,
    happening,
    instant,
    n,
    pair,
    t,
    utc,
    x,
    y,
)
from tests.oracle.language import FLOAT64, INTEGER, TEXT, Duration

# --- types

fact(
    "text: uuid, as lower-case hyphenated text", [UUID(int=255)], "uuid", eq(TX, t("00000000-0000-0000-0000-0000000000ff")),
    "x = '00000000-0000-0000-0000-0000000000ff'", {1},
)  # fmt: skip
fact("dictionary of strings", ["UK", "US"], "dictionary", eq(TX, t("UK")), "x = 'UK'", {1})
fact("numbers may have underscores", [1000, 1001], "int16", eq(IX, n("1_000")), "x = 1_000", {1})
fact(
    "nanoseconds are cut to microseconds", [utc("2024-01-31T09:00:00.000001") * 1000 + 999, utc("2024-01-31T09:00:00.000002") * 1000],
    "timestamp ns", eq(MX, instant("2024-01-31T09:00:00.000001Z", "2024-01-31T09:00:00.000001")), "x = '2024-01-31T09:00:00.000001Z'",
    {1},
)  # fmt: skip
fact(
    "a timestamp without a zone is UTC; a zone-less literal is read in the workspace's timezone",
    [utc("2024-01-31T09:00:00"), utc("2024-01-31T14:00:00")], "timestamp", eq(MX, instant("2024-01-31 09:00", "2024-01-31T14:00:00")),
    "x = '2024-01-31 09:00'", {2}, **NY,
)  # fmt: skip
fact("a boolean field is a condition by itself", [True, False, None], "bool", lang.IsTrue(x(lang.BOOLEAN)), "x", {1})
fact(
    "a boolean field is a condition by itself, and not is the rest", [True, False, None], "bool", lang.Not(lang.IsTrue(x(lang.BOOLEAN))),
    "not x", {2, 3},
)  # fmt: skip
fact(
    "a boolean that is missing does not equal true", [True, False, None], "bool", cmp(x(lang.BOOLEAN), "!=", lang.Flag(True)),
    "x != true", {2, 3},
)  # fmt: skip
fact("`true` is everybody", ["a", None], "string", lang.Constant(True), "true", {1, 2})

# --- missing values

PLACES = ["UK", "US", None, ""]
fact("a comparison with a missing value is false", PLACES, "string", eq(TX, t("UK")), "x = 'UK'", {1})
fact("!= is not =", PLACES, "string", cmp(TX, "!=", t("UK")), "x != 'UK'", {2, 3, 4})
fact("whoever wants otherwise says so", PLACES, "string", lang.All((cmp(TX, "!=", t("UK")), lang.IsSet(TX))), "x != 'UK' and x is set", {2})
fact("the same holds for not in", PLACES, "string", lang.In(TX, (t("UK"), t("FR")), negated=True), "x not in ('UK', 'FR')", {2, 3, 4})
fact("in", PLACES, "string", lang.In(TX, (t("UK"), t("US"))), "x in ('UK', 'US')", {1, 2})
fact("not contains", PLACES, "string", lang.Has("contains", TX, t("k"), negated=True), "x does not contain 'k'", {2, 3, 4})
fact("not matches", PLACES, "string", lang.Matches(TX, "K", negated=True), "x does not match 'K'", {2, 3, 4})
fact("not like", PLACES, "string", lang.Like(TX, "U%", ignore_case=False, negated=True), "x not like 'U%'", {3, 4})
fact("<= under not", [1, 7, None], "int32", lang.Not(cmp(IX, "<=", n("5"))), "not x <= 5", {2, 3})
fact("> is not that", [1, 7, None], "int32", cmp(IX, ">", n("5")), "x > 5", {2})
fact("not between", [1, 7, None], "int32", lang.Between(IX, n("0"), n("5"), negated=True), "x not between 0 and 5", {2, 3})
fact(
    "not in the last", [utc("2024-06-15T11:00:00"), None], "timestamp", lang.Within(MX, Duration(1, "day"), negated=True),
    "x not in the last '1 day'", {2},
)  # fmt: skip
fact("every function", [" a", None, "  "], "string", lang.Not(eq(call("trim", TEXT, TX), t("a"))), "not trim(x) = 'a'", {2, 3})
happening(
    "per event row: counts rows without a coupon", "string",
    [(1, "buy", 0, "X"), (1, "buy", 0, "Z"), (1, "buy", 0, None), (1, "buy", 0, ""), (2, "buy", 0, "X")],
    eq(agg("count", None, cmp(P, "!=", t("X"))), n("3")), "count(buy, p != 'X') = 3", {1},
)  # fmt: skip
fact("is set is false for NULL and the empty text", ["a", " ", None, ""], "string", lang.IsSet(TX), "x is set", {1, 2})
fact("is set is false for NULL and NaN", [1.5, INF, None, NAN], "double", lang.IsSet(FX), "x is set", {1, 2})
fact("is not set", [1.5, None, NAN], "double", lang.IsSet(FX, negated=True), "x is not set", {2, 3})
fact("an empty list is a value", [["a"], [], None], "texts", lang.IsSet(LX), "x is set", {1, 2})
fact("what trims to the empty text is missing", ["a", "  ", None], "string", lang.IsSet(call("trim", TEXT, TX)), "trim(x) is set", {1})
fact("nan > 5 is false, an infinite value is a number", [NAN, INF, -INF, 6.0], "double", cmp(FX, ">", n("5")), "x > 5", {2, 4})
fact("infinity equals itself, NaN nothing", [NAN, INF, 1.0], "double", eq(FX, FX), "x = x", {2, 3})
fact("arithmetic with a missing value is missing", [1, None], "int64", lang.IsSet(lang.Arithmetic("+", IX, n("1"))), "x + 1 is set", {1})
fact("division by zero is missing", [2, 0], "int64", cmp(lang.Arithmetic("/", n("1"), IX), "<", n("5")), "1 / x < 5", {1})
fact("a remainder by zero is missing", [2, 0], "int64", lang.IsSet(lang.Arithmetic("%", n("5"), IX)), "5 % x is set", {1})
fact("so is one of floats", [2.0, 0.0, -0.0], "double", lang.IsSet(lang.Arithmetic("%", n("5"), FX)), "5 % x is set", {1})
fact(
    "bigint + 1 does not raise and is exact", [2**63 - 1], "int64", eq(lang.Arithmetic("+", IX, n("1")), n("9223372036854775808")),
    "x + 1 = 9223372036854775808", {1},
)  # fmt: skip
fact("an infinite result is missing", [1e308, 1.0, INF], "double", lang.IsSet(lang.Arithmetic("*", FX, n("10"))), "x * 10 is set", {2})
fact("a NaN result is missing", [INF, 1.0], "double", lang.IsSet(lang.Arithmetic("-", FX, FX)), "x - x is set", {2})
fact(
    "a value of more than 38 digits is missing", [Decimal("9999999999999999999999999999.0000000000"), Decimal("1.0000000000")],
    "decimal38", lang.IsSet(lang.Arithmetic("*", D10, n("10"))), "x * 10 is set", {2},
)  # fmt: skip
fact(
    "the scale of a product is s1 + s2, so one digit more than 38 is missing",
    [Decimal("9999999999999999999999999999.0000000000"), Decimal("1.0000000000")], "decimal38",
    lang.IsSet(lang.Arithmetic("*", D10, n("1.5"))), "x * 1.5 is set", {2},
)  # fmt: skip
fact(
    "a product that fits in 38 digits is exact", [Decimal("9999999999999999999999999999.0000000001")], "decimal38",
    eq(lang.Arithmetic("*", D10, n("1")), n("9999999999999999999999999999.0000000001")),
    "x * 1 = 9999999999999999999999999999.0000000001", {1},
)  # fmt: skip
fact("a failed number() is missing", ["5", "5x"], "string", lang.IsSet(call("number", FLOAT64, TX)), "number(x) is set", {1})
happening(
    "aggregates skip missing values", "double", [(1, "buy", 0, 4.0), (1, "buy", 0, None), (1, "buy", 0, NAN), (2, "buy", 0, NAN)],
    eq(agg("avg", FLOAT64), n("4")), "avg(buy.p) = 4", {1},
)  # fmt: skip
happening("sum is 0 if none is left", "double", [(1, "buy", 0, NAN)], eq(agg("sum", FLOAT64), n("0")), "sum(buy.p) = 0", {1, 2})
happening(
    "avg is missing if none is left", "double", [(1, "buy", 0, NAN)], lang.IsSet(agg("avg", FLOAT64), negated=True),
    "avg(buy.p) is not set", {1, 2},
)  # fmt: skip
happening(
    "min is missing if none is left", "string", [(1, "buy", 0, ""), (2, "buy", 0, "a")], lang.IsSet(agg("min", TEXT)),
    "min(buy.p) is set", {2},
)  # fmt: skip
happening(
    "distinct does not count missing", "string", [(1, "buy", 0, "a"), (1, "buy", 1, "a"), (1, "buy", 0, ""), (1, "buy", 0, None)],
    eq(agg("distinct", TEXT), n("1")), "distinct(buy.p) = 1", {1},
)  # fmt: skip

# --- numbers

fact("integers compare exactly", [2**53 + 1, 2**53], "int64", cmp(IX, ">", n("9007199254740992")), "x > 9007199254740992", {1})
fact("uint64 too", [2**64 - 1, 5], "uint64", eq(IX, n("18446744073709551615")), "x = 18446744073709551615", {1})
fact(
    "beside a decimal a literal stays exact", [Decimal("0.10")], "decimal12", eq(D2, n("0.1000000000000000001")),
    "x = 0.1000000000000000001", set(),
)  # fmt: skip
fact("decimals compare by value", [Decimal("0.10")], "decimal12", eq(D2, n("0.1")), "x = 0.1", {1})
pair(
    "integers and decimals compare exactly with each other", ("int64", "decimal38"),
    [(2**62 + 1, Decimal(2**62 + 1)), (2**62 + 1, Decimal(2**62))], eq(IX, y(lang.exact(10))), "x = y", {1},
)  # fmt: skip
fact("beside a 32-bit float the literal becomes one", [float.fromhex("0x1.99999ap-4")], "float", eq(SX, n("0.1")), "x = 0.1", {1})
fact("beside a 64-bit float the literal becomes one", [0.1, 0.30000000000000004], "double", eq(FX, n("0.1")), "x = 0.1", {1})
pair(
    "of two float columns the wider decides", ("float", "double"), [(float.fromhex("0x1.99999ap-4"), 0.1), (0.5, 0.5)],
    eq(SX, y(FLOAT64)), "x = y", {2},
)  # fmt: skip
pair("an integer beside a 64-bit float becomes one", ("int64", "double"), [(2**53 + 1, 2.0**53)], eq(IX, y(FLOAT64)), "x = y", {1})
pair("an integer beside a 32-bit float becomes one", ("int32", "float"), [(2**24 + 1, 2.0**24)], eq(IX, y(lang.FLOAT32)), "x = y", {1})
fact("`/` gives a 64-bit float", [7, 1], "int32", eq(lang.Arithmetic("/", IX, n("2")), n("3.5")), "x / 2 = 3.5", {1})
fact("a third in 64 bits", [1], "int32", eq(lang.Arithmetic("/", IX, n("3")), n("0.3333333333333333")), "x / 3 = 0.3333333333333333", {1})
fact("sums of decimals are exact", [Decimal("0.10")], "decimal12", eq(lang.Arithmetic("+", D2, n("0.2")), n("0.3")), "x + 0.2 = 0.3", {1})
fact("products of decimals are exact", [Decimal("1.11")], "decimal12", eq(lang.Arithmetic("*", D2, D2), n("1.2321")), "x * x = 1.2321", {1})
fact("% takes the dividend's sign", [-7, 7], "int32", eq(lang.Arithmetic("%", IX, n("3")), n("-1")), "x % 3 = -1", {1})
fact(
    "% takes the dividend's sign, whatever the divisor's", [-7, 7], "int32", eq(lang.Arithmetic("%", IX, n("-3")), n("1")), "x % -3 = 1",
    {2},
)  # fmt: skip
fact("% of decimals", [Decimal("5.50")], "decimal12", eq(lang.Arithmetic("%", D2, n("2")), n("1.5")), "x % 2 = 1.5", {1})
TEXTS = ["5.5", " 5.5 ", "+5.5", "55e-1", "0.55e+1", "-5.5", "5.5.", "5,5", "5.5 x", "", None, "0x5", "nan", "5_5", "\t5.5", "٥"]
fact("number() reads what it says", TEXTS, "string", eq(call("number", FLOAT64, TX), n("5.5")), "number(x) = 5.5", {1, 2, 3, 4, 5})
fact(
    "and nothing else", [*TEXTS, ".5", "5.", "e5", "inf", "1e999"], "string", lang.IsSet(call("number", FLOAT64, TX)),
    "number(x) is set", {1, 2, 3, 4, 5, 6},
)  # fmt: skip
fact(
    "round goes half away from zero", [2.5, -2.5, 0.5, 2.4, 0.49999999999999994], "double", eq(call("round", FLOAT64, FX), n("3")),
    "round(x) = 3", {1},
)  # fmt: skip
fact(
    "round goes half away from zero below it", [2.5, -2.5, -3.4], "double", eq(call("round", FLOAT64, FX), n("-3")), "round(x) = -3",
    {2, 3},
)  # fmt: skip
fact(
    "round does not round a double up that is below a half", [0.49999999999999994, 0.5], "double",
    eq(call("round", FLOAT64, FX), n("0")), "round(x) = 0", {1},
)  # fmt: skip
fact(
    "round of decimals", [Decimal("2.50"), Decimal("2.49"), Decimal("-2.50")], "decimal12", eq(call("round", INTEGER, D2), n("3")),
    "round(x) = 3", {1},
)  # fmt: skip
fact("floor", [Decimal("-2.50"), Decimal("-3.00")], "decimal12", eq(call("floor", INTEGER, D2), n("-3")), "floor(x) = -3", {1, 2})
fact("ceil", [-2.5, 2.5], "double", eq(call("ceil", FLOAT64, FX), n("-2")), "ceil(x) = -2", {1})
fact(
    "abs of the least integer does not raise", [-(2**63), 5], "int64", eq(call("abs", INTEGER, IX), n("9223372036854775808")),
    "abs(x) = 9223372036854775808", {1},
)  # fmt: skip
fact(
    "coalesce takes the first that is set", [None, 7], "int32", eq(call("coalesce", INTEGER, IX, n("5")), n("5")), "coalesce(x, 5) = 5",
    {1},
)  # fmt: skip
fact(
    "coalesce passes over the empty text", ["", "a"], "string", eq(call("coalesce", TEXT, TX, t("b")), t("b")), "coalesce(x, 'b') = 'b'",
    {1},
)  # fmt: skip

# --- sums

happening(
    "sums are exact: a float is taken as round(x * 10^6)", "double",
    [(1, "buy", 0, 0.1), (1, "buy", 0, 0.2), (2, "buy", 0, 0.30000000000000004)], eq(agg("sum", FLOAT64), n("0.3")), "sum(buy.p) = 0.3",
    {1, 2},
)  # fmt: skip
happening(
    "half away from zero", "double", [(1, "buy", 0, 0.0000005), (2, "buy", 0, 0.0000004)], eq(agg("sum", FLOAT64), n("0.000001")),
    "sum(buy.p) = 0.000001", {1},
)  # fmt: skip
happening(
    "order does not matter", "double", [(1, "buy", 0, 1e15), (1, "buy", 0, 0.25), (1, "buy", 0, -1e15)],
    eq(agg("sum", FLOAT64), n("0.25")), "sum(buy.p) = 0.25", {1},
)  # fmt: skip
happening(
    "if any value is infinite, the sum is missing", "double", [(1, "buy", 0, INF), (1, "buy", 0, 1.0), (2, "buy", 0, 1.0)],
    lang.IsSet(agg("sum", FLOAT64)), "sum(buy.p) is set", {2},
)  # fmt: skip
happening(
    "if any value is outside DECIMAL(38), the sum is missing", "double", [(1, "buy", 0, 1.1e32), (2, "buy", 0, 9.9e31)],
    lang.IsSet(agg("sum", FLOAT64)), "sum(buy.p) is set", {2},
)  # fmt: skip
happening(
    "avg of it is missing too", "double", [(1, "buy", 0, INF), (1, "buy", 0, 1.0)], lang.IsSet(agg("avg", FLOAT64)), "avg(buy.p) is set",
    set(),
)  # fmt: skip
happening(
    "integers add exactly", "int64", [(1, "buy", 0, 2**63 - 1)] * 2, eq(agg("sum", INTEGER), n("18446744073709551614")),
    "sum(buy.p) = 18446744073709551614", {1},
)  # fmt: skip
happening(
    "avg is that sum divided by the count", "int64", [(1, "buy", 0, 1), (1, "buy", 0, 2)], eq(agg("avg", INTEGER), n("1.5")),
    "avg(buy.p) = 1.5", {1},
)  # fmt: skip

# --- text

fact("= compares exactly", ["uk", "UK", "UK "], "string", eq(TX, t("UK")), "x = 'UK'", {2})
fact("in compares exactly", ["uk", "UK"], "string", lang.In(TX, (t("UK"),)), "x in ('UK')", {2})
fact("elements of a list compare exactly", [["uk"], ["UK", None], [""]], "texts", lang.Has("contains", LX, t("UK")), "x @> 'UK'", {2})
fact("contains ignores case", ["aUKb", "aukb", "u k"], "string", lang.Has("contains", TX, t("Uk")), "x @> 'Uk'", {1, 2})
fact("starts with ignores case", ["UKb", "aukb"], "string", lang.Has("starts", TX, t("uk")), "x ^@ 'uk'", {1})
fact("ends with ignores case", ["UKb", "auK"], "string", lang.Has("ends", TX, t("Uk")), "x ends with 'Uk'", {2})
fact("İ to i always", ["İSTANBUL", "istanbul", "ıstanbul"], "string", lang.Has("contains", TX, t("istan")), "x @> 'istan'", {1, 2})
fact("Σ to σ always, also at a word's end", ["ΟΔΟΣ", "οδος"], "string", eq(call("lower", TEXT, TX), t("οδοσ")), "lower(x) = 'οδοσ'", {1})
fact("one to one: ß is not ss, ẞ is ß", ["STRASSE", "STRAẞE"], "string", lang.Has("contains", TX, t("straße")), "x @> 'straße'", {2})
fact("no normalisation", ["é", "e\u0301"], "string", eq(TX, t("é")), "x = 'é'", {1})
fact("order is by code point", ["Z", "a", "é", "\uff61", "😀"], "string", cmp(TX, ">", t("\uff00")), "x > '\uff00'", {4, 5})
fact("order is by code point, capitals first", ["Z", "a"], "string", cmp(TX, "<", t("a")), "x < 'a'", {1})
fact(
    "length counts code points", ["😀", "e\u0301", "ab", "", None], "string", eq(call("length", INTEGER, TX), n("2")), "length(x) = 2",
    {2, 3},
)  # fmt: skip
fact("the empty text's length is missing", ["a", ""], "string", cmp(call("length", INTEGER, TX), "<", n("5")), "length(x) < 5", {1})
fact(
    "length of a list counts its elements", [["a", None], [], None], "texts", eq(call("length", INTEGER, LX), n("2")), "length(x) = 2",
    {1},
)  # fmt: skip
fact(
    "trim takes space, tab, CR and LF", [" \t\r\nUK ", "\u00a0UK", "\vUK"], "string", eq(call("trim", TEXT, TX), t("UK")),
    "trim(x) = 'UK'", {1},
)  # fmt: skip
fact("matches is unanchored", ["xUKx", "UK"], "string", lang.Matches(TX, "UK"), "x ~ 'UK'", {1, 2})
fact("matches is case-sensitive", ["uk", "UK"], "string", lang.Matches(TX, "UK"), "x ~ 'UK'", {2})
fact("unless it begins with (?i)", ["uk", "UK"], "string", lang.Matches(TX, "(?i)uk"), "x ~ '(?i)uk'", {1, 2})
fact("$ is the text's end", ["UK", "UK\n"], "string", lang.Matches(TX, "K$"), "x ~ 'K$'", {1})
fact(". is no line feed", ["a.b", "a\nb"], "string", lang.Matches(TX, "a.b"), "x ~ 'a.b'", {1})
fact("like has no escape character", ["a\\b", "a%"], "string", lang.Like(TX, "a\\%", ignore_case=False), "x like 'a\\%'", {1})
fact("like is case-sensitive", ["Ab", "ab"], "string", lang.Like(TX, "a_", ignore_case=False), "x like 'a_'", {2})
fact("ilike is not", ["Ab", "ab", "abc"], "string", lang.Like(TX, "a_", ignore_case=True), "x ilike 'a_'", {1, 2})
fact(
    "email_domain", ["ann@example.com", "x", "a@b@example.com"], "string", eq(call("email_domain", TEXT, TX), t("example.com")),
    "email_domain(x) = 'example.com'", {1, 3},
)  # fmt: skip
fact(
    "contains_any", [["a", "b"], ["c"], [], None], "texts", lang.ListHas(LX, (t("b"), t("z")), every=False), "contains_any(x, 'b', 'z')",
    {1},
)  # fmt: skip
fact(
    "contains_all", [["a", "b"], ["b"], [], None], "texts", lang.ListHas(LX, (t("a"), t("b")), every=True), "contains_all(x, 'a', 'b')",
    {1},
)  # fmt: skip
fact(
    "at_least is k of n", [5, 7, 1], "int32", lang.AtLeast(2, (cmp(IX, ">", n("2")), cmp(IX, ">", n("4")), cmp(IX, ">", n("6")))),
    "at_least(2, x > 2, x > 4, x > 6)", {1, 2},
)  # fmt: skip

# --- the elements of lists

ELEMENT = lang.Element(TEXT)
VIP = lang.Has("starts", ELEMENT, t("VIP"))
LISTS = [["vip-1", "x"], ["x"], [], None, [None, ""]]
fact("any: for an element", LISTS, "texts", lang.Each("any", LX, (VIP,)), "any(x, element ^@ 'VIP')", {1})
fact(
    "not any: also who has no list", LISTS, "texts", lang.Not(lang.Each("any", LX, (VIP,))), "not any(x, element ^@ 'VIP')",
    {2, 3, 4, 5},
)  # fmt: skip
fact("none: of a list", LISTS, "texts", lang.Each("none", LX, (VIP,)), "none(x, element ^@ 'VIP')", {2, 3, 5})
fact(
    "all of an empty list, none of a missing one", LISTS, "texts", lang.Each("all", LX, (lang.IsSet(ELEMENT),)), "all(x, element is set)",
    {1, 2, 3},
)  # fmt: skip
fact(
    "a missing element is an element", LISTS, "texts", eq(lang.HowMany(LX, (cmp(ELEMENT, "!=", t("x")),)), n("2")),
    "how_many(x, element != 'x') = 2", {5},
)  # fmt: skip
fact(
    "of a missing list there is no number", LISTS, "texts", cmp(lang.HowMany(LX, (eq(ELEMENT, t("x")),)), "<", n("1")),
    "how_many(x, element = 'x') < 1", {3, 5},
)  # fmt: skip
fact(
    "all conditions are of the same element", [["ab", "cd"], ["ad"], ["xx", "a d"]], "texts",
    lang.Each("any", LX, (lang.Has("starts", ELEMENT, t("a")), lang.Has("ends", ELEMENT, t("d")))),
    "any(x, element ^@ 'a', element ends with 'd')", {2, 3},
)  # fmt: skip
ONE = lang.Element(FLOAT64)
fact(
    "NaN is a missing element", [[1.0, NAN], [2.0], []], "doubles",
    lang.Each("any", x(lang.Type("list", element=FLOAT64)), (lang.IsSet(ONE, negated=True),)), "any(x, element is not set)", {1},
)  # fmt: skip
pair(
    "an element beside a field", ("texts", "string"), [(["a", "b"], "b"), (["a"], "b"), (["a"], None)],
    lang.Each("any", LX, (eq(ELEMENT, y(TEXT)),)), "any(x, element = y)", {1},
)  # fmt: skip
pair(
    "a list within a condition on another", ("texts", "texts"), [(["a"], ["b", "a"]), (["c"], []), ([], ["z"])],
    lang.Each("any", LX, (lang.Each("none", y(lang.Type("list", element=TEXT)), (eq(ELEMENT, t("b")),)),)),
    "any(x, none(y, element = 'b'))", {2},
)  # fmt: skip

# --- structs


def within(name: str, type_: lang.Type, of: lang.Value | None = None) -> lang.Part:
    return lang.Part(of or x(KINDS["struct"][1]), name, type_)


def struct(**fields: object) -> dict[str, object]:
    return dict.fromkeys(STRUCT) | {name.replace("_", " "): value for name, value in fields.items()}


STRUCTS = [struct(sku="A", qty=2), struct(sku="", qty=5), None]
fact("a field of a struct", STRUCTS, "struct", eq(within("sku", TEXT), t("A")), "x.sku = 'A'", {1})
fact("a missing struct has missing fields", STRUCTS, "struct", cmp(within("sku", TEXT), "!=", t("A")), "x.sku != 'A'", {2, 3})
fact(
    "a name with a space is quoted there too", [struct(Unit_Price=Decimal("1.50")), struct(), None], "struct",
    lang.IsSet(within("Unit Price", lang.exact(2))), 'x."Unit Price" is set', {1},
)  # fmt: skip
STRUCTURED = lang.Element(KINDS["struct"][1])
MANY = cmp(within("qty", INTEGER, STRUCTURED), ">", n("5"))
fact(
    "elements that are structs", [[struct(sku="A", qty=1), struct(sku="B", qty=9)], [struct(sku="A", qty=9)], [None], [], None], "structs",
    lang.Each("any", x(KINDS["structs"][1]), (eq(within("sku", TEXT, STRUCTURED), t("A")), MANY)),
    "any(x, element.sku = 'A', element.qty > 5)", {2},
)  # fmt: skip
fact(
    "an element that is missing has no fields", [[None, struct(sku="A")], [None], [], None], "structs",
    eq(lang.HowMany(x(KINDS["structs"][1]), (lang.IsSet(within("sku", TEXT, STRUCTURED), negated=True),)), n("1")),
    "how_many(x, element.sku is not set) = 1", {1, 2},
)  # fmt: skip
