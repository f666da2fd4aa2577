"""`segmentry.evaluate`: segments of any Arrow-speaking frame, without a workspace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import polars as pl

from segmentry.engine.evaluation import Evaluation
from segmentry.engine.frames import EventFrame, FrameSnapshot, snapshot_of
from segmentry.engine.instants import instant
from segmentry.engine.membership import Memberships
from segmentry.engine.plan import make_plan
from segmentry.engine.render import table_html
from segmentry.engine.schemas import schema_of
from segmentry.errors import ClockError, RuleError
from segmentry.rules.builder import parse_builder
from segmentry.rules.checker import check
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.ground import Clock, ground
from segmentry.rules.nodes import Condition
from segmentry.rules.parse import parse_text
from segmentry.rules.references import in_order
from segmentry.rules.schema import Schema
from segmentry.rules.times import WEEKDAYS
from segmentry.rules.zones import is_zone

Rule = str | Mapping[str, object]


@dataclass(frozen=True)
class Events:
    """An event table: an Arrow-speaking frame or the path of a Parquet file, and which of its columns are what.

    `contact` holds the contact's key, `at` the event's time (a timestamp, UTC where it has no zone, or a date), `name`
    the event's name. Given in a mapping from event name to `Events`, every row is that event, and `name` is not read.
    `scale` is how many places of a float property a sum keeps.
    """

    frame: object
    contact: str = "contact_id"
    at: str = "at"
    name: str = "event"
    scale: int = 6


@dataclass(frozen=True)
class Membership:
    """Who is in: one Boolean per contact and segment, in the order of `contacts`."""

    keys: pl.Series
    memberships: Memberships

    def members(self, name: str) -> pl.Series:
        """The keys of a segment's members, in the order of `contacts`. KeyError for an unknown segment."""
        if name not in self.memberships.names:
            raise KeyError(name)
        return self.keys.filter(self.memberships.column(name))

    def counts(self) -> dict[str, int]:
        """How many members each segment has."""
        return self.memberships.counts()

    def to_polars(self) -> pl.DataFrame:
        """The key column under its own name, then one Boolean column per segment."""
        names = self.memberships.names
        if self.keys.name in names:
            raise ValueError(f"the key column and a segment are both named `{self.keys.name}`; rename the segment")
        return pl.DataFrame([self.keys, *(self.memberships.column(name).alias(name) for name in names)])

    def _summary(self) -> pl.DataFrame:
        counts = self.counts()
        share = [count / len(self.keys) for count in counts.values()]
        return pl.DataFrame({"segment": list(counts), "members": list(counts.values()), "share": [f"{part:.1%}" for part in share]})

    def __str__(self) -> str:
        lines = [f"{len(self.keys):,} contacts"]
        lines += [f"  {name}: {members:,} ({share})" for name, members, share in self._summary().iter_rows()]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        summary = self._summary()
        return f"<p><b>{len(self.keys):,} contacts</b></p>{table_html(summary, rows=summary.height, grouped=('members',))}"


def evaluate(
    rules: Mapping[str, Rule],
    *,
    contacts: object,
    key: str,
    events: Events | Sequence[Events] | Mapping[str, Events] | None = None,
    as_of: datetime | str | None = None,
    timezone: str = "UTC",
    week_start: str = "monday",
) -> Membership:
    """Who is in each of some segments.

    `rules` maps a name to a rule: text, or a builder mapping; a rule may refer to another by `member('name')`.
    `contacts` is any Arrow-speaking frame (polars, pyarrow, pandas, a DuckDB relation) or the path of a Parquet file,
    one row a contact; `key` is its unique column. `events` is one `Events`, several, or a mapping from event name to
    `Events`. `as_of` is the instant that `now()` is (a datetime, naive is UTC, or ISO text; None is now), `timezone`
    the zone that days and dates are of, `week_start` the day that weeks begin with.

    Raises RuleError with every problem of every rule, SourceError with every problem of the frames, and ClockError for
    an `as_of`, `timezone` or `week_start` that is none.
    """
    clock = Clock(_instant(as_of), _zone(timezone), _weekday(week_start))
    sources = snapshot_of(contacts, key, list(_event_frames(events)))
    conditions = _checked(rules, sources)
    grounded = {name: ground(condition, clock) for name, condition in conditions.items()}
    with Evaluation(sources.snapshot, clock=clock, frames=sources.frames) as evaluation:
        plan = make_plan(grounded, sources.snapshot, clock)
        evaluation.prepare_by_row(plan)
        return Membership(evaluation.keys(), evaluation.memberships(plan))


def _instant(as_of: datetime | str | None) -> datetime:
    if as_of is None:
        return datetime.now(UTC)
    try:
        return instant(as_of)
    except ValueError:
        raise ClockError(f"as_of is `{as_of}`, which is no instant; write it as 2026-01-31T09:00:00Z") from None


def _zone(timezone: str) -> str:
    if not is_zone(timezone):
        raise ClockError(f"there is no timezone `{timezone}`; write one such as Europe/London")
    return timezone


def _weekday(week_start: str) -> str:
    if week_start not in WEEKDAYS:
        raise ClockError(f"there is no weekday `{week_start}`; write one such as sunday")
    return week_start


def _event_frames(events: Events | Sequence[Events] | Mapping[str, Events] | None) -> Iterable[EventFrame]:
    if events is None:
        return
    if isinstance(events, Mapping):
        for event, table in events.items():
            yield _event_frame(table, None, event)
        return
    for table in events if isinstance(events, Sequence) else [events]:
        yield _event_frame(table, getattr(table, "name", None), None)


def _event_frame(table: object, name: str | None, event: str | None) -> EventFrame:
    if not isinstance(table, Events):
        raise TypeError(f"events are given as segmentry.Events(frame, contact=..., at=...), not as a {type(table).__name__}")
    return EventFrame(table.frame, table.contact, table.at, name, event, table.scale)


def _checked(rules: Mapping[str, Rule], sources: FrameSnapshot) -> dict[str, Condition]:
    """What the rules mean. RuleError with every problem of all of them."""
    schema = schema_of(sources.snapshot, rules.keys(), frames=sources.frames, history=False)
    conditions: dict[str, Condition] = {}
    problems: list[Diagnostic] = []
    for name, rule in rules.items():
        if not name or type(name) is not str:
            raise ValueError(f"a segment's name is text that is not empty, not {name!r}")  # a frame of results would make one up
        try:
            conditions[name] = _meaning(rule, schema)
        except RuleError as error:
            problems.extend(_of_rule(name, problem) for problem in error.diagnostics)
    if not problems:
        try:
            in_order(conditions)
        except RuleError as error:
            problems.extend(error.diagnostics)
    if problems:
        raise RuleError(problems)
    return conditions


def _meaning(rule: Rule, schema: Schema) -> Condition:
    text = rule if isinstance(rule, str) else None
    syntax = parse_text(rule) if isinstance(rule, str) else parse_builder(rule)
    return check(syntax, schema, source=text, proofs=False)[0]


def _of_rule(name: str, problem: Diagnostic) -> Diagnostic:
    """The problem with the rule's name, which is all the file there is."""
    located = problem.location or problem.location_in_rule()
    return problem.at(replace(located, file=name)) if located else replace(problem, notes=(*problem.notes, f"in the rule `{name}`"))
