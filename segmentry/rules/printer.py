"""A rule's canonical text: `to_text`, what `fmt` prints.

Comparisons and arithmetic are symbols (`=`, `>=`, `+`). Where the symbol is obscure (`@>`, `^@`, `~`) or there is
none, the words stand: `email contains '@gmail.com'`, `added in the last '30 days'`, `added in this month`, `phone is not set`. The opposite
of such an operator is written as one (`does not contain`, `not in`); the opposite of a comparison is `not a = b`,
which is how it was said. Brackets stand only where they must. A rule longer than a line is broken at its outermost
`and` or `or`.
"""

from __future__ import annotations

from segmentry.rules.operators import BY_NAME, COMPARISONS, PERIOD_WORDS
from segmentry.rules.recursion import deep_recursion
from segmentry.rules.syntax import And, Between, Boolean, Call, In, Infix, IsSet, Name, Named, Negative, Not, Null, Number, Or, Syntax, Text
from segmentry.rules.tokens import WORD

LINE = 100

_NOT_NAMES = frozenset({"true", "false", "null", "not", "and", "or"})
"""Words that are read as something else where a name may stand; as names they are quoted."""

# How tightly a node holds its operands: one that holds less tightly than its surroundings need is put in brackets.
_OR, _AND, _NOT, _CONDITION, _SUM, _PRODUCT, _SIGN, _WHOLE = range(8)

_TIGHTNESS = {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "%": _PRODUCT}


def to_text(syntax: Syntax) -> str:
    """The canonical text; reading it gives an equal tree."""
    with deep_recursion():
        line = _print(syntax, _OR)
        if len(line) > LINE and isinstance(syntax, (And, Or)):
            word, tightness = ("and", _NOT) if isinstance(syntax, And) else ("or", _AND)
            return f"\n{word} ".join(_print(item, tightness) for item in syntax.items)
    return line


def quoted(text: str) -> str:
    """A text literal."""
    return "'" + text.replace("'", "''") + "'"


def name_text(parts: tuple[str, ...]) -> str:
    """A name, each part quoted only where it must be."""
    return ".".join(_part(part) for part in parts)


def _part(part: str) -> str:
    if WORD.fullmatch(part) and part.lower() not in _NOT_NAMES:
        return part
    return '"' + part.replace('"', '""') + '"'


def _print(syntax: Syntax, needed: int) -> str:
    text, tightness = _tell(syntax)
    return f"({text})" if tightness < needed else text


def _tell(syntax: Syntax) -> tuple[str, int]:
    """A node's text, and how tightly it holds together."""
    match syntax:
        case And():
            return " and ".join(_print(item, _NOT) for item in syntax.items), _AND
        case Or():
            return " or ".join(_print(item, _AND) for item in syntax.items), _OR
        case Not():
            return _opposite(syntax.item)
        case Infix() if syntax.op in _TIGHTNESS:
            return _arithmetic(syntax)
        case Infix() | IsSet() | Between() | In():
            return _condition(syntax, negated=False), _CONDITION
        case Negative():
            inner = _print(syntax.value, _SIGN)
            # Two minus signs in a row would begin a comment.
            return f"- {inner}" if inner.startswith("-") else f"-{inner}", _SIGN
        case _:
            return _operand(syntax), _WHOLE


def _operand(syntax: Syntax) -> str:
    match syntax:
        case Name() if syntax.quoted and syntax.quoted[0] and _is_word(syntax.parts):
            # the word alone is a list's element, any event, the contact; the quoted name is a column, or the event of that name
            return ".".join(('"' + syntax.parts[0] + '"', *map(_part, syntax.parts[1:])))
        case Name():
            return name_text(syntax.parts)
        case Text():
            return quoted(syntax.value)
        case Number():
            return syntax.text
        case Boolean():
            return "true" if syntax.value else "false"
        case Null():
            return "null"
        case Named():
            return f"{syntax.name} => {_print(syntax.value, _OR)}"
        case Call():
            return f"{syntax.name}({', '.join(_print(argument, _OR) for argument in (*syntax.args, *syntax.named))})"
    raise TypeError(f"not a node of a rule: {type(syntax).__name__}")


def _is_word(parts: tuple[str, ...]) -> bool:
    """Whether a name begins with a word of the language, if it is not quoted."""
    first = parts[0].lower()
    return first in ("element", "any_event") or (first == "contact" and len(parts) > 1)


def _opposite(item: Syntax) -> tuple[str, int]:
    if isinstance(item, (IsSet, Between, In)) or (isinstance(item, Infix) and item.op in BY_NAME and item.op not in COMPARISONS):
        return _condition(item, negated=True), _CONDITION
    return f"not {_print(item, _NOT)}", _NOT


def _condition(item: Syntax, *, negated: bool) -> str:
    """A comparison: its first operand, the operator's canonical words or symbol, and what the operator takes."""
    match item:
        case IsSet():
            return f"{_print(item.value, _SUM)} {_words('is set', negated)}"
        case Between():
            low, high = _print(item.low, _SUM), _print(item.high, _SUM)
            return f"{_print(item.value, _SUM)} {_words('between', negated)} {low} and {high}"
        case In():
            return f"{_print(item.value, _SUM)} {_words('in', negated)} ({', '.join(_print(option, _OR) for option in item.items)})"
        case Infix(op="during", right=Text(value=period)) if period in PERIOD_WORDS:
            return f"{_print(item.left, _SUM)} {PERIOD_WORDS[period][negated]}"
        case Infix():
            op = item.op if item.op in COMPARISONS else _words(item.op, negated)
            return f"{_print(item.left, _SUM)} {op} {_print(item.right, _SUM)}"
    raise TypeError(f"not a comparison: {type(item).__name__}")


def _words(name: str, negated: bool) -> str:
    operator = BY_NAME[name]
    return (operator.negated if negated else operator.words)[0]


def _arithmetic(syntax: Infix) -> tuple[str, int]:
    """Sums and products, which lean to the left: a chain may be thousands long, so its left side is walked, not called."""
    pieces: list[str] = []
    node: Syntax = syntax
    held = _SUM
    while isinstance(node, Infix) and (tightness := _TIGHTNESS.get(node.op, _OR)) >= held:
        held = tightness
        pieces.append(f" {node.op} {_print(node.right, held + 1)}")
        node = node.left
    pieces.append(_print(node, held))
    return "".join(reversed(pieces)), _TIGHTNESS[syntax.op]
