"""What may stand in `segmentry.yml` and in segment files about activation: who is enrolled, what guards it, who is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

from segmentry.engine.config_values import Count, Filled, Groups, Model, Name, Names, Percent, Span
from segmentry.engine.cron import CronProblem, require_cron

Cause = Literal["data", "time", "source", "list", "rule"]
Notice = Literal["held", "failed", "stale", "rejected", "unknown", "unconfirmed"]


class SnapshotGuard(Model):
    """`guards.snapshot`, which holds the whole run."""

    shrinks: Percent = "5%"
    """The share of the accepted run's contacts that may be gone."""
    older_than: Span = "48 hours"
    """How old the snapshot may be at the run's instant."""


class SuppressGuard(Model):
    """`guards.suppress`, which holds all delivery where so many are suppressed no more. Both must be passed."""

    leaves: Percent = "5%"
    """The share of the suppressed."""
    contacts: Count = 50
    """How many contacts."""


class SegmentGuard(Model):
    """`guards.segment`, which holds a segment. A percent and the count must both be passed."""

    enters: Percent = "30%"
    """The share of the accepted membership that may enter."""
    leaves: Percent = "30%"
    """The share of the accepted membership that may leave."""
    contacts: Count = 500
    """How many contacts."""


class SequenceGuard(Model):
    """`guards.sequence`, which holds a sequence's enrollments."""

    contacts: Count = 5000
    """How many contacts may be enrolled."""
    per: Span = "24 hours"
    """Within how long."""


class GuardsConfig(Model):
    """`guards:`, how much change is too much to go out unseen."""

    snapshot: SnapshotGuard = Field(default_factory=SnapshotGuard)
    gap: Span = "72 hours"
    """How old the accepted run may be; 3 times `schedule.every` where that is more."""
    suppress: SuppressGuard = Field(default_factory=SuppressGuard)
    segment: SegmentGuard = Field(default_factory=SegmentGuard)
    sequence: SequenceGuard = Field(default_factory=SequenceGuard)


class SegmentGuardOverride(Model):
    """`guards:` of a segment: what stands here goes before the workspace's `guards.segment`."""

    enters: Percent | None = None
    """The share of the accepted membership that may enter."""
    leaves: Percent | None = None
    """The share of the accepted membership that may leave."""
    contacts: Count | None = None
    """How many contacts."""

    def over(self, guard: SegmentGuard) -> SegmentGuard:
        """The workspace's guard with what stands here instead."""
        return guard.model_copy(update=self.model_dump(exclude_none=True))


class AgainAfter(Model):
    """`again: {after: 90 days}`."""

    after: Span
    """How long after the last enrollment in the sequence."""


def _again(value: Any) -> Any:
    if value in ("never", "every time") or isinstance(value, AgainAfter):
        return value
    try:
        return AgainAfter.model_validate(value)
    except ValidationError:
        message = "this must be `never`, `every time` or a length of time, like `{after: 90 days}`"
        raise PydanticCustomError("not_allowed", "{message}", {"message": message}) from None


Again = Annotated[
    Literal["never", "every time"] | AgainAfter,
    PlainValidator(_again, json_schema_input_type=Literal["never", "every time"] | AgainAfter),
]


class EnrollConfig(Model):
    """One of `enroll:`, a sequence that first-time entrants are enrolled in."""

    sequence: Name
    """The sequence's name in segmentry.yml."""
    again: Again = "never"
    """Whether a contact that left and came back is enrolled again: `never`, `every time`, or `{after: D}`."""
    backfill: bool = False
    """Whether those who are in when the sequence is attached are enrolled too, once."""
    on: Annotated[list[Cause], Field(min_length=1)] = Field(default=["data", "time", "source", "list"])
    """The causes of entry that enroll."""
    split: Groups | None = None
    """The groups of the segment's `split` that are enrolled; everybody where not said."""


def _entry(value: Any) -> Any:
    return {"sequence": value} if isinstance(value, str) else value


def _entries(value: Any) -> Any:
    if isinstance(value, list):
        return [_entry(item) for item in value]
    return [_entry(value)] if isinstance(value, str | Mapping) else value


Enroll = Annotated[list[EnrollConfig], BeforeValidator(_entries, json_schema_input_type=Name | EnrollConfig | list[Name | EnrollConfig])]
"""A sequence's name, a mapping, or a list of both."""


class JourneyConfig(Model):
    """`journey:` of a sequence, the step of a Mailchimp journey that an enrollment triggers. Both numbers are in the step's own URL."""

    id: Annotated[int, Field(ge=1)]
    """The journey's number."""
    step: Annotated[int, Field(ge=1)]
    """The step's number."""


class SequenceConfig(Model):
    """One of `sequences:`, something to enroll contacts in, at a destination."""

    destination: Name
    """The destination's name."""
    event: Annotated[Filled, Field(max_length=127)] | None = None
    """Klaviyo: the event that starts a flow."""
    tag: Annotated[Filled, Field(max_length=100)] | None = None
    """Mailchimp: the tag that starts an automation."""
    journey: JourneyConfig | None = None
    """Mailchimp: the journey that is triggered. Not repeat-safe: what may have been sent twice waits for a person."""
    expires: Span = "72 hours"
    """How long an enrollment may wait to be sent."""
    while_member: bool = True
    """Whether only those still in the segment are sent."""
    renamed_from: Names = Field(default_factory=list)
    """Names that the sequence had."""
    paused: bool = False
    """Whether nothing is sent, and entrants are noted as paused."""
    fields: dict[Filled, Filled] = Field(default_factory=dict)
    """What the destination is told beside who entered: a name there, and the contact column that has its value."""

    @property
    def words(self) -> dict[str, Any]:
        """What is said for the destination's type alone."""
        return self.model_dump(include={"event", "tag", "journey"}, exclude_none=True)


class SyncConfig(Model):
    """One of `sync:`, something at a destination that the segment is kept in step with."""

    destination: Name
    """The destination's name."""
    list_: Filled | None = Field(default=None, alias="list")
    """Klaviyo: the list's id."""
    tag: Annotated[Filled, Field(max_length=100)] | None = None
    """Mailchimp: the tag's name."""
    what: Annotated[list[Literal["changes", "members"]], Field(min_length=1)] | None = None
    """Files: what is written at every run."""
    mode: Literal["add", "mirror"] = "add"
    """`add` never removes anybody; `mirror` removes those whom this sync added."""
    existing: Literal["ask", "send", "skip"] = "ask"
    """What becomes of those who are in when the sync starts: a person is asked, all are sent, or only later entrants are."""
    split: Groups | None = None
    """The groups of the segment's `split` that it has; everybody where not said."""
    fields: dict[Filled, Filled] = Field(default_factory=dict)
    """What the destination is told of each contact: a name there, and the contact column that has its value."""

    @property
    def words(self) -> dict[str, Any]:
        """What is said for the destination's type alone."""
        said = {"list": self.list_, "tag": self.tag, "what": self.what}
        return {key: value for key, value in said.items() if value is not None}


def _syncs(value: Any) -> Any:
    return [value] if isinstance(value, Mapping) else value


Syncs = Annotated[list[SyncConfig], BeforeValidator(_syncs, json_schema_input_type=SyncConfig | list[SyncConfig])]
"""A mapping, or a list of mappings."""


class DestinationConfig(Model):
    """One of `destinations:`. What else stands in it is its type's own."""

    model_config = ConfigDict(extra="allow")

    type: Filled
    """The kind of destination, like `webhook` or `files`."""
    account: Filled | None = None
    """Whose account it must be; that of the first use where not said."""
    renamed_from: Names = Field(default_factory=list)
    """Names that the destination had."""

    @property
    def settings(self) -> dict[str, Any]:
        """What its type's own model takes: `type` and its keys as they are written, plain values, `${NAME}` unresolved."""
        return {"type": self.type, **(self.model_extra or {})}


class NotifyConfig(Model):
    """One of `notify:`, who hears of what needs a person. Exactly one of `post` and `run`."""

    on: Annotated[list[Notice], Field(min_length=1)]
    """What is told of."""
    post: Filled | None = None
    """The URL that is posted to; `${NAME}` is read from the environment when a notice is posted."""
    run: Filled | None = None
    """The command that is run; relative to the workspace."""


def _cron(value: str) -> str:
    try:
        require_cron(value)
    except CronProblem as problem:
        raise PydanticCustomError("not_allowed", "{message}", {"message": problem.message, "help": problem.hint}) from None
    return value


class ScheduleConfig(Model):
    """`schedule:`, when runs are made and when their entrants are still news. At most one of `every` and `cron`."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": {"required": ["every", "cron"]},
            "if": {"properties": {"on_change": {"const": True}}, "required": ["on_change"]},
            "then": {"anyOf": [{"required": ["every"]}, {"required": ["cron"]}]},
        }
    )

    every: Span | None = None
    """How often `segmentry schedule` makes a run."""
    cron: Annotated[str, AfterValidator(_cron), Field(json_schema_extra={"examples": ["5 * * * *"]})] | None = None
    """The times at which `segmentry schedule` makes a run: minute, hour, day of month, month and day of week, in the timezone."""
    on_change: bool = False
    """Whether it makes a run also when the files of contacts or events are other ones."""
    activate_within: Span = "48 hours"
    """How far a run's instant may lie behind the clock for its entrants to be enrolled."""
