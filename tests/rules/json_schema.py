"""As much of JSON Schema as the published schemas use: whether a value fits."""

KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "number": (int, float)}


def fits(value, schema, whole=None):
    """Whether a JSON value fits a schema; `whole` holds the `$defs`."""
    whole = schema if whole is None else whole
    if isinstance(schema, bool):
        return schema
    known = CHECKS.keys() | {"if", "then", "$schema", "$defs", "title", "description"}
    assert schema.keys() <= known, schema.keys() - known
    if "if" in schema and fits(value, schema["if"], whole) and not fits(value, schema["then"], whole):
        return False
    return all(CHECKS[key](value, schema, whole) for key in schema if key in CHECKS)


def is_kind(value, kind):
    return isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def known_keys(value, schema, whole):
    return not isinstance(value, dict) or schema["additionalProperties"] is not False or value.keys() <= schema["properties"].keys()


def properties(value, schema, whole):
    if not isinstance(value, dict):
        return True
    return all(fits(value[key], part, whole) for key, part in schema["properties"].items() if key in value)


CHECKS = {
    "$ref": lambda value, schema, whole: fits(value, whole["$defs"][schema["$ref"].removeprefix("#/$defs/")], whole),
    "type": lambda value, schema, whole: any(
        is_kind(value, kind) for kind in ([schema["type"]] if isinstance(schema["type"], str) else schema["type"])
    ),
    "enum": lambda value, schema, whole: any(value == one and type(value) is type(one) for one in schema["enum"]),
    "anyOf": lambda value, schema, whole: any(fits(value, part, whole) for part in schema["anyOf"]),
    "allOf": lambda value, schema, whole: all(fits(value, part, whole) for part in schema["allOf"]),
    "properties": properties,
    "required": lambda value, schema, whole: not isinstance(value, dict) or value.keys() >= set(schema["required"]),
    "additionalProperties": known_keys,
    "items": lambda value, schema, whole: not isinstance(value, list) or all(fits(item, schema["items"], whole) for item in value),
    "minItems": lambda value, schema, whole: not isinstance(value, list) or len(value) >= schema["minItems"],
    "maxItems": lambda value, schema, whole: not isinstance(value, list) or len(value) <= schema["maxItems"],
    "minLength": lambda value, schema, whole: not isinstance(value, str) or len(value) >= schema["minLength"],
}
