"""The shop's contacts, events and orders, as whole columns.

Contacts are numbered in the order in which they were added, evenly over three years; the newer one is, the more it does. So an event
can be given a contact that existed then by arithmetic alone. What a contact row says of its events (`activity_count`,
`lifetime_value`) is counted from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from segmentry.demo.draws import Draws

FIRST_CONTACT = 1000
YEARS = timedelta(days=3 * 365)
HISTORY = timedelta(days=180)
HOUR = timedelta(hours=1)
EVENTS_PER_CONTACT = 5
ORDERS_SHARE = 0.12

FIRST_NAMES: dict[str | None, float] = dict.fromkeys(
    "Aisha Ben Chloe Dan Emma Farid Grace Hannah Imran Jack Keira Liam Maya Noah Olivia Priya Quinn Ruby Sam Tara Umar Vera Zoe".split(),
    1.0,
)
DOMAINS: dict[str | None, float] = {
    "gmail.com": 38,
    "outlook.com": 20,
    "yahoo.com": 12,
    "acme.example": 3,
    "initech.example": 3,
    "mail.example": 24,
}
LOCATIONS: dict[str | None, float] = {"UK": 34, "US": 28, "DE": 10, "FR": 8, "IE": 5, "CA": 5, "AU": 4, "": 1, None: 5}
STATUSES: dict[str | None, float] = {"lead": 40, "subscriber": 28, "customer": 26, "churned": 6}
SOURCES: dict[str | None, float] = {"website": 40, "referral": 15, "ads": 22, "event": 8, "import": 12, None: 3}
EMAIL_STATUSES: dict[str | None, float] = {"subscribed": 88, "unsubscribed": 9, "bounced": 3}
TAGS: dict[str | None, float] = {"newsletter": 40, "beta": 5, "wholesale": 4, "press": 1, None: 50}
EVENTS: dict[str | None, float] = {"page_viewed": 52, "email_opened": 28, "email_clicked": 9, "form_submitted": 8, "webinar_joined": 3}
FORMS: dict[str | None, float] = {"newsletter": 45, "contact": 25, "pricing": 20, "demo": 10}
PAGES: dict[str | None, float] = {"/": 40, "/products": 30, "/pricing": 12, "/blog": 15, "/careers": 3}
COUPONS: dict[str | None, float] = {None: 80, "SPRING": 12, "WELCOME10": 8}


@dataclass(frozen=True)
class Shop:
    """What the data are made from: a seed, how many contacts there are at the first hour, and that hour (UTC)."""

    seed: int
    contacts: int
    hour: datetime

    @property
    def draws(self) -> Draws:
        return Draws(self.seed)


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _instants(start: datetime, offsets: pl.Series) -> pl.Series:
    """`start` plus so many microseconds, as UTC timestamps."""
    first = _microseconds(start - datetime(1970, 1, 1, tzinfo=UTC))
    return (offsets.cast(pl.Int64) + first).cast(pl.Datetime("us", "UTC"))


def _cents(cents: pl.Series) -> pl.Series:
    return (cents / 100).cast(pl.Decimal(12, 2))


def new_contacts(shop: Shop, first: int, added: pl.Series, stream: str = "contact") -> pl.DataFrame:
    """Contacts numbered from `first` on, one for each instant in `added`, who have done nothing yet."""
    draws, rows = shop.draws, len(added)
    number = pl.int_range(first, first + rows, dtype=pl.Int64, eager=True)

    def choice(column: str, weights: dict[str | None, float]) -> pl.Series:
        return draws.choice(f"{stream} {column}", rows, weights, first).alias(column)

    first_names = draws.choice(f"{stream} first_name", rows, FIRST_NAMES, first)
    domains = draws.choice(f"{stream} domain", rows, DOMAINS, first)
    birthdays = draws.integers(f"{stream} birthday", rows, -20 * 365, 36 * 365, first).cast(pl.Int32).cast(pl.Date)
    tags = pl.DataFrame({"a": choice("tag a", TAGS), "b": choice("tag b", TAGS)})
    frame = pl.DataFrame(
        {
            "contact_id": number + FIRST_CONTACT,
            "first_name": first_names,
            "status": choice("status", STATUSES),
            "source": choice("source", SOURCES),
            "location": choice("location", LOCATIONS),
            "activity_count": pl.repeat(0, rows, dtype=pl.Int64, eager=True),
            "lifetime_value": pl.repeat(0, rows, dtype=pl.Int64, eager=True).cast(pl.Decimal(12, 2)),
            "date_added": added,
            "birthday": birthdays,
            "email_status": choice("email_status", EMAIL_STATUSES),
        }
    )
    known = draws.uniform(f"{stream} birthday known", rows, first) < 0.7
    return frame.with_columns(
        pl.when(known).then("birthday").alias("birthday"),
        tags.select(pl.concat_list("a", "b").list.drop_nulls().list.unique(maintain_order=True)).to_series().alias("tags"),
    ).insert_column(1, _emails(first_names, number, domains))


def _emails(names: pl.Series, numbers: pl.Series, domains: pl.Series) -> pl.Series:
    frame = pl.DataFrame({"name": names, "number": numbers, "domain": domains})
    return frame.select(pl.format("{}.{}@{}", pl.col("name").str.to_lowercase(), "number", "domain").alias("email")).to_series()


def first_contacts(shop: Shop) -> pl.DataFrame:
    """All contacts at the shop's first hour, before their events are counted."""
    step = _microseconds(YEARS) / shop.contacts
    offsets = (pl.int_range(0, shop.contacts, dtype=pl.Int64, eager=True) + shop.draws.uniform("date_added", shop.contacts)) * step
    return new_contacts(shop, 0, _instants(shop.hour - YEARS, offsets))


def happenings(shop: Shop, start: datetime, end: datetime, rows: int, stream: str) -> tuple[pl.Series, pl.Series]:
    """`rows` instants in [start, end) in order, and for each a contact who existed then."""
    draws = shop.draws
    span = _microseconds(end - start)
    offsets = ((pl.int_range(0, rows, dtype=pl.Int64, eager=True) + draws.uniform(f"{stream} at", rows)) * (span / rows)).cast(pl.Int64)
    at = _instants(start, offsets)
    age = offsets + _microseconds(start - shop.hour + YEARS)
    existing = (age * (shop.contacts / _microseconds(YEARS))).clip(1, shop.contacts)  # so many were added before
    newness = draws.uniform(f"{stream} contact", rows)
    number = ((existing - 1) * (1.0 - newness * newness * newness)).cast(pl.Int64)
    return at, number + FIRST_CONTACT


def events_between(shop: Shop, start: datetime, end: datetime, rows: int, part: str) -> pl.DataFrame:
    """What contacts did in [start, end), in order: five kinds of events in one table. Each `part` has its own luck."""
    stream = f"event {part}"
    at, contact = happenings(shop, start, end, rows, stream)
    draws = shop.draws
    frame = pl.DataFrame(
        {
            "contact_id": contact,
            "occurred_at": at,
            "event": draws.choice(f"{stream} name", rows, EVENTS),
            "form_id": draws.choice(f"{stream} form", rows, FORMS),
            "page": draws.choice(f"{stream} page", rows, PAGES),
        }
    )
    return frame.with_columns(
        pl.when(pl.col("event") == "form_submitted").then("form_id").alias("form_id"),
        pl.when(pl.col("event") == "page_viewed").then("page").alias("page"),
    )


def orders_between(shop: Shop, start: datetime, end: datetime, rows: int, part: str) -> pl.DataFrame:
    """What contacts bought in [start, end), in order: one table for one event. Each `part` has its own luck."""
    stream = f"order {part}"
    at, contact = happenings(shop, start, end, rows, stream)
    draws = shop.draws
    spread = draws.uniform(f"{stream} amount", rows)
    return pl.DataFrame(
        {
            "customer_id": contact,
            "created_at": at,
            "amount": _cents((500 + 40_000 * spread * spread * spread).cast(pl.Int64)),
            "coupon": draws.choice(f"{stream} coupon", rows, COUPONS),
        }
    )


def counted(contacts: pl.DataFrame, events: pl.DataFrame, orders: pl.DataFrame) -> pl.DataFrame:
    """The contacts with these further events in their `activity_count` and these orders in their `lifetime_value`."""
    done = pl.concat([events.select("contact_id"), orders.select(pl.col("customer_id").alias("contact_id"))])
    activity = done.group_by("contact_id").agg(pl.len().cast(pl.Int64).alias("more"))
    spent = orders.group_by(pl.col("customer_id").alias("contact_id")).agg(pl.col("amount").sum().alias("spent"))
    return (
        contacts.join(activity, on="contact_id", how="left", maintain_order="left")
        .join(spent, on="contact_id", how="left", maintain_order="left")
        .with_columns(
            pl.col("activity_count") + pl.col("more").fill_null(0),
            (pl.col("lifetime_value") + pl.col("spent").fill_null(0)).cast(pl.Decimal(12, 2)),
        )
        .drop("more", "spent")
    )


def an_hour_later(shop: Shop, contacts: pl.DataFrame, part: str) -> pl.DataFrame:
    """The contacts after the shop's hour: about one in a thousand changed, a few gone, a few new."""
    draws, rows = shop.draws, contacts.height
    stream = f"contacts {part}"
    luck = draws.uniform(stream, rows)
    moved = contacts.with_columns(
        pl.when(luck < 0.0004).then(pl.lit("customer")).otherwise("status").alias("status"),
        pl.when(luck.is_between(0.0004, 0.0007)).then(pl.lit("UK")).otherwise("location").alias("location"),
        pl.when(luck.is_between(0.0007, 0.001)).then(pl.lit("unsubscribed")).otherwise("email_status").alias("email_status"),
    )
    gone = draws.words(f"{stream} gone", max(1, rows // 50_000)) % rows
    staying = moved.filter(~pl.int_range(0, pl.len(), dtype=pl.UInt64).is_in(gone.implode()))
    last = contacts["contact_id"].max()
    assert isinstance(last, int)
    number = max(2, rows // 20_000)
    added = _instants(shop.hour, (draws.uniform(f"{stream} new", number) * _microseconds(HOUR)).sort())
    return pl.concat([staying, new_contacts(shop, last + 1 - FIRST_CONTACT, added)])
