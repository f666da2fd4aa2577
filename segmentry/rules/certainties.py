"""What is certain of a rule whatever the data: that it, or a part of it, holds for nobody or everybody, or changes nothing where it stands.

A part is looked at beside what else must hold for it to matter: the other items of its `and`, and of every `and` around it. What is
said plainly (`true`, `false`) is meant, so of that nothing is said; nor that `x is set` follows from a comparison of `x`, or `did`
from one of an aggregate, which many write for safety.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from segmentry.rules import nodes as n
from segmentry.rules.diagnostics import Diagnostic, Place, Severity
from segmentry.rules.ground import Clock, ground
from segmentry.rules.proof_events import is_empty
from segmentry.rules.proof_values import COUNTS, WHOLE_CALLS, is_understood
from segmentry.rules.proofs import Prover
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.types import Kind

NEVER, ALWAYS, NEVER_HERE, NOTHING_HERE = "R901", "R902", "R906", "R907"
MOST_STEPS = 20_000
"""Of all proofs about one rule together; what is not found by then is not said."""
MOST_REASONS = 4
"""Conditions that a reason names."""
MOST_TRIED = 24
"""Of more conditions no reason is looked for: each is left out once."""
MOST_BESIDE = 32
"""Of more conditions in one chain each is looked at by itself alone: all beside all would take time by their square."""

Said = Callable[[n.Condition, bool], str]
"""The words of a condition, or (False) of what it leaves out."""


@dataclass(frozen=True, slots=True)
class Part:
    """A condition as it must hold: itself or, in a `not`, what it leaves out."""

    node: n.Condition
    positive: bool = True

    @property
    def opposite(self) -> Part:
        return Part(self.node, not self.positive)


@dataclass(frozen=True, slots=True)
class Why:
    """The parts that make something so: parts of the rule or, with `rows`, of what is asked of events. Without any, it is not known."""

    parts: tuple[Part, ...] = ()
    rows: bool = False
    window: bool = False
    """The window of the part's events holds no instant."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something certain: its code, the condition it is about, and why."""

    code: str
    node: n.Condition
    why: Why = Why()
    whole: bool = False
    added: bool = False
    """It is an item of an `or`, and the reasons are others of it."""


@dataclass
class Search:
    """Walks over one rule. `mean` makes of a condition what proofs are about: itself, or itself grounded."""

    prover: Prover
    mean: Callable[[n.Condition], n.Condition]
    implied: bool = True
    """Whether parts that change nothing are looked for."""
    bare: Prover = field(default_factory=Prover)
    """Proves without what `member` stands for: that a segment has a condition too makes it no idle one beside the reference."""
    most: int = MOST_STEPS
    found: list[Finding] = field(default_factory=list)
    _meant: dict[int, tuple[n.Condition, n.Condition]] = field(default_factory=dict)
    _topics: dict[int, frozenset[str]] = field(default_factory=dict)

    def meant(self, node: n.Condition) -> n.Condition:
        if id(node) not in self._meant:
            self._meant[id(node)] = (node, self.mean(node))
        return self._meant[id(node)][1]

    def topics(self, part: Part) -> frozenset[str]:
        """What a part is about; parts that have no topic in common, nor through others, say nothing of each other."""
        node = part.node
        if id(node) not in self._topics:
            self.meant(node)  # keeps it, and so its id
            self._topics[id(node)] = frozenset(topics_of(node))
        return self._topics[id(node)]

    def near(self, part: Part, others: Iterable[Part]) -> list[Part]:
        """Those of the others that have to do with a part, by however many steps; where segments are referred to, all may."""
        near: list[Part] = []
        far = list(others)
        about = set(self.topics(part))
        while far and not self.is_spent:
            more = [SEGMENT in about or SEGMENT in self.topics(one) or not about.isdisjoint(self.topics(one)) for one in far]
            if not any(more):
                break
            near += [one for one, is_near in zip(far, more, strict=True) if is_near]
            far = [one for one, is_near in zip(far, more, strict=True) if not is_near]
            about.update(*(self.topics(one) for one in near))
        return near

    @property
    def is_spent(self) -> bool:
        """Whether no more is looked for."""
        return self.prover.spent + self.bare.spent > self.most

    def refuted(self, parts: Iterable[Part], *, alone: bool = False) -> bool:
        """Whether nobody fulfils all the parts. `alone`: whatever the segments are that they refer to."""
        if self.is_spent:
            return False
        parts = list(parts)
        asked = [self.meant(part.node) for part in parts if part.positive]
        denied = [self.meant(part.node) for part in parts if not part.positive]
        return (self.bare if alone else self.prover).never(*asked, besides=denied)

    def whole(self, condition: n.Condition) -> None:
        """Find what there is to be found; of a rule that is certain as a whole, only that."""
        if isinstance(condition, n.Always):
            return
        for code, part in ((NEVER, Part(condition)), (ALWAYS, Part(condition, positive=False))):
            if self.refuted([part]):
                self.found.append(Finding(code, condition, self.reasons([part]), whole=True))
                return
        self.visit(Part(condition), [])

    def visit(self, part: Part, beside: list[Part]) -> None:
        """A part that is neither certain nor impossible beside what else must hold."""
        node = part.node
        if not is_understood(node) or is_one(node):
            self.inside_events(node)
        elif isinstance(node, n.Not):
            self.visit(Part(node.item, not part.positive), beside)
        elif isinstance(node, (n.And, n.Or)):
            parts = [Part(item, part.positive) for item in node.items]
            if len(parts) > MOST_BESIDE:
                self.each(parts)
            elif isinstance(node, n.And) is part.positive:
                self.all_of(parts, beside)
            else:
                self.any_of(parts, beside)
        elif isinstance(node, n.AtLeast):
            for item in node.items:
                if not self.alone(Part(item)) and not isinstance(item, n.Always):
                    self.visit(Part(item), [])
        else:
            self.inside_events(node)

    def all_of(self, parts: list[Part], beside: list[Part]) -> None:
        left = list(parts)
        for part in reversed(parts):
            if isinstance(part.node, n.Always) or self.is_spent:
                continue
            others = [other for other in left if other is not part]
            if self.alone(part.opposite):
                left = others
            elif self.implied and (why := self.follows(part, self.near(part, [*beside, *others]))) is not None:
                self.found.append(Finding(NOTHING_HERE, part.node, why))
                left = others
        for part in left:
            if not self.is_spent:
                self.visit(part, [*beside, *(other for other in left if other is not part)])

    def any_of(self, parts: list[Part], beside: list[Part]) -> None:
        left = list(parts)
        for part in reversed(parts):
            if isinstance(part.node, n.Always) or self.is_spent:
                continue
            others = [other for other in left if other is not part]
            near = self.near(part, beside)
            rest = [other.opposite for other in self.near(part, others)]
            if self.alone(part):
                left = others
            elif near and self.refuted([*near, part]):
                code = NEVER_HERE if part.positive else NOTHING_HERE
                self.found.append(Finding(code, part.node, self.reasons([*near, part], part)))
                left = others
            elif self.implied and rest and not is_for_safety(part.node) and self.refuted([*near, part, *rest], alone=True):
                why = self.reasons([*near, part, *rest], part)
                of_the_or = tuple(reason.opposite for reason in why.parts if reason.opposite in others)
                known = Why(of_the_or) if len(of_the_or) == len(why.parts) else Why()
                self.found.append(Finding(NOTHING_HERE, part.node, known, added=True))
                left = others
        for part in left:
            self.visit(part, beside)

    def each(self, parts: list[Part]) -> None:
        """What is certain of parts whatever is beside them."""
        for part in parts:
            if not (isinstance(part.node, n.Always) or self.is_spent or self.alone(part) or self.alone(part.opposite)):
                self.visit(part, [])

    def alone(self, part: Part) -> bool:
        """Whether a part holds for nobody whatever is beside it; kept if so."""
        if isinstance(part.node, n.Always) or not self.refuted([part]):
            return False
        code = NEVER if part.positive else ALWAYS
        self.found.append(Finding(code, part.node, self.reasons([part])))
        return True

    def follows(self, part: Part, others: Sequence[Part]) -> Why | None:
        """The parts from which another follows; None if it doesn't, or is just written for safety."""
        node = part.node
        if is_for_safety(node):
            return None
        if part.positive and is_presence(node):
            others = [other for other in others if is_presence(other.node)]
        if not others or not self.refuted([*others, part.opposite], alone=True):
            return None
        return self.reasons([*others, part.opposite], part.opposite)

    def inside_events(self, node: n.Condition) -> None:
        """The conditions on events' rows that are part of a condition."""
        for events in n.walk(node):
            if isinstance(events, n.Events) and events.where is not None and is_understood(events):
                if self.alone(Part(events.where)) or self.alone(Part(events.where, positive=False)):
                    continue
                self.visit(Part(events.where), [])

    def reasons(self, parts: Sequence[Part], about: Part | None = None) -> Why:
        """As few of the parts as are enough; what it is about is not among its own reasons."""
        left = [piece for part in parts for piece in ([part] if part == about else pieces(part))]
        kept = [] if about is None else [about]
        if len(left) > MOST_TRIED:
            return Why()
        for part in list(reversed(left)):
            fewer = [other for other in left if other is not part]
            if part not in kept and self.refuted(fewer):
                left = fewer
        first = left[0].node if len(left) == 1 else None
        if first is not None and any(isinstance(node, n.Events) and is_empty(node) for node in n.walk(self.meant(first))):
            return Why(tuple(left), window=True)
        if isinstance(first, n.Did) and first.events.where is not None and self.refuted([Part(first.events.where)]):
            return Why(self.reasons([Part(first.events.where)]).parts, rows=True)
        return Why(tuple(part for part in left if part not in kept))


def pieces(part: Part) -> list[Part]:
    """A part as everything that it asks for."""
    found: list[Part] = []
    pending = [part]
    while pending:
        one = pending.pop()
        node = one.node
        if isinstance(node, n.Not):
            pending.append(Part(node.item, not one.positive))
        elif isinstance(node, (n.And, n.Or)) and isinstance(node, n.And) is one.positive and not is_one(node):
            pending += [Part(item, one.positive) for item in reversed(node.items)]
        else:
            found.append(one)
    return found


SEGMENT = "segment"
"""A topic that any other may belong to."""


def topics_of(node: n.Condition) -> Iterable[str]:
    """The fields that a condition is about, and what else may decide it."""
    for inner in n.walk(node):
        if isinstance(inner, n.Field):
            yield f"{inner.scope}.{inner.name}"
        elif isinstance(inner, n.Events):
            yield "events"
        elif isinstance(inner, n.Member):
            yield SEGMENT
        elif isinstance(inner, (n.Sample, n.Listed)) or not is_understood(inner):
            yield type(inner).__name__


def is_one(node: n.Condition) -> bool:
    """Whether a combination was written as one condition: `between` is two comparisons."""
    return isinstance(node, (n.And, n.Or)) and node.place.end > 0 and all(item.place == node.place for item in node.items)


def is_for_safety(node: n.Condition) -> bool:
    """Whether a condition only asks whether a value is missing, which many write beside a comparison."""
    while isinstance(node, n.Not):
        node = node.item
    return isinstance(node, n.IsSet)


def is_presence(node: n.Condition) -> bool:
    """Whether a condition asks how many events there are."""
    if isinstance(node, n.Not):
        return is_presence(node.item)
    sides = (node.left, node.right) if isinstance(node, n.Compare) else ()
    return isinstance(node, n.Did) or any(isinstance(side, n.Aggregate) and side.function in COUNTS for side in sides)


def reads_clock(condition: n.Condition) -> bool:
    """Whether what a condition means moves with the run's instant; True also of what is not known here."""
    for node in n.walk(condition):
        if isinstance(node, (n.AsOf, n.Day, n.InWindow)) or not is_understood(node):
            return True
        if isinstance(node, n.Events) and (node.last, node.since, node.until, node.during) != (None,) * 4:
            return True
        if isinstance(node, n.Call) and node.function == "next_anniversary":
            return True
    return False


# ---------------------------------------------------------------- as warnings


def certainties(condition: n.Condition, said: Said | None = None, source: str | None = None) -> list[Diagnostic]:
    """Warnings about what is certain whenever a run is made. `said` has the words of a condition, `source` is the rule's text."""
    if not may_be_certain(condition):
        return []
    with deep_recursion():
        search = Search(Prover(), lambda node: node)
        search.whole(condition)
    return [told(finding, said, source) for finding in search.found]


def certainties_at(
    condition: n.Condition,
    clock: Clock,
    members: Mapping[str, n.Condition] | None = None,
    said: Said | None = None,
    source: str | None = None,
    known: Iterable[Diagnostic] = (),
) -> list[Diagnostic]:
    """What is certain at one instant, beside what is `known` to be so at any.

    `members` are the grounded conditions of other segments, by name. A part that changes nothing at this instant is told only if
    that is no matter of the clock: `added in the last '30 days' and added after '2026-01-01'` begins with two conditions.
    """
    known = [one for one in known if one.code in MESSAGES]
    if any(one.place == condition.place and one.message.startswith(WHOLE) for one in known) or not may_tell_more(condition):
        return []
    moves = reads_clock(condition)
    with deep_recursion():
        search = Search(Prover(members), lambda node: ground(node, clock), implied=not moves)
        search.whole(condition)
    when = f"as of {clock.as_of:%Y-%m-%d %H:%M} UTC" if moves else ""
    places = {one.place for one in known}
    told_now = [told(finding, said, source, when) for finding in search.found if not begins_later(search.meant(finding.node), clock)]
    return [one for one in told_now if one.place not in places]


def begins_later(grounded: n.Condition, clock: Clock) -> bool:
    """Whether a condition is about events of a time to come: it was written for then."""
    windows = [node.window for node in n.walk(grounded) if isinstance(node, n.Events) and node.window is not None]
    return any(window.first is not None and window.first > clock.as_of for window in windows)


def may_be_certain(condition: n.Condition) -> bool:
    """Whether there is anything to prove: two conditions about one thing, or one that may be certain by itself. Most rules have neither."""
    seen: set[str] = set()
    pending = [condition]
    while pending:
        node = pending.pop()
        if isinstance(node, n.Not):
            pending.append(node.item)
            continue
        if isinstance(node, (n.And, n.Or, n.AtLeast)) and is_understood(node):
            pending += node.items
            if is_one(node):
                return True
            continue
        topics = set(topics_of(node))
        if not topics or isinstance(node, n.Sample) or not topics.isdisjoint(seen) or any(map(is_bounded, n.walk(node))):
            return True
        seen |= topics
    return False


SAME_FOR_ALL = (n.Constant, n.AsOf, n.Day)


def is_bounded(node: n.Node) -> bool:
    """Whether a part of a condition may make it certain alone: numbers that aren't all there are, conditions on rows, two values."""
    match node:
        case n.Events():
            return node.where is not None
        case n.Call():
            return node.function in WHOLE_CALLS or node.function == "abs"
        case n.Aggregate():
            return node.function in COUNTS
        case n.Compare():
            return not isinstance(node.right, SAME_FOR_ALL) or off_grid(node.left, node.right)
        case n.In():
            return any(not isinstance(option, SAME_FOR_ALL) or off_grid(node.value, option) for option in node.options)
    return False


def off_grid(value: n.Value, literal: n.Value) -> bool:
    """Whether a literal has more places than any of the numbers beside it."""
    return value.type.is_exact and literal.type.scale > value.type.scale


def may_tell_more(condition: n.Condition) -> bool:
    """Whether an instant, a zone or other segments' rules can make anything certain that is not so without them."""
    return any(
        isinstance(node, n.Member)
        or (isinstance(node, n.Value) and node.type.kind in (Kind.TIMESTAMP, Kind.DATE))
        or (isinstance(node, n.Events) and (node.last, node.since, node.until, node.during) != (None,) * 4)
        for node in n.walk(condition)
    )


WHOLE, PART = "this rule", "this condition"
NOT_BEFORE = re.compile(r"\bnot[\s(]*\Z", re.IGNORECASE)
MESSAGES = {NEVER: "never holds", ALWAYS: "always holds", NEVER_HERE: "never holds here", NOTHING_HERE: "changes nothing here"}


def told(finding: Finding, said: Said | None, source: str | None, when: str = "") -> Diagnostic:
    """A finding as a warning, with its reason in words."""
    message = " ".join(filter(None, (WHOLE if finding.whole else PART, MESSAGES[finding.code], when)))
    help = {NEVER: "nobody is in", ALWAYS: "everybody is in"}.get(finding.code) if finding.whole else None
    reason = reason_of(finding, said) if said else None
    place = finding.node.place if finding.whole else place_of(finding.node, source)
    return Diagnostic(finding.code, message, Severity.WARNING, place, help, (reason,) if reason else (), rule=source)


def place_of(node: n.Condition, source: str | None) -> Place:
    """Where a condition stands; of `not x` with its `not`, which is not in its own place."""
    place = node.place
    if source is None or place.path or not isinstance(node, n.Not):
        return place
    before = NOT_BEFORE.search(source[: place.start])
    return replace(place, start=before.start()) if before else place


def reason_of(finding: Finding, said: Said) -> str | None:
    """Why it is so, in words."""
    parts = finding.why.parts
    if not 0 < len(parts) <= MOST_REASONS:
        return None
    words = [worded(part, said) for part in parts]
    if finding.why.window:
        return f"in the window of {words[0]} there is no instant"
    if finding.why.rows:
        return f"no event fulfils {listed(words)}"
    if finding.code == NOTHING_HERE:
        return f"whoever fulfils it fulfils {listed(words, 'or')}" if finding.added else f"it follows from {listed(words)}"
    if finding.code == NEVER_HERE:
        return f"it can't hold together with {listed(words)}"
    if len(words) == 1:
        return of_a_count(parts[0].node)
    if finding.code == ALWAYS:
        return f"everybody fulfils {listed([worded(part.opposite, said) for part in parts], 'or')}"
    return f"{listed(words)} {'exclude each other' if len(words) == 2 else 'can never hold together'}"


def of_a_count(node: n.Condition) -> str | None:
    """What is known of a number of events by itself."""
    counts = {inner.function for inner in n.walk(node) if isinstance(inner, n.Aggregate) and inner.function in COUNTS}
    return f"a {min(counts)} is 0 or more, and never missing" if len(counts) == 1 else None


def worded(part: Part, said: Said) -> str:
    """A part's words, in quotes."""
    return f"`{said(part.node, part.positive)}`"


def listed(words: Sequence[str], last: str = "and") -> str:
    """Several words as a list of a sentence."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
