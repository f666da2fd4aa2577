"""Absence and age: who is new had no time to do what a rule says they did not do."""

from __future__ import annotations

from collections.abc import Iterator

from segmentry.rules import nodes as n
from segmentry.rules.diagnostics import Diagnostic, Severity
from segmentry.rules.printer import name_text
from segmentry.rules.schema import Schema
from segmentry.rules.types import Kind

BEGINNINGS = frozenset({
    "added", "added_at", "added_on", "created", "created_at", "created_date", "created_on", "date_added", "date_created", "date_joined",
    "first_seen", "first_seen_at", "join_date", "joined", "joined_at", "registered", "registered_at", "registration_date", "signed_up",
    "signed_up_at", "signup_date", "signup_at",
})  # fmt: skip
"""Names of fields that say since when a contact is one, in lower case."""

KNOWN_OTHERWISE = (n.Aggregate, n.Sequence, n.Member, n.Moved, n.Stayed)
"""What a rule may know a contact's past by."""


def young_absences(condition: n.Condition, schema: Schema, source: str | None = None) -> list[Diagnostic]:
    """A warning where a rule finds contacts for what they did not do lately, whatever their age, though a field would tell it.

    Only where that is plainly so: the rule asks for nothing but absences, or for the absence of every event; it names no
    such field, no event that was and no other segment; and the contacts have one field that says since when they are.
    """
    items = condition.items if isinstance(condition, n.And) else (condition,)
    absences = [asked for item in items if (asked := _absence(item)) is not None]
    others = [item for item in items if _absence(item) is None]
    telling = [asked for asked in absences if _is_every_event(asked) or not others]
    field = _beginning(schema)
    if not telling or field is None or any(_knows_the_past(item) for item in others):
        return []
    asked = telling[0]
    assert asked.last is not None
    length = f"{asked.last.amount} {asked.last.unit}{'' if asked.last.amount == 1 else 's'}"
    message = f"whoever came in the last {length} is in too: there was no time to do it"
    hint = f"if they are not meant, add: and {name_text((field,))} before ago('{length}')"
    return [Diagnostic("R920", message, Severity.WARNING, asked.place, hint, rule=source)]


def _absence(condition: n.Condition) -> n.Events | None:
    """The events of `not did(x, last => ...)` that are looked for up to now."""
    if not isinstance(condition, n.Not) or not isinstance(condition.item, n.Did):
        return None
    events = condition.item.events
    others = (events.since, events.until, events.during)
    return events if events.last is not None and others == (None, None, None) else None


def _is_every_event(events: n.Events) -> bool:
    return events.event is None and events.prefix is None and events.where is None


def _knows_the_past(condition: n.Condition) -> bool:
    """Whether a condition may leave out who is new: it asks for something that was, or for the contact's age."""
    return any(isinstance(node, (n.Did, *KNOWN_OTHERWISE)) or _is_beginning(node) for node in n.walk(condition))


def _is_beginning(node: n.Node) -> bool:
    return isinstance(node, n.Field) and node.scope is n.Scope.CONTACT and node.name.lower() in BEGINNINGS


def _beginning(schema: Schema) -> str | None:
    """The one field that says since when a contact is one."""
    found: Iterator[str] = (
        name for name, of in schema.fields.items() if name.lower() in BEGINNINGS and of.kind in (Kind.DATE, Kind.TIMESTAMP)
    )
    names = list(found)
    return names[0] if len(names) == 1 else None
