"""Sentences about a contact's place among all contacts."""

from __future__ import annotations

from tests.oracle import language as lang
from tests.oracle.facts import FX, IX, NAN, TEXT, TX, agg, cmp, eq, fact, happening, n, pair, t, utc, y
from tests.oracle.language import INTEGER, Order


def top(number: str, by: lang.Value, **order: object) -> lang.Foremost:
    return lang.Foremost(number, Order(by, falling=True, **order))  # type: ignore[arg-type]


def bottom(number: str, by: lang.Value, **order: object) -> lang.Foremost:
    return lang.Foremost(number, Order(by, **order))  # type: ignore[arg-type]


def ntile(parts: int, by: lang.Value, **order: object) -> lang.Ntile:
    return lang.Ntile(parts, Order(by, **order))  # type: ignore[arg-type]


UK = eq(y(TEXT), t("UK"))

fact("top is the largest", [3, 9, 7, 1], "int32", top("2", IX), "top(2, by => x)", {2, 3})
fact("bottom is the smallest", [3, 9, 7, 1], "int32", bottom("2", IX), "bottom(2, by => x)", {1, 4})
fact("of equal ones the smaller key comes first", [5, 5, 5, 1], "int32", top("2", IX), "top(2, by => x)", {1, 2})
fact("also in bottom", [5, 5, 5, 9], "int32", bottom("2", IX), "bottom(2, by => x)", {1, 2})
fact("keys that are numbers compare as numbers", [5] * 10, "int32", top("9", IX), "top(9, by => x)", set(range(1, 10)))
fact("a contact whose `by` is missing is never in", [None, 3, None], "int32", top("3", IX), "top(3, by => x)", {2})
fact("and not of it is everybody else", [None, 3, 4], "int32", lang.Not(top("1", IX)), "not top(1, by => x)", {1, 2})
fact("NaN is missing", [NAN, 3.0, 4.0], "double", bottom("2", FX), "bottom(2, by => x)", {2, 3})
fact("infinity is a number", [float("inf"), 3.0], "double", top("1", FX), "top(1, by => x)", {1})
fact("-0.0 equals 0.0", [0.0, -0.0, 1.0], "double", bottom("1", FX), "bottom(1, by => x)", {1})
fact("a percent rounds up", [1, 2, 3, 4, 5], "int32", top("21%", IX), "top('21%', by => x)", {4, 5})
fact("a whole part stays", [1, 2, 3, 4, 5], "int32", top("20%", IX), "top('20%', by => x)", {5})
fact("a percent is of those who are in the order", [1, 2, None, None], "int32", top("50%", IX), "top('50%', by => x)", {2})
fact("100% is all of them", [1, None], "int32", top("100%", IX), "top('100%', by => x)", {1})
fact("text has an order by code point", ["Z", "a", "é"], "string", top("1", TX), "top(1, by => x)", {3})
pair(
    "among says who is put in order",
    ("int32", "string"),
    [(9, "US"), (5, "UK"), (3, "UK"), (4, None)],
    top("1", IX, among=UK),
    "top(1, by => x, among => y = 'UK')",
    {2},
)
pair(
    "per is an order for each value; whose value is missing is in none",
    ("int32", "string"),
    [(9, "US"), (5, "UK"), (3, "UK"), (99, None), (8, "US")],
    top("1", IX, per=y(TEXT)),
    "top(1, by => x, per => y)",
    {1, 2},
)
pair(
    "a percent is of each value's",
    ("int32", "string"),
    [(1, "UK"), (2, "UK"), (3, "UK"), (4, "US"), (5, "US")],
    top("50%", IX, per=y(TEXT)),
    "top('50%', by => x, per => y)",
    {2, 3, 5},
)
fact("ntile: 1 is the smallest", [30, 10, 20, 40], "int32", eq(ntile(2, IX), n("1")), "ntile(2, by => x) = 1", {2, 3})
fact("the first parts have one more", [1, 2, 3, 4, 5], "int32", eq(ntile(3, IX), n("2")), "ntile(3, by => x) = 2", {3, 4})
fact("equal values may be in two parts", [7, 7, 7, 7], "int32", eq(ntile(2, IX), n("2")), "ntile(2, by => x) = 2", {3, 4})
fact("more parts than contacts: the later ones are empty", [1, 2], "int32", cmp(ntile(5, IX), ">", n("1")), "ntile(5, by => x) > 1", {2})
fact("ntile is missing where `by` is", [1, None], "int32", lang.IsSet(ntile(2, IX), negated=True), "ntile(2, by => x) is not set", {2})
pair(
    "and outside `among`",
    ("int32", "string"),
    [(1, "UK"), (2, "US")],
    lang.IsSet(ntile(2, IX, among=UK)),
    "ntile(2, by => x, among => y = 'UK') is set",
    {1},
)
fact(
    "an order by another",
    [1, 2, 3, 4],
    "int32",
    bottom("1", IX, among=cmp(ntile(2, IX), "=", n("2"))),
    "bottom(1, by => x, among => ntile(2, by => x) = 2)",
    {3},
)
happening(
    "events put contacts in order; without any the sum is 0",
    "int32",
    [(1, "buy", utc("2024-06-01T00:00:00"), 5), (3, "buy", utc("2024-06-01T00:00:00"), -5)],
    top("2", agg("sum", INTEGER)),
    "top(2, by => sum(buy.p))",
    {1, 2},
    contacts=3,
)
