"""Running the tests that stand in segments' own files: a small snapshot of made-up contacts, asked as any snapshot is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from segmentry.engine.columns import key_kind
from segmentry.engine.config_tests import SegmentTestConfig
from segmentry.engine.explain import explain
from segmentry.engine.explanation import Explanation
from segmentry.engine.fixtures import MOVED, Misfit, Row, cell, column_named, in_utc, moved, snapshot_of, table_of
from segmentry.engine.instants import instant
from segmentry.engine.keys import typed_key
from segmentry.engine.loading import LoadedWorkspace, Segment
from segmentry.engine.membership import Alignment
from segmentry.engine.moment import TURNS, Moment, Recorded, Remembering, Turns
from segmentry.engine.populations import has_population
from segmentry.engine.snapshot import Column, Snapshot
from segmentry.engine.splitting import split_of
from segmentry.engine.yaml import Steps
from segmentry.errors import NotFound, WorkspaceError
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.ground import Clock
from segmentry.rules.nodes import Always, Condition, Memory, Remembered
from segmentry.rules.parse import parse_text
from segmentry.rules.suggest import did_you_mean
from segmentry.rules.times import LiteralError, parse_moment
from segmentry.rules.types import Kind
from segmentry.rules.zones import FIRST_INSTANT
from segmentry.verifying.reach import unread

TIMES = ("ago", "at")
OWN = ("event", *TIMES)
"""Keys of an event that are no properties."""


@dataclass(frozen=True)
class Result:
    """One test: of which segment, which one (from 1), and what came out.

    `expected` is what the test says, `member` what the rule says; `explanation` is why, where the two differ. `group` is the contact's
    in a segment that is divided, and `expected_group` the one that the test says, if it says one.
    """

    segment: str
    number: int
    name: str | None
    file: str
    line: int
    expected: bool
    member: bool
    explanation: Explanation | None = None
    group: str | None = None
    expected_group: str | None = None

    @property
    def passed(self) -> bool:
        return self.member is self.expected and self.expected_group in (None, self.group)

    def __str__(self) -> str:
        called = f" ({self.name})" if self.name else ""
        where = f"{self.segment}, test {self.number}{called}, {self.file}:{self.line}"
        if self.passed:
            return f"{where}: {'in' if self.member else 'not in'}, as it should be"
        if self.member is self.expected:
            group = "no group" if self.group is None else f"the group {self.group}"
            return f"{where}: should be in the group {self.expected_group}, and is in {group}"
        return f"{where}: should be {'in' if self.expected else 'out'}, and is {'in' if self.member else 'not in'}"

    def to_json(self) -> dict[str, object]:
        return {
            "segment": self.segment,
            "test": self.number,
            "name": self.name,
            "file": self.file,
            "line": self.line,
            "expected": self.expected,
            "member": self.member,
            "passed": self.passed,
            **({} if self.expected_group is None else {"expected_group": self.expected_group, "group": self.group}),
            "explanation": None if self.explanation is None else self.explanation.to_json(),
        }


@dataclass(frozen=True)
class Tested:
    """What came out of all tests, by segment and in the files' order."""

    results: tuple[Result, ...]

    @property
    def failed(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if not result.passed)

    def headline(self) -> str:
        """The result in a line."""
        if not self.results:
            return "no segment has tests"
        segments = len({result.segment for result in self.results})
        many = f"{len(self.results)} test{'' if len(self.results) == 1 else 's'} of {segments} segment{'' if segments == 1 else 's'}"
        return f"{many}: {len(self.failed)} failed" if self.failed else f"{many}: all as they should be"

    def to_json(self) -> dict[str, object]:
        """Everything as plain values."""
        return {"passed": not self.failed, "tests": [result.to_json() for result in self.results]}


@dataclass
class Fixture:
    """One test made ready: its rows, under which circumstances it is asked, and where it stands."""

    segment: Segment
    number: int
    config: SegmentTestConfig
    clock: Clock
    contact: dict[str, object] = field(default_factory=dict)
    events: list[Row] = field(default_factory=list)
    key: int | str | None = None
    """The contact's key as it was given, or as it was made."""

    @property
    def at(self) -> Steps:
        return ("tests", self.number - 1)


def run_tests(moment: Moment, names: Sequence[str]) -> Tested:
    """Runs the tests of these segments. Raises WorkspaceError with everything that is wrong with a test."""
    fixtures, problems = fixtures_of(moment, names)
    if problems:
        raise WorkspaceError(problems)
    results: dict[tuple[str, int], Result] = {}
    for group in _groups(moment, fixtures):
        for result in _run(moment, group):
            results[result.segment, result.number] = result
    return Tested(tuple(results[fixture.segment.name, fixture.number] for fixture in fixtures))


def fixtures_of(moment: Moment, names: Sequence[str]) -> tuple[list[Fixture], list[Diagnostic]]:
    """Every test of these segments made ready, and everything that is wrong with one, at its place."""
    made: list[Fixture] = []
    problems: list[Diagnostic] = []
    for name in names:
        segment = moment.segment(name)
        for number, config in enumerate(segment.config.tests, 1):
            as_of = moment.clock.as_of if config.as_of is None else instant(config.as_of)
            clock = Clock(as_of, moment.clock.zone, moment.clock.week_start)
            making = _Making(moment, Fixture(segment, number, config, clock))
            making.make()
            made.append(making.fixture)
            problems += making.problems
    return made, problems


# ---------------------------------------------------------------- making rows


@dataclass
class _Making:
    """One test on its way to rows, and what is wrong with it so far."""

    moment: Moment
    fixture: Fixture
    problems: list[Diagnostic] = field(default_factory=list)

    def make(self) -> None:
        contacts, fixture = self.moment.contacts, self.fixture
        for name, written in fixture.config.contact.items():
            steps = (*fixture.at, "contact", name)
            column = self.column(name, contacts.relation.columns, "contacts", steps)
            if column is None or (column.name == contacts.key and (written is None or not self.key(written, column, steps))):
                continue
            if column.name in fixture.contact:
                self.note("W401", f"`{name}` is said twice", steps, "names of columns don't differ in case alone", key=True)
            fixture.contact[column.name] = self.cell(written, column, steps)
        for index, event in enumerate(fixture.config.events):
            self.event(event, (*fixture.at, "events", index))
        self.group()
        for name in fixture.config.member:
            if name not in self.moment.loaded.names:
                self.note(
                    "W401",
                    f"there is no segment `{name}`",
                    (*fixture.at, "member", name),
                    did_you_mean(name, self.moment.loaded.names),
                    key=True,
                )

    def group(self) -> None:
        """What is wrong with the group that a test says: it is found by the key, and is one of the segment's own."""
        said, split = self.fixture.config.split, self.fixture.segment.config.split
        if said is None:
            return
        steps, key = (*self.fixture.at, "split"), self.moment.contacts.key
        if split is None or said not in split.groups:
            hint = "add one" if split is None else did_you_mean(said, split.groups)
            self.note("W326", f"this segment's split has no group `{said}`", steps, hint)
        if all(name.lower() != key.lower() for name in self.fixture.config.contact):
            self.note(
                "W206", f"`split` needs the contact's `{key}`: its group is found by it", steps, f"add it to `contact`, as in {{{key}: 7}}"
            )

    def key(self, written: Any, column: Column, steps: Steps) -> bool:
        try:
            self.fixture.key = typed_key(written, column)
        except NotFound:
            self.note("W402", f"`{written}` is no key of a contact", steps)
            return False
        return True

    def event(self, event: Mapping[str, Any], steps: Steps) -> None:
        name = event.get("event")
        if not isinstance(name, str) or not name:
            self.note("W401", "an event needs its name", steps, "add `event: NAME`")
            return
        properties = {key: value for key, value in event.items() if key not in OWN}
        try:
            table = table_of(name, properties, self.moment.snapshot.events)
        except Misfit as problem:
            self.note("W401", problem.message, steps, problem.hint)
            return
        source = self.moment.snapshot.events[table]
        cells: dict[str, object] = {source.name: name} if source.name is not None else {}
        for key, value in properties.items():
            column = self.column(key, source.relation.columns, f"`{name}` events", (*steps, key))
            if column is not None and column.name in (source.contact, source.at, source.name):
                self.note(
                    "W401", f"`{key}` is not a property", (*steps, key), "an event is its contact's; its time is `ago` or `at`", key=True
                )
            elif column is not None:
                cells[column.name] = self.cell(value, column, (*steps, key))
        cells[source.at] = self.time(event, source.relation.columns[source.at], steps)
        self.fixture.events.append(Row(cells, table))

    def time(self, event: Mapping[str, Any], column: Column, steps: Steps) -> object:
        given = [key for key in TIMES if key in event]
        if len(given) != 1:
            self.note(
                "W403",
                f"an event has {'both' if given else 'neither'} `ago` {'and' if given else 'nor'} `at`",
                steps,
                "keep one" if given else "add `ago: 3 days`",
            )
            return None
        is_day, written = column.type is not None and column.type.kind is Kind.DATE, event[given[0]]
        try:
            if given == ["ago"]:
                return moved(str(written), MOVED["ago"], self.fixture.clock, day=is_day)
            found = parse_moment(str(written))
            return in_utc(found, self.fixture.clock) if not is_day else found.date() if isinstance(found, datetime) else found
        except LiteralError as problem:
            self.note("W402", problem.message, (*steps, given[0]), problem.hint)
            return None

    def column(self, name: str, columns: Mapping[str, Column], what: str, steps: Steps) -> Column | None:
        try:
            return column_named(name, columns, what)
        except Misfit as problem:
            self.note("W401", problem.message, steps, problem.hint, key=True)
            return None

    def cell(self, written: Any, column: Column, steps: Steps) -> object:
        try:
            return cell(written, self.fixture.segment.document.written(steps), column, self.fixture.clock)
        except Misfit as problem:
            self.note("W402", problem.message, steps, problem.hint)
            return None

    def note(self, code: str, message: str, steps: Steps, hint: str | None = None, *, key: bool = False) -> None:
        document = self.fixture.segment.document
        at = document.key_location(steps) if key else document.location(steps)
        self.problems.append(Diagnostic(code, message, location=at, help=hint))


# ---------------------------------------------------------------- asking


def _groups(moment: Moment, fixtures: Sequence[Fixture]) -> Iterator[list[Fixture]]:
    """Tests that can be asked together: one instant, the same memberships, no key twice, nothing that looks at other contacts."""
    groups: dict[tuple[object, ...], list[Fixture]] = {}
    alone: dict[str, bool] = {}
    for number, fixture in enumerate(fixtures):
        name = fixture.segment.name
        if name not in alone:
            conditions = moment.with_references({name: moment.whole(name)})
            alone[name] = unread(conditions, name) is not None or any(map(has_population, conditions.values()))
        circumstances = (fixture.clock.as_of, tuple(sorted(fixture.config.member.items())))
        again = sum(1 for other in fixtures[:number] if fixture.key is not None and other.key == fixture.key)
        groups.setdefault((*circumstances, again, number if alone[name] else None), []).append(fixture)
    yield from groups.values()


def _run(moment: Moment, group: Sequence[Fixture]) -> Iterator[Result]:
    with tempfile.TemporaryDirectory(prefix="segmentry-tests-") as folder:
        small = _moment(moment, group, Path(folder))
        names = list(dict.fromkeys(fixture.segment.name for fixture in group))
        answer = small.answer({name: small.whole(name) for name in names})
        rows = {key: row for row, key in enumerate(answer.keys.to_list())}
        for fixture in group:
            name, key, expected = fixture.segment.name, fixture.key, fixture.config.in_
            assert key is not None
            member = bool(answer.holds[name][rows[key]])
            line = fixture.segment.document.location(fixture.at).line
            why = None if member is expected else explain(small, name, key)
            split = split_of(name, fixture.segment.config)
            place = None if split is None else split.group(str(key))
            said = fixture.config
            yield Result(name, fixture.number, said.name, fixture.segment.file, line, expected, member, why, place, said.split)


def _moment(moment: Moment, group: Sequence[Fixture], folder: Path) -> Moment:
    """A moment of nobody but the group's contacts."""
    key = moment.contacts.relation.columns[moment.contacts.key]
    # a contact that is made up is in no static list unless its test says its key
    taken = {fixture.key for fixture in group}.union(*(keys.to_list() for keys in moment.lists(moment.loaded.lists()).values()))
    contacts, events = [], []
    fresh = (made for number in range(1, 10**9) if (made := _fresh_key(number, key)) not in taken)
    for fixture in group:
        fixture.key = next(fresh) if fixture.key is None else fixture.key
        stored = cell(fixture.key, str(fixture.key), key, fixture.clock)
        contacts.append(Row({**fixture.contact, key.name: stored}))
        events += [Row({**row.cells, moment.snapshot.events[row.source].contact: stored}, row.source) for row in fixture.events]
    told = group[0].config.member
    small = snapshot_of(moment.snapshot, contacts, events, folder)
    return _MadeUp(_with_memberships(moment.loaded, told), small, group[0].clock, _without_history, member=told)


@dataclass(frozen=True)
class _MadeUp(Moment):
    """A moment of made-up contacts, of whom some segments' memberships are said."""

    member: Mapping[str, bool] = field(default_factory=dict)

    def whole(self, name: str) -> Condition:
        return Always(self.member[name]) if name in self.member else super().whole(name)


@contextmanager
def _without_history(_loaded: LoadedWorkspace, _snapshot: Snapshot, _among: object) -> Iterator[Remembering]:
    yield _New()


class _New:
    """What earlier runs say of contacts that are new: they were in nothing."""

    def bitmap(self, asked: Remembered, alignment: Alignment) -> pl.Series:
        return pl.repeat(asked.memory is Memory.OUT, alignment.size, dtype=pl.Boolean(), eager=True)

    def recorded(self, _segment: str, _first: datetime | None, _as_of: datetime, _key: pl.Series) -> Recorded:
        return Recorded()

    def turns(self, _segment: str, keys: pl.Series) -> Turns:
        return Turns(FIRST_INSTANT, pl.DataFrame(schema=TURNS), keys.head(0))


def _fresh_key(number: int, key: Column) -> int | str:
    match key_kind(key.stored):
        case "integer":
            return number
        case "uuid":
            return f"00000000-0000-0000-0000-{number:012d}"
    return f"test {number}"


def _with_memberships(loaded: LoadedWorkspace, member: Mapping[str, bool]) -> LoadedWorkspace:
    """The workspace with segments that hold for everybody or nobody in the place of these."""
    told = {name: _told(loaded.segments[name], inside) for name, inside in member.items()}
    return replace(loaded, segments={**loaded.segments, **told})


def _told(segment: Segment, inside: bool) -> Segment:
    words = "true" if inside else "false"
    said = {"where": words, "rules": None, "match": None, "list_": None, "include": None, "exclude": None}
    return replace(segment, config=segment.config.model_copy(update=said), syntax=parse_text(words))
