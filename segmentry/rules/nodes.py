"""What a rule means: typed nodes, every name resolved, every literal of its type. The seam between rules and engine.

**Missing.** A value may be missing (NULL, NaN, `''`; a result that is not finite or does not fit). A condition never
is: with a missing value it is false, and `Not(x)` is exactly what `x` leaves out.

**Time.** The checker makes nodes that still read the clock (`AsOf`, `Day`, `Since`...). `rules.ground.ground` replaces
them for one `as_of`, timezone and week start: after it a tree holds no clock, every timestamp constant is an aware UTC
datetime, every comparison is between values of one kind, and every `Events` has a `Window` of absolute instants. The
engine sees grounded trees only.

Nodes are frozen and hashable; equal nodes mean the same, so a leaf that stands in forty rules is found by equality.
`place` never compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from segmentry.rules.diagnostics import Place
from segmentry.rules.syntax import NOWHERE
from segmentry.rules.types import DATE, TIMESTAMP, Type


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    place: Place = field(default=NOWHERE, compare=False, repr=False)


# ---------------------------------------------------------------- durations and windows


class Unit(StrEnum):
    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Duration:
    """`'30 days'`. Seconds to weeks are exact lengths (a day is 24 h beside an instant); months and years are calendar arithmetic."""

    amount: int
    unit: Unit


@dataclass(frozen=True, slots=True)
class Period:
    """`'last month'`: the calendar period that the run's day is in (`offset` 0), one before it (-1) or one after (1)."""

    unit: Unit
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """Absolute bounds of event times, both included, UTC with microseconds; None is open.

    (A half-open window's start is one microsecond later. Where bounds exclude each other, `first` is after `final`.)
    """

    first: datetime | None = None
    final: datetime | None = None


# ---------------------------------------------------------------- values


class Scope(StrEnum):
    CONTACT = "contact"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Value(Node):
    """Something with a type, possibly missing."""

    type: Type


@dataclass(frozen=True, slots=True)
class Field(Value):
    """A column, by its exact name in the source: of the contact, or of the event row inside an event function."""

    scope: Scope
    name: str


@dataclass(frozen=True, slots=True)
class Former(Value):
    """A property of the event that a former step of the same sequence is: `step` is that step's place in `Sequence.steps`."""

    step: int
    name: str


@dataclass(frozen=True, slots=True)
class Constant(Value):
    """A literal: str, bool, Decimal (exact numbers), date, datetime, Duration.

    Before grounding a datetime may be naive: a literal without a zone, in the workspace's timezone. After it, it is aware UTC.
    """

    value: str | bool | Decimal | date | datetime | Duration


@dataclass(frozen=True, slots=True)
class AsOf(Value):
    """`now()`, `ago(d)`, `ahead(d)`: the run's instant, moved back (`sign` -1) or forward (+1) by `shift`. Gone after grounding."""

    shift: Duration | None = None
    sign: int = 1
    type: Type = TIMESTAMP


@dataclass(frozen=True, slots=True)
class Day(Value):
    """`today()` (unit DAY) or `start_of(unit)`, moved by `shifts` of (sign, duration) in order. Gone after grounding."""

    unit: Unit = Unit.DAY
    shifts: tuple[tuple[int, Duration], ...] = ()
    type: Type = DATE


@dataclass(frozen=True, slots=True)
class Call(Value):
    """A scalar function or arithmetic over values: `function` is its name in `rules/functions.py`, or one of `+ - * / % negate`.

    Arithmetic but `negate` has two or more arguments and is folded from the left, each step with its own type
    (`arithmetic.result_type`), so that `a + b + ...` is one node however long it is.

    Grounding leaves these beside the language's own: `date year month day weekday hour` of a *timestamp* keep their one
    argument (the engine shifts it by the zone's offsets, which the plan carries); `instant(date)` is a date's first
    instant in the zone; `next_anniversary(x, Constant(today))` has got its second argument.
    """

    function: str
    args: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Element(Value):
    """An element of the list that the innermost `HowMany` around it is about."""


@dataclass(frozen=True, slots=True)
class Part(Value):
    """A field of a struct, by its exact name; missing where the struct is."""

    of: Value
    name: str


def way(value: Value) -> tuple[Value, tuple[str, ...]]:
    """What the dots of a value begin with (a column, a former step's property, an element), and the names of fields after it."""
    names: list[str] = []
    while isinstance(value, Part):
        names.append(value.name)
        value = value.of
    return value, tuple(reversed(names))


@dataclass(frozen=True, slots=True)
class HowMany(Value):
    """How many elements of a list a condition holds for; missing for a missing list, 0 for an empty one.

    `any(list, c)` is `HowMany(list, c) >= 1`, `none(list, c)` is `= 0`, `all(list, c)` is `HowMany(list, Not(c)) = 0`.
    """

    value: Value
    where: Condition


@dataclass(frozen=True, slots=True)
class Events(Node):
    """A choice of event rows: which event (None: any), which rows (`where`, over event and contact fields), which time.

    With a `prefix`, `event` is None, and it is every event whose name begins with that.

    Before grounding: `last`, `since`, `until`, `during` as written (each may be None). After it: `window` alone, which always
    ends at `as_of` or before.
    """

    event: str | None
    where: Condition | None = None
    last: Duration | None = None
    since: Value | None = None
    until: Value | None = None
    window: Window | None = None
    prefix: str | None = None
    during: Period | None = None


@dataclass(frozen=True, slots=True)
class Aggregate(Value):
    """`count distinct sum avg min max first last earliest latest` over a contact's chosen events.

    `property` (a column, or a field within one) is None for `count`, `first` and `last`. `sum` of floats is exact (`type.scale` places).
    """

    function: str
    events: Events
    property: Value | None = None


@dataclass(frozen=True, slots=True)
class ActivePeriods(Aggregate):
    """In how many of the last `of` calendar periods, the one of `as_of` included, there are `at_least` chosen events.

    After grounding `starts` has the first instants of those periods, rising, and the events' window begins with the first.
    """

    unit: Unit = Unit.WEEK
    of: int = 1
    at_least: int = 1
    starts: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Population(Node):
    """The contacts that `among` holds for (None: all), in the order of `by`, apart for each value of `per` (None: all together).

    Smallest first, or if `falling` largest first; of equal ones always the contact with the smaller key first (numbers by
    size, texts by code point, UUIDs as text). Whose `by` or `per` is missing is not in it. It is of all contacts of the
    snapshot, whichever of them an evaluation is about.
    """

    by: Value
    among: Condition | None = None
    per: Value | None = None
    falling: bool = False


class Standing(StrEnum):
    """What is told of a contact's place in a population."""

    PLACE = "place"
    """1 is the first."""
    SIZE = "size"
    """How many are in the order that the contact is in."""
    PART = "part"
    """Which of so many parts of nearly equal size; where they can't be equal, the first ones have one more."""


@dataclass(frozen=True, slots=True)
class Ranked(Value):
    """A contact's standing in a population; missing for who is not in it. `ntile` is a PART of `parts`."""

    population: Population
    standing: Standing
    parts: int = 0


# ---------------------------------------------------------------- conditions


@dataclass(frozen=True, slots=True)
class Condition(Node):
    """True or false for every contact (or event row), never missing."""


@dataclass(frozen=True, slots=True)
class Always(Condition):
    """`true` (everybody) or `false` (nobody)."""

    value: bool


@dataclass(frozen=True, slots=True)
class Truth(Condition):
    """A boolean field standing as a condition: true where it is true."""

    value: Value


@dataclass(frozen=True, slots=True)
class Compare(Condition):
    """`left op right`, `op` one of `= < <= > >=` (`!=` is Not of `=`). Both sides one kind after grounding.

    Numbers compare as docs/rules.md "Numbers" says: exact with exact exactly; beside a float the exact side is converted
    to the float's width; of two floats the wider decides. Text compares by code point.
    """

    op: str
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class In(Condition):
    """`value = option` for any of the options (whole days beside timestamps have become comparisons when grounded)."""

    value: Value
    options: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class TextTest(Condition):
    """`op` one of `contains`, `starts with`, `ends with` (both sides simple lower case), `matches` (RE2, unanchored), `like`, `ilike`."""

    op: str
    value: Value
    pattern: Value


@dataclass(frozen=True, slots=True)
class HasElements(Condition):
    """A list holds any (`need_all` False) or all of the options, compared exactly. `list contains x` is one option."""

    value: Value
    options: tuple[Value, ...]
    need_all: bool = False


@dataclass(frozen=True, slots=True)
class IsSet(Condition):
    """The value is not missing. An empty list is a value."""

    value: Value


@dataclass(frozen=True, slots=True)
class InWindow(Condition):
    """`in_last` / `in_next`. Gone after grounding (it becomes comparisons)."""

    value: Value
    duration: Duration
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class During(Condition):
    """The value lies in a calendar period, from its first day to its last. Gone after grounding (it becomes comparisons)."""

    value: Value
    period: Period


@dataclass(frozen=True, slots=True)
class Did(Condition):
    """At least one such event."""

    events: Events


@dataclass(frozen=True, slots=True)
class Step(Node):
    """One step of a sequence: an event that was, or with `negated` none such between its neighbours.

    `within` bounds the time since the former step that is not negated, both ends in. The events' `where` may ask the
    former steps' properties (`Former`).
    """

    events: Events
    negated: bool = False
    within: Duration | None = None


@dataclass(frozen=True, slots=True)
class Sequence(Condition):
    """An event for each step that is not negated, at strictly rising instants, the last of them at most `within` after the first.

    No event of a negated step lies strictly between its neighbours. After the last of them: none within the step's own
    `within` of that, or without one, none within the sequence's `within` of its first step; or none at all.

    The first step is never negated. Lengths are exact ones (seconds to weeks). Before grounding `last`, `since`, `until` and
    `during` bound all steps; after it each step's events have a window of their own, and these are None.
    """

    steps: tuple[Step, ...]
    within: Duration | None = None
    last: Duration | None = None
    since: Value | None = None
    until: Value | None = None
    during: Period | None = None


@dataclass(frozen=True, slots=True)
class Member(Condition):
    """In that segment's membership, as this run computes it."""

    segment: str


@dataclass(frozen=True, slots=True)
class Moved(Condition):
    """`entered` or `exited`: a change of that segment's membership within a time. Gone after grounding (`Remembered`)."""

    segment: str
    change: str
    last: Duration | None = None
    since: Value | None = None
    until: Value | None = None
    during: Period | None = None


@dataclass(frozen=True, slots=True)
class Stayed(Condition):
    """`member(segment, for => ...)`: in it now, and without a gap for at least so long. Gone after grounding."""

    segment: str
    duration: Duration


class Memory(StrEnum):
    """What may be asked of the runs that were accepted before an instant."""

    ENTERED = "entered"
    """It came into the segment within the window; a first computation's members did not."""
    EXITED = "exited"
    """It left the segment within the window."""
    IN = "in"
    """It was in at the end."""
    OUT = "out"
    """It was not in at the end, though the segment had been computed."""
    STAYED = "stayed"
    """It was in at the end, and had been since the window's final instant or longer."""


@dataclass(frozen=True, slots=True)
class Remembered(Condition):
    """What the runs accepted before `as_of` say of that segment. Only in grounded trees; what this run itself changes stands beside it."""

    segment: str
    memory: Memory
    as_of: datetime
    window: Window = Window()


REFERENCES = (Member, Moved, Stayed, Remembered)
"""Conditions about another segment, by its name."""


@dataclass(frozen=True, slots=True)
class Listed(Condition):
    """The contact's key is in a static list, named by its path as written in the segment file."""

    list: str


@dataclass(frozen=True, slots=True)
class Sample(Condition):
    """The first 15 hex digits of md5(salt ':' key), as text, are below `threshold` (15 lower-case hex digits); None is everybody."""

    salt: str
    threshold: str | None


@dataclass(frozen=True, slots=True)
class Foremost(Condition):
    """`top`, `bottom`: among the first of a population, either `count` of them or a `share`, which rounds up. One of them is set."""

    population: Population
    count: int | None = None
    share: Fraction | None = None


@dataclass(frozen=True, slots=True)
class And(Condition):
    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or(Condition):
    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not(Condition):
    item: Condition


@dataclass(frozen=True, slots=True)
class AtLeast(Condition):
    """At least `count` of the items hold."""

    count: int
    items: tuple[Condition, ...]


COMBINATIONS = (And, Or, Not, AtLeast, Member, Always)
"""What the algebra does on bitmaps; every other condition is a leaf that the engine computes."""


_NAMES: dict[type[Node], tuple[str, ...]] = {}
"""The fields of each kind of node: a run asks for them tens of thousands of times."""


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below one, in the order written."""
    kind = type(node)
    names = _NAMES.get(kind)
    if names is None:
        names = _NAMES[kind] = tuple(spec.name for spec in fields(kind))
    for name in names:
        value = getattr(node, name)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, Node))


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it, parents first; deep trees are no problem (no recursion)."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(reversed(tuple(children(current))))
