"""What `destinations:` may say of the built-in types: a model each.

Beside its keys a model may say what stands in a sequence and in a sync of its type, and what must be known of them before a
destination is opened:

    sequence_words   of these keys of a sequence exactly one must stand; none may where there are none
    sync_words       the same of an entry of `sync:`; None where a segment can't be kept in step with such a destination
    traits           what must be known of sending, see `Traits`
    traits_for       the same, by a sequence's own words
    sync_traits      the same for syncs
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from segmentry.engine.config_values import Filled, Matching, Model
from segmentry.engine.connectors.destination import Traits

VARIABLE = r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}"
"""`${NAME}`, which stands for a variable of the environment."""

OF_EVERY_TYPE = ("account", "renamed_from")
"""Keys that may stand in every destination, which are no type's own."""


class _Settings(Model):
    # a refused value may be a secret that somebody wrote into the file
    model_config = ConfigDict(hide_input_in_errors=True)

    sequence_words: ClassVar[tuple[str, ...]] = ()
    sync_words: ClassVar[tuple[str, ...] | None] = ()


def _web_address(value: str) -> str:
    if "${" not in value and not value.lower().startswith(("https://", "http://")):
        message = "this must be an address that begins with `https://`, or be in the environment: `${NAME}`"
        raise PydanticCustomError("not_allowed", "{message}", {"message": message})
    return value


Secret = Annotated[
    str,
    Matching(VARIABLE, "a secret stands in the environment, never in this file: write `${NAME}`, the variable's name, and nothing else"),
]
Timeout = Annotated[str, Matching(r"([1-9]|[1-9][0-9]|1[01][0-9]|120) ?(s|seconds?)", "this must be 1 to 120 seconds, like `20 seconds`")]


class WebhookSettings(_Settings):
    """A receiver of signed webhooks (Standard Webhooks)."""

    type: Literal["webhook"]
    """`webhook`."""
    url: Annotated[Filled, AfterValidator(_web_address)] = Field(repr=False)
    """The receiver's address, https. May hold `${NAME}`: a variable of the environment."""
    secrets: Annotated[list[Secret], Field(min_length=1, max_length=3)] = Field(repr=False)
    """The signing secrets, each `${NAME}`. All sign, so that a receiver can change from one to the next."""
    batch: Annotated[int, Field(ge=1, le=1000)] = 1
    """Contacts in one request; above 1, `data` is a list."""
    format: Literal["standard", "cloudevents"] = "standard"
    """The body: plain, or CloudEvents 1.0 in structured mode. Both are signed."""
    allow_private: bool = False
    """Whether the receiver may be in a private network or on this machine, and be spoken to without TLS."""
    timeout: Timeout = "20 seconds"
    """How long one request may take in all, 1 to 120 seconds."""

    @property
    def traits(self) -> Traits:
        """What the sender, and a forecast, must know."""
        return Traits(batch=self.batch, parallel=8, per_minute=2400.0 * self.batch)

    @property
    def seconds(self) -> float:
        return float(self.timeout.rstrip("econds "))


class KlaviyoSettings(_Settings):
    """A Klaviyo account: segments keep lists in step, sequences are flows that an event starts."""

    type: Literal["klaviyo"]
    """`klaviyo`."""
    key: Secret = Field(repr=False)
    """The private API key, `${NAME}`."""
    url: Annotated[Filled, AfterValidator(_web_address)] = Field(default="https://a.klaviyo.com", repr=False)
    """Where the service is; a sandbox's address moves it there."""
    timeout: Timeout = "60 seconds"
    """How long one request may take in all, 1 to 120 seconds."""

    sequence_words: ClassVar[tuple[str, ...]] = ("event",)
    sync_words: ClassVar[tuple[str, ...] | None] = ("list",)

    @property
    def traits(self) -> Traits:
        """One event a request, of the 3,500 a minute that an account may; who it is about is read first, several in one request."""
        return Traits(batch=1, parallel=16, per_minute=2000.0, needs_address=True)

    @property
    def sync_traits(self) -> Traits:
        """Import jobs of thousands of profiles. A pace that leaves the account room for its other tools."""
        return Traits(batch=5000, parallel=2, per_minute=20_000.0, needs_address=True)

    @property
    def seconds(self) -> float:
        return float(self.timeout.rstrip("econds "))


class MailchimpSettings(_Settings):
    """An audience of a Mailchimp account: segments keep tags in step, sequences are automations that a tag starts, or journeys."""

    type: Literal["mailchimp"]
    """`mailchimp`."""
    key: Secret = Field(repr=False)
    """The API key, `${NAME}`; its end names the data centre."""
    audience: Filled
    """The audience's id."""
    new_contacts: Literal["skip", "transactional", "subscribed"]
    """What becomes of contacts that are not in the audience: left out, put in without marketing, or subscribed where `consent` holds."""
    consent: str | None = None
    """A rule: who has agreed to marketing by e-mail. `new_contacts: subscribed` needs it; others are left out then."""
    url: Annotated[Filled, AfterValidator(_web_address)] | None = Field(default=None, repr=False)
    """Where the service is; the key's data centre where not said. A sandbox's address moves it there."""
    timeout: Timeout = "120 seconds"
    """How long one request may take in all, 1 to 120 seconds."""

    sequence_words: ClassVar[tuple[str, ...]] = ("tag", "journey")
    sync_words: ClassVar[tuple[str, ...] | None] = ("tag",)

    @property
    def traits(self) -> Traits:
        """Five hundred a request. Of the ten connections that an account has, most are left to its other tools."""
        return Traits(batch=500, parallel=2, per_minute=15_000.0, needs_address=True)

    def traits_for(self, words: Mapping[str, Any]) -> Traits:
        """A journey is triggered one by one, and a second request would mail a second time."""
        return Traits(batch=1, parallel=4, per_minute=600.0, repeat_safe=False, needs_address=True) if "journey" in words else self.traits

    @property
    def sync_traits(self) -> Traits:
        """Five hundred a batch, which the service works off one operation after the other, so that none starts an automation."""
        return Traits(batch=500, parallel=2, per_minute=1500.0, needs_address=True)

    @property
    def seconds(self) -> float:
        return float(self.timeout.rstrip("econds "))


FILES = Traits(batch=100_000, parallel=1, per_minute=1_000_000.0)
"""A file takes many rows, and one is written at a time."""


class FilesSettings(_Settings):
    """A folder that files are put in, one a batch."""

    type: Literal["files"]
    """`files`."""
    path: Filled
    """The folder; relative to the workspace. May hold `${NAME}`: a variable of the environment."""
    format: Literal["parquet", "csv", "ndjson"]
    """What the files are."""

    sync_words: ClassVar[tuple[str, ...] | None] = ("what",)

    @property
    def traits(self) -> Traits:
        """What the sender, and a forecast, must know."""
        return FILES


class MemorySettings(_Settings):
    """A destination inside the process, which remembers what it was told: for trying things out and for tests."""

    type: Literal["memory"]
    """`memory`."""
    batch: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Contacts in one request."""
    parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """Requests side by side."""
    repeat_safe: bool = True
    """Whether it takes the same id twice for one thing."""
    needs_address: bool = False
    """Whether a contact without an e-mail address can't be told of."""

    sync_words: ClassVar[tuple[str, ...] | None] = ("list",)

    @property
    def traits(self) -> Traits:
        """What the sender, and a forecast, must know."""
        return Traits(self.batch, self.parallel, 60_000.0 * self.batch, self.repeat_safe, self.needs_address)
