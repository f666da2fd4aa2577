"""What is wrong with a document, in words and at its place: what models refuse, and keys of features to come."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from segmentry.engine.yaml import Document, Steps
from segmentry.rules.diagnostics import Diagnostic
from segmentry.rules.suggest import nearest

M = TypeVar("M", bound=BaseModel)

EVERY = "*"
"""In the place of a key to come: every key, or every item of a list."""


def without_later(document: Document, later: Mapping[Steps, str]) -> tuple[dict[str, Any], list[Diagnostic]]:
    """The document's value without the keys of features to come, and a problem for each."""
    value: dict[str, Any] = dict(document.value)
    problems = []
    for steps, feature in later.items():
        value, found = _without(value, steps, ())
        problems += [_not_yet(document, place, feature) for place in found]
    return value, problems


def _without(value: Any, steps: Steps, place: Steps) -> tuple[Any, list[Steps]]:
    """The value without what stands at `steps`, and where that stood."""
    if steps[0] == EVERY and isinstance(value, list):
        done = [_without(item, steps[1:], (*place, index)) for index, item in enumerate(value)]
        return [item for item, _ in done], [found for _, places in done for found in places]
    if not isinstance(value, dict):
        return value, []
    if steps[0] == EVERY:
        inner = {key: _without(item, steps[1:], (*place, key)) for key, item in value.items()}
        return {key: item for key, (item, _) in inner.items()}, [found for _, places in inner.values() for found in places]
    if steps[0] not in value:
        return value, []
    if len(steps) == 1:
        return {key: item for key, item in value.items() if key != steps[0]}, [(*place, steps[0])]
    kept, places = _without(value[str(steps[0])], steps[1:], (*place, steps[0]))
    return {**value, str(steps[0]): kept}, places


def _not_yet(document: Document, steps: Steps, feature: str) -> Diagnostic:
    return Diagnostic(
        "W202",
        f"`{written_name(steps)}` is not in this version",
        location=document.key_location(steps),
        help="remove it",
        notes=(f"{feature} will come with a later version; nothing here would obey it",),
    )


def validated(document: Document, model: type[M], value: Any) -> tuple[M | None, list[Diagnostic]]:
    """The value as the model, or None and everything that is wrong with it."""
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        return None, problems_of(document, model, error)


def problems_of(
    document: Document, model: type[BaseModel], error: ValidationError, base: Steps = (), beside: tuple[str, ...] = ()
) -> list[Diagnostic]:
    """What a model refuses as diagnostics, each at its place; the model's value stands at `base`, where keys `beside` may stand too."""
    return [_diagnostic(document, model, problem, base, beside) for problem in error.errors(include_url=False)]


def as_written(document: Document, loc: Steps) -> Steps:
    """The steps that lead there in the file, where a list of one may be written without its brackets, and a mapping as its one name."""
    value: Any = document.value
    steps: list[str | int] = []
    for step in loc:
        if isinstance(step, int) and not isinstance(value, list):
            continue
        if isinstance(step, str) and not isinstance(value, dict):
            break
        steps.append(step)
        known = step < len(value) if isinstance(step, int) else step in value
        value = value[step] if known else None
    return tuple(steps)


def _diagnostic(document: Document, model: type[BaseModel], error: ErrorDetails, base: Steps, beside: tuple[str, ...]) -> Diagnostic:
    """One of pydantic's errors as a diagnostic at its place in the file."""
    within: Steps = tuple(step for step in error["loc"] if step != "[key]")
    steps = as_written(document, (*base, *within))
    kind = error["type"]
    context = error.get("ctx", {})
    if kind == "missing":
        inside = f"`{written_name(steps[:-1])}`" if len(steps) > 1 else document.file
        at = document.key_location(steps[:-1]) if len(steps) > 1 else document.location()
        return Diagnostic("W203", f"{inside} has no `{steps[-1]}`", location=at, help=f"add `{steps[-1]}:`")
    if kind == "extra_forbidden":
        keys = [*(beside if len(within) == 1 else ()), *_keys(model, within[:-1])]
        close = nearest(str(steps[-1]), keys)
        hint = f"did you mean `{close}`?" if close else f"the keys here are {', '.join(keys)}"
        return Diagnostic("W201", f"there is no key `{written_name(steps)}`", location=document.key_location(steps), help=hint)
    if error["loc"][-1:] == ("[key]",):
        return Diagnostic("W205", str(context.get("message", error["msg"])), location=document.key_location(steps))
    at = document.location(steps)
    if kind == "later":
        return Diagnostic("W202", f"{context['message']} is not in this version", location=at, help="remove it")
    if kind == "not_allowed":
        return Diagnostic("W205", f"`{written_name(steps)}`: {context['message']}", location=at, help=context.get("help"))
    if kind in _WANTED:
        return Diagnostic(
            "W204", f"`{written_name(steps)}` must be {_WANTED[kind]}, not {_kind(error['input'])}", location=at, help=_type_help(error)
        )
    return Diagnostic("W205", f"`{written_name(steps)}`: {_lower(error['msg'])}", location=at, help=_literal_help(error))


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
    if message.startswith("List should have at least 1 item"):
        return "this must not be empty"
    message = message.removeprefix("Value error, ").replace("Input should be", "this must be").replace("'", "`")
    return message[:1].lower() + message[1:]


def _keys(model: type[BaseModel], steps: Steps) -> list[str]:
    """The keys that may stand at `steps` within the model."""
    current: list[Any] = [model]
    for step in steps:
        current = [below for annotation in current for below in _below(annotation, step)]
    models = [annotation for annotation in current if isinstance(annotation, type) and issubclass(annotation, BaseModel)]
    return [field.alias or name for found in models for name, field in found.model_fields.items()]


def _below(annotation: Any, step: str | int) -> Iterator[Any]:
    """What may stand at a step below a value of this type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        found = annotation.model_fields.get(str(step))
        yield from _further(annotation) if found is None else _options(found.annotation)
    elif get_origin(annotation) in (dict, list, tuple):
        yield from _options(get_args(annotation)[1 if get_origin(annotation) is dict else 0])


def _further(model: type[BaseModel]) -> Iterator[Any]:
    """What may stand below names that the model leaves to whoever writes the file."""
    hint = get_type_hints(model, include_extras=True).get("__pydantic_extra__")
    if get_origin(hint) is dict:
        yield from _options(get_args(hint)[1])


def _options(annotation: Any) -> Iterator[Any]:
    """The types that an annotation allows, one by one."""
    if get_origin(annotation) is Annotated:
        yield from _options(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for option in get_args(annotation):
            yield from _options(option)
    else:
        yield annotation


def written_name(steps: Steps) -> str:
    """`events[1].scale`, as people write it."""
    text = ""
    for step in steps:
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if text else step
    return text
