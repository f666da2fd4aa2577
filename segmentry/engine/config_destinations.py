"""What is wrong with `destinations:`: each is held against its type's own model, and no secret stands in the file, or in a message.

The types are imported only where a workspace names one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from segmentry.engine.config_names import named
from segmentry.engine.config_problems import problems_of, written_name
from segmentry.engine.yaml import Document, Steps
from segmentry.errors import DestinationError
from segmentry.rules.diagnostics import Diagnostic, Severity
from segmentry.rules.suggest import did_you_mean

OF_EVERY_TYPE = ("account", "renamed_from")
"""Keys that may stand in every destination beside `type` and its type's own."""

SECRETS = frozenset({"key", "keys", "api_key", "secret", "secrets", "signing_secret", "token", "access_token", "password"})
"""Keys, of whatever type, whose values are secrets."""

ONE_PLACE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "klaviyo": (("account", "account"), ("key", "account")),
    "mailchimp": (("audience", "audience"),),
}
"""By type the keys by any of which two destinations with one `url` are one place by two names, and what that is."""

NEW_CONTACTS = "new_contacts"

MISSING: Mapping[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("mailchimp", NEW_CONTACTS): (
        "add `new_contacts: skip`, `transactional` or `subscribed`: there is no default",
        (
            "`skip`: contacts who are not in the audience are left out",
            "`transactional`: they are put in without marketing, and get no campaigns",
            "`subscribed`: they are subscribed where `consent`, a rule, holds; others are skipped and counted",
        ),
    ),
}
"""By type and key: what to add where a key is missing that only a person can answer for, and what each answer means."""

_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_PASSWORD = re.compile(r"://[^/@\s]*:([^/@\s]+)@")


def destination_problems(document: Document) -> list[Diagnostic]:
    """Every problem of destinations that their types know of, and secrets in plain text."""
    problems = [_in_plain_text(document, steps) for steps in _plain_secrets(document)]
    told = {problem.location for problem in problems}
    for name, entry in named(document, "destinations").items():
        if isinstance(entry, dict) and isinstance(entry.get("type"), str) and entry["type"].strip():
            problems += [problem for problem in _problems_of(document, name, entry) if problem.location not in told]
    return problems + _one_by_two_names(document)


def consent_texts(document: Document) -> dict[str, str]:
    """By destination, the rule of who has agreed to be told: `consent`, which is a rule wherever a type takes it."""
    return {
        name: entry["consent"]
        for name, entry in named(document, "destinations").items()
        if isinstance(entry, dict) and isinstance(entry.get("consent"), str) and "consent" in _fields(entry.get("type"))
    }


def consent_place(name: str) -> Steps:
    """Where the rule of a destination's `consent` stands."""
    return ("destinations", name, "consent")


def without_secrets(document: Document, problems: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The problems of a document, none of which shows a line with a secret: it would go to logs."""
    secret = {document.location(steps).line for steps in (*_plain_secrets(document), *_guarded(document))}
    return [
        replace(problem, location=replace(problem.location, text=""))
        if problem.location is not None and problem.location.file == document.file and problem.location.line in secret
        else problem
        for problem in problems
    ]


def _problems_of(document: Document, name: str, entry: Mapping[str, Any]) -> list[Diagnostic]:
    """What its type says of one destination."""
    written = entry["type"]
    at = document.location(("destinations", name, "type"))
    try:
        model, known = _model(written)
    except DestinationError as error:
        return [Diagnostic("W205", str(error), location=at)]
    if model is None:
        hint = did_you_mean(written, known) or f"there are {', '.join(known)}"
        return [Diagnostic("W205", f"there is no destination type `{written}`", location=at, help=hint)]
    consent = _consent_problems(document, name, entry) if "consent" in model.model_fields else []
    return _held_against(document, name, entry, model) + consent


def _held_against(document: Document, name: str, entry: Mapping[str, Any], model: type[BaseModel]) -> list[Diagnostic]:
    """What is wrong with one destination by its type's model."""
    try:
        settings = model.model_validate({key: value for key, value in entry.items() if key not in OF_EVERY_TYPE})
    except ValidationError as error:
        told = zip(problems_of(document, model, error, ("destinations", name), OF_EVERY_TYPE), error.errors(include_url=False), strict=True)
        return [_answerable(problem, str(entry["type"]), detail) for problem, detail in told]
    contacts = document.value.get("contacts")
    if _needs_address(settings) and isinstance(contacts, dict) and contacts.get("email") is None:
        at = document.key_location(("destinations", name))
        message = f"`{name}` needs addresses, and `contacts` names no column with them"
        return [Diagnostic("W311", message, location=at, help="add `email: COLUMN` to `contacts`")]
    return []


def _one_by_two_names(document: Document) -> list[Diagnostic]:
    """Destinations that are one place: what is known of it, who left there above all, is known by one of their names alone."""
    problems, first = [], dict[tuple[str, ...], str]()
    for name, entry in named(document, "destinations").items():
        if not isinstance(entry, dict):
            continue
        written, url = str(entry.get("type")), str(entry.get("url", ""))
        said = [(key, what) for key, what in ONE_PLACE.get(written, ()) if entry.get(key) is not None]
        others = [(first.setdefault((written, url, key, str(entry[key]).strip()), name), what) for key, what in said]
        other, what = next(((other, what) for other, what in others if other != name), (None, ""))
        if other is not None:
            message = f"`{other}` and `{name}` are one {what} by two names, and who left by one of them would not be known to the other"
            help = "keep one of them, and name that one in every `sync` and in every sequence"
            problems.append(Diagnostic("W330", message, location=document.key_location(("destinations", name)), help=help))
    return problems


def _needs_address(settings: BaseModel) -> bool:
    """Whether enrollments or syncs are told of by address there."""
    return any(getattr(getattr(settings, traits, None), "needs_address", False) for traits in ("traits", "sync_traits"))


def _answerable(problem: Diagnostic, written: str, detail: ErrorDetails) -> Diagnostic:
    """The problem with what each answer means, where the key that is missing has no default because only a person can say it."""
    missing = MISSING.get((written, str(detail["loc"][-1]))) if detail["type"] == "missing" else None
    return problem if missing is None else replace(problem, help=missing[0], notes=missing[1])


def _consent_problems(document: Document, name: str, entry: Mapping[str, Any]) -> list[Diagnostic]:
    """`consent` where it decides who is subscribed, and only there."""
    place, wanted = consent_place(name), entry.get(NEW_CONTACTS)
    if "consent" in entry and entry["consent"] is None:
        help = "say who has agreed to marketing by e-mail, or remove it"
        return [Diagnostic("W204", f"`{written_name(place)}` is empty", location=document.key_location(place), help=help)]
    if wanted == "subscribed" and "consent" not in entry:
        return [
            Diagnostic(
                "W206",
                "`new_contacts: subscribed` needs `consent`",
                location=document.location((*place[:-1], NEW_CONTACTS)),
                help="add `consent: RULE`, who has agreed to marketing by e-mail; or write `skip` or `transactional`",
            )
        ]
    if wanted in ("skip", "transactional") and "consent" in entry:
        return [
            Diagnostic(
                "W319",
                f"`consent` decides nothing beside `new_contacts: {wanted}`",
                Severity.WARNING,
                location=document.key_location(place),
                help="it says who is subscribed, and nobody is: remove it, or write `new_contacts: subscribed`",
            )
        ]
    return []


def _model(written: str) -> tuple[type[BaseModel] | None, list[str]]:
    """What may stand in a destination of this type, and the types there are. Raises DestinationError."""
    from segmentry.engine.connectors import registry  # noqa: PLC0415  (a workspace without destinations starts without them)

    model = registry.settings_model(written)
    return model, [] if model is not None else registry.type_names()


def _in_plain_text(document: Document, steps: Steps) -> Diagnostic:
    at = document.location(steps)
    key = next(str(step) for step in reversed(steps) if isinstance(step, str))
    shown = ".".join(str(step) for step in steps if isinstance(step, str))
    return Diagnostic(
        "W309",
        f"`{shown}` holds a secret in plain text" if key in SECRETS else f"`{shown}` holds a password in plain text",
        location=at,
        help="put it into an environment variable, and write `${NAME}` here",
        notes=("whoever can read this file, or what it is copied to, has it: replace it where it was issued, too",),
    )


def _plain_secrets(document: Document) -> Iterator[Steps]:
    """Where secrets stand as they are: under a key for them, or as the password within an address."""
    notices = document.value.get("notify")
    posts = [(("notify", index, "post"), entry.get("post")) for index, entry in enumerate(notices or ()) if isinstance(entry, dict)]
    for steps, value in (*_texts(("destinations",), named(document, "destinations")), *posts):
        if not isinstance(value, str):
            continue
        secret = any(step in SECRETS for step in steps[2:])
        password = _PASSWORD.search(value)
        if (secret and value.strip() and not _VARIABLE.search(value)) or (password and not _VARIABLE.search(password[1])):
            yield steps


def _guarded(document: Document) -> Iterator[Steps]:
    """Where values stand that may be secrets, even beside a `${NAME}`, or which their type won't show; addresses apart."""
    for name, entry in named(document, "destinations").items():
        if not isinstance(entry, dict):
            continue
        hidden = _hidden(entry.get("type"))
        for steps, value in _texts(("destinations", name), entry):
            if (steps[2] in SECRETS or steps[2] in hidden) and not _VARIABLE.fullmatch(value):
                yield steps


def _hidden(written: object) -> frozenset[str]:
    """The keys whose values a type won't show."""
    return frozenset(field.alias or name for name, field in _fields(written).items() if not field.repr and name != "url")


def _fields(written: object) -> Mapping[str, FieldInfo]:
    """What may stand in a destination of this type; nothing where no such type can be had."""
    if not isinstance(written, str):
        return {}
    try:
        model, _ = _model(written)
    except DestinationError:
        return {}
    return {} if model is None else model.model_fields


def _texts(steps: Steps, value: object) -> Iterator[tuple[Steps, str]]:
    """Every text within a value, numbers as text too, and where it stands."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        yield steps, str(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts((*steps, key), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts((*steps, index), inner)
