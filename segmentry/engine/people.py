"""The contacts whom an activation concerns, few of all: where they stand, whether they are suppressed, what is to be told of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from segmentry.engine.canonical_json import dumps
from segmentry.engine.identity import address_hash, normalised_address

CONTACT, POSITION, ADDRESS, HASH, SUPPRESSED = "contact", "position", "address", "address_hash", "suppressed"
FIELD = "field:"
"""Before the names of mapped columns, so that a column called `address` is no other than itself."""

PLACES = pl.Schema({"position": pl.UInt32()})


@dataclass(frozen=True)
class Snapshot:
    """Where contacts' rows are read: `rows(keys, columns)` gives the key column and these columns, a row for each that is there.

    `email` is the column with the address; None where the workspace names none.
    """

    key: str
    email: str | None
    rows: Callable[[pl.Series, Sequence[str]], pl.DataFrame]


def locate(keys: pl.Series, contacts: pl.Series) -> pl.Series:
    """The positions of some contacts among all keys, in the keys' order; of those that are not there, none."""
    if not len(contacts):
        return pl.Series("position", [], pl.UInt32())
    return keys.is_in(contacts.cast(keys.dtype).implode()).fill_null(value=False).arg_true().cast(pl.UInt32())


@dataclass(frozen=True)
class People:
    """One row a contact: `contact` (text), `position`, `address`, `address_hash`, `suppressed`, and mapped columns behind `FIELD`."""

    frame: pl.DataFrame

    @classmethod
    def read(
        cls, keys: pl.Series, positions: pl.Series, suppressed: pl.Series | None, snapshot: Snapshot, fields: Sequence[str], secret: str
    ) -> People:
        """The contacts at some positions, with their rows as the snapshot has them."""
        chosen = keys.gather(positions)
        columns = list(dict.fromkeys([*([snapshot.email] if snapshot.email else []), *fields]))
        frame = pl.DataFrame({CONTACT: chosen.cast(pl.String()), POSITION: positions}).drop_nulls(CONTACT)
        frame = frame.with_columns(pl.Series(SUPPRESSED, _at(suppressed, frame[POSITION])))
        if not columns or not frame.height:
            nothing = [pl.lit(None, pl.String()).alias(name) for name in (ADDRESS, HASH)]
            return cls(frame.with_columns(*nothing, *(pl.lit(None, pl.String()).alias(FIELD + name) for name in fields)))
        rows = snapshot.rows(chosen.drop_nulls(), columns)
        told = rows.select(
            pl.col(snapshot.key).cast(pl.String()).alias(CONTACT),
            (pl.col(snapshot.email).cast(pl.String()) if snapshot.email else pl.lit(None, pl.String())).alias(ADDRESS),
            *(pl.col(name).alias(FIELD + name) for name in fields),
        )
        frame = frame.join(told, on=CONTACT, how="left", maintain_order="left")
        addresses = [normalised_address(value) for value in frame[ADDRESS]]
        hashes = [address_hash(secret, address) for address in addresses]
        return cls(frame.with_columns(pl.Series(ADDRESS, addresses, pl.String()), pl.Series(HASH, hashes, pl.String())))

    def suppressed(self, contacts: pl.Series) -> pl.Series:
        """Whether each is suppressed; who is not in the snapshot is not."""
        return self._of(contacts, SUPPRESSED).fill_null(value=False)

    def hashes(self, contacts: pl.Series) -> pl.Series:
        """The hash of each one's address; null where there is none."""
        return self._of(contacts, HASH)

    def payloads(self, contacts: pl.Series, fields: Mapping[str, str]) -> list[str]:
        """The payload of each, as JSON text: its address, and the mapped fields under the names that the destination is told."""
        chosen = contacts.to_frame(CONTACT).join(self.frame, on=CONTACT, how="left", maintain_order="left")
        columns = {name: chosen[FIELD + column].to_list() for name, column in fields.items()}
        return [
            dumps({"address": address, "fields": {name: as_json(values[row]) for name, values in columns.items()}})
            for row, address in enumerate(chosen[ADDRESS].to_list())
        ]

    def _of(self, contacts: pl.Series, column: str) -> pl.Series:
        found = contacts.to_frame(CONTACT).join(self.frame.select(CONTACT, column), on=CONTACT, how="left", maintain_order="left")
        return found[column]


def as_json(value: Any) -> Any:
    """A contact's value as JSON has it: exact numbers as numbers, times in ISO 8601, what JSON can't say as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124 - a NaN is not itself
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and abs(value) < 2**53 else float(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): as_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | pl.Series):
        return [as_json(inner) for inner in value]
    return str(value)


def _at(bitmap: pl.Series | None, positions: pl.Series) -> pl.Series:
    if bitmap is None:
        return pl.repeat(False, len(positions), dtype=pl.Boolean(), eager=True)
    return bitmap.gather(positions)
