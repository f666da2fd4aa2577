"""What merged keys mean for the rows of a sync: the contact goes on under the surviving one, and left wherever one of its keys did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from segmentry.engine.people import CONTACT
from segmentry.engine.state.synced import AWAY, BASELINE, MEMBER, OUT, ROWS
from segmentry.engine.sync_heirs import LEFT_AS_ANOTHER
from segmentry.engine.sync_rows import OWN_NAMES, also_called, closed, perhaps_out


def merged(
    rows: pl.DataFrame, survivors: Mapping[str, str], present: pl.Series
) -> tuple[pl.DataFrame, list[tuple[str, str]], pl.DataFrame, pl.DataFrame]:
    """The rows under surviving keys; pairs that go on so; surviving rows that leave because a former one had left; and those given up.

    Where both keys have a row, the survivor's stays, and the other is that of a contact who is gone; but who was a member goes on as
    that where the survivor is known to be out. A survivor that is, or may be, there as another person than the one who left has to go
    first (`beside`). One that was, or is, there as another person than a former key which is out is looked at as that one too, once.
    """
    nothing = rows.head(0).select(ROWS.names())
    rows = rows.with_columns(pl.col("left_before").fill_null(value=False).alias("beside"))
    if not survivors or not rows.height:
        return rows, [], nothing, nothing.select(CONTACT, "revision")
    old = rows.filter(pl.col(CONTACT).is_in(list(survivors)), ~pl.col(CONTACT).is_in(present.implode()), pl.col("lease").is_null())
    if not old.height:
        return rows, [], nothing, nothing.select(CONTACT, "revision")
    heirs = {survivors[one] for one in old.filter(pl.col("state") == MEMBER)[CONTACT]}
    nothing_open = ~pl.col("maybe") & ~perhaps_out() & pl.col("lease").is_null() & pl.col("action").is_null()
    given = rows.filter(pl.col(CONTACT).is_in(list(heirs)), pl.col("state") == OUT, nothing_open, ~pl.col("beside"))
    rows = rows.filter(~pl.col(CONTACT).is_in(given[CONTACT].implode()))
    known, taken = set(rows[CONTACT].to_list()), set()
    members_first = pl.col("state") != MEMBER
    pairs: list[tuple[str, str]] = []
    left: list[tuple[str, str]] = []
    for contact, state in old.sort(members_first, "state", CONTACT).select(CONTACT, "state").iter_rows():
        survivor = survivors[contact]
        if survivor not in known and survivor not in taken:
            pairs.append((contact, survivor))
            taken.add(survivor)
        elif state == AWAY:
            left.append((contact, survivor))
    names = dict(pairs)
    rows = _as_its_keys(_named_so_too(rows.with_columns(pl.col(CONTACT).replace(names)), given), survivors, old[CONTACT])
    leaving = [survivor for _, survivor in left]
    spreads = pl.col(CONTACT).is_in(leaving) & (pl.col("state") != AWAY)
    other = spreads & ((pl.col("state") == MEMBER) | pl.col("maybe")) & ~pl.col(CONTACT).is_in(_same_as(rows, left))
    newly = rows.filter(spreads & ~other)[CONTACT]
    gone = pl.col(CONTACT).is_in(newly.implode())
    rows = rows.with_columns(
        pl.when(gone).then(pl.lit(AWAY)).otherwise("state").alias("state"),
        pl.when(gone).then(pl.lit(LEFT_AS_ANOTHER)).otherwise("reason").alias("reason"),
        (pl.col("beside") | other).alias("beside"),
    )
    spread = closed(rows.filter(gone, pl.col("lease").is_null()))
    return rows, pairs, spread, given.select(CONTACT, "revision")


def _same_as(rows: pl.DataFrame, left: Sequence[tuple[str, str]]) -> list[str]:
    """Of former keys that left, and the surviving ones, those survivors who are the person that left."""
    named = rows.filter(pl.col(CONTACT).is_in([key for pair in left for key in pair]))
    known = {row[0]: row[1:] for row in named.select(CONTACT, "remote_id", "address_hash").iter_rows()}
    both = [(survivor, zip(known[former], known[survivor], strict=True)) for former, survivor in left]
    return [survivor for survivor, names in both if any(one is not None and one == other for one, other in names)]


def _named_so_too(rows: pl.DataFrame, given: pl.DataFrame) -> pl.DataFrame:
    """The rows; those that go on in the place of one that is given up have its names besides, which are looked at when it is next told."""
    own = given.select(CONTACT, *OWN_NAMES)
    found = rows.join(own, on=CONTACT, how="left", maintain_order="left").with_columns(also_called("remote_id").alias("also"))
    both = pl.concat_str("former_ids", "also", separator="\n", ignore_nulls=True)
    heir = pl.col("also").is_not_null()
    return found.with_columns(pl.when(heir).then(both).otherwise("former_ids").alias("former_ids")).select(rows.columns)


def _as_its_keys(rows: pl.DataFrame, survivors: Mapping[str, str], old: pl.Series) -> pl.DataFrame:
    """The rows; who goes on beside a former key that is out is called as that one was too. Of the former one it is noted that it is so.

    Nobody heard whether the person that the former key was has left since.
    """
    settled = pl.col("lease").is_null() & ~pl.col("maybe")
    called = pl.concat_str("remote_id", "former_ids", separator="\n", ignore_nulls=True)
    away = pl.col("state").is_in([MEMBER, AWAY, BASELINE])
    formers = rows.filter(pl.col(CONTACT).is_in(old.implode()), ~away, settled, pl.col("left_before").is_null(), called != "")
    heirs = rows.filter(pl.col("lease").is_null(), pl.col("state") != AWAY)[CONTACT]
    formers = formers.with_columns(pl.col(CONTACT).replace(survivors).alias("heir")).filter(pl.col("heir").is_in(heirs.implode()))
    if not formers.height:
        return rows
    own = formers.group_by("heir", maintain_order=True).agg(called.str.join("\n").alias("theirs"))
    found = rows.join(own, left_on=CONTACT, right_on="heir", how="left", maintain_order="left")
    names = pl.concat_str("former_ids", "theirs", separator="\n", ignore_nulls=True).str.split("\n")
    names = names.list.set_difference(pl.concat_list("remote_id")).list.sort()
    both = pl.when(names.list.len() > 0).then(names.list.join("\n"))
    noted = pl.col(CONTACT).is_in(formers[CONTACT].implode())
    return found.with_columns(
        pl.when(pl.col("theirs").is_not_null()).then(both).otherwise("former_ids").alias("former_ids"),
        pl.when(noted).then(pl.lit(value=False)).otherwise("left_before").alias("left_before"),
    ).select(rows.columns)
