"""What may stand in `segmentry.yml` and in a segment file, as models: the published format, key for key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from segmentry.engine.config_activation import (
    DestinationConfig,
    Enroll,
    GuardsConfig,
    NotifyConfig,
    ScheduleConfig,
    SegmentGuardOverride,
    SequenceConfig,
    Syncs,
)
from segmentry.engine.config_tests import SegmentTestConfig
from segmentry.engine.config_values import SEGMENT_NAME, FieldType, Filled, Length, Matching, Memory, Model, Names, Percent, Uuid, Zone

_NAMED = "'s name is lower-case letters, digits and `_`, a letter first"

DestinationName = Annotated[str, Matching(SEGMENT_NAME, f"a destination{_NAMED}")]
SequenceName = Annotated[str, Matching(SEGMENT_NAME, f"a sequence{_NAMED}")]
GroupName = Annotated[str, Matching(SEGMENT_NAME, f"a group{_NAMED}")]
EnvironmentName = Annotated[str, Matching(SEGMENT_NAME, "an environment's name is lower-case letters, digits and `_`")]


def _sqlite_only(value: str) -> str:
    if value.startswith("postgresql:"):
        raise PydanticCustomError("later", "{message}", {"message": "a PostgreSQL catalog"})
    if value != "sqlite":
        raise PydanticCustomError("not_allowed", "{message}", {"message": "this must be `sqlite`"})
    return value


class ContactsConfig(Model):
    """`contacts:`, the contact snapshot."""

    path: Filled
    """A file, a glob, a folder of hive folders or a `{date}` template; relative to the workspace."""
    key: Filled
    """The column with the contact's key: an integer, text or UUID, unique and set."""
    ready: Filled | None = None
    """A marker file without which the snapshot does not exist yet; may have `{date}` as `path` has."""
    email: Filled | None = None
    """The column with the e-mail address."""
    phone: Filled | None = None
    """The column with the phone number."""
    fields: dict[str, FieldType] = Field(default_factory=dict)
    """Types of columns that CSV or NDJSON can't tell."""
    aliases: Filled | None = Field(default=None, exclude=True)  # says nothing of who is in: no part of a run's definitions
    """A file with `old_key` and `new_key` of contacts that were merged or re-keyed; relative to the workspace."""


class EventsConfig(Model):
    """One of `events:`, an event table."""

    path: Filled
    """A file, a glob, a folder of hive folders or a `{date}` template; relative to the workspace."""
    contact: Filled
    """The column with the contact's key."""
    at: Filled
    """The column with the event's time: a timestamp (without a zone: UTC) or a date."""
    name: Filled | None = None
    """The column with the event's name, where the table has several events."""
    event: Filled | None = None
    """The event's name, where the table has one event."""
    scale: Annotated[int, Field(ge=0, le=18)] = 6
    """How many places of float properties are kept in sums."""
    ready: Filled | None = None
    """A marker file without which the table does not exist yet."""
    fields: dict[str, FieldType] = Field(default_factory=dict)
    """Types of columns that CSV or NDJSON can't tell."""


class EngineConfig(Model):
    """`engine:`, what a run may use."""

    memory: Memory | None = None
    """What a run is to use, like `4 GiB`; DuckDB gets what keys and bitmaps leave of it. Most of the machine's where not said."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads; the machine's cores where not said."""
    temp: Filled | None = None
    """The folder to spill into; relative to the workspace. Within the state folder where not said."""


class RetentionConfig(Model):
    """`retention:`, how long what is kept."""

    memberships: Length = "30 days"
    """How long a run's memberships are kept. Changes are kept for good."""
    addresses: Length = "7 days"
    """How long after their end deliveries keep addresses."""


class EnvironmentConfig(Model):
    """One of `environments:`."""

    deliver: bool = False
    """Whether this environment sends anything."""
    state: Filled | None = None
    """The state folder; `<state>/<environment>` where not said."""


class WorkspaceConfig(Model):
    """`segmentry.yml`."""

    version: Literal[1]
    """The version of this file's format."""
    id: Uuid
    """The workspace's own UUID, written by `segmentry init`; never changed, never copied to another workspace."""
    name: Filled | None = None
    """The workspace's name; its folder's where not said."""
    timezone: Zone = "UTC"
    """The timezone of dates, days and months: an IANA name."""
    week_start: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = "monday"
    """The day a week begins with."""
    state: Filled = ".segmentry"
    """The folder for everything that runs write; relative to the workspace."""
    catalog: Annotated[str, AfterValidator(_sqlite_only), Field(json_schema_extra={"enum": ["sqlite"]})] = "sqlite"
    """Where the catalog is: `sqlite`, in the state folder."""
    engine: EngineConfig = Field(default_factory=EngineConfig)
    retention: RetentionConfig = Field(default_factory=RetentionConfig)
    contacts: ContactsConfig
    events: list[EventsConfig] = Field(default_factory=list)
    suppress: str | None = None
    """A rule: whom it holds for is never sent anywhere."""
    guards: GuardsConfig = Field(default_factory=GuardsConfig)
    notify: list[NotifyConfig] = Field(default_factory=list)
    """Who hears of runs that are held or fail, and of deliveries that need a person."""
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    destinations: dict[DestinationName, DestinationConfig] = Field(default_factory=dict)
    """Where enrollments are sent, by name."""
    sequences: dict[SequenceName, SequenceConfig] = Field(default_factory=dict)
    """What contacts are enrolled in, by name."""
    environments: dict[EnvironmentName, EnvironmentConfig] = Field(default_factory=dict)
    """`--env` or SEGMENTRY_ENV chooses one; `default` where neither does."""


class PriorityConfig(Model):
    """`priority:` of a segment. A contact is in at most one segment of a group: of those it would be in, the one with the smallest rank."""

    group: GroupName
    """The group's name."""
    rank: Annotated[int, Field(ge=1)]
    """1 goes before 2. Every segment of a group has a rank of its own."""


class GroupConfig(Model):
    """One group of a `split:`; short for `{share: 45%}` is `45%`."""

    share: Percent
    """Its share of all contacts."""
    renamed_from: GroupName | None = None
    """The name that it had first: who is in it goes by that."""


def _group(value: Any) -> Any:
    return value if isinstance(value, Mapping | GroupConfig) else {"share": value}


class SplitConfig(Model):
    """`split:` of a segment, which divides it into groups: a name and a share for each. Their order counts, and they are stable."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"propertyNames": {"pattern": f"^({SEGMENT_NAME})$"}, "minProperties": 1})

    __pydantic_extra__: dict[str, Annotated[GroupConfig, BeforeValidator(_group, json_schema_input_type=Percent | GroupConfig)]]

    salt: Filled | None = None
    """What divides it so, and not otherwise: another salt gives other groups. The segment's first name where not said."""

    @property
    def groups(self) -> dict[str, GroupConfig]:
        """The groups, in the file's order."""
        return dict(self.__pydantic_extra__)


class SegmentConfig(Model):
    """A segment's file, `segments/NAME.yml`. Exactly one of `where`, `rules` and `list` says who is in."""

    label: Filled | None = None
    """What people call the segment; its name where not said."""
    description: str | None = None
    owner: Filled | None = None
    """Who answers for the segment."""
    tags: list[Filled] = Field(default_factory=list)
    renamed_from: Names = Field(default_factory=list)
    """Names that the segment had."""
    where: str | None = None
    """The rule as text."""
    match: Literal["all", "any", "none"] | None = None
    """How many of `rules` must hold; `all` where not said."""
    rules: list[Any] | None = None
    """The rule as a tree of field, operator and value."""
    list_: Filled | None = Field(default=None, alias="list")
    """A file of contact keys, one a line or a column named as the key; relative to the workspace."""
    include: Filled | None = None
    """A file of contact keys that are in whatever the rule says."""
    exclude: Filled | None = None
    """A file of contact keys that are out whatever else says."""
    priority: PriorityConfig | None = None
    """The group in which a contact is in at most one segment, and which segments there go before this one."""
    split: SplitConfig | None = None
    """The groups that the segment is divided into, like `{holdout: 10%, a: 45%, b: 45%}`; `enroll` and `sync` choose among them."""
    guards: SegmentGuardOverride | None = None
    """What goes before the workspace's `guards.segment` here."""
    enroll: Enroll = Field(default_factory=list)
    """The sequences that first-time entrants are enrolled in."""
    sync: Syncs = Field(default_factory=list)
    """What is kept in step with the segment."""
    tests: list[SegmentTestConfig] = Field(default_factory=list)
    """Contacts that are made up, and whether each is in: `segmentry test` runs them."""
