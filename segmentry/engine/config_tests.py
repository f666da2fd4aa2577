"""What may stand under `tests:` of a segment: contacts that are made up, what happened to them, and whether they are in."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from segmentry.engine.config_values import Filled, Model, Name
from segmentry.engine.instants import instant


def _instant(value: str) -> str:
    try:
        instant(value)
    except ValueError:
        hint = "write it as 2026-01-31T09:00Z"
        raise PydanticCustomError("not_allowed", "{message}", {"message": f"`{value}` is no instant", "help": hint}) from None
    return value


class SegmentTestConfig(Model):
    """One of `tests:`: a contact that is made up, and whether it is in the segment."""

    name: Filled | None = None
    """What the test shows."""
    contact: dict[str, Any] = Field(default_factory=dict)
    """The contact's fields; those that are not here are missing. A time may be `{ago: 3 days}` or `{ahead: 3 days}`."""
    events: list[dict[str, Any]] = Field(default_factory=list)
    """The contact's events: each has `event`, its name; `ago` or `at`, its time; and its properties."""
    member: dict[Name, bool] = Field(default_factory=dict)
    """Segments that the contact is in, or is not, whatever their rules say."""
    as_of: Annotated[str, AfterValidator(_instant)] | None = None
    """The instant of the test; the instant of testing where not said."""
    split: Name | None = None
    """The group of the segment's split that the contact is in; its key must stand in `contact`."""
    in_: bool = Field(alias="in")
    """Whether the contact is in the segment."""
