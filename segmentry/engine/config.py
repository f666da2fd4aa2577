"""What may stand in `segmentry.yml` and in a segment file: the models, and what is wrong with a document.

Each model is the published format, key for key. A key that is known but whose feature this version doesn't have is in
`LATER`: building the feature means moving its line from there into a model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

from segmentry.engine.yaml import Document, Steps
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.suggest import did_you_mean, nearest
from segmentry.rules.zones import is_zone, zone_names

SEGMENT_NAME = r"[a-z][a-z0-9_]*"
DECLARABLE = ("text", "integer", "number", "decimal(P,S)", "boolean", "timestamp", "date", "uuid", "list of text", "list of number")
"""What `fields` may say of a CSV or NDJSON column."""

WORKSPACE_LATER: Mapping[Steps, str] = {
    ("suppress",): "suppression",
    ("guards",): "guards",
    ("notify",): "notices",
    ("schedule",): "the schedule",
    ("destinations",): "delivery to destinations",
    ("sequences",): "enrollment in sequences",
    ("contacts", "aliases"): "merging of re-keyed contacts",
}
SEGMENT_LATER: Mapping[Steps, str] = {
    ("renamed_from",): "renaming of segments",
    ("split",): "splits",
    ("priority",): "priorities",
    ("guards",): "guards",
    ("enroll",): "enrollment in sequences",
    ("sync",): "syncs to destinations",
    ("tests",): "tests of segments",
}
"""Keys of the format whose features are not built yet, by their place, and what the feature is called."""


@dataclass(frozen=True)
class _Matching:
    """Text that `pattern` matches whole, else `message`; the pattern stands in the JSON Schema too."""

    pattern: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^({self.pattern})$"}

    def _validate(self, value: str) -> str:
        if not re.fullmatch(self.pattern, value):
            raise PydanticCustomError("not_allowed", "{message}", {"message": self.message})
        return value


def _known_zone(value: str) -> str:
    if not is_zone(value):
        hint = did_you_mean(value, zone_names()) or "write an IANA name like `Europe/London`"
        raise PydanticCustomError("not_allowed", "{message}", {"message": f"there is no timezone `{value}`", "help": hint})
    return value


def _uuid(value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise PydanticCustomError("not_allowed", "{message}", {"message": "this is not a UUID; `segmentry init` writes one"}) from None


def _sqlite_only(value: str) -> str:
    if value.startswith("postgresql:"):
        raise PydanticCustomError("later", "{message}", {"message": "a PostgreSQL catalog"})
    if value != "sqlite":
        raise PydanticCustomError("not_allowed", "{message}", {"message": "this must be `sqlite`"})
    return value


def _never_delivers(value: bool) -> bool:
    if value:
        raise PydanticCustomError("later", "{message}", {"message": "delivery"})
    return value


def _only_default_week(value: str) -> str:
    if parse_length(value) != timedelta(days=7):
        raise PydanticCustomError("later", "{message}", {"message": "another retention of addresses than `7 days`"})
    return value


_LENGTH = re.compile(r"([0-9]{1,6}) ?(minutes?|hours?|h|days?|d|weeks?|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Filled = Annotated[str, _Matching(r"[\s\S]*\S[\s\S]*", "this must not be empty")]
Length = Annotated[str, _Matching(_LENGTH.pattern, "this must be a length of time, like `30 days`, `12 hours` or `2 weeks`")]
Memory = Annotated[str, _Matching(r"[0-9]+(\.[0-9]+)? ?([KMGT]i?B)", "this must be a size, like `4 GiB` or `512 MiB`")]
Zone = Annotated[str, AfterValidator(_known_zone)]
FieldType = Annotated[
    str,
    _Matching(
        r"text|integer|number|boolean|timestamp|date|uuid|list of (text|number)"
        r"|decimal\( ?([1-9]|[12][0-9]|3[0-8]) ?, ?([0-9]|[12][0-9]|3[0-8]) ?\)",
        f"this must be one of {', '.join(DECLARABLE)}",
    ),
]


def parse_length(text: str) -> timedelta:
    """`30 days`, `12 hours`, `2w` as a length; `text` has passed the models' check."""
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return timedelta(**{_UNITS[found[2][0]]: int(found[1])})


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True, populate_by_name=False)


class ContactsConfig(_Model):
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


class EventsConfig(_Model):
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


class EngineConfig(_Model):
    """`engine:`, what a run may use."""

    memory: Memory | None = None
    """The most memory DuckDB uses, like `4 GiB`; most of the machine's where not said."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Threads; the machine's cores where not said."""
    temp: Filled | None = None
    """The folder to spill into; relative to the workspace. Within the state folder where not said."""


class RetentionConfig(_Model):
    """`retention:`, how long what is kept."""

    memberships: Length = "30 days"
    """How long a run's memberships are kept. Changes are kept for good."""
    addresses: Annotated[Length, AfterValidator(_only_default_week)] = "7 days"
    """How long after their end deliveries keep addresses."""


class EnvironmentConfig(_Model):
    """One of `environments:`."""

    deliver: Annotated[bool, AfterValidator(_never_delivers), Field(json_schema_extra={"const": False})] = False
    """Whether this environment sends anything."""
    state: Filled | None = None
    """The state folder; `<state>/<environment>` where not said."""


class WorkspaceConfig(_Model):
    """`segmentry.yml`."""

    version: Literal[1]
    """The version of this file's format."""
    id: Annotated[str, AfterValidator(_uuid), Field(json_schema_extra={"format": "uuid"})]
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
    environments: dict[
        Annotated[str, _Matching(SEGMENT_NAME, "an environment's name is lower-case letters, digits and `_`")], EnvironmentConfig
    ] = Field(default_factory=dict)
    """`--env` or SEGMENTRY_ENV chooses one; `default` where neither does."""


class SegmentConfig(_Model):
    """A segment's file, `segments/NAME.yml`. Exactly one of `where`, `rules` and `list` says who is in."""

    label: Filled | None = None
    """What people call the segment; its name where not said."""
    description: str | None = None
    owner: Filled | None = None
    """Who answers for the segment."""
    tags: list[Filled] = Field(default_factory=list)
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


M = TypeVar("M", bound=_Model)


def read_workspace_config(document: Document) -> tuple[WorkspaceConfig | None, list[Diagnostic]]:
    """`segmentry.yml`'s content, or None; and every problem in it."""
    value, problems = _without_later(document, WORKSPACE_LATER)
    config, wrong = _validated(document, WorkspaceConfig, value)
    return config, [*problems, *wrong, *_event_problems(document)]


def read_segment_config(document: Document) -> tuple[SegmentConfig | None, list[Diagnostic]]:
    """A segment file's content, or None; and every problem in it beside those of the rule itself."""
    value, problems = _without_later(document, SEGMENT_LATER)
    if isinstance(value.get("where"), bool | int | float):
        value["where"] = document.written(("where",))
    config, wrong = _validated(document, SegmentConfig, value)
    return config, [*problems, *wrong, *_rule_problems(document)]


def _without_later(document: Document, later: Mapping[Steps, str]) -> tuple[dict[str, Any], list[Diagnostic]]:
    """The document's value without the keys of features to come, and a problem for each."""
    value = dict(document.value)
    problems = []
    for steps, feature in later.items():
        holder = value
        for step in steps[:-1]:
            inner = holder.get(str(step))
            holder[str(step)] = dict(inner) if isinstance(inner, dict) else inner
            holder = holder[str(step)] if isinstance(inner, dict) else {}
        if steps[-1] in holder:
            del holder[str(steps[-1])]
            problems.append(_not_yet(document, steps, feature))
    return value, problems


def _not_yet(document: Document, steps: Steps, feature: str) -> Diagnostic:
    return Diagnostic(
        "W202",
        f"`{_name(steps)}` is not in this version",
        location=document.key_location(steps),
        help="remove it",
        notes=(f"{feature} will come with a later version; nothing here would obey it",),
    )


def _validated(document: Document, model: type[M], value: dict[str, Any]) -> tuple[M | None, list[Diagnostic]]:
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        return None, [_diagnostic(document, model, problem) for problem in error.errors()]


def _diagnostic(document: Document, model: type[_Model], error: ErrorDetails) -> Diagnostic:
    """One of pydantic's errors as a diagnostic at its place in the file."""
    steps: Steps = tuple(step for step in error["loc"] if step != "[key]")
    kind = error["type"]
    context = error.get("ctx", {})
    if kind == "missing":
        inside = f"`{_name(steps[:-1])}`" if len(steps) > 1 else document.file
        at = document.key_location(steps[:-1]) if len(steps) > 1 else document.location()
        return Diagnostic("W203", f"{inside} has no `{steps[-1]}`", location=at, help=f"add `{steps[-1]}:`")
    if kind == "extra_forbidden":
        close = nearest(str(steps[-1]), _keys(model, steps[:-1]))
        hint = f"did you mean `{close}`?" if close else f"the keys here are {', '.join(_keys(model, steps[:-1]))}"
        return Diagnostic("W201", f"there is no key `{_name(steps)}`", location=document.key_location(steps), help=hint)
    if error["loc"][-1:] == ("[key]",):
        return Diagnostic("W205", str(context.get("message", error["msg"])), location=document.key_location(steps))
    at = document.location(steps)
    if kind == "later":
        return Diagnostic("W202", f"{context['message']} is not in this version", location=at, help="remove it")
    if kind == "not_allowed":
        return Diagnostic("W205", f"`{_name(steps)}`: {context['message']}", location=at, help=context.get("help"))
    if kind in _WANTED:
        return Diagnostic(
            "W204", f"`{_name(steps)}` must be {_WANTED[kind]}, not {_kind(error['input'])}", location=at, help=_type_help(error)
        )
    return Diagnostic("W205", f"`{_name(steps)}`: {_lower(error['msg'])}", location=at, help=_literal_help(error))


_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "`true` or `false`",
    "list_type": "a list",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
}


def _kind(value: object) -> str:
    names: dict[type, str] = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a mapping"}
    return names.get(type(value), "empty")


def _type_help(error: ErrorDetails) -> str | None:
    if error["type"] == "string_type" and isinstance(error["input"], bool | int | float):
        return "write it in quotes"
    if error["type"] == "list_type" and error["input"] is not None and not isinstance(error["input"], dict):
        return "write it in `[ ]`"
    if error["type"] in ("model_type", "dict_type"):
        return "write `key: value` lines below it"
    return None


def _literal_help(error: ErrorDetails) -> str | None:
    if error["type"] != "literal_error":
        return None
    allowed = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
    close = nearest(str(error["input"]), allowed)
    return f"did you mean `{close}`?" if close else None


def _lower(message: str) -> str:
    message = message.replace("Input should be", "this must be").replace("'", "`")
    return message[:1].lower() + message[1:]


def _keys(model: type[_Model], steps: Steps) -> list[str]:
    """The keys that may stand at `steps` within the model."""
    current: Any = model
    for step in steps:
        if isinstance(step, str) and isinstance(current, type) and issubclass(current, _Model):
            found = current.model_fields.get(step)
            current = next((m for m in _models(found.annotation)), None) if found else None
    if not (isinstance(current, type) and issubclass(current, _Model)):
        return []
    return [field.alias or name for name, field in current.model_fields.items()]


def _models(annotation: Any) -> list[type[_Model]]:
    """The models named anywhere within an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, _Model):
        return [annotation]
    return [model for inner in getattr(annotation, "__args__", ()) for model in _models(inner)]


def _name(steps: Steps) -> str:
    """`events[1].scale`, as people write it."""
    text = ""
    for step in steps:
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _event_problems(document: Document) -> list[Diagnostic]:
    """What the model can't say of event tables: exactly one of `name` and `event`."""
    events = document.value.get("events")
    problems = []
    for index, table in enumerate(events if isinstance(events, list) else []):
        if isinstance(table, dict) and ("name" in table) == ("event" in table):
            both = "name" in table
            problems.append(
                Diagnostic(
                    "W206",
                    f"`events[{index + 1}]` has {'both' if both else 'neither'} `name` {'and' if both else 'nor'} `event`",
                    location=document.key_location(("events", index, "event")) if both else document.location(("events", index)),
                    help="`name` is the column with the event's name, `event` the one event of the whole table: keep one"
                    if both
                    else "add `name: COLUMN` where a column has the event's name, or `event: NAME` where all rows are one event",
                )
            )
    return problems


def _rule_problems(document: Document) -> list[Diagnostic]:
    """Exactly one of `where`, `rules` and `list`; `match` only beside `rules`."""
    value = document.value
    forms = [key for key in ("where", "rules", "list") if key in value]
    problems = []
    if len(forms) > 1:
        message = f"a segment has one of `where`, `rules` and `list`; here are {len(forms)}"
        problems.append(
            Diagnostic("W206", message, location=document.key_location((forms[1],)), help=f"`{forms[0]}` stands above; keep one")
        )
    if not forms:
        at = document.location()
        problems.append(Diagnostic("W206", "this segment has no rule", location=at, help="add one of `where`, `rules` and `list`"))
    problems.extend(
        Diagnostic(
            "W204", f"`{form}` is empty", location=document.key_location((form,)), help='say who is in; `where: "true"` is everybody'
        )
        for form in forms
        if value[form] is None
    )
    if "match" in value and "rules" not in value:
        message = "`match` says how many of `rules` must hold, and there are no `rules`"
        problems.append(Diagnostic("W206", message, location=document.key_location(("match",)), help="remove it"))
    return problems
