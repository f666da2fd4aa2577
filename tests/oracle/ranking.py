"""Contacts in order, one at a time put where it belongs: what `top`, `bottom` and `ntile` promise."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from tests.oracle import language as lang


def standing(order: lang.Order, contacts: list[Any], value: Callable[[Any, Any], Any], holds: Callable[[Any, Any], bool]) -> dict[str, Any]:
    """By key, each contact's place (from 0) and how many are in the order that it is in."""
    groups: dict[Any, list[tuple[Any, Any]]] = {}
    for contact in contacts:
        by = value(order.by, contact)
        group = () if order.per is None else value(order.per, contact)
        if by is None or group is None or (order.among is not None and not holds(order.among, contact)):
            continue
        groups.setdefault(group, []).append((by, contact))
    found = {}
    for members in groups.values():
        ahead = {contact.key: 0 for _, contact in members}
        for by, contact in members:
            for other_by, other in members:
                if other_by == by:
                    ahead[contact.key] += other.order < contact.order
                else:
                    ahead[contact.key] += (other_by > by) is order.falling
        found.update({key: (place, len(members)) for key, place in ahead.items()})
    return found


def is_foremost(number: str, place: int, size: int) -> bool:
    """`number` is as written: `5` or `5%`."""
    most = math.ceil(Fraction(number[:-1]) * size / 100) if number.endswith("%") else int(number)
    return place < most


def part(parts: int, place: int, size: int) -> int:
    """Contacts are dealt into parts whose sizes differ by one at most, the larger ones first."""
    ends = 0
    for number in range(1, parts + 1):
        ends += size // parts + (number <= size % parts)
        if place < ends:
            return number
    raise ValueError(place)
