"""and / or / not of whole segments, on Polars booleans: a bit a contact.

The steps of all segments are one list, equal ones once, each after what it reads; running them is a loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

import polars as pl


@dataclass(frozen=True, slots=True)
class Leaf:
    """A bitmap that the engine computed, by its column."""

    column: str


@dataclass(frozen=True, slots=True)
class Everybody:
    """The same for all contacts."""

    value: bool


@dataclass(frozen=True, slots=True)
class Combine:
    """`and`, `or`, `not`, or `at least` so many, of earlier steps."""

    operation: str
    items: tuple[int, ...]
    count: int = 0


Step = Leaf | Everybody | Combine


def run(steps: Sequence[Step], wanted: Mapping[str, int], leaves: Mapping[str, pl.Series], size: int) -> pl.DataFrame:
    """The wanted steps' bitmaps, one column a name; `leaves` are Boolean and never null, `size` their length.

    Leaves that no wanted step is made of need not be there.
    """
    uses = _last_uses(steps, wanted)
    needed = below(steps, wanted.values())
    done: list[pl.Series | None] = []
    for number, step in enumerate(steps):
        done.append(_compute(step, done, leaves, size) if number in needed else None)
        for item in uses.get(number, ()):
            done[item] = None
    columns = {name: done[step] for name, step in wanted.items()}
    return pl.DataFrame([column.alias(name) for name, column in columns.items() if column is not None])


def below(steps: Sequence[Step], roots: Iterable[int]) -> set[int]:
    """These steps and all that they are made of."""
    found: set[int] = set()
    pending = list(roots)
    while pending:
        number = pending.pop()
        step = steps[number]
        if number not in found and isinstance(step, Combine):
            pending.extend(step.items)
        found.add(number)
    return found


def _last_uses(steps: Sequence[Step], wanted: Mapping[str, int]) -> dict[int, list[int]]:
    """After which step a bitmap is needed no more, so that memory holds few."""
    last: dict[int, int] = {}
    for number, step in enumerate(steps):
        if isinstance(step, Combine):
            last.update(dict.fromkeys(step.items, number))
    after: dict[int, list[int]] = {}
    kept = set(wanted.values())
    for item, number in last.items():
        if item not in kept:
            after.setdefault(number, []).append(item)
    return after


def _compute(step: Step, done: Sequence[pl.Series | None], leaves: Mapping[str, pl.Series], size: int) -> pl.Series:
    if isinstance(step, Leaf):
        return leaves[step.column]
    if isinstance(step, Everybody):
        return pl.repeat(step.value, size, dtype=pl.Boolean(), eager=True)
    items = [item for item in (done[i] for i in step.items) if item is not None]
    match step.operation:
        case "and":
            return reduce(and_, items)
        case "or":
            return reduce(or_, items)
        case "not":
            return ~items[0]
    return _at_least(step.count, items)


def _at_least(count: int, items: Sequence[pl.Series]) -> pl.Series:
    total = items[0].cast(pl.UInt16())
    for item in items[1:]:
        total = total + item.cast(pl.UInt16())
    return total >= count
