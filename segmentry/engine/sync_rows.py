"""What a sync's rows are asked, and what is kept of them: of who is out a name alone, of who is settled nothing that was open."""

from __future__ import annotations

import polars as pl

from segmentry.engine.people import CONTACT
from segmentry.engine.state.synced import MEMBER, NAMED, OPEN, OUT, ROWS, TOLD, UPDATE

THERE = {name: f"{name}_there" for name in NAMED}
"""The columns beside `NAMED` that say what of them a row has in the table."""

OWN_NAMES = (pl.col("remote_id").alias("own_id"), pl.col("former_ids").alias("own_former_ids"))


def also_called(taken: str) -> pl.Expr:
    """What the destination called those who are called as the column `taken` says from now on, and were `own_id` (`former_ids`).

    Who was never told of as `own_id` was not that one: it is known to be another's, and what it was before is in `own_former_ids`.
    """
    own = pl.when(pl.col("own_former_ids").is_null() & pl.col("own_id").ne_missing(pl.col(taken))).then(pl.col("own_id"))
    names = pl.concat_list(pl.coalesce("own_former_ids", own).str.split("\n")).list.set_difference(pl.concat_list(taken))
    return pl.when(names.list.len() > 0).then(names.list.sort().list.join("\n")).alias("former_ids")


def perhaps(action: str) -> pl.Expr:
    """Whether an action is open that may have been done."""
    return ((pl.col("action") == action) & pl.col("maybe")).fill_null(value=False)


def perhaps_out() -> pl.Expr:
    """Whether a removal may have been done of which nobody heard."""
    return pl.col("perhaps_out").fill_null(value=False)


def known_only(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of who is out, and of whom only what the destination calls them is known, and the address that they had there; as `ROWS`."""
    values = {"state": OUT, "attempts": 0, "maybe": False}
    kept = (CONTACT, "revision", "remote_id", "remote_status", "address_hash", *NAMED)
    return rows.select(pl.col(name) if name in kept else pl.lit(values.get(name), kind).alias(name) for name, kind in ROWS.items())


def closed(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with nothing open any more. What was told of who was perhaps added, or given another address, stays: it finds them."""
    moved = ((pl.col("action") == UPDATE) & (pl.col("wanted_hash") != pl.col("address_hash"))).fill_null(value=False)
    found = pl.col("maybe") & ((pl.col("state") != MEMBER) | moved)
    return rows.select(ROWS.names()).with_columns(
        *(pl.lit(None, pl.String()).alias(name) for name in OPEN if name not in TOLD),
        *(pl.when(found).then(name).alias(name) for name in TOLD),
        pl.lit(0, pl.Int64()).alias("attempts"),
    )
