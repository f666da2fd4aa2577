"""How segments would have been at every instant of a past period, in a few passes over the data.

All rules are grounded at each of many instants, and one plan has all of these conditions: what does not read the clock is
computed once, and every event table is read and grouped once for all instants of a pass. How many instants a pass has is
a matter of memory.

The contacts' rows are today's: events and the clock go back in time, a field's value does not. What accepted runs say of
members (`entered`, `member` with `for`) is as it was known at each instant. Groups of splits are those that `segments/` has today: a
contact is in the same one at every instant.
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
from segmentry.engine.splitting import GROUP, Split, chosen_splits
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
    {
        "at": pl.Datetime("us", "UTC"),
        "segment": pl.String(),
        GROUP: pl.String(),
        "size": pl.Int64(),
        "entered": pl.Int64(),
        "exited": pl.Int64(),
    }
)


@dataclass(frozen=True, slots=True)
class Line:
    """What is counted at every instant: a segment or candidate, or one group of a divided segment (None: its members in no group)."""

    segment: str
    divided: bool = False
    group: str | None = None

    @property
    def name(self) -> str:
        return f"{self.segment} {self.group or 'in no group'}" if self.divided else self.segment


@dataclass(frozen=True)
class Backtest:
    """What segments and candidate rules would have been.

    `series` has a row per instant and segment: `at`, `segment` (a candidate is called `rule 1`, `rule 2`, ...), `size`, and since
    the instant before `entered` and `exited`, missing at the first. Where groups were asked for, a divided segment has a row for
    each, and `group` has its name, missing for its members in none. `rules` has the candidates' canonical text by their names;
    `passes` is how often the events were read.
    """

    series: pl.DataFrame
    names: tuple[str, ...]
    rules: Mapping[str, str]
    passes: int
    lines: tuple[Line, ...]

    def side_by_side(self) -> pl.DataFrame:
        """A row per instant: `at`, and per segment, or group of it, its size, who entered and who exited."""
        columns = {"size": "{}", "entered": "{} entered", "exited": "{} exited"} if len(self.lines) > 1 else {}
        found = self._of(self.lines[0]).select("at")
        for line in self.lines:
            own = self._of(line).select("size", "entered", "exited")
            found = found.hstack(own.rename({column: text.format(line.name) for column, text in columns.items()}))
        return found

    def _of(self, line: Line) -> pl.DataFrame:
        own = self.series.filter(segment=line.segment)
        return own.filter(pl.col(GROUP).eq_missing(pl.lit(line.group))) if line.divided else own

    @property
    def _curves(self) -> list[Curve]:
        return [Curve(self.rules.get(line.name, line.name), self._of(line)["size"].to_list()) for line in self.lines]

    def plot(self, width: int = 80) -> str:
        """The sizes as curves of block characters, a picture per segment, all of one scale."""
        return in_blocks(self._curves, self.series["at"].min(), self.series["at"].max(), width)  # type: ignore[arg-type]

    def svg(self) -> str:
        """The sizes as curves of one picture: an SVG document."""
        return svg(self._curves, self._of(self.lines[0])["at"].to_list(), NOTE)

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


def backtest(
    moment: Moment, names: Sequence[str], rules: Sequence[Written], period: Sequence[datetime], *, split: bool = False
) -> Backtest:
    """Segments and candidate rules at every instant of a period; with `split` the groups of divided segments in their place.

    Raises NotFound, also where groups are asked for and none of the segments has any, RuleError and SourceError.
    """
    asked = {f"rule {number}": moment.ask(rule) for number, rule in enumerate(rules, 1)}  # no segment's name has a space
    wanted = (*dict.fromkeys(names), *asked)
    defined = _Defined(moment, {name: rule.condition for name, rule in asked.items()}, names)
    splits = chosen_splits({name: moment.segment(name).config for name in names}) if split else {}
    counted = _Counted(wanted, splits)
    try:
        passes = _evaluated(moment, defined, period, counted)
    except Exception:
        verify_unchanged(moment.snapshot)  # a file that changed under the reader explains whatever else went wrong
        raise
    rows = [(at, line.segment, line.group, *counted.rows[line][number]) for number, at in enumerate(period) for line in counted.lines]
    series = pl.DataFrame(rows, schema=SERIES, orient="row")
    return Backtest(
        series if split else series.drop(GROUP), wanted, {name: rule.text for name, rule in asked.items()}, passes, counted.lines
    )


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


class _Counted:
    """Sizes and moves of each line, instant by instant."""

    def __init__(self, wanted: Sequence[str], splits: Mapping[str, Split]) -> None:
        self.splits = splits
        self.lines = tuple(line for name in wanted for line in _lines(name, splits.get(name)))
        self.rows: dict[Line, list[tuple[int, int | None, int | None]]] = {line: [] for line in self.lines}
        self._before: dict[Line, list[pl.Series]] = {}
        self._groups: dict[str, pl.Series] = {}

    def divide(self, keys: pl.Series) -> None:
        """Finds the group of every contact, once for all instants."""
        self._groups = {name: split.groups(keys) for name, split in self.splits.items()}

    def add(self, found: Memberships, number: int) -> None:
        """The next instant, from the memberships of the pass that it is in."""
        for line in self.lines:
            now = self._members(line, [chunk[column(line.segment, number)] for chunk in found.chunks])
            size = sum(int(bitmap.sum()) for bitmap in now)
            before = self._before.get(line)
            if before is None:
                self.rows[line].append((size, None, None))
            else:
                entered = sum(int((bitmap & ~was).sum()) for bitmap, was in zip(now, before, strict=True))
                self.rows[line].append((size, entered, self.rows[line][-1][0] + entered - size))
            self._before[line] = now

    def _members(self, line: Line, chunks: list[pl.Series]) -> list[pl.Series]:
        """Of a segment's members, chunk by chunk, those that a line is about."""
        if not line.divided:
            return chunks
        groups, start, found = self._groups[line.segment], 0, []
        for chunk in chunks:
            own = groups.slice(start, len(chunk))
            found.append(chunk & (own.is_null() if line.group is None else own.eq_missing(pl.Series([line.group]))))
            start += len(chunk)
        return found


def _lines(name: str, split: Split | None) -> Iterator[Line]:
    if split is None:
        yield Line(name)
        return
    yield from (Line(name, divided=True, group=group) for group in split.names)
    if sum(share.share for share in split.shares) < 1:
        yield Line(name, divided=True)


def _evaluated(moment: Moment, defined: _Defined, period: Sequence[datetime], counted: _Counted) -> int:
    """Every instant of the period counted, pass by pass; how many passes it took."""
    numbered = list(enumerate(period))
    once = _plan(moment, defined, numbered[-1:])
    lists, passes = moment.lists(once.listed.values()), 0
    with moment.recalling(once) as recall, moment.evaluation(recall=recall) as evaluation:
        evaluation.prepare(once)
        keys = evaluation.keys()
        contacts = len(keys)
        counted.divide(keys)
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
