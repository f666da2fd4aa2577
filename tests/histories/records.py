"""What the model keeps: rows, holds, and what runs found and made so."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from tests.histories.world import Key, Segment, Split, World

Move = tuple[str, Key, str, str]
"""Segment, contact, `entered` or `exited`, cause."""


@dataclass(frozen=True)
class Limits:
    """The guards: percents and counts."""

    shrinks: int = 100
    segment: tuple[int, int] = (100, 10**6)
    suppress: tuple[int, int] = (100, 10**6)
    sequence: int = 10**6


@dataclass(frozen=True)
class Place:
    """A workspace, an environment, and what kind of keys its contacts have."""

    workspace: str
    environment: str
    kind: str


@dataclass
class Enrollment:
    """A numbered row. `stop`: what it ends as once its sender lets it go; `began`: the outcome that the ledger's file has."""

    id: str
    sequence: str
    segment: str
    contact: Key
    person: Key
    number: int
    cause: str
    as_of: datetime
    run: int
    outcome: str
    address: str | None
    since: datetime | None = None
    stop: str | None = None
    began: str = ""


@dataclass
class Hold:
    """Something held. `moves` and `members`: what would be so of a segment, or of a whole run."""

    kind: str
    name: str
    run: int
    moves: list[Move] = field(default_factory=list)
    members: frozenset[Key] = frozenset()
    computed: Computed | None = None
    status: str = "open"
    split: Split | None = None
    """How a segment would be divided."""


@dataclass(frozen=True)
class Computed:
    """What a run found: the world it saw, who is in, who is suppressed by its rule (None: there is none)."""

    number: int
    as_of: datetime
    world: World
    members: dict[str, frozenset[Key]]
    unsent: frozenset[Key] | None
    moves: tuple[Move, ...]


@dataclass(frozen=True)
class Accepted:
    """What is accepted. `unsent`: by the accepted rule; `held_unsent`: by the computed one beside it, while that is held."""

    number: int
    as_of: datetime
    started: datetime
    world: World
    contacts: int
    members: dict[str, frozenset[Key]]
    unsent: frozenset[Key] | None
    held_unsent: frozenset[Key] | None

    @property
    def suppressed(self) -> frozenset[Key]:
        return self.suppressed_in(self.world)

    def suppressed_in(self, files: World) -> frozenset[Key]:
        """Who is sent nothing: whoever is suppressed, and whoever else has the address of one of them by what the files say now."""
        meant = (self.unsent or frozenset()) | (self.held_unsent or frozenset())
        taken = {files.rows[key].address for key in meant if key in files.rows} - {None}
        return meant | {key for key, row in files.rows.items() if row.address in taken}


@dataclass(frozen=True)
class Standing:
    """What an activation goes by; `files` is the world as the files have it now, `rows` whom the run saw."""

    number: int
    as_of: datetime
    now: datetime
    files: World
    rows: frozenset[Key]
    members: dict[str, frozenset[Key]]
    entered: list[tuple[str, Key, str]]
    suppressed: frozenset[Key]
    by_hand: bool = False
    baseline: bool = False
    aliases: dict[Key, Key] = field(default_factory=dict)
    """Merges that come with it."""
    splits: dict[str, Split] = field(default_factory=dict)
    """How segments are divided by what is accepted."""

    def held_out(self, segment: str, sequence: str, key: Key) -> bool:
        """Whether a contact is in no group that a segment enrolls in a sequence."""
        return held_out(self.files, self.splits, segment, sequence, key)


def held_out(files: World, accepted: dict[str, Split], segment: str, sequence: str, key: Key) -> bool:
    """Whether a contact is in no group that a segment enrolls in a sequence, by the files and by how segments are divided.

    That is as accepted, and as in the file where that chooses a group which is new there.
    """
    one = files.segments.get(segment)
    chosen = {} if one is None else {policy.sequence: policy.split for policy in one.enroll}
    groups = chosen.get(sequence)
    return one is not None and groups is not None and group_of(one, accepted.get(segment), key) not in groups


def group_of(one: Segment, then: Split | None, key: Key) -> str | None:
    """The group that a contact counts as in, of a segment as its file has it, and as it is accepted to be divided (`then`)."""
    said = one.divided
    assert said is not None
    then = None if then is None else then.called_as(said)
    asked = {name for meant in (*one.enroll, *one.sync) for name in meant.split or ()}
    return (then if then is not None and asked <= then.names else said).group(key)
