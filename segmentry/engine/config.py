"""What `segmentry.yml` and a segment file say, as models, and everything that is wrong with one document by itself.

The models are in `config_models` and `config_activation`. A key that is known but whose feature this version doesn't
have is in `LATER`: building the feature means moving its line from there into a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segmentry.engine.config_activation import (
    AgainAfter,
    DestinationConfig,
    EnrollConfig,
    GuardsConfig,
    NotifyConfig,
    ScheduleConfig,
    SegmentGuard,
    SegmentGuardOverride,
    SequenceConfig,
    SequenceGuard,
    SnapshotGuard,
    SuppressGuard,
    SyncConfig,
)
from segmentry.engine.config_models import (
    ContactsConfig,
    EngineConfig,
    EnvironmentConfig,
    EventsConfig,
    RetentionConfig,
    SegmentConfig,
    WorkspaceConfig,
)
from segmentry.engine.config_problems import validated, without_later
from segmentry.engine.config_values import DECLARABLE, SEGMENT_NAME, parse_length, parse_percent
from segmentry.engine.yaml import Document, Steps
from segmentry.rules.diagnostics import Diagnostic

__all__ = [
    "DECLARABLE",
    "SEGMENT_LATER",
    "SEGMENT_NAME",
    "WORKSPACE_LATER",
    "AgainAfter",
    "ContactsConfig",
    "DestinationConfig",
    "EngineConfig",
    "EnrollConfig",
    "EnvironmentConfig",
    "EventsConfig",
    "GuardsConfig",
    "NotifyConfig",
    "RetentionConfig",
    "ScheduleConfig",
    "SegmentConfig",
    "SegmentGuard",
    "SegmentGuardOverride",
    "SequenceConfig",
    "SequenceGuard",
    "SnapshotGuard",
    "SuppressGuard",
    "SyncConfig",
    "WorkspaceConfig",
    "parse_length",
    "parse_percent",
    "read_segment_config",
    "read_workspace_config",
]

WORKSPACE_LATER: Mapping[Steps, str] = {}
SEGMENT_LATER: Mapping[Steps, str] = {}
"""Keys of the format whose features are not built yet, by their place, and what the feature is called."""


def read_workspace_config(document: Document) -> tuple[WorkspaceConfig | None, list[Diagnostic]]:
    """`segmentry.yml`'s content, or None; and every problem in it."""
    value, problems = without_later(document, WORKSPACE_LATER)
    _rule_as_text(document, value, "suppress")
    config, wrong = validated(document, WorkspaceConfig, value)
    return config, [
        *problems,
        *wrong,
        *_event_problems(document),
        *_notice_problems(document),
        *_schedule_problems(document),
        *_empty_problems(document),
    ]


def read_segment_config(document: Document) -> tuple[SegmentConfig | None, list[Diagnostic]]:
    """A segment file's content, or None; and every problem in it beside those of the rule itself."""
    value, problems = without_later(document, SEGMENT_LATER)
    _rule_as_text(document, value, "where")
    config, wrong = validated(document, SegmentConfig, value)
    return config, [*problems, *wrong, *_rule_problems(document)]


def _rule_as_text(document: Document, value: dict[str, Any], key: str) -> None:
    """A rule like `true` or `1` is text, though YAML reads it as something else."""
    if isinstance(value.get(key), bool | int | float):
        value[key] = document.written((key,))


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


def _notice_problems(document: Document) -> list[Diagnostic]:
    """Exactly one of `post` and `run` in each of `notify:`."""
    notices = document.value.get("notify")
    problems = []
    for index, notice in enumerate(notices if isinstance(notices, list) else []):
        if isinstance(notice, dict) and ("post" in notice) == ("run" in notice):
            both = "post" in notice
            problems.append(
                Diagnostic(
                    "W206",
                    f"`notify[{index + 1}]` has {'both' if both else 'neither'} `post` {'and' if both else 'nor'} `run`",
                    location=document.key_location(("notify", index, "run")) if both else document.location(("notify", index)),
                    help="keep one; a second entry may have the other" if both else "add `post: URL` or `run: COMMAND`",
                )
            )
    return problems


def _schedule_problems(document: Document) -> list[Diagnostic]:
    """At most one of `every` and `cron`; and one of them where there is `on_change`."""
    schedule = document.value.get("schedule")
    if not isinstance(schedule, dict):
        return []
    if "every" in schedule and "cron" in schedule:
        at = document.key_location(("schedule", "cron"))
        return [Diagnostic("W206", "`schedule` has both `every` and `cron`", location=at, help="keep one")]
    if schedule.get("on_change") and not schedule.keys() & {"every", "cron"}:
        at = document.key_location(("schedule", "on_change"))
        hint = "add `every: 1 hour`: segments change with the time too, and somebody must hear of files that do not come"
        return [Diagnostic("W206", "`schedule` has `on_change` and neither `every` nor `cron`", location=at, help=hint)]
    return []


def _empty_problems(document: Document) -> list[Diagnostic]:
    """A `suppress:` with nothing behind it: whoever wrote it meant somebody."""
    if document.value.get("suppress", "") is not None:
        return []
    at = document.key_location(("suppress",))
    return [Diagnostic("W204", "`suppress` is empty", location=at, help="say who is never sent anything, or remove it")]


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
