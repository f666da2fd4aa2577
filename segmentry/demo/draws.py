"""Random columns that depend on nothing but a seed: not on the machine, the number of threads or a library's version."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

_WORD = (1 << 64) - 1


def _mixed(value: pl.Expr) -> pl.Expr:
    """splitmix64's finaliser: every bit of the result depends on every bit of `value`. UInt64 products wrap around."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value // _word(1 << shift))) * _word(factor)
    return value ^ (value // _word(1 << 31))


def _word(value: int) -> pl.Expr:
    return pl.lit(value & _WORD, dtype=pl.UInt64)


class Draws:
    """Independent streams of random numbers: the number of a row depends on the seed, the stream's name and the row alone."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def words(self, stream: str, rows: int, first: int = 0) -> pl.Series:
        """`rows` UInt64, uniform over all of them, for the rows from `first` on."""
        start = self.seed
        for byte in stream.encode():
            start = (start * 0x100000001B3 ^ byte) & _WORD
        row = pl.int_range(first, first + rows, dtype=pl.UInt64)
        return pl.select(_mixed(row * _word(0x9E3779B97F4A7C15) + _word(start)).alias(stream)).to_series()

    def uniform(self, stream: str, rows: int, first: int = 0) -> pl.Series:
        """Float64 in [0, 1)."""
        return (self.words(stream, rows, first) // 2048).cast(pl.Float64) * 2.0**-53

    def integers(self, stream: str, rows: int, low: int, high: int, first: int = 0) -> pl.Series:
        """Int64 from `low` to `high`, both included."""
        return (self.words(stream, rows, first) % (high - low + 1)).cast(pl.Int64) + low

    def choice(self, stream: str, rows: int, weights: Mapping[str | None, float], first: int = 0) -> pl.Series:
        """Text drawn by weight; None is a null."""
        total = sum(weights.values())
        bounds: list[float] = []
        for weight in weights.values():
            bounds.append((bounds[-1] if bounds else 0.0) + weight / total)
        index = pl.Series(bounds[:-1], dtype=pl.Float64).search_sorted(self.uniform(stream, rows, first), side="right")
        return pl.Series(stream, list(weights), dtype=pl.String).gather(index)
