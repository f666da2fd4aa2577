"""What people do at the other side, while a sync goes on: those who are mailed, and those of the account who do things by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from segmentry.sandbox.klaviyo_state import World
from segmentry.sandbox.klaviyo_upserts import upsert


def _add(world: World, *, list: str, email: str) -> None:
    known = world.find("email", email)
    if known is None:
        known, _ = upsert(world, {"type": "profile", "attributes": {"email": email}})
    world.add_member(world.named_list(list), known.id)


def _remove(world: World, *, list: str, email: str) -> None:
    world.remove_member(world.named_list(list), world.person(email).id)


def _delete(world: World, *, email: str) -> None:
    world.delete(world.person(email))


def _flow(world: World, *, list: str, status: str = "live", flow: str = "Welcome") -> None:
    world.set_flow(list, status=status, flow=flow)


DOINGS: Mapping[str, Callable[..., Any]] = {
    "unsubscribe": World.unsubscribe,
    "subscribe": World.subscribe,
    "suppress": World.suppress,
    "unsuppress": World.unsuppress,
    "invalid": World.make_invalid,
    "delete": _delete,
    "add": _add,
    "remove": _remove,
    "flow": _flow,
}
"""By name; all take `email`, `add` and `remove` a `list` too, and `flow` a `list`, a `status` and a name, `flow`."""
