"""Splits: a segment divided into named groups, by a hash of the contact's key alone.

The first group takes its share of all contacts; the second its part of those who are left, and so on. For each group a contact has
a number of its own, the first 15 hex digits of md5(salt ':' group ':' key), and is in it if these are, as text, below that part of
16^15: just as `sample` reads them. So nothing is stored, every machine finds the same groups, and

    an edit of a group moves nobody in the groups that stand above it;
    a group that grows while no other does keeps everybody it has;
    where those below it go on in the same proportions, nobody moves but into it.

Who is in no group is beyond shares that come to less than 100 %.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any

import polars as pl

from segmentry.engine.config_values import parse_percent
from segmentry.errors import NotFound

if TYPE_CHECKING:
    from segmentry.engine.config import SegmentConfig
    from segmentry.engine.loading import LoadedWorkspace

DIGITS = 15
"""How many hex digits of a digest are looked at."""

EVERYBODY = "g"
"""As a threshold: every hex digit is below it."""

GROUP = "group"


@dataclass(frozen=True, slots=True)
class Share:
    """One group: `seed` is the name that its numbers are made with, the one that it had first; `share` is of all contacts."""

    name: str
    seed: str
    share: Fraction


@dataclass(frozen=True)
class Split:
    """How a segment is divided. The order of the groups counts."""

    salt: str
    shares: tuple[Share, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(share.name for share in self.shares)

    def called_as(self, other: Split) -> Split:
        """The same groups by the names that they have in another split; one that is not there has none that another has there."""
        names = {share.seed: share.name for share in other.shares}
        gone = {name: f"{name} before" if name in other.names else name for name in self.names}
        return Split(self.salt, tuple(replace(share, name=names.get(share.seed, gone[share.name])) for share in self.shares))

    @cached_property
    def steps(self) -> tuple[tuple[str, bytes, str], ...]:
        """Of each group its name, what stands before a key where its number is made, and the text that this number must be below."""
        left, found = Fraction(1), []
        for one in self.shares:
            digits = ceil(one.share / left * 16**DIGITS) if left else 0
            threshold = EVERYBODY if digits >= 16**DIGITS else f"{digits:0{DIGITS}x}"
            found.append((one.name, f"{self.salt}:{one.seed}:".encode(), threshold))
            left -= one.share
        return tuple(found)

    def group(self, key: str) -> str | None:
        """The group of the contact with this key, as text; None: it is in none."""
        written = key.encode()
        for name, before, threshold in self.steps:
            if hashlib.md5(before + written, usedforsecurity=False).hexdigest()[:DIGITS] < threshold:
                return name
        return None

    def groups(self, keys: pl.Series) -> pl.Series:
        """The group of each; of who has no key, none. A million take a second or two."""
        texts = keys.cast(pl.String()).to_list()
        return pl.Series(GROUP, [None if text is None else self.group(text) for text in texts], pl.String())

    def to_json(self) -> dict[str, Any]:
        groups = [{"name": one.name, "seed": one.seed, "share": str(one.share)} for one in self.shares]
        return {"salt": self.salt, "groups": groups}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Split:
        return cls(value["salt"], tuple(Share(one["name"], one["seed"], Fraction(one["share"])) for one in value["groups"]))


def split_of(name: str, config: SegmentConfig) -> Split | None:
    """How a segment's file divides it. Where it says no salt, that is the name that the segment had first."""
    said = config.split
    if said is None:
        return None
    salt = said.salt or (config.renamed_from[0] if config.renamed_from else name)
    shares = [Share(group, one.renamed_from or group, parse_percent(one.share)) for group, one in said.groups.items()]
    return Split(salt, tuple(shares))


def splits_of(workspace: LoadedWorkspace) -> dict[str, Split]:
    """How the files divide segments, by segment."""
    found = {name: split_of(name, segment.config) for name, segment in workspace.segments.items()}
    return {name: split for name, split in found.items() if split is not None}


def chosen_splits(configs: Mapping[str, SegmentConfig]) -> dict[str, Split]:
    """How their files divide these segments, of those that they do. NotFound where none is divided."""
    found = {name: split for name, config in configs.items() if (split := split_of(name, config)) is not None}
    if not found:
        raise NotFound(f"{', '.join(f'`{name}`' for name in configs) or 'a rule'} has no `split`, so no groups")
    return found


def splits_that_stand(workspace: LoadedWorkspace, accepted: Mapping[str, Split]) -> dict[str, Split]:
    """How segments are divided for whoever is enrolled or synced: as accepted, and as in the file where a group is new there.

    Groups have the names that the file gives them.
    """
    found = {}
    for name, said in splits_of(workspace).items():
        config = workspace.segments[name].config
        chosen = [*(entry.split for entry in config.enroll), *(entry.split for entry in config.sync)]
        asked = {group for groups in chosen for group in groups or ()}
        then = accepted[name].called_as(said) if name in accepted else None
        found[name] = then if then is not None and asked <= set(then.names) else said
    return found


def splits_to_json(splits: Mapping[str, Split]) -> dict[str, Any]:
    """As a run keeps them."""
    return {name: split.to_json() for name, split in sorted(splits.items())}


def splits_from_json(value: Mapping[str, Any]) -> dict[str, Split]:
    """As a run has kept them."""
    return {name: Split.from_json(one) for name, one in value.items()}


def inside(split: Split, chosen: Iterable[str], keys: pl.Series) -> pl.Series:
    """Whether each contact is in one of these groups."""
    return split.groups(keys).is_in(list(chosen)).fill_null(value=False)


def among(members: pl.Series, keys: pl.Series, split: Split | None, chosen: Sequence[str] | None) -> pl.Series:
    """Of the members, a bitmap over the keys, those in these groups: all where no groups are chosen, nobody where there are none."""
    if chosen is None:
        return members
    places = members.arg_true()
    return members.clone().scatter(places, inside(split, chosen, keys.gather(places)) if split is not None else False)


def in_another_group(segment: str, count: int) -> str:
    """What is said of members whose group is another one."""
    return f"{segment}: {count:,} of its members in another group of its split than before; none of them entered or exited by it"


def regrouped(members: pl.Series, before: Split, now: Split) -> int:
    """How many of these contacts are in another group than before; a group under another name is the same."""
    if before == now:
        return 0
    return int(before.called_as(now).groups(members).ne_missing(now.groups(members)).sum())
