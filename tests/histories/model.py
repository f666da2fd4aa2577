"""What runs, guards and people's decisions should have left: a plain model of activation, row by row.

It knows the world as `world` has it and decides with dictionaries and sets. What became of requests is nothing it can know:
`driver` holds that against what receivers saw, and notes it here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from tests.histories.entering import Entering
from tests.histories.records import Accepted, Computed, Enrollment, Hold, Limits, Move, Place, Standing, held_out
from tests.histories.world import (
    Key,
    Split,
    World,
    cause,
    handed_on,
    last,
    members_of,
    named,
    resting_on,
    suppressed_by,
)

OPEN = ("held", "pending", "sending", "waiting")
DAY, GAP, WAITS = timedelta(hours=24), timedelta(hours=72), timedelta(days=30)
SUPPRESSION = ("suppress", "")


@dataclass
class Model:
    """Everything that the state should say."""

    place: Place
    limits: Limits
    runs: int = 0
    accepted: Accepted | None = None
    then: dict[str, World] = field(default_factory=dict)
    """Of every segment that lives, the world of the run whose computation of it is accepted."""
    last: dict[str, frozenset[Key]] = field(default_factory=dict)
    ever: dict[str, set[Key]] = field(default_factory=dict)
    traffic: dict[str, list[tuple[int, datetime, int, int, int]]] = field(default_factory=dict)
    """Of every segment, its accepted runs: run, as of when, size, entered, exited."""
    spans: list[tuple[int, datetime]] = field(default_factory=list)
    """Every accepted run: number, as of when."""
    decided: dict[str, int] = field(default_factory=dict)
    attached: set[tuple[str, str]] = field(default_factory=set)
    rows: dict[str, Enrollment] = field(default_factory=dict)
    baselines: dict[tuple[str, str, Key], tuple[datetime, str | None]] = field(default_factory=dict)
    skipped: dict[tuple[str, str, Key], str] = field(default_factory=dict)
    """Entries of the newest accepted run that enrolled nobody, and why in a word."""
    moves: list[Move] = field(default_factory=list)
    """The newest accepted run's changes."""
    holds: list[Hold] = field(default_factory=list)
    pauses: set[str] = field(default_factory=set)
    aliases: dict[Key, Key] = field(default_factory=dict)
    erased: set[Key] = field(default_factory=set)
    delivered: bool | None = None
    recovered: bool = False
    splits: dict[str, Split] = field(default_factory=dict)
    """How segments are divided by what is accepted."""
    apart: set[Key] = field(default_factory=set)
    """Whose merge is not in a catalog that was put back: what one of them has is numbered after what the other has."""
    first_names: dict[str, str] = field(default_factory=dict)
    """The name that each sequence was first known by."""
    ledgers: set[int] = field(default_factory=set)
    """The runs that wrote a file of the ledger."""
    released: dict[str, datetime] = field(default_factory=dict)
    """When somebody last decided on a sequence's hold."""

    # ------------------------------------------------------------ runs

    def run(self, world: World, as_of: datetime, now: datetime) -> str:
        """A run is committed: `historical`, `held` or `accepted`."""
        self.runs += 1
        if self.accepted is not None and as_of <= self.accepted.as_of:
            return "historical"
        found = self._computed(world, as_of)
        if self.accepted is not None and self._is_held_whole(found):
            self._open([Hold("source", "", found.number, computed=found)], ended="superseded", only="source")
            return "held"
        segments, suppress = self._held(found)
        opened = [Hold(*SUPPRESSION, found.number)] if suppress else []
        for name in sorted(segments):
            moves = [move for move in found.moves if move[0] == name]
            opened.append(Hold("segment", name, found.number, moves, found.members[name], split=world.segments[name].divided))
        kept = suppress or bool(world.suppress and named(world.suppress) & segments)
        self._open(opened, ended="ended")
        self._accept(found, now, segments, kept=kept)
        return "accepted"

    def _computed(self, world: World, as_of: datetime) -> Computed:
        members = members_of(world, as_of)
        unsent = suppressed_by(world, as_of)
        known = world.suppress is not None or (self.accepted is not None and self.accepted.unsent is not None)
        return Computed(self.runs, as_of, world, members, unsent if known else None, tuple(self._moves(world, as_of, members)))

    def _moves(self, world: World, as_of: datetime, members: dict[str, frozenset[Key]]) -> Iterable[Move]:
        """Who came and went; nobody of a segment that is computed for the first time."""
        for name in sorted(members.keys() & self.last.keys()):
            before = handed_on(self.last[name], world)
            for key in sorted(members[name] ^ before):
                change = "entered" if key in members[name] else "exited"
                yield name, key, change, cause(self.then.get(name), world, as_of, name, key, was=key in before)

    def _is_held_whole(self, found: Computed) -> bool:
        former = self.accepted
        assert former is not None
        lost = former.contacts - len(found.world.rows)
        shrunk = former.contacts > 0 and passed(lost, former.contacts, self.limits.shrinks, 0)
        return shrunk or (found.world.deliver and not self.recovered and found.as_of - former.as_of > GAP)

    def _held(self, found: Computed) -> tuple[set[str], bool]:
        """The segments that are held, and whether all delivery is."""
        if self.accepted is None:
            return set(), False
        counts = Counter((name, change) for name, _, change, _ in found.moves)
        tripped = {
            name
            for name in {name for name, _ in counts}
            if self._is_over(name, found.as_of, counts[name, "entered"], counts[name, "exited"])
        }
        tripped |= {name for name in found.members if self._regroups_many(found, name)}
        held = resting_on(found.world, tripped)
        rests = bool(found.world.suppress and named(found.world.suppress) & held)
        was = self.accepted.unsent
        if was is None or found.unsent is None:
            return held, rests and was is None
        before = handed_on(was, found.world)
        return held, passed(len(before - found.unsent), len(before), *self.limits.suppress)

    def _is_over(self, name: str, as_of: datetime, entered: int, exited: int) -> bool:
        """Whether a segment's guard is passed, by the run or by the last day with it."""
        assert self.accepted is not None
        traffic = self.traffic[name]
        size = traffic[-1][2] if name in self.accepted.members else len(self.last[name])
        first = max((number for number, at in self.spans if at <= as_of - DAY), default=self.spans[0][0])
        since = [one for one in traffic if one[0] >= max(first, self.decided.get(name, 0))]
        base = since[0][2] if since else size
        come, gone = sum(one[3] for one in since[1:]), sum(one[4] for one in since[1:])
        run = passed(entered, size, *self.limits.segment) or passed(exited, size, *self.limits.segment)
        return run or passed(entered + come, base, *self.limits.segment) or passed(exited + gone, base, *self.limits.segment)

    def _regroups_many(self, found: Computed, name: str) -> bool:
        """Whether an edit of a segment's split puts too many of its members in another group: whatever the groups are called."""
        assert self.accepted is not None
        then, now = self.splits.get(name), found.world.segments[name].divided
        if then is None or now is None or name not in self.accepted.members:
            return False
        stayed = handed_on(self.accepted.members[name], found.world) & found.members[name]
        moved = sum(then.first_name(key) != now.first_name(key) for key in stayed)
        return passed(moved, self.traffic[name][-1][2], *self.limits.segment)

    def _open(self, opened: list[Hold], *, ended: str, only: str | None = None) -> None:
        """New holds; those that they replace are superseded, all others but sequences' end (`only`: none but this kind)."""
        replaced = {(hold.kind, hold.name) for hold in opened}
        for hold in self.open_holds():
            if hold.kind != "sequence" and only in (None, hold.kind):
                hold.status = "superseded" if (hold.kind, hold.name) in replaced else ended
        self.holds += opened

    def open_holds(self, run: int | None = None) -> list[Hold]:
        """What is held now, of one run or of all."""
        return [hold for hold in self.holds if hold.status == "open" and run in (None, hold.run)]

    def _accept(self, found: Computed, now: datetime, held: set[str], *, kept: bool) -> None:
        former, world = self.accepted, found.world
        going = {name for name in held if former is not None and name in former.members}
        members = {name: keys for name, keys in found.members.items() if name not in held}
        members |= {name: handed_on(self.last[name], world) for name in going}
        unsent, beside = found.unsent, None
        if kept:
            unsent, beside = (None if former is None or former.unsent is None else handed_on(former.unsent, world)), found.unsent
        self.moves = [move for move in found.moves if move[0] not in held]
        firsts = found.members.keys() - self.last.keys() - held
        self._take(found.number, found.as_of, members, self.moves, firsts)
        self.then = {name: self.then[name] if name in held else world for name in members}
        kept_as_it_was = {name: split for name, split in self.splits.items() if name in held}
        self.splits = {name: one.divided for name, one in world.segments.items() if one.divided and name not in held} | kept_as_it_was
        self.accepted = Accepted(found.number, found.as_of, now, world, len(world.rows), members, unsent, beside)
        entered = [(name, key, why) for name, key, change, why in self.moves if change == "entered"]
        self.activate(
            Standing(
                found.number,
                found.as_of,
                now,
                world,
                frozenset(world.rows),
                members,
                entered,
                self.accepted.suppressed,
                aliases=world.aliases,
                splits=self.splits,
            )
        )

    def _take(self, number: int, as_of: datetime, members: dict[str, frozenset[Key]], moves: list[Move], firsts: Iterable[str]) -> None:
        """Memberships and changes go into history."""
        self.spans.append((number, as_of))
        for name, keys in members.items():
            counts = Counter(change for segment, _, change, _ in moves if segment == name)
            entered = len(keys) if name in firsts else counts["entered"]
            self.traffic.setdefault(name, []).append((number, as_of, len(keys), entered, counts["exited"]))
            self.ever.setdefault(name, set()).update(keys if name in firsts else ())
        for name, key, change, _ in moves:
            if change == "entered":
                self.ever.setdefault(name, set()).add(key)
        self.last = self.last | members

    # ------------------------------------------------------------ decisions

    def approve(self, chosen: list[Hold], files: World, now: datetime, *, baseline: bool = False) -> None:
        """Somebody accepts these holds of one run."""
        assert self.accepted is not None
        for hold in chosen:
            hold.status = "approved"
        sequences = {hold.name for hold in chosen if hold.kind == "sequence"}
        released = [row for row in self.rows.values() if row.sequence in sequences and row.outcome == "held"]
        source = next((hold.computed for hold in chosen if hold.computed is not None), None)
        if source is not None:
            for hold in self.open_holds():
                hold.status = "superseded" if hold.kind != "sequence" else hold.status
        if source is not None or any(hold.kind != "sequence" for hold in chosen):
            self.runs += 1
            standing = self._approved_whole(source, now) if source is not None else self._approved_parts(chosen, now, baseline=baseline)
            aliases = files.aliases if source is not None else {}
            suppressed = self.accepted.suppressed_in(files)
            self.activate(replace(standing, files=files, by_hand=True, baseline=baseline, aliases=aliases, suppressed=suppressed))
        for row in released:
            if row.outcome == "held":
                row.outcome, row.since = "pending", now
        self.released |= dict.fromkeys(sequences, now)

    def _approved_whole(self, found: Computed, now: datetime) -> Standing:
        self.moves = list(found.moves)
        self._take(self.runs, found.as_of, found.members, self.moves, found.members.keys() - self.last.keys())
        self.decided |= dict.fromkeys(found.members, self.runs)
        self.then = dict.fromkeys(found.members, found.world)
        self.splits = {name: one.divided for name, one in found.world.segments.items() if one.divided}
        self.accepted = Accepted(self.runs, found.as_of, now, found.world, len(found.world.rows), found.members, found.unsent, None)
        return self._standing(now)

    def _approved_parts(self, chosen: list[Hold], now: datetime, *, baseline: bool) -> Standing:
        former = self.accepted
        assert former is not None
        segments = {hold.name: hold for hold in chosen if hold.kind == "segment"}
        members = former.members | {name: hold.members for name, hold in segments.items()}
        self.moves = [move for name in sorted(segments) for move in segments[name].moves]
        self._take(self.runs, former.as_of, members, self.moves, segments.keys() - self.last.keys())
        self.decided |= dict.fromkeys(segments, self.runs)
        self.then |= dict.fromkeys(segments, former.world)
        going = {name: split for name, split in self.splits.items() if name not in segments}
        self.splits = going | {name: hold.split for name, hold in segments.items() if hold.split}
        unsent, beside = former.unsent, former.held_unsent
        if any(hold.kind == "suppress" for hold in chosen):
            unsent, beside = beside, None
        self.accepted = replace(former, number=self.runs, started=now, members=members, unsent=unsent, held_unsent=beside)
        return self._standing(now)

    def _standing(self, now: datetime) -> Standing:
        it = self.accepted
        assert it is not None
        entered = [(name, key, why) for name, key, change, why in self.moves if change == "entered"]
        rows = frozenset(it.world.rows)
        return Standing(self.runs, it.as_of, now, it.world, rows, it.members, entered, it.suppressed, splits=self.splits)

    def discard(self, chosen: list[Hold], now: datetime) -> None:
        """Somebody drops these holds."""
        for hold in chosen:
            hold.status = "discarded"
            if hold.kind == "sequence":
                self.released[hold.name] = now
                for row in self.rows.values():
                    if row.sequence == hold.name and row.outcome == "held":
                        row.outcome = "dropped"

    # ------------------------------------------------------------ activation

    def person(self, key: Key) -> Key:
        """The key that a contact goes on under."""
        return last(self.aliases, key)

    def activate(self, at: Standing) -> None:
        """Who is enrolled, what ends, what a sequence's guard holds."""
        self.aliases |= at.aliases
        for row in self.rows.values():
            row.person = self.person(row.person)
        switched = at.files.deliver and self.delivered is False
        waiting = [row for row in self.rows.values() if row.outcome in OPEN]
        baselines = len(self.baselines)
        new = Entering(self, at, switched=switched).all()
        if switched:
            for row in self.rows.values():
                if row.outcome in ("held", "pending", "waiting", "paused"):
                    row.outcome = "dropped"
            arrived = []
        else:
            arrived = self._settle(at, waiting, new)
        self.rows |= {row.id: row for row in new}
        due = [row for row in (*new, *arrived) if row.outcome == "pending"]
        for row in due:
            row.since = at.now
        self._guard(at, due)
        for row in new:
            row.began = row.outcome
        self.ledgers |= {at.number} if new or len(self.baselines) > baselines else set()
        known = {row.sequence for row in self.rows.values()} | {sequence for _, sequence, *_ in (*self.attached, *self.baselines)}
        self.first_names = {sequence: name for sequence, name in self.first_names.items() if sequence in known}
        self.delivered, self.recovered = at.files.deliver, False

    def _guard(self, at: Standing, due: list[Enrollment]) -> None:
        for sequence in sorted({row.sequence for row in due}):
            mine = [row for row in due if row.sequence == sequence]
            since = max(at.now - DAY, self.released.get(sequence, at.now - DAY))
            before = sum(
                row.sequence == sequence and row.since is not None and row.since > since and row not in mine for row in self.rows.values()
            )
            held = any(hold.kind == "sequence" and hold.name == sequence for hold in self.open_holds())
            if not held and len(mine) + before > self.limits.sequence:
                self.holds.append(Hold("sequence", sequence, at.number))
                held = True
            for row in mine if held else ():
                row.outcome, row.since = "held", None

    def _settle(self, at: Standing, rows: list[Enrollment], new: list[Enrollment]) -> list[Enrollment]:
        """What becomes of rows that were open before; those whose address came are given back."""
        arrived = []
        for row in sorted(rows, key=lambda row: (row.as_of, row.id)):
            key = next((one for one in self.keys_of(row.person) if one in at.rows), row.person)
            end = self._end(at, row, key)
            if end is not None and row.outcome == "sending":
                row.stop = end
            elif end is not None:
                row.outcome = end
            elif row.outcome == "waiting" and (found := at.files.rows.get(key)) is not None and found.address is not None:
                taken = self.has_address(row.sequence, found.address, new, at.number)
                row.address = found.address
                row.outcome = "duplicate_address" if taken - {row.person} else "pending"
                arrived += [row] if row.outcome == "pending" else []
        return arrived

    def _end(self, at: Standing, row: Enrollment, key: Key) -> str | None:
        segment = at.files.segments.get(row.segment)
        if row.segment not in at.members or segment is None or row.sequence not in {policy.sequence for policy in segment.enroll}:
            return "withdrawn"
        if key not in at.rows:
            return "withdrawn"
        if key in at.suppressed:
            return "suppressed"
        if at.held_out(row.segment, row.sequence, key):
            return "withdrawn"
        if at.files.sequences[row.sequence].while_member and key not in at.members[row.segment]:
            return "withdrawn"
        return "expired" if row.outcome == "waiting" and at.as_of - row.as_of > WAITS else None

    def keys_of(self, person: Key) -> list[Key]:
        """A person's keys, its own first."""
        return [person, *(old for old in self.aliases if last(self.aliases, old) == person)]

    def has_address(self, sequence: str, address: str, new: Iterable[Enrollment], run: int) -> set[Key]:
        """Whoever has an address in a sequence."""
        rows = [row for row in (*self.rows.values(), *new) if row.outcome != "duplicate_address"]
        found = {row.person for row in rows if row.sequence == sequence and row.address == address}
        return found | {self.person(key) for (_, one, key), (_, mine) in self.baselines.items() if one == sequence and mine == address}

    def id_of(self, sequence: str, contact: Key, number: int) -> str:
        """An enrollment's id, made anew."""
        name = json.dumps(
            [self.place.environment, self.first_names[sequence], self.place.kind, str(contact), number], separators=(",", ":")
        )
        return str(uuid5(UUID(self.place.workspace), name))

    # ------------------------------------------------------------ people

    def stop_whole(self, lost: Model) -> None:
        """A run is held because the ledger has files of runs that are not known; its number is after theirs."""
        self.runs = max(self.runs, *lost.ledgers) + 1
        self._open([Hold("source", "", self.runs)], ended="superseded", only="source")

    def recover(self, lost: Model) -> None:
        """What a later model had in the ledger's files is known again; what it may have sent waits for a person."""
        rows = [row for id, row in lost.rows.items() if id not in self.rows]
        for row in rows:
            maybe = row.began in (*OPEN, "paused")
            since = row.as_of if row.began == "pending" else None
            outcome = "unknown" if maybe else row.began
            self.rows[row.id] = replace(row, outcome=outcome, person=self.person(row.contact), since=since, stop=None)
        baselines = {pair: one for pair, one in lost.baselines.items() if pair not in self.baselines}
        self.baselines |= baselines
        self.attached |= {(row.segment, row.sequence) for row in rows} | {pair[:2] for pair in baselines}
        self.first_names = lost.first_names | self.first_names
        self.ledgers |= lost.ledgers
        self.recovered = True
        unmerged = {old: new for old, new in lost.aliases.items() if old not in self.aliases}
        self.apart |= set(unmerged) | set(unmerged.values())

    def fit(self, row: Enrollment, files: World) -> bool:
        """Whether a row that waited for a person may still be sent."""
        it = self.accepted
        if it is None or row.person not in it.world.rows or row.person in it.suppressed_in(files) or row.segment not in it.members:
            return False
        if held_out(files, self.splits, row.segment, row.sequence, row.person):
            return False
        return row.person in it.members[row.segment] or not files.sequences[row.sequence].while_member

    def forget(self, key: Key) -> None:
        """A contact is erased, by all of its keys."""
        keys = {key, *self.keys_of(self.person(key))}
        self.erased |= keys
        self.rows = {id: row for id, row in self.rows.items() if row.person not in keys}
        self.baselines = {pair: one for pair, one in self.baselines.items() if pair[2] not in keys}
        self.skipped = {pair: one for pair, one in self.skipped.items() if pair[2] not in keys}
        self.moves = [move for move in self.moves if move[1] not in keys]
        self.last = {name: found - keys for name, found in self.last.items()}
        self.ever = {name: found - keys for name, found in self.ever.items()}
        self.then = {name: _without(world, keys) for name, world in self.then.items()}
        if self.accepted is not None:
            it = self.accepted
            members = {name: found - keys for name, found in it.members.items()}
            unsent, beside = (None if one is None else one - keys for one in (it.unsent, it.held_unsent))
            self.accepted = replace(it, world=_without(it.world, keys), members=members, unsent=unsent, held_unsent=beside)
        for hold in self.holds:
            hold.moves = [move for move in hold.moves if move[1] not in keys]
            hold.members -= keys
            hold.computed = None if hold.computed is None else _computed_without(hold.computed, keys)


def passed(count: int, size: int, percent: int, contacts: int) -> bool:
    """Whether a guard is passed: more than so many, and more than the share, of nobody any share."""
    return count > contacts and (size == 0 or count * 100 > percent * size)


def _without(world: World, keys: set[Key]) -> World:
    return replace(world, rows={key: row for key, row in world.rows.items() if key not in keys})


def _computed_without(found: Computed, keys: set[Key]) -> Computed:
    members = {name: inside - keys for name, inside in found.members.items()}
    unsent = None if found.unsent is None else found.unsent - keys
    return replace(
        found,
        world=_without(found.world, keys),
        members=members,
        unsent=unsent,
        moves=tuple(move for move in found.moves if move[1] not in keys),
    )
