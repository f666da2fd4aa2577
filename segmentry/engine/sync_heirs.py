"""Who stands for a person whom several contacts are: where a membership goes whose contact should not be there any more.

All take rows of a sync joined with who should be there, as `sync_decisions.decide` makes them, and give them with other states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from segmentry.engine.people import CONTACT
from segmentry.engine.state.synced import BASELINE, MEMBER, OPEN, OUT, REJECTED, REMOVE, ROWS, SKIPPED, UPDATE
from segmentry.engine.sync_people import CONSENTED
from segmentry.engine.sync_rows import OWN_NAMES, THERE, also_called, known_only, perhaps, perhaps_out

SUPPRESSED, EXITED, ABSENT, SHARED, UNADDRESSED = "suppressed", "exited", "gone from the snapshot", "shared address", "no address"
"""Why a contact should not be there."""

LEFT_AS_ANOTHER = "another key of the contact left there"
"""The same: and it is there as a person beside that one."""

HOUSED = "somebody who left has its address"
"""The same: as long as that one has it."""

LEFT_BEFORE = "it left there as the person that it was before"

REGROUPED = "in another group"
"""The same: it is in the segment, and in a group of it that the sync has not."""


@dataclass(frozen=True)
class HandedOver:
    """What came of `handed_over`: all rows, `pairs` of who had one and who has it now, and what those had who have one now.

    `replaced` are those rows (`contact`, `revision`): of who was in before under an address of their own. `formers` are new rows, as
    `synced.ROWS`, of who gave theirs away.
    """

    joined: pl.DataFrame
    pairs: list[tuple[str, str]]
    replaced: pl.DataFrame
    formers: pl.DataFrame


def handed_over(joined: pl.DataFrame) -> HandedOver:
    """A member who should not be there any more hands its row to another contact with the same address, who should and is known to be out.

    Were that one added instead, whoever was taken off by hand as the member would be put back. Who gives the row away is out, and what
    the destination calls the person stays known of both: who left there under the address comes in under no other, and who is there
    still, as the other one, gets no other.
    """
    nothing = HandedOver(joined, [], joined.head(0).select(CONTACT, "revision"), joined.head(0).select(ROWS.names()))
    left = pl.col("beside").fill_null(value=False) & (pl.col("address_hash") != pl.col("new_hash"))  # it goes though it is in the segment
    going = joined.filter(
        pl.col("new").is_null() | left, pl.col("state") == MEMBER, pl.col("lease").is_null(), pl.col("address_hash").is_not_null()
    )
    away = pl.col("beside").fill_null(value=False) | pl.col("gone").fill_null(value=False)
    coming = joined.filter(pl.col("carries").fill_null(value=False), _surely_out(), pl.col("claims").is_not_null(), ~away)
    if not going.height or not coming.height:
        return nothing
    pairs = coming.select("new_hash", pl.col(CONTACT).alias("heir")).join(
        going.select(pl.col("address_hash").alias("new_hash"), pl.col(CONTACT).alias("former")).unique(
            "new_hash", keep="first", maintain_order=True
        ),
        on="new_hash",
        how="inner",
        maintain_order="left",
    )
    if not pairs.height:
        return nothing
    formers = known_only(joined.filter(pl.col(CONTACT).is_in(pairs["former"].implode()))).with_columns(revision=pl.lit(-1, pl.Int64()))
    own = [name for name in joined.columns if (name in ROWS or name in THERE.values()) and name != CONTACT]
    rows = joined.filter(pl.col(CONTACT).is_in(pairs["former"].implode())).select(CONTACT, *own)
    rows = rows.with_columns(pl.col(CONTACT).replace(dict(pairs.select("former", "heir").iter_rows())))
    rest = joined.filter(~pl.col(CONTACT).is_in(pairs["former"].implode()))
    others = [name for name in joined.columns if name not in own and name != CONTACT]
    heirs = rest.filter(pl.col(CONTACT).is_in(rows[CONTACT].implode()))
    heirs = heirs.select(CONTACT, *others, *OWN_NAMES).join(rows, on=CONTACT, how="left")
    reason = pl.when(~pl.col("left_before").fill_null(value=False)).then(pl.col("reason"))  # why the other left
    heirs = heirs.with_columns(also_called("remote_id"), reason=reason, left_before=None)
    kept = rest.filter(~pl.col(CONTACT).is_in(rows[CONTACT].implode()))
    handed = [(former, heir) for former, heir in pairs.select("former", "heir").iter_rows()]
    replaced = coming.filter(pl.col(CONTACT).is_in(pairs["heir"].implode()), pl.col("state").is_not_null()).select(CONTACT, "revision")
    return HandedOver(pl.concat([kept, heirs.select(joined.columns)]), handed, replaced, formers)


def taken_over(joined: pl.DataFrame, *, mirror: bool) -> pl.DataFrame:
    """Where a member goes whose address another contact has who was let be, that one is the member from now on: somebody must be."""
    going = joined.filter(~pl.col("wish"), pl.col("state") == MEMBER, pl.col("lease").is_null(), pl.col("address_hash").is_not_null())
    # who has only no address stays, and who may have another address already has this one no more
    going = going.filter(pl.col("why_not").is_in([EXITED, REGROUPED, SUPPRESSED, SHARED, ABSENT]), ~perhaps(UPDATE))
    heirs = joined.filter(pl.col("wish"), pl.col("state") == BASELINE, pl.col("claims").is_not_null())
    if not mirror or not going.height or not heirs.height:
        return joined
    former = going.unique("address_hash", keep="first", maintain_order=True)
    known = [pl.col(name).alias(f"{name}_former") for name in ("remote_id", "remote_status")]
    known.append(perhaps_out().alias("perhaps_out_former"))
    found = joined.join(
        former.select(pl.col("address_hash").alias("new_hash"), pl.lit(value=True).alias("heir"), *known),
        on="new_hash",
        how="left",
        maintain_order="left",
    )
    heir = (pl.col("heir") & pl.col("wish") & (pl.col("state") == BASELINE)).fill_null(value=False)
    become = {
        "state": pl.lit(MEMBER),
        "perhaps_out": pl.col("perhaps_out_former"),  # then it is added again
        "address_hash": pl.col("new_hash"),
        "fingerprint": pl.lit(None, pl.String()),  # what was told was told of the other: it is told anew
        "remote_id": pl.col("remote_id_former"),
        "remote_status": pl.col("remote_status_former"),
        "former_ids": also_called("remote_id_former"),
    }
    found = found.with_columns(OWN_NAMES)
    changed = [pl.when(heir).then(value).otherwise(pl.col(name)).alias(name) for name, value in become.items()]
    return found.with_columns(changed).select(joined.columns)


def apart(joined: pl.DataFrame, sharing: Callable[[pl.DataFrame], pl.Series]) -> pl.DataFrame:
    """Whether each is to be taken out under its former address, where another contact is the same person there (`apart`), or `waits`.

    Where that address stays in the target, for somebody else, the contact counts as out. Who is to come by it has the membership from
    then on, as in `handed_over`, also where some members change places; until it is known whether that one can have it, the contact waits.
    """
    there = pl.col("wish") & (pl.col("state") == MEMBER) & pl.col("remote_id").is_not_null()
    moved = joined.filter(there, pl.col("address_hash") != pl.col("new_hash"), ~perhaps(UPDATE))
    shared = sharing(moved.select(CONTACT, "remote_id")) if moved.height else moved[CONTACT]
    if not len(shared):
        return joined.with_columns(pl.lit(value=False).alias("apart"), pl.lit(value=False).alias("waits"))
    mine = pl.col(CONTACT).is_in(shared.implode())
    stays = joined.filter(~mine, pl.col("state") == MEMBER)["address_hash"].drop_nulls()
    free = joined.filter(mine, pl.col("lease").is_null())
    out = free.filter(pl.col("address_hash").is_in(stays.implode()) | ~pl.col("address_hash").is_first_distinct())[CONTACT].to_list()
    pairs, waiting = _followers(joined, free.filter(~pl.col(CONTACT).is_in(out)), set(out))
    out += pairs
    gone, waits = pl.col(CONTACT).is_in(out), pl.col(CONTACT).is_in(list(waiting))
    ended = gone & (pl.col("action") == REMOVE).fill_null(value=False) & pl.col(CONTACT).is_in(list(pairs))  # the other may be out by it
    become = {
        "state": pl.when(gone).then(pl.lit(OUT)).otherwise("state"),
        "fingerprint": pl.when(gone).then(None).otherwise("fingerprint"),
        **{name: pl.when(ended).then(None).otherwise(name) for name in (*OPEN, "perhaps_out")},
        "maybe": pl.when(ended).then(pl.lit(value=False)).otherwise("maybe"),
        "apart": mine & ~gone & ~waits,
        "waits": waits,
    }
    return _as_followers(joined, joined.with_columns(value.alias(name) for name, value in become.items()), pairs)


def _followers(joined: pl.DataFrame, going: pl.DataFrame, out: set[str]) -> tuple[dict[str, str], set[str]]:
    """Of members who give up their addresses who has each one's membership from now on; and those of whom that is not known yet.

    A member can have one only where its own goes to somebody, or it is `out`.
    """
    claims = joined.filter("wish", pl.col("new_hash").is_in(going["address_hash"].implode()), ~pl.col(CONTACT).is_in(list(out)))
    refused = (pl.col("refused").str.strip_suffix(CONSENTED) == pl.col("new")) & (pl.col("state") == MEMBER)
    sure = pl.col("lease").is_null() & ~pl.col("maybe").fill_null(value=False)
    found = claims.select(CONTACT, "new_hash", refused.fill_null(value=False), sure, (pl.col("state") == MEMBER).fill_null(value=False))
    claimed = {hash: (heir, stuck, free, member) for heir, hash, stuck, free, member in found.iter_rows()}
    members = dict(going.select(CONTACT, "address_hash").iter_rows())
    pairs = {
        former: claimed[hash][0]
        for former, hash in members.items()
        if hash in claimed and claimed[hash][2] and (not claimed[hash][3] or claimed[hash][0] in members)
    }
    while stay := {former for former, heir in pairs.items() if heir in members and heir not in pairs}:
        pairs = {former: heir for former, heir in pairs.items() if former not in stay}
    waiting = {former for former, hash in members.items() if hash in claimed and former not in pairs and not claimed[hash][1]}
    return pairs, waiting


def _as_followers(before: pl.DataFrame, joined: pl.DataFrame, pairs: Mapping[str, str]) -> pl.DataFrame:
    """Who takes whose membership over is the member that the other was `before`, and is told of anew."""
    if not pairs:
        return joined
    taken = ("remote_id", "remote_status", "address_hash", "perhaps_out")
    former = before.filter(pl.col(CONTACT).is_in(list(pairs))).select(
        pl.col(CONTACT).replace(pairs), *(pl.col(name).alias(f"{name}_former") for name in taken)
    )
    found = joined.join(former, on=CONTACT, how="left", maintain_order="left").with_columns(OWN_NAMES)
    heir = pl.col(CONTACT).is_in(list(pairs.values()))
    values = {
        "state": pl.lit(MEMBER),
        "fingerprint": None,
        "maybe": pl.lit(value=False),
        "former_ids": also_called("remote_id_former"),
        **dict.fromkeys((*OPEN, "reason")),
        **{name: pl.col(f"{name}_former") for name in taken},
    }
    return found.with_columns(pl.when(heir).then(values[name]).otherwise(name).alias(name) for name in values).select(joined.columns)


def _surely_out() -> pl.Expr:
    """Whether a contact is known not to be there: nothing is under way, or may have been done."""
    out = pl.col("state").is_in([OUT, REJECTED, SKIPPED]) & ~pl.col("maybe") & pl.col("lease").is_null()
    return pl.col("state").is_null() | out.fill_null(value=False)
