"""For how long it is known what `entered`, `exited` and `member(..., for =>)` come to, whichever runs are made until then.

What accepted runs have found stays as it is. But a run that comes finds changes of its own, as soon as the contact is in
the segment and was not by the last run, or the other way round; how such a change is dated, and whether there is one at
all, hangs on when runs are made. So a condition is known up to the first instant at which the segment's answer is another
than that of the last run, which is an instant like any other: no run before it finds anything. And where every run finds
the same it is known for longer:

* who has come in since has `entered` for as long as it stays in and the window is long, whether or not a run dates it;
* who has come in has not `exited` by that, and who has left has not `entered`, until it goes back;
* who has come in has not been in it `for` so long before that has passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from segmentry.engine.crossings import crossings
from segmentry.engine.moment import Moment, Recorded
from segmentry.rules import nodes as n
from segmentry.rules.ground import TICK, Clock
from segmentry.rules.zones import LAST_INSTANT

Asking = n.Moved | n.Stayed
"""A condition that asks what accepted runs say."""

Verdict = bool | None
"""True or false, or None: not known."""


@dataclass(frozen=True, slots=True)
class Course:
    """What a condition is now, at which instants that changes and to what, and from when on (None: ever) it is not known."""

    now: bool
    instants: Sequence[datetime]
    answers: Sequence[bool]
    until: datetime | None = None

    def at_all(self, times: Sequence[datetime]) -> list[Verdict]:
        """What it is now, and at each of these times, which are in order and have all its instants."""
        changes = dict(zip(self.instants, self.answers, strict=True))
        verdicts: list[Verdict] = [self.now]
        current = self.now
        for instant in times:
            current = changes.get(instant, current)
            verdicts.append(None if self.until is not None and instant >= self.until else current)
        return verdicts

    def from_on(self, start: datetime) -> Iterator[tuple[datetime, Verdict]]:
        """What it is at an instant, and then at each at which that changes."""
        times = sorted({*self.instants, start, *([] if self.until is None else [self.until])})
        verdicts = self.at_all(times)[1:]
        before: Verdict | str = ""
        for instant, verdict in zip(times, verdicts, strict=True):
            if instant >= start and verdict is not before:
                yield instant, verdict
                before = verdict


def earliest(*ends: datetime | None) -> datetime | None:
    """The first of some instants, None being never."""
    return min((end for end in ends if end is not None), default=None)


def asking_in(condition: n.Condition, rules: Mapping[str, n.Condition]) -> list[Asking]:
    """Every part of a condition that asks accepted runs, also within the segments that it refers to."""
    found: dict[Asking, None] = {}
    seen: set[str] = set()
    pending: list[n.Condition] = [condition]
    while pending:
        for node in n.walk(pending.pop()):
            if isinstance(node, (n.Moved, n.Stayed)):
                found.setdefault(node)
            elif isinstance(node, n.Member) and node.segment not in seen and node.segment in rules:
                seen.add(node.segment)
                pending.append(rules[node.segment])
    return list(found)


@dataclass(frozen=True)
class Hindsight:
    """What one contact's conditions ask of accepted runs.

    `rules` has the rule of every segment that they ask about, or that those refer to. `was` is, by segment, what the last
    run of all says: in, out, or None where no run has computed it. `start` is the first instant at which a further run may be.
    """

    clock: Clock
    rules: Mapping[str, n.Condition]
    recorded: Mapping[str, Recorded]
    was: Mapping[str, Verdict]
    start: datetime

    @property
    def leaves(self) -> list[n.Condition]:
        """The conditions that the segments that are asked about are made of."""
        return list(dict.fromkeys(leaf for name in self.was for leaf in leaves_of(self.rules[name], self.rules)))

    def bounded(self, courses: Mapping[n.Condition, Course]) -> dict[n.Condition, Course]:
        """The courses of conditions, among them of `leaves`, each as far as it is known whichever runs are made."""
        bounds = _Bounds(self, courses)
        return {condition: bounds.course(condition) for condition in courses}

    def end(self, asking: Asking, member: Course) -> datetime | None:
        """From when on what a part comes to is not known, `member` being the segment's own course."""
        was = self.was[asking.segment]
        steps = list(member.from_on(self.start))
        if was is None:
            return self._end_of_new(asking, steps)
        for place, (instant, verdict) in enumerate(steps):
            if verdict is None:
                return instant
            if verdict is not was:
                back = next((later for later, _ in steps[place + 1 :]), None)
                return self._end_of_change(asking, instant, back, comes_in=verdict)
        return None

    def _end_of_new(self, asking: Asking, steps: Sequence[tuple[datetime, Verdict]]) -> datetime | None:
        """Of a segment that no run has computed: whether it has changes at all hangs on whether one does, before they come."""
        if isinstance(asking, n.Stayed):
            return self._passed(asking.duration, self.start)
        wanted = asking.change == n.Memory.ENTERED
        return next((instant for instant, verdict in steps[1:] if verdict is None or verdict is wanted), None)

    def _end_of_change(self, asking: Asking, at: datetime, back: datetime | None, *, comes_in: bool) -> datetime | None:
        """Of a segment that the contact comes into or leaves at an instant, and (None: never) goes back or is not known of."""
        if isinstance(asking, n.Stayed):
            if not comes_in:
                return back
            return _next(at) if self.recorded[asking.segment].merged else self._passed(asking.duration, at)
        if comes_in is not (asking.change == n.Memory.ENTERED):
            return back
        if asking.since is not None or asking.until is not None or asking.during is not None:
            return _next(at)
        return earliest(back, None if asking.last is None else self._passed(asking.last, at))

    def _passed(self, length: n.Duration, since: datetime) -> datetime | None:
        """The first instant at which so long may have passed since an instant; None: never."""
        return min(crossings(n.AsOf(shift=length, sign=-1), since, self.clock), default=None)


@dataclass
class _Bounds:
    """How far conditions are known; that hangs on the segments that they ask about, and so on the conditions of those."""

    past: Hindsight
    courses: Mapping[n.Condition, Course]
    _ends: dict[Asking, datetime | None] = field(default_factory=dict)
    _members: dict[str, Course] = field(default_factory=dict)

    def course(self, condition: n.Condition) -> Course:
        """A condition's course, up to where further runs may say otherwise."""
        found = self.courses[condition]
        ends = [self._end(one) for one in asking_in(condition, self.past.rules)]
        return Course(found.now, found.instants, found.answers, earliest(found.until, *ends))

    def _end(self, asking: Asking) -> datetime | None:
        if asking not in self._ends:
            self._ends[asking] = self.past.end(asking, self._member(asking.segment))
        return self._ends[asking]

    def _member(self, segment: str) -> Course:
        """The course of being in a segment, put together from its conditions: one that is not known matters only where it decides."""
        if segment not in self._members:
            rules = self.past.rules
            known = {leaf: self.course(leaf) for leaf in leaves_of(rules[segment], rules)}
            ends = {course.until for course in known.values() if course.until is not None}
            first = self.past.clock.as_of + TICK
            times = sorted({at for course in known.values() for at in course.instants} | {max(end, first) for end in ends})
            at_all = {leaf: course.at_all(times) for leaf, course in known.items()}
            instants = range(len(times) + 1)
            verdicts = [_Put({leaf: one[i] for leaf, one in at_all.items()}, rules).together(rules[segment]) for i in instants]
            until = next((at for at, verdict in zip(times, verdicts[1:], strict=True) if verdict is None), None)
            before = [(at, one) for at, one in zip(times, verdicts[1:], strict=True) if one is not None and (until is None or at < until)]
            self._members[segment] = Course(bool(verdicts[0]), [at for at, _ in before], [one for _, one in before], until)
        return self._members[segment]


def leaves_of(condition: n.Condition, rules: Mapping[str, n.Condition]) -> list[n.Condition]:
    """The conditions that a rule, with the segments that it refers to, is put together from by and, or and not."""
    found: dict[n.Condition, None] = {}
    seen: set[str] = set()
    pending = [condition]
    while pending:
        match pending.pop():
            case n.And(items=items) | n.Or(items=items) | n.AtLeast(items=items):
                pending += items
            case n.Not(item=item):
                pending.append(item)
            case n.Member(segment=segment):
                if segment not in seen:
                    seen.add(segment)
                    pending.append(rules[segment])
            case leaf:
                found.setdefault(leaf)
    return list(found)


@dataclass
class _Put:
    """What rules come to at an instant, their leaves having these verdicts; each segment once."""

    verdicts: Mapping[n.Condition, Verdict]
    rules: Mapping[str, n.Condition]
    known: dict[str, Verdict] = field(default_factory=dict)

    def together(self, condition: n.Condition) -> Verdict:
        match condition:
            case n.Not(item=item):
                found = self.together(item)
                return None if found is None else not found
            case n.And(items=items) | n.Or(items=items) | n.AtLeast(items=items):
                need = condition.count if isinstance(condition, n.AtLeast) else 1 if isinstance(condition, n.Or) else len(items)
                return at_least(need, [self.together(item) for item in items])
            case n.Member(segment=segment):
                if segment not in self.known:
                    self.known[segment] = self.together(self.rules[segment])
                return self.known[segment]
        return self.verdicts[condition]


def at_least(need: int, verdicts: Sequence[Verdict]) -> Verdict:
    """Whether at least so many hold, where some may not be known."""
    sure = sum(one is True for one in verdicts)
    if sure >= need:
        return True
    return None if sure + sum(one is None for one in verdicts) >= need else False


def _next(instant: datetime) -> datetime:
    return instant if instant == LAST_INSTANT else instant + TICK


def hindsight(moment: Moment, key: int | str, conditions: Iterable[n.Condition]) -> Hindsight:
    """What is asked of accepted runs about a contact; of conditions that ask nothing, nothing is looked up."""
    rules: dict[str, n.Condition] = {}
    for condition in conditions:
        for node in n.walk(condition):
            if isinstance(node, (n.Moved, n.Stayed, n.Member)):  # a member within what it is asked of is one of a population
                _add_rules(moment, node.segment, rules)
    asked = [one.segment for one in _asking(conditions, rules)]
    recorded = {name: moment.recorded(name, moment.clock.as_of, key) for name in dict.fromkeys(asked)}
    start = max((one.newest for one in recorded.values() if one.newest is not None), default=moment.clock.as_of)
    start = max(start, moment.clock.as_of)
    return Hindsight(moment.clock, rules, recorded, _was(moment, key, recorded, start), start)


def _asking(conditions: Iterable[n.Condition], rules: Mapping[str, n.Condition]) -> list[Asking]:
    return list(dict.fromkeys(one for condition in (*conditions, *rules.values()) for one in asking_in(condition, rules)))


def _add_rules(moment: Moment, name: str, rules: dict[str, n.Condition]) -> None:
    """The rule of a segment, and of all that it refers to."""
    pending = [name]
    while pending:
        one = pending.pop()
        if one not in rules:
            rules[one] = moment.whole_rule(one)
            pending += [node.segment for node in n.walk(rules[one]) if isinstance(node, (n.Member, n.Moved, n.Stayed))]


def _was(moment: Moment, key: int | str, segments: Iterable[str], start: datetime) -> dict[str, Verdict]:
    """What the last run says of a contact in each segment."""
    asked = {f"{memory}:{name}": n.Remembered(name, memory, _next(start)) for name in segments for memory in (n.Memory.IN, n.Memory.OUT)}
    if not asked:
        return {}
    holds = moment.answer(asked, only=key).holds
    return {name: True if holds[f"in:{name}"][0] else False if holds[f"out:{name}"][0] else None for name in segments}
