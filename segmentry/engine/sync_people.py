"""Whom a sync should have, with what its destination is told of each: a frame over a whole segment, made without a loop in Python.

Most of a segment is as it was an hour ago. So what is told is known by a fingerprint, and only who has another one than
the destination acknowledged is looked at one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from segmentry.engine.identity import address_hash
from segmentry.engine.people import ADDRESS, CONTACT, FIELD, HASH, POSITION, People, Snapshot
from segmentry.engine.reader import connect
from segmentry.engine.textfiles import identifier

FINGERPRINT, CONSENTS = "fingerprint", "consents"
BETWEEN, MISSING = "\x1f", "\x1e"
"""What stands between values and for a missing one where they are taken together: no address or name has these characters."""

CONSENTED = "+"
"""Behind the fingerprint of what is told of somebody who has agreed to be told."""

DIGITS = 16
"""Hexadecimal digits of a fingerprint: of ten million contacts, two versions of one are taken for the same in one of 10^12 cases."""


def wanted(
    keys: pl.Series, positions: pl.Series, consents: pl.Series | None, snapshot: Snapshot, fields: Mapping[str, str], secret: str
) -> pl.DataFrame:
    """The contacts at some positions: `contact` (text), `position`, `address`, `consents`, mapped columns behind `FIELD`, `fingerprint`.

    `consents` is over all positions. A fingerprint is of the address, the names and values of the fields, and the secret (hex),
    without which nobody can guess them from it.
    """
    columns = list(dict.fromkeys([*([snapshot.email] if snapshot.email else []), *fields.values()]))
    chosen = keys.gather(positions)
    frame = pl.DataFrame({CONTACT: chosen.cast(pl.String()), POSITION: positions}).drop_nulls(CONTACT)
    agrees = pl.repeat(False, frame.height, dtype=pl.Boolean(), eager=True) if consents is None else consents.gather(frame[POSITION])
    frame = frame.with_columns(agrees.alias(CONSENTS))
    rows = snapshot.rows(chosen.drop_nulls(), columns)
    address = rows[snapshot.email].cast(pl.String()).str.strip_chars().str.to_lowercase() if snapshot.email else None
    told = rows.select(  # by the columns themselves: some names are patterns to `pl.col`
        rows[snapshot.key].cast(pl.String()).alias(CONTACT),
        (pl.lit(None, pl.String()) if address is None else address.replace("", None)).alias(ADDRESS),
        *(rows[name].alias(FIELD + name) for name in dict.fromkeys(fields.values())),
    )
    frame = frame.join(told, on=CONTACT, how="left", maintain_order="left")
    return frame.with_columns(_fingerprints(frame, fields, secret))


def hashed(frame: pl.DataFrame, secret: str) -> pl.Series:
    """The keyed hash of each address."""
    return pl.Series(HASH, [address_hash(secret, address) for address in frame[ADDRESS]], pl.String())


def payloads(frame: pl.DataFrame, contacts: pl.Series, fields: Mapping[str, str], consents: pl.Series | None) -> list[str]:
    """The payload of some of the frame's contacts, as JSON text; `consents` as for `wanted`."""
    return People(frame).payloads(contacts, fields, consents)


def _fingerprints(frame: pl.DataFrame, fields: Mapping[str, str], secret: str) -> pl.Series:
    """By DuckDB: its text of any value, of whatever type, is the same on every machine, and a million take half a second."""
    names: Sequence[str] = sorted(fields)
    values = [identifier(ADDRESS), *(identifier(FIELD + fields[name]) for name in names)]
    told = ", ".join(f"coalesce({value}::varchar, '{MISSING}')" for value in values)
    mapped = BETWEEN.join([secret, *names])
    used = list(dict.fromkeys([ADDRESS, *(FIELD + fields[name] for name in names)]))
    with connect() as connection:
        connection.register("told", frame.select(pl.col(name) for name in used).to_arrow())
        query = f"select left(md5(concat_ws('{BETWEEN}', $mapped, {told})), {DIGITS}) as fingerprint from told"
        found = pl.from_arrow(connection.sql(query, params={"mapped": mapped}).to_arrow_table())
    assert isinstance(found, pl.DataFrame)
    return found["fingerprint"].alias(FINGERPRINT)
