"""Peer 3: chDB, the embedded ClickHouse. One grouped pass over the events, one query for all segments, packed 63 to a word."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from chdb import session

from benchmarks.conditions import ANY, Attribute, Behaviour, Condition
from benchmarks.data import event_files, snapshot
from benchmarks.peers.contract import STEPS as ALL_STEPS
from benchmarks.peers.contract import THREADS, Answer

if TYPE_CHECKING:
    from benchmarks.conditions import Segment

STEPS = ("first", "full", "clock")
FORMER = {"full": "first", "clock": "full"}
WORD = 63
MEMORY = 4 * 2**30

OPERATORS = {
    "=": "{field} = '{value}'",
    "in": "{field} in {value}",
    ">=": "{field} >= {value}",
    ">": "{field} > {value}",
    "last": "{field} > {now} - interval {value} day and {field} <= {now}",
    "before": "{field} < toDateTime64('{value} 00:00:00', 6, 'UTC')",
    "between": "{field} between toDate32('{first}') and toDate32('{final}')",
    "contains": "position({field}, '{value}') > 0",
    "ends": "endsWith({field}, '{value}')",
    "starts": "startsWith({field}, '{value}')",
    "matches": "match({field}, '{value}')",
}


def _instant(at: datetime) -> str:
    return f"toDateTime64('{at:%Y-%m-%d %H:%M:%S}', 6, 'UTC')"


def _attribute(condition: Attribute, as_of: datetime) -> str:
    if condition.operator == "set":
        return f"isNotNull({condition.field})"
    if condition.operator == "!=":
        return f"ifNull({condition.field} != '{condition.value}', true)"
    value = condition.value
    first, final = (value[0], value[-1]) if isinstance(value, tuple) else ("", "")
    words = {"field": condition.field, "value": value, "first": first, "final": final, "now": _instant(as_of)}
    return f"ifNull({OPERATORS[condition.operator].format(**words)}, false)"


class _Pass:
    """What the pass over the events computes: a bit for each did-condition, and counts, sums and last times."""

    def __init__(self, as_of: datetime) -> None:
        self.as_of = as_of
        self.bits: list[str] = []
        self.columns: dict[str, str] = {}
        self.days = 0

    def condition(self, one: Behaviour) -> str:
        bound = _instant(self.as_of - timedelta(days=one.days))
        rows = [] if one.event == ANY else [f"event = '{one.event}'"]
        rows += ["{} = '{}'".format(*one.where)] if one.where else []
        self.days = max(self.days, 36_500 if one.measure == "last" else one.days)
        if one.measure == "last":
            last = self._column(f"maxIf(happened_at, {' and '.join(rows)})")
            # null where nobody did it, as the column may be null; and a null in one segment would be one in the whole word
            return f"ifNull({last} > toDateTime64(0, 6, 'UTC') and {last} < {bound}, false)"
        within = " and ".join([*rows, f"happened_at > {bound}"])
        if one.measure == "did":
            did = self._bit(within)
            return did if one.number else f"not {did}"
        count = self._column(f"countIf({within})") if one.measure != "sum" else ""
        if one.measure == "count":
            return f"({count} {'<' if one.below else '>='} {one.number})"
        total = self._column(f"sumIf(amount, {within})")
        return f"({total} > {one.number} * {count})" if one.measure == "avg" else f"({total} >= {one.number})"

    def _bit(self, rows: str) -> str:
        if rows not in self.bits:
            self.bits.append(rows)
        word, bit = divmod(self.bits.index(rows), WORD)
        return f"bitTest(mask{word}, {bit})"

    def _column(self, aggregate: str) -> str:
        return self.columns.setdefault(f"ifNull({aggregate}, 0)" if aggregate.startswith("sum") else aggregate, f"a{len(self.columns)}")

    def query(self, files: str) -> str:
        masks = []
        for word, first in enumerate(range(0, len(self.bits), WORD)):
            bits = [f"bitShiftLeft(toUInt64(ifNull({rows}, 0)), {bit})" for bit, rows in enumerate(self.bits[first : first + WORD])]
            masks.append(f"groupBitOr({' + '.join(bits)}) as mask{word}")
        selected = [*masks, *(f"{aggregate} as {name}" for aggregate, name in self.columns.items())]
        within = f"happened_at <= {_instant(self.as_of)} and happened_at > {_instant(self.as_of - timedelta(days=self.days))}"
        return f"select assumeNotNull(contact_id) as id, {', '.join(selected)} from {files} where {within} group by id"


def prepare(folder: Path, segments: list[Segment], step: str) -> None:
    (folder / "chdb_pass").mkdir(exist_ok=True)


def recompute(folder: Path, segments: list[Segment], step: str) -> None:
    as_of = ALL_STEPS[step].as_of
    grouped = _Pass(as_of)
    conditions: dict[Condition, str] = {}
    selected: list[str] = []
    for segment in segments:
        for condition in segment.conditions:
            if condition not in conditions:
                conditions[condition] = f"c{len(conditions)}"
                made = _attribute(condition, as_of) if isinstance(condition, Attribute) else grouped.condition(condition)
                selected.append(f"{made} as {conditions[condition]}")
    for segment in segments:
        own = f" {segment.joint} ".join(conditions[condition] for condition in segment.conditions)
        selected.append(f"(({own}){f' and {segment.member}' if segment.member else ''}) as {segment.name}")
    words = []
    for word, first in enumerate(range(0, len(segments), WORD)):
        bits = [f"bitShiftLeft(toUInt64({one.name}), {bit})" for bit, one in enumerate(segments[first : first + WORD])]
        words.append(f"{' + '.join(bits)} as w{word}")
    with session.Session() as db:
        db.query(f"set max_threads = {THREADS}, max_memory_usage = {MEMORY}, engine_file_truncate_on_insert = 1, join_use_nulls = 0")
        names = ",".join(file.stem for file in event_files(folder, as_of))
        files = f"file('{folder}/data/events/{f'{{{names}}}' if ',' in names else names}.parquet', Parquet)"
        db.query(f"create table default.grouped engine = Memory as {grouped.query(files)}")
        contacts = f"(select *, assumeNotNull(contact_id) as id from file('{snapshot(folder, as_of)}', Parquet))"
        query = f"select id, {', '.join(f'w{word}' for word in range(len(words)))} from (select id, {', '.join([*selected, *words])} "
        query += f"from {contacts} as c any left join default.grouped as g using id)"
        db.query(f"insert into function file('{_file(folder, step)}', Parquet) {query}")
        if step in FORMER:
            db.query(_difference(folder, step, len(words)))


def _difference(folder: Path, step: str, words: int) -> str:
    """Who changed, a row for each segment and contact, by exclusive or of the words."""
    now, then = (f"file('{_file(folder, one)}', Parquet)" for one in (step, FORMER[step]))
    parts = []
    for word in range(words):
        positions = f"arrayJoin(bitPositionsToArray(bitXor(n.w{word}, t.w{word})))"
        parts.append(
            f"select {positions} + {word * WORD} as segment, n.id as contact from (select id, w{word} from {now}) as n "
            f"inner join (select id, w{word} from {then}) as t on n.id = t.id where n.w{word} != t.w{word}"
        )
    return f"insert into function file('{_file(folder, step, 'changes')}', Parquet) {' union all '.join(parts)}"


def _file(folder: Path, step: str, what: str = "members") -> Path:
    return folder / "chdb_pass" / f"{what}-{step}.parquet"


def answers(folder: Path, segments: list[Segment], step: str) -> Iterator[Answer]:
    changes = pl.read_parquet(_file(folder, step, "changes")) if step in FORMER else None
    ids = pl.read_parquet(_file(folder, step), columns=["id"])["id"]
    for number, segment in enumerate(segments):
        word, bit = divmod(number, WORD)
        words = pl.read_parquet(_file(folder, step), columns=[f"w{word}"])[f"w{word}"]
        changed = None if changes is None else changes.filter(segment=number)["contact"]
        yield Answer(segment.name, ids.filter((words & (1 << bit)) != 0), changed)
