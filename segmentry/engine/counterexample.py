"""The smallest case of two readings that disagree: one contact, one part of a rule, its values, and as few events as still show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pyarrow as pa

from segmentry.engine.evaluation import Evaluation
from segmentry.engine.frames import EventFrame, snapshot_of
from segmentry.engine.moment import Moment
from segmentry.engine.outline import operands, standings
from segmentry.engine.plan import make_plan
from segmentry.engine.render import cell, second
from segmentry.engine.second_reading import sources_of
from segmentry.errors import SegmentryError
from segmentry.rules import nodes as n
from segmentry.rules.ground import Clock
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.references import references
from segmentry.rules.types import Kind, Type
from segmentry.verifying.cells import Unread
from segmentry.verifying.days import EPOCH, EPOCH_DAY, MICROSECOND, Undecided
from segmentry.verifying.evaluator import Reading, World
from segmentry.verifying.people import EventRow, Key, Person, people
from segmentry.verifying.reach import wanted

MOST_TRIALS = 60
"""How often the engine is asked while events are left out."""

OF_PLACES = {n.Standing.PLACE: "its place", n.Standing.SIZE: "how many are in that order"}


@dataclass(frozen=True, slots=True)
class Compared:
    """One value of the part, as each reading has it; None is missing."""

    expression: str
    engine: object
    second: object


@dataclass(frozen=True)
class Case:
    """A contact about whom two readings of a segment disagree, and the smallest part of the rule in which they do.

    `within` is the segment whose rule the part stands in. `fields` are those of the contact's that the part reads, `events`
    the contact's, cut down to those that are needed for it where `smallest` is true.
    """

    segment: str
    contact: Key
    as_of: datetime
    within: str
    part: str
    engine: bool
    second: bool | None
    values: tuple[Compared, ...] = ()
    fields: Mapping[str, object] = field(default_factory=dict)
    events: tuple[Mapping[str, object], ...] = ()
    smallest: bool = False

    def __str__(self) -> str:
        verdicts = {True: "it holds", False: "it does not", None: "there is no such contact"}
        lines = [f"{self.segment}, contact {cell(self.contact)} at {second(self.as_of)}"]
        lines.append(f"  part of `{self.within}`: {cell(self.part)}")
        lines.append(f"  the engine says {verdicts[self.engine]}, the second reading {verdicts[self.second]}")
        lines += [
            f"  {cell(one.expression)}: the engine has {cell(one.engine)}, the second reading {cell(one.second)}" for one in self.values
        ]
        lines += [f"  contact.{cell(name)} = {cell(found)}" for name, found in self.fields.items()]
        lines += ["  event " + ", ".join(f"{cell(name)} = {cell(found)}" for name, found in event.items()) for event in self.events]
        if self.events and not self.smallest:
            lines.append("  these are all of the contact's events; in memory, without the files, the two agree or can't be asked")
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        return {
            "segment": self.segment,
            "contact": self.contact,
            "as_of": self.as_of,
            "within": self.within,
            "part": self.part,
            "engine": self.engine,
            "second": self.second,
            "values": [{"expression": one.expression, "engine": one.engine, "second": one.second} for one in self.values],
            "fields": dict(self.fields),
            "events": [dict(event) for event in self.events],
            "smallest": self.smallest,
        }


def counterexample(moment: Moment, world: World, segment: str, key: Key) -> Case:
    """The smallest case of a segment and a contact that are answered differently."""
    engine = bool(moment.answer({segment: world.conditions[segment]}, only=key).holds[segment][0])
    sources = sources_of(moment.snapshot)
    reached = _reached(world, segment)
    folk = people(sources, [key], wanted({name: world.conditions[name] for name in reached}), world.zone)
    if key not in folk:
        return Case(segment, key, moment.clock.as_of, segment, "the contact", engine, None)
    with deep_recursion():
        within, part, engine, other = _smallest_part(moment, world, reached, segment, folk[key])
    base = Case(segment, key, moment.clock.as_of, within, _words(moment, within, part), engine, other)
    found = replace(base, values=_values(moment, world, within, part, folk[key]))
    return _with_rows(moment, world, part, found, folk[key])


def _reached(world: World, segment: str) -> list[str]:
    """The segment and all that it refers to, by however many steps."""
    found = [segment]
    for name in found:
        found += sorted(references(world.conditions[name]) - set(found))
    return found


# ---------------------------------------------------------------- the part of the rule


def _smallest_part(
    moment: Moment, world: World, reached: Sequence[str], segment: str, person: Person
) -> tuple[str, n.Condition, bool, bool | None]:
    """The smallest condition that is answered differently: of which segment it is, itself, and both answers."""
    parts = [(name, part) for name in reached for part in _outside_events(world.conditions[name])]
    asked = {f"part:{number}": part for number, (_, part) in enumerate(parts)}
    answer = moment.answer(asked, only=person.key)
    differing = []
    for number, (name, part) in enumerate(parts):
        engine, other = bool(answer.holds[f"part:{number}"][0]), _second(Reading(world, person), part)
        if other is not None and other is not engine:
            differing.append((_size(part), number, name, part, engine, other))
    if not differing:  # only together with all that a run asks: the whole is what is left to show
        whole = world.conditions[segment]
        other = _second(Reading(world, person), whole)
        return segment, whole, not other, other
    _, _, name, part, engine, other = min(differing, key=lambda one: one[:2])
    return name, part, engine, other


def _second(reading: Reading, part: n.Condition) -> bool | None:
    try:
        return reading.holds(part)
    except Undecided:
        return None


def _outside_events(condition: n.Condition) -> list[n.Condition]:
    """A condition and all conditions of the contact below it."""
    found: list[n.Condition] = []
    pending: list[n.Node] = [condition]
    while pending:
        node = pending.pop()
        if isinstance(node, n.Condition):
            found.append(node)
        pending.extend(child for child in n.children(node) if not isinstance(child, (n.Events, n.Value)))
    return found


def _size(part: n.Condition) -> int:
    """How much there is to look at; a reference is larger than what it refers to."""
    return sum(10_000 if isinstance(node, n.Member) else 1 for node in n.walk(part))


def _words(moment: Moment, segment: str, node: n.Node) -> str:
    """A part of a segment's rule in its canonical words."""
    if isinstance(node, n.Listed):
        return f"listed in {node.list}"
    if isinstance(node, n.Not):
        return f"not {_words(moment, segment, node.item)}"
    rule = moment.own_rule(segment)
    text = "" if rule is None else " ".join(rule.text[node.place.start : node.place.end].split())
    return text or f"the whole of {segment}"


# ---------------------------------------------------------------- its values


def _values(moment: Moment, world: World, segment: str, part: n.Condition, person: Person) -> tuple[Compared, ...]:
    """The values that decide the part, as each reading has them."""
    if isinstance(part, (*n.COMBINATIONS, n.Listed)) and not isinstance(part, n.Not):
        return ()
    values = [value for value in (*operands(part), *standings(part)) if not isinstance(value, n.Constant)]
    answer = moment.answer({"part": part}, values, only=person.key)
    found = []
    for value in values:
        words = OF_PLACES.get(value.standing) if isinstance(value, n.Ranked) else None
        words = "how many such events" if isinstance(part, n.Did) else words or _words(moment, segment, value)
        found.append(Compared(words, _told(answer.value(value).to_list()[0]), _second_value(world, person, value)))
    return tuple(found)


def _second_value(world: World, person: Person, value: n.Value) -> object:
    try:
        return shown(Reading(world, person).value(value), value.type)
    except Undecided as problem:
        return f"left open: {problem}"


def _told(found: Any) -> object:
    return found.replace(tzinfo=UTC) if isinstance(found, datetime) and found.tzinfo is None else found


def shown(found: Any, type: Type) -> object:
    """A value of the second reading as people know it: instants and days by name, fractions as decimals where they are some."""
    if found is None or isinstance(found, (str, bool)):
        return found
    if isinstance(found, Unread):
        return found.why
    try:
        if type.kind is Kind.TIMESTAMP:
            return EPOCH + found * MICROSECOND
        if type.kind is Kind.DATE:
            return date.fromordinal(found + EPOCH_DAY)
    except (OverflowError, ValueError):
        return f"{found} {'microseconds' if type.kind is Kind.TIMESTAMP else 'days'} after 1970"
    if type.kind is Kind.LIST and type.element is not None:
        return [shown(one, type.element) for one in found]
    return _decimal(found) if isinstance(found, Fraction) else found


def _decimal(found: Fraction) -> object:
    if found.denominator == 1:
        return int(found)
    places = next((places for places in range(1, 39) if 10**places % found.denominator == 0), None)
    if places is None:
        return f"{found.numerator}/{found.denominator}"
    digits = str(abs(int(found * 10**places))).rjust(places + 1, "0")
    return f"{'-' if found < 0 else ''}{digits[:-places]}.{digits[-places:]}"


# ---------------------------------------------------------------- its rows


def _with_rows(moment: Moment, world: World, part: n.Condition, case: Case, person: Person) -> Case:
    """The case with the contact's fields that the part reads, and as few events as still show it."""
    asked = wanted({"part": part})
    types = sources_of(moment.snapshot)
    columns = types.contacts.columns
    fields = {name: shown(person.fields.get(name), columns[name]) for name in sorted(asked.contact & columns.keys())}
    if not any(isinstance(node, n.Events) for node in n.walk(part)):
        return replace(case, fields=fields)
    kept, smallest = _fewest_events(moment, world, part, person)
    events = tuple(_event(one, types.events[one.table].rows.columns, asked.event) for one in kept)
    return replace(case, fields=fields, events=events, smallest=smallest)


def _event(row: EventRow, columns: Mapping[str, Type], names: frozenset[str]) -> dict[str, object]:
    at = None if row.at is None else EPOCH + timedelta(microseconds=row.at)
    properties = {name: shown(row.fields.get(name), columns[name]) for name in sorted(names & columns.keys())}
    return {"event": row.event, "at": at, **properties}


def _fewest_events(moment: Moment, world: World, part: n.Condition, person: Person) -> tuple[list[EventRow], bool]:
    """The contact's events without those that are not needed for the two to differ, and whether that could be tried at all."""
    if any(isinstance(node, (n.Member, n.Listed, n.Population)) for node in n.walk(part)):  # they need more than this contact
        return person.events, False
    own = [[row for row in person.events if row.table == index] for index in range(len(world.events))]
    rows = _Rows.of(moment, part, person.key)

    def differ(chosen: list[list[int]]) -> bool:
        fewer = [own[index][number] for index, numbers in enumerate(chosen) for number in numbers]
        other = _second(Reading(world, replace(person, events=fewer)), part)
        return other is not None and rows.engine(chosen) is (not other)

    everything = [list(range(len(rows))) for rows in own]
    if not differ(everything):
        return person.events, False
    kept = _reduced(everything, differ)
    return [own[index][number] for index, numbers in enumerate(kept) for number in numbers], True


def _reduced(everything: list[list[int]], still: Callable[[list[list[int]]], bool]) -> list[list[int]]:
    """The numbers in each list without those that are not needed, halves first, then quarters and so on."""
    kept, trials = everything, 0
    for index in range(len(kept)):
        size = max(1, len(kept[index]) // 2)
        while size:
            start = 0
            while start < len(kept[index]) and trials < MOST_TRIALS:
                trials += 1
                fewer = [*kept[:index], kept[index][:start] + kept[index][start + size :], *kept[index + 1 :]]
                if still(fewer):
                    kept = fewer
                else:
                    start += size
            size //= 2
    return kept


@dataclass(frozen=True)
class _Rows:
    """One contact's rows in memory, which the engine can be asked about without the files."""

    clock: Clock
    part: n.Condition
    key: str
    contacts: pa.Table
    events: tuple[tuple[EventFrame, pa.Table], ...]

    @classmethod
    def of(cls, moment: Moment, part: n.Condition, key: Key) -> _Rows:
        sources, asked = sources_of(moment.snapshot), wanted({"part": part})
        contacts = sources.contacts.picked(sources.key, [key], sorted(asked.contact & sources.contacts.columns.keys()))
        events = []
        for source in sources.events:
            own = [source.contact, source.at, *([source.name] if source.name else [])]
            found = source.rows.picked(source.contact, [key], [*own, *sorted(asked.event & source.rows.columns.keys())])
            events.append((EventFrame(None, source.contact, source.at, source.name, source.event, source.scale), found))
        return cls(moment.clock, part, sources.key, contacts, tuple(events))

    def engine(self, chosen: Sequence[Sequence[int]]) -> bool | None:
        """What the engine says of the part over these events of each table; None where it can't be asked."""
        frames = [replace(role, data=table.take(numbers)) for (role, table), numbers in zip(self.events, chosen, strict=True) if numbers]
        try:
            sources = snapshot_of(self.contacts, self.key, frames)
            plan = make_plan({"part": self.part}, sources.snapshot, self.clock)
            with Evaluation(sources.snapshot, clock=self.clock, frames=sources.frames) as evaluation:
                return bool(evaluation.memberships(plan).column("part")[0])
        except SegmentryError:
            return None
