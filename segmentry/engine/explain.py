"""Why a contact is in a segment or not: the rule's tree with the contact's own values. Text, JSON and HTML are renderings of it."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from segmentry.engine.outline import Shape
from segmentry.engine.render import cell, moment

HOLDS, FAILS = "✓", "✗"


@dataclass(frozen=True, slots=True)
class Reading:
    """A value that decided a condition, and what it was read from; None is missing."""

    expression: str
    value: object


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
        told = [f"{reading.expression} is {'missing' if reading.value is None else cell(reading.value)}" for reading in self.readings]
        return "; ".join([*told, *([self.note] if self.note else [])])

    def to_json(self) -> dict[str, object]:
        """The line and all below it as plain values."""
        return {
            "condition": self.text,
            "shape": str(self.shape),
            "holds": self.holds,
            "missing": self.missing,
            "values": [{"expression": reading.expression, "value": reading.value} for reading in self.readings],
            "thresholds": list(self.thresholds),
            "note": self.note or None,
            "parts": [part.to_json() for part in self.parts],
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether a contact is in a segment at `as_of` (aware, UTC) on the snapshot as it is, and every condition's part in that.

    `accepted` is what the accepted run says, None where there is none; it differs from `member` where the data, the
    rule or the clock has moved on since.
    """

    segment: str
    contact: object
    as_of: datetime
    member: bool
    accepted: bool | None
    tree: Line

    def styled(self) -> list[tuple[str, str]]:
        """The text in pieces of (text, style), styles being `good`, `bad`, `dim`, `bold` or empty."""
        pieces = [
            (f"contact {cell(self.contact)} is {'in' if self.member else 'not in'} {self.segment}", "bold"),
            (f" at {moment(self.as_of)}\n", ""),
        ]
        if self.accepted is not None and self.accepted != self.member:
            pieces.append((f"the accepted run says otherwise: it is {'in' if self.accepted else 'not in'}\n", "bad"))
        lines = list(self.tree.walk())
        width = min(max(2 * depth + len(_label(line)) for depth, line in lines), 90)
        for depth, line in lines:
            label = "  " * depth + _label(line)
            evidence = line.evidence()
            pieces.append((f"{HOLDS if line.holds else FAILS} ", "good" if line.holds else "bad"))
            pieces.append((f"{label:<{width}}  " if evidence else label, ""))
            pieces.append((f"{evidence}\n", "dim"))
        return pieces

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
            "tree": self.tree.to_json(),
        }

    def to_html(self) -> str:
        """Nested lists, with no style sheet and no script."""
        verdict = "in" if self.member else "not in"
        head = f"<p><b>contact {html.escape(cell(self.contact))} is {verdict} {html.escape(self.segment)}</b> at {moment(self.as_of)}</p>"
        return head + "<ul>" + _html(self.tree) + "</ul>"

    def _repr_html_(self) -> str:
        return self.to_html()


def _label(line: Line) -> str:
    return str(line.shape) if line.shape in (Shape.ALL, Shape.ANY) else cell(" ".join(line.text.split()))


def _html(line: Line) -> str:
    mark, color = (HOLDS, "green") if line.holds else (FAILS, "crimson")
    evidence = line.evidence()
    said = f" <small>{html.escape(evidence)}</small>" if evidence else ""
    below = "<ul>" + "".join(_html(part) for part in line.parts) + "</ul>" if line.parts else ""
    return f'<li><span style="color:{color}">{mark}</span> <code>{html.escape(_label(line))}</code>{said}{below}</li>'
