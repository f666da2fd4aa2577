"""The data of a workload: contacts with thirteen columns, and six kinds of events over 180 days in one table, in order of time.

Two snapshots, an hour apart: in the second, one contact in a thousand is changed, and the hour's events are in a file of their own.
The same once more with UUIDs as text for keys, where somebody asks for it.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow.parquet as pq

from segmentry.demo.draws import Draws

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1  # of what is built here; data of another version are built anew
SEED = 2026
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = FIRST + timedelta(hours=1)
THIRD = SECOND + timedelta(hours=1)
DAYS = 180
ROWS_PER_FILE = 5_000_000
MOST_IN_ONE_FRAME = 10_000_000
"""Contacts that are made as one frame; more are made and written by parts of half as many."""
ROWS_PER_GROUP = 1 << 18

LOCATIONS: dict[str | None, float] = {"UK": 30, "US": 26, "DE": 12, "FR": 9, "IE": 6, "CA": 6, "AU": 4, "NL": 2, None: 5}
STATUSES: dict[str | None, float] = {"lead": 38, "subscriber": 30, "customer": 25, "churned": 7}
SOURCES: dict[str | None, float] = {"website": 40, "ads": 24, "referral": 14, "import": 12, "event": 7, None: 3}
PLANS: dict[str | None, float] = {"free": 60, "basic": 20, "pro": 12, "enterprise": 3, None: 5}
LANGUAGES: dict[str | None, float] = {"en": 62, "de": 13, "fr": 10, "es": 8, "nl": 4, None: 3}
EMAIL_STATUSES: dict[str | None, float] = {"subscribed": 85, "unsubscribed": 11, "bounced": 4}
DOMAINS: dict[str | None, float] = {"gmail.com": 40, "outlook.com": 22, "yahoo.com": 14, "acme.example": 4, "mail.example": 20}
NAMES: dict[str | None, float] = dict.fromkeys(
    "Aisha Ben Chloe Dan Emma Farid Grace Hannah Imran Jack Keira Liam Maya Noah Olivia".split(), 1.0
)
EVENTS: dict[str | None, float] = {
    "page_viewed": 42, "email_opened": 24, "order_placed": 16, "email_clicked": 9, "form_submitted": 7, "webinar_joined": 2,
}  # fmt: skip
FORMS: dict[str | None, float] = {"newsletter": 45, "contact": 25, "pricing": 20, "demo": 10}
PAGES: dict[str | None, float] = {"/": 40, "/products": 30, "/pricing": 12, "/blog": 15, "/careers": 3}


def build(folder: Path, contacts: int, events: int) -> None:
    """Write `data/contacts/` and `data/events/` of a workload into `folder`, unless a former build did."""
    done = folder / "data" / f".built-{VERSION}"
    if done.exists():
        return
    shutil.rmtree(folder / "data", ignore_errors=True)
    (folder / "data" / "contacts").mkdir(parents=True)
    (folder / "data" / "events").mkdir()
    if contacts <= MOST_IN_ONE_FRAME:
        frame = _contacts(contacts)
        frame.write_parquet(snapshot(folder, FIRST), compression="zstd")
        _changed(frame).write_parquet(snapshot(folder, SECOND), compression="zstd")
        del frame
    else:
        _write_by_parts(folder, contacts, MOST_IN_ONE_FRAME // 2)
    span = timedelta(days=DAYS)
    for number, first in enumerate(range(0, events, ROWS_PER_FILE)):
        rows = min(ROWS_PER_FILE, events - first)
        start = FIRST - span + span * (first / events)
        part = _events("event", start, span * (rows / events), rows, first, contacts)
        part.write_parquet(folder / "data" / "events" / f"part-{number:03}.parquet", compression="zstd")
    hour = _events("hour", FIRST, timedelta(hours=1), max(20, events // (DAYS * 24)), 0, contacts)
    hour.write_parquet(folder / "data" / "events" / f"{HOUR}.parquet", compression="zstd")
    done.touch()


HOUR = f"hour-{FIRST:%Y-%m-%dT%H}"
"""The file of events that are there from the second instant on."""


def snapshot(folder: Path, as_of: datetime, kind: str = "data") -> Path:
    """The newest snapshot at an instant."""
    return folder / kind / "contacts" / f"{min(as_of, SECOND):%Y-%m-%dT%H}.parquet"


def event_files(folder: Path, as_of: datetime, kind: str = "data") -> list[Path]:
    """The event files that are there at an instant: the hour's not before the hour is over."""
    files = sorted((folder / kind / "events").glob("*.parquet"))
    return [file for file in files if as_of > FIRST or file.stem != HOUR]


def build_uuids(folder: Path) -> None:
    """Write the data once more as `data-uuid/`, every key a UUID as text in place of the number; rows stay where they are."""
    done = folder / "data-uuid" / f".built-{VERSION}"
    if done.exists():
        return
    shutil.rmtree(folder / "data-uuid", ignore_errors=True)
    with duckdb.connect() as db:
        db.execute("set timezone = 'UTC'; set memory_limit = '4 GiB'")
        for file in sorted((folder / "data").glob("*/*.parquet")):
            target = folder / "data-uuid" / file.relative_to(folder / "data")
            target.parent.mkdir(parents=True, exist_ok=True)
            rows = db.query(
                "select * replace (md5(contact_id::varchar)::uuid::varchar as contact_id) from read_parquet($file)",
                params={"file": str(file)},
            )
            rows.write_parquet(str(target), compression="zstd")
    done.touch()


def _write_by_parts(folder: Path, contacts: int, rows: int) -> None:
    """The same rows as of one frame, `rows` at a time, which is all that is in memory."""
    with ExitStack() as stack:
        writers: dict[datetime, pq.ParquetWriter] = {}
        for first in range(0, contacts, rows):
            frame = _contacts(min(rows, contacts - first), first)
            for as_of, part in ((FIRST, frame), (SECOND, _changed(frame, first))):
                table = part.to_arrow(compat_level=pl.CompatLevel.oldest())
                if as_of not in writers:
                    writers[as_of] = stack.enter_context(pq.ParquetWriter(snapshot(folder, as_of), table.schema, compression="zstd"))
                writers[as_of].write_table(table, row_group_size=ROWS_PER_GROUP)


def _contacts(rows: int, first: int = 0) -> pl.DataFrame:
    draws = Draws(SEED)
    number = pl.int_range(first, first + rows, dtype=pl.Int64, eager=True)

    def choice(column: str, weights: Mapping[str | None, float]) -> pl.Series:
        return draws.choice(column, rows, weights, first).alias(column)

    luck = draws.uniform("luck", rows, first)
    frame = pl.DataFrame(
        {
            "contact_id": number,
            "first_name": choice("first_name", NAMES),
            "domain": choice("domain", DOMAINS),
            "status": choice("status", STATUSES),
            "source": choice("source", SOURCES),
            "location": choice("location", LOCATIONS),
            "plan": choice("plan", PLANS),
            "language": choice("language", LANGUAGES),
            "email_status": choice("email_status", EMAIL_STATUSES),
            "activity_count": (luck * luck * luck * 60).cast(pl.Int64),
            "lifetime_value": _money((draws.uniform("value", rows, first) ** 4 * 500_000).cast(pl.Int64)),
            "date_added": _instants(FIRST - timedelta(days=1460), timedelta(days=1460), draws.uniform("date_added", rows, first)),
            "birthday": draws.integers("birthday", rows, -7300, 13000, first).cast(pl.Int32).cast(pl.Date),
            "known": draws.uniform("birthday known", rows, first) < 0.8,
        }
    )
    return frame.with_columns(
        pl.format("{}.{}@{}", pl.col("first_name").str.to_lowercase(), "contact_id", "domain").alias("email"),
        pl.when("known").then("birthday").alias("birthday"),
    ).drop("known", "domain")


def _changed(contacts: pl.DataFrame, first: int = 0) -> pl.DataFrame:
    luck = Draws(SEED).uniform("changed", contacts.height, first)
    return contacts.with_columns(
        pl.when(luck < 0.0005).then(pl.lit("customer")).otherwise("status").alias("status"),
        pl.when(luck.is_between(0.0005, 0.001)).then(pl.col("activity_count") + 5).otherwise("activity_count").alias("activity_count"),
    )


def _events(stream: str, start: datetime, span: timedelta, rows: int, first: int, contacts: int) -> pl.DataFrame:
    draws = Draws(SEED)
    when = (pl.int_range(0, rows, eager=True) + draws.uniform(f"{stream} at", rows, first)) / rows
    frame = pl.DataFrame(
        {
            "contact_id": (draws.words(f"{stream} contact", rows, first) % contacts).cast(pl.Int64),
            "happened_at": _instants(start, span, when),
            "event": draws.choice(f"{stream} name", rows, EVENTS, first),
            "amount": _money((draws.uniform(f"{stream} amount", rows, first) ** 3 * 30_000).cast(pl.Int64) + 300),
            "form_id": draws.choice(f"{stream} form", rows, FORMS, first),
            "page": draws.choice(f"{stream} page", rows, PAGES, first),
        }
    )
    return frame.with_columns(
        pl.when(pl.col("event") == event).then(column).alias(column)
        for event, column in (("order_placed", "amount"), ("form_submitted", "form_id"), ("page_viewed", "page"))
    )


def _money(cents: pl.Series) -> pl.Series:
    return (cents / 100).cast(pl.Decimal(12, 2))


def _instants(start: datetime, span: timedelta, share: pl.Series) -> pl.Series:
    """`start` plus that share of `span`, as UTC timestamps."""
    first = (start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return ((share * (span / timedelta(microseconds=1))).cast(pl.Int64) + first).cast(pl.Datetime("us", "UTC"))


def day_before(days: int) -> date:
    """A date so many days before the first snapshot."""
    return (FIRST - timedelta(days=days)).date()
