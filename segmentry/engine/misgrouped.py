"""Groups of divided segments, held against the second reading of `split:`: who is in another group by it, and the smallest case of that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from segmentry.engine.config import SegmentConfig
from segmentry.engine.moment import Moment
from segmentry.engine.render import cell, second
from segmentry.engine.splitting import split_of
from segmentry.verifying.groups import Division, Draw, division
from segmentry.verifying.people import Key


@dataclass(frozen=True)
class GroupCase:
    """A contact that two readings put into different groups of a segment (None: in none).

    `draws` is what decided by the second reading, group by group; `salt` what both were to divide by.
    """

    segment: str
    contact: Key
    as_of: datetime
    salt: str
    engine: str | None
    second: str | None
    draws: tuple[Draw, ...]

    def __str__(self) -> str:
        lines = [f"{self.segment}, contact {cell(self.contact)} at {second(self.as_of)}"]
        lines.append(f"  the groups of `{self.segment}`, salt {cell(self.salt)}")
        lines.append(f"  the engine says {_told(self.engine)}, the second reading {_told(self.second)}")
        for draw in self.draws:
            side = "below" if draw.is_in else "not below"
            lines.append(f"  {cell(draw.group)}: MD5 of {cell(draw.text)} is {float(draw.number):.9f}, {side} {float(draw.below):.9f}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        draws = [{"group": one.group, "text": one.text, "number": float(one.number), "below": float(one.below)} for one in self.draws]
        return {
            "segment": self.segment,
            "contact": self.contact,
            "as_of": self.as_of,
            "part": "split",
            "salt": self.salt,
            "engine": self.engine,
            "second": self.second,
            "draws": draws,
        }


def _told(group: str | None) -> str:
    return "in no group" if group is None else f"in {cell(group)}"


def division_of(name: str, config: SegmentConfig) -> Division | None:
    """How a segment's file divides it, for the second reading; None where it does not."""
    if config.split is None:
        return None
    groups = {group: (said.renamed_from, said.share) for group, said in config.split.groups.items()}
    return division(name, config.renamed_from, config.split.salt, groups)


@dataclass(frozen=True)
class Grouped:
    """The groups of some contacts twice, contact by contact: as the engine has them, and by the second reading (`divided`)."""

    keys: tuple[Key, ...]
    engine: tuple[str | None, ...]
    second: tuple[str | None, ...]
    divided: Division

    @property
    def differing(self) -> tuple[Key, ...]:
        """The contacts whose groups differ."""
        return tuple(key for key, one, other in zip(self.keys, self.engine, self.second, strict=True) if one != other)

    def case(self, segment: str, key: Key, as_of: datetime) -> GroupCase:
        """Why a contact is where the second reading has it."""
        place = self.keys.index(key)
        draws = tuple(self.divided.draws(key))
        return GroupCase(segment, key, as_of, self.divided.salt, self.engine[place], self.second[place], draws)


def grouped(moment: Moment, name: str, keys: pl.Series) -> Grouped | None:
    """The groups of a segment that these contacts are in; None where its file does not divide it."""
    config = moment.segment(name).config
    divided, split = division_of(name, config), split_of(name, config)
    if divided is None:
        return None
    own: tuple[Key, ...] = tuple(keys.to_list())
    engine = (None,) * len(own) if split is None else tuple(split.groups(keys).to_list())
    return Grouped(own, engine, tuple(map(divided.group, own)), divided)
