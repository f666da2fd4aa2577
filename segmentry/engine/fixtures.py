"""Contacts and events that are made up, as files of the workspace's own columns, so that a run's own code can be asked about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation, localcontext
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from segmentry.engine.columns import struct_fields, struct_type
from segmentry.engine.pinned import pin_parquet
from segmentry.engine.snapshot import Column, ContactSource, EventSource, Format, Relation, Snapshot
from segmentry.rules.ground import Clock
from segmentry.rules.suggest import did_you_mean
from segmentry.rules.times import LiteralError, parse_duration, parse_moment, shift_day
from segmentry.rules.types import Kind, Type
from segmentry.rules.zones import day_start, local_to_utc

INTEGERS: Mapping[str, pa.DataType] = {
    "TINYINT": pa.int8(),
    "UTINYINT": pa.uint8(),
    "SMALLINT": pa.int16(),
    "USMALLINT": pa.uint16(),
    "INTEGER": pa.int32(),
    "UINTEGER": pa.uint32(),
    "BIGINT": pa.int64(),
    "UBIGINT": pa.uint64(),
}
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")

MOVED = {"ago": -1, "ahead": 1}
"""How a time is written that moves with the test's instant."""


class Misfit(Exception):  # noqa: N818 -- carries a problem to the one place that makes the diagnostic
    """Why something that is written can't stand in a column, or there is no such column."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class Row:
    """A contact or event as it is made up: cells by exact column name; `source` is the event table."""

    cells: Mapping[str, object]
    source: int = 0


# ---------------------------------------------------------------- cells


def held(column: Column) -> tuple[pa.DataType, str] | None:
    """How a column that is made up is held: its Arrow type, and what DuckDB calls that; None for one that no rule can use."""
    return None if column.type is None else _held(column.stored, column.type)


def _held(stored: str, type: Type, *, inside: bool = False) -> tuple[pa.DataType, str]:
    """Inside of lists and structs UUIDs are text: Arrow makes them only by themselves."""
    if stored in INTEGERS:
        return INTEGERS[stored], stored
    if (found := _DECIMAL.fullmatch(stored)) is not None:
        return pa.decimal128(int(found[1]), int(found[2])), stored
    if type.kind is Kind.LIST and type.element is not None:
        element, name = _held(stored[: stored.rindex("[")], type.element, inside=True)
        return pa.list_(element), f"{name}[]"
    if type.kind is Kind.STRUCT:
        parts = {part: _held(struct_fields(stored)[part], inner, inside=True) for part, inner in type.fields}
        fields = pa.struct([pa.field(part, inner) for part, (inner, _) in parts.items()])
        return fields, struct_type({part: inner for part, (_, inner) in parts.items()})
    if stored == "UUID":
        return (pa.string(), "VARCHAR") if inside else (pa.uuid(), stored)
    if type.is_float:
        return (pa.float32(), "FLOAT") if type.width == 32 else (pa.float64(), "DOUBLE")
    return {
        Kind.BOOLEAN: (pa.bool_(), "BOOLEAN"),
        Kind.DATE: (pa.date32(), "DATE"),
        Kind.TIMESTAMP: (pa.timestamp("us"), "TIMESTAMP"),
    }.get(type.kind, (pa.string(), "VARCHAR"))


def cell(written: Any, text: str | None, column: Column, clock: Clock) -> object:
    """What is written as a value of the column. `text` is a number as it stands in the file. Misfit where it is none."""
    type = column.type
    if type is None:
        raise Misfit(f"`{column.name}` is {column.stored}, which no rule can use")
    if written is None:
        return None
    if type.kind is Kind.LIST and type.element is not None:
        if not isinstance(written, list):
            raise Misfit(f"`{column.name}` is a list, and this is none", "write it in `[ ]`")
        inner = Column(column.name, type.element, column.stored[: column.stored.rindex("[")])
        return [_inside(cell(one, None, inner, clock)) for one in written]
    if type.kind is Kind.STRUCT:
        return _struct(written, column, type, clock)
    reads = {
        Kind.TEXT: _text,
        Kind.NUMBER: _number,
        Kind.BOOLEAN: _boolean,
        Kind.DATE: _time,
        Kind.TIMESTAMP: _time,
    }[type.kind]
    return _fitting(reads(written, text, column, clock), column)


def _struct(written: Any, column: Column, type: Type, clock: Clock) -> object:
    if not isinstance(written, dict):
        raise Misfit(f"`{column.name}` is a struct, and this is none", "write it in `{ }`, with the names of its fields")
    stored = struct_fields(column.stored)
    fields = {name: Column(f"{column.name}.{name}", part, stored[name]) for name, part in type.fields}
    made: dict[str, object] = {}
    for name, value in written.items():
        found = column_named(str(name), fields, f"fields of `{column.name}`")
        exact = next(one for one, part in fields.items() if part is found)
        if exact in made:
            raise Misfit(f"`{found.name}` is said twice", "names of fields don't differ in case alone")
        made[exact] = _inside(cell(value, None, found, clock))
    return made


def _inside(value: object) -> object:
    """A cell as it stands in a list or struct."""
    return str(UUID(bytes=value)) if isinstance(value, bytes) else value


def _fitting(value: object, column: Column) -> object:
    """The value, which its column can hold. Misfit where it can't: too large, or text that is no Unicode."""
    kind = held(column)
    assert kind is not None
    try:
        pa.array([value], kind[0])
    except (pa.ArrowException, OverflowError, ValueError):
        raise Misfit(f"`{column.name}` can't hold this: it is {column.stored}") from None
    return value


def _text(written: Any, _text: str | None, column: Column, _clock: Clock) -> object:
    if not isinstance(written, str):
        raise Misfit(f"`{column.name}` is text", "write it in quotes")
    if column.stored != "UUID":
        return written
    try:
        return UUID(written).bytes
    except ValueError:
        raise Misfit(f"`{written}` is no UUID") from None


def _boolean(written: Any, _text: str | None, column: Column, _clock: Clock) -> object:
    if not isinstance(written, bool):
        raise Misfit(f"`{column.name}` is true or false", "write `true` or `false`, without quotes")
    return written


def _number(written: Any, text: str | None, column: Column, _clock: Clock) -> object:
    if isinstance(written, bool) or not isinstance(written, int | float):
        raise Misfit(f"`{column.name}` is a number", "write it without quotes")
    assert column.type is not None
    if column.type.is_float:
        try:
            return float(written)
        except OverflowError:
            raise Misfit(f"`{column.name}` can't hold a number as large as this") from None
    try:
        exact = Decimal(text if text is not None and _NUMBER.fullmatch(text) else str(written))
    except InvalidOperation:
        raise Misfit(f"`{column.name}` can't hold {written}") from None
    return _exact(exact, column)


def _exact(number: Decimal, column: Column) -> object:
    """The number in an integer or decimal column. Misfit where it does not fit."""
    kind = held(column)
    assert kind is not None
    with localcontext(prec=2_000):
        scale = kind[0].scale if pa.types.is_decimal(kind[0]) else 0
        if not number.is_finite() or number.adjusted() > 40 or number != number.quantize(Decimal(1).scaleb(-scale)):
            raise Misfit(f"`{column.name}` can't hold {number}: it is {column.stored}")
        value = number.quantize(Decimal(1).scaleb(-scale))
        held_as: object = value if pa.types.is_decimal(kind[0]) else int(value)
    try:
        pa.array([held_as], kind[0])
    except (pa.ArrowException, OverflowError):
        raise Misfit(f"`{column.name}` can't hold {number}: it is {column.stored}") from None
    return held_as


def _time(written: Any, _text: str | None, column: Column, clock: Clock) -> object:
    """A day or instant, written as a literal or moved from the test's instant."""
    assert column.type is not None
    is_day = column.type.kind is Kind.DATE
    try:
        if isinstance(written, dict) and len(written) == 1 and set(written) <= MOVED.keys():
            [(word, length)] = written.items()
            return moved(str(length), MOVED[word], clock, day=is_day)
        if isinstance(written, str):
            found = parse_moment(written)
            if is_day and isinstance(found, datetime):
                raise Misfit(f"`{column.name}` is a date, without a time of day")
            return found if is_day else in_utc(found, clock)
    except LiteralError as problem:
        raise Misfit(problem.message, problem.hint) from None
    raise Misfit(f"`{column.name}` is {'a date' if is_day else 'an instant'}", "write '2026-01-31', or {ago: 3 days}")


def moved(length: str, sign: int, clock: Clock, *, day: bool = False) -> date:
    """The test's instant or day, moved by a length of time. LiteralError for what is none."""
    if length in ("0", "0 days"):
        return clock.today if day else clock.as_of.replace(tzinfo=None)
    duration = parse_duration(length)
    if not day:
        return clock.ago(duration, sign).replace(tzinfo=None)
    if duration.unit in ("second", "minute", "hour"):
        raise LiteralError(f"`{length}` does not move a date", "write days, weeks, months or years")
    return shift_day(clock.today, sign, duration)


def in_utc(found: date, clock: Clock) -> datetime:
    """A literal as an instant, UTC without saying so: a day is its first instant, a time without a zone the workspace's."""
    if not isinstance(found, datetime):
        return day_start(found, clock.zone).replace(tzinfo=None)
    aware = local_to_utc(found, clock.zone) if found.tzinfo is None else found.astimezone(UTC)
    return aware.replace(tzinfo=None)


# ---------------------------------------------------------------- names


def column_named(name: str, columns: Mapping[str, Column], what: str) -> Column:
    """The column of that name, which is matched without case where that is clear. Misfit where there is none."""
    found = columns.get(name)
    same = [column for other, column in columns.items() if other.casefold() == name.casefold()]
    if found is None and len(same) == 1:
        found = same[0]
    if found is None:
        raise Misfit(f"{what} have no `{name}`", did_you_mean(name, [other for other, column in columns.items() if column.type]))
    return found


def table_of(event: str, properties: Iterable[str], events: Sequence[EventSource]) -> int:
    """The first event table that can carry such an event with these properties. Misfit where there is none."""
    able = [index for index, source in enumerate(events) if source.event == event]
    able += [index for index, source in enumerate(events) if source.name is not None]
    if not able:
        raise Misfit(f"no source can carry an event `{event}`", did_you_mean(event, [one.event for one in events if one.event]))
    wanted = list(properties)
    for index in able:
        try:
            for name in wanted:
                column_named(name, events[index].relation.columns, "")
        except Misfit:
            continue
        return index
    for name in wanted:
        column_named(name, events[able[0]].relation.columns, f"`{event}` events")
    raise Misfit(f"no table has all of {', '.join(f'`{name}`' for name in wanted)}", "the event's tables have some of them each")


# ---------------------------------------------------------------- files


def snapshot_of(real: Snapshot, contacts: Sequence[Row], events: Sequence[Row], folder: Path) -> Snapshot:
    """A snapshot of these rows, written into a folder, with the columns of a real one."""
    relation = _written(real.contacts.relation, contacts, folder / "contacts.parquet")
    tables = []
    for index, source in enumerate(real.events):
        own = [row for row in events if row.source == index]
        tables.append(replace(source, relation=_written(source.relation, own, folder / f"events_{index}.parquet")))
    return Snapshot(ContactSource(relation, real.contacts.key), tuple(tables))


def _written(relation: Relation, rows: Sequence[Row], path: Path) -> Relation:
    kinds = {column.name: kind for column in relation.columns.values() if (kind := held(column)) is not None}
    arrays = {name: pa.array([row.cells.get(name) for row in rows], kind) for name, (kind, _) in kinds.items()}
    pq.write_table(pa.table(arrays), path)
    columns = {name: Column(name, relation.columns[name].type, stored) for name, (_, stored) in kinds.items()}
    return Relation(columns, (pin_parquet(path)[0],), Format.PARQUET)
