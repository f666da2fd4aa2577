"""The JSON Schema of the builder form, made from its tables."""

from __future__ import annotations

from segmentry.rules.builder_words import (
    BY_MEASURE,
    ENTRIES,
    EVENT_KEYS,
    MATCHES,
    MEASURES,
    OPERATOR_WORDS,
    PLACES,
    QUANTIFIERS,
    SEGMENT_KEYS,
    STEP_KEYS,
    TIME_KEYS,
)
from segmentry.rules.operators import PERIODS, Shape

Json = dict[str, object]

_DESCRIPTIONS = {
    "match": "how many of the rules must hold",
    "rules": "one entry for each rule",
    "field": "a column of the contacts, by its whole name; [address, city] is a field within a struct",
    "operator": "what the value is compared by",
    "value": "what it is compared with: a text, a number, true or false, `{field: name}`, of a step `{step: name, field: name}`, a list",
    "event": "the event's name, any_event, or `{prefix: order_}` for every event whose name begins so",
    "sequence": "events one after the other, an entry for each; `did: false` for one that does not come in between, or after",
    "within": "how long all may take, or of a step, how long after the one before: 7 days",
    "as": "a name for the step, by which later ones ask for its properties",
    "where": "which of the events, or elements, count",
    "last": "only events of this long ago at most: 30 days",
    "since": "only events from this day or instant on",
    "until": "only events up to this day or instant",
    "during": "only events in this calendar period: last month",
    "did": "false: contacts without such an event",
    "count": "how many such events, or elements",
    "measure": "a function of the events: its result is compared",
    "property": "which property of the events is measured",
    "period": "active_periods: day, week, month, quarter or year",
    "of": "active_periods: the last how many periods",
    "at_least": "active_periods: events that make a period active",
    "list": "a field that is a list; in `where`, `element` is its element",
    "has": "any, all or none of the elements",
    "segment": "the name of another segment",
    "member": "false: contacts outside that segment",
    "entered": "contacts who came into that segment; false: all others",
    "exited": "contacts who left that segment; false: all others",
    "for": "in that segment without a gap for at least so long: 90 days",
    "top": "so many contacts with the largest `by`, or a share of them: 1000, 5%",
    "bottom": "so many contacts with the smallest `by`, or a share of them: 1000, 5%",
    "ntile": "into how many parts of equal size contacts are put; the part's number, 1 for the smallest, is compared",
    "by": "a field's name, or an event and its measure",
    "among": "only contacts for whom this holds are put in order",
    "per": "a field's name: an order for each of its values",
    "rule": "a rule in text form",
}


def builder_schema() -> dict[str, object]:
    """JSON Schema (2020-12) of a group; `$defs` holds the entries, and may be moved to the root of a larger schema."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A segment's rules in builder form",
        "$ref": "#/$defs/group",
        "$defs": {
            "entry": {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in _ENTRY_KINDS]},
            "group": _entry("rules", {"match": _one_of(MATCHES), "rules": _list_of(_ref("entry"), least=1)}),
            "field": {**_entry("field", {"field": _FIELD, **_COMPARISON}, required=("operator",)), "allOf": _VALUE_BY_OPERATOR},
            "event": {**_entry("event", _event_keys()), "allOf": _EVENT_RULES},
            "sequence": _entry(
                "sequence", {"sequence": _list_of(_ref("step"), least=2), **{key: _ref("scalar") for key in ("within", *TIME_KEYS)}}
            ),
            "step": _object(_step_keys(), STEP_KEYS, ("event",)),
            "list": {**_entry("list", _LIST, required=("where",)), "allOf": _LIST_RULES},
            "segment": {**_entry("segment", _segment_keys()), "allOf": _SEGMENT_RULES},
            **{name: _entry(name, {name: _HOW_MANY, **_population_keys()}, required=("by",)) for name in PLACES},
            "ntile": {
                **_entry("ntile", {"ntile": _PARTS, **_population_keys(), **_COMPARISON}, required=("by", "operator")),
                "allOf": _VALUE_BY_OPERATOR,
            },
            "measure": {
                "type": "object",
                "properties": {key: {**_json(_event_keys()[key]), **_description(key)} for key in BY_MEASURE},
                "required": ["event", "measure"],
                "additionalProperties": False,
                "allOf": [_NEEDS_PROPERTY],
            },
            "rule": _entry("rule", {"rule": _NAME}),
            "comparison": {
                "type": "object",
                "properties": _COMPARISON,
                "required": ["operator"],
                "additionalProperties": False,
                "allOf": _VALUE_BY_OPERATOR,
            },
            "scalar": {"type": ["string", "number", "boolean"]},
            "value": {
                "anyOf": [
                    _ref("scalar"),
                    {"type": "object", "properties": {"field": _FIELD}, "required": ["field"], "additionalProperties": False},
                    {
                        "type": "object",
                        "properties": {"step": _NAME, "field": _FIELD},
                        "required": ["step", "field"],
                        "additionalProperties": False,
                    },
                ]
            },
        },
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/$defs/{name}"}


def _one_of(words: object) -> Json:
    return {"enum": list(words)}  # type: ignore[call-overload]


def _list_of(items: Json, *, least: int, most: int | None = None) -> Json:
    return {"type": "array", "items": items, "minItems": least, **({} if most is None else {"maxItems": most})}


def _entry(kind: str, properties: Json, required: tuple[str, ...] = ()) -> Json:
    """An object with the keys of a kind of entry, and no others."""
    return _object(properties, ENTRIES[kind], (kind, *required))


def _object(properties: Json, keys: tuple[str, ...], required: tuple[str, ...]) -> Json:
    told = {key: {**_json(properties[key]), **_description(key)} for key in keys if key in properties}
    return {"type": "object", "properties": told, "required": list(required), "additionalProperties": False}


def _step_keys() -> Json:
    return {"event": _EVENT, "where": _ref("entry"), "did": _FLAG, **{key: _ref("scalar") for key in ("as", "within", *TIME_KEYS)}}


def _json(value: object) -> Json:
    assert isinstance(value, dict)
    return value


def _description(key: str) -> Json:
    return {"description": _DESCRIPTIONS[key]} if key in _DESCRIPTIONS else {}


def _event_keys() -> Json:
    return {
        "event": _EVENT,
        "where": _ref("entry"),
        **{key: _ref("scalar") for key in (*TIME_KEYS, *EVENT_KEYS)},
        "during": _PERIOD,
        "did": _FLAG,
        "count": _ref("comparison"),
        "measure": _one_of(MEASURES),
        "property": _FIELD,
        **_COMPARISON,
    }


def _segment_keys() -> Json:
    return {"segment": _NAME, **dict.fromkeys(SEGMENT_KEYS, _FLAG), **{key: _ref("scalar") for key in ("for", *TIME_KEYS)}}


def _population_keys() -> Json:
    return {"by": {"anyOf": [_FIELD, _ref("measure")]}, "among": _ref("entry"), "per": _FIELD}


def _operators(*shapes: Shape) -> list[str]:
    return [words for words, meaning in OPERATOR_WORDS.items() if meaning.operator.shape in shapes]


def _if(key: str, values: list[str], then: Json) -> Json:
    return {"if": {"properties": {key: {"enum": values}}, "required": [key]}, "then": then}


def _beside(key: str, refused: list[str]) -> Json:
    return {"if": {"required": [key]}, "then": {"properties": dict.fromkeys(refused, False)}}


_NAME: Json = {"type": "string", "minLength": 1}
_EVENT: Json = {
    "anyOf": [_NAME, {"type": "object", "properties": {"prefix": _NAME}, "required": ["prefix"], "additionalProperties": False}]
}
_FIELD: Json = {"anyOf": [_NAME, _list_of(_NAME, least=2)]}
_FLAG: Json = {"type": "boolean"}
_PERIOD: Json = {"anyOf": [_one_of(PERIODS), _ref("scalar")]}
"""For completion; what is none of them the checker refuses, with a place."""
_COMPARISON: Json = {"operator": _one_of(OPERATOR_WORDS), "value": {}}
_VALUE_BY_OPERATOR = [
    _if("operator", _operators(Shape.INFIX), {"required": ["value"], "properties": {"value": _ref("value")}}),
    _if("operator", ["during", "not during"], {"properties": {"value": {"anyOf": [_one_of(PERIODS), _ref("value")]}}}),
    _if("operator", _operators(Shape.BETWEEN), {"required": ["value"], "properties": {"value": _list_of(_ref("value"), least=2, most=2)}}),
    _if("operator", _operators(Shape.LIST), {"required": ["value"], "properties": {"value": _list_of(_ref("value"), least=1)}}),
    _if("operator", _operators(Shape.POSTFIX), {"properties": {"value": False}}),
]
_ENTRY_KINDS = ("field", "event", "sequence", "list", "segment", *PLACES, "ntile", "group", "rule")
_HOW_MANY: Json = {"type": ["number", "string"]}
_PARTS: Json = {"type": "number"}
_NEEDS_PROPERTY = _if("measure", [name for name, measure in MEASURES.items() if measure.property], {"required": ["property"]})
_LIST: Json = {"list": _FIELD, "has": _one_of(QUANTIFIERS), "where": _ref("entry"), "count": _ref("comparison")}
_LIST_RULES: list[Json] = [
    {"anyOf": [{"required": ["has"]}, {"required": ["count"]}]},
    {"if": {"required": ["has"]}, "then": {"properties": {"count": False}}},
]
_EVENT_RULES = [
    *_VALUE_BY_OPERATOR,
    _if("measure", [name for name, measure in MEASURES.items() if measure.property], {"required": ["property", "operator"]}),
    _if("measure", [name for name in MEASURES if name != "did"], {"required": ["operator"]}),
    _if("measure", ["did"], {"properties": {"operator": False, "value": False}}),
    {"if": {"required": ["operator"]}, "then": {"required": ["measure"]}},
    {"if": {"required": ["value"]}, "then": {"required": ["measure"]}},
    {"if": {"required": ["measure"]}, "then": {"properties": {"did": False, "count": False}}},
    {"if": {"required": ["count"]}, "then": {"properties": {"did": False, "operator": False, "value": False}}},
]
_SEGMENT_RULES: list[Json] = [
    *(_beside(key, [other for other in SEGMENT_KEYS if other != key]) for key in SEGMENT_KEYS),
    *(_beside(key, ["for"]) for key in SEGMENT_KEYS[1:]),
    {"if": {"anyOf": [{"required": [key]} for key in TIME_KEYS]}, "then": {"anyOf": [{"required": [key]} for key in SEGMENT_KEYS[1:]]}},
]
