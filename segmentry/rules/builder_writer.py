"""The builder form of a rule, for what the form has words for; everything else is a `{rule: "..."}` entry."""

from __future__ import annotations

import re
from collections.abc import Sequence

from segmentry.rules.builder_sequences import write_sequence
from segmentry.rules.builder_words import MEASURES, PLACES, POPULATION_KEYS, QUANTIFIERS, SEGMENT_KEYS, TIME_KEYS
from segmentry.rules.operators import BY_NAME, COMPARISONS
from segmentry.rules.printer import to_text
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.syntax import And, Between, Boolean, Call, In, Infix, IsSet, Name, Negative, Not, Number, Or, Syntax, Text

Entry = dict[str, object]

_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def to_builder(syntax: Syntax) -> dict[str, object]:
    """A group that means what the rule means: `{"match": "all", "rules": [...]}`, or `any`, or `none`."""
    with deep_recursion():
        entry = _entry(syntax)
    return entry if "rules" in entry else {"match": "all", "rules": [entry]}


def _entry(syntax: Syntax) -> Entry:
    match syntax:
        case And():
            return {"match": "all", "rules": [_entry(item) for item in syntax.items]}
        case Or():
            return {"match": "any", "rules": [_entry(item) for item in syntax.items]}
        case Not():
            items = syntax.item.items if isinstance(syntax.item, Or) else (syntax.item,)
            return _leaf(syntax.item, negated=True) or {"match": "none", "rules": [_entry(item) for item in items]}
        case _:
            return _leaf(syntax, negated=False) or {"rule": to_text(syntax)}


def _leaf(syntax: Syntax, *, negated: bool) -> Entry | None:
    """The entry for a condition, or for its opposite; None where the form has no words for it."""
    if isinstance(syntax, Call):
        return _call(syntax, negated=negated)
    compared = _compared(syntax, negated=negated)
    if compared is None:
        return None
    left, comparison = compared
    if isinstance(left, Call) and left.name == "how_many":
        listed = _list(left)
        return None if listed is None else {**listed, "count": comparison}
    if isinstance(left, Name):
        field = _field(left)
        return None if field is None else {"field": field, **comparison}
    if isinstance(left, Call) and left.name == "ntile":
        found = _population(left)
        return None if found is None else {**found, **comparison}
    event = _event(left) if isinstance(left, Call) and left.name != "did" else None
    if event is None or not isinstance(left, Call):
        return None
    if left.name == "count":
        return {**event, "count": comparison}
    return {**event, **comparison}


def _compared(syntax: Syntax, *, negated: bool) -> tuple[Syntax, Entry] | None:
    """What a comparison is about, its operator and its value."""
    match syntax:
        case Infix() if syntax.op in BY_NAME and not (negated and syntax.op in COMPARISONS):
            value = _value(syntax.right)
            return None if value is None else (syntax.left, {"operator": _words(syntax.op, syntax.right, negated), "value": value})
        case IsSet():
            return syntax.value, {"operator": _words("is set", None, negated)}
        case Between():
            values = _values((syntax.low, syntax.high))
            return None if values is None else (syntax.value, {"operator": _words("between", None, negated), "value": values})
        case In():
            values = _values(syntax.items)
            return None if values is None else (syntax.value, {"operator": _words("in", None, negated), "value": values})
        case _:
            return None


def _words(name: str, value: Syntax | None, negated: bool) -> str:
    operator = BY_NAME[name]
    if negated:
        return operator.negated[0]
    in_time = isinstance(value, Text) and _DATE.match(value.value) is not None
    return operator.words[-1] if in_time and name in ("<", ">") else operator.words[0]


def _call(call: Call, *, negated: bool) -> Entry | None:
    """`did`, `sequence`, `member`, `entered`, `exited`, `top`, `bottom`, `any`, `all` and `none`, which are conditions by themselves."""
    if call.name in QUANTIFIERS and not negated:
        listed = _list(call)
        return None if listed is None else {**listed, "has": call.name}
    if call.name == "did":
        event = _event(call)
        return event if event is None or not negated else {**event, "did": False}
    if call.name in PLACES:
        found = _population(call)
        return {"match": "none", "rules": [found]} if negated and found is not None else found
    if call.name == "sequence" and not negated:
        return write_sequence(call, _event, _scalar)
    return _segment(call, negated=negated) if call.name in SEGMENT_KEYS else None


def _segment(call: Call, *, negated: bool) -> Entry | None:
    """What is asked of a segment; `member` is what an entry asks that does not say."""
    segment = call.args[0] if len(call.args) == 1 else None
    if not isinstance(segment, Text) or not segment.value:
        return None
    entry: Entry = {"segment": segment.value}
    if negated or call.name != "member":
        entry[call.name] = not negated
    for named in call.named:
        value = _scalar(named.value)
        if named.name in entry or named.name not in (("for",) if call.name == "member" else TIME_KEYS) or value is None:
            return None
        entry[named.name] = value
    return entry


def _population(call: Call) -> Entry | None:
    """`top`, `bottom` or `ntile`, without what it is compared with."""
    given = {named.name: named.value for named in call.named}
    if len(call.args) != 1 or "by" not in given or len(given) < len(call.named) or not given.keys() <= set(POPULATION_KEYS):
        return None
    by, per, number = _ordered_by(given["by"]), given.get("per"), _scalar(call.args[0])
    if by is None or number is None or not (per is None or isinstance(per, Name)):
        return None
    entry: Entry = {call.name: number, "by": by}
    if "among" in given:
        entry["among"] = _entry(given["among"])
    if per is not None:
        group = _field(per)
        if group is None:
            return None
        entry["per"] = group
    return entry


def _ordered_by(value: Syntax) -> object:
    """A field's name, or an event and its measure; None where the form has no words for it."""
    if isinstance(value, Name):
        return _field(value)
    event = _event(value) if isinstance(value, Call) and value.name != "did" else None
    if event is None or not isinstance(value, Call):
        return None
    return {"event": event.pop("event"), "measure": value.name, **event}


def _list(call: Call) -> Entry | None:
    """A list and the conditions on its elements."""
    if call.named or len(call.args) < 2 or not isinstance(call.args[0], Name):
        return None
    field = _field(call.args[0])
    return None if field is None else {"list": field, "where": _where(call.args[1:])}


def _where(conditions: Sequence[Syntax]) -> Entry:
    where = _entry(conditions[0]) if len(conditions) == 1 else _entry(And(tuple(conditions)))
    return where if "rules" in where else {"match": "all", "rules": [where]}


def _event(call: Call, keys: Sequence[str] = ()) -> Entry | None:
    """An event function without what it is compared with; `keys` are further ones that it may have."""
    measure = MEASURES.get(call.name)
    if measure is None or not call.args:
        return None
    parts = _event_parts(call.args[0])
    if parts is None or (len(parts) > 1) != measure.property:
        return None
    prefix = isinstance(call.args[0], Text) and parts[0].endswith("*")
    entry: Entry = {"event": {"prefix": parts[0].removesuffix("*")} if prefix else parts[0]}
    if call.name not in ("did", "count"):
        entry["measure"] = call.name
    if measure.property:
        entry["property"] = parts[1] if len(parts) == 2 else list(parts[1:])
    if conditions := call.args[1:]:
        entry["where"] = _where(conditions)
    for named in call.named:
        value = _scalar(named.value)
        if named.name not in (*TIME_KEYS, *measure.keys, *keys) or value is None:
            return None
        entry[named.name] = value
    return entry


def _event_parts(name: Syntax) -> tuple[str, ...] | None:
    if isinstance(name, Name):
        # in the form the word is any event, and no event of that name can be written
        return None if name.quoted and name.quoted[0] and name.parts[0].lower() == "any_event" else name.parts
    if isinstance(name, Text) and name.value not in ("", "*") and name.value.lower() != "any_event":
        return (name.value,)
    return None


def _field(name: Name) -> str | list[str] | None:
    """A field as the form names it, if the form reads that name as the same field."""
    first = name.parts[0].lower()
    if name.quoted and name.quoted[0] and (first == "element" or (first == "contact" and len(name.parts) > 1)):
        return None
    if len(name.parts) == 2 and name.parts[0] == "contact":
        return ".".join(name.parts)
    if len(name.parts) > 1:
        return list(name.parts)
    return None if name.parts[0].startswith("contact.") else name.parts[0]


def _values(items: Sequence[Syntax]) -> list[object] | None:
    values = [_value(item) for item in items]
    return None if None in values else values


def _value(syntax: Syntax) -> object:
    """A value as YAML has it, `{"field": name}`, or None."""
    if isinstance(syntax, Name):
        field = _field(syntax)
        return None if field is None else {"field": field}
    return _scalar(syntax)


def _scalar(syntax: Syntax) -> str | bool | int | float | None:
    """A value as YAML has it, or None where reading it would not give the same."""
    match syntax:
        case Text() | Boolean():
            return syntax.value
        case Number():
            return _number(syntax.text)
        case Negative(value=Number(text=text)):
            return _number("-" + text)
        case _:
            return None


def _number(text: str) -> int | float | None:
    digits = text.removeprefix("-")
    if digits.isdecimal() and len(digits) <= 38:
        return int(text) if str(int(text)) == text else None
    return float(text) if repr(float(text)) == text else None
