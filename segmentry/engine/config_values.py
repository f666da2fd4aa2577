"""The values of workspace and segment files that are text of a certain form: what each must look like, and how it is read."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

from segmentry.rules.suggest import did_you_mean
from segmentry.rules.zones import is_zone, zone_names

SEGMENT_NAME = r"[a-z][a-z0-9_]*"
DECLARABLE = ("text", "integer", "number", "decimal(P,S)", "boolean", "timestamp", "date", "uuid", "list of text", "list of number")
"""What `fields` may say of a CSV or NDJSON column."""


@dataclass(frozen=True)
class Matching:
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


def _no_number(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise PydanticCustomError("not_allowed", "{message}", {"message": _SHARE, "help": f"did you mean `{value}%`?"})
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_LENGTH = re.compile(r"([0-9]{1,6}) ?(minutes?|hours?|h|days?|d|weeks?|w)")
_PERCENT = re.compile(r"([0-9]{1,6}(\.[0-9]{1,6})?) ?%")
_SHARE = "this must be a share in percent, like `30%` or `2.5%`"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Filled = Annotated[str, Matching(r"[\s\S]*\S[\s\S]*", "this must not be empty")]
Length = Annotated[str, Matching(_LENGTH.pattern, "this must be a length of time, like `30 days`, `12 hours` or `2 weeks`")]
Span = Annotated[
    str, Matching(f"(?!0+ ?[a-z])({_LENGTH.pattern})", "this must be a length of time above zero, like `72 hours`, `30 days` or `2 weeks`")
]
Percent = Annotated[str, Matching(_PERCENT.pattern, _SHARE), BeforeValidator(_no_number, json_schema_input_type=str)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Matching(SEGMENT_NAME, "a name here is lower-case letters, digits and `_`, a letter first")]
Names = Annotated[list[Name], BeforeValidator(_listed, json_schema_input_type=Name | list[Name])]
"""One name, or a list of names."""
Groups = Annotated[
    list[Name], Field(min_length=1), BeforeValidator(_listed, json_schema_input_type=Name | Annotated[list[Name], Field(min_length=1)])
]
"""One group of a split, or a list of them."""
Uuid = Annotated[str, AfterValidator(_uuid), Field(json_schema_extra={"format": "uuid"})]
Memory = Annotated[str, Matching(r"[0-9]+(\.[0-9]+)? ?([KMGT]i?B)", "this must be a size, like `4 GiB` or `512 MiB`")]
Zone = Annotated[str, AfterValidator(_known_zone)]
FieldType = Annotated[
    str,
    Matching(
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


def parse_percent(text: str) -> Fraction:
    """`30%`, `2.5%` as a share of 1, exactly; `text` has passed the models' check."""
    found = _PERCENT.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return Fraction(found[1]) / 100


class Model(BaseModel):
    """A mapping in a file: only the keys it says, each of exactly its type."""

    # built when it is first asked: a mapping within another is part of that one's validator, and needs none of its own
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=False, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """With the text below each field. Pydantic would read it too, but at import: a tenth of what starting a command takes."""
        made = handler(schema)
        properties = handler.resolve_ref_schema(made)["properties"]
        for name, text in _below_fields(cls).items():
            field = cls.model_fields[name]
            for called in (name, field.alias, field.validation_alias, field.serialization_alias):
                if isinstance(called, str) and called in properties:
                    properties[called].setdefault("description", text)
        return made


def _below_fields(model: type[BaseModel]) -> dict[str, str]:
    """The string below each field, by the field's name, those of the models that it is made of included; none where there is no source."""
    found: dict[str, str] = {}
    for one in reversed([base for base in model.__mro__ if issubclass(base, BaseModel) and base is not BaseModel]):
        try:
            written = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
        except (OSError, TypeError, SyntaxError):  # a package without its source, a model that was typed in or put together
            continue
        for field, below in pairwise(written.body if isinstance(written, ast.ClassDef) else ()):
            if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.target.id in model.model_fields):
                continue
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                found[field.target.id] = inspect.cleandoc(str(below.value.value))
    return found
