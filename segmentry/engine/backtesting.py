"""How segments would have been at every instant of a past period, in a few passes over the data.

All rules are grounded at each of many instants, and one plan has all of these conditions: what does not read the clock is
computed once, and every event table is read and grouped once for all instants of a pass. How many instants a pass has is
a matter of memory.

The contacts' rows are today's: events and the clock go back in time, a field's value does not. What accepted runs say of
members (`entered`, `member` with `for`) is as it was known at each instant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from segmentry.engine.definitions import SegmentDefinition, composed
from segmentry.engine.membership import Memberships
from segmentry.engine.moment import Moment, Written
from segmentry.engine.otherwise import replaced
from segmentry.engine.plan import Plan, make_plan
from segmentry.engine.plotting import Curve, in_blocks, svg
from segmentry.engine.sources import verify_unchanged
from segmentry.errors import ClockError
from segmentry.rules.ground import Clock, ground
from segmentry.rules.nodes import Condition, Member, Unit
from segmentry.rules.references import in_order, references
from segmentry.rules.times import LiteralError, parse_duration, shift_instant
from segmentry.rules.zones import local_to_utc, utc_to_local

MOST_INSTANTS = 10_000
MOST_COLUMNS = 1_000
"""Conditions that one pass asks of a contact."""

MOST_CELLS = 200_000_000
"""Conditions times contacts of one pass."""

NOTE = "contacts' rows are those of today: only events and the clock go back in time"

SERIES = pl.Schema(
    {"at": pl.Datetime("us", "UTC"), "segment": pl.String(), "size": pl.Int64(), "entered": pl.Int64(), "exited": pl.Int64()}
)


@dataclass(frozen=True)
class Backtest:
    """What segments and candidate rules would have been.

    `series` has a row per instant and segment: `at`, `segment` (a candidate is called `rule 1`, `rule 2`, ...), `size`, and since
    the instant before `entered` and `exited`, missing at the first. `rules` has the candidates' canonical text by their names;
    `passes` is how often the events were read.
    """

    series: pl.DataFrame
    names: tuple[str, ...]
    rules: Mapping[str, str]
    passes: int

    def side_by_side(self) -> pl.DataFrame:
        """A row per instant: `at`, and per segment its size, who entered and who exited."""
        columns = {"size": "{}", "entered": "{} entered", "exited": "{} exited"} if len(self.names) > 1 else {}
        found = self.series.filter(segment=self.names[0]).select("at")
        for name in self.names:
            own = self.series.filter(segment=name).select("size", "entered", "exited")
            found = found.hstack(own.rename({column: text.format(name) for column, text in columns.items()}))
        return found

    @property
    def _curves(self) -> list[Curve]:
        return [Curve(self.rules.get(name, name), self.series.filter(segment=name)["size"].to_list()) for name in self.names]

    def plot(self, width: int = 80) -> str:
        """The sizes as curves of block characters, a picture per segment, all of one scale."""
        return in_blocks(self._curves, self.series["at"].min(), self.series["at"].max(), width)  # type: ignore[arg-type]

    def svg(self) -> str:
        """The sizes as curves of one picture: an SVG document."""
        return svg(self._curves, self.series.filter(segment=self.names[0])["at"].to_list(), NOTE)

    def __str__(self) -> str:
        return f"{self.plot()}\n{NOTE}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.svg()


# ---------------------------------------------------------------- the period


def instants(first: datetime, last: datetime, every: str, zone: str, now: datetime) -> list[datetime]:
    """From `first` to `last`, both in, by steps; days and longer keep the local time of day. Raises ClockError."""
    try:
        step = parse_duration(every)
    except LiteralError as problem:
        raise ClockError(f"{problem.message}: {problem.hint}") from None
    if first > last:
        raise ClockError(f"the period begins {first:%Y-%m-%d %H:%M}, after its end {last:%Y-%m-%d %H:%M} UTC")
    if last > now:
        raise ClockError(f"the period ends {last:%Y-%m-%d %H:%M} UTC, later than now: only what was can be looked back on")
    days = {Unit.DAY: 1, Unit.WEEK: 7}.get(step.unit)
    found: list[datetime] = []
    while len(found) <= MOST_INSTANTS:
        amount = len(found) * step.amount
        if not amount:
            moment = first
        elif days is None:
            moment = shift_instant(first, 1, replace(step, amount=amount), zone)
        else:
            moment = local_to_utc(utc_to_local(first, zone) + timedelta(days=amount * days), zone)
        if moment > last:
            return found
        found.append(moment)
    raise ClockError(f"the period has more than {MOST_INSTANTS:,} steps of {every}: take longer ones")


# ---------------------------------------------------------------- the computation


def backtest(moment: Moment, names: Sequence[str], rules: Sequence[Written], period: Sequence[datetime]) -> Backtest:
    """Segments and candidate rules at every instant of a period. Raises NotFound, RuleError and SourceError."""
    asked = {f"rule {number}": moment.ask(rule) for number, rule in enumerate(rules, 1)}  # no segment's name has a space
    wanted = (*dict.fromkeys(names), *asked)
    defined = _Defined(moment, {name: rule.condition for name, rule in asked.items()}, names)
    counted = _Counted(wanted)
    try:
        passes = _evaluated(moment, defined, period, counted)
    except Exception:
        verify_unchanged(moment.snapshot)  # a file that changed under the reader explains whatever else went wrong
        raise
    rows = [(at, name, *counted.rows[name][number]) for number, at in enumerate(period) for name in wanted]
    series = pl.DataFrame(rows, schema=SERIES, orient="row")
    return Backtest(series, wanted, {name: rule.text for name, rule in asked.items()}, passes)


class _Defined:
    """The segments that are asked for, and those that they refer to: checked once, grounded at any instant."""

    def __init__(self, moment: Moment, candidates: Mapping[str, Condition], names: Iterable[str]) -> None:
        self.moment = moment
        self.rules: dict[str, Condition | None] = dict(candidates)
        self.definitions = {name: SegmentDefinition("") for name in candidates}
        self.before: dict[str, tuple[str, ...]] = {}
        pending = [*names, *(other for rule in candidates.values() for other in sorted(references(rule)))]
        while pending:
            name = pending.pop()
            if name in self.rules:
                continue
            segment, rule = moment.segment(name), moment.own_rule(name)
            self.definitions[name] = SegmentDefinition(None, segment.list, segment.include, segment.exclude)
            self.rules[name] = None if rule is None else rule.condition
            self.before[name] = moment.going_before(name)
            pending += self.before[name]
            pending += sorted(references(rule.condition)) if rule is not None else []
        moment.with_references(self.at(moment.clock.as_of))  # a circle is told of at its place

    def at(self, instant: datetime) -> dict[str, Condition]:
        """Every segment as one condition of that instant."""
        clock = replace(self.moment.clock, as_of=instant)
        return {
            name: composed(None if rule is None else ground(rule, clock), self.definitions[name], before=self.before.get(name, ()))
            for name, rule in self.rules.items()
        }

    def columns(self, number: int, instant: datetime) -> dict[str, Condition]:
        """The same, under names that tell instants apart."""
        conditions = self.at(instant)
        others: dict[str, Condition] = {name: Member(column(name, number)) for name in conditions}
        return {column(name, number): replaced(conditions[name], others) for name in in_order(conditions)}


def column(name: str, number: int) -> str:
    """What a segment is called at one instant; no segment's name has a colon."""
    return f"{number}:{name}"


@dataclass
class _Counted:
    """Sizes and moves of each wanted segment, instant by instant."""

    wanted: Sequence[str]

    def __post_init__(self) -> None:
        self.rows: dict[str, list[tuple[int, int | None, int | None]]] = {name: [] for name in self.wanted}
        self._before: dict[str, list[pl.Series]] = {}

    def add(self, found: Memberships, number: int) -> None:
        """The next instant, from the memberships of the pass that it is in."""
        for name in self.wanted:
            now = [chunk[column(name, number)] for chunk in found.chunks]
            size = sum(int(bitmap.sum()) for bitmap in now)
            before = self._before.get(name)
            if before is None:
                self.rows[name].append((size, None, None))
            else:
                entered = sum(int((bitmap & ~was).sum()) for bitmap, was in zip(now, before, strict=True))
                self.rows[name].append((size, entered, self.rows[name][-1][0] + entered - size))
            self._before[name] = now


def _evaluated(moment: Moment, defined: _Defined, period: Sequence[datetime], counted: _Counted) -> int:
    """Every instant of the period counted, pass by pass; how many passes it took."""
    numbered = list(enumerate(period))
    once = _plan(moment, defined, numbered[-1:])
    lists, passes = moment.lists(once.listed.values()), 0
    with moment.recalling(once) as recall, moment.evaluation(recall=recall) as evaluation:
        evaluation.prepare(once)
        contacts = len(evaluation.keys())
        for part in _parts(numbered, _most_instants(once, contacts)):
            plan = _plan(moment, defined, part)
            evaluation.prepare(plan)
            found = evaluation.memberships(plan, lists)
            passes += 1
            for number, _ in part:
                counted.add(found, number)
    return passes


def _plan(moment: Moment, defined: _Defined, part: Sequence[tuple[int, datetime]]) -> Plan:
    """One plan for some instants; its clock is the last of them, and each window ends by its own."""
    conditions = {name: condition for number, instant in part for name, condition in defined.columns(number, instant).items()}
    return make_plan(conditions, moment.snapshot, Clock(part[-1][1], moment.clock.zone, moment.clock.week_start))


def _most_instants(once: Plan, contacts: int) -> int:
    """How many instants a pass may have, from what one of them asks."""
    columns = max(1, len(once.leaf_columns) + len(once.remembered) + sum(len(scan.parts) + scan.words for scan in once.scans))
    return max(1, min(MOST_COLUMNS // columns, MOST_CELLS // (columns * max(contacts, 1))))


def _parts(numbered: Sequence[tuple[int, datetime]], size: int) -> Iterator[Sequence[tuple[int, datetime]]]:
    for start in range(0, len(numbered), size):
        yield numbered[start : start + size]
