"""The oracle's own tree of a rule: small frozen dataclasses, typed by construction. Shares nothing with the product."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Type:
    """`kind` is text, exact, float, boolean, timestamp, date, list or struct; `scale` of exact, `width` of float, `element` of list."""

    kind: str
    scale: int = 0
    width: int = 0
    element: Type | None = None
    fields: tuple[tuple[str, Type], ...] = ()
    """Of a struct."""

    @property
    def is_number(self) -> bool:
        return self.kind in ("exact", "float")


TEXT, BOOLEAN, TIMESTAMP, DATE = Type("text"), Type("boolean"), Type("timestamp"), Type("date")
INTEGER, FLOAT32, FLOAT64 = Type("exact"), Type("float", width=32), Type("float", width=64)


def exact(scale: int) -> Type:
    return Type("exact", scale=scale)


def common_number(types: list[Type]) -> Type:
    """What numbers become beside each other: the widest float if there is one, else an exact number of the largest scale."""
    floats = [t.width for t in types if t.kind == "float"]
    return Type("float", width=max(floats)) if floats else exact(max(t.scale for t in types))


@dataclass(frozen=True)
class Duration:
    amount: int
    unit: str  # second minute hour day week month year

    @property
    def is_calendar(self) -> bool:
        return self.unit in ("month", "year")


class Node:
    """Anything in a rule."""


class Value(Node):
    """Has a type; is missing or a value of it."""

    type: Type


class Condition(Node):
    """Is true or false."""


# --- values


@dataclass(frozen=True)
class Field(Value):
    """A contact's field; inside an event function the event's column, unless `outer` (`contact.x`)."""

    name: str
    type: Type
    outer: bool = False


@dataclass(frozen=True)
class Former(Value):
    """A property of the event that a former step of the sequence is; `step` counts all steps, `called` is what it goes by."""

    step: int
    called: str
    name: str
    type: Type


@dataclass(frozen=True)
class Prefix:
    """Every event whose name begins so."""

    text: str


Event = str | Prefix | None
"""Which event: one, several by the beginning of their names, or any."""


@dataclass(frozen=True)
class Number(Value):
    """An unsigned literal, as written."""

    digits: str

    @property
    def type(self) -> Type:
        return exact(len(self.digits.partition(".")[2].replace("_", "")))


@dataclass(frozen=True)
class Text(Value):
    text: str
    type: Type = TEXT


@dataclass(frozen=True)
class Flag(Value):
    value: bool
    type: Type = BOOLEAN


@dataclass(frozen=True)
class Day(Value):
    """A date literal: a date beside dates, that whole day beside instants."""

    day: date
    type: Type = DATE


@dataclass(frozen=True)
class Instant(Value):
    """A literal with a time of day, as written; `micros` are UTC."""

    text: str
    micros: int
    type: Type = TIMESTAMP


@dataclass(frozen=True)
class Now(Value):
    type: Type = TIMESTAMP


@dataclass(frozen=True)
class Ago(Value):
    """`ago` or, with `ahead`, the other direction."""

    duration: Duration
    ahead: bool = False
    type: Type = TIMESTAMP


@dataclass(frozen=True)
class Today(Value):
    """`today()` (no unit) or `start_of(unit)`, plus or minus a duration."""

    unit: str = ""
    sign: str = ""
    duration: Duration | None = None
    type: Type = DATE


@dataclass(frozen=True)
class Call(Value):
    """A scalar function."""

    name: str
    arguments: tuple[Value, ...]
    type: Type


@dataclass(frozen=True)
class Arithmetic(Value):
    operator: str  # + - * / %
    left: Value
    right: Value

    @property
    def type(self) -> Type:
        if self.operator == "/":
            return FLOAT64
        if self.operator == "*" and self.left.type.kind == self.right.type.kind == "exact":
            return exact(self.left.type.scale + self.right.type.scale)
        return common_number([self.left.type, self.right.type])


@dataclass(frozen=True)
class Negative(Value):
    value: Value

    @property
    def type(self) -> Type:
        return self.value.type


@dataclass(frozen=True)
class Window:
    """The keyword arguments that bound the time of an event function."""

    last: Duration | None = None
    since: Value | None = None
    until: Value | None = None
    during: str | None = None
    """A calendar period: `last month`."""


@dataclass(frozen=True)
class Aggregate(Value):
    """count distinct sum avg min max first last earliest latest. `event` is None for `any_event`."""

    function: str
    event: Event
    measured: str | None
    """The property's name."""
    filters: tuple[Condition, ...]
    window: Window
    property_type: Type | None
    """None for count, first, last; an event's instants need no property."""

    places: int = 6
    """The source's `scale`: how many places of a float a sum keeps."""
    inward: str | None = None
    """The field of the property, where that is a struct."""

    @property
    def scale(self) -> int:
        """Places that a sum of the property has."""
        assert self.property_type is not None
        return self.places if self.property_type.kind == "float" else self.property_type.scale

    @property
    def type(self) -> Type:
        match self.function:
            case "count" | "distinct":
                return INTEGER
            case "sum":
                return exact(self.scale)
            case "avg":
                return FLOAT64
            case "first" | "last":
                return TIMESTAMP
        assert self.property_type is not None
        return self.property_type


@dataclass(frozen=True)
class Order(Node):
    """Contacts by a value, smallest or, if `falling`, largest first."""

    by: Value
    among: Condition | None = None
    per: Value | None = None
    falling: bool = False


@dataclass(frozen=True)
class Ntile(Value):
    parts: int
    order: Order
    type: Type = INTEGER


@dataclass(frozen=True)
class ActivePeriods(Value):
    """In how many of the last calendar periods there are so many events."""

    event: Event
    filters: tuple[Condition, ...]
    unit: str
    of: int
    at_least: int = 1
    type: Type = INTEGER


@dataclass(frozen=True)
class Part(Value):
    """A field of a struct."""

    of: Value
    name: str
    type: Type


@dataclass(frozen=True)
class Element(Value):
    """An element of the list that the innermost Each or HowMany around it is about."""

    type: Type


@dataclass(frozen=True)
class HowMany(Value):
    """How many elements all the conditions hold for."""

    list: Value
    conditions: tuple[Condition, ...]
    type: Type = INTEGER


# --- conditions


@dataclass(frozen=True)
class Foremost(Condition):
    """`top` of a falling order, `bottom` of a rising one; `number` is `5` or `5%`."""

    number: str
    order: Order


@dataclass(frozen=True)
class Constant(Condition):
    value: bool


@dataclass(frozen=True)
class IsTrue(Condition):
    """A boolean value as a condition by itself."""

    value: Value


@dataclass(frozen=True)
class Compare(Condition):
    operator: str  # = != < <= > >=
    left: Value
    right: Value


@dataclass(frozen=True)
class Between(Condition):
    value: Value
    low: Value
    high: Value
    negated: bool = False


@dataclass(frozen=True)
class In(Condition):
    value: Value
    items: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True)
class Has(Condition):
    """contains, starts with, ends with on text; contains on a list."""

    operator: str  # contains starts ends
    value: Value
    part: Value
    negated: bool = False


@dataclass(frozen=True)
class Matches(Condition):
    value: Value
    pattern: str
    negated: bool = False


@dataclass(frozen=True)
class Like(Condition):
    value: Value
    pattern: str
    ignore_case: bool
    negated: bool = False


@dataclass(frozen=True)
class IsSet(Condition):
    value: Value
    negated: bool = False


@dataclass(frozen=True)
class Within(Condition):
    """in the last, in the next."""

    value: Value
    duration: Duration
    ahead: bool = False
    negated: bool = False


@dataclass(frozen=True)
class InPeriod(Condition):
    """`in last month`, `is today`."""

    value: Value
    period: str
    negated: bool = False


@dataclass(frozen=True)
class ListHas(Condition):
    """contains_any, contains_all."""

    value: Value
    items: tuple[Value, ...]
    every: bool


@dataclass(frozen=True)
class Each(Condition):
    """any, all, none of a list's elements."""

    quantifier: str
    list: Value
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Did(Condition):
    event: Event
    filters: tuple[Condition, ...]
    window: Window


@dataclass(frozen=True)
class Step(Node):
    """An event of a sequence, or with `negated` its absence. `called` is the name it is given."""

    event: Event
    filters: tuple[Condition, ...] = ()
    window: Window = Window()
    negated: bool = False
    within: Duration | None = None
    called: str | None = None


@dataclass(frozen=True)
class Sequence(Condition):
    steps: tuple[Step, ...]
    within: Duration | None = None
    window: Window = Window()


@dataclass(frozen=True)
class Member(Condition):
    segment: str


@dataclass(frozen=True)
class Sample(Condition):
    percent: str
    salt: str


@dataclass(frozen=True)
class Not(Condition):
    condition: Condition


@dataclass(frozen=True)
class All(Condition):
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Any_(Condition):  # noqa: N801  (`Any` is typing's)
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class AtLeast(Condition):
    number: int
    conditions: tuple[Condition, ...]


def walk(node: object) -> Iterator[object]:
    """The node and everything below it, parents first."""
    yield node
    if isinstance(node, tuple):
        for item in node:
            yield from walk(item)
    elif isinstance(node, Node | Window):
        for field in dataclasses.fields(node):  # type: ignore[arg-type]
            if not field.name.endswith("type"):
                yield from walk(getattr(node, field.name))


def segments_named(condition: Condition) -> set[str]:
    return {node.segment for node in walk(condition) if isinstance(node, Member)}
