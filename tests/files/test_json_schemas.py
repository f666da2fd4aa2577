"""The published JSON Schemas say what the models say."""

import json

from pydantic import Field, create_model

from segmentry.engine.config import SEGMENT_LATER, WORKSPACE_LATER, SegmentConfig, WorkspaceConfig
from segmentry.engine.config_values import Model
from segmentry.engine.json_schemas import segment_schema, workspace_schema


def references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_key_is_in_its_schema_with_a_description():
    for schema, model in ((workspace_schema(), WorkspaceConfig), (segment_schema(), SegmentConfig)):
        assert set(schema["properties"]) == {field.alias or name for name, field in model.model_fields.items()}
        assert schema["additionalProperties"] is False
        assert json.loads(json.dumps(schema)) == schema


def test_every_reference_leads_somewhere():
    for schema in (workspace_schema(), segment_schema()):
        for reference in references(schema):
            assert reference.removeprefix("#/$defs/") in schema["$defs"], reference


def test_the_builder_form_is_part_of_a_segments_schema():
    schema = segment_schema()
    assert schema["properties"]["rules"]["items"] == {"$ref": "#/$defs/entry"}
    assert {"entry", "group", "field", "event", "segment", "rule"} <= set(schema["$defs"])


def keys_at(schema, value, steps):
    """Every key that a schema has at a path, `*` being any key or item."""
    if "$ref" in value:
        yield from keys_at(schema, schema["$defs"][value["$ref"].removeprefix("#/$defs/")], steps)
    for option in value.get("anyOf", ()):
        yield from keys_at(schema, option, steps)
    if not steps:
        yield from value.get("properties", ())
    elif steps[0] == "*":
        for inner in [value["items"]] if "items" in value else value.get("patternProperties", {}).values():
            yield from keys_at(schema, inner, steps[1:])
    elif steps[0] in value.get("properties", ()):
        yield from keys_at(schema, value["properties"][steps[0]], steps[1:])


def test_keys_of_later_versions_are_in_no_schema():
    for schema, later in ((workspace_schema(), WORKSPACE_LATER), (segment_schema(), SEGMENT_LATER)):
        for *steps, key in later:
            beside = set(keys_at(schema, schema, steps))
            assert beside, steps
            assert key not in beside


def test_nothing_may_be_null():
    assert '"null"' not in json.dumps(workspace_schema())
    assert '"null"' not in json.dumps(segment_schema())


class Settings(Model):
    path: str
    """Where it is."""
    every: str = Field("1h", alias="how often", description="What the field says itself.")
    """Not this."""
    silent: bool = False


class MoreSettings(Settings):
    path: str = "here"
    """Where it is, or here."""
    other: int = 1
    """One more."""


def test_what_stands_below_a_field_describes_it():
    def told(model):
        return {name: said.get("description") for name, said in model.model_json_schema()["properties"].items()}

    own = {"how often": "What the field says itself.", "silent": None}
    assert told(Settings) == {"path": "Where it is.", **own}
    assert told(MoreSettings) == {"path": "Where it is, or here.", **own, "other": "One more."}


def test_a_field_may_have_several_names_or_be_left_out():
    class Named(Model):
        read: str = Field("", validation_alias="reading")
        """How it is read."""
        written: str = Field("", serialization_alias="writing")
        """How it is written."""
        hidden: str = Field("", exclude=True)
        """Not written at all."""

    for mode, names in (("validation", {"reading", "written", "hidden"}), ("serialization", {"read", "writing"})):
        properties = Named.model_json_schema(mode=mode)["properties"]
        assert set(properties) == names
        assert all(said["description"] for said in properties.values())


def test_a_model_without_source_has_a_schema_still():
    names = {"Model": Model, "__name__": "nowhere"}
    exec("class Typed(Model):\n    path: str\n    'Where it is.'\n", names)
    for model in (names["Typed"], create_model("Made", __base__=Model, path=(str, ...))):
        assert model.model_json_schema()["properties"] == {"path": {"title": "Path", "type": "string"}}
