"""Which group of a divided segment a contact is in, read from `split:` as it is written: a number of its own for each group.

It shares nothing with the engine's reading: digits are read as a number, and a part is a fraction, where the engine compares texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from segmentry.verifying.people import Key

DIGITS = 15


@dataclass(frozen=True, slots=True)
class Group:
    """A group: its name, the name that it had first, and its share of all contacts as written (`12.5%`)."""

    name: str
    first_name: str
    share: str

    @property
    def of_all(self) -> Fraction:
        """The share as a part of 1."""
        return Fraction(Decimal(self.share.replace("%", "").strip())) / 100


@dataclass(frozen=True, slots=True)
class Draw:
    """What decided about one group: the text whose MD5 was looked at, the number in [0, 1) that it gave, and the part it must be below."""

    group: str
    text: str
    number: Fraction
    below: Fraction

    @property
    def is_in(self) -> bool:
        return self.number < self.below


@dataclass(frozen=True)
class Division:
    """How a segment is divided: what salts it, and its groups in their order."""

    salt: str
    groups: Sequence[Group]

    def draws(self, key: Key) -> list[Draw]:
        """The draws of a contact, up to the one that it is in by."""
        found: list[Draw] = []
        others = Fraction(1)
        for group in self.groups:
            text = f"{self.salt}:{group.first_name}:{key}"
            number = Fraction(int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:DIGITS], 16), 16**DIGITS)
            # of whoever no group above has taken; where those took everybody, nobody is left to ask
            below = min(Fraction(1), group.of_all / others) if others > 0 else Fraction(0)
            found.append(Draw(group.name, text, number, below))
            if found[-1].is_in:
                break
            others -= group.of_all
        return found

    def group(self, key: Key) -> str | None:
        """The group of the contact with this key (UUIDs as text); None: it is in none."""
        draws = self.draws(key)
        return draws[-1].group if draws and draws[-1].is_in else None


def division(segment: str, former_names: Sequence[str], salt: str | None, groups: Mapping[str, tuple[str | None, str]]) -> Division:
    """A segment's `split:`. `groups` has of each group its `renamed_from` and its share, `former_names` what the segment was called.

    Without a salt it is the name that the segment had first.
    """
    first = next(iter(former_names), segment)
    return Division(first if salt is None else salt, [Group(name, former or name, share) for name, (former, share) in groups.items()])
