"""Short ways from a rule's text to what the rule tests look at."""

from datetime import UTC, datetime

from segmentry.errors import RuleError
from segmentry.rules.checker import check
from segmentry.rules.ground import Clock, ground
from segmentry.rules.nodes import Compare, Condition, Not, Value
from segmentry.rules.parse import parse_text
from segmentry.rules.schema import Schema
from tests.rules.shop_schema import SHOP

AS_OF = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)


def meaning(text: str, schema: Schema = SHOP) -> Condition:
    """The checked condition."""
    return check(parse_text(text), schema, source=text)[0]


def value(text: str, schema: Schema = SHOP) -> Value:
    """The checked value: `text` is what stands left of `is set`."""
    return meaning(f"{text} is set", schema).value


def codes(text: str, schema: Schema = SHOP) -> list[str]:
    """The codes of what is said about a rule, errors or else warnings, in order."""
    try:
        return [warning.code for warning in check(parse_text(text), schema, source=text)[1]]
    except RuleError as error:
        return [problem.code for problem in error.diagnostics]


def grounded(text: str, zone: str = "UTC", as_of: datetime = AS_OF, week_start: str = "monday", schema: Schema = SHOP) -> Condition:
    """The condition grounded for one clock."""
    return ground(meaning(text, schema), Clock(as_of, zone, week_start))


def told(condition: Condition) -> str:
    """A grounded condition of comparisons as short text, constants as they are: `x >= 2026-01-31 and x < ...`."""
    if isinstance(condition, Not):
        return f"not ({told(condition.item)})"
    if isinstance(condition, Compare):
        return f"{_value(condition.left)} {condition.op} {_value(condition.right)}"
    word = type(condition).__name__.lower()
    if word in ("and", "or"):
        return f" {word} ".join(f"({told(item)})" if type(item).__name__ in ("And", "Or") else told(item) for item in condition.items)
    if word == "in":
        return f"{_value(condition.value)} in [{', '.join(map(_value, condition.options))}]"
    if word == "always":
        return str(condition.value).lower()
    return repr(condition)


def _value(node: Value) -> str:
    match type(node).__name__:
        case "Field":
            return node.name
        case "Call":
            return f"{node.function}({', '.join(map(_value, node.args))})"
        case "Constant" if isinstance(node.value, datetime):
            assert node.value.tzinfo is UTC
            return node.value.isoformat(sep=" ", timespec="auto").removesuffix("+00:00").replace(":00:00", ":00")
        case "Constant":
            return str(node.value)
    return repr(node)
