"""Checking, fourth layer: event functions, that is which rows, which property, which time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

from segmentry.rules import nodes as n
from segmentry.rules import syntax as s
from segmentry.rules.check_lists import Lists
from segmentry.rules.check_names import ANY_EVENT, EventRows, FormerStep, is_struct, quoted_if_needed
from segmentry.rules.check_values import TIME_KINDS, a_kind
from segmentry.rules.functions import WITH_PROPERTY, Function
from segmentry.rules.times import MONTHS, SECONDS
from segmentry.rules.types import COUNT, FLOAT64, MAX_DIGITS, TIMESTAMP, Kind, Type, exact

MOST_APART = timedelta(hours=26)
"""How far the same wall time in two zones can be apart."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The time keywords of an event function."""

    last: n.Duration | None = None
    since: n.Value | None = None
    until: n.Value | None = None
    during: n.Period | None = None


@dataclass
class EventFunctions(Lists):
    """Checks event functions; their conditions are checked by the layer above."""

    def aggregate(self, call: s.Call, function: Function) -> n.Value | None:
        chosen = self.events(call, function)
        if chosen is None:
            return None
        events, prop, rows = chosen
        result = self._aggregate_type(call, prop, rows)
        if result is None:
            return None
        if call.name == "active_periods":
            return self.active_periods(call, events)
        return n.Aggregate(result, call.name, events, prop, place=call.place)

    @abstractmethod
    def active_periods(self, call: s.Call, events: n.Events) -> n.Value | None:
        """`active_periods` over some events."""

    def events(
        self, call: s.Call, function: Function, former: tuple[FormerStep, ...] = ()
    ) -> tuple[n.Events, n.Value | None, EventRows] | None:
        """The rows an event function is about, and its property where it has one. `former` are the steps before it in a sequence."""
        if self.element is not None:
            return self.not_of_elements(call)
        if self.rows is not None:
            hint = "conditions here are about one event at a time"
            return self.error("R505", f"`{call.name}` can't stand inside an event's conditions", call.place, hint)
        fine = self.only_keywords(call, function)
        bounds = self.bounds(call)
        if not call.args:
            return self.error("R502", f"`{call.name}` needs an event", call.place, f"it is {function.signature}")
        named = self._named_event(call)
        if named is None:
            return None
        rows, wanted = named
        with self.inside(replace(rows, former=former)):
            prop = None if wanted is None else self.property(wanted, call.args[0].place, rows)
            where = [self.condition(node) for node in call.args[1:]]
        conditions = [condition for condition in where if condition is not None]
        if not fine or bounds is None or len(conditions) < len(where) or (wanted is not None and prop is None):
            return None
        combined = n.And(tuple(conditions), place=call.place) if len(conditions) > 1 else conditions[0] if conditions else None
        events = n.Events(
            rows.event, combined, bounds.last, bounds.since, bounds.until, prefix=rows.prefix, during=bounds.during, place=call.place
        )
        return events, prop, rows

    # ------------------------------------------------------------ which event

    def _named_event(self, call: s.Call) -> tuple[EventRows, tuple[str, ...] | None] | None:
        """The first argument as the rows of an event and the way to a property."""
        node = call.args[0]
        needs_property = call.name in WITH_PROPERTY
        if isinstance(node, s.Text) and node.value.endswith("*"):
            return self._prefixed(call, node, needs_property=needs_property)
        parts = self._event_parts(call, node)
        if parts is None:
            return None
        event, prop = parts
        if prop is None and needs_property:
            dotted = f"{quoted_if_needed(event)}.property"
            hint = f"name one, as in {call.name}({self._example(event) or dotted})"
            return self.error("R508", f"`{call.name}` needs a property of `{event}`", node.place, hint)
        if prop is not None and not needs_property:
            return self._no_property_wanted(call, event, prop)
        unquoted = isinstance(node, s.Name) and not (node.quoted and node.quoted[0])
        rows = self.any_rows(node.place) if event == ANY_EVENT and unquoted else self.event_rows(event, node.place)
        return None if rows is None else (rows, prop)

    def _prefixed(self, call: s.Call, node: s.Text, *, needs_property: bool) -> tuple[EventRows, None] | None:
        """`'order_*'`: every event whose name begins so. A name in double quotes is that very name, star and all."""
        prefix = node.value.removesuffix("*")
        if not prefix:
            return self.error("R544", "`*` alone is every event", node.place, f"write {call.name}({ANY_EVENT})")
        if needs_property:
            hint = f"""an event that is named `{node.value}` is written in double quotes: {call.name}("{node.value}".property)"""
            return self.error("R544", f"`{call.name}` needs one event's property, not the beginning of names", node.place, hint)
        rows = self.prefix_rows(prefix, node.place)
        return None if rows is None else (rows, None)

    def _event_parts(self, call: s.Call, node: s.Syntax) -> tuple[str, tuple[str, ...] | None] | None:
        match node:
            case s.Text(value="") | s.Null():
                return self.error("R507", "an event needs a name", node.place)
            case s.Text():
                return node.value, None
            case s.Name(parts=(event,)):
                return event, None
            case s.Name(parts=(event, *path)) if len(path) == 1 or self._is_inward(event, path):
                return event, tuple(path)
            case s.Name(parts=parts):
                known = (end for end in range(len(parts) - 1, 1, -1) if self.is_event(".".join(parts[:end])))
                end = next(known, len(parts) - 1)
                hint = f'an event\'s name with dots is quoted: "{".".join(parts[:end])}".{".".join(map(quoted_if_needed, parts[end:]))}'
                return self.error("R507", f"`{'.'.join(parts)}` has too many dots", node.place, hint)
            case s.Infix(op="-"):
                hint = f'an event\'s name with hyphens is quoted: "{self.written(node)}"'
                return self.error("R507", "this does not name an event", node.place, hint)
        hint = f"write the event first, as in {call.name}({'order_placed.amount' if call.name in WITH_PROPERTY else 'order_placed'}, ...)"
        return self.error("R507", f"the first argument of `{call.name}` names an event", node.place, hint)

    def _is_inward(self, event: str, path: Sequence[str]) -> bool:
        """Whether dots lead into a struct of an event's rows, and not from the name of another event, which has dots itself."""
        tables = [table for table in self.schema.events if event == ANY_EVENT or table.event in (None, event)]
        if not any(is_struct(path[0], table.fields) for table in tables):
            return False
        return self.is_event(event) or not any(self.is_event(".".join((event, *path[:end]))) for end in range(1, len(path)))

    def _no_property_wanted(self, call: s.Call, event: str, path: tuple[str, ...]) -> tuple[EventRows, tuple[str, ...] | None] | None:
        place, prop = call.args[0].place, ".".join(path)
        dotted = f"{event}.{prop}"
        if self.is_event(dotted):
            return self.error("R507", f"`{dotted}` has a dot, so it needs quotes", place, f'write {call.name}("{dotted}")')
        name, column = quoted_if_needed(event), ".".join(map(quoted_if_needed, path))
        hint = {
            "count": f"write count({name}, {column} is set), or distinct({name}.{column})",
            "did": f"write did({name}, {column} ...) with a condition",
            "first": f"write earliest({name}.{column})",
            "last": f"write latest({name}.{column})",
        }.get(call.name)
        return self.error("R508", f"`{call.name}` takes an event, not a property", place, hint)

    def _example(self, event: str) -> str | None:
        """`event.property` with a property that the event has, a number where there is one."""
        tables = [table for table in self.schema.events if table.event == event] or self.schema.events
        columns = [(name, column) for table in tables for name, column in table.fields.items() if column.kind is Kind.NUMBER]
        # whole numbers are often keys; what has places after the point is an amount
        chosen = next((name for name, column in columns if column.scale or column.is_float), None)
        return f"{quoted_if_needed(event)}.{quoted_if_needed(chosen)}" if chosen else None

    def _aggregate_type(self, call: s.Call, prop: n.Value | None, rows: EventRows) -> Type | None:
        if call.name in ("first", "last"):
            return TIMESTAMP
        if call.name == "active_periods":
            return COUNT
        if prop is None:
            return COUNT
        allowed = ALLOWED.get(call.name, COMPARABLE)
        if prop.type.kind not in allowed:
            hint = "a sum or average needs a column of numbers" if allowed == (Kind.NUMBER,) else None
            return self.error("R504", f"`{call.name}` is not for {a_kind(prop.type)} like `{_name(prop)}`", prop.place, hint)
        if call.name == "distinct":
            return COUNT
        if call.name == "avg":
            return FLOAT64
        if call.name == "sum":
            column = next(node.name for node in n.walk(prop) if isinstance(node, n.Field))
            places = max(table.scale for table in rows.tables if column in table.fields)
            return exact(MAX_DIGITS, places if prop.type.is_float else prop.type.scale)
        return prop.type

    # ------------------------------------------------------------ which time

    def bounds(self, call: s.Call) -> Bounds | None:
        """`last =>`, `since =>`, `until =>`, `during =>`."""
        fine = True
        last: n.Duration | None = None
        during: n.Period | None = None
        ends: dict[str, n.Value] = {}
        for named in call.named:
            if named.name == "last":
                last = self.duration(named.value, "last => '30 days'")
                fine = fine and last is not None
            elif named.name == "during":
                during = self._past_period(named)
                fine = fine and during is not None
            elif named.name in ("since", "until"):
                bound = self._bound(named)
                if bound is None:
                    fine = False
                else:
                    ends[named.name] = bound
        since, until = ends.get("since"), ends.get("until")
        if since is not None and until is not None and are_reversed(since, until):
            self.error("R404", "`since` is after `until`", since.place, "swap them")
        return Bounds(last, since, until, during) if fine else None

    def _past_period(self, named: s.Named) -> n.Period | None:
        """A period that events can be in: they lie before the run's instant."""
        period = self.period(named.value, "during => 'last month'")
        if period is not None and period.offset > 0:
            hint = "events lie before the run: write 'today', 'this month', 'last month', ..."
            return self.error("R410", "no event can be in a period that is still to come", named.value.place, hint)
        return period

    def _bound(self, named: s.Named) -> n.Value | None:
        before = len(self.errors)
        value = self.value(named.value, TIMESTAMP)
        if value is None:
            return None
        if len(self.errors) == before and (value.type.kind not in TIME_KINDS or not reads_clock_only(value)):
            hint = "write a date, an instant, or now(), ago('30 days'), today(), start_of('month')"
            self.error("R509", f"`{named.name}` takes a moment that is the same for every contact", named.value.place, hint)
            return None
        return value


COMPARABLE = (Kind.TEXT, Kind.NUMBER, Kind.BOOLEAN, Kind.TIMESTAMP, Kind.DATE)
ORDERED = (Kind.TEXT, Kind.NUMBER, Kind.TIMESTAMP, Kind.DATE)
ALLOWED = {"sum": (Kind.NUMBER,), "avg": (Kind.NUMBER,), "min": ORDERED, "max": ORDERED}
"""The kinds of property that a function takes; the others take all but lists."""


def _name(prop: n.Value) -> str:
    return prop.name if isinstance(prop, (n.Field, n.Part)) else ""


def reads_clock_only(value: n.Value) -> bool:
    """Whether a value is the same for every contact."""
    return not any(isinstance(node, (n.Field, n.Former, n.Aggregate)) for node in n.walk(value))


def are_reversed(low: n.Value, high: n.Value) -> bool:
    """Whether the lower of two bounds is certainly above the upper one."""
    if isinstance(low, n.AsOf) and isinstance(high, n.AsOf):
        (low_months, low_seconds), (high_months, high_seconds) = _moved_by(low), _moved_by(high)
        return low_months >= high_months and low_seconds >= high_seconds and (low_months, low_seconds) != (high_months, high_seconds)
    if not isinstance(low, n.Constant) or not isinstance(high, n.Constant):
        return False
    first, last = low.value, high.value
    if isinstance(first, date) and isinstance(last, date):
        return _start(first) - _end(last) > (MOST_APART if _is_aware(first) != _is_aware(last) else timedelta(0))
    return low.type.kind is Kind.NUMBER and high.type.kind is Kind.NUMBER and first > last  # type: ignore[operator]


def _moved_by(value: n.AsOf) -> tuple[int, int]:
    """How far from the run's instant: (months, seconds), of which one is 0."""
    if value.shift is None:
        return 0, 0
    amount = value.sign * value.shift.amount
    months = MONTHS.get(value.shift.unit)
    return (0, amount * SECONDS[value.shift.unit]) if months is None else (amount * months, 0)


def _is_aware(moment: date) -> bool:
    return isinstance(moment, datetime) and moment.tzinfo is not None


def _start(moment: date) -> datetime:
    return moment.replace(tzinfo=None) if isinstance(moment, datetime) else datetime.combine(moment, time.min)


def _end(moment: date) -> datetime:
    return moment.replace(tzinfo=None) if isinstance(moment, datetime) else datetime.combine(moment, time.max)
