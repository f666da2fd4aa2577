"""What brings one sync in step: whom it should have against what its destination acknowledged. A frame in, rows to write out.

What becomes of a contact, by whether it should be there and what its row says (no row is as `out`). `different`: other attributes
than were acknowledged; `refused`: the very attributes that the destination refused before.

    should be   out            add; one that may have been done under another address, or its removal, goes on first: only its answer
                               says who is where; nothing while another member has the address, to which the destination refuses its new one
                member         nothing; if different, update, unless refused; add, if a removal may have been done; a change of
                               address that may have been made goes on first: only its answer says who is where
                baseline       nothing: it was in at the start, and was to be let be
                left           nothing, ever; nor for anybody else with an address that it left under, or with its own while it has that
                rejected       nothing while refused, else add
                skipped        nothing while refused and for a day, else add
    should not  out            nothing; an open add ends; one that may have been done is as a member
                member         mirror: remove, at once if it left the segment or is suppressed, in a day if it is gone from the snapshot;
                               not while somebody is to come in by that address: once that one is in, it is out
                               add: nothing; an open update ends. Where other syncs tell of people too, what was told is forgotten
                               an update that may have been done goes on first, as it may have moved the address
                baseline       let go if it left the segment
                rejected,      let go
                skipped

Who left the same list or tag by another sync is left here too, but for a member who is another person there than that one: it goes on.

Who is in a group of the segment that the sync has not should not be there, as if it had left, but for who was let be: that one stays so.

Of contacts with one address, one stands for all: who is there already, else the first by key. Where that one should not be there any
more and another should, the other takes its row, or in `mirror` goes on as the member it was if it was let be till then. Who was the member
is out, as the person that the other is now: what the destination calls that one stays known of both. What the other was there itself stays
known too (`former_ids`) until it is told of. Who left as that (`left_before`), or under another key that was merged into its own, should
not be there: a member is removed, and once it is out, or with `add`, it is `left`.

A member with another address whom the destination knows as another contact too, by whichever sync, does not get it there: the person under
the former address is the other one as well. It is taken out under that, and comes in anew. Where that address stays, for somebody else, it
is as above: that one takes its row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from segmentry.engine.people import ADDRESS, CONTACT, HASH, POSITION
from segmentry.engine.state.synced import ADD, AWAY, BASELINE, MEMBER, NAMED, OUT, REJECTED, REMOVE, ROWS, SKIPPED, UPDATE
from segmentry.engine.sync_heirs import (
    ABSENT,
    EXITED,
    HOUSED,
    LEFT_AS_ANOTHER,
    LEFT_BEFORE,
    REGROUPED,
    SHARED,
    SUPPRESSED,
    UNADDRESSED,
    apart,
    handed_over,
    taken_over,
)
from segmentry.engine.sync_merging import merged
from segmentry.engine.sync_people import CONSENTED, CONSENTS, FINGERPRINT, hashed
from segmentry.engine.sync_rows import THERE, closed, known_only, perhaps_out

GRACE = timedelta(hours=24)
"""How long a member that is gone from the snapshot stays, in case it comes back."""

SKIPS = timedelta(hours=24)
"""How long after a destination skipped a contact it is asked again, with nothing changed."""

LET_END = (EXITED, REGROUPED, SHARED, ABSENT, UNADDRESSED, LEFT_AS_ANOTHER)
"""Why a member should not be there of whom a change that may have been made goes on first: it may have got another address."""

CLOSE, LET_GO, NAME_ONLY = "close", "let go", "name only"
"""What is done with a row beside opening it: what is open in it ends; nothing is known of the contact any more, or only its name there."""

NOTHING = pl.lit(None, pl.String())
CLOSES = pl.when(pl.col("action").is_not_null()).then(pl.lit(CLOSE)).otherwise(NOTHING)
"""A row stays as it is; what is open in it ends."""


@dataclass(frozen=True)
class Wanted:
    """Whom a sync should have, and who else there is.

    `people` as `sync_people.wanted`, of everybody in the segment who is not suppressed. The others are keys (text): members who are
    suppressed; of the contacts that have rows, who is suppressed, and who is in the snapshot.
    """

    people: pl.DataFrame
    suppressed_members: pl.Series
    suppressed: pl.Series
    present: pl.Series
    elsewhere: pl.Series
    """Members in groups of the segment that the sync has not."""
    seen: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={CONTACT: pl.String(), HASH: pl.String()}))
    """Of those who left what the sync is in step with: the hash of the address that each has now, or was last seen with."""


@dataclass(frozen=True)
class Case:
    """One sync: how it is kept in step.

    `left` are address hashes that stay out, `gone` contacts that left the same target by another sync, which the destination called as
    `gone_as` says; `merged` has former keys and the surviving ones.
    """

    mirror: bool
    needs_address: bool
    secret: str
    now: datetime
    opened: datetime
    left: pl.Series
    gone: pl.Series
    gone_as: pl.Series = field(default_factory=lambda: pl.Series([], dtype=pl.String()))
    merged: Mapping[str, str] = field(default_factory=dict)
    sharing: Callable[[pl.DataFrame], pl.Series] = lambda rows: rows[CONTACT].head(0)
    """Those of some contacts (`contact`, `remote_id`) whom the destination knows as other contacts too; they are asked for once."""
    baseline: bool = False
    """Whoever is new to it is baseline: what is there at its start is to be let be, or a recovery can't tell."""
    others_tell: bool = False
    """Whether other syncs tell the destination of people too: what was told of who is not in this one may be otherwise by now."""


@dataclass(frozen=True)
class Step:
    """What is decided, as in `SyncDraft`; rows that are to be told have no payload and no id yet."""

    written: pl.DataFrame
    named: pl.DataFrame
    removed: pl.DataFrame
    replaced: pl.DataFrame
    stops: Mapping[str, str]
    rekeyed: list[tuple[str, str]]
    figures: Mapping[str, int]


def decide(rows: pl.DataFrame, wanted: Wanted, case: Case) -> Step:
    """What brings a sync in step. `rows` as `synced.ROWS`; nothing is written, and nothing read but what `case.sharing` says."""
    rows, rekeyed, spread, given = merged(
        rows.with_columns(pl.col(name).alias(there) for name, there in THERE.items()), case.merged, wanted.present
    )
    people, unaddressed = _addressed(wanted.people, rows, case)
    rows = _last_seen(rows, wanted.seen)
    people = _carriers(people, rows, wanted.seen, case)
    joined = rows.join(people, on=CONTACT, how="full", coalesce=True, maintain_order="left_right")
    handed = handed_over(joined)
    joined = handed.joined
    joined = joined.with_columns(_why_not(joined, wanted, unaddressed, case.gone_as))
    joined = apart(taken_over(joined, mirror=case.mirror), case.sharing)
    joined = joined.with_columns(_next(case))
    found = pl.concat([_written(joined, case), _let_be(rows, wanted, unaddressed, case)])
    # who is gone from the snapshot may go on under another key of which nobody said so: then both are one person, and one name
    formers = handed.formers.filter(pl.col(CONTACT).is_in(wanted.present.implode()) | pl.col("left_before").fill_null(value=False))
    changed = pl.concat([found, formers, spread.filter(~pl.col(CONTACT).is_in(found[CONTACT].implode()))])
    removed = joined.filter(pl.col("next") == LET_GO).select(CONTACT, "revision")
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(there)) for name, there in THERE.items())
    named = joined.filter(differs, pl.col("next").is_null(), pl.col("lease").is_null(), ~pl.col(CONTACT).is_in(changed[CONTACT].implode()))
    named = named.select(CONTACT, "revision", *NAMED)
    other = pl.when(pl.col("wish")).then((pl.col("action") == REMOVE) & ~pl.col("apart")).otherwise(pl.col("action") != REMOVE)
    agreed = pl.col("wish") & ~pl.col(CONSENTS) & pl.col("wanted").str.ends_with(CONSENTED)
    ended = joined.filter(pl.col("lease").is_not_null(), other | agreed.fill_null(value=False))
    here = pl.when(pl.col("action") == REMOVE).then(pl.lit("it is in the segment again")).otherwise(pl.lit("the consent is withdrawn"))
    stops = dict(ended.select(CONTACT, pl.coalesce("why_not", here)).iter_rows())
    replaced, pairs = pl.concat([given, handed.replaced]), [*rekeyed, *handed.pairs]
    return Step(changed, named, removed, replaced, stops, pairs, _figures(joined, wanted, unaddressed))


# ---------------------------------------------------------------- who is who


def _addressed(people: pl.DataFrame, rows: pl.DataFrame, case: Case) -> tuple[pl.DataFrame, pl.Series]:
    """The people with the hash of each one's address, and those who have none where one is needed, who can't be told of.

    A hash is known from the row where the attributes are those of then.
    """
    unaddressed = people.filter(pl.col(ADDRESS).is_null())[CONTACT] if case.needs_address else pl.Series(CONTACT, [], pl.String())
    people = people.filter(pl.col(ADDRESS).is_not_null()) if case.needs_address else people
    found = people.join(
        rows.select(CONTACT, "fingerprint", "wanted", "refused", "address_hash", "wanted_hash"),
        on=CONTACT,
        how="left",
        maintain_order="left",
        suffix="_then",
    )
    same = pl.col(FINGERPRINT) == pl.col(f"{FINGERPRINT}_then")
    then = pl.col(FINGERPRINT) == pl.col("wanted").str.strip_suffix(CONSENTED)
    known = pl.when(same).then(pl.col("address_hash")).when(then).then(pl.col("wanted_hash"))
    found = found.with_columns(known.alias(HASH))
    fresh = found.filter(pl.col(HASH).is_null(), pl.col(ADDRESS).is_not_null())
    if fresh.height:
        made = fresh.select(CONTACT).with_columns(hashed(fresh, case.secret).alias("made"))
        found = found.join(made, on=CONTACT, how="left", maintain_order="left").with_columns(pl.coalesce(HASH, "made").alias(HASH))
    return found.select(CONTACT, POSITION, CONSENTS, pl.col(FINGERPRINT).alias("new"), pl.col(HASH).alias("new_hash")), unaddressed


def _last_seen(rows: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """The rows; of who left, the hash of the address that each was last seen with (`seen`)."""
    now = seen.unique(CONTACT, keep="first").rename({HASH: "has"})
    found = rows.join(now, on=CONTACT, how="left", maintain_order="left")
    return found.with_columns(pl.when(pl.col("state") == AWAY).then(pl.coalesce("has", "wanted_hash")).alias("seen")).drop("has")


def _carriers(people: pl.DataFrame, rows: pl.DataFrame, seen: pl.DataFrame, case: Case) -> pl.DataFrame:
    """The people, and whether each is the one that stands for its address (`carries`), whether it left by another sync (`gone`), or
    somebody under that address (`barred`), and whether somebody else has it who left (`housed`).

    `claims` is the hash of an address that is one person's, whoever has it: none where contacts are known by their keys alone.
    """
    barred = pl.col("new_hash").is_in(case.left.implode()).fill_null(value=False)
    # of many with one address none is joined with each other one
    holders = seen.group_by(new_hash=HASH).agg(other=pl.col(CONTACT).first(), several=pl.col(CONTACT).n_unique() > 1)
    theirs = people.join(holders, on="new_hash", how="inner").filter(pl.col("several") | (pl.col(CONTACT) != pl.col("other")))
    housed, gone = (pl.col(CONTACT).is_in(whose.implode()) for whose in (theirs[CONTACT], case.gone))
    people = people.with_columns(barred.alias("barred"), housed.alias("housed"), gone.alias("gone"))
    if not case.needs_address:
        nobody = pl.lit(None, pl.String()).alias("claims")
        return people.with_columns(pl.lit(value=True).alias("carries"), nobody)
    left = pl.col("state") == AWAY  # who left stands for nobody else
    rank = pl.when(pl.col("state") == MEMBER).then(0).when(left).then(3).when(pl.col("action").is_not_null()).then(1).otherwise(2)
    ranked = people.join(rows.select(CONTACT, "state", "action", "address_hash"), on=CONTACT, how="left", maintain_order="left")
    there = (pl.col("state") == MEMBER) & (pl.col("address_hash") == pl.col("new_hash"))
    ranked = ranked.with_columns(rank=pl.when(there).then(-1).otherwise(rank)).sort("new_hash", "rank", CONTACT)
    first = ranked.select(CONTACT, carries=pl.col("new_hash").is_first_distinct())
    people = people.join(first, on=CONTACT, how="left", maintain_order="left")
    return people.with_columns(pl.col("new_hash").alias("claims"))


# ---------------------------------------------------------------- what becomes of each


def _why_not(joined: pl.DataFrame, wanted: Wanted, unaddressed: pl.Series, gone_as: pl.Series) -> list[pl.Expr]:
    """Whether each should be there (`wish`), and why not (`why_not`); whether it is the person who left by another sync (`is_gone`)."""
    del joined
    there, left = pl.col("new").is_not_null(), pl.col("barred").fill_null(value=False) | (pl.col("state") == AWAY).fill_null(value=False)
    gone, is_theirs = pl.col("gone").fill_null(value=False), pl.col("remote_id").is_in(gone_as.implode())
    # who is another person there than the key that left, and a member beyond doubt, goes on as one
    settled = (pl.col("state") == MEMBER) & (pl.col("action").is_null() | (pl.col("action") == UPDATE)) & ~perhaps_out() & ~is_theirs
    left |= gone & ~settled.fill_null(value=False)
    contact = pl.col(CONTACT)
    why = (
        pl.when(pl.col("beside").fill_null(value=False))
        .then(pl.lit(LEFT_AS_ANOTHER))
        .when(left)
        .then(pl.lit(AWAY))
        .when(there & pl.col("housed").fill_null(value=False))
        .then(pl.lit(HOUSED))
        .when(there & ~pl.col("carries").fill_null(value=True))
        .then(pl.lit(SHARED))
        .when(there)
        .then(None)
        .when(contact.is_in(unaddressed.implode()))
        .then(pl.lit(UNADDRESSED))
        .when(contact.is_in(wanted.suppressed.implode()))
        .then(pl.lit(SUPPRESSED))
        .when(~contact.is_in(wanted.present.implode()))
        .then(pl.lit(ABSENT))
        .when(contact.is_in(wanted.elsewhere.implode()))
        .then(pl.lit(REGROUPED))
        .otherwise(pl.lit(EXITED))
    )
    return [why.alias("why_not"), (why.is_null()).alias("wish"), (gone & is_theirs.fill_null(value=False)).alias("is_gone")]


def _next(case: Case) -> list[pl.Expr]:
    """What is to be done with each row (`next`): an action, `close` an open one, `gone` for the row itself, a state, or nothing."""
    tells = pl.col("new") + pl.when(CONSENTS).then(pl.lit(CONSENTED)).otherwise(pl.lit(""))
    by_wish = pl.when(pl.col("wish")).then(_next_of_wanted(case, tells)).otherwise(_next_of_unwanted(case))
    return [pl.when(pl.col("lease").is_null()).then(by_wish).alias("next"), tells.alias("tells")]


def _next_of_wanted(case: Case, tells: pl.Expr) -> pl.Expr:
    """The same, of who should be there."""
    state, action, new = pl.col("state").fill_null(OUT), pl.col("action"), pl.col("state").is_null()
    unsure_who = pl.col("former_ids").is_not_null()  # whether it left as who it was before is looked at when it is told of
    refused = (pl.col("refused") == tells).fill_null(value=False) & ~unsure_who
    recent = (pl.col("changed") > (case.now - SKIPS).isoformat(timespec="microseconds")).fill_null(value=False)
    maybe = pl.col("maybe").fill_null(value=False)
    different = (pl.col("new") != pl.col("fingerprint")).fill_null(value=True) | maybe | unsure_who
    open_so = (pl.col("wanted") == tells).fill_null(value=False) & pl.col("stop").is_null()

    def opens(kind: str) -> pl.Expr:
        return pl.when((action == kind).fill_null(value=False) & open_so).then(NOTHING).otherwise(pl.lit(kind))

    unsure = (action == ADD).fill_null(value=False) | perhaps_out()
    moves = (pl.col("wanted_hash") != pl.col("address_hash")).fill_null(value=False)
    perhaps_moved = ((action == UPDATE) & maybe & moves).fill_null(value=False)
    agrees = pl.col(CONSENTS) | ~pl.col("wanted").str.ends_with(CONSENTED)
    perhaps_in = ((action == ADD) & agrees) | (action == REMOVE)
    elsewhere = (maybe & (pl.col("wanted_hash") != pl.col("new_hash"))).fill_null(value=False)
    perhaps_added = perhaps_in.fill_null(value=False) & elsewhere
    # whose addition came to an end that may have been done under a former address goes from there first: nothing would find it later
    lingers = pl.lit(case.mirror) & _lingers() & ~_settled()
    # the destination refused another address to whoever has the contact's there: it is that one's still
    kept = (pl.col("wish") & (state == MEMBER) & refused & (pl.col("address_hash") != pl.col("new_hash"))).fill_null(value=False)
    taken = pl.col("claims").is_in(pl.col("address_hash").filter(kept).drop_nulls().implode()).fill_null(value=False)
    return (
        pl.when(pl.lit(case.baseline) & (new | (state == OUT)))
        .then(pl.lit(BASELINE))
        .when((state == MEMBER) & perhaps_moved)
        .then(NOTHING)
        .when(pl.col("waits"))
        .then(CLOSES)
        .when(pl.col("apart"))
        .then(pl.when((action == REMOVE).fill_null(value=False)).then(NOTHING).otherwise(pl.lit(REMOVE)))
        .when((state == MEMBER) & unsure)
        .then(opens(ADD))
        .when(state == MEMBER)
        .then(pl.when(different & ~refused).then(opens(UPDATE)).otherwise(CLOSES))
        .when(perhaps_added)
        .then(NOTHING)
        .when(lingers)
        .then(pl.when(_claimed(~_lingers() & ~refused)).then(NOTHING).otherwise(pl.lit(REMOVE)))
        .when(taken & ~maybe & state.is_in([OUT, REJECTED, SKIPPED]))
        .then(CLOSES)
        .when(state == OUT)
        .then(opens(ADD))
        .when((state == REJECTED) & ~refused)
        .then(opens(ADD))
        .when((state == SKIPPED) & ~(refused & recent))
        .then(opens(ADD))
        .otherwise(NOTHING)
    )


def _next_of_unwanted(case: Case) -> pl.Expr:
    """The same, of who should not be there."""
    state, action, why = pl.col("state").fill_null(OUT), pl.col("action"), pl.col("why_not")
    new, maybe = pl.col("state").is_null(), pl.col("maybe").fill_null(value=False)
    removal = (action == REMOVE).fill_null(value=False)
    at_once = why.is_in([EXITED, REGROUPED, SUPPRESSED, SHARED, LEFT_AS_ANOTHER])
    waits = (pl.col("due") > case.now.isoformat(timespec="microseconds")).fill_null(value=False)
    goes = pl.when(removal & ~(at_once & waits)).then(NOTHING).otherwise(pl.lit(REMOVE))
    kept_id = pl.col("remote_id").is_not_null() | pl.col("former_ids").is_not_null()
    # where another contact is the person there from now on, both were called so
    given_up = pl.when((kept_id & (why != ABSENT)) | (why == LEFT_AS_ANOTHER)).then(pl.lit(NAME_ONLY)).otherwise(pl.lit(LET_GO))
    has_another = pl.col("seen").is_not_null() & pl.col("seen").ne_missing(pl.coalesce("wanted_hash", "address_hash")) & ~maybe
    forgets = pl.lit(case.others_tell) & (state == MEMBER) & pl.col("fingerprint").is_not_null()
    return (
        pl.when(new)
        .then(
            pl.when(why == AWAY)
            .then(pl.lit(AWAY))
            .when(case.baseline & why.is_in([SHARED, HOUSED]))
            .then(pl.lit(BASELINE))
            .otherwise(NOTHING)
        )
        .when(state == AWAY)
        .then(pl.when(has_another).then(pl.lit(AWAY)).otherwise(CLOSES))
        .when((state == MEMBER) & pl.col("is_gone"))
        .then(pl.lit(AWAY))
        .when((state == MEMBER) & (action == UPDATE).fill_null(value=False) & maybe & why.is_in(LET_END))
        .then(NOTHING)
        .when((state == MEMBER) | (state.is_in([OUT, REJECTED, SKIPPED]) & maybe & (why != AWAY)))
        .then(
            pl.when(pl.lit(case.mirror) & why.is_in([EXITED, REGROUPED, SUPPRESSED, SHARED, ABSENT, LEFT_AS_ANOTHER]))
            .then(pl.when(_settled()).then(given_up).when(_claimed()).then(CLOSES).otherwise(goes))
            .when(why == LEFT_AS_ANOTHER)
            .then(pl.lit(AWAY))
            .otherwise(pl.when(forgets).then(pl.lit(CLOSE)).otherwise(CLOSES))
        )
        .when(state == BASELINE)
        .then(pl.when(why == EXITED).then(pl.lit(LET_GO)).otherwise(NOTHING))
        .when(why.is_in([AWAY, LEFT_AS_ANOTHER]))
        .then(pl.lit(AWAY))
        .when(kept_id)
        .then(CLOSES)
        .when((why == SUPPRESSED) & (state != OUT))
        .then(CLOSES)
        .otherwise(pl.lit(LET_GO))
    )


def _claimed(by: pl.Expr | None = None) -> pl.Expr:
    """Whether the address that a row is, or may be, there with is that of somebody who should be there: of those, who `by` says."""
    those = pl.col("wish") if by is None else pl.col("wish") & by
    return _under().is_in(pl.col("claims").filter(those).drop_nulls().implode()).fill_null(value=False)


def _settled() -> pl.Expr:
    """Whether somebody who should be there has it, and is in by it: else, if that one were not to come, nothing would find who is in."""
    there = (pl.col("state") == MEMBER) & (pl.col("address_hash") == pl.col("new_hash"))
    return _claimed(there.fill_null(value=False))


def _under() -> pl.Expr:
    """The hash of the address that a row is, or may be, there with."""
    perhaps_added = pl.col("maybe") & (pl.col("state") != MEMBER) & (pl.col("action") == ADD).fill_null(pl.col("wanted_hash").is_not_null())
    return pl.when(perhaps_added.fill_null(value=False)).then(pl.col("wanted_hash")).otherwise(pl.col("address_hash"))


def _lingers() -> pl.Expr:
    """Whether an addition came to an end that may have been done under another address than the contact has now."""
    ended = pl.col("action").is_null() & pl.col("state").is_in([OUT, REJECTED, SKIPPED]) & pl.col("maybe")
    return (ended & (pl.col("wanted_hash") != pl.col("new_hash"))).fill_null(value=False)


def _written(joined: pl.DataFrame, case: Case) -> pl.DataFrame:
    """The rows to write."""
    due = joined.filter(pl.col("next").is_in([ADD, UPDATE, REMOVE]))
    at, grace = (when.isoformat(timespec="microseconds") for when in (case.now, case.now + GRACE))
    later = (pl.col("next") == REMOVE) & (pl.col("why_not") == ABSENT)
    opened = _as_rows(due).with_columns(
        due["next"].alias("action"),
        due["tells"].alias("wanted"),
        due.select(_told_of()).to_series().alias("wanted_hash"),
        pl.lit(case.opened.isoformat(timespec="microseconds")).alias("opened"),
        due.select(pl.when(later).then(pl.lit(grace)).otherwise(pl.lit(at))).to_series().alias("due"),
        due.select(pl.when(later).then(pl.lit(grace))).to_series().alias("grace"),
        pl.lit(0, pl.Int64()).alias("attempts"),
        # who was perhaps added has no remote id: it is found by the address that was told
        pl.when(due["next"] == REMOVE).then("payload").alias("payload"),
        *(pl.lit(None, pl.String()).alias(name) for name in ("change", "batch", "stop")),
    )
    closing = joined.filter(pl.col("next") == CLOSE)
    kept = pl.lit(not case.others_tell) | closing["wish"] | (closing["state"] != MEMBER)
    ended = closed(_as_rows(closing)).with_columns(pl.when(kept).then("fingerprint").alias("fingerprint"))
    states = joined.filter(pl.col("next").is_in([BASELINE, AWAY]))
    settled = closed(_as_rows(states)).with_columns(
        states["next"].alias("state"),
        pl.when(states["why_not"] == LEFT_AS_ANOTHER).then(_why_left(states)).otherwise("reason").alias("reason"),
        pl.coalesce(states["seen"], "wanted_hash").alias("wanted_hash"),
        *(
            pl.when(_known_so(states)).then(own).otherwise(states[new]).alias(own)
            for own, new in (("address_hash", "new_hash"), ("fingerprint", "new"))
        ),
    )
    return pl.concat([opened, ended, settled, known_only(joined.filter(pl.col("next") == NAME_ONLY))])


def _why_left(states: pl.DataFrame) -> pl.Series:
    """What is said of who is `left` as another person than it is now."""
    before = pl.col("left_before").fill_null(value=False)
    return states.select(pl.when(before).then(pl.coalesce("reason", pl.lit(LEFT_BEFORE))).otherwise(pl.lit(LEFT_AS_ANOTHER))).to_series()


def _told_of() -> pl.Expr:
    """The hash that an answer acknowledges: of who goes and was perhaps added the one told then, which is what finds them."""
    perhaps = (pl.col("next") == REMOVE) & pl.col("maybe").fill_null(value=False)
    added = perhaps & (pl.col("state") != MEMBER)
    hashes = pl.when(added).then(pl.coalesce("wanted_hash", "new_hash")).when(perhaps).then(pl.coalesce("new_hash", "wanted_hash"))
    return hashes.otherwise("new_hash")


def _known_so(states: pl.DataFrame) -> pl.Series:
    """Whether a settled row keeps what it says: both or neither, as a hash is known by the attributes that stand beside it."""
    left = (states["next"] == AWAY) & states["address_hash"].is_not_null()
    return left | states["new"].is_null()


def _let_be(rows: pl.DataFrame, wanted: Wanted, unaddressed: pl.Series, case: Case) -> pl.DataFrame:
    """Of who is baseline those who can't, or must not, be told of now: later neither."""
    if not case.baseline:
        return rows.head(0).select(ROWS.names())
    others = pl.concat([unaddressed, wanted.suppressed_members.alias(CONTACT), wanted.elsewhere.alias(CONTACT)]).unique(maintain_order=True)
    fresh = others.filter(~others.is_in(rows[CONTACT].implode())).to_frame(CONTACT)
    columns = {"state": BASELINE, "revision": -1, "attempts": 0, "maybe": False}
    return fresh.select(pl.col(CONTACT) if name == CONTACT else pl.lit(columns.get(name), kind).alias(name) for name, kind in ROWS.items())


def _as_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """The part of a joined frame that is rows of the table; of who had none, new ones."""
    return frame.select(
        pl.col("state").fill_null(OUT) if name == "state"
        else pl.col("revision").fill_null(-1) if name == "revision"
        else pl.col("attempts").fill_null(0) if name == "attempts"
        else pl.col("maybe").fill_null(value=False) if name == "maybe"
        else pl.col(name)
        for name in ROWS
    )  # fmt: skip


def _figures(joined: pl.DataFrame, wanted: Wanted, unaddressed: pl.Series) -> dict[str, Any]:
    """What a run says of a sync."""
    acts = joined["next"].value_counts(name="rows")
    counts = {name: int(rows) for name, rows in acts.iter_rows() if name in (ADD, UPDATE, REMOVE)}
    whys = {name: int(rows) for name, rows in joined.filter(pl.col("new").is_not_null())["why_not"].value_counts(name="rows").iter_rows()}
    return {
        "members": wanted.people.height,
        **{name: counts.get(name, 0) for name in (ADD, UPDATE, REMOVE)},
        "no_address": len(unaddressed),
        "shared": whys.get(SHARED, 0),
        "left": sum(whys.get(why, 0) for why in (AWAY, LEFT_AS_ANOTHER, HOUSED)),
        "suppressed": len(wanted.suppressed_members),
    }
