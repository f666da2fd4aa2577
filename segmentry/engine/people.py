"""The contacts whom an activation concerns, few of all: where they stand, whether they are suppressed, what is to be told of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from segmentry.engine.canonical_json import dumps
from segmentry.engine.identity import address_hash, normalised_address

CONTACT, POSITION, ADDRESS, HASH, SUPPRESSED = "contact", "position", "address", "address_hash", "suppressed"
FIELD = "field:"
"""Before the names of mapped columns, so that a column called `address` is no other than itself."""

DAYS = (-719_162, 2_932_896)
"""The days after 1970-01-01 that Python has: those of the years 1 to 9999."""

DAY = {"ms": 86_400_000, "us": 86_400_000_000}

PLACES = pl.Schema({"position": pl.UInt32()})


@dataclass(frozen=True)
class Snapshot:
    """Where contacts' rows are read: `rows(keys, columns)` gives the key column and these columns, a row for each that is there.

    `email` is the column with the address; None where the workspace names none.
    """

    key: str
    email: str | None
    rows: Callable[[pl.Series, Sequence[str]], pl.DataFrame]

    def ahead(self, keys: pl.Series, columns: Collection[str]) -> Snapshot:
        """The same, with these rows read at once: who asks for some of them, and these columns, is told without another reading."""
        read = self.rows(keys, list(columns))
        places = read[self.key].cast(keys.dtype, strict=False)

        def rows(asked: pl.Series, names: Sequence[str]) -> pl.DataFrame:
            if not {*names} <= {self.key, *columns} or not asked.is_in(keys.implode()).all():
                return self.rows(asked, names)
            chosen = read[[*dict.fromkeys([self.key, *names])]]
            return chosen.filter(places.is_in(asked.implode()))

        return replace(self, rows=rows)


def locate(keys: pl.Series, contacts: pl.Series) -> pl.Series:
    """The positions of some contacts among all keys, in the keys' order; of those that are not there, none."""
    if not len(contacts):
        return pl.Series("position", [], pl.UInt32())
    return keys.is_in(contacts.cast(keys.dtype).implode()).fill_null(value=False).arg_true().cast(pl.UInt32())


def addresses_of(snapshot: Snapshot, contacts: pl.Series) -> pl.Series:
    """The normalised addresses of some contacts, each once."""
    if snapshot.email is None or not len(contacts):
        return pl.Series(ADDRESS, [], pl.String())
    texts = snapshot.rows(contacts, [snapshot.email])[snapshot.email].cast(pl.String())
    return texts.str.strip_chars().str.to_lowercase().replace("", None).drop_nulls().unique().alias(ADDRESS)


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
        told = rows.select(  # by the columns themselves: some names are patterns to `pl.col`
            rows[snapshot.key].cast(pl.String()).alias(CONTACT),
            (rows[snapshot.email].cast(pl.String()) if snapshot.email else pl.lit(None, pl.String())).alias(ADDRESS),
            *(rows[name].alias(FIELD + name) for name in dict.fromkeys(fields)),
        )
        frame = frame.join(told, on=CONTACT, how="left", maintain_order="left")
        addresses = [normalised_address(value) for value in frame[ADDRESS]]
        hashes = [address_hash(secret, address) for address in addresses]
        return cls(frame.with_columns(pl.Series(ADDRESS, addresses, pl.String()), pl.Series(HASH, hashes, pl.String())))

    def without(self, addresses: pl.Series) -> People:
        """The same people, of whom those with one of the addresses are suppressed too."""
        theirs = pl.col(ADDRESS).is_in(addresses.implode()).fill_null(value=False)
        return People(self.frame.with_columns((pl.col(SUPPRESSED) | theirs).alias(SUPPRESSED)))

    def suppressed(self, contacts: pl.Series) -> pl.Series:
        """Whether each is suppressed; who is not in the snapshot is not."""
        return self._of(contacts, SUPPRESSED).fill_null(value=False)

    def hashes(self, contacts: pl.Series) -> pl.Series:
        """The hash of each one's address; null where there is none."""
        return self._of(contacts, HASH)

    def payloads(self, contacts: pl.Series, fields: Mapping[str, str], consents: pl.Series | None = None) -> list[str]:
        """The payload of each, as JSON text: its address, the mapped fields under the names that the destination is told, its consent.

        `consents` is over all positions: who has agreed, by the destination's own rule; None where it has none.
        """
        chosen = contacts.to_frame(CONTACT).join(self.frame, on=CONTACT, how="left", maintain_order="left")
        columns = {name: _sayable(chosen[FIELD + column]).to_list() for name, column in fields.items()}
        agreed = [False] * chosen.height
        if consents is not None:
            agreed = consents.gather(chosen[POSITION]).fill_null(value=False).to_list()
        return [
            dumps(
                {
                    "address": address,
                    "fields": {name: as_json(values[row]) for name, values in columns.items()},
                    **({"consents": True} if agreed[row] else {}),
                }
            )
            for row, address in enumerate(chosen[ADDRESS].to_list())
        ]

    def _of(self, contacts: pl.Series, column: str) -> pl.Series:
        found = contacts.to_frame(CONTACT).join(self.frame.select(CONTACT, column), on=CONTACT, how="left", maintain_order="left")
        return found[column]


def as_json(value: Any) -> Any:
    """A contact's value as JSON has it: exact numbers as numbers, times in ISO 8601, what JSON can't say as text.

    What is no number and no day (NaN, infinity, a date beyond the year 9999) is missing.
    """
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


def _sayable(values: pl.Series) -> pl.Series:
    """The values without dates and times that Python can't have, as which Parquet files have infinity and typing mistakes."""
    if not _has_times(values.dtype):
        return values
    return values.to_frame("").select(_within(pl.first(), values.dtype)).to_series()


def _within(value: pl.Expr, kind: pl.DataType) -> pl.Expr:
    if not _has_times(kind):
        return value
    if isinstance(kind, pl.List):
        return value.list.eval(_within(pl.element(), _kind(kind.inner)))
    if isinstance(kind, pl.Array):
        return _within(value.arr.to_list(), pl.List(kind.inner))
    if isinstance(kind, pl.Struct):
        inner = [_within(value.struct.field(one.name), _kind(one.dtype)).alias(one.name) for one in kind.fields]
        return pl.when(value.is_not_null()).then(pl.struct(inner))
    day, margin = 1, 0
    if isinstance(kind, pl.Datetime):
        day, margin = DAY[kind.time_unit], 0 if kind.time_zone in (None, "UTC") else 1  # elsewhere it may be the day before, or after
    first, last = (DAYS[0] + margin) * day, (DAYS[1] + 1 - margin) * day - 1
    return pl.when(value.to_physical().is_between(first, last)).then(value)


def _has_times(kind: pl.DataType) -> bool:
    if isinstance(kind, pl.List | pl.Array):
        return _has_times(_kind(kind.inner))
    if isinstance(kind, pl.Struct):
        return any(_has_times(_kind(one.dtype)) for one in kind.fields)
    return isinstance(kind, pl.Date) or (isinstance(kind, pl.Datetime) and kind.time_unit in DAY)  # no others go so far


def _kind(kind: Any) -> pl.DataType:
    """A type within another one, which polars may have as a class."""
    found: pl.DataType = kind() if isinstance(kind, type) else kind
    return found


def _at(bitmap: pl.Series | None, positions: pl.Series) -> pl.Series:
    if bitmap is None:
        return pl.repeat(False, len(positions), dtype=pl.Boolean(), eager=True)
    return bitmap.gather(positions)
