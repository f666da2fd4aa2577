"""The one value every problem is told with. Text and JSON are renderings of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a rule: code-point offsets into its text, half open, and for builder form the path to the scalar.

    `path` is () for a rule given as text; `("rules", 2, "value")` for a builder's scalar. With both, the offsets
    are inside that scalar (a `{rule: "..."}` entry).
    """

    start: int = 0
    end: int = 0
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Location:
    """Where in a file: 1-based line and column, the text of that line, and how many columns to underline."""

    file: str
    line: int
    column: int
    text: str = ""
    width: int = 1


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem: a stable code, what is wrong, where, and what to do about it.

    `code` never changes its meaning (R... rules, W... workspace files, S... sources; a list is in docs/errors.md).
    `message` says what is wrong; `help` is short and goes beside the caret; `notes` are further lines.
    """

    code: str
    message: str
    severity: Severity = Severity.ERROR
    place: Place | None = None
    help: str | None = None
    notes: tuple[str, ...] = ()
    location: Location | None = None
    rule: str | None = None
    """The rule's own text, so that a problem with offsets but no file can still show its line."""

    def at(self, location: Location | None) -> Diagnostic:
        """The same problem, with its place in a file known."""
        return replace(self, location=location)

    def render(self) -> str:
        """The problem as lines of plain text, with the source line and a caret where the place is known."""
        lines = [f"{self.severity}[{self.code}]: {self.message}"]
        location = self.location or self.location_in_rule()
        if location is not None:
            number = str(location.line)
            gutter = " " * len(number)
            lines.append(f"{gutter} --> {location.file}:{location.line}:{location.column}")
            if location.text:
                caret = " " * (location.column - 1) + "^" * max(1, location.width)
                lines.append(f" {number} | {location.text}")
                lines.append(f" {gutter} | {caret}" + (f" {self.help}" if self.help else ""))
            elif self.help:
                lines.append(f"{gutter}  = {self.help}")
        elif self.help:
            lines.append(f"  = {self.help}")
        lines.extend(f"  = {note}" for note in self.notes)
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """The problem as plain JSON values; keys that don't apply are null."""
        location = self.location or self.location_in_rule()
        return {
            "code": self.code,
            "severity": str(self.severity),
            "message": self.message,
            "help": self.help,
            "notes": list(self.notes),
            "file": location.file if location else None,
            "line": location.line if location else None,
            "column": location.column if location else None,
            "path": list(self.place.path) if self.place else None,
        }

    def location_in_rule(self) -> Location | None:
        if self.place is None or self.rule is None:
            return None
        start = min(self.place.start, len(self.rule))
        before = self.rule[:start]
        line_start = before.rfind("\n") + 1
        line_end = self.rule.find("\n", start)
        text = self.rule[line_start : line_end if line_end >= 0 else len(self.rule)]
        width = max(1, min(self.place.end, line_start + len(text)) - start)
        return Location("rule", before.count("\n") + 1, start - line_start + 1, text, width)
