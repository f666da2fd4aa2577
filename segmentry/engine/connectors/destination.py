"""The seam to destinations: what a connector is given, and what it says became of each row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Others = Callable[[Mapping[str, str]], Collection[str]]
"""Of contacts, and what each may be called at the destination, those whose name is another contact's: as syncs were answered till now."""


def nobody(names: Mapping[str, str]) -> Collection[str]:
    """`Others` where nothing is known of anybody."""
    del names
    return ()


@dataclass(frozen=True, slots=True)
class Row:
    """One thing to tell of one contact.

    `id` is lasting, the same whenever the row is sent: the receiver's idempotency key. `contact` is the key as text,
    `address` the normalised e-mail address (None where the contact has none). `data` is plain JSON values, ready to be
    sent: what happened, and the mapped `fields`. `consents`: whether the destination's `consent` rule holds for the contact.

    Who left under a former address is told nothing under another. `remote_ids`: what the destination calls the contact, or called it;
    `shared`: those of them that are another contact's too, who stays as it is there. `formers`: addresses that it had till now.
    """

    id: str
    contact: str
    address: str | None
    data: Mapping[str, Any]
    consents: bool = False
    remote_ids: tuple[str, ...] = ()
    shared: frozenset[str] = frozenset()
    formers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that go in one request. `id` was stored before the first attempt; it and the rows are the same at every attempt.

    A batch of one row has the row's id. `type` is what happened (`enrollment.created`), `at` when it did (UTC). `target` names
    what of the destination it is for: the sequence's name. `words` are the sequence's own for its destination's type, as they
    are written: `{"event": "Entered VIP"}`. `others` is asked where a person was found by what nobody told of the row (`remote_ids`).
    """

    id: str
    type: str
    at: datetime
    target: str
    rows: tuple[Row, ...]
    words: Mapping[str, Any] = field(default_factory=dict)
    others: Others = field(default=nobody, compare=False, repr=False)


class Verdict(StrEnum):
    """What became of a row."""

    SENT = "sent"
    """The destination has it."""
    REJECTED = "rejected"
    """The destination refuses this row. `again` says whether a later attempt may fare better."""
    LATER = "later"
    """Not now: throttled, unreachable, out of order. `maybe` says that it may have been applied all the same."""
    UNKNOWN = "unknown"
    """It may have been applied, and asking again could repeat it: a person decides."""
    LEFT = "left"
    """Of a sync: the person unsubscribed, was archived, or was taken off there by hand, and is never put back."""
    SKIPPED = "skipped"
    """Of a sync: the destination's settings keep this contact out (`new_contacts: skip`, no consent); that may change."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A row's verdict. `reason` is fit to be shown and kept: no address, no secret. `after`: seconds the destination asks to wait.

    `status` is what the destination says of the person (`subscribed`, `cleaned`), where it says so. `readdressed`: it is the same
    person there under another address, who is called by `remote_id` from now on, whoever asks. `before`: it left as the person that it
    was before (`Change.former_ids`), not as the one that it is told as. `another`: of an update, whoever is called so has another address,
    and is another contact too.
    """

    verdict: Verdict
    reason: str | None = None
    remote_id: str | None = None
    again: bool = False
    after: float | None = None
    maybe: bool = False
    status: str | None = None
    readdressed: bool = False
    before: bool = False
    another: bool = False


@dataclass(frozen=True, slots=True)
class Traits:
    """What the sender must know of a destination.

    `batch`: rows in one request at most. `parallel`: requests side by side at most. `per_minute`: rows a minute at the
    destination's pace, for forecasts. `repeat_safe`: the same id sent twice is one thing to the receiver.
    `needs_address`: a contact without an e-mail address can't be told of.
    """

    batch: int = 1
    parallel: int = 1
    per_minute: float = 6000.0
    repeat_safe: bool = True
    needs_address: bool = False


class DestinationStopped(Exception):  # noqa: N818 - named by what happened
    """The whole destination must stop: a refused key, a wrong address, a receiver that is gone. Its text is fit to be shown.

    `disabled`: the receiver asked never to be told again (410), so it stays stopped until somebody resumes it.
    """

    def __init__(self, reason: str, *, disabled: bool = False) -> None:
        super().__init__(reason)
        self.disabled = disabled


class Destination(ABC):
    """One destination, opened for delivering; closed when that ends.

    `send` is called from up to `traits.parallel` threads at once, each with a batch of its own of at most `traits.batch`
    rows. It gives one answer per row, in the rows' order. It calls `before()` immediately before every single request, also
    when it tries again within the call; what `before` raises passes through it unchanged, and no request follows. It never
    raises for what the other side does: that is an answer, or DestinationStopped where no row could fare better.
    """

    traits: Traits

    @abstractmethod
    def account(self) -> str | None:
        """Whose account this is, as text that may be stored and shown; None where there is nothing to tell accounts apart by.

        It is pinned at first use: a later key of another account is refused.
        """

    def place(self) -> str | None:
        """What it is that has people, as a noun and an id that may be stored and shown (`audience ab12cd34ef`, `account Ab12Cd`).

        It is pinned with the account: what is known of who is there is known of this place, and by one name only. None: that is no matter.
        """
        return None

    @abstractmethod
    def send(self, batch: Batch, before: Callable[[], None]) -> Sequence[Answer]:
        """Tells of the rows: an answer each. Raises DestinationStopped, and whatever `before` raises."""

    def close(self) -> None:  # noqa: B027 - many have nothing to let go of
        """Lets go of connections. Called once."""
