"""The published JSON Schemas of `segmentry.yml` and of segment files, for editors that complete and check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from segmentry.engine.config import SegmentConfig, WorkspaceConfig
from segmentry.engine.connectors.settings import FilesSettings, KlaviyoSettings, MailchimpSettings, MemorySettings, WebhookSettings
from segmentry.rules.builder import builder_schema

BUILT_IN: Mapping[str, type[BaseModel]] = {
    "files": FilesSettings,
    "klaviyo": KlaviyoSettings,
    "mailchimp": MailchimpSettings,
    "memory": MemorySettings,
    "webhook": WebhookSettings,
}
"""Types of destinations that every installation has, and what may stand in one."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def workspace_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of `segmentry.yml`."""
    schema = _of_model(WorkspaceConfig, "segmentry.yml")
    table = schema["$defs"]["EventsConfig"]
    table["oneOf"] = [{"required": ["name"]}, {"required": ["event"]}]
    schema["$defs"]["NotifyConfig"]["oneOf"] = [{"required": ["post"]}, {"required": ["run"]}]
    schema["properties"]["suppress"]["type"] = ["string", "boolean"]
    schema["$defs"]["DestinationConfig"] = _destination(schema["$defs"]["DestinationConfig"])
    return schema


def _destination(every: dict[str, Any]) -> dict[str, Any]:
    """A destination: of a type that is built in, with that type's keys and no others; or of one that a package brings."""
    beside = {key: value for key, value in every["properties"].items() if key != "type"}
    kinds = []
    for name, model in BUILT_IN.items():
        own = _of_model(model, name)
        del own["$schema"]
        kinds.append({**own, "properties": {**own["properties"], **beside}})
    brought = {**every["properties"]["type"], "not": {"enum": sorted(BUILT_IN)}}
    other = {**every, "properties": {"type": brought, **beside}}
    del other["description"]
    return {"description": every["description"], "anyOf": [*kinds, other]}


def segment_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a file in `segments/`, the builder form's within it."""
    schema = _of_model(SegmentConfig, "A segment")
    builder: dict[str, Any] = builder_schema()
    schema["$defs"] = {**schema.get("$defs", {}), **builder["$defs"]}
    group = builder["$defs"]["group"]["properties"]
    schema["properties"]["rules"] = {**group["rules"], "description": schema["properties"]["rules"]["description"]}
    schema["properties"]["where"]["type"] = ["string", "boolean"]
    schema["oneOf"] = [{"required": [form]} for form in ("where", "rules", "list")]
    schema["dependentRequired"] = {"match": ["rules"]}
    return schema


def _of_model(model: type[BaseModel], title: str) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True, schema_generator=_Plain)
    for part in schema.get("$defs", {}).values():
        part.pop("title", None)
    return {"$schema": DIALECT, **schema, "title": title}


class _Plain(GenerateJsonSchema):
    """Without the titles that pydantic makes of names, and without `null`, which stands for nothing in our files."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> dict[str, Any]:
        made = super().default_schema(schema)
        return {key: value for key, value in made.items() if not (key == "default" and value is None)}
