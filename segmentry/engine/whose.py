"""Whose a destination is: its account, and what of the account it is. Both are pinned at first use, and are another name's never.

What is known of a destination (what it calls whom, who left there) is known by its name: so under one name there is one place for
good, and one place has one name.
"""

from __future__ import annotations

from collections.abc import Mapping

from segmentry.engine.connectors.destination import Destination
from segmentry.engine.state.outbox import Pinned

UNKNOWN = Pinned()


def whose(destination: Destination) -> Pinned:
    """What a destination says of itself. Raises whatever its connector raises."""
    return Pinned(destination.account() or None, destination.place() or None)


def mismatch(name: str, found: Pinned, said: str | None, pinned: Pinned) -> str | None:
    """Why a destination is not what it should be, if so. `said`: its `account:`; `pinned`: what it was first used with."""
    has = f"destination `{name}` has {_account(found.account)}"
    if said is not None and found.account != said:
        return f"{has}, and its `account:` says `{said}`"
    if pinned.account is not None and found.account != pinned.account:
        return f"{has}, and was first used with `{pinned.account}`: another account needs a destination of another name"
    if pinned.place is not None and found.place != pinned.place:
        kind = pinned.place.split()[0]
        is_now = f"destination `{name}` is {found.place or 'the whole account'}"
        return f"{is_now}, and was first used with {pinned.place}: another {kind} needs a destination of another name"
    return None


def namesake(name: str, found: Pinned, pinned: Mapping[str, Pinned], types: Mapping[str, str]) -> str | None:
    """Why a destination may not be used beside another that is the same place, if there is one; `types` are those of the workspace.

    A connector that says no place may be had by several names: what they keep in step may be told apart by other settings.
    """
    same = (other for other, one in sorted(pinned.items()) if other != name and found.place is not None and one == found)
    other = next((other for other in same if types.get(other) == types.get(name)), None)
    if other is None:
        return None
    return f"destination `{name}` is the same {found.place} as `{other}`, and neither knows who left by the other name: keep one of them"


def _account(account: str | None) -> str:
    return "no account that could be told" if account is None else f"account `{account}`"
