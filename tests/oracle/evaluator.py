"""Rows in, answers out: what docs of the rule language promise, one contact and one event row at a time."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from typing import Any

import re2

from tests.oracle import language as lang
from tests.oracle import ranking, zones
from tests.oracle.language import Type

LIMIT = 10**38
EARTH_RADIUS = 6371.0088
Number = int | Fraction | float


class TooClose(Exception):  # noqa: N818  (it is no error: the pair is set aside)
    """A distance lies so near what it is compared with that two correct programs may answer differently."""


@dataclass(frozen=True)
class EventRow:
    """`event` is the event's name (None where the name column has none); `at` is UTC microseconds or None; `fields` are cleaned."""

    event: str | None
    at: int | None
    fields: dict[str, Any]


@dataclass(frozen=True)
class Contact:
    key: str
    fields: dict[str, Any]
    events: tuple[EventRow, ...]
    order: Any = None
    """The key as keys compare: a number, or a text."""


@dataclass(frozen=True)
class World:
    """All contacts, and who is a member of what."""

    contacts: list[Contact]
    member: Callable[[str, Contact], bool]
    orders: dict[lang.Order, dict[str, Any]]


@dataclass(frozen=True)
class Moment:
    as_of: int
    zone: str
    week_start: str = "monday"

    @property
    def today(self) -> date:
        return zones.to_local(self.as_of, self.zone).date()


@dataclass(frozen=True)
class Scope:
    """What names mean here: the contact, and inside an event function the event's row."""

    contact: Contact
    clock: Moment
    row: EventRow | None = None
    world: World | None = None
    former: tuple[EventRow | None, ...] = ()
    """The rows that the steps before are, None for a negated one."""
    element: Any = None

    def place(self, order: lang.Order) -> tuple[int, int] | None:
        """The contact's place in an order of all contacts, and how many are in it."""
        world, clock = self.world, self.clock
        assert world is not None
        if order not in world.orders:
            scopes = {contact.key: Scope(contact, clock, world=world) for contact in world.contacts}
            world.orders[order] = ranking.standing(
                order,
                world.contacts,
                lambda node, contact: value(node, scopes[contact.key]),
                lambda node, contact: holds(node, scopes[contact.key]),
            )
        return world.orders[order].get(self.contact.key)


# --- numbers


def to_single(value: Number) -> float:
    """The nearest 32-bit float, ties to even, from the exact value (never by way of a 64-bit float)."""
    if isinstance(value, float) and not math.isfinite(value):
        return value
    exact = Fraction(value)
    try:
        (bits,) = struct.unpack("<i", struct.pack("<f", float(exact)))
    except OverflowError:
        return math.copysign(math.inf, exact)
    best: tuple[Fraction, int, float] | None = None
    for step in (-1, 0, 1):
        pattern = bits + step
        if (pattern ^ bits) & ~0x7FFFFFFF and step:
            continue
        (candidate,) = struct.unpack("<f", struct.pack("<i", pattern))
        if math.isfinite(candidate):
            distance = abs(Fraction(candidate) - exact)
            if best is None or (distance, pattern & 1) < best[:2]:
                best = (distance, pattern & 1, candidate)
    assert best is not None
    return best[2]


def to_float(value: Number, width: int) -> float:
    if width == 32:
        return to_single(value)
    return value if isinstance(value, float) else float(value)


def convert(value: Number, target: Type) -> Number:
    return to_float(value, target.width) if target.kind == "float" else value


def as_type(value: Any, target: Type) -> Any:
    """A property of several tables has one type, which may be wider than that of this row's table."""
    return to_float(value, target.width) if target.kind == "float" and value is not None else value


def finite(value: float, width: int) -> float | None:
    """A result that is infinite or NaN is missing; a 32-bit result is rounded to its width first."""
    if math.isnan(value) or math.isinf(value):
        return None
    if width == 32:
        value = to_single(value)
    return None if math.isinf(value) else value


def fits(value: int | Fraction, scale: int) -> int | Fraction | None:
    return value if abs(value * 10**scale) < LIMIT else None


def half_away(value: Number) -> int:
    whole = math.trunc(value)
    return whole + (1 if value > 0 else -1) if abs(Fraction(value) - whole) >= Fraction(1, 2) else whole


def arithmetic(node: lang.Arithmetic, left: Number | None, right: Number | None) -> Number | None:
    if left is None or right is None:
        return None
    target = node.type
    if node.operator in "/%" and right == 0:
        return None
    if target.kind == "exact":
        match node.operator:
            case "+":
                result = left + right
            case "-":
                result = left - right
            case "*":
                result = left * right
            case "%":
                result = abs(left) % abs(right) * (-1 if left < 0 else 1)
        return fits(result, target.scale)
    a, b = to_float(left, target.width), to_float(right, target.width)
    if b == 0 and node.operator in "/%":
        return None
    try:
        match node.operator:
            case "+":
                value = a + b
            case "-":
                value = a - b
            case "*":
                value = a * b
            case "/":
                value = a / b
            case "%":
                value = math.fmod(a, b)
    except (OverflowError, ValueError):
        return None
    return finite(value, target.width)


# --- text


def simple_lower(text: str) -> str:
    """One to one, code point by code point: of all of Unicode only İ has a longer lower case."""
    return "".join("i" if c == "İ" else c.lower() for c in text)


NUMBER_TEXT = r"^ *[+-]?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)? *$"


def read_number(text: str) -> float | None:
    if not re2.fullmatch(NUMBER_TEXT, text):
        return None
    return finite(float(text), 64)


def email_domain(text: str) -> str | None:
    _, at, domain = text.rpartition("@")
    return domain or None if at else None


def like(pattern: str) -> str:
    """The pattern as RE2: `%` any run, `_` any one code point, nothing else is special."""
    return "(?s)" + "".join({"%": ".*", "_": "."}.get(c) or re2.escape(c) for c in pattern)


# --- comparison


def compare(operator: str, left: Any, right: Any) -> bool:
    return {
        "=": left == right,
        "!=": left != right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }[operator]


FLIPPED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def is_whole_day(node: lang.Value) -> bool:
    return isinstance(node, lang.Day | lang.Today)


def relation(operator: str, left: lang.Value, right: lang.Value, scope: Scope) -> bool:
    """`left operator right` for = < <= > >=, false where a side is missing."""
    a, b = value(left, scope), value(right, scope)
    if a is None or b is None:
        return False
    if left.type.is_number:
        target = lang.common_number([left.type, right.type])
        a, b = convert(a, target), convert(b, target)
        measured = any(isinstance(n, lang.Call) and n.name == "distance_km" for n in (*lang.walk(left), *lang.walk(right)))
        if measured and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6):
            raise TooClose
        return compare(operator, a, b)
    kinds = {left.type.kind, right.type.kind}
    if kinds == {"timestamp", "date"}:
        if is_whole_day(right):
            return beside_day(operator, a, b, scope.clock.zone)
        if is_whole_day(left):
            return beside_day(FLIPPED[operator], b, a, scope.clock.zone)
        a, b = (zones.first_instant(x, scope.clock.zone) if isinstance(x, date) else x for x in (a, b))
    return compare(operator, a, b)


def beside_day(operator: str, instant: int, day: date, zone: str) -> bool:
    begins, ends = zones.first_instant(day, zone), zones.first_instant(zones.next_day(day), zone)
    match operator:
        case "=":
            return begins <= instant < ends
        case "<":
            return instant < begins
        case ">":
            return instant >= ends
        case ">=":
            return instant >= begins
        case "<=":
            return instant < ends
    raise ValueError(operator)


# --- values


def value(node: lang.Value, scope: Scope) -> Any:
    """The node's value, None where it is missing."""
    clock = scope.clock
    match node:
        case lang.Field(name, type_, outer):
            fields = scope.contact.fields if scope.row is None or outer else scope.row.fields
            return as_type(fields.get(name), type_)
        case lang.Former(step, _, name, type_):
            row = scope.former[step]
            assert row is not None
            return as_type(row.fields.get(name), type_)
        case lang.ActivePeriods():
            return active_periods(node, scope)
        case lang.Number(digits):
            return Fraction(digits.replace("_", ""))
        case lang.Text(text):
            return text
        case lang.Flag(flag):
            return flag
        case lang.Day(day):
            return day
        case lang.Instant(_, micros):
            return micros
        case lang.Now():
            return clock.as_of
        case lang.Ago(duration, ahead):
            return zones.shift_instant(clock.as_of, duration, 1 if ahead else -1, clock.zone)
        case lang.Today(unit, sign, duration):
            day = zones.start_of(unit, clock.today, clock.week_start) if unit else clock.today
            return zones.shift_date(day, duration, 1 if sign == "+" else -1) if duration else day
        case lang.Negative(inner):
            number = value(inner, scope)
            return None if number is None or (isinstance(number, float) and math.isinf(number)) else -number
        case lang.Arithmetic(_, left, right):
            return arithmetic(node, value(left, scope), value(right, scope))
        case lang.Call():
            return call(node, scope)
        case lang.Aggregate():
            return aggregate(node, scope)
        case lang.Ntile(parts, order):
            place = scope.place(order)
            return None if place is None else ranking.part(parts, *place)
        case lang.Element():
            return scope.element
        case lang.Part(of, name):
            whole = value(of, scope)
            return None if whole is None else whole[name]
        case lang.HowMany(of, conditions):
            found = verdicts(of, conditions, scope)
            return None if found is None else sum(found)
    raise TypeError(node)


def call(node: lang.Call, scope: Scope) -> Any:
    if node.name == "coalesce":
        for argument in node.arguments:
            found = value(argument, scope)
            if found is not None:
                return convert(found, node.type) if node.type.is_number else found
        return None
    arguments = [value(a, scope) for a in node.arguments]
    if any(a is None for a in arguments):
        return None
    result = SCALARS[node.name](scope, *arguments)
    return None if result == "" else result


def rounding(function: Callable[[Number], int]) -> Callable[[Scope, Number], Number | None]:
    def apply(_: Scope, number: Number) -> Number | None:
        if not isinstance(number, float):
            return function(number)
        return float(function(number)) if math.isfinite(number) else None

    return apply


def magnitude(_: Scope, number: Number) -> Number | None:
    return None if isinstance(number, float) and math.isinf(number) else abs(number)


def local_part(read: Callable[[Any], Any]) -> Callable[[Scope, Any], Any]:
    return lambda scope, x: read(zones.to_local(x, scope.clock.zone) if isinstance(x, int) else x)


def distance(_: Scope, *degrees: Number) -> float | None:
    lat, lon, lat0, lon0 = (math.radians(float(d)) for d in degrees)
    if not all(map(math.isfinite, (lat, lon, lat0, lon0))):
        return None
    x = math.sin((lat - lat0) / 2) ** 2 + math.cos(lat) * math.cos(lat0) * math.sin((lon - lon0) / 2) ** 2
    return 2 * EARTH_RADIUS * math.asin(math.sqrt(min(1.0, x)))


def next_anniversary(scope: Scope, x: Any) -> date:
    day = zones.to_local(x, scope.clock.zone).date() if isinstance(x, int) else x
    return zones.anniversary(day, scope.clock.today)


SCALARS: dict[str, Callable[..., Any]] = {
    "lower": lambda _, text: simple_lower(text),
    "trim": lambda _, text: text.strip(" \t\r\n"),
    "length": lambda _, x: len(x),
    "email_domain": lambda _, text: email_domain(text),
    "abs": magnitude,
    "round": rounding(half_away),
    "floor": rounding(math.floor),
    "ceil": rounding(math.ceil),
    "number": lambda _, text: read_number(text),
    "date": local_part(lambda x: x.date() if hasattr(x, "hour") else x),
    "year": local_part(lambda x: x.year),
    "month": local_part(lambda x: x.month),
    "day": local_part(lambda x: x.day),
    "weekday": local_part(lambda x: x.isoweekday()),
    "hour": local_part(lambda x: x.hour),
    "next_anniversary": next_anniversary,
    "distance_km": distance,
}


# --- events


def is_event(name: str | None, event: lang.Event) -> bool:
    if isinstance(event, lang.Prefix):
        return name is not None and name.startswith(event.text)
    return event is None or name == event


def rows_of(event: lang.Event, filters: Iterable[lang.Condition], window: lang.Window, scope: Scope) -> list[EventRow]:
    return [
        row
        for row in scope.contact.events
        if row.at is not None
        and row.at <= scope.clock.as_of
        and is_event(row.event, event)
        and in_window(row.at, window, scope)
        and all(holds(f, Scope(scope.contact, scope.clock, row, former=scope.former)) for f in filters)
    ]


def in_window(at: int, window: lang.Window, scope: Scope) -> bool:
    clock = scope.clock
    here = Scope(Contact("", {"at": at}, ()), clock)
    field = lang.Field("at", lang.TIMESTAMP)
    if window.last and not zones.shift_instant(clock.as_of, window.last, -1, clock.zone) < at <= clock.as_of:
        return False
    if window.during and not during(at, window.during, clock):
        return False
    if window.since and not relation(">=", field, window.since, here):
        return False
    return not window.until or relation("<=", field, window.until, here)


SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


def length(duration: lang.Duration) -> int:
    return duration.amount * SECONDS[duration.unit] * 10**6


def did_sequence(node: lang.Sequence, scope: Scope) -> bool:
    """Tries every way through the steps, one row after the other."""

    def rows(place: int, former: tuple[EventRow | None, ...]) -> list[EventRow]:
        step = node.steps[place]
        here = Scope(scope.contact, scope.clock, former=former)
        return [row for row in rows_of(step.event, step.filters, step.window, here) if in_window(row.at, node.window, scope)]

    def goes_on(former: tuple[EventRow | None, ...], avoided: tuple[int, ...]) -> bool:
        """Whether the rows so far can be completed; `avoided` are the negated steps since the last of them."""
        place = len(former)
        done = [row for row in former if row is not None]
        if place == len(node.steps):
            return not any(undone(step, former, done) for step in avoided)
        if node.steps[place].negated:
            return goes_on((*former, None), (*avoided, place))
        within = node.steps[place].within
        for row in rows(place, former):
            if done and not done[-1].at < row.at:
                continue
            if done and within and row.at - done[-1].at > length(within):
                continue
            if done and node.within and row.at - done[0].at > length(node.within):
                continue
            if any(done[-1].at < other.at < row.at for step in avoided for other in rows(step, former)):
                continue
            if goes_on((*former, row), ()):
                return True
        return False

    def undone(place: int, former: tuple[EventRow | None, ...], done: list[EventRow]) -> bool:
        until = math.inf
        if node.steps[place].within:
            until = done[-1].at + length(node.steps[place].within)
        elif node.within:
            until = done[0].at + length(node.within)
        return any(done[-1].at < row.at <= until for row in rows(place, former))

    return goes_on((), ())


def active_periods(node: lang.ActivePeriods, scope: Scope) -> int:
    """Period by period, from today's back."""
    week = scope.clock.week_start
    found, zone, begins = 0, scope.clock.zone, zones.start_of(node.unit, scope.clock.today, week)
    end = math.inf
    instants = [row.at for row in rows_of(node.event, node.filters, lang.Window(), scope)]
    for _ in range(node.of):
        start = zones.first_instant(begins, zone)
        found += sum(start <= at < end for at in instants) >= node.at_least
        end, begins = start, zones.start_of(node.unit, date.fromordinal(begins.toordinal() - 1), week)
    return found


def aggregate(node: lang.Aggregate, scope: Scope) -> Any:
    rows = rows_of(node.event, node.filters, node.window, scope)
    match node.function:
        case "count":
            return len(rows)
        case "first":
            return min((row.at for row in rows), default=None)
        case "last":
            return max((row.at for row in rows), default=None)
        case "earliest" | "latest":
            if not rows:
                return None
            pick = min if node.function == "earliest" else max
            edge = pick(row.at for row in rows)
            return max(measures(node, [row for row in rows if row.at == edge]), default=None)
    values = measures(node, rows)
    match node.function:
        case "distinct":
            return len(set(values))
        case "min":
            return min(values, default=None)
        case "max":
            return max(values, default=None)
        case "sum":
            return exact_sum(values, node)
        case "avg":
            total = exact_sum(values, node)
            return None if not values or total is None else float(total) / len(values)
    raise ValueError(node.function)


def measures(node: lang.Aggregate, rows: list[EventRow]) -> list[Any]:
    """The property where it is set."""
    assert node.measured is not None
    assert node.property_type is not None
    found = [row.fields.get(node.measured) for row in rows]
    if node.inward is not None:
        found = [None if whole is None else whole[node.inward] for whole in found]
    return [as_type(v, node.property_type) for v in found if v is not None]


def exact_sum(values: list[Number], node: lang.Aggregate) -> int | Fraction | None:
    """Floats as whole numbers of millionths (or as `scale` says); missing if it, or a value of it, has more than 38 digits."""
    total: int | Fraction = 0
    for number in values:
        if isinstance(number, float):
            scaled = number * float(10**node.places)
            if not math.isfinite(scaled) or abs(half_away(scaled)) >= LIMIT:
                return None
            total += Fraction(half_away(scaled), 10**node.places)
        else:
            total += number
    return fits(total, node.scale)


# --- conditions


def holds(node: lang.Condition, scope: Scope) -> bool:
    """One law: true or false, a missing value makes a comparison false, and `not` is the rest."""
    match node:
        case lang.Constant(constant):
            return constant
        case lang.IsTrue(inner):
            return value(inner, scope) is True
        case lang.Not(inner):
            return not holds(inner, scope)
        case lang.All(conditions):
            return all(holds(c, scope) for c in conditions)
        case lang.Any_(conditions):
            return any(holds(c, scope) for c in conditions)
        case lang.AtLeast(number, conditions):
            return sum(holds(c, scope) for c in conditions) >= number
        case lang.Compare("!=", left, right):
            return not relation("=", left, right, scope)
        case lang.Compare(operator, left, right):
            return relation(operator, left, right, scope)
        case lang.Between(x, low, high, negated):
            return (relation(">=", x, low, scope) and relation("<=", x, high, scope)) != negated
        case lang.In(x, items, negated):
            return any(relation("=", x, item, scope) for item in items) != negated
        case lang.Has(operator, x, part, negated):
            return has(operator, x, part, scope) != negated
        case lang.Matches(x, pattern, negated):
            text = value(x, scope)
            return (text is not None and re2.search(pattern, text) is not None) != negated
        case lang.Like(x, pattern, ignore_case, negated):
            text = value(x, scope)
            if text is not None and ignore_case:
                text, pattern = simple_lower(text), simple_lower(pattern)
            return (text is not None and re2.fullmatch(like(pattern), text) is not None) != negated
        case lang.IsSet(x, negated):
            return (value(x, scope) is not None) != negated
        case lang.Within(x, duration, ahead, negated):
            return within(x, duration, ahead, scope) != negated
        case lang.InPeriod(x, period, negated):
            found = value(x, scope)
            return (found is not None and during(found, period, scope.clock)) != negated
        case lang.ListHas(x, items, every):
            found = [has("contains", x, item, scope) for item in items]
            return all(found) if every else any(found)
        case lang.Each(quantifier, of, conditions):
            found = verdicts(of, conditions, scope)
            return found is not None and {"any": any(found), "all": all(found), "none": not any(found)}[quantifier]
        case lang.Did(event, filters, window):
            return bool(rows_of(event, filters, window, scope))
        case lang.Sequence():
            return did_sequence(node, scope)
        case lang.Member(segment):
            assert scope.world is not None
            return scope.world.member(segment, scope.contact)
        case lang.Foremost(number, order):
            place = scope.place(order)
            return place is not None and ranking.is_foremost(number, *place)
        case lang.Sample(percent, salt):
            digits = hashlib.md5(f"{salt}:{scope.contact.key}".encode()).hexdigest()[:15]
            return int(digits, 16) < Fraction(percent) / 100 * 16**15
    raise TypeError(node)


def verdicts(of: lang.Value, conditions: Iterable[lang.Condition], scope: Scope) -> list[bool] | None:
    """Of each element whether all the conditions hold; None for a missing list."""
    elements = value(of, scope)
    if elements is None:
        return None
    return [all(holds(c, replace(scope, element=element)) for c in conditions) for element in elements]


def has(operator: str, x: lang.Value, part: lang.Value, scope: Scope) -> bool:
    whole, piece = value(x, scope), value(part, scope)
    if whole is None or piece is None:
        return False
    if x.type.kind == "list":
        element = x.type.element
        assert element is not None
        elements = [e for e in whole if e is not None]
        if not element.is_number:
            return piece in elements
        target = lang.common_number([element, part.type])
        return any(convert(e, target) == convert(piece, target) for e in elements)
    whole, piece = simple_lower(whole), simple_lower(piece)
    return {"contains": piece in whole, "starts": whole.startswith(piece), "ends": whole.endswith(piece)}[operator]


def within(x: lang.Value, duration: lang.Duration, ahead: bool, scope: Scope) -> bool:
    found, clock = value(x, scope), scope.clock
    if found is None:
        return False
    if x.type.kind == "date":
        if ahead:
            return clock.today <= found < zones.shift_date(clock.today, duration, 1)
        return zones.shift_date(clock.today, duration, -1) < found <= clock.today
    if ahead:
        return clock.as_of < found <= zones.shift_instant(clock.as_of, duration, 1, clock.zone)
    return zones.shift_instant(clock.as_of, duration, -1, clock.zone) < found <= clock.as_of


def during(when: date | int, period: str, clock: Moment) -> bool:
    day = when if isinstance(when, date) else zones.day_of(when, clock.zone)
    return zones.in_period(day, period, clock.today, clock.week_start)


def answers(rules: dict[str, lang.Condition], contacts: Iterable[Contact], clock: Moment) -> dict[str, list[bool | None]]:
    """Per rule one answer per contact, in order; None where a distance is too close to call (also through `member`)."""
    known: dict[tuple[str, str], bool | None] = {}

    def member(name: str, contact: Contact) -> bool:
        if (name, contact.key) not in known:
            try:
                known[name, contact.key] = holds(rules[name], Scope(contact, clock, world=world))
            except TooClose:
                known[name, contact.key] = None
        answer = known[name, contact.key]
        if answer is None:
            raise TooClose
        return answer

    def asked(name: str, contact: Contact) -> bool | None:
        try:
            return member(name, contact)
        except TooClose:
            return None

    world = World(list(contacts), member, {})
    return {name: [asked(name, contact) for contact in world.contacts] for name in rules}
