"""Checking, first layer: what is reported, and what the names in a rule stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

from segmentry.rules import syntax as s
from segmentry.rules.diagnostics import Diagnostic, Place, Severity
from segmentry.rules.functions import FUNCTIONS
from segmentry.rules.nodes import Element, Field, Former, Part, Scope, Value, way
from segmentry.rules.printer import to_text
from segmentry.rules.schema import EventTable, Schema
from segmentry.rules.suggest import nearest
from segmentry.rules.types import FLOAT64, Kind, Type, exact, list_of, struct_of

T = TypeVar("T")

ANY_EVENT = "any_event"
CONTACT = "contact"
ELEMENT = "element"
"""What an element is called in the conditions of `any`, `all`, `none` and `how_many`."""
MOST_SUGGESTIONS = 50
"""Each looks at every name there is; after so many problems of one rule the rest are told without."""

QUOTED_LENGTH = 60
"""A piece of the rule that is longer than this is not repeated in a hint."""


@dataclass(frozen=True, slots=True)
class FormerStep:
    """A step of a sequence that later ones may name: its place among all steps, what it is called, and its rows (None: reported)."""

    place: int
    name: str | None
    rows: EventRows | None
    negated: bool = False


@dataclass(frozen=True, slots=True)
class EventRows:
    """The rows that an event function is about: which event (None: any), and the tables that can carry it.

    With a `prefix` it is every event whose name begins with it. `former` are the steps before, inside a sequence.
    """

    event: str | None
    tables: tuple[EventTable, ...]
    prefix: str | None = None
    former: tuple[FormerStep, ...] = ()

    @property
    def label(self) -> str:
        if self.prefix is not None:
            return f"`{self.prefix}*` events"
        return "events" if self.event is None else f"`{self.event}` events"


@dataclass
class Names:
    """What one check gathers, and the look-up of fields, properties and events. `rows` is None outside event functions."""

    schema: Schema
    source: str | None = None
    errors: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)
    rows: EventRows | None = None
    element: Type | None = None
    """What `element` is; None outside the conditions on a list's elements."""
    levels: int = 0
    """Of conditions on elements within each other."""

    # ------------------------------------------------------------ reporting

    def error(self, code: str, message: str, place: Place, hint: str | None = None, notes: tuple[str, ...] = ()) -> T | None:
        """Report a problem. Answers None, whatever a caller would answer if there were none, so that it can end with it."""
        self.errors.append(Diagnostic(code, message, place=place, help=hint, notes=notes, rule=self.source))
        return None

    def warn(self, code: str, message: str, place: Place, hint: str | None = None) -> None:
        self.warnings.append(Diagnostic(code, message, Severity.WARNING, place, hint, rule=self.source))

    def written(self, node: s.Syntax, otherwise: str = "...") -> str:
        """A piece of the rule as it was written, for a hint; `otherwise` where that is long or not at hand."""
        if isinstance(node, s.Name):
            return ".".join(map(quoted_if_needed, node.parts))
        if isinstance(node, s.Text):
            return in_quotes(node.value) if len(node.value) <= QUOTED_LENGTH else otherwise
        if isinstance(node, s.Number):
            return node.text
        start, end = node.place.start, node.place.end
        from_source = self.source is not None and not node.place.path and 0 <= start < end <= len(self.source)
        piece = " ".join(self.source[start:end].split()) if self.source is not None and from_source else to_text(node)
        return piece if len(piece) <= QUOTED_LENGTH else otherwise

    def not_of_elements(self, call: s.Call) -> T | None:
        """Report a function that is about the contact among the conditions on a list's elements."""
        hint = "it is about the contact: put it beside the list's function"
        return self.error("R505", f"`{call.name}` can't stand in a condition on a list's elements", call.place, hint)

    @contextmanager
    def inside(self, rows: EventRows) -> Iterator[None]:
        """While it lasts, names are columns of those event rows."""
        self.rows, before = rows, self.rows
        try:
            yield
        finally:
            self.rows = before

    @contextmanager
    def each(self, element: Type | None) -> Iterator[None]:
        """While it lasts, `element` is an element of that type."""
        self.element, before = element, self.element
        self.levels += 1
        try:
            yield
        finally:
            self.element = before
            self.levels -= 1

    # ------------------------------------------------------------ fields

    def field(self, name: s.Name, *, text_meant: bool = False) -> Value | None:
        """The field, property or element that a name stands for; None if it is reported.

        `text_meant`: it stands where a text would, so an unknown name may be a text without its quotes.
        """
        inward = self._after_element(name)
        if inward is not None and self.element is not None:
            return self.within(Element(self.element, place=name.place), inward, name.place)
        if self.rows is None:
            return self._contact_name(name, text_meant)
        if len(name.parts) > 1 and name.parts[0].lower() == CONTACT and not (name.quoted and name.quoted[0]):
            return self._contact_field(name.parts[1:], name, text_meant)
        return self._in_event(name, self.rows, text_meant)

    def _after_element(self, name: s.Name) -> tuple[str, ...] | None:
        """What follows `element` after dots; None for a name that is not about the element."""
        if self.element is None:
            return None
        first, *rest = name.parts
        if rest or "." not in first:
            return tuple(rest) if first.lower() == ELEMENT and not (name.quoted and name.quoted[0]) else None
        # one piece, as the builder form has names: a column's own name, or else it is the same with dots
        columns = [self.schema.fields] if self.rows is None else [table.fields for table in self.rows.tables]
        pieces = first.split(".")
        own = any(_has(first, fields) or is_struct(pieces[0], fields) for fields in columns)
        return None if own or pieces[0].lower() != ELEMENT else tuple(pieces[1:])

    def within(self, value: Value, path: Sequence[str], place: Place) -> Value | None:
        """The field that dots lead to within a struct; a struct itself is no value of a rule."""
        for wanted in path:
            if value.type.kind is not Kind.STRUCT:
                return self.error("R204", f"`{spelled(value)}` is {value.type}, which has no field `{wanted}`", place)
            fields = dict(value.type.fields)
            found = self._column(wanted, fields, place)
            if not isinstance(found, str):
                hint = self._similar(wanted, fields) or f"there are {', '.join(map(quoted_if_needed, fields))}"
                message = f"`{spelled(value)}` has no field `{wanted}` that a rule can use"
                return None if found else self.error("R206", message, place, hint)
            value = Part(fields[found], value, found, place=place)
        if value.type.kind is Kind.STRUCT:
            hint = f"add the field's name: {spelled(value)}.{quoted_if_needed(value.type.fields[0][0])}"
            return self.error("R207", f"`{spelled(value)}` is a struct, and a rule asks for one of its fields", place, hint)
        return value

    def _contact_name(self, name: s.Name, text_meant: bool) -> Value | None:
        if len(name.parts) == 1 or is_struct(name.parts[0], self.schema.fields):
            return self._contact_field(name.parts, name, text_meant)
        if name.parts[0].lower() == CONTACT and (len(name.parts) == 2 or is_struct(name.parts[1], self.schema.fields)):
            hint = f"here a contact's field is just `{'.'.join(map(quoted_if_needed, name.parts[1:]))}`"
            return self.error("R203", "`contact.` is for the conditions inside an event function", name.place, hint)
        joined = ".".join(name.parts)
        if joined in self.schema.fields:
            return self.error("R204", f"`{joined}` has a dot, so it needs quotes", name.place, f'write "{joined}"')
        event = ".".join(name.parts[:-1])
        if self.is_event(event):
            dotted = f"{quoted_if_needed(event)}.{quoted_if_needed(name.parts[-1])}"
            hint = f"ask about a contact's events: sum({dotted}), latest({dotted}), ..."
            return self.error("R204", f"`{joined}` is a property of events, and a contact may have many", name.place, hint)
        return self.error("R103", f"contacts have no field `{joined}`", name.place, self._similar(joined, self.schema.fields))

    def _contact_field(self, path: Sequence[str], name: s.Name, text_meant: bool) -> Value | None:
        wanted, *rest = path_to(path, self.schema.fields)
        found = self._column(wanted, self.schema.fields, name.place)
        if isinstance(found, str):
            return self.within(Field(self.schema.fields[found], Scope.CONTACT, found, place=name.place), rest, name.place)
        if found is not None:
            return None
        stored = self.schema.unusable.get(wanted)
        if stored is not None:
            return self.error("R201", f"no rule can use the field `{wanted}`, whose type is {stored}", name.place)
        hint = self._instead_of_field(wanted, text_meant or is_quoted(name))
        return self.error("R103", f"contacts have no field `{wanted}`", name.place, hint)

    def _instead_of_field(self, wanted: str, text_meant: bool) -> str | None:
        """What somebody meant who wrote a field that does not exist."""
        if wanted in self.schema.segments:
            return f"`{wanted}` is a segment: write member('{wanted}')"
        if self.is_event(wanted):
            return f"`{wanted}` is an event: write did({quoted_if_needed(wanted)})"
        if wanted.lower() == ELEMENT:
            return "`element` stands in the conditions of a list's function: any(tags, element starts with 'a')"
        function = FUNCTIONS.get(wanted.lower())
        if function is not None and function.signature.endswith("()"):
            return f"a function needs brackets: {function.signature}"
        known = self.schema.fields if self.element is None else [*self.schema.fields, ELEMENT]
        similar = self._similar(wanted, known)
        if similar is not None:
            return similar
        return f"a text is written in single quotes: {in_quotes(wanted)}" if text_meant else None

    def _column(self, wanted: str, columns: Iterable[str], place: Place) -> str | bool | None:
        """The column of that name, exactly or but for case; True if that was reported, None if there is none."""
        names = columns if isinstance(columns, Mapping) else tuple(columns)
        if wanted in names:
            return wanted
        folded = wanted.casefold()
        alike = sorted(name for name in names if name.casefold() == folded)
        if len(alike) == 1:
            return alike[0]
        if alike:
            several = " and ".join(f"`{name}`" for name in alike)
            self.error("R200", f"`{wanted}` could be {several}", place, "write one of them exactly")
            return True
        return None

    def _similar(self, wanted: str, names: Iterable[str]) -> str | None:
        found = nearest(wanted, names) if len(self.errors) < MOST_SUGGESTIONS else None
        return None if found is None else f"did you mean `{quoted_if_needed(found)}`?"

    def hyphenated(self, parts: list[s.Name]) -> str | None:
        """The column or event that names joined by hyphens (`a-b`) are, if there is one."""
        if any(len(part.parts) != 1 or (part.quoted and any(part.quoted)) for part in parts):
            return None
        if any(left.place.end + 1 != right.place.start for left, right in pairwise(parts)):
            return None
        joined = "-".join(part.parts[0] for part in parts)
        columns = self.schema.fields if self.rows is None else {name: None for table in self.rows.tables for name in table.fields}
        return next((name for name in columns if name.casefold() == joined.casefold()), None)

    # ------------------------------------------------------------ events

    def property(self, path: Sequence[str], place: Place, rows: EventRows, text: str | None = None) -> Value | None:
        """A column of event rows, or a field within it. Where several tables have it, its type is one that holds all their numbers.

        `text` is the literal that may have been meant instead.
        """
        columns = {name: type for table in rows.tables for name, type in table.fields.items()}
        wanted, *rest = path_to(path, columns)
        found = self._column(wanted, columns, place)
        if isinstance(found, str):
            column = self._property_type(found, rest, rows, place)
            return None if column is None else self.within(Field(column, Scope.EVENT, found, place=place), rest, place)
        if found is None:
            hint = f"write contact.{quoted_if_needed(wanted)} for the contact's field" if self._in_contacts(wanted) else None
            hint = hint or self._similar(wanted, columns)
            if hint is None and text is not None:
                hint = f"a text is written in single quotes: {text}"
            self.error("R202", f"{rows.label} have no property `{wanted}`", place, hint)
        return None

    def _property_type(self, name: str, path: Sequence[str], rows: EventRows, place: Place) -> Type | None:
        """The type that a column has in all tables; of a struct, with the fields of which that can be said, if `path` leads to such."""
        tables = [table for table in rows.tables if name in table.fields]
        common: Type | None = tables[0].fields[name]
        for table in tables[1:]:
            common = None if common is None else unified_columns(common, table.fields[name], path)
        if common is None:
            notes = tuple(f"{table.label}: {table.fields[name]}" for table in tables)
            hint = "name one event, or rename a column"
            named = ".".join(map(quoted_if_needed, (name, *path))) if path else name
            self.error("R308", f"`{named}` has different types in different event tables", place, hint, notes)
        return common

    def _in_contacts(self, wanted: str) -> bool:
        return _has(wanted, self.schema.fields)

    def _in_event(self, name: s.Name, rows: EventRows, text_meant: bool) -> Value | None:
        """A name among the conditions of an event: a column of its own, a field within one, or what a former step's event has."""
        own = len(name.parts) == 1 or any(is_struct(name.parts[0], table.fields) for table in rows.tables)
        called = {".".join(name.parts[:end]): name.parts[end:] for end in range(1, len(name.parts))}
        steps = {step: [one for one in rows.former if one.name == step] for step in called}
        asked = [step for step, meant in steps.items() if any(not one.negated for one in meant)]
        if len(asked) > 1 or (asked and own):
            return self._several_meant(name, asked, own=own)
        if own:
            literal = in_quotes(name.parts[0]) if text_meant or is_quoted(name) else None
            return self.property(name.parts, name.place, rows, literal)
        for step in asked or [step for step, meant in steps.items() if meant]:
            return self._of_former(steps[step], step, called[step], name)
        return self._not_in_event(name, rows)

    def _several_meant(self, name: s.Name, asked: Sequence[str], *, own: bool) -> T | None:
        """Report dots that may lead from a step before or into a struct of this event, or from several steps."""
        meant = [f"the step `{step}`" for step in asked] + ([f"the struct `{name.parts[0]}` of this event"] if own else [])
        hint = f"give the step another name: did({quoted_if_needed(asked[0])}, ..., as => 'first_one')"
        return self.error("R541", f"`{self.written(name)}` may begin with {' or '.join(meant)}", name.place, hint)

    def _not_in_event(self, name: s.Name, rows: EventRows) -> T | None:
        """Report a name with dots that leads nowhere."""
        joined = ".".join(name.parts)
        if any(joined in table.fields for table in rows.tables):
            return self.error("R204", f"`{joined}` has a dot, so it needs quotes", name.place, f'write "{joined}"')
        if rows.event is not None and ".".join(name.parts[:-1]) == rows.event:
            hint = f"inside {rows.event}'s conditions it is just `{quoted_if_needed(name.parts[-1])}`"
            return self.error("R204", f"`{joined}` names its event twice", name.place, hint)
        hint = "write the property's own name, or contact.field for the contact's"
        if named := sorted({quoted_if_needed(step.name) for step in rows.former if step.name and not step.negated}):
            hint += f"; the steps before are {', '.join(f'`{one}`' for one in named)}"
        return self.error("R204", f"{rows.label} have no property `{joined}`", name.place, hint)

    def _of_former(self, meant: list[FormerStep], step: str, path: Sequence[str], name: s.Name) -> Value | None:
        """A property of a former step, which must be the only one of that name and an event that was."""
        meant = [one for one in meant if not one.negated] or meant
        if meant[0].negated:
            return self.error("R541", f"`{step}` is a step with `not`: there is no such event to ask", name.place)
        if len(meant) > 1:
            hint = f"give the one you mean a name of its own: did({quoted_if_needed(step)}, ..., as => 'first_one')"
            return self.error("R541", f"several steps before this one are called `{step}`", name.place, hint)
        rows = meant[0].rows
        found = None if rows is None else self.property(path, name.place, rows)
        return None if found is None else _of_step(found, meant[0].place)

    def prefix_rows(self, prefix: str, place: Place) -> EventRows | None:
        """The rows of every event whose name begins so. Reported if no source can carry one; a warning if none has been seen yet."""
        dedicated = [table for table in self.schema.events if table.event is not None and table.event.startswith(prefix)]
        named = [table for table in self.schema.events if table.event is None]
        seen = [table for table in named if table.names is None or any(one.startswith(prefix) for one in table.names)]
        if dedicated or seen:
            return EventRows(None, (*dedicated, *seen), prefix)
        if not named:
            return self.error("R506", f"no event's name begins with `{prefix}`", place)
        self.warn("R900", f"no event whose name begins with `{prefix}` has been seen yet", place)
        return EventRows(None, tuple(named), prefix)

    def event_rows(self, event: str, place: Place) -> EventRows | None:
        """The rows of a named event. Reported if no source can carry it; a warning if no table has carried it yet."""
        dedicated = [table for table in self.schema.events if table.event == event]
        named = [table for table in self.schema.events if table.event is None]
        seen = [table for table in named if table.names is None or event in table.names]
        if dedicated or seen:
            return EventRows(event, (*dedicated, *seen))
        similar = self._similar(event, self._known_events())
        if not named:
            why = f"no event is named `{event}`" if self.schema.events else "there are no events to ask about"
            return self.error("R506", why, place, similar)
        self.warn("R900", f"no `{event}` event has been seen yet", place, similar)
        return EventRows(event, tuple(named))

    def any_rows(self, place: Place) -> EventRows | None:
        """The rows of every event."""
        if not self.schema.events:
            return self.error("R506", "there are no events to ask about", place)
        return EventRows(None, self.schema.events)

    def _known_events(self) -> set[str]:
        known = {ANY_EVENT}
        for table in self.schema.events:
            known |= {table.event} if table.event is not None else (table.names or set())
        return known

    def is_event(self, name: str) -> bool:
        """Whether a name is an event's: one that sources declare or have carried."""
        return bool(name) and name in self._known_events()


def unified_columns(left: Type, right: Type, path: Sequence[str] = ()) -> Type | None:
    """The type that holds two columns' values: numbers become wide enough for both, other types must be the same.

    Of structs it has the fields of both, but for those whose types can't be one; there is none if `path` leads to such a field.
    """
    if left == right:
        return left
    if left.is_exact and right.is_exact:
        scale = max(left.scale, right.scale)
        return exact(max(left.precision - left.scale, right.precision - right.scale) + scale, scale)
    if left.kind is right.kind is Kind.STRUCT:
        return _unified_structs(left, right, path)
    if left.element is not None and right.element is not None and left.element.kind is right.element.kind is Kind.STRUCT:
        element = _unified_structs(left.element, right.element, path)
        return None if element is None else list_of(element)
    return FLOAT64 if left.kind is right.kind and (left.is_float or right.is_float) else None


def _unified_structs(left: Type, right: Type, path: Sequence[str]) -> Type | None:
    fields = dict(right.fields) | dict(left.fields)
    for name, other in right.fields:
        common = unified_columns(fields[name], other, path[1:])
        if common is not None:
            fields[name] = common
        elif path and name.casefold() == path[0].casefold():
            return None
        else:
            del fields[name]
    return struct_of(fields) if fields else None


def _of_step(found: Value, step: int) -> Value:
    """What was found in an event's row, as a former step's."""
    if isinstance(found, Part):
        return replace(found, of=_of_step(found.of, step))
    assert isinstance(found, Field)
    return Former(found.type, step, found.name, place=found.place)


def spelled(value: Value) -> str:
    """A field or what is within one, as it is written."""
    base, names = way(value)
    first = base.name if isinstance(base, (Field, Former)) else ELEMENT
    return ".".join(map(quoted_if_needed, (first, *names)))


def _has(wanted: str, columns: Iterable[str]) -> bool:
    """Whether there is a column of that name, but for case."""
    folded = wanted.casefold()
    return any(name.casefold() == folded for name in columns)


def is_struct(wanted: str, columns: Mapping[str, Type]) -> bool:
    """Whether a column of that name, but for case, is a struct."""
    folded = wanted.casefold()
    return any(type.kind is Kind.STRUCT and name.casefold() == folded for name, type in columns.items())


def path_to(path: Sequence[str], columns: Mapping[str, Type]) -> tuple[str, ...]:
    """A column and what follows it. A name that is written whole is a column's own, or else its dots lead into a struct."""
    first, *rest = path
    parts = first.split(".")
    if len(parts) == 1 or _has(first, columns) or not is_struct(parts[0], columns):
        return tuple(path)
    return (*parts, *rest)


def is_quoted(name: s.Name) -> bool:
    """Whether a name stands in double quotes."""
    return bool(name.quoted) and name.quoted[-1]


def in_quotes(text: str) -> str:
    """A text as a literal."""
    return "'" + text.replace("'", "''") + "'"


def quoted_if_needed(name: str) -> str:
    """A name as it may stand in a rule."""
    plain = name.isascii() and name.replace("_", "a").isalnum() and not name[0].isdigit() if name else False
    return name if plain else '"' + name.replace('"', '""') + '"'
