"""Populations for the second reading: what the engine orders all contacts by, so that places can be found again from it.

The contacts that are looked at are put in by what the second reading has of them; all others stand where the engine's values say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from segmentry.engine.moment import Answer, Moment
from segmentry.engine.populations import populations_in
from segmentry.rules.nodes import Condition, Population, Value
from segmentry.rules.types import Kind
from segmentry.verifying.cells import UnreadColumn, cells
from segmentry.verifying.numbers import as_number
from segmentry.verifying.orders import Order

MOST_RANKED = 1_000_000
"""Contacts that are put in order a second time, in plain Python; of more no place is told."""


def orders_of(moment: Moment, conditions: Iterable[Condition]) -> dict[Population, Order]:
    """Every population in grounded conditions, put in order."""
    populations = list(dict.fromkeys(found for condition in conditions for found in populations_in(condition)))
    if not populations:
        return {}
    among = {f"among:{number}": one.among for number, one in enumerate(populations) if one.among is not None}
    values = [value for one in populations for value in (one.by, one.per) if value is not None]
    answer = moment.answer(among, values)
    return {one: _order(answer, one, f"among:{number}") for number, one in enumerate(populations)}


def _order(answer: Answer, population: Population, among: str) -> Order:
    total = len(answer.keys)
    if total > MOST_RANKED:
        return Order(population.falling, unread=f"a place among more than {MOST_RANKED:,} contacts has no second reading")
    try:
        by = _cells(answer, population.by)
        per = [None] * total if population.per is None else _cells(answer, population.per)
    except UnreadColumn as problem:
        return Order(population.falling, unread=f"what contacts are ordered by is not read here: {problem}")
    inside = answer.holds[among] if population.among is not None else pl.repeat(value=True, n=total, eager=True)
    entries = zip(answer.keys.to_list(), by, per, inside.to_list(), strict=True)
    apart = population.per is not None
    chosen = ((key, own, group) for key, own, group, is_in in entries if is_in and own is not None and not (apart and group is None))
    return Order.of(population.falling, chosen)


def _cells(answer: Answer, value: Value) -> list[Any]:
    """A value of each contact, as the second reading has values."""
    found = cells(answer.value(value).to_arrow(), value.type)
    return [as_number(one, value.type) if one is not None else None for one in found] if value.type.kind is Kind.NUMBER else found
