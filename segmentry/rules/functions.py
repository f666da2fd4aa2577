"""The functions of the language: one table that the checker, the documentation and completion all read.

Adding a plain scalar function is one row here, one row in the engine's lowering, and one line in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from segmentry.rules.types import DATE, FLOAT64, TEXT, Kind, Type, exact


class Group(StrEnum):
    """What a function belongs to; the documentation has a table for each."""

    TEXT = "Text"
    NUMBER = "Numbers"
    CLOCK = "Instants and dates of the run"
    CALENDAR = "Calendar"
    LIST = "Lists"
    OPERATOR = "Operators written as functions"
    CONDITION = "Conditions"
    EVENT = "Events"
    SEGMENT = "Segments"
    POPULATION = "Populations"


class TimeClass(StrEnum):
    """How an answer may change though no data did."""

    NONE = "no"
    WINDOW = "window"
    """An event becomes visible, or leaves the window."""
    EDGE = "edge"
    """It flips at instants that can be computed from the data."""
    OPAQUE = "opaque"
    """Every contact must be computed again."""


Kinds = tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """One function. `takes` and `gives` are set for the plain ones, whose arguments are values of fixed kinds."""

    name: str
    group: Group
    signature: str
    missing: str
    doc: str
    takes: tuple[Kinds, ...] = ()
    gives: Callable[[Type], Type] | None = None
    """The type of the result, of the first argument's type."""
    keywords: tuple[str, ...] = ()
    is_condition: bool = False
    time: TimeClass = TimeClass.NONE
    available: bool = True
    """False: known to the language, but not in this version."""


def _whole(of: Type) -> Type:
    """A number rounded to whole: one digit more may be needed (9.5 becomes 10)."""
    return exact(of.precision - of.scale + 1) if of.is_exact and of.scale else of


def _always(result: Type) -> Callable[[Type], Type]:
    return lambda _: result


NUMBERS: Kinds = (Kind.NUMBER,)
TEXTS: Kinds = (Kind.TEXT,)
DAYS: Kinds = (Kind.DATE, Kind.TIMESTAMP)
WINDOW_KEYWORDS = ("last", "since", "until", "during")
POPULATION_KEYWORDS = ("by", "among", "per")
IF_MISSING = "missing if `x` is"
NO_EVENTS_MISSING = "missing without such events"

_ROWS = (
    # ------------------------------------------------------------ text
    Function("lower", Group.TEXT, "lower(x)", IF_MISSING, "each code point in simple lower case", (TEXTS,), _always(TEXT)),
    Function("trim", Group.TEXT, "trim(x)",
             IF_MISSING + " or nothing is left", "without spaces, tabs and line ends at both ends", (TEXTS,), _always(TEXT)),
    Function("length", Group.TEXT, "length(x)",
             IF_MISSING, "the code points of a text, or the elements of a list", ((Kind.TEXT, Kind.LIST),), _always(exact(10))),
    Function("email_domain", Group.TEXT, "email_domain(x)",
             IF_MISSING + " or has no `@`", "what follows the last `@`", (TEXTS,), _always(TEXT)),
    # ------------------------------------------------------------ numbers
    Function("abs", Group.NUMBER, "abs(x)", IF_MISSING, "without its sign", (NUMBERS,), lambda x: x),
    Function("round", Group.NUMBER, "round(x)", IF_MISSING, "the nearest whole number, a half away from zero", (NUMBERS,), _whole),
    Function("floor", Group.NUMBER, "floor(x)", IF_MISSING, "the whole number at or below", (NUMBERS,), _whole),
    Function("ceil", Group.NUMBER, "ceil(x)", IF_MISSING, "the whole number at or above", (NUMBERS,), _whole),
    Function("number", Group.NUMBER, "number(text)",
             "missing if the text is no number", "a text read as a 64-bit float", (TEXTS,), _always(FLOAT64)),
    Function("coalesce", Group.NUMBER, "coalesce(a, b, ...)", "missing if all are", "the first that is not missing"),
    Function("distance_km", Group.NUMBER, "distance_km(lat, lon, lat0, lon0)", "missing if any of them is",
             "great-circle distance in kilometres, earth radius 6,371.0088 km", (NUMBERS,) * 4, _always(FLOAT64)),
    # ------------------------------------------------------------ the run's clock
    Function("now", Group.CLOCK, "now()", "never", "the run's instant", time=TimeClass.EDGE),
    Function("ago", Group.CLOCK, "ago('30 days')", "never", "the run's instant, moved back", time=TimeClass.EDGE),
    Function("ahead", Group.CLOCK, "ahead('7 days')", "never", "the run's instant, moved forward", time=TimeClass.EDGE),
    Function("today", Group.CLOCK, "today()",
             "never", "the run's day in the workspace's timezone; `± '5 days'` moves it", time=TimeClass.EDGE),
    Function("start_of", Group.CLOCK, "start_of('week')", "never",
             "the first day of this `week`, `month`, `quarter` or `year`; `± '5 days'` moves it", time=TimeClass.EDGE),
    # ------------------------------------------------------------ calendar
    Function("date", Group.CALENDAR, "date(x)", IF_MISSING, "the day of an instant, in the workspace's timezone", (DAYS,), _always(DATE)),
    Function("year", Group.CALENDAR, "year(x)", IF_MISSING, "the year", (DAYS,), _always(exact(7))),
    Function("month", Group.CALENDAR, "month(x)", IF_MISSING, "1 to 12", (DAYS,), _always(exact(2))),
    Function("day", Group.CALENDAR, "day(x)", IF_MISSING, "1 to 31", (DAYS,), _always(exact(2))),
    Function("weekday", Group.CALENDAR, "weekday(x)", IF_MISSING, "1 (Monday) to 7 (Sunday)", (DAYS,), _always(exact(2))),
    Function("hour", Group.CALENDAR, "hour(x)", IF_MISSING, "0 to 23", ((Kind.TIMESTAMP,),), _always(exact(2))),
    Function("next_anniversary", Group.CALENDAR, "next_anniversary(x)", IF_MISSING,
             "the next yearly return of a day, from `today()` on; 29 February falls on the 28th",
             (DAYS,), _always(DATE), time=TimeClass.OPAQUE),
    # ------------------------------------------------------------ lists
    Function("contains_any", Group.LIST, "contains_any(list, 'a', 'b', ...)",
             "false", "the list has at least one of them", is_condition=True),
    Function("contains_all", Group.LIST, "contains_all(list, 'a', 'b', ...)", "false", "the list has all of them", is_condition=True),
    # ------------------------------------------------------------ operators
    Function("ends_with", Group.OPERATOR, "ends_with(x, 'y')", "false", "`x ends with 'y'`", is_condition=True),
    Function("any", Group.LIST, "any(list, cond, ...)",
             "false; false if the list is empty", "the conditions hold for an `element`, all of them for the same one", is_condition=True),
    Function("all", Group.LIST, "all(list, cond, ...)",
             "false; true if the list is empty", "they hold for every element", is_condition=True),
    Function("none", Group.LIST, "none(list, cond, ...)",
             "false; true if the list is empty", "they hold for no element", is_condition=True),
    Function("how_many", Group.LIST, "how_many(list, cond, ...)",
             "missing; 0 if the list is empty", "how many elements they hold for"),
    Function("in_last", Group.OPERATOR, "in_last(x, '30 days')",
             "false", "`x in the last '30 days'`", is_condition=True, time=TimeClass.EDGE),
    Function("in_next", Group.OPERATOR, "in_next(x, '7 days')",
             "false", "`x in the next '7 days'`", is_condition=True, time=TimeClass.EDGE),
    Function("during", Group.OPERATOR, "during(x, 'last month')",
             "false", "`x in last month`", is_condition=True, time=TimeClass.EDGE),
    Function("at_least", Group.CONDITION, "at_least(2, cond, cond, cond)",
             "never", "at least so many of the conditions hold", is_condition=True),
    # ------------------------------------------------------------ events
    Function("did", Group.EVENT, "did(event, cond..., last =>, since =>, until =>, during =>)", "false without such events",
             "there is such an event", keywords=WINDOW_KEYWORDS, is_condition=True, time=TimeClass.WINDOW),
    Function("count", Group.EVENT, "count(event, cond..., ...)", "0 without such events", "how many such events",
             keywords=WINDOW_KEYWORDS, time=TimeClass.WINDOW),
    Function("distinct", Group.EVENT, "distinct(event.property, cond..., ...)",
             "0 without such events", "how many different values, missing ones not counted",
             keywords=WINDOW_KEYWORDS, time=TimeClass.WINDOW),
    Function("sum", Group.EVENT, "sum(event.property, cond..., ...)", "0 without such events", "the exact sum",
             (NUMBERS,), keywords=WINDOW_KEYWORDS, time=TimeClass.WINDOW),
    Function("avg", Group.EVENT, "avg(event.property, cond..., ...)", NO_EVENTS_MISSING, "the exact sum divided by the count",
             (NUMBERS,), keywords=WINDOW_KEYWORDS, time=TimeClass.WINDOW),
    Function("min", Group.EVENT, "min(event.property, cond..., ...)", NO_EVENTS_MISSING, "the smallest value",
             ((Kind.NUMBER, Kind.TEXT, *DAYS),), keywords=WINDOW_KEYWORDS, time=TimeClass.WINDOW),
    Function("max", Group.EVENT, "max(event.property, cond..., ...)", NO_EVENTS_MISSING, "the largest value",
             ((Kind.NUMBER, Kind.TEXT, *DAYS),), keywords=WINDOW_KEYWORDS, time=TimeClass.WINDOW),
    Function("first", Group.EVENT, "first(event, cond..., ...)", NO_EVENTS_MISSING, "the instant of the first",
             keywords=WINDOW_KEYWORDS, time=TimeClass.WINDOW),
    Function("last", Group.EVENT, "last(event, cond..., ...)", NO_EVENTS_MISSING, "the instant of the last",
             keywords=WINDOW_KEYWORDS, time=TimeClass.WINDOW),
    Function("earliest", Group.EVENT, "earliest(event.property, cond..., ...)", "missing without such events, or if missing on the first",
             "the property on the first; among several at one instant the largest value", keywords=WINDOW_KEYWORDS, time=TimeClass.WINDOW),
    Function("latest", Group.EVENT, "latest(event.property, cond..., ...)", "missing without such events, or if missing on the last",
             "the property on the last; among several at one instant the largest value", keywords=WINDOW_KEYWORDS, time=TimeClass.WINDOW),
    Function("sequence", Group.EVENT, "sequence(did(a, ...), did(b, ...), not did(c, ...), within => '7 days', last =>)", "false",
             "such events one after the other, and none of those with `not` in between or after",
             keywords=("within", *WINDOW_KEYWORDS), is_condition=True, time=TimeClass.OPAQUE),
    Function("active_periods", Group.EVENT, "active_periods(event, cond..., period => 'week', of => 4, at_least => 1)",
             "0 without such events", "in how many of the last calendar periods there are at least so many",
             keywords=("period", "of", "at_least"), time=TimeClass.OPAQUE),
    # ------------------------------------------------------------ segments and populations
    Function("member", Group.SEGMENT, "member('vip', for => '90 days')", "never",
             "in that segment, as this run computes it; with `for`, and without a gap for at least so long",
             keywords=("for",), is_condition=True, time=TimeClass.WINDOW),
    Function("entered", Group.SEGMENT, "entered('vip', last =>, since =>, until =>, during =>)", "never",
             "came into that segment, by accepted runs or in this one; a first computation brings nobody in",
             keywords=WINDOW_KEYWORDS, is_condition=True, time=TimeClass.WINDOW),
    Function("exited", Group.SEGMENT, "exited('vip', last =>, since =>, until =>, during =>)", "never",
             "left that segment, by accepted runs or in this one",
             keywords=WINDOW_KEYWORDS, is_condition=True, time=TimeClass.WINDOW),
    Function("sample", Group.POPULATION, "sample('10%', salt => 'exp-7')",
             "never", "about that share of the contacts, the same ones on every engine",
             keywords=("salt",), is_condition=True),
    Function("top", Group.POPULATION, "top(1000, by => x, among => cond, per => y)", "false if `by` or `per` is",
             "among the so many largest, or the largest `'5%'`", keywords=POPULATION_KEYWORDS, is_condition=True, time=TimeClass.OPAQUE),
    Function("bottom", Group.POPULATION, "bottom(1000, by => x, among => cond, per => y)", "false if `by` or `per` is",
             "among the so many smallest, or the smallest `'5%'`", keywords=POPULATION_KEYWORDS, is_condition=True, time=TimeClass.OPAQUE),
    Function("ntile", Group.POPULATION, "ntile(5, by => x, among => cond, per => y)",
             "missing if `by` or `per` is, and outside `among`", "which of so many equal parts, 1 having the smallest",
             keywords=POPULATION_KEYWORDS, time=TimeClass.OPAQUE),
)  # fmt: skip

FUNCTIONS: dict[str, Function] = {row.name: row for row in _ROWS}
"""Every function by its (lower-case) name."""

WITH_PROPERTY = frozenset({"distinct", "sum", "avg", "min", "max", "earliest", "latest"})
"""Event functions whose first argument is `event.property`; the others take an event."""

REFERRING = frozenset({"member", "entered", "exited"})
"""Functions whose first argument is the name of a segment."""
STEP = Function("did", Group.EVENT, "did(event, cond..., within =>, as =>, last =>, since =>, until =>)", "false without such events",
                "an event of a sequence", keywords=("within", "as", *WINDOW_KEYWORDS), is_condition=True)  # fmt: skip
"""`did` as it stands in a sequence."""

INSTEAD = {
    "contains": "x contains 'y'",
    "starts_with": "x starts with 'y'",
    "matches": "x matches 'y'",
    "regexp_matches": "x matches 'y'",
    "is_set": "x is set",
    "isnull": "x is not set",
    "current_date": "today()",
    "current_timestamp": "now()",
    "getdate": "now()",
    "ifnull": "coalesce(a, b)",
    "nvl": "coalesce(a, b)",
    "len": "length(x)",
    "ceiling": "ceil(x)",
    "count_distinct": "distinct(event.property)",
    "countif": "count(event, condition)",
    "cast": "number(x)",
    "mean": "avg(event.property)",
    "average": "avg(event.property)",
    "segment": "member('name')",
    "in_segment": "member('name')",
    "date_trunc": "start_of('month')",
    "exists": "any(list, element ...)",
    "some": "any(list, element ...)",
    "every": "all(list, element ...)",
    "list_filter": "how_many(list, element ...)",
}
"""What to write for a function that other languages have."""
