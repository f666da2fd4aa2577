"""Made-up contacts at a rule's edges, written as tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from segmentry.engine.counterexample import shown
from segmentry.rules.types import Kind, Type
from segmentry.verifying.days import EPOCH, Zone
from segmentry.verifying.people import EventRow, Sources

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]*")


@dataclass(frozen=True)
class Sketch:
    """A contact that is made up, as far as one or more conditions need it. A field that is None is missing."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[EventRow, ...] = ()
    member: Mapping[str, bool] = field(default_factory=dict)

    def beside(self, other: Sketch) -> Sketch:
        """Both together; where they clash, the other's."""
        return Sketch({**self.fields, **other.fields}, (*self.events, *other.events), {**self.member, **other.member})


@dataclass(frozen=True)
class Edge:
    """One condition's edge: its words, and contacts on either side of it (none where none were found)."""

    condition: str
    inside: Sequence[Sketch] = ()
    outside: Sequence[Sketch] = ()


@dataclass(frozen=True)
class Writing:
    """Writes contacts as tests; `as_of` where the rule reads the clock."""

    sources: Sources
    zone: Zone
    as_of: datetime | None

    def lines(self, edge: Edge) -> list[str]:
        """A test for each contact, or none."""
        if not edge.inside or not edge.outside:
            return []
        sides = [("just in", one, "true") for one in edge.inside] + [("just out", one, "false") for one in edge.outside]
        return [f"  - {{{', '.join(self.parts(f'{side}: {edge.condition}', sketch))}, in: {inside}}}\n" for side, sketch, inside in sides]

    def parts(self, name: str, sketch: Sketch) -> Iterator[str]:
        yield f"name: {_quoted(name)}"
        if self.as_of is not None:
            yield f"as_of: {_quoted(_instant(self.as_of))}"
        fields = {name: found for name, found in sketch.fields.items() if found is not None}
        if fields:
            yield f"contact: {self.mapping(fields, self.sources.contacts.columns)}"
        if sketch.events:
            yield "events: [" + ", ".join(self.event(row) for row in sketch.events) + "]"
        if sketch.member:
            yield "member: {" + ", ".join(f"{name}: {str(inside).lower()}" for name, inside in sketch.member.items()) + "}"

    def event(self, row: EventRow) -> str:
        source = self.sources.events[row.table]
        assert row.at is not None
        at = EPOCH + timedelta(microseconds=row.at)
        time = _instant(at)
        if source.rows.columns[source.at].kind is Kind.DATE:
            time = (EPOCH.date() + timedelta(days=self.zone.local(row.at)[0])).isoformat()
        fields = {name: found for name, found in row.fields.items() if found is not None}
        inner = self.mapping(fields, source.rows.columns)[1:-1]
        return "{" + ", ".join([f"event: {_quoted(str(row.event))}", *([inner] if inner else []), f"at: {_quoted(time)}"]) + "}"

    def mapping(self, fields: Mapping[str, Any], columns: Mapping[str, Type]) -> str:
        return (
            "{" + ", ".join(f"{_key(name)}: {_value(shown(found, columns[name]), columns[name])}" for name, found in fields.items()) + "}"
        )


def _key(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else _quoted(name)


def _value(found: object, type: Type) -> str:
    if isinstance(found, list) and type.element is not None:
        return "[" + ", ".join(_value(one, type.element) for one in found) + "]"
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, datetime):
        return _quoted(_instant(found))
    return str(found) if type.kind is Kind.NUMBER else _quoted(str(found))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _instant(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
