"""Why a contact is in a segment or not: the rule's tree with the contact's own values. Text, JSON and HTML are renderings of it."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from segmentry.engine.foretelling import NEVER, Flip, Foresight
from segmentry.engine.outline import Shape
from segmentry.engine.render import cell, moment, second

HOLDS, FAILS = "✓", "✗"
LONG = 30
"""Characters of an expression beyond which it is not said again beside its value."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A value that decided a condition, and what it was read from; None is missing."""

    expression: str
    value: object

    @property
    def shown(self) -> object:
        """The value as a person reads it."""
        return _plain(self.value)


@dataclass(frozen=True, slots=True)
class Line:
    """One condition: its words, whether it holds, the contact's values, what they were compared with, and what is below it.

    `readings` are this contact's values; `thresholds` are the same for everybody, clocks resolved. `missing` is true
    where a reading is missing, which makes a comparison false (and its `not` true).
    """

    shape: Shape
    text: str
    holds: bool
    readings: tuple[Reading, ...] = ()
    thresholds: tuple[object, ...] = ()
    note: str = ""
    parts: tuple[Line, ...] = ()
    flip: Flip = NEVER
    """When it next turns over if no data changes."""
    need: str = ""
    """What a condition needs to turn over now, in words; empty for what stands above conditions."""

    @property
    def missing(self) -> bool:
        return any(reading.value is None for reading in self.readings)

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Line]]:
        """This line and all below it, with depths, in the order written."""
        pending = [(depth, self)]
        while pending:
            level, line = pending.pop()
            yield level, line
            pending.extend((level + 1, part) for part in reversed(line.parts))

    def evidence(self) -> str:
        """The values as a person reads them: `lifetime_value is 320.5`."""
        told = []
        for reading in self.readings:
            name = reading.expression if len(reading.expression) <= LONG else "it"
            told.append(f"{name} is {'missing' if reading.value is None else cell(_plain(reading.value))}")
        return "; ".join([*told, *([self.note] if self.note else []), *([] if self.parts else _foretold(self.flip))])

    def to_json(self) -> dict[str, object]:
        """The line and all below it as plain values."""
        return {
            "condition": self.text,
            "shape": str(self.shape),
            "holds": self.holds,
            "missing": self.missing,
            "values": [{"expression": reading.expression, "value": _plain(reading.value)} for reading in self.readings],
            "thresholds": [_plain(value) for value in self.thresholds],
            "note": self.note or None,
            "next_flip": self.flip.to_json(),
            "need": self.need or None,
            "parts": [part.to_json() for part in self.parts],
        }


@dataclass(frozen=True, slots=True)
class Turn:
    """The smallest change that would turn an answer over now: `lines` are the conditions that would have to come out otherwise.

    None: no change of this contact's data would do. `fewest` is false where a smaller set was not ruled out.
    """

    lines: tuple[Line, ...] | None
    fewest: bool = True

    def to_json(self) -> dict[str, object]:
        turns = None if self.lines is None else [{"condition": line.text, "holds": line.holds, "need": line.need} for line in self.lines]
        return {"turns": turns, "fewest": self.fewest}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether a contact is in a segment at `as_of` (aware, UTC) on the snapshot as it is, and every condition's part in that.

    `accepted` is what the accepted run says, None where there is none; it differs from `member` where the data, the
    rule or the clock has moved on since. `tree.flip` is when the answer next turns over if these files stay as they are;
    `turn` is what would turn it over now.
    """

    segment: str
    contact: object
    as_of: datetime
    member: bool
    accepted: bool | None
    tree: Line
    turn: Turn
    split: Mapping[str, str] | None = None
    """Where the segment is divided, its groups and their shares, as the file has them."""
    group: str | None = None
    """The one of them that the contact is in, as a member or not; None: in none."""

    @property
    def flip(self) -> Flip:
        """When the answer next turns over if these files stay as they are."""
        return self.tree.flip

    def styled(self) -> list[tuple[str, str]]:
        """The text in pieces of (text, style), styles being `good`, `bad`, `dim`, `bold` or empty."""
        pieces = [
            (f"contact {cell(self.contact)} is {'in' if self.member else 'not in'} {self.segment}", "bold"),
            (f" at {second(self.as_of)}\n", ""),
        ]
        if self.accepted is not None and self.accepted != self.member:
            pieces.append((f"the accepted run says otherwise: it is {'in' if self.accepted else 'not in'}\n", "bad"))
        if self.split is not None:
            pieces.append((f"{self.grouped()}\n", ""))
        lines = list(self.tree.walk())
        width = min(max(2 * depth + len(_label(line)) for depth, line in lines), 90)
        for depth, line in lines:
            label = "  " * depth + _label(line)
            evidence = line.evidence()
            pieces.append((f"{HOLDS if line.holds else FAILS} ", "good" if line.holds else "bad"))
            pieces.append((f"{label:<{width}}  " if evidence else label, ""))
            pieces.append((f"{evidence}\n", "dim"))
        return [*pieces, ("\n", ""), *((f"{line}\n", "") for line in self.outlook())]

    def grouped(self) -> str:
        """The group, in words; nothing where the segment is not divided."""
        if self.split is None:
            return ""
        shares = ", ".join(f"{name} {share}" for name, share in self.split.items())
        which = "in no group" if self.group is None else f"in the group {self.group}"
        return f"{which} of the split ({shares})" + ("" if self.member else ", once it is a member")

    def outlook(self) -> list[str]:
        """By what, and when, the answer would be another: by time alone, and by the contact's data now."""
        return [_by_time(self), *_by_data(self)]

    def __str__(self) -> str:
        return "".join(text for text, _ in self.styled()).rstrip("\n")

    def to_json(self) -> dict[str, object]:
        """Everything as plain values; dates, times and decimals are as Python has them."""
        return {
            "segment": self.segment,
            "contact": self.contact,
            "as_of": self.as_of,
            "member": self.member,
            "accepted": self.accepted,
            "next_flip": self.flip.to_json(),
            "smallest_change": self.turn.to_json(),
            "tree": self.tree.to_json(),
            **({} if self.split is None else {"split": dict(self.split), "group": self.group}),
        }

    def to_html(self) -> str:
        """Nested lists, with no style sheet and no script."""
        verdict = "in" if self.member else "not in"
        head = f"contact {html.escape(cell(self.contact))} is {verdict} {html.escape(self.segment)}"
        outlook = "<br>".join(html.escape(line) for line in self.outlook())
        group = f"<br>{html.escape(self.grouped())}" if self.split is not None else ""
        return f"<p><b>{head}</b> at {second(self.as_of)}{group}</p><ul>{_html(self.tree)}</ul><p>{outlook}</p>"

    def _repr_html_(self) -> str:
        return self.to_html()


def _plain(value: object) -> object:
    """A number that a program can take; everything else as it is."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


FORETOLD = {
    Foresight.AT: "turns over at {at}",
    Foresight.NOT_BEFORE: "stays so until {at} at least",
    Foresight.UNKNOWN: "when it turns over can't be foretold",
}
"""What is said of a condition that time may turn over; of the others nothing."""

WHOLE = {
    Foresight.AT: "by time alone it {moves} at {at}",
    Foresight.NOT_BEFORE: "by time alone it stays {side} until {at} at least; what comes later is not known",
    Foresight.UNKNOWN: "when it {moves} by time alone can't be foretold",
    Foresight.NEVER: "by time alone it stays {side}",
}


def _foretold(flip: Flip) -> list[str]:
    words = FORETOLD.get(flip.kind)
    return [] if words is None else [words.format(at=moment(flip.at) if flip.at else "")]


def _by_time(told: Explanation) -> str:
    """When the answer turns over by time alone, and by which conditions."""
    flip = told.flip
    words = WHOLE[flip.kind].format(
        moves="leaves" if told.member else "comes in", side="in" if told.member else "out", at=moment(flip.at) if flip.at else ""
    )
    leaves = [line for _, line in told.tree.walk() if not line.parts]
    blamed = [line for line in leaves if line.flip.at == flip.at and line.flip.kind is flip.kind] if flip.kind is not NEVER.kind else []
    return f"{words}: {'; '.join(dict.fromkeys(_label(line) for line in blamed))}" if blamed else words


def _by_data(told: Explanation) -> list[str]:
    """The smallest change that would turn the answer over now."""
    turn, other = told.turn, "out" if told.member else "in"
    if turn.lines is None:
        return [f"no change of this contact's data would put it {other} now" if turn.fewest else f"no way {other} was found"]
    number = f"{len(turn.lines)} condition{'' if len(turn.lines) == 1 else 's'}"
    fewest = f"to be {other} now, {number} would have to turn over" + ("" if turn.fewest else " (fewer may do)")
    return [f"{fewest}:", *(f"  {cell(line.need)}" for line in turn.lines)]


def _label(line: Line) -> str:
    return str(line.shape) if line.shape in (Shape.ALL, Shape.ANY) else cell(" ".join(line.text.split()))


def _html(line: Line) -> str:
    mark, color = (HOLDS, "green") if line.holds else (FAILS, "crimson")
    evidence = line.evidence()
    said = f" <small>{html.escape(evidence)}</small>" if evidence else ""
    below = "<ul>" + "".join(_html(part) for part in line.parts) + "</ul>" if line.parts else ""
    return f'<li><span style="color:{color}">{mark}</span> <code>{html.escape(_label(line))}</code>{said}{below}</li>'
