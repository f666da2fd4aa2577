"""Segments as people make them, drawn by seed from pools of conditions.

60% attribute rules of one to four conditions; 40% with behaviour: half of those did / did not in a window, a quarter counts, the rest
sum / avg / last on orders; a tenth of all refer to another segment. The weights in a pool fall like 1 / rank, so conditions recur.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from benchmarks.conditions import ANY, Attribute, Behaviour, Condition, Segment
from benchmarks.data import SEED, day_before

PREVIEWED: tuple[Condition, ...] = (Attribute("location", "=", "UK"), Behaviour("order_placed", "count", 90, 2))
"""What is previewed where the data are made up."""


@dataclass(frozen=True)
class Pools:
    """What segments are drawn from, the most usual first: conditions on attributes, and on behaviour in turn."""

    attributes: Sequence[Attribute]
    behaviours: Sequence[Sequence[Behaviour]]


def attribute_pool() -> list[Attribute]:
    """About sixty conditions over a contact's own columns; every column's most usual one first."""
    pool: list[Attribute] = []
    choices = {
        "location": ("UK", "US", "DE", "FR", "IE", "CA", "AU"),
        "status": ("lead", "customer", "subscriber", "churned"),
        "source": ("website", "ads", "referral", "import"),
        "plan": ("free", "basic", "pro", "enterprise"),
        "language": ("en", "de", "fr", "es"),
        "email_status": ("subscribed", "unsubscribed"),
    }
    pool += [Attribute(field, "=", value) for field, values in choices.items() for value in values]
    pool += [Attribute(field, "!=", value) for field, value in (("status", "churned"), ("email_status", "bounced"), ("location", "US"))]
    pool += [Attribute("location", "in", values) for values in (("UK", "IE"), ("DE", "FR", "NL"), ("US", "CA"))]
    pool += [Attribute("activity_count", ">=", number) for number in (1, 5, 10, 20, 40)]
    pool += [Attribute("lifetime_value", ">", number) for number in (50, 200, 500, 1000, 2500)]
    pool += [Attribute("date_added", "last", days) for days in (7, 30, 90, 365)]
    pool += [Attribute("date_added", "before", day_before(days)) for days in (100, 400, 800)]
    spans = ((1950, 1969), (1970, 1984), (1985, 2005))
    pool += [Attribute("birthday", "between", (date(low, 1, 1), date(high, 12, 31))) for low, high in spans]
    pool += [Attribute("email", "contains", text) for text in ("@gmail.com", "@acme.example", "1")]  # addresses are in lower case
    pool += [Attribute("email", "ends", "outlook.com"), Attribute("email", "matches", "^(maya|noah)[.]")]
    pool += [Attribute("first_name", "starts", letter) for letter in "ABC"]
    pool.append(Attribute("birthday", "set"))
    return most_usual_first(pool)


def most_usual_first(pool: Sequence[Attribute]) -> list[Attribute]:
    """All columns' first conditions, then all their second ones, and so on."""
    earlier: dict[str, int] = {}
    rank: dict[Attribute, int] = {}
    for condition in pool:
        rank[condition] = earlier[condition.field] = earlier.get(condition.field, -1) + 1
    return sorted(pool, key=lambda condition: rank[condition])


def did_pool() -> list[Behaviour]:
    """Did, or did not, in a window."""
    chosen: list[tuple[str, tuple[str, str] | None]] = [
        ("page_viewed", None),
        ("email_opened", None),
        ("order_placed", None),
        ("form_submitted", ("form_id", "pricing")),
        (ANY, None),
        ("email_clicked", None),
        ("page_viewed", ("page", "/pricing")),
        ("webinar_joined", None),
    ]
    return did(chosen, (30, 90, 7, 180))


def did(chosen: Sequence[tuple[str, tuple[str, str] | None]], windows: Sequence[int]) -> list[Behaviour]:
    """Did and did not, for each of these events in each window."""
    return [Behaviour(event, "did", days, number, where=where) for days in windows for event, where in chosen for number in (1, 0)]


def count_pool() -> list[Behaviour]:
    """So many events in a window."""
    chosen = (("page_viewed", 2), ("email_opened", 2), ("order_placed", 2), ("page_viewed", 5), ("email_clicked", 1))
    pool = [Behaviour(event, "count", days, number) for days in (30, 90, 180) for event, number in chosen]
    return [*pool, Behaviour(ANY, "count", 180, 3, below=True)]


def order_pool() -> list[Behaviour]:
    """Sums, averages and last times of orders."""
    return spending("order_placed", (90, 30, 180), (100, 250, 500), 120, (60, 120))


def spending(event: str, windows: Sequence[int], sums: Sequence[int], average: int, silences: Sequence[int]) -> list[Behaviour]:
    """Sums, averages and last times of one event that has an `amount`."""
    pool: list[Behaviour] = []
    for days in windows:
        pool += [Behaviour(event, "sum", days, amount) for amount in sums]
        pool.append(Behaviour(event, "avg", days, average))
    return [*pool, *(Behaviour(event, "last", days) for days in silences)]


def made_up() -> Pools:
    """The pools of the workloads whose data are made up."""
    return Pools(attribute_pool(), (did_pool(), did_pool(), count_pool(), order_pool()))


def draw(number: int, pools: Pools | None = None, seed: int = SEED) -> list[Segment]:
    """`number` segments, each after the one it refers to."""
    draws = random.Random(seed)
    pools = pools or made_up()

    def one(pool: Sequence[Condition]) -> Condition:
        return draws.choices(pool, [1 / rank for rank in range(1, len(pool) + 1)])[0]

    def some(most: int) -> list[Condition]:
        wanted = draws.randint(1, most)
        found: dict[str, Condition] = {}
        while len(found) < wanted:
            condition = one(pools.attributes)
            assert isinstance(condition, Attribute)
            found.setdefault(condition.field, condition)
        return list(found.values())

    kinds = ["attributes"] * round(number * 0.6) + ["behaviour"] * (number - round(number * 0.6))
    draws.shuffle(kinds)
    behaviour = 0
    segments: list[Segment] = []
    for place, kind in enumerate(kinds):
        if kind == "attributes":
            conditions = some(4)
        else:
            conditions = [one(pools.behaviours[behaviour % len(pools.behaviours)]), *(some(2) if draws.random() < 0.5 else [])]
            behaviour += 1
        member = draws.choice(segments).name if place % 10 == 9 else None
        joint = "or" if len(conditions) > 1 and draws.random() < 0.15 else "and"
        segments.append(Segment(f"s{place:04}", tuple(conditions), joint, member))
    return segments
