"""Who is in which group of a split, a second time: by `hashlib` and the description alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fractions import Fraction


def group(key: object, shares: Mapping[str, int | Fraction], salt: str) -> str | None:
    """Each group takes its part, in percent of all, of who is left, by a number of its own between 0 and 1."""
    left = Fraction(1)
    for name, percent in shares.items():
        number = int(hashlib.md5(f"{salt}:{name}:{key}".encode()).hexdigest()[:15], 16)
        if left and Fraction(number, 16**15) < Fraction(percent) / 100 / left:
            return name
        left -= Fraction(percent) / 100
    return None
