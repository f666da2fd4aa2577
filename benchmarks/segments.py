"""Segments as people make them, drawn by seed: each condition once as a rule and once as the SQL a peer's author would write.

60% attribute rules of one to four conditions; 40% with behaviour: half of those did / did not in a window, a quarter counts, the rest
sum / avg / last on orders; a tenth of all refer to another segment. Conditions come from a pool whose weights fall like 1 / rank, so
they recur.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.data import SEED, day_before


@dataclass(frozen=True)
class Condition:
    """One condition over a contact. `sql` is boolean and never null; `{as_of}` stands for the instant of the run."""

    rule: str
    sql: str

    @property
    def field(self) -> str:
        """The column that an attribute condition is about."""
        return self.rule.split()[0]


@dataclass(frozen=True)
class Segment:
    """A segment: its conditions, how they are joined, and the segment it refers to, if it does."""

    name: str
    conditions: tuple[Condition, ...]
    joint: str = "and"
    member: str | None = None

    @property
    def rule(self) -> str:
        own = f" {self.joint} ".join(condition.rule for condition in self.conditions)
        return f"({own}) and member('{self.member}')" if self.member else own


def attribute_pool() -> list[Condition]:
    """About sixty conditions over a contact's own columns; every column's most usual one first."""
    pool: list[Condition] = []

    def add(rule: str, sql: str) -> None:
        pool.append(Condition(rule, f"coalesce({sql}, false)"))

    choices = {
        "location": ("UK", "US", "DE", "FR", "IE", "CA", "AU"),
        "status": ("lead", "customer", "subscriber", "churned"),
        "source": ("website", "ads", "referral", "import"),
        "plan": ("free", "basic", "pro", "enterprise"),
        "language": ("en", "de", "fr", "es"),
        "email_status": ("subscribed", "unsubscribed"),
    }
    for field, values in choices.items():
        for value in values:
            add(f"{field} = '{value}'", f"{field} = '{value}'")
    for field, value in (("status", "churned"), ("email_status", "bounced"), ("location", "US")):
        pool.append(Condition(f"{field} != '{value}'", f"{field} is distinct from '{value}'"))
    for values in (("UK", "IE"), ("DE", "FR", "NL"), ("US", "CA")):
        listed = ", ".join(f"'{value}'" for value in values)
        add(f"location in ({listed})", f"location in ({listed})")
    for number in (1, 5, 10, 20, 40):
        add(f"activity_count >= {number}", f"activity_count >= {number}")
    for number in (50, 200, 500, 1000, 2500):
        add(f"lifetime_value > {number}", f"lifetime_value > {number}")
    for days in (7, 30, 90, 365):
        add(
            f"date_added in the last '{days} days'",
            f"date_added > timestamptz '{{as_of}}' - interval {days} day and date_added <= timestamptz '{{as_of}}'",
        )
    for days in (100, 400, 800):
        add(f"date_added before '{day_before(days)}'", f"date_added < timestamptz '{day_before(days)} 00:00:00+00'")
    for low, high in ((1950, 1969), (1970, 1984), (1985, 2005)):
        bounds = f"'{low}-01-01' and '{high}-12-31'"
        add(f"birthday between {bounds}", f"birthday between {bounds}")
    for text in ("@gmail.com", "@acme.example", "1"):
        add(f"email contains '{text}'", f"email like '%{text}%'")  # every address is in lower case
    add("email ends with 'outlook.com'", "email like '%outlook.com'")
    add("email ~ '^(maya|noah)[.]'", "regexp_matches(email, '^(maya|noah)[.]')")
    for letter in "ABC":
        add(f"first_name starts with '{letter}'", f"first_name like '{letter}%'")
    add("birthday is set", "birthday is not null")
    earlier: dict[str, int] = {}
    rank: dict[Condition, int] = {}
    for condition in pool:
        rank[condition] = earlier[condition.field] = earlier.get(condition.field, -1) + 1
    return sorted(pool, key=lambda condition: rank[condition])


def _events(condition: str, days: int, having: str = "") -> str:
    window = f"happened_at > timestamptz '{{as_of}}' - interval {days} day and happened_at <= timestamptz '{{as_of}}'"
    grouped = f" group by contact_id having {having}" if having else ""
    return f"(select contact_id from events where {condition} and {window}{grouped})"


def did_pool() -> list[Condition]:
    """Did, or did not, in a window."""
    pool: list[Condition] = []
    chosen = [
        ("page_viewed", "event = 'page_viewed'"),
        ("email_opened", "event = 'email_opened'"),
        ("order_placed", "event = 'order_placed'"),
        ("form_submitted, form_id = 'pricing'", "event = 'form_submitted' and form_id = 'pricing'"),
        ("any_event", "true"),
        ("email_clicked", "event = 'email_clicked'"),
        ("page_viewed, page = '/pricing'", "event = 'page_viewed' and page = '/pricing'"),
        ("webinar_joined", "event = 'webinar_joined'"),
    ]
    for days in (30, 90, 7, 180):
        for rule, sql in chosen:
            pool.append(Condition(f"did({rule}, last => '{days} days')", f"contact_id in {_events(sql, days)}"))
            pool.append(Condition(f"not did({rule}, last => '{days} days')", f"contact_id not in {_events(sql, days)}"))
    return pool


def count_pool() -> list[Condition]:
    """So many events in a window."""
    pool: list[Condition] = []
    for days in (30, 90, 180):
        for event, number in (("page_viewed", 2), ("email_opened", 2), ("order_placed", 2), ("page_viewed", 5), ("email_clicked", 1)):
            inner = _events(f"event = '{event}'", days, f"count(*) >= {number}")
            pool.append(Condition(f"count({event}, last => '{days} days') >= {number}", f"contact_id in {inner}"))
    inner = _events("true", 180, "count(*) >= 3")
    pool.append(Condition("count(any_event, last => '180 days') < 3", f"contact_id not in {inner}"))
    return pool


def order_pool() -> list[Condition]:
    """Sums, averages and last times of orders."""
    pool: list[Condition] = []
    ordered = "event = 'order_placed'"
    for days in (90, 30, 180):
        for amount in (100, 250, 500):
            inner = _events(ordered, days, f"sum(amount) >= {amount}")
            pool.append(Condition(f"sum(order_placed.amount, last => '{days} days') >= {amount}", f"contact_id in {inner}"))
        inner = _events(ordered, days, "sum(amount) > 120 * count(*)")
        pool.append(Condition(f"avg(order_placed.amount, last => '{days} days') > 120", f"contact_id in {inner}"))
    for days in (60, 120):
        inner = _events(ordered, 3650, f"max(happened_at) < timestamptz '{{as_of}}' - interval {days} day")
        pool.append(Condition(f"last(order_placed) before ago('{days} days')", f"contact_id in {inner}"))
    return pool


def draw(number: int, seed: int = SEED) -> list[Segment]:
    """`number` segments, each after the one it refers to."""
    draws = random.Random(seed)
    attributes = attribute_pool()
    behaviours = [did_pool(), did_pool(), count_pool(), order_pool()]

    def one(pool: list[Condition]) -> Condition:
        return draws.choices(pool, [1 / rank for rank in range(1, len(pool) + 1)])[0]

    def some(most: int) -> list[Condition]:
        wanted = draws.randint(1, most)
        found: dict[str, Condition] = {}
        while len(found) < wanted:
            condition = one(attributes)
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
            conditions = [one(behaviours[behaviour % 4]), *(some(2) if draws.random() < 0.5 else [])]
            behaviour += 1
        member = draws.choice(segments).name if place % 10 == 9 else None
        joint = "or" if len(conditions) > 1 and draws.random() < 0.15 else "and"
        segments.append(Segment(f"s{place:04}", tuple(conditions), joint, member))
    return segments
