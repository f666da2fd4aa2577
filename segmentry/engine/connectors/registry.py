"""The types of destinations: the built-in ones, and those that other packages bring. It opens one, and loads no other.

A package brings a type by an entry point of the group `segmentry.destinations`, named as the type, that loads a class:

    class Destination:
        Settings: type[pydantic.BaseModel]      # what may stand in `destinations:`; `type` is a key of it too
        @classmethod
        def open(cls, name, settings, context) -> segmentry.engine.connectors.destination.Destination

`settings` is a `Settings` with every `${NAME}` replaced; a field that may hold a secret is declared with `repr=False`. What
may stand in a destination of any type (`account`, `renamed_from`) is not in it. `traits` of a `Settings`, an attribute or a
property, is what must be known of the destination before it is opened (default: `Traits()`); no variable is replaced in it.
Where segments can be kept in step with it (a `SyncDestination`), `Settings.sync_words` says by which key of `sync:`.
A `type` that is built in can't be brought by a package.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from segmentry.engine.connectors.destination import Destination, Traits
from segmentry.engine.connectors.settings import (
    OF_EVERY_TYPE,
    VARIABLE,
    FilesSettings,
    KlaviyoSettings,
    MailchimpSettings,
    MemorySettings,
    WebhookSettings,
)
from segmentry.errors import DestinationError
from segmentry.rules.suggest import did_you_mean

GROUP = "segmentry.destinations"


@dataclass(frozen=True, slots=True)
class Context:
    """What a destination is opened in. `workspace` is the workspace's id, `root` its folder."""

    root: Path
    environ: Mapping[str, str] = field(repr=False)
    workspace: str
    environment: str
    clock: Callable[[], datetime] = field(repr=False)


_BUILT_IN: Mapping[str, tuple[type[BaseModel], str, str]] = {
    "files": (FilesSettings, "segmentry.engine.connectors.files", "FilesDestination"),
    "klaviyo": (KlaviyoSettings, "segmentry.engine.connectors.klaviyo", "KlaviyoDestination"),
    "mailchimp": (MailchimpSettings, "segmentry.engine.connectors.mailchimp", "MailchimpDestination"),
    "memory": (MemorySettings, "segmentry.engine.connectors.memory", "MemoryDestination"),
    "webhook": (WebhookSettings, "segmentry.engine.connectors.webhook", "WebhookDestination"),
}
"""Type: its settings, and where its class is, which is imported when one is opened."""


def type_names() -> list[str]:
    """Every `type` that a destination may have here, in alphabetical order."""
    return sorted({*_BUILT_IN, *entry_points(group=GROUP).names})


def settings_model(type: str) -> type[BaseModel] | None:
    """What may stand beside `type`; None for a type that nobody brings. Raises DestinationError if who brings it is broken."""
    if type in _BUILT_IN:
        return _BUILT_IN[type][0]
    brought = _brought(type)
    return None if brought is None else _settings_of(brought, _loaded(brought))


def traits_of(settings: Mapping[str, Any], words: Mapping[str, Any] | None = None) -> Traits:
    """What must be known of a destination before it is opened, as its `Settings` say; no variable of the environment is read.

    `words` are a sequence's own for this type, where it is about one sequence.
    """
    model = settings_model(str(settings.get("type")))
    read = None if model is None else model.model_validate(_own(settings))
    by_words = getattr(read, "traits_for", None)
    found = by_words(words) if callable(by_words) and words is not None else getattr(read, "traits", None)
    return found if isinstance(found, Traits) else Traits()


def sync_traits_of(settings: Mapping[str, Any]) -> Traits:
    """What must be known of a destination that segments are kept in step with, before it is opened."""
    model = settings_model(str(settings.get("type")))
    found = None if model is None else getattr(model.model_validate(_own(settings)), "sync_traits", None)
    return found if isinstance(found, Traits) else traits_of(settings)


def words_of(type: str) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """The keys of which exactly one must stand in a sequence of this type, and in a sync (None: it can't be synced)."""
    model = settings_model(type)
    return getattr(model, "sequence_words", ()), getattr(model, "sync_words", None)


def open_destination(name: str, settings: Mapping[str, Any], context: Context) -> Destination:
    """The destination, ready to be told. `settings` is what stands under its name in the workspace's file.

    Here, and nowhere else, `${NAME}` becomes what the environment says. Raises DestinationError.
    """
    type = str(settings.get("type"))
    model = settings_model(type)
    if model is None:
        hint = did_you_mean(type, type_names()) or f"there are {', '.join(type_names())}"
        raise DestinationError(f"destination `{name}`: there is no type `{type}`; {hint}")
    try:
        checked = model.model_validate(_own(settings))
    except ValidationError as error:
        raise DestinationError(f"destination `{name}`: {_problems(error)}") from None
    resolved = checked.model_copy(update={key: _resolved(value, name, context) for key, value in checked if key != "type"})
    opened: Destination = _class_of(type).open(name, resolved, context)
    return opened


def _own(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is the type's own to read."""
    return {key: value for key, value in settings.items() if key not in OF_EVERY_TYPE}


def _class_of(type: str) -> Any:
    if type in _BUILT_IN:
        _, module, name = _BUILT_IN[type]
        return getattr(import_module(module), name)
    brought = _brought(type)
    assert brought is not None, "its settings were found"
    return _loaded(brought)


def _brought(type: str) -> EntryPoint | None:
    """The entry point of a type. Two packages that bring the same one are a mistake that nobody here can settle."""
    found = list({point.value: point for point in entry_points(group=GROUP, name=type)}.values())
    if len(found) > 1:
        raise DestinationError(f"several packages bring the destination type `{type}` ({', '.join(map(_package, found))}); uninstall one")
    return found[0] if found else None


def _loaded(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        raise DestinationError(f"the destination type `{point.name}`, of {_package(point)}, can't be loaded: {error}") from error


def _settings_of(point: EntryPoint, loaded: Any) -> type[BaseModel]:
    model = getattr(loaded, "Settings", None)
    if not (isinstance(model, type) and issubclass(model, BaseModel) and callable(getattr(loaded, "open", None))):
        raise DestinationError(f"the destination type `{point.name}`, of {_package(point)}, has no `Settings` or no `open`")
    return model


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value


def _resolved(value: Any, name: str, context: Context) -> Any:
    """The value with what the environment says in place of each `${NAME}`, however deep."""
    if isinstance(value, str):
        return re.sub(VARIABLE, lambda found: _variable(found[1], name, context), value)
    if isinstance(value, BaseModel):
        return value.model_copy(update={key: _resolved(inner, name, context) for key, inner in value})
    if isinstance(value, Mapping):
        return {key: _resolved(inner, name, context) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_resolved(inner, name, context) for inner in value]
    return value


def _variable(variable: str, name: str, context: Context) -> str:
    value = context.environ.get(variable, "").strip()
    if not value:
        state = "empty" if variable in context.environ else "not set"
        raise DestinationError(f"destination `{name}`: the environment variable {variable} is {state}; set it where Segmentry delivers")
    return value


def _problems(error: ValidationError) -> str:
    """What is wrong, by key, and never the value: it may be a secret."""
    places = ((".".join(str(step) for step in problem["loc"]), problem["msg"]) for problem in error.errors(include_url=False))
    return "; ".join(f"`{place}`: {message}" for place, message in places)
