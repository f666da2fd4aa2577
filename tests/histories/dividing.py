"""How people divide segments, and edit that: groups come, go, grow, shrink, change places and names."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from tests.histories.world import Segment, Split


def groups(draw: random.Random, split: Split) -> tuple[str, ...] | None:
    """Some groups of a split that are meant, or everybody."""
    names = sorted(split.names)
    return tuple(draw.sample(names, draw.randint(1, len(names)))) if draw.random() < 0.8 else None


def another_split(draw: random.Random, one: Segment, new_name: Callable[[], str]) -> Split:
    """A split of new groups, or of those that there are with other shares, names, order, or salt."""
    shares, salt = ([], None) if one.split is None else (list(one.split.shares), one.split.salt)
    match draw.randrange(7) if shares else -1:
        case 0:
            _, first, percent = shares.pop(draw.randrange(len(shares)))
            shares.append((new_name(), first, percent))
        case 1:
            draw.shuffle(shares)
        case 2 if len(shares) > 1:
            shares.pop(draw.randrange(len(shares)))
        case 3 | 4 | 5:  # nearly everybody moves, which guards are to notice
            salt = draw.choice([word for word in ("one", "two", "three") if word != salt])
        case _ if len(shares) < 3:
            shares += [(name, name, 0) for name in (new_name() for _ in range(draw.randint(1, 2)))]
    left, made = 100, []
    for place, (name, first, percent) in enumerate(shares):
        rest = len(shares) - place - 1
        share = left if not rest and draw.random() < 0.6 else draw.choice([percent, percent, draw.randint(5, 60)]) or 10
        made.append((name, first, max(min(share, left - rest), 1)))
        left -= made[-1][2]
    if len(one.formerly) > 1 and salt is None:  # by whichever of them it is divided has to be said
        salt = one.formerly[0]
    return Split(tuple(made), salt)


def divided_otherwise(draw: random.Random, one: Segment, split: Split | None) -> Segment:
    """The segment with another split: who was meant in a group that has another name is so still, of those that are gone others are."""
    called = {} if split is None else {first: name for name, first, _ in split.shares}
    now = {} if one.split is None else {name: called.get(first) for name, first, _ in one.split.shares}

    def meant(chosen: tuple[str, ...] | None) -> tuple[str, ...] | None:
        kept = tuple(known for known in map(now.get, chosen or ()) if known is not None)
        return kept or (None if split is None else groups(draw, split))

    enroll = tuple(replace(policy, split=meant(policy.split)) for policy in one.enroll)
    return replace(one, split=split, enroll=enroll, sync=tuple(replace(sync, split=meant(sync.split)) for sync in one.sync))
