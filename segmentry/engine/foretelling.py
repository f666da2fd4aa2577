"""When an answer turns over if nothing else happens: one contact's conditions at every instant at which one of them may change.

`motion` lists the instants; here the conditions are evaluated at them, by the plan that a run would make, and the rule is
put together from what they come to. Beyond what is known of a condition it is neither true nor false, and so may the rule be.
What asks accepted runs is evaluated as if no further one were made, and known for as long as that is the same with others
(`hindsight`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from segmentry.engine.contact_past import Asked, look
from segmentry.engine.hindsight import Course, Hindsight, Verdict, at_least, earliest, hindsight
from segmentry.engine.moment import Moment
from segmentry.engine.motion import Motion, motion
from segmentry.engine.outline import Outline, Shape
from segmentry.rules import nodes
from segmentry.rules.ground import TICK, Clock, ground
from segmentry.rules.nodes import Condition

FIRST_LOOK = 96
"""Conditions at instants that the first look ahead evaluates; each further one takes four times as many."""

MOST_LOOKS = 4_000
"""Conditions at instants after which the search ends: what comes later is said to be unknown."""


class Foresight(StrEnum):
    """What is known of the next change of an answer."""

    AT = "at"
    """It turns over at `at`, and not a microsecond before."""
    NEVER = "never"
    """By time alone it stays as it is."""
    NOT_BEFORE = "not before"
    """It stays as it is up to `at`; what comes later was not looked at, or hangs on when runs are made."""
    UNKNOWN = "unknown"
    """It can't be foretold."""


@dataclass(frozen=True, slots=True)
class Flip:
    """When an answer next turns over if no data changes. `at` is aware UTC; None for `never` and `unknown`."""

    kind: Foresight
    at: datetime | None = None

    def to_json(self) -> dict[str, object]:
        return {"kind": str(self.kind), "at": self.at}


NEVER, UNKNOWN = Flip(Foresight.NEVER), Flip(Foresight.UNKNOWN)


def foretell(moment: Moment, key: int | str, tree: Outline, now: Mapping[Condition, bool]) -> dict[int, Flip]:
    """The next flip of every line of an outline, by the line's `id`. `now` has the answer of each line without parts.

    Lines without parts are the leaves; of those that no clock moves nothing is evaluated again.
    """
    leaves = [line.condition for _, line in tree.lines() if is_leaf(line)]
    past = hindsight(moment, key, leaves)
    now = {**now, **_now(moment, key, past)}
    moving = _motions(moment, key, [*leaves, *past.leaves], past)
    search = _Search(moment, key, {leaf: found for leaf, found in moving.items() if not found.still}, past)
    lines = Tree(tree)
    courses = {leaf: Course(bool(holds), [], [], None) for leaf, holds in now.items()}
    while True:
        courses |= search.courses(now)
        flips = _flips(lines, past.bounded(courses), moment.clock.as_of)
        if search.done or not search.tells_more(flips.values()):
            return flips
        search.go_on()


def _now(moment: Moment, key: int | str, past: Hindsight) -> dict[Condition, bool]:
    """What the conditions of the segments that are asked about are for the contact."""
    asked = {f"leaf {number}": leaf for number, leaf in enumerate(past.leaves)}  # no segment's name has a space
    if not asked:
        return {}
    holds = moment.answer({name: moment.grounded(leaf) for name, leaf in asked.items()}, only=key).holds
    return {leaf: bool(holds[name][0]) for name, leaf in asked.items()}


def _motions(moment: Moment, key: int | str, leaves: Iterable[Condition], past: Hindsight) -> dict[Condition, Motion]:
    asked = Asked(past.rules.__getitem__)
    leaves = list(dict.fromkeys(leaves))
    for leaf in leaves:
        motion(leaf, asked, moment.clock)
    looked = look(moment, key, asked)
    return {leaf: motion(leaf, looked, moment.clock) for leaf in leaves}


@dataclass
class _Search:
    """Evaluates leaves at the instants at which they may change, the next ones first."""

    moment: Moment
    key: int | str
    motions: Mapping[Condition, Motion]
    past: Hindsight
    size: int = FIRST_LOOK
    found: dict[Condition, list[tuple[datetime, bool]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left = sorted(
            ((instant, number) for number, (_, moves) in enumerate(self._leaves) for instant in _within(moves)), reverse=True
        )
        self.evaluated = 0
        self.go_on()

    @property
    def _leaves(self) -> list[tuple[Condition, Motion]]:
        return list(self.motions.items())

    @property
    def done(self) -> bool:
        return not self.left or self.evaluated >= MOST_LOOKS

    def tells_more(self, flips: Iterable[Flip]) -> bool:
        """Whether looking further ahead would say more than that an answer stays until what has not been looked at."""
        ahead = {instant for instant, _ in self.left}
        return any(flip.kind is Foresight.NOT_BEFORE and flip.at in ahead for flip in flips)

    def go_on(self) -> None:
        """Evaluates the next instants."""
        taken = [self.left.pop() for _ in range(min(self.size, len(self.left)))]
        while self.left and taken and self.left[-1][0] == taken[-1][0]:  # an instant is looked at as a whole
            taken.append(self.left.pop())
        self.size *= 4
        if not taken:
            return
        self.evaluated += len(taken)
        leaves, zone, week = self._leaves, self.moment.clock.zone, self.moment.clock.week_start
        later = replace(self.moment, clock=Clock(taken[-1][0], zone, week))
        conditions: dict[str, Condition] = {}
        for instant, number in taken:
            conditions[f"{number}@{instant.isoformat()}"] = self._at(leaves[number][0], Clock(instant, zone, week), conditions)
        answer = later.answer(conditions, only=self.key)
        for instant, number in taken:
            self.found.setdefault(leaves[number][0], []).append((instant, bool(answer.holds[f"{number}@{instant.isoformat()}"][0])))

    def _at(self, condition: Condition, clock: Clock, named: dict[str, Condition]) -> Condition:
        """A condition at an instant. Segments that it refers to are those of that instant, and come to `named` under names of their own."""
        grounded = ground(condition, clock)
        there: dict[str, str] = {}
        for node in nodes.walk(grounded):
            if isinstance(node, nodes.Member):
                there[node.segment] = name = f"{node.segment}@{clock.as_of.isoformat()}"
                if name not in named:
                    named[name] = self._at(self.past.rules[node.segment], clock, named)
        return with_members(grounded, there) if there else grounded

    def courses(self, now: Mapping[Condition, bool]) -> dict[Condition, Course]:
        """What is known by now of the leaves that time moves."""
        beyond = {number: instant for instant, number in self.left}  # the last one wins, which is the next one
        made = {}
        for number, (leaf, moves) in enumerate(self._leaves):
            known, end = self.found.get(leaf, []), earliest(moves.until, beyond.get(number))
            made[leaf] = Course(now[leaf], [at for at, _ in known], [holds for _, holds in known], end)
        return made


def with_members(condition: Condition, names: Mapping[str, str]) -> Condition:
    """A condition that refers to segments under other names."""
    match condition:
        case nodes.Member():
            return replace(condition, segment=names[condition.segment])
        case nodes.Not():
            return replace(condition, item=with_members(condition.item, names))
        case nodes.And() | nodes.Or() | nodes.AtLeast():
            return replace(condition, items=tuple([with_members(item, names) for item in condition.items]))
    return condition


def _within(moves: Motion) -> list[datetime]:
    return [instant for instant in moves.instants if moves.until is None or instant < moves.until]


# ---------------------------------------------------------------- the whole rule


def is_leaf(line: Outline) -> bool:
    """Whether a line is evaluated, not put together from others."""
    return not line.parts and line.shape is not Shape.SEGMENT


class Tree:
    """An outline as a formula over its leaves; a segment that it names again is what it was the first time."""

    def __init__(self, outline: Outline) -> None:
        self.outline = outline
        self.lines = [line for _, line in outline.lines()]
        self._of_segment = {line.condition.segment: line for line in self.lines if isinstance(line.condition, nodes.Member) and line.parts}

    def parts(self, line: Outline) -> tuple[Outline, ...]:
        """The lines that a line is put together from."""
        if isinstance(line.condition, nodes.Member) and not line.parts:
            return self._of_segment[line.condition.segment].parts
        return line.parts

    def needed(self, line: Outline) -> tuple[int, int]:
        """Of how many of its parts a line needs at least so many; (1, 1) for one part that must hold."""
        count = len(self.parts(line))
        if line.shape is Shape.AT_LEAST:
            assert isinstance(line.condition, nodes.AtLeast)
            return line.condition.count, count
        return (1, count) if line.shape is Shape.ANY else (count, count)

    def values(self, leaves: Mapping[Condition, Sequence[Verdict]], width: int) -> dict[int, list[Verdict]]:
        """Every line's verdicts, by its `id`, one for each of `width` circumstances in which the leaves have theirs."""
        done: dict[int, list[Verdict]] = {}
        for line in self.parts_first():
            if is_leaf(line):
                done[id(line)] = list(leaves[line.condition])
                continue
            below = [done[id(part)] for part in self.parts(line)]
            if line.shape is Shape.NOT:
                done[id(line)] = [None if one is None else not one for one in below[0]]
            else:
                need, _ = self.needed(line)
                done[id(line)] = [at_least(need, [one[index] for one in below]) for index in range(width)]
        return done

    def parts_first(self) -> Iterator[Outline]:
        """Every line after those that it is put together from."""
        done: set[int] = set()
        pending = [(line, False) for line in reversed(self.lines)]
        while pending:
            line, entered = pending.pop()
            if id(line) in done:
                continue
            if entered:
                done.add(id(line))
                yield line
            else:
                pending.append((line, True))
                pending.extend((part, False) for part in self.parts(line))


def _flips(tree: Tree, courses: Mapping[Condition, Course], as_of: datetime) -> dict[int, Flip]:
    instants = {at for course in courses.values() for at in course.instants}
    ends = {course.until for course in courses.values() if course.until is not None}
    # what is not known at once is not known from the first microsecond on
    times = sorted(instants | {max(end, as_of + TICK) for end in ends})
    values = tree.values({leaf: course.at_all(times) for leaf, course in courses.items()}, len(times) + 1)
    return {number: _next(verdicts, times, as_of) for number, verdicts in values.items()}


def _next(verdicts: Sequence[Verdict], times: Sequence[datetime], as_of: datetime) -> Flip:
    for verdict, instant in zip(verdicts[1:], times, strict=True):
        if verdict is None:
            return UNKNOWN if instant <= as_of + TICK else Flip(Foresight.NOT_BEFORE, instant)
        if verdict is not verdicts[0]:
            return Flip(Foresight.AT, instant)
    return NEVER
