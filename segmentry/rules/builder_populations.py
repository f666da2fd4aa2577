"""The builder form's entries about places among all contacts: `top`, `bottom`, `ntile`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from segmentry.rules.arrange import Path
from segmentry.rules.builder_words import BY_MEASURE
from segmentry.rules.diagnostics import Diagnostic, Place
from segmentry.rules.syntax import Call, Name, Named, Syntax

Entry = Mapping[object, object]


class Reader(Protocol):
    """What is needed of the reader of entries; each answers None when it has reported why there is none."""

    problems: list[Diagnostic]

    def problem(self, code: str, message: str, path: Path, hint: str | None = None) -> None: ...
    def entry(self, entry: object, path: Path, depth: int) -> Syntax | None: ...
    def event_call(self, entry: Entry, path: Path, depth: int) -> Call | None: ...
    def scalar(self, value: object, path: Path) -> Syntax | None: ...
    def name(self, entry: Entry, key: str, path: Path) -> Name | None: ...


def population(reader: Reader, kind: str, entry: Entry, path: Path, depth: int) -> Call | None:
    """`{top: 1000, by: lifetime_value, among: {...}, per: location}` as the function of that name."""
    before = len(reader.problems)
    number = reader.scalar(entry[kind], (*path, kind))
    named: list[tuple[str, Syntax | None]] = []
    if "by" not in entry:
        reader.problem("R122", f"`{kind}` needs a `by`", path, "a field's name, or an event and its measure")
    else:
        named.append(("by", _ordered_by(reader, entry, path, depth)))
    if "among" in entry:
        named.append(("among", reader.entry(entry["among"], (*path, "among"), depth + 1)))
    if "per" in entry:
        named.append(("per", reader.name(entry, "per", path)))
    if len(reader.problems) > before or number is None:
        return None
    given = tuple(Named(key, value, place=Place(path=(*path, key))) for key, value in named if value is not None)
    return Call(kind, (number,), given, place=Place(path=(*path, kind)))


def _ordered_by(reader: Reader, entry: Entry, path: Path, depth: int) -> Syntax | None:
    by, here = entry["by"], (*path, "by")
    if not isinstance(by, Mapping):
        return reader.name(entry, "by", path)
    if "event" not in by or "measure" not in by:
        hint = "write `by: lifetime_value`, or `by: {event: order_placed, measure: sum, property: amount}`"
        reader.problem("R125", "`by` is a field's name, or an event and its measure", here, hint)
        return None
    wrong = [key for key in by if key not in BY_MEASURE]
    for key in wrong:
        shown = f"`{key}`" if isinstance(key, str) else "this key"
        reader.problem("R121", f"{shown} can't stand in `by`", here, f"it has {', '.join(BY_MEASURE)}")
    if by["measure"] == "did":
        reader.problem("R123", "`did` gives nothing to order by", (*here, "measure"), "`count` counts; other measures are values too")
        return None
    return None if wrong else reader.event_call(by, here, depth + 1)
