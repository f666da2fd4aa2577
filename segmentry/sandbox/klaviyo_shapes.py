"""What the bodies of requests to the Klaviyo stand-in may say; a key that is not named here is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from segmentry.sandbox.klaviyo_problems import Problem, RefusedError

Check = Callable[[Any, str, list[Problem]], None]
"""Looks at a value that stands where a pointer says, and adds what is wrong with it."""

_SAID = {str: "a string", bool: "a boolean", int: "a number", float: "a number", dict: "an object", list: "an array", type(None): "null"}


def check_body(check: Check, said: Any) -> None:
    """Raises RefusedError (400) with everything that is wrong with a body."""
    problems: list[Problem] = []
    check(said, "", problems)
    if problems:
        raise RefusedError(400, problems)


def text(*, null: bool = False, least: int = 0, most: int = 100 * 1024) -> Check:
    """A string so and so long."""

    def check(value: Any, at: str, problems: list[Problem]) -> None:
        if value is None and null:
            return
        if not isinstance(value, str):
            problems.append(_wrong(value, "a string", at))
        elif not least <= len(value) <= most:
            problems.append(_invalid(f"This must have {least} to {most} characters.", at))

    return check


def one_of(*values: str, null: bool = False) -> Check:
    """One of some strings."""

    def check(value: Any, at: str, problems: list[Problem]) -> None:
        if value not in values and not (value is None and null):
            problems.append(_invalid(f"{value!r} is not one of {', '.join(values)}.", at))

    return check


def flag(value: Any, at: str, problems: list[Problem]) -> None:
    """True, false or null."""
    if not isinstance(value, bool | None):
        problems.append(_wrong(value, "a boolean", at))


def number(value: Any, at: str, problems: list[Problem]) -> None:
    """A number or null."""
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        problems.append(_wrong(value, "a number", at))


def place(value: Any, at: str, problems: list[Problem]) -> None:
    """A latitude or a longitude: a number, or text with one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | None):
        problems.append(_wrong(value, "a number", at))


def anything(*, null: bool = False, most: int = 10_000) -> Check:
    """An object with so many keys of any name."""

    def check(value: Any, at: str, problems: list[Problem]) -> None:
        if value is None and null:
            return
        if not isinstance(value, dict):
            problems.append(_wrong(value, "an object", at))
        elif len(value) > most:
            problems.append(_invalid(f"This has {len(value)} properties, and may have {most}.", at))

    return check


def names(value: Any, at: str, problems: list[Problem]) -> None:
    """A string or several."""
    if not (isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))):
        problems.append(_wrong(value, "a string or an array of strings", at))


def items(of: Check, *, least: int = 0, most: int) -> Check:
    """A list of so and so many."""

    def check(value: Any, at: str, problems: list[Problem]) -> None:
        if not isinstance(value, list):
            problems.append(_wrong(value, "an array", at))
        elif not least <= len(value) <= most:
            problems.append(_invalid(f"This has {len(value)} items, and may have {least} to {most}.", at))
        else:
            for index, one in enumerate(value):
                of(one, f"{at}/{index}", problems)

    return check


def record(fields: Mapping[str, Check], *, need: tuple[str, ...] = (), null: bool = False) -> Check:
    """An object with these keys and no other; `need` are those that must be there."""

    def check(value: Any, at: str, problems: list[Problem]) -> None:
        if value is None and null:
            return
        if not isinstance(value, dict):
            problems.append(_wrong(value, "an object", at))
            return
        for name, said in value.items():
            field = fields.get(name)
            if field is None:
                problems.append(_invalid(f"'{name}' is not a valid field here.", f"{at}/{name}"))
            else:
                field(said, f"{at}/{name}", problems)
        problems.extend(_required(name, at) for name in need if name not in value)

    return check


def resource(type: str, attributes: Check | None = None, *, id: bool = False, **more: Check) -> Check:
    """A resource of a type, with an id if it needs one."""
    fields: dict[str, Check] = {"type": one_of(type), "id": text(null=not id, least=1), **more}
    if attributes is None:
        return record(fields, need=("type", "id") if id else ("type",))
    return record({**fields, "attributes": attributes}, need=("type", "id", "attributes") if id else ("type", "attributes"))


def data(of: Check, **more: Check) -> Check:
    """`{"data": ...}`."""
    return record({"data": of, **more}, need=("data",))


def _wrong(value: Any, wanted: str, at: str) -> Problem:
    return _invalid(f"This is {_SAID.get(type(value), 'something else')}, and must be {wanted}.", at)


def _invalid(detail: str, at: str) -> Problem:
    return Problem("invalid", "Invalid input.", detail, at or "/")


def _required(name: str, at: str) -> Problem:
    return Problem("required", "Required field.", f"'{name}' is a required field.", f"{at}/{name}")


_TEXTS = "email phone_number external_id first_name last_name organization locale title image".split()
_PLACES = "address1 address2 city country region zip timezone ip".split()

LOCATION = record({**{name: text(null=True) for name in _PLACES}, "latitude": place, "longitude": place}, null=True)
_ATTRIBUTES: Mapping[str, Check] = {**{name: text(null=True) for name in _TEXTS}, "location": LOCATION, "properties": anything(null=True)}
_META = record({"patch_properties": record({"append": anything(null=True), "unappend": anything(null=True), "unset": names})})
PROFILE = resource("profile", record(_ATTRIBUTES), meta=_META)
_ONE_PROFILE_WITH_META_INSIDE = data(resource("profile", record({**_ATTRIBUTES, "meta": _META})))

UPSERT = data(PROFILE)
_LISTS = record({"lists": data(items(resource("list", id=True), most=100))})
IMPORT_JOB = data(
    resource(
        "profile-bulk-import-job",
        record({"profiles": data(items(PROFILE, least=1, most=10_000))}, need=("profiles",)),
        relationships=_LISTS,
    )
)
NEW_LIST = data(
    resource(
        "list",
        record({"name": text(least=1, most=255), "opt_in_process": one_of("single_opt_in", "double_opt_in", null=True)}, need=("name",)),
    )
)
MEMBERS = data(items(resource("profile", id=True), least=1, most=1000))
EVENT = data(
    resource(
        "event",
        record(
            {
                "properties": anything(most=400),
                "time": text(null=True),
                "value": number,
                "value_currency": text(null=True),
                "unique_id": text(null=True, least=1),
                "backfill": flag,
                "metric": data(resource("metric", record({"name": text(least=1, most=127), "service": text(null=True)}, need=("name",)))),
                "profile": _ONE_PROFILE_WITH_META_INSIDE,
            },
            need=("properties", "metric", "profile"),
        ),
    )
)

_LIST = record({"list": data(resource("list", id=True))})
_CONSENT = record({"consent": one_of("SUBSCRIBED"), "consented_at": text(null=True)}, need=("consent",))
_NO_CONSENT = record({"consent": one_of("UNSUBSCRIBED")}, need=("consent",))


def _consents(consent: Check) -> Check:
    channel = record({"marketing": consent, "transactional": consent})
    return record({"email": channel, "sms": channel})


def _profiles_for(job: str, profile: Check, most: int, **more: Check) -> Check:
    many = data(items(resource("profile", profile), least=1, most=most))
    return data(resource(job, record({"profiles": many, **more}, need=("profiles",)), relationships=_LIST))


_WHO: Mapping[str, Check] = {"email": text(null=True), "phone_number": text(null=True)}
SUBSCRIBE_JOB = _profiles_for(
    "profile-subscription-bulk-create-job",
    record({**_WHO, "subscriptions": _consents(_CONSENT)}, need=("subscriptions",)),
    1000,
    custom_source=text(null=True),
    historical_import=flag,
)
UNSUBSCRIBE_JOB = _profiles_for(
    "profile-subscription-bulk-delete-job", record({**_WHO, "subscriptions": _consents(_NO_CONSENT)}, need=("subscriptions",)), 100
)
SUPPRESS_JOB = _profiles_for("profile-suppression-bulk-create-job", record({"email": text()}, need=("email",)), 100)
UNSUPPRESS_JOB = _profiles_for("profile-suppression-bulk-delete-job", record({"email": text()}, need=("email",)), 100)
DELETION_JOB = data(
    resource(
        "data-privacy-deletion-job",
        record({"profile": data(record({"type": one_of("profile"), "id": text(), "attributes": record(_WHO)}))}, need=("profile",)),
    )
)
