"""The world that a history plays in: contacts, rules, lists and names as plain Python values, and who is in which segment, and why.

Rules are read row by row; a cause is found by asking what the answer would be with the former lists, with the former
definitions, and with both. Segments and sequences go by an identity here that no rename changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tests.oracle.groups import group

Key = int | str
Tree = tuple[object, ...]
"""A rule: `("spend", 5)`, `("country", "UK")`, `("recent", 3)`, `("out",)`, `("member", identity)`, `("not", a)`, `("and", a, b)`, ..."""


@dataclass(frozen=True)
class Row:
    """A contact."""

    spend: int | None
    country: str | None
    joined: datetime | None
    standing: str
    email: str | None

    @property
    def address(self) -> str | None:
        return (self.email or "").strip().lower() or None


@dataclass(frozen=True)
class Policy:
    """How a segment enrolls in a sequence. `again`: `never`, `every time`, or days."""

    sequence: str
    again: str | int = "never"
    backfill: bool = False
    on: frozenset[str] = frozenset({"data", "time", "source", "list"})
    split: tuple[str, ...] | None = None
    """The groups of the segment's split that are meant; None: the whole segment."""


@dataclass(frozen=True)
class Sync:
    """What a segment is kept in step with. `fields`: whether `spend` is told too."""

    destination: str
    target: str
    mode: str = "mirror"
    existing: str = "send"
    fields: bool = False
    split: tuple[str, ...] | None = None
    """The groups of the segment's split that it has; None: the whole segment."""


@dataclass(frozen=True)
class Split:
    """How a segment is divided: of each group its name, the one that it had first, and its share in percent."""

    shares: tuple[tuple[str, str, int], ...]
    salt: str | None = None

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for name, _, _ in self.shares)

    def first_name(self, key: Key) -> str | None:
        """The group that a contact is in, by the name that it had first; None: in none."""
        return group(key, {first: percent for _, first, percent in self.shares}, self.salt or "")

    def group(self, key: Key) -> str | None:
        """The group that a contact is in, by its name."""
        return {first: name for name, first, _ in self.shares}.get(self.first_name(key) or "")

    def called_as(self, other: Split) -> Split:
        """The same with the names that the groups have in another; names are never anybody else's here."""
        names = {first: name for name, first, _ in other.shares}
        return replace(self, shares=tuple((names.get(first, name), first, percent) for name, first, percent in self.shares))


@dataclass(frozen=True)
class Segment:
    """A segment; `formerly` are the names it had. Its rule is None where it is a static list."""

    name: str
    rule: Tree | None
    list: str | None = None
    include: str | None = None
    exclude: str | None = None
    enroll: tuple[Policy, ...] = ()
    formerly: tuple[str, ...] = ()
    sync: tuple[Sync, ...] = ()
    split: Split | None = None

    @property
    def divided(self) -> Split | None:
        """The split with its salt, which where not said is the name that the segment had first."""
        return self.split and replace(self.split, salt=self.split.salt or (*self.formerly, self.name)[0])

    @property
    def definition(self) -> tuple[object, ...]:
        """What decides who is in."""
        return self.rule, self.list, self.include, self.exclude


@dataclass(frozen=True)
class Sequence:
    """A sequence; `expires` in hours. `words` are its destination's own, as they are written."""

    name: str
    destination: str
    expires: int = 72
    while_member: bool = True
    paused: bool = False
    formerly: tuple[str, ...] = ()
    words: str = "fields: {spend: spend}"


@dataclass(frozen=True)
class World:
    """Everything that the files say; frozen, so that a former one can be kept."""

    rows: dict[Key, Row] = field(default_factory=dict)
    lists: dict[str, frozenset[Key]] = field(default_factory=dict)
    segments: dict[str, Segment] = field(default_factory=dict)
    sequences: dict[str, Sequence] = field(default_factory=dict)
    aliases: dict[Key, Key] = field(default_factory=dict)
    suppress: Tree | None = None
    deliver: bool = True

    def merged(self) -> dict[Key, Key]:
        """Keys that are gone and the surviving ones that are there."""
        found = {old: last(self.aliases, old) for old in self.aliases}
        return {old: new for old, new in found.items() if old not in self.rows and new in self.rows}


def last(steps: dict[Key, Key], key: Key) -> Key:
    """Where a chain of keys ends."""
    while key in steps:
        key = steps[key]
    return key


def named(tree: Tree) -> set[str]:
    """The segments that a rule refers to itself."""
    if tree[0] == "member":
        return {str(tree[1])}
    return set().union(*(named(part) for part in tree[1:] if isinstance(part, tuple)))


def text_of(tree: Tree, world: World) -> str:
    """A rule as it is written."""
    match tree:
        case ("spend", number):
            return f"spend > {number}"
        case ("country", place):
            return f"country = '{place}'"
        case ("recent", days):
            return f"joined in the last '{days} days'"
        case ("out",):
            return "standing = 'out'"
        case ("member", identity):
            return f"member('{world.segments[str(identity)].name}')"
        case ("not", tuple(inner)):
            return f"not ({text_of(inner, world)})"
        case (word, tuple(first), tuple(second)):
            return f"({text_of(first, world)}) {word} ({text_of(second, world)})"
    raise AssertionError(tree)


# ---------------------------------------------------------------- who is in


@dataclass
class Ask:
    """One reading of all rules: today's rows and instant, and the definitions and lists to go by."""

    rows: dict[Key, Row]
    as_of: datetime
    segments: dict[str, Segment]
    lists: dict[str, frozenset[Key]]

    def member(self, identity: str, key: Key) -> bool:
        if key not in self.rows:
            return False
        segment = self.segments[identity]
        found = self.holds(segment.rule, key) if segment.rule is not None else key in self.lists[segment.list or ""]
        found = found or (segment.include is not None and key in self.lists[segment.include])
        return found and not (segment.exclude is not None and key in self.lists[segment.exclude])

    def holds(self, tree: Tree, key: Key) -> bool:
        row = self.rows[key]
        match tree:
            case ("spend", int(number)):
                return row.spend is not None and row.spend > number
            case ("country", place):
                return row.country == place
            case ("recent", int(days)):
                return row.joined is not None and self.as_of - timedelta(days=days) <= row.joined <= self.as_of
            case ("out",):
                return row.standing == "out"
            case ("member", identity):
                return self.member(str(identity), key)
            case ("not", tuple(inner)):
                return not self.holds(inner, key)
            case ("and", tuple(first), tuple(second)):
                return self.holds(first, key) and self.holds(second, key)
            case ("or", tuple(first), tuple(second)):
                return self.holds(first, key) or self.holds(second, key)
        raise AssertionError(tree)


def members_of(world: World, as_of: datetime) -> dict[str, frozenset[Key]]:
    """Who is in each segment."""
    ask = Ask(world.rows, as_of, world.segments, world.lists)
    return {identity: frozenset(key for key in world.rows if ask.member(identity, key)) for identity in world.segments}


def suppressed_by(world: World, as_of: datetime) -> frozenset[Key]:
    """Who is never sent anything, by the rule."""
    if world.suppress is None:
        return frozenset()
    ask = Ask(world.rows, as_of, world.segments, world.lists)
    return frozenset(key for key in world.rows if ask.holds(world.suppress, key))


def resting_on(world: World, identities: set[str]) -> set[str]:
    """These segments and all that refer to one of them, by however many steps."""
    found = set(identities)
    while True:
        more = {name for name, one in world.segments.items() if one.rule is not None and name not in found and named(one.rule) & found}
        if not more:
            return found
        found |= more


def rests_on(world: World, identities: set[str]) -> set[str]:
    """These segments and all that they refer to, by however many steps."""
    found = set(identities)
    while True:
        more = {other for name in found if (rule := world.segments[name].rule) is not None for other in named(rule)} - found
        if not more:
            return found
        found |= more


# ---------------------------------------------------------------- why


def handed_on(keys: frozenset[Key], world: World) -> frozenset[Key]:
    """Former keys, the surviving ones in place of those that were merged."""
    merged = world.merged()
    return frozenset(merged.get(key, key) for key in keys)


def cause(former: World | None, world: World, as_of: datetime, identity: str, key: Key, *, was: bool) -> str:
    """Why a contact came or went: `rule`, `source`, `list`, or `data` (which here stands for `time` as well)."""
    if former is None:
        return "rule"
    if key not in handed_on(frozenset(former.rows), world) or key not in world.rows:
        return "source"
    known, read = _read(former), _read(world)
    then = {name: keys if world.lists.get(name) == keys else keys & former.rows.keys() for name, keys in known.items()}
    relisted = {name: _with_lists(one, former.segments.get(name)) for name, one in world.segments.items()}
    if Ask(world.rows, as_of, relisted, {**read, **then}).member(identity, key) == was:
        return "list"
    if Ask(world.rows, as_of, former.segments, {**then, **read}).member(identity, key) == was:
        return "rule"
    if Ask(world.rows, as_of, former.segments, {**read, **then}).member(identity, key) == was:
        return "list"
    return "data"


def _read(world: World) -> dict[str, frozenset[Key]]:
    """The lists that segments name: at a list that none does nobody looks."""
    named = {name for one in world.segments.values() for name in (one.list, one.include, one.exclude)}
    return {name: keys for name, keys in world.lists.items() if name in named}


def _with_lists(segment: Segment, then: Segment | None) -> Segment:
    """A segment with the lists that it had; a rule doesn't become a list by it."""
    if then is None:
        return segment
    same = (segment.rule is None) == (then.rule is None)
    return replace(segment, list=then.list if same else segment.list, include=then.include, exclude=then.exclude)
